package okta_test

import (
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"keyturn/internal/okta"
	"keyturn/internal/oktasim"
)

// collect reads a list to its end or its error.
func collect(list iter.Seq2[json.RawMessage, error]) (ids []string, err error) {
	for raw, err := range list {
		if err != nil {
			return ids, err
		}
		ids = append(ids, okta.Document{Raw: raw}.Field("id"))
	}
	return ids, nil
}

func TestListsAreReadPageByPage(t *testing.T) {
	org, client := simulated(t)
	shared := oktasim.NewKey(oktasim.KeySpec{Kid: "shared", Created: now})
	var apps, idps []string
	for i := range 401 {
		apps = append(apps, org.AddApp(oktasim.AppSpec{Label: fmt.Sprint("App ", i), Key: shared}))
	}
	org.AddApp(oktasim.AppSpec{Label: "Alone"})
	for i := range 2 {
		idps = append(idps, org.AddIDP(oktasim.IDPSpec{Label: fmt.Sprint("IdP ", i), Key: shared}))
	}
	org.AddIDP(oktasim.IDPSpec{Label: "Social", Type: "GOOGLE"})

	got, err := collect(client.AppsWithKid(t.Context(), "shared"))
	if err != nil || !slices.Equal(got, apps) {
		t.Errorf("%d apps, %v; want %d", len(got), err, len(apps))
	}
	if n := len(org.Calls()); n != 3 {
		t.Errorf("%d calls, want 3", n)
	}
	got, err = collect(client.SAMLIdentityProviders(t.Context()))
	if err != nil || !slices.Equal(got, idps) {
		t.Errorf("IdPs %q, %v; want %q", got, err, idps)
	}
}

func TestListStopsWhereItsReaderStops(t *testing.T) {
	org, client := simulated(t)
	shared := oktasim.NewKey(oktasim.KeySpec{Kid: "shared", Created: now})
	for i := range 201 {
		org.AddApp(oktasim.AppSpec{Label: fmt.Sprint("App ", i), Key: shared})
	}
	for _, err := range client.AppsWithKid(t.Context(), "shared") {
		if err != nil {
			t.Fatal(err)
		}
		break
	}
	if n := len(org.Calls()); n != 1 {
		t.Errorf("%d calls, want 1", n)
	}
}

func TestListGivesWhatItHasAndThenTheError(t *testing.T) {
	org, client := simulated(t)
	shared := oktasim.NewKey(oktasim.KeySpec{Kid: "shared", Created: now})
	for i := range 201 {
		org.AddApp(oktasim.AppSpec{Label: fmt.Sprint("App ", i), Key: shared})
	}
	org.Fail(oktasim.Fault{Nth: 2, Kind: oktasim.FaultRateLimited})
	got, err := collect(client.AppsWithKid(t.Context(), "shared"))
	wantName(t, err, "Okta.RateLimited")
	if len(got) != 200 {
		t.Errorf("%d apps before the error, want 200", len(got))
	}
}

// linked is an org whose first page has these Link headers and one app; every
// other page has another app and no link.
func linked(t *testing.T, links func(base string) []string) (client *okta.Client, requests *[]string) {
	t.Helper()
	requests = new([]string)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*requests = append(*requests, r.URL.RequestURI())
		if len(*requests) > 1 {
			write(w, http.StatusOK, `[{"id":"second"}]`)
			return
		}
		for _, link := range links("http://" + r.Host) {
			w.Header().Add("Link", link)
		}
		write(w, http.StatusOK, `[{"id":"first"}]`)
	}))
	t.Cleanup(server.Close)
	return newClient(t, server.URL), requests
}

func TestNextPageIsTheOneThatALinkCallsNext(t *testing.T) {
	for what, c := range map[string]struct {
		links []string
		next  string // "" for none
	}{
		"no link":                        {nil, ""},
		"as Okta sends it":               {[]string{`<{}/api/v1/apps?limit=200>; rel="self"`, `<{}/api/v1/apps?after=2>; rel="next"`}, "/api/v1/apps?after=2"},
		"next first":                     {[]string{`<{}/n>; rel="next"`, `<{}/s>; rel="self"`}, "/n"},
		"only self":                      {[]string{`<{}/s>; rel="self"`}, ""},
		"in one header":                  {[]string{`<{}/s>; rel="self", <{}/n>; rel="next"`}, "/n"},
		"in one header without space":    {[]string{`<{}/s>; rel="self",<{}/n>; rel="next"`}, "/n"},
		"with more space":                {[]string{"<{}/s>; rel=\"self\" ,\t  <{}/n> ; rel=\"next\""}, "/n"},
		"three, differently separated":   {[]string{`<{}/s>; rel="self", <{}/n>; rel="next",<{}/l>; rel="last"`}, "/n"},
		"next between others":            {[]string{`<{}/f>; rel="first",<{}/n>; rel="next", <{}/l>; rel="last"`}, "/n"},
		"without quotes":                 {[]string{`<{}/n>; rel=next`}, "/n"},
		"with other parameters":          {[]string{`<{}/n>; title="a; b"; rel="next"; type="application/json"`}, "/n"},
		"another case":                   {[]string{`<{}/n>; REL="Next"`}, "/n"},
		"several relations":              {[]string{`<{}/n>; rel="prefetch next"`}, "/n"},
		"space around the equals sign":   {[]string{`<{}/n>; rel = "next"`}, "/n"},
		"commas and semicolons in a URL": {[]string{`<{}/n?fields=a,b;c&after=x,%3Cy>; rel="next"`}, "/n?fields=a,b;c&after=x,%3Cy"},
		"a relation that ends in next":   {[]string{`<{}/n>; rel="not-next"`}, ""},
		"next as a title":                {[]string{`<{}/n>; title="next"`}, ""},
		"a relative reference":           {[]string{`</api/v1/apps?after=3>; rel="next"`}, "/api/v1/apps?after=3"},
		"a query alone":                  {[]string{`<?after=3>; rel="next"`}, "/?after=3"},
		"broken off":                     {[]string{`<{}/n`}, ""},
		"without brackets":               {[]string{`{}/n; rel="next"`}, ""},
		"without a relation":             {[]string{`<{}/n>`}, ""},
		"nothing in it":                  {[]string{``}, ""},
	} {
		t.Run(what, func(t *testing.T) {
			client, requests := linked(t, func(base string) []string {
				var links []string
				for _, link := range c.links {
					links = append(links, strings.ReplaceAll(link, "{}", base))
				}
				return links
			})
			got, err := collect(client.SAMLIdentityProviders(t.Context()))
			if err != nil {
				t.Fatal(err)
			}
			if c.next == "" {
				if len(*requests) != 1 {
					t.Errorf("requests %q, want one", *requests)
				}
				return
			}
			if len(*requests) != 2 || (*requests)[1] != c.next || !slices.Equal(got, []string{"first", "second"}) {
				t.Errorf("requests %q give %q, want the second to be %s", *requests, got, c.next)
			}
		})
	}
}

