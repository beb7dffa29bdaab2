// Command sign-csr has the CA sign a CSR and checks the certificate (guide, step 3).
package main

import (
	"time"

	"keyturn/internal/ca/configured"
	"keyturn/internal/lambdastep"
	"keyturn/internal/rotation"
	"keyturn/internal/steps"
)

func main() {
	lambdastep.Start("sign-csr", func() (lambdastep.Step[rotation.SignCSRInput, rotation.SignCSROutput], error) {
		return steps.SignCSR{CA: configured.FromEnvironment().Get, Now: time.Now}.Run, nil
	})
}
