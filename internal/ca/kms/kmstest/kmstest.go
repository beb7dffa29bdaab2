// Package kmstest is AWS KMS over HTTP, for tests: GetPublicKey and Sign on
// real keys, called through the SDK's own client.
//
//	k := kmstest.New(t)
//	arn := k.AddKey(types.KeySpecEccNistP256)
//	client := kms.NewFromConfig(k.Config())
//
// It refuses what KMS refuses, with the same codes: an algorithm that is not
// the key's, a digest of the wrong length, an unknown key, a key that is
// disabled, pending deletion or not for signing, a request that is not signed
// with the credentials of Config (API Reference, Sign and GetPublicKey). It is
// stricter in one thing: a member of a request that it does not know is an
// error.
package kmstest

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha512" // SHA-384 and SHA-512
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

const (
	// Region is where the keys are.
	Region = "eu-west-1"
	// SessionToken is part of Config's credentials. The messages of injected
	// errors quote it, as those of AWS about a wrong signature do, so that a
	// test can see that nobody passes them on.
	SessionToken = "session-token-of-kmstest"
	// NoAnswer is for Fail: the connection is closed.
	NoAnswer = "no answer"

	accessKey = "AKIDKMSTEST"
	arnPrefix = "arn:aws:kms:" + Region + ":123456789012:key/"
)

// Call is a request that KMS was sent.
type Call struct {
	Operation string // such as "Sign"
	Body      string // JSON
}

// KMS is the service. It ends with its test.
type KMS struct {
	url string

	mu    sync.Mutex
	keys  map[string]*key
	fail  string
	calls []Call
}

type key struct {
	spec  types.KeySpec
	usage types.KeyUsageType
	state types.KeyState
	// signer is nil for specs that are not asymmetric keys for signing.
	signer crypto.Signer
}

// New starts a KMS without keys.
func New(t testing.TB) *KMS {
	t.Helper()
	k := &KMS{keys: map[string]*key{}}
	server := httptest.NewServer(k)
	t.Cleanup(server.Close)
	k.url = server.URL
	return k
}

// Config is for the SDK's client. Its calls are not retried, so that a test
// does not wait.
func (k *KMS) Config() aws.Config {
	return aws.Config{
		Region:       Region,
		BaseEndpoint: aws.String(k.url),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: accessKey, SecretAccessKey: "secret-of-kmstest", SessionToken: SessionToken, Source: "kmstest"}, nil
		}),
		Retryer: func() aws.Retryer { return aws.NopRetryer{} },
	}
}

// AddKey makes a key for signing and returns its ARN: RSA_2048, RSA_3072,
// RSA_4096, ECC_NIST_P256, ECC_NIST_P384 or ECC_NIST_P521.
func (k *KMS) AddKey(spec types.KeySpec) (arn string) {
	return k.AddKeyFor(types.KeyUsageTypeSignVerify, spec)
}

// AddKeyFor makes a key with any usage. Of specs that AddKey does not know,
// such as SYMMETRIC_DEFAULT, it has no public key.
func (k *KMS) AddKeyFor(usage types.KeyUsageType, spec types.KeySpec) (arn string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	earlier := 0
	for _, other := range k.keys {
		if other.spec == spec {
			earlier++
		}
	}
	arn = fmt.Sprintf("%s%08x-0000-4000-8000-000000000000", arnPrefix, len(k.keys)+1)
	k.keys[arn] = &key{spec: spec, usage: usage, state: types.KeyStateEnabled, signer: material(spec, earlier)}
	return arn
}

// Disable disables a key.
func (k *KMS) Disable(arn string) { k.setState(arn, types.KeyStateDisabled) }

// ScheduleDeletion sets a key's state to PendingDeletion.
func (k *KMS) ScheduleDeletion(arn string) { k.setState(arn, types.KeyStatePendingDeletion) }

func (k *KMS) setState(arn string, state types.KeyState) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.keys[arn].state = state
}

// Fail has every call from now on end with an error of this code, such as
// ThrottlingException or AccessDeniedException; with "", no longer.
func (k *KMS) Fail(code string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.fail = code
}

// Calls are all calls so far, those that failed too.
func (k *KMS) Calls() []Call {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.calls)
}

// The keys are made once for all tests of a program, because RSA keys take
// long: each KMS hands out the same ones, in the same order.
var made struct {
	sync.Mutex
	keys map[types.KeySpec][]crypto.Signer
}

