package partner

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"keyturn/internal/oktasim"
)

// happens is what a person or Keyturn does to a target, some time after the
// sign-ins have begun.
type happens struct {
	after time.Duration
	what  string // upload, upload old, switch or switch back
}

// measured has users sign in every second for ten seconds while things happen.
func (l *lab) measured(all ...happens) (Timeline, []Mark) {
	l.t.Helper()
	began := time.Now()
	s := Watch(l.t.Context(), l.partner, time.Second)
	var marks []Mark
	for _, h := range all {
		time.Sleep(time.Until(began.Add(h.after)))
		marks = append(marks, Mark{time.Now(), h.what})
		switch h.what {
		case "upload":
			l.upload(l.new)
		case "upload old":
			l.upload(l.old)
		case "switch":
			l.switchTo(l.new)
		case "switch back":
			l.switchTo(l.old)
		}
	}
	time.Sleep(time.Until(began.Add(9*time.Second + time.Second/2)))
	return s.Stop(), marks
}

// The upload is at 3.5 s, the switch 4 s later, or the other way round: so four
// sign-ins, of each second one, are between the two.
func TestSignInsFailOnlyBetweenUploadAndSwitch(t *testing.T) {
	upload, change := happens{3500 * time.Millisecond, "upload"}, happens{7500 * time.Millisecond, "switch"}
	early, late := happens{3500 * time.Millisecond, "switch"}, happens{7500 * time.Millisecond, "upload"}
	for _, c := range []struct {
		name    string
		kinds   []string
		options Options
		happens []happens
		phase   string // the one in which sign-ins fail, "" for none
		gap     time.Duration
	}{
		{"nothing happens", both, Options{}, nil, "", time.Second},
		{"before-switch, two certificates", both, Options{Capacity: 2}, []happens{upload, change}, "", time.Second},
		{"before-switch, one certificate", both, Options{Capacity: 1}, []happens{upload, change}, "upload → switch", 5 * time.Second},
		{"before-switch, an IdP that encrypts", []string{oktasim.KindIDP}, Options{Encrypts: true}, []happens{upload, change}, "upload → switch", 5 * time.Second},
		{"before-switch, an IdP that encrypts and changes over with the switch", []string{oktasim.KindIDP}, Options{Encrypts: true},
			[]happens{{7500 * time.Millisecond, "upload"}, change}, "", time.Second},
		{"after-switch, two certificates", both, Options{Capacity: 2}, []happens{early, late}, "switch → upload", 5 * time.Second},
		{"after-switch, one certificate", both, Options{Capacity: 1}, []happens{early, late}, "switch → upload", 5 * time.Second},
		{"after-switch, an IdP that encrypts", []string{oktasim.KindIDP}, Options{Encrypts: true}, []happens{early, late}, "switch → upload", 5 * time.Second},
		{"after-switch, and nobody can upload", both, Options{}, []happens{early, {7500 * time.Millisecond, "switch back"}}, "switch → switch back", 5 * time.Second},
		{"before-switch, one certificate, and the switch is taken back", both, Options{Capacity: 1},
			[]happens{{3400 * time.Millisecond, "upload"}, {3450 * time.Millisecond, "switch"}, {3500 * time.Millisecond, "switch back"}, {7500 * time.Millisecond, "upload old"}},
			"switch back → upload old", 5 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			in(t, c.kinds, c.options, func(l *lab) {
				line, marks := l.measured(c.happens...)
				if len(line.Attempts) != 10 {
					l.t.Errorf("%d sign-ins in 9.5 s, one a second, from the first moment on", len(line.Attempts))
				}
				failed := 0
				if c.phase != "" {
					failed = 4
				}
				if got := line.Failed(); len(got) != failed {
					l.t.Errorf("%d sign-ins failed, not %d: %v", len(got), failed, got)
				}
				if got := line.LongestGap(); got != c.gap {
					l.t.Errorf("the longest time without a sign-in is %s, not %s", got, c.gap)
				}
				var names []string
				for _, phase := range line.FailedIn(marks...) {
					names = append(names, phase.Name())
				}
				if want := slices.DeleteFunc([]string{c.phase}, func(s string) bool { return s == "" }); !slices.Equal(names, want) {
					l.t.Errorf("sign-ins failed in %q, not in %q", names, want)
				}
			})
		})
	}
}

