package oktasim

import (
	"bytes"
	"fmt"
	"hash/maphash"
	"io"
	"mime"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Exchange is one API call and its answer, as test/audit reads it. The
// Authorization header is never among the headers.
type Exchange struct {
	Operation string  `json:"operation"` // operationId of Okta's API spec; "" for an unknown path or method
	Method    string  `json:"method"`
	Path      string  `json:"path"`            // escaped, with the query
	Fault     string  `json:"fault,omitempty"` // the FaultKind that hit this call, or ""
	Request   Message `json:"request"`
	// Status is 0 where a fault closed the connection.
	Status int `json:"status"`
	// Response is the answer before a fault mangled its bytes on the way.
	Response Message `json:"response"`
}

// Message is one direction of an Exchange.
type Message struct {
	Header map[string]string `json:"header,omitempty"`
	// Body is whole, but for a page of a list, which has only the items of a
	// shape that was not seen before, or one item.
	Body []byte `json:"body,omitempty"`
	// Omitted says that the body is too large to be kept.
	Omitted bool `json:"omitted,omitempty"`
}

var (
	requestHeaders  = []string{"Accept", "Content-Transfer-Encoding", "Content-Type", "User-Agent"}
	responseHeaders = []string{"Content-Transfer-Encoding", "Content-Type", "Link", "X-Okta-Request-Id", "X-Rate-Limit-Limit", "X-Rate-Limit-Remaining", "X-Rate-Limit-Reset"}
)

// maxKept bounds a body that is kept: some tests send what is too large on
// purpose.
const maxKept = 256 << 10

// recorder writes each shape of an exchange down once, as a line of JSON. Tests
// make hundreds of thousands of calls, and what they look like differs in a few
// hundred ways.
type recorder struct {
	mu   sync.Mutex
	out  io.Writer
	seen map[uint64]bool
}

func newRecorder(out io.Writer) *recorder {
	return &recorder{out: out, seen: map[uint64]bool{}}
}

// records is the process's recorder, nil unless $KEYTURN_RECORDS names a
// directory.
var records = sync.OnceValue(func() *recorder {
	dir := os.Getenv("KEYTURN_RECORDS")
	if dir == "" {
		return nil
	}
	f, err := os.CreateTemp(dir, fmt.Sprintf("okta-%d-*.jsonl", os.Getpid()))
	if err != nil {
		panic(fmt.Sprintf("oktasim: KEYTURN_RECORDS: %v", err))
	}
	return newRecorder(f)
})

// note writes the exchange down if it has a shape that is new. reply is nil
// where the connection is closed.
func (r *recorder) note(c *call, req *http.Request, reply *answer, header http.Header, fault *pendingFault) {
	if r == nil {
		return
	}
	e := Exchange{Method: req.Method, Path: req.URL.RequestURI(), Request: Message{Header: headersOf(req.Header, requestHeaders), Body: c.body}}
	shape := shapes{r.shapeOfRequest(c, req)}
	if c.route != nil {
		e.Operation = c.route.operation
	}
	if fault != nil {
		e.Fault = string(fault.Kind)
		shape.text(e.Fault)
	}
	if reply != nil {
		e.Status = reply.status
		e.Response = Message{Header: headersOf(header, responseHeaders), Body: reply.body}
		shape.text(strconv.Itoa(reply.status))
		for _, name := range responseHeaders {
			shape.text(strconv.FormatBool(e.Response.Header[name] != ""))
		}
		shape.text(e.Response.Header["Content-Type"])
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	isNew := false
	if reply != nil && c.pageOf() > 0 && reply.status == http.StatusOK {
		e.Response.Body, isNew = r.newItems(e.Operation, reply.body)
		shape.text(strconv.FormatBool(len(reply.body) > len("[]")), strconv.FormatBool(strings.Contains(e.Response.Header["Link"], `rel="next"`)))
	} else if reply != nil {
		shape.add(shapeOf(reply.body, e.Response.Header["Content-Type"]))
	}
	if !r.isNew(shape.sum) && !isNew {
		return
	}
	for _, m := range []*Message{&e.Request, &e.Response} {
		if m.Omitted = len(m.Body) > maxKept; m.Omitted {
			m.Body = nil
		}
	}
	_, _ = r.out.Write(append(encode(e), '\n')) // nobody is there to be told; the audit misses the calls
}

func (r *recorder) isNew(shape uint64) bool {
	old := r.seen[shape]
	r.seen[shape] = true
	return !old
}

// newItems are the items of a list whose shapes this operation has not
// answered with before, or the first one; some says whether there are any.
func (r *recorder) newItems(operation string, list []byte) (cut []byte, some bool) {
	var kept [][]byte
	var first []byte
	eachShape(list, func(item []byte, shape uint64) {
		if first == nil {
			first = item
		}
		of := shapes{shape}
		of.text("item of", operation)
		if r.isNew(of.sum) {
			kept = append(kept, item)
		}
	})
	some = len(kept) > 0
	if !some && first != nil {
		kept = [][]byte{first}
	}
	return array(kept), some
}

// shapeOfRequest tells clients apart, and media types, but neither ids nor
// cursors.
func (*recorder) shapeOfRequest(c *call, req *http.Request) uint64 {
	var s shapes
	client, _, _ := strings.Cut(req.Header.Get("User-Agent"), "/")
	s.text(client, req.Method)
	if c.route != nil {
		s.text(c.route.operation)
	} else {
		s.text(strconv.Itoa(strings.Count(c.path, "/")))
	}
	var query uint64 // in any order
	for name, values := range c.query {
		for _, v := range values {
			query += mix(hashText(name), classOf([]byte(v)))
		}
	}
	s.add(query)
	for _, name := range requestHeaders[:3] {
		s.text(name, strings.Join(req.Header.Values(name), ", "))
	}
	s.add(shapeOf(c.body, req.Header.Get("Content-Type")))
	return s.sum
}

func headersOf(h http.Header, names []string) map[string]string {
	kept := map[string]string{}
	for _, name := range names {
		if values := h.Values(name); len(values) > 0 {
			kept[name] = strings.Join(values, ", ")
		}
	}
	return kept
}

// shapes adds up what an exchange looks like, in order.
type shapes struct{ sum uint64 }

func (s *shapes) add(h uint64) { s.sum = mix(s.sum, h) }

func (s *shapes) text(texts ...string) {
	for _, t := range texts {
		s.add(hashText(t))
	}
}

var shapeSeed = maphash.MakeSeed()

func hashText(t string) uint64 { return maphash.String(shapeSeed, t) }

// mix is not symmetric: a then b is not b then a.
func mix(a, b uint64) uint64 {
	h := a*cursorFactor ^ b
	h ^= h >> 29
	h *= 0xBF58476D1CE4E5B9
	return h ^ h>>32
}

// shapeOf is the structure of a body: the names and types of JSON's members at
// any depth, whatever their order; of other media types, whether there is one.
func shapeOf(body []byte, contentType string) uint64 {
	if len(body) == 0 {
		return 1
	}
	if media, _, _ := mime.ParseMediaType(contentType); media != "application/json" {
		return hashText("begins " + string(bytes.TrimSpace(body[:min(len(body), 12)])))
	}
	s := scanner{text: body}
	return s.value()
}

// eachShape calls do with every element of a JSON array.
func eachShape(array []byte, do func(element []byte, shape uint64)) {
	s := scanner{text: array}
	if s.space(); s.i >= len(array) || array[s.i] != '[' {
		return
	}
	s.i++
	for s.space(); s.i < len(s.text) && s.text[s.i] != ']'; s.space() {
		start := s.i
		shape := s.value()
		do(array[start:s.i], shape)
		s.space()
		if s.i < len(s.text) && s.text[s.i] == ',' {
			s.i++
		}
	}
}

// scanner reads a JSON text once, from its start to its end. A text that is not
// JSON has some shape, too.
type scanner struct {
	text []byte
	i    int
}

func (s *scanner) space() { s.i = skipSpace(s.text, s.i) }

func (s *scanner) value() uint64 {
	if s.space(); s.i >= len(s.text) {
		s.i = len(s.text)
		return 3
	}
	switch s.text[s.i] {
	case '{':
		return s.object()
	case '[':
		return s.array()
	case '"':
		return classOf(s.string())
	default:
		start := s.i
		for s.i++; s.i < len(s.text) && strings.IndexByte(" \t\n\r,:]}", s.text[s.i]) < 0; s.i++ {
		}
		return classOfLiteral(s.text[start:s.i])
	}
}

// object adds the members up, in any order.
func (s *scanner) object() uint64 {
	var sum uint64 = 5
	s.i++
	for s.space(); s.i < len(s.text) && s.text[s.i] != '}'; s.space() {
		name := hashName(s.string())
		s.space()
		if s.i < len(s.text) && s.text[s.i] == ':' {
			s.i++
		}
		sum += mix(name, s.value())
		s.space()
		if s.i < len(s.text) && s.text[s.i] == ',' {
			s.i++
		}
	}
	s.i = min(s.i+1, len(s.text))
	return mix(sum, 5)
}

// hashName leaves the numbers out that an app's own name has, as in
// example_customsaml_17_link.
func hashName(name []byte) uint64 {
	if bytes.IndexByte(name, '_') < 0 || len(name) > 100 {
		return maphash.Bytes(shapeSeed, name)
	}
	var kept [100]byte
	n, number := 0, false
	for _, c := range name {
		digit := c >= '0' && c <= '9'
		if number = c == '_' || number && digit; !number || !digit {
			kept[n] = c
			n++
		}
	}
	return maphash.Bytes(shapeSeed, kept[:n])
}

// array adds the different elements up: a list of keys looks the same whether
// it has three or thirty.
func (s *scanner) array() uint64 {
	var sum uint64 = 6
	var different []uint64
	s.i++
	for s.space(); s.i < len(s.text) && s.text[s.i] != ']'; s.space() {
		if h := s.value(); !slices.Contains(different, h) {
			different = append(different, h)
			sum += h
		}
		s.space()
		if s.i < len(s.text) && s.text[s.i] == ',' {
			s.i++
		}
	}
	s.i = min(s.i+1, len(s.text))
	return mix(sum, 6)
}

// string is the text between two quotes, with its escapes.
func (s *scanner) string() []byte {
	start := min(s.i+1, len(s.text))
	for at := start; ; at++ {
		n := bytes.IndexByte(s.text[min(at, len(s.text)):], '"')
		if n < 0 {
			s.i = len(s.text)
			return nil
		}
		at += n
		escapes := 0
		for i := at - 1; i >= start && s.text[i] == '\\'; i-- {
			escapes++
		}
		if escapes%2 == 0 {
			s.i = at + 1
			return s.text[start:at]
		}
	}
}

// classOf is what a text looks like: itself where it is one of a few, such as
// SAML_2_0 or template_sps, without its digits; a date; or just a text of some
// length.
func classOf(text []byte) uint64 {
	if len(text) > 40 {
		switch {
		case len(text) <= 255:
			return 7
		case len(text) <= 1024:
			return 8
		}
		return 9
	}
	if len(text) >= 20 && text[4] == '-' && text[10] == 'T' {
		return 10
	}
	upper, lower, digits := false, false, false
	for _, c := range text {
		switch {
		case c >= 'A' && c <= 'Z':
			upper = true
		case c >= 'a' && c <= 'z':
			lower = true
		case c >= '0' && c <= '9':
			digits = true
		case c == '_' || c == '-':
		default:
			return 7
		}
	}
	switch {
	case upper && lower || len(text) == 0:
		return 7
	case digits && !upper && !lower:
		return 11
	}
	var word [40]byte
	n := 0
	for _, c := range text {
		if c < '0' || c > '9' || upper {
			word[n] = c
			n++
		}
	}
	return maphash.Bytes(shapeSeed, word[:n])
}

// classOfLiteral tells null, a truth value, and whole and large numbers apart.
func classOfLiteral(literal []byte) uint64 {
	switch literal[0] {
	case 'n':
		return 12
	case 't', 'f':
		return 13
	}
	var class uint64 = 14
	if bytes.ContainsAny(literal, ".eE") {
		class++
	}
	if len(literal) > 9 {
		class += 2
	}
	return class
}
