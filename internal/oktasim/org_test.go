package oktasim

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

const testToken = "00test-token"

// clock is a clock that only moves when told to.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// fixture is an org with a client that talks to its handler directly.
type fixture struct {
	*Org
	t     *testing.T
	clock *clock
}

func newFixture(t *testing.T, options ...func(*Options)) *fixture {
	t.Helper()
	c := &clock{t: time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)}
	o := Options{APIToken: testToken, Now: c.now, Limits: Limits{Unlimited, Unlimited, Unlimited}, BaseURL: "http://org.example.com/"}
	for _, set := range options {
		set(&o)
	}
	return &fixture{New(o), t, c}
}

// reply is an answer of the org.
type reply struct {
	status int
	header http.Header
	body   []byte
}

// do sends one call; headers are "Name: value".
func (f *fixture) do(method, path, body string, headers ...string) reply {
	f.t.Helper()
	req := httptest.NewRequestWithContext(f.t.Context(), method, path, strings.NewReader(body))
	req.Host = "org.example.com"
	req.Header.Set("Authorization", "SSWS "+testToken)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	f.ServeHTTP(w, req)
	return reply{w.Code, w.Result().Header, w.Body.Bytes()}
}

func (f *fixture) ok(status int, method, path, body string, headers ...string) reply {
	f.t.Helper()
	got := f.do(method, path, body, headers...)
	if got.status != status {
		f.t.Fatalf("%s %s: status %d, want %d: %s", method, path, got.status, status, got.body)
	}
	return got
}

// refused wants an error answer with this status and code, and returns it.
func (f *fixture) refused(status int, code, method, path, body string, headers ...string) reply {
	f.t.Helper()
	got := f.ok(status, method, path, body, headers...)
	if c := lookupString(got.body, "errorCode"); c != code {
		f.t.Fatalf("%s %s: code %s, want %s: %s", method, path, c, code, got.body)
	}
	return got
}

func (r reply) string(path ...string) string { return lookupString(r.body, path...) }

const goodCSR = `{"subject":{"countryName":"US","stateOrProvinceName":"California","localityName":"San Francisco",` +
	`"organizationName":"Example, Inc.","organizationalUnitName":"Dev","commonName":"SP Issuer"},"subjectAltNames":{"dnsNames":["dev.example.com"]}}`

// newCSR generates a CSR and returns its id and the parsed request.
func (f *fixture) newCSR(kind, id string) (string, *x509.CertificateRequest) {
	f.t.Helper()
	r := f.ok(201, "POST", "/api/v1/"+kind+"s/"+id+"/credentials/csrs", goodCSR)
	der, err := base64.StdEncoding.DecodeString(r.string("csr"))
	if err != nil {
		f.t.Fatalf("csr is not standard base64: %v", err)
	}
	request, err := x509.ParseCertificateRequest(der)
	if err != nil {
		f.t.Fatalf("csr is no PKCS#10: %v", err)
	}
	return r.string("id"), request
}

// testCA signs what tests publish.
type testCA struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

var newCA = sync.OnceValue(func() *testCA {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Test CA"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Unix(0, 0), NotAfter: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return &testCA{key, cert}
})

func (ca *testCA) sign(t *testing.T, public crypto.PublicKey, notBefore, notAfter time.Time, change ...func(*x509.Certificate)) []byte {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "SP Issuer"}, NotBefore: notBefore, NotAfter: notAfter, BasicConstraintsValid: true,
	}
	for _, c := range change {
		c(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.cert, public, ca.key)
	if err != nil {
		t.Fatalf("sign: %v", err)
	}
	return der
}

