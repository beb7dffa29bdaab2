// Package localaws runs AWS on this machine, for tests and the demo: it starts
// MiniStack, deploys the template into it with the real `sam deploy`, and shows
// what came out of it (mails, notifications, the page behind the link).
//
// MiniStack and SAM come from the project's .venv (`make setup`). Nothing
// listens beyond the loopback interface, everything written lies in one
// temporary folder, and both end with this process, however it ends: launch.py
// says how. That file also holds, one by one, the differences between MiniStack
// and AWS that are mended so that the definitions run unchanged.
package localaws

import (
	"bufio"
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"keyturn/internal/awshttp"
)

// What MiniStack calls the account and the region, and the key pair that it
// takes for the account's root user.
const (
	Region    = "us-east-1"
	AccountID = "000000000000"
	accessKey = "test"
	secretKey = "test"
)

//go:embed launch.py
var launcher []byte

// Options say how to start a Cloud. The zero value is AWS as it is: time runs
// at its pace, and IAM decides.
type Options struct {
	// ProjectRoot is the folder that holds go.mod, template.yaml and .venv.
	// Empty: found upwards from the working directory.
	ProjectRoot string
	// WaitScale multiplies what Wait states and the pauses between retries
	// take; 0 counts as 1.
	WaitScale float64
	// CallbackScale multiplies TimeoutSeconds of the tasks that wait for a
	// task token; 0 counts as 1.
	CallbackScale float64
	// CallbackTimes are the time-outs of such tasks that CallbackScale leaves
	// alone. The first that fits counts.
	CallbackTimes []CallbackTime
	// NoAuth lets every caller do everything. Otherwise a function may do what
	// its role allows, and nothing else.
	NoAuth bool
}

// CallbackTime is what a time-out Lasts here that lasts From or more, and no
// more than To, on AWS.
type CallbackTime struct{ From, To, Lasts time.Duration }

// Cloud is a running local AWS. Its methods may be called concurrently.
type Cloud struct {
	// Endpoint is the URL of every AWS service, such as "http://127.0.0.1:4566".
	Endpoint string

	root, dir string
	end       func() // ends MiniStack and waits for it
	public    *publicServer
	stop      sync.Once
	stopErr   error
}

// Start starts a local AWS without any resources. ctx bounds the start only:
// the Cloud runs until Stop, or until this process ends.
func Start(ctx context.Context, o Options) (*Cloud, error) {
	root := o.ProjectRoot
	if root == "" {
		var err error
		if root, err = findRoot(); err != nil {
			return nil, err
		}
	}
	if _, err := os.Stat(venv(root, "python")); err != nil {
		return nil, fmt.Errorf("localaws: no MiniStack at %s: run `make setup`", venv(root, "python"))
	}
	dir, err := os.MkdirTemp("", "keyturn-localaws-")
	if err != nil {
		return nil, fmt.Errorf("localaws: %w", err)
	}
	c := &Cloud{root: root, dir: dir, end: func() {}, public: &publicServer{}}
	if err := c.start(ctx, o); err != nil {
		return nil, errors.Join(fmt.Errorf("localaws: %w%s", err, c.logTail()), c.Stop())
	}
	return c, nil
}

func (c *Cloud) start(ctx context.Context, o Options) error {
	for _, folder := range []string{"home", "tmp"} {
		if err := os.Mkdir(filepath.Join(c.dir, folder), 0o700); err != nil {
			return err
		}
	}
	if err := os.WriteFile(c.path("launch.py"), launcher, 0o600); err != nil {
		return err
	}
	if err := c.startMiniStack(ctx, o); err != nil {
		return fmt.Errorf("MiniStack does not start: %w", err)
	}
	if err := c.getJSON(ctx, "/_ministack/ready", &struct{}{}); err != nil {
		return fmt.Errorf("MiniStack does not become ready: %w", err)
	}
	return c.public.start(ctx)
}

func (c *Cloud) startMiniStack(ctx context.Context, o Options) error {
	log, err := os.Create(c.path("ministack.log"))
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	cmd, err := c.watched(running, []string{"--remove", c.dir}, venv(c.root, "python"), "-I", c.path("launch.py"), "serve")
	if err != nil {
		cancel()
		return err
	}
	cmd.Env = c.environment(
		"AUTH="+strconv.FormatBool(!o.NoAuth),
		"BIND_HOST=127.0.0.1",
		"DOCKER_HOST=unix://"+c.path("no-docker"),
		"IOT_MTLS_ENABLED=0", // or it listens on every interface
		"KEYTURN_CALLBACK_SCALE="+scale(o.CallbackScale),
		"KEYTURN_CALLBACK_TIMES="+seconds(o.CallbackTimes),
		"KEYTURN_RECORDS="+os.Getenv("KEYTURN_RECORDS"),
		"SFN_WAIT_SCALE="+scale(o.WaitScale),
		"SFTP_ENABLED=0",
		"STATE_DIR="+c.path("state"),
	)
	cmd.Stderr = log
	stdout, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		cancel()
		return err
	}
	c.end = func() {
		cancel()
		_ = cmd.Wait() // it was told to end: how it did does not matter
	}

	defer context.AfterFunc(ctx, cancel)()
	port, err := bufio.NewReader(stdout).ReadString('\n')
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if errors.Is(err, io.EOF) {
		return errors.New("it has exited")
	}
	c.Endpoint = "http://127.0.0.1:" + strings.TrimSpace(port)
	return err
}

