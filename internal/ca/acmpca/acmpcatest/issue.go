package acmpcatest

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/acmpca/types"
)

// issueRequest is the part of IssueCertificate that is simulated (API
// Reference, IssueCertificate).
type issueRequest struct {
	ApiPassthrough          *passthrough
	CertificateAuthorityArn string
	Csr                     []byte
	IdempotencyToken        *string
	SigningAlgorithm        types.SigningAlgorithm
	TemplateArn             *string
	Validity                *validity
	ValidityNotBefore       *validity
}

type validity struct {
	Type  types.ValidityPeriodType
	Value int64
}

type passthrough struct {
	Extensions *struct {
		KeyUsage         *map[string]bool
		CustomExtensions *[]customExtension
	}
}

type customExtension struct {
	Critical         bool
	ObjectIdentifier string
	Value            string
}

var (
	tokens  = regexp.MustCompile(`^[\t\n\r\x{20}-\x{FF}]{1,36}$`)
	oids    = regexp.MustCompile(`^([0-2])\.([0-9]|([0-3][0-9]))((\.([0-9]+)){0,126})$`)
	usages  = map[string]x509.KeyUsage{"DigitalSignature": x509.KeyUsageDigitalSignature, "NonRepudiation": x509.KeyUsageContentCommitment, "KeyEncipherment": x509.KeyUsageKeyEncipherment, "DataEncipherment": x509.KeyUsageDataEncipherment, "KeyAgreement": x509.KeyUsageKeyAgreement, "KeyCertSign": x509.KeyUsageCertSign, "CRLSign": x509.KeyUsageCRLSign, "EncipherOnly": x509.KeyUsageEncipherOnly, "DecipherOnly": x509.KeyUsageDecipherOnly}
	signing = map[types.SigningAlgorithm]x509.SignatureAlgorithm{
		types.SigningAlgorithmSha256withrsa: x509.SHA256WithRSA, types.SigningAlgorithmSha384withrsa: x509.SHA384WithRSA, types.SigningAlgorithmSha512withrsa: x509.SHA512WithRSA,
		types.SigningAlgorithmSha256withrsaPss: x509.SHA256WithRSAPSS, types.SigningAlgorithmSha384withrsaPss: x509.SHA384WithRSAPSS, types.SigningAlgorithmSha512withrsaPss: x509.SHA512WithRSAPSS,
		types.SigningAlgorithmSha256withecdsa: x509.ECDSAWithSHA256, types.SigningAlgorithmSha384withecdsa: x509.ECDSAWithSHA384, types.SigningAlgorithmSha512withecdsa: x509.ECDSAWithSHA512,
	}
)

// validate holds the request against the constraints of AWS's API model.
func (in *issueRequest) validate() error {
	bad := func(member string) error {
		return refuse("ValidationException", "1 validation error detected: Value at '%s' failed to satisfy constraint", member)
	}
	switch {
	case in.CertificateAuthorityArn == "" || len(in.CertificateAuthorityArn) > 200:
		return bad("certificateAuthorityArn")
	case len(in.Csr) == 0 || len(in.Csr) > 32768:
		return bad("csr")
	case !slices.Contains(in.SigningAlgorithm.Values(), in.SigningAlgorithm):
		return bad("signingAlgorithm")
	case in.IdempotencyToken != nil && !tokens.MatchString(*in.IdempotencyToken):
		return bad("idempotencyToken")
	case in.Validity == nil:
		return bad("validity")
	}
	for _, v := range []*validity{in.Validity, in.ValidityNotBefore} {
		if v != nil && (v.Value < 1 || !slices.Contains(v.Type.Values(), v.Type)) {
			return bad("validity")
		}
	}
	if in.ApiPassthrough == nil || in.ApiPassthrough.Extensions == nil {
		return nil
	}
	if usage := in.ApiPassthrough.Extensions.KeyUsage; usage != nil {
		for name := range *usage {
			if _, known := usages[name]; !known {
				return bad("apiPassthrough.extensions.keyUsage." + name)
			}
		}
	}
	if custom := in.ApiPassthrough.Extensions.CustomExtensions; custom != nil {
		if len(*custom) < 1 || len(*custom) > 150 {
			return bad("apiPassthrough.extensions.customExtensions")
		}
		seen := map[string]bool{}
		for _, e := range *custom {
			if _, err := base64.StdEncoding.DecodeString(e.Value); err != nil || e.Value == "" || len(e.Value) > 4096 || len(e.ObjectIdentifier) > 64 || !oids.MatchString(e.ObjectIdentifier) {
				return bad("apiPassthrough.extensions.customExtensions")
			}
			if seen[e.ObjectIdentifier] {
				return refuse("InvalidArgsException", "Extension %s is given more than once", e.ObjectIdentifier)
			}
			seen[e.ObjectIdentifier] = true
		}
	}
	return nil
}

