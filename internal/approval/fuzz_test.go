package approval_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"io"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"keyturn/internal/approval"
	"keyturn/internal/rotation"
)

// Whatever a link is made of: it gives back what was sealed, with no key but
// its own, and not when anything of it was changed.
func FuzzSeal(f *testing.F) {
	for _, token := range []string{taskToken, "", "a\nb", "AAAA", "AAA=", "AAA", "====", strings.Repeat("x", 2048)} {
		f.Add(token, "app-0oa1gjh63g214q0Hq0g4-SIMcCQNY-20260301", "0oa1gjh63g214q0Hq0g4", "Salesforce – EMEA", "crm@example.com", int64(3600), 40, byte(1))
	}
	f.Add(taskToken, "", "", strings.Repeat("é", 100), "", int64(-1), 0, byte(0x80))
	f.Add("\xff\x00", "\xff", "\xff", "\xff", "\xff", int64(1)<<40, 7, byte(3))
	key, other := newSealer(f, linkKey), newSealer(f, bytes.Repeat([]byte("o"), 64))
	f.Fuzz(func(t *testing.T, token, execution, id, label, approver string, seconds int64, place int, change byte) {
		for _, text := range []string{execution, id, label, approver} {
			if !utf8.ValidString(text) {
				return // these come out of JSON
			}
		}
		if seconds < -1<<40 || seconds > 1<<40 {
			return
		}
		claim := approval.Claim{TaskToken: token, Stage: rotation.StageUpload, Execution: execution, Approver: approver,
			Target: rotation.Target{Kind: rotation.KindApp, ID: id, Label: label}, Expires: now.Add(time.Duration(seconds) * time.Second).Truncate(time.Second)}
		if d := time.Duration(seconds) * time.Second; d/time.Second != time.Duration(seconds) {
			return
		}
		link, err := key.Seal(claim)
		if err != nil {
			// Step Functions' tokens and Okta's ids are far shorter.
			if rotation.NameOf(err) != "Input.Invalid" || len(token)+6*(len(execution)+len(id)+len(approver)+240) < 4000 || strings.Contains(err.Error(), taskToken) {
				t.Errorf("%+v is not sealed: %v", claim, err)
			}
			return
		}
		got, err := key.Open(link, now)
		if want := seconds <= 0; errors.Is(err, approval.ErrExpired) != want || (err != nil && !want) {
			t.Fatalf("%+v, good for %d seconds: %v", claim, seconds, err)
		}
		if runes := []rune(label); len(runes) > 40 {
			claim.Target.Label = string(runes[:39]) + "…"
		}
		if got != claim {
			t.Errorf("sealed %+v, opened %+v", claim, got)
		}
		if url.PathEscape(link) != link {
			t.Errorf("the link %q cannot stand in a path", link)
		}
		damaged(t, other, link)
		if place >= 0 && place < len(link) && link[place]^change != link[place] {
			altered := link[:place] + string(rune(link[place]^change&0x7f)) + link[place+1:]
			if altered != link {
				damaged(t, key, altered)
			}
		}
		token2 := key.FormToken(link, token, now)
		if !key.CheckForm(token2, link, token, now) || key.CheckForm(token2, link, token+"x", now) || key.CheckForm(token2, link+"x", token, now) || other.CheckForm(token2, link, token, now) {
			t.Errorf("the form's token of %+v is good for another form, or not for its own", claim)
		}
	})
}

// A CSR that people are shown is the one that was given, and its file has a
// name for every file system.
func FuzzReadCSR(f *testing.F) {
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), bytes.Repeat([]byte{1}, 32))
	if err != nil {
		f.Fatal(err)
	}
	template := &x509.CertificateRequest{Subject: pkix.Name{CommonName: "Wiki SAML signing"}, DNSNames: []string{"example.com", "../../etc/passwd"}, URIs: []*url.URL{{Scheme: "https", Host: "example.com"}}}
	der, err := x509.CreateCertificateRequest(nil, template, steady{key})
	if err != nil {
		f.Fatal(err)
	}
	for _, request := range []string{base64.StdEncoding.EncodeToString(der), "", "!", "MIIB", strings.ReplaceAll(base64.StdEncoding.EncodeToString(der), "A", "A\n"), base64.URLEncoding.EncodeToString(der)} {
		f.Add(request, "Salesforce – EMEA")
		f.Add(request, "../../\x00")
	}
	f.Fuzz(func(t *testing.T, request, label string) {
		csr, err := approval.ReadCSR(&rotation.CSR{ID: "csr1", Request: request})
		if err != nil {
			if rotation.NameOf(err) != "Input.Invalid" || len(err.Error()) > 300 || (len(request) > 20 && strings.Contains(err.Error(), request)) {
				t.Errorf("%q: %v", request, err)
			}
			return
		}
		block, rest := pem.Decode([]byte(csr.PEM()))
		if block == nil || block.Type != "CERTIFICATE REQUEST" || len(rest) > 0 || !bytes.Equal(block.Bytes, csr.DER) {
			t.Errorf("%q becomes %q", request, csr.PEM())
		}
		if parsed, err := x509.ParseCertificateRequest(csr.DER); err != nil || rotation.Fingerprint(parsed.RawSubjectPublicKeyInfo) != csr.KeySHA256 || csr.Key == "" {
			t.Errorf("%q: %v; the key is %q with the SHA-256 %s", request, err, csr.Key, csr.KeySHA256)
		}
		name := approval.RequestFileName(rotation.Target{Kind: rotation.KindApp, ID: "0oa1", Label: label}, csr)
		if len(name) > 80 || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			t.Errorf("the file of %q is called %q", label, name)
		}
	})
}

// steady signs the same bytes with the same signature, so that the processes
// that look for inputs have the same ones.
type steady struct{ *ecdsa.PrivateKey }

func (s steady) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	return s.PrivateKey.Sign(nil, digest, opts)
}
