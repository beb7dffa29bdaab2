package approval_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"math/big"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"keyturn/internal/approval"
	"keyturn/internal/notify"
	"keyturn/internal/rotation"
)

// post delivers to mailboxes, but for the addresses that it refuses.
type post struct {
	mailboxes map[string][]notify.Message
	refuses   map[string]error
}

func (p *post) Send(_ context.Context, to string, m notify.Message) error {
	if err := p.refuses[to]; err != nil {
		return err
	}
	if p.mailboxes == nil {
		p.mailboxes = map[string][]notify.Message{}
	}
	p.mailboxes[to] = append(p.mailboxes[to], m)
	return nil
}

// board is a topic.
type board struct {
	messages []notify.Message
	refuses  error
}

func (b *board) Send(_ context.Context, m notify.Message) error {
	if b.refuses == nil {
		b.messages = append(b.messages, m)
	}
	return b.refuses
}

var certificate = sync.OnceValue(func() []byte {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "Salesforce SAML signing"}, NotBefore: now, NotAfter: now.Add(397 * rotation.Day)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	return der
})

const chain = "-----BEGIN CERTIFICATE-----\nY2hhaW4gJXMgJWQ=\n-----END CERTIFICATE-----\n"

func request(approvers ...string) rotation.RequestUploadInput {
	policy := rotation.DefaultSettings(approvers)
	policy.GiveUpDays = 14
	return rotation.RequestUploadInput{
		TaskToken: taskToken,
		Target:    salesforce().Target,
		Policy:    policy,
		OldKey:    rotation.Key{Kid: "old-kid", NotAfter: now.Add(30*rotation.Day + 90*time.Minute)},
		NewKey:    rotation.Key{Kid: "new-kid", NotAfter: now.Add(397 * rotation.Day), Issuer: "CN=Example Issuing CA", Certificate: base64.StdEncoding.EncodeToString(certificate())},
		Chain:     chain,
	}
}

func step(t testing.TB, mail approval.Mailer, topic approval.Publisher) approval.RequestUpload {
	return approval.RequestUpload{
		Mail:    mail,
		Topic:   topic,
		Sealer:  func(context.Context) (*approval.Sealer, error) { return newSealer(t, linkKey), nil },
		BaseURL: "https://abc.lambda-url.eu-west-1.on.aws/",
		OrgURL:  "https://example.okta.com",
		Now:     func() time.Time { return now },
	}
}

var linkPattern = regexp.MustCompile(`(?m)^https://abc\.lambda-url\.eu-west-1\.on\.aws/a/([A-Za-z0-9_-]+)$`)

// linkIn finds the link, which must stand alone and whole on a line of its own.
func linkIn(t testing.TB, m notify.Message) string {
	t.Helper()
	found := linkPattern.FindAllStringSubmatch(m.Text, -1)
	if len(found) != 1 {
		t.Fatalf("%d links in the message, want 1:\n%s", len(found), m.Text)
	}
	return found[0][1]
}

func TestEachApproverGetsALinkOfTheirOwn(t *testing.T) {
	mail, topic := &post{}, &board{}
	approvers := []string{"crm@example.com", "sso-team@example.com"}
	out, err := step(t, mail, topic).Run(t.Context(), request(approvers...))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(rotation.RequestUploadOutput{Sent: approvers}, out); diff != "" {
		t.Error(diff)
	}
	for _, approver := range approvers {
		messages := mail.mailboxes[approver]
		if len(messages) != 1 {
			t.Fatalf("%s got %d messages, want 1", approver, len(messages))
		}
		claim, err := newSealer(t, linkKey).Open(linkIn(t, messages[0]), now)
		if err != nil {
			t.Fatalf("the link to %s: %v", approver, err)
		}
		want := approval.Claim{
			TaskToken:   taskToken,
			Target:      salesforce().Target,
			Order:       rotation.BeforeSwitch,
			OldKid:      "old-kid",
			NewKid:      "new-kid",
			OldNotAfter: request().OldKey.NotAfter,
			NewNotAfter: request().NewKey.NotAfter,
			SHA256:      rotation.Fingerprint(certificate()),
			Approver:    approver,
			Expires:     now.Add(14 * rotation.Day),
		}
		if diff := cmp.Diff(want, claim); diff != "" {
			t.Error(diff)
		}
	}
	if len(topic.messages) > 0 {
		t.Error("the topic got a message as well")
	}
}

