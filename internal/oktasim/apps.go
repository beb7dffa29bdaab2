package oktasim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/tidwall/sjson"
)

// AppSpec says what AddApp adds. Only Label is needed; the rest defaults to an
// active custom SAML app with a key of its own.
type AppSpec struct {
	ID         string // default: a new one
	Label      string
	Name       string // default: example_customsaml_{n}, as Okta names custom apps; without SAML, its template's
	SignOnMode string // default: SAML_2_0
	Status     string // default: ACTIVE
	Created    time.Time
	// Key is the active key; several apps may share one. Default for a SAML
	// app: NewKey, created with the app. Apps without SAML have none.
	Key *Key
	// Keys are further keys that are not active.
	Keys []*Key
	// Raw is a JSON object that is merged into the document verbatim: its
	// values keep their bytes, objects merge into objects at any depth,
	// everything else replaces.
	Raw string
	// CompleteSignOn models the catalog apps of okta-sdk-golang #222: a PUT
	// whose settings.signOn lacks a member that the app has is answered 500.
	CompleteSignOn bool
}

// signOnModes of the API spec.
var signOnModes = []string{
	"AUTO_LOGIN", "BASIC_AUTH", "BOOKMARK", "BROWSER_PLUGIN", "OPENID_CONNECT",
	"SAML_1_1", "SAML_2_0", "SECURE_PASSWORD_STORE", "WS_FEDERATION",
}

// templateNames are the names that the API spec has for apps of these modes.
var templateNames = map[string]string{
	"BASIC_AUTH": "template_basic_auth", "BOOKMARK": "bookmark", "BROWSER_PLUGIN": "template_swa", "OPENID_CONNECT": "oidc_client",
	"SECURE_PASSWORD_STORE": "template_sps", "WS_FEDERATION": "template_wsfed",
}

// AddApp adds an app and returns its id.
func (o *Org) AddApp(spec AppSpec) (id string) {
	now := o.now()
	o.mu.Lock()
	defer o.mu.Unlock()
	if spec.ID == "" {
		spec.ID = o.newID("0oa")
	}
	if spec.SignOnMode == "" {
		spec.SignOnMode = "SAML_2_0"
	}
	if spec.Name == "" {
		spec.Name = templateNames[spec.SignOnMode]
	}
	if spec.Name == "" {
		spec.Name = fmt.Sprintf("example_customsaml_%d", len(o.targets[KindApp])+1)
	}
	if spec.Status == "" {
		spec.Status = "ACTIVE"
	}
	if spec.Created.IsZero() {
		spec.Created = now.AddDate(-1, 0, 0)
	}
	t := &target{kind: KindApp, id: spec.ID, completeSignOn: spec.CompleteSignOn}
	t.doc = appDocument(&spec)
	if spec.Key == nil && t.isSAML() {
		spec.Key = NewKey(KeySpec{Created: spec.Created})
	}
	if spec.Key != nil {
		t.keys = append(t.keys, spec.Key)
		t.doc = setPath(t.doc, quote(spec.Key.Kid), t.kidPath()...)
	}
	t.keys = append(t.keys, spec.Keys...)
	o.add(t, spec.Raw)
	return spec.ID
}

// add merges the raw members and puts the target into the org.
func (o *Org) add(t *target, raw string) {
	if raw != "" {
		if err := checkObject([]byte(raw)); err != nil {
			panic(fmt.Sprintf("oktasim: raw members of %s %s: %v", t.kind, t.id, err))
		}
		t.doc = merge(t.doc, []byte(raw))
	}
	t.doc = removeMember(t.doc, "_links")
	if err := checkObject(t.doc); err != nil {
		panic(fmt.Sprintf("oktasim: document of %s %s: %v", t.kind, t.id, err))
	}
	if o.find(t.kind, t.id) != nil {
		panic(fmt.Sprintf("oktasim: %s %s exists already", t.kind, t.id))
	}
	o.targets[t.kind] = append(o.targets[t.kind], t)
	o.byID[t.kind+"/"+t.id] = t
}

