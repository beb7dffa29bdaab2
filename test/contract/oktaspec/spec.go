// Package oktaspec holds exchanges against Okta's own OpenAPI spec: the copy
// inside the module github.com/okta/okta-sdk-golang/v5, in the version that
// go.mod pins.
package oktaspec

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"

	"keyturn/internal/oktasim"
)

const (
	module = "github.com/okta/okta-sdk-golang/v5"
	file   = ".generator/okta-management-APIs-oasv3-noEnums-inheritance.yaml"
)

// prefixes are the paths of the spec that are read. The whole of it is 1.7 MB,
// and a validator takes seconds to read that.
var prefixes = []string{"/api/v1/apps", "/api/v1/idps"}

// Spec is the part of Okta's spec about apps and identity providers. It is safe
// for concurrent use.
type Spec struct {
	// Permissions are those that a custom admin role can have.
	Permissions []string

	routes []route
}

type route struct {
	method   string
	segments []string
	scopes   []string // of OAuth 2.0
	routers.Route
}

// Load reads the spec. It is read once for each process.
var Load = sync.OnceValues(func() (*Spec, error) {
	dir, err := moduleDir()
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		return nil, err
	}
	part, err := openapi3.NewLoader().LoadFromData(cut(string(text)))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	s := &Spec{}
	values, _ := part.Components.Schemas["RolePermissionType"].Value.Extensions["x-okta-known-values"].([]any)
	for _, v := range values {
		s.Permissions = append(s.Permissions, fmt.Sprint(v))
	}
	for path, item := range part.Paths.Map() {
		for method, operation := range item.Operations() {
			r := route{method: method, segments: segments(path), Route: routers.Route{
				Spec: part, Path: path, PathItem: item, Method: method, Operation: operation,
			}}
			if operation.Security != nil {
				for _, requirement := range *operation.Security {
					r.scopes = append(r.scopes, requirement["oauth2"]...)
				}
			}
			// No record has the header that the validator would look at.
			operation.Security = openapi3.NewSecurityRequirements()
			s.routes = append(s.routes, r)
		}
	}
	if len(s.routes) == 0 {
		return nil, fmt.Errorf("%s: none of its paths begins with one of %q", file, prefixes)
	}
	// Literal segments come before placeholders.
	slices.SortFunc(s.routes, func(a, b route) int {
		return strings.Compare(strings.ReplaceAll(a.Path, "{", "\x7F"), strings.ReplaceAll(b.Path, "{", "\x7F"))
	})
	return s, nil
})

func moduleDir() (string, error) {
	out, err := exec.Command("go", "mod", "download", "-json", module).Output()
	var m struct{ Dir, Error string }
	if jsonErr := json.Unmarshal(out, &m); m.Dir == "" {
		return "", fmt.Errorf("find the module %s: %w %s", module, errors.Join(err, jsonErr), m.Error)
	}
	return m.Dir, nil
}

var componentRef = regexp.MustCompile(`#/components/([a-zA-Z]+)/([a-zA-Z0-9._-]+)`)

// cut leaves of the spec's text the paths with the prefixes, and the components
// that they lead to. It goes by the indentation, which a generator wrote.
func cut(text string) []byte {
	var out bytes.Buffer
	paths := blocks(section(text, "paths"), "  ")
	var wanted []string
	for _, path := range paths {
		if slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(path.name, p) }) {
			wanted = append(wanted, path.text)
		}
	}
	_, _ = fmt.Fprintf(&out, "openapi: 3.0.3\ninfo: {title: part of Okta's spec, version: part}\npaths:\n%scomponents:\n", strings.Join(wanted, ""))
	wanted = append(wanted, "#/components/schemas/RolePermissionType")
	components := section(text, "components")
	known := map[string]string{} // by reference
	for _, kind := range blocks(components, "  ") {
		for _, b := range blocks(kind.text, "    ") {
			known["#/components/"+kind.name+"/"+b.name] = b.text
		}
	}
	found := map[string]map[string]string{} // by kind and name
	for len(wanted) > 0 {
		var more []string
		for _, ref := range componentRef.FindAllStringSubmatch(strings.Join(wanted, ""), -1) {
			kind, name := ref[1], ref[2]
			if found[kind] == nil {
				found[kind] = map[string]string{}
			}
			if _, old := found[kind][name]; !old {
				found[kind][name] = known[ref[0]]
				more = append(more, known[ref[0]])
			}
		}
		wanted = more
	}
	for kind, named := range found {
		_, _ = fmt.Fprintf(&out, "  %s:\n", kind)
		for _, text := range named {
			out.WriteString(text)
		}
	}
	return out.Bytes()
}

type block struct{ name, text string }

// section is what stands below a key of the first level.
func section(text, key string) string {
	for _, b := range blocks(text, "") {
		if b.name == key {
			_, below, _ := strings.Cut(b.text, "\n")
			return below
		}
	}
	return ""
}

