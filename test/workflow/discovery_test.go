package workflow

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/scheduler"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	sfntypes "github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/tidwall/sjson"

	"keyturn/internal/inventory"
	"keyturn/internal/oktasim"
	"keyturn/internal/playground"
	"keyturn/internal/rotation"
)

const pathDiscovered = "Begin ListApps Listed StartRotations DescribeAuthorities ReportInventory Discovered"

// policyFor is a policy for these targets and no other: the org has those of all
// tests.
func policyFor(with policy, scenes ...*scene) policy {
	rules := []any{}
	for _, s := range scenes {
		rule := policy{"match": policy{"id": s.target.ID}, "reminderHours": 24 * 30}
		maps.Copy(rule, with)
		rules = append(rules, rule)
	}
	return policy{"mode": "off", "giveUpDays": 45, "rules": rules}
}

// discover runs a discovery to its end.
func (s *scene) discover(request policy) playground.Discovery {
	s.t.Helper()
	d, err := s.p.Discover(s.ctx, request)
	if err != nil {
		s.t.Fatal(err)
	}
	if d.Status != sfntypes.ExecutionStatusSucceeded {
		s.t.Fatalf("discovery ended %s: %s %s", d.Status, d.Error, d.Cause)
	}
	return d
}

// entries are what a discovery found of the targets, by id.
func (s *scene) entries(d playground.Discovery) map[string]inventory.Entry {
	s.t.Helper()
	run := d.ARN[strings.LastIndexByte(d.ARN, ':')+1:]
	found := map[string]inventory.Entry{}
	var starts inventory.Starts
	if err := json.Unmarshal(s.object(inventory.Keys{Run: run}.Starts()), &starts); err != nil {
		s.t.Fatal(err)
	}
	for e, err := range inventory.Lines[inventory.Entry](strings.NewReader(string(s.object(inventory.Keys{Run: run}.Entries())))) {
		if err != nil {
			s.t.Fatal(err)
		}
		found[e.Target.ID] = e
	}
	for _, e := range starts.Dues {
		found[e.Target.ID] = e
	}
	return found
}

func (s *scene) object(key string) []byte {
	s.t.Helper()
	body, err := s.p.Object(s.ctx, key)
	if err != nil {
		s.t.Fatal(err)
	}
	return body
}

func TestDiscoveryStartsARotationForWhatIsDue(t *testing.T) {
	parallel(t)
	due, later, silent := app(t), app(t, oktasim.AppSpec{Key: oktasim.NewKey(oktasim.KeySpec{NotAfter: time.Now().AddDate(2, 0, 0)})}), idp(t)
	request := policy{"policy": policy{"mode": "off", "rules": []any{
		policy{"match": policy{"id": due.target.ID}, "mode": "rotate", "reminderHours": 24 * 30},
		policy{"match": policy{"id": later.target.ID}, "mode": "rotate"},
		policy{"match": policy{"id": silent.target.ID}, "mode": "notify"},
	}}}
	started := time.Now()
	d := due.discover(request)
	same(t, "states", strings.Fields(pathDiscovered), d.States)
	same(t, "state transitions", 7, d.Transitions)
	same(t, "started", 1, d.Started)
	same(t, "due", 2, d.Due)
	found := due.entries(d)
	name := rotation.ExecutionName(due.target, due.oldKid, started)
	e := found[due.target.ID]
	if e.Action != inventory.ActionStart || e.Rule != 0 || e.Rotation == nil || !strings.HasSuffix(e.Rotation.Execution, ":"+name) {
		t.Fatalf("the target that is due is %+v, rotation %+v; want %s", e, e.Rotation, name)
	}
	if e := found[later.target.ID]; e.Action != inventory.ActionNone || e.Due || e.Rule != 1 {
		t.Errorf("the target with two years left is %+v", e)
	}
	if e := found[silent.target.ID]; e.Action != inventory.ActionNotify || !e.Due || e.Rotation != nil {
		t.Errorf("the target in mode notify is %+v", e)
	}

	// A second run on the same day starts nothing twice.
	r := &running{scene: due, rotation: due.p.Attach(e.Rotation.Execution), started: started}
	r.request(playground.Approver)
	again := due.discover(request)
	same(t, "started by the second run", 0, again.Started)
	if e := due.entries(again)[due.target.ID]; e.Action != inventory.ActionRunning || e.Rotation == nil || e.Rotation.Stage != rotation.StageUpload || !slices.Equal(e.Rotation.Asked, []string{playground.Approver}) {
		t.Errorf("while it waits the target is %+v, rotation %+v", e, e.Rotation)
	}
	r.answer("confirm", "found by discovery")
	report := r.end()
	ended(t, "Completed", report)
	due.switched(report.NewKid)
	// With its new key it is not due any more.
	if e := due.entries(due.discover(request))[due.target.ID]; e.Action != inventory.ActionNone || e.Kid != report.NewKid || *e.DaysLeft < 390 {
		t.Errorf("after the rotation the target is %+v", e)
	}
	later.unchanged()
	silent.unchanged()
}

