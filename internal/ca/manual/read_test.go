package manual_test

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

	"keyturn/internal/ca"
	"keyturn/internal/ca/manual"
)

func utf16Text(order binary.AppendByteOrder, text []byte, mark bool) []byte {
	units := utf16.Encode([]rune(string(text)))
	if mark {
		units = append([]uint16{0xfeff}, units...)
	}
	var b []byte
	for _, u := range units {
		b = order.AppendUint16(b, u)
	}
	return b
}

func TestReadTakesACertificateInEveryForm(t *testing.T) {
	c := example()
	leaf := c.issuing.leaf(ca.KindApp, nil)
	alone := []*x509.Certificate{leaf}
	chain := []*x509.Certificate{leaf, c.issuing.cert, c.root.cert}
	text := bundle(chain...)
	replace := func(old, by string) []byte { return bytes.ReplaceAll(text, []byte(old), []byte(by)) }
	for title, test := range map[string]struct {
		answer []byte
		want   []*x509.Certificate
	}{
		"PEM":                         {bundle(leaf), alone},
		"PEM with its chain":          {text, chain},
		"PEM without the root":        {bundle(leaf, c.issuing.cert), chain[:2]},
		"PEM without the last break":  {bytes.TrimSpace(text), chain},
		"PEM after a blank line":      {append([]byte("\n\n  \n"), text...), chain},
		"CRLF":                        {replace("\n", "\r\n"), chain},
		"CR alone":                    {replace("\n", "\r"), chain},
		"spaces instead of breaks":    {replace("\n", " "), chain},
		"breaks lost":                 {replace("\n", ""), chain},
		"blank lines between":         {replace("\n", "\n\n"), chain},
		"indented, as in a mail":      {replace("\n", "\n\u00a0\t "), chain},
		"UTF-8 with BOM":              {append([]byte("\ufeff"), text...), chain},
		"UTF-16, little endian":       {utf16Text(binary.LittleEndian, text, true), chain},
		"UTF-16, big endian":          {utf16Text(binary.BigEndian, text, true), chain},
		"UTF-16 without BOM":          {utf16Text(binary.LittleEndian, text, false), chain},
		"UTF-16 BE without BOM":       {utf16Text(binary.BigEndian, text, false), chain},
		"old label":                   {replace("CERTIFICATE", "X509 CERTIFICATE"), chain},
		"what openssl prints":         {[]byte("subject=CN = x\n\nissuer=CN = y\n" + string(bundle(leaf)) + "\nsubject=CN = y\n" + string(bundle(c.issuing.cert))), chain[:2]},
		"a mail around it":            {[]byte("Hi,\r\nhere it is; the private key stays with Okta.\r\n\r\n" + string(text) + "\r\nRegards"), chain},
		"within a web page":           {[]byte("<html><body><pre>" + string(text) + "</pre></body></html>"), chain},
		"DER":                         {leaf.Raw, alone},
		"DER with a line break after": {append(bytes.Clone(leaf.Raw), "\r\n"...), alone},
		"DER, one after the other":    {slices.Concat(leaf.Raw, c.issuing.cert.Raw, c.root.cert.Raw), chain},
		"base64":                      {lines(leaf.Raw, "\n"), alone},
		"base64 with CRLF":            {lines(leaf.Raw, "\r\n"), alone},
		"base64 in one line":          {[]byte(base64.StdEncoding.EncodeToString(leaf.Raw)), alone},
		"base64 without padding":      {[]byte(base64.RawStdEncoding.EncodeToString(leaf.Raw)), alone},
		"base64 in UTF-16":            {utf16Text(binary.LittleEndian, lines(leaf.Raw, "\r\n"), true), alone},
		"the largest":                 {append(bytes.Clone(text), bytes.Repeat([]byte(" "), manual.MaxAnswer-len(text))...), chain},
	} {
		t.Run(title, func(t *testing.T) {
			got, err := manual.Read(test.answer)
			if err != nil {
				t.Fatal(err)
			}
			want := ca.Certificate{Leaf: test.want[0], Chain: test.want[1:]}
			if !bytes.Equal(got.PEM(), want.PEM()) {
				t.Errorf("read %d certificates, want %d, or others", len(got.Chain)+1, len(test.want))
			}
		})
	}
}

