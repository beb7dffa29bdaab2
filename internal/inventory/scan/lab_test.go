package scan_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"keyturn/internal/bucket"
	"keyturn/internal/bucket/buckettest"
	"keyturn/internal/inventory"
	"keyturn/internal/inventory/scan"
	"keyturn/internal/okta"
	"keyturn/internal/oktasim"
	"keyturn/internal/rotation"
)

const token = "00scanScanScanScanScanScanScanScanScanScan"

// clock is the time of the org and of the function.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func (c *clock) set(to time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if to.After(c.now) {
		c.now = to
	}
}

// lab is an org, a bucket, and the function between them.
type lab struct {
	t      *testing.T
	clock  *clock
	org    *oktasim.Org
	url    string
	s3     *buckettest.Server
	bucket bucket.Bucket
	policy string
	// skew is how far the function's clock is ahead of the org's.
	skew time.Duration
	runs int
	// resumed counts the calls of the last run; waits are what it waited for.
	calls int
	waits []string
}

func newLab(t *testing.T, limits oktasim.Limits) *lab {
	t.Helper()
	l := &lab{t: t, clock: &clock{now: time.Date(2026, 3, 1, 6, 0, 0, 0, time.UTC)}, policy: "{}"}
	l.org = oktasim.New(oktasim.Options{APIToken: token, Now: l.clock.Now, Limits: limits, TokenShare: 0.5, OnlyActiveApps: true})
	server := httptest.NewServer(l.org)
	t.Cleanup(server.Close)
	l.url = server.URL
	l.s3 = buckettest.New(t)
	l.bucket = l.s3.Bucket("inventory")
	return l
}

var unlimited = oktasim.Limits{Apps: oktasim.Unlimited, App: oktasim.Unlimited, API: oktasim.Unlimited}

// function is a new process of list-apps.
func (l *lab) function() scan.Apps { return l.functionWith(nil) }

func (l *lab) functionWith(h *http.Client) scan.Apps {
	l.t.Helper()
	credential, err := okta.ParseCredential("keyturn/okta", fmt.Appendf(nil, `{"apiToken":%q}`, token))
	if err != nil {
		l.t.Fatal(err)
	}
	now := func() time.Time { return l.clock.Now().Add(l.skew) }
	client, err := okta.New(okta.Config{OrgURL: l.url, Now: now, HTTP: h,
		Credentials: func(context.Context, bool) (okta.Credential, error) { return credential, nil }})
	if err != nil {
		l.t.Fatal(err)
	}
	return scan.Apps{Okta: client, Bucket: l.bucket, Defaults: rotation.DefaultSettings([]string{"sso-team@example.com"}),
		Now: now, TempDir: l.t.TempDir()}
}

// begin starts a run.
func (l *lab) begin() inventory.ListAppsInput {
	l.runs++
	l.calls, l.waits = 0, nil
	return inventory.ListAppsInput{
		Run:     inventory.Begun{ID: fmt.Sprintf("run-%d", l.runs), Execution: fmt.Sprintf("arn:aws:states:eu-west-1:123456789012:execution:keyturn-discovery:run-%d", l.runs), At: l.clock.Now()},
		Request: inventory.Request{Policy: json.RawMessage(l.policy)},
	}
}

// step calls the function once, in a new process, as the state machine does
// with its Retry: what may pass is tried again.
func (l *lab) step(in *inventory.ListAppsInput) (done bool) {
	l.t.Helper()
	for attempt := 0; ; attempt++ {
		l.calls++
		out, err := l.function().Run(l.t.Context(), *in)
		if name := rotation.NameOf(err); (name == "Bucket.Unavailable" || errors.As(err, new(dead))) && attempt < 6 {
			l.clock.pass(5 * time.Second)
			continue
		}
		if err != nil {
			l.t.Fatalf("call %d: %s: %v", l.calls, rotation.NameOf(err), err)
		}
		in.Pass++
		if !out.Done {
			l.waits = append(l.waits, out.Reason)
			l.clock.set(out.ResumeAt.Add(-l.skew))
		}
		return out.Done
	}
}

// finish calls the function until it is done.
func (l *lab) finish(in inventory.ListAppsInput) found {
	l.t.Helper()
	for range 3000 {
		if l.step(&in) {
			return l.read(in.Run.ID)
		}
	}
	l.t.Fatalf("the run does not end; it last waited because %s", l.waits[len(l.waits)-1])
	return found{}
}

func (l *lab) run() found {
	l.t.Helper()
	return l.finish(l.begin())
}

// found is what a run left.
type found struct {
	listing inventory.Listing
	entries []inventory.Entry
	dues    []inventory.Due
}

func (l *lab) read(run string) found {
	l.t.Helper()
	keys := inventory.Keys{Run: run}
	var f found
	if err := json.Unmarshal(l.object(keys.Listing()), &f.listing); err != nil {
		l.t.Fatal(err)
	}
	for e, err := range inventory.Lines[inventory.Entry](bytes.NewReader(l.object(keys.Entries()))) {
		if err != nil {
			l.t.Fatal(err)
		}
		f.entries = append(f.entries, e)
	}
	for d, err := range inventory.Lines[inventory.Due](bytes.NewReader(l.object(keys.Dues()))) {
		if err != nil {
			l.t.Fatal(err)
		}
		f.dues = append(f.dues, d)
	}
	return f
}

func (l *lab) object(key string) []byte {
	l.t.Helper()
	body, _, err := l.bucket.Read(l.t.Context(), key)
	if err != nil {
		l.t.Fatalf("%s: %v", key, err)
	}
	return body
}

func (f found) entry(t *testing.T, id string) inventory.Entry {
	t.Helper()
	for _, e := range f.entries {
		if e.Target.ID == id {
			return e
		}
	}
	t.Fatalf("the target %s is not in the inventory", id)
	return inventory.Entry{}
}

// app adds a SAML app whose certificate ends in so many days.
func (l *lab) app(label string, days int) string {
	return l.org.AddApp(oktasim.AppSpec{Label: label, Created: l.clock.Now().AddDate(-1, 0, 0), Key: l.key(days)})
}

func (l *lab) key(days int) *oktasim.Key {
	return oktasim.NewKey(oktasim.KeySpec{Created: l.clock.Now().AddDate(-2, 0, 0), NotAfter: l.clock.Now().AddDate(0, 0, days).Add(time.Hour)})
}

// asked counts the org's calls of an operation since the last time.
func (l *lab) asked() map[string]int {
	counts := map[string]int{}
	for _, c := range l.org.Calls() {
		counts[c.Operation]++
	}
	l.org.ResetCalls()
	return counts
}

// sum is a body's SHA-256 in hex.
func sum(body []byte) string { return fmt.Sprintf("%x", sha256.Sum256(body)) }

// dead is what a call dies with in a test.
type dead struct{}

func (dead) Error() string { return "the function was killed" }
