package definition

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"keyturn/internal/rotation"
	"keyturn/test/asl"
)

const (
	executionARN = "arn:aws:states:eu-west-1:123456789012:execution:keyturn-rotation:app-0oa1-old00000-20000101"
	machineARN   = "arn:aws:states:eu-west-1:123456789012:stateMachine:keyturn-rotation"
	ours         = "CN=Example CA"
	foreign      = "CN=Somebody Else"
)

// world is the target with its keys, the CA and the people, and keeps what was
// done to them.
type world struct {
	s      scenario
	runner *asl.Runner
	people sync.WaitGroup
	over   context.Context

	mu      sync.Mutex
	start   time.Time
	active  string
	keys    []rotation.Key // the newest first
	pending []rotation.CSR
	from    map[string]string // the kid that came of a CSR, by its id
	edits   int
	made    int
	notYet  int

	calls    map[string]int // by state
	attempts int            // to switch or go back
	messages map[rotation.Stage]int
	others   bool // somebody else has switched
	acts     []act
	events   []event
	answers  []answered
	wrong    []string
}

// act is one call of a function and how it ended.
type act struct {
	state  string
	at     time.Time
	input  any
	effect bool
	failed string
	// answers is how many there were before.
	answers int
}

type event struct {
	kind   string
	detail json.RawMessage
	put    bool
}

// answered is an answer that Step Functions took.
type answered struct {
	stage    rotation.Stage
	does     string
	decision rotation.Decision
	at       time.Time
}

func newWorld(s scenario) *world {
	w := &world{s: s, start: time.Now().UTC(), from: map[string]string{}, calls: map[string]int{}, messages: map[rotation.Stage]int{}}
	issuer := foreign
	if s.Switched {
		issuer = ours
	}
	active := w.key("old00000", issuer, -300*rotation.Day, s.OldDays)
	w.active, w.keys = active.Kid, []rotation.Key{active}
	if s.Previous {
		w.keys = append(w.keys, w.key("before00", foreign, -700*rotation.Day, 20))
	}
	for i, own := range slices.Backward(s.Unused) {
		issuer := foreign
		if own {
			issuer = ours
		}
		w.keys = append([]rotation.Key{w.key(fmt.Sprintf("unused%02d", i), issuer, -time.Duration(i+1)*rotation.Day, 390)}, w.keys...)
	}
	if s.LeftCSR {
		w.pending = []rotation.CSR{{ID: "csr-left", Request: "MIIleft"}}
	}
	return w
}

func (w *world) key(kid, issuer string, created time.Duration, days int) rotation.Key {
	at := w.start.Add(created)
	return rotation.Key{Kid: kid, Created: at, NotBefore: at, NotAfter: w.start.Add(time.Duration(days) * rotation.Day),
		Issuer: issuer, Subject: "CN=Example SAML signing", Certificate: base64.StdEncoding.EncodeToString([]byte("certificate of " + kid))}
}

func (w *world) find(kid string) *rotation.Key {
	if i := slices.IndexFunc(w.keys, func(k rotation.Key) bool { return k.Kid == kid }); i >= 0 {
		return &w.keys[i]
	}
	return nil
}

func (w *world) target() rotation.Target {
	t := rotation.Target{Kind: w.s.Kind, ID: "0oa1", Label: "Example <App> & Co"}
	if t.Kind == rotation.KindApp {
		t.Name = "example_app"
	}
	return t
}

func (w *world) source() *rotation.Target {
	if !w.s.Clone {
		return nil
	}
	return &rotation.Target{Kind: w.s.Kind, ID: "0oa2"}
}

func (w *world) digest() string { return "digest-" + strconv.Itoa(w.edits) }

// mistake notes what no rotation may do; w.mu is held.
func (w *world) mistake(format string, args ...any) {
	w.wrong = append(w.wrong, fmt.Sprintf(format, args...))
}

