package workflow

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"keyturn/internal/approval"
	"keyturn/internal/approval/page"
	"keyturn/internal/localaws"
	"keyturn/internal/oktasim"
	"keyturn/internal/playground"
	"keyturn/internal/rotation"
	"keyturn/test/browser"
)

// What people do in front of a screen. Each page and mail is looked at from all
// sides where a test first comes to it; the pictures are in build/screenshots.

type side struct {
	name    string
	options []browser.Option
}

// bothSides have each screen and each color once; allSides, for pages with much
// on them, every screen in every color; oneSide is for what differs little from
// a page that is looked at elsewhere.
var (
	bothSides = []side{{"narrow-dark", []browser.Option{browser.Narrow, browser.Dark}}, {"wide", nil}}
	allSides  = append(bothSides[:2:2], side{"narrow", []browser.Option{browser.Narrow}}, side{"wide-dark", []browser.Option{browser.Dark}})
	oneSide   = bothSides[:1]
)

// sidesOf are those of a page or mail that differs little from an app's to an
// IdP's.
func sidesOf(kind rotation.Kind) []side {
	if kind == rotation.KindApp {
		return allSides
	}
	return bothSides
}

// visitor is a person with a browser.
type visitor struct {
	*browser.Tab
	t *testing.T
	// elsewhere are the addresses, apart from the page's own, where the person
	// goes.
	elsewhere []string
}

// visit opens a browser's tab. At the end of the test it must have asked nobody
// but the page's own origin, told nobody where it came from, and be without
// complaints.
func visit(t *testing.T, options ...browser.Option) *visitor {
	t.Helper()
	v := &visitor{Tab: chromium.Tab(t, options...), t: t}
	t.Cleanup(func() {
		if t.Failed() {
			return // the tab may be gone
		}
		for _, r := range v.Requests() {
			if r.Referrer != "" {
				t.Errorf("%s %s is told of %s", r.Method, r.URL, r.Referrer)
			}
			if !slices.ContainsFunc(append(v.elsewhere, stack.Cloud.PublicURL(), "about:", "data:"), func(allowed string) bool { return strings.HasPrefix(r.URL, allowed) }) {
				t.Errorf("the browser asks %s", r.URL)
			}
		}
		for _, e := range v.ConsoleErrors() {
			t.Error(e)
		}
	})
	return v
}

// see checks the status and the heading of the page that is open, and that the
// words are on it.
func (v *visitor) see(status int, heading string, words ...string) {
	v.t.Helper()
	if got := strings.TrimSuffix(v.Title(), " – Keyturn"); v.Status() != status || got != heading {
		v.t.Fatalf("the page is %d %q, want %d %q; it says:\n%s", v.Status(), got, status, heading, v.Text())
	}
	for _, wide := range v.Overflow() {
		v.t.Errorf("on %q %s", heading, wide)
	}
	for _, w := range words {
		v.Visible(w)
	}
}

// inspected are the pages and mails that a test has looked at from all sides.
var inspected sync.Map

// inspect looks at what is open from several sides, with a picture of each: the
// first time that a test comes to what has this name.
func (v *visitor) inspect(name string, sides []side) {
	v.t.Helper()
	if _, again := inspected.LoadOrStore(name, true); again {
		return
	}
	for _, s := range sides {
		v.inspectSide(name, s)
	}
	v.Look()
}

func (v *visitor) inspectSide(name string, s side) {
	v.t.Helper()
	v.Look(s.options...)
	v.Screenshot(name + "-" + s.name)
	for what, found := range map[string][]string{"axe-core": v.Axe(), "too wide": v.Overflow(), "console": v.ConsoleErrors()} {
		for _, f := range found {
			v.t.Errorf("%s, %s: %s: %s", name, s.name, what, f)
		}
	}
}

// read shows a mail to a person, checks that it loads nothing, and gives the
// address behind its button.
func (v *visitor) read(mail localaws.Mail, name, button string, sides []side) (link string) {
	v.t.Helper()
	v.Show(mail.HTML)
	v.inspect(name, sides)
	for _, r := range v.Requests() {
		if strings.HasPrefix(r.URL, "http") {
			v.t.Errorf("the mail loads %s", r.URL)
		}
	}
	link = v.Link(button)
	inText, err := playground.Link(mail.Text)
	if err != nil {
		v.t.Fatal(err)
	}
	same(v.t, "the link of the button and that of the text", inText, link)
	return link
}

