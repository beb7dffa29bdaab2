package page

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/pem"
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	_ "time/tzdata"

	"github.com/google/go-cmp/cmp"
	g "maragu.dev/gomponents"

	"keyturn/internal/approval"
	"keyturn/internal/ca"
	"keyturn/internal/rotation"
)

var (
	update  = flag.Bool("update", false, "write testdata anew")
	preview = flag.String("preview", "", "folder to write every page to, for looking at them")
)

// The certificates are an old one of Okta's kind and one of a company's CA.
func testKey(t *testing.T, name, subject, issuer string, notAfter time.Time) rotation.Key {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name+".b64"))
	if err != nil {
		t.Fatal(err)
	}
	return rotation.Key{
		Kid: name + "Kid", Subject: subject, Issuer: issuer, NotAfter: notAfter,
		Certificate: strings.Join(strings.Fields(string(text)), ""),
	}
}

var (
	testNow = time.Date(2026, 11, 3, 9, 20, 0, 0, time.UTC)
	// The chain is not read by the page.
	testChain = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
)

// testAsk is an upload before the switch, for an app, two people asked.
func testAsk(t *testing.T) ask {
	t.Helper()
	settings := rotation.DefaultSettings([]string{"crm@example.com", "sso-team@example.com"})
	settings.EscalateTo = []string{"identity-lead@example.com"}
	oldExpiry := time.Date(2026, 11, 27, 14, 0, 0, 0, time.UTC)
	answerBy := time.Date(2026, 11, 26, 9, 0, 0, 0, time.UTC)
	return ask{
		In: rotation.RequestUploadInput{
			TaskToken: "a-secret-token",
			Stage:     rotation.StageUpload,
			Execution: "app-0oa1example-exk1fcia-20261103",
			Target:    rotation.Target{Kind: rotation.KindApp, ID: "0oa1gjh63g214q0Hq0g4", Label: "Salesforce", Name: "salesforce"},
			Policy:    settings,
			OldKey:    testKey(t, "old", "CN=example, O=Okta, C=US", "CN=example, O=Okta, C=US", oldExpiry),
			NewKey:    testKey(t, "new", "CN=Salesforce SAML signing, O=Example\\, Inc., C=US", "CN=Example Issuing CA, O=Example\\, Inc., C=US", time.Date(2027, 12, 5, 9, 0, 0, 0, time.UTC)),
			Chain:     testChain,
			AnswerBy:  answerBy,
		},
		Since: testNow.Add(-20 * time.Minute), Now: testNow,
		Approver: "crm@example.com",
		OrgHost:  "example.okta.com",
		AdminURL: "https://example-admin.okta.com/admin/app/salesforce/instance/0oa1gjh63g214q0Hq0g4/#tab-signon",
		Action:   "link", Files: "link/", Form: "form-token",
		PlanFrom: testNow.Add(10 * time.Minute), PlanUntil: answerBy,
	}
}

// signAsk asks for a certificate, at the time and for the key of the lab.
func signAsk(t *testing.T) ask {
	t.Helper()
	a := testAsk(t)
	var c approval.Claim
	toSign(&a.In, &c)
	a.Approver, a.Now, a.Since = pki, time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), time.Date(2026, 3, 1, 11, 0, 0, 0, time.UTC)
	a.In.OldKey.NotAfter, a.In.AnswerBy = a.Now.Add(30*rotation.Day), a.Now.Add(21*rotation.Day)
	a.PlanFrom, a.PlanUntil = time.Time{}, time.Time{}
	return a
}

// fixedSign is an ask for a certificate that reads the same in every run.
func fixedSign(t *testing.T) ask {
	t.Helper()
	a := testAsk(t)
	block, _ := pem.Decode(requestFile(t, "request.csr"))
	a.In.Stage, a.In.NewKey, a.PlanFrom, a.PlanUntil = rotation.StageCertificate, rotation.Key{}, time.Time{}, time.Time{}
	a.In.CSR = &rotation.CSR{ID: "csr", Request: base64.StdEncoding.EncodeToString(block.Bytes)}
	a.In.Chain, a.In.Policy.Signers, a.Approver = string(requestFile(t, "authority.pem")), []string{pki, "ca-team@example.com"}, pki
	return a
}

