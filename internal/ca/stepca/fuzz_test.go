package stepca

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"io"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"keyturn/internal/ca"
)

// says answers every request with the same; {ott} in it is the request's
// one-time token.
type says struct {
	status int
	body   string
}

func (s says) RoundTrip(r *http.Request) (*http.Response, error) {
	var sent signRequest
	if r.Body != nil {
		if err := json.NewDecoder(r.Body).Decode(&sent); err != nil {
			return nil, err
		}
	}
	body := strings.ReplaceAll(s.body, "{ott}", sent.OTT)
	return &http.Response{StatusCode: s.status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
}

var fuzzNow = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func steadyKey(f *testing.F, seed byte) *ecdsa.PrivateKey {
	f.Helper()
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), bytes.Repeat([]byte{seed}, 32))
	if err != nil {
		f.Fatal(err)
	}
	return key
}

// steadyCA is a root that issues by itself.
func steadyCA(f *testing.F) (root *x509.Certificate, key *ecdsa.PrivateKey) {
	f.Helper()
	key = steadyKey(f, 1)
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Example Root"}, NotBefore: fuzzNow.AddDate(-1, 0, 0), NotAfter: fuzzNow.AddDate(9, 0, 0),
		KeyUsage: x509.KeyUsageCertSign, BasicConstraintsValid: true, IsCA: true}
	der, err := x509.CreateCertificate(nil, c, c, key.Public(), key)
	if err != nil {
		f.Fatal(err)
	}
	if root, err = x509.ParseCertificate(der); err != nil {
		f.Fatal(err)
	}
	return root, key
}

func wantFit(t *testing.T, err error, hidden string) {
	t.Helper()
	var e *ca.Error
	if !errors.As(err, &e) {
		t.Fatalf("error is %v (%T), want an *Error", err, err)
	}
	if n := len(e.Error()); n > 4000 || strings.ContainsAny(e.Error(), "\n\r\x00\x1b") {
		t.Errorf("the error has %d bytes, or more than a line: %.300q", n, e)
	}
	if hidden != "" && strings.Contains(e.Error(), hidden) {
		t.Errorf("the error holds a secret: %v", e)
	}
}

