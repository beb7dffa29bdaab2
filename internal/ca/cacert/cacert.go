// Package cacert makes the certificate of a CA that signs for Okta and for
// nothing else: signed by the CA itself, or by the company's root, which gets a
// request and whose answer is checked.
package cacert

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
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"keyturn/internal/ca"
)

// MaxYears bounds the life of a CA that signs itself.
const MaxYears = 30

// most characters of a common name and of an organization (RFC 5280, appendix
// A.1, ub-common-name and ub-organization-name).
const most = 64

// NoHost is the domain to which DNS names, mail addresses and URIs are limited
// where there are to be none: nobody has it (RFC 2606, section 2). To exclude
// the empty name instead says the same in theory. In fact OpenSSL takes that,
// for mail and URIs, for none at all, and Java cannot read a certificate with an
// empty mail address.
const NoHost = "invalid"

// Plan is what the CA's certificate is to say. Its path length is always 0, so
// that no further CA can stand below it, and its key usage keyCertSign and
// cRLSign.
//
// Critical name constraints make it useless for what a SAML certificate is not:
// it can sign for no DNS name (or only for those of PermitDNS and below), no IP
// address, no mail address and no URI. A certificate without such names, which
// is what Okta's requests ask for, passes them, provided that its common name
// has a space or something else that no host's name has: where there is no DNS
// name, OpenSSL and Java take a common name that could be one for one. Subjects
// are not constrained: crypto/x509 cannot verify constraints on these.
type Plan struct {
	CommonName   string   // 1 to 64 characters
	Organization string   // up to 64 characters; empty: left out
	Country      string   // two capitals (ISO 3166-1 alpha-2); empty: left out
	PermitDNS    []string // domains such as example.com
}

// Check refuses, as CA.Misconfigured, a plan that makes no certificate. The
// error's Field is name, organization, country or permit-dns.
func (p Plan) Check() error {
	if p.CommonName == "" {
		return wrong("name", "", "it is empty", `name the CA, such as "Example SAML Issuing CA"`)
	}
	for _, f := range []struct{ field, value string }{{"name", p.CommonName}, {"organization", p.Organization}} {
		switch n := utf8.RuneCountInString(f.value); {
		case n > most:
			return wrong(f.field, strconv.Quote(f.value), fmt.Sprintf("%d characters, more than a certificate can hold", n), fmt.Sprintf("use %d at most", most))
		case !utf8.ValidString(f.value) || strings.ContainsFunc(f.value, func(r rune) bool { return !unicode.IsPrint(r) }):
			return wrong(f.field, strconv.Quote(f.value), "it has characters that cannot be printed", "leave them out")
		case strings.TrimSpace(f.value) != f.value:
			return wrong(f.field, strconv.Quote(f.value), "it starts or ends with a space", "leave the space out")
		}
	}
	isCapital := func(r rune) bool { return r >= 'A' && r <= 'Z' }
	if p.Country != "" && (len(p.Country) != 2 || !isCapital(rune(p.Country[0])) || !isCapital(rune(p.Country[1]))) {
		return wrong("country", strconv.Quote(p.Country), "not a country's code", "use the two capitals of ISO 3166-1, such as US")
	}
	for _, domain := range p.PermitDNS {
		if !isDomain(domain) {
			return wrong("permit-dns", strconv.Quote(domain), "not a domain",
				"use one such as example.com, which stands for its subdomains too: lower case, no *, no dot at either end")
		}
	}
	return nil
}

func isDomain(s string) bool {
	labels := strings.Split(s, ".")
	return len(s) <= 253 && len(labels) > 1 && !slices.ContainsFunc(labels, func(label string) bool {
		return label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' ||
			strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-") != ""
	})
}

// template has everything but serial number, dates and key.
func (p Plan) template() *x509.Certificate {
	t := &x509.Certificate{
		Subject:               p.subject(),
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,

		PermittedDNSDomainsCritical: true, // all name constraints
		PermittedDNSDomains:         p.PermitDNS,
		PermittedEmailAddresses:     []string{NoHost},
		PermittedURIDomains:         []string{NoHost},
		ExcludedIPRanges: []*net.IPNet{
			{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)},
			{IP: net.IPv6zero, Mask: net.CIDRMask(0, 128)},
		},
	}
	if len(p.PermitDNS) == 0 {
		t.PermittedDNSDomains = []string{NoHost}
	}
	return t
}

func (p Plan) subject() pkix.Name {
	name := pkix.Name{CommonName: p.CommonName}
	if p.Organization != "" {
		name.Organization = []string{p.Organization}
	}
	if p.Country != "" {
		name.Country = []string{p.Country}
	}
	return name
}

