package rotation

import (
	"encoding/json"
	"strings"
	"time"
)

// The steps' inputs and outputs, in the order of the workflow. The state
// machine passes exactly these; statemachine/rotation.asl.json is their user.

// InspectTargetInput is also the input of the rotation itself.
type InspectTargetInput struct {
	Target Target `json:"target"`
	// Policy names only what differs from the defaults; absent for all of
	// them. It stays raw here so that inspect-target can refuse unknown fields
	// by name.
	Policy json.RawMessage `json:"policy,omitempty"`
	// CloneFrom is a target of the same kind whose rotation makes the new key
	// for this one too (policy, sharedKey: clone); absent for a key of its own.
	CloneFrom *Target `json:"cloneFrom,omitempty"`
}

// InspectTargetOutput is what Okta has now.
type InspectTargetOutput struct {
	Target Target `json:"target"`
	// Policy is the policy for this very target: defaults, input and the
	// first rule that matches, in that order.
	Policy    Settings `json:"policy"`
	ActiveKey Key      `json:"activeKey"`
	// UnusedKeys could be switched to: published after the active key, not
	// active, more than MinRemainingDays left; newest first. Whether one of
	// them is ours only the CA can tell (sign-csr).
	UnusedKeys []Key `json:"unusedKeys"`
	// CloneFrom is the input's; null for a key of its own.
	CloneFrom *Target `json:"cloneFrom"`
	// SourceKeys are the keys of CloneFrom that could be cloned: those that came
	// to it after the key that both share, with more than MinRemainingDays left;
	// newest first.
	SourceKeys []Key `json:"sourceKeys"`
	// Recent tells that the active key is not due: more than RotateBeforeDays
	// are left. If the CA has issued it, a rotation has made it active already.
	Recent bool `json:"recent"`
	// PreviousKey is the key to go back to then: the newest one that came
	// before the active key and is still valid, or, where none is, the newest
	// that was; null where there is none.
	PreviousKey *Key `json:"previousKey"`
	// SharedWith lists other targets that use the active kid, as certificates
	// were shared by a whole org until May 2022. They stay as they are.
	SharedWith []Target `json:"sharedWith"`
	// Digest is the SHA-256 (hex) of the target's document without the kid, the
	// dates that Okta keeps beside it, links, and lastUpdated. The switch
	// compares with it.
	Digest string `json:"digest"`
	// LastUpdated is Okta's, of that document.
	LastUpdated string `json:"lastUpdated"`
	// Asks are the messages to come while nobody answers, the first request
	// included; never empty.
	Asks []Ask `json:"asks"`
	// AnswerBy is when the last of them runs out, and the rotation gives up.
	AnswerBy time.Time `json:"answerBy"`
}

// Delivery is what the inputs of the steps that change something in Okta have
// in common.
type Delivery struct {
	// EnteredAt is when the state machine came to the step; zero where somebody
	// calls it by hand.
	EnteredAt time.Time `json:"enteredAt,omitzero"`
}

// How long after EnteredAt a step is carried out. All retries of a state are
// over by then: those of the switch, and of the way back, are made for hours.
const (
	stepAge   = time.Hour
	switchAge = 4 * time.Hour
	backAge   = 12 * time.Hour
)

// Late fails with Step.Late where a call of a step arrives so long after its
// state was entered that the rotation must have gone on without it: Lambda
// delivers "at least once" (AWS Lambda Developer Guide, "Designing Lambda
// functions for idempotency"), and a switch, or a CSR, that comes after the
// rotation's end would be one that nobody waits for.
func (d Delivery) Late(now time.Time) error { return d.late(now, stepAge) }

func (d Delivery) late(now time.Time, most time.Duration) error {
	if d.EnteredAt.IsZero() || now.Sub(d.EnteredAt) <= most {
		return nil
	}
	return Errorf("Step.Late", "enteredAt is %s, more than %s ago: the rotation has gone on without this call, which changed nothing; start a new rotation if the target is still due",
		d.EnteredAt.UTC().Format(time.RFC3339), most)
}

// Late is Delivery's; the switch is tried for longer, and the way back longest.
func (in UpdateKeyCredentialInput) Late(now time.Time) error {
	if in.Back {
		return in.late(now, backAge)
	}
	return in.late(now, switchAge)
}