func TestTheOperatorsGetADigestAndTheInventoryIsThere(t *testing.T) {
	parallel(t)
	s := app(t)
	before := time.Now()
	d := s.discover(policy{"policy": policyFor(policy{"mode": "notify"}, s)})
	run := d.ARN[strings.LastIndexByte(d.ARN, ':')+1:]
	var latest struct {
		Version int
		Run     inventory.Run
		Targets []inventory.Entry
	}
	if err := json.Unmarshal(s.object(inventory.LatestInventory), &latest); err != nil {
		t.Fatal(err)
	}
	if latest.Version != inventory.Format || latest.Run.Targets != len(latest.Targets) || latest.Run.StartedAt.Before(before.Add(-time.Second)) {
		t.Errorf("the inventory is version %d with %d targets of %+v", latest.Version, len(latest.Targets), latest.Run)
	}
	if !slices.ContainsFunc(latest.Targets, func(e inventory.Entry) bool { return e.Target.ID == s.target.ID && e.Target.Label == s.target.Label }) {
		t.Error("the target is not in the inventory")
	}
	if page := string(s.object(inventory.LatestReport)); !strings.Contains(page, "</html>") {
		t.Errorf("the report has %d bytes and no end", len(page))
	}
	mail := func() (found bool) {
		for _, m := range mails.all() {
			found = found || m.At.After(before) && slices.Equal(m.To, []string{playground.Operator}) && strings.Contains(m.Text, run)
		}
		return found
	}
	s.until("a digest for the operator that names the run", mail)
	s.until("an event about the run", func() bool {
		return slices.ContainsFunc(discoveries(t), func(e event) bool {
			return e.DetailType == "Keyturn Discovery Completed" && strings.Contains(string(e.Detail), run)
		})
	})
}

// discoveries are the events about discovery.
func discoveries(t *testing.T) (found []event) {
	t.Helper()
	for _, m := range lifecycle.all() {
		var e event
		if json.Unmarshal([]byte(m.Message), &e) == nil && strings.HasPrefix(e.DetailType, "Keyturn Discovery") {
			found = append(found, e)
		}
	}
	return found
}

func TestADryRunSaysWhatWouldHappenAndChangesNothing(t *testing.T) {
	parallel(t)
	s := app(t)
	d := s.discover(policy{"dryRun": true, "policy": policyFor(policy{"mode": "rotate"}, s)})
	if !d.DryRun || d.Started != 0 || d.Inventory != inventory.DryRunInventory || d.Report != inventory.DryRunReport {
		t.Errorf("the output is %+v", d.ReportInventoryOutput)
	}
	if e := s.entries(d)[s.target.ID]; e.Action != inventory.ActionStart || e.Rule != 0 || e.Rotation != nil {
		t.Errorf("the target is %+v", e)
	}
	for _, e := range s.executions() {
		if strings.HasPrefix(*e.Name, "app-"+s.target.ID+"-") {
			t.Errorf("the execution %s was started", *e.Name)
		}
	}
	s.unchanged()
	s.noNewKey()
}

