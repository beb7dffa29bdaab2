package ca_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"io"
	"math/big"
	"net"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"keyturn/internal/ca"
	"keyturn/internal/ca/cacert"
	"keyturn/internal/ca/manual"
)

// steady is a key that is the same in every process, and signs the same bytes
// with the same signature: the processes that look for inputs share nothing.
type steady struct{ *ecdsa.PrivateKey }

func (s steady) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	return s.PrivateKey.Sign(nil, digest, opts) // RFC 6979
}

func steadyKey(seed byte) steady {
	return steady{must(ecdsa.ParseRawPrivateKey(elliptic.P256(), bytes.Repeat([]byte{seed}, 32)))}
}

// pki is a root, an issuing CA, a request, and what was signed for it.
type pki struct {
	root, issuing, leaf, other, forged *x509.Certificate
	csr                                []byte
	// asked is the request of a CA for the root, and sub its answer.
	asked *x509.CertificateRequest
	sub   *x509.Certificate
}

func newPKI() pki {
	rootKey, issuingKey, leafKey, otherKey, subKey := steadyKey(1), steadyKey(2), steadyKey(3), steadyKey(4), steadyKey(5)
	subject := pkix.Name{Organization: []string{"Example, Inc."}, CommonName: "Wiki SAML signing"}
	create := func(c x509.Certificate, parent *x509.Certificate, public crypto.PublicKey, by crypto.Signer) *x509.Certificate {
		if parent == nil {
			parent = &c
		}
		return must(x509.ParseCertificate(must(x509.CreateCertificate(nil, &c, parent, public, by))))
	}
	authority := func(name string, pathLen int) x509.Certificate {
		return x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: now.AddDate(-1, 0, 0), NotAfter: now.AddDate(20, 0, 0),
			KeyUsage: x509.KeyUsageCertSign, BasicConstraintsValid: true, IsCA: true, MaxPathLen: pathLen, MaxPathLenZero: pathLen == 0}
	}
	end := x509.Certificate{SerialNumber: big.NewInt(7), Subject: subject, NotBefore: now.Add(-time.Minute), NotAfter: now.AddDate(0, 0, 397), KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true}
	var p pki
	p.root = create(authority("Example Root", 1), nil, rootKey.Public(), rootKey)
	p.issuing = create(authority("Example Issuing", 0), p.root, issuingKey.Public(), rootKey)
	p.leaf = create(end, p.issuing, leafKey.Public(), issuingKey)
	p.other = create(end, p.issuing, otherKey.Public(), issuingKey)
	// Signed by somebody else in the CA's name.
	forger := *p.issuing
	forger.PublicKey = otherKey.Public()
	p.forged = create(end, &forger, leafKey.Public(), otherKey)
	p.csr = must(x509.CreateCertificateRequest(nil, &x509.CertificateRequest{Subject: subject}, leafKey))
	p.asked = must(x509.ParseCertificateRequest(must(x509.CreateCertificateRequest(nil, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "Example SAML CA"}}, subKey))))
	p.sub = create(authority("Example SAML CA", 0), p.root, subKey.Public(), rootKey)
	return p
}

func (p pki) request() ca.Request {
	return ca.Request{CSR: p.csr, Kind: ca.KindApp, ValidityDays: 397, Now: now}
}

// wantFit is what every error must be: one line for a person, of a length that
// may travel.
func wantFit(t *testing.T, err error, names ...string) {
	t.Helper()
	var e *ca.Error
	if !errors.As(err, &e) {
		t.Fatalf("error is %v (%T), want an *Error", err, err)
	}
	if len(names) > 0 && !slices.Contains(names, e.Name) {
		t.Errorf("error is named %s, want one of %q: %v", e.Name, names, e)
	}
	if n := len(e.Error()); n > 4000 {
		t.Errorf("the error has %d bytes: %.300s…", n, e)
	}
	if strings.ContainsAny(e.Error(), "\n\r\x00\x1b\u202e") {
		t.Errorf("the error %q is not one clean line", e)
	}
}

