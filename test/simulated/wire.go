package simulated

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"keyturn/internal/oktasim"
)

// Call names a call that a rotation makes: the N-th one of an operation in a
// state of the state machine, or by the page, counted from 1.
type Call struct {
	// State is the state machine's; "page" for what the page does.
	State string
	// Function makes the call; "rotation" where the state machine itself does.
	Function string
	Service  string // "okta", "secretsmanager", "ses", "lambda" and so on
	Name     string // the operation: Okta's operationId, or the AWS API's name
	N        int
}

func (c Call) String() string {
	return fmt.Sprintf("%s/%s/%s.%s#%d", c.State, c.Function, c.Service, c.Name, c.N)
}

// FaultKind is a way for a call to fail.
type FaultKind string

// The ways to fail. "Effect" is what the call would have done.
const (
	Refused     FaultKind = "refused"         // no effect: no connection
	Denied      FaultKind = "denied"          // no effect: 403, AccessDenied
	Lost        FaultKind = "response lost"   // effect: the connection breaks before the answer
	RateLimited FaultKind = "429"             // no effect: 429 with the time of the reset; AWS: throttled
	Concurrency FaultKind = "concurrency 429" // no effect: 429 with limit 0; AWS: too many at once
	Internal    FaultKind = "500"             // no effect
	HalfDone    FaultKind = "500 after"       // effect, and 500 all the same
	Outage      FaultKind = "503"             // no effect: 503 for longer than the retries
	Malformed   FaultKind = "malformed body"  // effect: the good status, and a page of a proxy
	Truncated   FaultKind = "truncated body"  // effect: half of the answer
	TimeOut     FaultKind = "time-out"        // no effect, and no answer
	LateTimeOut FaultKind = "time-out after"  // effect, and no answer
	KillBefore  FaultKind = "killed before"   // no effect: the process dies
	KillAfter   FaultKind = "killed after"    // effect: the process dies before it reads the answer
)

// Kinds are all ways to fail.
var Kinds = []FaultKind{
	Refused, Denied, Lost, RateLimited, Concurrency, Internal, HalfDone, Outage, Malformed, Truncated, TimeOut, LateTimeOut, KillBefore, KillAfter,
}

// hasEffect tells whether the call does what it would have done.
func (k FaultKind) hasEffect() bool {
	return slices.Contains([]FaultKind{Lost, HalfDone, Malformed, Truncated, LateTimeOut, KillAfter}, k)
}

// outage is how long an Outage lasts: longer than any step is retried, the way
// back included, and shorter than people are waited for.
const outage = 14 * time.Hour

// Fault is one call that fails.
type Fault struct {
	At   Call
	Kind FaultKind
}

func (f Fault) String() string { return f.At.String() + " " + string(f.Kind) }

// wire carries every call between Keyturn, Okta and AWS, notes it, and has it
// fail where a fault says so.
type wire struct {
	services map[string]http.Handler // by the host's first label
	org      *oktasim.Org

	mu      sync.Mutex
	fault   *Fault
	hit     bool
	until   time.Time // of an Outage
	counted map[Call]int
	calls   []Call
	// before hear of a call before it has its effect, effects after that.
	before  []func(Call)
	effects func(Call)
}

// invocation is one call of a function.
type invocation struct {
	state, function string
	// another is that of another target's rotation, whose calls do not count, and
	// do not fail.
	another bool
	dead    chan struct{} // closed when its process is killed
	once    sync.Once
}

func (i *invocation) kill() { i.once.Do(func() { close(i.dead) }) }

func (i *invocation) killed() bool {
	select {
	case <-i.dead:
		return true
	default:
		return false
	}
}

type invocationKey struct{}

var errKilled = errors.New("the process is dead")

// next counts a call and gives the fault that hits it.
func (w *wire) next(i *invocation, service, name string) (Call, *Fault) {
	if i.another {
		return Call{State: i.state, Function: i.function, Service: service, Name: name}, nil
	}
	c, f := w.note(i, service, name)
	for _, hear := range w.before {
		hear(c)
	}
	return c, f
}

func (w *wire) note(i *invocation, service, name string) (Call, *Fault) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := Call{State: i.state, Function: i.function, Service: service, Name: name}
	w.counted[c]++
	c.N = w.counted[c]
	w.calls = append(w.calls, c)
	f := w.fault
	if f == nil {
		return c, nil
	}
	if c == f.At && !w.hit {
		w.hit, w.until = true, time.Now().Add(outage)
		return c, f
	}
	first := f.At
	first.N = c.N
	if w.hit && f.Kind == Outage && c == first && time.Now().Before(w.until) {
		return c, f
	}
	return c, nil
}

