package rotation

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// place is a field of a T: its name in JSON, and where it goes.
type place[T any] struct {
	name string
	in   func(*T) any
}

var settingsPlaces = []place[Settings]{
	{"mode", func(s *Settings) any { return &s.Mode }},
	{"rotateBeforeDays", func(s *Settings) any { return &s.RotateBeforeDays }},
	{"validityDays", func(s *Settings) any { return &s.ValidityDays }},
	{"uploadOrder", func(s *Settings) any { return &s.UploadOrder }},
	{"confirmSignIn", func(s *Settings) any { return &s.ConfirmSignIn }},
	{"signInHours", func(s *Settings) any { return &s.SignInHours }},
	{"signInSilence", func(s *Settings) any { return &s.SignInSilence }},
	{"approvers", func(s *Settings) any { return &s.Approvers }},
	{"escalateTo", func(s *Settings) any { return &s.EscalateTo }},
	{"reminderHours", func(s *Settings) any { return &s.ReminderHours }},
	{"giveUpDays", func(s *Settings) any { return &s.GiveUpDays }},
	{"sharedKey", func(s *Settings) any { return &s.SharedKey }},
	{"maxRotations", func(s *Settings) any { return &s.MaxRotations }},
	{"quotaShare", func(s *Settings) any { return &s.QuotaShare }},
	{"subject", func(s *Settings) any { return &s.Subject }},
	{"certificateAuthority", func(s *Settings) any { return &s.CertificateAuthority }},
	{"signers", func(s *Settings) any { return &s.Signers }},
	{"profile", func(s *Settings) any { return &s.Profile }},
}

var subjectPlaces = []place[Subject]{
	{"countryName", func(s *Subject) any { return &s.CountryName }},
	{"stateOrProvinceName", func(s *Subject) any { return &s.StateOrProvinceName }},
	{"localityName", func(s *Subject) any { return &s.LocalityName }},
	{"organizationName", func(s *Subject) any { return &s.OrganizationName }},
	{"organizationalUnitName", func(s *Subject) any { return &s.OrganizationalUnitName }},
	{"commonName", func(s *Subject) any { return &s.CommonName }},
}

var profilePlaces = []place[Profile]{
	{"keyUsage", func(p *Profile) any { return &p.KeyUsage }},
	{"extensions", func(p *Profile) any { return &p.Extensions }},
	{"crlUrls", func(p *Profile) any { return &p.CRLURLs }},
	{"ocspUrls", func(p *Profile) any { return &p.OCSPURLs }},
	{"caIssuersUrls", func(p *Profile) any { return &p.CAIssuersURLs }},
}

var extensionPlaces = []place[Extension]{
	{"oid", func(e *Extension) any { return &e.OID }},
	{"critical", func(e *Extension) any { return &e.Critical }},
	{"value", func(e *Extension) any { return &e.Value }},
}

var matchPlaces = []place[match]{
	{"kind", func(m *match) any { return &m.kind }},
	{"id", func(m *match) any { return &m.id }},
	{"label", func(m *match) any { return &m.label }},
	{"name", func(m *match) any { return &m.app }},
	{"kid", func(m *match) any { return &m.kid }},
}

// ofARun are the settings that hold for a run of discovery as a whole.
var ofARun = []string{"maxRotations", "quotaShare"}

func names[T any](places []place[T]) (all []string) {
	for _, p := range places {
		all = append(all, p.name)
	}
	return all
}

// reader reads a policy and notes all that is wrong with it.
type reader struct {
	text []byte
	// strict is for a policy that people keep in a file: it refuses as well
	// what has a meaning but can hardly be meant, and what only discovery
	// cannot use.
	strict bool
	found  []found
}

type found struct {
	at             int
	field, message string
}

func (r *reader) refuse(at int, field, format string, args ...any) {
	r.found = append(r.found, found{at, field, field + fmt.Sprintf(format, args...)})
}

const notAnObject = " is a JSON %s: give an object"

// line is where an offset is, from 1 on.
func (r *reader) line(at int) int { return 1 + bytes.Count(r.text[:at], []byte("\n")) }

// lines tells whether it helps to name lines.
func (r *reader) lines() bool { return bytes.ContainsRune(bytes.TrimSpace(r.text), '\n') }

// readPolicy lays a policy over base. Where there are problems, in the order of
// the text, the policy must not be used.
func readPolicy(raw []byte, base Settings, strict bool) (*Policy, []PolicyProblem) {
	r := &reader{text: raw, strict: strict}
	policy := r.policy(base)
	slices.SortStableFunc(r.found, func(a, b found) int { return a.at - b.at })
	var problems []PolicyProblem
	for _, f := range r.found {
		problems = append(problems, PolicyProblem{Line: r.line(f.at), Field: f.field, Message: f.message})
	}
	return policy, problems
}

