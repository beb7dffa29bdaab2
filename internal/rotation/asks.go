package rotation

import (
	"slices"
	"time"
)

// Ask is one message to the approvers, and how long it is waited for.
type Ask struct {
	// Until is when the wait for it ends, in seconds after the inspection of
	// the target: then the next one goes out, or the rotation gives up.
	Until int64 `json:"until"`
	// Escalate tells that it goes to EscalateTo as well.
	Escalate bool `json:"escalate"`
}

// escalations are how long before the old certificate's expiry those in
// EscalateTo hear of it.
var escalations = []time.Duration{30 * Day, 7 * Day, Day}

// near is how close two messages may be: an escalation that comes so shortly
// before or after a reminder takes its place.
const near = time.Hour

// Asks plans the messages from now on: the first one, reminders every
// ReminderHours, escalations 30, 7 and 1 days before the old certificate's
// expiry as far as they are still to come, until GiveUpDays. After the switch
// users cannot sign in until somebody answers, so there every reminder
// escalates.
func (s Settings) Asks(now, oldNotAfter time.Time) []Ask {
	type mark struct {
		at       time.Duration
		escalate bool
	}
	end := time.Duration(s.GiveUpDays) * Day
	var marks []mark
	for _, before := range escalations {
		if at := oldNotAfter.Sub(now).Truncate(time.Second) - before; at >= near && at <= end-near {
			marks = append(marks, mark{at, true})
		}
	}
	pause := time.Duration(s.ReminderHours) * time.Hour
	for at := pause; at <= end-near; at += pause {
		if !slices.ContainsFunc(marks, func(m mark) bool { return m.escalate && (m.at-at).Abs() < near }) {
			marks = append(marks, mark{at, s.UploadOrder == AfterSwitch})
		}
	}
	slices.SortFunc(marks, func(a, b mark) int { return int(a.at - b.at) })
	var asks []Ask
	escalate := false
	for _, m := range marks {
		asks = append(asks, Ask{Until: int64(m.at / time.Second), Escalate: escalate})
		escalate = m.escalate
	}
	return append(asks, Ask{Until: int64(end / time.Second), Escalate: escalate})
}
