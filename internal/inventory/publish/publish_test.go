package publish_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/sesv2"
	"github.com/google/go-cmp/cmp"

	"keyturn/internal/bucket"
	"keyturn/internal/bucket/buckettest"
	"keyturn/internal/inventory"
	"keyturn/internal/inventory/publish"
	"keyturn/internal/notify"
	"keyturn/internal/rotation"
)

var now = time.Date(2026, 3, 1, 6, 0, 0, 0, time.UTC)

// post is SES and EventBridge, which keep what they get.
type post struct {
	mails  []*sesv2.SendEmailInput
	events []*eventbridge.PutEventsInput
	refuse error
}

func (p *post) SendEmail(_ context.Context, in *sesv2.SendEmailInput, _ ...func(*sesv2.Options)) (*sesv2.SendEmailOutput, error) {
	if p.refuse != nil {
		return nil, p.refuse
	}
	p.mails = append(p.mails, in)
	return &sesv2.SendEmailOutput{}, nil
}

func (p *post) PutEvents(_ context.Context, in *eventbridge.PutEventsInput, _ ...func(*eventbridge.Options)) (*eventbridge.PutEventsOutput, error) {
	p.events = append(p.events, in)
	return &eventbridge.PutEventsOutput{}, nil
}

type lab struct {
	t       *testing.T
	s3      *buckettest.Server
	bucket  bucket.Bucket
	post    *post
	metrics bytes.Buffer
	log     bytes.Buffer
}

func newLab(t *testing.T) *lab {
	l := &lab{t: t, s3: buckettest.New(t), post: &post{}}
	l.bucket = l.s3.Bucket("keyturn-inventory")
	return l
}

func (l *lab) function() publish.Inventory {
	return publish.Inventory{
		Bucket: l.bucket, Mail: notify.Mail{SES: l.post, Sender: "keyturn@example.com"}, Operators: []string{"identity@example.com", "night-shift@example.com"},
		Events: l.post, Stack: "keyturn", Metrics: &l.metrics, Log: slog.New(slog.NewJSONHandler(&l.log, nil)),
		Now: func() time.Time { return now.Add(time.Minute) }, TempDir: l.t.TempDir(),
	}
}

func begun(id string, at time.Time) inventory.Begun {
	return inventory.Begun{ID: id, Execution: "arn:aws:states:eu-west-1:123456789012:execution:keyturn-discovery:" + id, At: at}
}

// entry is an active target whose certificate ends in so many days.
func entry(id string, days int, action inventory.Action) inventory.Entry {
	from, to := now.AddDate(-2, 0, 0), now.AddDate(0, 0, days)
	return inventory.Entry{
		Target: rotation.Target{Kind: rotation.KindApp, ID: id, Label: "App " + id}, Status: "ACTIVE", Protocol: "SAML_2_0", Kid: "kid" + id,
		NotBefore: &from, NotAfter: &to, DaysLeft: &days, Sharing: 1, Rule: -1, Mode: rotation.ModeRotate, RotateBeforeDays: 45,
		Action: action, Due: action == inventory.ActionStart,
	}
}

// left puts what the steps before leave of a run.
func (l *lab) left(run inventory.Begun, entries []inventory.Entry, starts inventory.Starts) {
	l.t.Helper()
	keys := inventory.Keys{Run: run.ID}
	var lines bytes.Buffer
	for _, e := range entries {
		if err := inventory.WriteLine(&lines, e); err != nil {
			l.t.Fatal(err)
		}
	}
	l.put(keys.Entries(), lines.Bytes())
	listing := inventory.Listing{Org: "https://example.okta.com", Mode: rotation.ModeRotate, MaxRotations: 25,
		Run:        inventory.Run{ID: run.ID, Execution: run.Execution, StartedAt: run.At, Complete: true, Apps: len(entries), Targets: len(entries), OktaCalls: 3},
		SharedKeys: []inventory.SharedKey{}, Trust: []inventory.Trust{},
		ValidityDays: map[rotation.CertificateAuthority]int{rotation.AuthorityLocal: 397}}
	l.put(keys.Listing(), l.json(listing))
	l.put(keys.Starts(), l.json(starts))
}

func (l *lab) json(v any) []byte {
	l.t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		l.t.Fatal(err)
	}
	return raw
}

func (l *lab) put(key string, body []byte) {
	l.t.Helper()
	if _, err := l.bucket.Put(l.t.Context(), key, bytes.NewReader(body), bucket.Options{}); err != nil {
		l.t.Fatal(err)
	}
}

