package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	ssmtypes "github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"keyturn/internal/ca"
	"keyturn/internal/ca/local"
)

// The names of a stack with its usual name, for commands that are printed.
const (
	usualSecret    = "keyturn/ca"
	usualParameter = "/keyturn/ca"
)

// made is a CA that has its certificate.
type made struct {
	title string
	chain ca.Chain
	notes []string

	keyPEM  []byte // nil where KMS has the key
	keyFile string // where it waited, if it did in a file

	// Where to put it; at least one of the first and the others.
	dir       string
	account   aws.Config
	secret    *secret
	parameter string
}

// keep puts the CA where it belongs, and says what is to be done next. Files
// are written first: they can be taken back.
func (p program) keep(ctx context.Context, m made) error {
	files := []file{{name: chainFile, content: m.chain.PEM()}}
	var secretJSON []byte
	if m.keyPEM != nil {
		var err error
		if secretJSON, err = local.Secret(m.keyPEM, m.chain); err != nil {
			return err
		}
		if m.secret == nil {
			files = append(files, file{name: secretFile, content: secretJSON, private: true})
		}
	} else if err := fitsParameter(m.chain); err != nil {
		return err
	}
	undo := func() {}
	var err error
	if m.dir != "" {
		if undo, err = writeNew(m.dir, files...); err != nil {
			return err
		}
	}
	var tier ssmtypes.ParameterTier
	switch {
	case m.secret != nil:
		err = m.secret.put(ctx, secretJSON)
	case m.parameter != "":
		tier, err = putParameter(ctx, m.account, m.parameter, m.chain)
	}
	if err != nil {
		undo()
		return err
	}

	p.printf("%s: %s\n", m.title, name(m.chain[0]))
	p.describe(m.chain)
	p.notes(append(m.notes, prefixed("warning", soon(m.chain, p.now(), usualDays))...))

	path := func(name string) string { return filepath.Join(m.dir, name) }
	p.printf("\nWritten:\n")
	if m.dir != "" {
		p.row(path(chainFile), "the certificates, for partners that check the chain")
	}
	switch {
	case m.secret != nil:
		p.row(m.secret.arn, "the private key with the certificates")
	case m.keyPEM != nil:
		p.row(path(secretFile), "the private key with the certificates: whoever has it can sign as this CA")
	case m.parameter != "":
		p.row(fmt.Sprintf("parameter %s in %s", m.parameter, m.account.Region), "the certificates"+paid(tier))
	}
	p.next(m.steps(path)...)
	return nil
}

// steps are what is left to a person.
func (m made) steps(path func(string) string) []step {
	var steps []step
	var remove []string
	switch {
	case m.keyPEM != nil && m.secret == nil:
		steps = append(steps, step{
			"Store it in the stack's secret, {stack name}/ca:",
			"aws secretsmanager put-secret-value --secret-id " + usualSecret + " --secret-string " + quoted("file://"+path(secretFile)),
		})
		remove = append(remove, quoted(path(secretFile)))
	case m.keyPEM == nil && m.parameter == "":
		steps = append(steps, step{
			"Store the certificates in a parameter of SSM:",
			"aws ssm put-parameter --name " + usualParameter + " --type String --tier Intelligent-Tiering --value " + quoted("file://"+path(chainFile)),
		})
	}
	if m.keyFile != "" {
		remove = append(remove, quoted(m.keyFile))
	}
	if len(remove) > 0 {
		steps = append(steps, step{"Then delete the private key here:", "rm " + strings.Join(remove, " ")})
	}
	deploy := "Deploy the stack with CertificateAuthority=local, unless it runs with that already."
	if m.keyPEM == nil {
		deploy = "Deploy the stack with CertificateAuthority=kms, the key's ARN and the parameter's name."
	}
	return append(steps, step{text: deploy})
}

// paid tells of the tier that is not free.
func paid(tier ssmtypes.ParameterTier) string {
	if tier == ssmtypes.ParameterTierAdvanced {
		return "; more than 4 KB make it an advanced parameter, which AWS charges for"
	}
	return ""
}
