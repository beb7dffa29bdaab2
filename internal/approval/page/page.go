// Package page is what an approver's link shows. A GET only ever shows; only a
// POST of the form that was shown decides, because mail scanners and chat
// previews open links.
package page

import (
	"context"
	"errors"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	g "maragu.dev/gomponents"

	"keyturn/internal/approval"
	"keyturn/internal/approval/paused"
	"keyturn/internal/rotation"
)

// Links opens links; approval.Keyring does.
type Links interface {
	Open(ctx context.Context, link string) (approval.Claim, *approval.Sealer, error)
}

// Rotations tells how rotations stand; paused.Executions does.
type Rotations interface {
	Progress(ctx context.Context, execution string) (paused.Progress, error)
}

// Decider passes a decision to the paused rotation; paused.Answer does.
type Decider interface {
	Decide(ctx context.Context, taskToken string, d rotation.Decision) error
}

// MetadataReader reads a target's SAML metadata; MetadataFunction does.
type MetadataReader interface {
	Read(ctx context.Context, t rotation.Target, kid string) ([]byte, error)
}

// Config is what a Page needs.
type Config struct {
	Links     Links
	Rotations Rotations
	Decider   Decider
	Metadata  MetadataReader
	// OrgURL is the Okta org's address. PublicURL is the base of the links where
	// something stands before the function; empty: there is nothing.
	OrgURL, PublicURL string
	Now               func() time.Time
	Log               *slog.Logger
}

// Page serves /a/{link} and, behind it, the downloads.
type Page struct {
	Config

	foreign *http.CrossOriginProtection
	limiter limiter
}

// New makes a page. It fails with Config.Invalid when PublicURL is no address.
func New(c Config) (*Page, error) {
	p := &Page{Config: c, foreign: http.NewCrossOriginProtection()}
	if c.PublicURL != "" {
		u, err := url.Parse(c.PublicURL)
		if err == nil {
			err = p.foreign.AddTrustedOrigin(u.Scheme + "://" + u.Host)
		}
		if err != nil {
			return nil, rotation.Errorf("Config.Invalid", "the public URL %q is no address: set the stack parameter PublicUrl to one such as https://keyturn.example.com", c.PublicURL)
		}
	}
	return p, nil
}

// The bounds of what a form can say.
const (
	maxBody    = 16 << 10
	maxName    = 100
	maxComment = 1000
)

// ServeHTTP shows the page for a link, serves its downloads, or takes the form's
// answer. A link that is no link costs no call of AWS.
func (p *Page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	setHeaders(w.Header())
	if r.Method != http.MethodGet && r.Method != http.MethodHead && r.Method != http.MethodPost {
		w.Header().Set("Allow", "GET, HEAD, POST")
		show(w, http.StatusMethodNotAllowed, onlyShows)
		return
	}
	now := p.Now()
	link, file := parsePath(r.URL.Path)
	claim, sealer, err := p.Links.Open(r.Context(), link)
	switch {
	case errors.Is(err, approval.ErrExpired):
		show(w, http.StatusGone, expired(claim))
		return
	case errors.Is(err, approval.ErrDamaged) && !p.limiter.allow("address "+r.RemoteAddr, noLinksPerMinute, now),
		err == nil && !p.limiter.allow("link "+link, visitsPerMinute, now):
		p.tooMany(w)
		return
	case errors.Is(err, approval.ErrDamaged):
		show(w, http.StatusNotFound, damaged)
		return
	case err != nil:
		p.Log.Error("link key", "error", rotation.NameOf(err), "message", err.Error())
		show(w, http.StatusServiceUnavailable, unavailable)
		return
	}
	progress, err := p.Rotations.Progress(r.Context(), claim.Execution)
	switch {
	case errors.Is(err, paused.ErrNoExecution):
		show(w, http.StatusGone, forgotten(claim))
		return
	case err != nil:
		p.Log.Error("progress", "target", claim.Target.String(), "error", rotation.NameOf(err), "message", err.Error())
		show(w, http.StatusServiceUnavailable, unavailable)
		return
	}
	v := visit{page: p, w: w, r: r, link: link, claim: claim, sealer: sealer, progress: progress, now: now}
	switch {
	case r.Method == http.MethodPost && file != "":
		w.Header().Set("Allow", "GET, HEAD")
		show(w, http.StatusMethodNotAllowed, onlyShows)
	case r.Method == http.MethodPost:
		v.answer(r.Context())
	case file != "":
		v.serve(r.Context(), file)
	default:
		v.show()
	}
}

