package manual_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"strings"
	"testing"
	"time"

	"keyturn/internal/ca"
	"keyturn/internal/ca/manual"
)

// bring is what a rotation does with an answer.
func bring(t testing.TB, r ca.Request) (ca.Certificate, error) {
	t.Helper()
	a := newAuthority(t)
	c, err := a.Sign(context.Background(), r)
	if err != nil {
		return c, err
	}
	return c, ca.Check(c, r, a)
}

func TestSignAsksForAPersonFirst(t *testing.T) {
	_, err := newAuthority(t).Sign(context.Background(), request(ca.KindApp, nil))
	var pending *ca.Pending
	if !errors.As(err, &pending) || !pending.Person || pending.Reference != "" {
		t.Fatalf("error is %v, want a Pending for a person", err)
	}
	if !strings.Contains(pending.Error(), "person") {
		t.Errorf("%q does not say that it is a person's turn", pending)
	}
}

// A request that no CA can grant would cost a person days.
func TestSignBothersNobodyWithABadRequest(t *testing.T) {
	r := request(ca.KindApp, nil)
	r.CSR = r.CSR[:100]
	_, err := newAuthority(t).Sign(context.Background(), r)
	named(t, err, ca.NameCSRInvalid)
}

func TestCertificatesThatPeopleBring(t *testing.T) {
	c := example()
	for _, kind := range []string{ca.KindApp, ca.KindIDP} {
		rsaLeaf, ecLeaf := c.issuing.leaf(kind, nil), c.ecIssuing.leaf(kind, nil)
		again := caTemplate("Example Issuing")
		again.NotAfter = again.NotAfter.AddDate(0, 1, 0)
		renewed := c.root.sign(again, c.issuing.key.Public())
		rsaChain, ecChain := ca.Chain{c.issuing.cert, c.root.cert}, ca.Chain{c.ecIssuing.cert, c.ecRoot.cert}
		for title, test := range map[string]struct {
			answer []byte
			chain  ca.Chain
		}{
			"the certificate alone":             {bundle(rsaLeaf), rsaChain},
			"alone, by the other CA":            {bundle(ecLeaf), ecChain},
			"alone, in DER":                     {rsaLeaf.Raw, rsaChain},
			"with the issuing CA":               {bundle(rsaLeaf, c.issuing.cert), rsaChain},
			"with the root and nothing between": {bundle(rsaLeaf, c.root.cert), rsaChain},
			"with the whole chain":              {bundle(ecLeaf, c.ecIssuing.cert, c.ecRoot.cert), ecChain},
			"with the issuing CA's renewed certificate": {
				bundle(rsaLeaf, renewed), ca.Chain{renewed, c.root.cert},
			},
			"by the root itself": {bundle(c.root.leaf(kind, nil)), ca.Chain{c.root.cert}},
		} {
			t.Run(kind+" "+title, func(t *testing.T) {
				got, err := bring(t, request(kind, test.answer))
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(got.Chain.PEM(), test.chain.PEM()) {
					t.Errorf("the chain has %d certificates, want %d, or others", len(got.Chain), len(test.chain))
				}
				if ours, err := newAuthority(t).Issued(got.Leaf); !ours || err != nil {
					t.Errorf("Issued is %v, %v for what it took", ours, err)
				}
			})
		}
	}
}

