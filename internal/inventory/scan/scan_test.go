package scan_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"keyturn/internal/bucket"
	"keyturn/internal/bucket/buckettest"
	"keyturn/internal/inventory"
	"keyturn/internal/oktasim"
	"keyturn/internal/rotation"
)

func TestEverySAMLTargetIsAnEntryWithItsCertificate(t *testing.T) {
	l := newLab(t, unlimited)
	soon := l.app("Salesforce – EMEA", 20)
	later := l.app("Service Desk", 300)
	idp := l.org.AddIDP(oktasim.IDPSpec{Label: "Contractors – ADFS", Key: l.key(30)})
	l.org.AddApp(oktasim.AppSpec{Label: "Parking", SignOnMode: "SECURE_PASSWORD_STORE"})
	l.org.AddIDP(oktasim.IDPSpec{Label: "Google", Type: "GOOGLE", Raw: `{"protocol":{"type":"OIDC"}}`})
	found := l.run()

	var order []string
	for _, e := range found.entries {
		order = append(order, e.Target.ID)
	}
	if want := []string{soon, idp, later}; !slices.Equal(order, want) {
		t.Errorf("the entries are %v, want the earliest expiry first: %v", order, want)
	}
	e := found.entry(t, soon)
	key := l.org.Keys("app", soon)[0]
	if e.Kid != key.Kid || !e.NotAfter.Equal(key.NotAfter()) || !e.NotBefore.Equal(key.Certificate.NotBefore) || e.Issuer != key.Certificate.Issuer.String() ||
		e.Subject != key.Certificate.Subject.String() || *e.DaysLeft != 20 || e.Sharing != 1 || e.Rule != -1 || e.Status != "ACTIVE" || e.Target.Label != "Salesforce – EMEA" {
		t.Errorf("the entry is %+v", e)
	}
	if e.Mode != rotation.ModeNotify || e.Action != inventory.ActionNotify || !e.Due {
		t.Errorf("a certificate with 20 days left is %s in mode %s, due: %v", e.Action, e.Mode, e.Due)
	}
	if e := found.entry(t, later); e.Action != inventory.ActionNone || e.Due {
		t.Errorf("a certificate with 300 days left is %s, due: %v", e.Action, e.Due)
	}
	r := found.listing.Run
	if r.Apps != 3 || r.IDPs != 1 || r.Targets != 3 || !r.Complete || r.ProblemCount != 0 || r.LearnedKids != 3 {
		t.Errorf("the run is %+v", r)
	}
	trust := found.listing.Trust
	if len(trust) != 1 || trust[0].NotAfter == nil || len(trust[0].UsedBy) != 1 || trust[0].UsedBy[0].ID != idp {
		t.Errorf("the partners' certificates are %+v", trust)
	}
	if len(found.dues) != 2 || found.dues[0].Target.ID != soon || found.dues[0].Settings.ValidityDays != 397 {
		t.Errorf("due is %+v", found.dues)
	}
}

func TestWithNothingNewOnlyTheListsAreRead(t *testing.T) {
	l := newLab(t, unlimited)
	for i := range 450 {
		l.app(fmt.Sprintf("App %03d", i), 100+i)
	}
	for i := range 210 {
		l.org.AddIDP(oktasim.IDPSpec{Label: fmt.Sprintf("IdP %03d", i), Key: l.key(100 + i)})
	}
	first := l.run()
	if got := l.asked(); got["listApplicationKeys"] != 450 || got["listIdentityProviderSigningKeys"] != 210 {
		t.Errorf("the first look made %v", got)
	}
	if first.listing.Run.LearnedKids != 660 || first.listing.Run.ProblemCount != 0 {
		t.Errorf("the first run is %+v", first.listing.Run)
	}
	second := l.run()
	if got := l.asked(); len(got) != 2 || got["listApplications"] != 3 || got["listIdentityProviders"] != 2 {
		t.Errorf("the second look made %v, want 3 pages of apps and 2 of IdPs", got)
	}
	if second.listing.Run.OktaCalls != 5 || second.listing.Run.LearnedKids != 0 || len(second.entries) != 660 {
		t.Errorf("the second run is %+v with %d entries", second.listing.Run, len(second.entries))
	}
	// A new key is asked for, and nothing else.
	l.app("New", 3000)
	l.run()
	if got := l.asked(); got["listApplicationKeys"] != 1 || got["listIdentityProviderSigningKeys"]+got["listIdentityProviderKeys"] != 0 {
		t.Errorf("with one new app the look made %v", got)
	}
}

func TestACertificateThatTheKeystoreLacksIsLookedForOnce(t *testing.T) {
	l := newLab(t, unlimited)
	id := l.org.AddIDP(oktasim.IDPSpec{Label: "Contractors – ADFS", Key: l.key(30)})
	l.org.Edit("idp", id, "protocol.credentials.trust.additionalKids", `["gone"]`)
	for run, want := range []int{1, 0} {
		found := l.run()
		if got := l.asked()["listIdentityProviderKeys"]; got != want {
			t.Errorf("run %d reads the keystore %d times", run, got)
		}
		trust := found.listing.Trust
		if len(trust) != 2 || trust[0].Problem != nil || trust[1].Kid != "gone" || trust[1].Problem == nil || trust[1].Problem.Name != "Okta.NotFound" {
			t.Errorf("run %d: the partners' certificates are %+v", run, trust)
		}
	}
}

