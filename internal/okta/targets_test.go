package okta_test

import (
	"encoding/base64"
	"encoding/pem"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"keyturn/internal/okta"
	"keyturn/internal/oktasim"
	"keyturn/internal/rotation"
)

// sent is what matters of a request.
type sent struct{ Method, URI, Accept, ContentType, Body string }

func TestCallsAreTheGuides(t *testing.T) {
	idp := rotation.Target{Kind: rotation.KindIDP, ID: "0oa2"}
	var got sent
	client := answering(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		got = sent{r.Method, r.URL.RequestURI(), r.Header.Get("Accept"), r.Header.Get("Content-Type"), string(body)}
		write(w, http.StatusOK, "[]")
	})
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("der")})
	ctx := t.Context()
	const json = "application/json"
	for what, c := range map[string]struct {
		call func()
		want sent
	}{
		"read an app":   {func() { _, _ = client.Document(ctx, app) }, sent{"GET", "/api/v1/apps/0oa1", json, "", ""}},
		"read an IdP":   {func() { _, _ = client.Document(ctx, idp) }, sent{"GET", "/api/v1/idps/0oa2", json, "", ""}},
		"update an app": {func() { _ = client.Replace(ctx, app, []byte(`{"a": 1.0}`)) }, sent{"PUT", "/api/v1/apps/0oa1", json, json, `{"a": 1.0}`}},
		"update an IdP": {func() { _ = client.Replace(ctx, idp, []byte(`{"a": 1.0}`)) }, sent{"PUT", "/api/v1/idps/0oa2", json, json, `{"a": 1.0}`}},
		"list keys":     {func() { _, _ = client.Keys(ctx, app) }, sent{"GET", "/api/v1/apps/0oa1/credentials/keys", json, "", ""}},
		"list CSRs":     {func() { _, _ = client.SigningRequests(ctx, idp) }, sent{"GET", "/api/v1/idps/0oa2/credentials/csrs", json, "", ""}},
		"generate":      {func() { _, _ = client.GenerateCSR(ctx, app, rotation.Subject{CommonName: "x", CountryName: "US"}) }, sent{"POST", "/api/v1/apps/0oa1/credentials/csrs", json, json, `{"subject":{"countryName":"US","commonName":"x"}}`}},
		"publish":       {func() { _, _ = client.PublishCSR(ctx, idp, "csr_-1", []byte("der")) }, sent{"POST", "/api/v1/idps/0oa2/credentials/csrs/csr_-1/lifecycle/publish", json, "application/x-pem-file", string(certificate)}},
		"revoke":        {func() { _ = client.RevokeCSR(ctx, app, "csr_-1") }, sent{"DELETE", "/api/v1/apps/0oa1/credentials/csrs/csr_-1", json, "", ""}},
		"clone an app's": {func() {
			_, _ = client.CloneKey(ctx, app, "k_-1/x", rotation.Target{Kind: rotation.KindApp, ID: "0oa3"})
		}, sent{"POST", "/api/v1/apps/0oa1/credentials/keys/k_-1%2Fx/clone?targetAid=0oa3", json, "", ""}},
		"clone an IdP's":  {func() { _, _ = client.CloneKey(ctx, idp, "k1", rotation.Target{Kind: rotation.KindIDP, ID: "0oa4"}) }, sent{"POST", "/api/v1/idps/0oa2/credentials/keys/k1/clone?targetIdpId=0oa4", json, "", ""}},
		"an app's SAML":   {func() { _, _ = client.Metadata(ctx, app, "k_-1&x") }, sent{"GET", "/api/v1/apps/0oa1/sso/saml/metadata?kid=k_-1%26x", "text/xml, application/xml", "", ""}},
		"an IdP's SAML":   {func() { _, _ = client.Metadata(ctx, idp, "k1") }, sent{"GET", "/api/v1/idps/0oa2/metadata.xml", "text/xml, application/xml", "", ""}},
		"apps with a kid": {func() { _, _ = collect(client.AppsWithKid(ctx, "k_-1")) }, sent{"GET", "/api/v1/apps?filter=credentials.signing.kid+eq+%22k_-1%22&limit=200", json, "", ""}},
		"SAML IdPs":       {func() { _, _ = collect(client.SAMLIdentityProviders(ctx)) }, sent{"GET", "/api/v1/idps?limit=200&type=SAML2", json, "", ""}},
	} {
		t.Run(what, func(t *testing.T) {
			c.call()
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestDocumentKeepsItsBytes(t *testing.T) {
	const raw = `{"b" : 1.0,"a":[1e3, 12345678901234567890],"c":"\u00e9\/é"}`
	client := answering(t, func(w http.ResponseWriter, _ *http.Request) { write(w, http.StatusOK, " \n"+raw+"\n") })
	d, err := client.Document(t.Context(), app)
	if err != nil || string(d.Raw) != raw || d.Kind != rotation.KindApp {
		t.Errorf("document %s, %v; want %s", d.Raw, err, raw)
	}
}

func TestKeysAreListedWithTheirCertificates(t *testing.T) {
	org, client := simulated(t)
	key := oktasim.NewKey(oktasim.KeySpec{Kid: "k1", Created: now, NotAfter: now.AddDate(2, 0, 0)})
	target := rotation.Target{Kind: rotation.KindApp, ID: org.AddApp(oktasim.AppSpec{Label: "x", Key: key})}
	keys, err := client.Keys(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	want := []okta.JSONWebKey{{Kid: "k1", Created: now, ExpiresAt: now.AddDate(2, 0, 0), X5C: []string{key.X5C}}}
	if diff := cmp.Diff(want, keys, cmp.Comparer(time.Time.Equal)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	der, err := keys[0].DER()
	if err != nil || base64.StdEncoding.EncodeToString(der) != key.X5C {
		t.Errorf("DER: %v", err)
	}
}

func TestKeyWithoutAReadableCertificateSaysWhich(t *testing.T) {
	for want, x5c := range map[string][]string{
		"key k1 has no certificate (x5c)":                            nil,
		"certificate of key k1: illegal base64 data at input byte 0": {"!"},
	} {
		if _, err := (okta.JSONWebKey{Kid: "k1", X5C: x5c}).DER(); err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %s", x5c, err, want)
		}
	}
}
