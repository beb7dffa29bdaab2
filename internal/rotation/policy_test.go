package rotation_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tidwall/sjson"
	"pgregory.net/rapid"

	"keyturn/internal/rotation"
)

var (
	app = rotation.Target{Kind: rotation.KindApp, ID: "0oa1", Label: "Salesforce / EMEA [test]", Name: "salesforce"}
	idp = rotation.Target{Kind: rotation.KindIDP, ID: "0oa2", Label: "Partner – ADFS"}
)

func defaults() rotation.Settings { return rotation.DefaultSettings([]string{"sso-team@example.com"}) }

func resolve(t *testing.T, raw string, target rotation.Target) rotation.Settings {
	t.Helper()
	got, err := rotation.ResolvePolicy(json.RawMessage(raw), defaults(), target, "kid-of-the-active-key")
	if err != nil {
		t.Fatalf("%s: %v", raw, err)
	}
	return got
}

func TestDefaultsAreThoseOfTheDesign(t *testing.T) {
	const want = `{"mode":"notify","rotateBeforeDays":45,"validityDays":397,"uploadOrder":"before-switch","confirmSignIn":false,"signInHours":24,"signInSilence":"keep",` +
		`"approvers":["sso-team@example.com"],"escalateTo":[],"reminderHours":72,"giveUpDays":30,"sharedKey":"own","maxRotations":25,"quotaShare":0.5,"subject":{"commonName":"{label} SAML signing"},` +
		`"certificateAuthority":"local","signers":[],"profile":{"keyUsage":[],"extensions":[],"crlUrls":[],"ocspUrls":[],"caIssuersUrls":[]}}`
	for _, raw := range []string{"", " ", "null", "{}", `{"rules":[]}`, `{"rules":null}`} {
		got, err := json.Marshal(resolve(t, raw, app))
		if err != nil || string(got) != want {
			t.Errorf("policy %q resolves to\n\t%s, %v\nwant\n\t%s", raw, got, err, want)
		}
	}
}

func TestPolicyOverridesOnlyWhatItNames(t *testing.T) {
	for raw, change := range map[string]func(*rotation.Settings){
		`{"mode":"rotate"}`:                           func(s *rotation.Settings) { s.Mode = "rotate" },
		`{"mode":"off"}`:                              func(s *rotation.Settings) { s.Mode = "off" },
		`{"rotateBeforeDays":30}`:                     func(s *rotation.Settings) { s.RotateBeforeDays = 30 },
		`{"validityDays":91}`:                         func(s *rotation.Settings) { s.ValidityDays = 91 },
		`{"validityDays":3650}`:                       func(s *rotation.Settings) { s.ValidityDays = 3650 },
		`{"uploadOrder":"after-switch"}`:              func(s *rotation.Settings) { s.UploadOrder = "after-switch" },
		`{"confirmSignIn":false}`:                     func(*rotation.Settings) {},
		`{"confirmSignIn":true}`:                      func(s *rotation.Settings) { s.ConfirmSignIn = true },
		`{"signInHours":72}`:                          func(s *rotation.Settings) { s.SignInHours = 72 },
		`{"signInSilence":"roll-back"}`:               func(s *rotation.Settings) { s.SignInSilence = "roll-back" },
		`{"approvers":["a@example.com"]}`:             func(s *rotation.Settings) { s.Approvers = []string{"a@example.com"} },
		`{"approvers":[]}`:                            func(s *rotation.Settings) { s.Approvers = []string{} },
		`{"approvers":null}`:                          func(s *rotation.Settings) { s.Approvers = []string{} },
		`{"escalateTo":["a@example.com"]}`:            func(s *rotation.Settings) { s.EscalateTo = []string{"a@example.com"} },
		`{"reminderHours":8}`:                         func(s *rotation.Settings) { s.ReminderHours = 8 },
		`{"giveUpDays":300}`:                          func(s *rotation.Settings) { s.GiveUpDays = 300 },
		`{"sharedKey":"clone"}`:                       func(s *rotation.Settings) { s.SharedKey = "clone" },
		`{"$schema":"./policy.schema.json"}`:          func(*rotation.Settings) {},
		`{"maxRotations":1000}`:                       func(s *rotation.Settings) { s.MaxRotations = 1000 },
		`{"quotaShare":1}`:                            func(s *rotation.Settings) { s.QuotaShare = 1 },
		`{"quotaShare":1e-3}`:                         func(s *rotation.Settings) { s.QuotaShare = 0.001 },
		`{"subject":{"organizationName":"Example"}}`:  func(s *rotation.Settings) { s.Subject.OrganizationName = "Example" },
		`{"subject":{"countryName":"CH"}}`:            func(s *rotation.Settings) { s.Subject.CountryName = "CH" },
		`{"subject":{"commonName":"{id}"}}`:           func(s *rotation.Settings) { s.Subject.CommonName = "{id}" },
		`{"certificateAuthority":"manual"}`:           func(s *rotation.Settings) { s.CertificateAuthority = "manual" },
		`{"signers":["pki@example.com"]}`:             func(s *rotation.Settings) { s.Signers = []string{"pki@example.com"} },
		`{"signers":null}`:                            func(*rotation.Settings) {},
		`{"profile":{}}`:                              func(*rotation.Settings) {},
		`{"profile":null}`:                            func(*rotation.Settings) {},
		`{"profile":{"extensions":null}}`:             func(*rotation.Settings) {},
		`{"profile":{"keyUsage":["keyAgreement"]}}`:   func(s *rotation.Settings) { s.Profile.KeyUsage = []string{"keyAgreement"} },
		`{"validityDays":200,"rotateBeforeDays":199}`: func(s *rotation.Settings) { s.ValidityDays, s.RotateBeforeDays = 200, 199 },
	} {
		want := defaults()
		change(&want)
		if diff := cmp.Diff(want, resolve(t, raw, app)); diff != "" {
			t.Errorf("%s (-want +got)\n%s", raw, diff)
		}
	}
}

