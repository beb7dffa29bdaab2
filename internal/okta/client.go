// Package okta is a small client of Okta's management API: raw documents, no
// typed round trips, and errors that a state machine can tell apart. It covers
// only the calls of the guide "Sign the Okta certificate with your own CA".
package okta

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"keyturn/internal/rotation"
)

const (
	// maxResponse bounds what is read of one answer. A page of 200 apps is
	// about 1 MB; a key list of an old app some 100 kB.
	maxResponse = 16 << 20
	// callTimeout bounds one call. Okta answers within seconds; the functions
	// have a time-out of 75 s for at most seven calls.
	callTimeout = 10 * time.Second
)

// Credential signs requests to Okta. An SSWS token is one; an OAuth service
// app's access token will be another.
type Credential interface {
	// Authorize adds the Authorization header (and what else is needed).
	Authorize(r *http.Request) error
}

// CredentialSource gives the credential. With fresh, one that was read again
// from where it is kept, because Okta refused the last one.
type CredentialSource func(ctx context.Context, fresh bool) (Credential, error)

// Config is what a Client needs.
type Config struct {
	// OrgURL is the org's address, such as https://example.okta.com.
	OrgURL      string
	Credentials CredentialSource
	// Version goes into the User-Agent.
	Version string
	// HTTP is the client to use; nil for one of our own. It must not follow
	// redirects: New sees to that.
	HTTP *http.Client
	// Now is the clock that Window and Skew go by; nil for time.Now.
	Now func() time.Time
}

// Client calls one org. It is safe for concurrent use.
type Client struct {
	base        *url.URL
	credentials CredentialSource
	userAgent   string
	http        *http.Client
	calls       atomic.Int64
	rates       rates
}

// New makes a client. It fails with Config.Invalid when the org's URL cannot
// be used; it calls nothing.
func New(c Config) (*Client, error) {
	base, err := ParseOrgURL(c.OrgURL)
	if err != nil {
		return nil, err
	}
	h := http.Client{Timeout: callTimeout}
	if c.HTTP != nil {
		h = *c.HTTP
	}
	// A redirect would carry the credential to wherever it points.
	h.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	version := c.Version
	if version == "" {
		version = "dev"
	}
	return &Client{base: base, credentials: c.Credentials, userAgent: "keyturn/" + version, http: &h, rates: newRates(c.Now)}, nil
}