func TestASharedKidIsAskedForOnceAndKnowsItsGroup(t *testing.T) {
	l := newLab(t, unlimited)
	shared := l.key(38)
	var ids []string
	for i := range 7 {
		ids = append(ids, l.org.AddApp(oktasim.AppSpec{Label: fmt.Sprintf("Legacy %d", i), Key: shared}))
	}
	alone := l.app("Alone", 50)
	found := l.run()
	if got := l.asked()["listApplicationKeys"]; got != 2 {
		t.Errorf("two kids took %d calls", got)
	}
	for _, id := range ids {
		if e := found.entry(t, id); e.Sharing != 7 || e.Kid != shared.Kid || *e.DaysLeft != 38 {
			t.Errorf("the entry of %s is %+v", id, e)
		}
	}
	if e := found.entry(t, alone); e.Sharing != 1 {
		t.Errorf("the app with a key of its own shares it with %d", e.Sharing)
	}
	groups := found.listing.SharedKeys
	if len(groups) != 1 || groups[0].Kid != shared.Kid || groups[0].Kind != rotation.KindApp || len(groups[0].Targets) != 7 || groups[0].Targets[0].Label == "" {
		t.Errorf("the groups are %+v", groups)
	}
}

func TestAKidThatIsGoneIsForgotten(t *testing.T) {
	l := newLab(t, unlimited)
	id := l.app("Rotated", 20)
	old := l.org.ActiveKid("app", id)
	l.run()
	if !bytes.Contains(l.object("memory/kids.jsonl"), []byte(old)) {
		t.Fatal("the kid is not remembered")
	}
	key := l.key(400)
	l.org.AddKey("app", id, key)
	l.org.SetActiveKid("app", id, key.Kid)
	l.clock.pass(24 * time.Hour)
	l.run()
	if memory := l.object("memory/kids.jsonl"); bytes.Contains(memory, []byte(old)) || !bytes.Contains(memory, []byte(key.Kid)) {
		t.Error("the memory does not hold the new kid alone")
	}
	if left, err := l.bucket.List(t.Context(), "memory/new/"); err != nil || len(left) != 0 {
		t.Errorf("objects are left: %v, %v", left, err)
	}
}

// windows counts the calls of a bucket by window, as the org's clock has it.
func (l *lab) windows(match func(path string) bool) map[time.Time]int {
	counts := map[time.Time]int{}
	var opened time.Time
	for _, c := range l.org.Calls() {
		if !match(c.Path) {
			continue
		}
		if c.Time.Sub(opened) >= time.Minute {
			opened = c.Time
		}
		counts[opened]++
	}
	return counts
}

func isApps(path string) bool { return strings.HasPrefix(path, "/api/v1/apps") }

func TestItUsesItsShareOfAWindowAndNoMore(t *testing.T) {
	l := newLab(t, oktasim.Limits{}) // a Workforce org's: 100 a minute
	for i := range 260 {
		l.app(fmt.Sprintf("App %03d", i), 100+i)
	}
	found := l.run()
	windows := l.windows(isApps)
	for at, n := range windows {
		if n > 50 {
			t.Errorf("in the window of %s it made %d of 100 calls with quotaShare 0.5", at, n)
		}
	}
	// 262 calls are six windows.
	if len(windows) != 6 {
		t.Errorf("it took %d windows", len(windows))
	}
	for _, c := range l.org.Calls() {
		if c.Status == http.StatusTooManyRequests {
			t.Fatalf("429 for %s", c.Path)
		}
	}
	if r := found.listing.Run; r.RateLimited != 0 || r.Waits != 5 || r.OktaCalls != len(l.org.Calls()) || r.ProblemCount != 0 {
		t.Errorf("the run is %+v, with %d calls", r, len(l.org.Calls()))
	}
	if got := l.org.Calls(); len(got) != 2+260+1 {
		t.Errorf("it made %d calls for 2 pages of apps, one of IdPs, and 260 kids", len(got))
	}
}

func TestOthersUseCountsAgainstItsShare(t *testing.T) {
	l := newLab(t, oktasim.Limits{})
	l.policy = `{"quotaShare": 0.3}`
	for i := range 40 {
		l.app(fmt.Sprintf("App %03d", i), 100+i)
	}
	// Others use 20 of each window's 100 before anything else: ten are left.
	l.org.OthersUse("/api/v1/apps", 20)
	l.run()
	for at, n := range l.windows(isApps) {
		if n > 10 {
			t.Errorf("in the window of %s it made %d calls beside the 20 of others, with a share of 30", at, n)
		}
	}
	// Others use more than the share leaves: one call finds that out, and it
	// makes none for the rest of the window.
	l.org.OthersUse("/api/v1/apps", 90)
	l.clock.pass(2 * time.Minute)
	l.org.ResetCalls()
	in := l.begin()
	l.step(&in)
	if got := l.windows(isApps); len(got) != 1 {
		t.Fatalf("the windows are %v", got)
	}
	for _, n := range l.windows(isApps) {
		if n > 1 {
			t.Errorf("it made %d calls in a window that others had used up", n)
		}
	}
}

