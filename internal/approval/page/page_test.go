package page

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	stdhtml "html"
	"log/slog"
	"mime"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"

	"keyturn/internal/approval"
	"keyturn/internal/approval/paused"
	"keyturn/internal/approval/paused/sfntest"
	"keyturn/internal/rotation"
)

const (
	executionName = "app-0oa1gjh63g214q0Hq0g4-SIMcCQNY-20260301"
	crm           = "crm@example.com"
	ourOrigin     = "https://abc.lambda-url.eu-west-1.on.aws"
)

// taskTokens look like Step Functions' own.
var (
	taskToken  = base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("token of the first message. "), 20))
	otherToken = base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("token of another message.   "), 20))
)

// desk is a page in front of a rotation that asks, and the link that was sent.
type desk struct {
	t        *testing.T
	now      time.Time
	service  *sfntest.Service
	sealer   *approval.Sealer
	keyErr   error
	keyReads int
	metadata metadataFile
	log      bytes.Buffer
	in       rotation.RequestUploadInput
	claim    approval.Claim
	link     string
	page     *Page
}

type metadataFile struct {
	err   error
	calls int
}

func (m *metadataFile) Read(_ context.Context, t rotation.Target, kid string) ([]byte, error) {
	m.calls++
	return []byte("<EntityDescriptor target='" + t.ID + "' kid='" + kid + "'/>"), m.err
}

