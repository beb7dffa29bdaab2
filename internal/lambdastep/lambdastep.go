// Package lambdastep is the boundary between a step and Lambda: it decodes the
// input strictly, refuses calls that arrive too late, names errors for the state
// machine, and writes one log line for each call. Every step's main starts through it.
package lambdastep

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambda/messages"

	"keyturn/internal/rotation"
)

// Step does one step of a rotation.
type Step[In, Out any] func(ctx context.Context, in In) (Out, error)

// Start serves a step until Lambda stops the process. build wires the step on
// the first call, not at the start of the process: what it fails with is then
// an answer that the state machine can name. After a failure it is tried again
// at the next call.
func Start[In, Out any](name string, build func() (Step[In, Out], error)) {
	lambda.StartWithOptions(Handler(name, os.Stdout, build))
}

// Handler is what Start serves; logs go to out as JSON lines.
func Handler[In, Out any](name string, out io.Writer, build func() (Step[In, Out], error)) lambda.Handler {
	return &handler[In, Out]{name: name, out: out, log: slog.New(slog.NewJSONHandler(out, nil)), build: build}
}

type handler[In, Out any] struct {
	name  string
	out   io.Writer
	log   *slog.Logger
	build func() (Step[In, Out], error)
	step  Step[In, Out]
}

// Invoke is called by Lambda, one call at a time for a process.
func (h *handler[In, Out]) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	start := time.Now()
	out, err := h.run(ctx, payload)
	attributes := []any{"step", h.name, "target", targetOf(payload), "milliseconds", time.Since(start).Milliseconds()}
	if err != nil {
		failure := Failure(err)
		h.log.Error("step failed", append(attributes, "error", failure.Type, "message", failure.Message)...)
		if failure.Type == "Okta.Unauthorized" {
			h.metric("OktaCredentialRefused")
		}
		return nil, failure
	}
	h.log.Info("step done", attributes...)
	return out, nil
}

// metric counts one in the namespace Keyturn, dimension Stack. CloudWatch takes
// metrics out of log lines of this form (Amazon CloudWatch User Guide,
// "Embedded metric format specification").
func (h *handler[In, Out]) metric(name string) {
	line, err := json.Marshal(map[string]any{
		"_aws": map[string]any{
			"Timestamp": time.Now().UnixMilli(),
			"CloudWatchMetrics": []any{map[string]any{
				"Namespace": "Keyturn", "Dimensions": [][]string{{"Stack"}}, "Metrics": []any{map[string]string{"Name": name, "Unit": "Count"}},
			}},
		},
		// The template names functions {stack}-{step}.
		"Stack": strings.TrimSuffix(os.Getenv("AWS_LAMBDA_FUNCTION_NAME"), "-"+h.name),
		name:    1,
	})
	if err == nil {
		_, _ = h.out.Write(append(line, '\n')) // as with the log, there is nowhere to say that it failed
	}
}

func (h *handler[In, Out]) run(ctx context.Context, payload []byte) (result []byte, err error) {
	defer func() {
		if r := recover(); r != nil {
			// The stack goes to the log only; a panic's value may hold input.
			h.log.Error("panic", "step", h.name, "type", fmt.Sprintf("%T", r), "stack", string(debug.Stack()))
			err = rotation.Errorf("Keyturn.Bug", "%s failed inside: its log in CloudWatch has the details", h.name)
		}
	}()
	if h.step == nil {
		step, err := h.build()
		if err != nil {
			return nil, err
		}
		h.step = step
	}
	var in In
	if err := decode(payload, &in); err != nil {
		return nil, err
	}
	if call, ok := any(in).(interface{ Late(now time.Time) error }); ok {
		if err := call.Late(time.Now()); err != nil {
			return nil, err
		}
	}
	out, err := h.step(ctx, in)
	if err != nil {
		return nil, err
	}
	return json.Marshal(out)
}

// decode refuses unknown fields: a misspelt one must not be taken for an
// absent one.
func decode(payload []byte, in any) error {
	d := json.NewDecoder(bytes.NewReader(payload))
	d.DisallowUnknownFields()
	err := d.Decode(in)
	if _, end := d.Token(); err == nil && !errors.Is(end, io.EOF) {
		err = errors.New("it goes on after its end")
	}
	if err != nil {
		// encoding/json names the field but not its value, so that this text
		// cannot carry a task token; package time would quote the value.
		what := strings.TrimPrefix(err.Error(), "json: ")
		var badTime *time.ParseError
		if errors.As(err, &badTime) {
			what = "a time in it is not written as 2026-03-01T12:00:00Z"
		}
		usage := `a rotation's is {"target": {"kind": "app", "id": "…"}, "policy": {…}}`
		if own, ok := in.(interface{ Usage() string }); ok {
			usage = own.Usage()
		}
		return rotation.Errorf("Input.Invalid", "the input is not what the step takes: %s; %s", what, usage)
	}
	return nil
}

// targetOf finds the target for the log. Nothing else of the input is logged.
func targetOf(payload []byte) string {
	var in struct {
		Target rotation.Target `json:"target"`
	}
	if json.Unmarshal(payload, &in) != nil || in.Target.Validate() != nil {
		return ""
	}
	return in.Target.String()
}

// Failure is an error in the form that the state machine sees: Lambda's Go
// runtime would report the Go type as errorType, and lose even that behind
// fmt.Errorf.
func Failure(err error) messages.InvokeResponse_Error {
	name := rotation.NameOf(err)
	if name == "" {
		name = "Keyturn.Bug"
	}
	message := []rune(err.Error())
	if len(message) > maxMessage {
		message = append(message[:maxMessage], '…')
	}
	return messages.InvokeResponse_Error{Type: name, Message: string(message)}
}

// maxMessage is the longest message in characters, whatever texts from outside
// are in it: it goes into the state of an execution, and into the cause that the
// execution ends with, for which Step Functions takes 32,768 characters.
const maxMessage = 6000
