// Package approval is the pause at the task token: the sealed link that goes
// to an approver, and the decision that comes back.
package approval

import (
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

// Claim is what a link holds. Nothing of it is stored anywhere else.
type Claim struct {
	// TaskToken completes the paused state; it is a secret.
	TaskToken string               `json:"t"`
	Target    rotation.Target      `json:"g"`
	Order     rotation.UploadOrder `json:"o"`
	OldKid    string               `json:"ok"`
	NewKid    string               `json:"nk"`
	// OldNotAfter and NewNotAfter are the certificates' expiry dates.
	OldNotAfter time.Time `json:"oe"`
	NewNotAfter time.Time `json:"ne"`
	// SHA256 is the new certificate's fingerprint.
	SHA256 string `json:"f"`
	// Approver is the address that the link was sent to; empty for a topic or
	// a channel, whose page asks for the name.
	Approver string `json:"a,omitempty"`
	// Expires is when the link stops working.
	Expires time.Time `json:"x"`
}

// The ways in which a link can be of no use.
var (
	ErrDamaged = errors.New("the link is damaged or was altered")
	ErrExpired = errors.New("the link has expired")
)

// Sealer makes and opens links. Its keys come from the link-key secret by
// HKDF (RFC 5869), one for each purpose.
type Sealer struct {
	aead    cipher.AEAD
	formKey []byte
}

// minSecret is the shortest link-key accepted: the stack generates 64
// characters.
const minSecret = 32

// NewSealer derives the keys from the link-key secret.
func NewSealer(secret []byte) (*Sealer, error) {
	if len(secret) < minSecret {
		return nil, rotation.Errorf("Credential.Malformed", "the link-key secret has %d characters, fewer than %d: let the stack generate it", len(secret), minSecret)
	}
	linkKey, err := hkdf.Key(sha256.New, secret, nil, "keyturn link v1", 32)
	if err != nil {
		return nil, fmt.Errorf("link key: %w", err)
	}
	formKey, err := hkdf.Key(sha256.New, secret, nil, "keyturn form v1", 32)
	if err != nil {
		return nil, fmt.Errorf("form key: %w", err)
	}
	block, err := aes.NewCipher(linkKey)
	if err != nil {
		return nil, fmt.Errorf("link cipher: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("link cipher: %w", err)
	}
	return &Sealer{aead: aead, formKey: formKey}, nil
}

// A sealed claim is version ‖ nonce ‖ ciphertext in base64url. The version is
// authenticated too.
const version = 1

// Seal encrypts and authenticates a claim (AES-256-GCM, random nonce) for use
// in a URL's path.
func (s *Sealer) Seal(c Claim) (string, error) {
	plain, err := json.Marshal(c)
	if err != nil {
		return "", fmt.Errorf("claim: %w", err)
	}
	sealed := make([]byte, 1+s.aead.NonceSize(), 1+s.aead.NonceSize()+len(plain)+s.aead.Overhead())
	sealed[0] = version
	if _, err := rand.Read(sealed[1:]); err != nil {
		return "", fmt.Errorf("nonce: %w", err)
	}
	sealed = s.aead.Seal(sealed, sealed[1:1+s.aead.NonceSize()], plain, sealed[:1]) //nolint:gosec // G407 takes the random nonce above for a constant
	return base64.RawURLEncoding.EncodeToString(sealed), nil
}

// Open gives the claim back, or ErrDamaged or ErrExpired. With ErrExpired the
// claim is given as well: it is authentic.
func (s *Sealer) Open(link string, now time.Time) (Claim, error) {
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(link)
	if err != nil || len(sealed) < 1+s.aead.NonceSize()+s.aead.Overhead() || sealed[0] != version {
		return Claim{}, ErrDamaged
	}
	nonce, ciphertext := sealed[1:1+s.aead.NonceSize()], sealed[1+s.aead.NonceSize():]
	plain, err := s.aead.Open(nil, nonce, ciphertext, sealed[:1])
	if err != nil {
		return Claim{}, ErrDamaged
	}
	var c Claim
	if err := json.Unmarshal(plain, &c); err != nil {
		return Claim{}, ErrDamaged
	}
	if !now.Before(c.Expires) {
		return c, ErrExpired
	}
	return c, nil
}

// formAge is how long a form that was shown can be sent.
const formAge = 12 * time.Hour

// FormToken is the hidden field of the page's form. It shows that a POST comes
// from a page that was shown for this very link: a scanner that posts to every
// address it finds has none.
func (s *Sealer) FormToken(link string, now time.Time) string {
	token := make([]byte, 8, 8+sha256.Size)
	binary.BigEndian.PutUint64(token, uint64(now.Unix())) //nolint:gosec // a time after 1970
	return base64.RawURLEncoding.EncodeToString(s.signForm(token, link))
}

// CheckForm tells whether a form's token was made for this link within the
// last 12 hours.
func (s *Sealer) CheckForm(token, link string, now time.Time) bool {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(raw) != 8+sha256.Size {
		return false
	}
	if !hmac.Equal(s.signForm(raw[:8:8], link), raw) {
		return false
	}
	shown := time.Unix(int64(binary.BigEndian.Uint64(raw[:8])), 0) //nolint:gosec // authenticated above
	age := now.Sub(shown)
	return age >= -time.Minute && age < formAge
}

func (s *Sealer) signForm(timestamp []byte, link string) []byte {
	mac := hmac.New(sha256.New, s.formKey)
	mac.Write(timestamp)
	mac.Write([]byte(link))
	return mac.Sum(timestamp)
}
