package oktasim

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strconv"
	"testing"
	"time"
)

func remaining(t *testing.T, r reply) int {
	t.Helper()
	n, err := strconv.Atoi(r.header.Get("X-Rate-Limit-Remaining"))
	if err != nil {
		t.Fatalf("headers %v", r.header)
	}
	return n
}

func TestOthersUseTheSameBuckets(t *testing.T) {
	f := newFixture(t, func(o *Options) { o.Limits = Limits{Apps: 10, App: 10, API: 10} })
	id := f.AddApp(AppSpec{Label: "A"})
	f.UseByOthers("/api/v1/apps/"+id+"/credentials/keys", 4)
	if n := remaining(t, f.ok(200, "GET", "/api/v1/apps", "")); n != 5 {
		t.Errorf("remaining %d, want 5", n)
	}
	if n := remaining(t, f.ok(200, "GET", "/api/v1/apps/"+id, "")); n != 9 {
		t.Errorf("remaining %d of another bucket, want 9", n)
	}
	f.UseByOthers("/api/v1/apps", 100)
	if n := remaining(t, f.refused(429, "E0000047", "GET", "/api/v1/apps", "")); n != 0 {
		t.Errorf("remaining %d", n)
	}
	f.OthersUse("/api/v1/idps", 7)
	f.OthersUse("/api/v1/apps", 10)
	f.Advance(time.Minute)
	f.refused(429, "E0000047", "GET", "/api/v1/apps", "")
	if n := remaining(t, f.ok(200, "GET", "/api/v1/idps", "")); n != 2 {
		t.Errorf("remaining %d, want 2", n)
	}
	f.OthersUse("/api/v1/apps", 0)
	f.Advance(time.Minute)
	if n := remaining(t, f.ok(200, "GET", "/api/v1/apps", "")); n != 9 {
		t.Errorf("remaining %d after the others ended", n)
	}
	for _, bad := range []func(){func() { f.UseByOthers("apps", 1) }, func() { f.OthersUse("/api/v1/apps", -1) }, func() { f.Advance(-1) }} {
		if try(bad) == nil {
			t.Error("no panic")
		}
	}
}

func TestATokenHasItsShare(t *testing.T) {
	f := newFixture(t, func(o *Options) { o.Limits, o.TokenShare = Limits{Apps: 10}, 0.5 })
	f.UseByOthers("/api/v1/apps", 2) // counts for the org, not for the token
	for range 5 {
		f.ok(200, "GET", "/api/v1/apps", "")
	}
	if n := remaining(t, f.refused(429, "E0000047", "GET", "/api/v1/apps", "")); n != 3 {
		t.Errorf("remaining %d, want 3", n)
	}
	f.Advance(time.Minute)
	f.ok(200, "GET", "/api/v1/apps", "")
}

// Whatever the answer, a client can compute how long to wait.
func TestEveryAnswerHasTheOrgsHeaders(t *testing.T) {
	f := newFixture(t, func(o *Options) { o.Limits = Limits{Apps: 100, App: 100, API: 1} })
	id := f.AddApp(AppSpec{Label: "A"})
	path := "/api/v1/apps/" + id
	check := func(what string, r reply) {
		t.Helper()
		date, err := http.ParseTime(r.header.Get("Date"))
		if err != nil || !date.Equal(f.clock.now()) {
			t.Errorf("%s: Date %q, want the org's clock", what, r.header.Get("Date"))
		}
		reset, err := strconv.ParseInt(r.header.Get("X-Rate-Limit-Reset"), 10, 64)
		if wait := reset - f.clock.now().Unix(); err != nil || wait < 1 || wait > 60 {
			t.Errorf("%s: Reset in %d s, %v", what, wait, err)
		}
		limit, err := strconv.Atoi(r.header.Get("X-Rate-Limit-Limit"))
		if n := remaining(t, r); err != nil || n < 0 || n > limit {
			t.Errorf("%s: %d of %d remain, %v", what, n, limit, err)
		}
	}
	check("200", f.ok(200, "GET", path, ""))
	check("404", f.refused(404, "E0000007", "GET", path+"x", ""))
	check("404 of no path", f.refused(404, "E0000007", "GET", "/api/v1/nowhere", ""))
	check("429", f.refused(429, "E0000047", "GET", "/api/v1/idps", ""))
	check("405", f.refused(405, "E0000022", "PATCH", path, ""))
	check("401", f.refused(401, "E0000011", "GET", path, "", "Authorization: SSWS x"))
	check("400", f.refused(400, "E0000001", "GET", "/api/v1/apps?limit=201", ""))
	for kind, status := range map[FaultKind]int{
		FaultRateLimited: 429, FaultConcurrency429: 429, FaultInternal: 500, FaultInternalAfter: 500, FaultReadOnly: 503,
		FaultUnauthorized: 401, FaultForbidden: 403, FaultNotFound: 404, FaultWithoutX5C: 200,
	} {
		f.Fail(Fault{Kind: kind})
		check(string(kind), f.ok(status, "GET", path, ""))
	}
	f.Fail(Fault{Kind: FaultHTMLError})
	r := f.ok(502, "GET", path, "")
	for _, name := range []string{"X-Rate-Limit-Limit", "X-Rate-Limit-Remaining", "X-Rate-Limit-Reset", "X-Okta-Request-Id"} {
		if r.header.Get(name) != "" {
			t.Errorf("a proxy's answer has %s", name)
		}
	}
}

