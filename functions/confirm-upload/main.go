// Command confirm-upload serves the page behind an approver's link (guide, step 7).
package main

import (
	"log/slog"
	"os"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/service/sfn"

	"keyturn/internal/approval"
	"keyturn/internal/approval/page"
	"keyturn/internal/awsenv"
	"keyturn/internal/wiring"
)

func main() {
	key, err := wiring.Secret("LINK_KEY_SECRET_ARN")
	if err != nil {
		slog.Error("configuration", "message", err.Error())
		os.Exit(1)
	}
	lambda.Start(page.FunctionURL(page.Page{
		Sealer:  approval.Links(key.Value),
		Decider: approval.Answer{StepFunctions: sfn.NewFromConfig(awsenv.Config())},
		Now:     time.Now,
		Log:     slog.New(slog.NewJSONHandler(os.Stdout, nil)),
	}))
}
