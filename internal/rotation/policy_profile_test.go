package rotation_test

import (
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"keyturn/internal/rotation"
)

// fullProfile has something in every field.
func fullProfile() rotation.Profile {
	return rotation.Profile{
		KeyUsage:      []string{"contentCommitment", "dataEncipherment"},
		Extensions:    []rotation.Extension{{OID: "2.5.29.32", Value: "MAgwBgYEVR0gAA=="}, {OID: "2.5.29.37", Critical: true, Value: "MAoGCCsGAQUFBwMC"}},
		CRLURLs:       []string{"http://pki.example.com/ca.crl"},
		OCSPURLs:      []string{"http://ocsp.example.com"},
		CAIssuersURLs: []string{"http://pki.example.com/ca.cer", "https://pki.example.com/ca.cer?as=der"},
	}
}

// profiles draws profiles that are valid.
func profiles() *rapid.Generator[rotation.Profile] {
	return rapid.Custom(func(t *rapid.T) rotation.Profile {
		urls := func(name string) []string {
			return rapid.SliceOfN(rapid.StringMatching(`https?://[a-z]{1,5}\.example\.com(:8080)?/[a-z]{0,5}`), 0, 2).Draw(t, name)
		}
		p := rotation.Profile{KeyUsage: []string{}, Extensions: []rotation.Extension{}, CRLURLs: urls("crlUrls"), OCSPURLs: urls("ocspUrls"), CAIssuersURLs: urls("caIssuersUrls")}
		for _, usage := range []string{"contentCommitment", "keyEncipherment", "dataEncipherment", "keyAgreement"} {
			if rapid.Bool().Draw(t, usage) {
				p.KeyUsage = append(p.KeyUsage, usage)
			}
		}
		for i := range rapid.IntRange(0, 3).Draw(t, "extensions") {
			value, err := asn1.Marshal(rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "value"))
			if err != nil {
				t.Fatal(err)
			}
			p.Extensions = append(p.Extensions, rotation.Extension{OID: fmt.Sprint("1.3.6.1.4.1.32473.", i), Critical: rapid.Bool().Draw(t, "critical"), Value: base64.StdEncoding.EncodeToString(value)})
		}
		return p
	})
}

func TestARuleChangesOfTheProfileWhatItNames(t *testing.T) {
	outside, err := json.Marshal(fullProfile())
	if err != nil {
		t.Fatal(err)
	}
	for rule, change := range map[string]func(*rotation.Profile){
		`{}`:                            func(*rotation.Profile) {},
		`{"keyUsage":[]}`:               func(p *rotation.Profile) { p.KeyUsage = []string{} },
		`{"keyUsage":["keyAgreement"]}`: func(p *rotation.Profile) { p.KeyUsage = []string{"keyAgreement"} },
		`{"extensions":[]}`:             func(p *rotation.Profile) { p.Extensions = []rotation.Extension{} },
		`{"extensions":null}`:           func(p *rotation.Profile) { p.Extensions = []rotation.Extension{} },
		`{"extensions":[{"value":"BQA=","oid":"1.2.3"}]}`: func(p *rotation.Profile) { p.Extensions = []rotation.Extension{{OID: "1.2.3", Value: "BQA="}} },
		`{"crlUrls":["http://a.example.com"],"ocspUrls":[],"caIssuersUrls":["http://b.example.com"]}`: func(p *rotation.Profile) {
			p.CRLURLs, p.OCSPURLs, p.CAIssuersURLs = []string{"http://a.example.com"}, []string{}, []string{"http://b.example.com"}
		},
	} {
		policy := `{"profile":` + string(outside) + `,"rules":[{"match":{"kind":"app"},"profile":` + rule + `}]}`
		want := fullProfile()
		change(&want)
		if diff := cmp.Diff(want, resolve(t, policy, app).Profile); diff != "" {
			t.Errorf("%s (-want +got)\n%s", rule, diff)
		}
		if diff := cmp.Diff(fullProfile(), resolve(t, policy, idp).Profile); diff != "" {
			t.Errorf("outside %s (-want +got)\n%s", rule, diff)
		}
	}
}

