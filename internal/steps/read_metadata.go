package steps

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"keyturn/internal/okta"
	"keyturn/internal/rotation"
)

// ReadMetadata is the function read-metadata: it serves the page, which is open
// to the internet and so has no Okta credential of its own.
type ReadMetadata struct {
	Okta *okta.Client
}

// Run reads the target's SAML metadata as Okta serves it: one call. An IdP's has
// the key that is in use, whatever the kid. What is no metadata with a
// certificate for signing is Okta.Unavailable: a proxy that is in the way, say,
// answers with a page of its own, and a partner is to import what comes here.
func (s ReadMetadata) Run(ctx context.Context, in rotation.ReadMetadataInput) (rotation.ReadMetadataOutput, error) {
	if err := in.Target.Validate(); err != nil {
		return rotation.ReadMetadataOutput{}, err
	}
	none := rotation.ReadMetadataOutput{}
	metadata, err := s.Okta.Metadata(ctx, in.Target, in.Kid)
	if err != nil {
		return none, err
	}
	certificates, err := metadataCertificates(metadata, in.Target.Kind)
	if err == nil && !slices.ContainsFunc(certificates, metadataCertificate.signs) {
		err = errors.New("it has no certificate for signing")
	}
	if err != nil {
		return none, &rotation.Error{Name: "Okta.Unavailable", Message: fmt.Sprintf("the SAML metadata of %s cannot be read", in.Target), Err: err}
	}
	return rotation.ReadMetadataOutput{XML: string(metadata)}, nil
}
