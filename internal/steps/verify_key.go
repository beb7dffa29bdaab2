package steps

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"keyturn/internal/okta"
	"keyturn/internal/rotation"
)

// VerifyKey is the function verify-key.
type VerifyKey struct {
	Okta *okta.Client
}

// Run reads the target's SAML metadata, one call, and answers Key.NotInUse
// unless the kid that is active is the expected one, and so is every
// certificate in the metadata, of which one is for signing. For an IdP that
// includes the certificate for encryption: Okta decrypts with the same key.
//
// Without an active kid it reads the target instead, one call, and answers
// Target.Changed unless the key is in use still.
func (s VerifyKey) Run(ctx context.Context, in rotation.VerifyKeyInput) (rotation.VerifyKeyOutput, error) {
	none := rotation.VerifyKeyOutput{}
	if err := in.Target.Validate(); err != nil {
		return none, err
	}
	want, err := base64.StdEncoding.DecodeString(in.Key.Certificate)
	if err != nil || len(want) == 0 {
		return none, rotation.Errorf("Input.Invalid", "key.certificate is not a certificate in base64")
	}
	if in.ActiveKid == "" {
		return s.stillInUse(ctx, in, want)
	}
	if in.ActiveKid != in.Key.Kid {
		return none, rotation.Errorf("Key.NotInUse", "the active key of %s (%s) is %q, not %s", in.Target, in.Target.Label, in.ActiveKid, in.Key.Kid)
	}
	metadata, err := s.Okta.Metadata(ctx, in.Target, in.Key.Kid)
	if err != nil {
		return none, err
	}
	certificates, err := metadataCertificates(metadata, in.Target.Kind)
	if err != nil {
		return none, &rotation.Error{Name: "Okta.Unavailable", Message: fmt.Sprintf("the SAML metadata of %s (%s) cannot be read", in.Target, in.Target.Label), Err: err}
	}
	if !slices.ContainsFunc(certificates, metadataCertificate.signs) {
		return none, rotation.Errorf("Key.NotInUse", "the SAML metadata of %s (%s) has no certificate for signing", in.Target, in.Target.Label)
	}
	for _, got := range certificates {
		if !bytes.Equal(got.der, want) {
			return none, rotation.Errorf("Key.NotInUse", "the SAML metadata of %s (%s) has the certificate %s for %s, not %s of the key %s", in.Target, in.Target.Label, rotation.Fingerprint(got.der), got.use, rotation.Fingerprint(want), in.Key.Kid)
		}
	}
	return rotation.VerifyKeyOutput{SHA256: rotation.Fingerprint(want)}, nil
}

// stillInUse is for the end of a wait that began after the switch: somebody may
// have made another key active meanwhile.
func (s VerifyKey) stillInUse(ctx context.Context, in rotation.VerifyKeyInput, certificate []byte) (rotation.VerifyKeyOutput, error) {
	doc, err := s.Okta.Document(ctx, in.Target)
	if err != nil {
		return rotation.VerifyKeyOutput{}, err
	}
	if kid := doc.ActiveKid(); kid != in.Key.Kid {
		return rotation.VerifyKeyOutput{}, rotation.Errorf("Target.Changed", "%s (%s) has the active key %s: it should be %s, so somebody else changed it while the rotation waited; nothing was changed now: see with the partner which certificate it has, and make that key active", in.Target, in.Target.Label, kid, in.Key.Kid)
	}
	return rotation.VerifyKeyOutput{SHA256: rotation.Fingerprint(certificate)}, nil
}

type metadataCertificate struct {
	use string
	der []byte
}

// both is the use of a KeyDescriptor that names none.
const both = "signing and encryption"

func (c metadataCertificate) signs() bool { return c.use == "signing" || c.use == both }

// Bounds of what is read as metadata: Okta's has some kB, and a certificate six
// elements deep. What is larger could take more memory than there is.
const (
	maxMetadata = 1 << 20
	maxDepth    = 100
)

// metadataCertificates reads the certificates in the KeyDescriptors of the role
// that Okta has for the target (SAML 2.0 metadata, sections 2.4.1.1, 2.4.3 and
// 2.4.4). Others, such as that of the metadata's own signature, do not count.
// Entities that the document declares are not expanded: one that is used is an
// error.
func metadataCertificates(metadata []byte, kind rotation.Kind) ([]metadataCertificate, error) {
	const (
		md = "urn:oasis:names:tc:SAML:2.0:metadata"
		ds = "http://www.w3.org/2000/09/xmldsig#"
	)
	role := "IDPSSODescriptor"
	if kind == rotation.KindIDP {
		role = "SPSSODescriptor" // Okta is the service provider
	}
	descriptor := []xml.Name{{Space: md, Local: "EntityDescriptor"}, {Space: md, Local: role}, {Space: md, Local: "KeyDescriptor"}}
	certificate := append(slices.Clone(descriptor), xml.Name{Space: ds, Local: "KeyInfo"}, xml.Name{Space: ds, Local: "X509Data"}, xml.Name{Space: ds, Local: "X509Certificate"})
	if len(metadata) > maxMetadata {
		return nil, fmt.Errorf("it has %d bytes, more than %d", len(metadata), maxMetadata)
	}
	d := xml.NewDecoder(bytes.NewReader(metadata))
	var found []metadataCertificate
	var path []xml.Name
	use := ""
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return found, nil
		}
		if err != nil {
			return nil, err
		}
		switch token := token.(type) {
		case xml.StartElement:
			path = append(path, token.Name)
			switch {
			case len(path) > maxDepth:
				return nil, fmt.Errorf("its elements are more than %d deep", maxDepth)
			case slices.Equal(path, descriptor):
				use = both
				for _, a := range token.Attr {
					if a.Name == (xml.Name{Local: "use"}) {
						use = a.Value
					}
				}
			case slices.Equal(path, certificate):
				path = path[:len(path)-1]
				var text string
				if err := d.DecodeElement(&text, &token); err != nil {
					return nil, err
				}
				der, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), ""))
				if err != nil {
					return nil, fmt.Errorf("X509Certificate: %w", err)
				}
				found = append(found, metadataCertificate{use: use, der: der})
			}
		case xml.EndElement:
			path = path[:len(path)-1]
		}
	}
}
