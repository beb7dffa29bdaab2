package live

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"time"

	"github.com/tidwall/gjson"

	"keyturn/internal/okta"
	"keyturn/internal/rotation"
	"keyturn/internal/steps"
)

// agent is the User-Agent of the calls that Keyturn itself never makes.
const agent = "keyturn-contract/"

// labelPrefix begins the throw-away app's label; date and time follow.
const labelPrefix = "Keyturn contract test"

func question(base string) string {
	return fmt.Sprintf(`This makes an app in %s, "%s {date}", hidden and assigned to nobody, gives it a new
signing key, puts that into use and the old one back, deactivates the app and deletes it.
The System Log notes all of it. Go on? Type yes: `, base, labelPrefix)
}

// rotate makes an app, rotates its key with the very steps that the functions
// run, and removes the app, whatever happened and also when ctx has ended.
func (s *session) rotate(ctx context.Context, say func(string, ...any), quiet bool) (err error) {
	if quiet {
		say = func(string, ...any) {}
	}
	label := fmt.Sprintf("%s %s", labelPrefix, time.Now().UTC().Format("2006-01-02 15:04:05 UTC"))
	id, err := s.make(ctx, label)
	defer func() {
		after, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Minute)
		defer cancel()
		if left := s.remove(after, id, label); left != nil {
			err = errors.Join(err, left)
			say(`✘ The app "%s" (%s) may be left in the org. Remove it in the admin console: Applications, the app, Deactivate, Delete.`, label, id)
			return
		}
		say(`  the app "%s" is gone again`, label)
	}()
	if err != nil {
		return fmt.Errorf("make the app: %w", err)
	}
	say(`  made the app "%s" (%s)`, label, id)
	return s.turn(ctx, rotation.Target{Kind: rotation.KindApp, ID: id}, say)
}

// turn is the rotation: to a new key and back.
func (s *session) turn(ctx context.Context, t rotation.Target, say func(string, ...any)) error {
	settings := rotation.DefaultSettings([]string{"sso-team@example.com"})
	inspect := func() (rotation.InspectTargetOutput, error) {
		return steps.InspectTarget{Okta: s.client, Defaults: settings, Now: time.Now}.Run(ctx, rotation.InspectTargetInput{Target: t})
	}
	update := func(in rotation.UpdateKeyCredentialInput) error {
		out, err := ask(ctx, s, okta.BucketApp, func() (rotation.UpdateKeyCredentialOutput, error) {
			return steps.UpdateKeyCredential{Okta: s.client}.Run(ctx, in)
		})
		if err == nil && out.ActiveKid != in.ToKid {
			return errors.New("the switch says that another key is active")
		}
		return err
	}
	verify := func(key rotation.Key) error {
		_, err := ask(ctx, s, okta.BucketApps, func() (rotation.VerifyKeyOutput, error) {
			return steps.VerifyKey{Okta: s.client}.Run(ctx, rotation.VerifyKeyInput{Target: t, Key: key, ActiveKid: key.Kid})
		})
		return err
	}

	before, err := ask(ctx, s, okta.BucketApps, inspect)
	if err != nil {
		return fmt.Errorf("inspect-target: %w", err)
	}
	old := before.ActiveKey
	pending, err := s.generate(ctx, t, before.Policy)
	if err != nil {
		return err
	}
	say("  generated a CSR")
	certificate, err := signed(pending)
	if err != nil {
		return fmt.Errorf("sign the CSR: %w", err)
	}
	published, err := ask(ctx, s, okta.BucketApps, func() (rotation.PublishCSROutput, error) {
		return steps.PublishCSR{Okta: s.client}.Run(ctx, rotation.PublishCSRInput{Target: t, CSR: pending, Certificate: certificate})
	})
	if err != nil {
		return fmt.Errorf("publish-csr: %w", err)
	}
	say("  published a certificate of a CA that was made for this")
	if published.Key.Kid == pending.ID {
		return errors.New("the new key's id is the CSR's: Keyturn takes them for different")
	}
	left, err := ask(ctx, s, okta.BucketApps, func() ([]okta.SigningRequest, error) { return s.client.SigningRequests(ctx, t) })
	if err != nil {
		return err
	}
	if len(left) > 0 {
		return fmt.Errorf("%d CSRs are pending after the publication, want none", len(left))
	}
	again, err := ask(ctx, s, okta.BucketApps, inspect)
	switch {
	case err != nil:
		return fmt.Errorf("inspect-target after the publication: %w", err)
	case again.ActiveKey.Kid != old.Kid:
		return errors.New("a published key is in use at once: Keyturn relies on that it is not")
	case len(again.UnusedKeys) != 1 || again.UnusedKeys[0].Kid != published.Key.Kid:
		return fmt.Errorf("%d keys could be switched to after the publication, want the new one", len(again.UnusedKeys))
	case again.Digest != before.Digest:
		return errors.New("the publication changed the app's document")
	}

	if err := update(rotation.UpdateKeyCredentialInput{Target: t, FromKid: old.Kid, ToKid: published.Key.Kid, Digest: again.Digest}); err != nil {
		return fmt.Errorf("update-key-credential: %w", err)
	}
	if err := verify(published.Key); err != nil {
		return fmt.Errorf("verify-key: %w", err)
	}
	say("  switched to the new key: nothing but the key has changed, and the metadata has its certificate")
	if err := update(rotation.UpdateKeyCredentialInput{Target: t, FromKid: published.Key.Kid, ToKid: old.Kid, Digest: again.Digest, Back: true}); err != nil {
		return fmt.Errorf("update-key-credential, back: %w", err)
	}
	if err := verify(old); err != nil {
		return fmt.Errorf("verify-key of the old key: %w", err)
	}
	say("  switched back to the old key")

	unwanted, err := s.generate(ctx, t, before.Policy)
	if err != nil {
		return err
	}
	revoked, err := ask(ctx, s, okta.BucketApps, func() (rotation.RevokeCSROutput, error) {
		return steps.RevokeCSR{Okta: s.client}.Run(ctx, rotation.RevokeCSRInput{Target: t, Policy: before.Policy, CSR: &unwanted})
	})
	if err != nil {
		return fmt.Errorf("revoke-csr: %w", err)
	}
	if len(revoked.Revoked) != 1 {
		return fmt.Errorf("revoke-csr took back %d CSRs, want 1", len(revoked.Revoked))
	}
	say("  revoked a CSR")
	return nil
}

