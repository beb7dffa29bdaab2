package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestEveryApprovalUnderLoadIsHonoured is a small load, of which nothing is
// measured here: no answer is lost, none fails, and every rotation completes.
func TestEveryApprovalUnderLoadIsHonoured(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	path := filepath.Join(t.TempDir(), "load.md")
	var out, progress bytes.Buffer
	if err := command(ctx, []string{"-waiting", "20", "-approvals", "10", "-within", "3s", "-o", path, "-note", "A small one."}, &out, &progress); err != nil {
		t.Fatalf("%v\n%s", err, &progress)
	}
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []string{
		`\n\nA small one\.\n\n`,
		`20 rotations of as many apps .* 10 people open their link and confirm, one every 300 ms`,
		`\| requests to the page, and errors \| 20, 0 \(0\.0 %\) \|`,
		`\| approvals that are in the report of their rotation \| 10 of 10 \|`,
		`\| how all rotations ended \| 20 Completed \|`,
		`\| GET \| 10 \| \d+ \| \d+ \| \d+ \| \d+ \|`,
		`\| POST \| 10 \| \d+ \| \d+ \| \d+ \| \d+ \|`,
		`\| GET and POST, by REPORT lines \| 20 \|`,
	} {
		if !regexp.MustCompile(row).Match(page) {
			t.Errorf("the page has no %s:\n%s", row, page)
		}
	}
}

func TestWhatWentWrongUnderLoadIsSaid(t *testing.T) {
	good := results{plan: plan{waiting: 2, approvals: 1}, honoured: 1, ends: map[string]int{"Completed": 2}}
	if wrong := good.wrong(); len(wrong) > 0 {
		t.Errorf("nothing is wrong, and it says %q", wrong)
	}
	lost, failed, other := good, good, good
	lost.honoured = 0
	failed.loaded.errors = map[string]int{"503 Please try again": 2}
	other.ends = map[string]int{"Completed": 1, "GaveUp": 1}
	for want, r := range map[string]results{
		"0 of 1 approvals": lost, "the page failed 2 times: 503 Please try again": failed, "they ended as map[Completed:1 GaveUp:1]": other,
	} {
		if wrong := strings.Join(r.wrong(), "\n"); !strings.Contains(wrong, want) {
			t.Errorf("it says %q, want %q", wrong, want)
		}
	}
}

func TestAPercentileIsOneOfTheValues(t *testing.T) {
	var all []time.Duration
	for i := range 200 {
		all = append(all, time.Duration(200-i)*time.Millisecond)
	}
	for part, want := range map[float64]time.Duration{0.5: 100 * time.Millisecond, 0.95: 190 * time.Millisecond, 0.99: 198 * time.Millisecond, 1: 200 * time.Millisecond} {
		if got := percentile(all, part); got != want {
			t.Errorf("percentile %v is %s, want %s", part, got, want)
		}
	}
	if got := percentile(nil, 0.5); got != 0 {
		t.Errorf("of nothing it is %s", got)
	}
}

func TestEveryArgumentIsChecked(t *testing.T) {
	for _, args := range [][]string{{"-approvals", "600"}, {"-approvals", "0"}, {"-within", "0s"}, {"-underway", "0"}, {"-nothing"}} {
		if err := command(t.Context(), args, new(bytes.Buffer), new(bytes.Buffer)); err == nil {
			t.Errorf("%q is taken", args)
		}
	}
}