// published is the certificate that a rotation under way has added.
func (s *scene) published() *x509.Certificate {
	s.t.Helper()
	for _, kid := range s.kids() {
		if !slices.Contains(s.keys, kid) {
			return s.certificate(kid)
		}
	}
	s.t.Fatal("the org has no new key")
	return nil
}

// only is the certificate that a PEM file holds and nothing else.
func only(t *testing.T, what string, file []byte) *x509.Certificate {
	t.Helper()
	block, rest := pem.Decode(file)
	if block == nil || len(bytes.TrimSpace(rest)) > 0 {
		t.Fatalf("%s is not one certificate: %q", what, file)
	}
	return parsed(t, what, block.Bytes)
}

func parsed(t *testing.T, what string, der []byte) *x509.Certificate {
	t.Helper()
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	return c
}

func equal(t *testing.T, what string, want, got *x509.Certificate) {
	t.Helper()
	if !got.Equal(want) {
		t.Errorf("%s is %s, not %s", what, rotation.Fingerprint(got.Raw), rotation.Fingerprint(want.Raw))
	}
}

var (
	sha256Shown   = regexp.MustCompile(`\b(?:[0-9A-F]{2}:){31}[0-9A-F]{2}\b`)
	inMetadataXML = regexp.MustCompile(`<[^/>]*X509Certificate>([^<]*)<`)
)

// download saves all files that the page has, and checks that they are the new
// certificate that the org has.
func (v *visitor) download(want *x509.Certificate, metadata bool) {
	v.t.Helper()
	file, name := v.Download("Certificate (.pem)")
	if !strings.HasSuffix(name, "-okta-"+want.NotAfter.UTC().Format("2006-01-02")+".pem") {
		v.t.Errorf("the certificate is saved as %q", name)
	}
	equal(v.t, name, want, only(v.t, name, file))
	file, name = v.Download("Certificate (.cer)")
	equal(v.t, name, want, parsed(v.t, name, file))
	file, name = v.Download("Chain (.pem)")
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(file) {
		v.t.Errorf("%s has no certificate: %q", name, file)
	}
	if _, err := want.Verify(x509.VerifyOptions{Roots: pool, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err != nil {
		v.t.Errorf("the certificate is not of the CA in %s: %v", name, err)
	}
	if !metadata {
		v.Hidden("SAML metadata (.xml)")
		return
	}
	file, name = v.Download("SAML metadata (.xml)")
	in := inMetadataXML.FindAllSubmatch(file, -1)
	if len(in) == 0 {
		v.t.Errorf("%s has no certificate: %s", name, file)
	}
	// An IdP's has it twice: to verify with, and to encrypt to.
	for _, found := range in {
		der, err := base64.StdEncoding.DecodeString(string(bytes.Join(bytes.Fields(found[1]), nil)))
		if err != nil {
			v.t.Fatal(err)
		}
		equal(v.t, name, want, parsed(v.t, name, der))
	}
}

func (s *scene) heading() string { return "New signing certificate for " + s.target.Label }

// start is the label's beginning, which is all that a link holds of it.
func (s *scene) start() string { return s.target.Label[:30] }

// answered waits for the end after an answer that was given on a page.
func (r *running) answered(result, comment string) playground.Report {
	r.t.Helper()
	report := r.end()
	ended(r.t, result, report)
	decision := report.Decision
	if report.SignIn != nil {
		decision = report.SignIn
	}
	if decision == nil || decision.Comment != comment {
		r.t.Errorf("the decision is %+v, want the comment %q", decision, comment)
	}
	return report
}

func TestBrowserTheCertificateIsUploadedAndOktaSwitches(t *testing.T) {
	parallel(t)
	s := app(t)
	r := s.rotate(nil)
	mail, _ := r.nth(playground.Approver, 1)
	certificate := s.published()
	fingerprint := rotation.Fingerprint(certificate.Raw)

	inbox := visit(t)
	link := inbox.read(mail, "mail-upload-app", "Answer this request", allSides)
	inbox.Visible("Upload the new SAML certificate for " + s.target.Label)
	inbox.Visible(fingerprint[:47])
	inbox.Visible(fingerprint[48:])
	if len(mail.Attachments) != 2 {
		t.Fatalf("the mail has %d attachments", len(mail.Attachments))
	}
	equal(t, "the attachment", certificate, only(t, "the attachment", mail.Attachments[0].Content))

	v := visit(t)
	v.Open(link)
	v.see(http.StatusOK, s.heading(), "Okta switches to it only after your answer.", "SAML app",
		s.certificate(s.oldKid).NotAfter.UTC().Format("Monday, 2 January 2006, 15:04 UTC"),
		certificate.NotAfter.UTC().Format("Monday, 2 January 2006, 15:04 UTC"))
	v.inspect("upload-app-before-switch", allSides)
	same(t, "the fingerprint on the page", []string{fingerprint}, sha256Shown.FindAllString(v.Text(), -1))
	v.download(certificate, true)
	v.Unfold("The new certificate as text, to copy and paste")
	v.Visible(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Raw})))
	v.Visible(base64.StdEncoding.EncodeToString(certificate.Raw))
	v.Look(browser.Print)
	v.Screenshot("upload-app-before-switch-print")
	v.Hidden("Your answer is recorded with")
	v.Visible("-----BEGIN CERTIFICATE-----")
	v.Look()
	same(t, "the active key before the answer", s.oldKid, s.active())

	v.Fill("Comment or reason", "both are in")
	v.Press("Uploaded – switch now")
	v.see(http.StatusOK, "Thank you, Okta switches now", s.target.Label, playground.Approver)
	v.inspect("thanks-upload", bothSides)
	report := r.answered("Completed", "both are in")
	s.switched(report.NewKid)
	equal(t, "the certificate in use", certificate, s.certificate(s.active()))

	v.Open(link)
	v.see(http.StatusGone, "This request is answered already", "Okta uses the new certificate.", "Answered by "+playground.Approver,
		report.Decision.At.UTC().Format("Monday, 2 January 2006, 15:04 UTC"))
	v.inspect("answered-completed", bothSides)
}

