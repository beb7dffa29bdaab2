package parameter_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"keyturn/internal/parameter"
)

// Whatever answers in the place of Systems Manager: a value, or a short code.
func FuzzAnswer(f *testing.F) {
	for _, answer := range []string{
		`{"Parameter":{"Value":"a"}}`, `{"Parameter":{"Value":7}}`, `{"Parameter":null}`, `{"__type":"com.amazonaws.ssm#ParameterNotFound"}`, `{"__type":"#"}`, `{"__type":7}`, `{"__type":"` + strings.Repeat("x", 5000) + `"}`, `null`, `[]`, ``, `<html>`,
	} {
		for _, status := range []int{200, 400, 500, 302} {
			f.Add(status, answer)
		}
	}
	var status int
	var body string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body) // a client that went away needs no answer
	}))
	f.Cleanup(server.Close)
	f.Fuzz(func(t *testing.T, answers int, answer string) {
		if answers < 200 || answers > 599 {
			return
		}
		status, body = answers, answer
		value, err := parameter.Read(t.Context(), config(server.URL), "/keyturn/chain")
		var said struct{ Parameter *struct{ Value string } }
		right := status == http.StatusOK && len(answer) <= 64<<10 && json.Unmarshal([]byte(answer), &said) == nil && said.Parameter != nil
		if err == nil {
			if !right || value != said.Parameter.Value {
				t.Errorf("%d %q is taken for %q", status, answer, value)
			}
			return
		}
		var e *parameter.Error
		if right || !errors.As(err, &e) || value != "" || len(err.Error()) > 500 {
			t.Errorf("%d %q: %.300v, with %q", status, answer, err, value)
		}
	})
}