func (l *lab) run(in inventory.ReportInventoryInput) inventory.ReportInventoryOutput {
	l.t.Helper()
	out, err := l.function().Run(l.t.Context(), in)
	if err != nil {
		l.t.Fatal(err)
	}
	return out
}

// latest reads the inventory as a program of somebody else does.
func (l *lab) latest(key string) (entries []inventory.Entry, run inventory.Run) {
	l.t.Helper()
	body, _, err := l.bucket.Read(l.t.Context(), key)
	if err != nil {
		l.t.Fatal(err)
	}
	var file struct {
		Version int
		Run     inventory.Run
		Targets []inventory.Entry
	}
	if err := json.Unmarshal(body, &file); err != nil || file.Version != 1 {
		l.t.Fatalf("version %d, %v", file.Version, err)
	}
	return file.Targets, file.Run
}

func TestTheInventoryHasEveryTargetAsItStands(t *testing.T) {
	l := newLab(t)
	run := begun("run-1", now)
	started, running := entry("0oa1", 5, inventory.ActionStart), entry("0oa3", 200, inventory.ActionNone)
	decided := started
	decided.Rotation = &inventory.Running{Execution: "arn:1", Target: started.Target, StartedAt: now}
	l.left(run, []inventory.Entry{started, entry("0oa2", 100, inventory.ActionNone), running}, inventory.Starts{
		Dues:    []inventory.Entry{decided},
		Running: []inventory.Running{*decided.Rotation, {Execution: "arn:3", Target: running.Target, StartedAt: now.AddDate(0, 0, -3), Stage: rotation.StageUpload}},
		Ended:   []inventory.Ended{{Execution: "arn:9", Target: started.Target, Result: "GaveUp", EndedAt: now}, {Execution: "arn:8", Target: started.Target, Result: "Completed", EndedAt: now}},
	})
	out := l.run(inventory.ReportInventoryInput{Run: run})
	if out.Targets != 3 || out.Due != 1 || out.Started != 1 || out.Running != 2 || out.Failed != 0 || *out.NearestExpiryDays != 5 ||
		out.Inventory != "inventory/latest.json" || out.Report != "report/latest.html" || out.Superseded || !out.Complete {
		t.Errorf("the output is %+v", out)
	}
	entries, facts := l.latest(inventory.LatestInventory)
	if len(entries) != 3 || facts.ID != "run-1" || !facts.FinishedAt.Equal(now.Add(time.Minute)) {
		t.Fatalf("%d entries of %+v", len(entries), facts)
	}
	if e := entries[0]; e.Action != inventory.ActionStart || e.Rotation == nil || e.Rotation.Execution != "arn:1" {
		t.Errorf("the started target is %+v", e)
	}
	if e := entries[2]; e.Action != inventory.ActionRunning || e.Rotation == nil || e.Rotation.Stage != rotation.StageUpload {
		t.Errorf("the target with a rotation that somebody requested is %+v", e)
	}
	// The file is one that the next run takes for Keyturn's own.
	file, err := inventory.Open(t.Context(), l.bucket, inventory.LatestInventory)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	n := 0
	for _, err := range file.Entries() {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if n != 3 {
		t.Errorf("read back, it has %d entries", n)
	}
	report, _, err := l.bucket.Read(t.Context(), inventory.LatestReport)
	if err != nil || !bytes.Contains(report, []byte("App 0oa2")) {
		t.Errorf("the report has %d bytes, %v", len(report), err)
	}
}

func caCertificate(subject string, days int) rotation.AuthorityCertificate {
	return rotation.AuthorityCertificate{Subject: "CN=" + subject, Issuer: "CN=Example Root CA", SHA256: "0A:1B", NotBefore: now.AddDate(-1, 0, 0), NotAfter: now.AddDate(0, 0, days)}
}

// certificateAuthorities is what a program reads of the CAs.
func (l *lab) certificateAuthorities() string {
	l.t.Helper()
	body, _, err := l.bucket.Read(l.t.Context(), inventory.LatestInventory)
	if err != nil {
		l.t.Fatal(err)
	}
	var file map[string]json.RawMessage
	if err := json.Unmarshal(body, &file); err != nil {
		l.t.Fatal(err)
	}
	return string(file["certificateAuthorities"])
}

func TestTheInventoryHasTheCAsAsTheyWereDescribed(t *testing.T) {
	berlin := caCertificate("Example SAML CA", 400)
	berlin.NotAfter = berlin.NotAfter.In(time.FixedZone("CET", 3600))
	for name, c := range map[string]struct {
		facts []rotation.AuthorityFacts
		want  string
		// problem begins what the run says of them.
		problem string
	}{
		"none, as the state machine of an older version calls it": {nil, `[]`, ""},
		"one with its chain": {[]rotation.AuthorityFacts{{Provider: rotation.AuthorityLocal, Certificates: []rotation.AuthorityCertificate{berlin, caCertificate("Example Root CA", 4000)}}},
			`[{"provider":"local","validityDays":397,"certificates":[` +
				`{"subject":"CN=Example SAML CA","issuer":"CN=Example Root CA","sha256":"0A:1B","notBefore":"2025-03-01T06:00:00Z","notAfter":"2027-04-05T06:00:00Z","daysLeft":399},` +
				`{"subject":"CN=Example Root CA","issuer":"CN=Example Root CA","sha256":"0A:1B","notBefore":"2025-03-01T06:00:00Z","notAfter":"2037-02-11T06:00:00Z","daysLeft":3999}]}]`, ""},
		"one that has ended": {[]rotation.AuthorityFacts{{Provider: rotation.AuthorityKMS, Certificates: []rotation.AuthorityCertificate{caCertificate("Example SAML CA", 0)}}},
			`[{"provider":"kms","certificates":[{"subject":"CN=Example SAML CA","issuer":"CN=Example Root CA","sha256":"0A:1B","notBefore":"2025-03-01T06:00:00Z","notAfter":"2026-03-01T06:00:00Z","daysLeft":-1}]}]`, ""},
		"one with a problem": {[]rotation.AuthorityFacts{{Provider: rotation.AuthorityLocal, Problem: "secret keyturn/ca has no value yet"}},
			`[{"provider":"local","validityDays":397,"certificates":[],"problem":{"name":"CA.NotDescribed","message":"the CA local could not be described, and nobody knows here when it ends: secret keyturn/ca has no value yet"}}]`,
			"the CA local could not be described, and nobody knows here when it ends: secret keyturn/ca has no value yet"},
		"one of which nothing was said": {[]rotation.AuthorityFacts{{Provider: rotation.AuthorityManual}},
			`[{"provider":"manual","certificates":[],"problem":{"name":"CA.NotDescribed","message":"the CA manual could not be described, and nobody knows here when it ends: sign-csr named none of its certificates"}}]`,
			"the CA manual could not be described, and nobody knows here when it ends: sign-csr named none of its certificates"},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			run := begun("run-1", now)
			l.left(run, []inventory.Entry{entry("0oa1", 50, inventory.ActionNone)}, inventory.Starts{})
			out := l.run(inventory.ReportInventoryInput{Run: run, Authorities: c.facts})
			if diff := cmp.Diff(c.want, l.certificateAuthorities()); diff != "" {
				t.Error(diff)
			}
			_, facts := l.latest(inventory.LatestInventory)
			if c.problem == "" {
				if facts.ProblemCount != 0 || out.Problems != 0 {
					t.Errorf("the problems are %+v", facts.Problems)
				}
				return
			}
			if facts.ProblemCount != 1 || out.Problems != 1 || facts.Problems[0].Name != "CA.NotDescribed" || facts.Problems[0].Message != c.problem {
				t.Errorf("the problems are %+v", facts.Problems)
			}
		})
	}
}

