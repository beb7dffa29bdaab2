package oktasim

import (
	"bytes"
	"compress/flate"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/beevik/etree"
	"github.com/google/go-cmp/cmp"
	dsig "github.com/russellhaering/goxmldsig"
)

// signIn signs somebody in to an app and reads the response.
func (f *fixture) signIn(id, request string) *etree.Element {
	f.t.Helper()
	var text []byte
	if request != "" {
		text = []byte(request)
	}
	response, err := f.SignIn(id, "ada@example.com", text)
	if err != nil {
		f.t.Fatal(err)
	}
	return parsed(f.t, response)
}

func parsed(t *testing.T, text []byte) *etree.Element {
	t.Helper()
	doc := etree.NewDocument()
	if err := doc.ReadFromBytes(text); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return doc.Root()
}

// at is the text of the element at a path, or the value of its attribute.
func at(el *etree.Element, path, attribute string) string {
	if path != "" {
		el = el.FindElement(path)
	}
	switch {
	case el == nil:
		return "(none)"
	case attribute != "":
		return el.SelectAttrValue(attribute, "(none)")
	}
	return el.Text()
}

// signedBy checks an enveloped signature against one certificate.
func (f *fixture) signedBy(el *etree.Element, k Key) error {
	context := dsig.NewDefaultValidationContext(&dsig.MemoryX509CertificateStore{Roots: []*x509.Certificate{k.Certificate}})
	context.Clock = dsig.NewFakeClockAt(f.Now())
	_, err := context.Validate(el)
	return err
}

func (f *fixture) active(kind, id string) Key {
	for _, k := range f.Keys(kind, id) {
		if k.Kid == f.ActiveKid(kind, id) {
			return k
		}
	}
	f.t.Fatalf("%s %s has no active key", kind, id)
	return Key{}
}

// request is what an app sends. replace takes pairs of texts.
func (f *fixture) request(id string, replace ...string) string {
	doc := f.Document(KindApp, id)
	text := `<samlp:AuthnRequest xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" ID="_4711" Version="2.0" IssueInstant="` + stamp(f.Now()) + `"` +
		` Destination="` + appSSO(doc, id, "http://org.example.com") + `" ProtocolBinding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST"` +
		` AssertionConsumerServiceURL="` + lookupString(doc, "settings", "signOn", "ssoAcsUrl") + `">` +
		`<saml:Issuer xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion">` + lookupString(doc, "settings", "signOn", "audience") + `</saml:Issuer></samlp:AuthnRequest>`
	return strings.NewReplacer(replace...).Replace(text)
}

