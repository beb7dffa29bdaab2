package oktasim

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/beevik/etree"
)

// appIssuer is the entity ID of the org as an app's IdP.
func appIssuer(doc []byte, id string) string {
	key := externalKey(id)
	if issuer := strings.ReplaceAll(lookupString(doc, "settings", "signOn", "idpIssuer"), "${org.externalKey}", key); issuer != "" {
		return issuer
	}
	return "http://www.okta.com/" + key
}

// appSSO is where an app sends its users.
func appSSO(doc []byte, id, base string) string {
	return base + "/app/" + lookupString(doc, "name") + "/" + externalKey(id) + "/sso/saml"
}

// SignIn signs a user in to an app, as the org does for a browser that it knows:
// it gives the XML of the SAML response, signed with the app's active key of
// this moment. request is the XML of the app's AuthnRequest; nil is a sign-in
// that starts at the org. The error is a SignInError.
func (o *Org) SignIn(appID, user string, request []byte) ([]byte, error) {
	s, err := o.signing(KindApp, appID, "")
	if err != nil {
		return nil, err
	}
	return s.response(user, request)
}

func (s *signing) response(user string, request []byte) ([]byte, error) {
	signOn := func(name string) string { return s.field("settings", "signOn", name) }
	for _, name := range []string{"samlSignedRequestEnabled", "requestCompressed"} {
		if s.is("settings", "signOn", name) {
			return nil, refuse(http.StatusNotImplemented, "settings.signOn.%s of app %s is not simulated", name, s.id)
		}
	}
	if enabled := lookup(s.doc, "settings", "signOn", "assertionEncryption", "enabled"); string(enabled) == "true" {
		return nil, refuse(http.StatusNotImplemented, "settings.signOn.assertionEncryption of app %s is not simulated", s.id)
	}
	algorithms := signOn("signatureAlgorithm") + " " + signOn("digestAlgorithm")
	method := signatureMethods[algorithms]
	if method == "" {
		return nil, refuse(http.StatusNotImplemented, "the algorithms of app %s, %s, are not simulated", s.id, algorithms)
	}
	inResponseTo, err := s.authnRequest(request)
	if err != nil {
		return nil, err
	}

	root := &etree.Element{Space: "saml2p", Tag: "Response"}
	for _, a := range [][2]string{
		{"xmlns:saml2p", nsProtocol}, {"Destination", signOn("destination")}, {"ID", messageID()}, {"InResponseTo", inResponseTo},
		{"IssueInstant", stamp(s.now)}, {"Version", "2.0"},
	} {
		if a[1] != "" {
			root.CreateAttr(a[0], a[1])
		}
	}
	issuer := appIssuer(s.doc, s.id)
	element(root, "saml2:Issuer", issuer, "xmlns:saml2", nsAssertion, "Format", formatEntity)
	element(element(root, "saml2p:Status", ""), "saml2p:StatusCode", "", "Value", statusSuccess)
	assertion := s.assertion(user, issuer, inResponseTo)
	// The spec of SamlApplicationSettingsSignOn: at least one of the two is true.
	signed := 0
	if s.is("settings", "signOn", "assertionSigned") {
		signed++
		if err := sign(assertion, s.key, method); err != nil {
			return nil, fmt.Errorf("oktasim: assertion for app %s: %w", s.id, err)
		}
	}
	root.AddChild(assertion)
	if s.is("settings", "signOn", "responseSigned") {
		signed++
		if err := sign(root, s.key, method); err != nil {
			return nil, fmt.Errorf("oktasim: response for app %s: %w", s.id, err)
		}
	}
	if signed == 0 {
		return nil, refuse(http.StatusInternalServerError, "app %s has neither responseSigned nor assertionSigned", s.id)
	}
	return document(root)
}

