// Package inventory is what discovery knows of an org: every target, its
// active key's certificate, what the policy says of it, and what is to be done
// about it.
//
// A run of discovery goes through three functions, which pass their work on in
// the stack's bucket (see Keys) and no more than a Summary's worth of state:
//
//	list-apps         scan      lists targets, learns expiry dates  → Entries, Dues
//	start-rotations   starting  skips what is running, starts the rest → Starts
//	report-inventory  report    writes inventory and report, sends the digest
//
// Before the last one sign-csr, which alone may use the CA, describes it.
//
// This package holds what they have in common.
package inventory

import (
	"time"

	"keyturn/internal/rotation"
)

// Format is the version of latest.json's format, its field "version".
const Format = 1

// Problem is something that kept a target, or a list, from being looked at. It
// never stops the run.
type Problem struct {
	// Name is an error's name, such as Okta.Forbidden.
	Name    string `json:"name"`
	Message string `json:"message"`
	// Target is whom it concerns; absent for the run as a whole.
	Target *rotation.Target `json:"target,omitempty"`
}

// Action is what this run does with a target, or in a dry run would do.
type Action string

// The actions. Every target has exactly one.
const (
	ActionNone        Action = "none"        // not due
	ActionStart       Action = "start"       // due: a rotation is started
	ActionRunning     Action = "running"     // a rotation is running already
	ActionPostponed   Action = "postponed"   // due, but maxRotations were started before it: the next run's
	ActionPaused      Action = "paused"      // due, but its last rotation ended without success only lately
	ActionNotify      Action = "notify"      // due, but the mode is notify: a person is told
	ActionOff         Action = "off"         // the mode is off
	ActionInactive    Action = "inactive"    // inactive in Okta: nobody signs in
	ActionUnsupported Action = "unsupported" // SAML 1.1 or WS-Federation: due or not, it is rotated by hand
	ActionUnknown     Action = "unknown"     // its certificate could not be read: see the problem
	ActionFailed      Action = "failed"      // due, but its rotation could not be started: see the problem
)

// Entry is one target in the inventory: one line of latest.json's "targets".
type Entry struct {
	Target rotation.Target `json:"target"`
	// Status is Okta's: ACTIVE or INACTIVE.
	Status string `json:"status"`
	// Protocol is an app's signOnMode or an IdP's type, such as SAML_2_0.
	Protocol string `json:"protocol"`
	// Kid is the active key; empty where Okta names none.
	Kid     string `json:"kid"`
	Issuer  string `json:"issuer,omitempty"`
	Subject string `json:"subject,omitempty"`
	// NotBefore, NotAfter and DaysLeft are absent where the certificate could
	// not be read. DaysLeft are whole days, rounded down: -1 on the first day
	// after the expiry.
	NotBefore *time.Time `json:"notBefore,omitempty"`
	NotAfter  *time.Time `json:"notAfter,omitempty"`
	DaysLeft  *int       `json:"daysLeft,omitempty"`
	// Sharing counts the targets of this kind with this kid, this one
	// included; SharedKeys names them.
	Sharing int `json:"sharing"`
	// Rule is the index of the policy's rule that matched; -1 for none.
	Rule int `json:"rule"`
	// Mode, RotateBeforeDays and SharedKey are the policy's for this target.
	Mode             rotation.Mode      `json:"mode"`
	RotateBeforeDays int                `json:"rotateBeforeDays"`
	SharedKey        rotation.SharedKey `json:"sharedKey"`
	Approvers        []string           `json:"approvers"`
	// Due tells that the certificate ends within RotateBeforeDays, or has
	// ended, and that the mode is not off and the target active.
	Due    bool   `json:"due"`
	Action Action `json:"action"`
	// Reason says in a sentence why it is this action.
	Reason string `json:"reason,omitempty"`
	// Rotation is the one that is running, or was started by this run.
	Rotation *Running `json:"rotation,omitempty"`
	// Problem is why the certificate is unknown, or the rotation not started.
	Problem *Problem `json:"problem,omitempty"`
	// Stale tells that this run could not list the target, and that all of this
	// is what an earlier run saw.
	Stale bool `json:"stale,omitempty"`
}

