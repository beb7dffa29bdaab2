package steps

import (
	"context"

	"keyturn/internal/okta"
	"keyturn/internal/rotation"
)

// RevokeCSR is the function revoke-csr.
type RevokeCSR struct {
	Okta *okta.Client
}

// Run takes back a CSR that will not be used. A CSR that is gone counts as
// taken back. Without a CSR in the input, the answer that named it was lost:
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
		}
	}
	return out, nil
}
