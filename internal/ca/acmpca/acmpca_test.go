package acmpca_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awspca "github.com/aws/aws-sdk-go-v2/service/acmpca"
	"github.com/aws/aws-sdk-go-v2/service/acmpca/types"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"keyturn/internal/ca"
	"keyturn/internal/ca/acmpca"
	"keyturn/internal/ca/acmpca/acmpcatest"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const (
	day       = 24 * time.Hour
	templates = "arn:aws:acm-pca:::template/"
)

// Keys are made once for all tests: RSA keys take long under the race detector.
var (
	rsaKey  = sync.OnceValue(func() crypto.Signer { return must(rsa.GenerateKey(rand.Reader, 2048)) })
	p256Key = sync.OnceValue(func() crypto.Signer { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) })
	p384Key = sync.OnceValue(func() crypto.Signer { return must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader)) })
	p521Key = sync.OnceValue(func() crypto.Signer { return must(ecdsa.GenerateKey(elliptic.P521(), rand.Reader)) })
	rootKey = sync.OnceValue(func() crypto.Signer { return must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader)) })
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

type tester interface {
	Helper()
	Fatalf(string, ...any)
}

// named fails unless err is an error of this name that is fit for a person and
// gives away nothing of the credentials.
func named(t tester, err error, name string) *ca.Error {
	t.Helper()
	var e *ca.Error
	if !errors.As(err, &e) {
		t.Fatalf("error is %v (%T), want a *ca.Error named %s", err, err, name)
	}
	if e.Name != name || e.Field == "" || e.Remedy == "" || strings.Contains(e.Error(), acmpcatest.SessionToken) {
		t.Fatalf("error is named %s, want %s, with field and remedy and without the session token; it says: %v", e.Name, name, e)
	}
	return e
}

func pending(t tester, err error) *ca.Pending {
	t.Helper()
	var p *ca.Pending
	if !errors.As(err, &p) || p.Reference == "" || p.After <= 0 || p.Person {
		t.Fatalf("error is %v (%T), want a *ca.Pending with reference and time", err, err)
	}
	return p
}

func oktaCSR() []byte {
	text := must(os.ReadFile("../testdata/okta-example.csr.b64"))
	return must(base64.StdEncoding.DecodeString(strings.Join(strings.Fields(string(text)), "")))
}

func newCSR(name string) []byte {
	return must(x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: name}}, p256Key()))
}

// chainFor is a CA of two levels; the issuing one has this key.
func chainFor(key crypto.Signer, change func(issuing *x509.Certificate)) ca.Chain {
	template := func(name string, pathLen int) *x509.Certificate {
		return &x509.Certificate{
			SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, SubjectKeyId: []byte(name),
			NotBefore: now.AddDate(-1, 0, 0), NotAfter: now.AddDate(9, 0, 0),
			KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, BasicConstraintsValid: true, IsCA: true,
			MaxPathLen: pathLen, MaxPathLenZero: true,
		}
	}
	root := template("Example Root", 1)
	root = must(x509.ParseCertificate(must(x509.CreateCertificate(rand.Reader, root, root, rootKey().Public(), rootKey()))))
	issuing := template("Example Issuing", 0)
	if change != nil {
		change(issuing)
	}
	return ca.Chain{must(x509.ParseCertificate(must(x509.CreateCertificate(rand.Reader, issuing, root, key.Public(), rootKey())))), root}
}

// newPCA is a service whose clock stands still, with one CA.
func newPCA(t testing.TB, key crypto.Signer) (p *acmpcatest.PCA, arn string) {
	t.Helper()
	p = acmpcatest.New(t)
	p.SetClock(func() time.Time { return now })
	return p, p.AddCA(key, chainFor(key, nil))
}

func client(p *acmpcatest.PCA) *awspca.Client { return awspca.NewFromConfig(p.Config()) }

