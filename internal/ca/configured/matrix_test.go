package configured_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"slices"
	"strings"
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

// issuer is a CA that does what it should not.
type issuer struct {
	cert *x509.Certificate
	key  crypto.Signer
}

func ecKey() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) }

// certify has parent sign a CA's certificate, or the CA itself.
func certify(name string, public crypto.PublicKey, parent *issuer, key crypto.Signer, end time.Time) *x509.Certificate {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: end,
		KeyUsage: x509.KeyUsageCertSign, BasicConstraintsValid: true, IsCA: true,
	}
	above := template
	if parent != nil {
		above, key = parent.cert, parent.key
	}
	return must(x509.ParseCertificate(must(x509.CreateCertificate(rand.Reader, template, above, public, key))))
}

// world is the company's CA as a test has it: root, and the issuing CA that the
// provider has.
type world struct {
	root, issuing issuer
}

func (w world) chain() ca.Chain { return ca.Chain{w.issuing.cert, w.root.cert} }

func newWorld(issuing crypto.Signer) world {
	w := world{root: issuer{key: ecKey()}}
	w.root.cert = certify("Company Root", w.root.key.Public(), nil, w.root.key, time.Now().AddDate(20, 0, 0))
	w.issuing = issuer{key: issuing, cert: certify("Company Issuing", issuing.Public(), &w.root, nil, time.Now().AddDate(10, 0, 0))}
	return w
}

// wrong is one way in which a certificate is not right.
type wrong struct {
	name string
	// make spoils the template, or chooses another key, issuer or chain.
	make func(w world, a *answer)
	want string
	// lacks says why a provider cannot be wrong in this way.
	lacks map[rotation.CertificateAuthority]string
	kind  rotation.Kind // the only kind that it is for; empty: both
	// wants is what the policy asks for.
	wants rotation.Profile
}

// answer is a certificate before it is signed.
type answer struct {
	template *x509.Certificate
	public   crypto.PublicKey
	by       issuer
	chain    ca.Chain
	order    bool // the issuing CA comes first
}

func (a *answer) build() ca.Certificate {
	leaf := must(x509.ParseCertificate(must(x509.CreateCertificate(rand.Reader, a.template, a.by.cert, a.public, a.by.key))))
	if a.order {
		return ca.Certificate{Leaf: a.chain[0], Chain: append(ca.Chain{leaf}, a.chain[1:]...)}
	}
	return ca.Certificate{Leaf: leaf, Chain: a.chain}
}

var apart = map[rotation.CertificateAuthority]string{
	rotation.AuthorityACMPCA: "certificate and chain come in two fields",
}

// completed is why a person need not bring the chain.
var completed = map[rotation.CertificateAuthority]string{rotation.AuthorityManual: "the chain is completed from the configured one"}

var wrongs = []wrong{
	{name: "for another key", want: ca.NameMismatch, make: func(_ world, a *answer) { a.public = must(rsa.GenerateKey(rand.Reader, 2048)).Public() }},
	{name: "another subject", want: ca.NameMismatch, make: func(_ world, a *answer) {
		a.template.RawSubject, a.template.Subject = nil, pkix.Name{CommonName: "Somebody else"}
	}},
	{name: "expired", want: ca.NameExpired, make: func(_ world, a *answer) {
		a.template.NotBefore, a.template.NotAfter = time.Now().Add(-20*time.Hour), time.Now().Add(-time.Hour)
	}},
	{name: "not yet valid", want: ca.NameNotYetValid, make: func(_ world, a *answer) {
		a.template.NotBefore, a.template.NotAfter = time.Now().Add(time.Hour), time.Now().AddDate(0, 0, 200)
	}},
	{name: "90 days", want: ca.NameTooShort, make: func(_ world, a *answer) { a.template.NotAfter = time.Now().AddDate(0, 0, 90) }},
	{name: "longer than the policy", want: ca.NameTooLong, make: func(_ world, a *answer) { a.template.NotAfter = time.Now().AddDate(0, 0, 500) }},
	{name: "a CA", want: ca.NameIsCA, make: func(_ world, a *answer) { a.template.IsCA = true }},
	{name: "no digitalSignature", want: ca.NameWrongUsage, make: func(_ world, a *answer) { a.template.KeyUsage = x509.KeyUsageKeyEncipherment }},
	{name: "no keyEncipherment", want: ca.NameWrongUsage, kind: rotation.KindIDP, make: func(_ world, a *answer) { a.template.KeyUsage = x509.KeyUsageDigitalSignature }},
	{name: "without what the profile asks for", want: ca.NameProfile, make: func(world, *answer) {},
		wants: rotation.Profile{CRLURLs: []string{"http://pki.example.com/saml.crl"}}},
	{name: "by another CA of the same name", want: ca.NameBadChain, make: func(_ world, a *answer) {
		other := newWorld(ecKey())
		a.by, a.chain = other.issuing, ca.Chain{other.issuing.cert, other.root.cert}
	}},
	{name: "by the root's other CA", want: ca.NameBadChain, make: func(w world, a *answer) {
		key := ecKey()
		a.by = issuer{key: key, cert: certify("Company Other", key.Public(), &w.root, nil, time.Now().AddDate(10, 0, 0))}
		a.chain = ca.Chain{a.by.cert, w.root.cert}
	}},
	{name: "without its chain", want: ca.NameBadChain, make: func(_ world, a *answer) { a.chain = nil }, lacks: completed},
	{name: "leaf not first", want: ca.NameWrongOrder, make: func(_ world, a *answer) { a.order = true }, lacks: apart},
}

