package page_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"html"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"

	"keyturn/internal/approval"
	"keyturn/internal/approval/page"
	"keyturn/internal/rotation"
)

var update = flag.Bool("update", false, "write the golden file")

const taskToken = "AQCEAAAAKgAAAAMAAAAAAAAAAe1+q0Zx/8Wd7LkT3vB=="

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// stepFunctions waits for one token, and takes it once.
type stepFunctions struct {
	outage  error
	over    bool
	decided *rotation.Decision
}

func (s *stepFunctions) complete(token *string, decision string) error {
	switch {
	case s.outage != nil:
		return s.outage
	case s.over || *token != taskToken:
		return &smithy.OperationError{ServiceID: "SFN", OperationName: "SendTaskSuccess", Err: &types.TaskTimedOut{Message: aws.String("no task for " + *token)}}
	}
	s.over, s.decided = true, &rotation.Decision{}
	return json.Unmarshal([]byte(decision), s.decided)
}

func (s *stepFunctions) SendTaskSuccess(_ context.Context, in *sfn.SendTaskSuccessInput, _ ...func(*sfn.Options)) (*sfn.SendTaskSuccessOutput, error) {
	return &sfn.SendTaskSuccessOutput{}, s.complete(in.TaskToken, *in.Output)
}

func (s *stepFunctions) SendTaskFailure(_ context.Context, in *sfn.SendTaskFailureInput, _ ...func(*sfn.Options)) (*sfn.SendTaskFailureOutput, error) {
	return &sfn.SendTaskFailureOutput{}, s.complete(in.TaskToken, *in.Cause)
}

// desk is the page with what stands around it.
type desk struct {
	t       *testing.T
	service *stepFunctions
	sealer  *approval.Sealer
	keyErr  error
	now     time.Time
	log     bytes.Buffer
	link    string
}

func newDesk(t *testing.T, change ...func(*approval.Claim)) *desk {
	t.Helper()
	sealer, err := approval.NewSealer(bytes.Repeat([]byte("k"), 64))
	if err != nil {
		t.Fatal(err)
	}
	d := &desk{t: t, service: &stepFunctions{}, sealer: sealer, now: start}
	claim := approval.Claim{
		TaskToken:   taskToken,
		Target:      rotation.Target{Kind: rotation.KindApp, ID: "0oa1gjh63g214q0Hq0g4", Label: "Salesforce"},
		Order:       rotation.BeforeSwitch,
		OldKid:      "old-kid",
		NewKid:      "new-kid",
		OldNotAfter: start.Add(30 * rotation.Day),
		NewNotAfter: start.Add(397 * rotation.Day),
		SHA256:      rotation.Fingerprint([]byte("certificate")),
		Approver:    "crm@example.com",
		Expires:     start.Add(14 * rotation.Day),
	}
	for _, c := range change {
		c(&claim)
	}
	if d.link, err = sealer.Seal(claim); err != nil {
		t.Fatal(err)
	}
	return d
}

func topic(c *approval.Claim)       { c.Approver = "" }
func afterSwitch(c *approval.Claim) { c.Order = rotation.AfterSwitch }
func idp(c *approval.Claim)         { c.Target.Kind = rotation.KindIDP }

func (d *desk) page() page.Page {
	return page.Page{
		Sealer:  func(context.Context) (*approval.Sealer, error) { return d.sealer, d.keyErr },
		Decider: approval.Answer{StepFunctions: d.service},
		Now:     func() time.Time { return d.now },
		Log:     slog.New(slog.NewJSONHandler(&d.log, nil)),
	}
}

type answer struct {
	status int
	header http.Header
	html   string
}

var headings = regexp.MustCompile(`(?s)<h1>(.*?)</h1>`)

func (a answer) title() string {
	if m := headings.FindStringSubmatch(a.html); m != nil {
		return html.UnescapeString(m[1])
	}
	return ""
}

