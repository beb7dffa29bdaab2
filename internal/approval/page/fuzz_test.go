package page

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"keyturn/internal/approval"
	"keyturn/internal/rotation"
)

// the kinds of request by number, and what their forms offer.
var asksFor = []struct {
	change  func(*rotation.RequestUploadInput, *approval.Claim)
	offered []string
}{
	{func(*rotation.RequestUploadInput, *approval.Claim) {}, []string{decideConfirm, decidePlan, decideReject}},
	{channel, []string{decideConfirm, decidePlan, decideReject}},
	{afterTheSwitch, []string{decideConfirm, decideReject}},
	{planned, []string{decideCallOff}},
	{atSignIn, []string{decideWorks, decideRollBack}},
	{ofAnIDP, []string{decideConfirm, decidePlan, decideReject}},
}

// Whatever is filled in: a decision is one that the form offers, by somebody,
// with a reason where one is needed, and a planned time that is within bounds.
// Everything else decides nothing, and what was typed is never mark-up.
func FuzzForm(f *testing.F) {
	const when, zone = "2026-03-05", "Europe/Zurich"
	for kind := range asksFor {
		for _, decision := range []string{decideConfirm, decidePlan, decideReject, decideCallOff, decideWorks, decideRollBack, decideHandIn, "", "CONFIRM", "confirm "} {
			f.Add(byte(kind), decision, "CRM team", "beside the old one", when, "21:30", zone)
		}
	}
	for _, c := range [][5]string{
		{"", "", when, "21:30", zone}, {"<b>x</b>", "<script>alert(1)</script>", when, "21:30", `"><img src=x>`}, {"a\x00b\u202ec", "\u200b", when, "21:30", zone},
		{strings.Repeat("é", 101), strings.Repeat("\u0301", 2000), when, "21:30", zone}, {"x", "y", "2026-03-29", "02:30", zone}, {"x", "y", "2026-02-30", "21:30", zone}, {"x", "y", "10000-01-01", "00:00", "UTC"},
		{"x", "y", "2026-03-05", "24:00", "UTC"}, {"x", "y", "2026-3-5", "1:30", "UTC"}, {"x", "y", when, "21:30", "../../etc/passwd"}, {"x", "y", when, "21:30", "Local"}, {"x", "y", when, "21:30:59", ""},
		{"x", "y", "2020-01-01", "21:30", "UTC"}, {"x", "y", "2029-01-01", "21:30", "UTC"}, {"\xff", "\xff\xfe", when, "21:30", zone},
	} {
		f.Add(byte(0), decidePlan, c[0], c[1], c[2], c[3], c[4])
		f.Add(byte(1), decidePlan, c[0], c[1], c[2], c[3], c[4])
		f.Add(byte(4), decideRollBack, c[0], c[1], c[2], c[3], c[4])
	}
	f.Fuzz(func(t *testing.T, kind byte, decision, name, comment, date, clock, zone string) {
		k := asksFor[int(kind)%len(asksFor)]
		d := newDesk(t, k.change)
		form := url.Values{fieldForm: {d.sealer.FormToken(d.link, d.in.TaskToken, d.now)}, fieldDecision: {decision}, fieldName: {name}, fieldComment: {comment}, fieldDate: {date}, fieldClock: {clock}, fieldZone: {zone}}
		a := d.post(form)
		for _, typed := range []string{name, comment, date, clock, zone} {
			wantNoMarkup(t, a.body, typed)
		}
		if a.status != http.StatusOK {
			if a.status != http.StatusUnprocessableEntity && a.status != http.StatusRequestEntityTooLarge && a.status != http.StatusConflict {
				t.Errorf("status %d", a.status)
			}
			d.undecided()
			return
		}
		wanted := "success"
		if decision == decideReject || decision == decideRollBack {
			wanted = "failure Approval.Rejected"
		}
		got := d.decision(wanted)
		if !slices.Contains(k.offered, decision) {
			t.Fatalf("%q was decided: %+v", decision, got)
		}
		if got.Confirmed != (decision == decideConfirm || decision == decidePlan || decision == decideWorks) || got.CalledOff != (decision == decideCallOff) {
			t.Errorf("%q becomes %+v", decision, got)
		}
		if wanted != "success" && got.Comment == "" {
			t.Errorf("%q without a reason", decision)
		}
		if got.By == "" || utf8.RuneCountInString(got.By) > 100 || utf8.RuneCountInString(got.Comment) > 1000 || (got.By != crm) != got.Named || got.Address != "192.0.2.7" {
			t.Errorf("the decision is %+v", got)
		}
		if strings.ContainsFunc(got.By+strings.ReplaceAll(got.Comment, "\n", ""), func(r rune) bool { return !unicode.IsPrint(r) && r != unicode.ReplacementChar }) {
			t.Errorf("the decision holds what cannot be seen: %+q, %+q", got.By, got.Comment)
		}
		if (got.SwitchAt != nil) != (decision == decidePlan || decision == decideCallOff) {
			t.Errorf("%q is for %v", decision, got.SwitchAt)
		}
		if decision == decidePlan && (got.SwitchAt.Before(d.now.Add(5*time.Minute)) || got.SwitchAt.After(d.in.AnswerBy) || got.SwitchAt.After(d.in.OldKey.NotAfter)) {
			t.Errorf("the switch is planned for %s", got.SwitchAt)
		}
	})
}

