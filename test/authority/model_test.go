package authority_test

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"
)

// model is the API model of an AWS service, from which the SDKs are made: its
// operations, and the constraints on what they take and give. The SDKs
// themselves check required members only.
type model struct {
	Operations map[string]struct {
		Input, Output struct{ Shape string }
	}
	Shapes map[string]*shape
}

type shape struct {
	Type     string
	Required []string
	Members  map[string]struct{ Shape string }
	Member   struct{ Shape string }
	Min, Max *float64
	Pattern  string
	Enum     []string

	pattern *regexp.Regexp // Pattern, of the whole string
}

// readModel reads a service's model out of botocore in the project's .venv.
func readModel(t testing.TB, service, version string) *model {
	t.Helper()
	pattern := filepath.Join(venv(t), "lib", "python3*", "site-packages", "botocore", "data", service, version, "service-2.json.gz")
	found, err := filepath.Glob(pattern)
	if err != nil || len(found) != 1 {
		t.Fatalf("%d files %s: run `make setup`", len(found), pattern)
	}
	file, err := os.Open(found[0])
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	unzipped, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	m := &model{}
	if err := json.NewDecoder(unzipped).Decode(m); err != nil {
		t.Fatal(err)
	}
	for name, s := range m.Shapes {
		if s.Pattern == "" {
			continue
		}
		if s.pattern, err = regexp.Compile("^(?:" + javaEscape.ReplaceAllString(s.Pattern, `\x{$1}`) + ")$"); err != nil {
			t.Fatalf("%s of %s: %v", name, service, err)
		}
	}
	return m
}

// violations lists what is wrong with a body in JSON by the model.
func (m *model) violations(shapeName string, body []byte) []string {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var value any
	if err := d.Decode(&value); err != nil {
		return []string{err.Error()}
	}
	return m.check(shapeName, shapeName, value)
}

// javaEscape is how the models write characters in patterns.
var javaEscape = regexp.MustCompile(`\\u([0-9A-Fa-f]{4})`)

func (m *model) check(path, shapeName string, value any) []string {
	s, known := m.Shapes[shapeName]
	if !known {
		return []string{path + ": the model has no shape " + shapeName}
	}
	var found []string
	add := func(format string, args ...any) { found = append(found, path+": "+fmt.Sprintf(format, args...)) }
	within := func(what string, n float64) {
		if s.Min != nil && n < *s.Min {
			add("%s %v, at least %v is wanted", what, n, *s.Min)
		}
		if s.Max != nil && n > *s.Max {
			add("%s %v, at most %v is allowed", what, n, *s.Max)
		}
	}
	switch s.Type {
	case "structure":
		members, ok := value.(map[string]any)
		if !ok {
			add("%T, want an object", value)
			break
		}
		for _, name := range s.Required {
			if _, there := members[name]; !there {
				add("%s is missing", name)
			}
		}
		for _, name := range slices.Sorted(maps.Keys(members)) {
			ref, there := s.Members[name]
			if !there {
				add("no member %s", name)
				continue
			}
			found = append(found, m.check(path+"."+name, ref.Shape, members[name])...)
		}
	case "list":
		items, ok := value.([]any)
		if !ok {
			add("%T, want a list", value)
			break
		}
		within("length", float64(len(items)))
		for i, item := range items {
			found = append(found, m.check(fmt.Sprintf("%s[%d]", path, i), s.Member.Shape, item)...)
		}
	case "string":
		text, ok := value.(string)
		if !ok {
			add("%T, want a string", value)
			break
		}
		within("length", float64(utf8.RuneCountInString(text)))
		if len(s.Enum) > 0 && !slices.Contains(s.Enum, text) {
			add("%q is none of %v", text, s.Enum)
		}
		if s.pattern != nil && !s.pattern.MatchString(text) {
			add("%q does not match %s", text, s.Pattern)
		}
	case "blob":
		text, ok := value.(string)
		content, err := base64.StdEncoding.DecodeString(text)
		if !ok || err != nil {
			add("no base64")
			break
		}
		within("length", float64(len(content)))
	case "integer", "long":
		number, _ := value.(json.Number)
		n, err := number.Int64()
		if err != nil {
			add("%v is no whole number", value)
			break
		}
		within("value", float64(n))
	case "boolean":
		if _, ok := value.(bool); !ok {
			add("%T, want a boolean", value)
		}
	default:
		add("shapes of type %s are not checked", s.Type)
	}
	return found
}

