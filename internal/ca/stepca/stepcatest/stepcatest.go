// Package stepcatest is a step-ca in memory, over TLS: the part of its API that
// internal/ca/stepca uses, with one JWK provisioner, as step-ca 0.30.2 behaves.
// It is stricter than the real one: it takes no fields and no claims that it
// does not know, and a token must be for this request, this root and this URL.
// It can be told to fail, and to answer with a certificate that is not right.
package stepcatest

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"

	"keyturn/internal/ca"
)

// Name and password of the provisioner.
const (
	Provisioner = "keyturn"
	Password    = "correct horse battery staple"
)

const skew = time.Minute // what step-ca grants to clocks

// Options say how the CA is set up. The zero value is one as Keyturn needs it.
type Options struct {
	// Now is the CA's clock; nil: time.Now. Its certificates are valid from a
	// year before to 20 years after it.
	Now func() time.Time
	// Key is the provisioner's: ECDSA, RSA or Ed25519; nil: ECDSA on P-256.
	Key crypto.Signer
	// Iterations of PBKDF2 for the encrypted key; 0: 1000, for speed.
	Iterations int
	// EncryptedKey is handed out as the provisioner's encrypted key; empty: Key,
	// encrypted with Password.
	EncryptedKey string
	// KeepsKey has the CA not hand out the encrypted key.
	KeepsKey bool
	// MaxDuration is the provisioner's maxTLSCertDuration; 0: 9528 hours.
	MaxDuration time.Duration
	// NoTemplate leaves the provisioner with step-ca's default template.
	NoTemplate bool
	// MoreProvisioners stand before the right one in the list, as JSON.
	MoreProvisioners []string
	// RootIssues has the root sign, without an intermediate.
	RootIssues bool

	// Answer, if set, decides what the CA answers with to a request that it has
	// granted.
	Answer func(Issuance) ca.Certificate
	// Wrap, if set, stands before the CA: it may answer in its place, lose its
	// answer, or look on.
	Wrap func(http.Handler) http.Handler
}

// Issuance is a request that the CA has granted, and all that a doctored answer
// can be made with.
type Issuance struct {
	CSR *x509.CertificateRequest
	// Honest is what the CA answers with by itself: the leaf and its issuing
	// CA, without the root.
	Honest ca.Certificate
	// Issuer signs, and Root has signed Issuer.
	Issuer, Root Pair
}

// Pair is a certificate with its key.
type Pair struct {
	Cert *x509.Certificate
	Key  crypto.Signer
}

// Server is the CA. It is safe for concurrent use.
type Server struct {
	URL         string
	Fingerprint string // of the root, as `step certificate fingerprint` prints it
	Chain       ca.Chain

	options      Options
	issuer, root Pair
	key          jose.JSONWebKey
	encryptedKey string
	started      time.Time
	handler      http.Handler
	http         *httptest.Server

	mu     sync.Mutex
	used   map[string]bool
	issued []*x509.Certificate
}

// Start serves a CA on a free port of the loopback interface until Close. It
// panics where the options are none.
func Start(o Options) *Server {
	s := New(o)
	s.http = httptest.NewUnstartedServer(s)
	s.http.TLS = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{s.serverCertificate()}}
	s.http.Config.ErrorLog = log.New(io.Discard, "", 0) // of connections that clients refuse
	s.http.StartTLS()
	s.URL = s.http.URL
	return s
}