func TestBrowserAnIdentityProvidersOperatorIsToldOfDecryption(t *testing.T) {
	parallel(t)
	s := idp(t, oktasim.IDPSpec{Label: label(t) + " (Zürich)"})
	r := s.rotate(nil)
	mail, _ := r.nth(playground.Approver, 1)
	inbox := visit(t)
	link := inbox.read(mail, "mail-upload-idp", "Answer this request", bothSides)
	inbox.Visible("Okta decrypts them with the same key")

	v := visit(t)
	v.Open(link)
	v.see(http.StatusOK, s.heading(), "SAML identity provider", "Okta signs its requests with this key and decrypts assertions with it",
		"it must use the new certificate for that from the moment of the switch")
	v.inspect("upload-idp-before-switch", bothSides)
	same(t, "the fingerprint on the page", []string{rotation.Fingerprint(s.published().Raw)}, sha256Shown.FindAllString(v.Text(), -1))
	v.download(s.published(), false)
	v.Press("Uploaded – switch now")
	v.see(http.StatusOK, "Thank you, Okta switches now")
	report := r.answered("Completed", "")
	s.switched(report.NewKid)
}

func TestBrowserAfterTheSwitch(t *testing.T) {
	parallel(t)
	for _, kind := range bothKinds {
		t.Run("uploaded, "+string(kind), func(t *testing.T) {
			t.Parallel()
			s := either(t, kind)
			r := s.rotate(policy{"uploadOrder": afterSwitchOrder})
			mail, _ := r.nth(playground.Approver, 1)
			inbox := visit(t)
			link := inbox.read(mail, "mail-after-switch-"+string(kind), "Answer this request", sidesOf(kind))
			inbox.Visible("Okta ALREADY signs with the new certificate")
			v := visit(t)
			v.Open(link)
			v.see(http.StatusOK, s.heading(), "Okta already uses the new certificate.", "Please upload the certificate now")
			v.inspect("upload-"+string(kind)+"-after-switch", sidesOf(kind))
			v.download(s.published(), true)
			v.Hidden("Time zone")
			v.Press("Uploaded")
			v.see(http.StatusOK, "Thank you, that was it", "Okta signs with the new certificate already.")
			v.inspect("thanks-after-switch", bothSides)
			report := r.answered("Completed", "")
			s.switched(report.NewKid)
		})
	}
	t.Run("it cannot be uploaded", func(t *testing.T) {
		t.Parallel()
		const reject = "I cannot do this – go back to the old certificate"
		s := app(t)
		r := s.rotate(policy{"uploadOrder": afterSwitchOrder})
		_, link := r.nth(playground.Approver, 1)
		v := visit(t)
		v.Open(link)
		v.Fill("Comment or reason", " ")
		v.Press(reject)
		v.see(http.StatusUnprocessableEntity, "Not answered yet: "+s.heading(), "Your answer was not taken.", "Please say why in the comment", "Nothing was decided.")
		v.inspect("upload-app-after-switch-no-reason", bothSides)
		r.undecided()
		v.Fill("Comment or reason", "the vendor's form\nrefuses the certificate")
		v.Press(reject)
		v.see(http.StatusOK, "Noted: Okta goes back")
		v.inspect("thanks-goes-back", bothSides)
		r.answered("RolledBack", "the vendor's form\nrefuses the certificate")
		s.switched(s.oldKid)
		v.Open(link)
		v.see(http.StatusGone, "This request is answered already", "Okta uses the old certificate again.")
	})
}

