// Package page is what an approver's link shows. A GET only ever shows; only a
// POST of the form that was shown decides, because mail scanners and chat
// previews open links.
package page

import (
	"context"
	_ "embed"
	"errors"
	"html/template"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"keyturn/internal/approval"
	"keyturn/internal/rotation"
)

// Decider passes a decision to the paused rotation; approval.Answer is one.
type Decider interface {
	Decide(ctx context.Context, taskToken string, d rotation.Decision) error
}

// Page serves /a/{link}.
type Page struct {
	Sealer  func(ctx context.Context) (*approval.Sealer, error)
	Decider Decider
	Now     func() time.Time
	Log     *slog.Logger
}

//go:embed page.html
var source string

var view = template.Must(template.New("page").Funcs(template.FuncMap{
	// A line may break behind a colon, not inside a pair.
	"pairs": func(fingerprint string) []string { return strings.SplitAfter(fingerprint, ":") },
	"date":  func(t time.Time) string { return t.UTC().Format("Monday, 2 January 2006, 15:04 UTC") },
}).Parse(source))

// content is what the template shows. Ask is the form; without it the page is
// a calm message.
type content struct {
	Title, Text string
	Problem     string
	Ask         *ask
}

type ask struct {
	approval.Claim
	Form          string
	Action        string
	Name, Comment string
}

// AfterSwitch tells the template which of the two orders it is.
func (a ask) AfterSwitch() bool { return a.Order == rotation.AfterSwitch }

// IDP tells the template that Okta is the service provider.
func (a ask) IDP() bool { return a.Target.Kind == rotation.KindIDP }

// The bounds of what a form can say.
const (
	maxBody    = 16 << 10
	maxName    = 100
	maxComment = 1000
)

// ServeHTTP shows the page for a link, or takes the form's answer.
func (p Page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("Cache-Control", "no-store")
	header.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("X-Frame-Options", "DENY")
	header.Set("X-Robots-Tag", "noindex, nofollow")
	header.Set("Strict-Transport-Security", "max-age=31536000")
	if r.Method != http.MethodGet && r.Method != http.MethodHead && r.Method != http.MethodPost {
		header.Set("Allow", "GET, HEAD, POST")
		show(w, http.StatusMethodNotAllowed, content{Title: "This address only shows a page", Text: "Open the link from your message in a browser."})
		return
	}
	i := strings.LastIndex(r.URL.Path, "/a/")
	if i < 0 {
		show(w, http.StatusNotFound, damaged)
		return
	}
	link := r.URL.Path[i+len("/a/"):]
	sealer, err := p.Sealer(r.Context())
	if err != nil {
		p.Log.Error("link key", "error", rotation.NameOf(err), "message", err.Error())
		show(w, http.StatusServiceUnavailable, unavailable)
		return
	}
	claim, err := sealer.Open(link, p.Now())
	switch {
	case errors.Is(err, approval.ErrExpired):
		show(w, http.StatusGone, content{Title: "This link has expired", Text: "The request for " + claim.Target.Label + " is over, and this link decides nothing any more. If the certificate still has to be changed, you will get a new message."})
		return
	case err != nil:
		show(w, http.StatusNotFound, damaged)
		return
	}
	form := &ask{Claim: claim, Form: sealer.FormToken(link, p.Now()), Action: link}
	if r.Method != http.MethodPost {
		show(w, http.StatusOK, content{Title: title(claim), Ask: form})
		return
	}
	p.decide(w, r, sealer, link, form)
}

var (
	damaged = content{Title: "This link does not work", Text: "It is damaged or incomplete. Mail programs sometimes break long links: copy the whole link from the message into the address bar. If that does not help, ask whoever runs the rotations at your company to send it again."}

	unavailable = content{Title: "Please try again in a few minutes", Text: "This page cannot be used just now. Nothing was decided."}

	// The answer may have arrived although nobody said so; a second one does no
	// harm.
	notTold = content{Title: "Please try again in a few minutes", Text: "We could not find out whether your answer arrived. Please open the link from your message again and repeat it: it counts only once."}
)

