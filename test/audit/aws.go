package audit

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// AWSRecord is what internal/localaws writes down: either what a role of a stack
// may do (Policies), as it was deployed, or what was asked in its name (Action).
type AWSRecord struct {
	// Cloud tells apart the local AWSs that ran, Stack the stacks of one.
	Cloud, Stack string
	// Role and By are logical ids of the template; By is the function, state
	// machine, rule or schedule that asked.
	Role, By string

	Policies []struct{ Statement Many[Statement] }
	// Managed are the ARNs of policies that AWS or others keep.
	Managed []string

	Action, Resource string
	// Context has the condition keys that the role's policies name.
	Context map[string]any
	// Allowed is what the local AWS decided; of state machines, rules and
	// schedules it decides nothing.
	Allowed bool
}

// Statement is one of an identity policy.
type Statement struct {
	Sid, Effect      string
	Action, Resource Many[string]
	NotAction        Many[string]
	NotResource      Many[string]
	Condition        map[string]map[string]Many[string]
	where            string // what names it among the role's
}

// Many is what JSON policies have alone or in a list.
type Many[T any] []T

// UnmarshalJSON takes both.
func (m *Many[T]) UnmarshalJSON(text []byte) error {
	var list []T
	if json.Unmarshal(text, &list) == nil {
		*m = list
		return nil
	}
	var one T
	if err := json.Unmarshal(text, &one); err != nil {
		return err
	}
	*m = Many[T]{one}
	return nil
}

// Permission is one action on one resource of one statement of a role: the same
// one in every stack, whatever its resource is called there.
type Permission struct {
	Role, Statement, Action string
	// Place is where in the statement's list the resource stands.
	Place int
}

// Grant is a permission as one stack has it.
type Grant struct {
	Permission
	Resource  string
	condition map[string]map[string]Many[string]
}

// Power is what the roles of a template's stacks may do, and what was done with
// them.
type Power struct {
	roles map[roleKey][]Grant
	calls []AWSRecord
	// Stacks are the stacks' names, those of several local AWSs once.
	Stacks []string
	// wrong is what no permission can be made of.
	wrong []string
}

type roleKey struct{ cloud, stack, role string }

// NewPower reads the records of all stacks that have a role of this name, and
// leaves out those of other templates.
func NewPower(records []AWSRecord, of string) *Power {
	type stackKey struct{ cloud, stack string }
	ours := map[stackKey]bool{}
	for _, r := range records {
		if r.Role == of && r.Action == "" {
			ours[stackKey{r.Cloud, r.Stack}] = true
		}
	}
	p := &Power{roles: map[roleKey][]Grant{}}
	names := map[string]bool{}
	for _, r := range records {
		if !ours[stackKey{r.Cloud, r.Stack}] {
			continue
		}
		names[r.Stack] = true
		if r.Action != "" {
			p.calls = append(p.calls, r)
			continue
		}
		key := roleKey{r.Cloud, r.Stack, r.Role}
		p.roles[key] = append(p.roles[key], p.grants(r)...)
	}
	p.Stacks = slices.Sorted(maps.Keys(names))
	return p
}

func (p *Power) grants(r AWSRecord) []Grant {
	var all []Grant
	complain := func(format string, v ...any) {
		if text := r.Role + ": " + fmt.Sprintf(format, v...); !slices.Contains(p.wrong, text) {
			p.wrong = append(p.wrong, text)
		}
	}
	for _, managed := range r.Managed {
		complain("the managed policy %s: name in the template what the role may do", managed)
	}
	for i, policy := range r.Policies {
		for j, s := range policy.Statement {
			s.where = cmp.Or(s.Sid, fmt.Sprintf("statement %d of policy %d", j+1, i+1))
			if s.Effect != "Allow" || len(s.NotAction)+len(s.NotResource) > 0 {
				complain("%s has %s, NotAction %q, NotResource %q: write it as Allow with Action and Resource", s.where, s.Effect, s.NotAction, s.NotResource)
			}
			for operator := range s.Condition {
				if operator != "StringEquals" {
					complain("%s has a condition %s, which the audit cannot decide: teach it", s.where, operator)
				}
			}
			for _, action := range s.Action {
				if strings.ContainsAny(action, "*?") {
					complain("%s allows %s: name the actions", s.where, action)
				}
				for place, resource := range s.Resource {
					all = append(all, Grant{Permission{r.Role, s.where, action, place}, resource, s.Condition})
				}
			}
		}
	}
	return all
}

