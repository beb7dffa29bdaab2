package ca_test

import (
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"keyturn/internal/ca"
)

// flaws are the ways to spoil a good plan, each with the name of its refusal.
// Every plan has at least an issuing CA and a root.
var flaws = map[string]struct {
	name  string
	spoil func(*plan)
}{
	"public key of another request": {ca.NameMismatch, func(p *plan) { p.csrKey = otherRSAKey() }},
	"subject of another target": {ca.NameMismatch, func(p *plan) {
		p.leaf.cert.Subject.CommonName = "Mail SAML signing"
	}},
	"subject in another order": {ca.NameMismatch, func(p *plan) {
		p.leaf.cert.RawSubject = must(asn1.Marshal(pkix.RDNSequence{
			{{Type: asn1.ObjectIdentifier{2, 5, 4, 3}, Value: "Wiki SAML signing"}},
			{{Type: asn1.ObjectIdentifier{2, 5, 4, 10}, Value: "Example, Inc."}},
		}))
	}},
	"is a CA": {ca.NameIsCA, func(p *plan) {
		p.leaf.cert.IsCA, p.leaf.cert.MaxPathLen, p.above[0].cert.MaxPathLen = true, -1, 1
		p.above[1].cert.MaxPathLen = 2
	}},
	"signed with SHA-1": {ca.NameWeakSignature, func(p *plan) {
		p.above[0].key = caRSAKey()
		p.leaf.cert.SignatureAlgorithm = x509.SHA1WithRSA
	}},
	"issuing CA signed with Ed25519": {ca.NameWeakSignature, func(p *plan) { p.above[1].key = edKey() }},
	"issuing CA with Ed25519":        {ca.NameWeakSignature, func(p *plan) { p.above[0].key = edKey() }},
	"issuing CA signed with SHA-1": {ca.NameWeakSignature, func(p *plan) {
		p.above[1].key = otherRSAKey()
		p.above[0].cert.SignatureAlgorithm = x509.SHA1WithRSA
	}},
	"issuing CA with RSA-1024": {ca.NameWeakKey, func(p *plan) { p.above[0].key = weakRSAKey() }},
	"root with P-224":          {ca.NameWeakKey, func(p *plan) { p.above[len(p.above)-1].key = p224Key() }},
	"over a second ago": {ca.NameExpired, func(p *plan) {
		p.leaf.cert.NotBefore, p.leaf.cert.NotAfter = now.AddDate(0, 0, -100), now.Add(-time.Second)
	}},
	"starts in six minutes": {ca.NameNotYetValid, func(p *plan) { p.leaf.cert.NotBefore = now.Add(6 * time.Minute) }},
	"exactly 90 days left":  {ca.NameTooShort, func(p *plan) { p.leaf.cert.NotAfter = now.Add(90 * 24 * time.Hour) }},
	"exactly 90 days from a notBefore within the skew": {ca.NameTooShort, func(p *plan) {
		p.leaf.cert.NotBefore = now.Add(4 * time.Minute)
		p.leaf.cert.NotAfter = p.leaf.cert.NotBefore.Add(90 * 24 * time.Hour)
	}},
	"a day longer than the policy": {ca.NameTooLong, func(p *plan) {
		p.leaf.cert.NotAfter = p.leaf.cert.NotBefore.AddDate(0, 0, p.days+1)
	}},
	"no end to speak of": {ca.NameTooLong, func(p *plan) {
		// RFC 5280, section 4.1.2.5; a time.Duration cannot hold it.
		p.leaf.cert.NotAfter = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
	}},
	"longer than the issuing CA": {ca.NameTooLong, func(p *plan) {
		p.above[0].cert.NotAfter = p.leaf.cert.NotAfter.Add(-time.Second)
	}},
	"longer than the root": {ca.NameTooLong, func(p *plan) {
		p.above[len(p.above)-1].cert.NotAfter = p.leaf.cert.NotAfter.Add(-time.Second)
	}},
	"no digitalSignature": {ca.NameWrongUsage, func(p *plan) { p.leaf.cert.KeyUsage = x509.KeyUsageKeyEncipherment }},
	"with keyCertSign":    {ca.NameWrongUsage, func(p *plan) { p.leaf.cert.KeyUsage |= x509.KeyUsageCertSign }},
	"IdP without keyEncipherment": {ca.NameWrongUsage, func(p *plan) {
		p.kind, p.csrKey, p.leaf.key = ca.KindIDP, rsaKey(), rsaKey()
		p.leaf.cert.KeyUsage = x509.KeyUsageDigitalSignature
	}},
	"no chain": {ca.NameBadChain, func(p *plan) {
		p.rearrange = func(c []*x509.Certificate) []*x509.Certificate { return c[:1] }
	}},
	"issuing CA left out": {ca.NameBadChain, func(p *plan) {
		p.rearrange = func(c []*x509.Certificate) []*x509.Certificate { return slices.Delete(slices.Clone(c), 1, 2) }
	}},
	"leaf twice": {ca.NameBadChain, func(p *plan) {
		p.rearrange = func(c []*x509.Certificate) []*x509.Certificate { return append(c[:1:1], c...) }
	}},
	"a stranger between": {ca.NameBadChain, func(p *plan) {
		stranger, _, _ := goodPlan(ca.KindApp, p256Key(), 100, 1, 0).build()
		p.rearrange = func(c []*x509.Certificate) []*x509.Certificate {
			return slices.Insert(slices.Clone(c), 2, stranger.Chain[0])
		}
	}},
	"signed by somebody else in the CA's name":              {ca.NameBadChain, func(p *plan) { p.leaf.signer = otherRSAKey() }},
	"issuing CA signed by somebody else in the root's name": {ca.NameBadChain, func(p *plan) { p.above[0].signer = otherRSAKey() }},
	"issuer is no CA": {ca.NameBadChain, func(p *plan) {
		p.above[0].cert.IsCA, p.above[0].cert.MaxPathLen, p.above[0].cert.MaxPathLenZero = false, 0, false
	}},
	"issuer without keyCertSign": {ca.NameBadChain, func(p *plan) { p.above[0].cert.KeyUsage = x509.KeyUsageCRLSign }},
	"pathlen of the root":        {ca.NameBadChain, func(p *plan) { p.above[len(p.above)-1].cert.MaxPathLen = 0 }},
	"issuing CA starts tomorrow": {ca.NameBadChain, func(p *plan) { p.above[0].cert.NotBefore = now.AddDate(0, 0, 1) }},
	"a critical extension that nobody knows": {ca.NameBadChain, func(p *plan) {
		p.leaf.cert.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3, 4}, Critical: true, Value: []byte{5, 0}}}
	}},
	"a name that the CA may not use": {ca.NameBadChain, func(p *plan) {
		p.leaf.cert.DNSNames = []string{"example.org"}
		p.above[0].cert.PermittedDNSDomains = []string{"example.com"}
		p.above[0].cert.PermittedDNSDomainsCritical = true
	}},
	"signed by a CA that is not configured": {ca.NameBadChain, func(p *plan) {
		other, _, _ := goodPlan(ca.KindApp, p256Key(), 100, 2, 2).build()
		other.Chain[0], other.Chain[1] = other.Chain[1], other.Chain[0]
		p.trusted = other.Chain
	}},
	"leaf last": {ca.NameWrongOrder, func(p *plan) {
		p.rearrange = func(c []*x509.Certificate) []*x509.Certificate { c = slices.Clone(c); slices.Reverse(c); return c }
	}},
	"root before the issuing CA": {ca.NameWrongOrder, func(p *plan) {
		p.rearrange = func(c []*x509.Certificate) []*x509.Certificate {
			c = slices.Clone(c)
			c[1], c[len(c)-1] = c[len(c)-1], c[1]
			return c
		}
	}},
}

