// Package definition executes the real definitions of the state machines, with
// tasks that stand in for the functions: what they do with faults and answers of
// every sort is held against a model of its own.
package definition

import (
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"keyturn/internal/rotation"
	"keyturn/test/asl"
)

// scenario is all that a rotation meets. It is plain data, so that one that
// fails can be made smaller.
type scenario struct {
	Kind          rotation.Kind
	Order         rotation.UploadOrder
	ConfirmSignIn bool
	Silence       rotation.SignInSilence
	CA            rotation.CertificateAuthority
	ReminderHours int
	GiveUpDays    int
	SignInHours   int
	// OldDays are left of the active certificate, in an org whose policy rotates
	// 45 days before.
	OldDays int
	// Unused are published keys that came after the active one: true for one of
	// our CA. The first one came last.
	Unused []bool
	// Switched tells that the active key is one of our CA, which a rotation has
	// made active already; OldDays are its own then.
	Switched bool
	// Previous tells that there is a key from before the active one.
	Previous bool
	// LeftCSR tells that a CSR of ours is pending.
	LeftCSR bool
	// Clone has the key come from another target, which has it after SourceAfter.
	Clone       bool
	SourceAfter time.Duration
	// NotYet is how often the CA has not signed when it is asked again.
	NotYet int

	// What people do about each message of a stage that is sent; nobody does
	// anything about those that follow.
	Certificate, Upload, Planned, SignIn []reaction

	Faults []fault
	// Edits is how often somebody edits the target before an attempt to switch.
	Edits int
	// OtherSwitch is before which attempt to switch, or to go back, somebody
	// else makes another key active, counted from 1; or inTheWait.
	OtherSwitch int

	Seed uint64
}

// reaction is what somebody does about a message.
type reaction struct {
	After time.Duration
	// Does is one of the answers below.
	Does string
	// Plan is the time from the answer to the switch.
	Plan time.Duration
}

const (
	confirms = "confirms"
	plans    = "plans"
	rejects  = "rejects"
	callsOff = "calls off"
	handsIn  = "hands in"
	// by hand, in Step Functions' console
	failsTask = "fails the task"
)

// fault is what goes wrong with some calls of a state's task.
type fault struct {
	State string
	// First and Times are the calls, counted over all of the state's, from 0.
	First, Times int
	// Name is the error's; empty for a call that does not return.
	Name string
	// Plain tells that the cause is text, as it is where Lambda knows of no
	// error of the function.
	Plain bool
	// Effect tells that the function has done its work before.
	Effect bool
}

func (s scenario) String() string {
	text, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// settings are the policy for the target.
func (s scenario) settings() rotation.Settings {
	p := rotation.DefaultSettings([]string{"ann@example.com"})
	p.UploadOrder, p.ConfirmSignIn, p.SignInSilence = s.Order, s.ConfirmSignIn, s.Silence
	p.CertificateAuthority, p.ReminderHours, p.GiveUpDays, p.SignInHours = s.CA, s.ReminderHours, s.GiveUpDays, s.SignInHours
	p.EscalateTo = []string{"lead@example.com"}
	return p
}

// inTheWait is while a rotation waits after the switch.
const inTheWait = -1

// plain is a rotation in which nothing is out of the ordinary: in the order
// before-switch, confirmed within an hour.
func plain() scenario {
	return scenario{
		Kind: rotation.KindApp, Order: rotation.BeforeSwitch, Silence: rotation.KeepOnSilence, CA: rotation.AuthorityLocal,
		ReminderHours: 72, GiveUpDays: 30, SignInHours: 24, OldDays: 40, Previous: true,
		Upload: []reaction{{After: time.Hour, Does: confirms}},
	}
}

// with is a scenario with changes.
func (s scenario) with(change func(*scenario)) scenario {
	change(&s)
	return s
}

var functions = map[string]string{
	"InspectTarget": "inspect-target", "GenerateCsr": "generate-csr", "SignCsr": "sign-csr", "PublishCsr": "publish-csr",
	"CloneCertificate": "clone-certificate", "UpdateKeyCredential": "update-key-credential", "VerifyKey": "verify-key", "ReadActiveKey": "verify-key",
	"RevokeCsr": "revoke-csr", "RequestUpload": "request-upload",
	"ListApps": "list-apps", "StartRotations": "start-rotations", "ReportInventory": "report-inventory",
}

// machine reads a real definition.
func machine(t testing.TB, name string) *asl.Machine {
	t.Helper()
	text, err := os.ReadFile("../../statemachine/" + name + ".asl.json")
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]string{"Partition": "aws"}
	for placeholder, function := range functions {
		values[placeholder+"Function"] = function
	}
	m, err := asl.Parse(text, values)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// sample collects evaluations of expressions for the second interpreter: the
// first ones of each expression, and fewer and fewer of the rest.
type sample struct {
	mu   sync.Mutex
	seen map[string]int
	kept map[string]evaluation
}

// evaluation is one of them. Result is absent where the expression gave no
// value; Failed tells that it failed.
type evaluation struct {
	Expression string          `json:"expression"`
	Variables  json.RawMessage `json:"variables"`
	Result     json.RawMessage `json:"result,omitempty"`
	Failed     bool            `json:"failed"`
}

const (
	firstOfEach     = 16
	mostEvaluations = 2000
)

func (s *sample) take(expression string, variables map[string]any, result any, defined bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seen == nil {
		s.seen, s.kept = map[string]int{}, map[string]evaluation{}
	}
	n := s.seen[expression]
	s.seen[expression]++
	if n >= firstOfEach && n&(n-1) != 0 || len(s.kept) >= mostEvaluations {
		return
	}
	e := evaluation{Expression: expression, Variables: encode(variables), Failed: err != nil}
	if defined {
		e.Result = encode(result)
	}
	s.kept[expression+string(e.Variables)] = e
}

func encode(v any) json.RawMessage {
	text, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("%v in %v", err, v))
	}
	return text
}