func (r *reader) policy(base Settings) *Policy {
	const where = "policy"
	policy := &Policy{settings: base.clone()}
	root := &node{}
	if trimmed := bytes.TrimSpace(r.text); len(trimmed) > 0 && !bytes.Equal(trimmed, []byte("null")) {
		if at, message := syntaxError(r.text); message != "" {
			r.found = append(r.found, found{at, where, message})
			return policy
		}
		root = outline(r.text)
		if r.strict {
			r.whole(root)
		}
		if root.sort() != "object" {
			r.refuse(root.at, where, notAnObject, root.sort())
			return policy
		}
	}
	rules := &node{}
	known := append(names(settingsPlaces), "rules")
	given := r.settings(root, &policy.settings, where, known, func(f field) bool {
		switch f.name {
		case "$schema":
			// For editors.
			r.value(f, new(string), where)
		case "rules":
			switch {
			case r.null(f, where):
			case f.value.sort() == "array":
				rules = f.value
			case f.value.sort() != "null":
				r.refuse(f.at, where+".rules", " is a JSON %s: give a list", f.value.sort())
			}
		default:
			return false
		}
		return true
	})
	r.mistakes(policy.settings, given, root.at, where)

	// Every rule is checked, also those after the first that matches: a
	// mistake shows when the policy is written and not when its target is due.
	for i, n := range rules.items {
		policy.rules = append(policy.rules, r.rule(n, policy.settings, fmt.Sprintf("%s.rules[%d]", where, i)))
	}
	if r.strict {
		r.unreachable(policy.rules, rules.items)
		if !slices.Contains(policy.Authorities(), AuthorityManual) {
			r.unasked(policy.settings, given, where)
		}
	}
	return policy
}

func (r *reader) rule(n *node, outside Settings, where string) rule {
	const nothing = ` has no match: say which targets it is for, such as {"match": {"label": "Salesforce*"}}`
	read := rule{settings: outside}
	if n.sort() == "null" {
		r.refuse(n.at, where, nothing)
		return read
	}
	if n.sort() != "object" {
		r.refuse(n.at, where, notAnObject, n.sort())
		return read
	}
	known := slices.DeleteFunc(names(settingsPlaces), func(name string) bool { return slices.Contains(ofARun, name) })
	known = append(known, "match (with kind, id, label, name and kid)")
	matched := false
	given := r.settings(n, &read.settings, where, known, func(f field) bool {
		switch {
		case f.name == "match":
			if f.value.sort() == "null" {
				break
			}
			matched = true
			read.match = r.match(f, where+".match")
		case slices.Contains(ofARun, f.name):
			r.refuse(f.at, where+"."+f.name, " is for a whole run of discovery and cannot be in a rule: put it outside the rules")
		default:
			return false
		}
		return true
	})
	if !matched {
		r.refuse(n.at, where, nothing)
	}
	r.mistakes(read.settings, given, -1, where)
	if r.strict {
		r.unasked(read.settings, given, where)
		if read.match.kind == KindIDP {
			r.nameless(read.settings.Subject, given, n.at, where)
		}
	}
	return read
}

func (r *reader) match(f field, where string) match {
	var m match
	if f.value.sort() != "object" {
		r.refuse(f.at, where, notAnObject, f.value.sort())
		return m
	}
	before := len(r.found)
	given := fields(r, f.value, &m, matchPlaces, where, names(matchPlaces), nil)
	if len(r.found) > before {
		return match{}
	}
	if m.empty() {
		r.refuse(f.at, where, " is empty: name at least one of kind, id, label, name and kid")
		return m
	}
	if m.kind != "" && m.kind != KindApp && m.kind != KindIDP {
		r.refuse(given["kind"], where+".kind", " is %q: use %q or %q", m.kind, KindApp, KindIDP)
		return match{}
	}
	m = m.compiled()
	if r.strict {
		r.pointless(f.value, m, given, where)
	}
	return m
}

