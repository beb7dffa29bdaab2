package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"keyturn/cmd/bench/played"
)

// program builds what plays the functions, as a function is built.
func program(ctx context.Context, dir, source string) (string, error) {
	path := filepath.Join(dir, filepath.Base(source))
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", path, source)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build %s: %w\n%s", source, err, out)
	}
	return path, nil
}

// call is one call of a function, as the parent saw it.
type call struct {
	peak int64
	// lasted is simulated, cpu is this machine's.
	lasted, cpu time.Duration
}

// call runs a part in a process of its own, and reads what it gives into out.
func (w *world) call(ctx context.Context, name string, in, out any) (call, error) {
	return w.play(ctx, w.program, name, in, out)
}

func (w *world) play(ctx context.Context, program, name string, in, out any) (call, error) {
	input, err := json.Marshal(in)
	if err != nil {
		return call{}, err
	}
	cmd := exec.CommandContext(ctx, program, name)
	// Lambda gives a function of 512 MB less than one processor. On several, the
	// garbage collector would run beside what it is to keep up with.
	cmd.Env = []string{
		"GOMAXPROCS=1", "OKTA_ORG_URL=" + w.url, "TMPDIR=" + os.TempDir(),
		"AWS_ENDPOINT_URL=" + w.s3.URL, "AWS_REGION=us-east-1", "AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test",
	}
	cmd.ExtraFiles = []*os.File{w.clock.File()}
	cmd.Stdin = bytes.NewReader(input)
	var answer, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &answer, &complaint
	began := w.clock.Now()
	if err := cmd.Run(); err != nil {
		return call{}, fmt.Errorf("%s: %w\n%s", name, err, complaint.String())
	}
	c := call{lasted: w.clock.Now().Sub(began), cpu: cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()}
	var said played.Said
	if err := json.Unmarshal(answer.Bytes(), &said); err != nil {
		return c, fmt.Errorf("%s: %w", name, err)
	}
	if said.Error != "" {
		return c, fmt.Errorf("%s: %s", name, said.Error)
	}
	c.peak = said.Peak
	if out == nil {
		return c, nil
	}
	return c, json.Unmarshal(said.Output, out)
}