func TestAResponseSaysWhatTheAppsDocumentSays(t *testing.T) {
	f := newFixture(t)
	id := f.AddApp(AppSpec{Label: "CRM", Name: "example_crm_1", Raw: `{"settings":{"signOn":{
		"audience":"https://crm.example.com/sp","recipient":"https://crm.example.com/recipient","destination":"https://crm.example.com/destination",
		"attributeStatements":[
			{"type":"EXPRESSION","name":"mail","namespace":"urn:oasis:names:tc:SAML:2.0:attrname-format:basic","values":["user.email"]},
			{"type":"EXPRESSION","name":"department","namespace":"urn:oasis:names:tc:SAML:2.0:attrname-format:basic","values":["user.department"]},
			{"type":"GROUP","name":"groups","filterType":"REGEX","filterValue":".*"}]}}}`})
	response := f.signIn(id, f.request(id))
	d, _ := f.certificates("/api/v1/apps/" + id + "/sso/saml/metadata")

	const assertion = "./Assertion/"
	const condition = assertion + "Conditions"
	const confirmation = assertion + "Subject/SubjectConfirmation/SubjectConfirmationData"
	got := map[string]string{}
	for name, where := range map[string][2]string{
		"issuer of the response":     {"./Issuer", ""},
		"destination":                {"", "Destination"},
		"response answers":           {"", "InResponseTo"},
		"response issued":            {"", "IssueInstant"},
		"status":                     {"./Status/StatusCode", "Value"},
		"issuer of the assertion":    {assertion + "Issuer", ""},
		"user":                       {assertion + "Subject/NameID", ""},
		"format of the user's name":  {assertion + "Subject/NameID", "Format"},
		"recipient":                  {confirmation, "Recipient"},
		"confirmation answers":       {confirmation, "InResponseTo"},
		"confirmation until":         {confirmation, "NotOnOrAfter"},
		"valid from":                 {condition, "NotBefore"},
		"valid until":                {condition, "NotOnOrAfter"},
		"audience":                   {condition + "/AudienceRestriction/Audience", ""},
		"authenticated":              {assertion + "AuthnStatement", "AuthnInstant"},
		"context":                    {assertion + "AuthnStatement/AuthnContext/AuthnContextClassRef", ""},
		"attribute":                  {assertion + "AttributeStatement/Attribute[1]", "Name"},
		"its value":                  {assertion + "AttributeStatement/Attribute[1]/AttributeValue", ""},
		"a second attribute":         {assertion + "AttributeStatement/Attribute[2]", "Name"},
		"signature algorithm":        {assertion + "Signature/SignedInfo/SignatureMethod", "Algorithm"},
		"digest algorithm":           {assertion + "Signature/SignedInfo/Reference/DigestMethod", "Algorithm"},
		"canonicalization":           {assertion + "Signature/SignedInfo/CanonicalizationMethod", "Algorithm"},
		"signature algorithm, outer": {"./Signature/SignedInfo/SignatureMethod", "Algorithm"},
	} {
		got[name] = at(response, where[0], where[1])
	}
	want := map[string]string{
		"issuer of the response":     d.EntityID,
		"destination":                "https://crm.example.com/destination",
		"response answers":           "_4711",
		"response issued":            "2026-03-02T09:00:00.000Z",
		"status":                     "urn:oasis:names:tc:SAML:2.0:status:Success",
		"issuer of the assertion":    d.EntityID,
		"user":                       "ada@example.com",
		"format of the user's name":  "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress",
		"recipient":                  "https://crm.example.com/recipient",
		"confirmation answers":       "_4711",
		"confirmation until":         "2026-03-02T09:05:00.000Z",
		"valid from":                 "2026-03-02T08:55:00.000Z",
		"valid until":                "2026-03-02T09:05:00.000Z",
		"audience":                   "https://crm.example.com/sp",
		"authenticated":              "2026-03-02T09:00:00.000Z",
		"context":                    "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport",
		"attribute":                  "mail",
		"its value":                  "ada@example.com",
		"a second attribute":         "(none)",
		"signature algorithm":        "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256",
		"digest algorithm":           "http://www.w3.org/2001/04/xmlenc#sha256",
		"canonicalization":           "http://www.w3.org/2001/10/xml-exc-c14n#",
		"signature algorithm, outer": "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if unasked := f.signIn(id, ""); at(unasked, "", "InResponseTo") != "(none)" || at(unasked, confirmation, "InResponseTo") != "(none)" {
		t.Error("a response that nobody has asked for answers something")
	}
}

func TestTheAppsDocumentSaysWhatIsSigned(t *testing.T) {
	f := newFixture(t)
	for _, c := range []struct {
		raw                 string
		response, assertion bool
	}{
		{`{}`, true, true},
		{`{"settings":{"signOn":{"assertionSigned":false}}}`, true, false},
		{`{"settings":{"signOn":{"responseSigned":false}}}`, false, true},
		{`{"settings":{"signOn":{"signatureAlgorithm":"RSA_SHA1","digestAlgorithm":"SHA1"}}}`, true, true},
	} {
		id := f.AddApp(AppSpec{Label: "A", Raw: c.raw})
		response := f.signIn(id, "")
		key := f.active(KindApp, id)
		for what, wanted := range map[string]bool{"./Assertion": c.assertion, ".": c.response} {
			err := f.signedBy(response.FindElement(what), key)
			if wanted && err != nil || !wanted && !errors.Is(err, dsig.ErrMissingSignature) {
				t.Errorf("%s: %s is signed: %t: %v", c.raw, what, wanted, err)
			}
		}
		if sha1 := strings.Contains(c.raw, "SHA1"); sha1 != strings.HasSuffix(at(response, "./Signature/SignedInfo/SignatureMethod", "Algorithm"), "#rsa-sha1") {
			t.Errorf("%s: signed by %s", c.raw, at(response, "./Signature/SignedInfo/SignatureMethod", "Algorithm"))
		}
	}
}

