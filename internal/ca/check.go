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
	"strconv"
	"strings"
	"time"
)

// Check refuses a certificate that Okta would reject, that a partner could not
// use, or that is not what r asked for. It stands between every provider and
// Okta; by is the CA that must have signed it. Its refusals, in this order, with
// the field where a name has several:
//
//   - Those of [Request.Validate]: r itself.
//   - Certificate.BadChain, certificate: there is none.
//   - Certificate.WrongOrder: the leaf is not the first certificate.
//   - Certificate.IsCA: CA:TRUE, or a CA's certificate instead of the leaf.
//   - Certificate.Mismatch, certificate.publicKey or certificate.subject: not the
//     CSR's. A CA may encode the subject's strings in its own way, but not
//     change them.
//   - Certificate.WeakSignature (less than SHA-256; a root's signature on itself
//     does not matter), Certificate.WeakKey (a CA's, less than RSA with 2048 bits
//     or P-256; the leaf's is the CSR's, see [ParseCSR]).
//   - Certificate.Expired, Certificate.NotYetValid (notBefore more than five
//     minutes ahead), certificate.notAfter and notBefore.
//   - Certificate.TooShort: 90 days or less are left of it, or it is valid for
//     90 days or less altogether: Okta does not say which of the two it counts.
//   - Certificate.TooLong, certificate.notAfter: it is valid a day or more longer
//     than validityDays (CAs backdate notBefore, AWS Private CA by an hour, or
//     round to whole days).
//   - Certificate.WrongUsage: a key usage extension that leaves out
//     digitalSignature or, for an IdP, keyEncipherment, or that has keyCertSign.
//     No such extension means no limit (RFC 5280, section 4.2.1.3).
//   - Certificate.WrongProfile: it lacks what r's profile asks for (an extension
//     that is there and says something else counts as lacking), or has a critical
//     extension that is unknown and not in the profile.
//   - Certificate.BadChain, chain[i]: a certificate that is listed twice.
//   - Certificate.BadChain, chain[i].basicConstraints or keyUsage: a certificate
//     of the chain cannot have signed another one.
//   - Certificate.BadChain, certificate.issuer: by did not sign it.
//   - Certificate.BadChain, chain: incomplete. The issuer that is missing is named.
//   - Certificate.BadChain, chain[i]: a certificate that did not sign the one
//     before it; Certificate.WrongOrder where only the order is wrong.
//   - Certificate.BadChain, chain.root: it leads to a root that is not by's.
//   - Certificate.Expired, Certificate.NotYetValid or Certificate.TooLong,
//     chain[i].notAfter or notBefore: a CA is over, has not begun, or ends
//     before the certificate. Roots count, because partners' software differs in
//     whether it looks at a root's dates.
//   - Certificate.BadChain, chain[i].pathlen or extensions, or
//     certificate.subjectAltName: a CA may not have this CA below it, has
//     critical extensions that crypto/x509 does not know, or may not sign for
//     these names.
//
// Where the chain ends below by's root, what by has above is checked as well,
// as configured[i]: it is what partners verify with.
func Check(c Certificate, r Request, by Issuer) error {
	csr, err := r.parse()
	if err != nil {
		return err
	}
	if c.Leaf == nil {
		return &Error{
			Name: NameBadChain, Field: "certificate", Message: "there is none",
			Remedy: "have the CA answer with the certificate and its chain",
		}
	}
	path := c.path(by.Chain())
	for _, check := range []func() *Error{
		func() *Error { return checkHolder(c, csr) },
		func() *Error { return checkStrength(c.Leaf, path) },
		func() *Error { return checkDates(c.Leaf, r) },
		func() *Error { return checkUsage(c.Leaf, r.Kind) },
		func() *Error { return checkProfile(c.Leaf, r.Profile) },
		func() *Error { return checkTwice(c) },
		func() *Error { return checkCAs(path) },
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
		return notIssued(c.Leaf, by.Chain())
	}
	for _, check := range []func() *Error{
		func() *Error { return checkOrder(c) },
		func() *Error { return checkRoot(c.Chain, by.Chain()) },
		func() *Error { return checkCADates(c.Leaf, path, r.Now) },
		func() *Error { return checkPath(c.Leaf, path, r) },
	} {
		if e := check(); e != nil {
			return e
		}
	}
	return nil
}

