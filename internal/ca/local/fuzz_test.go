package local_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"keyturn/internal/ca"
	"keyturn/internal/ca/local"
)

// quoted is a piece of a secret that stands in a text: letters in both cases and
// digits, as base64 has them, and no word of ours.
func quoted(secret, text string) (piece string, found bool) {
	const most = 10
	for from := 0; from+most <= len(secret); from++ {
		piece = secret[from : from+most]
		if strings.Contains(text, piece) && strings.ContainsAny(piece, "0123456789") && strings.ToUpper(piece) != piece && strings.ToLower(piece) != piece &&
			strings.Trim(piece, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/") == "" {
			return piece, true
		}
	}
	return "", false
}

// A secret is a CA that can sign for Okta, or it is refused without a word of
// its key.
func FuzzNew(f *testing.F) {
	key, chain := string(pkcs8(p256Key())), string(issuer(p256Key(), nil).PEM())
	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	for _, c := range [][2]string{
		{key, chain}, {key, key}, {chain, chain}, {key + key, chain}, {key, ""}, {"", chain}, {strings.Replace(key, "PRIVATE KEY", "EC PRIVATE KEY", 2), chain}, {key[:100], chain},
		{strings.Replace(key, "PRIVATE KEY", "RSA PRIVATE KEY", 2), chain}, {strings.Replace(key, "PRIVATE KEY", "EC PARAMETERS", 2) + key, chain}, {string(pkcs8(ed)), chain},
		{strings.Replace(key, "PRIVATE KEY-----\n", "PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\n", 1), chain}, {string(pkcs8(p384Key())), chain}, {strings.Replace(key, "PRIVATE KEY", "CERTIFICATE", 2), strings.Replace(key, "PRIVATE KEY", "CERTIFICATE", 2)},
	} {
		f.Add(c[0], c[1], []byte(nil))
	}
	for _, raw := range []string{`null`, `[]`, `{"key":"` + strings.Repeat("aB3", 40) + `"}`, `{"KEY":"x","chain":"y"}`, `"` + strings.Repeat("aB3", 40) + `"`, `{"` + strings.Repeat("aB3", 40) + `":1,"key":"x","chain":"y"}`, `{"key":12,"chain":"y"}`, `{"key":"a","key":"b","chain":"y"}`} {
		f.Add("", "", []byte(raw))
	}
	f.Fuzz(func(t *testing.T, key, chain string, raw []byte) {
		hidden := string(raw)
		if len(raw) == 0 {
			raw = must(json.Marshal(map[string]string{"key": key, "chain": chain}))
			hidden = key
		}
		a, err := local.New(raw, rand.Reader)
		if err != nil {
			var e *ca.Error
			if !errors.As(err, &e) || e.Name != ca.NameMisconfigured || len(err.Error()) > 4000 || a != nil {
				t.Fatalf("%q: %v, %v", raw, a, err)
			}
			for _, text := range []string{err.Error(), fmt.Sprintf("%+v", err), fmt.Sprintf("%#v", err)} {
				if piece, found := quoted(hidden, text); found && !strings.Contains(chain, piece) {
					t.Errorf("%q: the error quotes %q: %s", raw, piece, text)
				}
			}
			return
		}
		r := ca.Request{CSR: newCSR(p256Key()), Kind: ca.KindApp, ValidityDays: 100, Now: now}
		c, err := a.Sign(t.Context(), r)
		if err == nil {
			err = ca.Check(c, r, a)
		}
		if ours, known := a.Issued(c.Leaf); err == nil && (!ours || known != nil) {
			t.Errorf("%q: the CA does not know what it has signed: %v", raw, known)
		}
		var e *ca.Error
		if err != nil && !errors.As(err, &e) {
			t.Errorf("%q: %v (%T)", raw, err, err)
		}
	})
}