func TestFaultsOfOneTargetAndOnePage(t *testing.T) {
	f := newFixture(t)
	a := f.AddApp(AppSpec{Label: "A"})
	for i := range 6 {
		f.AddApp(AppSpec{Label: strconv.Itoa(i)})
	}
	f.Fail(Fault{Operation: "listApplicationKeys", ID: a, Times: -1, Kind: FaultForbidden})
	for range 5 {
		f.refused(403, "E0000006", "GET", "/api/v1/apps/"+a+"/credentials/keys", "")
	}
	f.ok(200, "GET", "/api/v1/apps/"+a, "")
	f.ok(200, "GET", "/api/v1/apps/"+f.Targets(KindApp)[1]+"/credentials/keys", "")
	f.ClearFaults()
	f.ok(200, "GET", "/api/v1/apps/"+a+"/credentials/keys", "")

	// The third page of the list fails, whichever way the list is cut.
	for _, limit := range []string{"1", "2", "3"} {
		first := f.ok(200, "GET", "/api/v1/apps?limit="+limit, "")
		second := f.ok(200, "GET", nextOf(t, first), "")
		third := nextOf(t, second)
		f.Fail(Fault{Operation: "listApplications", Page: 3, Times: -1, Kind: FaultInternal})
		f.ok(200, "GET", "/api/v1/apps?limit="+limit, "")
		f.ok(200, "GET", nextOf(t, first), "")
		f.ok(200, "GET", "/api/v1/idps", "")
		f.refused(500, "E0000009", "GET", third, "")
		f.refused(500, "E0000009", "GET", third, "")
		f.ClearFaults()
		f.Fail(Fault{Page: 3, Nth: 2, Times: 2, Kind: FaultReadOnly})
		f.ok(200, "GET", "/api/v1/apps/"+a, "")
		for _, status := range []int{200, 503, 503, 200} {
			f.ok(status, "GET", third, "")
		}
	}
	for _, bad := range []Fault{{Kind: FaultInternal, Page: -1}, {Kind: FaultInternal, Page: 1, Operation: "getApplication"}} {
		if try(func() { f.Fail(bad) }) == nil {
			t.Errorf("%+v: no panic", bad)
		}
	}
}

func nextOf(t *testing.T, r reply) string {
	t.Helper()
	path := nextLink(r)
	if path == "" {
		t.Fatalf("no next page: %v", r.header)
	}
	return path
}

func TestADeletedAppLeavesTheOtherPagesAsTheyAre(t *testing.T) {
	f := newFixture(t)
	var ids []string
	for i := range 6 {
		ids = append(ids, f.AddApp(AppSpec{Label: strconv.Itoa(i)}))
	}
	first := f.ok(200, "GET", "/api/v1/apps?limit=3", "")
	f.Delete(KindApp, ids[0])
	f.Delete(KindApp, ids[4])
	second := f.ok(200, "GET", nextOf(t, first), "")
	if docs := elements(second.body); len(docs) != 2 || lookupString(docs[0], "id") != ids[3] || lookupString(docs[1], "id") != ids[5] {
		t.Errorf("second page: %s", second.body)
	}
	f.refused(404, "E0000007", "GET", "/api/v1/apps/"+ids[0]+"/credentials/keys", "")
	f.refused(404, "E0000007", "GET", "/api/v1/apps/"+ids[4], "")
	if len(f.Targets(KindApp)) != 4 {
		t.Errorf("targets %v", f.Targets(KindApp))
	}
	idp := f.AddIDP(IDPSpec{Label: "I"})
	f.Delete(KindIDP, idp)
	if got := string(f.ok(200, "GET", "/api/v1/idps", "").body); got != "[]" {
		t.Errorf("IdPs %s", got)
	}
	if try(func() { f.Delete(KindApp, ids[0]) }) == nil {
		t.Error("deleted twice")
	}
}

