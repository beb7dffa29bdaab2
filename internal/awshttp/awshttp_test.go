package awshttp_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"

	"keyturn/internal/awshttp"
)

// transport answers every request when it has read as much of the body as its
// length says, and keeps the body, as net/http does: it reads on, to see that
// the body has ended, when the answer may have been read already.
type transport struct {
	body io.ReadCloser
	sent string
}

func (tr *transport) Do(r *http.Request) (*http.Response, error) {
	var sent strings.Builder
	if _, err := io.Copy(&sent, io.LimitReader(r.Body, r.ContentLength)); err != nil {
		return nil, err
	}
	tr.body, tr.sent = r.Body, sent.String()
	return &http.Response{
		StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Type": {"application/x-amz-json-1.0"}},
		Body:   io.NopCloser(strings.NewReader(`{"events": []}`)),
	}, nil
}

func call(t *testing.T, client aws.HTTPClient) {
	t.Helper()
	states := sfn.New(sfn.Options{
		Region: "eu-west-1", HTTPClient: client,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, nil
		}),
	})
	if _, err := states.GetExecutionHistory(t.Context(), &sfn.GetExecutionHistoryInput{ExecutionArn: aws.String("arn:aws:states:eu-west-1:000000000000:execution:a:b")}); err != nil {
		t.Fatal(err)
	}
}

func TestABodyHasEndedWhenTheAnswerCameFirst(t *testing.T) {
	var tr transport
	call(t, awshttp.Over(&tr))
	if !strings.Contains(tr.sent, `:execution:a:b"`) {
		t.Errorf("sent: %q", tr.sent)
	}
	if n, err := io.Copy(io.Discard, tr.body); n != 0 || err != nil {
		t.Errorf("the rest of the body has %d bytes and the error %v; net/http closes the connection for either", n, err)
	}
}

// When this fails, smithy-go has mended it and the package can go.
func TestTheSDKStillHasTheRace(t *testing.T) {
	var tr transport
	call(t, &tr)
	if _, err := io.Copy(io.Discard, tr.body); !errors.Is(err, io.EOF) {
		t.Errorf("the rest of the body ends with %v: package awshttp is not needed any more", err)
	}
}

func TestARequestWithoutABodyIsLeftAlone(t *testing.T) {
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://example.com/", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := awshttp.Over(same{t, r}).Do(r); err != nil {
		t.Error(err)
	}
}

// same is a client that expects one request.
type same struct {
	t *testing.T
	r *http.Request
}

func (s same) Do(r *http.Request) (*http.Response, error) {
	if r != s.r || r.Body != nil {
		s.t.Errorf("the request is another: %+v", r)
	}
	return &http.Response{StatusCode: http.StatusNoContent, Body: http.NoBody}, nil
}
