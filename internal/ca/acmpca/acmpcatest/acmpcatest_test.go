package acmpcatest_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/acmpca"
	"github.com/aws/aws-sdk-go-v2/service/acmpca/types"
	"github.com/aws/smithy-go"

	"keyturn/internal/ca"
	"keyturn/internal/ca/acmpca/acmpcatest"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestItRefusesWhatAWSRefuses(t *testing.T) {
	p := acmpcatest.New(t)
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Example CA"}, NotBefore: time.Now().AddDate(-1, 0, 0), NotAfter: time.Now().AddDate(5, 0, 0),
		KeyUsage: x509.KeyUsageCertSign, BasicConstraintsValid: true, IsCA: true,
	}
	arn := p.AddCA(key, ca.Chain{must(x509.ParseCertificate(must(x509.CreateCertificate(rand.Reader, template, template, key.Public(), key))))})
	csr := func(change func([]byte)) []byte {
		der := must(x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "Wiki"}}, key))
		change(der)
		return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
	}
	client := acmpca.NewFromConfig(p.Config())

	for title, test := range map[string]struct {
		change func(*acmpca.IssueCertificateInput)
		code   string // empty: taken
	}{
		"as it should be":    {func(*acmpca.IssueCertificateInput) {}, ""},
		"another CA":         {func(in *acmpca.IssueCertificateInput) { in.CertificateAuthorityArn = aws.String(arn + "0") }, "ResourceNotFoundException"},
		"no ARN of a CA":     {func(in *acmpca.IssueCertificateInput) { in.CertificateAuthorityArn = aws.String("arn:aws:s3:::x") }, "InvalidArnException"},
		"a CSR in DER":       {func(in *acmpca.IssueCertificateInput) { in.Csr = []byte{1, 2, 3} }, "MalformedCSRException"},
		"a changed CSR":      {func(in *acmpca.IssueCertificateInput) { in.Csr = csr(func(der []byte) { der[len(der)-1] ^= 1 }) }, "MalformedCSRException"},
		"RSA with an EC key": {func(in *acmpca.IssueCertificateInput) { in.SigningAlgorithm = types.SigningAlgorithmSha256withrsa }, "InvalidArgsException"},
		"unknown algorithm":  {func(in *acmpca.IssueCertificateInput) { in.SigningAlgorithm = "SHA1" }, "ValidationException"},
		"unknown template": {func(in *acmpca.IssueCertificateInput) {
			in.TemplateArn = aws.String("arn:aws:acm-pca:::template/Mine/V1")
		}, "InvalidArgsException"},
		"passthrough that the template has not": {func(in *acmpca.IssueCertificateInput) {
			in.ApiPassthrough = &types.ApiPassthrough{Extensions: &types.Extensions{KeyUsage: &types.KeyUsage{DigitalSignature: true}}}
		}, "InvalidArgsException"},
		"a subject by API, not simulated": {func(in *acmpca.IssueCertificateInput) {
			in.ApiPassthrough = &types.ApiPassthrough{Subject: &types.ASN1Subject{CommonName: aws.String("x")}}
		}, "SerializationException"},
		"longer than the CA": {func(in *acmpca.IssueCertificateInput) { in.Validity.Value = aws.Int64(2000) }, "ValidationException"},
		"no days":            {func(in *acmpca.IssueCertificateInput) { in.Validity.Value = aws.Int64(0) }, "ValidationException"},
		"over already": {func(in *acmpca.IssueCertificateInput) {
			in.Validity = &types.Validity{Type: types.ValidityPeriodTypeAbsolute, Value: aws.Int64(1)}
		}, "InvalidArgsException"},
		"a long token":   {func(in *acmpca.IssueCertificateInput) { in.IdempotencyToken = aws.String(strings.Repeat("a", 37)) }, "ValidationException"},
		"an empty token": {func(in *acmpca.IssueCertificateInput) { in.IdempotencyToken = aws.String("") }, "ValidationException"},
	} {
		t.Run(title, func(t *testing.T) {
			in := &acmpca.IssueCertificateInput{
				CertificateAuthorityArn: aws.String(arn), Csr: csr(func([]byte) {}), SigningAlgorithm: types.SigningAlgorithmSha256withecdsa,
				Validity: &types.Validity{Type: types.ValidityPeriodTypeDays, Value: aws.Int64(397)},
			}
			test.change(in)
			_, err := client.IssueCertificate(t.Context(), in)
			var refused smithy.APIError
			switch {
			case test.code == "" && err == nil:
			case !errors.As(err, &refused) || refused.ErrorCode() != test.code:
				t.Errorf("got %v, want %q", err, test.code)
			}
		})
	}
}
