package steps_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"io"
	"math/big"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"keyturn/internal/oktasim"
	"keyturn/internal/rotation"
	"keyturn/internal/steps"
)

func (l *lab) tryPublish(csr rotation.CSR, certificate rotation.Certificate) (rotation.PublishCSROutput, error) {
	return steps.PublishCSR{Okta: l.okta}.Run(l.t.Context(), rotation.PublishCSRInput{Target: l.target, CSR: csr, Certificate: certificate})
}

func leaf(t *testing.T, certificate rotation.Certificate) *x509.Certificate {
	t.Helper()
	block, rest := pem.Decode([]byte(certificate.PEM))
	if block == nil || len(rest) != 0 {
		t.Fatalf("not one PEM block: %q", certificate.PEM)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func TestPublicationMakesOneKeyThatIsNotInUse(t *testing.T) {
	forBothKinds(t, func(t *testing.T, l *lab) {
		before := l.document()
		csr := l.generate().CSR
		certificate := l.sign(csr)
		l.org.ResetCalls()
		out, err := l.tryPublish(csr, certificate)
		if err != nil {
			t.Fatal(err)
		}
		cert := leaf(t, certificate)
		keys := l.keys()
		want := rotation.Key{
			Kid: keys[1].Kid, Created: now, NotBefore: cert.NotBefore, NotAfter: cert.NotAfter,
			Issuer: cert.Issuer.String(), Subject: cert.Subject.String(), Certificate: base64.StdEncoding.EncodeToString(cert.Raw),
		}
		if diff := cmp.Diff(want, out.Key); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
		if len(keys) != 2 || len(l.pending()) != 0 {
			t.Errorf("%d keys and %d pending CSRs, want 2 and none", len(keys), len(l.pending()))
		}
		wantOnlyKid(t, before, l.document(), oldKid, oldKid)
		wantCalls(t, l.org, l.operation("publish"))
	})
}

func TestPublicationWhoseAnswerWasLostIsFoundByThePublicKey(t *testing.T) {
	for _, fault := range []oktasim.FaultKind{oktasim.FaultCloseAfter, oktasim.FaultInternalAfter, oktasim.FaultBrokenBody} {
		t.Run(string(fault), func(t *testing.T) {
			forBothKinds(t, func(t *testing.T, l *lab) {
				l.org.AddKey(l.kind(), l.target.ID, spare())
				csr := l.generate().CSR
				certificate := l.sign(csr)
				l.fail("publish", fault)
				_, err := l.tryPublish(csr, certificate)
				wantName(t, err, "Okta.Unavailable")
				l.org.ResetCalls()
				out, err := l.tryPublish(csr, certificate)
				if err != nil {
					t.Fatal(err)
				}
				keys := l.keys()
				if len(keys) != 3 || out.Key.Kid != keys[2].Kid {
					t.Errorf("%d keys, and the step gives %s; want 3 and the last, %s", len(keys), out.Key.Kid, keys[2].Kid)
				}
				wantCalls(t, l.org, l.operation("publish"), l.operation("keys"))
			})
		})
	}
}

// Two rotations may have had one CSR signed twice. What counts is the
// certificate that Okta keeps.
func TestPublicationByAnotherRotationCounts(t *testing.T) {
	forBothKinds(t, func(t *testing.T, l *lab) {
		csr := l.generate().CSR
		first, second := l.sign(csr), l.sign(csr)
		if first.Serial == second.Serial {
			t.Fatal("the CA signed with one serial number twice")
		}
		published := l.publish(csr, first)
		if again := l.publish(csr, second); again != published {
			t.Errorf("the second gives %+v, want the first's key %+v", again, published)
		}
		if n := len(l.keys()); n != 2 {
			t.Errorf("%d keys, want 2", n)
		}
	})
}

func TestPublicationOfACSRThatSomebodyRevokedSaysSo(t *testing.T) {
	forBothKinds(t, func(t *testing.T, l *lab) {
		csr := l.generate().CSR
		certificate := l.sign(csr)
		if _, err := l.revoke(&csr); err != nil {
			t.Fatal(err)
		}
		_, err := l.tryPublish(csr, certificate)
		wantError(t, err, "CSR.Gone", "the CSR "+csr.ID+" of "+l.who()+" is gone and no key of the target came from it: somebody revoked it; start the rotation again")
		if n := len(l.keys()); n != 1 {
			t.Errorf("%d keys, want the old one", n)
		}
	})
}

func TestPublicationRefusesWhatIsNoCertificate(t *testing.T) {
	l := newLab(t, rotation.KindApp)
	csr := rotation.CSR{ID: "csr"}
	const notPEM = "certificate.pem is not a certificate in PEM: sign the CSR again"
	for what, c := range map[string]struct{ pem, text string }{
		"nothing":         {"", notPEM},
		"text":            {"hello", notPEM},
		"another block":   {string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: []byte{1}})), notPEM},
		"a damaged block": {string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte{1, 2}})), "certificate.pem cannot be read: x509: malformed certificate"},
	} {
		t.Run(what, func(t *testing.T) {
			_, err := l.tryPublish(csr, rotation.Certificate{PEM: c.pem})
			wantError(t, err, "Certificate.Mismatch", c.text)
		})
	}
	wantCalls(t, l.org)
}

