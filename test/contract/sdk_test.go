// Package contract has Okta's own SDK drive the simulated org, as a client that
// nobody of this project wrote, and compares what it sees with what Keyturn's
// client sees.
package contract

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/okta/okta-sdk-golang/v5/okta"
	"github.com/tidwall/gjson"

	keyturn "keyturn/internal/okta"
	"keyturn/internal/oktasim"
	"keyturn/internal/rotation"
)

const token = "00-a-token-of-the-contract-tests-0042"

// lab is a simulated org with its two clients.
type lab struct {
	t       *testing.T
	org     *oktasim.Org
	demo    oktasim.Demo
	sdk     *okta.APIClient
	keyturn *keyturn.Client
}

func newLab(t *testing.T) *lab {
	t.Helper()
	org := oktasim.New(oktasim.Options{APIToken: token, Limits: oktasim.Limits{Apps: oktasim.Unlimited, App: oktasim.Unlimited, API: oktasim.Unlimited}})
	server := httptest.NewServer(org)
	t.Cleanup(server.Close)
	org.SetBaseURL(server.URL)
	l := &lab{t: t, org: org, demo: org.SeedDemo()}

	// The SDK drops the port of the org's URL, so the connection sees to it.
	dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, server.Listener.Addr().String())
	}
	// Without WithCache(false) the SDK answers the second read by itself.
	configuration, err := okta.NewConfiguration(okta.WithOrgUrl(server.URL), okta.WithToken(token), okta.WithTestingDisableHttpsCheck(true), okta.WithCache(false),
		okta.WithHttpClientPtr(&http.Client{Transport: &http.Transport{DialContext: dial}}))
	if err != nil {
		t.Fatal(err)
	}
	l.sdk = okta.NewAPIClient(configuration)

	credential, err := keyturn.ParseCredential("test", fmt.Appendf(nil, `{"apiToken":%q}`, token))
	if err != nil {
		t.Fatal(err)
	}
	l.keyturn, err = keyturn.New(keyturn.Config{OrgURL: server.URL, Version: "contract", Credentials: func(context.Context, bool) (keyturn.Credential, error) { return credential, nil }})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// fine stops the test where a call failed.
func (l *lab) fine(err error) {
	l.t.Helper()
	var refused *okta.GenericOpenAPIError
	if errors.As(err, &refused) {
		l.t.Fatalf("the SDK: %v: %s", err, refused.Body())
	}
	if err != nil {
		l.t.Fatal(err)
	}
}

// done is what a call of Keyturn's client gives.
func done[T any](v T, err error) func(*lab) T {
	return func(l *lab) T {
		l.t.Helper()
		l.fine(err)
		return v
	}
}

// ok is what a call of the SDK gives.
func ok[T any](v T, _ *okta.APIResponse, err error) func(*lab) T { return done(v, err) }

// seenApp is what both clients can say of an app in a list.
type seenApp struct{ ID, Name, Label, Mode, Status, Kid, Updated string }

func keyturnApp(raw json.RawMessage) seenApp {
	d := keyturn.Document{Kind: rotation.KindApp, Raw: raw}
	return seenApp{d.Field("id"), d.Name(), d.Label(), d.Field("signOnMode"), d.Field("status"), d.ActiveKid(), d.Field("lastUpdated")}
}