// SelfSign makes a CA that signs itself, and so is a root of its own: version 3,
// a serial number of 128 random bits, notBefore an hour before now, notAfter
// years (1 to MaxYears) after now, both key identifiers by RFC 7093, section 2,
// method 1; signed with SHA-256, by P-384 with SHA-384. It passes
// [ca.Chain.CheckIssuer].
//
// Errors: CA.Misconfigured for the plan, years, or a key that CAs do not have
// here; CA.Unavailable where the signer or random fails, unless the signer
// returns a [*ca.Error] of its own.
func SelfSign(signer crypto.Signer, p Plan, years int, now time.Time, random io.Reader) (ca.Chain, error) {
	if err := p.Check(); err != nil {
		return nil, err
	}
	if years < 1 || years > MaxYears {
		return nil, wrong("years", strconv.Itoa(years), "no lifetime for a CA", fmt.Sprintf("choose 1 to %d", MaxYears))
	}
	algorithm, err := algorithmOf(signer.Public())
	if err != nil {
		return nil, err
	}
	var serial [16]byte
	if _, err := io.ReadFull(random, serial[:]); err != nil {
		return nil, failed("serialNumber", "no randomness for it", err)
	}
	now = now.UTC().Truncate(time.Second)
	t := p.template()
	t.SerialNumber = new(big.Int).SetBytes(serial[:])
	t.NotBefore, t.NotAfter = now.Add(-time.Hour), now.AddDate(years, 0, 0)
	t.SignatureAlgorithm = algorithm
	if t.SubjectKeyId, err = keyID(signer.Public()); err != nil {
		return nil, err
	}
	t.AuthorityKeyId = t.SubjectKeyId
	der, err := x509.CreateCertificate(random, t, t, signer.Public(), signer)
	if err != nil {
		return nil, failed("signature", "the CA's key did not sign its certificate", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, failed("certificate", "it cannot be read", err)
	}
	chain := ca.Chain{cert}
	return chain, chain.CheckIssuer(signer.Public())
}

// Request makes the PKCS#10 request (DER) for the company's root to sign. Its
// extensionRequest asks for what SelfSign would write: basicConstraints,
// keyUsage, nameConstraints. The root decides; see [Accept]. Errors are those of
// SelfSign.
func Request(signer crypto.Signer, p Plan, random io.Reader) ([]byte, error) {
	if err := p.Check(); err != nil {
		return nil, err
	}
	algorithm, err := algorithmOf(signer.Public())
	if err != nil {
		return nil, err
	}
	extensions, err := p.extensions()
	if err != nil {
		return nil, err
	}
	der, err := x509.CreateCertificateRequest(random, &x509.CertificateRequest{
		Subject: p.subject(), SignatureAlgorithm: algorithm, ExtraExtensions: extensions,
	}, signer)
	if err != nil {
		return nil, failed("signature", "the CA's key did not sign its request", err)
	}
	return der, nil
}

var (
	oidKeyUsage         = asn1.ObjectIdentifier{2, 5, 29, 15}
	oidBasicConstraints = asn1.ObjectIdentifier{2, 5, 29, 19}
	oidNameConstraints  = asn1.ObjectIdentifier{2, 5, 29, 30}
)

// extensions are taken from a certificate by a key that is thrown away, because
// crypto/x509 writes them into nothing else.
func (p Plan) extensions() ([]pkix.Extension, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, failed("extensions", "they could not be written", err)
	}
	t := p.template()
	t.SerialNumber = big.NewInt(1)
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return nil, failed("extensions", "they could not be written", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, failed("extensions", "they could not be written", err)
	}
	return slices.DeleteFunc(cert.Extensions, func(e pkix.Extension) bool {
		return !e.Id.Equal(oidBasicConstraints) && !e.Id.Equal(oidKeyUsage) && !e.Id.Equal(oidNameConstraints)
	}), nil
}

// KeyTypes are the names that [NewKey] knows.
var KeyTypes = []string{"rsa-2048", "rsa-3072", "p256", "p384"}

// NewKey makes a private key of one of KeyTypes.
func NewKey(keyType string) (crypto.Signer, error) {
	var key crypto.Signer
	var err error
	switch keyType {
	case "rsa-2048":
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	case "rsa-3072":
		key, err = rsa.GenerateKey(rand.Reader, 3072)
	case "p256":
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "p384":
		key, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	default:
		return nil, wrong("key", strconv.Quote(keyType), "no type of key", "use "+strings.Join(KeyTypes, ", "))
	}
	if err != nil {
		return nil, failed("key", "it could not be made", err)
	}
	return key, nil
}

// algorithmOf is how ca.Issue signs with such a key.
func algorithmOf(key crypto.PublicKey) (x509.SignatureAlgorithm, error) {
	switch k := key.(type) {
	case *rsa.PublicKey:
		if k.N.BitLen() >= 2048 {
			return x509.SHA256WithRSA, nil
		}
	case *ecdsa.PublicKey:
		switch k.Curve {
		case elliptic.P256():
			return x509.ECDSAWithSHA256, nil
		case elliptic.P384():
			return x509.ECDSAWithSHA384, nil
		}
	}
	return 0, wrong("key", ca.KeyText(key), "partners' software cannot be expected to verify its signatures",
		"use RSA with 2048 bits or more, or ECDSA on P-256 or P-384")
}

// keyID hashes the key's bits without their ASN.1 wrapping, as RFC 7093 says.
func keyID(key crypto.PublicKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return nil, failed("publicKey", "it cannot be written", err)
	}
	var info struct {
		Algorithm pkix.AlgorithmIdentifier
		Key       asn1.BitString
	}
	if _, err := asn1.Unmarshal(der, &info); err != nil {
		return nil, failed("publicKey", "it cannot be read", err)
	}
	sum := sha256.Sum256(info.Key.RightAlign())
	return sum[:20], nil
}

func sameKey(a, b crypto.PublicKey) bool {
	k, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && k.Equal(b)
}

func selfIssued(c *x509.Certificate) bool { return bytes.Equal(c.RawIssuer, c.RawSubject) }

func wrong(field, value, message, remedy string) error {
	return &ca.Error{Name: ca.NameMisconfigured, Field: field, Value: value, Message: message, Remedy: remedy}
}

// failed passes on the error of a signer that has one of its own, such as KMS.
func failed(field, message string, err error) error {
	var named *ca.Error
	if errors.As(err, &named) {
		return named
	}
	return &ca.Error{Name: ca.NameUnavailable, Field: field, Message: message, Err: err, Remedy: "try again"}
}
