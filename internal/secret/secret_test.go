package secret_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"keyturn/internal/rotation"
	"keyturn/internal/secret"
)

const (
	id    = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:keyturn/okta-AbCdEf"
	value = "00hidden-api-token"
)

// manager has secrets by their ids, as a string or as bytes.
type manager struct {
	mu      sync.Mutex
	strings map[string]string
	bytes   map[string][]byte
	outage  error
	reads   int
}

func (m *manager) GetSecretValue(_ context.Context, in *secretsmanager.GetSecretValueInput, _ ...func(*secretsmanager.Options)) (*secretsmanager.GetSecretValueOutput, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reads++
	text, isText := m.strings[*in.SecretId]
	raw, isRaw := m.bytes[*in.SecretId]
	switch {
	case m.outage != nil:
		return nil, &smithy.OperationError{ServiceID: "Secrets Manager", OperationName: "GetSecretValue", Err: m.outage}
	case isText:
		return &secretsmanager.GetSecretValueOutput{SecretString: aws.String(text)}, nil
	case isRaw:
		return &secretsmanager.GetSecretValueOutput{SecretBinary: raw}, nil
	}
	return nil, &smithy.OperationError{ServiceID: "Secrets Manager", OperationName: "GetSecretValue",
		Err: &types.ResourceNotFoundException{Message: aws.String("Secrets Manager can't find the specified secret value for staging label: AWSCURRENT")}}
}

func (m *manager) put(s string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.strings = map[string]string{id: s}
}

type clock struct{ now time.Time }

func (c *clock) Now() time.Time { return c.now }

func stored(s string) (*manager, *clock, *secret.Secret) {
	m := &manager{}
	m.put(s)
	c := &clock{time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	return m, c, secret.New(m, id, c.Now)
}

func is(t *testing.T, s *secret.Secret, fresh bool, want string) {
	t.Helper()
	got, err := s.Value(t.Context(), fresh)
	if err != nil || string(got) != want {
		t.Errorf("the value is %q, %v; want %q", got, err, want)
	}
}

func TestNothingIsReadBeforeTheFirstUse(t *testing.T) {
	m, _, s := stored(value)
	if s.ID() != id || m.reads != 0 {
		t.Errorf("id %q, %d reads", s.ID(), m.reads)
	}
}

func TestAValueIsKeptForFiveMinutes(t *testing.T) {
	m, c, s := stored("one")
	is(t, s, false, "one")
	m.put("two")
	c.now = c.now.Add(5*time.Minute - time.Nanosecond)
	is(t, s, false, "one")
	if m.reads != 1 {
		t.Errorf("%d reads within five minutes, want 1", m.reads)
	}
	c.now = c.now.Add(time.Nanosecond)
	is(t, s, false, "two")
	m.put("three")
	c.now = c.now.Add(5*time.Minute - time.Nanosecond)
	is(t, s, false, "two")
	c.now = c.now.Add(time.Nanosecond)
	is(t, s, false, "three")
}

func TestAFreshValueIsReadAtOnceAndKept(t *testing.T) {
	m, c, s := stored("one")
	is(t, s, false, "one")
	c.now = c.now.Add(4 * time.Minute)
	m.put("two")
	is(t, s, true, "two")
	m.put("three")
	c.now = c.now.Add(4 * time.Minute)
	is(t, s, false, "two")
}

func TestBytesAreAValueToo(t *testing.T) {
	m := &manager{bytes: map[string][]byte{id: {0, 1, 2}}}
	is(t, secret.New(m, id, time.Now), false, "\x00\x01\x02")
}

func TestWithoutAValueTheErrorSaysHowToStoreOne(t *testing.T) {
	for title, m := range map[string]*manager{
		"no secret, or none stored": {},
		"an empty string":           {strings: map[string]string{id: ""}},
		"no bytes":                  {bytes: map[string][]byte{id: nil}},
	} {
		t.Run(title, func(t *testing.T) {
			fails(t, secret.New(m, id, time.Now), "Credential.Missing", "put-secret-value")
		})
	}
}

func TestFailuresAreToldApart(t *testing.T) {
	quoting := func(code string) error {
		return &smithy.GenericAPIError{Code: code, Message: "the request was " + value}
	}
	for _, test := range []struct {
		outage     error
		name, says string
	}{
		{quoting("AccessDeniedException"), "Secret.Denied", "AccessDeniedException"},
		{quoting("UnrecognizedClientException"), "Secret.Denied", "UnrecognizedClientException"},
		{&types.DecryptionFailure{Message: aws.String(value)}, "Secret.Denied", "KMS key"},
		{&types.InvalidRequestException{Message: aws.String("marked for deletion")}, "Secret.Denied", "InvalidRequestException"},
		{&types.InternalServiceError{Message: aws.String(value)}, "Secret.Unavailable", "InternalServiceError"},
		{quoting("ThrottlingException"), "Secret.Unavailable", "ThrottlingException"},
		{quoting("ExpiredTokenException"), "Secret.Unavailable", "ExpiredTokenException"},
		{&smithyhttp.RequestSendError{Err: fmt.Errorf("dial tcp: %s", value)}, "Secret.Unavailable", "could not be reached"},
		{context.DeadlineExceeded, "Secret.Unavailable", "could not be reached"},
	} {
		t.Run(test.says, func(t *testing.T) {
			fails(t, secret.New(&manager{outage: test.outage}, id, time.Now), test.name, test.says)
		})
	}
}

func fails(t *testing.T, s *secret.Secret, name, says string) {
	t.Helper()
	got, err := s.Value(t.Context(), false)
	if rotation.NameOf(err) != name || got != nil {
		t.Fatalf("got %q, %v; want %s", got, err, name)
	}
	if !strings.Contains(err.Error(), id) || !strings.Contains(err.Error(), says) {
		t.Errorf("%q does not name the secret and say %q", err, says)
	}
	if all := fmt.Sprintf("%v %+v %#v", err, err, err); strings.Contains(all, value) {
		t.Errorf("the error shows the value: %s", all)
	}
}

func TestAValueThatCannotBeReadAgainIsNotUsedForEver(t *testing.T) {
	m, c, s := stored(value)
	is(t, s, false, value)
	m.outage = &smithy.GenericAPIError{Code: "AccessDeniedException", Message: value}
	c.now = c.now.Add(5 * time.Minute)
	fails(t, s, "Secret.Denied", "role")
	m.outage = nil
	is(t, s, false, value)
}

func TestAFailedFreshReadLeavesTheKeptValue(t *testing.T) {
	m, _, s := stored(value)
	is(t, s, false, value)
	m.outage = &types.InternalServiceError{}
	if _, err := s.Value(t.Context(), true); rotation.NameOf(err) != "Secret.Unavailable" {
		t.Errorf("got %v, want Secret.Unavailable", err)
	}
	is(t, s, false, value)
}

func TestManyAtOnceReadOnce(t *testing.T) {
	m, _, s := stored(value)
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() { is(t, s, false, value) })
	}
	all.Wait()
	if m.reads != 1 {
		t.Errorf("%d reads, want 1", m.reads)
	}
}
