// Package notify carries messages to people: by mail through SES, or to an SNS
// topic.
package notify

import (
	"context"
	"errors"
	"strings"
	"unicode"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sesv2"
	sestypes "github.com/aws/aws-sdk-go-v2/service/sesv2/types"
	"github.com/aws/aws-sdk-go-v2/service/sns"

	"keyturn/internal/rotation"
)

// Message is what a person gets: plain text, lines of at most 998 characters
// (RFC 5322, 2.1.1) but for links.
type Message struct {
	Subject string
	Text    string
}

// SES is the part of SES's client that is used.
type SES interface {
	SendEmail(ctx context.Context, in *sesv2.SendEmailInput, opts ...func(*sesv2.Options)) (*sesv2.SendEmailOutput, error)
}

// SNS is the part of SNS's client that is used.
type SNS interface {
	Publish(ctx context.Context, in *sns.PublishInput, opts ...func(*sns.Options)) (*sns.PublishOutput, error)
}

// Mail sends through SES from one verified identity.
type Mail struct {
	SES    SES
	Sender string
}

// Send mails one address. Errors are named Notify.Refused when trying again
// does not help, and Notify.Unavailable otherwise.
func (m Mail) Send(ctx context.Context, to string, msg Message) error {
	utf8 := aws.String("UTF-8")
	_, err := m.SES.SendEmail(ctx, &sesv2.SendEmailInput{
		FromEmailAddress: aws.String(m.Sender),
		Destination:      &sestypes.Destination{ToAddresses: []string{to}},
		Content: &sestypes.EmailContent{Simple: &sestypes.Message{
			Subject: &sestypes.Content{Data: aws.String(oneLine(msg.Subject)), Charset: utf8},
			Body:    &sestypes.Body{Text: &sestypes.Content{Data: aws.String(msg.Text), Charset: utf8}},
		}},
	})
	return explain(err, "SES did not take the mail to "+to+" from "+m.Sender,
		"check that the sender is a verified identity, that the account is out of SES's sandbox, and that the addresses are right")
}

// oneLine keeps a label with a line break from adding a header.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, s)
}

// Topic publishes to one SNS topic.
type Topic struct {
	SNS SNS
	ARN string
}

// Send publishes the message. Its errors are named as Mail's are.
func (t Topic) Send(ctx context.Context, msg Message) error {
	_, err := t.SNS.Publish(ctx, &sns.PublishInput{
		TopicArn: aws.String(t.ARN),
		Subject:  aws.String(snsSubject(msg.Subject)),
		Message:  aws.String(msg.Text),
	})
	return explain(err, "SNS did not take the message for the topic "+t.ARN,
		"check that the topic exists, and that the function's role may publish to it and use its KMS key")
}

// snsSubject makes a subject that SNS takes: ASCII, one line, fewer than 100
// characters, beginning with a letter, digit or punctuation mark (SNS API,
// Publish).
func snsSubject(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '-'
		}
		return r
	}, s)
	s = strings.TrimSpace(s)
	if len(s) > 99 {
		s = s[:96] + "..."
	}
	return s
}

// explain keeps the service's code and drops its text, which may quote the
// message and with it the link.
func explain(err error, what, remedy string) error {
	if err == nil {
		return nil
	}
	var api interface{ ErrorCode() string }
	if !errors.As(err, &api) {
		return rotation.Errorf("Notify.Unavailable", "%s: the service could not be reached", what)
	}
	code := api.ErrorCode()
	switch code {
	case "TooManyRequestsException", "LimitExceededException", "ThrottlingException", "Throttling", "Throttled", "KMSThrottling",
		"InternalError", "InternalErrorException", "InternalServiceErrorException", "ServiceUnavailable":
		return rotation.Errorf("Notify.Unavailable", "%s (%s)", what, code)
	}
	// An answer without a code that the SDK knows, such as a load balancer's.
	var answer interface{ HTTPStatusCode() int }
	if errors.As(err, &answer) && answer.HTTPStatusCode() >= 500 {
		return rotation.Errorf("Notify.Unavailable", "%s (%s, HTTP %d)", what, code, answer.HTTPStatusCode())
	}
	return rotation.Errorf("Notify.Refused", "%s (%s): %s", what, code, remedy)
}
