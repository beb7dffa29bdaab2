// Package report_test looks at the report of discovery as people do: in a
// browser.
package report_test

import (
	"flag"
	"fmt"
	"iter"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"keyturn/internal/inventory"
	"keyturn/internal/inventory/report"
	"keyturn/internal/rotation"
	"keyturn/test/browser"
)

var chromium browser.Browser

func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	if err := chromium.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

var now = time.Date(2026, 3, 1, 6, 0, 0, 0, time.UTC)

// labels are those of an org of some age; others are numbered.
var labels = []string{
	"Old Intranet (Oslo)", "Salesforce – EMEA", "Contractors – ADFS", "Payroll (Zürich)", "Expense Reports", "Wiki", "Travel Booking", "Workday",
	"Service Desk", "Build Server", "Data Warehouse", "Timesheets", "Learning", "Video Calls", "Design Library", "Procurement", "Visitor Desk", "Fleet", "Legal Archive", "Press Room",
}

// org has n targets; the first ones are due.
func org(n int) (inventory.Summary, func() iter.Seq2[inventory.Entry, error]) {
	entryOf := func(i int) inventory.Entry {
		label := fmt.Sprintf("Department %05d", i)
		if i < len(labels) {
			label = labels[i]
		}
		days := -12 + 9*i
		if i > 120 {
			days = 60 + i%3000
		}
		from, to := now.AddDate(-2, 0, 0), now.AddDate(0, 0, days)
		e := inventory.Entry{
			Target: rotation.Target{Kind: rotation.KindApp, ID: fmt.Sprintf("0oa%017d", i), Label: label, Name: "example"}, Status: "ACTIVE", Protocol: "SAML_2_0",
			Kid: fmt.Sprintf("%08dx", i), Issuer: "CN=example,O=Okta", NotBefore: &from, NotAfter: &to, DaysLeft: &days, Sharing: 1, Rule: -1,
			Mode: rotation.ModeRotate, RotateBeforeDays: 45, Approvers: []string{"sso-team@example.com"}, Action: inventory.ActionNone,
		}
		if i == 2 {
			e.Target.Kind, e.Protocol = rotation.KindIDP, "SAML2"
		}
		if days <= 45 {
			e.Due, e.Action = true, inventory.ActionStart
		}
		switch i {
		case 0:
			e.Action, e.Reason = inventory.ActionUnsupported, "it uses SAML_1_1, whose metadata Okta does not show: rotate it by hand"
		case 1:
			e.Action, e.Reason, e.Rule = inventory.ActionRunning, "a rotation is running since 2026-02-26 06:00 UTC", 0
		case 4:
			e.Action, e.Reason = inventory.ActionPaused, "its last rotation ended as GaveUp on 2026-02-28 09:00 UTC: it is tried again after 2026-03-03 09:00 UTC"
		}
		return e
	}
	const machine = "arn:aws:states:eu-west-1:123456789012:execution:keyturn-rotation:app-"
	since, by, soon, left := now.AddDate(0, 0, -3), now.AddDate(0, 0, 27), now.AddDate(0, 0, 61), 61
	target := func(i int) rotation.Target { return entryOf(i).Target }
	s := inventory.Summary{
		Org: "https://example.okta.com", Mode: rotation.ModeRotate, MaxRotations: 25, Actions: map[inventory.Action]int{},
		Run: inventory.Run{ID: "2026-03-01T06-00-00Z", Execution: "arn:aws:states:eu-west-1:123456789012:execution:keyturn-discovery:1", StartedAt: now, FinishedAt: now.Add(time.Minute),
			Complete: true, Apps: n + 14, IDPs: 1, Targets: n, OktaCalls: 3, Waits: 1, ProblemCount: 1,
			Problems: []inventory.Problem{{Name: "Okta.Forbidden", Message: "could not list the keys: the credential lacks the permission", Target: &rotation.Target{Kind: rotation.KindApp, ID: "0oa9", Label: "Parking"}}}},
		Running: []inventory.Running{
			{Execution: machine + "1", Target: target(1), StartedAt: since, Stage: rotation.StageUpload, Since: &since, Asked: []string{"crm@example.com"}, AnswerBy: &by},
			{Execution: machine + "2", Target: target(2), StartedAt: now}}, RunningCount: 2,
		Ended: []inventory.Ended{
			{Execution: machine + "4", Target: target(4), Result: "GaveUp", EndedAt: now.Add(-21 * time.Hour), By: "finance@example.com", Comment: "our contract freezes changes until April"},
			{Execution: machine + "11", Target: target(11), Result: "Completed", EndedAt: now.AddDate(0, 0, -6)}}, FailedCount: 1,
		SharedKeys: []inventory.SharedKey{{Kind: rotation.KindApp, Kid: "SIMcCQNY", NotAfter: &soon, Count: 2, Targets: []rotation.Target{target(5), target(6)}}}, SharedKeyCount: 1,
		Trust: []inventory.Trust{{Kid: "7bbb", Subject: "CN=ADFS Signing - adfs.partner.example.com", NotAfter: &soon, DaysLeft: &left, UsedBy: []rotation.Target{target(2)}}},
		Authorities: []inventory.CertificateAuthority{
			{Provider: rotation.AuthorityLocal, ValidityDays: 397, Certificates: []inventory.AuthorityCertificate{
				authority("Example SAML Issuing CA G2", "Example Root CA 2016", 250), authority("Example Root CA 2016", "Example Root CA 2016", 3700)}},
			{Provider: rotation.AuthorityStepCA, ValidityDays: 180, Certificates: []inventory.AuthorityCertificate{
				authority("Labs Intermediate CA", "Labs Root CA", 64), authority("Labs Root CA", "Labs Root CA", 2900)}},
			{Provider: rotation.AuthorityKMS, Certificates: []inventory.AuthorityCertificate{},
				Problem: &inventory.Problem{Name: "CA.NotDescribed", Message: "the CA kms could not be described, and nobody knows here when it ends: KMS denies the key to sign-csr; let its role use it"}},
		},
	}
	s.Run.Problems, s.Run.ProblemCount = append(s.Run.Problems, *s.Authorities[2].Problem), 2
	entries := func() iter.Seq2[inventory.Entry, error] {
		return func(yield func(inventory.Entry, error) bool) {
			for i := range n {
				if !yield(entryOf(i), nil) {
					return
				}
			}
		}
	}
	for i := range n {
		e := entryOf(i)
		s.Actions[e.Action]++
		if e.Due {
			s.DueCount++
			s.Due = append(s.Due, e)
		}
		if s.Nearest == nil {
			s.Nearest = &e
		}
	}
	return s, entries
}