func TestBrowserNothingChangesWhereItCannotBeUploaded(t *testing.T) {
	parallel(t)
	s := app(t)
	r := s.rotate(nil)
	_, link := r.nth(playground.Approver, 1)
	v := visit(t, browser.NoScript)
	v.Open(link)
	v.inspect("upload-app-before-switch-no-script", oneSide)
	// What was typed stays, whatever was missing.
	at := noon(20)
	v.Fill("Date", at.Format("2006-01-02"))
	v.Choose("Time zone", "Europe/Lisbon")
	v.Fill("Comment or reason", "<b>on</b> \"Saturday\"")
	v.Press("Uploaded – switch at this time")
	v.see(http.StatusUnprocessableEntity, "Not answered yet: "+s.heading(), "Please give the date and the time for the switch.", "Nothing was decided.")
	v.inspect("upload-app-before-switch-no-time", oneSide)
	same(t, "the date", at.Format("2006-01-02"), v.Value("Date"))
	same(t, "the time zone", "Europe/Lisbon", v.Value("Time zone"))
	same(t, "the comment", "<b>on</b> \"Saturday\"", v.Value("Comment or reason"))
	r.undecided()

	v.Fill("Comment or reason", "no changes until January")
	v.Fill("Date", "")
	v.Press("I cannot do this")
	v.see(http.StatusOK, "Noted: nothing changes in Okta", "Okta keeps the old certificate")
	v.inspect("thanks-nothing-changes", bothSides)
	r.answered("GaveUp", "no changes until January")
	s.unchanged()
	v.Open(link)
	v.see(http.StatusGone, "This request is answered already", "Nothing was changed: Okta uses the old certificate.")
	v.inspect("answered-gave-up", bothSides)
}

// noon is a time so many days ahead at which no clock is changed in Europe.
func noon(days int) time.Time {
	y, m, d := time.Now().UTC().AddDate(0, 0, days).Date()
	return time.Date(y, m, d, 12, 0, 0, 0, time.UTC)
}

