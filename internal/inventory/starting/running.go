package starting

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"keyturn/internal/approval/paused"
	"keyturn/internal/inventory"
	"keyturn/internal/rotation"
)

// run is a rotation that has not ended.
type run struct {
	inventory.Running
	name string
	// kid8 is the part of the kid that the name has, kid the whole; empty where
	// they are not known.
	kid8, kid string
}

// from tells whether the rotation is away from this key.
func (r *run) from(kind rotation.Kind, kid string) bool {
	switch {
	case r.Target.Kind != kind || kid == "":
		return false
	case r.kid != "":
		return r.kid == kid
	}
	return r.kid8 != "" && r.kid8 == kid[:min(len(kid), 8)]
}

// runs are all rotations that have not ended, the oldest first.
type runs struct {
	all []*run
	// blind tells that the target of one of them could not be read, so that
	// none is known to have no rotation.
	blind bool
}

// of finds a target's rotation, the oldest if it has several.
func (r *runs) of() map[rotation.Target]*run {
	found := make(map[rotation.Target]*run, len(r.all))
	for _, one := range r.all {
		if t := one.Target.Bare(); found[t] == nil {
			found[t] = one
		}
	}
	return found
}

// list has those that were started meanwhile as well.
func (r *runs) list(dues []inventory.Entry) []inventory.Running {
	list := make([]inventory.Running, 0, len(r.all))
	listed := make(map[string]bool, len(r.all))
	labels := make(map[rotation.Target]rotation.Target, len(dues))
	for i := range dues {
		labels[dues[i].Target.Bare()] = dues[i].Target
	}
	add := func(one inventory.Running) {
		if listed[one.Execution] {
			return
		}
		if labelled, known := labels[one.Target.Bare()]; known {
			one.Target = labelled
		}
		listed[one.Execution] = true
		list = append(list, one)
	}
	for _, one := range r.all {
		add(one.Running)
	}
	for i := range dues {
		// What was running when it was decided may have ended since.
		if dues[i].Action == inventory.ActionStart && dues[i].Rotation != nil {
			add(*dues[i].Rotation)
		}
	}
	slices.SortStableFunc(list, func(a, b inventory.Running) int {
		return cmp.Or(a.StartedAt.Compare(b.StartedAt), cmp.Compare(a.Execution, b.Execution))
	})
	return list
}

// pageSize is the largest that ListExecutions knows.
const pageSize = 1000

// listed calls take for the executions with a status, the latest start first,
// until take has enough.
func (r Rotations) listed(ctx context.Context, status types.ExecutionStatus, take func(types.ExecutionListItem) (more bool)) error {
	in := &sfn.ListExecutionsInput{StateMachineArn: aws.String(r.MachineARN), StatusFilter: status, MaxResults: pageSize}
	for {
		out, err := r.StepFunctions.ListExecutions(ctx, in)
		if err != nil {
			return explain(err, "list the rotations")
		}
		for _, item := range out.Executions {
			if !take(item) {
				return nil
			}
		}
		if in.NextToken = out.NextToken; in.NextToken == nil {
			return nil
		}
	}
}

// running reads which rotations have not ended, and what they wait for.
func (r Rotations) running(ctx context.Context) (*runs, []inventory.Problem, error) {
	var all, unnamed []*run
	err := r.listed(ctx, types.ExecutionStatusRunning, func(item types.ExecutionListItem) bool {
		one := &run{name: aws.ToString(item.Name)}
		one.Execution, one.StartedAt = aws.ToString(item.ExecutionArn), aws.ToTime(item.StartDate).UTC()
		one.Target, one.kid8 = named(one.name)
		all = append(all, one)
		return true
	})
	if err != nil {
		return nil, nil, err
	}
	slices.SortFunc(all, func(a, b *run) int {
		return cmp.Or(a.StartedAt.Compare(b.StartedAt), cmp.Compare(a.Execution, b.Execution))
	})
	for _, one := range all {
		if one.Target == (rotation.Target{}) {
			unnamed = append(unnamed, one)
		}
	}

	var problems []inventory.Problem
	unread, why := readEach(ctx, len(unnamed), func(ctx context.Context, i int) error {
		out, err := r.describe(ctx, unnamed[i].Execution)
		if err == nil && out != nil && out.Status == types.ExecutionStatusRunning {
			unnamed[i].Target = inputTarget(aws.ToString(out.Input))
			unnamed[i].kid8 = kidIn(unnamed[i].name, unnamed[i].Target)
		}
		return err
	})
	if unread > 0 {
		problems = append(problems, problem(why, "which targets %d of %d running rotations are for could not be read, so that nothing is started: %s", unread, len(all), text(why)))
	}
	// An execution without a target that could be rotated ends by itself; one
	// that has ended meanwhile is found among those that have.
	all = slices.DeleteFunc(all, func(one *run) bool { return one.Target == (rotation.Target{}) })

	shown := all[:min(len(all), inventory.MaxRunning)]
	executions := paused.Executions{StepFunctions: r.StepFunctions, MachineARN: r.MachineARN}
	stageless, why := readEach(ctx, len(shown), func(ctx context.Context, i int) error {
		p, err := executions.Progress(ctx, shown[i].name)
		if errors.Is(err, paused.ErrNoExecution) {
			return nil
		}
		if err == nil && p.Asking != nil {
			shown[i].waits(p.Asking, p.Since)
		}
		return err
	})
	if stageless > 0 {
		problems = append(problems, problem(why, "what %d of %d running rotations wait for could not be read: %s", stageless, len(all), text(why)))
	}
	return &runs{all: all, blind: unread > 0}, problems, nil
}

