package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	sfntypes "github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"keyturn/internal/oktasim"
	"keyturn/internal/playground"
	"keyturn/internal/rotation"
)

// results are all that was measured.
type results struct {
	plan
	at      time.Time
	machine machine
	note    string
	// arrived is how long it took until all rotations waited.
	arrived time.Duration
	// before and waited are the processes before the first rotation, and when
	// all waited.
	before, waited census
	// idle are a few visits while nothing else happens, loaded those of the
	// approvals.
	idle, loaded visits
	// function is how long the page's function took by the local Lambda's
	// account, both for opening and answering; functionCPU is what its
	// processes computed for one request.
	function    []time.Duration
	functionCPU time.Duration
	// settled is the time from the last answer until all rotations that were
	// approved had ended.
	settled time.Duration
	// ends counts the rotations by their result.
	ends map[string]int
	// answered is when the last of the measured approvals was given.
	answered time.Time
	// honoured are the approvals that were measured and that the report of
	// their rotation has.
	honoured int
}

// visits are what people got from the page.
type visits struct {
	opened, answered []time.Duration
	// errors counts what was not answered with 200, by what it was.
	errors map[string]int
}

func (v visits) requests() int { return len(v.opened) + len(v.answered) }

func (v visits) failed() int {
	n := 0
	for _, times := range v.errors {
		n += times
	}
	return n
}

// wrong says what must not be.
func (r results) wrong() []string {
	var wrong []string
	for _, v := range []visits{r.idle, r.loaded} {
		for _, what := range slices.Sorted(maps.Keys(v.errors)) {
			wrong = append(wrong, fmt.Sprintf("the page failed %d times: %s", v.errors[what], what))
		}
	}
	if r.honoured != r.approvals {
		wrong = append(wrong, fmt.Sprintf("%d of %d approvals are in the reports of their rotations", r.honoured, r.approvals))
	}
	if r.ends["Completed"] != r.waiting {
		wrong = append(wrong, fmt.Sprintf("%d rotations were to complete; they ended as %v", r.waiting, r.ends))
	}
	return wrong
}

// field is the form's hidden one.
var field = regexp.MustCompile(`<input[^>]*\bname="form"[^>]*\bvalue="([^"]*)"`)

// stack is the local stack, and the rotations of its targets.
type stack struct {
	*playground.Playground
	plan
	say     func(string)
	results *results
	client  *sfn.Client
	// links are the approvers', by the target's label.
	links map[string]string
}

const (
	// calm is how many visits are measured while nothing else happens.
	calm = 10
	// poll is how often something is looked at.
	poll = 200 * time.Millisecond
)

func run(ctx context.Context, p plan, say func(string)) (_ results, err error) {
	r := results{plan: p, at: time.Now(), machine: thisMachine(), ends: map[string]int{}}
	say("the keys that the org will need")
	if err := makeKeys(p.waiting); err != nil {
		return r, err
	}
	local, err := playground.Start(ctx, playground.Options{
		Org:      oktasim.Options{Limits: oktasim.Limits{Apps: oktasim.Unlimited, App: oktasim.Unlimited, API: oktasim.Unlimited}},
		Progress: say,
	})
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, local.Stop()) }()
	s := &stack{Playground: local, plan: p, say: say, results: &r, client: sfn.NewFromConfig(local.Cloud.Config())}
	for _, step := range []func(context.Context) error{s.start, s.visitCalmly, s.approve, s.finish, s.count} {
		if err := step(ctx); err != nil {
			return r, err
		}
	}
	return r, nil
}

// makeKeys has the simulated org make its RSA keys beforehand: Okta makes them
// elsewhere. An org takes the same ones in the same order.
func makeKeys(n int) error {
	org := oktasim.New(oktasim.Options{Limits: oktasim.Limits{Apps: oktasim.Unlimited, App: oktasim.Unlimited, API: oktasim.Unlimited}})
	id := org.AddApp(oktasim.AppSpec{Label: "Keys"})
	for range n {
		r := httptest.NewRequest(http.MethodPost, "/api/v1/apps/"+id+"/credentials/csrs", strings.NewReader(`{"subject":{"commonName":"Keys"}}`))
		r.Header.Set("Authorization", "SSWS "+org.APIToken())
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		org.ServeHTTP(w, r)
		if w.Code != http.StatusCreated {
			return fmt.Errorf("the org makes no CSR: %d %s", w.Code, w.Body)
		}
	}
	return nil
}

// label is a target's; no other's begins like it.
func label(i int) string { return fmt.Sprintf("App %04d.", i) }

