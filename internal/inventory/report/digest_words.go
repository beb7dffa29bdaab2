package report

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"keyturn/internal/inventory"
	"keyturn/internal/plaintext"
	"keyturn/internal/rotation"
)

// How much of a text from outside the digest shows, in characters.
const (
	digestLabel   = 100
	digestID      = 60
	digestName    = 60 // an error's, a result
	digestAddress = 120
	digestMessage = 300
	digestAsked   = 5 // addresses
)

// waitingOf are the rotations that wait for a person or for a planned time,
// among those that the summary holds.
func waitingOf(s inventory.Summary) []inventory.Running {
	var list []inventory.Running
	for _, r := range s.Running {
		if r.Stage != "" {
			list = append(list, r)
		}
	}
	return list
}

// failedOf are the rotations that ended lately with another result than
// Completed.
func failedOf(s inventory.Summary) []inventory.Ended {
	var list []inventory.Ended
	for _, e := range s.Ended {
		if e.Result != "Completed" {
			list = append(list, e)
		}
	}
	return list
}

// startedCount counts what was started: nothing in a dry run.
func startedCount(s inventory.Summary) int {
	if s.Run.DryRun {
		return 0
	}
	return s.Actions[inventory.ActionStart]
}

func firstOf[T any](list []T, most int) []T {
	if len(list) > most {
		return list[:most]
	}
	return list
}

// digestCount is a number with its noun: 1 rotation, 2 rotations.
func digestCount(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return strconv.Itoa(n) + " " + noun
}

// digestIs is a number with a verb: 1 is, 2 are.
func digestIs(n int) string {
	if n == 1 {
		return "1 is"
	}
	return strconv.Itoa(n) + " are"
}

func digestLabelOf(t rotation.Target) string {
	if label := plaintext.Line(t.Label, digestLabel); label != "" {
		return label
	}
	if id := plaintext.Line(t.ID, digestID); id != "" {
		return id
	}
	return "(no name)"
}

// digestTarget is the target's kind and ID.
func digestTarget(t rotation.Target) string {
	kind := "app"
	if t.Kind == rotation.KindIDP {
		kind = "identity provider"
	}
	return strings.TrimSpace(kind + " " + plaintext.Line(t.ID, digestID))
}

func digestDay(t time.Time) string    { return t.UTC().Format("2 January 2006") }
func digestMoment(t time.Time) string { return t.UTC().Format("2 January 2006, 15:04 UTC") }

func digestParens(s string) string {
	if s == "" {
		return ""
	}
	return " (" + s + ")"
}

// digestExpiry says when the certificate of an entry ends or ended.
func digestExpiry(e inventory.Entry) string {
	switch {
	case e.NotAfter == nil:
		return "expiry not known"
	case e.DaysLeft == nil:
		return "expires on " + digestDay(*e.NotAfter)
	}
	return digestEnd(*e.NotAfter, *e.DaysLeft)
}

func digestEnd(notAfter time.Time, daysLeft int) string {
	verb := "expires"
	if daysLeft < 0 {
		verb = "expired"
	}
	return verb + " on " + digestDay(notAfter) + digestParens(away(daysLeft))
}

// digestAddresses are the first of a list of people.
func digestAddresses(list []string) string {
	var shown []string
	for _, address := range firstOf(list, digestAsked) {
		if address = plaintext.Line(address, digestAddress); address != "" {
			shown = append(shown, address)
		}
	}
	if more := len(list) - digestAsked; more > 0 {
		shown = append(shown, strconv.Itoa(more)+" more")
	}
	return strings.Join(shown, ", ")
}

// digestError is an error's name with what it says.
func digestError(name, message string) string {
	name, message = plaintext.Line(name, digestName), plaintext.Line(message, digestMessage)
	if name == "" || message == "" {
		return name + message
	}
	return name + ": " + message
}

func digestHost(org string) string {
	if u, err := url.Parse(org); err == nil && u.Host != "" {
		return plaintext.Line(u.Host, digestLabel)
	}
	return "your Okta org"
}