func newAuthority(t testing.TB, p *acmpcatest.PCA, arn, template string) *acmpca.Authority {
	t.Helper()
	c := acmpca.Config{ARN: arn}
	if template != "" {
		c.TemplateARN = templates + template
	}
	a, err := acmpca.New(t.Context(), client(p), c)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func request(kind string) ca.Request {
	return ca.Request{CSR: oktaCSR(), Kind: kind, ValidityDays: 397, Now: now}
}

// issue asks until the certificate is there, as the state machine does.
func issue(ctx context.Context, t tester, a *acmpca.Authority, r ca.Request) ca.Certificate {
	t.Helper()
	for range 3 {
		c, err := a.Sign(ctx, r)
		if err == nil {
			return c
		}
		r.Reference = pending(t, err).Reference
	}
	t.Fatalf("still pending after 3 calls")
	return ca.Certificate{}
}

func TestOktasRequestIsSigned(t *testing.T) {
	for algorithm, key := range map[x509.SignatureAlgorithm]func() crypto.Signer{
		x509.SHA256WithRSA: rsaKey, x509.ECDSAWithSHA256: p256Key, x509.ECDSAWithSHA384: p384Key,
	} {
		for kind, usage := range map[string]x509.KeyUsage{
			ca.KindApp: x509.KeyUsageDigitalSignature,
			ca.KindIDP: x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		} {
			t.Run(algorithm.String()+" "+kind, func(t *testing.T) {
				p, arn := newPCA(t, key())
				a := newAuthority(t, p, arn, "")
				r := request(kind)
				got := issue(t.Context(), t, a, r)
				if err := ca.Check(got, r, a); err != nil {
					t.Errorf("Check: %v", err)
				}
				leaf := got.Leaf
				if leaf.SignatureAlgorithm != algorithm {
					t.Errorf("signed with %s, want %s", leaf.SignatureAlgorithm, algorithm)
				}
				if leaf.KeyUsage != usage || len(leaf.ExtKeyUsage) > 0 || !leaf.BasicConstraintsValid || leaf.IsCA {
					t.Errorf("key usage is %b, want %b; extended: %v; CA: %v", leaf.KeyUsage, usage, leaf.ExtKeyUsage, leaf.IsCA)
				}
				if !slices.Equal(leaf.DNSNames, []string{"dev.okta.com"}) {
					t.Errorf("DNS names are %q, want the CSR's", leaf.DNSNames)
				}
				if from, left := leaf.NotBefore.Sub(now), leaf.NotAfter.Sub(now); from != -time.Hour || left != 397*day {
					t.Errorf("valid from %v to %v", from, left)
				}
				verify(t, got)
				if !bytes.Equal(a.Chain().PEM(), got.Chain.PEM()) {
					t.Error("Chain is not the certificate's")
				}
				if issued, err := a.Issued(leaf); err != nil || !issued {
					t.Errorf("Issued is %v, %v", issued, err)
				}
			})
		}
	}
}

func verify(t testing.TB, c ca.Certificate) {
	t.Helper()
	opts := x509.VerifyOptions{Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}
	opts.Roots.AddCert(c.Chain[len(c.Chain)-1])
	opts.Intermediates.AddCert(c.Chain[0])
	if _, err := c.Leaf.Verify(opts); err != nil {
		t.Errorf("crypto/x509: %v", err)
	}
}

func operations(p *acmpcatest.PCA) []string {
	var names []string
	for _, c := range p.Calls() {
		names = append(names, c.Operation)
	}
	return names
}

func TestTheFunctionNeverWaits(t *testing.T) {
	p, arn := newPCA(t, p256Key())
	a := newAuthority(t, p, arn, "")
	p.SetInProgress(2)
	r := request(ca.KindApp)

	_, err := a.Sign(t.Context(), r)
	first := pending(t, err)
	if !strings.HasPrefix(first.Reference, arn+"/certificate/") {
		t.Errorf("the reference is %q, want the certificate's ARN", first.Reference)
	}
	r.Reference = first.Reference
	for range 2 {
		_, err := a.Sign(t.Context(), r)
		if again := pending(t, err); again.Reference != first.Reference {
			t.Errorf("the reference became %q", again.Reference)
		}
	}
	if _, err := a.Sign(t.Context(), r); err != nil {
		t.Error(err)
	}
	want := []string{"GetCertificateAuthorityCertificate", "IssueCertificate", "GetCertificate", "GetCertificate", "GetCertificate"}
	if diff := cmp.Diff(want, operations(p)); diff != "" {
		t.Errorf("each call is one of AWS (-want +got):\n%s", diff)
	}
}

func lastIssue(t testing.TB, p *acmpcatest.PCA) map[string]any {
	t.Helper()
	calls := p.Calls()
	var in map[string]any
	if err := json.Unmarshal([]byte(calls[len(calls)-1].Body), &in); err != nil || calls[len(calls)-1].Operation != "IssueCertificate" {
		t.Fatalf("the last call was %v, %v", calls[len(calls)-1].Operation, err)
	}
	return in
}

func TestWhatAWSIsAskedFor(t *testing.T) {
	p, arn := newPCA(t, rsaKey())
	a := newAuthority(t, p, arn, "")
	r := request(ca.KindIDP)
	_, err := a.Sign(t.Context(), r)
	pending(t, err)
	in := lastIssue(t, p)
	token, _ := in["IdempotencyToken"].(string)
	if !regexp.MustCompile(`^[0-9a-f]{36}$`).MatchString(token) {
		t.Errorf("the token is %q", token)
	}
	delete(in, "IdempotencyToken")
	want := map[string]any{
		"CertificateAuthorityArn": arn,
		"Csr":                     base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: r.CSR})),
		"SigningAlgorithm":        "SHA256WITHRSA",
		"TemplateArn":             "arn:aws:acm-pca:::template/BlankEndEntityCertificate_CriticalBasicConstraints_APIPassthrough/V1",
		"Validity":                map[string]any{"Type": "DAYS", "Value": 397.0},
		"ApiPassthrough": map[string]any{"Extensions": map[string]any{
			"KeyUsage": map[string]any{"DigitalSignature": true, "KeyEncipherment": true},
		}},
	}
	if diff := cmp.Diff(want, in); diff != "" {
		t.Errorf("request (-want +got):\n%s", diff)
	}
}

