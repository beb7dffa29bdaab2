package ca_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"math/big"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"keyturn/internal/ca"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// Keys are made once for all tests: RSA keys take long under the race detector.
var (
	rsaKey      = sync.OnceValue(func() crypto.Signer { return must(rsa.GenerateKey(rand.Reader, 2048)) })
	otherRSAKey = sync.OnceValue(func() crypto.Signer { return must(rsa.GenerateKey(rand.Reader, 2048)) })
	weakRSAKey  = sync.OnceValue(func() crypto.Signer { return must(rsa.GenerateKey(rand.Reader, 1024)) })
	p224Key     = sync.OnceValue(func() crypto.Signer { return must(ecdsa.GenerateKey(elliptic.P224(), rand.Reader)) })
	p256Key     = sync.OnceValue(func() crypto.Signer { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) })
	p384Key     = sync.OnceValue(func() crypto.Signer { return must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader)) })
	p521Key     = sync.OnceValue(func() crypto.Signer { return must(ecdsa.GenerateKey(elliptic.P521(), rand.Reader)) })
	edKey       = sync.OnceValue(func() crypto.Signer { _, k, err := ed25519.GenerateKey(rand.Reader); return must(k, err) })
	caRSAKey    = sync.OnceValue(func() crypto.Signer { return must(rsa.GenerateKey(rand.Reader, 2048)) })
	caKeys      = sync.OnceValue(func() []crypto.Signer {
		keys := []crypto.Signer{caRSAKey()}
		for range 3 {
			keys = append(keys, must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)))
		}
		return keys
	})
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func newCSR(key crypto.Signer, subject pkix.Name) []byte {
	return must(x509.CreateCertificateRequest(rand.Reader,
		&x509.CertificateRequest{Subject: subject}, key))
}

// oktaCSR is the request that Okta's management OpenAPI spec shows as example.
func oktaCSR() []byte {
	text := must(os.ReadFile("testdata/okta-example.csr.b64"))
	return must(base64.StdEncoding.DecodeString(strings.Join(strings.Fields(string(text)), "")))
}

// plan describes a certificate and the chain above it, for tests to spoil in
// one place. above[0] is the issuing CA, the last one the root, signed by itself.
type plan struct {
	leaf   node
	above  []node
	csrKey crypto.Signer
	days   int
	kind   string
	// profile is what the request asks for; see withProfile.
	profile ca.Profile
	// rearrange is what the CA answers with, instead of the proper order.
	rearrange func([]*x509.Certificate) []*x509.Certificate
	// configured makes the CA that is configured out of all CAs, from above[0]
	// to the root; nil: it is these.
	configured func(ca.Chain) ca.Chain
}

type node struct {
	key  crypto.Signer
	cert x509.Certificate
	// signer signs instead of the key of the certificate above.
	signer crypto.Signer
}

func goodPlan(kind string, key crypto.Signer, days, depth, firstCA int) *plan {
	usage := x509.KeyUsageDigitalSignature
	if kind == ca.KindIDP {
		usage |= x509.KeyUsageKeyEncipherment
	}
	p := &plan{kind: kind, days: days, csrKey: key, leaf: node{key: key, cert: x509.Certificate{
		SerialNumber: big.NewInt(7),
		Subject:      pkix.Name{Organization: []string{"Example, Inc."}, CommonName: "Wiki SAML signing"},
		NotBefore:    now.Add(-time.Minute), NotAfter: now.Add(-time.Minute).AddDate(0, 0, days),
		KeyUsage: usage, BasicConstraintsValid: true,
	}}}
	for i := range depth {
		p.above = append(p.above, node{key: caKeys()[(firstCA+i)%len(caKeys())], cert: x509.Certificate{
			SerialNumber: big.NewInt(int64(100 + i)),
			Subject:      pkix.Name{CommonName: "Example CA " + string(rune('A'+i))},
			NotBefore:    now.AddDate(-1, 0, 0), NotAfter: now.AddDate(20, 0, 0),
			KeyUsage: x509.KeyUsageCertSign, BasicConstraintsValid: true, IsCA: true,
			MaxPathLen: i, MaxPathLenZero: true,
			SubjectKeyId: []byte{byte(i + 1)},
		}})
	}
	return p
}

// oidPolicies is certificatePolicies, which crypto/x509 knows; oidOwn is one
// that only the company knows, and critical.
var (
	oidPolicies = asn1.ObjectIdentifier{2, 5, 29, 32}
	oidOwn      = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 99999, 1}
)