// strange are certificates and requests whose content is unusual: names without
// end, control characters, and extensions that are none.
func strange() [][]byte {
	key := steadyKey(6)
	endless := strings.Repeat("x", 9000)
	names := x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "a\x1b[2J\u202eb\n" + endless}, NotBefore: now, NotAfter: now.AddDate(1, 0, 0),
		DNSNames: []string{endless}, EmailAddresses: []string{"a@" + endless}, IPAddresses: []net.IP{net.IPv6loopback}, URIs: []*url.URL{{Scheme: "https", Host: "example.com", Path: endless}},
		CRLDistributionPoints: []string{endless}, OCSPServer: []string{"a\nb"},
	}
	uri := must(asn1.Marshal([]asn1.RawValue{{Class: asn1.ClassContextSpecific, Tag: 6, Bytes: []byte("://%zz\n" + endless)}}))
	badURI := x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: now, NotAfter: now, ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Value: uri}}}
	requests := x509.CertificateRequest{Subject: names.Subject, DNSNames: names.DNSNames, URIs: names.URIs}
	badRequest := x509.CertificateRequest{ExtraExtensions: badURI.ExtraExtensions}
	return [][]byte{
		must(x509.CreateCertificate(nil, &names, &names, key.Public(), key)), must(x509.CreateCertificate(nil, &badURI, &badURI, key.Public(), key)),
		must(x509.CreateCertificateRequest(nil, &requests, key)), must(x509.CreateCertificateRequest(nil, &badRequest, key)),
		{0x30, 0x84, 0xff, 0xff, 0xff, 0xff}, {0x30, 0x80, 0, 0}, bytes.Repeat([]byte{0x30, 0x80}, 5000), bytes.Repeat([]byte{0x30, 0x83, 1, 0, 0}, 3000),
	}
}

// A chain is read whole or not at all, and what was read is read again.
func FuzzParseChain(f *testing.F) {
	p := newPKI()
	text := ca.Chain{p.leaf, p.issuing, p.root}.PEM()
	for _, seed := range [][]byte{nil, text, text[:300], text[300:], bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n")), append([]byte("subject=CN = x\n"), text...),
		bytes.Replace(text, []byte("CERTIFICATE"), []byte("PRIVATE KEY"), 2), bytes.Replace(text, []byte("-----\nMII"), []byte("-----\nProc-Type: 4,ENCRYPTED\n\nMII"), 1)} {
		f.Add(seed)
	}
	// In two parts, so that nobody's search for keys in files finds it.
	f.Add([]byte("-----BEGIN EC " + "PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n"))
	for _, der := range strange() {
		f.Add([]byte("-----BEGIN CERTIFICATE-----\n" + base64.StdEncoding.EncodeToString(der) + "\n-----END CERTIFICATE-----\n"))
	}
	f.Fuzz(func(t *testing.T, list []byte) {
		chain, err := ca.ParseChain(list)
		if err != nil {
			wantFit(t, err, ca.NameBadChain)
			return
		}
		if len(chain) == 0 || len(chain) != bytes.Count(list, []byte("-----BEGIN")) {
			t.Errorf("%q: %d certificates", list, len(chain))
		}
		again, err := ca.ParseChain(chain.PEM())
		if err != nil || !slices.EqualFunc(again, chain, (*x509.Certificate).Equal) {
			t.Errorf("%q is not read again: %v", list, err)
		}
	})
}

// What is taken for a request is signed by its own key, which is strong, and
// names somebody.
func FuzzParseCSR(f *testing.F) {
	p := newPKI()
	f.Add(p.csr)
	f.Add(oktaCSR())
	f.Add(p.leaf.Raw)
	f.Add([]byte("-----BEGIN CERTIFICATE REQUEST-----"))
	f.Add(must(x509.CreateCertificateRequest(nil, &x509.CertificateRequest{}, steadyKey(3))))
	for _, der := range strange() {
		f.Add(der)
	}
	f.Fuzz(func(t *testing.T, der []byte) {
		csr, err := ca.ParseCSR(der)
		if err != nil {
			wantFit(t, err, ca.NameCSRInvalid)
			return
		}
		if err := csr.CheckSignature(); err != nil || len(csr.Subject.Names) == 0 {
			t.Errorf("%x is taken for a request of %s: %v", der, csr.Subject, err)
		}
		switch k := csr.PublicKey.(type) {
		case *rsa.PublicKey:
			if k.N.BitLen() < 2048 {
				t.Errorf("%x has %d bits", der, k.N.BitLen())
			}
		case *ecdsa.PublicKey:
			if size := k.Params().BitSize; size != 256 && size != 384 {
				t.Errorf("%x is on a curve of %d bits", der, size)
			}
		default:
			t.Errorf("%x has a %T", der, k)
		}
	})
}

// wantSigned fails unless c is the one certificate that the CA made for the
// request. A signature can be written in several ways, what is signed cannot.
func (p pki) wantSigned(t *testing.T, c ca.Certificate) {
	t.Helper()
	if !bytes.Equal(c.Leaf.RawTBSCertificate, p.leaf.RawTBSCertificate) {
		t.Errorf("%x passes", c.Leaf.Raw)
	}
	if csr := must(x509.ParseCertificateRequest(p.csr)); !bytes.Equal(c.Leaf.RawSubjectPublicKeyInfo, csr.RawSubjectPublicKeyInfo) {
		t.Errorf("a certificate for another key passes: %x", c.Leaf.Raw)
	}
	if c.Leaf.IsCA || c.Leaf.NotAfter.Sub(now) <= 90*24*time.Hour {
		t.Errorf("a certificate passes that ends at %s, CA: %v", c.Leaf.NotAfter, c.Leaf.IsCA)
	}
}

