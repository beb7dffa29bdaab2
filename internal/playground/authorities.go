package playground

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/acmpca"
	pcatypes "github.com/aws/aws-sdk-go-v2/service/acmpca/types"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	kmstypes "github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	ssmtypes "github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"keyturn/internal/ca"
	"keyturn/internal/ca/local"
	"keyturn/internal/rotation"
)

// Where the chains of CAs are that the stack's parameters name.
const (
	kmsChain    = "/keyturn/kms-ca-chain"
	manualChain = "/keyturn/manual-ca-chain"
)

// Company is what stands above Keyturn's CAs, and beside them: the company's
// root, which has certified a CA whose key is in KMS, one of AWS Private CA, and
// that of a security team, which signs by hand.
type Company struct {
	Root *x509.Certificate
	// Parameters are those of a stack that may use all three.
	Parameters map[string]string

	key  crypto.Signer
	team ca.Authority
}

// found sets the company up in a cloud that has no stack yet. kmsSpec is the
// key's kind.
func found(ctx context.Context, cloud aws.Config, kmsSpec kmstypes.KeySpec) (*Company, error) {
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		return nil, err
	}
	c := &Company{key: key}
	if c.Root, err = c.certify(named("Example Demo Root"), &key.PublicKey, nil); err != nil {
		return nil, err
	}
	keyARN, chain, err := c.kmsCA(ctx, cloud, kmsSpec)
	if err != nil {
		return nil, fmt.Errorf("the CA in KMS: %w", err)
	}
	private, err := c.privateCA(ctx, cloud)
	if err != nil {
		return nil, fmt.Errorf("AWS Private CA: %w", err)
	}
	team, err := c.securityTeam()
	if err != nil {
		return nil, fmt.Errorf("the security team's CA: %w", err)
	}
	for name, certificates := range map[string]ca.Chain{kmsChain: chain, manualChain: team} {
		if _, err := ssm.NewFromConfig(cloud).PutParameter(ctx, &ssm.PutParameterInput{
			Name: aws.String(name), Type: ssmtypes.ParameterTypeString, Value: aws.String(string(certificates.PEM())),
			Overwrite: aws.Bool(true), // the SDK asks again where an answer is lost
		}); err != nil {
			return nil, err
		}
	}
	c.Parameters = map[string]string{
		"KmsCaKeyArn": keyARN, "KmsCaChain": kmsChain, "AcmPcaArn": private, "ManualCaChain": manualChain,
	}
	return c, nil
}

// certify signs the certificate of an issuing CA; without an issuer, the root's
// own. The subject is as a request spells it, in DER.
func (c *Company) certify(subject []byte, key crypto.PublicKey, issuer *x509.Certificate) (*x509.Certificate, error) {
	serial := make([]byte, 16)
	if _, err := rand.Read(serial); err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: new(big.Int).SetBytes(serial), RawSubject: subject,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(5, 0, 0),
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, BasicConstraintsValid: true, IsCA: true,
		MaxPathLenZero: issuer != nil,
	}
	if issuer == nil {
		issuer, template.MaxPathLen = template, 1
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, key, c.key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// named is a name of one part.
func named(commonName string) []byte {
	der, err := asn1.Marshal(pkix.Name{CommonName: commonName}.ToRDNSequence())
	if err != nil {
		panic(err) // the names here can all be written
	}
	return der
}

func (c *Company) kmsCA(ctx context.Context, cloud aws.Config, spec kmstypes.KeySpec) (string, ca.Chain, error) {
	client := kms.NewFromConfig(cloud)
	made, err := client.CreateKey(ctx, &kms.CreateKeyInput{KeySpec: spec, KeyUsage: kmstypes.KeyUsageTypeSignVerify})
	if err != nil {
		return "", nil, err
	}
	public, err := client.GetPublicKey(ctx, &kms.GetPublicKeyInput{KeyId: made.KeyMetadata.Arn})
	if err != nil {
		return "", nil, err
	}
	key, err := x509.ParsePKIXPublicKey(public.PublicKey)
	if err != nil {
		return "", nil, err
	}
	issuing, err := c.certify(named("Example Demo CA in KMS"), key, c.Root)
	return *made.KeyMetadata.Arn, ca.Chain{issuing, c.Root}, err
}

func (c *Company) privateCA(ctx context.Context, cloud aws.Config) (string, error) {
	client := acmpca.NewFromConfig(cloud)
	const name = "Example Demo Private CA"
	made, err := client.CreateCertificateAuthority(ctx, &acmpca.CreateCertificateAuthorityInput{
		CertificateAuthorityType: pcatypes.CertificateAuthorityTypeSubordinate,
		CertificateAuthorityConfiguration: &pcatypes.CertificateAuthorityConfiguration{
			KeyAlgorithm: pcatypes.KeyAlgorithmRsa2048, SigningAlgorithm: pcatypes.SigningAlgorithmSha256withrsa,
			Subject: &pcatypes.ASN1Subject{CommonName: aws.String(name)},
		},
	})
	if err != nil {
		return "", err
	}
	asked, err := client.GetCertificateAuthorityCsr(ctx, &acmpca.GetCertificateAuthorityCsrInput{CertificateAuthorityArn: made.CertificateAuthorityArn})
	if err != nil {
		return "", err
	}
	block, _ := pem.Decode([]byte(aws.ToString(asked.Csr)))
	if block == nil {
		return "", errors.New("its request is no PEM")
	}
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return "", err
	}
	issuing, err := c.certify(csr.RawSubject, csr.PublicKey, c.Root)
	if err != nil {
		return "", err
	}
	_, err = client.ImportCertificateAuthorityCertificate(ctx, &acmpca.ImportCertificateAuthorityCertificateInput{
		CertificateAuthorityArn: made.CertificateAuthorityArn,
		Certificate:             ca.Chain{issuing}.PEM(), CertificateChain: ca.Chain{c.Root}.PEM(),
	})
	return *made.CertificateAuthorityArn, err
}

// securityTeam gives the team a CA of its own.
func (c *Company) securityTeam() (ca.Chain, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	issuing, err := c.certify(named("Example Demo Security Team CA"), &key.PublicKey, c.Root)
	if err != nil {
		return nil, err
	}
	chain := ca.Chain{issuing, c.Root}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	secret, err := json.Marshal(map[string]string{
		"key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})), "chain": string(chain.PEM()),
	})
	if err != nil {
		return nil, err
	}
	c.team, err = local.New(secret, rand.Reader)
	return chain, err
}

// Sign is what the security team does with a request (DER) that somebody brings
// it: the certificate alone, in PEM.
func (c *Company) Sign(ctx context.Context, csr []byte, kind rotation.Kind, validityDays int) ([]byte, error) {
	signed, err := c.team.Sign(ctx, ca.Request{CSR: csr, Kind: string(kind), ValidityDays: validityDays, Now: time.Now()})
	if err != nil {
		return nil, fmt.Errorf("playground: the security team: %w", err)
	}
	return signed.LeafPEM(), nil
}
