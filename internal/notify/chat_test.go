package notify_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"keyturn/internal/notify"
	"keyturn/internal/rotation"
)

const webhookPath = "/services/T0SECRET/B0SECRET/x0SECRET"

var post = notify.Message{Card: notify.Card{
	Title:    "Upload the certificate for A & B",
	Sections: []notify.Section{{Text: "What happens."}, {Heading: "What to do", Text: "1. <b>this</b>"}},
	Facts:    []notify.Fact{{Name: "Old", Value: "today"}, {Name: "Okta", Value: "Open", URL: "https://example-admin.okta.com/?a=1&b=2"}},
	Button:   notify.Link{Text: "Answer", URL: link},
	Note:     "The link decides nothing.",
}}

// channel is a chat with webhooks: paths that are in it take messages, others
// answer as Slack does for a webhook that was removed.
type channel struct {
	mu       sync.Mutex
	webhooks map[string]bool
	fail     int
	says     string
	messages []string
}

func (c *channel) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	switch {
	case c.fail != 0:
		w.Header().Set("Location", "/other")
		w.WriteHeader(c.fail)
		_, _ = io.WriteString(w, c.says)
	case r.Method != http.MethodPost || !strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") || !json.Valid(body):
		http.Error(w, "invalid_payload", http.StatusBadRequest)
	case !c.webhooks[r.URL.Path]:
		http.Error(w, "no_service", http.StatusNotFound)
	default:
		c.messages = append(c.messages, string(body))
		_, _ = io.WriteString(w, "ok")
	}
}

// at gives the secret: what is cached, and what is stored.
func at(cached, stored string) func(context.Context, bool) ([]byte, error) {
	return func(_ context.Context, fresh bool) ([]byte, error) {
		if fresh {
			return []byte(stored), nil
		}
		return []byte(cached), nil
	}
}

func TestAChatGetsACardWithAButton(t *testing.T) {
	c := &channel{webhooks: map[string]bool{webhookPath: true}}
	server := httptest.NewServer(c)
	defer server.Close()
	url := server.URL + webhookPath + "\n"
	if err := (notify.Chat{HTTP: server.Client(), URL: at(url, url)}).Send(t.Context(), post); err != nil {
		t.Fatal(err)
	}
	const want = `{"blocks":[` +
		`{"type":"header","text":{"type":"plain_text","text":"Upload the certificate for A &amp; B","emoji":false}},` +
		`{"type":"section","text":{"type":"plain_text","text":"What happens.","emoji":false}},` +
		`{"type":"section","text":{"type":"mrkdwn","text":"*What to do*","verbatim":true}},` +
		`{"type":"section","text":{"type":"plain_text","text":"1. &lt;b&gt;this&lt;/b&gt;","emoji":false}},` +
		`{"type":"actions","elements":[{"type":"button","text":{"type":"plain_text","text":"Answer","emoji":false},"action_id":"answer","style":"primary","url":"` + link + `"}]},` +
		`{"type":"section","fields":[{"type":"mrkdwn","text":"*Old*","verbatim":true},{"type":"plain_text","text":"today","emoji":false},` +
		`{"type":"mrkdwn","text":"*Okta*","verbatim":true},{"type":"mrkdwn","text":"<https://example-admin.okta.com/?a=1&amp;b=2|Open>","verbatim":true}]},` +
		`{"type":"context","elements":[{"type":"plain_text","text":"The link decides nothing.","emoji":false}]}],` +
		`"text":"Upload the certificate for A &amp; B","unfurl_links":false,"unfurl_media":false}`
	got := strings.NewReplacer(`\u0026`, "&", `\u003c`, "<", `\u003e`, ">").Replace(strings.Join(c.messages, ""))
	if got != want {
		t.Errorf("the chat got\n%s, want\n%s", got, want)
	}
}

