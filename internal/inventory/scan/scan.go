// Package scan is the first step of discovery, the function list-apps: it
// lists the org's SAML apps and IdPs and learns when their certificates end,
// on a share of Okta's rate limits.
//
// A call of the function goes on until the share of a window is used up; then
// it says when to call it again. What it has seen is in the bucket after every
// answer of Okta, so that a call that dies repeats at most the one request it
// died in:
//
//	runs/{run}/apps-000001.jsonl   a page of apps: what came with it, then a line for each SAML app
//	runs/{run}/idps-000001.jsonl   the same for IdPs
//	runs/{run}/trust-000001.jsonl  the same for the partners' certificates, if any is new
//	runs/{run}/todo.jsonl          the kids whose certificates are to be asked for
//	runs/{run}/call-….json         what a call of the function has used
//	memory/kids.jsonl              every certificate known: a kid's never changes
//	memory/new/{run}-….jsonl       those that a call has learned, until they are put there
package scan

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"keyturn/internal/bucket"
	"keyturn/internal/inventory"
	"keyturn/internal/okta"
	"keyturn/internal/rotation"
)

// Apps is the function list-apps (guide, step 1).
type Apps struct {
	Okta   *okta.Client
	Bucket bucket.Bucket
	// Defaults are the settings that the policy is laid over; Policy is the one
	// that the stack was deployed with, for requests without one.
	Defaults rotation.Settings
	Policy   json.RawMessage
	Now      func() time.Time
	// TempDir is for files of a few megabytes; empty for the system's.
	TempDir string
}

// Limits of one run.
const (
	// maxPasses bounds how often the function is called for one run: with the
	// nine events of a pass the history stays below the 25,000 that Step
	// Functions allows. What is not known by then, the next run learns.
	maxPasses = 2000
	// maxAttempts is how often a request that fails is made.
	maxAttempts = 5
	// spare is what a call leaves of the function's time-out for its end, and
	// settleTime what putting everything together may take.
	spare      = 45 * time.Second
	settleTime = 2 * time.Minute
	// maxSkew is how far Okta's clock may be from ours without a word.
	maxSkew = 5 * time.Minute
)

// pause ends a call of the function: it is to be called again at a time.
type pause struct {
	until  time.Time
	reason string
	// window tells that it is waited for a new window of the rate limit.
	window bool
}

func (p pause) Error() string { return p.reason }

// run is one call of the function.
type run struct {
	Apps
	in     inventory.ListAppsInput
	policy *rotation.Policy
	work   string
	// names are the run's objects when the call began.
	names []string
	spent spent
	id    string
	// trouble is the request that failed last.
	trouble trouble
	// chunk counts the chunks that this call has written.
	chunk int
}

// spent is what one call of the function has used: call-….json, and in what it
// writes after every answer, so that little of it is lost if the call dies.
type spent struct {
	Call    string `json:"call"`
	Calls   int64  `json:"calls"`
	Limited int    `json:"limited"`
	Learned int    `json:"learned"`
	Waited  bool   `json:"waited,omitempty"`
	// Windows is what Okta said last of its limits.
	Windows map[okta.Bucket]okta.Window `json:"windows,omitempty"`
}

// trouble counts how often one request has failed: trouble.json.
type trouble struct {
	What     string `json:"what"`
	Attempts int    `json:"attempts"`
	// Keys counts how many keys in a row could not be asked for.
	Keys int `json:"keys"`
}

// Run goes on where the run's last call stopped. It fails with Policy.Invalid,
// Okta.Unauthorized, Credential.*, Secret.* and Bucket.*; what concerns single
// targets or a list is reported and does not stop it.
func (a Apps) Run(ctx context.Context, in inventory.ListAppsInput) (inventory.ListAppsOutput, error) {
	none := inventory.ListAppsOutput{}
	if in.Run.ID == "" || strings.Contains(in.Run.ID, "/") || in.Run.At.IsZero() {
		return none, rotation.Errorf("Input.Invalid", "run.id is %q and run.at %s: use the name of the execution and the time it started", in.Run.ID, in.Run.At.Format(time.RFC3339))
	}
	raw := in.Request.Policy
	if len(bytes.TrimSpace(raw)) == 0 || bytes.Equal(bytes.TrimSpace(raw), []byte("null")) {
		raw = a.Policy
	}
	policy, err := rotation.LoadPolicy(raw, a.Defaults)
	if err != nil {
		return none, err
	}
	r := &run{Apps: a, in: in, policy: policy, work: inventory.Keys{Run: in.Run.ID}.Work(),
		id: fmt.Sprintf("%06d-%s", in.Pass, rand.Text()[:8])}
	calls := a.Okta.Calls()
	r.spent.Call = r.id
	r.spent.Calls = -calls
	err = r.scan(ctx)
	var wait pause
	switch {
	case errors.As(err, &wait):
		r.spent.Waited = wait.window
		if err := r.note(ctx); err != nil {
			return none, err
		}
		until := wait.until.UTC().Truncate(time.Second).Add(time.Second)
		return inventory.ListAppsOutput{ResumeAt: &until, Reason: wait.reason, DryRun: in.Request.DryRun, Authorities: policy.Authorities()}, nil
	case err != nil:
		_ = r.note(ctx) // counts only
		return none, err
	}
	return inventory.ListAppsOutput{Done: true, DryRun: in.Request.DryRun, Authorities: policy.Authorities()}, nil
}