func TestAnEventStartsADiscoveryWithTheDeployedPolicy(t *testing.T) {
	parallel(t)
	s := app(t)
	before := time.Now().Add(-time.Second)
	sample, err := os.ReadFile("../../events/discovery-requested.json")
	if err != nil {
		t.Fatal(err)
	}
	var e struct {
		Source     string          `json:"source"`
		DetailType string          `json:"detail-type"`
		Detail     json.RawMessage `json:"detail"`
	}
	if err := json.Unmarshal(sample, &e); err != nil {
		t.Fatal(err)
	}
	s.requests(e.Source, e.DetailType, e.Detail)
	d := s.waitForDiscovery(s.p, before, func(input string) bool {
		return input == `{"dryRun":true}` || strings.Contains(input, `"dryRun": true`)
	})
	if !d.DryRun || d.Status != sfntypes.ExecutionStatusSucceeded {
		t.Errorf("the discovery ended %s: %+v %s", d.Status, d.ReportInventoryOutput, d.Cause)
	}
	// The policy is the one in the repository, whose mode is the stack's.
	if e := s.entries(d)[s.target.ID]; e.Mode != rotation.ModeNotify || e.Action != inventory.ActionNotify || e.Rule != -1 {
		t.Errorf("the target is %+v", e)
	}
}

// waitForDiscovery finds an execution of discovery by its input, and waits for
// its end.
func (s *scene) waitForDiscovery(p *playground.Playground, after time.Time, is func(input string) bool) playground.Discovery {
	s.t.Helper()
	client := sfn.NewFromConfig(p.Cloud.Config())
	arn := ""
	s.until("a discovery", func() bool {
		list, err := client.ListExecutions(s.ctx, &sfn.ListExecutionsInput{StateMachineArn: aws.String(p.Outputs["DiscoveryStateMachineArn"])})
		if err != nil {
			s.t.Fatal(err)
		}
		for _, e := range list.Executions {
			out, err := client.DescribeExecution(s.ctx, &sfn.DescribeExecutionInput{ExecutionArn: e.ExecutionArn})
			if err != nil {
				s.t.Fatal(err)
			}
			if e.StartDate.After(after) && is(aws.ToString(out.Input)) {
				arn = *e.ExecutionArn
				return true
			}
		}
		return false
	})
	d, err := p.Discovered(s.ctx, arn)
	if err != nil {
		s.t.Fatal(err)
	}
	return d
}

// TestTheScheduleStartsDiscoveryAndItsInputCarriesThePolicy lets the schedule
// of the stack fire once the stack has its credential: deploying takes as long
// as it takes, so a time that is given to it may pass before that.
func TestTheScheduleStartsDiscoveryAndItsInputCarriesThePolicy(t *testing.T) {
	parallel(t)
	before := time.Now().Add(-time.Second)
	// An org of its own: a second stack answers the same request events, and
	// would work on the other tests' targets.
	org := oktasim.New(oktasim.Options{})
	server := httptest.NewServer(org)
	t.Cleanup(server.Close)
	org.SetBaseURL(server.URL)
	org.AddApp(oktasim.AppSpec{Label: "Salesforce – EMEA"})
	const given = "at(2099-12-31T06:00:00)"
	p := another(t, "scheduled", map[string]string{"ScheduleExpression": given, "OktaOrgUrl": server.URL})
	if err := p.PutSecret(t.Context(), "scheduled/okta", tokenSecret(t, org.APIToken())); err != nil {
		t.Fatal(err)
	}
	s := (&scene{t: t, p: p}).bounded()
	fire(s.ctx, t, p, given)
	deployed, err := os.ReadFile("../../policy/policy.json")
	if err != nil {
		t.Fatal(err)
	}
	d := s.waitForDiscovery(p, before, func(input string) bool {
		var request struct{ Policy json.RawMessage }
		return json.Unmarshal([]byte(input), &request) == nil && cmpJSON(t, string(request.Policy), withoutSchema(t, deployed))
	})
	if d.Status != sfntypes.ExecutionStatusSucceeded || d.DryRun || d.Targets == 0 {
		t.Errorf("the discovery ended %s: %+v %s", d.Status, d.ReportInventoryOutput, d.Cause)
	}
}