// Due is a target whose certificate is due, with what is needed to start its
// rotation.
type Due struct {
	Entry
	// Settings are the policy for this target, all fields filled in: the
	// policy of the rotation's input.
	Settings rotation.Settings `json:"settings"`
}

// Running is a rotation that has not ended.
type Running struct {
	// Execution is the ARN.
	Execution string          `json:"execution"`
	Target    rotation.Target `json:"target"`
	StartedAt time.Time       `json:"startedAt"`
	// Stage is what it waits for: upload, planned, sign-in; empty where it
	// waits for nobody, or that could not be read.
	Stage rotation.Stage `json:"stage,omitempty"`
	// Since is when the first message of that stage went out.
	Since *time.Time `json:"since,omitempty"`
	// Asked are the approvers of that stage.
	Asked []string `json:"asked,omitempty"`
	// AnswerBy is when the wait ends.
	AnswerBy *time.Time `json:"answerBy,omitempty"`
}

// Ended is a rotation that has ended lately.
type Ended struct {
	Execution string          `json:"execution"`
	Target    rotation.Target `json:"target"`
	// Result is the rotation's: Completed, GaveUp, RolledBack, Failed; Aborted
	// or TimedOut where Step Functions ended it.
	Result  string    `json:"result"`
	EndedAt time.Time `json:"endedAt"`
	OldKid  string    `json:"oldKid,omitempty"`
	NewKid  string    `json:"newKid,omitempty"`
	// Error is the error's name, and Message what it says.
	Error   string `json:"error,omitempty"`
	Message string `json:"message,omitempty"`
	// By is who decided, and Comment what they wrote.
	By      string `json:"by,omitempty"`
	Comment string `json:"comment,omitempty"`
}

// SharedKey is a kid that several targets of a kind use.
type SharedKey struct {
	Kind     rotation.Kind `json:"kind"`
	Kid      string        `json:"kid"`
	NotAfter *time.Time    `json:"notAfter,omitempty"`
	// Count is how many targets share it. Targets have kind, id and label.
	Count   int               `json:"count"`
	Targets []rotation.Target `json:"targets"`
}

// Trust is a certificate of an inbound IdP's partner, which Okta verifies the
// partner's assertions with. It is the partner's to renew; Keyturn shows it.
type Trust struct {
	Kid     string `json:"kid"`
	Issuer  string `json:"issuer,omitempty"`
	Subject string `json:"subject,omitempty"`
	// NotBefore, NotAfter and DaysLeft as in Entry.
	NotBefore *time.Time `json:"notBefore,omitempty"`
	NotAfter  *time.Time `json:"notAfter,omitempty"`
	DaysLeft  *int       `json:"daysLeft,omitempty"`
	// UsedBy are the IdPs that trust it.
	UsedBy  []rotation.Target `json:"usedBy"`
	Problem *Problem          `json:"problem,omitempty"`
}

// CertificateAuthority is a CA that the policy can lead to, as sign-csr has
// described it: a member of latest.json's "certificateAuthorities".
type CertificateAuthority struct {
	Provider rotation.CertificateAuthority `json:"provider"`
	// ValidityDays is the longest that the policy asks of it for a target that
	// is not off; absent where there is no such target.
	ValidityDays int `json:"validityDays,omitempty"`
	// Certificates are the CA's, the issuing one first; empty with a Problem.
	Certificates []AuthorityCertificate `json:"certificates"`
	// Problem is why the CA could not be described.
	Problem *Problem `json:"problem,omitempty"`
}

// AuthorityCertificate is one certificate of a CA. DaysLeft as in Entry.
type AuthorityCertificate struct {
	rotation.AuthorityCertificate
	DaysLeft int `json:"daysLeft"`
}

