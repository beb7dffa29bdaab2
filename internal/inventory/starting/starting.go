// Package starting is discovery's function start-rotations: it decides which of
// the targets that are due get a rotation, and starts it.
//
// What it goes by is what Step Functions itself tells: which rotations are
// running, and how the latest ones ended. The decisions are written down before
// anything is started, so that a run starts no more than its share however
// often the function dies and is called again.
package starting

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sfn"

	"keyturn/internal/approval/paused"
	"keyturn/internal/bucket"
	"keyturn/internal/inventory"
	"keyturn/internal/rotation"
)

// StepFunctions is the part of Step Functions' client that is used.
type StepFunctions interface {
	paused.Histories
	ListExecutions(ctx context.Context, in *sfn.ListExecutionsInput, opts ...func(*sfn.Options)) (*sfn.ListExecutionsOutput, error)
	DescribeExecution(ctx context.Context, in *sfn.DescribeExecutionInput, opts ...func(*sfn.Options)) (*sfn.DescribeExecutionOutput, error)
	StartExecution(ctx context.Context, in *sfn.StartExecutionInput, opts ...func(*sfn.Options)) (*sfn.StartExecutionOutput, error)
}

// Bucket is the part of bucket.Bucket that is used.
type Bucket interface {
	Get(ctx context.Context, key string) (*bucket.Object, error)
	Read(ctx context.Context, key string) ([]byte, string, error)
	Put(ctx context.Context, key string, body io.ReadSeeker, o bucket.Options) (string, error)
}

// Rotations starts rotations.
type Rotations struct {
	StepFunctions StepFunctions
	// MachineARN is the ARN of the state machine rotation.
	MachineARN string
	Bucket     Bucket
}

// lately is how long a rotation that has ended is shown.
const lately = 14 * rotation.Day

// Run starts what is due. It may be called again for the same run: it goes on
// where an earlier call died.
//
// Errors are named StepFunctions.Unavailable, Bucket.Unavailable (may pass by
// itself), StepFunctions.Refused, Bucket.Refused (somebody must mend it), and
// Inventory.Damaged (the run's objects are missing or cannot be read).
func (r Rotations) Run(ctx context.Context, in inventory.StartRotationsInput) (inventory.StartRotationsOutput, error) {
	none := inventory.StartRotationsOutput{}
	if in.Run.ID == "" || in.Run.At.IsZero() {
		return none, rotation.Errorf("Input.Invalid", "the input names no run: start-rotations is called by discovery, with run.id and run.at")
	}
	// Running ones first: a rotation that ends meanwhile is then seen twice,
	// and not missed twice.
	running, problems, err := r.running(ctx)
	if err != nil {
		return none, err
	}
	ended, more, err := r.ended(ctx, in.Run.At)
	if err != nil {
		return none, err
	}
	problems = append(problems, more...)
	p, err := r.plan(ctx, in, running, ended)
	if err != nil {
		return none, err
	}
	if !in.DryRun {
		if err := r.carryOut(ctx, p, running); err != nil {
			return none, err
		}
	}

	starts := inventory.Starts{
		Dues:     p.Dues,
		Running:  running.list(p.Dues),
		Ended:    since(ended, in.Run.At.Add(-lately)),
		Problems: append([]inventory.Problem{}, problems...),
	}
	if err := r.write(ctx, inventory.Keys{Run: in.Run.ID}.Starts(), starts, bucket.Options{}); err != nil {
		return none, err
	}
	out := inventory.StartRotationsOutput{Due: len(starts.Dues), Running: len(starts.Running)}
	for i := range starts.Dues {
		switch starts.Dues[i].Action {
		case inventory.ActionStart:
			if !in.DryRun {
				out.Started++
			}
		case inventory.ActionFailed:
			out.Failed++
		default:
		}
	}
	return out, nil
}

// since are those that ended after a time, the latest first.
func since(ended []inventory.Ended, t time.Time) []inventory.Ended {
	late := []inventory.Ended{}
	for _, e := range ended {
		if !e.EndedAt.Before(t) {
			late = append(late, e)
		}
	}
	return late
}

// latestFirst sorts rotations that have ended.
func latestFirst(ended []inventory.Ended) {
	slices.SortFunc(ended, func(a, b inventory.Ended) int {
		return cmp.Or(b.EndedAt.Compare(a.EndedAt), cmp.Compare(a.Execution, b.Execution))
	})
}

// dues reads what list-apps found.
func (r Rotations) dues(ctx context.Context, keys inventory.Keys) (dues []inventory.Due, maxRotations int, err error) {
	raw, _, err := r.Bucket.Read(ctx, keys.Listing())
	if err != nil {
		return nil, 0, missing(keys.Listing(), err)
	}
	var listing inventory.Listing
	if err := json.Unmarshal(raw, &listing); err != nil {
		return nil, 0, damaged(keys.Listing())
	}
	object, err := r.Bucket.Get(ctx, keys.Dues())
	if err != nil {
		return nil, 0, missing(keys.Dues(), err)
	}
	defer func() { _ = object.Body.Close() }()
	lines := json.NewDecoder(object.Body)
	for {
		var due inventory.Due
		err := lines.Decode(&due)
		switch {
		case errors.Is(err, io.EOF):
			return dues, listing.MaxRotations, nil
		case rotation.NameOf(err) != "":
			return nil, 0, err // the bucket's
		case err != nil:
			return nil, 0, damaged(keys.Dues())
		}
		dues = append(dues, due)
	}
}

func missing(key string, err error) error {
	if errors.Is(err, bucket.ErrNotFound) {
		return rotation.Errorf("Inventory.Damaged", "the bucket has no %s, which list-apps leaves there: start discovery again", key)
	}
	return err
}

func damaged(key string) error {
	return rotation.Errorf("Inventory.Damaged", "%s in the bucket is not what Keyturn wrote there: start discovery again", key)
}

func (r Rotations) write(ctx context.Context, key string, v any, o bucket.Options) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return rotation.Errorf("Keyturn.Bug", "%s could not be written as JSON", key)
	}
	o.ContentType = "application/json"
	_, err = r.Bucket.Put(ctx, key, bytes.NewReader(raw), o)
	return err
}

// bare is a target without what people see of it, to compare it by.
// clock writes a time for people.
func clock(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }
