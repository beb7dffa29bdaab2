package main

import (
	"fmt"
	"math"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"keyturn/cmd/bench/played"
	"keyturn/internal/bucket/buckettest"
	"keyturn/internal/oktasim"
)

const (
	// What a request takes on the simulated clock. Both are assumptions: a
	// round trip to Okta, and one to S3 within a region.
	oktaLatency = 150 * time.Millisecond
	s3Latency   = 20 * time.Millisecond
	// page is the most that a list of Okta's has on a page.
	page = 200
)

// world is what a function sees: an Okta org of some size and S3, both on one
// simulated clock.
type world struct {
	// program plays list-apps and the naive scan, reporter report-inventory.
	program, reporter string

	clock  *played.Clock
	org    *oktasim.Org
	url    string
	server *http.Server
	s3     *buckettest.Server
	apps   int
	idps   int
	made   oktasim.Large
	// kids are the active kids by kind and id.
	kids map[string]string

	mu   sync.Mutex
	seen seen
}

// seen is what the org has answered.
type seen struct {
	calls, limited int
	// asked counts the requests for keys by the target's active kid.
	asked map[string]int
}

func newWorld(program, reporter string, apps, idps int) (*world, error) {
	w := &world{program: program, reporter: reporter, apps: apps, idps: idps, kids: map[string]string{}}
	var err error
	if w.clock, err = played.NewClock(time.Date(2026, 3, 1, 6, 0, 0, 0, time.UTC)); err != nil {
		return nil, err
	}
	// The limits are the documented ones of a Workforce org, of which a token
	// may use half.
	w.org = oktasim.New(oktasim.Options{APIToken: played.Token, Now: w.clock.Now, TokenShare: 0.5, OnlyActiveApps: true, MaxCalls: -1})
	w.made = w.org.SeedLarge(oktasim.LargeSpec{Apps: apps, IDPs: idps})
	for _, kind := range []string{oktasim.KindApp, oktasim.KindIDP} {
		for _, id := range w.org.Targets(kind) {
			w.kids[kind+id] = w.org.ActiveKid(kind, id)
		}
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("the org's address: %w", err)
	}
	w.url = "http://" + listener.Addr().String()
	w.server = &http.Server{Handler: w, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = w.server.Serve(listener) }()
	w.s3 = buckettest.Start()
	_ = w.s3.Bucket(played.Bucket)
	w.s3.Fail(buckettest.Fault{Times: -1, Do: func() { w.clock.Pass(s3Latency) }})
	return w, nil
}

func (w *world) close() {
	_ = w.server.Close()
	w.s3.Close()
	w.clock.Close()
}

// ServeHTTP is the org, with the time that a request takes.
func (w *world) ServeHTTP(out http.ResponseWriter, in *http.Request) {
	w.clock.Pass(oktaLatency)
	status := &statusWriter{ResponseWriter: out, status: http.StatusOK}
	w.org.ServeHTTP(status, in)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen.calls++
	if status.status == http.StatusTooManyRequests {
		w.seen.limited++
	}
	if kid, ok := w.keyOf(in.URL.Path); ok && status.status == http.StatusOK {
		w.seen.asked[kid]++
	}
}

// keyOf is the active kid of the target whose keys a request lists.
func (w *world) keyOf(path string) (string, bool) {
	rest, ok := strings.CutSuffix(path, "/credentials/keys")
	if !ok {
		return "", false
	}
	if id, isApp := strings.CutPrefix(rest, "/api/v1/apps/"); isApp {
		return w.kids[oktasim.KindApp+id], true
	}
	id, isIDP := strings.CutPrefix(rest, "/api/v1/idps/")
	return w.kids[oktasim.KindIDP+id], isIDP // without an id, it is the trust keystore
}

type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// count begins to count anew.
func (w *world) count() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen = seen{asked: map[string]int{}}
	w.s3.ResetRequests()
}

func (w *world) counted() seen {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.seen
}

// pages are the calls that the lists of apps and of SAML IdPs take.
func (w *world) pages() int {
	up := func(n int) int { return int(math.Ceil(float64(n) / page)) }
	return up(w.apps) + up(w.idps)
}

// distinct counts the active kids of the targets that sign.
func (w *world) distinct() int { return w.made.AppKids + w.made.UnsupportedKids + w.made.IDPKids }

// targets counts those that sign.
func (w *world) targets() int { return w.made.SAMLApps + w.made.UnsupportedApps + w.made.SAMLIDPs }

// object reads an object without a request.
func (w *world) object(key string) []byte { return w.s3.Content(played.Bucket, key) }
