package workflow

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"keyturn/internal/oktasim"
	"keyturn/internal/playground"
	"keyturn/internal/rotation"
)

// The states of a rotation that takes its key from another target's.
const (
	pathCloned = `InspectTarget AnnounceStart AnyUnusedKeys RecognizeKey KeyIsOurs CloneCertificate UploadOrder
		RequestUpload Uploaded UpdateKeyCredential VerifyKey AnnounceSwitch Switched
		Report AnnounceEnd Outcome Completed`
	pathClonedAfterSwitch = `InspectTarget AnnounceStart AnyUnusedKeys RecognizeKey KeyIsOurs CloneCertificate UploadOrder
		UpdateKeyCredential VerifyKey AnnounceSwitch Switched RequestUpload NotConfirmed
		RestoreKeyCredential VerifyOldKey Report AnnounceEnd Outcome RolledBack`
	pathCloningFailed = `InspectTarget AnnounceStart AnyUnusedKeys RecognizeKey KeyIsOurs CloneCertificate
		Report AnnounceEnd Outcome Failed`
)

// cloning is the operation by the kind of target. The simulated org counts it
// as one of the source's.
var cloning = map[rotation.Kind]string{rotation.KindApp: "cloneApplicationKey", rotation.KindIDP: "cloneIdentityProviderKey"}

// group are targets whose one key, older than themselves, expires in 30 days.
// The first is the one that the others are to take their new key from.
func group(t *testing.T, kind rotation.Kind, n int) []*scene {
	t.Helper()
	now := time.Now().UTC().Truncate(time.Second)
	shared := oktasim.NewKey(oktasim.KeySpec{Created: now.AddDate(-6, 0, 0), NotAfter: now.AddDate(0, 0, 30)})
	var all []*scene
	for range n {
		if kind == rotation.KindIDP {
			all = append(all, idp(t, oktasim.IDPSpec{Created: now.AddDate(-4, 0, 0), Key: shared}))
		} else {
			all = append(all, app(t, oktasim.AppSpec{Created: now.AddDate(-4, 0, 0), Key: shared}))
		}
	}
	return all
}

// rotateFrom starts a rotation that takes its key from the source's.
func (s *scene) rotateFrom(source *scene, with policy) *running {
	s.t.Helper()
	id := func(t rotation.Target) map[string]string {
		return map[string]string{"kind": string(t.Kind), "id": t.ID}
	}
	clone := policy{"sharedKey": "clone"}
	maps.Copy(clone, with)
	return s.begin(clone, func(given policy) (*playground.Rotation, error) {
		input, err := json.Marshal(map[string]any{"target": id(s.target), "policy": given, "cloneFrom": id(source.target)})
		if err != nil {
			return nil, err
		}
		return s.p.RotateInput(s.ctx, "", string(input))
	})
}

// publishes has the source's rotation publish its key, and gives its kid.
func (s *scene) publishes() (*running, string) {
	s.t.Helper()
	r := s.rotate(policy{"sharedKey": "clone"})
	r.request(playground.Approver)
	kids := s.kids()
	return r, kids[len(kids)-1]
}

// clonings are the calls that clone a key to the target.
func (s *scene) clonings() []oktasim.Call {
	return slices.DeleteFunc(s.p.Org.Calls()[s.calls:], func(c oktasim.Call) bool {
		return c.Operation != cloning[s.target.Kind] || !strings.HasSuffix(c.Path, "="+s.target.ID)
	})
}

// waitedForKey takes the waits for the source out of the states entered.
func waitedForKey(path []string) []string {
	var rest []string
	for i := 0; i < len(path); i++ {
		if path[i] == "AwaitKey" || path[i] == "InspectAgain" {
			// What asked for the wait is asked again behind it.
			if path[i] == "InspectAgain" {
				i++
			}
			continue
		}
		rest = append(rest, path[i])
	}
	return rest
}

