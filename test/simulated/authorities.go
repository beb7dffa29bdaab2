package simulated

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"sync"
	"testing"
)

// The keys of the CAs are made once: making them is slow beside a rotation.
var (
	localCAKey   = sync.OnceValue(newKey)
	privateCAKey = sync.OnceValue(newKey)
)

func newKey() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return key
}

// localCA is the CA whose key is in the stack's secret: the key in PEM, and its
// certificate.
func localCA(t *testing.T) (key string, certificate *x509.Certificate) {
	t.Helper()
	pkcs8, err := x509.MarshalPKCS8PrivateKey(localCAKey())
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})), root(t, "Example Issuing CA", localCAKey())
}

// privateCA is the certificate of the CA in AWS Private CA.
func privateCA(t *testing.T) *x509.Certificate {
	t.Helper()
	return root(t, "Example Private CA", privateCAKey())
}
