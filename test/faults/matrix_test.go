package faults

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"keyturn/internal/rotation"
	"keyturn/test/simulated"
)

// faults are all ways for each of the calls to fail.
func faults(calls []simulated.Call) (all []simulated.Fault) {
	for _, call := range calls {
		for _, kind := range simulated.Kinds {
			// Step Functions itself cannot be killed.
			if call.Function == "rotation" && (kind == simulated.KillBefore || kind == simulated.KillAfter) {
				continue
			}
			all = append(all, simulated.Fault{At: call, Kind: kind})
		}
	}
	return all
}

// TestMatrix has every call of every scenario fail in every way, one at a time.
// The calls are those that the scenario makes when nothing fails, so that a new
// call is in the matrix by itself.
func TestMatrix(t *testing.T) {
	for _, s := range scenarios() {
		t.Run(s.String(), func(t *testing.T) {
			t.Parallel()
			for _, fault := range sample(faults(callsOf(t, s))) {
				t.Run(fault.String(), func(t *testing.T) {
					outside := simulated.Prepare(t)
					synctest.Test(t, func(t *testing.T) { s.survives(t, outside, fault) })
				})
			}
		})
	}
}

// callsOf are the calls of a scenario in which nothing fails.
func callsOf(t *testing.T, s scenario) (calls []simulated.Call) {
	t.Helper()
	outside := simulated.Prepare(t)
	synctest.Test(t, func(t *testing.T) {
		g := s.set(t, outside, nil)
		defer g.leave()
		if r := g.rotate(s.policy()); r.Result != s.result() {
			t.Errorf("without a fault it ended %s, not %s: %v", r.Result, s.result(), r.Error)
		}
		calls = g.Calls()
		g.next(s.policy())
	})
	return calls
}

// survives has a rotation meet a fault, and the next one complete.
func (s scenario) survives(t *testing.T, outside simulated.Outside, fault simulated.Fault) {
	t.Helper()
	g := s.set(t, outside, &fault)
	defer g.leave()
	r := g.End(t, g.Begin(t, s.policy()))
	g.checkBut(r, func(what string) bool {
		if fault.Kind != simulated.Outage {
			return false
		}
		// Okta, or what the way to it needs, is down for longer than the way back
		// is tried, or EventBridge for longer than the end is announced: the report
		// or the execution itself shows it.
		return strings.HasPrefix(what, noWayBack) || strings.HasPrefix(what, notRevoked) ||
			fault.At.State == "AnnounceEnd" && strings.HasPrefix(what, "nobody was told")
	})
	if !g.Hit() {
		t.Error("the fault did not strike")
	}
	if passes(fault.Kind) && r.Result != s.result() {
		t.Errorf("it ended %s, not %s, for a failure that passes by itself: error %v, way back %v", r.Result, s.result(), r.Error, r.Rollback)
	}
	if out := g.Partner.LockedOut(); s.order == rotation.BeforeSwitch && len(out) > 0 {
		t.Errorf("users of a partner with two certificates were locked out after %q", slices.Compact(out))
	}
	g.next(s.policy())
}

// passes tells whether a call fails in a way that passes by itself: retries see
// to it that the rotation ends as without it.
func passes(kind simulated.FaultKind) bool {
	return !slices.Contains([]simulated.FaultKind{simulated.Denied, simulated.Outage, simulated.Malformed}, kind)
}
