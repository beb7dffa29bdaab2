package approval

import (
	"context"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"time"

	"keyturn/internal/notify"
	"keyturn/internal/rotation"
)

// Mailer mails one person.
type Mailer interface {
	Send(ctx context.Context, to string, m notify.Message) error
}

// Publisher tells a topic.
type Publisher interface {
	Send(ctx context.Context, m notify.Message) error
}

// RequestUpload is the function request-upload (guide, step 7): it asks the
// approvers to upload the certificate.
type RequestUpload struct {
	// Mail is nil when no sender is configured; then the topic is used.
	Mail  Mailer
	Topic Publisher
	// Sealer is read on first use.
	Sealer func(ctx context.Context) (*Sealer, error)
	// BaseURL is where the page is, without the link.
	BaseURL string
	// OrgURL is the org's address, for the way to the admin console.
	OrgURL string
	Now    func() time.Time
}

// Run sends each approver a message with a link of their own, or the topic one
// whose page asks for a name. It fails when nobody could be told: a rotation
// never waits for a message that nobody got.
func (s RequestUpload) Run(ctx context.Context, in rotation.RequestUploadInput) (rotation.RequestUploadOutput, error) {
	none := rotation.RequestUploadOutput{}
	if err := in.Target.Validate(); err != nil {
		return none, err
	}
	if in.TaskToken == "" {
		return none, rotation.Errorf("Input.Invalid", "taskToken is empty: only the paused state of the rotation can ask for an upload")
	}
	der, err := base64.StdEncoding.DecodeString(in.NewKey.Certificate)
	if err != nil || len(der) == 0 {
		return none, rotation.Errorf("Input.Invalid", "newKey.certificate is not a certificate in base64")
	}
	sealer, err := s.Sealer(ctx)
	if err != nil {
		return none, err
	}
	if s.Mail == nil || len(in.Policy.Approvers) == 0 {
		msg, err := s.message(sealer, in, der, "")
		if err != nil {
			return none, err
		}
		if err := s.Topic.Send(ctx, msg); err != nil {
			return none, err
		}
		return rotation.RequestUploadOutput{Sent: []string{"sns"}}, nil
	}
	out := rotation.RequestUploadOutput{Sent: []string{}}
	var failures []error
	for _, approver := range in.Policy.Approvers {
		msg, err := s.message(sealer, in, der, approver)
		if err != nil {
			return none, err
		}
		if err := s.Mail.Send(ctx, approver, msg); err != nil {
			failures = append(failures, err)
			out.Unreachable = append(out.Unreachable, approver)
			continue
		}
		out.Sent = append(out.Sent, approver)
	}
	if len(out.Sent) == 0 {
		return none, nobodyTold(failures)
	}
	return out, nil
}

// nobodyTold is one error for all: worth a retry if one of them is.
func nobodyTold(failures []error) error {
	name := "Notify.Refused"
	for _, err := range failures {
		if rotation.NameOf(err) == "Notify.Unavailable" {
			name = "Notify.Unavailable"
		}
	}
	return &rotation.Error{Name: name, Message: "no approver could be told", Err: errors.Join(failures...)}
}

