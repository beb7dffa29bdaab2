package starting

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"keyturn/internal/awsenv"
	"keyturn/internal/inventory"
	"keyturn/internal/rotation"
)

// carryOut makes the plan's starts, or what an earlier call left of them.
//
// A start that was made before is made again: Step Functions answers one with
// the name and the input of a running execution as it did at first, which makes
// a lost answer, and a death right after it, as if it had not been.
func (r Rotations) carryOut(ctx context.Context, p *plan, running *runs) error {
	now := running.of()
	// hasRotation tells of the planned targets whether a rotation is running.
	hasRotation := make(map[rotation.Target]bool, len(p.Starts))
	accepted := false
	for _, s := range p.Starts {
		e := &p.Dues[s.Due]
		has, err := r.start(ctx, s, e, now[e.Target.Bare()], running.blind, hasRotation)
		if err != nil && (rotation.NameOf(err) == unavailable || !accepted) {
			return err
		}
		if err != nil {
			fail(e, rotation.NameOf(err), "%s", err)
		}
		accepted = accepted || has
		hasRotation[e.Target.Bare()] = has
	}
	return nil
}

// start starts one rotation, and tells whether its target has one then. An
// error is of a kind that the next start would meet as well.
func (r Rotations) start(ctx context.Context, s start, e *inventory.Entry, running *run, blind bool, hasRotation map[rotation.Target]bool) (bool, error) {
	e.Rotation, e.Problem = nil, nil
	if running != nil {
		if running.name == s.Name {
			// This run's, by an earlier call or by one at the same time.
			e.Rotation = &running.Running
		} else {
			isRunning(e, running.Running)
		}
		return true, nil
	}
	if source := s.CloneFrom; source != nil {
		if has, planned := hasRotation[source.Bare()]; planned && !has {
			e.Action = inventory.ActionPostponed
			e.Reason = fmt.Sprintf("it is to get a copy of the new key of %s, whose rotation could not be started: the next run's", source)
			return false, nil
		}
	}
	if blind {
		e.Action, e.Reason = inventory.ActionPostponed, "whether a rotation is running for it is not known, as a running one could not be read: the next run's"
		return false, nil
	}
	out, err := r.StepFunctions.StartExecution(ctx, &sfn.StartExecutionInput{
		StateMachineArn: aws.String(r.MachineARN), Name: aws.String(s.Name), Input: aws.String(string(s.Input)),
	})
	var exists *types.ExecutionAlreadyExists
	switch {
	case err == nil:
		e.Rotation = &inventory.Running{Execution: aws.ToString(out.ExecutionArn), Target: e.Target, StartedAt: aws.ToTime(out.StartDate).UTC()}
		return true, nil
	case errors.As(err, &exists):
		return r.startedBefore(ctx, s, e)
	case nameOf(err) != "":
		return false, explain(err, "start rotations")
	}
	fail(e, "StepFunctions.NotStarted", "Step Functions did not start the rotation %s (%s)", s.Name, awsenv.ErrorCode(err))
	return false, nil
}

// startedBefore is for a name that is taken: a rotation of this key was started
// today already. It runs, with another input, or has ended.
func (r Rotations) startedBefore(ctx context.Context, s start, e *inventory.Entry) (bool, error) {
	execution := strings.Replace(r.MachineARN, ":stateMachine:", ":execution:", 1) + ":" + s.Name
	out, err := r.describe(ctx, execution)
	if rotation.NameOf(err) == unavailable {
		return false, err
	}
	e.Action, e.Reason = inventory.ActionPaused, "was rotated today already; how that stands could not be read"
	if out == nil {
		return false, nil
	}
	if t := inputTarget(aws.ToString(out.Input)); t.Kind != "" && t != e.Target.Bare() {
		fail(e, "StepFunctions.NotStarted", "the name %s is that of a rotation of %s: start this one by an event, or tomorrow", s.Name, t)
		return false, nil
	}
	if out.Status == types.ExecutionStatusRunning {
		isRunning(e, inventory.Running{Execution: execution, Target: e.Target, StartedAt: aws.ToTime(out.StartDate).UTC()})
		return true, nil
	}
	e.Reason = fmt.Sprintf("was rotated today already: that ended as %s on %s", report(out).Result, clock(aws.ToTime(out.StopDate)))
	return false, nil
}
