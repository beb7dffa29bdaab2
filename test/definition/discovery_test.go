package definition

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"keyturn/internal/inventory"
	"keyturn/internal/rotation"
	"keyturn/test/asl"
)

// run is all that a discovery meets.
type run struct {
	DryRun bool
	// Pauses are how long list-apps has the state machine wait between two
	// calls; a negative one is over already.
	Pauses      []time.Duration
	Authorities []rotation.CertificateAuthority
	Faults      []fault
	Seed        uint64
}

func (r run) with(change func(*run)) run {
	change(&r)
	return r
}

const (
	discoveryARN     = "arn:aws:states:eu-west-1:123456789012:execution:keyturn-discovery:daily"
	discoveryMachine = "arn:aws:states:eu-west-1:123456789012:stateMachine:keyturn-discovery"
	longestRun       = 3 * day
)

// org is what the functions of discovery stand for.
type org struct {
	r     run
	start time.Time

	mu       sync.Mutex
	calls    map[string]int
	listed   int // successful calls of list-apps
	resumeAt time.Time
	facts    []rotation.AuthorityFacts // what report-inventory was told
	events   []event
	wrong    []string
}

func (o *org) mistake(format string, args ...any) {
	o.wrong = append(o.wrong, fmt.Sprintf(format, args...))
}

func (o *org) input() inventory.Request {
	return inventory.Request{DryRun: o.r.DryRun, Policy: json.RawMessage(`{"mode":"rotate","rules":[]}`)}
}