// tasks are the state machine's, with the scenario's faults.
func (w *world) tasks(ctx context.Context, c asl.Call) (json.RawMessage, error) {
	w.mu.Lock()
	n := w.calls[c.State]
	w.calls[c.State]++
	i := slices.IndexFunc(w.s.Faults, func(f fault) bool { return f.State == c.State && f.First <= n && n < f.First+f.Times })
	var broken *fault
	if i >= 0 {
		broken = &w.s.Faults[i]
	}
	a := act{state: c.State, at: time.Now(), effect: broken == nil || broken.Effect, answers: len(w.answers)}
	output, err := w.call(c, &a)
	if err == nil && broken != nil {
		err = broken.failure()
	}
	if err != nil {
		a.failed = rotation.NameOf(err)
		var f *asl.Failure
		if errors.As(err, &f) {
			a.failed = f.Name
		}
	}
	hangs := broken != nil && broken.Name == ""
	if hangs {
		a.failed = "States.Timeout"
	}
	w.acts = append(w.acts, a)
	w.mu.Unlock()
	if hangs {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if err != nil {
		return nil, asFailure(err)
	}
	return output, nil
}

func (f *fault) failure() error {
	if f.Plain {
		return &asl.Failure{Name: f.Name, Cause: "The cause could not be determined because Lambda did not return an error type."}
	}
	return rotation.Errorf(f.Name, "%s of the scenario: \"it\" <failed>", f.Name)
}

// asFailure is an error of a function as Step Functions sees it.
func asFailure(err error) error {
	var f *asl.Failure
	if errors.As(err, &f) {
		return f
	}
	name := rotation.NameOf(err)
	cause, _ := json.Marshal(map[string]string{"errorMessage": err.Error(), "errorType": name})
	return &asl.Failure{Name: name, Cause: string(cause)}
}

// call carries out a call, if it comes to have an effect. w.mu is held.
func (w *world) call(c asl.Call, a *act) (json.RawMessage, error) {
	if strings.HasSuffix(c.Resource, ":events:putEvents") {
		return w.putEvents(c, a)
	}
	var arguments struct {
		FunctionName string
		Payload      json.RawMessage
	}
	if err := strict(c.Arguments, &arguments); err != nil {
		w.mistake("%s: the arguments: %v", c.State, err)
	}
	run, ok := map[string]func(json.RawMessage, asl.Call, *act) (any, error){
		"inspect-target":        step(w, w.inspect),
		"generate-csr":          step(w, w.generate),
		"sign-csr":              step(w, w.sign),
		"publish-csr":           step(w, w.publish),
		"clone-certificate":     step(w, w.clone),
		"update-key-credential": step(w, w.update),
		"verify-key":            step(w, w.verify),
		"revoke-csr":            step(w, w.revoke),
		"request-upload":        step(w, w.request),
	}[arguments.FunctionName]
	if !ok {
		panic("no function " + arguments.FunctionName)
	}
	out, err := run(arguments.Payload, c, a)
	if err != nil {
		return nil, err
	}
	return encode(map[string]any{"ExecutedVersion": "$LATEST", "StatusCode": 200, "Payload": out}), nil
}

// step is a function with its input decoded as strictly as the real ones do it.
func step[In, Out any](w *world, run func(In, asl.Call) (Out, error)) func(json.RawMessage, asl.Call, *act) (any, error) {
	return func(payload json.RawMessage, c asl.Call, a *act) (any, error) {
		var in In
		if err := strict(payload, &in); err != nil {
			w.mistake("%s: the input: %v in %s", c.State, err, payload)
		}
		a.input = in
		// What is left out would be taken for nothing.
		for _, name := range leftOut("", decoded(payload), decoded(encode(in))) {
			if c.State == "RequestCertificate" && name == "newKey" {
				continue // there is none yet
			}
			w.mistake("%s: the input has no %s", c.State, name)
		}
		if !a.effect {
			return nil, nil
		}
		return run(in, c)
	}
}

func decoded(text []byte) any {
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		panic(fmt.Sprintf("%v in %s", err, text))
	}
	return v
}

