package scan

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"keyturn/internal/bucket"
	"keyturn/internal/inventory"
	"keyturn/internal/rotation"
)

// settle puts together what the run has seen: the entries, those that are due,
// and what the report says of the run. The listing is written last: where it
// is, the run is through.
func (r *run) settle(ctx context.Context, todo todoHead) error {
	m, err := r.readMemory(ctx)
	if err != nil {
		return err
	}
	defer m.close()
	found, err := newSpool(r.TempDir)
	if err != nil {
		return err
	}
	defer found.close()
	rows, err := newSpool(r.TempDir)
	if err != nil {
		return err
	}
	defer rows.close()
	s := &settling{run: r, memory: m, now: r.Now().UTC(), seen: map[digest]struct{}{}, uses: map[digest]int32{}, trust: map[string]*inventory.Trust{}, rows: rows, listed: map[rotation.Kind]bool{}, found: &sorted{spool: found}}
	s.listing.Org = r.Okta.OrgURL()
	s.listing.Mode, s.listing.MaxRotations = r.policy.Settings().Mode, r.policy.Settings().MaxRotations
	s.listing.ValidityDays = map[rotation.CertificateAuthority]int{}
	s.listing.Run = inventory.Run{ID: r.in.Run.ID, Execution: r.in.Run.Execution, StartedAt: r.in.Run.At.UTC(), DryRun: r.in.Request.DryRun, Complete: true}
	for _, p := range todo.Problems {
		s.problem(p)
	}
	for _, p := range m.damaged {
		if !slices.Contains(todo.Problems, p) {
			s.problem(p)
		}
	}
	if skew := r.Okta.Skew(); skew.Abs() > maxSkew {
		s.problem(inventory.Problem{Name: "Clock.Skewed", Message: fmt.Sprintf("Okta's clock is %v ahead of this function's: days left, and when a rate limit is reset, are off by as much", skew.Round(time.Second))})
	}
	if err := s.group(ctx); err != nil {
		return err
	}
	if err := s.enter(ctx); err != nil {
		return err
	}
	if err := r.keep(ctx, m, func(kid string) bool { return !s.listing.Run.Complete || s.inUse(kid) }); err != nil {
		return err
	}
	if err := s.count(ctx); err != nil {
		return err
	}
	return s.write(ctx)
}

// settling is the end of a run.
type settling struct {
	*run
	memory  *memory
	now     time.Time
	listing inventory.Listing
	// seen are the targets that were listed: one may be listed twice when the
	// list shifts between two pages.
	seen    map[digest]struct{}
	targets int
	// rows are what was listed, each target once; listed tells which lists are
	// complete.
	rows   *spool
	listed map[rotation.Kind]bool
	// uses counts the targets by kind and kid; trust is by kid.
	uses  map[digest]int32
	trust map[string]*inventory.Trust
	// found are the entries.
	found *sorted
	// spent are the calls of the function, by their ids.
	spent map[string]spent
	// tried are targets that could not tell.
	tried map[string]inventory.Problem
}

func (s *settling) problem(p inventory.Problem) {
	s.listing.Run.ProblemCount++
	if len(s.listing.Run.Problems) < inventory.MaxProblems {
		s.listing.Run.Problems = append(s.listing.Run.Problems, p)
	}
}

func (s *settling) count(ctx context.Context) error {
	for _, key := range s.names {
		if !strings.HasPrefix(key, s.work+"call-") {
			continue
		}
		raw, _, err := s.Bucket.Read(ctx, key)
		if err != nil {
			return err
		}
		var call spent
		if err := json.Unmarshal(raw, &call); err != nil {
			return unreadable(key)
		}
		s.note(call)
	}
	s.note(s.used())
	for _, call := range s.spent {
		s.listing.Run.OktaCalls += int(call.Calls)
		s.listing.Run.LearnedKids += call.Learned
		s.listing.Run.RateLimited += call.Limited
		if call.Waited {
			s.listing.Run.Waits++
		}
	}
	return nil
}

// note takes what a call has used; of one call, the latest word counts.
func (s *settling) note(call spent) {
	if s.spent == nil {
		s.spent = map[string]spent{}
	}
	if known, ok := s.spent[call.Call]; !ok || call.Calls > known.Calls || call.Waited {
		s.spent[call.Call] = call
	}
}