// appDocument follows the order and the fields of the API spec's examples.
func appDocument(spec *AppSpec) []byte {
	settings := `{"app":{},"notifications":{"vpn":{"network":{"connection":"DISABLED"},"message":null,"helpUrl":null}},` +
		`"manualProvisioning":false,"implicitAssignment":false,"notes":{"admin":null,"enduser":null},"emOptInStatus":"DISABLED"}`
	credentials := `{"userNameTemplate":{"template":"${source.login}","type":"BUILT_IN"},"signing":{}}`
	switch spec.SignOnMode {
	case "SAML_2_0", "SAML_1_1":
		site := "https://" + strings.ReplaceAll(spec.Name, "_", "-") + ".example.com"
		settings = string(setMember([]byte(settings), "signOn", []byte(`{"defaultRelayState":null,"ssoAcsUrl":"`+site+`/saml/acs",`+
			`"idpIssuer":"http://www.okta.com/${org.externalKey}","audience":"`+site+`","recipient":"`+site+`/saml/acs","destination":"`+site+`/saml/acs",`+
			`"subjectNameIdTemplate":"${user.userName}","subjectNameIdFormat":"urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress",`+
			`"responseSigned":true,"assertionSigned":true,"signatureAlgorithm":"RSA_SHA256","digestAlgorithm":"SHA256","honorForceAuthn":true,`+
			`"authnContextClassRef":"urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport","slo":{"enabled":false},`+
			`"requestCompressed":false,"allowMultipleAcsEndpoints":false,"acsEndpoints":[],"samlSignedRequestEnabled":false,`+
			`"attributeStatements":[],"inlineHooks":[]}`)))
	case "WS_FEDERATION":
	case "OPENID_CONNECT":
		credentials = `{"userNameTemplate":{"template":"${source.login}","type":"BUILT_IN"},"signing":{},` +
			`"oauthClient":{"autoKeyRotation":true,"client_id":"` + spec.ID + `","token_endpoint_auth_method":"client_secret_basic"}}`
	default:
		credentials = `{"scheme":"EDIT_USERNAME_AND_PASSWORD","userNameTemplate":{"template":"${source.login}","type":"BUILT_IN"},"revealPassword":false,"signing":{}}`
	}
	doc := []byte("{}")
	for _, m := range []struct {
		name string
		raw  []byte
	}{
		{"id", quote(spec.ID)},
		{"orn", quote("orn:okta:idp:00o1n8sbwArJ7OQRw406:apps:" + spec.Name + ":" + spec.ID)},
		{"name", quote(spec.Name)},
		{"label", quote(spec.Label)},
		{"status", quote(spec.Status)},
		{"lastUpdated", quote(stamp(spec.Created))},
		{"created", quote(stamp(spec.Created))},
		{"accessibility", []byte(`{"selfService":false,"errorRedirectUrl":null,"loginRedirectUrl":null}`)},
		{"visibility", []byte(`{"autoLaunch":false,"autoSubmitToolbar":false,"hide":{"iOS":false,"web":false},"appLinks":{` + string(quote(spec.Name+"_link")) + `:true}}`)},
		{"features", []byte(`[]`)},
		{"signOnMode", quote(spec.SignOnMode)},
		{"credentials", []byte(credentials)},
		{"settings", []byte(settings)},
	} {
		doc = setMember(doc, m.name, m.raw)
	}
	return doc
}

// edit sets the raw value at an sjson path. It keeps the rest of the document.
func (t *target) edit(path string, raw []byte, now time.Time) error {
	if !json.Valid(raw) {
		return fmt.Errorf("value at %s is not JSON", path)
	}
	if path == "_links" || strings.HasPrefix(path, "_links.") {
		return fmt.Errorf("%s: links are made when the document is served", path)
	}
	old := t.activeKid()
	doc, err := sjson.SetRawBytes(t.doc, path, raw)
	if err != nil {
		return fmt.Errorf("path %q: %w", path, err)
	}
	if err := checkObject(doc); err != nil {
		return fmt.Errorf("path %q leaves no document: %w", path, err)
	}
	t.doc = removeMember(doc, "_links")
	t.switched(old, now)
	return nil
}

// filterExpression: one eq on one of four properties. The API spec also names
// settings.slo.enabled; nothing here filters by it.
var filterExpression = regexp.MustCompile(`^\s*(id|status|name|credentials\.signing\.kid)\s+eq\s+"([^"\\]*)"\s*$`)

// listApps: listApplications. There is no filter by signOnMode.
func (o *Org) listApps(c *call) (*answer, error) {
	matches, err := appFilter(c.query.Get("filter"), c.query.Has("filter"))
	if err != nil {
		return nil, err
	}
	if c.query.Get("limit") == "-1" { // the spec's default: the server's choice
		c.query.Del("limit")
	}
	inactive := c.query.Get("includeNonDeleted")
	if inactive != "" && inactive != "true" && inactive != "false" {
		return nil, invalid("includeNonDeleted", "includeNonDeleted: must be true or false")
	}
	q := strings.ToLower(c.query.Get("q"))
	apps := o.targets[KindApp]
	return o.page(c, defaultPage, len(apps), func(i int) []byte {
		t := apps[i]
		if t.deleted || inactive != "true" && o.active && t.facts().status != "ACTIVE" {
			return nil
		}
		if q != "" && !startsWith(t.facts().name, q) && !startsWith(t.facts().label, q) {
			return nil
		}
		if !matches(t) {
			return nil
		}
		return t.serve(c.base)
	})
}

func startsWith(s, lower string) bool { return strings.HasPrefix(strings.ToLower(s), lower) }

