package okta_test

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"keyturn/internal/okta"
	"keyturn/internal/oktasim"
)

const where = " [GET /api/v1/apps/0oa1, HTTP "

func TestErrorSaysWhatOktaAnswered(t *testing.T) {
	long := strings.Repeat("é", 301)
	for what, c := range map[string]struct {
		status int
		body   string
		name   string
		text   string
	}{
		"whole": {400, `{"errorCode":"E0000001","errorSummary":"Api validation failed: x","errorLink":"E0000001","errorId":"oae1","errorCauses":[{"errorSummary":"first"},{"errorSummary":"second"}]}`,
			"Okta.Invalid", `could not read app "0oa1": Api validation failed: x (first; second)` + where + `400, E0000001, error id oae1]`},
		"a bare cause": {400, `{"errorCode":"E0000001","errorSummary":"s","errorId":"oae1","errorCauses":{"errorSummary":"only"}}`,
			"Okta.Invalid", `could not read app "0oa1": s (only)` + where + `400, E0000001, error id oae1]`},
		"no causes": {400, `{"errorCode":"E0000003","errorSummary":"s","errorId":"oae1","errorCauses":[]}`,
			"Okta.Invalid", `could not read app "0oa1": s` + where + `400, E0000003, error id oae1]`},
		"causes null": {400, `{"errorCode":"E0000003","errorSummary":"s","errorId":"oae1","errorCauses":null}`,
			"Okta.Invalid", `could not read app "0oa1": s` + where + `400, E0000003, error id oae1]`},
		"causes as texts": {400, `{"errorCode":"E0000003","errorSummary":"s","errorId":"oae1","errorCauses":["x"]}`,
			"Okta.Invalid", `could not read app "0oa1": s` + where + `400, E0000003, error id oae1]`},
		"causes without text": {400, `{"errorCode":"E0000003","errorSummary":"s","errorCauses":[{"reason":"x"},{"errorSummary":""}]}`,
			"Okta.Invalid", `could not read app "0oa1": s` + where + `400, E0000003]`},
		"no id and no causes": {400, `{"errorCode":"E0000003","errorSummary":"s"}`,
			"Okta.Invalid", `could not read app "0oa1": s` + where + `400, E0000003]`},
		"no summary": {400, `{"errorCode":"E0000003"}`,
			"Okta.Invalid", `could not read app "0oa1": the answer was 400 Bad Request` + where + `400, E0000003]`},
		"unknown fields": {400, `{"errorCode":"E0000003","errorSummary":"s","more":{"a":[1]}}`,
			"Okta.Invalid", `could not read app "0oa1": s` + where + `400, E0000003]`},
		"another API's error": {400, `{"error":"invalid_request","error_description":"x"}`,
			"Okta.Invalid", `could not read app "0oa1": the answer was 400 Bad Request` + where + `400]`},
		"wrong types": {400, `{"errorCode":1,"errorSummary":"s"}`,
			"Okta.Invalid", `could not read app "0oa1": the answer was 400 Bad Request` + where + `400]`},
		"an array": {400, `[]`,
			"Okta.Invalid", `could not read app "0oa1": the answer was 400 Bad Request` + where + `400]`},
		"nothing": {400, ``,
			"Okta.Invalid", `could not read app "0oa1": the answer was 400 Bad Request` + where + `400]`},
		"a page": {502, `<html>Bad Gateway</html>`,
			"Okta.Unavailable", `could not read app "0oa1": the answer was 502 Bad Gateway` + where + `502]`},
		"a very long text": {400, `{"errorCode":"E0000001","errorSummary":"` + long + `","errorId":"` + long + `","errorCauses":[{"errorSummary":"` + long + `"}]}`,
			"Okta.Invalid", `could not read app "0oa1": ` + long[:600] + "… (" + long[:600] + "…)" + where + `400, E0000001, error id ` + long[:600] + "…]"},
		"401": {401, `{"errorCode":"E0000011","errorSummary":"Invalid token provided","errorId":"oae1"}`,
			"Okta.Unauthorized", `could not read app "0oa1": Invalid token provided` + where + `401, E0000011, error id oae1]; the credential was refused: put a valid API token into the Okta secret (tokens end with their creator's account, and after 30 days without use)`},
		"403": {403, `{"errorCode":"E0000006","errorSummary":"You do not have permission to perform the requested action","errorId":"oae1"}`,
			"Okta.Forbidden", `could not read app "0oa1": You do not have permission to perform the requested action` + where + `403, E0000006, error id oae1]; the credential lacks the permission: it needs okta.apps.manage for apps, okta.identityProviders.manage for IdPs`},
		"404": {404, `{"errorCode":"E0000007","errorSummary":"Not found: x","errorId":"oae1"}`,
			"Okta.NotFound", `could not read app "0oa1": Not found: x` + where + `404, E0000007, error id oae1]`},
		"405": {405, `{"errorCode":"E0000022","errorSummary":"no"}`,
			"Okta.Invalid", `could not read app "0oa1": no` + where + `405, E0000022]`},
		"500": {500, `{"errorCode":"E0000009","errorSummary":"Internal Server Error","errorId":"oae1"}`,
			"Okta.Unavailable", `could not read app "0oa1": Internal Server Error` + where + `500, E0000009, error id oae1]`},
		"503": {503, `{"errorCode":"E0000010","errorSummary":"Service is in read only mode","errorId":"oae1"}`,
			"Okta.Unavailable", `could not read app "0oa1": Service is in read only mode` + where + `503, E0000010, error id oae1]`},
		"a redirect": {302, ``,
			"Okta.Invalid", `could not read app "0oa1": the org redirects to another address, which is not followed: set OktaOrgUrl to the address that the API answers at` + where + `302]`},
	} {
		t.Run(what, func(t *testing.T) {
			client := answering(t, func(w http.ResponseWriter, _ *http.Request) {
				if c.status == http.StatusFound {
					w.Header().Set("Location", "https://elsewhere.example.com/")
				}
				write(w, c.status, c.body)
			})
			_, err := client.Document(t.Context(), app)
			wantError(t, err, c.name, c.text)
			var e *okta.Error
			if !errors.As(err, &e) || e.Status != c.status || okta.IsNotFound(err) != (c.status == 404) || okta.IsInvalid(err) != (c.status == 400) {
				t.Errorf("%#v does not tell its status %d", e, c.status)
			}
		})
	}
}

