package configured

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
	"fmt"
	"math/big"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/acmpca"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"keyturn/internal/ca"
	pca "keyturn/internal/ca/acmpca"
	"keyturn/internal/ca/acmpca/acmpcatest"
	"keyturn/internal/ca/kms"
	"keyturn/internal/ca/kms/kmstest"
	"keyturn/internal/ca/local"
	"keyturn/internal/ca/manual"
	"keyturn/internal/ca/stepca"
	"keyturn/internal/ca/stepca/stepcatest"
	"keyturn/internal/rotation"
	"keyturn/internal/signing"
	"keyturn/internal/steps"
)

// The matrix: every provider, for an app and for an IdP, with the right
// certificate and with each wrong one, through the step that rotations call.

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// clock is in UTC, so that a number of days has as many times 24 hours.
func clock() time.Time { return time.Now().UTC() }

// issuer is a CA that does what it should not.
type issuer struct {
	cert *x509.Certificate
	key  crypto.Signer
}

func ecKey() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) }

var (
	otherKey = sync.OnceValue(func() crypto.Signer { return must(rsa.GenerateKey(rand.Reader, 2048)) })
	weakKey  = sync.OnceValue(func() crypto.Signer { return must(ecdsa.GenerateKey(elliptic.P224(), rand.Reader)) })
)

// certify makes the CA name, which parent signs, or the CA itself.
func certify(name string, key crypto.Signer, parent *issuer) issuer {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(clock().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: clock().Add(-24 * time.Hour), NotAfter: clock().AddDate(10, 0, 0),
		KeyUsage: x509.KeyUsageCertSign, BasicConstraintsValid: true, IsCA: true,
	}
	if parent == nil {
		parent = &issuer{template, key}
	}
	return issuer{certificate(template, *parent, key.Public()), key}
}

// certificate has by sign a template as it is.
func certificate(template *x509.Certificate, by issuer, public crypto.PublicKey) *x509.Certificate {
	return must(x509.ParseCertificate(must(x509.CreateCertificate(rand.Reader, template, by.cert, public, by.key))))
}

// again has by certify a CA that has a certificate already: the same name and
// key, and what edit changes.
func again(of, by issuer, edit func(template *x509.Certificate)) issuer {
	template := *of.cert
	template.SerialNumber, template.SignatureAlgorithm = big.NewInt(clock().UnixNano()), 0
	template.SubjectKeyId, template.AuthorityKeyId = nil, nil
	edit(&template)
	return issuer{certificate(&template, by, of.key.Public()), of.key}
}

func unchanged(*x509.Certificate) {}

// world is the company's CA as a test has it: root, and the issuing CA that the
// provider has.
type world struct {
	root, issuing issuer
}

func (w world) chain() ca.Chain { return ca.Chain{w.issuing.cert, w.root.cert} }

func newWorld(issuing crypto.Signer) world {
	root := certify("Company Root", ecKey(), nil)
	return world{root: root, issuing: certify("Company Issuing", issuing, &root)}
}

// answer is a certificate before it is signed, and what comes after it.
type answer struct {
	template *x509.Certificate
	public   crypto.PublicKey
	by       issuer
	chain    ca.Chain
	// rearrange changes the order of all, the leaf's too.
	rearrange func(ca.Chain) ca.Chain
}

func (a *answer) build() ca.Certificate {
	all := append(ca.Chain{certificate(a.template, a.by, a.public)}, a.chain...)
	if a.rearrange != nil {
		all = a.rearrange(all)
	}
	return ca.Certificate{Leaf: all[0], Chain: all[1:]}
}

// below has the answer signed by a CA that stands below these.
func (a *answer) below(by issuer, above ...issuer) {
	a.by, a.chain = by, ca.Chain{by.cert}
	for _, i := range above {
		a.chain = append(a.chain, i.cert)
	}
}

type reasons map[rotation.CertificateAuthority]string

