package simulated

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	awslambda "github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambda/messages"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	lambdaservice "github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sesv2"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sns"

	"keyturn/internal/approval"
	"keyturn/internal/approval/page"
	"keyturn/internal/approval/paused"
	"keyturn/internal/approval/request"
	"keyturn/internal/bucket"
	"keyturn/internal/inventory"
	"keyturn/internal/inventory/publish"
	"keyturn/internal/inventory/scan"
	"keyturn/internal/inventory/starting"
	"keyturn/internal/lambdastep"
	"keyturn/internal/notify"
	"keyturn/internal/okta"
	"keyturn/internal/rotation"
	"keyturn/internal/secret"
	"keyturn/internal/steps"
	"keyturn/test/asl"
)

// The functions' time-outs (template.yaml).
const (
	stepTimeout      = 75 * time.Second
	discoveryTimeout = 300 * time.Second
	metadataTimeout  = 12 * time.Second
	pageTimeout      = 20 * time.Second
)

// The page is called by people, not by the state machine.
const pageFunction = "confirm-upload"

// config is the SDK's, as package awsenv makes it in a function, on the
// simulated network.
func (w *World) config() aws.Config {
	return aws.Config{
		Region: region,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: accessKey, SecretAccessKey: "simulated", Source: "simulated"}, nil
		}),
		HTTPClient: &http.Client{Transport: w.wire},
	}
}

func (w *World) secret(id string) *secret.Secret {
	return secret.New(secretsmanager.NewFromConfig(w.config()), id, time.Now)
}

func (w *World) okta() (*okta.Client, error) {
	s := w.secret(oktaSecret)
	return okta.New(okta.Config{
		OrgURL: "https://" + orgHost,
		HTTP:   &http.Client{Transport: w.wire, Timeout: 10 * time.Second},
		Credentials: func(ctx context.Context, fresh bool) (okta.Credential, error) {
			return secret.Parse(ctx, s.Value, fresh, func(value []byte) (okta.Credential, error) { return okta.ParseCredential(s.ID(), value) })
		},
	})
}

// withOkta wires a step that needs nothing but the org.
func withOkta[In, Out any](w *World, name string, wired func(*okta.Client) lambdastep.Step[In, Out]) awslambda.Handler {
	return lambdastep.Handler(name, &w.logs, func() (lambdastep.Step[In, Out], error) {
		client, err := w.okta()
		if err != nil {
			return nil, err
		}
		return wired(client), nil
	})
}

