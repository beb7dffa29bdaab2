package steps

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"time"

	"keyturn/internal/ca"
	"keyturn/internal/rotation"
	"keyturn/internal/signing"
)

// SignCSR is the function sign-csr (guide, step 3). It is the only one that
// may use the CA, and calls nothing of Okta.
type SignCSR struct {
	// CA gives the CA that a policy names, made on first use, so that a failure
	// is an answer.
	CA  func(ctx context.Context, name rotation.CertificateAuthority) (ca.Authority, error)
	Now func() time.Time
}

// Run has the CA sign the CSR and checks the certificate before anybody
// publishes it. A CA that takes its time gives an output with Pending, and the
// error CA.Pending when it is asked again with Pending's reference: the state
// machine waits, and repeats the call. Where a person signs, Pending says so,
// and the next call has the answer.
//
// Asked about keys, it says instead which of the unused ones the CA has issued,
// the first in the list that it has, and whether the active one; asked to
// describe CAs, what is public of them.
//
// Running it again may sign again, with another serial number; only what is
// published counts.
func (s SignCSR) Run(ctx context.Context, in rotation.SignCSRInput) (rotation.SignCSROutput, error) {
	none := rotation.SignCSROutput{}
	if len(in.Describe) > 0 {
		return s.describe(ctx, in)
	}
	if err := in.Target.Validate(); err != nil {
		return none, err
	}
	if (in.CSR == nil) == (len(in.UnusedKeys) == 0 && in.ActiveKey == nil) {
		return none, rotation.Errorf("Input.Invalid", "give either csr, to have it signed, or unusedKeys and activeKey, to learn which of them the CA has issued, or describe")
	}
	authority, err := s.CA(ctx, in.Policy.CertificateAuthority)
	if err != nil {
		return none, err
	}
	if in.CSR == nil {
		return recognize(authority, in)
	}
	return s.sign(ctx, authority, in)
}

func (s SignCSR) sign(ctx context.Context, authority ca.Authority, in rotation.SignCSRInput) (rotation.SignCSROutput, error) {
	none := rotation.SignCSROutput{}
	request, err := signing.Request(in.Target, in.Policy, *in.CSR, s.Now())
	if err != nil {
		return none, err
	}
	request.Reference, request.Answer = in.Reference, []byte(in.Answer)
	signed, err := authority.Sign(ctx, request)
	var pending *ca.Pending
	switch {
	case errors.As(err, &pending) && in.Reference == "":
		return rotation.SignCSROutput{
			Pending: &rotation.PendingCertificate{
				Reference: pending.Reference, Person: pending.Person,
				AfterSeconds: max(leastWait, int(pending.After/time.Second)),
			},
			Chain: string(authority.Chain().PEM()),
		}, nil
	case err != nil:
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
		Chain: string(signed.Chain.PEM()),
	}, nil
}

// leastWait is the shortest wait for a CA, in seconds.
const leastWait = 5

// describe tells what is public of the CAs. One that cannot be reached does not
// keep the others from being described.
func (s SignCSR) describe(ctx context.Context, in rotation.SignCSRInput) (rotation.SignCSROutput, error) {
	if in.CSR != nil || len(in.UnusedKeys) > 0 || in.ActiveKey != nil {
		return rotation.SignCSROutput{}, rotation.Errorf("Input.Invalid", "describe stands beside csr, unusedKeys or activeKey: give it alone")
	}
	out := rotation.SignCSROutput{}
	for _, name := range in.Describe {
		facts := rotation.AuthorityFacts{Provider: name, Certificates: []rotation.AuthorityCertificate{}}
		if authority, err := s.CA(ctx, name); err != nil {
			facts.Problem = err.Error()
		} else {
			for _, cert := range authority.Chain() {
				facts.Certificates = append(facts.Certificates, rotation.AuthorityCertificate{
					Subject: cert.Subject.String(), Issuer: cert.Issuer.String(), SHA256: rotation.Fingerprint(cert.Raw),
					NotBefore: cert.NotBefore.UTC(), NotAfter: cert.NotAfter.UTC(),
				})
			}
		}
		out.Authorities = append(out.Authorities, facts)
	}
	return out, nil
}

// recognize finds the first key whose certificate the CA has issued, and
// whether it has issued the active one.
func recognize(authority ca.Authority, in rotation.SignCSRInput) (rotation.SignCSROutput, error) {
	out := rotation.SignCSROutput{}
	all := authority.Chain()
	chain := all
	issued := func(key rotation.Key) (bool, error) {
		cert, ok := certificateOf(key)
		if !ok {
			return false, nil
		}
		ours, err := authority.Issued(cert)
		if ours && err == nil {
			chain = all.Above(cert)
		}
		return ours, err
	}
	for _, key := range in.UnusedKeys {
		ours, err := issued(key)
		if err != nil {
			return rotation.SignCSROutput{}, err
		}
		if ours {
			out.OurKey = &key
			break
		}
	}
	if in.ActiveKey != nil {
		ours, err := issued(*in.ActiveKey)
		if err != nil {
			return rotation.SignCSROutput{}, err
		}
		out.ActiveIsOurs = ours
	}
	out.Chain = string(chain.PEM())
	return out, nil
}

// certificateOf reads a key's certificate; one that is broken is nobody's.
func certificateOf(key rotation.Key) (*x509.Certificate, bool) {
	der, err := base64.StdEncoding.DecodeString(key.Certificate)
	if err != nil {
		return nil, false
	}
	cert, err := x509.ParseCertificate(der)
	return cert, err == nil
}
