package starting_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"keyturn/internal/rotation"
)

const machineARN = "arn:aws:states:eu-west-1:123456789012:stateMachine:keyturn-rotation"

func arnOf(name string) string {
	return "arn:aws:states:eu-west-1:123456789012:execution:keyturn-rotation:" + name
}

// stepFunctions is Step Functions with one state machine, as the API reference
// says.
type stepFunctions struct {
	now func() time.Time
	// pageSize is the most that a list gives, whatever is asked for: MaxResults
	// is only an upper limit.
	pageSize int
	// hidden tells that the lists are behind: they show no execution that is
	// running.
	hidden bool

	mu         sync.Mutex
	executions []*execution
	faults     []*fault
	calls      map[string]int
	// described counts DescribeExecution by name.
	described map[string]int
	reading   int
	// mostReading is how many reads of executions there were at a time.
	mostReading int
}

type execution struct {
	name, input    string
	status         types.ExecutionStatus
	started, ended time.Time
	output         string
	err, cause     string
	history        []types.HistoryEvent
}

// fault is a call that goes wrong: without effect, or with its answer lost.
type fault struct {
	operation, name string
	skip, times     int
	err             error
	after           bool
}

func (s *stepFunctions) fail(f fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.times == 0 {
		f.times = 1
	}
	s.faults = append(s.faults, &f)
}

func (s *stepFunctions) heal() { s.faults = nil }

// call counts a call, and gives the fault that hits it.
func (s *stepFunctions) call(operation, name string) *fault {
	if s.calls == nil {
		s.calls = map[string]int{}
	}
	s.calls[operation]++
	for _, f := range s.faults {
		if f.operation != operation || f.name != "" && f.name != name || f.times == 0 {
			continue
		}
		if f.skip > 0 {
			f.skip--
			continue
		}
		f.times--
		return f
	}
	return nil
}

func coded(code string) error {
	return &smithy.GenericAPIError{Code: code, Message: "says the service of " + taskToken}
}

// answered is an error as the SDK wraps it.
func answered(status int, code string) error {
	return &smithyhttp.ResponseError{Response: &smithyhttp.Response{Response: &http.Response{StatusCode: status}}, Err: coded(code)}
}

var errNoAnswer = errors.New("read tcp 10.0.0.1: connection reset by peer, of " + taskToken)

func (s *stepFunctions) find(name string) *execution {
	for _, e := range s.executions {
		if e.name == name {
			return e
		}
	}
	return nil
}

// run has an execution run since a while.
func (s *stepFunctions) run(name, input string, since time.Duration) *execution {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := &execution{name: name, input: input, status: types.ExecutionStatusRunning, started: s.now().Add(-since)}
	s.executions = append(s.executions, e)
	return e
}

// end ends it, so long ago, with its report as output or cause.
func (s *stepFunctions) end(e *execution, status types.ExecutionStatus, ago time.Duration, report string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e.status, e.ended = status, s.now().Add(-ago)
	if status == types.ExecutionStatusSucceeded {
		e.output = report
		return
	}
	e.cause = report
	var r struct{ Result string }
	if json.Unmarshal([]byte(report), &r) == nil {
		e.err = r.Result
	}
}

// ask has it wait for an answer since a while.
func (s *stepFunctions) ask(e *execution, in rotation.RequestUploadInput, since time.Duration) {
	payload, err := json.Marshal(map[string]any{"FunctionName": "arn", "Payload": in})
	if err != nil {
		panic(err)
	}
	at := aws.Time(s.now().Add(-since))
	e.history = append(e.history,
		types.HistoryEvent{Type: types.HistoryEventTypeTaskStateEntered, Timestamp: at, StateEnteredEventDetails: &types.StateEnteredEventDetails{Name: aws.String("RequestUpload")}},
		types.HistoryEvent{Type: types.HistoryEventTypeTaskScheduled, Timestamp: at, TaskScheduledEventDetails: &types.TaskScheduledEventDetails{Parameters: aws.String(string(payload))}},
		types.HistoryEvent{Type: types.HistoryEventTypeTaskSubmitted, Timestamp: at})
}

