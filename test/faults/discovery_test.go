package faults

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"keyturn/internal/rotation"
	"keyturn/test/simulated"
)

// discoveries are the org's two kinds of targets, one due in each.
func discoveries() []scenario {
	return []scenario{
		{kind: rotation.KindApp, order: rotation.BeforeSwitch, answer: "confirm", ca: rotation.AuthorityLocal},
		{kind: rotation.KindIDP, order: rotation.BeforeSwitch, answer: "confirm", ca: rotation.AuthorityKMS},
	}
}

// TestDiscoveryMatrix has every call of discovery fail in every way. By the next
// day's discovery the target is rotated, once. Where an IdP is due, the calls
// that are the same where an app is due meet one fault of thin.
func TestDiscoveryMatrix(t *testing.T) {
	for n, s := range discoveries() {
		t.Run(s.String(), func(t *testing.T) {
			t.Parallel()
			all := faults(discoveryCallsOf(t, s))
			if n > 0 {
				all = thinned(all, discoveryCallsOf(t, discoveries()[0]), n)
			}
			for _, fault := range sample(all) {
				t.Run(fault.String(), func(t *testing.T) {
					outside := simulated.Prepare(t, s.ca).WithBucket(t)
					synctest.Test(t, func(t *testing.T) { s.isDiscovered(t, outside, &fault) })
				})
			}
		})
	}
}

func discoveryCallsOf(t *testing.T, s scenario) (calls []simulated.Call) {
	t.Helper()
	outside := simulated.Prepare(t, s.ca).WithBucket(t)
	synctest.Test(t, func(t *testing.T) { calls = s.isDiscovered(t, outside, nil) })
	if len(calls) < 8 {
		t.Fatalf("discovery made only the calls %v", calls)
	}
	return calls
}

// isDiscovered has discovery run on two days, and gives the calls of the first.
func (s scenario) isDiscovered(t *testing.T, outside simulated.Outside, fault *simulated.Fault) []simulated.Call {
	t.Helper()
	g := s.set(t, outside, fault)
	defer g.leave()
	first := g.Discover(t)
	calls := slices.DeleteFunc(g.Calls(), func(c simulated.Call) bool { return !isDiscovery(c) })
	if fault != nil && !g.Hit() {
		t.Error("the fault did not strike")
	}
	if fault == nil && first.Status != succeeded {
		t.Errorf("without a fault, discovery ended %s: %s", first.Status, first.Cause)
	}
	var ended []simulated.Report
	for range 2 {
		for _, e := range g.Rotations()[len(ended):] {
			r := g.End(t, e)
			g.check(r)
			ended = append(ended, r)
		}
		time.Sleep(24 * time.Hour)
		if again := g.Discover(t); again.Status != succeeded {
			t.Errorf("the next day's discovery ended %s: %s", again.Status, again.Cause)
		}
	}
	if len(ended) != 1 || ended[0].Result != "Completed" {
		t.Errorf("%d rotations ran in two days: %+v", len(ended), ended)
	}
	if !slices.ContainsFunc(g.Objects(), func(key string) bool { return strings.HasSuffix(key, ".html") }) {
		t.Errorf("there is no report among %q", g.Objects())
	}
	return calls
}

func isDiscovery(c simulated.Call) bool {
	return slices.Contains([]string{"ListApps", "StartRotations", "DescribeAuthorities", "ReportInventory", "AnnounceFailure"}, c.State)
}
