// Package bucket keeps the objects of discovery in the stack's S3 bucket.
package bucket

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"keyturn/internal/awsenv"
	"keyturn/internal/rotation"
)

// ErrNotFound is what Get gives when there is no such object.
var ErrNotFound = errors.New("no such object in the bucket")

// ErrConflict is what Put gives when the object is not as Options wanted it:
// somebody else wrote it meanwhile. Nothing was written.
var ErrConflict = errors.New("the object was written by somebody else meanwhile")

// Bucket is one S3 bucket. Its methods' errors, the two above aside, are named
// Bucket.Unavailable (may pass by itself) or Bucket.Refused (somebody must mend
// it: rights, encryption key, a bucket that is gone), and quote no request.
type Bucket struct {
	S3   *s3.Client
	Name string
}

// New makes a client for the bucket. A configured endpoint, that is a local
// stack's, is addressed by path: it has no host name for each bucket.
func New(cfg aws.Config, name string) Bucket {
	return Bucket{Name: name, S3: s3.NewFromConfig(cfg, func(o *s3.Options) {
		// Checksums in trailers are not what every local stack knows, and TLS
		// and the payload's signature guard the bytes anyway.
		o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
		o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
		o.UsePathStyle = cfg.BaseEndpoint != nil
	})}
}

// Object is what Get opened. Whoever got it closes Body.
type Object struct {
	// Body fails with Bucket.Unavailable where the answer is cut short.
	Body io.ReadCloser
	ETag string
	// Metadata is the user-defined metadata, keys in lower case.
	Metadata map[string]string
}

// Options say how Put writes.
type Options struct {
	ContentType string
	Metadata    map[string]string
	// IfMatch wants the object to have this ETag still; IfAbsent wants none to
	// be there.
	IfMatch  string
	IfAbsent bool
}

// Get opens an object.
func (b Bucket) Get(ctx context.Context, key string) (*Object, error) {
	out, err := b.S3.GetObject(ctx, &s3.GetObjectInput{Bucket: &b.Name, Key: &key})
	if err != nil {
		return nil, b.explain(ctx, err, "read", key)
	}
	metadata := make(map[string]string, len(out.Metadata))
	for name, value := range out.Metadata {
		metadata[strings.ToLower(name)] = value
	}
	return &Object{
		Body:     &body{ReadCloser: out.Body, ctx: ctx, bucket: b, key: key},
		ETag:     aws.ToString(out.ETag),
		Metadata: metadata,
	}, nil
}

// body names the errors of an answer that does not come to its end.
type body struct {
	io.ReadCloser
	ctx    context.Context // the one that it was asked for with
	bucket Bucket
	key    string
}

func (r *body) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = r.bucket.unavailable(r.ctx, "read", r.key, "the answer was cut short")
	}
	return n, err
}

// Read gives a small object whole, with its ETag.
func (b Bucket) Read(ctx context.Context, key string) ([]byte, string, error) {
	object, err := b.Get(ctx, key)
	if err != nil {
		return nil, "", err
	}
	defer object.Body.Close()
	content, err := io.ReadAll(object.Body)
	if err != nil {
		return nil, "", err
	}
	return content, object.ETag, nil
}