func (s *stepFunctions) ListExecutions(ctx context.Context, in *sfn.ListExecutionsInput, _ ...func(*sfn.Options)) (*sfn.ListExecutionsOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.call("ListExecutions", string(in.StatusFilter)); f != nil {
		return nil, f.err
	}
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case aws.ToString(in.StateMachineArn) != machineARN:
		return nil, &types.StateMachineDoesNotExist{Message: aws.String("State Machine Does Not Exist: '" + aws.ToString(in.StateMachineArn) + "'")}
	case in.MaxResults < 0 || in.MaxResults > 1000:
		return nil, coded("ValidationException")
	}
	most := int(in.MaxResults)
	if most == 0 {
		most = 100
	}
	if s.pageSize > 0 {
		most = min(most, s.pageSize)
	}
	start := 0
	if in.NextToken != nil {
		status, at, _ := strings.Cut(*in.NextToken, " ")
		var err error
		if start, err = strconv.Atoi(at); err != nil || status != string(in.StatusFilter) {
			return nil, &types.InvalidToken{Message: aws.String("Invalid Token")}
		}
	}
	found := slices.DeleteFunc(slices.Clone(s.executions), func(e *execution) bool {
		if s.hidden && e.status == types.ExecutionStatusRunning {
			return true
		}
		// Ended executions are forgotten after 90 days.
		return in.StatusFilter != "" && e.status != in.StatusFilter ||
			e.status != types.ExecutionStatusRunning && e.ended.Before(s.now().Add(-90*rotation.Day))
	})
	slices.SortStableFunc(found, func(a, b *execution) int { return b.started.Compare(a.started) })
	out := &sfn.ListExecutionsOutput{}
	for i := start; i < len(found); i++ {
		if len(out.Executions) == most {
			out.NextToken = aws.String(fmt.Sprintf("%s %d", in.StatusFilter, i))
			break
		}
		e := found[i]
		item := types.ExecutionListItem{ExecutionArn: aws.String(arnOf(e.name)), Name: aws.String(e.name), StateMachineArn: aws.String(machineARN), StartDate: aws.Time(e.started), Status: e.status}
		if !e.ended.IsZero() {
			item.StopDate = aws.Time(e.ended)
		}
		out.Executions = append(out.Executions, item)
	}
	return out, nil
}

// read is one at a time of several that a caller makes.
func (s *stepFunctions) read(ctx context.Context, operation, arn string) (*execution, error) {
	s.mu.Lock()
	s.reading++
	s.mostReading = max(s.mostReading, s.reading)
	s.mu.Unlock()
	runtime.Gosched()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reading--
	name := strings.TrimPrefix(arn, arnOf(""))
	if f := s.call(operation, name); f != nil {
		return nil, f.err
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	e := s.find(name)
	if e == nil || !strings.HasPrefix(arn, arnOf("")) {
		return nil, &types.ExecutionDoesNotExist{Message: aws.String("Execution Does Not Exist: '" + arn + "'")}
	}
	return e, nil
}

func (s *stepFunctions) DescribeExecution(ctx context.Context, in *sfn.DescribeExecutionInput, _ ...func(*sfn.Options)) (*sfn.DescribeExecutionOutput, error) {
	e, err := s.read(ctx, "DescribeExecution", aws.ToString(in.ExecutionArn))
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.described == nil {
		s.described = map[string]int{}
	}
	s.described[e.name]++
	out := &sfn.DescribeExecutionOutput{ExecutionArn: in.ExecutionArn, Name: aws.String(e.name), StateMachineArn: aws.String(machineARN), StartDate: aws.Time(e.started), Status: e.status, Input: aws.String(e.input)}
	if e.status == types.ExecutionStatusRunning {
		return out, nil
	}
	out.StopDate = aws.Time(e.ended)
	if e.status == types.ExecutionStatusSucceeded {
		out.Output = aws.String(e.output)
	} else if e.err != "" || e.cause != "" {
		out.Error, out.Cause = aws.String(e.err), aws.String(e.cause)
	}
	return out, nil
}

func (s *stepFunctions) GetExecutionHistory(ctx context.Context, in *sfn.GetExecutionHistoryInput, _ ...func(*sfn.Options)) (*sfn.GetExecutionHistoryOutput, error) {
	e, err := s.read(ctx, "GetExecutionHistory", aws.ToString(in.ExecutionArn))
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	events := slices.Clone(e.history)
	if in.ReverseOrder {
		slices.Reverse(events)
	}
	return &sfn.GetExecutionHistoryOutput{Events: events}, nil
}

func (s *stepFunctions) StartExecution(ctx context.Context, in *sfn.StartExecutionInput, _ ...func(*sfn.Options)) (*sfn.StartExecutionOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name, input := aws.ToString(in.Name), aws.ToString(in.Input)
	f := s.call("StartExecution", name)
	if f != nil && !f.after {
		return nil, f.err
	}
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case aws.ToString(in.StateMachineArn) != machineARN:
		return nil, &types.StateMachineDoesNotExist{Message: aws.String("State Machine Does Not Exist")}
	case name == "" || len(name) > 80 || strings.ContainsAny(name, " \t\n<>{}[]?*\"#%\\^|~`$&,;:/"):
		return nil, &types.InvalidName{Message: aws.String("Invalid Name: '" + name + "'")}
	case !json.Valid([]byte(input)) || len(input) > 256<<10:
		return nil, &types.InvalidExecutionInput{Message: aws.String("Invalid State Machine Execution Input")}
	}
	e := s.find(name)
	switch {
	case e == nil:
		e = &execution{name: name, input: input, status: types.ExecutionStatusRunning, started: s.now()}
		s.executions = append(s.executions, e)
	case e.status != types.ExecutionStatusRunning || e.input != input:
		return nil, &types.ExecutionAlreadyExists{Message: aws.String("Execution Already Exists: '" + arnOf(name) + "'")}
	}
	if f != nil {
		return nil, f.err
	}
	return &sfn.StartExecutionOutput{ExecutionArn: aws.String(arnOf(name)), StartDate: aws.Time(e.started)}, nil
}

// names are those of the executions in the order of their starts.
func (s *stepFunctions) names() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []string
	for _, e := range s.executions {
		all = append(all, e.name)
	}
	return all
}