func TestARepeatedRequestGetsTheSameCertificate(t *testing.T) {
	p, arn := newPCA(t, p256Key())
	a := newAuthority(t, p, arn, "")
	clock := now
	p.SetClock(func() time.Time { return clock })
	r := request(ca.KindApp)
	_, err := a.Sign(t.Context(), r)
	first := pending(t, err).Reference

	// Another attempt, in another process, a little later.
	clock, r.Now = clock.Add(4*time.Minute), r.Now.Add(4*time.Minute)
	_, err = newAuthority(t, p, arn, "").Sign(t.Context(), r)
	if again := pending(t, err).Reference; again != first || p.Issued(arn) != 1 {
		t.Errorf("asked again: %s, then %s; %d issued", first, again, p.Issued(arn))
	}
	clock, r.Now = clock.Add(time.Minute), r.Now.Add(time.Minute)
	_, err = a.Sign(t.Context(), r)
	if later := pending(t, err).Reference; later == first {
		t.Error("after five minutes it is still the same certificate")
	}
}

func TestDifferentRequestsDoNotCollide(t *testing.T) {
	p, arn := newPCA(t, p256Key())
	other := p.AddCA(p256Key(), chainFor(p256Key(), func(c *x509.Certificate) { c.Subject.CommonName = "Other Issuing" }))
	policy := pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 32}, Value: []byte{0x30, 6, 0x30, 4, 6, 2, 0x2a, 3}}
	critical := policy
	critical.Critical = true
	type asked struct {
		arn, template string
		change        func(*ca.Request)
	}
	all := map[string]asked{
		"as it is":             {arn, "", func(*ca.Request) {}},
		"another CSR":          {arn, "", func(r *ca.Request) { r.CSR = newCSR("Wiki SAML signing") }},
		"another name":         {arn, "", func(r *ca.Request) { r.CSR = newCSR("Mail SAML signing") }},
		"another CA":           {other, "", func(*ca.Request) {}},
		"another kind":         {arn, "", func(r *ca.Request) { r.Kind = ca.KindIDP }},
		"another template":     {arn, "BlankEndEntityCertificate_APIPassthrough/V1", func(*ca.Request) {}},
		"a day more":           {arn, "", func(r *ca.Request) { r.ValidityDays++ }},
		"until the CA ends":    {arn, "", func(r *ca.Request) { r.ValidityDays = 36500 }},
		"another usage":        {arn, "", func(r *ca.Request) { r.Profile.KeyUsage = x509.KeyUsageContentCommitment }},
		"an extension":         {arn, "", func(r *ca.Request) { r.Profile.Extensions = []pkix.Extension{policy} }},
		"a critical extension": {arn, "", func(r *ca.Request) { r.Profile.Extensions = []pkix.Extension{critical} }},
		"a CRL":                {arn, "", func(r *ca.Request) { r.Profile.CRLs = []string{"http://pki.example.com/a"} }},
		"another CRL":          {arn, "", func(r *ca.Request) { r.Profile.CRLs = []string{"http://pki.example.com/b"} }},
		"OCSP":                 {arn, "", func(r *ca.Request) { r.Profile.OCSP = []string{"http://pki.example.com/a"} }},
		"an issuer":            {arn, "", func(r *ca.Request) { r.Profile.CAIssuers = []string{"http://pki.example.com/a"} }},
	}
	references, tokens := map[string]string{}, map[string]string{}
	for title, one := range all {
		r := request(ca.KindApp)
		one.change(&r)
		_, err := newAuthority(t, p, one.arn, one.template).Sign(t.Context(), r)
		reference, token := pending(t, err).Reference, lastIssue(t, p)["IdempotencyToken"].(string)
		if earlier, taken := references[reference]; taken {
			t.Errorf("%q gets the certificate of %q", title, earlier)
		}
		if earlier, taken := tokens[token]; taken {
			t.Errorf("%q has the token of %q", title, earlier)
		}
		references[reference], tokens[token] = title, title
	}
}

