// Package stepca has smallstep's step-ca sign Okta's requests, through a JWK
// provisioner: each request comes with a one-time token that is signed with the
// provisioner's key. It needs step-ca 0.27.3 or newer, which can keep a
// request's subject as it is, lists its intermediates, and ties a token to the
// request that it is for.
//
// # The provisioner
//
// A provisioner of Keyturn's own keeps apart what may be signed for Okta. By
// default step-ca issues for a day, keeps nothing of the subject but its
// commonName, makes that a DNS name, and adds the extended key usages of TLS;
// [ca.Check] refuses such a certificate. So the provisioner needs the template
// that [Template] holds, in a file keyturn.tpl, and a longer duration, here that
// of the policy's usual validityDays, 397:
//
//	step ca provisioner add keyturn --type JWK --create \
//	    --x509-template keyturn.tpl --x509-max-dur 9528h --disable-renewal
//
// or in ca.json:
//
//	{
//	  "type": "JWK", "name": "keyturn", "key": {…}, "encryptedKey": "…",
//	  "claims": {"maxTLSCertDuration": "9528h", "disableRenewal": true},
//	  "options": {"x509": {"templateFile": "templates/keyturn.tpl"}}
//	}
//
// The template takes over the request's subject, byte for byte, and its
// subjectAltNames, of which step-ca lets pass only those in the token. It leaves
// out extKeyUsage (see [ca.Issue]), and sets what Keyturn sends along as
// templateData: keyUsage by the kind of the target, and what the policy's
// profile adds. A template may set all of that by itself instead.
//
// Where the CA has a policy for names (authority.policy.x509), it has to allow
// the commonNames that Keyturn's policy makes.
package stepca

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"keyturn/internal/ca"
)

// Template is the X.509 template of the provisioner that Keyturn uses: Go's
// text/template, with step-ca's functions and data.
const Template = `{
  "subject": {{ toJson .Insecure.CR.Subject }},
  "rawSubject": {{ toJson .Insecure.CR.RawSubject }},
  "dnsNames": {{ toJson .Insecure.CR.DNSNames }},
  "emailAddresses": {{ toJson .Insecure.CR.EmailAddresses }},
  "ipAddresses": {{ toJson .Insecure.CR.IPAddresses }},
  "uris": {{ toJson .Insecure.CR.URIs }},
  "basicConstraints": {"isCA": false},
  "keyUsage": {{ toJson .Insecure.User.keyUsage }},
  "extensions": {{ toJson .Insecure.User.extensions }},
  "crlDistributionPoints": {{ toJson .Insecure.User.crlDistributionPoints }},
  "ocspServer": {{ toJson .Insecure.User.ocspServer }},
  "issuingCertificateURL": {{ toJson .Insecure.User.issuingCertificateURL }}
}
`

const (
	// newTimeout and signTimeout bound New and Sign: together less than the 30
	// seconds that a Lambda function commonly gets.
	newTimeout  = 14 * time.Second
	signTimeout = 12 * time.Second
)

// Config says where the CA is and what it lets Keyturn in by.
type Config struct {
	// URL is the CA's address, such as https://ca.example.com:9000: https, and
	// nothing behind the host, which must be one of the CA's dnsNames.
	URL string
	// Fingerprint is the SHA-256 of the root certificate in hex, with or
	// without colons, as `step certificate fingerprint root_ca.crt` prints it.
	Fingerprint string
	// Provisioner is the name of a JWK provisioner.
	Provisioner string
	// Secret is JSON: {"password": "…"}, the provisioner's password, by which
	// the key is opened that the CA hands out encrypted; or {"key": {JWK}}, the
	// provisioner's private key (EC, RSA or OKP; kid does not matter), where the
	// CA does not keep it. Other fields are refused.
	Secret []byte

	Now    func() time.Time // for tokens and TLS; nil: time.Now
	Random io.Reader        // for the ids of tokens; nil: crypto/rand
	// Transport carries requests over TLS as it is told; nil: net/http's.
	Transport func(*tls.Config) http.RoundTripper
}

