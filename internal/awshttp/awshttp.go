// Package awshttp is the HTTP client below the functions' clients of the AWS SDK,
// and those of the local AWS: the SDK's own, without a race that closes a
// connection while its answer is read.
//
// When a server has answered, smithy-go closes the request's body, which
// net/http may still be reading to see that it has ended. A closed body of
// smithy-go answers Read with io.EOF, which is right, and WriteTo with io.EOF as
// well, where io.WriterTo has nil: net/http, which prefers WriteTo, takes that
// for a failed request and closes the connection. What of a long answer had not
// arrived by then is lost, as "use of closed network connection"
// (smithy-go v1.28.9, transport/http/internal/io/safe.go;
// https://github.com/aws/aws-sdk-go-v2/issues/2737). Histories of executions,
// which the approval page and the tests read, are long.
package awshttp

import (
	"io"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/aws/transport/http"
)

// New is a client with the SDK's own settings and a pool of connections of its own.
func New() aws.HTTPClient { return Over(sdk.NewBuildableClient()) }

// Over sends requests by the given client, without the race.
func Over(next aws.HTTPClient) aws.HTTPClient { return client{next} }

type client struct{ next aws.HTTPClient }

func (c client) Do(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		r = r.WithContext(r.Context()) // a shallow copy: the caller's stays as it is
		r.Body = readCloser{r.Body}
	}
	return c.next.Do(r)
}

// readCloser hides WriteTo.
type readCloser struct{ io.ReadCloser }