func TestRateLimitSaysWhenItIsReset(t *testing.T) {
	const text = `could not read app "0oa1": the answer was 429 Too Many Requests` + where + `429]`
	reset := time.Date(2026, 3, 2, 9, 31, 0, 0, time.UTC)
	for what, c := range map[string]struct {
		limit, reset string
		want         time.Time
		text         string
	}{
		// One second more: Okta's seconds are whole.
		"the limit of a bucket":     {"100", strconv.FormatInt(reset.Unix(), 10), reset.Add(time.Second), text + "; the limit is reset at 2026-03-02T09:31:01Z"},
		"the limit of concurrency":  {"0", strconv.FormatInt(reset.Unix(), 10), time.Time{}, text},
		"no headers":                {"", "", time.Time{}, text},
		"headers that mean nothing": {"100", "soon", time.Time{}, text},
	} {
		t.Run(what, func(t *testing.T) {
			client := answering(t, func(w http.ResponseWriter, _ *http.Request) {
				if c.limit != "" {
					w.Header().Set("X-Rate-Limit-Limit", c.limit)
					w.Header().Set("X-Rate-Limit-Reset", c.reset)
				}
				write(w, http.StatusTooManyRequests, "")
			})
			_, err := client.Document(t.Context(), app)
			wantError(t, err, "Okta.RateLimited", c.text)
			var e *okta.Error
			if !errors.As(err, &e) || !e.Reset.Equal(c.want) {
				t.Errorf("reset at %v, want %v", e.Reset, c.want)
			}
		})
	}
}

func TestSimulatedRateLimitsAreTold(t *testing.T) {
	org, client := simulated(t)
	target := app
	target.ID = org.AddApp(oktasim.AppSpec{Label: "x", SignOnMode: "BOOKMARK"})
	org.Fail(oktasim.Fault{Kind: oktasim.FaultRateLimited, ResetIn: 40 * time.Second})
	org.Fail(oktasim.Fault{Nth: 2, Kind: oktasim.FaultConcurrency429})
	for _, want := range []time.Time{now.Add(41 * time.Second), {}} {
		_, err := client.Document(t.Context(), target)
		wantName(t, err, "Okta.RateLimited")
		var e *okta.Error
		if !errors.As(err, &e) || !e.Reset.Equal(want) || e.Code != "E0000047" {
			t.Errorf("reset at %v, want %v: %v", e.Reset, want, err)
		}
	}
}

func TestEveryWayToFailHasANameAndKeepsTheToken(t *testing.T) {
	org, client := simulated(t)
	target := app
	target.ID = org.AddApp(oktasim.AppSpec{Label: "x", SignOnMode: "BOOKMARK"})
	for kind, name := range map[oktasim.FaultKind]string{
		oktasim.FaultRateLimited:    "Okta.RateLimited",
		oktasim.FaultConcurrency429: "Okta.RateLimited",
		oktasim.FaultInternal:       "Okta.Unavailable",
		oktasim.FaultInternalAfter:  "Okta.Unavailable",
		oktasim.FaultReadOnly:       "Okta.Unavailable",
		oktasim.FaultUnauthorized:   "Okta.Unauthorized",
		oktasim.FaultForbidden:      "Okta.Forbidden",
		oktasim.FaultHTMLError:      "Okta.Unavailable",
		oktasim.FaultCloseBefore:    "Okta.Unavailable",
		oktasim.FaultCloseAfter:     "Okta.Unavailable",
		oktasim.FaultBrokenBody:     "Okta.Unavailable",
		oktasim.FaultHugeBody:       "Okta.Invalid",
	} {
		t.Run(string(kind), func(t *testing.T) {
			org.Fail(oktasim.Fault{Kind: kind})
			_, err := client.Document(t.Context(), target)
			if err == nil {
				t.Fatal("no error")
			}
			wantName(t, err, name)
			if kind == oktasim.FaultHugeBody && !strings.HasPrefix(err.Error(), `could not read app "`+target.ID+`": the answer is larger than 16 MiB [GET /api/v1/apps/`) {
				t.Errorf("the error says %v", err)
			}
			if _, err := client.Document(t.Context(), target); err != nil {
				t.Errorf("the next call: %v", err)
			}
		})
	}
}
