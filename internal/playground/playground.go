// Package playground is a whole Keyturn on this machine: a local AWS with the
// deployed stack, a simulated Okta org, and a CA made for the occasion. The
// demo, the development stack and the end-to-end tests run on it.
package playground

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	kmstypes "github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sfn"

	"keyturn/internal/ca/local"
	"keyturn/internal/localaws"
	"keyturn/internal/oktasim"
)

// What the playground's people are called.
const (
	Sender   = "keyturn@example.com"
	Approver = "sso-team@example.com"
	Operator = "identity-operations@example.com"
	Signer   = "pki-team@example.com"
)

// Options say how to set a playground up. The zero value runs at AWS's pace.
type Options struct {
	// Cloud says how the local AWS runs.
	Cloud localaws.Options
	// Org says how the simulated org runs. An empty token is made up.
	Org oktasim.Options
	// StackName is the deployed stack's name; empty: "keyturn".
	StackName string
	// TopicOnly deploys without a sender, so that requests go to the topic.
	TopicOnly bool
	// Progress hears what is being set up; nil for nobody.
	Progress func(what string)
}

// Playground is a Keyturn that runs. Stop it.
type Playground struct {
	// Visitor reaches the page that links lead to.
	Visitor
	Cloud *localaws.Cloud
	Org   *oktasim.Org
	// OrgURL is where the org answers and has its console.
	OrgURL string
	// Targets are the org's, by the part they play.
	Targets oktasim.Demo
	// Outputs are the stack's.
	Outputs map[string]string
	// CARoot is the root of the CA whose key is in the stack's secret.
	CARoot *x509.Certificate
	// Company has the other CAs that the stack may use.
	Company *Company

	server        *http.Server
	stepFunctions *sfn.Client
}

// Start sets everything up: with a warm Go build cache in about ten seconds.
func Start(ctx context.Context, o Options) (*Playground, error) {
	p := &Playground{}
	if err := p.start(ctx, o); err != nil {
		return nil, errors.Join(err, p.Stop())
	}
	return p, nil
}

func (p *Playground) start(ctx context.Context, o Options) error {
	progress := o.Progress
	if progress == nil {
		progress = func(string) {}
	}
	if o.StackName == "" {
		o.StackName = "keyturn"
	}

	progress("a simulated Okta org")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("playground: the org's address: %w", err)
	}
	p.OrgURL = "http://" + listener.Addr().String()
	o.Org.BaseURL = p.OrgURL
	p.Org = oktasim.New(o.Org)
	p.Targets = p.Org.SeedDemo()
	p.server = &http.Server{Handler: p.Org, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = p.server.Serve(listener) }()

	progress("a local AWS (MiniStack)")
	if p.Cloud, err = localaws.Start(ctx, o.Cloud); err != nil {
		return err
	}
	p.Visitor = Visitor{Client: p.Cloud.FunctionURLClient()}
	p.stepFunctions = sfn.NewFromConfig(p.Cloud.Config())

	progress("the company's CAs: in KMS, in AWS Private CA, and a security team's")
	if p.Company, err = found(ctx, p.Cloud.Config(), kmstypes.KeySpecRsa2048); err != nil {
		return fmt.Errorf("playground: %w", err)
	}

	progress("the stack: go build, sam deploy")
	parameters := map[string]string{
		"OktaOrgUrl":   p.OrgURL,
		"Approvers":    Approver,
		"PublicUrl":    p.Cloud.PublicURL(),
		"Architecture": architecture(),
	}
	maps.Copy(parameters, p.Company.Parameters)
	if !o.TopicOnly {
		parameters["SenderAddress"] = Sender
		parameters["Operators"] = Operator
		if err := p.Cloud.VerifySender(ctx, Sender); err != nil {
			return err
		}
	}
	if p.Outputs, err = p.Cloud.Deploy(ctx, localaws.DeployOptions{StackName: o.StackName, Parameters: parameters}); err != nil {
		return err
	}
	if err := p.publish(ctx, o.StackName); err != nil {
		return err
	}

	progress("the secrets: an API token, a CA of its own")
	caSecret, root, err := local.Generate("Example Demo CA", time.Now(), 5, rand.Reader)
	if err != nil {
		return fmt.Errorf("playground: the CA: %w", err)
	}
	p.CARoot = root
	token, err := json.Marshal(map[string]string{"apiToken": p.Org.APIToken()})
	if err != nil {
		return fmt.Errorf("playground: the token: %w", err)
	}
	if err := p.PutSecret(ctx, o.StackName+"/okta", string(token)); err != nil {
		return err
	}
	return p.PutSecret(ctx, o.StackName+"/ca", string(caSecret))
}

// PutSecret gives a secret of the stack a value, as an operator does.
func (p *Playground) PutSecret(ctx context.Context, name, value string) error {
	_, err := secretsmanager.NewFromConfig(p.Cloud.Config()).PutSecretValue(ctx,
		&secretsmanager.PutSecretValueInput{SecretId: aws.String(name), SecretString: aws.String(value)})
	if err != nil {
		return fmt.Errorf("playground: secret %s: %w", name, err)
	}
	return nil
}

// Stop ends everything that Start began. It may be called more than once.
func (p *Playground) Stop() error {
	var errs []error
	if p.Cloud != nil {
		errs = append(errs, p.Cloud.Stop())
	}
	if p.server != nil {
		errs = append(errs, p.server.Close())
	}
	return errors.Join(errs...)
}
