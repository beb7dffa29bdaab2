package faults

import (
	"testing"
	"testing/synctest"
	"time"

	"keyturn/test/simulated"
)

// TestStopped has somebody stop the execution by hand at each of its calls, and
// while it waits. The function that is at work then goes on to its end, as
// Lambda has it.
func TestStopped(t *testing.T) {
	for _, s := range usual() {
		t.Run(s.String(), func(t *testing.T) {
			t.Parallel()
			for _, call := range sample(callsOf(t, s)) {
				t.Run(call.String(), func(t *testing.T) { s.isStopped(t, call, 0) })
				if call.State == "RequestUpload" && call.Function == "rotation" {
					t.Run(call.String()+" while it waits", func(t *testing.T) { s.isStopped(t, call, delay/2) })
				}
			}
		})
	}
}

func (s scenario) isStopped(t *testing.T, at simulated.Call, later time.Duration) {
	t.Helper()
	outside := simulated.Prepare(t, s.ca)
	synctest.Test(t, func(t *testing.T) {
		g := s.set(t, outside, nil)
		defer g.leave()
		g.StopAt(at, later)
		r := g.End(t, g.Begin(t, s.policy()))
		time.Sleep(10 * time.Minute) // the function that was at work is done
		if r.Status != aborted {
			// The page's calls are made when nothing is left to be stopped.
			if r.Result != s.result() {
				t.Errorf("it was not stopped, and ended %s", r.Result)
			}
		}
		g.check(r)
		g.next(s.policy())
	})
}