func TestAGroupGetsOneCertificateAndEachIsSwitchedByItself(t *testing.T) {
	parallel(t)
	for kind, n := range map[rotation.Kind]int{rotation.KindApp: 3, rotation.KindIDP: 2} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			all := group(t, kind, n)
			source, rejecting := all[0], all[n-1]
			// Nobody waits for anybody: all begin at once, the source last.
			runs := map[*scene]*running{}
			for _, s := range all[1:] {
				runs[s] = s.rotateFrom(source, nil)
			}
			runs[source] = source.rotate(policy{"sharedKey": "clone"})
			for _, s := range all {
				if mail := runs[s].request(playground.Approver); !strings.Contains(mail.Text, "get this very certificate") {
					t.Errorf("the request for %s does not say that others get the certificate:\n%s", s.target.Label, mail.Text)
				}
			}
			runs[rejecting].answer("reject", "the vendor is closed")
			gaveUp := runs[rejecting].end()
			ended(t, "GaveUp", gaveUp)
			for _, s := range all[:n-1] {
				runs[s].answer("confirm", "")
				report := runs[s].end()
				ended(t, "Completed", report)
				s.oneNewKey(report)
				s.switched(report.NewKid)
				s.inMetadata(report.NewKid)
				same(t, "the group's new key", gaveUp.NewKid, report.NewKid)
				if s != source {
					same(t, "states entered, without the wait for the source", strings.Fields(pathCloned), waitedForKey(report.States))
				}
			}
			rejecting.unchanged()
			rejecting.oneNewKey(gaveUp)
			leftBehind(t, gaveUp)
			for _, s := range all {
				made, o := 0, operations[kind]
				if s == source {
					made = 1
				}
				same(t, "CSRs generated for "+s.target.Label, made, s.times(o.generate))
				same(t, "keys published for "+s.target.Label, made, s.times(o.publish))
				same(t, "keys cloned to "+s.target.Label, 1-made, len(s.clonings()))
			}
			// The one that gave up goes on with the clone that it has.
			again := rejecting.of(t)
			r := again.rotateFrom(source, nil)
			r.answer("confirm", "")
			report := r.end()
			ended(t, "Completed", report)
			states(t, pathResumed, report)
			again.noNewKey()
			again.switched(gaveUp.NewKid)
			same(t, "keys cloned again", 0, len(again.clonings()))
		})
	}
}

func TestAClonedRotationCostsNoMoreThanAnother(t *testing.T) {
	parallel(t)
	for _, kind := range bothKinds {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			all := group(t, kind, 2)
			source, s := all[0], all[1]
			first, kid := source.publishes()
			first.answer("confirm", "")
			ended(t, "Completed", first.end())
			source.again()
			s.again()
			r := s.rotateFrom(source, nil)
			r.answer("confirm", "")
			report := r.end()
			ended(t, "Completed", report)
			// The target's own, the source's two, and the list of those that share
			// the key.
			calls := s.spent() + source.spent() + 1
			states(t, pathCloned, report)
			same(t, "new kid", kid, report.NewKid)
			s.oneNewKey(report)
			s.switched(kid)
			s.inMetadata(kid)
			source.unchanged()
			source.noNewKey()
			if report.Transitions > mostTransitions {
				t.Errorf("%d transitions, more than %d", report.Transitions, mostTransitions)
			}
			if calls > mostOktaCalls {
				t.Errorf("%d calls of Okta, more than %d", calls, mostOktaCalls)
			}
			t.Logf("%d calls of Okta, %d transitions", calls, report.Transitions)
			// Nothing is left to do: neither key nor clone is made anew.
			again := s.of(t)
			second := again.rotateFrom(source, nil).end()
			ended(t, "Completed", second)
			states(t, pathDone, second)
			again.unchanged()
			again.noNewKey()
		})
	}
}

func TestACloneThatIsRejectedAfterTheSwitchLeavesTheOthersAlone(t *testing.T) {
	parallel(t)
	for _, kind := range bothKinds {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			all := group(t, kind, 2)
			source, s := all[0], all[1]
			first, _ := source.publishes()
			r := s.rotateFrom(source, policy{"uploadOrder": "after-switch"})
			r.answer("reject", "not possible")
			report := r.end()
			ended(t, "RolledBack", report)
			states(t, pathClonedAfterSwitch, report)
			s.switched(s.oldKid)
			s.inMetadata(s.oldKid)
			leftBehind(t, report)
			source.unchanged()
			first.answer("confirm", "")
			done := first.end()
			ended(t, "Completed", done)
			source.switched(report.NewKid)
		})
	}
}

func TestWhereTheSourcePublishesNothingTheOthersKeepTheirKey(t *testing.T) {
	parallel(t)
	for kind, n := range map[rotation.Kind]int{rotation.KindApp: 3, rotation.KindIDP: 2} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			all := group(t, kind, n)
			source := all[0]
			source.p.Org.Fail(oktasim.Fault{ID: source.target.ID, Operation: operations[kind].publish, Kind: oktasim.FaultForbidden})
			ended(t, "Failed", source.rotate(policy{"sharedKey": "clone"}).end())
			// A key that the CA has not issued is none to clone, whoever has it.
			stranger := oktasim.NewKey(oktasim.KeySpec{Created: time.Now().AddDate(0, 0, -3), NotAfter: time.Now().AddDate(3, 0, 0)})
			source.p.Org.AddKey(source.kind(), source.target.ID, stranger)
			var runs []*running
			for _, s := range all[1:] {
				runs = append(runs, s.rotateFrom(source, nil))
			}
			for _, r := range runs {
				report := r.end()
				ended(t, "Failed", report)
				failedWith(t, report.Error, "AwaitKey", "Key.NotShared", `"`+source.target.ID+`"`, r.target.Label, "Look at the rotation", "nothing was changed")
				r.unchanged()
				r.noNewKey()
				if report.NewKid != "" || report.LeftBehind != nil || len(report.Revoked) != 0 {
					t.Errorf("the report tells of a key or CSR that was not made: %+v", report)
				}
				if got := report.States[len(report.States)-5:]; !slices.Equal(got, []string{"NoKeyToClone", "Report", "AnnounceEnd", "Outcome", "Failed"}) {
					t.Errorf("the last states are %v", got)
				}
				waits := 0
				for _, state := range report.States {
					if state == "AwaitKey" {
						waits++
					}
				}
				same(t, "waits", 12, waits)
				for _, c := range r.asked() {
					if c.Method != http.MethodGet {
						t.Errorf("something was asked of Okta that changes it: %s %s", c.Method, c.Path)
					}
				}
			}
		})
	}
}

