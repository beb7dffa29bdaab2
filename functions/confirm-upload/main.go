// Command confirm-upload serves the page behind an approver's link (guide, step 7).
package main

import (
	"context"
	"log/slog"
	"os"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	lambdaservice "github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/sfn"

	"keyturn/internal/approval"
	"keyturn/internal/approval/page"
	"keyturn/internal/approval/paused"
	"keyturn/internal/awsenv"
	"keyturn/internal/wiring"
)

func main() {
	handler, err := handler()
	if err != nil {
		slog.Error("configuration", "message", err.Error())
		os.Exit(1)
	}
	lambda.Start(handler)
}

func handler() (func(context.Context, events.LambdaFunctionURLRequest) (events.LambdaFunctionURLResponse, error), error) {
	key, err := wiring.Secret("LINK_KEY_SECRET_ARN")
	if err != nil {
		return nil, err
	}
	machine, err := awsenv.Required("ROTATION_ARN")
	if err != nil {
		return nil, err
	}
	metadata, err := awsenv.Required("METADATA_FUNCTION_ARN")
	if err != nil {
		return nil, err
	}
	orgURL, err := awsenv.Required("OKTA_ORG_URL")
	if err != nil {
		return nil, err
	}
	stepFunctions := sfn.NewFromConfig(awsenv.Config())
	p, err := page.New(page.Config{
		Links:     &approval.Keyring{Current: key.Value, Previous: key.Previous().Value, Now: time.Now},
		Rotations: paused.Executions{StepFunctions: stepFunctions, MachineARN: machine},
		Decider:   paused.Answer{StepFunctions: stepFunctions},
		Metadata:  page.MetadataFunction{Lambda: lambdaservice.NewFromConfig(awsenv.Config()), FunctionARN: metadata},
		OrgURL:    orgURL,
		PublicURL: os.Getenv("PUBLIC_URL"),
		Now:       time.Now,
		Log:       slog.New(slog.NewJSONHandler(os.Stdout, nil)),
	})
	if err != nil {
		return nil, err
	}
	return page.FunctionURL(p), nil
}
