package oktasim

import (
	"mime"
	"net/url"
	"strings"
)

type route struct {
	method    string
	pattern   []string // {name} matches one segment
	operation string
	kind      string
	accepts   []string // media types that it can answer with, the default first
	body      bool     // takes a JSON body
	handle    func(*Org, *call) (*answer, error)
}

var (
	answersJSON   = []string{"application/json"}
	answersCSR    = []string{"application/json", "application/pkcs10"}
	answersAppXML = []string{"text/xml", "application/xml"}
	answersIDPXML = []string{"application/xml", "text/xml"}
)

// routes are the operations of the API spec that key rotation uses, and those
// for a throw-away app; literal segments come before placeholders. Operations
// that exist in Okta and are not here (creating and deleting IdPs and trust
// keys) answer 405: a rotation has no business there.
var routes = []*route{
	r("GET", "/apps", "listApplications", "", answersJSON, false, (*Org).listApps),
	r("POST", "/apps", "createApplication", "", answersJSON, true, (*Org).createApp),
	r("GET", "/apps/{id}", "getApplication", KindApp, answersJSON, false, (*Org).getTarget),
	r("PUT", "/apps/{id}", "replaceApplication", KindApp, answersJSON, true, (*Org).replaceApp),
	r("DELETE", "/apps/{id}", "deleteApplication", KindApp, answersJSON, false, (*Org).deleteApp),
	r("POST", "/apps/{id}/lifecycle/deactivate", "deactivateApplication", KindApp, answersJSON, false, (*Org).deactivateApp),
	r("GET", "/apps/{id}/credentials/csrs", "listCsrsForApplication", KindApp, answersJSON, false, (*Org).listCSRs),
	r("POST", "/apps/{id}/credentials/csrs", "generateCsrForApplication", KindApp, answersCSR, true, (*Org).generateCSR),
	r("GET", "/apps/{id}/credentials/csrs/{csr}", "getCsrForApplication", KindApp, answersCSR, false, (*Org).getCSR),
	r("DELETE", "/apps/{id}/credentials/csrs/{csr}", "revokeCsrFromApplication", KindApp, answersJSON, false, (*Org).revokeCSR),
	r("POST", "/apps/{id}/credentials/csrs/{csr}/lifecycle/publish", "publishCsrFromApplication", KindApp, answersJSON, false, (*Org).publishCSR),
	r("GET", "/apps/{id}/credentials/keys", "listApplicationKeys", KindApp, answersJSON, false, (*Org).listKeys),
	r("POST", "/apps/{id}/credentials/keys/generate", "generateApplicationKey", KindApp, answersJSON, false, (*Org).generateKey),
	r("GET", "/apps/{id}/credentials/keys/{kid}", "getApplicationKey", KindApp, answersJSON, false, (*Org).getKey),
	r("POST", "/apps/{id}/credentials/keys/{kid}/clone", "cloneApplicationKey", KindApp, answersJSON, false, (*Org).cloneKey),
	r("GET", "/apps/{id}/sso/saml/metadata", "previewSAMLmetadataForApplication", KindApp, answersAppXML, false, (*Org).appMetadata),

	r("GET", "/idps", "listIdentityProviders", "", answersJSON, false, (*Org).listIDPs),
	r("GET", "/idps/credentials/keys", "listIdentityProviderKeys", "", answersJSON, false, (*Org).listTrustKeys),
	r("GET", "/idps/credentials/keys/{kid}", "getIdentityProviderKey", "", answersJSON, false, (*Org).getTrustKey),
	r("GET", "/idps/{id}", "getIdentityProvider", KindIDP, answersJSON, false, (*Org).getTarget),
	r("PUT", "/idps/{id}", "replaceIdentityProvider", KindIDP, answersJSON, true, (*Org).replaceIDP),
	r("GET", "/idps/{id}/credentials/csrs", "listCsrsForIdentityProvider", KindIDP, answersJSON, false, (*Org).listCSRs),
	r("POST", "/idps/{id}/credentials/csrs", "generateCsrForIdentityProvider", KindIDP, answersCSR, true, (*Org).generateCSR),
	r("GET", "/idps/{id}/credentials/csrs/{csr}", "getCsrForIdentityProvider", KindIDP, answersCSR, false, (*Org).getCSR),
	r("DELETE", "/idps/{id}/credentials/csrs/{csr}", "revokeCsrForIdentityProvider", KindIDP, answersJSON, false, (*Org).revokeCSR),
	r("POST", "/idps/{id}/credentials/csrs/{csr}/lifecycle/publish", "publishCsrForIdentityProvider", KindIDP, answersJSON, false, (*Org).publishCSR),
	r("GET", "/idps/{id}/credentials/keys", "listIdentityProviderSigningKeys", KindIDP, answersJSON, false, (*Org).listKeys),
	r("GET", "/idps/{id}/credentials/keys/active", "listActiveIdentityProviderSigningKey", KindIDP, answersJSON, false, (*Org).activeKeys),
	r("POST", "/idps/{id}/credentials/keys/generate", "generateIdentityProviderSigningKey", KindIDP, answersJSON, false, (*Org).generateKey),
	r("GET", "/idps/{id}/credentials/keys/{kid}", "getIdentityProviderSigningKey", KindIDP, answersJSON, false, (*Org).getKey),
	r("POST", "/idps/{id}/credentials/keys/{kid}/clone", "cloneIdentityProviderKey", KindIDP, answersJSON, false, (*Org).cloneKey),
	// Not a path of the spec: the IdP's _links.metadata names it.
	r("GET", "/idps/{id}/metadata.xml", "getIdentityProviderMetadata", KindIDP, answersIDPXML, false, (*Org).idpMetadata),
}