func TestAChatsAnswersAreNamed(t *testing.T) {
	for _, test := range []struct {
		status     int
		body       string
		name, says string
	}{
		{400, "invalid_blocks", "Notify.Refused", "HTTP 400, invalid_blocks): check that it takes Slack's Block Kit"},
		{403, "action_prohibited", "Notify.Refused", "HTTP 403, action_prohibited): it is gone or may not post; make an incoming webhook"},
		{404, "no_service", "Notify.Refused", "HTTP 404, no_service): it is gone"},
		{410, "channel_is_archived", "Notify.Refused", "HTTP 410, channel_is_archived): it is gone"},
		{302, "", "Notify.Refused", "HTTP 302): check"},
		{429, "rate_limited", "Notify.Unavailable", "HTTP 429, rate_limited)"},
		{500, "rollup_error", "Notify.Unavailable", "HTTP 500, rollup_error)"},
		{503, "", "Notify.Unavailable", "HTTP 503)"},
		{400, "you sent " + link, "Notify.Refused", "HTTP 400): check"},
		{200, "ok", "", ""},
		{204, "", "", ""},
	} {
		server := httptest.NewServer(&channel{fail: test.status, says: test.body})
		url := server.URL + webhookPath
		err := notify.Chat{URL: at(url, url)}.Send(t.Context(), post)
		server.Close()
		if test.name == "" {
			if err != nil {
				t.Errorf("HTTP %d: %v", test.status, err)
			}
			continue
		}
		if rotation.NameOf(err) != test.name || !strings.Contains(err.Error(), test.says) {
			t.Errorf("HTTP %d: got %v, want %s with %q", test.status, err, test.name, test.says)
		}
		hidden(t, err, server.URL)
	}
}

// hidden fails when an error shows the webhook or the link.
func hidden(t *testing.T, err error, server string) {
	t.Helper()
	for e := err; e != nil; e = errors.Unwrap(e) {
		all := fmt.Sprintf("%v %+v %#v", e, e, e)
		if strings.Contains(all, "SECRET") || strings.Contains(all, "AQsecretlink") || strings.Contains(all, strings.TrimPrefix(server, "http://")) {
			t.Errorf("the error shows a secret: %s", all)
		}
	}
}

func TestAChatThatDoesNotAnswerIsUnavailable(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	url := server.URL + webhookPath
	server.Close()
	err := notify.Chat{URL: at(url, url)}.Send(t.Context(), post)
	if rotation.NameOf(err) != "Notify.Unavailable" || !strings.Contains(err.Error(), "could not be reached") {
		t.Errorf("got %v", err)
	}
	hidden(t, err, server.URL)
}

// silence takes requests and answers none.
type silence struct{}

func (silence) RoundTrip(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

func TestAChatIsWaitedForTenSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		err := notify.Chat{HTTP: &http.Client{Transport: silence{}}, URL: at("https://hooks.example.com"+webhookPath, "")}.Send(t.Context(), post)
		if rotation.NameOf(err) != "Notify.Unavailable" || !strings.Contains(err.Error(), "did not answer in time") {
			t.Errorf("got %v", err)
		}
		if waited := time.Since(start); waited != 10*time.Second {
			t.Errorf("it was waited for %v", waited)
		}
		hidden(t, err, "http://hooks.example.com")
	})
}

func TestAWebhookThatWasReplacedIsFound(t *testing.T) {
	const replaced = "/services/T0SECRET/B0SECRET/new"
	c := &channel{webhooks: map[string]bool{replaced: true}}
	server := httptest.NewServer(c)
	defer server.Close()
	if err := (notify.Chat{URL: at(server.URL+webhookPath, server.URL+replaced)}).Send(t.Context(), post); err != nil || len(c.messages) != 1 {
		t.Errorf("%d messages, %v", len(c.messages), err)
	}
	for title, stored := range map[string]string{"the same": server.URL + webhookPath, "gone as well": server.URL + "/services/T0SECRET", "no address": "none"} {
		err := notify.Chat{URL: at(server.URL+webhookPath, stored)}.Send(t.Context(), post)
		if rotation.NameOf(err) != "Notify.Refused" || !strings.Contains(err.Error(), "HTTP 404") {
			t.Errorf("%s: got %v", title, err)
		}
		hidden(t, err, server.URL)
	}
}

func TestARedirectIsNotFollowed(t *testing.T) {
	other := &channel{webhooks: map[string]bool{"/": true}}
	elsewhere := httptest.NewServer(other)
	defer elsewhere.Close()
	server := httptest.NewServer(http.RedirectHandler(elsewhere.URL, http.StatusTemporaryRedirect))
	defer server.Close()
	err := notify.Chat{URL: at(server.URL, server.URL)}.Send(t.Context(), post)
	if rotation.NameOf(err) != "Notify.Refused" || len(other.messages) > 0 {
		t.Errorf("got %v, and the message went on: %v", err, other.messages)
	}
}

