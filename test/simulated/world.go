// Package simulated is Keyturn in one process, on a simulated clock: the real
// state machine, the real steps, wired as the functions wire them, a simulated
// Okta org, and AWS as far as a rotation meets it. Every call between them goes
// over one wire, which notes it and can have it fail, so that thousands of
// rotations that break in different places take minutes.
//
// A [World] lives inside a bubble of testing/synctest: days pass in no time.
// What it does not show is the deployed stack; test/workflow is for that.
package simulated

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unicode"

	awslambda "github.com/aws/aws-lambda-go/lambda"

	"keyturn/internal/bucket/buckettest"
	"keyturn/internal/ca/acmpca/acmpcatest"
	"keyturn/internal/ca/kms/kmstest"
	"keyturn/internal/ca/local"
	"keyturn/internal/ca/stepca/stepcatest"
	"keyturn/internal/oktasim"
	"keyturn/internal/playground"
	"keyturn/internal/rotation"
	"keyturn/test/asl"
)

// The world's fixed points.
const (
	Approver = "sso-team@example.com"
	// Chat and Topic are to whom messages are that are no mails.
	Chat  = "chat"
	Topic = "topic"

	region        = kmstest.Region
	orgHost       = "example.okta.com"
	pageURL       = "https://approve.example.com"
	sender        = "keyturn@example.com"
	topic         = "arn:aws:sns:" + region + ":123456789012:keyturn"
	machineARN    = "arn:aws:states:" + region + ":123456789012:stateMachine:keyturn-rotation"
	discoveryARN  = "arn:aws:states:" + region + ":123456789012:stateMachine:keyturn-discovery"
	oktaSecret    = "keyturn/okta"
	linkKeySecret = "keyturn/link-key"
	caSecret      = "keyturn/ca"
	stepCASecret  = "keyturn/step-ca"
	stepCAHost    = "stepca.example.com"
	chatSecret    = "keyturn/chat"
	webhook       = "https://chat.example.com/services/webhookThatNobodyMayEverSee0042"
	pageState     = "page"
	accessKey     = "AKIDSIMULATED"
	bucketName    = "keyturn-inventory"
	operator      = "identity-operations@example.com"
)

// Start is when a world begins.
var Start = time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC)

// Outside is what a world needs from outside its bubble: services that are
// real servers. Nil are those that the world does not use.
type Outside struct {
	kms *kmstest.KMS
	pca *acmpcatest.PCA
	s3  *buckettest.Server
}

// Prepare makes what cannot be made inside a bubble, for a stack with a CA.
func Prepare(t *testing.T, provider rotation.CertificateAuthority) (o Outside) {
	t.Helper()
	switch provider {
	case rotation.AuthorityKMS:
		o.kms = kmstest.New(t)
	case rotation.AuthorityACMPCA:
		o.pca = acmpcatest.New(t)
	}
	return o
}

// WithBucket makes the inventory's bucket besides, which discovery needs.
func (o Outside) WithBucket(t *testing.T) Outside {
	t.Helper()
	o.s3 = buckettest.New(t)
	_ = o.s3.Bucket(bucketName)
	return o
}

// Options are a world's differences from the usual one.
type Options struct {
	Kind rotation.Kind
	// CA is the stack's; empty: local.
	CA rotation.CertificateAuthority
	// Channel is how the approvers are asked: Approver by mail, or Chat, or
	// Topic; empty: by mail.
	Channel string
	// Shared has another target, the source, have the same key, which is older
	// than both.
	Shared bool
	// Fault is the call that fails; nil for none.
	Fault *Fault
	// Policy is what is deployed, JSON; empty for none. Discovery goes by it.
	Policy string
}

// World is an org with one target that is due, a stack, and the target's partner.
type World struct {
	Org    *oktasim.Org
	Target rotation.Target
	OldKid string
	// Source is another target with the same key, from which the target's
	// rotations take their new one; nil without.
	Source *rotation.Target
	// Before is the target's document as it was.
	Before  []byte
	Partner *Partner

	team    *local.Authority // signs by hand
	s3      *buckettest.Server
	channel string
	policy  json.RawMessage
	wire    *wire
	cloud   *cloud
	logs    syncBuffer
	env     map[string]string
	machine *asl.Machine
	runner  *asl.Runner
	roots   *x509.CertPool

	// skew is how far the org's clock is from AWS's, in nanoseconds.
	skew atomic.Int64

	mu         sync.Mutex
	warm       map[string]awslambda.Handler
	executions []*started
	deliveries []Delivery
	again      map[int][]int // after which delivery which are repeated
}