// start is a process of a function, wired as functions/{name}/main.go does.
func (w *World) start(name string) awslambda.Handler {
	switch name {
	case "inspect-target":
		return withOkta(w, name, func(c *okta.Client) lambdastep.Step[rotation.InspectTargetInput, rotation.InspectTargetOutput] {
			return steps.InspectTarget{Okta: c, Defaults: w.defaults(), Now: time.Now}.Run
		})
	case "generate-csr":
		return withOkta(w, name, func(c *okta.Client) lambdastep.Step[rotation.GenerateCSRInput, rotation.GenerateCSROutput] {
			return steps.GenerateCSR{Okta: c}.Run
		})
	case "sign-csr":
		return lambdastep.Handler(name, &w.logs, func() (lambdastep.Step[rotation.SignCSRInput, rotation.SignCSROutput], error) {
			return steps.SignCSR{CA: w.authorities().Get, Now: time.Now}.Run, nil
		})
	case "publish-csr":
		return withOkta(w, name, func(c *okta.Client) lambdastep.Step[rotation.PublishCSRInput, rotation.PublishCSROutput] {
			return steps.PublishCSR{Okta: c}.Run
		})
	case "clone-certificate":
		return withOkta(w, name, func(c *okta.Client) lambdastep.Step[rotation.CloneCertificateInput, rotation.CloneCertificateOutput] {
			return steps.CloneCertificate{Okta: c}.Run
		})
	case "update-key-credential":
		return withOkta(w, name, func(c *okta.Client) lambdastep.Step[rotation.UpdateKeyCredentialInput, rotation.UpdateKeyCredentialOutput] {
			return steps.UpdateKeyCredential{Okta: c}.Run
		})
	case "verify-key":
		return withOkta(w, name, func(c *okta.Client) lambdastep.Step[rotation.VerifyKeyInput, rotation.VerifyKeyOutput] {
			return steps.VerifyKey{Okta: c}.Run
		})
	case "revoke-csr":
		return withOkta(w, name, func(c *okta.Client) lambdastep.Step[rotation.RevokeCSRInput, rotation.RevokeCSROutput] {
			return steps.RevokeCSR{Okta: c}.Run
		})
	case "read-metadata":
		return withOkta(w, name, func(c *okta.Client) lambdastep.Step[rotation.ReadMetadataInput, rotation.ReadMetadataOutput] {
			return steps.ReadMetadata{Okta: c}.Run
		})
	case "request-upload":
		return lambdastep.Handler(name, &w.logs, func() (lambdastep.Step[rotation.RequestUploadInput, rotation.RequestUploadOutput], error) {
			step := request.Upload{
				Topic:   notify.Topic{SNS: sns.NewFromConfig(w.config()), ARN: topic},
				Events:  eventbridge.NewFromConfig(w.config()),
				BaseURL: pageURL,
				OrgURL:  "https://" + orgHost,
				Now:     time.Now,
				Log:     slog.New(slog.NewJSONHandler(&w.logs, nil)),
				Sealer:  approval.Links(w.secret(linkKeySecret).Value),
			}
			switch w.channel {
			case Topic:
			case Chat:
				step.Chat = notify.Chat{URL: w.secret(chatSecret).Value, HTTP: &http.Client{Transport: w.wire}}
			default:
				step.Mail = notify.Mail{SES: sesv2.NewFromConfig(w.config()), Sender: sender}
			}
			return step.Run, nil
		})
	case "list-apps":
		return withOkta(w, name, func(c *okta.Client) lambdastep.Step[inventory.ListAppsInput, inventory.ListAppsOutput] {
			return scan.Apps{Okta: c, Bucket: w.bucket(), Defaults: w.defaults(), Policy: w.policy, Now: time.Now}.Run
		})
	case "start-rotations":
		return lambdastep.Handler(name, &w.logs, func() (lambdastep.Step[inventory.StartRotationsInput, inventory.StartRotationsOutput], error) {
			patient := w.config()
			patient.RetryMaxAttempts = 8
			return starting.Rotations{StepFunctions: sfn.NewFromConfig(patient), MachineARN: machineARN, Bucket: w.bucket()}.Run, nil
		})
	case "report-inventory":
		return lambdastep.Handler(name, &w.logs, func() (lambdastep.Step[inventory.ReportInventoryInput, inventory.ReportInventoryOutput], error) {
			return publish.Inventory{
				Bucket: w.bucket(), Operators: []string{operator}, Events: eventbridge.NewFromConfig(w.config()), Stack: "keyturn",
				Mail:    notify.Mail{SES: sesv2.NewFromConfig(w.config()), Sender: sender},
				Metrics: &w.logs, Log: slog.New(slog.NewJSONHandler(&w.logs, nil)), Now: time.Now,
			}.Run, nil
		})
	case pageFunction:
		key := w.secret(linkKeySecret)
		stepFunctions := sfn.NewFromConfig(w.config())
		p, err := page.New(page.Config{
			Links:     &approval.Keyring{Current: key.Value, Previous: key.Previous().Value, Now: time.Now},
			Rotations: paused.Executions{StepFunctions: stepFunctions, MachineARN: machineARN},
			Decider:   paused.Answer{StepFunctions: stepFunctions},
			Metadata:  page.MetadataFunction{Lambda: lambdaservice.NewFromConfig(w.config()), FunctionARN: "read-metadata"},
			OrgURL:    "https://" + orgHost,
			PublicURL: pageURL,
			Now:       time.Now,
			Log:       slog.New(slog.NewJSONHandler(&w.logs, nil)),
		})
		if err != nil {
			panic(err)
		}
		return awslambda.NewHandler(page.FunctionURL(p))
	}
	panic("simulated: there is no function " + name)
}

