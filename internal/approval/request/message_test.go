package request_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"flag"
	stdhtml "html"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"keyturn/internal/approval/request"
	"keyturn/internal/notify"
	"keyturn/internal/plaintext"
	"keyturn/internal/rotation"
)

var update = flag.Bool("update", false, "write the golden files anew")

// fixed is a request whose certificate is the same in every run.
func fixed(t testing.TB, change func(*rotation.RequestUploadInput)) rotation.RequestUploadInput {
	t.Helper()
	block, _ := pem.Decode(file(t, "certificate.pem"))
	in := wanted("crm@example.com", "sso-team@example.com")
	in.Target.Label = "Salesforce EMEA"
	in.NewKey.Certificate = base64.StdEncoding.EncodeToString(block.Bytes)
	in.Policy.EscalateTo = []string{"identity-lead@example.com"}
	change(&in)
	if in.Stage == rotation.StageCertificate {
		toSign(t, &in)
	}
	return in
}

func asIDP(in *rotation.RequestUploadInput) {
	in.Target = rotation.Target{Kind: rotation.KindIDP, ID: "0oa2partner7Xk1Q0g5", Label: "Partner Logistics"}
	in.Execution = "idp-0oa2partner7Xk1Q0g5-SIMcCQNY-20260301"
}

// toSign is a request for a signature, the same in every run.
func toSign(t testing.TB, in *rotation.RequestUploadInput) {
	t.Helper()
	block, _ := pem.Decode(file(t, "request.csr"))
	in.Stage, in.NewKey, in.Chain = rotation.StageCertificate, rotation.Key{}, string(file(t, "authority.pem"))
	in.CSR = &rotation.CSR{ID: "h9zkutaSe7fZX0SwN1GqDApofgD1OW8g2B5l2azha50", Request: base64.StdEncoding.EncodeToString(block.Bytes)}
}

func file(t testing.TB, name string) []byte {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return content
}

var goldens = map[string]func(*rotation.RequestUploadInput){
	"upload-app": func(*rotation.RequestUploadInput) {},
	"cloned-app": func(in *rotation.RequestUploadInput) {
		in.Cloned = true
	},
	"long-label-app": func(in *rotation.RequestUploadInput) {
		in.Target.Label = strings.Repeat("Unternehmensberatungsgesellschaft", 4)
		in.NewKey.Issuer = "CN=" + strings.Repeat("X", 190)
	},
	"certificate-app": func(in *rotation.RequestUploadInput) {
		in.Stage = rotation.StageCertificate
	},
	"certificate-reminder-idp": func(in *rotation.RequestUploadInput) {
		asIDP(in)
		withProfile(in)
		in.Stage, in.Round, in.Policy.Signers = rotation.StageCertificate, 1, []string{"crm@example.com", "pki@example.com"}
	},
	"certificate-escalation-app": func(in *rotation.RequestUploadInput) {
		in.Stage, in.Round, in.Escalate = rotation.StageCertificate, 3, true
		in.OldKey.NotAfter = now.Add(7 * rotation.Day)
	},
	"reminder-app": func(in *rotation.RequestUploadInput) {
		in.Round = 2
	},
	"escalation-idp": func(in *rotation.RequestUploadInput) {
		asIDP(in)
		in.Round, in.Escalate = 4, true
		in.OldKey.NotAfter = now.Add(7 * rotation.Day)
	},
	"urgent-app": func(in *rotation.RequestUploadInput) {
		in.Policy.UploadOrder = rotation.AfterSwitch
	},
	"urgent-idp": func(in *rotation.RequestUploadInput) {
		asIDP(in)
		in.Policy.UploadOrder, in.Chain = rotation.AfterSwitch, ""
	},
	"called-off-app": func(in *rotation.RequestUploadInput) {
		at := now.Add(4*rotation.Day + 10*time.Hour)
		in.Decision = &rotation.Decision{CalledOff: true, By: "sso-team@example.com", At: now, SwitchAt: &at, Comment: "The partner's admin is on leave.\nI plan it again next week."}
	},
	"planned-idp": func(in *rotation.RequestUploadInput) {
		asIDP(in)
		at := now.Add(4*rotation.Day + 10*time.Hour)
		in.Stage, in.Decision = rotation.StagePlanned, &rotation.Decision{Confirmed: true, By: "sso-team@example.com", At: now, SwitchAt: &at, Comment: "Agreed with their operator."}
	},
	"sign-in-app": func(in *rotation.RequestUploadInput) {
		in.Stage, in.Decision = rotation.StageSignIn, &rotation.Decision{Confirmed: true, By: "sso-team@example.com", At: now}
		in.Policy.SignInSilence = rotation.RollBackOnSilence
	},
	"sign-in-idp": func(in *rotation.RequestUploadInput) {
		asIDP(in)
		in.Stage, in.Decision = rotation.StageSignIn, &rotation.Decision{Confirmed: true, By: "sso-team@example.com", At: now}
	},
}

