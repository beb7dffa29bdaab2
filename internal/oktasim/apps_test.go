package oktasim

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const trickyRaw = `{"label":"Caf\u00e9 \/ B\u00fcro","vendor":{"n":1.0,"e":1e3,"big":12345678901234567890,"list":[0.10,{"x":"<&>"}]},` +
	`"settings":{"notes":{"admin":"keep me"},"app":{"deep":{"er":1.50}}},"profile":{"owner":"sso-team@example.com"}}`

func (f *fixture) minimalBody(id, kid string) string {
	doc := f.Document(KindApp, id)
	return fmt.Sprintf(`{"name":%s,"label":%s,"signOnMode":%s,"credentials":{"signing":{"kid":%s}}}`,
		lookup(doc, "name"), lookup(doc, "label"), lookup(doc, "signOnMode"), quote(kid))
}

// without drops members that are expected to differ.
func without(doc []byte, paths ...string) string {
	for _, p := range paths {
		doc = setPath(doc, []byte(`"-"`), strings.Split(p, ".")...)
	}
	return string(doc)
}

func TestRawMembersAreServedByteForByte(t *testing.T) {
	f := newFixture(t)
	id := f.AddApp(AppSpec{Label: "x", Name: "salesforce", Raw: trickyRaw})
	got := string(f.ok(200, "GET", "/api/v1/apps/"+id, "").body)
	for _, want := range []string{
		`"label":"Caf\u00e9 \/ B\u00fcro"`,
		`"vendor":{"n":1.0,"e":1e3,"big":12345678901234567890,"list":[0.10,{"x":"<&>"}]}`,
		`"app":{"deep":{"er":1.50}}`, `"admin":"keep me","enduser":null`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%s is missing in %s", want, got)
		}
	}
	if got != string(f.Document(KindApp, id)) {
		t.Error("Document is not what GET serves")
	}
	if self := lookupString([]byte(got), "_links", "self", "href"); self != "http://org.example.com/api/v1/apps/"+id {
		t.Errorf("self link %q", self)
	}
}

func TestMinimalPutChangesTheKidAndNothingElse(t *testing.T) {
	f := newFixture(t)
	id := f.AddApp(AppSpec{Label: "x", Raw: trickyRaw})
	kid := f.publishNew(KindApp, id)
	before := f.Document(KindApp, id)
	f.clock.advance(5_000_000_000)
	answer := f.ok(200, "PUT", "/api/v1/apps/"+id, f.minimalBody(id, kid))
	after := f.Document(KindApp, id)
	if string(answer.body) != string(after) {
		t.Error("the PUT's answer is not the document")
	}
	if diff := cmp.Diff(without(before, "lastUpdated", "credentials.signing.kid"), without(after, "lastUpdated", "credentials.signing.kid")); diff != "" {
		t.Errorf("more than the kid changed (-before +after):\n%s", diff)
	}
	if f.ActiveKid(KindApp, id) != kid || lookupString(after, "lastUpdated") != "2026-03-02T09:00:05.000Z" {
		t.Errorf("active %s, lastUpdated %s", f.ActiveKid(KindApp, id), lookup(after, "lastUpdated"))
	}
}

func TestFullPutOfTheRawDocumentChangesNothing(t *testing.T) {
	f := newFixture(t)
	id := f.AddApp(AppSpec{Label: "x", Raw: trickyRaw, CompleteSignOn: true})
	before := f.Document(KindApp, id)
	f.ok(200, "PUT", "/api/v1/apps/"+id, string(before))
	if diff := cmp.Diff(without(before, "lastUpdated"), without(f.Document(KindApp, id), "lastUpdated")); diff != "" {
		t.Errorf("(-before +after):\n%s", diff)
	}
}