var errRefused = errors.New("refused")

// line is a timeline of sign-ins of a second each, that begin at whole seconds:
// an o for one that works, an x for one that fails.
func line(text string) Timeline {
	t := Timeline{Began: second(0), Ended: second(len(text))}
	for i, c := range text {
		a := Attempt{Began: second(i), Ended: second(i + 1)}
		if c == 'x' {
			a.Err = errRefused
		}
		t.Attempts = append(t.Attempts, a)
	}
	return t
}

func second(n int) time.Time { return time.Unix(int64(n), 0) }

func half(n int) time.Time { return second(n).Add(time.Second / 2) }

func TestTheLongestGapCountsFromTheBeginningAndToTheEnd(t *testing.T) {
	for text, want := range map[string]int{"ooo": 1, "oxo": 2, "xxoxo": 3, "oxoxxx": 3, "xx": 2, "oxxooxo": 3} {
		if got := line(text).LongestGap(); got != time.Duration(want)*time.Second {
			t.Errorf("%s: %s, not %d s", text, got, want)
		}
	}
}

func TestASignInThatIsUnderWayWhenItHappensBelongsToBothSides(t *testing.T) {
	// The first that fails begins before the upload, the last ends after the switch.
	l := line("ooxxxoo")
	if outside := l.FailedOutside(half(2), half(4)); len(outside) > 0 {
		t.Errorf("outside are %v", outside)
	}
	if outside := l.FailedOutside(half(3), half(4)); len(outside) != 1 || outside[0] != l.Attempts[2] {
		t.Errorf("the sign-in before is not outside: %v", outside)
	}
	if outside := l.FailedOutside(half(2), half(3)); len(outside) != 1 || outside[0] != l.Attempts[4] {
		t.Errorf("the sign-in after is not outside: %v", outside)
	}
}

func TestFailuresAreExplainedByAsFewPhasesAsPossible(t *testing.T) {
	start, upload, change, end := Mark{second(0), "start"}, Mark{half(2), "upload"}, Mark{half(4), "switch"}, Mark{second(7), "end"}
	for _, c := range []struct {
		text string
		want []Phase
	}{
		{"ooooooo", []Phase{}},
		{"ooxxxoo", []Phase{{upload, change, 3}}},
		{"xoxxxoo", []Phase{{start, upload, 1}, {upload, change, 3}}},
		{"ooooxxx", []Phase{{change, end, 3}}},
		{"xxxxxxx", []Phase{{start, upload, 3}, {upload, change, 1}, {change, end, 3}}},
	} {
		if diff := cmp.Diff(c.want, line(c.text).FailedIn(change, upload)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.text, diff)
		}
	}
}

// slow is a partner whose sign-ins take their time.
type slow struct {
	Partner
	takes time.Duration
}

func (s slow) SignIn(ctx context.Context) error {
	time.Sleep(s.takes)
	return ctx.Err()
}

func TestASignInUnderWayAtTheEndIsWaitedForAndCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := Watch(t.Context(), slow{takes: 5 * time.Second}, time.Second)
		time.Sleep(7 * time.Second)
		got := s.Stop()
		if len(got.Attempts) != 2 || len(got.Failed()) > 0 || got.Ended.Sub(got.Began) != 10*time.Second {
			t.Errorf("%+v", got)
		}
		if again := s.Stop(); len(again.Attempts) != 2 {
			t.Error("a second Stop gives another timeline")
		}
	})
}

func TestNextIsASignInThatHasNotBegun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := Watch(t.Context(), slow{takes: 3 * time.Second}, 4*time.Second)
		time.Sleep(time.Second)
		called := time.Now()
		a, err := s.Next(t.Context())
		if err != nil || a.Began.Sub(called) != 3*time.Second || a.Ended.Sub(called) != 6*time.Second {
			t.Errorf("it began %s and ended %s after the call: %v", a.Began.Sub(called), a.Ended.Sub(called), err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := s.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the error is %v", err)
		}
		s.Stop()
	})
}
