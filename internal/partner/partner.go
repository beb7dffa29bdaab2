// Package partner is the other side of a target's sign-ins: an app that trusts
// the org's certificate, or an IdP that takes the org's requests and may encrypt
// for it. Both are SAML libraries that know nothing of Keyturn, gosaml2 and
// crewjam/saml, and trust what was uploaded to them and nothing else.
//
// A partner talks to the simulated org by calls, without a network. SignIns has
// users sign in through it all the time and keeps what became of it.
package partner

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"sync"

	"keyturn/internal/oktasim"
)

// Partner is one partner of a target. It starts as an administrator set it up
// with the org's metadata: with the certificate of the key that is active then.
// It is safe for concurrent use.
type Partner interface {
	// Upload gives it a certificate, in PEM. One that holds two certificates
	// keeps its newest beside it, one that holds one keeps the new one alone.
	// What is no certificate is refused with an error and changes nothing.
	Upload(certPEM []byte) error
	// UploadMetadata gives it the org's SAML metadata instead: the certificates
	// in it take the place of all that it has.
	UploadMetadata(xml []byte) error
	// SignIn signs one user in, from the partner to the org and back for an app,
	// from the org to the partner and back for an IdP. Nil when the user is in;
	// the error is that of the side that refused.
	SignIn(ctx context.Context) error
}

// Options say how a partner is. The zero value holds two certificates and does
// not encrypt.
type Options struct {
	// Capacity is how many certificates it holds, 1 or 2; 0 is 2.
	Capacity int
	// Encrypts has an IdP encrypt its assertions with the newest certificate that
	// it has, as one does that has a single field for the certificate of its SP.
	Encrypts bool
	// User is who signs in; empty: user@partner.example.com.
	User string
}

func (o Options) user() string {
	if o.User == "" {
		return "user@partner.example.com"
	}
	return o.User
}

// certificates are what a partner trusts, the newest last.
type certificates struct {
	capacity int

	mu   sync.Mutex
	held []*x509.Certificate
}

func newCertificates(o Options) *certificates {
	switch o.Capacity {
	case 0:
		o.Capacity = 2
	case 1, 2:
	default:
		panic(fmt.Sprintf("partner: capacity %d: a partner holds 1 or 2 certificates", o.Capacity))
	}
	return &certificates{capacity: o.Capacity}
}

func (c *certificates) all() []*x509.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.held)
}

// Upload is Partner's.
func (c *certificates) Upload(certPEM []byte) error {
	block, _ := pem.Decode(certPEM)
	if block == nil || block.Type != "CERTIFICATE" {
		return errors.New("partner: the upload is no PEM certificate")
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return fmt.Errorf("partner: upload: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	// One that is there already becomes the newest and is not there twice.
	held := slices.DeleteFunc(slices.Clone(c.held), certificate.Equal)
	held = append(held, certificate)
	c.held = held[max(0, len(held)-c.capacity):]
	return nil
}

// replace takes certificates (base64 of their DER) out of metadata.
func (c *certificates) replace(encoded []string) error {
	var held []*x509.Certificate
	for _, text := range encoded {
		der, err := base64.StdEncoding.DecodeString(spaces.ReplaceAllString(text, ""))
		if err != nil {
			return fmt.Errorf("partner: certificate in the metadata: %w", err)
		}
		certificate, err := x509.ParseCertificate(der)
		if err != nil {
			return fmt.Errorf("partner: certificate in the metadata: %w", err)
		}
		held = append(held, certificate)
	}
	if len(held) == 0 {
		return errors.New("partner: the metadata has no signing certificate")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held = held
	return nil
}

// must is for what only a mistake in a test or in the simulation breaks.
func must(what string, err error) {
	if err != nil {
		panic(fmt.Sprintf("partner: %s: %v", what, err))
	}
}

var (
	_ Partner = (*serviceProvider)(nil)
	_ Partner = (*identityProvider)(nil)
)

// ForApp is the partner behind an app, which is its SAML service provider. It
// panics where the org has no such app.
func ForApp(org *oktasim.Org, appID string, o Options) Partner {
	p := &serviceProvider{certificates: newCertificates(o), org: org, id: appID, user: o.user()}
	must("app "+appID, p.UploadMetadata(org.Metadata(oktasim.KindApp, appID)))
	return p
}

// ForIDP is the partner behind an IdP, which is its SAML identity provider. It
// panics where the org has no such IdP.
func ForIDP(org *oktasim.Org, idpID string, o Options) Partner {
	p := &identityProvider{certificates: newCertificates(o), org: org, id: idpID, user: o.user(), encrypts: o.Encrypts}
	must("IdP "+idpID, p.UploadMetadata(org.Metadata(oktasim.KindIDP, idpID)))
	return p
}
