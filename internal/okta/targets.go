package okta

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"keyturn/internal/rotation"
)

func hasStatus(err error, status int) bool {
	var e *Error
	return errors.As(err, &e) && e.Status == status
}

// path is where a target lives in the API. Its id has been validated; escaping
// it again costs nothing.
func path(t rotation.Target) string {
	collection := "apps"
	if t.Kind == rotation.KindIDP {
		collection = "idps"
	}
	return "/api/v1/" + collection + "/" + url.PathEscape(t.ID)
}

// Document reads a target's raw document (guide, step 1).
func (c *Client) Document(ctx context.Context, t rotation.Target) (Document, error) {
	var raw json.RawMessage
	k := call{method: http.MethodGet, path: path(t), doing: fmt.Sprintf("read %s", t)}
	if err := c.callJSON(ctx, k, &raw); err != nil {
		return Document{}, err
	}
	if raw[0] != '{' || !utf8.Valid(raw) || namesTwice(raw) {
		return Document{}, c.broken(k)
	}
	return Document{Kind: t.Kind, Raw: raw}, nil
}

// Replace sends a target's document (guide, step 5): for an app the guide's
// body or a whole document, for an IdP always a whole document, because Okta
// knows no partial update there.
func (c *Client) Replace(ctx context.Context, t rotation.Target, document []byte) error {
	_, err := c.do(ctx, call{method: http.MethodPut, path: path(t), body: document, contentType: "application/json",
		accept: "application/json", doing: fmt.Sprintf("update %s", t)})
	return err
}

// JSONWebKey is a key of a target as Okta lists it (JsonWebKey in the spec).
type JSONWebKey struct {
	Kid       string    `json:"kid"`
	Created   time.Time `json:"created"`
	ExpiresAt time.Time `json:"expiresAt"`
	// X5C holds the certificate first: DER in standard base64.
	X5C []string `json:"x5c"`
}

// Keys lists a target's keys. The list has one page.
func (c *Client) Keys(ctx context.Context, t rotation.Target) ([]JSONWebKey, error) {
	var keys []JSONWebKey
	err := c.callJSON(ctx, call{method: http.MethodGet, path: path(t) + "/credentials/keys", doing: fmt.Sprintf("list the keys of %s", t)}, &keys)
	return keys, err
}

// SigningRequest is a CSR that is pending in Okta (Csr in the spec).
type SigningRequest struct {
	ID      string    `json:"id"`
	Created time.Time `json:"created"`
	// CSR is the PKCS#10 request: DER in standard base64.
	CSR string `json:"csr"`
}

// SigningRequests lists a target's pending CSRs.
func (c *Client) SigningRequests(ctx context.Context, t rotation.Target) ([]SigningRequest, error) {
	var csrs []SigningRequest
	err := c.callJSON(ctx, call{method: http.MethodGet, path: path(t) + "/credentials/csrs", doing: fmt.Sprintf("list the CSRs of %s", t)}, &csrs)
	return csrs, err
}

// GenerateCSR makes a CSR and its key pair in Okta (guide, step 2). The call
// is not idempotent: look at SigningRequests before repeating it.
func (c *Client) GenerateCSR(ctx context.Context, t rotation.Target, subject rotation.Subject) (SigningRequest, error) {
	body, err := json.Marshal(map[string]any{"subject": subject})
	if err != nil {
		return SigningRequest{}, fmt.Errorf("subject of the CSR: %w", err)
	}
	k := call{method: http.MethodPost, path: path(t) + "/credentials/csrs", body: body, contentType: "application/json",
		doing: fmt.Sprintf("generate a CSR for %s", t)}
	var csr SigningRequest
	if err := c.callJSON(ctx, k, &csr); err != nil {
		return SigningRequest{}, err
	}
	if csr.ID == "" || csr.CSR == "" {
		return SigningRequest{}, c.broken(k)
	}
	return csr, nil
}

// RevokeCSR takes a pending CSR back. Okta answers 404 when it is gone.
func (c *Client) RevokeCSR(ctx context.Context, t rotation.Target, csrID string) error {
	_, err := c.do(ctx, call{method: http.MethodDelete, path: path(t) + "/credentials/csrs/" + url.PathEscape(csrID),
		accept: "application/json", doing: fmt.Sprintf("revoke the CSR %q of %s", csrID, t)})
	return err
}

