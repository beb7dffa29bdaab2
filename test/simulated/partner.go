package simulated

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tidwall/sjson"

	"keyturn/internal/oktasim"
	"keyturn/internal/partner"
	"keyturn/internal/rotation"
)

// Partner is the other side of the target: a real SAML library, which holds two
// certificates. A user signs in after everything that may change whether that
// works.
type Partner struct {
	partner.Partner

	w  *World
	mu sync.Mutex
	// given are the certificates that it was given, in order.
	given []*x509.Certificate
	// lockedOut says after what a user could not sign in.
	lockedOut []string
}

func newPartner(w *World) *Partner {
	p := &Partner{w: w, given: []*x509.Certificate{w.Key(w.OldKid).Certificate}}
	if w.Target.Kind == rotation.KindIDP {
		p.Partner = partner.ForIDP(w.Org, w.Target.ID, partner.Options{})
	} else {
		p.Partner = partner.ForApp(w.Org, w.Target.ID, partner.Options{})
	}
	return p
}

// Upload gives the partner a certificate.
func (p *Partner) Upload(certPEM []byte) error {
	if err := p.Partner.Upload(certPEM); err != nil {
		return err
	}
	block, _ := pem.Decode(certPEM)
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.given = append(p.given, c)
	return nil
}

// upload gives the partner the certificate that came with a mail.
func (p *Partner) upload(ctx context.Context, certPEM []byte) {
	if err := p.Upload(certPEM); err != nil {
		panic(err) // a mail of ours brought it
	}
	p.look(ctx, "upload")
}

// imports gives the partner the org's metadata, in place of what it has.
func (p *Partner) imports(ctx context.Context, metadata []byte) error {
	given, err := certificatesIn(metadata)
	if err != nil {
		return err
	}
	if err := p.UploadMetadata(metadata); err != nil {
		return err
	}
	p.mu.Lock()
	p.given = given
	p.mu.Unlock()
	p.look(ctx, "import")
	return nil
}

// certificatesIn are those in metadata; there must be one.
func certificatesIn(metadata []byte) (all []*x509.Certificate, err error) {
	for _, text := range certificatePattern.FindAllSubmatch(metadata, -1) {
		der, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(string(text[1])), ""))
		if err != nil {
			return nil, err
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("simulated: no metadata: %s", metadata)
	}
	return all, nil
}

var certificatePattern = regexp.MustCompile(`X509Certificate>([^<]+)<`)

// signIns are how sign-ins ended, in all worlds of the process, by what decides
// how they end. A sign-in takes as long as a rotation, and almost all worlds
// come by the same few situations.
var signIns sync.Map

// SignsIn has a user sign in, and tells why that did not work. In a situation
// that another user was in before it gives what became of that one.
func (p *Partner) SignsIn(ctx context.Context) error {
	situation := p.situation()
	if err, known := signIns.Load(situation); known {
		return err.(outcome).error
	}
	err := p.SignIn(ctx)
	if ctx.Err() == nil {
		signIns.Store(situation, outcome{err})
	}
	return err
}

// outcome is an error that may be nil.
type outcome struct{ error }

// situation is what decides how a sign-in ends: the target's document, which of
// the certificates is active and which the partner was given, and what all of
// them are like. Two certificates that differ in their serial number and in
// when exactly they begin and end alone are alike, as long as both are valid.
func (p *Partner) situation() [sha256.Size]byte {
	document, kid := p.w.Document(), p.w.ActiveKid()
	for _, path := range Switched(p.w.Target.Kind) {
		var err error
		if document, err = sjson.DeleteBytes(document, path); err != nil {
			panic(err) // a document of the org
		}
	}
	p.mu.Lock()
	certificates := slices.Clone(p.given)
	p.mu.Unlock()
	if active := p.w.Key(kid); active != nil {
		certificates = append(certificates, active.Certificate)
	}
	h, now := sha256.New(), p.w.Org.Now()
	_, _ = fmt.Fprintf(h, "%s %s\n", p.w.Target.Kind, document)
	for _, c := range certificates {
		_, _ = fmt.Fprintf(h, "%d %s\n", slices.IndexFunc(certificates, c.Equal), looks(c, now))
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// looks is what a certificate is like to those who verify with it.
func looks(c *x509.Certificate, now time.Time) string {
	var text strings.Builder
	_, _ = fmt.Fprintf(&text, "%t %t %x %x %x %v %v %v %v", now.Before(c.NotBefore), now.After(c.NotAfter),
		c.RawSubject, c.RawIssuer, sha256.Sum256(c.RawSubjectPublicKeyInfo), c.SignatureAlgorithm, c.KeyUsage, c.ExtKeyUsage, c.UnknownExtKeyUsage)
	for _, e := range c.Extensions {
		_, _ = fmt.Fprintf(&text, " %v %t", e.Id, e.Critical)
	}
	return text.String()
}

// Switched are the paths in a target's document that a switch changes: the kid,
// and what Okta changes by itself then.
func Switched(k rotation.Kind) []string {
	if k == rotation.KindIDP {
		return []string{"protocol.credentials.signing.kid", "lastUpdated"}
	}
	return []string{"credentials.signing.kid", "credentials.signing.lastRotated", "lastUpdated"}
}

func (p *Partner) look(ctx context.Context, after string) {
	if !p.w.Exists() {
		return
	}
	if err := p.SignsIn(ctx); err != nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.lockedOut = append(p.lockedOut, after+": "+err.Error())
	}
}

// Has tells whether the partner was given a key's certificate.
func (p *Partner) Has(k *oktasim.Key) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.ContainsFunc(p.given, k.Certificate.Equal)
}

// LockedOut says after what users could not sign in, and why.
func (p *Partner) LockedOut() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string{}, p.lockedOut...)
}