// settings reads the fields of a policy or of a rule into s; special takes
// those that are no settings, or may not be here. It returns the offsets of the
// settings that were read, subject.commonName and the like among them.
func (r *reader) settings(n *node, s *Settings, where string, known []string, special func(field) bool) map[string]int {
	inside := map[string]int{}
	given := fields(r, n, s, settingsPlaces, where, known, func(f field) bool {
		switch {
		case special(f):
		case f.name == "subject" && f.value.sort() == "object":
			for name, at := range fields(r, f.value, &s.Subject, subjectPlaces, where+".subject", names(subjectPlaces), nil) {
				inside["subject."+name] = at
			}
		case f.name == "profile" && f.value.sort() == "object":
			for name, at := range r.profile(f.value, &s.Profile, where+".profile") {
				inside["profile."+name] = at
			}
		default:
			return false
		}
		return true
	})
	maps.Copy(given, inside)
	return given
}

// profile is fields for a profile. Among the offsets are those of the
// extensions and their fields, as in extensions[0] and extensions[0].oid.
func (r *reader) profile(n *node, p *Profile, where string) map[string]int {
	inside := map[string]int{}
	given := fields(r, n, p, profilePlaces, where, names(profilePlaces), func(f field) bool {
		if f.name != "extensions" || f.value.sort() != "array" {
			return false
		}
		extensions, before := []Extension{}, len(r.found)
		offsets := map[string]int{f.name: f.at}
		for i, item := range f.value.items {
			name := fmt.Sprintf("%s[%d]", f.name, i)
			if item.sort() != "object" {
				r.refuse(item.at, where+"."+name, notAnObject, item.sort())
				continue
			}
			offsets[name] = item.at
			var e Extension
			for field, at := range fields(r, item, &e, extensionPlaces, where+"."+name, names(extensionPlaces), nil) {
				offsets[name+"."+field] = at
			}
			extensions = append(extensions, e)
		}
		if len(r.found) == before {
			p.Extensions = extensions
			maps.Copy(inside, offsets)
		}
		return true
	})
	maps.Copy(given, inside)
	return given
}

// fields reads an object's fields into t, those aside that special takes. It
// returns the offsets of those that were read.
func fields[T any](r *reader, n *node, t *T, places []place[T], where string, known []string, special func(field) bool) map[string]int {
	given := map[string]int{}
	first := map[string]int{}
	for _, f := range n.fields {
		if at, twice := first[f.name]; twice && r.strict {
			lines := ""
			if r.lines() {
				lines = fmt.Sprintf(" (lines %d and %d)", r.line(at), r.line(f.at))
			}
			r.refuse(f.at, where+"."+f.name, " is given twice%s: keep one of them", lines)
			continue
		}
		first[f.name] = f.at
		if special != nil && special(f) {
			continue
		}
		i := slices.IndexFunc(places, func(p place[T]) bool { return p.name == f.name })
		if i < 0 {
			last := len(known) - 1
			r.refuse(f.at, where, " has the unknown field %q: remove it, or correct its spelling; the fields are %s and %s", f.name, strings.Join(known[:last], ", "), known[last])
			continue
		}
		if r.value(f, places[i].in(t), where) {
			given[f.name] = f.at
		}
	}
	return given
}

// value reads one field, and tells whether it could.
func (r *reader) value(f field, v any, where string) bool {
	if r.null(f, where) {
		return false
	}
	path := where + "." + f.name
	if list, ok := v.(*[]string); ok {
		// Into a list that is there already null would be read as what it had.
		*list = nil
		for _, item := range f.value.items {
			if item.sort() != "string" {
				r.refuse(f.at, path, " has a JSON %s in its list: give strings", item.sort())
				return false
			}
		}
	}
	var wrong *json.UnmarshalTypeError
	if err := json.Unmarshal(f.value.raw, v); errors.As(err, &wrong) {
		r.refuse(f.at, path, " is a JSON %s: give %s", wrong.Value, jsonName(wrong.Type.Kind().String()))
		return false
	}
	return true
}

// null refuses null in a file: is the default meant, or nothing? Elsewhere it
// is what encoding/json takes it for.
func (r *reader) null(f field, where string) bool {
	if !r.strict || f.value.sort() != "null" {
		return false
	}
	r.refuse(f.at, where+"."+f.name, " is null: give a value, or leave the field out")
	return true
}

// mistakes notes those of the settings that come of a given field. At elsewhere
// it notes the others; if that is negative, they are noted already.
func (r *reader) mistakes(s Settings, given map[string]int, elsewhere int, where string) {
	for _, m := range s.mistakes(r.strict) {
		at, here := given[m.field]
		if !here {
			at, here = given[m.other]
		}
		if !here {
			at = elsewhere
		}
		if at >= 0 {
			r.found = append(r.found, found{at, where + "." + m.field, where + "." + m.text})
		}
	}
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
	case "struct":
		return "an object"
	}
	return "a " + goKind
}
