package asl_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/google/go-cmp/cmp"

	"keyturn/test/asl"
)

const machineARN = "arn:aws:states:eu-west-1:123456789012:stateMachine:little"

// machine makes a definition of some states; the first one is S.
func machine(t *testing.T, states string) *asl.Machine {
	t.Helper()
	m, err := asl.Parse([]byte(`{"QueryLanguage": "JSONata", "StartAt": "S", "States": {`+states+`}}`), nil)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func start(t *testing.T, r *asl.Runner, m *asl.Machine, input string) *asl.Execution {
	t.Helper()
	return r.Start(t.Context(), m, asl.Start{MachineARN: machineARN, Name: "one", Input: json.RawMessage(input)})
}

func run(t *testing.T, r *asl.Runner, m *asl.Machine, input string) (asl.Result, *asl.Execution) {
	t.Helper()
	e := start(t, r, m, input)
	<-e.Done()
	return e.Result(), e
}

// sameJSON compares two JSON texts by what they mean.
func sameJSON(t *testing.T, what string, got []byte, want string) {
	t.Helper()
	var g, w any
	if err := json.Unmarshal(got, &g); err != nil {
		t.Errorf("%s: got %q, which is no JSON", what, got)
		return
	}
	if err := json.Unmarshal([]byte(want), &w); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(w, g); diff != "" {
		t.Errorf("%s (- want, + got):\n%s", what, diff)
	}
}

// answers are tasks that give back what stands for their attempt: JSON, or the
// name of an error.
func answers(all ...string) asl.Tasks {
	n := -1
	return func(_ context.Context, c asl.Call) (json.RawMessage, error) {
		n++
		answer := all[min(n, len(all)-1)]
		if json.Valid([]byte(answer)) {
			return json.RawMessage(answer), nil
		}
		return nil, &asl.Failure{Name: answer, Cause: fmt.Sprintf(`{"errorMessage":"attempt %d","errorType":%q}`, c.Attempt, answer)}
	}
}

// eventTypes are a history's, in order.
func eventTypes(e *asl.Execution) []string {
	var all []string
	for _, h := range e.History() {
		all = append(all, string(h.Type))
	}
	return all
}

// task is a state S that calls a function, with more fields.
func task(fields string) string {
	return `"S": {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "Arguments": {"FunctionName": "f", "Payload": "{% $states.input %}"}, ` + fields + `}`
}

const end = `, "E": {"Type": "Succeed"}`

// placeholders are those of the real definitions.
func placeholders() map[string]string {
	all := map[string]string{"Partition": "aws"}
	for _, name := range []string{"InspectTarget", "GenerateCsr", "SignCsr", "PublishCsr", "CloneCertificate", "UpdateKeyCredential",
		"VerifyKey", "RevokeCsr", "RequestUpload", "ListApps", "StartRotations", "ReportInventory"} {
		all[name+"Function"] = "arn:aws:lambda:eu-west-1:123456789012:function:keyturn-" + name
	}
	return all
}

func TestTheRealDefinitionsAreKnownInFull(t *testing.T) {
	for _, name := range []string{"rotation", "discovery"} {
		text, err := os.ReadFile("../../statemachine/" + name + ".asl.json")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := asl.Parse(text, placeholders()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestADefinitionWithSomethingUnknownIsRefused(t *testing.T) {
	whole := func(states string) string {
		return `{"QueryLanguage": "JSONata", "StartAt": "S", "States": {` + states + `}}`
	}
	for definition, want := range map[string]string{
		`{"StartAt": "S", "States": {}}`:                                                                                         "QueryLanguage",
		`{"QueryLanguage": "JSONPath", "StartAt": "S", "States": {}}`:                                                            "QueryLanguage",
		`{"QueryLanguage": "JSONata", "StartAt": "S", "States": {}, "Version": "1.0"}`:                                           "Version",
		`{"QueryLanguage": "JSONata", "StartAt": "X", "States": {"S": {"Type": "Pass"}}}`:                                        "Next or End",
		`{"QueryLanguage": "JSONata", "StartAt": "X", "States": {}}`:                                                             `no state "X"`,
		whole(`"S": {"Type": "Parallel", "End": true}`):                                                                          `"Parallel"`,
		whole(`"S": {"Type": "Map", "End": true}`):                                                                               `"Map"`,
		whole(`"S": {"Type": "Pass", "QueryLanguage": "JSONPath", "End": true}`):                                                 "JSONPath",
		whole(`"S": {"Type": "Pass", "ResultPath": "$.x", "End": true}`):                                                         "ResultPath",
		whole(`"S": {"Type": "Pass", "Output": {"a.$": "$.b"}, "End": true}`):                                                    "JSONPath",
		whole(`"S": {"Type": "Pass", "Next": "T"}`):                                                                              `no state "T"`,
		whole(`"S": {"Type": "Pass", "End": true}, "T": {"Type": "Pass", "End": true}`):                                          "nothing leads",
		whole(`"S": {"Type": "Pass", "Output": "{% $x", "End": true}`):                                                           "expression only",
		whole(`"S": {"Type": "Pass", "Output": "{% 1 + %}", "End": true}`):                                                       "Output",
		whole(`"S": {"Type": "Pass", "Assign": {"states": 1}, "End": true}`):                                                     `"states"`,
		whole(`"S": {"Type": "Pass", "Assign": {"count": 1}, "End": true}`):                                                      `"count"`,
		whole(`"S": {"Type": "Pass", "Output": "${Name}", "End": true}`):                                                         "${Name}",
		whole(`"S": {"Type": "Wait", "End": true}`):                                                                              "Seconds or Timestamp",
		whole(`"S": {"Type": "Wait", "Seconds": 1, "Timestamp": "x", "End": true}`):                                              "Seconds or Timestamp",
		whole(`"S": {"Type": "Choice", "Choices": [], "Default": "S"}`):                                                          "Choices",
		whole(`"S": {"Type": "Choice", "Choices": [{"Next": "S"}], "Default": "S"}`):                                             "Condition",
		whole(task(`"HeartbeatSeconds": 3, "End": true`)):                                                                        "HeartbeatSeconds",
		whole(task(`"Retry": [{"ErrorEquals": ["States.Anything"]}], "End": true`)):                                              "States.Anything",
		whole(task(`"Retry": [{"ErrorEquals": ["A", "States.ALL"]}], "End": true`)):                                              "stands alone",
		whole(task(`"Catch": [{"ErrorEquals": ["States.ALL"], "Next": "S"}, {"ErrorEquals": ["A"], "Next": "S"}], "End": true`)): "stands alone",
		whole(task(`"Retry": [{"ErrorEquals": ["A"], "JitterStrategy": "HALF"}], "End": true`)):                                  "HALF",
		whole(task(`"Retry": [{"ErrorEquals": ["A"], "IntervalSeconds": 5, "MaxDelaySeconds": 5}], "End": true`)):                "MaxDelaySeconds",
		whole(`"S": {"Type": "Task", "Resource": "arn:aws:lambda:eu-west-1:1:function:f", "End": true}`):                         "no integration",
		whole(`"S": {"Type": "Pass", "End": true}`) + `{}`:                                                                       "follows",
	} {
		if _, err := asl.Parse([]byte(definition), nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\n got %v, want %q", definition, err, want)
		}
	}
}

func TestVariablesAreAssignedAllAtOnceAndNumbersStayIntegers(t *testing.T) {
	m := machine(t, `
		"S": {"Type": "Pass", "Assign": {"a": 1, "b": {"deep": ["{% $states.input.n + 1 %}", "text", null]}}, "Output": {"seen": "{% $exists($a) %}"}, "Next": "Swap"},
		"Swap": {"Type": "Pass", "Assign": {"a": "{% $b %}", "b": "{% $a %}"}, "Output": {"a": "{% $a %}", "before": "{% $states.input %}"}, "Next": "End"},
		"End": {"Type": "Succeed", "Output": {"a": "{% $a %}", "b": "{% $b %}", "last": "{% $states.input %}"}}`)
	r, e := run(t, &asl.Runner{}, m, `{"n": 9007199254740991}`)
	sameJSON(t, "output", r.Output, `{"a": {"deep": [9007199254740992, "text", null]}, "b": 1, "last": {"a": 1, "before": {"seen": false}}}`)
	if !strings.Contains(string(r.Output), "9007199254740992,") {
		t.Errorf("the number is written as in %s", r.Output)
	}
	if r.Transitions != 3 || r.Status != asl.StatusSucceeded {
		t.Errorf("got %+v", r)
	}
	if got := e.History()[2].StateExitedEventDetails.AssignedVariables["a"]; got != "1" {
		t.Errorf("the history has a = %s", got)
	}
}

func TestAChoiceTakesTheFirstRuleThatHoldsWithWhatItAssigns(t *testing.T) {
	m := machine(t, `
		"S": {"Type": "Choice", "Choices": [
			{"Condition": "{% $states.input.n < 0 %}", "Next": "E"},
			{"Condition": "{% $states.input.n < 10 %}", "Assign": {"size": "small"}, "Output": {"n": "{% $states.input.n * 2 %}"}, "Next": "E"},
			{"Condition": "{% $states.input.n < 100 %}", "Assign": {"size": "medium"}, "Next": "E"}],
			"Assign": {"size": "large"}, "Output": "default", "Default": "E"},
		"E": {"Type": "Succeed", "Output": {"size": "{% $exists($size) ? $size : 'none' %}", "input": "{% $states.input %}"}}`)
	for input, want := range map[string]string{
		`{"n": -1}`:  `{"size": "none", "input": {"n": -1}}`,
		`{"n": 1}`:   `{"size": "small", "input": {"n": 2}}`,
		`{"n": 11}`:  `{"size": "medium", "input": {"n": 11}}`,
		`{"n": 100}`: `{"size": "large", "input": "default"}`,
	} {
		r, _ := run(t, &asl.Runner{}, m, input)
		sameJSON(t, input, r.Output, want)
	}
}

func TestWhatCannotBeEvaluatedFailsTheExecution(t *testing.T) {
	for states, want := range map[string]string{
		`"S": {"Type": "Pass", "Output": "{% $states.input.missing %}", "End": true}`:                             "returned nothing",
		`"S": {"Type": "Pass", "Assign": {"x": {"y": "{% $missing %}"}}, "End": true}`:                            "'Assign/x/y'",
		`"S": {"Type": "Pass", "Output": "{% $count %}", "End": true}`:                                            "is a function",
		`"S": {"Type": "Pass", "Output": "{% 1 + 'a' %}", "End": true}`:                                           "T2002",
		`"S": {"Type": "Choice", "Choices": [{"Condition": "{% 1 %}", "Next": "E"}], "Default": "E"}` + end:       "true or false",
		`"S": {"Type": "Choice", "Choices": [{"Condition": "{% $no < 1 %}", "Next": "E"}], "Default": "E"}` + end: "returned nothing",
		`"S": {"Type": "Wait", "Seconds": "{% -1 %}", "End": true}`:                                               "whole number",
		`"S": {"Type": "Wait", "Seconds": "{% 1.5 %}", "End": true}`:                                              "whole number",
		`"S": {"Type": "Wait", "Timestamp": "{% 'tomorrow' %}", "End": true}`:                                     "a time like",
		task(`"TimeoutSeconds": "{% 0 %}", "End": true`):                                                          "whole number",
		task(`"Output": "{% $states.errorOutput %}", "End": true`):                                                "returned nothing",
		`"S": {"Type": "Fail", "Error": "{% 7 %}"}`:                                                               "text",
	} {
		r, e := run(t, &asl.Runner{Tasks: answers(`{}`)}, machine(t, states), `{"a": 1}`)
		if r.Status != asl.StatusFailed || r.Error != "States.QueryEvaluationError" || !strings.Contains(r.Cause, want) {
			t.Errorf("%s\n got %+v, want %q", states, r, want)
		}
		if !slices.Contains(eventTypes(e), string(types.HistoryEventTypeEvaluationFailed)) {
			t.Errorf("%s: the history does not show it", states)
		}
	}
	r, _ := run(t, &asl.Runner{}, machine(t, `"S": {"Type": "Choice", "Choices": [{"Condition": "{% false %}", "Next": "E"}]}`+end), `{}`)
	if r.Error != "States.NoChoiceMatched" {
		t.Errorf("without a default: %+v", r)
	}
}

func TestATaskCanCatchWhatItCannotEvaluate(t *testing.T) {
	m := machine(t, task(`"Assign": {"x": "{% $states.result.missing %}"},
		"Catch": [{"ErrorEquals": ["States.QueryEvaluationError"], "Assign": {"caught": "{% $states.errorOutput.Error %}"}, "Next": "E"}], "Next": "E"`)+
		`, "E": {"Type": "Succeed", "Output": "{% [$caught, $exists($x)] %}"}`)
	r, _ := run(t, &asl.Runner{Tasks: answers(`{}`)}, m, `{}`)
	sameJSON(t, "output", r.Output, `["States.QueryEvaluationError", false]`)
}

func TestWaitsTakeNoTimeOfOurs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		m := machine(t, `
			"S": {"Type": "Wait", "Seconds": "{% $states.input.days * 86400 %}", "Assign": {"at": "{% $states.context.State.EnteredTime %}"}, "Next": "Until"},
			"Until": {"Type": "Wait", "Timestamp": "{% $fromMillis($toMillis($at) + 5 * 86400000) %}", "Next": "Over"},
			"Over": {"Type": "Wait", "Timestamp": "2000-01-01T00:00:00Z", "Next": "E"}`+end)
		r, e := run(t, &asl.Runner{}, m, `{"days": 3}`)
		if took := time.Since(began); took != 5*24*time.Hour || r.Status != asl.StatusSucceeded {
			t.Errorf("%v, %+v", took, r)
		}
		want := []string{"ExecutionStarted", "WaitStateEntered", "WaitStateExited", "WaitStateEntered", "WaitStateExited",
			"WaitStateEntered", "WaitStateExited", "SucceedStateEntered", "SucceedStateExited", "ExecutionSucceeded"}
		if diff := cmp.Diff(want, eventTypes(e)); diff != "" {
			t.Error(diff)
		}
	})
}

func TestATaskGetsItsArgumentsAndGivesItsResult(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got asl.Call
		r := &asl.Runner{Tasks: func(_ context.Context, c asl.Call) (json.RawMessage, error) {
			got = c
			return json.RawMessage(`{"StatusCode": 200, "Payload": {"n": 5}}`), nil
		}}
		m := machine(t, `"S": {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "TimeoutSeconds": 9,
			"Arguments": {"FunctionName": "f", "Payload": {"in": "{% $states.input %}", "who": "{% $states.context.Execution %}",
				"state": "{% $states.context.State %}", "machine": "{% $states.context.StateMachine %}"}},
			"Assign": {"n": "{% $states.result.Payload.n %}"}, "Output": {"n": "{% $states.result.Payload.n + $states.input.n %}"}, "Next": "E"}`+end)
		result, e := run(t, r, m, `{"n": 2}`)
		sameJSON(t, "output", result.Output, `{"n": 7}`)
		arn := "arn:aws:states:eu-west-1:123456789012:execution:little:one"
		sameJSON(t, "arguments", got.Arguments, `{"FunctionName": "f", "Payload": {"in": {"n": 2},
			"who": {"Id": "`+arn+`", "Name": "one", "Input": {"n": 2}, "StartTime": "2000-01-01T00:00:00.000Z", "RedriveCount": 0,
				"RoleArn": "arn:aws:iam::123456789012:role/StatesExecutionRole"},
			"state": {"Name": "S", "EnteredTime": "2000-01-01T00:00:00.000Z", "RetryCount": 0},
			"machine": {"Id": "`+machineARN+`", "Name": "little"}}}`)
		if got.Execution != arn || e.ARN() != arn || got.Name != "one" || got.State != "S" || got.Token != "" ||
			got.Resource != "arn:aws:states:::lambda:invoke" {
			t.Errorf("got %+v", got)
		}
		want := []string{"ExecutionStarted", "TaskStateEntered", "TaskScheduled", "TaskStarted", "TaskSucceeded", "TaskStateExited",
			"SucceedStateEntered", "SucceedStateExited", "ExecutionSucceeded"}
		if diff := cmp.Diff(want, eventTypes(e)); diff != "" {
			t.Error(diff)
		}
		h := e.History()
		scheduled := h[2].TaskScheduledEventDetails
		if *scheduled.Resource != "invoke" || *scheduled.ResourceType != "lambda" || *scheduled.Region != "eu-west-1" ||
			*scheduled.TimeoutInSeconds != 9 || *scheduled.Parameters != string(got.Arguments) {
			t.Errorf("scheduled: %+v", scheduled)
		}
		for i := range h {
			if h[i].Id != int64(i+1) || h[i].PreviousEventId != int64(i) || !h[i].Timestamp.Equal(time.Now()) {
				t.Errorf("event %d: %d after %d at %v", i, h[i].Id, h[i].PreviousEventId, h[i].Timestamp)
			}
		}
		sameJSON(t, "result", []byte(*h[4].TaskSucceededEventDetails.Output), `{"StatusCode": 200, "Payload": {"n": 5}}`)
		sameJSON(t, "exited", []byte(*h[5].StateExitedEventDetails.Output), `{"n": 7}`)
		sameJSON(t, "next input", []byte(*h[6].StateEnteredEventDetails.Input), `{"n": 7}`)
	})
}

