package asl

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// task carries out a Task: attempts until one succeeds, no retrier takes the
// error any more, and then a catcher, if there is one for it.
func (v *visit) task(ctx context.Context) (string, any, error) {
	used := make([]int, len(v.s.retry))
	for {
		next, output, err := v.attempt(ctx)
		if err == nil {
			return next, output, nil
		}
		v.result, v.hasResult = nil, false
		var failure *Failure
		if !errors.As(err, &failure) {
			return "", nil, err
		}
		if v.full() {
			return "", nil, tooManyEvents()
		}
		i := slices.IndexFunc(v.s.retry, func(r retrier) bool { return matches(r.errors, failure.Name) })
		if i >= 0 {
			v.runner.Coverage.took(v.machine, v.s, coveredRetry(i))
		}
		if i < 0 || used[i] >= v.s.retry[i].most {
			return v.caught(failure)
		}
		if err := sleep(ctx, v.runner.delay(&v.s.retry[i], used[i])); err != nil {
			return "", nil, err
		}
		used[i]++
		v.retries++
		v.transitions++
	}
}

func (v *visit) caught(failure *Failure) (string, any, error) {
	i := slices.IndexFunc(v.s.catch, func(c catcher) bool { return matches(c.errors, failure.Name) })
	if i < 0 {
		return "", nil, failure
	}
	v.failure = failure
	c := v.s.catch[i]
	otherwise := map[string]any{"Error": failure.Name, "Cause": failure.Cause}
	return v.leave(c.assign, c.output, otherwise, c.next, coveredCatch(i))
}

// matches tells whether an error's name is among those of a retrier or catcher
// (specification, "Errors"; Developer Guide, "Handling errors in Step Functions
// workflows").
func matches(names []string, name string) bool {
	return name != errRuntime && slices.ContainsFunc(names, func(one string) bool {
		switch one {
		case "States.ALL":
			return name != errDataLimit
		case errTaskFailed:
			return name != errTimeout && name != errDataLimit
		}
		return one == name
	})
}

// delay is the pause in seconds before a retry, without jitter; used is how
// often the retrier has been used before.
func (r *retrier) delay(used int) float64 {
	seconds := r.interval * math.Pow(r.backoff, float64(used))
	if r.longest > 0 {
		seconds = min(seconds, r.longest)
	}
	return seconds
}

const tokenSuffix = ".waitForTaskToken"

// attempt is one attempt of a Task, and what follows if it succeeds.
func (v *visit) attempt(ctx context.Context) (string, any, error) {
	var w *waiting
	v.token = ""
	if strings.HasSuffix(v.s.action, tokenSuffix) {
		v.token, w = v.runner.issue(v.arn)
		defer v.runner.close(w)
	}
	arguments, err := v.evaluate(v.s.arguments)
	if err != nil {
		return "", nil, err
	}
	timeout := 0.0
	if v.s.timeout != nil {
		if timeout, err = v.seconds(*v.s.timeout, 1); err != nil {
			return "", nil, err
		}
	}
	text := encode(arguments)
	if len(text) > mostPayload {
		return "", nil, &Failure{errDataLimit, fmt.Sprintf("The state %q passes %d bytes to its task: the limit is %d.", v.s.name, len(text), mostPayload)}
	}
	v.scheduled(v.s, text, int64(timeout))
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, time.Duration(timeout)*time.Second, errTaskOver)
		defer cancel()
	}
	output, err := v.perform(ctx, text, w)
	if errors.Is(err, errTaskOver) {
		err = &Failure{Name: errTimeout}
		v.runner.Coverage.took(v.machine, v.s, coveredTimeout)
	}
	if err == nil && len(output) > mostPayload {
		err = &Failure{errDataLimit, fmt.Sprintf("The task of the state %q returned %d bytes: the limit is %d.", v.s.name, len(output), mostPayload)}
	}
	var failure *Failure
	if errors.As(err, &failure) {
		v.failedTask(v.s, failure)
	}
	if err != nil {
		return "", nil, err
	}
	v.succeededTask(v.s, output)
	v.result, v.hasResult = decode(output), true
	return v.leave(v.s.assign, v.s.output, v.result, v.s.next, coveredNext)
}

type answer struct {
	output json.RawMessage
	err    error
}

// perform calls the task, and with a token waits for the answer to it, which
// may come before the call has returned.
func (v *visit) perform(ctx context.Context, arguments json.RawMessage, w *waiting) (json.RawMessage, error) {
	call := Call{Execution: v.arn, Name: v.start.Name, State: v.s.name, Attempt: v.retries,
		Resource: v.s.resource, Arguments: arguments, Token: v.token}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	returned, tasks := make(chan answer, 1), v.runner.Tasks
	go func() {
		output, err := tasks(ctx, call)
		returned <- answer{output, err}
	}()
	var answered chan struct{}
	if w != nil {
		answered = w.answered
	}
	for {
		select {
		case <-ctx.Done():
			if w != nil && v.runner.close(w) {
				return w.output, asError(w.failure)
			}
			return nil, context.Cause(ctx)
		case <-answered:
			return w.output, asError(w.failure)
		case a := <-returned:
			if ctx.Err() != nil {
				continue // it is too late, and the task may say so
			}
			if err := v.checked(a); err != nil {
				if w != nil && v.runner.close(w) {
					return w.output, asError(w.failure)
				}
				return nil, err
			}
			if w == nil {
				return a.output, nil
			}
			v.submitted(v.s, a.output)
			returned = nil
		}
	}
}

// checked panics where a task does what no task of Step Functions can do.
func (v *visit) checked(a answer) error {
	var failure *Failure
	switch {
	case a.err == nil && !json.Valid(a.output):
		panic(fmt.Sprintf("asl: the task of %s in %s returned no JSON: %q", v.s.name, v.arn, a.output))
	case a.err != nil && !errors.As(a.err, &failure):
		panic(fmt.Sprintf("asl: the task of %s in %s failed with an error that is no *asl.Failure: %v", v.s.name, v.arn, a.err))
	}
	return a.err
}

// asError keeps a nil *Failure from becoming an error.
func asError(f *Failure) error {
	if f == nil {
		return nil
	}
	return f
}