// RoundTrip is the whole network.
func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	service, operation, handler := w.route(r)
	if handler == nil {
		return nil, fmt.Errorf("simulated: nobody answers at %s", r.URL.Host)
	}
	i, _ := r.Context().Value(invocationKey{}).(*invocation)
	if i == nil { // the test itself
		return serve(handler, r)
	}
	if i.killed() {
		return nil, errKilled
	}
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	c, f := w.next(i, service, operation)
	if f == nil {
		response, err := serve(handler, r)
		w.done(c)
		return response, err
	}
	var response *http.Response
	var err error
	if f.Kind.hasEffect() {
		response, err = serve(handler, r)
		w.done(c)
		if err != nil {
			return nil, err
		}
	}
	return f.spoil(i, r, service, response)
}

func (w *wire) done(c Call) {
	if w.effects != nil {
		w.effects(c)
	}
}

// spoil is what the caller gets of a call that fails.
func (f *Fault) spoil(i *invocation, r *http.Request, service string, response *http.Response) (*http.Response, error) {
	broken := func(op string, err error) (*http.Response, error) {
		return nil, &net.OpError{Op: op, Net: "tcp", Err: err}
	}
	switch f.Kind {
	case Refused:
		return broken("dial", syscall.ECONNREFUSED)
	case Lost:
		return broken("read", syscall.ECONNRESET)
	case TimeOut, LateTimeOut:
		select {
		case <-r.Context().Done():
		case <-i.dead:
		}
		return nil, context.Cause(r.Context())
	case KillBefore, KillAfter:
		i.kill()
		return nil, errKilled
	case Malformed:
		response.Body = io.NopCloser(strings.NewReader("<html><body>The proxy is being serviced.</body></html>"))
		response.Header.Set("Content-Type", "text/html")
		response.ContentLength = -1
		return response, nil
	case Truncated:
		body, err := io.ReadAll(response.Body)
		if err != nil {
			return nil, err
		}
		response.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body[:len(body)/2]), cut{}))
		return response, nil
	case Denied, RateLimited, Concurrency, Internal, HalfDone, Outage:
		switch service {
		case "okta":
			return oktaRefusal(f.Kind, r), nil
		case "chat", "stepca":
			return plainRefusal(f.Kind, service, r), nil
		}
		return awsRefusal(f.Kind, service, r), nil
	}
	return nil, fmt.Errorf("simulated: no fault is called %q", f.Kind)
}

// cut is the end of a body whose connection broke.
type cut struct{}

func (cut) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// serve has a handler answer without a network in between.
func serve(handler http.Handler, r *http.Request) (*http.Response, error) {
	in := r.Clone(r.Context())
	in.RequestURI, in.RemoteAddr = r.URL.RequestURI(), "192.0.2.1:4711"
	if in.Host == "" {
		in.Host = r.URL.Host
	}
	if r.Body == nil {
		in.Body = http.NoBody
	}
	out := httptest.NewRecorder()
	handler.ServeHTTP(out, in)
	response := out.Result()
	response.Request = r
	return response, nil
}

// oktaRefusal is Okta's answer to a call that it does not carry out
// (okta-facts: error envelope, rate-limit headers).
func oktaRefusal(k FaultKind, r *http.Request) *http.Response {
	now := time.Now()
	status, code, summary := http.StatusInternalServerError, "E0000009", "Internal Server Error"
	h := http.Header{"Content-Type": {"application/json"}, "Date": {now.UTC().Format(http.TimeFormat)}}
	switch k {
	case Denied:
		status, code, summary = http.StatusForbidden, "E0000006", "You do not have permission to perform the requested action"
	case RateLimited:
		status, code, summary = http.StatusTooManyRequests, "E0000047", "API call exceeded rate limit due to too many requests."
		limits(h, "100", now.Add(45*time.Second))
	case Concurrency:
		status, code, summary = http.StatusTooManyRequests, "E0000047", "API call exceeded rate limit due to too many requests."
		limits(h, "0", now)
	case Outage:
		status, code, summary = http.StatusServiceUnavailable, "E0000010", "Service is in read only mode"
	default:
	}
	body := fmt.Sprintf(`{"errorCode":%q,"errorSummary":%q,"errorLink":%q,"errorId":"oaeSimulated","errorCauses":[]}`, code, summary, code)
	return answer(r, status, h, body)
}

func limits(h http.Header, limit string, reset time.Time) {
	h.Set("X-Rate-Limit-Limit", limit)
	h.Set("X-Rate-Limit-Remaining", "0")
	h.Set("X-Rate-Limit-Reset", strconv.FormatInt(reset.Unix(), 10))
}

