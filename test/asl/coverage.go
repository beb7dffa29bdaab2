package asl

import (
	"fmt"
	"slices"
	"strings"
	"sync"
)

// Coverage collects what executions reach of their machines: states, the ways
// between them, catchers, retriers and time-outs. It is safe for concurrent use,
// and a nil one collects nothing.
type Coverage struct {
	mu   sync.Mutex
	seen map[[32]byte]map[element]bool
}

// element is what can be reached.
type element struct{ state, what string }

// What can be reached in a state, but for the state itself, which is "".
const (
	coveredNext    = "Next"
	coveredDefault = "Default"
	coveredTimeout = "TimeoutSeconds"
)

func coveredRule(i int) string  { return fmt.Sprintf("Choices[%d]", i) }
func coveredCatch(i int) string { return fmt.Sprintf("Catch[%d]", i) }
func coveredRetry(i int) string { return fmt.Sprintf("Retry[%d]", i) }

func (c *Coverage) entered(m *Machine, s *state) { c.took(m, s, "") }

func (c *Coverage) took(m *Machine, s *state, what string) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.seen == nil {
		c.seen = map[[32]byte]map[element]bool{}
	}
	if c.seen[m.key] == nil {
		c.seen[m.key] = map[element]bool{}
	}
	c.seen[m.key][element{s.name, what}] = true
}

// kinds are the sorts of elements, in the order of the summary. A transition is
// where a state leads to when nothing fails.
var kinds = []string{"states", "transitions", "catchers", "retriers", "time-outs"}

func (e element) kind() string {
	switch {
	case e.what == "":
		return "states"
	case e.what == coveredTimeout:
		return "time-outs"
	case strings.HasPrefix(e.what, "Catch"):
		return "catchers"
	case strings.HasPrefix(e.what, "Retry"):
		return "retriers"
	}
	return "transitions"
}

// elements are all that a machine has, with what Missing says of each.
func (m *Machine) elements() (all []element, described map[element]string) {
	described = map[element]string{}
	add := func(s *state, what, text string) {
		one := element{s.name, what}
		all = append(all, one)
		described[one] = text
	}
	for _, name := range m.names {
		s := m.states[name]
		add(s, "", name)
		for i, r := range s.rules {
			add(s, coveredRule(i), fmt.Sprintf("%s, %s, to %s: %s", name, coveredRule(i), r.next, r.condition.expression))
		}
		if s.next != "" {
			what := coveredNext
			if s.kind == kindChoice {
				what = coveredDefault
			}
			add(s, what, fmt.Sprintf("%s, %s, to %s", name, what, s.next))
		}
		for i, c := range s.catch {
			add(s, coveredCatch(i), fmt.Sprintf("%s, %s, to %s: %s", name, coveredCatch(i), c.next, strings.Join(c.errors, ", ")))
		}
		for i, r := range s.retry {
			add(s, coveredRetry(i), fmt.Sprintf("%s, %s: %s", name, coveredRetry(i), strings.Join(r.errors, ", ")))
		}
		if s.timeout != nil {
			add(s, coveredTimeout, name+", "+coveredTimeout)
		}
	}
	return all, described
}

// Missing names what no execution has reached, in the order of the states'
// names.
func (c *Coverage) Missing(m *Machine) []string {
	all, described := m.elements()
	c.mu.Lock()
	defer c.mu.Unlock()
	var missing []string
	for _, one := range all {
		if !c.seen[m.key][one] {
			missing = append(missing, described[one])
		}
	}
	return missing
}

// Summary counts what was reached, such as "42 of 42 states, 60 of 61
// transitions, 30 of 30 catchers, 60 of 60 retriers, 20 of 22 time-outs".
func (c *Coverage) Summary(m *Machine) string {
	all, _ := m.elements()
	c.mu.Lock()
	defer c.mu.Unlock()
	var parts []string
	for _, kind := range kinds {
		of := slices.DeleteFunc(slices.Clone(all), func(e element) bool { return e.kind() != kind })
		reached := slices.DeleteFunc(slices.Clone(of), func(e element) bool { return !c.seen[m.key][e] })
		parts = append(parts, fmt.Sprintf("%d of %d %s", len(reached), len(of), kind))
	}
	return strings.Join(parts, ", ")
}
