package rotation_test

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"keyturn/internal/rotation"
)

func TestSubjectIsFilledInForTheTarget(t *testing.T) {
	s := rotation.Subject{CountryName: "US", StateOrProvinceName: "{kind}", LocalityName: "{id}{id}", OrganizationName: "Example, Inc.", OrganizationalUnitName: "{name}", CommonName: "{label} SAML signing"}
	for _, c := range []struct {
		target rotation.Target
		want   rotation.Subject
	}{
		{app, rotation.Subject{CountryName: "US", StateOrProvinceName: "{kind}", LocalityName: "0oa10oa1", OrganizationName: "Example, Inc.", OrganizationalUnitName: "salesforce", CommonName: "Salesforce / EMEA [test] SAML signing"}},
		{idp, rotation.Subject{CountryName: "US", StateOrProvinceName: "{kind}", LocalityName: "0oa20oa2", OrganizationName: "Example, Inc.", CommonName: "Partner – ADFS SAML signing"}},
		{rotation.Target{Kind: "app", ID: "1", Label: "{id}{label}", Name: "{label}"}, rotation.Subject{CountryName: "US", StateOrProvinceName: "{kind}", LocalityName: "11", OrganizationName: "Example, Inc.", OrganizationalUnitName: "{label}", CommonName: "{id}{label} SAML signing"}},
		{rotation.Target{Kind: "app", ID: "1"}, rotation.Subject{CountryName: "US", StateOrProvinceName: "{kind}", LocalityName: "11", OrganizationName: "Example, Inc.", CommonName: "SAML signing"}},
	} {
		if diff := cmp.Diff(c.want, s.For(c.target)); diff != "" {
			t.Errorf("%s (-want +got)\n%s", c.target.Label, diff)
		}
	}
}

