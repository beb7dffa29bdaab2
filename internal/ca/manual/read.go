package manual

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"unicode"
	"unicode/utf16"

	"keyturn/internal/ca"
)

// MaxAnswer is the most that [Read] takes, in bytes: a certificate with its
// chain has a few thousand.
const MaxAnswer = 64 << 10

// blank is what a file that holds nothing may have.
const blank = " \t\r\n\x00"

const (
	begin = "-----BEGIN "
	end   = "-----END "
)

// Read takes what a person has pasted or uploaded: a certificate, and the
// certificates of its chain after it if there are any, as
//
//   - PEM (RFC 7468), with any text around the blocks, whatever has become of
//     its line breaks;
//   - DER, one certificate or several;
//   - base64 of DER without the lines BEGIN and END.
//
// Text may be UTF-8, with a byte order mark or without, or UTF-16.
//
// Its refusals are Certificate.PrivateKey and Certificate.Unreadable, always of
// the field "certificate". Message and Remedy are for the person; they quote
// nothing of a private key. That the leaf comes first, and everything else that
// may be wrong with a certificate, is for [ca.Check].
func Read(answer []byte) (ca.Certificate, error) {
	text := toUTF8(answer)
	// Before anything else: of a key people have to hear in any case.
	if holdsKey(text) {
		return ca.Certificate{}, privateKey()
	}
	if len(answer) > MaxAnswer {
		return ca.Certificate{}, unreadable("it is larger than 64 KiB, which no certificate is",
			"paste the certificate and its chain alone")
	}
	var certs []*x509.Certificate
	var err *ca.Error
	switch {
	case len(bytes.Trim(text, blank)) == 0:
		err = unreadable("it is empty", "paste the certificate, "+fromTo)
	case isDER(text):
		certs, err = readDER(text, "the file", "openssl pkcs7 -inform DER -print_certs -in certificate.p7b")
	case bytes.Contains(text, []byte(begin)) || bytes.Contains(text, []byte(end)):
		certs, err = readPEM(string(text))
		if err != nil && err.Name == ca.NameUnreadable && isHTML(text) {
			err = webPage()
		}
	case isHTML(text):
		err = webPage()
	default:
		certs, err = readBase64(string(text))
	}
	if err != nil {
		return ca.Certificate{}, err
	}
	return ca.Certificate{Leaf: certs[0], Chain: certs[1:]}, nil
}

func unreadable(message, remedy string) *ca.Error {
	return &ca.Error{Name: ca.NameUnreadable, Field: "certificate", Message: message, Remedy: remedy}
}

const fromTo = "from -----BEGIN CERTIFICATE----- to -----END CERTIFICATE-----"

func privateKey() *ca.Error {
	return &ca.Error{
		Name: ca.NamePrivateKey, Field: "certificate", Message: "there is a private key in it",
		Remedy: "never paste keys: treat this one as exposed and have it replaced; then paste the certificate alone",
	}
}

func damaged(which string) *ca.Error {
	return unreadable(which+" is damaged or cut off", "copy it once more, whole: "+fromTo+" with all lines between, or upload the file itself")
}

func webPage() *ca.Error {
	return unreadable("this is a web page, and not a certificate",
		"download the certificate from the CA's portal, as Base64 or PEM, and paste what is in that file")
}

func certificateRequest() *ca.Error {
	return unreadable("this is a certificate request (CSR): what the CA is asked to sign, and not what it has signed",
		"paste the certificate that the CA has made from it, and nothing else")
}

func pkcs7(command string) *ca.Error {
	return unreadable("this is a PKCS#7 file (.p7b), which is not read here",
		"convert it, with OpenSSL for instance: "+command+"; paste what that prints, the certificate for the request first")
}

func pkcs12() *ca.Error {
	return unreadable("this is a PKCS#12 file (.p12, .pfx); such files are made to hold private keys",
		"if it holds one, treat that key as exposed and have it replaced; then paste the certificate alone")
}

