// Package awsenv configures the AWS SDK inside a Lambda function from the
// variables that Lambda sets. The SDK's own config package reads the same
// variables, but also profiles, SSO and instance metadata, which no function
// needs and every start pays for.
package awsenv

import (
	"context"
	"os"

	"github.com/aws/aws-sdk-go-v2/aws"

	"keyturn/internal/awshttp"
	"keyturn/internal/rotation"
)

// client has the connections of all clients of the SDK.
var client = awshttp.New()

// Config reads region, credentials and, for a local stack, the endpoint.
func Config() aws.Config { return config(os.Getenv) }

func config(getenv func(string) string) aws.Config {
	c := aws.Config{
		Region:     getenv("AWS_REGION"),
		HTTPClient: client,
		Credentials: aws.NewCredentialsCache(aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{
				AccessKeyID:     getenv("AWS_ACCESS_KEY_ID"),
				SecretAccessKey: getenv("AWS_SECRET_ACCESS_KEY"),
				SessionToken:    getenv("AWS_SESSION_TOKEN"),
				Source:          "Lambda environment",
			}, nil
		})),
	}
	if endpoint := getenv("AWS_ENDPOINT_URL"); endpoint != "" {
		c.BaseEndpoint = aws.String(endpoint)
	}
	return c
}

// Required reads a variable that the template sets, or fails with
// Config.Invalid.
func Required(name string) (string, error) {
	if value := os.Getenv(name); value != "" {
		return value, nil
	}
	return "", rotation.Errorf("Config.Invalid", "the function's environment has no %s: deploy the stack again from template.yaml", name)
}