func TestLongLabelIsShortenedAndTheRestKept(t *testing.T) {
	long := strings.Repeat("é", 200)
	for pattern, want := range map[string]string{
		"{label}":                            strings.Repeat("é", 64),
		"{label} SAML signing":               strings.Repeat("é", 51) + " SAML signing",
		"{id} {label}":                       "0oa1 " + strings.Repeat("é", 59),
		"{label}/{label}":                    strings.Repeat("é", 31) + "/" + strings.Repeat("é", 31),
		strings.Repeat("x", 62) + " {label}": strings.Repeat("x", 62) + " é",
	} {
		s := rotation.Subject{CommonName: pattern}
		target := rotation.Target{ID: "0oa1", Label: long}
		if got := s.For(target).CommonName; got != want {
			t.Errorf("%q gives %q, want %q", pattern, got, want)
		}
		if err := s.ValidateFor(target); err != nil {
			t.Errorf("%q: %v", pattern, err)
		}
	}
	// White space around the label is not counted.
	if got := (rotation.Subject{CommonName: "{label} SAML"}).For(rotation.Target{Label: " \t" + long + "  "}).CommonName; got != strings.Repeat("é", 59)+" SAML" {
		t.Errorf("with space around the label %q", got)
	}
	got := rotation.Subject{LocalityName: "{label}", StateOrProvinceName: "{label}", OrganizationName: "{label}", OrganizationalUnitName: "{label}"}.For(rotation.Target{Label: long})
	want := rotation.Subject{LocalityName: strings.Repeat("é", 128), StateOrProvinceName: strings.Repeat("é", 128), OrganizationName: strings.Repeat("é", 64), OrganizationalUnitName: strings.Repeat("é", 64)}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestTextThatNoSubjectTakesIsRefusedInThePolicy(t *testing.T) {
	const only = " stands for nothing: use {label}, {name} and {id} only"
	x := func(n int) string { return strings.Repeat("x", n) }
	long := func(field, text, n, most string) string {
		return `policy.subject.` + field + ` is "` + text + `", with at least ` + n + ` characters: use at most ` + most + `, the upper bound of RFC 5280`
	}
	for raw, want := range map[string]string{
		`"countryName":"{id}"`:                            `policy.subject.countryName is "{id}": use the two letters of ISO 3166, such as US`,
		`"commonName":"{lable}"`:                          `policy.subject.commonName is "{lable}", in which "{lable}"` + only,
		`"commonName":"{Label} SAML"`:                     `policy.subject.commonName is "{Label} SAML", in which "{Label}"` + only,
		`"localityName":"{label} {kind}"`:                 `policy.subject.localityName is "{label} {kind}", in which "{kind}"` + only,
		`"organizationName":"{label"`:                     `policy.subject.organizationName is "{label", in which "{"` + only,
		`"organizationName":"label}"`:                     `policy.subject.organizationName is "label}", in which "}"` + only,
		`"organizationName":"{{id}}"`:                     `policy.subject.organizationName is "{{id}}", in which "{}"` + only,
		`"organizationalUnitName":"a\tb"`:                 `policy.subject.organizationalUnitName is "a\tb", with the control character U+0009: take it out`,
		`"organizationalUnitName":"a\u0085b"`:             `policy.subject.organizationalUnitName is "a\u0085b", with the control character U+0085: take it out`,
		`"commonName":"` + x(65) + `"`:                    long("commonName", x(65), "65", "64"),
		`"commonName":"` + x(64) + `{label}"`:             long("commonName", x(64)+"{label}", "65", "64"),
		`"commonName":"` + x(61) + `{id}{label} {label}"`: long("commonName", x(61)+"{id}{label} {label}", "65", "64"),
		`"organizationName":"` + x(65) + `{name}"`:        long("organizationName", x(65)+"{name}", "65", "64"),
		`"organizationalUnitName":"` + x(65) + `"`:        long("organizationalUnitName", x(65), "65", "64"),
		`"localityName":"` + x(129) + `"`:                 long("localityName", x(80)+"…", "129", "128"),
		`"stateOrProvinceName":"` + x(129) + `"`:          long("stateOrProvinceName", x(80)+"…", "129", "128"),

		`"commonName":"` + x(64) + `","organizationName":"é` + x(63) + `","localityName":"` + x(128) + `","stateOrProvinceName":"` + x(128) + `"`: "",
		`"commonName":"` + x(63) + `{label}","organizationName":"` + x(64) + `{name}","localityName":" ","organizationalUnitName":" x "`:          "",
	} {
		_, err := rotation.ResolvePolicy(json.RawMessage(`{"subject":{`+raw+`}}`), defaults(), app, "")
		if want == "" {
			if err != nil {
				t.Errorf("%s: %v", raw, err)
			}
			continue
		}
		wantError(t, err, "Policy.Invalid", want)
	}
}

func TestTextThatATargetSpoilsIsRefusedForIt(t *testing.T) {
	x := func(n int) string { return strings.Repeat("x", n) }
	named := rotation.Target{Kind: rotation.KindApp, ID: "0oa1", Label: "Wiki", Name: x(65)}
	// One character of the label has to be left.
	almost := rotation.Target{Kind: rotation.KindApp, ID: "0oa1", Label: "Wiki", Name: x(62)}
	for _, c := range []struct {
		subject rotation.Subject
		target  rotation.Target
		want    string
	}{
		{rotation.Subject{CommonName: "{name}"}, app, ""},
		{rotation.Subject{CommonName: "{name}"}, idp, `policy.subject.commonName is "{name}", which is empty for idp "0oa2" (Partner – ADFS), since an IdP has no app name: use {label} or {id}, or another text in a rule for IdPs`},
		{rotation.Subject{CommonName: "x", OrganizationalUnitName: " {name}"}, idp, `policy.subject.organizationalUnitName is " {name}", which is empty for idp "0oa2" (Partner – ADFS), since an IdP has no app name: use {label} or {id}, or another text in a rule for IdPs`},
		{rotation.Subject{CommonName: "{name} {id}"}, idp, ""},
		{rotation.Subject{CommonName: "{label}"}, rotation.Target{Kind: rotation.KindApp, ID: "0oa1", Label: " "}, `policy.subject.commonName is "{label}", which is empty for app "0oa1": use {id}, or another text in a rule for it`},
		{rotation.Subject{CommonName: "{name}"}, named, `policy.subject.commonName is "{name}", which has 65 characters for app "0oa1" (Wiki), and X.509 takes 64 (RFC 5280, appendix A.1): use a shorter text, or {label}, which is shortened`},
		{rotation.Subject{CommonName: "x", LocalityName: "{name}{name}"}, named, `policy.subject.localityName is "{name}{name}", which has 130 characters for app "0oa1" (Wiki), and X.509 takes 128 (RFC 5280, appendix A.1): use a shorter text, or {label}, which is shortened`},
		{rotation.Subject{CommonName: "{name} {label}"}, named, `policy.subject.commonName is "{name} {label}", which has 70 characters for app "0oa1" (Wiki), and X.509 takes 64 (RFC 5280, appendix A.1): use a shorter text, or {label}, which is shortened`},
		{rotation.Subject{CommonName: "{name}--{label}"}, almost, `policy.subject.commonName is "{name}--{label}", which has 68 characters for app "0oa1" (Wiki), and X.509 takes 64 (RFC 5280, appendix A.1): use a shorter text, or {label}, which is shortened`},
		{rotation.Subject{CommonName: "{name}{label}"}, almost, ""},
		{rotation.Subject{CommonName: "x", LocalityName: "{name}"}, named, ""},
		{rotation.Subject{CommonName: "{label}"}, rotation.Target{Kind: rotation.KindIDP, ID: "0oa2", Label: "a\u0000b"}, `policy.subject.commonName is "{label}", which has the control character U+0000 for idp "0oa2": take it out of the label in Okta, or use {id}`},
		{rotation.Subject{CommonName: "{label}"}, rotation.Target{Kind: rotation.KindIDP, ID: "0oa2", Label: " Partner\n"}, ""},
		{rotation.Subject{CommonName: "{label}"}, rotation.Target{Kind: rotation.KindIDP, ID: "0oa2", Label: x(100) + "\n" + x(10)}, ""},
	} {
		err := c.subject.ValidateFor(c.target)
		if c.want == "" {
			if err != nil {
				t.Errorf("%+v: %v", c.subject, err)
			}
			continue
		}
		wantError(t, err, "Policy.Invalid", c.want)
	}
}

// What neither the policy's check nor ValidateFor refuses is a subject that a
// certificate takes.
func TestSubjectOfAnyTargetFitsACertificate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := func(most int) *rapid.Generator[string] {
			return rapid.StringOfN(rapid.RuneFrom([]rune("ab é会 😀\t/<&{}")), 0, most, -1)
		}
		target := rotation.Target{Kind: rapid.SampledFrom([]rotation.Kind{rotation.KindApp, rotation.KindIDP}).Draw(t, "kind"), ID: rapid.StringMatching(`[a-z0-9]{1,20}`).Draw(t, "id"), Label: text(200).Draw(t, "label")}
		if target.Kind == rotation.KindApp {
			target.Name = text(80).Draw(t, "name")
		}
		plain := rapid.StringOfN(rapid.RuneFrom([]rune("ab é会 😀")), 0, 30, -1)
		pattern := func(name string) string {
			parts := rapid.SliceOfN(rapid.OneOf(rapid.SampledFrom([]string{"{label}", "{name}", "{id}", " "}), plain), 1, 5)
			return strings.Join(parts.Draw(t, name), "")
		}
		settings := defaults()
		settings.Subject = rotation.Subject{CommonName: pattern("commonName"), OrganizationName: pattern("organizationName"), LocalityName: pattern("localityName")}
		s := settings.Subject
		got := s.For(target)
		if again := s.For(target); again != got {
			t.Fatalf("first %+v, then %+v", got, again)
		}
		taken := settings.Validate("policy") == nil && s.ValidateFor(target) == nil
		for _, field := range []struct {
			pattern, text string
			most          int
		}{{s.CommonName, got.CommonName, 64}, {s.OrganizationName, got.OrganizationName, 64}, {s.LocalityName, got.LocalityName, 128}} {
			if n := utf8.RuneCountInString(field.text); n > field.most || !utf8.ValidString(field.text) || field.text != strings.TrimSpace(field.text) {
				t.Fatalf("%q of %d characters", field.text, n)
			}
			if blank := strings.TrimSpace(field.pattern) == ""; taken && (strings.ContainsFunc(field.text, unicode.IsControl) || (field.text == "") != blank) {
				t.Fatalf("%q gives %q", field.pattern, field.text)
			}
		}
	})
}