// GenerateCSRInput asks for a CSR (guide, step 2).
type GenerateCSRInput struct {
	Delivery

	Target Target   `json:"target"`
	Policy Settings `json:"policy"`
}

// GenerateCSROutput is a pending CSR of the target.
type GenerateCSROutput struct {
	CSR CSR `json:"csr"`
	// Reused tells that an earlier rotation had left it pending.
	Reused bool `json:"reused"`
}

// SignCSRInput asks the CA for a certificate (guide, step 3), or, without a
// CSR, which of the UnusedKeys it has issued, and whether it has issued the
// ActiveKey; or, with Describe alone, what discovery has to know of the CAs.
type SignCSRInput struct {
	Target     Target   `json:"target"`
	Policy     Settings `json:"policy"`
	CSR        *CSR     `json:"csr,omitempty"`
	UnusedKeys []Key    `json:"unusedKeys,omitempty"`
	ActiveKey  *Key     `json:"activeKey,omitempty"`
	// Reference is PendingCertificate's, when the CSR is asked about again.
	Reference string `json:"reference,omitempty"`
	// Answer is the certificate that a person has brought for the CSR: PEM,
	// leaf first.
	Answer string `json:"answer,omitempty"`
	// Describe names the CAs to be described; nothing is signed.
	Describe []CertificateAuthority `json:"describe,omitempty"`
}

// SignCSROutput holds the certificate, or the published key that is ours. Both
// are absent when keys were asked about and none of them is, and while the CA
// has not signed yet.
type SignCSROutput struct {
	Certificate *Certificate `json:"certificate,omitempty"`
	// Pending tells that the CA takes its time.
	Pending *PendingCertificate `json:"pending,omitempty"`
	OurKey  *Key                `json:"ourKey,omitempty"`
	// Authorities answer Describe, in its order.
	Authorities []AuthorityFacts `json:"authorities,omitempty"`
	// ActiveIsOurs tells that the CA has issued ActiveKey.
	ActiveIsOurs bool `json:"activeIsOurs"`
	// Chain is the CA's chain in PEM, for the partner.
	Chain string `json:"chain"`
}

// PendingCertificate is a CSR that the CA has, and has not signed yet.
type PendingCertificate struct {
	// Reference names the request to the CA; empty where a person signs.
	Reference string `json:"reference,omitempty"`
	// Person tells that nothing comes by itself: somebody has to be asked.
	Person bool `json:"person"`
	// AfterSeconds is when to ask the CA again.
	AfterSeconds int `json:"afterSeconds,omitempty"`
}

// AuthorityFacts are what is public of a CA.
type AuthorityFacts struct {
	Provider CertificateAuthority `json:"provider"`
	// Certificates are the CA's, the issuing one first; empty with a Problem.
	Certificates []AuthorityCertificate `json:"certificates"`
	// Problem says, for people, why the CA could not be reached or used.
	Problem string `json:"problem,omitempty"`
}

// AuthorityCertificate is one certificate of a CA.
type AuthorityCertificate struct {
	Subject string `json:"subject"`
	Issuer  string `json:"issuer"`
	// SHA256 is the fingerprint: hex pairs with colons.
	SHA256    string    `json:"sha256"`
	NotBefore time.Time `json:"notBefore"`
	NotAfter  time.Time `json:"notAfter"`
}

// PublishCSRInput publishes the certificate (guide, step 4).
type PublishCSRInput struct {
	Target      Target      `json:"target"`
	CSR         CSR         `json:"csr"`
	Certificate Certificate `json:"certificate"`
}

// PublishCSROutput is the key that Okta made of it; it is not active yet.
type PublishCSROutput struct {
	Key Key `json:"key"`
}

// CloneCertificateInput gives the target a key of another target (guide, step
// 6).
type CloneCertificateInput struct {
	Delivery

	Target Target `json:"target"`
	// Source is the target of the same kind that has the key.
	Source Target `json:"source"`
	Key    Key    `json:"key"`
}

// CloneCertificateOutput is the key as the target has it; it is not active yet.
type CloneCertificateOutput struct {
	Key Key `json:"key"`
}