// link is a CA's certificate with the field that an error names it by.
type link struct {
	*x509.Certificate
	field string
}

// path is the chain that the CA answered with, and what is configured above it.
func (c Certificate) path(configured Chain) []link {
	var path []link
	for i, cert := range c.Chain {
		path = append(path, link{cert, chainField(i)})
	}
	if len(path) == 0 {
		return nil
	}
	for _, cert := range configured.Above(c.Chain[len(c.Chain)-1]) {
		path = append(path, link{cert, fmt.Sprintf("configured[%d]", slices.Index(configured, cert))})
	}
	return path
}

func checkHolder(c Certificate, csr *x509.CertificateRequest) *Error {
	sameKeys := sameKey(c.Leaf.PublicKey, csr.PublicKey)
	if !sameKeys {
		for i, cert := range c.Chain {
			if sameKey(cert.PublicKey, csr.PublicKey) {
				return &Error{
					Name: NameWrongOrder, Field: chainField(i), Value: cert.Subject.String(),
					Message: "the certificate for the request, but not the first of the list",
					Remedy:  "put it first, then the issuing CA, then what is above it",
				}
			}
		}
	}
	switch {
	case c.Leaf.IsCA && !sameKeys:
		return &Error{
			Name: NameIsCA, Field: "certificate", Value: c.Leaf.Subject.String(),
			Message: "a CA's own certificate (CA:TRUE); the one for the request is missing",
			Remedy:  "put the certificate that the CA made from the request first",
		}
	case c.Leaf.IsCA:
		return &Error{
			Name: NameIsCA, Field: "certificate.basicConstraints", Value: "CA:TRUE",
			Message: "the holder of this key could issue certificates",
			Remedy:  "sign with a profile for end entities (CA:FALSE)",
		}
	case !sameKeys:
		return &Error{
			Name: NameMismatch, Field: "certificate.publicKey", Value: KeyText(c.Leaf.PublicKey),
			Message: "not the public key of the request: this is another certificate, for " + printable(c.Leaf.Subject.String()),
			Remedy:  "have the request that is pending in Okta signed, and bring the certificate made from it",
		}
	case !sameName(c.Leaf.RawSubject, csr.RawSubject):
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
func checkStrength(leaf *x509.Certificate, path []link) *Error {
	signature := func(field string, cert *x509.Certificate) *Error {
		return &Error{
			Name: NameWeakSignature, Field: field + ".signatureAlgorithm",
			Value: cert.SignatureAlgorithm.String(), Message: "too weak, or too rare for partners",
			Remedy: "have the CA sign with SHA-256 or better, by RSA or ECDSA",
		}
	}
	if !strongSignature(leaf.SignatureAlgorithm) {
		return signature("certificate", leaf)
	}
	for _, cert := range path {
		if !strongCAKey(cert.PublicKey) {
			return &Error{
				Name: NameWeakKey, Field: cert.field + ".publicKey", Value: KeyText(cert.PublicKey),
				Message: "too weak", Remedy: "use a CA with RSA from 2048 bits or ECDSA from P-256",
			}
		}
		if !selfIssued(cert.Certificate) && !strongSignature(cert.SignatureAlgorithm) {
			return signature(cert.field, cert.Certificate)
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

// caFlaw says why cert cannot be the certificate of a CA that signs others; part
// is "" where it can. RFC 5280, section 4.2.1.3, demands keyUsage of every CA;
// where it is left out, crypto/x509 lets that pass, and so do we.
func caFlaw(cert *x509.Certificate) (part, message, remedy string) {
	switch {
	case !cert.BasicConstraintsValid || !cert.IsCA:
		return "basicConstraints", "not a CA's certificate", "list CA certificates (CA:TRUE) only"
	case cert.KeyUsage != 0 && cert.KeyUsage&x509.KeyUsageCertSign == 0:
		return "keyUsage", "not allowed to sign certificates, keyCertSign is missing", "use a CA certificate with keyCertSign"
	}
	return "", "", ""
}

func checkTwice(c Certificate) *Error {
	for i, cert := range c.Chain {
		if cert.Equal(c.Leaf) || c.Chain[:i].has(cert) {
			return &Error{
				Name: NameBadChain, Field: chainField(i), Value: cert.Subject.String(),
				Message: "it is listed twice", Remedy: "list each certificate once",
			}
		}
	}
	return nil
}

func checkCAs(path []link) *Error {
	for _, cert := range path {
		if part, message, remedy := caFlaw(cert.Certificate); part != "" {
			return &Error{
				Name: NameBadChain, Field: cert.field + "." + part, Value: cert.Subject.String(),
				Message: message, Remedy: remedy,
			}
		}
	}
	return nil
}

// notIssued tells a CA that is not configured from one that only has the name
// of one that is.
func notIssued(leaf *x509.Certificate, configured Chain) *Error {
	e := &Error{
		Name: NameBadChain, Field: "certificate.issuer", Value: leaf.Issuer.String(),
		Remedy: "have the request signed by a configured CA, or add this one's certificate to the configuration",
	}
	var names []string
	for _, cert := range configured {
		if bytes.Equal(leaf.RawIssuer, cert.RawSubject) {
			e.Message = "the name of a configured CA, but its key did not sign this certificate"
			return e
		}
		names = append(names, cert.Subject.String())
	}
	e.Message = "not a configured CA; configured: " + printable(strings.Join(names, "; "))
	return e
}

// incomplete names the CA whose certificate has to follow below's.
func incomplete(below *x509.Certificate) *Error {
	return &Error{
		Name: NameBadChain, Field: "chain", Value: "incomplete",
		Message: fmt.Sprintf("the certificate of the CA %s, which signed %s, is missing",
			printable(below.Issuer.String()), printable(below.Subject.String())),
		Remedy: "add it: partners cannot verify the certificate without it",
	}
}

// checkOrder wants each certificate to be followed by the one that signed it,
// and tells a chain that is only out of order from one that lacks a certificate
// and one that has too many.
func checkOrder(c Certificate) *Error {
	path := append(Chain{c.Leaf}, c.Chain...)
	if len(path) == 1 {
		return incomplete(c.Leaf)
	}
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
	at := c.Leaf
	for {
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
	named := slices.ContainsFunc(c.Chain, func(issuer *x509.Certificate) bool {
		return bytes.Equal(at.RawIssuer, issuer.RawSubject)
	})
	switch {
	case len(rest) == 0:
		e.Name = NameWrongOrder
	case !named:
		return incomplete(at)
	}
	return e
}

// checkRoot wants the top of the chain to be a configured certificate, or to be
// signed by one. Who has the issuing CA's key could also have its certificate
// signed by another root; partners must not come to trust that one.
func checkRoot(chain, configured Chain) *Error {
	top := chain[len(chain)-1]
	signs := func(anchor *x509.Certificate) bool { return signedBy(top, anchor) == nil }
	switch {
	case configured.has(top) || slices.ContainsFunc(configured, signs):
		return nil
	case selfIssued(top):
		return &Error{
			Name: NameBadChain, Field: "chain.root", Value: top.Subject.String(),
			Message: "not a root of the configured CA",
			Remedy:  "leave it out, or configure it if the CA really is below it",
		}
	}
	return incomplete(top)
}

func checkCADates(leaf *x509.Certificate, path []link, now time.Time) *Error {
	const renew = "renew the CA's certificate, and use and configure the new one"
	// Within the skew a certificate may start a little later than now, and so
	// may a CA that is brand new.
	if leaf.NotBefore.After(now) {
		now = leaf.NotBefore
	}
	for _, cert := range path {
		subject := "the CA " + printable(cert.Subject.String())
		switch {
		case now.Before(cert.NotBefore):
			return &Error{
				Name: NameNotYetValid, Field: cert.field + ".notBefore", Value: stamp(cert.NotBefore),
				Message: subject + " has not begun at " + stamp(now), Remedy: "wait until then, or " + renew,
			}
		case now.After(cert.NotAfter):
			return &Error{
				Name: NameExpired, Field: cert.field + ".notAfter", Value: stamp(cert.NotAfter),
				Message: subject + " is over at " + stamp(now), Remedy: renew,
			}
		case leaf.NotAfter.After(cert.NotAfter):
			return &Error{
				Name: NameTooLong, Field: cert.field + ".notAfter", Value: stamp(cert.NotAfter),
				Message: subject + " ends before the certificate, which ends at " + stamp(leaf.NotAfter),
				Remedy:  "have the request signed for less time, or " + renew,
			}
		}
	}
	return nil
}

// checkPath verifies leaf as a partner would that trusts the top of path. What
// the profile asked for is known by now, though crypto/x509 may not know it.
func checkPath(leaf *x509.Certificate, path []link, r Request) *Error {
	bad := func(field, value, message, remedy string) *Error {
		return &Error{Name: NameBadChain, Field: field, Value: value, Message: message, Remedy: remedy}
	}
	opts := x509.VerifyOptions{
		Roots:         x509.NewCertPool(),
		Intermediates: x509.NewCertPool(),
		CurrentTime:   r.Now,
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	}
	if leaf.NotBefore.After(r.Now) {
		opts.CurrentTime = leaf.NotBefore
	}
	for i, cert := range path {
		if tooDeep(cert.Certificate, i) {
			return bad(cert.field+".pathlen", strconv.Itoa(cert.MaxPathLen),
				fmt.Sprintf("%s allows no more CAs than that below it, and there are %d", printable(cert.Subject.String()), i),
				"issue from a CA that is allowed to have certificates below it")
		}
		if unknown := cert.UnhandledCriticalExtensions; len(unknown) > 0 {
			return bad(cert.field+".extensions["+unknown[0].String()+"]", "critical",
				"not known here, and partners must refuse what they do not know", "issue from a CA without it")
		}
		pool := opts.Intermediates
		if i == len(path)-1 {
			pool = opts.Roots
		}
		pool.AddCert(cert.Certificate)
	}
	known := *leaf
	known.UnhandledCriticalExtensions = unknownCritical(leaf, r.Profile)
	_, err := known.Verify(opts)
	if err == nil {
		return nil
	}
	e := bad("chain", fmt.Sprintf("%d certificates", len(path)), "the certificate does not verify against it",
		"mend the CA's certificates, or what it may issue")
	var invalid x509.CertificateInvalidError
	if errors.As(err, &invalid) && invalid.Reason == x509.CANotAuthorizedForThisName {
		e = bad("certificate.subjectAltName", "", "the CA may not sign for it (nameConstraints)",
			"leave the name out of the policy, or sign with a CA that may")
	}
	e.Err = err
	return e
}

// tooDeep tells that cert does not allow as many CAs as there are below it.
func tooDeep(cert *x509.Certificate, below int) bool {
	limited := cert.MaxPathLen > 0 || cert.MaxPathLenZero
	return limited && below > cert.MaxPathLen
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
		return bad("key", KeyText(key), err.Error(), leafKeyRemedy, nil)
	}
	if err := c.CheckCAs(); err != nil {
		return err
	}
	if c[0].KeyUsage == 0 {
		return bad("chain[0].keyUsage", "missing", "an issuing CA has to say keyCertSign (RFC 5280, section 4.2.1.3)",
			"configure a CA certificate with keyCertSign", nil)
	}
	for i, cert := range c {
		field, value := chainField(i), cert.Subject.String()
		// Below chain[i] stand i CAs.
		if tooDeep(cert, i) {
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

// CheckCAs refuses, as CA.Misconfigured, an empty list, and certificates that
// are no CA's or have a weak key. Their order and dates do not matter to it.
func (c Chain) CheckCAs() error {
	if len(c) == 0 {
		return &Error{
			Name: NameMisconfigured, Field: "chain", Value: "empty",
			Remedy: "configure the issuing CA's certificate, then up to the root",
		}
	}
	for i, cert := range c {
		part, message, remedy := caFlaw(cert)
		if part == "" && !strongCAKey(cert.PublicKey) {
			part, message = "publicKey", "weak key, "+KeyText(cert.PublicKey)
			remedy = "use a CA with RSA from 2048 bits or ECDSA from P-256"
		}
		if part != "" {
			return &Error{
				Name: NameMisconfigured, Field: chainField(i) + "." + part, Value: cert.Subject.String(),
				Message: message, Remedy: remedy,
			}
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
	if KeyText(key) == "ECDSA on P-384" {
		return x509.ECDSAWithSHA384, nil
	}
	return x509.ECDSAWithSHA256, nil
}

func chainField(i int) string { return fmt.Sprintf("chain[%d]", i) }

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func days(d time.Duration) string { return fmt.Sprintf("%.2f days", d.Hours()/24) }
