package stepca_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"keyturn/internal/ca"
	"keyturn/internal/ca/stepca"
	"keyturn/internal/ca/stepca/stepcatest"
)

const day = 24 * time.Hour

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// Keys are made once for all tests: RSA keys take long under the race detector.
var (
	rsaKey  = sync.OnceValue(func() crypto.Signer { return must(rsa.GenerateKey(rand.Reader, 2048)) })
	p256Key = sync.OnceValue(func() crypto.Signer { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) })
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func start(t testing.TB, o stepcatest.Options) *stepcatest.Server {
	t.Helper()
	o.Now = func() time.Time { return now }
	s := stepcatest.Start(o)
	t.Cleanup(s.Close)
	return s
}

func configFor(s *stepcatest.Server) stepca.Config {
	return stepca.Config{
		URL: s.URL, Fingerprint: s.Fingerprint, Provisioner: stepcatest.Provisioner,
		Secret: s.PasswordSecret(), Now: func() time.Time { return now },
	}
}

func open(t testing.TB, s *stepcatest.Server) *stepca.Authority {
	t.Helper()
	a, err := stepca.New(context.Background(), configFor(s))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func newCSR(template *x509.CertificateRequest, key crypto.Signer) []byte {
	return must(x509.CreateCertificateRequest(rand.Reader, template, key))
}

var wiki = &x509.CertificateRequest{Subject: pkix.Name{Organization: []string{"Example, Inc."}, CommonName: "Wiki SAML signing"}}

func wikiRequest() ca.Request {
	return ca.Request{CSR: newCSR(wiki, rsaKey()), Kind: ca.KindApp, ValidityDays: 397, Now: now}
}

// oktaCSR is the request that Okta's management OpenAPI spec shows as example.
func oktaCSR() []byte {
	text := must(os.ReadFile("../testdata/okta-example.csr.b64"))
	return must(base64.StdEncoding.DecodeString(strings.Join(strings.Fields(string(text)), "")))
}

// named fails unless err is an *Error of this name, in one line, that says
// where, what and what to do about it.
func named(t testing.TB, err error, name string, says ...string) *ca.Error {
	t.Helper()
	var e *ca.Error
	if !errors.As(err, &e) {
		t.Fatalf("error is %v (%T), want an *Error named %s", err, err, name)
	}
	if e.Name != name {
		t.Fatalf("error is named %s, want %s; it says: %v", e.Name, name, e)
	}
	if e.Field == "" || e.Remedy == "" || strings.ContainsAny(e.Error(), "\n\r\x1b") {
		t.Fatalf("error %q is not one clean line with field and remedy", e)
	}
	for _, text := range says {
		if !strings.Contains(e.Error(), text) {
			t.Errorf("error %q does not mention %q", e, text)
		}
	}
	return e
}

func TestSigns(t *testing.T) {
	s := start(t, stepcatest.Options{})
	a := open(t, s)
	policies := pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 32}, Critical: true, Value: []byte{0x30, 6, 0x30, 4, 6, 2, 0x2a, 3}}
	for title, test := range map[string]struct {
		r     ca.Request
		usage x509.KeyUsage
	}{
		"Okta's example, for an app":  {ca.Request{Kind: ca.KindApp, CSR: oktaCSR()}, x509.KeyUsageDigitalSignature},
		"Okta's example, for an IdP":  {ca.Request{Kind: ca.KindIDP, CSR: oktaCSR()}, x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment},
		"an EC key":                   {ca.Request{Kind: ca.KindApp, CSR: newCSR(wiki, p256Key())}, x509.KeyUsageDigitalSignature},
		"a name that is no host name": {ca.Request{Kind: ca.KindApp, CSR: newCSR(&x509.CertificateRequest{Subject: pkix.Name{CommonName: "Salesforce – EMEA SAML signing"}}, p256Key())}, x509.KeyUsageDigitalSignature},
		"no commonName":               {ca.Request{Kind: ca.KindApp, CSR: newCSR(&x509.CertificateRequest{Subject: pkix.Name{Organization: []string{"Example, Inc."}}}, p256Key())}, x509.KeyUsageDigitalSignature},
		"names of every kind": {ca.Request{Kind: ca.KindApp, CSR: newCSR(&x509.CertificateRequest{
			Subject: pkix.Name{CommonName: "Wiki"}, DNSNames: []string{"dev.okta.com", "*.example.com"}, EmailAddresses: []string{"a@example.com"},
			IPAddresses: []net.IP{net.ParseIP("192.0.2.1").To4(), net.ParseIP("2001:db8::1")}, URIs: []*url.URL{must(url.Parse("https://example.com/saml?a=b"))},
		}, p256Key())}, x509.KeyUsageDigitalSignature},
		"a profile": {ca.Request{Kind: ca.KindApp, CSR: newCSR(wiki, p256Key()), Profile: ca.Profile{
			KeyUsage: x509.KeyUsageContentCommitment | x509.KeyUsageDataEncipherment | x509.KeyUsageKeyAgreement, Extensions: []pkix.Extension{policies},
			CRLs: []string{"http://pki.example.com/ca.crl"}, OCSP: []string{"http://ocsp.example.com"}, CAIssuers: []string{"http://pki.example.com/ca.cer"},
		}}, x509.KeyUsageDigitalSignature | x509.KeyUsageContentCommitment | x509.KeyUsageDataEncipherment | x509.KeyUsageKeyAgreement},
	} {
		t.Run(title, func(t *testing.T) {
			r := test.r
			r.ValidityDays, r.Now = 397, now
			got, err := a.Sign(context.Background(), r)
			if err != nil {
				t.Fatal(err)
			}
			if err := ca.Check(got, r, a); err != nil {
				t.Errorf("Check: %v", err)
			}
			leaf, csr := got.Leaf, must(ca.ParseCSR(r.CSR))
			if leaf.KeyUsage != test.usage {
				t.Errorf("key usage is %b, want %b", leaf.KeyUsage, test.usage)
			}
			if want := now.Add(-5 * time.Minute); !leaf.NotBefore.Equal(want) || !leaf.NotAfter.Equal(want.Add(397*day)) {
				t.Errorf("valid from %v to %v", leaf.NotBefore, leaf.NotAfter)
			}
			if diff := cmp.Diff([]any{csr.DNSNames, csr.EmailAddresses, csr.IPAddresses, csr.URIs}, []any{leaf.DNSNames, leaf.EmailAddresses, leaf.IPAddresses, leaf.URIs}); diff != "" {
				t.Errorf("names are not the request's (-want +got):\n%s", diff)
			}
			p := r.Profile
			if diff := cmp.Diff([]any{p.CRLs, p.OCSP, p.CAIssuers}, []any{leaf.CRLDistributionPoints, leaf.OCSPServer, leaf.IssuingCertificateURL}); diff != "" {
				t.Errorf("URLs are not the profile's (-want +got):\n%s", diff)
			}
			for _, want := range p.Extensions {
				if !slices.ContainsFunc(leaf.Extensions, func(e pkix.Extension) bool { return cmp.Equal(e, want) }) {
					t.Errorf("extension %v is missing", want.Id)
				}
			}
			if !bytes.Equal(got.Chain.PEM(), s.Chain.PEM()) {
				t.Errorf("the chain has %d certificates, want the intermediate and the root", len(got.Chain))
			}
		})
	}
}

