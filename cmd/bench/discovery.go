package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"keyturn/cmd/bench/played"
	"keyturn/internal/bucket/buckettest"
	"keyturn/internal/inventory"
	"keyturn/internal/rotation"
)

// The runs that are measured.
const (
	firstRun  = "first run"
	steadyRun = "steady run"
	naiveRun  = "naive scan"
)

// run is one scan of an org, measured.
type run struct {
	what       string
	apps, idps int
	// calls are all calls to Okta, floor the fewest that could do: each page of
	// the lists once, and in a first run each key that is in use once.
	calls, floor int
	// twice are the keys that were asked for more than once, missed those that
	// were not asked for in a first run.
	twice, missed int
	waits         int
	limited       int
	peak          int64
	// took is simulated, from the start of the first call to the end of the
	// last. lasted is the part of it in which a function ran.
	took, lasted time.Duration
	// cpu is real, of all calls of the function.
	cpu time.Duration
	// invocations are calls of the function, transitions those of the whole
	// state machine.
	invocations, transitions int
	s3                       map[string]int
}

func (r run) over() int { return r.calls - r.floor }

// states counts the states of discovery that are entered outside the loop: the
// first, those of the two functions that follow, and the last.
const states = 5

// discover plays the state machine of one run: it calls list-apps, in a new
// process each time, until it is done.
func (w *world) discover(ctx context.Context, what string, n int) (run, inventory.Begun, error) {
	began := w.clock.Now()
	r := run{what: what, apps: w.apps, idps: w.idps, floor: w.pages(), transitions: states}
	if what == firstRun {
		r.floor += w.distinct()
	}
	w.count()
	in := inventory.ListAppsInput{
		Run:     inventory.Begun{ID: fmt.Sprintf("run-%d", n), Execution: fmt.Sprintf("arn:aws:states:us-east-1:123456789012:execution:keyturn-discovery:run-%d", n), At: began},
		Request: inventory.Request{Policy: json.RawMessage("{}")},
	}
	for {
		var out inventory.ListAppsOutput
		c, err := w.call(ctx, played.ListAppsPart, in, &out)
		if err != nil {
			return r, in.Run, err
		}
		r.add(c)
		r.invocations++
		r.transitions += 2 // ListApps, Listed
		if out.Done {
			break
		}
		in.Pass++
		r.transitions++ // WaitForQuota
		w.clock.Until(*out.ResumeAt)
	}
	r.took = w.clock.Now().Sub(began)
	w.settle(&r)
	var listing inventory.Listing
	if err := json.Unmarshal(w.object(inventory.Keys{Run: in.Run.ID}.Listing()), &listing); err != nil {
		return r, in.Run, fmt.Errorf("the listing: %w", err)
	}
	r.waits = listing.Run.Waits
	if want := w.targets(); listing.Run.Targets != want || !listing.Run.Complete || listing.Run.ProblemCount > 0 {
		return r, in.Run, fmt.Errorf("the run found %d targets of %d (complete: %v), and %d problems: %v",
			listing.Run.Targets, want, listing.Run.Complete, listing.Run.ProblemCount, listing.Run.Problems)
	}
	return r, in.Run, nil
}

func (r *run) add(c call) {
	r.peak = max(r.peak, c.peak)
	r.lasted += c.lasted
	r.cpu += c.cpu
}

// settle takes over what the org and S3 have counted.
func (w *world) settle(r *run) {
	seen := w.counted()
	r.calls, r.limited, r.s3 = seen.calls, seen.limited, w.s3.Requests()
	for _, n := range seen.asked {
		if n > 1 {
			r.twice++
		}
	}
	if r.what == firstRun {
		r.missed = w.distinct() - len(seen.asked)
	}
}

// naiveScan is the same for the naive scan, which is one process.
func (w *world) naiveScan(ctx context.Context) (run, error) {
	r := run{what: naiveRun, apps: w.apps, idps: w.idps, floor: w.pages(), invocations: 1}
	began := w.clock.Now()
	w.count()
	var out played.NaiveOutput
	c, err := w.call(ctx, played.NaivePart, nil, &out)
	if err != nil {
		return r, err
	}
	r.add(c)
	r.took = w.clock.Now().Sub(began)
	w.settle(&r)
	r.waits = out.Waits
	if want := w.targets(); out.Keys != want {
		return r, fmt.Errorf("the naive scan has the keys of %d targets of %d", out.Keys, want)
	}
	return r, nil
}

// idle is the peak memory of a process that does nothing.
func idle(ctx context.Context, program string) (int64, error) {
	w, err := newWorld(program, "", 0, 0)
	if err != nil {
		return 0, err
	}
	defer w.close()
	c, err := w.call(ctx, played.Nothing, nil, nil)
	return c.peak, err
}

