package localca

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The end of standard input is all that a crash of the caller leaves: here
// nothing ends the program but that.
func TestTheProgramEndsWithItsCaller(t *testing.T) {
	cmd := exec.Command("sh", "-c", watch, "sh", "sh", "-c", "echo started; exec tail -f /dev/null")
	alive, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(stdout, make([]byte, len("started\n"))); err != nil {
		t.Fatal(err)
	}
	if err := alive.Close(); err != nil {
		t.Fatal(err)
	}
	// It is closed when nobody holds it any more.
	if rest, err := io.ReadAll(stdout); err != nil || len(rest) > 0 {
		t.Errorf("it went on with %q, %v", rest, err)
	}
	if err := cmd.Wait(); err == nil || cmd.ProcessState.ExitCode() != 128+9 {
		t.Errorf("it ended with %v, want to be killed", err)
	}
}

func TestTheProgramsOwnEndIsTheEnd(t *testing.T) {
	cmd := exec.Command("sh", "-c", watch, "sh", "sh", "-c", "exit 3")
	alive, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = alive.Close() }()
	if err := cmd.Run(); err == nil || cmd.ProcessState.ExitCode() != 3 {
		t.Errorf("it ended with %v, want the program's status 3", err)
	}
}

func TestAProgramThatDoesNotStartIsQuoted(t *testing.T) {
	program := filepath.Join(t.TempDir(), "step-ca")
	script := "#!/bin/sh\necho no such luck >&2\nexit 1\n"
	if err := os.WriteFile(program, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	s, err := Start(t.Context(), program, t.TempDir())
	if s != nil || err == nil || !strings.Contains(err.Error(), "it has exited") || !strings.Contains(err.Error(), "no such luck") {
		t.Errorf("got %v, %v; want an error with the end of the program's log", s, err)
	}
}

func TestAProgramThatCannotBeBuiltSaysHow(t *testing.T) {
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "tools", "stepca"), 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := Build(t.Context(), root)
	if err == nil || !strings.Contains(err.Error(), "go tool -n step-ca") || !strings.Contains(err.Error(), root) {
		t.Errorf("error %v does not show the command", err)
	}
}

func TestNothingOfAStepCAIsReadableByOthers(t *testing.T) {
	s := &StepCA{dir: t.TempDir(), Password: "hunter2"}
	if _, err := s.makeCA(); err != nil {
		t.Fatal(err)
	}
	key, err := os.ReadFile(s.path("intermediate_ca.key"))
	if err != nil || !bytes.Contains(key, []byte("PRIVATE KEY")) {
		t.Fatalf("no key: %v", err)
	}
	files, err := os.ReadDir(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if info, err := f.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", f.Name(), info.Mode(), err)
		}
	}
}