// Stop ends the Cloud and every function that runs in it, and removes its
// files. Calls after the first return what the first returned.
func (c *Cloud) Stop() error {
	c.stop.Do(func() {
		c.public.close()
		c.end()
		c.stopErr = os.RemoveAll(c.dir)
	})
	return c.stopErr
}

// sdk is the HTTP client of all clients of the SDK.
var sdk = awshttp.New()

// Config is for the SDK's service clients, which act as the account's root user.
func (c *Cloud) Config() aws.Config {
	return aws.Config{
		Region:       Region,
		BaseEndpoint: aws.String(c.Endpoint),
		HTTPClient:   sdk,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: accessKey, SecretAccessKey: secretKey, Source: "localaws"}, nil
		}),
	}
}

// Log is what MiniStack has logged so far; functions log to CloudWatch instead.
func (c *Cloud) Log() ([]byte, error) {
	return os.ReadFile(c.path("ministack.log"))
}

func (c *Cloud) logTail() string {
	log, err := c.Log()
	if err != nil || len(bytes.TrimSpace(log)) == 0 {
		return ""
	}
	return "; the end of its log:\n" + tail(log)
}

func (c *Cloud) path(name string) string { return filepath.Join(c.dir, name) }

// environment is all that the programs started here see of the environment, so
// that nobody's AWS profile, proxy or MiniStack settings reach them. MiniStack
// hands its own on to the functions.
func (c *Cloud) environment(more ...string) []string {
	return append([]string{
		"AWS_ACCESS_KEY_ID=" + accessKey,
		"AWS_SECRET_ACCESS_KEY=" + secretKey,
		"AWS_REGION=" + Region,
		"AWS_DEFAULT_REGION=" + Region,
		"AWS_EC2_METADATA_DISABLED=true",
		"HOME=" + c.path("home"),
		"LANG=C.UTF-8",
		"PATH=/usr/local/bin:/usr/bin:/bin",
		"TMPDIR=" + c.path("tmp"),
	}, more...)
}

func (c *Cloud) getJSON(ctx context.Context, path string, v any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.Endpoint+path, nil)
	if err != nil {
		return err
	}
	res, err := loopback.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s", path, res.Status)
	}
	return json.NewDecoder(res.Body).Decode(v)
}

// watched is program under `launch.py watch options...`. The end of ctx ends
// it, and so does the end of this process; in both cases with every process
// that it has started.
func (c *Cloud) watched(ctx context.Context, options []string, program ...string) (*exec.Cmd, error) {
	args := append([]string{"-I", c.path("launch.py"), "watch"}, options...)
	cmd := exec.CommandContext(ctx, venv(c.root, "python"), append(args, program...)...)
	alive, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	cmd.Cancel = alive.Close
	cmd.WaitDelay = 15 * time.Second // three times what launch.py grants
	return cmd, nil
}

// findRoot is the nearest folder upwards whose go.mod is this module's; test/
// and tools/ have a go.mod of their own.
func findRoot() (string, error) {
	start, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && bytes.HasPrefix(mod, []byte("module keyturn\n")) {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("localaws: %s is not inside the keyturn module: set Options.ProjectRoot", start)
		}
	}
}

func venv(root, program string) string {
	return filepath.Join(root, ".venv", "bin", program)
}

// seconds writes times as JSON, [[from, to, lasts], …].
func seconds(times []CallbackTime) string {
	in := [][3]float64{}
	for _, t := range times {
		in = append(in, [3]float64{t.From.Seconds(), t.To.Seconds(), t.Lasts.Seconds()})
	}
	text, err := json.Marshal(in)
	if err != nil {
		panic(err) // numbers
	}
	return string(text)
}

func scale(f float64) string {
	if f == 0 {
		f = 1
	}
	return strconv.FormatFloat(f, 'g', -1, 64)
}

// tail is the end of a log, as much as an error message can take.
func tail(log []byte) string {
	const size = 4000
	if len(log) > size {
		log = log[len(log)-size:]
		if _, rest, found := bytes.Cut(log, []byte("\n")); found {
			log = rest
		}
	}
	return string(bytes.TrimSpace(log))
}