// toUTF8 undoes what editors on Windows do to text.
func toUTF8(b []byte) []byte {
	switch {
	case bytes.HasPrefix(b, []byte{0xef, 0xbb, 0xbf}):
		return b[3:]
	case bytes.HasPrefix(b, []byte{0xff, 0xfe}):
		return fromUTF16(b[2:], 0)
	case bytes.HasPrefix(b, []byte{0xfe, 0xff}):
		return fromUTF16(b[2:], 1)
	// Without a byte order mark: the zeros of ASCII tell.
	case len(b) >= 4 && b[0] != 0 && b[1] == 0 && b[2] != 0 && b[3] == 0:
		return fromUTF16(b, 0)
	case len(b) >= 4 && b[0] == 0 && b[1] != 0 && b[2] == 0 && b[3] != 0:
		return fromUTF16(b, 1)
	}
	return b
}

// fromUTF16 reads code units whose low byte is at 0 or 1.
func fromUTF16(b []byte, low int) []byte {
	units := make([]uint16, len(b)/2)
	for i := range units {
		units[i] = uint16(b[2*i+low]) | uint16(b[2*i+1-low])<<8
	}
	return []byte(string(utf16.Decode(units)))
}

// keyLabel finds the labels of all private keys in PEM, whole or not.
var keyLabel = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`(BEGIN|END) ([A-Z0-9]+ )*PRIVATE KEY`) })

// holdsKey looks for private keys in PEM, and for one in DER or in base64.
func holdsKey(text []byte) bool {
	if keyLabel().Match(text) || kindOf(text) == kindKey {
		return true
	}
	// A key in a block with a wrong label counts too. Its first bytes suffice.
	for at := 0; ; {
		block := bytes.Index(text[at:], []byte(begin))
		if block < 0 {
			break
		}
		at += block + len(begin)
		if label := bytes.Index(text[at:], []byte("-----")); label >= 0 && startsKey(text[at+label+5:]) {
			return true
		}
	}
	return startsKey(text)
}

// startsKey tells whether base64 starts a private key, whatever comes later.
func startsKey(text []byte) bool {
	start := strings.Map(base64Only, string(text[:min(len(text), 200)]))
	der, _ := base64.RawStdEncoding.DecodeString(start[:len(start)/4*4])
	return kindOf(der) == kindKey
}

func isHTML(text []byte) bool {
	lower := bytes.ToLower(text)
	for _, mark := range []string{"<html", "<!doctype", "<?xml", "</"} {
		if bytes.Contains(lower, []byte(mark)) {
			return true
		}
	}
	return false
}

// readPEM is not pem.Decode, which steps over damaged blocks without a word and
// wants the line breaks where RFC 7468 has them. Copying from a mail or a
// portal moves or removes them.
func readPEM(text string) ([]*x509.Certificate, *ca.Error) {
	const convert = "openssl pkcs7 -print_certs -in certificate.p7b"
	var certs []*x509.Certificate
	for n := 1; ; n++ {
		which := fmt.Sprintf("certificate %d of the text", n)
		at, closing := strings.Index(text, begin), strings.Index(text, end)
		switch {
		case at < 0 && closing < 0:
			return certs, nil
		case at < 0 || closing < at:
			return nil, damaged(which)
		}
		label, rest, ok := strings.Cut(text[at+len(begin):], "-----")
		if !ok {
			return nil, damaged(which)
		}
		body, rest, ok := strings.Cut(rest, end+label+"-----")
		if !ok {
			return nil, damaged(which)
		}
		text = rest
		switch label {
		case "CERTIFICATE", "X509 CERTIFICATE":
		case "CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST":
			return nil, certificateRequest()
		case "PKCS7", "CMS", "PKCS #7 SIGNED DATA":
			return nil, pkcs7(convert)
		case "PKCS12":
			return nil, pkcs12()
		default:
			return nil, unreadable("a block of the text is not a certificate: its first line does not read -----BEGIN CERTIFICATE-----",
				"paste the certificate and its chain alone")
		}
		der, ok := decodeBase64(body)
		if !ok {
			return nil, damaged(which)
		}
		found, err := readDER(der, which, convert)
		if err != nil {
			return nil, err
		}
		certs = append(certs, found...)
	}
}

