package partner

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"keyturn/internal/oktasim"
)

func TestAPartnerTrustsTheCertificateThatIsActiveWhenItIsSetUp(t *testing.T) {
	in(t, both, Options{}, func(l *lab) {
		l.works("at first")
		l.switchTo(l.new)
		l.fails("after a switch that it has not heard of")
		l.switchTo(l.old)
		l.works("after the way back")
	})
}

func TestAPartnerWithTwoCertificatesNoticesNoSwitch(t *testing.T) {
	in(t, both, Options{Capacity: 2}, func(l *lab) {
		l.upload(l.new)
		l.works("between upload and switch")
		l.switchTo(l.new)
		l.works("after the switch")
		l.switchTo(l.old)
		l.works("after the way back")
	})
}

func TestAPartnerWithOneCertificateWantsTheNewestOnly(t *testing.T) {
	in(t, both, Options{Capacity: 1}, func(l *lab) {
		l.upload(l.new)
		l.fails("between upload and switch")
		l.switchTo(l.new)
		l.works("after the switch")
		l.switchTo(l.old)
		l.fails("after the way back, without the old certificate")
		l.upload(l.old)
		l.works("with the old certificate")
	})
}

func TestAThirdCertificateTakesTheOldestOnesPlace(t *testing.T) {
	in(t, both, Options{}, func(l *lab) {
		l.upload(l.new)
		l.upload(l.new)
		l.works("after the same upload twice")
		l.upload(key())
		l.fails("without the oldest certificate")
		l.switchTo(l.new)
		l.works("with the one that was uploaded before the last")
	})
}

func TestAnUploadThatIsNoCertificateChangesNothing(t *testing.T) {
	in(t, both, Options{Capacity: 1}, func(l *lab) {
		for _, upload := range []string{"", "certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
			strings.ReplaceAll(string(text(l.new)), "CERTIFICATE", "PUBLIC KEY")} {
			if err := l.partner.Upload([]byte(upload)); err == nil {
				l.t.Errorf("the upload %q is taken", upload)
			}
		}
		wrong := newLab(t, map[string]string{oktasim.KindApp: oktasim.KindIDP, oktasim.KindIDP: oktasim.KindApp}[l.kind], Options{})
		for _, metadata := range []string{"", "<EntityDescriptor/>", string(wrong.org.Metadata(wrong.kind, wrong.id)),
			strings.ReplaceAll(string(l.org.Metadata(l.kind, l.id)), "X509Certificate", "X509CRL")} {
			if err := l.partner.UploadMetadata([]byte(metadata)); err == nil {
				l.t.Errorf("the metadata %q is taken", metadata)
			}
		}
		l.works("after all of them")
	})
}

func TestMetadataReplacesAllCertificates(t *testing.T) {
	in(t, both, Options{}, func(l *lab) {
		l.upload(l.new)
		if err := l.partner.UploadMetadata(l.org.Metadata(l.kind, l.id)); err != nil {
			l.t.Fatal(err)
		}
		l.works("with the metadata of the active key")
		l.switchTo(l.new)
		l.fails("after the switch, because the metadata had the old certificate alone")
		if err := l.partner.UploadMetadata(l.org.Metadata(l.kind, l.id)); err != nil {
			l.t.Fatal(err)
		}
		l.works("with the metadata of the new key")
	})
}

// What the approval page says of partners that encrypt: they must use the new
// certificate from the moment of the switch, not before, and not after.
func TestAnIDPThatEncryptsMustChangeOverWithTheSwitch(t *testing.T) {
	in(t, []string{oktasim.KindIDP}, Options{Encrypts: true}, func(l *lab) {
		l.works("at first")
		l.upload(l.new)
		l.fails("with the new certificate before the switch")
		l.upload(l.old)
		l.works("with the old one again")
		l.switchTo(l.new)
		l.fails("with the old certificate after the switch")
		l.upload(l.new)
		l.works("with the new one")
	})
}

func TestTheSideThatRefusesSaysWhy(t *testing.T) {
	for _, c := range []struct {
		name, kind string
		options    Options
		spoil      func(*lab)
		says       string
	}{
		{"an app without the certificate", oktasim.KindApp, Options{}, func(l *lab) { l.switchTo(l.new) }, "the app refuses the response: error validating response: Could not verify certificate"},
		{"an IdP without the certificate", oktasim.KindIDP, Options{}, func(l *lab) { l.switchTo(l.new) }, "the IdP refuses the request"},
		{"the org without the key", oktasim.KindIDP, Options{Encrypts: true}, func(l *lab) { l.upload(l.new) }, "decrypt"},
		{"an inactive app", oktasim.KindApp, Options{}, func(l *lab) { l.org.Edit(l.kind, l.id, "status", `"INACTIVE"`) }, "is INACTIVE"},
		{"an inactive IdP", oktasim.KindIDP, Options{}, func(l *lab) { l.org.Edit(l.kind, l.id, "status", `"INACTIVE"`) }, "is INACTIVE"},
		{"an app whose certificate has expired", oktasim.KindApp, Options{}, func(l *lab) { l.org.Advance(time.Until(l.old.NotAfter()) + time.Hour) }, "Cert is not valid at this time"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t, c.kind, c.options)
				c.spoil(l)
				if err := l.signIn(); err == nil || !strings.Contains(err.Error(), c.says) {
					t.Errorf("the error is %v, and does not say %q", err, c.says)
				}
			})
		})
	}
}

func TestASignInEndsWithItsContext(t *testing.T) {
	in(t, both, Options{}, func(l *lab) {
		ctx, cancel := context.WithCancel(l.t.Context())
		cancel()
		if err := l.partner.SignIn(ctx); !errors.Is(err, context.Canceled) {
			l.t.Errorf("the error is %v", err)
		}
	})
}