// withProfile makes p one whose policy has every kind of wish, and whose
// certificate grants them all.
func (p *plan) withProfile() *plan {
	p.profile = ca.Profile{
		KeyUsage: x509.KeyUsageContentCommitment | x509.KeyUsageDataEncipherment,
		Extensions: []pkix.Extension{
			{Id: oidPolicies, Value: []byte{0x30, 7, 0x30, 5, 6, 3, 0x2a, 3, 4}},
			{Id: oidOwn, Critical: true, Value: []byte{0x0c, 3, 's', 's', 'o'}},
		},
		CRLs:      []string{"http://pki.example.com/a.crl", "ldap:///CN=A,DC=example?certificateRevocationList"},
		OCSP:      []string{"http://ocsp.example.com"},
		CAIssuers: []string{"http://pki.example.com/a.cer"},
	}
	c := &p.leaf.cert
	c.KeyUsage |= p.profile.KeyUsage
	c.ExtraExtensions = slices.Clone(p.profile.Extensions)
	c.CRLDistributionPoints = append(slices.Clone(p.profile.CRLs), "http://pki2.example.com/a.crl")
	c.OCSPServer = slices.Clone(p.profile.OCSP)
	c.IssuingCertificateURL = slices.Clone(p.profile.CAIssuers)
	return p
}

func (p *plan) root() *node { return &p.above[len(p.above)-1] }

// oldRoot is an earlier certificate of the root, which is over; it has the
// same name and key.
func (p *plan) oldRoot() *x509.Certificate {
	n := *p.root()
	n.cert.NotAfter = now.Add(-time.Second)
	return must(x509.ParseCertificate(must(x509.CreateCertificate(rand.Reader, &n.cert, &n.cert, n.key.Public(), n.key))))
}

// otherRoot makes p a plan whose issuing CA was certified by another root than
// the configured one, which has the same name.
func (p *plan) otherRoot() {
	other := *p
	other.above = slices.Clone(p.above)
	other.root().key = otherRSAKey()
	c, _, _ := other.build()
	p.configured = func(ca.Chain) ca.Chain { return c.Chain }
}

// build signs top down. The CSR always has the subject of a good plan.
func (p *plan) build() (ca.Certificate, ca.Request, ca.Issuer) {
	all := append([]node{p.leaf}, p.above...)
	certs := make([]*x509.Certificate, len(all))
	for i := len(all) - 1; i >= 0; i-- {
		n := all[i]
		parent, key := &n.cert, n.key
		if i+1 < len(all) {
			parent, key = certs[i+1], all[i+1].key
		}
		if n.signer != nil {
			// CreateCertificate insists that key and parent belong together.
			forged := *parent
			forged.PublicKey = n.signer.Public()
			parent, key = &forged, n.signer
		}
		certs[i] = must(x509.ParseCertificate(must(
			x509.CreateCertificate(rand.Reader, &n.cert, parent, n.key.Public(), key))))
	}
	trusted := ca.Chain(certs[1:])
	if p.configured != nil {
		trusted = p.configured(trusted)
	}
	if p.rearrange != nil {
		certs = p.rearrange(certs)
	}
	subject := pkix.Name{Organization: []string{"Example, Inc."}, CommonName: "Wiki SAML signing"}
	return ca.Certificate{Leaf: certs[0], Chain: certs[1:]},
		ca.Request{CSR: newCSR(p.csrKey, subject), Kind: p.kind, ValidityDays: p.days, Now: now, Profile: p.profile},
		trusted
}

// named fails unless err is an *Error of this name whose text is fit for a
// person, and returns it.
func named(t interface {
	Helper()
	Fatalf(string, ...any)
}, err error, name string) *ca.Error {
	t.Helper()
	var e *ca.Error
	if !errors.As(err, &e) {
		t.Fatalf("error is %v (%T), want an *Error named %s", err, err, name)
	}
	if e.ErrorName() != name {
		t.Fatalf("error is named %s, want %s; it says: %v", e.Name, name, e)
	}
	if e.Field == "" || e.Remedy == "" || !strings.Contains(e.Error(), e.Field) || !strings.Contains(e.Error(), e.Remedy) {
		t.Fatalf("error %q does not name both field and remedy", e)
	}
	if strings.ContainsAny(e.Error(), "\n\r") {
		t.Fatalf("error %q is not one clean line", e)
	}
	return e
}
