package ca_test

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"keyturn/internal/ca"
)

func TestIssueAppliesTheProfile(t *testing.T) {
	for _, p := range []*plan{
		goodPlan(ca.KindApp, rsaKey(), 397, 2, 0).withProfile(),
		goodPlan(ca.KindIDP, rsaKey(), 397, 3, 1).withProfile(),
	} {
		t.Run(p.kind, func(t *testing.T) {
			c, r, by := p.build()
			got, err := ca.Issue(p.above[0].key, c.Chain, rand.Reader, r)
			if err != nil {
				t.Fatal(err)
			}
			usage := x509.KeyUsageDigitalSignature | x509.KeyUsageContentCommitment | x509.KeyUsageDataEncipherment
			if p.kind == ca.KindIDP {
				usage |= x509.KeyUsageKeyEncipherment
			}
			if got.Leaf.KeyUsage != usage {
				t.Errorf("key usage is %b, want %b", got.Leaf.KeyUsage, usage)
			}
			for _, want := range r.Profile.Extensions {
				if !slices.ContainsFunc(got.Leaf.Extensions, func(e pkix.Extension) bool { return cmp.Equal(e, want) }) {
					t.Errorf("the certificate has no extension %v", want)
				}
			}
			for title, lists := range map[string][2][]string{
				"CRLs":       {r.Profile.CRLs, got.Leaf.CRLDistributionPoints},
				"OCSP":       {r.Profile.OCSP, got.Leaf.OCSPServer},
				"CA issuers": {r.Profile.CAIssuers, got.Leaf.IssuingCertificateURL},
			} {
				if diff := cmp.Diff(lists[0], lists[1]); diff != "" {
					t.Errorf("%s: %s", title, diff)
				}
			}
			if err := ca.Check(got, r, by); err != nil {
				t.Errorf("Check: %v", err)
			}
		})
	}
}

func TestReservedExtensionsAreThoseThatIssueMakesOrThatAreForCAs(t *testing.T) {
	p := goodPlan(ca.KindApp, rsaKey(), 397, 2, 0)
	p.leaf.cert.DNSNames = []string{"example.com"}
	c, r, _ := p.build()
	r.Profile = ca.Profile{CRLs: []string{"http://pki.example.com/a.crl"}, OCSP: []string{"http://ocsp.example.com"}}
	got, err := ca.Issue(p.above[0].key, c.Chain, rand.Reader, r)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range got.Leaf.Extensions {
		if why, reserved := ca.ReservedExtension(e.Id.String()); !reserved || why == "" {
			t.Errorf("Issue makes %v, and a profile may name it", e.Id)
		}
	}
	for _, oid := range []string{
		"2.5.29.17", // subjectAltName, of requests that have it
		"2.5.29.30", // nameConstraints
		"2.5.29.33", // policyMappings
		"2.5.29.36", // policyConstraints
		"2.5.29.54", // inhibitAnyPolicy
	} {
		if why, reserved := ca.ReservedExtension(oid); !reserved || why == "" {
			t.Errorf("a profile may name %s", oid)
		}
	}
	for _, oid := range []string{"2.5.29.32", "2.5.29.37", "2.5.29.46", "1.3.6.1.4.1.311.21.7", ""} {
		if why, reserved := ca.ReservedExtension(oid); reserved || why != "" {
			t.Errorf("a profile may not name %s: %s", oid, why)
		}
	}
}