// blocks are the keys at this indentation, and the lines that belong to each.
func blocks(text, indent string) []block {
	var list []block
	start, at := 0, 0
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, indent); ok && rest != "" && strings.IndexByte(" \n-", rest[0]) < 0 {
			if len(list) > 0 {
				list[len(list)-1].text = text[start:at]
			}
			name, _, _ := strings.Cut(strings.TrimRight(rest, "\n"), ":")
			list = append(list, block{name: strings.Trim(name, `'"`)})
			start = at
		}
		at += len(line)
	}
	if len(list) > 0 {
		list[len(list)-1].text = text[start:]
	}
	return list
}

func segments(path string) []string { return strings.Split(path, "/") }

// find resolves an escaped path; params are what its placeholders hold.
func (s *Spec) find(method, path string) (*route, map[string]string) {
	given := segments(path)
	for i := range s.routes {
		r := &s.routes[i]
		if params := r.match(method, given); params != nil {
			return r, params
		}
	}
	return nil, nil
}

func (r *route) match(method string, given []string) map[string]string {
	if r.method != method || len(r.segments) != len(given) {
		return nil
	}
	params := map[string]string{}
	for i, p := range r.segments {
		if !strings.HasPrefix(p, "{") {
			if p != given[i] {
				return nil
			}
			continue
		}
		value, err := url.PathUnescape(given[i])
		if err != nil || value == "" {
			return nil
		}
		params[strings.Trim(p, "{}")] = value
	}
	return params
}

// Operation is what the spec says of one call.
type Operation struct {
	ID, Method, Path string
	// Scopes are those of OAuth 2.0 that it needs.
	Scopes []string
}

// Operation finds the operation of a call; ok is false where the spec has none.
// The path is escaped and may have a query.
func (s *Spec) Operation(method, path string) (o Operation, ok bool) {
	path, _, _ = strings.Cut(path, "?")
	r, _ := s.find(method, path)
	if r == nil {
		return Operation{}, false
	}
	return Operation{ID: r.Operation.OperationID, Method: method, Path: r.Path, Scopes: r.scopes}, true
}

// Side is the half of an exchange that a deviation is in.
type Side string

// The two sides.
const (
	Request  Side = "request"
	Response Side = "response"
)

// Deviation is one place in which an exchange is not as the spec says.
type Deviation struct {
	Operation string // operationId; "" where the spec has no such operation
	Call      string // method and path without the query
	Side      Side
	// Kind is the rule: "operation", "parameter", "status", "media type",
	// "body", or a keyword of the schema such as "nullable", "type", "enum",
	// "required", "readOnly", "format".
	Kind string
	// Place is the parameter, the status, the media type, or the member as a
	// JSON pointer with * for the items of a list.
	Place string
	// Text says it in the validator's words. It may hold values of tests.
	Text string
}

func (d Deviation) String() string {
	return fmt.Sprintf("%s of %s (%s): %s %s: %s", d.Side, d.Operation, d.Call, d.Kind, d.Place, d.Text)
}

func init() {
	whole := func(body io.Reader, _ http.Header, _ *openapi3.SchemaRef, _ openapi3filter.EncodingFn) (any, error) {
		b, err := io.ReadAll(body)
		return string(b), err
	}
	for _, media := range []string{"text/xml", "application/x-pem-file", "application/pkix-cert", "application/x-x509-ca-cert"} {
		openapi3filter.RegisterBodyDecoder(media, whole)
	}
}

// Check holds one side of an exchange against the spec and gives what is not as
// it says. A response is checked only where there is one.
func (s *Spec) Check(e oktasim.Exchange, side Side) []Deviation {
	path, _, _ := strings.Cut(e.Path, "?")
	found, params := s.find(e.Method, path)
	d := Deviation{Call: e.Method + " " + path, Side: side}
	if found == nil {
		d.Operation, d.Kind, d.Text = e.Operation, "operation", "the spec has no such operation"
		if side == Response && e.Operation == "" && e.Status >= 400 {
			return nil // as it should be
		}
		return []Deviation{d}
	}
	d.Operation = found.Operation.OperationID
	c := &checker{d: d, route: found}
	if e.Operation != "" && e.Operation != d.Operation {
		c.d.Operation = e.Operation
		c.add("operation", "", "the spec has "+d.Operation+" there")
		return c.all
	}
	request, err := http.NewRequest(e.Method, "https://example.okta.com"+e.Path, bytes.NewReader(e.Request.Body))
	if err != nil {
		c.add("operation", path, err.Error())
		return c.all
	}
	for name, value := range e.Request.Header {
		request.Header.Set(name, value)
	}
	input := &openapi3filter.RequestValidationInput{
		Request: request, PathParams: params, Route: &found.Route,
		Options: &openapi3filter.Options{
			MultiError: true, IncludeResponseStatus: true, RejectWhenRequestBodyNotSpecified: true, SkipSettingDefaults: true,
			SchemaValidationOptions: []openapi3.SchemaValidationOption{openapi3.EnableFormatValidation()},
		},
	}
	if side == Request {
		c.request(input)
	} else {
		c.response(input, e)
	}
	return c.all
}

