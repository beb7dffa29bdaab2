package okta_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"keyturn/internal/okta"
	"keyturn/internal/oktasim"
	"keyturn/internal/rotation"
)

// Whatever stands before Okta may answer anything. Here it does, without a
// network in between.

const orgURL = "https://example.okta.com"

// longestError is far more than an error has to say. An error travels in the
// state of an execution, which is bounded.
const longestError = 6000

// heard is a client of an org that always gives this answer, and all that it
// was asked.
func heard(t *testing.T, answer *http.Response, body []byte) (client *okta.Client, requests *[]*http.Request) {
	t.Helper()
	requests = new([]*http.Request)
	network := roundTripper(func(r *http.Request) (*http.Response, error) {
		*requests = append(*requests, r)
		a := response(r, answer.StatusCode, string(body))
		if answer.Status != "" {
			a.Status = answer.Status
		}
		if answer.Header != nil {
			a.Header = answer.Header.Clone()
		}
		return a, nil
	})
	return newClientWith(t, okta.Config{OrgURL: orgURL, Credentials: static(t), HTTP: &http.Client{Transport: network},
		Now: func() time.Time { return now }}), requests
}

// wantDecent is what every error must be.
func wantDecent(t *testing.T, err error, names ...string) {
	t.Helper()
	if name := rotation.NameOf(err); !slices.Contains(names, name) {
		t.Errorf("error is named %q, want one of %q: %v", name, names, err)
	}
	if n := len(err.Error()); n > longestError {
		t.Errorf("the error has %d bytes: %.300s…", n, err)
	}
	wantNoToken(t, err)
}

// tree is a JSON object as encoding/json reads it, numbers as they are spelled.
func tree(raw []byte) map[string]any {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var v map[string]any
	if d.Decode(&v) != nil {
		return nil
	}
	return v
}

// at is a value inside a tree; nil where there is none.
func at(v any, path ...string) any {
	for _, name := range path {
		m, _ := v.(map[string]any)
		v = m[name]
	}
	return v
}

func kidPath(kind rotation.Kind) []string {
	if kind == rotation.KindIDP {
		return []string{"protocol", "credentials", "signing", "kid"}
	}
	return []string{"credentials", "signing", "kid"}
}

func documents() [][]byte {
	org := oktasim.New(oktasim.Options{APIToken: token, Now: func() time.Time { return now }})
	d := org.SeedDemo()
	return [][]byte{
		org.Document("app", d.StrictCatalogApp), org.Document("app", d.BeforeSwitchApp), org.Document("idp", d.IDP),
		[]byte(`{"name":"n","label":"l","signOnMode":"SAML_2_0","credentials":{"signing":{"kid":"a"}}}`),
		[]byte(`{"protocol":{"credentials":{"signing":{"kid":"a"},"trust":{"kid":"a"}}},"lastUpdated":"x","v":[1.0,1e3,12345678901234567890]}`),
		// Names that stand twice, and names that are spelled with escapes.
		[]byte(`{"protocol":{"credentials":{"signing":{"kid":"a"}}},"protocol":{"credentials":{"signing":{"kid":"b"}}}}`),
		[]byte(`{"name":"n","label":"one","label":"two","signOnMode":"SAML_2_0","credentials":{"signing":{"kid":"a"}}}`),
		[]byte(`{"protocol":{"credentials":{"signing":{"k\u0069d":"a","kid":"b"}}}}`),
		[]byte(`{"protocol.credentials.signing.kid":"x","protocol":{"credentials":{"signing":{"kid":"a\u0000\"\ud83d\ude00"}}}}`),
		[]byte(`{"protocol":{"credentials":[{"signing":{"kid":"a"}}]}}`),
		[]byte(`{"protocol":{"credentials":{"signing":{"kid":{"kid":"a"}}}}}`),
		[]byte(`{"protocol":{"credentials":{"signing":{"kid":17}}}}`),
		[]byte("{\"protocol\":{\"credentials\":{\"signing\":{\"kid\":\"\xff\"}}}}"),
		[]byte(`[{"credentials":{"signing":{"kid":"a"}}}]`), []byte(`"text"`), []byte(`{}`), nil, []byte(" "),
	}
}

