package rotation

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// PolicyProblem is one thing that is wrong with a policy.
type PolicyProblem struct {
	// Line is where, from 1 on: the line of the field, or of the rule that
	// lacks one.
	Line int
	// Field is the path, such as policy.rules[1].match.kind.
	Field string
	// Message begins with a path, and names value and remedy.
	Message string
}

// MaxPolicySize is the most that a policy may have in bytes without white
// space. It travels in a schedule's input and in the state of an execution,
// each of which takes 256 KiB, in the latter more than once.
const MaxPolicySize = 60 << 10

// takenForTheirOwn are texts that AWS would put something else in place of on
// the policy's way to discovery.
var takenForTheirOwn = []struct{ text, by string }{
	{"<aws.scheduler.", "EventBridge Scheduler"},
	{"{{resolve:", "CloudFormation"},
}

// CheckPolicy finds all that is wrong with the policy of discovery, in the
// order of the text. Besides what ParsePolicy refuses these are: what no rule
// can do, having no targets left or none at all; giving up after the expiry;
// signers beside a CA that signs without them; a subject for IdPs alone that has
// no text; null, empty conditions and fields that are given twice, which would be
// taken for something; and what AWS would not pass on unchanged.
func CheckPolicy(raw []byte, base Settings) []PolicyProblem {
	switch text := string(bytes.TrimSpace(raw)); text {
	case "":
		return []PolicyProblem{{Line: 1, Field: "policy", Message: `policy is empty: give one JSON object, such as {"rules": []}`}}
	case "null":
		return []PolicyProblem{{Line: 1, Field: "policy", Message: `policy is null: give one JSON object, such as {"rules": []}`}}
	}
	_, problems := readPolicy(raw, base, true)
	return problems
}

// maxListed bounds how many problems an error lists.
const maxListed = 10

// LoadPolicy is ParsePolicy for discovery: it refuses all that CheckPolicy
// finds, and its error, which is named Policy.Invalid, lists the first problems
// and their lines. An empty raw, or null, leaves the base.
func LoadPolicy(raw []byte, base Settings) (*Policy, error) {
	policy, problems := readPolicy(raw, base, true)
	if len(problems) == 0 {
		return policy, nil
	}
	multiline := (&reader{text: raw}).lines()
	var list []string
	for i, p := range problems {
		if i == maxListed {
			list = append(list, fmt.Sprintf("and %d more", len(problems)-maxListed))
			break
		}
		text := p.Message
		if multiline {
			text = fmt.Sprintf("line %d: %s", p.Line, text)
		}
		list = append(list, text)
	}
	if len(problems) > 1 {
		list = append([]string{fmt.Sprintf("the policy has %d problems:", len(problems))}, list...)
	}
	return nil, &Error{Name: "Policy.Invalid", Message: strings.Join(list, "\n")}
}

// whole checks the text as such.
func (r *reader) whole(root *node) {
	for at := 0; at < len(r.text); {
		char, size := utf8.DecodeRune(r.text[at:])
		if char == utf8.RuneError && size == 1 {
			r.refuse(at, "policy", " has text that is not UTF-8: save the file as UTF-8")
			break
		}
		at += size
	}
	var compact bytes.Buffer
	if json.Compact(&compact, r.text) == nil && compact.Len() > MaxPolicySize {
		r.refuse(root.at, "policy", " has %d bytes without its white space, more than %d: use fewer rules, with patterns instead of one rule a target", compact.Len(), MaxPolicySize)
	}
	r.unchanged(root, "policy", 0)
}

// maxDepth is more than policy.rules[0].profile.extensions[0].oid has; what is
// deeper is refused for other reasons.
const maxDepth = 7

// unchanged refuses text that AWS would replace.
func (r *reader) unchanged(n *node, where string, depth int) {
	if depth > maxDepth {
		return
	}
	for _, f := range n.fields {
		r.unchanged(f.value, where+"."+f.name, depth+1)
	}
	for i, item := range n.items {
		r.unchanged(item, fmt.Sprintf("%s[%d]", where, i), depth+1)
	}
	if n.sort() != "string" {
		return
	}
	for _, taken := range takenForTheirOwn {
		if strings.Contains(n.text(), taken.text) {
			r.refuse(n.at, where, " has the text %q, for which %s puts in something else: take it out", taken.text, taken.by)
		}
	}
}

