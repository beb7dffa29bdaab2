package okta

import (
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Bucket names the calls that count against one rate limit.
type Bucket string

// The buckets that matter here (Okta's rate limit reference).
const (
	// BucketApps is the list of apps and everything below one: keys, CSRs,
	// metadata.
	BucketApps Bucket = "/api/v1/apps"
	// BucketApp is one app's document.
	BucketApp Bucket = "/api/v1/apps/{id}"
	// BucketAPI is everything else, all IdP calls among it.
	BucketAPI Bucket = "/api/v1"
)

func bucketOf(path string) Bucket {
	rest, isApps := strings.CutPrefix(path, "/api/v1/apps")
	switch {
	case !isApps || rest != "" && rest[0] != '/':
		return BucketAPI
	case rest == "" || strings.Contains(rest[1:], "/"):
		return BucketApps
	}
	return BucketApp
}

// Window is what a bucket's latest answer said of its limit: the headers
// X-Rate-Limit-Limit, -Remaining and -Reset. It counts everybody's calls, not
// only ours.
type Window struct {
	Limit     int `json:"limit"`
	Remaining int `json:"remaining"`
	// Reset is when the next window may be counted on, by our own clock: Okta's
	// Reset minus its Date, and the second that rounding may have taken.
	Reset time.Time `json:"reset"`
}

// rates remembers each bucket's latest window.
type rates struct {
	now     func() time.Time
	mu      sync.Mutex
	windows map[Bucket]Window
	skew    time.Duration
}

func newRates(now func() time.Time) rates {
	if now == nil {
		now = time.Now
	}
	return rates{now: now, windows: map[Bucket]Window{}}
}

// maxWindow is far more than the minute that Okta's windows have: an answer that
// names a later time is not believed, because discovery would wait for it.
const maxWindow = time.Hour

// note reads an answer's headers. A concurrency limit says Limit 0, and its
// other numbers mean little.
func (r *rates) note(path string, response *http.Response) {
	now := r.now()
	date, dateErr := http.ParseTime(response.Header.Get("Date"))
	limit, limitErr := strconv.Atoi(response.Header.Get("X-Rate-Limit-Limit"))
	remaining, remainingErr := strconv.Atoi(response.Header.Get("X-Rate-Limit-Remaining"))
	reset, resetErr := strconv.ParseInt(response.Header.Get("X-Rate-Limit-Reset"), 10, 64)
	r.mu.Lock()
	defer r.mu.Unlock()
	if dateErr == nil {
		r.skew = date.Sub(now)
	}
	if limitErr != nil || remainingErr != nil || resetErr != nil || dateErr != nil || limit <= 0 || remaining < 0 || remaining > limit {
		return
	}
	left := time.Unix(reset+1, 0).Sub(date)
	if left > maxWindow {
		return
	}
	r.windows[bucketOf(path)] = Window{Limit: limit, Remaining: remaining, Reset: now.Add(left)}
}

// Window is what is known of a bucket's current window; false when nothing is,
// or the window is over.
func (c *Client) Window(b Bucket) (Window, bool) {
	c.rates.mu.Lock()
	defer c.rates.mu.Unlock()
	w, known := c.rates.windows[b]
	return w, known && c.rates.now().Before(w.Reset)
}

// Remember tells of a window that an earlier process saw.
func (c *Client) Remember(b Bucket, w Window) {
	c.rates.mu.Lock()
	defer c.rates.mu.Unlock()
	c.rates.windows[b] = w
}

// Skew is how far Okta's clock is ahead of ours, by its latest answer; to a
// second, and zero before there was one.
func (c *Client) Skew() time.Duration {
	c.rates.mu.Lock()
	defer c.rates.mu.Unlock()
	return c.rates.skew
}
