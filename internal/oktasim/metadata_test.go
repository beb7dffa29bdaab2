package oktasim

import (
	"encoding/base64"
	"encoding/xml"
	"strings"
	"testing"
)

type descriptor struct {
	XMLName  xml.Name `xml:"urn:oasis:names:tc:SAML:2.0:metadata EntityDescriptor"`
	EntityID string   `xml:"entityID,attr"`
	IDP      *role    `xml:"IDPSSODescriptor"`
	SP       *role    `xml:"SPSSODescriptor"`
}

type role struct {
	Keys []struct {
		Use  string `xml:"use,attr"`
		Cert string `xml:"http://www.w3.org/2000/09/xmldsig# KeyInfo>X509Data>X509Certificate"`
	} `xml:"KeyDescriptor"`
	SSO []struct {
		Location string `xml:",attr"`
	} `xml:"SingleSignOnService"`
	ACS []struct {
		Location string `xml:",attr"`
	} `xml:"AssertionConsumerService"`
}

// certificates reads metadata and returns use -> certificate (base64 DER).
func (f *fixture) certificates(path string) (descriptor, map[string]string) {
	f.t.Helper()
	r := f.ok(200, "GET", path, "")
	var d descriptor
	if err := xml.Unmarshal(r.body, &d); err != nil {
		f.t.Fatalf("%s: %v", path, err)
	}
	certs := map[string]string{}
	for _, part := range []*role{d.IDP, d.SP} {
		if part == nil {
			continue
		}
		for _, k := range part.Keys {
			certs[k.Use] = strings.Join(strings.Fields(k.Cert), "")
		}
	}
	return d, certs
}

func (f *fixture) x5c(kind, id, kid string) string {
	for _, k := range f.Keys(kind, id) {
		if k.Kid == kid {
			return base64.StdEncoding.EncodeToString(k.Certificate.Raw)
		}
	}
	f.t.Fatalf("%s %s has no key %s", kind, id, kid)
	return ""
}

func TestAppMetadataShowsTheActiveCertificate(t *testing.T) {
	f := newFixture(t)
	id := f.AddApp(AppSpec{Label: "A", Raw: `{"settings":{"signOn":{"idpIssuer":"http://www.okta.com/<&\"${org.externalKey}"}}}`})
	path := "/api/v1/apps/" + id + "/sso/saml/metadata"
	old := f.ActiveKid(KindApp, id)
	kid := f.publishNew(KindApp, id)
	d, certs := f.certificates(path)
	if d.IDP == nil || d.SP != nil || d.EntityID != `http://www.okta.com/<&"`+externalKey(id) || len(d.IDP.SSO) != 2 {
		t.Errorf("descriptor %+v", d)
	}
	if len(certs) != 1 || certs["signing"] != f.x5c(KindApp, id, old) {
		t.Error("want the active certificate for signing, and nothing else")
	}
	if _, certs = f.certificates(path + "?kid=" + kid); certs["signing"] != f.x5c(KindApp, id, kid) {
		t.Error("?kid= does not select the key")
	}
	f.SetActiveKid(KindApp, id, kid)
	if _, certs = f.certificates(path); certs["signing"] != f.x5c(KindApp, id, kid) {
		t.Error("the switch does not show")
	}
	if got := f.ok(200, "GET", path, "").header.Get("Content-Type"); got != "text/xml;charset=UTF-8" {
		t.Errorf("Content-Type %q", got)
	}
	f.ok(200, "GET", path, "", "Accept: application/xml, */*;q=0.1")
	f.refused(404, "E0000007", "GET", path+"?kid=none", "")
	for _, mode := range []string{"OPENID_CONNECT", "SECURE_PASSWORD_STORE"} {
		f.refused(404, "E0000007", "GET", "/api/v1/apps/"+f.AddApp(AppSpec{Label: mode, SignOnMode: mode})+"/sso/saml/metadata", "")
	}
}

func TestIDPMetadataShowsTheCertificateForSigningAndEncryption(t *testing.T) {
	f := newFixture(t)
	id := f.AddIDP(IDPSpec{Label: "A"})
	kid := f.publishNew(KindIDP, id)
	f.SetActiveKid(KindIDP, id, kid)
	link := lookupString(f.Document(KindIDP, id), "_links", "metadata", "href")
	d, certs := f.certificates(strings.TrimPrefix(link, "http://org.example.com"))
	want := f.x5c(KindIDP, id, kid)
	if d.SP == nil || d.IDP != nil || len(certs) != 2 || certs["signing"] != want || certs["encryption"] != want {
		t.Errorf("descriptor %+v", d)
	}
	if d.EntityID != lookupString(f.Document(KindIDP, id), "protocol", "credentials", "trust", "audience") || d.SP.ACS[0].Location != "http://org.example.com/sso/saml2/"+id {
		t.Errorf("entity %q, ACS %+v", d.EntityID, d.SP.ACS)
	}
	if calls := f.Calls(); calls[len(calls)-1].Operation != "getIdentityProviderMetadata" {
		t.Errorf("call %+v", calls[len(calls)-1])
	}
	f.refused(404, "E0000007", "GET", "/api/v1/idps/"+f.AddIDP(IDPSpec{Label: "G", Type: "GOOGLE"})+"/metadata.xml", "")
}

func TestMetadataCanLagBehindTheSwitch(t *testing.T) {
	f := newFixture(t)
	id := f.AddApp(AppSpec{Label: "A"})
	path := "/api/v1/apps/" + id + "/sso/saml/metadata"
	old, kid := f.ActiveKid(KindApp, id), f.publishNew(KindApp, id)
	f.MetadataLag(KindApp, id, 2)
	f.ok(200, "PUT", "/api/v1/apps/"+id, f.minimalBody(id, kid))
	for i, want := range []string{old, old, kid, kid} {
		if _, certs := f.certificates(path); certs["signing"] != f.x5c(KindApp, id, want) {
			t.Errorf("read %d does not show %s", i+1, want)
		}
		if _, certs := f.certificates(path + "?kid=" + kid); certs["signing"] != f.x5c(KindApp, id, kid) {
			t.Error("a read that names a kid lags")
		}
	}
}
