package request_test

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
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/google/go-cmp/cmp"

	"keyturn/internal/approval"
	"keyturn/internal/approval/request"
	"keyturn/internal/notify"
	"keyturn/internal/rotation"
)

var (
	now     = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	linkKey = bytes.Repeat([]byte("k"), 64)
	// taskToken looks like one of Step Functions'.
	taskToken = "AQCEAAAAKgAAAAMAAAAAAAAAAe1" + strings.Repeat("q0Zx+8/Wd7LkT3vB", 40) + "=="
)

func newSealer(t testing.TB, secret []byte) *approval.Sealer {
	t.Helper()
	s, err := approval.NewSealer(secret)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// withoutToken looks through the whole chain: %#v would print causes.
func withoutToken(t *testing.T, err error) {
	t.Helper()
	if all := fmt.Sprintf("%v %#v", err, err); strings.Contains(all, taskToken[:40]) {
		t.Errorf("the error shows the token: %s", all)
	}
}

// post delivers to mailboxes, but for the addresses that it refuses.
type post struct {
	mu        sync.Mutex
	mailboxes map[string][]notify.Message
	refuses   map[string]error
}

func (p *post) Send(_ context.Context, to string, m notify.Message) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.refuses[to]; err != nil {
		return err
	}
	if p.mailboxes == nil {
		p.mailboxes = map[string][]notify.Message{}
	}
	p.mailboxes[to] = append(p.mailboxes[to], m)
	return nil
}

// board is a topic or a chat.
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

// bus keeps the details of the events that it took, or fails with its outage.
type bus struct {
	outage  error
	details []string
}