// flaw is one way in which a certificate is not right.
type flaw struct {
	name string
	// make spoils the answer.
	make func(w world, a *answer)
	// want and field are the error's. Several names have several fields.
	want, field string
	kind        rotation.Kind    // the only kind that it is for; empty: both
	wants       rotation.Profile // what the policy asks for
	lacks       reasons          // why a provider cannot be wrong in this way
	right       reasons          // why it is not wrong with a provider
}

var flaws = []flaw{
	{name: "for another key", want: ca.NameMismatch, field: "certificate.publicKey", make: func(_ world, a *answer) { a.public = otherKey().Public() }},
	{name: "another subject", want: ca.NameMismatch, field: "certificate.subject", make: func(_ world, a *answer) {
		a.template.RawSubject, a.template.Subject = nil, pkix.Name{CommonName: "Somebody else"}
	}},
	{
		name: "signed with SHA-1", want: ca.NameWeakSignature, field: "certificate.signatureAlgorithm",
		make:  func(_ world, a *answer) { a.template.SignatureAlgorithm = x509.ECDSAWithSHA1 },
		lacks: reasons{rotation.AuthorityKMS: "KMS has no signing algorithm with SHA-1"},
	},
	{name: "a CA above signed with SHA-1", want: ca.NameWeakSignature, field: "chain[0].signatureAlgorithm", make: func(w world, a *answer) {
		a.below(again(w.issuing, w.root, func(c *x509.Certificate) { c.SignatureAlgorithm = x509.ECDSAWithSHA1 }), w.root)
	}},
	{name: "a CA above has a weak key", want: ca.NameWeakKey, field: "chain[1].publicKey", make: func(w world, a *answer) {
		weak := certify("Company Weak", weakKey(), &w.root)
		a.below(again(w.issuing, weak, unchanged), weak, w.root)
	}},
	{name: "expired", want: ca.NameExpired, field: "certificate.notAfter", make: func(_ world, a *answer) {
		a.template.NotBefore, a.template.NotAfter = clock().Add(-20*time.Hour), clock().Add(-time.Hour)
	}},
	{name: "not yet valid", want: ca.NameNotYetValid, field: "certificate.notBefore", make: func(_ world, a *answer) {
		a.template.NotBefore, a.template.NotAfter = clock().Add(time.Hour), clock().AddDate(0, 0, 200)
	}},
	{name: "90 days left", want: ca.NameTooShort, field: "certificate.notAfter", make: func(_ world, a *answer) {
		a.template.NotBefore, a.template.NotAfter = clock().Add(-20*time.Hour), clock().AddDate(0, 0, 90)
	}},
	{name: "longer than the policy", want: ca.NameTooLong, field: "certificate.notAfter", make: func(_ world, a *answer) { a.template.NotAfter = clock().AddDate(0, 0, 500) }},
	{name: "outlives its CA", want: ca.NameTooLong, field: "chain[0].notAfter", make: func(w world, a *answer) {
		a.below(again(w.issuing, w.root, func(c *x509.Certificate) { c.NotAfter = clock().AddDate(0, 0, 200) }), w.root)
	}},
	{name: "its CA is over", want: ca.NameExpired, field: "chain[0].notAfter", make: func(w world, a *answer) {
		a.below(again(w.issuing, w.root, func(c *x509.Certificate) { c.NotAfter = clock().Add(-time.Hour) }), w.root)
	}},
	{name: "a CA", want: ca.NameIsCA, field: "certificate.basicConstraints", make: func(_ world, a *answer) { a.template.IsCA = true }},
	{name: "no digitalSignature", want: ca.NameWrongUsage, field: "certificate.keyUsage", make: func(_ world, a *answer) { a.template.KeyUsage = x509.KeyUsageKeyEncipherment }},
	{
		name: "no keyEncipherment", want: ca.NameWrongUsage, field: "certificate.keyUsage", kind: rotation.KindIDP,
		make: func(_ world, a *answer) { a.template.KeyUsage = x509.KeyUsageDigitalSignature },
	},
	{
		name: "without the profile's CRL", want: ca.NameProfile, make: func(world, *answer) {},
		wants: rotation.Profile{CRLURLs: full.CRLURLs},
	},
	{
		name: "without the profile's extension", want: ca.NameProfile, make: func(world, *answer) {},
		wants: rotation.Profile{Extensions: full.Extensions},
	},
	{name: "a critical extension that is unknown", want: ca.NameProfile, make: func(_ world, a *answer) {
		a.template.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 99999, 1}, Critical: true, Value: []byte{5, 0}}}
	}},
	{name: "by another CA of the same name", want: ca.NameBadChain, field: "certificate.issuer", make: func(w world, a *answer) {
		a.below(again(issuer{w.issuing.cert, ecKey()}, w.root, unchanged), w.root)
	}},
	{name: "by the root's other CA", want: ca.NameBadChain, field: "certificate.issuer", make: func(w world, a *answer) {
		a.below(certify("Company Other", ecKey(), &w.root), w.root)
	}},
	{
		name: "by the root itself", want: ca.NameBadChain, field: "certificate.issuer", make: func(w world, a *answer) { a.below(w.root) },
		right: reasons{rotation.AuthorityManual: "any of the configured CAs may sign"},
	},
	{
		name: "without its chain", want: ca.NameBadChain, field: "chain", make: func(_ world, a *answer) { a.chain = nil },
		right: reasons{rotation.AuthorityManual: "completed from the configured chain"},
	},
	{
		name: "without its issuing CA", want: ca.NameBadChain, field: "chain", make: func(w world, a *answer) { a.chain = ca.Chain{w.root.cert} },
		right: reasons{rotation.AuthorityManual: "completed from the configured chain"},
	},
	{name: "leads to another root of the same name", want: ca.NameBadChain, field: "chain.root", make: func(w world, a *answer) {
		key := ecKey()
		other := again(issuer{w.root.cert, key}, issuer{w.root.cert, w.root.key}, unchanged)
		// Signed by itself.
		template := *other.cert
		template.SignatureAlgorithm = 0
		other.cert = certificate(&template, issuer{&template, key}, key.Public())
		a.below(again(w.issuing, other, unchanged), other)
	}},
	{name: "a certificate listed twice", want: ca.NameBadChain, field: "chain[1]", make: func(w world, a *answer) {
		a.chain = ca.Chain{w.issuing.cert, w.issuing.cert, w.root.cert}
	}},
	{
		name: "leaf not first", want: ca.NameWrongOrder,
		make: func(_ world, a *answer) {
			a.rearrange = func(c ca.Chain) ca.Chain { return ca.Chain{c[1], c[0], c[2]} }
		},
		lacks: reasons{rotation.AuthorityACMPCA: "certificate and chain come in two fields"},
	},
	{
		name: "root before the issuing CA", want: ca.NameWrongOrder, field: "chain[0]", make: func(w world, a *answer) {
			a.chain = ca.Chain{w.root.cert, w.issuing.cert}
		},
	},
}

