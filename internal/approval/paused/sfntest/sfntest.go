// Package sfntest is Step Functions as the page meets it, in memory: executions
// that ask, take one answer for a token, and show their history. It behaves as
// the Step Functions API reference says, for tests.
package sfntest

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"keyturn/internal/rotation"
)

// MachineARN is the state machine whose executions Service knows.
const MachineARN = "arn:aws:states:eu-west-1:123456789012:stateMachine:keyturn-rotation"

// Service is Step Functions with one execution.
type Service struct {
	// Execution is its name.
	Execution string
	// Now is the clock of its events.
	Now func() time.Time
	// Outage is what every call answers, if it is not nil.
	Outage error

	mu     sync.Mutex
	events []types.HistoryEvent
	// waiting is the token that can be answered; issued are all that ever could.
	waiting string
	issued  map[string]bool
	calls   int
}

func (s *Service) add(e types.HistoryEvent) {
	e.Id = int64(len(s.events) + 1)
	e.Timestamp = aws.Time(s.Now())
	s.events = append(s.events, e)
}

func (s *Service) enter(kind types.HistoryEventType, state string) {
	s.add(types.HistoryEvent{Type: kind, StateEnteredEventDetails: &types.StateEnteredEventDetails{Name: aws.String(state), Input: aws.String("{}")}})
}

func (s *Service) exit(kind types.HistoryEventType, state string) {
	s.add(types.HistoryEvent{Type: kind, StateExitedEventDetails: &types.StateExitedEventDetails{Name: aws.String(state), Output: aws.String("{}")}})
}

// Ask has the execution wait for an answer to a request, whose token it is.
func (s *Service) Ask(in rotation.RequestUploadInput) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.enter(types.HistoryEventTypeTaskStateEntered, "RequestUpload")
	s.schedule(in)
}

func (s *Service) schedule(in rotation.RequestUploadInput) {
	payload, err := json.Marshal(map[string]any{"FunctionName": "arn:aws:lambda:eu-west-1:123456789012:function:keyturn-request-upload", "Payload": in})
	if err != nil {
		panic(err)
	}
	s.add(types.HistoryEvent{Type: types.HistoryEventTypeTaskScheduled, TaskScheduledEventDetails: &types.TaskScheduledEventDetails{
		Resource: aws.String("invoke.waitForTaskToken"), ResourceType: aws.String("lambda"), Parameters: aws.String(string(payload))}})
	s.add(types.HistoryEvent{Type: types.HistoryEventTypeTaskStarted})
	s.add(types.HistoryEvent{Type: types.HistoryEventTypeTaskSubmitted})
	if s.issued == nil {
		s.issued = map[string]bool{}
	}
	s.issued[in.TaskToken], s.waiting = true, in.TaskToken
}

// Fail ends an attempt with an error of the function; a retry follows if again
// is not nil.
func (s *Service) Fail(name string, again *rotation.RequestUploadInput) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting = ""
	s.add(types.HistoryEvent{Type: types.HistoryEventTypeTaskFailed, TaskFailedEventDetails: &types.TaskFailedEventDetails{
		Error: aws.String(name), Cause: aws.String(`{"errorMessage":"no","errorType":"` + name + `"}`)}})
	if again != nil {
		s.schedule(*again)
	}
}

// TimeOut ends the wait without an answer.
func (s *Service) TimeOut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting = ""
	s.add(types.HistoryEvent{Type: types.HistoryEventTypeTaskTimedOut, TaskTimedOutEventDetails: &types.TaskTimedOutEventDetails{Error: aws.String("States.Timeout")}})
	s.exit(types.HistoryEventTypeTaskStateExited, "RequestUpload")
}

// Step has the execution carry out a step that answers with an output.
func (s *Service) Step(state, output string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.enter(types.HistoryEventTypeTaskStateEntered, state)
	s.add(types.HistoryEvent{Type: types.HistoryEventTypeTaskScheduled, TaskScheduledEventDetails: &types.TaskScheduledEventDetails{
		Parameters: aws.String(`{"FunctionName":"arn","Payload":{"target":{"kind":"app","id":"0oa1"}}}`)}})
	s.add(types.HistoryEvent{Type: types.HistoryEventTypeTaskStarted})
	if output == "" {
		return
	}
	s.add(types.HistoryEvent{Type: types.HistoryEventTypeTaskSucceeded, TaskSucceededEventDetails: &types.TaskSucceededEventDetails{Output: aws.String(output)}})
	s.exit(types.HistoryEventTypeTaskStateExited, state)
}

// Choose has the execution pass through a Choice state.
func (s *Service) Choose(state string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.enter(types.HistoryEventTypeChoiceStateEntered, state)
	s.exit(types.HistoryEventTypeChoiceStateExited, state)
}

