package oktasim

import (
	"fmt"
	"net/http"
)

// failure is an error answer of the org. It is a Go error, so that handlers
// can return it; the envelope is made at the edge.
type failure struct {
	status  int
	code    string
	summary string
	causes  []string
	// bareCause writes errorCauses as an object instead of an array. Some of
	// Okta's published examples do, so clients must read both; here the 90-day
	// rule and the duplicate clone always do, and nothing else.
	bareCause bool
}

func (f *failure) Error() string { return f.code + ": " + f.summary }

func (f *failure) body(errorID string) []byte {
	type cause struct {
		ErrorSummary string `json:"errorSummary"`
	}
	list := []cause{}
	for _, c := range f.causes {
		list = append(list, cause{c})
	}
	var causes any = list
	if f.bareCause && len(list) > 0 {
		causes = list[0]
	}
	return encode(struct {
		ErrorCode    string `json:"errorCode"`
		ErrorSummary string `json:"errorSummary"`
		ErrorLink    string `json:"errorLink"`
		ErrorID      string `json:"errorId"`
		ErrorCauses  any    `json:"errorCauses"`
	}{f.code, f.summary, f.code, errorID, causes})
}

// invalid is E0000001; subject is what failed ("certificate", "label", …).
func invalid(subject string, causes ...string) *failure {
	return &failure{status: http.StatusBadRequest, code: "E0000001", summary: "Api validation failed: " + subject, causes: causes}
}

func malformed(cause string) *failure {
	return &failure{status: http.StatusBadRequest, code: "E0000003", summary: "The request body was not well-formed.", causes: []string{cause}}
}

func notFound(id, what string) *failure {
	return &failure{status: http.StatusNotFound, code: "E0000007", summary: fmt.Sprintf("Not found: Resource not found: %s (%s)", id, what)}
}

func badAccept() *failure {
	return &failure{status: http.StatusBadRequest, code: "E0000018", summary: "Bad request. Accept and/or Content-Type headers are likely not set."}
}

func badContentType() *failure {
	return &failure{status: http.StatusBadRequest, code: "E0000021", summary: "Bad request. Accept and/or Content-Type headers likely do not match supported values."}
}

func unauthorized() *failure {
	return &failure{status: http.StatusUnauthorized, code: "E0000011", summary: "Invalid token provided"}
}

func forbidden() *failure {
	return &failure{status: http.StatusForbidden, code: "E0000006", summary: "You do not have permission to perform the requested action"}
}

func deleteForbidden() *failure {
	return &failure{status: http.StatusForbidden, code: "E0000056", summary: "Delete application forbidden."}
}

func methodNotAllowed() *failure {
	return &failure{status: http.StatusMethodNotAllowed, code: "E0000022", summary: "The endpoint does not support the provided HTTP method"}
}

func tooManyRequests() *failure {
	return &failure{status: http.StatusTooManyRequests, code: "E0000047", summary: "API call exceeded rate limit due to too many requests."}
}

func internalError() *failure {
	return &failure{status: http.StatusInternalServerError, code: "E0000009", summary: "Internal Server Error"}
}

func readOnlyMode() *failure {
	return &failure{status: http.StatusServiceUnavailable, code: "E0000010", summary: "Service is in read only mode"}
}
