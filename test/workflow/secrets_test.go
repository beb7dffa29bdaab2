package workflow

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"keyturn/internal/oktasim"
	"keyturn/internal/playground"
)

// TestNoSecretLeavesItsPlace waits until all other tests are over, whatever
// became of them, and then looks through everything that the stack has
// written: the link is in the message itself, the rest nowhere.
func TestNoSecretLeavesItsPlace(t *testing.T) {
	t.Parallel()
	s := &scene{t: t, p: stack}

	// Something of each sort, also where this test runs alone.
	quiet := app(t)
	r := quiet.rotate(policy{"uploadOrder": "after-switch"})
	link := r.link(playground.Approver)
	quiet.visit("POST", link, "decision=confirm")
	quiet.visit("GET", link+"A", "")
	if status, header, metadata := quiet.visit("GET", link+"/metadata.xml", ""); status != 200 || !strings.Contains(metadata, "EntityDescriptor") || header.Get("Content-Disposition") == "" {
		t.Errorf("the metadata: %d %.200s", status, metadata)
	}
	r.answer("reject", "no")
	ended(t, "RolledBack", r.end())
	quiet.events(3)
	broken := app(t)
	broken.p.Org.Fail(oktasim.Fault{ID: broken.target.ID, Operation: "publishCsrFromApplication", Kind: oktasim.FaultForbidden})
	ended(t, "Failed", broken.rotate(nil).end())

	// A discovery, and a key that is cloned.
	created, key := due()
	source, clone := app(t, oktasim.AppSpec{Created: created, Key: key}), app(t, oktasim.AppSpec{Created: created, Key: key})
	source.discover(policy{"policy": policyFor(policy{"mode": "rotate", "sharedKey": "clone"}, source, clone)})
	for _, member := range []*scene{source, clone} {
		member.mail(playground.Approver, time.Time{}, "", func() {})
	}

	over := make(chan struct{})
	go func() { others.Wait(); close(over) }()
	select {
	case <-over:
	case <-t.Context().Done():
	}
	s.bounded()

	secrets := s.secrets()
	for place, text := range s.written() {
		if text == "" {
			t.Errorf("%s is empty: the test does not look where it should", place)
		}
		for what, secret := range secrets {
			if i := strings.Index(text, secret); i >= 0 {
				around := text[max(0, i-200):i]
				t.Errorf("%s has %s, after %q", place, what, around)
			}
		}
	}
}

// secrets are all that nobody may see, by what they are.
func (s *scene) secrets() map[string]string {
	s.t.Helper()
	all := map[string]string{"the API token": s.p.Org.APIToken()}
	value := func(name string) string {
		out, err := secretsmanager.NewFromConfig(s.p.Cloud.Config()).GetSecretValue(s.ctx, &secretsmanager.GetSecretValueInput{SecretId: &name})
		if err != nil {
			s.t.Fatal(err)
		}
		return *out.SecretString
	}
	all["the link key"] = value("keyturn/link-key")
	all["the chat's webhook"] = webhookPath
	var ca struct{ Key string }
	if err := json.Unmarshal([]byte(value("keyturn/ca")), &ca); err != nil {
		s.t.Fatal(err)
	}
	block, _ := pem.Decode([]byte(ca.Key))
	if block == nil {
		s.t.Fatal("the CA's key is not PEM")
	}
	for i, line := range strings.Split(strings.TrimSpace(ca.Key), "\n") {
		if !strings.HasPrefix(line, "-----") && len(line) > 30 {
			all[fmt.Sprintf("line %d of the CA's key", i)] = line
		}
	}
	opener := sealer(s.ctx, s.t)
	for _, m := range mails.all() {
		if slices.Equal(m.To, []string{playground.Operator}) {
			continue // a digest, which has no link
		}
		link, err := playground.Link(m.Text)
		if err != nil {
			s.t.Fatal(err)
		}
		_, sealed, _ := strings.Cut(link, "/a/")
		claim, err := opener.Open(sealed, time.Now())
		if err != nil {
			continue // another stack's
		}
		all["the link of mail "+m.ID+", about "+claim.Target.Label] = sealed
		all["the task token of mail "+m.ID+", about "+claim.Target.Label] = claim.TaskToken
	}
	return all
}