// Where the configuration ends below the root, so does the chain: nobody has
// said that this root is the company's.
func TestARootThatIsNotConfiguredIsLeftOut(t *testing.T) {
	c := example()
	a, err := manual.New(bundle(c.issuing.cert))
	if err != nil {
		t.Fatal(err)
	}
	r := request(ca.KindApp, bundle(c.issuing.leaf(ca.KindApp, nil), c.issuing.cert, c.root.cert))
	got, err := a.Sign(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Chain) != 1 || !got.Chain[0].Equal(c.issuing.cert) {
		t.Errorf("the chain has %d certificates, want the issuing CA's alone", len(got.Chain))
	}
	if err := ca.Check(got, r, a); err != nil {
		t.Errorf("Check: %v", err)
	}

	// The root's key, certified by a stranger.
	stranger := newRoot("Stranger", p256())
	crossed := stranger.below("Example Root", c.root.key)
	r.Answer = bundle(c.issuing.leaf(ca.KindApp, nil), c.issuing.cert, crossed.cert, stranger.cert)
	got, err = a.Sign(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	e := named(t, ca.Check(got, r, a), ca.NameBadChain)
	if e.Field != "chain.root" || e.Value != "CN=Stranger" {
		t.Errorf("error %q is not about the root", e)
	}
}

func TestWhatIsWrongWithACertificateIsSaidInItsOwnWay(t *testing.T) {
	c := example()
	// Another root with the name of the configured one.
	twin := newRoot("Example Root", p256()).below("Example Issuing", p256())
	crossedRoot := newRoot("Other Root", p256())
	crossed := crossedRoot.below("Example Issuing", c.issuing.key)

	type wrong struct {
		answer      []byte
		name, field string
		says        string
	}
	for _, kind := range []string{ca.KindApp, ca.KindIDP} {
		leaf := c.issuing.leaf(kind, nil)
		with := func(change func(*x509.Certificate)) []byte { return bundle(c.issuing.leaf(kind, change)) }
		dates := func(from, to time.Time) []byte {
			return with(func(cert *x509.Certificate) { cert.NotBefore, cert.NotAfter = from, to })
		}
		cases := map[string]wrong{
			"chain first, leaf last": {
				bundle(c.root.cert, c.issuing.cert, leaf),
				ca.NameWrongOrder, "chain[1]", "put it first",
			},
			"leaf first, root before the issuing CA": {
				bundle(leaf, c.root.cert, c.issuing.cert),
				ca.NameWrongOrder, "chain[0]", "list the issuing CA, then",
			},
			"the CA's certificate alone": {
				bundle(c.issuing.cert),
				ca.NameIsCA, "certificate", "a CA's own certificate",
			},
			"the CA's chain without the leaf": {
				bundle(c.issuing.cert, c.root.cert),
				ca.NameIsCA, "certificate", "the one for the request is missing",
			},
			"a certificate that could sign others": {
				bundle(c.issuing.leaf(kind, func(cert *x509.Certificate) { cert.IsCA = true })),
				ca.NameIsCA, "certificate.basicConstraints", "could issue certificates",
			},
			"a certificate for another key": {
				bundle(c.issuing.leafFor(anotherKey(), kind, nil)),
				ca.NameMismatch, "certificate.publicKey", "another certificate, for CN=Wiki SAML signing",
			},
			"a certificate for another name": {
				with(func(cert *x509.Certificate) { cert.Subject.CommonName = "Mail" }),
				ca.NameMismatch, "certificate.subject", "the request says CN=Wiki",
			},
			"too short": {
				dates(now, now.AddDate(0, 0, 90)),
				ca.NameTooShort, "certificate.notAfter", "Okta rejects 90 days or less",
			},
			"longer than the policy": {
				dates(now, now.AddDate(0, 0, 500)),
				ca.NameTooLong, "certificate.notAfter", "more than the policy's validityDays, 397",
			},
			"expired": {
				dates(now.AddDate(-1, 0, 0), now.AddDate(0, 0, -1)),
				ca.NameExpired, "certificate.notAfter", "it is over",
			},
			"not yet valid": {
				dates(now.Add(time.Hour), now.AddDate(0, 0, 300)),
				ca.NameNotYetValid, "certificate.notBefore", "wait until then",
			},
			"no digitalSignature": {
				with(func(cert *x509.Certificate) { cert.KeyUsage = x509.KeyUsageKeyEncipherment }),
				ca.NameWrongUsage, "certificate.keyUsage", "digitalSignature",
			},
			"SHA-1": {
				with(func(cert *x509.Certificate) { cert.SignatureAlgorithm = x509.SHA1WithRSA }),
				ca.NameWeakSignature, "certificate.signatureAlgorithm", "SHA-256 or better",
			},
			"chain incomplete: the CA that signed is not known, and not there": {
				bundle(c.sub.leaf(kind, nil)),
				ca.NameBadChain, "certificate.issuer", "CN=Example Sub",
			},
			"the CA that signed is not known, and there": {
				bundle(c.sub.leaf(kind, nil), c.sub.cert, c.issuing.cert, c.root.cert),
				ca.NameBadChain, "certificate.issuer", "add this one's certificate to the configuration",
			},
			"chain incomplete: nothing above the issuing CA that the other root certified": {
				bundle(leaf, crossed.cert),
				ca.NameBadChain, "chain", "the certificate of the CA CN=Other Root, which signed CN=Example Issuing, is missing",
			},
			"another root": {
				bundle(leaf, crossed.cert, crossedRoot.cert),
				ca.NameBadChain, "chain.root", "not a root of the configured CA",
			},
			"a CA with the name of ours": {
				bundle(twin.leaf(kind, nil)),
				ca.NameBadChain, "certificate.issuer", "its key did not sign",
			},
			"a certificate that has nothing to do with it in the chain": {
				bundle(leaf, c.ecIssuing.cert, c.issuing.cert),
				ca.NameBadChain, "chain[0]", "did not sign what stands before it",
			},
			"another leaf in the chain": {
				bundle(leaf, c.issuing.leafFor(anotherKey(), kind, nil)),
				ca.NameBadChain, "chain[0].basicConstraints", "not a CA's certificate",
			},
			"the leaf twice": {
				bundle(leaf, leaf),
				ca.NameBadChain, "chain[0]", "listed twice",
			},
		}
		if kind == ca.KindIDP {
			cases["an app's usages for an IdP"] = wrong{
				with(func(cert *x509.Certificate) { cert.KeyUsage = x509.KeyUsageDigitalSignature }),
				ca.NameWrongUsage, "certificate.keyUsage", "decrypts",
			}
		}
		for title, test := range cases {
			t.Run(kind+" "+title, func(t *testing.T) {
				_, err := bring(t, request(kind, test.answer))
				e := named(t, err, test.name)
				if e.Field != test.field || !strings.Contains(e.Error(), test.says) {
					t.Errorf("error %q is of %s and does not say %q of %s", e, e.Field, test.says, test.field)
				}
			})
		}
	}
}

func TestThePolicysProfileHoldsForPeopleToo(t *testing.T) {
	c := example()
	r := request(ca.KindApp, bundle(c.issuing.leaf(ca.KindApp, nil)))
	r.Profile.CRLs = []string{"http://pki.example.com/a.crl"}
	_, err := bring(t, r)
	if e := named(t, err, ca.NameProfile); !strings.Contains(e.Error(), r.Profile.CRLs[0]) {
		t.Errorf("error %q does not name the URL", e)
	}
	r.Answer = bundle(c.issuing.leaf(ca.KindApp, func(cert *x509.Certificate) { cert.CRLDistributionPoints = r.Profile.CRLs }))
	if _, err := bring(t, r); err != nil {
		t.Error(err)
	}
}

func TestAnAnswerThatCannotBeReadIsRefusedBySign(t *testing.T) {
	_, err := newAuthority(t).Sign(context.Background(), request(ca.KindApp, []byte("\n")))
	named(t, err, ca.NameUnreadable)
}

func TestIssuedKnowsTheCertificatesOfEveryConfiguredCA(t *testing.T) {
	c, a := example(), newAuthority(t)
	for title, test := range map[string]struct {
		cert *x509.Certificate
		want bool
	}{
		"first CA":            {c.issuing.leaf(ca.KindApp, nil), true},
		"another CA":          {c.ecIssuing.leaf(ca.KindApp, nil), true},
		"a root":              {c.ecRoot.leaf(ca.KindApp, nil), true},
		"expired":             {c.ecIssuing.leaf(ca.KindApp, func(cert *x509.Certificate) { cert.NotAfter = now.Add(-time.Minute) }), true},
		"not configured":      {c.sub.leaf(ca.KindApp, nil), false},
		"self-signed by Okta": {newRoot("Okta", p256()).cert, false},
	} {
		t.Run(title, func(t *testing.T) {
			if got, err := a.Issued(test.cert); got != test.want || err != nil {
				t.Errorf("Issued is %v, %v; want %v", got, err, test.want)
			}
		})
	}
	_, err := a.Issued(nil)
	named(t, err, ca.NameBadChain)
}

func TestNewTakesChainsInAnyNumber(t *testing.T) {
	c := example()
	old := selfSigned(p256(), func(cert *x509.Certificate) {
		cert.NotBefore, cert.NotAfter = now.AddDate(-9, 0, 0), now.AddDate(-1, 0, 0)
	})
	for title, chain := range map[string]ca.Chain{
		"one CA":              {c.issuing.cert},
		"a root":              {c.root.cert},
		"one chain":           {c.issuing.cert, c.root.cert},
		"two chains":          c.configured(),
		"one that is over":    {c.issuing.cert, c.root.cert, old},
		"two CAs of one root": {c.issuing.cert, c.root.cert, c.sub.cert, c.issuing.cert, c.root.cert},
	} {
		t.Run(title, func(t *testing.T) {
			a, err := manual.New(append([]byte("# the company's CAs\n"), chain.PEM()...))
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(a.Chain().PEM(), chain.PEM()) {
				t.Error("Chain is not what was configured")
			}
		})
	}
}

func TestNewRefuses(t *testing.T) {
	c := example()
	weak := selfSigned(must(rsa.GenerateKey(rand.Reader, 1024)), nil)
	noSigning := selfSigned(p256(), func(cert *x509.Certificate) { cert.KeyUsage = x509.KeyUsageCRLSign })
	for title, test := range map[string]struct {
		chain []byte
		field string
		says  string
	}{
		"nothing":           {nil, "chain", "no certificate in it"},
		"the default value": {[]byte("none"), "chain", "BEGIN CERTIFICATE"},
		"cut off":           {bundle(c.issuing.cert)[:500], "chain", "whole"},
		"a key":             {append(bundle(c.issuing.cert), block("PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(p256())))...), "chain", "not a certificate"},
		"an end entity":     {bundle(c.issuing.cert, c.issuing.leaf(ca.KindApp, nil)), "chain[1].basicConstraints", "CA:TRUE"},
		"no keyCertSign":    {bundle(noSigning), "chain[0].keyUsage", "keyCertSign"},
		"a weak key":        {bundle(c.root.cert, weak), "chain[1].publicKey", "RSA with 1024 bits"},
	} {
		t.Run(title, func(t *testing.T) {
			a, err := manual.New(test.chain)
			if a != nil {
				t.Error("an authority came along with the error")
			}
			e := named(t, err, ca.NameMisconfigured)
			if e.Field != test.field || !strings.Contains(e.Error(), test.says) {
				t.Errorf("error %q is of %s and does not say %q of %s", e, e.Field, test.says, test.field)
			}
		})
	}
}

// What a caller does with the chain changes nothing of the authority.
func TestChainIsACopy(t *testing.T) {
	a := newAuthority(t)
	a.Chain()[0] = nil
	if a.Chain()[0] == nil {
		t.Error("the authority's own list was changed")
	}
}
