package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	smtypes "github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	ssmtypes "github.com/aws/aws-sdk-go-v2/service/ssm/types"
	"github.com/aws/smithy-go"

	"keyturn/internal/ca"
)

// account is what the AWS CLI would use: environment, profile, SSO.
func account(ctx context.Context) (aws.Config, error) {
	c, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return c, fmt.Errorf("the AWS configuration cannot be read: %w", err)
	}
	if c.Region == "" {
		return c, errors.New("no AWS region: set AWS_REGION, or AWS_PROFILE to a profile that has one")
	}
	if _, err := c.Credentials.Retrieve(ctx); err != nil {
		return c, fmt.Errorf("no AWS credentials: %w; set AWS_PROFILE and, with SSO, call aws sso login", err)
	}
	return c, nil
}

// secret is the stack's secret {stack name}/ca.
type secret struct {
	client  *secretsmanager.Client
	name    string
	arn     string
	version string // empty as long as it has no value
	value   []byte
}

// readSecret reads the secret, which the stack makes without a value.
func readSecret(ctx context.Context, c aws.Config, name string) (*secret, error) {
	s := &secret{client: secretsmanager.NewFromConfig(c), name: name}
	about, err := s.client.DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: aws.String(name)})
	var missing *smtypes.ResourceNotFoundException
	switch {
	case errors.As(err, &missing):
		return nil, fmt.Errorf("the secret %s does not exist in %s: deploy the stack first, which makes it ({stack name}/ca), or use -dir", name, c.Region)
	case err != nil:
		return nil, fmt.Errorf("the secret %s cannot be looked at: secretsmanager:DescribeSecret %s", name, reason(err, false))
	case about.DeletedDate != nil:
		return nil, fmt.Errorf("the secret %s is about to be deleted: restore it first (aws secretsmanager restore-secret --secret-id %s)", name, quoted(name))
	}
	s.arn = aws.ToString(about.ARN)
	for version, stages := range about.VersionIdsToStages {
		if slices.Contains(stages, "AWSCURRENT") {
			s.version = version
		}
	}
	if s.version == "" {
		return s, nil
	}
	got, err := s.client.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: about.ARN, VersionId: aws.String(s.version)})
	if err != nil {
		return nil, fmt.Errorf("the secret %s cannot be read: secretsmanager:GetSecretValue %s", name, reason(err, false))
	}
	s.value = append([]byte(aws.ToString(got.SecretString)), got.SecretBinary...)
	return s, nil
}

// fields are those of the secret's value; nil where it is something else.
func (s *secret) fields() map[string]json.RawMessage {
	var fields map[string]json.RawMessage
	if json.Unmarshal(s.value, &fields) != nil {
		return nil
	}
	return fields
}

// free tells that the secret has no value, or {}, which is how a person says
// that it may have another one.
func (s *secret) free() bool {
	fields := s.fields()
	return len(s.value) == 0 || fields != nil && len(fields) == 0
}

// waiting is the key whose request the root has not answered yet; empty where
// the secret is in another state.
func (s *secret) waiting() (keyPEM string) {
	fields := s.fields()
	if len(fields) != 1 || json.Unmarshal(fields["key"], &keyPEM) != nil {
		return ""
	}
	return keyPEM
}

// taken is the error about a secret that cannot be written.
func (s *secret) taken() error {
	if s.waiting() != "" {
		return fmt.Errorf("the secret %s holds a key whose request waits for the root's answer: bring that by keyturn ca accept; or, to give this key up, say so first: aws secretsmanager put-secret-value --secret-id %s --secret-string '{}'",
			s.name, quoted(s.name))
	}
	return fmt.Errorf("the secret %s has a value, which is left as it is (keyturn ca show -secret %s): make another CA with -dir, and store it yourself", s.name, quoted(s.name))
}

// put stores a value after the one that was read. The version's id follows from
// that one's, so that of two people who read the same only one can store, and
// none overwrites what the other has stored.
func (s *secret) put(ctx context.Context, value []byte) error {
	after := sha256.Sum256([]byte("keyturn ca " + s.arn + " " + s.version))
	_, err := s.client.PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{
		SecretId: aws.String(s.arn), SecretString: aws.String(string(value)),
		ClientRequestToken: aws.String(hex.EncodeToString(after[:16])),
	})
	var exists *smtypes.ResourceExistsException
	switch {
	case errors.As(err, &exists):
		return fmt.Errorf("the secret %s has got another value meanwhile, which is left as it is: look at it (keyturn ca show -secret %s)", s.name, quoted(s.name))
	case err != nil:
		return fmt.Errorf("the secret %s was not written: secretsmanager:PutSecretValue %s", s.name, reason(err, false))
	}
	return nil
}

// readParameter reads the chain of a CA in KMS.
func readParameter(ctx context.Context, c aws.Config, name string) (string, error) {
	got, err := ssm.NewFromConfig(c).GetParameter(ctx, &ssm.GetParameterInput{Name: aws.String(name)})
	var missing *ssmtypes.ParameterNotFound
	switch {
	case errors.As(err, &missing):
		return "", fmt.Errorf("the parameter %s does not exist in %s: make it with keyturn ca init -provider kms", name, c.Region)
	case err != nil:
		return "", fmt.Errorf("the parameter %s cannot be read: ssm:GetParameter %s", name, reason(err, true))
	}
	return aws.ToString(got.Parameter.Value), nil
}

// mostParameter is what an advanced parameter holds, in bytes; a standard one
// holds 4 KB.
const mostParameter = 8 << 10

func fitsParameter(chain ca.Chain) error {
	if n := len(chain.PEM()); n > mostParameter {
		return fmt.Errorf("the certificates have %d bytes, and a parameter of SSM holds %d: leave out the root's, and those that partners know", n, mostParameter)
	}
	return nil
}

// putParameter makes a parameter, and never changes one.
func putParameter(ctx context.Context, c aws.Config, name string, chain ca.Chain) (ssmtypes.ParameterTier, error) {
	out, err := ssm.NewFromConfig(c).PutParameter(ctx, &ssm.PutParameterInput{
		Name: aws.String(name), Value: aws.String(string(chain.PEM())), Type: ssmtypes.ParameterTypeString,
		Tier:        ssmtypes.ParameterTierIntelligentTiering,
		Description: aws.String("The CA of Keyturn in KMS: its certificates (PEM), issuing CA first"),
		Overwrite:   aws.Bool(false),
	})
	var exists *ssmtypes.ParameterAlreadyExists
	switch {
	case errors.As(err, &exists):
		return "", fmt.Errorf("the parameter %s exists, and is left as it is (keyturn ca show -parameter %s): use another name", name, quoted(name))
	case err != nil:
		return "", fmt.Errorf("the parameter %s was not made: ssm:PutParameter %s", name, reason(err, true))
	}
	return out.Tier, nil
}

// reason is why AWS did not do it. Its own words may quote the request: they
// are passed on where nothing in that is secret, or where they are known not to.
func reason(err error, public bool) string {
	var api smithy.APIError
	var network *net.OpError
	switch {
	case errors.As(err, &api):
		code := api.ErrorCode()
		harmless := []string{"AccessDeniedException", "ResourceNotFoundException", "InvalidRequestException", "ExpiredTokenException", "UnrecognizedClientException"}
		if public && !strings.Contains(code, "Signature") || slices.Contains(harmless, code) {
			return "ended with " + code + ": " + api.ErrorMessage()
		}
		return "ended with " + code
	case errors.Is(err, context.Canceled):
		return "was broken off"
	case errors.As(err, &network):
		return "found no AWS: " + network.Error()
	}
	return "got no answer"
}