// send asks the page, and checks what holds for every answer: the headers, no
// task token anywhere, no internals.
func (d *desk) send(method, path, body string) answer {
	d.t.Helper()
	r := httptest.NewRequestWithContext(d.t.Context(), method, path, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	w := httptest.NewRecorder()
	d.page().ServeHTTP(w, r)
	a := answer{w.Code, w.Header(), w.Body.String()}
	for name, want := range map[string]string{
		"Cache-Control":          "no-store",
		"Referrer-Policy":        "no-referrer",
		"X-Content-Type-Options": "nosniff",
		"X-Frame-Options":        "DENY",
		"X-Robots-Tag":           "noindex, nofollow",
		"Content-Type":           "text/html; charset=utf-8",
	} {
		if got := a.header.Get(name); got != want {
			d.t.Errorf("%s %d: %s is %q, want %q", method, a.status, name, got, want)
		}
	}
	csp := a.header.Get("Content-Security-Policy")
	for _, directive := range []string{"default-src 'none'", "form-action 'self'", "frame-ancestors 'none'", "base-uri 'none'"} {
		if !strings.Contains(csp, directive) {
			d.t.Errorf("%s %d: Content-Security-Policy %q lacks %q", method, a.status, csp, directive)
		}
	}
	if a.header.Get("Strict-Transport-Security") == "" {
		d.t.Errorf("%s %d: no Strict-Transport-Security", method, a.status)
	}
	for _, secret := range []string{taskToken, html.EscapeString(taskToken), taskToken[:20]} {
		if strings.Contains(a.html, secret) {
			d.t.Errorf("%s %d: the page shows the task token", method, a.status)
		}
		if strings.Contains(d.log.String(), secret) {
			d.t.Errorf("%s %d: the log shows the task token: %s", method, a.status, d.log.String())
		}
	}
	if strings.Contains(d.log.String(), d.link) {
		d.t.Errorf("%s %d: the log shows the link: %s", method, a.status, d.log.String())
	}
	// The link and the form's token are random: they could hold any short word.
	words := formToken.ReplaceAllString(strings.ReplaceAll(a.html, d.link, "LINK"), "")
	for _, internal := range []string{"<no value>", "%!", "SendTask", "SFN", "keyturn/", "Secret.", "StepFunctions", "arn:"} {
		if strings.Contains(words, internal) {
			d.t.Errorf("%s %d: the page shows %q:\n%s", method, a.status, internal, a.html)
		}
	}
	return a
}

func (d *desk) get() answer { return d.send(http.MethodGet, "/a/"+d.link, "") }

var formToken = regexp.MustCompile(`<input type="hidden" name="form" value="([^"]+)">`)

// fill opens the page and fills in the form that it shows.
func (d *desk) fill(fields map[string]string) url.Values {
	d.t.Helper()
	shown := d.get()
	m := formToken.FindStringSubmatch(shown.html)
	if m == nil {
		d.t.Fatalf("the page (status %d) has no form:\n%s", shown.status, shown.html)
	}
	form := url.Values{"form": {html.UnescapeString(m[1])}}
	for name, value := range fields {
		form.Set(name, value)
	}
	return form
}

func (d *desk) post(form url.Values) answer {
	d.t.Helper()
	return d.send(http.MethodPost, "/a/"+d.link, form.Encode())
}

// want checks status and title; undecided, that the rotation still waits.
func (d *desk) want(a answer, status int, title string) {
	d.t.Helper()
	if a.status != status || a.title() != title {
		d.t.Errorf("status %d, title %q; want %d, %q", a.status, a.title(), status, title)
	}
}

func (d *desk) undecided() {
	d.t.Helper()
	if d.service.decided != nil {
		d.t.Fatalf("it was decided: %+v", *d.service.decided)
	}
}

func TestOpeningALinkNeverDecides(t *testing.T) {
	d := newDesk(t)
	form := d.fill(map[string]string{"decision": "confirm", "comment": "x", "name": "x"})
	for _, query := range []string{"", "?decision=confirm", "?" + form.Encode(), "?decision=reject&comment=x&" + form.Encode()} {
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			d.want(d.send(method, "/a/"+d.link+query, ""), http.StatusOK, "New SAML certificate for Salesforce")
			// A GET with a body is what some scanners send.
			d.want(d.send(method, "/a/"+d.link+query, form.Encode()), http.StatusOK, "New SAML certificate for Salesforce")
			d.undecided()
		}
	}
}

