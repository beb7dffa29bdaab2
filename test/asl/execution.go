package asl

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"keyturn/test/asl/jsonata"
)

// Execution is one execution of a state machine.
type Execution struct {
	runner  *Runner
	machine *Machine
	start   Start
	arn     string
	stop    func()
	done    chan struct{}

	mu     sync.Mutex
	events []types.HistoryEvent
	state  string
	result Result

	// Of the execution's goroutine only.
	variables   map[string]any
	context     map[string]any // $states.context.Execution and StateMachine
	transitions int
}

func newExecution(r *Runner, m *Machine, s Start) *Execution {
	e := &Execution{runner: r, machine: m, start: s, done: make(chan struct{}), variables: map[string]any{},
		result: Result{Status: StatusRunning}}
	e.arn = strings.Replace(s.MachineARN, ":stateMachine:", ":execution:", 1) + ":" + s.Name
	e.context = map[string]any{
		"Execution": map[string]any{
			"Id": e.arn, "Name": s.Name, "Input": decode(s.Input), "StartTime": stamp(time.Now()),
			"RoleArn": "arn:aws:iam::123456789012:role/StatesExecutionRole", "RedriveCount": 0.0,
		},
		"StateMachine": map[string]any{"Id": s.MachineARN, "Name": s.MachineARN[strings.LastIndexByte(s.MachineARN, ':')+1:]},
	}
	e.add(types.HistoryEvent{Type: types.HistoryEventTypeExecutionStarted, ExecutionStartedEventDetails: &types.ExecutionStartedEventDetails{
		Input: aws.String(string(s.Input)), RoleArn: aws.String("arn:aws:iam::123456789012:role/StatesExecutionRole")}})
	return e
}

// ARN names the execution.
func (e *Execution) ARN() string { return e.arn }

// Stop is StopExecution: what runs is given up, and nothing is caught.
func (e *Execution) Stop() { e.stop() }

// Done is closed when the execution has ended.
func (e *Execution) Done() <-chan struct{} { return e.done }

// Result is what the execution came to; RUNNING before it has ended.
func (e *Execution) Result() Result {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.result
}

// State is the state that the execution is in, or has ended in.
func (e *Execution) State() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.state
}

func (e *Execution) region() string {
	if parts := strings.Split(e.arn, ":"); len(parts) > 3 {
		return parts[3]
	}
	return ""
}

// Names of Step Functions' own errors.
const (
	errTimeout    = "States.Timeout"
	errRuntime    = "States.Runtime"
	errDataLimit  = "States.DataLimitExceeded"
	errEvaluation = "States.QueryEvaluationError"
	errNoChoice   = "States.NoChoiceMatched"
	errTaskFailed = "States.TaskFailed"
)

// run goes from state to state until the execution ends.
func (e *Execution) run(ctx context.Context) {
	next, data := e.machine.start, decode(e.start.Input)
	var err error
	for next != "" && err == nil {
		s := e.machine.states[next]
		e.mu.Lock()
		e.state = s.name
		e.mu.Unlock()
		next, data, err = e.step(ctx, s, data)
	}
	e.end(data, err)
}

func (e *Execution) end(data any, err error) {
	r := Result{Status: StatusSucceeded, Transitions: e.transitions}
	var failure *Failure
	switch {
	case err == nil:
		r.Output = encode(data)
	case errors.As(err, &failure):
		r.Status, r.Error, r.Cause = StatusFailed, failure.Name, failure.Cause
	case errors.Is(err, errTooLate):
		r.Status, r.Error = StatusTimedOut, errTimeout
	default:
		r.Status = StatusAborted
		e.aborted()
	}
	e.ended(r)
	e.mu.Lock()
	e.result = r
	e.mu.Unlock()
}

