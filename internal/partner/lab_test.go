package partner

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"testing"
	"testing/synctest"
	"time"

	"keyturn/internal/oktasim"
)

// lab is a target, its next key, which is published and not in use, and its
// partner. Time is the bubble's.
type lab struct {
	t        *testing.T
	org      *oktasim.Org
	kind, id string
	old, new oktasim.Key
	partner  Partner
}

// in runs a test in a bubble with a target of each of the kinds.
func in(t *testing.T, kinds []string, o Options, test func(*lab)) {
	t.Helper()
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { test(newLab(t, kind, o)) })
		})
	}
}

var both = []string{oktasim.KindApp, oktasim.KindIDP}

func newLab(t *testing.T, kind string, o Options) *lab {
	t.Helper()
	l := &lab{t: t, kind: kind, org: oktasim.New(oktasim.Options{BaseURL: "https://acme.okta.com"})}
	l.old, l.new = key(), key()
	if kind == oktasim.KindApp {
		l.id = l.org.AddApp(oktasim.AppSpec{Label: "CRM", Key: &l.old, Keys: []*oktasim.Key{&l.new}})
		l.partner = ForApp(l.org, l.id, o)
	} else {
		l.id = l.org.AddIDP(oktasim.IDPSpec{Label: "ADFS", Key: &l.old, Keys: []*oktasim.Key{&l.new}})
		l.partner = ForIDP(l.org, l.id, o)
	}
	return l
}

// key is a key with a modulus of its own.
func key() oktasim.Key {
	return *oktasim.NewKey(oktasim.KeySpec{Created: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0)})
}

func text(k oktasim.Key) []byte { return certificatePEM(k.Certificate) }

func certificatePEM(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}

func (l *lab) upload(k oktasim.Key) {
	l.t.Helper()
	if err := l.partner.Upload(text(k)); err != nil {
		l.t.Fatal(err)
	}
}

func (l *lab) switchTo(k oktasim.Key) { l.org.SetActiveKid(l.kind, l.id, k.Kid) }

func (l *lab) signIn() error { return l.partner.SignIn(context.Background()) }

func (l *lab) works(when string) {
	l.t.Helper()
	if err := l.signIn(); err != nil {
		l.t.Errorf("%s: %v", when, err)
	}
}

func (l *lab) fails(when string) {
	l.t.Helper()
	if err := l.signIn(); err == nil {
		l.t.Errorf("%s: a user gets in", when)
	}
}
