package workflow

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/google/go-cmp/cmp"
	"github.com/tidwall/gjson"
	"github.com/tidwall/sjson"

	"keyturn/internal/localaws"
	"keyturn/internal/oktasim"
	"keyturn/internal/playground"
	"keyturn/internal/rotation"
)

// limit bounds a test; on a machine that does nothing else the slowest needs a
// quarter of it.
const limit = 3 * time.Minute

// policy is a rotation's policy as its input gives it.
type policy map[string]any

// scene is a target and what a test knows of it from before.
type scene struct {
	t      *testing.T
	ctx    context.Context
	p      *playground.Playground
	target rotation.Target
	// before is the target's document, oldKid its active key, keys all of its
	// keys, from before the rotation.
	before []byte
	oldKid string
	keys   []string
	// calls counts those that the org had had.
	calls int
}

var targets atomic.Int32

// label is a name that no other target has, and that is no other's beginning:
// requests are told apart by it. Okta takes 100 characters.
func label(t *testing.T) string {
	full := fmt.Sprintf("Target %03d: %s", targets.Add(1), t.Name())
	return full[:min(len(full), 100)]
}

// app gives a test an app of its own. spec may be left out.
func app(t *testing.T, spec ...oktasim.AppSpec) *scene {
	t.Helper()
	s := oktasim.AppSpec{}
	if len(spec) > 0 {
		s = spec[0]
	}
	if s.Label == "" {
		s.Label = label(t)
	}
	if s.Key == nil {
		s.Created, s.Key = due()
	}
	return look(t, stack, rotation.Target{Kind: rotation.KindApp, ID: stack.Org.AddApp(s), Label: s.Label})
}

// due is a key that expires in 30 days, made together with its target.
func due() (time.Time, *oktasim.Key) {
	now := time.Now().UTC().Truncate(time.Second)
	created := now.AddDate(-2, 0, 0)
	return created, oktasim.NewKey(oktasim.KeySpec{Created: created, NotAfter: now.AddDate(0, 0, 30)})
}

// idp gives a test an IdP of its own. spec may be left out.
func idp(t *testing.T, spec ...oktasim.IDPSpec) *scene {
	t.Helper()
	s := oktasim.IDPSpec{}
	if len(spec) > 0 {
		s = spec[0]
	}
	if s.Label == "" {
		s.Label = label(t)
	}
	if s.Key == nil {
		s.Created, s.Key = due()
	}
	return look(t, stack, rotation.Target{Kind: rotation.KindIDP, ID: stack.Org.AddIDP(s), Label: s.Label})
}

// either gives a test an app or an IdP.
func either(t *testing.T, kind rotation.Kind) *scene {
	t.Helper()
	if kind == rotation.KindIDP {
		return idp(t)
	}
	return app(t)
}

func look(t *testing.T, p *playground.Playground, target rotation.Target) *scene {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	t.Cleanup(cancel)
	s := &scene{t: t, ctx: ctx, p: p, target: target}
	s.again()
	return s
}

// again makes what is now what was before.
func (s *scene) again() {
	s.before, s.oldKid, s.keys, s.calls = s.document(), s.active(), s.kids(), len(s.p.Org.Calls())
}

// of is the same target in the eyes of a subtest.
func (s *scene) of(t *testing.T) *scene {
	t.Helper()
	return look(t, s.p, s.target)
}

func (s *scene) kind() string     { return string(s.target.Kind) }
func (s *scene) document() []byte { return s.p.Org.Document(s.kind(), s.target.ID) }
func (s *scene) active() string   { return s.p.Org.ActiveKid(s.kind(), s.target.ID) }
func (s *scene) pending() int     { return len(s.p.Org.PendingCSRs(s.kind(), s.target.ID)) }

func (s *scene) kids() []string {
	var kids []string
	for _, k := range s.p.Org.Keys(s.kind(), s.target.ID) {
		kids = append(kids, k.Kid)
	}
	return kids
}

func (s *scene) certificate(kid string) *x509.Certificate {
	s.t.Helper()
	for _, k := range s.p.Org.Keys(s.kind(), s.target.ID) {
		if k.Kid == kid {
			return k.Certificate
		}
	}
	s.t.Fatalf("the org has no key %q; it has %q", kid, s.kids())
	return nil
}

// asked are the calls that the org has had for the target since before.
func (s *scene) asked() []oktasim.Call {
	return slices.DeleteFunc(s.p.Org.Calls()[s.calls:], func(c oktasim.Call) bool { return c.ID != s.target.ID })
}

