package main

import (
	"bytes"
	"errors"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"keyturn/internal/oktasim"
	"keyturn/test/contract/live"
)

const token = "00-a-token-that-must-never-be-shown-0042"

func org(t *testing.T) (*oktasim.Org, string) {
	t.Helper()
	o := oktasim.New(oktasim.Options{APIToken: token, Limits: oktasim.Limits{Apps: oktasim.Unlimited, App: oktasim.Unlimited, API: oktasim.Unlimited}})
	o.SeedDemo()
	server := httptest.NewServer(o)
	t.Cleanup(server.Close)
	return o, server.URL
}

func TestTheCredentialComesFromTheVariableOrAFile(t *testing.T) {
	_, url := org(t)
	file := func(text string) string {
		path := filepath.Join(t.TempDir(), "credential")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	secret := `{"apiToken":"` + token + `"}`
	for what, c := range map[string]struct {
		variable string
		args     []string
		fails    string
	}{
		"a token":                 {token + "\n", nil, ""},
		"a secret":                {secret, nil, ""},
		"a token in a file":       {"", []string{"-credential", file(token + "\n")}, ""},
		"a secret in a file":      {"", []string{"-credential", file(secret)}, ""},
		"the file before the var": {"wrong", []string{"-credential", file(token)}, ""},
		"none":                    {"", nil, "there is no credential in KEYTURN_OKTA_TOKEN"},
		"an empty file":           {token, []string{"-credential", file(" ")}, "there is no credential in /"},
		"no file":                 {token, []string{"-credential", "/nowhere"}, "-credential: open /nowhere"},
		"with SSWS":               {"SSWS " + token, nil, `starts with "SSWS "`},
		"another secret":          {`{"token":"` + token + `"}`, nil, "has another shape than expected"},
		"an argument":             {token, []string{"x"}, `unexpected argument "x"`},
		"no org":                  {token, []string{"-org", ""}, "there is no org URL"},
		"http elsewhere":          {token, []string{"-org", "http://example.okta.com"}, "is http, which would show the credential"},
	} {
		t.Run(what, func(t *testing.T) {
			var out bytes.Buffer
			err := run(t.Context(), append([]string{"-org", url}, c.args...), c.variable, strings.NewReader(""), &out)
			if c.fails == "" && err != nil || c.fails != "" && (err == nil || !strings.Contains(err.Error(), c.fails)) {
				t.Errorf("%v, want %q\n%s", err, c.fails, out.String())
			}
			if strings.Contains(out.String(), token) || err != nil && strings.Contains(err.Error(), token) {
				t.Errorf("the token is shown: %v\n%s", err, out.String())
			}
		})
	}
}

func TestAWrongTokenIsADifference(t *testing.T) {
	_, url := org(t)
	var out bytes.Buffer
	if err := run(t.Context(), []string{"-org", url}, "another-token", strings.NewReader(""), &out); !errors.Is(err, live.ErrDiffers) {
		t.Errorf("%v", err)
	}
	if !strings.Contains(out.String(), "✘ reading stopped: could not list the apps: Invalid token provided") {
		t.Errorf("it says\n%s", out.String())
	}
}

func TestTheAppIsMadeAfterAYes(t *testing.T) {
	for _, c := range []struct {
		flags, answer string
		made          int
	}{
		{"", "yes\n", 0},
		{"-rotate-throw-away-app", "yes\n", 1},
		{"-rotate-throw-away-app", "y\n", 0},
		{"-rotate-throw-away-app", "", 0},
		{"-rotate-throw-away-app -yes", "", 1},
	} {
		o, url := org(t)
		var out bytes.Buffer
		err := run(t.Context(), append([]string{"-org", url}, strings.Fields(c.flags)...), token, strings.NewReader(c.answer), &out)
		if made := o.Counts().Operations["createApplication"]; made != c.made || (err == nil) != (made > 0 || c.flags == "") {
			t.Errorf("%q, answer %q: %d apps made, %v\n%s", c.flags, c.answer, made, err, out.String())
		}
	}
}
