package workflow

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/tidwall/gjson"
	"github.com/tidwall/sjson"

	"keyturn/internal/oktasim"
	"keyturn/internal/playground"
	"keyturn/internal/rotation"
)

// The states of a rotation whose switch changed more than the key.
const pathDrifted = `InspectTarget AnnounceStart AnyUnusedKeys GenerateCsr SignCsr Signed PublishCsr UploadOrder
	RequestUpload Uploaded UpdateKeyCredential RestoreKeyCredential VerifyOldKey Report AnnounceEnd Outcome Failed`

func TestASwitchThatChangesMoreThanTheKeyIsUndone(t *testing.T) {
	parallel(t)
	for _, c := range []struct {
		kind        rotation.Kind
		path, value string
		text        string
	}{
		{rotation.KindApp, "visibility.autoSubmitToolbar", "true", "visibility.autoSubmitToolbar: false → true"},
		{rotation.KindApp, "settings.notes.admin", `"lost"`, `settings.notes.admin: null → "lost"`},
		{rotation.KindIDP, "policy.maxClockSkew", "0", "policy.maxClockSkew: 120000 → 0"},
	} {
		t.Run(string(c.kind)+" "+c.path, func(t *testing.T) {
			t.Parallel()
			s := either(t, c.kind)
			s.p.Org.DriftOnPut(s.kind(), s.target.ID, c.path, c.value)
			r := s.rotate(nil)
			r.answer("confirm", "")
			report := r.end()
			ended(t, "Failed", report)
			states(t, pathDrifted, report)
			failedWith(t, report.Error, "UpdateKeyCredential", "Target.Drifted", c.text, "the document from before has been put back")
			s.switched(s.oldKid)
			s.inMetadata(s.oldKid)
			leftBehind(t, report)
		})
	}
	t.Run("what Okta does not take back is named", func(t *testing.T) {
		t.Parallel()
		s := app(t, oktasim.AppSpec{Raw: `{"features":["PUSH_NEW_USERS","GROUP_PUSH"]}`})
		s.p.Org.DriftOnPut(s.kind(), s.target.ID, "features", `["GROUP_PUSH"]`)
		r := s.rotate(nil)
		r.answer("confirm", "")
		report := r.end()
		ended(t, "Failed", report)
		states(t, pathDrifted, report)
		failedWith(t, report.Error, "UpdateKeyCredential", "Target.Drifted", `features[0]: "PUSH_NEW_USERS" → "GROUP_PUSH"`, "Okta did not take back", "admin console")
		same(t, "the active key", s.oldKid, s.active())
	})
	t.Run("and seen although the answer to the update was lost", func(t *testing.T) {
		t.Parallel()
		s := app(t)
		s.p.Org.DriftOnPut(s.kind(), s.target.ID, "visibility.autoSubmitToolbar", "true")
		s.p.Org.Fail(oktasim.Fault{ID: s.target.ID, Operation: "replaceApplication", Kind: oktasim.FaultCloseAfter})
		r := s.rotate(nil)
		r.answer("confirm", "")
		report := r.end()
		ended(t, "Failed", report)
		states(t, pathDrifted, report)
		failedWith(t, report.Error, "UpdateKeyCredential", "Target.Drifted", "the old key "+s.oldKid+" is active again")
		same(t, "the active key", s.oldKid, s.active())
	})
}

func TestAKeyThatSomebodyElseMadeActiveStays(t *testing.T) {
	parallel(t)
	for _, kind := range bothKinds {
		t.Run("before the switch, "+string(kind), func(t *testing.T) {
			t.Parallel()
			s := either(t, kind)
			r := s.rotate(nil)
			link := r.link(playground.Approver)
			theirs := s.somebodySwitches()
			s.decide(link, "confirm", "", "")
			report := r.end()
			ended(t, "Failed", report)
			states(t, `InspectTarget AnnounceStart AnyUnusedKeys GenerateCsr SignCsr Signed PublishCsr UploadOrder
				RequestUpload Uploaded UpdateKeyCredential Report AnnounceEnd Outcome Failed`, report)
			failedWith(t, report.Error, "UpdateKeyCredential", "Target.Changed", theirs, s.oldKid, "somebody else")
			same(t, "the active key", theirs, s.active())
			same(t, "updates", 0, s.times(operations[kind].replace))
			leftBehind(t, report)
		})
		t.Run("on the way back, "+string(kind), func(t *testing.T) {
			t.Parallel()
			s := either(t, kind)
			r := s.rotate(policy{"uploadOrder": "after-switch"})
			link := r.link(playground.Approver)
			theirs := s.somebodySwitches()
			s.decide(link, "reject", "", "no")
			report := r.end()
			ended(t, "Failed", report)
			failedWith(t, report.Rollback, "RestoreKeyCredential", "Target.Changed", theirs)
			same(t, "the active key", theirs, s.active())
			same(t, "updates", 1, s.times(operations[kind].replace))
		})
	}
}

// somebodySwitches makes a key active that no rotation has made.
func (s *scene) somebodySwitches() (kid string) {
	theirs := oktasim.NewKey(oktasim.KeySpec{})
	s.p.Org.AddKey(s.kind(), s.target.ID, theirs)
	s.p.Org.SetActiveKid(s.kind(), s.target.ID, theirs.Kid)
	return theirs.Kid
}

