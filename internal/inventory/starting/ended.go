package starting

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"keyturn/internal/inventory"
	"keyturn/internal/rotation"
)

// The results that a rotation reports, and those of Step Functions.
const (
	completed = "Completed"
	failed    = "Failed"
	aborted   = "Aborted"
	timedOut  = "TimedOut"
)

// longest is longer than an execution can run. Lists are in the order of the
// start, so that only this says where none can follow that ended lately. Step
// Functions itself forgets executions 90 days after their end.
const longest = 400 * rotation.Day

// describedMost bounds what one run learns; the next one goes on.
const describedMost = 500

// ended are the rotations that have ended within the last 90 days as far as
// they are known, the latest first.
func (r Rotations) ended(ctx context.Context, at time.Time) ([]inventory.Ended, []inventory.Problem, error) {
	known, problems, err := r.remembered(ctx, at)
	if err != nil {
		return nil, nil, err
	}
	var unknown []types.ExecutionListItem
	for _, status := range []types.ExecutionStatus{types.ExecutionStatusSucceeded, types.ExecutionStatusFailed, types.ExecutionStatusTimedOut, types.ExecutionStatusAborted} {
		err := r.listed(ctx, status, func(item types.ExecutionListItem) bool {
			stopped := aws.ToTime(item.StopDate)
			// One that was redriven has ended twice.
			old, seen := known.ended[aws.ToString(item.ExecutionArn)]
			if stopped.After(at.Add(-kept)) && (!seen || stopped.After(old.EndedAt.Add(time.Second))) {
				unknown = append(unknown, item)
			}
			return aws.ToTime(item.StartDate).After(at.Add(-longest))
		})
		if err != nil {
			return nil, nil, err
		}
	}
	slices.SortFunc(unknown, func(a, b types.ExecutionListItem) int {
		return cmp.Or(aws.ToTime(b.StopDate).Compare(aws.ToTime(a.StopDate)), cmp.Compare(aws.ToString(a.ExecutionArn), aws.ToString(b.ExecutionArn)))
	})

	described := unknown[:min(len(unknown), describedMost)]
	reports := make([]inventory.Ended, len(unknown))
	unread, why := readEach(ctx, len(described), func(ctx context.Context, i int) error {
		out, err := r.describe(ctx, aws.ToString(described[i].ExecutionArn))
		if err == nil && out != nil && out.StopDate != nil {
			reports[i] = report(out)
		}
		return err
	})
	if unread > 0 {
		problems = append(problems, problem(why, "how %d of %d rotations ended could not be read: %s", unread, len(described), text(why)))
	}
	var learned []inventory.Ended
	for i, e := range reports {
		if e.Execution != "" {
			learned = append(learned, e)
		} else if e := unreported(&unknown[i]); e.Target.Kind != "" && e.Result != "" {
			// Good enough for this run, but not to be remembered.
			known.unsure = append(known.unsure, e)
		}
	}
	if p := r.remember(ctx, known, learned, at); p != nil {
		problems = append(problems, *p)
	}
	return known.all(), problems, nil
}

// unreported is what the list alone tells of a rotation that has not succeeded.
func unreported(item *types.ExecutionListItem) inventory.Ended {
	e := inventory.Ended{Execution: aws.ToString(item.ExecutionArn), EndedAt: aws.ToTime(item.StopDate).UTC()}
	e.Target, _ = named(aws.ToString(item.Name))
	switch item.Status {
	case types.ExecutionStatusFailed:
		e.Result = failed
	case types.ExecutionStatusAborted:
		e.Result = aborted
	case types.ExecutionStatusTimedOut:
		e.Result = timedOut
	default:
	}
	return e
}

// report is what an execution that has ended says of itself: in its output, or
// in its cause (statemachine/rotation.asl.json, Report).
func report(out *sfn.DescribeExecutionOutput) inventory.Ended {
	type problem struct {
		Name    string `json:"name"`
		Message string `json:"message"`
	}
	var said struct {
		Result        string             `json:"result"`
		Target        *rotation.Target   `json:"target"`
		OldKid        string             `json:"oldKid"`
		NewKid        string             `json:"newKid"`
		Decision      *rotation.Decision `json:"decision"`
		SignIn        *rotation.Decision `json:"signIn"`
		Error         *problem           `json:"error"`
		RollbackError *problem           `json:"rollbackError"`
	}
	e := inventory.Ended{Execution: aws.ToString(out.ExecutionArn), EndedAt: aws.ToTime(out.StopDate).UTC()}
	source := out.Output
	if out.Status != types.ExecutionStatusSucceeded {
		source = out.Cause
	}
	readable := json.Unmarshal([]byte(aws.ToString(source)), &said) == nil && said.Result != ""
	switch {
	case out.Status == types.ExecutionStatusAborted, out.Status == types.ExecutionStatusTimedOut:
		e.Result = aborted
		if out.Status == types.ExecutionStatusTimedOut {
			e.Result = timedOut
		}
		e.Error, e.Message = short(aws.ToString(out.Error)), short(aws.ToString(out.Cause))
	case readable:
		e.Result, e.OldKid, e.NewKid = short(said.Result), short(said.OldKid), short(said.NewKid)
		if said.Error != nil {
			e.Error, e.Message = short(said.Error.Name), short(said.Error.Message)
		}
		if back := said.RollbackError; back != nil {
			e.Error = cmp.Or(e.Error, short(back.Name))
			e.Message = short(strings.TrimPrefix(e.Message+"; the way back failed: "+back.Message, "; "))
		}
		decision := said.Decision
		if said.SignIn != nil && !said.SignIn.Confirmed {
			decision = said.SignIn // it is why the old key is back
		}
		if decision != nil {
			e.By, e.Comment = short(decision.By), short(decision.Comment)
		}
	case out.Status == types.ExecutionStatusSucceeded:
		e.Result, e.Message = completed, "its output is not a rotation's report"
	default:
		e.Result, e.Error, e.Message = failed, short(aws.ToString(out.Error)), short(aws.ToString(out.Cause))
	}

	e.Target, _ = named(aws.ToString(out.Name))
	if e.Target.Kind == "" {
		e.Target = inputTarget(aws.ToString(out.Input))
	}
	if t := said.Target; t != nil && t.Validate() == nil && (e.Target.Kind == "" || t.Bare() == e.Target) {
		e.Target = rotation.Target{Kind: t.Kind, ID: t.ID, Label: short(t.Label), Name: short(t.Name)}
	}
	return e
}

// longestText is how much of a text is kept, longestWord how much of a word of
// letters, digits and signs as base64 has them. A cause of Step Functions' own
// may quote what a state was given; a task token is one word of some hundred
// characters.
const (
	longestText = 500
	longestWord = 100
)

// short is a text from outside, cut.
func short(s string) string {
	s = strings.ToValidUTF8(s, "�")
	var b strings.Builder
	word, length := 0, 0
	for i, c := range s {
		if c < 0x80 && (c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || strings.ContainsRune(`+/=_-.%\`, c)) {
			continue
		}
		length += addWord(&b, s[word:i])
		b.WriteRune(c)
		word = i + utf8.RuneLen(c)
		if length++; length >= longestText {
			return b.String() + "…"
		}
	}
	addWord(&b, s[word:])
	return b.String()
}

func addWord(b *strings.Builder, word string) int {
	if len(word) > longestWord {
		word = "…"
	}
	b.WriteString(word)
	return utf8.RuneCountInString(word)
}