func TestAPostWithoutThePagesFormNeverDecides(t *testing.T) {
	d := newDesk(t)
	other := newDesk(t)
	right := d.fill(nil).Get("form")
	for title, token := range map[string]string{
		"none":                   "",
		"of another link":        other.fill(nil).Get("form"),
		"altered":                strings.Map(swapCase, right),
		"the link":               d.link,
		"shown twelve hours ago": d.sealer.FormToken(d.link, start.Add(-12*time.Hour)),
		"shown tomorrow":         d.sealer.FormToken(d.link, start.Add(24*time.Hour)),
	} {
		t.Run(title, func(t *testing.T) {
			d.t = t
			for _, decision := range []string{"confirm", "reject"} {
				form := url.Values{"decision": {decision}, "comment": {"why not"}}
				if token != "" {
					form.Set("form", token)
				}
				a := d.post(form)
				d.want(a, http.StatusForbidden, "New SAML certificate for Salesforce")
				if !strings.Contains(a.html, "Nothing was decided.") || !strings.Contains(a.html, ">why not</textarea>") {
					t.Errorf("the page does not say so and keep the comment:\n%s", a.html)
				}
				d.undecided()
			}
		})
	}
	t.Run("in the query", func(t *testing.T) {
		d.t = t
		form := d.fill(map[string]string{"decision": "confirm"})
		d.want(d.send(http.MethodPost, "/a/"+d.link+"?"+form.Encode(), ""), http.StatusForbidden, "New SAML certificate for Salesforce")
		d.want(d.send(http.MethodPost, "/a/"+d.link+"?decision=confirm", url.Values{"form": form["form"]}.Encode()), http.StatusUnprocessableEntity, "New SAML certificate for Salesforce")
		d.undecided()
	})
	t.Run("the form shown again can be sent", func(t *testing.T) {
		d.t = t
		again := d.post(url.Values{"decision": {"confirm"}})
		token := html.UnescapeString(formToken.FindStringSubmatch(again.html)[1])
		d.want(d.post(url.Values{"decision": {"confirm"}, "form": {token}}), http.StatusOK, "Thank you, Okta switches now")
	})
}

func swapCase(r rune) rune {
	if unicode.IsUpper(r) {
		return unicode.ToLower(r)
	}
	return unicode.ToUpper(r)
}

func TestAConfirmationDecidesOnce(t *testing.T) {
	d := newDesk(t)
	form := d.fill(map[string]string{"decision": "confirm", "comment": " uploaded\r\nboth fields "})
	d.now = d.now.Add(90*time.Second + 5*time.Millisecond)
	d.want(d.post(form), http.StatusOK, "Thank you, Okta switches now")
	want := rotation.Decision{Confirmed: true, By: "crm@example.com", At: start.Add(90 * time.Second), Comment: "uploaded\nboth fields"}
	if diff := cmp.Diff(&want, d.service.decided); diff != "" {
		t.Error(diff)
	}
	for _, again := range []string{"confirm", "reject"} {
		a := d.post(d.fill(map[string]string{"decision": again, "comment": "again"}))
		d.want(a, http.StatusConflict, "This request is answered already")
		if strings.Contains(a.html, "<form") || !strings.Contains(a.html, "This answer changes nothing.") {
			t.Errorf("the page for a second answer:\n%s", a.html)
		}
	}
	if diff := cmp.Diff(&want, d.service.decided); diff != "" {
		t.Error("the second answer changed the first", diff)
	}
}

func TestARejectionNeedsAComment(t *testing.T) {
	d := newDesk(t)
	for _, empty := range []string{"", "  \r\n\t ", "\u0000\u0007"} {
		a := d.post(d.fill(map[string]string{"decision": "reject", "comment": empty}))
		d.want(a, http.StatusUnprocessableEntity, "New SAML certificate for Salesforce")
		if !strings.Contains(a.html, "Please say in the comment why") {
			t.Errorf("the page does not ask why:\n%s", a.html)
		}
		d.undecided()
	}
	d.want(d.post(d.fill(map[string]string{"decision": "reject", "comment": "we are on holiday"})), http.StatusOK, "Noted: nothing changes")
	want := &rotation.Decision{By: "crm@example.com", At: start, Comment: "we are on holiday"}
	if diff := cmp.Diff(want, d.service.decided); diff != "" {
		t.Error(diff)
	}
}