// Not flaws, though a hasty checker might take them for some.
var harmless = map[string]func(*plan){
	"nothing":                          func(*plan) {},
	"starts in four minutes":           func(p *plan) { p.leaf.cert.NotBefore = now.Add(4 * time.Minute) },
	"backdated by an hour":             func(p *plan) { p.leaf.cert.NotBefore = now.Add(-time.Hour) },
	"a second more than 90 days":       func(p *plan) { p.leaf.cert.NotAfter = now.Add(90*24*time.Hour + time.Second) },
	"no key usage extension":           func(p *plan) { p.leaf.cert.KeyUsage = 0 },
	"more usages than needed":          func(p *plan) { p.leaf.cert.KeyUsage |= x509.KeyUsageContentCommitment },
	"an extended key usage":            func(p *plan) { p.leaf.cert.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageEmailProtection} },
	"ends with its CA":                 func(p *plan) { p.above[0].cert.NotAfter = p.leaf.cert.NotAfter },
	"root left out":                    func(p *plan) { p.rearrange = func(c []*x509.Certificate) []*x509.Certificate { return c[:len(c)-1] } },
	"root signed itself by SHA-1":      func(p *plan) { p.above[1].key = otherRSAKey(); p.above[1].cert.SignatureAlgorithm = sha1IfLast(p) },
	"root with P-521":                  func(p *plan) { p.above[len(p.above)-1].key = p521Key() },
	"subject in another encoding":      func(p *plan) { p.leaf.cert.RawSubject = utf8Subject() },
	"CA without pathlen":               func(p *plan) { p.above[0].cert.MaxPathLen = -1 },
	"names besides the subject":        func(p *plan) { p.leaf.cert.DNSNames = []string{"example.com"} },
	"signed with SHA-512 by an RSA CA": func(p *plan) { p.above[0].key = caRSAKey(); p.leaf.cert.SignatureAlgorithm = x509.SHA512WithRSA },
}