// pointless refuses conditions that no target can meet, or that say nothing.
func (r *reader) pointless(n *node, m match, given map[string]int, where string) {
	for _, f := range n.fields {
		if f.value.sort() == "string" && f.value.text() == "" {
			r.refuse(f.at, where+"."+f.name, " is empty, which every target fits: give a value, or leave the field out")
		}
	}
	if m.id != "" && !isID(m.id) {
		r.refuse(given["id"], where+".id", " is %q, which cannot be an id of Okta's, so the rule can never match: use one such as 0oa1gjh63g214q0Hq0g4, or a pattern in label or name", m.id)
	}
	if strings.ContainsAny(m.kid, "*?") {
		r.refuse(given["kid"], where+".kid", " is %q, but a kid is no pattern, so the rule can never match: give the whole kid", m.kid)
	}
	if m.kind == KindIDP && !m.possible(KindIDP) {
		r.refuse(given["name"], where+".name", ` is %q with kind "idp", but an IdP has no app name, so the rule can never match: use its label`, m.app)
	}
}

// unasked refuses signers beside the CA that signs without them. What names
// signers alone may be for the CA of the stack, or of the rotation's input.
func (r *reader) unasked(s Settings, given map[string]int, where string) {
	at, signers := given["signers"]
	_, authority := given["certificateAuthority"]
	if signers && authority && len(s.Signers) > 0 && s.CertificateAuthority != AuthorityManual {
		r.refuse(at, where+".signers", " is given with certificateAuthority %q, where nobody is asked to sign: remove it, or use %q", s.CertificateAuthority, AuthorityManual)
	}
}

// nameless refuses a subject for IdPs alone that would have no text, since they
// have no app name.
func (r *reader) nameless(s Subject, given map[string]int, elsewhere int, where string) {
	for field, pattern := range s.all() {
		if strings.TrimSpace(filled(pattern, "x", "", "x")) != "" {
			continue
		}
		field = "subject." + field
		at, here := given[field]
		if !here {
			at = elsewhere
		}
		r.refuse(at, where+"."+field, " is %q, which is empty for the rule's targets, since an IdP has no app name: use {label} or {id}", pattern)
	}
}

// unreachable refuses rules that can never match because earlier ones take all
// their targets: one of them, or one the apps and another the IdPs.
func (r *reader) unreachable(rules []rule, places []*node) {
	name := func(i int) string {
		if !r.lines() {
			return fmt.Sprintf("rules[%d]", i)
		}
		return fmt.Sprintf("rules[%d] (line %d)", i, r.line(places[i].at))
	}
	type taken struct {
		by   int
		kind string
	}
	for i, later := range rules {
		var all []taken
		free := later.match.empty()
		for kind, plural := range map[Kind]string{KindApp: "apps", KindIDP: "IdPs"} {
			if !later.match.possible(kind) {
				continue
			}
			by := slices.IndexFunc(rules[:i], func(earlier rule) bool {
				return !earlier.match.empty() && earlier.match.covers(later.match, kind)
			})
			free = free || by < 0
			all = append(all, taken{by, plural})
		}
		if free || len(all) == 0 {
			continue
		}
		slices.SortFunc(all, func(a, b taken) int { return a.by - b.by })
		field, first, last := fmt.Sprintf("policy.rules[%d]", i), all[0], all[len(all)-1]
		message := fmt.Sprintf("policy.%s can never match, since %s takes all its targets before: move it before that one, or remove it", name(i), name(first.by))
		if first.by != last.by {
			message = fmt.Sprintf("policy.%s can never match, since %s takes all its %s before, and %s all its %s: move it before them, or remove it", name(i), name(first.by), first.kind, name(last.by), last.kind)
		}
		r.found = append(r.found, found{places[i].at, field, message})
	}
}
