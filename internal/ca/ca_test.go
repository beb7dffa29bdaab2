package ca_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"keyturn/internal/ca"
)

var wiki = pkix.Name{CommonName: "Wiki SAML signing"}

func TestParseCSRTakesOktasExample(t *testing.T) {
	csr, err := ca.ParseCSR(oktaCSR())
	if err != nil {
		t.Fatal(err)
	}
	if got := csr.Subject.CommonName; got != "SP Issuer" {
		t.Errorf("commonName is %q, want SP Issuer", got)
	}
}

func TestParseCSRRefuses(t *testing.T) {
	withByteFlipped := func(der []byte, find string) []byte {
		der = bytes.Clone(der)
		der[bytes.Index(der, []byte(find))] ^= 1
		return der
	}
	good := newCSR(rsaKey(), wiki)
	for title, test := range map[string]struct {
		der  []byte
		says string
	}{
		"nothing":              {nil, "0 bytes"},
		"noise":                {[]byte{1, 2, 3}, "PKCS#10"},
		"PEM":                  {pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: good}), "decode it first"},
		"base64":               {[]byte("MIIC4DCCAcgCAQAwcTELMAkG"), "decode it first"},
		"half of it":           {good[:len(good)/2], "PKCS#10"},
		"more after it":        {append(bytes.Clone(good), 0), "PKCS#10"},
		"changed subject":      {withByteFlipped(good, "Wiki"), "csr.signature"},
		"changed Okta example": {withByteFlipped(oktaCSR(), "SP Issuer"), "csr.signature"},
		"RSA-1024":             {newCSR(weakRSAKey(), wiki), "RSA with 1024 bits"},
		"P-224":                {newCSR(p224Key(), wiki), "P-224"},
		"P-521":                {newCSR(p521Key(), wiki), "P-521"},
		"Ed25519":              {newCSR(edKey(), wiki), "ed25519"},
		"no subject":           {newCSR(rsaKey(), pkix.Name{}), "commonName"},
	} {
		t.Run(title, func(t *testing.T) {
			_, err := ca.ParseCSR(test.der)
			if e := named(t, err, ca.NameCSRInvalid); !strings.Contains(e.Error(), test.says) {
				t.Errorf("error %q does not mention %q", e, test.says)
			}
		})
	}
}

func TestIssuedKnowsTheCAsOwnCertificates(t *testing.T) {
	ours, _, _ := goodPlan(ca.KindApp, rsaKey(), 397, 2, 0).build()
	theirs, _, _ := goodPlan(ca.KindApp, rsaKey(), 397, 2, 1).build() // the same names, other keys
	expired := goodPlan(ca.KindApp, rsaKey(), 397, 2, 0)
	expired.leaf.cert.NotBefore, expired.leaf.cert.NotAfter = now.AddDate(-2, 0, 0), now.AddDate(-1, 0, 0)
	old, _, _ := expired.build()
	sha1 := goodPlan(ca.KindApp, rsaKey(), 397, 2, 0)
	sha1.leaf.cert.SignatureAlgorithm = x509.SHA1WithRSA
	weak, _, _ := sha1.build()
	selfSigned, _, _ := goodPlan(ca.KindApp, rsaKey(), 397, 0, 0).build()

	for title, test := range map[string]struct {
		cert *x509.Certificate
		want bool
	}{
		"signed by it":                        {ours.Leaf, true},
		"signed by it, expired":               {old.Leaf, true},
		"signed by it, but with SHA-1":        {weak.Leaf, false},
		"signed by another CA of this name":   {theirs.Leaf, false},
		"self-signed, as Okta generates it":   {selfSigned.Leaf, false},
		"signed by the CA above":              {ours.Chain[0], false},
		"the CA above, which it did not sign": {ours.Chain[1], false},
	} {
		t.Run(title, func(t *testing.T) {
			got, err := ours.Chain.Issued(test.cert)
			if err != nil || got != test.want {
				t.Errorf("Issued is %v, %v; want %v", got, err, test.want)
			}
		})
	}
	_, err := ours.Chain.Issued(nil)
	named(t, err, ca.NameBadChain)
	_, err = ca.Chain(nil).Issued(ours.Leaf)
	named(t, err, ca.NameMisconfigured)
}

