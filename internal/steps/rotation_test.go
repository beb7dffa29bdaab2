package steps_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/tidwall/gjson"

	"keyturn/internal/okta"
	"keyturn/internal/oktasim"
	"keyturn/internal/rotation"
	"keyturn/internal/steps"
)

// run is one rotation as the state machine drives it, without its waits. Each
// of its steps can be repeated with the same input.
type run struct {
	okta   *okta.Client
	target rotation.Target
	// source is the target that the key is cloned from; nil for a key of its own.
	source *rotation.Target

	inspected rotation.InspectTargetOutput
	csr       rotation.CSR
	signed    rotation.Certificate
	newKey    *rotation.Key
	active    string // the kid in use, as a step read it last
	resumed   bool   // the active key is ours already: nothing is left to do
}

func newRun(c *okta.Client, target rotation.Target) *run { return &run{okta: c, target: target} }

type step struct {
	name string
	do   func(context.Context) error
}

// steps are those of a rotation in the order before-switch, with the choices of
// the state machine (AnyUnusedKeys, KeyIsOurs) inside.
func (r *run) steps() []step {
	if r.source != nil {
		return []step{
			{"inspect-target", r.inspect}, {"clone-certificate", r.clone},
			{"update-key-credential", r.update}, {"verify-key", r.verify},
		}
	}
	return []step{
		{"inspect-target", r.inspect}, {"generate-csr", r.generate}, {"publish-csr", r.publish},
		{"update-key-credential", r.update}, {"verify-key", r.verify},
	}
}

func (r *run) inspect(ctx context.Context) error {
	step := steps.InspectTarget{Okta: r.okta, Defaults: rotation.DefaultSettings(nil), Now: clock}
	out, err := step.Run(ctx, rotation.InspectTargetInput{Target: rotation.Target{Kind: r.target.Kind, ID: r.target.ID}, CloneFrom: r.source})
	if err != nil {
		return err
	}
	r.inspected, r.target, r.active = out, out.Target, out.ActiveKey.Kid
	candidates := slices.Concat(out.UnusedKeys, out.SourceKeys)
	if !out.Recent && len(candidates) == 0 {
		return nil
	}
	in := rotation.SignCSRInput{Target: r.target, Policy: out.Policy, UnusedKeys: candidates}
	if out.Recent {
		in.ActiveKey = &out.ActiveKey
	}
	recognized, err := signer().Run(ctx, in)
	r.newKey, r.resumed = recognized.OurKey, recognized.ActiveIsOurs
	if r.resumed {
		r.newKey = &out.ActiveKey
	}
	return err
}

func (r *run) generate(ctx context.Context) error {
	if r.newKey != nil || r.resumed {
		return nil
	}
	out, err := steps.GenerateCSR{Okta: r.okta}.Run(ctx, rotation.GenerateCSRInput{Target: r.target, Policy: r.inspected.Policy})
	if err != nil {
		return err
	}
	signed, err := signer().Run(ctx, rotation.SignCSRInput{Target: r.target, Policy: r.inspected.Policy, CSR: &out.CSR})
	if err != nil {
		return err
	}
	r.csr, r.signed = out.CSR, *signed.Certificate
	return nil
}

func (r *run) publish(ctx context.Context) error {
	if r.newKey != nil || r.resumed {
		return nil
	}
	out, err := steps.PublishCSR{Okta: r.okta}.Run(ctx, rotation.PublishCSRInput{Target: r.target, CSR: r.csr, Certificate: r.signed})
	if err != nil {
		return err
	}
	r.newKey = &out.Key
	return nil
}

func (r *run) clone(ctx context.Context) error {
	if r.resumed {
		return nil
	}
	if r.newKey == nil {
		return errors.New("the source has no key yet")
	}
	if slices.ContainsFunc(r.inspected.UnusedKeys, func(k rotation.Key) bool { return k.Kid == r.newKey.Kid }) {
		return nil
	}
	out, err := steps.CloneCertificate{Okta: r.okta}.Run(ctx, rotation.CloneCertificateInput{Target: r.target, Source: *r.source, Key: *r.newKey})
	if err != nil {
		return err
	}
	r.newKey = &out.Key
	return nil
}

