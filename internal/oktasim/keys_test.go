package oktasim

import (
	"bytes"
	"crypto/rsa"
	"encoding/base64"
	"fmt"
	"testing"
	"time"
)

func TestNewKeyMakesOktasDefaultKey(t *testing.T) {
	created := time.Date(2020, 5, 1, 0, 0, 0, 0, time.UTC)
	k := NewKey(KeySpec{Created: created})
	c := k.Certificate
	if c.Issuer.String() != c.Subject.String() || c.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) != nil {
		t.Error("not self-signed")
	}
	if !c.NotBefore.Equal(created) || !c.NotAfter.Equal(created.AddDate(10, 0, 0)) || !k.Created.Equal(created) {
		t.Errorf("valid from %s to %s, created %s", c.NotBefore, c.NotAfter, k.Created)
	}
	if c.PublicKey.(*rsa.PublicKey).N.BitLen() != 2048 || !k.PrivateKey.PublicKey.Equal(c.PublicKey) {
		t.Error("key pair")
	}
	if der, err := base64.StdEncoding.DecodeString(k.X5C); err != nil || !bytes.Equal(der, c.Raw) {
		t.Error("x5c")
	}
	ca := newCA()
	signed := NewKey(KeySpec{Created: created, NotAfter: created.AddDate(1, 0, 0), Issuer: ca.cert, IssuerKey: ca.key})
	if err := signed.Certificate.CheckSignatureFrom(ca.cert); err != nil || signed.Kid == k.Kid {
		t.Errorf("key of a CA: %v", err)
	}
}

func TestKeysAreListedAndCloned(t *testing.T) {
	for _, kind := range []string{KindApp, KindIDP} {
		t.Run(kind, func(t *testing.T) {
			f := newFixture(t)
			add := func(label string) string {
				if kind == KindApp {
					return f.AddApp(AppSpec{Label: label})
				}
				return f.AddIDP(IDPSpec{Label: label})
			}
			a, b := add("A"), add("B")
			parameter := map[string]string{KindApp: "targetAid", KindIDP: "targetIdpId"}[kind]
			base := "/api/v1/" + kind + "s/"
			kid := f.publishNew(kind, a)
			keys := elements(f.ok(200, "GET", base+a+"/credentials/keys", "").body)
			if len(keys) != 2 || lookupString(keys[1], "kid") != kid || lookupString(keys[0], "kid") != f.ActiveKid(kind, a) || lookup(keys[0], "status") != nil {
				t.Errorf("keys %s", keys)
			}
			clone := base + a + "/credentials/keys/" + kid + "/clone?" + parameter + "="
			r := f.ok(201, "POST", clone+b, "")
			if r.string("kid") != kid || f.ActiveKid(kind, b) == kid || len(f.Keys(kind, b)) != 2 {
				t.Errorf("clone %s", r.body)
			}
			f.refused(400, "E0000001", "POST", clone+b, "")
			f.refused(400, "E0000001", "POST", clone+a, "")
			f.refused(400, "E0000001", "POST", clone, "")
			f.refused(404, "E0000007", "POST", clone+"0oanone", "")
			f.refused(404, "E0000007", "POST", base+a+"/credentials/keys/none/clone?"+parameter+"="+b, "")
			f.refused(404, "E0000007", "GET", base+a+"/credentials/keys/none", "")
			f.refused(405, "E0000022", "DELETE", base+a+"/credentials/keys/"+kid, "")
			f.SetActiveKid(kind, b, kid)
			if x5c := elements(lookup(r.body, "x5c")); len(x5c) != 1 || string(x5c[0]) != `"`+f.Keys(kind, a)[1].X5C+`"` {
				t.Errorf("the clone has another certificate: %s", r.body)
			}
			if r := f.ok(200, "GET", base+b+"/credentials/keys/"+kid, ""); r.string("kid") != kid {
				t.Errorf("the target's list has %s", r.body)
			}
		})
	}
}

