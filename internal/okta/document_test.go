package okta_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"keyturn/internal/okta"
	"keyturn/internal/rotation"
)

func appDocument(raw string) okta.Document {
	return okta.Document{Kind: rotation.KindApp, Raw: []byte(raw)}
}

func idpDocument(raw string) okta.Document {
	return okta.Document{Kind: rotation.KindIDP, Raw: []byte(raw)}
}

func TestDocumentIsReadForPeople(t *testing.T) {
	a := appDocument(`{"id":"0oa1","name":"salesforce","label":"Z\u00fcrich \/ EMEA","status":"ACTIVE","signOnMode":"SAML_2_0","credentials":{"signing":{"kid":"k1"}}}`)
	i := idpDocument(`{"id":"0oa2","name":"Partner","type":"SAML2","protocol":{"credentials":{"signing":{"kid":"k2"},"trust":{"kid":"k3"}}},"credentials":{"signing":{"kid":"k4"}}}`)
	got := []string{a.Label(), a.Name(), a.ActiveKid(), a.KidPath(), a.Field("status"), a.Field("none"), i.Label(), i.Name(), i.ActiveKid(), i.KidPath()}
	want := []string{"Zürich / EMEA", "salesforce", "k1", "credentials.signing.kid", "ACTIVE", "", "Partner", "", "k2", "protocol.credentials.signing.kid"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	for _, none := range []string{`{}`, `{"credentials":null}`, `{"credentials":{"signing":{}}}`, `{"credentials":{"signing":{"kid":null}}}`, `{"credentials.signing.kid":"k"}`} {
		if kid := appDocument(none).ActiveKid(); kid != "" {
			t.Errorf("%s has the active kid %q, want none", none, kid)
		}
	}
}

func TestOnlySAML2IsSAML(t *testing.T) {
	for raw, want := range map[string]string{
		`{"signOnMode":"SAML_2_0"}`:              "",
		`{"signOnMode":"SAML_1_1"}`:              "signOnMode is SAML_1_1",
		`{"signOnMode":"WS_FEDERATION"}`:         "signOnMode is WS_FEDERATION",
		`{"signOnMode":"OPENID_CONNECT"}`:        "signOnMode is OPENID_CONNECT",
		`{"signOnMode":"SECURE_PASSWORD_STORE"}`: "signOnMode is SECURE_PASSWORD_STORE",
		`{"type":"SAML2"}`:                       "",
		`{"type":"OIDC"}`:                        "type is OIDC",
		`{"type":"X509"}`:                        "type is X509",
	} {
		d := appDocument(raw)
		if strings.Contains(raw, "type") {
			d = idpDocument(raw)
		}
		saml, what := d.SignsSAML()
		if saml != (want == "") || !saml && what != want {
			t.Errorf("%s: %v, %q; want %q", raw, saml, what, want)
		}
	}
}

func TestSwitchBodyOfAnAppIsTheGuides(t *testing.T) {
	for raw, want := range map[string]string{
		`{"id":"0oa1","name":"n","label":"l","signOnMode":"SAML_2_0","credentials":{"userNameTemplate":{},"signing":{"kid":"old"}},"settings":{"big":1}}`: `{"name":"n","label":"l","signOnMode":"SAML_2_0","credentials":{"signing":{"kid":"new"}}}`,
		`{"signOnMode":"SAML_2_0","label":"\u00e9 \/ é <&> \"x\" \\","name":"n"}`:                                                                         `{"name":"n","label":"\u00e9 \/ é <&> \"x\" \\","signOnMode":"SAML_2_0","credentials":{"signing":{"kid":"new"}}}`,
		"{ \"label\" :\n\"l\" , \"name\":\t\"n\",\"signOnMode\" : \"SAML_2_0\" }":                                                                         `{"name":"n","label":"l","signOnMode":"SAML_2_0","credentials":{"signing":{"kid":"new"}}}`,
	} {
		got, err := appDocument(raw).SwitchBody("new")
		if err != nil || string(got) != want {
			t.Errorf("%s\ngives  %s, %v\nwant   %s", raw, got, err, want)
		}
	}
}

func TestSwitchBodyOfAnIDPIsItsDocumentWithAnotherKid(t *testing.T) {
	for raw, want := range map[string]string{
		`{"protocol":{"credentials":{"signing":{"kid":"old"}}}}`:                                                                           `{"protocol":{"credentials":{"signing":{"kid":"new"}}}}`,
		`{"kid":"old","protocol":{"kid":"old","credentials":{"trust":{"kid":"old"},"signing":{"x":[{"kid":"old"}],"kid":"old","n":1.0}}}}`: `{"kid":"old","protocol":{"kid":"old","credentials":{"trust":{"kid":"old"},"signing":{"x":[{"kid":"old"}],"kid":"new","n":1.0}}}}`,
		"{ \"a\" : 1e3,\n \"protocol\" : { \"credentials\":{ \"signing\" : {\"kid\" : \"old\" } } } , \"z\":\"\\u00e9\\/\" }\n":            "{ \"a\" : 1e3,\n \"protocol\" : { \"credentials\":{ \"signing\" : {\"kid\" : \"new\" } } } , \"z\":\"\\u00e9\\/\" }\n",
		`{"protocol.credentials":{"signing":{"kid":"old"}},"protocol":{"credentials":{"signing":{"kid":"\u006fld"}}}}`:                     `{"protocol.credentials":{"signing":{"kid":"old"}},"protocol":{"credentials":{"signing":{"kid":"new"}}}}`,
		`{"a":"{\"protocol\":{\"credentials\":{\"signing\":{\"kid\":\"old\"}}}}","protocol":{"credentials":{"signing":{"kid":"old"}}}}`:    `{"a":"{\"protocol\":{\"credentials\":{\"signing\":{\"kid\":\"old\"}}}}","protocol":{"credentials":{"signing":{"kid":"new"}}}}`,
		`{"protocol":{"credentials":{"signing":{"kid":null}}}}`:                                                                            `{"protocol":{"credentials":{"signing":{"kid":"new"}}}}`,
	} {
		d := idpDocument(raw)
		got, err := d.SwitchBody("new")
		if err != nil || string(got) != want {
			t.Errorf("%s\ngives  %s, %v\nwant   %s", raw, got, err, want)
		}
		if string(d.Raw) != raw {
			t.Errorf("the document itself became %s", d.Raw)
		}
	}
}

func TestDocumentThatCannotBeSwitchedSaysWhatIsMissing(t *testing.T) {
	for _, c := range []struct {
		d    okta.Document
		want string
	}{
		{appDocument(`{"label":"l","signOnMode":"SAML_2_0"}`), "the document has no name, which the update needs"},
		{appDocument(`{"name":"n","signOnMode":"SAML_2_0"}`), "the document has no label, which the update needs"},
		{appDocument(`{"name":"n","label":"l"}`), "the document has no signOnMode, which the update needs"},
		{idpDocument(`{"protocol":{"credentials":{}}}`), "the document has no protocol.credentials.signing.kid to replace"},
		{idpDocument(`{}`), "the document has no protocol.credentials.signing.kid to replace"},
	} {
		if body, err := c.d.SwitchBody("new"); err == nil || err.Error() != c.want {
			t.Errorf("%s gives %s, %v; want %s", c.d.Raw, body, err, c.want)
		}
	}
}

func digest(t interface {
	Helper()
	Fatal(...any)
}, d okta.Document) string {
	t.Helper()
	sum, err := d.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

func TestDigestIsOfTheDocumentsMeaning(t *testing.T) {
	const app = `{"id":"0oa1","lastUpdated":"2026-01-01","credentials":{"signing":{"kid":"k1"},"x":1.0},"list":[1,2],"text":"é"}`
	base := digest(t, appDocument(app))
	if len(base) != 64 || strings.Trim(base, "0123456789abcdef") != "" {
		t.Errorf("digest %q, want 64 hex digits", base)
	}
	for what, same := range map[string]string{
		"another kid":         strings.Replace(app, "k1", "k2", 1),
		"no kid":              strings.Replace(app, `"kid":"k1"`, "", 1),
		"another lastUpdated": strings.Replace(app, "2026-01-01", "2026-03-02", 1),
		"no lastUpdated":      strings.Replace(app, `"lastUpdated":"2026-01-01",`, "", 1),
		"another order":       `{"text":"é","list":[1,2],"credentials":{"x":1.0,"signing":{"kid":"k1"}},"id":"0oa1"}`,
		"white space":         "\n" + strings.ReplaceAll(app, ",", " ,\n "),
		"another escape":      strings.Replace(app, "é", `\u00e9`, 1),
	} {
		if digest(t, appDocument(same)) != base {
			t.Errorf("%s has another digest", what)
		}
	}
	for what, other := range map[string]string{
		"another spelling of a number": strings.Replace(app, "1.0", "1", 1),
		"a number as text":             strings.Replace(app, "1.0", `"1.0"`, 1),
		"another order of a list":      strings.Replace(app, "[1,2]", "[2,1]", 1),
		"a field more":                 strings.Replace(app, `"id"`, `"new":null,"id"`, 1),
		"a field less":                 strings.Replace(app, `,"text":"é"`, "", 1),
		"null for a list":              strings.Replace(app, "[1,2]", "null", 1),
		"a kid elsewhere":              strings.Replace(app, `"x"`, `"kid":"k1","x"`, 1),
		"a lastUpdated further down":   strings.Replace(app, `"x"`, `"lastUpdated":1,"x"`, 1),
		"an IdP's kid":                 strings.Replace(app, `"id"`, `"protocol":{"credentials":{"signing":{"kid":"k"}}},"id"`, 1),
	} {
		if digest(t, appDocument(other)) == base {
			t.Errorf("%s has the same digest", what)
		}
	}
	const idp = `{"protocol":{"credentials":{"signing":{"kid":"k1"},"trust":{"kid":"k1"}}},"credentials":{"signing":{"kid":"k1"}}}`
	if digest(t, idpDocument(idp)) != digest(t, idpDocument(strings.Replace(idp, "k1", "k2", 1))) {
		t.Error("another kid of an IdP has another digest")
	}
	for n := 2; n <= 3; n++ {
		other := strings.Replace(strings.Replace(idp, "k1", "k2", n), "k2", "k1", n-1)
		if digest(t, idpDocument(idp)) == digest(t, idpDocument(other)) {
			t.Errorf("%s has the same digest", other)
		}
	}
}

func TestDocumentThatIsNotOneObjectHasNoDigest(t *testing.T) {
	for raw, want := range map[string]string{
		``:      "could not read the document: it is not a JSON object [GET document]",
		`[]`:    "could not read the document: it is not a JSON object [GET document]",
		`{"a":`: "could not read the document: it is not a JSON object [GET document]",
		`{} {}`: "could not read the document: it has text after its end [GET document]",
	} {
		_, err := appDocument(raw).Digest()
		wantError(t, err, "Okta.Unavailable", want)
		_, err = okta.Differences(appDocument("{}"), appDocument(raw))
		wantError(t, err, "Okta.Unavailable", want)
		_, err = okta.Differences(appDocument(raw), appDocument("{}"))
		wantError(t, err, "Okta.Unavailable", want)
	}
}

func TestDifferencesNameEveryFieldThatChanged(t *testing.T) {
	for _, c := range []struct{ before, after, want string }{
		{`{"a":1}`, `{"a":1}`, ``},
		{`{"a":1,"lastUpdated":"x","credentials":{"signing":{"kid":"k1"}}}`, `{"a":1,"lastUpdated":"y","credentials":{"signing":{"kid":"k2"}}}`, ``},
		{`{"a":1}`, `{"a":2}`, `a: 1 → 2`},
		{`{"a":1.0}`, `{"a":1}`, `a: 1.0 → 1`},
		{`{"a":12345678901234567890}`, `{"a":12345678901234567891}`, `a: 12345678901234567890 → 12345678901234567891`},
		{`{"a":null}`, `{}`, `a: null → (absent)`},
		{`{}`, `{"a":null}`, `a: (absent) → null`},
		{`{"a":"x"}`, `{"a":["x"]}`, `a: "x" → ["x"]`},
		{`{"a":{"b":1}}`, `{"a":[1]}`, `a: {"b":1} → [1]`},
		{`{"a":{"b":1}}`, `{"a":1}`, `a: {"b":1} → 1`},
		{`{"b":1,"a":{"d":true,"c":[1,{"x":"y"},3]}}`, `{"b":2,"a":{"d":false,"c":[1,{"x":"z"}]}}`, `a.c[1].x: "y" → "z", a.c[2]: 3 → (absent), a.d: true → false, b: 1 → 2`},
		{`{"a":[]}`, `{"a":[{}]}`, `a[0]: (absent) → {}`},
		{`{"a":"` + strings.Repeat("é", 100) + `"}`, `{"a":""}`, `a: "` + strings.Repeat("é", 79) + `… → ""`},
	} {
		diffs, err := okta.Differences(appDocument(c.before), appDocument(c.after))
		if err != nil {
			t.Fatal(err)
		}
		var texts []string
		for _, d := range diffs {
			texts = append(texts, d.String())
		}
		if got := strings.Join(texts, ", "); got != c.want {
			t.Errorf("%s and %s differ in\n\t%s\nwant\n\t%s", c.before, c.after, got, c.want)
		}
	}
}

func TestDifferencesHideSecretsAtAnyDepth(t *testing.T) {
	for _, name := range []string{"password", "Passphrase", "clientSecret", "SECRETS", "apiToken", "token_url", "privateKey", "apiKey", "api_key"} {
		for _, c := range []struct{ before, after, want string }{
			{`"hunter2"`, `"hunter3"`, name + ": (hidden) → (hidden)"},
			{`"hunter2"`, ``, name + ": (hidden) → (absent)"},
			{`{"a":{"b":["hunter2"]}}`, `{"a":{"b":["hunter3"]}}`, name + ".a.b[0]: (hidden) → (hidden)"},
		} {
			object := func(value string) string {
				if value == "" {
					return `{}`
				}
				return fmt.Sprintf(`{%q:%s}`, name, value)
			}
			diffs, err := okta.Differences(appDocument(object(c.before)), appDocument(object(c.after)))
			if err != nil || len(diffs) != 1 || diffs[0].String() != c.want {
				t.Errorf("%s and %s differ in %v, %v; want %s", object(c.before), object(c.after), diffs, err, c.want)
			}
			diffs, err = okta.Differences(appDocument(`{"app":[{"x":`+object(c.before)+`}]}`), appDocument(`{"app":null}`))
			if want := `app: [{"x":{"` + name + `":"(hidden)"}}] → null`; err != nil || len(diffs) != 1 || diffs[0].String() != want {
				t.Errorf("differ in %v, %v; want %s", diffs, err, want)
			}
		}
	}
}

// value draws any JSON value.
func value(depth int) *rapid.Generator[any] {
	return rapid.Custom(func(t *rapid.T) any {
		kinds := 4
		if depth > 0 {
			kinds = 6
		}
		switch rapid.IntRange(0, kinds-1).Draw(t, "kind") {
		case 0:
			return rapid.StringMatching(`[a-zé<&"\\/]{0,6}`).Draw(t, "text")
		case 1:
			return json.Number(rapid.SampledFrom([]string{"0", "1", "1.0", "1e3", "-0.10", "12345678901234567890"}).Draw(t, "number"))
		case 2:
			return rapid.Bool().Draw(t, "bool")
		case 3:
			return nil
		case 4:
			return rapid.SliceOfN(value(depth-1), 0, 3).Draw(t, "list")
		default:
			return rapid.MapOfN(rapid.SampledFrom([]string{"a", "b", "kid", "signing", "credentials", "lastUpdated"}), value(depth-1), 0, 3).Draw(t, "object")
		}
	})
}

// document draws a document of either kind that names a kid.
func document(t *rapid.T, kind rotation.Kind) okta.Document {
	object := rapid.MapOfN(rapid.SampledFrom([]string{"a", "b", "id", "profile", "settings"}), value(3), 0, 4).Draw(t, "document")
	signing := map[string]any{"kid": "kid-before", "other": value(1).Draw(t, "other")}
	object["credentials"] = map[string]any{"signing": signing, "more": value(1).Draw(t, "more")}
	if kind == rotation.KindIDP {
		object["protocol"] = map[string]any{"credentials": map[string]any{"signing": signing}, "x": value(2).Draw(t, "x")}
	} else {
		object["name"], object["label"], object["signOnMode"] = "n", value(0).Draw(t, "label"), "SAML_2_0"
	}
	raw, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	if rapid.Bool().Draw(t, "indented") {
		var b bytes.Buffer
		if err := json.Indent(&b, raw, "", "\t"); err != nil {
			t.Fatal(err)
		}
		raw = b.Bytes()
	}
	return okta.Document{Kind: kind, Raw: raw}
}

func anyKind(t *rapid.T) rotation.Kind {
	return rapid.SampledFrom([]rotation.Kind{rotation.KindApp, rotation.KindIDP}).Draw(t, "of kind")
}

func TestSwitchOfAnyIDPChangesTheKidAndCanBeUndoneByteForByte(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		before := document(t, rotation.KindIDP)
		raw := slices.Clone(before.Raw)
		body, err := before.SwitchBody("kid-after")
		if err != nil {
			t.Fatal(err)
		}
		after := okta.Document{Kind: before.Kind, Raw: body}
		if after.ActiveKid() != "kid-after" || !json.Valid(body) || digest(t, after) != digest(t, before) {
			t.Fatalf("the body is %s", body)
		}
		if diffs, err := okta.Differences(before, after); err != nil || len(diffs) != 0 {
			t.Fatalf("differences %v, %v", diffs, err)
		}
		back, err := after.SwitchBody("kid-before")
		if err != nil || !bytes.Equal(back, raw) || !bytes.Equal(before.Raw, raw) {
			t.Fatalf("and back: %s, %v; want %s", back, err, raw)
		}
	})
}