// spent counts the calls of Okta that a rotation made. It lists the target's keys
// once; a discovery of another test lists them too, when it sees a new key.
func (s *scene) spent() int {
	n, listed := 0, false
	for _, c := range s.asked() {
		if isList := strings.HasSuffix(c.Operation, "Keys") && strings.HasPrefix(c.Operation, "list"); !isList || !listed {
			n++
			listed = listed || isList
		}
	}
	return n
}

// times counts the calls of an operation that the org answered well.
func (s *scene) times(operation string) int {
	n := 0
	for _, c := range s.asked() {
		if c.Operation == operation && c.Status >= 200 && c.Status < 300 {
			n++
		}
	}
	return n
}

// running is a rotation under way.
type running struct {
	*scene
	rotation *playground.Rotation
	started  time.Time
}

// unreminded are hours of a pause between reminders that is not over within any
// test.
const unreminded = 24 * 30

// rotate starts a rotation of the target.
func (s *scene) rotate(with policy) *running {
	s.t.Helper()
	return s.begin(with, func(given policy) (*playground.Rotation, error) {
		return s.p.Rotate(s.ctx, "", s.target, given)
	})
}

// begin starts a rotation in the way that is given. Unless a test is about
// them, neither a reminder nor the end of the time for the sign-in comes in its
// way: the defaults are nine seconds and three.
func (s *scene) begin(with policy, rotate func(given policy) (*playground.Rotation, error)) *running {
	s.t.Helper()
	began := time.Now()
	given := policy{"reminderHours": unreminded, "signInHours": unhurriedHours}
	maps.Copy(given, with)
	s.inTime(given)
	r, err := rotate(given)
	if err != nil {
		s.t.Fatal(err)
	}
	run := &running{scene: s, rotation: r, started: began}
	s.t.Cleanup(run.explain)
	return run
}

// inTime fails a test whose first message would be followed by the next one so
// soon that a busy machine cannot answer it, unless the test has chosen so. The
// pauses between messages do not depend on the policy alone: 30, 7 and 1 days
// before the expiry of the old certificate there are messages as well.
func (s *scene) inTime(given policy) {
	s.t.Helper()
	if _, chosen := given["giveUpDays"]; chosen || given["reminderHours"] != unreminded {
		return
	}
	raw, err := json.Marshal(given)
	if err != nil {
		s.t.Fatal(err)
	}
	p, err := rotation.ParsePolicy(raw, rotation.DefaultSettings(nil))
	if err != nil || s.oldKid == "" {
		return // such a rotation fails before it asks anybody
	}
	settings, _ := p.For(s.target, s.oldKid)
	first := settings.Asks(time.Now(), s.certificate(s.oldKid).NotAfter)[0]
	if wait := time.Duration(first.Until) * time.Second; wait < unhurried {
		s.t.Fatalf("the first message to the approvers would be followed by the next one after %s, %s here: too soon to answer it for certain",
			wait, time.Duration(float64(wait)*callbackScale).Round(time.Millisecond))
	}
}

// explain shows, where the test has failed, which tasks of the rotation did: a
// retry is seen nowhere else.
func (r *running) explain() {
	if !r.t.Failed() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	all := sfn.NewGetExecutionHistoryPaginator(sfn.NewFromConfig(r.p.Cloud.Config()), &sfn.GetExecutionHistoryInput{ExecutionArn: &r.rotation.ARN})
	state := ""
	for all.HasMorePages() {
		page, err := all.NextPage(ctx)
		if err != nil {
			r.t.Logf("no history of %s: %v", r.rotation.ARN, err)
			return
		}
		for _, e := range page.Events {
			if e.StateEnteredEventDetails != nil {
				state = aws.ToString(e.StateEnteredEventDetails.Name)
			}
			if d := e.TaskFailedEventDetails; d != nil {
				r.t.Logf("%s %s failed: %s %s", e.Timestamp.Format(time.TimeOnly), state, aws.ToString(d.Error), aws.ToString(d.Cause))
			}
		}
	}
}

// reference is what the messages of this rotation name, and no other's: one that
// was stopped may still be sending.
func (r *running) reference() string {
	return "Reference: " + r.rotation.ARN[strings.LastIndexByte(r.rotation.ARN, ':')+1:]
}