func (r *run) update(ctx context.Context) error {
	if r.resumed {
		return nil
	}
	out, err := steps.UpdateKeyCredential{Okta: r.okta}.Run(ctx, rotation.UpdateKeyCredentialInput{
		Target: r.target, FromKid: r.inspected.ActiveKey.Kid, ToKid: r.newKey.Kid, Digest: r.inspected.Digest})
	r.active = out.ActiveKid
	return err
}

func (r *run) verify(ctx context.Context) error {
	if r.resumed {
		return nil
	}
	_, err := steps.VerifyKey{Okta: r.okta}.Run(ctx, rotation.VerifyKeyInput{Target: r.target, Key: *r.newKey, ActiveKid: r.active})
	return err
}

// through runs all steps until one fails.
func (r *run) through(ctx context.Context) error {
	for _, s := range r.steps() {
		if err := s.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return nil
}

// wantRotated checks the end that every rotation must come to, whatever
// happened on the way.
func (l *lab) wantRotated(before []byte) {
	l.t.Helper()
	keys := l.keys()
	if len(keys) != 2 {
		l.t.Fatalf("the target has %d keys, want the old one and one that was published", len(keys))
	}
	published := keys[1]
	if issued, err := company().Issued(published.Certificate); !issued || err != nil {
		l.t.Errorf("the certificate of the new key is not the CA's: %v", err)
	}
	if got := l.activeKid(); got != published.Kid {
		l.t.Errorf("the active key is %s, want the published %s", got, published.Kid)
	}
	if n := len(l.pending()); n != 0 {
		l.t.Errorf("%d CSRs are pending, want none", n)
	}
	wantOnlyKid(l.t, before, l.document(), oldKid, published.Kid)
	for _, body := range l.puts() {
		path := map[rotation.Kind]string{rotation.KindApp: "credentials.signing.kid", rotation.KindIDP: "protocol.credentials.signing.kid"}[l.target.Kind]
		if kid := gjson.Get(body, path).String(); kid != published.Kid {
			l.t.Errorf("a PUT made %q active, want nothing but the published %q", kid, published.Kid)
		}
	}
}

func TestRotationChangesTheKeyAndNothingElse(t *testing.T) {
	forBothKinds(t, func(t *testing.T, l *lab) {
		before := l.document()
		if err := newRun(l.okta, l.target).through(t.Context()); err != nil {
			t.Fatal(err)
		}
		l.wantRotated(before)
		wantCalls(t, l.org,
			l.operation("read"), l.operation("keys"),
			l.operation("csrs"), l.operation("generate"),
			l.operation("publish"),
			l.operation("read"), l.operation("replace"), l.operation("read"),
			l.operation("metadata"))
	})
}

// callsOfARotation is the budget of the design: at most nine calls.
const callsOfARotation = 9

type interruption struct {
	kind oktasim.FaultKind
	name string
}

// interruptions are the ways in which a call can come to nothing, with the
// name that the step's error must have.
var interruptions = []interruption{
	{oktasim.FaultCloseBefore, "Okta.Unavailable"},
	{oktasim.FaultCloseAfter, "Okta.Unavailable"},
	{oktasim.FaultInternalAfter, "Okta.Unavailable"},
	{oktasim.FaultBrokenBody, "Okta.Unavailable"},
	{oktasim.FaultSlowBody, "Okta.Unavailable"},
	{oktasim.FaultReadOnly, "Okta.Unavailable"},
	{oktasim.FaultRateLimited, "Okta.RateLimited"},
}

// essential are the four that differ in their effect: none and no answer, none
// and a refusal; the whole effect and no answer, the whole effect and half of
// the answer.
var essential = slices.DeleteFunc(slices.Clone(interruptions), func(i interruption) bool {
	return !slices.Contains([]oktasim.FaultKind{oktasim.FaultCloseBefore, oktasim.FaultRateLimited, oktasim.FaultCloseAfter, oktasim.FaultBrokenBody}, i.kind)
})

// patience ends the wait for an answer whose end is held back: it gives up
// when the headers of the n-th answer have come, without any clock.
type patience struct {
	next http.RoundTripper
	mu   sync.Mutex
	left int
}

type gaveUp struct{ io.Closer }

func (gaveUp) Read([]byte) (int, error) { return 0, errors.New("gave up waiting for the rest") }

func (p *patience) RoundTrip(r *http.Request) (*http.Response, error) {
	p.mu.Lock()
	p.left--
	last := p.left == 0
	p.mu.Unlock()
	response, err := p.next.RoundTrip(r)
	if err == nil && last {
		response.Body = gaveUp{response.Body}
	}
	return response, err
}

// interrupted gives a client whose n-th call from now fails in the given way.
func (l *lab) interrupted(n int, kind oktasim.FaultKind) *okta.Client {
	l.org.Fail(oktasim.Fault{Nth: n, Kind: kind})
	if kind != oktasim.FaultSlowBody {
		return l.okta
	}
	return l.client(func(next http.RoundTripper) http.RoundTripper { return &patience{next: next, left: n} })
}

// wantNamed checks the error of an interrupted run. A cut body is no error for
// a PUT: its answer is not needed.
func wantNamed(t *testing.T, err error, l *lab, n int, kind oktasim.FaultKind, name string) {
	t.Helper()
	if err == nil {
		calls := l.org.Calls()
		if kind == oktasim.FaultBrokenBody && calls[n-1].Method == http.MethodPut {
			return
		}
		t.Fatalf("call %d (%s) failed with %s, and the rotation went on", n, calls[n-1].Operation, kind)
	}
	wantName(t, err, name)
	if strings.Contains(err.Error(), token) {
		t.Errorf("the error holds the token: %v", err)
	}
}

func TestRotationThatDiesAtAnyCallIsFinishedByAnotherRotation(t *testing.T) {
	forEvery(t, interruptions, func(t *testing.T, l *lab, n int, kind oktasim.FaultKind, name string) {
		before := l.document()
		err := newRun(l.interrupted(n, kind), l.target).through(t.Context())
		wantNamed(t, err, l, n, kind, name)
		l.org.ClearFaults()
		if err := newRun(l.okta, l.target).through(t.Context()); err != nil {
			t.Fatalf("the next rotation: %v", err)
		}
		l.wantRotated(before)
	})
}

func TestStepThatDiesAtAnyCallIsFinishedByRunningItAgain(t *testing.T) {
	forEvery(t, essential, func(t *testing.T, l *lab, n int, kind oktasim.FaultKind, name string) {
		before := l.document()
		r := newRun(l.interrupted(n, kind), l.target)
		failures := 0
		for _, s := range r.steps() {
			if err := s.do(t.Context()); err != nil {
				failures++
				wantName(t, err, name)
				l.org.ClearFaults()
				r.okta = l.okta
				if err := s.do(t.Context()); err != nil {
					t.Fatalf("%s again: %v", s.name, err)
				}
			}
		}
		if failures > 1 {
			t.Errorf("%d steps failed after one fault", failures)
		}
		l.wantRotated(before)
	})
}

// forEvery runs a promise for both kinds of target, each of these ways to fail
// and each call of a rotation.
func forEvery(t *testing.T, ways []interruption, promise func(t *testing.T, l *lab, n int, kind oktasim.FaultKind, name string)) {
	t.Helper()
	for _, target := range kinds {
		for _, i := range ways {
			t.Run(fmt.Sprintf("%s/%s", target, i.kind), func(t *testing.T) {
				t.Parallel()
				for n := 1; n <= callsOfARotation && !t.Failed(); n++ {
					t.Run(fmt.Sprintf("call %d", n), func(t *testing.T) { promise(t, newLab(t, target), n, i.kind, i.name) })
				}
			})
		}
	}
}

// interleavings lists the ways to merge n steps of one rotation with n of
// another, keeping the order of each; by symmetry the first begins.
func interleavings(n int) []string {
	var all []string
	var grow func(done string, a, b int)
	grow = func(done string, a, b int) {
		if a == 0 && b == 0 {
			all = append(all, done)
		}
		if a > 0 {
			grow(done+"A", a-1, b)
		}
		if b > 0 && done != "" {
			grow(done+"B", a, b-1)
		}
	}
	grow("", n, n)
	return all
}

func TestTwoRotationsOfOneTargetMakeOneCSROneKeyAndOneSwitch(t *testing.T) {
	for _, kind := range kinds {
		for _, order := range interleavings(4) {
			if looksTooEarly(order) {
				continue
			}
			t.Run(fmt.Sprintf("%s/%s", kind, order), func(t *testing.T) {
				t.Parallel()
				l := newLab(t, kind)
				before := l.document()
				a, b := newRun(l.okta, l.target), newRun(l.okta, l.target)
				if who, err := merge(t.Context(), order, a, b); err != nil {
					t.Fatalf("%c: %v", who, err)
				}
				l.wantRotated(before)
				if a.newKey.Kid != b.newKey.Kid {
					t.Errorf("one used the key %s, the other %s", a.newKey.Kid, b.newKey.Kid)
				}
				for _, what := range []string{"generate", "publish", "replace"} {
					if n := l.succeeded(what); n != 1 {
						t.Errorf("%d calls of %s succeeded, want 1", n, l.operation(what))
					}
				}
			})
		}
	}
}

// merge does the first four steps of two rotations in the given order, and
// checks in the end that both have what they were for. It stops at the first
// step that fails.
func merge(ctx context.Context, order string, a, b *run) (who rune, err error) {
	runs := map[rune]*run{'A': a, 'B': b}
	done := map[rune]int{}
	for _, who := range order {
		if err := runs[who].steps()[done[who]].do(ctx); err != nil {
			return who, err
		}
		done[who]++
	}
	if err := a.verify(ctx); err != nil {
		return 'A', err
	}
	return 'B', b.verify(ctx)
}

// looksTooEarly tells the orders in which one rotation looks at the target
// before the other has published, and asks for a CSR after that: then neither
// the CSR nor the key is there to be seen.
func looksTooEarly(order string) bool {
	at := func(who byte, nth int) int {
		for i := range order {
			if order[i] == who {
				if nth--; nth == 0 {
					return i
				}
			}
		}
		return -1
	}
	early := func(x, y byte) bool { return at(x, 1) < at(y, 3) && at(y, 3) < at(x, 2) }
	return early('A', 'B') || early('B', 'A')
}

// succeeded counts the calls that did what they were for.
func (l *lab) succeeded(what string) int {
	n := 0
	for _, c := range l.org.Calls() {
		if c.Operation == l.operation(what) && c.Status >= 200 && c.Status < 300 {
			n++
		}
	}
	return n
}

// Nothing but the execution's name keeps rotations from such an order. When it
// happens all the same, the one that comes second stops at the switch.
func TestRotationThatLookedTooEarlyStopsAtTheSwitch(t *testing.T) {
	for _, kind := range kinds {
		for _, order := range interleavings(4) {
			if !looksTooEarly(order) {
				continue
			}
			t.Run(fmt.Sprintf("%s/%s", kind, order), func(t *testing.T) {
				t.Parallel()
				l := newLab(t, kind)
				before := l.document()
				a, b := newRun(l.okta, l.target), newRun(l.okta, l.target)
				who, err := merge(t.Context(), order, a, b)
				wantName(t, err, "Target.Changed")
				winner := map[rune]*run{'A': b, 'B': a}[who]
				if err := winner.verify(t.Context()); err != nil {
					t.Error(err)
				}
				wantOnlyKid(t, before, l.document(), oldKid, winner.newKey.Kid)
				if n := l.succeeded("replace"); n != 1 {
					t.Errorf("%d switches, want 1", n)
				}
			})
		}
	}
}

// together runs two rotations' step at the same time.
func together(ctx context.Context, a, b func(context.Context) error) (errA, errB error) {
	var wg sync.WaitGroup
	wg.Go(func() { errA = a(ctx) })
	wg.Go(func() { errB = b(ctx) })
	wg.Wait()
	return errA, errB
}

func TestTwoRotationsMayPublishAndSwitchInTheSameMoment(t *testing.T) {
	forBothKinds(t, func(t *testing.T, l *lab) {
		before := l.document()
		a, b := newRun(l.okta, l.target), newRun(l.okta, l.target)
		for _, r := range []*run{a, b} {
			if err := errors.Join(r.inspect(t.Context()), r.generate(t.Context())); err != nil {
				t.Fatal(err)
			}
		}
		for _, both := range [][2]func(context.Context) error{{a.publish, b.publish}, {a.update, b.update}, {a.verify, b.verify}} {
			if errA, errB := together(t.Context(), both[0], both[1]); errA != nil || errB != nil {
				t.Fatal(errors.Join(errA, errB))
			}
		}
		l.wantRotated(before)
	})
}

// afterBoth holds back every call of one method until two of another have been
// answered.
type afterBoth struct {
	next   http.RoundTripper
	looked *sync.WaitGroup
	method string
}

func (a afterBoth) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method == a.method {
		a.looked.Wait()
		return a.next.RoundTrip(r)
	}
	defer a.looked.Done()
	return a.next.RoundTrip(r)
}

