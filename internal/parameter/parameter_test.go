package parameter_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"

	"keyturn/internal/parameter"
)

func config(endpoint string) aws.Config {
	return aws.Config{
		Region: "eu-west-1", BaseEndpoint: aws.String(endpoint),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "hidden", SessionToken: "token"}, nil
		}),
	}
}

func TestAParameterIsReadByASignedRequest(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in struct{ Name string }
		body, _ := io.ReadAll(r.Body)
		signed := r.Header.Get("Authorization")
		if json.Unmarshal(body, &in) != nil || in.Name != "/keyturn/chain" || r.Header.Get("X-Amz-Target") != "AmazonSSM.GetParameter" ||
			!strings.HasPrefix(signed, "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/") || !strings.Contains(signed, "/eu-west-1/ssm/aws4_request") || r.Header.Get("X-Amz-Security-Token") != "token" {
			t.Errorf("the request is %v %s", r.Header, body)
		}
		_, _ = io.WriteString(w, `{"Parameter": {"Name": "/keyturn/chain", "Type": "String", "Value": "a\nb"}}`)
	}))
	t.Cleanup(server.Close)
	if value, err := parameter.Read(t.Context(), config(server.URL), "/keyturn/chain"); err != nil || value != "a\nb" {
		t.Errorf("got %q, %v", value, err)
	}
}

func TestARefusalHasItsCodeAndNoMore(t *testing.T) {
	for _, c := range []struct {
		status       int
		answer, code string
	}{
		{http.StatusBadRequest, `{"__type": "ParameterNotFound"}`, "ParameterNotFound"},
		{http.StatusBadRequest, `{"__type": "com.amazonaws.ssm#AccessDeniedException", "message": "token"}`, "AccessDeniedException"},
		{http.StatusServiceUnavailable, `<html>token`, "503 Service Unavailable"},
		{http.StatusOK, `<html>token`, "an answer that is none"},
		{http.StatusOK, `{}`, "an answer that is none"},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(c.status)
			_, _ = io.WriteString(w, c.answer)
		}))
		t.Cleanup(server.Close)
		_, err := parameter.Read(t.Context(), config(server.URL), "/keyturn/chain")
		var refused *parameter.Error
		if !errors.As(err, &refused) || refused.ErrorCode() != c.code || !strings.Contains(err.Error(), "/keyturn/chain") || strings.Contains(fmt.Sprintf("%+v", err), "token") {
			t.Errorf("%d %s: got %v, want %s", c.status, c.answer, err, c.code)
		}
	}
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	var refused *parameter.Error
	if _, err := parameter.Read(t.Context(), config(server.URL), "/keyturn/chain"); !errors.As(err, &refused) || refused.ErrorCode() != "no answer" {
		t.Errorf("got %v", err)
	}
}
