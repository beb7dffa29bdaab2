// Command generate-csr finds or generates a target's CSR (guide, step 2).
package main

import (
	"keyturn/internal/lambdastep"
	"keyturn/internal/rotation"
	"keyturn/internal/steps"
	"keyturn/internal/wiring"
)

func main() {
	lambdastep.Start("generate-csr", func() (lambdastep.Step[rotation.GenerateCSRInput, rotation.GenerateCSROutput], error) {
		client, err := wiring.Okta()
		if err != nil {
			return nil, err
		}
		return steps.GenerateCSR{Okta: client}.Run, nil
	})
}