// step carries out one state. An error that is a *Failure fails the execution,
// any other one ends it otherwise.
func (e *Execution) step(ctx context.Context, s *state, input any) (next string, output any, err error) {
	if ctx.Err() != nil {
		return "", nil, context.Cause(ctx)
	}
	if e.full() {
		return "", nil, tooManyEvents()
	}
	e.transitions++
	e.runner.Coverage.entered(e.machine, s)
	v := &visit{Execution: e, s: s, input: input, since: stamp(time.Now())}
	e.entered(s, string(encode(input)))
	switch s.kind {
	case kindTask:
		return v.task(ctx)
	case kindChoice:
		return v.choose()
	case kindWait:
		return v.wait(ctx)
	case kindFail:
		return v.fail()
	}
	return v.leave(s.assign, s.output, input, s.next, coveredNext)
}

func tooManyEvents() *Failure {
	return &Failure{errRuntime, fmt.Sprintf("The execution reached the maximum number of history events (%d).", mostEvents)}
}

// visit is one stay in a state.
type visit struct {
	*Execution
	s       *state
	input   any
	since   string // when the state was entered
	retries int
	token   string
	result  any // $states.result, with hasResult
	failure *Failure

	hasResult bool
}

// leave evaluates Assign and Output, in this order and with the same values of
// the variables, and goes on. Without Output the state's output is otherwise.
func (v *visit) leave(assign map[string]template, output *template, otherwise any, next, covered string) (string, any, error) {
	values := make(map[string]any, len(assign))
	for name, t := range assign {
		value, err := v.evaluate(t)
		if err != nil {
			return "", nil, err
		}
		values[name] = value
	}
	if output != nil {
		value, err := v.evaluate(*output)
		if err != nil {
			return "", nil, err
		}
		otherwise = value
	}
	text := encode(otherwise)
	if len(text) > mostPayload {
		return "", nil, &Failure{errDataLimit, fmt.Sprintf("The state %q returned an output of %d bytes: the limit is %d.", v.s.name, len(text), mostPayload)}
	}
	for name, value := range values {
		if n := len(encode(value)); n > mostPayload {
			return "", nil, &Failure{errDataLimit, fmt.Sprintf("The variable %q of %d bytes is too large: the limit is %d.", name, n, mostPayload)}
		}
	}
	maps.Copy(v.variables, values)
	v.runner.Coverage.took(v.machine, v.s, covered)
	v.exited(v.s, string(text), values)
	return next, otherwise, nil
}

func (v *visit) choose() (string, any, error) {
	for i, r := range v.s.rules {
		value, err := v.evaluate(r.condition)
		if err != nil {
			return "", nil, err
		}
		holds, ok := value.(bool)
		if !ok {
			return "", nil, v.unusable(r.condition, value, "true or false")
		}
		if holds {
			return v.leave(r.assign, r.output, v.input, r.next, coveredRule(i))
		}
	}
	if v.s.next == "" {
		return "", nil, &Failure{errNoChoice, fmt.Sprintf("No rule of %q matched, and it has no Default.", v.s.name)}
	}
	return v.leave(v.s.assign, v.s.output, v.input, v.s.next, coveredDefault)
}

