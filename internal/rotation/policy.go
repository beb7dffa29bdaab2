package rotation

import (
	"fmt"
	"net/mail"
	"slices"
	"strings"
)

// UploadOrder tells whether the partner gets the certificate before or after
// the switch.
type UploadOrder string

// The upload orders. BeforeSwitch locks nobody out when the partner can hold
// two certificates; AfterSwitch is the guide's literal order.
const (
	BeforeSwitch UploadOrder = "before-switch"
	AfterSwitch  UploadOrder = "after-switch"
)

// Mode is what discovery does with a target that is due. A rotation that
// somebody requests runs in any mode.
type Mode string

// The modes.
const (
	ModeRotate Mode = "rotate"
	ModeNotify Mode = "notify"
	ModeOff    Mode = "off"
)

// SignInSilence is what it means that nobody says whether sign-in works.
type SignInSilence string

// What silence means: the new key stays, or the old one comes back.
const (
	KeepOnSilence     SignInSilence = "keep"
	RollBackOnSilence SignInSilence = "roll-back"
)

// SharedKey is what discovery does with targets that share an active kid.
type SharedKey string

// Each target gets a key of its own, which is what Okta recommends; or one new
// key is cloned to all of them, as the old one was.
const (
	OwnKey    SharedKey = "own"
	ClonedKey SharedKey = "clone"
)

// CertificateAuthority names a provider of certificates: what the company's CA
// is, and how it is reached.
type CertificateAuthority string

// The providers. Each has a package below internal/ca.
const (
	AuthorityLocal  CertificateAuthority = "local"  // key and chain in Secrets Manager
	AuthorityKMS    CertificateAuthority = "kms"    // key in AWS KMS
	AuthorityACMPCA CertificateAuthority = "acmpca" // AWS Private CA
	AuthorityStepCA CertificateAuthority = "stepca" // smallstep step-ca
	AuthorityManual CertificateAuthority = "manual" // a person has it signed
)

// Authorities are all of them.
func Authorities() []CertificateAuthority {
	return []CertificateAuthority{AuthorityLocal, AuthorityKMS, AuthorityACMPCA, AuthorityStepCA, AuthorityManual}
}

// Settings is a policy for one target, all fields filled in.
type Settings struct {
	Mode Mode `json:"mode"`
	// RotateBeforeDays before a certificate's expiry its target is due.
	RotateBeforeDays int `json:"rotateBeforeDays"`
	// ValidityDays of a new certificate; more than MinRemainingDays.
	ValidityDays int         `json:"validityDays"`
	UploadOrder  UploadOrder `json:"uploadOrder"`
	// ConfirmSignIn asks the approvers after the switch whether sign-in works.
	ConfirmSignIn bool `json:"confirmSignIn"`
	// SignInHours is how long that answer is waited for.
	SignInHours int `json:"signInHours"`
	// SignInSilence is what no answer to it means.
	SignInSilence SignInSilence `json:"signInSilence"`
	// Approvers are mail addresses; each gets a link of its own.
	Approvers     []string `json:"approvers"`
	EscalateTo    []string `json:"escalateTo"`
	ReminderHours int      `json:"reminderHours"`
	// GiveUpDays is how long a rotation waits for an answer.
	GiveUpDays int `json:"giveUpDays"`
	// SharedKey is for targets that share their active kid with others.
	SharedKey    SharedKey `json:"sharedKey"`
	MaxRotations int       `json:"maxRotations"`
	QuotaShare   float64   `json:"quotaShare"`
	Subject      Subject   `json:"subject"`
	// CertificateAuthority signs; the stack's, unless the policy names another.
	CertificateAuthority CertificateAuthority `json:"certificateAuthority"`
	// Signers are asked to have the CSR signed where the CertificateAuthority is
	// AuthorityManual; empty: the Approvers.
	Signers []string `json:"signers"`
	Profile Profile  `json:"profile"`
}

// DefaultSettings are the built-in ones, with the stack's approvers.
func DefaultSettings(approvers []string) Settings {
	return Settings{
		Mode:             ModeNotify,
		RotateBeforeDays: 45,
		ValidityDays:     397,
		UploadOrder:      BeforeSwitch,
		SignInHours:      24,
		SignInSilence:    KeepOnSilence,
		Approvers:        append([]string{}, approvers...),
		EscalateTo:       []string{},
		ReminderHours:    72,
		GiveUpDays:       30,
		SharedKey:        OwnKey,
		MaxRotations:     25,
		QuotaShare:       0.5,
		Subject:          Subject{CommonName: "{label} SAML signing"},

		CertificateAuthority: AuthorityLocal,
		Signers:              []string{},
		Profile:              Profile{}.clone(),
	}
}

