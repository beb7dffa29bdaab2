// Command clone-certificate gives a target the key of another one (guide, step 6).
package main

import (
	"keyturn/internal/lambdastep"
	"keyturn/internal/rotation"
	"keyturn/internal/steps"
	"keyturn/internal/wiring"
)

func main() {
	lambdastep.Start("clone-certificate", func() (lambdastep.Step[rotation.CloneCertificateInput, rotation.CloneCertificateOutput], error) {
		client, err := wiring.Okta()
		if err != nil {
			return nil, err
		}
		return steps.CloneCertificate{Okta: client}.Run, nil
	})
}