func sdkApp(inner okta.ListApplications200ResponseInner) seenApp {
	var base okta.Application
	var name string
	var credentials *okta.ApplicationCredentials
	scheme := func(c *okta.SchemeApplicationCredentials) *okta.ApplicationCredentials {
		if c == nil {
			return nil
		}
		return &okta.ApplicationCredentials{Signing: c.Signing}
	}
	switch a := inner.GetActualInstance().(type) {
	case *okta.SamlApplication:
		base, name, credentials = a.Application, a.GetName(), a.Credentials
	case *okta.Saml11Application:
		base, name, credentials = a.Application, a.Name, a.Credentials
	case *okta.OpenIdConnectApplication:
		base, name, credentials = a.Application, a.Name, &okta.ApplicationCredentials{Signing: a.Credentials.Signing}
	case *okta.BookmarkApplication:
		base, name, credentials = a.Application, a.Name, a.Credentials
	case *okta.WsFederationApplication:
		base, name, credentials = a.Application, a.Name, a.Credentials
	case *okta.BrowserPluginApplication:
		base, name, credentials = a.Application, a.Name, scheme(a.Credentials)
	case *okta.SecurePasswordStoreApplication:
		base, name, credentials = a.Application, a.Name, scheme(a.Credentials)
	case *okta.AutoLoginApplication:
		base, name, credentials = a.Application, a.GetName(), scheme(a.Credentials)
	case *okta.BasicAuthApplication:
		base, name, credentials = a.Application, a.Name, scheme(a.Credentials)
	default:
		return seenApp{ID: fmt.Sprintf("%T", a)}
	}
	seen := seenApp{base.GetId(), name, base.Label, base.SignOnMode, base.GetStatus(), "", stamp(base.GetLastUpdated())}
	if credentials != nil && credentials.Signing != nil {
		seen.Kid = credentials.Signing.GetKid()
	}
	return seen
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

func TestTheSDKListsTheAppsThatKeyturnLists(t *testing.T) {
	l := newLab(t)
	for i, mode := range []string{"BOOKMARK", "BASIC_AUTH", "BROWSER_PLUGIN", "AUTO_LOGIN", "WS_FEDERATION", "SAML_1_1"} {
		l.org.AddApp(oktasim.AppSpec{Label: fmt.Sprintf("no SAML 2.0, %d", i), SignOnMode: mode})
	}
	for i := range 30 {
		l.org.AddApp(oktasim.AppSpec{Label: fmt.Sprintf("one of a page %d", i)})
	}
	var want []seenApp
	all := done(l.keyturn.AppsPage(t.Context(), ""))(l)
	for _, raw := range all.Items {
		want = append(want, keyturnApp(raw))
	}

	var got []seenApp
	pages := 1
	apps, response, err := l.sdk.ApplicationAPI.ListApplications(t.Context()).Limit(7).Execute()
	apps = ok(apps, response, err)(l)
	for {
		for _, a := range apps {
			got = append(got, sdkApp(a))
		}
		if !response.HasNextPage() {
			break
		}
		var next []okta.ListApplications200ResponseInner
		response, err = response.Next(&next)
		apps = ok(next, response, err)(l)
		pages++
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-Keyturn +SDK)\n%s", diff)
	}
	if len(want) != 47 || pages != 7 {
		t.Errorf("%d apps on %d pages, want 47 on 7", len(want), pages)
	}
}

// An app of Okta's catalog has the overrides of its settings only
// (github.com/okta/okta-sdk-python/issues/546). Version 6 of the SDK fails at it
// (github.com/okta/okta-sdk-golang/issues/594); version 5 does not.
func TestTheSDKReadsAnAppWithFewOfItsSettings(t *testing.T) {
	l := newLab(t)
	id := l.demo.RejectApp
	l.org.Edit("app", id, "settings.signOn", `{"attributeStatements":[],"audienceOverride":"https://sp.example.com","honorForceAuthn":true}`)
	got := sdkApp(*ok(l.sdk.ApplicationAPI.GetApplication(t.Context(), id).Execute())(l))
	document := done(l.keyturn.Document(t.Context(), rotation.Target{Kind: rotation.KindApp, ID: id}))(l)
	if diff := cmp.Diff(keyturnApp(document.Raw), got); diff != "" {
		t.Errorf("(-Keyturn +SDK)\n%s", diff)
	}
}

