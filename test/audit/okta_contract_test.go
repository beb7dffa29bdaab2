//go:build audit

package audit

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"keyturn/internal/oktasim"
	"keyturn/test/contract/oktaspec"
)

// exchanges are all that the tests saw of the simulated org.
func exchanges(t *testing.T) (*oktaspec.Spec, []oktasim.Exchange) {
	t.Helper()
	spec, err := oktaspec.Load()
	if err != nil {
		t.Fatal(err)
	}
	all, err := Read[oktasim.Exchange]("okta")
	if err != nil {
		t.Fatal(err)
	}
	if len(all) == 0 {
		t.Fatal(ErrNoRecords)
	}
	return spec, all
}

// client tells who sent a request.
func client(e oktasim.Exchange) string {
	name, _, _ := strings.Cut(e.Request.Header["User-Agent"], "/")
	return name
}

// strictClients send nothing on purpose that Okta would refuse; the tests of
// the simulated org do.
var strictClients = []string{"keyturn", "keyturn-contract", "okta-sdk-golang"}

// notOktas are the faults whose answers do not come from Okta.
var notOktas = []string{string(oktasim.FaultHTMLError)}

// TestEveryExchangeIsAsOktasSpecSays holds what Keyturn, the SDK and the
// contract test asked the simulated org, and all that it answered, against
// Okta's OpenAPI spec.
func TestEveryExchangeIsAsOktasSpecSays(t *testing.T) {
	spec, all := exchanges(t)
	type kind struct {
		side             oktaspec.Side
		operation        string
		rule, place, who string
	}
	type seen struct {
		times int
		text  string
	}
	wrong := map[kind]seen{}
	excepted := map[string]int{}
	operations := map[string]bool{}
	checked := map[oktaspec.Side]int{}
	check := func(e oktasim.Exchange, side oktaspec.Side, body oktasim.Message) {
		if body.Omitted {
			t.Errorf("the %s of %s %s is too large to be checked", side, e.Method, e.Path)
			return
		}
		checked[side]++
		for _, d := range spec.Check(e, side) {
			if i, place := oktaspec.Excepted(d); i >= 0 {
				excepted[fmt.Sprint(i, place)]++
				excepted[fmt.Sprint(i, d.Operation)]++
				continue
			}
			k := kind{d.Side, d.Operation, d.Kind, d.Place, client(e)}
			wrong[k] = seen{wrong[k].times + 1, fmt.Sprintf("%s %s (%d): %.300s", e.Method, e.Path, e.Status, d.Text)}
		}
	}
	for _, e := range all {
		if slices.Contains(strictClients, client(e)) {
			check(e, oktaspec.Request, e.Request)
			operations[e.Operation] = true
		}
		if e.Status != 0 && !slices.Contains(notOktas, e.Fault) {
			check(e, oktaspec.Response, e.Response)
			operations[e.Operation] = true
		}
	}
	for k, w := range wrong {
		t.Errorf("%s of %s by %q: %s %s, %d times, such as %s", k.side, k.operation, k.who, k.rule, k.place, w.times, w.text)
	}
	for i, x := range oktaspec.Exceptions {
		for _, what := range slices.Concat(x.Places, x.Operations) {
			if excepted[fmt.Sprint(i, what)] == 0 {
				t.Errorf("no exchange needs %q in the exception %v %s %v (%s): remove it", what, x.Operations, x.Kind, x.Places, x.Why)
			}
		}
	}
	delete(operations, "")
	t.Logf("%d kinds of exchanges of %d operations: %d requests and %d answers are as Okta's spec says, with %d exceptions",
		len(all), len(operations), checked[oktaspec.Request], checked[oktaspec.Response], len(oktaspec.Exceptions))
	t.Log(slices.Sorted(maps.Keys(operations)))
}
