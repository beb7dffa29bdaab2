package kms

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"slices"

	"keyturn/internal/ca"
)

// Authority is a CA whose key is in KMS. It is safe for concurrent use if its
// source of randomness is.
type Authority struct {
	signer *Signer
	chain  ca.Chain
	random io.Reader
}

var _ ca.Authority = (*Authority)(nil)

// New reads the public key of keyARN as [NewSigner] does, and checks that the
// chain belongs to it: PEM, the issuing CA's certificate first and then up to
// the root, which may be left out. random makes serial numbers. Dates are not
// looked at here but at each signature.
//
// Errors are [*ca.Error]: CA.Misconfigured, or CA.Unavailable where KMS may
// answer later.
func New(ctx context.Context, client Client, keyARN string, chainPEM []byte, random io.Reader) (*Authority, error) {
	chain, err := ca.ParseChain(chainPEM)
	if err != nil {
		var cause *ca.Error
		if !errors.As(err, &cause) {
			return nil, err
		}
		named := *cause
		named.Name = ca.NameMisconfigured
		return nil, &named
	}
	signer, err := NewSigner(ctx, client, keyARN)
	if err != nil {
		return nil, err
	}
	if err := chain.CheckIssuer(signer.Public()); err != nil {
		return nil, err
	}
	return &Authority{signer: signer, chain: chain, random: random}, nil
}

// Sign issues a certificate as [ca.Issue] describes, with one call of kms:Sign.
// It answers at once, and ignores the request's Reference.
func (a *Authority) Sign(ctx context.Context, r ca.Request) (ca.Certificate, error) {
	return ca.Issue(a.signer.With(ctx), a.chain, a.random, r)
}

// Issued reports whether the issuing CA signed cert; see [ca.Chain.Issued].
func (a *Authority) Issued(cert *x509.Certificate) (bool, error) { return a.chain.Issued(cert) }

// Chain returns the CA's certificates.
func (a *Authority) Chain() ca.Chain { return slices.Clone(a.chain) }
