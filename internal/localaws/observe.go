package localaws

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sesv2"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// Mail is a mail that SES took for delivery.
type Mail struct {
	ID      string
	From    string // as given, with or without a display name
	To      []string
	Cc      []string
	Bcc     []string
	Subject string
	Text    string
	HTML    string
	// Attachments are those of a simple message.
	Attachments []Attachment
	At          time.Time
}

// Attachment is a file that came with a mail.
type Attachment struct {
	Name        string
	ContentType string
	Content     []byte
}

// Mails are the mails sent so far, oldest first.
func (c *Cloud) Mails(ctx context.Context) ([]Mail, error) {
	var box struct {
		Messages map[string][]struct {
			MessageID          string `json:"MessageId"`
			Source, Subject    string
			To, CC, BCC        []string
			BodyText, BodyHTML string
			Attachments        []struct {
				FileName, ContentType string
				RawContent            []byte
			}
			Timestamp float64 // Unix time in seconds
		}
	}
	if err := c.getJSON(ctx, "/_ministack/ses/messages?account="+AccountID, &box); err != nil {
		return nil, fmt.Errorf("localaws: reading the mails: %w", err)
	}
	var mails []Mail
	for _, m := range box.Messages[AccountID] {
		seconds, fraction := math.Modf(m.Timestamp)
		var attachments []Attachment
		for _, a := range m.Attachments {
			attachments = append(attachments, Attachment{Name: a.FileName, ContentType: a.ContentType, Content: a.RawContent})
		}
		mails = append(mails, Mail{
			ID: m.MessageID, From: m.Source, To: m.To, Cc: m.CC, Bcc: m.BCC,
			Subject: m.Subject, Text: m.BodyText, HTML: m.BodyHTML,
			Attachments: attachments,
			At:          time.Unix(int64(seconds), int64(fraction*1e9)),
		})
	}
	return mails, nil
}

// VerifySender makes an address or a domain an identity that SES sends for.
// Without one it refuses the sender, as on AWS.
func (c *Cloud) VerifySender(ctx context.Context, identity string) error {
	_, err := sesv2.NewFromConfig(c.Config()).CreateEmailIdentity(ctx,
		&sesv2.CreateEmailIdentityInput{EmailIdentity: &identity})
	if err != nil {
		return fmt.Errorf("localaws: verifying %s: %w", identity, err)
	}
	return nil
}

// Notification is a message that an SNS topic passed on.
type Notification struct {
	TopicArn string
	Subject  string
	Message  string
}

// Inbox receives what a topic passes on after the subscription.
type Inbox struct {
	queue *sqs.Client
	url   string
}

// Subscribe subscribes a new queue to a topic.
func (c *Cloud) Subscribe(ctx context.Context, topicARN string) (*Inbox, error) {
	inbox := &Inbox{queue: sqs.NewFromConfig(c.Config())}
	if err := inbox.subscribe(ctx, sns.NewFromConfig(c.Config()), topicARN); err != nil {
		return nil, fmt.Errorf("localaws: subscribing to %s: %w", topicARN, err)
	}
	return inbox, nil
}

func (i *Inbox) subscribe(ctx context.Context, topics *sns.Client, topicARN string) error {
	name := fmt.Sprintf("inbox-%d", time.Now().UnixNano())
	arn := fmt.Sprintf("arn:aws:sqs:%s:%s:%s", Region, AccountID, name)
	policy, err := json.Marshal(map[string]any{
		"Version": "2012-10-17",
		"Statement": map[string]any{
			"Effect":    "Allow",
			"Principal": map[string]string{"Service": "sns.amazonaws.com"},
			"Action":    "sqs:SendMessage",
			"Resource":  arn,
			"Condition": map[string]any{"ArnEquals": map[string]string{"aws:SourceArn": topicARN}},
		},
	})
	if err != nil {
		return err
	}
	queue, err := i.queue.CreateQueue(ctx, &sqs.CreateQueueInput{
		QueueName:  &name,
		Attributes: map[string]string{string(sqstypes.QueueAttributeNamePolicy): string(policy)},
	})
	if err != nil {
		return err
	}
	i.url = *queue.QueueUrl
	_, err = topics.Subscribe(ctx, &sns.SubscribeInput{
		TopicArn: &topicARN, Protocol: aws.String("sqs"), Endpoint: &arn,
	})
	return err
}

// Receive waits up to a second for notifications and returns those that it has
// not returned before, maybe none. Their order is not the topic's.
func (i *Inbox) Receive(ctx context.Context) ([]Notification, error) {
	received, err := i.queue.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
		QueueUrl: &i.url, MaxNumberOfMessages: 10, WaitTimeSeconds: 1,
	})
	if err != nil {
		return nil, fmt.Errorf("localaws: receiving notifications: %w", err)
	}
	var notifications []Notification
	for _, m := range received.Messages {
		var n Notification
		if err := json.Unmarshal([]byte(*m.Body), &n); err != nil {
			return nil, fmt.Errorf("localaws: a notification is not JSON: %w", err)
		}
		if _, err := i.queue.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: &i.url, ReceiptHandle: m.ReceiptHandle}); err != nil {
			return nil, fmt.Errorf("localaws: receiving notifications: %w", err)
		}
		notifications = append(notifications, n)
	}
	return notifications, nil
}