// startHour is when a run starts, each day.
const startHour = 6 * time.Hour

// tomorrow passes the time until the next run.
func (w *world) tomorrow() {
	w.clock.Until(w.clock.Now().Truncate(rotation.Day).Add(rotation.Day + startHour))
}

// scans are the three runs on an org of one size, and the reports of the first
// two.
func scans(ctx context.Context, program, reporter string, apps, idps int, progress func(string)) ([]run, []paper, error) {
	progress(fmt.Sprintf("an org of %d apps and %d IdPs", apps, idps))
	w, err := newWorld(program, reporter, apps, idps)
	if err != nil {
		return nil, nil, err
	}
	defer w.close()
	var runs []run
	var papers []paper
	for i, what := range []string{firstRun, steadyRun} {
		began := time.Now()
		r, begun, err := w.discover(ctx, what, i+1)
		if err != nil {
			return nil, nil, fmt.Errorf("%d apps, %s: %w", apps, what, err)
		}
		progress(fmt.Sprintf("  %s: %d calls, %s simulated, %.1f s here", what, r.calls, span(r.took), time.Since(began).Seconds()))
		runs = append(runs, r)
		p, err := w.publish(ctx, what, begun)
		if err != nil {
			return nil, nil, fmt.Errorf("%d apps, report of the %s: %w", apps, what, err)
		}
		papers = append(papers, p)
		w.tomorrow()
	}
	began := time.Now()
	r, err := w.naiveScan(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("%d apps, %s: %w", apps, naiveRun, err)
	}
	progress(fmt.Sprintf("  %s: %d calls, %s simulated, %.1f s here", naiveRun, r.calls, span(r.took), time.Since(began).Seconds()))
	return append(runs, r), papers, nil
}

// The budgets of a scan.
const (
	maxOver = 2    // calls of a steady run over the floor
	flat    = 1.25 // peak memory of the largest org against the smallest
)

// broken says which budgets a run does not keep.
func (r run) broken() []string {
	var broken []string
	say := func(format string, args ...any) {
		broken = append(broken, fmt.Sprintf("%d apps, %s: ", r.apps, r.what)+fmt.Sprintf(format, args...))
	}
	if r.what == naiveRun {
		return nil
	}
	if r.limited > 0 {
		say("Okta answered %d times 429; none is allowed", r.limited)
	}
	if r.twice > 0 {
		say("%d keys were asked for more than once; each is to be asked for once in its life", r.twice)
	}
	if r.missed > 0 {
		say("%d keys were not asked for", r.missed)
	}
	if r.what == steadyRun && r.over() > maxOver {
		say("%d calls, %d over the floor of %d; at most %d are allowed", r.calls, r.over(), r.floor, maxOver)
	}
	return broken
}

// measured is anything whose peak of memory is compared over orgs.
type measured interface {
	measured() (what string, apps int, peak int64)
}

func (r run) measured() (string, int, int64)   { return r.what, r.apps, r.peak }
func (p paper) measured() (string, int, int64) { return p.what, p.apps, p.peak }

// edge is what was measured on the smallest or the largest org.
type edge struct {
	apps int
	peak int64
}

func edges[M measured](all []M, of string) (small, large edge) {
	for _, m := range all {
		what, apps, peak := m.measured()
		if what != of {
			continue
		}
		if small.apps == 0 || apps < small.apps {
			small = edge{apps, peak}
		}
		if apps > large.apps {
			large = edge{apps, peak}
		}
	}
	return small, large
}

// unflat says whether the peak of memory grows with the org.
func unflat(runs []run, papers []paper) []string {
	var broken []string
	say := func(what string, small, large edge) {
		if growth := float64(large.peak) / float64(small.peak); growth > flat {
			broken = append(broken, fmt.Sprintf("%s: peak memory is %.1f MB with %d apps and %.1f MB with %d, %.2f times as much; at most %.2f is allowed",
				what, mega(small.peak), small.apps, mega(large.peak), large.apps, growth, flat))
		}
	}
	for _, what := range []string{firstRun, steadyRun} {
		small, large := edges(runs, what)
		say(what, small, large)
		small, large = edges(papers, what)
		say("report-inventory after the "+what, small, large)
	}
	return broken
}

func mega(bytes int64) float64 { return float64(bytes) / 1e6 }

// requests are those of S3, in the two classes that AWS bills.
func (r run) requests() (writes, reads int) {
	for operation, n := range r.s3 {
		switch operation {
		case buckettest.PutObject, buckettest.ListObjectsV2:
			writes += n
		case buckettest.GetObject, buckettest.HeadObject:
			reads += n
		}
	}
	return writes, reads
}
