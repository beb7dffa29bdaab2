package asl

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
)

// Call is one attempt of a Task.
type Call struct {
	Execution, Name string // the execution's ARN and name
	State           string
	Attempt         int // 0 for the first
	// Resource is the state's, such as arn:aws:states:::lambda:invoke.
	Resource string
	// Arguments are the state's, evaluated; those of lambda:invoke are
	// {"FunctionName": …, "Payload": …}.
	Arguments json.RawMessage
	// Token is the task token; empty without .waitForTaskToken.
	Token string
}

// Failure is an error as Step Functions sees it: Retry and Catch go by its
// name. That of a Lambda function has the function's errorType as its name, and
// {"errorMessage": …, "errorType": …} as its cause.
type Failure struct{ Name, Cause string } //nolint:errname // a task fails, as Step Functions says

// Error is both, for people.
func (f *Failure) Error() string { return f.Name + ": " + f.Cause }

// Tasks performs one attempt of a Task. For lambda:invoke it returns what Step
// Functions would put into $states.result: {"StatusCode": 200, "Payload": …}.
// An error that is a *Failure is what Step Functions would see; any other one
// panics. ctx ends with the state's TimeoutSeconds, or when the execution ends;
// what is returned after that does not count.
type Tasks func(ctx context.Context, c Call) (json.RawMessage, error)

// Runner executes state machines. It is Step Functions in one account.
type Runner struct {
	Tasks Tasks
	// Coverage takes note of what is reached; it may be nil.
	Coverage *Coverage
	// Rand draws the delays of retriers with jitter; nil for the longest ones.
	Rand *rand.Rand
	// Evaluated is called after each evaluation of an expression, with the
	// values of the variables that it names; it may be nil. defined is false
	// where the expression gives no value or fails.
	Evaluated func(expression string, variables map[string]any, result any, defined bool, err error)

	mu     sync.Mutex
	tokens map[string]*waiting
	issued int
}

// Start says what to execute.
type Start struct {
	MachineARN, Name string
	Input            json.RawMessage
}

// What SendTaskSuccess and SendTaskFailure answer, as the API does.
var (
	ErrTaskTimedOut  error = &types.TaskTimedOut{Message: aws.String("Task Timed Out: 'Provided task does not exist anymore'")}
	ErrInvalidToken  error = &types.InvalidToken{Message: aws.String("Invalid Token: 'Invalid token'")}
	ErrInvalidOutput error = &types.InvalidOutput{Message: aws.String("Invalid Output: 'The output is no JSON, or larger than 256 KiB'")}
)

// waiting is a task that can be answered by its token.
type waiting struct {
	answered chan struct{} // closed with the answer
	over     bool          // answered, or given up
	output   json.RawMessage
	failure  *Failure
}

// SendTaskSuccess answers a task token with an output. The first answer counts.
func (r *Runner) SendTaskSuccess(token string, output []byte) error {
	if !json.Valid(output) || len(output) > mostPayload {
		return ErrInvalidOutput
	}
	return r.answer(token, json.RawMessage(output), nil)
}

// SendTaskFailure answers a task token with an error. The first answer counts.
func (r *Runner) SendTaskFailure(token, name, cause string) error {
	return r.answer(token, nil, &Failure{Name: name, Cause: cause})
}

func (r *Runner) answer(token string, output json.RawMessage, failure *Failure) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	w, ok := r.tokens[token]
	switch {
	case !ok:
		return ErrInvalidToken
	case w.over:
		return ErrTaskTimedOut
	}
	w.over, w.output, w.failure = true, output, failure
	close(w.answered)
	return nil
}

// issue makes a token. Its length and alphabet are like those of Step
// Functions.
func (r *Runner) issue(execution string) (string, *waiting) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.issued++
	seed := sha256.Sum256([]byte(execution + "#" + strconv.Itoa(r.issued)))
	source := rand.NewChaCha8(seed)
	raw := make([]byte, 480)
	_, _ = source.Read(raw) // never fails
	token := base64.StdEncoding.EncodeToString(raw)
	w := &waiting{answered: make(chan struct{})}
	if r.tokens == nil {
		r.tokens = map[string]*waiting{}
	}
	r.tokens[token] = w
	return token, w
}

// close ends the wait for an answer, and tells whether one had come before.
func (r *Runner) close(w *waiting) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	answered := w.over
	w.over = true
	return answered
}

func (r *Runner) delay(one *retrier, used int) time.Duration {
	seconds := one.delay(used)
	if one.randomDelay && r.Rand != nil {
		r.mu.Lock()
		seconds *= r.Rand.Float64()
		r.mu.Unlock()
	}
	return time.Duration(seconds * float64(time.Second))
}

// Statuses of executions.
const (
	StatusRunning   = "RUNNING"
	StatusSucceeded = "SUCCEEDED"
	StatusFailed    = "FAILED"
	StatusAborted   = "ABORTED"
	StatusTimedOut  = "TIMED_OUT"
)

// Result is what an execution came to.
type Result struct {
	Status       string
	Output       json.RawMessage // of SUCCEEDED
	Error, Cause string          // of FAILED and TIMED_OUT
	// Transitions are those that are billed: each state that was entered, and
	// each retry.
	Transitions int
}

// Errors that end the work of an execution's goroutine.
var (
	errStopped  = errors.New("stopped")
	errTooLate  = errors.New("the execution has timed out")
	errTaskOver = errors.New("the task has timed out")
)

// Start begins an execution, in a goroutine of its own. It goes on when ctx
// ends; the values of ctx are those of the calls' contexts.
func (r *Runner) Start(ctx context.Context, m *Machine, s Start) *Execution {
	if !json.Valid(s.Input) || len(s.Input) > mostPayload {
		panic(fmt.Sprintf("asl: the input of %s is no JSON, or larger than 256 KiB", s.Name))
	}
	e := newExecution(r, m, s)
	ctx, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	e.stop = func() { stop(errStopped) }
	go func() {
		defer close(e.done)
		defer stop(nil)
		if m.timeout > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeoutCause(ctx, time.Duration(m.timeout)*time.Second, errTooLate)
			defer cancel()
		}
		e.run(ctx)
	}()
	return e
}