func TestOnlyTheTwoAnswersAreOnes(t *testing.T) {
	d := newDesk(t)
	for _, decision := range []string{"", "yes", "Confirm", "confirm ", "confirm\x00"} {
		a := d.post(d.fill(map[string]string{"decision": decision, "comment": "x"}))
		d.want(a, http.StatusUnprocessableEntity, "New SAML certificate for Salesforce")
		if !strings.Contains(a.html, "Please choose one of the two answers.") {
			t.Errorf("%q: the page does not say what to do:\n%s", decision, a.html)
		}
		d.undecided()
	}
}

func TestATopicsLinkAsksForTheName(t *testing.T) {
	d := newDesk(t, topic)
	if a := d.get(); !strings.Contains(a.html, `name="name"`) || strings.Contains(a.html, "You answer as") {
		t.Errorf("the page does not ask for a name:\n%s", a.html)
	}
	for _, empty := range []string{"", " \t", "\u0000\u0085"} {
		a := d.post(d.fill(map[string]string{"decision": "confirm", "name": empty, "comment": "done"}))
		d.want(a, http.StatusUnprocessableEntity, "New SAML certificate for Salesforce")
		if !strings.Contains(a.html, "Please give your name") || !strings.Contains(a.html, ">done</textarea>") {
			t.Errorf("the page does not ask for the name and keep the comment:\n%s", a.html)
		}
		d.undecided()
	}
	d.want(d.post(d.fill(map[string]string{"decision": "confirm", "name": " CRM admin on duty\u0000 "})), http.StatusOK, "Thank you, Okta switches now")
	if got := d.service.decided.By; got != "CRM admin on duty" {
		t.Errorf("decided by %q", got)
	}
}

func TestAnApproversLinkRecordsTheAddressWhateverTheFormSays(t *testing.T) {
	d := newDesk(t)
	if a := d.get(); strings.Contains(a.html, `name="name"`) || !strings.Contains(a.html, "You answer as <strong>crm@example.com</strong>") {
		t.Errorf("the page does not say who answers:\n%s", a.html)
	}
	d.want(d.post(d.fill(map[string]string{"decision": "confirm", "name": "ceo@example.com"})), http.StatusOK, "Thank you, Okta switches now")
	if got := d.service.decided.By; got != "crm@example.com" {
		t.Errorf("decided by %q, want the link's approver", got)
	}
}

func TestNameAndCommentHaveBounds(t *testing.T) {
	for title, test := range map[string]struct {
		name, comment string
		status        int
	}{
		"the longest":                              {strings.Repeat("n", 100), strings.Repeat("c", 1000), http.StatusOK},
		"the longest, in runes":                    {strings.Repeat("ň", 100), strings.Repeat("č", 1000), http.StatusOK},
		"with line breaks as a browser sends them": {"n", strings.TrimSpace(strings.Repeat("c\r\n", 500)), http.StatusOK},
		"a longer name":                            {strings.Repeat("n", 101), "c", http.StatusUnprocessableEntity},
		"a longer comment":                         {"n", strings.Repeat("c", 1001), http.StatusUnprocessableEntity},
		"a much longer comment":                    {"n", strings.Repeat("c", 10_000), http.StatusUnprocessableEntity},
	} {
		t.Run(title, func(t *testing.T) {
			d := newDesk(t, topic)
			a := d.post(d.fill(map[string]string{"decision": "confirm", "name": test.name, "comment": test.comment}))
			if a.status != test.status {
				t.Errorf("status %d, want %d", a.status, test.status)
			}
			if test.status == http.StatusOK {
				return
			}
			d.undecided()
			if !strings.Contains(a.html, "The name can have 100 characters and the comment 1000.") {
				t.Errorf("the page does not say the bounds:\n%s", a.html)
			}
		})
	}
}