// authority is a CA's certificate that ends in so many days.
func authority(name, issuer string, days int) inventory.AuthorityCertificate {
	return inventory.AuthorityCertificate{DaysLeft: days, AuthorityCertificate: rotation.AuthorityCertificate{
		Subject: "CN=" + name + ",O=Example\\, Inc.,C=US", Issuer: "CN=" + issuer + ",O=Example\\, Inc.,C=US",
		NotBefore: now.AddDate(-9, 0, 0), NotAfter: now.AddDate(0, 0, days).Add(time.Hour),
	}}
}

// served is the report of an org of n targets, at an address.
func served(t *testing.T, n int) string {
	t.Helper()
	s, entries := org(n)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		if err := report.Page(w, s, entries); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(server.Close)
	return server.URL + "/"
}

func TestEveryoneCanReadTheReport(t *testing.T) {
	address := served(t, 40)
	for name, look := range map[string][]browser.Option{
		"wide": nil, "wide-dark": {browser.Dark}, "narrow": {browser.Narrow}, "narrow-dark": {browser.Narrow, browser.Dark},
	} {
		t.Run(name, func(t *testing.T) {
			tab := chromium.Tab(t, look...)
			tab.Open(address)
			for _, violation := range tab.Axe() {
				t.Error(violation)
			}
			for _, message := range tab.ConsoleErrors() {
				t.Errorf("the console says %s", message)
			}
			for _, wide := range tab.Overflow() {
				t.Errorf("wider than the screen: %s", wide)
			}
			if asked := tab.Requests(); len(asked) != 1 {
				t.Errorf("it asks for %v", asked)
			}
			tab.Screenshot("report-" + name)
		})
	}
}

// order is where the words stand in a text, -1 for nowhere.
func order(text string, words ...string) []int {
	var places []int
	from := strings.Index(text, "Find")
	for _, w := range words {
		places = append(places, strings.Index(text[from:], w))
	}
	return places
}