func (b *bus) PutEvents(_ context.Context, in *eventbridge.PutEventsInput, _ ...func(*eventbridge.Options)) (*eventbridge.PutEventsOutput, error) {
	if b.outage != nil {
		return nil, b.outage
	}
	for _, e := range in.Entries {
		b.details = append(b.details, *e.Source+" "+*e.DetailType+" "+*e.Detail)
	}
	return &eventbridge.PutEventsOutput{}, nil
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

const execution = "app-0oa1gjh63g214q0Hq0g4-SIMcCQNY-20260301"

const chain = "-----BEGIN CERTIFICATE-----\nY2hhaW4gJXMgJWQ=\n-----END CERTIFICATE-----\n"

func wanted(approvers ...string) rotation.RequestUploadInput {
	return rotation.RequestUploadInput{
		TaskToken: taskToken,
		Stage:     rotation.StageUpload,
		Execution: "arn:aws:states:eu-west-1:123456789012:execution:keyturn-rotation:" + execution,
		Target:    rotation.Target{Kind: rotation.KindApp, ID: "0oa1gjh63g214q0Hq0g4", Label: "Salesforce", Name: "salesforce"},
		Policy:    rotation.DefaultSettings(approvers),
		OldKey:    rotation.Key{Kid: "old-kid", NotAfter: now.Add(30*rotation.Day + 90*time.Minute)},
		NewKey:    rotation.Key{Kid: "new-kid", NotAfter: now.Add(397 * rotation.Day), Issuer: "CN=Example Issuing CA", Certificate: base64.StdEncoding.EncodeToString(certificate())},
		Chain:     chain,
		AnswerBy:  now.Add(14 * rotation.Day),
	}
}

func step(t testing.TB, mail request.Mailer, topic request.Publisher) request.Upload {
	return request.Upload{
		Mail:    mail,
		Topic:   topic,
		Sealer:  func(context.Context) (*approval.Sealer, error) { return newSealer(t, linkKey), nil },
		BaseURL: "https://abc.lambda-url.eu-west-1.on.aws/",
		OrgURL:  "https://example.okta.com",
		Now:     func() time.Time { return now },
		Log:     slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
}

// mailTo gives the only mail to one approver.
func mailTo(t testing.TB, in rotation.RequestUploadInput) notify.Message {
	t.Helper()
	mail := &post{}
	if _, err := step(t, mail, &board{}).Run(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	messages := mail.mailboxes[in.Policy.Approvers[0]]
	if len(messages) != 1 {
		t.Fatalf("%s got %d messages, want 1", in.Policy.Approvers[0], len(messages))
	}
	return messages[0]
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
	out, err := step(t, mail, topic).Run(t.Context(), wanted(approvers...))
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
			TaskToken: taskToken,
			Stage:     rotation.StageUpload,
			Execution: execution,
			Target:    rotation.Target{Kind: rotation.KindApp, ID: "0oa1gjh63g214q0Hq0g4", Label: "Salesforce"},
			Approver:  approver,
			Expires:   now.Add(14 * rotation.Day),
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
		mail request.Mailer
		in   rotation.RequestUploadInput
	}{
		"no sender":    {nil, wanted("crm@example.com")},
		"no approvers": {&post{}, wanted()},
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
	_, err := step(t, nil, &board{refuses: rotation.Errorf("Notify.Refused", "no such topic")}).Run(t.Context(), wanted())
	if rotation.NameOf(err) != "Notify.Refused" {
		t.Errorf("got %v, want Notify.Refused", err)
	}
}

func TestTwoOfThreeApproversAreEnough(t *testing.T) {
	mail := &post{refuses: map[string]error{"gone@example.com": rotation.Errorf("Notify.Refused", "no such address")}}
	out, err := step(t, mail, &board{}).Run(t.Context(), wanted("crm@example.com", "gone@example.com", "sso-team@example.com"))
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
			out, err := step(t, &post{refuses: test.refuses}, topic).Run(t.Context(), wanted("a@example.com", "b@example.com"))
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

func TestRequestUploadRefuses(t *testing.T) {
	for title, test := range map[string]struct {
		change     func(*rotation.RequestUploadInput)
		name, says string
	}{
		"a stage of no known name":  {func(in *rotation.RequestUploadInput) { in.Stage = "hurry" }, "Input.Invalid", "stage"},
		"an upload without its end": {func(in *rotation.RequestUploadInput) { in.AnswerBy = time.Time{} }, "Input.Invalid", "answerBy"},
		"a plan without a decision": {func(in *rotation.RequestUploadInput) { in.Stage = rotation.StagePlanned }, "Input.Invalid", "decision.switchAt"},
		"a plan without a time": {func(in *rotation.RequestUploadInput) {
			in.Stage, in.Decision = rotation.StagePlanned, &rotation.Decision{Confirmed: true}
		}, "Input.Invalid", "decision.switchAt"},
		"a signature without a request": {func(in *rotation.RequestUploadInput) { in.Stage = rotation.StageCertificate }, "Input.Invalid", "csr.request is missing"},
		"a request in PEM": {func(in *rotation.RequestUploadInput) {
			in.Stage, in.CSR = rotation.StageCertificate, &rotation.CSR{Request: "-----BEGIN CERTIFICATE REQUEST-----"}
		}, "Input.Invalid", "csr.request is not in base64"},
		"a request that is none": {func(in *rotation.RequestUploadInput) {
			in.Stage, in.CSR = rotation.StageCertificate, &rotation.CSR{Request: in.NewKey.Certificate}
		}, "Input.Invalid", "csr.request is no PKCS#10 request"},
		"a signature without its end": {func(in *rotation.RequestUploadInput) {
			in.Stage, in.AnswerBy = rotation.StageCertificate, time.Time{}
		}, "Input.Invalid", "answerBy"},
		"no task token":             {func(in *rotation.RequestUploadInput) { in.TaskToken = "" }, "Input.Invalid", "taskToken"},
		"no certificate":            {func(in *rotation.RequestUploadInput) { in.NewKey.Certificate = "" }, "Input.Invalid", "newKey.certificate"},
		"a certificate in PEM":      {func(in *rotation.RequestUploadInput) { in.NewKey.Certificate = chain }, "Input.Invalid", "newKey.certificate"},
		"a target of no known kind": {func(in *rotation.RequestUploadInput) { in.Target.Kind = "user" }, "Target.Invalid", "target.kind"},
		"a target without an id":    {func(in *rotation.RequestUploadInput) { in.Target.ID = "" }, "Target.Invalid", "target.id"},
	} {
		t.Run(title, func(t *testing.T) {
			mail, topic, in := &post{}, &board{}, wanted("crm@example.com")
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
	if _, err := s.Run(t.Context(), wanted("crm@example.com")); rotation.NameOf(err) != "Secret.Unavailable" {
		t.Errorf("got %v, want Secret.Unavailable", err)
	}
	if len(mail.mailboxes) > 0 {
		t.Error("a message without a link was sent")
	}
}

func TestTheChatIsToldInAddition(t *testing.T) {
	for title, test := range map[string]struct {
		mail request.Mailer
		in   rotation.RequestUploadInput
		sent []string
	}{
		"beside mails": {&post{}, wanted("crm@example.com"), []string{"crm@example.com", "chat"}},
		"no sender":    {nil, wanted("crm@example.com"), []string{"chat"}},
		"no approvers": {&post{}, wanted(), []string{"chat"}},
	} {
		t.Run(title, func(t *testing.T) {
			chat, topic := &board{}, &board{}
			s := step(t, test.mail, topic)
			s.Chat = chat
			out, err := s.Run(t.Context(), test.in)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(rotation.RequestUploadOutput{Sent: test.sent}, out); diff != "" {
				t.Error(diff)
			}
			if len(chat.messages) != 1 || len(topic.messages) != 0 {
				t.Fatalf("the chat got %d messages, the topic %d", len(chat.messages), len(topic.messages))
			}
			link := chat.messages[0].Card.Button.URL
			claim, err := newSealer(t, linkKey).Open(link[strings.LastIndex(link, "/")+1:], now)
			if err != nil || claim.Approver != "" || claim.TaskToken != taskToken {
				t.Errorf("the chat's link names %q, %v; want nobody", claim.Approver, err)
			}
		})
	}
}

func TestOneChannelIsEnough(t *testing.T) {
	refused := rotation.Errorf("Notify.Refused", "gone")
	t.Run("the chat", func(t *testing.T) {
		s := step(t, &post{refuses: map[string]error{"crm@example.com": refused}}, &board{})
		s.Chat = &board{}
		out, err := s.Run(t.Context(), wanted("crm@example.com"))
		if diff := cmp.Diff(rotation.RequestUploadOutput{Sent: []string{"chat"}, Unreachable: []string{"crm@example.com"}}, out); err != nil || diff != "" {
			t.Error(err, diff)
		}
	})
	t.Run("a mail", func(t *testing.T) {
		s := step(t, &post{}, &board{})
		s.Chat = &board{refuses: refused}
		out, err := s.Run(t.Context(), wanted("crm@example.com"))
		if diff := cmp.Diff(rotation.RequestUploadOutput{Sent: []string{"crm@example.com"}, Unreachable: []string{"chat"}}, out); err != nil || diff != "" {
			t.Error(err, diff)
		}
	})
	t.Run("not none", func(t *testing.T) {
		s := step(t, &post{refuses: map[string]error{"crm@example.com": refused}}, &board{})
		s.Chat = &board{refuses: rotation.Errorf("Notify.Unavailable", "busy")}
		if _, err := s.Run(t.Context(), wanted("crm@example.com")); rotation.NameOf(err) != "Notify.Unavailable" {
			t.Errorf("got %v, want Notify.Unavailable", err)
		}
	})
}

func TestAnEscalationReachesMoreAndNobodyTwice(t *testing.T) {
	in := wanted("crm@example.com", "SSO-team@example.com", "crm@Example.com")
	in.Policy.EscalateTo = []string{"sso-team@example.com", "identity-lead@example.com"}
	for _, test := range []struct {
		escalate bool
		want     []string
	}{
		{false, []string{"crm@example.com", "SSO-team@example.com"}},
		{true, []string{"crm@example.com", "SSO-team@example.com", "identity-lead@example.com"}},
	} {
		in.Escalate, in.Round = test.escalate, 1
		mail := &post{}
		out, err := step(t, mail, &board{}).Run(t.Context(), in)
		if diff := cmp.Diff(rotation.RequestUploadOutput{Sent: test.want}, out); err != nil || diff != "" {
			t.Error(err, diff)
		}
		if len(mail.mailboxes) != len(test.want) {
			t.Errorf("%d mailboxes have mail, want %d", len(mail.mailboxes), len(test.want))
		}
	}
}

func TestAnEscalationWithoutApproversStillTellsTheTopic(t *testing.T) {
	in, topic := wanted(), &board{}
	in.Policy.EscalateTo, in.Escalate = []string{"identity-lead@example.com"}, true
	out, err := step(t, &post{}, topic).Run(t.Context(), in)
	if diff := cmp.Diff(rotation.RequestUploadOutput{Sent: []string{"identity-lead@example.com", "sns"}}, out); err != nil || diff != "" {
		t.Error(err, diff)
	}
}

func TestTheOrderOfManyMailsIsThePolicys(t *testing.T) {
	var approvers, reached, unreachable []string
	refuses := map[string]error{}
	for i := range 40 {
		address := "a" + strings.Repeat("x", i) + "@example.com"
		approvers = append(approvers, address)
		if i%3 == 0 {
			refuses[address] = rotation.Errorf("Notify.Refused", "no such address")
			unreachable = append(unreachable, address)
		} else {
			reached = append(reached, address)
		}
	}
	out, err := step(t, &post{refuses: refuses}, &board{}).Run(t.Context(), wanted(approvers...))
	if diff := cmp.Diff(rotation.RequestUploadOutput{Sent: reached, Unreachable: unreachable}, out); err != nil || diff != "" {
		t.Error(err, diff)
	}
}

func TestALinkEndsWithItsStage(t *testing.T) {
	at := now.Add(5 * rotation.Day)
	for stage, want := range map[rotation.Stage]time.Time{
		rotation.StageUpload:  now.Add(14 * rotation.Day),
		rotation.StagePlanned: at,
		rotation.StageSignIn:  now.Add(24 * time.Hour),
	} {
		in := wanted("crm@example.com")
		in.Stage, in.Decision = stage, &rotation.Decision{Confirmed: true, By: "crm@example.com", SwitchAt: &at}
		claim, err := newSealer(t, linkKey).Open(linkIn(t, mailTo(t, in)), now)
		if err != nil || claim.Stage != stage || !claim.Expires.Equal(want) {
			t.Errorf("the link of %s is for %s until %s (%v), want %s", stage, claim.Stage, claim.Expires, err, want)
		}
	}
}

func TestAnEventSaysWhoWasAsked(t *testing.T) {
	at := now.Add(5 * rotation.Day)
	in := wanted("crm@example.com", "gone@example.com")
	in.Round, in.Escalate = 2, true
	in.Decision = &rotation.Decision{CalledOff: true, By: "crm@example.com", At: now, Comment: "not yet", Address: "192.0.2.1", SwitchAt: &at}
	events := &bus{}
	s := step(t, &post{refuses: map[string]error{"gone@example.com": rotation.Errorf("Notify.Refused", "no such address")}}, &board{})
	s.Events = events
	if _, err := s.Run(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	const want = `keyturn Keyturn Approval Requested {"stage":"upload","target":{"kind":"app","id":"0oa1gjh63g214q0Hq0g4","label":"Salesforce","name":"salesforce"},` +
		`"oldKid":"old-kid","newKid":"new-kid","round":2,"escalated":true,"sent":["crm@example.com"],"unreachable":["gone@example.com"],"answerBy":"2026-03-15T12:00:00Z",` +
		`"decision":{"confirmed":false,"by":"crm@example.com","at":"2026-03-01T12:00:00Z","comment":"not yet","address":"192.0.2.1","switchAt":"2026-03-06T12:00:00Z","calledOff":true},` +
		`"execution":"arn:aws:states:eu-west-1:123456789012:execution:keyturn-rotation:app-0oa1gjh63g214q0Hq0g4-SIMcCQNY-20260301"}`
	if diff := cmp.Diff([]string{want}, events.details); diff != "" {
		t.Error(diff)
	}
	events.details = nil
	if _, err := s.Run(t.Context(), wanted("crm@example.com")); err != nil {
		t.Fatal(err)
	}
	if got := events.details[0]; !strings.Contains(got, `"unreachable":[]`) || !strings.Contains(got, `"decision":null`) {
		t.Errorf("an empty list is missing, or a decision that nobody made is there: %s", got)
	}
}

func TestAnEventThatCannotBePutMailsNobodyAgain(t *testing.T) {
	var log strings.Builder
	mail := &post{}
	s := step(t, mail, &board{})
	s.Events, s.Log = &bus{outage: errors.New("no answer about " + taskToken)}, slog.New(slog.NewJSONHandler(&log, nil))
	out, err := s.Run(t.Context(), wanted("crm@example.com"))
	if diff := cmp.Diff(rotation.RequestUploadOutput{Sent: []string{"crm@example.com"}}, out); err != nil || diff != "" {
		t.Error(err, diff)
	}
	if !json.Valid([]byte(log.String())) || !strings.Contains(log.String(), "EventBridge") {
		t.Errorf("the log does not say it: %s", log.String())
	}
	link := linkIn(t, mail.mailboxes["crm@example.com"][0])
	if strings.Contains(log.String(), taskToken) || strings.Contains(log.String(), link) {
		t.Errorf("the log shows a secret: %s", log.String())
	}
}

func TestTheReasonWhySomebodyWasNotToldIsLogged(t *testing.T) {
	var log strings.Builder
	s := step(t, &post{refuses: map[string]error{"gone@example.com": rotation.Errorf("Notify.Refused", "gone@example.com: no such address")}}, &board{})
	s.Log = slog.New(slog.NewJSONHandler(&log, nil))
	if _, err := s.Run(t.Context(), wanted("crm@example.com", "gone@example.com")); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Notify.Refused", "gone@example.com: no such address", "0oa1gjh63g214q0Hq0g4"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("no %q in the log: %s", want, log.String())
		}
	}
}

func TestARepeatedRunAsksAgainWithTheNewToken(t *testing.T) {
	in := wanted("crm@example.com")
	first := linkIn(t, mailTo(t, in))
	in.TaskToken = strings.ToUpper(taskToken)
	second := linkIn(t, mailTo(t, in))
	claim, err := newSealer(t, linkKey).Open(second, now)
	if err != nil || claim.TaskToken != in.TaskToken || first == second {
		t.Errorf("the second link holds another token than its own: %v", err)
	}
}