// written is all that the stack has written, by where.
func (s *scene) written() map[string]string {
	s.t.Helper()
	all := map[string]string{}
	log, err := s.p.Cloud.Log()
	if err != nil {
		s.t.Fatal(err)
	}
	// MiniStack's own log may be empty; that it says something is not needed.
	all["MiniStack's log"] = "log:" + string(log)
	maps.Copy(all, s.logs())
	var said strings.Builder
	for _, n := range lifecycle.all() {
		said.WriteString(n.Subject + "\n" + n.Message + "\n")
	}
	all["the topic"] = said.String()
	all["the executions' histories"] = s.histories()
	all["the functions' configuration"] = s.configuration()
	var calls strings.Builder
	for _, c := range s.p.Org.Calls() {
		fmt.Fprintf(&calls, "%s %s %s\n%s\n", c.Method, c.Path, c.UserAgent, c.Body)
	}
	all["the calls of Okta but for their Authorization header"] = calls.String()
	all["the dead letters"] = s.deadLetters()
	keys, err := s.p.Objects(s.ctx)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, key := range keys {
		all["the object "+key] = "object:" + string(s.object(key))
	}
	if len(keys) < 5 {
		s.t.Errorf("the bucket has only %q", keys)
	}
	for _, m := range mails.all() {
		if slices.Equal(m.To, []string{playground.Operator}) {
			all["the digest "+m.ID] = m.Subject + m.Text + m.HTML
		}
	}
	return all
}

// stepLogs are the log groups of a rotation's functions.
var stepLogs = regexp.MustCompile(`^/aws/lambda/keyturn-`)

func (s *scene) logs() map[string]string {
	s.t.Helper()
	client := cloudwatchlogs.NewFromConfig(s.p.Cloud.Config())
	all := map[string]string{}
	groups := cloudwatchlogs.NewDescribeLogGroupsPaginator(client, &cloudwatchlogs.DescribeLogGroupsInput{})
	for groups.HasMorePages() {
		page, err := groups.NextPage(s.ctx)
		if err != nil {
			s.t.Fatal(err)
		}
		for _, group := range page.LogGroups {
			var text strings.Builder
			events := cloudwatchlogs.NewFilterLogEventsPaginator(client, &cloudwatchlogs.FilterLogEventsInput{LogGroupName: group.LogGroupName})
			for events.HasMorePages() {
				found, err := events.NextPage(s.ctx)
				if err != nil {
					s.t.Fatal(err)
				}
				for _, e := range found.Events {
					text.WriteString(aws.ToString(e.Message) + "\n")
				}
			}
			// Other stacks' functions, and groups that nothing writes to here.
			if stepLogs.MatchString(*group.LogGroupName) || text.Len() > 0 {
				all[*group.LogGroupName] = text.String()
			}
		}
	}
	return all
}

func (s *scene) histories() string {
	s.t.Helper()
	client := sfn.NewFromConfig(s.p.Cloud.Config())
	var all strings.Builder
	for _, e := range s.executions() {
		out, err := client.DescribeExecution(s.ctx, &sfn.DescribeExecutionInput{ExecutionArn: e.ExecutionArn})
		if err != nil {
			s.t.Fatal(err)
		}
		fmt.Fprintln(&all, aws.ToString(out.Input), aws.ToString(out.Output), aws.ToString(out.Error), aws.ToString(out.Cause))
		pages := sfn.NewGetExecutionHistoryPaginator(client, &sfn.GetExecutionHistoryInput{ExecutionArn: e.ExecutionArn, MaxResults: 1000})
		for pages.HasMorePages() {
			page, err := pages.NextPage(s.ctx)
			if err != nil {
				s.t.Fatal(err)
			}
			for _, event := range page.Events {
				// On AWS this one alone holds the input of a task, and with it
				// the task token; who may read histories is the account's to say.
				event.TaskScheduledEventDetails = nil
				text, err := json.Marshal(event)
				if err != nil {
					s.t.Fatal(err)
				}
				all.Write(append(text, '\n'))
			}
		}
	}
	return all.String()
}

func (s *scene) configuration() string {
	s.t.Helper()
	var all strings.Builder
	pages := lambda.NewListFunctionsPaginator(lambda.NewFromConfig(s.p.Cloud.Config()), &lambda.ListFunctionsInput{})
	for pages.HasMorePages() {
		page, err := pages.NextPage(s.ctx)
		if err != nil {
			s.t.Fatal(err)
		}
		for _, f := range page.Functions {
			fmt.Fprintln(&all, *f.FunctionName, aws.ToString(f.Description))
			if f.Environment != nil {
				fmt.Fprintln(&all, f.Environment.Variables)
			}
		}
	}
	return all.String()
}

// deadLetters are what could not be delivered, which must be nothing.
func (s *scene) deadLetters() string {
	s.t.Helper()
	client := sqs.NewFromConfig(s.p.Cloud.Config())
	queue, err := client.GetQueueUrl(s.ctx, &sqs.GetQueueUrlInput{QueueName: aws.String("keyturn-dead-letters")})
	if err != nil {
		s.t.Fatal(err)
	}
	out, err := client.ReceiveMessage(s.ctx, &sqs.ReceiveMessageInput{QueueUrl: queue.QueueUrl, MaxNumberOfMessages: 10})
	if err != nil {
		s.t.Fatal(err)
	}
	var all strings.Builder
	fmt.Fprintln(&all, len(out.Messages), "messages")
	for _, m := range out.Messages {
		s.t.Errorf("an event could not be delivered: %s", *m.Body)
		fmt.Fprintln(&all, *m.Body)
	}
	return all.String()
}