func (s *session) generate(ctx context.Context, t rotation.Target, policy rotation.Settings) (rotation.CSR, error) {
	out, err := ask(ctx, s, okta.BucketApps, func() (rotation.GenerateCSROutput, error) {
		return steps.GenerateCSR{Okta: s.client}.Run(ctx, rotation.GenerateCSRInput{Target: t, Policy: policy})
	})
	if err != nil {
		return rotation.CSR{}, fmt.Errorf("generate-csr: %w", err)
	}
	return out.CSR, nil
}

// signed has a CA that lives as long as this call certify the CSR for a year.
func signed(csr rotation.CSR) (rotation.Certificate, error) {
	none := rotation.Certificate{}
	der, err := base64.StdEncoding.DecodeString(csr.Request)
	if err != nil {
		return none, err
	}
	request, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return none, err
	}
	if err := request.CheckSignature(); err != nil {
		return none, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return none, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return none, err
	}
	now := time.Now()
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: labelPrefix + " CA"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(2, 0, 0), IsCA: true, BasicConstraintsValid: true,
	}
	leaf := &x509.Certificate{
		SerialNumber: serial, RawSubject: request.RawSubject, NotBefore: now.Add(-5 * time.Minute), NotAfter: now.AddDate(1, 0, 0),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
	}
	certificate, err := x509.CreateCertificate(rand.Reader, leaf, ca, request.PublicKey, key)
	if err != nil {
		return none, err
	}
	return rotation.Certificate{PEM: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate})), NotAfter: leaf.NotAfter}, nil
}

