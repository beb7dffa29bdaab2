package okta

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"sort"
	"strings"

	"github.com/tidwall/gjson"
	"github.com/tidwall/sjson"

	"keyturn/internal/rotation"
)

// Document is the raw JSON of a target, as Okta gave it. It is never decoded
// into typed structs and written back: that has wiped provisioning settings
// (terraform-provider-okta #655, #710) and dropped fields (okta-sdk-golang
// #222).
type Document struct {
	Kind rotation.Kind
	Raw  []byte
}

// KidPath is where the document names the active key.
func (d Document) KidPath() string {
	if d.Kind == rotation.KindIDP {
		return "protocol.credentials.signing.kid"
	}
	return "credentials.signing.kid"
}

// ActiveKid is the kid in use, or "" when the document names none.
func (d Document) ActiveKid() string { return gjson.GetBytes(d.Raw, d.KidPath()).String() }

// Label is what administrators see: an app's label, an IdP's name.
func (d Document) Label() string {
	if d.Kind == rotation.KindIDP {
		return gjson.GetBytes(d.Raw, "name").String()
	}
	return gjson.GetBytes(d.Raw, "label").String()
}

// Name is an app's key in Okta's catalogue; an IdP has none.
func (d Document) Name() string {
	if d.Kind == rotation.KindIDP {
		return ""
	}
	return gjson.GetBytes(d.Raw, "name").String()
}

// Field reads one top-level text of the document.
func (d Document) Field(name string) string { return gjson.GetBytes(d.Raw, name).String() }

// SignsSAML tells whether the target signs SAML 2.0, and what it is if not.
// SAML 1.1 is left out: Okta previews no metadata of such an app, so that a
// switch could not be verified.
func (d Document) SignsSAML() (bool, string) {
	field := "signOnMode"
	if d.Kind == rotation.KindIDP {
		field = "type"
	}
	mode := d.Field(field)
	return (d.Kind == rotation.KindApp && mode == "SAML_2_0") ||
		(d.Kind == rotation.KindIDP && mode == "SAML2"), field + " is " + mode
}

// SwitchBody is the body of the PUT that makes kid active. For an app it is
// the guide's: name, label, signOnMode and credentials.signing.kid, the values
// as Okta spelled them. For an IdP it is the whole document with nothing but
// the bytes of the kid replaced.
func (d Document) SwitchBody(kid string) ([]byte, error) {
	quoted, err := json.Marshal(kid)
	if err != nil {
		return nil, fmt.Errorf("kid %q: %w", kid, err)
	}
	if d.Kind == rotation.KindIDP {
		old := gjson.GetBytes(d.Raw, d.KidPath())
		if !old.Exists() || old.Index == 0 {
			return nil, fmt.Errorf("the document has no %s to replace", d.KidPath())
		}
		body := make([]byte, 0, len(d.Raw)+len(quoted))
		body = append(body, d.Raw[:old.Index]...)
		body = append(body, quoted...)
		return append(body, d.Raw[old.Index+len(old.Raw):]...), nil
	}
	body := []byte("{}")
	for _, field := range []string{"name", "label", "signOnMode"} {
		value := gjson.GetBytes(d.Raw, field)
		if !value.Exists() {
			return nil, fmt.Errorf("the document has no %s, which the update needs", field)
		}
		if body, err = sjson.SetRawBytes(body, field, []byte(value.Raw)); err != nil {
			return nil, fmt.Errorf("%s: %w", field, err)
		}
	}
	return sjson.SetRawBytes(body, d.KidPath(), quoted)
}

// Digest is the SHA-256 (hex) of the document without the active kid, the dates
// that Okta keeps beside it, links, and lastUpdated. The order of fields and white
// space do not count; the spelling of a number does: 1.0 is not 1.
func (d Document) Digest() (string, error) {
	tree, err := d.comparable()
	if err != nil {
		return "", err
	}
	canonical, err := json.Marshal(tree)
	if err != nil {
		return "", fmt.Errorf("document: %w", err)
	}
	sum := sha256.Sum256(canonical)
	return hex.EncodeToString(sum[:]), nil
}

func (d Document) comparable() (map[string]any, error) {
	dec := json.NewDecoder(bytes.NewReader(d.Raw))
	dec.UseNumber()
	var tree map[string]any
	if err := dec.Decode(&tree); err != nil {
		return nil, &Error{Name: "Okta.Unavailable", Doing: "read the document", Method: "GET", Path: "document", Summary: "it is not a JSON object"}
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, &Error{Name: "Okta.Unavailable", Doing: "read the document", Method: "GET", Path: "document", Summary: "it has text after its end"}
	}
	delete(tree, "lastUpdated")
	// Addresses and what they show: nothing that anybody has set.
	delete(tree, "_links")
	delete(tree, "_embedded")
	node := tree
	path := []string{"credentials", "signing"}
	if d.Kind == rotation.KindIDP {
		path = append([]string{"protocol"}, path...)
	}
	for _, name := range path {
		next, ok := node[name].(map[string]any)
		if !ok {
			return tree, nil
		}
		node = next
	}
	delete(node, "kid")
	// What Okta notes about the key's change itself
	// (ApplicationCredentialsSigning in the API spec, both read-only).
	delete(node, "lastRotated")
	delete(node, "nextRotation")
	return tree, nil
}

