package starting_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/google/go-cmp/cmp"

	"keyturn/internal/bucket/buckettest"
	"keyturn/internal/inventory"
	"keyturn/internal/inventory/starting"
	"keyturn/internal/rotation"
)

func TestHowARotationEndedIsWhatItReported(t *testing.T) {
	const named = "app-0oa00000000000000001-K-00001_-20260228"
	labelled := rotation.Target{Kind: "app", ID: idOf(1), Label: "Salesforce", Name: "salesforce"}
	const target = `"target":{"kind":"app","id":"0oa00000000000000001","label":"Salesforce","name":"salesforce"}`
	long := strings.Repeat("so it goes ", 100)
	for title, c := range map[string]struct {
		name, input string
		status      types.ExecutionStatus
		report, err string
		want        inventory.Ended
	}{
		"completed": {named, "", types.ExecutionStatusSucceeded,
			`{"result":"Completed",` + target + `,"oldKid":"old","newKid":"new","notAfter":"2027-03-01T00:00:00Z","decision":{"confirmed":true,"by":"crm@example.com","at":"2026-02-28T00:00:00Z","comment":"done"},"signIn":null,"error":null,"rollbackError":null}`, "",
			inventory.Ended{Target: labelled, Result: "Completed", OldKid: "old", NewKid: "new", By: "crm@example.com", Comment: "done"}},
		"given up": {named, "", types.ExecutionStatusSucceeded,
			`{"result":"GaveUp",` + target + `,"oldKid":"old","newKid":"new","decision":null,"error":{"step":"RequestUpload","name":"States.Timeout","message":""}}`, "",
			inventory.Ended{Target: labelled, Result: "GaveUp", OldKid: "old", NewKid: "new", Error: "States.Timeout"}},
		"rolled back, as sign-in did not work": {named, "", types.ExecutionStatusFailed,
			`{"result":"RolledBack",` + target + `,"oldKid":"old","newKid":"new","decision":{"confirmed":true,"by":"crm@example.com","comment":"done"},"signIn":{"confirmed":false,"by":"iam@example.com","comment":"no"},"error":null}`, "RolledBack",
			inventory.Ended{Target: labelled, Result: "RolledBack", OldKid: "old", NewKid: "new", By: "iam@example.com", Comment: "no"}},
		"failed before there was a key": {named, "", types.ExecutionStatusFailed,
			`{"result":"Failed",` + target + `,"oldKid":"old","newKid":null,"decision":null,"error":{"step":"SignCsr","name":"CA.Refused","message":"no"}}`, "Failed",
			inventory.Ended{Target: labelled, Result: "Failed", OldKid: "old", Error: "CA.Refused", Message: "no"}},
		"failed on the way back": {named, "", types.ExecutionStatusFailed,
			`{"result":"Failed",` + target + `,"oldKid":"old","newKid":"new","error":{"name":"Certificate.Mismatch","message":"another"},"rollbackError":{"name":"Okta.Forbidden","message":"no right"}}`, "Failed",
			inventory.Ended{Target: labelled, Result: "Failed", OldKid: "old", NewKid: "new", Error: "Certificate.Mismatch", Message: "another; the way back failed: no right"}},
		"failed by Step Functions": {named, "", types.ExecutionStatusFailed, "Path is wrong for " + taskToken, "States.Runtime",
			inventory.Ended{Target: rotation.Target{Kind: "app", ID: idOf(1)}, Result: "Failed", Error: "States.Runtime", Message: "Path is wrong for …"}},
		"stopped": {named, "", types.ExecutionStatusAborted, "not now", "ByHand",
			inventory.Ended{Target: rotation.Target{Kind: "app", ID: idOf(1)}, Result: "Aborted", Error: "ByHand", Message: "not now"}},
		"timed out": {"requested-1", inputFor(app(1)), types.ExecutionStatusTimedOut, "", "",
			inventory.Ended{Target: rotation.Target{Kind: "app", ID: idOf(1)}, Result: "TimedOut"}},
		"requested": {"requested-1", inputFor(app(1)), types.ExecutionStatusSucceeded, `{"result":"Completed",` + target + `,"oldKid":"old","newKid":"new"}`, "",
			inventory.Ended{Target: labelled, Result: "Completed", OldKid: "old", NewKid: "new"}},
		"requested with nonsense": {"requested-1", `{"target":{"kind":"App"}}`, types.ExecutionStatusFailed, `{"result":"Failed","target":{"kind":"App"},"oldKid":null,"newKid":null,"error":{"name":"Target.Invalid","message":"target.kind"}}`, "Failed",
			inventory.Ended{Result: "Failed", Error: "Target.Invalid", Message: "target.kind"}},
		"with another output": {named, "", types.ExecutionStatusSucceeded, `{}`, "",
			inventory.Ended{Target: rotation.Target{Kind: "app", ID: idOf(1)}, Result: "Completed", Message: "its output is not a rotation's report"}},
		"with a long text": {named, "", types.ExecutionStatusFailed, `{"result":"Failed","error":{"name":"X","message":"` + long + `"},"decision":{"by":"` + taskToken + `","comment":"とても長い` + strings.Repeat("コメント", 40) + `"}}`, "Failed",
			inventory.Ended{Target: rotation.Target{Kind: "app", ID: idOf(1)}, Result: "Failed", Error: "X", Message: long[:501] + "…", By: "…", Comment: "とても長い" + strings.Repeat("コメント", 40)}},
	} {
		t.Run(title, func(t *testing.T) {
			l := newLab(t)
			e := l.stepFunctions.run(c.name, c.input, 30*time.Hour)
			l.end(e, c.status, 3*time.Hour, c.report)
			e.err = c.err
			l.found("r", 25)
			_, starts := l.run("r")
			c.want.Execution, c.want.EndedAt = arnOf(c.name), now.Add(-3*time.Hour)
			if diff := cmp.Diff([]inventory.Ended{c.want}, starts.Ended); diff != "" {
				t.Error(diff)
			}
			var remembered inventory.Ended
			if err := json.Unmarshal([]byte(l.memory()[0]), &remembered); err != nil || !cmp.Equal(c.want, remembered) {
				t.Errorf("remembered %+v, %v", remembered, err)
			}
			// Once in its life.
			l.found("r2", 25)
			l.run("r2")
			if l.described[c.name] != 1 {
				t.Errorf("described %d times", l.described[c.name])
			}
		})
	}
}

