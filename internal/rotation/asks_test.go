package rotation_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"keyturn/internal/rotation"
)

var asked = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// hours writes asks as what they are: hours after the start, with ! before
// those whose message escalates.
func hours(asks []rotation.Ask) []string {
	var all []string
	for _, a := range asks {
		text := (time.Duration(a.Until) * time.Second).String()
		if a.Escalate {
			text = "!" + text
		}
		all = append(all, text)
	}
	return all
}

func TestAsksAreTheFirstRequestRemindersAndEscalations(t *testing.T) {
	const day = 24 * time.Hour
	for title, c := range map[string]struct {
		change  func(*rotation.Settings)
		expires time.Duration
		want    []string
	}{
		"reminders until it gives up": {func(s *rotation.Settings) { s.GiveUpDays = 10 }, 400 * day, []string{"72h0m0s", "144h0m0s", "216h0m0s", "240h0m0s"}},
		"no reminder at the end":      {func(s *rotation.Settings) { s.GiveUpDays = 6 }, 400 * day, []string{"72h0m0s", "144h0m0s"}},
		"one message":                 {func(s *rotation.Settings) { s.GiveUpDays = 1 }, 400 * day, []string{"24h0m0s"}},
		"escalations 30, 7 and 1 days before the expiry": {
			func(s *rotation.Settings) { s.GiveUpDays, s.ReminderHours = 45, 24*40 }, 45 * day,
			[]string{"360h0m0s", "!912h0m0s", "!960h0m0s", "1056h0m0s", "!1080h0m0s"},
		},
		"those that are past are not made up for": {
			func(s *rotation.Settings) { s.GiveUpDays, s.ReminderHours = 10, 24*20 }, 8 * day,
			[]string{"24h0m0s", "!168h0m0s", "!240h0m0s"},
		},
		"an escalation takes the place of a reminder beside it": {
			func(s *rotation.Settings) { s.GiveUpDays, s.ReminderHours = 10, 24 }, 8*day + 30*time.Minute,
			[]string{"24h30m0s", "!48h0m0s", "72h0m0s", "96h0m0s", "120h0m0s", "144h0m0s", "168h30m0s", "!192h0m0s", "216h0m0s", "240h0m0s"},
		},
		"after the switch every reminder escalates": {
			func(s *rotation.Settings) { s.GiveUpDays, s.UploadOrder = 9, rotation.AfterSwitch }, 400 * day,
			[]string{"72h0m0s", "!144h0m0s", "!216h0m0s"},
		},
		"an expired certificate": {func(s *rotation.Settings) { s.GiveUpDays = 3 }, -day, []string{"72h0m0s"}},
	} {
		t.Run(title, func(t *testing.T) {
			s := rotation.DefaultSettings(nil)
			c.change(&s)
			if diff := cmp.Diff(c.want, hours(s.Asks(asked, asked.Add(c.expires)))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAsksGoOnUntilTheRotationGivesUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rotation.DefaultSettings(nil)
		s.GiveUpDays = rapid.IntRange(1, 360).Draw(t, "giveUpDays")
		s.ReminderHours = rapid.IntRange(1, 24*365).Draw(t, "reminderHours")
		s.UploadOrder = rapid.SampledFrom([]rotation.UploadOrder{rotation.BeforeSwitch, rotation.AfterSwitch}).Draw(t, "order")
		if s.Validate("policy") != nil {
			return // more reminders than a policy may ask for
		}
		asks := s.Asks(asked, asked.Add(time.Duration(rapid.IntRange(-100, 1000*24*3600).Draw(t, "expires in seconds"))*time.Second))
		if len(asks) == 0 || len(asks) > 104 || asks[0].Escalate {
			t.Fatalf("%d asks, the first escalates: %v", len(asks), hours(asks))
		}
		last := int64(0)
		for _, a := range asks {
			if a.Until-last < 3600 {
				t.Fatalf("two messages are less than an hour apart: %v", hours(asks))
			}
			last = a.Until
		}
		if want := int64(s.GiveUpDays) * 24 * 3600; last != want {
			t.Fatalf("the last wait ends after %d seconds, want %d", last, want)
		}
	})
}