func TestTheWebhookIsAnHTTPSAddress(t *testing.T) {
	for _, url := range []string{"", "none", "hooks.slack.com" + webhookPath, "http://hooks.slack.com" + webhookPath, "http://127.0.0.1.example.com" + webhookPath, "file://" + webhookPath, "https://" + webhookPath, "https://h\x7f" + webhookPath, "ftp://localhost" + webhookPath} {
		err := notify.Chat{URL: at(url, url)}.Send(t.Context(), post)
		if rotation.NameOf(err) != "Notify.Refused" || !strings.Contains(err.Error(), "does not hold an https address: make an incoming webhook") {
			t.Errorf("%q: got %v", url, err)
		}
		hidden(t, err, "http://hooks.slack.com")
	}
}

func TestASecretThatCannotBeReadIsNamed(t *testing.T) {
	for cause, want := range map[string]string{"Secret.Unavailable": "Notify.Unavailable", "Secret.Denied": "Notify.Refused", "Credential.Missing": "Notify.Refused"} {
		err := notify.Chat{URL: func(context.Context, bool) ([]byte, error) {
			return nil, rotation.Errorf(cause, "the secret keyturn/chat")
		}}.Send(t.Context(), post)
		if rotation.NameOf(err) != want || !strings.Contains(err.Error(), "the secret keyturn/chat") {
			t.Errorf("%s: got %v, want %s", cause, err, want)
		}
	}
}

func TestALinkThatSlackDoesNotTakeIsRefused(t *testing.T) {
	long := post
	long.Card.Button.URL = link + strings.Repeat("x", 3000)
	err := notify.Chat{URL: at("https://hooks.example.com", "")}.Send(t.Context(), long)
	if rotation.NameOf(err) != "Notify.Refused" || !strings.Contains(err.Error(), "3000") {
		t.Errorf("got %v", err)
	}
	hidden(t, err, "http://hooks.example.com")
}

func TestACardKeepsSlacksLimits(t *testing.T) {
	c := &channel{webhooks: map[string]bool{"/": true}}
	server := httptest.NewServer(c)
	defer server.Close()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.Map(rapid.StringMatching(`[<>&a*|]{0,40}`), func(s string) string { return strings.Repeat(s, 120) }))
		draw := func(name string) string { return text.Draw(t, name) }
		card := notify.Card{Title: draw("title"), Button: notify.Link{Text: draw("button"), URL: link}, Note: draw("note")}
		for range rapid.IntRange(0, 4).Draw(t, "sections") {
			card.Sections = append(card.Sections, notify.Section{Heading: draw("heading"), Text: draw("text")})
		}
		for range rapid.IntRange(0, 12).Draw(t, "facts") {
			card.Facts = append(card.Facts, notify.Fact{Name: draw("name"), Value: draw("value")})
		}
		c.messages = nil
		if err := (notify.Chat{URL: at(server.URL+"/", "")}).Send(context.Background(), notify.Message{Card: card}); err != nil {
			t.Fatal(err)
		}
		var got struct {
			Blocks []struct {
				Type   string
				Text   struct{ Text string }
				Fields []struct{ Text string }
			}
		}
		if err := json.Unmarshal([]byte(c.messages[0]), &got); err != nil {
			t.Fatal(err)
		}
		for _, b := range got.Blocks {
			most := map[string]int{"header": 150, "section": 3000}[b.Type]
			if n := utf8.RuneCountInString(b.Text.Text); most > 0 && n > most {
				t.Fatalf("a %s has %d characters", b.Type, n)
			}
			if len(b.Fields) > 10 {
				t.Fatalf("a section has %d fields", len(b.Fields))
			}
			texts := []string{b.Text.Text}
			for _, f := range b.Fields {
				if utf8.RuneCountInString(f.Text) > 2000 {
					t.Fatalf("a field has %d characters", utf8.RuneCountInString(f.Text))
				}
				texts = append(texts, f.Text)
			}
			for _, s := range texts {
				if s == "" && b.Type == "section" && len(b.Fields) == 0 {
					t.Fatal("a section without a text: Slack refuses it")
				}
				if strings.ContainsAny(s, "<>") || strings.Contains(strings.NewReplacer("&amp;", "", "&lt;", "", "&gt;", "").Replace(s), "&") {
					t.Fatalf("not escaped, or cut within an entity: %q", s)
				}
			}
		}
	})
}