// Whatever a document looks like: the body of the switch has the new kid, and
// says nothing else that the document did not say.
func FuzzDocument(f *testing.F) {
	for _, raw := range documents() {
		for _, idp := range []bool{false, true} {
			f.Add(raw, idp, "new-kid_1")
			f.Add(raw, idp, `"}, "x": {"`)
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte, idp bool, kid string) {
		if kid == "" || !utf8.ValidString(kid) {
			return // kids come out of JSON
		}
		target := app
		if idp {
			target = rotation.Target{Kind: rotation.KindIDP, ID: "0oa2"}
		}
		client, _ := heard(t, &http.Response{StatusCode: http.StatusOK}, raw)
		before, err := client.Document(t.Context(), target)
		if err != nil {
			wantDecent(t, err, "Okta.Unavailable")
			return
		}
		said := tree(raw)
		if said == nil {
			t.Fatalf("%q is taken for an object", raw)
		}
		path := kidPath(target.Kind)
		if named, isText := at(said, path...).(string); isText && before.ActiveKid() != named {
			t.Fatalf("%q: the active key is %q, want %q", raw, before.ActiveKid(), named)
		}
		digest, err := before.Digest()
		if err != nil {
			t.Fatalf("%q has no digest: %v", raw, err)
		}
		body, err := before.SwitchBody(kid)
		if err != nil {
			if len(err.Error()) > longestError {
				t.Errorf("the error has %d bytes", len(err.Error()))
			}
			return
		}
		sends := tree(body)
		if got := at(sends, path...); got != kid {
			t.Fatalf("%q for %q: the body names %q: %s", raw, kid, got, body)
		}
		if target.Kind == rotation.KindApp {
			want := map[string]any{"credentials": map[string]any{"signing": map[string]any{"kid": kid}}}
			for _, field := range []string{"name", "label", "signOnMode"} {
				want[field] = said[field]
			}
			if !reflect.DeepEqual(sends, want) {
				t.Errorf("%q: the body is %s", raw, body)
			}
			return
		}
		at(said, path[:3]...).(map[string]any)["kid"] = kid
		if !reflect.DeepEqual(sends, said) {
			t.Errorf("%q: the body is %s", raw, body)
		}
		after := okta.Document{Kind: target.Kind, Raw: body}
		if got, err := after.Digest(); err != nil || got != digest {
			t.Errorf("%q: the digest becomes %s, %v", raw, got, err)
		}
		if differences, err := okta.Differences(before, after); err != nil || len(differences) > 0 {
			t.Errorf("%q: the switch differs in %v, %v", raw, differences, err)
		}
		back, err := after.SwitchBody(before.ActiveKid())
		if err != nil || after.ActiveKid() != kid {
			t.Fatalf("%q: the way back: %v", raw, err)
		}
		restored := okta.Document{Kind: target.Kind, Raw: back}
		if restored.ActiveKid() != before.ActiveKid() {
			t.Errorf("%q: the way back leads to %q", raw, restored.ActiveKid())
		}
	})
}

var secretName = regexp.MustCompile(`(?i)pass|secret|token|private|api_?key`)

// secretsIn collects the texts below names that sound like secrets, and all
// the others.
func secretsIn(v any, secret bool, hidden, shown map[string]bool) {
	switch x := v.(type) {
	case map[string]any:
		for name, child := range x {
			shown[name] = true
			secretsIn(child, secret || secretName.MatchString(name), hidden, shown)
		}
	case []any:
		for _, child := range x {
			secretsIn(child, secret, hidden, shown)
		}
	case string:
		if secret {
			hidden[x] = true
		} else {
			shown[x] = true
		}
	}
}

