// Command update-key-credential makes a key the active one (guide, step 5), or brings the old one back.
package main

import (
	"keyturn/internal/lambdastep"
	"keyturn/internal/rotation"
	"keyturn/internal/steps"
	"keyturn/internal/wiring"
)

func main() {
	lambdastep.Start("update-key-credential", func() (lambdastep.Step[rotation.UpdateKeyCredentialInput, rotation.UpdateKeyCredentialOutput], error) {
		client, err := wiring.Okta()
		if err != nil {
			return nil, err
		}
		return steps.UpdateKeyCredential{Okta: client}.Run, nil
	})
}
