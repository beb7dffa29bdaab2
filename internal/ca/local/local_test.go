package local_test

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
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"keyturn/internal/ca"
	"keyturn/internal/ca/local"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// demo is one generated CA for all tests: RSA keys take long under the race
// detector.
type demo struct {
	secret []byte
	root   *x509.Certificate
}

var (
	demoCA = sync.OnceValue(func() demo {
		secret, root, err := local.Generate("Example", now, 10, rand.Reader)
		return demo{must(secret, err), root}
	})
	rsaKey  = sync.OnceValue(func() crypto.Signer { return must(rsa.GenerateKey(rand.Reader, 2048)) })
	p256Key = sync.OnceValue(func() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) })
	p384Key = sync.OnceValue(func() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader)) })
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func newDemo(t testing.TB) *local.Authority {
	t.Helper()
	a, err := local.New(demoCA().secret, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func oktaCSR() []byte {
	text := must(os.ReadFile("../testdata/okta-example.csr.b64"))
	return must(base64.StdEncoding.DecodeString(strings.Join(strings.Fields(string(text)), "")))
}

func newCSR(key crypto.Signer) []byte {
	return must(x509.CreateCertificateRequest(rand.Reader,
		&x509.CertificateRequest{Subject: pkix.Name{CommonName: "Wiki SAML signing"}}, key))
}

// issuer makes a CA of one certificate, signed by itself, with any key.
func issuer(key crypto.Signer, change func(*x509.Certificate)) ca.Chain {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Example CA"},
		NotBefore: now.AddDate(-1, 0, 0), NotAfter: now.AddDate(9, 0, 0),
		KeyUsage: x509.KeyUsageCertSign, BasicConstraintsValid: true, IsCA: true,
	}
	if change != nil {
		change(template)
	}
	der := must(x509.CreateCertificate(rand.Reader, template, template, key.Public(), key))
	return ca.Chain{must(x509.ParseCertificate(der))}
}

func secret(key []byte, chain ca.Chain) []byte {
	return must(json.Marshal(map[string]string{"key": string(key), "chain": string(chain.PEM())}))
}

func pkcs8(key crypto.Signer) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: must(x509.MarshalPKCS8PrivateKey(key))})
}

func named(t testing.TB, err error, name string) *ca.Error {
	t.Helper()
	var e *ca.Error
	if !errors.As(err, &e) {
		t.Fatalf("error is %v (%T), want an *Error named %s", err, err, name)
	}
	if e.Name != name {
		t.Fatalf("error is named %s, want %s; it says: %v", e.Name, name, e)
	}
	return e
}