// defaults are the settings that the stack's parameters say, as package wiring
// reads them.
func (w *World) defaults() rotation.Settings {
	s := rotation.DefaultSettings([]string{Approver})
	s.CertificateAuthority = rotation.CertificateAuthority(w.env["CERTIFICATE_AUTHORITY"])
	return s
}

// bucket is the inventory's. S3 answers under a host of its own.
func (w *World) bucket() bucket.Bucket {
	c := w.config()
	c.BaseEndpoint = aws.String("https://s3." + region + ".amazonaws.com")
	return bucket.New(c, bucketName)
}

func timeoutOf(function string) time.Duration {
	switch function {
	case "list-apps", "start-rotations", "report-inventory":
		return discoveryTimeout
	case "read-metadata":
		return metadataTimeout
	case pageFunction:
		return pageTimeout
	}
	return stepTimeout
}

// invoke calls a function: in a process that is warm, if there is one. The
// failure is as Lambda tells it.
func (w *World) invoke(ctx context.Context, state, function string, payload []byte) ([]byte, *asl.Failure) {
	i := &invocation{state: state, function: function, dead: make(chan struct{})}
	if caller, ok := ctx.Value(invocationKey{}).(*invocation); ok {
		i.another = caller.another
	}
	process := function
	switch { // what is warm must not depend on what runs beside it
	case state == "DescribeAuthorities":
		process += " of discovery"
	case i.another:
		process += " of another"
	}
	w.mu.Lock()
	handler := w.warm[process]
	delete(w.warm, process) // a process serves one call at a time
	w.mu.Unlock()
	if handler == nil {
		handler = w.start(function)
	}
	// What Step Functions gives up, Lambda goes on with.
	ctx, cancel := context.WithTimeout(context.WithValue(context.WithoutCancel(ctx), invocationKey{}, i), timeoutOf(function))
	defer cancel()
	type result struct {
		out []byte
		err error
	}
	ended := make(chan result, 1)
	go func() {
		out, err := handler.Invoke(ctx, payload)
		ended <- result{out, err}
	}()
	select {
	case r := <-ended:
		if i.killed() {
			break
		}
		out := bytes.Clone(r.out) // the next call writes its answer there
		w.mu.Lock()
		w.warm[process] = handler
		w.mu.Unlock()
		if r.err == nil {
			return out, nil
		}
		var failure messages.InvokeResponse_Error
		if !errors.As(r.err, &failure) {
			failure = messages.InvokeResponse_Error{Type: "errorString", Message: r.err.Error()}
		}
		return nil, lambdaFailure(failure.Type, failure.Message)
	case <-i.dead:
		cancel()
	case <-ctx.Done():
		i.kill()
		return nil, lambdaFailure("Sandbox.Timedout", "Task timed out")
	}
	return nil, lambdaFailure("Runtime.ExitError", "Runtime exited with error: signal: killed")
}

func lambdaFailure(name, message string) *asl.Failure {
	cause, err := json.Marshal(map[string]string{"errorMessage": message, "errorType": name})
	if err != nil {
		panic(err)
	}
	return &asl.Failure{Name: name, Cause: string(cause)}
}

// lambda serves the one function that another calls.
func (w *World) lambda(out http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	name := strings.Split(r.URL.Path, "/")[3] // /2015-03-31/functions/{name}/invocations
	result, failure := w.invoke(r.Context(), pageState, name, body)
	if failure != nil {
		out.Header().Set("X-Amz-Function-Error", "Unhandled")
		result = []byte(failure.Cause)
	}
	_, _ = out.Write(result)
}
