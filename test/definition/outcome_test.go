package definition

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"keyturn/internal/rotation"
	"keyturn/test/asl"
)

// visit is one stay in a state, as the history tells it.
type visit struct {
	state  string
	at     time.Time
	output json.RawMessage // of the task
	// failed is the error of the last attempt; empty where it succeeded.
	failed string
	// failures are those of all attempts.
	failures []string
	// limit are the seconds of the last attempt.
	limit int64
}

// outcome is a rotation that has ended.
type outcome struct {
	*world
	result asl.Result
	visits []visit
	report report
	ended  time.Time
}

// report is what everybody gets to know (README, "The report").
type report struct {
	Result        string             `json:"result"`
	Target        *rotation.Target   `json:"target"`
	OldKid        *string            `json:"oldKid"`
	NewKid        *string            `json:"newKid"`
	NotAfter      *time.Time         `json:"notAfter"`
	UploadOrder   *string            `json:"uploadOrder"`
	Signing       *rotation.Decision `json:"signing"`
	Decision      *rotation.Decision `json:"decision"`
	CalledOff     *rotation.Decision `json:"calledOff"`
	SignIn        *rotation.Decision `json:"signIn"`
	Error         *problem           `json:"error"`
	RollbackError *problem           `json:"rollbackError"`
	RevokedCSRs   []string           `json:"revokedCsrs"`
	PendingCSR    *string            `json:"pendingCsr"`
	LeftBehind    *struct {
		Kid      string    `json:"kid"`
		NotAfter time.Time `json:"notAfter"`
	} `json:"leftBehind"`
	SharedWith []rotation.Target `json:"sharedWith"`
	Resumed    bool              `json:"resumed"`
	Execution  string            `json:"execution"`
}

type problem struct {
	Step    string `json:"step"`
	Name    string `json:"name"`
	Message string `json:"message"`
}

// run executes a scenario to its end.
func (s scenario) run(t *testing.T, m *asl.Machine, coverage *asl.Coverage, samples *sample) *outcome {
	t.Helper()
	var o *outcome
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(123456789) // no execution begins at a full second
		over, cancel := context.WithCancel(t.Context())
		w := newWorld(s)
		w.over = over
		w.runner = &asl.Runner{Tasks: w.tasks, Coverage: coverage, Rand: rand.New(rand.NewPCG(s.Seed, 0)), Evaluated: samples.take}
		input := encode(rotation.InspectTargetInput{Target: w.target().Bare(), CloneFrom: w.source()})
		name := executionARN[strings.LastIndexByte(executionARN, ':')+1:]
		e := w.runner.Start(t.Context(), m, asl.Start{MachineARN: machineARN, Name: name, Input: input})
		<-e.Done()
		o = &outcome{world: w, result: e.Result(), ended: time.Now(), visits: visits(e.History())}
		cancel()
		w.people.Wait()
	})
	return o
}

// visits reads a history.
func visits(history []types.HistoryEvent) []visit {
	var all []visit
	for _, h := range history {
		if h.StateEnteredEventDetails != nil {
			all = append(all, visit{state: aws.ToString(h.StateEnteredEventDetails.Name), at: aws.ToTime(h.Timestamp)})
			continue
		}
		if len(all) == 0 {
			continue
		}
		last := &all[len(all)-1]
		switch {
		case h.TaskScheduledEventDetails != nil:
			last.limit = aws.ToInt64(h.TaskScheduledEventDetails.TimeoutInSeconds)
		case h.TaskSucceededEventDetails != nil:
			last.output, last.failed = json.RawMessage(aws.ToString(h.TaskSucceededEventDetails.Output)), ""
		case h.TaskFailedEventDetails != nil:
			last.failed = aws.ToString(h.TaskFailedEventDetails.Error)
			last.failures = append(last.failures, last.failed)
		case h.TaskTimedOutEventDetails != nil:
			last.failed = "States.Timeout"
			last.failures = append(last.failures, last.failed)
		case h.EvaluationFailedEventDetails != nil:
			last.failed = aws.ToString(h.EvaluationFailedEventDetails.Error)
		}
	}
	return all
}

