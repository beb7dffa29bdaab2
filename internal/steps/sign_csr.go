package steps

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"time"

	"keyturn/internal/ca"
	"keyturn/internal/rotation"
)

// Authority is the configured CA: it signs, and knows what it has signed.
type Authority interface {
	ca.Authority
	// Chain is the issuing CA's certificate first, then those above it.
	Chain() ca.Chain
}

// SignCSR is the function sign-csr (guide, step 3). It is the only one that
// may use the CA, and calls nothing of Okta.
type SignCSR struct {
	// CA is read on first use, so that a failure is an answer.
	CA  func(ctx context.Context) (Authority, error)
	Now func() time.Time
}

// Run has the CA sign the CSR and checks the certificate before anybody
// publishes it. Asked about keys, it says instead which of the unused ones the
// CA has issued, the first in the list that it has, and whether the active one. Running it again signs again,
// with another serial number; only what is published counts.
func (s SignCSR) Run(ctx context.Context, in rotation.SignCSRInput) (rotation.SignCSROutput, error) {
	none := rotation.SignCSROutput{}
	if err := in.Target.Validate(); err != nil {
		return none, err
	}
	if (in.CSR == nil) == (len(in.UnusedKeys) == 0 && in.ActiveKey == nil) {
		return none, rotation.Errorf("Input.Invalid", "give either csr, to have it signed, or unusedKeys and activeKey, to learn which of them the CA has issued")
	}
	authority, err := s.CA(ctx)
	if err != nil {
		return none, err
	}
	chain := string(authority.Chain().PEM())
	if in.CSR == nil {
		out := rotation.SignCSROutput{Chain: chain}
		if out.OurKey, err = recognize(authority, in.UnusedKeys); err != nil || in.ActiveKey == nil {
			return out, err
		}
		active, err := recognize(authority, []rotation.Key{*in.ActiveKey})
		out.ActiveIsOurs = active != nil
		return out, err
	}
	der, err := base64.StdEncoding.DecodeString(in.CSR.Request)
	if err != nil {
		return none, &rotation.Error{Name: "CSR.Invalid", Message: "the CSR " + in.CSR.ID + " is not in base64", Err: err}
	}
	request := ca.Request{CSR: der, Kind: string(in.Target.Kind), ValidityDays: in.Policy.ValidityDays, Now: s.Now()}
	signed, err := authority.Sign(ctx, request)
	if err != nil {
		return none, err
	}
	if err := ca.Check(signed, request, authority); err != nil {
		return none, err
	}
	return rotation.SignCSROutput{
		Certificate: &rotation.Certificate{
			PEM:      string(signed.LeafPEM()),
			Issuer:   signed.Leaf.Issuer.String(),
			Serial:   signed.Leaf.SerialNumber.Text(16),
			NotAfter: signed.Leaf.NotAfter.UTC(),
		},
		Chain: chain,
	}, nil
}

// recognize finds the first key whose certificate the CA has issued.
func recognize(authority ca.Issuer, keys []rotation.Key) (*rotation.Key, error) {
	for _, key := range keys {
		der, err := base64.StdEncoding.DecodeString(key.Certificate)
		if err != nil {
			continue
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			continue
		}
		issued, err := authority.Issued(cert)
		if err != nil {
			return nil, err
		}
		if issued {
			return &key, nil
		}
	}
	return nil, nil
}