// leftOut names the members that an object should have, as encoded by its
// type, and has not.
func leftOut(path string, object, whole any) []string {
	var all []string
	switch whole := whole.(type) {
	case map[string]any:
		members, _ := object.(map[string]any)
		for name, member := range whole {
			if _, ok := members[name]; !ok {
				all = append(all, path+name)
				continue
			}
			all = append(all, leftOut(path+name+".", members[name], member)...)
		}
	case []any:
		items, _ := object.([]any)
		for i := range min(len(items), len(whole)) {
			all = append(all, leftOut(path+strconv.Itoa(i)+".", items[i], whole[i])...)
		}
	}
	return all
}

func strict(text []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	return d.Decode(into)
}

func (w *world) same(c asl.Call, t rotation.Target) {
	if t.Bare() != w.target().Bare() {
		w.mistake("%s: the target is %s", c.State, t)
	}
}

func (w *world) putEvents(c asl.Call, a *act) (json.RawMessage, error) {
	var arguments struct {
		Entries []struct {
			Source, DetailType string
			Detail             json.RawMessage
		}
	}
	if err := strict(c.Arguments, &arguments); err != nil || len(arguments.Entries) != 1 || arguments.Entries[0].Source != "keyturn" {
		w.mistake("%s: the event: %v in %s", c.State, err, c.Arguments)
	}
	one := arguments.Entries[0]
	w.events = append(w.events, event{one.DetailType, one.Detail, a.effect})
	return json.RawMessage(`{"Entries": [{"EventId": "1"}], "FailedEntryCount": 0}`), nil
}

func (w *world) inspect(in rotation.InspectTargetInput, c asl.Call) (rotation.InspectTargetOutput, error) {
	w.same(c, in.Target)
	now := time.Now().UTC().Truncate(time.Second)
	active := *w.find(w.active)
	out := rotation.InspectTargetOutput{
		Target: w.target(), Policy: w.s.settings(), ActiveKey: active, UnusedKeys: []rotation.Key{}, SourceKeys: []rotation.Key{},
		CloneFrom: in.CloneFrom, SharedWith: []rotation.Target{}, Digest: w.digest(), LastUpdated: w.lastUpdated(),
	}
	out.Recent = active.NotAfter.Sub(now) > time.Duration(out.Policy.RotateBeforeDays)*rotation.Day
	for i := range w.keys {
		k := &w.keys[i]
		switch {
		case k.Kid == w.active:
		case k.Created.After(active.Created):
			out.UnusedKeys = append(out.UnusedKeys, *k)
		case out.PreviousKey == nil && k.NotAfter.After(now):
			out.PreviousKey = k
		}
	}
	if in.CloneFrom != nil && now.Sub(w.start) >= w.s.SourceAfter {
		out.SourceKeys = append(out.SourceKeys, w.shared())
	}
	out.Asks = out.Policy.Asks(now, active.NotAfter)
	out.AnswerBy = now.Add(time.Duration(out.Policy.GiveUpDays) * rotation.Day)
	return out, nil
}

// shared is the key that the other target has.
func (w *world) shared() rotation.Key { return w.key("shared00", ours, w.s.SourceAfter, 397) }

func (w *world) generate(in rotation.GenerateCSRInput, c asl.Call) (rotation.GenerateCSROutput, error) {
	w.same(c, in.Target)
	if len(w.pending) > 0 {
		return rotation.GenerateCSROutput{CSR: w.pending[0], Reused: true}, nil
	}
	w.made++
	csr := rotation.CSR{ID: fmt.Sprintf("csr-%d", w.made), Request: fmt.Sprintf("MII%d", w.made)}
	w.pending = append(w.pending, csr)
	return rotation.GenerateCSROutput{CSR: csr}, nil
}

