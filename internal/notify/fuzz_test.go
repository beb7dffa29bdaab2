package notify_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"keyturn/internal/notify"
	"keyturn/internal/rotation"
)

type webhook func(*http.Request) (*http.Response, error)

func (w webhook) RoundTrip(r *http.Request) (*http.Response, error) { return w(r) }

// Whatever a webhook's secret holds, and whatever it answers: an error has a
// name, is short, and shows neither address nor link.
func FuzzWebhook(f *testing.F) {
	const link = "https://keyturn.example.com/a/T0p-S3cret-Link-0042"
	const address = "https://hooks.example.com/services/T0p/S3cret/Hook0042"
	for _, body := range []string{"ok", "no_service", "invalid_payload: " + link, address, strings.Repeat("x", 300), "\x00", ""} {
		for _, status := range []int{200, 204, 302, 400, 403, 404, 410, 429, 500} {
			f.Add(address, status, body)
		}
	}
	for _, secret := range []string{"http://hooks.example.com/S3cret-Hook0042", "hooks.example.com/S3cret-Hook0042", "https://u:S3cret-Hook0042@hooks.example.com", "https://hooks.example.com/%zz/S3cret-Hook0042", "https://hooks.example.com/\nS3cret-Hook0042", "http://127.0.0.1:1/S3cret-Hook0042", "https://", " ", ""} {
		f.Add(secret, 400, "x")
	}
	f.Fuzz(func(t *testing.T, secret string, status int, body string) {
		if status < 200 || status > 999 {
			return
		}
		chat := notify.Chat{
			URL: func(context.Context, bool) ([]byte, error) { return []byte(secret), nil },
			HTTP: &http.Client{Transport: webhook(func(r *http.Request) (*http.Response, error) {
				if loopback := r.URL.Hostname() == "localhost" || strings.HasPrefix(r.URL.Hostname(), "127.") || strings.Contains(r.URL.Hostname(), ":"); r.URL.Scheme != "https" && !loopback {
					t.Errorf("%q: the message goes to %s", secret, r.URL)
				}
				return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
			})},
		}
		err := chat.Send(t.Context(), notify.Message{Card: notify.Card{Title: "x", Button: notify.Link{Text: "Open", URL: link}}})
		if err == nil {
			if status > 299 {
				t.Errorf("status %d is taken for a success", status)
			}
			return
		}
		if name := rotation.NameOf(err); (name != "Notify.Refused" && name != "Notify.Unavailable") || len(err.Error()) > 500 {
			t.Errorf("the error is named %q: %v", name, err)
		}
		for _, hidden := range []string{link, "T0p-S3cret", "Hook0042"} {
			if strings.Contains(err.Error(), hidden) {
				t.Errorf("%q, %d %q: the error shows %q: %v", secret, status, body, hidden, err)
			}
		}
	})
}