// check holds the outcome against everything that a rotation promises.
func (o *outcome) check(drawn *diagram) []string {
	for _, one := range []func(*outcome){
		(*outcome).checkEnd, (*outcome).checkResult, (*outcome).checkOrg, (*outcome).checkKey, (*outcome).checkOrder, (*outcome).checkRestore,
		(*outcome).checkRetries, (*outcome).checkCSRs, (*outcome).checkReport, (*outcome).checkMessages, (*outcome).checkTransitions,
	} {
		one(o)
	}
	return append(o.wrong, drawn.follow(o.visits)...)
}

func (o *outcome) visited(state string) bool {
	return slices.ContainsFunc(o.visits, func(v visit) bool { return v.state == state })
}

// succeeded tells whether a state's task has succeeded, in its last visit.
func (o *outcome) succeeded(state string) bool {
	for _, v := range slices.Backward(o.visits) {
		if v.state == state {
			return v.failed == ""
		}
	}
	return false
}

// checkEnd: every rotation ends in one of four states and says so, once, with
// one and the same report as its event, and its output or cause.
func (o *outcome) checkEnd() {
	end := o.visits[len(o.visits)-1].state
	text := string(o.result.Output)
	want := asl.StatusSucceeded
	if end == "RolledBack" || end == "Failed" {
		text, want = o.result.Cause, asl.StatusFailed
	}
	if o.result.Status != want || want == asl.StatusFailed && o.result.Error != end {
		o.mistake("it ended in %s: %s %s %s", end, o.result.Status, o.result.Error, o.result.Cause)
		return
	}
	if err := strict([]byte(text), &o.report); err != nil {
		o.mistake("the report: %v in %s", err, text)
	}
	for _, name := range leftOut("", decoded([]byte(text)), decoded(encode(o.report))) {
		o.mistake("the report has no %s", name)
	}
	if o.report.Result != end {
		o.mistake("the result is %s in the state %s", o.report.Result, end)
	}
	if tail := o.visits[max(0, len(o.visits)-4):]; tail[0].state != "Report" || tail[1].state != "AnnounceEnd" || tail[2].state != "Outcome" {
		o.mistake("the end is %v", tail)
	}
	kind := "Keyturn Rotation " + map[string]string{"Completed": "Completed", "GaveUp": "Gave Up", "RolledBack": "Rolled Back", "Failed": "Failed"}[end]
	told := 0
	for _, e := range o.events {
		if e.kind == "Keyturn Rotation Started" || e.kind == "Keyturn Key Switched" {
			o.checkEvent(e)
			continue
		}
		told++
		var in, out any
		if e.kind != kind || json.Unmarshal(e.detail, &in) != nil || json.Unmarshal([]byte(text), &out) != nil || string(encode(in)) != string(encode(out)) {
			o.mistake("the event %s says %s, the execution %s", e.kind, e.detail, text)
		}
	}
	if told == 0 {
		o.mistake("nobody was told of the end")
	}
}

// checkEvent: the events on the way name the right keys.
func (o *outcome) checkEvent(e event) {
	var d struct {
		Target      rotation.Target      `json:"target"`
		OldKid      string               `json:"oldKid"`
		OldNotAfter *time.Time           `json:"oldNotAfter,omitempty"`
		NewKid      string               `json:"newKid,omitempty"`
		NotAfter    *time.Time           `json:"notAfter,omitempty"`
		UploadOrder rotation.UploadOrder `json:"uploadOrder"`
		SharedWith  *[]rotation.Target   `json:"sharedWith,omitempty"`
		Decision    *rotation.Decision   `json:"decision,omitempty"`
		Execution   string               `json:"execution"`
	}
	err := strict(e.detail, &d)
	old, newest := o.find(d.OldKid), o.find(d.NewKid)
	switch {
	case err != nil || d.Target != o.target() || d.UploadOrder != o.s.Order || d.Execution != executionARN:
		o.mistake("the event %s says %s (%v)", e.kind, e.detail, err)
	case e.kind == "Keyturn Rotation Started" && (d.OldKid != "old00000" || d.OldNotAfter == nil || !d.OldNotAfter.Equal(old.NotAfter) || d.SharedWith == nil):
		o.mistake("the event %s says %s", e.kind, e.detail)
	case e.kind == "Keyturn Key Switched" && (d.OldKid != o.old() || o.report.NewKid == nil || d.NewKid != *o.report.NewKid ||
		d.NotAfter == nil || !d.NotAfter.Equal(newest.NotAfter) || o.s.Order == rotation.BeforeSwitch && d.Decision == nil):
		o.mistake("the event %s says %s", e.kind, e.detail)
	}
}