// waits takes from a request what may be shown. The request itself has the task
// token and is not kept.
func (r *run) waits(in *rotation.RequestUploadInput, sent time.Time) {
	r.Stage, r.kid = in.Stage, in.OldKey.Kid
	r.Asked = slices.Clone(in.Asked())
	if in.Escalate {
		r.Asked = append(r.Asked, in.Policy.EscalateTo...)
	}
	if in.Target.Bare() == r.Target.Bare() {
		r.Target = in.Target
	}
	deadline := in.Deadline(sent).UTC()
	r.AnswerBy = &deadline
	if (in.Stage == rotation.StageUpload || in.Stage == rotation.StageCertificate) && in.Round > 0 {
		// A reminder: at the earliest the first message went out right after the inspection,
		// from which AnswerBy counts.
		first := in.AnswerBy.Add(-time.Duration(in.Policy.GiveUpDays) * rotation.Day)
		if first.Before(r.StartedAt) {
			first = r.StartedAt
		}
		if first.Before(sent) {
			sent = first
		}
	}
	sent = sent.UTC()
	r.Since = &sent
}

// describe reads an execution; nil where Step Functions does not know it any
// more.
func (r Rotations) describe(ctx context.Context, execution string) (*sfn.DescribeExecutionOutput, error) {
	out, err := r.StepFunctions.DescribeExecution(ctx, &sfn.DescribeExecutionInput{ExecutionArn: aws.String(execution)})
	var unknown *types.ExecutionDoesNotExist
	if errors.As(err, &unknown) {
		return nil, nil
	}
	if err != nil {
		return nil, explain(err, "show a rotation")
	}
	return out, nil
}

// idLength is that of Okta's ids, kidLength what a name has of a kid.
const (
	idLength   = 20
	kidLength  = 8
	dateLength = len("20060102")
)

// named reads a target, and the beginning of its kid, from an execution's name
// of the form {kind}-{id}-{kid}-{date}. Kids have hyphens, and people may name
// an execution as they like: a name counts only if it cannot be read in another
// way and the id looks like Okta's. For others it gives no target.
func named(name string) (rotation.Target, string) {
	kind, rest, _ := strings.Cut(name, "-")
	if len(rest) != idLength+1+kidLength+1+dateLength {
		return rotation.Target{}, ""
	}
	t := rotation.Target{Kind: rotation.Kind(kind), ID: rest[:idLength]}
	kid := rest[idLength+1:][:kidLength]
	date, err := time.Parse("20060102", rest[len(rest)-dateLength:])
	if err != nil || t.Validate() != nil || strings.ContainsAny(t.ID, "-_") || rotation.ExecutionName(t, kid, date) != name {
		return rotation.Target{}, ""
	}
	return t, kid
}

// kidIn is the beginning of the kid in the name of a known target's execution;
// empty where the name has another form.
func kidIn(name string, t rotation.Target) string {
	if len(name) < dateLength {
		return ""
	}
	date, err := time.Parse("20060102", name[len(name)-dateLength:])
	if err != nil {
		return ""
	}
	// The name as it would be with the longest kid says where an id is cut.
	full := rotation.ExecutionName(t, strings.Repeat("k", kidLength), date)
	rest, found := strings.CutPrefix(name, strings.TrimSuffix(full, strings.Repeat("k", kidLength)+full[len(full)-dateLength-1:]))
	kid := strings.TrimSuffix(rest, name[len(name)-dateLength-1:])
	if !found || len(kid) > kidLength || rotation.ExecutionName(t, kid, date) != name {
		return ""
	}
	return kid
}

// inputTarget is the target in a rotation's input; none where it names none
// that can be.
func inputTarget(input string) rotation.Target {
	var in struct {
		Target rotation.Target `json:"target"`
	}
	if json.Unmarshal([]byte(input), &in) != nil || in.Target.Validate() != nil {
		return rotation.Target{}
	}
	return in.Target.Bare()
}
