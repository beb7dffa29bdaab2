package page

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/aws/aws-lambda-go/events"
	"github.com/google/go-cmp/cmp"
)

// functionURL is an event as Lambda's developer guide shows it ("Invoking
// Lambda function URLs"), with what a test changes.
func functionURL(t *testing.T, method, path, query, body string, isBase64 bool) events.LambdaFunctionURLRequest {
	t.Helper()
	var in events.LambdaFunctionURLRequest
	if err := json.Unmarshal([]byte(`{
	  "version": "2.0",
	  "headers": {
	    "accept": "text/html",
	    "content-type": "application/x-www-form-urlencoded",
	    "x-forwarded-proto": "https",
	    "host": "abc.lambda-url.eu-west-1.on.aws"
	  },
	  "requestContext": {
	    "accountId": "anonymous",
	    "domainName": "abc.lambda-url.eu-west-1.on.aws",
	    "http": {"protocol": "HTTP/1.1", "sourceIp": "192.0.2.1", "userAgent": "agent"},
	    "timeEpoch": 1772366400000
	  }
	}`), &in); err != nil {
		t.Fatal(err)
	}
	in.RawPath, in.RawQueryString, in.Body, in.IsBase64Encoded = path, query, body, isBase64
	in.RequestContext.HTTP.Method, in.RequestContext.HTTP.Path = method, path
	return in
}

// seen is a request as a handler behind the Function URL gets it.
type seen struct {
	Method, Path, Query, Body, Host, RemoteAddr, Accept, ContentType string
	Length                                                           int64
}

