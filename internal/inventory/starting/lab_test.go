package starting_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"keyturn/internal/bucket"
	"keyturn/internal/bucket/buckettest"
	"keyturn/internal/inventory"
	"keyturn/internal/inventory/starting"
	"keyturn/internal/rotation"
)

// taskToken has the form of a real one.
var taskToken = "AQCEAAAAKgAAAAMAAAAAAAAAAb" + strings.Repeat("s3cr3tT0k3n+/", 40) + "=="

var now = time.Date(2026, 3, 1, 6, 0, 0, 0, time.UTC)

// lab is a bucket, and Step Functions, of which a test sees everything.
type lab struct {
	t testing.TB
	*stepFunctions
	s3     *buckettest.Server
	name   string
	bucket starting.Bucket
}

func newLab(t testing.TB) *lab { return labIn(t, buckettest.New(t), "b") }

func labIn(t testing.TB, s3 *buckettest.Server, name string) *lab {
	return &lab{t: t, s3: s3, name: name, bucket: s3.Bucket(name), stepFunctions: &stepFunctions{now: func() time.Time { return now }}}
}

func begun(id string) inventory.Begun {
	return inventory.Begun{ID: id, Execution: "arn:aws:states:eu-west-1:123456789012:execution:keyturn-discovery:" + id, At: now}
}

// found is what list-apps leaves.
func (l *lab) found(id string, maxRotations int, dues ...inventory.Due) {
	l.t.Helper()
	var lines bytes.Buffer
	for _, d := range dues {
		if err := json.NewEncoder(&lines).Encode(d); err != nil {
			l.t.Fatal(err)
		}
	}
	l.put(inventory.Keys{Run: id}.Dues(), lines.Bytes())
	listing, err := json.Marshal(inventory.Listing{Org: "https://example.okta.com", MaxRotations: maxRotations})
	if err != nil {
		l.t.Fatal(err)
	}
	l.put(inventory.Keys{Run: id}.Listing(), listing)
}

func (l *lab) put(key string, content []byte) {
	l.t.Helper()
	if _, err := l.bucket.Put(l.t.Context(), key, bytes.NewReader(content), bucket.Options{}); err != nil {
		l.t.Fatal(err)
	}
}

func (l *lab) call(id string, dryRun bool) (inventory.StartRotationsOutput, error) {
	return starting.Rotations{StepFunctions: l.stepFunctions, MachineARN: machineARN, Bucket: l.bucket}.
		Run(l.t.Context(), inventory.StartRotationsInput{Run: begun(id), DryRun: dryRun})
}

// run is a call that goes well, and what it leaves for the report.
func (l *lab) run(id string) (inventory.StartRotationsOutput, inventory.Starts) {
	l.t.Helper()
	out, err := l.call(id, false)
	if err != nil {
		l.t.Fatalf("%s: %v", rotation.NameOf(err), err)
	}
	return out, l.starts(id)
}

func (l *lab) starts(id string) inventory.Starts {
	l.t.Helper()
	var s inventory.Starts
	raw := l.s3.Content(l.name, inventory.Keys{Run: id}.Starts())
	if err := json.Unmarshal(raw, &s); err != nil {
		l.t.Fatalf("%v: %s", err, raw)
	}
	return s
}

// memory are the lines of the memory.
func (l *lab) memory() []string {
	return strings.Split(strings.TrimSuffix(string(l.s3.Content(l.name, starting.Memory)), "\n"), "\n")
}

// idOf is an id of Okta's form.
func idOf(n int) string { return fmt.Sprintf("0oa%017d", n) }

// kidOf is a kid of Okta's form, hyphens included.
func kidOf(n int) string { return fmt.Sprintf("K-%05d_", n) + strings.Repeat("x", 35) }

func app(n int) rotation.Target {
	return rotation.Target{Kind: rotation.KindApp, ID: idOf(n), Label: fmt.Sprint("App ", n), Name: "saml"}
}

// due is an app that is due, with so many days left and a key of its own.
func due(n, days int, change ...func(*inventory.Due)) inventory.Due {
	d := inventory.Due{Settings: rotation.DefaultSettings([]string{"sso-team@example.com"})}
	d.Settings.Mode = rotation.ModeRotate
	notAfter := now.Add(time.Duration(days)*rotation.Day + time.Hour)
	d.Entry = inventory.Entry{
		Target: app(n), Status: "ACTIVE", Protocol: "SAML_2_0", Kid: kidOf(n), NotAfter: &notAfter, DaysLeft: &days, Sharing: 1, Rule: -1,
		Mode: rotation.ModeRotate, RotateBeforeDays: 45, SharedKey: rotation.OwnKey, Approvers: []string{"sso-team@example.com"}, Due: true, Action: inventory.ActionStart,
	}
	for _, c := range change {
		c(&d)
	}
	return d
}

func notifies(d *inventory.Due) {
	d.Action, d.Mode, d.Settings.Mode = inventory.ActionNotify, rotation.ModeNotify, rotation.ModeNotify
}