// start has all rotations wait.
func (s *stack) start(ctx context.Context) error {
	r := s.results
	r.before = count()
	created := time.Now().AddDate(-2, 0, 0)
	s.Org.ResetCalls()
	begun := time.Now()
	for i := range s.waiting {
		id := s.Org.AddApp(oktasim.AppSpec{Label: label(i), Created: created,
			Key: oktasim.NewKey(oktasim.KeySpec{Created: created, NotAfter: time.Now().AddDate(0, 0, 30)})})
		// What has its certificate published is about to ask.
		if err := s.until(ctx, "rotations get on", func() (bool, error) {
			return i-s.Org.Counts().Operations["publishCsrFromApplication"] < s.underway, nil
		}); err != nil {
			return err
		}
		target := rotation.Target{Kind: rotation.KindApp, ID: id}
		if _, err := s.Rotate(ctx, fmt.Sprintf("load-%04d", i), target, map[string]any{"giveUpDays": 30, "reminderHours": 24 * 30}); err != nil &&
			!errors.As(err, new(*sfntypes.ExecutionAlreadyExists)) { // the SDK sends again what got no answer
			return err
		}
		if (i+1)%100 == 0 {
			s.say(fmt.Sprintf("%d rotations are started after %s", i+1, time.Since(begun).Round(time.Second)))
		}
	}
	if err := s.until(ctx, "all rotations ask", func() (bool, error) {
		if s.Org.Counts().Operations["publishCsrFromApplication"] < s.waiting {
			return false, s.alive(ctx)
		}
		return s.asked(ctx)
	}); err != nil {
		return err
	}
	r.arrived, r.waited = time.Since(begun), count()
	s.say(fmt.Sprintf("%d rotations wait after %s", s.waiting, r.arrived.Round(time.Second)))
	running, err := s.executions(ctx, sfntypes.ExecutionStatusRunning)
	if err == nil && len(running) != s.waiting {
		err = fmt.Errorf("%d rotations wait, not %d", len(running), s.waiting)
	}
	return err
}

// alive fails when a rotation has ended that nobody has answered.
func (s *stack) alive(ctx context.Context) error {
	for _, status := range []sfntypes.ExecutionStatus{sfntypes.ExecutionStatusFailed, sfntypes.ExecutionStatusSucceeded} {
		ended, err := s.executions(ctx, status)
		if err != nil {
			return err
		}
		if len(ended) > 0 {
			return fmt.Errorf("%d rotations ended %s before anybody answered; one is %s", len(ended), status, *ended[0].ExecutionArn)
		}
	}
	return nil
}

// asked reads the mails until there is one for each target.
func (s *stack) asked(ctx context.Context) (bool, error) {
	mails, err := s.Cloud.Mails(ctx)
	if err != nil || len(mails) < s.waiting {
		return false, err
	}
	s.links = map[string]string{}
	for _, m := range mails {
		link, err := playground.Link(m.Text)
		if err != nil {
			return false, err
		}
		for i := range s.waiting {
			if strings.Contains(m.Subject, label(i)) {
				s.links[label(i)] = link
			}
		}
	}
	return len(s.links) == s.waiting, nil
}

// visitCalmly opens pages one after another, which answer nothing.
func (s *stack) visitCalmly(ctx context.Context) error {
	v := visits{errors: map[string]int{}}
	for i := range min(calm, s.waiting) + 1 {
		begun := time.Now()
		page, err := s.Open(ctx, s.links[label(min(i, s.waiting-1))])
		took := time.Since(begun)
		if err != nil || page.Status != http.StatusOK {
			v.errors[failure(page, err)]++
		}
		if i > 0 { // the first one starts the process
			v.opened = append(v.opened, took)
		}
	}
	s.results.idle = v
	return ctx.Err()
}

func failure(page playground.Page, err error) string {
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%d %s", page.Status, page.Title())
}

func comment(i int) string { return fmt.Sprintf("approval %04d", i) }

// approve has people open and answer their links, one after another at an even
// pace, whether or not those before have been served.
func (s *stack) approve(ctx context.Context) error {
	s.say(fmt.Sprintf("%d approvals in %s", s.approvals, s.within))
	r := s.results
	r.loaded.errors = map[string]int{}
	begun, busy := time.Now(), count().cpu["confirm-upload"]
	pace := time.NewTicker(s.within / time.Duration(s.approvals))
	defer pace.Stop()
	var people sync.WaitGroup
	var lock sync.Mutex
	for i := range s.approvals {
		people.Go(func() { s.visit(ctx, i, &r.loaded, &lock) })
		select {
		case <-ctx.Done():
			people.Wait()
			return ctx.Err()
		case <-pace.C:
		}
	}
	people.Wait()
	r.answered = time.Now()
	if busy := count().cpu["confirm-upload"] - busy; busy > 0 {
		r.functionCPU = busy / time.Duration(r.loaded.requests())
	}
	if err := s.settle(ctx); err != nil {
		return err
	}
	var err error
	r.function, err = s.durations(ctx, begun, r.answered)
	return err
}