// group finds which kids are in use, and on how many targets.
func (s *settling) group(ctx context.Context) error {
	for _, l := range []listOf{appsList, idpsList} {
		pages := s.pages(l.name)
		s.listed[l.kind] = len(pages) > 0
		for _, key := range pages {
			head, err := s.each(ctx, key, func(found row) error {
				if !s.see(found.Target) {
					return nil
				}
				s.use(found)
				_, err := s.rows.add(found)
				return err
			})
			if err != nil {
				return err
			}
			s.note(head.Spent)
			if l.name == appsList.name {
				s.listing.Run.Apps += head.Listed
			} else {
				s.listing.Run.IDPs += head.Listed
			}
			for _, p := range head.Problems {
				s.problem(p)
			}
			if head.Failed != nil {
				s.listing.Run.Complete, s.listed[l.kind] = false, false
				s.problem(inventory.Problem{Name: head.Failed.Name,
					Message: fmt.Sprintf("the list of %s could not be read to its end; targets that an earlier run saw stand in for the rest: %s", l.name, head.Failed.Message)})
			}
		}
	}
	s.found.order = make([]ordered, 0, s.targets)
	if s.listed[rotation.KindApp] && s.listed[rotation.KindIDP] {
		s.seen = nil // nothing is added to the lists
	}
	read := len(s.pages(trustList.name)) > 0
	for _, key := range s.pages(trustList.name) {
		head, err := s.each(ctx, key, func(found row) error {
			if found.Fact == nil {
				return nil
			}
			s.memory.changed = true
			return s.memory.learn(*found.Fact)
		})
		if err != nil {
			return err
		}
		read = read && head.Failed == nil
		s.note(head.Spent)
		for _, p := range append(head.Problems, asList(head.Failed)...) {
			s.problem(p)
		}
	}
	if read {
		if err := s.missing(); err != nil {
			return err
		}
	}
	for _, call := range s.memory.spent {
		s.note(call)
	}
	s.tried = map[string]inventory.Problem{}
	for f, err := range s.memory.all(func(k known) bool { return k.tried }) {
		if err != nil {
			return err
		}
		for _, p := range f.Tried {
			if p.Target != nil && !f.AskedAt.Before(s.in.Run.At) {
				s.tried[string(p.Target.Kind)+p.Target.ID] = p
			}
		}
	}
	return nil
}

// missing remembers the certificates that IdPs name and the keystore, read a
// moment ago, does not have: they are not looked for every day.
func (s *settling) missing() error {
	for kid := range s.trust {
		if s.memory.has(trustPrefix + kid) {
			continue
		}
		s.memory.changed = true
		if err := s.memory.learn(fact{Kid: trustPrefix + kid, AskedAt: s.now,
			Problem: &inventory.Problem{Name: "Okta.NotFound", Message: "it is not in the trust keystore that Okta lists"}}); err != nil {
			return err
		}
	}
	return nil
}

func asList(p *inventory.Problem) []inventory.Problem {
	if p == nil {
		return nil
	}
	return []inventory.Problem{*p}
}

// use notes a target's kid and the certificates it trusts.
func (s *settling) use(found row) {
	if found.Kid != "" {
		s.uses[keyOf(found.Target.Kind, found.Kid)]++
	}
	for _, kid := range found.Trust {
		t := s.trust[kid]
		if t == nil {
			t = &inventory.Trust{Kid: kid}
			s.trust[kid] = t
		}
		t.UsedBy = append(t.UsedBy, rotation.Target{Kind: found.Target.Kind, ID: found.Target.ID, Label: found.Target.Label})
	}
}

// see notes that a target was listed, and tells whether it is the first time.
func (s *settling) see(t rotation.Target) bool {
	id := idOf(t)
	if _, seen := s.seen[id]; seen {
		return false
	}
	s.seen[id] = struct{}{}
	s.targets++
	return true
}

func idOf(t rotation.Target) digest { return digestOf(string(t.Kind) + t.ID) }

func keyOf(kind rotation.Kind, kid string) digest { return digestOf(string(kind) + "/" + kid) }

// inUse tells whether anything that was listed names the kid.
func (s *settling) inUse(kid string) bool {
	if trust, is := strings.CutPrefix(kid, trustPrefix); is && s.trust[trust] != nil {
		return true
	}
	return s.uses[keyOf(rotation.KindApp, kid)] > 0 || s.uses[keyOf(rotation.KindIDP, kid)] > 0
}