func TestWithoutOutputATasksResultIsItsOutput(t *testing.T) {
	r, _ := run(t, &asl.Runner{Tasks: answers(`[1, 2]`)}, machine(t, task(`"Next": "E"`)+end), `{}`)
	sameJSON(t, "output", r.Output, `[1, 2]`)
}

func TestEachRetrierCountsForItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := machine(t, task(`"Retry": [
			{"ErrorEquals": ["Never"], "MaxAttempts": 0},
			{"ErrorEquals": ["A"], "IntervalSeconds": 5, "BackoffRate": 2.0, "MaxDelaySeconds": 12, "MaxAttempts": 3},
			{"ErrorEquals": ["B", "C"], "IntervalSeconds": 100},
			{"ErrorEquals": ["States.ALL"], "IntervalSeconds": 1000}], "Next": "E"`)+end)
		for _, c := range []struct {
			answers     []string
			took        time.Duration // in seconds
			transitions int
			failed      string
		}{
			{[]string{`{}`}, 0, 2, ""},
			{[]string{"A", "A", "A", `{}`}, 5 + 10 + 12, 5, ""},
			{[]string{"A", "B", "A", "C", "A", "D", `{}`}, 5 + 100 + 10 + 200 + 12 + 1000, 8, ""},
			{[]string{"A", "A", "A", "A", `{}`}, 27, 4, "A"}, // not the last retrier
			{[]string{"B", "C", "B", "C", `{}`}, 700, 4, "C"},
			{[]string{"Never"}, 0, 1, "Never"},
		} {
			began := time.Now()
			r, _ := run(t, &asl.Runner{Tasks: answers(c.answers...)}, m, `{}`)
			if took := time.Since(began); took != c.took*time.Second || r.Transitions != c.transitions || r.Error != c.failed {
				t.Errorf("%v: %v, %+v", c.answers, took, r)
			}
		}
	})
}

