package workflow

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	logstypes "github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	eventstypes "github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sesv2"
	sestypes "github.com/aws/aws-sdk-go-v2/service/sesv2/types"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/tidwall/gjson"
	"github.com/tidwall/sjson"

	"keyturn/internal/approval"
	"keyturn/internal/localaws"
	"keyturn/internal/oktasim"
	"keyturn/internal/playground"
)

// TestNoSecretLeavesItsPlace waits until all other tests are over, whatever
// became of them, and then reads everything that all stacks have written. The
// link is in the message itself, and in the page behind it, the task token in the
// arguments of its task, and the rest nowhere.
//
// That it would see a secret, it shows with decoys: one for each sort of place,
// put there on purpose.
func TestNoSecretLeavesItsPlace(t *testing.T) {
	t.Parallel()
	s := &scene{t: t, p: stack}
	pages := s.somethingOfEachSort()

	over := make(chan struct{})
	go func() { others.Wait(); close(over) }()
	select {
	case <-over:
	case <-t.Context().Done():
	}
	s.bounded()
	decoys := s.plant()

	everything := append(s.everything(), pages...)
	secrets := s.secrets(everything)
	for where, decoy := range decoys {
		secrets["the decoy for "+where] = decoy
	}
	s.complete(everything)
	find := newFinder(secrets)
	for _, found := range leaks(find, everything) {
		where, isDecoy := strings.CutPrefix(found.secret, "the decoy for ")
		if !isDecoy {
			t.Errorf("%s has %s, %s, %d characters of it, after %q", found.place, found.secret, found.kind, found.length, found.before)
		} else if strings.HasPrefix(found.place, where) {
			delete(decoys, where)
		}
	}
	for where := range decoys {
		t.Errorf("a secret was put into %s, and nobody noticed", where)
	}
	read := 0
	for _, p := range everything {
		read += len(p.text)
	}
	t.Logf("%d secrets, %d places, %.1f MB", len(secrets), len(everything), float64(read)/1e6)
}

// place is something that was written.
type place struct {
	name, text string
	// mine is the sealed link that belongs here.
	mine string
	// tokens are the task tokens that are in the arguments of tasks, and are not
	// in text.
	tokens []string
}

// leak is a secret that is where it does not belong.
type leak struct {
	found
	place, before string
}

func leaks(find *finder, everything []place) []leak {
	var all []leak
	for _, p := range everything {
		report := func(f found) {
			all = append(all, leak{f, p.name, p.text[max(0, f.at-200):f.at]})
		}
		for _, f := range find.in(p.text) {
			if p.mine == "" || f.secret != linkNamed(p.mine) {
				report(f)
			}
		}
		for what, looks := range lookalikes {
			for _, at := range looks.in(p.text) {
				if text := p.text[at[0]:at[1]]; p.mine == "" || text != "/a/"+p.mine {
					report(found{what, "as it looks", at[0], at[1] - at[0]})
				}
			}
		}
	}
	return all
}

func linkNamed(sealed string) string { return "the link …" + sealed[len(sealed)-12:] }

