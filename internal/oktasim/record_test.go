package oktasim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// recorded is a fixture that records, and what it wrote.
func recorded(t *testing.T) (*fixture, func() []Exchange) {
	t.Helper()
	f := newFixture(t)
	var out bytes.Buffer
	f.records = newRecorder(&out)
	return f, func() []Exchange {
		t.Helper()
		var all []Exchange
		for line := range strings.Lines(out.String()) {
			var e Exchange
			if err := json.Unmarshal([]byte(line), &e); err != nil {
				t.Fatalf("%v: %s", err, line)
			}
			all = append(all, e)
		}
		return all
	}
}

func TestAnExchangeIsWrittenDownWithoutTheToken(t *testing.T) {
	f, exchanges := recorded(t)
	app := f.AddApp(AppSpec{Label: "x"})
	path := "/api/v1/apps/" + app + "/credentials/csrs"
	answered := f.ok(201, "POST", path, goodCSR, "Accept: application/json", "User-Agent: keyturn/1")
	all := exchanges()
	if len(all) != 1 {
		t.Fatalf("%d exchanges, want 1", len(all))
	}
	e := all[0]
	if e.Operation != "generateCsrForApplication" || e.Method != http.MethodPost || e.Path != path || e.Status != 201 || e.Fault != "" {
		t.Errorf("%s %s %s, %d, fault %q", e.Operation, e.Method, e.Path, e.Status, e.Fault)
	}
	if string(e.Request.Body) != goodCSR || !bytes.Equal(e.Response.Body, answered.body) {
		t.Errorf("bodies\n\t%s\n\t%s", e.Request.Body, e.Response.Body)
	}
	if got := fmt.Sprint(e.Request.Header); got != "map[Accept:application/json Content-Type:application/json User-Agent:keyturn/1]" {
		t.Errorf("request's headers %s", got)
	}
	if e.Response.Header["Content-Type"] != "application/json" || e.Response.Header["X-Rate-Limit-Limit"] == "" {
		t.Errorf("answer's headers %v", e.Response.Header)
	}
	if text, err := json.Marshal(e); err != nil || bytes.Contains(text, []byte(testToken)) {
		t.Errorf("%v, or the token: %s", err, text)
	}
}

func TestWhatLooksTheSameIsWrittenDownOnce(t *testing.T) {
	f, exchanges := recorded(t)
	for i := range 5 {
		app := f.AddApp(AppSpec{Label: fmt.Sprintf("app %d", i), Keys: make([]*Key, 0)})
		f.ok(200, "GET", "/api/v1/apps/"+app, "")
		f.ok(200, "GET", "/api/v1/apps/"+app+"/credentials/keys", "")
		f.ok(404, "GET", fmt.Sprintf("/api/v1/apps/none%d", i), "")
	}
	if all := exchanges(); len(all) != 3 {
		t.Errorf("%d exchanges, want an app, its keys and a 404", len(all))
	}
}

func TestWhatDiffersIsWrittenDown(t *testing.T) {
	f, exchanges := recorded(t)
	app := f.AddApp(AppSpec{Label: "x"})
	path := "/api/v1/apps/" + app
	wants := 0
	wantOneMore := func(what string) {
		t.Helper()
		wants++
		if got := len(exchanges()); got != wants {
			t.Errorf("%s: %d exchanges, want %d", what, got, wants)
			wants = got
		}
	}
	f.ok(200, "GET", path, "")
	wantOneMore("a first call")
	f.ok(200, "GET", path, "", "User-Agent: keyturn/1")
	wantOneMore("another client")
	f.ok(200, "GET", path, "", "Accept: */*")
	wantOneMore("another header")
	f.ok(200, "GET", path+"?expand=x", "")
	wantOneMore("a parameter")
	f.Edit(KindApp, app, "settings.more", `{"deep":[1]}`)
	f.ok(200, "GET", path, "")
	wantOneMore("a further member")
	f.Edit(KindApp, app, "settings.more", `{"deep":["1"]}`)
	f.ok(200, "GET", path, "")
	wantOneMore("another type")
	f.Edit(KindApp, app, "settings.more", `{"deep":[null]}`)
	f.ok(200, "GET", path, "")
	wantOneMore("null")
	f.Edit(KindApp, app, "created", `"yesterday"`)
	f.ok(200, "GET", path, "")
	wantOneMore("a text that is no date")
	f.Edit(KindApp, app, "status", `"INACTIVE"`)
	f.ok(200, "GET", path, "")
	wantOneMore("another value of a few")
	f.Fail(Fault{Kind: FaultNotFound})
	f.ok(404, "GET", path, "")
	wantOneMore("a fault")
	f.ok(404, "GET", "/api/v1/apps/none", "")
	wantOneMore("the same without the fault")
}

