package partner

import (
	"context"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/url"
	"os"
	"sync"

	"github.com/crewjam/saml"
	dsig "github.com/russellhaering/goxmldsig"
	"github.com/tidwall/gjson"

	"keyturn/internal/oktasim"
)

// identityProvider is an IdP: crewjam/saml's as it is, which knows the org by
// metadata with the certificates that were uploaded.
type identityProvider struct {
	*certificates
	org      *oktasim.Org
	id, user string
	encrypts bool

	mu   sync.Mutex
	okta saml.EntityDescriptor // the org's metadata, without certificates
}

// UploadMetadata is Partner's.
func (p *identityProvider) UploadMetadata(text []byte) error {
	var metadata saml.EntityDescriptor
	if err := xml.Unmarshal(text, &metadata); err != nil {
		return fmt.Errorf("partner: metadata: %w", err)
	}
	if len(metadata.SPSSODescriptors) != 1 {
		return errors.New("partner: the metadata is not that of an SP")
	}
	sp := &metadata.SPSSODescriptors[0]
	var encoded []string
	for _, key := range sp.KeyDescriptors {
		for _, c := range key.KeyInfo.X509Data.X509Certificates {
			if key.Use != "encryption" {
				encoded = append(encoded, c.Data)
			}
		}
	}
	if err := p.replace(encoded); err != nil {
		return err
	}
	sp.KeyDescriptors = nil
	p.mu.Lock()
	defer p.mu.Unlock()
	p.okta = metadata
	return nil
}

// GetServiceProvider is crewjam/saml's ServiceProviderProvider.
func (p *identityProvider) GetServiceProvider(_ *http.Request, entityID string) (*saml.EntityDescriptor, error) {
	p.mu.Lock()
	metadata := p.okta
	p.mu.Unlock()
	if metadata.EntityID != entityID {
		return nil, os.ErrNotExist
	}
	key := func(use string, der []byte) saml.KeyDescriptor {
		return saml.KeyDescriptor{Use: use, KeyInfo: saml.KeyInfo{X509Data: saml.X509Data{
			X509Certificates: []saml.X509Certificate{{Data: base64.StdEncoding.EncodeToString(der)}}}}}
	}
	held := p.all()
	sp := metadata.SPSSODescriptors[0]
	for _, c := range held {
		sp.KeyDescriptors = append(sp.KeyDescriptors, key("signing", c.Raw))
	}
	if p.encrypts {
		sp.KeyDescriptors = append(sp.KeyDescriptors, key("encryption", held[len(held)-1].Raw))
	}
	metadata.SPSSODescriptors = []saml.SPSSODescriptor{sp}
	return &metadata, nil
}

// GetSession is crewjam/saml's SessionProvider: its user is signed in there.
func (p *identityProvider) GetSession(_ http.ResponseWriter, _ *http.Request, request *saml.IdpAuthnRequest) *saml.Session {
	return &saml.Session{ID: "session", Index: "session", CreateTime: request.Now, NameID: p.user, NameIDFormat: string(saml.UnspecifiedNameIDFormat)}
}

// answered is crewjam/saml's ResponseWriter: it keeps what a browser would post
// to the org.
type answered struct{ form saml.IdpAuthnRequestForm }

func (a *answered) WriteResponse(_ http.ResponseWriter, request *saml.IdpAuthnRequest) (err error) {
	a.form, err = request.PostBinding()
	return err
}

// unseen is the page that a browser would get besides.
type unseen struct{}

func (unseen) Header() http.Header         { return http.Header{} }
func (unseen) Write(b []byte) (int, error) { return len(b), nil }
func (unseen) WriteHeader(int)             {}

// SignIn is Partner's: the org sends the user to the IdP, and the IdP sends the
// user back.
func (p *identityProvider) SignIn(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	request, err := p.org.AuthnRequest(ctx, p.id)
	if err != nil {
		return err
	}
	protocol := gjson.GetBytes(p.org.Document(oktasim.KindIDP, p.id), "protocol")
	entity, err := url.Parse(protocol.Get("credentials.trust.issuer").String())
	if err != nil {
		return fmt.Errorf("partner: the IdP's name: %w", err)
	}
	sso, err := url.Parse(protocol.Get("endpoints.sso.url").String())
	if err != nil {
		return fmt.Errorf("partner: the IdP's address: %w", err)
	}
	own := p.org.TrustKey(p.id)
	var answer answered
	var refused error
	idp := &saml.IdentityProvider{
		Key: own.PrivateKey, Certificate: own.Certificate, MetadataURL: *entity, SSOURL: *sso,
		ServiceProviderProvider: p, SessionProvider: p, ResponseWriter: &answer,
		Logger: log.New(io.Discard, "", 0), Clock: dsig.NewFakeClockAt(p.org.Now()),
		RejectSHA1Signatures: true, StrictACSBinding: true,
		OnError: func(_ http.ResponseWriter, _ *http.Request, _ int, err error) { refused = err },
	}
	request.RemoteAddr = "192.0.2.1:443" // of the user's browser
	idp.ServeSSO(unseen{}, request)
	if refused != nil {
		return fmt.Errorf("partner: the IdP refuses the request: %w", refused)
	}
	response, err := base64.StdEncoding.DecodeString(answer.form.SAMLResponse)
	if err != nil || len(response) == 0 {
		return fmt.Errorf("partner: the IdP gave no answer: %w", err)
	}
	user, err := p.org.Accept(p.id, response)
	if err != nil {
		return err
	}
	if user != p.user {
		return fmt.Errorf("partner: the org has signed in %q, not %q", user, p.user)
	}
	return nil
}