func TestFirstRuleThatMatchesOverridesThePolicy(t *testing.T) {
	const policy = `{"mode":"rotate","giveUpDays":10,"approvers":["a@example.com","b@example.com"],"subject":{"organizationName":"Example"},"rules":[
		{"match":{"id":"0oa9"},"giveUpDays":1},
		{"match":{"kind":"app","label":"salesforce*"},"giveUpDays":2,"approvers":["crm@example.com"],"subject":{"organizationalUnitName":"CRM"}},
		{"match":{"kind":"app"},"giveUpDays":3,"mode":"off"}]}`
	want := defaults()
	want.Mode, want.GiveUpDays, want.Approvers = "rotate", 2, []string{"crm@example.com"}
	want.Subject.OrganizationName, want.Subject.OrganizationalUnitName = "Example", "CRM"
	if diff := cmp.Diff(want, resolve(t, policy, app)); diff != "" {
		t.Errorf("the app (-want +got)\n%s", diff)
	}
	want = defaults()
	want.Mode, want.GiveUpDays, want.Approvers, want.Subject.OrganizationName = "rotate", 10, []string{"a@example.com", "b@example.com"}, "Example"
	if diff := cmp.Diff(want, resolve(t, policy, idp)); diff != "" {
		t.Errorf("the IdP, for which there is no rule (-want +got)\n%s", diff)
	}
}

