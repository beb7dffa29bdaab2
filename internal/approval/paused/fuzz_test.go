package paused_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"keyturn/internal/approval/paused"
	"keyturn/internal/approval/paused/sfntest"
)

// shown is Step Functions with these events, newest first, in pages.
type shown struct{ pages [][]types.HistoryEvent }

func (s *shown) GetExecutionHistory(context.Context, *sfn.GetExecutionHistoryInput, ...func(*sfn.Options)) (*sfn.GetExecutionHistoryOutput, error) {
	out := &sfn.GetExecutionHistoryOutput{}
	if len(s.pages) > 0 {
		out.Events, s.pages = s.pages[0], s.pages[1:]
	}
	out.NextToken = aws.String("more")
	return out, nil
}

// Whatever a history shows: the page asks for an answer only where a request
// with a task token waits, after which nothing has happened in its state.
func FuzzHistory(f *testing.F) {
	request, err := json.Marshal(asking("t1"))
	if err != nil {
		f.Fatal(err)
	}
	event := func(kind string, details string) string { return `{"Type":"` + kind + `"` + details + `}` }
	text := func(s string) string {
		quoted, err := json.Marshal(s)
		if err != nil {
			f.Fatal(err)
		}
		return string(quoted)
	}
	entered := event("TaskStateEntered", `,"StateEnteredEventDetails":{"Name":"RequestUpload"}`)
	scheduled := event("TaskScheduled", `,"Timestamp":"2026-03-01T12:00:00Z","TaskScheduledEventDetails":{"Parameters":`+text(`{"Payload":`+string(request)+`}`)+`}`)
	decision := text(`{"confirmed":true,"by":"crm@example.com","at":"2026-03-01T12:00:00Z","comment":""}`)
	succeeded := event("TaskSucceeded", `,"TaskSucceededEventDetails":{"Output":`+decision+`}`)
	rejected := event("TaskFailed", `,"TaskFailedEventDetails":{"Error":"Approval.Rejected","Cause":`+decision+`}`)
	failed := event("TaskFailed", `,"TaskFailedEventDetails":{"Error":"Notify.Unavailable","Cause":"x"}`)
	ended := event("ExecutionSucceeded", `,"ExecutionSucceededEventDetails":{"Output":`+text(`{"result":"GaveUp","resumed":true}`)+`}`)
	for _, events := range [][]string{
		{scheduled, entered}, {event("TaskSubmitted", ""), event("TaskStarted", ""), scheduled, entered}, {succeeded, scheduled, entered}, {rejected, scheduled, entered},
		{scheduled, failed, scheduled, entered}, {failed, scheduled, entered}, {ended, succeeded, scheduled, entered}, {event("TaskTimedOut", ""), scheduled, entered}, {entered, scheduled}, {scheduled}, {scheduled, scheduled},
		// What has its details elsewhere, or none.
		{event("ExecutionSucceeded", "")}, {event("ExecutionFailed", "")}, {event("ExecutionAborted", "")}, {event("ExecutionTimedOut", "")}, {event("TaskSucceeded", ""), scheduled, entered},
		{event("TaskFailed", ""), scheduled, entered}, {event("TaskScheduled", ""), entered}, {event("TaskScheduled", `,"TaskScheduledEventDetails":{}`), entered}, {event("", "")}, {event("MapIterationStarted", "")},
		{event("ExecutionFailed", `,"ExecutionFailedEventDetails":{"Cause":"{\"result\":7}"}`)}, {event("TaskSucceeded", `,"TaskSucceededEventDetails":{"Output":"{\"confirmed\":true,\"at\":\"x\"}"}`), entered},
	} {
		f.Add("["+strings.Join(events, ",")+"]", 100)
		f.Add("["+strings.Join(events, ",")+"]", 1)
	}
	f.Fuzz(func(t *testing.T, history string, size int) {
		var events []types.HistoryEvent
		if json.Unmarshal([]byte(history), &events) != nil || size < 1 {
			return
		}
		service := &shown{}
		for rest := events; len(rest) > 0 && len(service.pages) < 8; {
			n := min(size, len(rest))
			service.pages, rest = append(service.pages, rest[:n]), rest[n:]
		}
		p, err := paused.Executions{StepFunctions: service, MachineARN: sfntest.MachineARN}.Progress(t.Context(), execution)
		if err != nil {
			t.Fatal(err)
		}
		if p.Asking != nil && p.Asking.TaskToken == "" {
			t.Errorf("%s: it asks without a token", history)
		}
		if p.Asking != nil && p.Result != "" {
			t.Errorf("%s: it has ended as %s, and asks", history, p.Result)
		}
		if p.Asking != nil {
			wantWaiting(t, history, events, p.Asking.TaskToken)
		}
		if p.Last != nil && p.Last.At.IsZero() {
			t.Errorf("%s: a decision of no time: %+v", history, p.Last)
		}
	})
}

// wantWaiting fails unless the newest task was scheduled with the token, in a
// state that was entered, and has not ended.
func wantWaiting(t *testing.T, history string, events []types.HistoryEvent, token string) {
	t.Helper()
	scheduled := false
	for _, e := range events {
		switch e.Type {
		case types.HistoryEventTypeTaskScheduled:
			if !scheduled && (e.TaskScheduledEventDetails == nil || !strings.Contains(aws.ToString(e.TaskScheduledEventDetails.Parameters), "oken")) {
				t.Fatalf("%s: another task is the newest", history)
			}
			scheduled = true
		case types.HistoryEventTypeTaskStateEntered:
			if !scheduled {
				t.Errorf("%s: it asks by a request of an earlier state, %q", history, token)
			}
			return
		case types.HistoryEventTypeTaskSucceeded, types.HistoryEventTypeTaskFailed, types.HistoryEventTypeTaskTimedOut, types.HistoryEventTypeExecutionSucceeded,
			types.HistoryEventTypeExecutionFailed, types.HistoryEventTypeExecutionAborted, types.HistoryEventTypeExecutionTimedOut:
			if !scheduled {
				t.Errorf("%s: it asks by a request that has ended (%s), %q", history, e.Type, token)
			}
		default:
		}
	}
	t.Errorf("%s: it asks in a state that was never entered, %q", history, token)
}