type checker struct {
	d     Deviation
	route *route
	all   []Deviation
}

func (c *checker) add(kind, place, text string) {
	d := c.d
	d.Kind, d.Place, d.Text = kind, place, text
	if !slices.Contains(c.all, d) {
		c.all = append(c.all, d)
	}
}

func (c *checker) request(input *openapi3filter.RequestValidationInput) {
	for name := range input.Request.URL.Query() {
		known := func(p openapi3.Parameters) bool { return p.GetByInAndName("query", name) != nil }
		if !known(c.route.Operation.Parameters) && !known(c.route.PathItem.Parameters) {
			c.add("parameter", name, "the spec has no such parameter")
		}
	}
	c.accept(input.Request.Header.Get("Accept"))
	c.flatten(openapi3filter.ValidateRequest(input.Request.Context(), input))
}

// accept wants that the client takes what the spec says that is answered.
func (c *checker) accept(header string) {
	if header == "" {
		return // anything will do (RFC 9110, section 12.5.1)
	}
	for status, response := range c.route.Operation.Responses.Map() {
		if !strings.HasPrefix(status, "2") || len(response.Value.Content) == 0 {
			continue
		}
		for media := range response.Value.Content {
			for part := range strings.SplitSeq(header, ",") {
				if wanted, _, err := mime.ParseMediaType(part); err == nil && (wanted == media || wanted == "*/*") {
					return
				}
			}
		}
		c.add("media type", header, "Accept names nothing that is answered")
	}
}

func (c *checker) response(input *openapi3filter.RequestValidationInput, e oktasim.Exchange) {
	header := http.Header{}
	for name, value := range e.Response.Header {
		header.Set(name, value)
	}
	declared := c.route.Operation.Responses.Status(e.Status)
	if declared == nil {
		c.add("status", strconv.Itoa(e.Status), "the spec has no such answer")
	} else if len(declared.Value.Content) == 0 && len(e.Response.Body) > 0 && string(e.Response.Body) != "{}" {
		c.add("body", strconv.Itoa(e.Status), "the spec has no body in this answer")
	}
	if declared == nil {
		// What an error looks like, the spec says everywhere in the same words.
		c.flatten(c.asError(e))
		return
	}
	answer := &openapi3filter.ResponseValidationInput{RequestValidationInput: input, Status: e.Status, Header: header, Options: input.Options}
	c.flatten(openapi3filter.ValidateResponse(input.Request.Context(), answer.SetBodyBytes(e.Response.Body)))
}

// asError holds an answer whose status the spec does not have against its
// schema of errors.
func (c *checker) asError(e oktasim.Exchange) error {
	if e.Status < 400 {
		return nil
	}
	var value any
	if err := json.Unmarshal(e.Response.Body, &value); err != nil {
		return &openapi3filter.ResponseError{Reason: "an error that is not JSON"}
	}
	return c.route.Spec.Components.Schemas["Error"].Value.VisitJSON(value, openapi3.MultiErrors(), openapi3.VisitAsResponse())
}

// flatten finds the errors that have no others inside.
func (c *checker) flatten(err error) {
	var (
		many     openapi3.MultiError
		request  *openapi3filter.RequestError
		response *openapi3filter.ResponseError
		schema   *openapi3.SchemaError
	)
	switch e := err; {
	case e == nil:
	case as(e, &many):
		for _, one := range many {
			c.flatten(one)
		}
	case as(e, &request) && request.Parameter != nil:
		c.add("parameter", request.Parameter.Name, e.Error())
	case as(e, &request) && request.Err != nil:
		c.flatten(request.Err)
	case as(e, &response) && response.Err != nil:
		c.flatten(response.Err)
	case as(e, &response) && strings.Contains(response.Reason, "Content-Type"):
		c.add("media type", strings.Trim(response.Reason[strings.LastIndex(response.Reason, ": ")+2:], `"`), response.Reason)
	case as(e, &schema) && schema.Origin != nil && schema.SchemaField != "format":
		c.flatten(schema.Origin)
	case as(e, &schema):
		var place strings.Builder
		for _, part := range schema.JSONPointer() {
			if strings.Trim(part, "0123456789") == "" {
				part = "*"
			}
			place.WriteString("/" + part)
		}
		kind := schema.SchemaField
		if strings.HasPrefix(schema.Reason, "readOnly") {
			kind = "readOnly"
		}
		c.add(kind, place.String(), schema.Reason)
	case errors.Unwrap(e) != nil:
		c.flatten(errors.Unwrap(e))
	default:
		c.add("body", "", e.Error())
	}
}

// as is errors.As for this very error and none inside of it.
func as[T error](err error, target *T) bool {
	t, ok := err.(T) //nolint:errorlint // the errors inside are looked at one by one
	if ok {
		*target = t
	}
	return ok
}
