package faults

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"keyturn/internal/oktasim"
	"keyturn/internal/rotation"
	"keyturn/test/simulated"
)

// interference is what happens to a rotation besides.
type interference struct {
	name string
	// does it, an hour after the mail and an hour before the answer; with a state,
	// right before that is entered.
	does  func(g *stage)
	state string
	// ends are how the rotation ends, by order and answer, where it does not end
	// as it would by itself.
	ends map[string]end
	// undo is what an admin does before the next rotation.
	undo func(g *stage)
	// others is how many keys people have added.
	others int
}

// end is how a rotation ends: its result, what its error or that of the way back
// says, and which invariants do not hold then, by how their sentences begin; all
// others do.
type end struct {
	result, says string
	breaks       []string
}

// Sentences of invariants that people break.
const (
	otherKey     = "the active kid is "
	usersLocked  = "users of a partner with two certificates were locked out after "
	oldNotActive = ", and the old key is not active"
)

const (
	beforeConfirm = "before-switch confirm"
	beforeReject  = "before-switch reject"
	afterConfirm  = "after-switch confirm"
	afterReject   = "after-switch reject"
)

func interferences() []interference {
	all := []interference{
		{
			name: "an admin switches the key",
			does: func(g *stage) {
				other := oktasim.NewKey(oktasim.KeySpec{Created: time.Now(), NotAfter: time.Now().AddDate(3, 0, 0)})
				g.Org.AddKey(string(g.Target.Kind), g.Target.ID, other)
				if err := g.Partner.Upload(simulated.PEM(other.Certificate)); err != nil {
					g.t.Error(err)
				}
				g.Org.SetActiveKid(string(g.Target.Kind), g.Target.ID, other.Kid)
			},
			ends: map[string]end{
				beforeConfirm: {"Failed", "somebody else changed it", []string{otherKey, "it says Failed" + oldNotActive}},
				beforeReject:  {"GaveUp", "", []string{otherKey, "it says GaveUp" + oldNotActive}},
				afterConfirm:  {"Failed", "somebody else changed it", []string{otherKey, "it says Failed" + oldNotActive}},
				afterReject:   {"Failed", "somebody else changed it", []string{otherKey, noWayBack}},
			},
			others: 1,
		},
		{
			name: "an admin renames it",
			does: func(g *stage) { g.edit("label", "name", `"Renamed meanwhile"`) },
		},
		{
			name: "an admin deactivates it",
			does: func(g *stage) { g.edit("status", "status", `"INACTIVE"`) },
			ends: map[string]end{
				beforeConfirm: {"Failed", "INACTIVE", []string{"it says Failed, and users cannot sign in", usersLocked}},
				beforeReject:  {"GaveUp", "", []string{"it says GaveUp, and users cannot sign in"}},
				afterConfirm:  {"Completed", "", []string{"it says Completed, and users cannot sign in"}},
				afterReject:   {"RolledBack", "", []string{"it says RolledBack, and users cannot sign in"}},
			},
			undo: func(g *stage) { g.edit("status", "status", `"ACTIVE"`) },
		},
		{
			name: "the Okta token is replaced, and the secret with it",
			does: func(g *stage) { g.replaceToken(true) },
		},
		{
			name: "the Okta token expires, and is replaced days later",
			does: func(g *stage) {
				g.replaceToken(false)
				time.AfterFunc(50*time.Hour, func() { g.storeToken() })
			},
			ends: refusedAs("credential"),
			undo: func(*stage) { time.Sleep(72 * time.Hour) },
		},
		{
			name: "the token loses its rights for a day",
			does: func(g *stage) { g.Forbid(24 * time.Hour) },
			ends: refusedAs("permission"),
			undo: func(*stage) { time.Sleep(24 * time.Hour) },
		},
	}
	return append(all, jumps()...)
}

// jumps are Okta's clock, which is put forward or back before the answer, and in
// the midst of the calls: before the publication and before the switch.
func jumps() (all []interference) {
	for _, state := range []string{"", "PublishCsr", "UpdateKeyCredential"} {
		for name, by := range map[string]time.Duration{"a day ahead": 24 * time.Hour, "back": -time.Hour} {
			i := interference{
				name:  strings.TrimSpace("Okta's clock jumps " + name + " " + state),
				does:  func(g *stage) { g.MoveOrgClock(by) },
				state: state,
			}
			if state == "PublishCsr" && by < 0 {
				// The certificate begins after the time that Okta believes it is.
				early := end{"Failed", "not valid yet", nil}
				i.ends = map[string]end{beforeConfirm: early, beforeReject: early, afterConfirm: early, afterReject: early}
				i.undo = func(g *stage) { g.MoveOrgClock(-by) }
			}
			all = append(all, i)
		}
	}
	return all
}

