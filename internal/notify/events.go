package notify

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"

	"keyturn/internal/rotation"
)

// Events is the part of EventBridge's client that is used.
type Events interface {
	PutEvents(ctx context.Context, in *eventbridge.PutEventsInput, opts ...func(*eventbridge.Options)) (*eventbridge.PutEventsOutput, error)
}

// Requested is the detail of the event "Keyturn Approval Requested". It holds
// no link and no token.
type Requested struct {
	Stage  rotation.Stage  `json:"stage"`
	Target rotation.Target `json:"target"`
	OldKid string          `json:"oldKid"`
	// NewKid is empty in the stage certificate.
	NewKid string `json:"newKid"`
	// Round counts the messages of a stage from 0.
	Round int `json:"round"`
	// Escalated tells that the message went to escalateTo as well.
	Escalated bool `json:"escalated"`
	// Sent and Unreachable hold addresses, "chat" and "sns"; never null.
	Sent        []string `json:"sent"`
	Unreachable []string `json:"unreachable"`
	// AnswerBy is when the wait of the stage ends.
	AnswerBy time.Time `json:"answerBy"`
	// Decision is what led here, or null.
	Decision *rotation.Decision `json:"decision"`
	// Execution is the ARN of the rotation's execution.
	Execution string `json:"execution"`
}

// eventTimeout is how long EventBridge may take, its client's retries
// included. The messages are out: a function that ran out of time would send
// them again.
const eventTimeout = 5 * time.Second

// Announce puts the event "Keyturn Approval Requested" on the account's default
// bus. Errors are named as Mail's are.
func Announce(ctx context.Context, events Events, r Requested) error {
	r.Sent, r.Unreachable = append([]string{}, r.Sent...), append([]string{}, r.Unreachable...)
	return put(ctx, events, "Keyturn Approval Requested", r)
}

// AnnounceDiscovery puts the event "Keyturn Discovery Completed" on the
// account's default bus. Its detail is the report's EventDetail, whose size is
// bounded: EventBridge takes 256 KB an entry. Errors are named as Mail's are.
func AnnounceDiscovery(ctx context.Context, events Events, detail any) error {
	return put(ctx, events, "Keyturn Discovery Completed", detail)
}

func put(ctx context.Context, events Events, detailType string, detail any) error {
	what := "EventBridge did not take the event " + detailType
	const remedy = "check that the function's role may put events on the default bus"
	raw, err := json.Marshal(detail)
	if err != nil {
		return rotation.Errorf("Notify.Refused", "%s: it could not be written", what)
	}
	ctx, cancel := context.WithTimeout(ctx, eventTimeout)
	defer cancel()
	out, err := events.PutEvents(ctx, &eventbridge.PutEventsInput{Entries: []types.PutEventsRequestEntry{{
		Source:     aws.String("keyturn"),
		DetailType: aws.String(detailType),
		Detail:     aws.String(string(raw)),
	}}})
	if err == nil && out.FailedEntryCount > 0 {
		err = errors.New("an entry failed")
		for _, e := range out.Entries {
			if e.ErrorCode != nil {
				err = entryError(*e.ErrorCode)
			}
		}
	}
	return explain(err, what, remedy)
}

// entryError is the code of an event that was refused while the call was not.
type entryError string

func (e entryError) Error() string     { return string(e) }
func (e entryError) ErrorCode() string { return string(e) }