func withProfile(in *rotation.RequestUploadInput) {
	in.Policy.Profile = rotation.Profile{
		KeyUsage:      []string{"contentCommitment", "keyEncipherment"},
		Extensions:    []rotation.Extension{{OID: "2.5.29.32", Value: "MBIwEAYOKwYBBAGCN4E7AQEBAQE="}, {OID: "1.3.6.1.4.1.99999.1", Critical: true, Value: "BQA="}},
		CRLURLs:       []string{"http://pki.example.com/issuing.crl"},
		OCSPURLs:      []string{"http://ocsp.example.com"},
		CAIssuersURLs: []string{"http://pki.example.com/issuing.cer", "http://pki2.example.com/issuing.cer"},
	}
}

var anyLink = regexp.MustCompile(`/a/[A-Za-z0-9_-]{100,}`)

func TestTheMessagesLookAsTheyDid(t *testing.T) {
	for name, change := range goldens {
		t.Run(name, func(t *testing.T) {
			in := fixed(t, change)
			m := mailTo(t, in)
			chat := posted(t, in)
			var card bytes.Buffer
			if err := json.Indent(&card, chat, "", "  "); err != nil {
				t.Fatal(err)
			}
			golden(t, name+".txt", "Subject: "+m.Subject+"\n\n"+m.Text)
			golden(t, name+".html", m.HTML)
			golden(t, name+".json", card.String()+"\n")
		})
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	got = anyLink.ReplaceAllString(got, "/a/LINK")
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
		t.Errorf("%s (go test -update writes it anew):\n%s", file, diff)
	}
}

// posted gives what a webhook got.
func posted(t testing.TB, in rotation.RequestUploadInput) []byte {
	t.Helper()
	var body []byte
	webhook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { body, _ = io.ReadAll(r.Body) }))
	defer webhook.Close()
	s := step(t, nil, &board{})
	s.Chat = notify.Chat{URL: func(context.Context, bool) ([]byte, error) { return []byte(webhook.URL), nil }}
	if _, err := s.Run(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	return body
}

func TestTheMessageHasAllThatAnUploadNeeds(t *testing.T) {
	in := wanted("crm@example.com")
	m := mailTo(t, in)
	if want := "Upload the new SAML certificate for Salesforce by 15 March 2026"; m.Subject != want {
		t.Errorf("the subject is %q, want %q", m.Subject, want)
	}
	sum := rotation.Fingerprint(certificate())
	for what, both := range map[string][2]string{
		"label":           {"SAML app “Salesforce” gets a new signing certificate", "SAML app “Salesforce” gets a new signing certificate"},
		"old expiry":      {"Old certificate expires: Tuesday, 31 March 2026, 13:30 UTC", "Tuesday, 31 March 2026, 13:30 UTC"},
		"new expiry":      {"New certificate expires: Friday, 2 April 2027, 12:00 UTC", "Friday, 2 April 2027, 12:00 UTC"},
		"issuer":          {"CN=Example Issuing CA", "CN=Example Issuing CA"},
		"SHA-256":         {sum, sum[:47]},
		"admin console":   {"https://example-admin.okta.com/admin/app/salesforce/instance/0oa1gjh63g214q0Hq0g4/#tab-signon", `href="https://example-admin.okta.com/admin/app/salesforce/instance/0oa1gjh63g214q0Hq0g4/#tab-signon"`},
		"end of the wait": {"Please answer by Sunday, 15 March 2026, 12:00 UTC (in 14 days).", "Sunday, 15 March 2026, 12:00 UTC"},
		"file":            {"salesforce-okta-2027-04-02.pem", "salesforce-okta-2027-04-02.pem"},
		"silence":         {"Without an answer nothing changes", "Without an answer nothing changes"},
		"chain":           {chain, "salesforce-okta-2027-04-02-chain.pem"},
	} {
		if !strings.Contains(squeezed(m.Text), squeezed(both[0])) {
			t.Errorf("%s: no %q in the text:\n%s", what, both[0], m.Text)
		}
		if !strings.Contains(m.HTML, both[1]) {
			t.Errorf("%s: no %q in the HTML:\n%s", what, both[1], m.HTML)
		}
	}
	block, _ := pem.Decode([]byte(m.Text))
	if block == nil || block.Type != "CERTIFICATE" || !bytes.Equal(block.Bytes, certificate()) {
		t.Fatal("the first PEM block of the text is not the new certificate")
	}
	if len(m.Attachments) != 2 {
		t.Fatalf("%d attachments, want certificate and chain", len(m.Attachments))
	}
	attached, rest := pem.Decode(m.Attachments[0].Content)
	if attached == nil || !bytes.Equal(attached.Bytes, certificate()) || len(rest) > 0 || m.Attachments[0].Name != "salesforce-okta-2027-04-02.pem" {
		t.Errorf("%s is not the new certificate alone", m.Attachments[0].Name)
	}
	if got := m.Attachments[1]; string(got.Content) != chain || got.Name != "salesforce-okta-2027-04-02-chain.pem" {
		t.Errorf("%s is not the chain: %s", got.Name, got.Content)
	}
	for _, all := range []string{m.Text, m.HTML, m.Subject} {
		if strings.Contains(all, taskToken[:40]) || strings.Contains(all, "%!") || strings.Contains(all, "\r") {
			t.Errorf("the message shows the token, a formatting mistake or a carriage return:\n%s", all)
		}
		for line := range strings.Lines(anyLink.ReplaceAllString(all, "")) {
			if len(line) > 998 {
				t.Errorf("a line of %d bytes, more than a mail can have: %s", len(line), line)
			}
		}
	}
}

