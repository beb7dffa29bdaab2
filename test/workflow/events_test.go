package workflow

import (
	"os"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	sfntypes "github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/tidwall/gjson"
	"github.com/tidwall/sjson"

	"keyturn/internal/playground"
)

// requests puts an event on the bus, as another system does.
func (s *scene) requests(source, detailType string, detail []byte) {
	s.t.Helper()
	text := string(detail)
	out, err := eventbridge.NewFromConfig(s.p.Cloud.Config()).PutEvents(s.ctx, &eventbridge.PutEventsInput{
		Entries: []types.PutEventsRequestEntry{{Source: &source, DetailType: &detailType, Detail: &text}}})
	if err != nil {
		s.t.Fatal(err)
	}
	if out.FailedEntryCount > 0 {
		s.t.Fatalf("the bus did not take the event: %+v", out.Entries)
	}
}

// executions are all of the stack's, the newest first.
func (s *scene) executions() []sfntypes.ExecutionListItem {
	s.t.Helper()
	machine := s.p.Outputs["RotationStateMachineArn"]
	var all []sfntypes.ExecutionListItem
	pages := sfn.NewListExecutionsPaginator(sfn.NewFromConfig(s.p.Cloud.Config()), &sfn.ListExecutionsInput{StateMachineArn: &machine})
	for pages.HasMorePages() {
		page, err := pages.NextPage(s.ctx)
		if err != nil {
			s.t.Fatal(err)
		}
		all = append(all, page.Executions...)
	}
	return all
}

func TestAnEventStartsARotation(t *testing.T) {
	parallel(t)
	sample, err := os.ReadFile("../../events/rotation-requested.json")
	if err != nil {
		t.Fatal(err)
	}
	s := app(t)
	detail, err := sjson.SetBytes([]byte(gjson.GetBytes(sample, "detail").Raw), "target.id", s.target.ID)
	if err != nil {
		t.Fatal(err)
	}
	if detail, err = sjson.SetBytes(detail, "policy.reminderHours", unreminded); err != nil {
		t.Fatal(err)
	}
	s.requests(gjson.GetBytes(sample, "source").String(), gjson.GetBytes(sample, "detail-type").String(), detail)

	mail := s.mail(playground.Approver, time.Time{}, "", func() {})
	link, err := playground.Link(mail.Text)
	if err != nil {
		t.Fatal(err)
	}
	s.decide(link, "confirm", "", "requested by an event")
	completed := s.events(4)[3]
	arn := gjson.GetBytes(completed.Detail, "execution").String()
	report := (&running{scene: s, rotation: s.p.Attach(arn)}).end()
	ended(t, "Completed", report)
	states(t, pathBeforeSwitch, report)
	s.switched(report.NewKid)
	input := (&running{scene: s, rotation: s.p.Attach(arn)}).describe().Input
	same(t, "the execution's input is the event's detail", decoded(t, string(detail)), decoded(t, *input))
}

func TestOtherEventsStartNothing(t *testing.T) {
	parallel(t)
	s := app(t)
	detail := []byte(`{"target":{"kind":"app","id":"` + s.target.ID + `"}}`)
	s.requests("keyturn", "Keyturn Rotation Request", detail)
	s.requests("somebody.else", "Keyturn Rotation Requested", detail)
	// By the time that a rotation which was requested afterwards has begun, an
	// earlier one would be seen.
	later := app(t)
	later.requests("keyturn", "Keyturn Rotation Requested", []byte(`{"target":{"kind":"app","id":"`+later.target.ID+`"}}`))
	later.events(1)
	if calls := s.asked(); len(calls) > 0 {
		t.Errorf("an event of another sort started a rotation: %v", calls)
	}
}

func TestTheTopicHearsHowARotationGoes(t *testing.T) {
	parallel(t)
	for _, c := range []struct {
		name   string
		policy policy
		answer string
		events []string
	}{
		{"completed", nil, "confirm", []string{"Keyturn Rotation Started", "Keyturn Approval Requested", "Keyturn Key Switched", "Keyturn Rotation Completed"}},
		{"completed in the guide's order", policy{"uploadOrder": "after-switch"}, "confirm", []string{"Keyturn Rotation Started", "Keyturn Key Switched", "Keyturn Approval Requested", "Keyturn Rotation Completed"}},
		{"gave up", nil, "reject", []string{"Keyturn Rotation Started", "Keyturn Approval Requested", "Keyturn Rotation Gave Up"}},
		{"rolled back", policy{"uploadOrder": "after-switch"}, "reject", []string{"Keyturn Rotation Started", "Keyturn Key Switched", "Keyturn Approval Requested", "Keyturn Rotation Rolled Back"}},
		{"failed", policy{"validityDays": 90}, "", []string{"Keyturn Rotation Failed"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := app(t)
			r := s.rotate(c.policy)
			if c.answer != "" {
				r.answer(c.answer, "a comment")
			}
			report := r.end()
			events := s.events(len(c.events))
			var heard []string
			for _, e := range events {
				heard = append(heard, e.DetailType)
				same(t, "source", "keyturn", e.Source)
				same(t, "execution of "+e.DetailType, r.rotation.ARN, gjson.GetBytes(e.Detail, "execution").String())
			}
			same(t, "events", c.events, heard)
			// The last one tells the same as Step Functions does.
			out := r.describe()
			facts := out.Output
			if !report.Succeeded {
				facts = out.Cause
			}
			same(t, "the last event's detail", decoded(t, *facts), decoded(t, string(events[len(events)-1].Detail)))
			if i := slices.Index(heard, "Keyturn Rotation Started"); i >= 0 {
				same(t, "the old key of the first event", s.oldKid, gjson.GetBytes(events[i].Detail, "oldKid").String())
			}
			if i := slices.Index(heard, "Keyturn Key Switched"); i >= 0 {
				same(t, "the new key of the event about the switch", report.NewKid, gjson.GetBytes(events[i].Detail, "newKid").String())
			}
		})
	}
}
