// Package policy_test holds the schema against what the functions take, and
// checks the policies in this folder.
package policy_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"pgregory.net/rapid"

	"keyturn/internal/rotation"
)

const schemaFile = "policy.schema.json"

func defaults() rotation.Settings { return rotation.DefaultSettings(nil) }

func read(t *testing.T, name string) []byte {
	t.Helper()
	raw, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func compile(t *testing.T) *jsonschema.Schema {
	t.Helper()
	compiler := jsonschema.NewCompiler()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(read(t, schemaFile)))
	if err != nil {
		t.Fatal(err)
	}
	if err := compiler.AddResource(schemaFile, doc); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// valid tells what an editor says.
func valid(schema *jsonschema.Schema, raw []byte) error {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		return err
	}
	return schema.Validate(doc)
}

func TestPoliciesOfThisFolderAreGood(t *testing.T) {
	schema := compile(t)
	files, err := filepath.Glob("*.json")
	if err != nil || len(files) < 3 {
		t.Fatalf("found %q, %v", files, err)
	}
	for _, file := range files {
		if file == schemaFile {
			continue
		}
		raw := read(t, file)
		if err := valid(schema, raw); err != nil {
			t.Errorf("%s: %v", file, err)
		}
		for _, p := range rotation.CheckPolicy(raw, defaults()) {
			t.Errorf("%s:%d: %s", file, p.Line, p.Message)
		}
	}
}

func TestExampleNamesEveryField(t *testing.T) {
	var example struct {
		rotation.Settings
		Rules []map[string]json.RawMessage
	}
	raw := read(t, "example.json")
	if err := json.Unmarshal(raw, &example); err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{}
	for _, rule := range example.Rules {
		var match map[string]string
		if err := json.Unmarshal(rule["match"], &match); err != nil {
			t.Fatal(err)
		}
		for name := range match {
			used["match."+name] = true
		}
	}
	for _, name := range []string{"kind", "id", "label", "name", "kid"} {
		if !used["match."+name] {
			t.Errorf("no rule matches by %s", name)
		}
	}
	for _, name := range slices.Concat(tags(rotation.Settings{}), tags(rotation.Profile{}), tags(rotation.Extension{})) {
		if !bytes.Contains(raw, []byte(`"`+name+`"`)) {
			t.Errorf("%s is not in it", name)
		}
	}
}

// settingsFields are the fields of a policy with their defaults as JSON.
func settingsFields() map[string]any {
	raw, err := json.Marshal(defaults())
	if err != nil {
		panic(err)
	}
	var fields map[string]any
	if err := json.Unmarshal(raw, &fields); err != nil {
		panic(err)
	}
	return fields
}