func TestARunEndsEvenIfOthersUseEverything(t *testing.T) {
	l := newLab(t, oktasim.Limits{})
	l.app("Salesforce – EMEA", 20)
	l.run()
	// All of it, so that the answers are 429; or so much that a share is used up
	// with the first answer.
	for _, others := range []int{100, 60} {
		l.org.OthersUse("/api/v1/apps", others)
		for i := range 30 {
			l.app(fmt.Sprintf("App %d beside %d", i, others), 20)
		}
		l.clock.pass(time.Hour)
		in := l.begin()
		in.Pass = 1980 // it has waited that often
		found := l.finish(in)
		if l.calls > 40 {
			t.Errorf("it took %d calls of the function", l.calls)
		}
		limited := func(p inventory.Problem) bool { return p.Name == "Okta.RateLimited" }
		if p := found.listing.Run.Problems; !slices.ContainsFunc(p, limited) {
			t.Errorf("the problems are %v", p)
		}
	}
}

// TestAFunctionThatDiesAsksForNothingTwice kills the function again and again,
// in the middle of a request to Okta or to the bucket, before its effect or
// after it.
func TestAFunctionThatDiesAsksForNothingTwice(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		l := newLab(t, oktasim.Limits{Apps: 20, App: 100, API: 100})
		apps := rapid.IntRange(1, 15).Draw(rt, "apps")
		for i := range apps {
			l.app(fmt.Sprintf("App %03d", i), 10+i)
		}
		l.org.AddIDP(oktasim.IDPSpec{Label: "Contractors – ADFS", Key: l.key(30)})
		in := l.begin()
		kills, done := 0, false
		for n := 0; !done && n < 400; n++ {
			after := 1 << 30
			if kills < 10 {
				after = rapid.IntRange(1, 25).Draw(rt, "requests until it dies")
			}
			killed := l.dieAfter(&in, after, rapid.Bool().Draw(rt, "after the effect"), &done)
			if killed {
				kills++
			}
		}
		if !done {
			rt.Fatal("the run does not end")
		}
		found := l.read(in.Run.ID)
		if len(found.entries) != apps+1 || found.listing.Run.ProblemCount != 0 {
			rt.Fatalf("%d entries for %d targets, problems %v", len(found.entries), apps+1, found.listing.Run.Problems)
		}
		asked, limited := map[string]int{}, 0
		for _, c := range l.org.Calls() {
			if c.Status == http.StatusTooManyRequests {
				limited++
				continue
			}
			asked[c.Operation+" "+c.ID]++
		}
		// Of the request that a call dies in nobody knows: the next one may be
		// one too many.
		if limited > kills {
			rt.Fatalf("%d answers were 429 after %d deaths", limited, kills)
		}
		twice := 0
		for _, n := range asked {
			twice += n - 1
		}
		if twice > kills {
			rt.Fatalf("%d requests were made again after %d deaths: %v", twice, kills, asked)
		}
	})
}

// mortal is a transport that dies.
type mortal struct {
	left        *int
	afterEffect bool
}

func (m mortal) RoundTrip(r *http.Request) (*http.Response, error) {
	*m.left--
	if *m.left == 0 && !m.afterEffect {
		panic(dead{})
	}
	response, err := http.DefaultTransport.RoundTrip(r)
	if *m.left == 0 {
		panic(dead{})
	}
	return response, err
}

// dieAfter calls the function once; it dies in its n-th request.
func (l *lab) dieAfter(in *inventory.ListAppsInput, n int, afterEffect bool, done *bool) (died bool) {
	defer func() {
		if r := recover(); r != nil {
			if _, ok := r.(dead); !ok {
				panic(r)
			}
			died = true
			l.clock.pass(time.Second) // Step Functions tries again
		}
	}()
	f := l.functionWith(&http.Client{Transport: mortal{&n, afterEffect}})
	out, err := f.Run(l.t.Context(), *in)
	if err != nil {
		l.t.Fatal(err)
	}
	in.Pass++
	*done = out.Done
	if !out.Done {
		l.clock.set(*out.ResumeAt)
	}
	return false
}