func (o *org) tasks(ctx context.Context, c asl.Call) (json.RawMessage, error) {
	o.mu.Lock()
	n := o.calls[c.State]
	o.calls[c.State]++
	i := slices.IndexFunc(o.r.Faults, func(f fault) bool { return f.State == c.State && f.First <= n && n < f.First+f.Times })
	effect := i < 0 || o.r.Faults[i].Effect
	out := o.call(c, effect)
	o.mu.Unlock()
	switch {
	case i < 0:
		return out, nil
	case o.r.Faults[i].Name == "":
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return nil, asFailure(o.r.Faults[i].failure())
}

// call carries out a call; o.mu is held.
func (o *org) call(c asl.Call, effect bool) json.RawMessage {
	if strings.HasSuffix(c.Resource, ":events:putEvents") {
		var arguments struct {
			Entries []struct {
				Source, DetailType string
				Detail             json.RawMessage
			}
		}
		if err := strict(c.Arguments, &arguments); err != nil || len(arguments.Entries) != 1 || arguments.Entries[0].Source != "keyturn" {
			o.mistake("%s: the event: %v in %s", c.State, err, c.Arguments)
		}
		o.events = append(o.events, event{arguments.Entries[0].DetailType, arguments.Entries[0].Detail, effect})
		return json.RawMessage(`{"FailedEntryCount": 0}`)
	}
	var arguments struct {
		FunctionName string
		Payload      json.RawMessage
	}
	if err := strict(c.Arguments, &arguments); err != nil {
		o.mistake("%s: the arguments: %v", c.State, err)
	}
	var out any
	switch arguments.FunctionName {
	case "list-apps":
		out = o.list(c, arguments.Payload, effect)
	case "start-rotations":
		var in inventory.StartRotationsInput
		o.decode(c, arguments.Payload, &in)
		o.same(c, in.Run, in.DryRun)
		out = inventory.StartRotationsOutput{Due: 2, Started: 1}
	case "sign-csr":
		var in rotation.SignCSRInput
		o.decode(c, arguments.Payload, &in)
		if !slices.Equal(in.Describe, o.r.Authorities) {
			o.mistake("%s: %v are to be described, not %v", c.State, in.Describe, o.r.Authorities)
		}
		out = rotation.SignCSROutput{Authorities: o.described()}
	case "report-inventory":
		var in inventory.ReportInventoryInput
		o.decode(c, arguments.Payload, &in)
		o.same(c, in.Run, in.DryRun)
		o.facts = in.Authorities
		out = o.output()
	default:
		panic("no function " + arguments.FunctionName)
	}
	return encode(map[string]any{"StatusCode": 200, "Payload": out})
}

func (o *org) decode(c asl.Call, payload json.RawMessage, into any) {
	if err := strict(payload, into); err != nil {
		o.mistake("%s: the input: %v in %s", c.State, err, payload)
	}
	for _, name := range leftOut("", decoded(payload), decoded(encode(into))) {
		// The type is that of sign-csr's other inputs, too.
		if c.State != "DescribeAuthorities" {
			o.mistake("%s: the input has no %s", c.State, name)
		}
	}
}

func (o *org) same(c asl.Call, begun inventory.Begun, dryRun bool) {
	if begun.ID != "daily" || begun.Execution != discoveryARN || !begun.At.Equal(o.start) || dryRun != o.r.DryRun {
		o.mistake("%s: %+v, dry run %t", c.State, begun, dryRun)
	}
}

func (o *org) list(c asl.Call, payload json.RawMessage, effect bool) any {
	var in inventory.ListAppsInput
	o.decode(c, payload, &in)
	o.same(c, in.Run, in.Request.DryRun)
	if in.Pass != o.listed || string(encode(in.Request)) != string(encode(o.input())) {
		o.mistake("%s: pass %d is %d, the request %s", c.State, o.listed, in.Pass, encode(in.Request))
	}
	if time.Now().Before(o.resumeAt) {
		o.mistake("%s: called at %v, to be called again at %v", c.State, time.Now(), o.resumeAt)
	}
	out := inventory.ListAppsOutput{Done: o.listed >= len(o.r.Pauses), DryRun: o.r.DryRun, Authorities: o.r.Authorities}
	if !out.Done {
		at := time.Now().UTC().Add(o.r.Pauses[o.listed]).Truncate(time.Second)
		out.ResumeAt, out.Reason = &at, "quota"
	}
	// Only an answer that arrives moves the run on.
	broken := slices.ContainsFunc(o.r.Faults, func(f fault) bool {
		n := o.calls[c.State] - 1
		return f.State == c.State && f.First <= n && n < f.First+f.Times
	})
	if effect && !broken {
		o.listed++
		if out.ResumeAt != nil {
			o.resumeAt = *out.ResumeAt
		}
	}
	return out
}

func (o *org) described() []rotation.AuthorityFacts {
	var all []rotation.AuthorityFacts
	for _, name := range o.r.Authorities {
		all = append(all, rotation.AuthorityFacts{Provider: name, Certificates: []rotation.AuthorityCertificate{
			{Subject: "CN=Issuing", Issuer: "CN=Root", SHA256: "AA:BB", NotBefore: o.start, NotAfter: o.start.Add(900 * day)},
			{Subject: "CN=Root", Issuer: "CN=Root", SHA256: "CC:DD", NotBefore: o.start, NotAfter: o.start.Add(3000 * day)}}})
	}
	return all
}

func (o *org) output() inventory.ReportInventoryOutput {
	return inventory.ReportInventoryOutput{DryRun: o.r.DryRun, Complete: true, Targets: 7, Due: 2, Started: 1, Inventory: "inventory/latest.json", Report: "report/latest.html"}
}

// check executes a discovery and holds it against what it promises.
func (r run) check(t *testing.T, l *lab) error {
	t.Helper()
	var o *org
	var result asl.Result
	var all []visit
	var took time.Duration
	synctest.Test(t, func(t *testing.T) {
		o = &org{r: r, start: time.Now().UTC(), calls: map[string]int{}}
		runner := &asl.Runner{Tasks: o.tasks, Coverage: l.coverage, Rand: rand.New(rand.NewPCG(r.Seed, 0)), Evaluated: l.samples.take}
		e := runner.Start(t.Context(), l.discovery, asl.Start{MachineARN: discoveryMachine, Name: "daily", Input: encode(o.input())})
		<-e.Done()
		result, all, took = e.Result(), visits(e.History()), time.Since(o.start)
	})
	o.checkEnd(result, all, took)
	o.wrong = append(o.wrong, l.discoveryDrawn.follow(all)...)
	if result.Status != asl.StatusTimedOut {
		o.wrong = append(o.wrong, checkRetries(all, discoveryRetries)...)
	}
	if len(o.wrong) == 0 {
		return nil
	}
	var way strings.Builder
	for _, v := range all {
		fmt.Fprintf(&way, "\n  %s %s %s", v.at.Format(time.DateTime), v.state, v.failed)
	}
	return fmt.Errorf("%s\n  %s%s", encode(r), strings.Join(o.wrong, "\n  "), &way)
}

// discoveryRetries is what retries is for rotations.
func discoveryRetries(state, name string) (class string, most int) {
	unavailable := []string{"Bucket.Unavailable", "Secret.Unavailable", "StepFunctions.Unavailable", "Okta.Unavailable"}
	if state == "DescribeAuthorities" {
		unavailable = []string{"Secret.Unavailable", "CA.Unavailable"}
	}
	switch class, most = retries(state, name); class {
	case "event", "lambda":
		return class, most
	}
	if slices.Contains(unavailable, name) {
		return "unavailable", 6
	}
	return "", 0
}

func (o *org) checkEnd(result asl.Result, all []visit, took time.Duration) {
	if result.Status == asl.StatusTimedOut {
		if took != longestRun {
			o.mistake("it timed out after %v", took)
		}
		return
	}
	var ended *visit // what ended the run
	described := true
	for i, v := range all {
		if v.failed == "" {
			continue
		}
		switch v.state {
		case "ListApps", "StartRotations", "ReportInventory":
			ended = &all[i]
		case "DescribeAuthorities":
			described = false
		}
	}
	if ended == nil {
		o.checkSuccess(result, described)
		return
	}
	if result.Status != asl.StatusFailed || result.Error != ended.failed || all[len(all)-1].state != "Failed" {
		o.mistake("%s failed with %s, and it ended %s %s %s", ended.state, ended.failed, result.Status, result.Error, result.Cause)
	}
	if len(o.events) == 0 || o.events[0].kind != "Keyturn Discovery Failed" {
		o.mistake("nobody was told of the failure: %v", o.events)
		return
	}
	var failure struct {
		Run   inventory.Begun `json:"run"`
		Error problem         `json:"error"`
	}
	if err := strict([]byte(result.Cause), &failure); err != nil || string(o.events[0].detail) != result.Cause {
		o.mistake("the cause: %v in %s, the event is %s", err, result.Cause, o.events[0].detail)
	}
	if e := failure.Error; e.Step != ended.state || e.Name != ended.failed || e.Message == "" && e.Name != "States.Timeout" || failure.Run.ID != "daily" {
		o.mistake("the failure is %s", result.Cause)
	}
}

func (o *org) checkSuccess(result asl.Result, described bool) {
	var out inventory.ReportInventoryOutput
	if err := strict(result.Output, &out); result.Status != asl.StatusSucceeded || err != nil || string(encode(out)) != string(encode(o.output())) {
		o.mistake("it ended %s %s: %s (%v)", result.Status, result.Error, result.Output, err)
	}
	if len(o.events) > 0 {
		o.mistake("a failure was announced: %s", o.events[0].detail)
	}
	if o.listed != len(o.r.Pauses)+1 {
		o.mistake("list-apps was called %d times with success", o.listed)
	}
	if described {
		if string(encode(o.facts)) != string(encode(o.described())) {
			o.mistake("the CAs are %s", encode(o.facts))
		}
		return
	}
	if len(o.facts) != len(o.r.Authorities) {
		o.mistake("%d CAs are reported", len(o.facts))
	}
	for i, f := range o.facts {
		if f.Provider != o.r.Authorities[i] || len(f.Certificates) > 0 || !strings.HasPrefix(f.Problem, "sign-csr failed with ") || len([]rune(f.Problem)) > 1000 {
			o.mistake("the CA is %s", encode(f))
		}
	}
	// Seven where all is listed at once (test/workflow has the same).
	if most := 7 + 3*len(o.r.Pauses); len(o.r.Faults) == 0 && result.Transitions > most {
		o.mistake("%d transitions are billed, more than %d", result.Transitions, most)
	}
}

// runs makes up discoveries.
func runs() *rapid.Generator[run] {
	faults := rapid.Custom(func(t *rapid.T) fault {
		f := fault{State: rapid.SampledFrom([]string{"ListApps", "StartRotations", "DescribeAuthorities", "ReportInventory", "AnnounceFailure"}).Draw(t, "state"),
			First: rapid.IntRange(0, 3).Draw(t, "first"), Times: rapid.SampledFrom([]int{1, 2, 7, 1000}).Draw(t, "times")}
		if rapid.IntRange(0, 9).Draw(t, "hangs") > 0 {
			f.Name = rapid.SampledFrom(append([]string{"Bucket.Unavailable", "StepFunctions.Unavailable", "Inventory.Damaged"}, errorNames...)).Draw(t, "name")
		}
		f.Plain = strings.HasPrefix(f.Name, "Lambda.") && rapid.Bool().Draw(t, "plain")
		f.Effect = f.lost() && rapid.Bool().Draw(t, "effect")
		return f
	})
	return rapid.Custom(func(t *rapid.T) run {
		return run{
			DryRun: rapid.Bool().Draw(t, "dryRun"),
			Pauses: rapid.SliceOfN(rapid.SampledFrom([]time.Duration{-time.Minute, 0, time.Second, time.Minute, time.Hour, 20 * time.Hour}), 0, 6).Draw(t, "pauses"),
			Authorities: rapid.SliceOfNDistinct(rapid.SampledFrom([]rotation.CertificateAuthority{rotation.AuthorityLocal, rotation.AuthorityKMS,
				rotation.AuthorityStepCA, rotation.AuthorityManual}), 1, 3, rapid.ID).Draw(t, "authorities"),
			Faults: rapid.SliceOfN(faults, 0, 3).Draw(t, "faults"),
			Seed:   rapid.Uint64().Draw(t, "seed"),
		}
	})
}

// everyFaultOfDiscovery has one task fail at a time.
func (l *lab) everyFaultOfDiscovery(t *testing.T) {
	plain := run{Pauses: []time.Duration{time.Minute}, Authorities: []rotation.CertificateAuthority{rotation.AuthorityLocal}}
	cases := []run{plain, plain.with(func(r *run) { r.Pauses = nil }), plain.with(func(r *run) { r.Pauses = slices.Repeat([]time.Duration{2 * time.Hour}, 40) }),
		plain.with(func(r *run) {
			r.Faults = []fault{{State: "StartRotations", Times: 1000, Name: "StepFunctions.Unavailable"}, {State: "AnnounceFailure", Times: 1000}}
		})}
	for _, state := range []string{"ListApps", "StartRotations", "DescribeAuthorities", "ReportInventory"} {
		for _, f := range append([]fault{{Name: "Bucket.Unavailable"}, {Name: "CA.Unavailable"}, {Name: "Policy.Invalid"}}, every...) {
			f.State, f.Times = state, 1000
			cases = append(cases, plain.with(func(r *run) { r.Faults = []fault{f} }))
			f.Times, f.Effect = 1, true
			cases = append(cases, plain.with(func(r *run) {
				r.Faults = []fault{f, {State: "AnnounceFailure", Times: 3, Name: "EventBridge.InternalException"}}
			}))
		}
	}
	t.Logf("%d discoveries", len(cases))
	inShards(t, len(cases), func(t *testing.T, i int) {
		if err := cases[i].check(t, l); err != nil {
			t.Error(err)
		}
	})
}

func (l *lab) discoveriesAtRandom(t *testing.T) {
	all := runs()
	rapid.Check(t, func(rt *rapid.T) {
		if err := all.Draw(rt, "run").check(t, l); err != nil {
			rt.Fatal(err)
		}
	})
}