const chain = "-----BEGIN CERTIFICATE-----\nchain\n-----END CERTIFICATE-----\n"

func (w *world) sign(in rotation.SignCSRInput, c asl.Call) (rotation.SignCSROutput, error) {
	w.same(c, in.Target)
	out := rotation.SignCSROutput{Chain: chain}
	if in.CSR == nil {
		if len(in.UnusedKeys) == 0 && in.ActiveKey == nil {
			w.mistake("%s: there is neither a CSR nor a key", c.State)
		}
		for i := range in.UnusedKeys {
			if in.UnusedKeys[i].Issuer == ours {
				out.OurKey = &in.UnusedKeys[i]
				break
			}
		}
		out.ActiveIsOurs = in.ActiveKey != nil && in.ActiveKey.Issuer == ours
		return out, nil
	}
	again := c.State == "CollectCertificate"
	switch w.s.CA {
	case rotation.AuthorityManual:
		if !again {
			out.Pending = &rotation.PendingCertificate{Person: true}
			return out, nil
		}
		if in.Answer != "PEM of "+in.CSR.ID {
			w.mistake("%s: the answer is %q", c.State, in.Answer)
		}
	case rotation.AuthorityACMPCA:
		if !again {
			out.Pending = &rotation.PendingCertificate{Reference: "arn:aws:acm-pca:certificate/1", AfterSeconds: 5}
			return out, nil
		}
		if in.Reference == "" {
			w.mistake("%s: there is no reference", c.State)
		}
		if w.notYet++; w.notYet <= w.s.NotYet {
			return out, rotation.Errorf("CA.Pending", "not yet")
		}
	}
	out.Certificate = &rotation.Certificate{PEM: "PEM of " + in.CSR.ID, Issuer: ours, Serial: "1", NotAfter: w.start.Add(397 * rotation.Day)}
	return out, nil
}

func (w *world) publish(in rotation.PublishCSRInput, c asl.Call) (rotation.PublishCSROutput, error) {
	w.same(c, in.Target)
	if in.Certificate.PEM != "PEM of "+in.CSR.ID {
		w.mistake("%s: the CSR is %s and the certificate %q", c.State, in.CSR.ID, in.Certificate.PEM)
	}
	if kid, ok := w.from[in.CSR.ID]; ok {
		return rotation.PublishCSROutput{Key: *w.find(kid)}, nil
	}
	before := len(w.pending)
	w.pending = slices.DeleteFunc(w.pending, func(one rotation.CSR) bool { return one.ID == in.CSR.ID })
	if len(w.pending) == before {
		return rotation.PublishCSROutput{}, rotation.Errorf("CSR.Gone", "gone")
	}
	key := w.key("new-"+in.CSR.ID, ours, time.Since(w.start), 397)
	w.keys = append([]rotation.Key{key}, w.keys...)
	w.from[in.CSR.ID] = key.Kid
	return rotation.PublishCSROutput{Key: key}, nil
}

func (w *world) clone(in rotation.CloneCertificateInput, c asl.Call) (rotation.CloneCertificateOutput, error) {
	w.same(c, in.Target)
	if in.Source != *w.source() || in.Key.Kid != w.shared().Kid {
		w.mistake("%s: %s of %s", c.State, in.Key.Kid, in.Source)
	}
	if w.find(in.Key.Kid) == nil {
		key := w.shared()
		key.Created = time.Now().UTC()
		w.keys = append([]rotation.Key{key}, w.keys...)
	}
	return rotation.CloneCertificateOutput{Key: *w.find(in.Key.Kid)}, nil
}

