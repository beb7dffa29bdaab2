package okta

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"

	"keyturn/internal/rotation"
)

// SSWS is an API token, sent as "Authorization: SSWS {token}". It prints as
// nothing, so that it cannot reach a log by accident.
type SSWS struct{ token string }

// Authorize adds the token to a request.
func (s SSWS) Authorize(r *http.Request) error {
	r.Header.Set("Authorization", "SSWS "+s.token)
	return nil
}

// String hides the token.
func (SSWS) String() string { return "SSWS (hidden)" }

// GoString hides the token.
func (SSWS) GoString() string { return "SSWS (hidden)" }

// ParseCredential reads the Okta secret: {"apiToken": "…"}. An OAuth service
// app's {"clientId": "…", "privateKey": {…}} is recognised and refused for now.
// Errors are named Credential.Missing or Credential.Malformed and never quote
// the secret.
func ParseCredential(secretName string, value []byte) (Credential, error) {
	const shape = `store it as {"apiToken": "…"}`
	value = bytes.TrimSpace(value)
	if len(value) == 0 {
		return nil, rotation.Errorf("Credential.Missing", "the secret %s is empty: %s", secretName, shape)
	}
	var s struct {
		APIToken   *string          `json:"apiToken"`
		ClientID   *string          `json:"clientId"`
		PrivateKey *json.RawMessage `json:"privateKey"`
	}
	d := json.NewDecoder(bytes.NewReader(value))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil || d.InputOffset() < int64(len(value)) {
		return nil, rotation.Errorf("Credential.Malformed", "the secret %s has another shape than expected: %s", secretName, shape)
	}
	if s.ClientID != nil || s.PrivateKey != nil {
		return nil, rotation.Errorf("Credential.Malformed", "the secret %s holds an OAuth service app, which this version cannot use: %s", secretName, shape)
	}
	if s.APIToken == nil || *s.APIToken == "" {
		return nil, rotation.Errorf("Credential.Missing", "the secret %s has no apiToken: %s", secretName, shape)
	}
	token := *s.APIToken
	if strings.HasPrefix(strings.ToUpper(token), "SSWS ") {
		return nil, rotation.Errorf("Credential.Malformed", "apiToken in the secret %s starts with \"SSWS \": store the token alone", secretName)
	}
	for _, r := range token {
		if r <= ' ' || r > '~' {
			return nil, rotation.Errorf("Credential.Malformed", "apiToken in the secret %s holds a space, a line break or another character that no token has: store the token alone", secretName)
		}
	}
	return SSWS{token: token}, nil
}
