package page

import (
	"time"

	"keyturn/internal/rotation"
)

// What the page shows, apart from how it looks (view.go).

// ask is the page that asks: the form of one stage, and all that a person needs
// to answer it.
type ask struct {
	// In is the request as the rotation made it: stage, target, keys, chain,
	// approvers, the decision that led here.
	In rotation.RequestUploadInput
	// Since is when the message was sent; Now is the page's clock.
	Since, Now time.Time
	// Approver is the address that the link was sent to; empty where the link
	// names nobody and the form asks for a name.
	Approver string
	// OrgHost is the Okta org's host, such as example.okta.com; AdminURL is the
	// target's page in the admin console.
	OrgHost, AdminURL string
	// Action is where the form goes, Files what stands before a download's
	// name; both relative to the page.
	Action, Files string
	// Form is the hidden field that shows that an answer comes from this page.
	Form string
	// PlanFrom and PlanUntil bound the time of a planned switch; both zero
	// where none can be planned.
	PlanFrom, PlanUntil time.Time

	// Problem says why an answer was not taken; Refused why a certificate was
	// not. The rest is what was typed.
	Problem                                  string
	Refused                                  *refusal
	Name, Comment, Date, Clock, Zone, Pasted string
}

// The form's fields and decisions. One form field, "decision", holds the value
// of the button that was pressed.
const (
	fieldForm     = "form"
	fieldDecision = "decision"
	fieldName     = "name"
	fieldComment  = "comment"
	fieldDate     = "date" // 2006-01-02
	fieldClock    = "time" // 15:04
	fieldZone     = "zone" // IANA name
	fieldPasted   = "certificate"
	fieldFile     = "file"

	decideHandIn   = "hand-in"   // StageCertificate: here is the certificate
	decideConfirm  = "confirm"   // StageUpload: uploaded, switch now
	decidePlan     = "plan"      // StageUpload before the switch: uploaded, switch at date, time, zone
	decideReject   = "reject"    // StageUpload, StageCertificate: I cannot do this; needs a comment
	decideCallOff  = "call-off"  // StagePlanned: do not switch then
	decideWorks    = "works"     // StageSignIn: sign-in works
	decideRollBack = "roll-back" // StageSignIn: bring the old key back; needs a comment
)

// The downloads' names, behind the link.
const (
	filePEM      = "certificate.pem" // the new certificate
	fileDER      = "certificate.cer" // the same in DER
	fileChain    = "chain.pem"       // the CA's certificates above it; where In.Chain is not empty
	fileMetadata = "metadata.xml"    // SAML metadata as Okta serves it with the new key

	// In StageCertificate there are these instead.
	fileCSR    = "request.csr" // PEM
	fileCSRDER = "request.p10" // DER; the ending is RFC 5967's
)

// hasMetadata tells whether Okta can serve metadata with the new key: an app's
// for any key, an IdP's only for the key in use.
func (a ask) hasMetadata() bool {
	return a.In.Target.Kind == rotation.KindApp || a.switched()
}

// switched tells whether Okta uses the new key already.
func (a ask) switched() bool {
	return a.In.Stage == rotation.StageSignIn || a.afterSwitch()
}

// afterSwitch tells that the upload follows the switch.
func (a ask) afterSwitch() bool {
	return !a.toSign() && a.In.Policy.UploadOrder == rotation.AfterSwitch
}

// toSign tells that a certificate is asked for: there is no new key yet.
func (a ask) toSign() bool { return a.In.Stage == rotation.StageCertificate }

// idp tells that Okta is the service provider.
func (a ask) idp() bool { return a.In.Target.Kind == rotation.KindIDP }

// note is a page that asks nothing: it says what is the case, and what to do.
type note struct {
	// Tone is what the page is about, for its look.
	Tone  tone
	Title string
	// Text are paragraphs.
	Text []string
	// Facts are shown as a list: target, who, when.
	Facts []fact
}

type fact struct{ Name, Value string }

type tone string

const (
	toneDone    tone = "done"    // the answer was taken
	toneOver    tone = "over"    // answered, expired, ended, newer link
	toneProblem tone = "problem" // damaged link, something unreachable, too many requests
)