func TestAboveFindsTheChainAmongOthers(t *testing.T) {
	c, _, _ := goodPlan(ca.KindApp, rsaKey(), 397, 3, 0).build()
	other, _, _ := goodPlan(ca.KindApp, rsaKey(), 397, 3, 2).build()
	for title, test := range map[string]struct {
		among ca.Chain
		want  ca.Chain
	}{
		"in order":              {c.Chain, c.Chain},
		"after another chain":   {slices.Concat(other.Chain, c.Chain), c.Chain},
		"in no order":           {ca.Chain{c.Chain[2], other.Chain[0], c.Chain[0], c.Chain[1]}, c.Chain},
		"without the root":      {c.Chain[:2], c.Chain[:2]},
		"listed twice":          {slices.Concat(c.Chain, c.Chain), c.Chain},
		"without the issuer":    {c.Chain[1:], nil},
		"nothing":               {nil, nil},
		"others of these names": {other.Chain, nil},
	} {
		t.Run(title, func(t *testing.T) {
			if got := test.among.Above(c.Leaf); !bytes.Equal(got.PEM(), test.want.PEM()) {
				t.Errorf("the chain has %d certificates, want %d, or others", len(got), len(test.want))
			}
		})
	}
}

// Two companies that merge certify each other's CAs.
func TestAboveEndsWhereCAsCertifyEachOther(t *testing.T) {
	p := goodPlan(ca.KindApp, rsaKey(), 397, 3, 0)
	c, _, _ := p.build()
	// above[1] certified above[0], and now above[0] certifies above[1].
	back := p.above[1].cert
	der := must(x509.CreateCertificate(rand.Reader, &back, c.Chain[0], p.above[1].key.Public(), p.above[0].key))
	among := ca.Chain{c.Chain[0], must(x509.ParseCertificate(der))}
	if got := among.Above(c.Leaf); !bytes.Equal(got.PEM(), among.PEM()) {
		t.Errorf("the chain has %d certificates, want both once", len(got))
	}
}

func TestBundleSurvivesPEM(t *testing.T) {
	c, r, by := goodPlan(ca.KindApp, rsaKey(), 397, 3, 0).build()
	text := append([]byte("subject=whatever openssl prints before it\n"), c.PEM()...)
	got, err := ca.ParseCertificate(text)
	if err != nil {
		t.Fatal(err)
	}
	if !got.Leaf.Equal(c.Leaf) || !bytes.Equal(got.Chain.PEM(), c.Chain.PEM()) {
		t.Error("the bundle is not what it was")
	}
	if err := ca.Check(got, r, by); err != nil {
		t.Error(err)
	}
	if block, rest := pem.Decode(c.LeafPEM()); len(rest) > 0 || !bytes.Equal(block.Bytes, c.Leaf.Raw) {
		t.Error("LeafPEM is not the leaf alone")
	}
}

func TestParseChainRefuses(t *testing.T) {
	c, _, _ := goodPlan(ca.KindApp, rsaKey(), 397, 2, 0).build()
	good := string(c.Chain.PEM())
	key := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("secret-words")})
	for title, list := range map[string]string{
		"nothing":             "",
		"text":                "chain",
		"a private key":       good + string(key),
		"a damaged block":     strings.Replace(good, "\nMII", "\n!!!", 1),
		"a cut off block":     good[:len(good)-40],
		"a block of nonsense": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")})),
	} {
		t.Run(title, func(t *testing.T) {
			_, err := ca.ParseChain([]byte(list))
			if e := named(t, err, ca.NameBadChain); strings.Contains(e.Error(), "secret-words") {
				t.Errorf("error %q quotes the key", e)
			}
		})
	}
}

func TestCheckIssuer(t *testing.T) {
	tests := map[string]struct {
		spoil func(*plan)
		key   crypto.Signer // of the CA, unless it is above[0]'s
		says  string        // empty: accepted
	}{
		"as it should be":           {spoil: func(*plan) {}},
		"expired, which Issue sees": {spoil: func(p *plan) { p.above[0].cert.NotAfter = now.Add(-1) }},
		"another CA's key":          {spoil: func(*plan) {}, key: otherRSAKey(), says: "not the certificate of the CA's key"},
		"end entity": {spoil: func(p *plan) {
			c := &p.above[0].cert
			c.IsCA, c.MaxPathLen, c.MaxPathLenZero = false, 0, false
		}, says: "basicConstraints"},
		"no keyCertSign":    {spoil: func(p *plan) { p.above[0].cert.KeyUsage = x509.KeyUsageCRLSign }, says: "keyCertSign"},
		"no keyUsage":       {spoil: func(p *plan) { p.above[0].cert.KeyUsage = 0 }, says: "keyCertSign"},
		"root: no keyUsage": {spoil: func(p *plan) { p.above[1].cert.KeyUsage = 0 }},
		"pathlen":           {spoil: func(p *plan) { p.above[1].cert.MaxPathLen = 0 }, says: "pathlen allows 0 CAs below it, and there are 1"},
		"weak":              {spoil: func(p *plan) { p.above[0].key = weakRSAKey() }, says: "1024"},
		"weak root":         {spoil: func(p *plan) { p.above[1].key = p224Key() }, says: "P-224"},
		"wrong order": {spoil: func(p *plan) {
			p.rearrange = func(c []*x509.Certificate) []*x509.Certificate { return []*x509.Certificate{c[0], c[2], c[1]} }
		}, says: "not the certificate of the CA's key"},
		"root that did not sign": {spoil: func(p *plan) { p.above[0].signer = otherRSAKey() }, says: "not signed by the next"},
	}
	for title, test := range tests {
		t.Run(title, func(t *testing.T) {
			p := goodPlan(ca.KindApp, rsaKey(), 397, 2, 0)
			test.spoil(p)
			c, _, _ := p.build()
			key := test.key
			if key == nil {
				key = p.above[0].key
			}
			err := c.Chain.CheckIssuer(key.Public())
			if test.says == "" {
				if err != nil {
					t.Errorf("refused: %v", err)
				}
				return
			}
			if e := named(t, err, ca.NameMisconfigured); !strings.Contains(e.Error(), test.says) {
				t.Errorf("error %q does not mention %q", e, test.says)
			}
		})
	}
	named(t, ca.Chain(nil).CheckIssuer(rsaKey().Public()), ca.NameMisconfigured)
}