// Whatever the policy puts into a subject and Okta into subjectAltName, the
// token must fit the request.
func TestSignsEveryName(t *testing.T) {
	a := open(t, start(t, stepcatest.Options{}))
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringN(1, 40, -1)
		var subject pkix.RDNSequence
		for _, last := range rapid.Permutation([]int{3, 6, 7, 8, 10, 11}).Draw(t, "order")[:rapid.IntRange(1, 6).Draw(t, "attributes")] {
			subject = append(subject, pkix.RelativeDistinguishedNameSET{{Type: asn1.ObjectIdentifier{2, 5, 4, last}, Value: text.Draw(t, "value")}})
		}
		r := ca.Request{
			CSR: newCSR(&x509.CertificateRequest{
				RawSubject: must(asn1.Marshal(subject)),
				DNSNames:   rapid.SliceOfN(rapid.StringMatching(`([a-z][a-z0-9]{0,8}\.){1,3}example`), 0, 3).Draw(t, "dns"),
			}, p256Key()),
			Kind: ca.KindApp, ValidityDays: rapid.IntRange(91, 397).Draw(t, "days"), Now: now,
		}
		got, err := a.Sign(context.Background(), r)
		if err != nil {
			t.Fatal(err)
		}
		if err := ca.Check(got, r, a); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Leaf.RawSubject, must(x509.ParseCertificateRequest(r.CSR)).RawSubject) {
			t.Fatal("the subject is not the request's, byte for byte")
		}
	})
}

