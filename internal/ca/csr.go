package ca

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"strconv"
)

// ParseCSR reads a PKCS#10 request (DER) and refuses, as CSR.Invalid, what no
// CA should sign: a request that is not signed by its own key, a weak key, an
// empty subject.
func ParseCSR(der []byte) (*x509.CertificateRequest, error) {
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil {
		remedy := "revoke it in Okta and generate another one"
		if bytes.HasPrefix(der, []byte("-----BEGIN")) || bytes.HasPrefix(der, []byte("MI")) {
			remedy = "decode it first: this is text, and DER is wanted"
		}
		return nil, &Error{
			Name: NameCSRInvalid, Field: "csr", Value: fmt.Sprintf("%d bytes", len(der)),
			Message: "not a PKCS#10 request in DER", Err: err, Remedy: remedy,
		}
	}
	// Before the signature: crypto/rsa refuses the shortest keys with a text
	// that does not say whose they are.
	if !strongLeafKey(csr.PublicKey) {
		return nil, &Error{
			Name: NameCSRInvalid, Field: "csr.publicKey", Value: KeyText(csr.PublicKey),
			Message: "too weak to be signed", Remedy: leafKeyRemedy,
		}
	}
	if err := csr.CheckSignature(); err != nil {
		return nil, &Error{
			Name: NameCSRInvalid, Field: "csr.signature", Value: csr.SignatureAlgorithm.String(),
			Message: "not made by the key in the request, or the request was changed since", Err: err,
			Remedy: "revoke it in Okta and generate another one",
		}
	}
	if len(csr.Subject.Names) == 0 {
		return nil, &Error{
			Name: NameCSRInvalid, Field: "csr.subject", Value: "empty",
			Message: "a certificate has to name its holder",
			Remedy:  "set the policy's subject, at least its commonName",
		}
	}
	return csr, nil
}

// Validate refuses a request that no CA can grant: CSR.Invalid for CSR, Kind and
// Now, Certificate.TooShort and TooLong for ValidityDays, Certificate.WrongProfile
// for Profile. A provider that does not use [Issue] calls it first, before it
// bothers a CA or a person.
func (r Request) Validate() error {
	_, err := r.parse()
	return err
}

// parse validates the whole request, and returns the CSR.
func (r Request) parse() (*x509.CertificateRequest, error) {
	switch {
	case r.Kind != KindApp && r.Kind != KindIDP:
		return nil, &Error{
			Name: NameCSRInvalid, Field: "kind", Value: strconv.Quote(r.Kind),
			Message: "no kind of target", Remedy: `use "app" or "idp"`,
		}
	case r.Now.IsZero():
		return nil, &Error{
			Name: NameCSRInvalid, Field: "now", Message: "it is not set",
			Remedy: "give the time to sign at",
		}
	case r.ValidityDays <= int(MinValidity/day):
		return nil, &Error{
			Name: NameTooShort, Field: "validityDays", Value: strconv.Itoa(r.ValidityDays),
			Message: "Okta rejects a certificate that is valid for 90 days or less",
			Remedy:  "set the policy's validityDays to 91 or more; 397 is usual",
		}
	case r.ValidityDays > maxValidityDays:
		return nil, &Error{
			Name: NameTooLong, Field: "validityDays", Value: strconv.Itoa(r.ValidityDays),
			Message: fmt.Sprintf("more than %d", maxValidityDays),
			Remedy:  "set the policy's validityDays lower; 397 is usual",
		}
	}
	if e := r.Profile.check(); e != nil {
		return nil, e
	}
	csr, err := ParseCSR(r.CSR)
	if err != nil {
		return nil, err
	}
	// Okta decrypts with an IdP's key by RSA key transport, and keyEncipherment
	// is forbidden in certificates of EC keys (RFC 8813, section 3).
	if _, ok := csr.PublicKey.(*rsa.PublicKey); r.Kind == KindIDP && !ok {
		return nil, &Error{
			Name: NameCSRInvalid, Field: "csr.publicKey", Value: KeyText(csr.PublicKey),
			Message: "Okta also decrypts with an IdP's key, which takes RSA",
			Remedy:  "revoke the request and generate one with an RSA key of 2048 bits or more",
		}
	}
	return csr, nil
}

const leafKeyRemedy = "use RSA with 2048 bits or more, or ECDSA on P-256 or P-384"

func strongLeafKey(key crypto.PublicKey) bool {
	if k, ok := key.(*ecdsa.PublicKey); ok {
		return k.Curve == elliptic.P256() || k.Curve == elliptic.P384()
	}
	return strongCAKey(key)
}

// strongCAKey also takes P-521: a root above the issuing CA may well use it,
// and no partner has to understand it.
func strongCAKey(key crypto.PublicKey) bool {
	switch k := key.(type) {
	case *rsa.PublicKey:
		return k.N.BitLen() >= 2048
	case *ecdsa.PublicKey:
		return k.Curve.Params().BitSize >= 256
	}
	return false
}

// KeyText says what kind of key it is, such as RSA with 2048 bits.
func KeyText(key crypto.PublicKey) string {
	switch k := key.(type) {
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA with %d bits", k.N.BitLen())
	case *ecdsa.PublicKey:
		return "ECDSA on " + k.Curve.Params().Name
	}
	return fmt.Sprintf("%T", key)
}

func sameKey(a, b crypto.PublicKey) bool {
	k, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && k.Equal(b)
}