func (v *visit) wait(ctx context.Context) (string, any, error) {
	var pause time.Duration
	if v.s.seconds != nil {
		seconds, err := v.seconds(*v.s.seconds, 0)
		if err != nil {
			return "", nil, err
		}
		pause = time.Duration(seconds) * time.Second
	} else {
		value, err := v.evaluate(*v.s.timestamp)
		if err != nil {
			return "", nil, err
		}
		text, _ := value.(string)
		at, err := time.Parse(time.RFC3339, text)
		if err != nil {
			return "", nil, v.unusable(*v.s.timestamp, value, "a time like 2026-03-01T12:00:00Z")
		}
		pause = time.Until(at)
	}
	if err := sleep(ctx, pause); err != nil {
		return "", nil, err
	}
	return v.leave(v.s.assign, v.s.output, v.input, v.s.next, coveredNext)
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (v *visit) fail() (string, any, error) {
	f := &Failure{}
	for _, one := range []struct {
		t    *template
		into *string
	}{{v.s.failError, &f.Name}, {v.s.failCause, &f.Cause}} {
		if one.t == nil {
			continue
		}
		value, err := v.evaluate(*one.t)
		if err != nil {
			return "", nil, err
		}
		text, ok := value.(string)
		if !ok {
			return "", nil, v.unusable(*one.t, value, "text")
		}
		*one.into = text
	}
	return "", nil, f
}

// seconds evaluates a whole number of seconds.
func (v *visit) seconds(t template, least float64) (float64, error) {
	value, err := v.evaluate(t)
	if err != nil {
		return 0, err
	}
	n, ok := value.(float64)
	if !ok || n != math.Trunc(n) || n < least || n > 99_999_999 {
		return 0, v.unusable(t, value, fmt.Sprintf("a whole number from %v to 99999999", least))
	}
	return n, nil
}

func (v *visit) unusable(t template, value any, want string) error {
	f := &Failure{errEvaluation, fmt.Sprintf("%s gave %s, which is not %s.", t.described(), encode(value), want)}
	v.notEvaluated(v.s, t.field, f)
	return f
}

// evaluate gives the JSON value that a template stands for.
func (v *visit) evaluate(t template) (any, error) {
	switch {
	case t.expression != nil:
		value, defined, err := v.expression(t.expression)
		if err == nil && defined {
			return value, nil
		}
		f := &Failure{errEvaluation, t.described() + " returned nothing (undefined)."}
		if err != nil {
			f.Cause = fmt.Sprintf("%s threw an error during evaluation. %v", t.described(), err)
		}
		v.notEvaluated(v.s, t.field, f)
		return nil, f
	case t.items != nil:
		all := make([]any, len(t.items))
		for i := range t.items {
			value, err := v.evaluate(t.items[i])
			if err != nil {
				return nil, err
			}
			all[i] = value
		}
		return all, nil
	case t.members != nil:
		all := make(map[string]any, len(t.members))
		for name, member := range t.members {
			value, err := v.evaluate(member)
			if err != nil {
				return nil, err
			}
			all[name] = value
		}
		return all, nil
	}
	return t.constant, nil
}

func (t template) described() string {
	return fmt.Sprintf("The JSONata expression '%s' specified for the field '%s'", t.expression, t.field)
}

func (v *visit) expression(x *jsonata.Expr) (any, bool, error) {
	states := v.states()
	variable := func(name string) (any, bool) {
		if name == "states" {
			return states, true
		}
		value, ok := v.variables[name]
		return value, ok
	}
	value, defined, err := x.Eval(variable)
	if v.runner.Evaluated != nil {
		bound := map[string]any{}
		for _, name := range x.Free() {
			if value, ok := variable(name); ok {
				bound[name] = value
			}
		}
		v.runner.Evaluated(x.String(), bound, value, defined, err)
	}
	return value, defined, err
}

// states is the reserved variable $states.
func (v *visit) states() map[string]any {
	now := map[string]any{
		"Execution": v.context["Execution"], "StateMachine": v.context["StateMachine"],
		"State": map[string]any{"Name": v.s.name, "EnteredTime": v.since, "RetryCount": float64(v.retries)},
	}
	if v.token != "" {
		now["Task"] = map[string]any{"Token": v.token}
	}
	states := map[string]any{"input": v.input, "context": now}
	if v.hasResult {
		states["result"] = v.result
	}
	if v.failure != nil {
		states["errorOutput"] = map[string]any{"Error": v.failure.Name, "Cause": v.failure.Cause}
	}
	return states
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// decode reads JSON that is known to be valid.
func decode(text []byte) any {
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		panic(fmt.Sprintf("asl: %v in %s", err, text))
	}
	return v
}

// encode writes JSON as Step Functions does: nothing is escaped for HTML.
func encode(v any) json.RawMessage {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(fmt.Sprintf("asl: %v", err))
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