func TestValidityNearTheCAsOwnDates(t *testing.T) {
	for title, test := range map[string]struct {
		caFrom, caLeft time.Duration // before, after now
		want           string        // type of the validity
		wantLeft       time.Duration // from now
		refused        string
	}{
		"CA outlives it":                {day, 500 * day, "DAYS", 397 * day, ""},
		"CA outlives it by six minutes": {day, 397*day + 6*time.Minute, "DAYS", 397 * day, ""},
		// While the call is on its way the relative end could pass the CA's.
		"CA outlives it by a minute":      {day, 397*day + time.Minute, "ABSOLUTE", 397*day + time.Minute - time.Second, ""},
		"CA ends with it":                 {day, 397 * day, "ABSOLUTE", 397*day - time.Second, ""},
		"CA ends first":                   {day, 200 * day, "ABSOLUTE", 200*day - time.Second, ""},
		"CA is a minute old":              {time.Minute, 500 * day, "DAYS", 397 * day, ""},
		"CA has just enough over 90 days": {day, 90*day + 2*time.Second, "ABSOLUTE", 90*day + time.Second, ""},
		"CA has hardly more than 90 days": {day, 90*day + time.Second, "", 0, ca.NameTooShort},
		"CA has a day left":               {day, day, "", 0, ca.NameTooShort},
		"CA is over":                      {day, -time.Second, "", 0, ca.NameMisconfigured},
		"CA starts in a minute":           {-time.Minute, 500 * day, "", 0, ca.NameMisconfigured},
	} {
		t.Run(title, func(t *testing.T) {
			p := acmpcatest.New(t)
			p.SetClock(func() time.Time { return now })
			arn := p.AddCA(p256Key(), chainFor(p256Key(), func(c *x509.Certificate) {
				c.NotBefore, c.NotAfter = now.Add(-test.caFrom), now.Add(test.caLeft)
			}))
			a := newAuthority(t, p, arn, "")
			r := request(ca.KindApp)
			_, err := a.Sign(t.Context(), r)
			if test.refused != "" {
				if e := named(t, err, test.refused); !strings.Contains(e.Remedy, "renew the CA") || p.Issued(arn) != 0 {
					t.Errorf("error %q does not say to renew the CA, or AWS was asked", e)
				}
				return
			}
			pending(t, err)
			if got := lastIssue(t, p)["Validity"].(map[string]any)["Type"]; got != test.want {
				t.Errorf("the validity is %v, want %s", got, test.want)
			}
			got := issue(t.Context(), t, a, r)
			if left := got.Leaf.NotAfter.Sub(now); left != test.wantLeft {
				t.Errorf("it ends in %v, want %v", left, test.wantLeft)
			}
			if err := ca.Check(got, r, a); err != nil {
				t.Errorf("Check: %v", err)
			}
		})
	}
}

func TestACertificateEndsBeforeWhateverEndsAboveIt(t *testing.T) {
	p := acmpcatest.New(t)
	p.SetClock(func() time.Time { return now })
	// The root ends in nine years, the issuing CA later.
	arn := p.AddCA(p256Key(), chainFor(p256Key(), func(c *x509.Certificate) { c.NotAfter = now.AddDate(20, 0, 0) }))
	a := newAuthority(t, p, arn, "")
	r := request(ca.KindApp)
	r.ValidityDays = 5000
	if got, want := issue(t.Context(), t, a, r).Leaf.NotAfter, now.AddDate(9, 0, 0).Add(-time.Second); !got.Equal(want) {
		t.Errorf("it ends at %v, want %v", got, want)
	}
}

// endEntityTemplates are all that AWS has for end entities.
var endEntityTemplates = func() []string {
	var all []string
	for _, name := range []string{"EndEntityCertificate", "EndEntityClientAuthCertificate", "EndEntityServerAuthCertificate", "BlankEndEntityCertificate", "BlankEndEntityCertificate_CriticalBasicConstraints"} {
		for _, passthrough := range []string{"", "_APIPassthrough", "_CSRPassthrough", "_APICSRPassthrough"} {
			if passthrough != "" || !strings.HasPrefix(name, "Blank") {
				all = append(all, name+passthrough+"/V1")
			}
		}
	}
	return all
}()

