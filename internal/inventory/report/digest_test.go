package report_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"keyturn/internal/inventory"
	"keyturn/internal/inventory/report"
	"keyturn/internal/plaintext"
	"keyturn/internal/rotation"
)

var updateDigests = flag.Bool("update-digests", false, "write the digests' golden files anew")

const digestLocation = "https://eu-west-1.console.aws.amazon.com/s3/object/keyturn-123456789012?region=eu-west-1&prefix=report/latest.html"

var digestNow = time.Date(2026, 3, 1, 6, 2, 0, 0, time.UTC)

func digestARN(name string) string {
	return "arn:aws:states:eu-west-1:123456789012:execution:keyturn-rotation:" + name
}

// dueEntry is a target that is due.
func dueEntry(label string, days int, action inventory.Action) inventory.Entry {
	end := digestNow.Add(time.Duration(days)*rotation.Day + time.Hour)
	id := "0oa" + strings.ReplaceAll(plaintext.ASCII(label, 100), "-", "")
	e := inventory.Entry{
		Target: rotation.Target{Kind: rotation.KindApp, ID: id, Label: label}, Status: "ACTIVE", Protocol: "SAML_2_0",
		NotAfter: &end, DaysLeft: &days, Due: true, Action: action, Mode: rotation.ModeRotate,
	}
	if action == inventory.ActionStart {
		e.Approvers = []string{"crm@example.com", "sso-team@example.com"}
		e.Rotation = &inventory.Running{Execution: digestARN("app-" + id), Target: e.Target, StartedAt: digestNow}
	}
	return e
}

// summaryOf is a complete run with these dues and nothing else.
func summaryOf(dues ...inventory.Entry) inventory.Summary {
	s := inventory.Summary{
		Org: "https://example.okta.com", Mode: rotation.ModeRotate, MaxRotations: 25, Actions: map[inventory.Action]int{inventory.ActionNone: 812},
		Run: inventory.Run{
			ID: "2026-03-01-daily", Execution: "arn:aws:states:eu-west-1:123456789012:execution:keyturn-discovery:2026-03-01-daily",
			StartedAt: digestNow.Add(-2 * time.Minute), FinishedAt: digestNow, Complete: true, Apps: 1204, IDPs: 12, Targets: 812 + len(dues), OktaCalls: 830, LearnedKids: 14,
		},
		Due: dues, DueCount: len(dues),
	}
	for _, e := range dues {
		s.Actions[e.Action]++
		if e.Rotation != nil {
			s.Running = append(s.Running, *e.Rotation)
		}
	}
	s.RunningCount = len(s.Running)
	nearest := dueEntry("Workday", 120, inventory.ActionNone)
	if len(dues) > 0 {
		nearest = dues[0]
	}
	s.Nearest = &nearest
	return s
}

func usualRun() inventory.Summary {
	hand := dueEntry("Old Wiki", 30, inventory.ActionUnsupported)
	hand.Reason = "WS-Federation: it is rotated by hand"
	s := summaryOf(dueEntry("Salesforce EMEA", 12, inventory.ActionRunning), dueEntry("Jira & Confluence", 29, inventory.ActionStart), hand, dueEntry("Zoom", 44, inventory.ActionStart))
	since, by := digestNow.AddDate(0, 0, -5), digestNow.AddDate(0, 0, 9)
	s.Running = append([]inventory.Running{
		{Execution: digestARN("1"), Target: s.Due[0].Target, StartedAt: since, Stage: rotation.StageUpload, Since: &since, Asked: []string{"crm@example.com"}, AnswerBy: &by},
		{Execution: digestARN("2"), Target: rotation.Target{Kind: rotation.KindIDP, ID: "0oa2partner", Label: "Partner Logistics"}, StartedAt: since, Stage: rotation.StagePlanned, Since: &since, Asked: []string{"sso-team@example.com"}, AnswerBy: &by},
	}, s.Running...)
	s.RunningCount = len(s.Running)
	s.Authorities = []inventory.CertificateAuthority{authority(rotation.AuthorityStepCA, 397, issuing(250), root(4000))}
	return s
}

