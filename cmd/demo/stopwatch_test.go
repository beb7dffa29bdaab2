package main

import (
	"testing"
	"time"
)

func TestTheStopwatchLeavesTheWaitsOutAndNeverGoesBack(t *testing.T) {
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	after := func(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }
	w := stopwatch{started: start}
	same := func(what string, got time.Duration, want int) {
		t.Helper()
		if got != time.Duration(want)*time.Millisecond {
			t.Errorf("%s: %v, want %d ms", what, got, want)
		}
	}
	same("the first state", w.at(after(200)), 200)
	same("a state that waits", w.at(after(1090)), 1090)
	w.goesOn(after(60_000))
	same("the state after a person's turn", w.at(after(60_010)), 1100)
	same("a state that waits again", w.at(after(60_100)), 1190)
	w.goesOn(after(90_000))
	same("a state that was entered before the turn was over", w.at(after(89_990)), 1190)
	same("the last state", w.at(after(90_300)), 1490)
	same("in all", w.shown, 1490)
}
