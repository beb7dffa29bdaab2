package oktasim

import (
	"compress/flate"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/beevik/etree"
	"github.com/crewjam/saml/xmlenc"
	"github.com/google/go-cmp/cmp"
)

func TestARequestToAnIDPIsSignedAsItsDocumentSays(t *testing.T) {
	f := newFixture(t)
	for _, c := range []struct {
		name, raw string
		method    string // of the signature in the XML, "" for none
	}{
		{"by default", `{}`, "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"},
		{"with SHA-1", `{"protocol":{"algorithms":{"request":{"signature":{"algorithm":"SHA-1"}}}}}`, "http://www.w3.org/2000/09/xmldsig#rsa-sha1"},
		{"not at all", `{"protocol":{"algorithms":{"request":{"signature":{"scope":"NONE"}}}}}`, ""},
	} {
		id := f.AddIDP(IDPSpec{Label: c.name, Raw: c.raw})
		d, _ := f.certificates("/api/v1/idps/" + id + "/metadata.xml")
		r, err := f.AuthnRequest(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.ParseForm(); err != nil || r.Method != http.MethodPost || r.URL.String() != "https://idp.example.com/saml2/sso" {
			t.Errorf("%s: %s %s %v", c.name, r.Method, r.URL, err)
		}
		text, err := base64.StdEncoding.DecodeString(r.PostForm.Get("SAMLRequest"))
		if err != nil {
			t.Fatal(err)
		}
		request := parsed(t, text)
		got := []string{at(request, "./Issuer", ""), at(request, "", "Destination"), at(request, "", "AssertionConsumerServiceURL"), at(request, "", "IssueInstant"), at(request, "./NameIDPolicy", "Format")}
		want := []string{d.EntityID, "https://idp.example.com/saml2/sso", d.SP.ACS[0].Location, "2026-03-02T09:00:00.000Z", "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
		err = f.signedBy(request, f.active(KindIDP, id))
		if c.method != "" && err != nil || c.method == "" && err == nil {
			t.Errorf("%s: signed: %v", c.name, err)
		}
		if got := at(request, "./Signature/SignedInfo/SignatureMethod", "Algorithm"); c.method != "" && got != c.method {
			t.Errorf("%s: signed by %s", c.name, got)
		}
	}
}

// redirected reads a request of the HTTP-Redirect binding.
func redirected(t *testing.T, address *url.URL) *etree.Element {
	t.Helper()
	deflated := base64.NewDecoder(base64.StdEncoding, strings.NewReader(address.Query().Get("SAMLRequest")))
	text, err := io.ReadAll(flate.NewReader(deflated))
	if err != nil {
		t.Fatal(err)
	}
	return parsed(t, text)
}

func TestARedirectIsSignedInItsQuery(t *testing.T) {
	f := newFixture(t)
	id := f.AddIDP(IDPSpec{Label: "A", Raw: `{"protocol":{"endpoints":{"sso":{"binding":"HTTP-REDIRECT","url":"https://idp.example.com/sso?tenant=1"}}}}`})
	r, err := f.AuthnRequest(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if r.Method != http.MethodGet || !strings.HasPrefix(r.URL.String(), "https://idp.example.com/sso?tenant=1&SAMLRequest=") {
		t.Errorf("%s %s", r.Method, r.URL)
	}
	_, signed, _ := strings.Cut(r.URL.RawQuery, "&")
	signed, _, _ = strings.Cut(signed, "&Signature=")
	signature, err := base64.StdEncoding.DecodeString(r.URL.Query().Get("Signature"))
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256([]byte(signed))
	if err := rsa.VerifyPKCS1v15(f.active(KindIDP, id).Certificate.PublicKey.(*rsa.PublicKey), crypto.SHA256, digest[:], signature); err != nil {
		t.Error(err)
	}
	if request := redirected(t, r.URL); request.FindElement("./Signature") != nil || at(request, "", "Destination") != "https://idp.example.com/saml2/sso" {
		t.Errorf("the XML has a signature too, or another destination")
	}
	unsigned := f.AddIDP(IDPSpec{Label: "B", Raw: `{"protocol":{"endpoints":{"sso":{"binding":"HTTP-REDIRECT"}},"algorithms":{"request":{"signature":{"scope":"NONE"}}}}}`})
	if r, err = f.AuthnRequest(t.Context(), unsigned); err != nil || r.URL.Query().Has("Signature") || r.URL.Query().Has("SigAlg") {
		t.Errorf("%v %v", r, err)
	}
}

func TestTheOrgSendsNobodyToAnIDPThatIsNotReady(t *testing.T) {
	f := newFixture(t)
	deleted := f.AddIDP(IDPSpec{Label: "D"})
	f.Delete(KindIDP, deleted)
	add := func(spec IDPSpec) string {
		spec.Label = opaque("idp", len(f.Targets(KindIDP)), 8)
		return f.AddIDP(spec)
	}
	for id, want := range map[string]int{
		deleted:                          404,
		add(IDPSpec{Type: "GOOGLE"}):     404,
		add(IDPSpec{Status: "INACTIVE"}): 403,
		add(IDPSpec{Raw: `{"protocol":{"endpoints":{"sso":{"binding":"SOAP"}}}}`}):                             500,
		add(IDPSpec{Raw: `{"protocol":{"endpoints":{"sso":{"url":"%"}}}}`}):                                    500,
		add(IDPSpec{Raw: `{"protocol":{"algorithms":{"request":{"signature":{"algorithm":"MD5"}}}}}`}):         500,
		add(IDPSpec{Raw: `{"protocol":{"credentials":{"signing":{"kid":"none"}}}}`}):                           500,
		add(IDPSpec{Raw: `{"protocol":{"endpoints":{"sso":{"binding":"HTTP-REDIRECT","url":"http://[::"}}}}`}): 500,
	} {
		_, err := f.AuthnRequest(t.Context(), id)
		var refused *SignInError
		if !errors.As(err, &refused) || refused.Status != want {
			t.Errorf("%s: %v, want status %d", f.Targets(KindIDP), err, want)
		}
	}
}

// answerOf is a response of a partner, as it should be unless the test spoils
// it.
type answerOf struct {
	f              *fixture
	idp            string
	key            Key // that signs
	inResponseTo   string
	signResponse   bool
	signAssertion  bool
	encryptTo      *Key
	spoilAssertion func(*etree.Element) // before it is signed
	spoil          func(*etree.Element) // after everything
}

func (f *fixture) answer(idp string) *answerOf {
	return &answerOf{f: f, idp: idp, key: f.TrustKey(idp), signResponse: true, signAssertion: true}
}

func (a *answerOf) xml() []byte {
	a.f.t.Helper()
	doc, now := a.f.Document(KindIDP, a.idp), a.f.Now()
	trust := func(name string) string { return lookupString(doc, "protocol", "credentials", "trust", name) }
	acs := "http://org.example.com/sso/saml2/" + a.idp
	attribute := ""
	if a.inResponseTo != "" {
		attribute = ` InResponseTo="` + a.inResponseTo + `"`
	}
	const space = ` xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion"`
	assertion := parsed(a.f.t, []byte(`<saml:Assertion`+space+` ID="`+messageID()+`" Version="2.0" IssueInstant="`+stamp(now)+`">`+
		`<saml:Issuer>`+trust("issuer")+`</saml:Issuer>`+
		`<saml:Subject><saml:NameID>ada@partner.example.com</saml:NameID><saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer">`+
		`<saml:SubjectConfirmationData Recipient="`+acs+`" NotOnOrAfter="`+stamp(now.Add(time.Minute))+`"`+attribute+`/></saml:SubjectConfirmation></saml:Subject>`+
		`<saml:Conditions NotBefore="`+stamp(now)+`" NotOnOrAfter="`+stamp(now.Add(time.Minute))+`"><saml:AudienceRestriction><saml:Audience>`+trust("audience")+`</saml:Audience></saml:AudienceRestriction></saml:Conditions>`+
		`</saml:Assertion>`))
	response := parsed(a.f.t, []byte(`<samlp:Response xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" ID="`+messageID()+`" Version="2.0" IssueInstant="`+stamp(now)+`" Destination="`+acs+`"`+attribute+`>`+
		`<saml:Issuer`+space+`>`+trust("issuer")+`</saml:Issuer><samlp:Status><samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Success"/></samlp:Status></samlp:Response>`))
	if a.spoilAssertion != nil {
		a.spoilAssertion(assertion)
	}
	const method = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"
	if a.signAssertion {
		a.must(sign(assertion, &a.key, method))
	}
	if a.encryptTo != nil {
		text, err := document(assertion)
		a.must(err)
		oaep := xmlenc.OAEP()
		oaep.DigestMethod = &xmlenc.SHA1 // every implementation knows it
		data, err := oaep.Encrypt(a.encryptTo.Certificate, text, nil)
		a.must(err)
		assertion = parsed(a.f.t, []byte(`<saml:EncryptedAssertion`+space+`/>`))
		assertion.AddChild(data)
	}
	response.AddChild(assertion)
	if a.signResponse {
		a.must(sign(response, &a.key, method))
	}
	if a.spoil != nil {
		a.spoil(response)
	}
	text, err := document(response)
	a.must(err)
	return text
}

func (a *answerOf) must(err error) {
	a.f.t.Helper()
	if err != nil {
		a.f.t.Fatal(err)
	}
}

// asked is the id of a request that the org has just sent.
func (f *fixture) asked(idp string) string {
	f.t.Helper()
	r, err := f.AuthnRequest(f.t.Context(), idp)
	if err != nil {
		f.t.Fatal(err)
	}
	if err := r.ParseForm(); err != nil {
		f.t.Fatal(err)
	}
	text, err := base64.StdEncoding.DecodeString(r.PostForm.Get("SAMLRequest"))
	if err != nil {
		f.t.Fatal(err)
	}
	return at(parsed(f.t, text), "", "ID")
}

func scoped(scope string) string {
	return `{"protocol":{"algorithms":{"response":{"signature":{"scope":"` + scope + `"}}}}}`
}

func TestTheOrgTakesWhatItsPartnerHasSigned(t *testing.T) {
	for _, c := range []struct {
		name, raw string
		make      func(*answerOf)
	}{
		{"response and assertion signed", `{}`, func(*answerOf) {}},
		{"only the response", `{}`, func(a *answerOf) { a.signAssertion = false }},
		{"only the assertion", `{}`, func(a *answerOf) { a.signResponse = false }},
		{"scope RESPONSE", scoped("RESPONSE"), func(a *answerOf) { a.signAssertion = false }},
		{"scope TOKEN", scoped("TOKEN"), func(a *answerOf) { a.signResponse = false }},
		{"scope TOKEN, and the response signed as well", scoped("TOKEN"), func(*answerOf) {}},
		{"an answer", `{}`, func(a *answerOf) { a.inResponseTo = a.f.asked(a.idp) }},
		{"encrypted for the active key", `{}`, func(a *answerOf) { k := a.f.active(KindIDP, a.idp); a.encryptTo = &k }},
		{"encrypted, and only the response signed", `{}`, func(a *answerOf) {
			k := a.f.active(KindIDP, a.idp)
			a.encryptTo, a.signAssertion = &k, false
		}},
		{"encrypted for the new key after the switch", `{}`, func(a *answerOf) {
			kid := a.f.publishNew(KindIDP, a.idp)
			a.f.SetActiveKid(KindIDP, a.idp, kid)
			k := a.f.active(KindIDP, a.idp)
			a.encryptTo = &k
		}},
		{"signed with an additional key", `{}`, func(a *answerOf) {
			a.key = *NewKey(KeySpec{Created: a.f.Now(), CommonName: "idp.example.com"})
			a.f.AddTrustKey(&a.key)
			a.f.Edit(KindIDP, a.idp, "protocol.credentials.trust.additionalKids", `["`+a.key.Kid+`"]`)
		}},
		{"a user who matches the filter", `{"policy":{"subject":{"filter":"(\\S+@partner\\.example\\.com)"}}}`, func(*answerOf) {}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFixture(t)
			a := f.answer(f.AddIDP(IDPSpec{Label: "A", Raw: c.raw}))
			c.make(a)
			if user, err := f.Accept(a.idp, a.xml()); err != nil || user != "ada@partner.example.com" {
				t.Errorf("%q: %v", user, err)
			}
		})
	}
}

func TestTheOrgTakesNothingElse(t *testing.T) {
	set := func(path, name, value string) func(*etree.Element) {
		return func(el *etree.Element) { el.FindElement(path).CreateAttr(name, value) }
	}
	text := func(path, value string) func(*etree.Element) {
		return func(el *etree.Element) { el.FindElement(path).SetText(value) }
	}
	assertion := func(spoil func(*etree.Element)) func(*answerOf) {
		return func(a *answerOf) { a.spoilAssertion = spoil }
	}
	const confirmation = "./Subject/SubjectConfirmation/SubjectConfirmationData"
	for _, c := range []struct {
		name, raw string
		make      func(*answerOf)
		says      string
	}{
		{"signed with another key", `{}`, func(a *answerOf) { a.key = *NewKey(KeySpec{Created: a.f.Now()}) }, "Could not verify certificate"},
		{"signed with the org's own key", `{}`, func(a *answerOf) { a.key = a.f.active(KindIDP, a.idp) }, "Could not verify certificate"},
		{"not signed", `{}`, func(a *answerOf) { a.signResponse, a.signAssertion = false, false }, "Missing signature"},
		{"changed", `{}`, func(a *answerOf) { a.spoil = text("./Assertion/Subject/NameID", "eve@partner.example.com") }, "could not be verified"},
		{"only the assertion signed, scope RESPONSE", scoped("RESPONSE"), func(a *answerOf) { a.signResponse = false }, "RESPONSE"},
		{"only the response signed, scope TOKEN", scoped("TOKEN"), func(a *answerOf) { a.signAssertion = false }, "Missing signature"},
		{"the partner's certificate has expired", `{}`, func(a *answerOf) { a.f.Advance(a.key.NotAfter().Sub(a.f.Now()) + time.Second) }, "Cert is not valid"},
		{"another issuer", `{}`, assertion(text("./Issuer", "https://idp.example.com/other")), "Issuer"},
		{"another audience", `{}`, assertion(text("./Conditions/AudienceRestriction/Audience", "https://other.example.com")), "audience"},
		{"no audience", `{}`, assertion(func(el *etree.Element) {
			el.FindElement("./Conditions").RemoveChildAt(0)
		}), "audience"},
		{"another recipient", `{}`, assertion(set(confirmation, "Recipient", "https://other.example.com")), "Recipient"},
		{"expired", `{}`, assertion(set("./Conditions", "NotOnOrAfter", "2026-03-02T08:59:59Z")), "valid from"},
		{"not valid yet", `{}`, assertion(set("./Conditions", "NotBefore", "2026-03-02T09:00:01Z")), "valid from"},
		{"confirmed until a while ago", `{}`, assertion(set(confirmation, "NotOnOrAfter", "2026-03-02T08:59:59Z")), "Expired"},
		{"of nobody", `{}`, assertion(text("./Subject/NameID", "")), "names nobody"},
		{"without an ID", `{}`, func(a *answerOf) {
			a.signAssertion, a.spoilAssertion = false, func(el *etree.Element) { el.RemoveAttr("ID") }
		}, "no ID"},
		{"two assertions", `{}`, func(a *answerOf) {
			a.signResponse, a.spoil = false, func(el *etree.Element) { el.AddChild(el.FindElement("./Assertion").Copy()) }
		}, "2 assertions"},
		{"a signed response without a destination", `{}`, func(a *answerOf) {
			a.signResponse = false
			a.spoil = func(el *etree.Element) {
				el.RemoveAttr("Destination")
				a.must(sign(el, &a.key, "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"))
			}
		}, "Destination"},
		{"a response for elsewhere", `{}`, func(a *answerOf) {
			a.signResponse, a.spoil = false, set(".", "Destination", "https://other.example.com")
		}, "Destination"},
		{"an answer that nobody has asked for", `{}`, func(a *answerOf) { a.inResponseTo = "id4711" }, "InResponseTo"},
		{"a late answer", `{}`, func(a *answerOf) {
			a.inResponseTo = a.f.asked(a.idp)
			a.f.clock.advance(requestLife + time.Second)
		}, "InResponseTo"},
		{"encrypted for a key that is published and not active", `{}`, func(a *answerOf) {
			kid := a.f.publishNew(KindIDP, a.idp)
			for _, k := range a.f.Keys(KindIDP, a.idp) {
				if k.Kid == kid {
					a.encryptTo = &k
				}
			}
		}, "decrypt"},
		{"encrypted for the key before the switch", `{}`, func(a *answerOf) {
			k := a.f.active(KindIDP, a.idp)
			a.encryptTo = &k
			a.f.SetActiveKid(KindIDP, a.idp, a.f.publishNew(KindIDP, a.idp))
		}, "decrypt"},
		{"a user who does not match the filter", `{"policy":{"subject":{"filter":"(\\S+@partner)"}}}`, func(*answerOf) {}, "policy.subject.filter"},
		{"an inactive IdP", `{"status":"INACTIVE"}`, func(*answerOf) {}, "is INACTIVE"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFixture(t)
			a := f.answer(f.AddIDP(IDPSpec{Label: "A", Raw: c.raw}))
			c.make(a)
			user, err := f.Accept(a.idp, a.xml())
			var refused *SignInError
			if !errors.As(err, &refused) || !strings.Contains(refused.Reason, c.says) {
				t.Errorf("the user is %q, the error %v; want %q", user, err, c.says)
			}
		})
	}
}

func TestAResponseIsTakenOnce(t *testing.T) {
	f := newFixture(t)
	id := f.AddIDP(IDPSpec{Label: "A"})
	unasked, asked := f.answer(id), f.answer(id)
	asked.inResponseTo = f.asked(id)
	for _, a := range []*answerOf{unasked, asked} {
		response := a.xml()
		if _, err := f.Accept(id, response); err != nil {
			t.Error(err)
		}
		if _, err := f.Accept(id, response); err == nil {
			t.Error("a response is taken twice")
		}
	}
	if _, err := f.Accept(id, asked.xml()); err == nil || !strings.Contains(err.Error(), "InResponseTo") {
		t.Errorf("a second answer to one request: %v", err)
	}
}

func TestTheOrgForgetsMessagesWhoseTimeIsOver(t *testing.T) {
	f := newFixture(t)
	id := f.AddIDP(IDPSpec{Label: "A"})
	for range 5 {
		f.asked(id)
		if _, err := f.Accept(id, f.answer(id).xml()); err != nil {
			t.Fatal(err)
		}
	}
	f.clock.advance(requestLife + time.Second)
	f.asked(id)
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.messages) != 1 {
		t.Errorf("%d messages are kept", len(f.messages))
	}
}