// full is a profile with a wish of every kind.
var full = rotation.Profile{
	KeyUsage:      []string{"contentCommitment"},
	Extensions:    []rotation.Extension{{OID: "2.5.29.32", Value: "MAcwBQYDKgME"}},
	CRLURLs:       []string{"http://pki.example.com/saml.crl"},
	OCSPURLs:      []string{"http://ocsp.example.com"},
	CAIssuersURLs: []string{"http://pki.example.com/saml.cer"},
}

// factory makes of what a CA would answer a certificate that spoil, if it does
// anything, has made wrong in one way.
func factory(kind rotation.Kind, spoil func(world, *answer)) swap {
	return func(w world, right ca.Certificate) ca.Certificate {
		usage := x509.KeyUsageDigitalSignature
		if kind == rotation.KindIDP {
			usage |= x509.KeyUsageKeyEncipherment
		}
		a := &answer{
			template: &x509.Certificate{
				SerialNumber: big.NewInt(17), RawSubject: right.Leaf.RawSubject, KeyUsage: usage, BasicConstraintsValid: true,
				NotBefore: clock().Add(-time.Minute), NotAfter: clock().AddDate(0, 0, 396),
			},
			public: right.Leaf.PublicKey, by: w.issuing, chain: slices.Clone(w.chain()),
		}
		spoil(w, a)
		return a.build()
	}
}