// UpdateKeyCredentialInput is the switch (guide, step 5), and the way back.
type UpdateKeyCredentialInput struct {
	Delivery

	Target  Target `json:"target"`
	FromKid string `json:"fromKid"`
	ToKid   string `json:"toKid"`
	// Digest of the document as inspect-target read it. A forward switch
	// starts only from this very document.
	Digest string `json:"digest"`
	// LastUpdated is Okta's, of the document as inspect-target read it; empty
	// where somebody calls the step by hand.
	LastUpdated string `json:"lastUpdated,omitempty"`
	// Back tells that the old key is brought back: an edit that somebody made
	// meanwhile does not stop that.
	Back bool `json:"back,omitempty"`
	// Insist has the way back update the target even where the old key shows:
	// Okta has accepted the switch and not shown it, so that what shows now may
	// be as old.
	Insist bool `json:"insist,omitempty"`
}

// UpdatedSince tells whether a target whose document is the one that was
// inspected has been updated since the switch was due: somebody has switched
// and gone back, the rotation itself perhaps, and this call comes late. Where
// publishing a key counts as an update, that was before.
func (in UpdateKeyCredentialInput) UpdatedSince(lastUpdated string) bool {
	if in.LastUpdated == "" || lastUpdated == in.LastUpdated || in.EnteredAt.IsZero() {
		return false
	}
	at, err := time.Parse(time.RFC3339, lastUpdated)
	return err == nil && at.After(in.EnteredAt)
}

// UpdateKeyCredentialOutput tells what is active now.
type UpdateKeyCredentialOutput struct {
	ActiveKid string `json:"activeKid"`
	// Already tells that the switch had been made before this call.
	Already bool `json:"already"`
}

// VerifyKeyInput names the key that must be in use.
type VerifyKeyInput struct {
	Target Target `json:"target"`
	Key    Key    `json:"key"`
	// ActiveKid is what update-key-credential read last. An app's metadata is
	// a preview for a given kid: it alone does not tell which key is in use.
	// Empty: the target is read for it, and the metadata is left alone.
	ActiveKid string `json:"activeKid,omitempty"`
}

// VerifyKeyOutput says which certificate the target's SAML metadata carries, or
// that of the key in use.
type VerifyKeyOutput struct {
	// SHA256 is the certificate's fingerprint: hex pairs with colons.
	SHA256 string `json:"sha256"`
}

// RevokeCSRInput takes back a CSR that will not be used. Without a CSR, the
// pending ones that are ours by the policy's subject.
type RevokeCSRInput struct {
	Delivery

	Target Target   `json:"target"`
	Policy Settings `json:"policy"`
	CSR    *CSR     `json:"csr,omitempty"`
}

// RevokeCSROutput lists what was taken back by this call.
type RevokeCSROutput struct {
	Revoked []string `json:"revoked"`
	// Published is the key that Okta made of the input's CSR, where the CSR is
	// gone because it was published after all, and the answers were lost.
	Published *Key `json:"published,omitempty"`
}

// Stage is what a paused state asks the approvers.
type Stage string

// The stages. Each has a paused state of its own in the state machine.
const (
	// StageCertificate asks to have the CSR signed, where a person does that.
	StageCertificate Stage = "certificate"
	// StageUpload asks whether the partner has the certificate.
	StageUpload Stage = "upload"
	// StagePlanned is the time between an answer "switch at …" and the switch:
	// the plan can be called off.
	StagePlanned Stage = "planned"
	// StageSignIn asks, after the switch, whether sign-in works.
	StageSignIn Stage = "sign-in"
)