func troubledRun() inventory.Summary {
	failed := dueEntry("Workday <prod>", 3, inventory.ActionFailed)
	failed.Problem = &inventory.Problem{Name: "Start.Refused", Message: "Step Functions did not start the rotation (AccessDeniedException)"}
	paused, postponed := dueEntry("Zoom", 5, inventory.ActionPaused), dueEntry("Box", 9, inventory.ActionPostponed)
	paused.Reason = "its last rotation ended without success less than 3 days ago"
	postponed.Reason = "25 rotations were started before it: the next run's"
	s := summaryOf(dueEntry("Salesforce EMEA", -2, inventory.ActionRunning), failed, paused, postponed)
	for i := range 25 {
		s.Due = append(s.Due, dueEntry(fmt.Sprintf("Branch office %d", i+1), 10+i/5, inventory.ActionStart))
	}
	s.Actions[inventory.ActionStart], s.Actions[inventory.ActionUnknown] = 25, 2
	s.DueCount = len(s.Due)
	since, by := digestNow.AddDate(0, 0, -16), digestNow.AddDate(0, 0, -1)
	s.Running = []inventory.Running{{Execution: digestARN("1"), Target: s.Due[0].Target, StartedAt: since, Stage: rotation.StageSignIn, Since: &since, AnswerBy: &by,
		Asked: []string{"a@example.com", "b@example.com", "c@example.com", "d@example.com", "e@example.com", "f@example.com", "g@example.com"}}}
	for _, e := range s.Due {
		if e.Action == inventory.ActionStart {
			s.Running = append(s.Running, *e.Rotation)
		}
	}
	s.RunningCount = len(s.Running)
	s.Ended = []inventory.Ended{
		{Execution: digestARN("8"), Target: paused.Target, Result: "RolledBack", EndedAt: digestNow.AddDate(0, 0, -1), By: "sso-team@example.com", Comment: "Sign-in failed:\nwrong audience."},
		{Execution: digestARN("7"), Target: rotation.Target{Kind: rotation.KindApp, ID: "0oa77"}, Result: "Completed", EndedAt: digestNow.AddDate(0, 0, -2)},
		{Execution: digestARN("6"), Target: rotation.Target{Kind: rotation.KindIDP, ID: "0oa66"}, Result: "Failed", EndedAt: digestNow.AddDate(0, 0, -3), Error: "Okta.Forbidden", Message: "Okta refused the request: the role lacks okta.idps.manage"},
	}
	s.FailedCount = 2
	s.Run.Complete, s.Run.RateLimited, s.Run.Waits = false, 3, 1
	s.Run.Problems = []inventory.Problem{
		{Name: "Okta.Unavailable", Message: "Okta's list of identity providers could not be read to its end"},
		{Name: "Certificate.Unreadable", Message: "the certificate is no X.509", Target: &rotation.Target{Kind: rotation.KindApp, ID: "0oa55", Label: "Legacy CRM"}},
		{Name: failed.Problem.Name, Message: failed.Problem.Message, Target: &failed.Target},
	}
	s.Run.ProblemCount = 3
	s.Authorities = []inventory.CertificateAuthority{
		authority(rotation.AuthorityLocal, 397, issuing(60), root(4000)),
		{Provider: rotation.AuthorityKMS, Problem: &inventory.Problem{Name: "CA.NotDescribed", Message: "the CA kms could not be described"}},
	}
	return s
}

