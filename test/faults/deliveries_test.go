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
// after each later step of the rotation, and after its end. The approver answers
// some hours after the mail, or some minutes, in which a late call of a step may
// still be carried out.
func TestLateDeliveries(t *testing.T) {
	for _, s := range usual() {
		for _, answered := range []time.Duration{delay, 10 * time.Minute} {
			t.Run(fmt.Sprintf("%s after %s", s, answered), func(t *testing.T) {
				t.Parallel()
				steps := deliveriesOf(t, s)
				for _, d := range sample(doublings(steps)) {
					t.Run(fmt.Sprintf("%s again after %s", d.twice, d.after), func(t *testing.T) {
						outside := simulated.Prepare(t, s.ca)
						synctest.Test(t, func(t *testing.T) {
							g := s.set(t, outside, nil)
							defer g.leave()
							g.person.Delay = answered
							g.Redeliver(d.twice.N, d.after.N)
							s.meets(g, d.twice)
						})
					})
				}
			})
		}
	}
}

// doubling is a step that is delivered a second time, after another or itself.
type doubling struct{ twice, after simulated.Delivery }

func doublings(steps []simulated.Delivery) (all []doubling) {
	for i, twice := range steps {
		for _, after := range steps[i:] {
			all = append(all, doubling{twice, after})
		}
	}
	return all
}

// deliveriesOf are the functions that a scenario's state machine calls.
func deliveriesOf(t *testing.T, s scenario) (steps []simulated.Delivery) {
	t.Helper()
	outside := simulated.Prepare(t, s.ca)
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
