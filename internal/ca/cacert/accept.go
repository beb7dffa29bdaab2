package cacert

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"slices"
	"strings"
	"time"

	"keyturn/internal/ca"
)

// Answer is what became of the root's answer to a request.
type Answer struct {
	Chain    ca.Chain // the CA's certificate first, then up to the root as far as it was there
	Mended   []string // what was put right
	Warnings []string // what the root has left out, or may have
}

// Accept takes what the root has answered to request, in any order, and puts it
// in order. What it accepts passes [ca.Chain.CheckIssuer], and [ca.Check] takes
// what is issued by it now.
//
// Refused are, as Certificate.Mismatch, an answer for another key; as
// Certificate.BadChain, one whose issuer's certificate is missing, or that does
// not verify; as CA.Misconfigured, a certificate that is not a CA's, has no
// keyCertSign, or stands below one whose path length does not allow it; as
// Certificate.Expired, NotYetValid and TooShort (90 days or less) the dates of
// any certificate of the chain.
func Accept(certs []*x509.Certificate, request *x509.CertificateRequest, now time.Time) (Answer, error) {
	var a Answer
	ours := slices.IndexFunc(certs, func(c *x509.Certificate) bool { return sameKey(c.PublicKey, request.PublicKey) })
	if ours < 0 {
		return Answer{}, &ca.Error{
			Name: ca.NameMismatch, Field: "answer", Value: names(certs),
			Message: "none of it is for the public key of the request",
			Remedy:  "bring the certificate that the root made from this request, " + request.Subject.String(),
		}
	}
	cert := certs[ours]
	if err := checkCA(cert); err != nil {
		return Answer{}, err
	}
	a.Chain = ca.Chain{cert}
	if !selfIssued(cert) {
		above := ca.Chain(certs).Above(cert)
		if len(above) == 0 {
			return Answer{}, noIssuer(cert, certs)
		}
		a.Chain = append(a.Chain, above...)
	}
	if err := a.Chain.CheckIssuer(request.PublicKey); err != nil {
		return Answer{}, err
	}
	if err := checkDates(a.Chain, now); err != nil {
		return Answer{}, err
	}
	if err := verify(a.Chain, now); err != nil {
		return Answer{}, err
	}

	used := slices.DeleteFunc(slices.Clone(certs), func(c *x509.Certificate) bool { return !slices.ContainsFunc(a.Chain, c.Equal) })
	if !slices.EqualFunc(used, a.Chain, (*x509.Certificate).Equal) {
		a.Mended = append(a.Mended, "the answer's certificates were not in order: now each is there once, followed by the one that signed it")
	}
	for _, c := range certs {
		if !slices.ContainsFunc(a.Chain, c.Equal) {
			a.Mended = append(a.Mended, "left out, since it is not above the CA: "+c.Subject.String())
		}
	}
	a.Warnings = warnings(a.Chain, request)
	return a, nil
}

func names(certs []*x509.Certificate) string {
	var list []string
	for _, c := range certs {
		list = append(list, c.Subject.String())
	}
	return strings.Join(list, "; ")
}

// checkCA says better than CheckIssuer what has gone wrong where a root signs a
// request as it would a server's.
func checkCA(c *x509.Certificate) error {
	const remedy = "have the request signed as a subordinate CA's: basicConstraints CA:TRUE with pathlen 0, keyUsage keyCertSign and cRLSign, nameConstraints as in the request (OpenSSL takes them over with -copy_extensions copy)"
	switch {
	case !c.BasicConstraintsValid || !c.IsCA:
		return wrong("answer", c.Subject.String(), "not a CA's certificate (basicConstraints)", remedy)
	case c.KeyUsage&x509.KeyUsageCertSign == 0:
		return wrong("answer", c.Subject.String(), "not allowed to sign certificates (keyUsage without keyCertSign)", remedy)
	}
	return nil
}

func noIssuer(c *x509.Certificate, certs []*x509.Certificate) error {
	e := &ca.Error{
		Name: ca.NameBadChain, Field: "answer.issuer", Value: c.Issuer.String(),
		Message: "its certificate is missing, so that the signature cannot be checked",
		Remedy:  "give the file with the root's certificate too, and those of CAs in between",
	}
	for _, issuer := range certs {
		if bytes.Equal(issuer.RawSubject, c.RawIssuer) {
			e.Message, e.Err = "its certificate is there, but did not sign this one", c.CheckSignatureFrom(issuer)
			e.Remedy = "give the certificate of the CA that signed the request; a root that was renewed with another key has more than one"
		}
	}
	return e
}

func checkDates(chain ca.Chain, now time.Time) error {
	for _, c := range chain {
		e := &ca.Error{Field: "notAfter", Value: stamp(c.NotAfter)}
		switch left := c.NotAfter.Sub(now); {
		case now.Before(c.NotBefore):
			e.Name, e.Field, e.Value = ca.NameNotYetValid, "notBefore", stamp(c.NotBefore)
			e.Message, e.Remedy = "not reached yet: "+c.Subject.String(), "wait until then, or have it signed again by a clock that is right"
		case left < 0:
			e.Name = ca.NameExpired
			e.Message, e.Remedy = "it is over: "+c.Subject.String(), "have the request signed by a CA whose certificates are valid"
		case left <= ca.MinValidity:
			e.Name = ca.NameTooShort
			e.Message = fmt.Sprintf("%d days are left of %s; Okta rejects certificates of 90 days or less, and none outlives its CA", int(left.Hours()/24), c.Subject)
			e.Remedy = "have the request signed for longer, such as 10 years, by a CA that lasts longer"
		default:
			continue
		}
		return e
	}
	return nil
}

// verify finds what makes every certificate under this chain worthless: a
// critical extension that nobody knows, constraints of what stands above.
func verify(chain ca.Chain, now time.Time) error {
	options := x509.VerifyOptions{
		Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), CurrentTime: now,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	}
	options.Roots.AddCert(chain[len(chain)-1])
	for _, c := range chain {
		options.Intermediates.AddCert(c)
	}
	if _, err := chain[0].Verify(options); err != nil {
		return &ca.Error{
			Name: ca.NameBadChain, Field: "answer", Value: chain[0].Subject.String(),
			Message: "it does not verify, nor will what it signs", Err: err,
			Remedy: "have the root leave out what partners' software does not know",
		}
	}
	return nil
}

func warnings(chain ca.Chain, request *x509.CertificateRequest) []string {
	var list []string
	add := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	cert, top := chain[0], chain[len(chain)-1]
	if !bytes.Equal(cert.RawSubject, request.RawSubject) {
		add("the root has changed the subject: it was %s, and is %s", request.Subject, cert.Subject)
	}
	switch {
	case cert.MaxPathLen > 0:
		add("its path length is %d, not 0: it could sign further CAs, %d deep", cert.MaxPathLen, cert.MaxPathLen)
	case cert.MaxPathLen < 0:
		add("it has no path length: it could sign further CAs, any number deep")
	}
	asked, got := nameConstraints(request.Extensions), nameConstraints(cert.Extensions)
	switch {
	case asked != nil && got == nil:
		add("the root has left out the name constraints: it could sign for any host and mail address")
	case asked != nil && !bytes.Equal(asked, got):
		add("the root has set other name constraints than the request's")
	}
	if !selfIssued(top) {
		add("the chain ends below the root, %s: partners that check the chain need its certificate from elsewhere", top.Issuer)
	}
	return list
}

func nameConstraints(list []pkix.Extension) []byte {
	for _, e := range list {
		if e.Id.Equal(oidNameConstraints) {
			return e.Value
		}
	}
	return nil
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
