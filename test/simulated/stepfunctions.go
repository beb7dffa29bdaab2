package simulated

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"time"
	"unicode"

	"keyturn/test/asl"
)

// started is an execution, with what Step Functions remembers of its start.
type started struct {
	*asl.Execution

	machine, name, input string
	at                   time.Time
	began                Began
}

// begin starts an execution, once for each name: a second start of one that
// runs with the same input is the same, any other is refused (AWS Step
// Functions API Reference, StartExecution).
func (w *World) begin(m *asl.Machine, arn, name string, input []byte) (*started, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.executions {
		if e.machine == arn && e.name == name {
			if e.Status() == "RUNNING" && e.input == string(input) {
				return e, nil
			}
			return nil, &refusal{"ExecutionAlreadyExists", name}
		}
	}
	began := Began{w.Kids(), len(w.Partner.LockedOut())}
	e := &started{w.runner.Start(context.Background(), m, asl.Start{MachineARN: arn, Name: name, Input: input}), arn, name, string(input), time.Now(), began}
	w.executions = append(w.executions, e)
	return e, nil
}

// Status is the execution's.
func (e *started) Status() string {
	select {
	case <-e.Done():
		return e.Result().Status
	default:
		return "RUNNING"
	}
}

// described is the execution as DescribeExecution and ListExecutions show it.
func (e *started) described() map[string]any {
	out := map[string]any{
		"executionArn": e.ARN(), "stateMachineArn": e.machine, "name": e.name, "status": e.Status(),
		"startDate": seconds(e.at),
	}
	if history := e.History(); e.Status() != "RUNNING" && len(history) > 0 {
		out["stopDate"] = seconds(*history[len(history)-1].Timestamp)
	}
	return out
}

func seconds(at time.Time) float64 { return float64(at.UnixMilli()) / 1000 }

// stepFunctions answers what the functions ask of Step Functions.
func (w *World) stepFunctions(operation string, body []byte) (any, error) {
	var in struct {
		ExecutionArn, TaskToken, Output, Error, Cause, NextToken string
		StateMachineArn, StatusFilter, Name, Input               string
		MaxResults                                               int
		ReverseOrder                                             bool
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, &refusal{"ValidationException", err.Error()}
	}
	answered := func(err error) (any, error) {
		switch {
		case err == nil:
			return struct{}{}, nil
		case errors.Is(err, asl.ErrTaskTimedOut):
			return nil, &refusal{"TaskTimedOut", "Task Timed Out: 'Provided task does not exist anymore'"}
		default:
			return nil, &refusal{"InvalidToken", "Invalid Token"}
		}
	}
	switch operation {
	case "SendTaskSuccess":
		return answered(w.runner.SendTaskSuccess(in.TaskToken, []byte(in.Output)))
	case "SendTaskFailure":
		return answered(w.runner.SendTaskFailure(in.TaskToken, in.Error, in.Cause))
	case "GetExecutionHistory":
		e := w.execution(in.ExecutionArn)
		if e == nil {
			return nil, &refusal{"ExecutionDoesNotExist", in.ExecutionArn}
		}
		events := []any{}
		for _, event := range e.History() {
			events = append(events, wireForm(reflect.ValueOf(event)))
		}
		if in.ReverseOrder {
			slices.Reverse(events)
		}
		return listed("events", events, in.NextToken, in.MaxResults), nil
	case "DescribeExecution":
		e := w.execution(in.ExecutionArn)
		if e == nil {
			return nil, &refusal{"ExecutionDoesNotExist", in.ExecutionArn}
		}
		out := e.described()
		out["input"] = e.input
		if e.Status() != "RUNNING" {
			r := e.Result()
			out["output"], out["error"], out["cause"] = string(r.Output), r.Error, r.Cause
		}
		return out, nil
	case "ListExecutions":
		shown := []any{}
		for _, e := range w.all() {
			if e.machine == in.StateMachineArn && (in.StatusFilter == "" || e.Status() == in.StatusFilter) {
				shown = append(shown, e.described())
			}
		}
		slices.Reverse(shown)
		return listed("executions", shown, in.NextToken, in.MaxResults), nil
	case "StartExecution":
		e, err := w.begin(w.machine, in.StateMachineArn, in.Name, []byte(in.Input))
		if err != nil {
			return nil, err
		}
		return map[string]any{"executionArn": e.ARN(), "startDate": seconds(e.at)}, nil
	}
	return nil, &refusal{"UnknownOperationException", operation}
}

// listed is one page of a list; the token is where the next one begins.
func listed(name string, all []any, from string, most int) any {
	start := 0
	if from != "" {
		_, _ = fmt.Sscan(from, &start)
	}
	if most == 0 {
		most = 100
	}
	end := min(len(all), start+most)
	out := map[string]any{name: all[start:end]}
	if end < len(all) {
		out["nextToken"] = strconv.Itoa(end)
	}
	return out
}

// wireForm writes a value of the SDK as the JSON protocol does: names begin
// small, times are seconds, what is absent is left out.
func wireForm(v reflect.Value) any {
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return nil
		}
		return wireForm(v.Elem())
	}
	if at, ok := reflect.TypeAssert[time.Time](v); ok {
		return float64(at.UnixMilli()) / 1000
	}
	if v.Kind() != reflect.Struct {
		return v.Interface()
	}
	fields := map[string]any{}
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if !f.IsExported() {
			continue
		}
		if value := wireForm(v.Field(i)); value != nil {
			name := []rune(f.Name)
			name[0] = unicode.ToLower(name[0])
			fields[string(name)] = value
		}
	}
	return fields
}