func TestAProfileThatCannotBeIsRefused(t *testing.T) {
	null := []byte{5, 0}
	extension := func(value []byte, oid ...int) ca.Profile {
		return ca.Profile{Extensions: []pkix.Extension{{Id: oid, Value: value}}}
	}
	for title, test := range map[string]struct {
		profile ca.Profile
		field   string
		says    string
	}{
		"subjectKeyIdentifier":   {extension(null, 2, 5, 29, 14), "profile.extensions[n].oid", "from the key"},
		"keyUsage":               {extension(null, 2, 5, 29, 15), "profile.extensions[n].oid", "profile's keyUsage"},
		"subjectAltName":         {extension(null, 2, 5, 29, 17), "profile.extensions[n].oid", "the request's"},
		"basicConstraints":       {extension(null, 2, 5, 29, 19), "profile.extensions[n].oid", "no CA"},
		"nameConstraints":        {extension(null, 2, 5, 29, 30), "profile.extensions[n].oid", "for CAs"},
		"cRLDistributionPoints":  {extension(null, 2, 5, 29, 31), "profile.extensions[n].oid", "crlUrls"},
		"authorityKeyIdentifier": {extension(null, 2, 5, 29, 35), "profile.extensions[n].oid", "its own certificate"},
		"policyConstraints":      {extension(null, 2, 5, 29, 36), "profile.extensions[n].oid", "for CAs"},
		"inhibitAnyPolicy":       {extension(null, 2, 5, 29, 54), "profile.extensions[n].oid", "for CAs"},
		"authorityInfoAccess":    {extension(null, 1, 3, 6, 1, 5, 5, 7, 1, 1), "profile.extensions[n].oid", "ocspUrls"},
		"twice the same": {ca.Profile{Extensions: []pkix.Extension{
			{Id: oidOwn, Value: null}, {Id: oidPolicies, Value: null}, {Id: oidOwn, Critical: true, Value: null},
		}}, "profile.extensions[n].oid", "once"},
		"no OID":              {extension(null), "profile.extensions[n].oid", "2.5.29.32"},
		"not an OID":          {extension(null, 9, 9), "profile.extensions[n].oid", "2.5.29.32"},
		"no value":            {extension(nil, 1, 2, 3), "profile.extensions[n].value", "DER"},
		"half a value":        {extension([]byte{0x30, 5, 0}, 1, 2, 3), "profile.extensions[n].value", "DER"},
		"more than one value": {extension([]byte{5, 0, 5, 0}, 1, 2, 3), "profile.extensions[n].value", "DER"},
		"keyCertSign":         {ca.Profile{KeyUsage: x509.KeyUsageCertSign}, "profile.keyUsage", "keyCertSign"},
		"cRLSign":             {ca.Profile{KeyUsage: x509.KeyUsageCRLSign}, "profile.keyUsage", "cRLSign"},
		"CRL without scheme":  {ca.Profile{CRLs: []string{"pki.example.com/a.crl"}}, "profile.crlUrls[n]", "absolute"},
		"empty OCSP URL":      {ca.Profile{OCSP: []string{""}}, "profile.ocspUrls[n]", "absolute"},
		"URL with a space":    {ca.Profile{CRLs: []string{"http://pki.example.com/a b.crl"}}, "profile.crlUrls[n]", "ASCII"},
		"URL with an umlaut":  {ca.Profile{CAIssuers: []string{"http://pki.example.com/ä"}}, "profile.caIssuersUrls[n]", "ASCII"},
	} {
		t.Run(title, func(t *testing.T) {
			c, r, by := goodPlan(ca.KindApp, rsaKey(), 397, 2, 0).build()
			r.Profile = test.profile
			_, err := ca.Issue(caKeys()[0], c.Chain, rand.Reader, r)
			for by, err := range map[string]error{"Issue": err, "Check": ca.Check(c, r, by), "Validate": r.Validate()} {
				refused(t, err, ca.NameProfile, test.field)
				if !strings.Contains(err.Error(), test.says) {
					t.Errorf("%s: error %q does not mention %q", by, err, test.says)
				}
			}
		})
	}
}

func TestIssueSaysThatTheProfileMakesNoCertificate(t *testing.T) {
	c, r, _ := goodPlan(ca.KindApp, rsaKey(), 397, 2, 0).build()
	r.Profile.Extensions = []pkix.Extension{{Id: oidPolicies, Value: []byte{5, 0}}}
	_, err := ca.Issue(caKeys()[0], c.Chain, rand.Reader, r)
	refused(t, err, ca.NameProfile, "profile.extensions")
}