// expectation is what docs/architecture.md says of a rotation ("The result is
// Completed unless something says otherwise").
type expectation struct {
	result          string
	restore, revoke bool
	resumed         bool
	// step and failure are the report's error.
	step, failure string
}

// expected goes through what happened.
func (o *outcome) expected() expectation {
	e := expectation{result: "Completed"}
	switched, edits := false, 0
	fail := func(v visit, result string) {
		e.result, e.step, e.failure = result, v.state, v.failed
	}
	for i, v := range o.visits {
		again := slices.ContainsFunc(o.visits[i+1:], func(later visit) bool { return later.state == v.state })
		switch v.state {
		case "RecognizeKey":
			var out struct{ Payload rotation.SignCSROutput }
			_ = json.Unmarshal(v.output, &out)
			e.resumed = v.failed == "" && out.Payload.ActiveIsOurs
			switched = e.resumed
		case "NoKeyToClone":
			e.result, e.step, e.failure = "Failed", "AwaitKey", "Key.NotShared"
		case "VerifyKey":
			switched = true
		}
		if v.failed == "" {
			continue
		}
		switch v.state {
		case "InspectTarget", "InspectAgain", "CloneCertificate", "ReadAgain":
			fail(v, "Failed")
		case "RecognizeKey":
			fail(v, "Failed")
		case "GenerateCsr", "PublishCsr":
			fail(v, "Failed")
			e.revoke = true
		case "SignCsr", "CollectCertificate":
			fail(v, "Failed")
			e.revoke = !strings.HasPrefix(v.failed, "Certificate.")
		case "RequestCertificate":
			switch {
			case v.failed == "States.Timeout" && again:
			case v.failed == "States.Timeout":
				fail(v, "GaveUp")
			case v.failed == "Approval.Rejected":
				fail(v, "GaveUp")
				e.revoke = true
			default:
				fail(v, "Failed")
				e.revoke = !strings.HasPrefix(v.failed, "Certificate.")
			}
		case "RequestUpload":
			switch {
			case v.failed == "States.Timeout" && again:
			case e.resumed && v.failed == "States.Timeout":
				fail(v, "GaveUp")
			case e.resumed && v.failed != "Approval.Rejected":
				fail(v, "Failed")
			case switched:
				fail(v, "RolledBack")
				e.restore = true
			case v.failed == "States.Timeout" || v.failed == "Approval.Rejected":
				fail(v, "GaveUp")
			default:
				fail(v, "Failed")
			}
		case "UpdateKeyCredential":
			switch v.failed {
			case "Target.Edited":
				if edits++; edits > 3 {
					fail(v, "Failed")
				}
			case "Target.Changed":
				fail(v, "Failed")
			case "Target.Drifted":
				fail(v, "Failed")
				e.restore = true
			default:
				fail(v, "RolledBack")
				e.restore = true
			}
		case "VerifyKey":
			fail(v, "RolledBack")
			e.restore = true
		case "ReadActiveKey":
			if v.failed == "Target.Changed" || v.failed == "Okta.NotFound" {
				e.result = "Failed"
			}
			e.step, e.failure = v.state, v.failed
		case "ConfirmSignIn":
			switch {
			case v.failed == "Approval.Rejected" || o.s.Silence == rotation.RollBackOnSilence && !e.resumed:
				fail(v, "RolledBack")
				e.restore = true
			default:
				e.step, e.failure = v.state, v.failed
			}
		case "RestoreKeyCredential", "VerifyOldKey":
			e.result = "Failed"
		}
	}
	return e
}