// Put writes an object from where body stands to its end, and gives its ETag.
//
// A condition's write is sent once, and again only where S3 throttled it: sent
// a second time after a lost answer, it would find what it wrote itself and
// take it for somebody else's. A lost answer is Bucket.Unavailable then, and
// whether the object was written is open.
func (b Bucket) Put(ctx context.Context, key string, body io.ReadSeeker, o Options) (string, error) {
	in := &s3.PutObjectInput{Bucket: &b.Name, Key: &key, Body: body, Metadata: o.Metadata}
	if o.ContentType != "" {
		in.ContentType = &o.ContentType
	}
	var options []func(*s3.Options)
	if o.IfMatch != "" {
		in.IfMatch = &o.IfMatch
	}
	if o.IfAbsent {
		in.IfNoneMatch = aws.String("*")
	}
	conditional := o.IfMatch != "" || o.IfAbsent
	if conditional {
		options = append(options, func(o *s3.Options) { o.Retryer = onlyThrottled{o.Retryer} })
	}
	out, err := b.S3.PutObject(ctx, in, options...)
	if err == nil {
		return aws.ToString(out.ETag), nil
	}
	if conditional {
		switch status := statusOf(err); {
		case status == http.StatusPreconditionFailed, status == http.StatusConflict:
			return "", ErrConflict
		case status == http.StatusNotFound && awsenv.ErrorCode(err) != "NoSuchBucket":
			return "", ErrConflict // IfMatch, and the object is gone
		}
	}
	return "", b.explain(ctx, err, "write", key)
}

// onlyThrottled retries what S3 refused before it looked at it.
type onlyThrottled struct{ aws.Retryer }

var throttled = retry.ThrottleErrorCode{Codes: retry.DefaultThrottleErrorCodes}

func (onlyThrottled) IsErrorRetryable(err error) bool {
	return throttled.IsErrorThrottle(err).Bool()
}

// List gives the keys that begin with prefix, in order.
func (b Bucket) List(ctx context.Context, prefix string) ([]string, error) {
	var keys []string
	pages := s3.NewListObjectsV2Paginator(b.S3, &s3.ListObjectsV2Input{Bucket: &b.Name, Prefix: &prefix})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, b.explain(ctx, err, "list", prefix)
		}
		for _, object := range page.Contents {
			keys = append(keys, aws.ToString(object.Key))
		}
	}
	return keys, nil
}

// Delete removes an object; one that is not there is removed.
func (b Bucket) Delete(ctx context.Context, key string) error {
	_, err := b.S3.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &b.Name, Key: &key})
	if err == nil {
		return nil
	}
	if err := b.explain(ctx, err, "delete", key); !errors.Is(err, ErrNotFound) {
		return err
	}
	return nil
}

// explain names an error. The SDK's text can quote the request; only the code
// is passed on.
func (b Bucket) explain(ctx context.Context, err error, act, key string) error {
	status, code := statusOf(err), awsenv.ErrorCode(err)
	switch {
	case code == "NoSuchBucket":
		return rotation.Errorf("Bucket.Refused", "the bucket %s does not exist: deploy the stack again from template.yaml", b.Name)
	case status == http.StatusNotFound && (act == "read" || act == "delete"):
		return ErrNotFound
	case status >= 500 || status == http.StatusTooManyRequests || status == http.StatusRequestTimeout ||
		code == "RequestTimeout" || strings.Contains(code, "Throttling") || throttled.IsErrorThrottle(err).Bool():
		return b.unavailable(ctx, act, key, code)
	case strings.HasPrefix(code, "KMS."):
		return rotation.Errorf("Bucket.Refused", "S3 did not %s %q in the bucket %s (%s): check that the bucket's KMS key is enabled and that the function's role may use it", act, key, b.Name, code)
	case status >= 300:
		return rotation.Errorf("Bucket.Refused", "S3 did not %s %q in the bucket %s (%s): check the function's role, the bucket's policy and its KMS key", act, key, b.Name, code)
	}
	return b.unavailable(ctx, act, key, code)
}

// unavailable carries the context's error, if that is why there was no answer.
func (b Bucket) unavailable(ctx context.Context, act, key, why string) error {
	e := rotation.Errorf("Bucket.Unavailable", "S3 did not %s %q in the bucket %s (%s)", act, key, b.Name, why)
	e.Err = ctx.Err()
	return e
}

// statusOf is the answer's status; 0 where there was none.
func statusOf(err error) int {
	var answered interface{ HTTPStatusCode() int }
	if errors.As(err, &answered) {
		return answered.HTTPStatusCode()
	}
	return 0
}
