package cacert_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"keyturn/internal/ca"
	"keyturn/internal/ca/cacert"
)

// company is a PKI that signs requests: a root, and below it as many CAs as it
// has more keys.
type company struct {
	keys  []*ecdsa.PrivateKey // the root's last
	certs ca.Chain            // the lowest first
}

func newCompany(depth int, change func(i int, c *x509.Certificate)) company {
	p := company{certs: make(ca.Chain, depth)}
	for range depth {
		p.keys = append(p.keys, ecKey())
	}
	for i := depth - 1; i >= 0; i-- {
		c := &x509.Certificate{
			SerialNumber: big.NewInt(int64(100 + i)), Subject: pkix.Name{CommonName: "Example CA " + string(rune('A'+i))},
			NotBefore: now.AddDate(-1, 0, 0), NotAfter: now.AddDate(20, 0, 0),
			IsCA: true, BasicConstraintsValid: true, MaxPathLen: -1, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
			SubjectKeyId: []byte{1, byte(i)},
		}
		if change != nil {
			change(i, c)
		}
		parent, key := c, p.keys[i]
		if i+1 < depth {
			parent, key = p.certs[i+1], p.keys[i+1]
		}
		p.certs[i] = must(x509.ParseCertificate(must(x509.CreateCertificate(rand.Reader, c, parent, p.keys[i].Public(), key))))
	}
	return p
}

// sign does what a root should: it takes over what the request asks for.
func (p company) sign(request *x509.CertificateRequest, change func(*x509.Certificate)) *x509.Certificate {
	c := &x509.Certificate{
		SerialNumber: big.NewInt(7), RawSubject: request.RawSubject,
		NotBefore: now.AddDate(0, 0, -1), NotAfter: now.AddDate(10, 0, 0),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage:     x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		SubjectKeyId: []byte{2, 0},
	}
	for _, e := range request.Extensions {
		if e.Id.String() == "2.5.29.30" {
			c.ExtraExtensions = append(c.ExtraExtensions, e)
		}
	}
	if change != nil {
		change(c)
	}
	return must(x509.ParseCertificate(must(x509.CreateCertificate(rand.Reader, c, p.certs[0], request.PublicKey, p.keys[0]))))
}

var (
	theCompany = sync.OnceValue(func() company { return newCompany(2, nil) })
	theRequest = sync.OnceValue(func() *x509.CertificateRequest { return requestOf(keys["p256"]()) })
)

func requestOf(key crypto.Signer) *x509.CertificateRequest {
	return must(x509.ParseCertificateRequest(must(cacert.Request(key, plan, rand.Reader))))
}

func subjects(chain ca.Chain) (list []string) {
	for _, c := range chain {
		list = append(list, c.Subject.CommonName)
	}
	return list
}

