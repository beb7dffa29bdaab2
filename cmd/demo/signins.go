package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"keyturn/internal/partner"
	"keyturn/internal/playground"
	"keyturn/internal/rotation"
)

// every is how often a user signs in through each partner. A sign-in takes some
// milliseconds of one processor.
const every = 50 * time.Millisecond

// side is a partner of a scenario's target, and the one phase of its rotation in
// which sign-ins through it must fail; empty for none.
type side struct {
	name    string
	options partner.Options
	fails   string
}

// lane is a partner and the sign-ins through it.
type lane struct {
	label   string
	kind    rotation.Kind
	id      string
	order   rotation.UploadOrder
	partner string
	fails   string

	other   partner.Partner
	signIns *partner.SignIns
	line    partner.Timeline
	marks   []partner.Mark
}

// watch sets the partners up and has users sign in through them. The lanes are
// by scenario.
func watch(ctx context.Context, p *playground.Playground, all []scenario, before []standing) [][]*lane {
	lanes := make([][]*lane, len(all))
	for i, s := range all {
		for _, side := range s.partners {
			l := &lane{label: before[i].label, kind: s.target.Kind, id: s.target.ID, order: s.order, partner: side.name, fails: side.fails}
			if s.target.Kind == rotation.KindIDP {
				l.other = partner.ForIDP(p.Org, s.target.ID, side.options)
			} else {
				l.other = partner.ForApp(p.Org, s.target.ID, side.options)
			}
			lanes[i] = append(lanes[i], l)
		}
	}
	for _, l := range slices.Concat(lanes...) {
		l.signIns = partner.Watch(ctx, l.other, every)
	}
	return lanes
}

// oneMore waits until one more user has tried to sign in through each partner:
// so that there is somebody to notice what has just happened, however busy the
// machine is.
func oneMore(ctx context.Context, lanes []*lane) error {
	for _, l := range lanes {
		if _, err := l.signIns.Next(ctx); err != nil {
			return fmt.Errorf("sign-ins through %s: %w", l.label, err)
		}
	}
	return nil
}

// upload is what an approver does with the certificate of a message.
func upload(ctx context.Context, message string, lanes []*lane) error {
	certificate, err := playground.Certificate(message)
	if err != nil {
		return err
	}
	for _, l := range lanes {
		l.marks = append(l.marks, partner.Mark{At: time.Now(), Name: "upload"})
		if err := l.other.Upload(certificate); err != nil {
			return err
		}
	}
	return oneMore(ctx, lanes)
}

// end ends the sign-ins.
func (l *lane) end(p *playground.Playground) {
	l.line = l.signIns.Stop()
	for i, s := range p.Org.Switches(string(l.kind), l.id) {
		l.marks = append(l.marks, partner.Mark{At: s.At, Name: []string{"switch", "switch back"}[min(i, 1)]})
	}
	slices.SortFunc(l.marks, func(a, b partner.Mark) int { return a.At.Compare(b.At) })
}

// phases are those in which sign-ins failed, with the time that each took.
func (l *lane) phases() string {
	var text []string
	for _, phase := range l.line.FailedIn(l.marks...) {
		text = append(text, fmt.Sprintf("%s, %s", phase.Name(), seconds(phase.Until.At.Sub(phase.From.At))))
	}
	return cmp.Or(strings.Join(text, "; "), "–")
}

// wrong lists what is not as the scenario promises: sign-ins that failed where
// none may, none that failed where they must, and a measurement that has not
// looked at the moment that counts.
func (l *lane) wrong() []string {
	var wrong []string
	var names []string
	for _, phase := range l.line.FailedIn(l.marks...) {
		names = append(names, phase.Name())
	}
	if got := strings.Join(names, ", "); got != l.fails {
		text := fmt.Sprintf("sign-ins through the partner with %s failed in %q, and were to fail in %q", l.partner, got, l.fails)
		if failed := l.line.Failed(); len(failed) > 0 {
			text += fmt.Sprintf("; the first: %v", failed[0].Err)
		}
		wrong = append(wrong, text)
	}
	for i := 1; i < len(l.marks); i++ {
		from, until := l.marks[i-1].At, l.marks[i].At
		if !slices.ContainsFunc(l.line.Attempts, func(a partner.Attempt) bool { return a.Began.After(from) && a.Ended.Before(until) }) {
			wrong = append(wrong, fmt.Sprintf("nobody signed in through the partner with %s between %s and %s", l.partner, l.marks[i-1].Name, l.marks[i].Name))
		}
	}
	return wrong
}