// somebodyEdits changes the target's label.
func (s *scene) somebodyEdits() {
	s.t.Helper()
	field := "label"
	if s.target.Kind == rotation.KindIDP {
		field = "name"
	}
	s.p.Org.Edit(s.kind(), s.target.ID, field, `"Edited: `+s.target.ID+`"`)
	s.before = s.document()
}

func TestAnEditWhileTheRotationWaitsIsKept(t *testing.T) {
	parallel(t)
	for _, kind := range bothKinds {
		t.Run("by the switch, "+string(kind), func(t *testing.T) {
			t.Parallel()
			s := either(t, kind)
			r := s.rotate(nil)
			link := r.link(playground.Approver)
			s.somebodyEdits()
			s.decide(link, "confirm", "", "")
			report := r.end()
			ended(t, "Completed", report)
			states(t, `InspectTarget AnnounceStart AnyUnusedKeys GenerateCsr SignCsr Signed PublishCsr UploadOrder
				RequestUpload Uploaded UpdateKeyCredential ReadAgain EditedTooOften UpdateKeyCredential VerifyKey AnnounceSwitch Switched
				Report AnnounceEnd Outcome Completed`, report)
			// The edit costs three: read again, look, switch.
			same(t, "state transitions", 18+3, report.Transitions)
			s.switched(report.NewKid)
			if report.Error != nil {
				t.Errorf("the report calls the edit an error: %+v", report.Error)
			}
		})
		t.Run("by the way back, "+string(kind), func(t *testing.T) {
			t.Parallel()
			s := either(t, kind)
			r := s.rotate(policy{"uploadOrder": "after-switch"})
			link := r.link(playground.Approver)
			s.somebodyEdits()
			s.decide(link, "reject", "", "no")
			report := r.end()
			ended(t, "RolledBack", report)
			s.switched(s.oldKid)
		})
	}
	t.Run("unless the target was deactivated meanwhile", func(t *testing.T) {
		t.Parallel()
		s := app(t)
		r := s.rotate(nil)
		link := r.link(playground.Approver)
		s.p.Org.Edit(s.kind(), s.target.ID, "status", `"INACTIVE"`)
		s.decide(link, "confirm", "", "")
		report := r.end()
		ended(t, "Failed", report)
		failedWith(t, report.Error, "ReadAgain", "Target.Inactive", "INACTIVE")
		same(t, "the active key", s.oldKid, s.active())
	})
}

func TestWhatAnInterruptedRotationLeftIsTakenUp(t *testing.T) {
	parallel(t)
	subject := policy{"commonName": "SSO of {id}"}
	t.Run("its pending CSR; that of somebody else stays", func(t *testing.T) {
		t.Parallel()
		s := app(t)
		ours := s.generateCSR("SSO of " + s.target.ID)
		theirs := s.generateCSR("another tool")
		r := s.rotate(policy{"subject": subject})
		r.answer("confirm", "")
		report := r.end()
		ended(t, "Completed", report)
		s.oneNewKey(report)
		same(t, "CSRs that were generated", 2, s.times("generateCsrForApplication"))
		waiting := s.p.Org.PendingCSRs(s.kind(), s.target.ID)
		if len(waiting) != 1 || waiting[0].ID != theirs {
			t.Errorf("pending now are %v; %s was ours and %s is not", waiting, ours, theirs)
		}
		published := ""
		for _, c := range s.asked() {
			if c.Operation == "publishCsrFromApplication" {
				published = c.Path
			}
		}
		if !strings.Contains(published, ours) {
			t.Errorf("published was %s, not the CSR %s", published, ours)
		}
	})
	t.Run("its published key, after it was stopped while it waited", func(t *testing.T) {
		t.Parallel()
		s := app(t)
		r := s.rotate(nil)
		r.request(playground.Approver)
		if _, err := sfn.NewFromConfig(s.p.Cloud.Config()).StopExecution(s.ctx, &sfn.StopExecutionInput{ExecutionArn: &r.rotation.ARN}); err != nil {
			t.Fatal(err)
		}
		s.unchanged()
		again := s.of(t)
		next := again.rotate(nil)
		next.answer("confirm", "")
		report := next.end()
		ended(t, "Completed", report)
		states(t, pathResumed, report)
		again.noNewKey()
		again.switched(report.NewKid)
	})
}

// generateCSR leaves a CSR pending, as a client of Okta's API does.
func (s *scene) generateCSR(commonName string) (id string) {
	s.t.Helper()
	body, err := sjson.SetBytes([]byte(`{}`), "subject.commonName", commonName)
	if err != nil {
		s.t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(s.ctx, http.MethodPost, gjson.GetBytes(s.document(), "_links.self.href").String()+"/credentials/csrs", bytes.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Authorization", "SSWS "+s.p.Org.APIToken())
	r.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	var csr struct{ ID string }
	if err := json.NewDecoder(response.Body).Decode(&csr); err != nil || csr.ID == "" {
		s.t.Fatalf("POST csrs: %s %v", response.Status, err)
	}
	return csr.ID
}