func TestTheRequestForASignatureHasAllThatTheCANeeds(t *testing.T) {
	in := wanted("crm@example.com")
	in.Policy.ValidityDays = 365
	toSign(t, &in)
	der, err := base64.StdEncoding.DecodeString(in.CSR.Request)
	if err != nil {
		t.Fatal(err)
	}
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil {
		t.Fatal(err)
	}
	m := mailTo(t, in)
	if want := "Have the certificate for Salesforce signed by 15 March 2026"; m.Subject != want {
		t.Errorf("the subject is %q, want %q", m.Subject, want)
	}
	sum := rotation.Fingerprint(csr.RawSubjectPublicKeyInfo)
	for what, want := range map[string]string{
		"what to do":  "Sign it with the company's CA, for more than 90 and at most 365 days.",
		"label":       "The SAML app “Salesforce” gets a new signing certificate from your company's CA.",
		"old expiry":  "Tuesday, 31 March 2026, 13:30 UTC",
		"subject":     "CN=Salesforce EMEA SAML signing,O=Example\\, Inc.,C=US",
		"key":         "RSA, 2048 bits",
		"CA":          "CN=Example Issuing CA,O=Example\\, Inc.,C=US",
		"usage":       "digitalSignature, and not keyCertSign",
		"no CA":       "CA:FALSE",
		"public key":  sum[:47],
		"end of wait": "Sunday, 15 March 2026, 12:00 UTC",
		"silence":     "Without an answer nothing changes: Okta keeps the old certificate, and the request stays pending there. On 15 March 2026 Keyturn stops waiting for it.",
		"decline":     "The request is then withdrawn, and Okta keeps the old certificate.",
	} {
		for format, all := range map[string]string{"text": m.Text, "HTML": unescape(m.HTML), "chat": plain(t, posted(t, in))} {
			if !strings.Contains(squeezed(all), want) {
				t.Errorf("%s: no %q in the %s:\n%s", what, want, format, all)
			}
		}
	}
	block, rest := pem.Decode([]byte(m.Text))
	if block == nil || block.Type != "CERTIFICATE REQUEST" || !bytes.Equal(block.Bytes, der) || strings.Contains(string(rest), "BEGIN") {
		t.Error("the text does not hold the request, and it alone")
	}
	name := "salesforce-okta-request-" + strings.ToLower(strings.ReplaceAll(sum[:11], ":", ""))
	if len(m.Attachments) != 2 || m.Attachments[0].Name != name+".csr" || m.Attachments[1].Name != name+".p10" {
		t.Fatalf("the attachments are %v", m.Attachments)
	}
	if attached, rest := pem.Decode(m.Attachments[0].Content); attached == nil || !bytes.Equal(attached.Bytes, der) || len(rest) > 0 {
		t.Error("the .csr is not the request in PEM")
	}
	if !bytes.Equal(m.Attachments[1].Content, der) || m.Attachments[1].ContentType != "application/pkcs10" {
		t.Error("the .p10 is not the request in DER")
	}
	if !strings.Contains(m.Text, name+".csr (PEM) and "+name+".p10 (DER)") {
		t.Error("the text does not name the attachments")
	}
	if card := plain(t, posted(t, in)); strings.Contains(card, ".p10") {
		t.Error("the chat announces attachments that it does not have")
	}
}

func unescape(html string) string { return stdhtml.UnescapeString(html) }

// plain is what a card says.
func plain(t testing.TB, card []byte) string {
	t.Helper()
	var v any
	if err := json.Unmarshal(card, &v); err != nil {
		t.Fatal(err)
	}
	var all []string
	walk(v, func(m map[string]any) {
		if text, ok := m["text"].(string); ok {
			all = append(all, text)
		}
	})
	return stdhtml.UnescapeString(strings.Join(all, "\n"))
}

func TestWhatThePolicyAsksForIsInTheRequestForASignature(t *testing.T) {
	in := wanted("crm@example.com")
	asIDP(&in)
	withProfile(&in)
	toSign(t, &in)
	m := mailTo(t, in)
	for _, want := range []string{
		"Key usage: digitalSignature, keyEncipherment and contentCommitment, and not keyCertSign",
		"CRL distribution points: http://pki.example.com/issuing.crl",
		"OCSP responders: http://ocsp.example.com",
		"CA issuers (authority information access): http://pki.example.com/issuing.cer, http://pki2.example.com/issuing.cer",
		"Extension 2.5.29.32: not critical, with the value MBIwEAYOKwYBBAGCN4E7AQEBAQE= (DER in base64)",
		"Extension 1.3.6.1.4.1.99999.1: critical, with the value BQA= (DER in base64)",
	} {
		if !strings.Contains(m.Text, want) {
			t.Errorf("no %q in\n%s", want, m.Text)
		}
	}
}