// swapped has an answer in place of the CA's own, where the provider makes the
// certificate itself: only a defect of ours could make it wrong.
type swapped struct {
	ca.Authority
	swap func(right ca.Certificate) ca.Certificate
}

func (s swapped) Sign(ctx context.Context, r ca.Request) (ca.Certificate, error) {
	// The profile is left to the swap.
	r.Profile = ca.Profile{}
	right, err := s.Authority.Sign(ctx, r)
	if err != nil {
		return right, err
	}
	return s.swap(right), nil
}

// asked is a rotation's CSR, made by Okta.
var asked = func() rotation.CSR {
	key := must(rsa.GenerateKey(rand.Reader, 2048))
	der := must(x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "Salesforce SAML signing"}}, key))
	return rotation.CSR{ID: "csr", Request: base64.StdEncoding.EncodeToString(der)}
}()

// provide sets a provider up whose CA makes of the right certificate what swap
// says; the person of manual brings it.
func provide(t *testing.T, name rotation.CertificateAuthority, swap func(w world, right ca.Certificate) ca.Certificate) (authority ca.Authority, bring func(w ca.Certificate) string) {
	t.Helper()
	switch name {
	case rotation.AuthorityLocal:
		key := ecKey()
		w := newWorld(key)
		secret := must(json.Marshal(map[string]string{
			"key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: must(x509.MarshalPKCS8PrivateKey(key))})), "chain": string(w.chain().PEM()),
		}))
		return swapped{must(local.New(secret, rand.Reader)), func(right ca.Certificate) ca.Certificate { return swap(w, right) }}, nil
	case rotation.AuthorityKMS:
		service := kmstest.New(t)
		client := awskms.NewFromConfig(service.Config())
		arn := service.AddKey(types.KeySpecEccNistP256)
		w := newWorld(must(kms.NewSigner(t.Context(), client, arn)))
		made := must(kms.New(t.Context(), client, arn, w.chain().PEM(), rand.Reader))
		return swapped{made, func(right ca.Certificate) ca.Certificate { return swap(w, right) }}, nil
	case rotation.AuthorityACMPCA:
		service := acmpcatest.New(t)
		w := newWorld(ecKey())
		arn := service.AddCA(w.issuing.key, w.chain())
		service.SetAnswer(func(right ca.Certificate) ca.Certificate { return swap(w, right) })
		return must(pca.New(t.Context(), acmpca.NewFromConfig(service.Config()), pca.Config{ARN: arn})), nil
	case rotation.AuthorityStepCA:
		service := stepcatest.Start(stepcatest.Options{Answer: func(i stepcatest.Issuance) ca.Certificate {
			w := world{root: issuer{i.Root.Cert, i.Root.Key}, issuing: issuer{i.Issuer.Cert, i.Issuer.Key}}
			return swap(w, i.Honest)
		}})
		t.Cleanup(service.Close)
		return must(stepca.New(t.Context(), stepca.Config{URL: service.URL, Fingerprint: service.Fingerprint, Provisioner: stepcatest.Provisioner, Secret: service.KeySecret(), Random: rand.Reader})), nil
	}
	key := ecKey()
	w := newWorld(key)
	honest := must(local.New(must(json.Marshal(map[string]string{
		"key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: must(x509.MarshalPKCS8PrivateKey(key))})), "chain": string(w.chain().PEM()),
	})), rand.Reader))
	return must(manual.New(w.chain().PEM())), func(ca.Certificate) string {
		right := must(honest.Sign(t.Context(), ca.Request{CSR: must(base64.StdEncoding.DecodeString(asked.Request)), Kind: ca.KindIDP, ValidityDays: 397, Now: time.Now()}))
		return string(swap(w, right).PEM())
	}
}

