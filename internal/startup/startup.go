package startup

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Figures are what one function was measured at.
type Figures struct {
	Name string
	// Size is the stripped program's, in bytes.
	Size int64
	// Start and Empty are the medians of the function and, in turn with it, of
	// the empty one.
	Start, Empty time.Duration
}

// Ratio is the start against that of the empty function.
func (f Figures) Ratio() float64 { return float64(f.Start) / float64(f.Empty) }

// moreServices have more AWS services than Secrets Manager: they may have 13 MB,
// and start in up to twice the time.
var moreServices = []string{"confirm-upload", "request-upload", "sign-csr", "list-apps", "start-rotations", "report-inventory"}

// MaxSize and MaxRatio are the function's budgets.
func (f Figures) MaxSize() int64 {
	if slices.Contains(moreServices, f.Name) {
		return 13e6
	}
	return 9e6
}

// MaxRatio is how often the empty function's start the function's may take.
func (f Figures) MaxRatio() float64 {
	if slices.Contains(moreServices, f.Name) {
		return 2
	}
	return 1.3
}

// Broken says which budgets the function does not keep.
func (f Figures) Broken() []string {
	var broken []string
	if f.Size > f.MaxSize() {
		broken = append(broken, fmt.Sprintf("%s has %.1f MB, more than %.0f", f.Name, float64(f.Size)/1e6, float64(f.MaxSize())/1e6))
	}
	if f.Ratio() > f.MaxRatio() {
		broken = append(broken, fmt.Sprintf("%s starts in %.2f times what an empty function takes, more than %.1f", f.Name, f.Ratio(), f.MaxRatio()))
	}
	return broken
}

// empty is the program that does nothing.
const empty = "empty"

// Programs are the built functions.
type Programs struct {
	dir string
	// Names are the functions', in order.
	Names []string
}

// Build builds the named functions of the project in root, all of functions/
// without names, and the empty one into a directory.
func Build(ctx context.Context, root, dir string, names ...string) (*Programs, error) {
	if len(names) == 0 {
		found, err := filepath.Glob(filepath.Join(root, "functions", "*", "main.go"))
		if err != nil || len(found) == 0 {
			return nil, fmt.Errorf("startup: no functions in %s: %w", root, err)
		}
		for _, path := range found {
			names = append(names, filepath.Base(filepath.Dir(path)))
		}
	}
	args := []string{"build", "-tags", "lambda.norpc", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", dir + "/", "./internal/startup/testdata/empty"}
	for _, name := range names {
		args = append(args, "./functions/"+name)
	}
	cmd := exec.CommandContext(ctx, "go", args...) //nolint:gosec // G204: the names are those of the project's folders
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("startup: go build: %w\n%s", err, out)
	}
	return &Programs{dir: dir, Names: names}, nil
}

// EmptySize is the size of the empty function, in bytes.
func (p *Programs) EmptySize() (int64, error) { return p.size(empty) }

func (p *Programs) size(name string) (int64, error) {
	info, err := os.Stat(filepath.Join(p.dir, name))
	if err != nil {
		return 0, fmt.Errorf("startup: %w", err)
	}
	return info.Size(), nil
}

// Measure starts a function and the empty one so many times in turn, so that a
// machine that slows down slows both.
func (p *Programs) Measure(ctx context.Context, name string, times int) (Figures, error) {
	f := Figures{Name: name}
	var err error
	if f.Size, err = p.size(name); err != nil {
		return f, err
	}
	var nothing, function []time.Duration
	for range times {
		for _, m := range []struct {
			name string
			took *[]time.Duration
		}{{empty, &nothing}, {name, &function}} {
			d, err := start(ctx, filepath.Join(p.dir, m.name))
			if err != nil {
				return f, fmt.Errorf("startup: %s: %w", m.name, err)
			}
			*m.took = append(*m.took, d)
		}
	}
	f.Start, f.Empty = median(function), median(nothing)
	return f, nil
}

// start runs a function until it asks for its first event.
func start(ctx context.Context, program string) (time.Duration, error) {
	asked := make(chan time.Time, 1)
	var listening net.ListenConfig
	listener, err := listening.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
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
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, program)
	cmd.Env = []string{
		"AWS_LAMBDA_RUNTIME_API=" + listener.Addr().String(), "AWS_REGION=us-east-1", "AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test",
		"OKTA_ORG_URL=http://127.0.0.1:1", "OKTA_SECRET_ARN=okta", "CA_SECRET_ARN=ca", "LINK_KEY_SECRET_ARN=link-key",
		"CERTIFICATE_AUTHORITY=local", "PAGE_URL=http://127.0.0.1:1", "TOPIC_ARN=topic", "SENDER_ADDRESS=keyturn@example.com",
		"ROTATION_ARN=arn:aws:states:us-east-1:123456789012:stateMachine:keyturn-rotation", "METADATA_FUNCTION_ARN=read-metadata",
		"BUCKET=inventory", "STACK=keyturn", "APPROVERS=sso-team@example.com", "OPERATORS=sso-team@example.com", "MODE=notify",
	}
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	defer func() { cancel(); _ = cmd.Wait() }()
	select {
	case at := <-asked:
		return at.Sub(began), nil
	case <-ctx.Done():
		return 0, fmt.Errorf("it does not ask for an event: %w", ctx.Err())
	}
}

func median(of []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(of))
	return sorted[len(sorted)/2]
}
