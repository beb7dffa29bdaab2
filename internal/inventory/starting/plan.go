package starting

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tidwall/sjson"

	"keyturn/internal/bucket"
	"keyturn/internal/inventory"
	"keyturn/internal/rotation"
)

// plan is what a run decided before it started anything. A later call for the
// same run goes by it.
type plan struct {
	// Dues are all that are due, the earliest expiry first.
	Dues []inventory.Entry `json:"dues"`
	// Starts are in the order in which they are made: the source of a key
	// before those that get a copy of it.
	Starts []start `json:"starts"`
}

// start is one rotation to be started.
type start struct {
	// Due is its index in Dues.
	Due  int    `json:"due"`
	Name string `json:"name"`
	// Input is the execution's, kept to the byte: only a start with the same
	// name and the same input is taken for the same.
	Input json.RawMessage `json:"input"`
	// CloneFrom is the input's.
	CloneFrom *rotation.Target `json:"cloneFrom,omitempty"`
}

// urgentDays is how few days a certificate must have left for its target not to
// be paused any more.
const urgentDays = 7

// inputMost is what an execution takes as its input, in bytes.
const inputMost = 256 << 10

// plan gives the plan of this run: the one that an earlier call wrote, or a new
// one. That of a dry run is not written.
func (r Rotations) plan(ctx context.Context, in inventory.StartRotationsInput, running *runs, ended []inventory.Ended) (*plan, error) {
	key := inventory.Keys{Run: in.Run.ID}.Plan()
	if !in.DryRun {
		if p, err := r.planned(ctx, key); p != nil || err != nil {
			return p, err
		}
	}
	dues, maxRotations, err := r.dues(ctx, inventory.Keys{Run: in.Run.ID})
	if err != nil {
		return nil, err
	}
	d := deciding{at: in.Run.At, running: running.of(), blind: running.blind, ended: ended, dues: dues, plan: &plan{Dues: []inventory.Entry{}, Starts: []start{}}}
	d.decide()
	d.order(maxRotations)
	if in.DryRun {
		for _, s := range d.plan.Starts {
			e := &d.plan.Dues[s.Due]
			e.Reason = sentence(e.Reason, "a rotation would be started")
		}
		return d.plan, nil
	}
	err = r.write(ctx, key, d.plan, bucket.Options{IfAbsent: true})
	if errors.Is(err, bucket.ErrConflict) {
		// The same run's function runs twice.
		p, err := r.planned(ctx, key)
		if p == nil && err == nil {
			err = rotation.Errorf("Bucket.Unavailable", "%s was there and is gone", key)
		}
		return p, err
	}
	if err != nil {
		return nil, err
	}
	return d.plan, nil
}