func TestTroubleWithOneTargetIsItsOwn(t *testing.T) {
	cases := map[string]struct {
		// spoil makes trouble for one of the targets.
		spoil   func(l *lab, id string)
		problem string
		// again is how many calls for keys the next run makes.
		again int
	}{
		"deleted since it was listed": {func(l *lab, id string) {
			l.org.Fail(oktasim.Fault{Operation: "listApplicationKeys", ID: id, Kind: oktasim.FaultNotFound, Times: 1})
		}, "Okta.NotFound", 1},
		"keys forbidden": {func(l *lab, id string) {
			l.org.Fail(oktasim.Fault{Operation: "listApplicationKeys", ID: id, Kind: oktasim.FaultForbidden, Times: 1 << 20})
		}, "Okta.Forbidden", 1},
		"no key": {func(l *lab, id string) { l.org.Edit("app", id, "credentials.signing", `{}`) }, "Target.NoActiveKey", 0},
		"a broken certificate": {func(l *lab, id string) {
			k := l.key(20)
			k.X5C = "bm90IGEgY2VydGlmaWNhdGU="
			l.org.AddKey("app", id, k)
			l.org.SetActiveKid("app", id, k.Kid)
		}, "Certificate.Broken", 0},
		"Okta does not answer for it": {func(l *lab, id string) {
			l.org.Fail(oktasim.Fault{Operation: "listApplicationKeys", ID: id, Kind: oktasim.FaultInternal, Times: 5})
		}, "Okta.Unavailable", 1},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, unlimited)
			var ids []string
			for i := range 6 {
				ids = append(ids, l.app(fmt.Sprintf("App %d", i), 20+i))
			}
			c.spoil(l, ids[3])
			found := l.run()
			if len(found.entries) != 6 {
				t.Fatalf("%d entries for 6 targets", len(found.entries))
			}
			for i, id := range ids {
				e := found.entry(t, id)
				if i != 3 && (e.Problem != nil || e.DaysLeft == nil || *e.DaysLeft != 20+i) {
					t.Errorf("the trouble reached another target: %+v", e)
				}
				if i == 3 && (e.Problem == nil || e.Problem.Name != c.problem || e.Action != inventory.ActionUnknown || e.Due) {
					t.Errorf("the target's entry is %+v, problem %+v; want %s", e, e.Problem, c.problem)
				}
			}
			p := found.listing.Run.Problems
			if len(p) != 1 || p[0].Name != c.problem || p[0].Target == nil || p[0].Target.ID != ids[3] || p[0].Message == "" {
				t.Errorf("the run's problems are %+v", p)
			}
			l.asked()
			l.clock.pass(24 * time.Hour)
			l.run()
			if got := l.asked()["listApplicationKeys"]; got != c.again {
				t.Errorf("the next run asks for %d keys, want %d", got, c.again)
			}
		})
	}
}

func TestRightsThatAreMissingCostTwoCallsARunAndNoneOnceTheyAreThere(t *testing.T) {
	l := newLab(t, unlimited)
	for i := range 9 {
		id := l.app(fmt.Sprintf("App %d", i), 20+i)
		l.org.Fail(oktasim.Fault{Operation: "listApplicationKeys", ID: id, Kind: oktasim.FaultForbidden, Times: 1 << 20})
	}
	if got := l.run().listing.Run.ProblemCount; got != 9 {
		t.Fatalf("%d problems for 9 apps", got)
	}
	l.asked()
	for range 3 {
		l.clock.pass(24 * time.Hour)
		if got := l.run(); got.listing.Run.ProblemCount != 9 || l.asked()["listApplicationKeys"] != 2 {
			t.Errorf("the next run has %d problems", got.listing.Run.ProblemCount)
		}
	}
	l.org.ClearFaults()
	l.clock.pass(24 * time.Hour)
	if got := l.run(); got.listing.Run.ProblemCount != 0 || l.asked()["listApplicationKeys"] != 9 {
		t.Errorf("with the rights there the run has %d problems", got.listing.Run.ProblemCount)
	}
}

func TestAnotherOfTheGroupTellsWhatADeletedOneCannot(t *testing.T) {
	l := newLab(t, unlimited)
	shared := l.key(20)
	var ids []string
	for i := range 3 {
		ids = append(ids, l.org.AddApp(oktasim.AppSpec{Label: fmt.Sprintf("Legacy %d", i), Key: shared}))
	}
	l.org.Fail(oktasim.Fault{Operation: "listApplicationKeys", ID: ids[0], Kind: oktasim.FaultNotFound, Times: 1})
	found := l.run()
	if e := found.entry(t, ids[0]); e.Problem == nil || e.Problem.Name != "Okta.NotFound" || e.Due {
		t.Errorf("the entry of the one that is gone is %+v", e)
	}
	for _, id := range ids[1:] {
		if e := found.entry(t, id); e.Problem != nil || *e.DaysLeft != 20 || !e.Due {
			t.Errorf("the entry of another is %+v", e)
		}
	}
}

