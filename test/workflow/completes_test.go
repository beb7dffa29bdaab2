package workflow

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"keyturn/internal/oktasim"
	"keyturn/internal/playground"
	"keyturn/internal/rotation"
)

// The states of a rotation on which nothing goes wrong.
const (
	pathBeforeSwitch = `InspectTarget AnnounceStart AnyUnusedKeys GenerateCsr SignCsr Signed PublishCsr UploadOrder
		RequestUpload Uploaded UpdateKeyCredential VerifyKey AnnounceSwitch Switched
		Report AnnounceEnd Outcome Completed`
	pathAfterSwitch = `InspectTarget AnnounceStart AnyUnusedKeys GenerateCsr SignCsr Signed PublishCsr UploadOrder
		UpdateKeyCredential VerifyKey AnnounceSwitch Switched RequestUpload Uploaded ReadActiveKey
		Report AnnounceEnd Outcome Completed`
	// pathNotDue is that of a key with years left, which the CA has not issued.
	pathNotDue = `InspectTarget AnnounceStart AnyUnusedKeys RecognizeKey KeyIsOurs GenerateCsr SignCsr Signed PublishCsr UploadOrder
		UpdateKeyCredential VerifyKey AnnounceSwitch Switched RequestUpload Uploaded ReadActiveKey
		Report AnnounceEnd Outcome Completed`
)

// The bars of the design: what one rotation may cost.
const (
	mostTransitions = 20
	mostOktaCalls   = 9
)

func TestARotationReplacesTheKeyAndNothingElse(t *testing.T) {
	parallel(t)
	demo := stack.Targets
	for _, c := range []struct {
		name   string
		target rotation.Target
		policy policy
		states string
	}{
		{"an app, by default the upload comes before the switch", rotation.Target{Kind: rotation.KindApp, ID: demo.BeforeSwitchApp}, nil, pathBeforeSwitch},
		{"an app with provisioning", rotation.Target{Kind: rotation.KindApp, ID: demo.RejectApp}, policy{"uploadOrder": "before-switch"}, pathBeforeSwitch},
		{"an app of the catalogue that is picky about updates", rotation.Target{Kind: rotation.KindApp, ID: demo.StrictCatalogApp}, nil, pathBeforeSwitch},
		{"an app in the guide's order", rotation.Target{Kind: rotation.KindApp, ID: demo.AfterSwitchApp}, policy{"uploadOrder": "after-switch"}, pathAfterSwitch},
		{"an IdP", rotation.Target{Kind: rotation.KindIDP, ID: demo.IDP}, policy{"uploadOrder": "before-switch"}, pathBeforeSwitch},
		{"an IdP in the guide's order", rotation.Target{Kind: rotation.KindIDP, ID: demo.HealthyIDP}, policy{"uploadOrder": "after-switch"}, pathNotDue},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := look(t, stack, c.target)
			s.target.Label = s.labelInOkta()
			r := s.rotate(c.policy)
			mail := r.request(playground.Approver)
			afterSwitch := c.policy["uploadOrder"] == "after-switch"
			if active := s.active(); (active == s.oldKid) == afterSwitch {
				t.Errorf("while the approver is asked the active key is %s, and the old one was %s", active, s.oldKid)
			}
			r.answer("confirm", "uploaded beside the old one")
			report := r.end()
			ended(t, "Completed", report)

			states(t, c.states, report)
			more := 0
			if afterSwitch {
				more = 1 // ReadActiveKey
			}
			if report.Transitions > mostTransitions+more {
				t.Errorf("the rotation took %d transitions, more than %d", report.Transitions, mostTransitions+more)
			}
			if n := s.spent(); n > mostOktaCalls+more {
				t.Errorf("the rotation took %d calls of Okta, more than %d: %v", n, mostOktaCalls+more, s.asked())
			}
			s.oneNewKey(report)
			s.switched(report.NewKid)
			s.inMetadata(report.NewKid)
			s.signedByTheCA(report.NewKid, mail.Text)
		})
	}
}