func TestTheSDKListsTheIdPsThatKeyturnLists(t *testing.T) {
	l := newLab(t)
	type seen struct{ ID, Name, Type, Status, Kid, TrustKid string }
	var want, got []seen
	for raw, err := range l.keyturn.SAMLIdentityProviders(t.Context()) {
		d := keyturn.Document{Kind: rotation.KindIDP, Raw: done(raw, err)(l)}
		want = append(want, seen{d.Field("id"), d.Label(), d.Field("type"), d.Field("status"), d.ActiveKid(), gjson.GetBytes(d.Raw, "protocol.credentials.trust.kid").String()})
	}
	for _, i := range ok(l.sdk.IdentityProviderAPI.ListIdentityProviders(t.Context()).Type_("SAML2").Execute())(l) {
		got = append(got, seen{i.GetId(), i.GetName(), i.GetType(), i.GetStatus(), i.Protocol.Credentials.Signing.GetKid(), i.Protocol.Credentials.Trust.GetKid()})
	}
	if diff := cmp.Diff(want, got); diff != "" || len(got) != 2 {
		t.Errorf("%d IdPs (-Keyturn +SDK)\n%s", len(got), diff)
	}

	var trusted, listed []string
	page := done(l.keyturn.TrustKeysPage(t.Context(), ""))(l)
	for _, k := range page.Items {
		trusted = append(trusted, gjson.GetBytes(k, "kid").String())
	}
	for _, k := range ok(l.sdk.IdentityProviderAPI.ListIdentityProviderKeys(t.Context()).Execute())(l) {
		listed = append(listed, k.GetKid())
	}
	if diff := cmp.Diff(trusted, listed); diff != "" || len(listed) == 0 {
		t.Errorf("%d trust keys (-Keyturn +SDK)\n%s", len(listed), diff)
	}
}

// target is one of the two kinds, and how the SDK spells its calls.
type target struct {
	rotation.Target
	other rotation.Target // of the same kind

	keys     func() []okta.JsonWebKey
	key      func(kid string) *okta.JsonWebKey
	csrs     func() []okta.Csr
	csr      func(id string) *okta.Csr
	generate func(okta.CsrMetadata) *okta.Csr
	publish  func(csrID string, certificate *os.File) *okta.JsonWebKey
	revoke   func(csrID string)
	activate func(kid string)
	clone    func(kid, to string) *okta.JsonWebKey
}

func targets(l *lab) map[string]target {
	ctx := l.t.Context()
	app, idp := l.demo.BeforeSwitchApp, l.demo.IDP
	apps, credentials, idps := l.sdk.ApplicationAPI, l.sdk.ApplicationCredentialsAPI, l.sdk.IdentityProviderAPI
	return map[string]target{
		"app": {
			Target: rotation.Target{Kind: rotation.KindApp, ID: app}, other: rotation.Target{Kind: rotation.KindApp, ID: l.demo.HealthyApp},
			keys: func() []okta.JsonWebKey {
				return ok(credentials.ListApplicationKeys(ctx, app).Execute())(l)
			},
			key: func(kid string) *okta.JsonWebKey {
				return ok(credentials.GetApplicationKey(ctx, app, kid).Execute())(l)
			},
			csrs: func() []okta.Csr {
				return ok(credentials.ListCsrsForApplication(ctx, app).Execute())(l)
			},
			csr: func(id string) *okta.Csr {
				return ok(credentials.GetCsrForApplication(ctx, app, id).Execute())(l)
			},
			generate: func(m okta.CsrMetadata) *okta.Csr {
				return ok(credentials.GenerateCsrForApplication(ctx, app).Metadata(m).Execute())(l)
			},
			publish: func(id string, f *os.File) *okta.JsonWebKey {
				return ok(credentials.PublishCsrFromApplication(ctx, app, id).Body(f).Execute())(l)
			},
			revoke: func(id string) {
				_, err := credentials.RevokeCsrFromApplication(ctx, app, id).Execute()
				l.fine(err)
			},
			// The guide's body: the whole app would not survive, see below.
			activate: func(kid string) {
				old := ok(apps.GetApplication(ctx, app).Execute())(l).SamlApplication
				body := okta.NewSamlApplication(old.Label, old.SignOnMode)
				body.Name = old.Name
				body.Credentials = &okta.ApplicationCredentials{Signing: &okta.ApplicationCredentialsSigning{Kid: &kid}}
				ok(apps.ReplaceApplication(ctx, app).Application(okta.SamlApplicationAsListApplications200ResponseInner(body)).Execute())(l)
			},
			clone: func(kid, to string) *okta.JsonWebKey {
				return ok(credentials.CloneApplicationKey(ctx, app, kid).TargetAid(to).Execute())(l)
			},
		},
		"idp": {
			Target: rotation.Target{Kind: rotation.KindIDP, ID: idp}, other: rotation.Target{Kind: rotation.KindIDP, ID: l.demo.HealthyIDP},
			keys: func() []okta.JsonWebKey {
				return ok(idps.ListIdentityProviderSigningKeys(ctx, idp).Execute())(l)
			},
			key: func(kid string) *okta.JsonWebKey {
				return ok(idps.GetIdentityProviderSigningKey(ctx, idp, kid).Execute())(l)
			},
			csrs: func() []okta.Csr {
				return ok(idps.ListCsrsForIdentityProvider(ctx, idp).Execute())(l)
			},
			csr: func(id string) *okta.Csr {
				return ok(idps.GetCsrForIdentityProvider(ctx, idp, id).Execute())(l)
			},
			generate: func(m okta.CsrMetadata) *okta.Csr {
				return ok(idps.GenerateCsrForIdentityProvider(ctx, idp).Metadata(m).Execute())(l)
			},
			publish: func(id string, f *os.File) *okta.JsonWebKey {
				return ok(idps.PublishCsrForIdentityProvider(ctx, idp, id).Body(f).Execute())(l)
			},
			revoke: func(id string) {
				_, err := idps.RevokeCsrForIdentityProvider(ctx, idp, id).Execute()
				l.fine(err)
			},
			activate: func(kid string) {
				body := ok(idps.GetIdentityProvider(ctx, idp).Execute())(l)
				body.Protocol.Credentials.Signing.Kid = &kid
				ok(idps.ReplaceIdentityProvider(ctx, idp).IdentityProvider(*body).Execute())(l)
			},
			clone: func(kid, to string) *okta.JsonWebKey {
				return ok(idps.CloneIdentityProviderKey(ctx, idp, kid).TargetIdpId(to).Execute())(l)
			},
		},
	}
}