func newDesk(t *testing.T, change ...func(*rotation.RequestUploadInput, *approval.Claim)) *desk {
	t.Helper()
	d := &desk{t: t, now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	d.service = &sfntest.Service{Execution: executionName, Now: func() time.Time { return d.now }}
	policy := rotation.DefaultSettings([]string{crm, "iam@example.com"})
	d.in = rotation.RequestUploadInput{
		TaskToken: taskToken, Stage: rotation.StageUpload, Execution: executionName,
		Target: rotation.Target{Kind: rotation.KindApp, ID: "0oa1gjh63g214q0Hq0g4", Label: "Salesforce – EMEA", Name: "salesforce"},
		Policy: policy, AnswerBy: d.now.Add(30 * rotation.Day),
		OldKey: rotation.Key{Kid: "old-kid", Issuer: "CN=old", NotAfter: d.now.Add(24 * rotation.Day), Certificate: testKey(t, "old", "", "", time.Time{}).Certificate},
		NewKey: rotation.Key{Kid: "new-kid", Issuer: "CN=Example Issuing CA", NotAfter: d.now.Add(397 * rotation.Day), Certificate: testKey(t, "new", "", "", time.Time{}).Certificate},
		Chain:  "-----BEGIN CERTIFICATE-----\nY2hhaW4=\n-----END CERTIFICATE-----\n",
	}
	d.claim = approval.Claim{TaskToken: taskToken, Stage: rotation.StageUpload, Execution: executionName, Target: d.in.Target, Approver: crm, Expires: d.in.AnswerBy}
	for _, c := range change {
		c(&d.in, &d.claim)
	}
	var err error
	if d.sealer, err = approval.NewSealer(bytes.Repeat([]byte("k"), 64)); err != nil {
		t.Fatal(err)
	}
	d.link = d.seal(d.claim)
	d.service.Ask(d.in)
	d.page, err = New(Config{
		Links: &approval.Keyring{
			Current: func(context.Context, bool) ([]byte, error) {
				d.keyReads++
				return bytes.Repeat([]byte("k"), 64), d.keyErr
			},
			Previous: func(context.Context, bool) ([]byte, error) {
				return nil, rotation.Errorf("Credential.Missing", "one version only")
			},
			Now: func() time.Time { return d.now },
		},
		Rotations: paused.Executions{StepFunctions: d.service, MachineARN: sfntest.MachineARN},
		Decider:   paused.Answer{StepFunctions: d.service},
		Metadata:  &d.metadata,
		OrgURL:    "https://example.okta.com",
		Now:       func() time.Time { return d.now },
		Log:       slog.New(slog.NewJSONHandler(&d.log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *desk) seal(c approval.Claim) string {
	d.t.Helper()
	link, err := d.sealer.Seal(c)
	if err != nil {
		d.t.Fatal(err)
	}
	return link
}

// The kinds of request that differ from an app's with an approver, before the
// switch.
func channel(_ *rotation.RequestUploadInput, c *approval.Claim) { c.Approver = "" }
func afterTheSwitch(in *rotation.RequestUploadInput, _ *approval.Claim) {
	in.Policy.UploadOrder = rotation.AfterSwitch
}
func ofAnIDP(in *rotation.RequestUploadInput, c *approval.Claim) {
	in.Target.Kind, c.Target.Kind = rotation.KindIDP, rotation.KindIDP
}
func atSignIn(in *rotation.RequestUploadInput, c *approval.Claim) {
	in.Stage, c.Stage = rotation.StageSignIn, rotation.StageSignIn
	in.Decision = &rotation.Decision{Confirmed: true, By: crm, At: time.Date(2026, 3, 1, 11, 0, 0, 0, time.UTC)}
}
func planned(in *rotation.RequestUploadInput, _ *approval.Claim) {
	at := time.Date(2026, 3, 7, 20, 0, 0, 0, time.UTC)
	in.Stage, in.TaskToken = rotation.StagePlanned, otherToken
	in.Decision = &rotation.Decision{Confirmed: true, By: crm, At: time.Date(2026, 3, 1, 11, 0, 0, 0, time.UTC), SwitchAt: &at}
}

// answer is what the page answered.
type answer struct {
	status int
	header http.Header
	body   string
}

var headingPattern = regexp.MustCompile(`(?s)<h1[^>]*>(.*?)</h1>`)

func (a answer) title() string {
	m := headingPattern.FindStringSubmatch(a.body)
	if m == nil {
		return ""
	}
	return stdhtml.UnescapeString(regexp.MustCompile(`<[^>]+>`).ReplaceAllString(m[1], ""))
}

// text is what a person reads.
func (a answer) text() string {
	a.body = regexp.MustCompile(`(?s)<(style|script|select)\b.*?</(style|script|select)>`).ReplaceAllString(a.body, "")
	a.body = strings.ReplaceAll(a.body, "<wbr>", "")
	return strings.Join(strings.Fields(stdhtml.UnescapeString(regexp.MustCompile(`<[^>]+>`).ReplaceAllString(a.body, " "))), " ")
}

// send sends a request through the Lambda adapter, as a browser's own.
func (d *desk) send(method, path, body string, headers map[string]string) answer {
	d.t.Helper()
	r := httptest.NewRequest(method, ourOrigin+path, strings.NewReader(body))
	r.RemoteAddr = "192.0.2.7"
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
		r.Header.Set("Origin", "null") // as browsers have it with no-referrer
	}
	for name, value := range headers {
		if value == "" {
			r.Header.Del(name)
			continue
		}
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	d.page.ServeHTTP(w, r)
	a := answer{status: w.Code, header: w.Header(), body: w.Body.String()}
	d.guarded(a)
	return a
}

// guarded checks what every answer must have.
func (d *desk) guarded(a answer) {
	d.t.Helper()
	for name, want := range map[string]string{
		"Cache-Control":              "no-store",
		"Referrer-Policy":            "no-referrer",
		"X-Content-Type-Options":     "nosniff",
		"X-Frame-Options":            "DENY",
		"Strict-Transport-Security":  "max-age=31536000",
		"X-Robots-Tag":               "noindex, nofollow",
		"Cross-Origin-Opener-Policy": "same-origin",
	} {
		if got := a.header.Get(name); got != want {
			d.t.Errorf("status %d: %s is %q, want %q", a.status, name, got, want)
		}
	}
	csp := a.header.Get("Content-Security-Policy")
	if strings.Contains(csp, "unsafe") || !strings.Contains(csp, "default-src 'none'") || !strings.Contains(csp, "frame-ancestors 'none'") || !strings.Contains(csp, "form-action 'self'") {
		d.t.Errorf("status %d: the content security policy is %q", a.status, csp)
	}
	for _, secret := range []string{taskToken, otherToken, taskToken[:40]} {
		if strings.Contains(a.body, secret) {
			d.t.Errorf("status %d: the page shows a task token", a.status)
		}
	}
}

func (d *desk) get() answer { return d.send(http.MethodGet, "/a/"+d.link, "", nil) }

// fill is the form that the page shows, filled in.
func (d *desk) fill(decision string, fields map[string]string) url.Values {
	d.t.Helper()
	shown := d.get()
	m := regexp.MustCompile(`<input[^>]*name="form"[^>]*>`).FindString(shown.body)
	value := regexp.MustCompile(`value="([^"]*)"`).FindStringSubmatch(m)
	if value == nil {
		d.t.Fatalf("the page %q (%d) has no form", shown.title(), shown.status)
	}
	form := url.Values{"form": {stdhtml.UnescapeString(value[1])}, "decision": {decision}}
	for name, v := range fields {
		form.Set(name, v)
	}
	return form
}

func (d *desk) post(form url.Values) answer {
	d.t.Helper()
	return d.send(http.MethodPost, "/a/"+d.link, form.Encode(), nil)
}

func (d *desk) decide(decision string, fields map[string]string) answer {
	d.t.Helper()
	return d.post(d.fill(decision, fields))
}

func (d *desk) want(a answer, status int, title string, texts ...string) {
	d.t.Helper()
	if a.status != status || a.title() != title {
		d.t.Fatalf("the page is %d %q, want %d %q: %.300s", a.status, a.title(), status, title, a.text())
	}
	for _, text := range texts {
		if !strings.Contains(a.text(), text) {
			d.t.Errorf("the page does not say %q:\n%s", text, a.text())
		}
	}
}

func (d *desk) undecided() {
	d.t.Helper()
	if got := d.service.Answers(); len(got) != 0 {
		d.t.Fatalf("it was decided: %q", got)
	}
}

// decision is the one decision that was taken.
func (d *desk) decision(kind string) rotation.Decision {
	d.t.Helper()
	got := d.service.Answers()
	if len(got) != 1 || !strings.HasPrefix(got[0], kind+" ") {
		d.t.Fatalf("the answers are %q, want one %s", got, kind)
	}
	var decision rotation.Decision
	if err := json.Unmarshal([]byte(strings.TrimPrefix(got[0], kind+" ")), &decision); err != nil {
		d.t.Fatal(err)
	}
	return decision
}

const asksForUpload = "New signing certificate for Salesforce – EMEA"

func TestOpeningALinkNeverDecides(t *testing.T) {
	d := newDesk(t)
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodGet, http.MethodHead, http.MethodPut, http.MethodDelete, http.MethodPatch, http.MethodTrace, "PROPFIND"} {
		for range 3 {
			a := d.send(method, "/a/"+d.link+"?decision=confirm", "", nil)
			switch method {
			case http.MethodGet, http.MethodHead:
				if a.status != http.StatusOK {
					t.Errorf("%s: %d", method, a.status)
				}
			default:
				d.want(a, http.StatusMethodNotAllowed, "This address only shows a page")
				if got := a.header.Get("Allow"); got != "GET, HEAD, POST" {
					t.Errorf("%s: Allow is %q", method, got)
				}
			}
		}
	}
	d.undecided()
	d.want(d.decide("confirm", nil), http.StatusOK, "Thank you, Okta switches now")
}

func TestAPostFromElsewhereNeverDecides(t *testing.T) {
	for title, headers := range map[string]map[string]string{
		"another site":                      {"Sec-Fetch-Site": "cross-site"},
		"another host of the domain":        {"Sec-Fetch-Site": "same-site"},
		"another origin, an old browser":    {"Sec-Fetch-Site": "", "Origin": "https://evil.example.com"},
		"our origin as another's beginning": {"Sec-Fetch-Site": "", "Origin": ourOrigin + ".evil.example.com"},
		"text, which needs no preflight":    {"Content-Type": "text/plain"},
		"a multipart form":                  {"Content-Type": "multipart/form-data; boundary=x"},
		"JSON":                              {"Content-Type": "application/json"},
		"no content type":                   {"Content-Type": ""},
		"a content type that is broken":     {"Content-Type": ";;;"},
	} {
		t.Run(title, func(t *testing.T) {
			d := newDesk(t)
			form := d.fill("confirm", nil)
			a := d.send(http.MethodPost, "/a/"+d.link, form.Encode(), headers)
			status := http.StatusForbidden
			if _, changed := headers["Content-Type"]; changed {
				status = http.StatusUnsupportedMediaType
			}
			d.want(a, status, "This answer did not come from our page", "Nothing was decided")
			d.undecided()
			d.want(d.post(form), http.StatusOK, "Thank you, Okta switches now")
		})
	}
}

func TestAPostOfOurOwnFormIsTaken(t *testing.T) {
	for title, headers := range map[string]map[string]string{
		"a browser of today":        nil,
		"an old browser":            {"Sec-Fetch-Site": "", "Origin": "null"},
		"an older one":              {"Sec-Fetch-Site": "", "Origin": ourOrigin},
		"a program":                 {"Sec-Fetch-Site": "", "Origin": ""},
		"with the character set":    {"Content-Type": "application/x-www-form-urlencoded; charset=UTF-8"},
		"opened by the person self": {"Sec-Fetch-Site": "none"},
	} {
		t.Run(title, func(t *testing.T) {
			d := newDesk(t)
			d.want(d.send(http.MethodPost, "/a/"+d.link, d.fill("confirm", nil).Encode(), headers), http.StatusOK, "Thank you, Okta switches now")
		})
	}
}

func TestBehindAProxyThePublicOriginIsOurs(t *testing.T) {
	d := newDesk(t)
	p, err := New(Config{Links: d.page.Links, Rotations: d.page.Rotations, Decider: d.page.Decider, PublicURL: "https://keyturn.example.com/base/", Now: d.page.Now, Log: d.page.Log})
	if err != nil {
		t.Fatal(err)
	}
	d.page = p
	form := d.fill("confirm", nil)
	headers := map[string]string{"Sec-Fetch-Site": "", "Origin": "https://keyturn.example.org"}
	d.want(d.send(http.MethodPost, "/a/"+d.link, form.Encode(), headers), http.StatusForbidden, "This answer did not come from our page")
	headers["Origin"] = "https://keyturn.example.com"
	d.want(d.send(http.MethodPost, "/base/a/"+d.link, form.Encode(), headers), http.StatusOK, "Thank you, Okta switches now")
	if _, err := New(Config{PublicURL: "nonsense"}); rotation.NameOf(err) != "Config.Invalid" {
		t.Errorf("a public URL that is none: %v", err)
	}
}

func TestAPostWithoutThePagesFormNeverDecides(t *testing.T) {
	d := newDesk(t)
	good := d.fill("confirm", nil).Get("form")
	other := d.seal(d.claim)
	for title, form := range map[string]string{
		"none":                  "",
		"of another link":       d.sealer.FormToken(other, d.in.TaskToken, d.now),
		"altered":               good[:len(good)-3] + "AAA",
		"cut":                   good[:20],
		"twelve hours old":      d.sealer.FormToken(d.link, d.in.TaskToken, d.now.Add(-12*time.Hour)),
		"the link in its place": d.link,
	} {
		t.Run(title, func(t *testing.T) {
			d.t = t
			a := d.post(url.Values{"form": {form}, "decision": {"confirm"}, "comment": {"typed by hand"}})
			d.want(a, http.StatusForbidden, asksForUpload, "Nothing was decided", "typed by hand")
			d.undecided()
		})
	}
	d.t = t
	d.want(d.post(url.Values{"form": {good}, "decision": {"confirm"}}), http.StatusOK, "Thank you, Okta switches now")
}

func TestAnAnswerThatIsTooLargeIsNotRead(t *testing.T) {
	d := newDesk(t)
	form := d.fill("confirm", map[string]string{"comment": strings.Repeat("x", 1<<20)})
	d.want(d.post(form), http.StatusRequestEntityTooLarge, asksForUpload, "too long", "Nothing was decided")
	a := d.send(http.MethodPost, "/a/"+d.link, "form=%zz", nil)
	d.want(a, http.StatusBadRequest, asksForUpload, "Nothing was decided")
	d.undecided()
}

func TestAConfirmationIsRecordedWithPersonTimeCommentAndAddress(t *testing.T) {
	d := newDesk(t)
	a := d.decide("confirm", map[string]string{"comment": "  beside the old one\r\nCHG0031\x00 ", "name": "somebody else"})
	d.want(a, http.StatusOK, "Thank you, Okta switches now", "crm@example.com")
	want := rotation.Decision{Confirmed: true, By: crm, At: d.now, Comment: "beside the old one\nCHG0031", Address: "192.0.2.7"}
	if diff := cmp.Diff(want, d.decision("success")); diff != "" {
		t.Error(diff)
	}
}

func TestARejectionNeedsAReason(t *testing.T) {
	d := newDesk(t)
	d.want(d.decide("reject", map[string]string{"comment": " \n "}), http.StatusUnprocessableEntity, asksForUpload, "say why", "Nothing was decided")
	d.undecided()
	d.want(d.decide("reject", map[string]string{"comment": "no access"}), http.StatusOK, "Noted: nothing changes in Okta")
	got := d.decision("failure Approval.Rejected")
	if got.Confirmed || got.Comment != "no access" || got.By != crm {
		t.Errorf("%+v", got)
	}
}

func TestAChannelsLinkAsksForTheName(t *testing.T) {
	d := newDesk(t, channel)
	d.want(d.decide("confirm", nil), http.StatusUnprocessableEntity, asksForUpload, "give your name")
	d.want(d.decide("confirm", map[string]string{"name": strings.Repeat("n", 101)}), http.StatusUnprocessableEntity, asksForUpload, "100 characters")
	d.undecided()
	d.want(d.decide("confirm", map[string]string{"name": " the CRM\r\n team "}), http.StatusOK, "Thank you, Okta switches now")
	if got := d.decision("success"); got.By != "the CRM team" || !got.Named {
		t.Errorf("decided by %q", got.By)
	}
}

func TestOnlyWhatThePageOffersIsAnAnswer(t *testing.T) {
	for title, c := range map[string]struct {
		change  []func(*rotation.RequestUploadInput, *approval.Claim)
		refused []string
	}{
		"upload":           {nil, []string{"", "yes", "call-off", "works", "roll-back", "CONFIRM"}},
		"after the switch": {[]func(*rotation.RequestUploadInput, *approval.Claim){afterTheSwitch}, []string{"plan", "works"}},
		"sign-in":          {[]func(*rotation.RequestUploadInput, *approval.Claim){atSignIn}, []string{"confirm", "reject", "plan", "call-off"}},
	} {
		t.Run(title, func(t *testing.T) {
			d := newDesk(t, c.change...)
			for _, decision := range c.refused {
				a := d.decide(decision, map[string]string{"comment": "x", "date": "2026-03-07", "time": "21:00", "zone": "UTC"})
				if a.status != http.StatusUnprocessableEntity || !strings.Contains(a.text(), "choose one of the answers") {
					t.Errorf("%q: %d %s", decision, a.status, a.title())
				}
			}
			d.undecided()
		})
	}
}

func TestACommentHasBounds(t *testing.T) {
	d := newDesk(t)
	d.want(d.decide("confirm", map[string]string{"comment": strings.Repeat("ü", 1001)}), http.StatusUnprocessableEntity, asksForUpload, "1000")
	d.undecided()
	d.want(d.decide("confirm", map[string]string{"comment": strings.Repeat("ü", 1000)}), http.StatusOK, "Thank you, Okta switches now")
}

func TestASwitchIsPlannedInTheApproversTimeZone(t *testing.T) {
	for _, c := range []struct {
		date, clock, zone, want string
	}{
		{"2026-03-07", "21:00", "Europe/Zurich", "2026-03-07T20:00:00Z"},
		{"2026-03-07", "21:00", "UTC", "2026-03-07T21:00:00Z"},
		{"2026-03-08", "12:00", "America/New_York", "2026-03-08T16:00:00Z"}, // summer time began that night
		{"2026-03-07", "12:00", "America/New_York", "2026-03-07T17:00:00Z"},
		{"2026-03-02", "00:30", "Asia/Kolkata", "2026-03-01T19:00:00Z"},
	} {
		d := newDesk(t)
		a := d.decide("plan", map[string]string{"date": c.date, "time": c.clock, "zone": c.zone, "comment": "after hours"})
		d.want(a, http.StatusOK, "Thank you, the switch is planned", "call it off")
		got := d.decision("success")
		if !got.Confirmed || got.SwitchAt == nil || got.SwitchAt.Format(time.RFC3339) != c.want {
			t.Errorf("%+v: %+v", c, got)
		}
	}
}

func TestAPlanThatCannotBeMadeSaysWhy(t *testing.T) {
	for title, c := range map[string]struct{ date, clock, zone, problem string }{
		"no date":                        {"", "21:00", "UTC", "give the date and the time"},
		"no time":                        {"2026-03-07", "", "UTC", "give the date and the time"},
		"no zone":                        {"2026-03-07", "21:00", "", "choose the time zone"},
		"a zone that is none":            {"2026-03-07", "21:00", "Mars/Olympus", "choose the time zone"},
		"the server's zone":              {"2026-03-07", "21:00", "Local", "choose the time zone"},
		"a path":                         {"2026-03-07", "21:00", "../../etc/passwd", "choose the time zone"},
		"an hour that summer time skips": {"2026-03-08", "02:30", "America/New_York", "clocks are put forward"},
		"a date that is none":            {"2026-02-30", "21:00", "UTC", "has to be written as"},
		"past":                           {"2026-02-28", "21:00", "UTC", "can be planned from"},
		"now":                            {"2026-03-01", "12:01", "UTC", "can be planned from"},
		"behind the old one's expiry":    {"2026-03-26", "12:00", "UTC", "to Wednesday, 25 March 2026, 12:00 UTC"},
		"a time zone makes it too late":  {"2026-03-25", "10:00", "America/New_York", "can be planned from"},
	} {
		t.Run(title, func(t *testing.T) {
			d := newDesk(t)
			d.want(d.decide("plan", map[string]string{"date": c.date, "time": c.clock, "zone": c.zone}), http.StatusUnprocessableEntity, asksForUpload, c.problem, "Nothing was decided")
			d.undecided()
		})
	}
	t.Run("behind the end of the wait", func(t *testing.T) {
		d := newDesk(t, func(in *rotation.RequestUploadInput, _ *approval.Claim) {
			in.AnswerBy = in.AnswerBy.Add(-20 * rotation.Day)
		})
		d.want(d.decide("plan", map[string]string{"date": "2026-03-12", "time": "12:00", "zone": "UTC"}), http.StatusUnprocessableEntity, asksForUpload, "to Wednesday, 11 March 2026")
		d.undecided()
	})
}

func TestThePlanIsShownAndCanBeCalledOffByTheLinkThatMadeIt(t *testing.T) {
	d := newDesk(t, planned)
	if d.in.TaskToken == d.claim.TaskToken {
		t.Fatal("the link is that of the plan's own message, so this shows nothing")
	}
	a := d.get()
	if a.status != http.StatusOK || !strings.Contains(a.text(), "Saturday, 7 March 2026, 20:00 UTC") || !strings.Contains(a.text(), crm) {
		t.Errorf("%d %s", a.status, a.text())
	}
	d.want(d.decide("call-off", map[string]string{"comment": "wrong week"}), http.StatusOK, "The plan is called off")
	got := d.decision("success")
	if !got.CalledOff || got.Confirmed || got.SwitchAt == nil || got.Comment != "wrong week" {
		t.Errorf("%+v", got)
	}
}

func TestAPageThatWasOpenWhileSomebodyPlannedSaysSo(t *testing.T) {
	d := newDesk(t)
	forms := map[string]url.Values{}
	for _, decision := range []string{"confirm", "reject", "plan", "call-off"} {
		forms[decision] = d.fill(decision, map[string]string{"comment": "typed before", "date": "2026-03-05", "time": "12:00", "zone": "UTC"})
	}
	at := d.now.Add(6 * rotation.Day)
	plan := rotation.Decision{Confirmed: true, By: "iam@example.com", At: d.now, SwitchAt: &at}
	if err := d.page.Decider.Decide(t.Context(), taskToken, plan); err != nil {
		t.Fatal(err)
	}
	next := d.in
	next.TaskToken, next.Stage, next.Decision = otherToken, rotation.StagePlanned, &plan
	d.service.Ask(next)
	for decision, form := range forms {
		a := d.post(form)
		if a.status != http.StatusConflict || !strings.Contains(a.text(), "iam@example.com planned the switch for Saturday, 7 March 2026, 12:00 UTC") {
			t.Errorf("%s: %d %.200s", decision, a.status, a.text())
		}
	}
	// One plan's form does not call off the next plan.
	old := d.fill("call-off", nil)
	if err := d.page.Decider.Decide(t.Context(), otherToken, rotation.Decision{CalledOff: true, By: crm, At: d.now}); err != nil {
		t.Fatal(err)
	}
	again := next
	again.TaskToken = otherToken[:len(otherToken)-8] + "AAAAAAA="
	d.service.Ask(again)
	if a := d.post(old); a.status != http.StatusConflict {
		t.Errorf("the form of another plan: %d", a.status)
	}
	if n := len(d.service.Answers()); n != 2 {
		t.Errorf("%d answers were taken, want the plan and its call-off", n)
	}
}

func TestTheLoserOfARaceIsNotSentLookingForAnotherMessage(t *testing.T) {
	d := newDesk(t)
	form := d.fill("confirm", nil)
	d.page.Decider = refusing{&types.TaskTimedOut{}}
	d.want(d.post(form), http.StatusConflict, "This request is answered already", "An answer has arrived, perhaps your own")
}

func TestAnAnswerWhoseAcknowledgementWasLostIsTakenAsWhatItWas(t *testing.T) {
	d := newDesk(t)
	d.page.Decider = losing{d.page.Decider}
	d.want(d.decide("confirm", map[string]string{"comment": "once"}), http.StatusOK, "Thank you, Okta switches now")
	if n := len(d.service.Answers()); n != 1 {
		t.Errorf("%d answers were taken", n)
	}
	// Somebody else's answer is not taken for one's own.
	d = newDesk(t)
	form := d.fill("confirm", map[string]string{"comment": "mine"})
	if err := d.page.Decider.Decide(t.Context(), taskToken, rotation.Decision{Confirmed: true, By: "iam@example.com", At: d.now, Comment: "mine", Address: "192.0.2.7"}); err != nil {
		t.Fatal(err)
	}
	d.page.Rotations = stale{d.page.Rotations, d.in}
	d.want(d.post(form), http.StatusConflict, "This request is answered already", "iam@example.com")
}

// losing is a Decider whose first attempt takes effect and loses its answer, so
// that the client's second one hears that the token is over.
type losing struct{ Decider }

func (l losing) Decide(ctx context.Context, token string, d rotation.Decision) error {
	if err := l.Decider.Decide(ctx, token, d); err != nil {
		return err
	}
	return l.Decider.Decide(ctx, token, d)
}

// stale shows a rotation as it was before the answer, once.
type stale struct {
	Rotations
	in rotation.RequestUploadInput
}

func (s stale) Progress(ctx context.Context, execution string) (paused.Progress, error) {
	p, err := s.Rotations.Progress(ctx, execution)
	if err == nil && p.Last != nil {
		p.Asking = &s.in
	}
	return p, err
}

func TestSignInIsConfirmedOrRolledBack(t *testing.T) {
	d := newDesk(t, atSignIn)
	d.want(d.decide("works", nil), http.StatusOK, "Thank you, that was it")
	if !d.decision("success").Confirmed {
		t.Error("not confirmed")
	}
	d = newDesk(t, atSignIn)
	d.want(d.decide("roll-back", nil), http.StatusUnprocessableEntity, d.get().title(), "say why")
	d.want(d.decide("roll-back", map[string]string{"comment": "users get an error"}), http.StatusOK, "Noted: Okta goes back")
	if got := d.decision("failure Approval.Rejected"); got.Confirmed || got.Comment != "users get an error" {
		t.Errorf("%+v", got)
	}
}

func TestOfTwoDecisionsAtOnceOneWinsAndTheOtherPersonIsTold(t *testing.T) {
	for range 20 {
		d := newDesk(t)
		second := d.claim
		second.Approver = "iam@example.com"
		links := []string{d.link, d.seal(second)}
		forms := []string{}
		for i, link := range links {
			decision := []string{"confirm", "reject"}[i]
			forms = append(forms, url.Values{"form": {d.sealer.FormToken(link, d.in.TaskToken, d.now)}, "decision": {decision}, "comment": {"so it is"}}.Encode())
		}
		answers := make([]answer, 2)
		var wait sync.WaitGroup
		for i := range links {
			wait.Go(func() { answers[i] = d.send(http.MethodPost, "/a/"+links[i], forms[i], nil) })
		}
		wait.Wait()
		won, lost := answers[0], answers[1]
		winner := crm
		if won.status != http.StatusOK {
			won, lost, winner = lost, won, "iam@example.com"
		}
		if won.status != http.StatusOK || lost.status != http.StatusConflict || len(d.service.Answers()) != 1 {
			t.Fatalf("the pages are %d and %d, the answers %q", won.status, lost.status, d.service.Answers())
		}
		d.want(lost, http.StatusConflict, "This request is answered already", winner, "Sunday, 1 March 2026, 12:00 UTC")
	}
}

func TestALinkThatWasUsedSaysByWhomAndWhen(t *testing.T) {
	d := newDesk(t)
	form := d.fill("confirm", nil)
	d.want(d.post(form), http.StatusOK, "Thank you, Okta switches now")
	d.want(d.post(form), http.StatusConflict, "This request is answered already", crm, "Sunday, 1 March 2026, 12:00 UTC")
	d.want(d.get(), http.StatusGone, "This request is answered already", crm)
	d.service.Step("UpdateKeyCredential", `{"Payload":{"activeKid":"new-kid"}}`)
	d.want(d.get(), http.StatusGone, "This request is answered already", "carrying the answer out")
	d.service.End("Completed", `{"result":"Completed","decision":{"confirmed":true,"by":"`+crm+`","at":"2026-03-01T12:00:00Z"}}`)
	d.want(d.get(), http.StatusGone, "This request is answered already", crm, "Okta uses the new certificate")
	if n := len(d.service.Answers()); n != 1 {
		t.Errorf("%d answers", n)
	}
}

func TestALinkAboutTheSignInShowsNoAnswerAboutTheUpload(t *testing.T) {
	const silence = "Nobody said whether sign-in works."
	ends := func(result, report string) func(d *desk) {
		return func(d *desk) {
			d.service.TimeOut()
			d.service.Choose("SignInSilence")
			d.service.End(result, report)
		}
	}
	for name, c := range map[string]struct {
		happens func(d *desk)
		title   string
		texts   []string
		silent  bool
	}{
		"silence keeps the new key": {ends("Completed", `{"result":"Completed"}`), "The rotation has ended", []string{"Okta uses the new certificate."}, true},
		"silence rolls back":        {ends("RolledBack", `{"result":"RolledBack"}`), "The rotation has ended", []string{"Okta uses the old certificate again."}, true},
		"the way back failed":       {ends("Failed", `{"result":"Failed"}`), "The rotation has ended", []string{"It failed."}, true},
		"stopped":                   {func(d *desk) { d.service.End("Aborted", "") }, "The rotation has ended", []string{"It was stopped"}, true},
		"silence, at work":          {func(d *desk) { d.service.TimeOut() }, "Keyturn is at work", nil, false},
		"asked again": {func(d *desk) {
			in := d.in
			in.TaskToken = "a token of the second attempt"
			d.service.Fail("Lambda.Unknown", &in)
		}, "A newer link was sent", nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			d.decide("confirm", nil)
			d.in.TaskToken, d.in.Stage = otherToken, rotation.StageSignIn
			d.service.Ask(d.in)
			d.claim.TaskToken, d.claim.Stage, d.claim.Approver = otherToken, rotation.StageSignIn, "iam@example.com"
			d.link = d.seal(d.claim)
			c.happens(d)
			a := d.get()
			d.want(a, http.StatusGone, c.title, c.texts...)
			if strings.Contains(a.text(), "Answered by") || strings.Contains(a.text(), crm) {
				t.Errorf("the page shows the answer about the upload:\n%s", a.text())
			}
			if strings.Contains(a.text(), silence) != c.silent {
				t.Errorf("the page says of the silence:\n%s", a.text())
			}
		})
	}
	for name, c := range map[string]struct {
		decision rotation.Decision
		result   string
		said     string
	}{
		"it works":    {rotation.Decision{Confirmed: true}, "Completed", "confirmed"},
		"it does not": {rotation.Decision{Comment: "signature invalid"}, "RolledBack", "declined"},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			d.decide("confirm", nil)
			d.in.TaskToken, d.in.Stage = otherToken, rotation.StageSignIn
			d.service.Ask(d.in)
			d.claim.TaskToken, d.claim.Stage = otherToken, rotation.StageSignIn
			d.link = d.seal(d.claim)
			c.decision.By, c.decision.At = "iam@example.com", d.now
			if err := d.page.Decider.Decide(t.Context(), otherToken, c.decision); err != nil {
				t.Fatal(err)
			}
			d.service.End(c.result, `{"result":"`+c.result+`"}`)
			a := d.get()
			d.want(a, http.StatusGone, "This request is answered already", "Answered by iam@example.com", "The answer "+c.said)
			if strings.Contains(a.text(), silence) {
				t.Errorf("the page says that nobody answered:\n%s", a.text())
			}
		})
	}
}

func TestEveryOtherStateHasItsPage(t *testing.T) {
	newer := func(d *desk) {
		in := d.in
		in.TaskToken, in.Round = otherToken, 1
		d.service.TimeOut()
		d.service.Choose("NextMessage")
		d.now = d.now.Add(3 * rotation.Day)
		d.service.Ask(in)
	}
	for name, c := range map[string]struct {
		happens func(d *desk)
		status  int
		title   string
		texts   []string
	}{
		"a newer link was sent": {newer, http.StatusGone, "A newer link was sent", []string{"Wednesday, 4 March 2026, 12:00 UTC", "Salesforce"}},
		"expired":               {func(d *desk) { d.now = d.claim.Expires }, http.StatusGone, "This link has expired", []string{"Salesforce"}},
		"nobody answered":       {func(d *desk) { d.service.TimeOut(); d.service.End("GaveUp", `{"result":"GaveUp"}`) }, http.StatusGone, "The rotation has ended", []string{"Nothing was changed"}},
		"rolled back":           {func(d *desk) { d.service.TimeOut(); d.service.End("RolledBack", `{"result":"RolledBack"}`) }, http.StatusGone, "The rotation has ended", []string{"the old certificate again"}},
		"failed":                {func(d *desk) { d.service.TimeOut(); d.service.End("Failed", `{"result":"Failed"}`) }, http.StatusGone, "The rotation has ended", []string{"It failed"}},
		"stopped":               {func(d *desk) { d.service.End("Aborted", "") }, http.StatusGone, "The rotation has ended", []string{"was stopped"}},
		"called off, and then silence": {func(d *desk) {
			at := d.now.Add(7 * rotation.Day)
			if err := d.page.Decider.Decide(d.t.Context(), taskToken, rotation.Decision{Confirmed: true, By: crm, At: d.now, SwitchAt: &at}); err != nil {
				d.t.Fatal(err)
			}
			in := d.in
			in.TaskToken, in.Stage = otherToken, rotation.StagePlanned
			d.service.Ask(in)
			if err := d.page.Decider.Decide(d.t.Context(), otherToken, rotation.Decision{CalledOff: true, By: crm, At: d.now}); err != nil {
				d.t.Fatal(err)
			}
			d.service.End("GaveUp", `{"result":"GaveUp"}`)
		}, http.StatusGone, "The rotation has ended", []string{"Nothing was changed", "called off"}},
		"a plan that nobody could be told of": {func(d *desk) {
			at := d.now.Add(7 * rotation.Day)
			if err := d.page.Decider.Decide(d.t.Context(), taskToken, rotation.Decision{Confirmed: true, By: crm, At: d.now, SwitchAt: &at}); err != nil {
				d.t.Fatal(err)
			}
			in := d.in
			in.TaskToken, in.Stage = otherToken, rotation.StagePlanned
			d.service.Ask(in)
			d.service.Fail("Notify.Refused", nil)
			d.service.Choose("PlanStands")
		}, http.StatusGone, "The switch is planned", []string{"Sunday, 8 March 2026, 12:00 UTC"}},
		"between messages":  {func(d *desk) { d.service.TimeOut() }, http.StatusGone, "Keyturn is at work", nil},
		"forgotten":         {func(d *desk) { d.service.Execution = "another" }, http.StatusGone, "This rotation ended long ago", nil},
		"no link-key":       {func(d *desk) { d.keyErr = rotation.Errorf("Secret.Denied", "the function may not read arn:aws:secret") }, http.StatusServiceUnavailable, "Please try again in a few minutes", []string{"Nothing was decided"}},
		"no Step Functions": {func(d *desk) { d.service.Outage = errors.New("dial tcp 10.0.0.1: " + taskToken) }, http.StatusServiceUnavailable, "Please try again in a few minutes", []string{"Nothing was decided"}},
		"sign-in is asked now": {func(d *desk) {
			d.decide("confirm", nil)
			in := d.in
			in.TaskToken, in.Stage = otherToken, rotation.StageSignIn
			d.service.Ask(in)
		}, http.StatusGone, "This request is answered already", []string{crm, "asks whether sign-in works"}},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			c.happens(d)
			a := d.get()
			d.want(a, c.status, c.title, c.texts...)
			if strings.Contains(a.body, "<form") || strings.Contains(a.body, "arn:") || strings.Contains(a.body, "dial tcp") {
				t.Errorf("the page has a form, or internals:\n%s", a.text())
			}
			if strings.Contains(d.log.String(), taskToken) {
				t.Errorf("the log has the token: %s", d.log.String())
			}
			// A form that was open meanwhile decides nothing, and is told the same.
			if c.status == http.StatusGone && name != "sign-in is asked now" {
				before := len(d.service.Answers())
				a := d.send(http.MethodPost, "/a/"+d.link, url.Values{"form": {d.sealer.FormToken(d.link, d.in.TaskToken, d.now)}, "decision": {"confirm"}}.Encode(), nil)
				if (a.status != http.StatusConflict && a.status != http.StatusGone) || a.title() != c.title || len(d.service.Answers()) != before {
					t.Errorf("a POST gets %d %q, answers %q", a.status, a.title(), d.service.Answers())
				}
			}
		})
	}
}

