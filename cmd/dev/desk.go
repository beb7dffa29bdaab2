package main

import (
	"context"
	_ "embed"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strings"
	"time"

	"keyturn/internal/inventory"
	"keyturn/internal/localaws"
	"keyturn/internal/okta"
	"keyturn/internal/playground"
	"keyturn/internal/rotation"
)

//go:embed desk.html
var source string

var view = template.Must(template.New("desk").Funcs(template.FuncMap{
	"clock": func(t time.Time) string { return t.Local().Format("15:04:05") },
}).Parse(source))

// desk is the page at which somebody sits who tries Keyturn.
type desk struct {
	p       *playground.Playground
	address string
}

func newDesk(p *playground.Playground, address string) http.Handler {
	d := desk{p: p, address: address}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", d.show)
	mux.HandleFunc("GET /mails/{id}", d.mail)
	mux.HandleFunc("POST /start", d.start)
	mux.HandleFunc("POST /discover", d.discover)
	mux.HandleFunc("GET /report", d.report)
	return mux
}

type target struct {
	rotation.Target
	ActiveKid string
	Console   string
}

type execution struct {
	Label        string
	Name, Status string
	Started      time.Time
	States       []string
}

type mail struct {
	localaws.Mail
	Link string
}

type content struct {
	Targets    []target
	Executions []execution
	Mails      []mail
	Console    string
}

// Ways are the rotations to choose from.
func (content) Ways() []string {
	return []string{"before-switch", "before-switch, then ask about sign-in", "after-switch"}
}

// policies are those of the ways; the first one is the usual.
var policies = map[string]map[string]any{
	"":                                      {"uploadOrder": rotation.BeforeSwitch},
	"before-switch":                         {"uploadOrder": rotation.BeforeSwitch},
	"before-switch, then ask about sign-in": {"uploadOrder": rotation.BeforeSwitch, "confirmSignIn": true},
	"after-switch":                          {"uploadOrder": rotation.AfterSwitch},
}

func (d desk) show(w http.ResponseWriter, r *http.Request) {
	c, err := d.content(r.Context())
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	_ = view.Execute(w, c)
}

func (d desk) content(ctx context.Context) (content, error) {
	c := content{Console: d.p.OrgURL + "/"}
	for _, kind := range []rotation.Kind{rotation.KindApp, rotation.KindIDP} {
		for _, id := range d.p.Org.Targets(string(kind)) {
			doc := okta.Document{Kind: kind, Raw: d.p.Org.Document(string(kind), id)}
			if saml, _ := doc.SignsSAML(); !saml || doc.Field("status") != "ACTIVE" {
				continue
			}
			c.Targets = append(c.Targets, target{
				Target:    rotation.Target{Kind: kind, ID: id, Label: doc.Label()},
				ActiveKid: doc.ActiveKid(),
				Console:   fmt.Sprintf("%s/admin/%s/%s", d.p.OrgURL, kind, id),
			})
		}
	}
	executions, err := d.p.Rotations(ctx)
	if err != nil {
		return c, err
	}
	for _, e := range executions {
		states, err := d.p.Attach(*e.ExecutionArn).News(ctx)
		if err != nil {
			return c, err
		}
		x := execution{Name: *e.Name, Status: string(e.Status), Started: *e.StartDate}
		for _, t := range c.Targets {
			if strings.HasPrefix(x.Name, string(t.Kind)+"-"+t.ID+"-") {
				x.Label = t.Label
			}
		}
		for _, s := range states {
			x.States = append(x.States, s.Name)
		}
		c.Executions = append(c.Executions, x)
	}
	mails, err := d.p.Cloud.Mails(ctx)
	if err != nil {
		return c, err
	}
	for _, m := range slices.Backward(mails) {
		link, err := playground.Link(m.Text)
		if err != nil {
			link = ""
		}
		c.Mails = append(c.Mails, mail{Mail: m, Link: link})
	}
	return c, nil
}

