// Package buckettest is S3 in memory, over HTTP: the part of its API that
// discovery uses, as the API reference describes GetObject, PutObject,
// ListObjectsV2 and DeleteObject for general purpose buckets. It can be told
// to fail.
//
// Requests must be signed, but no signature is verified: that belongs to the
// SDK. What is not simulated is answered with NotImplemented rather than
// ignored.
package buckettest

import (
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"

	"keyturn/internal/bucket"
)

// The operations, as Fault and Requests name them.
const (
	GetObject     = "GetObject"
	HeadObject    = "HeadObject"
	PutObject     = "PutObject"
	DeleteObject  = "DeleteObject"
	ListObjectsV2 = "ListObjectsV2"
)

// Bounds of the API.
const (
	maxKeys     = 1000     // keys of a page
	maxKey      = 1024     // bytes of a key
	maxMetadata = 2 << 10  // bytes of names and values
	maxObject   = 64 << 20 // S3 takes more; no test does
)

// Server is S3. It is safe for concurrent use.
type Server struct {
	// URL is the endpoint, addressed by path; AWS_ENDPOINT_URL takes it.
	URL string

	http *httptest.Server

	mu       sync.Mutex
	buckets  map[string]map[string]object
	faults   []*Fault
	requests map[string]int
}

type object struct {
	content     []byte
	etag        string
	contentType string
	metadata    map[string]string
	modified    time.Time
}

// Start serves S3 on a free port of the loopback interface until Close.
func Start() *Server {
	s := &Server{buckets: map[string]map[string]object{}, requests: map[string]int{}}
	s.http = httptest.NewServer(s)
	s.URL = s.http.URL
	return s
}

// New serves S3 until the test ends.
func New(t testing.TB) *Server {
	s := Start()
	t.Cleanup(s.Close)
	return s
}

// Close ends the server and its connections.
func (s *Server) Close() {
	s.http.CloseClientConnections()
	s.http.Close()
}

// Config is what a client of this server is made from. It tries three times,
// as the SDK does by default, without pauses.
func (s *Server) Config() aws.Config {
	return aws.Config{
		Region:       "eu-west-1",
		BaseEndpoint: aws.String(s.URL),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, nil
		}),
		Retryer: func() aws.Retryer {
			return retry.NewStandard(func(o *retry.StandardOptions) {
				o.Backoff = retry.BackoffDelayerFunc(func(int, error) (time.Duration, error) { return 0, nil })
				o.RateLimiter = ratelimit.None
			})
		},
	}
}

// Bucket makes the bucket if it is not there, and gives a client for it.
func (s *Server) Bucket(name string) bucket.Bucket {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.buckets[name] == nil {
		s.buckets[name] = map[string]object{}
	}
	return bucket.New(s.Config(), name)
}

// Keys lists what the bucket holds, in order. It is no request.
func (s *Server) Keys(bucketName string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.buckets[bucketName]))
}

// Content is an object's content, nil where there is none. It is no request.
func (s *Server) Content(bucketName, key string) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buckets[bucketName][key].content
}

// Requests counts the requests by operation, those that failed included.
func (s *Server) Requests() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.requests)
}

// ResetRequests counts from 0 again.
func (s *Server) ResetRequests() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = map[string]int{}
}

// Fault is something that goes wrong. The first fault that matches a request
// hits it.
type Fault struct {
	// Operation and Prefix, of the key or of a list's prefix, say which
	// requests; empty matches all. Match, if there is one, must agree.
	Operation string
	Prefix    string
	Match     func(operation, key string) bool
	// Skip lets so many matching requests pass first.
	Skip int
	// Times is how often it happens: 0 is once, negative always. The SDK tries
	// three times.
	Times int

	// Status and Code are the answer's. Without a status the connection is
	// closed without an answer.
	Status int
	Code   string
	// After lets the request have its effect first: its answer is lost.
	After bool
	// Cut answers as always and closes the connection after so many bytes of
	// the body, if it is not 0.
	Cut int
	// Do is called while the request waits, before its effect: somebody else
	// acts first. Alone, it is all that happens.
	Do func()
}

// Fail makes something go wrong.
func (s *Server) Fail(f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.Times == 0 {
		f.Times = 1
	}
	s.faults = append(s.faults, &f)
}

// Heal forgets all faults.
func (s *Server) Heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

// fault is what hits this request, nil for nothing.
func (s *Server) fault(operation, key string) *Fault {
	for i, f := range s.faults {
		switch {
		case f.Operation != "" && f.Operation != operation, !strings.HasPrefix(key, f.Prefix),
			f.Match != nil && !f.Match(operation, key):
			continue
		case f.Skip > 0:
			f.Skip--
			continue
		}
		if f.Times > 0 {
			if f.Times--; f.Times == 0 {
				s.faults = slices.Delete(s.faults, i, i+1)
			}
		}
		return f
	}
	return nil
}

// request is one on its way through the handlers.
type request struct {
	operation   string
	bucket, key string
	query       url.Values
	header      http.Header
	body        []byte
	length      int64
}

type answer struct {
	status int
	header http.Header
	body   []byte
}