func TestTokensByEveryKindOfKey(t *testing.T) {
	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	for title, key := range map[string]crypto.Signer{
		"ES256": p256Key(),
		"ES384": must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader)),
		"ES512": must(ecdsa.GenerateKey(elliptic.P521(), rand.Reader)),
		"RS256": rsaKey(),
		"EdDSA": ed,
	} {
		s := start(t, stepcatest.Options{Key: key})
		for kind, secret := range map[string][]byte{
			"password":         s.PasswordSecret(),
			"key":              s.KeySecret(),
			"key without kid":  must(json.Marshal(map[string]any{"key": jose.JSONWebKey{Key: key}})),
			"key, other kid":   must(json.Marshal(map[string]any{"key": jose.JSONWebKey{Key: key, KeyID: "mine"}})),
			"key, indented":    must(json.MarshalIndent(map[string]any{"key": jose.JSONWebKey{Key: key}}, "\n", "\t")),
			"password, spaced": append(append([]byte(" \n"), s.PasswordSecret()...), '\n'),
		} {
			t.Run(title+" by "+kind, func(t *testing.T) {
				c := configFor(s)
				c.Secret = secret
				a, err := stepca.New(context.Background(), c)
				if err != nil {
					t.Fatal(err)
				}
				r := wikiRequest()
				got, err := a.Sign(context.Background(), r)
				if err != nil {
					t.Fatal(err)
				}
				if err := ca.Check(got, r, a); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

func TestKnowsWhatTheCAHasIssued(t *testing.T) {
	a, other := open(t, start(t, stepcatest.Options{})), open(t, start(t, stepcatest.Options{}))
	got := must(a.Sign(context.Background(), wikiRequest()))
	for title, test := range map[string]struct {
		a    *stepca.Authority
		want bool
	}{"the CA": {a, true}, "another of the same names": {other, false}} {
		if ours, err := test.a.Issued(got.Leaf); err != nil || ours != test.want {
			t.Errorf("%s: Issued is %v, %v; want %v", title, ours, err, test.want)
		}
	}
	a.Chain()[0] = nil
	if a.Chain()[0] == nil {
		t.Error("Chain gives its own list away")
	}
}

func TestARootThatIssuesByItself(t *testing.T) {
	a := open(t, start(t, stepcatest.Options{RootIssues: true}))
	r := wikiRequest()
	got, err := a.Sign(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	if err := ca.Check(got, r, a); err != nil || len(got.Chain) != 1 || len(a.Chain()) != 1 {
		t.Errorf("Check: %v; chains of %d and %d certificates, want the root alone", err, len(got.Chain), len(a.Chain()))
	}
}

func TestFingerprintsAsPeopleWriteThem(t *testing.T) {
	s := start(t, stepcatest.Options{})
	var colons []string
	for pair := range slices.Chunk([]byte(s.Fingerprint), 2) {
		colons = append(colons, string(pair))
	}
	for _, fingerprint := range []string{
		s.Fingerprint, strings.ToUpper(s.Fingerprint), " " + s.Fingerprint + "\n",
		strings.Join(colons, ":"), strings.ToUpper(strings.Join(colons, ":")),
	} {
		c := configFor(s)
		c.Fingerprint = fingerprint
		if _, err := stepca.New(context.Background(), c); err != nil {
			t.Errorf("%q: %v", fingerprint, err)
		}
	}
}

func TestFindsTheProvisionerAmongOthers(t *testing.T) {
	s := start(t, stepcatest.Options{MoreProvisioners: []string{
		`{"type": "ACME", "name": "acme"}`, `{"type": "X5C", "name": "x5c", "key": "a text"}`, `{"type": "SSHPOP", "name": ""}`,
	}})
	open(t, s)
	c := configFor(s)
	c.Provisioner = "acme"
	_, err := stepca.New(context.Background(), c)
	named(t, err, ca.NameMisconfigured, `provisioner is "acme"`, "not of type JWK")
}

func TestNewRefusesItsConfig(t *testing.T) {
	s := start(t, stepcatest.Options{})
	for title, test := range map[string]struct {
		change func(*stepca.Config)
		says   string
	}{
		"no URL":              {func(c *stepca.Config) { c.URL = "" }, "url"},
		"http":                {func(c *stepca.Config) { c.URL = strings.Replace(s.URL, "https", "http", 1) }, "not https"},
		"a host alone":        {func(c *stepca.Config) { c.URL = "ca.example.com" }, "not https"},
		"host and port":       {func(c *stepca.Config) { c.URL = "ca.example.com:9000" }, "url"},
		"no host":             {func(c *stepca.Config) { c.URL = "https://" }, "not a URL"},
		"a path":              {func(c *stepca.Config) { c.URL = s.URL + "/1.0" }, "behind the host"},
		"a query":             {func(c *stepca.Config) { c.URL = s.URL + "?a=b" }, "behind the host"},
		"a password":          {func(c *stepca.Config) { c.URL = "https://me:hunter2@ca.example.com" }, "a user or a password"},
		"no fingerprint":      {func(c *stepca.Config) { c.Fingerprint = "" }, "SHA-256"},
		"half a fingerprint":  {func(c *stepca.Config) { c.Fingerprint = c.Fingerprint[:32] }, "SHA-256"},
		"a SHA-1 fingerprint": {func(c *stepca.Config) { c.Fingerprint = c.Fingerprint[:40] }, "SHA-256"},
		"letters":             {func(c *stepca.Config) { c.Fingerprint = strings.Repeat("xy", 32) }, "SHA-256"},
		"another fingerprint": {func(c *stepca.Config) { c.Fingerprint = strings.Repeat("0a", 32) }, s.Fingerprint},
		"no provisioner":      {func(c *stepca.Config) { c.Provisioner = " " }, "provisioner"},
		"another provisioner": {func(c *stepca.Config) { c.Provisioner = "keyturN" }, `provisioner is "keyturN"`},
		"another's key": {func(c *stepca.Config) {
			c.Secret = must(json.Marshal(map[string]any{"key": jose.JSONWebKey{Key: rsaKey()}}))
		}, "secret.key: not the key of the provisioner"},
		"another password":     {func(c *stepca.Config) { c.Secret = []byte(`{"password": "hunter2"}`) }, "secret.password"},
		"URL with a new line":  {func(c *stepca.Config) { c.URL = "https://ca\n.example.com" }, "not a URL"},
		"both URLs at once":    {func(c *stepca.Config) { c.URL = s.URL + " " + s.URL }, "not a URL"},
		"mailto":               {func(c *stepca.Config) { c.URL = "https:ca.example.com" }, "not a URL"},
		"fingerprint of words": {func(c *stepca.Config) { c.Fingerprint = "root\nca" }, `"root\nca"`},
	} {
		t.Run(title, func(t *testing.T) {
			c := configFor(s)
			test.change(&c)
			a, err := stepca.New(context.Background(), c)
			if a != nil {
				t.Error("an authority came along with the error")
			}
			if e := named(t, err, ca.NameMisconfigured, test.says); strings.Contains(e.Error(), "hunter2") {
				t.Errorf("error %q quotes a password", e)
			}
		})
	}
}

func TestNewRefusesTheSecretAndQuotesNothingOfIt(t *testing.T) {
	weak := must(rsa.GenerateKey(rand.Reader, 1024))
	key := jose.JSONWebKey{Key: p256Key(), KeyID: "hunter2"}
	raw := must(json.Marshal(key))
	var fields map[string]any
	if err := json.Unmarshal(raw, &fields); err != nil {
		t.Fatal(err)
	}
	d := fields["d"].(string)
	with := func(field string, value any) []byte { return must(json.Marshal(map[string]any{field: value})) }
	changed := func(field string, value any) []byte {
		copied := maps.Clone(fields)
		copied[field] = value
		return with("key", copied)
	}
	s := start(t, stepcatest.Options{})
	for title, secret := range map[string][]byte{
		"nothing":               nil,
		"null":                  []byte("null"),
		"a list":                []byte(`["hunter2"]`),
		"a bare word":           []byte("hunter2"),
		"the JWK itself":        raw,
		"no field":              []byte(`{}`),
		"both":                  must(json.Marshal(map[string]any{"key": key, "password": "hunter2"})),
		"another field":         []byte(`{"password": "hunter2", "hunter2": "hunter2"}`),
		"field in capitals":     []byte(`{"PASSWORD": "hunter2"}`),
		"more after it":         []byte(`{"password": "hunter2"} hunter2`),
		"password is empty":     []byte(`{"password": ""}`),
		"password is null":      []byte(`{"password": null}`),
		"password is a number":  []byte(`{"password": 31337}`),
		"key is null":           []byte(`{"key": null}`),
		"key is a text":         with("key", string(raw)),
		"key is public":         with("key", key.Public()),
		"key is symmetric":      []byte(`{"key": {"kty": "oct", "k": "aHVudGVyMg"}}`),
		"key is weak":           with("key", jose.JSONWebKey{Key: weak}),
		"key of unknown type":   changed("kty", "hunter2"),
		"key on another curve":  changed("crv", "hunter2"),
		"key with another half": changed("x", d),
		"key with a bad half":   changed("d", "hunter2!"),
	} {
		t.Run(title, func(t *testing.T) {
			c := configFor(s)
			c.Secret = secret
			_, err := stepca.New(context.Background(), c)
			e := named(t, err, ca.NameMisconfigured, "secret")
			for _, leak := range []string{"hunter2", "31337", "aHVudGVyMg", d, d[:10]} {
				if strings.Contains(e.Error(), leak) || strings.Contains(fmt.Sprintf("%+v", *e), leak) {
					t.Errorf("error %q quotes the secret", e)
				}
			}
		})
	}
}

func TestPrintingKeepsTheSecretIn(t *testing.T) {
	s := start(t, stepcatest.Options{})
	c := configFor(s)
	a := open(t, s)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		for _, v := range []any{c, &c, a, *a} {
			got := fmt.Sprintf(verb, v)
			if !strings.HasPrefix(got, "step-ca "+s.URL) || !strings.HasSuffix(got, `provisioner "keyturn"`) {
				t.Errorf("%s prints %q", verb, got)
			}
		}
	}
	//nolint:staticcheck // SA9005: that nothing comes out is the promise
	if got := string(must(json.Marshal(a))); got != "{}" {
		t.Errorf("as JSON it is %s", got)
	}
}

func TestTheCAsEncryptedKey(t *testing.T) {
	key := jose.JSONWebKey{Key: p256Key()}
	good := stepcatest.Encrypt(key, stepcatest.Password, 1000)
	withCount := func(n any) string {
		header, rest, _ := strings.Cut(good, ".")
		var fields map[string]any
		if err := json.Unmarshal(must(base64.RawURLEncoding.DecodeString(header)), &fields); err != nil {
			t.Fatal(err)
		}
		fields["p2c"] = n
		return base64.RawURLEncoding.EncodeToString(must(json.Marshal(fields))) + "." + rest
	}
	for title, test := range map[string]struct {
		o    stepcatest.Options
		says string
	}{
		"kept by its owner":     {stepcatest.Options{KeepsKey: true}, "does not hand out"},
		"a billion iterations":  {stepcatest.Options{EncryptedKey: withCount(1_000_000_000)}, "1000000000 iterations of PBKDF2, more than 1000000"},
		"one iteration more":    {stepcatest.Options{EncryptedKey: withCount(1_000_001)}, "iterations"},
		"iterations in words":   {stepcatest.Options{EncryptedKey: withCount("many")}, "iterations"},
		"less than none":        {stepcatest.Options{EncryptedKey: withCount(-1)}, "secret.password"},
		"not encrypted":         {stepcatest.Options{EncryptedKey: string(must(json.Marshal(key)))}, "PBES2"},
		"half of it":            {stepcatest.Options{EncryptedKey: good[:len(good)/2]}, "provisioner"},
		"another password":      {stepcatest.Options{EncryptedKey: stepcatest.Encrypt(key, "another", 1000)}, "secret.password"},
		"another key in it":     {stepcatest.Options{EncryptedKey: stepcatest.Encrypt(jose.JSONWebKey{Key: rsaKey()}, stepcatest.Password, 1000)}, "not the key of the provisioner"},
		"a public key in it":    {stepcatest.Options{EncryptedKey: stepcatest.Encrypt(key.Public(), stepcatest.Password, 1000)}, "not a private key"},
		"something else in it":  {stepcatest.Options{EncryptedKey: stepcatest.Encrypt("hunter2", stepcatest.Password, 1000)}, "not a JWK"},
		"encrypted with RSA":    {stepcatest.Options{EncryptedKey: rsaEncrypted(t)}, "PBES2"},
		"encrypted, no headers": {stepcatest.Options{EncryptedKey: "...."}, "PBES2"},
	} {
		t.Run(title, func(t *testing.T) {
			_, err := stepca.New(context.Background(), configFor(start(t, test.o)))
			if e := named(t, err, ca.NameMisconfigured, test.says); strings.Contains(e.Error(), stepcatest.Password) || strings.Contains(e.Error(), "hunter2") {
				t.Errorf("error %q quotes a secret", e)
			}
		})
	}
	t.Run("as many iterations as step-ca's client takes", func(t *testing.T) {
		open(t, start(t, stepcatest.Options{Iterations: 600_000}))
	})
}

func rsaEncrypted(t *testing.T) string {
	t.Helper()
	e := must(jose.NewEncrypter(jose.A256GCM, jose.Recipient{Algorithm: jose.RSA_OAEP_256, Key: rsaKey().Public()}, nil))
	return must(must(e.Encrypt([]byte("{}"))).CompactSerialize())
}

// instead answers requests whose path begins with path.
func instead(path string, answer http.HandlerFunc) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasPrefix(r.URL.Path, path) {
				answer(w, r)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

func status(code int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(code)
		_, _ = io.WriteString(w, body)
	}
}

func message(code int, text string) http.HandlerFunc {
	return status(code, string(must(json.Marshal(map[string]any{"status": code, "message": text}))))
}

func drop(w http.ResponseWriter, _ *http.Request) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err == nil {
		_ = conn.Close()
	}
}

func TestNewOnAnswersThatAreNotRight(t *testing.T) {
	other := start(t, stepcatest.Options{})
	rootOf := func(s *stepcatest.Server) string {
		return string(must(json.Marshal(map[string]any{"ca": string(s.Chain[len(s.Chain)-1:].PEM())})))
	}
	listOf := func(chain ca.Chain) string {
		return string(must(json.Marshal(map[string]any{"crts": []string{string(chain.PEM())}})))
	}
	for title, test := range map[string]struct {
		path   string
		answer http.HandlerFunc
		name   string
		says   []string
	}{
		"another root":                  {"/1.0/root/", status(200, rootOf(other)), ca.NameMisconfigured, []string{"fingerprint is ", other.Fingerprint}},
		"no certificate":                {"/1.0/root/", status(200, `{"ca": "x"}`), ca.NameMisconfigured, nil},
		"a page":                        {"/1.0/root/", status(200, "<html>hello</html>"), ca.NameMisconfigured, []string{"not step-ca's"}},
		"not found, by something else":  {"/1.0/root/", status(404, "<html>not found</html>"), ca.NameMisconfigured, []string{"404 Not Found"}},
		"a redirect":                    {"/1.0/root/", http.RedirectHandler("https://example.com/", http.StatusFound).ServeHTTP, ca.NameMisconfigured, []string{"redirect"}},
		"no answer":                     {"/1.0/root/", drop, ca.NameUnavailable, []string{"no answer"}},
		"broken":                        {"/1.0/root/", status(502, "<html>bad gateway</html>"), ca.NameUnavailable, []string{"502 Bad Gateway"}},
		"too long an answer":            {"/1.0/root/", status(200, `{"ca": "`+strings.Repeat("x", 5<<20)+`"}`), ca.NameMisconfigured, []string{"not step-ca's"}},
		"no intermediates: too old":     {"/1.0/intermediates", status(404, "404 page not found"), ca.NameMisconfigured, []string{"0.27.3"}},
		"no intermediates: RA":          {"/1.0/intermediates", message(501, "The requested method is not implemented."), ca.NameMisconfigured, []string{"registration authority"}},
		"intermediates unavailable":     {"/1.0/intermediates", message(503, ""), ca.NameUnavailable, []string{"503"}},
		"an empty list":                 {"/1.0/intermediates", status(200, `{"crts": []}`), ca.NameBadChain, nil},
		"another CA's intermediate":     {"/1.0/intermediates", status(200, listOf(other.Chain[:1])), ca.NameMisconfigured, []string{"do not lead to the root"}},
		"another CA's whole chain":      {"/1.0/intermediates", status(200, listOf(other.Chain)), ca.NameMisconfigured, []string{"do not lead to the root"}},
		"provisioners unavailable":      {"/1.0/provisioners", message(500, ""), ca.NameUnavailable, []string{"500"}},
		"provisioners forbidden":        {"/1.0/provisioners", message(403, "no\nentry\x1b[31m"), ca.NameMisconfigured, []string{`no\nentry`}},
		"provisioners without an end":   {"/1.0/provisioners", status(200, `{"provisioners": [], "nextCursor": "again"}`), ca.NameMisconfigured, []string{"none of this name"}},
		"too many requests":             {"/1.0/provisioners", status(429, ""), ca.NameUnavailable, []string{"429"}},
		"a key that is not one":         {"/1.0/provisioners/", status(200, `{"key": 1}`), ca.NameMisconfigured, []string{"not step-ca's"}},
		"the encrypted key unavailable": {"/1.0/provisioners/", status(503, ""), ca.NameUnavailable, []string{"503"}},
	} {
		t.Run(title, func(t *testing.T) {
			s := start(t, stepcatest.Options{Wrap: instead(test.path, test.answer)})
			_, err := stepca.New(context.Background(), configFor(s))
			named(t, err, test.name, test.says...)
		})
	}
}

// Somebody who answers in the CA's place can show the CA's root, which is
// public, but not prove to be below it.
func TestASomebodyInBetweenLearnsNothing(t *testing.T) {
	genuine := start(t, stepcatest.Options{})
	root := string(must(json.Marshal(map[string]any{"ca": string(genuine.Chain[1:].PEM())})))
	seen := ""
	between := start(t, stepcatest.Options{Wrap: func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			seen += r.Method + " " + r.URL.Path + "\n"
			instead("/1.0/root/", status(200, root))(next).ServeHTTP(w, r)
		})
	}})
	c := configFor(genuine)
	c.URL = between.URL
	_, err := stepca.New(context.Background(), c)
	e := named(t, err, ca.NameMisconfigured, "does not verify against the root "+genuine.Fingerprint)
	intermediate := fingerprintOf(between.Chain[0])
	if !strings.Contains(e.Error(), intermediate) {
		t.Errorf("error %q does not name the certificate that was shown, %s", e, intermediate)
	}
	if want := "GET /1.0/root/" + genuine.Fingerprint + "\n"; seen != want {
		t.Errorf("it saw\n%swant\n%s", seen, want)
	}
}

