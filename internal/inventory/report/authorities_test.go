package report_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"keyturn/internal/inventory"
	"keyturn/internal/inventory/report"
	"keyturn/internal/rotation"
)

// exactly is a CA's certificate that ends so long after the run.
func exactly(left time.Duration) inventory.AuthorityCertificate {
	c := issuing(inventory.DaysLeft(digestNow.Add(left), digestNow))
	c.NotAfter = digestNow.Add(left)
	return c
}

func TestWhatEndsWithItsCAIsSaidWhereItMatters(t *testing.T) {
	const (
		day   = rotation.Day
		local = rotation.AuthorityLocal
		ca    = "The CA Example SAML CA (local) "
	)
	notDescribed := inventory.CertificateAuthority{Provider: rotation.AuthorityKMS,
		Problem: &inventory.Problem{Name: "CA.NotDescribed", Message: "the CA kms could not be described: the key is disabled"}}
	for name, c := range map[string]struct {
		authorities []inventory.CertificateAuthority
		// headline is what page and subject begin with.
		headline string
		// attention are banners, marks and what the event says, dates left out.
		attention string
		bad       bool
		// means is what the table says of new certificates.
		means string
		// days and problems are the metrics; -1000 for none.
		days, problems int
	}{
		"none, as an older run has": {nil, "Nothing due", "", false, "", -1000, 0},
		"a fine one":                {[]inventory.CertificateAuthority{authority(local, 397, issuing(900), root(4000))}, "Nothing due", "", false, "up to 397 days", 900, 0},
		"one that lasts exactly as long as a new certificate": {[]inventory.CertificateAuthority{authority(local, 397, exactly(397*day), root(4000))}, "Nothing due", "", false, "up to 397 days", 397, 0},
		"one that ends a second earlier": {[]inventory.CertificateAuthority{authority(local, 397, exactly(397*day-time.Second), root(4000))}, "Nothing due",
			ca + "ends in 396 days, on … New certificates are cut to its end, short of the policy's 397 days: renew it.", false, "end with it, short of 397 days", 396, 0},
		"one that certificates of a month outlive, but nobody asks for more": {[]inventory.CertificateAuthority{authority(local, 100, issuing(120), root(4000))}, "Nothing due", "", false, "up to 100 days", 120, 0},
		"one whose targets are all off":                                      {[]inventory.CertificateAuthority{authority(local, 0, issuing(120))}, "Nothing due", "", false, "–", 120, 0},
		"a short root": {[]inventory.CertificateAuthority{authority(local, 397, issuing(900), root(120))}, "Nothing due",
			ca + "ends in 120 days, on …, with Example Root CA 2016 above it. New certificates are cut to its end, short of the policy's 397 days: renew it.", false, "end with it, short of 397 days", 120, 0},
		"one with a second more than 90 days": {[]inventory.CertificateAuthority{authority(local, 397, exactly(90*day+time.Second))}, "Nothing due",
			ca + "ends in 90 days, on … New certificates are cut to its end, short of the policy's 397 days: renew it.", false, "end with it, short of 397 days", 90, 0},
		"one with 90 days": {[]inventory.CertificateAuthority{authority(local, 397, exactly(90*day))}, "The CA ends in 90 days, nothing due",
			ca + "ends in 90 days, on … Okta takes no certificate with 90 days or less, so it can issue none: renew it.", true, "none can be issued", 90, 0},
		"one that has ended": {[]inventory.CertificateAuthority{authority(local, 397, issuing(-13), root(4000))}, "The CA has ended, nothing due",
			ca + "ended 12 days ago, on … It can issue no certificate: renew it.", true, "none can be issued", -13, 0},
		"one with a problem": {[]inventory.CertificateAuthority{notDescribed}, "Nothing due",
			"Nobody knows here when the CA kms ends, nor whether it can sign: see the problems of this run.", false, "–", -1000, 1},
		"one with a problem beside one that ends soon": {[]inventory.CertificateAuthority{notDescribed, authority(local, 397, issuing(1))}, "A CA ends in 1 day, nothing due",
			"Nobody knows here when the CA kms ends, nor whether it can sign: see the problems of this run.\n" +
				ca + "ends in 1 day, on … Okta takes no certificate with 90 days or less, so it can issue none: renew it.", true, "none can be issued", 1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			s := summaryOf()
			s.Authorities = c.authorities
			undated := func(text string) string {
				for _, a := range c.authorities {
					if end := a.FirstEnd(); end != nil {
						for _, layout := range []string{"2006-01-02", "2 January 2006"} {
							text = strings.ReplaceAll(strings.ReplaceAll(text, end.NotAfter.Format(layout)+".", "…"), end.NotAfter.Format(layout), "…")
						}
					}
				}
				return text
			}

			html := undated(page(t, s, nil))
			banners := strings.Count(html, `class="banner`)
			wanted := 0
			for line := range strings.SplitSeq(c.attention, "\n") {
				if line == "" {
					continue
				}
				wanted++
				if !strings.Contains(html, strings.ReplaceAll(line, "'", "&#39;")+"</p>") {
					t.Errorf("the page does not say at the top %q", line)
				}
			}
			if bad := strings.Contains(html, `class="banner bad"`); banners != wanted || bad != c.bad {
				t.Errorf("%d banners, %d are wanted, bad: %v", banners, wanted, bad)
			}
			if !strings.Contains(html, `class="headline">`+c.headline) {
				t.Errorf("the headline does not begin with %q", c.headline)
			}
			if has := strings.Contains(html, `<section id="authorities"`); has != (len(c.authorities) > 0) {
				t.Errorf("there is a section: %v", has)
			}
			if len(c.authorities) > 0 {
				if rows := cards(t, html, "authorities"); !strings.Contains(strings.Join(rows, "\n"), c.means+" | ") {
					t.Errorf("the table does not say %q: %q", c.means, rows)
				}
			}

			mail := report.Digest(s, digestLocation)
			if subject := strings.ToLower(c.headline[:1]) + c.headline[1:]; !strings.HasPrefix(mail.Subject, "Keyturn: "+subject) {
				t.Errorf("the subject is %q", mail.Subject)
			}
			if urgent := strings.Contains(mail.HTML, `class="bar-alarm"`); urgent != c.bad {
				t.Errorf("the mail is urgent: %v", urgent)
			}
			for line := range strings.SplitSeq(c.attention, "\n") {
				if !strings.Contains(undated(mail.Text), line+"\n") || !strings.Contains(undated(mail.HTML), strings.ReplaceAll(line, "'", "&#39;")) {
					t.Errorf("the mail does not say %q:\n%s", line, undated(mail.Text))
				}
			}

			d, ok := report.Detail(s).(report.EventDetail)
			if !ok || len(d.Authorities) != len(c.authorities) {
				t.Fatalf("the event has %+v", d.Authorities)
			}
			var said []string
			for _, a := range d.Authorities {
				if a.Attention != "" {
					said = append(said, undated(a.Attention))
				}
			}
			if got := strings.Join(said, "\n"); got != c.attention {
				t.Errorf("the event says %q", got)
			}

			var metrics bytes.Buffer
			if err := report.Metrics(&metrics, s, "keyturn", digestNow); err != nil {
				t.Fatal(err)
			}
			days, problems := metricOf(t, metrics.Bytes(), "CertificateAuthorityExpiryDays"), metricOf(t, metrics.Bytes(), "CertificateAuthorityProblems")
			if days != c.days || problems != c.problems {
				t.Errorf("the metrics are %d days and %d problems", days, problems)
			}
		})
	}
}

