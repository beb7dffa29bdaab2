package faults

import (
	"fmt"
	"testing"
	"testing/synctest"

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
							r := g.rotate(s.policy())
							if r.Result != s.result() {
								t.Errorf("it ended %s, not %s: %v", r.Result, s.result(), r.Error)
							}
							g.next(s.policy())
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