func TestRuleMatchesWhenAllItNamesFits(t *testing.T) {
	for match, want := range map[string]struct{ app, idp bool }{
		`{"kind":"app"}`:                               {true, false},
		`{"kind":"idp"}`:                               {false, true},
		`{"id":"0oa1"}`:                                {true, false},
		`{"id":"0oa*"}`:                                {false, false},
		`{"id":"0OA1"}`:                                {false, false},
		`{"kid":"kid-of-the-active-key"}`:              {true, true},
		`{"kid":"kid-of*"}`:                            {false, false},
		`{"name":"salesforce"}`:                        {true, false},
		`{"name":"SALES*"}`:                            {true, false},
		`{"label":"Salesforce / EMEA [test]"}`:         {true, false},
		`{"label":"salesforce / emea [TEST]"}`:         {true, false},
		`{"label":"Salesforce*"}`:                      {true, false},
		`{"label":"Salesforce"}`:                       {false, false},
		`{"label":"*EMEA*"}`:                           {true, false},
		`{"label":"*[test]"}`:                          {true, false},
		`{"label":"Salesforce ? EMEA*"}`:               {true, false},
		`{"label":"Partner ? adfs"}`:                   {false, true},
		`{"label":"Salesforce / EMEA [a-z]*"}`:         {false, false},
		`{"label":"*"}`:                                {true, true},
		`{"label":"\\*"}`:                              {false, false},
		`{"label":"["}`:                                {false, false},
		`{"kind":"app","label":"Partner*"}`:            {false, false},
		`{"kind":"idp","label":"Partner*"}`:            {false, true},
		`{"id":"0oa1","kid":"another"}`:                {false, false},
		`{"id":"0oa1","kid":"kid-of-the-active-key"}`:  {true, false},
		`{"kind":"app","id":"0oa1","name":"concur"}`:   {false, false},
		`{"kind":"app","id":"","name":"","label":"*"}`: {true, false},
	} {
		for _, target := range []rotation.Target{app, idp} {
			got := resolve(t, `{"rules":[{"match":`+match+`,"giveUpDays":1}]}`, target).GiveUpDays == 1
			if wanted := map[rotation.Kind]bool{"app": want.app, "idp": want.idp}[target.Kind]; got != wanted {
				t.Errorf("rule for %s matches %s (%s): %v, want %v", match, target, target.Label, got, wanted)
			}
		}
	}
}

func TestRuleWithAWholeLabelMatchesIt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		target := app
		target.Label = rapid.StringMatching(`[A-Za-z/\[\]\\\-^{} é*?]{1,12}`).Draw(t, "label")
		match := func(pattern string) bool {
			raw, err := json.Marshal(map[string]any{"rules": []any{map[string]any{"match": map[string]string{"label": pattern}, "giveUpDays": 1}}})
			if err != nil {
				t.Fatal(err)
			}
			s, err := rotation.ResolvePolicy(raw, defaults(), target, "")
			if err != nil {
				t.Fatal(err)
			}
			return s.GiveUpDays == 1
		}
		label := []rune(target.Label)
		cut := rapid.IntRange(0, len(label)-1).Draw(t, "cut")
		for _, pattern := range []string{
			target.Label, strings.ToUpper(target.Label), string(label[:cut]) + "*", "*" + string(label[cut:]),
			string(label[:cut]) + "?" + string(label[cut+1:]), "*", strings.Repeat("?", len(label)),
		} {
			if !match(pattern) {
				t.Fatalf("%q does not match %q", pattern, target.Label)
			}
		}
		for _, pattern := range []string{target.Label + "x", "x" + target.Label + "?", strings.Repeat("?", len(label)+1)} {
			if !strings.Contains(target.Label, "*") && match(pattern) {
				t.Fatalf("%q matches %q", pattern, target.Label)
			}
		}
	})
}

const (
	theFields    = "remove it, or correct its spelling; the fields are "
	fieldsOfBoth = theFields + "mode, rotateBeforeDays, validityDays, uploadOrder, confirmSignIn, signInHours, signInSilence, approvers, escalateTo, reminderHours, giveUpDays, sharedKey, "
	fieldsOf     = fieldsOfBoth + "maxRotations, quotaShare, subject, certificateAuthority, signers, profile and rules"
	fieldsOfRule = fieldsOfBoth + "subject, certificateAuthority, signers, profile and match (with kind, id, label, name and kid)"
)

