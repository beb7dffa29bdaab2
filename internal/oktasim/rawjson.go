package oktasim

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Documents are kept and edited as raw JSON text. What nobody changes keeps
// its bytes: numbers such as 1.0 or 12345678901234567890, escapes such as
// \u00e9 and \/, the order of members. A client that re-encodes a document on
// the way back therefore shows up as a difference.

// member is one name/value pair of a JSON object; the offsets are into the
// text that members was given.
type member struct {
	name       string
	start      int // of the quoted name
	value, end int // of the value: text[value:end]
}

// members lists the pairs of a JSON object in the order of the text. The text
// must be valid JSON (json.Valid); anything but an object has no members.
func members(text []byte) []member {
	i := skipSpace(text, 0)
	if i >= len(text) || text[i] != '{' {
		return nil
	}
	var list []member
	for i = skipSpace(text, i+1); i < len(text) && text[i] != '}'; {
		m := member{start: i}
		i = skipValue(text, i)
		m.name = string(text[m.start+1 : i-1])
		if strings.Contains(m.name, `\`) {
			_ = json.Unmarshal(text[m.start:i], &m.name) // a valid JSON string decodes
		}
		i = skipSpace(text, i) + 1 // the colon
		m.value = skipSpace(text, i)
		m.end = skipValue(text, m.value)
		list = append(list, m)
		i = skipSpace(text, m.end)
		if i < len(text) && text[i] == ',' {
			i = skipSpace(text, i+1)
		}
	}
	return list
}

func skipSpace(text []byte, i int) int {
	for i < len(text) && (text[i] == ' ' || text[i] == '\t' || text[i] == '\n' || text[i] == '\r') {
		i++
	}
	return i
}

// skipValue returns the offset just behind the JSON value that starts at i.
func skipValue(text []byte, i int) int {
	depth := 0
	for i < len(text) {
		switch text[i] {
		case '"':
			for i++; i < len(text) && text[i] != '"'; i++ {
				if text[i] == '\\' {
					i++
				}
			}
			i++
		case '{', '[':
			depth++
			i++
		case '}', ']':
			depth--
			i++
		case ' ', '\t', '\n', '\r', ',', ':':
			i++
			continue
		default: // number, true, false, null
			for i < len(text) && strings.IndexByte(" \t\n\r,:]}", text[i]) < 0 {
				i++
			}
		}
		if depth == 0 {
			return i
		}
	}
	return len(text)
}

// lookup returns the raw value at the path of member names, or nil.
func lookup(text []byte, path ...string) []byte {
	for _, name := range path {
		var found []byte
		for _, m := range members(text) {
			if m.name == name {
				found = text[m.value:m.end]
			}
		}
		if found == nil {
			return nil
		}
		text = found
	}
	return bytes.TrimSpace(text)
}

// lookupString is lookup for a string value; "" when there is none.
func lookupString(text []byte, path ...string) string {
	s, _ := asString(lookup(text, path...))
	return s
}

func asString(raw []byte) (string, bool) {
	if len(raw) == 0 || raw[0] != '"' {
		return "", false
	}
	var s string
	err := json.Unmarshal(raw, &s)
	return s, err == nil
}

func isObject(raw []byte) bool { return len(raw) > 0 && raw[0] == '{' }

// setMember puts the raw value under name: in place when the object has the
// name, at the end otherwise. It returns a new slice.
func setMember(object []byte, name string, raw []byte) []byte {
	for _, m := range members(object) {
		if m.name == name {
			return splice(object, m.value, m.end, raw)
		}
	}
	quoted, _ := json.Marshal(name)
	pair := append(append(quoted, ':'), raw...)
	if len(members(object)) > 0 {
		pair = append([]byte{','}, pair...)
	}
	brace := bytes.LastIndexByte(object, '}')
	return splice(object, brace, brace, pair)
}

// setPath is setMember for a path; missing objects on the way are created.
func setPath(object []byte, raw []byte, path ...string) []byte {
	if len(path) > 1 {
		inner := lookup(object, path[0])
		if !isObject(inner) {
			inner = []byte("{}")
		}
		raw = setPath(inner, raw, path[1:]...)
	}
	return setMember(object, path[0], raw)
}

// removeMember drops name from the object. It returns a new slice.
func removeMember(object []byte, name string) []byte {
	list := members(object)
	for i, m := range list {
		if m.name != name {
			continue
		}
		switch {
		case i+1 < len(list):
			return splice(object, m.start, list[i+1].start, nil)
		case i > 0:
			return splice(object, list[i-1].end, m.end, nil)
		default:
			return splice(object, m.start, m.end, nil)
		}
	}
	return bytes.Clone(object)
}

// merge copies every member of from into object, objects into objects at any
// depth, everything else as it is written. It returns a new slice.
func merge(object, from []byte) []byte {
	for _, m := range members(from) {
		value := from[m.value:m.end]
		if old := lookup(object, m.name); isObject(old) && isObject(value) {
			value = merge(old, value)
		}
		object = setMember(object, m.name, value)
	}
	return bytes.Clone(object)
}

func splice(text []byte, from, to int, with []byte) []byte {
	out := make([]byte, 0, len(text)+len(with))
	out = append(out, text[:from]...)
	out = append(out, with...)
	return append(out, text[to:]...)
}

// maxDepth bounds the nesting of a request body, so that the recursion over it
// is bounded too.
const maxDepth = 200

// checkObject refuses a body that is not one JSON object, that nests too
// deeply, or that names a member twice in one object. Okta's parser would take
// one of the two values; refusing is our stricter choice, because nobody can
// tell which one.
func checkObject(body []byte) error {
	// RFC 8259 wants UTF-8; encoding/json alone would let other bytes pass.
	if !utf8.Valid(body) || !json.Valid(body) {
		return errors.New("not JSON")
	}
	if !isObject(bytes.TrimSpace(body)) {
		return errors.New("not a JSON object")
	}
	return checkNames(body, 0)
}

func checkNames(text []byte, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("nested deeper than %d", maxDepth)
	}
	text = bytes.TrimSpace(text)
	if len(text) == 0 {
		return nil
	}
	switch text[0] {
	case '{':
		seen := map[string]bool{}
		for _, m := range members(text) {
			if seen[m.name] {
				return fmt.Errorf("member %q given twice", m.name)
			}
			seen[m.name] = true
			if err := checkNames(text[m.value:m.end], depth+1); err != nil {
				return err
			}
		}
	case '[':
		for _, element := range elements(text) {
			if err := checkNames(element, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

// elements lists the raw values of a JSON array.
func elements(text []byte) [][]byte {
	i := skipSpace(text, 0)
	if i >= len(text) || text[i] != '[' {
		return nil
	}
	var list [][]byte
	for i = skipSpace(text, i+1); i < len(text) && text[i] != ']'; {
		end := skipValue(text, i)
		list = append(list, text[i:end])
		i = skipSpace(text, end)
		if i < len(text) && text[i] == ',' {
			i = skipSpace(text, i+1)
		}
	}
	return list
}

// quote encodes s as JSON does by default in Okta's answers: without the HTML
// escapes of encoding/json.
func quote(s string) []byte { return encode(s) }

// encode marshals v without HTML escapes. It is for values made here, which
// always marshal.
func encode(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(fmt.Sprintf("oktasim: encode %T: %v", v, err))
	}
	return bytes.TrimRight(b.Bytes(), "\n")
}