// Calls are those that were made in the roles' names.
func (p *Power) Calls() []AWSRecord { return p.calls }

// Permissions are all that any of the stacks has, each as the first one has it.
func (p *Power) Permissions() map[Permission]Grant {
	all := map[Permission]Grant{}
	keys := slices.SortedFunc(maps.Keys(p.roles), func(a, b roleKey) int { return cmp.Compare(a.stack+a.cloud, b.stack+b.cloud) })
	for _, key := range keys {
		for _, g := range p.roles[key] {
			if _, have := all[g.Permission]; !have {
				all[g.Permission] = g
			}
		}
	}
	return all
}

// by are the permissions that allow a call, at most one where none is needless.
func (p *Power) by(call AWSRecord) []Permission {
	var allow []Permission
	for _, g := range p.roles[roleKey{call.Cloud, call.Stack, call.Role}] {
		if strings.EqualFold(g.Action, call.Action) && matches(g.Resource, call.Resource) && holds(g.condition, call.Context) && !slices.Contains(allow, g.Permission) {
			allow = append(allow, g.Permission)
		}
	}
	return allow
}

// Missing are the calls that were refused, or that no permission of the role
// allows, and the policies that cannot be judged.
func (p *Power) Missing() []string {
	found := slices.Clone(p.wrong)
	for _, call := range p.calls {
		what := fmt.Sprintf("%s (%s, stack %s): %s on %s %v", call.Role, call.By, call.Stack, call.Action, call.Resource, call.Context)
		switch {
		case !call.Allowed:
			found = append(found, what+" was refused")
		case len(p.by(call)) == 0:
			found = append(found, what+" is allowed by no statement")
		}
	}
	return found
}

// Exception is what a check lets pass, with the reason. Its texts are patterns
// as IAM has them.
type Exception struct {
	Role, Action, Resource string
	// Condition is a condition key that the statement must have.
	Condition string
	Why       string
}

func (e Exception) covers(g Grant) bool {
	conditioned := e.Condition == ""
	for _, test := range g.condition {
		if _, has := test[e.Condition]; has {
			conditioned = true
		}
	}
	return conditioned && matches(e.Role, g.Role) && matches(e.Action, g.Action) && matches(cmp.Or(e.Resource, "*"), g.Resource)
}

// Unused are the permissions that no call needed in any stack, and those that
// are given twice. An exception must be needed: it may cover nothing that was
// used.
func (p *Power) Unused(exceptions []Exception) []string {
	var found []string
	used := map[Permission]bool{}
	for _, call := range p.calls {
		allow := p.by(call)
		if len(allow) > 1 {
			text := fmt.Sprintf("%s: %s on %s is allowed by %v, one of which is needless", call.Role, call.Action, call.Resource, allow)
			found = append(found, text)
		}
		for _, permission := range allow {
			used[permission] = true
		}
	}
	covered := make([]int, len(exceptions))
	for _, g := range sorted(p.Permissions()) {
		excepted := false
		for i, e := range exceptions {
			if !e.covers(g) {
				continue
			}
			excepted = true
			covered[i]++
			if used[g.Permission] {
				found = append(found, fmt.Sprintf("%s, %s: %s on %s is used, and an exception says why it is not: %s", g.Role, g.Statement, g.Action, g.Resource, e.Why))
			}
		}
		if !excepted && !used[g.Permission] {
			found = append(found, fmt.Sprintf("%s, %s: nothing needed %s on %s", g.Role, g.Statement, g.Action, g.Resource))
		}
	}
	return append(found, needless(exceptions, covered)...)
}