// Two documents have the same digest if, and only if, nothing is shown to
// differ; what is shown is short and holds no secret.
func FuzzDifferences(f *testing.F) {
	all := documents()
	for i, raw := range all {
		f.Add(raw, all[(i+1)%len(all)], i%2 == 0)
	}
	f.Add([]byte(`{"a":1.0,"s":{"apiToken":"t0p-s3cret-1"}}`), []byte(`{"a":1,"s":null}`), false)
	f.Add([]byte(`{"a":[{"password":"t0p-s3cret-1"}],"b":{}}`), []byte(`{"a":[],"b":[]}`), true)
	f.Add([]byte(`{"secrets":["t0p-s3cret-1"]}`), []byte(`{"secrets":["t0p-s3cret-2",{"x":"t0p-s3cret-3"}]}`), true)
	f.Add([]byte(`{"credentials":{"signing":{"kid":"a","lastRotated":1}},"lastUpdated":1}`), []byte(`{"credentials":{"signing":{"kid":"b","nextRotation":2}},"_links":{}}`), false)
	f.Fuzz(func(t *testing.T, rawA, rawB []byte, idp bool) {
		kind := rotation.KindApp
		if idp {
			kind = rotation.KindIDP
		}
		a, b := okta.Document{Kind: kind, Raw: rawA}, okta.Document{Kind: kind, Raw: rawB}
		differences, err := okta.Differences(a, b)
		digestA, errA := a.Digest()
		digestB, errB := b.Digest()
		if (err != nil) != (errA != nil || errB != nil) {
			t.Fatalf("%q, %q: compared with %v, digests with %v and %v", rawA, rawB, err, errA, errB)
		}
		if err != nil {
			wantDecent(t, err, "Okta.Unavailable")
			return
		}
		if (digestA == digestB) != (len(differences) == 0) {
			t.Errorf("%q, %q: digests %s and %s, differences %v", rawA, rawB, digestA, digestB, differences)
		}
		backward, err := okta.Differences(b, a)
		if err != nil || len(backward) != len(differences) {
			t.Errorf("%q, %q: %d differences, and %d the other way, %v", rawA, rawB, len(differences), len(backward), err)
		}
		hidden, shown := map[string]bool{}, map[string]bool{}
		secretsIn(tree(rawA), false, hidden, shown)
		secretsIn(tree(rawB), false, hidden, shown)
		for _, d := range differences {
			if n := utf8.RuneCountInString(d.String()); n > 400 {
				t.Errorf("a difference with %d characters: %s", n, d)
			}
			for secret := range hidden {
				// A text that stands elsewhere too is no secret.
				if len(secret) >= 8 && strings.Contains(d.String(), secret) && !within(secret, shown) {
					t.Errorf("%q, %q: %s shows %q", rawA, rawB, d, secret)
				}
			}
		}
	})
}

// within tells that a text is, or is part of, one of those that may be shown.
func within(text string, shown map[string]bool) bool {
	for s := range shown {
		if strings.Contains(s, text) {
			return true
		}
	}
	return slices.ContainsFunc([]string{`"(hidden)"`, "(absent)"}, func(s string) bool { return strings.Contains(s, text) })
}

// The grammar of RFC 8288, section 3, and of tokens (RFC 9110, section 5.6.2).
const (
	httpToken  = "[!#$%&'*+.^_`|~0-9A-Za-z-]+"
	linkParam  = `(` + httpToken + `)(?:[ \t]*=[ \t]*("(?:[^"\\]|\\.)*"|` + httpToken + `))?`
	linkParams = `(?:[ \t]*;[ \t]*(?:` + linkParam + `)?)*`
)

var (
	linkValue = regexp.MustCompile(`^[ \t]*<([^<>]*)>(` + linkParams + `)[ \t]*(?:,|$)`)
	paramOf   = regexp.MustCompile(`;[ \t]*` + linkParam)
)