func title(c approval.Claim) string { return "New SAML certificate for " + c.Target.Label }

func (p Page) decide(w http.ResponseWriter, r *http.Request, sealer *approval.Sealer, link string, form *ask) {
	again := func(status int, problem string) {
		show(w, status, content{Title: title(form.Claim), Problem: problem, Ask: form})
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	if err := r.ParseForm(); err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			again(http.StatusRequestEntityTooLarge, "Your answer was too long. Please shorten the comment. Nothing was decided.")
			return
		}
		again(http.StatusBadRequest, "The form could not be read. Please send it again. Nothing was decided.")
		return
	}
	form.Name, form.Comment = strings.ReplaceAll(clean(r.PostForm, "name"), "\n", " "), clean(r.PostForm, "comment")
	if !sealer.CheckForm(r.PostForm.Get("form"), link, p.Now()) {
		again(http.StatusForbidden, "This page had been open for a long time, or the answer did not come from it. Please answer again. Nothing was decided.")
		return
	}
	d := rotation.Decision{By: form.Approver, At: p.Now().UTC().Truncate(time.Second), Comment: form.Comment}
	if d.By == "" {
		d.By = form.Name
	}
	switch {
	case d.By == "":
		again(http.StatusUnprocessableEntity, "Please give your name: the decision is recorded with it. Nothing was decided.")
		return
	case utf8.RuneCountInString(d.By) > maxName || utf8.RuneCountInString(d.Comment) > maxComment:
		again(http.StatusUnprocessableEntity, "The name can have 100 characters and the comment 1000. Nothing was decided.")
		return
	}
	switch r.PostForm.Get("decision") {
	case "confirm":
		d.Confirmed = true
	case "reject":
		if d.Comment == "" {
			again(http.StatusUnprocessableEntity, "Please say in the comment why it cannot be done: somebody has to find another way. Nothing was decided.")
			return
		}
	default:
		again(http.StatusUnprocessableEntity, "Please choose one of the two answers. Nothing was decided.")
		return
	}
	err := p.Decider.Decide(r.Context(), form.TaskToken, d)
	switch {
	case errors.Is(err, approval.ErrAnswered):
		show(w, http.StatusConflict, content{Title: "This request is answered already", Text: "It was answered before, perhaps by yourself, or the rotation for " + form.Target.Label + " has ended. This answer changes nothing."})
	case err != nil:
		p.Log.Error("decision not passed on", "target", form.Target.String(), "error", rotation.NameOf(err), "message", err.Error())
		show(w, http.StatusServiceUnavailable, notTold)
	default:
		p.Log.Info("decided", "target", form.Target.String(), "confirmed", d.Confirmed)
		show(w, http.StatusOK, thanks(form, d.Confirmed))
	}
}

func thanks(form *ask, confirmed bool) content {
	switch {
	case confirmed && form.AfterSwitch():
		return content{Title: "Thank you, that was it", Text: "Okta signs with the new certificate already. Please try a sign-in to " + form.Target.Label + " now."}
	case confirmed:
		return content{Title: "Thank you, Okta switches now", Text: "Within a minute Okta uses the new certificate for " + form.Target.Label + ". Please try a sign-in then. Should the switch fail, the old certificate stays or comes back."}
	case form.AfterSwitch():
		return content{Title: "Noted: Okta goes back", Text: "Within a minute Okta uses the old certificate for " + form.Target.Label + " again."}
	}
	return content{Title: "Noted: nothing changes", Text: "Okta keeps the old certificate for " + form.Target.Label + ". Whoever runs the rotations gets your comment."}
}

// clean reads a text field: valid UTF-8, no control characters but line
// breaks, no white space around it.
func clean(form url.Values, field string) string {
	text := strings.ToValidUTF8(form.Get(field), "�")
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' {
			return -1
		}
		return r
	}, text)
	return strings.TrimSpace(text)
}

func show(w http.ResponseWriter, status int, c content) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	// The status is sent: an error while writing cannot be reported to anybody.
	_ = view.Execute(w, c)
}