func fingerprintOf(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.Raw)
	return hex.EncodeToString(sum[:])
}

func TestTheURLOfSomethingElse(t *testing.T) {
	s := start(t, stepcatest.Options{})
	t.Run("plain http", func(t *testing.T) {
		web := httptest.NewServer(status(200, "hello"))
		t.Cleanup(web.Close)
		c := configFor(s)
		c.URL = strings.Replace(web.URL, "http", "https", 1)
		_, err := stepca.New(context.Background(), c)
		named(t, err, ca.NameMisconfigured, "does not speak TLS")
	})
	t.Run("nothing", func(t *testing.T) {
		gone := start(t, stepcatest.Options{})
		gone.Close()
		c := configFor(s)
		c.URL = gone.URL
		_, err := stepca.New(context.Background(), c)
		named(t, err, ca.NameUnavailable, gone.URL)
	})
}

func TestTheCAsClockOrCertificateIsOver(t *testing.T) {
	s := start(t, stepcatest.Options{})
	c := configFor(s)
	c.Now = func() time.Time { return now.AddDate(2, 0, 0) }
	_, err := stepca.New(context.Background(), c)
	named(t, err, ca.NameMisconfigured, "expired", "clocks")
}

func TestSignRefused(t *testing.T) {
	answer := func(h http.HandlerFunc) stepcatest.Options { return stepcatest.Options{Wrap: instead("/1.0/sign", h)} }
	const forbidden = "The request was forbidden by the certificate authority: "
	for title, test := range map[string]struct {
		o    stepcatest.Options
		name string
		says []string
	}{
		"the default duration": {stepcatest.Options{MaxDuration: day}, ca.NameMisconfigured,
			[]string{"maxTLSCertDuration to 9528h or more", "update keyturn --x509-max-dur 9528h", "more than the authorized maximum certificate duration of 24h1m0s"}},
		"the least duration": {answer(message(403, forbidden+"requested duration of 9528h0m0s is less than the authorized minimum certificate duration of 20000h0m0s.")), ca.NameMisconfigured,
			[]string{"minTLSCertDuration to 9528h"}},
		"the token":           {answer(message(401, "The request lacked necessary authorization to be completed.")), ca.NameMisconfigured, []string{"token of the provisioner", "dnsNames", "clock"}},
		"a name":              {answer(message(403, forbidden+`cn name "Wiki SAML signing" not allowed.`)), ca.NameMisconfigured, []string{"policy for names", `cn name "Wiki SAML signing" not allowed`}},
		"something forbidden": {answer(message(403, forbidden+"webhook server did not allow request.")), ca.NameMisconfigured, []string{"webhook server"}},
		"the CSR":             {answer(message(400, "The request could not be completed: certificate request RSA key must be at least 2048 bits (256 bytes).")), ca.NameCSRInvalid, []string{"2048"}},
		"something bad":       {answer(message(400, "not for you")), ca.NameMisconfigured, []string{"not for you"}},
		"the template":        {answer(message(500, "error applying certificate template - invalid character")), ca.NameMisconfigured, []string{"template"}},
		"not found":           {answer(status(404, "404 page not found")), ca.NameMisconfigured, []string{"404"}},
		"a redirect":          {answer(http.RedirectHandler("https://example.com/", http.StatusTemporaryRedirect).ServeHTTP), ca.NameMisconfigured, []string{"redirect"}},
		"broken":              {answer(message(500, "The certificate authority encountered an Internal Server Error.")), ca.NameUnavailable, []string{"template"}},
		"unavailable":         {answer(status(503, "<html>")), ca.NameUnavailable, []string{"503 Service Unavailable"}},
		"too many requests":   {answer(status(429, "")), ca.NameUnavailable, []string{"429 Too Many Requests"}},
		"no answer":           {answer(drop), ca.NameUnavailable, []string{"no answer"}},
		"a page":              {answer(status(200, "<html>")), ca.NameMisconfigured, []string{"not step-ca's"}},
		"an empty answer":     {answer(status(201, "{}")), ca.NameBadChain, nil},
		"nonsense for a certificate": {answer(status(201, `{"certChain": ["-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]}`)),
			ca.NameBadChain, nil},
		"in a long text":   {answer(message(403, strings.Repeat("x", 10000))), ca.NameMisconfigured, []string{"xxx…"}},
		"in several lines": {answer(message(403, "one\ntwo\x1b[31m")), ca.NameMisconfigured, []string{`one\ntwo\x1b`}},
	} {
		t.Run(title, func(t *testing.T) {
			a := open(t, start(t, test.o))
			got, err := a.Sign(context.Background(), wikiRequest())
			if got.Leaf != nil {
				t.Error("a certificate came along with the error")
			}
			if e := named(t, err, test.name, test.says...); len(e.Error()) > 1000 {
				t.Errorf("the error has %d bytes", len(e.Error()))
			}
		})
	}
}