func tags(of any) (names []string) {
	for field := range reflect.TypeOf(of).Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

type object struct {
	Description string
	Default     any
	Enum        []any
	Ref         string `json:"$ref"`
	Properties  map[string]object
	Additional  *bool             `json:"additionalProperties"`
	Defs        map[string]object `json:"$defs"`
}

func TestSchemaHasEveryFieldItsDefaultAndADescription(t *testing.T) {
	var schema object
	if err := json.Unmarshal(read(t, schemaFile), &schema); err != nil {
		t.Fatal(err)
	}
	names := func(o object) []string { return slices.Sorted(maps.Keys(o.Properties)) }
	settings := tags(rotation.Settings{})
	top := append([]string{"$schema", "rules"}, settings...)
	slices.Sort(top)
	if diff := cmp.Diff(top, names(schema)); diff != "" {
		t.Errorf("outside the rules (-code +schema)\n%s", diff)
	}
	inRule := slices.DeleteFunc(append([]string{"match"}, settings...), func(name string) bool { return name == "maxRotations" || name == "quotaShare" })
	slices.Sort(inRule)
	if diff := cmp.Diff(inRule, names(schema.Defs["rule"])); diff != "" {
		t.Errorf("in a rule (-code +schema)\n%s", diff)
	}
	for name, of := range map[string]any{"subject": rotation.Subject{}, "profile": rotation.Profile{}, "extension": rotation.Extension{}} {
		if diff := cmp.Diff(tags(of), names(schema.Defs[name])); diff != "" {
			t.Errorf("in %s (-code +schema)\n%s", name, diff)
		}
	}
	var authorities []any
	for _, a := range rotation.Authorities() {
		authorities = append(authorities, string(a))
	}
	if diff := cmp.Diff(authorities, schema.Defs["certificateAuthority"].Enum); diff != "" {
		t.Errorf("the CAs (-code +schema)\n%s", diff)
	}
	for name, value := range settingsFields() {
		if diff := cmp.Diff(value, schema.Properties[name].Default); diff != "" {
			t.Errorf("default of %s (-code +schema)\n%s", name, diff)
		}
	}

	var described func(path string, o object)
	described = func(path string, o object) {
		if o.Ref == "" && o.Description == "" {
			t.Errorf("%s has no description", path)
		}
		if o.Properties != nil && (o.Additional == nil || *o.Additional) {
			t.Errorf("%s takes unknown fields", path)
		}
		for name, p := range o.Properties {
			described(path+"."+name, p)
		}
		for name, p := range o.Defs {
			described("$defs."+name, p)
		}
	}
	described("policy", schema)

	// A rule's field says the same as that outside the rules, and its default
	// is not the built-in one.
	for name, p := range schema.Defs["rule"].Properties {
		if p.Default != nil {
			t.Errorf("%s in a rule has a default; it is what the policy says outside the rules", name)
		}
		if outside := schema.Properties[name]; name != "match" && outside.Ref != p.Ref {
			t.Errorf("%s is %q in a rule, %q outside", name, p.Ref, outside.Ref)
		}
	}
}

// choices are values of a field that are taken and refused. Together with any
// other that is taken they contradict nothing, which no schema could say.
type choices struct{ good, bad []any }

// texts are those of the subject that take so many characters.
func texts(most int) choices {
	return choices{
		good: []any{"", " ", "x", "{label} é", "{id}{name}{label}", strings.Repeat("é", most), strings.Repeat("x", most-1) + "{label}", strings.Repeat("{name}x", most)},
		bad: []any{
			1, nil, true, []any{}, map[string]any{}, "{lable}", "{Label}", "{ label }", "{", "}", "{}", "{{label}}", "{label", "label}", "a\tb", "x\n", "\x00", "a\x7f", "a\u0085b",
			strings.Repeat("é", most+1), strings.Repeat("x", most+1) + "{label}", strings.Repeat("{name}x", most+1),
		},
	}
}

var urls = choices{
	good: []any{
		[]any{}, []any{"http://pki.example.com/ca.crl"}, []any{"https://pki.example.com:8443", "http://192.0.2.1/?a=%20@", "http://[2001:db8::1]:/a_(b)~c;d=e'!$&*+,"},
		[]any{"http://a/" + strings.Repeat("x", 1015)}, slices.Repeat([]any{"http://a"}, 10),
	},
	bad: []any{
		"http://a", nil, []any{nil}, []any{1}, []any{""}, []any{"a"}, []any{"//a"}, []any{"ldap://a"}, []any{"HTTP://a"}, []any{"http:a"}, []any{"http:///a"}, []any{"http://:80"}, []any{"http://u@a"},
		[]any{"http://u:p@a"}, []any{"http://a/ü"}, []any{"http://ü"}, []any{"http://a b"}, []any{"http://a/b c"}, []any{"http://a/b\n"}, []any{" http://a"}, []any{"http://a/#b"}, []any{"http://a/%2"},
		[]any{"http://a?%zz"}, []any{"http://a:b"}, []any{"http://a,b"}, []any{"http://[::1"}, []any{"http://[g]"}, []any{"http://a/[b]"}, []any{`http://a\b`}, []any{"http://a/<b>"}, []any{"http://a", "x"},
		[]any{"http://a/" + strings.Repeat("x", 1016)}, slices.Repeat([]any{"http://a"}, 11),
	},
}

var addresses = choices{
	good: []any{[]any{}, []any{"sso-team@example.com"}, []any{"a.b+c@example.com", "é@example.com", "a@b", "o'brien@x-y.example.com"}},
	bad: []any{
		"a@example.com", nil, []any{1}, []any{nil}, []any{""}, []any{"nobody"}, []any{"a@example.com", "@example.com"}, []any{"a@"}, []any{" a@example.com"}, []any{"a@example.com "},
		[]any{"a@example.com\n"}, []any{"a b@example.com"}, []any{"A <a@example.com>"}, []any{"<a@example.com>"}, []any{"a@example.com, b@example.com"}, []any{"a@b@c"}, []any{".a@example.com"},
		[]any{"a.@example.com"}, []any{"a..b@example.com"}, []any{"a@example..com"}, []any{"a@example.com."}, []any{`"a"@example.com`}, []any{`"a b"@example.com`}, []any{"a@example.com (A)"},
		[]any{"a\x00@example.com"}, []any{"a\x7f@example.com"}, []any{"a:b@example.com"}, []any{`a\b@example.com`}, []any{"a@[x"},
	},
}

var settingsChoices = map[string]choices{
	"mode":             {[]any{"rotate", "notify", "off"}, []any{"", "Rotate", 1, nil, []any{"off"}}},
	"rotateBeforeDays": {[]any{30, 45, 90}, []any{0, -1, 3650, 45.5, "45", nil, true}},
	"validityDays":     {[]any{91, 397, 3650}, []any{90, 0, -91, 3651, 100.5, "397", nil}},
	"uploadOrder":      {[]any{"before-switch", "after-switch"}, []any{"", "before", false, nil}},
	"confirmSignIn":    {[]any{true, false}, []any{"true", 1, nil}},
	"signInHours":      {[]any{1, 24, 72}, []any{0, 73, 1.5, "24", nil}},
	"signInSilence":    {[]any{"keep", "roll-back"}, []any{"rollback", "", nil}},
	"approvers":        addresses,
	"escalateTo":       addresses,
	"reminderHours":    {[]any{8, 72, 8760}, []any{0, 8761, 1e30, "72", nil}},
	"giveUpDays":       {[]any{1, 30}, []any{0, 361, 2.25, "30", nil}},
	"sharedKey":        {[]any{"own", "clone"}, []any{"both", "", nil, 0}},
	// Beside another CA signers are refused.
	"certificateAuthority": {[]any{"manual"}, []any{"", "Local", "vault", nil, 1, []any{"local"}}},
	"signers":              addresses,
	"profile":              {[]any{map[string]any{}}, []any{"x", nil, []any{}, map[string]any{"usage": "x"}, map[string]any{"KeyUsage": []any{}}}},
	"subject":              {[]any{map[string]any{}}, []any{"x", nil, []any{}, map[string]any{"cn": "x"}, map[string]any{"CommonName": "x"}}},
}

var runChoices = map[string]choices{
	"maxRotations": {[]any{1, 25, 1000}, []any{0, 1001, 1.5, "25", nil}},
	"quotaShare":   {[]any{0.001, 0.5, 1}, []any{0, -0.5, 1.001, "0.5", nil}},
	"$schema":      {[]any{"", "./policy.schema.json"}, []any{1, nil}},
}

var subjectChoices = map[string]choices{
	"countryName":            {[]any{"", "US"}, []any{"us", "USA", "U", "U1", " US", "US\n", "ÉÉ", 1, nil}},
	"stateOrProvinceName":    texts(128),
	"localityName":           texts(128),
	"organizationName":       texts(64),
	"organizationalUnitName": texts(64),
	"commonName":             {[]any{"x", " {label} ", strings.Repeat("x", 64)}, []any{"", " ", "\t", "{lable}", "x\n", strings.Repeat("x", 65), 1, nil}},
}

var profileChoices = map[string]choices{
	"keyUsage": {
		[]any{[]any{}, []any{"keyAgreement"}, []any{"contentCommitment", "keyEncipherment", "dataEncipherment", "keyAgreement"}},
		[]any{"keyAgreement", nil, []any{nil}, []any{1}, []any{""}, []any{"digitalSignature"}, []any{"keyCertSign"}, []any{"KeyAgreement"}, []any{"keyAgreement", "keyAgreement"}},
	},
	"crlUrls":       urls,
	"ocspUrls":      urls,
	"caIssuersUrls": urls,
}

var extensionChoices = map[string]choices{
	"oid": {
		[]any{"2.5.29.32", "2.5.29.37", "0.39", "1.0.0", "2.999.2147483647", "1.2" + strings.Repeat(".0", 18)},
		[]any{
			1, nil, "", "2", "3.1", "0.40", "1.40.1", "1.02", "01.2", "1..2", "1.2.", ".1.2", "1.2 ", "1.2\n", "1,2", "1.+2", "1.-2", "x", "1.2" + strings.Repeat(".0", 19),
			"2.5.29.14", "2.5.29.15", "2.5.29.17", "2.5.29.19", "2.5.29.30", "2.5.29.31", "2.5.29.35", "2.5.29.36", "2.5.29.54", "1.3.6.1.5.5.7.1.1",
		},
	},
	"critical": {[]any{true, false}, []any{"true", 1, nil}},
	"value": {
		[]any{"BQA=", "MAgwBgYEVR0gAA==", base64.StdEncoding.EncodeToString(append([]byte{4, 0x82, 0x0f, 0xfc}, make([]byte, 4092)...))},
		[]any{1, nil, "", "BQA", "BQ==A", "BQ A=", "BQA=\n", "_-8=", "x", base64.StdEncoding.EncodeToString(append([]byte{4, 0x82, 0x0f, 0xff}, make([]byte, 4095)...))},
	},
}

var matchChoices = map[string]choices{
	"kind":  {[]any{"app", "idp"}, []any{"App", "", nil, 1}},
	"label": {[]any{"*", "Salesforce [x]*"}, []any{"", nil, 1, []any{"x"}}},
	"kid":   {[]any{"SIMcCQ-_", "a b"}, []any{"", "SIM*", "SIM?", nil, 1}},
}

// draw gives an object of some of the fields. Every field is good, but for the
// one that spoil names; none does if it is "".
func draw(t *rapid.T, name string, from map[string]choices, spoil string) map[string]any {
	drawn := map[string]any{}
	for _, field := range slices.Sorted(maps.Keys(from)) {
		switch {
		case field == spoil:
			drawn[field] = rapid.SampledFrom(from[field].bad).Draw(t, name+"."+field)
		case rapid.Bool().Draw(t, name+" has "+field):
			drawn[field] = rapid.SampledFrom(from[field].good).Draw(t, name+"."+field)
		}
	}
	return drawn
}

func TestSchemaAndCodeTakeAndRefuseTheSame(t *testing.T) {
	schema := compile(t)
	for _, name := range tags(rotation.Settings{}) {
		if _, ok := settingsChoices[name]; !ok && runChoices[name].good == nil {
			t.Errorf("no values of %s are tried", name)
		}
	}
	unknown := choices{bad: []any{1, nil, "x"}}
	with := func(fields ...map[string]choices) map[string]choices {
		all := map[string]choices{"unknown": unknown}
		for _, more := range fields {
			maps.Copy(all, more)
		}
		return all
	}
	top, rule, match, subject := with(settingsChoices, runChoices), with(settingsChoices), with(matchChoices), with(subjectChoices)
	profile, extension := with(profileChoices), with(extensionChoices)
	profile["extensions"] = choices{bad: []any{"x", nil, map[string]any{}, []any{nil}, []any{"x"}, []any{map[string]any{}}, []any{map[string]any{"oid": "1.2.3"}}, []any{map[string]any{"value": "BQA="}}}}
	// In a rule the good ones are out of place as well.
	for name, c := range runChoices {
		rule[name] = choices{bad: slices.Concat(c.good, c.bad)}
	}
	rule["rules"] = choices{bad: []any{[]any{}}}
	match["id"] = choices{good: []any{}, bad: []any{"", "0oa*", "a/b", strings.Repeat("x", 65), nil, 1}}
	// The unknown field is never good.
	good := func(fields map[string]choices) map[string]choices {
		return maps.Collect(func(yield func(string, choices) bool) {
			for name, c := range fields {
				if len(c.good) > 0 && !yield(name, c) {
					return
				}
			}
		})
	}
	type spoil struct{ where, field string }
	spoils := []spoil{{}, {}, {}, {"rule", "no match"}, {"rule", "no object"}, {"match", "empty"}, {"match", "no object"}}
	for where, fields := range map[string]map[string]choices{"top": top, "rule": rule, "match": match, "subject": subject, "profile": profile, "extension": extension} {
		for field := range fields {
			spoils = append(spoils, spoil{where, field})
		}
	}
	slices.SortFunc(spoils, func(a, b spoil) int { return strings.Compare(a.where+"."+a.field, b.where+"."+b.field) })

	check := func(t *rapid.T, s spoil) {
		object := func(where string, from map[string]choices) map[string]any {
			if s.where != where {
				return draw(t, where, good(from), "")
			}
			all := good(from)
			if bad, ok := from[s.field]; ok {
				all[s.field] = bad
			}
			return draw(t, where, all, s.field)
		}
		policy := object("top", top)
		if sub := object("subject", subject); s != (spoil{"top", "subject"}) {
			policy["subject"] = sub
		}
		if drawn := object("profile", profile); s != (spoil{"top", "profile"}) {
			policy["profile"] = drawn
			if s != (spoil{"profile", "extensions"}) {
				var list []any
				for i := range rapid.IntRange(1, 3).Draw(t, "extensions") {
					one := map[string]any{"oid": fmt.Sprint("1.2.3.", i), "value": "BQA="}
					if i == 0 {
						maps.Copy(one, object("extension", extension))
					}
					list = append(list, one)
				}
				drawn["extensions"] = list
			}
		}
		// Two rules for two ids take no target from each other.
		one, two := object("rule", rule), map[string]any{"match": map[string]any{"id": "0oa2"}, "mode": "off"}
		m := object("match", match)
		if s.where != "match" || s.field != "id" {
			m["id"] = "0oa1"
		}
		switch s {
		case spoil{"match", "empty"}:
			m = map[string]any{}
		case spoil{"rule", "no match"}:
			m = nil
		}
		if m != nil {
			one["match"] = m
		}
		if s == (spoil{"match", "no object"}) {
			one["match"] = rapid.SampledFrom([]any{"x", 1, []any{}, nil}).Draw(t, "match")
		}
		rules := []any{two, one}
		if s == (spoil{"rule", "no object"}) {
			rules = append(rules, rapid.SampledFrom([]any{"x", 1, []any{}, nil}).Draw(t, "rule"))
		}
		policy["rules"] = rules
		raw, err := json.Marshal(policy)
		if err != nil {
			t.Fatal(err)
		}
		bySchema, byCode := valid(schema, raw), rotation.CheckPolicy(raw, defaults())
		if wantGood := s == (spoil{}); (bySchema == nil) != wantGood || (len(byCode) == 0) != wantGood {
			t.Fatalf("%s\nspoiled: %+v\nschema: %v\ncode: %+v", raw, s, bySchema, byCode)
		}
	}
	for _, s := range slices.Compact(spoils) {
		t.Run(fmt.Sprintf("%s %s", s.where, s.field), func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) { check(t, s) })
		})
	}
}

