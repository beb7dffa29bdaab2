package live

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"maps"
	"mime"
	"slices"
	"strings"
	"time"
)

// shape is what a body looks like: the types that are seen at each path. A path
// is a JSON pointer with * for the items of a list; of XML, the elements' local
// names, and @ before an attribute's.
type shape map[string]map[string]bool

func (s shape) see(path, kind string) {
	if s[path] == nil {
		s[path] = map[string]bool{}
	}
	s[path][kind] = true
}

func (s shape) join(other shape) {
	for path, kinds := range other {
		for k := range kinds {
			s.see(path, k)
		}
	}
}

// types lists what is seen at a path.
func (s shape) types(path string) []string { return slices.Sorted(maps.Keys(s[path])) }

// ownNames are the objects whose members an org or a vendor names; what is
// below them is not compared and not printed.
var ownNames = []string{"/visibility/appLinks", "/profile", "/settings/app", "/_embedded"}

// shapeOf reads the body's shape; an error tells that it is not what the media
// type says.
func shapeOf(contentType string, body []byte) (shape, error) {
	s := shape{}
	media, _, _ := mime.ParseMediaType(contentType)
	switch {
	case len(body) == 0:
		return s, nil
	case strings.HasSuffix(media, "xml"):
		return s, s.xml(body)
	case media == "application/json":
		d := json.NewDecoder(bytes.NewReader(body))
		d.UseNumber()
		var v any
		if err := d.Decode(&v); err != nil {
			return s, err
		}
		if _, err := d.Token(); !errors.Is(err, io.EOF) {
			return s, errors.New("there is text behind the JSON")
		}
		s.json("", v)
		return s, nil
	}
	s.see("", media)
	return s, nil
}

func (s shape) json(path string, v any) {
	switch v := v.(type) {
	case map[string]any:
		s.see(path, "object")
		if slices.ContainsFunc(ownNames, func(own string) bool { return strings.TrimPrefix(path, "/*") == own }) {
			return
		}
		for name, child := range v {
			s.json(path+"/"+name, child)
		}
	case []any:
		s.see(path, "array")
		for _, child := range v {
			s.json(path+"/*", child)
		}
	case string:
		s.see(path, typeOfText(v))
	case json.Number:
		if strings.ContainsAny(v.String(), ".eE") {
			s.see(path, "number")
		} else {
			s.see(path, "integer")
		}
	case bool:
		s.see(path, "boolean")
	case nil:
		s.see(path, "null")
	}
}

func typeOfText(text string) string {
	if _, err := time.Parse(time.RFC3339, text); err == nil {
		return "date"
	}
	return "string"
}

func (s shape) xml(body []byte) error {
	d := xml.NewDecoder(bytes.NewReader(body))
	var path []string
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		switch t := token.(type) {
		case xml.StartElement:
			path = append(path, t.Name.Local)
			at := "/" + strings.Join(path, "/")
			s.see(at, "element")
			for _, a := range t.Attr {
				if a.Name.Space != "xmlns" && a.Name.Local != "xmlns" {
					s.see(at+"/@"+a.Name.Local, "attribute")
				}
			}
		case xml.EndElement:
			path = path[:len(path)-1]
		}
	}
}