func TestAnAnswerIsAcceptedAndSigns(t *testing.T) {
	p := theCompany()
	ours := p.sign(theRequest(), nil)
	other := newCompany(1, func(_ int, c *x509.Certificate) { c.Subject.CommonName = "Other Root" })
	const reordered = "the answer's certificates were not in order: now each is there once, followed by the one that signed it"
	const noRoot = "the chain ends below the root, CN=Example CA B: partners that check the chain need its certificate from elsewhere"
	whole := []string{"Example SAML Issuing CA", "Example CA A", "Example CA B"}
	for _, test := range []struct {
		title            string
		answer           []*x509.Certificate
		chain            []string
		mended, warnings []string
	}{
		{"in order", []*x509.Certificate{ours, p.certs[0], p.certs[1]}, whole, nil, nil},
		{"root first", []*x509.Certificate{p.certs[1], p.certs[0], ours}, whole, []string{reordered}, nil},
		{"twice the same", []*x509.Certificate{ours, ours, p.certs[0], p.certs[1]}, whole, []string{reordered}, nil},
		{"without the root", []*x509.Certificate{ours, p.certs[0]}, whole[:2], nil, []string{noRoot}},
		{"with another root", []*x509.Certificate{other.certs[0], ours, p.certs[0], p.certs[1]}, whole,
			[]string{"left out, since it is not above the CA: CN=Other Root"}, nil},
		{"longer path", []*x509.Certificate{p.sign(theRequest(), func(c *x509.Certificate) { c.MaxPathLen = 2 }), p.certs[0], p.certs[1]}, whole, nil,
			[]string{"its path length is 2, not 0: it could sign further CAs, 2 deep"}},
		{"no path length", []*x509.Certificate{p.sign(theRequest(), func(c *x509.Certificate) { c.MaxPathLen = -1 }), p.certs[0], p.certs[1]}, whole, nil,
			[]string{"it has no path length: it could sign further CAs, any number deep"}},
		{"no name constraints", []*x509.Certificate{p.sign(theRequest(), func(c *x509.Certificate) { c.ExtraExtensions = nil }), p.certs[0], p.certs[1]}, whole, nil,
			[]string{"the root has left out the name constraints: it could sign for any host and mail address"}},
		{"other name constraints", []*x509.Certificate{p.sign(theRequest(), func(c *x509.Certificate) {
			c.ExtraExtensions, c.ExcludedDNSDomains = nil, []string{"bank.test"}
		}), p.certs[0], p.certs[1]}, whole, nil, []string{"the root has set other name constraints than the request's"}},
		{"another subject", []*x509.Certificate{p.sign(theRequest(), func(c *x509.Certificate) {
			c.RawSubject, c.Subject = nil, pkix.Name{CommonName: "SAML CA 7"}
		}), p.certs[0], p.certs[1]}, []string{"SAML CA 7", "Example CA A", "Example CA B"}, nil,
			[]string{`the root has changed the subject: it was CN=Example SAML Issuing CA,O=Example\, Inc.,C=US, and is CN=SAML CA 7`}},
	} {
		t.Run(test.title, func(t *testing.T) {
			got, err := cacert.Accept(test.answer, theRequest(), now)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range []string{
				cmp.Diff(test.chain, subjects(got.Chain)), cmp.Diff(test.mended, got.Mended), cmp.Diff(test.warnings, got.Warnings),
			} {
				if d != "" {
					t.Errorf("(-want +got)\n%s", d)
				}
			}
			for _, kind := range []string{ca.KindApp, ca.KindIDP} {
				if err := issue(keys["p256"](), got.Chain, kind, okta(leafKey(), nil)); err != nil {
					t.Errorf("a certificate for an %s: %v", kind, err)
				}
			}
		})
	}
}

func TestAnswersAreRefused(t *testing.T) {
	p := theCompany()
	good := p.sign(theRequest(), nil)
	impostor := newCompany(2, nil) // the same names, other keys
	with := func(change func(*x509.Certificate)) []*x509.Certificate {
		return append([]*x509.Certificate{p.sign(theRequest(), change)}, p.certs...)
	}
	under := func(change func(int, *x509.Certificate)) []*x509.Certificate {
		q := newCompany(2, change)
		return append([]*x509.Certificate{q.sign(theRequest(), nil)}, q.certs...)
	}
	for _, test := range []struct {
		title, name, field string
		answer             []*x509.Certificate
	}{
		{"for another key", ca.NameMismatch, "answer", append([]*x509.Certificate{p.sign(requestOf(ecKey()), nil)}, p.certs...)},
		{"the root alone", ca.NameMismatch, "answer", p.certs},
		{"not a CA", ca.NameMisconfigured, "answer", with(func(c *x509.Certificate) { c.IsCA, c.MaxPathLenZero = false, false })},
		{"without basicConstraints", ca.NameMisconfigured, "answer", with(func(c *x509.Certificate) { c.BasicConstraintsValid = false })},
		{"without keyCertSign", ca.NameMisconfigured, "answer", with(func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageDigitalSignature })},
		{"without key usage", ca.NameMisconfigured, "answer", with(func(c *x509.Certificate) { c.KeyUsage = 0 })},
		{"the issuer missing", ca.NameBadChain, "answer.issuer", []*x509.Certificate{good, p.certs[1]}},
		{"alone", ca.NameBadChain, "answer.issuer", []*x509.Certificate{good}},
		{"an issuer of the same name and another key", ca.NameBadChain, "answer.issuer", append([]*x509.Certificate{good}, impostor.certs...)},
		{"expired", ca.NameExpired, "notAfter", with(func(c *x509.Certificate) { c.NotBefore, c.NotAfter = now.AddDate(-2, 0, 0), now.AddDate(-1, 0, 0) })},
		{"90 days left", ca.NameTooShort, "notAfter", with(func(c *x509.Certificate) { c.NotAfter = now.AddDate(0, 0, 90) })},
		{"not valid yet", ca.NameNotYetValid, "notBefore", with(func(c *x509.Certificate) { c.NotBefore = now.AddDate(0, 0, 1) })},
		{"an expired root", ca.NameExpired, "notAfter", under(func(i int, c *x509.Certificate) {
			if i == 1 {
				c.NotAfter = now.AddDate(0, 0, -1)
			}
		})},
		{"a path length that leaves no room", ca.NameMisconfigured, "chain[1]", under(func(i int, c *x509.Certificate) {
			if i == 0 {
				c.MaxPathLen, c.MaxPathLenZero = 0, true
			}
		})},
		{"a path length of the root that leaves no room", ca.NameMisconfigured, "chain[2]", under(func(i int, c *x509.Certificate) {
			if i == 1 {
				c.MaxPathLen = 1
			}
		})},
		{"a critical extension that nobody knows", ca.NameBadChain, "answer", with(func(c *x509.Certificate) {
			c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 99999, 1}, Critical: true, Value: []byte{5, 0}})
		})},
	} {
		t.Run(test.title, func(t *testing.T) {
			_, err := cacert.Accept(test.answer, theRequest(), now)
			named(t, err, test.name, test.field)
		})
	}
	if _, err := cacert.Accept(with(func(c *x509.Certificate) { c.NotAfter = now.AddDate(0, 0, 91) }), theRequest(), now); err != nil {
		t.Errorf("91 days left: %v", err)
	}
}