// somethingOfEachSort is for where this test runs alone: rotations of an app and
// an IdP, in both orders, confirmed, rejected and failed, a discovery with its
// digest and a shared key, a certificate that a person brings, and a request in a
// chat. It gives the answers of the page.
func (s *scene) somethingOfEachSort() []place {
	t := s.t
	var pages []place
	visit := func(s *scene, method, link, body string) string {
		status, _, text := s.visit(method, link, body)
		one := place{name: fmt.Sprintf("the page's answer %d, to %s", len(pages), method), text: text}
		if status != http.StatusNotFound {
			_, one.mine, _ = strings.Cut(link, "/a/")
			one.mine, _, _ = strings.Cut(one.mine, "/")
		}
		pages = append(pages, one)
		return text
	}

	in, talk := inside(t)
	quiet := app(t)
	r := quiet.rotate(policy{"uploadOrder": "after-switch"})
	broken := app(t)
	broken.p.Org.Fail(oktasim.Fault{ID: broken.target.ID, Operation: "publishCsrFromApplication", Kind: oktasim.FaultForbidden})
	failing := broken.rotate(nil)
	byTeam := idp(t)
	signing := byTeam.rotate(byHand(policy{"confirmSignIn": true}))
	chatted := app(t).on(in)
	asked := chatted.rotate(nil)

	link := r.link(playground.Approver)
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPut} {
		visit(quiet, method, link, "")
	}
	visit(quiet, http.MethodPost, link, "decision=confirm")
	visit(quiet, http.MethodGet, link+"A", "")
	for _, file := range []string{"certificate.pem", "certificate.cer", "chain.pem", "nothing"} {
		visit(quiet, http.MethodGet, link+"/"+file, "")
	}
	if metadata := visit(quiet, http.MethodGet, link+"/metadata.xml", ""); !strings.Contains(metadata, "EntityDescriptor") {
		t.Errorf("the metadata: %.200s", metadata)
	}
	form := quiet.form(link)
	visit(quiet, http.MethodPost, link, url.Values{"form": {form}, "decision": {"reject"}}.Encode())
	visit(quiet, http.MethodPost, link, url.Values{"form": {form}, "decision": {"reject"}, "comment": {"no"}}.Encode())
	ended(t, "RolledBack", r.end())
	visit(quiet, http.MethodPost, link, url.Values{"form": {form}, "decision": {"confirm"}}.Encode())
	visit(quiet, http.MethodGet, link, "")
	quiet.events(3)
	ended(t, "Failed", failing.end())

	_, link = signing.nth(playground.Signer, 1)
	visit(byTeam, http.MethodGet, link, "")
	visit(byTeam, http.MethodGet, link+"/request.csr", "")
	byTeam.handIn(link, []byte("nothing like it"), http.StatusUnprocessableEntity)
	byTeam.handIn(link, byTeam.signed(397), http.StatusOK)
	_, upload := signing.nth(playground.Approver, 1)
	byTeam.decide(upload, "confirm", "", "")
	_, signIn := signing.nth(playground.Approver, 2)
	visit(byTeam, http.MethodGet, signIn, "")
	byTeam.decide(signIn, "works", "", "")
	ended(t, "Completed", signing.end())

	asked.request(playground.Approver)
	chatted.until("a message in the chat", func() bool { return len(talk.about(chatted.target.Label)) > 0 })
	inChat := localLink(t, "\n"+linkInChat.FindString(talk.about(chatted.target.Label)[0])+"\n")
	visit(chatted, http.MethodGet, inChat, "")
	chatted.decide(inChat, "confirm", "The CRM team", "")
	ended(t, "Completed", asked.end())

	created, key := due()
	source, clone := app(t, oktasim.AppSpec{Created: created, Key: key}), app(t, oktasim.AppSpec{Created: created, Key: key})
	source.discover(policy{"policy": policyFor(policy{"mode": "rotate", "sharedKey": "clone"}, source, clone)})
	for _, member := range []*scene{source, clone} {
		member.mail(playground.Approver, time.Time{}, "", func() {})
	}
	return pages
}

var (
	linkInChat = regexp.MustCompile(`https?://[^"\s|>]+/a/[A-Za-z0-9_-]+`)
	// sealed is a link's secret part, in plain text and in HTML.
	sealed = regexp.MustCompile(`/a/([A-Za-z0-9_-]{60,})`)
)

// own is the one link that a message has, and "" where it has none.
func (s *scene) own(name, text string) string {
	s.t.Helper()
	var links []string
	for _, m := range sealed.FindAllStringSubmatch(text, -1) {
		if !slices.Contains(links, m[1]) {
			links = append(links, m[1])
		}
	}
	switch len(links) {
	case 0:
		return ""
	case 1:
		return links[0]
	}
	s.t.Errorf("%s has %d different links", name, len(links))
	return links[0]
}

