package steps

import (
	"context"

	"keyturn/internal/okta"
	"keyturn/internal/rotation"
)

// ReadMetadata is the function read-metadata: it serves the page, which is open
// to the internet and so has no Okta credential of its own.
type ReadMetadata struct {
	Okta *okta.Client
}

// Run reads the target's SAML metadata as Okta serves it: one call. An IdP's has
// the key that is in use, whatever the kid.
func (s ReadMetadata) Run(ctx context.Context, in rotation.ReadMetadataInput) (rotation.ReadMetadataOutput, error) {
	if err := in.Target.Validate(); err != nil {
		return rotation.ReadMetadataOutput{}, err
	}
	metadata, err := s.Okta.Metadata(ctx, in.Target, in.Kid)
	return rotation.ReadMetadataOutput{XML: string(metadata)}, err
}
