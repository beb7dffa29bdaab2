package cacert_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"keyturn/internal/ca"
	"keyturn/internal/ca/cacert"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// Keys are made once for all tests: RSA keys take long under the race detector.
var (
	keys = map[string]func() crypto.Signer{
		"rsa-2048": sync.OnceValue(func() crypto.Signer { return must(cacert.NewKey("rsa-2048")) }),
		"rsa-3072": sync.OnceValue(func() crypto.Signer { return must(cacert.NewKey("rsa-3072")) }),
		"p256":     sync.OnceValue(func() crypto.Signer { return must(cacert.NewKey("p256")) }),
		"p384":     sync.OnceValue(func() crypto.Signer { return must(cacert.NewKey("p384")) }),
	}
	leafKey = sync.OnceValue(func() crypto.Signer { return must(rsa.GenerateKey(rand.Reader, 2048)) })
)

var plan = cacert.Plan{CommonName: "Example SAML Issuing CA", Organization: "Example, Inc.", Country: "US"}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func ecKey() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) }

func named(t testing.TB, err error, name, field string) {
	t.Helper()
	var e *ca.Error
	if !errors.As(err, &e) {
		t.Fatalf("error is %v (%T), want an *Error named %s", err, err, name)
	}
	if e.Name != name || e.Field != field || e.Remedy == "" {
		t.Errorf("%s about %q (%v), want %s about %q, with a remedy", e.Name, e.Field, e, name, field)
	}
}

// okta is what Okta asks for: no names but the subject.
func okta(key crypto.Signer, change func(*x509.CertificateRequest)) []byte {
	r := &x509.CertificateRequest{Subject: pkix.Name{CommonName: "Wiki SAML signing", Organization: []string{"Example, Inc."}}}
	if change != nil {
		change(r)
	}
	return must(x509.CreateCertificateRequest(rand.Reader, r, key))
}

// issue signs for Okta as a provider does, and checks as its caller does.
func issue(signer crypto.Signer, chain ca.Chain, kind string, csr []byte) error {
	r := ca.Request{CSR: csr, Kind: kind, ValidityDays: 397, Now: now}
	c, err := ca.Issue(signer, chain, rand.Reader, r)
	if err != nil {
		return err
	}
	return ca.Check(c, r, chain)
}