func TestPolicyThatCannotBeUsedSaysFieldValueAndRemedy(t *testing.T) {
	const okta = "; Okta refuses a certificate that is valid for 90 days or less"
	const rule = `{"match":{"id":"0oa9"},`
	for raw, want := range map[string]string{
		`{`:                    `policy is not JSON: unexpected end of JSON input; a closing brace, bracket or quote is missing`,
		`{"Mode":"rotate"}`:    `policy has the unknown field "Mode": ` + fieldsOf,
		`{"$schema":1}`:        `policy.$schema is a JSON number: give a string`,
		`{"sharedKey":"both"}`: `policy.sharedKey is "both": use own or clone`,
		`{"rules":[{"match":{"id":"0oa1"},"approvers":[null]}]}`: `policy.rules[0].approvers has a JSON null in its list: give strings`,
		`{"approvers":[["a@example.com"]]}`:                      `policy.approvers has a JSON array in its list: give strings`,
		`{"rules":[` + rule + `"$schema":"x"}]}`:                 `policy.rules[0] has the unknown field "$schema": ` + fieldsOfRule,
		`{"rules":[` + rule + `"maxRotations":5}]}`:              `policy.rules[0].maxRotations is for a whole run of discovery and cannot be in a rule: put it outside the rules`,
		`{"rules":[` + rule + `"quotaShare":null}]}`:             `policy.rules[0].quotaShare is for a whole run of discovery and cannot be in a rule: put it outside the rules`,
		`hello`:                    `policy is not JSON: invalid character 'h' looking for beginning of value`,
		`[]`:                       `policy is a JSON array: give an object`,
		`"x"`:                      `policy is a JSON string: give an object`,
		`{} {}`:                    `policy has text after its end: give one JSON object`,
		`{"modus":"rotate"}`:       `policy has the unknown field "modus": ` + fieldsOf,
		`{"match":{}}`:             `policy has the unknown field "match": ` + fieldsOf,
		`{"subject":{"cn":"x"}}`:   `policy.subject has the unknown field "cn": ` + theFields + "countryName, stateOrProvinceName, localityName, organizationName, organizationalUnitName and commonName",
		`{"rules":{}}`:             `policy.rules is a JSON object: give a list`,
		`{"mode":1}`:               `policy.mode is a JSON number: give a string`,
		`{"mode":"Rotate"}`:        `policy.mode is "Rotate": use rotate or notify or off`,
		`{"mode":""}`:              `policy.mode is "": use rotate or notify or off`,
		`{"uploadOrder":"first"}`:  `policy.uploadOrder is "first": use before-switch or after-switch`,
		`{"validityDays":"397"}`:   `policy.validityDays is a JSON string: give a whole number`,
		`{"validityDays":397.5}`:   `policy.validityDays is a JSON number 397.5: give a whole number`,
		`{"validityDays":90}`:      `policy.validityDays is 90: use 91 to 3650` + okta,
		`{"validityDays":-1}`:      `policy.validityDays is -1: use 91 to 3650` + okta,
		`{"validityDays":3651}`:    `policy.validityDays is 3651: use 91 to 3650` + okta,
		`{"rotateBeforeDays":0}`:   `policy.rotateBeforeDays is 0: use 1 to 3649`,
		`{"rotateBeforeDays":397}`: `policy.rotateBeforeDays is 397, not less than validityDays (397): a new certificate would be due at once`,
		`{"rotateBeforeDays":120,"validityDays":91}`:           `policy.rotateBeforeDays is 120, not less than validityDays (91): a new certificate would be due at once`,
		`{"reminderHours":0}`:                                  `policy.reminderHours is 0: use 1 to 8760`,
		`{"reminderHours":8761}`:                               `policy.reminderHours is 8761: use 1 to 8760`,
		`{"giveUpDays":0}`:                                     `policy.giveUpDays is 0: use 1 to 360; a Step Functions execution ends after a year, the way back included`,
		`{"giveUpDays":361}`:                                   `policy.giveUpDays is 361: use 1 to 360; a Step Functions execution ends after a year, the way back included`,
		`{"maxRotations":0}`:                                   `policy.maxRotations is 0: use 1 to 1000`,
		`{"maxRotations":1001}`:                                `policy.maxRotations is 1001: use 1 to 1000`,
		`{"quotaShare":0}`:                                     `policy.quotaShare is 0: use a share above 0 and up to 1`,
		`{"quotaShare":1.01}`:                                  `policy.quotaShare is 1.01: use a share above 0 and up to 1`,
		`{"quotaShare":"half"}`:                                `policy.quotaShare is a JSON string: give a number`,
		`{"confirmSignIn":"no"}`:                               `policy.confirmSignIn is a JSON string: give true or false`,
		`{"signInHours":0}`:                                    `policy.signInHours is 0: use 1 to 72`,
		`{"signInHours":73}`:                                   `policy.signInHours is 73: use 1 to 72`,
		`{"signInSilence":"ignore"}`:                           `policy.signInSilence is "ignore": use keep or roll-back`,
		`{"reminderHours":7}`:                                  `policy.reminderHours is 7 with giveUpDays 30: that would be 102 reminders, and 100 are the most; remind less often or give up earlier`,
		`{"approvers":"a@example.com"}`:                        `policy.approvers is a JSON string: give a list`,
		`{"approvers":["nobody"]}`:                             `policy.approvers has "nobody", which is not a mail address: use one such as sso-team@example.com`,
		`{"approvers":["A <a@example.com>"]}`:                  `policy.approvers has "A <a@example.com>", which is not a mail address: use one such as sso-team@example.com`,
		`{"approvers":["a@example.com","b@x\nBcc: c"]}`:        `policy.approvers has "b@x\nBcc: c", which is not a mail address: use one such as sso-team@example.com`,
		`{"approvers":["a@example.com, b@example.com"]}`:       `policy.approvers has "a@example.com, b@example.com", which is not a mail address: use one such as sso-team@example.com`,
		`{"escalateTo":[""]}`:                                  `policy.escalateTo has "", which is not a mail address: use one such as sso-team@example.com`,
		`{"subject":"x"}`:                                      `policy.subject is a JSON string: give an object`,
		`{"subject":{"commonName":1}}`:                         `policy.subject.commonName is a JSON number: give a string`,
		`{"subject":{"commonName":""}}`:                        `policy.subject.commonName is empty: use a text such as "{label} SAML signing"`,
		`{"subject":{"commonName":" "}}`:                       `policy.subject.commonName is empty: use a text such as "{label} SAML signing"`,
		`{"subject":{"countryName":"USA"}}`:                    `policy.subject.countryName is "USA": use the two letters of ISO 3166, such as US`,
		`{"subject":{"countryName":"us"}}`:                     `policy.subject.countryName is "us": use the two letters of ISO 3166, such as US`,
		`{"subject":{"countryName":"é"}}`:                      `policy.subject.countryName is "é": use the two letters of ISO 3166, such as US`,
		`{"certificateAuthority":"vault"}`:                     `policy.certificateAuthority is "vault": use local or kms or acmpca or stepca or manual`,
		`{"certificateAuthority":["local"]}`:                   `policy.certificateAuthority is a JSON array: give a string`,
		`{"signers":["pki"]}`:                                  `policy.signers has "pki", which is not a mail address: use one such as sso-team@example.com`,
		`{"signers":"pki@example.com"}`:                        `policy.signers is a JSON string: give a list`,
		`{"rules":[{}]}`:                                       `policy.rules[0] has no match: say which targets it is for, such as {"match": {"label": "Salesforce*"}}`,
		`{"rules":[null]}`:                                     `policy.rules[0] has no match: say which targets it is for, such as {"match": {"label": "Salesforce*"}}`,
		`{"rules":[` + rule + `"mode":"off"},{"mode":"off"}]}`: `policy.rules[1] has no match: say which targets it is for, such as {"match": {"label": "Salesforce*"}}`,
		`{"rules":[{"match":{}}]}`:                             `policy.rules[0].match is empty: name at least one of kind, id, label, name and kid`,
		`{"rules":[{"match":{"kind":"saml"}}]}`:                `policy.rules[0].match.kind is "saml": use "app" or "idp"`,
		`{"rules":[{"match":"Salesforce*"}]}`:                  `policy.rules[0].match is a JSON string: give an object`,
		`{"rules":["off"]}`:                                    `policy.rules[0] is a JSON string: give an object`,
		`{"rules":[{"match":{"lable":"x"}}]}`:                  `policy.rules[0].match has the unknown field "lable": ` + theFields + "kind, id, label, name and kid",
		`{"rules":[` + rule + `"rules":[]}]}`:                  `policy.rules[0] has the unknown field "rules": ` + fieldsOfRule,
		`{"rules":[` + rule + `"validityDays":90}]}`:           `policy.rules[0].validityDays is 90: use 91 to 3650` + okta,
		`{"rules":[` + rule + `"validityDays":"90"}]}`:         `policy.rules[0].validityDays is a JSON string: give a whole number`,
		`{"rules":[` + rule + `"subject":{"commonName":""}}]}`: `policy.rules[0].subject.commonName is empty: use a text such as "{label} SAML signing"`,
	} {
		t.Run(raw, func(t *testing.T) {
			_, err := rotation.ResolvePolicy(json.RawMessage(raw), defaults(), app, "")
			wantError(t, err, "Policy.Invalid", want)
		})
	}
}