// RequestUploadInput asks the approvers (guide, step 7). The page reads it back
// from the execution's history: it is all that the page shows.
type RequestUploadInput struct {
	// TaskToken completes the paused state. It is a secret.
	TaskToken string `json:"taskToken"`
	Stage     Stage  `json:"stage"`
	// Execution is the ARN of the rotation's execution.
	Execution string   `json:"execution"`
	Target    Target   `json:"target"`
	Policy    Settings `json:"policy"`
	OldKey    Key      `json:"oldKey"`
	// CSR is what is to be signed; only in StageCertificate.
	CSR *CSR `json:"csr,omitempty"`
	// NewKey is zero in StageCertificate.
	NewKey Key `json:"newKey"`
	// Chain holds the CA's certificates, PEM: in StageCertificate those that it
	// may sign with, later those above the new certificate.
	Chain      string   `json:"chain"`
	SharedWith []Target `json:"sharedWith"`
	// Cloned tells that the new key was cloned from another target.
	Cloned bool `json:"cloned,omitempty"`
	// Resumed tells that the switch was made before this rotation began: then
	// silence changes nothing.
	Resumed bool `json:"resumed"`
	// Round counts the messages of a stage from 0. Those after the first
	// are reminders.
	Round int `json:"round"`
	// Escalate sends the message to Policy.EscalateTo as well.
	Escalate bool `json:"escalate"`
	// AnswerBy is when the rotation stops waiting for certificate and upload.
	AnswerBy time.Time `json:"answerBy"`
	// Decision is what led here: the confirmation with SwitchAt to
	// StagePlanned, the confirmation to StageSignIn, a plan that was called off
	// back to StageUpload; absent at first.
	Decision *Decision `json:"decision"`
}

// ExecutionName is the name in the execution's ARN, which is its last part.
func (in RequestUploadInput) ExecutionName() string {
	return in.Execution[strings.LastIndexByte(in.Execution, ':')+1:]
}

// Asked are the addresses that the request goes to, without those of an
// escalation.
func (in RequestUploadInput) Asked() []string {
	if in.Stage == StageCertificate {
		return in.Policy.SignersOrApprovers()
	}
	return in.Policy.Approvers
}

// OneCertificate tells that targets with the same old key can get this very new
// one, too.
func (in RequestUploadInput) OneCertificate() bool {
	return in.Cloned || (in.Policy.SharedKey == ClonedKey && len(in.SharedWith) > 0)
}

// Deadline is when the wait of this stage ends, if it started at the given
// time: AnswerBy, the planned switch, or SignInHours later.
func (in RequestUploadInput) Deadline(start time.Time) time.Time {
	switch {
	case in.Stage == StageSignIn:
		return start.Add(time.Duration(in.Policy.SignInHours) * time.Hour)
	case in.Stage == StagePlanned && in.Decision != nil && in.Decision.SwitchAt != nil:
		return *in.Decision.SwitchAt
	}
	return in.AnswerBy
}

// RequestUploadOutput says who was asked. The state machine does not wait for
// it: the state ends with the Decision.
type RequestUploadOutput struct {
	// Sent holds the addresses that took the message, "chat" or "sns".
	Sent []string `json:"sent"`
	// Unreachable holds those that did not.
	Unreachable []string `json:"unreachable,omitempty"`
}

// Decision is an approver's answer. A confirmation, and a plan called off, is
// the paused state's output; a rejection fails it with the error
// Approval.Rejected and the decision as its cause.
type Decision struct {
	Confirmed bool `json:"confirmed"`
	// By is the approver's address, or the name given on the page.
	By string `json:"by"`
	// Named tells that By was typed on the page, whose link named nobody.
	Named   bool      `json:"named,omitempty"`
	At      time.Time `json:"at"`
	Comment string    `json:"comment"`
	// Address is where the answer came from: the source address as Lambda saw it.
	Address string `json:"address,omitempty"`
	// SwitchAt is when Okta is to switch, absent for at once; of a plan called
	// off, when it was to switch.
	SwitchAt *time.Time `json:"switchAt,omitempty"`
	// CalledOff tells that a planned switch is not to be made.
	CalledOff bool `json:"calledOff,omitempty"`
	// Certificate is what StageCertificate asked for: PEM, leaf first. It has
	// been checked.
	Certificate string `json:"certificate,omitempty"`
}

// ReadMetadataInput asks for a target's SAML metadata, for the page.
type ReadMetadataInput struct {
	Target Target `json:"target"`
	// Kid is the key whose certificate the metadata is to carry.
	Kid string `json:"kid"`
}

// ReadMetadataOutput is the metadata as Okta serves it.
type ReadMetadataOutput struct {
	XML string `json:"xml"`
}
