package notify_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	ebtypes "github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/smithy-go"

	"keyturn/internal/notify"
	"keyturn/internal/rotation"
)

// bus takes events as EventBridge does: an entry can fail while the call does
// not.
type bus struct {
	outage  error
	refuses string
	details []string
}

func (b *bus) PutEvents(ctx context.Context, in *eventbridge.PutEventsInput, _ ...func(*eventbridge.Options)) (*eventbridge.PutEventsOutput, error) {
	if _, bounded := ctx.Deadline(); !bounded {
		return nil, errors.New("no end to the wait")
	}
	if b.outage != nil {
		return nil, b.outage
	}
	out := &eventbridge.PutEventsOutput{}
	for _, e := range in.Entries {
		if b.refuses != "" {
			out.FailedEntryCount++
			out.Entries = append(out.Entries, ebtypes.PutEventsResultEntry{ErrorCode: aws.String(b.refuses), ErrorMessage: e.Detail})
			continue
		}
		b.details = append(b.details, *e.Source+"/"+*e.DetailType+"/"+*e.Detail)
		out.Entries = append(out.Entries, ebtypes.PutEventsResultEntry{EventId: aws.String("id")})
	}
	return out, nil
}

var requested = notify.Requested{
	Stage: rotation.StageUpload, Target: rotation.Target{Kind: rotation.KindApp, ID: "0oa1", Label: "Salesforce"},
	OldKid: "old", NewKid: "new", Sent: []string{"crm@example.com"},
	AnswerBy: time.Date(2026, 3, 15, 12, 0, 0, 0, time.UTC), Execution: "app-0oa1-old-20260301",
}

func TestAnEventNamesAllAndHasNoNullLists(t *testing.T) {
	b := &bus{}
	if err := notify.Announce(t.Context(), b, requested); err != nil {
		t.Fatal(err)
	}
	const want = `keyturn/Keyturn Approval Requested/{"stage":"upload","target":{"kind":"app","id":"0oa1","label":"Salesforce"},"oldKid":"old","newKid":"new",` +
		`"round":0,"escalated":false,"sent":["crm@example.com"],"unreachable":[],"answerBy":"2026-03-15T12:00:00Z","decision":null,"execution":"app-0oa1-old-20260301"}`
	if len(b.details) != 1 || b.details[0] != want {
		t.Errorf("got %q, want %q", b.details, want)
	}
}

func TestAnEventThatIsNotTakenSaysWhyAndNothingElse(t *testing.T) {
	for title, test := range map[string]struct {
		bus        *bus
		name, says string
	}{
		"the call":  {&bus{outage: &smithy.GenericAPIError{Code: "AccessDeniedException", Message: "about crm@example.com"}}, "Notify.Refused", "AccessDeniedException"},
		"no answer": {&bus{outage: errors.New("dial crm@example.com")}, "Notify.Unavailable", "could not be reached"},
		"the entry": {&bus{refuses: "NotAuthorizedForSourceException"}, "Notify.Refused", "NotAuthorizedForSourceException"},
		"throttled": {&bus{refuses: "ThrottlingException"}, "Notify.Unavailable", "ThrottlingException"},
	} {
		for event, announce := range map[string]func() error{
			"Keyturn Approval Requested":  func() error { return notify.Announce(t.Context(), test.bus, requested) },
			"Keyturn Discovery Completed": func() error { return notify.AnnounceDiscovery(t.Context(), test.bus, "crm@example.com") },
		} {
			err := announce()
			if rotation.NameOf(err) != test.name || !strings.Contains(err.Error(), test.says) || !strings.Contains(err.Error(), event) || strings.Contains(err.Error(), "crm@") {
				t.Errorf("%s, %s: got %v, want %s with %s", event, title, err, test.name, test.says)
			}
		}
	}
}

func TestARunOfDiscoveryIsAnnounced(t *testing.T) {
	b := &bus{}
	if err := notify.AnnounceDiscovery(t.Context(), b, map[string]int{"due": 3}); err != nil {
		t.Fatal(err)
	}
	if want := `keyturn/Keyturn Discovery Completed/{"due":3}`; len(b.details) != 1 || b.details[0] != want {
		t.Errorf("got %q, want %q", b.details, want)
	}
}

func TestADetailThatIsNoJSONIsRefused(t *testing.T) {
	b := &bus{}
	err := notify.AnnounceDiscovery(t.Context(), b, func() {})
	if rotation.NameOf(err) != "Notify.Refused" || len(b.details) != 0 {
		t.Errorf("got %v, and %d events", err, len(b.details))
	}
}
