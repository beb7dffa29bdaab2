// Package wiring builds from a function's environment what several functions
// need. A main that uses it decides nothing.
package wiring

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"keyturn/internal/awsenv"
	"keyturn/internal/okta"
	"keyturn/internal/secret"
)

// Version is the release, set by the build.
var Version = "dev"

// Secret names a secret by the environment variable that holds its ARN. It is
// read on first use.
func Secret(variable string) (*secret.Secret, error) {
	arn, err := awsenv.Required(variable)
	if err != nil {
		return nil, err
	}
	return secret.New(secretsmanager.NewFromConfig(awsenv.Config()), arn, time.Now), nil
}

// Okta makes the client for the org in OKTA_ORG_URL with the credential in the
// secret OKTA_SECRET_ARN.
func Okta() (*okta.Client, error) {
	s, err := Secret("OKTA_SECRET_ARN")
	if err != nil {
		return nil, err
	}
	orgURL, err := awsenv.Required("OKTA_ORG_URL")
	if err != nil {
		return nil, err
	}
	return okta.New(okta.Config{
		OrgURL:  orgURL,
		Version: Version,
		Credentials: func(ctx context.Context, fresh bool) (okta.Credential, error) {
			return secret.Parse(ctx, s.Value, fresh, func(value []byte) (okta.Credential, error) { return okta.ParseCredential(s.ID(), value) })
		},
	})
}
