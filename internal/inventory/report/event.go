package report

import (
	"encoding/json"
	"time"

	"keyturn/internal/inventory"
	"keyturn/internal/plaintext"
	"keyturn/internal/rotation"
)

// EventDetail is the detail of the event "Keyturn Discovery Completed". Its
// lists are bounded and never null; the counts are not bounded. Whatever the
// labels, it is less than eventMost bytes of JSON.
type EventDetail struct {
	Run    EventRun      `json:"run"`
	Org    string        `json:"org"`
	Mode   rotation.Mode `json:"mode"`
	Counts EventCounts   `json:"counts"`
	// NearestExpiry is null where no certificate is known.
	NearestExpiry *EventNearest `json:"nearestExpiry"`
	// Due and Started are the earliest expiries first, Waiting the oldest
	// rotation first, Failed the latest end first.
	Due      []EventDue     `json:"due"`
	Started  []EventDue     `json:"started"`
	Waiting  []EventWaiting `json:"waiting"`
	Failed   []EventFailed  `json:"failed"`
	Problems []EventProblem `json:"problems"`
	// Authorities are the CAs, at most eventAuthorities.
	Authorities []EventAuthority `json:"certificateAuthorities"`
}

// EventRun names the run.
type EventRun struct {
	ID         string    `json:"id"`
	Execution  string    `json:"execution"`
	StartedAt  time.Time `json:"startedAt"`
	FinishedAt time.Time `json:"finishedAt"`
	DryRun     bool      `json:"dryRun"`
	Complete   bool      `json:"complete"`
}

// EventCounts count targets, rotations, and requests to Okta.
type EventCounts struct {
	Targets int `json:"targets"`
	Apps    int `json:"apps"`
	IDPs    int `json:"idps"`
	Due     int `json:"due"`
	// Started is 0 in a dry run. FailedToStart could not be started.
	Started       int `json:"started"`
	FailedToStart int `json:"failedToStart"`
	// Running are the rotations that have not ended, Waiting those of them
	// that wait for a person or a planned time.
	Running int `json:"running"`
	Waiting int `json:"waiting"`
	// FailedLately ended in the last 14 days without success.
	FailedLately int `json:"failedLately"`
	Postponed    int `json:"postponed"`
	Paused       int `json:"paused"`
	// Notify are due, and their mode is notify: a person has to rotate them.
	Notify      int `json:"notify"`
	Problems    int `json:"problems"`
	OktaCalls   int `json:"oktaCalls"`
	RateLimited int `json:"rateLimited"`
	Waits       int `json:"waits"`
}

// EventTarget names a target.
type EventTarget struct {
	Kind  rotation.Kind `json:"kind"`
	ID    string        `json:"id"`
	Label string        `json:"label"`
}

// EventNearest is the certificate that ends first.
type EventNearest struct {
	Target   EventTarget `json:"target"`
	DaysLeft int         `json:"daysLeft"`
	NotAfter time.Time   `json:"notAfter"`
}

// EventDue is a target that is due. Execution is the ARN of its rotation, or
// empty.
type EventDue struct {
	EventTarget
	DaysLeft  int              `json:"daysLeft"`
	Action    inventory.Action `json:"action"`
	Execution string           `json:"execution"`
}

// EventWaiting is a rotation that waits. Since is null where it could not be
// read.
type EventWaiting struct {
	Target    EventTarget    `json:"target"`
	Stage     rotation.Stage `json:"stage"`
	Since     *time.Time     `json:"since"`
	Asked     []string       `json:"asked"`
	Execution string         `json:"execution"`
}

// EventFailed is a rotation that ended without success.
type EventFailed struct {
	Target    EventTarget `json:"target"`
	Result    string      `json:"result"`
	Error     string      `json:"error"`
	EndedAt   time.Time   `json:"endedAt"`
	Execution string      `json:"execution"`
}

// EventProblem is something that could not be looked at. Target is null where
// it concerns the run as a whole.
type EventProblem struct {
	Name    string       `json:"name"`
	Message string       `json:"message"`
	Target  *EventTarget `json:"target"`
}

// EventAuthority is a CA. Subject is its issuing certificate's; NotAfter and
// DaysLeft are those of the one that ends first. All three are null or empty
// where they are not known.
type EventAuthority struct {
	Provider rotation.CertificateAuthority `json:"provider"`
	Subject  string                        `json:"subject"`
	NotAfter *time.Time                    `json:"notAfter"`
	DaysLeft *int                          `json:"daysLeft"`
	// Attention says, for people, what is wrong; empty where nothing is.
	Attention string `json:"attention"`
}

// Bounds of the event's detail. EventBridge takes 256 KB an entry, which is
// more than the detail.
const (
	eventMost     = 200_000 // bytes of JSON
	eventList     = 100     // of each list
	eventProblems = 20
	eventAsked    = 10

	eventAuthorities = 10
)

// Detail is an EventDetail of a run.
func Detail(s inventory.Summary) any {
	// With labels as they are met, the lists are full. They are shorter where
	// the detail would grow beyond its bound.
	for list := eventList; ; list = list * 3 / 4 {
		d := detailOf(s, list)
		if raw, err := json.Marshal(d); err != nil || len(raw) < eventMost || list == 0 {
			return d
		}
	}
}