// secrets are all that nobody may see, by what they are: the values of all
// secrets, the links of all messages, and the task tokens of all executions.
func (s *scene) secrets(everything []place) map[string]string {
	s.t.Helper()
	all := map[string]string{"the API token": s.p.Org.APIToken()}
	client := secretsmanager.NewFromConfig(s.p.Cloud.Config())
	pages := secretsmanager.NewListSecretsPaginator(client, &secretsmanager.ListSecretsInput{})
	for pages.HasMorePages() {
		page, err := pages.NextPage(s.ctx)
		if err != nil {
			s.t.Fatal(err)
		}
		for _, secret := range page.SecretList {
			versions, err := client.ListSecretVersionIds(s.ctx, &secretsmanager.ListSecretVersionIdsInput{SecretId: secret.ARN, IncludeDeprecated: aws.Bool(true)})
			if err != nil {
				s.t.Fatal(err)
			}
			for i, version := range versions.Versions {
				out, err := client.GetSecretValue(s.ctx, &secretsmanager.GetSecretValueInput{SecretId: secret.ARN, VersionId: version.VersionId})
				if err != nil {
					s.t.Fatal(err)
				}
				for what, value := range confidential(aws.ToString(out.SecretString)) {
					all[fmt.Sprintf("%s of version %d of the secret %s", what, i, *secret.Name)] = value
				}
			}
		}
	}
	tokens := 0
	for _, p := range everything {
		if p.mine != "" {
			all[linkNamed(p.mine)] = p.mine
		}
		for _, token := range p.tokens {
			all[fmt.Sprintf("the task token %d of %s", tokens, p.name)] = token
			tokens++
		}
	}
	return all
}

// confidential is what of a secret's value is secret, by what it is: not the
// certificates of a CA, and not the public half of a key.
func confidential(value string) map[string]string {
	all := map[string]string{}
	var walk func(path string, v gjson.Result)
	walk = func(path string, v gjson.Result) {
		if v.IsObject() || v.IsArray() {
			v.ForEach(func(k, v gjson.Result) bool { walk(path+"."+k.String(), v); return true })
			return
		}
		switch text := v.String(); {
		case strings.Contains(text, "BEGIN CERTIFICATE"):
		case strings.Contains(text, "PRIVATE KEY"):
			for part, number := range privateParts(text) {
				all[path+", "+part] = string(number.Bytes())
			}
		default:
			all[path] = text
		}
	}
	if json.Valid([]byte(value)) && strings.HasPrefix(value, "{") {
		walk("", gjson.Parse(value))
		return all
	}
	if u, err := url.Parse(value); err == nil && u.Host != "" {
		return map[string]string{"the path": u.Path}
	}
	return map[string]string{"the value": value}
}

// privateParts are the numbers of a key (PEM) that are not in its certificate.
func privateParts(text string) map[string]*big.Int {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return map[string]*big.Int{"its text": new(big.Int).SetBytes(block.Bytes)}
	}
	switch key := key.(type) {
	case *rsa.PrivateKey:
		return map[string]*big.Int{"D": key.D, "P": key.Primes[0], "Q": key.Primes[1],
			"DP": key.Precomputed.Dp, "DQ": key.Precomputed.Dq, "QInv": key.Precomputed.Qinv}
	case *ecdsa.PrivateKey:
		return map[string]*big.Int{"D": key.D} //nolint:staticcheck // SA1019: what is looked for is the number itself
	}
	return nil
}

// everything is all that all stacks have written, by where.
func (s *scene) everything() []place {
	s.t.Helper()
	var all []place
	add := func(name, text string) { all = append(all, place{name: name, text: text}) }
	log, err := s.p.Cloud.Log()
	if err != nil {
		s.t.Fatal(err)
	}
	add("MiniStack's log", string(log))
	all = append(all, s.logs()...)
	all = append(all, s.histories()...)
	all = append(all, s.objects()...)
	all = append(all, s.messages()...)
	all = append(all, s.queues()...)
	all = append(all, s.configuration()...)
	for i, c := range s.p.Org.Calls() {
		add(fmt.Sprintf("the call %d of Okta but for its Authorization header", i), fmt.Sprintf("%s %s %s\n%s", c.Method, c.Path, c.UserAgent, c.Body))
	}
	for _, kind := range []string{"app", "idp"} {
		for _, id := range s.p.Org.Targets(kind) {
			add("the document "+id, string(s.p.Org.Document(kind, id)))
		}
	}
	return all
}