// nextOf is the target of the first link whose relation is next, where all
// headers are well-formed.
func nextOf(headers []string) (next string, ok bool) {
	found := false
	for _, h := range headers {
		for strings.Trim(h, " \t") != "" {
			m := linkValue.FindStringSubmatch(h)
			if m == nil {
				return "", false
			}
			h = h[len(m[0]):]
			for _, p := range paramOf.FindAllStringSubmatch(m[2], -1) {
				if !strings.EqualFold(p[1], "rel") {
					continue
				}
				if strings.Contains(p[2], `\`) {
					return "", false // no relation has one
				}
				if !found && slices.Contains(strings.Fields(strings.ToLower(strings.Trim(p[2], `"`))), "next") {
					next, found = m[1], true
				}
				break // the first one counts (section 3.3)
			}
		}
	}
	return next, true
}

// A page's items are what encoding/json reads, and its next page is the one
// that a link calls so, in the org itself.
func FuzzPage(f *testing.F) {
	for _, link := range []string{
		`<https://example.okta.com/api/v1/apps?after=2&limit=200>; rel="next"`,
		"<https://example.okta.com/s>; rel=\"self\"\n<https://example.okta.com/n>; rel=\"next\"",
		`<https://example.okta.com/s>; rel="self", <https://example.okta.com/n>; rel=next; title="a, b; c"`,
		`</x>; title="; rel=next"`,
		`</x>; title="</y>; rel=next", </z>; rel=last`,
		`</x>; title="\"; rel=next; \""`,
		`</x>; rel=self; rel=next`,
		`</x>; rel="next`, `</x>; rel="next\"`, `</x`, `x; rel=next`, `,,,</x>;;;rel=next`, `</x>;rel*=next`,
		`<https://elsewhere.example.com/>; rel=next`, `<//elsewhere.example.com/>; rel=next`, `<https://example.okta.com.example.com/>; rel=next`,
		`<https://user@example.okta.com/>; rel=next`, `<http://example.okta.com/>; rel=next`, `<\\elsewhere.example.com>; rel=next`,
		`<https://example.okta.com//elsewhere.example.com/>; rel=next`, `<>; rel=next`, `<?a=b>; rel=next`, `<javascript:alert(1)>; rel=next`,
		`</../../oauth2/v1/token>; rel=next`, `<https://example.okta.com/%0d%0aHost:x>; rel=next`, `<https:example.okta.com>; rel=next`,
		strings.Repeat(`</x>; rel=self, `, 200) + `</y>; rel=next`,
	} {
		f.Add(link, []byte(`[{"id":"a"},{"id":1.0}]`))
	}
	for _, body := range []string{``, `null`, `{}`, `[`, `[1,2`, `[{"id":"a"}]x`, `["\ud800"]`, "[\"\xff\"]", strings.Repeat("[", 10001), `[` + strings.Repeat(`{"a":`, 9999)} {
		f.Add(`</n>; rel="next"`, []byte(body))
	}
	f.Fuzz(func(t *testing.T, links string, body []byte) {
		headers := strings.Split(links, "\n")
		client, requests := heard(t, &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Link": headers}}, body)
		page, err := client.AppsPage(t.Context(), "")
		var want []json.RawMessage
		if json.Unmarshal(body, &want) != nil {
			wantDecent(t, err, "Okta.Unavailable")
			return
		}
		if !slices.EqualFunc(page.Items, want, func(a, b json.RawMessage) bool { return bytes.Equal(a, b) }) {
			t.Errorf("%q: items %q", body, page.Items)
		}
		next, wellFormed := nextOf(headers)
		if err != nil {
			wantDecent(t, err, "Okta.Invalid")
			if page.Next != "" || (wellFormed && next == "") {
				t.Errorf("%q: %v, and the next page is %q", links, err, page.Next)
			}
			return
		}
		if wellFormed {
			place, problem := url.Parse(next)
			if (page.Next == "") != (next == "") || (next != "" && (problem != nil || page.Next != mustResolve(t, place))) {
				t.Errorf("%q: the next page is %q, want %q", links, page.Next, next)
			}
		}
		if page.Next == "" {
			return
		}
		// Wherever it leads, the credential stays in the org.
		_, err = client.AppsPage(t.Context(), page.Next)
		if err != nil && len(*requests) == 1 {
			return // not a place at all
		}
		if u := (*requests)[len(*requests)-1].URL; u.Scheme+"://"+u.Host != orgURL || u.User != nil {
			t.Errorf("%q: the next request goes to %s", links, u)
		}
	})
}

func mustResolve(t *testing.T, place *url.URL) string {
	t.Helper()
	base, err := url.Parse(orgURL)
	if err != nil {
		t.Fatal(err)
	}
	return base.ResolveReference(place).RequestURI()
}

// An error of Okta's, or of what stands before it, is named by its status; its
// text is bounded and does not show the credential, however that is spelled in
// the answer.
func FuzzErrorAnswer(f *testing.F) {
	escaped := regexp.MustCompile(`.`).ReplaceAllStringFunc(token, func(c string) string { return fmt.Sprintf(`\u%04x`, c[0]) })
	long := strings.Repeat("x", 5000)
	for _, body := range []string{
		`{"errorCode":"E0000001","errorSummary":"s","errorId":"oae1","errorCauses":[{"errorSummary":"first"}]}`,
		`{"errorCode":"E0000011","errorSummary":"Invalid token provided: ` + token + `","errorCauses":{"errorSummary":"SSWS ` + token + `"}}`,
		`{"errorCode":"E0000011","errorSummary":"Invalid token provided: ` + escaped + `","errorId":"` + escaped + `","errorCauses":[{"errorSummary":"` + escaped + `"}]}`,
		`{"errorCode":"` + escaped + `"}`, `{"errorCode":"` + long + `","errorSummary":"` + long + `"}`,
		`{"errorCode":"E1","errorCauses":[` + strings.Repeat(`{"errorSummary":"`+long[:250]+`"},`, 100) + `{}]}`,
		`<html>` + token + `</html>`, `null`, `{"errorCode":null}`, `{"errorCode":"E1","errorCauses":"x"}`, ``,
	} {
		for _, status := range []int{400, 401, 403, 404, 429, 500, 302} {
			f.Add(status, http.StatusText(status), []byte(body))
		}
	}
	f.Add(418, "Authorization: SSWS "+token, []byte(nil))
	f.Add(999, long, []byte(nil))
	f.Fuzz(func(t *testing.T, status int, reason string, body []byte) {
		if status < 300 || status > 999 || strings.ContainsAny(reason, "\r\n") {
			return // no status line
		}
		client, _ := heard(t, &http.Response{StatusCode: status, Status: fmt.Sprintf("%d %s", status, reason)}, body)
		_, err := client.Document(t.Context(), app)
		want := "Okta.Invalid"
		switch {
		case status == 429:
			want = "Okta.RateLimited"
		case status >= 500:
			want = "Okta.Unavailable"
		case status == 401:
			want = "Okta.Unauthorized"
		case status == 403:
			want = "Okta.Forbidden"
		case status == 404:
			want = "Okta.NotFound"
		}
		wantDecent(t, err, want)
	})
}

// rawAnswer is a connection whose other end answers a request with bytes, and
// ends.
type rawAnswer struct {
	net.Conn
	asked  chan struct{}
	once   sync.Once
	answer *bytes.Reader
}

func (c *rawAnswer) Write(p []byte) (int, error) {
	c.once.Do(func() { close(c.asked) })
	return len(p), nil
}

func (c *rawAnswer) Read(p []byte) (int, error) {
	<-c.asked
	return c.answer.Read(p)
}

func (c *rawAnswer) Close() error {
	c.once.Do(func() { close(c.asked) })
	return nil
}

func (*rawAnswer) SetDeadline(time.Time) error { return nil }

// Even what is no HTTP, or breaks off, is an error with a name, bounded, and
// without the credential.
func FuzzRawAnswer(f *testing.F) {
	for _, raw := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n", "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n\x1f\x8b", "HTTP/1.1 100 Continue\r\n\r\n", "",
		"Authorization: SSWS " + token + "\r\n\r\n", "HTTP/1.1 " + token + "\r\n\r\n", "HTTP/1.1 400 " + token + "\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: " + token + "\r\n\r\n",
		"HTTP/1.1 200 OK\r\n" + token + "\r\n\r\n", "HTTP/1.1 302 Found\r\nLocation: https://elsewhere.example.com/" + token + "\r\n\r\n", "HTTP/1.1 302 Found\r\nLocation: %" + token + "\r\n\r\n",
		strings.Repeat("x", 9000), "HTTP/1.1 200 OK\r\nTransfer-Encoding: " + strings.Repeat("y", 9000) + "\r\n\r\n", "HTTP/2.0 200 OK\r\n\r\n",
	} {
		f.Add([]byte(raw))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		network := &http.Transport{DisableKeepAlives: true, DialContext: func(context.Context, string, string) (net.Conn, error) {
			return &rawAnswer{asked: make(chan struct{}), answer: bytes.NewReader(raw)}, nil
		}}
		client := newClientWith(t, okta.Config{OrgURL: "http://127.0.0.1", Credentials: static(t), HTTP: &http.Client{Transport: network}})
		d, err := client.Document(t.Context(), app)
		if err != nil {
			wantDecent(t, err, "Okta.Unavailable", "Okta.Invalid", "Okta.RateLimited", "Okta.Unauthorized", "Okta.Forbidden", "Okta.NotFound")
		} else if tree(d.Raw) == nil {
			t.Errorf("%q is taken for a document", d.Raw)
		}
	})
}