func TestALinkThatIsNoneSaysWhatToDoAndCostsNothing(t *testing.T) {
	d := newDesk(t)
	for _, path := range []string{"/", "/a/", "/a", "/favicon.ico", "/a/x", "/a/" + d.link[:len(d.link)-1], "/a/" + d.link + "A", "/A/" + d.link, "/a/" + strings.ToLower(d.link), "/a//" + d.link, "/a/" + d.link + "/", "/robots.txt", "/a/%00"} {
		calls, reads := d.service.Calls(), d.keyReads
		a := d.send(http.MethodGet, path, "", nil)
		d.want(a, http.StatusNotFound, "This link does not work", "copy the whole link")
		if d.service.Calls() != calls || d.metadata.calls != 0 || d.keyReads > reads+1 {
			t.Errorf("%s: %d calls of Step Functions, %d of Okta, %d readings of the key", path, d.service.Calls()-calls, d.metadata.calls, d.keyReads-reads)
		}
		d.now = d.now.Add(2 * time.Minute)
	}
	for i := range d.link {
		altered := []byte(d.link)
		altered[i] = "AB"[btoi(altered[i] == 'A')]
		if a := d.send(http.MethodGet, "/a/"+string(altered), "", nil); a.status != http.StatusNotFound && a.status != http.StatusTooManyRequests {
			t.Fatalf("the link altered at %d: %d", i, a.status)
		}
		d.now = d.now.Add(time.Minute)
	}
	if d.service.Calls() != 0 {
		t.Errorf("%d calls of Step Functions for links that are none", d.service.Calls())
	}
	d.undecided()
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func TestWhoGuessesLinksIsSlowedDownAndNobodyElse(t *testing.T) {
	d := newDesk(t)
	for range noLinksPerMinute {
		d.want(d.send(http.MethodGet, "/a/guess", "", nil), http.StatusNotFound, "This link does not work")
	}
	last := d.send(http.MethodGet, "/a/guess", "", nil)
	d.want(last, http.StatusTooManyRequests, "Too many requests", "Nothing was decided")
	if last.header.Get("Retry-After") != "60" {
		t.Errorf("Retry-After is %q", last.header.Get("Retry-After"))
	}
	d.want(d.decide("confirm", nil), http.StatusOK, "Thank you, Okta switches now")
	d.now = d.now.Add(time.Minute)
	d.want(d.send(http.MethodGet, "/a/guess", "", nil), http.StatusNotFound, "This link does not work")
}

func TestALinkThatIsUsedWithoutEndIsSlowedDown(t *testing.T) {
	d := newDesk(t)
	for range visitsPerMinute {
		d.want(d.get(), http.StatusOK, asksForUpload)
	}
	calls := d.service.Calls()
	d.want(d.get(), http.StatusTooManyRequests, "Too many requests")
	if d.service.Calls() != calls {
		t.Error("Step Functions was asked all the same")
	}
	second := d.claim
	second.Approver = "iam@example.com"
	if a := d.send(http.MethodGet, "/a/"+d.seal(second), "", nil); a.status != http.StatusOK {
		t.Errorf("another approver is kept out: %d", a.status)
	}
	d.now = d.now.Add(time.Minute)
	d.want(d.get(), http.StatusOK, asksForUpload)
}

func TestStepFunctionsMayRefuseForAMoment(t *testing.T) {
	for title, c := range map[string]struct {
		outage error
		status int
		title  string
	}{
		"throttled": {&smithy.GenericAPIError{Code: "ThrottlingException", Message: taskToken}, http.StatusTooManyRequests, "Too many requests"},
		"denied":    {&smithy.GenericAPIError{Code: "AccessDeniedException", Message: "arn:aws:sts::123456789012:assumed-role"}, http.StatusServiceUnavailable, "Please try again in a few minutes"},
		"no answer": {&smithy.OperationError{ServiceID: "SFN", OperationName: "SendTaskSuccess", Err: errors.New("dial tcp: " + taskToken)}, http.StatusServiceUnavailable, "Please try again in a few minutes"},
	} {
		t.Run(title, func(t *testing.T) {
			d := newDesk(t)
			form := d.fill("confirm", nil)
			d.page.Decider = refusing{c.outage}
			a := d.post(form)
			d.want(a, c.status, c.title)
			d.undecided()
			if log := d.log.String(); !strings.Contains(log, "StepFunctions.") || strings.Contains(log, taskToken) {
				t.Errorf("the log: %s", log)
			}
			d.page.Decider = paused.Answer{StepFunctions: d.service}
			d.want(d.post(form), http.StatusOK, "Thank you, Okta switches now")
		})
	}
}

type refusing struct{ err error }

func (r refusing) Decide(ctx context.Context, token string, d rotation.Decision) error {
	return paused.Answer{StepFunctions: &sfntest.Service{Outage: r.err}}.Decide(ctx, token, d)
}

func TestTheDownloadsAreTheCertificateInEveryForm(t *testing.T) {
	d := newDesk(t)
	der, err := base64.StdEncoding.DecodeString(d.in.NewKey.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]struct{ name, kind, content string }{
		"certificate.pem": {"salesforce-emea-okta-2027-04-02.pem", "application/x-pem-file", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))},
		"certificate.cer": {"salesforce-emea-okta-2027-04-02.cer", "application/pkix-cert", string(der)},
		"chain.pem":       {"salesforce-emea-okta-2027-04-02-chain.pem", "application/x-pem-file", d.in.Chain},
		"metadata.xml":    {"salesforce-emea-okta-2027-04-02-metadata.xml", "application/samlmetadata+xml", "<EntityDescriptor target='0oa1gjh63g214q0Hq0g4' kid='new-kid'/>"},
	} {
		a := d.send(http.MethodGet, "/a/"+d.link+"/"+file, "", nil)
		disposition, parameters, err := mime.ParseMediaType(a.header.Get("Content-Disposition"))
		if err != nil || a.status != http.StatusOK || disposition != "attachment" || parameters["filename"] != want.name || a.header.Get("Content-Type") != want.kind || a.body != want.content {
			t.Errorf("%s: %d %v %q", file, a.status, a.header, a.body)
		}
		if !strings.Contains(d.get().body, d.link+"/"+file) {
			t.Errorf("the page does not offer %s", file)
		}
	}
	if d.metadata.calls != 1 {
		t.Errorf("%d calls of Okta, want that for the metadata", d.metadata.calls)
	}
	d.undecided()
}