// requestFile is one of the messages' files.
func requestFile(t *testing.T, name string) []byte {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("..", "request", "testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// signStates are the pages that ask for a certificate.
func signStates(t *testing.T) map[string]rendered {
	t.Helper()
	all := map[string]rendered{"certificate-app": fixedSign(t)}

	idp := fixedSign(t)
	idp.In.Target = rotation.Target{Kind: rotation.KindIDP, ID: "0oa62bfdjnK55Z5x80h7", Label: "Partner login (ADFS)"}
	idp.In.Policy.Profile = rotation.Profile{
		KeyUsage: []string{"contentCommitment"}, CRLURLs: []string{"http://pki.example.com/issuing-ca-with-a-long-name-2026.crl"}, OCSPURLs: []string{"http://ocsp.example.com"},
		CAIssuersURLs: []string{"http://pki.example.com/issuing.cer"},
		Extensions:    []rotation.Extension{{OID: "2.5.29.32", Value: "MBIwEAYOKwYBBAGCN4E7AQEBAQE="}, {OID: "1.3.6.1.4.1.99999.1", Critical: true, Value: "BQA="}},
	}
	idp.In.Policy.UploadOrder, idp.In.Round, idp.In.Escalate, idp.Approver = rotation.AfterSwitch, 2, true, ""
	all["certificate-idp-channel"] = idp

	refused := fixedSign(t)
	stranger := string(requestFile(t, "certificate.pem"))
	refused.Comment, refused.Pasted = "RITM0042", stranger
	refused.Refused = refused.refuse(&ca.Error{Name: ca.NameMismatch, Field: "certificate.publicKey", Value: "ECDSA on P-256", Message: "not the public key of the request"}, []byte(stranger))
	all["certificate-refused"] = refused

	ours := fixedSign(t)
	ours.Refused = ours.refuse(&ca.Error{Name: ca.NameMisconfigured, Field: "chain"}, nil)
	all["certificate-ours"] = ours

	problem := fixedSign(t)
	problem.Approver, problem.Name, problem.Problem = "", "the PKI team", "Please paste the certificate, or choose its file. Nothing was decided."
	all["certificate-problem"] = problem

	late := fixedSign(t)
	late.Now = late.In.OldKey.NotAfter.Add(50 * time.Hour)
	late.In.AnswerBy = late.Now.Add(10 * rotation.Day)
	all["certificate-expired"] = late

	bare := fixedSign(t)
	bare.In.CSR, bare.In.Chain = nil, ""
	all["certificate-bare"] = bare

	all["certificate-thanks"] = thanks(fixedSign(t), rotation.Decision{Confirmed: true, By: pki, At: testNow, Certificate: fixedSign(t).In.Chain})
	all["certificate-declined"] = thanks(fixedSign(t), rotation.Decision{By: pki, At: testNow, Comment: "no"})
	return all
}

type rendered interface{ render() g.Node }

// states are all pages: each stage, kind and order, with and without what may
// be missing, and the notes.
func states(t *testing.T) map[string]rendered {
	t.Helper()
	all := signStates(t)
	switchAt := time.Date(2026, 11, 7, 5, 0, 0, 0, time.UTC)
	for _, kind := range []rotation.Kind{rotation.KindApp, rotation.KindIDP} {
		for _, order := range []rotation.UploadOrder{rotation.BeforeSwitch, rotation.AfterSwitch} {
			for _, stage := range []rotation.Stage{rotation.StageUpload, rotation.StagePlanned, rotation.StageSignIn} {
				if stage == rotation.StagePlanned && order == rotation.AfterSwitch {
					continue
				}
				for _, channel := range []bool{false, true} {
					a := testAsk(t)
					a.In.Stage, a.In.Policy.UploadOrder = stage, order
					if kind == rotation.KindIDP {
						a.In.Target = rotation.Target{Kind: kind, ID: "0oa62bfdjnK55Z5x80h7", Label: "Partner login (ADFS)"}
						a.In.NewKey.Subject = "CN=Partner login (ADFS) SAML signing, O=Example\\, Inc., C=US"
						a.AdminURL = "https://example-admin.okta.com/admin/access/identity-providers/edit/0oa62bfdjnK55Z5x80h7"
					}
					if stage != rotation.StageUpload || order == rotation.AfterSwitch {
						a.PlanFrom, a.PlanUntil = time.Time{}, time.Time{}
					}
					if stage != rotation.StageUpload {
						a.In.Decision = &rotation.Decision{Confirmed: true, By: "sso-team@example.com", At: testNow.Add(-time.Hour), Comment: "Both certificates are in.\nThe change window is Saturday."}
					}
					if stage == rotation.StagePlanned {
						a.In.Decision.SwitchAt = &switchAt
					}
					name := fmt.Sprintf("%s-%s-%s", stage, kind, order)
					if channel {
						a.Approver = ""
						a.In.Policy.Approvers = nil
						a.In.Chain = ""
						a.In.Policy.ConfirmSignIn = true
						a.In.Policy.SignInSilence = rotation.RollBackOnSilence
						a.In.Round, a.In.Escalate = 2, true
						a.In.SharedWith = []rotation.Target{{Kind: rotation.KindApp, ID: "0oa2", Label: "Workday"}, {Kind: rotation.KindApp, ID: "0oa3"}}
						a.AdminURL = ""
						name += "-channel"
					}
					all[name] = a
				}
			}
		}
	}
	problem := testAsk(t)
	problem.Approver = ""
	problem.Problem = "Please say in the comment why it cannot be done: somebody has to find another way. Nothing was decided."
	problem.Name, problem.Comment, problem.Date, problem.Clock, problem.Zone = "Service desk", "Tried it,\nno luck", "2026-11-07", "06:00", "Indian/Mauritius"
	all["upload-problem"] = problem

	again := testAsk(t)
	again.In.Decision = &rotation.Decision{By: "sso-team@example.com", At: testNow.Add(-time.Hour), CalledOff: true, Comment: "The partner moved its maintenance window."}
	again.In.Policy.ConfirmSignIn = true
	all["upload-called-off"] = again

	cloned := testAsk(t)
	cloned.In.Cloned = true
	all["upload-cloned"] = cloned
	cloned.In.SharedWith = []rotation.Target{{Kind: rotation.KindApp, ID: "0oa2", Label: "Workday"}}
	all["upload-cloned-shared"] = cloned

	late := testAsk(t)
	late.Now = late.In.OldKey.NotAfter.Add(50 * time.Hour)
	late.In.AnswerBy = late.Now.Add(10 * rotation.Day)
	all["upload-expired"] = late

	bare := ask{In: rotation.RequestUploadInput{Stage: rotation.StageUpload, Target: rotation.Target{Kind: rotation.KindApp, ID: "0oa1", Label: "Bare"}}, Now: testNow}
	all["upload-bare"] = bare

	all["hostile"] = hostileAsk(t)

	for _, n := range []note{
		{Tone: toneDone, Title: "Thank you, Okta switches now", Text: []string{"Within a minute Okta uses the new certificate for Salesforce. Please try a sign-in then.", "Should the switch fail, the old certificate stays or comes back."}, Facts: []fact{{"App", "Salesforce"}, {"Answered by", "crm@example.com"}, {"At", "Tuesday, 3 November 2026, 09:20 UTC"}}},
		{Tone: toneOver, Title: "This request is answered already", Text: []string{"It was answered before, perhaps by yourself. This answer changes nothing."}, Facts: []fact{{"App", "Salesforce"}, {"Answered by", "sso-team@example.com"}}},
		{Tone: toneProblem, Title: "This link does not work", Text: []string{"It is damaged or incomplete. Mail programs sometimes break long links: copy the whole link from the message into the address bar.", "If that does not help, ask whoever runs Keyturn at your company to send it again."}},
		{Tone: "made-up", Title: hostile, Text: []string{hostile}, Facts: []fact{{hostile, hostile}}},
	} {
		all["note-"+string(n.Tone)] = n
	}
	return all
}

// hostile is text as an attacker would choose it.
const hostile = "\"'><script>alert(1)</script><img src=x onerror=alert(1)></textarea></title></style>\u202e{}&amp;\x07"

func hostileAsk(t *testing.T) ask {
	t.Helper()
	a := testAsk(t)
	a.Approver = ""
	a.In.Target.Label, a.In.Target.ID = hostile, hostile
	a.In.Policy.Approvers = []string{hostile}
	a.In.SharedWith = []rotation.Target{{Label: hostile}}
	a.In.OldKey.Subject, a.In.NewKey.Issuer = hostile, hostile
	a.In.Decision = &rotation.Decision{By: hostile, At: testNow, Comment: hostile, CalledOff: true}
	a.OrgHost, a.AdminURL = hostile, "javascript:alert(1)"
	a.Action, a.Files, a.Form = hostile, hostile, hostile
	a.Problem, a.Name, a.Comment, a.Date, a.Clock, a.Zone = hostile, hostile, hostile, hostile, hostile, hostile
	return a
}

func html(t *testing.T, page rendered) string {
	t.Helper()
	var b strings.Builder
	if err := page.render().Render(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestPreview(t *testing.T) {
	if *preview == "" {
		return
	}
	if err := os.WriteFile(filepath.Join(*preview, "csp.txt"), []byte(contentSecurityPolicy), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, page := range states(t) {
		if err := os.WriteFile(filepath.Join(*preview, name+".html"), []byte(html(t, page)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// element is a start tag of a page, and the text directly in it.
type element struct {
	name string
	attr map[string]string
	text string
}

func (e element) has(attr string) bool { _, ok := e.attr[attr]; return ok }

// elements reads a page as a browser would, in order. The style and the script,
// whose text is not HTML, come with theirs.
func elements(t *testing.T, page string) []element {
	t.Helper()
	var all []element
	page = strings.ReplaceAll(page, "\a", "") // not for XML's reader
	raw := regexp.MustCompile(`(?s)<(style|script)>(.*?)</(style|script)>`)
	inline := raw.FindAllStringSubmatch(page, -1)
	d := xml.NewDecoder(strings.NewReader(strings.TrimPrefix(raw.ReplaceAllString(page, "<$1></$1>"), "<!doctype html>")))
	d.Strict, d.AutoClose, d.Entity = false, []string{"meta", "input", "br", "wbr"}, xml.HTMLEntity
	var open []int
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatalf("not HTML: %v", err)
		}
		switch token := token.(type) {
		case xml.StartElement:
			e := element{name: token.Name.Local, attr: map[string]string{}}
			for _, a := range token.Attr {
				e.attr[a.Name.Local] = a.Value
			}
			if (e.name == "style" || e.name == "script") && len(inline) > 0 {
				e.text, inline = inline[0][2], inline[1:]
			}
			open = append(open, len(all))
			all = append(all, e)
		case xml.EndElement:
			open = open[:len(open)-1]
		case xml.CharData:
			if len(open) > 0 {
				all[open[len(open)-1]].text += string(token)
			}
		}
	}
}

func named(all []element, names ...string) []element {
	var found []element
	for _, e := range all {
		if slices.Contains(names, e.name) {
			found = append(found, e)
		}
	}
	return found
}

func TestEveryPageIsSound(t *testing.T) {
	for name, page := range states(t) {
		t.Run(name, func(t *testing.T) {
			all := elements(t, html(t, page))
			for _, once := range []string{"h1", "main", "title", "style", "script"} {
				if n := len(named(all, once)); n != 1 {
					t.Errorf("%d elements <%s>, want 1", n, once)
				}
			}
			ids, labelled := map[string]bool{}, map[string]bool{}
			for _, e := range all {
				if id := e.attr["id"]; id != "" {
					if ids[id] {
						t.Errorf("id %q is given twice", id)
					}
					ids[id] = true
				}
				if e.name == "label" {
					labelled[e.attr["for"]] = true
				}
			}
			for _, e := range all {
				for attr, value := range e.attr {
					if attr == "style" || strings.HasPrefix(attr, "on") || attr == "src" {
						t.Errorf("<%s %s=%q> would be stopped by the policy", e.name, attr, value)
					}
					if strings.HasPrefix(attr, "aria-") && (strings.HasSuffix(attr, "by")) && !ids[value] {
						t.Errorf("<%s %s=%q> refers to nothing", e.name, attr, value)
					}
				}
				switch e.name {
				case "input", "select", "textarea":
					if e.attr["type"] != "hidden" && !labelled[e.attr["id"]] {
						t.Errorf("<%s name=%q> has no label", e.name, e.attr["name"])
					}
				case "a":
					if to, inPage := strings.CutPrefix(e.attr["href"], "#"); inPage && !ids[to] {
						t.Errorf("a link leads to #%s, which is not on the page", to)
					} else if !inPage && !strings.Contains(e.attr["rel"], "noreferrer") {
						t.Errorf("the link to %q tells where it comes from", e.attr["href"])
					}
				}
				if !strings.Contains(e.text, "alert(1)") && (strings.Contains(e.text, "{}") || strings.Contains(e.text, "%!")) {
					t.Errorf("a sentence was not filled in: %q", e.text)
				}
			}
		})
	}
}

func TestTheTaskTokenIsOnNoPage(t *testing.T) {
	for name, page := range states(t) {
		if strings.Contains(html(t, page), "a-secret-token") {
			t.Errorf("%s shows the task token", name)
		}
	}
}

func TestTextOfOthersStaysText(t *testing.T) {
	a := hostileAsk(t)
	for name, page := range map[string]rendered{
		"ask":     a,
		"planned": func() ask { a := a; a.In.Stage = rotation.StagePlanned; return a }(),
		"sign-in": func() ask {
			a := a
			a.In.Stage = rotation.StageSignIn
			a.In.Decision = &rotation.Decision{By: hostile, Comment: hostile}
			return a
		}(),
		"certificate": func() ask {
			a := a
			a.In.Stage, a.In.CSR, a.In.Policy.Signers, a.Pasted = rotation.StageCertificate, fixedSign(t).In.CSR, []string{hostile}, hostile
			a.In.Policy.Profile = rotation.Profile{KeyUsage: []string{hostile}, CRLURLs: []string{hostile}, Extensions: []rotation.Extension{{OID: hostile, Value: hostile}}}
			a.Refused = a.refuse(&ca.Error{Name: ca.NameProfile, Field: hostile, Value: hostile, Message: hostile}, nil)
			return a
		}(),
		"note": note{Tone: hostile, Title: hostile, Text: []string{hostile}, Facts: []fact{{"App", hostile}}},
	} {
		t.Run(name, func(t *testing.T) {
			all := elements(t, html(t, page))
			if n := len(named(all, "img")); n > 0 {
				t.Errorf("the text became %d images", n)
			}
			isolated := 0
			for _, e := range all {
				if strings.HasPrefix(e.attr["href"], "javascript:") {
					t.Errorf("a link runs a script: %q", e.attr["href"])
				}
				if !strings.Contains(e.text, "alert(1)") {
					continue
				}
				switch e.name {
				case "bdi":
					isolated++
				case "title", "textarea", "option":
				default:
					t.Errorf("<%s> holds text of others that is not isolated", e.name)
				}
			}
			if isolated == 0 {
				t.Error("the text is not on the page at all")
			}
		})
	}
}

func TestThePolicyAllowsExactlyTheStyleAndTheScript(t *testing.T) {
	all := elements(t, html(t, testAsk(t)))
	source := func(e element) string {
		sum := sha256.Sum256([]byte(e.text))
		return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
	}
	want := "default-src 'none'; style-src " + source(named(all, "style")[0]) + "; script-src " + source(named(all, "script")[0]) +
		"; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
	if diff := cmp.Diff(want, contentSecurityPolicy); diff != "" {
		t.Error(diff)
	}
	for name, text := range map[string]string{"page.css": css, "page.js": script} {
		// A browser hashes what its parser made of the text.
		if strings.ContainsAny(text, "\r\x00") || strings.Contains(text, "</") || strings.Contains(text, "<!--") {
			t.Errorf("%s cannot stand in an element as it is", name)
		}
	}
}

func TestEachStageOffersItsAnswers(t *testing.T) {
	for name, want := range map[string][]string{
		"upload-app-before-switch":          {decideConfirm, decidePlan, decideReject},
		"upload-idp-before-switch-channel":  {decideConfirm, decidePlan, decideReject},
		"upload-app-after-switch":           {decideConfirm, decideReject},
		"upload-bare":                       {decideConfirm, decideReject},
		"planned-app-before-switch":         {decideCallOff},
		"sign-in-app-before-switch":         {decideWorks, decideRollBack},
		"sign-in-idp-after-switch-channel":  {decideWorks, decideRollBack},
		"planned-idp-before-switch-channel": {decideCallOff},
		"certificate-app":                   {decideHandIn, decideReject},
		"certificate-idp-channel":           {decideHandIn, decideReject},
		"certificate-refused":               {decideHandIn, decideReject},
	} {
		t.Run(name, func(t *testing.T) {
			all := elements(t, html(t, states(t)[name]))
			buttons := named(all, "button")
			// Browsers differ in which button Enter presses where the first one
			// is disabled or not rendered.
			if first := buttons[0]; first.attr["name"] != fieldDecision || first.attr["value"] != "" || first.attr["tabindex"] != "-1" || first.has("disabled") || first.has("hidden") {
				t.Error("Enter in a field would press an answer")
			}
			var got []string
			for _, b := range buttons[1:] {
				if b.attr["name"] != fieldDecision {
					t.Errorf("a button is named %q", b.attr["name"])
				}
				got = append(got, b.attr["value"])
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			fields := map[string]bool{}
			for _, e := range named(all, "input", "select", "textarea") {
				fields[e.attr["name"]] = true
			}
			wantFields := map[string]bool{fieldForm: true, fieldComment: true}
			if slices.Contains(want, decidePlan) {
				wantFields[fieldDate], wantFields[fieldClock], wantFields[fieldZone] = true, true, true
			}
			if slices.Contains(want, decideHandIn) {
				wantFields[fieldPasted], wantFields[fieldFile] = true, true
			}
			if strings.HasSuffix(name, "-channel") || name == "upload-bare" {
				wantFields[fieldName] = true
			}
			if diff := cmp.Diff(wantFields, fields); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestWhatWasTypedIsKept(t *testing.T) {
	all := elements(t, html(t, states(t)["upload-problem"]))
	got := map[string]string{}
	for _, e := range named(all, "input", "textarea", "option") {
		switch {
		case e.name == "input":
			got[e.attr["name"]] = e.attr["value"]
		case e.name == "textarea":
			got[e.attr["name"]] = e.text
		case e.has("selected"):
			got[fieldZone] = e.attr["value"]
		}
	}
	want := map[string]string{
		fieldForm: "form-token", fieldName: "Service desk", fieldComment: "Tried it,\nno luck",
		fieldDate: "2026-11-07", fieldClock: "06:00", fieldZone: "Indian/Mauritius",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// words is a page's text alone.
func words(t *testing.T, page rendered) string {
	t.Helper()
	text := regexp.MustCompile(`(?s)<(style|script)>.*?</(style|script)>`).ReplaceAllString(html(t, page), "")
	text = regexp.MustCompile(`<(/?(bdi|strong|span|a|time|code|wbr)\b)[^>]*>`).ReplaceAllString(text, "")
	text = regexp.MustCompile(`<[^>]*>`).ReplaceAllString(text, " ")
	return strings.Join(strings.Fields(text), " ")
}

func TestWhatThePageSays(t *testing.T) {
	for name, wants := range map[string][]string{
		"upload-app-before-switch": {
			"Please give the new certificate to Salesforce, then answer below by Thursday, 26 November 2026, 09:00 UTC.",
			"The certificate in use expires on Friday, 27 November 2026, 14:00 UTC, in 24 days.",
			"Also asked sso-team@example.com The first answer counts.",
			"Chain (.pem)", "SAML metadata (.xml)",
			"Any time from Tuesday, 3 November 2026, 09:30 UTC to Thursday, 26 November 2026, 09:00 UTC.",
			"You answer as crm@example.com.",
		},
		"upload-app-before-switch-channel": {
			"Asked by mail identity-lead@example.com",
			"Same old key Workday 0oa3 They stay as they are.",
			"this is reminder 2",
			"You then get a message that asks whether sign-in works.",
		},
		"upload-cloned": {
			"Same new key Others have this very certificate, too. Each has a request of its own and is switched by itself.",
		},
		"upload-cloned-shared": {
			"Same old key Workday Those that are renewed together get this very certificate. Each has a request of its own and is switched by itself.",
		},
		"upload-app-after-switch": {
			"Okta already uses the new certificate. Until Salesforce has it, sign-in to Salesforce through Okta fails.",
			"If nobody answers, Okta goes back to the old certificate by itself on Thursday, 26 November 2026, 09:00 UTC.",
			"The old certificate as text, in case Okta goes back",
		},
		"upload-idp-before-switch": {
			"If the new one has taken its place at the partner, put the old one back there: until then nobody can sign in.",
			"The old certificate as text, in case you cannot finish",
			"the operator of Partner login (ADFS)",
			"it must use the new certificate for that from the moment of the switch: not before, and not after.",
		},
		"upload-called-off": {
			"sso-team@example.com called the planned switch off on Tuesday, 3 November 2026, 08:20 UTC. That is why you are asked again.",
			"The partner moved its maintenance window.",
		},
		"upload-expired": {
			"expired on Friday, 27 November 2026, 14:00 UTC, 2 days ago.",
			"Wherever expiry is checked, sign-in to Salesforce through Okta fails until Okta uses the new certificate.",
			"If nobody answers by Wednesday, 9 December 2026, 16:00 UTC, Keyturn stops waiting and nothing changes.",
		},
		"planned-app-before-switch": {
			"Okta switches to the new certificate by itself on Saturday, 7 November 2026, 05:00 UTC.",
			"Planned by sso-team@example.com on Tuesday, 3 November 2026, 08:20 UTC Both certificates are in.",
		},
		"certificate-app": {
			"Please have the company&#39;s CA sign the request below, and hand in the certificate here by Thursday, 26 November 2026, 09:00 UTC.",
			"If nobody answers by Thursday, 26 November 2026, 09:00 UTC, Keyturn stops waiting: nothing changes, and the request stays pending in Okta.",
			"Subject CN=Salesforce EMEA SAML signing,O=Example\\, Inc.,C=US Public key RSA, 2048 bits SHA-256 of the public key (SPKI) D3:C6:AF:C6:",
			"Signature algorithm of the request SHA256-RSA",
			"Validity more than 90 and at most 397 days", "Key usage digitalSignature, and not keyCertSign", "no CA (CA:FALSE)",
			"CA SHA-256 fingerprint Expires CN=Example Issuing CA,O=Example\\, Inc.,C=US",
			"Also asked ca-team@example.com",
			"Okta keeps the certificate in use, which expires on Friday, 27 November 2026, 14:00 UTC.",
		},
		"certificate-idp-channel": {
			"SAML identity provider", "Asked by mail ca-team@example.com identity-lead@example.com pki@example.com", "this is reminder 2",
			"digitalSignature, keyEncipherment and contentCommitment, and not keyCertSign",
			"CRL distribution points http://pki.example.com/issuing-ca-with-a-long-name-2026.crl",
			"Extension 1.3.6.1.4.1.99999.1 critical, with the value BQA= (DER in base64)",
		},
		"certificate-refused":               {"The certificate was not taken: it is for another key", "It is explained at the top of this page."},
		"certificate-ours":                  {"it could not be checked", "not your certificate&#39;s fault", "CA.Misconfigured"},
		"certificate-expired":               {"The certificate in use has expired.", "Okta keeps the old certificate."},
		"certificate-bare":                  {"The request cannot be shown here."},
		"certificate-thanks":                {"asked to upload it there", "Valid until"},
		"certificate-declined":              {"Noted: the request is withdrawn", "nothing changes for its users"},
		"sign-in-app-before-switch":         {"by Wednesday, 4 November 2026, 09:00 UTC", "If nobody answers by then, the new certificate stays."},
		"sign-in-app-before-switch-channel": {"If nobody answers by then, Okta goes back to the old certificate."},
		"sign-in-idp-before-switch":         {"Does sign-in with Partner login (ADFS) work?", "SAML metadata (.xml)"},
	} {
		text := words(t, states(t)[name])
		for _, want := range wants {
			if !strings.Contains(text, want) {
				t.Errorf("%s does not say %q:\n%s", name, want, text)
			}
		}
	}
	if text := words(t, states(t)["upload-idp-before-switch"]); strings.Contains(text, "metadata") {
		t.Error("an IdP's metadata is offered before the switch: Okta serves it with the old key then")
	}
}

func TestFingerprintsBreakBehindColonsOnly(t *testing.T) {
	a := testAsk(t)
	der, err := base64.StdEncoding.DecodeString(a.In.NewKey.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	if want := strings.ReplaceAll(rotation.Fingerprint(der), ":", ":<wbr>"); !strings.Contains(html(t, a), want) {
		t.Errorf("the page does not hold %s", want)
	}
}

func TestSpansInWords(t *testing.T) {
	for d, want := range map[time.Duration]string{
		10 * time.Minute:     "in less than one hour",
		90 * time.Minute:     "in 1 hour",
		47 * time.Hour:       "in 47 hours",
		48 * time.Hour:       "in 2 days",
		30 * rotation.Day:    "in 30 days",
		-5 * time.Hour:       "5 hours ago",
		-3 * rotation.Day:    "3 days ago",
		-20 * time.Minute:    "less than one hour ago",
		400 * rotation.Day:   "in 400 days",
		-399 * rotation.Day:  "399 days ago",
		2*time.Hour + 1:      "in 2 hours",
		-(time.Hour + 1):     "1 hour ago",
		23 * time.Hour:       "in 23 hours",
		2*rotation.Day - 1:   "in 47 hours",
		-(2 * rotation.Day):  "2 days ago",
		10*rotation.Day - 60: "in 9 days",
	} {
		if got := span(testNow, testNow.Add(d)); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}

func TestZonesExist(t *testing.T) {
	if zones[0] != "UTC" || !slices.IsSorted(zones[1:]) || len(slices.Compact(slices.Clone(zones))) != len(zones) {
		t.Error("the zones are not UTC and then each other one once, in order")
	}
	for _, zone := range zones {
		if _, err := time.LoadLocation(zone); err != nil {
			t.Error(err)
		}
	}
}

// The style and the script are files of their own; testdata holds the rest.
func TestPagesAsBefore(t *testing.T) {
	line := regexp.MustCompile(`<(h[1-4]|p|div|section|form|fieldset|li|tr|dl|details|header|main|footer|body|head)\b`)
	for _, name := range []string{"upload-app-before-switch", "upload-idp-after-switch-channel", "planned-idp-before-switch", "sign-in-app-before-switch-channel", "certificate-idp-channel", "certificate-refused", "note-done"} {
		text := strings.NewReplacer(css, "", script, "").Replace(html(t, states(t)[name]))
		got := line.ReplaceAllString(text, "\n<$1") + "\n"
		file := filepath.Join("testdata", name+".html")
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
			t.Errorf("%s changed; look at it, then run the test with -update:\n%s", name, diff)
		}
	}
}
