package paused_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/google/go-cmp/cmp"

	"keyturn/internal/approval/paused"
	"keyturn/internal/rotation"
)

// taskToken has the look and about the length of Step Functions' own.
var taskToken = "AQCEAAAAKgAAAAMAAAAAAAAAAe1" + strings.Repeat("q0Zx+8/Wd7LkT3vB", 40) + "=="

// stepFunctions completes each token once, as the service does. Its errors
// quote the token, which the real ones may.
type stepFunctions struct {
	waiting map[string]bool
	// outage is what the service fails with, whatever it is asked.
	outage error

	output, failure, cause string
}

func (s *stepFunctions) complete(operation string, token *string) error {
	err := s.outage
	if err == nil && !s.waiting[*token] {
		err = &types.TaskTimedOut{Message: aws.String("Task Timed Out: 'Provided task does not exist anymore: " + *token + "'")}
	}
	if err != nil {
		return &smithy.OperationError{ServiceID: "SFN", OperationName: operation, Err: err}
	}
	s.waiting[*token] = false
	return nil
}

func (s *stepFunctions) SendTaskSuccess(_ context.Context, in *sfn.SendTaskSuccessInput, _ ...func(*sfn.Options)) (*sfn.SendTaskSuccessOutput, error) {
	if err := s.complete("SendTaskSuccess", in.TaskToken); err != nil {
		return nil, err
	}
	s.output = *in.Output
	return &sfn.SendTaskSuccessOutput{}, nil
}

func (s *stepFunctions) SendTaskFailure(_ context.Context, in *sfn.SendTaskFailureInput, _ ...func(*sfn.Options)) (*sfn.SendTaskFailureOutput, error) {
	if err := s.complete("SendTaskFailure", in.TaskToken); err != nil {
		return nil, err
	}
	s.failure, s.cause = *in.Error, *in.Cause
	return &sfn.SendTaskFailureOutput{}, nil
}

func TestAConfirmationIsThePausedStatesOutput(t *testing.T) {
	service := &stepFunctions{waiting: map[string]bool{taskToken: true}}
	want := rotation.Decision{Confirmed: true, By: "crm@example.com", At: now, Comment: "done <today>"}
	if err := (paused.Answer{StepFunctions: service}).Decide(t.Context(), taskToken, want); err != nil {
		t.Fatal(err)
	}
	if service.failure != "" {
		t.Errorf("a confirmation failed the state with %q", service.failure)
	}
	sameDecision(t, service.output, want)
}

func TestARejectionFailsThePausedStateWithTheDecisionAsItsCause(t *testing.T) {
	service := &stepFunctions{waiting: map[string]bool{taskToken: true}}
	want := rotation.Decision{By: "crm@example.com", At: now, Comment: "holidays"}
	if err := (paused.Answer{StepFunctions: service}).Decide(t.Context(), taskToken, want); err != nil {
		t.Fatal(err)
	}
	if service.failure != "Approval.Rejected" || service.output != "" {
		t.Errorf("the state failed with %q and has the output %q, want Approval.Rejected and none", service.failure, service.output)
	}
	sameDecision(t, service.cause, want)
}

func sameDecision(t *testing.T, got string, want rotation.Decision) {
	t.Helper()
	var d rotation.Decision
	if err := json.Unmarshal([]byte(got), &d); err != nil {
		t.Fatalf("%q: %v", got, err)
	}
	if diff := cmp.Diff(want, d); diff != "" {
		t.Error(diff)
	}
}

func TestARequestIsAnsweredOnce(t *testing.T) {
	service := &stepFunctions{waiting: map[string]bool{taskToken: true}}
	answer := paused.Answer{StepFunctions: service}
	if err := answer.Decide(t.Context(), taskToken, rotation.Decision{Confirmed: true, By: "first"}); err != nil {
		t.Fatal(err)
	}
	for _, again := range []rotation.Decision{{Confirmed: true, By: "second"}, {By: "second", Comment: "no"}} {
		if err := answer.Decide(t.Context(), taskToken, again); !errors.Is(err, paused.ErrAnswered) {
			t.Errorf("the second answer %+v: %v, want ErrAnswered", again, err)
		}
	}
	sameDecision(t, service.output, rotation.Decision{Confirmed: true, By: "first"})
}

func TestATokenThatIsOverCountsAsAnswered(t *testing.T) {
	for _, outage := range []error{
		&types.TaskTimedOut{Message: aws.String(taskToken)},
		&types.TaskDoesNotExist{Message: aws.String(taskToken)},
		&types.InvalidToken{Message: aws.String("Invalid Token: '" + taskToken + "'")},
	} {
		for _, confirmed := range []bool{true, false} {
			err := paused.Answer{StepFunctions: &stepFunctions{outage: outage}}.Decide(t.Context(), taskToken, rotation.Decision{Confirmed: confirmed})
			if !errors.Is(err, paused.ErrAnswered) {
				t.Errorf("%T: %v, want ErrAnswered", outage, err)
			}
			withoutToken(t, err)
		}
	}
}

func TestAnotherFailureOfStepFunctionsMayPassAndNeverShowsTheToken(t *testing.T) {
	for says, outage := range map[string]error{
		"ThrottlingException":      &smithy.GenericAPIError{Code: "ThrottlingException", Message: "rate exceeded for " + taskToken},
		"AccessDeniedException":    &smithy.GenericAPIError{Code: "AccessDeniedException", Message: "not authorized to perform states:SendTaskSuccess with " + taskToken},
		"KmsAccessDeniedException": &types.KmsAccessDeniedException{Message: aws.String(taskToken)},
		"ValidationException":      &types.ValidationException{Message: aws.String("Value '" + taskToken + "' at 'taskToken' failed to satisfy constraint")},
		"no answer":                &smithyhttp.RequestSendError{Err: fmt.Errorf("post %s: %w", taskToken, http.ErrHandlerTimeout)},
	} {
		t.Run(says, func(t *testing.T) {
			for _, confirmed := range []bool{true, false} {
				err := paused.Answer{StepFunctions: &stepFunctions{outage: outage}}.Decide(t.Context(), taskToken, rotation.Decision{Confirmed: confirmed})
				want := "StepFunctions.Unavailable"
				if says == "ThrottlingException" {
					want = "StepFunctions.Throttled"
				}
				if rotation.NameOf(err) != want || !strings.Contains(err.Error(), says) {
					t.Errorf("got %v, want %s with %q", err, want, says)
				}
				withoutToken(t, err)
			}
		})
	}
}

// withoutToken looks through the whole chain: %+v and %#v would print causes.
func withoutToken(t *testing.T, err error) {
	t.Helper()
	if all := fmt.Sprintf("%v %+v %#v", err, err, err); strings.Contains(all, taskToken[:40]) {
		t.Errorf("the error shows the token: %s", all)
	}
	for e := err; e != nil; e = errors.Unwrap(e) {
		if strings.Contains(e.Error(), taskToken[:40]) {
			t.Errorf("an error behind it shows the token: %v", e)
		}
	}
}