// enter makes an entry of everything that was listed, and of what an earlier
// run saw where a list ended too early.
func (s *settling) enter(ctx context.Context) error {
	rows, err := s.rows.body()
	if err != nil {
		return err
	}
	for found, err := range inventory.Lines[row](rows) {
		if err != nil {
			return err
		}
		e, err := s.entryOf(found)
		if err != nil {
			return err
		}
		if err := s.found.add(e); err != nil {
			return err
		}
	}
	return s.standIn(ctx, func(e inventory.Entry) error {
		// A damaged inventory may name what cannot exist; it is reported as such.
		exists := e.Target.Validate() == nil
		if s.listed[e.Target.Kind] || !exists || !s.see(e.Target) {
			return nil
		}
		s.use(row{Target: e.Target, Kid: e.Kid})
		if e.Action == inventory.ActionFailed {
			e.Problem = nil // it was that run's
		}
		e.Stale, e.Rotation, e.Reason = true, nil, ""
		s.judge(&e, s.settingsOf(&e))
		return s.found.add(e)
	})
}

// standIn reads the inventory of an earlier run. That it is as Keyturn wrote
// it is checked in any case.
func (s *settling) standIn(ctx context.Context, take func(inventory.Entry) error) error {
	earlier, err := inventory.Open(ctx, s.Bucket, inventory.LatestInventory)
	if errors.Is(err, bucket.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	defer earlier.Close()
	var broken error
	for e, err := range earlier.Entries() {
		if err != nil {
			broken = err
			break
		}
		if err := take(e); err != nil {
			return err
		}
	}
	if rotation.NameOf(broken) == "Bucket.Unavailable" {
		return broken
	}
	if broken != nil {
		s.problem(*problemOf(broken, nil))
	}
	return nil
}

func (s *settling) entryOf(found row) (inventory.Entry, error) {
	e := inventory.Entry{Target: found.Target, Status: found.Status, Protocol: found.Protocol, Kid: found.Kid}
	settings := s.settingsOf(&e)
	f, known, err := s.memory.fact(found.Kid)
	if err != nil {
		return e, err
	}
	problem, tried := s.tried[string(found.Target.Kind)+found.Target.ID]
	switch {
	case found.Kid == "":
		e.Problem = &inventory.Problem{Name: "Target.NoActiveKey", Message: "Okta names no signing key: choose the certificate in Okta's admin console"}
	case tried:
		e.Problem = &inventory.Problem{Name: problem.Name, Message: problem.Message}
	case !known:
		e.Problem = &inventory.Problem{Name: "Okta.Unavailable", Message: "the certificate was not asked for, because requests before it got no answer: the next run asks"}
	case f.Problem != nil:
		e.Problem = &inventory.Problem{Name: f.Problem.Name, Message: f.Problem.Message}
	}
	if known && !f.NotAfter.IsZero() {
		e.Issuer, e.Subject, e.NotBefore, e.NotAfter = f.Issuer, f.Subject, &f.NotBefore, &f.NotAfter
	}
	s.judge(&e, settings)
	if e.Problem != nil {
		t := e.Target
		s.problem(inventory.Problem{Name: e.Problem.Name, Message: e.Problem.Message, Target: &t})
	}
	return e, nil
}

// settingsOf finds the policy for a target.
func (s *settling) settingsOf(e *inventory.Entry) rotation.Settings {
	settings, rule := s.policy.For(e.Target, e.Kid)
	e.Rule, e.Mode, e.RotateBeforeDays, e.SharedKey, e.Approvers = rule, settings.Mode, settings.RotateBeforeDays, settings.SharedKey, settings.Approvers
	if days := s.listing.ValidityDays; settings.Mode != rotation.ModeOff {
		days[settings.CertificateAuthority] = max(days[settings.CertificateAuthority], settings.ValidityDays)
	}
	return settings
}

// judge says what is to be done about a target, as far as that can be said
// without a look at what is running.
func (s *settling) judge(e *inventory.Entry, settings rotation.Settings) {
	e.Due = false
	if e.NotAfter != nil {
		days := inventory.DaysLeft(*e.NotAfter, s.now)
		e.DaysLeft = &days
	}
	switch supported := e.Protocol == "SAML_2_0" || e.Protocol == "SAML2"; {
	case settings.Mode == rotation.ModeOff:
		e.Action, e.Reason = inventory.ActionOff, "the policy leaves it out"
	case e.Status != "ACTIVE":
		e.Action, e.Reason = inventory.ActionInactive, "nobody signs in: its status is "+e.Status
	case e.Problem != nil || e.NotAfter == nil:
		e.Action = inventory.ActionUnknown
	case e.NotAfter.Sub(s.now) > time.Duration(settings.RotateBeforeDays)*rotation.Day:
		e.Action = inventory.ActionNone
	case !supported:
		e.Due, e.Action, e.Reason = true, inventory.ActionUnsupported, "it uses "+e.Protocol+", whose metadata Okta does not show: rotate it by hand"
	case settings.Mode == rotation.ModeNotify:
		e.Due, e.Action, e.Reason = true, inventory.ActionNotify, "the mode is notify"
	default:
		e.Due, e.Action = true, inventory.ActionStart
	}
}

// write sorts the entries and writes what the next steps read.
func (s *settling) write(ctx context.Context) error {
	if len(s.found.order) != s.targets {
		return rotation.Errorf("Inventory.Incomplete", "%d targets were seen and %d entered: nothing was reported", s.targets, len(s.found.order))
	}
	s.listing.Run.Targets = len(s.found.order)
	entries, err := newSpool(s.TempDir)
	if err != nil {
		return err
	}
	defer entries.close()
	dues, err := newSpool(s.TempDir)
	if err != nil {
		return err
	}
	defer dues.close()
	shared := map[digest]*inventory.SharedKey{}
	for e, err := range s.found.entries() {
		if err != nil {
			return err
		}
		key := keyOf(e.Target.Kind, e.Kid)
		e.Sharing = max(1, int(s.uses[key]))
		if e.Sharing > 1 {
			if shared[key] == nil {
				shared[key] = &inventory.SharedKey{Kind: e.Target.Kind, Kid: e.Kid, NotAfter: e.NotAfter}
			}
			shared[key].Targets = append(shared[key].Targets, rotation.Target{Kind: e.Target.Kind, ID: e.Target.ID, Label: e.Target.Label})
		}
		if _, err := entries.add(e); err != nil {
			return err
		}
		if e.Due {
			settings, _ := s.policy.For(e.Target, e.Kid)
			if _, err := dues.add(inventory.Due{Entry: e, Settings: settings}); err != nil {
				return err
			}
		}
	}
	s.listing.SharedKeys = []inventory.SharedKey{}
	for _, group := range shared {
		group.Count = len(group.Targets)
		slices.SortFunc(group.Targets, func(a, b rotation.Target) int { return cmp.Compare(a.ID, b.ID) })
		s.listing.SharedKeys = append(s.listing.SharedKeys, *group)
	}
	slices.SortFunc(s.listing.SharedKeys, func(a, b inventory.SharedKey) int {
		return cmp.Or(cmp.Compare(len(b.Targets), len(a.Targets)), cmp.Compare(a.Kid, b.Kid))
	})
	if s.listing.Trust, err = s.trusted(); err != nil {
		return err
	}
	keys := inventory.Keys{Run: s.in.Run.ID}
	for key, spool := range map[string]*spool{keys.Entries(): entries, keys.Dues(): dues} {
		body, err := spool.body()
		if err != nil {
			return err
		}
		if _, err := s.Bucket.Put(ctx, key, body, bucket.Options{ContentType: "application/jsonl"}); err != nil {
			return err
		}
	}
	return s.putJSON(ctx, keys.Listing(), s.listing)
}

// trusted are the partners' certificates, the earliest expiry first.
func (s *settling) trusted() ([]inventory.Trust, error) {
	list := []inventory.Trust{}
	for kid, t := range s.trust {
		f, known, err := s.memory.fact(trustPrefix + kid)
		if err != nil {
			return nil, err
		}
		switch {
		case !known:
			t.Problem = &inventory.Problem{Name: "Okta.Unavailable", Message: "the trust keystore could not be read: the next run tries again"}
		case f.Problem != nil:
			t.Problem = f.Problem
		default:
			days := inventory.DaysLeft(f.NotAfter, s.now)
			t.Issuer, t.Subject, t.NotBefore, t.NotAfter, t.DaysLeft = f.Issuer, f.Subject, &f.NotBefore, &f.NotAfter, &days
		}
		list = append(list, *t)
	}
	slices.SortFunc(list, func(a, b inventory.Trust) int {
		return cmp.Or(expiry(a.NotAfter, b.NotAfter), cmp.Compare(a.Kid, b.Kid))
	})
	return list, nil
}

// expiry orders by expiry; what is unknown comes last.
func expiry(a, b *time.Time) int {
	switch {
	case a == nil && b == nil:
		return 0
	case a == nil:
		return 1
	case b == nil:
		return -1
	}
	return a.Compare(*b)
}