// complete checks that the places are there which every run has.
func (s *scene) complete(everything []place) {
	s.t.Helper()
	wanted := map[string]int{
		"the history of a rotation of keyturn": 6, "the history of a discovery of keyturn": 2, "the history of a rotation of inside": 1,
		"the object keyturn-inventorybucket": 10, "the event": 10, "the message on the topic": 5, "the message in the chat": 1,
		"the mail to " + playground.Approver: 5, "the mail to " + playground.Signer: 1, "the mail to " + playground.Operator: 1,
		"the call ": 50, "the document 0oa": 5, "the environment of keyturn-": 14, "the stack keyturn": 1, "the page's answer": 15,
	}
	for _, function := range []string{"clone-certificate", "confirm-upload", "generate-csr", "inspect-target", "list-apps", "publish-csr", "read-metadata",
		"report-inventory", "request-upload", "revoke-csr", "sign-csr", "start-rotations", "update-key-credential", "verify-key"} {
		wanted["the log /aws/lambda/keyturn-"+function] = 1
	}
	var metrics string
	for _, p := range everything {
		for prefix := range wanted {
			if strings.HasPrefix(p.name, prefix) && p.text != "" {
				wanted[prefix]--
			}
		}
		if strings.HasPrefix(p.name, "the log /aws/lambda/keyturn-report-inventory") {
			metrics = p.text
		}
	}
	for prefix, missing := range wanted {
		if missing > 0 {
			s.t.Errorf("%q is missing %d times: the test does not look where it should", prefix, missing)
		}
	}
	// The metrics are lines of the log: no function may call CloudWatch.
	if !strings.Contains(metrics, `"_aws":{`) || !strings.Contains(metrics, "NearestExpiryDays") {
		s.t.Error("the log has no metrics")
	}
}

func (s *scene) logs() []place {
	s.t.Helper()
	client := cloudwatchlogs.NewFromConfig(s.p.Cloud.Config())
	var all []place
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
			all = append(all, place{name: "the log " + *group.LogGroupName, text: text.String()})
		}
	}
	return all
}

// histories are those of all executions of all state machines, with what they
// began and ended with. On AWS the arguments of a task alone hold the task token;
// who may read histories is the account's to say. It is taken out here, and kept.
func (s *scene) histories() []place {
	s.t.Helper()
	client := sfn.NewFromConfig(s.p.Cloud.Config())
	machines, err := client.ListStateMachines(s.ctx, &sfn.ListStateMachinesInput{})
	if err != nil {
		s.t.Fatal(err)
	}
	var all []place
	for _, machine := range machines.StateMachines {
		stackName, kind, _ := strings.Cut(*machine.Name, "-")
		pages := sfn.NewListExecutionsPaginator(client, &sfn.ListExecutionsInput{StateMachineArn: machine.StateMachineArn})
		for pages.HasMorePages() {
			page, err := pages.NextPage(s.ctx)
			if err != nil {
				s.t.Fatal(err)
			}
			for _, e := range page.Executions {
				p := s.history(client, *e.ExecutionArn)
				p.name = fmt.Sprintf("the history of a %s of %s, %s", kind, stackName, *e.Name)
				all = append(all, p)
			}
		}
	}
	return all
}

func (s *scene) history(client *sfn.Client, execution string) place {
	s.t.Helper()
	var p place
	var text strings.Builder
	out, err := client.DescribeExecution(s.ctx, &sfn.DescribeExecutionInput{ExecutionArn: &execution})
	if err != nil {
		s.t.Fatal(err)
	}
	fmt.Fprintln(&text, aws.ToString(out.Input), aws.ToString(out.Output), aws.ToString(out.Error), aws.ToString(out.Cause))
	pages := sfn.NewGetExecutionHistoryPaginator(client, &sfn.GetExecutionHistoryInput{ExecutionArn: &execution, MaxResults: 1000})
	for pages.HasMorePages() {
		page, err := pages.NextPage(s.ctx)
		if err != nil {
			s.t.Fatal(err)
		}
		for _, event := range page.Events {
			if task := event.TaskScheduledEventDetails; task != nil {
				const where = "Payload.taskToken"
				if token := gjson.Get(aws.ToString(task.Parameters), where).String(); token != "" {
					p.tokens = append(p.tokens, token)
					without, err := sjson.Delete(*task.Parameters, where)
					if err != nil {
						s.t.Fatal(err)
					}
					task.Parameters = &without
				}
			}
			line, err := json.Marshal(event)
			if err != nil {
				s.t.Fatal(err)
			}
			text.Write(append(line, '\n'))
		}
	}
	p.text = text.String()
	return p
}