// Of all certificates only the one passes that the CA has signed for the
// request.
func FuzzCheck(f *testing.F) {
	p := newPKI()
	for _, leaf := range []*x509.Certificate{p.leaf, p.other, p.forged, p.issuing, p.root, p.sub} {
		f.Add(leaf.Raw, append(bytes.Clone(p.issuing.Raw), p.root.Raw...))
		f.Add(leaf.Raw, p.issuing.Raw)
		f.Add(leaf.Raw, append(bytes.Clone(p.root.Raw), p.issuing.Raw...))
	}
	f.Add(p.leaf.Raw, append(bytes.Clone(p.issuing.Raw), p.sub.Raw...))
	for _, der := range strange() {
		f.Add(der, der)
	}
	configured := ca.Chain{p.issuing, p.root}
	f.Fuzz(func(t *testing.T, leaf, above []byte) {
		c := ca.Certificate{}
		var err error
		if c.Leaf, err = x509.ParseCertificate(leaf); err != nil {
			return
		}
		if c.Chain, err = x509.ParseCertificates(above); err != nil {
			return
		}
		if err := ca.Check(c, p.request(), configured); err != nil {
			wantFit(t, err)
			if bytes.Equal(leaf, p.leaf.Raw) && bytes.Equal(above, p.issuing.Raw) {
				t.Errorf("the right certificate does not pass: %v", err)
			}
			return
		}
		p.wantSigned(t, c)
	})
}

// Whatever a person brings: what is taken is what the CA has signed.
func FuzzWhatAPersonBrings(f *testing.F) {
	p := newPKI()
	text := ca.Chain{p.leaf, p.issuing}.PEM()
	for _, answer := range [][]byte{
		text, p.leaf.Raw, append(bytes.Clone(p.leaf.Raw), p.issuing.Raw...), []byte(base64.StdEncoding.EncodeToString(p.leaf.Raw)),
		ca.Chain{p.issuing, p.leaf}.PEM(), ca.Chain{p.other, p.issuing}.PEM(), ca.Chain{p.leaf, p.issuing, p.root, p.root}.PEM(), ca.Chain{p.leaf, p.sub}.PEM(),
		p.csr, []byte("<html>"), append([]byte("\xef\xbb\xbf"), text...), must(x509.MarshalPKCS8PrivateKey(steadyKey(3).PrivateKey)), text[:len(text)/2],
		bytes.ReplaceAll(text, []byte("\n"), nil), bytes.ReplaceAll(text, []byte("\n"), []byte("\n> ")),
	} {
		f.Add(answer)
	}
	for _, der := range strange() {
		f.Add(der)
		f.Add([]byte(base64.StdEncoding.EncodeToString(der)))
	}
	authority := must(manual.New(ca.Chain{p.issuing, p.root}.PEM()))
	f.Fuzz(func(t *testing.T, answer []byte) {
		r := p.request()
		r.Answer = answer
		c, err := authority.Sign(t.Context(), r)
		var pending *ca.Pending
		switch {
		case errors.As(err, &pending):
			if len(answer) > 0 {
				t.Errorf("%q counts as nothing", answer)
			}
			return
		case err != nil:
			wantFit(t, err, ca.NameUnreadable, ca.NamePrivateKey)
			return
		}
		if err := ca.Check(c, r, authority); err != nil {
			wantFit(t, err)
			if bytes.Equal(answer, text) {
				t.Errorf("the right certificate does not pass: %v", err)
			}
			return
		}
		p.wantSigned(t, c)
	})
}

// Whatever the root answers to a CA's request: what is accepted is for the
// request's key, and can sign.
func FuzzWhatTheRootAnswers(f *testing.F) {
	p := newPKI()
	for _, certs := range []ca.Chain{{p.sub, p.root}, {p.root, p.sub}, {p.sub}, {p.leaf, p.issuing, p.root}, {p.sub, p.root, p.issuing}, {p.root}} {
		f.Add(certs.PEM())
	}
	f.Fuzz(func(t *testing.T, answer []byte) {
		certs, err := ca.ParseChain(answer)
		if err != nil {
			return
		}
		got, err := cacert.Accept(certs, p.asked, now)
		if err != nil {
			wantFit(t, err)
			if bytes.Equal(answer, (ca.Chain{p.sub, p.root}).PEM()) {
				t.Errorf("the right answer is not accepted: %v", err)
			}
			return
		}
		if !bytes.Equal(got.Chain[0].RawTBSCertificate, p.sub.RawTBSCertificate) {
			t.Errorf("%q is accepted as %s", answer, got.Chain[0].Subject)
		}
		if err := got.Chain.CheckIssuer(p.asked.PublicKey); err != nil {
			t.Errorf("%q is accepted, and cannot sign: %v", answer, err)
		}
		for _, c := range got.Chain {
			if !slices.ContainsFunc(certs, c.Equal) {
				t.Errorf("%s comes from nowhere", c.Subject)
			}
		}
	})
}
