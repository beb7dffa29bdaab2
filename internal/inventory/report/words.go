// Package report is what people see of a run of discovery: the page
// report/latest.html, the digest by mail, the event and the metrics.
package report

import (
	"strconv"
	"time"

	"keyturn/internal/inventory"
	"keyturn/internal/plaintext"
	"keyturn/internal/rotation"
)

// The words of page and digest, each thing in one way.

var actions = map[inventory.Action]string{
	inventory.ActionNone:        "Not due",
	inventory.ActionStart:       "Started",
	inventory.ActionRunning:     "Running",
	inventory.ActionPostponed:   "Postponed",
	inventory.ActionPaused:      "Paused",
	inventory.ActionNotify:      "Reported only",
	inventory.ActionOff:         "Left out",
	inventory.ActionInactive:    "Inactive",
	inventory.ActionUnsupported: "By hand",
	inventory.ActionUnknown:     "Unknown",
	inventory.ActionFailed:      "Not started",
}

// actionWord is what is done with a target; in a dry run, what would be.
func actionWord(a inventory.Action, dryRun bool) string {
	if dryRun && a == inventory.ActionStart {
		return "Would be started"
	}
	if word := actions[a]; word != "" {
		return word
	}
	return plaintext.Line(string(a), maxLabel)
}

// results are how a rotation can end, in a word and in a few.
var results = map[string]struct{ word, words string }{
	"Completed":  {"Completed", "completed"},
	"GaveUp":     {"Gave up", "gave up: nothing was switched"},
	"RolledBack": {"Rolled back", "rolled back to the old certificate"},
	"Failed":     {"Failed", "failed"},
	"Aborted":    {"Stopped", "was stopped by somebody"},
	"TimedOut":   {"Timed out", "ran out of time"},
}

// resultWord is how a rotation ended.
func resultWord(result string) string {
	if r, known := results[result]; known {
		return r.word
	}
	return plaintext.Line(result, maxLabel)
}

// resultWords say it in a few words more.
func resultWords(result string) string {
	if r, known := results[result]; known {
		return r.words
	}
	if result = plaintext.Line(result, maxLabel); result != "" {
		return "ended as " + result
	}
	return "ended without success"
}

// rejected tells that a person said no: a rejection is no error in a rotation's
// report, and what a person confirmed would have no reason to end so.
func rejected(e inventory.Ended) bool {
	return e.By != "" && e.Error == "" && (e.Result == "GaveUp" || e.Result == "RolledBack")
}

// stageWord is what a rotation waits for.
func stageWord(s rotation.Stage) string {
	switch s {
	case rotation.StageUpload:
		return "the upload at the partner"
	case rotation.StagePlanned:
		return "the planned switch"
	case rotation.StageSignIn:
		return "word whether sign-in works"
	}
	return "nobody: it is at work"
}

var modes = map[rotation.Mode]string{
	rotation.ModeRotate: "rotate: what is due is started, where no rule says otherwise",
	rotation.ModeNotify: "notify: what is due is reported, and not started, where no rule says otherwise",
	rotation.ModeOff:    "off: only what a rule names is looked at",
}

func kindWord(k rotation.Kind) string {
	if k == rotation.KindIDP {
		return "IdP"
	}
	return "app"
}

// maxLabel bounds labels; Okta takes 100 characters.
const maxLabel = 100

// name is how people call a target: its label, or its id.
func name(t rotation.Target) string {
	if label := plaintext.Line(t.Label, maxLabel); label != "" {
		return label
	}
	return plaintext.Line(t.ID, maxLabel)
}

// days says how many there are left, or how long ago the end was.
func days(n int) string {
	switch {
	case n < 0:
		return "ended " + away(n)
	case n == 0:
		return "ends " + away(n)
	}
	return count(n, "day") + " left"
}

// away says how far away an end is that has so many whole days left.
func away(days int) string {
	switch {
	case days == -1:
		return "less than a day ago"
	case days < 0:
		return count(-days-1, "day") + " ago"
	case days == 0:
		return "within 24 hours"
	}
	return "in " + count(days, "day")
}

// lasted says how long something has lasted; empty for no time at all.
func lasted(d time.Duration) string {
	switch {
	case d >= rotation.Day:
		return "for " + count(int(d/rotation.Day), "day")
	case d >= time.Hour:
		return "for " + count(int(d/time.Hour), "hour")
	case d > 0:
		return "for less than an hour"
	}
	return ""
}

// count is a number of things.
func count(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return number(n) + " " + one + "s"
}

// number groups its digits: 15,000.
func number(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func date(t time.Time) string     { return t.UTC().Format("2006-01-02") }
func dateTime(t time.Time) string { return t.UTC().Format("2006-01-02 15:04") + " UTC" }