// A signature may end with a byte that would be white space in text.
func TestReadKeepsTheLastByteOfDER(t *testing.T) {
	c := example()
	last := c.ecIssuing.leaf(ca.KindApp, nil)
	for last.Raw[len(last.Raw)-1] != '\n' {
		last = c.ecIssuing.leaf(ca.KindApp, nil)
	}
	for title, answer := range map[string][]byte{
		"alone":                      last.Raw,
		"after another":              slices.Concat(c.issuing.cert.Raw, last.Raw),
		"with a line break after it": slices.Concat(c.issuing.cert.Raw, last.Raw, []byte("\n")),
	} {
		got, err := manual.Read(answer)
		if err != nil {
			t.Fatalf("%s: %v", title, err)
		}
		if all := append(ca.Chain{got.Leaf}, got.Chain...); !all[len(all)-1].Equal(last) {
			t.Errorf("%s: another certificate was read", title)
		}
	}
}

func TestReadRefusesWhatIsNoCertificate(t *testing.T) {
	c := example()
	leaf := c.issuing.leaf(ca.KindApp, nil)
	text := string(bundle(leaf))
	p7 := signedData(leaf, c.issuing.cert)
	// PFX ::= SEQUENCE { version 3, authSafe ContentInfo … } (RFC 7292, section 4).
	p12 := append([]byte{0x30, 0x82, 0x02, 0x00, 2, 1, 3, 0x30, 0x82, 0x01, 0xf0, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 1}, make([]byte, 493)...)
	wrongVersion := bytes.Clone(leaf.Raw)
	wrongVersion[bytes.Index(wrongVersion, []byte{0xa0, 3, 2, 1, 2})+4] = 9

	const (
		isEmpty    = "it is empty"
		isP7       = "PKCS#7"
		isPage     = "web page"
		isRequest  = "certificate request (CSR)"
		isDamaged  = "is damaged or cut off"
		isP12      = "PKCS#12"
		isLarge    = "larger than 64 KiB"
		isNothing  = "not a certificate, or not one in a known form"
		isOther    = "a block of the text is not a certificate"
		breaksRule = "RFC 5280"
	)
	for title, test := range map[string]struct {
		answer []byte
		says   string
		remedy string
	}{
		"nothing":                    {nil, isEmpty, "paste"},
		"white space":                {[]byte(" \r\n\t\n"), isEmpty, "paste"},
		"a BOM":                      {[]byte("\ufeff"), isEmpty, "paste"},
		"an empty file in UTF-16":    {[]byte{0xff, 0xfe}, isEmpty, "paste"},
		"PKCS#7 in PEM":              {block("PKCS7", p7), isP7, "openssl pkcs7 -print_certs -in"},
		"CMS in PEM":                 {block("CMS", p7), isP7, "openssl pkcs7 -print_certs -in"},
		"PKCS#7, another label":      {block("PKCS #7 SIGNED DATA", p7), isP7, "openssl pkcs7 -print_certs -in"},
		"PKCS#7 as CERTIFICATE":      {block("CERTIFICATE", p7), isP7, "openssl pkcs7 -print_certs -in"},
		"PKCS#7 in DER":              {p7, isP7, "openssl pkcs7 -inform DER -print_certs -in"},
		"PKCS#7 in BER":              {slices.Concat([]byte{0x30, 0x80}, p7[4:15], []byte{0xa0, 0x80, 0x30, 0x80}), isP7, "openssl pkcs7 -inform DER"},
		"PKCS#7 in bare base64":      {lines(p7, "\r\n"), isP7, "openssl base64 -d -in certificate.p7b | openssl pkcs7 -inform DER"},
		"PKCS#7 in base64, one line": {[]byte(base64.StdEncoding.EncodeToString(p7)), isP7, "openssl base64 -d -A -in certificate.p7b |"},
		"a web page":                 {[]byte("<!DOCTYPE html>\n<html><body>Your session has expired</body></html>"), isPage, "download"},
		"a web page with a BOM":      {[]byte("\ufeff<HTML><BODY>Certificate Services</BODY></HTML>"), isPage, "download"},
		"PEM mangled by a page":      {[]byte("<html><pre>" + strings.Replace(text, "\nMII", "<b>\nMII", 1) + "</pre></html>"), isPage, "download"},
		"SAML metadata":              {[]byte("<?xml version=\"1.0\"?><X509Certificate>MII</X509Certificate>"), isPage, "download"},
		"the request, PEM":           {block("CERTIFICATE REQUEST", csr()), isRequest, "has made from it"},
		"the request, Windows":       {block("NEW CERTIFICATE REQUEST", csr()), isRequest, "has made from it"},
		"the request, DER":           {csr(), isRequest, "has made from it"},
		"the request, base64":        {lines(csr(), "\n"), isRequest, "has made from it"},
		"the request, wrong label":   {block("CERTIFICATE", csr()), isRequest, "has made from it"},
		"the request too":            {append(bundle(leaf), block("CERTIFICATE REQUEST", csr())...), isRequest, "nothing else"},
		"PKCS#12":                    {p12, isP12, "exposed"},
		"PKCS#12 in base64":          {lines(p12, "\n"), isP12, "exposed"},
		"PKCS#12 in PEM":             {block("PKCS12", p12), isP12, "exposed"},
		"too large":                  {append([]byte(text), bytes.Repeat([]byte("\n"), manual.MaxAnswer)...), isLarge, "alone"},
		"end cut off":                {[]byte(text[:len(text)-50]), "certificate 1 of the text " + isDamaged, "whole"},
		"last dashes cut off":        {[]byte(text[:len(text)-3]), isDamaged, "whole"},
		"beginning cut off":          {[]byte(text[40:]), isDamaged, "whole"},
		"first label cut off":        {[]byte(text[3:]), isDamaged, "whole"},
		"label cut off":              {[]byte("-----BEGIN CERTIF"), isDamaged, "whole"},
		"lines lost":                 {[]byte(text[:200] + text[265:]), "certificate 1 of the text " + isDamaged, "whole"},
		"a letter lost":              {[]byte(text[:200] + text[201:]), isDamaged, "whole"},
		"a strange letter":           {[]byte(strings.Replace(text, "\nMII", "\nM*I", 1)), isDamaged, "whole"},
		"second one cut off":         {[]byte(text + string(bundle(c.issuing.cert))[:300]), "certificate 2 of the text " + isDamaged, "whole"},
		"begins twice":               {[]byte("-----BEGIN CERTIFICATE-----\n" + text), isDamaged, "whole"},
		"nothing in the block":       {[]byte("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"), isDamaged, "whole"},
		"DER cut off":                {leaf.Raw[:300], "the file " + isDamaged, "whole"},
		"DER and something":          {append(bytes.Clone(leaf.Raw), 0x30, 0x82), "the file " + isDamaged, "whole"},
		"base64 cut off":             {lines(leaf.Raw, "\n")[:300], isDamaged, "whole"},
		"base64 with a letter":       {append([]byte("MII!"), lines(leaf.Raw, "\n")...), isDamaged, "whole"},
		"against the rules":          {block("CERTIFICATE", wrongVersion), breaksRule, "whole"},
		"a CRL":                      {block("X509 CRL", p7), isOther, "alone"},
		"a public key":               {append(block("PUBLIC KEY", must(x509.MarshalPKIXPublicKey(targetKey().Public()))), text...), isOther, "alone"},
		"prose":                      {[]byte("see attachment"), isNothing, "PEM"},
		"a word in base64":           {[]byte("test"), isNothing, "PEM"},
		"a picture":                  {[]byte("\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"), isNothing, "PEM"},
		"zeros":                      {make([]byte, 100), isEmpty, "paste"},
	} {
		t.Run(title, func(t *testing.T) {
			_, err := manual.Read(test.answer)
			e := named(t, err, ca.NameUnreadable)
			if !strings.Contains(e.Message, test.says) || !strings.Contains(e.Remedy, test.remedy) {
				t.Errorf("error %q does not say %q and %q", e, test.says, test.remedy)
			}
		})
	}
}

