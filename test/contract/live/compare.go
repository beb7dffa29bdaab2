package live

import (
	"encoding/json"
	"fmt"
	"maps"
	"mime"
	"slices"
	"strconv"
	"strings"

	"keyturn/internal/oktasim"
	"keyturn/test/contract/oktaspec"
)

// report collects what differs.
type report struct {
	spec *oktaspec.Spec
	say  func(format string, args ...any)

	operations               map[string]*pair
	onlyOrg, onlySim, others []string
	spoken                   []string // of the spec
	grave                    []string
	confirmed                map[int]bool // exceptions of the spec
}

func (r *report) matters(format string, args ...any) {
	text := clean(fmt.Sprintf(format, args...))
	if !slices.Contains(r.grave, text) {
		r.grave = append(r.grave, text)
	}
}

// pair is what the two orgs answer to one operation with one status.
type pair struct{ org, sim looks }

type looks struct {
	times   int
	headers map[string]bool
	media   map[string]bool
	body    shape
}

func (l *looks) add(e oktasim.Exchange) error {
	l.times++
	if l.body == nil {
		l.headers, l.media, l.body = map[string]bool{}, map[string]bool{}, shape{}
	}
	for name := range e.Response.Header {
		l.headers[name] = true
	}
	if strings.Contains(e.Response.Header["Link"], `rel="next"`) {
		l.headers[`Link rel="next"`] = true
	}
	media, _, _ := mime.ParseMediaType(e.Response.Header["Content-Type"])
	l.media[media] = true
	s, err := shapeOf(e.Response.Header["Content-Type"], e.Response.Body)
	l.body.join(s)
	return err
}

// operation names a call as Okta's spec does.
func (r *report) operation(e oktasim.Exchange) string {
	if o, ok := r.spec.Operation(e.Method, e.Path); ok {
		return o.ID
	}
	if strings.HasSuffix(e.Path, "/metadata.xml") {
		return "getIdentityProviderMetadata"
	}
	return e.Method + " of an unknown path"
}

func (r *report) compare(org, sim []oktasim.Exchange) {
	r.operations, r.confirmed = map[string]*pair{}, map[int]bool{}
	at := func(e oktasim.Exchange) *pair {
		key := r.operation(e) + " " + strconv.Itoa(e.Status)
		if r.operations[key] == nil {
			r.operations[key] = &pair{}
		}
		return r.operations[key]
	}
	for _, e := range sim {
		if err := at(e).sim.add(e); err != nil {
			r.matters("the simulator's answer to %s cannot be read: %v", r.operation(e), err)
		}
	}
	for _, e := range org {
		if err := at(e).org.add(e); err != nil {
			r.matters("the answer to %s is not what its Content-Type says", r.operation(e))
		}
		r.members(e)
		e.Operation = r.operation(e)
		r.bySpec(e)
	}
	for _, key := range slices.Sorted(maps.Keys(r.operations)) {
		r.pair(key, r.operations[key])
	}
}

// isError tells that the status in a key of operations is no success.
func isError(key string) bool { return key[strings.LastIndexByte(key, ' ')+1] >= '4' }

// mustHave are the headers that Keyturn reads of every answer.
var mustHave = []string{"Date", "X-Rate-Limit-Limit", "X-Rate-Limit-Remaining", "X-Rate-Limit-Reset"}

// pair compares the answers to one operation.
func (r *report) pair(key string, p *pair) {
	switch {
	case p.org.times == 0:
		// An empty keystore, no IdP: then there is nothing to compare.
		r.onlySim = append(r.onlySim, key+": the whole answer")
		return
	case p.sim.times == 0 && isError(key):
		return // members says what an error must have; the others may be bad luck
	case p.sim.times == 0:
		r.matters("%s: the simulator does not answer so", key)
		return
	}
	for _, name := range mustHave {
		if !p.org.headers[name] {
			r.matters("%s: the org sends no %s", key, name)
		}
	}
	for media := range p.org.media {
		if !p.sim.media[media] {
			r.matters("%s: the org answers in %s, the simulator in %v", key, media, slices.Sorted(maps.Keys(p.sim.media)))
		}
	}
	paths := shape{}
	paths.join(p.org.body)
	paths.join(p.sim.body)
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		org, sim := p.org.body.types(path), p.sim.body.types(path)
		where := key + " " + clean(path)
		switch {
		case len(org) == 0:
			r.onlySim = append(r.onlySim, fmt.Sprintf("%s %v", where, sim))
		case len(sim) == 0:
			r.onlyOrg = append(r.onlyOrg, fmt.Sprintf("%s %v", where, org))
		case disjoint(org, sim):
			r.others = append(r.others, fmt.Sprintf("%s: the org has %v, the simulator %v", where, org, sim))
			r.matters("%s: the org has %v, the simulator %v", where, org, sim)
		case !slices.Equal(org, sim):
			r.others = append(r.others, fmt.Sprintf("%s: the org has %v, the simulator %v", where, org, sim))
		}
	}
}

