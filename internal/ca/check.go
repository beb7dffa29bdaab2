package ca

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Check refuses a certificate that Okta would reject, that a partner could not
// use, or that is not what r asked for. It stands between every provider and
// Okta; by is the CA that must have signed it. Its refusals, in this order:
//
//   - CSR.Invalid, and TooShort or TooLong for validityDays: r itself.
//   - Certificate.WrongOrder: the leaf is not the first certificate.
//   - Certificate.Mismatch: public key or subject is not the CSR's. A CA may
//     encode the subject's strings in its own way, but not change them.
//   - Certificate.IsCA, Certificate.WeakKey (a CA's, less than RSA with 2048 bits
//     or P-256; the leaf's is the CSR's, see [ParseCSR]),
//     Certificate.WeakSignature (less than SHA-256; a root's signature on itself
//     does not matter).
//   - Certificate.Expired, Certificate.NotYetValid (notBefore more than five
//     minutes ahead).
//   - Certificate.TooShort: 90 days or less are left of it, or it is valid for
//     90 days or less altogether: Okta does not say which of the two it counts.
//   - Certificate.TooLong: it is valid a day or more longer than validityDays
//     (CAs backdate notBefore, AWS Private CA by an hour, or round to whole
//     days), or longer than a CA of its chain.
//   - Certificate.WrongUsage: a key usage extension that leaves out
//     digitalSignature or, for an IdP, keyEncipherment, or that has keyCertSign.
//     No such extension means no limit (RFC 5280, section 4.2.1.3).
//   - Certificate.WrongOrder, Certificate.BadChain: the chain is empty, leads
//     elsewhere, does not verify, or by did not issue the leaf.
func Check(c Certificate, r Request, by Issuer) error {
	csr, err := r.csr()
	if err != nil {
		return err
	}
	if c.Leaf == nil {
		return &Error{
			Name: NameBadChain, Field: "certificate", Message: "there is none",
			Remedy: "have the CA answer with the certificate and its chain",
		}
	}
	for _, check := range []func() *Error{
		func() *Error { return checkHolder(c, csr) },
		func() *Error { return checkStrength(c) },
		func() *Error { return checkDates(c.Leaf, r) },
		func() *Error { return checkUsage(c.Leaf, r.Kind) },
		func() *Error { return checkChain(c, r.Now) },
	} {
		if e := check(); e != nil {
			return e
		}
	}
	issued, err := by.Issued(c.Leaf)
	if err != nil {
		return err
	}
	if !issued {
		return &Error{
			Name: NameBadChain, Field: "certificate.issuer", Value: c.Leaf.Issuer.String(),
			Message: "not signed by the configured CA",
			Remedy:  "sign with that CA, or configure the one that signs",
		}
	}
	return nil
}

func checkHolder(c Certificate, csr *x509.CertificateRequest) *Error {
	if !sameKey(c.Leaf.PublicKey, csr.PublicKey) {
		for i, cert := range c.Chain {
			if sameKey(cert.PublicKey, csr.PublicKey) {
				return &Error{
					Name: NameWrongOrder, Field: chainField(i), Value: cert.Subject.String(),
					Message: "the certificate for the request, but not the first of the list",
					Remedy:  "put it first, then the issuing CA, then what is above it",
				}
			}
		}
		return &Error{
			Name: NameMismatch, Field: "certificate.publicKey", Value: keyText(c.Leaf.PublicKey),
			Message: "not the public key of the request",
			Remedy:  "sign the request that is pending in Okta",
		}
	}
	if c.Leaf.IsCA {
		return &Error{
			Name: NameIsCA, Field: "certificate.basicConstraints", Value: "CA:TRUE",
			Message: "the holder of this key could issue certificates",
			Remedy:  "sign with a profile for end entities (CA:FALSE)",
		}
	}
	if !sameName(c.Leaf.RawSubject, csr.RawSubject) {
		return &Error{
			Name: NameMismatch, Field: "certificate.subject", Value: c.Leaf.Subject.String(),
			Message: "the request says " + printable(csr.Subject.String()),
			Remedy:  "have the CA take over the request's subject",
		}
	}
	return nil
}

