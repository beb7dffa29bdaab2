package steps

import (
	"context"
	"crypto/x509"
	"encoding/base64"

	"keyturn/internal/okta"
	"keyturn/internal/rotation"
)

// RevokeCSR is the function revoke-csr.
type RevokeCSR struct {
	Okta *okta.Client
}

// Run takes back a CSR that will not be used. A CSR that is gone counts as
// taken back, or was published after all: then the key is named (a second call). Without a CSR in the input, the answer that named it was lost:
// then the pending ones that are ours are taken back.
func (s RevokeCSR) Run(ctx context.Context, in rotation.RevokeCSRInput) (rotation.RevokeCSROutput, error) {
	out := rotation.RevokeCSROutput{Revoked: []string{}}
	if err := in.Target.Validate(); err != nil {
		return out, err
	}
	var ours []rotation.CSR
	if in.CSR != nil {
		ours = []rotation.CSR{*in.CSR}
	} else {
		var err error
		if ours, err = pendingOurs(ctx, s.Okta, in.Target, in.Policy.Subject.For(in.Target)); err != nil {
			return out, err
		}
	}
	for _, csr := range ours {
		err := s.Okta.RevokeCSR(ctx, in.Target, csr.ID)
		if err != nil && !okta.IsNotFound(err) {
			return out, err
		}
		if err == nil {
			out.Revoked = append(out.Revoked, csr.ID)
			continue
		}
		if out.Published, err = s.published(ctx, in.Target, csr); err != nil {
			return out, err
		}
	}
	return out, nil
}

// published finds the key that Okta made of a CSR that is gone; nil when
// somebody has revoked it.
func (s RevokeCSR) published(ctx context.Context, t rotation.Target, csr rotation.CSR) (*rotation.Key, error) {
	der, err := base64.StdEncoding.DecodeString(csr.Request)
	if err != nil {
		return nil, nil //nolint:nilerr // what is no CSR was never published
	}
	request, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return nil, nil //nolint:nilerr // as above
	}
	listed, err := keyWith(ctx, s.Okta, t, request.PublicKey)
	if err != nil || listed == nil {
		return nil, err
	}
	key, _, err := keyOf(*listed)
	return &key, err
}
