package notify

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"keyturn/internal/rotation"
)

// Chat posts to an incoming webhook that takes Slack's Block Kit.
type Chat struct {
	// HTTP is used with its transport alone; nil for the default one.
	HTTP *http.Client
	// URL reads the webhook's address. It is a secret: whoever knows it can
	// post to the channel. It never appears in an error.
	URL func(ctx context.Context, fresh bool) ([]byte, error)
}

// chatTimeout is how long the webhook may take.
const chatTimeout = 10 * time.Second

const newWebhook = "make an incoming webhook in the chat and store its URL in the chat secret"

// Send posts the message's card. Errors are named as Mail's are.
func (c Chat) Send(ctx context.Context, msg Message) error {
	if len(msg.Card.Button.URL) > maxURL {
		return rotation.Errorf("Notify.Refused", "the chat takes no link of more than %d characters, and this one has %d: shorten the stack's parameter PublicUrl", maxURL, len(msg.Card.Button.URL))
	}
	body, err := msg.Card.blockKit()
	if err != nil {
		return rotation.Errorf("Notify.Refused", "the chat's message could not be written")
	}
	address, err := c.address(ctx, false)
	if err != nil {
		return err
	}
	gone, refusal := c.post(ctx, address, body)
	if !gone {
		return refusal
	}
	// Somebody may have stored a new webhook since the secret was read.
	fresh, err := c.address(ctx, true)
	if err != nil || fresh == address {
		return refusal
	}
	_, err = c.post(ctx, fresh, body)
	return err
}

// address reads and checks the webhook's URL.
func (c Chat) address(ctx context.Context, fresh bool) (string, error) {
	value, err := c.URL(ctx, fresh)
	if err != nil {
		name := "Notify.Refused"
		if rotation.NameOf(err) == "Secret.Unavailable" {
			name = "Notify.Unavailable"
		}
		return "", &rotation.Error{Name: name, Message: "the chat's webhook is not known", Err: err}
	}
	address := strings.TrimSpace(string(value))
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "https" && (u.Scheme != "http" || !isLoopback(u.Hostname())) {
		return "", rotation.Errorf("Notify.Refused", "the chat secret does not hold an https address: %s", newWebhook)
	}
	return address, nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// post sends once. gone tells that another address may mend it. The errors of
// net/http quote the URL: nothing of them is passed on.
func (c Chat) post(ctx context.Context, address string, body []byte) (gone bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, chatTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return false, rotation.Errorf("Notify.Refused", "the chat secret does not hold an https address: %s", newWebhook)
	}
	req.Header.Set("Content-Type", "application/json; charset=utf-8")
	// A redirect would carry the link to an address that nobody chose.
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	if c.HTTP != nil {
		client.Transport = c.HTTP.Transport
	}
	resp, err := client.Do(req)
	if err != nil {
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return false, rotation.Errorf("Notify.Unavailable", "the chat's webhook did not answer in time")
		}
		return false, rotation.Errorf("Notify.Unavailable", "the chat's webhook could not be reached")
	}
	defer resp.Body.Close()
	answer, _ := io.ReadAll(io.LimitReader(resp.Body, 200))
	const what = "the chat's webhook did not take the message (HTTP %d%s)"
	why := reason(answer)
	switch status := resp.StatusCode; {
	case status >= 200 && status < 300:
		return false, nil
	case status == http.StatusTooManyRequests, status == http.StatusRequestTimeout, status >= 500:
		return false, rotation.Errorf("Notify.Unavailable", what, status, why)
	case status == http.StatusForbidden, status == http.StatusNotFound, status == http.StatusGone:
		return true, rotation.Errorf("Notify.Refused", what+": it is gone or may not post; "+newWebhook, status, why)
	default:
		return false, rotation.Errorf("Notify.Refused", what+": check that it takes Slack's Block Kit, or "+newWebhook, status, why)
	}
}

// reason is the answer's text where it is one of Slack's codes, such as
// no_service. Any other text may quote what was sent, and with it the link.
func reason(answer []byte) string {
	code := strings.TrimSpace(string(answer))
	if code == "" || len(code) > 40 || strings.Trim(code, "abcdefghijklmnopqrstuvwxyz_") != "" {
		return ""
	}
	return ", " + code
}