// swap makes a CA's answer of the right one.
type swap func(w world, right ca.Certificate) ca.Certificate

func honest(_ world, right ca.Certificate) ca.Certificate { return right }

// swapped has an answer in place of the CA's own, where the provider makes the
// certificate itself: only a defect of ours could make it wrong.
type swapped struct {
	ca.Authority
	swap func(right ca.Certificate) ca.Certificate
}

func (s swapped) Sign(ctx context.Context, r ca.Request) (ca.Certificate, error) {
	right, err := s.Authority.Sign(ctx, r)
	if err != nil {
		return right, err
	}
	return s.swap(right), nil
}

// csrKey is the key that Okta has made.
var csrKey = sync.OnceValue(func() crypto.Signer { return must(rsa.GenerateKey(rand.Reader, 2048)) })

// asked is a rotation's CSR.
var asked = sync.OnceValue(func() rotation.CSR {
	der := must(x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "Salesforce SAML signing"}}, csrKey()))
	return rotation.CSR{ID: "csr", Request: base64.StdEncoding.EncodeToString(der)}
})

func input(kind rotation.Kind, profile rotation.Profile) rotation.SignCSRInput {
	csr := asked()
	in := rotation.SignCSRInput{Target: rotation.Target{Kind: kind, ID: "0oa1"}, Policy: rotation.DefaultSettings(nil), CSR: &csr}
	in.Policy.Profile = profile
	return in
}

func localCA(key crypto.Signer, chain ca.Chain) ca.Authority {
	return must(local.New(must(json.Marshal(map[string]string{
		"key":   string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: must(x509.MarshalPKCS8PrivateKey(key))})),
		"chain": string(chain.PEM()),
	})), rand.Reader))
}

// provide sets a provider up whose CA answers with what change makes of the
// right certificate. bring is the person of manual, who has in's request signed.
func provide(t *testing.T, name rotation.CertificateAuthority, change swap) (authority ca.Authority, bring func(in rotation.SignCSRInput) string) {
	t.Helper()
	switch name {
	case rotation.AuthorityLocal:
		key := ecKey()
		w := newWorld(key)
		return swapped{localCA(key, w.chain()), func(right ca.Certificate) ca.Certificate { return change(w, right) }}, nil
	case rotation.AuthorityKMS:
		service := kmstest.New(t)
		client := awskms.NewFromConfig(service.Config())
		arn := service.AddKey(types.KeySpecEccNistP256)
		w := newWorld(must(kms.NewSigner(t.Context(), client, arn)))
		made := must(kms.New(t.Context(), client, arn, w.chain().PEM(), rand.Reader))
		return swapped{made, func(right ca.Certificate) ca.Certificate { return change(w, right) }}, nil
	case rotation.AuthorityACMPCA:
		service := acmpcatest.New(t)
		w := newWorld(ecKey())
		arn := service.AddCA(w.issuing.key, w.chain())
		service.SetAnswer(func(right ca.Certificate) ca.Certificate { return change(w, right) })
		return must(pca.New(t.Context(), acmpca.NewFromConfig(service.Config()), pca.Config{ARN: arn})), nil
	case rotation.AuthorityStepCA:
		service := stepcatest.Start(stepcatest.Options{Answer: func(i stepcatest.Issuance) ca.Certificate {
			w := world{root: issuer{i.Root.Cert, i.Root.Key}, issuing: issuer{i.Issuer.Cert, i.Issuer.Key}}
			return change(w, i.Honest)
		}})
		t.Cleanup(service.Close)
		return must(stepca.New(t.Context(), stepca.Config{URL: service.URL, Fingerprint: service.Fingerprint, Provisioner: stepcatest.Provisioner, Secret: service.KeySecret(), Random: rand.Reader})), nil
	case rotation.AuthorityManual:
		key := ecKey()
		w := newWorld(key)
		company := localCA(key, w.chain())
		return must(manual.New(w.chain().PEM())), func(in rotation.SignCSRInput) string {
			request := must(signing.Request(in.Target, in.Policy, *in.CSR, clock()))
			return string(change(w, must(company.Sign(t.Context(), request))).PEM())
		}
	}
	t.Fatalf("there is no such provider here: %s", name)
	return nil, nil
}

