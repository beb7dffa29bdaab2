package rotation

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
)

// node is a JSON value, with its place in the text. encoding/json alone tells
// neither lines nor fields that are given twice.
type node struct {
	// at is the offset of its first byte, raw its text.
	at  int
	raw []byte
	// fields are those of an object, in the order of the text, and items those
	// of a list.
	fields []field
	items  []*node
}

// field is a field of an object; at is the offset of its name.
type field struct {
	name  string
	at    int
	value *node
}

// sort is the name that encoding/json has for what it is.
func (n *node) sort() string {
	switch n.raw[0] {
	case '{':
		return "object"
	case '[':
		return "array"
	case '"':
		return "string"
	case 't', 'f':
		return "bool"
	case 'n':
		return "null"
	}
	return "number"
}

// text is a string's value.
func (n *node) text() string {
	var s string
	_ = json.Unmarshal(n.raw, &s)
	return s
}

// outline reads a text that is valid JSON.
func outline(text []byte) *node {
	o := outliner{text: text, tokens: json.NewDecoder(bytes.NewReader(text))}
	o.tokens.UseNumber()
	return o.value()
}

type outliner struct {
	text   []byte
	tokens *json.Decoder
}

// next is the offset of the token that comes next.
func (o *outliner) next() int {
	at := int(o.tokens.InputOffset())
	return at + len(o.text[at:]) - len(bytes.TrimLeft(o.text[at:], " \t\r\n,:"))
}

func (o *outliner) value() *node {
	n := &node{at: o.next()}
	token, _ := o.tokens.Token()
	switch token {
	case json.Delim('{'):
		for o.tokens.More() {
			f := field{at: o.next()}
			name, _ := o.tokens.Token()
			f.name, _ = name.(string)
			f.value = o.value()
			n.fields = append(n.fields, f)
		}
		_, _ = o.tokens.Token()
	case json.Delim('['):
		for o.tokens.More() {
			n.items = append(n.items, o.value())
		}
		_, _ = o.tokens.Token()
	}
	n.raw = o.text[n.at:o.tokens.InputOffset()]
	return n
}

// syntaxError finds where a text stops being JSON, and says what to do. An
// empty remark is one that it is JSON.
func syntaxError(text []byte) (at int, remark string) {
	var wrong *json.SyntaxError
	if err := json.Unmarshal(text, new(json.RawMessage)); !errors.As(err, &wrong) {
		return 0, ""
	}
	at = max(int(wrong.Offset)-1, 0)
	before, here := bytes.TrimRight(text[:at], " \t\r\n"), text[at:]
	after := strings.HasSuffix(wrong.Error(), "after top-level value")
	starts := func(with string) bool { return bytes.HasPrefix(here, []byte(with)) }
	remedy := ""
	switch {
	case starts("/") || starts("#"):
		remedy = "; JSON has no comments: remove it"
	case after:
		return at, "policy has text after its end: give one JSON object"
	case strings.HasPrefix(wrong.Error(), "unexpected end"):
		at = max(len(before)-1, 0)
		remedy = "; a closing brace, bracket or quote is missing"
	case starts("}") || starts("]"):
		if bytes.HasSuffix(before, []byte(",")) {
			remedy = "; remove the comma before it"
		}
	case starts("'"):
		remedy = "; use double quotes"
	case starts("\xef\xbb\xbf"):
		remedy = "; save the file without a byte order mark"
	case strings.Contains(wrong.Error(), "after object key:value pair"), strings.Contains(wrong.Error(), "after array element"):
		remedy = "; put a comma before it"
	}
	return at, "policy is not JSON: " + wrong.Error() + remedy
}