func TestEveryTemplateForEndEntitiesWorks(t *testing.T) {
	for _, template := range endEntityTemplates {
		for _, kind := range []string{ca.KindApp, ca.KindIDP} {
			t.Run(template+" "+kind, func(t *testing.T) {
				p, arn := newPCA(t, p256Key())
				a, r := newAuthority(t, p, arn, template), request(kind)
				if err := ca.Check(issue(t.Context(), t, a, r), r, a); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

func TestTemplatesThatWillNotDoAreRefused(t *testing.T) {
	p, arn := newPCA(t, p256Key())
	before := len(p.Calls())
	for title, template := range map[string]string{
		"a CA":                    templates + "SubordinateCACertificate_PathLen0/V1",
		"a CA, blank":             templates + "BlankSubordinateCACertificate_PathLen0_APIPassthrough/V1",
		"a root":                  templates + "RootCACertificate/V1",
		"code signing":            templates + "CodeSigningCertificate/V1",
		"OCSP":                    templates + "OCSPSigningCertificate_APIPassthrough/V1",
		"of another partition":    "arn:aws-us-gov:acm-pca:::template/EndEntityCertificate/V1",
		"no version":              templates + "EndEntityCertificate",
		"blank, no passthrough":   templates + "BlankEndEntityCertificate/V1",
		"another critical one":    templates + "EndEntityCertificate_CriticalBasicConstraints_APIPassthrough/V1",
		"a name instead of ARN":   "EndEntityCertificate/V1",
		"something else in front": "x" + templates + "EndEntityCertificate/V1",
	} {
		_, err := acmpca.New(t.Context(), client(p), acmpca.Config{ARN: arn, TemplateARN: template})
		if e := named(t, err, ca.NameMisconfigured); e.Field != "templateArn" {
			t.Errorf("%s: %v", title, e)
		}
	}
	if got := len(p.Calls()) - before; got != 0 {
		t.Errorf("AWS was called %d times", got)
	}
}

func TestTheDefaultTemplateIsInTheCAsPartition(t *testing.T) {
	p, _ := newPCA(t, p256Key())
	for _, test := range []struct{ arn, template string }{
		{"arn:aws-us-gov:acm-pca:us-gov-west-1:123456789012:certificate-authority/1", "arn:aws-us-gov:acm-pca:::template/EndEntityCertificate/V1"},
		{"arn:aws-us-gov:acm-pca:us-gov-west-1:123456789012:certificate-authority/1", ""},
	} {
		_, err := acmpca.New(t.Context(), client(p), acmpca.Config{ARN: test.arn, TemplateARN: test.template})
		// The simulated service has no such CA; the template was taken.
		if e := named(t, err, ca.NameMisconfigured); e.Field != "certificateAuthority" {
			t.Errorf("%s with template %q: %v", test.arn, test.template, e)
		}
	}
}

// drawProfile makes profiles that an app or IdP may have.
func drawProfile(t *rapid.T) ca.Profile {
	var p ca.Profile
	for _, usage := range []x509.KeyUsage{x509.KeyUsageDigitalSignature, x509.KeyUsageContentCommitment, x509.KeyUsageKeyEncipherment, x509.KeyUsageDataEncipherment, x509.KeyUsageKeyAgreement} {
		if rapid.IntRange(0, 3).Draw(t, "usage") == 0 {
			p.KeyUsage |= usage
		}
	}
	for _, e := range []pkix.Extension{
		{Id: asn1.ObjectIdentifier{2, 5, 29, 32}, Value: must(asn1.Marshal([]struct{ ID asn1.ObjectIdentifier }{{asn1.ObjectIdentifier{1, 2, 3}}}))},
		{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Value: must(asn1.Marshal([]asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 4}}))},
		{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 99999, 1}, Value: must(asn1.MarshalWithParams(rapid.String().Draw(t, "text"), "utf8"))},
	} {
		if rapid.IntRange(0, 3).Draw(t, "extension") == 0 {
			p.Extensions = append(p.Extensions, e)
		}
	}
	urls := func(label string) []string {
		return rapid.SliceOfN(rapid.StringMatching(`https?://pki\.example\.com/[a-z]{1,8}\.(crl|cer)`), 0, 2).Draw(t, label)
	}
	if rapid.Bool().Draw(t, "revocation") {
		p.CRLs, p.OCSP, p.CAIssuers = urls("CRLs"), urls("OCSP"), urls("CA issuers")
	}
	return p
}

// Either the certificate says all that the profile asks for, or nothing was
// asked of AWS.
func TestAProfileIsCarriedWholeOrRefused(t *testing.T) {
	p, arn := newPCA(t, p256Key())
	authorities := map[string]*acmpca.Authority{}
	for _, template := range endEntityTemplates {
		authorities[template] = newAuthority(t, p, arn, template)
	}
	rapid.Check(t, func(t *rapid.T) {
		template := rapid.SampledFrom(endEntityTemplates).Draw(t, "template")
		r := request(rapid.SampledFrom([]string{ca.KindApp, ca.KindIDP}).Draw(t, "kind"))
		r.Profile = drawProfile(t)
		before := p.Issued(arn)
		_, err := authorities[template].Sign(t.Context(), r)
		var wait *ca.Pending
		if !errors.As(err, &wait) {
			if e := named(t, err, ca.NameProfile); !strings.HasPrefix(e.Field, "profile.") || p.Issued(arn) != before {
				t.Fatalf("%v; %d issued", e, p.Issued(arn)-before)
			}
			return
		}
		if err := ca.Check(issue(t.Context(), t, authorities[template], r), r, authorities[template]); err != nil {
			t.Fatalf("%s did not carry it, and AWS was asked: %v", template, err)
		}
	})
}

func many(n int) ca.Profile {
	var p ca.Profile
	for i := range n {
		p.Extensions = append(p.Extensions, pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 99999, i}, Value: []byte{5, 0}})
	}
	return p
}