// planned reads the plan; nil where there is none.
func (r Rotations) planned(ctx context.Context, key string) (*plan, error) {
	raw, _, err := r.Bucket.Read(ctx, key)
	if errors.Is(err, bucket.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	p := &plan{}
	if json.Unmarshal(raw, p) != nil || p.Dues == nil {
		return nil, damaged(key)
	}
	for _, s := range p.Starts {
		if s.Due < 0 || s.Due >= len(p.Dues) || s.Name == "" {
			return nil, damaged(key)
		}
	}
	return p, nil
}

// deciding makes a plan.
type deciding struct {
	at      time.Time
	running map[rotation.Target]*run
	// blind tells that a running rotation's target is not known.
	blind bool
	// ended are the latest first.
	ended []inventory.Ended
	dues  []inventory.Due
	plan  *plan
	// last is each target's latest of ended.
	last map[rotation.Target]*inventory.Ended
	// candidates are the indexes of what may be started.
	candidates []int
}

// decide finds what cannot be started.
func (d *deciding) decide() {
	d.last = make(map[rotation.Target]*inventory.Ended, len(d.ended))
	for i := range d.ended {
		if t := d.ended[i].Target.Bare(); d.last[t] == nil {
			d.last[t] = &d.ended[i]
		}
	}
	for i := range d.dues {
		e := d.dues[i].Entry
		if one := d.running[e.Target.Bare()]; one != nil {
			e.Rotation = &one.Running
			if e.Action == inventory.ActionStart || e.Action == inventory.ActionNotify {
				isRunning(&e, one.Running)
			}
		}
		if e.Action == inventory.ActionStart && d.startable(&e, &d.dues[i], d.last[e.Target.Bare()]) {
			d.candidates = append(d.candidates, i)
		}
		d.plan.Dues = append(d.plan.Dues, e)
	}
}

func (d *deciding) startable(e *inventory.Entry, due *inventory.Due, last *inventory.Ended) bool {
	input, err := inputOf(due, nil)
	switch {
	case err != nil:
		fail(e, rotation.NameOf(err), "%s", err)
	case len(input)+len(`,"cloneFrom":`)+200 > inputMost:
		fail(e, "Rotation.InputTooLarge", "the input of its rotation would have %d bytes, and Step Functions takes %d: shorten the policy for it, such as its lists of addresses", len(input), inputMost)
	case d.blind:
		e.Action, e.Reason = inventory.ActionPostponed, "whether a rotation is running for it is not known, as a running one could not be read: the next run's"
	case last != nil && last.Result != completed && !d.urgent(e):
		again := last.EndedAt.Add(time.Duration(due.Settings.ReminderHours) * time.Hour)
		if !d.at.Before(again) {
			return true
		}
		e.Action = inventory.ActionPaused
		e.Reason = fmt.Sprintf("its last rotation ended as %s on %s: it is tried again after %s, or once its certificate has %d days left",
			last.Result, clock(last.EndedAt), clock(again), urgentDays)
	default:
		return true
	}
	return false
}

// urgent tells that there is no time left to wait.
func (d *deciding) urgent(e *inventory.Entry) bool {
	switch {
	case e.NotAfter != nil:
		return inventory.DaysLeft(*e.NotAfter, d.at) <= urgentDays
	case e.DaysLeft != nil:
		return *e.DaysLeft <= urgentDays
	}
	return false
}

// order brings the candidates into the order of their starts, as many as may be
// started. Those that share a key come together where the first of them is.
func (d *deciding) order(maxRotations int) {
	type shared struct {
		kind rotation.Kind
		kid  string
	}
	groups := map[shared][]int{}
	groupOf := func(i int) shared {
		due := &d.dues[i]
		// Sharing is no condition: the last of a group is alone with the old
		// key, as the others have the new one.
		if due.Settings.SharedKey != rotation.ClonedKey || due.Kid == "" {
			return shared{}
		}
		return shared{due.Target.Kind, due.Kid}
	}
	for _, i := range d.candidates {
		if g := groupOf(i); g != (shared{}) {
			groups[g] = append(groups[g], i)
		}
	}
	for _, i := range d.candidates {
		g := groupOf(i)
		if g == (shared{}) {
			d.place(i, nil, maxRotations)
			continue
		}
		members, open := groups[g]
		if !open {
			continue // placed with the first of them
		}
		delete(groups, g)
		source := d.source(g.kind, g.kid)
		if source == nil {
			first := d.dues[members[0]].Target
			source = &first
		}
		for _, m := range members {
			if d.dues[m].Target.Bare() == source.Bare() {
				d.place(m, nil, maxRotations)
			}
		}
		for _, m := range members {
			switch t := d.dues[m].Target.Bare(); {
			case t == source.Bare():
			case d.notShared(t):
				d.place(m, nil, maxRotations)
			default:
				d.place(m, source, maxRotations)
			}
		}
	}
}

// notShared tells that a target waited in vain for a copy of another's key. It
// gets a key of its own then: a source that is gone would be waited for until
// the certificate ends.
func (d *deciding) notShared(t rotation.Target) bool {
	last := d.last[t]
	return last != nil && (last.Error == "Key.NotShared" || last.Error == "Target.NotShared")
}

// source finds the target whose rotation made, or makes, the new key for those
// that share a key; nil where none did.
func (d *deciding) source(kind rotation.Kind, kid string) *rotation.Target {
	var oldest *run
	for _, one := range d.running {
		if one.from(kind, kid) && (oldest == nil || one.StartedAt.Before(oldest.StartedAt) ||
			one.StartedAt.Equal(oldest.StartedAt) && one.Execution < oldest.Execution) {
			oldest = one
		}
	}
	// A rotation of which no kid is known is of the key that its target has.
	for i := range d.dues {
		one := d.running[d.dues[i].Target.Bare()]
		if one != nil && one.kid == "" && one.kid8 == "" && d.dues[i].Kid == kid && d.dues[i].Target.Kind == kind &&
			(oldest == nil || one.StartedAt.Before(oldest.StartedAt)) {
			oldest = one
		}
	}
	if oldest != nil {
		return &oldest.Target
	}
	var published *rotation.Target
	for i := range d.ended {
		e := &d.ended[i]
		if e.Target.Kind != kind || e.OldKid != kid || e.NewKid == "" || e.NewKid == kid {
			continue
		}
		if e.Result == completed {
			return &e.Target
		}
		if published == nil {
			published = &e.Target
		}
	}
	return published
}

// place puts a start at the end of the plan, if there is room for it.
func (d *deciding) place(i int, source *rotation.Target, maxRotations int) {
	e := &d.plan.Dues[i]
	if len(d.plan.Starts) >= maxRotations {
		e.Action = inventory.ActionPostponed
		e.Reason = fmt.Sprintf("maxRotations allows %d a run, and those of this one are more urgent: the next run's", maxRotations)
		return
	}
	s := start{Due: i, Name: rotation.ExecutionName(e.Target, e.Kid, d.at)}
	if source != nil {
		from := source.Bare()
		s.CloneFrom = &from
		e.Reason = sentence(e.Reason, "it gets a copy of the new key of "+title(*source))
	}
	s.Input, _ = inputOf(&d.dues[i], s.CloneFrom) // made before without an error
	d.plan.Starts = append(d.plan.Starts, s)
}

// inputOf is the input of a target's rotation.
func inputOf(due *inventory.Due, source *rotation.Target) (json.RawMessage, error) {
	if err := due.Target.Validate(); err != nil {
		return nil, err
	}
	policy, err := json.Marshal(due.Settings)
	if err != nil {
		return nil, rotation.Errorf("Policy.Invalid", "its policy could not be written as JSON")
	}
	// Fields of the subject that are empty are named too: those of the deployed
	// policy would show through.
	s := due.Settings.Subject
	for _, f := range [][2]string{
		{"countryName", s.CountryName}, {"stateOrProvinceName", s.StateOrProvinceName}, {"localityName", s.LocalityName},
		{"organizationName", s.OrganizationName}, {"organizationalUnitName", s.OrganizationalUnitName}, {"commonName", s.CommonName},
	} {
		if policy, err = sjson.SetBytes(policy, "subject."+f[0], f[1]); err != nil {
			return nil, rotation.Errorf("Policy.Invalid", "its policy could not be written as JSON")
		}
	}
	input, err := json.Marshal(rotation.InspectTargetInput{Target: due.Target.Bare(), Policy: policy, CloneFrom: source})
	if err != nil {
		return nil, rotation.Errorf("Policy.Invalid", "its policy could not be written as JSON")
	}
	return input, nil
}

func isRunning(e *inventory.Entry, one inventory.Running) {
	e.Action, e.Rotation = inventory.ActionRunning, &one
	e.Reason = "a rotation is running since " + clock(one.StartedAt)
}

func fail(e *inventory.Entry, name, format string, args ...any) {
	t := e.Target
	e.Action, e.Reason, e.Rotation = inventory.ActionFailed, "its rotation could not be started", nil
	e.Problem = &inventory.Problem{Name: name, Message: fmt.Sprintf(format, args...), Target: &t}
}

// sentence puts more behind what is said already.
func sentence(said, more string) string {
	return strings.TrimPrefix(said+"; "+more, "; ")
}

// title names a target for people.
func title(t rotation.Target) string {
	if t.Label == "" {
		return t.String()
	}
	return fmt.Sprintf("%s %q (%s)", t.Kind, t.Label, t.ID)
}