// namesTwice tells that an object in a JSON text has two fields of one name:
// readers differ in which of them counts, so that nobody can say what a change
// of one would do.
func namesTwice(raw []byte) bool {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	type object struct {
		names   map[string]bool // nil for a list
		isValue bool            // the next token is a field's value
	}
	var open []object
	for {
		token, err := d.Token()
		if err != nil {
			return false
		}
		var in *object
		if len(open) > 0 {
			in = &open[len(open)-1]
		}
		if in != nil && in.names != nil && !in.isValue && token != json.Delim('}') {
			name, _ := token.(string)
			if in.names[name] {
				return true
			}
			in.names[name], in.isValue = true, true
			continue
		}
		if in != nil {
			in.isValue = false
		}
		switch token {
		case json.Delim('{'):
			open = append(open, object{names: map[string]bool{}})
		case json.Delim('['):
			open = append(open, object{})
		case json.Delim('}'), json.Delim(']'):
			open = open[:len(open)-1]
		}
	}
}

// Difference is one field that is not as it was.
type Difference struct {
	// Path is the field, such as settings.app.url or features[2].
	Path string `json:"path"`
	// Before and After are the values as JSON, shortened, and masked where the
	// name sounds like a secret; "(absent)" where there is none.
	Before string `json:"before"`
	After  string `json:"after"`
}

func (d Difference) String() string { return d.Path + ": " + d.Before + " → " + d.After }

// Differences compares two states of a target, but for the active kid, the
// dates that Okta keeps beside it, links, and lastUpdated.
func Differences(before, after Document) ([]Difference, error) {
	a, err := before.comparable()
	if err != nil {
		return nil, err
	}
	b, err := after.comparable()
	if err != nil {
		return nil, err
	}
	var diffs []Difference
	compare("", a, b, &diffs)
	return diffs, nil
}

type absent struct{}

func compare(path string, a, b any, diffs *[]Difference) {
	switch x := a.(type) {
	case map[string]any:
		if y, ok := b.(map[string]any); ok {
			names := map[string]bool{}
			for n := range x {
				names[n] = true
			}
			for n := range y {
				names[n] = true
			}
			sorted := make([]string, 0, len(names))
			for n := range names {
				sorted = append(sorted, n)
			}
			sort.Strings(sorted)
			for _, n := range sorted {
				child := n
				if path != "" {
					child = path + "." + n
				}
				compare(child, member(x, n), member(y, n), diffs)
			}
			return
		}
	case []any:
		if y, ok := b.([]any); ok {
			for i := 0; i < len(x) || i < len(y); i++ {
				compare(fmt.Sprintf("%s[%d]", path, i), item(x, i), item(y, i), diffs)
			}
			return
		}
	default:
		if a == b {
			return
		}
	}
	*diffs = append(*diffs, Difference{Path: clipTo(path, 200), Before: show(path, a), After: show(path, b)})
}

func member(m map[string]any, name string) any {
	if v, ok := m[name]; ok {
		return v
	}
	return absent{}
}

func item(list []any, i int) any {
	if i < len(list) {
		return list[i]
	}
	return absent{}
}

// soundsSecret tells whether a field's name is one of those that hold secrets.
func soundsSecret(path string) bool {
	path = strings.ToLower(path)
	for _, word := range []string{"pass", "secret", "token", "private", "apikey", "api_key"} {
		if strings.Contains(path, word) {
			return true
		}
	}
	return false
}

const hidden = "(hidden)"

// masked is a value without the secrets anywhere inside it.
func masked(v any) any {
	switch x := v.(type) {
	case map[string]any:
		m := make(map[string]any, len(x))
		for name, child := range x {
			if m[name] = masked(child); soundsSecret(name) {
				m[name] = hidden
			}
		}
		return m
	case []any:
		list := make([]any, len(x))
		for i, child := range x {
			list[i] = masked(child)
		}
		return list
	}
	return v
}

func show(path string, v any) string {
	if _, ok := v.(absent); ok {
		return "(absent)"
	}
	if soundsSecret(path) {
		return hidden
	}
	text, err := json.Marshal(masked(v))
	if err != nil {
		return "(unreadable)"
	}
	return clipTo(string(text), 80)
}