// ServeHTTP is the API.
func (s *Server) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	content, err := io.ReadAll(http.MaxBytesReader(w, req.Body, maxObject))
	if err != nil {
		write(w, refuse(http.StatusBadRequest, "IncompleteBody"), 0)
		return
	}
	name, key, _ := strings.Cut(strings.TrimPrefix(req.URL.Path, "/"), "/")
	r := &request{bucket: name, key: key, query: req.URL.Query(), header: req.Header, body: content, length: req.ContentLength}
	switch {
	case req.Method == http.MethodGet && key == "" && r.query.Get("list-type") == "2":
		r.operation = ListObjectsV2
	case key == "":
	case req.Method == http.MethodGet:
		r.operation = GetObject
	case req.Method == http.MethodHead:
		r.operation = HeadObject
	case req.Method == http.MethodPut && !r.query.Has("uploadId"):
		r.operation = PutObject
	case req.Method == http.MethodDelete:
		r.operation = DeleteObject
	}
	named := key
	if r.operation == ListObjectsV2 {
		named = r.query.Get("prefix")
	}

	s.mu.Lock()
	s.requests[r.operation]++
	fault := s.fault(r.operation, named)
	s.mu.Unlock()
	if fault == nil {
		write(w, s.answer(r), 0)
		return
	}
	if fault.Do != nil {
		fault.Do()
	}
	fails := fault.Do == nil || fault.Status != 0 || fault.After
	switch {
	case fault.Cut > 0:
		write(w, s.answer(r), fault.Cut)
		return
	case !fails:
		write(w, s.answer(r), 0)
		return
	case fault.After:
		s.answer(r)
	}
	if fault.Status == 0 {
		panic(http.ErrAbortHandler) // net/http closes the connection and logs nothing
	}
	write(w, refuse(fault.Status, fault.Code), 0)
}

// write sends the answer; with cut it promises the whole and sends a part.
func write(w http.ResponseWriter, a *answer, cut int) {
	maps.Copy(w.Header(), a.header)
	w.Header().Set("X-Amz-Request-Id", "4442587FB7D0A2F9")
	w.Header().Set("Content-Length", strconv.Itoa(len(a.body)))
	w.WriteHeader(a.status)
	if cut > 0 && cut < len(a.body) {
		_, _ = w.Write(a.body[:cut])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	_, _ = w.Write(a.body) // a client that went away needs no answer
}

func refuse(status int, code string) *answer {
	return xmlAnswer(status, struct {
		XMLName   xml.Name `xml:"Error"`
		Code      string
		Message   string
		RequestID string `xml:"RequestId"`
	}{Code: code, Message: "The request failed.", RequestID: "4442587FB7D0A2F9"})
}

func xmlAnswer(status int, value any) *answer {
	text, err := xml.Marshal(value)
	if err != nil {
		panic(err) // the values are this package's
	}
	return &answer{
		status: status, header: http.Header{"Content-Type": {"application/xml"}},
		body: append([]byte(xml.Header), text...),
	}
}

// answer has the request's effect.
func (s *Server) answer(r *request) *answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	objects := s.buckets[r.bucket]
	switch {
	case r.header.Get("Authorization") == "":
		return refuse(http.StatusForbidden, "AccessDenied")
	case r.operation == "":
		return refuse(http.StatusNotImplemented, "NotImplemented")
	case objects == nil:
		return refuse(http.StatusNotFound, "NoSuchBucket")
	case len(r.key) > maxKey:
		return refuse(http.StatusBadRequest, "KeyTooLongError")
	}
	switch r.operation {
	case ListObjectsV2:
		return list(r, objects)
	case PutObject:
		return put(r, objects)
	case DeleteObject:
		if refused := precondition(r, objects); refused != nil {
			return refused
		}
		delete(objects, r.key)
		return &answer{status: http.StatusNoContent}
	}
	return get(r, objects)
}

func get(r *request, objects map[string]object) *answer {
	found, ok := objects[r.key]
	match, noneMatch := r.header.Get("If-Match"), r.header.Get("If-None-Match")
	switch {
	case r.header.Get("Range") != "" || r.query.Has("versionId") || r.query.Has("partNumber"):
		return refuse(http.StatusNotImplemented, "NotImplemented")
	case !ok:
		return refuse(http.StatusNotFound, "NoSuchKey")
	case match != "" && match != found.etag:
		return refuse(http.StatusPreconditionFailed, "PreconditionFailed")
	case noneMatch != "" && noneMatch == found.etag:
		return &answer{status: http.StatusNotModified, header: http.Header{"Etag": {found.etag}}}
	}
	h := http.Header{
		"Etag": {found.etag}, "Content-Type": {found.contentType}, "Accept-Ranges": {"bytes"},
		"Last-Modified": {found.modified.Format(http.TimeFormat)},
	}
	for name, value := range found.metadata {
		h.Set("X-Amz-Meta-"+name, value)
	}
	return &answer{status: http.StatusOK, header: h, body: found.content}
}

