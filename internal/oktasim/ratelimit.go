package oktasim

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Limits are requests per minute for each of Okta's three buckets that matter
// here; 0 takes the published number for a Workforce org.
type Limits struct {
	Apps int `json:"apps"` // /api/v1/apps and /api/v1/apps/{id}/*: 100
	App  int `json:"app"`  // /api/v1/apps/{id}: 500
	API  int `json:"api"`  // everything else under /api/v1, all IdP calls among it: 1,200
}

// Unlimited is a limit that no test reaches.
const Unlimited = 1 << 30

// IntegratorFree are the limits of a free Integrator org.
func IntegratorFree() Limits { return Limits{Apps: 20, App: 100, API: 100} }

const (
	bucketApps = "apps"
	bucketApp  = "app"
	bucketAPI  = "api"
)

// windowLength is Okta's; Options.Window may be shorter.
const windowLength = time.Minute

// window counts the requests of one bucket. It opens with the first request
// and lasts a minute.
type window struct {
	opened time.Time
	used   int
	own    int // of used: with the API token, not by others
}

func (l Limits) of(bucket string) int {
	n, workforce := l.API, 1200
	switch bucket {
	case bucketApps:
		n, workforce = l.Apps, 100
	case bucketApp:
		n, workforce = l.App, 500
	}
	if n == 0 {
		return workforce
	}
	return n
}

// bucketOf names the bucket of a request path below the host.
func bucketOf(path string) string {
	rest, isApps := strings.CutPrefix(path, "/api/v1/apps")
	switch {
	case !isApps || rest != "" && rest[0] != '/':
		return bucketAPI
	case rest == "" || strings.Contains(rest[1:], "/"):
		return bucketApps
	default:
		return bucketApp
	}
}

// take uses up one request of the bucket and reports whether there was one.
func (o *Org) take(bucket string, now time.Time) bool {
	w := o.currentWindow(bucket, now)
	limit := o.limits.of(bucket)
	if w.used >= limit {
		return false
	}
	// "A single API token can only make 60 requests per minute to that endpoint
	// before being rate-limited", of 120 (Okta, "Token and OAuth 2.0 app rate
	// limits"). What the headers say then is not documented. Stricter: they
	// tell of the whole org before and after, so that a 429 comes with requests
	// remaining.
	if o.share > 0 && float64(w.own) >= o.share*float64(limit) {
		return false
	}
	w.used++
	w.own++
	return true
}

func (o *Org) currentWindow(bucket string, now time.Time) *window {
	w := o.windows[bucket]
	if w == nil || now.Before(w.opened) || now.Sub(w.opened) >= o.window {
		w = &window{opened: now, used: min(o.others[bucket], o.limits.of(bucket))}
		o.windows[bucket] = w
	}
	return w
}

// UseByOthers takes n requests of the window that is open now, as whatever
// else works in the org does: the buckets are the org's, not the client's. The
// path is an API path, such as /api/v1/apps; its bucket is meant.
func (o *Org) UseByOthers(path string, n int) {
	bucket := mustBucket(path, n)
	now := o.now()
	o.mu.Lock()
	defer o.mu.Unlock()
	w := o.currentWindow(bucket, now)
	w.used = min(w.used+n, o.limits.of(bucket))
}

// OthersUse takes perWindow requests of each window that opens from now on, at
// its opening; 0 ends that.
func (o *Org) OthersUse(path string, perWindow int) {
	bucket := mustBucket(path, perWindow)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.others[bucket] = perWindow
}

func mustBucket(path string, n int) string {
	if !strings.HasPrefix(path, "/api/v1/") || n < 0 {
		panic(fmt.Sprintf("oktasim: %d requests to %q: give a path under /api/v1/ and no negative number", n, path))
	}
	return bucketOf(path)
}

// setRateHeaders writes the three headers that Okta sends with every answer.
// Reset is in whole epoch seconds, rounded up: earlier would be too early.
func (o *Org) setRateHeaders(h http.Header, bucket string, now time.Time) {
	w := o.currentWindow(bucket, now)
	limit := o.limits.of(bucket)
	h.Set("X-Rate-Limit-Limit", strconv.Itoa(limit))
	h.Set("X-Rate-Limit-Remaining", strconv.Itoa(limit-w.used))
	h.Set("X-Rate-Limit-Reset", epoch(w.opened.Add(o.window)))
}

func epoch(t time.Time) string {
	s := t.Unix()
	if t.Nanosecond() > 0 {
		s++
	}
	return strconv.FormatInt(s, 10)
}