// The headers of the rate limit say nothing, or something that can be believed:
// discovery waits for the time that they name.
func FuzzRateLimitHeaders(f *testing.F) {
	date := now.Format(http.TimeFormat)
	for _, h := range [][4]string{
		{"100", "99", "1772443860", date}, {"0", "0", "1772443860", date}, {"100", "-1", "1772443860", date}, {"100", "101", "1772443860", date},
		{"9223372036854775807", "-9223372036854775808", "9223372036854775807", date}, {"100", "0", "-9223372036854775808", date},
		{"100", "0", "9223372036854775806", date}, {"100", "0", "1772443860", "Thu, 01 Jan 1970 00:00:00 GMT"},
		{"100", "0", "1772443860", "Fri, 31 Dec 9999 23:59:59 GMT"}, {"1e2", "0x10", " 1772443860 ", date}, {"", "", "", ""}, {"+100", "00", "1772443860", date},
	} {
		f.Add(h[0], h[1], h[2], h[3])
	}
	f.Fuzz(func(t *testing.T, limit, remaining, reset, date string) {
		client, _ := heard(t, &http.Response{StatusCode: http.StatusOK, Header: http.Header{
			"X-Rate-Limit-Limit": {limit}, "X-Rate-Limit-Remaining": {remaining}, "X-Rate-Limit-Reset": {reset}, "Date": {date}}}, []byte("[]"))
		if _, err := client.AppsPage(t.Context(), ""); err != nil {
			t.Fatal(err)
		}
		w, known := client.Window(okta.BucketApps)
		if !known {
			return
		}
		if w.Limit < 1 || w.Remaining < 0 || w.Remaining > w.Limit {
			t.Errorf("%q of %q: %+v", remaining, limit, w)
		}
		if wait := w.Reset.Sub(now); wait <= 0 || wait > time.Hour {
			t.Errorf("reset %q, date %q: a window that ends at %s, in %s", reset, date, w.Reset, wait)
		}
		if _, err := json.Marshal(w); err != nil {
			t.Errorf("reset %q, date %q: %v", reset, date, err)
		}
	})
}

