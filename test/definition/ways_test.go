package definition

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

// diagram are the ways between states as docs/architecture.md draws them.
type diagram struct {
	drawn map[way]bool
	// unsaid are ways that a text beside the diagram speaks of, for a state that
	// failed.
	unsaid map[way]bool

	mu    sync.Mutex
	taken map[way]bool
}

type way struct{ from, to string }

// drawn reads the diagram below a heading.
func drawn(t testing.TB, heading string) *diagram {
	t.Helper()
	text, err := os.ReadFile("../../docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(text), "\n## "+heading+"\n")
	_, lines, foundToo := strings.Cut(section, "```mermaid\n")
	if !found || !foundToo {
		t.Fatalf("docs/architecture.md has no diagram below %q", heading)
	}
	lines, rest, _ := strings.Cut(lines, "```")
	d := &diagram{drawn: map[way]bool{}, unsaid: map[way]bool{}, taken: map[way]bool{}}
	for _, m := range regexp.MustCompile(`(?m)^ *(\w+) --> (\w+)`).FindAllStringSubmatch(lines, -1) {
		d.drawn[way{m[1], m[2]}] = true
	}
	if m := regexp.MustCompile(`Not drawn: an error of ([\w, ]+) leads to (\w+)`).FindStringSubmatch(rest); m != nil {
		for _, from := range regexp.MustCompile(`\b[A-Z]\w+`).FindAllString(m[1], -1) {
			d.unsaid[way{from, m[2]}] = true
		}
	}
	return d
}

// follow names the ways of an execution that the documentation does not know.
func (d *diagram) follow(visits []visit) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var unknown []string
	for i, v := range visits[:len(visits)-1] {
		w := way{v.state, visits[i+1].state}
		switch {
		case d.unsaid[w] && v.failed != "":
		case d.drawn[w]:
			d.taken[w] = true
		default:
			unknown = append(unknown, fmt.Sprintf("docs/architecture.md knows no way from %s to %s", w.from, w.to))
		}
	}
	return unknown
}

// untaken are drawn, and nothing went there.
func (d *diagram) untaken() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var all []string
	for w := range d.drawn {
		if !d.taken[w] {
			all = append(all, w.from+" to "+w.to)
		}
	}
	slices.Sort(all)
	return all
}