func TestTheTableIsSorted(t *testing.T) {
	tab := chromium.Tab(t)
	tab.Open(served(t, 40))
	before := order(tab.Text(), "Old Intranet (Oslo)", "Salesforce – EMEA", "Department 00039")
	if before[0] > before[1] || before[1] > before[2] {
		t.Fatalf("at first the order is %v", before)
	}
	tab.Click("Days left")
	if got := order(tab.Text(), "Old Intranet (Oslo)", "Department 00039"); got[0] < got[1] {
		t.Error("the latest expiry does not come first after a press on the column that is sorted")
	}
	tab.Click("Target")
	if got := order(tab.Text(), "Build Server", "Data Warehouse", "Workday"); got[0] > got[1] || got[1] > got[2] {
		t.Errorf("by label the order is %v", got)
	}
	tab.Click("Target")
	if got := order(tab.Text(), "Build Server", "Workday"); got[0] < got[1] {
		t.Errorf("by label, turned around, the order is %v", got)
	}
}

func TestTheTableIsFiltered(t *testing.T) {
	for name, n := range map[string]int{"small": 40, "large": 15000} {
		t.Run(name, func(t *testing.T) {
			tab := chromium.Tab(t)
			tab.Open(served(t, n))
			count := map[int]string{40: "40", 15000: "15,000"}[n]
			tab.Fill("Find", "payroll")
			tab.Visible("1 of " + count + " targets")
			tab.Fill("Find", "")
			tab.Choose("Kind", "IdPs")
			tab.Visible("1 of " + count + " targets")
			tab.Choose("Kind", "apps and IdPs")
			tab.Choose("Action", "Running (1)")
			tab.Visible("1 of " + count + " targets")
			tab.Choose("Action", "every action")
			tab.Visible(count + " of " + count + " targets")
		})
	}
}

func TestALongTableShowsFromItsBeginning(t *testing.T) {
	tab := chromium.Tab(t)
	tab.Open(served(t, 15000))
	tab.Visible("15,000 of 15,000 targets, the first 200 shown")
	for _, violation := range tab.Axe() {
		t.Error(violation)
	}
	tab.Screenshot("report-large")
	tab.Click("Show 1,000 more")
	tab.Visible("the first 1,200 shown")
	if focus := tab.Focus(); focus != "link Department 00200" {
		t.Errorf("after that the focus is on %q, not on the first row that came", focus)
	}
	tab.Click("Target")
	tab.Visible("the first 200 shown")
	tab.Fill("Find", "department 14990")
	tab.Visible("1 of 15,000 targets")
	tab.Hidden("targets, the first")
	tab.Hidden("Show all")
}

func TestAPhoneSortsToo(t *testing.T) {
	tab := chromium.Tab(t, browser.Narrow)
	tab.Open(served(t, 40))
	tab.Choose("Sort by", "target")
	if got := order(tab.Text(), "Build Server", "Data Warehouse", "Workday"); got[0] > got[1] || got[1] > got[2] {
		t.Errorf("by label the order is %v", got)
	}
}

func TestAccentsNeedNotBeTyped(t *testing.T) {
	tab := chromium.Tab(t)
	tab.Open(served(t, 40))
	tab.Fill("Find", "zurich")
	tab.Visible("1 of 40 targets")
}

func TestEveryoneCanReadTheDigest(t *testing.T) {
	s, _ := org(40)
	mail := report.Digest(s, "https://eu-west-1.console.aws.amazon.com/s3/object/keyturn-123456789012?prefix=report/latest.html")
	for name, look := range map[string][]browser.Option{"wide": nil, "narrow-dark": {browser.Narrow, browser.Dark}} {
		t.Run(name, func(t *testing.T) {
			tab := chromium.Tab(t, look...)
			tab.Show(mail.HTML)
			for _, violation := range tab.Axe() {
				t.Error(violation)
			}
			for _, wide := range tab.Overflow() {
				t.Errorf("wider than the screen: %s", wide)
			}
			for _, r := range tab.Requests() {
				if strings.HasPrefix(r.URL, "http") {
					t.Errorf("the mail loads %s", r.URL)
				}
			}
			tab.Screenshot("report-mail-" + name)
		})
	}
}

func TestWithoutScriptTheTableReads(t *testing.T) {
	tab := chromium.Tab(t, browser.NoScript)
	tab.Open(served(t, 40))
	if text := tab.Text(); !strings.Contains(text, "Department 00039") || strings.Contains(text, "of 40 targets") {
		t.Error("the table is not as it should be")
	}
	tab.Visible("No new certificates. The CA Labs Intermediate CA (stepca) ends in 64 days")
	tab.Screenshot("report-no-script")
}

func TestOnPaperThereAreNoControls(t *testing.T) {
	tab := chromium.Tab(t, browser.Print)
	tab.Open(served(t, 40))
	tab.Visible("Department 00039")
	tab.Visible("Labs Intermediate CA")
	tab.Hidden("every action")
	tab.Screenshot("report-print")
}