func TestAListThatFailsInTheMiddleIsMadeUpForByTheEarlierInventory(t *testing.T) {
	l := newLab(t, unlimited)
	l.policy = `{"mode": "rotate"}`
	var ids []string
	for i := range 450 {
		ids = append(ids, l.app(fmt.Sprintf("App %03d", i), 10+i))
	}
	l.publish(l.run())
	// The second page fails for good.
	l.org.Fail(oktasim.Fault{Operation: "listApplications", Nth: 2, Times: 5, Kind: oktasim.FaultInternal})
	l.clock.pass(24 * time.Hour)
	found := l.run()
	r := found.listing.Run
	if r.Complete || len(found.entries) != 450 || r.Targets != 450 || r.ProblemCount != 1 || r.Problems[0].Name != "Okta.Unavailable" {
		t.Fatalf("%d entries, the run is %+v", len(found.entries), r)
	}
	fresh, stale := found.entry(t, ids[0]), found.entry(t, ids[300])
	if fresh.Stale || *fresh.DaysLeft != 9 || fresh.Action != inventory.ActionStart {
		t.Errorf("a target of the first page is %+v", fresh)
	}
	if !stale.Stale || *stale.DaysLeft != 309 || stale.Action != inventory.ActionNone || stale.Target.Label != "App 300" {
		t.Errorf("a target of the second page is %+v", stale)
	}
	// What was not listed is not forgotten: the next run asks for nothing.
	l.asked()
	l.clock.pass(24 * time.Hour)
	if again := l.run(); !again.listing.Run.Complete || l.asked()["listApplicationKeys"] != 0 {
		t.Errorf("the run after it is %+v", again.listing.Run)
	}
	// A page that fails for a while costs a wait and nothing else.
	l.org.Fail(oktasim.Fault{Operation: "listApplications", Nth: 2, Times: 2, Kind: oktasim.FaultInternal})
	if again := l.run(); !again.listing.Run.Complete || l.asked()["listApplications"] != 5 {
		t.Errorf("the run with two failures is %+v", again.listing.Run)
	}
}

// publish puts an inventory where report-inventory puts it.
func (l *lab) publish(f found) {
	l.t.Helper()
	body, err := json.Marshal(map[string]any{"version": 1, "targets": f.entries})
	if err != nil {
		l.t.Fatal(err)
	}
	_, err = l.bucket.Put(l.t.Context(), inventory.LatestInventory, bytes.NewReader(body),
		bucket.Options{Metadata: map[string]string{inventory.MetaSHA256: sum(body)}})
	if err != nil {
		l.t.Fatal(err)
	}
}

func TestAnInventoryThatSomebodyChangedIsReported(t *testing.T) {
	for name, spoil := range map[string]func([]byte) []byte{
		"another date":    func(b []byte) []byte { return bytes.Replace(b, []byte("2026"), []byte("2027"), 1) },
		"cut":             func(b []byte) []byte { return b[:len(b)/2] },
		"no JSON":         func([]byte) []byte { return []byte("oops") },
		"empty":           func([]byte) []byte { return nil },
		"another version": func([]byte) []byte { return []byte(`{"targets": {}}`) },
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, unlimited)
			l.app("Salesforce – EMEA", 20)
			l.publish(l.run())
			there, err := l.bucket.Get(t.Context(), inventory.LatestInventory)
			if err != nil {
				t.Fatal(err)
			}
			body := l.object(inventory.LatestInventory)
			_ = there.Body.Close()
			if _, err := l.bucket.Put(t.Context(), inventory.LatestInventory, bytes.NewReader(spoil(body)), bucket.Options{Metadata: there.Metadata}); err != nil {
				t.Fatal(err)
			}
			r := l.run().listing.Run
			if r.ProblemCount != 1 || r.Problems[0].Name != "Inventory.Damaged" || r.Targets != 1 {
				t.Errorf("the run is %+v", r)
			}
		})
	}
}

func TestAMemoryThatSomebodyChangedIsAskedForAgain(t *testing.T) {
	l := newLab(t, unlimited)
	for i := range 5 {
		l.app(fmt.Sprintf("App %d", i), 20+i)
	}
	l.run()
	l.asked()
	memory := bytes.Split(l.object("memory/kids.jsonl"), []byte("\n"))
	memory[1] = bytes.Replace(memory[1], []byte("2026"), []byte("2036"), 1)
	memory[3] = memory[3][:40]
	if _, err := l.bucket.Put(t.Context(), "memory/kids.jsonl", bytes.NewReader(bytes.Join(memory, []byte("\n"))), bucket.Options{}); err != nil {
		t.Fatal(err)
	}
	found := l.run()
	if got := l.asked()["listApplicationKeys"]; got != 2 {
		t.Errorf("two damaged lines took %d calls", got)
	}
	if p := found.listing.Run.Problems; len(p) != 2 || p[0].Name != "Memory.Damaged" || !strings.Contains(p[0].Message, "line 2") {
		t.Errorf("the problems are %+v", p)
	}
	for i, e := range found.entries {
		if *e.DaysLeft != 20+i {
			t.Errorf("the entry is %+v", e)
		}
	}
	if again := l.run(); again.listing.Run.ProblemCount != 0 || l.asked()["listApplicationKeys"] != 0 {
		t.Errorf("the run after it is %+v", again.listing.Run)
	}
}