// End ends the execution with a report, as its output or cause.
func (s *Service) End(result, report string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting = ""
	switch result {
	case "Completed", "GaveUp":
		s.add(types.HistoryEvent{Type: types.HistoryEventTypeExecutionSucceeded, ExecutionSucceededEventDetails: &types.ExecutionSucceededEventDetails{Output: aws.String(report)}})
	case "Aborted":
		s.add(types.HistoryEvent{Type: types.HistoryEventTypeExecutionAborted, ExecutionAbortedEventDetails: &types.ExecutionAbortedEventDetails{}})
	default:
		s.add(types.HistoryEvent{Type: types.HistoryEventTypeExecutionFailed, ExecutionFailedEventDetails: &types.ExecutionFailedEventDetails{Error: aws.String(result), Cause: aws.String(report)}})
	}
}

// Calls counts the calls that the service has had.
func (s *Service) Calls() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls
}

// Answers are the decisions that were taken, as JSON: "success …" or
// "failure name …".
func (s *Service) Answers() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []string
	for _, e := range s.events {
		switch {
		case e.TaskSucceededEventDetails != nil && json.Valid([]byte(*e.TaskSucceededEventDetails.Output)) && e.TaskSucceededEventDetails.Resource != nil:
			all = append(all, "success "+*e.TaskSucceededEventDetails.Output)
		case e.TaskFailedEventDetails != nil && e.TaskFailedEventDetails.Resource != nil:
			all = append(all, "failure "+*e.TaskFailedEventDetails.Error+" "+*e.TaskFailedEventDetails.Cause)
		}
	}
	return all
}

func (s *Service) answer(token *string) error {
	s.calls++
	switch {
	case s.Outage != nil:
		return s.Outage
	case !s.issued[aws.ToString(token)]:
		return &types.InvalidToken{Message: aws.String("Invalid Token: 'Invalid token'")}
	case s.waiting != aws.ToString(token):
		return &types.TaskTimedOut{Message: aws.String("Task Timed Out: 'Provided task does not exist anymore'")}
	}
	s.waiting = ""
	return nil
}

// SendTaskSuccess answers a token.
func (s *Service) SendTaskSuccess(_ context.Context, in *sfn.SendTaskSuccessInput, _ ...func(*sfn.Options)) (*sfn.SendTaskSuccessOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.answer(in.TaskToken); err != nil {
		return nil, err
	}
	s.add(types.HistoryEvent{Type: types.HistoryEventTypeTaskSucceeded, TaskSucceededEventDetails: &types.TaskSucceededEventDetails{
		Output: in.Output, Resource: aws.String("invoke.waitForTaskToken")}})
	s.exit(types.HistoryEventTypeTaskStateExited, "RequestUpload")
	return &sfn.SendTaskSuccessOutput{}, nil
}

// SendTaskFailure answers a token.
func (s *Service) SendTaskFailure(_ context.Context, in *sfn.SendTaskFailureInput, _ ...func(*sfn.Options)) (*sfn.SendTaskFailureOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.answer(in.TaskToken); err != nil {
		return nil, err
	}
	s.add(types.HistoryEvent{Type: types.HistoryEventTypeTaskFailed, TaskFailedEventDetails: &types.TaskFailedEventDetails{
		Error: in.Error, Cause: in.Cause, Resource: aws.String("invoke.waitForTaskToken")}})
	s.exit(types.HistoryEventTypeTaskStateExited, "RequestUpload")
	return &sfn.SendTaskFailureOutput{}, nil
}

// GetExecutionHistory shows the events, newest first if asked so, in pages.
func (s *Service) GetExecutionHistory(_ context.Context, in *sfn.GetExecutionHistoryInput, _ ...func(*sfn.Options)) (*sfn.GetExecutionHistoryOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	if s.Outage != nil {
		return nil, s.Outage
	}
	if want := "arn:aws:states:eu-west-1:123456789012:execution:keyturn-rotation:" + s.Execution; aws.ToString(in.ExecutionArn) != want {
		return nil, &types.ExecutionDoesNotExist{Message: aws.String(fmt.Sprintf("Execution Does Not Exist: '%s'", aws.ToString(in.ExecutionArn)))}
	}
	start := 0
	if in.NextToken != nil {
		start, _ = strconv.Atoi(*in.NextToken)
	}
	out := &sfn.GetExecutionHistoryOutput{}
	for i := start; i < len(s.events); i++ {
		if len(out.Events) == int(in.MaxResults) {
			out.NextToken = aws.String(strconv.Itoa(i))
			break
		}
		e := s.events[i]
		if in.ReverseOrder {
			e = s.events[len(s.events)-1-i]
		}
		out.Events = append(out.Events, e)
	}
	return out, nil
}
