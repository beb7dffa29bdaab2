package partner

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"regexp"
	"sync"

	saml2 "github.com/russellhaering/gosaml2"
	"github.com/russellhaering/gosaml2/types"
	dsig "github.com/russellhaering/goxmldsig"
	"github.com/tidwall/gjson"

	"keyturn/internal/oktasim"
)

var spaces = regexp.MustCompile(`\s+`)

// serviceProvider is an app: gosaml2 as it is, whose certificate store is what
// was uploaded.
type serviceProvider struct {
	*certificates
	org      *oktasim.Org
	id, user string

	mu          sync.Mutex
	issuer, sso string // of the org, from its metadata
}

// Certificates is goxmldsig's X509CertificateStore.
func (p *serviceProvider) Certificates() ([]*x509.Certificate, error) { return p.all(), nil }

// UploadMetadata is Partner's.
func (p *serviceProvider) UploadMetadata(text []byte) error {
	var metadata types.EntityDescriptor
	if err := xml.Unmarshal(text, &metadata); err != nil {
		return fmt.Errorf("partner: metadata: %w", err)
	}
	idp := metadata.IDPSSODescriptor
	if idp == nil || len(idp.SingleSignOnServices) == 0 {
		return errors.New("partner: the metadata is not that of an IdP")
	}
	var encoded []string
	for _, key := range idp.KeyDescriptors {
		for _, c := range key.KeyInfo.X509Data.X509Certificates {
			if key.Use != "encryption" {
				encoded = append(encoded, c.Data)
			}
		}
	}
	if err := p.replace(encoded); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.issuer, p.sso = metadata.EntityID, idp.SingleSignOnServices[0].Location
	return nil
}

// library is gosaml2, set up with what both sides have agreed on.
func (p *serviceProvider) library() *saml2.SAMLServiceProvider {
	signOn := gjson.GetBytes(p.org.Document(oktasim.KindApp, p.id), "settings.signOn")
	p.mu.Lock()
	defer p.mu.Unlock()
	return &saml2.SAMLServiceProvider{
		IdentityProviderSSOURL:      p.sso,
		IdentityProviderIssuer:      p.issuer,
		AssertionConsumerServiceURL: signOn.Get("ssoAcsUrl").String(),
		ServiceProviderIssuer:       signOn.Get("audience").String(),
		AudienceURI:                 signOn.Get("audience").String(),
		IDPCertificateStore:         p,
		AllowMissingAttributes:      true,
		Clock:                       dsig.NewFakeClockAt(p.org.Now()),
	}
}

// SignIn is Partner's: the app sends the user to the org, and the org sends the
// user back.
func (p *serviceProvider) SignIn(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	sp := p.library()
	request, err := sp.BuildAuthRequestDocument()
	if err != nil {
		return fmt.Errorf("partner: request: %w", err)
	}
	text, err := request.WriteToBytes()
	if err != nil {
		return fmt.Errorf("partner: request: %w", err)
	}
	response, err := p.org.SignIn(p.id, p.user, text)
	if err != nil {
		return err
	}
	got, err := sp.RetrieveAssertionInfo(base64.StdEncoding.EncodeToString(response))
	if err != nil {
		return fmt.Errorf("partner: the app refuses the response: %w", err)
	}
	// The library leaves these to the app.
	asked, data := request.Root().SelectAttrValue("ID", ""), got.Assertions[0].Subject.SubjectConfirmation.SubjectConfirmationData
	switch {
	case got.WarningInfo.InvalidTime:
		return errors.New("partner: the app refuses the response: it is not valid now")
	case got.WarningInfo.NotInAudience:
		return errors.New("partner: the app refuses the response: it is for another audience")
	case data.InResponseTo != asked:
		return fmt.Errorf("partner: the app refuses the response: it answers %q, not its request %q", data.InResponseTo, asked)
	case got.NameID != p.user:
		return fmt.Errorf("partner: the app has signed in %q, not %q", got.NameID, p.user)
	}
	return nil
}