// ways is how each provider comes to its answer: what the calls before the last
// one say.
var ways = map[rotation.CertificateAuthority]string{
	rotation.AuthorityLocal:  "",
	rotation.AuthorityKMS:    "",
	rotation.AuthorityACMPCA: "pending with a reference, CA.Pending",
	rotation.AuthorityStepCA: "",
	rotation.AuthorityManual: "pending for a person",
}

func step(authority ca.Authority) steps.SignCSR {
	return steps.SignCSR{Now: time.Now, CA: func(context.Context, rotation.CertificateAuthority) (ca.Authority, error) { return authority, nil }}
}

// run goes through the step as the state machine does, and tells the way.
func run(t *testing.T, authority ca.Authority, bring func(rotation.SignCSRInput) string, in rotation.SignCSRInput) (out rotation.SignCSROutput, way string, err error) {
	t.Helper()
	var said []string
	for range 5 {
		out, err = step(authority).Run(t.Context(), in)
		if out.Pending != nil && out.Certificate != nil {
			t.Errorf("both pending and signed: %+v", out)
		}
		switch {
		case err == nil && out.Pending != nil && out.Pending.Person:
			said = append(said, "pending for a person")
			in.Answer = bring(in)
		case err == nil && out.Pending != nil:
			said = append(said, "pending with a reference")
			in.Reference = out.Pending.Reference
		case rotation.NameOf(err) == ca.NamePending:
			said = append(said, ca.NamePending)
		default:
			return out, strings.Join(said, ", "), err
		}
	}
	t.Fatalf("the CA does not come to an end: %v", said)
	return out, "", nil
}

// checkRight verifies a certificate as a partner would that trusts the CA's root.
func checkRight(t *testing.T, out rotation.SignCSROutput, err error, authority ca.Authority) (signed ca.Certificate) {
	t.Helper()
	if err != nil || out.Certificate == nil {
		t.Fatalf("got %+v, %v", out, err)
	}
	signed = must(ca.ParseCertificate([]byte(out.Certificate.PEM + out.Chain)))
	trusted := authority.Chain()
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(trusted[len(trusted)-1])
	for _, c := range signed.Chain {
		between.AddCert(c)
	}
	if _, err := signed.Leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err != nil {
		t.Errorf("it does not verify: %v", err)
	}
	if !signed.Leaf.PublicKey.(*rsa.PublicKey).Equal(csrKey().Public()) || signed.Leaf.Subject.String() != "CN=Salesforce SAML signing" {
		t.Errorf("it is for another key or subject, %s", signed.Leaf.Subject)
	}
	return signed
}

// matrix is what has come out, by row, provider and kind.
type matrix map[string]map[rotation.CertificateAuthority]map[rotation.Kind]string

func (m matrix) note(row string, provider rotation.CertificateAuthority, kind rotation.Kind, what string) {
	if m[row] == nil {
		m[row] = map[rotation.CertificateAuthority]map[rotation.Kind]string{}
	}
	if m[row][provider] == nil {
		m[row][provider] = map[rotation.Kind]string{}
	}
	m[row][provider][kind] = what
}

var kinds = []rotation.Kind{rotation.KindApp, rotation.KindIDP}

// markdown fails t where a cell is empty that should not be.
func (m matrix) markdown(t *testing.T, rows []flaw) string {
	t.Helper()
	var text strings.Builder
	text.WriteString("| certificate |")
	for _, p := range rotation.Authorities() {
		text.WriteString(" " + string(p) + " |")
	}
	text.WriteString("\n|---|" + strings.Repeat("---|", len(rotation.Authorities())))
	for _, row := range rows {
		title := row.name
		if row.kind != "" {
			title += " (" + string(row.kind) + ")"
		}
		text.WriteString("\n| " + title + " |")
		for _, p := range rotation.Authorities() {
			var cells []string
			for _, kind := range kinds {
				what := m[row.name][p][kind]
				if row.kind != "" && row.kind != kind {
					continue
				}
				if what == "" {
					t.Errorf("%s/%s/%s is neither tested nor explained", p, kind, row.name)
				}
				if !slices.Contains(cells, what) {
					cells = append(cells, what)
				}
			}
			text.WriteString(" " + strings.Join(cells, "; ") + " |")
		}
	}
	return text.String()
}