func (r *run) scan(ctx context.Context) error {
	var err error
	if r.names, err = r.Bucket.List(ctx, r.work); err != nil {
		return err
	}
	if r.has("listing.json") {
		return nil // an earlier call was through, and its answer got lost
	}
	if err := r.readTrouble(ctx); err != nil {
		return err
	}
	if err := r.list(ctx, appsList); err != nil {
		return err
	}
	if err := r.list(ctx, idpsList); err != nil {
		return err
	}
	todo, err := r.todo(ctx)
	if err != nil {
		return err
	}
	if todo.Trust {
		if err := r.list(ctx, trustList); err != nil {
			return err
		}
	}
	if err := r.learn(ctx, todo); err != nil {
		return err
	}
	if late(ctx, settleTime) {
		return pause{until: r.Now(), reason: "the function's time is up"}
	}
	return r.settle(ctx, todo)
}

// late tells that less than that is left of the function's time-out.
func late(ctx context.Context, needed time.Duration) bool {
	deadline, limited := ctx.Deadline()
	return limited && time.Until(deadline) < needed
}

// exhausted tells that the run has been called so often that it must end.
func (r *run) exhausted() bool { return r.in.Pass >= maxPasses }

// has tells whether the run had an object when the call began.
func (r *run) has(name string) bool { return slices.Contains(r.names, r.work+name) }

// ask makes one request to Okta, if the share of its rate limit allows it and
// there is time; otherwise it fails with a pause.
func ask[T any](ctx context.Context, r *run, b okta.Bucket, request func(context.Context) (T, error)) (T, error) {
	var none T
	if late(ctx, spare) {
		return none, pause{until: r.Now(), reason: "the function's time is up"}
	}
	share := r.policy.Settings().QuotaShare
	if w, known := r.Okta.Window(b); known {
		allowed := max(1, int(share*float64(w.Limit)+1e-9))
		if used := w.Limit - w.Remaining; used >= allowed {
			reason := fmt.Sprintf("%d of %d requests of %s are used in this window, and quotaShare is %v", used, w.Limit, b, share)
			if r.exhausted() {
				return none, rotation.Errorf("Okta.RateLimited", "%s; this run has waited %d times, and the next one goes on", reason, r.in.Pass)
			}
			return none, pause{until: w.Reset, window: true, reason: reason}
		}
	}
	answer, err := request(ctx)
	var refused *okta.Error
	if errors.As(err, &refused) && refused.Name == "Okta.RateLimited" {
		r.spent.Limited++
		if r.exhausted() {
			return answer, err
		}
		if w, known := r.Okta.Window(b); known && !refused.Reset.IsZero() {
			return answer, pause{until: w.Reset, window: true, reason: "the rate limit of " + string(b) + " is used up"}
		}
		// Too many requests at once: seconds, and not the same number each time.
		return answer, pause{until: r.Now().Add(time.Duration(5+r.in.Pass%10) * time.Second), reason: "too many requests at once"}
	}
	return answer, err
}

// passing tells whether an error may go by itself.
func passing(err error) bool {
	name := rotation.NameOf(err)
	return name == "Okta.Unavailable" || name == "Okta.RateLimited"
}

// ends tells whether an error ends the run: nothing can be asked of Okta, or
// nothing kept.
func ends(err error) bool {
	if errors.As(err, new(pause)) {
		return true
	}
	name := rotation.NameOf(err)
	return name == "Okta.Unauthorized" || !strings.HasPrefix(name, "Okta.")
}

// again decides about a request that failed with an error that may pass: nil to
// go on without it, a pause to try again.
func (r *run) again(ctx context.Context, what string, err error) error {
	if r.trouble.What != what {
		r.trouble.What, r.trouble.Attempts = what, 0
	}
	r.trouble.Attempts++
	if r.trouble.Attempts >= maxAttempts || r.exhausted() {
		return nil
	}
	if err := r.putJSON(ctx, r.work+"trouble.json", r.trouble); err != nil {
		return err
	}
	return pause{until: r.Now().Add(10 * time.Second << r.trouble.Attempts), reason: err.Error()}
}

func (r *run) readTrouble(ctx context.Context) error {
	if !r.has("trouble.json") {
		return nil
	}
	raw, _, err := r.Bucket.Read(ctx, r.work+"trouble.json")
	if err != nil {
		return err
	}
	return json.Unmarshal(raw, &r.trouble)
}

// used is what this call has used so far.
func (r *run) used() spent {
	s := r.spent
	s.Calls += r.Okta.Calls()
	s.Windows = map[okta.Bucket]okta.Window{}
	for _, b := range []okta.Bucket{okta.BucketApps, okta.BucketAPI} {
		if w, known := r.Okta.Window(b); known {
			s.Windows[b] = w
		}
	}
	return s
}

// remember takes over what an earlier call saw of the rate limits. Where a
// call died, the next one would otherwise make a request to find out.
func (r *run) remember(s spent) {
	for b, w := range s.Windows {
		known, is := r.Okta.Window(b)
		if r.Now().Before(w.Reset) && (!is || w.Reset.After(known.Reset) || w.Remaining < known.Remaining) {
			r.Okta.Remember(b, w)
		}
	}
}

// note keeps what this call has used.
func (r *run) note(ctx context.Context) error {
	s := r.used()
	if s.Calls == 0 && !s.Waited {
		return nil
	}
	return r.putJSON(context.WithoutCancel(ctx), r.work+"call-"+r.id+".json", s)
}

func (r *run) putJSON(ctx context.Context, key string, v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = r.Bucket.Put(ctx, key, bytes.NewReader(raw), bucket.Options{ContentType: "application/json"})
	return err
}

func problemOf(err error, t *rotation.Target) *inventory.Problem {
	name := rotation.NameOf(err)
	if name == "" {
		name = "Keyturn.Bug"
	}
	return &inventory.Problem{Name: name, Message: err.Error(), Target: t}
}