func (w *world) update(in rotation.UpdateKeyCredentialInput, c asl.Call) (rotation.UpdateKeyCredentialOutput, error) {
	w.same(c, in.Target)
	none := rotation.UpdateKeyCredentialOutput{}
	if in.FromKid == "" || in.ToKid == "" || in.FromKid == in.ToKid || w.find(in.ToKid) == nil {
		w.mistake("%s: from %q to %q", c.State, in.FromKid, in.ToKid)
		return none, rotation.Errorf("Input.Invalid", "kids")
	}
	if in.Back != (c.State == "RestoreKeyCredential") {
		w.mistake("%s: back is %t", c.State, in.Back)
	}
	if w.attempts++; w.attempts == w.s.OtherSwitch {
		w.active, w.others = w.theirs(), true
	}
	switch w.active {
	case in.ToKid:
		if in.Back || in.Digest == w.digest() {
			return rotation.UpdateKeyCredentialOutput{ActiveKid: in.ToKid, Already: true}, nil
		}
		w.active = in.FromKid
		return none, rotation.Errorf("Target.Drifted", "not as it was")
	case in.FromKid:
	default:
		return none, rotation.Errorf("Target.Changed", "somebody else changed it")
	}
	if !in.Back {
		if in.LastUpdated != "updated for "+in.Digest {
			w.mistake("%s: lastUpdated is %q", c.State, in.LastUpdated)
		}
		if w.edits < w.s.Edits {
			w.edits++
		}
		if in.Digest != w.digest() {
			return none, rotation.Errorf("Target.Edited", "edited")
		}
	}
	w.active = in.ToKid
	return rotation.UpdateKeyCredentialOutput{ActiveKid: in.ToKid}, nil
}

// lastUpdated changes with the digest, and says with which.
func (w *world) lastUpdated() string { return "updated for " + w.digest() }

// theirs is a key that somebody has made in the admin console.
func (w *world) theirs() string {
	if w.find("theirs00") == nil {
		w.keys = append([]rotation.Key{w.key("theirs00", foreign, time.Since(w.start), 3650)}, w.keys...)
	}
	return "theirs00"
}

func (w *world) verify(in rotation.VerifyKeyInput, c asl.Call) (rotation.VerifyKeyOutput, error) {
	w.same(c, in.Target)
	if in.Key.Certificate == "" {
		w.mistake("%s: the key has no certificate", c.State)
	}
	if c.State == "ReadActiveKey" {
		if in.ActiveKid != "" {
			w.mistake("%s: the active kid is said to be %s", c.State, in.ActiveKid)
		}
		if w.s.OtherSwitch == inTheWait {
			w.active, w.others = w.theirs(), true
		}
		if w.active != in.Key.Kid {
			return rotation.VerifyKeyOutput{}, rotation.Errorf("Target.Changed", "somebody else changed it")
		}
		return rotation.VerifyKeyOutput{SHA256: "AA:BB"}, nil
	}
	if in.ActiveKid != in.Key.Kid || w.active != in.Key.Kid {
		return rotation.VerifyKeyOutput{}, rotation.Errorf("Key.NotInUse", "the active key is %s", w.active)
	}
	return rotation.VerifyKeyOutput{SHA256: "AA:BB"}, nil
}

func (w *world) revoke(in rotation.RevokeCSRInput, c asl.Call) (rotation.RevokeCSROutput, error) {
	w.same(c, in.Target)
	out := rotation.RevokeCSROutput{Revoked: []string{}}
	all := w.pending
	if in.CSR != nil {
		all = []rotation.CSR{*in.CSR}
	}
	for _, csr := range slices.Clone(all) {
		if kid, ok := w.from[csr.ID]; ok {
			out.Published = w.find(kid)
			continue
		}
		if i := slices.Index(w.pending, csr); i >= 0 {
			w.pending = slices.Delete(w.pending, i, i+1)
			out.Revoked = append(out.Revoked, csr.ID)
		}
	}
	return out, nil
}