// fire has the one schedule with the given expression fire now, and nothing
// else of it changed.
func fire(ctx context.Context, t *testing.T, p *playground.Playground, given string) {
	t.Helper()
	client := scheduler.NewFromConfig(p.Cloud.Config())
	schedules, err := client.ListSchedules(ctx, &scheduler.ListSchedulesInput{})
	if err != nil {
		t.Fatal(err)
	}
	fired := 0
	for _, one := range schedules.Schedules {
		schedule, err := client.GetSchedule(ctx, &scheduler.GetScheduleInput{Name: one.Name, GroupName: one.GroupName})
		if err != nil {
			t.Fatal(err)
		}
		if aws.ToString(schedule.ScheduleExpression) != given {
			continue
		}
		fired++
		if _, err := client.UpdateSchedule(ctx, &scheduler.UpdateScheduleInput{
			Name: schedule.Name, GroupName: schedule.GroupName, Target: schedule.Target, State: schedule.State,
			FlexibleTimeWindow: schedule.FlexibleTimeWindow, ScheduleExpressionTimezone: schedule.ScheduleExpressionTimezone,
			ScheduleExpression: aws.String(time.Now().UTC().Add(time.Second).Format("at(2006-01-02T15:04:05)")),
		}); err != nil {
			t.Fatal(err)
		}
	}
	if fired != 1 {
		t.Fatalf("%d schedules with the expression %s", fired, given)
	}
}

func cmpJSON(t *testing.T, a, b string) bool {
	t.Helper()
	if a == "" {
		return false
	}
	x, _ := json.Marshal(decoded(t, a))
	y, _ := json.Marshal(decoded(t, b))
	return string(x) == string(y)
}

// TestTwoThousandDueTargetsFitIntoTheState has an org with as many, and starts
// three of them.
func TestTwoThousandDueTargetsFitIntoTheState(t *testing.T) {
	parallel(t)
	unlimited := oktasim.Limits{Apps: oktasim.Unlimited, App: oktasim.Unlimited, API: oktasim.Unlimited}
	org := oktasim.New(oktasim.Options{Limits: unlimited})
	server := httptest.NewServer(org)
	t.Cleanup(server.Close)
	org.SetBaseURL(server.URL)
	shared := oktasim.NewKey(oktasim.KeySpec{NotAfter: time.Now().AddDate(0, 0, 20)})
	for i := range 2000 {
		org.AddApp(oktasim.AppSpec{Label: fmt.Sprintf("App %04d", i), Key: shared})
	}
	p := another(t, "crowded", map[string]string{"OktaOrgUrl": server.URL})
	p.Org = org
	if err := p.PutSecret(t.Context(), "crowded/okta", tokenSecret(t, org.APIToken())); err != nil {
		t.Fatal(err)
	}
	s := (&scene{t: t, p: p}).bounded()
	d := s.discover(policy{"policy": policy{"mode": "rotate", "maxRotations": 3}})
	if d.Due != 2000 || d.Started != 3 || d.LargestState > 4<<10 || d.Events > 100 {
		t.Errorf("%d due, %d started, the largest state has %d bytes, the history %d events", d.Due, d.Started, d.LargestState, d.Events)
	}
}