// ParseOrgURL checks the org's address: https and a host, nothing behind it;
// plain http only on a loopback address, for the simulated org.
func ParseOrgURL(raw string) (*url.URL, error) {
	const remedy = "set the stack parameter OktaOrgUrl to the org's address, such as https://example.okta.com"
	refuse := func(what string) (*url.URL, error) {
		return nil, rotation.Errorf("Config.Invalid", "the org URL %q %s: %s", clip(raw), what, remedy)
	}
	if strings.TrimSpace(raw) == "" {
		return nil, rotation.Errorf("Config.Invalid", "there is no org URL: %s", remedy)
	}
	u, err := url.Parse(strings.TrimSpace(raw))
	// A password keeps out of the error, in a URL that cannot be read too.
	if strings.Contains(raw, "@") {
		return nil, rotation.Errorf("Config.Invalid", "the org URL holds a user or password: %s", remedy)
	}
	// A zone of an IPv6 address (RFC 6874) is no part of an org's address.
	if err != nil || u.Host == "" || u.Opaque != "" || strings.Contains(u.Host, "%") || !utf8.ValidString(raw) {
		return refuse("is not a URL")
	}
	u.Host = strings.ToLower(u.Host) // links to further pages are compared with it
	switch {
	case u.Scheme == "http" && !isLoopback(u.Hostname()):
		return refuse("is http, which would show the credential to the network")
	case u.Scheme != "https" && u.Scheme != "http":
		return refuse("is not https")
	case strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		return refuse("has something behind the host")
	case isAdminHost(u.Hostname()):
		return refuse("is the admin console's; the API is at the address without -admin")
	}
	return &url.URL{Scheme: u.Scheme, Host: u.Host}, nil
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

func isAdminHost(host string) bool {
	name, domain, _ := strings.Cut(host, ".")
	return strings.HasSuffix(name, "-admin") && (strings.HasPrefix(domain, "okta") || strings.HasPrefix(domain, "trexcloud"))
}

// OrgURL is the org's address, without a slash at its end.
func (c *Client) OrgURL() string { return c.base.String() }

// Calls counts the requests this client has sent, repeated ones included.
func (c *Client) Calls() int64 { return c.calls.Load() }

// call is one request: path is relative to the org and already escaped.
type call struct {
	method, path string
	body         []byte
	contentType  string
	accept       string
	// doing says what the call is for, in the words an error continues:
	// "could not " + doing.
	doing string
}

type answer struct {
	body   []byte
	header http.Header
}

// do sends a call and reads its whole answer. After a 401 it asks once for a
// fresh credential: the token may have been replaced since it was cached.
func (c *Client) do(ctx context.Context, k call) (answer, error) {
	cred, err := c.credentials(ctx, false)
	if err != nil {
		return answer{}, err
	}
	a, err := c.send(ctx, k, cred)
	var refused *Error
	if errors.As(err, &refused) && refused.Status == http.StatusUnauthorized {
		fresh, credErr := c.credentials(ctx, true)
		if credErr != nil {
			return answer{}, credErr
		}
		if fresh != cred {
			return c.send(ctx, k, fresh)
		}
	}
	return a, err
}

func (c *Client) send(ctx context.Context, k call, cred Credential) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	// Read as a request's path: to url.Parse what follows two slashes is a
	// host, and the credential would go there.
	ref, err := url.ParseRequestURI(k.path)
	if err != nil {
		return answer{}, fmt.Errorf("path %q: %w", k.path, err)
	}
	ref.Scheme, ref.Host = c.base.Scheme, c.base.Host
	r, err := http.NewRequestWithContext(ctx, k.method, ref.String(), bytes.NewReader(k.body))
	if err != nil {
		return answer{}, fmt.Errorf("request to %s: %w", k.path, err)
	}
	r.Header.Set("User-Agent", c.userAgent)
	r.Header.Set("Accept", k.accept)
	if k.contentType != "" {
		r.Header.Set("Content-Type", k.contentType)
	}
	if err := cred.Authorize(r); err != nil {
		return answer{}, err
	}
	c.calls.Add(1)
	_, secret, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	response, err := c.http.Do(r)
	if err != nil {
		return answer{}, c.unreachable(k, err, secret)
	}
	defer func() { _ = response.Body.Close() }()
	c.rates.note(ref.Path, response)
	body, err := io.ReadAll(io.LimitReader(response.Body, maxResponse+1))
	if err != nil {
		return answer{}, c.unreachable(k, err, secret)
	}
	if len(body) > maxResponse {
		return answer{}, &Error{Name: "Okta.Invalid", Doing: k.doing, Method: k.method, Path: ref.Path, Status: response.StatusCode,
			Summary: fmt.Sprintf("the answer is larger than %d MiB", maxResponse>>20)}
	}
	if response.StatusCode < 200 || response.StatusCode > 299 {
		return answer{}, decodeError(k, ref.Path, response, body, secret)
	}
	return answer{body: body, header: response.Header}, nil
}

// unreachable turns a transport error into one that says nothing of headers.
// Whether the call had its effect is not known: the step that made it looks
// again before it repeats it.
func (c *Client) unreachable(k call, err error, secret string) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	// Of an answer that is no HTTP, net/http quotes the beginning.
	err = transportError{said(err.Error(), secret), err}
	path, _, _ := strings.Cut(k.path, "?")
	return &Error{Name: "Okta.Unavailable", Doing: k.doing, Method: k.method, Path: path,
		Summary: "no complete answer from " + c.base.Host, Err: err}
}

// transportError is one of net/http's, cut and without the secret.
type transportError struct {
	text string
	err  error
}

func (e transportError) Error() string { return e.text }

func (e transportError) Unwrap() error { return e.err }

// getJSON makes a call and decodes its answer into v.
func (c *Client) callJSON(ctx context.Context, k call, v any) error {
	k.accept = "application/json"
	a, err := c.do(ctx, k)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(a.body, v); err != nil {
		return c.broken(k)
	}
	return nil
}

// broken is an answer with a good status and a bad body: a cut connection
// behind a proxy, a maintenance page. It may pass by itself.
func (c *Client) broken(k call) error {
	path, _, _ := strings.Cut(k.path, "?")
	return &Error{Name: "Okta.Unavailable", Doing: k.doing, Method: k.method, Path: path, Status: http.StatusOK,
		Summary: "the answer is not the JSON that was asked for"}
}