func TestTheWorstCAComesFirst(t *testing.T) {
	s := summaryOf()
	s.Authorities = []inventory.CertificateAuthority{
		{Provider: rotation.AuthorityManual, Problem: &inventory.Problem{Name: "CA.NotDescribed", Message: "no"}},
		authority(rotation.AuthorityLocal, 397, issuing(250)), authority(rotation.AuthorityKMS, 397, issuing(30)), authority(rotation.AuthorityStepCA, 397, issuing(-2)),
	}
	html := page(t, s, nil)
	if !strings.Contains(html, `class="headline">A CA has ended, nothing due`) {
		t.Error("the headline is of another CA")
	}
	cut := strings.Index(html, "Short certificates.")
	for _, bad := range []string{"Example SAML CA (kms) ends in 30 days", "Example SAML CA (stepca) ended 1 day ago"} {
		if at := strings.Index(html, bad); at < 0 || at > cut {
			t.Errorf("%q is at %d, what is less urgent at %d", bad, at, cut)
		}
	}
}

func TestTheTableOfCAsHasTheirCertificates(t *testing.T) {
	s, entries := org()
	s.Authorities = append(s.Authorities, authority(rotation.AuthorityStepCA, 397, caCertificate("CN=Branch\\, North,O=Example", "O=No name", 5)))
	want := []string{
		"Example SAML CA | local | 250 days left | 2026-11-06 | Example Root CA 2016 | end with it, short of 397 days | ",
		"Example Root CA 2016 | local | 4,000 days left | 2037-02-11 | Example Root CA 2016 | – | ",
		"Not describedthe CA kms could not be described, and nobody knows here when it ends: the KMS key is disabled | kms | – | unknown | – | – | ",
		"Branch, North | stepca | 5 days left | 2026-03-06 | O=No name | none can be issued | ",
	}
	html := strings.ReplaceAll(page(t, s, entries), "</th>", "</td>")
	if diff := cmp.Diff(want, cards(t, html, "authorities")); diff != "" {
		t.Error(diff)
	}
}

func TestTheEventHasTheCAs(t *testing.T) {
	s, _ := org()
	d, ok := report.Detail(s).(report.EventDetail)
	if !ok {
		t.Fatal("the detail has another type")
	}
	end, days := s.Authorities[0].Certificates[0].NotAfter, 250
	want := []report.EventAuthority{
		{Provider: "local", Subject: `CN=Example SAML CA,O=Example\, Inc.`, NotAfter: &end, DaysLeft: &days,
			Attention: "The CA Example SAML CA (local) ends in 250 days, on 2026-11-06. New certificates are cut to its end, short of the policy's 397 days: renew it."},
		{Provider: "kms", Attention: "Nobody knows here when the CA kms ends, nor whether it can sign: see the problems of this run."},
	}
	if diff := cmp.Diff(want, d.Authorities); diff != "" {
		t.Error(diff)
	}
}