func TestJitterShortensDelaysAtRandom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := machine(t, task(`"Retry": [{"ErrorEquals": ["A"], "IntervalSeconds": 100, "JitterStrategy": "FULL", "MaxAttempts": 1}], "Next": "E"`)+end)
		began, delays := time.Now(), map[time.Duration]bool{}
		r := &asl.Runner{Rand: rand.New(rand.NewPCG(1, 2))}
		for range 20 {
			r.Tasks = answers("A", `{}`)
			run(t, r, m, `{}`)
			delay := time.Since(began)
			if delay < 0 || delay >= 100*time.Second {
				t.Errorf("a delay of %v", delay)
			}
			delays[delay], began = true, time.Now()
		}
		if len(delays) < 20 {
			t.Errorf("%d different delays", len(delays))
		}
	})
}

func TestACatcherTakesTheErrorsThatItNames(t *testing.T) {
	m := machine(t, task(`"Catch": [
		{"ErrorEquals": ["A", "B"], "Assign": {"how": "named", "what": "{% $states.errorOutput %}"}, "Output": {"in": "{% $states.input %}"}, "Next": "E"},
		{"ErrorEquals": ["States.Timeout"], "Assign": {"how": "late", "what": "{% $states.errorOutput %}"}, "Output": {}, "Next": "E"},
		{"ErrorEquals": ["States.ALL"], "Assign": {"how": "rest", "what": null}, "Next": "E"}], "Next": "E"`)+
		`, "E": {"Type": "Succeed", "Output": "{% [$how, $what, $states.input] %}"}`)
	for failure, want := range map[string]string{
		"B":              `["named", {"Error": "B", "Cause": "{\"errorMessage\":\"attempt 0\",\"errorType\":\"B\"}"}, {"in": {"x": 1}}]`,
		"States.Timeout": `["late", {"Error": "States.Timeout", "Cause": "{\"errorMessage\":\"attempt 0\",\"errorType\":\"States.Timeout\"}"}, {}]`,
		"Other":          `["rest", null, {"Error": "Other", "Cause": "{\"errorMessage\":\"attempt 0\",\"errorType\":\"Other\"}"}]`,
	} {
		r, e := run(t, &asl.Runner{Tasks: answers(failure)}, m, `{"x": 1}`)
		sameJSON(t, failure, r.Output, want)
		if failure == "B" {
			want := []string{"ExecutionStarted", "TaskStateEntered", "TaskScheduled", "TaskStarted", "TaskFailed", "TaskStateExited",
				"SucceedStateEntered", "SucceedStateExited", "ExecutionSucceeded"}
			if diff := cmp.Diff(want, eventTypes(e)); diff != "" {
				t.Error(diff)
			}
		}
	}
}