func (s RequestUpload) message(sealer *Sealer, in rotation.RequestUploadInput, der []byte, approver string) (notify.Message, error) {
	now := s.Now()
	fingerprint := rotation.Fingerprint(der)
	link, err := sealer.Seal(Claim{
		TaskToken:   in.TaskToken,
		Target:      in.Target,
		Order:       in.Policy.UploadOrder,
		OldKid:      in.OldKey.Kid,
		NewKid:      in.NewKey.Kid,
		OldNotAfter: in.OldKey.NotAfter,
		NewNotAfter: in.NewKey.NotAfter,
		SHA256:      fingerprint,
		Approver:    approver,
		Expires:     now.Add(time.Duration(in.Policy.GiveUpDays) * rotation.Day),
	})
	if err != nil {
		return notify.Message{}, err
	}
	what, partner := "The SAML app", "the app (the service provider)"
	if in.Target.Kind == rotation.KindIDP {
		what, partner = "The SAML identity provider", "the operator of the identity provider"
	}
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	answerBy := now.Add(time.Duration(in.Policy.GiveUpDays) * rotation.Day)
	if in.Policy.UploadOrder == rotation.BeforeSwitch && in.OldKey.NotAfter.Before(answerBy) {
		answerBy = in.OldKey.NotAfter
	}
	line("%s %q gets a new signing certificate. You get this because you look after it.", what, in.Target.Label)
	if in.Policy.UploadOrder == rotation.AfterSwitch {
		line("Please answer as soon as you can; after %s Okta goes back to the old certificate by itself.", date(answerBy))
	} else {
		line("Please answer by %s.", date(answerBy))
	}
	line("")
	if in.Policy.UploadOrder == rotation.AfterSwitch {
		line("Okta ALREADY signs with the new certificate: until %s has it, sign-in through Okta fails.", partner)
		line("Please upload it now, then confirm by the link. If you cannot, say so by the same link: Okta then goes back to the old certificate.")
	} else {
		line("Please give the certificate below to %s, then confirm by the link. Okta switches to it right after you confirm.", partner)
		line("If the partner can hold two certificates (its settings offer to add one), add the new one and keep the old one: nobody notices the change. If it can hold only one, replace it and confirm at once: sign-in fails in between.")
		line("If you cannot do this, say so by the same link. Nothing changes then.")
	}
	if in.Target.Kind == rotation.KindIDP {
		line("Okta decrypts assertions with the same key: a partner that encrypts must use the new certificate from the same moment on.")
	}
	line("")
	if approver == "" {
		line("Answer here (the link shows a page, which asks for your name; it decides nothing by itself):")
	} else {
		line("Answer here (this link is yours alone; it shows a page and decides nothing by itself):")
	}
	line("%s/a/%s", strings.TrimRight(s.BaseURL, "/"), link)
	line("")
	line("Old certificate expires:  %s", date(in.OldKey.NotAfter))
	line("New certificate expires:  %s", date(in.NewKey.NotAfter))
	line("Issued by:                %s", in.NewKey.Issuer)
	line("SHA-256 fingerprint:      %s (compare it with what the partner shows)", fingerprint)
	line("In Okta's admin console:  %s", adminURL(s.OrgURL, in.Target))
	line("")
	line("The new certificate (save it, from BEGIN to END, as a file with the ending .pem or .crt):")
	b.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	if in.Chain != "" {
		line("")
		line("The certificates of the CA above it, if the partner asks for them:")
		b.WriteString(in.Chain)
	}
	subject := fmt.Sprintf("Upload the new SAML certificate for %s (the old one expires %s)", in.Target.Label, in.OldKey.NotAfter.UTC().Format("2 January 2006"))
	if in.Policy.UploadOrder == rotation.AfterSwitch {
		subject = fmt.Sprintf("URGENT: sign-in to %s fails until its new SAML certificate is uploaded", in.Target.Label)
	}
	return notify.Message{Subject: subject, Text: b.String()}, nil
}

func date(t time.Time) string { return t.UTC().Format("Monday, 2 January 2006, 15:04 UTC") }

// adminURL is the target's page in the admin console, whose host has -admin in
// its first label. Behind a custom domain the console's host is not known; the
// simulated org has its console on the same host.
func adminURL(orgURL string, t rotation.Target) string {
	scheme, host, found := strings.Cut(strings.TrimRight(orgURL, "/"), "://")
	if !found {
		return orgURL
	}
	if org, domain, _ := strings.Cut(host, "."); strings.HasPrefix(domain, "okta") || strings.HasPrefix(domain, "trexcloud") {
		host = org + "-admin." + domain
	}
	if t.Kind == rotation.KindIDP {
		return scheme + "://" + host + "/admin/access/identity-providers/edit/" + t.ID
	}
	name := t.Name
	if name == "" {
		name = "app"
	}
	return scheme + "://" + host + "/admin/app/" + name + "/instance/" + t.ID + "/#tab-signon"
}
