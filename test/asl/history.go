package asl

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
)

// Limits of Step Functions ("Step Functions service quotas", Developer Guide).
const (
	mostEvents  = 25_000
	mostPayload = 256 * 1024
)

// add appends an event to the history. The previous event is the one before it:
// nothing here runs in parallel.
func (e *Execution) add(event types.HistoryEvent) {
	e.mu.Lock()
	defer e.mu.Unlock()
	event.PreviousEventId = int64(len(e.events))
	event.Id = event.PreviousEventId + 1
	event.Timestamp = aws.Time(time.Now())
	e.events = append(e.events, event)
}

// History is what GetExecutionHistory shows, oldest event first.
func (e *Execution) History() []types.HistoryEvent {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clip(e.events)
}

// full tells that the history takes no more than the event that ends it.
func (e *Execution) full() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.events) >= mostEvents-1
}

func (e *Execution) entered(s *state, input string) {
	e.add(types.HistoryEvent{Type: types.HistoryEventType(s.kind + "StateEntered"),
		StateEnteredEventDetails: &types.StateEnteredEventDetails{Name: &s.name, Input: &input}})
}

func (e *Execution) exited(s *state, output string, assigned map[string]any) {
	details := &types.StateExitedEventDetails{Name: &s.name, Output: &output}
	for name, v := range assigned {
		if details.AssignedVariables == nil {
			details.AssignedVariables = make(map[string]string, len(assigned))
		}
		details.AssignedVariables[name] = string(encode(v))
	}
	e.add(types.HistoryEvent{Type: types.HistoryEventType(s.kind + "StateExited"), StateExitedEventDetails: details})
}

func (e *Execution) scheduled(s *state, arguments json.RawMessage, timeout int64) {
	details := &types.TaskScheduledEventDetails{Resource: &s.action, ResourceType: &s.service,
		Region: aws.String(e.region()), Parameters: aws.String(string(arguments))}
	if timeout > 0 {
		details.TimeoutInSeconds = &timeout
	}
	e.add(types.HistoryEvent{Type: types.HistoryEventTypeTaskScheduled, TaskScheduledEventDetails: details})
	e.add(types.HistoryEvent{Type: types.HistoryEventTypeTaskStarted,
		TaskStartedEventDetails: &types.TaskStartedEventDetails{Resource: &s.action, ResourceType: &s.service}})
}

func (e *Execution) submitted(s *state, output json.RawMessage) {
	e.add(types.HistoryEvent{Type: types.HistoryEventTypeTaskSubmitted, TaskSubmittedEventDetails: &types.TaskSubmittedEventDetails{
		Resource: &s.action, ResourceType: &s.service, Output: aws.String(string(output))}})
}

func (e *Execution) succeededTask(s *state, output []byte) {
	e.add(types.HistoryEvent{Type: types.HistoryEventTypeTaskSucceeded, TaskSucceededEventDetails: &types.TaskSucceededEventDetails{
		Resource: &s.action, ResourceType: &s.service, Output: aws.String(string(output))}})
}

func (e *Execution) failedTask(s *state, f *Failure) {
	if f.Name == errTimeout {
		e.add(types.HistoryEvent{Type: types.HistoryEventTypeTaskTimedOut, TaskTimedOutEventDetails: &types.TaskTimedOutEventDetails{
			Resource: &s.action, ResourceType: &s.service, Error: &f.Name}})
		return
	}
	e.add(types.HistoryEvent{Type: types.HistoryEventTypeTaskFailed, TaskFailedEventDetails: &types.TaskFailedEventDetails{
		Resource: &s.action, ResourceType: &s.service, Error: &f.Name, Cause: &f.Cause}})
}

// notEvaluated tells of an expression that failed.
func (e *Execution) notEvaluated(s *state, field string, f *Failure) {
	e.add(types.HistoryEvent{Type: types.HistoryEventTypeEvaluationFailed, EvaluationFailedEventDetails: &types.EvaluationFailedEventDetails{
		State: &s.name, Location: &field, Error: &f.Name, Cause: &f.Cause}})
}

// aborted tells that a state was given up.
func (e *Execution) aborted() {
	if s := e.machine.states[e.State()]; s != nil && (s.kind == kindTask || s.kind == kindWait) {
		e.add(types.HistoryEvent{Type: types.HistoryEventType(s.kind + "StateAborted")})
	}
}

// ended writes the last event, by what the execution came to.
func (e *Execution) ended(r Result) {
	event := types.HistoryEvent{}
	switch r.Status {
	case StatusSucceeded:
		event.Type = types.HistoryEventTypeExecutionSucceeded
		event.ExecutionSucceededEventDetails = &types.ExecutionSucceededEventDetails{Output: aws.String(string(r.Output))}
	case StatusFailed:
		event.Type = types.HistoryEventTypeExecutionFailed
		event.ExecutionFailedEventDetails = &types.ExecutionFailedEventDetails{Error: &r.Error, Cause: &r.Cause}
	case StatusAborted:
		event.Type = types.HistoryEventTypeExecutionAborted
		event.ExecutionAbortedEventDetails = &types.ExecutionAbortedEventDetails{}
	case StatusTimedOut:
		event.Type = types.HistoryEventTypeExecutionTimedOut
		event.ExecutionTimedOutEventDetails = &types.ExecutionTimedOutEventDetails{Error: &r.Error}
	}
	e.add(event)
}