func TestWhatIsWrongWithACAIsShownBeforeOtherProblems(t *testing.T) {
	l := newLab(t)
	run := begun("run-1", now)
	l.left(run, nil, inventory.Starts{})
	listing := inventory.Listing{Org: "https://example.okta.com", Run: inventory.Run{ID: run.ID, ProblemCount: inventory.MaxProblems}}
	for range inventory.MaxProblems {
		listing.Run.Problems = append(listing.Run.Problems, inventory.Problem{Name: "Okta.Forbidden", Message: "the keys could not be listed"})
	}
	l.put(inventory.Keys{Run: run.ID}.Listing(), l.json(listing))
	l.run(inventory.ReportInventoryInput{Run: run, Authorities: []rotation.AuthorityFacts{{Provider: rotation.AuthorityKMS, Problem: "the key is disabled"}}})
	if _, facts := l.latest(inventory.LatestInventory); facts.ProblemCount != 51 || len(facts.Problems) != 50 || facts.Problems[0].Name != "CA.NotDescribed" {
		t.Errorf("%d of %d problems, the first is %+v", len(facts.Problems), facts.ProblemCount, facts.Problems[0])
	}
}

func TestTheOperatorsHearOfACAThatEnds(t *testing.T) {
	l := newLab(t)
	run := begun("run-1", now)
	l.left(run, []inventory.Entry{entry("0oa1", 50, inventory.ActionNone)}, inventory.Starts{})
	l.run(inventory.ReportInventoryInput{Run: run, Authorities: []rotation.AuthorityFacts{
		{Provider: rotation.AuthorityLocal, Certificates: []rotation.AuthorityCertificate{caCertificate("Example SAML CA", 121), caCertificate("Example Root CA", 4000)}}}})
	const said = "The CA Example SAML CA (local) ends in 120 days, on "
	if text := *l.post.mails[0].Content.Simple.Body.Text.Data; !strings.Contains(text, said+"30 June 2026. New certificates are cut to its end, short of the policy's 397 days: renew it.") {
		t.Errorf("the mail does not say it:\n%s", text)
	}
	if detail := *l.post.events[0].Entries[0].Detail; !strings.Contains(detail, said+"2026-06-30.") {
		t.Errorf("the event does not say it: %s", detail)
	}
	if page, _, err := l.bucket.Read(t.Context(), inventory.LatestReport); err != nil || !bytes.Contains(page, []byte(said+"2026-06-30.")) {
		t.Errorf("the report does not say it, %v", err)
	}
	if !strings.Contains(l.metrics.String(), `"CertificateAuthorityExpiryDays":120,"CertificateAuthorityProblems":0`) {
		t.Errorf("the metrics are %s", l.metrics.String())
	}
}