func (o *outcome) checkResult() {
	e := o.expected()
	if o.report.Result != e.result {
		o.mistake("the result is %s, not %s", o.report.Result, e.result)
	}
	if o.report.Resumed != e.resumed {
		o.mistake("resumed is %t", o.report.Resumed)
	}
	// A rejection is no error.
	var want *problem
	if e.step != "" && e.failure != "Approval.Rejected" {
		want = &problem{Step: e.step, Name: e.failure}
	}
	if got := o.report.Error; (got == nil) != (want == nil) || got != nil && (got.Step != want.Step || got.Name != want.Name) {
		o.mistake("the error is %v, not %v", got, want)
	}
	if got := o.report.Error; got != nil && got.Message == "" && got.Name != "States.Timeout" {
		o.mistake("the error %s of %s has no message", got.Name, got.Step)
	}
	back := ""
	for _, v := range o.visits {
		if slices.Contains([]string{"RestoreKeyCredential", "VerifyOldKey", "RevokeCsr"}, v.state) && v.failed != "" {
			back = v.state + " " + v.failed
		}
	}
	got := ""
	if p := o.report.RollbackError; p != nil {
		got = p.Step + " " + p.Name
	}
	if got != back {
		o.mistake("the rollbackError is %q, not %q", got, back)
	}
}

// first is the key that was active when the rotation began to work with it.
func (o *outcome) first() string {
	kid := ""
	for _, v := range o.visits {
		if v.failed == "" && (v.state == "InspectTarget" || v.state == "InspectAgain") {
			var out struct {
				Payload rotation.InspectTargetOutput
			}
			_ = json.Unmarshal(v.output, &out)
			kid = out.Payload.ActiveKey.Kid
		}
	}
	return kid
}

// old is the key to go back to.
func (o *outcome) old() string {
	if o.expected().resumed {
		if !o.s.Previous {
			return ""
		}
		return "before00"
	}
	return o.first()
}

// checkOrg: the result fits what the org has now.
func (o *outcome) checkOrg() {
	r := o.report
	if o.others {
		// What is active now is somebody else's doing, and nothing to claim.
		if r.Result == "Completed" {
			o.mistake("completed, and somebody else's key is active, %s", o.active)
		}
		return
	}
	kid := func(p *string) string {
		if p == nil {
			return ""
		}
		return *p
	}
	first := o.first()
	if first == "" {
		first = "old00000"
	}
	switch {
	case r.Result == "Completed" && o.active != kid(r.NewKid):
		o.mistake("completed, and %s is active, not %s", o.active, kid(r.NewKid))
	case r.Result == "GaveUp" && o.active != first:
		o.mistake("gave up, and %s is active, not %s", o.active, first)
	case r.Result == "RolledBack" && (o.active != o.old() || o.active != kid(r.OldKid)):
		o.mistake("rolled back, and %s is active, not %s", o.active, o.old())
	case r.Result == "Failed" && o.expected().step == "ReadActiveKey":
		// The target is gone, or another key is active: so it was told.
	case r.Result == "Failed" && r.RollbackError == nil && o.active != first && o.active != o.old():
		o.mistake("failed, nothing is said of the way back, and %s is active", o.active)
	}
	if e := o.expected(); e.resumed && !e.restore && o.active != first {
		o.mistake("%s was active before and should have stayed", first)
	}
	if r.Result == "Completed" && !r.Resumed && !o.succeeded("VerifyKey") {
		o.mistake("completed without a look at the metadata")
	}
	if l := r.LeftBehind; l != nil && l.Kid == o.active && o.expected().failure != "Target.Changed" {
		o.mistake("the active key %s is reported as left behind", l.Kid)
	}
	for _, k := range o.keys {
		made := strings.HasPrefix(k.Kid, "new-") || k.Kid == "shared00"
		if made && k.Kid != o.active && r.RollbackError == nil && (r.LeftBehind == nil || r.LeftBehind.Kid != k.Kid) && !o.lostClone(k.Kid) {
			o.mistake("the key %s was made and is not in use, and nobody is told", k.Kid)
		}
	}
}

