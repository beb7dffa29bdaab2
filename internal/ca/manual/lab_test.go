package manual_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"math/big"
	"strings"
	"sync"
	"testing"
	"time"

	"keyturn/internal/ca"
	"keyturn/internal/ca/manual"
)

var (
	now     = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	subject = pkix.Name{Organization: []string{"Example, Inc."}, CommonName: "Wiki SAML signing"}
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func p256() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) }

var (
	targetKey  = sync.OnceValue(func() crypto.Signer { return must(rsa.GenerateKey(rand.Reader, 2048)) })
	anotherKey = sync.OnceValue(func() crypto.Signer { return must(rsa.GenerateKey(rand.Reader, 2048)) })
)

// authority is one CA of a company.
type authority struct {
	key  crypto.Signer
	cert *x509.Certificate
}

func (a authority) sign(template *x509.Certificate, public crypto.PublicKey) *x509.Certificate {
	return must(x509.ParseCertificate(must(x509.CreateCertificate(rand.Reader, template, a.cert, public, a.key))))
}

// below makes a CA that a certifies.
func (a authority) below(name string, key crypto.Signer) authority {
	return authority{key, a.sign(caTemplate(name), key.Public())}
}

func newRoot(name string, key crypto.Signer) authority {
	return authority{key, selfSigned(key, func(cert *x509.Certificate) { cert.Subject.CommonName = name })}
}

// selfSigned is a root's certificate, with a change.
func selfSigned(key crypto.Signer, change func(*x509.Certificate)) *x509.Certificate {
	template := caTemplate("Example")
	if change != nil {
		change(template)
	}
	return authority{key, template}.sign(template, key.Public())
}

func caTemplate(name string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: now.AddDate(-1, 0, 0), NotAfter: now.AddDate(9, 0, 0),
		KeyUsage: x509.KeyUsageCertSign, BasicConstraintsValid: true, IsCA: true,
	}
}

// company has two roots: one with an issuing CA by RSA and one below that, the
// other with an issuing CA by ECDSA. The CA sub is not configured.
type company struct {
	root, issuing, sub, ecRoot, ecIssuing authority
}

var example = sync.OnceValue(func() company {
	var c company
	c.root = newRoot("Example Root", must(rsa.GenerateKey(rand.Reader, 2048)))
	c.issuing = c.root.below("Example Issuing", must(rsa.GenerateKey(rand.Reader, 2048)))
	c.sub = c.issuing.below("Example Sub", p256())
	c.ecRoot = newRoot("Example EC Root", p256())
	c.ecIssuing = c.ecRoot.below("Example EC Issuing", p256())
	return c
})

func (c company) configured() ca.Chain {
	return ca.Chain{c.issuing.cert, c.root.cert, c.ecIssuing.cert, c.ecRoot.cert}
}

func newAuthority(t testing.TB) *manual.Authority {
	t.Helper()
	a, err := manual.New(example().configured().PEM())
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// leaf is what the CA is to make of the request, with a change.
func (a authority) leaf(kind string, change func(*x509.Certificate)) *x509.Certificate {
	return a.leafFor(targetKey(), kind, change)
}

func (a authority) leafFor(key crypto.Signer, kind string, change func(*x509.Certificate)) *x509.Certificate {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(7), Subject: subject,
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(-time.Hour).AddDate(0, 0, 397),
		KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true,
	}
	if kind == ca.KindIDP {
		template.KeyUsage |= x509.KeyUsageKeyEncipherment
	}
	if change != nil {
		change(template)
	}
	return a.sign(template, key.Public())
}

func csr() []byte {
	return must(x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: subject}, targetKey()))
}

func request(kind string, answer []byte) ca.Request {
	return ca.Request{CSR: csr(), Kind: kind, ValidityDays: 397, Now: now, Answer: answer}
}

// bundle is PEM, in this order.
func bundle(certs ...*x509.Certificate) []byte { return ca.Chain(certs).PEM() }

func block(label string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: label, Bytes: der})
}

// signedData is a PKCS#7 file with certificates alone, as CAs make it (RFC 5652,
// section 5).
func signedData(certs ...*x509.Certificate) []byte {
	var all []byte
	for _, cert := range certs {
		all = append(all, cert.Raw...)
	}
	type contentInfo struct {
		Type    asn1.ObjectIdentifier
		Content any `asn1:"explicit,optional,tag:0"`
	}
	type data struct{ Type asn1.ObjectIdentifier }
	type signed struct {
		Version      int
		Digests      []asn1.RawValue `asn1:"set"`
		Content      data
		Certificates asn1.RawValue
		Signers      []asn1.RawValue `asn1:"set"`
	}
	return must(asn1.Marshal(contentInfo{
		asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2},
		signed{
			1, []asn1.RawValue{}, data{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}},
			asn1.RawValue{Class: asn1.ClassContextSpecific, IsCompound: true, Bytes: all}, []asn1.RawValue{},
		},
	}))
}

// lines is base64 as tools wrap it, without BEGIN and END.
func lines(der []byte, eol string) []byte {
	text := base64.StdEncoding.EncodeToString(der)
	var b strings.Builder
	for len(text) > 64 {
		b.WriteString(text[:64] + eol)
		text = text[64:]
	}
	return []byte(b.String() + text + eol)
}

// named fails unless err is an *Error of this name that a person can act on, and
// returns it.
func named(t testing.TB, err error, name string) *ca.Error {
	t.Helper()
	var e *ca.Error
	if !errors.As(err, &e) {
		t.Fatalf("error is %v (%T), want an *Error named %s", err, err, name)
	}
	if e.Name != name {
		t.Fatalf("error is named %s, want %s; it says: %v", e.Name, name, e)
	}
	if e.Field == "" || e.Message == "" || e.Remedy == "" || strings.ContainsAny(e.Error(), "\r\n") {
		t.Fatalf("error %q does not say in one line what, why and what to do", e)
	}
	return e
}