func needless(exceptions []Exception, covered []int) []string {
	var found []string
	for i, e := range exceptions {
		if covered[i] == 0 {
			found = append(found, fmt.Sprintf("the exception for %s, %s on %s covers nothing: remove it", e.Role, e.Action, cmp.Or(e.Resource, "*")))
		}
	}
	return found
}

func sorted(all map[Permission]Grant) []Grant {
	return slices.SortedFunc(maps.Values(all), func(a, b Grant) int {
		return cmp.Or(cmp.Compare(a.Role, b.Role), cmp.Compare(a.Statement, b.Statement), cmp.Compare(a.Action, b.Action), cmp.Compare(a.Place, b.Place))
	})
}

// Reference says of every action of AWS which resources a policy can name for
// it, as the Service Authorization Reference does.
type Reference map[string]struct {
	Actions   map[string]struct{ Resources []string }
	Resources map[string]struct {
		ARNFormats []string
	}
}

var placeholder = regexp.MustCompile(`\$\{[A-Za-z]+\}`)

// formats are regular expressions of the ARNs that a policy can name for an
// action; none where it must say "*". ok is whether there is such an action.
func (r Reference) formats(action string) (formats []*regexp.Regexp, ok bool) {
	service, name, _ := strings.Cut(action, ":")
	for known, about := range r[service].Actions {
		if !strings.EqualFold(known, name) {
			continue
		}
		ok = true
		for _, kind := range about.Resources {
			for name, resource := range r[service].Resources {
				if !strings.EqualFold(name, kind) {
					continue
				}
				for _, format := range resource.ARNFormats {
					formats = append(formats, regexp.MustCompile("^"+placeholder.ReplaceAllString(format, "[^:]*")+"$"))
				}
			}
		}
	}
	return formats, ok
}

// Wide are the permissions whose resource is "*" or a pattern though the action
// has resources that can be named, those whose resource is of a kind that the
// action does not have, so that they allow nothing, and actions that do not
// exist. An exception must be needed.
func (p *Power) Wide(r Reference, exceptions []Exception) []string {
	var found []string
	covered := make([]int, len(exceptions))
	for _, g := range sorted(p.Permissions()) {
		formats, known := r.formats(g.Action)
		fits := slices.ContainsFunc(formats, func(f *regexp.Regexp) bool { return f.MatchString(g.Resource) })
		var fault string
		switch {
		case !known:
			fault = "AWS has no such action"
		case len(formats) == 0 && g.Resource != "*":
			fault = "IAM knows no resources for this action, so that it allows nothing"
		case len(formats) > 0 && g.Resource == "*":
			fault = "the action has resources that can be named"
		case len(formats) > 0 && !fits:
			fault = "the action has no resources of this kind, so that it allows nothing"
		case len(formats) > 0 && strings.ContainsAny(g.Resource, "*?"):
			fault = "the resource is a pattern"
		default:
			continue
		}
		excepted := false
		for i, e := range exceptions {
			if e.covers(g) {
				excepted = true
				covered[i]++
			}
		}
		if !excepted {
			found = append(found, fmt.Sprintf("%s, %s: %s on %s: %s", g.Role, g.Statement, g.Action, g.Resource, fault))
		}
	}
	return append(found, needless(exceptions, covered)...)
}

// matches is IAM's: * is any text, ? is any character.
func matches(pattern, text string) bool {
	quoted := regexp.QuoteMeta(pattern)
	quoted = strings.ReplaceAll(strings.ReplaceAll(quoted, `\*`, ".*"), `\?`, ".")
	return regexp.MustCompile("(?s)^" + quoted + "$").MatchString(text)
}

// holds is whether the conditions of a statement are met: all keys, each with
// one of its values.
func holds(condition map[string]map[string]Many[string], context map[string]any) bool {
	for _, test := range condition {
		for key, values := range test {
			given := ""
			for name, value := range context {
				if strings.EqualFold(name, key) {
					given = fmt.Sprint(value)
				}
			}
			if !slices.Contains(values, given) {
				return false
			}
		}
	}
	return true
}