// sameName compares two names by their text, in order, so that UTF8String and
// PrintableString of the same text are equal.
func sameName(a, b []byte) bool {
	if bytes.Equal(a, b) {
		return true
	}
	var x, y pkix.RDNSequence
	if _, err := asn1.Unmarshal(a, &x); err != nil {
		return false
	}
	if _, err := asn1.Unmarshal(b, &y); err != nil {
		return false
	}
	return x.String() == y.String()
}

// checkStrength leaves the leaf's key out: it is the CSR's by now, and ParseCSR
// refuses weak ones.
func checkStrength(c Certificate) *Error {
	const signatureRemedy = "have the CA sign with SHA-256 or better, by RSA or ECDSA"
	if !strongSignature(c.Leaf.SignatureAlgorithm) {
		return &Error{
			Name: NameWeakSignature, Field: "certificate.signatureAlgorithm",
			Value: c.Leaf.SignatureAlgorithm.String(), Message: "too weak, or too rare for partners",
			Remedy: signatureRemedy,
		}
	}
	for i, cert := range c.Chain {
		if !strongCAKey(cert.PublicKey) {
			return &Error{
				Name: NameWeakKey, Field: chainField(i) + ".publicKey", Value: keyText(cert.PublicKey),
				Message: "too weak", Remedy: "use a CA with RSA from 2048 bits or ECDSA from P-256",
			}
		}
		selfIssued := bytes.Equal(cert.RawIssuer, cert.RawSubject)
		if !selfIssued && !strongSignature(cert.SignatureAlgorithm) {
			return &Error{
				Name: NameWeakSignature, Field: chainField(i) + ".signatureAlgorithm",
				Value: cert.SignatureAlgorithm.String(), Message: "too weak, or too rare for partners",
				Remedy: signatureRemedy,
			}
		}
	}
	return nil
}

func strongSignature(a x509.SignatureAlgorithm) bool {
	switch a {
	case x509.SHA256WithRSA, x509.SHA384WithRSA, x509.SHA512WithRSA,
		x509.SHA256WithRSAPSS, x509.SHA384WithRSAPSS, x509.SHA512WithRSAPSS,
		x509.ECDSAWithSHA256, x509.ECDSAWithSHA384, x509.ECDSAWithSHA512:
		return true
	}
	return false
}

func checkDates(leaf *x509.Certificate, r Request) *Error {
	if r.Now.After(leaf.NotAfter) {
		return &Error{
			Name: NameExpired, Field: "certificate.notAfter", Value: stamp(leaf.NotAfter),
			Message: "it is over at " + stamp(r.Now), Remedy: "have the request signed again",
		}
	}
	if leaf.NotBefore.After(r.Now.Add(skew)) {
		return &Error{
			Name: NameNotYetValid, Field: "certificate.notBefore", Value: stamp(leaf.NotBefore),
			Message: "not reached at " + stamp(r.Now),
			Remedy:  "wait until then, or set the CA's clock right and sign again",
		}
	}
	from := leaf.NotBefore
	if r.Now.After(from) {
		from = r.Now
	}
	if left := leaf.NotAfter.Sub(from); left <= MinValidity {
		return &Error{
			Name: NameTooShort, Field: "certificate.notAfter", Value: stamp(leaf.NotAfter),
			Message: fmt.Sprintf("%s from %s; Okta rejects 90 days or less", days(left), stamp(from)),
			Remedy:  fmt.Sprintf("have the request signed for %d days", r.ValidityDays),
		}
	}
	// Compared as dates, because a Duration ends at 292 years. A whole day too
	// many is refused, less is backdating or rounding.
	if !leaf.NotAfter.Before(leaf.NotBefore.AddDate(0, 0, r.ValidityDays+1)) {
		return &Error{
			Name: NameTooLong, Field: "certificate.notAfter", Value: stamp(leaf.NotAfter),
			Message: fmt.Sprintf("more than the policy's validityDays, %d, after its notBefore, %s",
				r.ValidityDays, stamp(leaf.NotBefore)),
			Remedy: "have the request signed for as long as the policy says, or raise validityDays",
		}
	}
	return nil
}

