package okta_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"keyturn/internal/okta"
	"keyturn/internal/oktasim"
	"keyturn/internal/rotation"
)

func TestCallsCarryTheTokenAndTheVersion(t *testing.T) {
	for version, want := range map[string]string{"1.2.3": "keyturn/1.2.3", "": "keyturn/dev"} {
		t.Run(want, func(t *testing.T) {
			var seen http.Header
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				seen = r.Header.Clone()
				write(w, http.StatusOK, "{}")
			}))
			defer server.Close()
			client := newClientWith(t, okta.Config{OrgURL: server.URL, Credentials: static(t), Version: version})
			if _, err := client.Document(t.Context(), app); err != nil {
				t.Fatal(err)
			}
			if got := seen.Get("User-Agent"); got != want {
				t.Errorf("User-Agent %q, want %q", got, want)
			}
			if got := seen.Get("Authorization"); got != "SSWS "+token {
				t.Errorf("Authorization %q", got)
			}
			if got := seen.Get("Accept"); got != "application/json" {
				t.Errorf("Accept %q", got)
			}
			if client.OrgURL() != server.URL || client.Calls() != 1 {
				t.Errorf("org %s, %d calls; want %s and 1", client.OrgURL(), client.Calls(), server.URL)
			}
		})
	}
}

// sequence gives one credential after the other; fresh ones only when asked.
type sequence struct {
	mu     sync.Mutex
	tokens []string
	fresh  int
	err    error
}

func (s *sequence) source(t *testing.T) okta.CredentialSource {
	t.Helper()
	return func(_ context.Context, fresh bool) (okta.Credential, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if fresh {
			s.fresh++
			if s.err != nil {
				return nil, s.err
			}
			if len(s.tokens) > 1 {
				s.tokens = s.tokens[1:]
			}
		}
		return parsed(t, s.tokens[0]), nil
	}
}

func withCredentials(t *testing.T, s *sequence) (*oktasim.Org, *okta.Client, rotation.Target) {
	t.Helper()
	org := oktasim.New(oktasim.Options{APIToken: token})
	server := httptest.NewServer(org)
	t.Cleanup(server.Close)
	target := rotation.Target{Kind: rotation.KindApp, ID: org.AddApp(oktasim.AppSpec{Label: "x", SignOnMode: "BOOKMARK"})}
	return org, newClientWith(t, okta.Config{OrgURL: server.URL, Credentials: s.source(t), HTTP: noKeepAlive()}), target
}

func TestReplacedTokenIsTakenAfterOneRefusal(t *testing.T) {
	s := &sequence{tokens: []string{"the-old-one", token}}
	org, client, target := withCredentials(t, s)
	if _, err := client.Document(t.Context(), target); err != nil {
		t.Fatal(err)
	}
	if n := len(org.Calls()); n != 2 || s.fresh != 1 || client.Calls() != 2 {
		t.Errorf("%d calls, %d counted, %d fresh credentials; want 2, 2 and 1", n, client.Calls(), s.fresh)
	}
}

func TestTokenThatStaysRefusedIsNotTriedAgain(t *testing.T) {
	for what, c := range map[string]struct {
		tokens []string
		calls  int
	}{
		"the same":           {[]string{"the-old-one"}, 1},
		"another, no better": {[]string{"the-old-one", "another", token}, 2},
	} {
		t.Run(what, func(t *testing.T) {
			s := &sequence{tokens: c.tokens}
			org, client, target := withCredentials(t, s)
			_, err := client.Document(t.Context(), target)
			wantName(t, err, "Okta.Unauthorized")
			if n := len(org.Calls()); n != c.calls || s.fresh != 1 {
				t.Errorf("%d calls and %d fresh credentials, want %d and 1", n, s.fresh, c.calls)
			}
		})
	}
}

func TestCredentialThatCannotBeReadIsTheError(t *testing.T) {
	gone := rotation.Errorf("Secret.Unavailable", "the secret is gone")
	s := &sequence{tokens: []string{"the-old-one"}, err: gone}
	_, client, target := withCredentials(t, s)
	if _, err := client.Document(t.Context(), target); !errors.Is(err, gone) {
		t.Errorf("error %v, want %v", err, gone)
	}
	client = newClientWith(t, okta.Config{OrgURL: "https://example.okta.com", Credentials: func(context.Context, bool) (okta.Credential, error) { return nil, gone }})
	if _, err := client.Document(t.Context(), target); !errors.Is(err, gone) || client.Calls() != 0 {
		t.Errorf("error %v after %d calls, want %v and none", err, client.Calls(), gone)
	}
}

type refusing struct{}

func (refusing) Authorize(*http.Request) error { return errors.New("no key to sign with") }

