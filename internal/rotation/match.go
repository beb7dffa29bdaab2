package rotation

// match is a rule's condition: every field that is given must fit.
type match struct {
	kind       Kind
	id, kid    string
	label, app string
	// The patterns of label and app name.
	labels, names glob
}

func (m match) empty() bool {
	return m.kind == "" && m.id == "" && m.kid == "" && m.label == "" && m.app == ""
}

// compiled reads the patterns, once for all targets.
func (m match) compiled() match {
	m.labels, m.names = newGlob(m.label), newGlob(m.app)
	return m
}

// fits takes label and name folded.
func (m match) fits(t Target, label, name []rune, kid string) bool {
	return (m.kind == "" || m.kind == t.Kind) &&
		(m.id == "" || m.id == t.ID) &&
		(m.kid == "" || m.kid == kid) &&
		m.labels.matches(label) &&
		m.names.matches(name)
}

// possible tells whether a target of this kind can fit. The name is the app's
// in Okta's catalogue, and an IdP has none.
func (m match) possible(k Kind) bool {
	return (m.kind == "" || m.kind == k) && (k != KindIDP || m.names.matches(nil))
}

// covers tells whether every target of this kind that fits n fits m as well.
// It may say no where that is so, and never says yes where it is not.
func (m match) covers(n match, k Kind) bool {
	return m.possible(k) &&
		(m.id == "" || m.id == n.id) &&
		(m.kid == "" || m.kid == n.kid) &&
		m.labels.covers(n.labels) &&
		(k == KindIDP || m.names.covers(n.names))
}