func detailOf(s inventory.Summary, list int) EventDetail {
	waits := waitingOf(s)
	d := EventDetail{
		Run: EventRun{
			ID: eventText(s.Run.ID, 100), Execution: eventText(s.Run.Execution, 300),
			StartedAt: eventTime(s.Run.StartedAt), FinishedAt: eventTime(s.Run.FinishedAt), DryRun: s.Run.DryRun, Complete: s.Run.Complete,
		},
		Org: eventText(s.Org, 300), Mode: rotation.Mode(eventText(string(s.Mode), 20)),
		Counts: EventCounts{
			Targets: s.Run.Targets, Apps: s.Run.Apps, IDPs: s.Run.IDPs, Due: s.DueCount,
			Started: startedCount(s), FailedToStart: s.Actions[inventory.ActionFailed],
			Running: s.RunningCount, Waiting: len(waits), FailedLately: s.FailedCount,
			Postponed: s.Actions[inventory.ActionPostponed], Paused: s.Actions[inventory.ActionPaused], Notify: s.Actions[inventory.ActionNotify],
			Problems: s.Run.ProblemCount, OktaCalls: s.Run.OktaCalls, RateLimited: s.Run.RateLimited, Waits: s.Run.Waits,
		},
		Due: []EventDue{}, Started: []EventDue{}, Waiting: []EventWaiting{}, Failed: []EventFailed{}, Problems: []EventProblem{}, Authorities: []EventAuthority{},
	}
	if n := s.Nearest; n != nil && n.DaysLeft != nil && n.NotAfter != nil {
		d.NearestExpiry = &EventNearest{Target: eventTarget(n.Target), DaysLeft: *n.DaysLeft, NotAfter: eventTime(*n.NotAfter)}
	}
	for _, e := range s.Due {
		due := EventDue{EventTarget: eventTarget(e.Target), Action: inventory.Action(eventText(string(e.Action), 20))}
		if e.DaysLeft != nil {
			due.DaysLeft = *e.DaysLeft
		}
		if e.Rotation != nil {
			due.Execution = eventText(e.Rotation.Execution, 300)
		}
		if len(d.Due) < list {
			d.Due = append(d.Due, due)
		}
		if e.Action == inventory.ActionStart && !s.Run.DryRun && len(d.Started) < list {
			d.Started = append(d.Started, due)
		}
	}
	for _, r := range firstOf(waits, list) {
		w := EventWaiting{Target: eventTarget(r.Target), Stage: rotation.Stage(eventText(string(r.Stage), 20)), Asked: []string{}, Execution: eventText(r.Execution, 300)}
		if r.Since != nil {
			since := eventTime(*r.Since)
			w.Since = &since
		}
		for _, address := range firstOf(r.Asked, eventAsked) {
			w.Asked = append(w.Asked, eventText(address, 150))
		}
		d.Waiting = append(d.Waiting, w)
	}
	for _, e := range firstOf(failedOf(s), list) {
		d.Failed = append(d.Failed, EventFailed{
			Target: eventTarget(e.Target), Result: eventText(e.Result, 40), Error: eventText(e.Error, 100),
			EndedAt: eventTime(e.EndedAt), Execution: eventText(e.Execution, 300),
		})
	}
	for _, p := range firstOf(s.Run.Problems, eventProblems) {
		problem := EventProblem{Name: eventText(p.Name, 100), Message: eventText(p.Message, 500)}
		if p.Target != nil {
			t := eventTarget(*p.Target)
			problem.Target = &t
		}
		d.Problems = append(d.Problems, problem)
	}
	for _, a := range firstOf(standingsOf(s), eventAuthorities) {
		authority := EventAuthority{Provider: rotation.CertificateAuthority(eventText(string(a.Provider), 20)), Attention: eventText(a.attention(date), 500)}
		if a.end != nil {
			end := eventTime(a.end.NotAfter)
			authority.Subject, authority.NotAfter, authority.DaysLeft = eventText(a.Certificates[0].Subject, 300), &end, &a.end.DaysLeft
		}
		d.Authorities = append(d.Authorities, authority)
	}
	return d
}

func eventTarget(t rotation.Target) EventTarget {
	return EventTarget{Kind: rotation.Kind(eventText(string(t.Kind), 20)), ID: eventText(t.ID, 100), Label: eventText(t.Label, 200)}
}

// eventTime is a time that JSON can hold: with a year of four digits, in UTC.
func eventTime(t time.Time) time.Time {
	t = t.UTC()
	if t.Year() < 0 || t.Year() > 9999 {
		return time.Time{}
	}
	return t.Truncate(time.Second)
}

// eventText is a line of text of at most so many bytes as JSON writes it.
func eventText(s string, most int) string {
	const ellipsis = "…"
	s = plaintext.Line(s, most)
	size, fits := 0, 0
	for i, r := range s {
		switch r {
		case '<', '>', '&':
			size += len(`\u003c`)
		case '"', '\\':
			size += len(`\"`)
		default:
			size += len(string(r))
		}
		if size > most {
			return s[:fits] + ellipsis
		}
		if size <= most-len(ellipsis) {
			fits = i + len(string(r))
		}
	}
	return s
}
