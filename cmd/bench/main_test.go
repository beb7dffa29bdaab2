package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// quickly measures small orgs with a program in place of the functions.
func quickly(t *testing.T, source string) []run {
	t.Helper()
	t.Chdir("../..")
	play, err := program(t.Context(), t.TempDir(), source)
	if err != nil {
		t.Fatal(err)
	}
	w, err := newWorld(play, "", 250, 10)
	if err != nil {
		t.Fatal(err)
	}
	defer w.close()
	var runs []run
	for i, what := range []string{firstRun, steadyRun} {
		r, _, err := w.discover(t.Context(), what, i+1)
		if err != nil {
			t.Fatal(err)
		}
		runs = append(runs, r)
		w.tomorrow()
	}
	return runs
}

func TestAQuickRunWritesThePage(t *testing.T) {
	t.Chdir("../..")
	path := filepath.Join(t.TempDir(), "benchmarks.md")
	var out bytes.Buffer
	if err := bench(t.Context(), []string{"-quick", "-only", "discovery", "-o", path}, &out); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []string{
		`\| +40 \| +10 \| first run +\| +\d+ \| +\d+ \| +1 \| +0 \| +0 \|`,
		`\| +250 \| +10 \| steady run +\| +3 \| +3 \| +0 \| +0 \| +0 \|`,
		`\| +250 \| steady run +\| +\d+\.\d \| +\d+\.\d \| +\d+\.\d \| +0\.\d \| +0\.\d \|`,
		`\| +250 \| +10 \| naive scan +\| +\d+ \| +3 \| +\d+ \| +3 \| +0 \|`,
	} {
		if !regexp.MustCompile(row).Match(page) {
			t.Errorf("the page has no row %s:\n%s", row, page)
		}
	}
	if host, err := os.Hostname(); err == nil && bytes.Contains(page, []byte(host)) {
		t.Error("the page names this machine")
	}
	if err := bench(t.Context(), []string{"-only", "all"}, &out); err == nil {
		t.Error("-only all is taken")
	}
}

// A budget that nothing can break is none: this list-apps asks for everything
// twice.
func TestAScanThatAsksTwiceBreaksTheBudgets(t *testing.T) {
	runs := quickly(t, "./cmd/bench/testdata/twice")
	for i, want := range []string{"keys were asked for more than once", "over the floor of 3; at most 2 are allowed"} {
		if broken := strings.Join(runs[i].broken(), "\n"); !strings.Contains(broken, want) {
			t.Errorf("%s: %d calls, floor %d; broken: %q", runs[i].what, runs[i].calls, runs[i].floor, broken)
		}
	}
}

func TestTheFunctionKeepsTheBudgets(t *testing.T) {
	for _, r := range quickly(t, "./cmd/bench/call") {
		if broken := r.broken(); broken != nil {
			t.Error(broken)
		}
		if r.peak < 4e6 || r.peak > 400e6 {
			t.Errorf("%s: the peak of memory is %d bytes", r.what, r.peak)
		}
		if r.lasted <= 0 || r.took < r.lasted || r.cost() <= 0 {
			t.Errorf("%s: it took %s, ran for %s and costs %f", r.what, r.took, r.lasted, r.cost())
		}
	}
}

func TestWhatIsBrokenIsSaid(t *testing.T) {
	r := results{
		runs: []run{
			{what: firstRun, apps: 1000, peak: 20e6, calls: 10, floor: 10},
			{what: firstRun, apps: 20000, peak: 26e6, calls: 10, floor: 10, missed: 1},
			{what: steadyRun, apps: 1000, peak: 20e6, calls: 9, floor: 6, limited: 1},
			{what: steadyRun, apps: 20000, peak: 24e6, calls: 103, floor: 101},
			{what: naiveRun, apps: 20000, peak: 900e6, calls: 900, floor: 6, limited: 1},
		},
		papers: []paper{
			{what: steadyRun, apps: 1000, call: call{peak: 20e6}}, {what: steadyRun, apps: 20000, call: call{peak: 40e6}},
		},
		turns: []turn{{kind: "app", order: "before-switch", calls: 9, transitions: 20}, {kind: "idp", order: "after-switch", calls: 11, transitions: 21}},
	}
	want := []string{
		"20000 apps, first run: 1 keys were not asked for",
		"1000 apps, steady run: Okta answered 1 times 429; none is allowed",
		"1000 apps, steady run: 9 calls, 3 over the floor of 6; at most 2 are allowed",
		"first run: peak memory is 20.0 MB with 1000 apps and 26.0 MB with 20000, 1.30 times as much; at most 1.25 is allowed",
		"report-inventory after the steady run: peak memory is 20.0 MB with 1000 apps and 40.0 MB with 20000, 2.00 times as much; at most 1.25 is allowed",
		"rotation of an idp, after-switch: 11 calls to Okta, more than 10",
		"rotation of an idp, after-switch: 21 state transitions, more than 20",
	}
	if got := r.broken(true); !slices.Equal(got, want) {
		t.Errorf("got\n%s", strings.Join(got, "\n"))
	}
}

func TestCosts(t *testing.T) {
	rotated := turn{transitions: 17, lambdas: 10, events: 3, mails: 1}
	if got := rotated.cost(); got < 0.000563 || got > 0.000564 { // 0.000425 + 10 × 0.0000035 + 0.000003 + 0.0001
		t.Errorf("a rotation costs %.7f", got)
	}
	found := run{transitions: 6, invocations: 1, lasted: 9 * time.Second, cpu: time.Second, s3: map[string]int{"PutObject": 10, "ListObjectsV2": 2, "GetObject": 100, "DeleteObject": 50}}
	if got := found.cost(); got < 0.000317 || got > 0.000318 { // 0.00015 + 0.0000006 + 0.0000667 + 0.00006 + 0.00004
		t.Errorf("a discovery costs %.7f", got)
	}
}

func TestNumbersAreShort(t *testing.T) {
	for d, want := range map[time.Duration]string{
		1580 * time.Millisecond: "2 s", 59600 * time.Millisecond: "1 min 00 s", 14*time.Minute + 44*time.Second: "14 min 44 s", 4*time.Hour + 51*time.Minute + 21*time.Second: "4 h 51 min",
	} {
		if got := span(d); got != want {
			t.Errorf("%s is %q, want %q", d, got, want)
		}
	}
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 14072: "14,072", 1234567: "1,234,567"} {
		if got := thousands(n); got != want {
			t.Errorf("%d is %q", n, got)
		}
	}
}