// lostClone tells that cloning failed: whether the key is there is not known.
func (o *outcome) lostClone(kid string) bool {
	return kid == "shared00" && !o.succeeded("CloneCertificate")
}

// checkKey: what an earlier rotation has left is used, and no other key.
func (o *outcome) checkKey() {
	if !o.visited("UpdateKeyCredential") && !o.visited("RequestUpload") || o.expected().resumed || o.report.NewKid == nil {
		return
	}
	var want string
	switch i := slices.Index(o.s.Unused, true); {
	case i >= 0:
		want = fmt.Sprintf("unused%02d", i)
	case o.s.Clone:
		want = "shared00"
	case o.s.LeftCSR:
		want = "new-csr-left"
	default:
		want = "new-csr-1"
	}
	if got := *o.report.NewKid; got != want {
		o.mistake("the new key is %s, not %s", got, want)
	}
}

// checkOrder: in the order before-switch, nothing is switched that is not
// confirmed, and nothing before its time.
func (o *outcome) checkOrder() {
	for _, a := range o.acts {
		in, ok := a.input.(rotation.UpdateKeyCredentialInput)
		if !ok || in.Back {
			continue
		}
		if o.expected().resumed {
			o.mistake("a rotation that found the switch made switches again")
		}
		if o.s.Order == rotation.AfterSwitch {
			continue
		}
		var stands *rotation.Decision
		for _, answer := range o.answers[:a.answers] {
			switch {
			case answer.stage == rotation.StageUpload && answer.decision.Confirmed:
				stands = &answer.decision
			case answer.does == callsOff:
				stands = nil
			}
		}
		switch {
		case stands == nil:
			o.mistake("switched at %v without a confirmation", a.at)
		case stands.SwitchAt != nil && a.at.Before(*stands.SwitchAt):
			o.mistake("switched at %v, planned for %v", a.at, *stands.SwitchAt)
		}
	}
	if asked, due := o.messages[rotation.StageSignIn] > 0, o.s.ConfirmSignIn; asked && !due {
		o.mistake("sign-in was asked about, which the policy does not say")
	}
	if o.s.ConfirmSignIn && o.report.Result == "Completed" && !o.visited("ConfirmSignIn") && o.old() != "" {
		o.mistake("nobody was asked whether sign-in works")
	}
	if o.succeeded("VerifyKey") && o.visited("VerifyKey") != o.visited("AnnounceSwitch") {
		o.mistake("nobody was told of the switch")
	}
}

// checkRestore: the way back is taken exactly when it is due, to the old key.
func (o *outcome) checkRestore() {
	if got, want := o.visited("RestoreKeyCredential"), o.expected().restore; got != want {
		o.mistake("the way back: %t, want %t", got, want)
	}
	for _, a := range o.acts {
		if in, ok := a.input.(rotation.UpdateKeyCredentialInput); ok && in.Back && in.Insist != (o.expected().failure == "Key.NotInUse") {
			o.mistake("the way back after %q insists: %t", o.expected().failure, in.Insist)
		}
		if in, ok := a.input.(rotation.UpdateKeyCredentialInput); ok && in.Back && (in.ToKid != o.old() || in.FromKid == in.ToKid) {
			o.mistake("the way back leads from %s to %s, not to %s", in.FromKid, in.ToKid, o.old())
		}
	}
	if o.succeeded("RestoreKeyCredential") && o.visited("RestoreKeyCredential") && !o.visited("VerifyOldKey") {
		o.mistake("nobody looked whether the old key is in use again")
	}
}