// Developer Guide, "Handling errors in Step Functions workflows".
func TestSomeErrorsAreNotAmongAll(t *testing.T) {
	catch := func(name string) string {
		return task(`"Retry": [{"ErrorEquals": ["`+name+`"], "MaxAttempts": 1}], "Catch": [{"ErrorEquals": ["`+name+`"], "Next": "E"}], "Next": "E"`) + end
	}
	for _, c := range []struct {
		catches, failure string
		caught           bool
	}{
		{"States.ALL", "Anything", true},
		{"States.ALL", "States.Timeout", true},
		{"States.ALL", "States.DataLimitExceeded", false},
		{"States.DataLimitExceeded", "States.DataLimitExceeded", true},
		{"States.ALL", "States.Runtime", false},
		{"States.Runtime", "States.Runtime", false},
		{"States.TaskFailed", "Anything", true},
		{"States.TaskFailed", "States.Timeout", false},
	} {
		synctest.Test(t, func(t *testing.T) {
			r, _ := run(t, &asl.Runner{Tasks: answers(c.failure)}, machine(t, catch(c.catches)), `{}`)
			if caught := r.Status == asl.StatusSucceeded; caught != c.caught || (caught && r.Transitions != 3) {
				t.Errorf("%s by %s: %+v", c.failure, c.catches, r)
			}
		})
	}
}

func TestATaskThatTakesTooLongIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := machine(t, task(`"TimeoutSeconds": "{% $states.input.seconds %}",
			"Retry": [{"ErrorEquals": ["States.Timeout"], "IntervalSeconds": 7, "MaxAttempts": 1}],
			"Catch": [{"ErrorEquals": ["States.ALL"], "Output": "{% $states.errorOutput %}", "Next": "E"}], "Next": "E"`)+end)
		for name, tasks := range map[string]asl.Tasks{
			"one that heeds its context": func(ctx context.Context, _ asl.Call) (json.RawMessage, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			},
			"one that does not": func(context.Context, asl.Call) (json.RawMessage, error) {
				time.Sleep(time.Hour)
				return json.RawMessage(`{}`), nil
			},
			"one that is late by nothing": func(context.Context, asl.Call) (json.RawMessage, error) {
				time.Sleep(31 * time.Second)
				return json.RawMessage(`{}`), nil
			},
		} {
			began := time.Now()
			r, e := run(t, &asl.Runner{Tasks: tasks}, m, `{"seconds": 30}`)
			sameJSON(t, name, r.Output, `{"Error": "States.Timeout", "Cause": ""}`)
			if took := time.Since(began); took != 67*time.Second {
				t.Errorf("%s: %v", name, took)
			}
			if got := eventTypes(e)[4]; got != "TaskTimedOut" {
				t.Errorf("%s: %s", name, got)
			}
			time.Sleep(2 * time.Hour)
		}
	})
}

// asking is a state S that waits for the answer to its token.
func asking(fields string) string {
	return `"S": {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke.waitForTaskToken",
		"Arguments": {"FunctionName": "f", "Payload": {"token": "{% $states.context.Task.Token %}"}}, ` + fields + `}`
}

// asked hands on the tokens of the calls.
func asked(tokens chan<- string) asl.Tasks {
	return func(_ context.Context, c asl.Call) (json.RawMessage, error) {
		tokens <- c.Token
		return json.RawMessage(`{"StatusCode": 200}`), nil
	}
}

func TestATokenTakesOneAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := machine(t, asking(`"TimeoutSeconds": 100, "Output": "{% $states.result %}", "Next": "E"`)+end)
		tokens := make(chan string, 1)
		r := &asl.Runner{Tasks: asked(tokens)}
		e := start(t, r, m, `{}`)
		token := <-tokens
		time.Sleep(99 * time.Second)
		if e.State() != "S" || e.Result().Status != asl.StatusRunning {
			t.Errorf("in %s: %+v", e.State(), e.Result())
		}
		if err := r.SendTaskSuccess(token, []byte(`{`)); !errors.Is(err, asl.ErrInvalidOutput) {
			t.Errorf("with what is no JSON: %v", err)
		}
		if err := r.SendTaskSuccess("x"+token, []byte(`{}`)); !errors.Is(err, asl.ErrInvalidToken) {
			t.Errorf("with an unknown token: %v", err)
		}
		if err := r.SendTaskSuccess(token, []byte(`{"confirmed": true}`)); err != nil {
			t.Fatal(err)
		}
		var over *types.TaskTimedOut
		if err := r.SendTaskFailure(token, "Rejected", ""); !errors.As(err, &over) || !errors.Is(err, asl.ErrTaskTimedOut) {
			t.Errorf("the second answer: %v", err)
		}
		<-e.Done()
		sameJSON(t, "output", e.Result().Output, `{"confirmed": true}`)
		want := []string{"ExecutionStarted", "TaskStateEntered", "TaskScheduled", "TaskStarted", "TaskSubmitted", "TaskSucceeded", "TaskStateExited",
			"SucceedStateEntered", "SucceedStateExited", "ExecutionSucceeded"}
		if diff := cmp.Diff(want, eventTypes(e)); diff != "" {
			t.Error(diff)
		}
		if got := *e.History()[2].TaskScheduledEventDetails; *got.Resource != "invoke.waitForTaskToken" || !strings.Contains(*got.Parameters, token) {
			t.Errorf("scheduled: %s %s", *got.Resource, *got.Parameters)
		}
	})
}

func TestARejectionIsAnErrorOfTheTask(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := machine(t, asking(`"Catch": [{"ErrorEquals": ["Approval.Rejected"], "Output": "{% $parse($states.errorOutput.Cause).by %}", "Next": "E"}], "Next": "E"`)+end)
		tokens := make(chan string, 1)
		r := &asl.Runner{Tasks: asked(tokens)}
		e := start(t, r, m, `{}`)
		if err := r.SendTaskFailure(<-tokens, "Approval.Rejected", `{"by": "ann"}`); err != nil {
			t.Fatal(err)
		}
		<-e.Done()
		sameJSON(t, "output", e.Result().Output, `"ann"`)
	})
}

func TestATokenIsOverWithItsAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := machine(t, asking(`"TimeoutSeconds": 60, "Retry": [{"ErrorEquals": ["States.Timeout"], "IntervalSeconds": 1, "MaxAttempts": 1}], "Next": "E"`)+end)
		tokens := make(chan string, 1)
		r := &asl.Runner{Tasks: asked(tokens)}
		e := start(t, r, m, `{}`)
		first, second := <-tokens, <-tokens
		if first == second {
			t.Error("both attempts have the same token")
		}
		if err := r.SendTaskSuccess(first, []byte(`1`)); !errors.Is(err, asl.ErrTaskTimedOut) {
			t.Errorf("the first token: %v", err)
		}
		if err := r.SendTaskSuccess(second, []byte(`2`)); err != nil {
			t.Error(err)
		}
		<-e.Done()
		sameJSON(t, "output", e.Result().Output, `2`)
	})
}

func TestAnAnswerMayComeBeforeTheFunctionHasReturned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := machine(t, asking(`"Next": "E"`)+end)
		r := &asl.Runner{}
		r.Tasks = func(_ context.Context, c asl.Call) (json.RawMessage, error) {
			if err := r.SendTaskSuccess(c.Token, []byte(`"quick"`)); err != nil {
				t.Error(err)
			}
			return nil, &asl.Failure{Name: "TooLate"}
		}
		result, _ := run(t, r, m, `{}`)
		sameJSON(t, "output", result.Output, `"quick"`)
	})
}

func TestAFunctionThatFailsEndsTheWaitForItsToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := machine(t, asking(`"TimeoutSeconds": 60, "Next": "E"`)+end)
		var token string
		r := &asl.Runner{Tasks: func(_ context.Context, c asl.Call) (json.RawMessage, error) {
			token = c.Token
			return nil, &asl.Failure{Name: "Notify.Unavailable", Cause: "no"}
		}}
		result, _ := run(t, r, m, `{}`)
		if result.Error != "Notify.Unavailable" || result.Cause != "no" {
			t.Errorf("%+v", result)
		}
		if err := r.SendTaskSuccess(token, []byte(`{}`)); !errors.Is(err, asl.ErrTaskTimedOut) {
			t.Errorf("the token: %v", err)
		}
	})
}

func TestAnExecutionThatIsStoppedCatchesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, states := range map[string]string{
			"Task": asking(`"Catch": [{"ErrorEquals": ["States.ALL"], "Next": "E"}], "Next": "E"`) + end,
			"Wait": `"S": {"Type": "Wait", "Seconds": 1000, "Next": "E"}` + end,
		} {
			tokens := make(chan string, 1)
			r := &asl.Runner{Tasks: asked(tokens)}
			e := start(t, r, machine(t, states), `{}`)
			synctest.Wait()
			e.Stop()
			<-e.Done()
			if got := e.Result(); got.Status != asl.StatusAborted || got.Error != "" || e.State() != "S" {
				t.Errorf("%s: %+v", name, got)
			}
			if all := eventTypes(e); !slices.Equal(all[len(all)-2:], []string{name + "StateAborted", "ExecutionAborted"}) {
				t.Errorf("%s: %v", name, all)
			}
			if name == "Task" {
				if err := r.SendTaskSuccess(<-tokens, []byte(`{}`)); !errors.Is(err, asl.ErrTaskTimedOut) {
					t.Errorf("the token: %v", err)
				}
			}
		}
	})
}

func TestTheEndOfTheStartersContextStopsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		m := machine(t, `"S": {"Type": "Wait", "Seconds": 10, "Next": "E"}`+end)
		e := (&asl.Runner{}).Start(ctx, m, asl.Start{MachineARN: machineARN, Name: "one", Input: json.RawMessage(`{}`)})
		cancel()
		<-e.Done()
		if got := e.Result(); got.Status != asl.StatusSucceeded {
			t.Errorf("%+v", got)
		}
	})
}

func TestAnExecutionHasATimeOfItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, err := asl.Parse([]byte(`{"QueryLanguage": "JSONata", "TimeoutSeconds": 50, "StartAt": "S", "States": {`+
			asking(`"TimeoutSeconds": 100, "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "E"}], "Next": "E"`)+end+`}}`), nil)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		r, e := run(t, &asl.Runner{Tasks: answers(`{}`)}, m, `{}`)
		if took := time.Since(began); took != 50*time.Second || r.Status != asl.StatusTimedOut || r.Error != "States.Timeout" {
			t.Errorf("%v: %+v", took, r)
		}
		if all := eventTypes(e); all[len(all)-1] != "ExecutionTimedOut" {
			t.Error(all)
		}
	})
}

func TestAFailStateFailsWithWhatItSays(t *testing.T) {
	m := machine(t, `"S": {"Type": "Fail", "Error": "RolledBack", "Cause": "{% $string($states.input) %}"}`)
	r, e := run(t, &asl.Runner{}, m, `{"a": "<&>"}`)
	if r.Status != asl.StatusFailed || r.Error != "RolledBack" || r.Cause != `{"a":"<&>"}` {
		t.Errorf("%+v", r)
	}
	want := []string{"ExecutionStarted", "FailStateEntered", "ExecutionFailed"}
	if diff := cmp.Diff(want, eventTypes(e)); diff != "" {
		t.Error(diff)
	}
	last := e.History()[2].ExecutionFailedEventDetails
	if aws.ToString(last.Error) != r.Error || aws.ToString(last.Cause) != r.Cause {
		t.Errorf("%+v", last)
	}
}

// "Step Functions service quotas", Developer Guide.
func TestWhatIsTooLargeFailsTheExecution(t *testing.T) {
	large := `"` + strings.Repeat("x", 256*1024-2) + `"` // as large as may be
	const double = `"{% $states.result & $states.result %}"`
	for states, want := range map[string]string{
		task(`"Output": {}, "Next": "E"`) + end:                              "",
		task(`"Output": `+double+`, "Next": "E"`) + end:                      "States.DataLimitExceeded",
		task(`"Assign": {"x": `+double+`}, "Output": {}, "Next": "E"`) + end: "States.DataLimitExceeded",
		`"S": {"Type": "Pass", "Output": "` + strings.Repeat("y", 200*1024) + `", "Next": "T"},
		 "T": {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "Arguments": "{% $states.input & $states.input %}", "End": true}`: "States.DataLimitExceeded",
	} {
		r, _ := run(t, &asl.Runner{Tasks: answers(large)}, machine(t, states), `{}`)
		if r.Error != want {
			t.Errorf("%.80s: %s %s", states, r.Error, r.Cause)
		}
	}
	r, _ := run(t, &asl.Runner{Tasks: answers(`[` + large + `]`)}, machine(t, task(`"Output": {}, "Next": "E"`)+end), `{}`)
	if r.Error != "States.DataLimitExceeded" {
		t.Errorf("a result: %s %s", r.Error, r.Cause)
	}
}

func TestAHistoryHasNoMoreThan25000Events(t *testing.T) {
	r, e := run(t, &asl.Runner{}, machine(t, `"S": {"Type": "Pass", "Next": "T"}, "T": {"Type": "Pass", "Next": "S"}`), `{}`)
	if r.Error != "States.Runtime" || !strings.Contains(r.Cause, "25000") || len(e.History()) > 25_000 {
		t.Errorf("%d events: %s %s", len(e.History()), r.Error, r.Cause)
	}
}

func TestEveryEvaluationCanBeSeen(t *testing.T) {
	var seen []string
	r := &asl.Runner{Evaluated: func(x string, variables map[string]any, result any, defined bool, err error) {
		text, _ := json.Marshal(variables)
		seen = append(seen, fmt.Sprintf("%s %s %v %t %t", x, text, result, defined, err != nil))
	}}
	run(t, r, machine(t, `
		"S": {"Type": "Pass", "Assign": {"a": "{% $count([1, 2]) %}"}, "Output": {}, "Next": "T"},
		"T": {"Type": "Pass", "Output": "{% $a + 1 %}", "Next": "U"},
		"U": {"Type": "Pass", "Output": "{% $nothing.b %}", "End": true}`), `{}`)
	want := []string{`$count([1, 2]) {} 2 true false`, `$a + 1 {"a":2} 3 true false`, `$nothing.b {} <nil> false false`}
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Error(diff)
	}
}