// Delivery is a call of a function by the state machine: the N-th, from 0.
type Delivery struct {
	State, Function string
	N               int
	payload         []byte
}

func (d Delivery) String() string { return fmt.Sprintf("%d %s", d.N, d.State) }

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

// Logs are what the functions have logged.
func (w *World) Logs() string {
	w.logs.mu.Lock()
	defer w.logs.mu.Unlock()
	return w.logs.b.String()
}

// Token is the org's API token.
const Token = "00simulatedTokenThatNobodyMayEverSee0042"

// linkKey is the value of the secret link-key.
const linkKey = "k3y-of-all-links-that-nobody-may-ever-see-0123456789abcdefghijkl"

// New begins a world. It must run inside a bubble.
func New(t *testing.T, outside Outside, o Options) *World {
	t.Helper()
	time.Sleep(time.Until(Start))
	w := &World{s3: outside.s3, channel: o.Channel, policy: json.RawMessage(o.Policy), warm: map[string]awslambda.Handler{}, roots: x509.NewCertPool()}
	unlimited := oktasim.Limits{Apps: oktasim.Unlimited, App: oktasim.Unlimited, API: oktasim.Unlimited}
	w.Org = oktasim.New(oktasim.Options{
		APIToken: Token, Limits: unlimited, BaseURL: "https://" + orgHost,
		Now: func() time.Time { return time.Now().Add(time.Duration(w.skew.Load())) },
	})
	w.wire = &wire{org: w.Org, fault: o.Fault, counted: map[Call]int{}}
	w.cloud = &cloud{heard: make(chan Mail, 200), parameters: map[string]string{}, secrets: map[string]string{
		oktaSecret: `{"apiToken":"` + Token + `"}`, linkKeySecret: linkKey, chatSecret: webhook,
	}}
	w.wire.services = w.cloudServices()
	if w.s3 != nil {
		w.wire.services["s3"] = w.s3
	}
	if o.CA == "" {
		o.CA = rotation.AuthorityLocal
	}
	w.found(t, o.CA, outside)

	old := oldKey()
	w.OldKid = old.Kid
	created := day(-700)
	if o.Shared {
		created = day(-600)
		source := w.add(o.Kind, SourceLabel, created, old)
		w.Source = &source
	}
	w.Target = w.add(o.Kind, map[rotation.Kind]string{rotation.KindApp: "Payroll", rotation.KindIDP: "Contractors"}[o.Kind], created, old)
	w.Before = w.Document()
	w.Partner = newPartner(w)
	w.wire.effects = func(c Call) {
		if strings.HasPrefix(c.Name, "replace") {
			w.Partner.look(context.Background(), c.String())
		}
	}
	w.machine = definition(t, rotationMachine)
	w.runner = &asl.Runner{Tasks: w.task}
	return w
}

// SourceLabel is the source's.
const SourceLabel = "The other one"

// add adds a target to the org.
func (w *World) add(kind rotation.Kind, label string, created time.Time, key *oktasim.Key) rotation.Target {
	if kind == rotation.KindIDP {
		return rotation.Target{Kind: kind, ID: w.Org.AddIDP(oktasim.IDPSpec{Label: label, Created: created, Key: key, Raw: richIDP})}
	}
	return rotation.Target{Kind: kind, ID: w.Org.AddApp(oktasim.AppSpec{Label: label, Created: created, Key: key, Raw: richApp})}
}

// oldKey is the key that every target has at first: a certificate takes longer
// to make than most of a rotation.
var oldKey = sync.OnceValue(func() *oktasim.Key {
	return oktasim.NewKey(oktasim.KeySpec{Created: day(-700), NotAfter: day(40)})
})

func day(n int) time.Time { return Start.AddDate(0, 0, n) }

// Documents with what no struct knows: a switch must leave all of it.
const (
	richApp = `{"profile":{"costCenter":12345678901234567890,"ratio":1.0},"credentials":{"signing":{"use":"sig","lastRotated":"2025-01-02T03:04:05.000Z"}},"features":["PUSH_NEW_USERS"],` +
		`"settings":{"notes":{"admin":"Tier 1 \/ ext. 4711"},"app":{"useScim":true},` +
		`"signOn":{"attributeStatements":[{"type":"EXPRESSION","name":"email","values":["user.email"]}]}},"vendorExtension":{"thresholds":[0.10,2.50e2]}}`
	richIDP = `{"protocol":{"relayState":{"format":"FROM_URL"},"credentials":{"signing":{"use":"sig"}},"settings":{"participateSlo":true}},"policy":{"maxClockSkew":60000},"vendorExtension":{"weight":1.50}}`
)