// retries is how often an error of a state is tried again (docs/architecture.md,
// "Errors and retries"). Errors of the same class are counted together.
func retries(state, name string) (class string, most int) {
	lambda := strings.HasPrefix(name, "Lambda.") || slices.Contains([]string{"Sandbox.Timedout", "Runtime.ExitError", "Keyturn.Bug", "States.Timeout"}, name)
	asks := slices.Contains([]string{"RequestCertificate", "RequestUpload", "AwaitSwitchTime", "ConfirmSignIn"}, state)
	back := state == "RestoreKeyCredential" || state == "VerifyOldKey"
	switch {
	case state == "AnnounceEnd":
		return "event", 12
	case strings.HasPrefix(state, "Announce"):
		return "event", 4
	case name == "Key.NotInUse" && (back || state == "VerifyKey" || state == "UpdateKeyCredential"):
		return "key", 4
	case back && slices.Contains([]string{"Target.Changed", "Target.Drifted", "Target.Invalid", "Input.Invalid", "Okta.NotFound"}, name):
		return "", 0
	case back:
		return "any", 40
	case name == "CA.Pending" && state == "CollectCertificate":
		return "pending", 24
	case name == "Okta.RateLimited":
		return "rate", 8
	case slices.Contains([]string{"Okta.Unavailable", "Secret.Unavailable", "CA.Unavailable", "Notify.Unavailable"}, name):
		if slices.Contains([]string{"VerifyKey", "UpdateKeyCredential", "ReadActiveKey"}, state) {
			return "unavailable", 20
		}
		return "unavailable", 6
	case lambda && (!asks || name != "States.Timeout"):
		return "lambda", 5
	}
	return "", 0
}

// checkRetries: what may pass is tried again, as often as is documented, and
// nothing else is.
func (o *outcome) checkRetries() { o.wrong = append(o.wrong, checkRetries(o.visits, retries)...) }

func checkRetries(visits []visit, retries func(state, name string) (string, int)) []string {
	var wrong []string
	for _, v := range visits {
		used := map[string]int{}
		for i, name := range v.failures {
			class, most := retries(v.state, name)
			last := i == len(v.failures)-1 && v.failed != ""
			if again := used[class] < most; again == last {
				wrong = append(wrong, fmt.Sprintf("%s: after %v, another try: %t, and it may be repeated %d times", v.state, v.failures[:i+1], !last, most))
			}
			used[class]++
		}
	}
	return wrong
}

// checkCSRs: a CSR of ours is taken back exactly when another try has no use
// for it, and the report says what is left.
func (o *outcome) checkCSRs() {
	if got, want := o.visited("RevokeCsr"), o.expected().revoke; got != want {
		o.mistake("revoke-csr: %t, want %t", got, want)
	}
	if o.visited("RevokeCsr") && o.succeeded("RevokeCsr") && len(o.pending) > 0 && o.visited("GenerateCsr") {
		o.mistake("%v are left in spite of revoke-csr", o.pending)
	}
	var pending string
	if len(o.pending) > 0 {
		pending = o.pending[0].ID
	}
	said := ""
	if o.report.PendingCSR != nil {
		said = *o.report.PendingCSR
	}
	// A rotation that never came to a CSR does not know of one; nor one whose
	// answers were lost.
	if said != pending && (said != "" || o.succeeded("GenerateCsr")) && o.report.RollbackError == nil {
		o.mistake("the pending CSR is %q, and %q in the report", pending, said)
	}
}

