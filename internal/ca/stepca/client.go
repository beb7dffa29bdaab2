package stepca

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"

	"keyturn/internal/ca"
)

const (
	signPath = "/1.0/sign"

	// maxAnswer bounds what is read of one answer; step-ca's longest, a page of
	// provisioners with their templates, is some 100 kB.
	maxAnswer = 4 << 20
)

// client calls one step-ca.
type client struct {
	base        string // https://host:port
	fingerprint string // of the root; lower-case hex
	http        *http.Client
}

// newClient trusts root alone.
func (c Config) newClient(base, fingerprint string, root *x509.Certificate) *client {
	pool := x509.NewCertPool()
	pool.AddCert(root)
	return &client{base: base, fingerprint: fingerprint, http: c.newHTTP(&tls.Config{
		MinVersion: tls.VersionTLS12, RootCAs: pool, Time: c.Now,
	})}
}

func (c Config) newHTTP(config *tls.Config) *http.Client {
	transport := c.Transport
	if transport == nil {
		transport = newTransport
	}
	return &http.Client{
		Transport: transport(config),
		// A redirect would carry the token to wherever it points.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func newTransport(config *tls.Config) http.RoundTripper {
	return &http.Transport{ // no Proxy: the environment does not matter
		DialContext:            (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
		TLSClientConfig:        config,
		TLSHandshakeTimeout:    5 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
	}
}

// fetchRoot gets the root whose fingerprint is known.
func (c Config) fetchRoot(ctx context.Context, base, fingerprint string) (*x509.Certificate, error) {
	unverified := &client{base: base, fingerprint: fingerprint, http: c.newHTTP(&tls.Config{
		MinVersion: tls.VersionTLS12, Time: c.Now,
		InsecureSkipVerify: true, //nolint:gosec // G402: nothing secret is sent, and the root is believed by its fingerprint
	})}
	defer unverified.http.CloseIdleConnections()
	wrong := func(found string) error {
		return misconfigured("fingerprint", fingerprint, "the CA at "+base+" has another root, "+found,
			"compare with what `step certificate fingerprint root_ca.crt` prints on the CA's own machine, and correct fingerprint or url", nil)
	}

	var answer struct {
		PEM string `json:"ca"`
	}
	path := "/1.0/root/" + fingerprint
	if err := unverified.call(ctx, http.MethodGet, path, nil, &answer); err != nil {
		if r := refusalIn(err); r != nil && r.status == http.StatusNotFound && r.message != "" {
			return nil, wrong(unverified.roots(ctx))
		}
		return nil, plain(err, "GET "+path)
	}
	certs, err := ca.ParseChain([]byte(answer.PEM))
	if err != nil || len(certs) != 1 {
		return nil, misconfigured("GET "+path, "", "the answer is not a certificate", "give the address of a step-ca", err)
	}
	if found := fingerprintOf(certs[0]); found != fingerprint {
		return nil, wrong(found)
	}
	return certs[0], nil
}

// roots tells, for an error, the fingerprints of the roots that the CA has.
func (c *client) roots(ctx context.Context) string {
	var answer struct {
		Certificates []string `json:"crts"`
	}
	if err := c.call(ctx, http.MethodGet, "/1.0/roots", nil, &answer); err != nil {
		return "which it does not tell"
	}
	certs, err := ca.ParseChain([]byte(strings.Join(answer.Certificates, "\n")))
	if err != nil {
		return "which cannot be read"
	}
	const most = 4
	var found []string
	for _, cert := range certs[:min(len(certs), most)] {
		found = append(found, fingerprintOf(cert))
	}
	return strings.Join(found, " or ")
}

// call sends in as JSON, if there is one, and reads the answer into out. Its
// errors are [*ca.Error], and [*refusal] for every status but a success.
func (c *client) call(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return misconfigured(method+" "+path, "", "the request cannot be written as JSON", "give the policy's profile plain texts", err)
		}
		body = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return misconfigured("url", c.base, "", "give the address of a step-ca", err)
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := c.http.Do(req)
	if err != nil {
		return c.unreached(err)
	}
	defer func() { _ = res.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	if err != nil {
		return c.unreached(err)
	}
	if res.StatusCode < 200 || res.StatusCode > 299 {
		r := &refusal{status: res.StatusCode}
		var told struct {
			Message string `json:"message"`
		}
		if json.Unmarshal(answer, &told) == nil {
			r.message = strings.TrimSuffix(told.Message, ".")
		}
		return r
	}
	if len(answer) > maxAnswer || json.Unmarshal(answer, out) != nil {
		return misconfigured(method+" "+path, strconv.Itoa(res.StatusCode), "the answer is not step-ca's",
			"give the address of a step-ca, without a proxy that answers in its place", nil)
	}
	return nil
}

// unreached is the error of a call without an answer.
func (c *client) unreached(err error) error {
	var outer *url.Error
	if errors.As(err, &outer) {
		err = outer.Err // without method and URL, which Field and Value say
	}
	var verification *tls.CertificateVerificationError
	if errors.As(err, &verification) {
		shown := "none"
		if n := len(verification.UnverifiedCertificates); n > 0 {
			shown = fingerprintOf(verification.UnverifiedCertificates[n-1])
		}
		return misconfigured("url", c.base,
			"its TLS certificate does not verify against the root "+c.fingerprint+"; the last certificate that it shows is "+shown,
			"make sure that nothing stands between here and the CA, that the host is one of the CA's dnsNames, and that the clocks are right",
			cause{verification.Err})
	}
	var record tls.RecordHeaderError
	if errors.As(err, &record) || errors.Is(err, http.ErrSchemeMismatch) {
		return misconfigured("url", c.base, "what answers there does not speak TLS", "give the CA's port for https", cause{err})
	}
	return &ca.Error{
		Name: ca.NameUnavailable, Field: "url", Value: c.base, Message: "no answer from the CA", Err: cause{err},
		Remedy: "try again; if it stays, see that the CA runs and can be reached from here",
	}
}

// refusal is an answer that is no success.
type refusal struct {
	status  int
	message string // step-ca's, as it came; empty if there is none
}

func (r *refusal) Error() string { return r.String() }

// String is for [ca.Error]'s Value, which keeps it short and in one line.
func (r *refusal) String() string {
	if r.message == "" {
		return fmt.Sprintf("%d %s", r.status, http.StatusText(r.status))
	}
	return fmt.Sprintf("%d %s", r.status, r.message)
}

func refusalIn(err error) *refusal {
	var r *refusal
	if errors.As(err, &r) {
		return r
	}
	return nil
}

// plain turns a refusal into an error by its status alone.
func plain(err error, field string) error {
	r := refusalIn(err)
	if r == nil {
		return err
	}
	e := &ca.Error{Name: ca.NameMisconfigured, Field: field, Value: r.String()}
	switch {
	case r.status == http.StatusTooManyRequests, r.status == http.StatusRequestTimeout,
		r.status >= 500 && r.status != http.StatusNotImplemented:
		e.Name = ca.NameUnavailable
		e.Message, e.Remedy = "the CA did not do it", "try again; if it stays, the CA's log says why"
	case r.status >= 300 && r.status < 400:
		e.Message, e.Remedy = "a redirect, which is not followed", "give the address of the step-ca itself"
	case r.status == http.StatusNotFound:
		e.Message, e.Remedy = "not found", "give the address of a step-ca, with nothing behind the host"
	default:
		e.Message, e.Remedy = "step-ca refused it", "mend what it says, or what its log says"
	}
	return e
}

// refusedToSign says what a refusal of /sign means. wanted is how long the
// certificate was to be valid.
func (a *Authority) refusedToSign(err error, ott string, wanted time.Duration) error {
	const field = "POST " + signPath
	r := refusalIn(err)
	if r == nil {
		return err
	}
	// No step-ca is known to repeat the token; it must not reach a log.
	r.message = strings.ReplaceAll(r.message, ott, "…")
	says := func(text string) bool { return strings.Contains(r.message, text) }
	hours := int(wanted.Hours())
	switch {
	case r.status == http.StatusUnauthorized:
		return misconfigured(field, r.String(), fmt.Sprintf("the CA did not take the token of the provisioner %q", a.provisioner),
			"check provisioner and key or password, that the url's host is one of the CA's dnsNames, and that this clock and the CA's agree to a minute", nil)
	case says("authorized maximum certificate duration"):
		return misconfigured("maxTLSCertDuration", r.String(), "the provisioner does not issue for that long",
			fmt.Sprintf("raise the provisioner's maxTLSCertDuration to %dh or more (step ca provisioner update %s --x509-max-dur %dh), or lower the policy's validityDays",
				hours, shellWord(a.provisioner), hours), nil)
	case says("authorized minimum certificate duration"):
		return misconfigured("minTLSCertDuration", r.String(), "the provisioner issues for longer only",
			fmt.Sprintf("lower the provisioner's minTLSCertDuration to %dh or less, or raise the policy's validityDays", hours), nil)
	case says("error applying certificate template"):
		return misconfigured(field, r.String(), "the provisioner's template does not make a certificate of this request",
			"set the template that Keyturn's documentation shows", nil)
	case r.status == http.StatusForbidden && says("not allowed"):
		return misconfigured(field, r.String(), "the CA's policy for names forbids it",
			"allow the name in the CA's policy (authority.policy.x509), or give the target another one in the policy's subject", nil)
	case r.status == http.StatusBadRequest && (says("csr") || says("certificate request")):
		return &ca.Error{
			Name: ca.NameCSRInvalid, Field: "csr", Value: r.String(), Message: "step-ca does not sign it",
			Remedy: "mend what it says, in the policy's subject or in the CA, then revoke the request in Okta and generate another one",
		}
	case r.status == http.StatusInternalServerError:
		e := plain(err, field)
		var named *ca.Error
		if errors.As(e, &named) {
			named.Remedy += "; a provisioner without the template that Keyturn's documentation shows fails so for many names"
		}
		return e
	}
	return plain(err, field)
}

// shellWord is name as one word of a command to copy.
func shellWord(name string) string {
	if strings.ContainsFunc(name, func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("-_.@", r)
	}) {
		return "NAME"
	}
	return name
}

// cause keeps what a server says about itself, in the texts of net/http and
// crypto/tls, from breaking log lines or filling them.
type cause struct{ err error }

func (c cause) Error() string {
	const most = 300
	text := []rune(c.err.Error())
	if len(text) > most {
		text = append(text[:most], '…')
	}
	if s := string(text); strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.Quote(s)
	}
	return string(text)
}

func (c cause) Unwrap() error { return c.err }

// parseURL returns scheme, host and port.
func parseURL(raw string) (string, error) {
	const remedy = "give the CA's address, such as https://ca.example.com:9000"
	raw = strings.TrimSpace(raw)
	// A password keeps out of the error, in a URL that cannot be read too.
	if strings.Contains(raw, "@") {
		return "", misconfigured("url", "", "it holds a user or a password", remedy, nil)
	}
	refuse := func(what string) (string, error) {
		return "", misconfigured("url", strconv.Quote(raw), what, remedy, nil)
	}
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Opaque != "" || u.Scheme != "" && u.Hostname() == "":
		return refuse("not a URL")
	case u.Scheme != "https":
		return refuse("not https, which step-ca always speaks")
	case strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return refuse("something stands behind the host")
	}
	return "https://" + u.Host, nil
}

func misconfigured(field, value, message, remedy string, err error) error {
	return &ca.Error{Name: ca.NameMisconfigured, Field: field, Value: value, Message: message, Remedy: remedy, Err: err}
}