// wantNoMarkup fails where a page has something that was typed as mark-up.
func wantNoMarkup(t *testing.T, body, typed string) {
	t.Helper()
	for i, r := range typed {
		if r != '<' {
			continue
		}
		piece := typed[i:min(i+6, len(typed))]
		if len(piece) >= 6 && strings.Contains(body, piece) && !strings.Contains(string(ownMarkup()), piece) {
			t.Errorf("the page has the mark-up %q that was typed", piece)
		}
	}
}

// ownMarkup is the mark-up of the pages themselves.
func ownMarkup() []byte {
	var b bytes.Buffer
	for _, k := range asksFor {
		in, claim := rotation.RequestUploadInput{Stage: rotation.StageUpload, Policy: rotation.DefaultSettings(nil)}, approval.Claim{}
		k.change(&in, &claim)
		if err := (ask{In: in}).render().Render(&b); err != nil {
			panic(err)
		}
	}
	return b.Bytes()
}

// Whatever comes as a multipart form, in however many parts: only a certificate
// for the request on the page is handed on.
func FuzzMultipart(f *testing.F) {
	const kind = `multipart/form-data; boundary=b`
	part := func(name, content string) string {
		return "--b\r\nContent-Disposition: form-data; name=" + name + "\r\n\r\n" + content + "\r\n"
	}
	l := theLab()
	good := asPEM(l.sign(), l.issuing)
	whole := part(fieldForm, "{form}") + part(fieldPasted, good) + part(fieldDecision, decideHandIn) + "--b--\r\n"
	for _, body := range []string{
		whole, part(fieldForm, "{form}") + part(`file; filename="../../x"`, good) + part(fieldDecision, decideHandIn) + "--b--\r\n", part(fieldForm, "{form}") + part(fieldDecision, decideHandIn) + part(fieldDecision, decideReject) + "--b--",
		part(fieldForm, "{form}") + part(fieldForm, "x") + part(fieldPasted, l.bareKey()) + part(fieldDecision, decideHandIn) + "--b--", part(fieldForm, "{form}") + part(fieldDecision, decideReject) + part(fieldComment, "no") + "--b--",
		whole[:len(whole)/2], "--b--", "", "--b\r\n\r\n", strings.Repeat(part("x", "y"), 30) + whole, part(fieldPasted, strings.Repeat("x", 70000)), "--b\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=zz\r\n--b--",
		"--b\r\n" + strings.Repeat("X: y\r\n", 20000) + "\r\n--b--",
	} {
		f.Add(kind, body)
	}
	f.Add(`multipart/form-data`, whole)
	f.Add(`multipart/form-data; boundary="`+strings.Repeat("b", 80)+`"`, whole)
	f.Add(`multipart/form-data; boundary=b; boundary=c`, whole)
	f.Add(`application/x-www-form-urlencoded`, "form={form}&decision=hand-in")
	f.Fuzz(func(t *testing.T, kind, body string) {
		if strings.ContainsAny(kind, "\r\n") {
			return
		}
		d := newDesk(t, toSign)
		body = strings.ReplaceAll(body, "{form}", d.sealer.FormToken(d.link, d.in.TaskToken, d.now))
		a := d.send(http.MethodPost, "/a/"+d.link, body, map[string]string{"Content-Type": kind})
		if a.status >= 500 {
			t.Errorf("status %d", a.status)
		}
		if a.status != http.StatusOK {
			d.undecided()
			return
		}
		if strings.HasPrefix(d.service.Answers()[0], "failure") {
			if got := d.decision("failure Approval.Rejected"); got.Comment == "" {
				t.Error("a rejection without a reason")
			}
			return
		}
		request, err := approval.ReadCSR(d.in.CSR)
		if err != nil {
			t.Fatal(err)
		}
		if cert := handedIn(d.decision("success")); cert == nil || rotation.Fingerprint(cert.RawSubjectPublicKeyInfo) != request.KeySHA256 {
			t.Errorf("%q is handed on", d.service.Answers())
		}
	})
}

