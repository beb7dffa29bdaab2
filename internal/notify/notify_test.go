package notify_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sesv2"
	sestypes "github.com/aws/aws-sdk-go-v2/service/sesv2/types"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	snstypes "github.com/aws/aws-sdk-go-v2/service/sns/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"pgregory.net/rapid"

	"keyturn/internal/notify"
	"keyturn/internal/rotation"
)

const link = "https://abc.lambda-url.eu-west-1.on.aws/a/AQsecretlink"

var message = notify.Message{Subject: "Upload the new SAML certificate for Žluťák", Text: "Answer here:\n" + link + "\nbye\n"}

// ses mails from one verified sender, and fails with its outage.
type ses struct {
	outage error
	sent   []*sesv2.SendEmailInput
}

func (s *ses) SendEmail(_ context.Context, in *sesv2.SendEmailInput, _ ...func(*sesv2.Options)) (*sesv2.SendEmailOutput, error) {
	err := s.outage
	if err == nil && *in.FromEmailAddress != "keyturn@example.com" {
		err = &sestypes.MessageRejected{Message: aws.String("Email address is not verified: " + *in.FromEmailAddress + " " + *in.Content.Simple.Body.Text.Data)}
	}
	if err != nil {
		return nil, &smithy.OperationError{ServiceID: "SESv2", OperationName: "SendEmail", Err: err}
	}
	s.sent = append(s.sent, in)
	return &sesv2.SendEmailOutput{MessageId: aws.String("id")}, nil
}

// topics has one topic, and SNS's rules for a subject (API reference, Publish).
type topics struct {
	outage error
	// lonely is a topic without confirmed subscribers.
	lonely bool
	sent   []*sns.PublishInput
}

const topicARN = "arn:aws:sns:eu-west-1:123456789012:keyturn-notifications"

func (s *topics) GetTopicAttributes(_ context.Context, in *sns.GetTopicAttributesInput, _ ...func(*sns.Options)) (*sns.GetTopicAttributesOutput, error) {
	err := s.outage
	if err == nil && *in.TopicArn != topicARN {
		err = &snstypes.NotFoundException{Message: aws.String("Topic does not exist")}
	}
	if err != nil {
		return nil, &smithy.OperationError{ServiceID: "SNS", OperationName: "GetTopicAttributes", Err: err}
	}
	confirmed := "2"
	if s.lonely {
		confirmed = "0"
	}
	return &sns.GetTopicAttributesOutput{Attributes: map[string]string{"TopicArn": topicARN, "SubscriptionsPending": "1", "SubscriptionsConfirmed": confirmed}}, nil
}

func (s *topics) Publish(_ context.Context, in *sns.PublishInput, _ ...func(*sns.Options)) (*sns.PublishOutput, error) {
	err := s.outage
	subject := *in.Subject
	switch {
	case err != nil:
	case *in.TopicArn != topicARN:
		err = &snstypes.NotFoundException{Message: aws.String("Topic does not exist")}
	case subject == "" || len(subject) >= 100 || subject[0] == ' ' || strings.ContainsFunc(subject, func(r rune) bool { return r < ' ' || r > '~' }):
		err = &snstypes.InvalidParameterException{Message: aws.String("Invalid parameter: Subject " + subject)}
	}
	if err != nil {
		return nil, &smithy.OperationError{ServiceID: "SNS", OperationName: "Publish", Err: err}
	}
	s.sent = append(s.sent, in)
	return &sns.PublishOutput{MessageId: aws.String("id")}, nil
}

func TestAMailGoesToOneAddressInTextAndHTML(t *testing.T) {
	service := &ses{}
	full := message
	full.HTML = "<p>Žluťák</p>"
	full.Attachments = []notify.Attachment{{Name: "a.pem", ContentType: "application/x-pem-file", Content: []byte("pem")}}
	if err := (notify.Mail{SES: service, Sender: "keyturn@example.com"}).Send(t.Context(), "crm@example.com", full); err != nil {
		t.Fatal(err)
	}
	in := service.sent[0]
	if to := in.Destination; len(to.ToAddresses) != 1 || to.ToAddresses[0] != "crm@example.com" || len(to.CcAddresses)+len(to.BccAddresses) > 0 {
		t.Errorf("it goes to %+v", to)
	}
	simple := in.Content.Simple
	for _, part := range []struct {
		got  *sestypes.Content
		want string
	}{{simple.Subject, full.Subject}, {simple.Body.Text, full.Text}, {simple.Body.Html, full.HTML}} {
		if *part.got.Data != part.want || *part.got.Charset != "UTF-8" {
			t.Errorf("%q in %s, want %q", *part.got.Data, *part.got.Charset, part.want)
		}
	}
	if a := simple.Attachments; len(a) != 1 || *a[0].FileName != "a.pem" || *a[0].ContentType != "application/x-pem-file" || string(a[0].RawContent) != "pem" || a[0].ContentDisposition != "ATTACHMENT" {
		t.Errorf("it carries %+v", a)
	}
	headers := map[string]string{}
	for _, h := range simple.Headers {
		headers[*h.Name] = *h.Value
	}
	if headers["Auto-Submitted"] != "auto-generated" {
		t.Errorf("its headers are %v; a holiday note may come back", headers)
	}
	if in.ConfigurationSetName != nil {
		t.Errorf("the configuration set %s may track who opens it", *in.ConfigurationSetName)
	}
}