// shares gives it a kid that several have, and a policy to clone the new one.
func shares(kid int) func(*inventory.Due) {
	return func(d *inventory.Due) {
		d.Kid, d.Sharing, d.SharedKey, d.Settings.SharedKey = kidOf(kid), 5, rotation.ClonedKey, rotation.ClonedKey
	}
}

// nameOf is the name under which a due target's rotation is started.
func nameOf(d inventory.Due) string { return rotation.ExecutionName(d.Target, d.Kid, now) }

func inputFor(t rotation.Target) string {
	return fmt.Sprintf(`{"target":{"kind":%q,"id":%q},"policy":{}}`, t.Kind, t.ID)
}

// cloneFrom is what an execution's input says.
func (l *lab) cloneFrom(name string) string {
	l.t.Helper()
	e := l.find(name)
	if e == nil {
		l.t.Fatalf("no execution %s", name)
	}
	var in rotation.InspectTargetInput
	if err := json.Unmarshal([]byte(e.input), &in); err != nil {
		l.t.Fatal(err)
	}
	if in.CloneFrom == nil {
		return ""
	}
	return in.CloneFrom.ID
}

// ends has a rotation of a target's key that has ended so many hours ago with a
// result.
func (l *lab) ends(d inventory.Due, result string, hours int, newKid string) *execution {
	ago := time.Duration(hours) * time.Hour
	e := l.stepFunctions.run(rotation.ExecutionName(d.Target, d.Kid, now.Add(-ago-24*time.Hour)), inputFor(d.Target), ago+24*time.Hour)
	status := map[string]types.ExecutionStatus{"Completed": types.ExecutionStatusSucceeded, "GaveUp": types.ExecutionStatusSucceeded,
		"RolledBack": types.ExecutionStatusFailed, "Failed": types.ExecutionStatusFailed, "Aborted": types.ExecutionStatusAborted, "TimedOut": types.ExecutionStatusTimedOut}[result]
	report := ""
	if status == types.ExecutionStatusSucceeded || status == types.ExecutionStatusFailed {
		raw, err := json.Marshal(map[string]any{"result": result, "target": d.Target, "oldKid": d.Kid, "newKid": newKid, "decision": nil, "error": nil})
		if err != nil {
			l.t.Fatal(err)
		}
		report = string(raw)
	}
	l.end(e, status, ago, report)
	return e
}

func only(t *testing.T, all []inventory.Problem, name, says string) {
	t.Helper()
	if len(all) != 1 || all[0].Name != name || !strings.Contains(all[0].Message, says) {
		t.Errorf("problems %+v, want one %s that says %q", all, name, says)
	}
}

func actions(s inventory.Starts) string {
	var all []string
	for _, e := range s.Dues {
		all = append(all, string(e.Action))
	}
	return strings.Join(all, " ")
}

// life is a function that dies: after so many writes nothing has an effect any
// more, and nothing is answered.
type life struct {
	mu   sync.Mutex
	left int
	// after lets the last write have its effect.
	after bool
	dead  bool
}

var errDead = errors.New("the function is dead")

// write tells whether a write has an effect, and whether it is answered.
func (l *life) write() (effect, answer bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dead {
		return false, false
	}
	if l.left--; l.left >= 0 {
		return true, true
	}
	l.dead = true
	return l.after, false
}

func (l *life) over() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.dead
}

type mortalBucket struct {
	starting.Bucket
	*life
}

func (b mortalBucket) Put(ctx context.Context, key string, body io.ReadSeeker, o bucket.Options) (string, error) {
	effect, answer := b.write()
	if !effect {
		return "", errDead
	}
	etag, err := b.Bucket.Put(ctx, key, body, o)
	if !answer {
		return "", errDead
	}
	return etag, err
}

func (b mortalBucket) Read(ctx context.Context, key string) ([]byte, string, error) {
	if b.over() {
		return nil, "", errDead
	}
	return b.Bucket.Read(ctx, key)
}

type mortalStepFunctions struct {
	*stepFunctions
	*life
}

func (s mortalStepFunctions) StartExecution(ctx context.Context, in *sfn.StartExecutionInput, opts ...func(*sfn.Options)) (*sfn.StartExecutionOutput, error) {
	effect, answer := s.write()
	if !effect {
		return nil, errDead
	}
	out, err := s.stepFunctions.StartExecution(ctx, in, opts...)
	if !answer {
		return nil, errDead
	}
	return out, err
}

// dies calls the function of run r, which dies at its n-th write (from 0); it tells whether
// it came to that.
func (l *lab) dies(n int, after bool) bool {
	life := &life{left: n, after: after}
	_, err := starting.Rotations{StepFunctions: mortalStepFunctions{l.stepFunctions, life}, MachineARN: machineARN, Bucket: mortalBucket{l.bucket, life}}.
		Run(l.t.Context(), inventory.StartRotationsInput{Run: begun("r")})
	if err == nil && life.dead {
		l.t.Fatal("a dead function answered")
	}
	return life.dead
}