func TestEachRotationThatEndedIsDescribedOnce(t *testing.T) {
	l := newLab(t)
	l.pageSize = 10
	for i := range 100 {
		l.ends(due(i, 3), []string{"Completed", "GaveUp", "RolledBack", "Failed", "Aborted", "TimedOut"}[i%6], i*12, "new")
	}
	// One that ran for very long, and ended yesterday.
	old := l.stepFunctions.run("app-0oa00000000000000777-K-00777_-20250320", "{}", 345*rotation.Day)
	l.end(old, types.ExecutionStatusTimedOut, 20*time.Hour, "")
	// One that Step Functions keeps although nobody cares any more.
	l.ends(due(200, 3), "Completed", 89*24, "new")
	l.found("r", 25)
	_, starts := l.run("r")
	if len(starts.Ended) != 14*2+1+1 || !slices.IsSortedFunc(starts.Ended, func(a, b inventory.Ended) int { return b.EndedAt.Compare(a.EndedAt) }) {
		t.Errorf("%d ended lately", len(starts.Ended))
	}
	if !slices.ContainsFunc(starts.Ended, func(e inventory.Ended) bool { return e.Execution == arnOf(old.name) }) {
		t.Error("the one that ran for long is missing")
	}
	if n := l.calls["DescribeExecution"]; n != 102 || l.mostReading > 4 {
		t.Errorf("%d described, %d at once", n, l.mostReading)
	}
	puts := l.s3.Requests()[buckettest.PutObject]
	l.found("r2", 25)
	l.run("r2")
	if n := l.calls["DescribeExecution"]; n != 102 {
		t.Errorf("%d described after the second run", n)
	}
	// Dues, listing, plan and starts; the memory has not changed.
	if n := l.s3.Requests()[buckettest.PutObject]; n != puts+4 {
		t.Errorf("%d objects were written", n-puts)
	}
}

func TestARedrivenRotationEndsTwice(t *testing.T) {
	l := newLab(t)
	d := due(1, 30)
	e := l.ends(d, "Failed", 5, "")
	l.found("r", 25, d)
	if _, starts := l.run("r"); actions(starts) != "paused" {
		t.Fatal(actions(starts))
	}
	l.end(e, types.ExecutionStatusSucceeded, 1, `{"result":"Completed","oldKid":"`+d.Kid+`","newKid":"new"}`)
	l.found("r2", 25, d)
	_, starts := l.run("r2")
	if len(starts.Ended) != 1 || starts.Ended[0].Result != "Completed" || len(l.memory()) != 1 || l.described[e.name] != 2 {
		t.Errorf("%+v", starts.Ended)
	}
}