// seenKeys are keys as both clients can tell them.
func keyturnKeys(keys []keyturn.JSONWebKey) []string {
	var seen []string
	for _, k := range keys {
		seen = append(seen, fmt.Sprint(k.Kid, " ", stamp(k.Created), " ", stamp(k.ExpiresAt), " ", k.X5C))
	}
	return seen
}

func sdkKeys(keys ...okta.JsonWebKey) []string {
	var seen []string
	for _, k := range keys {
		seen = append(seen, fmt.Sprint(k.GetKid(), " ", stamp(k.GetCreated()), " ", stamp(k.GetExpiresAt()), " ", k.X5c))
	}
	return seen
}

func keyturnCSRs(csrs []keyturn.SigningRequest) []string {
	var seen []string
	for _, c := range csrs {
		seen = append(seen, fmt.Sprint(c.ID, " ", stamp(c.Created), " ", c.CSR))
	}
	return seen
}

func sdkCSRs(csrs ...okta.Csr) []string {
	var seen []string
	for _, c := range csrs {
		seen = append(seen, fmt.Sprint(c.GetId(), " ", stamp(c.GetCreated()), " ", c.GetCsr()))
	}
	return seen
}

func forBothKinds(t *testing.T, do func(t *testing.T, l *lab, x target)) {
	for _, kind := range []string{"app", "idp"} {
		t.Run(kind, func(t *testing.T) {
			l := newLab(t)
			do(t, l, targets(l)[kind])
		})
	}
}

// same compares what the two clients see of a target.
func (l *lab) same(when string, x target) {
	l.t.Helper()
	ctx := l.t.Context()
	if diff := cmp.Diff(keyturnKeys(done(l.keyturn.Keys(ctx, x.Target))(l)), sdkKeys(x.keys()...)); diff != "" {
		l.t.Errorf("%s, the keys (-Keyturn +SDK)\n%s", when, diff)
	}
	if diff := cmp.Diff(keyturnCSRs(done(l.keyturn.SigningRequests(ctx, x.Target))(l)), sdkCSRs(x.csrs()...)); diff != "" {
		l.t.Errorf("%s, the CSRs (-Keyturn +SDK)\n%s", when, diff)
	}
}