func TestAMessageStaysShortWhateverThePolicyAsksFor(t *testing.T) {
	in := wanted("crm@example.com")
	toSign(t, &in)
	in.Policy.Profile.Extensions = []rotation.Extension{{OID: "1.2.3", Value: strings.Repeat("QUJD", 20_000)}}
	in.Chain = strings.Repeat(in.Chain, 40)
	m := mailTo(t, in)
	if n := len(m.Text) + len(m.HTML); n > 40_000 || !strings.Contains(m.Text, "and 35 more") && !strings.Contains(m.Text, "or 35 more") {
		t.Errorf("%d bytes:\n%s", n, m.Text)
	}
}

// squeezed is text with single spaces.
func squeezed(s string) string { return strings.Join(strings.Fields(s), " ") }

func TestNothingOfTheMailComesFromElsewhere(t *testing.T) {
	remote := regexp.MustCompile(`(?i)<(img|link|script|iframe|object|embed|video|audio|form|base)\b|\bsrc=|@import|@font-face|url\(|background=`)
	address := regexp.MustCompile(`href="([^"]*)"`)
	for name, change := range goldens {
		m := mailTo(t, fixed(t, change))
		if found := remote.FindString(m.HTML); found != "" {
			t.Errorf("%s: the HTML has %q", name, found)
		}
		links := 0
		for _, a := range address.FindAllStringSubmatch(m.HTML, -1) {
			switch {
			case strings.HasPrefix(a[1], "https://abc.lambda-url.eu-west-1.on.aws/a/"):
				links++
			case strings.HasPrefix(a[1], "https://example-admin.okta.com/admin/"):
			default:
				t.Errorf("%s: the HTML leads to %s", name, a[1])
			}
		}
		// One button: its shape for Outlook, and the one for all others.
		if links != 2 || strings.Count(m.HTML, "</a>") != 2 {
			t.Errorf("%s: %d addresses of the page, want 2; %d links, want the button and the admin console", name, links, strings.Count(m.HTML, "</a>"))
		}
	}
}

func TestWithoutAChainTheMessageHasOneCertificate(t *testing.T) {
	in := wanted("crm@example.com")
	in.Chain = ""
	m := mailTo(t, in)
	if strings.Count(m.Text, "BEGIN CERTIFICATE") != 1 || strings.Contains(m.Text, "CA above") || strings.Contains(m.HTML, "CA above") || len(m.Attachments) != 1 {
		t.Errorf("the message announces a chain that it does not have:\n%s", m.Text)
	}
}

func TestOnlyCertificatesOfTheChainAreSent(t *testing.T) {
	in := wanted("crm@example.com")
	in.Chain = "subject=CN=\u202eroot\r\nBcc: x\n" + chain + "-----BEGIN PRIVATE KEY-----\nY2hhaW4=\n-----END PRIVATE KEY-----\n" + chain
	m := mailTo(t, in)
	if got := string(m.Attachments[1].Content); got != chain+chain || !strings.Contains(m.Text, chain+chain) || strings.Contains(m.Text, "PRIVATE") {
		t.Errorf("the chain is %q", got)
	}
}

