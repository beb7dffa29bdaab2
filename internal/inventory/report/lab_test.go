package report_test

import (
	"fmt"
	"iter"
	"strings"
	"time"

	"keyturn/internal/inventory"
	"keyturn/internal/rotation"
)

var now = time.Date(2026, 3, 1, 6, 0, 0, 0, time.UTC)

func app(n int, label string) rotation.Target {
	return rotation.Target{Kind: rotation.KindApp, ID: fmt.Sprintf("0oa%017d", n), Label: label, Name: "example_saml"}
}

func idp(n int, label string) rotation.Target {
	return rotation.Target{Kind: rotation.KindIDP, ID: fmt.Sprintf("0oi%017d", n), Label: label}
}

// entry is an active target whose certificate ends in so many days.
func entry(t rotation.Target, days int, action inventory.Action) inventory.Entry {
	from, to := now.AddDate(-2, 0, 0), now.AddDate(0, 0, days)
	due := action != inventory.ActionNone && action != inventory.ActionOff && action != inventory.ActionInactive && action != inventory.ActionUnknown
	e := inventory.Entry{Target: t, Status: "ACTIVE", Protocol: "SAML_2_0", Kid: "SIMcCQNY3uwXoW3y0vf6VxiBb5n9pf8L2fK8d-FIbm4", Issuer: "CN=example,O=Okta", Subject: "CN=example,O=Okta",
		NotBefore: &from, NotAfter: &to, DaysLeft: &days, Sharing: 1, Rule: -1, Mode: rotation.ModeRotate, RotateBeforeDays: 45, SharedKey: rotation.OwnKey,
		Approvers: []string{"sso-team@example.com"}, Action: action, Due: due}
	return e
}

const (
	rotationARN  = "arn:aws:states:eu-west-1:123456789012:execution:keyturn-rotation:app-"
	discoveryARN = "arn:aws:states:eu-west-1:123456789012:execution:keyturn-discovery:"
)

func running(t rotation.Target, stage rotation.Stage, daysAgo int, asked ...string) inventory.Running {
	since, by := now.AddDate(0, 0, -daysAgo), now.AddDate(0, 0, 30-daysAgo)
	return inventory.Running{Execution: rotationARN + t.ID, Target: t, StartedAt: since, Stage: stage, Since: &since, Asked: asked, AnswerBy: &by}
}

