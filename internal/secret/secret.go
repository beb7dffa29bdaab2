// Package secret reads secrets from Secrets Manager and keeps them for a short
// while, so that a warm function does not ask at every call.
package secret

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"keyturn/internal/rotation"
)

// maxAge is how long a value is kept in a process.
const maxAge = 5 * time.Minute

// Manager is the part of Secrets Manager's client that is used.
type Manager interface {
	GetSecretValue(ctx context.Context, in *secretsmanager.GetSecretValueInput, opts ...func(*secretsmanager.Options)) (*secretsmanager.GetSecretValueOutput, error)
}

// Secret is one secret. It is safe for concurrent use; its value never appears
// in an error.
type Secret struct {
	manager Manager
	id      string
	// stage is the version's label; empty for AWSCURRENT.
	stage string
	now   func() time.Time

	mu    sync.Mutex
	value []byte
	read  time.Time
}

// New names a secret by its ARN or name; nothing is read yet.
func New(manager Manager, id string, now func() time.Time) *Secret {
	return &Secret{manager: manager, id: id, now: now}
}

// Previous is the secret's version before the current one (AWSPREVIOUS), which
// Secrets Manager keeps when a value is replaced. Its Value fails with
// Credential.Missing while the secret has had one value only.
func (s *Secret) Previous() *Secret {
	return &Secret{manager: s.manager, id: s.id, stage: "AWSPREVIOUS", now: s.now}
}

// ID is the secret's ARN or name, for errors.
func (s *Secret) ID() string { return s.id }

// Value reads the secret on first use, again after 5 minutes, and with fresh
// at once. Errors are named Credential.Missing when there is no value,
// Secret.Denied, or Secret.Unavailable for what may pass by itself.
func (s *Secret) Value(ctx context.Context, fresh bool) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.value != nil && !fresh && s.now().Sub(s.read) < maxAge {
		return s.value, nil
	}
	in := &secretsmanager.GetSecretValueInput{SecretId: aws.String(s.id)}
	if s.stage != "" {
		in.VersionStage = aws.String(s.stage)
	}
	out, err := s.manager.GetSecretValue(ctx, in)
	if err != nil {
		return nil, s.explain(err)
	}
	value := out.SecretBinary
	if out.SecretString != nil {
		value = []byte(*out.SecretString)
	}
	if len(value) == 0 {
		return nil, s.missing()
	}
	s.value, s.read = value, s.now()
	return value, nil
}

func (s *Secret) missing() error {
	return rotation.Errorf("Credential.Missing", "the secret %s has no value: store one with \"aws secretsmanager put-secret-value\"", s.id)
}

func (s *Secret) explain(err error) error {
	// The SDK's text can quote the request; only the code is passed on.
	var notFound *types.ResourceNotFoundException
	var coded interface{ ErrorCode() string }
	switch {
	case errors.As(err, &notFound):
		return s.missing()
	case errors.As(err, &coded):
		switch code := coded.ErrorCode(); code {
		case "AccessDeniedException", "DecryptionFailure", "UnrecognizedClientException", "InvalidRequestException":
			return rotation.Errorf("Secret.Denied", "the function may not read the secret %s (%s): check the function's role, the secret's policy and its KMS key", s.id, code)
		default:
			return rotation.Errorf("Secret.Unavailable", "Secrets Manager did not give the secret %s (%s)", s.id, code)
		}
	}
	return rotation.Errorf("Secret.Unavailable", "Secrets Manager could not be reached for the secret %s", s.id)
}

// Parse reads a secret as a T; read is its Value. What cannot be parsed is read
// again once: an operator may have mended it since it was cached.
func Parse[T any](ctx context.Context, read func(ctx context.Context, fresh bool) ([]byte, error), fresh bool, parse func(value []byte) (T, error)) (T, error) {
	value, err := read(ctx, fresh)
	if err != nil {
		var none T
		return none, err
	}
	parsed, err := parse(value)
	if err == nil || fresh {
		return parsed, err
	}
	return Parse(ctx, read, true, parse)
}