func TestCoverageNamesWhatWasNotReached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := machine(t, task(`"TimeoutSeconds": 5, "Retry": [{"ErrorEquals": ["A"]}, {"ErrorEquals": ["B"], "MaxAttempts": 0}],
			"Catch": [{"ErrorEquals": ["A"], "Next": "E"}, {"ErrorEquals": ["States.ALL"], "Next": "F"}], "Next": "C"`)+`,
			"C": {"Type": "Choice", "Choices": [{"Condition": "{% $states.input.n = 1 %}", "Next": "E"}], "Default": "F"},
			"F": {"Type": "Fail", "Error": "x"}`+end)
		c := &asl.Coverage{}
		see := func(summary string, missing ...string) {
			t.Helper()
			if got := c.Summary(m); got != summary {
				t.Errorf("got %s, want %s", got, summary)
			}
			if diff := cmp.Diff(missing, c.Missing(m)); diff != "" {
				t.Error(diff)
			}
		}
		all := []string{"C", "C, Choices[0], to E: $states.input.n = 1", "C, Default, to F", "E", "F", "S", "S, Next, to C",
			"S, Catch[0], to E: A", "S, Catch[1], to F: States.ALL", "S, Retry[0]: A", "S, Retry[1]: B", "S, TimeoutSeconds"}
		see("0 of 4 states, 0 of 3 transitions, 0 of 2 catchers, 0 of 2 retriers, 0 of 1 time-outs", all...)
		r := &asl.Runner{Coverage: c}
		for _, one := range [][]string{{`{"n": 1}`}, {"B"}, {"A"}} {
			r.Tasks = answers(one...)
			run(t, r, m, `{}`)
		}
		see("4 of 4 states, 2 of 3 transitions, 2 of 2 catchers, 2 of 2 retriers, 0 of 1 time-outs", "C, Default, to F", "S, TimeoutSeconds")
		r.Tasks = func(ctx context.Context, _ asl.Call) (json.RawMessage, error) { <-ctx.Done(); return nil, ctx.Err() }
		run(t, r, m, `{}`)
		r.Tasks = answers(`{}`)
		run(t, r, m, `{}`)
		see("4 of 4 states, 3 of 3 transitions, 2 of 2 catchers, 2 of 2 retriers, 1 of 1 time-outs")
	})
}

func TestManyExecutionsRunAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := machine(t, task(`"Retry": [{"ErrorEquals": ["A"], "JitterStrategy": "FULL"}], "Assign": {"n": "{% $states.result.n %}"}, "Next": "W"`)+`,
			"W": {"Type": "Wait", "Seconds": "{% $n %}", "Output": "{% $merge([{'n': $n}, {'id': $states.context.Execution.Name}]) %}", "Next": "E"}`+end)
		r := &asl.Runner{Coverage: &asl.Coverage{}, Rand: rand.New(rand.NewPCG(1, 1)),
			Tasks: func(_ context.Context, c asl.Call) (json.RawMessage, error) {
				if c.Attempt == 0 {
					return nil, &asl.Failure{Name: "A"}
				}
				return json.RawMessage(`{"n": ` + c.Name + `}`), nil
			}}
		var all []*asl.Execution
		for n := range 200 {
			all = append(all, r.Start(t.Context(), m, asl.Start{MachineARN: machineARN, Name: strconv.Itoa(n), Input: json.RawMessage(`{}`)}))
		}
		for n, e := range all {
			<-e.Done()
			sameJSON(t, e.ARN(), e.Result().Output, fmt.Sprintf(`{"n": %d, "id": "%d"}`, n, n))
		}
	})
}

func TestVariablesThatAreNotAssignedOnEveryWayAreNamed(t *testing.T) {
	m := machine(t, task(`"Assign": {"a": 1, "b": 2}, "Catch": [
			{"ErrorEquals": ["A"], "Assign": {"b": 3}, "Next": "C"},
			{"ErrorEquals": ["States.ALL"], "Assign": {"a": "{% $z %}"}, "Output": {}, "Next": "C"}], "Next": "C"`)+`,
		"C": {"Type": "Choice", "Choices": [{"Condition": "{% $a = 1 %}", "Assign": {"c": "{% [$d] %}", "d": 1}, "Next": "W"}], "Default": "W"},
		"W": {"Type": "Wait", "Seconds": "{% $b %}", "Assign": {"e": 1}, "Next": "L"},
		"L": {"Type": "Pass", "Output": {"in": ["{% $e + $c %}"]}, "Assign": {"f": 1}, "Next": "M"},
		"M": {"Type": "Choice", "Choices": [{"Condition": "{% $f = 1 %}", "Next": "L"}], "Default": "E"}`+end)
	want := []string{"C: $a", "C: $d", "L: $c", "S: $z", "W: $b"}
	if diff := cmp.Diff(want, m.Unassigned()); diff != "" {
		t.Error(diff)
	}
}