func pemOf(der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// publishNew generates, signs and publishes a CSR and returns the new kid.
func (f *fixture) publishNew(kind, id string) string {
	f.t.Helper()
	csr, request := f.newCSR(kind, id)
	der := newCA().sign(f.t, request.PublicKey, f.clock.now(), f.clock.now().AddDate(1, 0, 0))
	r := f.ok(201, "POST", "/api/v1/"+kind+"s/"+id+"/credentials/csrs/"+csr+"/lifecycle/publish", pemOf(der), "Content-Type: application/x-pem-file")
	return r.string("kid")
}

func TestEveryCallNeedsTheToken(t *testing.T) {
	f := newFixture(t)
	for _, header := range []string{"", "SSWS ", "SSWS wrong", "Bearer " + testToken, "ssws " + testToken, testToken} {
		got := f.refused(401, "E0000011", "GET", "/api/v1/apps", "", "Authorization: "+header)
		if got.header.Get("X-Rate-Limit-Remaining") == "" {
			t.Errorf("authorization %q: a 401 lacks the rate-limit headers", header)
		}
	}
	f.refused(401, "E0000011", "GET", "/api/v1/nowhere", "", "Authorization: ")
	f.ok(200, "GET", "/api/v1/apps", "")
	if a, b := New(Options{}).APIToken(), New(Options{}).APIToken(); len(a) < 30 || a == b {
		t.Errorf("orgs without a token in their options get %q and %q, want two long random ones", a, b)
	}
}

func TestErrorsHaveOktasEnvelope(t *testing.T) {
	f := newFixture(t)
	app := f.AddApp(AppSpec{Label: "A"})
	for _, c := range []struct {
		name, method, path, body string
		header                   string
		status                   int
		code                     string
	}{
		{"unknown path", "GET", "/api/v1/nowhere", "", "", 404, "E0000007"},
		{"unknown path without a segment", "GET", "/api/v1/apps//credentials/keys", "", "", 404, "E0000007"},
		{"trailing slash", "GET", "/api/v1/apps/", "", "", 404, "E0000007"},
		{"outside v1", "GET", "/api/v2/apps", "", "", 404, "E0000007"},
		{"unknown app", "GET", "/api/v1/apps/0oanone", "", "", 404, "E0000007"},
		{"an IdP asked for as an app", "GET", "/api/v1/idps/" + app, "", "", 404, "E0000007"},
		{"keys cannot be deleted", "DELETE", "/api/v1/apps/" + app + "/credentials/keys/x", "", "", 405, "E0000022"},
		{"no such method", "PATCH", "/api/v1/apps/" + app, "", "", 405, "E0000022"},
		{"IdPs are not deleted here", "DELETE", "/api/v1/idps/" + app, "", "", 405, "E0000022"},
		{"wrong Accept", "GET", "/api/v1/apps", "", "Accept: text/html", 400, "E0000018"},
		{"Accept with q=0", "GET", "/api/v1/apps", "", "Accept: application/json;q=0", 400, "E0000018"},
		{"metadata is not JSON", "GET", "/api/v1/apps/" + app + "/sso/saml/metadata", "", "Accept: application/json", 400, "E0000018"},
		{"wrong Content-Type", "PUT", "/api/v1/apps/" + app, "{}", "Content-Type: text/plain", 400, "E0000021"},
		{"no JSON", "PUT", "/api/v1/apps/" + app, "{", "", 400, "E0000003"},
		{"JSON, not an object", "PUT", "/api/v1/apps/" + app, "[]", "", 400, "E0000003"},
		{"a member twice", "PUT", "/api/v1/apps/" + app, `{"a":{"b":1,"\u0062":2}}`, "", 400, "E0000003"},
		{"not UTF-8", "PUT", "/api/v1/apps/" + app, "{\"a\":\"\x95\"}", "", 400, "E0000003"},
		{"too deep", "PUT", "/api/v1/apps/" + app, `{"a":` + strings.Repeat("[", 300) + strings.Repeat("]", 300) + `}`, "", 400, "E0000003"},
		{"too large", "PUT", "/api/v1/apps/" + app, `{"a":"` + strings.Repeat("x", maxBody) + `"}`, "", 400, "E0000003"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := &fixture{f.Org, t, f.clock}
			headers := []string{}
			if c.header != "" {
				headers = append(headers, c.header)
			}
			got := f.refused(c.status, c.code, c.method, c.path, c.body, headers...)
			var e struct {
				ErrorCode, ErrorSummary, ErrorLink, ErrorID string
				ErrorCauses                                 []struct{ ErrorSummary string }
			}
			if err := json.Unmarshal(got.body, &e); err != nil || e.ErrorSummary == "" || e.ErrorLink != c.code || e.ErrorID == "" || e.ErrorCauses == nil {
				t.Errorf("envelope %s (%v)", got.body, err)
			}
			if got.header.Get("Content-Type") != "application/json" || got.header.Get("X-Okta-Request-Id") == "" {
				t.Errorf("headers %v", got.header)
			}
		})
	}
}

