package page

import (
	"time"

	"keyturn/internal/approval"
	"keyturn/internal/approval/paused"
	"keyturn/internal/rotation"
)

// The pages that ask nothing.

var (
	onlyShows = note{Tone: toneProblem, Title: "This address only shows a page", Text: []string{"Open the link from your message in a browser."}}

	damaged = note{Tone: toneProblem, Title: "This link does not work", Text: []string{
		"It is damaged or incomplete. Mail programs sometimes break long links: copy the whole link from the message into the address bar.",
		"If that does not help, ask whoever runs the rotations at your company to send it again. Nothing was decided.",
	}}

	unavailable = note{Tone: toneProblem, Title: "Please try again in a few minutes", Text: []string{"This page cannot be used just now. Nothing was decided, and your link stays valid."}}

	oktaUnreachable = note{Tone: toneProblem, Title: "Okta cannot be reached just now", Text: []string{
		"The metadata comes from Okta, and Okta did not give it. Please try again in a few minutes, or use the certificate itself: it is the same key.",
		"Nothing was decided, and your link stays valid.",
	}}

	tooMany = note{Tone: toneProblem, Title: "Too many requests", Text: []string{"Please wait a minute, then open the link from your message again. Nothing was decided by this request."}}

	notOurForm = note{Tone: toneProblem, Title: "This answer did not come from our page", Text: []string{"Nothing was decided. Please open the link from your message and answer on the page that it shows."}}

	noFile = note{Tone: toneProblem, Title: "There is no such download", Text: []string{"Please go back to the page that your link shows, and choose a download there."}}

	// The answer may have arrived although nobody said so; a second one does no
	// harm.
	notTold = note{Tone: toneProblem, Title: "Please try again in a few minutes", Text: []string{"We could not find out whether your answer arrived. Please open the link from your message again and repeat it: it counts only once."}}
)

func expired(c approval.Claim) note {
	return note{Tone: toneOver, Title: "This link has expired", Text: []string{
		"The time to answer is over, and this link decides nothing any more. If the certificate still has to be changed, you will get a new message.",
	}, Facts: about(c)}
}

func forgotten(c approval.Claim) note {
	return note{Tone: toneOver, Title: "This rotation ended long ago", Text: []string{"There is nothing left to answer. If the certificate has to be changed again, you will get a new message."}, Facts: about(c)}
}

func about(c approval.Claim) []fact {
	name := "App"
	if c.Target.Kind == rotation.KindIDP {
		name = "Identity provider"
	}
	return []fact{{name, c.Target.Label}}
}

// over is the page for a link that cannot answer any more, or not yet again.
// Those who have a CSR signed hear of their own answer, those who are asked
// whether sign-in works of theirs, and those who upload of both that came after
// the hand-in.
func over(c approval.Claim, p paused.Progress, now time.Time) note {
	signs := c.Stage == rotation.StageCertificate
	signed := signs && (p.Last != nil && p.LastStage != rotation.StageCertificate || p.Asking != nil && p.Asking.Stage != rotation.StageCertificate)
	// Nothing is asked after the sign-in: if the latest answer is about something
	// else, nobody has answered that.
	silent := c.Stage == rotation.StageSignIn && p.LastStage != "" && p.LastStage != rotation.StageSignIn
	if p.Last != nil && (signs != (p.LastStage == rotation.StageCertificate) || c.Stage == rotation.StageSignIn && p.LastStage != rotation.StageSignIn) {
		p.Last = nil
	}
	facts := about(c)
	if p.Last != nil {
		facts = append(facts, fact{"Answered by", by(*p.Last)}, fact{"Answered on", date(p.Last.At)}, fact{"The answer", said(*p.Last)})
	}
	switch {
	case p.Result != "":
		end := ends[p.Result]
		if p.Switched {
			end = "Okta uses the new certificate, as before."
		}
		n := note{Tone: toneOver, Title: "The rotation has ended", Text: []string{end, "This link decides nothing any more."}, Facts: facts}
		if signed || p.Last != nil && !p.Last.CalledOff {
			n.Title = "This request is answered already"
		}
		if silent {
			n.Text = append([]string{"Nobody said whether sign-in works."}, n.Text...)
		}
		return n
	case signed:
		return note{Tone: toneOver, Title: "This request is answered already", Text: []string{"The certificate was handed in, and the rotation has gone on from there: those who look after " + c.Target.Label + " are asked for the next step. You need not do anything."}, Facts: facts}
	case p.Asking != nil && p.Asking.Stage == rotation.StageSignIn && c.Stage != rotation.StageSignIn:
		return note{Tone: toneOver, Title: "This request is answered already", Text: []string{"Okta uses the new certificate. A further message, sent on " + date(p.Since) + ", asks whether sign-in works: please use the link in that one."}, Facts: facts}
	case p.Asking != nil:
		n := note{Tone: toneOver, Title: "A newer link was sent", Text: []string{"A newer message about this went out on " + date(p.Since) + ". Please use the link in that one: this one decides nothing any more."}, Facts: facts}
		if p.Last != nil && p.Last.CalledOff {
			n.Text = append([]string{"The planned switch was called off, and you are asked again."}, n.Text...)
		}
		return n
	case p.Last != nil && !p.Last.CalledOff && p.Last.SwitchAt != nil && p.Last.SwitchAt.After(now):
		return note{Tone: toneOver, Title: "The switch is planned", Text: []string{"Okta switches to the new certificate on " + date(*p.Last.SwitchAt) + ". To call it off, ask whoever runs the rotations at your company, or open this link again in a few minutes."}, Facts: facts}
	case p.Taken:
		return note{Tone: toneOver, Title: "This request is answered already", Text: []string{"An answer has arrived, perhaps your own. Open your link again in a minute to see whose it was, and what it was."}, Facts: facts}
	case p.Last != nil:
		return note{Tone: toneOver, Title: "This request is answered already", Text: []string{"Keyturn is carrying the answer out now. You need not do anything."}, Facts: facts}
	}
	return note{Tone: toneOver, Title: "Keyturn is at work", Text: []string{"This request is being sent again, or has just ended. Please look for a newer message, or open this link again in a few minutes."}, Facts: facts}
}

