package rotation

import (
	"fmt"
	"iter"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Subject is the CSR's subject (CsrMetadataSubject in Okta's API). The fields
// may hold {label}, {name} and {id}, which stand for the target's, except
// CountryName.
type Subject struct {
	CountryName            string `json:"countryName,omitempty"`
	StateOrProvinceName    string `json:"stateOrProvinceName,omitempty"`
	LocalityName           string `json:"localityName,omitempty"`
	OrganizationName       string `json:"organizationName,omitempty"`
	OrganizationalUnitName string `json:"organizationalUnitName,omitempty"`
	CommonName             string `json:"commonName,omitempty"`
}

// mostCharacters is the upper bound of a field in RFC 5280, appendix A.1. Okta
// documents none, but CAs and partners refuse what is longer.
func mostCharacters(field string) int {
	switch field {
	case "countryName":
		return 2 // ub-country-name-alpha-length
	case "stateOrProvinceName", "localityName":
		return 128 // ub-state-name, ub-locality-name
	}
	return 64 // ub-organization-name, ub-organizational-unit-name, ub-common-name
}

// all gives the fields of s that are not blank, by name.
func (s Subject) all() iter.Seq2[string, string] {
	return func(yield func(field, pattern string) bool) {
		for _, p := range subjectPlaces {
			if pattern, _ := p.in(&s).(*string); strings.TrimSpace(*pattern) != "" && !yield(p.name, *pattern) {
				return
			}
		}
	}
}

// filled puts texts in place of the placeholders.
func filled(pattern, label, name, id string) string {
	return strings.NewReplacer("{label}", label, "{name}", name, "{id}", id).Replace(pattern)
}

// mistakes finds what no target could make good.
func (s Subject) mistakes() (found []mistake) {
	wrong := func(field, format string, args ...any) {
		field = "subject." + field
		found = append(found, mistake{field: field, text: field + fmt.Sprintf(format, args...)})
	}
	if strings.TrimSpace(s.CommonName) == "" {
		wrong("commonName", ` is empty: use a text such as "{label} SAML signing"`)
	}
	if c := s.CountryName; c != "" && (len(c) != 2 || strings.Trim(c, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "") {
		wrong("countryName", " is %q: use the two letters of ISO 3166, such as US", cut(c))
	}
	for field, pattern := range s.all() {
		if field == "countryName" {
			continue
		}
		fixed := filled(pattern, "", "", "")
		if at := strings.IndexAny(fixed, "{}"); at >= 0 {
			brace := fixed[at : at+1]
			if end := strings.IndexByte(fixed[at:], '}'); end > 0 {
				brace = fixed[at : at+end+1]
			}
			wrong(field, " is %q, in which %q stands for nothing: use {label}, {name} and {id} only", cut(pattern), cut(brace))
			continue
		}
		if at := strings.IndexFunc(pattern, unicode.IsControl); at >= 0 {
			r, _ := utf8.DecodeRuneInString(pattern[at:])
			wrong(field, " is %q, with the control character %U: take it out", cut(pattern), r)
		}
		// A label and an id have at least one character, a name none.
		most := mostCharacters(field)
		if n := utf8.RuneCountInString(filled(pattern, "x", "", "x")); n > most {
			wrong(field, " is %q, with at least %d characters: use at most %d, the upper bound of RFC 5280", cut(pattern), n, most)
		}
	}
	return found
}

// For gives the subject with the target's label, name and id in place. A label
// that would make a field longer than X.509 allows is shortened; no field starts
// or ends with white space. Whether the result is one that Okta takes, ValidateFor
// tells.
func (s Subject) For(t Target) Subject {
	out := Subject{}
	for _, p := range subjectPlaces {
		from, _ := p.in(&s).(*string)
		to, _ := p.in(&out).(*string)
		*to, _ = fill(*from, t, mostCharacters(p.name))
	}
	return out
}

// fill tells also whether the text fits, for which it takes from the label as
// much as is needed, and leaves at least one character.
func fill(pattern string, t Target, most int) (text string, fits bool) {
	whole := strings.TrimSpace(t.Label)
	full := strings.TrimSpace(filled(pattern, whole, t.Name, t.ID))
	over := utf8.RuneCountInString(full) - most
	if over <= 0 {
		return full, true
	}
	label := []rune(whole)
	if n := strings.Count(pattern, "{label}"); n > 0 {
		if keep := len(label) - (over+n-1)/n; keep > 0 {
			short := strings.TrimSpace(string(label[:keep]))
			return strings.TrimSpace(filled(pattern, short, t.Name, t.ID)), true
		}
	}
	return strings.TrimSpace(string([]rune(full)[:most])), false
}

// ValidateFor refuses what For makes of this very target where no CSR should be
// made of it: a field with a text of which nothing is left, one that is too
// long though the label is shortened, or a control character out of the label.
// Its errors are named Policy.Invalid.
func (s Subject) ValidateFor(t Target) error {
	for field, pattern := range s.all() {
		wrong := func(format string, args ...any) error {
			return Errorf("Policy.Invalid", "policy.subject.%s is %q, which "+format, append([]any{field, cut(pattern)}, args...)...)
		}
		most := mostCharacters(field)
		text, fits := fill(pattern, t, most)
		if text == "" && t.Kind == KindIDP && strings.Contains(pattern, "{name}") {
			return wrong("is empty for %s (%s), since an IdP has no app name: use {label} or {id}, or another text in a rule for IdPs", t, t.Label)
		}
		if text == "" {
			return wrong("is empty for %s: use {id}, or another text in a rule for it", t)
		}
		if !fits {
			return wrong("has %d characters for %s (%s), and X.509 takes %d (RFC 5280, appendix A.1): use a shorter text, or {label}, which is shortened",
				utf8.RuneCountInString(strings.TrimSpace(filled(pattern, t.Label, t.Name, t.ID))), t, t.Label, most)
		}
		if at := strings.IndexFunc(text, unicode.IsControl); at >= 0 {
			r, _ := utf8.DecodeRuneInString(text[at:])
			return wrong("has the control character %U for %s: take it out of the label in Okta, or use {id}", r, t)
		}
	}
	return nil
}