// definition is a state machine as template.yaml deploys it.
func definition(t *testing.T, read func() (*asl.Machine, error)) *asl.Machine {
	t.Helper()
	m, err := read()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

var placeholder = regexp.MustCompile(`\$\{([A-Za-z]+)\}`)

var (
	rotationMachine  = sync.OnceValues(func() (*asl.Machine, error) { return parse("rotation.asl.json") })
	discoveryMachine = sync.OnceValues(func() (*asl.Machine, error) { return parse("discovery.asl.json") })
)

func parse(file string) (*asl.Machine, error) {
	text, err := os.ReadFile(filepath.Join("..", "..", "statemachine", file))
	if err != nil {
		return nil, err
	}
	substitutions := map[string]string{}
	for _, name := range placeholder.FindAllStringSubmatch(string(text), -1) {
		substitutions[name[1]] = functionName(name[1])
	}
	substitutions["Partition"] = "aws"
	return asl.Parse(text, substitutions)
}

// functionName is generate-csr for GenerateCsrFunction.
func functionName(logicalID string) string {
	var b strings.Builder
	for i, r := range strings.TrimSuffix(logicalID, "Function") {
		if unicode.IsUpper(r) && i > 0 {
			b.WriteByte('-')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

// task is one attempt of a task of the state machine.
func (w *World) task(ctx context.Context, c asl.Call) (json.RawMessage, error) {
	i := &invocation{state: c.State, function: "rotation", dead: make(chan struct{})}
	i.another = w.Source != nil && strings.Contains(c.Name, w.Source.ID)
	ctx = context.WithValue(ctx, invocationKey{}, i)
	var service, name string
	var effect func() (json.RawMessage, *asl.Failure)
	switch {
	case strings.Contains(c.Resource, ":lambda:invoke"):
		service, name = "lambda", "Invoke"
		effect = func() (json.RawMessage, *asl.Failure) { return w.deliver(ctx, c) }
	case strings.HasSuffix(c.Resource, ":events:putEvents"):
		service, name = "events", "PutEvents"
		effect = func() (json.RawMessage, *asl.Failure) { return w.putEvents(c.Arguments), nil }
	default:
		panic("simulated: a task of " + c.Resource)
	}
	call, f := w.wire.next(i, service, name)
	if f == nil {
		out, failure := effect()
		w.wire.done(call)
		if failure != nil {
			return nil, failure
		}
		return out, nil
	}
	if f.Kind.hasEffect() {
		if _, failure := effect(); failure != nil {
			return nil, failure
		}
		w.wire.done(call)
	}
	return nil, integrationFailure(ctx, service, f.Kind)
}

// integrationFailure is what Step Functions sees of a service that fails.
func integrationFailure(ctx context.Context, service string, k FaultKind) error {
	prefix := map[string]string{"lambda": "Lambda", "events": "EventBridge"}[service]
	named := func(name string) error {
		return &asl.Failure{Name: prefix + "." + name, Cause: "simulated: " + string(k)}
	}
	switch k {
	case TimeOut, LateTimeOut:
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(15 * time.Minute):
			return named("ClientExecutionTimeoutException")
		}
	case RateLimited, Concurrency:
		return named("TooManyRequestsException")
	case Internal, HalfDone, Outage:
		return named("ServiceException")
	case Denied:
		return named("AWSLambdaException")
	default:
		return named("SdkClientException")
	}
}

// deliver has Lambda carry out a step.
func (w *World) deliver(ctx context.Context, c asl.Call) (json.RawMessage, *asl.Failure) {
	var in struct {
		FunctionName string
		Payload      json.RawMessage
	}
	if err := json.Unmarshal(c.Arguments, &in); err != nil {
		panic(err)
	}
	w.mu.Lock()
	n := len(w.deliveries)
	w.deliveries = append(w.deliveries, Delivery{c.State, in.FunctionName, n, in.Payload})
	w.mu.Unlock()
	out, failure := w.invoke(ctx, c.State, in.FunctionName, in.Payload)
	w.repeat(ctx, n)
	if failure != nil {
		return nil, failure
	}
	result, err := json.Marshal(map[string]any{"StatusCode": 200, "Payload": json.RawMessage(out)})
	if err != nil {
		panic(err)
	}
	return result, nil
}

// At has something happen right before a call.
func (w *World) At(at Call, does func()) {
	w.wire.before = append(w.wire.before, func(c Call) {
		if c == at {
			does()
		}
	})
}

// AtState has something happen when the state machine first calls a state's
// function.
func (w *World) AtState(state string, does func()) {
	w.At(Call{State: state, Function: "rotation", Service: "lambda", Name: "Invoke", N: 1}, does)
}

// StopAt has somebody stop the newest execution some time after a call.
func (w *World) StopAt(at Call, later time.Duration) {
	w.At(at, func() {
		w.mu.Lock()
		e := w.executions[len(w.executions)-1]
		w.mu.Unlock()
		if later == 0 {
			e.Stop()
			return
		}
		time.AfterFunc(later, e.Stop)
	})
}

// MoveOrgClock has the org's clock jump.
func (w *World) MoveOrgClock(d time.Duration) { w.skew.Add(int64(d)) }

// StoreToken puts another API token into the stack's secret.
func (w *World) StoreToken(token string) {
	w.cloud.mu.Lock()
	defer w.cloud.mu.Unlock()
	w.cloud.secrets[oktaSecret] = `{"apiToken":"` + token + `"}`
}

// Forbid has Okta refuse every call for some time: the token has lost its
// rights.
func (w *World) Forbid(d time.Duration) {
	w.Org.Fail(oktasim.Fault{Kind: oktasim.FaultForbidden, Times: -1})
	time.AfterFunc(d, w.Org.ClearFaults)
}

// Redeliver has Lambda deliver a call of a function a second time when that of
// the number after has been carried out. The answer to it goes nowhere.
func (w *World) Redeliver(again, after int) {
	if w.again == nil {
		w.again = map[int][]int{}
	}
	w.again[after] = append(w.again[after], again)
}

// repeat delivers what is to be delivered again after a call.
func (w *World) repeat(ctx context.Context, after int) {
	for _, n := range w.again[after] {
		w.mu.Lock()
		d := w.deliveries[n]
		w.mu.Unlock()
		// A process of its own serves it, as nobody waits for it.
		_, _ = w.invoke(ctx, d.State+" again", d.Function, d.payload)
	}
}

// Deliveries are the calls of functions so far.
func (w *World) Deliveries() []Delivery {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]Delivery{}, w.deliveries...)
}

func (w *World) putEvents(arguments json.RawMessage) json.RawMessage {
	var in struct {
		Entries []struct {
			DetailType string
			Detail     json.RawMessage
		}
	}
	if err := json.Unmarshal(arguments, &in); err != nil {
		panic(err)
	}
	for _, e := range in.Entries {
		w.cloud.put(Event{e.DetailType, e.Detail})
	}
	return json.RawMessage(`{"FailedEntryCount":0,"Entries":[{"EventId":"1"}]}`)
}

// Report is a rotation's end.
type Report struct {
	// Execution is its ARN, and Began how the world was when it began.
	Execution string `json:"-"`
	Began     Began  `json:"-"`
	// Status is what Step Functions calls it: SUCCEEDED, FAILED or ABORTED.
	Status string `json:"-"`
	// Transitions are those that AWS bills.
	Transitions int `json:"-"`

	Result     string             `json:"result"`
	OldKid     string             `json:"oldKid"`
	NewKid     string             `json:"newKid"`
	Decision   *rotation.Decision `json:"decision"`
	Error      *Problem           `json:"error"`
	Rollback   *Problem           `json:"rollbackError"`
	PendingCSR string             `json:"pendingCsr"`
	Resumed    bool               `json:"resumed"`
	Signing    *rotation.Decision `json:"signing"`
}

// Began is what a rotation may have found, and is not its own doing.
type Began struct {
	// Kids are the target's keys.
	Kids []string
	// LockedOut is how often users could not sign in before.
	LockedOut int
}

// Problem is an error as the report tells it.
type Problem struct{ Step, Name, Message string }

// Begin starts a rotation of the target with a policy, nil for the default one.
func (w *World) Begin(t *testing.T, policy map[string]any) *asl.Execution {
	t.Helper()
	return w.beginOf(t, w.Target, w.Source, policy)
}

// Publish has a rotation of the source make its new key, and be stopped by hand
// when it waits for the upload.
func (w *World) Publish(t *testing.T, policy map[string]any) {
	t.Helper()
	e := w.beginOf(t, *w.Source, nil, policy)
	time.AfterFunc(time.Hour, e.Stop)
}

func (w *World) beginOf(t *testing.T, target rotation.Target, source *rotation.Target, policy map[string]any) *asl.Execution {
	t.Helper()
	input := map[string]any{"target": map[string]any{"kind": target.Kind, "id": target.ID}}
	if source != nil {
		input["cloneFrom"] = map[string]any{"kind": source.Kind, "id": source.ID}
	}
	if policy != nil {
		input["policy"] = policy
	}
	body, err := json.Marshal(input)
	if err != nil {
		t.Fatal(err)
	}
	e, err := w.begin(w.machine, machineARN, fmt.Sprintf("%s-%s-%d", target.Kind, target.ID, len(w.all())), body)
	if err != nil {
		t.Fatal(err)
	}
	return e.Execution
}

// Discover has discovery run to its end, and gives what Step Functions says.
func (w *World) Discover(t *testing.T) asl.Result {
	t.Helper()
	e, err := w.begin(definition(t, discoveryMachine), discoveryARN, fmt.Sprintf("discovery-%d", len(w.all())), []byte("{}"))
	if err != nil {
		t.Fatal(err)
	}
	<-e.Done()
	return e.Result()
}

// Rotations are the executions of the state machine rotation, as they stand.
func (w *World) Rotations() (all []*asl.Execution) {
	for _, e := range w.all() {
		if e.machine == machineARN {
			all = append(all, e.Execution)
		}
	}
	return all
}

// Close stops what runs still.
func (w *World) Close() {
	for _, e := range w.all() {
		e.Stop()
		<-e.Done()
	}
}

// Objects are the names of what is in the inventory's bucket.
func (w *World) Objects() []string { return w.s3.Keys(bucketName) }

// End waits for a rotation's end.
func (w *World) End(t *testing.T, e *asl.Execution) Report {
	t.Helper()
	<-e.Done()
	r := Report{Result: "?"}
	result := e.Result()
	text := []byte(result.Cause)
	if result.Status == "SUCCEEDED" {
		text = result.Output
	}
	if result.Status != "ABORTED" {
		if err := json.Unmarshal(text, &r); err != nil {
			t.Errorf("the execution ended %s with %q %q, which is no report: %v", result.Status, result.Error, text, err)
		}
	}
	r.Status, r.Transitions, r.Execution = result.Status, result.Transitions, e.ARN()
	if s := w.execution(e.ARN()); s != nil {
		r.Began = s.began
	}
	return r
}

func (w *World) all() []*started {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]*started{}, w.executions...)
}

