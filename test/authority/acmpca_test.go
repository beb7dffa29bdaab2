// Package authority tests CAs against what is not ours: the API models from
// which AWS's SDKs are made, and moto's AWS Private CA.
package authority_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awspca "github.com/aws/aws-sdk-go-v2/service/acmpca"
	"github.com/aws/aws-sdk-go-v2/service/acmpca/types"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"
	kmstypes "github.com/aws/aws-sdk-go-v2/service/kms/types"

	"keyturn/internal/ca"
	"keyturn/internal/ca/acmpca"
	"keyturn/internal/ca/acmpca/acmpcatest"
	"keyturn/internal/ca/kms"
	"keyturn/internal/ca/kms/kmstest"
)

const templates = "arn:aws:acm-pca:::template/"

var (
	rsaKey  = sync.OnceValue(func() crypto.Signer { return must(rsa.GenerateKey(rand.Reader, 2048)) })
	p256Key = sync.OnceValue(func() crypto.Signer { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) })
	p384Key = sync.OnceValue(func() crypto.Signer { return must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader)) })
	rootKey = sync.OnceValue(func() crypto.Signer { return must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader)) })
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// oktaCSR is the request that Okta's management OpenAPI spec shows as example.
func oktaCSR() []byte {
	text := must(os.ReadFile("../../internal/ca/testdata/okta-example.csr.b64"))
	return must(base64.StdEncoding.DecodeString(strings.Join(strings.Fields(string(text)), "")))
}

func caTemplate(name string, pathLen int) *x509.Certificate {
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, SubjectKeyId: []byte(name),
		NotBefore: now.AddDate(-1, 0, 0), NotAfter: now.AddDate(9, 0, 0),
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, BasicConstraintsValid: true, IsCA: true,
		MaxPathLen: pathLen, MaxPathLenZero: true,
	}
}

// root is the company's, and in no cloud.
var root = sync.OnceValue(func() *x509.Certificate {
	template := caTemplate("Example Root", 1)
	return must(x509.ParseCertificate(must(x509.CreateCertificate(rand.Reader, template, template, rootKey().Public(), rootKey()))))
})

// chainFor is a CA of two levels; the issuing one has this key.
func chainFor(key crypto.PublicKey, change func(*x509.Certificate)) ca.Chain {
	template := caTemplate("Example Issuing", 0)
	if change != nil {
		change(template)
	}
	return ca.Chain{must(x509.ParseCertificate(must(x509.CreateCertificate(rand.Reader, template, root(), key, rootKey())))), root()}
}

// issue asks until the certificate is there, as the state machine does.
func issue(t *testing.T, a ca.Authority, r ca.Request) ca.Certificate {
	t.Helper()
	for range 3 {
		c, err := a.Sign(t.Context(), r)
		var wait *ca.Pending
		switch {
		case err == nil:
			return c
		case !errors.As(err, &wait):
			t.Fatal(err)
		}
		r.Reference = wait.Reference
	}
	t.Fatal("still pending after 3 calls")
	return ca.Certificate{}
}

// verify asks crypto/x509, with the CA's own root.
func verify(t *testing.T, c ca.Certificate, a ca.Authority) {
	t.Helper()
	opts := x509.VerifyOptions{Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}
	chain := a.Chain()
	opts.Roots.AddCert(chain[len(chain)-1])
	for _, cert := range c.Chain {
		opts.Intermediates.AddCert(cert)
	}
	if _, err := c.Leaf.Verify(opts); err != nil {
		t.Errorf("crypto/x509: %v", err)
	}
}