// What is taken for a credential signs a request; what is not is never quoted.
func FuzzParseCredential(f *testing.F) {
	for _, secret := range []string{
		`{"apiToken":"` + token + `"}`, `{"apiToken":"SSWS ` + token + `"}`, `{"apiToken":"` + token + `\n"}`, `{"APITOKEN":"` + token + `"}`,
		`{"apiToken":"` + token + `","apiToken":""}`, `{"apiToken":"` + token + `"}{"apiToken":"x"}`, `"` + token + `"`, token, `{"` + token + `":""}`,
		`{"apiToken":{"` + token + `":1}}`, `{"apiToken":12345678901234567890}`, `{"clientId":"0oa1","privateKey":{"kty":"RSA","d":"` + token + `"}}`, `null`, `{}`, ``, " ",
		"\xef\xbb\xbf" + `{"apiToken":"x"}`, `{"apiToken":"\ud800"}`, `{"apiToken":"` + "\x7f" + `"}`,
	} {
		f.Add([]byte(secret))
	}
	f.Fuzz(func(t *testing.T, secret []byte) {
		credential, err := okta.ParseCredential("keyturn/okta", secret)
		if err != nil {
			wantDecent(t, err, "Credential.Missing", "Credential.Malformed")
			plain, bare := []byte(err.Error()), []byte(`store it as {"apiToken": "…"} keyturn/okta`)
			for from := 0; from+12 <= len(secret); from++ {
				piece := secret[from : from+12]
				if bytes.Contains(plain, piece) && !bytes.Contains(bare, piece) && bytes.ContainsAny(piece, "0123456789_") {
					t.Fatalf("the error quotes %q of the secret %q: %s", piece, secret, plain)
				}
			}
			return
		}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, orgURL, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		if err := credential.Authorize(r); err != nil {
			return // a credential that has to ask for a token first
		}
		value := r.Header.Get("Authorization")
		_, sent, _ := strings.Cut(value, " ")
		if strings.Trim(sent, "!\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~") != "" || sent == "" {
			t.Errorf("%q gives the header %q", secret, value)
		}
		for _, text := range []string{fmt.Sprint(credential), fmt.Sprintf("%+v", credential), fmt.Sprintf("%#v", credential), fmt.Sprintf("%s", credential)} {
			if len(sent) >= 12 && strings.Contains(text, sent) {
				t.Errorf("%q prints as %s", secret, text)
			}
		}
	})
}

