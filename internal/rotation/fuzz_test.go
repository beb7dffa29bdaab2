package rotation_test

import (
	"encoding/json"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"keyturn/internal/rotation"
)

// pattern is a rule's pattern as a regular expression: another way to match
// than the policy's.
func pattern(glob string) *regexp.Regexp {
	quoted := regexp.QuoteMeta(strings.ToLower(glob))
	return regexp.MustCompile(`(?s)^` + strings.NewReplacer(`\*`, `.*`, `\?`, `.`).Replace(quoted) + `$`)
}

// firstRule finds the rule for a target in a policy's text; -1 for none.
func firstRule(raw []byte, t rotation.Target, kid string) int {
	var policy struct {
		Rules []struct {
			Match struct{ Kind, ID, Label, Name, Kid string }
		}
	}
	if json.Unmarshal(raw, &policy) != nil {
		return -1
	}
	for i, r := range policy.Rules {
		m := r.Match
		if (m.Kind == "" || m.Kind == string(t.Kind)) && (m.ID == "" || m.ID == t.ID) && (m.Kid == "" || m.Kid == kid) &&
			(m.Label == "" || pattern(m.Label).MatchString(strings.ToLower(t.Label))) && (m.Name == "" || pattern(m.Name).MatchString(strings.ToLower(t.Name))) {
			return i
		}
	}
	return -1
}

// A policy that is accepted gives every target settings that can be used, by the
// first rule that matches, and that say the same when they are passed on as
// JSON. One that is refused names a field.
func FuzzPolicyFor(f *testing.F) {
	for _, raw := range []string{
		``, `null`, `{}`, `{"mode":"off","rules":[{"match":{"label":"Sales*"},"approvers":["a@example.com"]},{"match":{"id":"0oa1"},"mode":"rotate"}]}`,
		`{"rules":[{"match":{"label":"*a*b?"},"validityDays":100},{"match":{"name":"sales[f]orce"},"uploadOrder":"after-switch"},{"match":{"kind":"idp","kid":"k1"},"certificateAuthority":"manual","signers":["b@example.com"]}]}`,
		`{"approvers":null,"escalateTo":[],"rules":null,"subject":{"commonName":"{label}"},"profile":{"keyUsage":["keyAgreement"],"extensions":[{"oid":"2.5.29.32","value":"MAA=","critical":true}],"crlUrls":["http://pki.example.com/ca.crl"]}}`,
		`{"mode":"x"}`, `{"rules":[{}]}`, `{"rules":{}}`, `{"validityDays":90}`, `{"validityDays":1e2}`, `{"validityDays":99999999999999999999}`, `{"quotaShare":1e-320}`, `{"modes":"off"}`, `[]`, `{"mode":"off","mode":"rotate"}`, `{"mode":"off",}`,
		`{"approvers":["a@example.com\r\nBcc: b@example.com"]}`, `{"approvers":["\"a\" <a@example.com>"]}`, `{"rules":[{"match":{"label":"` + strings.Repeat("*a", 50) + `"}}]}`, `{"rules":[{"match":{"maxRotations":1}}]}`, "{\"mode\":\"\xff\"}", `{"giveUpDays":360,"reminderHours":1}`,
	} {
		f.Add([]byte(raw), "Salesforce – EMEA", "salesforce", "0oa1", "k1", false)
		f.Add([]byte(raw), "Partner [x]\nab", "", "0oa2", "", true)
	}
	f.Fuzz(func(t *testing.T, raw []byte, label, name, id, kid string, idp bool) {
		target := rotation.Target{Kind: rotation.KindApp, ID: id, Label: label, Name: name}
		if idp {
			target.Kind, target.Name = rotation.KindIDP, ""
		}
		policy, err := rotation.ParsePolicy(raw, defaults())
		if err != nil {
			if rotation.NameOf(err) != "Policy.Invalid" || !strings.HasPrefix(err.Error(), "policy") || !strings.ContainsAny(err.Error(), ".:") {
				t.Errorf("%q is refused without a field: %v", raw, err)
			}
			return
		}
		settings, rule := policy.For(target, kid)
		if err := settings.Validate("result"); err != nil {
			t.Errorf("%q gives %s what is not valid: %v", raw, target, err)
		}
		if utf8.Valid(raw) && utf8.ValidString(strings.Join([]string{label, name, id, kid}, " ")) {
			if want := firstRule(raw, target, kid); rule != want {
				t.Errorf("%q: rule %d is for %+v with %q, want %d", raw, rule, target, kid, want)
			}
		}
		passed, err := json.Marshal(settings)
		if err != nil {
			t.Fatal(err)
		}
		other := rotation.DefaultSettings([]string{"somebody@example.com"})
		other.Mode, other.Subject.CountryName, other.Signers = rotation.ModeRotate, "CH", []string{"pki@example.com"}
		again, err := rotation.ParsePolicy(passed, other)
		if err != nil {
			t.Fatalf("%q gives %s, which is refused: %v", raw, passed, err)
		}
		got := again.Settings()
		// What a policy leaves out of the subject is the base's.
		got.Subject.CountryName = settings.Subject.CountryName
		if !reflect.DeepEqual(got, settings) {
			t.Errorf("%q gives %s, which is read as %+v", raw, passed, got)
		}
	})
}