// PublishCSR publishes the certificate for a CSR (guide, step 4) and gives the
// key that Okta made of it. Afterwards the CSR answers 404.
func (c *Client) PublishCSR(ctx context.Context, t rotation.Target, csrID string, certificateDER []byte) (JSONWebKey, error) {
	k := call{method: http.MethodPost, path: path(t) + "/credentials/csrs/" + url.PathEscape(csrID) + "/lifecycle/publish",
		body:        pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificateDER}),
		contentType: "application/x-pem-file",
		doing:       fmt.Sprintf("publish the certificate for the CSR %q of %s", csrID, t)}
	var key JSONWebKey
	if err := c.callJSON(ctx, k, &key); err != nil {
		return JSONWebKey{}, err
	}
	if key.Kid == "" {
		return JSONWebKey{}, c.broken(k)
	}
	return key, nil
}

// CloneKey gives a target the key that another one of the same kind has (guide,
// step 6), under the same kid. Okta answers 400 when the target has it already.
func (c *Client) CloneKey(ctx context.Context, source rotation.Target, kid string, t rotation.Target) (JSONWebKey, error) {
	parameter := "targetAid"
	if t.Kind == rotation.KindIDP {
		parameter = "targetIdpId"
	}
	k := call{method: http.MethodPost, path: path(source) + "/credentials/keys/" + url.PathEscape(kid) + "/clone?" + url.Values{parameter: {t.ID}}.Encode(),
		doing: fmt.Sprintf("clone the key %s of %s to %s", kid, source, t)}
	var key JSONWebKey
	if err := c.callJSON(ctx, k, &key); err != nil {
		return JSONWebKey{}, err
	}
	if key.Kid == "" {
		return JSONWebKey{}, c.broken(k)
	}
	return key, nil
}

// Metadata reads a target's SAML metadata. An app's is a preview for one kid
// (the spec requires the parameter); an IdP's is what is in use, at a path that
// the spec does not have but every IdP's _links.metadata names.
func (c *Client) Metadata(ctx context.Context, t rotation.Target, kid string) ([]byte, error) {
	p := path(t) + "/metadata.xml"
	if t.Kind == rotation.KindApp {
		p = path(t) + "/sso/saml/metadata?" + url.Values{"kid": {kid}}.Encode()
	}
	a, err := c.do(ctx, call{method: http.MethodGet, path: p, accept: "text/xml, application/xml", doing: fmt.Sprintf("read the SAML metadata of %s", t)})
	return a.body, err
}

// AppsWithKid lists the apps whose active key has this kid, page by page.
func (c *Client) AppsWithKid(ctx context.Context, kid string) iter.Seq2[json.RawMessage, error] {
	q := url.Values{"limit": {"200"}, "filter": {fmt.Sprintf("credentials.signing.kid eq %q", kid)}}
	return c.list(ctx, "/api/v1/apps?"+q.Encode(), "list the apps that use the kid "+kid)
}

// SAMLIdentityProviders lists the org's SAML IdPs, page by page.
func (c *Client) SAMLIdentityProviders(ctx context.Context) iter.Seq2[json.RawMessage, error] {
	return c.list(ctx, firstIDPs, "list the SAML IdPs")
}

const firstIDPs = "/api/v1/idps?limit=200&type=SAML2"

// Page is one page of a list, and where the next one is.
type Page struct {
	Items []json.RawMessage
	// Next is the place of the next page, to be passed on as it is; empty on
	// the last page.
	Next string
}

// AppsPage reads the page of all apps at a place that an earlier page named;
// the first one at "". At most 200 apps, whatever their sign-on mode: Okta has
// no filter for that.
func (c *Client) AppsPage(ctx context.Context, place string) (Page, error) {
	return c.page(ctx, place, "/api/v1/apps?includeNonDeleted=true&limit=200", "list the apps")
}

// SAMLIdentityProvidersPage reads a page of the SAML IdPs, at most 200.
func (c *Client) SAMLIdentityProvidersPage(ctx context.Context, place string) (Page, error) {
	return c.page(ctx, place, firstIDPs, "list the SAML IdPs")
}