func TestRequestThatCannotBeSignedIsNotSent(t *testing.T) {
	client := newClientWith(t, okta.Config{OrgURL: "https://example.okta.com", Credentials: func(context.Context, bool) (okta.Credential, error) { return refusing{}, nil }})
	if _, err := client.Document(t.Context(), app); err == nil || err.Error() != "no key to sign with" || client.Calls() != 0 {
		t.Errorf("error %v after %d calls", err, client.Calls())
	}
}

// elsewhere is a server that no credential must reach.
func elsewhere(t *testing.T) (url string, reached *atomic.Int64) {
	t.Helper()
	reached = new(atomic.Int64)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		reached.Add(1)
		write(w, http.StatusOK, "[]")
	}))
	t.Cleanup(server.Close)
	return server.URL, reached
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	other, reached := elsewhere(t)
	for _, status := range []int{301, 302, 303, 307, 308} {
		var calls atomic.Int64
		client := answering(t, func(w http.ResponseWriter, r *http.Request) {
			calls.Add(1)
			http.Redirect(w, r, other, status)
		})
		_, err := client.Document(t.Context(), app)
		wantName(t, err, "Okta.Invalid")
		wantName(t, client.Replace(t.Context(), app, []byte("{}")), "Okta.Invalid")
		if calls.Load() != 2 || reached.Load() != 0 {
			t.Errorf("status %d: %d calls, and %d reached the other server; want 2 and none", status, calls.Load(), reached.Load())
		}
	}
}

func TestClientOfTheCallerStillFollowsNoRedirect(t *testing.T) {
	other, reached := elsewhere(t)
	server := httptest.NewServer(http.RedirectHandler(other, http.StatusFound))
	t.Cleanup(server.Close)
	theirs := &http.Client{}
	client := newClientWith(t, okta.Config{OrgURL: server.URL, Credentials: static(t), HTTP: theirs})
	_, err := client.Document(t.Context(), app)
	wantName(t, err, "Okta.Invalid")
	if reached.Load() != 0 || theirs.CheckRedirect != nil {
		t.Error("the redirect was followed, or the caller's client was changed")
	}
}

func TestAnswerThatNeverEndsIsGivenUpWithTheContext(t *testing.T) {
	org := oktasim.New(oktasim.Options{APIToken: token})
	target := rotation.Target{Kind: rotation.KindApp, ID: org.AddApp(oktasim.AppSpec{Label: "x", SignOnMode: "BOOKMARK"})}
	org.Fail(oktasim.Fault{Kind: oktasim.FaultSlowBody})
	ctx, cancel := context.WithCancel(t.Context())
	transport := headersThen{next: noKeepAlive().Transport, then: cancel}
	server := httptest.NewServer(org)
	t.Cleanup(server.Close)
	client := newClientWith(t, okta.Config{OrgURL: server.URL, Credentials: static(t), HTTP: &http.Client{Transport: transport}})
	_, err := client.Document(ctx, target)
	wantError(t, err, "Okta.Unavailable", `could not read `+target.String()+`: no complete answer from `+strings.TrimPrefix(server.URL, "http://")+` [GET /api/v1/apps/`+target.ID+`]: context canceled`)
	if !errors.Is(err, context.Canceled) {
		t.Error("the error does not wrap the context's")
	}
}

// headersThen does something when the headers of an answer have come.
type headersThen struct {
	next http.RoundTripper
	then func()
}

func (h headersThen) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := h.next.RoundTrip(r)
	h.then()
	return response, err
}

