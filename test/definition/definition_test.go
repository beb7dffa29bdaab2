package definition

import (
	"bytes"
	"encoding/json"
	"flag"
	"maps"
	"os"
	"os/exec"
	"slices"
	"testing"

	"keyturn/test/asl"
)

// drawing is how executions of a machine are made up, unless the command line
// says otherwise: so many, the same ones at every run. -rapid.seed=0
// -rapid.checks=20000 looks further.
var drawing = map[string]string{"rapid.checks": "400", "rapid.seed": "20261125", "rapid.nofailfile": "true"}

func TestMain(m *testing.M) {
	for name, value := range drawing {
		if err := flag.Set(name, value); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

// lab is what the tests of the definitions have in common: what each of them
// has reached and evaluated counts for the last ones.
type lab struct {
	rotation, discovery           *asl.Machine
	rotationDrawn, discoveryDrawn *diagram
	coverage                      *asl.Coverage
	samples                       *sample
}

func TestDefinitions(t *testing.T) {
	l := &lab{
		rotation: machine(t, "rotation"), discovery: machine(t, "discovery"),
		rotationDrawn: drawn(t, "The rotation"), discoveryDrawn: drawn(t, "Discovery"),
		coverage: &asl.Coverage{}, samples: &sample{},
	}
	t.Run("every variable is assigned", l.assigned)
	t.Run("a rotation stands every fault", l.everyFault)
	t.Run("a rotation is as the model says", l.atRandom)
	t.Run("a discovery stands every fault", l.everyFaultOfDiscovery)
	t.Run("a discovery is as the model says", l.discoveriesAtRandom)
	t.Run("every state and way is reached", l.reached)
	t.Run("a second interpreter of JSONata agrees", l.secondInterpreter)
}

// assigned looks for variables that may have no value: JSONata would go on
// without one.
func (l *lab) assigned(t *testing.T) {
	for name, m := range map[string]*asl.Machine{"rotation": l.rotation, "discovery": l.discovery} {
		for _, missing := range m.Unassigned() {
			t.Errorf("%s: not every way to the state assigns %s", name, missing)
		}
	}
}

// reached looks for what nothing of the above has reached: it would be of no
// use, or is not tested.
func (l *lab) reached(t *testing.T) {
	for _, one := range []struct {
		name    string
		machine *asl.Machine
		drawn   *diagram
	}{{"rotation", l.rotation, l.rotationDrawn}, {"discovery", l.discovery, l.discoveryDrawn}} {
		t.Logf("%s: %s", one.name, l.coverage.Summary(one.machine))
		for _, missing := range l.coverage.Missing(one.machine) {
			t.Errorf("%s: nothing reached %s", one.name, missing)
		}
		for _, way := range one.drawn.untaken() {
			t.Errorf("%s: docs/architecture.md draws a way that nothing took: %s", one.name, way)
		}
	}
}

// secondInterpreter has the Python port of JSONata's reference implementation
// evaluate what the executions have evaluated. "make setup" installs it.
func (l *lab) secondInterpreter(t *testing.T) {
	var lines bytes.Buffer
	e := json.NewEncoder(&lines)
	for _, key := range slices.Sorted(maps.Keys(l.samples.kept)) {
		if err := e.Encode(l.samples.kept[key]); err != nil {
			t.Fatal(err)
		}
	}
	python := exec.CommandContext(t.Context(), "../../.venv/bin/python", "evaluate.py")
	python.Stdin = &lines
	out, err := python.CombinedOutput()
	if err != nil {
		t.Fatalf("evaluate.py: %v\n%s", err, out)
	}
	t.Logf("%s", bytes.TrimSpace(out))
}