func TestNameAndCommentAreRecordedWithoutControlCharacters(t *testing.T) {
	for title, test := range map[string]struct{ name, comment, wantName, wantComment string }{
		"escape sequences":       {"a\x1b[31m", "c\x1b[2J\x07", "a[31m", "c[2J"},
		"of the second set":      {"a\u009b31m", "c\u0085d", "a31m", "cd"},
		"zero, delete":           {"a\x00b\x7f", "c\x00\x7fd", "ab", "cd"},
		"line breaks":            {"a\r\nb\nc", "one\r\ntwo\nthree", "a b c", "one\ntwo\nthree"},
		"bytes that are no text": {"a\xff", "c\xc3\x28", "a�", "c�("},
		"other scripts":          {"Ægir Þór", "完了しました", "Ægir Þór", "完了しました"},
	} {
		t.Run(title, func(t *testing.T) {
			d := newDesk(t, topic)
			d.want(d.post(d.fill(map[string]string{"decision": "confirm", "name": test.name, "comment": test.comment})), http.StatusOK, "Thank you, Okta switches now")
			if got := d.service.decided; got.By != test.wantName || got.Comment != test.wantComment {
				t.Errorf("recorded %q, %q; want %q, %q", got.By, got.Comment, test.wantName, test.wantComment)
			}
		})
	}
}

func TestADamagedLinkSaysWhatToDo(t *testing.T) {
	d := newDesk(t)
	form := d.fill(map[string]string{"decision": "confirm"})
	for title, path := range map[string]string{
		"cut":                 "/a/" + d.link[:len(d.link)-1],
		"empty":               "/a/",
		"elsewhere":           "/",
		"a favicon":           "/favicon.ico",
		"a slash behind it":   "/a/" + d.link + "/",
		"a full stop at last": "/a/" + d.link + ".",
	} {
		t.Run(title, func(t *testing.T) {
			d.t = t
			for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost} {
				a := d.send(method, path, form.Encode())
				d.want(a, http.StatusNotFound, "This link does not work")
				if strings.Contains(a.html, "<form") || strings.Contains(a.html, "Salesforce") || !strings.Contains(a.html, "copy the whole link") {
					t.Errorf("the page:\n%s", a.html)
				}
			}
			d.undecided()
		})
	}
}

func TestAnExpiredLinkNamesTheTargetAndDecidesNothing(t *testing.T) {
	d := newDesk(t, func(c *approval.Claim) { c.Expires = start.Add(time.Hour) })
	form := d.fill(map[string]string{"decision": "confirm"})
	d.now = start.Add(time.Hour)
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost} {
		a := d.send(method, "/a/"+d.link, form.Encode())
		d.want(a, http.StatusGone, "This link has expired")
		if strings.Contains(a.html, "<form") || !strings.Contains(a.html, "The request for Salesforce is over") {
			t.Errorf("the page:\n%s", a.html)
		}
	}
	d.undecided()
}

func TestAnAnswerThatIsTooLargeIsNotRead(t *testing.T) {
	d := newDesk(t)
	a := d.post(d.fill(map[string]string{"decision": "confirm", "comment": strings.Repeat("c", 17<<10)}))
	d.want(a, http.StatusRequestEntityTooLarge, "New SAML certificate for Salesforce")
	if !strings.Contains(a.html, "too long") || !strings.Contains(a.html, "<form") {
		t.Errorf("the page:\n%s", a.html)
	}
	d.undecided()
}

func TestAFormThatCannotBeReadIsShownAgain(t *testing.T) {
	d := newDesk(t)
	a := d.send(http.MethodPost, "/a/"+d.link, d.fill(map[string]string{"decision": "confirm"}).Encode()+"&comment=%zz")
	d.want(a, http.StatusBadRequest, "New SAML certificate for Salesforce")
	if !strings.Contains(a.html, "could not be read") || !strings.Contains(a.html, "<form") {
		t.Errorf("the page:\n%s", a.html)
	}
	d.undecided()
}

func TestAnotherMethodOnlyHearsWhichOnesWork(t *testing.T) {
	d := newDesk(t)
	form := d.fill(map[string]string{"decision": "confirm"})
	for _, method := range []string{http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions, http.MethodTrace, "PROPFIND"} {
		a := d.send(method, "/a/"+d.link, form.Encode())
		d.want(a, http.StatusMethodNotAllowed, "This address only shows a page")
		if got := a.header.Get("Allow"); got != "GET, HEAD, POST" {
			t.Errorf("%s: Allow is %q", method, got)
		}
		d.undecided()
	}
}