// checkReport: who decided what, is in the report.
func (o *outcome) checkReport() {
	last := map[rotation.Stage]*rotation.Decision{}
	var calledOff *rotation.Decision
	for _, a := range o.answers {
		d := a.decision
		d.Certificate = ""
		switch {
		case a.does == callsOff:
			calledOff, last[rotation.StageUpload] = &d, nil
		case a.does != failsTask:
			last[a.stage] = &d
		}
	}
	for _, one := range []struct {
		name      string
		got, want *rotation.Decision
	}{
		{"signing", o.report.Signing, last[rotation.StageCertificate]},
		{"decision", o.report.Decision, last[rotation.StageUpload]},
		{"signIn", o.report.SignIn, last[rotation.StageSignIn]},
		{"calledOff", o.report.CalledOff, calledOff},
	} {
		if string(encode(one.got)) != string(encode(one.want)) {
			o.mistake("%s is %s, not %s", one.name, encode(one.got), encode(one.want))
		}
	}
	inspected := o.visits[0].failed == ""
	if old := o.old(); (o.report.OldKid != nil) != (inspected && old != "") || o.report.OldKid != nil && *o.report.OldKid != old {
		o.mistake("the old kid is %v, not %q", encode(o.report.OldKid), old)
	}
	if kid := o.report.NewKid; kid != nil && (o.find(*kid) == nil || o.report.NotAfter == nil || !o.report.NotAfter.Equal(o.find(*kid).NotAfter)) {
		o.mistake("the new key is %s until %v", *kid, o.report.NotAfter)
	}
	if o.report.Execution != executionARN {
		o.mistake("the execution is %s", o.report.Execution)
	}
	if o.report.Target == nil || o.report.Target.ID != "0oa1" {
		o.mistake("the target is %v", o.report.Target)
	}
}

// checkMessages: reminders and escalations go out as planned, and the rotation
// gives up when it said it would.
func (o *outcome) checkMessages() {
	var asks []rotation.Ask
	var answerBy, inspected time.Time
	rounds := map[rotation.Stage]int{rotation.StageUpload: -1, rotation.StageCertificate: -1}
	for i, v := range o.visits {
		switch v.state {
		case "InspectTarget", "InspectAgain":
			if v.failed == "" {
				var out struct {
					Payload rotation.InspectTargetOutput
				}
				_ = json.Unmarshal(v.output, &out)
				asks, answerBy, inspected = out.Payload.Asks, out.Payload.AnswerBy, v.at
			}
		case "AwaitSwitchTime":
			rounds[rotation.StageUpload] = -1
		case "RequestUpload", "RequestCertificate":
			if v.failed != "States.Timeout" || len(o.s.Faults) > 0 {
				continue
			}
			// Nothing has failed: the wait ended by itself, at the time of one of
			// the messages; what came before cannot have taken more than the
			// minute that a wait has at least.
			end := v.at.Add(time.Duration(v.limit) * time.Second)
			late := slices.ContainsFunc(asks, func(a rotation.Ask) bool {
				over := end.Sub(inspected.Add(time.Duration(a.Until) * time.Second))
				return over >= 0 && over <= time.Minute+o.slack()
			})
			if !late {
				o.mistake("%s waited from %v to %v, which no message says: %v", v.state, v.at, end, asks)
			}
			if over := o.visits[i+2:]; len(over) > 0 && (over[0].state == "Report" || over[0].state == "NotConfirmed" || over[0].state == "NotSigned") &&
				(end.Before(answerBy) || end.After(answerBy.Add(time.Minute+o.slack()))) {
				o.mistake("gave up at %v, and said %v", end, answerBy)
			}
		}
	}
	o.checkRequests(asks)
	for _, a := range o.acts {
		in, ok := a.input.(rotation.RequestUploadInput)
		if !ok || in.Stage != rotation.StageUpload && in.Stage != rotation.StageCertificate {
			continue
		}
		if !in.AnswerBy.Equal(answerBy) {
			o.mistake("%s: answerBy is %v, not %v", a.state, in.AnswerBy, answerBy)
		}
		if in.Stage == rotation.StageUpload && in.Round < 0 || in.Round >= len(asks) {
			o.mistake("%s: the round is %d of %d", a.state, in.Round, len(asks))
		}
	}
}