// The request that Okta's own documentation shows, through the whole of step 3.
func TestOktasExampleIsSigned(t *testing.T) {
	for kind, wantUsage := range map[string]x509.KeyUsage{
		ca.KindApp: x509.KeyUsageDigitalSignature,
		ca.KindIDP: x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
	} {
		t.Run(kind, func(t *testing.T) {
			a := newDemo(t)
			r := ca.Request{CSR: oktaCSR(), Kind: kind, ValidityDays: 397, Now: now}
			got, err := a.Sign(context.Background(), r)
			if err != nil {
				t.Fatal(err)
			}
			if err := ca.Check(got, r, a); err != nil {
				t.Errorf("Check: %v", err)
			}

			csr := must(x509.ParseCertificateRequest(r.CSR))
			leaf := got.Leaf
			if !bytes.Equal(leaf.RawSubject, csr.RawSubject) || !bytes.Equal(leaf.RawSubjectPublicKeyInfo, csr.RawSubjectPublicKeyInfo) {
				t.Error("subject or public key is not the CSR's, byte for byte")
			}
			if !slices.Equal(leaf.DNSNames, []string{"dev.okta.com"}) {
				t.Errorf("DNS names are %q, want the CSR's", leaf.DNSNames)
			}
			if leaf.KeyUsage != wantUsage {
				t.Errorf("key usage is %b, want %b", leaf.KeyUsage, wantUsage)
			}
			if len(leaf.ExtKeyUsage)+len(leaf.UnknownExtKeyUsage) > 0 {
				t.Error("it has an extended key usage")
			}
			if !leaf.BasicConstraintsValid || leaf.IsCA {
				t.Error("basicConstraints is not CA:FALSE")
			}
			if leaf.SignatureAlgorithm != x509.SHA256WithRSA {
				t.Errorf("signed with %v", leaf.SignatureAlgorithm)
			}
			if want := now.Add(-5 * time.Minute); !leaf.NotBefore.Equal(want) || !leaf.NotAfter.Equal(want.AddDate(0, 0, 397)) {
				t.Errorf("valid from %v to %v", leaf.NotBefore, leaf.NotAfter)
			}
			// RFC 7093, section 2, method 1; for RSA the hashed bits are PKCS#1.
			id := sha256.Sum256(x509.MarshalPKCS1PublicKey(csr.PublicKey.(*rsa.PublicKey)))
			if !bytes.Equal(leaf.SubjectKeyId, id[:20]) {
				t.Errorf("subjectKeyIdentifier is %x, want %x", leaf.SubjectKeyId, id[:20])
			}
			if !bytes.Equal(leaf.AuthorityKeyId, a.Chain()[0].SubjectKeyId) || len(leaf.AuthorityKeyId) == 0 {
				t.Error("authorityKeyIdentifier is not the issuing CA's subjectKeyIdentifier")
			}
			critical := map[string]bool{"2.5.29.15": true, "2.5.29.19": true}
			for _, e := range leaf.Extensions {
				if e.Critical != critical[e.Id.String()] {
					t.Errorf("extension %v: critical is %v", e.Id, e.Critical)
				}
			}

			roots, between := x509.NewCertPool(), x509.NewCertPool()
			roots.AddCert(demoCA().root)
			between.AddCert(got.Chain[0])
			if _, err := leaf.Verify(x509.VerifyOptions{
				Roots: roots, Intermediates: between, CurrentTime: now,
				KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
			}); err != nil {
				t.Errorf("a partner that trusts the root: %v", err)
			}
			if ours, err := a.Issued(leaf); err != nil || !ours {
				t.Errorf("Issued is %v, %v for what it just issued", ours, err)
			}
		})
	}
}

func TestSignedCertificatesPassTheCheck(t *testing.T) {
	authorities := []*local.Authority{
		newDemo(t),
		must(local.New(secret(pkcs8(p256Key()), issuer(p256Key(), nil)), rand.Reader)),
		must(local.New(secret(pkcs8(p384Key()), issuer(p384Key(), nil)), rand.Reader)),
	}
	printable := rapid.StringMatching(`[A-Za-z0-9 äöß✓,+="<>#;./-]{0,40}`)
	rapid.Check(t, func(t *rapid.T) {
		kind := rapid.SampledFrom([]string{ca.KindApp, ca.KindIDP}).Draw(t, "kind")
		key := rsaKey()
		if kind == ca.KindApp && rapid.Bool().Draw(t, "EC") {
			key = p384Key()
		}
		template := &x509.CertificateRequest{
			Subject: pkix.Name{
				CommonName:   "cn" + printable.Draw(t, "commonName"),
				Organization: rapid.SliceOfN(printable, 0, 2).Draw(t, "organizationName"),
				ExtraNames:   []pkix.AttributeTypeAndValue{{Type: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 1}, Value: "sso-team@example.com"}},
			},
			DNSNames: rapid.SliceOfN(rapid.StringMatching(`[a-z]{1,10}\.example\.com`), 0, 3).Draw(t, "dnsNames"),
		}
		if rapid.Bool().Draw(t, "other names") {
			template.IPAddresses = []net.IP{net.IPv4(192, 0, 2, 1)}
			template.EmailAddresses = []string{"sso-team@example.com"}
		}
		r := ca.Request{
			CSR: must(x509.CreateCertificateRequest(rand.Reader, template, key)), Kind: kind,
			ValidityDays: rapid.IntRange(91, 36500).Draw(t, "validityDays"),
			Now:          now.Add(time.Duration(rapid.Int64Range(0, int64(8*365*24*time.Hour)).Draw(t, "later"))),
		}
		a := rapid.SampledFrom(authorities).Draw(t, "CA")
		got, err := a.Sign(context.Background(), r)
		if err != nil {
			t.Fatalf("Sign: %v", err)
		}
		if err := ca.Check(got, r, a); err != nil {
			t.Fatalf("Check: %v", err)
		}
		csr := must(x509.ParseCertificateRequest(r.CSR))
		if !bytes.Equal(got.Leaf.RawSubject, csr.RawSubject) || !bytes.Equal(names(got.Leaf.Extensions), names(csr.Extensions)) {
			t.Fatal("subject or subjectAltName is not the CSR's, byte for byte")
		}
	})
}