// String says nothing of the secret.
func (c Config) String() string {
	return fmt.Sprintf("step-ca %s, root %s, provisioner %q", c.URL, c.Fingerprint, c.Provisioner)
}

// GoString is String.
func (c Config) GoString() string { return c.String() }

// Authority is a step-ca. It is safe for concurrent use if its source of
// randomness is.
type Authority struct {
	client      *client
	provisioner string
	key         tokenKey
	root        *x509.Certificate
	chain       ca.Chain
	now         func() time.Time
	random      io.Reader
}

var _ ca.Authority = (*Authority)(nil)

// New reads what is public of the CA, and opens the provisioner's key. The root
// comes over a connection that is not verified, and is believed by its
// fingerprint; every further connection must verify against this root alone. A
// proxy in the environment is not used.
//
// The CA's certificates are read here and not again: an Authority made before
// the CA got a new intermediate does not recognise what that one signs.
//
// Errors: CA.Misconfigured for what a person must mend, and CA.Unavailable when
// the CA cannot be reached. None holds anything of the secret.
func New(ctx context.Context, c Config) (*Authority, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Random == nil {
		c.Random = rand.Reader
	}
	base, err := parseURL(c.URL)
	if err != nil {
		return nil, err
	}
	fingerprint, err := parseFingerprint(c.Fingerprint)
	if err != nil {
		return nil, err
	}
	if strings.TrimSpace(c.Provisioner) == "" {
		return nil, misconfigured("provisioner", "", "it is empty", "name the CA's JWK provisioner", nil)
	}
	s, err := parseSecret(c.Secret)
	if err != nil {
		return nil, err
	}

	ctx, cancel := context.WithTimeout(ctx, newTimeout)
	defer cancel()
	root, err := c.fetchRoot(ctx, base, fingerprint)
	if err != nil {
		return nil, err
	}
	a := &Authority{
		client:      c.newClient(base, fingerprint, root),
		provisioner: c.Provisioner,
		root:        root,
		now:         c.Now,
		random:      c.Random,
	}
	// A function that is frozen between two calls finds its connections dead.
	defer a.client.http.CloseIdleConnections()
	if a.chain, err = a.client.chain(ctx, root); err != nil {
		return nil, err
	}
	if a.key, err = a.client.provisionerKey(ctx, c.Provisioner, s); err != nil {
		return nil, err
	}
	return a, nil
}

// Sign has step-ca issue a certificate that starts five minutes ago and lasts
// ValidityDays, or until the end of a CA of the chain where that comes first and
// leaves more than 90 days.
//
// step-ca answers at once. When its answer is lost, the certificate has been
// issued all the same: Sign called again makes a new token, because none is
// taken twice, and gets a second certificate for the same request. Only one of
// them is published.
//
// Errors: those of [ca.Request.Validate]; Certificate.TooShort where the CA ends
// too soon; CSR.Invalid and CA.Misconfigured where step-ca refuses request,
// token, duration or names; CA.Unavailable for all that may pass by itself.
func (a *Authority) Sign(ctx context.Context, r ca.Request) (ca.Certificate, error) {
	if err := r.Validate(); err != nil {
		return ca.Certificate{}, err
	}
	csr, err := ca.ParseCSR(r.CSR)
	if err != nil {
		return ca.Certificate{}, err
	}
	// step-ca would issue beyond its own end.
	notBefore, notAfter, err := a.chain.Validity(r.Now, r.ValidityDays)
	if err != nil {
		return ca.Certificate{}, err
	}
	ott, err := a.token(csr)
	if err != nil {
		return ca.Certificate{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, signTimeout)
	defer cancel()
	defer a.client.http.CloseIdleConnections()
	var answer struct {
		CertChain []string `json:"certChain"`
	}
	err = a.client.call(ctx, http.MethodPost, signPath, signRequest{
		CSR:          string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: r.CSR})),
		OTT:          ott,
		NotBefore:    notBefore,
		NotAfter:     notAfter,
		TemplateData: newTemplateData(r),
	}, &answer)
	if err != nil {
		return ca.Certificate{}, a.refusedToSign(err, ott, notAfter.Sub(notBefore))
	}
	cert, err := ca.ParseCertificate([]byte(strings.Join(answer.CertChain, "\n")))
	if err != nil {
		return ca.Certificate{}, err
	}
	// step-ca leaves the root out.
	top := cert.Leaf
	if n := len(cert.Chain); n > 0 {
		top = cert.Chain[n-1]
	}
	if ours, err := (ca.Chain{a.root}).Issued(top); err == nil && ours && !slices.ContainsFunc(cert.Chain, a.root.Equal) {
		cert.Chain = append(cert.Chain, a.root)
	}
	return cert, nil
}

