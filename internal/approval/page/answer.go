package page

import (
	"net/url"
	"strings"
	"time"
	_ "time/tzdata" // Lambda's runtime for Go may have no time zones
	"unicode/utf8"

	"keyturn/internal/plaintext"
	"keyturn/internal/rotation"
)

// planAhead is the least time between an answer and a planned switch: so long
// the plan can be seen and called off.
const planAhead = 5 * time.Minute

// planBounds are the earliest and the latest time for a planned switch: the
// rotation gives up at AnswerBy, and the old certificate has to be replaced
// before it expires. Both are zero where that leaves no time.
func planBounds(in rotation.RequestUploadInput, now time.Time) (from, until time.Time) {
	from, until = now.Add(planAhead).Truncate(time.Minute).Add(time.Minute), in.AnswerBy
	if in.OldKey.NotAfter.Before(until) {
		until = in.OldKey.NotAfter
	}
	if until.Before(from) {
		return time.Time{}, time.Time{}
	}
	return from, until
}

// read takes over what was typed, so that a form shown again keeps it.
func (a *ask) read(form url.Values) {
	one := func(field string, most int) string { return plaintext.Line(form.Get(field), most+1) }
	a.Name, a.Comment = one(fieldName, maxName), plaintext.Lines(strings.ReplaceAll(form.Get(fieldComment), "\r\n", "\n"), maxComment+1)
	a.Date, a.Clock, a.Zone = one(fieldDate, 20), one(fieldClock, 20), one(fieldZone, 60)
	// What is shown again is what is checked.
	a.Pasted = plaintext.Lines(form.Get(fieldPasted), maxUpload)
}

// decision is what the form says, or what is wrong with it.
func (a *ask) decision(choice string, now time.Time) (rotation.Decision, string) {
	d := rotation.Decision{By: a.Approver, At: now.UTC().Truncate(time.Second), Comment: a.Comment}
	if d.By == "" {
		d.By, d.Named = a.Name, true
	}
	switch {
	case d.By == "":
		return d, "Please give your name: the decision is recorded with it."
	case utf8.RuneCountInString(a.Name) > maxName || utf8.RuneCountInString(d.Comment) > maxComment:
		return d, "The name can have 100 characters and the comment 1000."
	}
	choices := map[rotation.Stage][]string{
		rotation.StageCertificate: {decideHandIn, decideReject},
		rotation.StageUpload:      {decideConfirm, decidePlan, decideReject},
		rotation.StagePlanned:     {decideCallOff},
		rotation.StageSignIn:      {decideWorks, decideRollBack},
	}
	offered := false
	for _, c := range choices[a.In.Stage] {
		offered = offered || c == choice
	}
	switch {
	case !offered || (choice == decidePlan && a.PlanUntil.IsZero()):
		return d, "Please choose one of the answers."
	case (choice == decideReject || choice == decideRollBack) && d.Comment == "":
		return d, "Please say why in the comment: somebody has to find another way."
	case choice == decidePlan:
		at, problem := a.switchAt()
		if problem != "" {
			return d, problem
		}
		d.Confirmed, d.SwitchAt = true, &at
	case choice == decideCallOff:
		d.CalledOff = true
		if a.In.Decision != nil {
			d.SwitchAt = a.In.Decision.SwitchAt // the time that was planned
		}
	default:
		d.Confirmed = choice == decideConfirm || choice == decideWorks || choice == decideHandIn
	}
	return d, ""
}

// switchAt is the planned time: date and time in a time zone, within the
// bounds.
func (a *ask) switchAt() (time.Time, string) {
	if a.Date == "" || a.Clock == "" {
		return time.Time{}, "Please give the date and the time for the switch."
	}
	zone, err := time.LoadLocation(a.Zone)
	if err != nil || a.Zone == "" || a.Zone == "Local" {
		return time.Time{}, "Please choose the time zone for the switch."
	}
	at, err := time.ParseInLocation("2006-01-02 15:04", a.Date+" "+a.Clock, zone)
	if err != nil {
		return time.Time{}, "The date has to be written as 2026-12-31 and the time as 18:30."
	}
	// In the hour that summer time leaves out no clock shows this time.
	if at.Format("2006-01-02 15:04") != a.Date+" "+a.Clock {
		return time.Time{}, "There is no such time on that day in the time zone: the clocks are put forward. Please choose another one."
	}
	if at.Before(a.PlanFrom) || at.After(a.PlanUntil) {
		return time.Time{}, "The switch can be planned from " + date(a.PlanFrom) + " to " + date(a.PlanUntil) + "."
	}
	return at.UTC(), ""
}

func date(t time.Time) string { return t.UTC().Format("Monday, 2 January 2006, 15:04 UTC") }

// inZone is a time as the approver planned it, and in UTC.
func (a *ask) inZone(t time.Time) string {
	zone, err := time.LoadLocation(a.Zone)
	if err != nil || zone == time.UTC || a.Zone == "UTC" {
		return date(t)
	}
	return t.In(zone).Format("Monday, 2 January 2006, 15:04 MST") + " (" + date(t) + ")"
}