func TestAClosedConnectionIsWrittenDownWithoutAnAnswer(t *testing.T) {
	f, exchanges := recorded(t)
	server := httptest.NewServer(f)
	defer server.Close()
	f.Fail(Fault{Kind: FaultCloseAfter})
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/api/v1/apps/x/credentials/keys/generate", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "SSWS "+testToken)
	if answer, err := http.DefaultClient.Do(r); err == nil {
		_ = answer.Body.Close()
		t.Fatal("there is an answer")
	}
	all := exchanges()
	if len(all) != 1 || all[0].Status != 0 || all[0].Fault != string(FaultCloseAfter) || all[0].Response.Body != nil {
		t.Errorf("%+v", all)
	}
}

func TestAPageKeepsWhatIsNewOfIt(t *testing.T) {
	f, exchanges := recorded(t)
	for range 40 {
		f.AddApp(AppSpec{Label: "x"})
	}
	f.AddApp(AppSpec{Label: "x", SignOnMode: "BOOKMARK"})
	for path := "/api/v1/apps?limit=10"; path != ""; {
		r := f.ok(200, "GET", path, "")
		_, path, _ = strings.Cut(strings.Join(r.header.Values("Link"), " "), `rel="self" <http://org.example.com`)
		path, _, _ = strings.Cut(path, ">")
	}
	var items []int
	for _, e := range exchanges() {
		items = append(items, len(elements(e.Response.Body)))
	}
	// The first page, one behind a cursor, and the last with another sort.
	if fmt.Sprint(items) != "[1 1 1]" {
		t.Errorf("%v items of the pages are kept, want [1 1 1]", items)
	}
}

func TestABodyThatIsTooLargeIsLeftOut(t *testing.T) {
	f, exchanges := recorded(t)
	app := f.AddApp(AppSpec{Label: "x"})
	f.ok(400, "PUT", "/api/v1/apps/"+app, `{"x":"`+strings.Repeat("x", maxBody)+`"}`)
	all := exchanges()
	if len(all) != 1 || !all[0].Request.Omitted || all[0].Request.Body != nil || all[0].Response.Omitted {
		t.Errorf("%+v", all)
	}
}

// FuzzShape holds the scanner against texts that are no JSON: requests may be.
func FuzzShape(f *testing.F) {
	for _, seed := range []string{`{"a":[1,"x\"",{"b":null}],"c":"2026-03-02T09:00:00.000Z"}`, `[`, `{"a`, `{"a":}`, `"\`, `[,]`, `{}}`, "\x00", `{"a":1,"a":2}`, `a[b]`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if shape := shapeOf(text, "application/json"); shape != shapeOf(text, "application/json") {
			t.Error("a text has two shapes")
		}
		eachShape(text, func(element []byte, _ uint64) {
			if !bytes.Contains(text, element) {
				t.Errorf("%s is not an element", element)
			}
		})
		if !json.Valid(text) {
			return
		}
		for _, same := range []string{" " + string(text), string(text) + "\n"} {
			if shapeOf([]byte(same), "application/json") != shapeOf(text, "application/json") {
				t.Errorf("%q has another shape than %q", same, text)
			}
		}
	})
}

// BenchmarkRecord is what a call costs more in tests that are recorded.
func BenchmarkRecord(b *testing.B) {
	o := New(Options{APIToken: testToken, Limits: Limits{Unlimited, Unlimited, Unlimited}, MaxCalls: -1})
	app := o.AddApp(AppSpec{Label: "x"})
	o.SeedLarge(LargeSpec{Apps: 200})
	for name, path := range map[string]string{"app": "/api/v1/apps/" + app, "keys": "/api/v1/apps/" + app + "/credentials/keys", "page of 200": "/api/v1/apps?limit=200"} {
		for _, records := range []*recorder{nil, newRecorder(io.Discard)} {
			o.records = records
			b.Run(fmt.Sprintf("%s/recorded=%t", name, records != nil), func(b *testing.B) {
				for b.Loop() {
					req := httptest.NewRequestWithContext(b.Context(), "GET", path, nil)
					req.Header.Set("Authorization", "SSWS "+testToken)
					w := httptest.NewRecorder()
					o.ServeHTTP(w, req)
					if w.Code != 200 {
						b.Fatal(w.Code)
					}
				}
			})
		}
	}
}