// terraform-provider-okta #655, #710: what a full body does not know is lost.
func TestPutReplacesGivenMembersAsAWhole(t *testing.T) {
	f := newFixture(t)
	id := f.AddApp(AppSpec{Label: "x", Raw: trickyRaw})
	body := setMember([]byte(f.minimalBody(id, f.ActiveKid(KindApp, id))), "settings", []byte(`{"notes":{"admin":"new"}}`))
	f.ok(200, "PUT", "/api/v1/apps/"+id, string(body))
	doc := f.Document(KindApp, id)
	if got := string(lookup(doc, "settings")); got != `{"notes":{"admin":"new"}}` {
		t.Errorf("settings %s, want only what the body gave", got)
	}
	if lookup(doc, "vendor") == nil || lookup(doc, "profile") == nil || lookupString(doc, "credentials", "userNameTemplate", "template") == "" {
		t.Errorf("members that the body left out are gone: %s", doc)
	}
}

func TestPutIgnoresSystemAssignedMembers(t *testing.T) {
	f := newFixture(t)
	id := f.AddApp(AppSpec{Label: "x", Raw: `{"features":["GROUP_PUSH"]}`})
	before := f.Document(KindApp, id)
	body := []byte(f.minimalBody(id, f.ActiveKid(KindApp, id)))
	for _, m := range []string{"id", "status", "created", "lastUpdated", "orn"} {
		body = setMember(body, m, []byte(`"other"`))
	}
	body = setMember(setMember(setMember(body, "features", []byte(`[]`)), "_links", []byte(`{}`)), "unknownMember", []byte(`1`))
	f.ok(200, "PUT", "/api/v1/apps/"+id, string(body))
	if diff := cmp.Diff(without(before, "lastUpdated"), without(f.Document(KindApp, id), "lastUpdated")); diff != "" {
		t.Errorf("(-before +after):\n%s", diff)
	}
}

func TestPutAppRefuses(t *testing.T) {
	f := newFixture(t)
	id := f.AddApp(AppSpec{Label: "A", CompleteSignOn: true})
	other := f.AddApp(AppSpec{Label: "B"})
	good := f.minimalBody(id, f.ActiveKid(KindApp, id))
	set := func(name, raw string) string { return string(setMember([]byte(good), name, []byte(raw))) }
	drop := func(name string) string { return string(removeMember([]byte(good), name)) }
	for _, c := range []struct{ name, body string }{
		{"no label", drop("label")},
		{"empty label", set("label", `" "`)},
		{"label not text", set("label", `7`)},
		{"no signOnMode", drop("signOnMode")},
		{"unknown signOnMode", set("signOnMode", `"SAML"`)},
		{"another signOnMode", set("signOnMode", `"OPENID_CONNECT"`)},
		{"no name", drop("name")},
		{"another name", set("name", `"other"`)},
		{"credentials null", set("credentials", `null`)},
		{"signing not an object", set("credentials", `{"signing":"x"}`)},
		{"kid null", set("credentials", `{"signing":{"kid":null}}`)},
		{"kid empty", set("credentials", `{"signing":{"kid":""}}`)},
		{"kid of nobody", set("credentials", `{"signing":{"kid":"none"}}`)},
		{"kid of another app", set("credentials", `{"signing":{"kid":"`+f.ActiveKid(KindApp, other)+`"}}`)},
		{"settings a list", set("settings", `[]`)},
		{"profile a text", set("profile", `"x"`)},
	} {
		before := string(f.Document(KindApp, id))
		f.refused(400, "E0000001", "PUT", "/api/v1/apps/"+id, c.body)
		if string(f.Document(KindApp, id)) != before {
			t.Errorf("%s: the refused body had an effect", c.name)
		}
	}
	f.ok(200, "PUT", "/api/v1/apps/"+id, good)
	// okta-sdk-golang #222
	f.refused(500, "E0000009", "PUT", "/api/v1/apps/"+id, set("settings", `{"signOn":{"audience":"x"}}`))
}

