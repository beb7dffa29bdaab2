package report_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"keyturn/internal/inventory"
	"keyturn/internal/inventory/report"
	"keyturn/internal/rotation"
)

func detailJSON(t interface{ Fatal(...any) }, s inventory.Summary) string {
	raw, err := json.Marshal(report.Detail(s))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func TestTheEventHasTheRunInShort(t *testing.T) {
	d, ok := report.Detail(troubledRun()).(report.EventDetail)
	if !ok {
		t.Fatal("the detail has another type")
	}
	if want := (report.EventCounts{Targets: 816, Apps: 1204, IDPs: 12, Due: 29, Started: 25, FailedToStart: 1, Running: 26, Waiting: 1, FailedLately: 2, Postponed: 1, Paused: 1, Problems: 3, OktaCalls: 830, RateLimited: 3, Waits: 1}); d.Counts != want {
		t.Errorf("the counts are %+v, want %+v", d.Counts, want)
	}
	if len(d.Due) != 29 || len(d.Started) != 25 || d.Started[0].Action != inventory.ActionStart || d.Started[0].Execution == "" {
		t.Errorf("%d due, %d started, %+v", len(d.Due), len(d.Started), d.Started[0])
	}
	since := digestNow.AddDate(0, 0, -16)
	wait := report.EventWaiting{Target: report.EventTarget{Kind: rotation.KindApp, ID: "0oasalesforceemea", Label: "Salesforce EMEA"}, Stage: rotation.StageSignIn, Since: &since, Execution: digestARN("1"),
		Asked: []string{"a@example.com", "b@example.com", "c@example.com", "d@example.com", "e@example.com", "f@example.com", "g@example.com"}}
	if diff := cmp.Diff([]report.EventWaiting{wait}, d.Waiting); diff != "" {
		t.Error(diff)
	}
	failed := report.EventFailed{Target: report.EventTarget{Kind: rotation.KindIDP, ID: "0oa66"}, Result: "Failed", Error: "Okta.Forbidden", EndedAt: digestNow.AddDate(0, 0, -3), Execution: digestARN("6")}
	if len(d.Failed) != 2 || d.Failed[1] != failed {
		t.Errorf("failed: %+v", d.Failed)
	}
	if n := d.NearestExpiry; n == nil || n.DaysLeft != -2 || n.Target.Label != "Salesforce EMEA" {
		t.Errorf("nearest: %+v", n)
	}
	if len(d.Problems) != 3 || d.Problems[0].Target != nil || d.Problems[1].Target.Label != "Legacy CRM" || d.Run.Complete {
		t.Errorf("problems: %+v", d.Problems)
	}
}

func TestTheEventsKeysAreThese(t *testing.T) {
	const want = `{"run":{"id":"2026-03-01-daily","execution":"arn:aws:states:eu-west-1:123456789012:execution:keyturn-discovery:2026-03-01-daily","startedAt":"2026-03-01T06:00:00Z","finishedAt":"2026-03-01T06:02:00Z","dryRun":false,"complete":true},` +
		`"org":"https://example.okta.com","mode":"rotate",` +
		`"counts":{"targets":813,"apps":1204,"idps":12,"due":1,"started":1,"failedToStart":0,"running":1,"waiting":0,"failedLately":0,"postponed":0,"paused":0,"notify":0,"problems":0,"oktaCalls":830,"rateLimited":0,"waits":0},` +
		`"nearestExpiry":{"target":{"kind":"app","id":"0oazoom","label":"Zoom"},"daysLeft":5,"notAfter":"2026-03-06T07:02:00Z"},` +
		`"due":[{"kind":"app","id":"0oazoom","label":"Zoom","daysLeft":5,"action":"start","execution":"arn:aws:states:eu-west-1:123456789012:execution:keyturn-rotation:app-0oazoom"}],` +
		`"started":[{"kind":"app","id":"0oazoom","label":"Zoom","daysLeft":5,"action":"start","execution":"arn:aws:states:eu-west-1:123456789012:execution:keyturn-rotation:app-0oazoom"}],` +
		`"waiting":[],"failed":[],"problems":[],"certificateAuthorities":[]}`
	if diff := cmp.Diff(want, detailJSON(t, summaryOf(dueEntry("Zoom", 5, inventory.ActionStart)))); diff != "" {
		t.Error(diff)
	}
}

func TestADryRunsEventStartedNothing(t *testing.T) {
	s := summaryOf(dueEntry("Zoom", 5, inventory.ActionStart))
	s.Run.DryRun = true
	if d, ok := report.Detail(s).(report.EventDetail); !ok || d.Counts.Started != 0 || len(d.Started) != 0 || len(d.Due) != 1 || !d.Run.DryRun {
		t.Errorf("the detail is %+v", d)
	}
}

func TestWithUsualLabelsTheEventsListsAreFull(t *testing.T) {
	s := summaryOf()
	since := digestNow
	for range 200 {
		e := dueEntry("Salesforce EMEA, production (SAML)", 5, inventory.ActionStart)
		s.Due = append(s.Due, e)
		s.Running = append(s.Running, inventory.Running{Execution: digestARN("app-0oa1b2c3d4e5f6g7h8i9-SIMcCQNY-20260301"), Target: e.Target, Stage: rotation.StageUpload, Since: &since, Asked: []string{"crm@example.com", "sso-team@example.com"}})
		s.Ended = append(s.Ended, inventory.Ended{Execution: digestARN("app-0oa1b2c3d4e5f6g7h8i9-SIMcCQNY-20260201"), Target: e.Target, Result: "Failed", Error: "Okta.Forbidden", EndedAt: digestNow})
		s.Run.Problems = append(s.Run.Problems, inventory.Problem{Name: "Okta.Forbidden", Message: "Okta refused the request: the role lacks a permission", Target: &e.Target})
	}
	d, ok := report.Detail(s).(report.EventDetail)
	if !ok || len(d.Due) != 100 || len(d.Started) != 100 || len(d.Waiting) != 100 || len(d.Failed) != 100 || len(d.Problems) != 20 {
		t.Errorf("%d due, %d started, %d waiting, %d failed, %d problems", len(d.Due), len(d.Started), len(d.Waiting), len(d.Failed), len(d.Problems))
	}
}

func TestTheEventIsNeverTooLarge(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := anySummary(t, rapid.SampledFrom([]int{0, 1, 60, 200}).Draw(t, "lists"))
		if rapid.Bool().Draw(t, "far") {
			far := time.Date(12345, 1, 1, 0, 0, 0, 0, time.UTC)
			s.Run.StartedAt = far
			for i := range s.Ended {
				s.Ended[i].EndedAt = far
			}
		}
		raw := detailJSON(t, s)
		if len(raw) >= 200_000 {
			t.Fatalf("the detail has %d bytes", len(raw))
		}
		var d report.EventDetail
		if err := json.Unmarshal([]byte(raw), &d); err != nil {
			t.Fatal(err)
		}
		if len(s.Due) > 0 && len(d.Due) == 0 {
			t.Fatal("nothing of the list is left")
		}
	})
}