func TestAMailWithoutHTMLIsPlainText(t *testing.T) {
	service := &ses{}
	if err := (notify.Mail{SES: service, Sender: "keyturn@example.com"}).Send(t.Context(), "crm@example.com", message); err != nil {
		t.Fatal(err)
	}
	if simple := service.sent[0].Content.Simple; simple.Body.Html != nil || len(simple.Attachments) > 0 {
		t.Errorf("it carries %+v", simple)
	}
}

func TestAMailsSubjectIsOneLine(t *testing.T) {
	service := &ses{}
	hostile := notify.Message{Subject: "For A\r\nBcc: all@example.com\u0085\x00\u202e", Text: "text"}
	if err := (notify.Mail{SES: service, Sender: "keyturn@example.com"}).Send(t.Context(), "crm@example.com", hostile); err != nil {
		t.Fatal(err)
	}
	if got, want := *service.sent[0].Content.Simple.Subject.Data, "For A Bcc: all@example.com"; got != want {
		t.Errorf("the subject is %q, want %q", got, want)
	}
}

func TestATopicGetsTheTextAsItIs(t *testing.T) {
	service := &topics{}
	if err := (notify.Topic{SNS: service, ARN: topicARN}).Send(t.Context(), message); err != nil {
		t.Fatal(err)
	}
	if got := *service.sent[0].Message; got != message.Text {
		t.Errorf("the text is %q", got)
	}
	if got, want := *service.sent[0].Subject, "Upload the new SAML certificate for -lu--k"; got != want {
		t.Errorf("the subject is %q, want %q", got, want)
	}
}

func TestSNSTakesTheSubjectWhateverTheLabelIs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		service := &topics{}
		label := rapid.OneOf(rapid.String(), rapid.StringN(80, 200, -1), rapid.StringMatching(`[ -~]{0,200}`)).Draw(t, "label")
		m := notify.Message{Subject: "Upload the new SAML certificate for " + label + " (the old one expires 31 March 2026)", Text: "text"}
		if err := (notify.Topic{SNS: service, ARN: topicARN}).Send(context.Background(), m); err != nil {
			t.Fatalf("label %q: %v", label, err)
		}
	})
}

func TestALongSubjectIsCutWithThreeDots(t *testing.T) {
	for length, want := range map[int]string{
		99:  strings.Repeat("s", 99),
		100: strings.Repeat("s", 96) + "...",
		500: strings.Repeat("s", 96) + "...",
	} {
		service := &topics{}
		if err := (notify.Topic{SNS: service, ARN: topicARN}).Send(t.Context(), notify.Message{Subject: " " + strings.Repeat("s", length) + " "}); err != nil {
			t.Fatal(err)
		}
		if got := *service.sent[0].Subject; got != want {
			t.Errorf("%d characters become %q, want %q", length, got, want)
		}
	}
}

// status is an answer whose code the SDK did not know.
func status(code int, err error) error {
	return &smithyhttp.ResponseError{Response: &smithyhttp.Response{Response: &http.Response{StatusCode: code}}, Err: err}
}