// request sends a message, and somebody reacts to it or not. What the real
// function refuses must never come to it.
func (w *world) request(in rotation.RequestUploadInput, c asl.Call) (rotation.RequestUploadOutput, error) {
	w.same(c, in.Target)
	stage := map[string]rotation.Stage{"RequestCertificate": rotation.StageCertificate, "RequestUpload": rotation.StageUpload,
		"AwaitSwitchTime": rotation.StagePlanned, "ConfirmSignIn": rotation.StageSignIn}[c.State]
	switch {
	case in.TaskToken == "" || in.TaskToken != c.Token:
		w.mistake("%s: the task token is %q", c.State, in.TaskToken)
	case in.Stage != stage:
		w.mistake("%s: the stage is %q", c.State, in.Stage)
	case in.AnswerBy.IsZero():
		w.mistake("%s: answerBy is missing", c.State)
	case in.Execution != executionARN:
		w.mistake("%s: the execution is %q", c.State, in.Execution)
	case stage == rotation.StageCertificate && (in.CSR == nil || in.CSR.Request == ""):
		w.mistake("%s: the CSR is %v", c.State, in.CSR)
	case stage != rotation.StageCertificate && (in.NewKey.Certificate == "" || in.OldKey.Kid == "" || in.OldKey.Kid == in.NewKey.Kid):
		w.mistake("%s: the old key is %q and the new one %q", c.State, in.OldKey.Kid, in.NewKey.Kid)
	case stage == rotation.StagePlanned && (in.Decision == nil || in.Decision.SwitchAt == nil):
		w.mistake("%s: there is no plan in %v", c.State, in.Decision)
	}
	n := w.messages[stage]
	w.messages[stage]++
	reactions := map[rotation.Stage][]reaction{rotation.StageCertificate: w.s.Certificate, rotation.StageUpload: w.s.Upload,
		rotation.StagePlanned: w.s.Planned, rotation.StageSignIn: w.s.SignIn}[stage]
	if n < len(reactions) {
		w.people.Go(func() { w.react(in, reactions[n]) })
	}
	return rotation.RequestUploadOutput{Sent: []string{"ann@example.com"}}, nil
}

// react answers as the page does.
func (w *world) react(in rotation.RequestUploadInput, r reaction) {
	timer := time.NewTimer(r.After)
	defer timer.Stop()
	select {
	case <-w.over.Done():
		return
	case <-timer.C:
	}
	// Before the next call is made, the answer is noted.
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now().UTC()
	d := rotation.Decision{By: "ann@example.com", At: now.Truncate(time.Second), Comment: `"so" <be> it`}
	var err error
	switch r.Does {
	case failsTask:
		err = w.runner.SendTaskFailure(in.TaskToken, "ByHand", "no more of this")
	case rejects:
		err = w.runner.SendTaskFailure(in.TaskToken, "Approval.Rejected", string(encode(d)))
	default:
		d.Confirmed = true
		switch {
		case r.Does == handsIn:
			d.Certificate = "PEM of " + in.CSR.ID
		case r.Does == callsOff:
			d.Confirmed, d.CalledOff = false, true
			d.SwitchAt = in.Decision.SwitchAt
		case r.Does == plans && in.Stage == rotation.StageUpload:
			d.SwitchAt = planned(in, now, r.Plan)
		}
		err = w.runner.SendTaskSuccess(in.TaskToken, encode(d))
	}
	switch {
	case err == nil:
		w.answers = append(w.answers, answered{in.Stage, r.Does, d, now})
	case !errors.Is(err, asl.ErrTaskTimedOut):
		w.mistake("the answer to %s: %v", in.Stage, err)
	}
}

// planned is a time for the switch that the page takes; nil where there is none.
func planned(in rotation.RequestUploadInput, now time.Time, plan time.Duration) *time.Time {
	at, earliest := now.Add(plan).Truncate(time.Minute), now.Add(6*time.Minute).Truncate(time.Minute)
	for _, latest := range []time.Time{in.AnswerBy, in.OldKey.NotAfter} {
		if at.After(latest) {
			at = latest
		}
	}
	if at.Before(earliest) {
		return nil
	}
	return &at
}