// New is a CA without an address, which answers what it is handed. It panics
// where the options are none.
func New(o Options) *Server {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Key == nil {
		o.Key = newKey()
	}
	if o.Iterations == 0 {
		o.Iterations = 1000
	}
	if o.MaxDuration == 0 {
		o.MaxDuration = 9528 * time.Hour
	}
	s := &Server{options: o, used: map[string]bool{}, started: o.Now().Truncate(time.Second)}
	s.root = s.authority("Example Root", 1, nil)
	s.issuer = s.root
	if !o.RootIssues {
		s.issuer = s.authority("Example Issuing", 0, &s.root)
		s.Chain = ca.Chain{s.issuer.Cert}
	}
	s.Chain = append(s.Chain, s.root.Cert)
	sum := sha256.Sum256(s.root.Cert.Raw)
	s.Fingerprint = hex.EncodeToString(sum[:])

	s.key = jose.JSONWebKey{Key: o.Key}
	s.key.KeyID = base64.RawURLEncoding.EncodeToString(must(s.key.Thumbprint(crypto.SHA256)))
	if s.encryptedKey = o.EncryptedKey; s.encryptedKey == "" {
		s.encryptedKey = Encrypt(s.key, Password, o.Iterations)
	}

	mux := http.NewServeMux()
	mux.HandleFunc("GET /1.0/root/{sum}", s.getRoot)
	mux.HandleFunc("GET /1.0/roots", s.getRoots)
	mux.HandleFunc("GET /1.0/intermediates", s.getIntermediates)
	mux.HandleFunc("GET /1.0/provisioners", s.getProvisioners)
	mux.HandleFunc("GET /1.0/provisioners/{kid}/encrypted-key", s.getEncryptedKey)
	mux.HandleFunc("POST /1.0/sign", s.postSign)
	s.handler = mux
	if o.Wrap != nil {
		s.handler = o.Wrap(mux)
	}
	return s
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// Close ends the CA.
func (s *Server) Close() { s.http.Close() }

// PasswordSecret is the secret with the provisioner's password.
func (s *Server) PasswordSecret() []byte {
	return must(json.Marshal(map[string]string{"password": Password}))
}

// KeySecret is the secret with the provisioner's key.
func (s *Server) KeySecret() []byte {
	return must(json.Marshal(map[string]any{"key": s.key}))
}

// Issued are the certificates that the CA has issued so far, before anything
// was made of them by [Options].Answer.
func (s *Server) Issued() []*x509.Certificate {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.issued)
}

// Encrypt is a provisioner's encrypted key, as the step command makes it.
func Encrypt(key any, password string, iterations int) string {
	encrypter := must(jose.NewEncrypter(jose.A256GCM, jose.Recipient{
		Algorithm: jose.PBES2_HS256_A128KW, Key: []byte(password),
		PBES2Count: iterations, PBES2Salt: []byte("0123456789abcdef"),
	}, new(jose.EncrypterOptions).WithContentType("jwk+json")))
	return must(must(encrypter.Encrypt(must(json.Marshal(key)))).CompactSerialize())
}

func newKey() crypto.Signer { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) }

// authority makes a CA below parent, or a root.
func (s *Server) authority(name string, pathLen int, parent *Pair) Pair {
	now := s.options.Now()
	key := newKey()
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: name},
		NotBefore: now.AddDate(-1, 0, 0), NotAfter: now.AddDate(20, 0, 0),
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, BasicConstraintsValid: true, IsCA: true,
		MaxPathLen: pathLen, MaxPathLenZero: true,
	}
	if parent == nil {
		parent = &Pair{template, key}
	}
	return Pair{sign(template, *parent, key.Public()), key}
}

// serverCertificate is issued by the CA itself, as step-ca's is.
func (s *Server) serverCertificate() tls.Certificate {
	now := s.options.Now()
	key := newKey()
	leaf := sign(&x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: "Step Online CA"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(1, 0, 0),
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, s.issuer, key.Public())
	return tls.Certificate{Certificate: [][]byte{leaf.Raw, s.issuer.Cert.Raw}, PrivateKey: key}
}

func (s *Server) getRoot(w http.ResponseWriter, r *http.Request) {
	if sum := r.PathValue("sum"); sum != s.Fingerprint {
		refuse(w, http.StatusNotFound, fmt.Sprintf("root certificate with fingerprint %q was not found", sum))
		return
	}
	answer(w, http.StatusOK, map[string]string{"ca": text(s.root.Cert)})
}

func (s *Server) getRoots(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusCreated, map[string]any{"crts": []string{text(s.root.Cert)}})
}

func (s *Server) getIntermediates(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusCreated, map[string]any{"crts": []string{text(s.issuer.Cert)}})
}