// material is the nth key of a spec.
func material(spec types.KeySpec, n int) crypto.Signer {
	made.Lock()
	defer made.Unlock()
	for len(made.keys[spec]) <= n {
		var key crypto.Signer
		var err error
		switch spec {
		case types.KeySpecRsa2048:
			key, err = rsa.GenerateKey(rand.Reader, 2048)
		case types.KeySpecRsa3072:
			key, err = rsa.GenerateKey(rand.Reader, 3072)
		case types.KeySpecRsa4096:
			key, err = rsa.GenerateKey(rand.Reader, 4096)
		case types.KeySpecEccNistP256:
			key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		case types.KeySpecEccNistP384:
			key, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
		case types.KeySpecEccNistP521:
			key, err = ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
		default:
			return nil
		}
		if err != nil {
			panic(err)
		}
		if made.keys == nil {
			made.keys = map[types.KeySpec][]crypto.Signer{}
		}
		made.keys[spec] = append(made.keys[spec], key)
	}
	return made.keys[spec][n]
}

// refusal is an error of KMS.
type refusal struct{ code, message string }

func (r *refusal) Error() string { return r.code + ": " + r.message }

func refuse(code, format string, args ...any) error {
	return &refusal{code, fmt.Sprintf(format, args...)}
}

// ServeHTTP speaks AWS JSON 1.1.
func (k *KMS) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	operation := strings.TrimPrefix(r.Header.Get("X-Amz-Target"), "TrentService.")
	var body json.RawMessage
	err := json.NewDecoder(r.Body).Decode(&body)
	if err != nil {
		err = refuse("SerializationException", "the body is not JSON")
	}
	var answer any
	if err == nil {
		answer, err = k.answer(r, operation, body)
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	if refused, ok := err.(*refusal); ok { //nolint:errorlint // never wrapped
		if refused.code == NoAnswer {
			panic(http.ErrAbortHandler)
		}
		w.WriteHeader(status(refused.code))
		answer = map[string]string{"__type": refused.code, "message": refused.message}
	}
	_ = json.NewEncoder(w).Encode(answer)
}

func status(code string) int {
	switch code {
	case "KMSInternalException", "KeyUnavailableException", "InternalFailure":
		return http.StatusInternalServerError
	case "DependencyTimeoutException", "ServiceUnavailable":
		return http.StatusServiceUnavailable
	}
	return http.StatusBadRequest
}

func (k *KMS) answer(r *http.Request, operation string, body json.RawMessage) (any, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.calls = append(k.calls, Call{operation, string(body)})
	authorization := r.Header.Get("Authorization")
	switch {
	case k.fail != "":
		return nil, refuse(k.fail, "the canonical request was x-amz-security-token:%s", r.Header.Get("X-Amz-Security-Token"))
	case r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/x-amz-json-1.1":
		return nil, refuse("UnknownOperationException", "")
	case !strings.HasPrefix(authorization, "AWS4-HMAC-SHA256 Credential="+accessKey+"/") || !strings.Contains(authorization, "/"+Region+"/kms/aws4_request"):
		return nil, refuse("MissingAuthenticationTokenException", "Missing Authentication Token")
	}
	switch operation {
	case "GetPublicKey":
		return k.getPublicKey(body)
	case "Sign":
		return k.sign(body)
	}
	return nil, refuse("UnknownOperationException", "")
}

func read(body json.RawMessage, to any) error {
	d := json.NewDecoder(strings.NewReader(string(body)))
	d.DisallowUnknownFields()
	if err := d.Decode(to); err != nil {
		return refuse("SerializationException", "%v", err)
	}
	return nil
}

// find returns a key that may be used.
func (k *KMS) find(id string) (string, *key, error) {
	arn := id
	if !strings.HasPrefix(id, "arn:") {
		arn = arnPrefix + id
	}
	found, ok := k.keys[arn]
	switch {
	case !ok:
		return "", nil, refuse("NotFoundException", "Key '%s' does not exist", arn)
	case found.state == types.KeyStateDisabled:
		return "", nil, refuse("DisabledException", "%s is disabled.", arn)
	case found.state != types.KeyStateEnabled:
		return "", nil, refuse("KMSInvalidStateException", "%s is pending deletion.", arn)
	}
	return arn, found, nil
}

