package live

import (
	"encoding/json"

	"github.com/tidwall/gjson"
)

// Member is a member of an answer that Keyturn reads.
type Member struct {
	// Path is a JSON pointer in one object of the answer, or the path of an
	// XML element.
	Path  string
	Types []string
	// Optional tells that Keyturn works without it.
	Optional bool
	// For tells which objects must have it; nil for all.
	For func(object json.RawMessage) bool
}

var (
	text = []string{"string", "date"} // a label may look like a date
	date = []string{"date"}

	appMembers = []Member{
		{Path: "/id", Types: text},
		{Path: "/name", Types: text},
		{Path: "/label", Types: text},
		{Path: "/signOnMode", Types: text},
		{Path: "/status", Types: text},
		{Path: "/created", Types: date},
		{Path: "/credentials/signing/kid", Types: text, For: is("signOnMode", "SAML_2_0")},
	}
	idpMembers = []Member{
		{Path: "/id", Types: text},
		{Path: "/name", Types: text},
		{Path: "/type", Types: text},
		{Path: "/status", Types: text},
		{Path: "/created", Types: date},
		{Path: "/protocol/credentials/signing/kid", Types: text, For: is("type", "SAML2")},
		{Path: "/protocol/credentials/trust/kid", Types: text, For: is("type", "SAML2")},
		{Path: "/protocol/credentials/trust/additionalKids/*", Types: text, Optional: true},
	}
	keyMembers = []Member{
		{Path: "/kid", Types: text},
		{Path: "/created", Types: date},
		{Path: "/expiresAt", Types: date},
		{Path: "/x5c/*", Types: text},
	}
	csrMembers = []Member{
		{Path: "/id", Types: text},
		{Path: "/created", Types: date},
		{Path: "/csr", Types: text},
	}
	spMetadata  = "/EntityDescriptor/SPSSODescriptor"
	idpMetadata = "/EntityDescriptor/IDPSSODescriptor"
)

// Reads are the members that Keyturn reads, by operationId, and of an "error".
// A target's other members it keeps as they are.
var Reads = map[string][]Member{
	"listApplications":                  appMembers,
	"getApplication":                    appMembers,
	"listIdentityProviders":             idpMembers,
	"getIdentityProvider":               idpMembers,
	"listApplicationKeys":               keyMembers,
	"listIdentityProviderSigningKeys":   keyMembers,
	"listIdentityProviderKeys":          keyMembers,
	"publishCsrFromApplication":         keyMembers,
	"publishCsrForIdentityProvider":     keyMembers,
	"cloneApplicationKey":               keyMembers,
	"cloneIdentityProviderKey":          keyMembers,
	"listCsrsForApplication":            csrMembers,
	"listCsrsForIdentityProvider":       csrMembers,
	"generateCsrForApplication":         csrMembers,
	"generateCsrForIdentityProvider":    csrMembers,
	"previewSAMLmetadataForApplication": certificateIn(idpMetadata),
	"getIdentityProviderMetadata":       certificateIn(spMetadata),
	"error": {
		{Path: "/errorCode", Types: text},
		{Path: "/errorSummary", Types: text},
		{Path: "/errorId", Types: text},
		{Path: "/errorCauses", Types: []string{"array", "object"}},
	},
}

func certificateIn(descriptor string) []Member {
	return []Member{{Path: descriptor + "/KeyDescriptor/KeyInfo/X509Data/X509Certificate", Types: []string{"element"}}}
}

func is(member, value string) func(json.RawMessage) bool {
	return func(object json.RawMessage) bool { return gjson.GetBytes(object, member).String() == value }
}