func TestABrowserSignsInWithAnIDP(t *testing.T) {
	f := newFixture(t)
	id := f.AddIDP(IDPSpec{Label: "A"})
	acs := "/sso/saml2/" + id
	started := f.ok(200, "GET", acs, "", "Authorization: ")
	action, field, message := started.form(t)
	if action != "https://idp.example.com/saml2/sso" || field != "SAMLRequest" {
		t.Errorf("%s to %s", field, action)
	}
	a := f.answer(id)
	a.inResponseTo = at(parsed(t, message), "", "ID")
	send := func(status int, response []byte) reply {
		t.Helper()
		form := url.Values{"SAMLResponse": {base64.StdEncoding.EncodeToString(response)}}
		return f.ok(status, "POST", acs, form.Encode(), "Content-Type: application/x-www-form-urlencoded", "Sec-Fetch-Site: cross-site", "Authorization: ")
	}
	response := a.xml()
	if page := string(send(200, response).body); !strings.Contains(page, "ada@partner.example.com") {
		t.Errorf("signed in as: %s", page)
	}
	send(400, response)
	f.Edit(KindIDP, id, "protocol.endpoints.sso.binding", `"HTTP-REDIRECT"`)
	address, err := url.Parse(f.ok(302, "GET", acs, "").header.Get("Location"))
	if err != nil || at(redirected(t, address), "./Issuer", "") != idpAudience(f.Document(KindIDP, id)) {
		t.Errorf("%s: %v", address, err)
	}
	f.ok(404, "GET", "/sso/saml2/0oanone", "")
	f.ok(404, "POST", "/sso/saml2/0oanone", "")
}