// objects are those of all buckets but SAM's, in all their versions.
func (s *scene) objects() []place {
	s.t.Helper()
	client := s3.NewFromConfig(s.p.Cloud.Config(), func(o *s3.Options) { o.UsePathStyle = true })
	buckets, err := client.ListBuckets(s.ctx, &s3.ListBucketsInput{})
	if err != nil {
		s.t.Fatal(err)
	}
	var all []place
	for _, bucket := range buckets.Buckets {
		if strings.HasPrefix(*bucket.Name, "aws-sam-cli-") {
			continue // the functions' code and the template
		}
		pages := s3.NewListObjectVersionsPaginator(client, &s3.ListObjectVersionsInput{Bucket: bucket.Name})
		for pages.HasMorePages() {
			page, err := pages.NextPage(s.ctx)
			if err != nil {
				s.t.Fatal(err)
			}
			for _, version := range page.Versions {
				out, err := client.GetObject(s.ctx, &s3.GetObjectInput{Bucket: bucket.Name, Key: version.Key, VersionId: version.VersionId})
				if err != nil {
					s.t.Fatal(err)
				}
				text, err := io.ReadAll(out.Body)
				if err != nil {
					s.t.Fatal(err)
				}
				_ = out.Body.Close()
				all = append(all, place{name: "the object " + *bucket.Name + "/" + *version.Key, text: fmt.Sprint(out.Metadata, string(text))})
			}
		}
	}
	return all
}

// messages are the mails, what the topics passed on, and what the chats heard.
// Each may have its own link, and a mail must go to the one whom its link names.
func (s *scene) messages() []place {
	s.t.Helper()
	var all []place
	add := func(name, text string) string {
		mine := s.own(name, text)
		all = append(all, place{name: name, text: text, mine: mine})
		return mine
	}
	box, err := s.p.Cloud.Mails(s.ctx)
	if err != nil {
		s.t.Fatal(err)
	}
	openers := s.sealers()
	for _, m := range box {
		name := fmt.Sprintf("the mail to %s, %s", strings.Join(m.To, " and "), m.ID)
		var text bytes.Buffer
		fmt.Fprintln(&text, m.From, m.To, m.Subject, m.Text, m.HTML)
		for _, a := range m.Attachments {
			fmt.Fprintln(&text, a.Name, string(a.Content))
		}
		if n := len(m.To) + len(m.Cc) + len(m.Bcc); n != 1 {
			s.t.Errorf("%s goes to %d addresses", name, n)
			continue
		}
		mine := add(name, text.String())
		for _, opener := range openers {
			if claim, err := opener.Open(mine, m.At); err == nil && claim.Approver != m.To[0] {
				s.t.Errorf("%s has the link of %q", name, claim.Approver)
			}
		}
	}
	topics.Lock()
	defer topics.Unlock()
	n := 0
	for _, topic := range topics.all {
		for _, m := range topic.all() {
			add(fmt.Sprintf("the message on the topic %s, %d", m.TopicArn, n), m.Subject+"\n"+m.Message)
			n++
		}
	}
	chats.Lock()
	defer chats.Unlock()
	for i, c := range chats.all {
		for j, m := range c.about("") {
			add(fmt.Sprintf("the message in the chat %d, %d", i, j), m)
		}
	}
	return all
}

// sealers open the links of all stacks, as far as their keys are the last ones.
func (s *scene) sealers() []*approval.Sealer {
	s.t.Helper()
	client := secretsmanager.NewFromConfig(s.p.Cloud.Config())
	list, err := client.ListSecrets(s.ctx, &secretsmanager.ListSecretsInput{MaxResults: aws.Int32(100)})
	if err != nil {
		s.t.Fatal(err)
	}
	var all []*approval.Sealer
	for _, secret := range list.SecretList {
		if !strings.HasSuffix(*secret.Name, "/link-key") {
			continue
		}
		out, err := client.GetSecretValue(s.ctx, &secretsmanager.GetSecretValueInput{SecretId: secret.ARN})
		if err != nil {
			s.t.Fatal(err)
		}
		if opener, err := approval.NewSealer([]byte(*out.SecretString)); err == nil {
			all = append(all, opener)
		}
	}
	if len(all) == 0 {
		s.t.Error("no stack has a link-key")
	}
	return all
}

// overheard is the queue that gets every event of the account.
const overheard = "overheard"

