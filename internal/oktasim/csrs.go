package oktasim

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// CSR is a certificate signing request that waits to be published.
type CSR struct {
	ID      string
	Created time.Time
	DER     []byte // PKCS#10
	private *rsa.PrivateKey
}

// csrMetadata is the body of "Generate a certificate signing request". There
// is no field for the key's size or algorithm: Okta's are RSA-2048.
type csrMetadata struct {
	Subject         *csrSubject `json:"subject"`
	SubjectAltNames *struct {
		DNSNames []string `json:"dnsNames"`
	} `json:"subjectAltNames"`
}

type csrSubject struct {
	CountryName            string `json:"countryName"`
	StateOrProvinceName    string `json:"stateOrProvinceName"`
	LocalityName           string `json:"localityName"`
	OrganizationName       string `json:"organizationName"`
	OrganizationalUnitName string `json:"organizationalUnitName"`
	CommonName             string `json:"commonName"`
}

type attribute struct {
	field, value string
	oid          asn1.ObjectIdentifier
	max          int // characters
}

// attributes are in the order of the API spec's example CSR. The bounds are
// the upper bounds of RFC 5280, appendix A.1. Stricter: the spec names none,
// but a CA refuses what is longer.
func (s *csrSubject) attributes() []attribute {
	oid := func(n int) asn1.ObjectIdentifier { return asn1.ObjectIdentifier{2, 5, 4, n} }
	return []attribute{
		{"subject.countryName", s.CountryName, oid(6), 2},
		{"subject.stateOrProvinceName", s.StateOrProvinceName, oid(8), 128},
		{"subject.localityName", s.LocalityName, oid(7), 128},
		{"subject.organizationName", s.OrganizationName, oid(10), 64},
		{"subject.organizationalUnitName", s.OrganizationalUnitName, oid(11), 64},
		{"subject.commonName", s.CommonName, oid(3), 64},
	}
}