func TestEveryCallHasADeadlineOfItsOwn(t *testing.T) {
	var deadlines []bool
	record := roundTripper(func(r *http.Request) (*http.Response, error) {
		_, has := r.Context().Deadline()
		deadlines = append(deadlines, has)
		return nil, errors.New("no network here")
	})
	client := newClientWith(t, okta.Config{OrgURL: "https://example.okta.com", Credentials: static(t), HTTP: &http.Client{Transport: record}})
	_, err := client.Document(t.Context(), app)
	wantError(t, err, "Okta.Unavailable", `could not read app "0oa1": no complete answer from example.okta.com [GET /api/v1/apps/0oa1]: no network here`)
	if len(deadlines) != 1 || !deadlines[0] {
		t.Errorf("deadlines %v, want one", deadlines)
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestAnswerIsReadUpToItsBoundAndNoFurther(t *testing.T) {
	const bound = 16 << 20
	for what, c := range map[string]struct {
		size int
		name string
	}{"as large as may be": {bound, ""}, "a byte more": {bound + 1, "Okta.Invalid"}, "without end": {-1, "Okta.Invalid"}} {
		t.Run(what, func(t *testing.T) {
			body := &counting{left: c.size}
			network := roundTripper(func(r *http.Request) (*http.Response, error) {
				return &http.Response{StatusCode: http.StatusOK, Status: "200 OK", Header: http.Header{}, Body: body, Request: r}, nil
			})
			client := newClientWith(t, okta.Config{OrgURL: "https://example.okta.com", Credentials: static(t), HTTP: &http.Client{Transport: network}})
			_, err := client.Metadata(t.Context(), app, "kid")
			if c.name == "" {
				if err != nil {
					t.Error(err)
				}
			} else {
				wantError(t, err, c.name, `could not read the SAML metadata of app "0oa1": the answer is larger than 16 MiB [GET /api/v1/apps/0oa1/sso/saml/metadata, HTTP 200]`)
			}
			if body.read > bound+1 || !body.closed {
				t.Errorf("%d bytes read, closed %v", body.read, body.closed)
			}
		})
	}
}

var spaces = strings.Repeat(" ", 1<<16)

// counting is a body of spaces; with a negative size it never ends.
type counting struct {
	left, read int
	closed     bool
}

func (c *counting) Read(p []byte) (int, error) {
	if c.left == 0 {
		return 0, io.EOF
	}
	n := len(p)
	if c.left > 0 {
		n = min(n, c.left)
		c.left -= n
	}
	for rest := p[:n]; len(rest) > 0; {
		rest = rest[copy(rest, spaces):]
	}
	c.read += n
	return n, nil
}

func (c *counting) Close() error {
	c.closed = true
	return nil
}

func TestAnswerThatIsNotWhatWasAskedForMayPass(t *testing.T) {
	const said = "the answer is not the JSON that was asked for"
	for what, c := range map[string]struct {
		body string
		call func(*okta.Client) error
		text string
	}{
		"a document that is a page": {"<html>", func(c *okta.Client) error { _, err := c.Document(t.Context(), app); return err },
			`could not read app "0oa1": ` + said + ` [GET /api/v1/apps/0oa1, HTTP 200]`},
		"an empty document": {"", func(c *okta.Client) error { _, err := c.Document(t.Context(), app); return err },
			`could not read app "0oa1": ` + said + ` [GET /api/v1/apps/0oa1, HTTP 200]`},
		"a document that is null": {"null", func(c *okta.Client) error { _, err := c.Document(t.Context(), app); return err },
			`could not read app "0oa1": ` + said + ` [GET /api/v1/apps/0oa1, HTTP 200]`},
		"a document that is a list": {"[]", func(c *okta.Client) error { _, err := c.Document(t.Context(), app); return err },
			`could not read app "0oa1": ` + said + ` [GET /api/v1/apps/0oa1, HTTP 200]`},
		"a document with more behind it": {"{} {}", func(c *okta.Client) error { _, err := c.Document(t.Context(), app); return err },
			`could not read app "0oa1": ` + said + ` [GET /api/v1/apps/0oa1, HTTP 200]`},
		"keys that are an object": {"{}", func(c *okta.Client) error { _, err := c.Keys(t.Context(), app); return err },
			`could not list the keys of app "0oa1": ` + said + ` [GET /api/v1/apps/0oa1/credentials/keys, HTTP 200]`},
		"CSRs cut off": {`[{"id":`, func(c *okta.Client) error { _, err := c.SigningRequests(t.Context(), app); return err },
			`could not list the CSRs of app "0oa1": ` + said + ` [GET /api/v1/apps/0oa1/credentials/csrs, HTTP 200]`},
		"a CSR without its request": {`{"id":"x"}`, func(c *okta.Client) error {
			_, err := c.GenerateCSR(t.Context(), app, rotation.Subject{CommonName: "x"})
			return err
		}, `could not generate a CSR for app "0oa1": ` + said + ` [POST /api/v1/apps/0oa1/credentials/csrs, HTTP 200]`},
		"a key without its kid": {`{}`, func(c *okta.Client) error { _, err := c.PublishCSR(t.Context(), app, "csr1", nil); return err },
			`could not publish the certificate for the CSR "csr1" of app "0oa1": ` + said + ` [POST /api/v1/apps/0oa1/credentials/csrs/csr1/lifecycle/publish, HTTP 200]`},
		"a page of apps that is none": {`{}`, func(c *okta.Client) error { _, err := collect(c.AppsWithKid(t.Context(), "kid1")); return err },
			`could not list the apps that use the kid kid1: ` + said + ` [GET /api/v1/apps, HTTP 200]`},
	} {
		t.Run(what, func(t *testing.T) {
			client := answering(t, func(w http.ResponseWriter, _ *http.Request) { write(w, http.StatusOK, c.body) })
			wantError(t, c.call(client), "Okta.Unavailable", c.text)
		})
	}
}

// Ids come from Okta and from the state; none may lead to another place.
func TestIdsStayOneSegmentOfThePath(t *testing.T) {
	var paths []string
	client := answering(t, func(w http.ResponseWriter, r *http.Request) {
		paths = append(paths, r.URL.EscapedPath())
		write(w, http.StatusNotFound, "")
	})
	for _, id := range []string{"../../users", "a/b", "a?b", "a#b", "%2e%2e", "//elsewhere.example.com", "é"} {
		if err := client.RevokeCSR(t.Context(), app, id); !okta.IsNotFound(err) {
			t.Errorf("id %q: %v", id, err)
		}
	}
	for _, path := range paths {
		if rest, ok := strings.CutPrefix(path, "/api/v1/apps/0oa1/credentials/csrs/"); !ok || strings.Contains(rest, "/") {
			t.Errorf("path %s", path)
		}
	}
	if len(paths) != 7 {
		t.Errorf("%d calls, want 7", len(paths))
	}
}

func TestClientIsSafeForConcurrentUse(t *testing.T) {
	org, client := simulated(t)
	target := rotation.Target{Kind: rotation.KindApp, ID: org.AddApp(oktasim.AppSpec{Label: "x", SignOnMode: "BOOKMARK"})}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := client.Document(t.Context(), target); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if client.Calls() != 8 {
		t.Errorf("%d calls counted, want 8", client.Calls())
	}
}

// The token is looked for in everything that any call may say, whatever the
// other side answers.
func TestNoErrorHoldsTheToken(t *testing.T) {
	calls := map[string]func(context.Context, *okta.Client) error{
		"document": func(ctx context.Context, c *okta.Client) error { _, err := c.Document(ctx, app); return err },
		"replace":  func(ctx context.Context, c *okta.Client) error { return c.Replace(ctx, app, []byte("{}")) },
		"keys":     func(ctx context.Context, c *okta.Client) error { _, err := c.Keys(ctx, app); return err },
		"csrs":     func(ctx context.Context, c *okta.Client) error { _, err := c.SigningRequests(ctx, app); return err },
		"generate": func(ctx context.Context, c *okta.Client) error {
			_, err := c.GenerateCSR(ctx, app, rotation.Subject{})
			return err
		},
		"publish": func(ctx context.Context, c *okta.Client) error {
			_, err := c.PublishCSR(ctx, app, "x", nil)
			return err
		},
		"revoke":   func(ctx context.Context, c *okta.Client) error { return c.RevokeCSR(ctx, app, "x") },
		"metadata": func(ctx context.Context, c *okta.Client) error { _, err := c.Metadata(ctx, app, "x"); return err },
		"apps": func(ctx context.Context, c *okta.Client) error {
			_, err := collect(c.AppsWithKid(ctx, "x"))
			return err
		},
		"idps": func(ctx context.Context, c *okta.Client) error {
			_, err := collect(c.SAMLIdentityProviders(ctx))
			return err
		},
	}
	failures := map[string]roundTripper{
		"the request in the error": func(r *http.Request) (*http.Response, error) { return nil, fmt.Errorf("cannot send to %s", r.URL.Host) },
		"an echo of the request": func(r *http.Request) (*http.Response, error) {
			body := fmt.Sprintf(`{"errorCode":"E1","errorSummary":"bad header %s","errorId":%q,"errorCauses":[{"errorSummary":%q}]}`, r.Header.Get("Authorization"), token, token)
			return response(r, 400, body), nil
		},
		"an echo as a redirect": func(r *http.Request) (*http.Response, error) {
			answer := response(r, 302, token)
			answer.Header.Set("Location", "https://elsewhere.example.com/"+token)
			return answer, nil
		},
		"an echo as an answer": func(r *http.Request) (*http.Response, error) { return response(r, 200, token), nil },
		"an echo as a page": func(r *http.Request) (*http.Response, error) {
			answer := response(r, 200, "[]")
			answer.Header.Set("Link", `<https://elsewhere.example.com/`+token+`>; rel="next"`)
			return answer, nil
		},
	}
	for what, failure := range failures {
		for name, call := range calls {
			t.Run(what+"/"+name, func(t *testing.T) {
				client := newClientWith(t, okta.Config{OrgURL: "https://example.okta.com", Credentials: static(t), HTTP: &http.Client{Transport: failure}})
				if err := call(t.Context(), client); err != nil {
					wantNoToken(t, err)
				}
			})
		}
	}
	t.Run("a token that no header takes", func(t *testing.T) {
		bad := func(context.Context, bool) (okta.Credential, error) { return header(token + "\n" + rand.Text()), nil }
		client := newClientWith(t, okta.Config{OrgURL: "https://example.okta.com", Credentials: bad})
		_, err := client.Document(t.Context(), app)
		wantName(t, err, "Okta.Unavailable")
	})
}

type header string

func (h header) Authorize(r *http.Request) error {
	r.Header.Set("Authorization", string(h))
	return nil
}

func response(r *http.Request, status int, body string) *http.Response {
	return &http.Response{StatusCode: status, Status: fmt.Sprint(status, " ", http.StatusText(status)), Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), Request: r}
}