func TestTheDigestGoesOutOnceToEveryOperator(t *testing.T) {
	l := newLab(t)
	run := begun("run-1", now)
	l.left(run, []inventory.Entry{entry("0oa1", 5, inventory.ActionNotify)}, inventory.Starts{})
	l.run(inventory.ReportInventoryInput{Run: run})
	l.run(inventory.ReportInventoryInput{Run: run})
	if len(l.post.mails) != 2 || l.post.mails[0].Destination.ToAddresses[0] != "identity@example.com" || l.post.mails[1].Destination.ToAddresses[0] != "night-shift@example.com" {
		t.Errorf("%d mails went out", len(l.post.mails))
	}
	if text := *l.post.mails[0].Content.Simple.Body.Text.Data; !strings.Contains(text, "https://console.aws.amazon.com/s3/object/keyturn-inventory?region=eu-west-1&prefix=report/latest.html") {
		t.Errorf("the mail does not say where the report is:\n%s", text)
	}
	if len(l.post.events) != 1 || *l.post.events[0].Entries[0].DetailType != "Keyturn Discovery Completed" {
		t.Errorf("%d events went out", len(l.post.events))
	}
	if got := strings.Count(l.metrics.String(), "NearestExpiryDays\":5"); got != 1 {
		t.Errorf("the metrics are\n%s", l.metrics.String())
	}
}

func TestADryRunLeavesTheInventoryAloneAndMailsNobody(t *testing.T) {
	l := newLab(t)
	first, dry := begun("run-1", now), begun("run-2", now.Add(time.Hour))
	l.left(first, []inventory.Entry{entry("0oa1", 5, inventory.ActionNone)}, inventory.Starts{})
	l.run(inventory.ReportInventoryInput{Run: first})
	mails, metrics := len(l.post.mails), l.metrics.Len()
	would := entry("0oa1", 5, inventory.ActionStart)
	l.left(dry, []inventory.Entry{would}, inventory.Starts{Dues: []inventory.Entry{would}})
	out := l.run(inventory.ReportInventoryInput{Run: dry, DryRun: true})
	if !out.DryRun || out.Started != 0 || out.Due != 1 || out.Inventory != "inventory/dry-run.json" || out.Report != "report/dry-run.html" {
		t.Errorf("the output is %+v", out)
	}
	if _, run := l.latest(inventory.LatestInventory); run.ID != "run-1" {
		t.Errorf("the inventory is that of %s", run.ID)
	}
	if entries, run := l.latest(inventory.DryRunInventory); !run.DryRun || entries[0].Action != inventory.ActionStart {
		t.Errorf("the dry run's is %+v of %+v", entries, run)
	}
	if len(l.post.mails) != mails || l.metrics.Len() != metrics {
		t.Error("a dry run sent mail or metrics")
	}
}