func TestBoundsOfTheSchemaAreThoseOfTheCode(t *testing.T) {
	schema := compile(t)
	for raw, want := range map[string]bool{
		`{"rotateBeforeDays":1,"giveUpDays":1}`:                        true,
		`{"rotateBeforeDays":3649,"validityDays":3650}`:                true,
		`{"rotateBeforeDays":3650,"validityDays":3650}`:                false,
		`{"rotateBeforeDays":360,"giveUpDays":360,"reminderHours":87}`: true,
		`{"rotateBeforeDays":361,"giveUpDays":361,"reminderHours":87}`: false,
		`{"giveUpDays":1,"reminderHours":1}`:                           true,
		`{"rules":{}}`:                                                 false,
		`{"rules":null}`:                                               false,
		`[]`:                                                           false,
		`"x"`:                                                          false,
		`null`:                                                         false,
		`{"Rules":[]}`:                                                 false,
		`{"match":{"kind":"app"}}`:                                     false,
		`{"rules":[{"match":{"kind":"app"}}]}`:                         true,
		`{"rules":[{"match":{"id":"` + strings.Repeat("x", 64) + `"}}]}`:                      true,
		`{"rules":[{"match":{"name":""}}]}`:                                                   false,
		`{"rules":[{"match":{"name":1}}]}`:                                                    false,
		`{"rules":[{"match":{"name":"salesforce*"}}]}`:                                        true,
		`{"rules":[{"match":{"kind":"app"},"subject":{"countryName":"","localityName":""}}]}`: true,
		`{"certificateAuthority":"local"}`:                                                    true,
		`{"certificateAuthority":"kms"}`:                                                      true,
		`{"certificateAuthority":"acmpca"}`:                                                   true,
		`{"rules":[{"match":{"kind":"app"},"certificateAuthority":"stepca"}]}`:                true,
		`{"profile":{"extensions":[` + extensions(10) + `]}}`:                                 true,
		`{"profile":{"extensions":[` + extensions(11) + `]}}`:                                 false,
		`{"rules":[{"match":{"kind":"app"},"profile":{"keyUsage":["digitalSignature"]}}]}`:    false,
		`{"rules":[{"match":{"kind":"app"},"profile":{"keyUsage":[],"ocspUrls":[]}}]}`:        true,
		`{"approvers":["a@[192.0.2.1]"]}`:                                                     true,
	} {
		bySchema, byCode := valid(schema, []byte(raw)), rotation.CheckPolicy([]byte(raw), defaults())
		if (bySchema == nil) != want || (len(byCode) == 0) != want {
			t.Errorf("%s: want %v\nschema: %v\ncode: %+v", raw, want, bySchema, byCode)
		}
	}
}

