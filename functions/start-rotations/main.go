// Command start-rotations starts a rotation for what is due and has none.
package main

import (
	"github.com/aws/aws-sdk-go-v2/service/sfn"

	"keyturn/internal/awsenv"
	"keyturn/internal/bucket"
	"keyturn/internal/inventory"
	"keyturn/internal/inventory/starting"
	"keyturn/internal/lambdastep"
)

func main() {
	lambdastep.Start("start-rotations", func() (lambdastep.Step[inventory.StartRotationsInput, inventory.StartRotationsOutput], error) {
		name, err := awsenv.Required("BUCKET")
		if err != nil {
			return nil, err
		}
		machine, err := awsenv.Required("ROTATION_ARN")
		if err != nil {
			return nil, err
		}
		patient := awsenv.Config()
		// Step Functions throttles early, and lets some ten calls a second pass
		// then.
		patient.RetryMaxAttempts = 8
		return starting.Rotations{
			StepFunctions: sfn.NewFromConfig(patient),
			MachineARN:    machine,
			Bucket:        bucket.New(awsenv.Config(), name),
		}.Run, nil
	})
}
