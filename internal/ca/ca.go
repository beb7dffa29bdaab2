// Package ca has the company's certificate authority sign the requests that
// Okta makes (step 3 of Okta's guide "Sign the Okta certificate with your own
// CA"), and checks every certificate before it may be published.
//
// A provider implements [Authority]; each has a small package of its own below
// this one. A provider that holds a [crypto.Signer] has little to write: it
// checks its configuration with [Chain.CheckIssuer] and signs with [Issue].
// Whatever a provider answers, its caller passes through [Check] before it
// reaches Okta.
//
// Errors are of type [*Error], whose name a state machine can tell apart.
package ca

import (
	"bytes"
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"slices"
	"time"
)

// MinValidity is Okta's limit: a certificate that is valid for this long or
// less is rejected when it is published.
const MinValidity = 90 * day

const (
	day = 24 * time.Hour

	// maxValidityDays is where a number of days stops being a plausible wish
	// and date arithmetic starts to leave what a certificate can express.
	maxValidityDays = 36500

	// skew is how far the clocks of a CA, of this function and of a partner
	// are taken to differ.
	skew = 5 * time.Minute
)

// Kinds of a [Request].
const (
	KindApp = "app" // the key signs assertions
	KindIDP = "idp" // the key signs requests, and decrypts assertions
)

// Authority is a certificate authority that signs for Okta.
type Authority interface {
	// Sign issues the certificate that r asks for.
	//
	// A CA that does not answer at once (AWS Private CA, a person) returns a
	// [*Pending]; the caller waits, outside of any function, and calls again
	// with the same request and Pending's reference in it. Every other error is
	// an [*Error]; of these only CA.Unavailable may pass by itself.
	Sign(ctx context.Context, r Request) (Certificate, error)

	Issuer
}

// Issuer recognises the certificates of one CA. It needs that CA's public
// certificates only; a [Chain] is an Issuer.
type Issuer interface {
	// Issued reports whether this CA signed cert, whatever cert's dates. The
	// error says that the question could not be answered.
	Issued(cert *x509.Certificate) (bool, error)

	// Chain returns the CA's public certificates: the issuing CA's first, each
	// followed by the one that signed it. A CA that may sign with several
	// certificates lists one such chain after the other; see [Chain.Above].
	Chain() Chain
}

// Request is what a CA is asked to sign.
type Request struct {
	CSR          []byte    // PKCS#10, DER
	Kind         string    // KindApp or KindIDP
	ValidityDays int       // days of 24 hours, more than 90
	Now          time.Time // when the certificate starts to be valid, give or take the skew

	// Reference is empty at first, and Pending.Reference when the request is
	// repeated after a [*Pending].
	Reference string

	// Answer is what a person has brought for the request, where a person signs.
	Answer []byte

	Profile Profile
}

// Profile is what the certificate has to say beside what Okta needs.
type Profile struct {
	KeyUsage   x509.KeyUsage    // in addition to what the kind needs
	Extensions []pkix.Extension // none that [Issue] makes by itself

	CRLs, OCSP, CAIssuers []string // URLs
}

// Pending says that the CA has taken the request and has not answered it yet.
// It is an error so that a caller that does not expect it stops.
type Pending struct { //nolint:errname // reads as ca.Pending: an answer more than an error
	Reference string        // what to repeat the request with, such as a certificate's ARN
	After     time.Duration // how long to wait at least; 0: the CA does not say
	Person    bool          // a person has to bring the certificate: Request.Answer
}

func (p *Pending) Error() string {
	if p.Person {
		return "the request waits for a person to have it signed; ask again with the certificate as answer"
	}
	return fmt.Sprintf("the CA has not signed request %s yet; ask again with this reference", printable(p.Reference))
}

// ErrorName returns CA.Pending.
func (p *Pending) ErrorName() string { return NamePending }

// Certificate is a CA's answer.
type Certificate struct {
	Leaf  *x509.Certificate // Leaf.Raw is its DER
	Chain Chain             // issuing CA first; may end below the root or with it
}

// ParseCertificate reads a PEM bundle, leaf first. That it is the leaf which
// comes first is for [Check] to say.
func ParseCertificate(bundle []byte) (Certificate, error) {
	certs, err := ParseChain(bundle)
	if err != nil {
		return Certificate{}, err
	}
	return Certificate{Leaf: certs[0], Chain: certs[1:]}, nil
}