// request waits for the mail to an approver.
func (r *running) request(to string) localaws.Mail {
	r.t.Helper()
	return r.mail(to, r.started, r.reference(), func() {
		// A rotation that ended without asking would be waited for in vain.
		out := r.describe()
		if out.StopDate == nil {
			return
		}
		// What it sent last may not have been heard of yet.
		box, err := r.p.Cloud.Mails(r.ctx)
		if err != nil {
			r.t.Fatal(err)
		}
		if len(r.own(box, to)) == 0 {
			r.t.Fatalf("the rotation ended %s without asking %s: %s", out.Status, to, aws.ToString(out.Cause))
		}
	})
}

// mail waits for a mail about the target; alive stops the test where none can
// come any more.
func (s *scene) mail(to string, after time.Time, says string, alive func()) localaws.Mail {
	s.t.Helper()
	var found localaws.Mail
	s.until("a mail to "+to, func() bool {
		for _, m := range mails.all() {
			if m.At.After(after) && strings.Contains(m.Subject, s.target.Label) && slices.Equal(m.To, []string{to}) && strings.Contains(m.Text, says) {
				found = m
				return true
			}
		}
		alive()
		return false
	})
	return found
}

// until waits until something is so.
func (s *scene) until(what string, so func() bool) {
	s.t.Helper()
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for !so() {
		if err := errors.Join(lifecycle.failure(), mails.failure()); err != nil {
			s.t.Fatalf("%s: the stack is not heard any more: %v", what, err)
		}
		select {
		case <-s.ctx.Done():
			s.t.Fatalf("%s: %v", what, s.ctx.Err())
		case <-ticker.C:
		}
	}
}

// link is the approver's link.
func (r *running) link(to string) string {
	r.t.Helper()
	link, err := playground.Link(r.request(to).Text)
	if err != nil {
		r.t.Fatal(err)
	}
	return link
}

// answer has the default approver decide.
func (r *running) answer(decision, comment string) {
	r.t.Helper()
	r.decide(r.link(playground.Approver), decision, "", comment)
}

// decide answers by a link, which must be taken.
func (s *scene) decide(link, decision, name, comment string) {
	s.t.Helper()
	page, err := s.p.Answer(s.ctx, link, decision, name, comment)
	if err != nil {
		s.t.Fatal(err)
	}
	if page.Status != http.StatusOK {
		s.t.Fatalf("the page did not take the answer: %d %s", page.Status, page.Text())
	}
}

