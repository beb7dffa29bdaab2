package oktasim

import (
	"bytes"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// IDPSpec says what AddIDP adds. Only Label is needed; the rest defaults to an
// active SAML2 IdP with a signing key of its own and a trust key of a partner.
type IDPSpec struct {
	ID      string // default: a new one
	Label   string // the IdP's name
	Type    string // default: SAML2
	Status  string // default: ACTIVE
	Created time.Time
	Key     *Key   // the active signing key; default for SAML2: NewKey, created with the IdP
	Keys    []*Key // further signing keys that are not active
	Raw     string // as in AppSpec
}

// idpTypes of the API spec.
var idpTypes = []string{
	"AMAZON", "APPLE", "DISCORD", "FACEBOOK", "GITHUB", "GITLAB", "GOOGLE", "IDV_CLEAR", "IDV_INCODE", "IDV_PERSONA",
	"IDV_STANDARD", "LINKEDIN", "LOGINGOV", "LOGINGOV_SANDBOX", "MICROSOFT", "OIDC", "OKTA_INTEGRATION", "PAYPAL",
	"PAYPAL_SANDBOX", "SALESFORCE", "SAML2", "SPOTIFY", "X509", "XERO", "YAHOO", "YAHOOJP",
}

// AddIDP adds an identity provider and returns its id.
func (o *Org) AddIDP(spec IDPSpec) (id string) {
	now := o.now()
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.addIDP(spec, nil, now)
}

// addIDP is AddIDP with o.mu held; a nil trust key is made.
func (o *Org) addIDP(spec IDPSpec, trust *Key, now time.Time) (id string) {
	if spec.ID == "" {
		spec.ID = o.newID("0oa")
	}
	if spec.Type == "" {
		spec.Type = "SAML2"
	}
	if spec.Status == "" {
		spec.Status = "ACTIVE"
	}
	if spec.Created.IsZero() {
		spec.Created = now.AddDate(-1, 0, 0)
	}
	t := &target{kind: KindIDP, id: spec.ID}
	protocol := []byte(`{"type":"OIDC","endpoints":{"authorization":{"url":"https://op.example.com/authorize","binding":"HTTP-REDIRECT"},` +
		`"token":{"url":"https://op.example.com/token","binding":"HTTP-POST"},"jwks":{"url":"https://op.example.com/keys","binding":"HTTP-REDIRECT"}},` +
		`"scopes":["openid","email","profile"],"issuer":{"url":"https://op.example.com"},"credentials":{"client":{"client_id":"example-client"}}}`)
	if spec.Type == "SAML2" {
		if spec.Key == nil {
			spec.Key = NewKey(KeySpec{Created: spec.Created})
		}
		if trust == nil {
			trust = NewKey(KeySpec{Created: spec.Created, CommonName: "idp.example.com", Kid: o.newID("kid")})
		}
		if !slices.Contains(o.trust, trust) { // a partner may have several IdPs with one certificate
			o.trust = append(o.trust, trust)
		}
		protocol = []byte(`{"type":"SAML2","endpoints":{"sso":{"url":"https://idp.example.com/saml2/sso","binding":"HTTP-POST","destination":"https://idp.example.com/saml2/sso"},` +
			`"acs":{"binding":"HTTP-POST","type":"INSTANCE"}},"algorithms":{"request":{"signature":{"algorithm":"SHA-256","scope":"REQUEST"}},` +
			`"response":{"signature":{"algorithm":"SHA-256","scope":"ANY"}}},"settings":{"nameFormat":"urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified","honorPersistentNameId":true},` +
			`"credentials":{"trust":{"issuer":"https://idp.example.com/` + spec.ID + `","audience":"https://www.okta.com/saml2/service-provider/sp` + strings.TrimPrefix(spec.ID, "0oa") + `"},"signing":{}}}`)
		protocol = setPath(protocol, quote(trust.Kid), "credentials", "trust", "kid")
		protocol = setPath(protocol, quote(spec.Key.Kid), "credentials", "signing", "kid")
		t.keys = append(t.keys, spec.Key)
	}
	t.keys = append(t.keys, spec.Keys...)
	t.doc = []byte("{}")
	for _, m := range []struct {
		name string
		raw  []byte
	}{
		{"id", quote(spec.ID)},
		{"type", quote(spec.Type)},
		{"issuerMode", quote("DYNAMIC")},
		{"name", quote(spec.Label)},
		{"status", quote(spec.Status)},
		{"created", quote(stamp(spec.Created))},
		{"lastUpdated", quote(stamp(spec.Created))},
		{"protocol", protocol},
		{"policy", []byte(`{"provisioning":{"action":"AUTO","profileMaster":false,"groups":{"action":"NONE"},"conditions":{"deprovisioned":{"action":"NONE"},"suspended":{"action":"NONE"}}},` +
			`"accountLink":{"filter":null,"action":"AUTO"},"subject":{"userNameTemplate":{"template":"idpuser.subjectNameId"},"filter":null,"matchType":"USERNAME","matchAttribute":null},` +
			`"mapAMRClaims":false,"trustClaims":false,"maxClockSkew":120000}`)},
	} {
		t.doc = setMember(t.doc, m.name, m.raw)
	}
	o.add(t, spec.Raw)
	return spec.ID
}

// AddTrustKey puts a partner's certificate into the org's trust keystore.
func (o *Org) AddTrustKey(key *Key) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.trust = append(o.trust, key)
}