func TestSomeErrorsHaveABareCause(t *testing.T) {
	f := newFixture(t)
	a, b := f.AddApp(AppSpec{Label: "A"}), f.AddApp(AppSpec{Label: "B"})
	path := "/api/v1/apps/" + a + "/credentials/keys/" + f.ActiveKid(KindApp, a) + "/clone?targetAid=" + b
	f.ok(201, "POST", path, "")
	got := f.refused(400, "E0000001", "POST", path, "")
	if got.string("errorCauses", "errorSummary") == "" {
		t.Errorf("want errorCauses as a bare object: %s", got.body)
	}
}

func TestEveryAnswerNamesTheRequestAndTheOrgsTime(t *testing.T) {
	f := newFixture(t)
	seen := map[string]bool{}
	for range 3 {
		got := f.ok(200, "GET", "/api/v1/apps", "")
		id := got.header.Get("X-Okta-Request-Id")
		if id == "" || seen[id] {
			t.Errorf("request id %q is empty or was used before", id)
		}
		seen[id] = true
		if d := got.header.Get("Date"); d != "Mon, 02 Mar 2026 09:00:00 GMT" {
			t.Errorf("Date %q is not the org's clock", d)
		}
	}
}

func TestCallsAreRecordedWithoutTheToken(t *testing.T) {
	f := newFixture(t)
	app := f.AddApp(AppSpec{Label: "A"})
	f.ok(200, "GET", "/api/v1/apps?limit=5", "", "User-Agent: some-client/1")
	f.ok(400, "PUT", "/api/v1/apps/"+app, `{"label":""}`)
	f.ok(404, "GET", "/api/v1/nowhere", "")
	calls := f.Calls()
	if len(calls) != 3 {
		t.Fatalf("%d calls, want 3", len(calls))
	}
	if c := calls[0]; c.Operation != "listApplications" || c.Path != "/api/v1/apps?limit=5" || c.UserAgent != "some-client/1" || c.Status != 200 || c.Method != http.MethodGet || !c.Time.Equal(f.clock.now()) {
		t.Errorf("first call %+v", c)
	}
	if c := calls[1]; c.Operation != "replaceApplication" || c.Kind != KindApp || c.ID != app || string(c.Body) != `{"label":""}` || c.ContentType != "application/json" || c.Status != 400 {
		t.Errorf("second call %+v", c)
	}
	if c := calls[2]; c.Operation != "" || c.Status != 404 {
		t.Errorf("third call %+v", c)
	}
	if strings.Contains(fmt.Sprintf("%+v", calls), testToken) || bytes.Contains(encode(calls), []byte(testToken)) {
		t.Error("the record contains the token")
	}
	f.ActiveKid(KindApp, app)
	f.Document(KindApp, app)
	if len(f.Calls()) != 3 {
		t.Error("inspecting counts as a call")
	}
	f.ResetCalls()
	if len(f.Calls()) != 0 {
		t.Error("calls survive ResetCalls")
	}
}

func TestOperationsHaveOneRouteEach(t *testing.T) {
	known := map[string]bool{}
	for _, r := range routes {
		if known[r.operation] || !regexp.MustCompile(`^[a-z][A-Za-z]+$`).MatchString(r.operation) {
			t.Errorf("operation %q is no operationId or appears twice", r.operation)
		}
		known[r.operation] = true
		path := "/api/v1/" + strings.NewReplacer("{", "", "}", "").Replace(strings.Join(r.pattern, "/"))
		if found, _, _ := findRoute(r.method, path); found != r {
			t.Errorf("%s %s does not lead to %s", r.method, path, r.operation)
		}
	}
}