// end waits for the rotation's end.
func (r *running) end() playground.Report {
	r.t.Helper()
	r.until("the rotation's end", func() bool { return r.describe().StopDate != nil })
	report, err := r.rotation.End(r.ctx, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	return report
}

// describe is what Step Functions says of the execution.
func (r *running) describe() *sfn.DescribeExecutionOutput {
	r.t.Helper()
	out, err := sfn.NewFromConfig(r.p.Cloud.Config()).DescribeExecution(r.ctx, &sfn.DescribeExecutionInput{ExecutionArn: &r.rotation.ARN})
	if err != nil {
		r.t.Fatal(err)
	}
	return out
}

// same fails the test when two values differ.
func same(t *testing.T, what string, want, got any, options ...cmp.Option) {
	t.Helper()
	if diff := cmp.Diff(want, got, options...); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// states compares the states entered with a text of names.
func states(t *testing.T, want string, got playground.Report) {
	t.Helper()
	same(t, "states entered", strings.Fields(want), got.States)
}

// ended checks result and status, and shows the report where it is another.
func ended(t *testing.T, want string, got playground.Report) {
	t.Helper()
	if got.Result != want || got.Succeeded != (want == "Completed" || want == "GaveUp") {
		t.Fatalf("the rotation ended %s (succeeded: %t), not %s; error %+v, rollback error %+v, states %v",
			got.Result, got.Succeeded, want, got.Error, got.Rollback, got.States)
	}
}

// failedWith checks a report's error: its step, its name, and that its text
// holds what the person who reads it needs.
func failedWith(t *testing.T, got *playground.Problem, step, name string, texts ...string) {
	t.Helper()
	if got == nil {
		t.Fatalf("the report has no error; want %s in %s", name, step)
	}
	if got.Step != step || got.Name != name {
		t.Errorf("the error is %s in %s, not %s in %s; its text: %s", got.Name, got.Step, name, step, got.Message)
	}
	for _, text := range texts {
		if !strings.Contains(got.Message, text) {
			t.Errorf("the error's text is %q, without %q", got.Message, text)
		}
	}
}

func (s *scene) kidPath() string {
	if s.target.Kind == rotation.KindIDP {
		return "protocol.credentials.signing.kid"
	}
	return "credentials.signing.kid"
}

// unchanged checks that not a byte of the document is another, and that no CSR
// waits in the org.
func (s *scene) unchanged() {
	s.t.Helper()
	same(s.t, "the target's document", string(s.before), string(s.document()))
	same(s.t, "pending CSRs", 0, s.pending())
}

// switched checks that the document is as before byte by byte but for the
// active kid, which is the one given, and lastUpdated.
func (s *scene) switched(kid string) {
	s.t.Helper()
	now := s.document()
	want := s.before
	var err error
	for path, value := range map[string]string{s.kidPath(): kid, "lastUpdated": gjson.GetBytes(now, "lastUpdated").String()} {
		if want, err = sjson.SetBytes(want, path, value); err != nil {
			s.t.Fatal(err)
		}
	}
	same(s.t, "the target's document", string(want), string(now))
	same(s.t, "pending CSRs", 0, s.pending())
}

// oneNewKey checks that the org has one key more than before, the report's.
func (s *scene) oneNewKey(report playground.Report) {
	s.t.Helper()
	same(s.t, "the target's keys", append(slices.Clone(s.keys), report.NewKid), s.kids())
}

// noNewKey checks that the org has the keys that it had.
func (s *scene) noNewKey() {
	s.t.Helper()
	same(s.t, "the target's keys", s.keys, s.kids())
}

// signedByTheCA checks a certificate against the CA's root by the chain in a
// message, whose first certificate it must be.
func (s *scene) signedByTheCA(kid, message string) {
	s.t.Helper()
	var chain []*x509.Certificate
	for block, rest := pem.Decode([]byte(message)); block != nil; block, rest = pem.Decode(rest) {
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			s.t.Fatalf("certificate %d of the message: %v", len(chain)+1, err)
		}
		chain = append(chain, cert)
	}
	leaf := s.certificate(kid)
	if len(chain) < 2 || !chain[0].Equal(leaf) {
		s.t.Fatalf("the message has %d certificates, and the first must be the one in Okta", len(chain))
	}
	roots, intermediates := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(s.p.CARoot)
	roots.AddCert(s.p.Company.Root)
	for _, c := range chain[1:] {
		intermediates.AddCert(c)
	}
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: intermediates, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err != nil {
		s.t.Errorf("the certificate of %s does not verify: %v", kid, err)
	}
}

// inMetadata checks that the target's SAML metadata, as its own link leads to
// it, holds the certificate of this key and no other one.
func (s *scene) inMetadata(kid string) {
	s.t.Helper()
	link := gjson.GetBytes(s.document(), "_links.metadata.href").String()
	r, err := http.NewRequestWithContext(s.ctx, http.MethodGet, link, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Authorization", "SSWS "+s.p.Org.APIToken())
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	metadata, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		s.t.Fatalf("GET %s: %s %v", link, response.Status, err)
	}
	metadata = bytes.Join(bytes.Fields(metadata), nil)
	found := 0
	for _, k := range s.p.Org.Keys(s.kind(), s.target.ID) {
		n := bytes.Count(metadata, []byte(k.X5C))
		if n > 0 != (k.Kid == kid) {
			s.t.Errorf("the metadata has the certificate of %s %d times, and %s should be in use", k.Kid, n, kid)
		}
		found += n
	}
	if all := bytes.Count(metadata, []byte("X509Certificate>")) / 2; all != found {
		s.t.Errorf("the metadata has %d certificates, %d of them of the target's keys", all, found)
	}
}

// decoded is JSON as its values.
func decoded(t *testing.T, text string) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%q is no JSON object: %v", text, err)
	}
	return v
}

func asText(v any) string {
	text, _ := v.(string)
	return text
}

// labelInOkta is what administrators see.
func (s *scene) labelInOkta() string {
	if s.target.Kind == rotation.KindIDP {
		return gjson.GetBytes(s.before, "name").String()
	}
	return gjson.GetBytes(s.before, "label").String()
}

// nameInOkta is the app's key in Okta's catalogue.
func (s *scene) nameInOkta() string { return gjson.GetBytes(s.before, "name").String() }

// bounded limits the time of a scene that look has not made.
func (s *scene) bounded() *scene {
	ctx, cancel := context.WithTimeout(s.t.Context(), limit)
	s.t.Cleanup(cancel)
	s.ctx = ctx
	return s
}