func TestKeysThatCannotBeRead(t *testing.T) {
	f := newFixture(t)
	a := f.AddApp(AppSpec{Label: "A", Keys: []*Key{NewKey(KeySpec{})}})
	path := "/api/v1/apps/" + a + "/credentials/keys"
	f.Fail(Fault{Operation: "listApplicationKeys", ID: a, Kind: FaultWithoutX5C})
	f.Fail(Fault{Operation: "getApplicationKey", Kind: FaultBrokenX5C})
	list := elements(f.ok(200, "GET", path, "").body)
	if len(list) != 2 || lookup(list[0], "x5c") != nil || lookup(list[1], "x5c") != nil || lookupString(list[0], "kid") != f.ActiveKid(KindApp, a) {
		t.Errorf("keys %s", list)
	}
	one := f.ok(200, "GET", path+"/"+f.ActiveKid(KindApp, a), "")
	var key struct{ X5C []string }
	if err := json.Unmarshal(one.body, &key); err != nil || len(key.X5C) != 1 {
		t.Fatalf("%v: %s", err, one.body)
	}
	der, err := base64.StdEncoding.DecodeString(key.X5C[0])
	if err != nil || len(der) < 100 {
		t.Errorf("x5c is not base64: %v", err)
	}
	if _, err := x509.ParseCertificate(der); err == nil {
		t.Error("half a certificate parses")
	}

	f.Edit(KindApp, a, "credentials.signing", "{}") // an app that names no key
	if f.ActiveKid(KindApp, a) != "" || len(f.Keys(KindApp, a)) != 2 {
		t.Error("the app still names a key")
	}
}

func TestCountsDropNothing(t *testing.T) {
	f := newFixture(t, func(o *Options) { o.MaxCalls, o.Limits = 10, Limits{Apps: 25, App: Unlimited, API: Unlimited} })
	for range 30 {
		f.do("GET", "/api/v1/apps", "")
	}
	f.do("GET", "/api/v1/nowhere", "")
	c := f.Counts()
	if c.Total != 31 || c.Operations["listApplications"] != 30 || c.Operations[""] != 1 || c.RateLimited() != 5 || c.Statuses[200] != 25 || c.Statuses[404] != 1 {
		t.Errorf("%+v", c)
	}
	calls := f.Calls()
	if len(calls) > 10 || calls[len(calls)-1].Status != 404 {
		t.Errorf("%d calls kept", len(calls))
	}
	f.ResetCalls()
	if c := f.Counts(); c.Total != 0 || c.RateLimited() != 0 || len(c.Operations) != 0 {
		t.Errorf("after the reset: %+v", c)
	}
	none := newFixture(t, func(o *Options) { o.MaxCalls = -1 })
	none.ok(200, "GET", "/api/v1/apps", "")
	if len(none.Calls()) != 0 || none.Counts().Total != 1 {
		t.Errorf("%d calls kept, %+v", len(none.Calls()), none.Counts())
	}
}

func TestInactiveAppsByTheSpecsWord(t *testing.T) {
	for literal, want := range map[bool]int{false: 2, true: 1} {
		f := newFixture(t, func(o *Options) { o.OnlyActiveApps = literal })
		f.AddApp(AppSpec{Label: "A"})
		f.AddApp(AppSpec{Label: "B", Status: "INACTIVE"})
		for query, want := range map[string]int{"": want, "?includeNonDeleted=false": want, "?includeNonDeleted=true": 2} {
			if got := len(elements(f.ok(200, "GET", "/api/v1/apps"+query, "").body)); got != want {
				t.Errorf("literal %v, %q: %d apps, want %d", literal, query, got, want)
			}
		}
		f.refused(400, "E0000001", "GET", "/api/v1/apps?includeNonDeleted=yes", "")
	}
}

func TestTheClockGoesForward(t *testing.T) {
	f := newFixture(t)
	f.Advance(36 * time.Hour)
	want := f.clock.now().Add(36 * time.Hour).Format(http.TimeFormat)
	if got := f.ok(200, "GET", "/api/v1/apps", "").header.Get("Date"); got != want {
		t.Errorf("Date %s, want %s", got, want)
	}
}
