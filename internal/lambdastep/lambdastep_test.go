package lambdastep_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/lambda/messages"
	"github.com/google/go-cmp/cmp"

	"keyturn/internal/lambdastep"
	"keyturn/internal/okta"
	"keyturn/internal/rotation"
)

type output struct {
	Sent   []string `json:"sent"`
	Factor float64  `json:"factor"`
}

type input = rotation.RequestUploadInput

var taskToken = "AQCEAAAAKgAAAAMAAAAAAAAAAe1" + strings.Repeat("q0Zx+8/Wd7LkT3vB", 40) + "=="

// payload is an input with a task token, and more fields as JSON.
func payload(more string) string {
	return `{"taskToken": "` + taskToken + `", "target": {"kind": "app", "id": "0oa1gjh63g214q0Hq0g4", "label": "Salesforce"}` + more + `}`
}

type outcome struct {
	out     []byte
	failure messages.InvokeResponse_Error
	err     error
	lines   []map[string]any
}

// invoke calls a handler once, and checks what holds for every call: the last
// log line tells how it went, and neither log nor answer have the token.
func invoke(t *testing.T, build func() (lambdastep.Step[input, output], error), payload string) outcome {
	t.Helper()
	var log bytes.Buffer
	out, err := lambdastep.Handler("request-upload", &log, build).Invoke(t.Context(), []byte(payload))
	return judge(t, out, err, &log)
}

func judge(t *testing.T, out []byte, err error, log *bytes.Buffer) outcome {
	t.Helper()
	o := outcome{out: out, err: err}
	if err != nil {
		// Lambda's runtime looks for exactly this type; it does not unwrap.
		failure, ok := err.(messages.InvokeResponse_Error) //nolint:errorlint // as the runtime does
		if !ok {
			t.Fatalf("the error is a %T, whose name the state machine would not see", err)
		}
		if failure.StackTrace != nil || failure.ShouldExit || out != nil {
			t.Errorf("the failure %+v has a stack trace, ends the process or comes with the output %s", failure, out)
		}
		o.failure = failure
	}
	answer, marshalErr := json.Marshal(o.failure)
	if marshalErr != nil {
		t.Fatal(marshalErr)
	}
	for where, text := range map[string]string{"log": log.String(), "answer": string(answer) + string(out)} {
		if strings.Contains(text, taskToken[:40]) {
			t.Errorf("the %s has the task token: %s", where, text)
		}
	}
	for line := range strings.Lines(log.String()) {
		var fields map[string]any
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Fatalf("the log line %q is not JSON: %v", line, err)
		}
		o.lines = append(o.lines, fields)
	}
	log.Reset()
	return o
}

func does(s lambdastep.Step[input, output]) func() (lambdastep.Step[input, output], error) {
	return func() (lambdastep.Step[input, output], error) { return s, nil }
}

func failsWith(err error) func() (lambdastep.Step[input, output], error) {
	return does(func(context.Context, input) (output, error) { return output{}, err })
}