// checked is an HTTP client that holds each call and each answer against the
// service's model on the way.
type checked struct {
	t     testing.TB
	model *model

	mu    sync.Mutex
	calls map[string]int // by operation
}

func newChecked(t testing.TB, m *model) *checked {
	return &checked{t: t, model: m, calls: map[string]int{}}
}

// Do makes it the SDK's HTTPClient.
func (c *checked) Do(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	op, known := c.model.Operations[operation]
	if !known {
		c.t.Errorf("the model has no operation %q", operation)
	}
	for _, violation := range c.model.violations(op.Input.Shape, body) {
		c.t.Errorf("request: %s", violation)
	}
	c.mu.Lock()
	c.calls[operation]++
	c.mu.Unlock()

	r.Body = io.NopCloser(bytes.NewReader(body))
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	answer, err := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if err != nil {
		return nil, err
	}
	res.Body = io.NopCloser(bytes.NewReader(answer))
	if res.StatusCode == http.StatusOK && op.Output.Shape != "" {
		for _, violation := range c.model.violations(op.Output.Shape, answer) {
			c.t.Errorf("answer: %s", violation)
		}
	}
	return res, nil
}

// The checks of requests are worth what these catch.
func TestTheModelRefusesWhatAWSWould(t *testing.T) {
	m := readModel(t, "acm-pca", "2017-08-22")
	const arn = "arn:aws:acm-pca:eu-west-1:123456789012:certificate-authority/1"
	custom := func(oid, value string) any {
		return map[string]any{"Extensions": map[string]any{"CustomExtensions": []any{map[string]any{"ObjectIdentifier": oid, "Value": value}}}}
	}
	for title, test := range map[string]struct {
		member string
		value  any    // nil: left out
		says   string // empty: nothing is wrong
	}{
		"as it should be":     {"IdempotencyToken", "a", ""},
		"an extension":        {"ApiPassthrough", custom("2.5.29.32", "BQA="), ""},
		"no CSR":              {"Csr", nil, "Csr is missing"},
		"an empty CSR":        {"Csr", "", "at least 1"},
		"a CSR in PEM":        {"Csr", "-----BEGIN", "no base64"},
		"a CSR without end":   {"Csr", strings.Repeat("AAAA", 11000), "at most 32768"},
		"unknown algorithm":   {"SigningAlgorithm", "SHA1WITHRSA", "none of"},
		"a long token":        {"IdempotencyToken", strings.Repeat("a", 37), "at most 36"},
		"a token in Japanese": {"IdempotencyToken", "鍵", "does not match"},
		"no days":             {"Validity", map[string]any{"Type": "DAYS", "Value": 0}, "at least 1"},
		"half a day":          {"Validity", map[string]any{"Type": "DAYS", "Value": 0.5}, "no whole number"},
		"weeks":               {"Validity", map[string]any{"Type": "WEEKS", "Value": 1}, "none of"},
		"no type":             {"Validity", map[string]any{"Value": 1}, "Type is missing"},
		"another service":     {"CertificateAuthorityArn", "arn:aws:acm:x:1:certificate/1", "does not match"},
		"another member":      {"TemplateName", "x", "no member TemplateName"},
		"a wild OID":          {"ApiPassthrough", custom("2.999.1", "BQA="), "does not match"},
		"a value in hex":      {"ApiPassthrough", custom("2.5.29.32", "05:00"), "does not match"},
		"no extensions":       {"ApiPassthrough", map[string]any{"Extensions": map[string]any{"CustomExtensions": []any{}}}, "at least 1"},
		"a usage as a word":   {"ApiPassthrough", map[string]any{"Extensions": map[string]any{"KeyUsage": map[string]any{"KeyAgreement": "yes"}}}, "want a boolean"},
	} {
		t.Run(title, func(t *testing.T) {
			in := map[string]any{
				"CertificateAuthorityArn": arn, "Csr": "eA==", "SigningAlgorithm": "SHA256WITHRSA",
				"Validity": map[string]any{"Type": "DAYS", "Value": 397},
			}
			in[test.member] = test.value
			if test.value == nil {
				delete(in, test.member)
			}
			body, err := json.Marshal(in)
			if err != nil {
				t.Fatal(err)
			}
			found := strings.Join(m.violations("IssueCertificateRequest", body), "\n")
			if test.says == "" && found != "" || !strings.Contains(found, test.says) {
				t.Errorf("it says %q, want %q", found, test.says)
			}
		})
	}
}
