package ca_test

import (
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"keyturn/internal/ca"
)

// flaws are the ways to spoil a good plan, each with the name and the field of
// its refusal; [n] is any place in the list. Every plan has at least an issuing
// CA and a root.
var flaws = map[string]struct {
	name, field string
	spoil       func(*plan)
}{
	"request with RSA-1024": {ca.NameCSRInvalid, "csr.publicKey", func(p *plan) { p.csrKey, p.leaf.key = weakRSAKey(), weakRSAKey() }},
	"request with P-224":    {ca.NameCSRInvalid, "csr.publicKey", func(p *plan) { p.csrKey, p.leaf.key = p224Key(), p224Key() }},
	"request with P-521":    {ca.NameCSRInvalid, "csr.publicKey", func(p *plan) { p.csrKey, p.leaf.key = p521Key(), p521Key() }},
	"request with Ed25519":  {ca.NameCSRInvalid, "csr.publicKey", func(p *plan) { p.csrKey, p.leaf.key = edKey(), edKey() }},
	"IdP's request with P-256": {ca.NameCSRInvalid, "csr.publicKey", func(p *plan) {
		p.kind, p.csrKey, p.leaf.key = ca.KindIDP, p256Key(), p256Key()
	}},
	"90 days asked for": {ca.NameTooShort, "validityDays", func(p *plan) { p.days = 90 }},

	"public key of another request": {ca.NameMismatch, "certificate.publicKey", func(p *plan) { p.csrKey = otherRSAKey() }},
	"subject of another target": {ca.NameMismatch, "certificate.subject", func(p *plan) {
		p.leaf.cert.Subject.CommonName = "Mail SAML signing"
	}},
	"subject in another order": {ca.NameMismatch, "certificate.subject", func(p *plan) {
		p.leaf.cert.RawSubject = must(asn1.Marshal(pkix.RDNSequence{
			{{Type: asn1.ObjectIdentifier{2, 5, 4, 3}, Value: "Wiki SAML signing"}},
			{{Type: asn1.ObjectIdentifier{2, 5, 4, 10}, Value: "Example, Inc."}},
		}))
	}},
	"is a CA": {ca.NameIsCA, "certificate.basicConstraints", func(p *plan) {
		p.leaf.cert.IsCA, p.leaf.cert.MaxPathLen, p.above[0].cert.MaxPathLen = true, -1, 1
		p.above[1].cert.MaxPathLen = 2
	}},
	"CA certificates alone": {ca.NameIsCA, "certificate", rearranged(func(c []*x509.Certificate) []*x509.Certificate { return c[1:] })},

	"signed with SHA-1": {ca.NameWeakSignature, "certificate.signatureAlgorithm", func(p *plan) {
		p.above[0].key = caRSAKey()
		p.leaf.cert.SignatureAlgorithm = x509.SHA1WithRSA
	}},
	"issuing CA signed with Ed25519": {ca.NameWeakSignature, "chain[n].signatureAlgorithm", func(p *plan) { p.above[1].key = edKey() }},
	"issuing CA with Ed25519":        {ca.NameWeakSignature, "certificate.signatureAlgorithm", func(p *plan) { p.above[0].key = edKey() }},
	"issuing CA signed with SHA-1": {ca.NameWeakSignature, "chain[n].signatureAlgorithm", func(p *plan) {
		p.above[1].key = otherRSAKey()
		p.above[0].cert.SignatureAlgorithm = x509.SHA1WithRSA
	}},
	"issuing CA with RSA-1024": {ca.NameWeakKey, "chain[n].publicKey", func(p *plan) { p.above[0].key = weakRSAKey() }},
	"root with P-224":          {ca.NameWeakKey, "chain[n].publicKey", func(p *plan) { p.root().key = p224Key() }},
	"root with P-224, left out": {ca.NameWeakKey, "configured[n].publicKey", func(p *plan) {
		p.root().key = p224Key()
		withoutRoot(p)
	}},

	"over a second ago": {ca.NameExpired, "certificate.notAfter", func(p *plan) {
		p.leaf.cert.NotBefore, p.leaf.cert.NotAfter = now.AddDate(0, 0, -100), now.Add(-time.Second)
	}},
	"starts in six minutes": {ca.NameNotYetValid, "certificate.notBefore", func(p *plan) { p.leaf.cert.NotBefore = now.Add(6 * time.Minute) }},
	"exactly 90 days left":  {ca.NameTooShort, "certificate.notAfter", func(p *plan) { p.leaf.cert.NotAfter = now.Add(90 * 24 * time.Hour) }},
	"exactly 90 days from a notBefore within the skew": {ca.NameTooShort, "certificate.notAfter", func(p *plan) {
		p.leaf.cert.NotBefore = now.Add(4 * time.Minute)
		p.leaf.cert.NotAfter = p.leaf.cert.NotBefore.Add(90 * 24 * time.Hour)
	}},
	"a day longer than the policy": {ca.NameTooLong, "certificate.notAfter", func(p *plan) {
		p.leaf.cert.NotAfter = p.leaf.cert.NotBefore.AddDate(0, 0, p.days+1)
	}},
	"no end to speak of": {ca.NameTooLong, "certificate.notAfter", func(p *plan) {
		// RFC 5280, section 4.1.2.5; a time.Duration cannot hold it.
		p.leaf.cert.NotAfter = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
	}},
	"longer than the issuing CA": {ca.NameTooLong, "chain[n].notAfter", func(p *plan) {
		p.above[0].cert.NotAfter = p.leaf.cert.NotAfter.Add(-time.Second)
	}},
	"longer than the root": {ca.NameTooLong, "chain[n].notAfter", func(p *plan) {
		p.root().cert.NotAfter = p.leaf.cert.NotAfter.Add(-time.Second)
	}},
	"longer than the root, which is left out": {ca.NameTooLong, "configured[n].notAfter", func(p *plan) {
		p.root().cert.NotAfter = p.leaf.cert.NotAfter.Add(-time.Second)
		withoutRoot(p)
	}},

	"no digitalSignature": {ca.NameWrongUsage, "certificate.keyUsage", func(p *plan) {
		p.leaf.cert.KeyUsage &^= x509.KeyUsageDigitalSignature
		p.leaf.cert.KeyUsage |= x509.KeyUsageKeyEncipherment
	}},
	"with keyCertSign": {ca.NameWrongUsage, "certificate.keyUsage", func(p *plan) { p.leaf.cert.KeyUsage |= x509.KeyUsageCertSign }},
	"IdP without keyEncipherment": {ca.NameWrongUsage, "certificate.keyUsage", func(p *plan) {
		p.kind, p.csrKey, p.leaf.key = ca.KindIDP, rsaKey(), rsaKey()
		p.leaf.cert.KeyUsage &^= x509.KeyUsageKeyEncipherment
	}},

	"without a usage of the profile": {ca.NameProfile, "certificate.keyUsage", func(p *plan) {
		p.withProfile().leaf.cert.KeyUsage &^= x509.KeyUsageContentCommitment
	}},
	"without key usage, where the profile has some": {ca.NameProfile, "certificate.keyUsage", func(p *plan) {
		p.withProfile().leaf.cert.KeyUsage = 0
	}},
	"without an extension of the profile": {ca.NameProfile, "certificate.extensions[2.5.29.32]", func(p *plan) {
		c := &p.withProfile().leaf.cert
		c.ExtraExtensions = c.ExtraExtensions[1:]
	}},
	"an extension of the profile with another value": {ca.NameProfile, "certificate.extensions[2.5.29.32].value", func(p *plan) {
		p.withProfile().leaf.cert.ExtraExtensions[0].Value = []byte{0x30, 7, 0x30, 5, 6, 3, 0x2a, 3, 5}
	}},
	"a critical extension of the profile that is not": {ca.NameProfile, "certificate.extensions[1.3.6.1.4.1.99999.1].critical", func(p *plan) {
		p.withProfile().leaf.cert.ExtraExtensions[1].Critical = false
	}},
	"a critical extension where the profile has it otherwise": {ca.NameProfile, "certificate.extensions[2.5.29.32].critical", func(p *plan) {
		p.withProfile().leaf.cert.ExtraExtensions[0].Critical = true
	}},
	"without a CRL of the profile": {ca.NameProfile, "certificate.cRLDistributionPoints", func(p *plan) {
		c := &p.withProfile().leaf.cert
		c.CRLDistributionPoints = c.CRLDistributionPoints[1:]
	}},
	"without OCSP, where the profile has it": {ca.NameProfile, "certificate.authorityInfoAccess.ocsp", func(p *plan) {
		p.withProfile().leaf.cert.OCSPServer = nil
	}},
	"CA issuers elsewhere": {ca.NameProfile, "certificate.authorityInfoAccess.caIssuers", func(p *plan) {
		p.withProfile().leaf.cert.IssuingCertificateURL = []string{"https://pki.example.com/a.cer"}
	}},
	"a critical extension that nobody asked for": {ca.NameProfile, "certificate.extensions[1.2.3.4]", func(p *plan) {
		p.leaf.cert.ExtraExtensions = append(p.leaf.cert.ExtraExtensions, unknownExtension)
	}},

	"no chain": {ca.NameBadChain, "chain", rearranged(func(c []*x509.Certificate) []*x509.Certificate { return c[:1] })},
	"issuing CA left out": {ca.NameBadChain, "chain", rearranged(func(c []*x509.Certificate) []*x509.Certificate {
		return slices.Delete(c, 1, 2)
	})},
	"the CA below the root left out": {ca.NameBadChain, "chain", rearranged(func(c []*x509.Certificate) []*x509.Certificate {
		return slices.Delete(c, len(c)-2, len(c)-1)
	})},
	"leaf twice": {ca.NameBadChain, "chain[n]", rearranged(func(c []*x509.Certificate) []*x509.Certificate {
		return slices.Insert(c, 0, c[0])
	})},
	"root twice": {ca.NameBadChain, "chain[n]", rearranged(func(c []*x509.Certificate) []*x509.Certificate {
		return append(c, c[len(c)-1])
	})},
	"a stranger between": {ca.NameBadChain, "chain[n]", rearranged(func(c []*x509.Certificate) []*x509.Certificate {
		return slices.Insert(c, 2, stranger())
	})},
	"a stranger at the end": {ca.NameBadChain, "chain[n]", rearranged(func(c []*x509.Certificate) []*x509.Certificate {
		return append(c, stranger())
	})},
	"signed by somebody else in the CA's name": {ca.NameBadChain, "certificate.issuer", func(p *plan) { p.leaf.signer = otherRSAKey() }},
	"issuing CA signed by somebody else in the root's name": {ca.NameBadChain, "chain[n]", func(p *plan) {
		p.above[0].signer = otherRSAKey()
	}},
	"issuer is no CA": {ca.NameBadChain, "chain[n].basicConstraints", func(p *plan) {
		p.above[0].cert.IsCA, p.above[0].cert.MaxPathLen, p.above[0].cert.MaxPathLenZero = false, 0, false
	}},
	"issuer without keyCertSign": {ca.NameBadChain, "chain[n].keyUsage", func(p *plan) { p.above[0].cert.KeyUsage = x509.KeyUsageCRLSign }},
	"pathlen of the root":        {ca.NameBadChain, "chain[n].pathlen", func(p *plan) { p.root().cert.MaxPathLen = 0 }},
	"pathlen of the root, which is left out": {ca.NameBadChain, "configured[n].pathlen", func(p *plan) {
		p.root().cert.MaxPathLen = 0
		withoutRoot(p)
	}},
	"issuing CA starts tomorrow": {ca.NameNotYetValid, "chain[n].notBefore", func(p *plan) { p.above[0].cert.NotBefore = now.AddDate(0, 0, 1) }},
	"root starts tomorrow":       {ca.NameNotYetValid, "chain[n].notBefore", func(p *plan) { p.root().cert.NotBefore = now.AddDate(0, 0, 1) }},
	"issuing CA is over":         {ca.NameExpired, "chain[n].notAfter", func(p *plan) { p.above[0].cert.NotAfter = now.Add(-time.Second) }},
	"root is over":               {ca.NameExpired, "chain[n].notAfter", func(p *plan) { p.root().cert.NotAfter = now.Add(-time.Second) }},
	"root is over and left out": {ca.NameExpired, "configured[n].notAfter", func(p *plan) {
		p.root().cert.NotAfter = now.Add(-time.Second)
		withoutRoot(p)
	}},
	"a CA with a critical extension that nobody knows": {ca.NameBadChain, "chain[n].extensions[1.2.3.4]", func(p *plan) {
		p.above[0].cert.ExtraExtensions = []pkix.Extension{unknownExtension}
	}},
	"a root with one, left out": {ca.NameBadChain, "configured[n].extensions[1.2.3.4]", func(p *plan) {
		p.root().cert.ExtraExtensions = []pkix.Extension{unknownExtension}
		withoutRoot(p)
	}},
	"a name that the CA may not use": {ca.NameBadChain, "certificate.subjectAltName", func(p *plan) {
		p.leaf.cert.DNSNames = []string{"example.org"}
		p.above[0].cert.PermittedDNSDomains = []string{"example.com"}
		p.above[0].cert.PermittedDNSDomainsCritical = true
	}},
	"signed by a CA that is not configured": {ca.NameBadChain, "certificate.issuer", func(p *plan) {
		other, _, _ := goodPlan(ca.KindApp, p256Key(), 100, 2, 2).build()
		p.configured = func(ca.Chain) ca.Chain { return ca.Chain{other.Chain[1], other.Chain[0]} }
	}},
	"signed by a CA below the configured one": {ca.NameBadChain, "certificate.issuer", func(p *plan) {
		p.configured = func(c ca.Chain) ca.Chain { return c[1:] }
	}},
	"issuing CA certified by another root": {ca.NameBadChain, "chain.root", (*plan).otherRoot},
	"issuing CA certified by another root, which is left out": {ca.NameBadChain, "chain", func(p *plan) {
		p.otherRoot()
		withoutRoot(p)
	}},

	"leaf last": {ca.NameWrongOrder, "chain[n]", rearranged(func(c []*x509.Certificate) []*x509.Certificate { slices.Reverse(c); return c })},
	"root before the issuing CA": {ca.NameWrongOrder, "chain[n]", rearranged(func(c []*x509.Certificate) []*x509.Certificate {
		c[1], c[len(c)-1] = c[len(c)-1], c[1]
		return c
	})},

	"profile that makes a CA": {ca.NameProfile, "profile.extensions[n].oid", func(p *plan) {
		p.profile.Extensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 19}, Value: []byte{0x30, 0}}}
	}},
}

