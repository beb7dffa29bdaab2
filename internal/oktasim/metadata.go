package oktasim

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"net/http"
	"strings"
)

// metadataKey is the key whose certificate the metadata shows: the one that
// ?kid= names, or the active one, which MetadataLag may hold back.
func (t *target) metadataKey(kid string) (*Key, error) {
	if kid != "" {
		if k := t.key(kid); k != nil {
			return k, nil
		}
		return nil, notFound(kid, "JsonWebKey")
	}
	kid = t.activeKid()
	if t.lag > 0 {
		t.lag--
		if t.previousKid != "" {
			kid = t.previousKid
		}
	}
	return t.key(kid), nil
}

// keyDescriptor wraps the certificate as Okta does, so that readers must cope
// with white space inside of it.
func keyDescriptor(use string, k *Key) string {
	if k == nil {
		return ""
	}
	var lines []string
	for text := k.whole().X5C; text != ""; {
		n := min(64, len(text))
		lines, text = append(lines, text[:n]), text[n:]
	}
	return fmt.Sprintf(`<md:KeyDescriptor use="%s"><ds:KeyInfo xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:X509Data><ds:X509Certificate>%s</ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor>`,
		use, strings.Join(lines, "\n"))
}

func escapeXML(s string) string {
	var b bytes.Buffer
	_ = xml.EscapeText(&b, []byte(s)) // a bytes.Buffer takes everything
	return b.String()
}

func xmlAnswer(c *call, text string) *answer {
	return &answer{status: http.StatusOK, contentType: c.accept + ";charset=UTF-8", body: []byte(text)}
}

const xmlHeader = `<?xml version="1.0" encoding="UTF-8"?>`

// appMetadata: previewSAMLmetadataForApplication; Okta is the IdP. The spec
// lists kid as required, yet the app's own _links.metadata leaves it out and
// gets the active key.
func (o *Org) appMetadata(c *call) (*answer, error) {
	t, err := c.target(o)
	if err != nil {
		return nil, err
	}
	if lookupString(t.doc, "signOnMode") != "SAML_2_0" {
		return nil, notFound(t.id, "SamlMetadata")
	}
	k, err := t.metadataKey(c.query.Get("kid"))
	if err != nil {
		return nil, err
	}
	return xmlAnswer(c, appDescriptor(t, k, c.base)), nil
}

func appDescriptor(t *target, k *Key, base string) string {
	location := escapeXML(appSSO(t.doc, t.id, base))
	return xmlHeader + `<md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" entityID="` + escapeXML(appIssuer(t.doc, t.id)) + `">` +
		`<md:IDPSSODescriptor WantAuthnRequestsSigned="false" protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">` +
		keyDescriptor("signing", k) +
		`<md:NameIDFormat>urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress</md:NameIDFormat>` +
		`<md:NameIDFormat>urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified</md:NameIDFormat>` +
		`<md:SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST" Location="` + location + `"/>` +
		`<md:SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect" Location="` + location + `"/>` +
		`</md:IDPSSODescriptor></md:EntityDescriptor>`
}

// idpMetadata is what an IdP's _links.metadata leads to; Okta is the SP. The
// signing key decrypts assertions too, so both descriptors show it.
func (o *Org) idpMetadata(c *call) (*answer, error) {
	t, err := c.target(o)
	if err != nil {
		return nil, err
	}
	if !t.isSAML() {
		return nil, notFound(t.id, "SamlMetadata")
	}
	k, err := t.metadataKey("")
	if err != nil {
		return nil, err
	}
	return xmlAnswer(c, idpDescriptor(t, k, c.base)), nil
}

func idpDescriptor(t *target, k *Key, base string) string {
	return xmlHeader + `<md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" entityID="` + escapeXML(idpAudience(t.doc)) + `">` +
		`<md:SPSSODescriptor AuthnRequestsSigned="true" WantAssertionsSigned="true" protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">` +
		keyDescriptor("signing", k) + keyDescriptor("encryption", k) +
		`<md:NameIDFormat>urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified</md:NameIDFormat>` +
		`<md:AssertionConsumerService index="0" isDefault="true" Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST" Location="` +
		escapeXML(idpACS(t.id, base)) + `"/></md:SPSSODescriptor></md:EntityDescriptor>`
}