func TestTheMessageTellsWhatToDo(t *testing.T) {
	const decrypts = "Okta decrypts them with the"
	at := now.Add(5 * rotation.Day)
	confirmed := rotation.Decision{Confirmed: true, By: "sso-team@example.com", At: now, SwitchAt: &at}
	for title, test := range map[string]struct {
		kind          rotation.Kind
		order         rotation.UploadOrder
		stage         rotation.Stage
		silence       rotation.SignInSilence
		says, conceal []string
	}{
		"app, before the switch": {rotation.KindApp, rotation.BeforeSwitch, rotation.StageUpload, rotation.KeepOnSilence,
			[]string{"Give it to the app (the service provider).", "Okta switches to it right after you confirm", "keep the old one", "only one", "replace the old one and confirm at once", "nothing changes then."},
			[]string{"ALREADY", decrypts}},
		"app, after the switch": {rotation.KindApp, rotation.AfterSwitch, rotation.StageUpload, rotation.KeepOnSilence,
			[]string{"Okta ALREADY signs", "until the app (the service provider) has it, sign-in to Salesforce fails", "Okta then goes back to the old certificate", "Okta goes back to the old certificate by itself"},
			[]string{"nothing changes", "right after you confirm", decrypts}},
		"IdP, before the switch": {rotation.KindIDP, rotation.BeforeSwitch, rotation.StageUpload, rotation.KeepOnSilence,
			[]string{"SAML identity provider", "Give it to the operator of the identity provider.", decrypts, "from the very moment of the switch", "https://example-admin.okta.com/admin/access/identity-providers/edit/0oa1gjh63g214q0Hq0g4"},
			[]string{"ALREADY", "service provider"}},
		"IdP, after the switch": {rotation.KindIDP, rotation.AfterSwitch, rotation.StageUpload, rotation.KeepOnSilence,
			[]string{"Okta ALREADY signs", "until the operator of the identity provider has it", decrypts, "must encrypt to the new certificate now"},
			[]string{"nothing changes", "service provider"}},
		"planned": {rotation.KindApp, rotation.BeforeSwitch, rotation.StagePlanned, rotation.KeepOnSilence,
			[]string{"sso-team@example.com confirmed the upload", "Okta switches on Friday, 6 March 2026, 12:00 UTC (in 5 days)", "call the plan off", "No answer is needed"},
			[]string{"ALREADY", "Please answer by", decrypts}},
		"planned, IdP": {rotation.KindIDP, rotation.BeforeSwitch, rotation.StagePlanned, rotation.KeepOnSilence,
			[]string{"call the plan off", decrypts}, []string{"service provider"}},
		"sign-in, silence keeps": {rotation.KindApp, rotation.BeforeSwitch, rotation.StageSignIn, rotation.KeepOnSilence,
			[]string{"Does sign-in to Salesforce work?", "Please answer by Monday, 2 March 2026, 12:00 UTC (in 24 hours).", "If nobody answers by then, the new certificate stays.", "sign in to “Salesforce” through Okta", "sso-team@example.com had confirmed"},
			[]string{"If nobody answers by then, Okta goes back", "Give it to"}},
		"sign-in, silence rolls back": {rotation.KindIDP, rotation.BeforeSwitch, rotation.StageSignIn, rotation.RollBackOnSilence,
			[]string{"Does sign-in through Salesforce work?", "If nobody answers by then, Okta goes back to the old certificate.", "sign in to Okta through “Salesforce”"},
			[]string{"the new certificate stays"}},
	} {
		t.Run(title, func(t *testing.T) {
			in := wanted("crm@example.com")
			in.Target.Kind, in.Policy.UploadOrder, in.Stage, in.Policy.SignInSilence = test.kind, test.order, test.stage, test.silence
			if test.stage != rotation.StageUpload {
				in.Decision = &confirmed
			}
			m := mailTo(t, in)
			for format, all := range map[string]string{"text": m.Text, "HTML": m.HTML, "chat": string(posted(t, in))} {
				all = squeezed(regexp.MustCompile(`<[^>]*>`).ReplaceAllString(strings.ReplaceAll(all, `href="`, "> "), ""))
				if format == "chat" {
					all = squeezed(strings.ReplaceAll(string(posted(t, in)), `\n`, " "))
				}
				for _, s := range test.says {
					// In the HTML, a date stands in a box of its own.
					if format == "HTML" && (strings.HasPrefix(s, "Please answer by") || strings.HasPrefix(s, "Okta switches on")) {
						continue
					}
					if !strings.Contains(all, s) {
						t.Errorf("no %q in the %s:\n%s", s, format, all)
					}
				}
				for _, s := range test.conceal {
					if strings.Contains(all, s) {
						t.Errorf("%q does not belong into the %s:\n%s", s, format, all)
					}
				}
			}
		})
	}
}

