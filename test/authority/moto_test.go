package authority_test

import (
	"bufio"
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// motoServer is moto on a free port of the loopback interface. It ends when its
// standard input is closed, which it is when the test's process ends, however
// it ends.
const motoServer = `
import os, sys, threading
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
from moto.server import main
main(["-H", "127.0.0.1", "-p", "0"])
`

// startMoto runs moto's server out of the project's .venv for as long as the
// test, and returns a configuration for the SDK's clients.
func startMoto(t *testing.T) aws.Config {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(venv(t), "bin", "python"), "-I", "-c", motoServer)
	cmd.Env = []string{"HOME=" + t.TempDir(), "PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8", "PYTHONUNBUFFERED=1"}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	log, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("moto does not start: %v: run `make setup`", err)
	}
	lines := bufio.NewScanner(log)
	read := make(chan struct{})
	t.Cleanup(func() {
		_ = stdin.Close()
		<-read
		_ = cmd.Wait() // it was told to end: how it did does not matter
	})
	var said []string
	for lines.Scan() {
		said = append(said, lines.Text())
		_, url, found := strings.Cut(lines.Text(), "Running on ")
		if !found {
			continue
		}
		go func() { // moto would stop if nobody read its log
			defer close(read)
			for lines.Scan() {
				continue
			}
		}()
		return aws.Config{
			Region:       "eu-west-1",
			BaseEndpoint: aws.String(strings.TrimSpace(url)),
			Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
				return aws.Credentials{AccessKeyID: "AKIDMOTO", SecretAccessKey: "moto", Source: "moto"}, nil
			}),
			Retryer: func() aws.Retryer { return aws.NopRetryer{} },
		}
	}
	close(read)
	t.Fatalf("moto does not start; it said:\n%s", strings.Join(said, "\n"))
	return aws.Config{}
}

// venv is the project's .venv: that of the nearest folder upwards whose go.mod
// is the root module's.
func venv(t testing.TB) string {
	t.Helper()
	start, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && bytes.HasPrefix(mod, []byte("module keyturn\n")) {
			return filepath.Join(dir, ".venv")
		}
		if dir == filepath.Dir(dir) {
			t.Fatalf("%s is not inside the keyturn module", start)
		}
	}
}