func TestWhichTemplateCarriesWhat(t *testing.T) {
	extension := func(oid ...int) ca.Profile {
		return ca.Profile{Extensions: []pkix.Extension{{Id: oid, Value: []byte{5, 0}}}}
	}
	const (
		blank    = "BlankEndEntityCertificate_CriticalBasicConstraints_APIPassthrough/V1"
		fixed    = "EndEntityCertificate_APIPassthrough/V1"
		plain    = "EndEntityCertificate/V1"
		blankCSR = "BlankEndEntityCertificate_CSRPassthrough/V1"
		uncrit   = "BlankEndEntityCertificate_APIPassthrough/V1"
	)
	profiles := map[string]struct {
		profile ca.Profile
		refused []string
	}{
		"nothing":            {ca.Profile{}, nil},
		"what is set anyway": {ca.Profile{KeyUsage: x509.KeyUsageKeyEncipherment}, []string{blankCSR}},
		"further usage":      {ca.Profile{KeyUsage: x509.KeyUsageContentCommitment}, []string{fixed, plain, blankCSR}},
		"an extension":       {extension(1, 3, 6, 1, 4, 1, 99999, 1), []string{plain, blankCSR}},
		"extended key usage": {ca.Profile{Extensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Value: must(asn1.Marshal([]asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 4}}))}}}, []string{fixed, plain, blankCSR}},
		"CRL":                {ca.Profile{CRLs: []string{"http://pki.example.com/crl"}}, []string{fixed, plain, blankCSR, uncrit}},
		"OCSP":               {ca.Profile{OCSP: []string{"http://pki.example.com/"}}, []string{plain, blankCSR}},
		"CA issuers":         {ca.Profile{CAIssuers: []string{"http://pki.example.com/ca"}}, []string{plain, blankCSR}},
		// What AWS's API cannot express.
		"OID that is too long":   {extension(append([]int{1, 3}, slices.Repeat([]int{123456789}, 7)...)...), []string{blank, fixed, plain, blankCSR, uncrit}},
		"OID under 2.999":        {extension(2, 999, 1), []string{blank, fixed, plain, blankCSR, uncrit}},
		"value of 3073 bytes":    {ca.Profile{Extensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3}, Value: must(asn1.Marshal(make([]byte, 3069)))}}}, []string{blank, fixed, plain, blankCSR, uncrit}},
		"value of 3072 bytes":    {ca.Profile{Extensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3}, Value: must(asn1.Marshal(make([]byte, 3068)))}}}, []string{plain, blankCSR}},
		"150 extensions":         {many(150), []string{plain, blankCSR}},
		"151 extensions":         {many(151), []string{blank, fixed, plain, blankCSR, uncrit}},
		"CRLs that are too long": {ca.Profile{CRLs: []string{"http://pki.example.com/" + strings.Repeat("x", 3100)}}, []string{blank, fixed, plain, blankCSR, uncrit}},
	}
	p, arn := newPCA(t, p256Key())
	for _, template := range []string{blank, fixed, plain, blankCSR, uncrit} {
		a := newAuthority(t, p, arn, template)
		for title, test := range profiles {
			r := request(ca.KindApp)
			r.Profile = test.profile
			_, err := a.Sign(t.Context(), r)
			var wait *ca.Pending
			if taken := errors.As(err, &wait); taken == slices.Contains(test.refused, template) {
				t.Errorf("%s with %s: %v", title, template, err)
			}
			if wait == nil {
				named(t, err, ca.NameProfile)
			}
		}
	}
}

func TestNewRefusesCAsThatCannotSignForPartners(t *testing.T) {
	p, arn := newPCA(t, p256Key())
	waiting := p.AddCA(p256Key(), chainFor(p256Key(), nil))
	p.SetStatus(waiting, types.CertificateAuthorityStatusPendingCertificate)
	good := chainFor(p256Key(), nil)
	for title, test := range map[string]struct{ arn, says string }{
		"no ARN":            {"", "certificateAuthorityArn"},
		"of another kind":   {"arn:aws:acm:eu-west-1:123456789012:certificate/1", "certificateAuthorityArn"},
		"of a certificate":  {arn + "/certificate/1", "certificateAuthorityArn"},
		"not there":         {strings.Replace(arn, "/0", "/9", 1), "exists"},
		"not installed":     {waiting, "install its certificate"},
		"P-521":             {p.AddCA(p521Key(), chainFor(p521Key(), nil)), "EC_prime256v1"},
		"end entity":        {p.AddCA(p256Key(), chainFor(p256Key(), func(c *x509.Certificate) { c.IsCA, c.MaxPathLenZero = false, false })), "basicConstraints"},
		"no keyCertSign":    {p.AddCA(p256Key(), chainFor(p256Key(), func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCRLSign })), "keyCertSign"},
		"chain upside down": {p.AddCA(p256Key(), ca.Chain{good[1], good[0]}), "not signed by the next"},
	} {
		t.Run(title, func(t *testing.T) {
			a, err := acmpca.New(t.Context(), client(p), acmpca.Config{ARN: test.arn})
			if e := named(t, err, ca.NameMisconfigured); a != nil || !strings.Contains(e.Error(), test.says) {
				t.Errorf("got %v, %v, want an error that mentions %q", a, e, test.says)
			}
		})
	}
	root := p.AddCA(rootKey(), good[1:])
	if a := newAuthority(t, p, root, ""); len(a.Chain()) != 1 {
		t.Errorf("the chain of a root CA is %d certificates long", len(a.Chain()))
	}
}