func TestProfileThatCannotBeUsedSaysFieldValueAndRemedy(t *testing.T) {
	const (
		always  = "; digitalSignature and, for an IdP, keyEncipherment are always set"
		aURL    = ": use http or https, a host, and no user name, in ASCII, such as http://pki.example.com/ca.crl"
		anOID   = ": use an object identifier in dotted decimals, such as 2.5.29.32"
		oneDER  = ", which is not exactly one DER value: give what is in the extension's OCTET STRING, without it"
		aBase64 = ", which is not standard base64: give the extension's value, one DER value in standard base64"
		value   = `,"value":"BQA="}`
	)
	oid := func(text string) string { return `{"extensions":[{"oid":"` + text + `"` + value + `]}` }
	der := func(text string) string { return `{"extensions":[{"oid":"1.2.3","value":"` + text + `"}]}` }
	url := func(text string) string { return `{"crlUrls":["` + text + `"]}` }
	large := base64.StdEncoding.EncodeToString(append([]byte{4, 0x82, 0x0f, 0xfd}, make([]byte, 4093)...))
	for raw, want := range map[string]string{
		`"x"`:                                         ` is a JSON string: give an object`,
		`{"KeyUsage":[]}`:                             ` has the unknown field "KeyUsage": ` + theFields + "keyUsage, extensions, crlUrls, ocspUrls and caIssuersUrls",
		`{"keyUsage":"x"}`:                            `.keyUsage is a JSON string: give a list`,
		`{"keyUsage":[1]}`:                            `.keyUsage has a JSON number in its list: give strings`,
		`{"extensions":{}}`:                           `.extensions is a JSON object: give a list`,
		`{"extensions":[null]}`:                       `.extensions[0] is a JSON null: give an object`,
		`{"extensions":["x"]}`:                        `.extensions[0] is a JSON string: give an object`,
		`{"extensions":[{"OID":"1.2"}]}`:              `.extensions[0] has the unknown field "OID": ` + theFields + "oid, critical and value",
		`{"extensions":[{"oid":1,"value":""}]}`:       `.extensions[0].oid is a JSON number: give a string`,
		`{"extensions":[{"oid":"1.2.3","value":[]}]}`: `.extensions[0].value is a JSON array: give a string`,
		`{"extensions":[{"oid":"1.2.3","critical":"yes"` + value + `]}`: `.extensions[0].critical is a JSON string: give true or false`,
		`{"extensions":[{"critical":true` + value + `]}`:                `.extensions[0].oid is ""` + anOID,
		`{"extensions":[{"oid":"1.2.3"}]}`:                              `.extensions[0].value is empty: give the extension's value, one DER value in standard base64`,
		`{"crlUrls":[null]}`:                                            `.crlUrls has a JSON null in its list: give strings`,
		`{"ocspUrls":"http://x"}`:                                       `.ocspUrls is a JSON string: give a list`,

		`{"keyUsage":["signing"]}`:                         `.keyUsage has "signing": use contentCommitment, keyEncipherment, dataEncipherment or keyAgreement` + always,
		`{"keyUsage":["encipherOnly"]}`:                    `.keyUsage has "encipherOnly": use contentCommitment, keyEncipherment, dataEncipherment or keyAgreement` + always,
		`{"keyUsage":["digitalSignature"]}`:                `.keyUsage has "digitalSignature": leave it out` + always,
		`{"keyUsage":["keyCertSign"]}`:                     `.keyUsage has "keyCertSign", which is for CAs: leave it out` + always,
		`{"keyUsage":["cRLSign"]}`:                         `.keyUsage has "cRLSign", which is for CAs: leave it out` + always,
		`{"keyUsage":["keyAgreement","x","keyAgreement"]}`: `.keyUsage has "x": use contentCommitment, keyEncipherment, dataEncipherment or keyAgreement` + always,
		`{"keyUsage":["keyAgreement","keyAgreement"]}`:     `.keyUsage has "keyAgreement" twice: keep one of them`,

		oid("policies"):                       `.extensions[0].oid is "policies"` + anOID,
		oid("2"):                              `.extensions[0].oid is "2"` + anOID,
		oid("3.1"):                            `.extensions[0].oid is "3.1"` + anOID,
		oid("1.40"):                           `.extensions[0].oid is "1.40"` + anOID,
		oid("0.40.1"):                         `.extensions[0].oid is "0.40.1"` + anOID,
		oid("1.02"):                           `.extensions[0].oid is "1.02"` + anOID,
		oid("1..2"):                           `.extensions[0].oid is "1..2"` + anOID,
		oid("1.2."):                           `.extensions[0].oid is "1.2."` + anOID,
		oid(".1.2"):                           `.extensions[0].oid is ".1.2"` + anOID,
		oid("1.-2"):                           `.extensions[0].oid is "1.-2"` + anOID,
		oid("1.+2"):                           `.extensions[0].oid is "1.+2"` + anOID,
		oid("1.2 "):                           `.extensions[0].oid is "1.2 "` + anOID,
		oid("1.2.٣"):                          `.extensions[0].oid is "1.2.٣"` + anOID,
		oid("1.2.2147483648"):                 `.extensions[0].oid is "1.2.2147483648"` + anOID,
		oid("2.2147483568"):                   `.extensions[0].oid is "2.2147483568"` + anOID,
		oid("1.2" + strings.Repeat(".1", 19)): `.extensions[0].oid is "1.2` + strings.Repeat(".1", 19) + `"` + anOID,
		oid("2.5.29.14"):                      `.extensions[0].oid is "2.5.29.14" (subjectKeyIdentifier), which Keyturn makes by itself: leave it out`,
		oid("2.5.29.15"):                      `.extensions[0].oid is "2.5.29.15" (keyUsage), which Keyturn makes by itself: use profile.keyUsage`,
		oid("2.5.29.17"):                      `.extensions[0].oid is "2.5.29.17" (subjectAltName), which belongs to the CSR, which has none: leave it out`,
		oid("2.5.29.19"):                      `.extensions[0].oid is "2.5.29.19" (basicConstraints), which Keyturn makes by itself: leave it out`,
		oid("2.5.29.30"):                      `.extensions[0].oid is "2.5.29.30" (nameConstraints), which is for CAs: leave it out`,
		oid("2.5.29.31"):                      `.extensions[0].oid is "2.5.29.31" (cRLDistributionPoints), which Keyturn makes by itself: use profile.crlUrls`,
		oid("2.5.29.35"):                      `.extensions[0].oid is "2.5.29.35" (authorityKeyIdentifier), which Keyturn makes by itself: leave it out`,
		oid("2.5.29.36"):                      `.extensions[0].oid is "2.5.29.36" (policyConstraints), which is for CAs: leave it out`,
		oid("2.5.29.54"):                      `.extensions[0].oid is "2.5.29.54" (inhibitAnyPolicy), which is for CAs: leave it out`,
		oid("1.3.6.1.5.5.7.1.1"):              `.extensions[0].oid is "1.3.6.1.5.5.7.1.1" (authorityInfoAccess), which Keyturn makes by itself: use profile.ocspUrls and profile.caIssuersUrls`,
		`{"extensions":[{"oid":"1.2.3"` + value + `,{"oid":"1.2.4"` + value + `,{"oid":"1.2.3"` + value + `]}`: `.extensions[2].oid is "1.2.3", as that of extensions[0]: a certificate has an extension once; keep one of them`,
		`{"extensions":[` + extensions(11) + `]}`:                                                              `.extensions has 11 extensions: use at most 10`,

		der("BQA"):                    `.extensions[0].value is "BQA"` + aBase64,
		der("BQB="):                   `.extensions[0].value is "BQB="` + aBase64,
		der("BQ A="):                  `.extensions[0].value is "BQ A="` + aBase64,
		der(`BQA=\n`):                 `.extensions[0].value is "BQA=\n"` + aBase64,
		der("_-8="):                   `.extensions[0].value is "_-8="` + aBase64,
		der(strings.Repeat("x!", 60)): `.extensions[0].value is "` + strings.Repeat("x!", 40) + `…"` + aBase64,
		der("BQ=="):                   `.extensions[0].value is "BQ=="` + oneDER,
		der("BQAFAA=="):               `.extensions[0].value is "BQAFAA=="` + oneDER,
		der(large):                    `.extensions[0].value has 4097 bytes: use at most 4096`,

		url(""):                                                    `.crlUrls has ""` + aURL,
		url("pki.example.com/ca.crl"):                              `.crlUrls has "pki.example.com/ca.crl"` + aURL,
		url("ldap://ldap.example.com/cn=CA"):                       `.crlUrls has "ldap://ldap.example.com/cn=CA"` + aURL,
		url("HTTP://pki.example.com"):                              `.crlUrls has "HTTP://pki.example.com"` + aURL,
		url("http:///ca.crl"):                                      `.crlUrls has "http:///ca.crl"` + aURL,
		url("http://:80/ca.crl"):                                   `.crlUrls has "http://:80/ca.crl"` + aURL,
		url("http:pki.example.com"):                                `.crlUrls has "http:pki.example.com"` + aURL,
		url("http://pki.example.com/a b"):                          `.crlUrls has "http://pki.example.com/a b"` + aURL,
		url("http://pki.example.com/ü"):                            `.crlUrls has "http://pki.example.com/ü"` + aURL,
		url("http://pkü.example.com/"):                             `.crlUrls has "http://pkü.example.com/"` + aURL,
		url("http://pki.example.com/%zz"):                          `.crlUrls has "http://pki.example.com/%zz"` + aURL,
		url("http://pki.example.com/?a=%2"):                        `.crlUrls has "http://pki.example.com/?a=%2"` + aURL,
		url("http://pki.example.com/#part"):                        `.crlUrls has "http://pki.example.com/#part"` + aURL,
		url("http://pki.example.com/<a>"):                          `.crlUrls has "http://pki.example.com/<a>"` + aURL,
		url("http://pki.example.com/[a]"):                          `.crlUrls has "http://pki.example.com/[a]"` + aURL,
		url("http://pki.example.com:x/"):                           `.crlUrls has "http://pki.example.com:x/"` + aURL,
		url("http://pki,example.com/"):                             `.crlUrls has "http://pki,example.com/"` + aURL,
		url("http://[::1/"):                                        `.crlUrls has "http://[::1/"` + aURL,
		url("http://[fe80::1%25eth0]/"):                            `.crlUrls has "http://[fe80::1%25eth0]/"` + aURL,
		url(" http://pki.example.com/"):                            `.crlUrls has " http://pki.example.com/"` + aURL,
		url(`http://pki.example.com/\n`):                           `.crlUrls has "http://pki.example.com/\n"` + aURL,
		url("http://pki.example.com/" + strings.Repeat("x", 1002)): `.crlUrls has "http://pki.example.com/` + strings.Repeat("x", 57) + `…", with 1025 characters: use at most 1024`,
		`{"ocspUrls":["http://` + "a" + `"` + strings.Repeat(`,"http://b"`, 10) + `]}`: `.ocspUrls has 11 URLs: use at most 10`,
		`{"caIssuersUrls":["x"]}`: `.caIssuersUrls has "x"` + aURL,
	} {
		t.Run(cutName(raw), func(t *testing.T) {
			_, err := rotation.ResolvePolicy(json.RawMessage(`{"profile":`+raw+`}`), defaults(), app, "")
			wantError(t, err, "Policy.Invalid", "policy.profile"+want)
			_, err = rotation.ResolvePolicy(json.RawMessage(`{"rules":[{"match":{"id":"0oa9"},"profile":`+raw+`}]}`), defaults(), app, "")
			wantError(t, err, "Policy.Invalid", "policy.rules[0].profile"+want)
		})
	}
}