var unknownExtension = pkix.Extension{Id: asn1.ObjectIdentifier{1, 2, 3, 4}, Critical: true, Value: []byte{5, 0}}

// rearranged spoils what the CA answers with; change may keep its argument.
func rearranged(change func([]*x509.Certificate) []*x509.Certificate) func(*plan) {
	return func(p *plan) {
		p.rearrange = func(c []*x509.Certificate) []*x509.Certificate { return change(slices.Clone(c)) }
	}
}

// withoutRoot is no flaw: the root may be left out.
var withoutRoot = rearranged(func(c []*x509.Certificate) []*x509.Certificate { return c[:len(c)-1] })

// stranger is the certificate of a CA that has nothing to do with any plan.
var stranger = sync.OnceValue(func() *x509.Certificate {
	c, _, _ := goodPlan(ca.KindApp, p256Key(), 100, 1, 0).build()
	return c.Chain[0]
})

// Not flaws, though a hasty checker might take them for some.
var harmless = map[string]func(*plan){
	"nothing":                     func(*plan) {},
	"starts in four minutes":      func(p *plan) { p.leaf.cert.NotBefore = now.Add(4 * time.Minute) },
	"backdated by an hour":        func(p *plan) { p.leaf.cert.NotBefore = now.Add(-time.Hour) },
	"a second more than 90 days":  func(p *plan) { p.leaf.cert.NotAfter = now.Add(90*24*time.Hour + time.Second) },
	"no key usage extension":      func(p *plan) { p.leaf.cert.KeyUsage, p.profile.KeyUsage = 0, 0 },
	"more usages than needed":     func(p *plan) { p.leaf.cert.KeyUsage |= x509.KeyUsageContentCommitment },
	"an extended key usage":       func(p *plan) { p.leaf.cert.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageEmailProtection} },
	"ends with its CA":            func(p *plan) { p.above[0].cert.NotAfter = p.leaf.cert.NotAfter },
	"ends with its root":          func(p *plan) { p.root().cert.NotAfter = p.leaf.cert.NotAfter },
	"root left out":               withoutRoot,
	"root signed itself by SHA-1": func(p *plan) { p.above[1].key = otherRSAKey(); p.above[1].cert.SignatureAlgorithm = sha1IfLast(p) },
	"root with P-521":             func(p *plan) { p.root().key = p521Key() },
	"root without key usage":      func(p *plan) { p.root().cert.KeyUsage = 0 },
	"subject in another encoding": func(p *plan) { p.leaf.cert.RawSubject = utf8Subject() },
	"CA without pathlen":          func(p *plan) { p.above[0].cert.MaxPathLen = -1 },
	"names besides the subject":   func(p *plan) { p.leaf.cert.DNSNames = []string{"example.com"} },
	"a name that the CA may use": func(p *plan) {
		p.leaf.cert.DNSNames = []string{"wiki.example.com"}
		p.above[0].cert.PermittedDNSDomains = []string{"example.com"}
	},
	"signed with SHA-512 by an RSA CA": func(p *plan) { p.above[0].key = caRSAKey(); p.leaf.cert.SignatureAlgorithm = x509.SHA512WithRSA },
	"signed with RSA-PSS":              func(p *plan) { p.above[0].key = caRSAKey(); p.leaf.cert.SignatureAlgorithm = x509.SHA256WithRSAPSS },
	"signed by a CA with P-384":        func(p *plan) { p.above[0].key = p384Key() },
	"an extension that is not critical": func(p *plan) {
		e := unknownExtension
		e.Critical = false
		p.leaf.cert.ExtraExtensions = append(p.leaf.cert.ExtraExtensions, e)
	},
	"root renewed since it was configured": func(p *plan) {
		p.configured = func(c ca.Chain) ca.Chain { return append(c[:len(c)-1:len(c)-1], p.oldRoot()) }
	},
	"root configured before and after it was renewed, and left out": func(p *plan) {
		p.configured = func(c ca.Chain) ca.Chain {
			return append(c[:len(c)-1:len(c)-1], p.oldRoot(), c[len(c)-1])
		}
		withoutRoot(p)
	},
	"configured without its root": func(p *plan) {
		p.configured = func(c ca.Chain) ca.Chain { return c[:len(c)-1] }
		withoutRoot(p)
	},
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