// TestDiscoveryWaitsForItsShareAndGoesOn has an org with a free Integrator
// org's limits, 20 requests in a window, of which it takes ten; the window is
// shorter than a minute, because the function goes by the wall clock.
func TestDiscoveryWaitsForItsShareAndGoesOn(t *testing.T) {
	parallel(t)
	org := oktasim.New(oktasim.Options{Limits: oktasim.IntegratorFree(), Window: 3 * time.Second})
	server := httptest.NewServer(org)
	t.Cleanup(server.Close)
	org.SetBaseURL(server.URL)
	for i := range 25 {
		org.AddApp(oktasim.AppSpec{Label: fmt.Sprintf("App %02d", i)})
	}
	p := another(t, "limited", map[string]string{"OktaOrgUrl": server.URL})
	p.Org = org
	ca, _ := authority(t)
	for name, value := range map[string]string{"okta": tokenSecret(t, org.APIToken()), "ca": ca} {
		if err := p.PutSecret(t.Context(), "limited/"+name, value); err != nil {
			t.Fatal(err)
		}
	}
	s := (&scene{t: t, p: p}).bounded()
	d := s.discover(policy{})
	waits := strings.Count(strings.Join(d.States, " "), "WaitForQuota")
	if waits < 2 || d.Targets != 25 || !d.Complete || d.Problems != 0 {
		t.Errorf("it waited %d times: %v; %+v", waits, d.States, d.ReportInventoryOutput)
	}
	for _, c := range org.Calls() {
		if c.Status == 429 {
			t.Errorf("429 for %s", c.Path)
		}
	}
}

func TestADiscoveryThatFailsSaysWhy(t *testing.T) {
	parallel(t)
	s := (&scene{t: t, p: stack}).bounded()
	for name, c := range map[string]struct {
		input policy
		error string
		texts []string
	}{
		"an unknown field":             {policy{"dryrun!": true}, "Input.Invalid", []string{`unknown field "dryrun!"`, `{"policy": {…}, "dryRun": true}`}},
		"a policy that cannot be used": {policy{"policy": policy{"validityDays": 90}}, "Policy.Invalid", []string{"validityDays", "90"}},
		"a rule that never matches": {policy{"policy": policy{"rules": []any{policy{"match": policy{"kind": "app"}, "mode": "off"}, policy{"match": policy{"kind": "app", "label": "Salesforce*"}, "mode": "rotate"}}}},
			"Policy.Invalid", []string{"rules[1]", "rules[0]"}},
	} {
		t.Run(name, func(t *testing.T) {
			d, err := s.p.Discover(s.ctx, c.input)
			if err != nil {
				t.Fatal(err)
			}
			if d.Status != sfntypes.ExecutionStatusFailed || d.Error != c.error {
				t.Errorf("it ended %s: %s %s", d.Status, d.Error, d.Cause)
			}
			for _, text := range c.texts {
				var cause struct{ Error playground.Problem }
				if err := json.Unmarshal([]byte(d.Cause), &cause); err != nil || !strings.Contains(cause.Error.Message, text) || cause.Error.Step != "ListApps" {
					t.Errorf("the cause is %s, %v; it lacks %q", d.Cause, err, text)
				}
			}
			run := d.ARN[strings.LastIndexByte(d.ARN, ':')+1:]
			s.until("an event about the failure", func() bool {
				return slices.ContainsFunc(discoveries(t), func(e event) bool {
					return e.DetailType == "Keyturn Discovery Failed" && strings.Contains(string(e.Detail), run) && strings.Contains(string(e.Detail), c.error)
				})
			})
		})
	}
}

// withoutSchema is a policy without what editors need.
func withoutSchema(t *testing.T, policy []byte) string {
	t.Helper()
	plain, err := sjson.DeleteBytes(policy, "$schema")
	if err != nil {
		t.Fatal(err)
	}
	return string(plain)
}