// Whatever the company's PKI looks like: what is accepted can sign for Okta.
func TestWhatIsAcceptedSigns(t *testing.T) {
	key, csr := keys["p256"](), okta(leafKey(), nil)
	accepted := 0
	rapid.Check(t, func(rt *rapid.T) {
		days := rapid.SampledFrom([]int{-1, 30, 90, 91, 120, 400, 4000})
		pathLen := rapid.SampledFrom([]int{-1, -1, 0, 1, 2, 3})
		usage := rapid.SampledFrom([]x509.KeyUsage{x509.KeyUsageCertSign, x509.KeyUsageCertSign, x509.KeyUsageCertSign | x509.KeyUsageCRLSign, 0, x509.KeyUsageDigitalSignature})
		often := rapid.SampledFrom([]bool{true, true, true, true, true, true, true, false})
		vary := func(what string, c *x509.Certificate) {
			c.NotAfter = now.AddDate(0, 0, days.Draw(rt, what+" days"))
			c.NotBefore = c.NotAfter.AddDate(0, 0, -5000)
			c.MaxPathLen = pathLen.Draw(rt, what+" path length")
			c.MaxPathLenZero = c.MaxPathLen == 0
			c.KeyUsage = usage.Draw(rt, what+" key usage")
			c.IsCA = often.Draw(rt, what+" is a CA")
			if !c.IsCA {
				c.MaxPathLen, c.MaxPathLenZero = -1, false
			}
		}
		p := newCompany(rapid.IntRange(1, 3).Draw(rt, "depth"), func(_ int, c *x509.Certificate) {
			vary(c.Subject.CommonName, c)
			c.IsCA = true // or crypto/x509 refuses to sign with it
		})
		answer := append([]*x509.Certificate{p.sign(theRequest(), func(c *x509.Certificate) { vary("ours", c) })}, p.certs...)
		answer = rapid.Permutation(answer).Draw(rt, "order")
		if !often.Draw(rt, "whole") {
			answer = answer[1:]
		}
		if len(answer) == 0 {
			return
		}
		got, err := cacert.Accept(answer, theRequest(), now)
		if err != nil {
			return
		}
		accepted++
		if err := issue(key, got.Chain, ca.KindIDP, csr); err != nil {
			rt.Fatal(err)
		}
		for _, c := range got.Chain {
			if !slices.ContainsFunc(answer, c.Equal) {
				rt.Errorf("%s comes from nowhere", c.Subject)
			}
		}
	})
	if accepted == 0 {
		t.Error("nothing was accepted: the property says nothing")
	}
}