// Issued reports whether the CA's current issuing certificate signed cert; see
// [ca.Chain.Issued].
func (a *Authority) Issued(cert *x509.Certificate) (bool, error) { return a.chain.Issued(cert) }

// Chain returns the issuing CA's certificate first, up to the root.
func (a *Authority) Chain() ca.Chain { return append(ca.Chain(nil), a.chain...) }

// String names the CA. With GoString it keeps the key out of whatever is
// printed.
func (a Authority) String() string {
	return fmt.Sprintf("step-ca %s, provisioner %q", a.client.base, a.provisioner)
}

// GoString is String.
func (a Authority) GoString() string { return a.String() }

// signRequest is api.SignRequest of step-ca.
type signRequest struct {
	CSR          string       `json:"csr"` // PEM
	OTT          string       `json:"ott"`
	NotBefore    time.Time    `json:"notBefore"`
	NotAfter     time.Time    `json:"notAfter"`
	TemplateData templateData `json:"templateData"`
}

// templateData is .Insecure.User in [Template]; empty lists rather than none,
// because the template sets every field.
type templateData struct {
	KeyUsage   []string    `json:"keyUsage"` // names of RFC 5280, section 4.2.1.3
	Extensions []extension `json:"extensions"`
	CRLs       []string    `json:"crlDistributionPoints"`
	OCSP       []string    `json:"ocspServer"`
	CAIssuers  []string    `json:"issuingCertificateURL"`
}

type extension struct {
	ID       string `json:"id"` // dotted decimals
	Critical bool   `json:"critical"`
	Value    []byte `json:"value"` // DER
}

func newTemplateData(r ca.Request) templateData {
	usage := r.Profile.KeyUsage | x509.KeyUsageDigitalSignature
	if r.Kind == ca.KindIDP {
		usage |= x509.KeyUsageKeyEncipherment
	}
	d := templateData{
		KeyUsage:   []string{},
		Extensions: []extension{},
		CRLs:       append([]string{}, r.Profile.CRLs...),
		OCSP:       append([]string{}, r.Profile.OCSP...),
		CAIssuers:  append([]string{}, r.Profile.CAIssuers...),
	}
	for bit, name := range []string{
		"digitalSignature", "contentCommitment", "keyEncipherment", "dataEncipherment", "keyAgreement",
	} {
		if usage&(1<<bit) != 0 {
			d.KeyUsage = append(d.KeyUsage, name)
		}
	}
	for _, e := range r.Profile.Extensions {
		d.Extensions = append(d.Extensions, extension{ID: e.Id.String(), Critical: e.Critical, Value: e.Value})
	}
	return d
}

// parseFingerprint returns lower-case hex without colons.
func parseFingerprint(text string) (string, error) {
	f := strings.ToLower(strings.ReplaceAll(strings.TrimSpace(text), ":", ""))
	if sum, err := hex.DecodeString(f); err != nil || len(sum) != sha256.Size {
		return "", misconfigured("fingerprint", strconv.Quote(text), "not a SHA-256 fingerprint: 64 hex digits, with or without colons",
			"give what `step certificate fingerprint root_ca.crt` prints", nil)
	}
	return f, nil
}

