package report_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"keyturn/internal/inventory"
	"keyturn/internal/inventory/report"
	"keyturn/internal/rotation"
)

var update = flag.Bool("update", false, "write the golden files anew")

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (go test -update writes it anew):\n%.4000s", file, diff)
	}
}

func page(t *testing.T, s inventory.Summary, entries []inventory.Entry) string {
	t.Helper()
	var b bytes.Buffer
	if err := report.Page(&b, s, all(entries)); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// lines breaks HTML before each tag that begins a block, for a golden file that
// people can compare.
func lines(html string) string {
	return regexp.MustCompile(`<(section|h[123]|p|dl|div|table|tr|li|rect|text|header|main)\b`).ReplaceAllString(html, "\n$0")
}

func TestThePage(t *testing.T) {
	s, entries := org()
	html := page(t, s, entries)
	// Style and script have files of their own.
	html = regexp.MustCompile(`(?s)<style>.*?</style>|<script>.*?</script>`).ReplaceAllString(html, "")
	html = regexp.MustCompile(`sha256-[A-Za-z0-9+/=]*`).ReplaceAllString(html, "sha256-…")
	golden(t, "org.html", lines(html)+"\n")
}

func TestThePageLoadsNothingAndAllowsItsOwnScriptAlone(t *testing.T) {
	s, entries := org()
	html := page(t, s, entries)
	policy := regexp.MustCompile(`http-equiv="Content-Security-Policy" content="([^"]*)"`).FindStringSubmatch(html)
	if policy == nil {
		t.Fatal("there is no Content-Security-Policy")
	}
	want := "default-src &#39;none&#39;; style-src &#39;sha256-%s&#39;; script-src &#39;sha256-%s&#39;; base-uri &#39;none&#39;; form-action &#39;none&#39;"
	hash := func(tag string) string {
		inner := regexp.MustCompile(`(?s)<`+tag+`>(.*?)</`+tag+`>`).FindAllStringSubmatch(html, -1)
		if len(inner) != 1 {
			t.Fatalf("%d elements %s", len(inner), tag)
		}
		sum := sha256.Sum256([]byte(inner[0][1]))
		return base64.StdEncoding.EncodeToString(sum[:])
	}
	if want := fmt.Sprintf(want, hash("style"), hash("script")); policy[1] != want {
		t.Errorf("the policy is\n%s, want\n%s", policy[1], want)
	}
	for _, attribute := range regexp.MustCompile(`\s(src|srcset|data|action|poster)=`).FindAllString(html, -1) {
		t.Errorf("something is loaded: %s", attribute)
	}
	consoles := regexp.MustCompile(`^(#[a-z]+|https://example-admin\.okta\.com/admin/\S+|https://console\.aws\.amazon\.com/states/home\?region=eu-west-1#/v2/executions/details/arn:aws:states:\S+)$`)
	for _, href := range regexp.MustCompile(`href="([^"]*)"`).FindAllStringSubmatch(html, -1) {
		if !consoles.MatchString(strings.ReplaceAll(href[1], "%3A", ":")) {
			t.Errorf("a link leads to %s", href[1])
		}
	}
	if strings.Contains(html, "style=") || strings.Contains(html, "onclick") {
		t.Error("the policy would not allow what the page has inline")
	}
}

const hostile = "<script>alert(1)</script>\"'&\u202e\u0000\n]]>{{.}}<img src=x onerror=alert(2)>"

func TestTextOfOthersStaysText(t *testing.T) {
	s, entries := org()
	for i := range entries {
		e := &entries[i]
		e.Target.Label, e.Issuer, e.Reason, e.Kid, e.Approvers = hostile, "CN="+hostile, hostile, hostile, []string{hostile}
		if e.Problem != nil {
			e.Problem = &inventory.Problem{Name: hostile, Message: hostile, Target: &rotation.Target{Kind: rotation.KindApp, ID: "0oa1", Label: hostile}}
		}
	}
	for i := range s.Ended {
		e := &s.Ended[i]
		e.Target.Label, e.Message, e.By, e.Comment, e.Error, e.Result, e.Execution = hostile, hostile, hostile, hostile, hostile, hostile, hostile
	}
	for i := range s.Running {
		r := &s.Running[i]
		r.Target.Label, r.Asked, r.Stage, r.Execution = hostile, []string{hostile}, rotation.Stage(hostile), "arn:aws:states:"+hostile+":1:execution:m:x"
	}
	s.Run.ID = hostile // the org's address and Okta's ids have been checked
	s.Trust[0].Subject, s.Trust[0].Kid = hostile, hostile
	s.SharedKeys[0].Kid, s.SharedKeys[0].Targets[0].Label = hostile, hostile
	s.Run.Problems = append(s.Run.Problems, inventory.Problem{Name: hostile, Message: hostile})
	s.Authorities = []inventory.CertificateAuthority{
		authority(hostile, 397, caCertificate("CN="+hostile, hostile, 250), caCertificate(hostile, "CN="+hostile, 50)),
		{Provider: hostile, Problem: &inventory.Problem{Name: hostile, Message: hostile}},
	}
	sumUp(&s, entries)
	d := report.Digest(s, "https://example.com/")
	for where, text := range map[string]string{"page": page(t, s, entries), "mail": d.HTML} {
		body := regexp.MustCompile(`(?s)<style>.*?</style>|<script>"use strict".*?</script>`).ReplaceAllString(text, "")
		for _, bad := range []string{"<script", "<img", "onerror=alert(2)>", "\u202e", "\u0000"} {
			if strings.Contains(body, bad) {
				t.Errorf("the %s has %q", where, bad)
			}
		}
	}
	for where, text := range map[string]string{"subject": d.Subject, "text": d.Text} {
		for _, bad := range []string{"\u202e", "\u0000", "\n]]"} {
			if strings.Contains(text, bad) {
				t.Errorf("the %s has %q", where, bad)
			}
		}
	}
	if strings.Contains(d.Subject, "\n") {
		t.Error("the subject has two lines")
	}
}

func TestRowsAreWrittenAsTheyAreRead(t *testing.T) {
	s, entries := org()
	for i := range 5000 {
		entries = append(entries, entry(app(1000+i, fmt.Sprintf("App %05d", i)), 100+i, inventory.ActionNone))
	}
	sumUp(&s, entries)
	var out bytes.Buffer
	passes, written := 0, 0
	reading := func() iter.Seq2[inventory.Entry, error] {
		passes++
		return func(yield func(inventory.Entry, error) bool) {
			for i, e := range entries {
				if passes == 2 && i == len(entries)/2 {
					written = out.Len()
				}
				if !yield(e, nil) {
					return
				}
			}
		}
	}
	if err := report.Page(&out, s, reading); err != nil {
		t.Fatal(err)
	}
	if passes != 2 || written < out.Len()/3 {
		t.Errorf("%d passes; half way through the second one %d of %d bytes were written", passes, written, out.Len())
	}
}

func TestEntriesThatCannotBeReadEndThePage(t *testing.T) {
	s, entries := org()
	broken := errors.New("the file broke")
	for fail := 1; fail <= 2; fail++ {
		pass := 0
		err := report.Page(&bytes.Buffer{}, s, func() iter.Seq2[inventory.Entry, error] {
			pass++
			return func(yield func(inventory.Entry, error) bool) {
				if yield(entries[0], nil) && pass == fail {
					yield(inventory.Entry{}, broken)
				}
			}
		})
		if !errors.Is(err, broken) {
			t.Errorf("in pass %d: %v", fail, err)
		}
	}
}

func TestThePageOfALargeOrgIsSomeMegabytes(t *testing.T) {
	s, entries := org()
	for i := range 15000 {
		entries = append(entries, entry(app(1000+i, fmt.Sprintf("Department %05d – Zürich", i)), 50+i%3000, inventory.ActionNone))
	}
	sumUp(&s, entries)
	if html := page(t, s, entries); len(html) > 8<<20 || strings.Count(html, "<tr") < 15000 {
		t.Errorf("%d bytes, %d rows", len(html), strings.Count(html, "<tr"))
	}
}

func TestAnOrgWithNothingHasAPage(t *testing.T) {
	s := inventory.Summary{Org: "https://example.okta.com", Run: inventory.Run{StartedAt: now, Complete: true}, Mode: rotation.ModeNotify}
	html := page(t, s, nil)
	for _, want := range []string{"Nothing: no active target", "No rotation is running.", "No rotation ended without success"} {
		if !strings.Contains(html, want) {
			t.Errorf("it lacks %q", want)
		}
	}
}

func TestADryRunAndAnIncompleteOneSaySo(t *testing.T) {
	s, entries := org()
	s.Run.DryRun, s.Run.Complete = true, false
	html := page(t, s, entries)
	for _, want := range []string{"Dry run.", "Not complete.", "Would be started", "would be started</a></dt>"} {
		if !strings.Contains(html, want) {
			t.Errorf("it lacks %q", want)
		}
	}
}

// cards are the rows of a section's table, as text.
func cards(t *testing.T, html, section string) []string {
	t.Helper()
	_, rest, found := strings.Cut(html, `<section id="`+section+`"`)
	if !found {
		t.Fatalf("there is no section %s", section)
	}
	rest, _, _ = strings.Cut(rest, "</section>")
	_, rest, _ = strings.Cut(rest, "<tbody>")
	rest, _, _ = strings.Cut(rest, "</tbody>")
	var rows []string
	for row := range strings.SplitSeq(strings.ReplaceAll(rest, "</td>", " | "), "</tr>") {
		if row = regexp.MustCompile(`<[^>]*>`).ReplaceAllString(row, ""); row != "" {
			rows = append(rows, row)
		}
	}
	return rows
}

// A rejection is no error in a rotation's report: only who decided tells of it.
func TestWhatFailedSaysWhy(t *testing.T) {
	s, entries := org()
	ended := func(e inventory.Ended) {
		e.Target, e.EndedAt, e.Execution = app(1, "Wiki"), now, rotationARN+"1"
		s.Ended, s.FailedCount = append(s.Ended, e), s.FailedCount+1
	}
	s.Ended, s.FailedCount = nil, 0
	ended(inventory.Ended{Result: "GaveUp", By: "wiki@example.com", Comment: "not now"})
	ended(inventory.Ended{Result: "GaveUp", Error: "States.Timeout", Message: "nobody answered"})
	ended(inventory.Ended{Result: "Failed", Error: "Okta.Forbidden", Message: "no permission", By: "wiki@example.com"})
	ended(inventory.Ended{Result: "Aborted"})
	rows := cards(t, page(t, s, entries), "failed")
	for i, want := range []string{
		"Gave up | 2026-03-01 06:00 UTC | rejected | wiki@example.com: “not now”",
		"Gave up | 2026-03-01 06:00 UTC | States.Timeout: nobody answered | –",
		"Failed | 2026-03-01 06:00 UTC | Okta.Forbidden: no permission | wiki@example.com",
		"Stopped | 2026-03-01 06:00 UTC | – | –",
	} {
		if i >= len(rows) || !strings.Contains(rows[i], want) {
			t.Errorf("row %d of %q is not %q", i, rows, want)
		}
	}
	text := report.Digest(s, "").Text
	for _, want := range []string{"Rejected by wiki@example.com\n", "Answered by wiki@example.com\n"} {
		if strings.Count(text, want) != 1 {
			t.Errorf("the digest has %q %d times", want, strings.Count(text, want))
		}
	}
}

func TestThePictureIsOfWhatSomebodyWaitsFor(t *testing.T) {
	s, _ := org()
	dead, off, unknown := entry(app(1, "Dead"), -30, inventory.ActionInactive), entry(app(2, "Off"), 20, inventory.ActionOff), entry(app(3, "Unknown"), 0, inventory.ActionUnknown)
	unknown.NotAfter, unknown.DaysLeft = nil, nil
	entries := []inventory.Entry{dead, entry(app(4, "Ended"), -1, inventory.ActionStart), entry(app(5, "Due"), 10, inventory.ActionStart), off,
		entry(app(6, "Soon"), 89, inventory.ActionNone), entry(app(7, "Later"), 90, inventory.ActionNone), entry(app(8, "Tail"), 3000, inventory.ActionNone), unknown}
	sumUp(&s, entries)
	html := page(t, s, entries)
	for _, want := range []string{
		"When certificates end: 5 certificates by month",
		"has ended <strong>1</strong>", "due <strong>1</strong>", "in less than 90 days <strong>1</strong>", "in 90 days or more <strong>2</strong>",
		"1 target without a known date", "2 targets inactive or left out",
	} {
		if !strings.Contains(html, want) {
			t.Errorf("it lacks %q", want)
		}
	}
	if rows := cards(t, html, "timeline"); len(rows) != 4 { // soon and later end in the same month
		t.Errorf("the picture's table has the rows %q", rows)
	}
}

func TestTheReportsAddressIsThatOfItsPartition(t *testing.T) {
	for execution, want := range map[string]string{
		discoveryARN + "1": "https://console.aws.amazon.com/s3/object/b?region=eu-west-1&prefix=report/latest.html",
		"arn:aws-us-gov:states:us-gov-west-1:123456789012:execution:keyturn-discovery:1": "https://console.amazonaws-us-gov.com/s3/object/b?region=us-gov-west-1&prefix=report/latest.html",
		"arn:aws-cn:states:cn-north-1:123456789012:execution:keyturn-discovery:1":        "https://console.amazonaws.cn/s3/object/b?region=cn-north-1&prefix=report/latest.html",
		"": "https://console.aws.amazon.com/s3/object/b?region=&prefix=report/latest.html",
	} {
		if got := report.ObjectURL(execution, "b", "report/latest.html"); got != want {
			t.Errorf("%s: %s", execution, got)
		}
	}
}
