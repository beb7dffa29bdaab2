// Command read-metadata reads a target's SAML metadata for the page behind the link.
package main

import (
	"keyturn/internal/lambdastep"
	"keyturn/internal/rotation"
	"keyturn/internal/steps"
	"keyturn/internal/wiring"
)

func main() {
	lambdastep.Start("read-metadata", func() (lambdastep.Step[rotation.ReadMetadataInput, rotation.ReadMetadataOutput], error) {
		client, err := wiring.Okta()
		if err != nil {
			return nil, err
		}
		return steps.ReadMetadata{Okta: client}.Run, nil
	})
}
