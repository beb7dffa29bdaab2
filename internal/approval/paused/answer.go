// Package paused is a rotation that waits for an answer, as Step Functions shows
// it: how it stands, and how it takes the decision.
package paused

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"keyturn/internal/awsenv"
	"keyturn/internal/rotation"
)

// StepFunctions is the part of Step Functions' client that completes a paused
// state.
type StepFunctions interface {
	SendTaskSuccess(ctx context.Context, in *sfn.SendTaskSuccessInput, opts ...func(*sfn.Options)) (*sfn.SendTaskSuccessOutput, error)
	SendTaskFailure(ctx context.Context, in *sfn.SendTaskFailureInput, opts ...func(*sfn.Options)) (*sfn.SendTaskFailureOutput, error)
}

// ErrAnswered is what Decide gives for a task token that has been answered, or
// whose rotation has ended. Step Functions does not tell the two apart.
var ErrAnswered = errors.New("the request has been answered or is over")

// rejected is the error with which a rejection fails the paused state.
const rejected = "Approval.Rejected"

// Answer passes decisions on to the paused rotation. Step Functions itself
// makes the token single-use.
type Answer struct {
	StepFunctions StepFunctions
}

// Decide completes the task token: with the decision as the state's output for
// a confirmation or a plan called off, as a failure named Approval.Rejected for
// a rejection.
func (a Answer) Decide(ctx context.Context, taskToken string, d rotation.Decision) error {
	decision, err := json.Marshal(d)
	if err != nil {
		return fmt.Errorf("decision: %w", err)
	}
	if d.Confirmed || d.CalledOff {
		_, err = a.StepFunctions.SendTaskSuccess(ctx, &sfn.SendTaskSuccessInput{TaskToken: aws.String(taskToken), Output: aws.String(string(decision))})
	} else {
		_, err = a.StepFunctions.SendTaskFailure(ctx, &sfn.SendTaskFailureInput{TaskToken: aws.String(taskToken), Error: aws.String(rejected), Cause: aws.String(string(decision))})
	}
	if err == nil {
		return nil
	}
	// TaskTimedOut: answered, or the state has ended (Step Functions API,
	// SendTaskSuccess). The other two: a token of a deleted state machine.
	var timedOut *types.TaskTimedOut
	var unknown *types.TaskDoesNotExist
	var invalid *types.InvalidToken
	if errors.As(err, &timedOut) || errors.As(err, &unknown) || errors.As(err, &invalid) {
		return ErrAnswered
	}
	// The SDK's text may quote the request, and with it the token.
	code := awsenv.ErrorCode(err)
	if code == "ThrottlingException" {
		return rotation.Errorf("StepFunctions.Throttled", "Step Functions took too many decisions at once (%s)", code)
	}
	return rotation.Errorf("StepFunctions.Unavailable", "Step Functions did not take the decision (%s)", code)
}
