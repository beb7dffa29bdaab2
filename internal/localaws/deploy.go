package localaws

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/cloudformation"

	"keyturn/policy"
)

// DeployOptions say what to deploy.
type DeployOptions struct {
	// StackName is the name of the stack; empty: "keyturn".
	StackName string
	// Parameters are the values of the template's parameters. Without any, the
	// ones in samconfig.toml apply; with some, those do not.
	Parameters map[string]string
	// ProjectRoot is the folder with functions/, statemachine/, template.yaml
	// and samconfig.toml; empty: the Cloud's own.
	ProjectRoot string
}

// Deploy does what `make build` and `sam deploy --config-env local` do, in a
// copy of what is deployed: it builds the functions for this machine, on which
// MiniStack runs them as plain processes, and leaves the project's own build
// alone. It returns the stack's outputs. Deploying a stack again updates it.
func (c *Cloud) Deploy(ctx context.Context, o DeployOptions) (map[string]string, error) {
	if o.StackName == "" {
		o.StackName = "keyturn"
	}
	if o.ProjectRoot == "" {
		o.ProjectRoot = c.root
	}
	dir := c.path("deploy-" + o.StackName)
	if err := os.RemoveAll(dir); err != nil {
		return nil, fmt.Errorf("localaws: %w", err)
	}
	for _, step := range []func() error{
		func() error { return c.build(ctx, o.ProjectRoot, filepath.Join(dir, "build")) },
		func() error { return copyDefinitions(o.ProjectRoot, dir) },
		func() error { return includeSchedule(o.ProjectRoot, dir) },
		func() error { return c.samDeploy(ctx, dir, o) },
	} {
		if err := step(); err != nil {
			return nil, fmt.Errorf("localaws: deploying %s: %w", o.StackName, err)
		}
	}
	outputs, err := c.outputs(ctx, o.StackName)
	if err != nil {
		return nil, fmt.Errorf("localaws: reading the outputs of %s: %w", o.StackName, err)
	}
	return outputs, nil
}

// build puts each function at dir/{function}/bootstrap.
func (c *Cloud) build(ctx context.Context, root, dir string) error {
	goTool, err := exec.LookPath("go")
	if err != nil {
		return err
	}
	bin := filepath.Join(dir, "bin")
	cmd, err := c.watched(ctx, nil, goTool, "build", "-tags", "lambda.norpc", "-trimpath", "-ldflags", "-s -w",
		"-buildvcs=false", "-o", bin+string(filepath.Separator), "./functions/...")
	if err != nil {
		return err
	}
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+runtime.GOOS, "GOARCH="+runtime.GOARCH)
	if err := complete(ctx, cmd); err != nil {
		return fmt.Errorf("go build: %w", err)
	}
	functions, err := os.ReadDir(bin)
	if err != nil {
		return err
	}
	for _, f := range functions {
		folder := filepath.Join(dir, f.Name())
		if err := os.Mkdir(folder, 0o700); err != nil {
			return err
		}
		if err := os.Rename(filepath.Join(bin, f.Name()), filepath.Join(folder, "bootstrap")); err != nil {
			return err
		}
	}
	return os.Remove(bin)
}

func copyDefinitions(root, dir string) error {
	for _, name := range []string{"template.yaml", "samconfig.toml"} {
		content, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			return err
		}
	}
	return os.CopyFS(filepath.Join(dir, "statemachine"), os.DirFS(filepath.Join(root, "statemachine")))
}

// includeSchedule writes what the template includes, if the project has a
// policy.
func includeSchedule(root, dir string) error {
	content, err := os.ReadFile(filepath.Join(root, "policy", "policy.json"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	snippet, err := policy.ScheduleInput(content)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "build", "schedule.json"), snippet, 0o600)
}

func (c *Cloud) samDeploy(ctx context.Context, dir string, o DeployOptions) error {
	// SAM asks PyPI for a newer version unless it has done so this week.
	settings := filepath.Join(c.path("home"), ".aws-sam")
	if err := os.MkdirAll(settings, 0o700); err != nil {
		return err
	}
	checked := fmt.Sprintf(`{"lastVersionCheck": %d}`, time.Now().Unix())
	if err := os.WriteFile(filepath.Join(settings, "metadata.json"), []byte(checked), 0o600); err != nil {
		return err
	}

	sam := []string{venv(c.root, "sam"), "deploy", "--config-env", "local", "--stack-name", o.StackName, "--no-progressbar"}
	if len(o.Parameters) > 0 {
		// As a file: on the command line SAM splits values at spaces and quotes.
		// It reads YAML, which JSON is.
		file := filepath.Join(dir, "parameters.yaml")
		content, err := json.Marshal(o.Parameters)
		if err != nil {
			return err
		}
		if err := os.WriteFile(file, content, 0o600); err != nil {
			return err
		}
		sam = append(sam, "--parameter-overrides", "file://"+file)
	}
	cmd, err := c.watched(ctx, nil, sam...)
	if err != nil {
		return err
	}
	cmd.Dir = dir
	cmd.Env = c.environment(
		"AWS_ENDPOINT_URL="+c.Endpoint,
		"SAM_CLI_POLL_DELAY=0.1", // seconds; 5 otherwise
		"SAM_CLI_TELEMETRY=0",
	)
	if err := complete(ctx, cmd); err != nil {
		return fmt.Errorf("sam deploy: %w", err)
	}
	return nil
}

func (c *Cloud) outputs(ctx context.Context, stack string) (map[string]string, error) {
	described, err := cloudformation.NewFromConfig(c.Config()).DescribeStacks(ctx,
		&cloudformation.DescribeStacksInput{StackName: &stack})
	if err != nil {
		return nil, err
	}
	if len(described.Stacks) != 1 {
		return nil, fmt.Errorf("%d stacks of this name", len(described.Stacks))
	}
	outputs := map[string]string{}
	for _, o := range described.Stacks[0].Outputs {
		outputs[*o.OutputKey] = *o.OutputValue
	}
	return outputs, nil
}

// complete runs a command; the error carries the end of what it wrote.
func complete(ctx context.Context, cmd *exec.Cmd) error {
	log, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	switch {
	case err != nil && ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.As(err, &exit):
		return fmt.Errorf("%w\n%s", err, tail(log))
	}
	return err
}
