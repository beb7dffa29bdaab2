package steps

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
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
// certificate in the metadata. For an IdP that includes
// the certificate for encryption: Okta decrypts with the same key.
func (s VerifyKey) Run(ctx context.Context, in rotation.VerifyKeyInput) (rotation.VerifyKeyOutput, error) {
	none := rotation.VerifyKeyOutput{}
	if err := in.Target.Validate(); err != nil {
		return none, err
	}
	want, err := base64.StdEncoding.DecodeString(in.Key.Certificate)
	if err != nil || len(want) == 0 {
		return none, rotation.Errorf("Input.Invalid", "key.certificate is not a certificate in base64")
	}
	if in.ActiveKid != in.Key.Kid {
		return none, rotation.Errorf("Key.NotInUse", "the active key of %s (%s) is %q, not %s", in.Target, in.Target.Label, in.ActiveKid, in.Key.Kid)
	}
	metadata, err := s.Okta.Metadata(ctx, in.Target, in.Key.Kid)
	if err != nil {
		return none, err
	}
	certificates, err := metadataCertificates(metadata)
	if err != nil {
		return none, &rotation.Error{Name: "Okta.Unavailable", Message: fmt.Sprintf("the SAML metadata of %s (%s) cannot be read", in.Target, in.Target.Label), Err: err}
	}
	if len(certificates) == 0 {
		return none, rotation.Errorf("Key.NotInUse", "the SAML metadata of %s (%s) has no certificate", in.Target, in.Target.Label)
	}
	for _, got := range certificates {
		if !bytes.Equal(got.der, want) {
			return none, rotation.Errorf("Key.NotInUse", "the SAML metadata of %s (%s) has the certificate %s for %s, not %s of the key %s", in.Target, in.Target.Label, rotation.Fingerprint(got.der), got.use, rotation.Fingerprint(want), in.Key.Kid)
		}
	}
	return rotation.VerifyKeyOutput{SHA256: rotation.Fingerprint(want)}, nil
}

type metadataCertificate struct {
	use string
	der []byte
}

// metadataCertificates reads the X509Certificate elements of all
// KeyDescriptors (SAML 2.0 metadata, section 2.4.1.1). Others, such as that of
// the metadata's own signature, do not count.
func metadataCertificates(metadata []byte) ([]metadataCertificate, error) {
	const (
		md = "urn:oasis:names:tc:SAML:2.0:metadata"
		ds = "http://www.w3.org/2000/09/xmldsig#"
	)
	keyDescriptor := xml.Name{Space: md, Local: "KeyDescriptor"}
	d := xml.NewDecoder(bytes.NewReader(metadata))
	var found []metadataCertificate
	use, described := "", false
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return found, nil
		}
		if err != nil {
			return nil, err
		}
		if end, ok := token.(xml.EndElement); ok && end.Name == keyDescriptor {
			described = false
		}
		start, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		switch start.Name {
		case keyDescriptor:
			use, described = "signing and encryption", true
			for _, a := range start.Attr {
				if a.Name.Local == "use" {
					use = a.Value
				}
			}
		case xml.Name{Space: ds, Local: "X509Certificate"}:
			if !described {
				continue
			}
			var text string
			if err := d.DecodeElement(&text, &start); err != nil {
				return nil, err
			}
			der, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), ""))
			if err != nil {
				return nil, fmt.Errorf("X509Certificate: %w", err)
			}
			found = append(found, metadataCertificate{use: use, der: der})
		}
	}
}
