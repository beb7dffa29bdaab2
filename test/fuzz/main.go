// Command fuzz runs every fuzz target of the project in turn, each for a while,
// and says what came of it. "make fuzz" starts it in test/.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

func main() {
	each := flag.Duration("time", 10*time.Second, "how long each target runs")
	only := flag.String("only", "", "a regular expression: only targets whose package or name matches")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Stdout, *each, *only); err != nil {
		fmt.Fprintln(os.Stderr, "fuzz:", err)
		stop()
		os.Exit(1) //nolint:gocritic // stop was called
	}
}

// target is a fuzz function; dir is the folder of its module.
type target struct{ dir, pkg, name string }

func run(ctx context.Context, out io.Writer, each time.Duration, only string) error {
	wanted, err := regexp.Compile(only)
	if err != nil {
		return fmt.Errorf("-only: %w", err)
	}
	var all []target
	for _, dir := range []string{"..", "."} {
		found, err := list(ctx, dir)
		if err != nil {
			return err
		}
		all = append(all, found...)
	}
	all = slices.DeleteFunc(all, func(t target) bool { return !wanted.MatchString(t.pkg + " " + t.name) })
	if len(all) == 0 {
		return errors.New("there is no such target")
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	failed := 0
	var results []result
	for i, t := range all {
		fmt.Fprintf(out, "[%d/%d] %s %s\n", i+1, len(all), t.pkg, t.name)
		r := t.fuzz(ctx, each)
		if ctx.Err() != nil {
			return errors.New("interrupted")
		}
		if r.failure != "" {
			failed++
			fmt.Fprintln(out, r.failure)
		}
		results = append(results, r)
	}
	fmt.Fprintln(table, "\nTARGET\tPACKAGE\tEXECUTIONS\tA SECOND\tINPUTS\tNEW\tSECONDS\tRESULT")
	for _, r := range results {
		outcome := "ok"
		if r.failure != "" {
			outcome = "FAILED"
		}
		fmt.Fprintf(table, "%s\t%s\t%d\t%d\t%d\t%d\t%.0f\t%s\n", r.name, strings.TrimPrefix(r.pkg, "keyturn/"), r.executions,
			int(float64(r.executions)/max(r.took.Seconds(), 1)), r.inputs, r.fresh, r.took.Seconds(), outcome)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d targets failed; the input is in testdata/fuzz of the package: mend the code, and commit the input with a name that says what it is", failed, len(all))
	}
	return nil
}

// list finds the targets of a module, in the order of its packages.
func list(ctx context.Context, dir string) ([]target, error) {
	cmd := exec.CommandContext(ctx, "go", "test", "-json", "-list", "^Fuzz", "./...")
	cmd.Dir, cmd.Stderr = dir, os.Stderr
	text, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("list the targets of %s: %w", filepath.Base(dir), err)
	}
	var all []target
	for lines := json.NewDecoder(bytes.NewReader(text)); lines.More(); {
		var event struct{ Action, Package, Output string }
		if err := lines.Decode(&event); err != nil {
			return nil, fmt.Errorf("list the targets: %w", err)
		}
		if name := strings.TrimSpace(event.Output); event.Action == "output" && strings.HasPrefix(name, "Fuzz") {
			all = append(all, target{dir, event.Package, name})
		}
	}
	return all, nil
}

// result is what came of a target.
type result struct {
	target

	executions, inputs, fresh int
	took                      time.Duration
	// failure is the output where it failed.
	failure string
}

// fuzz runs a target. Inputs are made small in a few steps only: by default
// that takes up to a minute for each, in which nothing is tried.
func (t target) fuzz(ctx context.Context, each time.Duration) result {
	cmd := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-fuzz", "^"+t.name+"$", "-fuzztime", each.String(), "-fuzzminimizetime", "20x", t.pkg)
	cmd.Dir = t.dir
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	start := time.Now()
	text, err := cmd.CombinedOutput()
	r := result{target: t, took: time.Since(start)}
	r.read(string(text))
	if err != nil {
		r.failure = string(text)
	}
	return r
}

var progress = regexp.MustCompile(`execs: (\d+) \(\d+/sec\), new interesting: (\d+) \(total: (\d+)\)`)

// read takes the figures of the last line that has some.
func (r *result) read(output string) {
	all := progress.FindAllStringSubmatch(output, -1)
	if len(all) == 0 {
		return
	}
	last := all[len(all)-1]
	for i, to := range []*int{&r.executions, &r.fresh, &r.inputs} {
		*to, _ = strconv.Atoi(last[i+1]) // digits, by the expression
	}
}