func TestTheMessageSaysHowUrgentItIs(t *testing.T) {
	calledOff := &rotation.Decision{CalledOff: true, By: "sso-team@example.com"}
	expiry := now.Add(30*rotation.Day + 90*time.Minute)
	at := now.Add(5 * rotation.Day)
	for title, test := range map[string]struct {
		change  func(*rotation.RequestUploadInput)
		subject string
		says    string
	}{
		"time enough": {func(*rotation.RequestUploadInput) {}, "Upload the new SAML certificate for Salesforce by 15 March 2026", "Please answer by Sunday, 15 March 2026, 12:00 UTC (in 14 days)."},
		"the old certificate ends before the request does": {func(in *rotation.RequestUploadInput) { in.AnswerBy = now.Add(365 * rotation.Day) },
			"Upload the new SAML certificate for Salesforce by 31 March 2026", "Please answer by " + expiry.Format("Monday, 2 January 2006, 15:04 UTC")},
		"the old certificate has ended": {func(in *rotation.RequestUploadInput) { in.OldKey.NotAfter = now.Add(-rotation.Day) },
			"Upload the new SAML certificate for Salesforce by 15 March 2026", "The one in use expired on 28 February 2026; from then on"},
		"a reminder":      {func(in *rotation.RequestUploadInput) { in.Round = 1 }, "Reminder: upload the new SAML certificate for Salesforce by 15 March 2026", "earlier ones no longer work"},
		"an escalation":   {func(in *rotation.RequestUploadInput) { in.Round, in.Escalate = 3, true }, "Overdue: the SAML certificate for Salesforce expires 31 March 2026", "earlier ones no longer work"},
		"a plan is off":   {func(in *rotation.RequestUploadInput) { in.Decision = calledOff }, "Called off: Salesforce still needs its new SAML certificate by 15 March 2026", "sso-team@example.com called off the switch that was planned."},
		"nobody signs in": {func(in *rotation.RequestUploadInput) { in.Policy.UploadOrder = rotation.AfterSwitch }, "URGENT: sign-in to Salesforce fails until it has its new SAML certificate (answer by 15 March 2026)", "Please answer at once, and at the latest by Sunday, 15 March 2026, 12:00 UTC"},
		"planned": {func(in *rotation.RequestUploadInput) {
			in.Stage, in.Decision = rotation.StagePlanned, &rotation.Decision{Confirmed: true, SwitchAt: &at}
		}, "Planned: Okta switches the SAML certificate of Salesforce on 6 March 2026, 12:00 UTC", "An approver confirmed the upload"},
		"to be signed": {func(in *rotation.RequestUploadInput) { toSign(t, in) }, "Have the certificate for Salesforce signed by 15 March 2026", "Please bring it by Sunday, 15 March 2026, 12:00 UTC (in 14 days)."},
		"to be signed before the old certificate ends": {func(in *rotation.RequestUploadInput) { toSign(t, in); in.AnswerBy = now.Add(365 * rotation.Day) },
			"Have the certificate for Salesforce signed by 31 March 2026", "On 1 March 2027 Keyturn stops waiting for it."},
		"to be signed, a reminder":    {func(in *rotation.RequestUploadInput) { toSign(t, in); in.Round = 1 }, "Reminder: have the certificate for Salesforce signed by 15 March 2026", "earlier ones no longer work"},
		"to be signed, an escalation": {func(in *rotation.RequestUploadInput) { toSign(t, in); in.Round, in.Escalate = 3, true }, "Overdue: the certificate for Salesforce is not signed, and the old one expires 31 March 2026", "earlier ones no longer work"},
		"to be signed, after which Okta switches at once": {func(in *rotation.RequestUploadInput) { toSign(t, in); in.Policy.UploadOrder = rotation.AfterSwitch },
			"Have the certificate for Salesforce signed by 15 March 2026", "Without an answer nothing changes"},
		"sign-in": {func(in *rotation.RequestUploadInput) { in.Stage = rotation.StageSignIn }, "Please try a sign-in to Salesforce by 2 March 2026, 12:00 UTC (its SAML certificate was switched)", "Okta has switched"},
	} {
		t.Run(title, func(t *testing.T) {
			in := wanted("crm@example.com")
			test.change(&in)
			m := mailTo(t, in)
			if m.Subject != test.subject {
				t.Errorf("the subject is %q, want %q", m.Subject, test.subject)
			}
			if !strings.Contains(m.Text, test.says) {
				t.Errorf("the message does not say %q:\n%s", test.says, m.Text)
			}
		})
	}
}