// check is stricter than the API spec, which requires no field at all and takes
// "Country name or code": a subject must have a common name, a country must be
// a code of two letters. No field may hold control characters, which RFC 4518,
// section 2.2, drops or makes spaces of when names are compared (RFC 5280,
// section 7.1): two subjects would count as one.
func (m *csrMetadata) check() error {
	if m.Subject == nil {
		return invalid("subject", "subject: The field cannot be left blank")
	}
	var causes []string
	for _, a := range m.Subject.attributes() {
		if utf8.RuneCountInString(a.value) > a.max {
			causes = append(causes, fmt.Sprintf("%s: The field is too long: at most %d characters", a.field, a.max))
		}
		if strings.TrimSpace(a.value) != a.value || strings.ContainsFunc(a.value, unicode.IsControl) {
			causes = append(causes, a.field+": The field has invalid characters")
		}
	}
	if c := m.Subject.CountryName; c != "" && (len(c) != 2 || strings.Trim(c, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "") {
		causes = append(causes, "subject.countryName: The field must be a country code of two letters")
	}
	if m.Subject.CommonName == "" {
		causes = append(causes, "subject.commonName: The field cannot be left blank")
	}
	if m.SubjectAltNames != nil {
		for _, name := range m.SubjectAltNames.DNSNames {
			if !isDNSName(name) {
				causes = append(causes, fmt.Sprintf("subjectAltNames.dnsNames: Invalid DNS name: %q", name))
			}
		}
	}
	if len(causes) > 0 {
		return invalid("csr", causes...)
	}
	return nil
}

func isDNSName(name string) bool {
	if len(name) > 253 || name == "" {
		return false
	}
	for label := range strings.SplitSeq(strings.TrimPrefix(name, "*."), ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' ||
			strings.Trim(label, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-") != "" {
			return false
		}
	}
	return true
}

func (m *csrMetadata) pkcs10(private *rsa.PrivateKey) ([]byte, error) {
	var name pkix.RDNSequence
	for _, a := range m.Subject.attributes() {
		if a.value == "" {
			continue
		}
		var value any = asn1.RawValue{Tag: asn1.TagUTF8String, Bytes: []byte(a.value)}
		if a.field == "subject.countryName" {
			value = asn1.RawValue{Tag: asn1.TagPrintableString, Bytes: []byte(a.value)}
		}
		name = append(name, pkix.RelativeDistinguishedNameSET{{Type: a.oid, Value: value}})
	}
	subject, err := asn1.Marshal(name)
	if err != nil {
		return nil, err
	}
	template := &x509.CertificateRequest{RawSubject: subject, SignatureAlgorithm: x509.SHA256WithRSA}
	if m.SubjectAltNames != nil {
		template.DNSNames = m.SubjectAltNames.DNSNames
	}
	return x509.CreateCertificateRequest(rand.Reader, template, private)
}

func (t *target) csr(id string) *CSR {
	for _, c := range t.csrs {
		if c.ID == id {
			return c
		}
	}
	return nil
}

// csrTarget is the target of a CSR call, which must use SAML.
func (o *Org) csrTarget(c *call) (*target, error) {
	t, err := c.target(o)
	if err != nil {
		return nil, err
	}
	return t, t.needSAML()
}

func (o *Org) oneCSR(c *call) (*target, *CSR, error) {
	t, err := o.csrTarget(c)
	if err != nil {
		return nil, nil, err
	}
	csr := t.csr(c.param("csr"))
	if csr == nil {
		return nil, nil, notFound(c.param("csr"), "Csr")
	}
	return t, csr, nil
}

func (c *CSR) json(t *target, base string) []byte {
	type hints struct {
		Allow []string `json:"allow"`
	}
	type link struct {
		Href  string `json:"href"`
		Hints hints  `json:"hints"`
	}
	self := base + "/api/v1/" + t.kind + "s/" + t.id + "/credentials/csrs/" + c.ID
	return encode(struct {
		ID      string `json:"id"`
		Created string `json:"created"`
		CSR     string `json:"csr"`
		Kty     string `json:"kty"`
		Links   struct {
			Self    link `json:"self"`
			Publish link `json:"publish"`
		} `json:"_links"`
	}{c.ID, stamp(c.Created), base64.StdEncoding.EncodeToString(c.DER), "RSA", struct {
		Self    link `json:"self"`
		Publish link `json:"publish"`
	}{link{self, hints{[]string{"GET", "DELETE"}}}, link{self + "/lifecycle/publish", hints{[]string{"POST"}}}}})
}

// answer gives one CSR in the form that Accept asks for.
func (c *CSR) answer(t *target, status int, req *call) *answer {
	if req.accept != "application/pkcs10" {
		return jsonAnswer(status, c.json(t, req.base))
	}
	// The spec calls it base64url; its own example is standard base64.
	return &answer{
		status: status, contentType: "application/pkcs10; filename=okta.p10",
		header: http.Header{"Content-Transfer-Encoding": {"base64"}},
		body:   []byte(base64.StdEncoding.EncodeToString(c.DER)),
	}
}

// listCSRs: listCsrsForApplication, listCsrsForIdentityProvider. Not paged.
func (o *Org) listCSRs(c *call) (*answer, error) {
	t, err := o.csrTarget(c)
	if err != nil {
		return nil, err
	}
	var list [][]byte
	for _, csr := range t.csrs {
		list = append(list, csr.json(t, c.base))
	}
	return jsonAnswer(http.StatusOK, array(list)), nil
}

// generateCSR: generateCsrForApplication, generateCsrForIdentityProvider
// (Okta guide, step 2). The key pair is not among the target's keys until the
// CSR is published.
func (o *Org) generateCSR(c *call) (*answer, error) {
	t, err := o.csrTarget(c)
	if err != nil {
		return nil, err
	}
	var m csrMetadata
	d := json.NewDecoder(bytes.NewReader(c.body))
	d.DisallowUnknownFields() // stricter: a misspelt attribute would be missing from the certificate
	if err := d.Decode(&m); err != nil {
		return nil, malformed(err.Error())
	}
	if err := m.check(); err != nil {
		return nil, err
	}
	private := o.nextPrivateKey()
	der, err := m.pkcs10(private)
	if err != nil {
		return nil, invalid("csr", err.Error())
	}
	csr := &CSR{ID: randomID(32), Created: c.now.UTC().Truncate(time.Millisecond), DER: der, private: private}
	t.csrs = append(t.csrs, csr)
	return csr.answer(t, http.StatusCreated, c), nil
}

// getCSR: getCsrForApplication, getCsrForIdentityProvider.
func (o *Org) getCSR(c *call) (*answer, error) {
	t, csr, err := o.oneCSR(c)
	if err != nil {
		return nil, err
	}
	return csr.answer(t, http.StatusOK, c), nil
}

// revokeCSR: revokeCsrFromApplication, revokeCsrForIdentityProvider. The key
// pair is gone with it.
func (o *Org) revokeCSR(c *call) (*answer, error) {
	t, csr, err := o.oneCSR(c)
	if err != nil {
		return nil, err
	}
	t.dropCSR(csr)
	return &answer{status: http.StatusNoContent}, nil
}

func (t *target) dropCSR(csr *CSR) {
	t.csrs = slices.DeleteFunc(t.csrs, func(c *CSR) bool { return c == csr })
}

// publishCSR: publishCsrFromApplication, publishCsrForIdentityProvider (Okta
// guide, step 4). The certificate's key joins the target's keys under a new
// kid and is not put into use; the CSR is no longer accessible.
func (o *Org) publishCSR(c *call) (*answer, error) {
	t, csr, err := o.oneCSR(c)
	if err != nil {
		return nil, err
	}
	certificate, err := readCertificate(c)
	if err != nil {
		return nil, err
	}
	if err := checkCertificate(certificate, csr, c.now); err != nil {
		return nil, err
	}
	k := keyOf(o.newKid(t.kind), c.now, certificate, csr.private)
	t.keys = append(t.keys, k)
	t.dropCSR(csr)
	return jsonAnswer(http.StatusCreated, k.json()), nil
}

// readCertificate takes the three media types of the API spec. Binary bodies
// may be standard base64 when Content-Transfer-Encoding says so (the spec says
// base64url; its own example and an Okta engineer say base64). A media type
// and a body that do not belong together are refused.
func readCertificate(c *call) (*x509.Certificate, error) {
	bad := func(err error) error {
		return invalid("certificate", fmt.Sprintf("The certificate could not be read: %v", err))
	}
	encoding := strings.ToLower(strings.TrimSpace(c.header.Get("Content-Transfer-Encoding")))
	der := c.body
	switch c.contentType {
	case "application/x-pem-file":
		if encoding == "base64" {
			return nil, bad(errors.New("a PEM file is not sent in base64"))
		}
		// Stricter: exactly one certificate, the leaf, and nothing around it.
		// What Okta makes of a chain is not documented.
		block, rest := pem.Decode(c.body)
		if block == nil || block.Type != "CERTIFICATE" || !bytes.HasPrefix(bytes.TrimSpace(c.body), []byte("-----BEGIN")) {
			return nil, bad(errors.New("no PEM certificate"))
		}
		if len(bytes.TrimSpace(rest)) > 0 {
			return nil, bad(errors.New("more than one certificate in the file"))
		}
		der = block.Bytes
	case "application/pkix-cert", "application/x-x509-ca-cert":
		switch encoding {
		case "", "binary", "8bit":
		case "base64":
			decoded, err := base64.StdEncoding.Strict().DecodeString(string(bytes.TrimSpace(c.body)))
			if err != nil {
				return nil, bad(err)
			}
			der = decoded
		default:
			return nil, bad(fmt.Errorf("unknown Content-Transfer-Encoding %q", encoding))
		}
	default:
		return nil, badContentType()
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, bad(err)
	}
	return certificate, nil
}

// minValidity is the hard rule of the API spec: a certificate valid for 90
// days or less is refused.
const minValidity = 90 * 24 * time.Hour

func checkCertificate(certificate *x509.Certificate, csr *CSR, now time.Time) error {
	public, ok := certificate.PublicKey.(*rsa.PublicKey)
	if !ok || !public.Equal(csr.private.Public()) {
		return invalid("certificate", "The certificate doesn't match the CSR.")
	}
	if !now.Before(certificate.NotAfter) {
		return invalid("certificate", "The certificate has expired.")
	}
	// Stricter: one sentence of the spec means the certificate's whole period,
	// another what is left of it. Both must be more than 90 days.
	period := certificate.NotAfter.Sub(certificate.NotBefore)
	if left := certificate.NotAfter.Sub(now); min(period, left) <= minValidity {
		f := invalid("certificate", "The certificate must be valid for more than 90 days.")
		f.bareCause = true
		return f
	}
	// Stricter: nothing says what Okta does with these two.
	if certificate.NotBefore.After(now.Add(5 * time.Minute)) {
		return invalid("certificate", "The certificate is not valid yet.")
	}
	if certificate.IsCA {
		return invalid("certificate", "The certificate is a CA certificate.")
	}
	return nil
}