// What is taken for the org's address leads to it, by https or on this very
// machine; a password in it is never shown.
func FuzzParseOrgURL(f *testing.F) {
	for _, raw := range []string{
		orgURL, "HTTPS://Example.Okta.com/", "http://127.0.0.1:8080", "http://[::1]:1", "http://127.0.0.1.example.com", "https://u:t0p-s3cret@example.okta.com",
		"https://u:t0p-s3cret%40@example.okta.com:x", "https://example.okta.com@elsewhere.example.com", "//example.okta.com", "https:///x", "https://example.okta.com\\@x",
		"https://example.okta.com:", "https://[fe80::1%25lo]/", "http://2130706433/", "http://0x7f.1/", "https://ex\u00e4mple.okta.com", "https://example.okta.com/%2f", " ", "",
	} {
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		u, err := okta.ParseOrgURL(raw)
		if err != nil {
			wantDecent(t, err, "Config.Invalid")
			if _, after, found := strings.Cut(raw, "@"); found && len(after) >= 30 && strings.Contains(err.Error(), raw) {
				t.Errorf("the error quotes %q", raw)
			}
			return
		}
		if u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "" || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") {
			t.Errorf("%q gives %+v", raw, *u)
		}
		if name := u.Hostname(); u.Scheme == "http" && name != "localhost" && !strings.HasPrefix(name, "127.") && name != "::1" && !strings.HasPrefix(name, "::ffff:7f") && !strings.HasPrefix(name, "::ffff:127.") && !strings.HasPrefix(name, "0:0:") {
			t.Errorf("%q gives %s, which is not this machine", raw, u)
		}
		again, err := okta.ParseOrgURL(u.String())
		if err != nil || again.String() != u.String() {
			t.Errorf("%q gives %s, which is read as %v, %v", raw, u, again, err)
		}
	})
}
