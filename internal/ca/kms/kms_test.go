package kms_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/big"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	awskms "github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/google/go-cmp/cmp"

	"keyturn/internal/ca"
	"keyturn/internal/ca/kms"
	"keyturn/internal/ca/kms/kmstest"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// named fails unless err is an error of this name that is fit for a person and
// gives away nothing of the credentials.
func named(t testing.TB, err error, name string) *ca.Error {
	t.Helper()
	var e *ca.Error
	if !errors.As(err, &e) {
		t.Fatalf("error is %v (%T), want a *ca.Error named %s", err, err, name)
	}
	if e.Name != name || e.Field == "" || e.Remedy == "" || strings.Contains(e.Error(), kmstest.SessionToken) {
		t.Fatalf("error is named %s, want %s, with field and remedy and without the session token; it says: %v", e.Name, name, e)
	}
	return e
}

func oktaCSR() []byte {
	text := must(os.ReadFile("../testdata/okta-example.csr.b64"))
	return must(base64.StdEncoding.DecodeString(strings.Join(strings.Fields(string(text)), "")))
}

func caTemplate(name string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, SubjectKeyId: []byte(name),
		NotBefore: now.AddDate(-1, 0, 0), NotAfter: now.AddDate(9, 0, 0),
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, BasicConstraintsValid: true, IsCA: true, MaxPathLenZero: true,
	}
}

// rootKey is of a root that is not in KMS.
var rootKey = sync.OnceValue(func() crypto.Signer { return must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader)) })

// chainFor is a CA of two levels; the issuing one has this key.
func chainFor(key crypto.PublicKey) ca.Chain {
	root := caTemplate("Example Root")
	root.MaxPathLen, root.MaxPathLenZero = 1, false
	root = must(x509.ParseCertificate(must(x509.CreateCertificate(rand.Reader, root, root, rootKey().Public(), rootKey()))))
	issuing := must(x509.ParseCertificate(must(x509.CreateCertificate(rand.Reader, caTemplate("Example Issuing"), root, key, rootKey()))))
	return ca.Chain{issuing, root}
}

func client(k *kmstest.KMS) *awskms.Client { return awskms.NewFromConfig(k.Config()) }

