package ca

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// reservedExtensions are the extensions that a [Profile] may not name, and why.
var reservedExtensions = map[string]string{
	"2.5.29.14":         "subjectKeyIdentifier: the CA makes it from the key",
	"2.5.29.15":         "keyUsage: name the usages in the profile's keyUsage instead",
	"2.5.29.17":         "subjectAltName: it is the request's",
	"2.5.29.19":         "basicConstraints: it always says that this is no CA",
	"2.5.29.30":         "nameConstraints: it is for CAs",
	"2.5.29.31":         "cRLDistributionPoints: name the URLs in the profile's crlUrls instead",
	"2.5.29.33":         "policyMappings: it is for CAs",
	"2.5.29.35":         "authorityKeyIdentifier: the CA makes it from its own certificate",
	"2.5.29.36":         "policyConstraints: it is for CAs",
	"2.5.29.54":         "inhibitAnyPolicy: it is for CAs",
	"1.3.6.1.5.5.7.1.1": "authorityInfoAccess: name the URLs in the profile's ocspUrls and caIssuersUrls instead",
}

// ReservedExtension says of an OID in dotted decimals whether
// [Profile].Extensions may not have it, and why: [Issue] makes the extension by
// itself, or it belongs to CAs only (RFC 5280, section 4.2.1).
func ReservedExtension(oid string) (why string, reserved bool) {
	why, reserved = reservedExtensions[oid]
	return why, reserved
}

// profileUsages are those that a profile may ask for. The others are for CAs,
// or say nothing without keyAgreement.
const profileUsages = x509.KeyUsageDigitalSignature | x509.KeyUsageContentCommitment |
	x509.KeyUsageKeyEncipherment | x509.KeyUsageDataEncipherment | x509.KeyUsageKeyAgreement

// check refuses, as Certificate.WrongProfile, what no certificate should or
// can say.
func (p Profile) check() *Error {
	bad := func(field, value, message, remedy string) *Error {
		return &Error{Name: NameProfile, Field: field, Value: value, Message: message, Remedy: remedy}
	}
	if other := p.KeyUsage &^ profileUsages; other != 0 {
		return bad("profile.keyUsage", usageText(other), "not for the key of an app or IdP",
			"use "+usageText(profileUsages))
	}
	for i, e := range p.Extensions {
		field, oid := fmt.Sprintf("profile.extensions[%d]", i), e.Id.String()
		if why, ok := ReservedExtension(oid); ok {
			return bad(field+".oid", oid, why, "leave it out of the extensions")
		}
		if slices.ContainsFunc(p.Extensions[:i], func(other pkix.Extension) bool { return other.Id.Equal(e.Id) }) {
			return bad(field+".oid", oid, "a certificate has each extension once (RFC 5280, section 4.2)", "name it once")
		}
		if _, err := asn1.Marshal(e.Id); err != nil {
			return bad(field+".oid", oid, "no object identifier", "give one such as 2.5.29.32")
		}
		var value asn1.RawValue
		if rest, err := asn1.Unmarshal(e.Value, &value); err != nil || len(rest) > 0 {
			return bad(field+".value", fmt.Sprintf("%d bytes", len(e.Value)), "not one value in DER",
				"give the extension's value in DER, without the OCTET STRING around it")
		}
	}
	for _, list := range p.urls(nil) {
		for i, u := range list.want {
			if parsed, err := url.Parse(u); err != nil || !parsed.IsAbs() || strings.ContainsFunc(u, notInURL) {
				return bad(fmt.Sprintf("profile.%s[%d]", list.name, i), u, "not an absolute URL in ASCII",
					"give one such as http://pki.example.com/ca.crl")
			}
		}
	}
	return nil
}

// notInURL keeps a URL to what an IA5String and RFC 3986 can hold.
func notInURL(r rune) bool { return r <= ' ' || r > '~' }

// urls pairs what p wants with what cert, which may be nil, has.
func (p Profile) urls(cert *x509.Certificate) []urlList {
	if cert == nil {
		cert = &x509.Certificate{}
	}
	return []urlList{
		{"crlUrls", "cRLDistributionPoints", p.CRLs, cert.CRLDistributionPoints},
		{"ocspUrls", "authorityInfoAccess.ocsp", p.OCSP, cert.OCSPServer},
		{"caIssuersUrls", "authorityInfoAccess.caIssuers", p.CAIssuers, cert.IssuingCertificateURL},
	}
}

type urlList struct {
	name, extension string
	want, got       []string
}

// checkProfile refuses a certificate that lacks what the profile asks for, or
// that has a critical extension which neither the profile nor this package
// knows: partners have to refuse it (RFC 5280, section 4.2).
func checkProfile(leaf *x509.Certificate, p Profile) *Error {
	wrong := func(field, value, message, remedy string) *Error {
		return &Error{Name: NameProfile, Field: "certificate." + field, Value: value, Message: message, Remedy: remedy}
	}
	const change = ", or change the policy's profile"
	if lacks := p.KeyUsage &^ leaf.KeyUsage; lacks != 0 {
		return wrong("keyUsage", usageText(leaf.KeyUsage), "the policy's profile also asks for "+usageText(lacks),
			"have the CA set it"+change)
	}
	for _, want := range p.Extensions {
		field := "extensions[" + want.Id.String() + "]"
		at := slices.IndexFunc(leaf.Extensions, func(e pkix.Extension) bool { return e.Id.Equal(want.Id) })
		if at < 0 {
			return wrong(field, "missing", "the policy's profile asks for it", "have the CA set it"+change)
		}
		switch got := leaf.Extensions[at]; {
		case got.Critical != want.Critical:
			return wrong(field+".critical", strconv.FormatBool(got.Critical), fmt.Sprintf("the policy's profile says %v", want.Critical),
				"have the CA set it so"+change)
		case !bytes.Equal(got.Value, want.Value):
			return wrong(field+".value", hex.EncodeToString(got.Value), "the policy's profile says "+printable(hex.EncodeToString(want.Value)),
				"have the CA set it so"+change)
		}
	}
	for _, list := range p.urls(leaf) {
		for _, u := range list.want {
			if slices.Contains(list.got, u) {
				continue
			}
			value := "missing"
			if len(list.got) > 0 {
				value = strings.Join(list.got, " ")
			}
			return wrong(list.extension, value, "the policy's profile also asks for "+printable(u),
				"have the CA set it"+change)
		}
	}
	if unknown := unknownCritical(leaf, p); len(unknown) > 0 {
		return wrong("extensions["+unknown[0].String()+"]", "critical", "partners that do not know it must refuse the certificate",
			"have the CA leave it out or mark it as not critical, or add it to the policy's profile")
	}
	return nil
}

// unknownCritical are cert's critical extensions that neither crypto/x509 nor
// the profile knows.
func unknownCritical(cert *x509.Certificate, p Profile) []asn1.ObjectIdentifier {
	return slices.DeleteFunc(slices.Clone(cert.UnhandledCriticalExtensions), func(id asn1.ObjectIdentifier) bool {
		return slices.ContainsFunc(p.Extensions, func(e pkix.Extension) bool { return e.Id.Equal(id) })
	})
}