func (w *World) execution(arn string) *started {
	for _, e := range w.all() {
		if e.ARN() == arn {
			return e
		}
	}
	return nil
}

// Calls are those that were made so far.
func (w *World) Calls() []Call {
	w.wire.mu.Lock()
	defer w.wire.mu.Unlock()
	return append([]Call{}, w.wire.calls...)
}

// Hit tells whether the fault has struck.
func (w *World) Hit() bool {
	w.wire.mu.Lock()
	defer w.wire.mu.Unlock()
	return w.wire.hit
}

// Document is the target's, as the org has it.
func (w *World) Document() []byte { return w.Org.Document(string(w.Target.Kind), w.Target.ID) }

// Exists tells whether the target is there still.
func (w *World) Exists() bool {
	return slices.Contains(w.Org.Targets(string(w.Target.Kind)), w.Target.ID)
}

// ActiveKid is the key that the target signs with.
func (w *World) ActiveKid() string { return w.Org.ActiveKid(string(w.Target.Kind), w.Target.ID) }

// Key is one of the target's; nil where it has none of that kid.
func (w *World) Key(kid string) *oktasim.Key {
	for _, k := range w.Org.Keys(string(w.Target.Kind), w.Target.ID) {
		if k.Kid == kid {
			return &k
		}
	}
	return nil
}

// Kids are those of all keys of the target.
func (w *World) Kids() (kids []string) {
	if !w.Exists() {
		return nil
	}
	for _, k := range w.Org.Keys(string(w.Target.Kind), w.Target.ID) {
		kids = append(kids, k.Kid)
	}
	return kids
}

// Verifies tells whether a key's certificate is the CA's, and is valid.
func (w *World) Verifies(k *oktasim.Key) error {
	_, err := k.Certificate.Verify(x509.VerifyOptions{Roots: w.roots, CurrentTime: time.Now(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	return err
}

// PendingCSRs are the ids of the target's CSRs that are neither published nor
// revoked.
func (w *World) PendingCSRs() []string {
	var ids []string
	for _, c := range w.Org.PendingCSRs(string(w.Target.Kind), w.Target.ID) {
		ids = append(ids, c.ID)
	}
	return ids
}

// Secrets are what must be nowhere but in its place.
func (w *World) Secrets() []string {
	secrets := []string{Token, linkKey, webhook, stepcatest.Password}
	for _, m := range w.Mails() {
		if link, err := playground.Link(m.Text); err == nil {
			secrets = append(secrets, link[len(pageURL):])
		}
	}
	return secrets
}
