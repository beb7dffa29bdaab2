package simulated

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// Mail is a mail that SES has taken, or what came to the chat or the topic.
type Mail struct {
	To, Subject, Text string
	// Attached are its files' contents, by name.
	Attached map[string][]byte
	At       time.Time
}

// Event is an event that the bus has got.
type Event struct {
	Type   string // detail-type
	Detail json.RawMessage
}

// cloud is what AWS keeps: mails, events, what was published.
type cloud struct {
	mu      sync.Mutex
	secrets map[string]string
	// parameters are Systems Manager's.
	parameters map[string]string
	mails      []Mail
	heard      chan Mail
	events     []Event
}

// services are AWS, by the first label of their hosts.
func (w *World) cloudServices() map[string]http.Handler {
	return map[string]http.Handler{
		"secretsmanager": jsonService(w.cloud.secretsManager),
		"ssm":            jsonService(w.cloud.systemsManager),
		"ses":            http.HandlerFunc(w.cloud.ses),
		"sns":            http.HandlerFunc(w.cloud.sns),
		"chat":           http.HandlerFunc(w.cloud.chat),
		"events":         jsonService(w.cloud.eventBridge),
		"states":         jsonService(w.stepFunctions),
		"lambda":         http.HandlerFunc(w.lambda),
	}
}

// withKeyOf has a fake that takes one access key take the functions' one too.
func withKeyOf(fake http.Handler, c aws.Config) http.Handler {
	return http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		credentials, err := c.Credentials.Retrieve(r.Context())
		if err != nil {
			panic(err)
		}
		r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), accessKey+"/", credentials.AccessKeyID+"/", 1))
		fake.ServeHTTP(out, r)
	})
}

// refusal is a service's error.
type refusal struct{ code, message string }

func (r *refusal) Error() string { return r.code + ": " + r.message }

// jsonService speaks AWS's JSON protocol.
func jsonService(do func(operation string, body []byte) (any, error)) http.Handler {
	return http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
		result, err := do(operation, body)
		out.Header().Set("Content-Type", "application/x-amz-json-1.1")
		if err != nil {
			out.WriteHeader(http.StatusBadRequest)
			code, message, _ := strings.Cut(err.Error(), ": ")
			result = map[string]string{"__type": code, "message": message}
		}
		_ = json.NewEncoder(out).Encode(result) // a recorder takes everything
	})
}

func (c *cloud) secretsManager(operation string, body []byte) (any, error) {
	var in struct{ SecretId, VersionStage string }
	if err := json.Unmarshal(body, &in); err != nil || operation != "GetSecretValue" {
		return nil, &refusal{"ValidationException", operation}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	value, ok := c.secrets[in.SecretId]
	if !ok || in.VersionStage == "AWSPREVIOUS" {
		return nil, &refusal{"ResourceNotFoundException", "Secrets Manager can't find the specified secret value"}
	}
	return map[string]string{"ARN": in.SecretId, "SecretString": value}, nil
}

func (c *cloud) systemsManager(operation string, body []byte) (any, error) {
	var in struct{ Name string }
	if err := json.Unmarshal(body, &in); err != nil || operation != "GetParameter" {
		return nil, &refusal{"ValidationException", operation}
	}
	value, ok := c.parameters[in.Name]
	if !ok {
		return nil, &refusal{"ParameterNotFound", in.Name}
	}
	return map[string]any{"Parameter": map[string]string{"Name": in.Name, "Value": value}}, nil
}

func (c *cloud) ses(out http.ResponseWriter, r *http.Request) {
	var in struct {
		Destination struct{ ToAddresses []string }
		Content     struct {
			Simple struct {
				Subject struct{ Data string }
				Body    struct{ Text struct{ Data string } }
				// Contents are in base64, which encoding/json takes off.
				Attachments []struct {
					FileName   string
					RawContent []byte
				}
			}
		}
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		panic(err) // the SDK writes JSON
	}
	m := Mail{To: strings.Join(in.Destination.ToAddresses, ","), Subject: in.Content.Simple.Subject.Data, Text: in.Content.Simple.Body.Text.Data, Attached: map[string][]byte{}, At: time.Now()}
	for _, a := range in.Content.Simple.Attachments {
		m.Attached[a.FileName] = a.RawContent
	}
	c.deliver(m)
	out.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(out, `{"MessageId":"simulated"}`)
}

func (c *cloud) deliver(m Mail) {
	c.mu.Lock()
	c.mails = append(c.mails, m)
	c.mu.Unlock()
	c.heard <- m
}

// chat is an incoming webhook: a message's text is where its button leads.
func (c *cloud) chat(out http.ResponseWriter, r *http.Request) {
	var in struct {
		Text   string
		Blocks []struct{ Elements []struct{ URL string } }
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil || "https://"+r.Host+r.URL.Path != webhook {
		http.Error(out, "no_service", http.StatusNotFound)
		return
	}
	m := Mail{To: Chat, Subject: in.Text, At: time.Now()}
	for _, b := range in.Blocks {
		for _, e := range b.Elements {
			if e.URL != "" {
				m.Text = e.URL
			}
		}
	}
	c.deliver(m)
	_, _ = io.WriteString(out, "ok")
}

// form is what a request's form says; the request can still be read.
func form(r *http.Request) url.Values {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	values, err := url.ParseQuery(string(body))
	if err != nil {
		return nil
	}
	return values
}

// sns has a topic with one subscriber.
func (c *cloud) sns(out http.ResponseWriter, r *http.Request) {
	in := form(r)
	action := in.Get("Action")
	if action == "Publish" {
		c.deliver(Mail{To: Topic, Subject: in.Get("Subject"), Text: in.Get("Message"), At: time.Now()})
	}
	type entry struct {
		Key   string `xml:"key"`
		Value string `xml:"value"`
	}
	var entries []entry
	if action == "GetTopicAttributes" {
		entries = []entry{{"SubscriptionsConfirmed", "1"}}
	}
	text, err := xml.Marshal(entries)
	if err != nil {
		panic(err)
	}
	out.Header().Set("Content-Type", "text/xml")
	_, _ = fmt.Fprintf(out, "<%[1]sResponse><%[1]sResult><MessageId>1</MessageId><Attributes>%[2]s</Attributes></%[1]sResult></%[1]sResponse>", action, text)
}

func (c *cloud) eventBridge(operation string, body []byte) (any, error) {
	var in struct {
		Entries []struct{ DetailType, Detail string }
	}
	if err := json.Unmarshal(body, &in); err != nil || operation != "PutEvents" {
		return nil, &refusal{"ValidationException", operation}
	}
	entries := []map[string]string{}
	for _, e := range in.Entries {
		c.put(Event{e.DetailType, json.RawMessage(e.Detail)})
		entries = append(entries, map[string]string{"EventId": "1"})
	}
	return map[string]any{"FailedEntryCount": 0, "Entries": entries}, nil
}

func (c *cloud) put(e Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.events = append(c.events, e)
}

// Events are those that the bus has got so far.
func (w *World) Events() []Event {
	w.cloud.mu.Lock()
	defer w.cloud.mu.Unlock()
	return slices.Clone(w.cloud.events)
}

// Mails are those that were delivered so far.
func (w *World) Mails() []Mail {
	w.cloud.mu.Lock()
	defer w.cloud.mu.Unlock()
	return slices.Clone(w.cloud.mails)
}