// getProvisioners gives one at a time, so that clients have to turn pages.
func (s *Server) getProvisioners(w http.ResponseWriter, r *http.Request) {
	public := s.key.Public()
	ours := map[string]any{"type": "JWK", "name": Provisioner, "key": public}
	if !s.options.KeepsKey {
		ours["encryptedKey"] = s.encryptedKey
	}
	list := append(slices.Clone(s.options.MoreProvisioners), string(must(json.Marshal(ours))))
	at := 0
	if cursor := r.URL.Query().Get("cursor"); cursor != "" {
		var err error
		if at, err = strconv.Atoi(cursor); err != nil || at >= len(list) {
			refuse(w, http.StatusBadRequest, "")
			return
		}
	}
	next := ""
	if at+1 < len(list) {
		next = strconv.Itoa(at + 1)
	}
	answer(w, http.StatusOK, map[string]any{"provisioners": []json.RawMessage{json.RawMessage(list[at])}, "nextCursor": next})
}

func (s *Server) getEncryptedKey(w http.ResponseWriter, r *http.Request) {
	if s.options.KeepsKey || r.PathValue("kid") != s.key.KeyID {
		refuse(w, http.StatusNotFound, "")
		return
	}
	answer(w, http.StatusOK, map[string]string{"key": s.encryptedKey})
}

type signRequest struct {
	CSR          string    `json:"csr"`
	OTT          string    `json:"ott"`
	NotBefore    time.Time `json:"notBefore"`
	NotAfter     time.Time `json:"notAfter"`
	TemplateData *userData `json:"templateData"`
}

// userData is what the template reads as .Insecure.User.
type userData struct {
	KeyUsage   []string `json:"keyUsage"`
	Extensions []struct {
		ID       string `json:"id"`
		Critical bool   `json:"critical"`
		Value    []byte `json:"value"`
	} `json:"extensions"`
	CRLs      []string `json:"crlDistributionPoints"`
	OCSP      []string `json:"ocspServer"`
	CAIssuers []string `json:"issuingCertificateURL"`
}

func (s *Server) postSign(w http.ResponseWriter, r *http.Request) {
	var request signRequest
	if err := strict(r.Body, &request); err != nil {
		refuse(w, http.StatusBadRequest, "The request could not be completed: error reading request body.")
		return
	}
	block, rest := pem.Decode([]byte(request.CSR))
	if block == nil || block.Type != "CERTIFICATE REQUEST" || len(rest) > 0 {
		refuse(w, http.StatusBadRequest, "The request could not be completed: missing csr.")
		return
	}
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil || csr.CheckSignature() != nil {
		refuse(w, http.StatusBadRequest, "The request could not be completed: invalid csr.")
		return
	}
	claims, err := s.authorize(request.OTT, csr)
	if err != nil {
		refuse(w, http.StatusUnauthorized, "")
		return
	}
	cert, status, problem := s.issue(csr, claims, request)
	if status != 0 {
		refuse(w, status, problem)
		return
	}
	honest := ca.Certificate{Leaf: cert, Chain: ca.Chain{s.issuer.Cert}}
	s.mu.Lock()
	s.issued = append(s.issued, cert)
	s.mu.Unlock()
	if s.options.Answer != nil {
		honest = s.options.Answer(Issuance{CSR: csr, Honest: honest, Issuer: s.issuer, Root: s.root})
	}
	chain := []string{text(honest.Leaf)}
	for _, c := range honest.Chain {
		chain = append(chain, text(c))
	}
	body := map[string]any{"crt": chain[0], "certChain": chain}
	if len(chain) > 1 {
		body["ca"] = chain[1]
	}
	answer(w, http.StatusCreated, body)
}

type claims struct {
	Issuer    string   `json:"iss"`
	Audience  string   `json:"aud"`
	Subject   string   `json:"sub"`
	SANs      []string `json:"sans"`
	Root      string   `json:"sha"`
	IssuedAt  int64    `json:"iat"`
	NotBefore int64    `json:"nbf"`
	Expires   int64    `json:"exp"`
	ID        string   `json:"jti"`
	Confirm   struct {
		CSR string `json:"x5rt#S256"`
	} `json:"cnf"`
}