func TestWhatMayPassIsUnavailableAndTheRestRefused(t *testing.T) {
	quoting := func(code string) error { return &smithy.GenericAPIError{Code: code, Message: "about " + link} }
	both := []struct {
		outage error
		name   string
	}{
		{quoting("ThrottlingException"), "Notify.Unavailable"},
		{quoting("Throttling"), "Notify.Unavailable"},
		{quoting("ServiceUnavailable"), "Notify.Unavailable"},
		{status(503, quoting("UnknownError")), "Notify.Unavailable"},
		{status(400, quoting("UnknownError")), "Notify.Refused"},
		{status(403, quoting("AccessDenied")), "Notify.Refused"},
		{quoting("AccessDeniedException"), "Notify.Refused"},
		{&smithyhttp.RequestSendError{Err: fmt.Errorf("post %s: connection refused", link)}, "Notify.Unavailable"},
		{context.DeadlineExceeded, "Notify.Unavailable"},
	}
	for _, test := range append(both, []struct {
		outage error
		name   string
	}{
		{&sestypes.TooManyRequestsException{}, "Notify.Unavailable"},
		{&sestypes.LimitExceededException{}, "Notify.Unavailable"},
		{&sestypes.InternalServiceErrorException{}, "Notify.Unavailable"},
		{&sestypes.MessageRejected{Message: aws.String(link)}, "Notify.Refused"},
		{&sestypes.BadRequestException{}, "Notify.Refused"},
		{&sestypes.NotFoundException{}, "Notify.Refused"},
		{&sestypes.AccountSuspendedException{}, "Notify.Refused"},
		{&sestypes.SendingPausedException{}, "Notify.Refused"},
		{&sestypes.MailFromDomainNotVerifiedException{}, "Notify.Refused"},
	}...) {
		err := notify.Mail{SES: &ses{outage: test.outage}, Sender: "keyturn@example.com"}.Send(t.Context(), "crm@example.com", message)
		check(t, test.outage, err, test.name, "SES did not take the mail to crm@example.com from keyturn@example.com", "sandbox")
	}
	for _, test := range append(both, []struct {
		outage error
		name   string
	}{
		{&snstypes.ThrottledException{}, "Notify.Unavailable"},
		{&snstypes.KMSThrottlingException{}, "Notify.Unavailable"},
		{&snstypes.InternalErrorException{}, "Notify.Unavailable"},
		{&snstypes.NotFoundException{}, "Notify.Refused"},
		{&snstypes.AuthorizationErrorException{}, "Notify.Refused"},
		{&snstypes.InvalidParameterException{Message: aws.String(link)}, "Notify.Refused"},
		{&snstypes.KMSAccessDeniedException{}, "Notify.Refused"},
		{&snstypes.EndpointDisabledException{}, "Notify.Refused"},
	}...) {
		err := notify.Topic{SNS: &topics{outage: test.outage}, ARN: topicARN}.Send(t.Context(), message)
		check(t, test.outage, err, test.name, "SNS did not say who subscribes to the topic "+topicARN, "may read its attributes")
	}
}

// check wants the name, what failed, the service's code, the remedy where a
// person must mend it, and nothing of the message.
func check(t *testing.T, outage, err error, name, says, remedy string) {
	t.Helper()
	if rotation.NameOf(err) != name {
		t.Errorf("%v: got %q (%v), want %s", outage, rotation.NameOf(err), err, name)
		return
	}
	text := err.Error()
	if !strings.HasPrefix(text, says) || !utf8.ValidString(text) {
		t.Errorf("%v: %q does not say %q", outage, text, says)
	}
	var coded smithy.APIError
	if errors.As(outage, &coded) && !strings.Contains(text, coded.ErrorCode()) {
		t.Errorf("%v: %q does not have the code %s", outage, text, coded.ErrorCode())
	}
	if got, want := strings.Contains(text, remedy), name == "Notify.Refused"; got != want {
		t.Errorf("%v: %q has the remedy: %v, want %v", outage, text, got, want)
	}
	if all := fmt.Sprintf("%+v %#v", err, err); strings.Contains(all, "AQsecretlink") || errors.Unwrap(err) != nil {
		t.Errorf("%v: the error shows the link or the SDK's error: %s", outage, all)
	}
}

func TestASenderThatIsNotVerifiedIsNamed(t *testing.T) {
	err := notify.Mail{SES: &ses{}, Sender: "other@example.com"}.Send(t.Context(), "crm@example.com", message)
	check(t, &sestypes.MessageRejected{}, err, "Notify.Refused", "SES did not take the mail to crm@example.com from other@example.com", "verified identity")
}

func TestATopicThatNobodySubscribesToIsRefused(t *testing.T) {
	service := &topics{lonely: true}
	err := notify.Topic{SNS: service, ARN: topicARN}.Send(t.Context(), message)
	if rotation.NameOf(err) != "Notify.Refused" || !strings.Contains(err.Error(), "nobody has subscribed") || len(service.sent) != 0 {
		t.Errorf("%v, %d messages", err, len(service.sent))
	}
}