// Whatever Lambda passes on as a request: there is an answer, with the headers
// that every answer has, and nothing is decided without the form.
func FuzzFunctionURL(f *testing.F) {
	for _, event := range []string{
		`{"rawPath":"/a/{link}","requestContext":{"http":{"method":"GET","sourceIp":"192.0.2.7"}}}`, `{"rawPath":"/a/{link}/certificate.cer","requestContext":{"http":{"method":"GET"}}}`,
		`{"rawPath":"/a/{link}","headers":{"content-type":"application/x-www-form-urlencoded"},"body":"decision=confirm&form=x","requestContext":{"http":{"method":"POST"}}}`,
		`{"rawPath":"/a/{link}","body":"!","isBase64Encoded":true,"requestContext":{"http":{"method":"POST"}}}`, `{"rawPath":"/a/%zz","requestContext":{"http":{"method":"GET"}}}`,
		`{"rawPath":"","requestContext":{"http":{"method":""}}}`, `{"rawPath":"/%2e%2e/a/%00","rawQueryString":"%zz;&=","cookies":["x"],"requestContext":{"domainName":"a b","http":{"method":"G E T"}}}`,
		`{"headers":{"":"","a\nb":"c\r\nd","Origin":"https://evil.example.com"},"rawPath":"/a/{link}","requestContext":{"http":{"method":"POST"}}}`, `{"rawPath":"/a/{link}/metadata.xml","requestContext":{"http":{"method":"HEAD"}}}`, `{}`,
	} {
		f.Add(event)
	}
	f.Fuzz(func(t *testing.T, event string) {
		d := newDesk(t)
		var in events.LambdaFunctionURLRequest
		if json.Unmarshal([]byte(strings.ReplaceAll(event, "{link}", d.link)), &in) != nil {
			return
		}
		out, err := FunctionURL(d.page)(t.Context(), in)
		if err != nil || out.StatusCode < 200 || out.StatusCode > 599 || out.StatusCode == http.StatusServiceUnavailable {
			t.Fatalf("%s: %d, %v", event, out.StatusCode, err)
		}
		if !out.IsBase64Encoded && !utf8.ValidString(out.Body) {
			t.Errorf("%s: the body is no text", event)
		}
		if out.StatusCode != http.StatusBadRequest || len(out.Headers) > 0 {
			header := http.Header{}
			for name, value := range out.Headers {
				header.Set(name, value)
			}
			d.guarded(answer{status: out.StatusCode, header: header, body: out.Body})
		}
		d.undecided()
	})
}

type answeringFunction struct {
	payload string
	failed  bool
}

func (a answeringFunction) Invoke(context.Context, *lambda.InvokeInput, ...func(*lambda.Options)) (*lambda.InvokeOutput, error) {
	out := &lambda.InvokeOutput{Payload: []byte(a.payload)}
	if a.failed {
		out.FunctionError = aws.String("Unhandled")
	}
	return out, nil
}

// What read-metadata answers is metadata, or an error with a name.
func FuzzMetadataAnswer(f *testing.F) {
	for _, payload := range []string{`{"xml":"<EntityDescriptor/>"}`, `{"xml":7}`, `{"errorType":"Okta.Unavailable","errorMessage":"%s %d"}`, `{"errorMessage":"x"}`, `null`, `[]`, ``, `"Task timed out after 30.00 seconds"`} {
		f.Add(payload, false)
		f.Add(payload, true)
	}
	f.Fuzz(func(t *testing.T, payload string, failed bool) {
		metadata, err := (MetadataFunction{Lambda: answeringFunction{payload, failed}}).Read(t.Context(), rotation.Target{Kind: rotation.KindApp, ID: "0oa1"}, "kid")
		var want struct{ XML *string }
		switch {
		case err != nil:
			if rotation.NameOf(err) == "" || strings.Contains(err.Error(), "%!") || len(metadata) > 0 {
				t.Errorf("%q: %v, with %q", payload, err, metadata)
			}
		case failed:
			t.Errorf("%q: a failure is taken for %q", payload, metadata)
		case json.Unmarshal([]byte(payload), &want) != nil || (want.XML != nil && *want.XML != string(metadata)):
			t.Errorf("%q is taken for %q", payload, metadata)
		}
	})
}