func TestTheMessageSaysWhyItsReaderGetsIt(t *testing.T) {
	in := wanted("crm@example.com")
	in.Escalate, in.Policy.EscalateTo = true, []string{"identity-lead@example.com"}
	mail := &post{}
	if _, err := step(t, mail, &board{}).Run(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	for reader, want := range map[string]string{"crm@example.com": "you look after Salesforce", "identity-lead@example.com": "you are named for that case"} {
		m := mail.mailboxes[reader][0]
		if !strings.Contains(m.Text, want) || !strings.Contains(m.HTML, want) {
			t.Errorf("the mail to %s does not say %q:\n%s", reader, want, m.Text)
		}
	}
	if text := squeezed(mail.mailboxes["crm@example.com"][0].Text); !strings.Contains(text, "Also asked: identity-lead@example.com") {
		t.Errorf("the mail does not say who else was asked:\n%s", text)
	}
}

func TestThoseWhoSignAreAskedToSign(t *testing.T) {
	in := wanted("crm@example.com")
	toSign(t, &in)
	in.Policy.Signers, in.Policy.EscalateTo, in.Escalate = []string{"pki@example.com", "PKI@example.com"}, []string{"lead@example.com"}, true
	mail := &post{}
	out, err := step(t, mail, &board{}).Run(t.Context(), in)
	if diff := cmp.Diff(rotation.RequestUploadOutput{Sent: []string{"pki@example.com", "lead@example.com"}}, out); err != nil || diff != "" {
		t.Fatal(err, diff)
	}
	for reader, want := range map[string]string{"pki@example.com": "You get this because you have the certificates for Salesforce signed.", "lead@example.com": "you are named for that case"} {
		if m := mail.mailboxes[reader][0]; !strings.Contains(m.Text, want) || strings.Contains(m.Text, "crm@example.com") {
			t.Errorf("the mail to %s does not say %q, or names an approver:\n%s", reader, want, m.Text)
		}
	}
	claim, err := newSealer(t, linkKey).Open(linkIn(t, mail.mailboxes["pki@example.com"][0]), now)
	if err != nil || claim.Stage != rotation.StageCertificate || claim.Approver != "pki@example.com" || !claim.Expires.Equal(in.AnswerBy) {
		t.Errorf("the link is %+v, %v", claim, err)
	}
	// Nobody to mail but signers: no topic. None at all: the topic.
	in.Policy.Approvers, in.Escalate = nil, false
	if out, err = step(t, &post{}, &board{}).Run(t.Context(), in); err != nil || !slices.Equal(out.Sent, []string{"pki@example.com"}) {
		t.Errorf("%v, %v", out, err)
	}
	in.Policy.Signers = nil
	if out, err = step(t, &post{}, &board{}).Run(t.Context(), in); err != nil || !slices.Equal(out.Sent, []string{"sns"}) {
		t.Errorf("%v, %v", out, err)
	}
	// The approvers stand in for signers that the policy does not name; and the
	// upload is none of the signers' business.
	in.Policy.Approvers = []string{"crm@example.com"}
	if out, err = step(t, &post{}, &board{}).Run(t.Context(), in); err != nil || !slices.Equal(out.Sent, []string{"crm@example.com"}) {
		t.Errorf("%v, %v", out, err)
	}
	upload := wanted("crm@example.com")
	upload.Policy.Signers = []string{"pki@example.com"}
	if out, err = step(t, &post{}, &board{}).Run(t.Context(), upload); err != nil || !slices.Equal(out.Sent, []string{"crm@example.com"}) {
		t.Errorf("%v, %v", out, err)
	}
}

func TestTheAdminConsolesAddress(t *testing.T) {
	for org, want := range map[string]string{
		"https://example.okta.com":        "https://example-admin.okta.com/admin/app/salesforce/instance/",
		"https://example.okta.com/":       "https://example-admin.okta.com/admin/app/salesforce/instance/",
		"https://example.oktapreview.com": "https://example-admin.oktapreview.com/admin/app/salesforce/instance/",
		"https://example.okta-emea.com":   "https://example-admin.okta-emea.com/admin/app/salesforce/instance/",
		"https://login.example.com":       "https://login.example.com/admin/app/salesforce/instance/",
		"http://127.0.0.1:8080":           "http://127.0.0.1:8080/admin/app/salesforce/instance/",
		"http://localhost:8080/":          "http://localhost:8080/admin/app/salesforce/instance/",
	} {
		t.Run(org, func(t *testing.T) {
			mail := &post{}
			s := step(t, mail, &board{})
			s.OrgURL = org
			if _, err := s.Run(t.Context(), wanted("crm@example.com")); err != nil {
				t.Fatal(err)
			}
			if text := mail.mailboxes["crm@example.com"][0].Text; !strings.Contains(text, " "+want) {
				t.Errorf("no %s in the message:\n%s", want, text)
			}
		})
	}
	for name, want := range map[string]string{"": "/admin/app/app/instance/0oa1gjh63g214q0Hq0g4/", `a/../b"><i>|x`: "/admin/app/a%2F..%2Fb%22%3E%3Ci%3E%7Cx/instance/0oa1gjh63g214q0Hq0g4/"} {
		in := wanted("crm@example.com")
		in.Target.Name = name
		if m := mailTo(t, in); !strings.Contains(m.Text, want) || !strings.Contains(m.HTML, want) {
			t.Errorf("an app of the name %q: no %s in\n%s", name, want, m.Text)
		}
	}
}

// hostile are texts that somebody may write into a label, a name or a comment.
var hostile = map[string]string{
	"script":     `<script>alert(1)</script>`,
	"attribute":  `" onmouseover="alert(1)" x="`,
	"comment":    `--><![endif]--><h1>Pay here</h1><!--`,
	"header":     "Sales\r\nBcc: all@example.com\r\n\r\nbody",
	"direction":  "gpj.\u202Eexe\u202C \u2066x\u2069 \u200f",
	"control":    "a\x00b\x07c\x1b[31md\u0085e",
	"invisible":  "pay\u200bpal\U000E0041\ufeff",
	"mention":    "<!channel> <@U123> <#C123> @here",
	"chat link":  "<https://evil.example|Answer> *bold* `code` ~x~ :tada:",
	"entity":     "&lt;script&gt; &#x202e;",
	"template":   "{{.}} ${x} %s %n",
	"long":       strings.Repeat("<&>", 2000),
	"not UTF-8":  "\xff\xfe<b>",
	"end of PEM": "-----END CERTIFICATE-----\nhttps://abc.lambda-url.eu-west-1.on.aws/a/forged",
}

// everywhere makes the messages of a stage with one text in every place that
// somebody outside writes: the mail, what the topic and the chat get.
func everywhere(t testing.TB, stage rotation.Stage, text string) (mail, topic notify.Message, card []byte) {
	t.Helper()
	at := now.Add(5 * rotation.Day)
	in := wanted("crm@example.com", "sso-team@example.com")
	in.Stage = stage
	in.Target.Label, in.Target.Name, in.NewKey.Issuer = text, text, text
	in.Execution = text[:min(len(text), 80)] // as Step Functions allows
	in.Decision = &rotation.Decision{Confirmed: stage != rotation.StageUpload, CalledOff: stage == rotation.StageUpload, By: text, Comment: text, SwitchAt: &at}
	if stage == rotation.StageCertificate {
		in.Decision = nil
		toSign(t, &in)
		in.CSR.Request = csrFor(t, text)
		in.Chain = text + "\n" + in.Chain
		in.Policy.Profile = rotation.Profile{KeyUsage: []string{text}, Extensions: []rotation.Extension{{OID: text, Value: text}}, CRLURLs: []string{text}}
	}
	sns := &board{}
	if _, err := step(t, nil, sns).Run(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	return mailTo(t, in), sns.messages[0], posted(t, in)
}

// csrFor makes a request whose subject a text is in.
func csrFor(t testing.TB, text string) string {
	t.Helper()
	if r := []rune(strings.ToValidUTF8(text, "?")); len(r) > 1000 {
		text = string(r[:1000])
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: strings.ToValidUTF8(text, "?")}}, csrKey())
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(der)
}