func TestASelfSignedCASaysWhatItMayDo(t *testing.T) {
	for keyType, algorithm := range map[string]x509.SignatureAlgorithm{
		"rsa-2048": x509.SHA256WithRSA, "rsa-3072": x509.SHA256WithRSA,
		"p256": x509.ECDSAWithSHA256, "p384": x509.ECDSAWithSHA384,
	} {
		t.Run(keyType, func(t *testing.T) {
			key := keys[keyType]()
			chain, err := cacert.SelfSign(key, plan, 10, now, rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			if len(chain) != 1 {
				t.Fatalf("the chain has %d certificates", len(chain))
			}
			c := chain[0]
			if got := c.Subject.String(); got != `CN=Example SAML Issuing CA,O=Example\, Inc.,C=US` || c.Issuer.String() != got {
				t.Errorf("subject %s, issuer %s", got, c.Issuer)
			}
			if c.Version != 3 || c.SignatureAlgorithm != algorithm {
				t.Errorf("version %d, signed with %s", c.Version, c.SignatureAlgorithm)
			}
			if !c.IsCA || c.MaxPathLen != 0 || c.KeyUsage != x509.KeyUsageCertSign|x509.KeyUsageCRLSign || len(c.ExtKeyUsage) > 0 {
				t.Errorf("CA %v, pathlen %d, key usage %b", c.IsCA, c.MaxPathLen, c.KeyUsage)
			}
			if !c.NotBefore.Equal(now.Add(-time.Hour)) || !c.NotAfter.Equal(now.AddDate(10, 0, 0)) {
				t.Errorf("valid from %v to %v", c.NotBefore, c.NotAfter)
			}
			// RFC 7093, section 2, method 1: the bits of the key without their
			// wrapping are PKCS #1, or the point of the curve.
			var bits []byte
			switch k := key.Public().(type) {
			case *rsa.PublicKey:
				bits = x509.MarshalPKCS1PublicKey(k)
			case *ecdsa.PublicKey:
				bits = must(k.Bytes())
			}
			id := sha256.Sum256(bits)
			if !bytes.Equal(c.SubjectKeyId, id[:20]) || !bytes.Equal(c.AuthorityKeyId, id[:20]) {
				t.Errorf("key identifiers %x and %x, want %x", c.SubjectKeyId, c.AuthorityKeyId, id[:20])
			}
			critical := map[string]bool{"2.5.29.15": true, "2.5.29.19": true, "2.5.29.30": true, "2.5.29.14": false, "2.5.29.35": false}
			for _, e := range c.Extensions {
				want, known := critical[e.Id.String()]
				if !known || e.Critical != want {
					t.Errorf("extension %v, critical %v", e.Id, e.Critical)
				}
				delete(critical, e.Id.String())
			}
			if len(critical) > 0 {
				t.Errorf("it lacks the extensions %v", critical)
			}
			for _, kind := range []string{ca.KindApp, ca.KindIDP} {
				if err := issue(key, chain, kind, okta(leafKey(), nil)); err != nil {
					t.Errorf("a certificate for an %s: %v", kind, err)
				}
			}
		})
	}
}

func TestSerialNumbersAre128RandomBits(t *testing.T) {
	random := bytes.NewReader(append(bytes.Repeat([]byte{0xAB}, 16), make([]byte, 1<<12)...))
	chain, err := cacert.SelfSign(keys["rsa-2048"](), plan, 1, now, random)
	if err != nil {
		t.Fatal(err)
	}
	if want := new(big.Int).SetBytes(bytes.Repeat([]byte{0xAB}, 16)); chain[0].SerialNumber.Cmp(want) != 0 {
		t.Errorf("serial number %x, want %x", chain[0].SerialNumber, want)
	}
	_, err = cacert.SelfSign(keys["rsa-2048"](), plan, 1, now, iotest.ErrReader(errors.New("dry")))
	named(t, err, ca.NameUnavailable, "serialNumber")
}

// What could be abused beyond SAML is refused by whoever verifies, and what
// SAML needs is not.
func TestNamesAreConstrained(t *testing.T) {
	uri := must(url.Parse("https://www.example.com/saml"))
	tls := func(names ...string) func(*x509.CertificateRequest) {
		return func(r *x509.CertificateRequest) { r.DNSNames = names }
	}
	for _, test := range []struct {
		name      string
		permitDNS []string
		csr       func(*x509.CertificateRequest)
		allowed   bool
	}{
		{"no names", nil, nil, true},
		{"no names, domain permitted", []string{"example.com"}, nil, true},
		{"a host", nil, tls("www.example.com"), false},
		{"a wildcard", nil, tls("*.example.com"), false},
		{"a host of one label", nil, tls("intranet"), false},
		{"a host of a permitted domain", []string{"example.net", "example.com"}, tls("www.example.com"), true},
		{"the permitted domain", []string{"example.com"}, tls("example.com"), true},
		{"a host of another domain", []string{"example.com"}, tls("www.example.com", "www.bank.test"), false},
		{"a domain that only ends alike", []string{"example.com"}, tls("badexample.com"), false},
		{"IPv4", []string{"example.com"}, func(r *x509.CertificateRequest) { r.IPAddresses = []net.IP{net.IPv4(192, 0, 2, 1)} }, false},
		{"IPv6", []string{"example.com"}, func(r *x509.CertificateRequest) { r.IPAddresses = []net.IP{net.ParseIP("2001:db8::1")} }, false},
		{"mail", []string{"example.com"}, func(r *x509.CertificateRequest) { r.EmailAddresses = []string{"ceo@example.com"} }, false},
		{"URI", []string{"example.com"}, func(r *x509.CertificateRequest) { r.URIs = []*url.URL{uri} }, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := plan
			p.PermitDNS = test.permitDNS
			chain, err := cacert.SelfSign(keys["p256"](), p, 10, now, rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			err = issue(keys["p256"](), chain, ca.KindApp, okta(leafKey(), test.csr))
			if test.allowed && err != nil {
				t.Error(err)
			}
			if !test.allowed {
				named(t, err, ca.NameBadChain, "certificate.subjectAltName")
			}
		})
	}
}

// crypto/x509 takes an empty name for all names; OpenSSL and Java do not (see
// NoHost).
func TestConstraintsAreWordedForAll(t *testing.T) {
	for _, domains := range [][]string{nil, {"example.com"}} {
		p := plan
		p.PermitDNS = domains
		c := must(cacert.SelfSign(keys["p256"](), p, 10, now, rand.Reader))[0]
		if domains == nil {
			domains = []string{"invalid"}
		}
		if d := cmp.Diff(domains, c.PermittedDNSDomains); d != "" {
			t.Errorf("DNS names (-want +got)\n%s", d)
		}
		for kind, permitted := range map[string][]string{"mail addresses": c.PermittedEmailAddresses, "URIs": c.PermittedURIDomains} {
			if d := cmp.Diff([]string{"invalid"}, permitted); d != "" {
				t.Errorf("%s (-want +got)\n%s", kind, d)
			}
		}
		if n := len(c.ExcludedDNSDomains) + len(c.ExcludedEmailAddresses) + len(c.ExcludedURIDomains); n > 0 {
			t.Errorf("%d names are excluded", n)
		}
	}
}

func TestNoCACanStandBelow(t *testing.T) {
	chain := must(cacert.SelfSign(keys["p256"](), plan, 10, now, rand.Reader))
	key := ecKey()
	below := must(x509.ParseCertificate(must(x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Below"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(1, 0, 0),
	}, chain[0], key.Public(), keys["p256"]()))))
	err := issue(key, append(ca.Chain{below}, chain...), ca.KindApp, okta(leafKey(), nil))
	named(t, err, ca.NameMisconfigured, "chain[1]")
}