// overhear has every event that EventBridge gets kept from now on.
func overhear(ctx context.Context, cloud *localaws.Cloud) error {
	if _, err := sqs.NewFromConfig(cloud.Config()).CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: aws.String(overheard), Attributes: map[string]string{
		"Policy": `{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}, "Action": "sqs:SendMessage", "Resource": "*"}}`,
	}}); err != nil {
		return err
	}
	client := eventbridge.NewFromConfig(cloud.Config())
	if _, err := client.PutRule(ctx, &eventbridge.PutRuleInput{Name: aws.String(overheard), EventPattern: aws.String(`{"source": [{"prefix": ""}]}`)}); err != nil {
		return err
	}
	_, err := client.PutTargets(ctx, &eventbridge.PutTargetsInput{Rule: aws.String(overheard), Targets: []eventstypes.Target{{
		Id: aws.String("queue"), Arn: aws.String(fmt.Sprintf("arn:aws:sqs:%s:%s:%s", localaws.Region, localaws.AccountID, overheard)),
	}}})
	return err
}

// queues are what lies in queues: every event, and the dead letters, of which
// there must be none but a decoy.
func (s *scene) queues() []place {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.ctx, http.MethodGet, s.p.Cloud.Endpoint+"/_ministack/sqs/messages?account="+localaws.AccountID, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	var box struct {
		Messages map[string]map[string]map[string][]struct{ Body string }
	}
	if err := json.NewDecoder(response.Body).Decode(&box); err != nil {
		s.t.Fatal(err)
	}
	var all []place
	for queue, messages := range box.Messages[localaws.AccountID][localaws.Region] {
		queue = queue[strings.LastIndexByte(queue, '/')+1:]
		for i, m := range messages {
			name := fmt.Sprintf("the letter %d in the queue %s", i, queue)
			switch {
			case queue == overheard:
				name = fmt.Sprintf("the event %d, %s", i, gjson.Get(m.Body, "detail-type"))
			case strings.HasSuffix(queue, "-dead-letters") && !strings.Contains(m.Body, "decoy"):
				s.t.Errorf("an event could not be delivered: %s", m.Body)
			}
			one := place{name: name, text: m.Body}
			if strings.HasPrefix(queue, "inbox-") {
				one.mine = s.own(name, m.Body) // a topic passed it on, and nobody has read it
			}
			all = append(all, one)
		}
	}
	return all
}

// configuration is what the functions and stacks were told.
func (s *scene) configuration() []place {
	s.t.Helper()
	var all []place
	functions := lambda.NewListFunctionsPaginator(lambda.NewFromConfig(s.p.Cloud.Config()), &lambda.ListFunctionsInput{})
	for functions.HasMorePages() {
		page, err := functions.NextPage(s.ctx)
		if err != nil {
			s.t.Fatal(err)
		}
		for _, f := range page.Functions {
			variables := map[string]string{}
			if f.Environment != nil {
				variables = f.Environment.Variables
			}
			all = append(all, place{name: "the environment of " + *f.FunctionName, text: fmt.Sprint(aws.ToString(f.Description), variables)})
		}
	}
	stacks := cloudformation.NewDescribeStacksPaginator(cloudformation.NewFromConfig(s.p.Cloud.Config()), &cloudformation.DescribeStacksInput{})
	for stacks.HasMorePages() {
		page, err := stacks.NextPage(s.ctx)
		if err != nil {
			s.t.Fatal(err)
		}
		for _, one := range page.Stacks {
			text, err := json.Marshal(one)
			if err != nil {
				s.t.Fatal(err)
			}
			all = append(all, place{name: "the stack " + *one.StackName, text: string(text)})
		}
	}
	return all
}