func TestAResponseIsSignedWithTheKeyThatTheMetadataShows(t *testing.T) {
	f := newFixture(t)
	id := f.AddApp(AppSpec{Label: "A"})
	path := "/api/v1/apps/" + id + "/sso/saml/metadata"
	signed := func() {
		t.Helper()
		response := f.signIn(id, "")
		if err := f.signedBy(response, f.active(KindApp, id)); err != nil {
			t.Error(err)
		}
		if _, certs := f.certificates(path); certs["signing"] != at(response, "./Signature/KeyInfo/X509Data/X509Certificate", "") {
			t.Error("the metadata shows another certificate than the signature has")
		}
		if got := string(f.ok(200, "GET", path, "").body); got != string(f.Metadata(KindApp, id)) {
			t.Errorf("an administrator gets another metadata than the API: %s", got)
		}
	}
	signed()
	kid := f.publishNew(KindApp, id)
	signed()
	f.ok(200, "PUT", "/api/v1/apps/"+id, f.minimalBody(id, kid))
	signed()
	if f.ActiveKid(KindApp, id) != kid {
		t.Error("the published key is not active")
	}
}

func TestNobodySignsIn(t *testing.T) {
	f := newFixture(t)
	id := f.AddApp(AppSpec{Label: "A"})
	deleted := f.AddApp(AppSpec{Label: "D"})
	f.Delete(KindApp, deleted)
	with := func(raw string) string { return f.AddApp(AppSpec{Label: "X", Raw: raw}) }
	keyless := f.AddApp(AppSpec{Label: "K"})
	f.Edit(KindApp, keyless, "credentials.signing.kid", `"none"`)
	for _, c := range []struct {
		name, id string
		request  string
		status   int
		says     string
	}{
		{"through an app that does not exist", "0oanone", "", 404, "there is no app"},
		{"through a deleted app", deleted, "", 404, "there is no app"},
		{"through an inactive app", f.AddApp(AppSpec{Label: "I", Status: "INACTIVE"}), "", 403, "is INACTIVE"},
		{"through an app without SAML", f.AddApp(AppSpec{Label: "O", SignOnMode: "OPENID_CONNECT"}), "", 404, "does not use SAML 2.0"},
		{"through a SAML 1.1 app", f.AddApp(AppSpec{Label: "O", SignOnMode: "SAML_1_1"}), "", 404, "does not use SAML 2.0"},
		{"through an app without a key", keyless, "", 500, "no active key"},
		{"where nothing would be signed", with(`{"settings":{"signOn":{"responseSigned":false,"assertionSigned":false}}}`), "", 500, "neither"},
		{"where algorithms are mixed", with(`{"settings":{"signOn":{"digestAlgorithm":"SHA1"}}}`), "", 501, "RSA_SHA256 SHA1"},
		{"where requests must be signed", with(`{"settings":{"signOn":{"samlSignedRequestEnabled":true}}}`), "", 501, "samlSignedRequestEnabled"},
		{"where assertions are encrypted", with(`{"settings":{"signOn":{"assertionEncryption":{"enabled":true}}}}`), "", 501, "assertionEncryption"},
		{"by what is no XML", id, "<", 400, "no XML"},
		{"by something else", id, f.request(id, "AuthnRequest", "LogoutRequest"), 400, "not an AuthnRequest"},
		{"by another protocol's request", id, f.request(id, "SAML:2.0:protocol", "SAML:1.0:protocol"), 400, "not an AuthnRequest"},
		{"by another version's request", id, f.request(id, `Version="2.0"`, `Version="1.1"`), 400, "Version"},
		{"by a request without an ID", id, f.request(id, `ID="_4711"`, ``), 400, "ID"},
		{"by nobody's request", id, f.request(id, "Issuer", "Extensions"), 400, "Issuer"},
		{"by an old request", id, f.request(id, "09:00:00", "08:54:59"), 400, "IssueInstant"},
		{"by a request for another app", id, f.request(id, "/sso/saml\"", "/sso/saml2\""), 400, "Destination"},
		{"by a request for another binding", id, f.request(id, "HTTP-POST", "HTTP-Artifact"), 400, "ProtocolBinding"},
		{"by a request for an answer elsewhere", id, f.request(id, "/saml/acs", "/elsewhere"), 400, "AssertionConsumerServiceURL"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var text []byte
			if c.request != "" {
				text = []byte(c.request)
			}
			_, err := f.SignIn(c.id, "ada@example.com", text)
			var refused *SignInError
			if !errors.As(err, &refused) || refused.Status != c.status || !strings.Contains(refused.Reason, c.says) {
				t.Errorf("the error is %v; want status %d and %q", err, c.status, c.says)
			}
		})
	}
	f.signIn(id, f.request(id))
}

var formPattern = regexp.MustCompile(`action="([^"]*)"><input type="hidden" name="([^"]*)" value="([^"]*)"`)

