package workflow

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sesv2"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	sfntypes "github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/tidwall/gjson"

	"keyturn/internal/playground"
)

// webhookPath is the secret part of the chat's address.
const webhookPath = "/services/T000/B000/XXXXXXXXXXXXXXXXXXXXXXXX"

// chat is an incoming webhook that keeps what it is told.
type chat struct {
	*httptest.Server
	mu       sync.Mutex
	messages []string
	answer   int
}

// chats are all that were opened.
var chats struct {
	sync.Mutex
	all []*chat
}

func newChat(t *testing.T) *chat {
	t.Helper()
	c := openChat()
	t.Cleanup(c.Close)
	return c
}

func openChat() *chat {
	c := &chat{answer: http.StatusOK}
	chats.Lock()
	defer chats.Unlock()
	chats.all = append(chats.all, c)
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.answer == http.StatusOK {
			c.messages = append(c.messages, string(body))
		}
		w.WriteHeader(c.answer)
	}))
	return c
}

func (c *chat) about(label string) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var found []string
	for _, m := range c.messages {
		if strings.Contains(m, label) {
			found = append(found, m)
		}
	}
	return found
}

func (c *chat) answers(status int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answer = status
}

// talking is a stack with a sender of its own and a chat.
func talking(t *testing.T, c *chat) *playground.Playground {
	t.Helper()
	const sender = "plans@example.net"
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	if err := stack.Cloud.VerifySender(ctx, sender); err != nil {
		t.Fatal(err)
	}
	webhook, err := secretsmanager.NewFromConfig(stack.Cloud.Config()).CreateSecret(ctx, &secretsmanager.CreateSecretInput{
		Name: aws.String("talking/webhook"), SecretString: aws.String(c.URL + webhookPath)})
	if err != nil {
		t.Fatal(err)
	}
	p := another(t, "talking", map[string]string{"SenderAddress": sender, "Approvers": playground.Approver, "ChatWebhookSecretArn": *webhook.ARN})
	ca, root := authority(t)
	p.CARoot = root
	for name, value := range map[string]string{"okta": tokenSecret(t, stack.Org.APIToken()), "ca": ca} {
		if err := p.PutSecret(ctx, "talking/"+name, value); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

func TestAStackWithAChatAndASenderOfItsOwn(t *testing.T) {
	parallel(t)
	c := newChat(t)
	p := talking(t, c)
	url := func(link string) string { return localLink(t, link) }

	t.Run("the chat is asked as well, and its link asks for the name", func(t *testing.T) {
		s := app(t).on(p)
		r := s.rotate(nil)
		r.request(playground.Approver)
		s.until("a message in the chat", func() bool { return len(c.about(s.target.Label)) > 0 })
		var message struct{ Blocks []json.RawMessage }
		if err := json.Unmarshal([]byte(c.about(s.target.Label)[0]), &message); err != nil || len(message.Blocks) < 3 {
			t.Fatalf("the chat's message is not one in Block Kit: %v", err)
		}
		link := regexp.MustCompile(`https?://[^"\s]+/a/[A-Za-z0-9_-]+`).FindString(c.about(s.target.Label)[0])
		page := s.page(url(link))
		if page.Status != http.StatusOK || !strings.Contains(page.HTML, `name="name"`) {
			t.Fatalf("the page behind the chat's link: %d %q", page.Status, page.Title())
		}
		s.decide(url(link), "confirm", "The CRM team", "")
		report := r.end()
		ended(t, "Completed", report)
		same(t, "who decided", "The CRM team", report.Decision.By)
	})

	t.Run("without the chat the mails are enough, and the event says so", func(t *testing.T) {
		heard, err := topic(t.Context(), p.Cloud, p.Outputs["NotificationTopicArn"])
		if err != nil {
			t.Fatal(err)
		}
		defer heard.stop()
		c.answers(http.StatusGone)
		defer c.answers(http.StatusOK)
		s := app(t).on(p)
		r := s.rotate(nil)
		mail := r.request(playground.Approver)
		var unreachable string
		s.until("the event", func() bool {
			for _, m := range heard.all() {
				if strings.Contains(m.Message, "Keyturn Approval Requested") && strings.Contains(m.Message, s.target.ID) {
					unreachable = gjson.Get(m.Message, "detail.unreachable").String()
					return true
				}
			}
			return false
		})
		if !strings.Contains(unreachable, "chat") {
			t.Errorf("unreachable are %s", unreachable)
		}
		link, err := playground.Link(mail.Text)
		if err != nil {
			t.Fatal(err)
		}
		s.decide(url(link), "confirm", "", "")
		ended(t, "Completed", r.end())
	})

	t.Run("links that are out survive a new link-key, and the second one ends them", func(t *testing.T) {
		s := app(t).on(p)
		r := s.rotate(nil)
		first := url(r.link(playground.Approver))
		replace := func(value string) {
			t.Helper()
			if err := p.PutSecret(s.ctx, "talking/link-key", strings.Repeat(value, 64)); err != nil {
				t.Fatal(err)
			}
			fresh(t, p, "confirm-upload")
			fresh(t, p, "request-upload")
		}
		replace("b")
		if page := s.page(first); page.Status != http.StatusOK {
			t.Errorf("after one replacement the link shows %d %q", page.Status, page.Title())
		}
		s.decide(first, "confirm", "", "with a key that was replaced")
		ended(t, "Completed", r.end())

		again := app(t).on(p)
		next := again.rotate(nil)
		link := url(next.link(playground.Approver))
		replace("c")
		replace("d")
		again.shows(link, http.StatusNotFound, "This link does not work")
		next.stop()
	})

	t.Run("an error whose cause is no JSON still makes a report", func(t *testing.T) {
		s := app(t).on(p)
		r := s.rotate(nil)
		r.request(playground.Approver)
		const odd = `Lambda did not return an error type. Returned payload: {"errorMessage":"Task timed out"}`
		for name, result := range map[string]string{"Lambda.Odd": "Failed", "Approval.Rejected": "GaveUp"} {
			s := app(t).on(p)
			r := s.rotate(nil)
			link := r.link(playground.Approver)
			token := tokenOf(t, p, r)
			_, err := sfn.NewFromConfig(p.Cloud.Config()).SendTaskFailure(s.ctx, &sfn.SendTaskFailureInput{TaskToken: &token, Error: aws.String(name), Cause: aws.String(odd)})
			// The SDK sends again what got no answer: then the first sending was
			// taken, which the end of the rotation shows.
			if err != nil && !errors.As(err, new(*sfntypes.TaskTimedOut)) {
				t.Fatal(err)
			}
			report := r.end()
			ended(t, result, report)
			if name == "Lambda.Odd" {
				failedWith(t, report.Error, "RequestUpload", name, "Task timed out")
			}
			s.shows(url(link), http.StatusGone, "The rotation has ended")
		}
		r.stop()
	})

	// Last: without its identity the stack cannot mail any more.
	t.Run("a plan that nobody can be told of is shown, and can be called off or stands", func(t *testing.T) {
		asked := app(t).on(p)
		r := asked.rotate(nil)
		link := url(r.link(playground.Approver))
		dying := app(t).on(p)
		d := dying.rotate(nil)
		last := url(d.link(playground.Approver))
		c.answers(http.StatusGone)
		if _, err := sesv2.NewFromConfig(p.Cloud.Config()).DeleteEmailIdentity(asked.ctx, &sesv2.DeleteEmailIdentityInput{EmailIdentity: aws.String("plans@example.net")}); err != nil {
			t.Fatal(err)
		}
		asked.plan(link, time.Now().AddDate(0, 0, 20).Truncate(time.Minute))
		asked.until("the plan's page", func() bool { return strings.Contains(asked.page(link).HTML, `value="call-off"`) })
		asked.decide(link, "call-off", "", "too early")
		// Nobody can be asked again.
		report := r.end()
		ended(t, "Failed", report)
		failedWith(t, report.Error, "RequestUpload", "Notify.Refused")
		asked.unchanged()

		// And where the function itself fails, the plan stands.
		if err := p.PutSecret(dying.ctx, "talking/link-key", "short"); err != nil {
			t.Fatal(err)
		}
		fresh(t, p, "request-upload")
		dying.plan(last, time.Now().Add(10*time.Minute).Truncate(time.Minute))
		report = d.end()
		ended(t, "Completed", report)
		states(t, `InspectTarget AnnounceStart AnyUnusedKeys GenerateCsr SignCsr Signed PublishCsr UploadOrder RequestUpload Uploaded AwaitSwitchTime PlanStands
			UpdateKeyCredential VerifyKey AnnounceSwitch Switched Report AnnounceEnd Outcome Completed`, report)
		dying.switched(report.NewKid)
	})
}

// fresh has a function's next call start a new process, as Lambda does when its
// configuration changes: what the old one had read is gone.
func fresh(t *testing.T, p *playground.Playground, function string) {
	t.Helper()
	client, name := lambda.NewFromConfig(p.Cloud.Config()), p.Outputs["RotationStateMachineArn"]
	name = name[strings.LastIndexByte(name, ':')+1:]
	name = strings.TrimSuffix(name, "-rotation") + "-" + function
	if _, err := client.UpdateFunctionConfiguration(t.Context(), &lambda.UpdateFunctionConfigurationInput{FunctionName: &name, Timeout: aws.Int32(19)}); err != nil {
		t.Fatal(err)
	}
}

// tokenOf is the task token that a rotation waits for, as its history shows it.
func tokenOf(t *testing.T, p *playground.Playground, r *running) string {
	t.Helper()
	out, err := sfn.NewFromConfig(p.Cloud.Config()).GetExecutionHistory(r.ctx, &sfn.GetExecutionHistoryInput{ExecutionArn: &r.rotation.ARN, ReverseOrder: true, MaxResults: 10})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range out.Events {
		if e.TaskScheduledEventDetails != nil {
			return gjson.Get(aws.ToString(e.TaskScheduledEventDetails.Parameters), "Payload.taskToken").String()
		}
	}
	t.Fatal("the rotation waits for nothing")
	return ""
}