// A policy's errors are logged, and a URL may have a password by mistake.
func TestUserOfAURLIsRefusedAndNotShown(t *testing.T) {
	for _, url := range []string{"http://ca:hunter2@pki.example.com/ca.crl", "http://hunter2@pki.example.com", "ldap://ca:hunter2@ldap.example.com", "ca:hunter2@pki.example.com", "http://ca:hun@ter2@pki.example.com/ü", "http://ca:hunter2@" + strings.Repeat("x", 1100)} {
		_, err := rotation.ResolvePolicy(json.RawMessage(`{"profile":{"ocspUrls":["`+url+`"]}}`), defaults(), app, "")
		if err == nil || strings.Contains(err.Error(), "hun") || !strings.HasPrefix(err.Error(), `policy.profile.ocspUrls has "`) {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func TestProfileTakesWhatCertificatesHave(t *testing.T) {
	for _, raw := range []string{
		`{"keyUsage":["contentCommitment","keyEncipherment","dataEncipherment","keyAgreement"]}`,
		`{"extensions":[{"oid":"0.39","value":"BQA="},{"oid":"1.0","value":"BQA="},{"oid":"2.2147483567.2147483647","value":"BQA="},{"oid":"2.999.0","value":"BQA="}]}`,
		`{"extensions":[{"oid":"1.2` + strings.Repeat(".1", 18) + `","value":"` + base64.StdEncoding.EncodeToString(append([]byte{4, 0x82, 0x0f, 0xfc}, make([]byte, 4092)...)) + `"}]}`,
		`{"extensions":[` + extensions(10) + `]}`,
		`{"crlUrls":["http://pki.example.com","https://pki.example.com:8443/a/b.crl?x=%20&y=a@b","http://192.0.2.1/","http://[2001:db8::1]:80/a_b~(c);'d'*$!,","http://pki_1/"]}`,
		`{"crlUrls":["http://pki.example.com/` + strings.Repeat("x", 1001) + `"]}`,
		`{"ocspUrls":["http://a"` + strings.Repeat(`,"http://b"`, 9) + `]}`,
	} {
		if got := problems(`{"profile":`+raw+`}`, defaults()); got != nil {
			t.Errorf("%.80s: %q", raw, got)
		}
	}
}

func TestValueIsExactlyOneDERValue(t *testing.T) {
	for what, c := range map[string]struct {
		value []byte
		want  bool
	}{
		"NULL":                            {[]byte{5, 0}, true},
		"certificate policies":            {[]byte{0x30, 8, 0x30, 6, 6, 4, 0x55, 0x1d, 0x20, 0}, true},
		"an empty sequence":               {[]byte{0x30, 0}, true},
		"a tag of two bytes":              {[]byte{0x9f, 31, 1, 0}, true},
		"a tag of three bytes":            {[]byte{0x9f, 0x81, 0, 1, 0}, true},
		"128 bytes":                       {append([]byte{4, 0x81, 128}, make([]byte, 128)...), true},
		"256 bytes":                       {append([]byte{4, 0x82, 1, 0}, make([]byte, 256)...), true},
		"deep":                            {nested(1000), true},
		"deep, and one too long":          {append(nested(100), 0), false},
		"cut":                             {[]byte{4, 2, 1}, false},
		"one too many":                    {[]byte{5, 0, 0}, false},
		"two values":                      {[]byte{5, 0, 5, 0}, false},
		"a tag alone":                     {[]byte{5}, false},
		"no length after a long tag":      {[]byte{0x9f, 0x81}, false},
		"a long tag for a short one":      {[]byte{0x9f, 30, 1, 0}, false},
		"a long tag with a leading zero":  {[]byte{0x9f, 0x80, 31, 1, 0}, false},
		"an end of contents":              {[]byte{0, 0}, false},
		"an indefinite length":            {[]byte{0x30, 0x80, 0, 0}, false},
		"a length longer than needed":     {append([]byte{4, 0x81, 127}, make([]byte, 127)...), false},
		"a length with a leading zero":    {append([]byte{4, 0x82, 0, 200}, make([]byte, 200)...), false},
		"a length that is cut":            {[]byte{4, 0x82, 1}, false},
		"a length of three bytes":         {[]byte{4, 0x83, 1, 0, 0}, false},
		"content that is no value":        {[]byte{0x30, 1, 5}, false},
		"content that is longer than it":  {[]byte{0x30, 2, 4, 1}, false},
		"a second content that is broken": {[]byte{0x30, 4, 5, 0, 4, 9}, false},
	} {
		raw := fmt.Appendf(nil, `{"profile":{"extensions":[{"oid":"1.2.3","value":%q}]}}`, base64.StdEncoding.EncodeToString(c.value))
		if _, err := rotation.ParsePolicy(raw, defaults()); (err == nil) != c.want {
			t.Errorf("%s: taken %v, want %v: %v", what, err == nil, c.want, err)
		}
	}
}

// nested is that many sequences, one in the other.
func nested(n int) (der []byte) {
	for range n {
		next, err := asn1.Marshal(asn1.RawValue{Class: asn1.ClassUniversal, Tag: asn1.TagSequence, IsCompound: true, Bytes: der})
		if err != nil {
			panic(err)
		}
		der = next
	}
	return der
}

func TestWhatIsTakenAsDERIsOneValueForEncodingASN1Too(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.SliceOfN(rapid.SampledFrom([]byte{0, 1, 2, 4, 5, 6, 0x30, 0x31, 0x80, 0x81, 0x82, 0x9f, 0xff}), 1, 12).Draw(t, "value")
		raw := fmt.Appendf(nil, `{"profile":{"extensions":[{"oid":"1.2.3","value":%q}]}}`, base64.StdEncoding.EncodeToString(value))
		if _, err := rotation.ParsePolicy(raw, defaults()); err != nil {
			return
		}
		var one asn1.RawValue
		if rest, err := asn1.Unmarshal(value, &one); err != nil || len(rest) > 0 {
			t.Fatalf("% x is taken: %v, %d bytes are left", value, err, len(rest))
		}
	})
}

func extensions(n int) string {
	var list []string
	for i := range n {
		list = append(list, fmt.Sprintf(`{"oid":"1.2.%d","value":"BQA="}`, i))
	}
	return strings.Join(list, ",")
}

// cutName makes a short name for a test out of its input.
func cutName(raw string) string { return raw[:min(60, len(raw))] }

func TestCheckFindsEachProblemOfAProfileOnItsLine(t *testing.T) {
	const policy = `{
  "certificateAuthority": "vault",
  "profile": {
    "keyUsage": ["digitalSignature"],
    "crlUrls": [
      "http://pki.example.com/ca.crl",
      "pki"
    ],
    "extensions": [
      {"oid": "2.5.29.32", "value": "BQA="},
      {
        "oid": "2.5.29.32",
        "critical": true
      },
      {"value": "!"}
    ],
    "keyUsage": [],
    "ocsp": null,
    "ocspUrls": null
  },
  "rules": [
    {
      "match": {"id": "a"},
      "profile": {
        "extensions": [
          {"oid": "1.2.3", "value": "BQA=",
           "oid": "1.2.4"},
          7
        ]
      }
    },
    {
      "match": {"id": "b"},
      "profile": {"caIssuersUrls": ["x"]},
      "signers": ["pki"]
    }
  ]
}
`
	const aURL = ": use http or https, a host, and no user name, in ASCII, such as http://pki.example.com/ca.crl"
	want := []string{
		`2 policy.certificateAuthority is "vault": use local or kms or acmpca or stepca or manual`,
		`4 policy.profile.keyUsage has "digitalSignature": leave it out; digitalSignature and, for an IdP, keyEncipherment are always set`,
		`5 policy.profile.crlUrls has "pki"` + aURL,
		`11 policy.profile.extensions[1].value is empty: give the extension's value, one DER value in standard base64`,
		`12 policy.profile.extensions[1].oid is "2.5.29.32", as that of extensions[0]: a certificate has an extension once; keep one of them`,
		`15 policy.profile.extensions[2].oid is "": use an object identifier in dotted decimals, such as 2.5.29.32`,
		`15 policy.profile.extensions[2].value is "!", which is not standard base64: give the extension's value, one DER value in standard base64`,
		`17 policy.profile.keyUsage is given twice (lines 4 and 17): keep one of them`,
		`18 policy.profile has the unknown field "ocsp": ` + theFields + "keyUsage, extensions, crlUrls, ocspUrls and caIssuersUrls",
		`19 policy.profile.ocspUrls is null: give a value, or leave the field out`,
		`27 policy.rules[0].profile.extensions[0].oid is given twice (lines 26 and 27): keep one of them`,
		`28 policy.rules[0].profile.extensions[1] is a JSON number: give an object`,
		`34 policy.rules[1].profile.caIssuersUrls has "x"` + aURL,
		`35 policy.rules[1].signers has "pki", which is not a mail address: use one such as sso-team@example.com`,
	}
	if diff := cmp.Diff(want, problems(policy, defaults())); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestSignersAreAskedAndElseTheApprovers(t *testing.T) {
	for raw, want := range map[string][]string{
		`{}`:                              {"sso-team@example.com"},
		`{"approvers":["a@example.com"]}`: {"a@example.com"},
		`{"signers":["pki@example.com"]}`: {"pki@example.com"},
		`{"signers":[],"approvers":[]}`:   {},
	} {
		if got := resolve(t, raw, app).SignersOrApprovers(); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", raw, got, want)
		}
	}
}

func TestPolicyTellsWhichCAsItCanLeadTo(t *testing.T) {
	for raw, want := range map[string][]rotation.CertificateAuthority{
		`{}`:                                {"local"},
		`{"certificateAuthority":"stepca"}`: {"stepca"},
		`{"rules":[{"match":{"id":"a"},"certificateAuthority":"manual"},{"match":{"id":"b"}},{"match":{"id":"c"},"certificateAuthority":"manual"}]}`:        {"local", "manual"},
		`{"certificateAuthority":"manual","rules":[{"match":{"id":"a"},"certificateAuthority":"kms"},{"match":{"id":"b"},"certificateAuthority":"local"}]}`: {"local", "kms", "manual"},
	} {
		if got := parse(t, raw).Authorities(); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", raw, got, want)
		}
	}
	base := defaults()
	base.CertificateAuthority = rotation.AuthorityACMPCA
	if policy, err := rotation.ParsePolicy(nil, base); err != nil || !slices.Equal(policy.Authorities(), []rotation.CertificateAuthority{"acmpca"}) {
		t.Errorf("the stack's: %v, %v", policy.Authorities(), err)
	}
}
