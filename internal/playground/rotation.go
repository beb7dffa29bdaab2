package playground

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"keyturn/internal/rotation"
)

// architecture is this machine's, in Lambda's words.
func architecture() string {
	if runtime.GOARCH == "arm64" {
		return "arm64"
	}
	return "x86_64"
}

// publish has the links' base answered by the stack's page.
func (p *Playground) publish(ctx context.Context, stack string) error {
	function, err := lambda.NewFromConfig(p.Cloud.Config()).GetFunctionUrlConfig(ctx,
		&lambda.GetFunctionUrlConfigInput{FunctionName: aws.String(stack + "-confirm-upload")})
	if err != nil {
		return fmt.Errorf("playground: address of the page: %w", err)
	}
	return p.Cloud.Publish(*function.FunctionUrl)
}

// Rotation is one execution of the state machine rotation.
type Rotation struct{ Execution }

// Report is the output or cause of a rotation that has ended.
type Report struct {
	Result   string             `json:"result"`
	Target   rotation.Target    `json:"target"`
	OldKid   string             `json:"oldKid"`
	NewKid   string             `json:"newKid"`
	NotAfter time.Time          `json:"notAfter"`
	Decision *rotation.Decision `json:"decision"`
	// Signing is who has had the certificate signed, where a person does that.
	Signing *rotation.Decision `json:"signing"`
	// CalledOff is who called a plan off last, if anybody did.
	CalledOff *rotation.Decision `json:"calledOff"`
	// SignIn is the answer to whether sign-in works, where that was asked.
	SignIn   *rotation.Decision `json:"signIn"`
	Error    *Problem           `json:"error"`
	Rollback *Problem           `json:"rollbackError"`
	Revoked  []string           `json:"revokedCsrs"`
	// PendingCSR is the id of a CSR that the next rotation can use.
	PendingCSR string `json:"pendingCsr"`
	LeftBehind *struct {
		Kid      string    `json:"kid"`
		NotAfter time.Time `json:"notAfter"`
	} `json:"leftBehind"`
	SharedWith  []rotation.Target `json:"sharedWith"`
	UploadOrder string            `json:"uploadOrder"`
	// Resumed tells that the new key was in use already at the start.
	Resumed   bool   `json:"resumed"`
	Execution string `json:"execution"`

	// Succeeded tells whether Step Functions counts the execution as a
	// success.
	Succeeded bool `json:"-"`
	// Transitions are those that AWS bills: states entered, and retries.
	Transitions int `json:"-"`
	// States are those entered, in order.
	States []string `json:"-"`
}

// Problem is an error as the report tells it.
type Problem struct {
	Step    string `json:"step"`
	Name    string `json:"name"`
	Message string `json:"message"`
}

// Rotate starts a rotation, with an empty name under one that Step Functions
// makes up. policy is anything that marshals to a policy; nil for none.
func (p *Playground) Rotate(ctx context.Context, name string, target rotation.Target, policy any) (*Rotation, error) {
	input := map[string]any{"target": map[string]any{"kind": target.Kind, "id": target.ID}}
	if policy != nil {
		input["policy"] = policy
	}
	body, err := json.Marshal(input)
	if err != nil {
		return nil, fmt.Errorf("playground: input: %w", err)
	}
	return p.RotateInput(ctx, name, string(body))
}

// RotateInput starts a rotation with an input as it is.
func (p *Playground) RotateInput(ctx context.Context, name, input string) (*Rotation, error) {
	e, err := p.execute(ctx, p.Outputs["RotationStateMachineArn"], name, input)
	if err != nil {
		return nil, fmt.Errorf("playground: starting the rotation: %w", err)
	}
	return &Rotation{e}, nil
}

// Rotations lists the executions so far, the newest first.
func (p *Playground) Rotations(ctx context.Context) ([]types.ExecutionListItem, error) {
	out, err := p.stepFunctions.ListExecutions(ctx, &sfn.ListExecutionsInput{StateMachineArn: aws.String(p.Outputs["RotationStateMachineArn"])})
	if err != nil {
		return nil, fmt.Errorf("playground: rotations: %w", err)
	}
	return out.Executions, nil
}

// Attach follows an execution that something else has started.
func (p *Playground) Attach(arn string) *Rotation { return &Rotation{Execution{ARN: arn, p: p}} }

// End waits until the rotation has ended and gives its report. follow hears
// every state that has not been heard of.
func (r *Rotation) End(ctx context.Context, follow func(State)) (Report, error) {
	if err := r.Until(ctx, "", follow); err != nil {
		return Report{}, err
	}
	out, err := r.status(ctx)
	if err != nil {
		return Report{}, err
	}
	events, err := r.history(ctx)
	if err != nil {
		return Report{}, err
	}
	if _, err := r.News(ctx); err != nil {
		return Report{}, err
	}
	report := Report{Succeeded: out.Status == types.ExecutionStatusSucceeded}
	text := aws.ToString(out.Cause)
	if report.Succeeded {
		text = aws.ToString(out.Output)
	}
	if err := json.Unmarshal([]byte(text), &report); err != nil {
		return report, fmt.Errorf("playground: the execution %s ended %s with %q %q, which is no report: %w", r.ARN, out.Status, aws.ToString(out.Error), text, err)
	}
	report.States, report.Transitions = entered(events)
	return report, nil
}

// OktaCalls counts the calls that the org has had for a target since then, and
// the lists that name none.
func (p *Playground) OktaCalls(id string, since time.Time) int {
	n := 0
	for _, c := range p.Org.Calls() {
		if !c.Time.Before(since) && (c.ID == id || (c.ID == "" && strings.HasPrefix(c.Operation, "list"))) {
			n++
		}
	}
	return n
}