func TestRulesThatDoNotMatchAreCheckedToo(t *testing.T) {
	const raw = `{"rules":[{"match":{"id":"0oa1"},"mode":"off"},{"match":{"id":"0oa9"},"giveUpDays":0}]}`
	_, err := rotation.ResolvePolicy(json.RawMessage(raw), defaults(), app, "")
	wantError(t, err, "Policy.Invalid", "policy.rules[1].giveUpDays is 0: use 1 to 360; a Step Functions execution ends after a year, the way back included")
}

func TestDefaultsThatCannotBeUsedAreRefusedAsWell(t *testing.T) {
	base := defaults()
	base.Approvers = []string{"nobody"}
	_, err := rotation.ResolvePolicy(nil, base, app, "")
	wantError(t, err, "Policy.Invalid", `policy.approvers has "nobody", which is not a mail address: use one such as sso-team@example.com`)
	if _, err := rotation.ResolvePolicy(json.RawMessage(`{"approvers":["a@example.com"]}`), base, app, ""); err != nil {
		t.Errorf("the policy that mends it: %v", err)
	}
}

// A function is kept warm: what one policy says must not reach the next.
func TestResolvingLeavesTheDefaultsAsTheyWere(t *testing.T) {
	base := rotation.DefaultSettings([]string{"a@example.com", "b@example.com"})
	base.EscalateTo = []string{"c@example.com"}
	want := rotation.DefaultSettings([]string{"a@example.com", "b@example.com"})
	want.EscalateTo = []string{"c@example.com"}
	got, err := rotation.ResolvePolicy(json.RawMessage(`{"approvers":["x@example.com"],"escalateTo":["x@example.com"],
		"rules":[{"match":{"id":"0oa9"},"approvers":["y@example.com"]},{"match":{"id":"0oa1"},"escalateTo":["z@example.com"]}]}`), base, app, "")
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got.Approvers, []string{"x@example.com"}) || !slices.Equal(got.EscalateTo, []string{"z@example.com"}) {
		t.Errorf("approvers %q, escalateTo %q", got.Approvers, got.EscalateTo)
	}
	got.Approvers[0] = "changed@example.com"
	if diff := cmp.Diff(want, base); diff != "" {
		t.Errorf("the defaults (-want +got)\n%s", diff)
	}
}