// form reads the form of a page that a browser takes to the other side.
func (r reply) form(t *testing.T) (action, field string, message []byte) {
	t.Helper()
	m := formPattern.FindStringSubmatch(string(r.body))
	if m == nil {
		t.Fatalf("no form in %s", r.body)
	}
	message, err := base64.StdEncoding.DecodeString(strings.ReplaceAll(m[3], "&#43;", "+"))
	if err != nil {
		t.Fatal(err)
	}
	return m[1], m[2], message
}

func TestABrowserSignsInAtTheAddressOfTheMetadata(t *testing.T) {
	f := newFixture(t)
	id := f.AddApp(AppSpec{Label: "A"})
	d, _ := f.certificates("/api/v1/apps/" + id + "/sso/saml/metadata")
	address, err := url.Parse(d.IDP.SSO[0].Location)
	if err != nil {
		t.Fatal(err)
	}
	f.ResetCalls()
	var deflated bytes.Buffer
	w, _ := flate.NewWriter(&deflated, flate.BestSpeed)
	_, _ = w.Write([]byte(f.request(id)))
	_ = w.Close()
	redirect := url.Values{"SAMLRequest": {base64.StdEncoding.EncodeToString(deflated.Bytes())}, "RelayState": {`"back"`}}
	post := url.Values{"SAMLRequest": {base64.StdEncoding.EncodeToString([]byte(f.request(id)))}, "RelayState": {`"back"`}}
	for name, r := range map[string]reply{
		"by GET":  f.ok(200, "GET", address.Path+"?"+redirect.Encode(), "", "Authorization: "),
		"by POST": f.ok(200, "POST", address.Path, post.Encode(), "Content-Type: application/x-www-form-urlencoded", "Sec-Fetch-Site: cross-site", "Authorization: "),
	} {
		action, field, message := r.form(t)
		response := parsed(t, message)
		if action != lookupString(f.Document(KindApp, id), "settings", "signOn", "ssoAcsUrl") || field != "SAMLResponse" || at(response, "", "InResponseTo") != "_4711" {
			t.Errorf("%s: %s to %s, for %s", name, field, action, at(response, "", "InResponseTo"))
		}
		if err := f.signedBy(response, f.active(KindApp, id)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if !strings.Contains(string(r.body), `name="RelayState" value="&#34;back&#34;"`) {
			t.Errorf("%s: no RelayState in %s", name, r.body)
		}
	}
	f.ok(200, "GET", address.Path, "")
	f.ok(400, "GET", address.Path+"?SAMLRequest=%21", "")
	f.ok(400, "POST", address.Path, url.Values{"SAMLRequest": {"PGE+"}}.Encode(), "Content-Type: application/x-www-form-urlencoded")
	f.ok(404, "GET", strings.Replace(address.Path, "exk", "exl", 1), "")
	f.Edit(KindApp, id, "status", `"INACTIVE"`)
	f.ok(403, "GET", address.Path, "")
	if len(f.Calls()) > 0 {
		t.Error("sign-ins count as calls of the API")
	}
}

func TestSwitchesAreListedWhoeverMakesThem(t *testing.T) {
	f := newFixture(t)
	app, idp := f.AddApp(AppSpec{Label: "A"}), f.AddIDP(IDPSpec{Label: "B"})
	appKids := []string{f.ActiveKid(KindApp, app), f.publishNew(KindApp, app)}
	idpKids := []string{f.ActiveKid(KindIDP, idp), f.publishNew(KindIDP, idp)}
	var want []Switch
	is := func(kind, id string) {
		t.Helper()
		if diff := cmp.Diff(want, f.Switches(kind, id)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", kind, diff)
		}
	}
	is(KindApp, app)
	for i, change := range []func(kid string){
		func(kid string) { f.ok(200, "PUT", "/api/v1/apps/"+app, f.minimalBody(app, kid)) },
		func(kid string) { f.SetActiveKid(KindApp, app, kid) },
		func(kid string) { f.Edit(KindApp, app, "credentials.signing.kid", string(quote(kid))) },
		func(string) { f.ok(200, "PUT", "/api/v1/apps/"+app, f.minimalBody(app, appKids[1])) }, // which is active already
	} {
		f.clock.advance(time.Minute)
		kid := appKids[(i+1)%2]
		change(kid)
		if i < 3 {
			want = append(want, Switch{At: f.Now(), Kid: kid})
		}
		is(KindApp, app)
	}
	want = nil
	is(KindIDP, idp)
	f.ok(200, "PUT", "/api/v1/idps/"+idp, string(setPath(f.Document(KindIDP, idp), quote(idpKids[1]), "protocol", "credentials", "signing", "kid")))
	want = []Switch{{At: f.Now(), Kid: idpKids[1]}}
	is(KindIDP, idp)
}