func TestTheTopicIsToldWhereNobodyCanBeMailed(t *testing.T) {
	for title, test := range map[string]struct {
		mail approval.Mailer
		in   rotation.RequestUploadInput
	}{
		"no sender":    {nil, request("crm@example.com")},
		"no approvers": {&post{}, request()},
	} {
		t.Run(title, func(t *testing.T) {
			topic := &board{}
			out, err := step(t, test.mail, topic).Run(t.Context(), test.in)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(rotation.RequestUploadOutput{Sent: []string{"sns"}}, out); diff != "" {
				t.Error(diff)
			}
			if len(topic.messages) != 1 {
				t.Fatalf("the topic got %d messages, want 1", len(topic.messages))
			}
			claim, err := newSealer(t, linkKey).Open(linkIn(t, topic.messages[0]), now)
			if err != nil || claim.Approver != "" {
				t.Errorf("the topic's link names %q, %v; want nobody", claim.Approver, err)
			}
			if text := topic.messages[0].Text; strings.Contains(text, "yours alone") || !strings.Contains(text, "asks for your name") {
				t.Errorf("a link that many see is announced as one person's:\n%s", text)
			}
		})
	}
}

func TestTheTopicsErrorIsPassedOn(t *testing.T) {
	_, err := step(t, nil, &board{refuses: rotation.Errorf("Notify.Refused", "no such topic")}).Run(t.Context(), request())
	if rotation.NameOf(err) != "Notify.Refused" {
		t.Errorf("got %v, want Notify.Refused", err)
	}
}

func TestTwoOfThreeApproversAreEnough(t *testing.T) {
	mail := &post{refuses: map[string]error{"gone@example.com": rotation.Errorf("Notify.Refused", "no such address")}}
	out, err := step(t, mail, &board{}).Run(t.Context(), request("crm@example.com", "gone@example.com", "sso-team@example.com"))
	if err != nil {
		t.Fatal(err)
	}
	want := rotation.RequestUploadOutput{Sent: []string{"crm@example.com", "sso-team@example.com"}, Unreachable: []string{"gone@example.com"}}
	if diff := cmp.Diff(want, out); diff != "" {
		t.Error(diff)
	}
}

func TestARotationNeverWaitsForAMessageThatNobodyGot(t *testing.T) {
	refused := rotation.Errorf("Notify.Refused", "no such address")
	busy := rotation.Errorf("Notify.Unavailable", "SES is busy")
	for title, test := range map[string]struct {
		refuses map[string]error
		want    string
	}{
		"all refused":                {map[string]error{"a@example.com": refused, "b@example.com": refused}, "Notify.Refused"},
		"all unavailable":            {map[string]error{"a@example.com": busy, "b@example.com": busy}, "Notify.Unavailable"},
		"one may pass, first":        {map[string]error{"a@example.com": busy, "b@example.com": refused}, "Notify.Unavailable"},
		"one may pass, last":         {map[string]error{"a@example.com": refused, "b@example.com": busy}, "Notify.Unavailable"},
		"an error that has no name":  {map[string]error{"a@example.com": errors.New("?"), "b@example.com": refused}, "Notify.Refused"},
		"unavailable behind another": {map[string]error{"a@example.com": refused, "b@example.com": &rotation.Error{Name: "Notify.Unavailable", Err: busy}}, "Notify.Unavailable"},
	} {
		t.Run(title, func(t *testing.T) {
			topic := &board{}
			out, err := step(t, &post{refuses: test.refuses}, topic).Run(t.Context(), request("a@example.com", "b@example.com"))
			if rotation.NameOf(err) != test.want || len(out.Sent) > 0 {
				t.Errorf("got %+v, %v; want nobody and %s", out, err, test.want)
			}
			if err != nil && !errors.Is(err, test.refuses["a@example.com"]) {
				t.Errorf("%v does not say why the first was not told", err)
			}
			withoutToken(t, err)
		})
	}
}

func TestTheMessageHasAllThatAnUploadNeeds(t *testing.T) {
	mail := &post{}
	if _, err := step(t, mail, &board{}).Run(t.Context(), request("crm@example.com")); err != nil {
		t.Fatal(err)
	}
	m := mail.mailboxes["crm@example.com"][0]
	if want := "Upload the new SAML certificate for Salesforce (the old one expires 31 March 2026)"; m.Subject != want {
		t.Errorf("the subject is %q, want %q", m.Subject, want)
	}
	for what, text := range map[string]string{
		"label":           `The SAML app "Salesforce" gets a new signing certificate.`,
		"old expiry":      "Old certificate expires:  Tuesday, 31 March 2026, 13:30 UTC",
		"new expiry":      "New certificate expires:  Friday, 2 April 2027, 12:00 UTC",
		"issuer":          "CN=Example Issuing CA",
		"fingerprint":     rotation.Fingerprint(certificate()),
		"admin console":   "https://example-admin.okta.com/admin/app/salesforce/instance/0oa1gjh63g214q0Hq0g4/#tab-signon",
		"end of the wait": "Please answer by Sunday, 15 March 2026, 12:00 UTC.",
		"chain":           chain,
	} {
		if !strings.Contains(m.Text, text) {
			t.Errorf("%s: no %q in the message:\n%s", what, text, m.Text)
		}
	}
	block, _ := pem.Decode([]byte(m.Text))
	if block == nil || block.Type != "CERTIFICATE" || !bytes.Equal(block.Bytes, certificate()) {
		t.Fatal("the first PEM block is not the new certificate")
	}
	if _, err := x509.ParseCertificate(block.Bytes); err != nil {
		t.Error(err)
	}
	if strings.Contains(m.Text, taskToken[:40]) || strings.Contains(m.Text, "%!") || strings.Contains(m.Text, "\r") {
		t.Errorf("the message shows the token, a formatting mistake or a carriage return:\n%s", m.Text)
	}
	for line := range strings.Lines(m.Text) {
		if len(line) > 998 && !strings.HasPrefix(line, "https://") {
			t.Errorf("a line of %d characters, more than a mail can have: %s", len(line), line)
		}
	}
}