func TestADownloadThatIsNotThereSaysSo(t *testing.T) {
	d := newDesk(t, ofAnIDP, func(in *rotation.RequestUploadInput, _ *approval.Claim) { in.Chain = "" })
	for _, file := range []string{"chain.pem", "metadata.xml", "key.pem", "../x", "certificate.pem/x"} {
		d.want(d.send(http.MethodGet, "/a/"+d.link+"/"+file, "", nil), http.StatusNotFound, "There is no such download")
	}
	if page := d.get().body; strings.Contains(page, "chain.pem") || strings.Contains(page, "metadata.xml") {
		t.Error("the page offers what is not there")
	}
	d.want(d.send(http.MethodPost, "/a/"+d.link+"/certificate.pem", "", nil), http.StatusMethodNotAllowed, "This address only shows a page")
	d.service.TimeOut()
	d.service.End("GaveUp", `{"result":"GaveUp"}`)
	d.want(d.send(http.MethodGet, "/a/"+d.link+"/certificate.pem", "", nil), http.StatusGone, "The rotation has ended")
}

func TestTheMetadataCostsOktaLittle(t *testing.T) {
	d := newDesk(t)
	for range 50 {
		d.send(http.MethodHead, "/a/"+d.link+"/metadata.xml", "", nil)
	}
	if d.metadata.calls != 0 {
		t.Errorf("HEAD made %d calls of Okta", d.metadata.calls)
	}
	var last answer
	for range 50 {
		last = d.send(http.MethodGet, "/a/"+d.link+"/metadata.xml", "", nil)
	}
	d.want(last, http.StatusTooManyRequests, "Too many requests")
	if d.metadata.calls != metadataPerMinute {
		t.Errorf("%d calls of Okta in a minute, want %d", d.metadata.calls, metadataPerMinute)
	}
	d.want(d.get(), http.StatusOK, asksForUpload)
}