// settings draws settings that are valid.
func settings(t *rapid.T) rotation.Settings {
	addresses := rapid.SliceOfN(rapid.StringMatching(`[a-z]{1,5}@example\.com`), 0, 3)
	s := rotation.Settings{
		Mode:          rapid.SampledFrom([]rotation.Mode{"rotate", "notify", "off"}).Draw(t, "mode"),
		ValidityDays:  rapid.IntRange(91, 3650).Draw(t, "validityDays"),
		UploadOrder:   rapid.SampledFrom([]rotation.UploadOrder{"before-switch", "after-switch"}).Draw(t, "uploadOrder"),
		Approvers:     addresses.Draw(t, "approvers"),
		EscalateTo:    addresses.Draw(t, "escalateTo"),
		ConfirmSignIn: rapid.Bool().Draw(t, "confirmSignIn"),
		SignInHours:   rapid.IntRange(1, 72).Draw(t, "signInHours"),
		SignInSilence: rapid.SampledFrom([]rotation.SignInSilence{"keep", "roll-back"}).Draw(t, "signInSilence"),
		ReminderHours: rapid.IntRange(87, 8760).Draw(t, "reminderHours"),
		GiveUpDays:    rapid.IntRange(1, 360).Draw(t, "giveUpDays"),
		SharedKey:     rapid.SampledFrom([]rotation.SharedKey{"own", "clone"}).Draw(t, "sharedKey"),
		MaxRotations:  rapid.IntRange(1, 1000).Draw(t, "maxRotations"),
		QuotaShare:    float64(rapid.IntRange(1, 100).Draw(t, "quotaShare")) / 100,
		Subject: rotation.Subject{
			CountryName:      rapid.SampledFrom([]string{"", "US", "CH"}).Draw(t, "countryName"),
			OrganizationName: rapid.StringMatching(`[A-Za-z, .]{0,9}`).Draw(t, "organizationName"),
			CommonName:       rapid.StringMatching(`[a-z]{1,5}`).Draw(t, "commonName"),
		},
		CertificateAuthority: rapid.SampledFrom(rotation.Authorities()).Draw(t, "certificateAuthority"),
		Signers:              addresses.Draw(t, "signers"),
		Profile:              profiles().Draw(t, "profile"),
	}
	s.RotateBeforeDays = rapid.IntRange(1, s.ValidityDays-1).Draw(t, "rotateBeforeDays")
	return s
}