// clone shares nothing with s. JSON is decoded into slices in place: without
// it, one rotation's approvers would become another's in a warm function.
func (s Settings) clone() Settings {
	s.Approvers = append([]string{}, s.Approvers...)
	s.EscalateTo = append([]string{}, s.EscalateTo...)
	s.Signers = append([]string{}, s.Signers...)
	s.Profile = s.Profile.clone()
	return s
}

// SignersOrApprovers are those who are asked to have a CSR signed, where a person
// does that.
func (s Settings) SignersOrApprovers() []string {
	if len(s.Signers) > 0 {
		return s.Signers
	}
	return s.Approvers
}

// Validate refuses settings that cannot be used. Its errors are named
// Policy.Invalid and say where, as in where.validityDays.
func (s Settings) Validate(where string) error {
	if mistakes := s.mistakes(false); len(mistakes) > 0 {
		return Errorf("Policy.Invalid", "%s.%s", where, mistakes[0].text)
	}
	return nil
}

// mistake is what is wrong with settings: with one field, or with what two say
// together.
type mistake struct {
	field, other string
	// text begins with the field.
	text string
}

// mistakes finds all that is wrong with settings. For discovery that is also
// giving up after the expiry: it starts rotations RotateBeforeDays before it,
// while one that somebody requests may have any time left.
func (s Settings) mistakes(discovery bool) (found []mistake) {
	both := func(field, other, format string, args ...any) {
		found = append(found, mistake{field, other, field + " is " + fmt.Sprintf(format, args...)})
	}
	is := func(field, format string, args ...any) { both(field, "", format, args...) }
	sound := true
	number := func(field string, value, least, most int, why string) {
		if value < least || value > most {
			sound = false
			is(field, "%d: use %d to %d%s", value, least, most, why)
		}
	}
	choice := func(field, value string, allowed ...string) {
		if !slices.Contains(allowed, value) {
			is(field, "%q: use %s", value, strings.Join(allowed, " or "))
		}
	}
	addresses := func(field string, list []string) {
		for _, address := range list {
			if a, err := mail.ParseAddress(address); err != nil || a.Address != address {
				found = append(found, mistake{field: field, text: fmt.Sprintf("%s has %q, which is not a mail address: use one such as sso-team@example.com", field, address)})
			}
		}
	}
	if s.QuotaShare <= 0 || s.QuotaShare > 1 {
		is("quotaShare", "%v: use a share above 0 and up to 1", s.QuotaShare)
	}
	found = append(found, s.Subject.mistakes()...)
	choice("mode", string(s.Mode), string(ModeRotate), string(ModeNotify), string(ModeOff))
	choice("uploadOrder", string(s.UploadOrder), string(BeforeSwitch), string(AfterSwitch))
	number("validityDays", s.ValidityDays, MinRemainingDays+1, 3650, "; Okta refuses a certificate that is valid for 90 days or less")
	number("rotateBeforeDays", s.RotateBeforeDays, 1, 3649, "")
	number("reminderHours", s.ReminderHours, 1, 24*365, "")
	number("giveUpDays", s.GiveUpDays, 1, 360, "; a Step Functions execution ends after a year, the way back included")
	if sound && s.RotateBeforeDays >= s.ValidityDays {
		both("rotateBeforeDays", "validityDays", "%d, not less than validityDays (%d): a new certificate would be due at once", s.RotateBeforeDays, s.ValidityDays)
	}
	if sound && discovery && s.GiveUpDays > s.RotateBeforeDays {
		both("giveUpDays", "rotateBeforeDays", "%d, more than rotateBeforeDays (%d): the rotation would still wait when the certificate has expired; give up earlier, or rotate earlier before the expiry", s.GiveUpDays, s.RotateBeforeDays)
	}
	if sound && 24*s.GiveUpDays/s.ReminderHours > maxReminders {
		both("reminderHours", "giveUpDays", "%d with giveUpDays %d: that would be %d reminders, and %d are the most; remind less often or give up earlier", s.ReminderHours, s.GiveUpDays, 24*s.GiveUpDays/s.ReminderHours, maxReminders)
	}
	choice("sharedKey", string(s.SharedKey), string(OwnKey), string(ClonedKey))
	choice("signInSilence", string(s.SignInSilence), string(KeepOnSilence), string(RollBackOnSilence))
	number("signInHours", s.SignInHours, 1, 72, "")
	number("maxRotations", s.MaxRotations, 1, 1000, "")
	addresses("approvers", s.Approvers)
	addresses("escalateTo", s.EscalateTo)
	var authorities []string
	for _, a := range Authorities() {
		authorities = append(authorities, string(a))
	}
	choice("certificateAuthority", string(s.CertificateAuthority), authorities...)
	addresses("signers", s.Signers)
	return append(found, s.Profile.mistakes()...)
}

// maxReminders keeps the execution's history far below the 25,000 events that
// Step Functions allows, and the approvers' patience.
const maxReminders = 100