func (s *signing) assertion(user, issuer, inResponseTo string) *etree.Element {
	signOn := func(name string) string { return s.field("settings", "signOn", name) }
	until := stamp(s.now.Add(assertionLife))
	el := &etree.Element{Space: "saml2", Tag: "Assertion"}
	id := messageID()
	for _, a := range [][2]string{{"xmlns:saml2", nsAssertion}, {"ID", id}, {"IssueInstant", stamp(s.now)}, {"Version", "2.0"}} {
		el.CreateAttr(a[0], a[1])
	}
	element(el, "saml2:Issuer", issuer, "Format", formatEntity)
	subject := element(el, "saml2:Subject", "")
	element(subject, "saml2:NameID", user, "Format", signOn("subjectNameIdFormat"))
	confirmation := element(subject, "saml2:SubjectConfirmation", "", "Method", methodBearer)
	data := element(confirmation, "saml2:SubjectConfirmationData", "")
	if inResponseTo != "" {
		data.CreateAttr("InResponseTo", inResponseTo)
	}
	data.CreateAttr("NotOnOrAfter", until)
	data.CreateAttr("Recipient", signOn("recipient"))
	conditions := element(el, "saml2:Conditions", "", "NotBefore", stamp(s.now.Add(-assertionLife)), "NotOnOrAfter", until)
	element(element(conditions, "saml2:AudienceRestriction", ""), "saml2:Audience", signOn("audience"))
	authentication := element(el, "saml2:AuthnStatement", "", "AuthnInstant", stamp(s.now), "SessionIndex", id)
	element(element(authentication, "saml2:AuthnContext", ""), "saml2:AuthnContextClassRef", signOn("authnContextClassRef"))
	s.attributes(el, user)
	return el
}

// attributes are those whose expression is the user's login or address. The org
// has no profiles and no groups: other statements give no attribute, as a group
// filter does that nothing matches.
func (s *signing) attributes(assertion *etree.Element, user string) {
	var statement *etree.Element
	for _, a := range elements(lookup(s.doc, "settings", "signOn", "attributeStatements")) {
		for _, value := range elements(lookup(a, "values")) {
			expression, _ := asString(value)
			if lookupString(a, "type") != "EXPRESSION" || expression != "user.email" && expression != "user.login" {
				continue
			}
			if statement == nil {
				statement = element(assertion, "saml2:AttributeStatement", "")
			}
			attribute := element(statement, "saml2:Attribute", "", "Name", lookupString(a, "name"), "NameFormat", lookupString(a, "namespace"))
			element(attribute, "saml2:AttributeValue", user,
				"xmlns:xs", "http://www.w3.org/2001/XMLSchema", "xmlns:xsi", "http://www.w3.org/2001/XMLSchema-instance", "xsi:type", attributeString)
		}
	}
}

// authnRequest checks an app's request and gives its ID. Stricter: what Okta
// makes of a request that contradicts the app is not documented.
func (s *signing) authnRequest(request []byte) (id string, err error) {
	if request == nil {
		return "", nil
	}
	bad := func(format string, args ...any) (string, error) {
		return "", refuse(http.StatusBadRequest, "the request to app %s: %s", s.id, fmt.Sprintf(format, args...))
	}
	doc := etree.NewDocument()
	if err := doc.ReadFromBytes(request); err != nil || doc.Root() == nil {
		return bad("it is no XML: %v", err)
	}
	root := doc.Root()
	attribute := func(name string) string { return root.SelectAttrValue(name, "") }
	if root.Tag != "AuthnRequest" || root.NamespaceURI() != nsProtocol {
		return bad("it is a %s, not an AuthnRequest", root.FullTag())
	}
	if version := attribute("Version"); version != "2.0" {
		return bad("Version is %q, not 2.0", version)
	}
	if id = attribute("ID"); id == "" {
		return bad("it has no ID")
	}
	if issuer := root.FindElement("./Issuer"); issuer == nil || issuer.NamespaceURI() != nsAssertion || strings.TrimSpace(issuer.Text()) == "" {
		return bad("it has no Issuer")
	}
	issued, err := time.Parse(time.RFC3339, attribute("IssueInstant"))
	if err != nil || s.now.Sub(issued).Abs() > assertionLife {
		return bad("IssueInstant is %q, which is not within %s of now", attribute("IssueInstant"), assertionLife)
	}
	if to, here := attribute("Destination"), appSSO(s.doc, s.id, s.base); to != "" && to != here {
		return bad("Destination is %q, not %q", to, here)
	}
	if binding := attribute("ProtocolBinding"); binding != "" && binding != bindingPost {
		return bad("ProtocolBinding is %q; responses are sent by %q", binding, bindingPost)
	}
	if acs, own := attribute("AssertionConsumerServiceURL"), s.field("settings", "signOn", "ssoAcsUrl"); acs != "" && acs != own {
		return bad("AssertionConsumerServiceURL is %q, not the app's %q", acs, own)
	}
	return id, nil
}
