package steps_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"keyturn/internal/ca"
	"keyturn/internal/ca/local"
	"keyturn/internal/okta"
	"keyturn/internal/oktasim"
	"keyturn/internal/rotation"
	"keyturn/internal/steps"
)

// now is the clock of all tests: the org's, the steps' and the CA's.
var now = time.Date(2026, 3, 2, 9, 30, 0, 0, time.UTC)

func clock() time.Time { return now }

func day(n int) time.Time { return now.AddDate(0, 0, n) }

const (
	oldKid = "oldKid-SIMvaRgZ5Rk1N2Qb0bT2Tn1gEmnQ"
	token  = "00-a-token-that-must-never-be-shown-0042"
)

// expiring is the active key of every target unless a test says otherwise.
// Keys never change, so that all orgs can have the same one.
var expiring = sync.OnceValue(func() *oktasim.Key {
	return oktasim.NewKey(oktasim.KeySpec{Kid: oldKid, Created: day(-700), NotAfter: day(30)})
})

// spare is a further key that another tool made: self-signed, good for years.
var spare = sync.OnceValue(func() *oktasim.Key {
	return oktasim.NewKey(oktasim.KeySpec{Kid: "spareKid", Created: day(-10), NotAfter: day(3000)})
})

// company is the CA. Its key is an elliptic one because that signs fast.
var company = sync.OnceValue(func() ca.Authority {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Example Issuing CA"}, NotBefore: day(-500), NotAfter: day(4000),
		KeyUsage: x509.KeyUsageCertSign, BasicConstraintsValid: true, IsCA: true, SubjectKeyId: []byte{1, 2, 3},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	secret, err := json.Marshal(map[string]string{
		"key":   string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})),
		"chain": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
	})
	if err != nil {
		panic(err)
	}
	authority, err := local.New(secret, rand.Reader)
	if err != nil {
		panic(err)
	}
	return authority
})

// Documents full of what no struct knows: provisioning, vendors' fields,
// numbers and strings in unusual spellings.
const (
	richApp = `{"label":"Zoll \u00e9t\u00e9 \/ Zürich – 会社 <&>","profile":{"costCenter":12345678901234567890,"ratio":1.0,"scale":1e3,"tiny":-0.10e-7},` +
		`"features":["PUSH_NEW_USERS","GROUP_PUSH"],"licensing":{"seatCount":250},` +
		`"settings":{"notes":{"admin":"Tier 1 \/ ext. 4711","enduser":"Cr\u00e9ez un ticket \ud83d\ude00"},` +
		`"app":{"useScim":true,"scimBaseUrl":"https:\/\/scim.example.com","apiToken":"t0p-s3cret","password":"hunter2"},` +
		`"provisioning":{"mode":"SCIM","batchSize":1e2,"clientSecret":"cl13nt"},` +
		`"signOn":{"attributeStatements":[{"type":"EXPRESSION","name":"email","values":["user.email"]},{"type":"GROUP","name":"groups","filterValue":"crm-.*"}]}},` +
		`"vendorExtension":{"schema":"v2","thresholds":[0.10,1.00,2.50e2],"nested":{"kid":"not this one","credentials":{"signing":{"kid":"nor this one"}}}}}`
	richIDP = `{"name":"Partner \u00e9 \/ Zürich – 会社 <&>","protocol":{"endpoints":{"slo":{"url":"https:\/\/adfs.example.com\/ls","binding":"HTTP-POST"}},` +
		`"relayState":{"format":"FROM_URL"},"settings":{"participateSlo":true}},` +
		`"policy":{"provisioning":{"groups":{"action":"SYNC","filter":["00gak46y5hydV6NdM0g4"]}},"subject":{"filter":"(\\S+@partner\\.example\\.com)"},"maxClockSkew":60000},` +
		`"vendorExtension":{"amr":["mfa"],"weight":1.50,"scale":1e3,"id":12345678901234567890,"credentials":{"signing":{"kid":"nor this one"}}}}`
)

// lab is a simulated org with one target that is due, and a client of it.
type lab struct {
	t      *testing.T
	org    *oktasim.Org
	server *httptest.Server
	okta   *okta.Client
	target rotation.Target
	policy rotation.Settings
	// ahead is how far the org's clock is ahead of now.
	ahead atomic.Int64
}

var kinds = []rotation.Kind{rotation.KindApp, rotation.KindIDP}

// forBothKinds runs a promise for an app and for an IdP.
func forBothKinds(t *testing.T, promise func(t *testing.T, l *lab)) {
	t.Helper()
	for _, kind := range kinds {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			promise(t, newLab(t, kind))
		})
	}
}

