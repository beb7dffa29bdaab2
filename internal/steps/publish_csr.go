package steps

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/pem"

	"keyturn/internal/okta"
	"keyturn/internal/rotation"
)

// PublishCSR is the function publish-csr (guide, step 4).
type PublishCSR struct {
	Okta *okta.Client
}

// Run publishes the certificate and gives the key that Okta made of it: one
// call. When Okta says that the CSR does not exist, or refuses the certificate,
// an earlier attempt may have published it and lost the answer: then the key is the one in the list
// that has the CSR's public key. That costs a second call.
func (s PublishCSR) Run(ctx context.Context, in rotation.PublishCSRInput) (rotation.PublishCSROutput, error) {
	none := rotation.PublishCSROutput{}
	if err := in.Target.Validate(); err != nil {
		return none, err
	}
	block, _ := pem.Decode([]byte(in.Certificate.PEM))
	if block == nil || block.Type != "CERTIFICATE" {
		return none, rotation.Errorf("Certificate.Mismatch", "certificate.pem is not a certificate in PEM: sign the CSR again")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return none, &rotation.Error{Name: "Certificate.Mismatch", Message: "certificate.pem cannot be read", Err: err}
	}
	listed, err := s.Okta.PublishCSR(ctx, in.Target, in.CSR.ID, block.Bytes)
	if err != nil {
		// What a published CSR answers is documented nowhere: 404 by Okta's
		// engineers, 400 would be as likely.
		if !okta.IsNotFound(err) && !okta.IsInvalid(err) {
			return none, err
		}
		published, lookErr := keyWith(ctx, s.Okta, in.Target, cert.PublicKey)
		if lookErr != nil {
			return none, lookErr
		}
		if published == nil && okta.IsInvalid(err) {
			return none, err
		}
		if published == nil {
			return none, rotation.Errorf("CSR.Gone", "the CSR %s of %s (%s) is gone and no key of the target came from it: somebody revoked it; start the rotation again", in.CSR.ID, in.Target, in.Target.Label)
		}
		listed = *published
	}
	key, got, err := keyOf(listed)
	if err != nil {
		return none, &rotation.Error{Name: "Okta.Unavailable", Message: "Okta's answer to the publication", Err: err}
	}
	// Two rotations of one target could have had one CSR signed twice: what
	// counts is the certificate that Okta keeps. Another public key, though,
	// is another key.
	if !samePublicKey(got, cert) {
		return none, rotation.Errorf("Certificate.Mismatch", "the key %s that Okta made of the CSR %s has another public key than the certificate: do not use it, and report this", key.Kid, in.CSR.ID)
	}
	return rotation.PublishCSROutput{Key: key}, nil
}

// keyWith finds the target's key with this public key; nil when there is none.
func keyWith(ctx context.Context, c *okta.Client, t rotation.Target, public crypto.PublicKey) (*okta.JSONWebKey, error) {
	keys, err := c.Keys(ctx, t)
	if err != nil {
		return nil, err
	}
	for _, k := range keys {
		if _, candidate, err := keyOf(k); err == nil && equalKeys(candidate.PublicKey, public) {
			return &k, nil
		}
	}
	return nil, nil
}

func samePublicKey(a, b *x509.Certificate) bool { return equalKeys(a.PublicKey, b.PublicKey) }

func equalKeys(a, b crypto.PublicKey) bool {
	public, ok := a.(interface{ Equal(x crypto.PublicKey) bool })
	return ok && public.Equal(b)
}