func TestWithoutTheLinkKeyThePageAsksForPatience(t *testing.T) {
	for name, keyErr := range map[string]error{
		"Secret.Unavailable":   rotation.Errorf("Secret.Unavailable", "Secrets Manager did not give the secret arn:aws:secretsmanager:x"),
		"Credential.Malformed": rotation.Errorf("Credential.Malformed", "the link-key secret has 3 characters"),
		"":                     errors.New("dial tcp: no route to arn:aws"),
	} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			d := newDesk(t)
			form := d.fill(map[string]string{"decision": "confirm"})
			d.keyErr = keyErr
			a := d.send(method, "/a/"+d.link, form.Encode())
			d.want(a, http.StatusServiceUnavailable, "Please try again in a few minutes")
			if !strings.Contains(a.html, "Nothing was decided.") {
				t.Errorf("the page:\n%s", a.html)
			}
			d.undecided()
			if log := d.log.String(); !strings.Contains(log, `"error":"`+name+`"`) || !strings.Contains(log, "arn:aws") && !strings.Contains(log, "3 characters") {
				t.Errorf("the log does not say why: %s", log)
			}
		}
	}
}

func TestAnAnswerThatStepFunctionsDidNotTakeCanBeRepeated(t *testing.T) {
	for title, outage := range map[string]error{
		"throttled": &smithy.GenericAPIError{Code: "ThrottlingException", Message: "too many requests for " + taskToken},
		"denied":    &smithy.GenericAPIError{Code: "AccessDeniedException", Message: "arn:aws:sts::123456789012:assumed-role may not SendTaskSuccess"},
		"no answer": &smithy.OperationError{ServiceID: "SFN", OperationName: "SendTaskSuccess", Err: errors.New("dial tcp: " + taskToken)},
	} {
		t.Run(title, func(t *testing.T) {
			d := newDesk(t)
			form := d.fill(map[string]string{"decision": "confirm"})
			d.service.outage = outage
			a := d.post(form)
			d.want(a, http.StatusServiceUnavailable, "Please try again in a few minutes")
			// The answer may have arrived: "nothing was decided" could be wrong.
			if strings.Contains(a.html, "Nothing was decided") || !strings.Contains(a.html, "repeat it: it counts only once") {
				t.Errorf("the page:\n%s", a.html)
			}
			d.undecided()
			if log := d.log.String(); !strings.Contains(log, `"error":"StepFunctions.Unavailable"`) || !strings.Contains(log, "0oa1gjh63g214q0Hq0g4") {
				t.Errorf("the log does not say what happened: %s", log)
			}
			d.service.outage = nil
			d.want(d.post(form), http.StatusOK, "Thank you, Okta switches now")
		})
	}
}

func TestThePageTellsWhatToDoInWhichOrder(t *testing.T) {
	const decrypts = "Okta decrypts assertions with the same key"
	for title, test := range map[string]struct {
		claim              []func(*approval.Claim)
		says, conceals     []string
		confirmed, refused string
	}{
		"app, before the switch": {nil,
			[]string{"<dt>App</dt>", "at the partner first, then answer here", "right after you confirm"}, []string{"already signs", decrypts},
			"Thank you, Okta switches now", "Noted: nothing changes"},
		"app, after the switch": {[]func(*approval.Claim){afterSwitch},
			[]string{"<dt>App</dt>", "already signs with the new certificate", "sign-in through Okta fails"}, []string{"right after you confirm", decrypts},
			"Thank you, that was it", "Noted: Okta goes back"},
		"IdP, before the switch": {[]func(*approval.Claim){idp},
			[]string{"<dt>Identity provider</dt>", "right after you confirm", decrypts}, []string{"already signs", "<dt>App</dt>"},
			"Thank you, Okta switches now", "Noted: nothing changes"},
		"IdP, after the switch": {[]func(*approval.Claim){idp, afterSwitch},
			[]string{"<dt>Identity provider</dt>", "already signs", decrypts}, []string{"right after you confirm"},
			"Thank you, that was it", "Noted: Okta goes back"},
	} {
		t.Run(title, func(t *testing.T) {
			d := newDesk(t, test.claim...)
			a := d.get()
			for _, s := range append(test.says, "Salesforce", "0oa1gjh63g214q0Hq0g4", rotation.Fingerprint([]byte("certificate")), "Tuesday, 31 March 2026", "Friday, 2 April 2027", "Sunday, 15 March 2026") {
				if !strings.Contains(strings.ReplaceAll(a.html, "<wbr>", ""), s) {
					t.Errorf("no %q on the page:\n%s", s, a.html)
				}
			}
			for _, s := range test.conceals {
				if strings.Contains(a.html, s) {
					t.Errorf("%q does not belong on the page:\n%s", s, a.html)
				}
			}
			thanks := d.post(d.fill(map[string]string{"decision": "confirm"}))
			d.want(thanks, http.StatusOK, test.confirmed)
			d = newDesk(t, test.claim...)
			sorry := d.post(d.fill(map[string]string{"decision": "reject", "comment": "no"}))
			d.want(sorry, http.StatusOK, test.refused)
			for _, a := range []answer{thanks, sorry} {
				if !strings.Contains(a.html, "Salesforce") || strings.Contains(a.html, "<form") {
					t.Errorf("the last page:\n%s", a.html)
				}
			}
		})
	}
}