func newSigner(t testing.TB, k *kmstest.KMS, arn string) *kms.Signer {
	t.Helper()
	s, err := kms.NewSigner(t.Context(), client(k), arn)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newAuthority(t testing.TB, k *kmstest.KMS, spec types.KeySpec) *kms.Authority {
	t.Helper()
	arn := k.AddKey(spec)
	a, err := kms.New(t.Context(), client(k), arn, chainFor(newSigner(t, k, arn).Public()).PEM(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

var specs = map[types.KeySpec]x509.SignatureAlgorithm{
	types.KeySpecRsa2048:     x509.SHA256WithRSA,
	types.KeySpecRsa3072:     x509.SHA256WithRSA,
	types.KeySpecRsa4096:     x509.SHA256WithRSA,
	types.KeySpecEccNistP256: x509.ECDSAWithSHA256,
	types.KeySpecEccNistP384: x509.ECDSAWithSHA384,
}

func TestOktasRequestIsSignedWithEveryKindOfKey(t *testing.T) {
	for spec, algorithm := range specs {
		for _, kind := range []string{ca.KindApp, ca.KindIDP} {
			t.Run(string(spec)+" "+kind, func(t *testing.T) {
				a := newAuthority(t, kmstest.New(t), spec)
				r := ca.Request{CSR: oktaCSR(), Kind: kind, ValidityDays: 397, Now: now}
				got, err := a.Sign(t.Context(), r)
				if err != nil {
					t.Fatal(err)
				}
				if err := ca.Check(got, r, a); err != nil {
					t.Errorf("Check: %v", err)
				}
				if got.Leaf.SignatureAlgorithm != algorithm {
					t.Errorf("signed with %s, want %s", got.Leaf.SignatureAlgorithm, algorithm)
				}
				verify(t, got)
				if issued, err := a.Issued(got.Leaf); err != nil || !issued {
					t.Errorf("Issued is %v, %v", issued, err)
				}
				if !bytes.Equal(a.Chain().PEM(), got.Chain.PEM()) {
					t.Error("Chain is not the certificate's")
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

func TestAnIssueIsOneSignatureOfADigest(t *testing.T) {
	k := kmstest.New(t)
	a := newAuthority(t, k, types.KeySpecEccNistP384)
	before := len(k.Calls())
	got, err := a.Sign(t.Context(), ca.Request{CSR: oktaCSR(), Kind: ca.KindApp, ValidityDays: 397, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	calls := k.Calls()[before:]
	if len(calls) != 1 || calls[0].Operation != "Sign" {
		t.Fatalf("calls are %v, want one Sign", calls)
	}
	var in map[string]any
	if err := json.Unmarshal([]byte(calls[0].Body), &in); err != nil {
		t.Fatal(err)
	}
	h := crypto.SHA384.New()
	h.Write(got.Leaf.RawTBSCertificate)
	want := map[string]any{
		"KeyId":   "arn:aws:kms:eu-west-1:123456789012:key/00000001-0000-4000-8000-000000000000",
		"Message": base64.StdEncoding.EncodeToString(h.Sum(nil)), "MessageType": "DIGEST", "SigningAlgorithm": "ECDSA_SHA_384",
	}
	if diff := cmp.Diff(want, in); diff != "" {
		t.Errorf("request (-want +got):\n%s", diff)
	}
}

func TestAKeyMakesItsOwnCertificateAndRequest(t *testing.T) {
	for spec, algorithm := range specs {
		t.Run(string(spec), func(t *testing.T) {
			k := kmstest.New(t)
			s := newSigner(t, k, k.AddKey(spec))

			template := caTemplate("Example Root")
			cert, err := x509.CreateCertificate(rand.Reader, template, template, s.Public(), s)
			if err != nil {
				t.Fatal(err)
			}
			root := must(x509.ParseCertificate(cert))
			if err := root.CheckSignatureFrom(root); err != nil || root.SignatureAlgorithm != algorithm {
				t.Errorf("the certificate is signed with %s: %v", root.SignatureAlgorithm, err)
			}
			if err := (ca.Chain{root}).CheckIssuer(s.Public()); err != nil {
				t.Error(err)
			}

			der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "Example Issuing"}}, s)
			if err != nil {
				t.Fatal(err)
			}
			csr, err := ca.ParseCSR(der)
			if err != nil || csr.SignatureAlgorithm != algorithm {
				t.Errorf("the request is signed with %s: %v", csr.SignatureAlgorithm, err)
			}
		})
	}
}

func TestWhatKMSDoesNotDoIsRefusedBeforeItIsAsked(t *testing.T) {
	for title, test := range map[string]struct {
		spec types.KeySpec
		opts crypto.SignerOpts
	}{
		"another hash with RSA":   {types.KeySpecRsa2048, crypto.SHA512},
		"another hash with P-256": {types.KeySpecEccNistP256, crypto.SHA384},
		"another hash with P-384": {types.KeySpecEccNistP384, crypto.SHA256},
		"RSASSA-PSS":              {types.KeySpecRsa2048, &rsa.PSSOptions{Hash: crypto.SHA256}},
		"no hash":                 {types.KeySpecEccNistP256, crypto.Hash(0)},
	} {
		t.Run(title, func(t *testing.T) {
			k := kmstest.New(t)
			s := newSigner(t, k, k.AddKey(test.spec))
			_, err := s.Sign(rand.Reader, make([]byte, 32), test.opts)
			named(t, err, ca.NameMisconfigured)
			if got := len(k.Calls()); got != 1 {
				t.Errorf("KMS had %d calls, want GetPublicKey alone", got)
			}
		})
	}
}

func TestADigestOfTheWrongLengthIsRefusedByKMS(t *testing.T) {
	k := kmstest.New(t)
	s := newSigner(t, k, k.AddKey(types.KeySpecEccNistP256))
	_, err := s.Sign(rand.Reader, make([]byte, 31), crypto.SHA256)
	if e := named(t, err, ca.NameMisconfigured); !strings.Contains(e.Error(), "ValidationException") {
		t.Errorf("error %q does not say what KMS said", e)
	}
}

func TestKeysThatCannotSignForPartnersAreRefused(t *testing.T) {
	for title, test := range map[string]struct {
		key  func(*kmstest.KMS) string
		says string
	}{
		"another curve": {func(k *kmstest.KMS) string { return k.AddKey(types.KeySpecEccNistP521) }, "ECC_NIST_P521"},
		"symmetric": {func(k *kmstest.KMS) string {
			return k.AddKeyFor(types.KeyUsageTypeEncryptDecrypt, types.KeySpecSymmetricDefault)
		}, "SIGN_VERIFY"},
		"for encryption": {func(k *kmstest.KMS) string {
			return k.AddKeyFor(types.KeyUsageTypeEncryptDecrypt, types.KeySpecRsa2048)
		}, "ENCRYPT_DECRYPT"},
		"not there":       {func(*kmstest.KMS) string { return "arn:aws:kms:eu-west-1:123456789012:key/nobody" }, "exists"},
		"an alias":        {func(*kmstest.KMS) string { return "arn:aws:kms:eu-west-1:123456789012:alias/keyturn" }, "alias"},
		"an id":           {func(*kmstest.KMS) string { return "00000001-0000-4000-8000-000000000000" }, "ARN"},
		"another service": {func(*kmstest.KMS) string { return "arn:aws:acm-pca:eu-west-1:123456789012:key/1" }, "ARN"},
		"not set":         {func(*kmstest.KMS) string { return "" }, "ARN"},
		"disabled":        {func(k *kmstest.KMS) string { arn := k.AddKey(types.KeySpecRsa2048); k.Disable(arn); return arn }, "enable"},
		"about to be deleted": {func(k *kmstest.KMS) string {
			arn := k.AddKey(types.KeySpecRsa2048)
			k.ScheduleDeletion(arn)
			return arn
		}, "deletion"},
	} {
		t.Run(title, func(t *testing.T) {
			k := kmstest.New(t)
			_, err := kms.NewSigner(t.Context(), client(k), test.key(k))
			if e := named(t, err, ca.NameMisconfigured); !strings.Contains(e.Error(), test.says) {
				t.Errorf("error %q does not mention %q", e, test.says)
			}
		})
	}
}

// What KMS answers, to each of the two calls.
func TestErrorsOfKMSAreNamed(t *testing.T) {
	for code, test := range map[string]struct{ name, says string }{
		"AccessDeniedException":         {ca.NameMisconfigured, "key's policy"},
		"NotFoundException":             {ca.NameMisconfigured, "ARN"},
		"InvalidArnException":           {ca.NameMisconfigured, "ARN"},
		"DisabledException":             {ca.NameMisconfigured, "enable the key"},
		"KMSInvalidStateException":      {ca.NameMisconfigured, "deletion"},
		"InvalidKeyUsageException":      {ca.NameMisconfigured, "SIGN_VERIFY"},
		"IncorrectKeyException":         {ca.NameMisconfigured, "SIGN_VERIFY"},
		"UnsupportedOperationException": {ca.NameMisconfigured, "SIGN_VERIFY"},
		"InvalidGrantTokenException":    {ca.NameMisconfigured, "InvalidGrantTokenException"},
		"InvalidSignatureException":     {ca.NameMisconfigured, "credentials"},
		"ThrottlingException":           {ca.NameUnavailable, "try again"},
		"LimitExceededException":        {ca.NameUnavailable, "try again"},
		"KMSInternalException":          {ca.NameUnavailable, "try again"},
		"DependencyTimeoutException":    {ca.NameUnavailable, "try again"},
		"KeyUnavailableException":       {ca.NameUnavailable, "try again"},
		"ServiceUnavailable":            {ca.NameUnavailable, "try again"},
		kmstest.NoAnswer:                {ca.NameUnavailable, "no answer"},
	} {
		t.Run(code, func(t *testing.T) {
			k := kmstest.New(t)
			a := newAuthority(t, k, types.KeySpecEccNistP256)
			arn := k.AddKey(types.KeySpecEccNistP256)
			k.Fail(code)

			_, err := a.Sign(t.Context(), ca.Request{CSR: oktaCSR(), Kind: ca.KindApp, ValidityDays: 397, Now: now})
			if e := named(t, err, test.name); !strings.Contains(e.Error(), test.says) || !strings.Contains(e.Error(), "kms:Sign") {
				t.Errorf("Sign: error %q does not mention %q and the action", e, test.says)
			}
			_, err = kms.NewSigner(t.Context(), client(k), arn)
			if e := named(t, err, test.name); !strings.Contains(e.Error(), test.says) || !strings.Contains(e.Error(), "kms:GetPublicKey") || !strings.Contains(e.Error(), arn) {
				t.Errorf("NewSigner: error %q does not mention %q, the action and the key", e, test.says)
			}
		})
	}
}

func TestAKeyThatIsDisabledLaterSignsNoLonger(t *testing.T) {
	k := kmstest.New(t)
	arn := k.AddKey(types.KeySpecEccNistP256)
	a, err := kms.New(t.Context(), client(k), arn, chainFor(newSigner(t, k, arn).Public()).PEM(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	k.Disable(arn)
	_, err = a.Sign(t.Context(), ca.Request{CSR: oktaCSR(), Kind: ca.KindApp, ValidityDays: 397, Now: now})
	named(t, err, ca.NameMisconfigured)
}

func TestASignatureEndsWithItsOwnContext(t *testing.T) {
	k := kmstest.New(t)
	a := newAuthority(t, k, types.KeySpecEccNistP256)
	r := ca.Request{CSR: oktaCSR(), Kind: ca.KindApp, ValidityDays: 397, Now: now}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := a.Sign(over, r)
	if named(t, err, ca.NameUnavailable); !errors.Is(err, context.Canceled) {
		t.Errorf("%v lost its cause", err)
	}
	if _, err := a.Sign(t.Context(), r); err != nil {
		t.Errorf("the next signature: %v", err)
	}

	// A signer outlives the context that it was made with.
	first, end := context.WithCancel(t.Context())
	s, err := kms.NewSigner(first, client(k), k.AddKey(types.KeySpecRsa2048))
	if err != nil {
		t.Fatal(err)
	}
	end()
	digest := sha256.Sum256([]byte("something"))
	_, err = s.Sign(nil, digest[:], crypto.SHA256)
	named(t, err, ca.NameUnavailable)
	signature, err := s.With(t.Context()).Sign(nil, digest[:], crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	if err := rsa.VerifyPKCS1v15(s.Public().(*rsa.PublicKey), crypto.SHA256, digest[:], signature); err != nil {
		t.Error(err)
	}
}

func TestNewRefusesAChainThatIsNotTheKeys(t *testing.T) {
	k := kmstest.New(t)
	arn, other := k.AddKey(types.KeySpecEccNistP256), k.AddKey(types.KeySpecEccNistP256)
	chain := chainFor(newSigner(t, k, arn).Public())
	for title, test := range map[string]struct {
		chain []byte
		says  string
	}{
		"of another key":        {chainFor(newSigner(t, k, other).Public()).PEM(), "not the certificate of the CA's key"},
		"upside down":           {ca.Chain{chain[1], chain[0]}.PEM(), "not the certificate of the CA's key"},
		"empty":                 {nil, "no certificate"},
		"not PEM":               {[]byte("chain"), "no certificate"},
		"without its beginning": {chain[1:].PEM(), "not the certificate of the CA's key"},
	} {
		t.Run(title, func(t *testing.T) {
			a, err := kms.New(t.Context(), client(k), arn, test.chain, rand.Reader)
			if e := named(t, err, ca.NameMisconfigured); a != nil || !strings.Contains(e.Error(), test.says) {
				t.Errorf("got %v, %v, want an error that mentions %q", a, e, test.says)
			}
		})
	}
	if _, err := kms.New(t.Context(), client(k), arn, chain[:1].PEM(), rand.Reader); err != nil {
		t.Errorf("without the root: %v", err)
	}
}

func TestRefusedRequestsCostNoSignature(t *testing.T) {
	k := kmstest.New(t)
	a := newAuthority(t, k, types.KeySpecEccNistP256)
	before := len(k.Calls())
	_, err := a.Sign(t.Context(), ca.Request{CSR: oktaCSR(), Kind: ca.KindApp, ValidityDays: 90, Now: now})
	named(t, err, ca.NameTooShort)
	if got := len(k.Calls()) - before; got != 0 {
		t.Errorf("KMS was asked %d times", got)
	}
}

func TestTheKeysRegionIsAsked(t *testing.T) {
	k := kmstest.New(t)
	c := k.Config()
	c.Region = "ap-southeast-2"
	s, err := kms.NewSigner(t.Context(), awskms.NewFromConfig(c), k.AddKey(types.KeySpecEccNistP256))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Sign(nil, make([]byte, 32), crypto.SHA256); err != nil {
		t.Error(err)
	}
}