func TestARequestAsksForWhatASelfSignedCASays(t *testing.T) {
	p := plan
	p.PermitDNS = []string{"example.com"}
	for keyType, key := range keys {
		chain := must(cacert.SelfSign(key(), p, 10, now, rand.Reader))
		der, err := cacert.Request(key(), p, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		request := must(x509.ParseCertificateRequest(der))
		if err := request.CheckSignature(); err != nil {
			t.Errorf("%s: %v", keyType, err)
		}
		if !bytes.Equal(request.RawSubject, chain[0].RawSubject) || request.SignatureAlgorithm != chain[0].SignatureAlgorithm {
			t.Errorf("%s: subject %s, signed with %s", keyType, request.Subject, request.SignatureAlgorithm)
		}
		if len(request.Extensions) != 3 {
			t.Errorf("%s: it asks for %d extensions", keyType, len(request.Extensions))
		}
		for _, asked := range request.Extensions {
			found := false
			for _, e := range chain[0].Extensions {
				found = found || e.Id.Equal(asked.Id) && e.Critical == asked.Critical && bytes.Equal(e.Value, asked.Value)
			}
			if !found {
				t.Errorf("%s: the request's extension %v is not the certificate's", keyType, asked.Id)
			}
		}
	}
}

func TestPlansAreChecked(t *testing.T) {
	for _, test := range []struct {
		title, field string
		plan         cacert.Plan
	}{
		{"no name", "name", cacert.Plan{}},
		{"a name of 65 characters", "name", cacert.Plan{CommonName: strings.Repeat("ü", 65)}},
		{"a name with a line break", "name", cacert.Plan{CommonName: "Example\nCA"}},
		{"a name with a space at its end", "name", cacert.Plan{CommonName: "Example CA "}},
		{"a name that is not UTF-8", "name", cacert.Plan{CommonName: "Example\xff"}},
		{"an organization of 65 characters", "organization", cacert.Plan{CommonName: "Example CA", Organization: strings.Repeat("o", 65)}},
		{"a country of three letters", "country", cacert.Plan{CommonName: "Example CA", Country: "USA"}},
		{"a country in small letters", "country", cacert.Plan{CommonName: "Example CA", Country: "us"}},
		{"a country that is not ASCII", "country", cacert.Plan{CommonName: "Example CA", Country: "Ü"}},
		{"a wildcard", "permit-dns", cacert.Plan{CommonName: "Example CA", PermitDNS: []string{"*.example.com"}}},
		{"a leading dot", "permit-dns", cacert.Plan{CommonName: "Example CA", PermitDNS: []string{".example.com"}}},
		{"a whole top-level domain", "permit-dns", cacert.Plan{CommonName: "Example CA", PermitDNS: []string{"com"}}},
		{"capitals", "permit-dns", cacert.Plan{CommonName: "Example CA", PermitDNS: []string{"Example.com"}}},
		{"a URL", "permit-dns", cacert.Plan{CommonName: "Example CA", PermitDNS: []string{"https://example.com"}}},
		{"a label that ends in a hyphen", "permit-dns", cacert.Plan{CommonName: "Example CA", PermitDNS: []string{"a-.example.com"}}},
	} {
		t.Run(test.title, func(t *testing.T) {
			named(t, test.plan.Check(), ca.NameMisconfigured, test.field)
			_, err := cacert.SelfSign(keys["p256"](), test.plan, 10, now, rand.Reader)
			named(t, err, ca.NameMisconfigured, test.field)
			_, err = cacert.Request(keys["p256"](), test.plan, rand.Reader)
			named(t, err, ca.NameMisconfigured, test.field)
		})
	}
	longest := cacert.Plan{CommonName: strings.Repeat("ü", 64), Organization: strings.Repeat("o", 64), Country: "CH", PermitDNS: []string{"xn--bcher-kva.example"}}
	if chain, err := cacert.SelfSign(keys["p256"](), longest, 10, now, rand.Reader); err != nil || chain[0].Subject.CommonName != longest.CommonName {
		t.Errorf("the longest names: %v", err)
	}
}

func TestYearsAreBounded(t *testing.T) {
	for years, good := range map[int]bool{-1: false, 0: false, 1: true, 30: true, 31: false} {
		_, err := cacert.SelfSign(keys["p256"](), plan, years, now, rand.Reader)
		if good && err != nil {
			t.Errorf("%d years: %v", years, err)
		}
		if !good {
			named(t, err, ca.NameMisconfigured, "years")
		}
	}
}

func TestOnlyKeysThatPartnersVerifyBecomeCAs(t *testing.T) {
	for title, key := range map[string]crypto.Signer{
		"RSA with 1024 bits": must(rsa.GenerateKey(rand.Reader, 1024)),
		"P-521":              must(ecdsa.GenerateKey(elliptic.P521(), rand.Reader)),
	} {
		t.Run(title, func(t *testing.T) {
			_, err := cacert.SelfSign(key, plan, 10, now, rand.Reader)
			named(t, err, ca.NameMisconfigured, "key")
			_, err = cacert.Request(key, plan, rand.Reader)
			named(t, err, ca.NameMisconfigured, "key")
		})
	}
	_, err := cacert.NewKey("rsa-1024")
	named(t, err, ca.NameMisconfigured, "key")
}

// failing is a key elsewhere that does not answer.
type failing struct {
	crypto.Signer
	err error
}

func (f failing) Sign(_ io.Reader, _ []byte, _ crypto.SignerOpts) ([]byte, error) { return nil, f.err }

func TestErrorsOfTheKeyAreNamed(t *testing.T) {
	denied := &ca.Error{Name: ca.NameMisconfigured, Field: "kmsKey", Remedy: "allow kms:Sign"}
	for _, test := range []struct {
		err         error
		name, field string
	}{
		{denied, ca.NameMisconfigured, "kmsKey"},
		{errors.New("no answer"), ca.NameUnavailable, "signature"},
	} {
		key := failing{keys["p256"](), test.err}
		_, err := cacert.SelfSign(key, plan, 10, now, rand.Reader)
		named(t, err, test.name, test.field)
		_, err = cacert.Request(key, plan, rand.Reader)
		named(t, err, test.name, test.field)
	}
}