func names(extensions []pkix.Extension) []byte {
	for _, e := range extensions {
		if e.Id.String() == "2.5.29.17" {
			return e.Value
		}
	}
	return nil
}

func TestSignatureFollowsTheCAsKey(t *testing.T) {
	for _, test := range []struct {
		key  crypto.Signer
		want x509.SignatureAlgorithm
	}{
		{rsaKey(), x509.SHA256WithRSA},
		{p256Key(), x509.ECDSAWithSHA256},
		{p384Key(), x509.ECDSAWithSHA384},
	} {
		t.Run(test.want.String(), func(t *testing.T) {
			a, err := local.New(secret(pkcs8(test.key), issuer(test.key, nil)), rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			got, err := a.Sign(context.Background(), ca.Request{CSR: oktaCSR(), Kind: ca.KindIDP, ValidityDays: 397, Now: now})
			if err != nil {
				t.Fatal(err)
			}
			if got.Leaf.SignatureAlgorithm != test.want {
				t.Errorf("signed with %v", got.Leaf.SignatureAlgorithm)
			}
		})
	}
}

func TestTheRequestDoesNotDecideWhatItsCertificateMayDo(t *testing.T) {
	csr := must(x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject: pkix.Name{CommonName: "greedy"},
		ExtraExtensions: []pkix.Extension{
			{Id: asn1.ObjectIdentifier{2, 5, 29, 19}, Critical: true, Value: []byte{0x30, 3, 1, 1, 0xff}}, // CA:TRUE
			{Id: asn1.ObjectIdentifier{2, 5, 29, 15}, Critical: true, Value: []byte{3, 2, 2, 4}},          // keyCertSign
			{Id: asn1.ObjectIdentifier{1, 2, 3, 4}, Value: []byte{5, 0}},
		},
	}, rsaKey()))
	got, err := newDemo(t).Sign(context.Background(), ca.Request{CSR: csr, Kind: ca.KindApp, ValidityDays: 397, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	if got.Leaf.IsCA || got.Leaf.KeyUsage != x509.KeyUsageDigitalSignature {
		t.Error("the request's wishes were granted")
	}
	for _, e := range got.Leaf.Extensions {
		if e.Id.String() == "1.2.3.4" {
			t.Error("an unknown extension was copied")
		}
	}
}

func TestSerialNumbersAre128RandomBits(t *testing.T) {
	for title, random := range map[string][]byte{
		"highest": bytes.Repeat([]byte{0xff}, 16),
		"lowest":  append(make([]byte, 15), 1),
	} {
		t.Run(title, func(t *testing.T) {
			a, err := local.New(demoCA().secret, bytes.NewReader(random))
			if err != nil {
				t.Fatal(err)
			}
			got, err := a.Sign(context.Background(), ca.Request{CSR: oktaCSR(), Kind: ca.KindApp, ValidityDays: 397, Now: now})
			if err != nil {
				t.Fatal(err)
			}
			serial := got.Leaf.SerialNumber
			if serial.Cmp(new(big.Int).SetBytes(random)) != 0 || serial.Sign() <= 0 {
				t.Errorf("serial number is %x, want %x", serial, random)
			}
			if der := must(asn1.Marshal(serial)); len(der)-2 > 20 {
				t.Errorf("serial number has %d octets", len(der)-2)
			}
		})
	}
}

func TestValidityNearTheCAsOwnDates(t *testing.T) {
	const day = 24 * time.Hour
	for title, test := range map[string]struct {
		caFrom, caLeft time.Duration // before, after now
		wantFrom       time.Duration // from now
		wantLeft       time.Duration
		refused        string
	}{
		"CA outlives it":                {400 * day, 500 * day, -5 * time.Minute, 397*day - 5*time.Minute, ""},
		"CA is a minute old":            {time.Minute, 500 * day, -time.Minute, 397*day - time.Minute, ""},
		"CA ends first":                 {day, 200 * day, -5 * time.Minute, 200 * day, ""},
		"CA has just over 90 days left": {day, 90*day + time.Second, -5 * time.Minute, 90*day + time.Second, ""},
		"CA has 90 days left":           {day, 90 * day, 0, 0, ca.NameTooShort},
		"CA has a day left":             {day, day, 0, 0, ca.NameTooShort},
		"CA is over":                    {day, -time.Second, 0, 0, ca.NameMisconfigured},
		"CA starts in a minute":         {-time.Minute, 500 * day, 0, 0, ca.NameMisconfigured},
	} {
		t.Run(title, func(t *testing.T) {
			chain := issuer(p256Key(), func(c *x509.Certificate) {
				c.NotBefore, c.NotAfter = now.Add(-test.caFrom), now.Add(test.caLeft)
			})
			a, err := local.New(secret(pkcs8(p256Key()), chain), rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			r := ca.Request{CSR: oktaCSR(), Kind: ca.KindApp, ValidityDays: 397, Now: now}
			got, err := a.Sign(context.Background(), r)
			if test.refused != "" {
				if e := named(t, err, test.refused); !strings.Contains(e.Remedy, "renew the CA") {
					t.Errorf("error %q does not say to renew the CA", e)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if from, left := got.Leaf.NotBefore.Sub(now), got.Leaf.NotAfter.Sub(now); from != test.wantFrom || left != test.wantLeft {
				t.Errorf("valid from %v to %v, want %v to %v", from, left, test.wantFrom, test.wantLeft)
			}
			if err := ca.Check(got, r, a); err != nil {
				t.Errorf("Check: %v", err)
			}
		})
	}
}

func TestSignRefuses(t *testing.T) {
	tampered := bytes.Replace(oktaCSR(), []byte("SP Issuer"), []byte("SP issuer"), 1)
	sameName := must(x509.CreateCertificateRequest(rand.Reader,
		&x509.CertificateRequest{Subject: pkix.Name{CommonName: "Example Issuing"}}, rsaKey()))
	for title, test := range map[string]struct {
		change func(*ca.Request)
		name   string
		says   string
	}{
		"tampered CSR":        {func(r *ca.Request) { r.CSR = tampered }, ca.NameCSRInvalid, "csr.signature"},
		"no CSR":              {func(r *ca.Request) { r.CSR = nil }, ca.NameCSRInvalid, "0 bytes"},
		"EC key for an IdP":   {func(r *ca.Request) { r.CSR = newCSR(p256Key()); r.Kind = ca.KindIDP }, ca.NameCSRInvalid, "decrypts"},
		"the CA's own name":   {func(r *ca.Request) { r.CSR = sameName }, ca.NameCSRInvalid, "Example Issuing"},
		"unknown kind":        {func(r *ca.Request) { r.Kind = "App" }, ca.NameCSRInvalid, `"App"`},
		"no time":             {func(r *ca.Request) { r.Now = time.Time{} }, ca.NameCSRInvalid, "now"},
		"90 days":             {func(r *ca.Request) { r.ValidityDays = 90 }, ca.NameTooShort, "validityDays is 90"},
		"zero days":           {func(r *ca.Request) { r.ValidityDays = 0 }, ca.NameTooShort, "validityDays"},
		"more than a century": {func(r *ca.Request) { r.ValidityDays = 1 << 40 }, ca.NameTooLong, "validityDays"},
	} {
		t.Run(title, func(t *testing.T) {
			r := ca.Request{CSR: oktaCSR(), Kind: ca.KindApp, ValidityDays: 397, Now: now}
			test.change(&r)
			_, err := newDemo(t).Sign(context.Background(), r)
			if e := named(t, err, test.name); !strings.Contains(e.Error(), test.says) {
				t.Errorf("error %q does not mention %q", e, test.says)
			}
		})
	}
}

func TestSignStopsWhenItsTimeIsUp(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := newDemo(t).Sign(ctx, ca.Request{CSR: oktaCSR(), Kind: ca.KindApp, ValidityDays: 397, Now: now})
	if named(t, err, ca.NameUnavailable); !errors.Is(err, context.Canceled) {
		t.Errorf("%v lost its cause", err)
	}
}

func TestNewTakesEveryPrivateKeyFormat(t *testing.T) {
	r := rsaKey().(*rsa.PrivateKey)
	sec1 := pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: must(x509.MarshalECPrivateKey(p256Key()))})
	for title, test := range map[string]struct {
		key crypto.Signer
		pem []byte
	}{
		"PKCS#8 RSA":            {r, pkcs8(r)},
		"PKCS#8 EC":             {p256Key(), pkcs8(p256Key())},
		"PKCS#1":                {r, pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(r)})},
		"SEC 1":                 {p256Key(), sec1},
		"SEC 1 with parameters": {p256Key(), append(pem.EncodeToMemory(&pem.Block{Type: "EC PARAMETERS", Bytes: []byte{6, 0}}), sec1...)},
	} {
		t.Run(title, func(t *testing.T) {
			if _, err := local.New(secret(test.pem, issuer(test.key, nil)), rand.Reader); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestNewRefusesAndQuotesNothingOfTheSecret(t *testing.T) {
	key := pkcs8(p256Key())
	chain := issuer(p256Key(), nil)
	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	inside := func(kind string, headers map[string]string, der []byte) []byte {
		return pem.EncodeToMemory(&pem.Block{Type: kind, Headers: headers, Bytes: der})
	}
	for title, secretJSON := range map[string][]byte{
		"nothing":              nil,
		"null":                 []byte("null"),
		"a list":               []byte(`["hunter2"]`),
		"the key without JSON": key,
		"a bare word":          []byte("hunter2"),
		"more after it":        append(secret(key, chain), "hunter2"...),
		"no key":               []byte(`{"chain": "hunter2"}`),
		"no chain":             []byte(`{"key": "hunter2"}`),
		"key is a number":      []byte(`{"key": 31337, "chain": "x"}`),
		"key is null":          []byte(`{"key": null, "chain": "x"}`),
		"another field": must(json.Marshal(map[string]string{
			"key": string(key), "chain": string(chain.PEM()), "hunter2": "hunter2"})),
		"field in capitals": must(json.Marshal(map[string]string{
			"KEY": string(key), "chain": string(chain.PEM())})),
		"key is not PEM":            secret([]byte("hunter2"), chain),
		"key is encrypted":          secret(inside("ENCRYPTED PRIVATE KEY", nil, []byte("hunter2")), chain),
		"key is encrypted, old way": secret(inside("RSA PRIVATE KEY", map[string]string{"Proc-Type": "4,ENCRYPTED"}, []byte("hunter2")), chain),
		"key is nonsense":           secret(inside("PRIVATE KEY", nil, []byte("hunter2")), chain),
		"key is a certificate":      secret(chain.PEM(), chain),
		"key is Ed25519":            secret(pkcs8(ed), issuer(ed, nil)),
		"two keys":                  secret(append(bytes.Clone(key), key...), chain),
		"chain is the key":          must(json.Marshal(map[string]string{"key": string(key), "chain": string(key)})),
		"chain is not PEM":          must(json.Marshal(map[string]string{"key": string(key), "chain": "hunter2"})),
		"chain of another key":      secret(pkcs8(p384Key()), chain),
		"not a CA": secret(key, issuer(p256Key(), func(c *x509.Certificate) {
			c.IsCA = false
		})),
	} {
		t.Run(title, func(t *testing.T) {
			a, err := local.New(secretJSON, rand.Reader)
			if a != nil {
				t.Error("an authority came along with the error")
			}
			e := named(t, err, ca.NameMisconfigured)
			if e.Field == "" || e.Remedy == "" {
				t.Errorf("error %q has no field or no remedy", e)
			}
			body := strings.Split(string(key), "\n")[1]
			for _, leak := range []string{"hunter2", "31337", body, body[:12]} {
				if strings.Contains(e.Error(), leak) || strings.Contains(fmt.Sprintf("%+v", e), leak) {
					t.Errorf("error %q quotes the secret", e)
				}
			}
		})
	}
}

func TestPrintingAnAuthorityKeepsTheKeyIn(t *testing.T) {
	a := must(local.New(secret(pkcs8(p256Key()), issuer(p256Key(), nil)), rand.Reader))
	d := must(p256Key().Bytes())
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		for _, v := range []any{a, *a} {
			if got := fmt.Sprintf(verb, v); got != "local CA CN=Example CA" {
				t.Errorf("%s prints %q", verb, got)
			}
		}
	}
	//nolint:staticcheck // SA9005: that nothing comes out is the promise
	if got := string(must(json.Marshal(a))); strings.Contains(got, base64.StdEncoding.EncodeToString(d)) || got != "{}" {
		t.Errorf("as JSON it is %s", got)
	}
}

func TestGenerateMakesACAOfTwoLevels(t *testing.T) {
	chain := newDemo(t).Chain()
	if len(chain) != 2 || !chain[1].Equal(demoCA().root) {
		t.Fatalf("the chain has %d certificates, want the issuing CA and the root", len(chain))
	}
	for i, want := range []struct {
		name    string
		pathLen int
	}{{"Example Issuing", 0}, {"Example Root", 1}} {
		c := chain[i]
		if c.Subject.CommonName != want.name || c.MaxPathLen != want.pathLen || !c.IsCA {
			t.Errorf("certificate %d is %q, pathlen %d, CA %v", i, c.Subject.CommonName, c.MaxPathLen, c.IsCA)
		}
		if k, ok := c.PublicKey.(*rsa.PublicKey); !ok || k.N.BitLen() != 2048 || c.SignatureAlgorithm != x509.SHA256WithRSA {
			t.Errorf("%s is not RSA-2048 with SHA-256", want.name)
		}
		if !c.NotBefore.Equal(now.Add(-time.Hour)) || !c.NotAfter.Equal(now.AddDate(10, 0, 0)) {
			t.Errorf("%s is valid from %v to %v", want.name, c.NotBefore, c.NotAfter)
		}
	}
	if chain[0].SerialNumber.Cmp(chain[1].SerialNumber) == 0 {
		t.Error("both have the same serial number")
	}
	var fields map[string]string
	if err := json.Unmarshal(demoCA().secret, &fields); err != nil || !slices.Equal(slices.Sorted(maps.Keys(fields)), []string{"chain", "key"}) {
		t.Errorf("the secret has other fields than key and chain: %v", slices.Sorted(maps.Keys(fields)))
	}
}

func TestGenerateRefuses(t *testing.T) {
	for title, test := range map[string]struct {
		name  string
		years int
	}{"no name": {" ", 10}, "no years": {"Example", 0}, "too many years": {"Example", 31}} {
		t.Run(title, func(t *testing.T) {
			_, _, err := local.Generate(test.name, now, test.years, rand.Reader)
			named(t, err, ca.NameMisconfigured)
		})
	}
}
