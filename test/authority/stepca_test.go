package authority_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"keyturn/internal/ca"
	"keyturn/internal/ca/stepca"
	"keyturn/internal/localca"
)

const projectRoot = "../.."

// The real step-ca: what the simulated one of package stepcatest promises holds
// there too.
func TestStepCA(t *testing.T) {
	binary, err := localca.Build(t.Context(), projectRoot)
	if err != nil {
		t.Fatal(err)
	}
	running, err := localca.Start(t.Context(), binary, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(running.Stop)

	config := func(change func(*stepca.Config)) stepca.Config {
		c := stepca.Config{
			URL: running.URL, Fingerprint: running.Fingerprint, Provisioner: running.Provisioner,
			Secret: stepSecret(t, "password", running.Password),
		}
		change(&c)
		return c
	}
	open := func(t *testing.T, change func(*stepca.Config)) *stepca.Authority {
		t.Helper()
		a, err := stepca.New(t.Context(), config(change))
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	asIs := func(*stepca.Config) {}
	privateKey := func(c *stepca.Config) { c.Secret = stepSecret(t, "key", json.RawMessage(running.PrivateKey)) }

	t.Run("signs", func(t *testing.T) {
		policies := pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 32}, Value: []byte{0x30, 6, 0x30, 4, 6, 2, 0x2a, 3}}
		for title, test := range map[string]struct {
			config func(*stepca.Config)
			r      ca.Request
			usage  x509.KeyUsage
		}{
			"Okta's example": {asIs, ca.Request{Kind: ca.KindApp, CSR: oktaExample(t)}, x509.KeyUsageDigitalSignature},
			"an app": {asIs, ca.Request{Kind: ca.KindApp, CSR: csrFor(t, "Salesforce – EMEA SAML signing")},
				x509.KeyUsageDigitalSignature},
			"an IdP": {asIs, ca.Request{Kind: ca.KindIDP, CSR: csrFor(t, "Contoso, Ltd. (IdP) SAML signing")},
				x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment},
			"by the private key": {privateKey, ca.Request{Kind: ca.KindApp, CSR: csrFor(t, "Wiki")}, x509.KeyUsageDigitalSignature},
			"with a profile": {asIs, ca.Request{Kind: ca.KindApp, CSR: csrFor(t, "Wiki"), Profile: ca.Profile{
				KeyUsage:   x509.KeyUsageContentCommitment,
				Extensions: []pkix.Extension{policies},
				CRLs:       []string{"http://pki.example.com/issuing.crl"},
				OCSP:       []string{"http://ocsp.example.com"},
				CAIssuers:  []string{"http://pki.example.com/issuing.cer"},
			}}, x509.KeyUsageDigitalSignature | x509.KeyUsageContentCommitment},
		} {
			t.Run(title, func(t *testing.T) {
				a := open(t, test.config)
				r := test.r
				r.ValidityDays, r.Now = 397, time.Now()
				got, err := a.Sign(t.Context(), r)
				if err != nil {
					t.Fatal(err)
				}
				if err := ca.Check(got, r, a); err != nil {
					t.Errorf("Check: %v", err)
				}
				csr, err := ca.ParseCSR(r.CSR)
				if err != nil {
					t.Fatal(err)
				}
				leaf := got.Leaf
				if !bytes.Equal(leaf.RawSubject, csr.RawSubject) {
					t.Errorf("the subject is %s, want the CSR's, byte for byte: %s", leaf.Subject, csr.Subject)
				}
				if !slices.Equal(leaf.DNSNames, csr.DNSNames) {
					t.Errorf("DNS names are %q, want the CSR's, %q", leaf.DNSNames, csr.DNSNames)
				}
				if leaf.KeyUsage != test.usage {
					t.Errorf("key usage is %b, want %b", leaf.KeyUsage, test.usage)
				}
				if len(leaf.ExtKeyUsage)+len(leaf.UnknownExtKeyUsage) > 0 || !leaf.BasicConstraintsValid {
					t.Error("it has an extended key usage, or no basicConstraints")
				}
				if d := leaf.NotAfter.Sub(leaf.NotBefore); d != 397*24*time.Hour {
					t.Errorf("it is valid for %v", d)
				}
				p := r.Profile
				if !slices.Equal(leaf.CRLDistributionPoints, p.CRLs) || !slices.Equal(leaf.OCSPServer, p.OCSP) || !slices.Equal(leaf.IssuingCertificateURL, p.CAIssuers) {
					t.Errorf("URLs are %q, %q, %q", leaf.CRLDistributionPoints, leaf.OCSPServer, leaf.IssuingCertificateURL)
				}
				for _, want := range p.Extensions {
					if !slices.ContainsFunc(leaf.Extensions, func(e pkix.Extension) bool {
						return e.Id.Equal(want.Id) && bytes.Equal(e.Value, want.Value)
					}) {
						t.Errorf("extension %v is missing", want.Id)
					}
				}
				if len(got.Chain) != 2 || !bytes.Equal(got.Chain.PEM(), a.Chain().PEM()) {
					t.Errorf("the chain has %d certificates, want intermediate and root", len(got.Chain))
				}
			})
		}
	})

	t.Run("again after a lost answer", func(t *testing.T) {
		a := open(t, asIs)
		r := ca.Request{Kind: ca.KindApp, CSR: csrFor(t, "Wiki"), ValidityDays: 397, Now: time.Now()}
		first, err := a.Sign(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		second, err := a.Sign(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		if first.Leaf.Equal(second.Leaf) {
			t.Error("both certificates are one")
		}
	})

	wrongFingerprint := strings.Repeat("0a", 32)
	for title, test := range map[string]struct {
		config func(*stepca.Config)
		says   []string
	}{
		"wrong password":      {func(c *stepca.Config) { c.Secret = stepSecret(t, "password", "wrong") }, []string{"secret.password"}},
		"unknown provisioner": {func(c *stepca.Config) { c.Provisioner = "nobody" }, []string{`provisioner is "nobody"`}},
		"another's key":       {func(c *stepca.Config) { privateKey(c); c.Provisioner = running.ShortLived }, []string{"secret.key"}},
		"wrong fingerprint":   {func(c *stepca.Config) { c.Fingerprint = wrongFingerprint }, []string{wrongFingerprint, running.Fingerprint}},
	} {
		t.Run(title, func(t *testing.T) {
			_, err := stepca.New(t.Context(), config(test.config))
			expect(t, err, ca.NameMisconfigured, test.says...)
		})
	}

	for title, test := range map[string]struct {
		config func(*stepca.Config)
		cn     string
		name   string
		says   string
	}{
		"the default duration":             {func(c *stepca.Config) { c.Provisioner = running.ShortLived }, "Wiki", ca.NameMisconfigured, "maxTLSCertDuration to 9528h or more"},
		"the default template":             {func(c *stepca.Config) { c.Provisioner = running.Untemplated }, "Wiki", ca.NameMismatch, "certificate.subject"},
		"the default template, and a dash": {func(c *stepca.Config) { c.Provisioner = running.Untemplated }, "Salesforce – EMEA", ca.NameUnavailable, "without the template"},
		"a clock five minutes ahead": {func(c *stepca.Config) { c.Now = func() time.Time { return time.Now().Add(5 * time.Minute) } },
			"Wiki", ca.NameMisconfigured, "clock"},
	} {
		t.Run(title, func(t *testing.T) {
			a := open(t, test.config)
			r := ca.Request{Kind: ca.KindApp, CSR: csrFor(t, test.cn), ValidityDays: 397, Now: time.Now()}
			got, err := a.Sign(t.Context(), r)
			if err == nil {
				err = ca.Check(got, r, a)
			}
			expect(t, err, test.name, test.says)
		})
	}

	t.Run("a stopped CA", func(t *testing.T) {
		a := open(t, asIs)
		running.Stop()
		_, err := a.Sign(t.Context(), ca.Request{Kind: ca.KindApp, CSR: csrFor(t, "Wiki"), ValidityDays: 397, Now: time.Now()})
		expect(t, err, ca.NameUnavailable, running.URL)
		_, err = stepca.New(t.Context(), config(asIs))
		expect(t, err, ca.NameUnavailable, running.URL)
	})
}

func expect(t *testing.T, err error, name string, says ...string) {
	t.Helper()
	var e *ca.Error
	if !errors.As(err, &e) || e.Name != name {
		t.Fatalf("error is %v, want one named %s", err, name)
	}
	for _, text := range says {
		if !strings.Contains(e.Error(), text) {
			t.Errorf("error %q does not mention %q", e, text)
		}
	}
}

func stepSecret(t *testing.T, field string, value any) []byte {
	t.Helper()
	secret, err := json.Marshal(map[string]any{field: value})
	if err != nil {
		t.Fatal(err)
	}
	return secret
}

// csrFor has its subject in an order that Go's own would not give it.
func csrFor(t *testing.T, commonName string) []byte {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	attribute := func(last int, value string) pkix.RelativeDistinguishedNameSET {
		return pkix.RelativeDistinguishedNameSET{{Type: asn1.ObjectIdentifier{2, 5, 4, last}, Value: value}}
	}
	subject, err := asn1.Marshal(pkix.RDNSequence{
		attribute(6, "US"), attribute(8, "California"), attribute(7, "San Francisco"), attribute(10, "Example, Inc."), attribute(3, commonName),
	})
	if err != nil {
		t.Fatal(err)
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{RawSubject: subject}, key)
	if err != nil {
		t.Fatal(err)
	}
	return csr
}

// oktaExample is the CSR of Okta's own documentation, with a subjectAltName.
func oktaExample(t *testing.T) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(projectRoot, "internal/ca/testdata/okta-example.csr.b64"))
	if err != nil {
		t.Fatal(err)
	}
	der, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(string(text)), ""))
	if err != nil {
		t.Fatal(err)
	}
	return der
}