// plant puts a decoy into a place of each sort, by the beginning of the place's
// name, each in another form.
func (s *scene) plant() map[string]string {
	s.t.Helper()
	decoys := map[string]string{}
	var lock sync.Mutex
	decoy := func(where, kind string) string {
		secret := "decoy-" + rand.Text() + rand.Text()
		lock.Lock()
		defer lock.Unlock()
		decoys[where] = secret
		text := forms(secret)[kind]
		if text == "" {
			s.t.Fatalf("there is no form %q of its own", kind)
		}
		return text
	}
	must := func(err error) {
		s.t.Helper()
		if err != nil {
			s.t.Fatal(err)
		}
	}
	config := s.p.Cloud.Config()

	const group = "/aws/lambda/keyturn-verify-key"
	logs := cloudwatchlogs.NewFromConfig(config)
	_, err := logs.CreateLogStream(s.ctx, &cloudwatchlogs.CreateLogStreamInput{LogGroupName: aws.String(group), LogStreamName: aws.String("decoy")})
	must(err)
	_, err = logs.PutLogEvents(s.ctx, &cloudwatchlogs.PutLogEventsInput{LogGroupName: aws.String(group), LogStreamName: aws.String("decoy"), LogEvents: []logstypes.InputLogEvent{{
		Message: aws.String(`{"level":"ERROR","error":"refused: ` + decoy("the log "+group, "plain")[8:30] + `…"}`), Timestamp: aws.Int64(time.Now().UnixMilli())}}})
	must(err)

	bucket := s.p.Outputs["InventoryBucket"]
	objects := s3.NewFromConfig(config, func(o *s3.Options) { o.UsePathStyle = true })
	for _, text := range []string{decoy("the object "+bucket+"/runs/decoy", "base64url after 2 bytes"), "a later version"} {
		_, err = objects.PutObject(s.ctx, &s3.PutObjectInput{Bucket: &bucket, Key: aws.String("runs/decoy"), Body: strings.NewReader(text)})
		must(err)
	}

	_, err = eventbridge.NewFromConfig(config).PutEvents(s.ctx, &eventbridge.PutEventsInput{Entries: []eventstypes.PutEventsRequestEntry{{
		Source: aws.String("decoy"), DetailType: aws.String("Decoy"), Detail: aws.String(`{"cause":"` + decoy("the event ", "in hex") + `"}`)}}})
	must(err)
	_, err = sns.NewFromConfig(config).Publish(s.ctx, &sns.PublishInput{TopicArn: aws.String(s.p.Outputs["NotificationTopicArn"]), Message: aws.String("Decoy " + decoy("the message on the topic", "base64url after 1 bytes"))})
	must(err)
	s.until("the decoy on the topic", func() bool {
		return slices.ContainsFunc(lifecycle.all(), func(n localaws.Notification) bool { return strings.HasPrefix(n.Message, "Decoy ") })
	})
	_, err = sesv2.NewFromConfig(config).SendEmail(s.ctx, &sesv2.SendEmailInput{
		FromEmailAddress: aws.String(playground.Sender), Destination: &sestypes.Destination{ToAddresses: []string{"decoy@example.com"}},
		Content: &sestypes.EmailContent{Simple: &sestypes.Message{Subject: &sestypes.Content{Data: aws.String("Decoy")},
			Body: &sestypes.Body{Text: &sestypes.Content{Data: aws.String(decoy("the mail to decoy@example.com", "plain"))}}}}})
	must(err)
	chats.Lock()
	address := chats.all[len(chats.all)-1].URL
	for _, c := range chats.all {
		if c == insider.chat {
			address = c.URL
		}
	}
	chats.Unlock()
	r, err := http.NewRequestWithContext(s.ctx, http.MethodPost, address, strings.NewReader(`{"text":"`+decoy("the message in the chat", "in capital hex")+`"}`))
	must(err)
	response, err := http.DefaultClient.Do(r)
	must(err)
	_ = response.Body.Close()

	// A state machine's input, and by way of it whatever that gets to.
	_, err = s.p.RotateInput(s.ctx, "decoy", `{"target":{"kind":"app","id":"0oadecoy"},"policy":{"subject":{"commonName":"`+decoy("the history of a rotation of keyturn, decoy", "plain")+`"}}}`)
	must(err)
	(&running{scene: s, rotation: s.p.Attach(strings.Replace(s.p.Outputs["RotationStateMachineArn"], ":stateMachine:", ":execution:", 1) + ":decoy")}).end()

	queues := sqs.NewFromConfig(config)
	queue, err := queues.GetQueueUrl(s.ctx, &sqs.GetQueueUrlInput{QueueName: aws.String("keyturn-dead-letters")})
	must(err)
	_, err = queues.SendMessage(s.ctx, &sqs.SendMessageInput{QueueUrl: queue.QueueUrl, MessageBody: aws.String("a decoy " + decoy("the letter 0 in the queue keyturn-dead-letters", "plain"))})
	must(err)
	s.p.Org.AddApp(oktasim.AppSpec{Label: decoy("the document 0oa", "plain")})
	r, err = http.NewRequestWithContext(s.ctx, http.MethodGet, s.p.OrgURL+"/api/v1/apps/"+decoy("the call ", "plain"), nil)
	must(err)
	response, err = http.DefaultClient.Do(r)
	must(err)
	_ = response.Body.Close()
	return decoys
}
