package wiring_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"keyturn/internal/rotation"
	"keyturn/internal/wiring"
)

const secretARN = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:keyturn/okta-AbCdEf"

// cloud is Secrets Manager with one secret, and an Okta org with one app that
// takes one token.
type cloud struct {
	mu            sync.Mutex
	secret, token string
	reads         int
	userAgent     string
}

func start(t *testing.T) *cloud {
	t.Helper()
	c := &cloud{}
	secrets := httptest.NewServer(http.HandlerFunc(c.secrets))
	t.Cleanup(secrets.Close)
	org := httptest.NewServer(http.HandlerFunc(c.okta))
	t.Cleanup(org.Close)
	for name, value := range map[string]string{
		"AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "hidden",
		"AWS_ENDPOINT_URL": secrets.URL, "OKTA_SECRET_ARN": secretARN, "OKTA_ORG_URL": org.URL,
	} {
		t.Setenv(name, value)
	}
	return c
}

func (c *cloud) set(secret, token string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.secret, c.token = secret, token
}

func (c *cloud) secrets(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reads++
	body, _ := io.ReadAll(r.Body)
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	if c.secret == "" || !strings.Contains(string(body), secretARN) {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"__type": "ResourceNotFoundException", "Message": "no value"}`)
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]string{"SecretString": c.secret})
}

func (c *cloud) okta(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.userAgent = r.UserAgent()
	w.Header().Set("Content-Type", "application/json")
	if r.Header.Get("Authorization") != "SSWS "+c.token {
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, `{"errorCode": "E0000011", "errorSummary": "Invalid token provided"}`)
		return
	}
	_, _ = io.WriteString(w, `{"keys": []}`)
}

var target = rotation.Target{Kind: rotation.KindApp, ID: "0oa1gjh63g214q0Hq0g4"}

func TestOktaIsCalledWithTheTokenInTheSecret(t *testing.T) {
	c := start(t)
	client, err := wiring.Okta()
	if err != nil {
		t.Fatal(err)
	}
	if c.reads != 0 {
		t.Error("the secret was read before the first call")
	}
	c.set(`{"apiToken": "00first"}`, "00first")
	for range 3 {
		if _, err := client.Metadata(t.Context(), target, "kid"); err != nil {
			t.Fatal(err)
		}
	}
	if c.reads != 1 {
		t.Errorf("the secret was read %d times for three calls, want once", c.reads)
	}
	if want := "keyturn/" + wiring.Version; c.userAgent != want {
		t.Errorf("User-Agent is %q, want %q", c.userAgent, want)
	}
}

func TestATokenThatWasReplacedIsReadAgainAfterARefusal(t *testing.T) {
	c := start(t)
	client, err := wiring.Okta()
	if err != nil {
		t.Fatal(err)
	}
	c.set(`{"apiToken": "00first"}`, "00first")
	if _, err := client.Metadata(t.Context(), target, "kid"); err != nil {
		t.Fatal(err)
	}
	c.set(`{"apiToken": "00second"}`, "00second")
	if _, err := client.Metadata(t.Context(), target, "kid"); err != nil {
		t.Fatal(err)
	}
	c.set(`{"apiToken": "00second"}`, "00third")
	if _, err := client.Metadata(t.Context(), target, "kid"); rotation.NameOf(err) != "Okta.Unauthorized" || strings.Contains(err.Error(), "00second") {
		t.Errorf("got %v, want Okta.Unauthorized without the token", err)
	}
}

func TestASecretThatCannotBeUsedIsNamedAndNotShown(t *testing.T) {
	for title, test := range map[string]struct{ secret, name string }{
		"no value":    {"", "Credential.Missing"},
		"not JSON":    {"00first", "Credential.Malformed"},
		"no token":    {`{}`, "Credential.Missing"},
		"with prefix": {`{"apiToken": "SSWS 00first"}`, "Credential.Malformed"},
	} {
		t.Run(title, func(t *testing.T) {
			c := start(t)
			c.set(test.secret, "00first")
			client, err := wiring.Okta()
			if err != nil {
				t.Fatal(err)
			}
			_, err = client.Metadata(t.Context(), target, "kid")
			if rotation.NameOf(err) != test.name || !strings.Contains(err.Error(), secretARN) || strings.Contains(err.Error(), "00first") {
				t.Errorf("got %v, want %s that names the secret and hides its value", err, test.name)
			}
		})
	}
}

func TestAnEnvironmentThatCannotWorkIsRefusedBeforeAnyCall(t *testing.T) {
	for title, test := range map[string]struct{ variable, value, says string }{
		"no secret":    {"OKTA_SECRET_ARN", "", "OKTA_SECRET_ARN"},
		"no org":       {"OKTA_ORG_URL", "", "OKTA_ORG_URL"},
		"org by http":  {"OKTA_ORG_URL", "http://example.okta.com", "http://example.okta.com"},
		"admin's host": {"OKTA_ORG_URL", "https://example-admin.okta.com", "-admin"},
	} {
		t.Run(title, func(t *testing.T) {
			c := start(t)
			t.Setenv(test.variable, test.value)
			_, err := wiring.Okta()
			if rotation.NameOf(err) != "Config.Invalid" || !strings.Contains(err.Error(), test.says) {
				t.Errorf("got %v, want Config.Invalid about %s", err, test.says)
			}
			if c.reads > 0 {
				t.Error("the secret was read")
			}
		})
	}
}

func TestASecretIsNamedByItsVariable(t *testing.T) {
	c := start(t)
	c.set("link key", "")
	t.Setenv("LINK_KEY_SECRET_ARN", secretARN)
	s, err := wiring.Secret("LINK_KEY_SECRET_ARN")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := s.Value(t.Context(), false); err != nil || string(got) != "link key" || s.ID() != secretARN {
		t.Errorf("%s has %q, %v", s.ID(), got, err)
	}
}
