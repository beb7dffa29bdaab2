package faults

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"keyturn/internal/oktasim"
	"keyturn/internal/rotation"
	"keyturn/test/simulated"
)

// interference is what people do to a rotation while it waits for the answer.
type interference struct {
	name string
	// does it, an hour after the mail and an hour before the answer.
	does func(g *stage)
	// ends are the results that a rotation before-switch and after-switch may
	// have, and says what its error's text must name.
	before, after string
	says          string
	// undo is what an admin does before the next rotation.
	undo func(g *stage)
	// elsewhere tells that the target is not as it was by the people's own doing.
	elsewhere bool
	// refused tells that Okta refuses everything for longer than the way back is
	// tried; nothing was switched then.
	refused bool
}

func interferences() []interference {
	return []interference{
		{
			name: "an admin switches the key",
			does: func(g *stage) {
				other := oktasim.NewKey(oktasim.KeySpec{Created: time.Now(), NotAfter: time.Now().AddDate(3, 0, 0)})
				g.Org.AddKey(string(g.Target.Kind), g.Target.ID, other)
				g.Org.SetActiveKid(string(g.Target.Kind), g.Target.ID, other.Kid)
				if err := g.Partner.Upload(simulated.PEM(other.Certificate)); err != nil {
					g.t.Error(err)
				}
			},
			before: "Failed", after: "Failed", says: "somebody else changed it",
			elsewhere: true,
		},
		{
			name:   "an admin renames it",
			does:   func(g *stage) { g.edit("label", "name", `"Renamed meanwhile"`) },
			before: "Completed", after: "Completed", elsewhere: true,
		},
		{
			name:   "an admin deactivates it",
			does:   func(g *stage) { g.edit("status", "status", `"INACTIVE"`) },
			before: "Failed", after: "Completed", says: "INACTIVE",
			undo:      func(g *stage) { g.edit("status", "status", `"ACTIVE"`) },
			elsewhere: true,
		},
		{
			name:   "the Okta token is replaced, and the secret with it",
			does:   func(g *stage) { g.replaceToken(true) },
			before: "Completed", after: "Completed",
		},
		{
			name: "the Okta token expires, and is replaced days later",
			does: func(g *stage) {
				g.replaceToken(false)
				time.AfterFunc(50*time.Hour, func() { g.storeToken() })
			},
			before: "Failed", after: "Completed", says: "credential", refused: true,
			undo: func(*stage) { time.Sleep(72 * time.Hour) },
		},
		{
			name:   "the token loses its rights for a day",
			does:   func(g *stage) { g.Forbid(24 * time.Hour) },
			before: "Failed", after: "Completed", says: "permission", refused: true,
			undo: func(*stage) { time.Sleep(24 * time.Hour) },
		},
		{
			name:   "Okta's clock jumps a day ahead",
			does:   func(g *stage) { g.MoveOrgClock(24 * time.Hour) },
			before: "Completed", after: "Completed",
		},
		{
			name:   "Okta's clock jumps back",
			does:   func(g *stage) { g.MoveOrgClock(-time.Hour) },
			before: "Completed", after: "Completed",
		},
	}
}

func (g *stage) edit(ofApp, ofIDP, raw string) {
	path := ofApp
	if g.Target.Kind == rotation.KindIDP {
		path = ofIDP
	}
	g.Org.Edit(string(g.Target.Kind), g.Target.ID, path, raw)
}

const otherToken = "00anotherTokenThatNobodyMayEverSee004711"

func (g *stage) replaceToken(secretToo bool) {
	g.Org.SetAPIToken(otherToken)
	if secretToo {
		g.storeToken()
	}
}

func (g *stage) storeToken() { g.StoreToken(otherToken) }

func TestPeopleInterfere(t *testing.T) {
	for _, s := range usual() {
		if s.answer == "reject" {
			continue
		}
		for _, i := range interferences() {
			t.Run(s.String()+" "+i.name, func(t *testing.T) {
				outside := simulated.Prepare(t)
				synctest.Test(t, func(t *testing.T) { i.happens(t, s, outside) })
			})
		}
	}
}

func (i interference) happens(t *testing.T, s scenario, outside simulated.Outside) {
	t.Helper()
	g := s.set(t, outside, nil)
	defer g.leave()
	e := g.Begin(t, s.policy())
	time.Sleep(delay / 2)
	i.does(g)
	g.Before = g.Document() // what people did is theirs
	r := g.End(t, e)

	want := i.before
	if s.order == rotation.AfterSwitch {
		want = i.after
	}
	if r.Result != want {
		t.Errorf("it ended %s, not %s: error %v", r.Result, want, r.Error)
	}
	if want == "Failed" && (r.Error == nil || !strings.Contains(r.Error.Message, i.says)) {
		t.Errorf("its error is %v, which does not say %q", r.Error, i.says)
	}
	if i.refused && r.Result == "Failed" && g.ActiveKid() != g.OldKid {
		t.Error("the old key is not active")
	}
	g.checkBut(r, func(what string) bool {
		if i.refused {
			return strings.HasPrefix(what, noWayBack)
		}
		return i.elsewhere && (strings.Contains(what, "the active kid is") || strings.Contains(what, "is active, not the new key") || strings.Contains(what, "the old key is not active") || strings.Contains(what, "is INACTIVE"))
	})
	if i.undo != nil {
		i.undo(g)
		g.Before = g.Document()
	}
	if i.name == "an admin switches the key" {
		return // a target whose key is another's, and good for years, is not due
	}
	g.next(s.policy())
}

