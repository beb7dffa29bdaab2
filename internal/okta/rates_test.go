package okta_test

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"keyturn/internal/okta"
	"keyturn/internal/rotation"
)

// rated is an org that answers with the rate-limit headers it is told.
type rated struct {
	header http.Header
	status int
}

func (r *rated) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	maps.Copy(w.Header(), r.header)
	if r.status != 0 {
		w.WriteHeader(r.status)
	}
	_, _ = w.Write([]byte("[]"))
}

func headers(date time.Time, limit, remaining, reset string) http.Header {
	return http.Header{
		"Date": {date.UTC().Format(http.TimeFormat)}, "X-Rate-Limit-Limit": {limit},
		"X-Rate-Limit-Remaining": {remaining}, "X-Rate-Limit-Reset": {reset},
	}
}

func TestAWindowIsWhatTheLatestAnswerSaidByOurClock(t *testing.T) {
	// Okta's clock is 90 seconds behind ours.
	ours := time.Unix(1_800_000_090, 0)
	org := &rated{header: headers(time.Unix(1_800_000_000, 0), "100", "73", "1800000020")}
	server := httptest.NewServer(org)
	defer server.Close()
	c := newRatedClient(t, server.URL, func() time.Time { return ours })
	if w, known := c.Window(okta.BucketApps); known {
		t.Errorf("before any answer the window is %+v", w)
	}
	target := rotation.Target{Kind: rotation.KindApp, ID: "0oa1"}
	if _, err := c.Keys(t.Context(), target); err != nil {
		t.Fatal(err)
	}
	want := okta.Window{Limit: 100, Remaining: 73, Reset: ours.Add(21 * time.Second)}
	if w, known := c.Window(okta.BucketApps); !known || !w.Reset.Equal(want.Reset) || w.Limit != 100 || w.Remaining != 73 {
		t.Errorf("got %+v, %v, want %+v", w, known, want)
	}
	for _, other := range []okta.Bucket{okta.BucketApp, okta.BucketAPI} {
		if w, known := c.Window(other); known {
			t.Errorf("the bucket %s is said to be %+v, though nothing of it was called", other, w)
		}
	}
	if got := c.Skew(); got != -90*time.Second {
		t.Errorf("the clocks differ by %v, want -90 s", got)
	}
	// A concurrency limit (Limit 0, Remaining 0) says nothing of the window; a
	// refusal with numbers does.
	org.status, org.header = http.StatusTooManyRequests, headers(time.Unix(1_800_000_005, 0), "0", "0", "1800000900")
	_, _ = c.Keys(t.Context(), target)
	if w, _ := c.Window(okta.BucketApps); w.Remaining != 73 {
		t.Errorf("after a concurrency limit the window is %+v", w)
	}
	org.header = headers(time.Unix(1_800_000_005, 0), "100", "0", "1800000020")
	_, _ = c.Keys(t.Context(), target)
	if w, known := c.Window(okta.BucketApps); !known || w.Remaining != 0 {
		t.Errorf("after a refusal the window is %+v, %v", w, known)
	}
	ours = ours.Add(time.Hour)
	if w, known := c.Window(okta.BucketApps); known {
		t.Errorf("an hour later the window is still %+v", w)
	}
}

func TestCallsAreCountedInTheBucketOktaCountsThemIn(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	server := httptest.NewServer(&rated{header: headers(now, "100", "73", "1800000020")})
	defer server.Close()
	app, idp := rotation.Target{Kind: rotation.KindApp, ID: "0oa1"}, rotation.Target{Kind: rotation.KindIDP, ID: "0oa2"}
	for name, call := range map[okta.Bucket]func(*okta.Client) error{
		okta.BucketApps: func(c *okta.Client) error { _, err := c.AppsPage(t.Context(), ""); return err },
		okta.BucketApp:  func(c *okta.Client) error { _, _ = c.Document(t.Context(), app); return nil },
		okta.BucketAPI:  func(c *okta.Client) error { _, err := c.Keys(t.Context(), idp); return err },
	} {
		c := newRatedClient(t, server.URL, func() time.Time { return now })
		if err := call(c); err != nil {
			t.Fatal(err)
		}
		for _, b := range []okta.Bucket{okta.BucketApps, okta.BucketApp, okta.BucketAPI} {
			if _, known := c.Window(b); known != (b == name) {
				t.Errorf("a call of %s: the window of %s is known: %v", name, b, known)
			}
		}
	}
}

func newRatedClient(t *testing.T, url string, now func() time.Time) *okta.Client {
	t.Helper()
	return newClientWith(t, okta.Config{OrgURL: url, Credentials: static(t), HTTP: noKeepAlive(), Now: now})
}
