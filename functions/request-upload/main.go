// Command request-upload asks the approvers what a rotation waits for (guide, step 7).
package main

import (
	"log/slog"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/sesv2"
	"github.com/aws/aws-sdk-go-v2/service/sns"

	"keyturn/internal/approval"
	"keyturn/internal/approval/request"
	"keyturn/internal/awsenv"
	"keyturn/internal/lambdastep"
	"keyturn/internal/notify"
	"keyturn/internal/rotation"
	"keyturn/internal/wiring"
)

func main() {
	lambdastep.Start("request-upload", func() (lambdastep.Step[rotation.RequestUploadInput, rotation.RequestUploadOutput], error) {
		key, err := wiring.Secret("LINK_KEY_SECRET_ARN")
		if err != nil {
			return nil, err
		}
		base, err := awsenv.Required("PAGE_URL")
		if err != nil {
			return nil, err
		}
		topic, err := awsenv.Required("TOPIC_ARN")
		if err != nil {
			return nil, err
		}
		step := request.Upload{
			Topic:   notify.Topic{SNS: sns.NewFromConfig(awsenv.Config()), ARN: topic},
			Events:  eventbridge.NewFromConfig(awsenv.Config()),
			BaseURL: base,
			OrgURL:  os.Getenv("OKTA_ORG_URL"),
			Now:     time.Now,
			Log:     slog.New(slog.NewJSONHandler(os.Stdout, nil)),
			Sealer:  approval.Links(key.Value),
		}
		if os.Getenv("CHAT_SECRET_ARN") != "" {
			webhook, err := wiring.Secret("CHAT_SECRET_ARN")
			if err != nil {
				return nil, err
			}
			step.Chat = notify.Chat{URL: webhook.Value}
		}
		if sender := os.Getenv("SENDER_ADDRESS"); sender != "" {
			step.Mail = notify.Mail{SES: sesv2.NewFromConfig(awsenv.Config()), Sender: sender}
		}
		return step.Run, nil
	})
}