// A subject that is accepted for a target is one that X.509 takes: no field is
// too long, blank at its ends, or has a control character or a placeholder left.
func FuzzSubject(f *testing.F) {
	for _, c := range []string{"{label} SAML signing", "{id}", "{name}", "{label}{label}{name}", "{labl}", "{", "x", " {label} ", strings.Repeat("x", 64), strings.Repeat("x", 60) + "{label}", "{{label}}", "{label\n}"} {
		f.Add(c, c, "Salesforce – EMEA", "salesforce", "0oa1gjh63g214q0Hq0g4", false)
		f.Add(c, "{name} x", strings.Repeat("Zürich ", 30), "", "0oa2", true)
		f.Add(c, "", "{id}{name}\x00", "{label}", "{label}", false)
		f.Add(c, "", "  ", "\u200b", "0oa1", false)
	}
	f.Fuzz(func(t *testing.T, commonName, organization, label, name, id string, idp bool) {
		for _, text := range []string{commonName, organization, label, name, id} {
			if !utf8.ValidString(text) {
				return // all of it comes out of JSON
			}
		}
		target := rotation.Target{Kind: rotation.KindApp, ID: id, Label: label, Name: name}
		if idp {
			target.Kind, target.Name = rotation.KindIDP, ""
		}
		settings := defaults()
		settings.Subject = rotation.Subject{CommonName: commonName, OrganizationName: organization, CountryName: "US"}
		if settings.Validate("policy") != nil {
			return
		}
		if err := settings.Subject.ValidateFor(target); err != nil {
			if rotation.NameOf(err) != "Policy.Invalid" || !strings.HasPrefix(err.Error(), "policy.subject.") {
				t.Errorf("%q is refused without a field: %v", commonName, err)
			}
			return
		}
		got := settings.Subject.For(target)
		if got.CommonName == "" || (got.OrganizationName == "") != (strings.TrimSpace(organization) == "") || got.CountryName != "US" {
			t.Errorf("%q and %q for %+v become %+v", commonName, organization, target, got)
		}
		for _, text := range []string{got.CommonName, got.OrganizationName} {
			if utf8.RuneCountInString(text) > 64 || strings.TrimSpace(text) != text || strings.ContainsFunc(text, unicode.IsControl) {
				t.Errorf("%q and %q for %+v become %q", commonName, organization, target, text)
			}
		}
		if !strings.ContainsAny(label+target.Name+id, "{}") && strings.ContainsAny(got.CommonName+got.OrganizationName, "{}") {
			t.Errorf("%q and %q for %+v keep a placeholder: %+v", commonName, organization, target, got)
		}
	})
}

// A target that is accepted stands in a path as it is, and its execution has a
// name that Step Functions takes.
func FuzzTarget(f *testing.F) {
	for _, id := range []string{"0oa1gjh63g214q0Hq0g4", "../x", "a/b", "a%2fb", "", strings.Repeat("x", 65), strings.Repeat("x", 64), "ä", "a\x00", "-", "_"} {
		f.Add("app", id, "SIMcCQNY-xyz", int64(1772366400))
		f.Add("idp", id, "k", int64(-1))
		f.Add("group", id, "", int64(1)<<40)
	}
	f.Fuzz(func(t *testing.T, kind, id, kid string, seconds int64) {
		target := rotation.Target{Kind: rotation.Kind(kind), ID: id}
		if err := target.Validate(); err != nil {
			if rotation.NameOf(err) != "Target.Invalid" || !strings.HasPrefix(err.Error(), "target.") {
				t.Errorf("%s %q is refused without a field: %v", kind, id, err)
			}
			return
		}
		if strings.Trim(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") != "" {
			t.Errorf("%q is taken for an id", id)
		}
		if err := target.ValidateSource("cloneFrom", target); rotation.NameOf(err) != "Target.Invalid" {
			t.Errorf("%s is cloned from itself: %v", target, err)
		}
		at := time.Unix(seconds, 0).UTC()
		if at.Year() < 1970 || at.Year() > 9999 {
			return
		}
		name := rotation.ExecutionName(target, kid, at)
		if len(name) > 80 || !strings.HasPrefix(name, kind+"-"+id[:min(len(id), 55)]) || !strings.HasSuffix(name, "-"+at.Format("20060102")) {
			t.Errorf("the execution of %s with %q is called %q", target, kid, name)
		}
	})
}
