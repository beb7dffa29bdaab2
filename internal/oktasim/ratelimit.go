package oktasim

import (
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

const windowLength = time.Minute

// window counts the requests of one bucket. It opens with the first request
// and lasts a minute.
type window struct {
	opened time.Time
	used   int
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
	if w.used >= o.limits.of(bucket) {
		return false
	}
	w.used++
	return true
}

func (o *Org) currentWindow(bucket string, now time.Time) *window {
	w := o.windows[bucket]
	if w == nil || now.Before(w.opened) || now.Sub(w.opened) >= windowLength {
		w = &window{opened: now}
		o.windows[bucket] = w
	}
	return w
}

// setRateHeaders writes the three headers that Okta sends with every answer.
// Reset is in whole epoch seconds, rounded up: earlier would be too early.
func (o *Org) setRateHeaders(h http.Header, bucket string, now time.Time) {
	w := o.currentWindow(bucket, now)
	limit := o.limits.of(bucket)
	h.Set("X-Rate-Limit-Limit", strconv.Itoa(limit))
	h.Set("X-Rate-Limit-Remaining", strconv.Itoa(limit-w.used))
	h.Set("X-Rate-Limit-Reset", epoch(w.opened.Add(windowLength)))
}

func epoch(t time.Time) string {
	s := t.Unix()
	if t.Nanosecond() > 0 {
		s++
	}
	return strconv.FormatInt(s, 10)
}