var csrKey = sync.OnceValue(func() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return key
})

var stages = []rotation.Stage{rotation.StageCertificate, rotation.StageUpload, rotation.StagePlanned, rotation.StageSignIn}

// doesNothing checks that a text is only text, wherever it stands.
func doesNothing(t *testing.T, stage rotation.Stage, text string) {
	t.Helper()
	harmless, _, harmlessCard := everywhere(t, stage, "x")
	m, topic, card := everywhere(t, stage, text)
	unseen := func(r rune) bool {
		return unicode.IsControl(r) && r != '\n' || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp)
	}
	for _, s := range []string{m.Subject, m.Text, m.HTML, topic.Subject, topic.Text, string(card)} {
		if strings.ContainsFunc(s, unseen) || !utf8.ValidString(s) {
			t.Errorf("what is not to be seen is in %q", s)
		}
	}
	if strings.Contains(m.Subject+topic.Subject, "\n") {
		t.Errorf("the subject has two lines: %q", m.Subject)
	}
	for _, a := range m.Attachments {
		if strings.Trim(a.Name, "abcdefghijklmnopqrstuvwxyz0123456789-.") != "" || strings.HasPrefix(a.Name, ".") {
			t.Errorf("an attachment is called %q", a.Name)
		}
	}
	linkIn(t, m)
	linkIn(t, topic)
	if got, want := elements(m.HTML), elements(harmless.HTML); got != want {
		t.Errorf("the HTML has other elements than with a harmless text: %s", cmp.Diff(want, got))
	}
	if got, want := blockTypes(t, card), blockTypes(t, harmlessCard); got != want {
		t.Errorf("the card has other blocks:\n%s, want\n%s", got, want)
	}
	notification, texts := markups(t, card)
	if strings.ContainsAny(notification, "<>") {
		t.Errorf("the notification has mark-up: %q", notification)
	}
	for _, s := range texts {
		if !ownMarkup.MatchString(s) {
			t.Errorf("the chat finds mark-up in %q", s)
		}
	}
}

func TestHostileTextDoesNothingInAnyMessage(t *testing.T) {
	for _, stage := range stages {
		for what, text := range hostile {
			t.Run(string(stage)+" "+what, func(t *testing.T) { doesNothing(t, stage, text) })
		}
	}
}

func FuzzHostileText(f *testing.F) {
	i := 0
	for _, text := range hostile {
		f.Add(i, text)
		i++
	}
	f.Fuzz(func(t *testing.T, stage int, text string) {
		if strings.TrimSpace(plaintext.Line(text, 10)) == "" {
			return // shown by its id, or not at all
		}
		doesNothing(t, stages[uint(stage)%4], text)
	})
}

var (
	tagPattern    = regexp.MustCompile(`<!--|<(/?[a-zA-Z][^\s>]*)((?:[^>"]|"[^"]*")*)>`)
	quotedPattern = regexp.MustCompile(`"[^"]*"`)
)

// elements are the tags of an HTML text with the names of their attributes,
// without the line breaks of comments.
func elements(html string) string {
	var all []string
	for _, tag := range tagPattern.FindAllStringSubmatch(html, -1) {
		if tag[1] != "br" {
			all = append(all, tag[1]+quotedPattern.ReplaceAllString(tag[2], ""))
		}
	}
	return strings.Join(all, "\n")
}

func walk(v any, visit func(map[string]any)) {
	switch v := v.(type) {
	case map[string]any:
		visit(v)
		for _, inner := range v {
			walk(inner, visit)
		}
	case []any:
		for _, inner := range v {
			walk(inner, visit)
		}
	}
}

func decoded(t *testing.T, card []byte) map[string]any {
	t.Helper()
	var all map[string]any
	if err := json.Unmarshal(card, &all); err != nil {
		t.Fatal(err)
	}
	return all
}

func blockTypes(t *testing.T, card []byte) string {
	t.Helper()
	var types []string
	for _, b := range decoded(t, card)["blocks"].([]any) {
		types = append(types, b.(map[string]any)["type"].(string))
	}
	return strings.Join(types, " ")
}

// ownMarkup is all that Keyturn writes with mark-up: names in bold letters, and
// the way to the admin console.
var ownMarkup = regexp.MustCompile(`^(\*[A-Za-z0-9' -]+\*|<https://example-admin\.okta\.com/[^<>|\s]+\|Open the page in Okta>)$`)

// markups are the texts in which a chat looks for mark-up.
func markups(t *testing.T, card []byte) (notification string, texts []string) {
	t.Helper()
	all := decoded(t, card)
	walk(all, func(m map[string]any) {
		if m["type"] == "mrkdwn" {
			texts = append(texts, m["text"].(string))
		}
	})
	return all["text"].(string), texts
}

var _ request.Publisher = notify.Chat{}