var strangerKey = sync.OnceValue(func() *rsa.PrivateKey { return spare().PrivateKey })

// selfSigned is a certificate that never saw our CA.
func selfSigned(t *testing.T, public *rsa.PublicKey, days int) rotation.Certificate {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(7), NotBefore: now.Add(-time.Minute), NotAfter: day(days)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, strangerKey())
	if err != nil {
		t.Fatal(err)
	}
	return rotation.Certificate{PEM: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))}
}

func TestPublicationThatOktaRefusesIsShownWithOktasReason(t *testing.T) {
	forBothKinds(t, func(t *testing.T, l *lab) {
		csr := l.generate().CSR
		public := parse(t, csr.Request).PublicKey.(*rsa.PublicKey)
		for what, c := range map[string]struct {
			certificate rotation.Certificate
			cause       string
		}{
			"another public key": {selfSigned(t, &strangerKey().PublicKey, 397), "The certificate doesn't match the CSR."},
			"90 days":            {selfSigned(t, public, 90), "The certificate must be valid for more than 90 days."},
		} {
			t.Run(what, func(t *testing.T) {
				_, err := l.tryPublish(csr, c.certificate)
				if err == nil {
					t.Fatal("no error")
				}
				wantName(t, err, "Okta.Invalid")
				want := `could not publish the certificate for the CSR "` + csr.ID + `" of ` + l.target.String() + `: Api validation failed: certificate (` + c.cause +
					`) [POST /api/v1/` + l.kind() + `s/` + l.target.ID + `/credentials/csrs/` + csr.ID + `/lifecycle/publish, HTTP 400, E0000001, error id X]`
				if got := errorID.ReplaceAllString(err.Error(), "error id X"); got != want {
					t.Errorf("the error says\n\t%s\nwant\n\t%s", got, want)
				}
			})
		}
		if len(l.keys()) != 1 || len(l.pending()) != 1 {
			t.Errorf("%d keys and %d pending CSRs, want one each", len(l.keys()), len(l.pending()))
		}
	})
}

// What Okta answers to the publication of a CSR that is published already is
// documented nowhere.
func TestPublicationThatIsRefusedBecauseItWasMadeIsFound(t *testing.T) {
	forBothKinds(t, func(t *testing.T, l *lab) {
		csr := l.generate().CSR
		certificate := l.sign(csr)
		key := l.publish(csr, certificate)
		l.okta = l.client(func(next http.RoundTripper) http.RoundTripper { return refusingPublications{next} })
		out, err := l.tryPublish(csr, certificate)
		if err != nil || out.Key.Kid != key.Kid {
			t.Errorf("%s, %v; want the key %s", out.Key.Kid, err, key.Kid)
		}
	})
}

// refusingPublications answers 400 where the simulated org answers 404.
type refusingPublications struct{ next http.RoundTripper }

func (p refusingPublications) RoundTrip(r *http.Request) (*http.Response, error) {
	if !strings.HasSuffix(r.URL.Path, "/lifecycle/publish") {
		return p.next.RoundTrip(r)
	}
	return &http.Response{StatusCode: http.StatusBadRequest, Status: "400 Bad Request", Header: http.Header{}, Request: r,
		Body: io.NopCloser(strings.NewReader(`{"errorCode":"E0000001","errorSummary":"Api validation failed: csr"}`))}, nil
}

func TestKeyWithAnotherPublicKeyThanTheCertificateIsRefused(t *testing.T) {
	forBothKinds(t, func(t *testing.T, l *lab) {
		csr := l.generate().CSR
		certificate := l.sign(csr)
		ours := base64.StdEncoding.EncodeToString(leaf(t, certificate).Raw)
		l.okta = l.rewriting("/lifecycle/publish", func(body string) string { return strings.ReplaceAll(body, ours, spare().X5C) })
		_, err := l.tryPublish(csr, certificate)
		wantError(t, err, "Certificate.Mismatch", "the key "+l.keys()[1].Kid+" that Okta made of the CSR "+csr.ID+" has another public key than the certificate: do not use it, and report this")
	})
}

func TestKeyWithoutACertificateIsAskedForAgain(t *testing.T) {
	forBothKinds(t, func(t *testing.T, l *lab) {
		csr := l.generate().CSR
		certificate := l.sign(csr)
		whole := l.okta
		l.okta = l.rewriting("/lifecycle/publish", func(body string) string { return strings.ReplaceAll(body, `"x5c"`, `"y5c"`) })
		_, err := l.tryPublish(csr, certificate)
		kid := l.keys()[1].Kid
		wantError(t, err, "Okta.Unavailable", "Okta's answer to the publication: key "+kid+" has no certificate (x5c)")
		l.okta = whole
		if key := l.publish(csr, certificate); key.Kid != kid {
			t.Errorf("again: key %s, want %s", key.Kid, kid)
		}
	})
}
