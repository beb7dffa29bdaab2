package live

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"sync"

	"keyturn/internal/oktasim"
)

// maxAnswer bounds what is read of an answer, as Keyturn's client does.
const maxAnswer = 16 << 20

// tape is a transport that remembers what went through it, but for the
// Authorization header.
type tape struct {
	next http.RoundTripper

	mu  sync.Mutex
	all []oktasim.Exchange
	own int // requests that are not of Keyturn's client
}

// RoundTrip implements http.RoundTripper.
func (t *tape) RoundTrip(r *http.Request) (*http.Response, error) {
	e := oktasim.Exchange{Method: r.Method, Path: r.URL.RequestURI(), Request: oktasim.Message{Header: headers(r.Header, "Authorization")}}
	if r.Body != nil {
		body, err := io.ReadAll(r.Body)
		_ = r.Body.Close()
		if err != nil {
			return nil, err
		}
		e.Request.Body = body
		r = r.Clone(r.Context())
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	answer, err := t.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	_ = answer.Body.Close()
	if err != nil {
		return nil, err
	}
	answer.Body = io.NopCloser(bytes.NewReader(body))
	e.Status = answer.StatusCode
	e.Response = oktasim.Message{Header: headers(answer.Header, "Set-Cookie"), Body: body}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.all = append(t.all, e)
	if strings.HasPrefix(r.Header.Get("User-Agent"), agent) {
		t.own++
	}
	return answer, nil
}

func headers(h http.Header, but string) map[string]string {
	kept := map[string]string{}
	for name, values := range h {
		if name != but {
			kept[name] = strings.Join(values, ", ")
		}
	}
	return kept
}

func (t *tape) seen() []oktasim.Exchange {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.all
}