func TestTwoRunsAtOnceLoseNothingOfOneAnother(t *testing.T) {
	l := newLab(t, oktasim.Limits{Apps: 20, App: 100, API: 100})
	for i := range 60 {
		l.app(fmt.Sprintf("App %03d", i), 10+i)
	}
	a := l.begin()
	l.step(&a)
	l.clock.pass(time.Minute)
	b := l.begin()
	doneA, doneB := false, false
	for range 100 {
		if !doneA {
			doneA = l.step(&a)
		}
		if !doneB {
			doneB = l.step(&b)
		}
	}
	if !doneA || !doneB {
		t.Fatal("the runs do not end")
	}
	for _, in := range []inventory.ListAppsInput{a, b} {
		if f := l.read(in.Run.ID); len(f.entries) != 60 || f.listing.Run.ProblemCount != 0 {
			t.Errorf("the run %s has %d entries, problems %v", in.Run.ID, len(f.entries), f.listing.Run.Problems)
		}
	}
	if got := l.asked()["listApplicationKeys"]; got > 61 {
		t.Errorf("both together asked %d times for 60 kids", got)
	}
	l.run()
	if got := l.asked()["listApplicationKeys"]; got != 0 {
		t.Errorf("the run after them asks for %d", got)
	}
}

func TestTheFirstRuleThatMatchesIsTheOneThatIsReported(t *testing.T) {
	l := newLab(t, unlimited)
	off, rule, rest := l.app("Old Intranet", 20), l.app("Salesforce – EMEA", 20), l.app("Wiki", 20)
	l.policy = fmt.Sprintf(`{"mode": "notify", "rules": [{"match": {"id": %q}, "mode": "off"},
		{"match": {"label": "salesforce*"}, "mode": "rotate", "approvers": ["crm@example.com"]}]}`, off)
	found := l.run()
	for id, want := range map[string]inventory.Entry{
		off:  {Rule: 0, Mode: "off", Action: inventory.ActionOff},
		rule: {Rule: 1, Mode: "rotate", Action: inventory.ActionStart, Due: true},
		rest: {Rule: -1, Mode: "notify", Action: inventory.ActionNotify, Due: true},
	} {
		if e := found.entry(t, id); e.Rule != want.Rule || e.Mode != want.Mode || e.Action != want.Action || e.Due != want.Due {
			t.Errorf("%s: rule %d, mode %s, action %s, due %v; want %+v", e.Target.Label, e.Rule, e.Mode, e.Action, e.Due, want)
		}
	}
	if d := found.dues; len(d) != 2 || !slices.ContainsFunc(d, func(d inventory.Due) bool {
		return d.Target.ID == rule && slices.Equal(d.Settings.Approvers, []string{"crm@example.com"})
	}) {
		t.Errorf("due is %+v", d)
	}
}

func TestWhatKeyturnCannotRotateIsShownAndNotStarted(t *testing.T) {
	l := newLab(t, unlimited)
	l.policy = `{"mode": "rotate"}`
	inactive := l.org.AddApp(oktasim.AppSpec{Label: "Old Intranet", Status: "INACTIVE", Key: l.key(20)})
	saml11 := l.org.AddApp(oktasim.AppSpec{Label: "Ancient", SignOnMode: "SAML_1_1", Key: l.key(20)})
	wsfed := l.org.AddApp(oktasim.AppSpec{Label: "Office", SignOnMode: "WS_FEDERATION", Key: l.key(500)})
	found := l.run()
	if e := found.entry(t, inactive); e.Action != inventory.ActionInactive || e.Due || *e.DaysLeft != 20 {
		t.Errorf("the inactive app is %+v", e)
	}
	if e := found.entry(t, saml11); e.Action != inventory.ActionUnsupported || !e.Due || e.Reason == "" {
		t.Errorf("the SAML 1.1 app is %+v", e)
	}
	if e := found.entry(t, wsfed); e.Action != inventory.ActionNone || e.Due {
		t.Errorf("the WS-Federation app is %+v", e)
	}
}

func TestAClockThatIsWrongIsReportedAndWaitsAreRight(t *testing.T) {
	l := newLab(t, oktasim.Limits{})
	for i := range 120 {
		l.app(fmt.Sprintf("App %03d", i), 100+i)
	}
	l.skew = 3 * time.Hour // the function's clock is ahead of Okta's
	found := l.run()
	if p := found.listing.Run.Problems; len(p) != 1 || p[0].Name != "Clock.Skewed" || found.listing.Run.RateLimited != 0 {
		t.Errorf("the run is %+v", found.listing.Run)
	}
	if got := len(l.windows(isApps)); got != 3 {
		t.Errorf("121 calls took %d windows", got)
	}
}

func TestARefusedCredentialEndsTheRun(t *testing.T) {
	l := newLab(t, unlimited)
	l.app("Salesforce – EMEA", 20)
	l.org.Fail(oktasim.Fault{Kind: oktasim.FaultUnauthorized, Times: 10})
	_, err := l.function().Run(t.Context(), l.begin())
	if rotation.NameOf(err) != "Okta.Unauthorized" {
		t.Errorf("got %v", err)
	}
}

