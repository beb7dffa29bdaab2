package rotation

import (
	"encoding/json"
	"slices"
)

// Policy is a policy that was read and checked: what holds for any target.
// It does not change, and several goroutines may use it.
type Policy struct {
	settings Settings
	rules    []rule
}

// rule is a match, and the settings of those who fit with everything filled in.
type rule struct {
	match    match
	settings Settings
}

// ParsePolicy lays what raw names over base, and checks it. An empty raw, or
// null, leaves the base. Errors are named Policy.Invalid and name the first
// field that is wrong, its value and the remedy.
func ParsePolicy(raw json.RawMessage, base Settings) (*Policy, error) {
	policy, problems := readPolicy(raw, base, false)
	if len(problems) > 0 {
		return nil, &Error{Name: "Policy.Invalid", Message: problems[0].Message}
	}
	return policy, nil
}

// ResolvePolicy gives the settings for one target: base, over it what raw
// names, over that what the first rule that matches names. Its errors are those
// of ParsePolicy.
func ResolvePolicy(raw json.RawMessage, base Settings, t Target, kid string) (Settings, error) {
	policy, err := ParsePolicy(raw, base)
	if err != nil {
		return Settings{}, err
	}
	s, _ := policy.For(t, kid)
	return s, nil
}

// Settings are those outside the rules.
func (p *Policy) Settings() Settings { return p.settings.clone() }

// Authorities are the CAs that the policy can lead to, each once, in the order
// of [Authorities]: that outside the rules, and those of the rules.
func (p *Policy) Authorities() []CertificateAuthority {
	used := []CertificateAuthority{p.settings.CertificateAuthority}
	for _, r := range p.rules {
		used = append(used, r.settings.CertificateAuthority)
	}
	return slices.DeleteFunc(Authorities(), func(a CertificateAuthority) bool { return !slices.Contains(used, a) })
}

// For gives the settings for a target with this active kid, and the index of
// the rule that matched, or -1. They share no list with those of another call.
func (p *Policy) For(t Target, kid string) (Settings, int) {
	label, name := folded(t.Label), folded(t.Name)
	for i, r := range p.rules {
		if r.match.fits(t, label, name, kid) {
			return r.settings.clone(), i
		}
	}
	return p.settings.clone(), -1
}