func TestTheMatrixOfProvidersAndCertificates(t *testing.T) {
	const right, profiled, made = "right", "right, with a profile", "right, made as the wrong ones are"
	m := matrix{}
	for _, provider := range rotation.Authorities() {
		for _, kind := range kinds {
			cell := func(row string, check func(t *testing.T) string) {
				m.note(row, provider, kind, "not run")
				t.Run(fmt.Sprintf("%s/%s/%s", provider, kind, row), func(t *testing.T) {
					m.note(row, provider, kind, check(t))
				})
			}
			good := func(t *testing.T, change swap, profile rotation.Profile) ca.Certificate {
				t.Helper()
				authority, bring := provide(t, provider, change)
				out, way, err := run(t, authority, bring, input(kind, profile))
				if way != ways[provider] {
					t.Errorf("the way was %q, want %q", way, ways[provider])
				}
				return checkRight(t, out, err, authority)
			}
			cell(right, func(t *testing.T) string {
				good(t, honest, rotation.Profile{})
				return "published"
			})
			cell(profiled, func(t *testing.T) string {
				leaf := good(t, honest, full).Leaf
				if !slices.Equal(leaf.CRLDistributionPoints, full.CRLURLs) || !slices.Equal(leaf.OCSPServer, full.OCSPURLs) ||
					!slices.Equal(leaf.IssuingCertificateURL, full.CAIssuersURLs) || len(leaf.Policies) != 1 || leaf.KeyUsage&x509.KeyUsageContentCommitment == 0 {
					t.Errorf("the profile is not in it: %v", leaf.Extensions)
				}
				return "published"
			})
			// Otherwise the wrong ones might be wrong in another way as well.
			cell(made, func(t *testing.T) string {
				good(t, factory(kind, func(world, *answer) {}), rotation.Profile{})
				return "published"
			})
			for _, f := range flaws {
				switch {
				case f.kind != "" && f.kind != kind:
					continue
				case f.lacks[provider] != "":
					m.note(f.name, provider, kind, "– ("+f.lacks[provider]+")")
					continue
				case f.right[provider] != "":
					cell(f.name, func(t *testing.T) string {
						good(t, factory(kind, f.make), f.wants)
						return "published (" + f.right[provider] + ")"
					})
					continue
				}
				cell(f.name, func(t *testing.T) string {
					want, field := f.want, f.field
					authority, bring := provide(t, provider, factory(kind, f.make))
					out, way, err := run(t, authority, bring, input(kind, f.wants))
					refused(t, out, err, want)
					var e *ca.Error
					if !errors.As(err, &e) || field != "" && e.Field != field {
						t.Errorf("the error %v is not of %s", err, field)
					}
					if way != ways[provider] {
						t.Errorf("the way was %q, want %q", way, ways[provider])
					}
					return rotation.NameOf(err)
				})
			}
		}
	}
	t.Log("\n" + m.markdown(t, append([]flaw{{name: right}, {name: profiled}, {name: made}}, flaws...)))
}

// refused wants an error of this name, and nothing that could be published.
func refused(t *testing.T, out rotation.SignCSROutput, err error, name string) {
	t.Helper()
	if rotation.NameOf(err) != name {
		t.Errorf("error %s (%v), want %s", rotation.NameOf(err), err, name)
	}
	if out.Certificate != nil || out.Chain != "" || err == nil {
		t.Errorf("a certificate is passed on: %+v", out)
	}
}

