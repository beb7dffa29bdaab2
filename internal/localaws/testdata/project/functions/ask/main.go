// Command ask mails the task token that it gets to a person, or shows a page
// when it is called by its Function URL. With error in its input, it fails
// after that, in all attempts or, with errors, in the first ones.
package main

import (
	"context"
	"encoding/json"
	"os"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambda/messages"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sesv2"
	"github.com/aws/aws-sdk-go-v2/service/sesv2/types"
)

type input struct {
	Token   string
	To      string
	Attempt int
	Error   string
	Errors  int
	RawPath string
}

func handle(ctx context.Context, in input) (any, error) {
	if in.RawPath != "" {
		return map[string]any{"statusCode": 200, "body": "page " + in.RawPath}, nil
	}
	config := aws.Config{
		Region:       os.Getenv("AWS_REGION"),
		BaseEndpoint: aws.String(os.Getenv("AWS_ENDPOINT_URL")),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{
				AccessKeyID:     os.Getenv("AWS_ACCESS_KEY_ID"),
				SecretAccessKey: os.Getenv("AWS_SECRET_ACCESS_KEY"),
				SessionToken:    os.Getenv("AWS_SESSION_TOKEN"),
			}, nil
		}),
	}
	_, err := sesv2.NewFromConfig(config).SendEmail(ctx, &sesv2.SendEmailInput{
		FromEmailAddress: aws.String("Probe <" + os.Getenv("SENDER") + ">"),
		Destination:      &types.Destination{ToAddresses: []string{in.To}},
		Content: &types.EmailContent{Simple: &types.Message{
			Subject: &types.Content{Data: aws.String("Token")},
			Body:    &types.Body{Text: &types.Content{Data: aws.String(in.Token)}},
		}},
	})
	if err != nil {
		return nil, err
	}
	if in.Error != "" && (in.Errors == 0 || in.Attempt < in.Errors) {
		return nil, messages.InvokeResponse_Error{Type: in.Error, Message: "as asked"}
	}
	return json.RawMessage(`{}`), nil
}

func main() { lambda.Start(handle) }
