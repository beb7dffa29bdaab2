package oktasim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"net/http"
	"net/url"
	"time"
)

// newConsole serves what is not Okta's API: the controls under /_sim/, for
// programs outside this process, pages for people, and where users sign in.
// Nothing of it needs a token, so it belongs on loopback only; requests that a
// page of another site makes a browser send are refused, but for sign-ins.
func newConsole(o *Org) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /_sim/calls", func(w http.ResponseWriter, _ *http.Request) {
		calls := o.Calls()
		if calls == nil {
			calls = []Call{}
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(encode(calls))
	})
	mux.HandleFunc("GET /_sim/counts", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(encode(o.Counts()))
	})
	mux.HandleFunc("POST /_sim/reset-calls", func(w http.ResponseWriter, _ *http.Request) {
		o.ResetCalls()
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("POST /_sim/release-slow", func(w http.ResponseWriter, _ *http.Request) {
		o.ReleaseSlow()
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("POST /_sim/clear-faults", func(w http.ResponseWriter, _ *http.Request) {
		o.ClearFaults()
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("POST /_sim/faults", control(o.fail))
	mux.HandleFunc("POST /_sim/edit", control(func(c fieldControl) error { return try(func() { o.Edit(c.Kind, c.ID, c.Path, string(c.Value)) }) }))
	mux.HandleFunc("POST /_sim/drift-on-put", control(func(c fieldControl) error {
		return try(func() { o.DriftOnPut(c.Kind, c.ID, c.Path, string(c.Value)) })
	}))
	mux.HandleFunc("POST /_sim/delete", control(func(c struct {
		Kind string `json:"kind"`
		ID   string `json:"id"`
	}) error {
		return try(func() { o.Delete(c.Kind, c.ID) })
	}))
	mux.HandleFunc("POST /_sim/use-by-others", control(func(c othersControl) error {
		return try(func() { o.UseByOthers(c.Path, c.Requests) })
	}))
	mux.HandleFunc("POST /_sim/others-use", control(func(c othersControl) error {
		return try(func() { o.OthersUse(c.Path, c.Requests) })
	}))
	mux.HandleFunc("POST /_sim/advance", control(func(c struct {
		By string `json:"by"` // as time.ParseDuration reads it
	}) error {
		by, err := time.ParseDuration(c.By)
		if err != nil {
			return err
		}
		return try(func() { o.Advance(by) })
	}))
	mux.HandleFunc("POST /_sim/metadata-lag", control(func(c struct {
		Kind  string `json:"kind"`
		ID    string `json:"id"`
		Reads int    `json:"reads"`
	}) error {
		return try(func() { o.MetadataLag(c.Kind, c.ID, c.Reads) })
	}))
	mux.HandleFunc("GET /{$}", o.listPage)
	mux.HandleFunc("GET /admin/{$}", o.listPage)
	mux.HandleFunc("GET /admin/{kind}/{id}", o.targetPage)
	// The addresses of the real admin console's pages.
	mux.HandleFunc("GET /admin/app/{name}/instance/{id}/{$}", redirectTo(KindApp))
	mux.HandleFunc("GET /admin/access/identity-providers/edit/{id}", redirectTo(KindIDP))
	protection := http.NewCrossOriginProtection()
	o.handleSignIns(mux, protection)
	return protection.Handler(mux)
}

func redirectTo(kind string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/admin/"+kind+"/"+url.PathEscape(r.PathValue("id")), http.StatusFound)
	}
}

// othersControl is the body of /_sim/use-by-others and /_sim/others-use.
type othersControl struct {
	Path     string `json:"path"`
	Requests int    `json:"requests"`
}

// fieldControl is the body of /_sim/edit and /_sim/drift-on-put.
type fieldControl struct {
	Kind  string          `json:"kind"`
	ID    string          `json:"id"`
	Path  string          `json:"path"`  // sjson
	Value json.RawMessage `json:"value"` // verbatim
}

// control reads a JSON body and answers 204, or 400 with the reason.
func control[T any](do func(T) error) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		var v T
		body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, maxBody))
		if err == nil {
			d := json.NewDecoder(bytes.NewReader(body))
			d.DisallowUnknownFields()
			err = d.Decode(&v)
		}
		if err == nil {
			err = do(v)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	}
}

// try turns the panic of a seeding method into an error: over HTTP the mistake
// is a caller's of another process.
func try(do func()) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%v", p)
		}
	}()
	do()
	return nil
}