// Whatever a step-ca answers, or what stands before it: the chain leads to the
// root that is known, the provisioner has a key, what is signed is read or
// refused, and no error repeats the one-time token.
func FuzzAnswer(f *testing.F) {
	root, key := steadyCA(f)
	chain := string(ca.Chain{root}.PEM())
	list := func(name string, v any) string {
		text, err := json.Marshal(map[string]any{name: v})
		if err != nil {
			f.Fatal(err)
		}
		return string(text)
	}
	long := strings.Repeat("x", 9000)
	for _, body := range []string{
		list("crts", []string{chain}), list("certChain", []string{chain, chain}), list("crts", []string{}), list("crts", []string{"x"}), list("ca", chain),
		list("provisioners", []any{map[string]any{"type": "JWK", "name": "keyturn", "key": jose.JSONWebKey{Key: key.Public(), KeyID: "k"}}}),
		list("provisioners", []any{map[string]any{"type": "JWK", "name": "keyturn", "key": nil}}), list("nextCursor", "again"), list("key", "a.b.c.d.e"),
		list("message", "the token {ott} is refused"), list("message", long), list("message", "a\nb\u202e"), `{"message":"authorized maximum certificate duration {ott}"}`,
		`{"message":"error applying certificate template {ott}"}`, `null`, `[]`, ``, `<html>{ott}</html>`, `{"crts":null}`,
	} {
		for _, status := range []int{200, 201, 400, 401, 403, 404, 429, 500, 302} {
			f.Add(status, body)
		}
	}
	token, problem := newTokenKey(jose.JSONWebKey{Key: key, KeyID: "k"})
	if problem != "" {
		f.Fatal(problem)
	}
	csr, err := x509.CreateCertificateRequest(nil, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "Wiki SAML signing"}}, steadyKey(f, 2))
	if err != nil {
		f.Fatal(err)
	}
	request := ca.Request{CSR: csr, Kind: ca.KindApp, ValidityDays: 100, Now: fuzzNow}
	f.Fuzz(func(t *testing.T, status int, body string) {
		if status < 200 || status > 999 {
			return
		}
		c := &client{base: "https://ca.example.com", fingerprint: fingerprintOf(root), http: &http.Client{
			Transport: says{status, body}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
		if got, err := c.chain(t.Context(), root); err != nil {
			wantFit(t, err, "")
		} else if !got[len(got)-1].Equal(root) {
			t.Errorf("%q: the chain ends at %s", body, got[len(got)-1].Subject)
		}
		if key, err := c.provisioner(t.Context(), "keyturn"); err != nil {
			wantFit(t, err, "")
		} else if key.KeyID == "" {
			t.Errorf("%q: the provisioner's key has no id", body)
		}
		a := Authority{client: c, provisioner: "keyturn", key: token, root: root, chain: ca.Chain{root}, now: func() time.Time { return fuzzNow }, random: bytes.NewReader(bytes.Repeat([]byte{7}, 32))}
		signed, err := a.Sign(t.Context(), request)
		if err != nil {
			// A token begins with its header, and always with the same.
			wantFit(t, err, "eyJhbGciOi")
			return
		}
		if err := ca.Check(signed, request, &a); err == nil && !slices.ContainsFunc(signed.Chain, root.Equal) {
			t.Errorf("%q passes without the root", body)
		}
	})
}

// A secret is a password or a key that signs, or it is refused without a word
// of it.
func FuzzSecret(f *testing.F) {
	jwk, err := json.Marshal(jose.JSONWebKey{Key: steadyKey(f, 1), KeyID: "hunter2-Kid"})
	if err != nil {
		f.Fatal(err)
	}
	for _, secret := range []string{
		`{"password":"Hunter2-is-my-Word"}`, `{"key":` + string(jwk) + `}`, string(jwk), `{"key":` + string(jwk) + `,"password":"Hunter2-is-my-Word"}`, `{"PASSWORD":"Hunter2-is-my-Word"}`,
		`{"password":""}`, `{"password":12345678901234567890}`, `{"key":"Hunter2-is-my-Word"}`, `{"key":{"kty":"oct","k":"SHVudGVyMi1pcy1teQ"}}`, `{"key":{"kty":"EC","crv":"Hunter2-is-my-Word"}}`,
		`{"Hunter2-is-my-Word":1}`, `{"password":"Hunter2-is-my-Word"} Hunter2`, `null`, `[]`, ``,
	} {
		f.Add([]byte(secret))
	}
	f.Fuzz(func(t *testing.T, secret []byte) {
		s, err := parseSecret(secret)
		if err != nil {
			wantFit(t, err, "")
			for from := 0; from+10 <= len(secret); from++ {
				piece := string(secret[from : from+10])
				if strings.Contains(err.Error(), piece) && strings.ContainsAny(piece, "0123456789") && strings.ToLower(piece) != piece {
					t.Fatalf("%q: the error quotes %q: %v", secret, piece, err)
				}
			}
			return
		}
		if len(s.password) > 0 {
			return
		}
		key, problem := newTokenKey(s.key)
		if problem != "" {
			t.Fatalf("%q is taken for a key: %s", secret, problem)
		}
		if _, err := key.sign([]byte("{}")); err != nil {
			wantFit(t, err, "")
		}
	})
}

// An address is one of https, without a password; a fingerprint is one.
func FuzzAddress(f *testing.F) {
	for _, raw := range []string{"https://ca.example.com:9000", "https://u:t0p-s3cret@ca.example.com", "http://ca.example.com", "https:ca", "https://ca/1.0/sign", "https://[::1]:9000/", "https://ca?", "https://ca#", "https://%zz", " ", ""} {
		f.Add(raw, "AA:bb")
		f.Add(raw, strings.Repeat("aB", 32))
	}
	f.Fuzz(func(t *testing.T, raw, fingerprint string) {
		base, err := parseURL(raw)
		if err != nil {
			wantFit(t, err, "")
			if _, after, found := strings.Cut(raw, "@"); found && len(after) > 20 && strings.Contains(err.Error(), raw) {
				t.Errorf("the error quotes %q", raw)
			}
		} else if again, err := parseURL(base); err != nil || again != base || !strings.HasPrefix(base, "https://") {
			t.Errorf("%q gives %q, which is read as %q, %v", raw, base, again, err)
		}
		sum, err := parseFingerprint(fingerprint)
		if err != nil {
			wantFit(t, err, "")
		} else if len(sum) != 64 || strings.Trim(sum, "0123456789abcdef") != "" {
			t.Errorf("%q gives %q", fingerprint, sum)
		}
	})
}