// drawPlan makes chains of two or three CAs over every kind of key, with a
// profile and without.
func drawPlan(t *rapid.T) *plan {
	kind := rapid.SampledFrom([]string{ca.KindApp, ca.KindIDP}).Draw(t, "kind")
	keys := []func() crypto.Signer{rsaKey, p256Key, p384Key}
	if kind == ca.KindIDP {
		keys = keys[:1]
	}
	key := keys[rapid.IntRange(0, len(keys)-1).Draw(t, "key")]()
	p := goodPlan(kind, key,
		rapid.IntRange(91, 3650).Draw(t, "days"),
		rapid.IntRange(2, 3).Draw(t, "CAs"),
		rapid.IntRange(0, 3).Draw(t, "first CA key"))
	if rapid.Bool().Draw(t, "profile") {
		p.withProfile()
	}
	return p
}

// plans are made afresh for every case, because a case spoils them: app and
// IdP, RSA and ECDSA CAs.
func plans() []*plan {
	var all []*plan
	for _, depth := range []int{2, 3} {
		all = append(all,
			goodPlan(ca.KindApp, rsaKey(), 397, depth, 0),
			goodPlan(ca.KindApp, p256Key(), 91, depth, 1).withProfile(),
			goodPlan(ca.KindIDP, rsaKey(), 3650, depth, 2),
			goodPlan(ca.KindIDP, rsaKey(), 397, depth, 0).withProfile())
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

// refused fails unless err has the name and the field.
func refused(t interface {
	Helper()
	Fatalf(string, ...any)
}, err error, name, field string) {
	t.Helper()
	e := named(t, err, name)
	if got := anyPlace.ReplaceAllString(e.Field, "[n]"); got != field {
		t.Fatalf("the field is %s, want %s; the error says: %v", got, field, e)
	}
}

var anyPlace = regexp.MustCompile(`\[\d+\]`)

func TestCheckRefusesWhatIsWrongInOneWay(t *testing.T) {
	for title, flaw := range flaws {
		t.Run(title, func(t *testing.T) {
			for _, p := range plans() {
				flaw.spoil(p)
				refused(t, ca.Check(p.build()), flaw.name, flaw.field)
			}
		})
	}
}

// The same, over any plan: a good one passes, so does one with something
// harmless, and one flaw is enough.
func TestCheckTellsGoodFromSpoiled(t *testing.T) {
	flawTitles := slices.Sorted(maps.Keys(flaws))
	harmlessTitles := slices.Sorted(maps.Keys(harmless))
	rapid.Check(t, func(t *rapid.T) {
		if rapid.Bool().Draw(t, "good") {
			p := drawPlan(t)
			harmless[rapid.SampledFrom(harmlessTitles).Draw(t, "harmless")](p)
			if err := ca.Check(p.build()); err != nil {
				t.Fatalf("good, but refused: %v", err)
			}
			return
		}
		p := drawPlan(t)
		flaw := flaws[rapid.SampledFrom(flawTitles).Draw(t, "flaw")]
		flaw.spoil(p)
		refused(t, ca.Check(p.build()), flaw.name, flaw.field)
	})
}

func TestCheckNamesTheIssuerThatIsMissing(t *testing.T) {
	for title, test := range map[string]struct {
		rearrange func([]*x509.Certificate) []*x509.Certificate
		issuer    string
	}{
		"all":    {func(c []*x509.Certificate) []*x509.Certificate { return c[:1] }, "CN=Example CA A"},
		"lowest": {func(c []*x509.Certificate) []*x509.Certificate { return slices.Delete(c, 1, 2) }, "CN=Example CA A"},
		"middle": {func(c []*x509.Certificate) []*x509.Certificate { return slices.Delete(c, 2, 3) }, "CN=Example CA B"},
	} {
		t.Run(title, func(t *testing.T) {
			p := goodPlan(ca.KindApp, rsaKey(), 397, 3, 0)
			rearranged(test.rearrange)(p)
			e := named(t, ca.Check(p.build()), ca.NameBadChain)
			if !strings.Contains(e.Message, "the CA "+test.issuer+",") {
				t.Errorf("error %q does not name %s", e, test.issuer)
			}
		})
	}
}

func TestCheckRefusesNothingAtAll(t *testing.T) {
	_, r, by := goodPlan(ca.KindApp, rsaKey(), 397, 2, 0).build()
	named(t, ca.Check(ca.Certificate{}, r, by), ca.NameBadChain)
}

func TestCheckNeedsAConfiguredCA(t *testing.T) {
	c, r, _ := goodPlan(ca.KindApp, rsaKey(), 397, 2, 0).build()
	named(t, ca.Check(c, r, ca.Chain(nil)), ca.NameMisconfigured)
}