// listIDPs: listIdentityProviders.
func (o *Org) listIDPs(c *call) (*answer, error) {
	kind := c.query.Get("type")
	if kind != "" && !slices.Contains(idpTypes, kind) {
		return nil, invalid("type", "type: Unknown identity provider type: "+kind)
	}
	q := strings.ToLower(c.query.Get("q"))
	list := o.targets[KindIDP]
	return o.page(c, defaultPage, len(list), func(i int) []byte {
		t := list[i]
		if t.deleted || kind != "" && t.facts().mode != kind || q != "" && !startsWith(t.facts().name, q) {
			return nil
		}
		return t.serve(c.base)
	})
}

// serversInIDPPut are the members of an IdP that a PUT does not change: the
// read-only ones of the schema, and status, which has lifecycle operations.
var serversInIDPPut = []string{"id", "status", "created", "lastUpdated"}

// replaceIDP: replaceIdentityProvider (Okta guide, step 5). Partial updates are
// not supported: the body is the new document, and what it leaves out is lost.
func (o *Org) replaceIDP(c *call) (*answer, error) {
	t, err := c.target(o)
	if err != nil {
		return nil, err
	}
	if err := o.checkIDPPut(t, c.body); err != nil {
		return nil, err
	}
	doc := removeMember(bytes.TrimSpace(c.body), "_links")
	for _, name := range serversInIDPPut {
		doc = setMember(doc, name, lookup(t.doc, name))
	}
	old := t.activeKid()
	t.doc = setMember(doc, "lastUpdated", quote(stamp(c.now)))
	t.switched(old, o.now())
	reply := jsonAnswer(http.StatusOK, t.serve(c.base))
	t.drift(o.now())
	return reply, nil
}

// checkIDPPut validates what the schema describes of a SAML2 IdP. The schema
// requires no member; an IdP without these does not work, so refusing is the
// stricter choice. protocol.credentials.signing may be left out (the spec's own
// example does) and is then lost like anything else.
func (o *Org) checkIDPPut(t *target, body []byte) error {
	blank := func(field string) error { return invalid(field, field+": The field cannot be left blank") }
	if kind, ok := asString(lookup(body, "type")); !ok || kind != lookupString(t.doc, "type") {
		return invalid("type", "type: The type of an identity provider cannot be changed")
	}
	name, ok := asString(lookup(body, "name"))
	if !ok || strings.TrimSpace(name) == "" {
		return blank("name")
	}
	if utf8.RuneCountInString(name) > 100 {
		return invalid("name", "name: The field is too long: at most 100 characters")
	}
	for _, other := range o.targets[KindIDP] {
		if other != t && !other.deleted && other.facts().name == name {
			return invalid("name", "name: Another identity provider has this name")
		}
	}
	for _, path := range []string{"protocol", "policy"} {
		if !isObject(lookup(body, path)) {
			return blank(path)
		}
	}
	if !t.isSAML() {
		return nil
	}
	if lookupString(body, "protocol", "type") != "SAML2" {
		return invalid("protocol.type", "protocol.type: The protocol must correspond with the type")
	}
	for _, path := range []string{
		"protocol.endpoints.sso.url", "protocol.endpoints.sso.binding", "protocol.endpoints.acs.binding",
		"protocol.credentials.trust.issuer", "protocol.credentials.trust.kid",
	} {
		if lookupString(body, strings.Split(path, ".")...) == "" {
			return blank(path)
		}
	}
	// API spec, SamlSsoEndpoint: required if request signatures are specified.
	if lookupString(body, "protocol", "algorithms", "request", "signature", "scope") == "REQUEST" &&
		lookupString(body, "protocol", "endpoints", "sso", "destination") == "" {
		return blank("protocol.endpoints.sso.destination")
	}
	for _, path := range []string{"provisioning", "accountLink", "subject"} {
		if !isObject(lookup(body, "policy", path)) {
			return blank("policy." + path)
		}
	}
	trusted := func(raw []byte) bool {
		kid, ok := asString(raw)
		return ok && slices.ContainsFunc(o.trust, func(k *Key) bool { return k.Kid == kid })
	}
	kids := elements(lookup(body, "protocol", "credentials", "trust", "additionalKids"))
	for _, kid := range append(kids, lookup(body, "protocol", "credentials", "trust", "kid")) {
		if !trusted(kid) {
			return invalid("protocol.credentials.trust", "protocol.credentials.trust: The key is not in the trust keystore")
		}
	}
	if raw := lookup(body, "protocol", "credentials", "signing", "kid"); raw != nil {
		if kid, ok := asString(raw); !ok || t.key(kid) == nil {
			return invalid("protocol.credentials.signing.kid", "protocol.credentials.signing.kid: The key is not one of this identity provider's signing keys")
		}
	}
	return nil
}