// authorize verifies a one-time token. Its errors are for debugging: step-ca
// does not tell them either.
func (s *Server) authorize(ott string, csr *x509.CertificateRequest) (claims, error) {
	var c claims
	token, err := jose.ParseSignedCompact(ott, []jose.SignatureAlgorithm{
		jose.RS256, jose.ES256, jose.ES384, jose.ES512, jose.EdDSA,
	})
	if err != nil {
		return c, err
	}
	if header := token.Signatures[0].Header; header.KeyID != s.key.KeyID || header.ExtraHeaders[jose.HeaderType] != "JWT" {
		return c, errors.New("another key")
	}
	payload, err := token.Verify(s.key.Public())
	if err != nil {
		return c, err
	}
	if err := strict(bytes.NewReader(payload), &c); err != nil {
		return c, err
	}
	now := s.options.Now()
	sum := sha256.Sum256(csr.Raw)
	switch {
	case c.Issuer != Provisioner:
		return c, errors.New("iss")
	case c.Audience != s.URL+"/1.0/sign":
		return c, errors.New("aud")
	case c.Subject == "":
		return c, errors.New("sub")
	case c.Root != s.Fingerprint:
		return c, errors.New("sha")
	case c.Confirm.CSR != base64.RawURLEncoding.EncodeToString(sum[:]):
		return c, errors.New("cnf")
	case now.Before(time.Unix(c.NotBefore, 0).Add(-skew)), now.After(time.Unix(c.Expires, 0).Add(skew)):
		return c, errors.New("nbf or exp")
	case time.Unix(c.IssuedAt, 0).Before(s.started), time.Unix(c.IssuedAt, 0).After(now.Add(skew)):
		return c, errors.New("iat")
	case c.Expires-c.NotBefore > 300:
		return c, errors.New("valid for more than five minutes")
	case len(c.ID) < 32:
		return c, errors.New("jti")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.used[c.ID] {
		return c, errors.New("token already used")
	}
	s.used[c.ID] = true
	return c, nil
}

// issue applies the template. A status other than 0 is a refusal.
func (s *Server) issue(csr *x509.CertificateRequest, c claims, r signRequest) (cert *x509.Certificate, status int, problem string) {
	const forbidden = "The request was forbidden by the certificate authority: "
	names := c.SANs
	if len(names) == 0 {
		names = []string{c.Subject}
	}
	if cn := csr.Subject.CommonName; cn != "" && cn != c.Subject && !slices.Contains(names, cn) {
		return nil, http.StatusForbidden, forbidden + "certificate request does not contain the valid common name - got " + cn + "."
	}
	sans := split(names)
	if !covers(sans.DNSNames, csr.DNSNames) || !covers(sans.EmailAddresses, csr.EmailAddresses) ||
		!covers(texts(sans.IPAddresses), texts(csr.IPAddresses)) || !covers(texts(sans.URIs), texts(csr.URIs)) {
		return nil, http.StatusForbidden, forbidden + "certificate request does not contain the valid names."
	}
	template := &x509.Certificate{NotBefore: r.NotBefore, NotAfter: r.NotAfter, SerialNumber: serial()}
	if s.options.NoTemplate {
		template.Subject = pkix.Name{CommonName: c.Subject}
		template.DNSNames, template.EmailAddresses, template.IPAddresses, template.URIs = sans.DNSNames, sans.EmailAddresses, sans.IPAddresses, sans.URIs
		template.KeyUsage = x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	} else {
		if r.TemplateData == nil {
			return nil, http.StatusInternalServerError, ""
		}
		template.RawSubject, template.BasicConstraintsValid = csr.RawSubject, true
		template.DNSNames, template.EmailAddresses, template.IPAddresses, template.URIs = csr.DNSNames, csr.EmailAddresses, csr.IPAddresses, csr.URIs
		if err := r.TemplateData.apply(template); err != nil {
			return nil, http.StatusInternalServerError, "error applying certificate template - " + err.Error()
		}
	}
	now := s.options.Now()
	if now.After(template.NotAfter) {
		return nil, http.StatusBadRequest, "The request could not be completed: notAfter cannot be in the past."
	}
	if d := template.NotAfter.Sub(template.NotBefore); d > s.options.MaxDuration+skew {
		return nil, http.StatusForbidden, fmt.Sprintf(forbidden+"requested duration of %v is more than the authorized maximum certificate duration of %v.", d, s.options.MaxDuration+skew)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, s.issuer.Cert, csr.PublicKey, s.issuer.Key)
	if err != nil {
		return nil, http.StatusInternalServerError, ""
	}
	return must(x509.ParseCertificate(der)), 0, ""
}

func (d userData) apply(c *x509.Certificate) error {
	usages := []string{
		"digitalSignature", "contentCommitment", "keyEncipherment", "dataEncipherment",
		"keyAgreement", "certSign", "crlSign", "encipherOnly", "decipherOnly",
	}
	for _, name := range d.KeyUsage {
		bit := slices.Index(usages, name)
		if bit < 0 {
			return fmt.Errorf("unsupported keyUsage %s", name)
		}
		c.KeyUsage |= 1 << bit
	}
	for _, e := range d.Extensions {
		var id asn1.ObjectIdentifier
		for part := range strings.SplitSeq(e.ID, ".") {
			n, err := strconv.Atoi(part)
			if err != nil {
				return fmt.Errorf("error parsing oid %s", e.ID)
			}
			id = append(id, n)
		}
		c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: id, Critical: e.Critical, Value: e.Value})
	}
	c.CRLDistributionPoints, c.OCSPServer, c.IssuingCertificateURL = d.CRLs, d.OCSP, d.CAIssuers
	return nil
}

