package oktasim

import "testing"

const newApp = `{"label":"Contract Test 1","signOnMode":"SAML_2_0","visibility":{"autoSubmitToolbar":true,"hide":{"iOS":true,"web":true}},"settings":{"signOn":{` +
	`"ssoAcsUrl":"https://sp.example.com/acs","recipient":"https://sp.example.com/acs","destination":"https://sp.example.com/acs","audience":"https://sp.example.com",` +
	`"idpIssuer":"http://www.okta.com/${org.externalKey}","subjectNameIdTemplate":"${user.userName}","subjectNameIdFormat":"urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified",` +
	`"responseSigned":true,"assertionSigned":true,"signatureAlgorithm":"RSA_SHA256","digestAlgorithm":"SHA256","honorForceAuthn":true,` +
	`"authnContextClassRef":"urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport","requestCompressed":false,"allowMultipleAcsEndpoints":false}}}`

func TestAnAppIsMadeRotatedAndDeleted(t *testing.T) {
	f := newFixture(t)
	made := f.ok(200, "POST", "/api/v1/apps", newApp)
	id, kid := made.string("id"), made.string("credentials", "signing", "kid")
	if made.string("name") != "example_contracttest1_1" || made.string("status") != "ACTIVE" || made.string("label") != "Contract Test 1" ||
		made.string("settings", "signOn", "ssoAcsUrl") != "https://sp.example.com/acs" || string(lookup(made.body, "visibility", "hide", "web")) != "true" {
		t.Errorf("the new app is %s", made.body)
	}
	path := "/api/v1/apps/" + id
	if got := f.ok(200, "GET", path, ""); string(got.body) != string(made.body) {
		t.Errorf("read as %s\nmade as %s", got.body, made.body)
	}
	f.ok(200, "GET", path+"/sso/saml/metadata?kid="+kid, "", "Accept: text/xml")
	published := f.publishNew(KindApp, id)
	f.ok(200, "PUT", path, f.minimalBody(id, published))
	if got := f.ActiveKid(KindApp, id); got != published {
		t.Errorf("active is %s, want %s", got, published)
	}

	f.refused(403, "E0000056", "DELETE", path, "")
	if got := f.ok(200, "POST", path+"/lifecycle/deactivate", ""); string(got.body) != "{}" {
		t.Errorf("deactivated: %s", got.body)
	}
	f.ok(200, "POST", path+"/lifecycle/deactivate", "")
	if got := f.ok(200, "GET", path, ""); got.string("status") != "INACTIVE" {
		t.Errorf("status %s", got.string("status"))
	}
	if got := f.ok(204, "DELETE", path, ""); len(got.body) > 0 {
		t.Errorf("deleted: %s", got.body)
	}
	f.refused(404, "E0000007", "GET", path, "")
	if list := f.ok(200, "GET", "/api/v1/apps", ""); string(list.body) != "[]" {
		t.Errorf("still listed: %s", list.body)
	}
}

func TestAnAppIsMadeInactiveWhereTheCallSaysSo(t *testing.T) {
	f := newFixture(t)
	if got := f.ok(200, "POST", "/api/v1/apps?activate=false", newApp); got.string("status") != "INACTIVE" {
		t.Errorf("status %s", got.string("status"))
	}
	f.refused(400, "E0000001", "POST", "/api/v1/apps?activate=maybe", newApp)
}

func TestNoOtherAppIsMade(t *testing.T) {
	f := newFixture(t)
	set := func(raw string, path ...string) string { return string(setPath([]byte(newApp), []byte(raw), path...)) }
	for name, body := range map[string]string{
		"no label":             set(`" "`, "label"),
		"no mode":              set(`null`, "signOnMode"),
		"another mode":         set(`"OPENID_CONNECT"`, "signOnMode"),
		"of the catalog":       set(`"salesforce"`, "name"),
		"no ACS":               set(`""`, "settings", "signOn", "ssoAcsUrl"),
		"a text for true":      set(`"true"`, "settings", "signOn", "responseSigned"),
		"profile a list":       set(`[]`, "profile"),
		"a key of another app": set(`"x"`, "credentials", "signing", "kid"),
	} {
		f.refused(400, "E0000001", "POST", "/api/v1/apps", body)
		if len(f.Targets(KindApp)) > 0 {
			t.Fatalf("%s: an app was made", name)
		}
	}
}