func TestErrorsOfPrivateCAAreNamed(t *testing.T) {
	for code, test := range map[string]struct{ name, says string }{
		"AccessDeniedException":           {ca.NameMisconfigured, "allow acm-pca:"},
		"ResourceNotFoundException":       {ca.NameMisconfigured, "exists"},
		"InvalidArnException":             {ca.NameMisconfigured, "exists"},
		"InvalidSignatureException":       {ca.NameMisconfigured, "credentials"},
		"UnrecognizedClientException":     {ca.NameMisconfigured, "credentials"},
		"ThrottlingException":             {ca.NameUnavailable, "try again"},
		"TooManyRequestsException":        {ca.NameUnavailable, "try again"},
		"ConcurrentModificationException": {ca.NameUnavailable, "try again"},
		"InternalFailure":                 {ca.NameUnavailable, "try again"},
		"ServiceUnavailable":              {ca.NameUnavailable, "try again"},
		acmpcatest.NoAnswer:               {ca.NameUnavailable, "no answer"},
	} {
		t.Run(code, func(t *testing.T) {
			p, arn := newPCA(t, p256Key())
			a, r := newAuthority(t, p, arn, ""), request(ca.KindApp)
			_, err := a.Sign(t.Context(), r)
			asked := r
			asked.Reference = pending(t, err).Reference
			p.Fail(code)

			for call, do := range map[string]func() error{
				"acm-pca:IssueCertificate": func() error { _, err := a.Sign(t.Context(), r); return err },
				"acm-pca:GetCertificate":   func() error { _, err := a.Sign(t.Context(), asked); return err },
				"acm-pca:GetCertificateAuthorityCertificate": func() error {
					_, err := acmpca.New(t.Context(), client(p), acmpca.Config{ARN: arn})
					return err
				},
			} {
				if e := named(t, do(), test.name); !strings.Contains(e.Error(), test.says) || !strings.Contains(e.Error(), call+" ended with "+code) || !strings.Contains(e.Error(), arn) {
					t.Errorf("error %q does not mention %q, the call %s and the CA", e, test.says, call)
				}
			}
		})
	}
}

// stub answers with one error, as the service words it.
type stub struct {
	acmpca.Client
	err error
}

func (s stub) IssueCertificate(context.Context, *awspca.IssueCertificateInput, ...func(*awspca.Options)) (*awspca.IssueCertificateOutput, error) {
	return nil, s.err
}

func TestWhatAWSSaysAboutARequestIsPassedOn(t *testing.T) {
	const said = "The certificate validity specified exceeds the certificate authority validity"
	for name, test := range map[string]struct {
		err  error
		name string
		says string
	}{
		"arguments": {&types.InvalidArgsException{Message: aws.String(said)}, ca.NameMisconfigured, "SHORT_LIVED_CERTIFICATE"},
		"state":     {&types.InvalidStateException{Message: aws.String(said)}, ca.NameMisconfigured, "ACTIVE"},
		"quota":     {&types.LimitExceededException{Message: aws.String(said)}, ca.NameMisconfigured, "quota"},
		"CSR":       {&types.MalformedCSRException{Message: aws.String(said)}, ca.NameCSRInvalid, "generate another one"},
	} {
		t.Run(name, func(t *testing.T) {
			p, arn := newPCA(t, p256Key())
			a, err := acmpca.New(t.Context(), stub{client(p), test.err}, acmpca.Config{ARN: arn})
			if err != nil {
				t.Fatal(err)
			}
			_, err = a.Sign(t.Context(), request(ca.KindApp))
			if e := named(t, err, test.name); !strings.Contains(e.Error(), said) || !strings.Contains(e.Error(), test.says) || !strings.Contains(e.Error(), arn) {
				t.Errorf("error %q does not mention what AWS says, %q and the CA", e, test.says)
			}
		})
	}
}

func TestACAThatIsSwitchedOffSignsNoLonger(t *testing.T) {
	for _, status := range []types.CertificateAuthorityStatus{types.CertificateAuthorityStatusDisabled, types.CertificateAuthorityStatusExpired, types.CertificateAuthorityStatusDeleted} {
		p, arn := newPCA(t, p256Key())
		a := newAuthority(t, p, arn, "")
		p.SetStatus(arn, status)
		_, err := a.Sign(t.Context(), request(ca.KindApp))
		if e := named(t, err, ca.NameMisconfigured); !strings.Contains(e.Error(), "ACTIVE") || !strings.Contains(e.Error(), string(status)) {
			t.Errorf("%s: %v", status, e)
		}
	}
}

func TestARequestThatFailsAtAWSSaysWhy(t *testing.T) {
	p, arn := newPCA(t, p256Key())
	a, r := newAuthority(t, p, arn, ""), request(ca.KindApp)
	p.FailIssues("The private key of the CA is gone")
	_, err := a.Sign(t.Context(), r)
	r.Reference = pending(t, err).Reference
	_, err = a.Sign(t.Context(), r)
	pending(t, err)
	_, err = a.Sign(t.Context(), r)
	if e := named(t, err, ca.NameMisconfigured); !strings.Contains(e.Error(), "The private key of the CA is gone") {
		t.Errorf("error %q does not give the reason", e)
	}
}

