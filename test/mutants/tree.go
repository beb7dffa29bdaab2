package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// tree is a copy of the repository's tracked files, to be broken.
type tree struct{ dir string }

func newTree(ctx context.Context, from string) (*tree, error) {
	cmd := exec.CommandContext(ctx, "git", "ls-files", "-z", "--cached")
	cmd.Dir, cmd.Stderr = from, os.Stderr
	names, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("list the tracked files: %w", err)
	}
	dir, err := os.MkdirTemp("", "keyturn-mutants-")
	if err != nil {
		return nil, err
	}
	t := &tree{dir}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(names), "\x00"), "\x00") {
		if err := t.copy(from, name); err != nil {
			t.remove()
			return nil, err
		}
	}
	// The Python tools, which tests on the local stack need, are not tracked.
	if tools, err := filepath.Abs(filepath.Join(from, ".venv")); err == nil {
		if err := os.Symlink(tools, filepath.Join(dir, ".venv")); err != nil {
			t.remove()
			return nil, err
		}
	}
	return t, nil
}

func (t *tree) copy(from, name string) error {
	info, err := os.Lstat(filepath.Join(from, name))
	if errors.Is(err, os.ErrNotExist) || (err == nil && !info.Mode().IsRegular()) {
		return nil // deleted and not committed yet, or a link out of the tree
	}
	if err != nil {
		return err
	}
	content, err := os.ReadFile(filepath.Join(from, name))
	if err != nil {
		return err
	}
	to := filepath.Join(t.dir, name)
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return os.WriteFile(to, content, info.Mode().Perm())
}

func (t *tree) remove() { _ = os.RemoveAll(t.dir) }

// broken is a mutant's file with its defect. The text that it replaces must be
// there once: otherwise the list has rotted.
func (t *tree) broken(m mutant) ([]byte, error) {
	content, err := os.ReadFile(filepath.Join(t.dir, m.file))
	if err != nil {
		return nil, err
	}
	switch n := bytes.Count(content, []byte(m.old)); {
	case m.old == m.new:
		return nil, errors.New("it changes nothing")
	case n != 1:
		return nil, fmt.Errorf("the text that it replaces is %d times in %s, not once: correct the list\n%s", n, m.file, m.old)
	}
	return bytes.Replace(content, []byte(m.old), []byte(m.new), 1), nil
}

// judge makes a defect, runs the test that is to find it, and mends it again.
func (t *tree) judge(ctx context.Context, m mutant) (v verdict, err error) {
	content, err := t.broken(m)
	if err != nil {
		return v, err
	}
	path := filepath.Join(t.dir, m.file)
	whole, err := os.ReadFile(path)
	if err != nil {
		return v, err
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		return v, err
	}
	defer func() { err = errors.Join(err, os.WriteFile(path, whole, 0o600)) }()
	binary, err := t.compile(ctx, m.test)
	if err != nil {
		return v, fmt.Errorf("it does not compile, so no test can find it: %w", err)
	}
	if v = t.runTest(ctx, binary, m.test, true); v.failed && v.by == "" {
		return v, errors.New("the tests end before any of them runs")
	}
	return v, nil
}

// compile builds a package's tests. Without the folder in it (-trimpath), what
// did not change comes out of Go's cache.
func (t *tree) compile(ctx context.Context, of test) (binary string, err error) {
	binary = filepath.Join(t.dir, "mutant.test")
	cmd := exec.CommandContext(ctx, "go", "test", "-c", "-trimpath", "-o", binary, of.pkg)
	cmd.Dir = filepath.Join(t.dir, of.module)
	if text, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, text)
	}
	return binary, nil
}

// verdict is what tests said.
type verdict struct {
	failed bool
	// by is the test that failed, or what else was wrong.
	by string
	// ran are the tests that ran, subtests included.
	ran []string
}

// runTest runs compiled tests; with first, until one fails.
func (t *tree) runTest(ctx context.Context, binary string, of test, first bool) verdict {
	cmd := exec.CommandContext(ctx, binary, "-test.v", "-test.failfast="+strconv.FormatBool(first), "-test.timeout=5m", "-test.run="+of.run)
	cmd.Dir = filepath.Join(t.dir, of.module, of.pkg)
	// What these tests see is no record of the product's.
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "KEYTURN_RECORDS=") })
	// Programs that a test started and did not end keep its output open.
	cmd.WaitDelay = 10 * time.Second
	text, err := cmd.CombinedOutput()
	v := verdict{failed: err != nil}
	for _, m := range started.FindAllStringSubmatch(string(text), -1) {
		v.ran = append(v.ran, m[1])
	}
	if v.failed {
		v.by = culprit(string(text), v.ran)
	}
	return v
}

var (
	failed  = regexp.MustCompile(`(?m)^\s*--- FAIL: (\S+)`)
	started = regexp.MustCompile(`(?m)^=== RUN\s+(\S+)`)
)

// culprit is the test that failed: the first one, as deep as it goes.
func culprit(output string, ran []string) string {
	deepest := ""
	for _, m := range failed.FindAllStringSubmatch(output, -1) {
		if deepest == "" || strings.HasPrefix(m[1], deepest+"/") {
			deepest = m[1]
		}
	}
	switch {
	case deepest != "":
		return deepest
	case len(ran) == 0:
		return ""
	case strings.Contains(output, "panic: test timed out"):
		return ran[len(ran)-1] + " (without end)"
	}
	return ran[len(ran)-1] + " (panic)"
}

// matches tells whether -run with a pattern runs a test, or its parents do.
func matches(pattern, name string) bool {
	for alternative := range strings.SplitSeq(strings.ReplaceAll(pattern, " ", "_"), "|") {
		parts, names := strings.Split(alternative, "/"), strings.Split(name, "/")
		fits := true
		for i := range min(len(parts), len(names)) {
			one, err := regexp.MatchString(parts[i], names[i])
			fits = fits && err == nil && one
		}
		// A last part that fits nothing runs what is above it.
		if fits && (len(names) >= len(parts) || parts[len(parts)-1] == "^$" && len(names) == len(parts)-1) {
			return true
		}
	}
	return false
}
