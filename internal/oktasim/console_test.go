package oktasim

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestConsoleShowsTargetsAndKeys(t *testing.T) {
	f := newFixture(t)
	d := f.SeedDemo()
	id := f.AddApp(AppSpec{Label: `<script>alert("x")</script>`})
	kid := f.publishNew(KindApp, d.BeforeSwitchApp)
	f.newCSR(KindApp, d.BeforeSwitchApp)
	f.ResetCalls()

	list := string(f.ok(200, "GET", "/", "", "Authorization: ").body)
	for _, want := range []string{
		"Salesforce – EMEA", "Payroll (Zürich)", "Contractors – ADFS", f.ActiveKid(KindApp, d.BeforeSwitchApp),
		"/admin/app/" + d.BeforeSwitchApp, "/admin/idp/" + d.IDP, "O=Okta", "INACTIVE", "24 days",
	} {
		if !strings.Contains(list, want) {
			t.Errorf("the list lacks %q", want)
		}
	}
	one := f.ok(200, "GET", "/admin/app/"+d.BeforeSwitchApp, "")
	for _, want := range []string{kid, "active", "CN=Test CA", f.PendingCSRs(KindApp, d.BeforeSwitchApp)[0].ID, "12345678901234567890"} {
		if !strings.Contains(string(one.body), want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if csp := one.header.Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none'") {
		t.Errorf("policy %q", csp)
	}
	f.ok(200, "GET", "/admin/", "")
	f.ok(404, "GET", "/admin/app/none", "")
	f.ok(404, "GET", "/favicon.ico", "")
	if strings.Contains(list, "<script") || strings.Contains(string(f.ok(200, "GET", "/admin/app/"+id, "").body), "<script") {
		t.Error("a label is not escaped")
	}
	if strings.Contains(list+string(one.body), testToken) || len(f.Calls()) != 0 {
		t.Error("the console shows the token or counts as calls")
	}
}

func TestControlOverHTTP(t *testing.T) {
	f := newFixture(t)
	id := f.AddApp(AppSpec{Label: "A"})
	f.ok(204, "POST", "/_sim/faults", `{"operation":"getApplication","kind":"rate-limited","times":1,"resetIn":5000000000}`)
	f.refused(429, "E0000047", "GET", "/api/v1/apps/"+id, "")
	var calls []Call
	if err := json.Unmarshal(f.ok(200, "GET", "/_sim/calls", "").body, &calls); err != nil || len(calls) != 1 || calls[0].Fault != "rate-limited" {
		t.Errorf("%v: %+v", err, calls)
	}
	f.ok(204, "POST", "/_sim/reset-calls", "")
	if got := string(f.ok(200, "GET", "/_sim/calls", "").body); got != "[]" {
		t.Errorf("calls %s", got)
	}
	f.ok(204, "POST", "/_sim/edit", `{"kind":"app","id":"`+id+`","path":"profile.ratio","value":1.0}`)
	if got := string(lookup(f.Document(KindApp, id), "profile", "ratio")); got != "1.0" {
		t.Errorf("ratio %s", got)
	}
	f.ok(204, "POST", "/_sim/drift-on-put", `{"kind":"app","id":"`+id+`","path":"profile.ratio","value":2}`)
	f.ok(204, "POST", "/_sim/metadata-lag", `{"kind":"app","id":"`+id+`","reads":1}`)
	f.ok(204, "POST", "/_sim/use-by-others", `{"path":"/api/v1/apps","requests":5}`)
	f.ok(204, "POST", "/_sim/others-use", `{"path":"/api/v1/apps","requests":5}`)
	f.ok(204, "POST", "/_sim/advance", `{"by":"36h"}`)
	if want := f.clock.now().Add(36 * time.Hour).Format(http.TimeFormat); f.ok(200, "GET", "/api/v1/apps", "").header.Get("Date") != want {
		t.Errorf("the clock does not say %s", want)
	}
	f.ok(204, "POST", "/_sim/delete", `{"kind":"app","id":"`+f.AddApp(AppSpec{Label: "B"})+`"}`)
	if got := string(f.ok(200, "GET", "/_sim/counts", "").body); got != `{"total":1,"operations":{"listApplications":1},"statuses":{"200":1}}` {
		t.Errorf("counts %s", got)
	}
	f.ok(204, "POST", "/_sim/release-slow", "")
	f.ok(204, "POST", "/_sim/faults", `{"kind":"internal"}`)
	f.ok(204, "POST", "/_sim/clear-faults", "")
	f.ok(200, "GET", "/api/v1/apps/"+id, "")
	for path, body := range map[string]string{
		"/_sim/faults":       `{"kind":"nothing"}`,
		"/_sim/edit":         `{"kind":"app","id":"none","path":"a","value":1}`,
		"/_sim/metadata-lag": `{"kind":"app","id":"none","unknown":1}`,
		"/_sim/drift-on-put": `{`,
		"/_sim/delete":       `{"kind":"app","id":"none"}`,
		"/_sim/advance":      `{"by":"-1h"}`,
		"/_sim/others-use":   `{"path":"/oauth2","requests":1}`,
	} {
		f.ok(400, "POST", path, body)
	}
	f.ok(403, "POST", "/_sim/reset-calls", "", "Sec-Fetch-Site: cross-site")
	f.ok(405, "GET", "/_sim/faults", "")
}
