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
//
// In the plain scenarios and in those of an app with each of the other CAs, each
// call meets every fault. In all others the calls that none of those which are
// like them makes meet every fault, and the calls that they have in common meet
// one of thin.
func TestMatrix(t *testing.T) {
	for n, s := range scenarios() {
		t.Run(s.String(), func(t *testing.T) {
			t.Parallel()
			all := faults(callsOf(t, s))
			var known []simulated.Call
			for _, other := range s.like() {
				known = append(known, callsOf(t, other)...)
			}
			all = thinned(all, known, n)
			for _, fault := range sample(all) {
				t.Run(fault.String(), func(t *testing.T) {
					outside := simulated.Prepare(t, s.ca)
					synctest.Test(t, func(t *testing.T) { s.survives(t, outside, fault) })
				})
			}
		})
	}
}

// like are scenarios that make most of the scenario's calls, and meet every
// fault there.
func (s scenario) like() (all []scenario) {
	if s == s.plain() {
		return nil
	}
	if s.kind == rotation.KindIDP {
		app := s
		app.kind = rotation.KindApp
		all = append(all, app)
	}
	if s.kind == rotation.KindApp && s.ca != rotation.AuthorityLocal {
		if s.order == rotation.BeforeSwitch {
			return nil
		}
		all = append(all, scenario{kind: s.kind, order: rotation.BeforeSwitch, answer: simulated.Confirm, ca: s.ca})
	}
	return append(all, s.plain())
}

// thin is of how many cases one runs that has its like elsewhere.
const thin = 6

// thinned keeps the faults of calls that are not known, and one of thin of the
// others, from the n-th on.
func thinned(all []simulated.Fault, known []simulated.Call, n int) (kept []simulated.Fault) {
	for _, f := range all {
		if slices.Contains(known, f.At) {
			if n++; n%thin != 0 {
				continue
			}
		}
		kept = append(kept, f)
	}
	return kept
}

// callsOf are the calls of a scenario in which nothing fails.
func callsOf(t *testing.T, s scenario) (calls []simulated.Call) {
	t.Helper()
	outside := simulated.Prepare(t, s.ca)
	synctest.Test(t, func(t *testing.T) {
		g := s.set(t, outside, nil)
		defer g.leave()
		if r := g.rotate(s.policy()); r.Result != s.result() {
			t.Errorf("without a fault it ended %s, not %s: %v", r.Result, s.result(), r.Error)
		}
		calls = g.Calls()
		s.makes(t, calls)
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
			fault.At.State == "AnnounceEnd" && strings.HasPrefix(what, unannounced)
	})
	if !g.Hit() {
		t.Error("the fault did not strike")
	}
	if passes(fault.Kind) && r.Result != s.result() {
		t.Errorf("it ended %s, not %s, for a failure that passes by itself: error %v, way back %v", r.Result, s.result(), r.Error, r.Rollback)
	}
	g.next(s.policy())
	for _, err := range g.person.Refused() {
		t.Errorf("the page gave as metadata what the partner refuses: %v", err)
	}
}

// passes tells whether a call fails in a way that passes by itself: retries see
// to it that the rotation ends as without it.
func passes(kind simulated.FaultKind) bool {
	return !slices.Contains([]simulated.FaultKind{simulated.Denied, simulated.Outage, simulated.Malformed}, kind)
}
