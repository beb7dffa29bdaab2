// Command revoke-csr takes back a CSR that will not be used.
package main

import (
	"keyturn/internal/lambdastep"
	"keyturn/internal/rotation"
	"keyturn/internal/steps"
	"keyturn/internal/wiring"
)

func main() {
	lambdastep.Start("revoke-csr", func() (lambdastep.Step[rotation.RevokeCSRInput, rotation.RevokeCSROutput], error) {
		client, err := wiring.Okta()
		if err != nil {
			return nil, err
		}
		return steps.RevokeCSR{Okta: client}.Run, nil
	})
}