func TestBrowserASwitchIsPlannedAndCalledOff(t *testing.T) {
	parallel(t)
	for _, c := range []struct {
		name, zone string
		kind       rotation.Kind
		options    []browser.Option
		choose     bool
	}{
		{name: "in the browser's time zone", zone: "Europe/Berlin", kind: rotation.KindApp, options: []browser.Option{browser.TimeZone("Europe/Berlin")}},
		{name: "in a time zone that the page does not offer", zone: "Asia/Kabul", kind: rotation.KindIDP, options: []browser.Option{browser.TimeZone("Asia/Kabul")}},
		{name: "without scripts", zone: "UTC", kind: rotation.KindApp, options: []browser.Option{browser.TimeZone("Europe/Berlin"), browser.NoScript}, choose: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			const comment = `<script>alert("x")</script> & "after hours"`
			s := either(t, c.kind)
			r := s.rotate(nil)
			_, link := r.nth(playground.Approver, 1)
			v := visit(t, c.options...)
			v.Open(link)
			at := noon(28)
			zone, err := time.LoadLocation(c.zone)
			if err != nil {
				t.Fatal(err)
			}
			if c.choose {
				v.Choose("Time zone", c.zone)
			}
			same(t, "the time zone", c.zone, v.Value("Time zone"))
			v.Fill("Date", noon(60).Format("2006-01-02"))
			v.Held("Uploaded – switch at this time")
			v.Fill("Date", at.In(zone).Format("2006-01-02"))
			v.Fill("Time", at.In(zone).Format("15:04"))
			v.Fill("Comment or reason", comment)
			v.Press("Uploaded – switch at this time")
			when := at.Format("Monday, 2 January 2006, 15:04 UTC")
			v.see(http.StatusOK, "Thank you, the switch is planned", when)
			v.inspect("thanks-planned", bothSides)

			planned, second := r.nth(playground.Approver, 2)
			v.Open(link)
			heading := "The switch for " + s.target.Label + " is planned"
			v.see(http.StatusOK, heading, when, "Planned", comment)
			if c.zone != "UTC" {
				// The script adds the reader's own time.
				v.Visible(" (" + at.In(zone).Format("15:04"))
			}
			v.inspect("planned-"+string(c.kind), sidesOf(c.kind))
			inbox := visit(t)
			r.entered("AwaitSwitchTime")
			same(t, "the active key before its time", s.oldKid, s.active())
			inbox.read(planned, "mail-planned-"+string(c.kind), "See the plan or call it off", sidesOf(c.kind))
			s.shows(second, http.StatusOK, heading, when)
			v.Open(link)
			v.Fill("Comment", "wrong week")
			v.Press("Call the plan off")
			v.see(http.StatusOK, "The plan is called off", "Okta does not switch.")
			v.inspect("thanks-called-off", bothSides)

			again, third := r.nth(playground.Approver, 3)
			inbox = visit(t)
			inbox.read(again, "mail-called-off", "Answer this request", bothSides)
			inbox.Visible("wrong week")
			v.Open(link)
			v.see(http.StatusGone, "A newer link was sent", "The planned switch was called off, and you are asked again.")
			v.inspect("newer-link-after-plan", bothSides)
			v.Open(third)
			v.see(http.StatusOK, s.heading(), "called the planned switch off", "wrong week")
			v.inspect("upload-after-plan", bothSides)
			v.Press("Uploaded – switch now")
			v.see(http.StatusOK, "Thank you, Okta switches now")
			report := r.answered("Completed", "")
			s.switched(report.NewKid)
		})
	}
}

func TestBrowserSignInIsTried(t *testing.T) {
	parallel(t)
	for _, c := range []struct {
		kind                                    rotation.Kind
		button, reason, thanks, answered, ended string
	}{
		{rotation.KindApp, "Sign-in works", "", "Thank you, that was it", "Okta uses the new certificate.", "Completed"},
		{rotation.KindIDP, "Roll back", "the login page says: invalid signature", "Noted: Okta goes back", "Okta uses the old certificate again.", "RolledBack"},
	} {
		t.Run(c.button, func(t *testing.T) {
			t.Parallel()
			s := either(t, c.kind)
			r := s.rotate(policy{"confirmSignIn": true})
			_, upload := r.nth(playground.Approver, 1)
			v := visit(t)
			late, opened := visit(t), visit(t)
			v.Open(upload)
			v.Press("Uploaded – switch now")
			v.see(http.StatusOK, "Thank you, Okta switches now", "You then get a message that asks whether sign-in works.")

			mail, link := r.nth(playground.Approver, 2)
			late.Open(upload)
			opened.Open(link)
			v.Open(link)
			heading := "Does sign-in to " + s.target.Label + " work?"
			if c.kind == rotation.KindIDP {
				heading = "Does sign-in with " + s.target.Label + " work?"
			}
			v.see(http.StatusOK, heading, "Open a private window", "by "+playground.Approver)
			if c.reason == "" {
				v.download(s.published(), true)
			} else {
				v.Press(c.button)
				v.see(http.StatusUnprocessableEntity, "Not answered yet: "+heading, "Please say why in the comment")
				r.undecided()
				v.Fill("Comment or reason", c.reason)
			}
			v.Press(c.button)
			v.see(http.StatusOK, c.thanks)
			report := r.answered(c.ended, c.reason)
			if c.ended == "Completed" {
				s.switched(report.NewKid)
			} else {
				s.switched(s.oldKid)
			}
			v.inspect("thanks-sign-in-"+string(c.kind), bothSides)
			v.Open(link)
			v.see(http.StatusGone, "This request is answered already", c.answered)
			late.see(http.StatusGone, "This request is answered already", "asks whether sign-in works")
			late.inspect("answered-sign-in-asked", bothSides)
			opened.inspect("sign-in-"+string(c.kind), sidesOf(c.kind))
			same(t, "the link in the mail", link, visit(t).read(mail, "mail-sign-in-"+string(c.kind), "Say whether sign-in works", sidesOf(c.kind)))
		})
	}
}