// org is what a company of some age has.
func org() (inventory.Summary, []inventory.Entry) {
	expired := entry(app(1, "Old Intranet (Oslo)"), -12, inventory.ActionUnsupported)
	expired.Protocol, expired.Reason = "SAML_1_1", "it uses SAML_1_1, whose metadata Okta does not show: rotate it by hand"
	sales := entry(app(2, "Salesforce – EMEA"), 9, inventory.ActionRunning)
	salesRotation := running(sales.Target, rotation.StageUpload, 3, "crm@example.com", "crm-lead@example.com")
	sales.Rotation, sales.Rule, sales.Reason = &salesRotation, 0, "a rotation is running since 2026-02-26 06:00 UTC"
	adfs := entry(idp(3, "Contractors – ADFS"), 22, inventory.ActionStart)
	adfsRotation := running(adfs.Target, "", 0)
	adfs.Rotation, adfs.Protocol, adfs.Approvers = &adfsRotation, "SAML2", []string{"partner-desk@example.com"}
	payroll := entry(app(4, "Payroll (Zürich)"), 31, inventory.ActionPaused)
	payroll.Reason = "its last rotation ended as GaveUp on 2026-02-28 09:12 UTC: it is tried again after 2026-03-03 09:12 UTC, or once its certificate has 7 days left"
	expenses := entry(app(5, "Expense Reports"), 35, inventory.ActionFailed)
	expenses.Reason, expenses.Problem = "its rotation could not be started", &inventory.Problem{Name: "StepFunctions.Refused", Message: "Step Functions did not start it (AccessDeniedException): check the role of start-rotations"}
	wiki, travel := entry(app(6, "Wiki"), 38, inventory.ActionNotify), entry(app(7, "Travel Booking"), 38, inventory.ActionNotify)
	wiki.Sharing, travel.Sharing = 2, 2
	wiki.Reason, travel.Reason = "the mode is notify", "the mode is notify"
	workday := entry(app(8, "Workday"), 41, inventory.ActionStart)
	entries := []inventory.Entry{expired, sales, adfs, payroll, expenses, wiki, travel, workday}
	for i, d := range []int{64, 80, 95, 140, 190, 200, 260, 300, 330, 340, 362, 380, 395, 396, 397, 420, 500, 610, 700, 1500, 2800} {
		e := entry(app(20+i, fmt.Sprintf("Service Desk %02d", i+1)), d, inventory.ActionNone)
		if i == 7 {
			e.Action, e.Mode = inventory.ActionOff, rotation.ModeOff
		}
		entries = append(entries, e)
	}
	unknown := entry(app(90, "Parking"), 0, inventory.ActionUnknown)
	unknown.NotAfter, unknown.NotBefore, unknown.DaysLeft = nil, nil, nil
	unknown.Problem = &inventory.Problem{Name: "Okta.Forbidden", Message: "could not list the keys of app \"0oa90\": HTTP 403"}
	entries = append(entries, unknown)
	left, end := 61, now.AddDate(0, 0, 61)
	s := inventory.Summary{
		Org: "https://example.okta.com", Mode: rotation.ModeRotate, MaxRotations: 25,
		Run: inventory.Run{ID: "2026-03-01T06-00-00Z", Execution: discoveryARN + "2026-03-01T06-00-00Z", StartedAt: now, FinishedAt: now.Add(72 * time.Second),
			Complete: true, Apps: 41, IDPs: 1, Targets: len(entries), OktaCalls: 4, LearnedKids: 2, Waits: 1, ProblemCount: 2,
			Problems: []inventory.Problem{{Name: unknown.Problem.Name, Message: unknown.Problem.Message, Target: &unknown.Target},
				{Name: expenses.Problem.Name, Message: expenses.Problem.Message, Target: &expenses.Target}}},
		Running: []inventory.Running{salesRotation, adfsRotation}, RunningCount: 2,
		Ended: []inventory.Ended{
			{Execution: rotationARN + "4", Target: payroll.Target, Result: "GaveUp", EndedAt: now.Add(-21 * time.Hour), By: "payroll@example.com", Comment: "our contract freezes changes until April"},
			{Execution: rotationARN + "9", Target: app(9, "Timesheets"), Result: "RolledBack", EndedAt: now.AddDate(0, 0, -4), Error: "Key.NotInUse", Message: "the metadata of app \"0oa9\" still shows the old certificate"},
			{Execution: rotationARN + "20", Target: app(20, "Service Desk 01"), Result: "Completed", EndedAt: now.AddDate(0, 0, -6)},
		}, FailedCount: 2,
		SharedKeys: []inventory.SharedKey{{Kind: rotation.KindApp, Kid: wiki.Kid, NotAfter: wiki.NotAfter, Count: 2, Targets: []rotation.Target{wiki.Target, travel.Target}}}, SharedKeyCount: 1,
		Trust: []inventory.Trust{{Kid: "7bbb", Issuer: "CN=ADFS Signing - adfs.partner.example.com", Subject: "CN=ADFS Signing - adfs.partner.example.com", NotAfter: &end, DaysLeft: &left, UsedBy: []rotation.Target{adfs.Target}}},
	}
	s.Authorities = []inventory.CertificateAuthority{
		authority(rotation.AuthorityLocal, 397, issuing(250), root(4000)),
		{Provider: rotation.AuthorityKMS, Problem: &inventory.Problem{Name: "CA.NotDescribed", Message: "the CA kms could not be described, and nobody knows here when it ends: the KMS key is disabled"}},
	}
	s.Run.Problems = append(s.Run.Problems, *s.Authorities[1].Problem)
	s.Run.ProblemCount++
	sumUp(&s, entries)
	return s, entries
}

// authority is a CA; its certificates' days are counted from the end of the run
// that org and summaryOf are about.
func authority(provider rotation.CertificateAuthority, validityDays int, certificates ...inventory.AuthorityCertificate) inventory.CertificateAuthority {
	return inventory.CertificateAuthority{Provider: provider, ValidityDays: validityDays, Certificates: certificates}
}

func issuing(days int) inventory.AuthorityCertificate {
	return caCertificate("CN=Example SAML CA,O=Example\\, Inc.", "CN=Example Root CA 2016,O=Example\\, Inc.", days)
}

func root(days int) inventory.AuthorityCertificate {
	return caCertificate("CN=Example Root CA 2016,O=Example\\, Inc.", "CN=Example Root CA 2016,O=Example\\, Inc.", days)
}

// caCertificate ends an hour after the days that are left.
func caCertificate(subject, issuer string, days int) inventory.AuthorityCertificate {
	return inventory.AuthorityCertificate{DaysLeft: days, AuthorityCertificate: rotation.AuthorityCertificate{
		Subject: subject, Issuer: issuer, SHA256: strings.TrimSuffix(strings.Repeat("A1:", 32), ":"),
		NotBefore: now.AddDate(-9, 0, 0), NotAfter: digestNow.Add(time.Duration(days)*rotation.Day + time.Hour),
	}}
}

// sumUp counts as report-inventory does.
func sumUp(s *inventory.Summary, entries []inventory.Entry) {
	s.Actions, s.Due, s.DueCount, s.Run.Targets = map[inventory.Action]int{}, nil, 0, len(entries)
	for i, e := range entries {
		s.Actions[e.Action]++
		if e.Due {
			s.DueCount++
			if len(s.Due) < inventory.MaxDue {
				s.Due = append(s.Due, e)
			}
		}
		if s.Nearest == nil && e.NotAfter != nil && e.Action != inventory.ActionOff {
			s.Nearest = &entries[i]
		}
	}
}

func all(entries []inventory.Entry) func() iter.Seq2[inventory.Entry, error] {
	return func() iter.Seq2[inventory.Entry, error] {
		return func(yield func(inventory.Entry, error) bool) {
			for _, e := range entries {
				if !yield(e, nil) {
					return
				}
			}
		}
	}
}
