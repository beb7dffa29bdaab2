package workflow

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"

	"keyturn/internal/playground"
)

// The states of a rotation that finds the switch made.
const (
	pathDone         = `InspectTarget AnnounceStart AnyUnusedKeys RecognizeKey KeyIsOurs Report AnnounceEnd Outcome Completed`
	pathAskedAgain   = `InspectTarget AnnounceStart AnyUnusedKeys RecognizeKey KeyIsOurs RequestUpload `
	pathConfirmed    = pathAskedAgain + `Uploaded ReadActiveKey Report AnnounceEnd Outcome Completed`
	pathGoesBack     = pathAskedAgain + `NotConfirmed RestoreKeyCredential VerifyOldKey Report AnnounceEnd Outcome RolledBack`
	pathLeftAsItIs   = pathAskedAgain + `NextMessage NotConfirmed Report AnnounceEnd Outcome GaveUp`
	afterSwitchOrder = "after-switch"
)

func TestARotationThatDiedBeforeTheSignInWasConfirmedAsksAgain(t *testing.T) {
	parallel(t)
	for _, c := range []struct{ title, answer, result, path string }{
		{"it works", "works", "Completed", `ConfirmSignIn ReadActiveKey Report AnnounceEnd Outcome Completed`},
		{"it does not", "roll-back", "RolledBack", `ConfirmSignIn RestoreKeyCredential VerifyOldKey Report AnnounceEnd Outcome RolledBack`},
		{"silence changes nothing", "", "Completed", `ConfirmSignIn SignInSilence ReadActiveKey Report AnnounceEnd Outcome Completed`},
	} {
		t.Run(c.title, func(t *testing.T) {
			t.Parallel()
			s := app(t)
			careful := policy{"confirmSignIn": true, "signInSilence": "roll-back"}
			dead := s.rotate(careful)
			dead.answer("confirm", "")
			dead.nth(playground.Approver, 2)
			dead.stop()
			switched := s.active()
			if c.answer == "" {
				careful["signInHours"] = 24
			}
			r := s.rotate(careful)
			if c.answer != "" {
				_, link := r.nth(playground.Approver, 1)
				s.decide(link, c.answer, "", "tried it")
			}
			report := r.end()
			ended(t, c.result, report)
			states(t, `InspectTarget AnnounceStart AnyUnusedKeys RecognizeKey KeyIsOurs `+c.path, report)
			s.oneNewKey(report)
			if c.result == "RolledBack" {
				switched = s.oldKid
			}
			s.switched(switched)
			s.inMetadata(switched)
		})
	}
}

// stop ends an execution as an operator does.
func (r *running) stop() {
	r.t.Helper()
	_, err := sfn.NewFromConfig(r.p.Cloud.Config()).StopExecution(r.ctx, &sfn.StopExecutionInput{ExecutionArn: aws.String(r.rotation.ARN)})
	if err != nil {
		r.t.Fatal(err)
	}
	r.until("the rotation's end", func() bool { return r.describe().StopDate != nil })
}

func TestARotationThatDiedAfterTheSwitchIsContinued(t *testing.T) {
	parallel(t)
	for _, kind := range bothKinds {
		for _, c := range []struct{ title, decision, result, path string }{
			{"confirmed", "confirm", "Completed", pathConfirmed},
			{"rejected", "reject", "RolledBack", pathGoesBack},
			{"nobody answers", "", "GaveUp", pathLeftAsItIs},
		} {
			t.Run(c.title+", "+string(kind), func(t *testing.T) {
				t.Parallel()
				s := either(t, kind)
				dead := s.rotate(policy{"uploadOrder": afterSwitchOrder})
				dead.request(playground.Approver)
				dead.stop()
				switched := s.active()
				if switched == s.oldKid {
					t.Fatal("the rotation was stopped before its switch")
				}

				asks := policy{"uploadOrder": afterSwitchOrder}
				if c.decision == "" {
					asks["giveUpDays"] = oneDay
				}
				r := s.rotate(asks)
				if c.decision != "" {
					r.answer(c.decision, "so it is")
				}
				report := r.end()
				ended(t, c.result, report)
				states(t, c.path, report)
				same(t, "old kid", s.oldKid, report.OldKid)
				same(t, "new kid", switched, report.NewKid)
				same(t, "resumed", true, report.Resumed)
				s.oneNewKey(report)
				if c.result == "RolledBack" {
					s.switched(s.oldKid)
					s.inMetadata(s.oldKid)
					leftBehind(t, report)
				} else {
					s.switched(switched)
					s.inMetadata(switched)
				}
			})
		}
	}
}

func TestARotationOfATargetThatIsDoneMakesNothingNew(t *testing.T) {
	parallel(t)
	for _, kind := range bothKinds {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			s := either(t, kind)
			r := s.rotate(nil)
			r.answer("confirm", "")
			first := r.end()
			ended(t, "Completed", first)
			again := s.of(t)
			second := again.rotate(nil).end()
			ended(t, "Completed", second)
			states(t, pathDone, second)
			same(t, "new kid", first.NewKid, second.NewKid)
			same(t, "old kid", first.OldKid, second.OldKid)
			same(t, "resumed", true, second.Resumed)
			again.unchanged()
			again.noNewKey()

			// A key that has to go before it is due: a policy that says so.
			third := again.rotate(policy{"rotateBeforeDays": 397, "validityDays": 398})
			third.answer("confirm", "")
			report := third.end()
			ended(t, "Completed", report)
			again.oneNewKey(report)
			again.switched(report.NewKid)
		})
	}
}