// LeafPEM returns the certificate alone, as Okta's publish call takes it.
func (c Certificate) LeafPEM() []byte { return Chain{c.Leaf}.PEM() }

// PEM returns the certificate followed by its chain.
func (c Certificate) PEM() []byte { return append(c.LeafPEM(), c.Chain.PEM()...) }

// Chain is a list of CA certificates, the issuing CA's first, each followed by
// the one that signed it. The root may be left out.
type Chain []*x509.Certificate

// ParseChain reads a PEM list of at least one certificate. Text between the
// certificates is skipped (RFC 7468, section 5.2); a block of another kind, or
// one that is damaged, is refused as Certificate.BadChain.
func ParseChain(list []byte) (Chain, error) {
	bad := func(message string, err error) error {
		return &Error{
			Name: NameBadChain, Field: "chain", Message: message, Err: err,
			Remedy: "give a list of PEM blocks BEGIN CERTIFICATE, nothing else",
		}
	}
	// pem.Decode steps over a damaged block without a word: count what it
	// should have found.
	begun := bytes.Count(list, []byte("-----BEGIN"))
	var chain Chain
	blocks := 0
	for rest := list; ; {
		var block *pem.Block
		block, rest = pem.Decode(rest)
		if block == nil {
			break
		}
		blocks++
		if block.Type != "CERTIFICATE" {
			return nil, bad(fmt.Sprintf("PEM block %d is not a certificate", blocks), nil)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, bad(fmt.Sprintf("PEM block %d cannot be read", blocks), err)
		}
		chain = append(chain, cert)
	}
	switch {
	case begun == 0:
		return nil, bad("no certificate in it", nil)
	case blocks != begun:
		return nil, bad(fmt.Sprintf("only %d of %d PEM blocks are whole", blocks, begun), nil)
	}
	return chain, nil
}

// PEM returns the certificates in their order.
func (c Chain) PEM() []byte {
	var b bytes.Buffer
	for _, cert := range c {
		// Encode fails only where the writer does, or a header is malformed.
		_ = pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})
	}
	return b.Bytes()
}

// Issued reports whether the first certificate of the chain signed cert, with a
// signature that is still worth something: SHA-1 does not count.
func (c Chain) Issued(cert *x509.Certificate) (bool, error) {
	if len(c) == 0 {
		return false, &Error{
			Name: NameMisconfigured, Field: "chain", Message: "it is empty",
			Remedy: "configure the issuing CA's certificate",
		}
	}
	if cert == nil {
		return false, &Error{
			Name: NameBadChain, Field: "certificate", Message: "there is none to recognise",
			Remedy: "read it from the key's x5c first",
		}
	}
	return signedBy(cert, c[0]) == nil, nil
}

// Chain returns c, which makes it an [Issuer].
func (c Chain) Chain() Chain { return c }

// Above returns the chain of cert out of certificates that may be in any order,
// such as several chains: cert's issuer first, up to the root as far as it is
// there. Of several certificates of one CA, such as a renewed root's, it takes
// the one that ends last. It is empty where cert's issuer is not among them.
func (c Chain) Above(cert *x509.Certificate) Chain {
	var above Chain
	for at := cert; !selfIssued(at); {
		var next *x509.Certificate
		for _, issuer := range c {
			if (next == nil || issuer.NotAfter.After(next.NotAfter)) && !above.has(issuer) && signedBy(at, issuer) == nil {
				next = issuer
			}
		}
		if next == nil {
			break
		}
		at = next
		above = append(above, at)
	}
	return above
}

func (c Chain) has(cert *x509.Certificate) bool { return slices.ContainsFunc(c, cert.Equal) }

// selfIssued is true of roots.
func selfIssued(cert *x509.Certificate) bool { return bytes.Equal(cert.RawIssuer, cert.RawSubject) }

// end returns the earliest expiry in the chain, from which on nothing verifies.
func (c Chain) end() time.Time {
	end := c[0].NotAfter
	for _, cert := range c[1:] {
		if cert.NotAfter.Before(end) {
			end = cert.NotAfter
		}
	}
	return end
}

// signedBy checks names and signature, not dates. Names are compared as bytes,
// as path validation in crypto/x509 does.
func signedBy(cert, issuer *x509.Certificate) error {
	if !bytes.Equal(cert.RawIssuer, issuer.RawSubject) {
		return fmt.Errorf("its issuer is %s", printable(cert.Issuer.String()))
	}
	return cert.CheckSignatureFrom(issuer)
}