func TestTheDigestsLookAsTheyDid(t *testing.T) {
	for name, s := range map[string]inventory.Summary{"digest-usual": usualRun(), "digest-nothing-due": summaryOf(), "digest-trouble": troubledRun()} {
		t.Run(name, func(t *testing.T) {
			m := report.Digest(s, digestLocation)
			digestGolden(t, name+".txt", "Subject: "+m.Subject+"\n\n"+m.Text)
			digestGolden(t, name+".html", m.HTML)
			if again := report.Digest(s, digestLocation); again.HTML != m.HTML || again.Text != m.Text || again.Subject != m.Subject {
				t.Error("the same run gives another mail")
			}
		})
	}
}

func digestGolden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *updateDigests {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs; if it is meant to, run the test with -update-digests (-want +got):\n%s", name, diff)
	}
}

func TestTheSubjectSaysTheWorstFirst(t *testing.T) {
	type change func(*inventory.Summary)
	due := func(days int, actions ...inventory.Action) change {
		return func(s *inventory.Summary) {
			var dues []inventory.Entry
			for i, a := range actions {
				dues = append(dues, dueEntry(fmt.Sprint("App ", i), days, a))
			}
			*s = summaryOf(dues...)
		}
	}
	for want, changes := range map[string][]change{
		"Keyturn: nothing due; nearest expiry in 120 days":                                               {},
		"Keyturn: 1 rotation started; nearest expiry in 1 day":                                           {due(1, "start")},
		"Keyturn: 2 rotations started; nearest expiry within 24 hours":                                   {due(0, "start", "start")},
		"Keyturn: 1 is due (running already); nearest expiry in 6 days":                                  {due(6, "running")},
		"Keyturn: 3 are due (2 running already, 1 paused); nearest expiry in 6 days":                     {due(6, "running", "paused", "running")},
		"Keyturn: 2 are due (all running already); nearest expiry in 6 days":                             {due(6, "running", "running")},
		"Keyturn: 3 are due; mode notify: nothing was started; nearest expiry in 6 days":                 {due(6, "notify", "notify", "notify")},
		"Keyturn: 1 is due; mode notify: nothing was started; nearest expiry in 6 days":                  {due(6, "notify")},
		"Keyturn: 1 rotation started, 2 more due in mode notify; nearest expiry in 6 days":               {due(6, "start", "notify", "notify")},
		"Keyturn: 2 rotations failed lately, 3 started; nearest expiry in 6 days":                        {due(6, "start", "start", "start"), func(s *inventory.Summary) { s.FailedCount = 2 }},
		"Keyturn: 1 rotation could not be started, 1 failed lately, 1 started; nearest expiry in 6 days": {due(6, "start", "failed"), func(s *inventory.Summary) { s.FailedCount = 1 }},
		"Keyturn: 2 rotations could not be started; nearest expiry in 6 days":                            {due(6, "failed", "failed")},
		"Keyturn: 1 rotation failed lately, nothing due; nearest expiry in 120 days":                     {func(s *inventory.Summary) { s.FailedCount = 1 }},
		"Keyturn: the run is incomplete, 1 rotation started; nearest expiry in 6 days":                   {due(6, "start"), func(s *inventory.Summary) { s.Run.Complete = false }},
		"Keyturn: a certificate has expired, 1 rotation started":                                         {due(-1, "start")},
		"Keyturn: 2 certificates have expired, 2 are due (1 running already, 1 paused)":                  {due(-40, "running", "paused")},
		"Keyturn: a certificate has expired, nothing due":                                                {func(s *inventory.Summary) { *s.Nearest.DaysLeft = -3 }},
		"Keyturn: nothing due; no expiry is known":                                                       {func(s *inventory.Summary) { s.Nearest = nil }},
		"Keyturn: no targets found":                                                                      {func(s *inventory.Summary) { s.Nearest, s.Run.Targets = nil, 0 }},
		"Keyturn dry run: 2 rotations would be started; nearest expiry in 6 days":                        {due(6, "start", "start"), func(s *inventory.Summary) { s.Run.DryRun = true }},
		"Keyturn: 900 are due, none started; nearest expiry in 6 days":                                   {due(6, "running"), func(s *inventory.Summary) { s.DueCount = 900 }},
	} {
		s := summaryOf()
		for _, c := range changes {
			c(&s)
		}
		m := report.Digest(s, digestLocation)
		if m.Subject != want {
			t.Errorf("the subject is %q, want %q", m.Subject, want)
		}
		_, headline, _ := strings.Cut(want, ": ")
		if title := strings.ToUpper(headline[:1]) + headline[1:]; !strings.HasPrefix(m.Text, title+"\n") {
			t.Errorf("the text does not begin with %q:\n%s", title, m.Text)
		}
	}
}