func TestErrorsKeepTheirNameAndCauseWhenWrapped(t *testing.T) {
	cause := errors.New("connection refused")
	err := fmt.Errorf("sign-csr: %w", &ca.Error{
		Name: ca.NameUnavailable, Field: "signature", Value: "a\nb", Message: "no answer", Remedy: "try again", Err: cause,
	})
	e := named(t, err, ca.NameUnavailable)
	if !errors.Is(err, cause) {
		t.Error("the cause is lost")
	}
	if got, want := e.Error(), `signature is "a\nb": no answer: connection refused; try again`; got != want {
		t.Errorf("text is %q, want %q", got, want)
	}
}

func TestErrorsCutLongValuesShort(t *testing.T) {
	e := &ca.Error{Field: "csr.subject", Value: strings.Repeat("ä", 5000)}
	if n := len(e.Error()); n > 1000 {
		t.Errorf("text has %d bytes", n)
	}
}

func TestPendingIsFoundThroughAWrap(t *testing.T) {
	err := fmt.Errorf("sign-csr: %w", &ca.Pending{Reference: "arn:aws:acm-pca:…/certificate/1"})
	var p *ca.Pending
	if !errors.As(err, &p) || p.ErrorName() != ca.NamePending || !strings.Contains(err.Error(), p.Reference) {
		t.Errorf("%v is not recognised as pending", err)
	}
}

// failing is a signer, or a source of randomness, that is out of order.
type failing struct {
	crypto.Signer
	err error
}

func (f failing) Sign(_ io.Reader, _ []byte, _ crypto.SignerOpts) ([]byte, error) { return nil, f.err }
func (f failing) Read([]byte) (int, error)                                        { return 0, f.err }

func TestIssueReportsAFailingSigner(t *testing.T) {
	c, r, _ := goodPlan(ca.KindApp, rsaKey(), 397, 2, 0).build()
	key := caKeys()[0]
	cause := errors.New("throttled")

	_, err := ca.Issue(failing{key, cause}, c.Chain, rand.Reader, r)
	if named(t, err, ca.NameUnavailable); !errors.Is(err, cause) {
		t.Errorf("%v lost its cause", err)
	}
	_, err = ca.Issue(failing{key, &ca.Error{Name: ca.NameMisconfigured, Field: "key", Remedy: "enable it"}}, c.Chain, rand.Reader, r)
	named(t, err, ca.NameMisconfigured)

	_, err = ca.Issue(key, c.Chain, failing{err: cause}, r)
	named(t, err, ca.NameUnavailable)
	_, err = ca.Issue(key, c.Chain, bytes.NewReader(make([]byte, 64)), r)
	named(t, err, ca.NameUnavailable)
}

func TestIssueRefusesAKeyOfAnotherCA(t *testing.T) {
	c, r, _ := goodPlan(ca.KindApp, rsaKey(), 397, 2, 0).build()
	_, err := ca.Issue(otherRSAKey(), c.Chain, rand.Reader, r)
	named(t, err, ca.NameMisconfigured)
}

func TestIssueEndsWithTheFirstCAOfTheChainToEnd(t *testing.T) {
	for shortest := range 3 {
		p := goodPlan(ca.KindApp, rsaKey(), 100, 3, 0)
		end := now.AddDate(0, 0, 150)
		p.above[shortest].cert.NotAfter = end
		c, r, by := p.build()
		r.ValidityDays = 397
		got, err := ca.Issue(p.above[0].key, c.Chain, rand.Reader, r)
		if err != nil {
			t.Fatal(err)
		}
		if !got.Leaf.NotAfter.Equal(end) {
			t.Errorf("chain[%d] ends at %v, the certificate at %v", shortest, end, got.Leaf.NotAfter)
		}
		if err := ca.Check(got, r, by); err != nil {
			t.Error(err)
		}
	}
}
