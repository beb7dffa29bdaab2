// Command mutants breaks the product on purpose, in one place at a time, and
// sees that a test fails: for each invariant that the tests are to hold, at
// least one deliberate defect. "make mutants" starts it in test/.
//
// It works on a copy of the tracked files. A defect that no longer fits the
// code, does not compile, or whose test does not pass without it, is an error of
// the list, and not a success.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

func main() {
	only := flag.String("only", "", "a regular expression: only defects whose name or invariant matches")
	write := flag.Bool("write", false, "write the list into docs/testing.md, and do nothing else")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	err := run(ctx, os.Stdout, *only, *write)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1) //nolint:gocritic // stop was called
	}
}

// root is the repository, seen from the folder that the command runs in.
const root = ".."

// document has the list for people.
const document = root + "/docs/testing.md"

func run(ctx context.Context, out io.Writer, only string, write bool) error {
	wanted, err := regexp.Compile(only)
	if err != nil {
		return fmt.Errorf("-only: %w", err)
	}
	if write {
		return writeTable(document, mutants)
	}
	if err := errors.Join(complete(mutants), checkTable(document, mutants)); err != nil {
		return err
	}
	chosen := slices.DeleteFunc(slices.Clone(mutants), func(m mutant) bool {
		return !wanted.MatchString(m.name + " " + m.invariant.String())
	})
	if len(chosen) == 0 {
		return errors.New("there is no such defect")
	}
	t, err := newTree(ctx, root)
	if err != nil {
		return err
	}
	defer t.remove()
	var problems []error
	for _, m := range chosen {
		if _, err := t.broken(m); err != nil {
			problems = append(problems, fmt.Errorf("%q: %w", m.name, err))
		}
	}
	if len(problems) > 0 {
		return errors.Join(problems...)
	}
	if err := baseline(ctx, out, t, chosen); err != nil {
		return err
	}
	return hunt(ctx, out, t, chosen)
}

// complete tells of invariants for which there is no defect.
func complete(all []mutant) error {
	var problems []error
	for i := range invariant(len(invariants)) {
		if !slices.ContainsFunc(all, func(m mutant) bool { return m.invariant == i }) && !slices.Contains(open, i) {
			problems = append(problems, fmt.Errorf("no defect is for the invariant %q", i))
		}
	}
	return errors.Join(problems...)
}

// baseline runs every test without a defect: all must pass.
func baseline(ctx context.Context, out io.Writer, t *tree, all []mutant) error {
	fmt.Fprintln(out, "Without a defect:")
	var problems []error
	packages := map[[2]string][]string{}
	var order [][2]string
	for _, m := range all {
		key := [2]string{m.test.module, m.test.pkg}
		if packages[key] == nil {
			order = append(order, key)
		}
		if !slices.Contains(packages[key], m.test.run) {
			packages[key] = append(packages[key], m.test.run)
		}
	}
	for _, key := range order {
		start := time.Now()
		binary, err := t.compile(ctx, test{module: key[0], pkg: key[1]})
		if err != nil {
			return fmt.Errorf("the tests of %s do not compile as they are: %w", key[1], err)
		}
		v := t.runTest(ctx, binary, test{key[0], key[1], strings.Join(packages[key], "|")}, false)
		if ctx.Err() != nil {
			return errors.New("interrupted")
		}
		if v.failed {
			problems = append(problems, fmt.Errorf("%s fails without a defect: %s", key[1], v.by))
		}
		for _, pattern := range packages[key] {
			if !slices.ContainsFunc(v.ran, func(name string) bool { return matches(pattern, name) }) {
				problems = append(problems, fmt.Errorf("%s -run '%s' runs no test: correct the list", key[1], pattern))
			}
		}
		fmt.Fprintf(out, "  %-28s %2d tests, %4.1f s\n", strings.TrimPrefix(key[1], "./"), len(packages[key]), time.Since(start).Seconds())
	}
	return errors.Join(problems...)
}

// hunt makes one defect after the other.
func hunt(ctx context.Context, out io.Writer, t *tree, all []mutant) error {
	fmt.Fprintln(out, "\nWith a defect:")
	start := time.Now()
	type outcome struct {
		mutant
		verdict
		took time.Duration
	}
	var outcomes []outcome
	var problems []error
	survived := 0
	for i, m := range all {
		began := time.Now()
		v, err := t.judge(ctx, m)
		if ctx.Err() != nil {
			return errors.New("interrupted")
		}
		took := time.Since(began)
		switch {
		case err != nil:
			problems = append(problems, fmt.Errorf("%q: %w", m.name, err))
			fmt.Fprintf(out, "  [%d/%d] ! %s: %v\n", i+1, len(all), m.name, err)
			continue
		case !v.failed:
			survived++
			fmt.Fprintf(out, "  [%d/%d] SURVIVES %s\n", i+1, len(all), m.name)
		default:
			fmt.Fprintf(out, "  [%d/%d] %s\n", i+1, len(all), m.name)
		}
		outcomes = append(outcomes, outcome{m, v, took})
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "\nDEFECT\tINVARIANT\tKILLED BY\tSECONDS")
	for _, o := range outcomes {
		by := o.by
		if !o.failed {
			by = "NOTHING: it survives " + o.test.String()
		}
		fmt.Fprintf(table, "%s\t%d\t%s\t%.1f\n", o.name, o.invariant+1, by, o.took.Seconds())
	}
	if err := table.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(out, "\n%d of %d defects are found, in %.0f s.\n", len(outcomes)-survived, len(all), time.Since(start).Seconds())
	if survived > 0 {
		problems = append(problems, fmt.Errorf("%d defects survive: no test holds what they break", survived))
	}
	return errors.Join(problems...)
}