// Okta offers nothing that would make looking and generating one act; that two
// rotations never get here at once is what the execution's name is for.
func TestTwoRotationsThatGenerateInTheSameMomentStillSwitchOnce(t *testing.T) {
	forBothKinds(t, func(t *testing.T, l *lab) {
		before := l.document()
		var looked sync.WaitGroup
		looked.Add(2)
		gated := l.client(func(next http.RoundTripper) http.RoundTripper {
			return afterBoth{next: next, looked: &looked, method: http.MethodPost}
		})
		a, b := newRun(l.okta, l.target), newRun(l.okta, l.target)
		if err := errors.Join(a.inspect(t.Context()), b.inspect(t.Context())); err != nil {
			t.Fatal(err)
		}
		a.okta, b.okta = gated, gated
		if errA, errB := together(t.Context(), a.generate, b.generate); errA != nil || errB != nil {
			t.Fatal(errors.Join(errA, errB))
		}
		a.okta, b.okta = l.okta, l.okta
		if err := errors.Join(a.publish(t.Context()), b.publish(t.Context()), a.update(t.Context())); err != nil {
			t.Fatal(err)
		}
		wantName(t, b.update(t.Context()), "Target.Changed")
		if got := l.activeKid(); got != a.newKey.Kid {
			t.Errorf("the active key is %s, want %s of the rotation that switched first", got, a.newKey.Kid)
		}
		wantOnlyKid(t, before, l.document(), oldKid, a.newKey.Kid)
		if n := len(l.puts()); n != 1 {
			t.Errorf("%d PUT calls, want 1", n)
		}
	})
}

