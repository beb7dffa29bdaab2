package localaws

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sesv2"
	sestypes "github.com/aws/aws-sdk-go-v2/service/sesv2/types"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/smithy-go"
)

const sender = "probe@example.com"

// childVariable turns the test binary into the program that
// TestNothingOutlivesAKilledProgram kills.
const childVariable = "KEYTURN_LOCALAWS_CHILD"

const recordsVariable = "KEYTURN_RECORDS"

func TestMain(m *testing.M) {
	if os.Getenv(childVariable) == "" {
		os.Exit(recorded(m))
	}
	cloud, outputs, err := deployed(context.Background())
	if err == nil {
		err = openPage(context.Background(), cloud, outputs) // starts a function's process
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(cloud.dir)
	select {}
}

// recorded runs the tests with a directory for the records, one of its own where
// nobody wants them.
func recorded(m *testing.M) int {
	if os.Getenv(recordsVariable) != "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "keyturn-records-")
	if err == nil {
		err = os.Setenv(recordsVariable, dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	return m.Run()
}

func deployed(ctx context.Context) (*Cloud, map[string]string, error) {
	// A half hour for an answer, in the state machine's own time, is 1.8 s.
	cloud, err := Start(ctx, Options{
		WaitScale: 0.01, CallbackScale: 0.001,
		CallbackTimes: []CallbackTime{{From: 999 * time.Hour, To: 1000 * time.Hour, Lasts: 50 * time.Millisecond}},
	})
	if err != nil {
		return nil, nil, err
	}
	outputs, err := cloud.Deploy(ctx, DeployOptions{
		StackName:   "probe",
		ProjectRoot: "testdata/project",
		Parameters:  map[string]string{"Sender": sender},
	})
	if err == nil {
		err = cloud.VerifySender(ctx, "example.com")
	}
	if err == nil {
		err = cloud.Publish(outputs["PageUrl"])
	}
	if err != nil {
		return nil, nil, errors.Join(err, cloud.Stop())
	}
	return cloud, outputs, nil
}

func openPage(ctx context.Context, cloud *Cloud, outputs map[string]string) error {
	local, err := cloud.LocalFunctionURL(outputs["PageUrl"])
	if err != nil {
		return err
	}
	for _, url := range []string{local + "decide", cloud.PublicURL() + "decide"} {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		res, err := cloud.FunctionURLClient().Do(req)
		if err != nil {
			return err
		}
		defer func() { _ = res.Body.Close() }()
		page, err := io.ReadAll(res.Body)
		if err != nil {
			return err
		}
		if string(page) != "page /decide" {
			return fmt.Errorf("GET %s: %s %q", url, res.Status, page)
		}
	}
	return nil
}

func TestCloud(t *testing.T) {
	t.Parallel()
	cloud, outputs, err := deployed(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cloud.Stop(); err != nil {
			t.Error(err)
		}
		if left := remains(t, cloud.dir); len(left) > 0 {
			t.Errorf("left behind by Stop:\n%s", strings.Join(left, "\n"))
		}
		if err := cloud.Stop(); err != nil {
			t.Errorf("the second Stop: %v", err)
		}
	})

	t.Run("serves the page behind a Function URL", func(t *testing.T) {
		if err := openPage(t.Context(), cloud, outputs); err != nil {
			t.Error(err)
		}
	})

	t.Run("shows what a topic passes on", func(t *testing.T) {
		inbox, err := cloud.Subscribe(t.Context(), outputs["TopicArn"])
		if err != nil {
			t.Fatal(err)
		}
		if _, err := sns.NewFromConfig(cloud.Config()).Publish(t.Context(), &sns.PublishInput{
			TopicArn: aws.String(outputs["TopicArn"]), Subject: aws.String("due"), Message: aws.String("in 30 days"),
		}); err != nil {
			t.Fatal(err)
		}
		want := Notification{TopicArn: outputs["TopicArn"], Subject: "due", Message: "in 30 days"}
		for t.Context().Err() == nil {
			received, err := inbox.Receive(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if len(received) > 0 {
				if len(received) != 1 || received[0] != want {
					t.Errorf("received %+v, want %+v once", received, want)
				}
				return
			}
		}
	})

	// What follows are the substitutions of launch.py, each with what AWS does.

	t.Run("a retried callback has a token of its own, and a token one answer", func(t *testing.T) {
		execution := start(t, cloud, outputs, `{"to": "a@example.com", "minutes": 600, "error": "Test.Again", "errors": 1}`)
		first, second := token(t, cloud, "a@example.com", 0), token(t, cloud, "a@example.com", 1)
		if first == second {
			t.Error("both attempts had the same token")
		}
		for _, answer := range []struct{ token, refusal string }{
			{first, "TaskTimedOut"},
			{second, ""},
			{second, "TaskTimedOut"},
			{"never a token", "InvalidToken"},
		} {
			_, err := sfn.NewFromConfig(cloud.Config()).SendTaskSuccess(t.Context(), &sfn.SendTaskSuccessInput{
				TaskToken: &answer.token, Output: aws.String(`"yes"`),
			})
			var refused smithy.APIError
			if errors.As(err, &refused) && refused.ErrorCode() == answer.refusal || err == nil && answer.refusal == "" {
				continue
			}
			t.Errorf("answer with %q: %v, want %q", answer.token, err, answer.refusal)
		}
		got := outcome(t, cloud, execution)
		if want := `SUCCEEDED {"answer":"yes","first":2,"second":1}`; got != want {
			t.Errorf("%s, want %s", got, want)
		}
	})

	t.Run("a callback whose function fails fails with its error", func(t *testing.T) {
		execution := start(t, cloud, outputs, `{"to": "b@example.com", "minutes": 600, "error": "Test.Broken"}`)
		got := outcome(t, cloud, execution)
		if want := "FAILED Test.Broken: as asked"; got != want {
			t.Errorf("%s, want %s", got, want)
		}
	})

	t.Run("a callback nobody answers times out after an expression's seconds", func(t *testing.T) {
		execution := start(t, cloud, outputs, `{"to": "c@example.com", "minutes": 1}`)
		got := outcome(t, cloud, execution)
		if want := `SUCCEEDED {"answer":"none"}`; got != want {
			t.Errorf("%s, want %s", got, want)
		}
	})

	t.Run("the scale leaves a callback's time-out alone", func(t *testing.T) {
		execution := start(t, cloud, outputs, `{"to": "f@example.com", "minutes": 60000}`) // an hour by the scale
		got := outcome(t, cloud, execution)
		if want := `SUCCEEDED {"answer":"none"}`; got != want {
			t.Errorf("%s, want %s", got, want)
		}
	})

	t.Run("a mail keeps what is attached to it", func(t *testing.T) {
		content := []byte("-----BEGIN CERTIFICATE-----\x00\xff")
		if _, err := sesv2.NewFromConfig(cloud.Config()).SendEmail(t.Context(), &sesv2.SendEmailInput{
			FromEmailAddress: aws.String("probe@example.com"),
			Destination:      &sestypes.Destination{ToAddresses: []string{"e@example.com"}},
			Content: &sestypes.EmailContent{Simple: &sestypes.Message{
				Subject:     &sestypes.Content{Data: aws.String("With a file")},
				Body:        &sestypes.Body{Html: &sestypes.Content{Data: aws.String("<p>see there</p>")}, Text: &sestypes.Content{Data: aws.String("see there")}},
				Attachments: []sestypes.Attachment{{FileName: aws.String("new.pem"), ContentType: aws.String("application/x-pem-file"), RawContent: content}},
			}},
		}); err != nil {
			t.Fatal(err)
		}
		mails, err := cloud.Mails(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(mails, func(m Mail) bool { return slices.Contains(m.To, "e@example.com") })
		want := []Attachment{{Name: "new.pem", ContentType: "application/x-pem-file", Content: content}}
		if i < 0 || !reflect.DeepEqual(mails[i].Attachments, want) {
			t.Errorf("no mail with %+v among %+v", want, mails)
		}
		if plain := mails[0]; plain.Attachments != nil {
			t.Errorf("a mail without attachments has %+v", plain.Attachments)
		}
	})

	t.Run("a role sends mail only in the name of its sender", func(t *testing.T) {
		_, err := cloud.Deploy(t.Context(), DeployOptions{
			StackName:   "probe",
			ProjectRoot: "testdata/project",
			Parameters:  map[string]string{"Sender": "other@example.com"},
		})
		if err != nil {
			t.Fatal(err)
		}
		execution := start(t, cloud, outputs, `{"to": "d@example.com", "minutes": 600}`)
		if got := outcome(t, cloud, execution); !strings.Contains(got, "not authorized to perform: ses:SendEmail") {
			t.Errorf("%s, want a refusal", got)
		}
	})

	t.Run("what roles were given and asked for is recorded", func(t *testing.T) {
		records := recordsOf(t, "probe")
		const mail = `"action": "ses:SendEmail", "allowed": %t, "by": "Ask", "cloud": "#", "context": {"ses:FromAddress": "%s"}, ` +
			`"resource": "arn:aws:ses:us-east-1:000000000000:identity/example.com", "role": "AskRole", "stack": "probe"}`
		for _, want := range []string{
			fmt.Sprintf("{"+mail, true, sender),
			fmt.Sprintf("{"+mail, false, "other@example.com"),
			`{"action": "lambda:InvokeFunction", "allowed": true, "by": "Probe", "cloud": "#", "context": {}, "resource": "` + outputs["AskArn"] + `", "role": "ProbeRole", "stack": "probe"}`,
			`{"cloud": "#", "managed": ["arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"], "policies": [{"Statement": [{"Action": "ses:SendEmail", ` +
				`"Condition": {"StringEquals": {"ses:FromAddress": "probe@example.com"}}, "Effect": "Allow", "Resource": "arn:aws:ses:us-east-1:000000000000:identity/*"}], ` +
				`"Version": "2012-10-17"}], "role": "AskRole", "stack": "probe"}`,
		} {
			if !slices.Contains(records, want) {
				t.Errorf("no record says\n%s\namong\n%s", want, strings.Join(records, "\n"))
			}
		}
	})

	t.Run("a condition may join a list", func(t *testing.T) {
		if got := outputs["HasList"]; got != "no" {
			t.Errorf("a stack without a list says that it has one: %q", got)
		}
		listed, err := cloud.Deploy(t.Context(), DeployOptions{
			StackName:   "listed",
			ProjectRoot: "testdata/project",
			Parameters:  map[string]string{"Sender": sender, "List": "a,b"},
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := listed["HasList"]; got != "yes" {
			t.Errorf("a stack with a list says that it has none: %q", got)
		}
	})
}

// recordsOf are the lines about a stack, without the names of the clouds.
func recordsOf(t *testing.T, stack string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(os.Getenv(recordsVariable), "aws-*.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	cloud := regexp.MustCompile(`"cloud": "[0-9a-f]{12}"`)
	var found []string
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if strings.Contains(line, `"stack": "`+stack+`"`) {
				found = append(found, cloud.ReplaceAllString(strings.TrimSpace(line), `"cloud": "#"`))
			}
		}
	}
	return found
}

func TestNothingOutlivesAKilledProgram(t *testing.T) {
	t.Parallel()
	program := exec.CommandContext(t.Context(), os.Args[0])
	program.Env = append(os.Environ(), childVariable+"=1")
	stdout, err := program.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := program.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	dir := strings.TrimSpace(line)
	if err != nil || !filepath.IsAbs(dir) {
		t.Fatalf("the program does not start: %v %s", err, line)
	}
	if before := remains(t, dir); len(before) < 4 {
		t.Fatalf("want the folder and the processes of watch, MiniStack and a function, found:\n%s", strings.Join(before, "\n"))
	}
	if err := program.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = program.Wait()
	eventually(t, "the processes are gone, and "+dir, func() bool { return len(remains(t, dir)) == 0 })
}

// remains are the processes that a Cloud has started, all of which have its
// folder in their command line, and the folder.
func remains(t *testing.T, dir string) []string {
	t.Helper()
	list, err := exec.CommandContext(context.WithoutCancel(t.Context()), "ps", "-axww", "-o", "pid=,command=").Output()
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for line := range strings.Lines(string(list)) {
		if strings.Contains(line, dir) {
			found = append(found, strings.TrimSpace(line))
		}
	}
	if _, err := os.Stat(dir); err == nil {
		found = append(found, dir)
	}
	return found
}

func start(t *testing.T, cloud *Cloud, outputs map[string]string, input string) string {
	t.Helper()
	started, err := sfn.NewFromConfig(cloud.Config()).StartExecution(t.Context(), &sfn.StartExecutionInput{
		StateMachineArn: aws.String(outputs["ProbeArn"]), Input: &input,
	})
	if err != nil {
		t.Fatal(err)
	}
	return *started.ExecutionArn
}

// outcome waits for the end of an execution: "SUCCEEDED {output}" or
// "FAILED error: cause".
func outcome(t *testing.T, cloud *Cloud, execution string) string {
	t.Helper()
	var result string
	eventually(t, execution+" ends", func() bool {
		e, err := sfn.NewFromConfig(cloud.Config()).DescribeExecution(t.Context(), &sfn.DescribeExecutionInput{ExecutionArn: &execution})
		if err != nil {
			t.Fatal(err)
		}
		result = string(e.Status) + " " + aws.ToString(e.Error) + ": " + aws.ToString(e.Cause)
		if e.Status == types.ExecutionStatusSucceeded {
			var output bytes.Buffer
			if err := json.Compact(&output, []byte(aws.ToString(e.Output))); err != nil {
				t.Fatal(err)
			}
			result = string(e.Status) + " " + output.String()
		}
		return e.Status != types.ExecutionStatusRunning
	})
	return result
}

// token waits for the mail number n, from 0, to an address, which holds a task token.
func token(t *testing.T, cloud *Cloud, address string, n int) string {
	t.Helper()
	var tokens []string
	eventually(t, fmt.Sprintf("mail %d to %s", n, address), func() bool {
		mails, err := cloud.Mails(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		tokens = nil
		for _, m := range mails {
			if slices.Contains(m.To, address) {
				tokens = append(tokens, m.Text)
			}
		}
		return len(tokens) > n
	})
	return tokens[n]
}

func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for tick := time.NewTicker(20 * time.Millisecond); !done(); {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%s: not within a minute", what)
		}
	}
}
