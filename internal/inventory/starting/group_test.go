package starting_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"keyturn/internal/inventory"
	"keyturn/internal/rotation"
)

// sources are what each of the dues is to get its key from: "-" for a key of
// its own, "" where it was not started.
func (l *lab) sources(dues []inventory.Due) string {
	var all []string
	for _, d := range dues {
		if l.find(nameOf(d)) == nil {
			all = append(all, "")
			continue
		}
		from := l.cloneFrom(nameOf(d))
		if from == "" {
			from = "-"
		}
		all = append(all, strings.TrimLeft(strings.TrimPrefix(from, "0oa"), "0"))
	}
	return strings.Join(all, ",")
}

func TestTargetsThatShareAKeyGetCopiesOfOneNewKey(t *testing.T) {
	group := func(ns ...int) []inventory.Due {
		var dues []inventory.Due
		for _, n := range ns {
			dues = append(dues, due(n, 10, shares(1)))
		}
		return dues
	}
	outside := due(50, 10, shares(1))
	for title, c := range map[string]struct {
		dues   []inventory.Due
		before func(l *lab)
		most   int
		want   string
		// order, if it matters.
		order []int
	}{
		"the first makes the key":     {group(1, 2, 3), nil, 25, "-,1,1", []int{1, 2, 3}},
		"as far as maxRotations goes": {group(1, 2, 3), nil, 2, "-,1,", nil},
		"keys of their own": {func() []inventory.Due {
			dues := group(1, 2)
			for i := range dues {
				dues[i].SharedKey, dues[i].Settings.SharedKey = rotation.OwnKey, rotation.OwnKey
			}
			return dues
		}(), nil, 25, "-,-", nil},
		"alone with its key": {[]inventory.Due{due(1, 10, shares(1), func(d *inventory.Due) { d.Sharing = 1 })}, nil, 25, "-", nil},
		"an app and an IdP":  {[]inventory.Due{due(1, 10, shares(1)), due(2, 10, shares(1), func(d *inventory.Due) { d.Target.Kind = rotation.KindIDP })}, nil, 25, "-,-", nil},
		"another kid":        {[]inventory.Due{due(1, 10, shares(1)), due(2, 10, shares(2)), due(3, 10, shares(1)), due(4, 10, shares(2))}, nil, 25, "-,-,1,2", []int{1, 3, 2, 4}},
		"one of them is running": {group(1, 2, 3), func(l *lab) {
			l.stepFunctions.run(rotation.ExecutionName(app(2), kidOf(1), now.Add(-rotation.Day)), inputFor(app(2)), time.Hour)
		}, 25, "2,,2", nil},
		"another is running, the oldest is the source": {group(1, 2), func(l *lab) {
			l.stepFunctions.run(rotation.ExecutionName(app(51), kidOf(1), now), inputFor(app(51)), time.Hour)
			l.stepFunctions.run(nameOf(outside), inputFor(outside.Target), 2*time.Hour)
			l.stepFunctions.run(rotation.ExecutionName(app(52), kidOf(2), now), inputFor(app(52)), 3*time.Hour)
		}, 25, "50,50", nil},
		"one is running as it was requested": {group(1, 2, 3), func(l *lab) {
			l.stepFunctions.run("2f1c5b7e-5c1f-4a84-a1f5-0c5f3e2b1d90", inputFor(app(3)), time.Hour)
		}, 25, "3,3,", nil},
		"one that is not due is running as it was requested, and waits": {group(1, 2), func(l *lab) {
			l.ask(l.stepFunctions.run("2f1c5b7e-5c1f-4a84-a1f5-0c5f3e2b1d90", inputFor(outside.Target), time.Hour), asking(outside), time.Hour)
		}, 25, "50,50", nil},
		"one of a kid that begins alike": {group(1, 2), func(l *lab) {
			alike := due(50, 10, func(d *inventory.Due) { d.Kid = kidOf(1)[:8] + strings.Repeat("y", 35) })
			l.ask(l.stepFunctions.run(nameOf(alike), inputFor(alike.Target), time.Hour), asking(alike), time.Hour)
		}, 25, "-,1", nil},
		"an earlier one is completed": {group(1, 2), func(l *lab) { l.ends(outside, "Completed", 500, "new") }, 25, "50,50", nil},
		"the last of them is alone with the old key": {[]inventory.Due{due(1, 10, shares(1), func(d *inventory.Due) { d.Sharing = 1 })},
			func(l *lab) { l.ends(outside, "Completed", 500, "new") }, 25, "50", nil},
		"one that waited in vain gets a key of its own": {group(1, 2, 3), func(l *lab) {
			l.ends(outside, "Completed", 500, "new")
			l.end(l.stepFunctions.run(rotation.ExecutionName(app(2), kidOf(1), now.Add(-20*rotation.Day)), inputFor(app(2)), 480*time.Hour),
				types.ExecutionStatusFailed, 450*time.Hour, `{"result":"Failed","error":{"step":"AwaitKey","name":"Key.NotShared","message":"no key came"}}`)
		}, 25, "50,-,50", nil},
		"an earlier one has left the key":   {group(1, 2), func(l *lab) { l.ends(outside, "GaveUp", 500, "new") }, 25, "50,50", nil},
		"an earlier one has made no key":    {group(1, 2), func(l *lab) { l.ends(outside, "Failed", 500, "") }, 25, "-,1", nil},
		"an earlier one was of another key": {group(1, 2), func(l *lab) { l.ends(due(50, 10), "Completed", 500, "new") }, 25, "-,1", nil},
		"rather a completed than a later other": {group(1, 2), func(l *lab) {
			l.ends(outside, "Completed", 500, "new")
			l.ends(due(51, 1, shares(1)), "GaveUp", 100, "new")
		}, 25, "50,50", nil},
		"one of the due made the key, and goes first": {group(1, 2, 3), func(l *lab) { l.ends(due(3, 10, shares(1)), "GaveUp", 500, "new") }, 25, "3,3,-", []int{3, 1, 2}},
		"it goes first also where only one may":       {group(1, 2, 3), func(l *lab) { l.ends(due(3, 10, shares(1)), "GaveUp", 500, "new") }, 1, ",,-", nil},
		"the one that made it is paused":              {group(1, 2, 3), func(l *lab) { l.ends(due(3, 10, shares(1)), "GaveUp", 5, "new") }, 25, "3,3,", nil},
		"a running one before a completed one": {group(1, 2), func(l *lab) {
			l.ends(outside, "Completed", 500, "new")
			l.stepFunctions.run(rotation.ExecutionName(app(51), kidOf(1), now), inputFor(app(51)), time.Hour)
		}, 25, "51,51", nil},
	} {
		t.Run(title, func(t *testing.T) {
			l := newLab(t)
			if c.before != nil {
				c.before(l)
			}
			before := len(l.names())
			l.found("r", c.most, c.dues...)
			_, starts := l.run("r")
			if got := l.sources(c.dues); got != c.want {
				t.Errorf("got %q, want %q (%s)", got, c.want, actions(starts))
			}
			if c.order != nil {
				var want []string
				for _, n := range c.order {
					i := slices.IndexFunc(c.dues, func(d inventory.Due) bool { return d.Target.ID == idOf(n) })
					want = append(want, nameOf(c.dues[i]))
				}
				if got := l.names()[before:]; !slices.Equal(got, want) {
					t.Errorf("order %v, want %v", got, want)
				}
			}
			for i, e := range starts.Dues {
				if e.Action == inventory.ActionStart && strings.Contains(e.Reason, "a copy of the new key") != (l.cloneFrom(nameOf(c.dues[i])) != "") {
					t.Errorf("%s says %q", e.Target, e.Reason)
				}
			}
		})
	}
}

