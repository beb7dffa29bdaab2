package faults

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"keyturn/test/simulated"
)

// TestLateDeliveries has Lambda deliver every step a second time: at once, and
// after each later step of the rotation, and after its end.
func TestLateDeliveries(t *testing.T) {
	for _, s := range scenarios() {
		t.Run(s.String(), func(t *testing.T) {
			t.Parallel()
			steps := deliveriesOf(t, s)
			for again := range steps {
				for after := again; after <= steps[len(steps)-1].N; after++ {
					t.Run(fmt.Sprintf("%s again after %s", steps[again], steps[after]), func(t *testing.T) {
						outside := simulated.Prepare(t)
						synctest.Test(t, func(t *testing.T) {
							g := s.set(t, outside, nil)
							defer g.leave()
							g.Redeliver(again, after)
							s.meets(g, steps[again])
						})
					})
				}
			}
		})
	}
}

// deliveriesOf are the functions that a scenario's state machine calls.
func deliveriesOf(t *testing.T, s scenario) (steps []simulated.Delivery) {
	t.Helper()
	outside := simulated.Prepare(t)
	synctest.Test(t, func(t *testing.T) {
		g := s.set(t, outside, nil)
		defer g.leave()
		g.rotate(s.policy())
		steps = g.Deliveries()
	})
	return steps
}

// meets has the rotation of a stage end as if no step had been delivered twice.
//
// One trace is allowed: a request for a CSR that is repeated within the hour,
// but after the publication, makes a CSR that nobody asked for. The next
// rotation that needs one takes it.
func (s scenario) meets(g *stage, twice simulated.Delivery) {
	g.t.Helper()
	fine := func(what string) bool {
		return twice.State == "GenerateCsr" && strings.Contains(what, "is left pending")
	}
	r := g.End(g.t, g.Begin(g.t, s.policy()))
	if r.Result != s.result() {
		g.t.Errorf("it ended %s, not %s: %v", r.Result, s.result(), r.Error)
	}
	g.checkBut(r, fine)
	left := len(g.PendingCSRs())
	g.answer.Store("confirm")
	time.Sleep(26 * time.Hour)
	r = g.End(g.t, g.Begin(g.t, s.policy()))
	g.checkBut(r, fine)
	if r.Result != "Completed" {
		g.t.Errorf("the next rotation ended %s: %v", r.Result, r.Error)
	}
	if left > 0 {
		g.aYearLater(s.policy())
	}
}
