package okta_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"keyturn/internal/okta"
)

func TestOrgURLIsTheOrgsAddressAndNothingElse(t *testing.T) {
	for raw, want := range map[string]string{
		"https://example.okta.com":          "https://example.okta.com",
		"https://example.okta.com/":         "https://example.okta.com",
		"\thttps://example.okta.com\n":      "https://example.okta.com",
		"HTTPS://Example.Okta.com":          "https://example.okta.com",
		"https://login.example.com:8443":    "https://login.example.com:8443",
		"https://example.oktapreview.com":   "https://example.oktapreview.com",
		"https://sso-admin.example.com":     "https://sso-admin.example.com",
		"https://admin.okta.com":            "https://admin.okta.com",
		"http://127.0.0.1:8080":             "http://127.0.0.1:8080",
		"http://localhost:8080":             "http://localhost:8080",
		"http://[::1]:8080":                 "http://[::1]:8080",
		"https://127.0.0.1":                 "https://127.0.0.1",
		"https://example.okta.com//":        "https://example.okta.com",
		"https://example-admins.okta.com":   "https://example-admins.okta.com",
		"https://example.okta-gov.com":      "https://example.okta-gov.com",
		"https://example.trexcloud.com":     "https://example.trexcloud.com",
		"https://example.okta-emea.com:443": "https://example.okta-emea.com:443",
	} {
		t.Run(raw, func(t *testing.T) {
			got, err := okta.ParseOrgURL(raw)
			if err != nil {
				t.Fatal(err)
			}
			if got.String() != want {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
}

func TestOrgURLThatCannotBeUsedIsRefusedWithTheRemedy(t *testing.T) {
	const remedy = ": set the stack parameter OktaOrgUrl to the org's address, such as https://example.okta.com"
	for raw, want := range map[string]string{
		"":                                       "there is no org URL",
		" \t\n":                                  "there is no org URL",
		"example.okta.com":                       `the org URL "example.okta.com" is not a URL`,
		"https://":                               `the org URL "https://" is not a URL`,
		"https:example.okta.com":                 `the org URL "https:example.okta.com" is not a URL`,
		"https://exa mple.okta.com":              `the org URL "https://exa mple.okta.com" is not a URL`,
		"http://example.okta.com":                `the org URL "http://example.okta.com" is http, which would show the credential to the network`,
		"http://localhost.example.com":           `the org URL "http://localhost.example.com" is http, which would show the credential to the network`,
		"http://10.0.0.1":                        `the org URL "http://10.0.0.1" is http, which would show the credential to the network`,
		"ftp://example.okta.com":                 `the org URL "ftp://example.okta.com" is not https`,
		"https://example.okta.com/api/v1":        `the org URL "https://example.okta.com/api/v1" has something behind the host`,
		"https://example.okta.com?x=1":           `the org URL "https://example.okta.com?x=1" has something behind the host`,
		"https://example.okta.com#top":           `the org URL "https://example.okta.com#top" has something behind the host`,
		"https://example-admin.okta.com":         `the org URL "https://example-admin.okta.com" is the admin console's; the API is at the address without -admin`,
		"https://Example-Admin.OktaPreview.com":  `the org URL "https://Example-Admin.OktaPreview.com" is the admin console's; the API is at the address without -admin`,
		"https://example-admin.okta-emea.com":    `the org URL "https://example-admin.okta-emea.com" is the admin console's; the API is at the address without -admin`,
		"https://u:p4ssw0rd@example.okta.com":    "the org URL holds a user or password",
		"http://u:p4ssw0rd@example.okta.com/api": "the org URL holds a user or password",
		"https://u:p4ss w0rd@example.okta.com":   "the org URL holds a user or password",
	} {
		t.Run(raw, func(t *testing.T) {
			_, err := okta.ParseOrgURL(raw)
			wantError(t, err, "Config.Invalid", want+remedy)
			if _, err := okta.New(okta.Config{OrgURL: raw}); err == nil || err.Error() != want+remedy {
				t.Errorf("New says %v", err)
			}
		})
	}
}

func TestCredentialIsAnAPIToken(t *testing.T) {
	for what, secret := range map[string]string{
		"plain":                  `{"apiToken":"` + token + `"}`,
		"white space around it":  "\n {\"apiToken\": \"" + token + "\"}\n",
		"with an absent service": `{"apiToken":"` + token + `","clientId":null}`,
	} {
		t.Run(what, func(t *testing.T) {
			credential, err := okta.ParseCredential("keyturn/okta", []byte(secret))
			if err != nil {
				t.Fatal(err)
			}
			r := &http.Request{Header: http.Header{}}
			if err := credential.Authorize(r); err != nil || r.Header.Get("Authorization") != "SSWS "+token {
				t.Errorf("Authorization: %q, %v", r.Header.Get("Authorization"), err)
			}
		})
	}
}

func TestCredentialOfAnotherShapeIsRefusedWithTheRemedy(t *testing.T) {
	const shape = `: store it as {"apiToken": "…"}`
	const other = "the secret keyturn/okta has another shape than expected" + shape
	const none = "the secret keyturn/okta has no apiToken" + shape
	const oauth = "the secret keyturn/okta holds an OAuth service app, which this version cannot use" + shape
	const character = "apiToken in the secret keyturn/okta holds a space, a line break or another character that no token has: store the token alone"
	for secret, want := range map[string][2]string{
		"":                               {"Credential.Missing", "the secret keyturn/okta is empty" + shape},
		"\t\n":                           {"Credential.Missing", "the secret keyturn/okta is empty" + shape},
		"{}":                             {"Credential.Missing", none},
		`null`:                           {"Credential.Missing", none},
		token:                            {"Credential.Malformed", other},
		`"x"`:                            {"Credential.Malformed", other},
		`["x"]`:                          {"Credential.Malformed", other},
		`{"apiToken":""}`:                {"Credential.Missing", none},
		`{"apiToken":null}`:              {"Credential.Missing", none},
		`{"apiToken":42}`:                {"Credential.Malformed", other},
		`{"apiToken":["` + token + `"]}`: {"Credential.Malformed", other},
		`{"token":"` + token + `"}`:      {"Credential.Malformed", other},
		`{"apiToken":"` + token + `","orgUrl":"x"}`:           {"Credential.Malformed", other},
		`{"apiToken":"` + token + `"`:                         {"Credential.Malformed", other},
		`{"apiToken":"` + token + `"} {}`:                     {"Credential.Malformed", other},
		`{"apiToken":"` + token + `"}}`:                       {"Credential.Malformed", other},
		`{"clientId":"0oa1","privateKey":{"kty":"RSA"}}`:      {"Credential.Malformed", oauth},
		`{"clientId":"0oa1"}`:                                 {"Credential.Malformed", oauth},
		`{"apiToken":"` + token + `","privateKey":{}}`:        {"Credential.Malformed", oauth},
		`{"apiToken":"SSWS ` + token + `"}`:                   {"Credential.Malformed", `apiToken in the secret keyturn/okta starts with "SSWS ": store the token alone`},
		`{"apiToken":"ssws ` + token + `"}`:                   {"Credential.Malformed", `apiToken in the secret keyturn/okta starts with "SSWS ": store the token alone`},
		`{"apiToken":" ` + token + `"}`:                       {"Credential.Malformed", character},
		`{"apiToken":"` + token + `\n"}`:                      {"Credential.Malformed", character},
		`{"apiToken":"` + token + `\u0000"}`:                  {"Credential.Malformed", character},
		`{"apiToken":"` + token + `é"}`:                       {"Credential.Malformed", character},
		`{"apiToken":"` + token[:9] + `\r\nX-Other: header"}`: {"Credential.Malformed", character},
	} {
		t.Run(secret, func(t *testing.T) {
			_, err := okta.ParseCredential("keyturn/okta", []byte(secret))
			wantError(t, err, want[0], want[1])
		})
	}
}

func TestCredentialPrintsAsNothing(t *testing.T) {
	credential := parsed(t, token)
	asJSON, err := json.Marshal(credential)
	if err != nil {
		t.Fatal(err)
	}
	wrapped := struct{ Credential okta.Credential }{credential}
	for _, text := range []string{
		string(asJSON), fmt.Sprint(credential), fmt.Sprintf("%v %+v %#v %s %q", credential, credential, credential, credential, credential),
		fmt.Sprintf("%v %+v %#v", wrapped, wrapped, wrapped),
	} {
		if strings.Contains(text, token) {
			t.Errorf("the credential prints as %s", text)
		}
	}
}
