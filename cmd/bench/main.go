// Command bench measures what Keyturn costs: discovery of large simulated orgs
// with Okta's rate limits on a simulated clock, beside a naive scan; size and
// start of the functions; rotations. It writes docs/benchmarks.md and fails
// where a budget is broken.
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"keyturn/internal/startup"
)

func main() { os.Exit(status()) }

func status() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if err := bench(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		return 1
	}
	return 0
}

// What is measured, by the words of -only.
var subjects = []string{"discovery", "functions", "rotation"}

// plan is how much is measured.
type plan struct {
	sizes []int
	idps  int
	// starts of each function.
	starts int
	// judged tells that memory and starts are held to their budgets.
	judged bool
}

// again is how many times as often a function is started that seems to break
// its budget: a machine that others use too is not steady to a hundredth.
const again = 4

var (
	full  = plan{sizes: []int{1000, 5000, 20000}, idps: 200, starts: 60, judged: true}
	quick = plan{sizes: []int{40, 250}, idps: 10, starts: 3}
)

func bench(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(out)
	path := flags.String("o", filepath.Join("docs", "benchmarks.md"), "the `file` to write, - for the standard output")
	small := flags.Bool("quick", false, "small orgs and few starts, to see that everything runs: the figures mean little")
	only := flags.String("only", strings.Join(subjects, ","), "what to measure, of `these`")
	if err := flags.Parse(args); err != nil {
		return err
	}
	chosen := strings.Split(*only, ",")
	for _, word := range chosen {
		if !slices.Contains(subjects, word) {
			return fmt.Errorf("-only %s: give some of %s", *only, strings.Join(subjects, ", "))
		}
	}
	p := full
	if *small {
		p = quick
	}
	r := results{at: time.Now(), command: strings.Join(append([]string{"go run ./cmd/bench"}, args...), " "), starts: p.starts}
	progress := func(what string) { _, _ = fmt.Fprintln(os.Stderr, what) }
	if err := r.measure(ctx, p, chosen, progress); err != nil {
		return err
	}
	if err := r.write(*path, out); err != nil {
		return err
	}
	if broken := r.broken(p.judged); len(broken) > 0 {
		return fmt.Errorf("budgets are broken:\n  %s", strings.Join(broken, "\n  "))
	}
	return nil
}

func (r *results) write(path string, out io.Writer) error {
	var page bytes.Buffer
	if err := r.document(&page); err != nil {
		return err
	}
	if path == "-" {
		_, err := out.Write(page.Bytes())
		return err
	}
	return os.WriteFile(path, page.Bytes(), 0o644)
}

func (r *results) measure(ctx context.Context, p plan, chosen []string, progress func(string)) error {
	// The functions first: a machine at rest starts them as they start.
	if slices.Contains(chosen, "functions") {
		if err := r.measureFunctions(ctx, p, progress); err != nil {
			return err
		}
	}
	if slices.Contains(chosen, "discovery") {
		if err := r.measureDiscovery(ctx, p, progress); err != nil {
			return err
		}
	}
	if slices.Contains(chosen, "rotation") {
		var err error
		if r.turns, err = turns(ctx, ".", progress); err != nil {
			return err
		}
	}
	return nil
}

func (r *results) measureDiscovery(ctx context.Context, p plan, progress func(string)) error {
	dir, err := os.MkdirTemp("", "keyturn-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	play, err := program(ctx, dir, "./cmd/bench/call")
	if err != nil {
		return err
	}
	reporter, err := program(ctx, dir, "./cmd/bench/report")
	if err != nil {
		return err
	}
	if r.nothing, err = idle(ctx, play); err != nil {
		return err
	}
	for _, apps := range p.sizes {
		runs, papers, err := scans(ctx, play, reporter, apps, p.idps, progress)
		if err != nil {
			return err
		}
		r.runs = append(r.runs, runs...)
		r.papers = append(r.papers, papers...)
	}
	return nil
}

func (r *results) measureFunctions(ctx context.Context, p plan, progress func(string)) error {
	progress("size and start of the functions")
	dir, err := os.MkdirTemp("", "keyturn-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	programs, err := startup.Build(ctx, ".", dir)
	if err != nil {
		return err
	}
	if r.emptySize, err = programs.EmptySize(); err != nil {
		return err
	}
	for _, name := range programs.Names {
		f, err := programs.Measure(ctx, name, p.starts)
		if err == nil && len(f.Broken()) > 0 {
			f, err = programs.Measure(ctx, name, again*p.starts)
		}
		if err != nil {
			return err
		}
		progress(fmt.Sprintf("  %s: %.1f MB, %.2f times the empty function's start", name, mega(f.Size), f.Ratio()))
		r.functions = append(r.functions, f)
	}
	return nil
}