func TestOfTwoRunsAtOnceTheOneThatStartedLaterIsKept(t *testing.T) {
	for _, laterFirst := range []bool{false, true} {
		t.Run(fmt.Sprint("the later one ends first: ", laterFirst), func(t *testing.T) {
			l := newLab(t)
			early, late := begun("early", now), begun("late", now.Add(time.Minute))
			for _, run := range []inventory.Begun{early, late} {
				l.left(run, []inventory.Entry{entry("0oa1", 50, inventory.ActionNone)}, inventory.Starts{})
			}
			order := []inventory.Begun{early, late}
			if laterFirst {
				order = []inventory.Begun{late, early}
			}
			var outs []inventory.ReportInventoryOutput
			for _, run := range order {
				outs = append(outs, l.run(inventory.ReportInventoryInput{Run: run}))
			}
			if outs[0].Superseded || outs[1].Superseded != laterFirst {
				t.Errorf("superseded: %v, %v", outs[0].Superseded, outs[1].Superseded)
			}
			if _, run := l.latest(inventory.LatestInventory); run.ID != "late" {
				t.Errorf("the inventory is that of the run %s", run.ID)
			}
			if report, _, err := l.bucket.Read(t.Context(), inventory.LatestReport); err != nil || bytes.Contains(report, []byte("early")) {
				t.Errorf("the report is that of the other run, %v", err)
			}
		})
	}
}

func TestARunThatStartedLaterAndWritesMeanwhileIsKept(t *testing.T) {
	l := newLab(t)
	early, late := begun("early", now), begun("late", now.Add(time.Minute))
	for _, run := range []inventory.Begun{early, late} {
		l.left(run, []inventory.Entry{entry("0oa1", 50, inventory.ActionNone)}, inventory.Starts{})
	}
	l.run(inventory.ReportInventoryInput{Run: early})
	for _, key := range []string{inventory.LatestInventory, inventory.LatestReport} {
		// Between its look and its writing.
		l.s3.Fail(buckettest.Fault{Operation: "PutObject", Prefix: key, Do: func() { l.run(inventory.ReportInventoryInput{Run: late}) }})
		l.run(inventory.ReportInventoryInput{Run: early})
		if _, run := l.latest(inventory.LatestInventory); run.ID != "late" {
			t.Errorf("the inventory is that of the run %s", run.ID)
		}
		if report, _, err := l.bucket.Read(t.Context(), inventory.LatestReport); err != nil || bytes.Contains(report, []byte("early")) {
			t.Errorf("the report is that of the other run, %v", err)
		}
	}
}

func TestATargetThatWouldBeMissingStopsTheReport(t *testing.T) {
	for name, dues := range map[string][]inventory.Entry{"one that is due": {entry("0oa2", 5, inventory.ActionStart)}, "another": nil} {
		t.Run(name, func(t *testing.T) { oneIsMissing(t, dues) })
	}
}

func oneIsMissing(t *testing.T, dues []inventory.Entry) {
	t.Helper()
	l := newLab(t)
	run := begun("run-1", now)
	kept, lost := entry("0oa1", 50, inventory.ActionNone), entry("0oa2", 5, inventory.ActionStart)
	l.left(run, []inventory.Entry{kept, lost}, inventory.Starts{Dues: dues})
	var lines bytes.Buffer
	if err := inventory.WriteLine(&lines, kept); err != nil {
		t.Fatal(err)
	}
	l.put(inventory.Keys{Run: "run-1"}.Entries(), lines.Bytes())
	_, err := l.function().Run(t.Context(), inventory.ReportInventoryInput{Run: run})
	if rotation.NameOf(err) != "Inventory.Incomplete" || !strings.Contains(err.Error(), "2 targets were listed, 1 would be reported") {
		t.Errorf("got %v", err)
	}
	if keys, err := l.bucket.List(t.Context(), "inventory/"); err != nil || len(keys) != 0 {
		t.Errorf("written: %v, %v", keys, err)
	}
	if len(l.post.mails)+len(l.post.events) != 0 {
		t.Error("a digest went out")
	}
}

func TestAnOperatorWhoCannotBeMailedIsInTheLogAndStopsNothing(t *testing.T) {
	l := newLab(t)
	l.post.refuse = errors.New("no route")
	run := begun("run-1", now)
	l.left(run, []inventory.Entry{entry("0oa1", 50, inventory.ActionNone)}, inventory.Starts{})
	l.run(inventory.ReportInventoryInput{Run: run})
	if got := strings.Count(l.log.String(), "an operator was not told"); got != 2 {
		t.Errorf("the log is\n%s", l.log.String())
	}
}

func TestWithoutTheStepsBeforeThereIsNothingToReport(t *testing.T) {
	l := newLab(t)
	_, err := l.function().Run(t.Context(), inventory.ReportInventoryInput{Run: begun("never", now)})
	if rotation.NameOf(err) != "Input.Invalid" || !strings.Contains(err.Error(), "runs/never/") {
		t.Errorf("got %v", err)
	}
}