func TestTheSDKRotatesATargetAndKeyturnSeesIt(t *testing.T) {
	forBothKinds(t, func(t *testing.T, l *lab, x target) {
		ctx := t.Context()
		l.same("before", x)
		subject := okta.CsrMetadataSubject{CountryName: new("US"), OrganizationName: new("Example, Inc."), CommonName: new("by the SDK")}
		csr := x.generate(okta.CsrMetadata{Subject: &subject})
		l.same("with a CSR", x)
		if diff := cmp.Diff(sdkCSRs(*csr), sdkCSRs(*x.csr(csr.GetId()))); diff != "" {
			t.Errorf("the CSR alone (-generated +read)\n%s", diff)
		}

		certificate := sign(l, csr.GetCsr())
		published := x.publish(csr.GetId(), file(t, certificate))
		if got := published.X5c; !slices.Equal(got, []string{base64.StdEncoding.EncodeToString(certificate)}) {
			t.Errorf("published as %q", got)
		}
		l.same("published", x)
		if diff := cmp.Diff(sdkKeys(*published), sdkKeys(*x.key(published.GetKid()))); diff != "" {
			t.Errorf("the key alone (-published +read)\n%s", diff)
		}

		old := done(l.keyturn.Document(ctx, x.Target))(l)
		if old.ActiveKid() == published.GetKid() {
			t.Fatal("a published key is in use at once")
		}
		x.activate(published.GetKid())
		now := done(l.keyturn.Document(ctx, x.Target))(l)
		if now.ActiveKid() != published.GetKid() {
			t.Errorf("Keyturn sees %s as the active key, the SDK chose %s", now.ActiveKid(), published.GetKid())
		}
		metadata := done(l.keyturn.Metadata(ctx, x.Target, published.GetKid()))(l)
		if !bytes.Contains(bytes.ReplaceAll(metadata, []byte("\n"), nil), []byte(published.X5c[0])) {
			t.Errorf("the metadata that Keyturn reads lacks the certificate:\n%s", metadata)
		}

		cloned := x.clone(published.GetKid(), x.other.ID)
		if diff := cmp.Diff(sdkKeys(*published), sdkKeys(*cloned)); diff != "" {
			t.Errorf("the clone (-published +cloned)\n%s", diff)
		}
		keys := keyturnKeys(done(l.keyturn.Keys(ctx, x.other))(l))
		if !slices.Contains(keys, sdkKeys(*published)[0]) {
			t.Errorf("Keyturn does not see the clone among %q", keys)
		}

		again := x.generate(okta.CsrMetadata{Subject: &subject})
		x.revoke(again.GetId())
		l.same("revoked", x)
	})
}

func TestKeyturnRotatesATargetAndTheSDKSeesIt(t *testing.T) {
	forBothKinds(t, func(t *testing.T, l *lab, x target) {
		ctx := t.Context()
		csr := done(l.keyturn.GenerateCSR(ctx, x.Target, rotation.Subject{CountryName: "US", CommonName: "by Keyturn"}))(l)
		l.same("with a CSR", x)
		if diff := cmp.Diff(keyturnCSRs([]keyturn.SigningRequest{csr}), sdkCSRs(*x.csr(csr.ID))); diff != "" {
			t.Errorf("the CSR (-Keyturn +SDK)\n%s", diff)
		}
		key := done(l.keyturn.PublishCSR(ctx, x.Target, csr.ID, sign(l, csr.CSR)))(l)
		l.same("published", x)
		if diff := cmp.Diff(keyturnKeys([]keyturn.JSONWebKey{key}), sdkKeys(*x.key(key.Kid))); diff != "" {
			t.Errorf("the key (-Keyturn +SDK)\n%s", diff)
		}
		document := done(l.keyturn.Document(ctx, x.Target))(l)
		l.fine(l.keyturn.Replace(ctx, x.Target, done(document.SwitchBody(key.Kid))(l)))
		if got := l.activeBySDK(x.Target); got != key.Kid {
			t.Errorf("the SDK sees %s as the active key, Keyturn chose %s", got, key.Kid)
		}
		clone := done(l.keyturn.CloneKey(ctx, x.Target, key.Kid, x.other))(l)
		if diff := cmp.Diff(keyturnKeys([]keyturn.JSONWebKey{key}), keyturnKeys([]keyturn.JSONWebKey{clone})); diff != "" {
			t.Errorf("the clone (-published +cloned)\n%s", diff)
		}
		again := done(l.keyturn.GenerateCSR(ctx, x.Target, rotation.Subject{CommonName: "not wanted"}))(l)
		l.fine(l.keyturn.RevokeCSR(ctx, x.Target, again.ID))
		l.same("revoked", x)
	})
}