func TestWhatOthersWroteIsTextAndNeverHTML(t *testing.T) {
	const hostile = `<script>alert(1)</script>"'><img src=x onerror=alert(2)>`
	d := newDesk(t, topic, func(c *approval.Claim) {
		c.Target.Label, c.Target.ID, c.SHA256 = hostile, hostile, hostile
	})
	d2 := newDesk(t, func(c *approval.Claim) { c.Approver = hostile })
	expired := newDesk(t, func(c *approval.Claim) { c.Target.Label, c.Expires = hostile, start })
	answered := newDesk(t, func(c *approval.Claim) { c.Target.Label = hostile })
	answered.service.over = true
	for title, a := range map[string]answer{
		"labels":                     d.get(),
		"the approver":               d2.get(),
		"what was typed":             d.post(d.fill(map[string]string{"name": hostile, "comment": hostile + "</textarea>"})),
		"the label when all is over": answered.post(answered.fill(map[string]string{"decision": "confirm"})),
		"the label of what expired":  expired.get(),
	} {
		t.Run(title, func(t *testing.T) {
			if strings.Contains(a.html, "<script") || strings.Contains(a.html, "<img") || strings.Contains(a.html, `"'>`) {
				t.Errorf("it became HTML:\n%s", a.html)
			}
			if !strings.Contains(a.html, "&lt;script&gt;alert(1)&lt;/script&gt;") {
				t.Errorf("it is not shown:\n%s", a.html)
			}
		})
	}
}

func TestTheFormGoesBackToItsOwnLinkUnderAnyBase(t *testing.T) {
	d := newDesk(t)
	for _, base := range []string{"", "/keyturn", "/a"} {
		a := d.send(http.MethodGet, base+"/a/"+d.link, "")
		d.want(a, http.StatusOK, "New SAML certificate for Salesforce")
		if want := `<form method="post" action="` + d.link + `">`; !strings.Contains(a.html, want) {
			t.Errorf("no %s on the page:\n%s", want, a.html)
		}
	}
	form := d.fill(map[string]string{"decision": "confirm"})
	d.want(d.send(http.MethodPost, "/keyturn/a/"+d.link, form.Encode()), http.StatusOK, "Thank you, Okta switches now")
}

func TestTheLogSaysWhatWasDecidedAndNotByWhom(t *testing.T) {
	d := newDesk(t)
	d.post(d.fill(map[string]string{"decision": "reject", "comment": "a private reason"}))
	var line struct {
		Msg, Target string
		Confirmed   *bool
	}
	if err := json.Unmarshal(d.log.Bytes(), &line); err != nil {
		t.Fatalf("%v: %s", err, d.log.String())
	}
	if line.Msg != "decided" || line.Target != `app "0oa1gjh63g214q0Hq0g4"` || line.Confirmed == nil || *line.Confirmed {
		t.Errorf("the log has %s", d.log.String())
	}
	if strings.Contains(d.log.String(), "private reason") || strings.Contains(d.log.String(), "crm@example.com") {
		t.Errorf("the log has what people wrote: %s", d.log.String())
	}
}

func TestThePageLooksAsItDid(t *testing.T) {
	const file = "testdata/before-switch.html"
	d := newDesk(t)
	got := formToken.ReplaceAllString(strings.ReplaceAll(d.get().html, d.link, "LINK"), `<input type="hidden" name="form" value="FORM">`)
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
		t.Errorf("look at it; if it is right, run go test -update: %s", diff)
	}
}