// split sorts names as x509util.SplitSANs does.
func split(names []string) x509.Certificate {
	var c x509.Certificate
	for _, name := range names {
		u, err := url.Parse(name)
		switch ip := net.ParseIP(name); {
		case ip != nil:
			c.IPAddresses = append(c.IPAddresses, ip)
		case err == nil && u.Scheme != "":
			c.URIs = append(c.URIs, u)
		case strings.Contains(name, "@"):
			c.EmailAddresses = append(c.EmailAddresses, name)
		default:
			c.DNSNames = append(c.DNSNames, name)
		}
	}
	return c
}

// covers is step-ca's comparison: a request without names of a kind is fine,
// one with names must have exactly the token's.
func covers(token, csr []string) bool {
	if len(csr) == 0 {
		return true
	}
	token, csr = slices.Compact(slices.Sorted(slices.Values(token))), slices.Compact(slices.Sorted(slices.Values(csr)))
	return slices.Equal(token, csr)
}

func texts[T fmt.Stringer](list []T) []string {
	var out []string
	for _, v := range list {
		out = append(out, v.String())
	}
	return out
}

// strict reads one JSON value that has no unknown fields and nothing after it.
func strict(r io.Reader, to any) error {
	d := json.NewDecoder(r)
	d.DisallowUnknownFields()
	if err := d.Decode(to); err != nil {
		return err
	}
	if d.More() {
		return errors.New("more after it")
	}
	return nil
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the client may have gone
}

// refuse answers as package errs of step-ca does; without a message, with its
// default one.
func refuse(w http.ResponseWriter, status int, message string) {
	if message == "" {
		message = map[int]string{
			http.StatusBadRequest:          "The request could not be completed; malformed or missing data.",
			http.StatusUnauthorized:        "The request lacked necessary authorization to be completed.",
			http.StatusNotFound:            "The requested resource could not be found.",
			http.StatusInternalServerError: "The certificate authority encountered an Internal Server Error.",
		}[status] + " Please see the certificate authority logs for more info."
	}
	answer(w, status, map[string]any{"status": status, "message": message})
}

func text(c *x509.Certificate) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
}

func sign(template *x509.Certificate, by Pair, public crypto.PublicKey) *x509.Certificate {
	return must(x509.ParseCertificate(must(x509.CreateCertificate(rand.Reader, template, by.Cert, public, by.Key))))
}

func serial() *big.Int { return must(rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))) }

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