// digestWaits says what a rotation waits for, since when, and for whom.
func digestWaits(r inventory.Running, now time.Time) []string {
	var what string
	switch r.Stage {
	case rotation.StageUpload:
		what = "Waits for the upload of the new certificate"
	case rotation.StageSignIn:
		what = "Waits for somebody to try a sign-in"
	case rotation.StagePlanned:
		if r.AnswerBy != nil {
			what = "Nobody has to answer: it switches on " + digestMoment(*r.AnswerBy) + ", as planned"
			break
		}
		what = "Nobody has to answer: it waits for its planned switch"
	default:
		what = "Waits for " + plaintext.Line(string(r.Stage), digestName)
	}
	lines := []string{what}
	told := "Asked: "
	if r.Since != nil {
		since := digestDay(*r.Since) + digestParens(lasted(now.Sub(*r.Since)))
		if r.Stage == rotation.StagePlanned {
			lines = append(lines, "Planned since "+since)
		} else {
			lines[0] += ", since " + since
		}
	}
	if r.Stage == rotation.StagePlanned {
		told = "Told: "
	}
	if asked := digestAddresses(r.Asked); asked != "" {
		lines = append(lines, told+asked)
	}
	if r.AnswerBy != nil && r.Stage != rotation.StagePlanned {
		ends := "Answer by "
		if r.AnswerBy.Before(now) {
			ends = "Answer was due by "
		}
		lines = append(lines, ends+digestMoment(*r.AnswerBy))
	}
	return lines
}

// digestExpired counts the certificates that have expired, among those that the
// summary holds.
func digestExpired(s inventory.Summary) int {
	n := 0
	for _, e := range s.Due {
		if e.DaysLeft != nil && *e.DaysLeft < 0 {
			n++
		}
	}
	if n == 0 && s.Nearest != nil && s.Nearest.DaysLeft != nil && *s.Nearest.DaysLeft < 0 {
		n = 1
	}
	return n
}

// headline is the run in one line, the worst first.
func headline(s inventory.Summary) string {
	var parts []string
	expired := digestExpired(s)
	switch {
	case expired == 1:
		parts = append(parts, "a certificate has expired")
	case expired > 1:
		parts = append(parts, strconv.Itoa(expired)+" certificates have expired")
	}
	if ends := authoritiesEnd(s); ends != "" {
		parts = append(parts, ends)
	}
	noun := " rotations"
	if n := s.Actions[inventory.ActionFailed]; n > 0 {
		parts = append(parts, digestCount(n, "rotation")+" could not be started")
		noun = ""
	}
	if n := s.FailedCount; n > 0 {
		if noun != "" {
			parts = append(parts, digestCount(n, "rotation")+" failed lately")
		} else {
			parts = append(parts, strconv.Itoa(n)+" failed lately")
		}
		noun = ""
	}
	if !s.Run.Complete {
		parts = append(parts, "the run is incomplete")
		noun = " rotations"
	}
	if s.DueCount == 0 || s.Actions[inventory.ActionFailed] < s.DueCount {
		parts = append(parts, digestWork(s, noun))
	}
	line := strings.Join(parts, ", ")
	switch {
	case expired > 0 || s.Run.Targets == 0:
	case s.Nearest == nil || s.Nearest.DaysLeft == nil:
		line += "; no expiry is known"
	default:
		line += "; nearest expiry " + away(*s.Nearest.DaysLeft)
	}
	return line
}

// digestWork says what is due and what was done about it.
func digestWork(s inventory.Summary, noun string) string {
	start, notify := s.Actions[inventory.ActionStart], s.Actions[inventory.ActionNotify]
	if start == 1 && noun != "" {
		noun = " rotation"
	}
	switch {
	case s.Run.Targets == 0:
		return "no targets found"
	case s.DueCount == 0:
		return "nothing due"
	case start > 0:
		did := strconv.Itoa(start) + noun + " started"
		if s.Run.DryRun {
			did = strconv.Itoa(start) + noun + " would be started"
		}
		if notify > 0 {
			did += fmt.Sprintf(", %d more due in mode notify", notify)
		}
		return did
	case notify > 0 && notify == s.DueCount:
		return digestIs(notify) + " due; mode notify: nothing was started"
	}
	work := digestIs(s.DueCount) + " due"
	if s.DueCount > len(s.Due) {
		return work + ", none started"
	}
	counts := map[inventory.Action]int{}
	for _, e := range s.Due {
		counts[e.Action]++
	}
	var list []string
	for _, c := range []struct {
		action inventory.Action
		word   string
	}{
		{inventory.ActionRunning, "running already"},
		{inventory.ActionNotify, "in mode notify"},
		{inventory.ActionPostponed, "postponed"},
		{inventory.ActionPaused, "paused"},
		{inventory.ActionUnsupported, "to be rotated by hand"},
	} {
		switch n := counts[c.action]; {
		case n == s.DueCount && s.DueCount > 1:
			list = append(list, "all "+c.word)
		case n == s.DueCount:
			list = append(list, c.word)
		case n > 0:
			list = append(list, strconv.Itoa(n)+" "+c.word)
		}
	}
	if len(list) == 0 {
		return work + ", none started"
	}
	return work + " (" + strings.Join(list, ", ") + ")"
}
