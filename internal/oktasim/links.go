package oktasim

import (
	"bytes"
	"strings"
)

// serve writes the document with its links, as GET does.
func (t *target) serve(base string) []byte {
	end := bytes.LastIndexByte(t.doc, '}') // a document has members, and none of them is _links
	return splice(t.doc, end, end, append([]byte(`,"_links":`), t.links(base)...))
}

func (t *target) links(base string) []byte {
	type hints struct {
		Allow []string `json:"allow"`
	}
	type link struct {
		Name  string `json:"name,omitempty"`
		Href  string `json:"href"`
		Type  string `json:"type,omitempty"`
		Hints *hints `json:"hints,omitempty"`
	}
	allow := func(methods ...string) *hints { return &hints{methods} }
	toggle := "deactivate"
	if t.facts().status != "ACTIVE" {
		toggle = "activate"
	}
	collection := "/api/v1/apps/"
	if t.kind == KindIDP {
		collection = "/api/v1/idps/"
	}
	self := base + collection + t.id
	links := map[string]any{
		"self":  link{Href: self},
		"users": link{Href: self + "/users", Hints: allow("GET")},
		toggle:  link{Href: self + "/lifecycle/" + toggle, Hints: allow("POST")},
	}
	switch {
	case t.kind == KindApp:
		links["groups"] = link{Href: self + "/groups"}
		links["logo"] = []link{{Name: "medium", Href: base + "/assets/img/logos/default.png", Type: "image/png"}}
		if t.isSAML() {
			links["metadata"] = link{Href: self + "/sso/saml/metadata", Type: "application/xml"}
			links["help"] = link{Href: base + "/app/" + t.facts().name + "/" + externalKey(t.id) + "/setup/help/SAML_2_0/instructions", Type: "text/html"}
		}
	case t.isSAML():
		links["metadata"] = link{Href: self + "/metadata.xml", Type: "application/xml", Hints: allow("GET")}
		links["acs"] = link{Href: base + "/sso/saml2/" + t.id, Type: "application/xml", Hints: allow("POST")}
	}
	return encode(links)
}

// externalKey is the id that an app's SAML URLs and issuer carry.
func externalKey(id string) string { return "exk" + strings.TrimPrefix(id, "0oa") }
