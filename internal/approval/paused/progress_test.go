package paused_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"

	"keyturn/internal/approval/paused"
	"keyturn/internal/approval/paused/sfntest"
	"keyturn/internal/rotation"
)

const execution = "app-0oa1gjh63g214q0Hq0g4-SIMcCQNY-20260301"

func progress(t *testing.T, s *sfntest.Service) paused.Progress {
	t.Helper()
	p, err := paused.Executions{StepFunctions: s, MachineARN: sfntest.MachineARN}.Progress(t.Context(), execution)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func asking(token string) rotation.RequestUploadInput {
	return rotation.RequestUploadInput{
		TaskToken: token, Stage: rotation.StageUpload, Execution: sfntest.MachineARN + ":" + execution,
		Target: rotation.Target{Kind: rotation.KindApp, ID: "0oa1gjh63g214q0Hq0g4", Label: "Salesforce"},
		Policy: rotation.DefaultSettings([]string{"crm@example.com"}),
		OldKey: rotation.Key{Kid: "old-kid", NotAfter: now.Add(30 * rotation.Day)},
		NewKey: rotation.Key{Kid: "new-kid", NotAfter: now.Add(397 * rotation.Day), Certificate: "TUlJ"},
		Chain:  "-----BEGIN CERTIFICATE-----\n",
	}
}

func TestProgressTellsHowARotationStands(t *testing.T) {
	const confirmed = `{"confirmed":true,"by":"crm@example.com","at":"2026-03-01T12:00:00Z","comment":"done","address":"192.0.2.7"}`
	const rejected = `{"confirmed":false,"by":"iam@example.com","at":"2026-03-01T12:00:00Z","comment":"no"}`
	answerTo := func(s *sfntest.Service, token, decision string) {
		t.Helper()
		d := rotation.Decision{Confirmed: decision == confirmed, By: "crm@example.com", At: now, Comment: "done", Address: "192.0.2.7"}
		if decision == rejected {
			d = rotation.Decision{By: "iam@example.com", At: now, Comment: "no"}
		}
		if err := (paused.Answer{StepFunctions: s}).Decide(t.Context(), token, d); err != nil {
			t.Fatal(err)
		}
	}
	for title, c := range map[string]struct {
		happens                       func(s *sfntest.Service)
		wantToken, wantBy, wantResult string
	}{
		"before it asks": {func(*sfntest.Service) {}, "", "", ""},
		"while it asks":  {func(s *sfntest.Service) { s.Ask(asking("t1")) }, "t1", "", ""},
		"an attempt to ask failed, and the next one waits": {func(s *sfntest.Service) {
			again := asking("t2")
			s.Ask(asking("t1"))
			s.Fail("Notify.Unavailable", &again)
		}, "t2", "", ""},
		"an attempt to ask failed, and the next one is to come": {func(s *sfntest.Service) { s.Ask(asking("t1")); s.Fail("Notify.Unavailable", nil) }, "", "", ""},
		"a reminder": {func(s *sfntest.Service) {
			s.Ask(asking("t1"))
			s.TimeOut()
			s.Choose("NextMessage")
			s.Ask(asking("t2"))
		}, "t2", "", ""},
		"between two messages": {func(s *sfntest.Service) { s.Ask(asking("t1")); s.TimeOut(); s.Choose("NextMessage") }, "", "", ""},
		"answered, at work": {func(s *sfntest.Service) {
			s.Ask(asking("t1"))
			answerTo(s, "t1", confirmed)
			s.Step("UpdateKeyCredential", "")
		}, "", "crm@example.com", ""},
		"rejected, at work": {func(s *sfntest.Service) {
			s.Ask(asking("t1"))
			answerTo(s, "t1", rejected)
			s.Choose("NotConfirmed")
		}, "", "iam@example.com", ""},
		"the sign-in is asked about": {func(s *sfntest.Service) {
			s.Ask(asking("t1"))
			answerTo(s, "t1", confirmed)
			s.Step("UpdateKeyCredential", `{"ExecutedVersion":"$LATEST","Payload":{"activeKid":"k","already":false}}`)
			s.Ask(asking("t2"))
		}, "t2", "crm@example.com", ""},
		"completed": {func(s *sfntest.Service) {
			s.Ask(asking("t1"))
			answerTo(s, "t1", confirmed)
			s.End("Completed", `{"result":"Completed","decision":`+confirmed+`}`)
		}, "", "crm@example.com", "Completed"},
		"given up": {func(s *sfntest.Service) {
			s.Ask(asking("t1"))
			s.TimeOut()
			s.End("GaveUp", `{"result":"GaveUp","decision":null}`)
		}, "", "", "GaveUp"},
		"failed":                              {func(s *sfntest.Service) { s.End("Failed", `{"result":"Failed"}`) }, "", "", "Failed"},
		"failed with a cause that is no JSON": {func(s *sfntest.Service) { s.End("States.Runtime", `boom`) }, "", "", "Failed"},
		"stopped while it asks":               {func(s *sfntest.Service) { s.Ask(asking("t1")); s.End("Aborted", "") }, "", "", paused.Stopped},
	} {
		t.Run(title, func(t *testing.T) {
			s := &sfntest.Service{Execution: execution, Now: func() time.Time { return now }}
			s.Step("InspectTarget", `{"ExecutedVersion":"$LATEST","Payload":{"target":{"kind":"app"}}}`)
			s.Step("PublishCsr", `{"ExecutedVersion":"$LATEST","Payload":{"key":{"kid":"new"}}}`)
			c.happens(s)
			p := progress(t, s)
			token, by := "", ""
			if p.Asking != nil {
				token = p.Asking.TaskToken
				if want := asking(token); !cmp.Equal(want, *p.Asking) || !p.Since.Equal(now) {
					t.Errorf("the request came back changed, or since %s:\n%s", p.Since, cmp.Diff(want, *p.Asking))
				}
			}
			if p.Last != nil {
				by = p.Last.By
			}
			if token != c.wantToken || by != c.wantBy || p.Result != c.wantResult {
				t.Errorf("asking %q, answered by %q, result %q; want %q, %q, %q", token, by, p.Result, c.wantToken, c.wantBy, c.wantResult)
			}
		})
	}
}

func TestProgressTellsWhatTheLatestDecisionAnswered(t *testing.T) {
	sign := func(token string) rotation.RequestUploadInput {
		in := asking(token)
		in.Stage, in.NewKey, in.CSR = rotation.StageCertificate, rotation.Key{}, &rotation.CSR{ID: "csr", Request: "TUlJ"}
		return in
	}
	signed := rotation.Decision{Confirmed: true, By: "pki@example.com", At: now, Certificate: "-----BEGIN CERTIFICATE-----\n" + strings.Repeat("A", 20_000)}
	for title, c := range map[string]struct {
		happens   func(s *sfntest.Service, answer func(string, rotation.Decision))
		wantStage rotation.Stage
		wantLast  *rotation.Decision
		asks      rotation.Stage
	}{
		"nothing yet": {func(s *sfntest.Service, _ func(string, rotation.Decision)) { s.Ask(sign("t1")) }, "", nil, rotation.StageCertificate},
		"a certificate": {func(s *sfntest.Service, answer func(string, rotation.Decision)) {
			s.Ask(sign("t1"))
			answer("t1", signed)
		}, rotation.StageCertificate, &signed, ""},
		"a certificate, at work": {func(s *sfntest.Service, answer func(string, rotation.Decision)) {
			s.Ask(sign("t1"))
			s.TimeOut()
			s.Choose("NextMessage")
			s.Ask(sign("t2"))
			answer("t2", signed)
			s.Step("SignCsr", `{"ExecutedVersion":"$LATEST","Payload":{"certificate":{"pem":"x"},"chain":""}}`)
			s.Step("PublishCsr", "")
		}, rotation.StageCertificate, &signed, ""},
		"a certificate, then the upload is asked for": {func(s *sfntest.Service, answer func(string, rotation.Decision)) {
			s.Ask(sign("t1"))
			answer("t1", signed)
			s.Step("SignCsr", `{"ExecutedVersion":"$LATEST","Payload":{}}`)
			s.Ask(asking("t2"))
			s.TimeOut()
			s.Choose("NextMessage")
			s.Ask(asking("t3"))
		}, rotation.StageCertificate, &signed, rotation.StageUpload},
		"no certificate": {func(s *sfntest.Service, answer func(string, rotation.Decision)) {
			s.Ask(sign("t1"))
			answer("t1", rotation.Decision{By: "pki@example.com", At: now, Comment: "no"})
			s.Step("RevokeCsr", `{"ExecutedVersion":"$LATEST","Payload":{"revoked":["csr"]}}`)
			s.End("GaveUp", `{"result":"GaveUp"}`)
		}, rotation.StageCertificate, &rotation.Decision{By: "pki@example.com", At: now, Comment: "no"}, ""},
		"a certificate, then no upload": {func(s *sfntest.Service, answer func(string, rotation.Decision)) {
			s.Ask(sign("t1"))
			answer("t1", signed)
			s.Ask(asking("t2"))
			answer("t2", rotation.Decision{By: "crm@example.com", At: now, Comment: "no"})
		}, rotation.StageUpload, &rotation.Decision{By: "crm@example.com", At: now, Comment: "no"}, ""},
	} {
		t.Run(title, func(t *testing.T) {
			s := &sfntest.Service{Execution: execution, Now: func() time.Time { return now }}
			s.Step("GenerateCsr", `{"ExecutedVersion":"$LATEST","Payload":{"csr":{"id":"csr"}}}`)
			c.happens(s, func(token string, d rotation.Decision) {
				if err := (paused.Answer{StepFunctions: s}).Decide(t.Context(), token, d); err != nil {
					t.Fatal(err)
				}
			})
			p := progress(t, s)
			if p.LastStage != c.wantStage || !cmp.Equal(p.Last, c.wantLast) {
				t.Errorf("the latest decision answered %q, want %q: %+v", p.LastStage, c.wantStage, p.Last)
			}
			var asks rotation.Stage
			if p.Asking != nil {
				asks = p.Asking.Stage
			}
			if asks != c.asks {
				t.Errorf("the rotation asks for %q, want %q", asks, c.asks)
			}
		})
	}
}

func TestProgressOfARotationWithManyRemindersTakesOneCall(t *testing.T) {
	s := &sfntest.Service{Execution: execution, Now: func() time.Time { return now }}
	for range 100 {
		s.Ask(asking("old"))
		s.TimeOut()
		s.Choose("NextMessage")
	}
	s.Ask(asking("newest"))
	if p := progress(t, s); p.Asking == nil || p.Asking.TaskToken != "newest" {
		t.Errorf("asking %+v", p.Asking)
	}
	// No answer can be found in it; the search for one ends.
	if n := s.Calls(); n > 5 {
		t.Errorf("%d calls of Step Functions", n)
	}
}

func TestProgressOfAnExecutionThatIsForgotten(t *testing.T) {
	s := &sfntest.Service{Execution: "another", Now: func() time.Time { return now }}
	_, err := paused.Executions{StepFunctions: s, MachineARN: sfntest.MachineARN}.Progress(t.Context(), execution)
	if !errors.Is(err, paused.ErrNoExecution) {
		t.Errorf("%v, want ErrNoExecution", err)
	}
}

func TestProgressThatCannotBeReadShowsNothingOfTheRequest(t *testing.T) {
	s := &sfntest.Service{Execution: execution, Now: func() time.Time { return now }, Outage: &smithy.GenericAPIError{Code: "ThrottlingException", Message: "for " + taskToken}}
	_, err := paused.Executions{StepFunctions: s, MachineARN: sfntest.MachineARN}.Progress(t.Context(), execution)
	if rotation.NameOf(err) != "StepFunctions.Unavailable" || strings.Contains(err.Error(), taskToken) {
		t.Errorf("%v", err)
	}
}