// setHeaders sets what every answer has: nothing is cached, framed, indexed or
// told to other sites.
func setHeaders(h http.Header) {
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", contentSecurityPolicy)
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Strict-Transport-Security", "max-age=31536000")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("X-Robots-Tag", "noindex, nofollow")
}

// parsePath finds the link, and the name of a download behind it. Something may
// stand before /a/ where the page has a base of its own.
func parsePath(path string) (link, file string) {
	i := strings.LastIndex(path, "/a/")
	if i < 0 {
		return "", ""
	}
	link, file, found := strings.Cut(path[i+len("/a/"):], "/")
	if found && file == "" {
		return "", "" // the form would go to another address
	}
	return link, file
}

func (p *Page) tooMany(w http.ResponseWriter) {
	w.Header().Set("Retry-After", "60")
	show(w, http.StatusTooManyRequests, tooMany)
}

// visit is one request with a link that is authentic.
type visit struct {
	page     *Page
	w        http.ResponseWriter
	r        *http.Request
	link     string
	claim    approval.Claim
	sealer   *approval.Sealer
	progress paused.Progress
	now      time.Time
}

// asked is the request that this link may answer now, or nil. A plan may be
// called off by every link of those who upload: who planned still has the page
// open whose link has been used.
func (v *visit) asked() *rotation.RequestUploadInput {
	in := v.progress.Asking
	switch {
	case in == nil || v.progress.Result != "":
		return nil
	case in.TaskToken == v.claim.TaskToken:
		return in
	case in.Stage == rotation.StagePlanned && v.claim.Stage != rotation.StageCertificate:
		return in
	}
	return nil
}

func (v *visit) show() {
	if in := v.asked(); in != nil {
		show(v.w, http.StatusOK, v.form(*in))
		return
	}
	show(v.w, http.StatusGone, over(v.claim, v.progress, v.now))
}

func (v *visit) form(in rotation.RequestUploadInput) ask {
	a := ask{
		In: in, Since: v.progress.Since, Now: v.now, Approver: v.claim.Approver,
		OrgHost: strings.TrimPrefix(strings.TrimPrefix(v.page.OrgURL, "https://"), "http://"), AdminURL: approval.AdminURL(v.page.OrgURL, in.Target),
		Action: v.link, Files: v.link + "/", Form: v.sealer.FormToken(v.link, in.TaskToken, v.now),
	}
	if in.Stage == rotation.StageUpload && !a.afterSwitch() {
		a.PlanFrom, a.PlanUntil = planBounds(in, v.now)
	}
	return a
}

// answer takes what the form says. Every way out but the last two decides
// nothing, and says so.
func (v *visit) answer(ctx context.Context) {
	want := "application/x-www-form-urlencoded"
	if v.claim.Stage == rotation.StageCertificate {
		want = "multipart/form-data" // it brings a file
	}
	if kind, _, err := mime.ParseMediaType(v.r.Header.Get("Content-Type")); err != nil || kind != want {
		show(v.w, http.StatusUnsupportedMediaType, notOurForm)
		return
	}
	if err := v.page.foreign.Check(withoutNullOrigin(v.r)); err != nil {
		show(v.w, http.StatusForbidden, notOurForm)
		return
	}
	in := v.asked()
	if in == nil {
		show(v.w, http.StatusConflict, over(v.claim, v.progress, v.now))
		return
	}
	form := v.form(*in)
	fields, file, err := v.read()
	form.read(fields)
	again := func(status int, problem string) {
		form.Problem = problem + " Nothing was decided."
		show(v.w, status, form)
	}
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge) && form.toSign():
		again(http.StatusRequestEntityTooLarge, "What you sent is too large: 64 KB can be taken, and a certificate with its chain has less than 10. Please bring the certificate alone, with the certificates of its CAs if you have them.")
		return
	case errors.As(err, &tooLarge):
		again(http.StatusRequestEntityTooLarge, "Your answer was too long. Please shorten the comment.")
		return
	case err != nil:
		again(http.StatusBadRequest, "The form could not be read. Please send it again.")
		return
	}
	current := v.sealer.CheckForm(fields.Get(fieldForm), v.link, in.TaskToken, v.now)
	if in.Stage == rotation.StagePlanned && (!current || fields.Get(fieldDecision) != decideCallOff) {
		// The page had been opened before somebody planned the switch, or
		// planned it anew.
		again(http.StatusConflict, meanwhile(*in))
		return
	}
	if !current {
		again(http.StatusForbidden, "This page had been open for a long time, or the answer did not come from it. Please answer again.")
		return
	}
	d, problem := form.decision(fields.Get(fieldDecision), v.now)
	if problem != "" {
		again(http.StatusUnprocessableEntity, problem)
		return
	}
	if d.Confirmed && form.toSign() && !v.takes(ctx, &form, &d, file, again) {
		return
	}
	d.Address = v.r.RemoteAddr
	v.decide(ctx, *in, form, d)
}