func TestNextPageElsewhereIsRefusedAndGetsNoCredential(t *testing.T) {
	other, reached := elsewhere(t)
	for what, link := range map[string]string{
		"another server":            other + "/api/v1/idps",
		"another port":              "http://127.0.0.1:1/api/v1/idps",
		"another scheme":            "https://{host}/api/v1/idps",
		"no scheme":                 strings.TrimPrefix(other, "http:") + "/api/v1/idps",
		"a user in it":              "http://user@{host}/api/v1/idps",
		"the org as the user":       "http://{host}@" + strings.TrimPrefix(other, "http://") + "/",
		"the org within the host":   "http://{host}.example.com/",
		"no URL":                    "http://%zz/",
		"a script":                  "javascript:alert(1)",
		"a file":                    "file:///etc/passwd",
		"another way to say a path": "http:api/v1/idps",
	} {
		t.Run(what, func(t *testing.T) {
			var host string
			client, requests := linked(t, func(base string) []string {
				host = strings.TrimPrefix(base, "http://")
				return []string{"<" + strings.ReplaceAll(link, "{host}", host) + `>; rel="next"`}
			})
			got, err := collect(client.SAMLIdentityProviders(t.Context()))
			wantError(t, err, "Okta.Invalid", "could not list the SAML IdPs: the link to the next page leaves the org "+host+", so it is not followed [GET next page]")
			if len(*requests) != 1 || reached.Load() != 0 || !slices.Equal(got, []string{"first"}) {
				t.Errorf("requests %q, %d elsewhere; got %q", *requests, reached.Load(), got)
			}
		})
	}
}

// A path that begins with two slashes is a host where it stands alone.
func TestNextPageWhosePathLooksLikeAHostStaysInTheOrg(t *testing.T) {
	other, reached := elsewhere(t)
	path := "//" + strings.TrimPrefix(other, "http://") + "/api/v1/idps"
	client, requests := linked(t, func(base string) []string { return []string{"<" + base + path + `>; rel="next"`} })
	if _, err := collect(client.SAMLIdentityProviders(t.Context())); err != nil {
		wantName(t, err, "Okta.Invalid")
	}
	if reached.Load() != 0 {
		t.Errorf("the credential went to %s", other)
	}
	if len(*requests) == 2 && (*requests)[1] != path {
		t.Errorf("requests %q", *requests)
	}
}

func TestPagesInACircleAreAnError(t *testing.T) {
	for what, next := range map[string]func(r *http.Request) string{
		"a page that is its own next": func(r *http.Request) string { return r.URL.RequestURI() },
		"two pages in turn": func(r *http.Request) string {
			return map[bool]string{true: "/api/v1/idps?after=a", false: "/api/v1/idps?after=b"}[r.URL.Query().Get("after") != "a"]
		},
	} {
		t.Run(what, func(t *testing.T) {
			requests := 0
			client := answering(t, func(w http.ResponseWriter, r *http.Request) {
				if requests++; requests > 9 {
					t.Error("the pages are read for ever")
					write(w, http.StatusOK, "[]")
					return
				}
				w.Header().Set("Link", "<"+next(r)+`>; rel="next"`)
				write(w, http.StatusOK, "[{}]")
			})
			_, err := collect(client.SAMLIdentityProviders(t.Context()))
			wantError(t, err, "Okta.Invalid", "could not list the SAML IdPs: the pages link to each other in a circle [GET next page]")
		})
	}
}

func TestNextPageIsFoundHoweverTheOrgURLIsSpelled(t *testing.T) {
	requests := 0
	network := roundTripper(func(r *http.Request) (*http.Response, error) {
		answer := response(r, http.StatusOK, "[{}]")
		if requests++; requests == 1 {
			answer.Header.Set("Link", `<https://example.okta.com/api/v1/idps?after=1>; rel="next"`)
		}
		return answer, nil
	})
	client := newClientWith(t, okta.Config{OrgURL: "https://Example.Okta.com/", Credentials: static(t), HTTP: &http.Client{Transport: network}})
	got, err := collect(client.SAMLIdentityProviders(t.Context()))
	if err != nil || len(got) != 2 {
		t.Errorf("%d items, %v; want 2", len(got), err)
	}
}
