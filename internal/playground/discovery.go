package playground

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"keyturn/internal/inventory"
)

// Discovery is an execution of the state machine discovery that has ended.
type Discovery struct {
	inventory.ReportInventoryOutput
	// Status is the execution's, Error and Cause what it failed with.
	Status       types.ExecutionStatus
	Error, Cause string
	ARN          string
	// States are those entered, in order; Transitions those that AWS bills.
	States      []string
	Transitions int
	// Events are those of its history; LargestState is what the largest input
	// or output of a state takes, in bytes.
	Events, LargestState int
}

// Discover runs a discovery to its end. request is anything that marshals to
// its input.
func (p *Playground) Discover(ctx context.Context, request any) (Discovery, error) {
	input, err := json.Marshal(request)
	if err != nil {
		return Discovery{}, fmt.Errorf("playground: input: %w", err)
	}
	e, err := p.execute(ctx, p.Outputs["DiscoveryStateMachineArn"], "", string(input))
	if err != nil {
		return Discovery{}, fmt.Errorf("playground: starting discovery: %w", err)
	}
	return p.Discovered(ctx, e.ARN)
}

// Discovered waits for the end of a discovery that something else has started.
func (p *Playground) Discovered(ctx context.Context, arn string) (Discovery, error) {
	e := Execution{ARN: arn, p: p}
	if err := e.Until(ctx, "", nil); err != nil {
		return Discovery{}, err
	}
	out, err := e.status(ctx)
	if err != nil {
		return Discovery{}, err
	}
	events, err := e.history(ctx)
	if err != nil {
		return Discovery{}, err
	}
	d := Discovery{Status: out.Status, Error: aws.ToString(out.Error), Cause: aws.ToString(out.Cause), ARN: arn}
	d.States, d.Transitions = entered(events)
	d.Events = len(events)
	for _, event := range events {
		if in := event.StateEnteredEventDetails; in != nil {
			d.LargestState = max(d.LargestState, len(aws.ToString(in.Input)))
		}
		if out := event.StateExitedEventDetails; out != nil {
			d.LargestState = max(d.LargestState, len(aws.ToString(out.Output)))
		}
	}
	if out.Status == types.ExecutionStatusSucceeded {
		if err := json.Unmarshal([]byte(*out.Output), &d.ReportInventoryOutput); err != nil {
			return d, fmt.Errorf("playground: the output of %s: %w", arn, err)
		}
	}
	return d, nil
}

// Object reads an object of the inventory's bucket.
func (p *Playground) Object(ctx context.Context, key string) ([]byte, error) {
	out, err := p.s3().GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String(p.Outputs["InventoryBucket"]), Key: aws.String(key)})
	if err != nil {
		return nil, fmt.Errorf("playground: %s: %w", key, err)
	}
	defer func() { _ = out.Body.Close() }()
	return io.ReadAll(out.Body)
}

func (p *Playground) s3() *s3.Client {
	return s3.NewFromConfig(p.Cloud.Config(), func(o *s3.Options) { o.UsePathStyle = true })
}

// Objects are the keys of everything in the inventory's bucket.
func (p *Playground) Objects(ctx context.Context) ([]string, error) {
	var keys []string
	pages := s3.NewListObjectsV2Paginator(p.s3(), &s3.ListObjectsV2Input{Bucket: aws.String(p.Outputs["InventoryBucket"])})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("playground: the bucket: %w", err)
		}
		for _, o := range page.Contents {
			keys = append(keys, *o.Key)
		}
	}
	return keys, nil
}