// make creates the app: a custom SAML 2.0 app that nobody sees and nobody is
// assigned to. The id is empty where the answer was lost.
func (s *session) make(ctx context.Context, label string) (id string, err error) {
	const sp = "https://keyturn-contract.example.com"
	body, err := json.Marshal(map[string]any{
		"label": label, "signOnMode": "SAML_2_0",
		"visibility": map[string]any{"autoSubmitToolbar": false, "hide": map[string]bool{"iOS": true, "web": true}},
		"settings": map[string]any{"signOn": map[string]any{
			"ssoAcsUrl": sp + "/acs", "recipient": sp + "/acs", "destination": sp + "/acs", "audience": sp,
			"idpIssuer": "http://www.okta.com/${org.externalKey}", "subjectNameIdTemplate": "${user.userName}",
			"subjectNameIdFormat": "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified",
			"responseSigned":      true, "assertionSigned": true, "signatureAlgorithm": "RSA_SHA256", "digestAlgorithm": "SHA256",
			"honorForceAuthn": true, "authnContextClassRef": "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport",
			"requestCompressed": false, "allowMultipleAcsEndpoints": false,
		}},
	})
	if err != nil {
		return "", err
	}
	answer, err := s.own(ctx, http.MethodPost, "/api/v1/apps", body)
	if err != nil {
		return "", err
	}
	id = gjson.GetBytes(answer, "id").String()
	if err := (rotation.Target{Kind: rotation.KindApp, ID: id}).Validate(); err != nil {
		return "", fmt.Errorf("the answer to the creation has no id of an app: %w", err)
	}
	return id, nil
}

// remove deactivates the app and deletes it; where its id is not known, it is
// looked for by its label. An app that is not there is gone.
func (s *session) remove(ctx context.Context, id, label string) error {
	if id == "" {
		list, err := s.own(ctx, http.MethodGet, "/api/v1/apps?"+url.Values{"q": {label}, "limit": {"200"}}.Encode(), nil)
		if err != nil {
			return fmt.Errorf("look for the app: %w", err)
		}
		for _, app := range gjson.ParseBytes(list).Array() {
			if app.Get("label").String() == label {
				id = app.Get("id").String()
			}
		}
		if id == "" {
			return nil
		}
	}
	path := "/api/v1/apps/" + url.PathEscape(id)
	for _, c := range [][2]string{{http.MethodPost, path + "/lifecycle/deactivate"}, {http.MethodDelete, path}} {
		_, err := s.own(ctx, c[0], c[1], nil)
		if okta.IsNotFound(err) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("remove the app: %w", err)
		}
	}
	return nil
}

// own makes a call that Keyturn's client does not have. What may pass by itself
// is tried again, but for the creation of an app.
func (s *session) own(ctx context.Context, method, path string, body []byte) ([]byte, error) {
	for tries := 0; ; tries++ {
		answer, err := s.once(ctx, method, path, body)
		var refused *okta.Error
		passing := err != nil && (!errors.As(err, &refused) || refused.Name == "Okta.RateLimited" || refused.Name == "Okta.Unavailable")
		creation := method == http.MethodPost && path == "/api/v1/apps" && (refused == nil || refused.Name != "Okta.RateLimited")
		if !passing || creation || tries == 5 || ctx.Err() != nil {
			return answer, err
		}
		after := 2 * time.Second << tries
		if refused != nil && !refused.Reset.IsZero() {
			after = time.Until(refused.Reset)
		}
		if waiting := s.wait(ctx, after, clean(err.Error())); waiting != nil {
			return nil, errors.Join(err, waiting)
		}
	}
}

func (s *session) once(ctx context.Context, method, path string, body []byte) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, method, s.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("User-Agent", agent+"1")
	r.Header.Set("Accept", "application/json")
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if err := s.credential.Authorize(r); err != nil {
		return nil, err
	}
	client := &http.Client{Transport: s.tape, Timeout: 30 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	answer, err := client.Do(r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode > 299 {
		return nil, refusal(method, path, answer, text)
	}
	return text, nil
}

// refusal is the error of an answer, named as Keyturn's client names them.
func refusal(method, path string, answer *http.Response, body []byte) error {
	e := &okta.Error{Name: "Okta.Invalid", Doing: "call the org", Method: method, Path: path, Status: answer.StatusCode,
		Code: gjson.GetBytes(body, "errorCode").String(), Summary: clean(gjson.GetBytes(body, "errorSummary").String())}
	switch {
	case answer.StatusCode == http.StatusTooManyRequests:
		e.Name = "Okta.RateLimited"
	case answer.StatusCode >= http.StatusInternalServerError:
		e.Name = "Okta.Unavailable"
	}
	for _, c := range gjson.GetBytes(body, "errorCauses.#.errorSummary").Array() {
		e.Causes = append(e.Causes, clean(c.String()))
	}
	return e
}