func TestListAppsInPages(t *testing.T) {
	f := newFixture(t)
	key := NewKey(KeySpec{Created: f.clock.now()})
	for i := range 45 {
		f.AddApp(AppSpec{Label: fmt.Sprintf("App %02d", i), Key: key})
	}
	var seen []string
	pages := 0
	for next := "/api/v1/apps"; next != ""; pages++ {
		r := f.ok(200, "GET", next, "")
		for _, e := range elements(r.body) {
			seen = append(seen, lookupString(e, "id"))
		}
		next = ""
		links := r.header.Values("Link")
		if !strings.HasSuffix(links[0], `; rel="self"`) {
			t.Errorf("first link %q", links[0])
		}
		if len(links) == 2 {
			u, found := strings.CutSuffix(links[1], `>; rel="next"`)
			if !found || !strings.HasPrefix(u, "<http://org.example.com/api/v1/apps?") {
				t.Fatalf("next link %q", links[1])
			}
			next = strings.TrimPrefix(u, "<http://org.example.com")
		}
	}
	if pages != 3 || !slices.Equal(seen, f.Targets(KindApp)) {
		t.Errorf("%d pages with %d apps, want 3 with all 45 in order", pages, len(seen))
	}
	if n := len(elements(f.ok(200, "GET", "/api/v1/apps?limit=200", "").body)); n != 45 {
		t.Errorf("limit=200 gives %d", n)
	}
	if got := f.ok(200, "GET", "/api/v1/apps?limit=45", "").header.Values("Link"); len(got) != 1 {
		t.Errorf("a last page that is full has a next link: %q", got)
	}
	if n := len(elements(f.ok(200, "GET", "/api/v1/apps?limit=-1", "").body)); n != 20 {
		t.Errorf("limit=-1 gives %d, want the server's choice", n)
	}
	for _, query := range []string{"limit=0", "limit=201", "limit=x", "after=" + seen[3], "after=0"} {
		f.refused(400, "E0000001", "GET", "/api/v1/apps?"+query, "")
	}
}

func TestListAppsFilters(t *testing.T) {
	f := newFixture(t)
	shared := NewKey(KeySpec{Created: f.clock.now(), Kid: "shared-kid"})
	a := f.AddApp(AppSpec{Label: "Salesforce – EMEA", Name: "salesforce", Key: shared})
	b := f.AddApp(AppSpec{Label: "Wiki", Name: "confluence", Key: shared, Status: "INACTIVE"})
	c := f.AddApp(AppSpec{Label: "Salad Bar", Name: "oidc_client", SignOnMode: "OPENID_CONNECT"})
	for _, q := range []struct {
		query string
		want  []string
	}{
		{"", []string{a, b, c}},
		{"filter=" + url.QueryEscape(`credentials.signing.kid eq "shared-kid"`), []string{a, b}},
		{"filter=" + url.QueryEscape(`status eq "INACTIVE"`), []string{b}},
		{"filter=" + url.QueryEscape(`id eq "`+c+`"`), []string{c}},
		{"filter=" + url.QueryEscape(` name  eq  "confluence" `), []string{b}},
		{"filter=" + url.QueryEscape(`name eq "conf"`), []string{}},
		{"q=sal", []string{a, c}},
		{"q=CONF", []string{b}},
		{"q=emea", []string{}},
		{"q=sal&filter=" + url.QueryEscape(`status eq "ACTIVE"`) + "&limit=1", []string{a}},
	} {
		got := []string{}
		for _, e := range elements(f.ok(200, "GET", "/api/v1/apps?"+q.query, "").body) {
			got = append(got, lookupString(e, "id"))
		}
		if diff := cmp.Diff(q.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", q.query, diff)
		}
	}
	for _, bad := range []string{
		"", `signOnMode eq "SAML_2_0"`, `label eq "Wiki"`, `status eq ACTIVE`, `status ne "ACTIVE"`,
		`status eq "ACTIVE" and name eq "x"`, `status co "A"`,
	} {
		f.refused(400, "E0000001", "GET", "/api/v1/apps?filter="+url.QueryEscape(bad), "")
	}
}

