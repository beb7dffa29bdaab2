package rotation

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/mail"
	"path"
	"slices"
	"strings"
	"unicode/utf8"
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

// Subject is the CSR's subject (CsrMetadataSubject in Okta's API). The fields
// may hold {label}, {name} and {id}, which stand for the target's.
type Subject struct {
	CountryName            string `json:"countryName,omitempty"`
	StateOrProvinceName    string `json:"stateOrProvinceName,omitempty"`
	LocalityName           string `json:"localityName,omitempty"`
	OrganizationName       string `json:"organizationName,omitempty"`
	OrganizationalUnitName string `json:"organizationalUnitName,omitempty"`
	CommonName             string `json:"commonName,omitempty"`
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
	GiveUpDays   int     `json:"giveUpDays"`
	MaxRotations int     `json:"maxRotations"`
	QuotaShare   float64 `json:"quotaShare"`
	Subject      Subject `json:"subject"`
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
		MaxRotations:     25,
		QuotaShare:       0.5,
		Subject:          Subject{CommonName: "{label} SAML signing"},
	}
}

// clone shares nothing with s. JSON is decoded into slices in place: without
// it, one rotation's approvers would become another's in a warm function.
func (s Settings) clone() Settings {
	s.Approvers = append([]string{}, s.Approvers...)
	s.EscalateTo = append([]string{}, s.EscalateTo...)
	return s
}

// match is a rule's condition: every field that is given must fit.
type match struct {
	Kind  Kind   `json:"kind"`
	ID    string `json:"id"`
	Label string `json:"label"`
	Name  string `json:"name"`
	Kid   string `json:"kid"`
}