func TestMembersWaitForASourceThatCouldNotBeStarted(t *testing.T) {
	dues := []inventory.Due{due(1, 1), due(2, 10, shares(1)), due(3, 10, shares(1)), due(4, 11)}
	for title, c := range map[string]struct {
		before func(l *lab)
		want   string
	}{
		"Step Functions did not start it": {func(l *lab) {
			l.fail(fault{operation: "StartExecution", name: nameOf(dues[1]), err: coded("InvalidExecutionInput")})
		}, "start failed postponed start"},
		"refused": {func(l *lab) {
			l.fail(fault{operation: "StartExecution", name: nameOf(dues[1]), err: coded("AccessDeniedException")})
		}, "start failed postponed start"},
		"it has run today": {func(l *lab) {
			// A short pause only: it is to be started again.
			for i := range dues {
				dues[i].Settings.ReminderHours = 1
			}
			l.end(l.stepFunctions.run(nameOf(dues[1]), inputFor(dues[1].Target), 3*time.Hour), types.ExecutionStatusFailed, 2*time.Hour, `{"result":"Failed"}`)
		}, "start paused postponed start"},
		"it runs already, which no list showed yet": {func(l *lab) {
			l.stepFunctions.run(nameOf(dues[1]), inputFor(dues[1].Target), time.Second)
			l.hidden = true
		}, "start running start start"},
	} {
		t.Run(title, func(t *testing.T) {
			l := newLab(t)
			c.before(l)
			l.found("r", 25, dues...)
			_, starts := l.run("r")
			if actions(starts) != c.want {
				t.Errorf("%s, want %s", actions(starts), c.want)
			}
			if e := starts.Dues[2]; e.Action == inventory.ActionPostponed && !strings.Contains(e.Reason, idOf(2)) {
				t.Error(e.Reason)
			}
		})
	}
}

func TestAGroupIsFinishedByTheNextRuns(t *testing.T) {
	l := newLab(t)
	var dues []inventory.Due
	for i := range 7 {
		dues = append(dues, due(i+1, 10, shares(1)))
	}
	for _, id := range []string{"r1", "r2", "r3", "r4"} {
		l.found(id, 2, dues...)
		l.run(id)
	}
	if got := l.sources(dues); got != "-,1,1,1,1,1,1" {
		t.Error(got)
	}
}

func TestTheSubjectOfTheDeployedPolicyDoesNotShowThrough(t *testing.T) {
	l := newLab(t)
	d := due(1, 10)
	d.Settings.Subject = rotation.Subject{CommonName: "{label}"}
	l.found("r", 25, d)
	l.run("r")
	var in rotation.InspectTargetInput
	if err := json.Unmarshal([]byte(l.find(nameOf(d)).input), &in); err != nil {
		t.Fatal(err)
	}
	deployed := rotation.DefaultSettings([]string{"sso-team@example.com"})
	deployed.Subject = rotation.Subject{CountryName: "US", OrganizationalUnitName: "Federation", CommonName: "other"}
	got, err := rotation.ResolvePolicy(in.Policy, deployed, in.Target, d.Kid)
	if err != nil || got.Subject != d.Settings.Subject {
		t.Errorf("the rotation's subject would be %+v, %v", got.Subject, err)
	}
}
