// Command verify-key checks that a target's SAML metadata carries the expected certificate.
package main

import (
	"keyturn/internal/lambdastep"
	"keyturn/internal/rotation"
	"keyturn/internal/steps"
	"keyturn/internal/wiring"
)

func main() {
	lambdastep.Start("verify-key", func() (lambdastep.Step[rotation.VerifyKeyInput, rotation.VerifyKeyOutput], error) {
		client, err := wiring.Okta()
		if err != nil {
			return nil, err
		}
		return steps.VerifyKey{Okta: client}.Run, nil
	})
}