func TestManyThatEndedAreLearnedOverSeveralRuns(t *testing.T) {
	l := newLab(t)
	for i := range 620 {
		l.ends(due(i, 3), "Completed", i, "new")
	}
	for i, want := range []int{500, 620, 620} {
		id := fmt.Sprint("r", i)
		l.found(id, 25)
		l.run(id)
		if n := len(l.memory()); n != want {
			t.Errorf("%d remembered after run %d, want %d", n, i, want)
		}
	}
	if n := l.calls["DescribeExecution"]; n != 620 {
		t.Errorf("%d described", n)
	}
	// The latest first.
	if !strings.Contains(l.memory()[0], idOf(0)) {
		t.Error(l.memory()[0])
	}
}

func TestHowRotationsEndedCannotBeRead(t *testing.T) {
	l := newLab(t)
	failed, done := due(1, 30), due(2, 30)
	l.ends(failed, "RolledBack", 5, "")
	l.ends(done, "GaveUp", 6, "")
	for i := 10; i < 40; i++ {
		l.ends(due(i, 30), "Completed", 7, "new")
	}
	l.fail(fault{operation: "DescribeExecution", times: 100, err: coded("ThrottlingException")})
	l.found("r", 25, failed, done)
	out, starts := l.run("r")
	only(t, starts.Problems, "StepFunctions.Unavailable", "how 32 of 32 rotations ended could not be read")
	// That one failed, the list alone tells.
	if actions(starts) != "paused start" || out.Started != 1 || len(starts.Ended) != 1 || starts.Ended[0].Result != "Failed" {
		t.Errorf("%s %+v", actions(starts), starts.Ended)
	}
	if n := l.calls["DescribeExecution"]; n > 10 {
		t.Errorf("%d calls", n)
	}
	// It is asked again, and only then remembered.
	l.heal()
	l.found("r2", 25, failed)
	if _, starts := l.run("r2"); len(l.memory()) != 32 || starts.Dues[0].Action != inventory.ActionPaused || !strings.Contains(starts.Dues[0].Reason, "RolledBack") {
		t.Errorf("%d lines, %+v", len(l.memory()), starts.Dues[0])
	}
}

func TestATargetIsPausedAfterARotationWithoutSuccess(t *testing.T) {
	for title, c := range map[string]struct {
		result string
		hours  int
		days   int
		want   inventory.Action
	}{
		"completed":                 {"Completed", 1, 30, "start"},
		"gave up":                   {"GaveUp", 1, 30, "paused"},
		"rolled back":               {"RolledBack", 71, 30, "paused"},
		"failed":                    {"Failed", 71, 8, "paused"},
		"stopped":                   {"Aborted", 71, 30, "paused"},
		"timed out":                 {"TimedOut", 71, 30, "paused"},
		"long enough ago":           {"Failed", 72, 30, "start"},
		"a week is left":            {"Failed", 25, 7, "start"},
		"the certificate has ended": {"Failed", 25, -1, "start"},
	} {
		t.Run(title, func(t *testing.T) {
			l := newLab(t)
			d := due(1, c.days)
			l.ends(d, c.result, c.hours, "new")
			l.found("r", 25, d)
			_, starts := l.run("r")
			if starts.Dues[0].Action != c.want {
				t.Errorf("%+v", starts.Dues[0])
			}
			if c.want == inventory.ActionPaused {
				ended := now.Add(-time.Duration(c.hours) * time.Hour)
				for _, says := range []string{c.result, ended.Format("2006-01-02 15:04 UTC"), ended.Add(72 * time.Hour).Format("2006-01-02 15:04 UTC")} {
					if !strings.Contains(starts.Dues[0].Reason, says) {
						t.Errorf("%q does not say %q", starts.Dues[0].Reason, says)
					}
				}
			}
		})
	}
	l := newLab(t)
	d, patient, other := due(1, 30), due(2, 30, func(d *inventory.Due) { d.Settings.ReminderHours = 1 }), due(3, 30)
	l.ends(d, "Failed", 30, "")
	l.ends(d, "Completed", 5, "new") // the last one counts
	l.ends(patient, "Failed", 2, "")
	l.ends(due(3, 30, func(d *inventory.Due) { d.Target.Kind = rotation.KindIDP }), "Failed", 2, "") // another target
	l.found("r", 25, d, patient, other)
	if _, starts := l.run("r"); actions(starts) != "start start start" {
		t.Error(actions(starts))
	}
}