// resealed is a link with some of its claim changed.
func (s *scene) resealed(link string, change func(*approval.Claim)) string {
	s.t.Helper()
	base, sealed, _ := strings.Cut(link, "/a/")
	seal := sealer(s.ctx, s.t)
	claim, err := seal.Open(sealed, time.Now())
	if err != nil {
		s.t.Fatal(err)
	}
	change(&claim)
	if sealed, err = seal.Seal(claim); err != nil {
		s.t.Fatal(err)
	}
	return base + "/a/" + sealed
}

func TestBrowserOfTwoPeopleTheFirstAnswerCounts(t *testing.T) {
	parallel(t)
	s := app(t)
	r := s.rotate(policy{"approvers": []string{"first@example.com", "second@example.com"}})
	_, one := r.nth("first@example.com", 1)
	_, two := r.nth("second@example.com", 1)
	first, second := visit(t), visit(t, browser.NoScript)
	first.Open(one)
	second.Open(two)
	first.see(http.StatusOK, s.heading(), "Also asked", "second@example.com", "You answer as first@example.com.")
	second.see(http.StatusOK, s.heading(), "first@example.com", "You answer as second@example.com.")
	second.Fill("Comment or reason", "too busy")
	second.Press("I cannot do this")
	second.see(http.StatusOK, "Noted: nothing changes in Okta")
	first.Press("Uploaded – switch now")
	first.see(http.StatusConflict, "This request is answered already", "Answered by second@example.com", "The answer declined")
	first.inspect("answered-by-another", bothSides)
	report := r.answered("GaveUp", "too busy")
	same(t, "who decided", "second@example.com", report.Decision.By)
	s.unchanged()
}

func TestBrowserADeadLinkSaysWhatToDo(t *testing.T) {
	parallel(t)
	t.Run("damaged, expired, forgotten, or stopped", func(t *testing.T) {
		t.Parallel()
		s := app(t)
		r := s.rotate(nil)
		_, link := r.nth(playground.Approver, 1)
		for _, c := range []struct {
			name, link, heading string
			status              int
			words               []string
		}{
			{"damaged", link[:len(link)-9], "This link does not work", http.StatusNotFound, []string{"copy the whole link", "Nothing was decided."}},
			{"expired", s.resealed(link, func(c *approval.Claim) { c.Expires = time.Now().Add(-time.Minute) }), "This link has expired", http.StatusGone, []string{"you will get a new message", s.start()}},
			{"forgotten", s.resealed(link, func(c *approval.Claim) { c.Execution = "app-long-ago" }), "This rotation ended long ago", http.StatusGone, []string{"There is nothing left to answer.", s.start()}},
			{"no-download", link + "/certificate.exe", "There is no such download", http.StatusNotFound, nil},
		} {
			for _, options := range [][]browser.Option{nil, {browser.NoScript}} {
				v := visit(t, options...)
				v.Open(c.link)
				v.see(c.status, c.heading, c.words...)
				if options == nil {
					v.inspect(c.name, bothSides)
				}
			}
		}
		r.undecided()

		v := visit(t)
		r.stop()
		v.Open(link)
		v.see(http.StatusGone, "The rotation has ended", "It was stopped by whoever runs the rotations")
		v.inspect("stopped", bothSides)
	})
	t.Run("a newer one was sent, and then the rotation has ended", func(t *testing.T) {
		t.Parallel()
		s := app(t)
		// One reminder, and then as much time again for the person.
		r := s.rotate(policy{"giveUpDays": 20, "reminderHours": 24 * 10})
		_, first := r.nth(playground.Approver, 1)
		v, without := visit(t), visit(t, browser.NoScript)
		mail, second := r.nth(playground.Approver, 2)
		v.Open(first)
		without.Open(first)
		v.see(http.StatusGone, "A newer link was sent", "Please use the link in that one")
		without.see(http.StatusGone, "A newer link was sent", s.start())
		v.Open(second)
		v.see(http.StatusOK, s.heading(), "this is reminder 1")
		v.Fill("Comment or reason", "not this year")
		v.Press("I cannot do this")
		v.see(http.StatusOK, "Noted: nothing changes in Okta")
		r.answered("GaveUp", "not this year")
		without.inspect("newer-link", bothSides)
		visit(t).read(mail, "mail-reminder", "Answer this request", bothSides)
	})
	t.Run("nobody has answered in time", func(t *testing.T) {
		t.Parallel()
		s := app(t)
		r := s.rotate(policy{"giveUpDays": oneDay})
		_, link := r.nth(playground.Approver, 1)
		ended(t, "GaveUp", r.end())
		for _, options := range [][]browser.Option{nil, {browser.NoScript}} {
			v := visit(t, options...)
			v.Open(link)
			v.see(http.StatusGone, "The rotation has ended", "Nothing was changed: Okta uses the old certificate.", s.start())
			if options == nil {
				v.inspect("ended", bothSides)
			}
		}
		s.unchanged()
	})
}

// noLinks opens none.
type noLinks struct{}

func (noLinks) Open(context.Context, string) (approval.Claim, *approval.Sealer, error) {
	return approval.Claim{}, nil, approval.ErrDamaged
}

// The stack's page counts by address, and all tests have the same: this one has
// a page of its own.
func TestBrowserTooManyRequests(t *testing.T) {
	parallel(t)
	var minutes atomic.Int64
	start := time.Now()
	now := func() time.Time { return start.Add(time.Duration(minutes.Load()) * time.Minute) }
	p, err := page.New(page.Config{Links: noLinks{}, Now: now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.RemoteAddr = "192.0.2.1" // as Lambda tells it, without a port
		p.ServeHTTP(w, r)
	}))
	defer server.Close()
	link := server.URL + "/a/garbage"
	v := visit(t)
	v.elsewhere = []string{server.URL}
	v.Open(link)
	v.see(http.StatusNotFound, "This link does not work")
	for range 100 {
		p.ServeHTTP(httptest.NewRecorder(), &http.Request{Method: http.MethodGet, URL: &url.URL{Path: "/a/garbage"}, RemoteAddr: "192.0.2.1"})
	}
	v.Open(link)
	v.see(http.StatusTooManyRequests, "Too many requests", "Please wait a minute", "Nothing was decided by this request.")
	same(t, "Retry-After", "60", v.Headers().Get("Retry-After"))
	v.inspect("too-many-requests", bothSides)
	minutes.Add(1)
	v.Open(link)
	v.see(http.StatusNotFound, "This link does not work")
}

func TestBrowserWhereOktaCannotBeReachedTheLinkStaysGood(t *testing.T) {
	parallel(t)
	s := app(t)
	r := s.rotate(nil)
	_, link := r.nth(playground.Approver, 1)
	for _, options := range [][]browser.Option{{browser.NoScript}, nil} {
		v := visit(t, options...)
		v.Open(link)
		s.p.Org.Fail(oktasim.Fault{Operation: operations[rotation.KindApp].metadata, ID: s.target.ID, Kind: oktasim.FaultForbidden})
		v.Follow("SAML metadata (.xml)")
		v.see(http.StatusServiceUnavailable, "Okta cannot be reached just now", "use the certificate itself", "your link stays valid")
		v.inspect("okta-unreachable", bothSides)
		r.undecided()
	}
	v := visit(t)
	v.Open(link)
	v.see(http.StatusOK, s.heading())
	v.download(s.published(), true)
	v.Press("Uploaded – switch now")
	v.see(http.StatusOK, "Thank you, Okta switches now")
	r.answered("Completed", "")
}

