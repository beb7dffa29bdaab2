package oktasim

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// createApp: createApplication. Stricter: only a custom SAML 2.0 app can be
// made, which has no name of its own (the API spec's example Saml2.0Ex); apps
// of Okta's catalog and other sign-on modes are refused.
func (o *Org) createApp(c *call) (*answer, error) {
	if err := checkNewApp(c.body); err != nil {
		return nil, err
	}
	spec := AppSpec{ID: o.newID("0oa"), SignOnMode: "SAML_2_0", Status: "ACTIVE", Created: c.now, Label: lookupString(c.body, "label")}
	switch activate := c.query.Get("activate"); activate {
	case "", "true":
	case "false":
		spec.Status = "INACTIVE"
	default:
		return nil, invalid("activate", "activate: must be true or false")
	}
	spec.Name = "example_" + strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, strings.ToLower(spec.Label)) + "_" + strconv.Itoa(len(o.targets[KindApp])+1)
	t := &target{kind: KindApp, id: spec.ID}
	t.doc = appDocument(&spec)
	for _, m := range members(c.body) {
		if slices.Contains(writableInApp, m.name) {
			t.doc = merge(t.doc, setMember([]byte("{}"), m.name, c.body[m.value:m.end]))
		}
	}
	key := NewKey(KeySpec{Created: c.now})
	t.keys = []*Key{key}
	t.doc = setPath(t.doc, quote(key.Kid), t.kidPath()...)
	o.add(t, "")
	return jsonAnswer(http.StatusOK, t.serve(c.base)), nil
}

// checkNewApp wants what makes an app work. The API spec requires signOnMode
// and label; the rest is what the admin console asks for.
func checkNewApp(body []byte) error {
	if strings.TrimSpace(lookupString(body, "label")) == "" {
		return invalid("label", "label: The field cannot be left blank")
	}
	if mode := lookupString(body, "signOnMode"); mode != "SAML_2_0" {
		return invalid("signOnMode", "signOnMode: Only custom apps with SAML_2_0 can be made here")
	}
	if lookup(body, "name") != nil {
		return invalid("name", "name: There is no such app in the catalog; leave it out for a custom app")
	}
	signOn := lookup(body, "settings", "signOn")
	for _, name := range []string{
		"ssoAcsUrl", "recipient", "destination", "audience", "idpIssuer", "subjectNameIdTemplate", "subjectNameIdFormat",
		"signatureAlgorithm", "digestAlgorithm", "authnContextClassRef",
	} {
		if lookupString(signOn, name) == "" {
			return invalid("settings.signOn."+name, "settings.signOn."+name+": The field cannot be left blank")
		}
	}
	for _, name := range []string{"responseSigned", "assertionSigned", "honorForceAuthn", "requestCompressed", "allowMultipleAcsEndpoints"} {
		if text := string(lookup(signOn, name)); text != "true" && text != "false" {
			return invalid("settings.signOn."+name, "settings.signOn."+name+": The field must be true or false")
		}
	}
	for _, name := range []string{"accessibility", "credentials", "licensing", "profile", "visibility"} {
		if raw := lookup(body, name); raw != nil && !isObject(raw) {
			return invalid(name, name+": The field must be an object")
		}
	}
	if lookup(body, "credentials", "signing") != nil {
		return invalid("credentials.signing", "credentials.signing: A new app has a key of its own")
	}
	return nil
}

// deactivateApp: deactivateApplication. An app that is inactive already stays
// so.
func (o *Org) deactivateApp(c *call) (*answer, error) {
	t, err := c.target(o)
	if err != nil {
		return nil, err
	}
	if t.facts().status == "ACTIVE" {
		t.doc = setMember(t.doc, "status", quote("INACTIVE"))
		t.doc = setMember(t.doc, "lastUpdated", quote(stamp(c.now)))
	}
	return jsonAnswer(http.StatusOK, []byte("{}")), nil
}

// deleteApp: deleteApplication, "deletes an inactive application". What an
// active one answers is not documented there; E0000056 is made for it.
func (o *Org) deleteApp(c *call) (*answer, error) {
	t, err := c.target(o)
	if err != nil {
		return nil, err
	}
	if t.facts().status == "ACTIVE" {
		return nil, deleteForbidden()
	}
	t.deleted = true
	delete(o.byID, KindApp+"/"+t.id)
	return &answer{status: http.StatusNoContent}, nil
}