// Whatever the profile, what Issue makes of it passes, and does not pass for
// another profile that asks for more.
func TestIssuedCertificatesFitTheirProfileAlone(t *testing.T) {
	url := rapid.StringMatching(`(http|https|ldap)://[a-z]{1,8}\.example\.com/[A-Za-z0-9,;?=._~-]{0,20}`)
	usages := rapid.SampledFrom([]x509.KeyUsage{
		0, x509.KeyUsageContentCommitment, x509.KeyUsageKeyEncipherment, x509.KeyUsageDataEncipherment, x509.KeyUsageKeyAgreement,
	})
	rapid.Check(t, func(t *rapid.T) {
		p := goodPlan(rapid.SampledFrom([]string{ca.KindApp, ca.KindIDP}).Draw(t, "kind"), rsaKey(), 397, 2, rapid.IntRange(0, 3).Draw(t, "CA"))
		c, r, by := p.build()
		r.Profile = ca.Profile{
			KeyUsage:  usages.Draw(t, "usage") | usages.Draw(t, "another usage"),
			CRLs:      rapid.SliceOfN(url, 0, 3).Draw(t, "CRLs"),
			OCSP:      rapid.SliceOfN(url, 0, 2).Draw(t, "OCSP"),
			CAIssuers: rapid.SliceOfN(url, 0, 2).Draw(t, "CA issuers"),
		}
		for i := range rapid.IntRange(0, 3).Draw(t, "extensions") {
			r.Profile.Extensions = append(r.Profile.Extensions, pkix.Extension{
				Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 99999, i}, Critical: rapid.Bool().Draw(t, "critical"),
				Value: must(asn1.Marshal(rapid.String().Draw(t, "value"))),
			})
		}
		got, err := ca.Issue(p.above[0].key, c.Chain, rand.Reader, r)
		if err != nil {
			t.Fatalf("Issue: %v", err)
		}
		if err := ca.Check(got, r, by); err != nil {
			t.Fatalf("Check: %v", err)
		}
		more := r
		switch rapid.SampledFrom([]string{"CRL", "OCSP", "CA issuers", "extension"}).Draw(t, "more") {
		case "CRL":
			more.Profile.CRLs = append(slices.Clone(r.Profile.CRLs), "http://more.example.org")
		case "OCSP":
			more.Profile.OCSP = append(slices.Clone(r.Profile.OCSP), "http://more.example.org")
		case "CA issuers":
			more.Profile.CAIssuers = append(slices.Clone(r.Profile.CAIssuers), "http://more.example.org")
		case "extension":
			more.Profile.Extensions = append(slices.Clone(r.Profile.Extensions), pkix.Extension{Id: oidPolicies, Value: []byte{5, 0}})
		}
		named(t, ca.Check(got, more, by), ca.NameProfile)
	})
}

// Where the profile does not ask for it, a critical extension is refused; where
// it does, that partners' software must know it is the company's business.
func TestACriticalExtensionIsTakenFromTheProfileAlone(t *testing.T) {
	p := goodPlan(ca.KindApp, rsaKey(), 397, 2, 0).withProfile()
	c, r, by := p.build()
	if len(c.Leaf.UnhandledCriticalExtensions) == 0 {
		t.Fatal("crypto/x509 knows the extension of this test")
	}
	if err := ca.Check(c, r, by); err != nil {
		t.Errorf("refused: %v", err)
	}
	if len(c.Leaf.UnhandledCriticalExtensions) == 0 {
		t.Error("Check changed the certificate")
	}
	r.Profile.Extensions = nil
	refused(t, ca.Check(c, r, by), ca.NameProfile, "certificate.extensions["+oidOwn.String()+"]")
}
