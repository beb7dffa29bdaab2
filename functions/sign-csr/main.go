// Command sign-csr has the CA sign a CSR and checks the certificate (guide, step 3).
package main

import (
	"context"
	"crypto/rand"
	"time"

	"keyturn/internal/awsenv"
	"keyturn/internal/ca/local"
	"keyturn/internal/lambdastep"
	"keyturn/internal/rotation"
	"keyturn/internal/secret"
	"keyturn/internal/steps"
	"keyturn/internal/wiring"
)

func main() {
	lambdastep.Start("sign-csr", func() (lambdastep.Step[rotation.SignCSRInput, rotation.SignCSROutput], error) {
		provider, err := awsenv.Required("CERTIFICATE_AUTHORITY")
		if err != nil {
			return nil, err
		}
		if provider != "local" {
			return nil, rotation.Errorf("Config.Invalid", "the stack parameter CertificateAuthority is %q: use local", provider)
		}
		key, err := wiring.Secret("CA_SECRET_ARN")
		if err != nil {
			return nil, err
		}
		authority := func(ctx context.Context) (steps.Authority, error) {
			return secret.Parse(ctx, key.Value, false, func(value []byte) (steps.Authority, error) { return local.New(value, rand.Reader) })
		}
		return steps.SignCSR{CA: authority, Now: time.Now}.Run, nil
	})
}
