package rotation

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Profile is what a certificate says beside subject, validity and what Okta
// needs. Where the CA decides that by itself, a certificate without it is
// refused.
//
// Its lists are written when they are empty, too: a policy that is laid over
// another one has all that it says.
type Profile struct {
	// KeyUsage adds to digitalSignature and, for an IdP, keyEncipherment, which
	// are always set: names of RFC 5280, section 4.2.1.3.
	KeyUsage []string `json:"keyUsage"`
	// Extensions are further ones, such as certificate policies.
	Extensions []Extension `json:"extensions"`
	// CRLURLs are the CRL distribution points (section 4.2.1.13).
	CRLURLs []string `json:"crlUrls"`
	// OCSPURLs and CAIssuersURLs are the authority information access (section
	// 4.2.2.1).
	OCSPURLs      []string `json:"ocspUrls"`
	CAIssuersURLs []string `json:"caIssuersUrls"`
}

// Extension is one X.509 extension.
type Extension struct {
	// OID in dotted decimals, such as 2.5.29.32.
	OID      string `json:"oid"`
	Critical bool   `json:"critical,omitempty"`
	// Value is the extension's value: DER in standard base64.
	Value string `json:"value"`
}

func (p Profile) clone() Profile {
	p.KeyUsage = append([]string{}, p.KeyUsage...)
	p.Extensions = append([]Extension{}, p.Extensions...)
	p.CRLURLs = append([]string{}, p.CRLURLs...)
	p.OCSPURLs = append([]string{}, p.OCSPURLs...)
	p.CAIssuersURLs = append([]string{}, p.CAIssuersURLs...)
	return p
}

// The most that a profile may have: partners' forms take certificates of a few
// KiB, and the profile travels in the state of an execution.
const (
	maxExtensions    = 10
	maxExtensionSize = 4 << 10 // DER, in bytes
	maxURLs          = 10
	maxURLLength     = 1024
)

// addedUsages are the names in RFC 5280, section 4.2.1.3, that make sense for
// a key that Okta holds.
var addedUsages = []string{"contentCommitment", "keyEncipherment", "dataEncipherment", "keyAgreement"}

func (p Profile) mistakes() (found []mistake) {
	wrong := func(field, other, format string, args ...any) {
		field = "profile." + field
		found = append(found, mistake{field, other, field + fmt.Sprintf(format, args...)})
	}
	const always = "digitalSignature and, for an IdP, keyEncipherment are always set"
	for i, usage := range p.KeyUsage {
		switch {
		case slices.Contains(p.KeyUsage[:i], usage):
			wrong("keyUsage", "", " has %q twice: keep one of them", cut(usage))
		case slices.Contains(addedUsages, usage):
		case usage == "digitalSignature":
			wrong("keyUsage", "", " has %q: leave it out; %s", usage, always)
		case usage == "keyCertSign" || usage == "cRLSign":
			wrong("keyUsage", "", " has %q, which is for CAs: leave it out; %s", usage, always)
		default:
			wrong("keyUsage", "", " has %q: use contentCommitment, keyEncipherment, dataEncipherment or keyAgreement; %s", cut(usage), always)
		}
	}

	if n := len(p.Extensions); n > maxExtensions {
		wrong("extensions", "", " has %d extensions: use at most %d", n, maxExtensions)
	}
	for i, e := range p.Extensions {
		item := fmt.Sprintf("extensions[%d]", i)
		extension := func(field, format string, args ...any) { wrong(item+"."+field, "profile."+item, format, args...) }
		name, remedy := madeByKeyturn(e.OID)
		first := slices.IndexFunc(p.Extensions, func(other Extension) bool { return other.OID == e.OID })
		switch {
		case !isOID(e.OID):
			extension("oid", " is %q: use an object identifier in dotted decimals, such as 2.5.29.32", cut(e.OID))
		case name != "":
			extension("oid", " is %q (%s), which %s", e.OID, name, remedy)
		case first < i:
			extension("oid", " is %q, as that of extensions[%d]: a certificate has an extension once; keep one of them", e.OID, first)
		}
		der, err := base64.StdEncoding.Strict().DecodeString(e.Value)
		switch {
		case e.Value == "":
			extension("value", " is empty: give the extension's value, one DER value in standard base64")
		case err != nil || strings.ContainsAny(e.Value, "\r\n"):
			extension("value", " is %q, which is not standard base64: give the extension's value, one DER value in standard base64", cut(e.Value))
		case len(der) > maxExtensionSize:
			extension("value", " has %d bytes: use at most %d", len(der), maxExtensionSize)
		case !isDER(der):
			extension("value", " is %q, which is not exactly one DER value: give what is in the extension's OCTET STRING, without it", cut(e.Value))
		}
	}

	for _, list := range []struct {
		field string
		urls  []string
	}{{"crlUrls", p.CRLURLs}, {"ocspUrls", p.OCSPURLs}, {"caIssuersUrls", p.CAIssuersURLs}} {
		if n := len(list.urls); n > maxURLs {
			wrong(list.field, "", " has %d URLs: use at most %d", n, maxURLs)
		}
		for _, u := range list.urls {
			switch {
			case len(u) > maxURLLength:
				wrong(list.field, "", " has %q, with %d characters: use at most %d", cut(withoutUser(u)), utf8.RuneCountInString(u), maxURLLength)
			case !isURL(u):
				wrong(list.field, "", " has %q: use http or https, a host, and no user name, in ASCII, such as http://pki.example.com/ca.crl", cut(withoutUser(u)))
			}
		}
	}
	return found
}