// visit is one person's.
func (s *stack) visit(ctx context.Context, i int, v *visits, lock *sync.Mutex) {
	note := func(into *[]time.Duration, took time.Duration, page playground.Page, err error) bool {
		lock.Lock()
		defer lock.Unlock()
		*into = append(*into, took)
		if err != nil || page.Status != http.StatusOK {
			v.errors[failure(page, err)]++
			return false
		}
		return true
	}
	link := s.links[label(i)]
	begun := time.Now()
	page, err := s.Open(ctx, link)
	if !note(&v.opened, time.Since(begun), page, err) {
		return
	}
	form := field.FindStringSubmatch(page.HTML)
	if form == nil {
		note(&v.answered, 0, playground.Page{}, errors.New("the page has no form"))
		return
	}
	begun = time.Now()
	page, err = s.Post(ctx, link, url.Values{"form": {html.UnescapeString(form[1])}, "decision": {"confirm"}, "comment": {comment(i)}})
	note(&v.answered, time.Since(begun), page, err)
}

// settle waits until the rotations that were approved have ended.
func (s *stack) settle(ctx context.Context) error {
	err := s.until(ctx, "the approved rotations end", func() (bool, error) {
		running, err := s.executions(ctx, sfntypes.ExecutionStatusRunning)
		return len(running) <= s.waiting-s.approvals+s.results.loaded.failed(), err
	})
	s.results.settled = time.Since(s.results.answered)
	return err
}

// finish approves the rest, a few at once.
func (s *stack) finish(ctx context.Context) error {
	s.say("the approvals of the rest")
	rest := visits{errors: map[string]int{}}
	var lock sync.Mutex
	var people sync.WaitGroup
	free := make(chan struct{}, 4)
	for i := s.approvals; i < s.waiting; i++ {
		free <- struct{}{}
		people.Go(func() { defer func() { <-free }(); s.visit(ctx, i, &rest, &lock) })
	}
	people.Wait()
	if rest.failed() > 0 {
		return fmt.Errorf("the approvals of the rest failed: %v", rest.errors)
	}
	return s.until(ctx, "all rotations end", func() (bool, error) {
		running, err := s.executions(ctx, sfntypes.ExecutionStatusRunning)
		return len(running) <= s.results.loaded.failed(), err
	})
}

// count looks at how each rotation ended, and at whose answer it has.
func (s *stack) count(ctx context.Context) error {
	all, err := s.executions(ctx, "")
	if err != nil {
		return err
	}
	for _, e := range all {
		out, err := s.client.DescribeExecution(ctx, &sfn.DescribeExecutionInput{ExecutionArn: e.ExecutionArn})
		if err != nil {
			return err
		}
		var report struct {
			Result   string
			Decision struct{ Comment string }
		}
		if text := aws.ToString(out.Output) + aws.ToString(out.Cause); text != "" {
			if err := json.Unmarshal([]byte(text), &report); err != nil {
				return fmt.Errorf("the end of %s: %w", *e.Name, err)
			}
		}
		if report.Result == "" {
			report.Result = string(out.Status)
		}
		s.results.ends[report.Result]++
		for i := range s.approvals {
			if *e.Name == fmt.Sprintf("load-%04d", i) && report.Decision.Comment == comment(i) {
				s.results.honoured++
			}
		}
	}
	return nil
}

// executions are the rotations in a status; those in all where it is empty.
func (s *stack) executions(ctx context.Context, status sfntypes.ExecutionStatus) ([]sfntypes.ExecutionListItem, error) {
	var all []sfntypes.ExecutionListItem
	pages := sfn.NewListExecutionsPaginator(s.client, &sfn.ListExecutionsInput{
		StateMachineArn: aws.String(s.Outputs["RotationStateMachineArn"]), StatusFilter: status, MaxResults: 1000})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		all = append(all, page.Executions...)
	}
	return all, nil
}

// reported is a line of Lambda's about an invocation.
var reported = regexp.MustCompile(`REPORT RequestId: \S+\s+Duration: ([0-9.]+) ms`)

// durations are what the local Lambda says that the page's function took.
func (s *stack) durations(ctx context.Context, from, to time.Time) ([]time.Duration, error) {
	var all []time.Duration
	pages := cloudwatchlogs.NewFilterLogEventsPaginator(cloudwatchlogs.NewFromConfig(s.Cloud.Config()), &cloudwatchlogs.FilterLogEventsInput{
		LogGroupName: aws.String("/aws/lambda/keyturn-confirm-upload"), StartTime: aws.Int64(from.UnixMilli()), EndTime: aws.Int64(to.UnixMilli() + 1)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, e := range page.Events {
			if m := reported.FindStringSubmatch(aws.ToString(e.Message)); m != nil {
				took, err := time.ParseDuration(m[1] + "ms")
				if err != nil {
					return nil, err
				}
				all = append(all, took)
			}
		}
	}
	return all, nil
}

func (s *stack) until(ctx context.Context, what string, so func() (bool, error)) error {
	ticker := time.NewTicker(poll)
	defer ticker.Stop()
	for {
		if ok, err := so(); err != nil || ok {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting until %s: %w", what, context.Cause(ctx))
		case <-ticker.C:
		}
	}
}