func TestReadRefusesPrivateKeysAndQuotesNothingOfThem(t *testing.T) {
	leaf := bundle(example().issuing.leaf(ca.KindApp, nil))
	pkcs8 := must(x509.MarshalPKCS8PrivateKey(targetKey()))
	pkcs1 := x509.MarshalPKCS1PrivateKey(targetKey().(*rsa.PrivateKey))
	sec1 := must(x509.MarshalECPrivateKey(p256()))
	encrypted := func(oid ...int) []byte {
		return must(asn1.Marshal(struct {
			Algorithm pkix.AlgorithmIdentifier
			Data      []byte
		}{pkix.AlgorithmIdentifier{Algorithm: oid}, pkcs8}))
	}
	pbes2, pbe := encrypted(1, 2, 840, 113549, 1, 5, 13), encrypted(1, 2, 840, 113549, 1, 12, 1, 3)
	keyPEM := block("PRIVATE KEY", pkcs8)
	for title, answer := range map[string][]byte{
		"PKCS#8":                       keyPEM,
		"PKCS#8, encrypted":            block("ENCRYPTED PRIVATE KEY", pbes2),
		"PKCS#1":                       block("RSA PRIVATE KEY", pkcs1),
		"PKCS#1, encrypted":            []byte("-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\n" + string(lines(pkcs1, "\n")) + "-----END RSA PRIVATE KEY-----\n"),
		"SEC 1":                        block("EC PRIVATE KEY", sec1),
		"OpenSSH":                      block("OPENSSH PRIVATE KEY", pkcs8),
		"in UTF-16":                    utf16Text(binary.LittleEndian, keyPEM, true),
		"in DER":                       pkcs8,
		"in DER, short":                sec1,
		"in DER, encrypted":            pbes2,
		"in base64":                    lines(pkcs8, "\n"),
		"in base64, PKCS#1":            lines(pkcs1, "\r\n"),
		"in base64, encrypted":         lines(pbe, "\n"),
		"in base64, cut off":           lines(pkcs8, "\n")[:333],
		"with the wrong label":         block("CERTIFICATE", pkcs8),
		"in base64, damaged":           append(lines(pkcs8, "\n")[:333], '!'),
		"with a wrong label, cut off":  append(bytes.Clone(leaf), block("CERTIFICATE", pkcs8)[:500]...),
		"with a strange label":         append(block("CERTIFICATE REQUEST", csr()), block("PUBLIC KEY", pkcs1)...),
		"cut off":                      keyPEM[:len(keyPEM)/2],
		"only its end":                 keyPEM[len(keyPEM)/2:],
		"first dashes cut off":         keyPEM[4:],
		"after the certificate":        append(bytes.Clone(leaf), keyPEM...),
		"before the certificate":       append(bytes.Clone(keyPEM), leaf...),
		"after it, with a wrong label": append(bytes.Clone(leaf), block("CERTIFICATE", pkcs8)...),
		"in a web page":                []byte("<html><pre>" + string(keyPEM) + "</pre></html>"),
		"in a file that is too large":  append(bytes.Repeat([]byte("\n"), manual.MaxAnswer), keyPEM...),
		"with a PKCS#7 file":           append(block("PKCS7", signedData()), keyPEM...),
	} {
		t.Run(title, func(t *testing.T) {
			got, err := manual.Read(answer)
			e := named(t, err, ca.NamePrivateKey)
			if got.Leaf != nil {
				t.Error("a certificate came along with the error")
			}
			if !strings.Contains(e.Remedy, "exposed") || e.Err != nil {
				t.Errorf("error %q does not say that the key is exposed, or has a cause", e)
			}
			quotesNothing(t, e, answer)
		})
	}
}

