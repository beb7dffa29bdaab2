package asl

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