func readBase64(text string) ([]*x509.Certificate, *ca.Error) {
	der, ok := decodeBase64(text)
	if ok && kindOf(der) != kindNone {
		decode := "openssl base64 -d"
		if !strings.ContainsAny(strings.TrimSpace(text), "\r\n") {
			decode += " -A" // one line, which may be long
		}
		return readDER(der, "the certificate", decode+" -in certificate.p7b | openssl pkcs7 -inform DER -print_certs")
	}
	// What begins as DER does, in base64, once was some.
	if start := strings.TrimSpace(text); strings.HasPrefix(start, "MII") && !strings.ContainsRune(start, ' ') {
		return nil, damaged("the certificate")
	}
	return nil, unreadable("this is not a certificate, or not one in a known form",
		"paste it as PEM, "+fromTo+", or upload the .pem, .crt or .cer file that the CA has made")
}

// decodeBase64 takes no offence at white space, nor at padding that is missing.
func decodeBase64(text string) ([]byte, bool) {
	text = strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || r == '\ufeff' || r == '\u200b' {
			return -1
		}
		return r
	}, text)
	der, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(text, "="))
	return der, err == nil && len(der) > 0
}

func base64Only(r rune) rune {
	switch {
	case 'A' <= r && r <= 'Z', 'a' <= r && r <= 'z', '0' <= r && r <= '9', r == '+', r == '/':
		return r
	}
	return -1
}

// readDER reads certificates one after the other. For people, which names them,
// and convert is the command that turns a PKCS#7 file in this form to PEM.
func readDER(der []byte, which, convert string) ([]*x509.Certificate, *ca.Error) {
	var certs []*x509.Certificate
	for {
		switch kindOf(der) {
		case kindKey:
			return nil, privateKey()
		case kindPKCS7:
			return nil, pkcs7(convert)
		case kindPKCS12:
			return nil, pkcs12()
		}
		var whole asn1.RawValue
		rest, err := asn1.Unmarshal(der, &whole)
		if err != nil {
			return nil, damaged(which)
		}
		cert, err := x509.ParseCertificate(whole.FullBytes)
		switch {
		case err != nil && kindOf(der) == kindRequest:
			return nil, certificateRequest()
		case err != nil:
			e := damaged(which)
			e.Message, e.Err = which+" cannot be read, it is damaged or against the rules for certificates (RFC 5280)", err
			return nil, e
		}
		certs = append(certs, cert)
		if len(bytes.Trim(rest, blank)) == 0 {
			return certs, nil
		}
		der = rest
	}
}

// kind is what DER or BER holds, by its first bytes, so that it is known of a
// part as well.
type kind int

const (
	kindNone kind = iota // not a SEQUENCE
	kindOther
	kindKey
	kindRequest
	kindPKCS7
	kindPKCS12
)

func kindOf(der []byte) kind {
	outer, ok := inside(der)
	if !ok {
		return kindNone
	}
	starts := func(b []byte, prefix ...byte) bool { return bytes.HasPrefix(b, prefix) }
	switch {
	case starts(outer, 2, 1, 0), starts(outer, 2, 1, 1):
		// Its version: PKCS#1, PKCS#8 (RFC 5958), SEC 1 (RFC 5915).
		return kindKey
	case starts(outer, 2, 1, 3):
		return kindPKCS12 // RFC 7292
	case starts(outer, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7):
		return kindPKCS7 // RFC 5652: a content type below 1.2.840.113549.1.7
	}
	inner, ok := inside(outer)
	switch {
	case !ok:
		return kindOther
	case starts(inner, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 5),
		starts(inner, 6, 10, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 12, 1):
		return kindKey // encrypted: PBES1 and PBES2 (RFC 8018), PKCS#12's ciphers
	case starts(inner, 2, 1, 0, 0x30):
		return kindRequest // RFC 2986: version, subject
	}
	return kindOther
}

// inside returns what follows the header of a SEQUENCE, of which the rest may be
// missing. Its length is not compared, and may be indefinite (BER).
func inside(der []byte) ([]byte, bool) {
	if len(der) < 2 || der[0] != 0x30 {
		return nil, false
	}
	header := 2
	if der[1] > 0x80 {
		header += int(der[1] & 0x7f)
	}
	if header > 6 || len(der) < header {
		return nil, false
	}
	return der[header:], true
}

// isDER tells DER from text: what is worth reading has a length in the long
// form, whose first byte no ASCII has.
func isDER(b []byte) bool { return len(b) >= 2 && b[0] == 0x30 && b[1] >= 0x80 && b[1] <= 0x84 }