// disjoint tells that two sets of types have nothing in common but null. A
// whole number may stand for any, and a date is a text.
func disjoint(a, b []string) bool {
	broad := func(types []string) map[string]bool {
		set := map[string]bool{}
		for _, t := range types {
			switch t {
			case "integer":
				t = "number"
			case "date":
				t = "string"
			case "null":
				continue
			}
			set[t] = true
		}
		return set
	}
	x, y := broad(a), broad(b)
	for t := range x {
		if y[t] {
			return false
		}
	}
	return len(x) > 0 && len(y) > 0
}

// members wants what Keyturn reads in every answer of the org.
func (r *report) members(e oktasim.Exchange) {
	operation := r.operation(e)
	wanted := Reads[operation]
	switch {
	case e.Status >= 500: // of a proxy, perhaps
		return
	case e.Status >= 400:
		operation, wanted = "an error", Reads["error"]
	}
	items := []json.RawMessage{e.Response.Body}
	if strings.HasPrefix(strings.TrimSpace(string(e.Response.Body)), "[") {
		items = nil
		if json.Unmarshal(e.Response.Body, &items) != nil {
			return // said already
		}
	}
	missing := map[string]int{}
	for _, item := range items {
		s, err := shapeOf(e.Response.Header["Content-Type"], item)
		if err != nil {
			return
		}
		for _, m := range wanted {
			if m.For != nil && !m.For(item) {
				continue
			}
			types := s.types(m.Path)
			switch {
			case len(types) == 0 && !m.Optional:
				missing[m.Path]++
			case len(types) > 0 && slices.ContainsFunc(types, func(t string) bool { return !slices.Contains(m.Types, t) }):
				r.matters("%s %s: Keyturn reads %v, the org has %v", operation, m.Path, m.Types, types)
			}
		}
	}
	for path, n := range missing {
		r.matters("%s %s: Keyturn reads it, and %d of %d in one answer of the org lack it", operation, path, n, len(items))
	}
}

// bySpec holds an exchange of the org against Okta's spec.
func (r *report) bySpec(e oktasim.Exchange) {
	for _, side := range []oktaspec.Side{oktaspec.Request, oktaspec.Response} {
		for _, d := range r.spec.Check(e, side) {
			if i, _ := oktaspec.Excepted(d); i >= 0 {
				r.confirmed[i] = true
				continue
			}
			place := clean(d.Place)
			for _, own := range ownNames {
				if i := strings.Index(place, own+"/"); i >= 0 {
					place = place[:i+len(own)] + "/…"
				}
			}
			text := fmt.Sprintf("%s of %s: %s %s", side, e.Operation, d.Kind, place)
			if !slices.Contains(r.spoken, text) {
				r.spoken = append(r.spoken, text)
			}
			if side == oktaspec.Request {
				r.matters("Keyturn's request is not as Okta's spec says: %s", text)
			}
		}
	}
}

// print writes what differs, and answers ErrDiffers where it matters.
func (r *report) print(calls int64) error {
	r.say("")
	answers := 0
	for _, key := range slices.Sorted(maps.Keys(r.operations)) {
		if n := r.operations[key].org.times; n > 0 {
			answers++
			r.say("  %3d × %s", n, key)
		}
	}
	r.say("\n%d calls to the org, %d kinds of answers. Names of members and types only:", calls, answers)
	for _, part := range []struct {
		title string
		lines []string
	}{
		{"Only in the org", r.onlyOrg},
		{"Only in the simulator", r.onlySim},
		{"Other types", r.others},
		{"Not as Okta's spec says", r.spoken},
	} {
		r.say("\n%s: %d", part.title, len(part.lines))
		for _, line := range part.lines {
			r.say("  %s", line)
		}
	}
	r.say("\nWhat the spec has wrong, and this org confirms: %d of %d", len(r.confirmed), len(oktaspec.Exceptions))
	for _, i := range slices.Sorted(maps.Keys(r.confirmed)) {
		x := oktaspec.Exceptions[i]
		r.say("  %s %s: %s", x.Kind, strings.Join(x.Places, " "), x.Why)
	}
	r.say("")
	for _, text := range r.grave {
		r.say("✘ %s", text)
	}
	if len(r.grave) > 0 {
		r.say("✘ %d differences matter. Please report them: docs/okta-contract.md", len(r.grave))
		return ErrDiffers
	}
	r.say("✔ Nothing differs that Keyturn relies on.")
	return nil
}
