package rotation_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"keyturn/internal/rotation"
)

// problems are CheckPolicy's as "line field: message", the field left out where
// the message begins with it.
func problems(raw string, base rotation.Settings) (list []string) {
	for _, p := range rotation.CheckPolicy([]byte(raw), base) {
		text := p.Message
		if !strings.HasPrefix(text, p.Field) {
			text = p.Field + ": " + text
		}
		list = append(list, fmt.Sprintf("%d %s", p.Line, text))
	}
	return list
}

func TestCheckFindsEveryProblemWithItsLine(t *testing.T) {
	const policy = `{
  "mode": "rotates",
  "validityDays": 90,
  "approvers": [
    "sso-team"
  ],
  "modus": 1, "quotaShare": "half",
  "subject": {
    "countryName": "usa",
    "cn": "x"
  },
  "rules": [
    {
      "match": {"kind": "apps"},
      "reminderHours": 0
    },
    {"giveUpDays": 0},
    {
      "match": {"label": "Salesforce*"},
      "approvers": ["a@example.com", "crm", "hr"],
      "maxRotations": 3
    },
    "off"
  ],
  "mode": "off"
}
`
	want := []string{
		`2 policy.mode is "rotates": use rotate or notify or off`,
		`3 policy.validityDays is 90: use 91 to 3650; Okta refuses a certificate that is valid for 90 days or less`,
		`4 policy.approvers has "sso-team", which is not a mail address: use one such as sso-team@example.com`,
		`7 policy has the unknown field "modus": ` + fieldsOf,
		`7 policy.quotaShare is a JSON string: give a number`,
		`9 policy.subject.countryName is "usa": use the two letters of ISO 3166, such as US`,
		`10 policy.subject has the unknown field "cn": ` + theFields + "countryName, stateOrProvinceName, localityName, organizationName, organizationalUnitName and commonName",
		`14 policy.rules[0].match.kind is "apps": use "app" or "idp"`,
		`15 policy.rules[0].reminderHours is 0: use 1 to 8760`,
		`17 policy.rules[1] has no match: say which targets it is for, such as {"match": {"label": "Salesforce*"}}`,
		`17 policy.rules[1].giveUpDays is 0: use 1 to 360; a Step Functions execution ends after a year, the way back included`,
		`20 policy.rules[2].approvers has "crm", which is not a mail address: use one such as sso-team@example.com`,
		`20 policy.rules[2].approvers has "hr", which is not a mail address: use one such as sso-team@example.com`,
		`21 policy.rules[2].maxRotations is for a whole run of discovery and cannot be in a rule: put it outside the rules`,
		`23 policy.rules[3] is a JSON string: give an object`,
		`25 policy.mode is given twice (lines 2 and 25): keep one of them`,
	}
	if diff := cmp.Diff(want, problems(policy, defaults())); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestCheckRefusesWhatDiscoveryCannotUse(t *testing.T) {
	const late = ": the rotation would still wait when the certificate has expired; give up earlier, or rotate earlier before the expiry"
	const id = ", which cannot be an id of Okta's, so the rule can never match: use one such as 0oa1gjh63g214q0Hq0g4, or a pattern in label or name"
	for _, c := range []struct {
		name, policy string
		want         []string
	}{
		{"giving up later than the expiry", `{"giveUpDays":46}`, []string{`1 policy.giveUpDays is 46, more than rotateBeforeDays (45)` + late}},
		{"in a rule, given that outside it", "{\"rotateBeforeDays\":60,\"giveUpDays\":60,\"rules\":[\n{\"match\":{\"id\":\"a\"},\n\"rotateBeforeDays\":59}]}",
			[]string{`3 policy.rules[0].giveUpDays is 60, more than rotateBeforeDays (59)` + late}},
		{"in a rule, given both", "{\"rules\":[\n{\"match\":{\"id\":\"a\"},\n\"rotateBeforeDays\":30,\n\"giveUpDays\":31}]}",
			[]string{`4 policy.rules[0].giveUpDays is 31, more than rotateBeforeDays (30)` + late}},
		{"not again for a rule that names neither", `{"giveUpDays":46,"rules":[{"match":{"id":"a"},"mode":"off"}]}`, []string{`1 policy.giveUpDays is 46, more than rotateBeforeDays (45)` + late}},
		{"an IdP with an app name", "{\"rules\":[{\"match\":{\n\"kind\":\"idp\",\n\"name\":\"salesforce\"}}]}",
			[]string{`3 policy.rules[0].match.name is "salesforce" with kind "idp", but an IdP has no app name, so the rule can never match: use its label`}},
		{"a pattern as id", `{"rules":[{"match":{"id":"0oa*"}}]}`, []string{`1 policy.rules[0].match.id is "0oa*"` + id}},
		{"a pattern as kid", `{"rules":[{"match":{"kid":"SIM?"}}]}`, []string{`1 policy.rules[0].match.kid is "SIM?", but a kid is no pattern, so the rule can never match: give the whole kid`}},
		{"an empty condition beside another", `{"rules":[{"match":{"kind":"app","label":""}}]}`, []string{`1 policy.rules[0].match.label is empty, which every target fits: give a value, or leave the field out`}},
		{"null", "{\"mode\":null,\n\"subject\":{\"commonName\":null},\n\"rules\":[null,\n{\"match\":null}]}", []string{
			`1 policy.mode is null: give a value, or leave the field out`,
			`2 policy.subject.commonName is null: give a value, or leave the field out`,
			`3 policy.rules[0] has no match: say which targets it is for, such as {"match": {"label": "Salesforce*"}}`,
			`4 policy.rules[1] has no match: say which targets it is for, such as {"match": {"label": "Salesforce*"}}`,
		}},
		{"null for the rules", `{"rules":null}`, []string{`1 policy.rules is null: give a value, or leave the field out`}},
		{"a field given twice", `{"rules":[{"match":{"id":"a","id":"b"},"subject":{"localityName":"x","localityName":"x"}}]}`, []string{
			`1 policy.rules[0].match.id is given twice: keep one of them`,
			`1 policy.rules[0].subject.localityName is given twice: keep one of them`,
		}},
		{"a field given twice, once with escapes", `{"mode":"off","m\u006fde":"off"}`, []string{`1 policy.mode is given twice: keep one of them`}},
		{"what EventBridge Scheduler replaces", "{\"subject\":{\n\"commonName\":\"{label} <aws.scheduler.execution-id>\"}}",
			[]string{`2 policy.subject.commonName has the text "<aws.scheduler.", for which EventBridge Scheduler puts in something else: take it out`}},
		{"the same with escapes", `{"rules":[{"match":{"label":"\u003caws.scheduler.attempt-number>"}}]}`,
			[]string{`1 policy.rules[0].match.label has the text "<aws.scheduler.", for which EventBridge Scheduler puts in something else: take it out`}},
		{"what CloudFormation replaces", `{"rules":[{"match":{"label":"{{resolve:ssm:org}}"}}]}`,
			[]string{`1 policy.rules[0].match.label has the text "{{resolve:", for which CloudFormation puts in something else: take it out`}},
		{"text that is not UTF-8", "{\"subject\":{\"localityName\":\"\uFFFD\",\n\"organizationName\":\"M\xfcller\"}}", []string{`2 policy has text that is not UTF-8: save the file as UTF-8`}},
		{"more than travels well", `{"rules":[` + strings.Repeat(" ", 100) + many(1200) + `]}`,
			[]string{`1 policy has 63611 bytes without its white space, more than 61440: use fewer rules, with patterns instead of one rule a target`}},
		{"what CloudFormation replaces, deep down", "{\"rules\":[{\"match\":{\"id\":\"a\"},\"profile\":{\"extensions\":[{\"oid\":\"2.5.29.32\",\n\"value\":\"{{resolve:ssm:policies}}\"}]}}]}", []string{
			`2 policy.rules[0].profile.extensions[0].value is "{{resolve:ssm:policies}}", which is not standard base64: give the extension's value, one DER value in standard base64`,
			`2 policy.rules[0].profile.extensions[0].value has the text "{{resolve:", for which CloudFormation puts in something else: take it out`,
		}},
		{"signers beside a CA that signs without them", "{\"rules\":[\n{\"match\":{\"id\":\"a\"},\"certificateAuthority\":\"manual\"},\n{\"match\":{\"id\":\"b\"},\"certificateAuthority\":\"kms\",\n\"signers\":[\"pki@example.com\"]}]}",
			[]string{`4 policy.rules[1].signers is given with certificateAuthority "kms", where nobody is asked to sign: remove it, or use "manual"`}},
		{"the same outside the rules", "{\"certificateAuthority\":\"acmpca\",\n\"signers\":[\"pki@example.com\"]}",
			[]string{`2 policy.signers is given with certificateAuthority "acmpca", where nobody is asked to sign: remove it, or use "manual"`}},
		{"a subject that no IdP can fill", "{\"subject\":{\"organizationalUnitName\":\"{name}\"},\"rules\":[\n{\"match\":{\"kind\":\"idp\"},\n\"subject\":{\"commonName\":\"{name} \"}}]}", []string{
			`2 policy.rules[0].subject.organizationalUnitName is "{name}", which is empty for the rule's targets, since an IdP has no app name: use {label} or {id}`,
			`3 policy.rules[0].subject.commonName is "{name} ", which is empty for the rule's targets, since an IdP has no app name: use {label} or {id}`,
		}},
		{"numbers out of all bounds", "{\"quotaShare\":1e999,\n\"giveUpDays\":99999999999999999999,\n\"mode\":\"\"}", []string{
			`1 policy.quotaShare is a JSON number 1e999: give a number`,
			`2 policy.giveUpDays is a JSON number 99999999999999999999: give a whole number`,
			`3 policy.mode is "": use rotate or notify or off`,
		}},
		{"nothing", " \n", []string{`1 policy is empty: give one JSON object, such as {"rules": []}`}},
		{"nothing but null", "null\n", []string{`1 policy is null: give one JSON object, such as {"rules": []}`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, problems(c.policy, defaults())); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// many are rules for that many ids.
func many(n int) string {
	rules := make([]string, n)
	for i := range rules {
		rules[i] = fmt.Sprintf(`{"match":{"id":"0oa%017d"},"mode":"off"}`, i)
	}
	return strings.Join(rules, ",")
}

func TestCheckRefusesRulesThatNeverMatch(t *testing.T) {
	const one = ": move it before that one, or remove it"
	for _, c := range []struct {
		name    string
		matches []string
		want    string
	}{
		{"the same twice", []string{`"id":"a"`, `"id":"a"`}, `4 policy.rules[1] (line 4) can never match, since rules[0] (line 3) takes all its targets before` + one},
		{"everything before", []string{`"label":"*"`, `"kind":"idp"`}, `4 policy.rules[1] (line 4) can never match, since rules[0] (line 3) takes all its targets before` + one},
		{"a wider label", []string{`"label":"Sales*"`, `"kind":"app"`, `"label":"salesforce*","kind":"app"`}, `5 policy.rules[2] (line 5) can never match, since rules[0] (line 3) takes all its targets before` + one},
		{"a label in a pattern", []string{`"label":"*EMEA*"`, `"label":"Salesforce EMEA"`}, `4 policy.rules[1] (line 4) can never match, since rules[0] (line 3) takes all its targets before` + one},
		{"no kind and a kind", []string{`"name":"salesforce"`, `"kind":"app","name":"salesforce"`}, `4 policy.rules[1] (line 4) can never match, since rules[0] (line 3) takes all its targets before` + one},
		{"an app name makes an app", []string{`"kind":"app"`, `"name":"salesforce"`}, `4 policy.rules[1] (line 4) can never match, since rules[0] (line 3) takes all its targets before` + one},
		{"a kind and an id of it", []string{`"kind":"app"`, `"kind":"app","id":"a"`}, `4 policy.rules[1] (line 4) can never match, since rules[0] (line 3) takes all its targets before` + one},
		{"a kid and more", []string{`"kid":"k"`, `"kid":"k","label":"x"`}, `4 policy.rules[1] (line 4) can never match, since rules[0] (line 3) takes all its targets before` + one},
		{"IdPs alone", []string{`"kind":"idp"`, `"kind":"idp","name":"*"`}, `4 policy.rules[1] (line 4) can never match, since rules[0] (line 3) takes all its targets before` + one},
		{"both kinds, one after the other", []string{`"kind":"idp"`, `"kind":"app"`, `"label":"Salesforce*"`},
			`5 policy.rules[2] (line 5) can never match, since rules[0] (line 3) takes all its IdPs before, and rules[1] (line 4) all its apps: move it before them, or remove it`},

		{"a kind before an id alone, which may be of the other", []string{`"kind":"app"`, `"id":"a"`}, ""},
		{"a narrower label first", []string{`"label":"Salesforce*"`, `"label":"Sales*"`, `"label":"*"`}, ""},
		{"another name", []string{`"name":"salesforce"`, `"name":"concur"`, `"name":"*"`}, ""},
		{"another label", []string{`"label":"Salesforce*"`, `"label":"Salesforc"`}, ""},
		{"the other kind", []string{`"kind":"app"`, `"kind":"idp"`}, ""},
		{"ids differ in case", []string{`"id":"a"`, `"id":"A"`}, ""},
		{"kids differ in case", []string{`"kid":"a"`, `"kid":"A"`}, ""},
		{"a label before the id that may have another", []string{`"label":"Salesforce"`, `"id":"a"`}, ""},
		{"a name that IdPs lack", []string{`"name":"?*"`, `"label":"x"`}, ""},
		{"half of two kinds", []string{`"kind":"idp"`, `"kind":"app","label":"S*"`, `"label":"Salesforce*"`, `"label":"T*"`},
			`5 policy.rules[2] (line 5) can never match, since rules[0] (line 3) takes all its IdPs before, and rules[1] (line 4) all its apps: move it before them, or remove it`},
	} {
		t.Run(c.name, func(t *testing.T) {
			var rules []string
			for _, m := range c.matches {
				rules = append(rules, `{"match":{`+m+`},"mode":"off"}`)
			}
			var want []string
			if c.want != "" {
				want = []string{c.want}
			}
			if diff := cmp.Diff(want, problems("{\n\"rules\":[\n"+strings.Join(rules, ",\n")+"\n]}", defaults())); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestRuleThatNeverMatchesIsNamedWithoutLinesWhereThereIsOne(t *testing.T) {
	want := []string{`1 policy.rules[1] can never match, since rules[0] takes all its targets before: move it before that one, or remove it`}
	if diff := cmp.Diff(want, problems(`{"rules":[{"match":{"label":"*"}},{"match":{"id":"a"}}]}`, defaults())); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestTextThatIsNotJSONIsRefusedWithLineAndRemedy(t *testing.T) {
	for raw, want := range map[string]string{
		"{\n\"mode\": \"off\",\n}\n":            `3 policy is not JSON: invalid character '}' looking for beginning of object key string; remove the comma before it`,
		"{\"rules\": [\n{},\n]}":                `3 policy is not JSON: invalid character ']' looking for beginning of value; remove the comma before it`,
		"{\n\"mode\": \"off\"\n\"rules\": []\n": `3 policy is not JSON: invalid character '"' after object key:value pair; put a comma before it`,
		"{\"rules\": [{}\n{}]}":                 `2 policy is not JSON: invalid character '{' after array element; put a comma before it`,
		"{\n// all of them\n}":                  `2 policy is not JSON: invalid character '/' looking for beginning of object key string; JSON has no comments: remove it`,
		"{} # all":                              `1 policy is not JSON: invalid character '#' after top-level value; JSON has no comments: remove it`,
		"{\n'mode': 1}":                         `2 policy is not JSON: invalid character '\'' looking for beginning of object key string; use double quotes`,
		"\xef\xbb\xbf{}":                        `1 policy is not JSON: invalid character 'ï' looking for beginning of value; save the file without a byte order mark`,
		"{\n\"mode\":\n\"off\"\n\n":             `3 policy is not JSON: unexpected end of JSON input; a closing brace, bracket or quote is missing`,
		"{\n\"mode\": \"off\n\"}":               `2 policy is not JSON: invalid character '\n' in string literal`,
		"{}\n\n{}":                              `3 policy has text after its end: give one JSON object`,
		"mode: off":                             `1 policy is not JSON: invalid character 'm' looking for beginning of value`,
	} {
		if diff := cmp.Diff([]string{want}, problems(raw, defaults())); diff != "" {
			t.Errorf("%q (-want +got)\n%s", raw, diff)
		}
	}
}

func TestCheckFindsNothingWrongWithAGoodPolicy(t *testing.T) {
	for _, raw := range []string{
		`{}`, `{"rules":[]}`, "{\"$schema\":\"./policy.schema.json\",\n\"rules\":[]}\n",
		`{"giveUpDays":45}`, `{"rotateBeforeDays":3649,"validityDays":3650,"giveUpDays":360,"reminderHours":87}`,
		`{"rules":[{"match":{"kind":"idp","name":"*"},"mode":"off"},{"match":{"kid":"a"}},{"match":{"label":"[*]"},"sharedKey":"clone","subject":{"countryName":""}}]}`,
		`{"rules":[` + many(1000) + `]}`,
		// The CA may be the stack's, the input's, or a rule's.
		`{"signers":["pki@example.com"]}`, `{"rules":[{"match":{"id":"a"},"signers":["pki@example.com"]}]}`,
		`{"certificateAuthority":"kms","signers":["pki@example.com"],"rules":[{"match":{"id":"a"},"certificateAuthority":"manual"}]}`,
		`{"certificateAuthority":"manual","rules":[{"match":{"id":"a"},"certificateAuthority":"kms","signers":[]}]}`,
		`{"subject":{"commonName":"{name}"},"rules":[{"match":{"kind":"idp"},"subject":{"commonName":"{name} {id}"}}]}`,
	} {
		if got := problems(raw, defaults()); got != nil {
			t.Errorf("%.80s: %q", raw, got)
		}
	}
}

func TestProblemsOfTheDefaultsAreFoundWhereThePolicyLeavesThem(t *testing.T) {
	base := defaults()
	base.Mode = "always"
	want := []string{`2 policy.mode is "always": use rotate or notify or off`}
	if diff := cmp.Diff(want, problems("\n{\"rules\":[{\"match\":{\"id\":\"a\"}}]}", base)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if got := problems(`{"mode":"off"}`, base); got != nil {
		t.Errorf("the policy that mends it: %q", got)
	}
}

func TestLoadedPolicyIsTheOneThatWasWritten(t *testing.T) {
	for _, raw := range []string{"", " ", "null", "{}"} {
		policy, err := rotation.LoadPolicy([]byte(raw), defaults())
		if err != nil {
			t.Fatalf("%q: %v", raw, err)
		}
		if diff := cmp.Diff(defaults(), policy.Settings()); diff != "" {
			t.Errorf("%q (-want +got)\n%s", raw, diff)
		}
	}
	policy, err := rotation.LoadPolicy([]byte(`{"mode":"rotate","rules":[{"match":{"kind":"idp"},"mode":"off"}]}`), defaults())
	if err != nil {
		t.Fatal(err)
	}
	if s, rule := policy.For(idp, ""); s.Mode != "off" || rule != 0 {
		t.Errorf("the IdP: %s by rule %d", s.Mode, rule)
	}
	if s, rule := policy.For(app, ""); s.Mode != "rotate" || rule != -1 {
		t.Errorf("the app: %s by rule %d", s.Mode, rule)
	}
}

func TestPolicyThatCannotBeLoadedSaysAllThatIsWrong(t *testing.T) {
	bad := func(n int, between string) string {
		return `{"rules":[` + strings.TrimSuffix(strings.Repeat(`{"match":{"id":"*"}},`+between, n), ","+between) + "]}\n"
	}
	for _, c := range []struct{ name, policy, want string }{
		{"one problem", `{"giveUpDays":0}`, `policy.giveUpDays is 0: use 1 to 360; a Step Functions execution ends after a year, the way back included`},
		{"one on a line of several", "{\n\"giveUpDays\":46}", `line 2: policy.giveUpDays is 46, more than rotateBeforeDays (45): the rotation would still wait when the certificate has expired; give up earlier, or rotate earlier before the expiry`},
		{"two", `{"mode":1,"rules":{}}`, "the policy has 2 problems:\npolicy.mode is a JSON number: give a string\npolicy.rules is a JSON object: give a list"},
		{"two on lines", "{\"mode\":1,\n\"rules\":{}}", "the policy has 2 problems:\nline 1: policy.mode is a JSON number: give a string\nline 2: policy.rules is a JSON object: give a list"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := rotation.LoadPolicy([]byte(c.policy), defaults())
			wantError(t, err, "Policy.Invalid", c.want)
		})
	}
	for n, last := range map[int]string{10: "line 10: policy.rules[9].match.id", 11: "and 1 more", 30: "and 20 more"} {
		// Every rule after the first can never match either.
		raw := strings.ReplaceAll(bad(n, "\n"), `"*"`, `"*",   "label":"§"`)
		for i := range n {
			raw = strings.Replace(raw, "§", fmt.Sprint("label ", i), 1)
		}
		_, err := rotation.LoadPolicy([]byte(raw), defaults())
		if err == nil {
			t.Fatalf("%d problems are none", n)
		}
		lines := strings.Split(err.Error(), "\n")
		if got := lines[len(lines)-1]; !strings.HasPrefix(got, last) || lines[0] != fmt.Sprintf("the policy has %d problems:", n) {
			t.Errorf("%d problems begin with %q and end with %q, want %q", n, lines[0], got, last)
		}
	}
	base := defaults()
	base.Approvers = []string{"nobody"}
	_, err := rotation.LoadPolicy(nil, base)
	wantError(t, err, "Policy.Invalid", `policy.approvers has "nobody", which is not a mail address: use one such as sso-team@example.com`)
}

// anyJSON draws values that are more or less like a policy.
func anyJSON() *rapid.Generator[any] {
	field := rapid.SampledFrom([]string{"mode", "Mode", "validityDays", "giveUpDays", "rules", "match", "subject", "approvers", "quotaShare", "commonName", "kind", "label", "certificateAuthority", "signers", "profile", "keyUsage", "extensions", "oid", "crlUrls", "$schema", "x"})
	var values *rapid.Generator[any]
	values = rapid.Custom(func(t *rapid.T) any {
		switch rapid.IntRange(0, 6).Draw(t, "sort") {
		case 0:
			return rapid.SampledFrom([]string{"", "rotate", "app", "x"}).Draw(t, "text")
		case 1:
			return rapid.IntRange(-1, 400).Draw(t, "number")
		case 2:
			return rapid.Float64Range(-1, 2).Draw(t, "fraction")
		case 3:
			return nil
		case 4:
			return rapid.SliceOfN(values, 0, 2).Draw(t, "list")
		default:
			return rapid.MapOfN(field, values, 0, 3).Draw(t, "object")
		}
	})
	return values
}

// ruleLike draws policies whose top is well formed, so that rules are reached.
func ruleLike() *rapid.Generator[any] {
	return rapid.Custom(func(t *rapid.T) any {
		rules := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) any {
			rule := map[string]any{"match": map[string]any{"label": rapid.SampledFrom([]string{"a", "a*", "b"}).Draw(t, "label")}}
			rule[rapid.SampledFrom([]string{"mode", "giveUpDays", "match", "subject", "profile", "quotaShare", "x"}).Draw(t, "field")] = anyJSON().Draw(t, "value")
			return rule
		}), 0, 3).Draw(t, "rules")
		return map[string]any{"rules": rules}
	})
}

func TestWhatARotationRefusesIsAmongWhatTheCheckFinds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		raw, err := json.Marshal(rapid.OneOf(anyJSON(), ruleLike()).Draw(t, "policy"))
		if err != nil {
			t.Fatal(err)
		}
		_, err = rotation.ParsePolicy(raw, defaults())
		found := rotation.CheckPolicy(raw, defaults())
		if err != nil && !slices.ContainsFunc(found, func(p rotation.PolicyProblem) bool { return p.Message == err.Error() }) {
			t.Fatalf("%s: %v is not in %+v", raw, err, found)
		}
		if _, err := rotation.LoadPolicy(raw, defaults()); (err != nil) != (len(found) > 0) && string(raw) != "null" {
			t.Fatalf("%s: %v, but the check finds %+v", raw, err, found)
		}
	})
}

func TestProblemsAreInTheOrderOfTheFile(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		raw, err := json.MarshalIndent(rapid.OneOf(anyJSON(), ruleLike()).Draw(t, "policy"), "", " ")
		if err != nil {
			t.Fatal(err)
		}
		last, lines := 1, strings.Count(string(raw), "\n")+1
		for _, p := range rotation.CheckPolicy(raw, defaults()) {
			if p.Line < last || p.Line > lines || !strings.HasPrefix(p.Field, "policy") || !strings.HasPrefix(p.Message, "policy") {
				t.Fatalf("%s\n%+v after line %d", raw, p, last)
			}
			last = p.Line
		}
	})
}

func FuzzCheckPolicy(f *testing.F) {
	f.Add([]byte(`{"mode":"off","rules":[{"match":{"label":"a*"}},{"match":{"label":"ab"},"mode":"off"}]}`))
	f.Add([]byte("{\n\"mode\":\"off\",}"))
	f.Add([]byte(`{"profile":{"keyUsage":["keyAgreement"],"extensions":[{"oid":"2.5.29.32","value":"MAA="}],"crlUrls":["http://pki.example.com/ca.crl"]},"subject":{"commonName":"{label}"}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		found := rotation.CheckPolicy(raw, defaults())
		policy, err := rotation.ParsePolicy(raw, defaults())
		if err != nil && len(found) == 0 {
			t.Errorf("%q: %v, but the check finds nothing", raw, err)
		}
		if err != nil {
			return
		}
		for _, target := range []rotation.Target{app, idp} {
			s, _ := policy.For(target, "kid")
			if err := s.Validate("result"); err != nil {
				t.Errorf("%q gives %s what is not valid: %v", raw, target, err)
			}
		}
	})
}
