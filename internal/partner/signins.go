package partner

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Attempt is one sign-in.
type Attempt struct {
	Began, Ended time.Time
	// Err is why the user did not get in; nil for one who did.
	Err error
}

// SignIns has users sign in through a partner at an interval, one after the
// other, and keeps what became of it. Its clock is package time's, so that it
// counts a test's own time in a bubble of testing/synctest.
type SignIns struct {
	began time.Time
	stop  context.CancelFunc
	ended chan struct{}

	mu       sync.Mutex
	attempts []Attempt
	more     chan struct{} // closed when there is another attempt
}

// Watch starts signing in: at once, and then at the interval, until Stop or
// until the context ends. A sign-in that takes longer than the interval delays
// the next. One that is under way at the end is waited for and counts.
func Watch(ctx context.Context, p Partner, every time.Duration) *SignIns {
	ctx, cancel := context.WithCancel(ctx)
	s := &SignIns{began: time.Now(), stop: cancel, ended: make(chan struct{}), more: make(chan struct{})}
	go s.run(ctx, p, every)
	return s
}

func (s *SignIns) run(ctx context.Context, p Partner, every time.Duration) {
	defer close(s.ended)
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for ctx.Err() == nil {
		a := Attempt{Began: time.Now()}
		a.Err = p.SignIn(context.WithoutCancel(ctx))
		a.Ended = time.Now()
		s.add(a)
		select {
		case <-ctx.Done():
		case <-ticker.C:
		}
	}
}

func (s *SignIns) add(a Attempt) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.attempts = append(s.attempts, a)
	close(s.more)
	s.more = make(chan struct{})
}

// Next waits for the end of the first sign-in that begins after the call. The
// error is the context's.
func (s *SignIns) Next(ctx context.Context) (Attempt, error) {
	from := time.Now()
	for {
		s.mu.Lock()
		i := slices.IndexFunc(s.attempts, func(a Attempt) bool { return a.Began.After(from) })
		more := s.more
		if i >= 0 {
			a := s.attempts[i]
			s.mu.Unlock()
			return a, nil
		}
		s.mu.Unlock()
		select {
		case <-ctx.Done():
			return Attempt{}, ctx.Err()
		case <-more:
		}
	}
}

// Stop ends the sign-ins and gives all of them. It may be called more than once.
func (s *SignIns) Stop() Timeline {
	s.stop()
	<-s.ended
	s.mu.Lock()
	defer s.mu.Unlock()
	t := Timeline{Began: s.began, Attempts: slices.Clone(s.attempts)}
	t.Ended = t.Attempts[len(t.Attempts)-1].Ended
	return t
}

// Timeline is what became of the sign-ins of some time, in their order.
type Timeline struct {
	Began, Ended time.Time
	Attempts     []Attempt
}

// Failed are the sign-ins by which nobody got in.
func (t Timeline) Failed() []Attempt {
	return slices.DeleteFunc(slices.Clone(t.Attempts), func(a Attempt) bool { return a.Err == nil })
}

// LongestGap is the longest time in which nobody got in: from the end of one
// sign-in that worked to the end of the next, or from the timeline's beginning
// or to its end. Where all work it is about the interval.
func (t Timeline) LongestGap() time.Duration {
	last, longest := t.Began, time.Duration(0)
	for _, a := range t.Attempts {
		if a.Err == nil {
			longest, last = max(longest, a.Ended.Sub(last)), a.Ended
		}
	}
	return max(longest, t.Ended.Sub(last))
}

// FailedOutside are the failed sign-ins no part of which lies between two
// moments. What happens at a moment may hit a sign-in that is under way then.
func (t Timeline) FailedOutside(from, until time.Time) []Attempt {
	return slices.DeleteFunc(t.Failed(), func(a Attempt) bool { return a.overlaps(from, until) })
}

func (a Attempt) overlaps(from, until time.Time) bool {
	return !a.Ended.Before(from) && !a.Began.After(until)
}

// Mark is something that happens to a target or its partner, such as an upload.
type Mark struct {
	At   time.Time
	Name string
}

// Phase is the time between two marks in which sign-ins failed.
type Phase struct {
	From, Until Mark
	Failed      int
}

// Name is such as "upload → switch".
func (p Phase) Name() string { return p.From.Name + " → " + p.Until.Name }

// FailedIn lists the phases in which sign-ins failed, in their order: as few of
// them as explain every failure. The timeline's beginning and its end are marks
// as well, "start" and "end".
func (t Timeline) FailedIn(marks ...Mark) []Phase {
	marks = append([]Mark{{t.Began, "start"}}, marks...)
	marks = append(marks, Mark{t.Ended, "end"})
	slices.SortStableFunc(marks, func(a, b Mark) int { return a.At.Compare(b.At) })
	phases := make([]Phase, 0, len(marks))
	for i := range marks[1:] {
		phases = append(phases, Phase{From: marks[i], Until: marks[i+1]})
	}
	for left := t.Failed(); len(left) > 0; {
		best, rest := 0, left
		for i, p := range phases {
			if outside := (Timeline{Attempts: left}).FailedOutside(p.From.At, p.Until.At); len(outside) < len(rest) {
				best, rest = i, outside
			}
		}
		phases[best].Failed += len(left) - len(rest)
		left = rest
	}
	return slices.DeleteFunc(phases, func(p Phase) bool { return p.Failed == 0 })
}
