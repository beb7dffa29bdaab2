// Package notify carries messages to people, by mail through SES, to a chat's
// incoming webhook or to an SNS topic, and announces them as an event.
package notify

import (
	"context"
	"errors"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sesv2"
	sestypes "github.com/aws/aws-sdk-go-v2/service/sesv2/types"
	"github.com/aws/aws-sdk-go-v2/service/sns"

	"keyturn/internal/plaintext"
	"keyturn/internal/rotation"
)

// Message is what a person gets. A mail carries all of it but the card, a topic
// subject and text, a chat the card.
type Message struct {
	Subject string
	// Text is complete on its own: lines of at most 998 characters (RFC 5322,
	// 2.1.1) but for links.
	Text string
	// HTML is the same for mail programs that show it; empty for none.
	HTML        string
	Attachments []Attachment
	Card        Card
}

// Attachment is a file that a mail brings. SES takes no .cer, .crt or .der (SES
// Developer Guide, "Unsupported attachment types").
type Attachment struct {
	Name        string // ASCII
	ContentType string
	Content     []byte
}

// SES is the part of SES's client that is used.
type SES interface {
	SendEmail(ctx context.Context, in *sesv2.SendEmailInput, opts ...func(*sesv2.Options)) (*sesv2.SendEmailOutput, error)
}

// SNS is the part of SNS's client that is used.
type SNS interface {
	Publish(ctx context.Context, in *sns.PublishInput, opts ...func(*sns.Options)) (*sns.PublishOutput, error)
	GetTopicAttributes(ctx context.Context, in *sns.GetTopicAttributesInput, opts ...func(*sns.Options)) (*sns.GetTopicAttributesOutput, error)
}

// Mail sends through SES from one verified identity.
type Mail struct {
	SES    SES
	Sender string
}

// maxSubject keeps a subject far from the length of a header line.
const maxSubject = 250

// Send mails one address. Errors are named Notify.Refused when trying again
// does not help, and Notify.Unavailable otherwise.
func (m Mail) Send(ctx context.Context, to string, msg Message) error {
	content := func(s string) *sestypes.Content {
		return &sestypes.Content{Data: aws.String(s), Charset: aws.String("UTF-8")}
	}
	mail := &sestypes.Message{
		Subject: content(plaintext.Line(msg.Subject, maxSubject)),
		Body:    &sestypes.Body{Text: content(msg.Text)},
		// A program wrote it (RFC 3834, 5): no holiday notes in return.
		Headers: []sestypes.MessageHeader{
			{Name: aws.String("Auto-Submitted"), Value: aws.String("auto-generated")},
			{Name: aws.String("X-Auto-Response-Suppress"), Value: aws.String("OOF, AutoReply")},
		},
	}
	if msg.HTML != "" {
		mail.Body.Html = content(msg.HTML)
	}
	for _, a := range msg.Attachments {
		mail.Attachments = append(mail.Attachments, sestypes.Attachment{
			FileName:                aws.String(a.Name),
			ContentType:             aws.String(a.ContentType),
			ContentDisposition:      sestypes.AttachmentContentDispositionAttachment,
			ContentTransferEncoding: sestypes.AttachmentContentTransferEncodingBase64,
			RawContent:              a.Content,
		})
	}
	_, err := m.SES.SendEmail(ctx, &sesv2.SendEmailInput{
		FromEmailAddress: aws.String(m.Sender),
		Destination:      &sestypes.Destination{ToAddresses: []string{to}},
		Content:          &sestypes.EmailContent{Simple: mail},
	})
	return explain(err, "SES did not take the mail to "+to+" from "+m.Sender,
		"check that the sender is a verified identity, that the account is out of SES's sandbox, and that the addresses are right")
}

// Topic publishes to one SNS topic.
type Topic struct {
	SNS SNS
	ARN string
}

// Send publishes the message, if anybody would get it: SNS takes messages for a
// topic without subscribers too. Its errors are named as Mail's are.
func (t Topic) Send(ctx context.Context, msg Message) error {
	attributes, err := t.SNS.GetTopicAttributes(ctx, &sns.GetTopicAttributesInput{TopicArn: aws.String(t.ARN)})
	if err != nil {
		return explain(err, "SNS did not say who subscribes to the topic "+t.ARN, "check that the topic exists, and that the function's role may read its attributes")
	}
	if attributes.Attributes["SubscriptionsConfirmed"] == "0" {
		return rotation.Errorf("Notify.Refused", "nobody has subscribed to the topic %s, and there is no other way to ask: subscribe somebody, and see that the subscription is confirmed; or configure a sender and approvers, or a chat", t.ARN)
	}
	_, err = t.SNS.Publish(ctx, &sns.PublishInput{
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
