package awsenv_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"keyturn/internal/awsenv"
	"keyturn/internal/rotation"
)

func lambdaEnvironment(t *testing.T, endpoint string) {
	t.Helper()
	for name, value := range map[string]string{
		"AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "hidden", "AWS_SESSION_TOKEN": "session",
		"AWS_ENDPOINT_URL": endpoint,
		// What the SDK's own config would read as well.
		"AWS_PROFILE": "other", "AWS_DEFAULT_REGION": "us-east-1", "AWS_CONFIG_FILE": "/nowhere",
	} {
		t.Setenv(name, value)
	}
}

func TestConfigIsWhatLambdaSets(t *testing.T) {
	lambdaEnvironment(t, "")
	c := awsenv.Config()
	got, err := c.Credentials.Retrieve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if c.Region != "eu-west-1" || got.AccessKeyID != "AKIDEXAMPLE" || got.SecretAccessKey != "hidden" || got.SessionToken != "session" || got.CanExpire {
		t.Errorf("region %q, credentials of %q that expire: %v", c.Region, got.AccessKeyID, got.CanExpire)
	}
	if c.BaseEndpoint != nil {
		t.Errorf("the endpoint is %q, want AWS's own", *c.BaseEndpoint)
	}
}

func TestClientsCallTheEndpointSignedWithTheFunctionsCredentials(t *testing.T) {
	var authorization, session string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		authorization, session = r.Header.Get("Authorization"), r.Header.Get("X-Amz-Security-Token")
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		_, _ = w.Write([]byte(`{"SecretString": "found"}`))
	}))
	defer server.Close()
	lambdaEnvironment(t, server.URL)
	out, err := secretsmanager.NewFromConfig(awsenv.Config()).GetSecretValue(t.Context(), &secretsmanager.GetSecretValueInput{SecretId: aws.String("keyturn/okta")})
	if err != nil || *out.SecretString != "found" {
		t.Fatalf("got %+v, %v", out, err)
	}
	if !strings.Contains(authorization, "Credential=AKIDEXAMPLE/") || !strings.Contains(authorization, "/eu-west-1/secretsmanager/") || session != "session" {
		t.Errorf("signed with %q, session %q", authorization, session)
	}
}

func TestAMissingVariableIsNamed(t *testing.T) {
	t.Setenv("TOPIC_ARN", "arn:aws:sns:x")
	if got, err := awsenv.Required("TOPIC_ARN"); err != nil || got != "arn:aws:sns:x" {
		t.Errorf("got %q, %v", got, err)
	}
	t.Setenv("TOPIC_ARN", "")
	_, err := awsenv.Required("TOPIC_ARN")
	if rotation.NameOf(err) != "Config.Invalid" || !strings.Contains(err.Error(), "TOPIC_ARN") || !strings.Contains(err.Error(), "template.yaml") {
		t.Errorf("got %v, want Config.Invalid that names TOPIC_ARN and the remedy", err)
	}
}