func TestAPolicyThatCannotBeUsedEndsTheRunBeforeItAsks(t *testing.T) {
	l := newLab(t, unlimited)
	l.policy = `{"rules": [{"match": {"label": "*"}, "mode": "off"}, {"match": {"label": "Sales*"}, "mode": "rotate"}]}`
	_, err := l.function().Run(t.Context(), l.begin())
	if rotation.NameOf(err) != "Policy.Invalid" || !strings.Contains(err.Error(), "rules[1]") || len(l.org.Calls()) != 0 {
		t.Errorf("got %v, and %d calls", err, len(l.org.Calls()))
	}
}

func TestTheCAsThatThePolicyLeadsToAreToBeDescribed(t *testing.T) {
	l := newLab(t, oktasim.Limits{Apps: 10, App: 10, API: oktasim.Unlimited})
	for i := range 20 {
		l.app(fmt.Sprint("App ", i), 100)
	}
	l.policy = `{"validityDays": 200, "rules": [{"match": {"label": "App 1"}, "validityDays": 300}, {"match": {"label": "App 3"}, "certificateAuthority": "stepca"}, {"match": {"label": "App 2"}, "mode": "off", "validityDays": 800}, {"match": {"label": "Gone"}, "certificateAuthority": "kms", "validityDays": 900}]}`
	want := []rotation.CertificateAuthority{rotation.AuthorityLocal, rotation.AuthorityKMS, rotation.AuthorityStepCA}
	in := l.begin()
	// At every call: the state machine goes by what the last one says.
	for {
		out, err := l.function().Run(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(out.Authorities, want) {
			t.Errorf("in pass %d they are %q, want %q", in.Pass, out.Authorities, want)
		}
		if out.Done {
			break
		}
		in.Pass++
		l.clock.set(*out.ResumeAt)
	}
	if in.Pass == 0 {
		t.Error("the run did not wait")
	}
	if out, err := l.function().Run(t.Context(), in); err != nil || !slices.Equal(out.Authorities, want) {
		t.Errorf("asked again: %q, %v", out.Authorities, err)
	}
	// The longest that a target gets which is there, and not off.
	if got := l.read(in.Run.ID).listing.ValidityDays; len(got) != 2 || got[rotation.AuthorityLocal] != 300 || got[rotation.AuthorityStepCA] != 200 {
		t.Errorf("the longest validity is %v", got)
	}
}

func TestARunThatIsThroughIsThrough(t *testing.T) {
	l := newLab(t, unlimited)
	l.app("Salesforce – EMEA", 20)
	in := l.begin()
	l.finish(in)
	l.asked()
	before := l.object(inventory.Keys{Run: in.Run.ID}.Listing())
	l.clock.pass(time.Hour)
	if l.finish(in); len(l.asked()) != 0 || !bytes.Equal(before, l.object(inventory.Keys{Run: in.Run.ID}.Listing())) {
		t.Error("a second call after the end did something")
	}
}

func TestTheRequestsPolicyGoesBeforeTheStacks(t *testing.T) {
	l := newLab(t, unlimited)
	id := l.app("Salesforce – EMEA", 20)
	f := l.function()
	f.Policy = json.RawMessage(`{"mode": "off"}`)
	for policy, want := range map[string]inventory.Action{"": inventory.ActionOff, "null": inventory.ActionOff, `{"mode": "rotate"}`: inventory.ActionStart} {
		l.policy = policy
		in := l.begin()
		if _, err := f.Run(t.Context(), in); err != nil {
			t.Fatal(err)
		}
		if got := l.read(in.Run.ID).entry(t, id).Action; got != want {
			t.Errorf("with the request's policy %q the action is %s, want %s", policy, got, want)
		}
	}
}

func TestACallAfterADeadOneKnowsWhatIsUsed(t *testing.T) {
	for name, apps := range map[string]int{"in the lists": 3, "among the keys": 15} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, oktasim.Limits{Apps: 20, App: 100, API: 100})
			for i := range apps {
				l.app(fmt.Sprintf("App %03d", i), 10+i)
			}
			if apps == 3 {
				l.org.UseByOthers("/api/v1/apps", 9)
			}
			in := l.begin()
			for range 2 {
				// The same call again, as after a lost answer: the clock stands.
				if out, err := l.function().Run(t.Context(), in); err != nil || out.Done {
					t.Fatalf("done: %v, %v", out.Done, err)
				}
			}
			for at, n := range l.windows(isApps) {
				if most := map[int]int{3: 1, 15: 10}[apps]; n > most {
					t.Errorf("in the window of %s it made %d calls, and %d are its share", at, n, most)
				}
			}
		})
	}
}

func TestWhenOktaAnswersNothingTheRestIsLeftForTheNextRun(t *testing.T) {
	l := newLab(t, unlimited)
	for i := range 10 {
		l.app(fmt.Sprintf("App %d", i), 20+i)
	}
	l.org.Fail(oktasim.Fault{Operation: "listApplicationKeys", Kind: oktasim.FaultReadOnly, Times: -1})
	found := l.run()
	if got := l.asked()["listApplicationKeys"]; got != 3*5 {
		t.Errorf("it made %d calls for keys, want five for each of three", got)
	}
	if r := found.listing.Run; len(found.entries) != 10 || r.ProblemCount != 10 || r.Problems[0].Name != "Okta.Unavailable" {
		t.Errorf("%d entries, the run is %+v", len(found.entries), r)
	}
	l.org.ClearFaults()
	if again := l.run(); again.listing.Run.ProblemCount != 0 || l.asked()["listApplicationKeys"] != 10 {
		t.Errorf("the run after it is %+v", again.listing.Run)
	}
}