func newLab(t *testing.T, kind rotation.Kind) *lab {
	t.Helper()
	l := emptyLab(t)
	if kind == rotation.KindIDP {
		l.target = l.addIDP(oktasim.IDPSpec{Label: "Partner", Created: day(-700), Key: expiring(), Raw: richIDP})
	} else {
		l.target = l.addApp(oktasim.AppSpec{Label: "Customs", Created: day(-700), Key: expiring(), Raw: richApp})
	}
	return l
}

func emptyLab(t *testing.T) *lab {
	t.Helper()
	unlimited := oktasim.Limits{Apps: oktasim.Unlimited, App: oktasim.Unlimited, API: oktasim.Unlimited}
	l := &lab{t: t, policy: rotation.DefaultSettings(nil)}
	orgClock := func() time.Time { return now.Add(time.Duration(l.ahead.Load())) }
	l.org = oktasim.New(oktasim.Options{APIToken: token, Now: orgClock, Limits: unlimited})
	l.server = httptest.NewServer(l.org)
	t.Cleanup(l.server.Close)
	l.org.SetBaseURL(l.server.URL)
	l.okta = l.client(nil)
	return l
}

// client makes one that opens a connection for each call: net/http repeats a
// GET by itself when a connection that it kept is closed, and would hide the
// fault that a test asks for.
func (l *lab) client(between func(http.RoundTripper) http.RoundTripper) *okta.Client {
	l.t.Helper()
	var transport http.RoundTripper = &http.Transport{DisableKeepAlives: true}
	if between != nil {
		transport = between(transport)
	}
	credential, err := okta.ParseCredential("keyturn/okta", []byte(`{"apiToken":"`+token+`"}`))
	if err != nil {
		l.t.Fatal(err)
	}
	c, err := okta.New(okta.Config{
		OrgURL:      l.server.URL,
		Credentials: func(context.Context, bool) (okta.Credential, error) { return credential, nil },
		Version:     "1.2.3",
		HTTP:        &http.Client{Transport: transport},
	})
	if err != nil {
		l.t.Fatal(err)
	}
	return c
}

// rewriting gives a client that reads other answers than the org gives: those
// to paths with this end.
func (l *lab) rewriting(end string, to func(body string) string) *okta.Client {
	return l.client(func(next http.RoundTripper) http.RoundTripper { return rewriter{next, end, to} })
}

type rewriter struct {
	next http.RoundTripper
	end  string
	to   func(string) string
}

func (w rewriter) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := w.next.RoundTrip(r)
	if err != nil || !strings.HasSuffix(r.URL.Path, w.end) {
		return response, err
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	if err := response.Body.Close(); err != nil {
		return nil, err
	}
	response.Body = io.NopCloser(strings.NewReader(w.to(string(body))))
	return response, nil
}

func (l *lab) addApp(spec oktasim.AppSpec) rotation.Target {
	return l.named(rotation.KindApp, l.org.AddApp(spec))
}

func (l *lab) addIDP(spec oktasim.IDPSpec) rotation.Target {
	return l.named(rotation.KindIDP, l.org.AddIDP(spec))
}

// named is a target as inspect-target hands it on.
func (l *lab) named(kind rotation.Kind, id string) rotation.Target {
	d := okta.Document{Kind: kind, Raw: l.org.Document(string(kind), id)}
	return rotation.Target{Kind: kind, ID: id, Label: d.Label(), Name: d.Name()}
}

func (l *lab) kind() string { return string(l.target.Kind) }

func (l *lab) document() []byte { return l.org.Document(l.kind(), l.target.ID) }

func (l *lab) activeKid() string { return l.org.ActiveKid(l.kind(), l.target.ID) }

func (l *lab) keys() []oktasim.Key { return l.org.Keys(l.kind(), l.target.ID) }

func (l *lab) pending() []oktasim.CSR { return l.org.PendingCSRs(l.kind(), l.target.ID) }

func (l *lab) digest() string {
	l.t.Helper()
	digest, err := okta.Document{Kind: l.target.Kind, Raw: l.document()}.Digest()
	if err != nil {
		l.t.Fatal(err)
	}
	return digest
}

// The operations of Okta's API by what they do, for both kinds.
func (l *lab) operation(what string) string {
	app := l.target.Kind == rotation.KindApp
	pick := func(forApp, forIDP string) string {
		if app {
			return forApp
		}
		return forIDP
	}
	switch what {
	case "read":
		return pick("getApplication", "getIdentityProvider")
	case "replace":
		return pick("replaceApplication", "replaceIdentityProvider")
	case "keys":
		return pick("listApplicationKeys", "listIdentityProviderSigningKeys")
	case "csrs":
		return pick("listCsrsForApplication", "listCsrsForIdentityProvider")
	case "generate":
		return pick("generateCsrForApplication", "generateCsrForIdentityProvider")
	case "publish":
		return pick("publishCsrFromApplication", "publishCsrForIdentityProvider")
	case "clone":
		return pick("cloneApplicationKey", "cloneIdentityProviderKey")
	case "list":
		return pick("listApplications", "listIdentityProviders")
	case "revoke":
		return pick("revokeCsrFromApplication", "revokeCsrForIdentityProvider")
	case "metadata":
		return pick("previewSAMLmetadataForApplication", "getIdentityProviderMetadata")
	}
	l.t.Fatalf("no operation %q", what)
	return ""
}