// TestADeletedTargetEndsTheRotation has an admin delete the target meanwhile.
func TestADeletedTargetEndsTheRotation(t *testing.T) {
	for _, s := range usual() {
		t.Run(s.String(), func(t *testing.T) {
			outside := simulated.Prepare(t)
			synctest.Test(t, func(t *testing.T) {
				g := s.set(t, outside, nil)
				defer g.leave()
				e := g.Begin(t, s.policy())
				time.Sleep(delay / 2)
				g.Org.Delete(string(g.Target.Kind), g.Target.ID)
				r := g.End(t, e)
				problem := r.Error
				if r.Rollback != nil {
					problem = r.Rollback
				}
				switch {
				case s.answer == "confirm" && s.order == rotation.AfterSwitch && r.Result == "Completed":
					// Nothing more was asked of Okta.
				case s.answer == "reject" && s.order == rotation.BeforeSwitch && r.Result == "GaveUp":
				case r.Result != "Failed" || problem == nil || problem.Name != "Okta.NotFound":
					t.Errorf("it ended %s: error %v, way back %v", r.Result, r.Error, r.Rollback)
				}
				if r.Status == succeeded && len(g.Events()) == 0 {
					t.Error("nobody was told")
				}
			})
		})
	}
}

// TestTwoRotationsOfOneTarget has somebody start a second rotation by hand while
// the first one waits: both end well, with one key.
func TestTwoRotationsOfOneTarget(t *testing.T) {
	for _, s := range scenarios() {
		if s.answer == "reject" {
			continue
		}
		t.Run(s.String(), func(t *testing.T) {
			outside := simulated.Prepare(t)
			synctest.Test(t, func(t *testing.T) {
				g := s.set(t, outside, nil)
				defer g.leave()
				first := g.Begin(t, s.policy())
				time.Sleep(delay / 2)
				second := g.Begin(t, s.policy())
				one, two := g.End(t, first), g.End(t, second)
				if one.Result != "Completed" || two.Result != "Completed" || one.NewKid != two.NewKid {
					t.Errorf("they ended %s with %s, and %s with %s: %v, %v", one.Result, one.NewKid, two.Result, two.NewKid, one.Error, two.Error)
				}
				g.check(one)
				g.check(two)
				g.next(s.policy())
			})
		})
	}
}

// TestTheApproverHasLeft has nobody read the mails: the rotation gives up, or
// goes back, and says so; with somebody to escalate to, it completes.
func TestTheApproverHasLeft(t *testing.T) {
	for _, s := range usual() {
		if s.answer == "reject" {
			continue
		}
		t.Run(s.String(), func(t *testing.T) {
			outside := simulated.Prepare(t)
			synctest.Test(t, func(t *testing.T) {
				g := s.set(t, outside, nil)
				defer g.leave()
				g.answer.Store("")
				r := g.rotate(s.policy())
				want := map[rotation.UploadOrder]string{rotation.BeforeSwitch: "GaveUp", rotation.AfterSwitch: "RolledBack"}[s.order]
				if r.Result != want {
					t.Errorf("it ended %s, not %s: %v", r.Result, want, r.Error)
				}
				g.next(s.policy())
			})
		})
		t.Run(s.String()+" with a lead", func(t *testing.T) {
			outside := simulated.Prepare(t)
			synctest.Test(t, func(t *testing.T) {
				g := s.set(t, outside, nil)
				defer g.leave()
				g.person.Address = "identity-lead@example.com"
				policy := s.policy()
				policy["escalateTo"] = []string{g.person.Address}
				if r := g.rotate(policy); r.Result != "Completed" || r.Decision == nil || r.Decision.By != g.person.Address {
					t.Errorf("it ended %s by %v: %v", r.Result, r.Decision, r.Error)
				}
			})
		})
	}
}

// TestTwoApproversAnswerDifferently has both answer in the same instant: one
// answer counts, the other one is told so, and the rotation ends as it says.
func TestTwoApproversAnswerDifferently(t *testing.T) {
	for _, s := range usual() {
		if s.answer == "reject" {
			continue
		}
		t.Run(s.String(), func(t *testing.T) {
			outside := simulated.Prepare(t)
			synctest.Test(t, func(t *testing.T) {
				g := s.set(t, outside, nil)
				defer g.leave()
				const other = "identity@example.com"
				g.person.Address = ""
				g.person.Answers = func(m simulated.Mail) string {
					if m.To == other {
						return "reject"
					}
					return g.answer.Load().(string)
				}
				policy := s.policy()
				policy["approvers"] = []string{simulated.Approver, other}
				r := g.rotate(policy)
				switch {
				case r.Decision == nil:
					t.Errorf("it ended %s without a decision: %v", r.Result, r.Error)
				case r.Decision.Confirmed != (r.Decision.By == simulated.Approver):
					t.Errorf("the decision is %v by %s", r.Decision.Confirmed, r.Decision.By)
				case r.Decision.Confirmed != (r.Result == "Completed"):
					t.Errorf("confirmed is %v, and it ended %s", r.Decision.Confirmed, r.Result)
				}
				time.Sleep(3 * time.Hour) // whose page failed tries again
				if pages := g.person.Pages(); len(pages) != 2 || pages[0] == pages[1] {
					t.Errorf("the approvers saw %q", g.person.Pages())
				}
			})
		})
	}
}
