package signing_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"keyturn/internal/ca"
	"keyturn/internal/rotation"
	"keyturn/internal/signing"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func newCSR(t *testing.T) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "Wiki"}}, key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func TestRequestSaysWhatTargetPolicyAndCSRSay(t *testing.T) {
	der := newCSR(t)
	csr := rotation.CSR{ID: "csr1", Request: base64.StdEncoding.EncodeToString(der)}
	for title, test := range map[string]struct {
		kind    rotation.Kind
		profile rotation.Profile
		want    ca.Profile
	}{
		"an app":   {kind: rotation.KindApp},
		"an IdP":   {kind: rotation.KindIDP},
		"no usage": {kind: rotation.KindApp, profile: rotation.Profile{KeyUsage: []string{}, Extensions: []rotation.Extension{}}},
		"every usage": {
			rotation.KindApp,
			rotation.Profile{KeyUsage: []string{"contentCommitment", "keyEncipherment", "dataEncipherment", "keyAgreement"}},
			ca.Profile{KeyUsage: x509.KeyUsageContentCommitment | x509.KeyUsageKeyEncipherment | x509.KeyUsageDataEncipherment | x509.KeyUsageKeyAgreement},
		},
		"the same usage twice": {
			rotation.KindApp, rotation.Profile{KeyUsage: []string{"keyAgreement", "keyAgreement"}},
			ca.Profile{KeyUsage: x509.KeyUsageKeyAgreement},
		},
		"extensions": {
			rotation.KindIDP,
			rotation.Profile{Extensions: []rotation.Extension{
				{OID: "2.5.29.32", Value: "MAcwBQYDKgME"},
				{OID: "1.3.6.1.4.1.99999.1", Critical: true, Value: "BQA="},
			}},
			ca.Profile{Extensions: []pkix.Extension{
				{Id: asn1.ObjectIdentifier{2, 5, 29, 32}, Value: []byte{0x30, 7, 0x30, 5, 6, 3, 0x2a, 3, 4}},
				{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 99999, 1}, Critical: true, Value: []byte{5, 0}},
			}},
		},
		"URLs": {
			rotation.KindApp,
			rotation.Profile{
				CRLURLs: []string{"http://pki.example.com/a.crl"}, OCSPURLs: []string{"http://ocsp.example.com"},
				CAIssuersURLs: []string{"http://pki.example.com/a.cer"},
			},
			ca.Profile{
				CRLs: []string{"http://pki.example.com/a.crl"}, OCSP: []string{"http://ocsp.example.com"},
				CAIssuers: []string{"http://pki.example.com/a.cer"},
			},
		},
	} {
		t.Run(title, func(t *testing.T) {
			policy := rotation.DefaultSettings(nil)
			policy.ValidityDays, policy.Profile = 200, test.profile
			got, err := signing.Request(rotation.Target{Kind: test.kind, ID: "0oa1"}, policy, csr, now)
			if err != nil {
				t.Fatal(err)
			}
			want := ca.Request{CSR: der, Kind: string(test.kind), ValidityDays: 200, Now: now, Profile: test.want}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			if err := got.Validate(); err != nil && test.kind == rotation.KindApp {
				t.Errorf("the CA does not take it: %v", err)
			}
		})
	}
}

func TestRequestRefuses(t *testing.T) {
	der := newCSR(t)
	good := base64.StdEncoding.EncodeToString(der)
	extension := func(oid, value string) rotation.Profile {
		return rotation.Profile{Extensions: []rotation.Extension{{OID: "2.5.29.32", Value: "BQA="}, {OID: oid, Value: value}}}
	}
	for title, test := range map[string]struct {
		csr     string
		profile rotation.Profile
		name    string
		says    string
	}{
		"a CSR that is PEM":       {"-----BEGIN CERTIFICATE REQUEST-----", rotation.Profile{}, "CSR.Invalid", "csr1"},
		"a usage that has no bit": {good, rotation.Profile{KeyUsage: []string{"serverAuth"}}, "Policy.Invalid", `profile.keyUsage has "serverAuth"`},
		"a usage of CAs":          {good, rotation.Profile{KeyUsage: []string{"keyCertSign"}}, "Policy.Invalid", `profile.keyUsage has "keyCertSign"`},
		"a usage that is always":  {good, rotation.Profile{KeyUsage: []string{"digitalSignature"}}, "Policy.Invalid", "digitalSignature"},
		"no OID":                  {good, extension("", "BQA="), "Policy.Invalid", "profile.extensions[1]"},
		"half an OID":             {good, extension("2.5.29.", "BQA="), "Policy.Invalid", "profile.extensions[1]"},
		"one number":              {good, extension("2", "BQA="), "Policy.Invalid", "profile.extensions[1]"},
		"a name":                  {good, extension("certificatePolicies", "BQA="), "Policy.Invalid", "profile.extensions[1]"},
		"a negative number":       {good, extension("2.-5.29", "BQA="), "Policy.Invalid", "profile.extensions[1]"},
		"a number too large":      {good, extension("2.5.4294967296", "BQA="), "Policy.Invalid", "profile.extensions[1]"},
		"a value in hex":          {good, extension("2.5.29.33", "0x0500"), "Policy.Invalid", "profile.extensions[1]"},
	} {
		t.Run(title, func(t *testing.T) {
			policy := rotation.DefaultSettings(nil)
			policy.Profile = test.profile
			_, err := signing.Request(rotation.Target{Kind: rotation.KindApp, ID: "0oa1"}, policy, rotation.CSR{ID: "csr1", Request: test.csr}, now)
			if got := rotation.NameOf(err); got != test.name {
				t.Fatalf("error is named %q (%v), want %s", got, err, test.name)
			}
			if !strings.Contains(err.Error(), test.says) {
				t.Errorf("error %q does not say %q", err, test.says)
			}
		})
	}
}
