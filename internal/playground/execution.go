package playground

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
)

// poll is how often an execution is looked at.
const poll = 50 * time.Millisecond

// Execution is one execution of a state machine.
type Execution struct {
	ARN  string
	p    *Playground
	seen int
}

// State is a state that an execution has entered.
type State struct {
	Name string
	At   time.Time
}

// execute starts an execution, with an empty name under one that Step
// Functions makes up.
func (p *Playground) execute(ctx context.Context, machine, name, input string) (Execution, error) {
	in := &sfn.StartExecutionInput{StateMachineArn: aws.String(machine), Input: aws.String(input)}
	if name != "" {
		in.Name = aws.String(name)
	}
	out, err := p.stepFunctions.StartExecution(ctx, in)
	if err != nil {
		return Execution{}, err
	}
	return Execution{ARN: *out.ExecutionArn, p: p}, nil
}

func (e *Execution) history(ctx context.Context) ([]types.HistoryEvent, error) {
	var events []types.HistoryEvent
	pages := sfn.NewGetExecutionHistoryPaginator(e.p.stepFunctions, &sfn.GetExecutionHistoryInput{ExecutionArn: aws.String(e.ARN), MaxResults: 1000})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("playground: history: %w", err)
		}
		events = append(events, page.Events...)
	}
	return events, nil
}

// News gives the states entered since the last call.
func (e *Execution) News(ctx context.Context) ([]State, error) {
	events, err := e.history(ctx)
	if err != nil {
		return nil, err
	}
	var states []State
	for _, event := range events {
		if event.StateEnteredEventDetails != nil {
			states = append(states, State{Name: *event.StateEnteredEventDetails.Name, At: *event.Timestamp})
		}
	}
	news := states[min(e.seen, len(states)):]
	e.seen = len(states)
	return news, nil
}

// Until waits until the execution enters the state, or ends. follow hears every
// state on the way; nil for nobody.
func (e *Execution) Until(ctx context.Context, state string, follow func(State)) error {
	return every(ctx, poll, func() (bool, error) {
		// The status first: what has ended by then has all its history.
		status, err := e.status(ctx)
		if err != nil {
			return false, err
		}
		news, err := e.News(ctx)
		if err != nil {
			return false, err
		}
		done := status.Status != types.ExecutionStatusRunning
		for _, s := range news {
			if follow != nil {
				follow(s)
			}
			done = done || s.Name == state
		}
		return done, nil
	})
}

func (e *Execution) status(ctx context.Context) (*sfn.DescribeExecutionOutput, error) {
	out, err := e.p.stepFunctions.DescribeExecution(ctx, &sfn.DescribeExecutionInput{ExecutionArn: aws.String(e.ARN)})
	if err != nil {
		return nil, fmt.Errorf("playground: status: %w", err)
	}
	return out, nil
}

// entered are the states entered, in order, and the transitions that AWS bills:
// those, and retries.
func entered(events []types.HistoryEvent) (states []string, transitions int) {
	tasks, attempts := 0, 0
	for _, event := range events {
		if event.StateEnteredEventDetails != nil {
			states = append(states, *event.StateEnteredEventDetails.Name)
			if event.Type == types.HistoryEventTypeTaskStateEntered {
				tasks++
			}
		}
		if event.Type == types.HistoryEventTypeTaskScheduled {
			attempts++
		}
	}
	return states, len(states) + max(0, attempts-tasks)
}

// every calls done at an interval until it says so or ctx ends.
func every(ctx context.Context, interval time.Duration, done func() (bool, error)) error {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		if ok, err := done(); ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}