// quotesNothing fails where e has a piece of answer that is no word of ours.
func quotesNothing(t testing.TB, e *ca.Error, answer []byte) {
	t.Helper()
	const piece = 24
	for at := 0; at+piece <= len(answer); at++ {
		if strings.Contains(e.Error(), string(answer[at:at+piece])) && !bytes.ContainsAny(answer[at:at+piece], " -") {
			t.Fatalf("error %q quotes %q", e, answer[at:at+piece])
		}
	}
}

func FuzzRead(f *testing.F) {
	c := example()
	leaf := c.issuing.leaf(ca.KindIDP, nil)
	text := bundle(leaf, c.issuing.cert)
	for _, seed := range [][]byte{
		nil, text, leaf.Raw, lines(leaf.Raw, "\r\n"), utf16Text(binary.LittleEndian, text, true),
		signedData(leaf), block("PKCS7", signedData(leaf)), csr(), block("CERTIFICATE REQUEST", csr()),
		[]byte("<html>" + string(text)), text[:300], text[300:], block("PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(p256()))),
		must(x509.MarshalECPrivateKey(p256())), {0x30, 0x84, 0xff, 0xff, 0xff, 0xff}, {0x30, 0x80},
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, answer []byte) {
		got, err := manual.Read(answer)
		var e *ca.Error
		switch {
		case errors.As(err, &e):
			if e.Name != ca.NamePrivateKey {
				named(t, err, ca.NameUnreadable)
			}
			if got.Leaf != nil {
				t.Error("a certificate came along with the error")
			}
		case err != nil:
			t.Errorf("error is %v (%T), want an *Error", err, err)
		default:
			again, err := manual.Read(got.PEM())
			if err != nil || !bytes.Equal(again.PEM(), got.PEM()) {
				t.Errorf("what was read is not read again: %v", err)
			}
		}
	})
}