// ends says what a rotation's result means for users.
var ends = map[string]string{
	"Completed":    "Okta uses the new certificate.",
	"GaveUp":       "Nothing was changed: Okta uses the old certificate.",
	"RolledBack":   "Okta uses the old certificate again.",
	"Failed":       "It failed. Whoever runs the rotations at your company has been told.",
	paused.Stopped: "It was stopped by whoever runs the rotations at your company.",
}

// by is who decided; a name that was typed is not an address that was asked.
func by(d rotation.Decision) string {
	if d.Named {
		return d.By + " (the name given on the page)"
	}
	return d.By
}

// meanwhile says who planned the switch while a page was open.
func meanwhile(in rotation.RequestUploadInput) string {
	if in.Decision == nil || in.Decision.SwitchAt == nil {
		return "Something has changed since this page was opened."
	}
	return "This request was answered while this page was open: on " + date(in.Decision.At) + " " + by(*in.Decision) + " planned the switch for " + date(*in.Decision.SwitchAt) + "."
}

// said is a decision in words.
func said(d rotation.Decision) string {
	switch {
	case d.Certificate != "":
		return "certificate handed in"
	case d.CalledOff:
		return "planned switch called off"
	case d.SwitchAt != nil:
		return "uploaded, switch on " + date(*d.SwitchAt)
	case d.Confirmed:
		return "confirmed"
	}
	return "declined"
}

// afterHandIn says what comes after a certificate that was taken.
func (a ask) afterHandIn() []string {
	label := a.In.Target.Label
	next := "Those who look after " + label + " are then asked to upload it there. Until they have answered, Okta uses the old certificate."
	if a.In.Policy.UploadOrder == rotation.AfterSwitch {
		next = "Okta then switches to it, and those who look after " + label + " are asked to upload it there."
	}
	return []string{"It was checked: it is for this request, and as it has to be. Within a few minutes Keyturn publishes it in Okta.", next, "You need not do anything more."}
}

// thanks is the page after an answer that was taken.
func thanks(form ask, d rotation.Decision) note {
	n := note{Tone: toneDone, Facts: []fact{{"For", form.In.Target.Label}, {"Recorded for", by(d)}, {"At", date(d.At)}}}
	label := form.In.Target.Label
	switch {
	case form.toSign() && d.Confirmed:
		n.Title, n.Text = "Thank you, the certificate is right", form.afterHandIn()
		if cert := handedIn(d); cert != nil {
			n.Facts = append(n.Facts, fact{"Valid until", date(cert.NotAfter)}, fact{"SHA-256", rotation.Fingerprint(cert.Raw)})
		}
	case form.toSign():
		n.Title, n.Text = "Noted: the request is withdrawn", []string{"Okta keeps the old certificate for " + label + ", and nothing changes for its users. Whoever runs the rotations gets your comment."}
	case d.CalledOff:
		n.Title, n.Text = "The plan is called off", []string{"Okta does not switch. Everybody who was asked gets a new message, with a new link to answer when the time has come."}
	case d.SwitchAt != nil:
		n.Title = "Thank you, the switch is planned"
		n.Text = []string{"Okta switches " + label + " to the new certificate on " + form.inZone(*d.SwitchAt) + ". You get a message about it.", "To see the plan, or to call it off, open your link again."}
	case form.In.Stage == rotation.StageSignIn && d.Confirmed:
		n.Title, n.Text = "Thank you, that was it", []string{"The rotation is complete. The partner can remove the old certificate."}
	case form.In.Stage == rotation.StageSignIn:
		n.Title, n.Text = "Noted: Okta goes back", []string{"Within a few minutes Okta uses the old certificate for " + label + " again. Please see that the partner has it too."}
	case d.Confirmed && form.afterSwitch():
		n.Title, n.Text = "Thank you, that was it", []string{"Okta signs with the new certificate already. Please try a sign-in to " + label + " now."}
	case d.Confirmed:
		n.Title, n.Text = "Thank you, Okta switches now", []string{"Within a minute Okta uses the new certificate for " + label + ". Please try a sign-in then. Should the switch fail, the old certificate stays or comes back."}
	case form.afterSwitch():
		n.Title, n.Text = "Noted: Okta goes back", []string{"Within a minute Okta uses the old certificate for " + label + " again."}
	default:
		n.Title, n.Text = "Noted: nothing changes in Okta", []string{"Okta keeps the old certificate for " + label + ". If the new one has taken its place at the partner, put the old one back there now: until then nobody can sign in. Whoever runs the rotations gets your comment."}
	}
	if form.In.Policy.ConfirmSignIn && d.Confirmed && form.In.Stage == rotation.StageUpload {
		n.Text = append(n.Text, "You then get a message that asks whether sign-in works.")
	}
	return n
}
