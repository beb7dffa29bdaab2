// Command report-inventory writes the inventory and its report, and sends the
// digest.
package main

import (
	"log/slog"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/sesv2"

	"keyturn/internal/awsenv"
	"keyturn/internal/bucket"
	"keyturn/internal/inventory"
	"keyturn/internal/inventory/publish"
	"keyturn/internal/lambdastep"
	"keyturn/internal/notify"
	"keyturn/internal/wiring"
)

func main() {
	lambdastep.Start("report-inventory", func() (lambdastep.Step[inventory.ReportInventoryInput, inventory.ReportInventoryOutput], error) {
		name, err := awsenv.Required("BUCKET")
		if err != nil {
			return nil, err
		}
		stack, err := awsenv.Required("STACK")
		if err != nil {
			return nil, err
		}
		step := publish.Inventory{
			Bucket:    bucket.New(awsenv.Config(), name),
			Operators: wiring.Addresses("OPERATORS"),
			Events:    eventbridge.NewFromConfig(awsenv.Config()),
			Stack:     stack,
			Metrics:   os.Stdout,
			Log:       slog.New(slog.NewJSONHandler(os.Stdout, nil)),
			Now:       time.Now,
		}
		if sender := os.Getenv("SENDER_ADDRESS"); sender != "" {
			step.Mail = notify.Mail{SES: sesv2.NewFromConfig(awsenv.Config()), Sender: sender}
		}
		return step.Run, nil
	})
}
