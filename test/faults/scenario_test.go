package faults

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"keyturn/internal/rotation"
	"keyturn/test/simulated"
)

// scenario is a way for a rotation to go when nothing fails.
type scenario struct {
	kind   rotation.Kind
	order  rotation.UploadOrder
	answer string // "confirm" or "reject"
	ca     rotation.CertificateAuthority
	// channel is how people are asked; empty: by mail.
	channel string
	// turn is what happens besides; empty: nothing.
	turn turn
}

func (s scenario) String() string {
	return strings.Join(strings.Fields(fmt.Sprintf("%s %s %s %s %s %s", s.kind, s.order, s.answer, s.ca, s.channel, s.turn)), " ")
}

func (s scenario) policy() map[string]any {
	policy := map[string]any{"uploadOrder": s.order}
	maps.Copy(policy, turns[s.turn].policy)
	return policy
}

// result is how a rotation of the scenario ends when nothing fails.
func (s scenario) result() string {
	switch {
	case turns[s.turn].result != "":
		return turns[s.turn].result
	case s.answer == simulated.Confirm:
		return "Completed"
	case s.order == rotation.AfterSwitch:
		return "RolledBack"
	}
	return "GaveUp"
}

// scenarios are all kinds, orders and answers, with the stack's usual CA and
// mails; those that are confirmed with every other CA, one that nobody signs
// for by hand, the way back with the CAs of AWS, and those that are asked for in
// other ways, or in which something happens besides.
func scenarios() []scenario {
	var all []scenario
	for _, kind := range kinds {
		for _, order := range []rotation.UploadOrder{rotation.BeforeSwitch, rotation.AfterSwitch} {
			for _, answer := range []string{simulated.Confirm, simulated.Reject} {
				all = append(all, scenario{kind: kind, order: order, answer: answer, ca: rotation.AuthorityLocal})
			}
		}
		for _, ca := range []rotation.CertificateAuthority{rotation.AuthorityKMS, rotation.AuthorityACMPCA, rotation.AuthorityStepCA, rotation.AuthorityManual} {
			all = append(all, scenario{kind: kind, order: rotation.BeforeSwitch, answer: simulated.Confirm, ca: ca})
		}
		all = append(all, scenario{kind: kind, order: rotation.BeforeSwitch, answer: simulated.Reject, ca: rotation.AuthorityManual})
		for _, ca := range []rotation.CertificateAuthority{rotation.AuthorityKMS, rotation.AuthorityACMPCA} {
			all = append(all, scenario{kind: kind, order: rotation.AfterSwitch, answer: simulated.Reject, ca: ca})
		}
	}
	for _, channel := range []string{simulated.Chat, simulated.Topic} {
		all = append(all, scenario{kind: rotation.KindApp, order: rotation.BeforeSwitch, answer: simulated.Confirm, ca: rotation.AuthorityLocal, channel: channel})
	}
	return append(all, turned()...)
}

var kinds = []rotation.Kind{rotation.KindApp, rotation.KindIDP}

// usual are those with the stack's usual CA.
func usual() []scenario {
	return slices.DeleteFunc(scenarios(), func(s scenario) bool { return s != s.plain() })
}

// plain is the scenario with the stack's usual CA and mails, and nothing besides.
func (s scenario) plain() scenario {
	return scenario{kind: s.kind, order: s.order, answer: s.answer, ca: rotation.AuthorityLocal}
}

// stage is a world with its people, in a bubble.
type stage struct {
	*simulated.World

	t      *testing.T
	order  rotation.UploadOrder
	answer atomic.Value
	person *simulated.Person
	leave  func()
}

// delay is what passes between a mail and its answer.
const delay = 2 * time.Hour

// set sets a scenario's stage. Who sets it has to leave it.
func (s scenario) set(t *testing.T, outside simulated.Outside, fault *simulated.Fault) *stage {
	t.Helper()
	g := &stage{t: t, order: s.order, World: simulated.New(t, outside, simulated.Options{
		Kind: s.kind, CA: s.ca, Channel: s.channel, Shared: turns[s.turn].shared, Fault: fault, Policy: `{"mode": "rotate"}`,
	})}
	g.answer.Store(cmp.Or(turns[s.turn].answer, s.answer))
	g.person = &simulated.Person{World: g.World, Address: cmp.Or(s.channel, simulated.Approver), Delay: delay, Imports: s.turn == imported}
	g.person.Answers = func(m simulated.Mail) string {
		if strings.Contains(m.Subject, simulated.SourceLabel) {
			return "" // another target's
		}
		return g.answer.Load().(string)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := g.person.Attend(ctx, g.Mailbox())
	g.leave = func() {
		g.Close()
		cancel()
		<-done
		time.Sleep(10 * time.Minute) // functions that were at work are done
	}
	if begins := turns[s.turn].begins; begins != nil {
		begins(g, s.policy())
	}
	return g
}

// rotate has a rotation run to its end, and checks what must hold then.
func (g *stage) rotate(policy map[string]any) simulated.Report {
	g.t.Helper()
	r := g.End(g.t, g.Begin(g.t, policy))
	g.check(r)
	return r
}

func (g *stage) check(r simulated.Report) {
	g.t.Helper()
	g.checkBut(r, func(string) bool { return false })
}

// checkBut checks all but what is as it should be here.
func (g *stage) checkBut(r simulated.Report, fine func(what string) bool) {
	g.t.Helper()
	for _, what := range slices.DeleteFunc(broken(g.World, g.order, r), fine) {
		g.t.Errorf("after a rotation that ended %s (%s; error %v, way back %v): %s", r.Result, r.Status, r.Error, r.Rollback, what)
	}
}

// next has the rotation of the next day run, which must complete without help.
func (g *stage) next(policy map[string]any) simulated.Report {
	g.t.Helper()
	g.answer.Store("confirm")
	time.Sleep(26 * time.Hour)
	r := g.rotate(policy)
	if r.Result != "Completed" {
		g.t.Errorf("the next rotation ended %s: error %v, way back %v", r.Result, r.Error, r.Rollback)
	}
	return r
}

// aYearLater has the new key become due, and its rotation complete.
func (g *stage) aYearLater(policy map[string]any) {
	g.t.Helper()
	active := g.Key(g.ActiveKid())
	g.OldKid, g.Before = active.Kid, g.Document()
	time.Sleep(time.Until(active.Certificate.NotAfter.AddDate(0, 0, -40)))
	if r := g.next(policy); r.NewKid == g.OldKid {
		g.t.Error("a year later nothing was rotated")
	}
}

// sample is a part of the cases: all of them, or one of oneOf.
func sample[T any](cases []T) []T {
	var some []T
	for i, c := range cases {
		if i%oneOf == 0 {
			some = append(some, c)
		}
	}
	return some
}
