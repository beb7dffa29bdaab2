package oktasim

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/http"
	"time"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"
)

// Sign-ins are real SAML 2.0: the messages of the Web Browser SSO profile
// ("Profiles for the OASIS Security Assertion Markup Language", section 4.1),
// signed with a target's active key. What an app's and an IdP's document says
// about them is followed; what is not simulated, such as SLO and the encryption
// of an app's assertions, is refused.

// The namespaces and URIs of SAML 2.0's core.
const (
	nsProtocol  = "urn:oasis:names:tc:SAML:2.0:protocol"
	nsAssertion = "urn:oasis:names:tc:SAML:2.0:assertion"

	bindingPost     = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST"
	formatEntity    = "urn:oasis:names:tc:SAML:2.0:nameid-format:entity"
	methodBearer    = "urn:oasis:names:tc:SAML:2.0:cm:bearer"
	statusSuccess   = "urn:oasis:names:tc:SAML:2.0:status:Success"
	attributeString = "xs:string"
)

// assertionLife is how long before and after its making an assertion is valid:
// Okta's 5 minutes each way.
const assertionLife = 5 * time.Minute

// SignInError is why the org signs nobody in.
type SignInError struct {
	// Status is what the org's page answers with.
	Status int
	// Reason names the target and what is wrong with the message or with it.
	Reason string
}

func (e *SignInError) Error() string { return "oktasim: " + e.Reason }

func refuse(status int, format string, args ...any) error {
	return &SignInError{status, fmt.Sprintf(format, args...)}
}

// Now is the time by the org's clock.
func (o *Org) Now() time.Time { return o.now() }

// base is the org's URL in messages that answer no request.
func (o *Org) base() string {
	if o.baseURL == "" {
		return "https://example.okta.com"
	}
	return o.baseURL
}

// messageID is an xs:ID, which must not start with a digit.
func messageID() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails, see crypto/rand
	return "id" + hex.EncodeToString(b)
}

// element adds a child. Each SAML element that may be signed by itself declares
// its own namespaces.
func element(parent *etree.Element, tag, text string, attributes ...string) *etree.Element {
	child := parent.CreateElement(tag)
	if text != "" {
		child.SetText(text)
	}
	for i := 0; i < len(attributes); i += 2 {
		child.CreateAttr(attributes[i], attributes[i+1])
	}
	return child
}

// signer signs with a key, as Okta does: exclusive canonicalization, and the
// certificate in KeyInfo.
func signer(k *Key, method string) (*dsig.SigningContext, error) {
	context, err := dsig.NewSigningContext(k.PrivateKey, [][]byte{k.Certificate.Raw})
	if err != nil {
		return nil, err
	}
	context.Canonicalizer = dsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList("")
	return context, context.SetSignatureMethod(method)
}

// sign puts an enveloped signature behind the element's Issuer, which is where
// the schemas of SAML want it.
func sign(el *etree.Element, k *Key, method string) error {
	context, err := signer(k, method)
	if err != nil {
		return err
	}
	signature, err := context.ConstructSignature(el, true)
	if err != nil {
		return err
	}
	el.InsertChildAt(1, signature)
	return nil
}

func document(root *etree.Element) ([]byte, error) {
	doc := etree.NewDocument()
	doc.SetRoot(root)
	return doc.WriteToBytes()
}

// signing is what a sign-in needs of a target: taken at one moment, so that
// nothing is signed while the org is locked.
type signing struct {
	kind, id string
	doc      []byte
	key      *Key   // the active one
	base     string // of the org's URLs
	now      time.Time
	trust    []*Key // IdPs: the partner's keys
}

// signing looks at a target that users sign in through.
func (o *Org) signing(kind, id, base string) (*signing, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if base == "" {
		base = o.base()
	}
	t := o.find(kind, id)
	switch {
	case t == nil:
		return nil, refuse(http.StatusNotFound, "there is no %s %s", kind, id)
	case lookupString(t.doc, "status") != "ACTIVE":
		return nil, refuse(http.StatusForbidden, "%s %s is %s: nobody signs in through it", kind, id, lookupString(t.doc, "status"))
	case kind == KindApp && t.facts().mode != "SAML_2_0", kind == KindIDP && t.facts().mode != "SAML2":
		return nil, refuse(http.StatusNotFound, "%s %s does not use SAML 2.0: its mode is %s", kind, id, t.facts().mode)
	}
	k := t.key(t.activeKid())
	if k == nil {
		return nil, refuse(http.StatusInternalServerError, "%s %s has no active key", kind, id)
	}
	s := &signing{kind: kind, id: id, doc: t.doc, key: k.whole(), base: base, now: o.now()}
	if kind == KindIDP {
		s.trust = o.trustOf(t)
	}
	return s, nil
}

// trustOf are the keys by which the org knows the partner of an IdP.
func (o *Org) trustOf(t *target) []*Key {
	credentials := lookup(t.doc, "protocol", "credentials", "trust")
	kids := append(elements(lookup(credentials, "additionalKids")), lookup(credentials, "kid"))
	var trusted []*Key
	for _, raw := range kids {
		kid, _ := asString(raw)
		for _, k := range o.trust {
			if k.Kid == kid {
				trusted = append(trusted, k.whole())
			}
		}
	}
	return trusted
}

func (s *signing) field(path ...string) string { return lookupString(s.doc, path...) }

// is tells whether a field is true.
func (s *signing) is(path ...string) bool { return string(lookup(s.doc, path...)) == "true" }

// signatureMethods are by the words of an app's document, then those of an IdP's.
var signatureMethods = map[string]string{
	"RSA_SHA256 SHA256": dsig.RSASHA256SignatureMethod, "RSA_SHA1 SHA1": dsig.RSASHA1SignatureMethod,
	"SHA-256": dsig.RSASHA256SignatureMethod, "SHA-1": dsig.RSASHA1SignatureMethod,
}