func TestTheTokenKeepsOutOfErrors(t *testing.T) {
	var token string
	s := start(t, stepcatest.Options{Wrap: instead("/1.0/sign", func(w http.ResponseWriter, r *http.Request) {
		var body struct {
			OTT string `json:"ott"`
		}
		_ = json.NewDecoder(r.Body).Decode(&body)
		token = body.OTT
		message(403, "bad token "+body.OTT)(w, r)
	})})
	_, err := open(t, s).Sign(context.Background(), wikiRequest())
	e := named(t, err, ca.NameMisconfigured, "bad token")
	if token == "" || strings.Contains(e.Error(), token[:20]) {
		t.Errorf("error %q holds the token %q", e, token)
	}
}

// A provisioner without the template changes the subject, which Check sees.
func TestTheDefaultTemplateIsSeen(t *testing.T) {
	a := open(t, start(t, stepcatest.Options{NoTemplate: true}))
	r := wikiRequest()
	got, err := a.Sign(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	named(t, ca.Check(got, r, a), ca.NameMismatch, "certificate.subject")
}

func TestSignAgainAfterALostAnswer(t *testing.T) {
	lost := false
	s := start(t, stepcatest.Options{Wrap: func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/1.0/sign" && !lost {
				lost = true
				next.ServeHTTP(httptest.NewRecorder(), r)
				drop(w, r)
				return
			}
			next.ServeHTTP(w, r)
		})
	}})
	a, r := open(t, s), wikiRequest()
	_, err := a.Sign(context.Background(), r)
	named(t, err, ca.NameUnavailable)
	got, err := a.Sign(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	if err := ca.Check(got, r, a); err != nil {
		t.Error(err)
	}
	if issued := s.Issued(); len(issued) != 2 || !issued[1].Equal(got.Leaf) {
		t.Errorf("the CA has issued %d certificates, want 2, the second of which is ours", len(issued))
	}
}

