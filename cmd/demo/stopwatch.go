package main

import "time"

// stopwatch counts a rotation's own time, in which it waits for nobody.
type stopwatch struct {
	started time.Time
	// last is when the latest state was entered, waited how long the rotation
	// has waited for people by then, shown what the watch showed then.
	last          time.Time
	waited, shown time.Duration
}

// at is what the watch shows as a state is entered: never less than for the
// state before it, although the machine's clock and that of the local AWS may
// differ by some milliseconds.
func (w *stopwatch) at(entered time.Time) time.Duration {
	w.last, w.shown = entered, max(w.shown, entered.Sub(w.started)-w.waited)
	return w.shown
}

// goesOn ends a wait that began with the latest state.
func (w *stopwatch) goesOn(now time.Time) { w.waited += now.Sub(w.last) }