// row is a target as the console shows it.
type row struct {
	Kind, ID, Label, Status, Mode string
	ActiveKid, Issuer             string
	Expires                       time.Time
	DaysLeft                      int
	Soon                          bool
	Keys                          []keyRow
	CSRs                          []CSR
	Document                      string
}

type keyRow struct {
	Kid, Subject, Issuer        string
	Created, NotBefore, Expires time.Time
	Active                      bool
}

func (o *Org) row(t *target, now time.Time) row {
	label, mode := "label", "signOnMode"
	if t.kind == KindIDP {
		label, mode = "name", "type"
	}
	v := row{
		Kind: t.kind, ID: t.id, Label: lookupString(t.doc, label), Status: lookupString(t.doc, "status"),
		Mode: lookupString(t.doc, mode), ActiveKid: t.activeKid(),
	}
	for _, k := range t.keys {
		k.whole()
		active := k.Kid == v.ActiveKid
		if active {
			v.Issuer, v.Expires = k.Certificate.Issuer.String(), k.Certificate.NotAfter
			v.DaysLeft = int(v.Expires.Sub(now).Hours() / 24)
			v.Soon = v.DaysLeft < 60 // Okta mails 60 days ahead
		}
		v.Keys = append(v.Keys, keyRow{
			k.Kid, k.Certificate.Subject.String(), k.Certificate.Issuer.String(),
			k.Created, k.Certificate.NotBefore, k.Certificate.NotAfter, active,
		})
	}
	for _, c := range t.csrs {
		v.CSRs = append(v.CSRs, *c)
	}
	return v
}

// maxRows bounds the list for people.
const maxRows = 500

func (o *Org) listPage(w http.ResponseWriter, _ *http.Request) {
	now := o.now()
	o.mu.Lock()
	var rows []row
	total := 0
	for _, kind := range []string{KindApp, KindIDP} {
		for _, t := range o.targets[kind] {
			if t.deleted {
				continue
			}
			if total++; total <= maxRows {
				rows = append(rows, o.row(t, now))
			}
		}
	}
	calls := o.counts.Total
	o.mu.Unlock()
	render(w, "list", struct {
		Now          time.Time
		Rows         []row
		Total, Calls int
	}{now, rows, total, calls})
}

func (o *Org) targetPage(w http.ResponseWriter, req *http.Request) {
	now := o.now()
	o.mu.Lock()
	t := o.find(req.PathValue("kind"), req.PathValue("id"))
	if t == nil {
		o.mu.Unlock()
		http.NotFound(w, req)
		return
	}
	v := o.row(t, now)
	doc := t.serve(o.baseOf(req))
	o.mu.Unlock()
	v.Document = string(doc)
	render(w, "target", v)
}

func render(w http.ResponseWriter, name string, data any) {
	var b bytes.Buffer
	if err := pages.ExecuteTemplate(&b, name, data); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
	h.Set("Cache-Control", "no-store")
	_, _ = w.Write(b.Bytes())
}

