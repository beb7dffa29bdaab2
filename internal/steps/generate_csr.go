package steps

import (
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"slices"

	"keyturn/internal/okta"
	"keyturn/internal/rotation"
)

// GenerateCSR is the function generate-csr (guide, step 2).
type GenerateCSR struct {
	Okta *okta.Client
}

// Run finds the target's pending CSR that is ours, or generates one: two
// calls. The call that generates is not idempotent, so it is never repeated
// without looking first. A subject that X.509 does not take is Policy.Invalid
// before the first call.
func (s GenerateCSR) Run(ctx context.Context, in rotation.GenerateCSRInput) (rotation.GenerateCSROutput, error) {
	none := rotation.GenerateCSROutput{}
	if err := in.Target.Validate(); err != nil {
		return none, err
	}
	if err := in.Policy.Subject.ValidateFor(in.Target); err != nil {
		return none, err
	}
	subject := in.Policy.Subject.For(in.Target)
	ours, err := pendingOurs(ctx, s.Okta, in.Target, subject)
	if err != nil {
		return none, err
	}
	if len(ours) > 0 {
		return rotation.GenerateCSROutput{CSR: ours[0], Reused: true}, nil
	}
	csr, err := s.Okta.GenerateCSR(ctx, in.Target, subject)
	if err != nil {
		return none, err
	}
	return rotation.GenerateCSROutput{CSR: rotation.CSR{ID: csr.ID, Request: csr.CSR}}, nil
}

// pendingOurs lists the pending CSRs whose subject is what the policy asks
// for, the newest first. What is not ours is left alone.
func pendingOurs(ctx context.Context, c *okta.Client, t rotation.Target, subject rotation.Subject) ([]rotation.CSR, error) {
	pending, err := c.SigningRequests(ctx, t)
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(pending, func(a, b okta.SigningRequest) int { return b.Created.Compare(a.Created) })
	var ours []rotation.CSR
	for _, p := range pending {
		if hasSubject(p.CSR, subject) {
			ours = append(ours, rotation.CSR{ID: p.ID, Request: p.CSR})
		}
	}
	return ours, nil
}

// hasSubject tells whether a CSR (DER in base64) asks for exactly this subject
// and no other names.
func hasSubject(request string, want rotation.Subject) bool {
	der, err := base64.StdEncoding.DecodeString(request)
	if err != nil {
		return false
	}
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil || len(csr.DNSNames)+len(csr.EmailAddresses)+len(csr.IPAddresses)+len(csr.URIs) > 0 {
		return false
	}
	return subjectOf(csr.Subject) == want && len(csr.Subject.Names) == len(fields(want))
}

func fields(s rotation.Subject) []string {
	all := []string{s.CommonName, s.CountryName, s.LocalityName, s.OrganizationName, s.OrganizationalUnitName, s.StateOrProvinceName}
	return slices.DeleteFunc(all, func(v string) bool { return v == "" })
}

// The attribute types of RFC 5280, appendix A.1, that Okta's CSR can hold.
var (
	oidCommonName         = asn1.ObjectIdentifier{2, 5, 4, 3}
	oidCountry            = asn1.ObjectIdentifier{2, 5, 4, 6}
	oidLocality           = asn1.ObjectIdentifier{2, 5, 4, 7}
	oidStateOrProvince    = asn1.ObjectIdentifier{2, 5, 4, 8}
	oidOrganization       = asn1.ObjectIdentifier{2, 5, 4, 10}
	oidOrganizationalUnit = asn1.ObjectIdentifier{2, 5, 4, 11}
)

func subjectOf(name pkix.Name) rotation.Subject {
	var s rotation.Subject
	for _, attribute := range name.Names {
		value, _ := attribute.Value.(string)
		switch {
		case attribute.Type.Equal(oidCommonName):
			s.CommonName = value
		case attribute.Type.Equal(oidCountry):
			s.CountryName = value
		case attribute.Type.Equal(oidLocality):
			s.LocalityName = value
		case attribute.Type.Equal(oidStateOrProvince):
			s.StateOrProvinceName = value
		case attribute.Type.Equal(oidOrganization):
			s.OrganizationName = value
		case attribute.Type.Equal(oidOrganizationalUnit):
			s.OrganizationalUnitName = value
		}
	}
	return s
}