// What inspect-target resolved travels through the state machine as JSON and
// is a policy again, with the same meaning.
func TestResolvedPolicyIsAPolicyOfTheSameMeaning(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := settings(t)
		raw, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		// Every field is written except the empty ones of the subject.
		base := defaults()
		base.Subject = rotation.Subject{CommonName: "x"}
		base.Signers, base.Profile = []string{"pki@example.com"}, fullProfile()
		got, err := rotation.ResolvePolicy(raw, base, app, "")
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("(-want +got)\n%s", diff)
		}
		// What is for the whole run stays outside the rules.
		rule, err := sjson.DeleteBytes(raw, "maxRotations")
		if err != nil {
			t.Fatal(err)
		}
		if rule, err = sjson.DeleteBytes(rule, "quotaShare"); err != nil {
			t.Fatal(err)
		}
		want.MaxRotations, want.QuotaShare = base.MaxRotations, base.QuotaShare
		asRule, err := rotation.ResolvePolicy(fmt.Appendf(nil, `{"rules":[{"match":{"kind":"app"},%s]}`, rule[1:]), base, app, "")
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, asRule); diff != "" {
			t.Fatalf("as a rule (-want +got)\n%s", diff)
		}
	})
}

func TestAnyTextResolvesOrIsRefusedByName(t *testing.T) {
	field := rapid.SampledFrom([]string{"mode", "validityDays", "rules", "match", "subject", "approvers", "quotaShare", "commonName", "kind", "profile", "extensions", "keyUsage", "oid", "value", "x"})
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
	rapid.Check(t, func(t *rapid.T) {
		raw, err := json.Marshal(values.Draw(t, "policy"))
		if err != nil {
			t.Fatal(err)
		}
		s, err := rotation.ResolvePolicy(raw, defaults(), app, "kid")
		if err == nil {
			if err := s.Validate("result"); err != nil {
				t.Fatalf("%s resolves to what is not valid: %v", raw, err)
			}
			return
		}
		if rotation.NameOf(err) != "Policy.Invalid" || !strings.HasPrefix(err.Error(), "policy") || strings.Contains(err.Error(), "Settings") {
			t.Fatalf("%s: %v", raw, err)
		}
	})
}
