// Package steps holds what the functions of a rotation do, one file for each
// step of the guide. Every step first looks at what Okta already has and does
// only what is missing, so that it may run twice, and may run again after a
// crash or a lost answer.
package steps

import (
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"time"

	"keyturn/internal/okta"
	"keyturn/internal/rotation"
)

// keyOf reads the certificate of a key that Okta listed.
func keyOf(k okta.JSONWebKey) (rotation.Key, *x509.Certificate, error) {
	der, err := k.DER()
	if err != nil {
		return rotation.Key{}, nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return rotation.Key{}, nil, fmt.Errorf("certificate of key %s: %w", k.Kid, err)
	}
	return rotation.Key{
		Kid:         k.Kid,
		Created:     k.Created.UTC(),
		NotBefore:   cert.NotBefore.UTC(),
		NotAfter:    cert.NotAfter.UTC(),
		Issuer:      cert.Issuer.String(),
		Subject:     cert.Subject.String(),
		Certificate: base64.StdEncoding.EncodeToString(der),
	}, cert, nil
}

// remaining is how long a certificate is still valid.
func remaining(k rotation.Key, now time.Time) time.Duration { return k.NotAfter.Sub(now) }