func TestAStepGetsItsInputAndGivesItsOutput(t *testing.T) {
	type key struct{}
	var got input
	var log bytes.Buffer
	h := lambdastep.Handler("request-upload", &log, does(func(ctx context.Context, in input) (output, error) {
		if ctx.Value(key{}) != "call" {
			t.Error("the step has another context than the call")
		}
		got = in
		return output{Sent: []string{"crm@example.com"}}, nil
	}))
	out, err := h.Invoke(context.WithValue(t.Context(), key{}, "call"), []byte(payload(`, "chain": "PEM"`)))
	o := judge(t, out, err, &log)
	if o.err != nil || string(o.out) != `{"sent":["crm@example.com"],"factor":0}` {
		t.Errorf("got %s, %v", o.out, o.err)
	}
	want := input{TaskToken: taskToken, Target: rotation.Target{Kind: "app", ID: "0oa1gjh63g214q0Hq0g4", Label: "Salesforce"}, Chain: "PEM"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestACallWritesOneLineWithStepAndTarget(t *testing.T) {
	for title, test := range map[string]struct {
		payload, target string
		err             error
		want            map[string]any
	}{
		"done":                {payload(""), `app "0oa1gjh63g214q0Hq0g4"`, nil, map[string]any{"level": "INFO", "msg": "step done"}},
		"failed":              {payload(""), `app "0oa1gjh63g214q0Hq0g4"`, rotation.Errorf("Okta.NotFound", "no such app"), map[string]any{"level": "ERROR", "msg": "step failed", "error": "Okta.NotFound", "message": "no such app"}},
		"no target":           {`{"chain": "x"}`, "", nil, map[string]any{"level": "INFO", "msg": "step done"}},
		"a target of no kind": {`{"target": {"kind": "user", "id": "1"}}`, "", nil, map[string]any{"level": "INFO", "msg": "step done"}},
		"an id that is none":  {`{"target": {"kind": "app", "id": "` + taskToken + `"}}`, "", nil, map[string]any{"level": "INFO", "msg": "step done"}},
	} {
		t.Run(title, func(t *testing.T) {
			o := invoke(t, failsWith(test.err), test.payload)
			if len(o.lines) != 1 {
				t.Fatalf("%d log lines, want 1: %v", len(o.lines), o.lines)
			}
			line := o.lines[0]
			for _, measured := range []string{"time", "milliseconds"} {
				if line[measured] == nil {
					t.Errorf("the line has no %s: %v", measured, line)
				}
				delete(line, measured)
			}
			test.want["step"], test.want["target"] = "request-upload", test.target
			if diff := cmp.Diff(test.want, line); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAnInputThatIsNotTheStepsIsRefused(t *testing.T) {
	for title, test := range map[string]struct{ payload, says string }{
		"an unknown field":        {payload(`, "polcy": {}`), `"polcy"`},
		"an unknown field inside": {payload(`, "policy": {"giveUpDay": 3}`), `"giveUpDay"`},
		"another type":            {payload(`, "policy": {"giveUpDays": "` + taskToken + `"}`), "giveUpDays"},
		"a token that is a list":  {`{"taskToken": ["` + taskToken + `"]}`, "taskToken"},
		"a time that is none":     {payload(`, "oldKey": {"notAfter": "` + taskToken + `"}`), "2026-03-01T12:00:00Z"},
		"a time that is a number": {payload(`, "oldKey": {"notAfter": 7}`), "Time"},
		"a list":                  {`["` + taskToken + `"]`, "array"},
		"a string":                {`"` + taskToken + `"`, "string"},
		"cut off":                 {payload("")[:200], "EOF"},
		"nothing":                 {"", "EOF"},
		"not JSON":                {"taskToken=" + taskToken, "invalid character"},
	} {
		t.Run(title, func(t *testing.T) {
			o := invoke(t, does(func(context.Context, input) (output, error) {
				t.Error("the step ran")
				return output{}, nil
			}), test.payload)
			if o.failure.Type != "Input.Invalid" || !strings.Contains(o.failure.Message, test.says) || !strings.Contains(o.failure.Message, `{"target": {"kind": "app"`) {
				t.Errorf("got %+v, want Input.Invalid that says %s and shows an input", o.failure, test.says)
			}
		})
	}
}

func TestANamedErrorKeepsItsName(t *testing.T) {
	named := rotation.Errorf("Target.Changed", "somebody switched")
	for title, test := range map[string]struct {
		err  error
		name string
	}{
		"as it is":              {named, "Target.Changed"},
		"wrapped":               {fmt.Errorf("switch: %w", named), "Target.Changed"},
		"wrapped twice":         {fmt.Errorf("step: %w", fmt.Errorf("switch: %w", named)), "Target.Changed"},
		"joined":                {errors.Join(errors.New("plain"), named), "Target.Changed"},
		"the outer of two":      {&rotation.Error{Name: "Notify.Refused", Message: "nobody", Err: named}, "Notify.Refused"},
		"Okta's":                {fmt.Errorf("read: %w", &okta.Error{Name: "Okta.RateLimited", Doing: "read the app", Summary: "too many"}), "Okta.RateLimited"},
		"one that has no name":  {errors.New("plain"), "Keyturn.Bug"},
		"a context that is out": {context.DeadlineExceeded, "Keyturn.Bug"},
		"an empty name":         {rotation.Errorf("", "no name"), "Keyturn.Bug"},
	} {
		t.Run(title, func(t *testing.T) {
			o := invoke(t, failsWith(test.err), payload(""))
			if o.failure.Type != test.name || o.failure.Message != test.err.Error() {
				t.Errorf("got %+v, want %s: %v", o.failure, test.name, test.err)
			}
			if sent, err := json.Marshal(o.failure); err != nil || !strings.Contains(string(sent), `"errorType":"`+test.name+`"`) {
				t.Errorf("Lambda is told %s, %v", sent, err)
			}
		})
	}
}

func TestAPanicIsABugAndItsStackStaysInTheLog(t *testing.T) {
	for title, step := range map[string]lambdastep.Step[input, output]{
		"with the input": func(_ context.Context, in input) (output, error) { panic(in) },
		"with the token": func(_ context.Context, in input) (output, error) { panic(in.TaskToken) },
		"with an error":  func(_ context.Context, in input) (output, error) { panic(fmt.Errorf("bad %s", in.TaskToken)) },
		"of the runtime": func(_ context.Context, in input) (output, error) {
			return output{Sent: []string{in.Policy.Approvers[7]}}, nil
		},
		"with a failure of it": func(context.Context, input) (output, error) { panic(messages.InvokeResponse_Error{Type: "Other"}) },
	} {
		t.Run(title, func(t *testing.T) {
			o := invoke(t, does(step), payload(""))
			if o.failure.Type != "Keyturn.Bug" || strings.Contains(o.failure.Message, "goroutine") || strings.Contains(o.failure.Message, ".go:") || !strings.Contains(o.failure.Message, "request-upload") {
				t.Errorf("got %+v, want Keyturn.Bug of request-upload without a stack", o.failure)
			}
			if len(o.lines) != 2 || o.lines[0]["msg"] != "panic" || o.lines[1]["error"] != "Keyturn.Bug" {
				t.Fatalf("the log has %v", o.lines)
			}
			if stack, _ := o.lines[0]["stack"].(string); !strings.Contains(stack, "lambdastep_test.go:") {
				t.Errorf("the stack does not lead to the panic: %s", stack)
			}
		})
	}
}

func TestAPanicDoesNotEndTheProcess(t *testing.T) {
	var log bytes.Buffer
	calls := 0
	h := lambdastep.Handler("request-upload", &log, does(func(context.Context, input) (output, error) {
		if calls++; calls == 1 {
			panic("first")
		}
		return output{}, nil
	}))
	if _, err := h.Invoke(t.Context(), []byte(payload(""))); err == nil {
		t.Error("the panic was no failure")
	}
	if _, err := h.Invoke(t.Context(), []byte(payload(""))); err != nil {
		t.Errorf("the next call: %v", err)
	}
}

func TestAnOutputThatIsNotJSONIsABug(t *testing.T) {
	o := invoke(t, does(func(context.Context, input) (output, error) { return output{Factor: math.NaN()}, nil }), payload(""))
	if o.failure.Type != "Keyturn.Bug" {
		t.Errorf("got %s, %+v; want Keyturn.Bug", o.out, o.failure)
	}
}

func TestAStepIsBuiltOnTheFirstCallAndAgainAfterAFailure(t *testing.T) {
	var log bytes.Buffer
	builds := 0
	h := lambdastep.Handler("request-upload", &log, func() (lambdastep.Step[input, output], error) {
		switch builds++; builds {
		case 1:
			return nil, fmt.Errorf("wire: %w", rotation.Errorf("Config.Invalid", "no TOPIC_ARN"))
		case 2:
			panic("in the wiring")
		}
		return func(context.Context, input) (output, error) { return output{}, nil }, nil
	})
	if builds != 0 {
		t.Error("built before the first call")
	}
	for i, want := range []string{"Config.Invalid", "Keyturn.Bug", "", "", ""} {
		out, err := h.Invoke(t.Context(), []byte(payload("")))
		if o := judge(t, out, err, &log); o.failure.Type != want {
			t.Errorf("call %d: got %q, want %q", i+1, o.failure.Type, want)
		}
	}
	if builds != 3 {
		t.Errorf("built %d times, want 3: a step that works is kept", builds)
	}
}

func TestARefusedCredentialIsAMetric(t *testing.T) {
	t.Setenv("AWS_LAMBDA_FUNCTION_NAME", "keyturn-emea-verify-key")
	for name, want := range map[string]int{"Okta.Unauthorized": 1, "Okta.Forbidden": 0} {
		var log bytes.Buffer
		h := lambdastep.Handler("verify-key", &log, func() (lambdastep.Step[rotation.VerifyKeyInput, rotation.VerifyKeyOutput], error) {
			return func(context.Context, rotation.VerifyKeyInput) (rotation.VerifyKeyOutput, error) {
				return rotation.VerifyKeyOutput{}, rotation.Errorf(name, "refused")
			}, nil
		})
		if _, err := h.Invoke(t.Context(), []byte("{}")); err == nil {
			t.Fatal("the step did not fail")
		}
		metrics := 0
		for line := range strings.Lines(log.String()) {
			var m struct {
				AWS *struct {
					Timestamp         int64
					CloudWatchMetrics []struct {
						Namespace  string
						Dimensions [][]string
						Metrics    []struct{ Name, Unit string }
					}
				} `json:"_aws"`
				Stack                 string
				OktaCredentialRefused float64
			}
			if err := json.Unmarshal([]byte(line), &m); err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			if m.AWS == nil {
				continue
			}
			metrics++
			directive := m.AWS.CloudWatchMetrics[0]
			if m.Stack != "keyturn-emea" || m.OktaCredentialRefused != 1 || directive.Namespace != "Keyturn" || directive.Dimensions[0][0] != "Stack" ||
				directive.Metrics[0].Name != "OktaCredentialRefused" || directive.Metrics[0].Unit != "Count" || time.Since(time.UnixMilli(m.AWS.Timestamp)) > time.Minute {
				t.Errorf("the metric is %s", line)
			}
		}
		if metrics != want {
			t.Errorf("after %s there are %d metrics, want %d", name, metrics, want)
		}
	}
}

type asked struct {
	DryRun bool `json:"dryRun"`
}

func (*asked) Usage() string { return "a question's is {\"dryRun\": true}" }

func TestAnInputThatIsNotWhatTheStepTakesSaysWhatItTakes(t *testing.T) {
	h := lambdastep.Handler("ask", io.Discard, func() (lambdastep.Step[asked, output], error) {
		return func(context.Context, asked) (output, error) { return output{}, nil }, nil
	})
	_, err := h.Invoke(t.Context(), []byte(`{"dryrun": true, "Dry": 1}`))
	var failure messages.InvokeResponse_Error
	if !errors.As(err, &failure) || !strings.HasSuffix(failure.Message, `unknown field "Dry"; a question's is {"dryRun": true}`) {
		t.Errorf("got %v", err)
	}
}

func TestACallThatComesLateChangesNothing(t *testing.T) {
	const target = `"target": {"kind": "app", "id": "0oa1gjh63g214q0Hq0g4"}, "fromKid": "a", "toKid": "b", "digest": "00"`
	for title, test := range map[string]struct {
		more string
		age  time.Duration
		late bool
	}{
		"at once":                     {"", 0, false},
		"after its retries":           {"", 230 * time.Minute, false},
		"long after":                  {"", 241 * time.Minute, true},
		"the way back, for hours":     {`, "back": true`, 11 * time.Hour, false},
		"the way back, half a day on": {`, "back": true`, 13 * time.Hour, true},
	} {
		t.Run(title, func(t *testing.T) {
			ran := false
			handler := lambdastep.Handler("update-key-credential", io.Discard, func() (lambdastep.Step[rotation.UpdateKeyCredentialInput, output], error) {
				return func(context.Context, rotation.UpdateKeyCredentialInput) (output, error) {
					ran = true
					return output{}, nil
				}, nil
			})
			entered := time.Now().Add(-test.age).UTC().Format(time.RFC3339Nano)
			_, err := handler.Invoke(t.Context(), []byte(`{`+target+`, "enteredAt": "`+entered+`"`+test.more+`}`))
			var failure messages.InvokeResponse_Error
			if late := errors.As(err, &failure) && failure.Type == "Step.Late" && strings.Contains(failure.Message, "enteredAt"); late != test.late || ran == test.late {
				t.Errorf("ran: %v, error: %v", ran, err)
			}
		})
	}
}