func fingerprintOf(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.Raw)
	return hex.EncodeToString(sum[:])
}

// token makes the one-time token for csr: its claims are those of step-ca's
// command line client. By cnf it is good for this CSR only.
func (a *Authority) token(csr *x509.CertificateRequest) (string, error) {
	id := make([]byte, 32)
	if _, err := io.ReadFull(a.random, id); err != nil {
		return "", &ca.Error{
			Name: ca.NameUnavailable, Field: "token.jti", Message: "no randomness for it", Err: err,
			Remedy: "try again",
		}
	}
	now := a.now()
	sum := sha256.Sum256(csr.Raw)
	claims := claims{
		Issuer:    a.provisioner,
		Audience:  a.client.base + signPath,
		Subject:   csr.Subject.CommonName,
		SANs:      sans(csr),
		Root:      a.client.fingerprint,
		IssuedAt:  now.Unix(),
		NotBefore: now.Unix(),
		Expires:   now.Add(tokenLifetime).Unix(),
		ID:        hex.EncodeToString(id),
		Confirm:   confirmation{CSR: base64.RawURLEncoding.EncodeToString(sum[:])},
	}
	// step-ca wants a subject, and compares it with a commonName only.
	if claims.Subject == "" {
		claims.Subject = csr.Subject.String()
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", misconfigured("token", "", "its claims cannot be written as JSON", "give the provisioner a plain name", err)
	}
	return a.key.sign(payload)
}

const tokenLifetime = 5 * time.Minute

type claims struct {
	Issuer    string       `json:"iss"`
	Audience  string       `json:"aud"`
	Subject   string       `json:"sub"`
	SANs      []string     `json:"sans,omitempty"`
	Root      string       `json:"sha"`
	IssuedAt  int64        `json:"iat"`
	NotBefore int64        `json:"nbf"`
	Expires   int64        `json:"exp"`
	ID        string       `json:"jti"`
	Confirm   confirmation `json:"cnf"`
}

type confirmation struct {
	CSR string `json:"x5rt#S256"` // SHA-256 of the DER, base64url
}

// sans are all names of the CSR: step-ca compares them with the token's. Where
// there are none, it takes the token's subject for one, which only its default
// template uses.
func sans(csr *x509.CertificateRequest) []string {
	names := append(append([]string{}, csr.DNSNames...), csr.EmailAddresses...)
	for _, ip := range csr.IPAddresses {
		names = append(names, ip.String())
	}
	for _, u := range csr.URIs {
		names = append(names, u.String())
	}
	return names
}

// chain reads the CA's intermediates and puts them in order, below root.
func (c *client) chain(ctx context.Context, root *x509.Certificate) (ca.Chain, error) {
	const path = "/1.0/intermediates"
	var answer struct {
		Certificates []string `json:"crts"`
	}
	if err := c.call(ctx, http.MethodGet, path, nil, &answer); err != nil {
		if r := refusalIn(err); r != nil && (r.status == http.StatusNotFound || r.status == http.StatusNotImplemented) {
			return nil, misconfigured("GET "+path, r.String(), "this CA does not list its intermediates",
				"use step-ca 0.27.3 or newer, and the address of the CA itself, not of a registration authority before it", nil)
		}
		return nil, plain(err, "GET "+path)
	}
	listed, err := ca.ParseChain([]byte(strings.Join(answer.Certificates, "\n")))
	if err != nil {
		return nil, err
	}
	chain := ca.Chain{listed[0]}
	if !listed[0].Equal(root) {
		chain = append(chain, append(listed, root).Above(listed[0])...)
	}
	if top := chain[len(chain)-1]; !bytes.Equal(top.Raw, root.Raw) {
		return nil, misconfigured("chain", listed[0].Subject.String(), "the CA's intermediates do not lead to the root "+c.fingerprint,
			"give the fingerprint of the root that the CA's intermediate was signed by", nil)
	}
	return chain, chain.CheckIssuer(chain[0].PublicKey)
}