// pkcs7 is a SignedData that only carries certificates (RFC 5652, section 5.1).
func pkcs7(certs ca.Chain) []byte {
	sequence := func(class, tag int, parts ...[]byte) []byte {
		return must(asn1.Marshal(asn1.RawValue{Class: class, Tag: tag, IsCompound: true, Bytes: bytes.Join(parts, nil)}))
	}
	var all []byte
	for _, c := range certs {
		all = append(all, c.Raw...)
	}
	signedData := sequence(asn1.ClassUniversal, asn1.TagSequence,
		must(asn1.Marshal(1)),
		sequence(asn1.ClassUniversal, asn1.TagSet),
		sequence(asn1.ClassUniversal, asn1.TagSequence, must(asn1.Marshal(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}))),
		sequence(asn1.ClassContextSpecific, 0, all),
		sequence(asn1.ClassUniversal, asn1.TagSet),
	)
	return sequence(asn1.ClassUniversal, asn1.TagSequence,
		must(asn1.Marshal(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2})), sequence(asn1.ClassContextSpecific, 0, signedData))
}

func TestWhatAPersonBringsThatIsNoCertificate(t *testing.T) {
	w := newWorld(ecKey())
	block := func(label string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: label, Bytes: der}))
	}
	csr := must(base64.StdEncoding.DecodeString(asked().Request))
	key := must(x509.MarshalPKCS8PrivateKey(csrKey()))
	p7 := pkcs7(w.chain())
	var table strings.Builder
	table.WriteString("| what the person brings | app | idp |\n|---|---|---|")
	for _, c := range []struct{ name, answer, want, says string }{
		{"PKCS#7 in PEM", block("PKCS7", p7), ca.NameUnreadable, "PKCS#7"},
		{"PKCS#7 in base64", base64.StdEncoding.EncodeToString(p7), ca.NameUnreadable, "PKCS#7"},
		{"a web page", "<!DOCTYPE html>\n<html><body>Your session has expired.</body></html>", ca.NameUnreadable, "web page"},
		{"the CSR", block("CERTIFICATE REQUEST", csr), ca.NameUnreadable, "CSR"},
		{"a private key", block("PRIVATE KEY", key), ca.NamePrivateKey, "private key"},
		{"a certificate and a private key", string(w.chain().PEM()) + block("RSA PRIVATE KEY", key), ca.NamePrivateKey, "private key"},
		{"white space", " \r\n\t\n", ca.NameUnreadable, "empty"},
		{"a sentence", "the CA is on holiday", ca.NameUnreadable, "not a certificate"},
		{"half a certificate", string(w.chain().PEM()[:300]), ca.NameUnreadable, "damaged or cut off"},
		{"the CA's certificates alone", string(w.chain().PEM()), ca.NameIsCA, "the one for the request is missing"},
	} {
		table.WriteString("\n| " + c.name + " |")
		for _, kind := range kinds {
			t.Run(fmt.Sprintf("manual/%s/%s", kind, c.name), func(t *testing.T) {
				out, way, err := run(t, must(manual.New(w.chain().PEM())), func(rotation.SignCSRInput) string { return c.answer }, input(kind, rotation.Profile{}))
				refused(t, out, err, c.want)
				if err == nil || !strings.Contains(err.Error(), c.says) || way != ways[rotation.AuthorityManual] {
					t.Errorf("after %q: %v, which does not say %q", way, err, c.says)
				}
				for at := 0; err != nil && at+20 < len(key); at += 20 {
					if strings.Contains(err.Error(), base64.StdEncoding.EncodeToString(key[at : at+18])[:20]) {
						t.Errorf("the error quotes the key: %v", err)
					}
				}
				table.WriteString(" " + rotation.NameOf(err) + " |")
			})
		}
	}
	for _, kind := range kinds {
		t.Run(fmt.Sprintf("manual/%s/nothing", kind), func(t *testing.T) {
			// No answer is not a wrong one: the person is asked, again and again.
			for range 2 {
				out, err := step(must(manual.New(w.chain().PEM()))).Run(t.Context(), input(kind, rotation.Profile{}))
				if err != nil || out.Pending == nil || !out.Pending.Person || out.Certificate != nil {
					t.Errorf("got %+v, %v, want to be asked", out, err)
				}
			}
		})
	}
	t.Log("\n" + table.String() + "\n| nothing | pending for a person | pending for a person |")
}