func r(method, pattern, operation, kind string, accepts []string, body bool, handle func(*Org, *call) (*answer, error)) *route {
	return &route{method, strings.Split(pattern, "/")[1:], operation, kind, accepts, body, handle}
}

// findRoute resolves an escaped path below the host. known tells an unknown
// path (404) from a method that the path does not have (405).
func findRoute(method, path string) (found *route, params map[string]string, known bool) {
	rest, ok := strings.CutPrefix(path, "/api/v1/")
	if !ok {
		return nil, nil, false
	}
	segments := strings.Split(rest, "/")
	for i, s := range segments {
		plain, err := url.PathUnescape(s)
		if err != nil || plain == "" {
			return nil, nil, false
		}
		segments[i] = plain
	}
	for _, candidate := range routes {
		params, ok := candidate.match(segments)
		if !ok {
			continue
		}
		known = true
		if candidate.method == method {
			return candidate, params, true
		}
	}
	return nil, nil, known
}

func (r *route) match(segments []string) (map[string]string, bool) {
	if len(segments) != len(r.pattern) {
		return nil, false
	}
	params := map[string]string{}
	for i, p := range r.pattern {
		if strings.HasPrefix(p, "{") {
			params[strings.Trim(p, "{}")] = segments[i]
		} else if p != segments[i] {
			return nil, false
		}
	}
	return params, true
}

// negotiate picks the first of the offered media types that an Accept header
// names, in the header's order; "" when it names none. No header takes the
// default.
func negotiate(accept, offered []string) string {
	if len(accept) == 0 {
		return offered[0]
	}
	for part := range strings.SplitSeq(strings.Join(accept, ","), ",") {
		wanted, parameters, err := mime.ParseMediaType(part)
		if err != nil || strings.Trim(parameters["q"], "0.") == "" && parameters["q"] != "" {
			continue
		}
		for _, o := range offered {
			family, _, _ := strings.Cut(o, "/")
			if wanted == o || wanted == "*/*" || wanted == family+"/*" {
				return o
			}
		}
	}
	return ""
}

// Operation is the operationId of a request's method and escaped path; empty
// where the org has none.
func Operation(method, path string) string {
	if found, _, _ := findRoute(method, path); found != nil {
		return found.operation
	}
	return ""
}