// Many clients at once: meant for the race detector.
func TestOrgIsSafeForConcurrentUse(t *testing.T) {
	f := newFixture(t)
	d := f.SeedDemo()
	server := httptest.NewServer(f)
	defer server.Close()
	var wg sync.WaitGroup
	for i := range 6 {
		wg.Go(func() {
			for _, call := range []struct{ method, path, body string }{
				{"GET", "/api/v1/apps?limit=3", ""},
				{"GET", "/api/v1/apps/" + d.RejectApp, ""},
				{"GET", "/api/v1/apps/" + d.RejectApp + "/credentials/keys", ""},
				{"POST", "/api/v1/apps/" + d.RejectApp + "/credentials/csrs", goodCSR},
				{"GET", "/api/v1/idps/" + d.IDP + "/metadata.xml", ""},
				{"GET", "/", ""},
			} {
				req, err := http.NewRequestWithContext(t.Context(), call.method, server.URL+call.path, strings.NewReader(call.body))
				if err != nil {
					t.Error(err)
					return
				}
				req.Header.Set("Authorization", "SSWS "+testToken)
				req.Header.Set("Content-Type", "application/json")
				resp, err := server.Client().Do(req)
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
				if resp.StatusCode >= 300 {
					t.Errorf("client %d: %s %s: %s", i, call.method, call.path, resp.Status)
				}
			}
			f.Edit(KindApp, d.RejectApp, "settings.notes.admin", `"edited"`)
			f.Calls()
			f.Keys(KindApp, d.RejectApp)
			f.Document(KindIDP, d.IDP)
		})
	}
	wg.Wait()
	ids, moduli := map[string]bool{}, map[string]bool{}
	for _, c := range f.PendingCSRs(KindApp, d.RejectApp) {
		request, err := x509.ParseCertificateRequest(c.DER)
		if err != nil {
			t.Fatal(err)
		}
		ids[c.ID], moduli[fmt.Sprint(request.PublicKey)] = true, true
	}
	if len(ids) != 6 || len(moduli) != 6 {
		t.Errorf("6 CSRs have %d ids and %d public keys, want 6 of each", len(ids), len(moduli))
	}
}

// FuzzRequests looks for requests that make the org panic or answer something
// other than an HTTP status of its own.
func FuzzRequests(f *testing.F) {
	o := New(Options{APIToken: testToken, Limits: Limits{Unlimited, Unlimited, Unlimited}})
	d := o.SeedDemo()
	app, idp := d.BeforeSwitchApp, d.IDP
	for _, seed := range [][4]string{
		{"GET", "/api/v1/apps?limit=200&filter=status+eq+%22ACTIVE%22", "", ""},
		{"GET", "/api/v1/apps?after=x", "", "*/*"},
		{"PUT", "/api/v1/apps/" + app, `{"name":"example_salesforceemea_1","label":"x","signOnMode":"SAML_2_0","credentials":{"signing":{"kid":null}}}`, ""},
		{"PUT", "/api/v1/apps/" + app, `{"name":"example_salesforceemea_1","label":"x","signOnMode":"SAML_2_0","settings":{},"profile":[1,{"a":"\u00e9"}]}`, ""},
		{"PUT", "/api/v1/idps/" + idp, string(o.Document(KindIDP, idp)), ""},
		{"PUT", "/api/v1/idps/" + idp, `{"type":"SAML2","name":"n","protocol":{"credentials":{"trust":{"additionalKids":[{}]}}},"policy":{}}`, ""},
		{"POST", "/api/v1/apps/" + app + "/credentials/csrs", goodCSR, "application/pkcs10"},
		{"POST", "/api/v1/apps/" + app + "/credentials/csrs/x/lifecycle/publish", "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n", ""},
		{"POST", "/api/v1/apps/" + app + "/credentials/keys/generate?validityYears=-1", "", ""},
		{"GET", "/api/v1/idps/%2e%2e/metadata.xml?kid=%00", "", "text/xml;q=0.5,a/b"},
		{"GET", "/api/v1/apps/%zz", "", ""},
		{"GET", "/admin/app/" + app, "", ""},
		{"POST", "/_sim/faults", `{"kind":"nothing"}`, ""},
		{"POST", "/_sim/edit", `{"kind":"app","id":"` + app + `","path":"settings","value":1}`, ""},
	} {
		f.Add(seed[0], seed[1], seed[2], seed[3])
	}
	f.Fuzz(func(t *testing.T, method, target, body, accept string) {
		req, err := http.NewRequestWithContext(t.Context(), method, "http://org.example.com"+target, strings.NewReader(body))
		if err != nil || !strings.HasPrefix(target, "/") {
			return
		}
		req.RequestURI = target
		req.Header.Set("Authorization", "SSWS "+testToken)
		req.Header.Set("Content-Type", "application/json")
		if accept != "" {
			req.Header.Set("Accept", accept)
		}
		o.ClearFaults() // a fault that closes the connection panics by design
		w := httptest.NewRecorder()
		o.ServeHTTP(w, req)
		if w.Code < 200 || w.Code > 499 {
			t.Errorf("%s %q: status %d", method, target, w.Code)
		}
		for _, kind := range []string{KindApp, KindIDP} {
			for _, id := range o.Targets(kind) {
				if doc := o.Document(kind, id); !json.Valid(doc) {
					t.Errorf("%s %q leaves %s %s with a broken document: %s", method, target, kind, id, doc)
				}
			}
		}
	})
}