// refusedAs is how it ends where Okta refuses everything for longer than the way
// back is tried: before the switch nothing is lost, and after it nothing can be
// said of the key in use but that it was verified.
func refusedAs(says string) map[string]end {
	return map[string]end{
		beforeConfirm: {"Failed", says, []string{noWayBack}},
		afterConfirm:  {"Completed", says, nil},
		afterReject:   {"Failed", says, []string{noWayBack}},
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
		for _, i := range interferences() {
			if i.state == "UpdateKeyCredential" && s.result() == "GaveUp" {
				continue // it does not come so far
			}
			t.Run(s.String()+" "+i.name, func(t *testing.T) {
				t.Parallel()
				outside := simulated.Prepare(t, s.ca)
				synctest.Test(t, func(t *testing.T) { i.happens(t, s, outside) })
			})
		}
	}
}

func (i interference) happens(t *testing.T, s scenario, outside simulated.Outside) {
	t.Helper()
	g := s.set(t, outside, nil)
	defer g.leave()
	happened := false
	does := func() {
		i.does(g)
		g.Before = g.Document() // what people did is theirs
		happened = true
	}
	if i.state != "" {
		g.AtState(i.state, does)
	} else {
		time.AfterFunc(delay/2, does)
	}
	r := g.End(t, g.Begin(t, s.policy()))
	if !happened {
		t.Fatal("nothing has happened")
	}
	for range i.others {
		r.Began.Kids = append(r.Began.Kids, "another's")
	}
	i.ended(g, s, r)
	if i.undo != nil {
		i.undo(g)
		g.Before = g.Document()
	}
	if i.others > 0 {
		return // a target whose key is another's, and good for years, is not due
	}
	g.next(s.policy())
}

// ended has the rotation have ended as it has to, with those invariants broken
// that people broke, and no others.
func (i interference) ended(g *stage, s scenario, r simulated.Report) {
	g.t.Helper()
	want, other := i.ends[string(s.order)+" "+s.answer]
	if !other {
		want.result = s.result()
	}
	if r.Result != want.result {
		g.t.Errorf("it ended %s, not %s: error %v, way back %v", r.Result, want.result, r.Error, r.Rollback)
	}
	said := fmt.Sprint(r.Error, r.Rollback)
	if !strings.Contains(said, want.says) || want.says == "" && r.Error != nil {
		g.t.Errorf("its errors are %s, which do not say %q", said, want.says)
	}
	left := slices.Clone(want.breaks)
	g.checkBut(r, func(what string) bool {
		is := func(begins string) bool { return strings.HasPrefix(what, begins) }
		if !slices.ContainsFunc(want.breaks, is) {
			return false
		}
		left = slices.DeleteFunc(left, is)
		return true
	})
	if len(left) > 0 {
		g.t.Errorf("it ended %s, and these sentences do not hold: %q", r.Result, left)
	}
}

// TestADeletedTargetEndsTheRotation has an admin delete the target meanwhile.
func TestADeletedTargetEndsTheRotation(t *testing.T) {
	for _, s := range usual() {
		t.Run(s.String(), func(t *testing.T) {
			t.Parallel()
			outside := simulated.Prepare(t, s.ca)
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
				for _, what := range untold(g.World, r) {
					t.Error(what)
				}
			})
		})
	}
}

// TestTwoRotationsOfOneTarget has somebody start a second rotation by hand while
// the first one waits: both end well, with one key.
func TestTwoRotationsOfOneTarget(t *testing.T) {
	for _, s := range scenarios() {
		if s.answer == "reject" || s.turn != "" {
			continue
		}
		t.Run(s.String(), func(t *testing.T) {
			t.Parallel()
			outside := simulated.Prepare(t, s.ca)
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
			t.Parallel()
			outside := simulated.Prepare(t, s.ca)
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
			t.Parallel()
			outside := simulated.Prepare(t, s.ca)
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
			t.Parallel()
			outside := simulated.Prepare(t, s.ca)
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