func TestRotationAfterOneThatGaveUpUsesThePublishedKey(t *testing.T) {
	forBothKinds(t, func(t *testing.T, l *lab) {
		before := l.document()
		left := l.published()
		r := newRun(l.okta, l.target)
		if err := r.through(t.Context()); err != nil {
			t.Fatal(err)
		}
		if r.newKey.Kid != left.Kid {
			t.Errorf("switched to %s, want the key %s that was left", r.newKey.Kid, left.Kid)
		}
		l.wantRotated(before)
		for _, c := range l.org.Calls() {
			if c.Method == http.MethodPost {
				t.Errorf("%s was called, want nothing generated or published", c.Operation)
			}
		}
	})
}

func TestSwitchIsNeverMadeToAKeyThatAnotherToolPublished(t *testing.T) {
	forBothKinds(t, func(t *testing.T, l *lab) {
		l.org.AddKey(l.kind(), l.target.ID, spare())
		r := newRun(l.okta, l.target)
		if err := r.through(t.Context()); err != nil {
			t.Fatal(err)
		}
		if len(r.inspected.UnusedKeys) != 1 || r.inspected.UnusedKeys[0].Kid != spare().Kid {
			t.Errorf("unused keys: %s, want the one of the other tool", asJSON(t, r.inspected.UnusedKeys))
		}
		if got := l.activeKid(); got == spare().Kid || got != r.newKey.Kid {
			t.Errorf("the active key is %s, want the published %s", got, r.newKey.Kid)
		}
		if bytes.Contains(json.RawMessage(asJSON(t, l.puts())), []byte(spare().Kid)) {
			t.Error("a PUT named the other tool's key")
		}
	})
}
