package acmpca

import (
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/acmpca/types"

	"keyturn/internal/ca"
)

// DefaultTemplate is the name of the template that certificates are made by
// unless another is configured. It sets basicConstraints (critical, CA:FALSE)
// and the key identifiers, and no extendedKeyUsage; all else is what the
// request says.
//
// It is also the one that carries every profile. URLs of a CRL go along with it
// and with its APICSR variety only; other extensions, and the URLs of the
// authority information access, with every template whose name has APIPassthrough
// or APICSRPassthrough; further key usages with those of the Blank ones. A CRL
// or OCSP responder that is configured on the CA adds its own URLs to every
// certificate, whatever the profile says (AWS Private CA User Guide, "AWS
// Private CA template definitions" and "template order of operations").
const DefaultTemplate = "BlankEndEntityCertificate_CriticalBasicConstraints_APIPassthrough/V1"

// template is what a certificate may and may not be asked to say.
type template struct {
	arn  string
	name string
	// api lets extensions through that the template does not set.
	api bool
	// blank leaves keyUsage and extendedKeyUsage open.
	blank bool
	// crl lets cRLDistributionPoints through.
	crl bool
}

// Those for end entities. The others make CAs, or say that the key signs code or
// OCSP answers.
var templateNames = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^(?:(BlankEndEntityCertificate(_CriticalBasicConstraints)?)|EndEntity(?:|ClientAuth|ServerAuth)Certificate)(_APIPassthrough|_CSRPassthrough|_APICSRPassthrough)?/V[0-9]+$`)
})

func parseTemplate(arn, partition string) (template, error) {
	prefix := "arn:" + partition + ":acm-pca:::template/"
	if arn == "" {
		arn = prefix + DefaultTemplate
	}
	bad := func(message string) error {
		return &ca.Error{
			Name: ca.NameMisconfigured, Field: "templateArn", Value: arn, Message: message,
			Remedy: "leave it out, or configure an EndEntityCertificate or BlankEndEntityCertificate template, such as " + prefix + DefaultTemplate,
		}
	}
	name, found := strings.CutPrefix(arn, prefix)
	if !found {
		return template{}, bad("not the ARN of a template in the CA's partition")
	}
	parts := templateNames().FindStringSubmatch(name)
	if parts == nil {
		return template{}, bad("not a template for end entities")
	}
	blank, critical, passthrough := parts[1] != "", parts[2] != "", parts[3]
	if blank && passthrough == "" {
		return template{}, bad("there is no such template without passthrough")
	}
	api := strings.HasPrefix(passthrough, "_API")
	return template{arn: arn, name: name, api: api, blank: blank, crl: api && critical}, nil
}

var (
	oidExtKeyUsage           = asn1.ObjectIdentifier{2, 5, 29, 37}
	oidCRLDistributionPoints = asn1.ObjectIdentifier{2, 5, 29, 31}
	oidAuthorityInfoAccess   = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 1}
	oidOCSP                  = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1}
	oidCAIssuers             = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 2}
)

// passthrough is what the request says beside the CSR; nil where the template
// takes nothing, or there is nothing to say.
func (t template) passthrough(r ca.Request) (*types.ApiPassthrough, error) {
	if err := t.carries(r.Profile); err != nil {
		return nil, err
	}
	if !t.api {
		return nil, nil //nolint:nilnil // nothing to pass is an answer
	}
	extensions := &types.Extensions{}
	if t.blank {
		extensions.KeyUsage = keyUsage(r)
	}
	for i, e := range r.Profile.Extensions {
		custom, err := customExtension(fmt.Sprintf("profile.extensions[%d]", i), e.Id, e.Critical, e.Value)
		if err != nil {
			return nil, err
		}
		extensions.CustomExtensions = append(extensions.CustomExtensions, custom)
	}
	if urls := r.Profile.CRLs; len(urls) > 0 {
		custom, err := customExtension("profile.crlUrls", oidCRLDistributionPoints, false, crlDistributionPoints(urls))
		if err != nil {
			return nil, err
		}
		extensions.CustomExtensions = append(extensions.CustomExtensions, custom)
	}
	if p := r.Profile; len(p.OCSP)+len(p.CAIssuers) > 0 {
		custom, err := customExtension("profile.ocspUrls and caIssuersUrls", oidAuthorityInfoAccess, false, authorityInfoAccess(p.OCSP, p.CAIssuers))
		if err != nil {
			return nil, err
		}
		extensions.CustomExtensions = append(extensions.CustomExtensions, custom)
	}
	if n := len(extensions.CustomExtensions); n > maxExtensions {
		return nil, &ca.Error{
			Name: ca.NameProfile, Field: "profile.extensions", Value: strconv.Itoa(n),
			Message: fmt.Sprintf("AWS Private CA takes %d", maxExtensions), Remedy: "leave some out of the policy's profile",
		}
	}
	if extensions.KeyUsage == nil && extensions.CustomExtensions == nil {
		return nil, nil //nolint:nilnil // nothing to pass is an answer
	}
	return &types.ApiPassthrough{Extensions: extensions}, nil
}

// carries refuses what AWS would leave out without a word: for each extension
// the template's definition comes before API passthrough.
func (t template) carries(p ca.Profile) error {
	refuse := func(field, value, message string) error {
		return &ca.Error{
			Name: ca.NameProfile, Field: field, Value: value, Message: "template " + t.name + " " + message,
			Remedy: "leave it out of the policy's profile, or configure the template " + DefaultTemplate,
		}
	}
	const set = x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment
	switch more := p.KeyUsage &^ set; {
	case t.blank && !t.api && p.KeyUsage != 0:
		return refuse("profile.keyUsage", "set", "takes it from the CSR alone")
	case !t.blank && more != 0:
		return refuse("profile.keyUsage", "more", "sets digitalSignature and keyEncipherment, nothing else")
	}
	for i, e := range p.Extensions {
		field := fmt.Sprintf("profile.extensions[%d]", i)
		switch {
		case !t.api:
			return refuse(field, e.Id.String(), "takes no extensions (no APIPassthrough in its name)")
		case !t.blank && e.Id.Equal(oidExtKeyUsage):
			return refuse(field, e.Id.String(), "sets extendedKeyUsage by itself")
		}
	}
	switch {
	case len(p.CRLs) > 0 && !t.crl:
		return refuse("profile.crlUrls", p.CRLs[0], "takes the CRL from the CA's configuration alone")
	case len(p.OCSP) > 0 && !t.api:
		return refuse("profile.ocspUrls", p.OCSP[0], "takes no extensions (no APIPassthrough in its name)")
	case len(p.CAIssuers) > 0 && !t.api:
		return refuse("profile.caIssuersUrls", p.CAIssuers[0], "takes no extensions (no APIPassthrough in its name)")
	}
	return nil
}

func keyUsage(r ca.Request) *types.KeyUsage {
	usage := x509.KeyUsageDigitalSignature | r.Profile.KeyUsage
	if r.Kind == ca.KindIDP {
		usage |= x509.KeyUsageKeyEncipherment
	}
	has := func(bit x509.KeyUsage) bool { return usage&bit != 0 }
	return &types.KeyUsage{
		DigitalSignature: has(x509.KeyUsageDigitalSignature),
		NonRepudiation:   has(x509.KeyUsageContentCommitment),
		KeyEncipherment:  has(x509.KeyUsageKeyEncipherment),
		DataEncipherment: has(x509.KeyUsageDataEncipherment),
		KeyAgreement:     has(x509.KeyUsageKeyAgreement),
	}
}

// Limits of AWS's CustomExtension (API Reference).
const (
	maxOID   = 64   // characters
	maxValue = 4096 // of base64

	maxExtensions = 150
)

var oids = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[0-2]\.([0-9]|[0-3][0-9])(\.[0-9]+){0,126}$`) })