// FirstEnd is the certificate that ends first. From then on nothing that the CA
// has issued verifies, so that no certificate may outlive it. Absent where none
// is known.
func (a CertificateAuthority) FirstEnd() *AuthorityCertificate {
	var first *AuthorityCertificate
	for i, c := range a.Certificates {
		if first == nil || c.NotAfter.Before(first.NotAfter) {
			first = &a.Certificates[i]
		}
	}
	return first
}

// Run says how a run of discovery went: latest.json's "run".
type Run struct {
	// ID is the execution's name, Execution its ARN.
	ID         string    `json:"id"`
	Execution  string    `json:"execution"`
	StartedAt  time.Time `json:"startedAt"`
	FinishedAt time.Time `json:"finishedAt"`
	DryRun     bool      `json:"dryRun"`
	// Complete tells that both lists were read to their ends. Where one was
	// not, targets of an earlier inventory stand in, marked as stale.
	Complete bool `json:"complete"`
	// Apps and IDPs count what Okta listed, whatever its protocol; Targets
	// count the entries.
	Apps    int `json:"apps"`
	IDPs    int `json:"idps"`
	Targets int `json:"targets"`
	// OktaCalls are all requests to Okta, LearnedKids the keys whose
	// certificate was asked for, RateLimited the answers 429, Waits the pauses
	// for a new window of the rate limit.
	OktaCalls   int `json:"oktaCalls"`
	LearnedKids int `json:"learnedKids"`
	RateLimited int `json:"rateLimited"`
	Waits       int `json:"waits"`
	// Problems are the first 50 of ProblemCount.
	Problems     []Problem `json:"problems"`
	ProblemCount int       `json:"problemCount"`
}

// Summary is a run in short, for digest, report and metrics. Its lists are
// bounded; the counts are not.
type Summary struct {
	Org string `json:"org"`
	Run Run    `json:"run"`
	// Mode is the policy's outside its rules, MaxRotations its limit.
	Mode         rotation.Mode `json:"mode"`
	MaxRotations int           `json:"maxRotations"`
	// Actions count the targets by action; DueCount those that are due.
	Actions  map[Action]int `json:"actions"`
	DueCount int            `json:"dueCount"`
	// Due are the first 200 that are due, the earliest expiry first.
	Due []Entry `json:"due"`
	// Nearest is the active target, not off, whose certificate ends first,
	// whether Keyturn can rotate it or not; absent where none is known.
	Nearest *Entry `json:"nearest,omitempty"`
	// Running are the rotations that have not ended, the oldest first, at most
	// 500 of RunningCount.
	Running      []Running `json:"running"`
	RunningCount int       `json:"runningCount"`
	// Ended are those of the last 14 days, the latest first, at most 200. Those
	// with another result than Completed number FailedCount.
	Ended       []Ended `json:"ended"`
	FailedCount int     `json:"failedCount"`
	// SharedKeys are the keys on several targets, the largest group first, at
	// most 200 of SharedKeyCount with at most 50 targets each.
	SharedKeys     []SharedKey `json:"sharedKeys"`
	SharedKeyCount int         `json:"sharedKeyCount"`
	// Trust are the partners' certificates, the earliest expiry first.
	Trust []Trust `json:"trust"`
	// Authorities are the CAs that the policy can lead to, the one outside its
	// rules among them; empty where nobody has described any.
	Authorities []CertificateAuthority `json:"certificateAuthorities"`
}

// Bounds of a Summary's lists.
const (
	MaxProblems   = 50
	MaxDue        = 200
	MaxRunning    = 500
	MaxEnded      = 200
	MaxSharedKeys = 200
	MaxSharing    = 50
)

// DaysLeft are the whole days from now to a certificate's end, rounded down.
func DaysLeft(notAfter, now time.Time) int {
	left := notAfter.Sub(now)
	days := int(left / rotation.Day)
	if left < 0 && left%rotation.Day != 0 {
		days--
	}
	return days
}
