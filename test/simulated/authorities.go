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
	"keyturn/internal/ca/kms/kmstest"
	"keyturn/internal/ca/local"
	"keyturn/internal/ca/stepca/stepcatest"
	"keyturn/internal/rotation"
)

// The CAs whose keys are not in a service are made once: making them is slow
// beside a rotation.
var (
	localCA   = sync.OnceValue(func() *keptCA { return keep("Example Issuing CA") })
	teamCA    = sync.OnceValue(func() *keptCA { return keep("Example Security Team") })
	privateCA = sync.OnceValue(func() *keptCA { return keep("Example Private CA") })
)

// keptCA is a CA whose key is in a secret, which has its certificate too.
type keptCA struct {
	key         *ecdsa.PrivateKey
	certificate *x509.Certificate
	secret      string
}

func keep(name string) *keptCA {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	must(err)
	c := root(name, key)
	secret, err := json.Marshal(map[string]string{
		"key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})), "chain": chainPEM(c),
	})
	must(err)
	return &keptCA{key, c, string(secret)}
}

// must is for what cannot fail.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

// found founds the company's CA, the stack's only one. Any other has issued no
// certificate that is the target's.
func (w *World) found(t *testing.T, provider rotation.CertificateAuthority, outside Outside) {
	t.Helper()
	w.env = map[string]string{
		"CERTIFICATE_AUTHORITY": string(provider), "CA_SECRET_ARN": caSecret,
		"KMS_CA_CHAIN": "/keyturn/kms-ca", "MANUAL_CA_CHAIN": "/keyturn/manual-ca",
	}
	switch provider {
	case rotation.AuthorityKMS:
		w.foundKMS(t, outside.kms)
	case rotation.AuthorityACMPCA:
		w.wire.services["acm-pca"] = withKeyOf(outside.pca, outside.pca.Config())
		w.env["ACM_PCA_ARN"] = outside.pca.AddCA(privateCA().key, ca.Chain{privateCA().certificate})
		w.roots.AddCert(privateCA().certificate)
	case rotation.AuthorityManual:
		w.foundTeam(t)
	case rotation.AuthorityStepCA:
		w.foundStepCA()
	default:
		w.cloud.secrets[caSecret] = localCA().secret
		w.roots.AddCert(localCA().certificate)
	}
}

func (w *World) foundKMS(t *testing.T, service *kmstest.KMS) {
	t.Helper()
	w.wire.services["kms"] = withKeyOf(service, service.Config())
	key := service.AddKey(kmstypes.KeySpecEccNistP256)
	w.env["KMS_CA_KEY_ARN"] = key
	signer, err := kms.NewSigner(t.Context(), awskms.NewFromConfig(w.config()), key)
	if err != nil {
		t.Fatal(err)
	}
	c := root("Example KMS CA", signer)
	w.cloud.parameters["/keyturn/kms-ca"] = chainPEM(c)
	w.roots.AddCert(c)
}

// foundTeam founds a security team that signs by hand.
func (w *World) foundTeam(t *testing.T) {
	t.Helper()
	var err error
	if w.team, err = local.New([]byte(teamCA().secret), rand.Reader); err != nil {
		t.Fatal(err)
	}
	w.cloud.parameters["/keyturn/manual-ca"] = chainPEM(teamCA().certificate)
	w.roots.AddCert(teamCA().certificate)
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

// PEM is a certificate as text.
func PEM(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}

func chainPEM(c *x509.Certificate) string { return string(PEM(c)) }

// root makes a CA's certificate of its key.
func root(name string, key crypto.Signer) *x509.Certificate {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: day(-500), NotAfter: day(4000),
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, BasicConstraintsValid: true, IsCA: true, SubjectKeyId: []byte(name),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(err)
	c, err := x509.ParseCertificate(der)
	must(err)
	return c
}