func TestTheOutputIsTheContract(t *testing.T) {
	parallel(t)
	for _, kind := range bothKinds {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			s := either(t, kind)
			r := s.rotate(nil)
			r.answer("confirm", "done, see \"CHG0031\"\nand <b>more</b>")
			report := r.end()
			ended(t, "Completed", report)

			out := r.describe()
			got := decoded(t, aws.ToString(out.Output))
			decision, _ := got["decision"].(map[string]any)
			at, err := time.Parse(time.RFC3339, asText(decision["at"]))
			if err != nil || at.Before(r.started.Add(-time.Second)) || at.After(time.Now()) {
				t.Errorf("the decision was made at %v, which is not while the rotation ran: %v", decision["at"], err)
			}
			target := map[string]any{"kind": string(kind), "id": s.target.ID, "label": s.target.Label}
			if kind == rotation.KindApp {
				target["name"] = s.nameInOkta()
			}
			same(t, "the output", map[string]any{
				"result":        "Completed",
				"target":        target,
				"oldKid":        s.oldKid,
				"newKid":        s.active(),
				"notAfter":      s.certificate(s.active()).NotAfter.UTC().Format(time.RFC3339),
				"uploadOrder":   "before-switch",
				"decision":      map[string]any{"confirmed": true, "by": playground.Approver, "at": decision["at"], "comment": "done, see \"CHG0031\"\nand <b>more</b>", "address": "127.0.0.1"},
				"signing":       nil,
				"calledOff":     nil,
				"signIn":        nil,
				"error":         nil,
				"rollbackError": nil,
				"revokedCsrs":   []any{},
				"leftBehind":    nil,
				"pendingCsr":    nil,
				"sharedWith":    []any{},
				"resumed":       false,
				"execution":     r.rotation.ARN,
			}, got)
		})
	}
}

func TestTheCertificateIsWhatThePolicyAsksFor(t *testing.T) {
	parallel(t)
	s := app(t)
	r := s.rotate(policy{"validityDays": 91 + 9, "rotateBeforeDays": 30, "subject": map[string]string{
		"countryName": "CH", "organizationName": "Example, Inc.", "commonName": "SSO of {id}"}})
	r.answer("confirm", "")
	report := r.end()
	ended(t, "Completed", report)
	cert := s.certificate(report.NewKid)
	same(t, "subject", "CN=SSO of "+s.target.ID+",O=Example\\, Inc.,C=CH", cert.Subject.String())
	same(t, "days of validity", 100, int(cert.NotAfter.Sub(cert.NotBefore).Hours()/24))
	same(t, "the report's notAfter", cert.NotAfter.UTC(), report.NotAfter.UTC())
}

func TestAKeyThatOthersShareIsReplacedHereOnly(t *testing.T) {
	parallel(t)
	// Until May 2022 one key was the whole org's: older than the apps.
	shared := oktasim.NewKey(oktasim.KeySpec{Created: time.Now().AddDate(-6, 0, 0)})
	first := app(t, oktasim.AppSpec{Key: shared})
	second := app(t, oktasim.AppSpec{Key: shared})
	r := first.rotate(nil)
	r.answer("confirm", "")
	report := r.end()
	ended(t, "Completed", report)
	first.switched(report.NewKid)
	second.unchanged()
	if len(report.SharedWith) != 1 || report.SharedWith[0].ID != second.target.ID {
		t.Errorf("the report says that the old key is shared with %v, not with %s", report.SharedWith, second.target.ID)
	}
}

func TestARuleOfThePolicyDecidesForItsTargets(t *testing.T) {
	parallel(t)
	s := app(t)
	r := s.rotate(policy{"rules": []policy{
		{"match": policy{"kind": "idp"}, "approvers": []string{"idp@example.com"}},
		{"match": policy{"label": "target *"}, "uploadOrder": "after-switch", "approvers": []string{"crm@example.com"}},
		{"match": policy{"id": s.target.ID}, "approvers": []string{"late@example.com"}},
	}})
	s.decide(r.link("crm@example.com"), "confirm", "", "")
	report := r.end()
	ended(t, "Completed", report)
	states(t, pathAfterSwitch, report)
	same(t, "who decided", "crm@example.com", report.Decision.By)
}