// document is a target's, or nothing where there is no such target.
func (d desk) document(t rotation.Target) []byte {
	if (t.Kind == rotation.KindApp || t.Kind == rotation.KindIDP) && slices.Contains(d.p.Org.Targets(string(t.Kind)), t.ID) {
		return d.p.Org.Document(string(t.Kind), t.ID)
	}
	return nil
}

// mail shows one mail as it was sent: its HTML as a mail program does, which
// runs no scripts, or with ?text its plain text.
func (d desk) mail(w http.ResponseWriter, r *http.Request) {
	mails, err := d.p.Cloud.Mails(r.Context())
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	for _, m := range mails {
		if m.ID == r.PathValue("id") && m.HTML != "" && !r.URL.Query().Has("text") {
			w.Header().Set("Content-Security-Policy", "sandbox allow-top-navigation-by-user-activation allow-popups; default-src 'none'; style-src 'unsafe-inline'")
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			_, _ = w.Write([]byte(m.HTML))
			return
		}
		if m.ID == r.PathValue("id") {
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			_, _ = fmt.Fprintf(w, "From: %s\nTo: %s\nSubject: %s\n\n%s", m.From, strings.Join(m.To, ", "), m.Subject, m.Text)
			return
		}
	}
	http.NotFound(w, r)
}

// discoveries are the ways to look for what is due; dry-run is of what rotate
// would do.
var discoveries = map[string]map[string]any{
	"dry-run": {"dryRun": true, "policy": map[string]any{"mode": rotation.ModeRotate}},
	"notify":  {"policy": map[string]any{"mode": rotation.ModeNotify}},
	"rotate":  {"policy": map[string]any{"mode": rotation.ModeRotate}},
}

// discover runs a discovery to its end and shows its report.
func (d desk) discover(w http.ResponseWriter, r *http.Request) {
	if origin := r.Header.Get("Origin"); origin != "" && origin != d.address {
		http.Error(w, "this form is not the desk's", http.StatusForbidden)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, 1<<12)
	request := discoveries[r.PostFormValue("way")]
	if request == nil {
		http.Error(w, "this desk knows no such way", http.StatusBadRequest)
		return
	}
	found, err := d.p.Discover(r.Context(), request)
	if err == nil && found.Report == "" {
		err = fmt.Errorf("discovery ended %s: %s %s", found.Status, found.Error, found.Cause)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	if strings.HasPrefix(r.UserAgent(), "curl/") {
		_, _ = fmt.Fprintf(w, "%d targets, %d due, %d rotations started\nlook at %s/report?key=%s\n", found.Targets, found.Due, found.Started, d.address, found.Report)
		return
	}
	http.Redirect(w, r, "/report?key="+found.Report, http.StatusSeeOther)
}

// report shows the report of the last discovery, or of the last dry run.
func (d desk) report(w http.ResponseWriter, r *http.Request) {
	key := r.URL.Query().Get("key")
	if key != inventory.DryRunReport {
		key = inventory.LatestReport
	}
	page, err := d.p.Object(r.Context(), key)
	if err != nil {
		http.Error(w, "there is no report yet: start a discovery", http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(page)
}

// start takes the desk's form, and what a terminal sends; no other site's form.
func (d desk) start(w http.ResponseWriter, r *http.Request) {
	if origin := r.Header.Get("Origin"); origin != "" && origin != d.address {
		http.Error(w, "this form is not the desk's", http.StatusForbidden)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, 1<<12)
	t := rotation.Target{Kind: rotation.Kind(r.PostFormValue("kind")), ID: r.PostFormValue("id")}
	policy := policies[r.PostFormValue("way")]
	if policy == nil {
		http.Error(w, "this desk knows no such way", http.StatusBadRequest)
		return
	}
	// With the time in its name: here one rotates the same key again and again.
	name := rotation.ExecutionName(t, okta.Document{Kind: t.Kind, Raw: d.document(t)}.ActiveKid(), time.Now()) + time.Now().UTC().Format("-150405")
	started, err := d.p.Rotate(r.Context(), name, t, policy)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	if strings.HasPrefix(r.UserAgent(), "curl/") {
		_, _ = fmt.Fprintf(w, "started %s\nlook at %s/\n", started.ARN, d.address)
		return
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
}
