// Package approval is the pause at the task token: the sealed link that goes
// to an approver, and the decision that comes back.
package approval

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"keyturn/internal/rotation"
)

// Claim is what a link holds. Nothing of it is stored anywhere else; what the
// page shows besides comes from the execution's history.
type Claim struct {
	// TaskToken completes the paused state; it is a secret.
	TaskToken string
	Stage     rotation.Stage
	// Execution is the name of the rotation's execution.
	Execution string
	// Target has kind, id and label, the label shortened: it is for the pages
	// that ask nothing of AWS.
	Target rotation.Target
	// Approver is the address that the link was sent to; empty for a topic or
	// a channel, whose page asks for the name.
	Approver string
	// Expires is when the link stops working; whole seconds.
	Expires time.Time
}

// The ways in which a link can be of no use.
var (
	ErrDamaged = errors.New("the link is damaged or was altered")
	ErrExpired = errors.New("the link has expired")
)

// Sealer makes and opens links. Its keys come from the link-key secret by
// HKDF (RFC 5869), one for each purpose.
type Sealer struct {
	// keys are those that open links; the first one seals.
	keys []linkKey
}

type linkKey struct {
	id      [keyIDSize]byte
	aead    cipher.AEAD
	formKey []byte
}

const (
	// minSecret is the shortest link-key accepted: the stack generates 64
	// characters.
	minSecret = 32
	// version is a sealed claim's first byte.
	version   = 2
	keyIDSize = 4
	nonceSize = 12
	tagSize   = 16
	// prefixSize is what stands before the ciphertext, and is authenticated.
	prefixSize = 1 + keyIDSize
	// maxLink bounds what is taken for a link at all: a task token of 2,048
	// characters, the largest that Step Functions makes, needs some 3,500.
	maxLink = 6000
	// maxLabel is how much of a label a link carries, in characters.
	maxLabel = 40
)

// NewSealer derives the keys from the link-key secret. Links that were sealed
// with one of the previous secrets can still be opened.
func NewSealer(secret []byte, previous ...[]byte) (*Sealer, error) {
	s := &Sealer{}
	for _, secret := range append([][]byte{secret}, previous...) {
		k, err := newLinkKey(secret)
		if err != nil {
			return nil, err
		}
		s.keys = append(s.keys, k)
	}
	return s, nil
}

func newLinkKey(secret []byte) (linkKey, error) {
	var k linkKey
	if len(secret) < minSecret {
		return k, rotation.Errorf("Credential.Malformed", "the link-key secret has %d characters, fewer than %d: let the stack generate it", len(secret), minSecret)
	}
	derive := func(purpose string, size int) ([]byte, error) {
		return hkdf.Key(sha256.New, secret, nil, purpose, size)
	}
	key, err := derive("keyturn link v2", 32)
	if err != nil {
		return k, fmt.Errorf("link key: %w", err)
	}
	if k.formKey, err = derive("keyturn form v2", 32); err != nil {
		return k, fmt.Errorf("form key: %w", err)
	}
	id, err := derive("keyturn link id v2", keyIDSize)
	if err != nil {
		return k, fmt.Errorf("id of the link key: %w", err)
	}
	copy(k.id[:], id)
	block, err := aes.NewCipher(key)
	if err != nil {
		return k, fmt.Errorf("link cipher: %w", err)
	}
	if k.aead, err = cipher.NewGCM(block); err != nil {
		return k, fmt.Errorf("link cipher: %w", err)
	}
	return k, nil
}

// claimJSON is a claim without its task token, in short names: a link has to
// stay below 2,000 characters for mail programs and chats.
type claimJSON struct {
	Stage     rotation.Stage `json:"s"`
	Execution string         `json:"e"`
	Kind      rotation.Kind  `json:"k"`
	ID        string         `json:"i"`
	Label     string         `json:"l,omitempty"`
	Approver  string         `json:"a,omitempty"`
	Expires   int64          `json:"x"`
}

// Seal encrypts and authenticates a claim (AES-256-GCM, random nonce) for use
// in a URL's path: base64url of version ‖ key id ‖ nonce ‖ ciphertext, version
// and key id authenticated too. It fails with Input.Invalid rather than make a
// link that is too long to be opened.
func (s *Sealer) Seal(c Claim) (string, error) {
	label := []rune(c.Target.Label)
	if len(label) > maxLabel {
		label = append(label[:maxLabel-1], '…')
	}
	text, err := json.Marshal(claimJSON{Stage: c.Stage, Execution: c.Execution, Kind: c.Target.Kind, ID: c.Target.ID, Label: string(label), Approver: c.Approver, Expires: c.Expires.Unix()})
	if err != nil {
		return "", fmt.Errorf("claim: %w", err)
	}
	plain := binary.AppendUvarint(nil, uint64(len(text)))
	plain = append(plain, text...)
	plain = append(plain, packToken(c.TaskToken)...)

	key := s.keys[0]
	sealed := make([]byte, prefixSize+nonceSize, prefixSize+nonceSize+len(plain)+tagSize)
	sealed[0] = version
	copy(sealed[1:], key.id[:])
	nonce := sealed[prefixSize:]
	if _, err := rand.Read(nonce); err != nil {
		return "", fmt.Errorf("nonce: %w", err)
	}
	sealed = key.aead.Seal(sealed, nonce, plain, sealed[:prefixSize])
	link := base64.RawURLEncoding.EncodeToString(sealed)
	if len(link) > maxLink {
		return "", rotation.Errorf("Input.Invalid", "the link would have %d characters, and %d are the most: execution, target or approver is too long", len(link), maxLink)
	}
	return link, nil
}