// read reads the form and, where there is one, the file that came with it. What
// could be read before an error is given as well.
func (v *visit) read() (fields url.Values, file []byte, err error) {
	if v.claim.Stage == rotation.StageCertificate {
		v.r.Body = http.MaxBytesReader(v.w, v.r.Body, maxUpload)
		return readParts(v.r)
	}
	v.r.Body = http.MaxBytesReader(v.w, v.r.Body, maxBody)
	err = v.r.ParseForm()
	return v.r.PostForm, nil, err
}

// takes puts the certificate that was brought into the decision, if it is what
// was asked for. If not, it says so on the page, and nothing is decided.
func (v *visit) takes(ctx context.Context, form *ask, d *rotation.Decision, file []byte, again func(int, string)) bool {
	answer, problem := form.brought(file)
	if problem != "" {
		again(http.StatusUnprocessableEntity, problem)
		return false
	}
	certificate, err := form.check(ctx, answer)
	if err == nil {
		d.Certificate = certificate
		return true
	}
	form.Refused = form.refuse(err, answer)
	if form.Refused.Ours {
		v.page.Log.Error("certificate not checked", "target", form.In.Target.String(), "error", rotation.NameOf(err), "message", err.Error())
		show(v.w, http.StatusServiceUnavailable, *form)
		return false
	}
	v.page.Log.Info("certificate refused", "target", form.In.Target.String(), "error", rotation.NameOf(err))
	show(v.w, http.StatusUnprocessableEntity, *form)
	return false
}

func (v *visit) decide(ctx context.Context, in rotation.RequestUploadInput, form ask, d rotation.Decision) {
	p := v.page
	err := p.Decider.Decide(ctx, in.TaskToken, d)
	switch {
	case errors.Is(err, paused.ErrAnswered):
		// Somebody was faster: say who, if that can be found out. It may have
		// been this very answer, which was sent again because Step Functions'
		// first word about it was lost. What the history shows may be a moment
		// old.
		if progress, err := p.Rotations.Progress(ctx, v.claim.Execution); err == nil {
			v.progress = progress
		}
		if v.progress.Last != nil && same(*v.progress.Last, d) {
			show(v.w, http.StatusOK, thanks(form, d))
			return
		}
		if v.progress.Asking != nil && v.progress.Asking.TaskToken == in.TaskToken {
			v.progress.Asking, v.progress.Taken = nil, true
		}
		show(v.w, http.StatusConflict, over(v.claim, v.progress, v.now))
	case rotation.NameOf(err) == "StepFunctions.Throttled":
		p.Log.Error("decision not passed on", "target", in.Target.String(), "error", rotation.NameOf(err), "message", err.Error())
		p.tooMany(v.w)
	case err != nil:
		p.Log.Error("decision not passed on", "target", in.Target.String(), "error", rotation.NameOf(err), "message", err.Error())
		show(v.w, http.StatusServiceUnavailable, notTold)
	default:
		p.Log.Info("decided", "target", in.Target.String(), "stage", string(in.Stage), "confirmed", d.Confirmed, "planned", d.SwitchAt != nil, "calledOff", d.CalledOff)
		show(v.w, http.StatusOK, thanks(form, d))
	}
}

// same tells whether two decisions are one.
func same(a, b rotation.Decision) bool {
	at := func(t *time.Time) int64 {
		if t == nil {
			return 0
		}
		return t.Unix()
	}
	return a.By == b.By && a.Named == b.Named && a.At.Equal(b.At) && a.Comment == b.Comment && a.Address == b.Address &&
		a.Confirmed == b.Confirmed && a.CalledOff == b.CalledOff && a.Certificate == b.Certificate && at(a.SwitchAt) == at(b.SwitchAt)
}

// withoutNullOrigin is a request without the Origin "null", where nothing else
// tells where it comes from: with the page's own no-referrer, browsers before
// 2023 send it for the page's own form. What stands guard there is the form's
// token, which another site's page does not have.
func withoutNullOrigin(r *http.Request) *http.Request {
	if r.Header.Get("Sec-Fetch-Site") != "" || r.Header.Get("Origin") != "null" {
		return r
	}
	clone := r.Clone(r.Context())
	clone.Header.Del("Origin")
	return clone
}

// renderer is a page that can be shown: an ask or a note.
type renderer interface{ render() g.Node }

func show(w http.ResponseWriter, status int, content renderer) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	// The status is sent: an error while writing cannot be reported to anybody.
	_ = content.render().Render(w)
}
