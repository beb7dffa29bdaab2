// Package manual is the CA that a person asks: whoever may sign for the company
// takes the request to it, in whatever way the company has, and brings back the
// certificate. What they bring is read as it comes, see [Read].
package manual

import (
	"context"
	"crypto/x509"
	"errors"
	"slices"

	"keyturn/internal/ca"
)

// Authority knows the certificates of the CAs that may sign, and none of their
// keys. It is safe for concurrent use.
type Authority struct {
	chain ca.Chain
}

var _ ca.Authority = (*Authority)(nil)

// New reads the certificates of the CAs that may sign: PEM, one chain or several
// one after the other, each from the issuing CA upwards. Roots may be left out,
// issuing CAs may not: a certificate whose issuer is not in the list is refused,
// and would not be recognised later. A CA that has signed once stays in the list
// as long as its certificates are in use.
//
// Every error is CA.Misconfigured. Dates are not looked at here, but for each
// certificate, by [ca.Check].
func New(chainPEM []byte) (*Authority, error) {
	chain, err := ca.ParseChain(chainPEM)
	if err != nil {
		var cause *ca.Error
		if !errors.As(err, &cause) {
			return nil, err
		}
		return nil, &ca.Error{
			Name: ca.NameMisconfigured, Field: cause.Field, Message: cause.Message, Remedy: cause.Remedy, Err: cause.Err,
		}
	}
	if err := chain.CheckCAs(); err != nil {
		return nil, err
	}
	return &Authority{chain: chain}, nil
}

// Sign asks for a person, by a [*ca.Pending], as long as r has no Answer. Then it
// reads the answer and completes its chain, where a part is missing, from what is
// configured. What else may be wrong with it is for [ca.Check] to find.
func (a *Authority) Sign(_ context.Context, r ca.Request) (ca.Certificate, error) {
	if err := r.Validate(); err != nil {
		return ca.Certificate{}, err
	}
	if len(r.Answer) == 0 {
		return ca.Certificate{}, &ca.Pending{Person: true}
	}
	c, err := Read(r.Answer)
	if err != nil {
		return ca.Certificate{}, err
	}
	return a.complete(c), nil
}

// complete gives c the configured chain where it has only some of it, or none;
// adds what is configured above the last certificate of another one; and leaves
// out a root that is above the configured ones, which partners need not trust.
func (a *Authority) complete(c ca.Certificate) ca.Certificate {
	if above := a.chain.Above(c.Leaf); isPart(c.Chain, above) {
		c.Chain = above
		return c
	}
	n := len(c.Chain)
	if n == 0 {
		return c
	}
	top := c.Chain[n-1]
	if n > 1 && !a.configured(top) && a.configured(c.Chain[n-2]) && c.Chain[n-2].CheckSignatureFrom(top) == nil {
		c.Chain = c.Chain[:n-1]
		return c
	}
	// In a wrong order what is above the last one may stand before it.
	given := append(ca.Chain{c.Leaf}, c.Chain...)
	above := a.chain.Above(top)
	if !slices.ContainsFunc(above, func(cert *x509.Certificate) bool { return slices.ContainsFunc(given, cert.Equal) }) {
		c.Chain = append(slices.Clone(c.Chain), above...)
	}
	return c
}

func (a *Authority) configured(cert *x509.Certificate) bool {
	return slices.ContainsFunc(a.chain, cert.Equal)
}

// isPart tells whether some certificates of whole, in its order, are part.
func isPart(part, whole ca.Chain) bool {
	for _, cert := range whole {
		if len(part) > 0 && part[0].Equal(cert) {
			part = part[1:]
		}
	}
	return len(part) == 0
}

// Issued reports whether one of the configured CAs signed cert; see
// [ca.Chain.Issued].
func (a *Authority) Issued(cert *x509.Certificate) (bool, error) {
	for i := range a.chain {
		if issued, err := a.chain[i:].Issued(cert); issued || err != nil {
			return issued, err
		}
	}
	return false, nil
}

// Chain returns the configured certificates in their order.
func (a *Authority) Chain() ca.Chain { return slices.Clone(a.chain) }
