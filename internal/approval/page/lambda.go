package page

import (
	"bytes"
	"context"
	"encoding/base64"
	"net/http"
	"net/url"
	"unicode/utf8"

	"github.com/aws/aws-lambda-go/events"
)

// FunctionURL serves an http.Handler behind a Lambda Function URL in the
// BUFFERED mode (payload format 2.0).
func FunctionURL(h http.Handler) func(context.Context, events.LambdaFunctionURLRequest) (events.LambdaFunctionURLResponse, error) {
	return func(ctx context.Context, in events.LambdaFunctionURLRequest) (events.LambdaFunctionURLResponse, error) {
		body := []byte(in.Body)
		if in.IsBase64Encoded {
			decoded, err := base64.StdEncoding.DecodeString(in.Body)
			if err != nil {
				// An answer to the caller; an error would be Lambda's 502.
				return events.LambdaFunctionURLResponse{StatusCode: http.StatusBadRequest}, nil //nolint:nilerr // answered
			}
			body = decoded
		}
		u := &url.URL{Path: in.RawPath, RawQuery: in.RawQueryString}
		// A Function URL passes the path on as it was sent, percent-encoded.
		if path, err := url.PathUnescape(in.RawPath); err == nil {
			u.Path, u.RawPath = path, in.RawPath
		}
		r := (&http.Request{
			Method:        in.RequestContext.HTTP.Method,
			URL:           u,
			Proto:         "HTTP/1.1",
			ProtoMajor:    1,
			ProtoMinor:    1,
			Header:        http.Header{},
			Body:          http.NoBody,
			ContentLength: int64(len(body)),
			Host:          in.RequestContext.DomainName,
			RemoteAddr:    in.RequestContext.HTTP.SourceIP,
		}).WithContext(ctx)
		if len(body) > 0 {
			r.Body = readCloser{bytes.NewReader(body)}
		}
		for name, value := range in.Headers {
			r.Header.Set(name, value)
		}
		w := &response{header: http.Header{}, status: http.StatusOK}
		h.ServeHTTP(w, r)
		out := events.LambdaFunctionURLResponse{StatusCode: w.status, Headers: map[string]string{}, Body: w.body.String()}
		// A body that is no text has to be spelled as one.
		if !utf8.Valid(w.body.Bytes()) {
			out.Body, out.IsBase64Encoded = base64.StdEncoding.EncodeToString(w.body.Bytes()), true
		}
		for name := range w.header {
			out.Headers[name] = w.header.Get(name)
		}
		if r.Method == http.MethodHead {
			out.Body, out.IsBase64Encoded = "", false
		}
		return out, nil
	}
}

type readCloser struct{ *bytes.Reader }

func (readCloser) Close() error { return nil }

// response buffers what a handler writes.
type response struct {
	header http.Header
	status int
	wrote  bool
	body   bytes.Buffer
}

func (w *response) Header() http.Header { return w.header }

func (w *response) WriteHeader(status int) {
	if !w.wrote {
		w.status, w.wrote = status, true
	}
}

func (w *response) Write(p []byte) (int, error) {
	w.wrote = true
	return w.body.Write(p)
}