func appFilter(expression string, given bool) (func(*target) bool, error) {
	if !given {
		return func(*target) bool { return true }, nil
	}
	parts := filterExpression.FindStringSubmatch(expression)
	if parts == nil {
		return nil, invalid("filter", "Invalid search criteria: "+expression)
	}
	property := map[string]func(*target) string{
		"id":                      func(t *target) string { return t.id },
		"status":                  func(t *target) string { return t.facts().status },
		"name":                    func(t *target) string { return t.facts().name },
		"credentials.signing.kid": func(t *target) string { return t.facts().kid },
	}[parts[1]]
	return func(t *target) bool { return property(t) == parts[2] }, nil
}

// ignoredInAppPut are system-assigned ("You can't modify system-assigned
// properties … The values for these properties in the PUT request body are
// ignored", API spec, replaceApplication) or read-only in the schema. features
// is among them: provisioning lost in a drift does not come back by PUT.
var ignoredInAppPut = []string{
	"id", "name", "status", "created", "lastUpdated", "features", "orn", "universalLogout", "_embedded", "_links",
}

// writableInApp are the top-level members of the schema that a PUT may add.
var writableInApp = []string{
	"accessibility", "credentials", "expressConfiguration", "label", "licensing", "profile", "settings", "signOnMode", "visibility",
}

// replaceApp: replaceApplication (Okta guide, step 5).
//
// What the body leaves out at the top level stays as it is, byte for byte: the
// guide's minimal body (name, label, signOnMode, credentials.signing.kid)
// changes the kid and nothing else. What the body gives replaces the member as
// a whole, so a body built from typed structs loses what they do not know
// (terraform-provider-okta #655, #710); only credentials are merged, because
// the spec allows to give just the signing part.
func (o *Org) replaceApp(c *call) (*answer, error) {
	t, err := c.target(o)
	if err != nil {
		return nil, err
	}
	if err := t.checkAppPut(c.body); err != nil {
		return nil, err
	}
	old, doc := t.activeKid(), t.doc
	for _, m := range members(c.body) {
		value := c.body[m.value:m.end]
		present := lookup(doc, m.name)
		switch {
		case slices.Contains(ignoredInAppPut, m.name):
		case m.name == "credentials" && isObject(present):
			doc = setMember(doc, m.name, merge(present, value))
		case present != nil || slices.Contains(writableInApp, m.name):
			doc = setMember(doc, m.name, value)
		}
	}
	// An org with key rotation shows when the key was last changed
	// (ApplicationCredentialsSigning.lastRotated in Okta's API spec).
	if lookup(doc, "credentials", "signing", "lastRotated") != nil && !bytes.Equal(lookup(doc, "credentials", "signing", "kid"), lookup(t.doc, "credentials", "signing", "kid")) {
		doc = setPath(doc, quote(stamp(c.now)), "credentials", "signing", "lastRotated")
	}
	t.doc = setMember(doc, "lastUpdated", quote(stamp(c.now)))
	t.switched(old, o.now())
	reply := jsonAnswer(http.StatusOK, t.serve(c.base))
	t.drift(o.now())
	return reply, nil
}

func (t *target) checkAppPut(body []byte) error {
	label, ok := asString(lookup(body, "label"))
	if !ok || strings.TrimSpace(label) == "" {
		return invalid("label", "label: The field cannot be left blank")
	}
	mode, ok := asString(lookup(body, "signOnMode"))
	if !ok || !slices.Contains(signOnModes, mode) {
		return invalid("signOnMode", "signOnMode: The field cannot be left blank or has an unknown value")
	}
	if mode != lookupString(t.doc, "signOnMode") {
		return invalid("signOnMode", "signOnMode: The sign-on mode of an app cannot be changed")
	}
	// Stricter: the guide's step 5 names it, the schema does not require it,
	// and the spec says that a value is ignored.
	if name, ok := asString(lookup(body, "name")); !ok || name != lookupString(t.doc, "name") {
		return invalid("name", "name: The field must be the name of the app")
	}
	for _, name := range []string{"accessibility", "credentials", "licensing", "profile", "settings", "visibility"} {
		if raw := lookup(body, name); raw != nil && !isObject(raw) {
			return invalid(name, name+": The field must be an object")
		}
	}
	if t.completeSignOn {
		if given := lookup(body, "settings"); given != nil {
			signOn := lookup(given, "signOn")
			for _, m := range members(lookup(t.doc, "settings", "signOn")) {
				if lookup(signOn, m.name) == nil {
					return internalError()
				}
			}
		}
	}
	if signing := lookup(body, "credentials", "signing"); signing != nil {
		if !isObject(signing) {
			return invalid("credentials.signing", "credentials.signing: The field must be an object")
		}
		if raw := lookup(signing, "kid"); raw != nil {
			if kid, ok := asString(raw); !ok || t.key(kid) == nil {
				return invalid("credentials.signing.kid", "credentials.signing.kid: The key is not one of this app's keys")
			}
		}
	}
	return nil
}
