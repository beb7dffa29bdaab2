package local

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"strconv"
	"strings"
	"time"

	"keyturn/internal/ca"
)

const maxYears = 30

// Generate makes a CA of two levels for the demo and for tests: the secret that
// [New] reads, and the root for whoever is to trust it. The root's key is
// thrown away; such a CA is not renewed but generated again. Both certificates
// start an hour before now and end years after now.
//
// Both keys are RSA with 2048 bits and sign with SHA-256, because that is what
// every partner's SAML software verifies, the oldest too; ECDSA is not.
//
// random makes the serial numbers. The keys come from crypto/rand whatever
// random is: since Go 1.26 crypto/rsa takes them from nowhere else.
//
// An empty commonName, or years outside 1 to 30, is CA.Misconfigured.
func Generate(commonName string, now time.Time, years int, random io.Reader) (secretJSON []byte, root *x509.Certificate, err error) {
	if strings.TrimSpace(commonName) == "" {
		return nil, nil, misconfigured("commonName", "it is empty", "name the CA", nil)
	}
	if years < 1 || years > maxYears {
		return nil, nil, &ca.Error{
			Name: ca.NameMisconfigured, Field: "years", Value: strconv.Itoa(years),
			Message: "no lifetime for a CA", Remedy: fmt.Sprintf("choose 1 to %d", maxYears),
		}
	}
	now = now.UTC().Truncate(time.Second)
	notBefore, notAfter := now.Add(-time.Hour), now.AddDate(years, 0, 0)

	create := func(name string, pathLen int, parent *x509.Certificate, parentKey *rsa.PrivateKey) (*x509.Certificate, *rsa.PrivateKey, error) {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			return nil, nil, unavailable("key", err)
		}
		serial := new([16]byte)
		if _, err := io.ReadFull(random, serial[:]); err != nil {
			return nil, nil, unavailable("serialNumber", err)
		}
		serial[0] |= 1 // never zero
		// RFC 7093, section 2, method 1, as in the certificates that it issues.
		keyID := sha256.Sum256(x509.MarshalPKCS1PublicKey(&key.PublicKey))
		template := &x509.Certificate{
			SerialNumber:          new(big.Int).SetBytes(serial[:]),
			Subject:               pkix.Name{CommonName: name},
			NotBefore:             notBefore,
			NotAfter:              notAfter,
			SignatureAlgorithm:    x509.SHA256WithRSA,
			KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
			BasicConstraintsValid: true,
			IsCA:                  true,
			MaxPathLen:            pathLen,
			MaxPathLenZero:        true,
			SubjectKeyId:          keyID[:20],
		}
		if parent == nil {
			parent, parentKey = template, key
		}
		der, err := x509.CreateCertificate(random, template, parent, &key.PublicKey, parentKey)
		if err != nil {
			return nil, nil, unavailable("certificate", err)
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, nil, unavailable("certificate", err)
		}
		return cert, key, nil
	}

	root, rootKey, err := create(commonName+" Root", 1, nil, nil)
	if err != nil {
		return nil, nil, err
	}
	issuing, issuingKey, err := create(commonName+" Issuing", 0, root, rootKey)
	if err != nil {
		return nil, nil, err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(issuingKey)
	if err != nil {
		return nil, nil, unavailable("key", err)
	}
	secretJSON, err = Secret(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), ca.Chain{issuing, root})
	if err != nil {
		return nil, nil, err
	}
	return secretJSON, root, nil
}

// Secret writes what [New] reads, and refuses what New would refuse. keyPEM is
// the private key of the chain's first certificate.
func Secret(keyPEM []byte, chain ca.Chain) ([]byte, error) {
	secretJSON, err := json.Marshal(map[string]string{"key": string(keyPEM), "chain": string(chain.PEM())})
	if err != nil {
		return nil, unavailable("secret", err)
	}
	if _, err := New(secretJSON, rand.Reader); err != nil {
		return nil, err
	}
	return secretJSON, nil
}

func unavailable(field string, err error) error {
	return &ca.Error{
		Name: ca.NameUnavailable, Field: field, Message: "the CA could not be generated", Err: err,
		Remedy: "try again",
	}
}