// checkRequests: what the messages say of the keys, of what led to them, and of
// who else is to hear of it.
func (o *outcome) checkRequests(asks []rotation.Ask) {
	calledOff, resumed := false, o.expected().resumed
	for _, a := range o.acts {
		in, ok := a.input.(rotation.RequestUploadInput)
		if !ok {
			continue
		}
		before := slices.DeleteFunc(slices.Clone(o.answers[:a.answers]), func(one answered) bool { return one.does == failsTask || one.does == rejects })
		var led *rotation.Decision
		if n := len(before); n > 0 && before[n-1].stage != rotation.StageCertificate {
			led = &before[n-1].decision
		}
		wantKey := o.old()
		if in.OldKey.Kid != wantKey || in.Chain != chain || in.Cloned != (o.s.Clone && in.Stage != rotation.StageCertificate) || in.Resumed != resumed {
			o.mistake("%s: the old key is %s, cloned %t, resumed %t, chain %q", a.state, in.OldKey.Kid, in.Cloned, in.Resumed, in.Chain)
		}
		// A plan that was called off is told of in the first message after it; a
		// retry repeats that.
		if in.Stage == rotation.StageUpload && in.Decision == nil && led != nil && led.CalledOff && !slices.ContainsFunc(o.acts, func(b act) bool {
			earlier, ok := b.input.(rotation.RequestUploadInput)
			return ok && earlier.Decision != nil && earlier.Decision.CalledOff && b.at.Before(a.at) && !b.at.Before(before[len(before)-1].at)
		}) {
			o.mistake("%s: nobody is told that the plan was called off", a.state)
		}
		if in.Decision != nil && (led == nil || string(encode(in.Decision)) != string(encode(led))) {
			o.mistake("%s: the decision is %s, not %s", a.state, encode(in.Decision), encode(led))
		}
		if in.Decision == nil && led != nil && in.Stage != rotation.StageUpload {
			o.mistake("%s: the decision is missing: %s", a.state, encode(led))
		}
		calledOff = calledOff || led != nil && led.CalledOff
		if (in.Stage == rotation.StageUpload && o.s.CA != rotation.AuthorityManual || in.Stage == rotation.StageCertificate) && !calledOff && in.Round < len(asks) && in.Escalate != asks[in.Round].Escalate {
			o.mistake("%s: escalate is %t in round %d of %v", a.state, in.Escalate, in.Round, asks)
		}
	}
}

// slack is what a CA that takes its time adds to the waits.
func (o *outcome) slack() time.Duration {
	if o.s.CA == rotation.AuthorityACMPCA {
		return 5*time.Second + time.Duration(o.s.NotYet)*15*time.Minute
	}
	return 0
}

// checkTransitions: what is billed stays within the budget (shared design,
// "Budgets") where nothing fails and the first answers come in time.
func (o *outcome) checkTransitions() {
	if len(o.s.Faults) > 0 || o.s.Edits > 0 || o.s.OtherSwitch > 0 || o.s.Clone || o.s.NotYet > 0 || o.report.Result != "Completed" {
		return
	}
	budget := 18
	for _, v := range o.visits {
		switch v.state {
		case "NextMessage", "NextCertificateMessage":
			budget += 2
		case "AwaitSwitchTime":
			budget++
			if v.failed != "States.Timeout" {
				budget += 2 // called off, or nobody can do that
			}
		case "ConfirmSignIn", "ReadActiveKey":
			budget++
		case "SignInSilence":
			budget++
		case "CollectCertificate", "RecognizeKey":
			budget += 2
		}
	}
	if o.result.Transitions > budget {
		o.mistake("%d transitions are billed, more than %d", o.result.Transitions, budget)
	}
}

func (o *outcome) String() string {
	var b strings.Builder
	for _, v := range o.visits {
		fmt.Fprintf(&b, "  %s %s %s\n", v.at.Format(time.DateTime), v.state, v.failed)
	}
	fmt.Fprintf(&b, "  %s %s %s%s\n  active: %s, pending: %v", o.result.Status, o.result.Error, o.result.Output, o.result.Cause, o.active, o.pending)
	return b.String()
}