func customExtension(field string, id asn1.ObjectIdentifier, critical bool, value []byte) (types.CustomExtension, error) {
	refuse := func(value, message string) (types.CustomExtension, error) {
		return types.CustomExtension{}, &ca.Error{
			Name: ca.NameProfile, Field: field, Value: value, Message: message,
			Remedy: "leave it out of the policy's profile, or shorten it",
		}
	}
	oid, encoded := id.String(), base64.StdEncoding.EncodeToString(value)
	switch {
	case len(oid) > maxOID || !oids().MatchString(oid):
		return refuse(oid, fmt.Sprintf("AWS Private CA takes OIDs of at most %d characters whose second number is below 40", maxOID))
	case encoded == "" || len(encoded) > maxValue:
		return refuse(strconv.Itoa(len(value))+" bytes", fmt.Sprintf("AWS Private CA takes 1 to %d bytes", maxValue/4*3))
	}
	return types.CustomExtension{ObjectIdentifier: aws.String(oid), Critical: aws.Bool(critical), Value: aws.String(encoded)}, nil
}

// crlDistributionPoints is RFC 5280, section 4.2.1.13, with one point for each
// URL, as crypto/x509 writes it.
func crlDistributionPoints(urls []string) []byte {
	type name struct {
		FullName []asn1.RawValue `asn1:"optional,tag:0"`
	}
	type point struct {
		Name name `asn1:"optional,tag:0"`
	}
	var points []point
	for _, u := range urls {
		points = append(points, point{name{[]asn1.RawValue{location(u)}}})
	}
	return marshal(points)
}

// authorityInfoAccess is RFC 5280, section 4.2.2.1.
func authorityInfoAccess(ocsp, caIssuers []string) []byte {
	type description struct {
		Method   asn1.ObjectIdentifier
		Location asn1.RawValue
	}
	var descriptions []description
	for _, u := range ocsp {
		descriptions = append(descriptions, description{oidOCSP, location(u)})
	}
	for _, u := range caIssuers {
		descriptions = append(descriptions, description{oidCAIssuers, location(u)})
	}
	return marshal(descriptions)
}

// location is a GeneralName, uniformResourceIdentifier.
func location(u string) asn1.RawValue {
	return asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 6, Bytes: []byte(u)}
}

// marshal fails for values only that are not used here.
func marshal(v any) []byte {
	der, err := asn1.Marshal(v)
	if err != nil {
		panic(err)
	}
	return der
}