// What the CA answers with goes to Check as it is, with the root below which it
// stands, and with nothing mended.
func TestAnswersThatAreNotRightAreSeen(t *testing.T) {
	other := start(t, stepcatest.Options{})
	for title, test := range map[string]struct {
		answer func(stepcatest.Issuance) ca.Certificate
		name   string // empty: accepted
	}{
		"as it should be": {func(i stepcatest.Issuance) ca.Certificate { return i.Honest }, ""},
		"with the root": {func(i stepcatest.Issuance) ca.Certificate {
			return ca.Certificate{Leaf: i.Honest.Leaf, Chain: ca.Chain{i.Issuer.Cert, i.Root.Cert}}
		}, ""},
		"the leaf alone": {func(i stepcatest.Issuance) ca.Certificate { return ca.Certificate{Leaf: i.Honest.Leaf} }, ca.NameBadChain},
		"out of order": {func(i stepcatest.Issuance) ca.Certificate {
			return ca.Certificate{Leaf: i.Issuer.Cert, Chain: ca.Chain{i.Honest.Leaf}}
		}, ca.NameWrongOrder},
		"another CA's chain": {func(i stepcatest.Issuance) ca.Certificate {
			return ca.Certificate{Leaf: i.Honest.Leaf, Chain: other.Chain}
		}, ca.NameBadChain},
		"the CA's own certificate": {func(i stepcatest.Issuance) ca.Certificate {
			return ca.Certificate{Leaf: i.Root.Cert}
		}, ca.NameIsCA},
		"signed by the root": {func(i stepcatest.Issuance) ca.Certificate {
			template := *i.Honest.Leaf
			template.AuthorityKeyId = nil
			der := must(x509.CreateCertificate(rand.Reader, &template, i.Root.Cert, i.CSR.PublicKey, i.Root.Key))
			return ca.Certificate{Leaf: must(x509.ParseCertificate(der))}
		}, ca.NameBadChain},
	} {
		t.Run(title, func(t *testing.T) {
			a, r := open(t, start(t, stepcatest.Options{Answer: test.answer})), wikiRequest()
			got, err := a.Sign(context.Background(), r)
			if err != nil {
				t.Fatal(err)
			}
			err = ca.Check(got, r, a)
			if test.name == "" {
				if err != nil || len(got.Chain) != 2 {
					t.Errorf("Check: %v; the chain has %d certificates", err, len(got.Chain))
				}
				return
			}
			named(t, err, test.name)
		})
	}
}

