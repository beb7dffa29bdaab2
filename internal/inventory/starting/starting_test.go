package starting_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"

	"keyturn/internal/bucket/buckettest"
	"keyturn/internal/inventory"
	"keyturn/internal/inventory/starting"
	"keyturn/internal/rotation"
)

func TestWhatIsDueIsStarted(t *testing.T) {
	l := newLab(t)
	first, second, told := due(1, 3), due(2, 30), due(3, 31, notifies)
	first.Reason = "its certificate ends soon"
	l.found("r", 25, first, second, told)
	out, starts := l.run("r")
	if want := (inventory.StartRotationsOutput{Due: 3, Started: 2, Running: 2}); out != want {
		t.Errorf("%+v, want %+v", out, want)
	}
	if got, want := l.names(), []string{nameOf(first), nameOf(second)}; !slices.Equal(got, want) {
		t.Errorf("started %v, want %v", got, want)
	}
	if got := actions(starts); got != "start start notify" {
		t.Error(got)
	}
	want := inventory.Running{Execution: arnOf(nameOf(first)), Target: first.Target, StartedAt: now}
	if diff := cmp.Diff(&want, starts.Dues[0].Rotation); diff != "" || starts.Dues[0].Reason != "its certificate ends soon" {
		t.Error(starts.Dues[0].Reason, diff)
	}
	if len(starts.Running) != 2 || !cmp.Equal(want, starts.Running[0]) || len(starts.Ended) != 0 || len(starts.Problems) != 0 {
		t.Errorf("%+v", starts)
	}
	// What the rotation gets is what it takes.
	var in rotation.InspectTargetInput
	if err := json.Unmarshal([]byte(l.find(nameOf(first)).input), &in); err != nil {
		t.Fatal(err)
	}
	if in.Target != (rotation.Target{Kind: "app", ID: idOf(1)}) || in.CloneFrom != nil {
		t.Errorf("%+v", in)
	}
	settings, err := rotation.ResolvePolicy(in.Policy, rotation.DefaultSettings(nil), in.Target, first.Kid)
	if diff := cmp.Diff(first.Settings, settings); err != nil || diff != "" {
		t.Error(err, diff)
	}
	for _, list := range []string{`"dues":[`, `"running":[`, `"ended":[`, `"problems":[`} {
		if raw := string(l.s3.Content("b", inventory.Keys{Run: "r"}.Starts())); !strings.Contains(raw, list) {
			t.Errorf("no %s in %s", list, raw)
		}
	}
}

func TestNothingDue(t *testing.T) {
	l := newLab(t)
	l.found("r", 25)
	out, starts := l.run("r")
	if out != (inventory.StartRotationsOutput{}) || starts.Dues == nil || starts.Running == nil || starts.Ended == nil || starts.Problems == nil {
		t.Errorf("%+v, %+v", out, starts)
	}
}

