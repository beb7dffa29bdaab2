package oktasim

import (
	"net/http"
	"strconv"
	"testing"
	"time"
)

func TestBucketsOfOkta(t *testing.T) {
	for path, want := range map[string]string{
		"/api/v1/apps":                          bucketApps,
		"/api/v1/apps/0oa1":                     bucketApp,
		"/api/v1/apps/0oa1/credentials/keys":    bucketApps,
		"/api/v1/apps/0oa1/sso/saml/metadata":   bucketApps,
		"/api/v1/idps":                          bucketAPI,
		"/api/v1/idps/0oa1":                     bucketAPI,
		"/api/v1/idps/0oa1/credentials/csrs":    bucketAPI,
		"/api/v1/appsx":                         bucketAPI,
		"/api/v1/idps/0oa1/credentials/keys/a":  bucketAPI,
		"/api/v1/apps/0oa1/credentials/csrs/c1": bucketApps,
	} {
		if got := bucketOf(path); got != want {
			t.Errorf("%s: bucket %s, want %s", path, got, want)
		}
	}
	var workforce Limits
	if workforce.of(bucketApps) != 100 || workforce.of(bucketApp) != 500 || workforce.of(bucketAPI) != 1200 {
		t.Error("the default is not a Workforce org's")
	}
}

func TestRateLimitIsAWindowOfAMinute(t *testing.T) {
	f := newFixture(t, func(o *Options) { o.Limits = Limits{Apps: 3, App: 1, API: 1} })
	id := f.AddApp(AppSpec{Label: "A"})
	f.clock.advance(500 * time.Millisecond)
	reset := strconv.FormatInt(f.clock.now().Add(time.Minute).Unix()+1, 10) // rounded up
	for i, want := range []string{"2", "1", "0"} {
		r := f.ok(200, "GET", "/api/v1/apps", "")
		if h := r.header; h.Get("X-Rate-Limit-Limit") != "3" || h.Get("X-Rate-Limit-Remaining") != want || h.Get("X-Rate-Limit-Reset") != reset {
			t.Errorf("call %d: %v", i+1, h)
		}
		f.clock.advance(10 * time.Second)
	}
	before := len(f.PendingCSRs(KindApp, id))
	r := f.refused(429, "E0000047", "POST", "/api/v1/apps/"+id+"/credentials/csrs", goodCSR)
	if r.header.Get("X-Rate-Limit-Remaining") != "0" || r.header.Get("X-Rate-Limit-Reset") != reset {
		t.Errorf("429: %v", r.header)
	}
	if len(f.PendingCSRs(KindApp, id)) != before {
		t.Error("a call beyond the limit had an effect")
	}
	f.ok(200, "GET", "/api/v1/apps/"+id, "") // another bucket
	f.ok(200, "GET", "/api/v1/idps", "")     // another bucket
	// A client that waits for Reset - Date must not be too early.
	at, err := strconv.ParseInt(reset, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	date, err := http.ParseTime(r.header.Get("Date"))
	if err != nil {
		t.Fatal(err)
	}
	f.clock.advance(time.Duration(at-date.Unix()) * time.Second)
	if got := f.ok(200, "GET", "/api/v1/apps", "").header.Get("X-Rate-Limit-Remaining"); got != "2" {
		t.Errorf("remaining %s in the new window", got)
	}
}

func TestCallsWithoutTokenUseUpNothing(t *testing.T) {
	f := newFixture(t, func(o *Options) { o.Limits = IntegratorFree() })
	for range 30 {
		f.refused(401, "E0000011", "GET", "/api/v1/apps", "", "Authorization: SSWS wrong")
	}
	if got := f.ok(200, "GET", "/api/v1/apps", "").header.Get("X-Rate-Limit-Remaining"); got != "19" {
		t.Errorf("remaining %s", got)
	}
}