func handlerSees(t *testing.T, in events.LambdaFunctionURLRequest) seen {
	t.Helper()
	var s seen
	_, err := FunctionURL(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		if err := r.Body.Close(); err != nil {
			t.Error(err)
		}
		if r.Context() != t.Context() {
			t.Error("the request has another context than the call")
		}
		s = seen{r.Method, r.URL.Path, r.URL.RawQuery, string(body), r.Host, r.RemoteAddr, r.Header.Get("Accept"), r.Header.Get("Content-Type"), r.ContentLength}
	}))(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestAHandlerSeesTheRequestThatCameToTheFunctionURL(t *testing.T) {
	const form = "comment=na%C3%AFve+%26+co&decision=confirm"
	for title, test := range map[string]struct {
		in                 events.LambdaFunctionURLRequest
		method, path, body string
	}{
		"GET":                     {functionURL(t, "GET", "/a/AQ-_", "", "", false), "GET", "/a/AQ-_", ""},
		"HEAD":                    {functionURL(t, "HEAD", "/a/AQ-_", "", "", false), "HEAD", "/a/AQ-_", ""},
		"POST, plain":             {functionURL(t, "POST", "/a/AQ", "", form, false), "POST", "/a/AQ", form},
		"POST, base64":            {functionURL(t, "POST", "/a/AQ", "", base64.StdEncoding.EncodeToString([]byte(form)), true), "POST", "/a/AQ", form},
		"path percent-encoded":    {functionURL(t, "GET", "/%61/AQ%2D%5F%2f%C3%AF", "", "", false), "GET", "/a/AQ-_/ï", ""},
		"path encoded wrongly":    {functionURL(t, "GET", "/a/AQ%zz", "", "", false), "GET", "/a/AQ%zz", ""},
		"a plus sign stays":       {functionURL(t, "GET", "/a/A+Q", "", "", false), "GET", "/a/A+Q", ""},
		"no path":                 {functionURL(t, "GET", "", "", "", false), "GET", "", ""},
		"an empty body in base64": {functionURL(t, "POST", "/", "", "", true), "POST", "/", ""},
	} {
		t.Run(title, func(t *testing.T) {
			test.in.RawQueryString = "decision=confirm&x=%20y"
			want := seen{
				Method: test.method, Path: test.path, Body: test.body, Length: int64(len(test.body)),
				Query: "decision=confirm&x=%20y", Host: "abc.lambda-url.eu-west-1.on.aws", RemoteAddr: "192.0.2.1",
				Accept: "text/html", ContentType: "application/x-www-form-urlencoded",
			}
			if diff := cmp.Diff(want, handlerSees(t, test.in)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestABodyThatIsNotBase64IsRefusedBeforeTheHandler(t *testing.T) {
	out, err := FunctionURL(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		t.Error("the handler was called")
	}))(t.Context(), functionURL(t, "POST", "/a/AQ", "", "%%%", true))
	if err != nil || out.StatusCode != http.StatusBadRequest {
		t.Errorf("got status %d, %v; want 400", out.StatusCode, err)
	}
}

func TestTheFunctionURLAnswersWhatTheHandlerWrote(t *testing.T) {
	for title, test := range map[string]struct {
		handler http.HandlerFunc
		method  string
		want    events.LambdaFunctionURLResponse
	}{
		"status, header and body": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("x-one", "1")
			w.WriteHeader(http.StatusGone)
			w.WriteHeader(http.StatusOK) // the first counts, as in net/http
			_, _ = io.WriteString(w, "gone")
		}, "GET", events.LambdaFunctionURLResponse{StatusCode: http.StatusGone, Headers: map[string]string{"X-One": "1"}, Body: "gone"}},
		"nothing": {func(http.ResponseWriter, *http.Request) {}, "GET", events.LambdaFunctionURLResponse{StatusCode: http.StatusOK, Headers: map[string]string{}}},
		"a body alone": {func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "he")
			w.WriteHeader(http.StatusGone)
			_, _ = io.WriteString(w, "llo")
		}, "GET", events.LambdaFunctionURLResponse{StatusCode: http.StatusOK, Headers: map[string]string{}, Body: "hello"}},
		"HEAD has no body": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, "not found")
		}, "HEAD", events.LambdaFunctionURLResponse{StatusCode: http.StatusNotFound, Headers: map[string]string{}}},
	} {
		t.Run(title, func(t *testing.T) {
			out, err := FunctionURL(test.handler)(t.Context(), functionURL(t, test.method, "/", "", "", false))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, out); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestThePageWorksBehindAFunctionURL(t *testing.T) {
	d := newDesk(t)
	serve := FunctionURL(d.page)
	call := func(method, path, body string) events.LambdaFunctionURLResponse {
		t.Helper()
		in := functionURL(t, method, path, "utm_source=mail", base64.StdEncoding.EncodeToString([]byte(body)), true)
		in.Headers["content-type"] = "application/x-www-form-urlencoded"
		out, err := serve(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		if out.Headers["Content-Security-Policy"] == "" || out.Headers["Cache-Control"] != "no-store" {
			t.Errorf("%s: the headers are %v", method, out.Headers)
		}
		return out
	}
	path := "/a/" + d.link
	if out := call("HEAD", path, ""); out.StatusCode != http.StatusOK || out.Body != "" {
		t.Errorf("HEAD: status %d, %d characters", out.StatusCode, len(out.Body))
	}
	// Some mail programs encode what they need not.
	shown := call("GET", strings.NewReplacer("-", "%2D", "_", "%5f").Replace(path), "")
	if shown.StatusCode != http.StatusOK || !strings.Contains(shown.Body, `name="form"`) {
		t.Fatalf("GET: status %d, body:\n%s", shown.StatusCode, shown.Body)
	}
	der := call("GET", path+"/certificate.cer", "")
	content, err := base64.StdEncoding.DecodeString(der.Body)
	if want, _ := base64.StdEncoding.DecodeString(d.in.NewKey.Certificate); err != nil || !der.IsBase64Encoded || !bytes.Equal(content, want) {
		t.Errorf("the certificate in DER: base64 %v, %v", der.IsBase64Encoded, err)
	}
	d.undecided()
	form := url.Values{"form": {d.sealer.FormToken(d.link, d.in.TaskToken, d.now)}, "decision": {"confirm"}, "comment": {"naïve & co"}}.Encode()
	if out := call("POST", path, form); out.StatusCode != http.StatusOK {
		t.Fatalf("POST: status %d", out.StatusCode)
	}
	if got := d.decision("success"); got.Comment != "naïve & co" || got.Address == "" {
		t.Errorf("decided %+v", got)
	}
	if out := call("POST", path, form); out.StatusCode != http.StatusConflict {
		t.Errorf("the second POST: status %d", out.StatusCode)
	}
}