func (l *lab) activeBySDK(t rotation.Target) string {
	l.t.Helper()
	if t.Kind == rotation.KindApp {
		return sdkApp(*ok(l.sdk.ApplicationAPI.GetApplication(l.t.Context(), t.ID).Execute())(l)).Kid
	}
	return ok(l.sdk.IdentityProviderAPI.GetIdentityProvider(l.t.Context(), t.ID).Execute())(l).Protocol.Credentials.Signing.GetKid()
}

// The SDK knows no parameter kid (nor does the spec that it was made of), so it
// sees the metadata of the key in use alone.
func TestTheSDKReadsTheMetadataOfTheKeyInUse(t *testing.T) {
	l := newLab(t)
	app := rotation.Target{Kind: rotation.KindApp, ID: l.demo.BeforeSwitchApp}
	got := ok(l.sdk.ApplicationSSOAPI.PreviewSAMLmetadataForApplication(t.Context(), app.ID).Execute())(l)
	want := done(l.keyturn.Metadata(t.Context(), app, l.org.ActiveKid("app", app.ID)))(l)
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("(-Keyturn +SDK)\n%s", diff)
	}
}

// Why Keyturn sends the bytes that it read (docs/architecture.md, The switch):
// a document that went through the SDK's types is another one.
func TestARoundTripThroughTheSDKChangesAnApp(t *testing.T) {
	l := newLab(t)
	app := rotation.Target{Kind: rotation.KindApp, ID: l.demo.BeforeSwitchApp}
	before := done(l.keyturn.Document(t.Context(), app))(l)
	whole := ok(l.sdk.ApplicationAPI.GetApplication(t.Context(), app.ID).Execute())(l)
	ok(l.sdk.ApplicationAPI.ReplaceApplication(t.Context(), app.ID).Application(*whole).Execute())(l)
	differences := done(keyturn.Differences(before, done(l.keyturn.Document(t.Context(), app))(l)))(l)
	var paths []string
	for _, d := range differences {
		paths = append(paths, d.Path)
	}
	want := []string{
		// What is null is gone; numbers are rounded or written in another way.
		"accessibility.errorRedirectUrl", "profile.costCenter", "profile.ratio", "profile.scale",
		"settings.notifications.vpn.helpUrl", "settings.notifications.vpn.message", "settings.signOn.defaultRelayState",
		"vendorExtension.thresholds[0]", "vendorExtension.thresholds[1]", "vendorExtension.thresholds[2]",
	}
	if diff := cmp.Diff(want, paths); diff != "" {
		t.Errorf("what changed (-want +got)\n%s", diff)
	}
}

// sign has a CA of a company certify a CSR in base64, for a year.
func sign(l *lab, csr string) []byte {
	l.t.Helper()
	request := done(x509.ParseCertificateRequest(done(base64.StdEncoding.DecodeString(csr))(l)))(l)
	key := done(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(l)
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Example CA"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().AddDate(5, 0, 0), IsCA: true, BasicConstraintsValid: true,
	}
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: request.Subject, NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().AddDate(1, 0, 0)}
	return done(x509.CreateCertificate(rand.Reader, leaf, ca, request.PublicKey, key))(l)
}

// file is what the SDK publishes: an open file, sent as
// application/x-x509-ca-cert whatever it holds. So it must be DER.
func file(t *testing.T, der []byte) *os.File {
	t.Helper()
	path := filepath.Join(t.TempDir(), "certificate.cer")
	if err := os.WriteFile(path, der, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}
