// Package rotation holds what a rotation is about: the target, its keys, the
// policy, and the input and output of every step of the state machine. It
// imports nothing of the project; every other package may import it.
package rotation

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"time"
)

// MinRemainingDays is Okta's hard rule: a certificate that is valid for 90
// days or less cannot be published (E0000001), so a key with no more than that
// left is not worth switching to either.
const MinRemainingDays = 90

// Day is the unit in which policies count.
const Day = 24 * time.Hour

// Kind tells the two sorts of target apart.
type Kind string

// The kinds of target. An app is an outbound SAML app, where Okta is the
// identity provider; an idp is an inbound SAML identity provider, where Okta is
// the service provider.
const (
	KindApp Kind = "app"
	KindIDP Kind = "idp"
)

// Target names one SAML app or one SAML IdP of the org. Only Kind and ID
// identify it; Label and Name are filled in by inspect-target, for people.
type Target struct {
	Kind Kind   `json:"kind"`
	ID   string `json:"id"`
	// Label is what administrators see: the app's label, the IdP's name.
	Label string `json:"label,omitempty"`
	// Name is the app's key in Okta's catalogue, such as "salesforce"; empty
	// for an IdP.
	Name string `json:"name,omitempty"`
}

// Bare is what identifies the target, without what is for people.
func (t Target) Bare() Target { return Target{Kind: t.Kind, ID: t.ID} }

// String names the target as people and errors do: app "0oa1…".
func (t Target) String() string { return fmt.Sprintf("%s %q", t.Kind, t.ID) }

// isID tells whether a text can be an id of Okta's, which are letters and
// digits; anything else would end up in a URL path. (A regular expression would
// cost every function half a millisecond at its start.)
func isID(s string) bool {
	for _, r := range s {
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_' {
			return false
		}
	}
	return s != "" && len(s) <= 64
}

// Validate refuses a target that cannot exist, with a Target.Invalid error.
func (t Target) Validate() error {
	if t.Kind != KindApp && t.Kind != KindIDP {
		return Errorf("Target.Invalid", "target.kind is %q: use %q for an outbound SAML app or %q for an inbound SAML IdP", t.Kind, KindApp, KindIDP)
	}
	if !isID(t.ID) {
		return Errorf("Target.Invalid", "target.id is %q: use the id of the %s in Okta, such as 0oa1gjh63g214q0Hq0g4", t.ID, t.Kind)
	}
	return nil
}

// ValidateSource refuses a target that t cannot take a key from, with a
// Target.Invalid error; field is what the input calls it.
func (t Target) ValidateSource(field string, source Target) error {
	switch {
	case source.Kind != t.Kind:
		return Errorf("Target.Invalid", "%s.kind is %q: use %q, as for the target; a key can be cloned to a target of the same kind only", field, source.Kind, t.Kind)
	case !isID(source.ID):
		return Errorf("Target.Invalid", "%s.id is %q: use the id of the %s in Okta, such as 0oa1gjh63g214q0Hq0g4", field, source.ID, t.Kind)
	case source.ID == t.ID:
		return Errorf("Target.Invalid", "%s is the target itself, %s: name the target that the key comes from", field, t)
	}
	return nil
}

// Key is a signing key of a target, as Okta lists it.
type Key struct {
	Kid string `json:"kid"`
	// Created is when the key came to the target: for a CSR, when it was
	// published.
	Created   time.Time `json:"created"`
	NotBefore time.Time `json:"notBefore"`
	NotAfter  time.Time `json:"notAfter"`
	Issuer    string    `json:"issuer"`
	Subject   string    `json:"subject"`
	// Certificate is the X.509 certificate: DER in standard base64, as in x5c.
	Certificate string `json:"certificate"`
}

// CSR is a certificate signing request that waits in Okta.
type CSR struct {
	ID string `json:"id"`
	// Request is the PKCS#10 request: DER in standard base64.
	Request string `json:"request"`
}

// Certificate is what the CA answered for a CSR.
type Certificate struct {
	// PEM is the leaf certificate alone, which is what Okta takes.
	PEM      string    `json:"pem"`
	Issuer   string    `json:"issuer"`
	Serial   string    `json:"serial"`
	NotAfter time.Time `json:"notAfter"`
}

// ExecutionName is the name under which the rotation of a key is started:
// {kind}-{id}-{first 8 of the kid}-{yyyymmdd}, at most 80 characters: an id that
// is too long for that is cut. Step Functions refuses a second execution of the
// same name, which makes the name the lock: one rotation for a key a day.
func ExecutionName(t Target, kid string, now time.Time) string {
	if len(kid) > 8 {
		kid = kid[:8]
	}
	id := t.ID
	if most := 80 - len("idp") - len(kid) - len("20060102") - len("---"); len(id) > most {
		id = id[:most]
	}
	return strings.Join([]string{string(t.Kind), id, kid, now.UTC().Format("20060102")}, "-")
}

// Fingerprint is the SHA-256 of a certificate's DER as partners show it: hex
// pairs with colons.
func Fingerprint(der []byte) string {
	sum := sha256.Sum256(der)
	return strings.ReplaceAll(fmt.Sprintf("% X", sum[:]), " ", ":")
}
