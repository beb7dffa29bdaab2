package starting_test

import (
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"keyturn/internal/bucket/buckettest"
	"keyturn/internal/inventory"
	"keyturn/internal/rotation"
)

func TestWhateverHappensARunStartsItsShareOnce(t *testing.T) {
	s3 := buckettest.New(t)
	var buckets atomic.Int64
	rapid.Check(t, func(rt *rapid.T) {
		l := labIn(t, s3, fmt.Sprint("bucket-", buckets.Add(1)))
		l.pageSize = rapid.IntRange(1, 10).Draw(rt, "page")
		n := rapid.IntRange(0, 14).Draw(rt, "dues")
		most := rapid.IntRange(1, 6).Draw(rt, "maxRotations")
		var dues []inventory.Due
		running := map[string]bool{}
		days := 0
		for i := range n {
			days += rapid.IntRange(0, 5).Draw(rt, "days")
			d := due(i, days)
			if rapid.Bool().Draw(rt, "shares") {
				// Those that share a key share its expiry.
				kid := 900 + days
				d = due(i, days, shares(kid))
			}
			switch rapid.SampledFrom([]string{"", "", "", "runs", "requested", "failed", "left the key", "notify"}).Draw(rt, "state") {
			case "runs":
				l.stepFunctions.run(rotation.ExecutionName(d.Target, d.Kid, now.Add(-rotation.Day)), inputFor(d.Target), rotation.Day)
				running[d.Target.ID] = true
			case "requested":
				l.stepFunctions.run(fmt.Sprintf("%08d-5c1f-4a84-a1f5-0c5f3e2b1d90", i), inputFor(d.Target), rotation.Day)
				running[d.Target.ID] = true
			case "failed":
				l.ends(d, "Failed", rapid.IntRange(0, 100).Draw(rt, "hours"), "")
			case "left the key":
				l.ends(d, "GaveUp", 100, "new")
			case "notify":
				notifies(&d)
			}
			dues = append(dues, d)
		}
		l.found("r", most, dues...)
		before := len(l.names())

		for range rapid.IntRange(0, 4).Draw(rt, "attempts") {
			switch rapid.SampledFrom([]string{"dies", "dies", "throttled", "lost", "requested", "ends"}).Draw(rt, "trouble") {
			case "dies":
				l.dies(rapid.IntRange(0, 8).Draw(rt, "writes"), rapid.Bool().Draw(rt, "after"))
			case "throttled":
				l.fail(fault{operation: rapid.SampledFrom([]string{"StartExecution", "ListExecutions", "DescribeExecution", "GetExecutionHistory"}).Draw(rt, "operation"),
					skip: rapid.IntRange(0, 5).Draw(rt, "skip"), err: coded("ThrottlingException")})
				_, _ = l.call("r", false)
			case "lost":
				l.fail(fault{operation: "StartExecution", skip: rapid.IntRange(0, 5).Draw(rt, "skip"), err: errNoAnswer, after: true})
				_, _ = l.call("r", false)
			case "requested":
				if n > 0 {
					d := dues[rapid.IntRange(0, n-1).Draw(rt, "which")]
					if !running[d.Target.ID] && l.find(nameOf(d)) == nil {
						l.stepFunctions.run(fmt.Sprintf("%08d-4a84-5c1f-a1f5-0c5f3e2b1d90", len(l.executions)), inputFor(d.Target), 0)
						running[d.Target.ID] = true
					}
				}
			case "ends":
				for _, e := range l.executions[before:] {
					if e.started.Equal(now) && len(e.name) != len("00000000-4a84-5c1f-a1f5-0c5f3e2b1d90") && e.status == types.ExecutionStatusRunning {
						l.end(e, types.ExecutionStatusFailed, 0, `{"result":"Failed"}`)
						break
					}
				}
			}
		}
		l.heal()
		out, err := l.call("r", false)
		if err != nil {
			rt.Fatal(err)
		}
		starts := l.starts("r")

		var started []inventory.Due
		var names []string
		for _, name := range l.names()[before:] {
			i := slices.IndexFunc(dues, func(d inventory.Due) bool { return nameOf(d) == name })
			if i < 0 {
				continue // requested
			}
			names = append(names, name)
			started = append(started, dues[i])
		}
		if len(started) > most {
			rt.Errorf("%d were started, maxRotations is %d", len(started), most)
		}
		if len(slices.Compact(slices.Sorted(slices.Values(names)))) != len(names) {
			rt.Errorf("started twice: %v", names)
		}
		if !slices.IsSortedFunc(started, func(a, b inventory.Due) int { return a.NotAfter.Compare(*b.NotAfter) }) {
			rt.Errorf("not in the order of expiry: %v", names)
		}
		for i, d := range started {
			e := l.find(nameOf(d))
			for _, other := range l.executions {
				if other != e && other.started.Before(e.started.Add(-time.Second)) && other.status == types.ExecutionStatusRunning && other.input == inputFor(d.Target) {
					rt.Errorf("%s was started while %s was running", e.name, other.name)
				}
			}
			if d.Action != inventory.ActionStart {
				rt.Errorf("%s was started, and was to be %s", e.name, d.Action)
			}
			from := l.cloneFrom(nameOf(d))
			if from == "" {
				continue
			}
			// The source came first, or was there before.
			j := slices.IndexFunc(started, func(d inventory.Due) bool { return d.Target.ID == from })
			if from == d.Target.ID || j > i {
				rt.Errorf("%s gets its key from %s", d.Target.ID, from)
			}
		}
		// Each due target has one outcome, and the counts are right.
		if len(starts.Dues) != n || out.Due != n || out.Started > len(started) {
			rt.Errorf("%+v, %d started", out, len(started))
		}
		for i, e := range starts.Dues {
			if e.Target.ID != dues[i].Target.ID {
				rt.Errorf("%d is %s", i, e.Target.ID)
			}
			if running[e.Target.ID] && e.Action == inventory.ActionStart {
				rt.Errorf("%s is running and was started", e.Target)
			}
		}
	})
}
