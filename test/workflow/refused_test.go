package workflow

import (
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/google/go-cmp/cmp/cmpopts"

	"keyturn/internal/oktasim"
	"keyturn/internal/playground"
	"keyturn/internal/rotation"
)

// The states of a rotation that nobody confirms.
const (
	pathGaveUp = `InspectTarget AnnounceStart AnyUnusedKeys GenerateCsr SignCsr Signed PublishCsr UploadOrder
		RequestUpload NotConfirmed Report AnnounceEnd Outcome GaveUp`
	pathRolledBack = `InspectTarget AnnounceStart AnyUnusedKeys GenerateCsr SignCsr Signed PublishCsr UploadOrder
		UpdateKeyCredential VerifyKey AnnounceSwitch Switched RequestUpload NotConfirmed
		RestoreKeyCredential VerifyOldKey Report AnnounceEnd Outcome RolledBack`
	pathResumed = `InspectTarget AnnounceStart AnyUnusedKeys RecognizeKey KeyIsOurs UploadOrder
		RequestUpload Uploaded UpdateKeyCredential VerifyKey AnnounceSwitch Switched
		Report AnnounceEnd Outcome Completed`
)

// leftBehind checks that the report accounts for the key that was published
// and is not in use.
func leftBehind(t *testing.T, got playground.Report) {
	t.Helper()
	if got.LeftBehind == nil || got.LeftBehind.Kid != got.NewKid || !got.LeftBehind.NotAfter.Equal(got.NotAfter) {
		t.Errorf("the report says that %+v is left behind, and the new key is %s until %s", got.LeftBehind, got.NewKid, got.NotAfter)
	}
}

var bothKinds = []rotation.Kind{rotation.KindApp, rotation.KindIDP}

func TestARejectionBeforeTheSwitchChangesNothing(t *testing.T) {
	parallel(t)
	for _, kind := range bothKinds {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			s := either(t, kind)
			r := s.rotate(nil)
			r.answer("reject", "our contract freezes changes until January")
			report := r.end()
			ended(t, "GaveUp", report)
			states(t, pathGaveUp, report)
			s.unchanged()
			s.oneNewKey(report)
			s.inMetadata(s.oldKid)
			leftBehind(t, report)
			same(t, "the decision", &rotation.Decision{By: playground.Approver, Comment: "our contract freezes changes until January"},
				report.Decision, cmpopts.IgnoreFields(rotation.Decision{}, "At", "Address"))
			if report.Error != nil {
				t.Errorf("the report calls a rejection an error: %+v", report.Error)
			}
		})
	}
}

func TestTheNextRotationTakesUpTheKeyThatWasLeftBehind(t *testing.T) {
	parallel(t)
	for _, kind := range bothKinds {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			s := either(t, kind)
			first := s.rotate(nil)
			first.answer("reject", "next week")
			left := first.end()
			ended(t, "GaveUp", left)

			again := s.of(t)
			r := again.rotate(nil)
			mail := r.request(playground.Approver)
			again.signedByTheCA(left.NewKid, mail.Text)
			r.answer("confirm", "")
			report := r.end()
			ended(t, "Completed", report)
			states(t, pathResumed, report)
			same(t, "the new key", left.NewKid, report.NewKid)
			again.switched(left.NewKid)
			again.noNewKey()
			for _, call := range again.asked() {
				if call.Method == http.MethodPost {
					t.Errorf("the second rotation made something new: %s", call.Operation)
				}
			}
		})
	}
}

func TestAPublishedKeyOfSomebodyElseIsLeftAlone(t *testing.T) {
	parallel(t)
	s := app(t)
	foreign := oktasim.NewKey(oktasim.KeySpec{})
	s.p.Org.AddKey(s.kind(), s.target.ID, foreign)
	s.again()
	r := s.rotate(nil)
	r.answer("confirm", "")
	report := r.end()
	ended(t, "Completed", report)
	states(t, `InspectTarget AnnounceStart AnyUnusedKeys RecognizeKey KeyIsOurs GenerateCsr SignCsr Signed PublishCsr UploadOrder
		RequestUpload Uploaded UpdateKeyCredential VerifyKey AnnounceSwitch Switched Report AnnounceEnd Outcome Completed`, report)
	s.oneNewKey(report)
	s.switched(report.NewKid)
}

func TestARejectionAfterTheSwitchBringsTheOldKeyBack(t *testing.T) {
	parallel(t)
	for _, kind := range bothKinds {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			s := either(t, kind)
			r := s.rotate(policy{"uploadOrder": "after-switch"})
			r.answer("reject", "the vendor's form refuses the certificate")
			report := r.end()
			ended(t, "RolledBack", report)
			states(t, pathRolledBack, report)
			s.switched(s.oldKid)
			s.oneNewKey(report)
			s.inMetadata(s.oldKid)
			leftBehind(t, report)
			same(t, "the decision", &rotation.Decision{By: playground.Approver, Comment: "the vendor's form refuses the certificate"},
				report.Decision, cmpopts.IgnoreFields(rotation.Decision{}, "At", "Address"))

			out := r.describe()
			same(t, "the execution's error", "RolledBack", aws.ToString(out.Error))
			facts := decoded(t, aws.ToString(out.Cause))
			for _, field := range []string{"result", "target", "oldKid", "newKid", "notAfter", "decision"} {
				if facts[field] == nil {
					t.Errorf("the execution's cause has no %s: %v", field, facts)
				}
			}
		})
	}
}

// unanswered is the path of a rejection where nobody answers at all.
func unanswered(path string) string {
	return strings.Replace(path, "RequestUpload NotConfirmed", "RequestUpload NextMessage NotConfirmed", 1)
}

func TestNobodyAnswers(t *testing.T) {
	parallel(t)
	for _, kind := range bothKinds {
		t.Run("before the switch nothing changes, "+string(kind), func(t *testing.T) {
			t.Parallel()
			s := either(t, kind)
			report := s.rotate(policy{"giveUpDays": oneDay}).end()
			ended(t, "GaveUp", report)
			states(t, unanswered(pathGaveUp), report)
			s.unchanged()
			s.oneNewKey(report)
			leftBehind(t, report)
			failedWith(t, report.Error, "RequestUpload", "States.Timeout")
			if report.Decision != nil {
				t.Errorf("the report has a decision that nobody made: %+v", report.Decision)
			}
		})
		t.Run("after the switch the old key comes back, "+string(kind), func(t *testing.T) {
			t.Parallel()
			s := either(t, kind)
			report := s.rotate(policy{"giveUpDays": oneDay, "uploadOrder": "after-switch"}).end()
			ended(t, "RolledBack", report)
			states(t, unanswered(pathRolledBack), report)
			s.switched(s.oldKid)
			s.oneNewKey(report)
			s.inMetadata(s.oldKid)
			leftBehind(t, report)
			failedWith(t, report.Error, "RequestUpload", "States.Timeout")
		})
	}
}
