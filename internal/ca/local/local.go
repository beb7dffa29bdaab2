// Package local signs Okta's requests with a CA key that is kept, as PEM, in
// Secrets Manager: for the demo, for tests, and for companies whose CA can hand
// out an issuing key of its own for this purpose.
package local

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"strings"

	"keyturn/internal/ca"
)

// Authority holds the CA's key in memory. It is safe for concurrent use if its
// source of randomness is.
type Authority struct {
	signer crypto.Signer
	chain  ca.Chain
	random io.Reader
}

var _ ca.Authority = (*Authority)(nil)

// New reads the secret
//
//	{"key": "<PEM>", "chain": "<PEM>"}
//
// key being the issuing CA's private key, unencrypted, in PKCS#8, PKCS#1 (RSA)
// or SEC 1 (EC); chain its certificate first and then up to the root, which may
// be left out. Other fields are refused. random makes serial numbers.
//
// Every error is CA.Misconfigured and holds nothing of the secret but names
// from the certificates, which are public. Dates are not looked at here but at
// each signature.
func New(secretJSON []byte, random io.Reader) (*Authority, error) {
	keyPEM, chainPEM, err := readSecret(secretJSON)
	if err != nil {
		return nil, err
	}
	signer, err := parseKey(keyPEM)
	if err != nil {
		return nil, err
	}
	chain, err := ca.ParseChain([]byte(chainPEM))
	if err != nil {
		var cause *ca.Error
		if !errors.As(err, &cause) {
			return nil, err
		}
		return nil, misconfigured("chain", cause.Message, cause.Remedy, cause.Err)
	}
	if err := chain.CheckIssuer(signer.Public()); err != nil {
		return nil, err
	}
	return &Authority{signer: signer, chain: chain, random: random}, nil
}

// Sign issues a certificate as [ca.Issue] describes. It answers at once, and
// ignores the request's Reference.
func (a *Authority) Sign(ctx context.Context, r ca.Request) (ca.Certificate, error) {
	if err := ctx.Err(); err != nil {
		return ca.Certificate{}, &ca.Error{
			Name: ca.NameUnavailable, Field: "signature", Message: "no time left to make it", Err: err,
			Remedy: "try again",
		}
	}
	return ca.Issue(a.signer, a.chain, a.random, r)
}

// Issued reports whether the issuing CA signed cert; see [ca.Chain.Issued].
func (a *Authority) Issued(cert *x509.Certificate) (bool, error) { return a.chain.Issued(cert) }

// Chain returns the CA's certificates, which are public: what has to recognise
// this CA's certificates elsewhere needs no more.
func (a *Authority) Chain() ca.Chain { return append(ca.Chain(nil), a.chain...) }

// String names the CA. With GoString it keeps the key out of whatever is
// printed.
func (a Authority) String() string { return "local CA " + a.chain[0].Subject.String() }

// GoString is String.
func (a Authority) GoString() string { return a.String() }

// readSecret takes the JSON apart without passing on what encoding/json has to
// say about it: its errors quote the input. It is read as a map because a
// struct would also take "KEY" for "key".
func readSecret(secretJSON []byte) (key, chain string, err error) {
	const shape = `store {"key": "<PEM>", "chain": "<PEM>"}`
	var fields map[string]json.RawMessage
	if json.Unmarshal(secretJSON, &fields) != nil || fields == nil {
		return "", "", misconfigured("secret", "not a JSON object", shape, nil)
	}
	for name, to := range map[string]*string{"key": &key, "chain": &chain} {
		raw, ok := fields[name]
		if !ok {
			return "", "", misconfigured("secret."+name, "it is missing", shape, nil)
		}
		if json.Unmarshal(raw, to) != nil || strings.TrimSpace(*to) == "" {
			return "", "", misconfigured("secret."+name, "not a string with something in it", shape, nil)
		}
	}
	if more := len(fields) - 2; more > 0 {
		return "", "", misconfigured("secret", fmt.Sprintf("it has %d fields other than key and chain", more), shape, nil)
	}
	return key, chain, nil
}

func parseKey(text string) (crypto.Signer, error) {
	const remedy = "give one unencrypted private key: PKCS#8 (PRIVATE KEY), PKCS#1 (RSA PRIVATE KEY) or SEC 1 (EC PRIVATE KEY)"
	bad := func(message string) error { return misconfigured("secret.key", message, remedy, nil) }

	var block *pem.Block
	rest := []byte(text)
	for {
		var next *pem.Block
		next, rest = pem.Decode(rest)
		if next == nil {
			break
		}
		// OpenSSL's ecparam writes the curve's parameters before the key.
		if next.Type == "EC PARAMETERS" {
			continue
		}
		if block != nil {
			return nil, bad("more than one PEM block")
		}
		block = next
	}
	if block == nil {
		return nil, bad("no PEM block in it")
	}
	if block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["Proc-Type"] != "" {
		return nil, bad("it is encrypted")
	}
	// The parsers' errors are left out: nothing that touches the key is quoted.
	var key any
	var err error
	switch block.Type {
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	default:
		return nil, bad("not a private key")
	}
	if err != nil {
		return nil, bad("the key inside the PEM block cannot be read")
	}
	switch key := key.(type) {
	case *rsa.PrivateKey:
		return key, nil
	case *ecdsa.PrivateKey:
		return key, nil
	}
	return nil, bad("neither RSA nor ECDSA")
}

func misconfigured(field, message, remedy string, err error) error {
	return &ca.Error{Name: ca.NameMisconfigured, Field: field, Message: message, Remedy: remedy, Err: err}
}
