package paused

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"keyturn/internal/awsenv"
	"keyturn/internal/rotation"
)

// Histories is the part of Step Functions' client that shows how an execution
// goes.
type Histories interface {
	GetExecutionHistory(ctx context.Context, in *sfn.GetExecutionHistoryInput, opts ...func(*sfn.Options)) (*sfn.GetExecutionHistoryOutput, error)
}

// Progress is how a rotation stands: the page asks Step Functions, which
// remembers it anyway.
type Progress struct {
	// Asking is the request that waits for an answer now; nil while the
	// rotation works, and when it has ended. It holds the task token.
	Asking *rotation.RequestUploadInput
	// Since is when that request's message was sent.
	Since time.Time
	// Last is the latest decision, nil where there is none.
	Last *rotation.Decision
	// LastStage is the stage of the request that Last answered; empty where the
	// history does not show it.
	LastStage rotation.Stage
	// Result is the rotation's, once it has ended: Completed, RolledBack,
	// GaveUp or Failed; "Stopped" where somebody stopped the execution.
	Result string
	// Taken tells that an answer was taken of which the history shows nothing
	// yet.
	Taken bool
	// Switched tells that the new key is in use although the rotation gave up:
	// an earlier one had made the switch.
	Switched bool
}

// Stopped is the Result of an execution that was stopped by hand.
const Stopped = "Stopped"

// ErrNoExecution is what Progress gives when Step Functions knows no such
// execution any more: it forgets them after 90 days.
var ErrNoExecution = errors.New("the rotation's execution is not known any more")

// Executions reads how the executions of one state machine stand.
type Executions struct {
	StepFunctions Histories
	// MachineARN is the state machine's ARN.
	MachineARN string
}

// historyPage and historyPages bound what is read, newest first: a rotation
// makes some ten events between two messages to the approvers, and with all
// retries of its steps some two hundred after the last one.
const (
	historyPage  = 100
	historyPages = 5
)

// Progress reads the history of an execution, newest event first, until it
// knows enough: one call, seldom more.
func (e Executions) Progress(ctx context.Context, execution string) (Progress, error) {
	in := &sfn.GetExecutionHistoryInput{
		ExecutionArn:         aws.String(strings.Replace(e.MachineARN, ":stateMachine:", ":execution:", 1) + ":" + execution),
		ReverseOrder:         true,
		IncludeExecutionData: aws.Bool(true),
		MaxResults:           historyPage,
	}
	r := reading{}
	for range historyPages {
		out, err := e.StepFunctions.GetExecutionHistory(ctx, in)
		if err != nil {
			var unknown *types.ExecutionDoesNotExist
			if errors.As(err, &unknown) {
				return Progress{}, ErrNoExecution
			}
			// The SDK's text may quote the request.
			return Progress{}, rotation.Errorf("StepFunctions.Unavailable", "Step Functions did not show the rotation (%s)", awsenv.ErrorCode(err))
		}
		for i := range out.Events {
			if r.take(&out.Events[i]) {
				return r.progress, nil
			}
		}
		if in.NextToken = out.NextToken; in.NextToken == nil {
			break
		}
	}
	return r.progress, nil
}

// reading goes through a history from its end.
type reading struct {
	progress Progress
	// newest is what the newest event told about a state: entered, exited, or
	// nothing yet.
	settled bool
	// scheduled is the newest task that was scheduled in the state that the
	// execution is in.
	scheduled *types.HistoryEvent
	// traced tells that the task was found which the latest decision ended.
	traced bool
}

// take looks at the next older event, and tells whether all is known. By the
// API reference an event's details may be absent.
func (r *reading) take(e *types.HistoryEvent) bool {
	p := &r.progress
	switch e.Type {
	case types.HistoryEventTypeExecutionSucceeded:
		r.ended(aws.ToString(cmp.Or(e.ExecutionSucceededEventDetails, &types.ExecutionSucceededEventDetails{}).Output))
	case types.HistoryEventTypeExecutionFailed:
		r.ended(aws.ToString(cmp.Or(e.ExecutionFailedEventDetails, &types.ExecutionFailedEventDetails{}).Cause))
	case types.HistoryEventTypeExecutionAborted:
		p.Result, r.settled = Stopped, true
	case types.HistoryEventTypeExecutionTimedOut:
		p.Result, r.settled = "Failed", true
	case types.HistoryEventTypeTaskScheduled:
		if !r.settled && r.scheduled == nil {
			r.scheduled = e
		}
		if p.Last != nil && !r.traced {
			r.traced = true
			if in, _ := asked(e); in != nil {
				p.LastStage = in.Stage
			}
		}
	case types.HistoryEventTypeTaskStateEntered:
		if !r.settled && r.scheduled != nil {
			p.Asking, p.Since = asked(r.scheduled)
		}
		r.settled = true
	case types.HistoryEventTypeTaskSucceeded:
		r.settled = r.settled || r.scheduled == nil
		r.decided(aws.ToString(cmp.Or(e.TaskSucceededEventDetails, &types.TaskSucceededEventDetails{}).Output))
	case types.HistoryEventTypeTaskFailed:
		// The attempt that this ends was scheduled before it.
		r.settled = r.settled || r.scheduled == nil
		if aws.ToString(cmp.Or(e.TaskFailedEventDetails, &types.TaskFailedEventDetails{}).Error) == rejected {
			r.decided(aws.ToString(cmp.Or(e.TaskFailedEventDetails, &types.TaskFailedEventDetails{}).Cause))
		}
	case types.HistoryEventTypeTaskTimedOut, types.HistoryEventTypeTaskStartFailed, types.HistoryEventTypeTaskSubmitFailed:
		r.settled = r.settled || r.scheduled == nil
	default:
		if strings.HasSuffix(string(e.Type), "StateExited") || strings.HasSuffix(string(e.Type), "StateEntered") {
			r.settled = true
		}
	}
	return r.settled && r.traced
}

func (r *reading) ended(report string) {
	var end struct {
		Result  string `json:"result"`
		Resumed bool   `json:"resumed"`
	}
	r.progress.Result, r.settled = "Failed", true
	if json.Unmarshal([]byte(report), &end) == nil && end.Result != "" {
		r.progress.Result, r.progress.Switched = end.Result, end.Result == "GaveUp" && end.Resumed
	}
}

// decided takes a task's output for a decision if it is one; those of other
// tasks have other fields.
func (r *reading) decided(output string) {
	if r.progress.Last != nil {
		return
	}
	var d struct {
		rotation.Decision
		Confirmed *bool `json:"confirmed"`
	}
	if json.Unmarshal([]byte(output), &d) == nil && d.Confirmed != nil && !d.At.IsZero() {
		d.Decision.Confirmed = *d.Confirmed
		r.progress.Last = &d.Decision
	}
}

// asked is the request that a scheduled task has passed on; nil for the task of
// another step.
func asked(e *types.HistoryEvent) (*rotation.RequestUploadInput, time.Time) {
	var parameters struct {
		Payload rotation.RequestUploadInput
	}
	if e.TaskScheduledEventDetails == nil ||
		json.Unmarshal([]byte(aws.ToString(e.TaskScheduledEventDetails.Parameters)), &parameters) != nil ||
		parameters.Payload.TaskToken == "" {
		return nil, time.Time{}
	}
	return &parameters.Payload, aws.ToTime(e.Timestamp).UTC()
}