func newAuthority(t *testing.T, client acmpca.Client, arn, template string) *acmpca.Authority {
	t.Helper()
	c := acmpca.Config{ARN: arn}
	if template != "" {
		c.TemplateARN = templates + template
	}
	a, err := acmpca.New(t.Context(), client, c)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestEveryCallOfPrivateCAIsWhatItsModelAllows(t *testing.T) {
	calls := newChecked(t, readModel(t, "acm-pca", "2017-08-22"))
	p := acmpcatest.New(t)
	config := p.Config()
	config.HTTPClient = calls
	client := awspca.NewFromConfig(config)

	longest := append(asn1.ObjectIdentifier{1, 3}, slices.Repeat([]int{123456}, 8)...)
	longest = append(longest, 1234) // 64 characters
	var many []pkix.Extension
	for i := range 150 {
		many = append(many, pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 99999, i}, Value: []byte{5, 0}})
	}
	profiles := map[string]ca.Profile{
		"nothing":     {},
		"every usage": {KeyUsage: x509.KeyUsageContentCommitment | x509.KeyUsageKeyEncipherment | x509.KeyUsageDataEncipherment | x509.KeyUsageKeyAgreement},
		"extensions": {Extensions: []pkix.Extension{
			{Id: longest, Critical: true, Value: []byte{5, 0}},
			{Id: asn1.ObjectIdentifier{1, 39, 1}, Value: must(asn1.Marshal(make([]byte, 3068)))},
		}},
		"as many as there may be": {Extensions: many},
		"URLs": {
			CRLs: []string{"http://pki.example.com/a.crl", "ldap://pki.example.com/cn=CA?certificateRevocationList"},
			OCSP: []string{"http://ocsp.example.com/"}, CAIssuers: []string{"http://pki.example.com/a.cer"},
		},
	}
	authorities := map[string]string{
		"RSA":   p.AddCA(rsaKey(), chainFor(rsaKey().Public(), nil)),
		"P-256": p.AddCA(p256Key(), chainFor(p256Key().Public(), nil)),
		"P-384": p.AddCA(p384Key(), chainFor(p384Key().Public(), nil)),
		"soon over": p.AddCA(p256Key(), chainFor(p256Key().Public(), func(c *x509.Certificate) {
			c.NotAfter = time.Now().AddDate(0, 0, 200)
		})),
		"a root": p.AddCA(rootKey(), ca.Chain{root()}),
	}
	for _, template := range []string{"", "EndEntityCertificate/V1", "EndEntityServerAuthCertificate_APIPassthrough/V1", "BlankEndEntityCertificate_APICSRPassthrough/V1"} {
		for name, arn := range authorities {
			a := newAuthority(t, client, arn, template)
			days := []int{397}
			if template == "" {
				days = []int{91, 397, 36500}
			}
			for title, profile := range profiles {
				for _, kind := range []string{ca.KindApp, ca.KindIDP} {
					for _, days := range days {
						r := ca.Request{CSR: oktaCSR(), Kind: kind, ValidityDays: days, Now: time.Now(), Profile: profile}
						_, err := a.Sign(t.Context(), r)
						var refused *ca.Error
						if errors.As(err, &refused) && refused.Name == ca.NameProfile && template != "" {
							continue // the default template carries all of them
						}
						if err := ca.Check(issue(t, a, r), r, a); err != nil {
							t.Errorf("%s, %s, %s, %s, %d days: %v", template, name, title, kind, days, err)
						}
					}
				}
			}
		}
	}
	if calls.calls["IssueCertificate"] < 200 || calls.calls["GetCertificate"] == 0 || calls.calls["GetCertificateAuthorityCertificate"] == 0 {
		t.Errorf("checked were %v", calls.calls)
	}
}

