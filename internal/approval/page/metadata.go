package page

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"keyturn/internal/awsenv"
	"keyturn/internal/rotation"
)

// Functions is the part of Lambda's client that calls a function.
type Functions interface {
	Invoke(ctx context.Context, in *lambda.InvokeInput, opts ...func(*lambda.Options)) (*lambda.InvokeOutput, error)
}

// MetadataFunction has the function read-metadata read a target's SAML metadata.
type MetadataFunction struct {
	Lambda      Functions
	FunctionARN string
}

// Read gives the metadata as Okta serves it. Its errors carry the function's
// name for what went wrong, such as Okta.Unavailable.
func (m MetadataFunction) Read(ctx context.Context, t rotation.Target, kid string) ([]byte, error) {
	payload, err := json.Marshal(rotation.ReadMetadataInput{Target: rotation.Target{Kind: t.Kind, ID: t.ID}, Kid: kid})
	if err != nil {
		return nil, fmt.Errorf("metadata of %s: %w", t, err)
	}
	out, err := m.Lambda.Invoke(ctx, &lambda.InvokeInput{FunctionName: aws.String(m.FunctionARN), Payload: payload})
	if err != nil {
		return nil, rotation.Errorf("Lambda.Unavailable", "the function read-metadata could not be called (%s)", awsenv.ErrorCode(err))
	}
	if out.FunctionError != nil {
		var failure struct{ ErrorType, ErrorMessage string }
		if json.Unmarshal(out.Payload, &failure) != nil || failure.ErrorType == "" {
			failure.ErrorType = "Lambda.Unavailable"
		}
		return nil, rotation.Errorf(failure.ErrorType, "read-metadata: %s", failure.ErrorMessage)
	}
	var answer rotation.ReadMetadataOutput
	if err := json.Unmarshal(out.Payload, &answer); err != nil {
		return nil, rotation.Errorf("Lambda.Unavailable", "read-metadata did not answer with metadata")
	}
	return []byte(answer.XML), nil
}
