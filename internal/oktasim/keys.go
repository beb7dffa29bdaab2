package oktasim

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"fmt"
	"math/big"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// Key is a signing key of one or more targets. Keys are never changed after
// NewKey, so several targets may share one.
type Key struct {
	Kid         string
	Created     time.Time
	Certificate *x509.Certificate
	X5C         string // standard base64 of the certificate's DER
	// PrivateKey signs as the org would: for tests that check SAML responses.
	PrivateKey *rsa.PrivateKey

	// make makes the certificate when it is first asked for; nil when it is
	// there. An org of 20,000 apps has most of its keys never looked at.
	make func() *Key
}

// whole is the key with its certificate. o.mu is held.
func (k *Key) whole() *Key {
	if k.make != nil {
		*k = *k.make()
	}
	return k
}

// NotAfter is when the key's certificate expires.
func (k *Key) NotAfter() time.Time { return k.Certificate.NotAfter }

// KeySpec says what NewKey makes. The zero value is a key as Okta makes it for
// a new app, created now by the wall clock.
type KeySpec struct {
	Created    time.Time // default: NotBefore, or else now
	NotBefore  time.Time // default: Created
	NotAfter   time.Time // default: ten years after NotBefore, as Okta's own keys
	CommonName string    // default: "example"
	Kid        string    // default: a new one
	Serial     *big.Int  // default: a random one

	// Issuer and IssuerKey make a certificate of a CA instead of a self-signed
	// one.
	Issuer    *x509.Certificate
	IssuerKey crypto.Signer
}

// NewKey makes an RSA-2048 key with a certificate. Making RSA keys is slow, so
// the key pairs come from a pool of the process: several of these keys may
// have the same modulus, though never the kid or the certificate. (Keys made
// through the API, from a CSR or by generate, have a modulus of their own.)
func NewKey(spec KeySpec) *Key {
	if spec.Created.IsZero() {
		spec.Created = spec.NotBefore
	}
	if spec.Created.IsZero() {
		spec.Created = time.Now()
	}
	if spec.NotBefore.IsZero() {
		spec.NotBefore = spec.Created
	}
	if spec.NotAfter.IsZero() {
		spec.NotAfter = spec.NotBefore.AddDate(10, 0, 0)
	}
	if spec.CommonName == "" {
		spec.CommonName = "example"
	}
	if spec.Kid == "" {
		spec.Kid = randomID(32)
	}
	seedKeys.mu.Lock()
	n := seedKeys.next
	seedKeys.next = (n + 1) % seedPoolSize
	seedKeys.mu.Unlock()
	return newKey(spec, seedKeys.get(n))
}

func newKey(spec KeySpec, private *rsa.PrivateKey) *Key {
	// The subject of Okta's default certificates, as in the API spec's
	// examples; the common name is the org's subdomain there.
	name := pkix.Name{
		Country: []string{"US"}, Province: []string{"California"}, Locality: []string{"San Francisco"},
		Organization: []string{"Okta"}, OrganizationalUnit: []string{"SSOProvider"}, CommonName: spec.CommonName,
	}
	if spec.Serial == nil {
		serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 47))
		if err != nil {
			panic(fmt.Sprintf("oktasim: serial number: %v", err))
		}
		spec.Serial = serial.Add(serial, big.NewInt(1))
	}
	template := &x509.Certificate{
		SerialNumber: spec.Serial, Subject: name,
		NotBefore: spec.NotBefore.UTC(), NotAfter: spec.NotAfter.UTC(),
		SignatureAlgorithm: x509.SHA256WithRSA,
	}
	issuer, signer := template, crypto.Signer(private)
	if spec.Issuer != nil {
		issuer, signer = spec.Issuer, spec.IssuerKey
		template.SignatureAlgorithm = 0 // the issuer's key decides
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, private.Public(), signer)
	if err != nil {
		panic(fmt.Sprintf("oktasim: certificate for key %s: %v", spec.Kid, err))
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		panic(fmt.Sprintf("oktasim: certificate for key %s: %v", spec.Kid, err))
	}
	return keyOf(spec.Kid, spec.Created, certificate, private)
}

