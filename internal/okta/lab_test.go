package okta_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"keyturn/internal/okta"
	"keyturn/internal/oktasim"
	"keyturn/internal/rotation"
)

var now = time.Date(2026, 3, 2, 9, 30, 0, 0, time.UTC)

const token = "00-a-token-that-must-never-be-shown-0042"

// app is a target for tests in which the org is a handler of the test's own.
var app = rotation.Target{Kind: rotation.KindApp, ID: "0oa1"}

// static gives always the credential with the token.
func static(t *testing.T) okta.CredentialSource {
	t.Helper()
	credential := parsed(t, token)
	return func(context.Context, bool) (okta.Credential, error) { return credential, nil }
}

func parsed(t *testing.T, token string) okta.Credential {
	t.Helper()
	credential, err := okta.ParseCredential("keyturn/okta", fmt.Appendf(nil, `{"apiToken":%q}`, token))
	if err != nil {
		t.Fatal(err)
	}
	return credential
}

// noKeepAlive opens a connection for each call: net/http repeats a GET by
// itself when a connection that it kept is closed.
func noKeepAlive() *http.Client {
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
}

func newClient(t *testing.T, url string) *okta.Client {
	t.Helper()
	return newClientWith(t, okta.Config{OrgURL: url, Credentials: static(t), Version: "1.2.3", HTTP: noKeepAlive()})
}

func newClientWith(t *testing.T, c okta.Config) *okta.Client {
	t.Helper()
	client, err := okta.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// simulated is a client of a simulated org.
func simulated(t *testing.T) (*oktasim.Org, *okta.Client) {
	t.Helper()
	unlimited := oktasim.Limits{Apps: oktasim.Unlimited, App: oktasim.Unlimited, API: oktasim.Unlimited}
	org := oktasim.New(oktasim.Options{APIToken: token, Now: func() time.Time { return now }, Limits: unlimited})
	server := httptest.NewServer(org)
	t.Cleanup(server.Close)
	return org, newClient(t, server.URL)
}

// answering is a client of an org that is the handler.
func answering(t *testing.T, handler http.HandlerFunc) *okta.Client {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return newClient(t, server.URL)
}

// write answers with a status and a body.
func write(w http.ResponseWriter, status int, body string) {
	w.WriteHeader(status)
	_, _ = w.Write([]byte(body)) // a client that went away needs no answer
}

// wantError compares an error's name and whole text, and looks for the token.
func wantError(t *testing.T, err error, name, text string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want %s: %s", name, text)
	}
	wantName(t, err, name)
	if err.Error() != text {
		t.Errorf("the error says\n\t%s\nwant\n\t%s", err, text)
	}
}

func wantName(t *testing.T, err error, name string) {
	t.Helper()
	if got := rotation.NameOf(err); got != name {
		t.Errorf("error is named %q, want %q: %v", got, name, err)
	}
	wantNoToken(t, err)
}

// wantNoToken looks for the token in every way to print the error.
func wantNoToken(t *testing.T, err error) {
	t.Helper()
	for _, text := range []string{fmt.Sprint(err), fmt.Sprintf("%+v", err), fmt.Sprintf("%#v", err), fmt.Sprintf("%q", err)} {
		if strings.Contains(text, token) {
			t.Errorf("the error holds the token: %s", text)
		}
	}
}