var oidKeyUsage = asn1.ObjectIdentifier{2, 5, 29, 15}

func checkUsage(leaf *x509.Certificate, kind string) *Error {
	limited := slices.ContainsFunc(leaf.Extensions, func(e pkix.Extension) bool { return e.Id.Equal(oidKeyUsage) })
	if !limited {
		return nil
	}
	wrong := func(message string) *Error {
		return &Error{
			Name: NameWrongUsage, Field: "certificate.keyUsage", Value: usageText(leaf.KeyUsage),
			Message: message, Remedy: "have the CA set " + usageText(leafUsage(kind)),
		}
	}
	switch {
	case leaf.KeyUsage&x509.KeyUsageDigitalSignature == 0:
		return wrong("Okta signs with this key")
	case kind == KindIDP && leaf.KeyUsage&x509.KeyUsageKeyEncipherment == 0:
		return wrong("Okta also decrypts with an IdP's key")
	case leaf.KeyUsage&x509.KeyUsageCertSign != 0:
		return wrong("keyCertSign is for CAs")
	}
	return nil
}

// leafUsage is what Okta does with the key of a target.
func leafUsage(kind string) x509.KeyUsage {
	if kind == KindIDP {
		return x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment
	}
	return x509.KeyUsageDigitalSignature
}

func usageText(u x509.KeyUsage) string {
	if u == 0 {
		return "empty"
	}
	names := []string{
		"digitalSignature", "contentCommitment", "keyEncipherment", "dataEncipherment",
		"keyAgreement", "keyCertSign", "cRLSign", "encipherOnly", "decipherOnly",
	}
	var text string
	for bit, name := range names {
		if u&(1<<bit) == 0 {
			continue
		}
		if text != "" {
			text += "+"
		}
		text += name
	}
	return text
}

func checkChain(c Certificate, now time.Time) *Error {
	if len(c.Chain) == 0 {
		return &Error{
			Name: NameBadChain, Field: "chain", Value: "empty",
			Message: "partners cannot verify the certificate without its CA",
			Remedy:  "add the issuing CA's certificate, and what is above it",
		}
	}
	if e := checkOrder(c); e != nil {
		return e
	}
	for i, cert := range c.Chain {
		if c.Leaf.NotAfter.After(cert.NotAfter) {
			return &Error{
				Name: NameTooLong, Field: "certificate.notAfter", Value: stamp(c.Leaf.NotAfter),
				Message: fmt.Sprintf("after the end of its CA, %s, which is %s", chainField(i), stamp(cert.NotAfter)),
				Remedy:  "have the request signed for less time, or renew the CA first",
			}
		}
	}
	opts := x509.VerifyOptions{
		Roots:         x509.NewCertPool(),
		Intermediates: x509.NewCertPool(),
		CurrentTime:   now,
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	}
	// Within the skew a certificate may start a little later than now.
	if c.Leaf.NotBefore.After(now) {
		opts.CurrentTime = c.Leaf.NotBefore
	}
	top := len(c.Chain) - 1
	opts.Roots.AddCert(c.Chain[top])
	for _, cert := range c.Chain[:top] {
		opts.Intermediates.AddCert(cert)
	}
	if _, err := c.Leaf.Verify(opts); err != nil {
		return &Error{
			Name: NameBadChain, Field: "chain", Value: fmt.Sprintf("%d certificates", len(c.Chain)),
			Message: "the certificate does not verify against it", Err: err,
			Remedy: "mend the CA's certificates, or what it may issue",
		}
	}
	return nil
}

