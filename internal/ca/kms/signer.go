// Package kms signs Okta's requests with a CA key in AWS KMS. The key never
// leaves KMS: what comes out is its public half and signatures.
//
// [Signer] is the key alone, for whoever makes the CA's own certificate or a
// request for it; [Authority] is the CA.
package kms

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"io"
	"regexp"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"keyturn/internal/awsenv"
	"keyturn/internal/ca"
)

// Client is what is used of KMS.
type Client interface {
	GetPublicKey(context.Context, *awskms.GetPublicKeyInput, ...func(*awskms.Options)) (*awskms.GetPublicKeyOutput, error)
	Sign(context.Context, *awskms.SignInput, ...func(*awskms.Options)) (*awskms.SignOutput, error)
}

var _ Client = (*awskms.Client)(nil)

const keyRemedy = "configure an asymmetric KMS key with usage SIGN_VERIFY and spec RSA_2048, RSA_3072, RSA_4096, ECC_NIST_P256 or ECC_NIST_P384"

// An alias is not taken: it can be pointed at another key at any time, and IAM
// policies do not see through it.
var keyARNs = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^arn:aws[a-z-]*:kms:([a-z0-9-]+):[0-9]{12}:key/[A-Za-z0-9-]+$`)
})

// Signer is a key in KMS. It is a [crypto.Signer] for crypto/x509: RSA signs
// with PKCS #1 v1.5 and SHA-256, P-256 with SHA-256, P-384 with SHA-384, which
// is what [x509.CreateCertificate] and [x509.CreateCertificateRequest] choose
// by themselves. It may be used concurrently.
type Signer struct {
	// The interface crypto.Signer has no place for a context; see With.
	ctx    context.Context
	client Client
	arn    string
	region string // the key's, whatever the client's
	public crypto.PublicKey
	spec   types.KeySpec
	hash   crypto.Hash
	scheme types.SigningAlgorithmSpec
}

var _ crypto.Signer = (*Signer)(nil)

// NewSigner reads the public key from KMS (kms:GetPublicKey). The key is named
// by its ARN, arn:aws:kms:REGION:ACCOUNT:key/ID, of any region and account, and must be an asymmetric one for signing:
// RSA_2048, RSA_3072, RSA_4096, ECC_NIST_P256 or ECC_NIST_P384. ctx is also the
// context of signatures, unless [Signer.With] gives another.
//
// Errors are [*ca.Error]: CA.Misconfigured, or CA.Unavailable where KMS may
// answer later.
func NewSigner(ctx context.Context, client Client, keyARN string) (*Signer, error) {
	parts := keyARNs().FindStringSubmatch(keyARN)
	if parts == nil {
		return nil, misconfigured(keyARN, "not the ARN of a KMS key", "configure the key's ARN, arn:aws:kms:REGION:ACCOUNT:key/ID; an alias will not do")
	}
	s := &Signer{ctx: ctx, client: client, arn: keyARN, region: parts[1]}
	out, err := client.GetPublicKey(ctx, &awskms.GetPublicKeyInput{KeyId: aws.String(keyARN)}, s.inRegion)
	if err != nil {
		return nil, s.failure("kms:GetPublicKey", err)
	}
	if out.KeyUsage != types.KeyUsageTypeSignVerify {
		return nil, misconfigured(keyARN, fmt.Sprintf("its usage is %s", out.KeyUsage), keyRemedy)
	}
	public, err := x509.ParsePKIXPublicKey(out.PublicKey)
	if err != nil {
		return nil, misconfigured(keyARN, fmt.Sprintf("its public key, of spec %s, cannot be read", out.KeySpec), keyRemedy)
	}
	s.public, s.spec = public, out.KeySpec
	if !s.choose() {
		return nil, misconfigured(keyARN, fmt.Sprintf("its spec is %s", out.KeySpec), keyRemedy)
	}
	return s, nil
}

func (s *Signer) inRegion(o *awskms.Options) { o.Region = s.region }

// choose sets how the key signs; it is false for keys that are not taken.
func (s *Signer) choose() bool {
	switch key := s.public.(type) {
	case *rsa.PublicKey:
		s.hash, s.scheme = crypto.SHA256, types.SigningAlgorithmSpecRsassaPkcs1V15Sha256
		return key.N.BitLen() >= 2048
	case *ecdsa.PublicKey:
		switch key.Curve {
		case elliptic.P256():
			s.hash, s.scheme = crypto.SHA256, types.SigningAlgorithmSpecEcdsaSha256
			return true
		case elliptic.P384():
			s.hash, s.scheme = crypto.SHA384, types.SigningAlgorithmSpecEcdsaSha384
			return true
		}
	}
	return false
}

// With returns the same key, whose signatures end with ctx.
func (s *Signer) With(ctx context.Context) *Signer {
	with := *s
	with.ctx = ctx
	return &with
}

// Public returns the public key: *rsa.PublicKey or *ecdsa.PublicKey.
func (s *Signer) Public() crypto.PublicKey { return s.public }

// Sign has KMS sign a digest (kms:Sign). The randomness is KMS's own. Errors
// are those of [NewSigner]; a hash other than the key's is CA.Misconfigured.
func (s *Signer) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if _, pss := opts.(*rsa.PSSOptions); pss || opts.HashFunc() != s.hash {
		want := opts.HashFunc().String()
		if pss {
			want = "RSASSA-PSS with " + want
		}
		return nil, &ca.Error{
			Name: ca.NameMisconfigured, Field: "signatureAlgorithm", Value: want,
			Message: fmt.Sprintf("a KMS key of spec %s signs by %s here", s.spec, s.scheme),
			Remedy:  "leave the algorithm to the key",
		}
	}
	out, err := s.client.Sign(s.ctx, &awskms.SignInput{
		KeyId:            aws.String(s.arn),
		Message:          digest,
		MessageType:      types.MessageTypeDigest,
		SigningAlgorithm: s.scheme,
	}, s.inRegion)
	if err != nil {
		return nil, s.failure("kms:Sign", err)
	}
	return out.Signature, nil
}

// failure names an error of KMS. It quotes the code alone: the SDK's text may
// hold what the request was signed with.
func (s *Signer) failure(action string, err error) *ca.Error {
	code := awsenv.ErrorCode(err)
	remedies := map[string]string{
		"AccessDeniedException":         fmt.Sprintf("allow %s on this key to whoever calls, in their IAM policy or in the key's policy; in both where the key is another account's", action),
		"NotFoundException":             "configure the ARN of a key that exists",
		"InvalidArnException":           "configure the ARN of a key that exists",
		"DisabledException":             "enable the key",
		"KMSInvalidStateException":      "cancel the key's deletion, or finish its creation, and enable it; with a custom key store, connect that",
		"InvalidKeyUsageException":      keyRemedy,
		"IncorrectKeyException":         keyRemedy,
		"UnsupportedOperationException": keyRemedy,
	}
	switch remedy, known := remedies[code]; {
	case known:
		return misconfigured(s.arn, fmt.Sprintf("%s ended with %s", action, code), remedy)
	case awsenv.Transient(err), code == "KeyUnavailableException", code == "DependencyTimeoutException", code == "KMSInternalException":
		return &ca.Error{
			Name: ca.NameUnavailable, Field: "kmsKey", Value: s.arn,
			Message: fmt.Sprintf("%s ended with %s", action, code), Err: awsenv.Ended(err),
			Remedy: "try again; if it stays, see AWS Health for KMS in the key's region",
		}
	}
	return misconfigured(s.arn, fmt.Sprintf("%s ended with %s", action, code),
		"check credentials and key by the common errors of the AWS KMS API Reference")
}

func misconfigured(keyARN, message, remedy string) *ca.Error {
	return &ca.Error{Name: ca.NameMisconfigured, Field: "kmsKey", Value: keyARN, Message: message, Remedy: remedy}
}