func (m match) fits(t Target, kid string) bool {
	// Only * and ? have a meaning: labels do hold brackets. To path.Match a
	// slash would end what * stands for.
	literal := strings.NewReplacer("[", `\[`, `\`, `\\`, "/", "\x00")
	glob := func(pattern, s string) bool {
		ok, err := path.Match(literal.Replace(strings.ToLower(pattern)), strings.ReplaceAll(strings.ToLower(s), "/", "\x00"))
		return err == nil && ok
	}
	return (m.Kind == "" || m.Kind == t.Kind) &&
		(m.ID == "" || m.ID == t.ID) &&
		(m.Label == "" || glob(m.Label, t.Label)) &&
		(m.Name == "" || glob(m.Name, t.Name)) &&
		(m.Kid == "" || m.Kid == kid)
}

// ResolvePolicy gives the settings for one target: base, over it what raw
// names, over that what the first rule that matches names. An empty raw leaves
// the base. Errors are named Policy.Invalid and name the field, its value and
// the remedy.
func ResolvePolicy(raw json.RawMessage, base Settings, t Target, kid string) (Settings, error) {
	s := base.clone()
	var rules []json.RawMessage
	if raw = bytes.TrimSpace(raw); len(raw) > 0 && !bytes.Equal(raw, []byte("null")) {
		policy := struct {
			*Settings
			Rules []json.RawMessage `json:"rules"`
		}{Settings: &s}
		if err := decodeStrict(raw, &policy, "policy"); err != nil {
			return Settings{}, err
		}
		rules = policy.Rules
	}
	if err := s.Validate("policy"); err != nil {
		return Settings{}, err
	}
	// Every rule is checked, also those after the first that matches: a
	// mistake shows when the policy is written and not when its target is due.
	matched := false
	result := s
	for i, rawRule := range rules {
		where := fmt.Sprintf("policy.rules[%d]", i)
		overlaid := s.clone()
		rule := struct {
			*Settings
			Match *match `json:"match"`
		}{Settings: &overlaid}
		if err := decodeStrict(rawRule, &rule, where); err != nil {
			return Settings{}, err
		}
		if rule.Match == nil {
			return Settings{}, Errorf("Policy.Invalid", "%s has no match: say which targets it is for, such as {\"match\": {\"label\": \"Salesforce*\"}}", where)
		}
		if err := rule.Match.validate(where + ".match"); err != nil {
			return Settings{}, err
		}
		if err := overlaid.Validate(where); err != nil {
			return Settings{}, err
		}
		if !matched && rule.Match.fits(t, kid) {
			matched, result = true, overlaid
		}
	}
	// A list that the policy gives as null is empty; the state machine passes
	// lists on as lists.
	return result.clone(), nil
}

func (m match) validate(where string) error {
	if m == (match{}) {
		return Errorf("Policy.Invalid", "%s is empty: name at least one of kind, id, label, name and kid", where)
	}
	if m.Kind != "" && m.Kind != KindApp && m.Kind != KindIDP {
		return Errorf("Policy.Invalid", "%s.kind is %q: use %q or %q", where, m.Kind, KindApp, KindIDP)
	}
	return nil
}

// decodeStrict reads JSON over what v already holds, and says in our words
// what is wrong with it.
func decodeStrict(raw []byte, v any, where string) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	err := d.Decode(v)
	if err == nil {
		if _, err := d.Token(); !errors.Is(err, io.EOF) {
			return Errorf("Policy.Invalid", "%s has text after its end: give one JSON object", where)
		}
		return nil
	}
	var wrongType *json.UnmarshalTypeError
	if errors.As(err, &wrongType) {
		field := where
		if wrongType.Field != "" {
			field += "." + strings.TrimPrefix(wrongType.Field, "Settings.")
		}
		return Errorf("Policy.Invalid", "%s is a JSON %s: give %s", field, wrongType.Value, jsonName(wrongType.Type.Kind().String()))
	}
	if _, field, found := strings.Cut(err.Error(), "unknown field "); found {
		last := "rules"
		if where != "policy" {
			last = "match (with kind, id, label, name and kid)"
		}
		return Errorf("Policy.Invalid", "%s has the unknown field %s: remove it, or correct its spelling; the fields are mode, rotateBeforeDays, validityDays, uploadOrder, confirmSignIn, signInHours, signInSilence, approvers, escalateTo, reminderHours, giveUpDays, maxRotations, quotaShare, subject and %s", where, field, last)
	}
	return &Error{Name: "Policy.Invalid", Message: where + " is not JSON", Err: err}
}

func jsonName(goKind string) string {
	switch goKind {
	case "int":
		return "a whole number"
	case "float64":
		return "a number"
	case "bool":
		return "true or false"
	case "slice":
		return "a list"
	case "struct", "ptr":
		return "an object"
	}
	return "a " + goKind
}

// Validate refuses settings that cannot be used. Its errors are named
// Policy.Invalid and say where, as in where.validityDays.
func (s Settings) Validate(where string) error {
	number := func(field string, value, least, most int, why string) error {
		if value >= least && value <= most {
			return nil
		}
		return Errorf("Policy.Invalid", "%s.%s is %d: use %d to %d%s", where, field, value, least, most, why)
	}
	choice := func(field, value string, allowed ...string) error {
		if slices.Contains(allowed, value) {
			return nil
		}
		return Errorf("Policy.Invalid", "%s.%s is %q: use %s", where, field, value, strings.Join(allowed, " or "))
	}
	addresses := func(field string, list []string) error {
		for _, address := range list {
			if a, err := mail.ParseAddress(address); err != nil || a.Address != address {
				return Errorf("Policy.Invalid", "%s.%s has %q, which is not a mail address: use one such as sso-team@example.com", where, field, address)
			}
		}
		return nil
	}
	if s.QuotaShare <= 0 || s.QuotaShare > 1 {
		return Errorf("Policy.Invalid", "%s.quotaShare is %v: use a share above 0 and up to 1", where, s.QuotaShare)
	}
	if strings.TrimSpace(s.Subject.CommonName) == "" {
		return Errorf("Policy.Invalid", "%s.subject.commonName is empty: use a text such as \"{label} SAML signing\"", where)
	}
	if c := s.Subject.CountryName; c != "" && (len(c) != 2 || strings.Trim(c, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "") {
		return Errorf("Policy.Invalid", "%s.subject.countryName is %q: use the two letters of ISO 3166, such as US", where, c)
	}
	return first(
		choice("mode", string(s.Mode), string(ModeRotate), string(ModeNotify), string(ModeOff)),
		choice("uploadOrder", string(s.UploadOrder), string(BeforeSwitch), string(AfterSwitch)),
		number("validityDays", s.ValidityDays, MinRemainingDays+1, 3650, "; Okta refuses a certificate that is valid for 90 days or less"),
		number("rotateBeforeDays", s.RotateBeforeDays, 1, 3649, ""),
		lessThan(where+".rotateBeforeDays", s.RotateBeforeDays, "validityDays", s.ValidityDays),
		number("reminderHours", s.ReminderHours, 1, 24*365, ""),
		number("giveUpDays", s.GiveUpDays, 1, 360, "; a Step Functions execution ends after a year, the way back included"),
		fewReminders(where, s),
		choice("signInSilence", string(s.SignInSilence), string(KeepOnSilence), string(RollBackOnSilence)),
		number("signInHours", s.SignInHours, 1, 72, ""),
		number("maxRotations", s.MaxRotations, 1, 1000, ""),
		addresses("approvers", s.Approvers),
		addresses("escalateTo", s.EscalateTo),
	)
}

// maxReminders keeps the execution's history far below the 25,000 events that
// Step Functions allows, and the approvers' patience.
const maxReminders = 100

func fewReminders(where string, s Settings) error {
	if s.ReminderHours <= 0 || 24*s.GiveUpDays/s.ReminderHours <= maxReminders {
		return nil
	}
	return Errorf("Policy.Invalid", "%s.reminderHours is %d with giveUpDays %d: that would be %d reminders, and %d are the most; remind less often or give up earlier", where, s.ReminderHours, s.GiveUpDays, 24*s.GiveUpDays/s.ReminderHours, maxReminders)
}

func lessThan(field string, value int, than string, limit int) error {
	if value < limit {
		return nil
	}
	return Errorf("Policy.Invalid", "%s is %d, not less than %s (%d): a new certificate would be due at once", field, value, than, limit)
}

func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// maxNameLength is the upper bound of commonName and organizationName in
// RFC 5280, appendix A.1 (ub-common-name).
const maxNameLength = 64

// For gives the subject with the target's label, name and id in place. A label
// that would make a field longer than X.509 allows is shortened; no field starts
// or ends with white space.
func (s Subject) For(t Target) Subject {
	fill := func(pattern string) string {
		r := strings.NewReplacer("{label}", t.Label, "{name}", t.Name, "{id}", t.ID)
		full := strings.TrimSpace(r.Replace(pattern))
		over := utf8.RuneCountInString(full) - maxNameLength
		if over <= 0 {
			return full
		}
		label := []rune(t.Label)
		if keep := len(label) - over; strings.Contains(pattern, "{label}") && keep > 0 {
			short := strings.TrimSpace(string(label[:keep]))
			return strings.TrimSpace(strings.NewReplacer("{label}", short, "{name}", t.Name, "{id}", t.ID).Replace(pattern))
		}
		return strings.TrimSpace(string([]rune(full)[:maxNameLength]))
	}
	return Subject{
		CountryName:            fill(s.CountryName),
		StateOrProvinceName:    fill(s.StateOrProvinceName),
		LocalityName:           fill(s.LocalityName),
		OrganizationName:       fill(s.OrganizationName),
		OrganizationalUnitName: fill(s.OrganizationalUnitName),
		CommonName:             fill(s.CommonName),
	}
}
