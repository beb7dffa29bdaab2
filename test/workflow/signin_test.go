package workflow

import (
	"strings"
	"testing"
	"time"

	"keyturn/internal/partner"
	"keyturn/internal/playground"
	"keyturn/internal/rotation"
)

// signInsEvery is how often a user signs in through each partner, while other
// tests want the machine as well.
const signInsEvery = 500 * time.Millisecond

// watched is a partner of a scene's target, and the sign-ins through it.
type watched struct {
	name    string
	options partner.Options
	// from and until are the moments between which all sign-ins must fail, and
	// outside of which none may: upload, switch or back; empty for none.
	from, until string

	partner partner.Partner
	signIns *partner.SignIns
}

// oneMore waits until one more user has tried each partner.
func (s *scene) oneMore(all []*watched) {
	s.t.Helper()
	for _, w := range all {
		if _, err := w.signIns.Next(s.ctx); err != nil {
			s.t.Fatalf("%s: no further sign-in: %v", w.name, err)
		}
	}
}

// Users sign in through every target, all at the same time, while its key is
// replaced. What they notice is what the README and the approval page say.
func TestSignInsFailOnlyWhereTheApproverIsTold(t *testing.T) {
	parallel(t)
	const encrypted = "it must use the new certificate for that from the moment of the switch: not before, and not after."
	two, one, encrypts := partner.Options{Capacity: 2}, partner.Options{Capacity: 1}, partner.Options{Capacity: 2, Encrypts: true}
	for _, c := range []struct {
		name     string
		kind     rotation.Kind
		policy   policy
		decision string
		result   string
		partners []*watched
		page     []string // what the approver reads
	}{
		{"an app, before-switch", rotation.KindApp, nil, "confirm", "Completed",
			[]*watched{{name: "two certificates", options: two}, {name: "one certificate", options: one, from: "upload", until: "switch"}},
			[]string{"Okta switches to it only after your answer."}},
		{"an IdP, before-switch", rotation.KindIDP, nil, "confirm", "Completed",
			[]*watched{
				{name: "two certificates", options: two}, {name: "one certificate", options: one, from: "upload", until: "switch"},
				{name: "encrypts", options: encrypts, from: "upload", until: "switch"},
			},
			[]string{encrypted}},
		{"an app, after-switch", rotation.KindApp, policy{"uploadOrder": "after-switch"}, "confirm", "Completed",
			[]*watched{{name: "two certificates", options: two, from: "switch", until: "upload"}},
			[]string{"Okta already uses the new certificate.", "fails."}},
		{"an IdP, after-switch", rotation.KindIDP, policy{"uploadOrder": "after-switch"}, "confirm", "Completed",
			[]*watched{{name: "encrypts", options: encrypts, from: "switch", until: "upload"}},
			[]string{"it must encrypt with the new certificate now."}},
		{"an app, before-switch, and the approver cannot do it", rotation.KindApp, nil, "reject", "GaveUp",
			[]*watched{{name: "one certificate", options: one}},
			[]string{"Nothing changes in Okta: it keeps the certificate in use"}},
		{"an app, after-switch, and the approver cannot do it", rotation.KindApp, policy{"uploadOrder": "after-switch"}, "reject", "RolledBack",
			[]*watched{{name: "two certificates", options: two, from: "switch", until: "back"}},
			[]string{"Within a minute Okta uses the old certificate again."}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := either(t, c.kind)
			for _, w := range c.partners {
				if c.kind == rotation.KindIDP {
					w.partner = partner.ForIDP(s.p.Org, s.target.ID, w.options)
				} else {
					w.partner = partner.ForApp(s.p.Org, s.target.ID, w.options)
				}
				w.signIns = partner.Watch(s.ctx, w.partner, signInsEvery)
			}
			r := s.rotate(c.policy)
			mail := r.request(playground.Approver)
			shown, err := s.p.Open(s.ctx, r.link(playground.Approver))
			if err != nil {
				t.Fatal(err)
			}
			for _, text := range c.page {
				if !strings.Contains(shown.Text(), text) {
					t.Errorf("the page does not say %q: %s", text, shown.Text())
				}
			}
			s.oneMore(c.partners)
			moments := map[string]time.Time{}
			if c.decision == "confirm" {
				certificate, err := playground.Certificate(mail.Text)
				if err != nil {
					t.Fatal(err)
				}
				moments["upload"] = time.Now()
				for _, w := range c.partners {
					if err := w.partner.Upload(certificate); err != nil {
						t.Fatal(err)
					}
				}
				s.oneMore(c.partners)
			}
			r.answer(c.decision, "as agreed")
			ended(t, c.result, r.end())
			s.oneMore(c.partners)
			for i, change := range s.p.Org.Switches(s.kind(), s.target.ID) {
				moments[[]string{"switch", "back"}[i]] = change.At
			}
			for _, w := range c.partners {
				w.check(t, moments)
			}
		})
	}
}

// check holds the sign-ins against the moments. A sign-in that is under way at
// one of them may go either way.
func (w *watched) check(t *testing.T, moments map[string]time.Time) {
	t.Helper()
	line := w.signIns.Stop()
	from, until := moments[w.from], moments[w.until]
	if w.from != "" && (from.IsZero() || until.IsZero() || until.Before(from)) {
		t.Fatalf("%s: %s was at %s, %s at %s", w.name, w.from, from, w.until, until)
	}
	for _, a := range line.FailedOutside(from, until) {
		t.Errorf("%s: a user who began at %s did not get in, and should have: %v; %v", w.name, a.Began, a.Err, moments)
	}
	within := 0
	for _, a := range line.Attempts {
		if a.Began.After(from) && a.Ended.Before(until) {
			within++
			if a.Err == nil {
				t.Errorf("%s: a user who began at %s got in, between %s and %s", w.name, a.Began, w.from, w.until)
			}
		}
	}
	if w.from != "" && within == 0 {
		t.Errorf("%s: nobody tried between %s and %s", w.name, w.from, w.until)
	}
	t.Logf("%s: %d sign-ins, %d failed, %d of them within; the longest time without one was %s", w.name, len(line.Attempts), len(line.Failed()), within, line.LongestGap())
}
