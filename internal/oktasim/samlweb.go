package oktasim

import (
	"bytes"
	"compress/flate"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"strings"
)

// signedIn is who every browser is signed in as at the simulated org: it has no
// sign-in page.
const signedIn = "user@example.com"

// handleSignIns adds where a browser comes to sign in: the addresses that the
// metadata names. A partner's page may send it there.
func (o *Org) handleSignIns(mux *http.ServeMux, protection *http.CrossOriginProtection) {
	const app, acs = "/app/{name}/{key}/sso/saml", "/sso/saml2/{id}"
	mux.HandleFunc("GET "+app, o.signInToApp)
	mux.HandleFunc("POST "+app, o.signInToApp)
	mux.HandleFunc("GET "+acs, o.startAtIDP)
	mux.HandleFunc("POST "+acs, o.acceptFromIDP)
	protection.AddInsecureBypassPattern("POST " + app)
	protection.AddInsecureBypassPattern("POST " + acs)
}

// passage is a form that a browser takes to the other side.
type passage struct {
	Title, Action, Name, Message, RelayState string
}

// signInToApp answers a request of an app, or starts a sign-in where there is
// none.
func (o *Org) signInToApp(w http.ResponseWriter, r *http.Request) {
	id, base := o.appBySSO(r)
	s, err := o.signing(KindApp, id, base)
	if err != nil {
		signInFailed(w, err)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	request, err := message(r, "SAMLRequest")
	if err != nil {
		signInFailed(w, refuse(http.StatusBadRequest, "SAMLRequest: %v", err))
		return
	}
	response, err := s.response(signedIn, request)
	if err != nil {
		signInFailed(w, err)
		return
	}
	render(w, "passage", passage{"Signing in to " + s.field("label"), s.field("settings", "signOn", "ssoAcsUrl"),
		"SAMLResponse", base64.StdEncoding.EncodeToString(response), r.FormValue("RelayState")})
}

// appBySSO is the app whose address a browser has come to; its id is as the
// address has it where there is none.
func (o *Org) appBySSO(r *http.Request) (id, base string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	base = o.baseOf(r)
	for _, t := range o.targets[KindApp] {
		if !t.deleted && externalKey(t.id) == r.PathValue("key") && t.facts().name == r.PathValue("name") {
			return t.id, base
		}
	}
	return r.PathValue("key"), base
}

// message is the XML that a browser brings: deflated in a query, as it is in a
// form; nil when there is none.
func message(r *http.Request, field string) ([]byte, error) {
	if err := r.ParseForm(); err != nil {
		return nil, err
	}
	if r.Form.Get(field) == "" {
		return nil, nil
	}
	text, err := base64.StdEncoding.DecodeString(r.Form.Get(field))
	if err != nil || r.Method == http.MethodPost {
		return text, err
	}
	return io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(text)), maxBody))
}

// startAtIDP sends a browser to an IdP.
func (o *Org) startAtIDP(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	base := o.baseOf(r)
	o.mu.Unlock()
	request, err := o.authnRequest(r.Context(), r.PathValue("id"), base)
	switch {
	case err != nil:
		signInFailed(w, err)
	case request.Method == http.MethodGet:
		http.Redirect(w, r, request.URL.String(), http.StatusFound)
	default:
		_ = request.ParseForm() // the org has just written it
		render(w, "passage", passage{Title: "Signing in elsewhere", Action: request.URL.String(), Name: "SAMLRequest", Message: request.PostForm.Get("SAMLRequest")})
	}
}

// acceptFromIDP is the assertion consumer service.
func (o *Org) acceptFromIDP(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	base := o.baseOf(r)
	o.mu.Unlock()
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	user, err := o.accept(r.PathValue("id"), base, strings.Join(strings.Fields(r.PostFormValue("SAMLResponse")), ""))
	if err != nil {
		signInFailed(w, err)
		return
	}
	render(w, "signed-in", user)
}

func signInFailed(w http.ResponseWriter, err error) {
	status := http.StatusInternalServerError
	var refused *SignInError
	if errors.As(err, &refused) {
		status = refused.Status
	}
	http.Error(w, err.Error(), status)
}