func put(r *request, objects map[string]object) *answer {
	if refused := wellFormed(r); refused != nil {
		return refused
	}
	if refused := precondition(r, objects); refused != nil {
		return refused
	}
	made := object{content: r.body, contentType: r.header.Get("Content-Type"), modified: time.Now().UTC(), metadata: map[string]string{}}
	if made.contentType == "" {
		made.contentType = "binary/octet-stream"
	}
	size := 0
	for name, values := range r.header {
		if short, ok := strings.CutPrefix(name, "X-Amz-Meta-"); ok {
			short, value := strings.ToLower(short), strings.Join(values, ",")
			made.metadata[short] = value
			size += len(short) + len(value)
		}
	}
	if size > maxMetadata {
		return refuse(http.StatusBadRequest, "MetadataTooLarge")
	}
	sum := md5.Sum(r.body)
	made.etag = `"` + hex.EncodeToString(sum[:]) + `"`
	objects[r.key] = made
	return &answer{status: http.StatusOK, header: http.Header{"Etag": {made.etag}}}
}

// wellFormed looks at what the headers say of the body.
func wellFormed(r *request) *answer {
	if strings.Contains(r.header.Get("Content-Encoding"), "aws-chunked") {
		return refuse(http.StatusNotImplemented, "NotImplemented")
	}
	if r.length < 0 {
		return refuse(http.StatusLengthRequired, "MissingContentLength")
	}
	if want := r.header.Get("X-Amz-Content-Sha256"); want == "" {
		return refuse(http.StatusBadRequest, "InvalidRequest")
	} else if sum := sha256.Sum256(r.body); want != "UNSIGNED-PAYLOAD" && want != hex.EncodeToString(sum[:]) {
		return refuse(http.StatusBadRequest, "XAmzContentSHA256Mismatch")
	}
	if want := r.header.Get("Content-Md5"); want != "" {
		if sum := md5.Sum(r.body); want != base64.StdEncoding.EncodeToString(sum[:]) {
			return refuse(http.StatusBadRequest, "BadDigest")
		}
	}
	return nil
}

// precondition is why a conditional write or delete may not happen: If-Match
// against a key that is not there is 404, against another ETag 412.
// If-None-Match takes * only.
func precondition(r *request, objects map[string]object) *answer {
	found, ok := objects[r.key]
	match, noneMatch := r.header.Get("If-Match"), r.header.Get("If-None-Match")
	switch {
	case noneMatch != "" && (noneMatch != "*" || match != "" || r.operation != PutObject):
		return refuse(http.StatusNotImplemented, "NotImplemented")
	case noneMatch == "*" && ok:
		return refuse(http.StatusPreconditionFailed, "PreconditionFailed")
	case match != "" && !ok:
		return refuse(http.StatusNotFound, "NoSuchKey")
	case match != "" && match != "*" && match != found.etag:
		return refuse(http.StatusPreconditionFailed, "PreconditionFailed")
	}
	return nil
}

type listed struct {
	Key          string
	LastModified string
	ETag         string
	Size         int
	StorageClass string
}

type listing struct {
	XMLName               xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ ListBucketResult"`
	Name                  string
	Prefix                string
	KeyCount              int
	MaxKeys               int
	IsTruncated           bool
	StartAfter            string `xml:",omitempty"`
	ContinuationToken     string `xml:",omitempty"`
	NextContinuationToken string `xml:",omitempty"`
	Contents              []listed
}

func list(r *request, objects map[string]object) *answer {
	if r.query.Has("delimiter") || r.query.Has("encoding-type") {
		return refuse(http.StatusNotImplemented, "NotImplemented")
	}
	l := listing{
		Name: r.bucket, Prefix: r.query.Get("prefix"), MaxKeys: maxKeys,
		StartAfter: r.query.Get("start-after"), ContinuationToken: r.query.Get("continuation-token"),
	}
	if text := r.query.Get("max-keys"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 {
			return refuse(http.StatusBadRequest, "InvalidArgument")
		}
		l.MaxKeys = min(n, maxKeys)
	}
	after := l.StartAfter
	if r.query.Has("continuation-token") {
		last, err := base64.URLEncoding.DecodeString(l.ContinuationToken)
		if err != nil || len(last) == 0 {
			return refuse(http.StatusBadRequest, "InvalidArgument")
		}
		after = string(last)
	}
	for _, key := range slices.Sorted(maps.Keys(objects)) {
		if !strings.HasPrefix(key, l.Prefix) || key <= after {
			continue
		}
		if l.KeyCount == l.MaxKeys {
			// No page without keys leads on to another.
			if l.IsTruncated = l.KeyCount > 0; l.IsTruncated {
				l.NextContinuationToken = base64.URLEncoding.EncodeToString([]byte(l.Contents[l.KeyCount-1].Key))
			}
			break
		}
		found := objects[key]
		l.Contents = append(l.Contents, listed{
			Key: key, LastModified: found.modified.Format("2006-01-02T15:04:05.000Z"),
			ETag: found.etag, Size: len(found.content), StorageClass: "STANDARD",
		})
		l.KeyCount++
	}
	return xmlAnswer(http.StatusOK, l)
}