func TestAMemoryThatWasDamagedByHand(t *testing.T) {
	l := newLab(t)
	d := due(1, 30)
	l.ends(d, "Failed", 5, "")
	l.found("r", 25, d)
	l.run("r")
	good := l.memory()[0]
	future := strings.Replace(good, `"endedAt":"2026`, `"endedAt":"9026`, 1)
	for _, content := range []string{"", "\n\n", "\x00\xff", "{", "[]\n{}\nnull\n\"x\"\n" + good + "\n", future + "\n", good[:50], good + good, `{"execution":"x","result":"Failed"}`} {
		l.put(starting.Memory, []byte(content))
		l.found("r2", 25, d)
		if err := l.bucketDelete(inventory.Keys{Run: "r2"}.Plan()); err != nil {
			t.Fatal(err)
		}
		_, starts := l.run("r2")
		if actions(starts) != "paused" || len(starts.Ended) != 1 {
			t.Errorf("%q: %s, %+v", content, actions(starts), starts.Ended)
		}
		if strings.TrimSpace(content) == "" {
			if len(starts.Problems) != 0 {
				t.Errorf("%q: %+v", content, starts.Problems)
			}
		} else {
			only(t, starts.Problems, "Memory.Damaged", starting.Memory)
		}
		if got := l.memory(); len(got) != 1 || got[0] != good {
			t.Errorf("%q became %q", content, got)
		}
	}
}

func TestTheMemoryForgets(t *testing.T) {
	l := newLab(t)
	var lines strings.Builder
	for i := range 5100 {
		raw, err := json.Marshal(inventory.Ended{Execution: arnOf(strconv.Itoa(i)), Target: app(i), Result: "Completed", EndedAt: now.Add(-time.Duration(i) * 25 * time.Minute)})
		if err != nil {
			t.Fatal(err)
		}
		lines.Write(append(raw, '\n'))
	}
	l.put(starting.Memory, []byte(lines.String()))
	l.ends(due(1, 3), "Completed", 0, "new")
	l.found("r", 25)
	l.run("r")
	if got := l.memory(); len(got) != 5000 {
		t.Errorf("%d lines", len(got))
	}
	raw, err := json.Marshal(inventory.Ended{Execution: arnOf("old"), Target: app(1), Result: "Completed", EndedAt: now.Add(-90 * rotation.Day)})
	if err != nil {
		t.Fatal(err)
	}
	l.put(starting.Memory, append(raw, '\n'))
	l.found("r2", 25)
	l.run("r2")
	if got := l.memory(); len(got) != 1 || strings.Contains(got[0], arnOf("old")) {
		t.Errorf("%q", got)
	}
}

func TestTwoWritersOfTheMemoryLoseNothing(t *testing.T) {
	l := newLab(t)
	theirs := `{"execution":"theirs","target":{"kind":"app","id":"0oa2"},"result":"Failed","endedAt":"2026-02-28T00:00:00Z"}`
	for _, there := range []bool{false, true} {
		if there {
			l.put(starting.Memory, nil)
		}
		l.ends(due(1, 3), "Completed", 5, "new")
		done := false
		l.s3.Fail(buckettest.Fault{Operation: buckettest.PutObject, Prefix: starting.Memory, Do: func() {
			if !done {
				done = true
				l.put(starting.Memory, []byte(theirs+"\n"))
			}
		}})
		l.found("r", 25)
		if _, starts := l.run("r"); len(starts.Problems) != 0 {
			t.Errorf("%+v", starts.Problems)
		}
		if got := strings.Join(l.memory(), "\n"); !strings.Contains(got, `"theirs"`) || !strings.Contains(got, idOf(1)) {
			t.Errorf("%s", got)
		}
	}
}

func TestAMemoryThatCannotBeWrittenIsAProblemOnly(t *testing.T) {
	for status, name := range map[int]string{503: "Bucket.Unavailable", 403: "Bucket.Refused", 412: "Bucket.Unavailable"} {
		l := newLab(t)
		d := due(1, 30)
		l.ends(d, "Failed", 5, "")
		l.s3.Fail(buckettest.Fault{Operation: buckettest.PutObject, Prefix: starting.Memory, Times: -1, Status: status, Code: map[int]string{503: "SlowDown", 403: "AccessDenied", 412: "PreconditionFailed"}[status]})
		l.found("r", 25, d, due(2, 30))
		out, starts := l.run("r")
		if actions(starts) != "paused start" || out.Started != 1 {
			t.Errorf("%s", actions(starts))
		}
		only(t, starts.Problems, name, "could not be remembered")
	}
	l := newLab(t)
	l.found("r", 25, due(1, 3))
	l.s3.Fail(buckettest.Fault{Operation: buckettest.GetObject, Prefix: starting.Memory, Times: -1, Status: 500, Code: "InternalError"})
	if _, err := l.call("r", false); rotation.NameOf(err) != "Bucket.Unavailable" || len(l.names()) != 0 {
		t.Error(err)
	}
}
