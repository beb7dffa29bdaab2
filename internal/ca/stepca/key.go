package stepca

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

const (
	// maxIterations bounds the work of opening the provisioner's key (PBES2,
	// RFC 7518, section 4.8.1.2), which the server chooses. step-ca's client
	// takes 600,000, about half a second of one processor.
	maxIterations = 1_000_000

	// maxPages bounds the list of provisioners, of which step-ca gives at most
	// 100 at once.
	maxPages = 100
)

const secretShape = `store {"password": "…"}, the provisioner's, or {"key": {…}}, its private JWK`

// secretValue is one of password and key.
type secretValue struct {
	password []byte
	key      jose.JSONWebKey
}

// parseSecret takes the JSON apart without passing on what encoding/json or
// go-jose has to say about it: their errors quote the input.
func parseSecret(text []byte) (secretValue, error) {
	bad := func(field, message string) (secretValue, error) {
		return secretValue{}, misconfigured(field, "", message, secretShape, nil)
	}
	// As a map, because a struct would also take "KEY" for "key".
	var fields map[string]json.RawMessage
	if json.Unmarshal(text, &fields) != nil || fields == nil {
		return bad("secret", "not a JSON object")
	}
	rawPassword, hasPassword := fields["password"]
	rawKey, hasKey := fields["key"]
	switch {
	case hasPassword && hasKey:
		return bad("secret", "it has both password and key")
	case !hasPassword && !hasKey:
		return bad("secret", "it has neither password nor key")
	case len(fields) > 1:
		return bad("secret", fmt.Sprintf("it has %d fields other than password or key", len(fields)-1))
	}
	var s secretValue
	if hasKey {
		if json.Unmarshal(rawKey, &s.key) != nil {
			return bad("secret.key", "not a JWK of type EC, RSA or OKP (Ed25519)")
		}
		if _, problem := newTokenKey(s.key); problem != "" {
			return bad("secret.key", problem)
		}
		return s, nil
	}
	var password string
	if json.Unmarshal(rawPassword, &password) != nil || password == "" {
		return bad("secret.password", "not a string with something in it")
	}
	s.password = []byte(password)
	return s, nil
}

// tokenKey signs tokens.
type tokenKey struct {
	signer jose.Signer
}

// newTokenKey takes a private key; its KeyID goes into the tokens. problem says,
// without a word of the key, why it cannot be used.
func newTokenKey(jwk jose.JSONWebKey) (key tokenKey, problem string) {
	if !jwk.Valid() || jwk.IsPublic() {
		return tokenKey{}, "not a private key of type EC, RSA or OKP (Ed25519)"
	}
	var algorithm jose.SignatureAlgorithm
	switch k := jwk.Key.(type) {
	case *ecdsa.PrivateKey:
		switch k.Curve {
		case elliptic.P256():
			algorithm = jose.ES256
		case elliptic.P384():
			algorithm = jose.ES384
		case elliptic.P521():
			algorithm = jose.ES512
		}
	case *rsa.PrivateKey:
		if k.N.BitLen() < 2048 {
			return tokenKey{}, fmt.Sprintf("RSA with %d bits, and 2048 are the least", k.N.BitLen())
		}
		algorithm = jose.RS256
	case ed25519.PrivateKey:
		algorithm = jose.EdDSA
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: jwk}, new(jose.SignerOptions).WithType("JWT"))
	if err != nil {
		return tokenKey{}, "not a private key of type EC, RSA or OKP (Ed25519)"
	}
	return tokenKey{signer: signer}, ""
}

// sign returns a JWT.
func (k tokenKey) sign(payload []byte) (string, error) {
	const remedy = "store the provisioner's key again"
	signed, err := k.signer.Sign(payload)
	if err != nil {
		return "", misconfigured("secret", "", "the provisioner's key does not sign", remedy, nil)
	}
	token, err := signed.CompactSerialize()
	if err != nil {
		return "", misconfigured("secret", "", "the provisioner's key does not sign", remedy, nil)
	}
	return token, nil
}

// provisionerKey is the key of the provisioner's tokens: the secret's, or the
// CA's, opened with the secret's password.
func (c *client) provisionerKey(ctx context.Context, name string, s secretValue) (tokenKey, error) {
	public, err := c.provisioner(ctx, name)
	if err != nil {
		return tokenKey{}, err
	}
	field, private := "secret.key", s.key
	if s.password != nil {
		field = keyField
		if private, err = c.encryptedKey(ctx, name, public.KeyID, s.password); err != nil {
			return tokenKey{}, err
		}
	}
	bad := func(problem string) (tokenKey, error) {
		return tokenKey{}, misconfigured(field, "", fmt.Sprintf("%s; the provisioner is %q", problem, name), keyRemedy, nil)
	}
	private.KeyID = public.KeyID
	key, problem := newTokenKey(private)
	if problem != "" {
		return bad(problem)
	}
	if !sameKey(private, public) {
		return bad("not the key of the provisioner")
	}
	return key, nil
}

