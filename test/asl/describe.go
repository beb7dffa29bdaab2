package asl

import (
	"fmt"
	"maps"
	"slices"
)

// State is what a definition says of a state.
type State struct{ Name, Type string }

// States are a machine's, sorted by name.
func (m *Machine) States() []State {
	all := make([]State, len(m.names))
	for i, name := range m.names {
		all[i] = State{name, m.states[name].kind}
	}
	return all
}

// edge is a way out of a state, with the variables that it assigns.
type edge struct {
	to     string
	assign map[string]template
	output *template
}

func (s *state) edges() []edge {
	all := []edge{{s.next, s.assign, s.output}}
	for _, r := range s.rules {
		all = append(all, edge{r.next, r.assign, r.output})
	}
	for _, c := range s.catch {
		all = append(all, edge{c.next, c.assign, c.output})
	}
	return all
}

// Unassigned names the variables that are read in a state and that some way to it
// does not assign: "S: $x". JSONata takes such a variable for no value.
func (m *Machine) Unassigned() []string {
	// known are the variables that every way to a state assigns; a state that
	// has not been reached yet is not among the keys.
	known := map[string]map[string]bool{m.start: {}}
	for todo := []string{m.start}; len(todo) > 0; todo = todo[1:] {
		s := m.states[todo[0]]
		for _, e := range s.edges() {
			if e.to == "" {
				continue
			}
			after := maps.Clone(known[s.name])
			for name := range e.assign {
				after[name] = true
			}
			before, reached := known[e.to]
			maps.DeleteFunc(after, func(name string, _ bool) bool { return reached && !before[name] })
			if !reached || len(after) < len(before) {
				known[e.to] = after
				todo = append(todo, e.to)
			}
		}
	}
	var missing []string
	for _, name := range m.names {
		for _, variable := range m.states[name].reads() {
			if variable != "states" && !known[name][variable] {
				missing = append(missing, fmt.Sprintf("%s: $%s", name, variable))
			}
		}
	}
	return missing
}

// reads are the variables that a state's expressions name, each once.
func (s *state) reads() []string {
	var all []string
	for _, t := range []*template{&s.arguments, s.timeout, s.seconds, s.timestamp, s.failError, s.failCause} {
		if t != nil {
			all = append(all, t.reads()...)
		}
	}
	for _, r := range s.rules {
		all = append(all, r.condition.reads()...)
	}
	for _, e := range s.edges() {
		for _, t := range e.assign {
			all = append(all, t.reads()...)
		}
		if e.output != nil {
			all = append(all, e.output.reads()...)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func (t template) reads() []string {
	var all []string
	if t.expression != nil {
		all = t.expression.Free()
	}
	for _, item := range t.items {
		all = slices.Concat(all, item.reads())
	}
	for _, member := range t.members {
		all = slices.Concat(all, member.reads())
	}
	return all
}
