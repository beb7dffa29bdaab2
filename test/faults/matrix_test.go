package faults

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"keyturn/internal/rotation"
	"keyturn/test/simulated"
)

// applies tells whether a call can fail in a way.
func applies(c simulated.Call, kind simulated.FaultKind) bool {
	// Step Functions itself cannot be killed.
	return c.Function != "rotation" || kind != simulated.KillBefore && kind != simulated.KillAfter
}

// TestMatrix has every call of every scenario fail in every way, one at a time.
// The calls are those that the scenario makes when nothing fails, so that a new
// call is in the matrix by itself.
func TestMatrix(t *testing.T) {
	for _, s := range scenarios() {
		t.Run(s.String(), func(t *testing.T) {
			t.Parallel()
			for _, call := range callsOf(t, s) {
				for _, kind := range simulated.Kinds {
					if !applies(call, kind) {
						continue
					}
					t.Run(call.String()+" "+string(kind), func(t *testing.T) {
						outside := simulated.Prepare(t)
						synctest.Test(t, func(t *testing.T) {
							s.survives(t, outside, simulated.Fault{At: call, Kind: kind})
						})
					})
				}
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
		// EventBridge is down for longer than the retries: the execution itself
		// shows how it ended.
		return fault.At.State == "AnnounceEnd" && fault.Kind == simulated.Outage && strings.HasPrefix(what, "nobody was told")
	})
	if !g.Hit() {
		t.Error("the fault did not strike")
	}
	if out := g.Partner.LockedOut(); s.order == rotation.BeforeSwitch && len(out) > 0 {
		t.Errorf("users of a partner with two certificates were locked out after %q", slices.Compact(out))
	}
	g.next(s.policy())
}