func TestAListEndsWithWhatIsInTheReport(t *testing.T) {
	var dues []inventory.Entry
	for i := range 200 {
		dues = append(dues, dueEntry(fmt.Sprint("App ", i), 6, inventory.ActionNotify))
	}
	s := summaryOf(dues...)
	s.DueCount, s.Actions[inventory.ActionNotify] = 431, 431
	m := report.Digest(s, digestLocation)
	for _, body := range []string{m.Text, m.HTML} {
		if !strings.Contains(body, "and 411 more in the report") || !strings.Contains(body, "App 19") || strings.Contains(body, "App 20") {
			t.Errorf("the list is not cut:\n%s", m.Text)
		}
	}
}

func TestTheDigestSaysWhoIsWaitedForAndSinceWhen(t *testing.T) {
	text := report.Digest(usualRun(), digestLocation).Text
	for _, want := range []string{
		"- Salesforce EMEA (app 0oasalesforceemea)\n  Waits for the upload of the new certificate, since 24 February 2026 (for 5 days)\n  Asked: crm@example.com\n  Answer by 10 March 2026, 06:02 UTC\n",
		"- Partner Logistics (identity provider 0oa2partner)\n  Nobody has to answer: it switches on 10 March 2026, 06:02 UTC, as planned\n  Planned since 24 February 2026 (for 5 days)\n  Told: sso-team@example.com\n",
		"\n" + digestLocation + "\n", "Run:  ", "2026-03-01-daily", "https://example.okta.com",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
}

func TestALocationThatIsNoLinkIsNoButton(t *testing.T) {
	for _, location := range []string{"", "javascript:alert(1)"} {
		m := report.Digest(summaryOf(), location)
		if strings.Contains(m.HTML, "<a ") || strings.Contains(m.HTML, "roundrect") || !strings.Contains(m.Text, location) {
			t.Errorf("%q becomes a link", location)
		}
	}
}

// hostileText draws text as an administrator of a partner might write it.
func hostileText() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.String(),
		rapid.StringN(0, 3000, -1),
		rapid.SampledFrom([]string{"", "<script>alert(1)</script>", "\"><img src=x onerror=alert(1)>", "a\r\nBcc: all@example.com", "gpj.\u202Egp", "\xff\xfe",
			strings.Repeat("<", 5000), strings.Repeat("\U0001F512", 5000), strings.Repeat("\\\"", 4000), strings.Repeat("e\u0301\u0301\u0301\u0301\u0301\u0301", 1000)}),
	)
}