func (in *issueRequest) csr() (*x509.CertificateRequest, error) {
	block, rest := pem.Decode(in.Csr)
	if block == nil || block.Type != "CERTIFICATE REQUEST" || len(bytes.TrimSpace(rest)) > 0 {
		return nil, refuse("MalformedCSRException", "The CSR is not in PEM")
	}
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err == nil {
		err = csr.CheckSignature()
	}
	if err != nil {
		return nil, refuse("MalformedCSRException", "%v", err)
	}
	return csr, nil
}

// definition is what a template sets, and what it lets through.
type definition struct {
	api, csr, crl bool
	criticalCA    bool
	usage         x509.KeyUsage // 0: open
	extUsage      []x509.ExtKeyUsage
}

// sets are the extensions that are the template's whatever else is asked for.
func (d definition) sets(oid string) bool {
	switch oid {
	case "2.5.29.14", "2.5.29.19", "2.5.29.35":
		return true
	case "2.5.29.31":
		return !d.crl // else the CA's configuration, which has none here
	case "2.5.29.15", "2.5.29.37":
		return d.usage != 0
	}
	return false
}

// templates are those for end entities, by name.
var templates = func() map[string]definition {
	all := map[string]definition{}
	add := func(name string, d definition, plain bool) {
		if plain {
			all[name+"/V1"] = d
		}
		for suffix, through := range map[string][2]bool{"_APIPassthrough": {true, false}, "_CSRPassthrough": {false, true}, "_APICSRPassthrough": {true, true}} {
			d.api, d.csr = through[0], through[1]
			d.crl = d.api && d.criticalCA || d.csr
			all[name+suffix+"/V1"] = d
		}
	}
	const tls = x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment
	add("EndEntityCertificate", definition{usage: tls, extUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}, true)
	add("EndEntityClientAuthCertificate", definition{usage: tls, extUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, true)
	add("EndEntityServerAuthCertificate", definition{usage: tls, extUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}, true)
	add("BlankEndEntityCertificate", definition{}, false)
	add("BlankEndEntityCertificate_CriticalBasicConstraints", definition{criticalCA: true}, false)
	return all
}()

// certificate is what the request asks a CA for.
func (in *issueRequest) certificate(a *authority, now time.Time) (*x509.Certificate, error) {
	name := "EndEntityCertificate/V1"
	if in.TemplateArn != nil {
		name = strings.TrimPrefix(*in.TemplateArn, "arn:aws:acm-pca:::template/")
	}
	d, known := templates[name]
	if !known {
		return nil, refuse("InvalidArgsException", "The template %s is not one for end entities", name)
	}
	if in.ApiPassthrough != nil && !d.api {
		return nil, refuse("InvalidArgsException", "The template %s does not support ApiPassthrough", name)
	}
	csr, err := in.csr()
	if err != nil {
		return nil, err
	}
	if len(csr.Subject.Names) == 0 && len(csr.DNSNames)+len(csr.EmailAddresses)+len(csr.IPAddresses)+len(csr.URIs) == 0 {
		return nil, refuse("MalformedCSRException", "The CSR has neither subject nor subject alternative name")
	}
	_, isRSA := a.key.Public().(*rsa.PublicKey)
	_, isEC := a.key.Public().(*ecdsa.PublicKey)
	if forRSA := strings.Contains(string(in.SigningAlgorithm), "RSA"); signing[in.SigningAlgorithm] == 0 || forRSA != isRSA || !isRSA && !isEC {
		return nil, refuse("InvalidArgsException", "The signing algorithm %s is not valid for the key of the CA", in.SigningAlgorithm)
	}
	notBefore, notAfter, err := in.dates(a.chain[0], now)
	if err != nil {
		return nil, err
	}
	serial := make([]byte, 16)
	if _, err := rand.Read(serial); err != nil {
		return nil, refuse("InternalFailure", "%v", err)
	}
	serial[0] = serial[0]&0x7f | 0x40 // the same length for all
	cert := &x509.Certificate{
		SerialNumber: new(big.Int).SetBytes(serial), RawSubject: csr.RawSubject,
		NotBefore: notBefore, NotAfter: notAfter, SignatureAlgorithm: signing[in.SigningAlgorithm],
		KeyUsage: d.usage, ExtKeyUsage: d.extUsage, SubjectKeyId: keyID(csr.RawSubjectPublicKeyInfo),
	}
	if d.criticalCA {
		cert.BasicConstraintsValid = true
	} else {
		cert.ExtraExtensions = append(cert.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 19}, Value: []byte{0x30, 0}})
	}
	cert.ExtraExtensions = append(cert.ExtraExtensions, in.extensions(d, cert, csr)...)
	return cert, nil
}