func TestATargetWithARunningRotationIsNotStarted(t *testing.T) {
	idp := func(d *inventory.Due) { d.Target.Kind = rotation.KindIDP }
	short := func(d *inventory.Due) { d.Target.ID = "0oa-1_x" }
	long := func(d *inventory.Due) { d.Target.ID = strings.Repeat("0oa1-gjh6", 7) }
	for title, c := range map[string]struct {
		change []func(*inventory.Due)
		name   func(d inventory.Due) string
	}{
		"started by discovery": {nil, nameOf},
		"on another day": {nil, func(d inventory.Due) string {
			return rotation.ExecutionName(d.Target, d.Kid, now.Add(-20*rotation.Day))
		}},
		"for another key":             {nil, func(d inventory.Due) string { return rotation.ExecutionName(d.Target, "other-kid", now) }},
		"an IdP":                      {[]func(*inventory.Due){idp}, nameOf},
		"requested by an event":       {nil, func(inventory.Due) string { return "2f1c5b7e-5c1f-4a84-a1f5-0c5f3e2b1d90_61d2" }},
		"named by hand":               {nil, func(inventory.Due) string { return "please-do-it-20260301" }},
		"named by hand as a rotation": {nil, func(inventory.Due) string { return "app-salesforce-rollout1-20260301" }},
		"an id with hyphens":          {[]func(*inventory.Due){short}, nameOf},
		"an id that is cut":           {[]func(*inventory.Due){long}, nameOf},
		"a kid that is short":         {[]func(*inventory.Due){short, func(d *inventory.Due) { d.Kid = "k1" }}, nameOf},
		"told of only":                {[]func(*inventory.Due){notifies}, nameOf},
	} {
		t.Run(title, func(t *testing.T) {
			l := newLab(t)
			d, other := due(1, 3, c.change...), due(2, 4)
			l.found("r", 1, d, other)
			e := l.stepFunctions.run(c.name(d), inputFor(d.Target), 48*time.Hour)
			out, starts := l.run("r")
			if got := actions(starts); got != "running start" {
				t.Errorf("%s: %+v", got, starts.Dues[0])
			}
			// It takes no one's place.
			if want := (inventory.StartRotationsOutput{Due: 2, Started: 1, Running: 2}); out != want {
				t.Errorf("%+v, want %+v", out, want)
			}
			want := &inventory.Running{Execution: arnOf(e.name), Target: d.Target, StartedAt: now.Add(-48 * time.Hour)}
			got := starts.Dues[0].Rotation
			if got == nil || got.Execution != want.Execution || !got.StartedAt.Equal(want.StartedAt) || !strings.Contains(starts.Dues[0].Reason, "2026-02-27 06:00 UTC") {
				t.Errorf("%+v, reason %q", got, starts.Dues[0].Reason)
			}
			if diff := cmp.Diff(*want, starts.Running[0]); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestANameIsTrustedOnlyIfItCanBeReadInOneWay(t *testing.T) {
	l := newLab(t)
	// The name says one target, the input another.
	a, b := due(1, 3), due(2, 4)
	b.Target.ID = "a"
	l.stepFunctions.run("app-a-b-cdefgh-20260301", inputFor(rotation.Target{Kind: "app", ID: "a-b"}), time.Hour)
	l.found("r", 25, a, b)
	if _, starts := l.run("r"); actions(starts) != "start start" {
		t.Error(actions(starts))
	}
	// Names of Okta's ids need no call, whatever the kid begins with.
	l = newLab(t)
	for i := range 50 {
		l.stepFunctions.run(nameOf(due(i, 3)), "{}", time.Hour)
	}
	l.found("r", 25)
	if _, starts := l.run("r"); len(starts.Running) != 50 || l.calls["DescribeExecution"] != 0 {
		t.Errorf("%d running, %v", len(starts.Running), l.calls)
	}
}

func TestEveryRunningRotationIsSeen(t *testing.T) {
	l := newLab(t)
	l.pageSize = 7
	var dues []inventory.Due
	for i := range 700 {
		d := due(i, 20)
		dues = append(dues, d)
		name := nameOf(d)
		if i%10 == 0 {
			name = fmt.Sprintf("%08d-5c1f-4a84-a1f5-0c5f3e2b1d90", i)
		}
		if i != 350 {
			l.stepFunctions.run(name, inputFor(d.Target), time.Duration(i)*time.Minute)
		}
	}
	l.found("r", 1000, dues...)
	out, starts := l.run("r")
	if out.Started != 1 || out.Running != 700 || starts.Dues[350].Action != inventory.ActionStart {
		t.Errorf("%+v", out)
	}
	if n := l.calls["GetExecutionHistory"]; n != inventory.MaxRunning {
		t.Errorf("%d histories were read, want the %d oldest", n, inventory.MaxRunning)
	}
	if l.mostReading > 4 {
		t.Errorf("%d reads at once", l.mostReading)
	}
	if !slices.IsSortedFunc(starts.Running, func(a, b inventory.Running) int { return a.StartedAt.Compare(b.StartedAt) }) {
		t.Error("the running ones are not in order")
	}
}

func asking(d inventory.Due) rotation.RequestUploadInput {
	return rotation.RequestUploadInput{
		TaskToken: taskToken, Stage: rotation.StageUpload, Execution: arnOf(nameOf(d)), Target: d.Target, Policy: d.Settings,
		OldKey: rotation.Key{Kid: d.Kid, NotAfter: *d.NotAfter}, NewKey: rotation.Key{Kid: "new"}, AnswerBy: now.Add(25 * rotation.Day),
	}
}

func TestWhatARunningRotationWaitsForIsShown(t *testing.T) {
	d := due(1, 20, func(d *inventory.Due) { d.Settings.EscalateTo = []string{"lead@example.com"} })
	switchAt := now.Add(5 * time.Hour)
	for title, c := range map[string]struct {
		change          func(in *rotation.RequestUploadInput)
		stage           rotation.Stage
		since, answerBy time.Time
		asked           []string
	}{
		"the upload": {func(*rotation.RequestUploadInput) {}, "upload", now.Add(-2 * time.Hour), now.Add(25 * rotation.Day), []string{"sso-team@example.com"}},
		"the upload, a reminder later": {func(in *rotation.RequestUploadInput) { in.Round, in.Escalate = 1, true }, "upload",
			now.Add(-5 * rotation.Day), now.Add(25 * rotation.Day), []string{"sso-team@example.com", "lead@example.com"}},
		"a planned switch": {func(in *rotation.RequestUploadInput) {
			in.Stage, in.Decision = rotation.StagePlanned, &rotation.Decision{Confirmed: true, SwitchAt: &switchAt}
		}, "planned", now.Add(-2 * time.Hour), switchAt, []string{"sso-team@example.com"}},
		"the sign-in": {func(in *rotation.RequestUploadInput) { in.Stage = rotation.StageSignIn }, "sign-in",
			now.Add(-2 * time.Hour), now.Add(22 * time.Hour), []string{"sso-team@example.com"}},
	} {
		t.Run(title, func(t *testing.T) {
			l := newLab(t)
			in := asking(d)
			c.change(&in)
			l.ask(l.stepFunctions.run(nameOf(d), inputFor(d.Target), 6*rotation.Day), in, 2*time.Hour)
			l.found("r", 25, d)
			_, starts := l.run("r")
			want := inventory.Running{Execution: arnOf(nameOf(d)), Target: d.Target, StartedAt: now.Add(-6 * rotation.Day), Stage: c.stage, Since: &c.since, Asked: c.asked, AnswerBy: &c.answerBy}
			if diff := cmp.Diff([]inventory.Running{want}, starts.Running); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(&want, starts.Dues[0].Rotation); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestStagesThatCannotBeReadAreOneProblem(t *testing.T) {
	l := newLab(t)
	for i := range 100 {
		d := due(i, 20)
		l.ask(l.stepFunctions.run(nameOf(d), inputFor(d.Target), time.Hour), asking(d), time.Hour)
	}
	l.fail(fault{operation: "GetExecutionHistory", skip: 10, times: 1000, err: coded("ThrottlingException")})
	d := due(200, 3)
	l.found("r", 25, d)
	out, starts := l.run("r")
	if out.Started != 1 || out.Running != 101 {
		t.Errorf("%+v", out)
	}
	only(t, starts.Problems, "StepFunctions.Unavailable", "90 of 100 running rotations")
	// It is not asked again and again.
	if n := l.calls["GetExecutionHistory"]; n > 10+2*5 {
		t.Errorf("%d calls", n)
	}
	staged := 0
	for _, one := range starts.Running {
		if one.Stage != "" {
			staged++
		}
	}
	if staged != 10 {
		t.Errorf("%d with their stage", staged)
	}
}

func TestNothingIsStartedWhileARunningRotationsTargetIsNotKnown(t *testing.T) {
	for title, why := range map[string]error{"throttled": coded("ThrottlingException"), "refused": coded("AccessDeniedException"), "no answer": errNoAnswer} {
		t.Run(title, func(t *testing.T) {
			l := newLab(t)
			a, b := due(1, 3), due(2, 4, notifies)
			l.stepFunctions.run("2f1c5b7e-5c1f-4a84-a1f5-0c5f3e2b1d90", inputFor(a.Target), time.Hour)
			l.fail(fault{operation: "DescribeExecution", times: 20, err: why})
			l.found("r", 25, a, b)
			if _, err := l.call("r", true); err != nil || actions(l.starts("r")) != "postponed notify" {
				t.Errorf("a dry run: %s, %v", actions(l.starts("r")), err)
			}
			out, starts := l.run("r")
			if out.Started != 0 || l.calls["StartExecution"] != 0 || actions(starts) != "postponed notify" {
				t.Errorf("%+v, %s", out, actions(starts))
			}
			if len(starts.Problems) != 1 || !strings.Contains(starts.Problems[0].Message, "nothing is started") {
				t.Errorf("%+v", starts.Problems)
			}
		})
	}
}

func TestARunningExecutionWithoutATargetIsNone(t *testing.T) {
	l := newLab(t)
	for i, input := range []string{`{}`, `[]`, `{"target":{"kind":"app","id":"../x"}}`, `{"target":"x"}`} {
		l.stepFunctions.run(fmt.Sprint("by-hand-", i), input, time.Hour)
	}
	l.found("r", 25, due(1, 3))
	if out, starts := l.run("r"); out.Started != 1 || out.Running != 1 || len(starts.Problems) != 0 {
		t.Errorf("%+v, %+v", out, starts.Problems)
	}
}

func TestMaxRotationsTakesTheEarliestExpiryFirst(t *testing.T) {
	l := newLab(t)
	var dues []inventory.Due
	for i := range 10 {
		dues = append(dues, due(i, i))
	}
	l.found("r", 3, dues...)
	out, starts := l.run("r")
	if out.Started != 3 || actions(starts) != "start start start"+strings.Repeat(" postponed", 7) {
		t.Errorf("%+v %s", out, actions(starts))
	}
	if want := []string{nameOf(dues[0]), nameOf(dues[1]), nameOf(dues[2])}; !slices.Equal(l.names(), want) {
		t.Errorf("%v", l.names())
	}
	if r := starts.Dues[9].Reason; !strings.Contains(r, "maxRotations allows 3 a run") {
		t.Error(r)
	}
	// The next run goes on.
	l.found("r2", 3, dues...)
	if _, starts := l.run("r2"); actions(starts) != "running running running start start start"+strings.Repeat(" postponed", 4) {
		t.Error(actions(starts))
	}
}

func TestADryRunStartsNothing(t *testing.T) {
	l := newLab(t)
	dues := []inventory.Due{due(1, 3), due(2, 4), due(3, 5), due(4, 6, notifies)}
	l.stepFunctions.run(nameOf(dues[0]), inputFor(dues[0].Target), time.Hour)
	l.ends(due(9, 3), "GaveUp", 5, "")
	l.found("r", 1, dues...)
	out, err := l.call("r", true)
	if want := (inventory.StartRotationsOutput{Due: 4, Running: 1}); err != nil || out != want {
		t.Errorf("%+v, %v", out, err)
	}
	starts := l.starts("r")
	if actions(starts) != "running start postponed notify" || !strings.Contains(starts.Dues[1].Reason, "would be started") || starts.Dues[1].Rotation != nil {
		t.Errorf("%s %+v", actions(starts), starts.Dues[1])
	}
	if l.calls["StartExecution"] != 0 || l.s3.Content("b", inventory.Keys{Run: "r"}.Plan()) != nil {
		t.Error("it did more than look")
	}
	if len(l.memory()) != 1 || len(starts.Ended) != 1 {
		t.Error("what was learned is lost")
	}
}

func TestAPlanThatAnotherCallWroteMeanwhileCounts(t *testing.T) {
	l := newLab(t)
	dues := []inventory.Due{due(1, 1), due(2, 2), due(3, 3)}
	l.found("other", 1, dues[1])
	l.run("other")
	theirs := l.s3.Content("b", inventory.Keys{Run: "other"}.Plan())
	l.executions = nil
	l.s3.Fail(buckettest.Fault{Operation: buckettest.PutObject, Prefix: inventory.Keys{Run: "r"}.Plan(), Do: func() {
		l.put(inventory.Keys{Run: "r"}.Plan(), theirs)
	}})
	l.found("r", 1, dues...)
	if out, _ := l.run("r"); out.Started != 1 || !slices.Equal(l.names(), []string{nameOf(dues[1])}) {
		t.Errorf("%+v, %v", out, l.names())
	}
}

func TestALaterCallThatCannotReadARunningRotationStartsNothing(t *testing.T) {
	l := newLab(t)
	dues := []inventory.Due{due(1, 1), due(2, 2), due(3, 3)}
	l.found("r", 2, dues...)
	l.dies(1, true) // the plan was written, and the first one started
	l.stepFunctions.run("2f1c5b7e-5c1f-4a84-a1f5-0c5f3e2b1d90", inputFor(dues[1].Target), time.Minute)
	l.fail(fault{operation: "DescribeExecution", times: 9, err: errNoAnswer})
	out, starts := l.run("r")
	if out.Started != 1 || actions(starts) != "start postponed postponed" || len(l.names()) != 2 {
		t.Errorf("%+v, %s, %v", out, actions(starts), l.names())
	}
}

func TestThePlanIsWrittenBeforeAnythingIsStarted(t *testing.T) {
	l := newLab(t)
	l.found("r", 2, due(1, 1), due(2, 2), due(3, 3))
	l.s3.Fail(buckettest.Fault{Operation: buckettest.PutObject, Prefix: inventory.Keys{Run: "r"}.Plan(), Times: -1, Status: 503, Code: "SlowDown"})
	if _, err := l.call("r", false); rotation.NameOf(err) != "Bucket.Unavailable" || l.calls["StartExecution"] != 0 {
		t.Errorf("%v, %v", err, l.calls)
	}
}

func TestARunThatDiesAnywhereStartsNoMoreThanItsPlan(t *testing.T) {
	for _, after := range []bool{false, true} {
		for n := 0; ; n++ {
			l := newLab(t)
			var dues []inventory.Due
			for i := range 6 {
				dues = append(dues, due(i, i))
			}
			l.ends(due(90, 3), "Failed", 1, "") // something to remember
			l.found("r", 3, dues...)
			if !l.dies(n, after) {
				if n < 6 {
					t.Fatalf("it died at none of only %d writes", n)
				}
				break
			}
			out, starts := l.run("r")
			if want := (inventory.StartRotationsOutput{Due: 6, Started: 3, Running: 3}); out != want {
				t.Errorf("after a death at write %d: %+v, want %+v", n, out, want)
			}
			if got := l.names()[1:]; !slices.Equal(got, []string{nameOf(dues[0]), nameOf(dues[1]), nameOf(dues[2])}) {
				t.Errorf("after a death at write %d: started %v", n, got)
			}
			if actions(starts) != "start start start postponed postponed postponed" || starts.Dues[2].Rotation == nil || len(starts.Problems) != 0 {
				t.Errorf("after a death at write %d: %s %+v", n, actions(starts), starts.Problems)
			}
		}
	}
}

func TestALaterCallGoesByThePlanOfTheFirst(t *testing.T) {
	l := newLab(t)
	dues := []inventory.Due{due(1, 1), due(2, 2), due(3, 3)}
	l.found("r", 2, dues...)
	l.dies(1, false) // the plan was written
	// Meanwhile one of them was requested by an event, and another ended.
	l.stepFunctions.run("2f1c5b7e-5c1f-4a84-a1f5-0c5f3e2b1d90", inputFor(dues[0].Target), time.Minute)
	l.found("r", 2, due(7, 0), due(8, 0), due(9, 0))
	out, starts := l.run("r")
	if out.Started != 1 || actions(starts) != "running start postponed" || len(l.names()) != 2 {
		t.Errorf("%+v, %s, %v", out, actions(starts), l.names())
	}
	// And one that was started has ended before the call was made again.
	l.end(l.find(nameOf(dues[1])), types.ExecutionStatusFailed, 0, `{"result":"Failed"}`)
	_, starts = l.run("r")
	if e := starts.Dues[1]; e.Action != inventory.ActionPaused || !strings.Contains(e.Reason, "was rotated today already: that ended as Failed") {
		t.Errorf("%+v", e)
	}
}

func TestTheLostAnswerOfAStartIsNoSecondStart(t *testing.T) {
	l := newLab(t)
	l.found("r", 2, due(1, 1), due(2, 2), due(3, 3))
	l.fail(fault{operation: "StartExecution", skip: 1, err: errNoAnswer, after: true})
	if _, err := l.call("r", false); rotation.NameOf(err) != "StepFunctions.Unavailable" {
		t.Fatal(err)
	}
	out, _ := l.run("r")
	if out.Started != 2 || len(l.names()) != 2 {
		t.Errorf("%+v %v", out, l.names())
	}
}

func TestARunningExecutionThatIsNotListedYetIsTakenAsStarted(t *testing.T) {
	// ListExecutions is eventually consistent.
	l := newLab(t)
	l.found("r", 2, due(1, 1))
	l.found("r2", 2, due(1, 1))
	l.run("r")
	l.hidden = true
	out, starts := l.run("r2")
	if out.Running != 1 || out.Started != 1 || actions(starts) != "start" || len(l.names()) != 1 {
		t.Errorf("%+v %s", out, actions(starts))
	}
}

func TestTwoRunsAtOnceStartEachRotationOnce(t *testing.T) {
	for title, ids := range map[string][]string{"the same run": {"r", "r", "r"}, "three runs": {"r1", "r2", "r3"}} {
		t.Run(title, func(t *testing.T) {
			l := newLab(t)
			var dues []inventory.Due
			for i := range 20 {
				dues = append(dues, due(i, i))
			}
			for _, id := range ids {
				l.found(id, 5, dues...)
			}
			var all sync.WaitGroup
			for _, id := range ids {
				all.Go(func() {
					if _, err := l.call(id, false); err != nil {
						t.Error(err)
					}
				})
			}
			all.Wait()
			names := l.names()
			most := 5
			if ids[0] != ids[1] {
				most = 15
			}
			if len(names) > most || len(slices.Compact(slices.Sorted(slices.Values(names)))) != len(names) {
				t.Errorf("%v", names)
			}
			for i := range 5 {
				if !slices.Contains(names, nameOf(dues[i])) {
					t.Errorf("%s was not started", nameOf(dues[i]))
				}
			}
		})
	}
}

func TestASecondRunOnTheSameDay(t *testing.T) {
	d := due(1, 3)
	taken := func(l *lab, input string) *execution {
		e := l.stepFunctions.run(nameOf(d), input, 30*time.Minute)
		return e
	}
	for title, c := range map[string]struct {
		before       func(l *lab)
		action, says string
	}{
		"its rotation runs": {func(l *lab) { taken(l, inputFor(d.Target)) }, "running", "a rotation is running since 2026-03-01 05:30 UTC"},
		"it runs with another input and is not listed yet": {func(l *lab) {
			taken(l, inputFor(d.Target))
			l.hidden = true
		}, "running", "a rotation is running since 2026-03-01 05:30 UTC"},
		"it has ended, and urgency starts it again": {func(l *lab) {
			l.end(taken(l, inputFor(d.Target)), types.ExecutionStatusFailed, 10*time.Minute, `{"result":"RolledBack"}`)
		}, "paused", "was rotated today already: that ended as RolledBack on 2026-03-01 05:50 UTC"},
		"it has ended, how is not told": {func(l *lab) {
			l.end(taken(l, inputFor(d.Target)), types.ExecutionStatusFailed, 10*time.Minute, `{"result":"RolledBack"}`)
			l.fail(fault{operation: "DescribeExecution", skip: 1, err: coded("AccessDeniedException")})
		}, "paused", "was rotated today already"},
		"another target's has the name": {func(l *lab) {
			l.end(taken(l, inputFor(app(2))), types.ExecutionStatusSucceeded, 10*time.Minute, `{"result":"Completed"}`)
		}, "failed", ""},
	} {
		t.Run(title, func(t *testing.T) {
			l := newLab(t)
			c.before(l)
			l.found("r", 25, d, due(5, 9))
			out, starts := l.run("r")
			e := starts.Dues[0]
			if string(e.Action) != c.action || !strings.Contains(e.Reason, c.says) || out.Started != 1 {
				t.Errorf("%s %q %+v, %+v", e.Action, e.Reason, e.Problem, out)
			}
			if len(l.names()) != 2 {
				t.Errorf("started %v", l.names())
			}
		})
	}
}

func TestARefusalStopsTheRunOnlyBeforeAnythingWasStarted(t *testing.T) {
	for _, code := range []string{"AccessDeniedException", "StateMachineDoesNotExist"} {
		l := newLab(t)
		l.found("r", 25, due(1, 1), due(2, 2), due(3, 3))
		l.fail(fault{operation: "StartExecution", times: 9, err: coded(code)})
		_, err := l.call("r", false)
		if rotation.NameOf(err) != "StepFunctions.Refused" || !strings.Contains(err.Error(), code) || strings.Contains(err.Error(), "s3cr3t") || l.calls["StartExecution"] != 1 {
			t.Errorf("%v, %v", err, l.calls)
		}
		// Mended, and called again.
		l.heal()
		if out, _ := l.run("r"); out.Started != 3 {
			t.Errorf("%+v", out)
		}
	}
	l := newLab(t)
	l.found("r", 25, due(1, 1), due(2, 2), due(3, 3))
	l.fail(fault{operation: "StartExecution", skip: 1, err: coded("AccessDeniedException")})
	out, starts := l.run("r")
	if out.Started != 2 || out.Failed != 1 || actions(starts) != "start failed start" || starts.Dues[1].Problem.Name != "StepFunctions.Refused" {
		t.Errorf("%+v %+v", out, starts.Dues[1].Problem)
	}
}

func TestOneThatCannotBeStartedDoesNotStopTheRest(t *testing.T) {
	l := newLab(t)
	l.found("r", 25, due(1, 1), due(2, 2))
	l.fail(fault{operation: "StartExecution", name: nameOf(due(1, 1)), err: coded("ExecutionLimitExceeded")})
	out, starts := l.run("r")
	if out.Started != 1 || out.Failed != 1 || out.Running != 1 || actions(starts) != "failed start" {
		t.Errorf("%+v %s", out, actions(starts))
	}
	p := starts.Dues[0].Problem
	if p == nil || p.Name != "StepFunctions.NotStarted" || !strings.Contains(p.Message, "ExecutionLimitExceeded") || p.Target == nil || p.Target.ID != idOf(1) {
		t.Errorf("%+v", p)
	}
}

func TestThrottlingIsPassedOnAndTheNextCallGoesOn(t *testing.T) {
	for _, operation := range []string{"StartExecution", "ListExecutions"} {
		for _, fails := range []error{coded("ThrottlingException"), coded("InternalServerError"), errNoAnswer, &smithy.GenericAPIError{Code: "New", Fault: smithy.FaultServer}, answered(503, "New")} {
			l := newLab(t)
			l.found("r", 2, due(1, 1), due(2, 2), due(3, 3))
			l.fail(fault{operation: operation, skip: 1, err: fails})
			_, err := l.call("r", false)
			if rotation.NameOf(err) != "StepFunctions.Unavailable" || strings.Contains(err.Error(), "s3cr3t") {
				t.Errorf("%s: %v", operation, err)
			}
			if out, _ := l.run("r"); out.Started != 2 || len(l.names()) != 2 {
				t.Errorf("%s: %+v", operation, out)
			}
		}
	}
	l := newLab(t)
	l.found("r", 2, due(1, 1))
	l.fail(fault{operation: "ListExecutions", err: coded("AccessDeniedException")})
	if _, err := l.call("r", false); rotation.NameOf(err) != "StepFunctions.Refused" {
		t.Error(err)
	}
}

func TestAnInputThatStepFunctionsDoesNotTake(t *testing.T) {
	l := newLab(t)
	wordy := due(1, 1, func(d *inventory.Due) {
		for i := range 10000 {
			d.Settings.Approvers = append(d.Settings.Approvers, fmt.Sprintf("approver-%05d@example.com", i))
		}
	})
	odd := due(2, 2, func(d *inventory.Due) { d.Target.ID = "../../x" })
	l.found("r", 1, wordy, odd, due(3, 3))
	out, starts := l.run("r")
	if out.Failed != 2 || out.Started != 1 || actions(starts) != "failed failed start" {
		t.Errorf("%+v, %s", out, actions(starts))
	}
	if a, b := starts.Dues[0].Problem, starts.Dues[1].Problem; a.Name != "Rotation.InputTooLarge" || b.Name != "Target.Invalid" {
		t.Errorf("%+v, %+v", a, b)
	}
}

func TestObjectsOfTheRunThatAreMissingOrDamaged(t *testing.T) {
	keys := inventory.Keys{Run: "r"}
	for title, c := range map[string]struct {
		do   func(l *lab)
		want string
	}{
		"no run":               {func(*lab) {}, "Inventory.Damaged"},
		"damaged dues":         {func(l *lab) { l.put(keys.Dues(), []byte("{\"target\":{}}\n{\"tar")) }, "Inventory.Damaged"},
		"dues of other types":  {func(l *lab) { l.put(keys.Dues(), []byte("[1]\n")) }, "Inventory.Damaged"},
		"damaged listing":      {func(l *lab) { l.put(keys.Listing(), []byte("{")) }, "Inventory.Damaged"},
		"damaged plan":         {func(l *lab) { l.put(keys.Plan(), []byte("null")) }, "Inventory.Damaged"},
		"a plan beside itself": {func(l *lab) { l.put(keys.Plan(), []byte(`{"dues":[],"starts":[{"due":0,"name":"x"}]}`)) }, "Inventory.Damaged"},
		"cut short": {func(l *lab) {
			l.s3.Fail(buckettest.Fault{Operation: buckettest.GetObject, Prefix: keys.Dues(), Cut: 100})
		}, "Bucket.Unavailable"},
		"refused": {func(l *lab) {
			l.s3.Fail(buckettest.Fault{Operation: buckettest.GetObject, Prefix: keys.Listing(), Status: 403, Code: "AccessDenied"})
		}, "Bucket.Refused"},
	} {
		t.Run(title, func(t *testing.T) {
			l := newLab(t)
			if title != "no run" {
				l.found("r", 3, due(1, 1), due(2, 1))
			}
			c.do(l)
			if _, err := l.call("r", false); rotation.NameOf(err) != c.want || l.calls["StartExecution"] != 0 {
				t.Errorf("%v (%s), want %s", err, rotation.NameOf(err), c.want)
			}
		})
	}
	l := newLab(t)
	_, err := starting.Rotations{StepFunctions: l.stepFunctions, MachineARN: machineARN, Bucket: l.bucket}.Run(t.Context(), inventory.StartRotationsInput{})
	if rotation.NameOf(err) != "Input.Invalid" {
		t.Error(err)
	}
}

func TestThousandsOfDues(t *testing.T) {
	l := newLab(t)
	var dues []inventory.Due
	for i := range 2000 {
		dues = append(dues, due(i, i/45))
	}
	l.found("r", 1000, dues...)
	out, starts := l.run("r")
	if out.Due != 2000 || out.Started != 1000 || len(starts.Dues) != 2000 || len(l.names()) != 1000 {
		t.Errorf("%+v", out)
	}
	if starts.Dues[999].Action != inventory.ActionStart || starts.Dues[1000].Action != inventory.ActionPostponed {
		t.Error(starts.Dues[999].Action, starts.Dues[1000].Action)
	}
}
