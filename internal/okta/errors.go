package okta

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Error is a call that Okta refused or did not answer.
type Error struct {
	// Name is the state machine's: Okta.RateLimited, Okta.Unavailable,
	// Okta.Unauthorized, Okta.Forbidden, Okta.NotFound, Okta.Invalid.
	Name string
	// Doing says what was tried, as in "could not " + Doing.
	Doing        string
	Method, Path string
	// Status is the HTTP status; 0 when there was no answer.
	Status int
	// Code is Okta's errorCode, such as E0000001; empty where the answer did
	// not come from Okta itself.
	Code    string
	Summary string
	Causes  []string
	// ErrorID is what Okta's support asks for.
	ErrorID string
	// Reset is when a rate-limited call may be tried again; zero otherwise.
	Reset time.Time
	Err   error
}

// ErrorName is the name that the state machine matches.
func (e *Error) ErrorName() string { return e.Name }

// Unwrap gives the transport's error, if there was one.
func (e *Error) Unwrap() error { return e.Err }

// Error says what was tried, what Okta answered, and where there is one, the
// remedy.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "could not %s: %s", e.Doing, e.Summary)
	if len(e.Causes) > 0 {
		fmt.Fprintf(&b, " (%s)", strings.Join(e.Causes, "; "))
	}
	fmt.Fprintf(&b, " [%s %s", e.Method, e.Path)
	if e.Status != 0 {
		fmt.Fprintf(&b, ", HTTP %d", e.Status)
	}
	if e.Code != "" {
		fmt.Fprintf(&b, ", %s", e.Code)
	}
	if e.ErrorID != "" {
		fmt.Fprintf(&b, ", error id %s", e.ErrorID)
	}
	b.WriteString("]")
	switch e.Name {
	case "Okta.Unauthorized":
		b.WriteString("; the credential was refused: put a valid API token into the Okta secret (tokens end with their creator's account, and after 30 days without use)")
	case "Okta.Forbidden":
		b.WriteString("; the credential lacks the permission: it needs okta.apps.manage for apps, okta.identityProviders.manage for IdPs")
	case "Okta.RateLimited":
		if !e.Reset.IsZero() {
			fmt.Fprintf(&b, "; the limit is reset at %s", e.Reset.UTC().Format(time.RFC3339))
		}
	}
	if e.Err != nil {
		fmt.Fprintf(&b, ": %v", e.Err)
	}
	return b.String()
}

// IsNotFound tells whether Okta answered that the thing does not exist.
func IsNotFound(err error) bool { return hasStatus(err, http.StatusNotFound) }

// IsInvalid tells whether Okta refused what it was given.
func IsInvalid(err error) bool { return hasStatus(err, http.StatusBadRequest) }

// envelope is Okta's error. errorCauses is a list by the spec; some answers
// give a bare object.
type envelope struct {
	Code    string          `json:"errorCode"`
	Summary string          `json:"errorSummary"`
	ID      string          `json:"errorId"`
	Causes  json.RawMessage `json:"errorCauses"`
}

func (e envelope) causes() []string {
	type cause struct {
		Summary string `json:"errorSummary"`
	}
	var list []cause
	if json.Unmarshal(e.Causes, &list) != nil {
		var one cause
		if json.Unmarshal(e.Causes, &one) != nil {
			return nil
		}
		list = []cause{one}
	}
	var texts []string
	for _, c := range list {
		if c.Summary != "" && len(texts) < maxCauses {
			texts = append(texts, c.Summary)
		}
	}
	return texts
}

// maxCauses bounds what an error lists: it travels in the state of an execution.
const maxCauses = 10

// clip bounds a text that comes from outside.
func clip(s string) string { return clipTo(s, 300) }

func clipTo(s string, most int) string {
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "…"
	}
	return s
}

// said is a text that comes from outside, cut, and without the secret: a proxy
// may quote the request that it refuses. In JSON that has been decoded before,
// since JSON spells a text in many ways.
func said(text, secret string) string {
	if secret != "" {
		text = strings.ReplaceAll(text, secret, hidden)
	}
	return clip(text)
}

func decodeError(k call, path string, r *http.Response, body []byte, secret string) error {
	e := &Error{Doing: k.doing, Method: k.method, Path: path, Status: r.StatusCode}
	var env envelope
	if json.Unmarshal(body, &env) == nil && env.Code != "" {
		e.Code, e.Summary, e.ErrorID = said(env.Code, secret), said(env.Summary, secret), said(env.ID, secret)
		for _, cause := range env.causes() {
			e.Causes = append(e.Causes, said(cause, secret))
		}
	}
	if e.Summary == "" {
		e.Summary = "the answer was " + said(r.Status, secret)
	}
	switch {
	case r.StatusCode == http.StatusTooManyRequests:
		e.Name, e.Reset = "Okta.RateLimited", resetTime(r.Header)
	case r.StatusCode >= 500:
		e.Name = "Okta.Unavailable"
	case r.StatusCode == http.StatusUnauthorized:
		e.Name = "Okta.Unauthorized"
	case r.StatusCode == http.StatusForbidden:
		e.Name = "Okta.Forbidden"
	case r.StatusCode == http.StatusNotFound:
		e.Name = "Okta.NotFound"
	case r.StatusCode >= 300 && r.StatusCode < 400:
		e.Name = "Okta.Invalid"
		e.Summary = "the org redirects to another address, which is not followed: set OktaOrgUrl to the address that the API answers at"
	default:
		e.Name = "Okta.Invalid"
	}
	return e
}

// resetTime reads X-Rate-Limit-Reset (epoch seconds) and adds the second that
// rounding may have taken. A concurrency limit says
// Limit 0, and its Reset means little: then there is none.
func resetTime(h http.Header) time.Time {
	if h.Get("X-Rate-Limit-Limit") == "0" {
		return time.Time{}
	}
	seconds, err := strconv.ParseInt(h.Get("X-Rate-Limit-Reset"), 10, 64)
	if err != nil {
		return time.Time{}
	}
	return time.Unix(seconds+1, 0)
}