func TestSignKeepsWithinTheCA(t *testing.T) {
	s := start(t, stepcatest.Options{})
	a := open(t, s)
	end := s.Chain[0].NotAfter
	for title, test := range map[string]struct {
		now  time.Time
		days int
		name string
		left time.Duration // from now on, where it is signed
	}{
		"long before its end":           {now, 397, "", 397*day - 5*time.Minute},
		"200 days before its end":       {end.Add(-200 * day), 397, "", 200 * day},
		"just over 90 days before it":   {end.Add(-90*day - time.Second), 397, "", 90*day + time.Second},
		"90 days before its end":        {end.Add(-90 * day), 397, ca.NameTooShort, 0},
		"after its end":                 {end.Add(time.Second), 397, ca.NameMisconfigured, 0},
		"before its begin":              {s.Chain[0].NotBefore.Add(-time.Second), 397, ca.NameMisconfigured, 0},
		"when it begins":                {s.Chain[0].NotBefore, 397, "", 397 * day},
		"for 90 days":                   {now, 90, ca.NameTooShort, 0},
		"for no time":                   {now, 0, ca.NameTooShort, 0},
		"for more than a century":       {now, 36501, ca.NameTooLong, 0},
		"for longer than there is time": {now, 1 << 40, ca.NameTooLong, 0},
	} {
		t.Run(title, func(t *testing.T) {
			before := len(s.Issued())
			r := wikiRequest()
			r.Now, r.ValidityDays = test.now, test.days
			got, err := a.Sign(context.Background(), r)
			if test.name != "" {
				named(t, err, test.name)
				if len(s.Issued()) != before {
					t.Error("the CA has issued one all the same")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if left := got.Leaf.NotAfter.Sub(test.now); left != test.left {
				t.Errorf("it has %v left, want %v", left, test.left)
			}
			if err := ca.Check(got, r, a); err != nil {
				t.Error(err)
			}
		})
	}
}

// A request that will be refused anyway must not leave a certificate behind.
func TestSignRefusesABadRequestByItself(t *testing.T) {
	s := start(t, stepcatest.Options{})
	a := open(t, s)
	for title, test := range map[string]struct {
		change func(*ca.Request)
		name   string
	}{
		"a CSR that was changed": {func(r *ca.Request) { r.CSR = bytes.Replace(r.CSR, []byte("Wiki"), []byte("Wika"), 1) }, ca.NameCSRInvalid},
		"an EC key for an IdP":   {func(r *ca.Request) { r.Kind, r.CSR = ca.KindIDP, newCSR(wiki, p256Key()) }, ca.NameCSRInvalid},
		"a profile for CAs":      {func(r *ca.Request) { r.Profile.KeyUsage = x509.KeyUsageCertSign }, ca.NameProfile},
	} {
		t.Run(title, func(t *testing.T) {
			r := wikiRequest()
			test.change(&r)
			_, err := a.Sign(context.Background(), r)
			named(t, err, test.name)
		})
	}
	if n := len(s.Issued()); n > 0 {
		t.Errorf("the CA has issued %d certificates", n)
	}
}

func TestTimeIsUp(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	hang := func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		cancel()
		<-r.Context().Done()
	}
	s := start(t, stepcatest.Options{Wrap: instead("/1.0/sign", hang)})
	_, err := open(t, s).Sign(ctx, wikiRequest())
	if named(t, err, ca.NameUnavailable); !errors.Is(err, context.Canceled) {
		t.Errorf("%v lost its cause", err)
	}
	_, err = stepca.New(ctx, configFor(s))
	if named(t, err, ca.NameUnavailable); !errors.Is(err, context.Canceled) {
		t.Errorf("%v lost its cause", err)
	}
}

func TestNoRandomness(t *testing.T) {
	c := configFor(start(t, stepcatest.Options{}))
	c.Random = iotest.ErrReader(errors.New("empty"))
	_, err := must(stepca.New(context.Background(), c)).Sign(context.Background(), wikiRequest())
	named(t, err, ca.NameUnavailable, "token.jti")
}

func TestSignsFromSeveralGoroutines(t *testing.T) {
	s := start(t, stepcatest.Options{})
	a := open(t, s)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			r := wikiRequest()
			got, err := a.Sign(context.Background(), r)
			if err == nil {
				err = ca.Check(got, r, a)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := len(s.Issued()); n != 8 {
		t.Errorf("the CA has issued %d certificates, want 8", n)
	}
}