// extensions are those that come from the API, then those from the CSR. Key
// usage of the API is set in cert.
func (in *issueRequest) extensions(d definition, cert *x509.Certificate, csr *x509.CertificateRequest) []pkix.Extension {
	var through []pkix.Extension
	taken := map[string]bool{}
	if in.ApiPassthrough != nil && in.ApiPassthrough.Extensions != nil {
		api := in.ApiPassthrough.Extensions
		if api.KeyUsage != nil && d.usage == 0 {
			for name, set := range *api.KeyUsage {
				if set {
					cert.KeyUsage |= usages[name]
				}
			}
			taken["2.5.29.15"] = true
		}
		if api.CustomExtensions != nil {
			for _, e := range *api.CustomExtensions {
				if !d.sets(e.ObjectIdentifier) && !taken[e.ObjectIdentifier] {
					value, _ := base64.StdEncoding.DecodeString(e.Value) // validate has looked
					through = append(through, pkix.Extension{Id: parseOID(e.ObjectIdentifier), Critical: e.Critical, Value: value})
					taken[e.ObjectIdentifier] = true
				}
			}
		}
	}
	for _, e := range csr.Extensions {
		oid := e.Id.String()
		if (d.csr || oid == "2.5.29.17") && !d.sets(oid) && !taken[oid] {
			through = append(through, e)
		}
	}
	return through
}

func (in *issueRequest) dates(issuer *x509.Certificate, now time.Time) (notBefore, notAfter time.Time, err error) {
	notBefore = now.Add(-time.Hour)
	if start := in.ValidityNotBefore; start != nil {
		if start.Type != types.ValidityPeriodTypeAbsolute {
			return notBefore, notAfter, refuse("InvalidArgsException", "ValidityNotBefore must be ABSOLUTE")
		}
		notBefore = time.Unix(start.Value, 0)
	}
	n := int(in.Validity.Value)
	switch in.Validity.Type {
	case types.ValidityPeriodTypeAbsolute:
		notAfter = time.Unix(in.Validity.Value, 0)
	case types.ValidityPeriodTypeDays:
		notAfter = now.AddDate(0, 0, n)
	case types.ValidityPeriodTypeMonths:
		notAfter = now.AddDate(0, n, 0)
	case types.ValidityPeriodTypeYears:
		notAfter = now.AddDate(n, 0, 0)
	default:
		return notBefore, notAfter, refuse("InvalidArgsException", "Validity of type %s is not simulated", in.Validity.Type)
	}
	switch {
	case !notAfter.After(now) || !notAfter.After(notBefore):
		err = refuse("InvalidArgsException", "The certificate would end before it starts")
	case !notAfter.Before(issuer.NotAfter):
		err = refuse("ValidationException", "The certificate validity specified exceeds the certificate authority validity")
	}
	return notBefore, notAfter, err
}

// keyID is method 1 of RFC 5280, section 4.2.1.2.
func keyID(publicKeyInfo []byte) []byte {
	var info struct {
		Algorithm pkix.AlgorithmIdentifier
		Key       asn1.BitString
	}
	_, _ = asn1.Unmarshal(publicKeyInfo, &info) // crypto/x509 has read it
	sum := sha1.Sum(info.Key.RightAlign())
	return sum[:]
}

func parseOID(text string) asn1.ObjectIdentifier {
	var id asn1.ObjectIdentifier
	for part := range strings.SplitSeq(text, ".") {
		n, _ := strconv.Atoi(part) // digits, says the pattern
		id = append(id, n)
	}
	return id
}