func sha1IfLast(p *plan) x509.SignatureAlgorithm {
	if len(p.above) == 2 {
		return x509.SHA1WithRSA
	}
	return 0
}

func utf8Subject() []byte {
	utf8 := func(s string) asn1.RawValue { return asn1.RawValue{Tag: asn1.TagUTF8String, Bytes: []byte(s)} }
	type attribute struct {
		Type  asn1.ObjectIdentifier
		Value asn1.RawValue
	}
	rdn := func(oid asn1.ObjectIdentifier, s string) asn1.RawValue {
		return asn1.RawValue{Tag: asn1.TagSet, IsCompound: true, Bytes: must(asn1.Marshal(attribute{oid, utf8(s)}))}
	}
	return must(asn1.Marshal([]asn1.RawValue{
		rdn(asn1.ObjectIdentifier{2, 5, 4, 10}, "Example, Inc."),
		rdn(asn1.ObjectIdentifier{2, 5, 4, 3}, "Wiki SAML signing"),
	}))
}

// drawPlan makes chains of two or three CAs over every kind of key.
func drawPlan(t *rapid.T) *plan {
	kind := rapid.SampledFrom([]string{ca.KindApp, ca.KindIDP}).Draw(t, "kind")
	keys := []func() crypto.Signer{rsaKey, p256Key, p384Key}
	if kind == ca.KindIDP {
		keys = keys[:1]
	}
	key := keys[rapid.IntRange(0, len(keys)-1).Draw(t, "key")]()
	return goodPlan(kind, key,
		rapid.IntRange(91, 3650).Draw(t, "days"),
		rapid.IntRange(2, 3).Draw(t, "CAs"),
		rapid.IntRange(0, 3).Draw(t, "first CA key"))
}

// plans are made afresh for every case, because a case spoils them.
func plans() []*plan {
	var all []*plan
	for _, depth := range []int{2, 3} {
		all = append(all,
			goodPlan(ca.KindApp, rsaKey(), 397, depth, 0),
			goodPlan(ca.KindApp, p256Key(), 91, depth, 1),
			goodPlan(ca.KindIDP, rsaKey(), 3650, depth, 2))
	}
	return all
}

func TestCheckAccepts(t *testing.T) {
	for title, change := range harmless {
		t.Run(title, func(t *testing.T) {
			for _, p := range plans() {
				change(p)
				if err := ca.Check(p.build()); err != nil {
					t.Errorf("%s, %d CAs: refused: %v", p.kind, len(p.above), err)
				}
			}
		})
	}
}

func TestCheckRefusesWhatIsWrongInOneWay(t *testing.T) {
	for title, flaw := range flaws {
		t.Run(title, func(t *testing.T) {
			for _, p := range plans() {
				flaw.spoil(p)
				named(t, ca.Check(p.build()), flaw.name)
			}
		})
	}
}

// The same, over any plan: a good one passes, and one flaw is enough.
func TestCheckTellsGoodFromSpoiled(t *testing.T) {
	titles := slices.Sorted(maps.Keys(flaws))
	rapid.Check(t, func(t *rapid.T) {
		p := drawPlan(t)
		if err := ca.Check(p.build()); err != nil {
			t.Fatalf("good, but refused: %v", err)
		}
		flaw := flaws[rapid.SampledFrom(titles).Draw(t, "flaw")]
		flaw.spoil(p)
		named(t, ca.Check(p.build()), flaw.name)
	})
}

func TestCheckRefusesNothingAtAll(t *testing.T) {
	_, r, by := goodPlan(ca.KindApp, rsaKey(), 397, 2, 0).build()
	named(t, ca.Check(ca.Certificate{}, r, by), ca.NameBadChain)
}

func TestCheckNeedsAConfiguredCA(t *testing.T) {
	c, r, _ := goodPlan(ca.KindApp, rsaKey(), 397, 2, 0).build()
	named(t, ca.Check(c, r, ca.Chain(nil)), ca.NameMisconfigured)
}
