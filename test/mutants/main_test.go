package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestATestIsKilledByTheFirstThatFailsAsDeepAsItGoes(t *testing.T) {
	ran := []string{"TestA", "TestA/x", "TestB"}
	for output, want := range map[string]string{
		"--- FAIL: TestA (0.0s)\n    --- PASS: TestA/w (0s)\n    --- FAIL: TestA/x (0.0s)\n--- FAIL: TestB (0.0s)\n": "TestA/x",
		"--- FAIL: TestB (0.0s)\npanic: x\n":                "TestB",
		"panic: test timed out after 5m0s\n":                "TestB (without end)",
		"panic: runtime error\ngoroutine 7 [running]:\n":    "TestB (panic)",
		"--- FAIL: TestA (0.0s)\n--- FAIL: TestAB (0.0s)\n": "TestA",
	} {
		if got := culprit(output, ran); got != want {
			t.Errorf("%q is by %q, want %q", output, got, want)
		}
	}
	if got := culprit("panic: no stack\n", nil); got != "" {
		t.Errorf("what ends before any test is by %q", got)
	}
}

func TestAPatternIsMatchedAsGoTestDoes(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"TestA", "TestA", true}, {"TestA", "TestAB/x", true}, {"^TestA$", "TestAB", false}, {"TestA/x", "TestA/x", true}, {"TestA/x", "TestA", false}, {"TestA/x", "TestA/y", false},
		{"TestA/^$", "TestA", true}, {"TestA/x y/^$", "TestA/x_y", true}, {"TestA/x/^$", "TestA/y", false}, {"TestA|TestB/x", "TestB/x/z", true}, {"TestA|TestB/x", "TestC", false},
	} {
		if got := matches(c.pattern, c.name); got != c.want {
			t.Errorf("%q matches %q: %v", c.pattern, c.name, got)
		}
	}
}

func TestADefectThatDoesNotFitIsAnErrorOfTheList(t *testing.T) {
	tr := &tree{t.TempDir()}
	if err := os.WriteFile(filepath.Join(tr.dir, "a.go"), []byte("one two two"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ old, new, says string }{{"one", "1", ""}, {"two", "2", "2 times"}, {"three", "3", "0 times"}, {"one", "one", "changes nothing"}} {
		_, err := tr.broken(mutant{file: "a.go", old: c.old, new: c.new})
		if (err == nil) != (c.says == "") || (err != nil && !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%q becomes %q: %v, want %q", c.old, c.new, err, c.says)
		}
	}
}

func TestTheListInTheDocumentIsTheListHere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "testing.md")
	if err := os.WriteFile(path, []byte("before\n"+tableBegin+tableEnd+"after\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := checkTable(path, mutants); err == nil {
		t.Error("an empty list counts as the list")
	}
	if err := writeTable(path, mutants); err != nil {
		t.Fatal(err)
	}
	if err := checkTable(path, mutants); err != nil {
		t.Error(err)
	}
	if text, err := os.ReadFile(path); err != nil || !strings.HasPrefix(string(text), "before\n") || !strings.HasSuffix(string(text), "after\n") {
		t.Errorf("the rest of the document became %q, %v", text, err)
	}
	if err := checkTable("../"+document, mutants); err != nil {
		t.Error(err)
	}
	if err := complete(mutants); err != nil {
		t.Error(err)
	}
}

func TestEveryDefectStillFitsTheCode(t *testing.T) {
	for _, m := range mutants {
		if _, err := (&tree{"../" + root}).broken(m); err != nil {
			t.Errorf("%q: %v", m.name, err)
		}
	}
}
