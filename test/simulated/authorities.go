package simulated

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net/http"
	"sync"
	"testing"
	"time"

	awskms "github.com/aws/aws-sdk-go-v2/service/kms"
	kmstypes "github.com/aws/aws-sdk-go-v2/service/kms/types"

	"keyturn/internal/ca"
	"keyturn/internal/ca/configured"
	"keyturn/internal/ca/kms"
	"keyturn/internal/ca/local"
	"keyturn/internal/ca/stepca/stepcatest"
	"keyturn/internal/rotation"
)

// The keys of the CAs are made once: making them is slow beside a rotation.
var (
	localCAKey   = sync.OnceValue(newKey)
	privateCAKey = sync.OnceValue(newKey)
	teamCAKey    = sync.OnceValue(newKey)
)

func newKey() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return key
}

// found founds the company's CAs; those that take more to found only where the
// stack uses them.
func (w *World) found(t *testing.T, provider rotation.CertificateAuthority) {
	t.Helper()
	w.env = map[string]string{
		"CERTIFICATE_AUTHORITY": string(provider), "CA_SECRET_ARN": caSecret,
		"KMS_CA_CHAIN": "/keyturn/kms-ca", "MANUAL_CA_CHAIN": "/keyturn/manual-ca",
	}
	key := w.kms.AddKey(kmstypes.KeySpecEccNistP256)
	w.env["KMS_CA_KEY_ARN"] = key
	signer, err := kms.NewSigner(t.Context(), awskms.NewFromConfig(w.config()), key)
	if err != nil {
		t.Fatal(err)
	}
	kmsRoot := root(t, "Example KMS CA", signer)
	w.cloud.parameters["/keyturn/kms-ca"] = chainPEM(kmsRoot)
	localSecret, localRoot := keptCA(t, "Example Issuing CA", localCAKey())
	w.cloud.secrets[caSecret] = localSecret
	privateRoot := root(t, "Example Private CA", privateCAKey())
	w.env["ACM_PCA_ARN"] = w.pca.AddCA(privateCAKey(), ca.Chain{privateRoot})
	for _, c := range []*x509.Certificate{kmsRoot, localRoot, privateRoot} {
		w.roots.AddCert(c)
	}
	switch provider {
	case rotation.AuthorityManual:
		w.foundTeam(t)
	case rotation.AuthorityStepCA:
		w.foundStepCA()
	}
}

// foundTeam founds a security team that signs by hand.
func (w *World) foundTeam(t *testing.T) {
	t.Helper()
	secret, teamRoot := keptCA(t, "Example Security Team", teamCAKey())
	var err error
	if w.team, err = local.New([]byte(secret), rand.Reader); err != nil {
		t.Fatal(err)
	}
	w.cloud.parameters["/keyturn/manual-ca"] = chainPEM(teamRoot)
	w.roots.AddCert(teamRoot)
}

// sign is what the team does with a request that somebody brings it, PEM in and
// out.
func (w *World) sign(ctx context.Context, request []byte) []byte {
	block, _ := pem.Decode(request)
	signed, err := w.team.Sign(ctx, ca.Request{
		CSR: block.Bytes, Kind: string(w.Target.Kind), Now: time.Now(), ValidityDays: rotation.DefaultSettings(nil).ValidityDays,
	})
	if err != nil {
		panic(err) // a request of ours
	}
	return signed.LeafPEM()
}

func (w *World) foundStepCA() {
	service := stepcatest.New(stepcatest.Options{})
	service.URL = "https://" + stepCAHost
	w.wire.services["stepca"] = service
	w.cloud.secrets[stepCASecret] = string(service.PasswordSecret())
	w.env["STEP_CA_URL"], w.env["STEP_CA_FINGERPRINT"] = service.URL, service.Fingerprint
	w.env["STEP_CA_PROVISIONER"], w.env["STEP_CA_SECRET_ARN"] = stepcatest.Provisioner, stepCASecret
	for _, c := range service.Chain {
		w.roots.AddCert(c)
	}
}

// authorities are what sign-csr signs by. The wire is in TLS's place.
func (w *World) authorities() *configured.Authorities {
	a := configured.From(w.getenv, w.config())
	a.StepCA = func(*tls.Config) http.RoundTripper { return w.wire }
	return a
}

func (w *World) getenv(name string) string { return w.env[name] }

// keptCA is a CA whose key is in a secret: the secret, and its certificate.
func keptCA(t *testing.T, name string, key *ecdsa.PrivateKey) (secret string, certificate *x509.Certificate) {
	t.Helper()
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certificate = root(t, name, key)
	text, err := json.Marshal(map[string]string{
		"key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})), "chain": chainPEM(certificate),
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(text), certificate
}

// PEM is a certificate as text.
func PEM(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}

func chainPEM(c *x509.Certificate) string { return string(PEM(c)) }

// root makes a CA's certificate of its key.
func root(t *testing.T, name string, key crypto.Signer) *x509.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: day(-500), NotAfter: day(4000),
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, BasicConstraintsValid: true, IsCA: true, SubjectKeyId: []byte(name),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