func extensions(n int) string {
	var list []string
	for i := range n {
		list = append(list, fmt.Sprintf(`{"oid":"1.2.%d","value":"BQA="}`, i))
	}
	return strings.Join(list, ",")
}

// What only the code can say.
func TestCodeRefusesWhatASchemaCannotSay(t *testing.T) {
	schema := compile(t)
	for _, raw := range []string{
		`{"rotateBeforeDays":397}`,
		`{"giveUpDays":46}`,
		`{"reminderHours":1}`,
		`{"mode":"off","mode":"off"}`,
		`{"rules":[{"match":{"label":"*"}},{"match":{"kind":"app"}}]}`,
		`{"rules":[{"match":{"kind":"idp","name":"x"}}]}`,
		`{"subject":{"commonName":"<aws.scheduler.execution-id>"}}`,
		`{"profile":{"extensions":[{"oid":"1.2.3","value":"BQA="},{"oid":"1.2.3","value":"BQAA"}]}}`,
		`{"profile":{"extensions":[{"oid":"1.2.2147483648","value":"BQA="}]}}`,
		`{"profile":{"extensions":[{"oid":"1.2.3","value":"BQB="}]}}`,
		`{"profile":{"extensions":[{"oid":"1.2.3","value":"BQAA"}]}}`,
		`{"certificateAuthority":"kms","signers":["pki@example.com"]}`,
		`{"rules":[{"match":{"kind":"idp"},"subject":{"commonName":"{name}"}}]}`,
		`{"subject":{"commonName":"` + strings.Repeat("x", 64) + `{label}"}}`,
		// To a schema this is a whole number.
		`{"giveUpDays":30.0}`,
	} {
		if err := valid(schema, []byte(raw)); err != nil {
			t.Errorf("%s: the schema can say it: %v", raw, err)
		}
		if rotation.CheckPolicy([]byte(raw), defaults()) == nil {
			t.Errorf("%s is taken", raw)
		}
	}
}