// TrustKeysPage reads a page of the org's trust keystore: the certificates
// that Okta verifies the assertions of inbound IdPs with. At most 200.
func (c *Client) TrustKeysPage(ctx context.Context, place string) (Page, error) {
	return c.page(ctx, place, "/api/v1/idps/credentials/keys?limit=200", "list the certificates of the IdPs' partners")
}

// page gives the items of a page also where only its link to the next one is
// wrong.
func (c *Client) page(ctx context.Context, place, first, doing string) (Page, error) {
	if place == "" {
		place = first
	}
	k := call{method: http.MethodGet, path: place, accept: "application/json", doing: doing}
	a, err := c.do(ctx, k)
	if err != nil {
		return Page{}, err
	}
	var p Page
	if err := json.Unmarshal(a.body, &p.Items); err != nil {
		return Page{}, c.broken(k)
	}
	p.Next, err = c.nextPage(a.header, doing)
	return p, err
}

// list follows the pages of a list.
func (c *Client) list(ctx context.Context, first, doing string) iter.Seq2[json.RawMessage, error] {
	return func(yield func(json.RawMessage, error) bool) {
		seen := map[string]bool{}
		for place := first; place != ""; {
			if seen[place] {
				yield(nil, InACircle(doing))
				return
			}
			seen[place] = true
			page, err := c.page(ctx, place, first, doing)
			for _, item := range page.Items {
				if !yield(item, nil) {
					return
				}
			}
			if err != nil {
				yield(nil, err)
				return
			}
			place = page.Next
		}
	}
}

// InACircle is the error of a list whose pages link to one another without
// end.
func InACircle(doing string) error {
	return &Error{Name: "Okta.Invalid", Doing: doing, Method: http.MethodGet, Path: "next page", Summary: "the pages link to each other in a circle"}
}

// nextPage finds Link: rel="next". The link is opaque but for one thing: it
// must stay on the org's own origin, because the credential goes along.
func (c *Client) nextPage(h http.Header, doing string) (string, error) {
	link := nextLink(h.Values("Link"))
	if link == "" {
		return "", nil
	}
	u, err := c.base.Parse(link)
	if err != nil || u.Scheme != c.base.Scheme || u.Host != c.base.Host || u.User != nil {
		return "", &Error{Name: "Okta.Invalid", Doing: doing, Method: http.MethodGet, Path: "next page",
			Summary: fmt.Sprintf("the link to the next page leaves the org %s, so it is not followed", c.base.Host)}
	}
	return u.RequestURI(), nil
}

// nextLink finds the URL of rel="next" in Link headers (RFC 8288, section 3).
func nextLink(headers []string) string {
	for _, header := range headers {
		for {
			_, rest, found := strings.Cut(header, "<")
			if !found {
				break
			}
			target, rest, found := strings.Cut(rest, ">")
			if !found {
				break
			}
			params := rest[:unquoted(rest, ',')]
			if slices.Contains(relations(params), "next") {
				return target
			}
			header = rest[len(params):]
		}
	}
	return ""
}

// relations are those of a link's first parameter rel; further ones do not
// count (section 3.3).
func relations(params string) []string {
	for params != "" {
		param := params[:unquoted(params, ';')]
		name, value, _ := strings.Cut(param, "=")
		if strings.EqualFold(strings.TrimSpace(name), "rel") {
			return strings.Fields(strings.ToLower(strings.Trim(strings.TrimSpace(value), `"`)))
		}
		params = strings.TrimPrefix(params[len(param):], ";")
	}
	return nil
}

// unquoted is where a separator stands outside of quotes; the length of s where
// there is none. A title may hold anything.
func unquoted(s string, separator byte) int {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '"':
			quoted = !quoted
		case quoted && s[i] == '\\':
			i++
		case !quoted && s[i] == separator:
			return i
		}
	}
	return len(s)
}

// DER decodes the first certificate of the key.
func (k JSONWebKey) DER() ([]byte, error) {
	if len(k.X5C) == 0 {
		return nil, fmt.Errorf("key %s has no certificate (x5c)", k.Kid)
	}
	der, err := base64.StdEncoding.DecodeString(k.X5C[0])
	if err != nil {
		return nil, fmt.Errorf("certificate of key %s: %w", k.Kid, err)
	}
	return der, nil
}
