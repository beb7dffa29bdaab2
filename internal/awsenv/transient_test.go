package awsenv_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"keyturn/internal/awsenv"
)

func TestTransientErrorsAreThoseThatMayPass(t *testing.T) {
	for title, test := range map[string]struct {
		status int // 0: the connection is closed
		code   string
		want   bool
	}{
		"no answer":              {0, "", true},
		"throttled":              {http.StatusBadRequest, "ThrottlingException", true},
		"throttled by another":   {http.StatusBadRequest, "TooManyRequestsException", true},
		"429 of an unknown name": {http.StatusTooManyRequests, "SlowerPlease", true},
		"failed by itself":       {http.StatusInternalServerError, "InternalServiceError", true},
		"down":                   {http.StatusServiceUnavailable, "ServiceUnavailable", true},
		"denied":                 {http.StatusBadRequest, "AccessDeniedException", false},
		"not there":              {http.StatusBadRequest, "ResourceNotFoundException", false},
		"unknown":                {http.StatusForbidden, "Whatever", false},
	} {
		t.Run(title, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if test.status == 0 {
					panic(http.ErrAbortHandler)
				}
				w.Header().Set("Content-Type", "application/x-amz-json-1.1")
				w.WriteHeader(test.status)
				_, _ = fmt.Fprintf(w, `{"__type": %q}`, test.code)
			}))
			defer server.Close()
			lambdaEnvironment(t, server.URL)
			c := awsenv.Config()
			c.Retryer = func() aws.Retryer { return aws.NopRetryer{} }
			_, err := secretsmanager.NewFromConfig(c).GetSecretValue(t.Context(), &secretsmanager.GetSecretValueInput{SecretId: aws.String("keyturn/ca")})
			if err == nil || awsenv.Transient(err) != test.want {
				t.Errorf("transient is %v, want %v, of %v", !test.want, test.want, err)
			}
		})
	}
}

func TestEndedTellsThatTheCallerGaveUp(t *testing.T) {
	lambdaEnvironment(t, "http://127.0.0.1:1")
	over, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := secretsmanager.NewFromConfig(awsenv.Config()).GetSecretValue(over, &secretsmanager.GetSecretValueInput{SecretId: aws.String("keyturn/ca")})
	if got := awsenv.Ended(err); !errors.Is(got, context.Canceled) || !awsenv.Transient(err) {
		t.Errorf("Ended is %v, want context.Canceled of a transient error: %v", got, err)
	}
	if got := awsenv.Ended(errors.New("denied")); got != nil {
		t.Errorf("Ended is %v of another error", got)
	}
}