func (k *KMS) getPublicKey(body json.RawMessage) (any, error) {
	var in struct{ KeyId string }
	if err := read(body, &in); err != nil {
		return nil, err
	}
	arn, key, err := k.find(in.KeyId)
	if err != nil {
		return nil, err
	}
	if key.signer == nil {
		return nil, refuse("UnsupportedOperationException", "%s key spec is %s which is not valid for GetPublicKey.", arn, key.spec)
	}
	der, err := x509.MarshalPKIXPublicKey(key.signer.Public())
	if err != nil {
		return nil, refuse("KMSInternalException", "%v", err)
	}
	return map[string]any{
		"KeyId": arn, "KeySpec": key.spec, "CustomerMasterKeySpec": key.spec, "KeyUsage": key.usage,
		"PublicKey": der, "SigningAlgorithms": algorithms(key.spec),
	}, nil
}

// algorithms are those of a spec (Developer Guide, "Key spec reference").
func algorithms(spec types.KeySpec) []types.SigningAlgorithmSpec {
	switch spec {
	case types.KeySpecRsa2048, types.KeySpecRsa3072, types.KeySpecRsa4096:
		return []types.SigningAlgorithmSpec{
			types.SigningAlgorithmSpecRsassaPkcs1V15Sha256, types.SigningAlgorithmSpecRsassaPkcs1V15Sha384, types.SigningAlgorithmSpecRsassaPkcs1V15Sha512,
			types.SigningAlgorithmSpecRsassaPssSha256, types.SigningAlgorithmSpecRsassaPssSha384, types.SigningAlgorithmSpecRsassaPssSha512,
		}
	case types.KeySpecEccNistP256:
		return []types.SigningAlgorithmSpec{types.SigningAlgorithmSpecEcdsaSha256}
	case types.KeySpecEccNistP384:
		return []types.SigningAlgorithmSpec{types.SigningAlgorithmSpecEcdsaSha384}
	case types.KeySpecEccNistP521:
		return []types.SigningAlgorithmSpec{types.SigningAlgorithmSpecEcdsaSha512}
	}
	return nil
}

func (k *KMS) sign(body json.RawMessage) (any, error) {
	var in struct {
		KeyId            string
		Message          []byte
		MessageType      types.MessageType
		SigningAlgorithm types.SigningAlgorithmSpec
	}
	if err := read(body, &in); err != nil {
		return nil, err
	}
	if !slices.Contains(in.SigningAlgorithm.Values(), in.SigningAlgorithm) || len(in.Message) == 0 || len(in.Message) > 4096 {
		return nil, refuse("ValidationException", "1 validation error detected")
	}
	arn, key, err := k.find(in.KeyId)
	switch {
	case err != nil:
		return nil, err
	case key.usage != types.KeyUsageTypeSignVerify:
		return nil, refuse("InvalidKeyUsageException", "%s key usage is %s which is not valid for Sign.", arn, key.usage)
	case !slices.Contains(algorithms(key.spec), in.SigningAlgorithm):
		return nil, refuse("InvalidKeyUsageException", "Algorithm %s is incompatible with key spec %s.", in.SigningAlgorithm, key.spec)
	}
	hash := crypto.SHA256
	switch {
	case strings.HasSuffix(string(in.SigningAlgorithm), "384"):
		hash = crypto.SHA384
	case strings.HasSuffix(string(in.SigningAlgorithm), "512"):
		hash = crypto.SHA512
	}
	digest := in.Message
	switch in.MessageType {
	case types.MessageTypeDigest:
		if len(digest) != hash.Size() {
			return nil, refuse("ValidationException", "Digest is invalid length for algorithm %s.", in.SigningAlgorithm)
		}
	case "", types.MessageTypeRaw:
		h := hash.New()
		h.Write(in.Message)
		digest = h.Sum(nil)
	default:
		return nil, refuse("ValidationException", "1 validation error detected")
	}
	var opts crypto.SignerOpts = hash
	if strings.Contains(string(in.SigningAlgorithm), "PSS") {
		opts = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: hash}
	}
	signature, err := key.signer.Sign(rand.Reader, digest, opts)
	if err != nil {
		return nil, refuse("KMSInternalException", "%v", err)
	}
	return map[string]any{"KeyId": arn, "Signature": signature, "SigningAlgorithm": in.SigningAlgorithm}, nil
}