func TestWithoutAChainTheMessageHasOneCertificate(t *testing.T) {
	mail, in := &post{}, request("crm@example.com")
	in.Chain = ""
	if _, err := step(t, mail, &board{}).Run(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	if text := mail.mailboxes["crm@example.com"][0].Text; strings.Count(text, "BEGIN CERTIFICATE") != 1 || strings.Contains(text, "CA above") {
		t.Errorf("the message announces a chain that it does not have:\n%s", text)
	}
}

func TestTheMessageTellsWhatToDoInWhichOrder(t *testing.T) {
	const decrypts = "Okta decrypts assertions with the same key"
	for title, test := range map[string]struct {
		kind          rotation.Kind
		order         rotation.UploadOrder
		says, conceal []string
	}{
		"app, before the switch": {rotation.KindApp, rotation.BeforeSwitch,
			[]string{"The SAML app", "to the app (the service provider), then confirm", "Okta switches to it right after you confirm", "keep the old one", "only one, replace it and confirm at once", "Nothing changes then."},
			[]string{"ALREADY", decrypts}},
		"app, after the switch": {rotation.KindApp, rotation.AfterSwitch,
			[]string{"Okta ALREADY signs", "until the app (the service provider) has it, sign-in through Okta fails", "Okta then goes back to the old certificate"},
			[]string{"Nothing changes then", "switches to it right after", decrypts}},
		"IdP, before the switch": {rotation.KindIDP, rotation.BeforeSwitch,
			[]string{"The SAML identity provider", "to the operator of the identity provider, then confirm", decrypts, "https://example-admin.okta.com/admin/access/identity-providers/edit/0oa1gjh63g214q0Hq0g4"},
			[]string{"ALREADY", "service provider"}},
		"IdP, after the switch": {rotation.KindIDP, rotation.AfterSwitch,
			[]string{"Okta ALREADY signs", "until the operator of the identity provider has it", decrypts},
			[]string{"Nothing changes then", "service provider"}},
	} {
		t.Run(title, func(t *testing.T) {
			in := request("crm@example.com")
			in.Target.Kind, in.Policy.UploadOrder = test.kind, test.order
			mail := &post{}
			if _, err := step(t, mail, &board{}).Run(t.Context(), in); err != nil {
				t.Fatal(err)
			}
			text := mail.mailboxes["crm@example.com"][0].Text
			for _, s := range test.says {
				if !strings.Contains(text, s) {
					t.Errorf("no %q in the message:\n%s", s, text)
				}
			}
			for _, s := range test.conceal {
				if strings.Contains(text, s) {
					t.Errorf("%q does not belong into the message:\n%s", s, text)
				}
			}
			if claim, err := newSealer(t, linkKey).Open(linkIn(t, mail.mailboxes["crm@example.com"][0]), now); err != nil || claim.Order != test.order || claim.Target.Kind != test.kind {
				t.Errorf("the link is for %s, %s (%v)", claim.Target.Kind, claim.Order, err)
			}
		})
	}
}

func TestTheAdminConsolesAddress(t *testing.T) {
	for org, want := range map[string]string{
		"https://example.okta.com":        "https://example-admin.okta.com/admin/app/salesforce/instance/",
		"https://example.okta.com/":       "https://example-admin.okta.com/admin/app/salesforce/instance/",
		"https://example.oktapreview.com": "https://example-admin.oktapreview.com/admin/app/salesforce/instance/",
		"https://example.okta-emea.com":   "https://example-admin.okta-emea.com/admin/app/salesforce/instance/",
		"https://login.example.com":       "https://login.example.com/admin/app/salesforce/instance/",
		"http://127.0.0.1:8080":           "http://127.0.0.1:8080/admin/app/salesforce/instance/",
		"http://localhost:8080/":          "http://localhost:8080/admin/app/salesforce/instance/",
	} {
		t.Run(org, func(t *testing.T) {
			mail := &post{}
			s := step(t, mail, &board{})
			s.OrgURL = org
			if _, err := s.Run(t.Context(), request("crm@example.com")); err != nil {
				t.Fatal(err)
			}
			if text := mail.mailboxes["crm@example.com"][0].Text; !strings.Contains(text, " "+want) {
				t.Errorf("no %s in the message:\n%s", want, text)
			}
		})
	}
	t.Run("an app that is not from the catalogue", func(t *testing.T) {
		mail, in := &post{}, request("crm@example.com")
		in.Target.Name = ""
		if _, err := step(t, mail, &board{}).Run(t.Context(), in); err != nil {
			t.Fatal(err)
		}
		if text := mail.mailboxes["crm@example.com"][0].Text; !strings.Contains(text, "/admin/app/app/instance/0oa1gjh63g214q0Hq0g4/") {
			t.Errorf("the address has a hole:\n%s", text)
		}
	})
}

func TestRequestUploadRefuses(t *testing.T) {
	for title, test := range map[string]struct {
		change     func(*rotation.RequestUploadInput)
		name, says string
	}{
		"no task token":             {func(in *rotation.RequestUploadInput) { in.TaskToken = "" }, "Input.Invalid", "taskToken"},
		"no certificate":            {func(in *rotation.RequestUploadInput) { in.NewKey.Certificate = "" }, "Input.Invalid", "newKey.certificate"},
		"a certificate in PEM":      {func(in *rotation.RequestUploadInput) { in.NewKey.Certificate = chain }, "Input.Invalid", "newKey.certificate"},
		"a target of no known kind": {func(in *rotation.RequestUploadInput) { in.Target.Kind = "user" }, "Target.Invalid", "target.kind"},
		"a target without an id":    {func(in *rotation.RequestUploadInput) { in.Target.ID = "" }, "Target.Invalid", "target.id"},
	} {
		t.Run(title, func(t *testing.T) {
			mail, topic, in := &post{}, &board{}, request("crm@example.com")
			test.change(&in)
			_, err := step(t, mail, topic).Run(t.Context(), in)
			if rotation.NameOf(err) != test.name || !strings.Contains(err.Error(), test.says) {
				t.Errorf("got %v, want %s about %s", err, test.name, test.says)
			}
			withoutToken(t, err)
			if len(mail.mailboxes)+len(topic.messages) > 0 {
				t.Error("a message was sent all the same")
			}
		})
	}
}

func TestRequestUploadPassesOnWhyThereIsNoLinkKey(t *testing.T) {
	mail := &post{}
	s := step(t, mail, &board{})
	s.Sealer = func(context.Context) (*approval.Sealer, error) {
		return nil, rotation.Errorf("Secret.Unavailable", "not now")
	}
	if _, err := s.Run(t.Context(), request("crm@example.com")); rotation.NameOf(err) != "Secret.Unavailable" {
		t.Errorf("got %v, want Secret.Unavailable", err)
	}
	if len(mail.mailboxes) > 0 {
		t.Error("a message without a link was sent")
	}
}

func TestTheMessageSaysHowUrgentItIs(t *testing.T) {
	for title, test := range map[string]struct {
		order    rotation.UploadOrder
		giveUp   int
		subject  string
		answerBy string
	}{
		"time enough": {rotation.BeforeSwitch, 2, "Upload the new SAML certificate for ", "days"},
		"the old certificate ends before the request does": {rotation.BeforeSwitch, 365, "Upload the new SAML certificate for ", "expiry"},
		"nobody can sign in": {rotation.AfterSwitch, 365, "URGENT: sign-in to ", "days"},
	} {
		t.Run(title, func(t *testing.T) {
			mail := &post{}
			s := step(t, mail, nil)
			in := request("crm@example.com")
			in.Policy.UploadOrder, in.Policy.GiveUpDays = test.order, test.giveUp
			if _, err := s.Run(t.Context(), in); err != nil {
				t.Fatal(err)
			}
			by := s.Now().AddDate(0, 0, test.giveUp)
			if test.answerBy == "expiry" {
				by = in.OldKey.NotAfter
			}
			want := "Please answer by " + by.UTC().Format("Monday, 2 January 2006, 15:04 UTC") + "."
			if test.order == rotation.AfterSwitch {
				want = "after " + by.UTC().Format("Monday, 2 January 2006, 15:04 UTC") + " Okta goes back to the old certificate by itself."
			}
			got := mail.mailboxes["crm@example.com"][0]
			if !strings.Contains(got.Text, want) {
				t.Errorf("the message does not say %q:\n%s", want, got.Text)
			}
			if !strings.HasPrefix(got.Subject, test.subject) || !strings.Contains(got.Subject, in.Target.Label) {
				t.Errorf("the subject is %q", got.Subject)
			}
		})
	}
}