// plainRefusal is how a service refuses that says all by the status: a chat
// with one of Slack's codes, step-ca with a message in JSON.
func plainRefusal(k FaultKind, service string, r *http.Request) *http.Response {
	status := http.StatusInternalServerError
	switch k {
	case Denied:
		status = http.StatusForbidden
	case RateLimited, Concurrency:
		status = http.StatusTooManyRequests
	case Outage:
		status = http.StatusServiceUnavailable
	default:
	}
	h, body := http.Header{"Content-Type": {"text/html"}}, "simulated"
	if service == "stepca" {
		h, body = http.Header{"Content-Type": {"application/json"}}, fmt.Sprintf(`{"status":%d,"message":"simulated"}`, status)
	}
	return answer(r, status, h, body)
}

// awsRefusal is how an AWS service refuses: its error's name where its protocol
// has it, in JSON or in XML.
func awsRefusal(k FaultKind, service string, r *http.Request) *http.Response {
	status, code := http.StatusInternalServerError, "InternalFailure"
	switch k {
	case Denied:
		status, code = http.StatusBadRequest, "AccessDeniedException"
	case RateLimited:
		status, code = http.StatusBadRequest, "ThrottlingException"
	case Concurrency:
		status, code = http.StatusTooManyRequests, "TooManyRequestsException"
	case Outage:
		status, code = http.StatusServiceUnavailable, "ServiceUnavailable"
	default:
	}
	h := http.Header{"X-Amzn-Errortype": {code}, "Content-Type": {"application/x-amz-json-1.1"}}
	body := fmt.Sprintf(`{"__type":%q,"message":"simulated"}`, code)
	switch service {
	case "s3":
		// S3 refuses with names of its own (Amazon S3 API Reference, "List of
		// error codes").
		code = map[FaultKind]string{Denied: "AccessDenied", RateLimited: "SlowDown", Concurrency: "SlowDown", Outage: "ServiceUnavailable"}[k]
		if code == "" {
			code = "InternalError"
		}
		status = map[string]int{"AccessDenied": http.StatusForbidden, "InternalError": http.StatusInternalServerError}[code]
		if status == 0 {
			status = http.StatusServiceUnavailable
		}
		h = http.Header{"Content-Type": {"application/xml"}}
		body = "<Error><Code>" + code + "</Code><Message>simulated</Message></Error>"
	case "sns":
		h = http.Header{"Content-Type": {"text/xml"}}
		body = "<ErrorResponse><Error><Type>Sender</Type><Code>" + code + "</Code><Message>simulated</Message></Error><RequestId>1</RequestId></ErrorResponse>"
	}
	return answer(r, status, h, body)
}

func answer(r *http.Request, status int, h http.Header, body string) *http.Response {
	return &http.Response{
		StatusCode: status, Status: http.StatusText(status), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: h, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)), Request: r,
	}
}

// route names what a request asks for, and who answers it.
func (w *wire) route(r *http.Request) (service, operation string, handler http.Handler) {
	if r.URL.Host == orgHost {
		return "okta", oktasim.Operation(r.Method, r.URL.Path), w.org
	}
	service, _, _ = strings.Cut(r.URL.Host, ".")
	if service == "email" {
		service = "ses"
	}
	if _, name, ok := strings.Cut(r.Header.Get("X-Amz-Target"), "."); ok {
		return service, name, w.services[service]
	}
	switch service {
	case "ses":
		operation = "SendEmail"
	case "lambda":
		operation = "Invoke"
	case "sns":
		operation = form(r).Get("Action")
	case "s3":
		operation = objectOperation(r)
	case "chat":
		operation = "Post"
	case "stepca":
		operation = stepOperation(r)
	}
	return service, operation, w.services[service]
}

// stepOperation names what is asked of step-ca: the last part of the path that
// is no value.
func stepOperation(r *http.Request) string {
	parts := strings.Split(strings.TrimPrefix(r.URL.Path, "/1.0/"), "/")
	if parts[len(parts)-1] == "encrypted-key" {
		return "encrypted-key"
	}
	return parts[0]
}

// objectOperation names what is asked of S3.
func objectOperation(r *http.Request) string {
	switch {
	case r.URL.Query().Has("list-type"):
		return "ListObjectsV2"
	case r.Method == http.MethodPut:
		return "PutObject"
	case r.Method == http.MethodHead:
		return "HeadObject"
	case r.Method == http.MethodDelete:
		return "DeleteObject"
	}
	return "GetObject"
}
