package startup

import (
	"context"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// The budgets: 1.3 times the empty function's start where Secrets Manager is
// the only AWS service, 2 times elsewhere; 9 MB, and 13 MB for those below.
var larger = map[string]bool{"confirm-upload": true, "request-upload": true, "list-apps": true, "sign-csr": true}
var moreServices = map[string]bool{"confirm-upload": true, "request-upload": true, "list-apps": true}

// BenchmarkStart starts every function and the empty one in turn, so that a
// machine that slows down slows both.
func BenchmarkStart(b *testing.B) {
	dir := b.TempDir()
	build(b, dir, "./testdata/empty")
	functions, err := filepath.Glob("../../functions/*")
	if err != nil || len(functions) == 0 {
		b.Fatalf("no functions: %v", err)
	}
	build(b, dir, "../../functions/...")
	for _, f := range functions {
		name := filepath.Base(f)
		b.Run(name, func(b *testing.B) {
			var empty, function []time.Duration
			for b.Loop() {
				empty = append(empty, start(b, filepath.Join(dir, "empty")))
				function = append(function, start(b, filepath.Join(dir, name)))
			}
			info, err := os.Stat(filepath.Join(dir, name))
			if err != nil {
				b.Fatal(err)
			}
			size := float64(info.Size()) / 1e6
			ratio := float64(median(function)) / float64(median(empty))
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(float64(median(function).Microseconds())/1e3, "ms-start")
			b.ReportMetric(float64(median(empty).Microseconds())/1e3, "ms-empty")
			b.ReportMetric(ratio, "x-empty")
			b.ReportMetric(size, "MB")
			maxSize, maxRatio := 9.0, 1.3
			if larger[name] {
				maxSize = 13
			}
			if moreServices[name] {
				maxRatio = 2
			}
			if size > maxSize {
				b.Errorf("%s has %.1f MB, more than %.0f", name, size, maxSize)
			}
			if ratio > maxRatio {
				b.Errorf("%s starts in %.2f times what an empty function takes, more than %.1f", name, ratio, maxRatio)
			}
		})
	}
}

func build(b *testing.B, dir string, packages string) {
	b.Helper()
	cmd := exec.CommandContext(b.Context(), "go", "build", "-tags", "lambda.norpc", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", dir+"/", packages)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("go build %s: %v\n%s", packages, err, out)
	}
}

// start runs a function until it asks for its first event.
func start(b *testing.B, program string) time.Duration {
	b.Helper()
	asked := make(chan time.Time, 1)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	server := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/next") {
			select {
			case asked <- time.Now():
			default:
			}
			<-r.Context().Done()
		}
	})}
	go func() { _ = server.Serve(listener) }()
	defer func() { _ = server.Close() }()
	ctx, cancel := context.WithTimeout(b.Context(), 10*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, program)
	cmd.Env = []string{
		"AWS_LAMBDA_RUNTIME_API=" + listener.Addr().String(), "AWS_REGION=us-east-1", "AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test",
		"OKTA_ORG_URL=http://127.0.0.1:1", "OKTA_SECRET_ARN=okta", "CA_SECRET_ARN=ca", "LINK_KEY_SECRET_ARN=link-key",
		"CERTIFICATE_AUTHORITY=local", "PAGE_URL=http://127.0.0.1:1", "TOPIC_ARN=topic", "SENDER_ADDRESS=keyturn@example.com",
		"ROTATION_ARN=arn:aws:states:us-east-1:123456789012:stateMachine:keyturn-rotation", "METADATA_FUNCTION_ARN=read-metadata",
	}
	began := time.Now()
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	var took time.Duration
	select {
	case at := <-asked:
		took = at.Sub(began)
	case <-ctx.Done():
		b.Fatalf("%s does not ask for an event", program)
	}
	cancel()
	_ = cmd.Wait()
	return took
}

func median(of []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(of))
	return sorted[len(sorted)/2]
}
