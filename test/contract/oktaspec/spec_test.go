package oktaspec

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"keyturn/internal/oktasim"
)

func load(t *testing.T) *Spec {
	t.Helper()
	s, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestACallIsFoundInTheSpec(t *testing.T) {
	s := load(t)
	for _, c := range []struct {
		method, path string
		want         Operation
	}{
		{"GET", "/api/v1/apps?limit=200", Operation{"listApplications", "GET", "/api/v1/apps", []string{"okta.apps.read"}}},
		{"PUT", "/api/v1/idps/0oa1", Operation{"replaceIdentityProvider", "PUT", "/api/v1/idps/{idpId}", []string{"okta.idps.manage"}}},
		{"GET", "/api/v1/idps/credentials/keys", Operation{"listIdentityProviderKeys", "GET", "/api/v1/idps/credentials/keys", []string{"okta.idps.read"}}},
		{"POST", "/api/v1/apps/0oa1/credentials/keys/generate", Operation{"generateApplicationKey", "POST", "/api/v1/apps/{appId}/credentials/keys/generate", []string{"okta.apps.manage"}}},
		{"GET", "/api/v1/apps/0oa1/credentials/keys/a%2Fb", Operation{"getApplicationKey", "GET", "/api/v1/apps/{appId}/credentials/keys/{keyId}", []string{"okta.apps.read"}}},
	} {
		got, ok := s.Operation(c.method, c.path)
		if diff := cmp.Diff(c.want, got); diff != "" || !ok {
			t.Errorf("%s %s: (-want +got)\n%s", c.method, c.path, diff)
		}
	}
	for _, call := range []string{"GET /api/v1/users", "PATCH /api/v1/apps/0oa1", "GET /api/v1/apps/", "GET /api/v1/idps/0oa1/metadata.xml"} {
		method, path, _ := strings.Cut(call, " ")
		if o, ok := s.Operation(method, path); ok {
			t.Errorf("%s is said to be %s", call, o.ID)
		}
	}
	if len(s.Permissions) < 30 {
		t.Errorf("%d permissions", len(s.Permissions))
	}
}

const (
	goodApp = `{"id":"0oa1","label":"x","signOnMode":"SAML_2_0","created":"2026-03-02T09:00:00.000Z","settings":{"signOn":{"slo":{"enabled":true}}}}`
	goodPut = `{"label":"x","signOnMode":"SAML_2_0","credentials":{"signing":{"kid":"k"}}}`
)

// exchange is a good answer to GET of an app, but for what is changed.
func exchange(change func(*oktasim.Exchange)) oktasim.Exchange {
	e := oktasim.Exchange{
		Operation: "getApplication", Method: "GET", Path: "/api/v1/apps/0oa1", Status: 200,
		Request:  oktasim.Message{Header: map[string]string{"Accept": "application/json"}},
		Response: oktasim.Message{Header: map[string]string{"Content-Type": "application/json"}, Body: []byte(goodApp)},
	}
	change(&e)
	return e
}

func answer(body string) func(*oktasim.Exchange) {
	return func(e *oktasim.Exchange) { e.Response.Body = []byte(body) }
}

func put(body string, header ...string) func(*oktasim.Exchange) {
	return func(e *oktasim.Exchange) {
		e.Operation, e.Method, e.Request.Body = "replaceApplication", "PUT", []byte(body)
		e.Request.Header["Content-Type"] = strings.Join(append(header, "application/json")[:1], "")
	}
}

func call(operation, method, path string, status int, contentType, body string) func(*oktasim.Exchange) {
	return func(e *oktasim.Exchange) {
		e.Operation, e.Method, e.Path, e.Status = operation, method, path, status
		e.Response = oktasim.Message{Header: map[string]string{"Content-Type": contentType}, Body: []byte(body)}
	}
}

func TestWhatIsNotAsTheSpecSaysIsFound(t *testing.T) {
	s := load(t)
	both := func(change ...func(*oktasim.Exchange)) func(*oktasim.Exchange) {
		return func(e *oktasim.Exchange) {
			for _, c := range change {
				c(e)
			}
		}
	}
	for what, c := range map[string]struct {
		change func(*oktasim.Exchange)
		side   Side
		want   string // kind and place
	}{
		"a good answer":            {answer(goodApp), Response, ""},
		"a good request":           {answer(goodApp), Request, ""},
		"a good body":              {put(goodPut), Request, ""},
		"any Accept will do":       {func(e *oktasim.Exchange) { e.Request.Header = nil }, Request, ""},
		"an error":                 {call("getApplication", "GET", "/api/v1/apps/x", 404, "application/json", `{"errorCode":"E0000007","errorCauses":[]}`), Response, ""},
		"deleted":                  {call("deleteApplication", "DELETE", "/api/v1/apps/x", 204, "", ""), Response, ""},
		"metadata":                 {call("previewSAMLmetadataForApplication", "GET", "/api/v1/apps/x/sso/saml/metadata", 200, "text/xml", "<x/>"), Response, ""},
		"a number for a text":      {answer(strings.Replace(goodApp, `"x"`, `1`, 1)), Response, "type /label"},
		"a text for a truth value": {answer(strings.Replace(goodApp, `true`, `"true"`, 1)), Response, "type /settings/signOn/slo/enabled"},
		"null":                     {answer(strings.Replace(goodApp, `"0oa1"`, `null`, 1)), Response, "nullable /id"},
		"no label":                 {answer(strings.Replace(goodApp, `"label":"x",`, ``, 1)), Response, "required /label"},
		"no date":                  {answer(strings.Replace(goodApp, `2026-03-02T09:00:00.000Z`, `yesterday`, 1)), Response, "format /created"},
		"an unknown mode":          {answer(strings.Replace(goodApp, `SAML_2_0`, `SAML_3`, 1)), Response, "discriminator "},
		"another template":         {answer(`{"label":"x","signOnMode":"BOOKMARK","name":"x","settings":{}}`), Response, "enum /name"},
		"no JSON":                  {answer(`{`), Response, "body "},
		"a list for one":           {answer(`[` + goodApp + `]`), Response, "type "},
		"in a list": {both(call("listApplications", "GET", "/api/v1/apps", 200, "application/json", `[`+goodApp+`,{"label":1,"signOnMode":"SAML_2_0"}]`)),
			Response, "type /*/label"},
		"an unknown status":        {call("getApplication", "GET", "/api/v1/apps/x", 418, "application/json", `{}`), Response, "status 418"},
		"an error of another sort": {call("getApplication", "GET", "/api/v1/apps/x", 404, "application/json", `{"errorCode":7}`), Response, "type /errorCode"},
		"a page for an error":      {call("getApplication", "GET", "/api/v1/apps/x", 404, "text/html", `<html>`), Response, "media type text/html"},
		"a body too many":          {call("deleteApplication", "DELETE", "/api/v1/apps/x", 204, "application/json", `[1]`), Response, "body 204"},
		"an unknown path":          {call("getUser", "GET", "/api/v1/users/x", 200, "application/json", `{}`), Response, "operation "},
		"an unknown path, asked":   {call("", "GET", "/api/v1/users/x", 404, "application/json", `{}`), Request, "operation "},
		"taken for another":        {func(e *oktasim.Exchange) { e.Operation = "getUser" }, Request, "operation "},
		"an unknown parameter":     {func(e *oktasim.Exchange) { e.Path += "?limt=1" }, Request, "parameter limt"},
		"a text for a number":      {func(e *oktasim.Exchange) { e.Path = "/api/v1/idps?limit=x"; e.Operation = "listIdentityProviders" }, Request, "parameter limit"},
		"an Accept in vain":        {func(e *oktasim.Exchange) { e.Request.Header["Accept"] = "text/html" }, Request, "media type text/html"},
		"a body with GET":          {func(e *oktasim.Exchange) { e.Request.Body = []byte("{}") }, Request, "body "},
		"no body":                  {put(""), Request, "body "},
		"a form for JSON":          {put(goodPut, "application/x-www-form-urlencoded"), Request, "body "},
		"no label sent":            {put(`{"signOnMode":"SAML_2_0"}`), Request, "required /label"},
		"what is read-only":        {put(strings.Replace(goodPut, "{", `{"id":"x",`, 1)), Request, "readOnly /id"},
	} {
		t.Run(what, func(t *testing.T) {
			var got []string
			for _, d := range s.Check(exchange(c.change), c.side) {
				got = append(got, d.Kind+" "+d.Place)
				t.Log(d)
			}
			if strings.Join(got, ", ") != c.want {
				t.Errorf("found %q, want %q", got, c.want)
			}
		})
	}
}

func TestEveryExceptionSaysWhyAndWhere(t *testing.T) {
	for i, x := range Exceptions {
		if len(x.Places) == 0 || x.Kind == "" || x.Why == "" || x.Source == "" {
			t.Errorf("exception %d: %+v", i, x)
		}
		for _, place := range x.Places {
			d := Deviation{Side: Response, Kind: x.Kind, Place: "/*" + place}
			if x.Side != "" {
				d.Side = x.Side
			}
			if len(x.Operations) > 0 {
				d.Operation = x.Operations[0]
			}
			if got, at := Excepted(d); got != i || at != place {
				t.Errorf("%s is covered by exception %d (%s), want %d", d, got, at, i)
			}
			d.Kind = "other"
			if got, _ := Excepted(d); got >= 0 {
				t.Errorf("%s is covered by exception %d", d, got)
			}
		}
	}
	if got, _ := Excepted(Deviation{Operation: "getApplication", Side: Response, Kind: "nullable", Place: "/id"}); got >= 0 {
		t.Error(fmt.Sprint("an id may be null by exception ", got))
	}
}