func keyOf(kid string, created time.Time, certificate *x509.Certificate, private *rsa.PrivateKey) *Key {
	return &Key{
		Kid: kid, Created: created.UTC().Truncate(time.Millisecond), Certificate: certificate,
		X5C: base64.StdEncoding.EncodeToString(certificate.Raw), PrivateKey: private,
	}
}

// keyPool makes key pairs when they are first asked for and keeps them for the
// life of the process.
type keyPool struct {
	mu   sync.Mutex
	next int
	keys []*rsa.PrivateKey
}

const seedPoolSize = 8

var (
	seedKeys keyPool // shared by all keys of NewKey
	// orgKeys are handed out once for each org, in order: within an org the
	// modulus of a CSR's key identifies it.
	orgKeys keyPool
)

func (p *keyPool) get(i int) *rsa.PrivateKey {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.keys) <= i {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			panic(fmt.Sprintf("oktasim: make an RSA key: %v", err))
		}
		p.keys = append(p.keys, key)
	}
	return p.keys[i]
}

// PrepareKeys makes the first n key pairs that orgs use for CSRs. An org makes one
// when it is asked for a CSR, and answers nobody else meanwhile, which takes a
// tenth of a second: those who measure sign-ins make them before.
func PrepareKeys(n int) {
	if n > 0 {
		orgKeys.get(n - 1)
	}
}

func (o *Org) nextPrivateKey() *rsa.PrivateKey {
	o.privateKeys++
	return orgKeys.get(o.privateKeys - 1)
}

// randomID is an id such as Okta gives to CSRs and app keys: base64url of n
// random bytes, so it may start with - or _ (Okta's examples do).
func randomID(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails, see crypto/rand
	return base64.RawURLEncoding.EncodeToString(b)
}

// json is the JsonWebKey (apps) or IdPKeyCredential (IdPs) of the API spec.
// Neither has a status: whether a key is in use is told by the target's kid.
func (k *Key) json() []byte {
	k.whole()
	public := k.Certificate.PublicKey.(*rsa.PublicKey)
	sum := sha256.Sum256(k.Certificate.Raw)
	return encode(struct {
		Kty         string   `json:"kty"`
		Created     string   `json:"created"`
		LastUpdated string   `json:"lastUpdated"`
		ExpiresAt   string   `json:"expiresAt"`
		Kid         string   `json:"kid"`
		Use         string   `json:"use"`
		X5C         []string `json:"x5c"`
		X5tS256     string   `json:"x5t#S256"`
		E           string   `json:"e"`
		N           string   `json:"n"`
	}{
		"RSA", stamp(k.Created), stamp(k.Created), stamp(k.Certificate.NotAfter), k.Kid, "sig", []string{k.X5C},
		base64.RawURLEncoding.EncodeToString(sum[:]),
		base64.RawURLEncoding.EncodeToString(big.NewInt(int64(public.E)).Bytes()),
		base64.RawURLEncoding.EncodeToString(public.N.Bytes()),
	})
}

// stamp writes a time as Okta does: UTC with milliseconds.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

func keysJSON(keys []*Key) []byte {
	list := make([][]byte, len(keys))
	for i, k := range keys {
		list[i] = k.json()
	}
	return array(list)
}

func array(list [][]byte) []byte {
	return bytes.Join([][]byte{[]byte("["), bytes.Join(list, []byte(",")), []byte("]")}, nil)
}

// listKeys: listApplicationKeys, listIdentityProviderSigningKeys. Not paged.
func (o *Org) listKeys(c *call) (*answer, error) {
	t, err := c.target(o)
	if err != nil {
		return nil, err
	}
	return jsonAnswer(http.StatusOK, keysJSON(t.keys)), nil
}