// packToken spells a task token that is base64, as those of Step Functions
// are, in three quarters of its length; the first byte tells.
func packToken(token string) []byte {
	// The decoder passes over line breaks.
	if raw, err := base64.StdEncoding.Strict().DecodeString(token); err == nil && base64.StdEncoding.EncodeToString(raw) == token {
		return append([]byte{1}, raw...)
	}
	return append([]byte{0}, token...)
}

func unpackToken(packed []byte) (string, bool) {
	switch {
	case len(packed) == 0 || packed[0] > 1:
		return "", false
	case packed[0] == 1:
		return base64.StdEncoding.EncodeToString(packed[1:]), true
	}
	return string(packed[1:]), true
}

// sealedForm decodes a link and checks its outer form, which needs no key.
func sealedForm(link string) ([]byte, error) {
	if len(link) > maxLink {
		return nil, ErrDamaged
	}
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(link)
	if err != nil || len(sealed) < prefixSize+nonceSize+tagSize || sealed[0] != version {
		return nil, ErrDamaged
	}
	return sealed, nil
}

// knows tells whether a link in the right outer form names one of the keys.
func (s *Sealer) knows(sealed []byte) bool {
	for _, k := range s.keys {
		if bytes.Equal(sealed[1:prefixSize], k.id[:]) {
			return true
		}
	}
	return false
}

// Open gives the claim back, or ErrDamaged or ErrExpired. With ErrExpired the
// claim is given as well: it is authentic.
func (s *Sealer) Open(link string, now time.Time) (Claim, error) {
	sealed, err := sealedForm(link)
	if err != nil {
		return Claim{}, err
	}
	for _, k := range s.keys {
		if !bytes.Equal(sealed[1:prefixSize], k.id[:]) {
			continue
		}
		plain, err := k.aead.Open(nil, sealed[prefixSize:prefixSize+nonceSize], sealed[prefixSize+nonceSize:], sealed[:prefixSize])
		if err != nil {
			continue
		}
		c, ok := parseClaim(plain)
		if !ok {
			return Claim{}, ErrDamaged
		}
		if !now.Before(c.Expires) {
			return c, ErrExpired
		}
		return c, nil
	}
	return Claim{}, ErrDamaged
}

func parseClaim(plain []byte) (Claim, bool) {
	size, n := binary.Uvarint(plain)
	if n <= 0 || size > maxLink {
		return Claim{}, false
	}
	end := n + int(size)
	if end > len(plain) {
		return Claim{}, false
	}
	text, packed := plain[n:end], plain[end:]
	var j claimJSON
	if err := json.Unmarshal(text, &j); err != nil {
		return Claim{}, false
	}
	token, ok := unpackToken(packed)
	return Claim{
		TaskToken: token, Stage: j.Stage, Execution: j.Execution, Approver: j.Approver,
		Target:  rotation.Target{Kind: j.Kind, ID: j.ID, Label: j.Label},
		Expires: time.Unix(j.Expires, 0).UTC(),
	}, ok
}

// formAge is how long a form that was shown can be sent.
const formAge = 12 * time.Hour

// FormToken is the hidden field of the page's form. It shows that a POST comes
// from a page that was shown for this very link and this very request, which is
// the one with the task token: a scanner that posts to every address it finds
// has none, and a page that was opened before something changed has another.
func (s *Sealer) FormToken(link, request string, now time.Time) string {
	token := make([]byte, 8, 8+sha256.Size)
	binary.BigEndian.PutUint64(token, uint64(now.Unix())) //nolint:gosec // a time after 1970
	return base64.RawURLEncoding.EncodeToString(s.keys[0].signForm(token, link, request))
}

// CheckForm tells whether a form's token was made for this link and request
// within the last 12 hours.
func (s *Sealer) CheckForm(token, link, request string, now time.Time) bool {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(raw) != 8+sha256.Size {
		return false
	}
	made := false
	for _, k := range s.keys {
		made = made || hmac.Equal(k.signForm(raw[:8:8], link, request), raw)
	}
	if !made {
		return false
	}
	shown := time.Unix(int64(binary.BigEndian.Uint64(raw[:8])), 0) //nolint:gosec // authenticated above
	age := now.Sub(shown)
	return age >= -time.Minute && age < formAge
}

func (k linkKey) signForm(timestamp []byte, link, request string) []byte {
	mac := hmac.New(sha256.New, k.formKey)
	mac.Write(timestamp)
	mac.Write([]byte(link))
	mac.Write([]byte{0}) // no link has it
	mac.Write([]byte(request))
	return mac.Sum(timestamp)
}
