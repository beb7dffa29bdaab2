// Command publish-csr publishes the certificate for a CSR (guide, step 4).
package main

import (
	"keyturn/internal/lambdastep"
	"keyturn/internal/rotation"
	"keyturn/internal/steps"
	"keyturn/internal/wiring"
)

func main() {
	lambdastep.Start("publish-csr", func() (lambdastep.Step[rotation.PublishCSRInput, rotation.PublishCSROutput], error) {
		client, err := wiring.Okta()
		if err != nil {
			return nil, err
		}
		return steps.PublishCSR{Okta: client}.Run, nil
	})
}