// anySummary draws a run that is full of hostile text.
func anySummary(t *rapid.T, lists int) inventory.Summary {
	text := hostileText()
	actions := rapid.SampledFrom([]inventory.Action{"start", "running", "postponed", "paused", "notify", "failed", "unsupported"})
	var few []string
	for range 7 {
		few = append(few, text.Draw(t, "text"))
	}
	at := func(i int) string { return few[i%len(few)] }
	target := func(i int) rotation.Target {
		return rotation.Target{Kind: rapid.SampledFrom([]rotation.Kind{rotation.KindApp, rotation.KindIDP}).Draw(t, "kind"), ID: at(i), Label: at(i + 1), Name: at(i + 2)}
	}
	s := inventory.Summary{Org: at(0), Mode: rotation.Mode(at(1)), Actions: map[inventory.Action]int{}, RunningCount: lists, FailedCount: lists, DueCount: lists}
	s.Run = inventory.Run{ID: at(2), Execution: at(3), StartedAt: digestNow, FinishedAt: digestNow, Complete: rapid.Bool().Draw(t, "complete"), Targets: lists, ProblemCount: lists}
	for i := range lists {
		days := rapid.IntRange(-100, 1000).Draw(t, "days")
		end := digestNow.Add(time.Duration(days) * rotation.Day)
		tgt, action := target(i), actions.Draw(t, "action")
		s.Actions[action]++
		running := inventory.Running{Execution: at(i + 3), Target: tgt, Stage: rotation.Stage(at(i)), Since: &end, AnswerBy: &end, Asked: few}
		e := inventory.Entry{Target: tgt, NotAfter: &end, DaysLeft: &days, Action: action, Reason: at(i + 4), Approvers: few, Rotation: &running, Problem: &inventory.Problem{Name: at(i), Message: at(i + 1)}}
		s.Due = append(s.Due, e)
		s.Nearest = &e
		s.Running = append(s.Running, running)
		s.Ended = append(s.Ended, inventory.Ended{Execution: at(i), Target: tgt, Result: at(i + 1), EndedAt: end, Error: at(i + 2), Message: at(i + 3), By: at(i + 4), Comment: at(i + 5)})
		s.Run.Problems = append(s.Run.Problems, inventory.Problem{Name: at(i), Message: at(i + 1), Target: &tgt})
	}
	s.Authorities = []inventory.CertificateAuthority{
		authority(rotation.CertificateAuthority(at(0)), 397, caCertificate(at(1), at(2), rapid.IntRange(-50, 500).Draw(t, "days")), caCertificate(at(3), at(4), 60)),
		{Provider: rotation.CertificateAuthority(at(5)), Problem: &inventory.Problem{Name: at(6), Message: at(0)}},
	}
	return s
}

func TestHostileTextOnlyShows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := report.Digest(anySummary(t, rapid.IntRange(0, 30).Draw(t, "lists")), digestLocation)
		for line := range strings.SplitSeq(m.Text, "\n") {
			if len(line) > 4*998 || utf8.RuneCountInString(line) > 998 {
				t.Fatalf("a line has %d characters: %q", utf8.RuneCountInString(line), line)
			}
		}
		if strings.ContainsAny(m.Subject, "\r\n<") {
			t.Fatalf("the subject is %q", m.Subject)
		}
		for _, r := range m.Subject + m.Text {
			if r != '\n' && (unicode.IsControl(r) || unicode.Is(unicode.Cf, r)) {
				t.Fatalf("%U is in the mail", r)
			}
		}
		if strings.Contains(m.HTML, "<script") || strings.Contains(m.HTML, "<img") || strings.Contains(m.HTML, "onerror=alert(1)>") || !utf8.ValidString(m.HTML) {
			t.Fatal("the mail has somebody's mark-up")
		}
	})
}

// Gmail cuts a mail that is longer.
func TestAFullDigestIsShownWhole(t *testing.T) {
	s := troubledRun()
	for i := range 200 {
		for _, a := range []inventory.Action{inventory.ActionPaused, inventory.ActionFailed} {
			e := dueEntry(fmt.Sprintf("Some application of a branch office %d", i), 5, a)
			e.Reason, e.Problem = troubledRun().Due[2].Reason, troubledRun().Due[1].Problem
			s.Due = append(s.Due, e)
		}
		s.Running, s.Ended, s.Run.Problems = append(s.Running, s.Running[0]), append(s.Ended, s.Ended[0]), append(s.Run.Problems, s.Run.Problems[1])
	}
	if got := len(report.Digest(s, digestLocation).HTML); got > 102_000 {
		t.Errorf("the mail has %d bytes", got)
	}
}