// A key that a person made in the admin console is no reason to make a CSR.
func TestAClonedRotationPassesOverKeysOfOthers(t *testing.T) {
	parallel(t)
	all := group(t, rotation.KindApp, 2)
	source, s := all[0], all[1]
	first, kid := source.publishes()
	s.p.Org.AddKey(s.kind(), s.target.ID, oktasim.NewKey(oktasim.KeySpec{Created: time.Now().AddDate(0, 0, -3), NotAfter: time.Now().AddDate(3, 0, 0)}))
	s.again()
	r := s.rotateFrom(source, nil)
	r.answer("confirm", "")
	report := r.end()
	ended(t, "Completed", report)
	states(t, pathCloned, report)
	same(t, "new kid", kid, report.NewKid)
	s.oneNewKey(report)
	s.switched(kid)
	first.answer("confirm", "")
	ended(t, "Completed", first.end())
}

func TestAFaultWhileCloningMakesNoSecondClone(t *testing.T) {
	parallel(t)
	for _, kind := range bothKinds {
		for _, fault := range slices.Concat(beforeEffect, afterEffect) {
			t.Run(string(kind)+" "+string(fault), func(t *testing.T) {
				t.Parallel()
				all := group(t, kind, 2)
				source, s := all[0], all[1]
				first, kid := source.publishes()
				s.p.Org.Fail(oktasim.Fault{ID: source.target.ID, Operation: cloning[kind], Kind: fault})
				r := s.rotateFrom(source, nil)
				r.answer("confirm", "")
				report := r.end()
				ended(t, "Completed", report)
				same(t, "new kid", kid, report.NewKid)
				s.oneNewKey(report)
				s.switched(kid)
				first.answer("confirm", "")
				ended(t, "Completed", first.end())
			})
		}
	}
}

func TestACloningThatFailsChangesNothing(t *testing.T) {
	parallel(t)
	for _, kind := range bothKinds {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			all := group(t, kind, 3)
			source, refused, lost := all[0], all[1], all[2]
			first, kid := source.publishes()
			s := refused
			s.p.Org.Fail(oktasim.Fault{ID: source.target.ID, Operation: cloning[kind], Kind: oktasim.FaultForbidden})
			report := s.rotateFrom(source, nil).end()
			ended(t, "Failed", report)
			states(t, pathCloningFailed, report)
			failedWith(t, report.Error, "CloneCertificate", "Okta.Forbidden", "HTTP 403")
			s.unchanged()
			s.noNewKey()
			if report.NewKid != "" || report.LeftBehind != nil {
				t.Errorf("the report tells of a key that was not cloned: %+v", report)
			}
			// An answer that is never heard does not hide the clone.
			s = lost
			s.p.Org.Fail(oktasim.Fault{ID: source.target.ID, Operation: cloning[kind], Kind: oktasim.FaultInternalAfter, Times: 100})
			r := s.rotateFrom(source, nil)
			r.answer("confirm", "")
			done := r.end()
			ended(t, "Completed", done)
			same(t, "new kid", kid, done.NewKid)
			s.switched(kid)
			// The source's own CSRs are nobody else's.
			same(t, "CSRs taken back", 0, source.times(operations[kind].revoke))
			first.answer("confirm", "")
			ended(t, "Completed", first.end())
		})
	}
}

func TestASourceThatSharesNothingIsRefused(t *testing.T) {
	parallel(t)
	for _, kind := range bothKinds {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			stranger, s := either(t, kind), either(t, kind)
			for _, c := range []struct {
				source *scene
				error  string
			}{{stranger, "Target.NotShared"}, {s, "Target.Invalid"}} {
				report := s.rotateFrom(c.source, nil).end()
				ended(t, "Failed", report)
				states(t, pathRefused, report)
				failedWith(t, report.Error, "InspectTarget", c.error, c.source.target.ID, "cloneFrom")
				s.unchanged()
				s.noNewKey()
			}
		})
	}
}