// getKey: getApplicationKey, getIdentityProviderSigningKey.
func (o *Org) getKey(c *call) (*answer, error) {
	t, err := c.target(o)
	if err != nil {
		return nil, err
	}
	k := t.key(c.param("kid"))
	if k == nil {
		return nil, notFound(c.param("kid"), "JsonWebKey")
	}
	return jsonAnswer(http.StatusOK, k.json()), nil
}

// activeKeys: listActiveIdentityProviderSigningKey, an array, or 204 when the
// IdP has no active key.
func (o *Org) activeKeys(c *call) (*answer, error) {
	t, err := c.target(o)
	if err != nil {
		return nil, err
	}
	k := t.key(t.activeKid())
	if k == nil {
		return &answer{status: http.StatusNoContent}, nil
	}
	return jsonAnswer(http.StatusOK, keysJSON([]*Key{k})), nil
}

// generateKey: generateApplicationKey (201), generateIdentityProviderSigningKey
// (200). The certificate is self-signed, and the key is not put into use.
func (o *Org) generateKey(c *call) (*answer, error) {
	t, err := c.target(o)
	if err != nil {
		return nil, err
	}
	if err := t.needSAML(); err != nil {
		return nil, err
	}
	years, err := strconv.Atoi(c.query.Get("validityYears"))
	if err != nil || years < 2 || years > 10 {
		return nil, invalid("generateKey", "Validity years out of range. It should be 2 - 10 years.")
	}
	k := newKey(KeySpec{
		Created: c.now, NotBefore: c.now, NotAfter: c.now.AddDate(years, 0, 0), CommonName: "example", Kid: o.newKid(t.kind),
	}, o.nextPrivateKey())
	t.keys = append(t.keys, k)
	status := http.StatusCreated
	if t.kind == KindIDP {
		status = http.StatusOK
	}
	return jsonAnswer(status, k.json()), nil
}

// cloneKey: cloneApplicationKey, cloneIdentityProviderKey (Okta guide, step 6).
// The target gets the same key under the same kid; nothing is put into use. By
// the spec a duplicate is 400 (for IdPs in the description only), and what does
// not exist is 404. It does not say what comes of deactivated targets, or of
// those that do not use SAML. Stricter: both ends must be active and use it.
func (o *Org) cloneKey(c *call) (*answer, error) {
	t, err := c.target(o)
	if err != nil {
		return nil, err
	}
	parameter := "targetAid"
	if t.kind == KindIDP {
		parameter = "targetIdpId"
	}
	to := c.query.Get(parameter)
	if to == "" {
		return nil, invalid("cloneKey", parameter+": The parameter is required.")
	}
	k := t.key(c.param("kid"))
	if k == nil {
		return nil, notFound(c.param("kid"), "JsonWebKey")
	}
	other := o.find(t.kind, to)
	if other == nil {
		return nil, notFound(to, resourceName(t.kind))
	}
	for _, end := range []*target{t, other} {
		if err := end.needSAML(); err != nil {
			return nil, err
		}
		if status := lookupString(end.doc, "status"); status != "ACTIVE" {
			return nil, invalid("cloneKey", "The "+end.kind+" "+end.id+" is "+status+".")
		}
	}
	if other.key(k.Kid) != nil {
		f := invalid("cloneKey", "Key already exists in the list of key credentials for the target app.")
		f.bareCause = true
		return nil, f
	}
	other.keys = append(other.keys, k)
	return jsonAnswer(http.StatusCreated, k.json()), nil
}

// listTrustKeys: listIdentityProviderKeys, the partners' certificates.
func (o *Org) listTrustKeys(c *call) (*answer, error) {
	return o.page(c, defaultPage, len(o.trust), func(i int) []byte {
		return o.trust[i].json()
	})
}

// getTrustKey: getIdentityProviderKey.
func (o *Org) getTrustKey(c *call) (*answer, error) {
	for _, k := range o.trust {
		if k.Kid == c.param("kid") {
			return jsonAnswer(http.StatusOK, k.json()), nil
		}
	}
	return nil, notFound(c.param("kid"), "IdpKeyCredential")
}