const (
	keyField  = "provisioner.encryptedKey"
	keyRemedy = `store the private JWK that belongs to the provisioner, {"key": {…}}, or make its key again`
)

func sameKey(private, public jose.JSONWebKey) bool {
	a, err := private.Thumbprint(crypto.SHA256)
	if err != nil {
		return false
	}
	b, err := public.Thumbprint(crypto.SHA256)
	return err == nil && bytes.Equal(a, b)
}

// provisioner finds the provisioner in the CA's list, and returns its public
// key.
func (c *client) provisioner(ctx context.Context, name string) (jose.JSONWebKey, error) {
	const path = "/1.0/provisioners"
	query := url.Values{"limit": {"100"}}
	for range maxPages {
		var page struct {
			Provisioners []struct {
				Type string          `json:"type"`
				Name string          `json:"name"`
				Key  json.RawMessage `json:"key"`
			} `json:"provisioners"`
			NextCursor string `json:"nextCursor"`
		}
		if err := c.call(ctx, http.MethodGet, path+"?"+query.Encode(), nil, &page); err != nil {
			return jose.JSONWebKey{}, plain(err, "GET "+path)
		}
		for _, p := range page.Provisioners {
			if p.Name != name {
				continue
			}
			var key jose.JSONWebKey
			if p.Type != "JWK" || json.Unmarshal(p.Key, &key) != nil || key.KeyID == "" {
				return jose.JSONWebKey{}, misconfigured("provisioner", strconv.Quote(name), "not of type JWK", "name a JWK provisioner of the CA", nil)
			}
			return key, nil
		}
		if page.NextCursor == "" {
			break
		}
		query.Set("cursor", page.NextCursor)
	}
	return jose.JSONWebKey{}, misconfigured("provisioner", strconv.Quote(name), "the CA has none of this name",
		"name one of those that `step ca provisioner list` shows", nil)
}

// encryptedKey fetches the provisioner's private key, and opens it.
func (c *client) encryptedKey(ctx context.Context, name, id string, password []byte) (jose.JSONWebKey, error) {
	path := "/1.0/provisioners/" + url.PathEscape(id) + "/encrypted-key"
	var answer struct {
		Key string `json:"key"`
	}
	if err := c.call(ctx, http.MethodGet, path, nil, &answer); err != nil {
		if r := refusalIn(err); r != nil && r.status == http.StatusNotFound {
			return jose.JSONWebKey{}, misconfigured("secret.password", "", fmt.Sprintf("the CA does not hand out the key of the provisioner %q", name),
				`store the private JWK itself: {"key": {…}}`, nil)
		}
		return jose.JSONWebKey{}, plain(err, "GET "+path)
	}
	return openKey(answer.Key, name, password)
}

// openKey decrypts a JWE (RFC 7516, compact) that holds a JWK.
func openKey(encrypted, provisioner string, password []byte) (jose.JSONWebKey, error) {
	bad := func(problem string) (jose.JSONWebKey, error) {
		return jose.JSONWebKey{}, misconfigured(keyField, "", fmt.Sprintf("%s; the provisioner is %q", problem, provisioner), keyRemedy, nil)
	}
	jwe, err := jose.ParseEncryptedCompact(encrypted,
		[]jose.KeyAlgorithm{jose.PBES2_HS256_A128KW, jose.PBES2_HS384_A192KW, jose.PBES2_HS512_A256KW},
		[]jose.ContentEncryption{jose.A128GCM, jose.A192GCM, jose.A256GCM, jose.A128CBC_HS256, jose.A192CBC_HS384, jose.A256CBC_HS512})
	if err != nil {
		return bad("not encrypted with a password (PBES2)")
	}
	if n, ok := iterations(encrypted); !ok || n > maxIterations {
		return bad(fmt.Sprintf("opening it takes %d iterations of PBKDF2, more than %d", n, maxIterations))
	}
	text, err := jwe.Decrypt(password)
	if err != nil {
		return jose.JSONWebKey{}, misconfigured("secret.password", "", fmt.Sprintf("it does not open the key of the provisioner %q", provisioner),
			"store the password that the provisioner was made with", nil)
	}
	var jwk jose.JSONWebKey
	if json.Unmarshal(text, &jwk) != nil {
		return bad("what it holds is not a JWK")
	}
	return jwk, nil
}

// iterations is p2c of a compact JWE, all of whose headers stand in its first
// part.
func iterations(jwe string) (int, bool) {
	header, _, _ := strings.Cut(jwe, ".")
	text, err := base64.RawURLEncoding.DecodeString(header)
	if err != nil {
		return 0, false
	}
	var h struct {
		Count int `json:"p2c"`
	}
	return h.Count, json.Unmarshal(text, &h) == nil
}