func TestEditAndSetActiveKidActBehindTheClient(t *testing.T) {
	f := newFixture(t)
	second := NewKey(KeySpec{Created: f.clock.now()})
	id := f.AddApp(AppSpec{Label: "A", Keys: []*Key{second}})
	f.clock.advance(1e9)
	f.Edit(KindApp, id, "settings.notes.admin", `"by an admin"`)
	if got := lookupString(f.Document(KindApp, id), "settings", "notes", "admin"); got != "by an admin" {
		t.Errorf("notes %q", got)
	}
	f.SetActiveKid(KindApp, id, second.Kid)
	doc := f.Document(KindApp, id)
	if f.ActiveKid(KindApp, id) != second.Kid || lookupString(doc, "lastUpdated") != "2026-03-02T09:00:01.000Z" {
		t.Errorf("document %s", doc)
	}
	for name, do := range map[string]func(){
		"unknown target": func() { f.Edit(KindIDP, id, "name", `"x"`) },
		"not JSON":       func() { f.Edit(KindApp, id, "label", `x`) },
		"links":          func() { f.Edit(KindApp, id, "_links.self", `{}`) },
		"foreign kid":    func() { f.SetActiveKid(KindApp, id, "none") },
	} {
		if try(do) == nil {
			t.Errorf("%s: no panic", name)
		}
	}
}

func TestDriftHappensOnceAfterThePut(t *testing.T) {
	f := newFixture(t)
	id := f.AddApp(AppSpec{Label: "A", Raw: `{"settings":{"provisioning":{"mode":"SCIM"}}}`})
	f.DriftOnPut(KindApp, id, "settings.provisioning.mode", `"NONE"`)
	f.refused(400, "E0000001", "PUT", "/api/v1/apps/"+id, `{}`)
	mode := func(doc []byte) string { return lookupString(doc, "settings", "provisioning", "mode") }
	if mode(f.Document(KindApp, id)) != "SCIM" {
		t.Fatal("a refused PUT drifts")
	}
	before := f.Document(KindApp, id)
	answer := f.ok(200, "PUT", "/api/v1/apps/"+id, f.minimalBody(id, f.ActiveKid(KindApp, id)))
	if mode(answer.body) != "SCIM" || mode(f.Document(KindApp, id)) != "NONE" {
		t.Errorf("answer %q, document %q; want the drift after the answer", mode(answer.body), mode(f.Document(KindApp, id)))
	}
	f.ok(200, "PUT", "/api/v1/apps/"+id, string(before))
	if mode(f.Document(KindApp, id)) != "SCIM" {
		t.Error("the old document cannot be put back")
	}
}

func TestAddAppRefusesWhatIsNoDocument(t *testing.T) {
	f := newFixture(t)
	id := f.AddApp(AppSpec{Label: "A"})
	for _, spec := range []AppSpec{{ID: id, Label: "twice"}, {Label: "x", Raw: `[]`}, {Label: "x", Raw: `{"a":1,"a":2}`}, {Label: "x", Name: `a"b`}} {
		if err := try(func() { f.AddApp(spec) }); err == nil || !strings.HasPrefix(err.Error(), "oktasim: ") {
			t.Errorf("%+v: %v", spec, err)
		}
	}
	if !json.Valid(f.Document(KindApp, id)) {
		t.Error("broken document")
	}
}

// What a page costs must not grow with the org: the pages of a scan of 20,000
// apps are a benchmark elsewhere.
func BenchmarkListPage(b *testing.B) {
	o := New(Options{APIToken: testToken, Limits: Limits{Unlimited, Unlimited, Unlimited}})
	key := NewKey(KeySpec{})
	for i := range 20000 {
		o.AddApp(AppSpec{Label: fmt.Sprintf("App %d", i), Key: key})
	}
	c := &call{query: url.Values{"limit": {"200"}, "after": {cursorOf(19000, 96)}}, base: "https://org.example.com", path: "/api/v1/apps"}
	for b.Loop() {
		if _, err := o.listApps(c); err != nil {
			b.Fatal(err)
		}
	}
}
