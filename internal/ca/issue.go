package ca

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"math/big"
	"slices"
	"time"
)

var oidSubjectAltName = asn1.ObjectIdentifier{2, 5, 29, 17}

// Issue signs r with the key of the CA that stands first in chain. It is all
// that a provider needs whose key is a [crypto.Signer]; such a provider has
// called [Chain.CheckIssuer] before. random makes the serial number. What the
// certificate says:
//
//   - subject and subjectAltName: the CSR's, byte for byte, so that they are
//     what Okta and the policy agreed on. No other extension is taken over: a
//     request does not decide what its certificate may do.
//   - serial number: 128 random bits, positive, in at most 17 octets (RFC 5280,
//     section 4.1.2.2, allows 20).
//   - notBefore: five minutes ago, for partners whose clocks are behind, but
//     not before the CA's own. notAfter: ValidityDays after that. Where a CA of
//     the chain ends earlier, so does the certificate, provided that more than
//     90 days remain from now; otherwise it is refused as
//     Certificate.TooShort, because only renewing the CA helps.
//   - keyUsage, critical: digitalSignature; for an IdP also keyEncipherment,
//     because Okta decrypts assertions with the same key; and what the profile
//     adds.
//   - the profile's extensions as they are, and its URLs: cRLDistributionPoints,
//     authorityInfoAccess. [ReservedExtension] says what it may not have.
//   - no extKeyUsage, unless the profile has one: it would only restrict (RFC 5280, section 4.2.1.12), and
//     no purpose that is registered and that partners' software knows means
//     signing SAML. serverAuth and clientAuth would be untrue.
//   - basicConstraints, critical: CA:FALSE.
//   - subjectKeyIdentifier: RFC 7093, section 2, method 1 (160 bits of SHA-256).
//     authorityKeyIdentifier: the issuing certificate's subjectKeyIdentifier.
//   - signature: SHA-256 with RSA or P-256, SHA-384 with P-384.
//
// Errors: those of [Request.Validate];
// CA.Misconfigured where the CA is past its dates; CA.Unavailable where the
// signer or random fails, unless the signer returns an [*Error] of its own.
func Issue(signer crypto.Signer, chain Chain, random io.Reader, r Request) (Certificate, error) {
	csr, err := r.parse()
	if err != nil {
		return Certificate{}, err
	}
	if err := chain.CheckIssuer(signer.Public()); err != nil {
		return Certificate{}, err
	}
	issuer := chain[0]
	// A leaf by the CA's own name would look like another certificate of the
	// CA, to people and to software that builds chains.
	if bytes.Equal(csr.RawSubject, issuer.RawSubject) {
		return Certificate{}, &Error{
			Name: NameCSRInvalid, Field: "csr.subject", Value: csr.Subject.String(),
			Message: "the CA itself has this name", Remedy: "give the target another name in the policy's subject",
		}
	}
	notBefore, notAfter, err := chain.Validity(r.Now, r.ValidityDays)
	if err != nil {
		return Certificate{}, err
	}
	algorithm, err := signatureAlgorithm(signer.Public())
	if err != nil {
		return Certificate{}, err
	}
	serial, err := serialNumber(random)
	if err != nil {
		return Certificate{}, err
	}
	keyID, err := subjectKeyID(csr.RawSubjectPublicKeyInfo)
	if err != nil {
		return Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		RawSubject:            csr.RawSubject,
		NotBefore:             notBefore,
		NotAfter:              notAfter,
		SignatureAlgorithm:    algorithm,
		KeyUsage:              leafUsage(r.Kind) | r.Profile.KeyUsage,
		BasicConstraintsValid: true,
		SubjectKeyId:          keyID,
		CRLDistributionPoints: r.Profile.CRLs,
		OCSPServer:            r.Profile.OCSP,
		IssuingCertificateURL: r.Profile.CAIssuers,
		ExtraExtensions: append(slices.DeleteFunc(slices.Clone(csr.Extensions), func(e pkix.Extension) bool {
			return !e.Id.Equal(oidSubjectAltName)
		}), r.Profile.Extensions...),
	}
	// CreateCertificate takes authorityKeyIdentifier from the issuer.
	der, err := x509.CreateCertificate(random, template, issuer, csr.PublicKey, signer)
	if err != nil {
		var named *Error
		if errors.As(err, &named) {
			return Certificate{}, named
		}
		return Certificate{}, &Error{
			Name: NameUnavailable, Field: "signature", Message: "the CA's key did not sign", Err: err,
			Remedy: "try again; if it stays, look at where the key is kept",
		}
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil && len(r.Profile.Extensions) > 0 {
		// The names from the CSR have been read before.
		return Certificate{}, &Error{
			Name: NameProfile, Field: "profile.extensions", Message: "they make no readable certificate", Err: err,
			Remedy: "mend their values, which are in DER",
		}
	}
	if err != nil {
		return Certificate{}, &Error{
			Name: NameCSRInvalid, Field: "csr", Message: "what it asks for makes no readable certificate", Err: err,
			Remedy: "revoke it in Okta and generate another one",
		}
	}
	return Certificate{Leaf: leaf, Chain: slices.Clone(chain)}, nil
}

// Validity decides notBefore and notAfter of a certificate for so many days, as
// [Issue] describes, with its errors.
func (c Chain) Validity(now time.Time, wantDays int) (notBefore, notAfter time.Time, err error) {
	for i, cert := range c {
		if now.Before(cert.NotBefore) || now.After(cert.NotAfter) {
			return notBefore, notAfter, &Error{
				Name: NameMisconfigured, Field: chainField(i), Value: cert.Subject.String(),
				Message: fmt.Sprintf("valid from %s to %s, and it is %s", stamp(cert.NotBefore), stamp(cert.NotAfter), stamp(now)),
				Remedy:  "renew the CA's certificate and configure the new one",
			}
		}
	}
	notBefore = now.Add(-skew).UTC().Truncate(time.Second)
	if notBefore.Before(c[0].NotBefore) {
		notBefore = c[0].NotBefore
	}
	notAfter = notBefore.AddDate(0, 0, wantDays)
	if end := c.end(); end.Before(notAfter) {
		notAfter = end
		if left := end.Sub(now); left <= MinValidity {
			return notBefore, notAfter, &Error{
				Name: NameTooShort, Field: "chain.notAfter", Value: stamp(end),
				Message: fmt.Sprintf("the CA ends in %s; Okta rejects 90 days or less, and a certificate cannot outlive its CA", days(left)),
				Remedy:  "renew the CA's certificate and configure the new one",
			}
		}
	}
	return notBefore, notAfter, nil
}

func serialNumber(random io.Reader) (*big.Int, error) {
	b := make([]byte, 16)
	_, err := io.ReadFull(random, b)
	n := new(big.Int).SetBytes(b)
	if err == nil && n.Sign() == 0 {
		err = errors.New("only zeros")
	}
	if err != nil {
		return nil, &Error{
			Name: NameUnavailable, Field: "serialNumber", Message: "no randomness for it", Err: err,
			Remedy: "try again",
		}
	}
	return n, nil
}

// subjectKeyID hashes the key's bits without their ASN.1 wrapping, as RFC 7093
// says.
func subjectKeyID(publicKeyInfo []byte) ([]byte, error) {
	var info struct {
		Algorithm pkix.AlgorithmIdentifier
		Key       asn1.BitString
	}
	if _, err := asn1.Unmarshal(publicKeyInfo, &info); err != nil {
		return nil, &Error{
			Name: NameCSRInvalid, Field: "csr.publicKey", Message: "unreadable", Err: err,
			Remedy: "revoke it in Okta and generate another one",
		}
	}
	sum := sha256.Sum256(info.Key.RightAlign())
	return sum[:20], nil
}
