package oktasim

import (
	"bytes"
	"compress/flate"
	"context"
	"crypto"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/beevik/etree"
	saml2 "github.com/russellhaering/gosaml2"
	"github.com/russellhaering/gosaml2/types"
	dsig "github.com/russellhaering/goxmldsig"
)

// idpAudience is the entity ID of the org as an IdP's SP.
func idpAudience(doc []byte) string {
	return lookupString(doc, "protocol", "credentials", "trust", "audience")
}

// idpACS is where an IdP sends its users.
func idpACS(id, base string) string { return base + "/sso/saml2/" + id }

// requestLife is how long the org waits for the response to a request of its
// own.
const requestLife = 10 * time.Minute

// AuthnRequest is what the org has a browser send to an IdP, to sign its user
// in: a GET for the HTTP-Redirect binding, the POST of a form for HTTP-POST, as
// the IdP's endpoints.sso says, signed with the active key of this moment where
// its algorithms.request.signature.scope is REQUEST. The error is a SignInError.
func (o *Org) AuthnRequest(ctx context.Context, idpID string) (*http.Request, error) {
	return o.authnRequest(ctx, idpID, "")
}

func (o *Org) authnRequest(ctx context.Context, idpID, base string) (*http.Request, error) {
	s, err := o.signing(KindIDP, idpID, base)
	if err != nil {
		return nil, err
	}
	id := messageID()
	request, err := s.request(ctx, id)
	if err != nil {
		return nil, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.remember("request", id, s.now.Add(requestLife))
	return request, nil
}

// remember keeps the id of a message until some time, and forgets those whose
// time is over.
func (o *Org) remember(sort, id string, until time.Time) {
	now := o.now()
	for key, end := range o.messages {
		if now.After(end) {
			delete(o.messages, key)
		}
	}
	o.messages[sort+" "+id] = until
}

func (s *signing) request(ctx context.Context, id string) (*http.Request, error) {
	endpoint := func(name string) string { return s.field("protocol", "endpoints", "sso", name) }
	root := &etree.Element{Space: "saml2p", Tag: "AuthnRequest"}
	for _, a := range [][2]string{
		{"xmlns:saml2p", nsProtocol}, {"AssertionConsumerServiceURL", idpACS(s.id, s.base)}, {"Destination", endpoint("destination")},
		{"ForceAuthn", "false"}, {"ID", id}, {"IssueInstant", stamp(s.now)}, {"ProtocolBinding", bindingPost}, {"Version", "2.0"},
	} {
		root.CreateAttr(a[0], a[1])
	}
	element(root, "saml2:Issuer", idpAudience(s.doc), "xmlns:saml2", nsAssertion)
	element(root, "saml2p:NameIDPolicy", "", "Format", s.field("protocol", "settings", "nameFormat"))

	signature := func(name string) string { return s.field("protocol", "algorithms", "request", "signature", name) }
	method := ""
	if signature("scope") == "REQUEST" {
		if method = signatureMethods[signature("algorithm")]; method == "" {
			return nil, refuse(http.StatusInternalServerError, "algorithms.request.signature.algorithm of IdP %s is %q", s.id, signature("algorithm"))
		}
	}
	switch binding := endpoint("binding"); binding {
	case "HTTP-POST":
		return s.post(ctx, endpoint("url"), root, method)
	case "HTTP-REDIRECT":
		return s.redirect(ctx, endpoint("url"), root, method)
	default:
		return nil, refuse(http.StatusInternalServerError, "endpoints.sso.binding of IdP %s is %q", s.id, binding)
	}
}

// post is the HTTP-POST binding ("Bindings for SAML", section 3.5).
func (s *signing) post(ctx context.Context, to string, root *etree.Element, method string) (*http.Request, error) {
	if method != "" {
		if err := sign(root, s.key, method); err != nil {
			return nil, fmt.Errorf("oktasim: request to IdP %s: %w", s.id, err)
		}
	}
	text, err := document(root)
	if err != nil {
		return nil, fmt.Errorf("oktasim: request to IdP %s: %w", s.id, err)
	}
	form := url.Values{"SAMLRequest": {base64.StdEncoding.EncodeToString(text)}}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, to, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, refuse(http.StatusInternalServerError, "endpoints.sso.url of IdP %s: %v", s.id, err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r, nil
}

// redirect is the HTTP-Redirect binding with its DEFLATE encoding ("Bindings for
// SAML", section 3.4.4.1): the signature is of the query, not of the XML.
func (s *signing) redirect(ctx context.Context, to string, root *etree.Element, method string) (*http.Request, error) {
	text, err := document(root)
	if err != nil {
		return nil, fmt.Errorf("oktasim: request to IdP %s: %w", s.id, err)
	}
	var deflated bytes.Buffer
	w, _ := flate.NewWriter(&deflated, flate.DefaultCompression) // the level is valid, and a buffer takes everything
	_, _ = w.Write(text)
	_ = w.Close()
	query := "SAMLRequest=" + url.QueryEscape(base64.StdEncoding.EncodeToString(deflated.Bytes()))
	if method != "" {
		query += "&SigAlg=" + url.QueryEscape(method)
		context, err := signer(s.key, method)
		if err != nil {
			return nil, fmt.Errorf("oktasim: request to IdP %s: %w", s.id, err)
		}
		signature, err := context.SignString(query)
		if err != nil {
			return nil, fmt.Errorf("oktasim: request to IdP %s: %w", s.id, err)
		}
		query += "&Signature=" + url.QueryEscape(base64.StdEncoding.EncodeToString(signature))
	}
	separator := "?"
	if strings.Contains(to, "?") {
		separator = "&"
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, to+separator+query, nil)
	if err != nil {
		return nil, refuse(http.StatusInternalServerError, "endpoints.sso.url of IdP %s: %v", s.id, err)
	}
	return r, nil
}

// Accept takes the XML of an IdP's response, as the org does for the browser
// that posts it to the IdP's assertion consumer service, and gives the name of
// the user who is signed in by it. The error is a SignInError.
//
// An encrypted assertion is decrypted with the active key of this moment and no
// other: "Okta currently uses the same key for both request signing and the
// decryption of SAML assertions that the IdP encrypts. Changing your signing key
// also changes your decryption key" (management API spec, "Identity Provider
// signing keys").
func (o *Org) Accept(idpID string, response []byte) (user string, err error) {
	return o.accept(idpID, "", base64.StdEncoding.EncodeToString(response))
}

func (o *Org) accept(idpID, base, response string) (user string, err error) {
	s, err := o.signing(KindIDP, idpID, base)
	if err != nil {
		return "", err
	}
	assertion, err := s.verified(response)
	if err != nil {
		return "", refuse(http.StatusBadRequest, "the response of IdP %s: %v", idpID, err)
	}
	if err := o.answers(assertion, s.now); err != nil {
		return "", refuse(http.StatusBadRequest, "the response of IdP %s: %v", idpID, err)
	}
	user = assertion.Subject.NameID.Value
	if filter := s.field("policy", "subject", "filter"); filter != "" {
		// PolicySubject.filter: "pattern used to filter untrusted IdP usernames".
		pattern, err := regexp.Compile("^(?:" + filter + ")$")
		if err != nil || !pattern.MatchString(user) {
			return "", refuse(http.StatusForbidden, "the user %q of IdP %s does not match policy.subject.filter, %q", user, idpID, filter)
		}
	}
	return user, nil
}

// verified is the one assertion of a response that is as the IdP's document
// wants it. Stricter: no clock skew is allowed, whatever policy.maxClockSkew
// says, and the trust key's certificate must not have expired.
func (s *signing) verified(response string) (*types.Assertion, error) {
	trusted := &dsig.MemoryX509CertificateStore{}
	for _, k := range s.trust {
		trusted.Roots = append(trusted.Roots, k.Certificate)
	}
	sp := &saml2.SAMLServiceProvider{
		IdentityProviderIssuer:      s.field("protocol", "credentials", "trust", "issuer"),
		AssertionConsumerServiceURL: idpACS(s.id, s.base),
		AudienceURI:                 idpAudience(s.doc),
		IDPCertificateStore:         trusted,
		SPKeyStore:                  dsig.TLSCertKeyStore(tls.Certificate{Certificate: [][]byte{s.key.Certificate.Raw}, PrivateKey: crypto.PrivateKey(s.key.PrivateKey)}),
		Clock:                       dsig.NewFakeClockAt(s.now),
	}
	// ProtocolAlgorithmResponseScope: ANY, RESPONSE or TOKEN, which is the assertion.
	scope := s.field("protocol", "algorithms", "response", "signature", "scope")
	if scope == "TOKEN" {
		var err error
		if response, err = unsigned(response); err != nil {
			return nil, err
		}
	}
	r, err := sp.ValidateEncodedResponse(response)
	if err != nil {
		return nil, err
	}
	if len(r.Assertions) != 1 {
		return nil, fmt.Errorf("it has %d assertions, and must have one", len(r.Assertions))
	}
	assertion := &r.Assertions[0]
	if scope == "RESPONSE" && !r.SignatureValidated {
		return nil, errors.New("it is not signed itself, which algorithms.response.signature.scope RESPONSE asks for")
	}
	if r.SignatureValidated && r.Destination == "" {
		return nil, errors.New("it is signed and has no Destination")
	}
	warning, err := sp.VerifyAssertionConditions(assertion)
	switch {
	case err != nil:
		return nil, err
	case warning.InvalidTime:
		return nil, fmt.Errorf("the assertion is valid from %s until %s, and it is %s", assertion.Conditions.NotBefore, assertion.Conditions.NotOnOrAfter, stamp(s.now))
	case warning.NotInAudience || len(assertion.Conditions.AudienceRestrictions) == 0:
		return nil, fmt.Errorf("the assertion is not for the audience %q", idpAudience(s.doc))
	case assertion.Subject.NameID == nil || assertion.Subject.NameID.Value == "":
		return nil, errors.New("the assertion names nobody")
	case assertion.ID == "":
		return nil, errors.New("the assertion has no ID")
	}
	return assertion, nil
}

// unsigned takes a response's own signature away, so that its assertion must
// have one: the library asks for either.
func unsigned(response string) (string, error) {
	text, err := base64.StdEncoding.DecodeString(response)
	if err != nil {
		return "", err
	}
	doc := etree.NewDocument()
	if err := doc.ReadFromBytes(text); err != nil || doc.Root() == nil {
		return "", fmt.Errorf("it is no XML: %w", err)
	}
	for _, child := range doc.Root().ChildElements() {
		if child.Tag == "Signature" && child.NamespaceURI() == dsig.Namespace {
			doc.Root().RemoveChild(child)
		}
	}
	text, err = doc.WriteToBytes()
	return base64.StdEncoding.EncodeToString(text), err
}

// answers checks that the assertion answers a request of the org's, or none, as
// where a sign-in starts at the partner; and that it has not been used before
// ("Profiles for SAML", section 4.1.4.5).
func (o *Org) answers(assertion *types.Assertion, now time.Time) error {
	data := assertion.Subject.SubjectConfirmation.SubjectConfirmationData
	o.mu.Lock()
	defer o.mu.Unlock()
	if request := data.InResponseTo; request != "" {
		until, waits := o.messages["request "+request]
		if !waits || now.After(until) {
			return fmt.Errorf("InResponseTo is %q, and no such request waits for an answer", request)
		}
		delete(o.messages, "request "+request)
	}
	if _, used := o.messages["assertion "+assertion.ID]; used {
		return fmt.Errorf("the assertion %q has been used already", assertion.ID)
	}
	end, err := time.Parse(time.RFC3339, data.NotOnOrAfter)
	if err != nil {
		return fmt.Errorf("NotOnOrAfter: %w", err)
	}
	o.remember("assertion", assertion.ID, end)
	return nil
}
