package kmstest_test

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/smithy-go"

	"keyturn/internal/ca/kms/kmstest"
)

func TestItRefusesWhatKMSRefuses(t *testing.T) {
	k := kmstest.New(t)
	ec, rsa2048 := k.AddKey(types.KeySpecEccNistP256), k.AddKey(types.KeySpecRsa2048)
	encrypts := k.AddKeyFor(types.KeyUsageTypeEncryptDecrypt, types.KeySpecRsa2048)
	client := kms.NewFromConfig(k.Config())
	for title, test := range map[string]struct {
		key       string
		message   int // bytes
		kind      types.MessageType
		algorithm types.SigningAlgorithmSpec
		code      string // empty: signed
	}{
		"a digest":                {ec, 32, types.MessageTypeDigest, types.SigningAlgorithmSpecEcdsaSha256, ""},
		"a message":               {ec, 4096, types.MessageTypeRaw, types.SigningAlgorithmSpecEcdsaSha256, ""},
		"a digest that is short":  {ec, 20, types.MessageTypeDigest, types.SigningAlgorithmSpecEcdsaSha256, "ValidationException"},
		"a message that is long":  {ec, 4097, types.MessageTypeRaw, types.SigningAlgorithmSpecEcdsaSha256, "ValidationException"},
		"another curve's":         {ec, 48, types.MessageTypeDigest, types.SigningAlgorithmSpecEcdsaSha384, "InvalidKeyUsageException"},
		"RSA with an EC key":      {ec, 32, types.MessageTypeDigest, types.SigningAlgorithmSpecRsassaPkcs1V15Sha256, "InvalidKeyUsageException"},
		"EC with an RSA key":      {rsa2048, 32, types.MessageTypeDigest, types.SigningAlgorithmSpecEcdsaSha256, "InvalidKeyUsageException"},
		"an unknown algorithm":    {rsa2048, 32, types.MessageTypeDigest, "SHA1", "ValidationException"},
		"a key for encryption":    {encrypts, 32, types.MessageTypeDigest, types.SigningAlgorithmSpecRsassaPkcs1V15Sha256, "InvalidKeyUsageException"},
		"a key that is not there": {ec + "0", 32, types.MessageTypeDigest, types.SigningAlgorithmSpecEcdsaSha256, "NotFoundException"},
	} {
		t.Run(title, func(t *testing.T) {
			_, err := client.Sign(t.Context(), &kms.SignInput{KeyId: &test.key, Message: make([]byte, test.message), MessageType: test.kind, SigningAlgorithm: test.algorithm})
			var refused smithy.APIError
			switch {
			case test.code == "" && err == nil:
			case !errors.As(err, &refused) || refused.ErrorCode() != test.code:
				t.Errorf("got %v, want %q", err, test.code)
			}
		})
	}
}

// A caller that gets digest and message mixed up gets a signature that does not
// verify, as from KMS.
func TestItHashesMessagesAndNotDigests(t *testing.T) {
	k := kmstest.New(t)
	arn := k.AddKey(types.KeySpecRsa2048)
	client := kms.NewFromConfig(k.Config())
	public, err := client.GetPublicKey(t.Context(), &kms.GetPublicKeyInput{KeyId: aws.String(arn)})
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.ParsePKIXPublicKey(public.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	message := []byte("something to sign, of any length")
	digest := sha256.Sum256(message)
	for kind, signed := range map[types.MessageType][]byte{types.MessageTypeRaw: message, types.MessageTypeDigest: digest[:]} {
		out, err := client.Sign(t.Context(), &kms.SignInput{KeyId: &arn, Message: signed, MessageType: kind, SigningAlgorithm: types.SigningAlgorithmSpecRsassaPkcs1V15Sha256})
		if err != nil {
			t.Fatal(err)
		}
		if err := rsa.VerifyPKCS1v15(key.(*rsa.PublicKey), crypto.SHA256, digest[:], out.Signature); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
}