func TestReferencesToOtherCertificatesAreRefused(t *testing.T) {
	p, arn := newPCA(t, p256Key())
	other := p.AddCA(p256Key(), chainFor(p256Key(), nil))
	a := newAuthority(t, p, arn, "")
	before := len(p.Calls())
	for _, reference := range []string{
		"x", arn, arn + "/certificate/", arn + "/certificate/../" + other, arn + "/certificate/a/b", arn + "/certificate/a b",
		other + "/certificate/7f", "x" + arn + "/certificate/7f", arn + "x/certificate/7f", arn + "/certificate/" + strings.Repeat("a", 65),
		strings.Replace(arn, "eu-west-1", "us-east-1", 1) + "/certificate/7f",
	} {
		r := request(ca.KindApp)
		r.Reference = reference
		_, err := a.Sign(t.Context(), r)
		if e := named(t, err, ca.NameMisconfigured); e.Field != "reference" {
			t.Errorf("%q: %v", reference, e)
		}
	}
	if got := len(p.Calls()) - before; got != 0 {
		t.Errorf("AWS was called %d times", got)
	}
	r := request(ca.KindApp)
	r.Reference = arn + "/certificate/7f"
	_, err := a.Sign(t.Context(), r)
	named(t, err, ca.NameMisconfigured)
}

func TestRefusedRequestsAreNotSent(t *testing.T) {
	p, arn := newPCA(t, p256Key())
	a := newAuthority(t, p, arn, "")
	before := len(p.Calls())
	for title, test := range map[string]struct {
		change func(*ca.Request)
		name   string
	}{
		"90 days":           {func(r *ca.Request) { r.ValidityDays = 90 }, ca.NameTooShort},
		"unknown kind":      {func(r *ca.Request) { r.Kind = "x" }, ca.NameCSRInvalid},
		"no time":           {func(r *ca.Request) { r.Now = time.Time{} }, ca.NameCSRInvalid},
		"no CSR":            {func(r *ca.Request) { r.CSR = nil }, ca.NameCSRInvalid},
		"a changed CSR":     {func(r *ca.Request) { r.CSR = bytes.Replace(r.CSR, []byte("SP Issuer"), []byte("SP issuer"), 1) }, ca.NameCSRInvalid},
		"the CA's own name": {func(r *ca.Request) { r.CSR = newCSR("Example Issuing") }, ca.NameCSRInvalid},
		"EC for an IdP":     {func(r *ca.Request) { r.CSR, r.Kind = newCSR("Wiki"), ca.KindIDP }, ca.NameCSRInvalid},
	} {
		r := request(ca.KindApp)
		test.change(&r)
		_, err := a.Sign(t.Context(), r)
		if named(t, err, test.name); len(p.Calls()) != before {
			t.Errorf("%s: AWS was asked", title)
		}
	}
}

func TestAnUnreadableAnswerIsNoCertificate(t *testing.T) {
	p, arn := newPCA(t, p256Key())
	a, r := newAuthority(t, p, arn, ""), request(ca.KindApp)
	p.SetAnswer(func(right ca.Certificate) ca.Certificate {
		return ca.Certificate{Leaf: &x509.Certificate{Raw: []byte("x")}, Chain: right.Chain}
	})
	_, err := a.Sign(t.Context(), r)
	r.Reference = pending(t, err).Reference
	_, err = a.Sign(t.Context(), r)
	pending(t, err)
	_, err = a.Sign(t.Context(), r)
	named(t, err, ca.NameBadChain)
}

// What AWS answers is what the checker sees.
func TestTheCheckerSeesWhatAWSAnswers(t *testing.T) {
	p, arn := newPCA(t, p256Key())
	a, r := newAuthority(t, p, arn, ""), request(ca.KindApp)
	stranger := issue(t.Context(), t, a, ca.Request{CSR: newCSR("Wiki SAML signing"), Kind: ca.KindApp, ValidityDays: 397, Now: now})
	for title, test := range map[string]struct {
		doctor func(ca.Certificate) ca.Certificate
		name   string
	}{
		"another certificate": {func(c ca.Certificate) ca.Certificate { c.Leaf = stranger.Leaf; return c }, ca.NameMismatch},
		"no chain":            {func(c ca.Certificate) ca.Certificate { c.Chain = nil; return c }, ca.NameBadChain},
		"wrong order":         {func(c ca.Certificate) ca.Certificate { slices.Reverse(c.Chain); return c }, ca.NameWrongOrder},
	} {
		t.Run(title, func(t *testing.T) {
			p.SetAnswer(test.doctor)
			named(t, ca.Check(issue(t.Context(), t, a, r), r, a), test.name)
		})
	}
	p.SetAnswer(nil)
	if err := ca.Check(issue(t.Context(), t, a, r), r, a); err != nil {
		t.Error(err)
	}
}

func TestTheCAsRegionIsAsked(t *testing.T) {
	p, arn := newPCA(t, p256Key())
	c := p.Config()
	c.Region = "ap-southeast-2"
	a, err := acmpca.New(t.Context(), awspca.NewFromConfig(c), acmpca.Config{ARN: arn})
	if err != nil {
		t.Fatal(err)
	}
	issue(t.Context(), t, a, request(ca.KindApp))
}

func TestACallEndsWithItsContext(t *testing.T) {
	p, arn := newPCA(t, p256Key())
	a := newAuthority(t, p, arn, "")
	over, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := a.Sign(over, request(ca.KindApp))
	if named(t, err, ca.NameUnavailable); !errors.Is(err, context.Canceled) {
		t.Errorf("%v lost its cause", err)
	}
}