func TestBrowserTheKeyboardIsEnough(t *testing.T) {
	parallel(t)
	s := app(t)
	r := s.rotate(nil)
	_, mailed := r.nth(playground.Approver, 1)
	// A channel's link names no person, so that its page asks.
	link := s.resealed(mailed, func(c *approval.Claim) { c.Approver = "" })
	v := visit(t)
	v.Open(link)
	v.see(http.StatusOK, s.heading(), "Your name", "Asked by mail")
	v.inspect("upload-channel", bothSides)
	if held := v.Held("Uploaded – switch now"); !strings.Contains(held, `"name"`) {
		t.Errorf("without a name the browser says %q", held)
	}

	// Enter in a field is no answer, and what was typed stays.
	v.Fill("Your name", "Somebody at the desk")
	v.Fill("Date", noon(20).Format("2006-01-02"))
	v.Fill("Time", "12:00")
	for _, field := range []string{"Your name", "Date", "Time"} {
		v.Fill(field, v.Value(field))
		v.Enter()
		v.see(http.StatusUnprocessableEntity, "Not answered yet: "+s.heading(), "Please choose one of the answers.", "Nothing was decided.")
		v.inspect("upload-channel-enter", oneSide)
		r.undecided()
	}
	same(t, "the name", "Somebody at the desk", v.Value("Your name"))
	same(t, "the time", "12:00", v.Value("Time"))

	// From the top to the last button, in the order of the page.
	v.Open(link)
	var order []string
	for v.Focus() != "button I cannot do this" {
		if len(order) > 60 {
			t.Fatalf("the last button is not reached: %q", order)
		}
		v.Key(browser.KeyTab)
		if focus := v.Focus(); len(order) == 0 || order[len(order)-1] != focus {
			order = append(order, focus)
		}
	}
	rest := order
	for _, next := range []string{"link Done already?", "link Certificate (.pem)", "link Certificate (.cer)", "link Chain (.pem)", "link SAML metadata (.xml)",
		"link Copy the certificate as text", "button Copy", "fold The new certificate as text", "field Your name", "field Comment or reason", "button Uploaded – switch now",
		"field Date", "field Time", "field Time zone", "button Uploaded – switch at this time", "button I cannot do this"} {
		i := slices.IndexFunc(rest, func(focus string) bool { return strings.HasPrefix(focus, next) })
		if i < 0 {
			t.Errorf("the Tab key does not come to %q in its turn; its order is %q", next, order)
			continue
		}
		rest = rest[i+1:]
	}
	v.Fill("Your name", "Somebody at the desk")
	for v.Focus() != "button Uploaded – switch now" {
		v.Key(browser.KeyTab)
	}
	v.Screenshot("keyboard-focus")
	v.Enter()
	v.see(http.StatusOK, "Thank you, Okta switches now", "Somebody at the desk")
	same(t, "who decided", "Somebody at the desk", r.answered("Completed", "").Decision.By)
}

func TestBrowserTheAdminConsoleIsNotToldOfTheLink(t *testing.T) {
	parallel(t)
	s := app(t, oktasim.AppSpec{Label: label(t) + ` <img src=x onerror=alert(1)> "&amp;`})
	r := s.rotate(nil)
	mail, _ := r.nth(playground.Approver, 1)
	inbox := visit(t)
	link := inbox.read(mail, "mail-markup-in-label", "Answer this request", oneSide)
	inbox.Visible(s.target.Label)
	v := visit(t)
	v.elsewhere = []string{stack.OrgURL}
	v.Open(link)
	v.see(http.StatusOK, s.heading())
	v.inspect("upload-markup-in-label", oneSide)
	admin, err := url.Parse(v.Link(s.target.Label + " in the admin console"))
	if err != nil {
		t.Fatal(err)
	}
	same(t, "the console's address in the mail", admin.String(), inbox.Link("Open the page in Okta"))
	v.Follow(s.target.Label + " in the admin console")
	if !strings.HasPrefix(v.Address(), stack.OrgURL+"/") {
		t.Errorf("the link to the console leads to %s", v.Address())
	}
	v.Open(stack.OrgURL + "/admin/")
	v.Screenshot("org-console")
	v.Open(link)
	v.Fill("Comment or reason", "not "+s.target.Label)
	v.Press("I cannot do this")
	v.see(http.StatusOK, "Noted: nothing changes in Okta")
	r.answered("GaveUp", "not "+s.target.Label)
}