func TestSwitchBodyOfAnyAppHasFourFields(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		before := document(t, rotation.KindApp)
		body, err := before.SwitchBody("kid-after")
		if err != nil {
			t.Fatal(err)
		}
		var got, whole map[string]json.RawMessage
		if err := json.Unmarshal(body, &got); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(before.Raw, &whole); err != nil {
			t.Fatal(err)
		}
		if len(got) != 4 || string(got["credentials"]) != `{"signing":{"kid":"kid-after"}}` {
			t.Fatalf("the body is %s", body)
		}
		for _, name := range []string{"name", "label", "signOnMode"} {
			if !bytes.Equal(got[name], whole[name]) {
				t.Fatalf("%s is %s, want %s as Okta spelled it", name, got[name], whole[name])
			}
		}
	})
}

func TestDocumentsDifferWhenTheirDigestsDo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		kind := anyKind(t)
		a, b := document(t, kind), document(t, kind)
		if rapid.Bool().Draw(t, "the same") {
			b = a
		}
		diffs, err := okta.Differences(a, b)
		if err != nil {
			t.Fatal(err)
		}
		back, err := okta.Differences(b, a)
		if err != nil {
			t.Fatal(err)
		}
		if same := digest(t, a) == digest(t, b); same != (len(diffs) == 0) || len(diffs) != len(back) {
			t.Fatalf("same digest: %v; differences %v and back %v", same, diffs, back)
		}
	})
}
