// Package configured has the company's CAs as the stack's parameters describe
// them. A policy names one of them; each is set up on first use.
package configured

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/acmpca"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"keyturn/internal/awsenv"
	"keyturn/internal/ca"
	pca "keyturn/internal/ca/acmpca"
	"keyturn/internal/ca/kms"
	"keyturn/internal/ca/local"
	"keyturn/internal/ca/manual"
	"keyturn/internal/ca/stepca"
	"keyturn/internal/parameter"
	"keyturn/internal/rotation"
	"keyturn/internal/secret"
)

// maxAge is how long a CA is used in a process as it was set up: an operator
// may have renewed its certificate, or its secret.
const maxAge = 5 * time.Minute

// Authorities are the CAs. They are safe for concurrent use.
type Authorities struct {
	// StepCA is how a step-ca is reached, as in [stepca.Config]; nil: by net/http.
	StepCA func(*tls.Config) http.RoundTripper

	getenv func(string) string
	cloud  aws.Config
	now    func() time.Time

	mu   sync.Mutex
	made map[rotation.CertificateAuthority]made
}

type made struct {
	authority ca.Authority
	at        time.Time
}

// FromEnvironment has the CAs that the function's environment describes, each
// with variables of its own (template.yaml, SignCsrFunction).
func FromEnvironment() *Authorities { return From(os.Getenv, awsenv.Config()) }

// From has the CAs that the variables describe, reached with cloud.
func From(getenv func(string) string, cloud aws.Config) *Authorities {
	return &Authorities{getenv: getenv, cloud: cloud, now: time.Now, made: map[rotation.CertificateAuthority]made{}}
}

// Get gives a CA; an empty name is the stack's. It fails with CA.Misconfigured
// where the stack's parameters do not describe it, and otherwise with the
// provider's error, or the secret's.
func (a *Authorities) Get(ctx context.Context, name rotation.CertificateAuthority) (ca.Authority, error) {
	if name == "" {
		name = rotation.CertificateAuthority(a.getenv("CERTIFICATE_AUTHORITY"))
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if m, ok := a.made[name]; ok && a.now().Sub(m.at) < maxAge {
		return m.authority, nil
	}
	authority, err := a.make(ctx, name)
	if err != nil {
		return nil, err
	}
	a.made[name] = made{authority, a.now()}
	return authority, nil
}

func (a *Authorities) make(ctx context.Context, name rotation.CertificateAuthority) (ca.Authority, error) {
	switch name {
	case rotation.AuthorityLocal:
		value, err := a.secret(ctx, name, "CA_SECRET_ARN", "CertificateAuthority is another and LocalCaInRules is false")
		if err != nil {
			return nil, err
		}
		return local.New(value, rand.Reader)
	case rotation.AuthorityKMS:
		key, err := a.variable(name, "KMS_CA_KEY_ARN", "KmsCaKeyArn is empty")
		if err != nil {
			return nil, err
		}
		chain, err := a.chain(ctx, name, "KMS_CA_CHAIN", "KmsCaChain")
		if err != nil {
			return nil, err
		}
		return kms.New(ctx, awskms.NewFromConfig(a.cloud), key, chain, rand.Reader)
	case rotation.AuthorityACMPCA:
		arn, err := a.variable(name, "ACM_PCA_ARN", "AcmPcaArn is empty")
		if err != nil {
			return nil, err
		}
		return pca.New(ctx, acmpca.NewFromConfig(a.cloud), pca.Config{ARN: arn, TemplateARN: a.getenv("ACM_PCA_TEMPLATE_ARN")})
	case rotation.AuthorityStepCA:
		url, err := a.variable(name, "STEP_CA_URL", "StepCaUrl is empty")
		if err != nil {
			return nil, err
		}
		fingerprint, err := a.variable(name, "STEP_CA_FINGERPRINT", "StepCaFingerprint is empty")
		if err != nil {
			return nil, err
		}
		provisioner, err := a.variable(name, "STEP_CA_PROVISIONER", "StepCaProvisioner is empty")
		if err != nil {
			return nil, err
		}
		value, err := a.secret(ctx, name, "STEP_CA_SECRET_ARN", "StepCaSecretArn is empty")
		if err != nil {
			return nil, err
		}
		return stepca.New(ctx, stepca.Config{
			URL: url, Fingerprint: fingerprint, Provisioner: provisioner,
			Secret: value, Now: a.now, Random: rand.Reader, Transport: a.StepCA,
		})
	case rotation.AuthorityManual:
		chain, err := a.chain(ctx, name, "MANUAL_CA_CHAIN", "ManualCaChain")
		if err != nil {
			return nil, err
		}
		return manual.New(chain)
	}
	return nil, &ca.Error{
		Name: ca.NameMisconfigured, Field: "certificateAuthority", Value: string(name), Message: "there is no such provider",
		Remedy: "use local, kms, acmpca, stepca or manual",
	}
}

// variable reads what a parameter of the stack has set; missing says what is
// wrong with the parameters where it has not.
func (a *Authorities) variable(name rotation.CertificateAuthority, variable, missing string) (string, error) {
	if value := a.getenv(variable); value != "" {
		return value, nil
	}
	return "", &ca.Error{
		Name: ca.NameMisconfigured, Field: "certificateAuthority", Value: string(name),
		Message: "the stack is not configured for it: its parameter " + missing,
		Remedy:  "set the parameter, or have the policy name another CA",
	}
}

func (a *Authorities) secret(ctx context.Context, name rotation.CertificateAuthority, variable, missing string) ([]byte, error) {
	arn, err := a.variable(name, variable, missing)
	if err != nil {
		return nil, err
	}
	return secret.New(secretsmanager.NewFromConfig(a.cloud), arn, a.now).Value(ctx, true)
}

// chain reads the certificates in an SSM parameter, which a parameter of the
// stack names.
func (a *Authorities) chain(ctx context.Context, name rotation.CertificateAuthority, variable, ofStack string) ([]byte, error) {
	of, err := a.variable(name, variable, ofStack+" is empty")
	if err != nil {
		return nil, err
	}
	value, err := parameter.Read(ctx, a.cloud, of)
	if err == nil {
		return []byte(value), nil
	}
	failed := func(name, message, remedy string) error {
		return &ca.Error{Name: name, Field: "SSM parameter", Value: of, Message: message, Remedy: remedy}
	}
	switch code := awsenv.ErrorCode(err); code {
	case "ParameterNotFound":
		return nil, failed(ca.NameMisconfigured, "it does not exist", "put the CA's certificates into it (PEM), or correct the stack's parameter "+ofStack)
	case "AccessDeniedException":
		return nil, failed(ca.NameMisconfigured, "sign-csr may not read it ("+code+")", "allow its role ssm:GetParameter")
	default:
		return nil, failed(ca.NameUnavailable, "Systems Manager did not give it ("+code+")", "try again")
	}
}
