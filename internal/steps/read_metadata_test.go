package steps_test

import (
	"strings"
	"testing"

	"keyturn/internal/rotation"
	"keyturn/internal/steps"
)

func (l *lab) readMetadata(kid string) (rotation.ReadMetadataOutput, error) {
	return steps.ReadMetadata{Okta: l.okta}.Run(l.t.Context(), rotation.ReadMetadataInput{Target: l.target, Kid: kid})
}

func TestMetadataIsGivenAsOktaServesIt(t *testing.T) {
	for _, kind := range kinds {
		t.Run(string(kind), func(t *testing.T) {
			l, key := switchedLab(t, kind)
			out, err := l.readMetadata(key.Kid)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(out.XML, "<?xml") || !strings.Contains(out.XML, key.Certificate[:60]) {
				t.Errorf("the metadata is %q", out.XML)
			}
			wantCalls(t, l.org, l.operation("metadata"))
		})
	}
}

// A partner imports what comes here.
func TestMetadataThatIsNoneIsNotGiven(t *testing.T) {
	for name, body := range map[string]string{
		"a page of a proxy":          "<html><body>The proxy is being serviced.</body></html>",
		"nothing":                    "",
		"metadata without a key":     `<EntityDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata"><IDPSSODescriptor/></EntityDescriptor>`,
		"the beginning of something": `<?xml version="1.0"?><EntityDescriptor xmlns="urn:oasis:names`,
	} {
		t.Run(name, func(t *testing.T) {
			l, key := switchedLab(t, rotation.KindApp)
			l.okta = l.rewriting("/metadata", func(string) string { return body })
			out, err := l.readMetadata(key.Kid)
			wantName(t, err, "Okta.Unavailable")
			if out.XML != "" {
				t.Errorf("it is given as %q", out.XML)
			}
		})
	}
}