// checkOrder wants each certificate to be followed by the one that signed it,
// and tells a chain that is only out of order from one that leads elsewhere.
func checkOrder(c Certificate) *Error {
	path := append(Chain{c.Leaf}, c.Chain...)
	broken, cause := -1, error(nil)
	for i := range len(path) - 1 {
		if cause = signedBy(path[i], path[i+1]); cause != nil {
			broken = i
			break
		}
	}
	if broken < 0 {
		return nil
	}
	rest := slices.Clone(c.Chain)
	for at := c.Leaf; ; {
		next := slices.IndexFunc(rest, func(issuer *x509.Certificate) bool { return signedBy(at, issuer) == nil })
		if next < 0 {
			break
		}
		at = rest[next]
		rest = slices.Delete(rest, next, next+1)
	}
	e := &Error{
		Name: NameBadChain, Field: chainField(broken), Value: path[broken+1].Subject.String(),
		Message: "it did not sign what stands before it, " + printable(path[broken].Subject.String()),
		Err:     cause,
		Remedy:  "list the issuing CA, then the CA that signed that one, and so on, and nothing else",
	}
	if len(rest) == 0 {
		e.Name = NameWrongOrder
	}
	return e
}

// CheckIssuer refuses, as CA.Misconfigured, a CA that cannot sign for partners
// whatever the time: an empty or broken chain, a first certificate that is not
// a CA's (basicConstraints, keyCertSign, pathlen of what is above it) or that
// does not belong to key, the public half of the CA's key.
func (c Chain) CheckIssuer(key crypto.PublicKey) error {
	bad := func(field, value, message, remedy string, err error) error {
		return &Error{Name: NameMisconfigured, Field: field, Value: value, Message: message, Remedy: remedy, Err: err}
	}
	if len(c) == 0 {
		return bad("chain", "empty", "", "configure the issuing CA's certificate, then up to the root", nil)
	}
	if !sameKey(c[0].PublicKey, key) {
		return bad("chain[0]", c[0].Subject.String(), "not the certificate of the CA's key",
			"put the issuing CA's certificate first, and configure the key that belongs to it", nil)
	}
	if _, err := signatureAlgorithm(key); err != nil {
		return bad("key", keyText(key), err.Error(), leafKeyRemedy, nil)
	}
	for i, cert := range c {
		field, value := chainField(i), cert.Subject.String()
		if !cert.BasicConstraintsValid || !cert.IsCA {
			return bad(field, value, "not a CA's certificate (basicConstraints)",
				"configure CA certificates only", nil)
		}
		// RFC 5280, section 4.2.1.3, demands the extension of every CA. Where
		// it is left out higher up, crypto/x509 lets that pass, and so do we.
		if cert.KeyUsage&x509.KeyUsageCertSign == 0 && (i == 0 || cert.KeyUsage != 0) {
			return bad(field, value, "not allowed to sign certificates (keyUsage without keyCertSign)",
				"configure a CA certificate with keyCertSign", nil)
		}
		if !strongCAKey(cert.PublicKey) {
			return bad(field, value, "weak key, "+keyText(cert.PublicKey),
				"use a CA with RSA from 2048 bits or ECDSA from P-256", nil)
		}
		// Below chain[i] stand i CAs.
		if limited := cert.MaxPathLen > 0 || cert.MaxPathLenZero; limited && i > cert.MaxPathLen {
			return bad(field, value, fmt.Sprintf("its pathlen allows %d CAs below it, and there are %d", cert.MaxPathLen, i),
				"issue from a CA that is allowed to have certificates below it", nil)
		}
		if i+1 == len(c) {
			break
		}
		if err := signedBy(cert, c[i+1]); err != nil {
			return bad(field, value, "not signed by the next certificate of the chain",
				"list the issuing CA, then the CA that signed that one, and so on", err)
		}
	}
	return nil
}

// signatureAlgorithm is how a CA with this key signs.
func signatureAlgorithm(key crypto.PublicKey) (x509.SignatureAlgorithm, error) {
	if !strongLeafKey(key) {
		return 0, errors.New("no key that partners' software can be expected to verify")
	}
	if _, ok := key.(*rsa.PublicKey); ok {
		return x509.SHA256WithRSA, nil
	}
	if keyText(key) == "ECDSA on P-384" {
		return x509.ECDSAWithSHA384, nil
	}
	return x509.ECDSAWithSHA256, nil
}

func chainField(i int) string { return fmt.Sprintf("chain[%d]", i) }

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func days(d time.Duration) string { return fmt.Sprintf("%.2f days", d.Hours()/24) }