func TestACallEndsBeforeItsTimeIsUp(t *testing.T) {
	for left, wantCalls := range map[time.Duration]bool{30 * time.Second: false, 100 * time.Second: true} {
		l := newLab(t, unlimited)
		l.app("Salesforce – EMEA", 20)
		in := l.begin()
		ctx, cancel := context.WithTimeout(t.Context(), left)
		defer cancel()
		out, err := l.function().Run(ctx, in)
		if err != nil || out.Done || out.ResumeAt == nil || out.ResumeAt.Sub(l.clock.Now()) > 2*time.Second {
			t.Errorf("with %v left it answers %+v, %v", left, out, err)
		}
		if got := len(l.org.Calls()) > 0; got != wantCalls {
			t.Errorf("with %v left it made calls: %v", left, got)
		}
		in.Pass++
		if found := l.finish(in); len(found.entries) != 1 {
			t.Errorf("%d entries", len(found.entries))
		}
	}
}

func TestATargetThatIsListedTwiceIsOneEntry(t *testing.T) {
	l := newLab(t, unlimited)
	for i := range 3 {
		l.app(fmt.Sprintf("App %d", i), 20+i)
	}
	// The list shifts between two pages: its first app comes again.
	shifting := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := httptest.NewRecorder()
		l.org.ServeHTTP(answer, r)
		body := answer.Body.Bytes()
		var list []json.RawMessage
		if r.URL.Path == "/api/v1/apps" && json.Unmarshal(body, &list) == nil {
			body, _ = json.Marshal(append(list, list[0]))
		}
		maps.Copy(w.Header(), answer.Header())
		w.Header().Del("Content-Length")
		w.WriteHeader(answer.Code)
		_, _ = w.Write(body)
	}))
	defer shifting.Close()
	l.url = shifting.URL
	found := l.run()
	if len(found.entries) != 3 || found.listing.Run.Targets != 3 || len(found.listing.SharedKeys) != 0 || found.listing.Run.ProblemCount != 0 {
		t.Errorf("%d entries, shared keys %v, the run is %+v", len(found.entries), found.listing.SharedKeys, found.listing.Run)
	}
}

func TestTwoCallsForOneRunAtOnceDoNotDoubleIt(t *testing.T) {
	l := newLab(t, unlimited)
	for i := range 5 {
		l.app(fmt.Sprintf("App %d", i), 20+i)
	}
	in := l.begin()
	// While the first call writes its page, Lambda runs another one to its end.
	l.s3.Fail(buckettest.Fault{Operation: "PutObject", Prefix: "runs/run-1/apps-", Do: func() {
		if out, err := l.function().Run(t.Context(), in); err != nil || !out.Done {
			t.Errorf("the other call: %+v, %v", out, err)
		}
	}})
	out, err := l.function().Run(t.Context(), in)
	if err != nil || out.Done {
		t.Fatalf("the call that came late: %+v, %v", out, err)
	}
	if found := l.finish(in); len(found.entries) != 5 || found.listing.Run.Apps != 5 {
		t.Errorf("%d entries of %d apps", len(found.entries), found.listing.Run.Apps)
	}
}

func TestWhatAnotherRunLearnedMeanwhileIsKept(t *testing.T) {
	l := newLab(t, unlimited)
	l.app("First", 20)
	in := l.begin()
	// While the run writes what it knows, another one sees a new app, and ends.
	l.s3.Fail(buckettest.Fault{Operation: "PutObject", Prefix: "memory/kids.jsonl", Do: func() {
		l.clock.pass(time.Minute)
		l.app("Second", 30)
		l.run()
	}})
	l.finish(in)
	l.asked()
	l.run()
	if got := l.asked()["listApplicationKeys"]; got != 0 {
		t.Errorf("%d keys are asked for again", got)
	}
}

func TestWhatFailedInARunThatWasStoppedIsAskedForAgain(t *testing.T) {
	l := newLab(t, unlimited)
	for i := range 5 {
		l.app(fmt.Sprintf("App %d", i), 20+i)
	}
	l.org.Fail(oktasim.Fault{Operation: "listApplicationKeys", Kind: oktasim.FaultReadOnly, Times: -1})
	in := l.begin()
	for range 5 { // the first key is given up in the fifth call
		l.step(&in)
	}
	if left, err := l.bucket.List(t.Context(), "memory/new/"); err != nil || len(left) == 0 {
		t.Fatalf("the run has left nothing: %v", err)
	}
	l.org.ClearFaults()
	l.clock.pass(time.Hour)
	l.asked()
	if found := l.run(); found.listing.Run.ProblemCount != 0 || l.asked()["listApplicationKeys"] != 5 {
		t.Errorf("the next run is %+v", found.listing.Run)
	}
}