func TestEveryCallOfKMSIsWhatItsModelAllows(t *testing.T) {
	calls := newChecked(t, readModel(t, "kms", "2014-11-01"))
	k := kmstest.New(t)
	config := k.Config()
	config.HTTPClient = calls
	client := awskms.NewFromConfig(config)
	for _, spec := range []kmstypes.KeySpec{kmstypes.KeySpecRsa2048, kmstypes.KeySpecEccNistP256, kmstypes.KeySpecEccNistP384} {
		arn := k.AddKey(spec)
		signer, err := kms.NewSigner(t.Context(), client, arn)
		if err != nil {
			t.Fatal(err)
		}
		a, err := kms.New(t.Context(), client, arn, chainFor(signer.Public(), nil).PEM(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		r := ca.Request{CSR: oktaCSR(), Kind: ca.KindIDP, ValidityDays: 397, Now: time.Now()}
		if err := ca.Check(issue(t, a, r), r, a); err != nil {
			t.Errorf("%s: %v", spec, err)
		}
	}
	if calls.calls["Sign"] != 3 || calls.calls["GetPublicKey"] != 6 {
		t.Errorf("checked were %v", calls.calls)
	}
}

// moto makes real certificates, but always for 365 days, with the hash SHA-512
// and, other than with the template EndEntityCertificate, without extensions.
func TestMotosPrivateCASigns(t *testing.T) {
	config := startMoto(t)
	calls := newChecked(t, readModel(t, "acm-pca", "2017-08-22"))
	config.HTTPClient = calls
	client := awspca.NewFromConfig(config)

	t.Run("with a CA below the company's root", func(t *testing.T) {
		arn, csr := createCA(t, client, types.CertificateAuthorityTypeSubordinate)
		template := caTemplate("", 0)
		template.RawSubject = csr.RawSubject
		install(t, client, arn, must(x509.CreateCertificate(rand.Reader, template, root(), csr.PublicKey, rootKey())), root())

		for _, template := range []string{"", "EndEntityCertificate/V1"} {
			for _, kind := range []string{ca.KindApp, ca.KindIDP} {
				t.Run(fmt.Sprintf("template %q, %s", template, kind), func(t *testing.T) {
					a := newAuthority(t, client, arn, template)
					r := ca.Request{CSR: oktaCSR(), Kind: kind, ValidityDays: 397, Now: time.Now()}
					got := issue(t, a, r)
					if err := ca.Check(got, r, a); err != nil {
						t.Errorf("Check: %v", err)
					}
					verify(t, got, a)
				})
			}
		}
	})

	t.Run("with a root of its own", func(t *testing.T) {
		arn, csr := createCA(t, client, types.CertificateAuthorityTypeRoot)
		out, err := client.IssueCertificate(t.Context(), &awspca.IssueCertificateInput{
			CertificateAuthorityArn: &arn, TemplateArn: aws.String(templates + "RootCACertificate/V1"), SigningAlgorithm: types.SigningAlgorithmSha256withrsa,
			Csr:      pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: csr.Raw}),
			Validity: &types.Validity{Type: types.ValidityPeriodTypeYears, Value: aws.Int64(10)},
		})
		if err != nil {
			t.Fatal(err)
		}
		got, err := client.GetCertificate(t.Context(), &awspca.GetCertificateInput{CertificateAuthorityArn: &arn, CertificateArn: out.CertificateArn})
		if err != nil {
			t.Fatal(err)
		}
		block, _ := pem.Decode([]byte(aws.ToString(got.Certificate)))
		install(t, client, arn, block.Bytes, nil)

		// Check would refuse it: its root ends after 365 days as well, and so the
		// certificate outlives it.
		a := newAuthority(t, client, arn, "")
		verify(t, issue(t, a, ca.Request{CSR: oktaCSR(), Kind: ca.KindApp, ValidityDays: 397, Now: time.Now()}), a)
	})

	if calls.calls["IssueCertificate"] != 6 {
		t.Errorf("checked were %v", calls.calls)
	}
}

// createCA makes a CA that waits for its certificate.
func createCA(t *testing.T, client *awspca.Client, kind types.CertificateAuthorityType) (arn string, csr *x509.CertificateRequest) {
	t.Helper()
	created, err := client.CreateCertificateAuthority(t.Context(), &awspca.CreateCertificateAuthorityInput{
		CertificateAuthorityType: kind,
		CertificateAuthorityConfiguration: &types.CertificateAuthorityConfiguration{
			KeyAlgorithm: types.KeyAlgorithmRsa2048, SigningAlgorithm: types.SigningAlgorithmSha256withrsa,
			Subject: &types.ASN1Subject{Country: aws.String("US"), Organization: aws.String("Example, Inc."), CommonName: aws.String("Example Issuing")},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	out, err := client.GetCertificateAuthorityCsr(t.Context(), &awspca.GetCertificateAuthorityCsrInput{CertificateAuthorityArn: created.CertificateAuthorityArn})
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode([]byte(aws.ToString(out.Csr)))
	return *created.CertificateAuthorityArn, must(x509.ParseCertificateRequest(block.Bytes))
}

// install gives a CA its certificate, and what is above it.
func install(t *testing.T, client *awspca.Client, arn string, der []byte, above *x509.Certificate) {
	t.Helper()
	in := &awspca.ImportCertificateAuthorityCertificateInput{
		CertificateAuthorityArn: &arn, Certificate: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
	}
	if above != nil {
		in.CertificateChain = ca.Chain{above}.PEM()
	}
	if _, err := client.ImportCertificateAuthorityCertificate(t.Context(), in); err != nil {
		t.Fatal(err)
	}
}