// fail makes the next call of an operation fail.
func (l *lab) fail(what string, kind oktasim.FaultKind) {
	l.t.Helper()
	l.org.Fail(oktasim.Fault{Operation: l.operation(what), Kind: kind})
}

// puts are the bodies of the PUT calls so far.
func (l *lab) puts() []string {
	var bodies []string
	for _, c := range l.org.Calls() {
		if c.Method == http.MethodPut {
			bodies = append(bodies, string(c.Body))
		}
	}
	return bodies
}

// The steps, over the lab's client.

func (l *lab) inspect(policy string) (rotation.InspectTargetOutput, error) {
	in := rotation.InspectTargetInput{Target: rotation.Target{Kind: l.target.Kind, ID: l.target.ID}}
	if policy != "" {
		in.Policy = json.RawMessage(policy)
	}
	return steps.InspectTarget{Okta: l.okta, Defaults: rotation.DefaultSettings([]string{"sso-team@example.com"}), Now: clock}.Run(l.t.Context(), in)
}

func (l *lab) generate() rotation.GenerateCSROutput {
	l.t.Helper()
	out, err := steps.GenerateCSR{Okta: l.okta}.Run(l.t.Context(), rotation.GenerateCSRInput{Target: l.target, Policy: l.policy})
	if err != nil {
		l.t.Fatalf("generate-csr: %v", err)
	}
	return out
}

func signer() steps.SignCSR {
	return steps.SignCSR{CA: func(context.Context, rotation.CertificateAuthority) (ca.Authority, error) { return company(), nil }, Now: clock}
}

func (l *lab) sign(csr rotation.CSR) rotation.Certificate {
	l.t.Helper()
	out, err := signer().Run(l.t.Context(), rotation.SignCSRInput{Target: l.target, Policy: l.policy, CSR: &csr})
	if err != nil {
		l.t.Fatalf("sign-csr: %v", err)
	}
	return *out.Certificate
}

func (l *lab) publish(csr rotation.CSR, certificate rotation.Certificate) rotation.Key {
	l.t.Helper()
	out, err := steps.PublishCSR{Okta: l.okta}.Run(l.t.Context(), rotation.PublishCSRInput{Target: l.target, CSR: csr, Certificate: certificate})
	if err != nil {
		l.t.Fatalf("publish-csr: %v", err)
	}
	return out.Key
}

// published prepares the target up to the switch and gives the new key.
func (l *lab) published() rotation.Key {
	l.t.Helper()
	csr := l.generate().CSR
	key := l.publish(csr, l.sign(csr))
	l.org.ResetCalls()
	return key
}

func (l *lab) update(in rotation.UpdateKeyCredentialInput) (rotation.UpdateKeyCredentialOutput, error) {
	return steps.UpdateKeyCredential{Okta: l.okta}.Run(l.t.Context(), in)
}

// What tests say.

func wantName(t *testing.T, err error, name string) {
	t.Helper()
	if got := rotation.NameOf(err); got != name {
		t.Errorf("error is named %q, want %q: %v", got, name, err)
	}
}

// wantError compares an error's name and whole text.
func wantError(t *testing.T, err error, name, text string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want %s: %s", name, text)
	}
	wantName(t, err, name)
	if err.Error() != text {
		t.Errorf("the error says\n\t%s\nwant\n\t%s", err, text)
	}
}

var lastUpdated = regexp.MustCompile(`"lastUpdated":"[^"]*"`)

// wantOnlyKid compares a document byte for byte with what it was, but for the
// active kid and lastUpdated.
func wantOnlyKid(t *testing.T, before, after []byte, from, to string) {
	t.Helper()
	want := bytes.Replace(before, []byte(`"`+from+`"`), []byte(`"`+to+`"`), 1)
	if string(lastUpdated.ReplaceAll(after, nil)) != string(lastUpdated.ReplaceAll(want, nil)) {
		t.Errorf("the document is\n%s\nwant\n%s", after, want)
	}
}

// wantCalls compares the operations that the org has seen.
func wantCalls(t *testing.T, org *oktasim.Org, want ...string) {
	t.Helper()
	var got []string
	for _, c := range org.Calls() {
		got = append(got, c.Operation)
	}
	if !slices.Equal(got, want) {
		t.Errorf("calls of Okta:\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