// cut keeps long texts out of errors.
func cut(s string) string {
	const most = 80
	if runes := []rune(s); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return s
}

// madeByKeyturn names the extensions that a profile cannot give, and says why:
// those that every certificate gets or that other fields are for, and those that
// only a CA may have.
func madeByKeyturn(oid string) (name, why string) {
	const (
		byItself = "Keyturn makes by itself: "
		leave    = "leave it out"
		forCAs   = "is for CAs: " + leave
	)
	switch oid {
	case "2.5.29.14":
		return "subjectKeyIdentifier", byItself + leave
	case "2.5.29.15":
		return "keyUsage", byItself + "use profile.keyUsage"
	case "2.5.29.17":
		return "subjectAltName", "belongs to the CSR, which has none: " + leave
	case "2.5.29.19":
		return "basicConstraints", byItself + leave
	case "2.5.29.30":
		return "nameConstraints", forCAs
	case "2.5.29.31":
		return "cRLDistributionPoints", byItself + "use profile.crlUrls"
	case "2.5.29.35":
		return "authorityKeyIdentifier", byItself + leave
	case "2.5.29.36":
		return "policyConstraints", forCAs
	case "2.5.29.54":
		return "inhibitAnyPolicy", forCAs
	case "1.3.6.1.5.5.7.1.1":
		return "authorityInfoAccess", byItself + "use profile.ocspUrls and profile.caIssuersUrls"
	}
	return "", ""
}

// isOID tells whether a text is an object identifier (X.660) that crypto/x509
// can write: each arc, and 80 and the second one under 2, at most 2^31 - 1.
func isOID(s string) bool {
	arcs := strings.Split(s, ".")
	if len(arcs) < 2 || len(arcs) > 20 {
		return false
	}
	most := uint64(2)
	for i, arc := range arcs {
		n, err := strconv.ParseUint(arc, 10, 31)
		if err != nil || (arc[0] == '0' && arc != "0") || n > most {
			return false
		}
		switch {
		case i == 0 && n < 2:
			most = 39
		case i == 0:
			most = 1<<31 - 1 - 80
		default:
			most = 1<<31 - 1
		}
	}
	return true
}

// isDER tells whether b is one DER value: identifiers and lengths (X.690,
// sections 8.1 and 10.1) that add up, as deep as the value goes. What is inside
// a primitive value is not looked at.
func isDER(b []byte) bool {
	rest, ok := afterValue(b)
	return ok && len(rest) == 0
}

// afterValue gives what follows the first value in b.
func afterValue(b []byte) (rest []byte, ok bool) {
	if len(b) < 2 || b[0] == 0 { // 0: end of contents, which DER has no use for
		return nil, false
	}
	constructed := b[0]&0x20 != 0
	at := 1
	if b[0]&0x1f == 0x1f { // a tag from 31 on: seven bits a byte, without leading zeros
		if b[1] == 0x80 || b[1] < 31 {
			return nil, false
		}
		for at < len(b) && b[at]&0x80 != 0 {
			at++
		}
		at++
	}
	if at >= len(b) {
		return nil, false
	}
	length := int(b[at])
	at++
	if length > 127 { // in the long form, as short as can be; two bytes are enough
		n := length & 0x7f
		if n < 1 || n > 2 || at+n > len(b) {
			return nil, false
		}
		length = int(b[at])
		if n == 2 {
			length = length<<8 | int(b[at+1])
		}
		if length < 128 || (n == 2 && length < 256) {
			return nil, false
		}
		at += n
	}
	if length > len(b)-at {
		return nil, false
	}
	content, rest := b[at:at+length], b[at+length:]
	for constructed && len(content) > 0 {
		if content, ok = afterValue(content); !ok {
			return nil, false
		}
	}
	return rest, true
}

const (
	lettersAndDigits = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	// urlCharacters are those of RFC 3986 outside of the host, without # since a
	// fragment means nothing here.
	urlCharacters = lettersAndDigits + "-._~:/?@!$&'()*+,;=%"
)

// isURL tells whether a text can be a URL in a certificate (RFC 5280, section
// 4.2.1.6): for http, which is usual since https may need the very certificate
// (section 8), or for https.
func isURL(s string) bool {
	u, err := url.Parse(s)
	if err != nil || (!strings.HasPrefix(s, "http://") && !strings.HasPrefix(s, "https://")) || u.User != nil {
		return false
	}
	host, characters := u.Hostname(), lettersAndDigits+"-._"
	if strings.HasPrefix(u.Host, "[") {
		characters = "0123456789abcdefABCDEF:."
	}
	if host == "" || strings.Trim(host, characters) != "" || strings.Trim(strings.Replace(s, u.Host, "", 1), urlCharacters) != "" {
		return false
	}
	for i, part := range strings.Split(s, "%") {
		if _, err := strconv.ParseUint(part[:min(2, len(part))], 16, 8); i > 0 && (err != nil || len(part) < 2) {
			return false
		}
	}
	return true
}

// withoutUser takes out of a URL, right or wrong, what may be a password.
func withoutUser(s string) string {
	scheme, rest, ok := strings.Cut(s, "//")
	if at := strings.LastIndexByte(rest, '@'); ok && at >= 0 {
		return scheme + "//…" + rest[at:]
	}
	if at := strings.LastIndexByte(s, '@'); at >= 0 {
		return "…" + s[at:]
	}
	return s
}