// run goes through the step as the state machine does.
func run(t *testing.T, authority ca.Authority, bring func(ca.Certificate) string, kind rotation.Kind, profile rotation.Profile) (rotation.SignCSROutput, error) {
	t.Helper()
	step := steps.SignCSR{Now: time.Now, CA: func(context.Context, rotation.CertificateAuthority) (ca.Authority, error) { return authority, nil }}
	in := rotation.SignCSRInput{Target: rotation.Target{Kind: kind, ID: "0oa1"}, Policy: rotation.DefaultSettings(nil), CSR: &asked}
	in.Policy.Profile = profile
	out, err := step.Run(t.Context(), in)
	for range 3 {
		if err != nil && rotation.NameOf(err) != ca.NamePending || err == nil && out.Pending == nil {
			return out, err
		}
		if err == nil && out.Pending.Person {
			in.Answer = bring(ca.Certificate{})
		} else if err == nil {
			in.Reference = out.Pending.Reference
		}
		out, err = step.Run(t.Context(), in)
	}
	return out, err
}

func TestTheMatrixOfProvidersAndCertificates(t *testing.T) {
	table := map[string]map[rotation.CertificateAuthority]string{}
	note := func(row string, provider rotation.CertificateAuthority, what string) {
		if table[row] == nil {
			table[row] = map[rotation.CertificateAuthority]string{}
		}
		table[row][provider] = what
	}
	for _, provider := range rotation.Authorities() {
		for _, kind := range []rotation.Kind{rotation.KindApp, rotation.KindIDP} {
			t.Run(fmt.Sprintf("%s/%s/right", provider, kind), func(t *testing.T) {
				authority, bring := provide(t, provider, func(_ world, right ca.Certificate) ca.Certificate { return right })
				out, err := run(t, authority, bring, kind, rotation.Profile{})
				if err != nil || out.Certificate == nil {
					t.Fatalf("got %+v, %v", out, err)
				}
				signed := must(ca.ParseCertificate([]byte(out.Certificate.PEM + out.Chain)))
				roots, between := x509.NewCertPool(), x509.NewCertPool()
				roots.AddCert(signed.Chain[len(signed.Chain)-1])
				for _, c := range signed.Chain {
					between.AddCert(c)
				}
				if _, err := signed.Leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err != nil {
					t.Errorf("it does not verify: %v", err)
				}
				note("right", provider, "published")
			})
			for _, w := range wrongs {
				if w.kind != "" && w.kind != kind {
					continue
				}
				if why := w.lacks[provider]; why != "" {
					note(w.name, provider, "– "+why)
					continue
				}
				t.Run(fmt.Sprintf("%s/%s/%s", provider, kind, w.name), func(t *testing.T) {
					authority, bring := provide(t, provider, func(world world, right ca.Certificate) ca.Certificate {
						usage := x509.KeyUsageDigitalSignature
						if kind == rotation.KindIDP {
							usage |= x509.KeyUsageKeyEncipherment
						}
						a := &answer{
							template: &x509.Certificate{
								SerialNumber: big.NewInt(17), RawSubject: right.Leaf.RawSubject, KeyUsage: usage, BasicConstraintsValid: true,
								NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().AddDate(0, 0, 396),
							},
							public: right.Leaf.PublicKey, by: world.issuing, chain: slices.Clone(world.chain()),
						}
						w.make(world, a)
						return a.build()
					})
					out, err := run(t, authority, bring, kind, w.wants)
					if rotation.NameOf(err) != w.want {
						t.Errorf("error %s (%v), want %s", rotation.NameOf(err), err, w.want)
					}
					if out.Certificate != nil || err == nil {
						t.Errorf("the certificate is passed on: %+v", out)
					}
					note(w.name, provider, rotation.NameOf(err))
				})
			}
		}
	}
	var text strings.Builder
	text.WriteString("| |")
	for _, p := range rotation.Authorities() {
		text.WriteString(" " + string(p) + " |")
	}
	for _, row := range append([]wrong{{name: "right"}}, wrongs...) {
		text.WriteString("\n| " + row.name + " |")
		for _, p := range rotation.Authorities() {
			if table[row.name][p] == "" {
				t.Errorf("%s with %s is neither tested nor explained", row.name, p)
			}
			text.WriteString(" " + table[row.name][p] + " |")
		}
	}
	t.Log("\n" + text.String())
}