func TestWithoutOktaOnlyTheMetadataIsMissing(t *testing.T) {
	d := newDesk(t)
	d.metadata.err = rotation.Errorf("Okta.Unavailable", "could not read: HTTP 503")
	a := d.send(http.MethodGet, "/a/"+d.link+"/metadata.xml", "", nil)
	d.want(a, http.StatusServiceUnavailable, "Okta cannot be reached just now", "Nothing was decided")
	if strings.Contains(a.body, "HTTP 503") {
		t.Error("the page shows internals")
	}
	d.want(d.get(), http.StatusOK, asksForUpload)
	d.want(d.decide("confirm", nil), http.StatusOK, "Thank you, Okta switches now")
}

func TestWhatOthersWroteIsTextAndNeverHTML(t *testing.T) {
	const hostile = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>\u202egnp.exe\u0000\x1b[31m"
	everywhere := func(in *rotation.RequestUploadInput, c *approval.Claim) {
		in.Target.Label, in.Target.Name, in.NewKey.Issuer, in.OldKey.Issuer, in.NewKey.Subject = hostile, hostile, hostile, hostile, hostile
		in.Policy.Approvers = []string{hostile}
		in.SharedWith = []rotation.Target{{Kind: rotation.KindApp, ID: "0oa2", Label: hostile}}
		c.Target.Label = hostile
	}
	d := newDesk(t, everywhere, channel)
	answers := []answer{d.get(), d.decide("plan", map[string]string{"name": hostile, "comment": hostile + "</textarea>", "date": hostile, "time": hostile, "zone": hostile})}
	answers = append(answers, d.decide("confirm", map[string]string{"name": hostile, "comment": hostile}), d.get())
	p := newDesk(t, everywhere, planned, func(in *rotation.RequestUploadInput, _ *approval.Claim) {
		in.Decision.By, in.Decision.Comment = hostile, hostile
	})
	answers = append(answers, p.get())
	e := newDesk(t, everywhere)
	e.now = e.claim.Expires
	answers = append(answers, e.get())
	for i, a := range answers {
		if strings.Contains(a.body, "<script>alert") || strings.Contains(a.body, "<img") || strings.Contains(a.body, `"'>`) {
			t.Errorf("page %d: it became HTML", i)
		}
		if strings.ContainsAny(a.body, "\u202e\u0000\x1b") {
			t.Errorf("page %d has control characters", i)
		}
		if a.header.Get("Content-Type") != "text/html; charset=utf-8" {
			t.Errorf("page %d: %s", i, a.header.Get("Content-Type"))
		}
	}
	f := newDesk(t, everywhere)
	if a := f.send(http.MethodGet, "/a/"+f.link+"/certificate.pem", "", nil); strings.ContainsAny(a.header.Get("Content-Disposition"), "<>\r\n\u202e") {
		t.Errorf("the file's name: %q", a.header.Get("Content-Disposition"))
	}
}

func TestTheLogSaysWhatWasDecidedAndNotByWhom(t *testing.T) {
	d := newDesk(t)
	d.decide("reject", map[string]string{"comment": "private reason"})
	var line struct {
		Msg, Target, Stage string
		Confirmed          *bool
	}
	if err := json.Unmarshal(d.log.Bytes(), &line); err != nil {
		t.Fatalf("%v: %s", err, d.log.String())
	}
	if line.Msg != "decided" || line.Target != `app "0oa1gjh63g214q0Hq0g4"` || line.Stage != "upload" || line.Confirmed == nil || *line.Confirmed {
		t.Errorf("the log has %s", d.log.String())
	}
	for _, secret := range []string{"private reason", crm, taskToken, d.link} {
		if strings.Contains(d.log.String(), secret) {
			t.Errorf("the log has %q", secret)
		}
	}
}

func TestAFormThatIsShownAgainKeepsWhatWasTyped(t *testing.T) {
	d := newDesk(t, channel)
	a := d.decide("plan", map[string]string{"name": "the CRM team", "comment": "line 1\nline 2", "date": "2026-03-40", "time": "21:30", "zone": "Asia/Tokyo"})
	for _, want := range []string{`value="the CRM team"`, "line 1\nline 2", `value="2026-03-40"`, `value="21:30"`} {
		if !strings.Contains(a.body, want) {
			t.Errorf("the form has lost %q", want)
		}
	}
	if !regexp.MustCompile(`<option[^>]*selected[^>]*>\s*Asia/Tokyo|<option value="Asia/Tokyo" selected`).MatchString(a.body) {
		t.Error("the form has lost the time zone")
	}
}

func FuzzThePage(f *testing.F) {
	f.Add("/a/x", "form=1&decision=confirm", "application/x-www-form-urlencoded")
	f.Add("/a/x/certificate.pem", "%", "text/plain")
	f.Add("/base/a/a/a/", "comment=\x00&name=%ff", "application/x-www-form-urlencoded; charset=latin1")
	f.Fuzz(func(t *testing.T, path, body, kind string) {
		d := newDesk(t)
		for _, p := range []string{path, "/a/" + d.link, "/a/" + d.link + path} {
			for _, method := range []string{http.MethodGet, http.MethodPost} {
				r := &http.Request{Method: method, URL: &url.URL{Path: p}, Host: "abc", RemoteAddr: "192.0.2.7", Header: http.Header{"Content-Type": {kind}}, Body: http.NoBody}
				if method == http.MethodPost {
					r.Body = readCloser{bytes.NewReader([]byte(body))}
				}
				w := httptest.NewRecorder()
				d.page.ServeHTTP(w, r)
				if w.Code >= 500 {
					t.Fatalf("%s %q: %d", method, p, w.Code)
				}
			}
		}
		d.undecided()
	})
}