var pages = template.Must(template.New("").Funcs(template.FuncMap{
	"day":  func(t time.Time) string { return t.UTC().Format("2006-01-02") },
	"time": func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") },
}).Parse(`
{{define "head"}}<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>{{.}}</title>
<style>
:root { color-scheme: light dark; }
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 76rem; padding: 0 1rem; }
h1 { font-size: 1.35rem; } h2 { font-size: 1.05rem; margin-top: 2rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .4rem .8rem .4rem 0; border-bottom: 1px solid #8884; }
th { font-weight: 600; white-space: nowrap; }
td.n { text-align: right; } td.d, td.k { white-space: nowrap; }
code, pre { font: 13px/1.4 ui-monospace, monospace; }
code { overflow-wrap: anywhere; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; border: 1px solid #8884; border-radius: 4px; padding: .8rem; }
.muted { opacity: .7; } .soon { font-weight: 600; color: #b3261e; }
@media (prefers-color-scheme: dark) { .soon { color: #ff897d; } a { color: #8ab4f8; } }
.active { font-weight: 600; }
</style></head><body>{{end}}

{{define "list"}}{{template "head" "Simulated Okta org"}}
<h1>Simulated Okta org</h1>
<p class="muted">{{time .Now}} · {{.Total}} targets{{if lt (len .Rows) .Total}}, the first {{len .Rows}} below{{end}} · <a href="/_sim/calls">{{.Calls}} API calls</a> · nothing here is a real Okta org</p>
<div class="scroll"><table>
<thead><tr><th>Label</th><th>Kind</th><th>Status</th><th>Sign-on</th><th>Active key</th><th>Issuer</th><th>Expires</th><th>Keys</th><th>CSRs</th></tr></thead>
<tbody>{{range .Rows}}
<tr><td><a href="/admin/{{.Kind}}/{{.ID}}">{{.Label}}</a></td><td>{{.Kind}}</td><td>{{.Status}}</td><td>{{.Mode}}</td>
<td class="k">{{with .ActiveKid}}<code title="{{.}}">{{printf "%.12s" .}}…</code>{{else}}<span class="muted">none</span>{{end}}</td>
<td>{{.Issuer}}</td>
<td class="d">{{if not .Expires.IsZero}}<span{{if .Soon}} class="soon"{{end}}>{{day .Expires}}<br>{{.DaysLeft}} days</span>{{end}}</td>
<td class="n">{{len .Keys}}</td><td class="n">{{len .CSRs}}</td></tr>{{end}}
</tbody></table></div>
</body></html>{{end}}

{{define "target"}}{{template "head" .Label}}
<p><a href="/">All targets</a></p>
<h1>{{.Label}}</h1>
<p class="muted">{{.Kind}} <code>{{.ID}}</code> · {{.Status}} · {{.Mode}}</p>
<h2>Signing keys</h2>
{{if .Keys}}<div class="scroll"><table>
<thead><tr><th>Key</th><th>In use</th><th>Subject</th><th>Issuer</th><th>Created</th><th>Valid from</th><th>Expires</th></tr></thead>
<tbody>{{range .Keys}}<tr{{if .Active}} class="active"{{end}}><td><code>{{.Kid}}</code></td><td>{{if .Active}}active{{else}}no{{end}}</td>
<td>{{.Subject}}</td><td>{{.Issuer}}</td><td class="d">{{day .Created}}</td><td class="d">{{day .NotBefore}}</td><td class="d">{{day .Expires}}</td></tr>{{end}}</tbody></table></div>
{{else}}<p>None.</p>{{end}}
<h2>Pending CSRs</h2>
{{if .CSRs}}<div class="scroll"><table><thead><tr><th>Id</th><th>Created</th></tr></thead>
<tbody>{{range .CSRs}}<tr><td><code>{{.ID}}</code></td><td>{{time .Created}}</td></tr>{{end}}</tbody></table></div>
{{else}}<p>None.</p>{{end}}
<h2>Document, as GET serves it</h2>
<pre>{{.Document}}</pre>
</body></html>{{end}}

{{define "passage"}}{{template "head" .Title}}
<h1>{{.Title}}</h1>
<form method="post" action="{{.Action}}"><input type="hidden" name="{{.Name}}" value="{{.Message}}">
{{with .RelayState}}<input type="hidden" name="RelayState" value="{{.}}">{{end}}<button>Continue</button></form>
</body></html>{{end}}

{{define "signed-in"}}{{template "head" "Signed in"}}
<h1>Signed in</h1>
<p>You are <strong>{{.}}</strong>.</p>
</body></html>{{end}}
`))