func TestOnlyActiveSAMLTargetsOfOneKindTakePartInCloning(t *testing.T) {
	f := newFixture(t)
	idp, off, oidc := f.AddIDP(IDPSpec{Label: "I"}), f.AddApp(AppSpec{Label: "Off", Status: "INACTIVE"}), f.AddApp(AppSpec{Label: "O", SignOnMode: "OPENID_CONNECT"})
	app, on := f.AddApp(AppSpec{Label: "A"}), f.AddApp(AppSpec{Label: "B"})
	clone := func(from, to string) string {
		return "/api/v1/apps/" + from + "/credentials/keys/" + f.ActiveKid(KindApp, from) + "/clone?targetAid=" + to
	}
	f.refused(400, "E0000001", "POST", clone(app, off), "")
	f.refused(400, "E0000001", "POST", clone(off, app), "")
	f.refused(400, "E0000001", "POST", clone(app, oidc), "")
	f.refused(404, "E0000007", "POST", clone(app, idp), "")
	f.refused(400, "E0000001", "POST", "/api/v1/apps/"+app+"/credentials/keys/"+f.ActiveKid(KindApp, app)+"/clone?targetIdpId="+on, "")
	for _, id := range []string{app, on, off} {
		if n := len(f.Keys(KindApp, id)); n != 1 {
			t.Errorf("%s has %d keys", id, n)
		}
	}
	f.ok(201, "POST", clone(app, on), "")
}

func TestGenerateKey(t *testing.T) {
	f := newFixture(t)
	app, idp := f.AddApp(AppSpec{Label: "A"}), f.AddIDP(IDPSpec{Label: "B"})
	for _, c := range []struct {
		path   string
		kind   string
		id     string
		status int
	}{{"/api/v1/apps/" + app, KindApp, app, 201}, {"/api/v1/idps/" + idp, KindIDP, idp, 200}} {
		path := c.path + "/credentials/keys/generate"
		for _, query := range []string{"", "?validityYears=1", "?validityYears=11", "?validityYears=x", "?validityYears=2.5"} {
			f.refused(400, "E0000001", "POST", path+query, "")
		}
		active := f.ActiveKid(c.kind, c.id)
		r := f.ok(c.status, "POST", path+"?validityYears=3", "")
		if r.string("expiresAt") != "2029-03-02T09:00:00.000Z" || f.ActiveKid(c.kind, c.id) != active {
			t.Errorf("key %s", r.body)
		}
	}
	f.refused(400, "E0000001", "POST", "/api/v1/apps/"+f.AddApp(AppSpec{Label: "O", SignOnMode: "OPENID_CONNECT"})+"/credentials/keys/generate?validityYears=2", "")
}

func TestActiveKeyOfAnIDP(t *testing.T) {
	f := newFixture(t)
	id := f.AddIDP(IDPSpec{Label: "A"})
	social := f.AddIDP(IDPSpec{Label: "G", Type: "GOOGLE"})
	list := elements(f.ok(200, "GET", "/api/v1/idps/"+id+"/credentials/keys/active", "").body)
	if len(list) != 1 || lookupString(list[0], "kid") != f.ActiveKid(KindIDP, id) {
		t.Errorf("active %s", list)
	}
	if r := f.ok(204, "GET", "/api/v1/idps/"+social+"/credentials/keys/active", ""); len(r.body) != 0 {
		t.Errorf("a 204 with a body: %q", r.body)
	}
}

func TestTrustKeystoreHoldsThePartnersKeys(t *testing.T) {
	f := newFixture(t)
	id := f.AddIDP(IDPSpec{Label: "A"})
	trust := lookupString(f.Document(KindIDP, id), "protocol", "credentials", "trust", "kid")
	for i := range 21 {
		f.AddTrustKey(NewKey(KeySpec{Created: f.clock.now(), Kid: fmt.Sprintf("kid%d", i)}))
	}
	r := f.ok(200, "GET", "/api/v1/idps/credentials/keys", "")
	if list := elements(r.body); len(list) != 20 || lookupString(list[0], "kid") != trust || len(r.header.Values("Link")) != 2 {
		t.Errorf("%d keys, links %q", len(list), r.header.Values("Link"))
	}
	if got := f.ok(200, "GET", "/api/v1/idps/credentials/keys/"+trust, "").string("kid"); got != trust {
		t.Errorf("kid %q", got)
	}
	f.refused(404, "E0000007", "GET", "/api/v1/idps/credentials/keys/"+f.ActiveKid(KindIDP, id), "")
	f.refused(404, "E0000007", "GET", "/api/v1/idps/"+id+"/credentials/keys/"+trust, "")
}
