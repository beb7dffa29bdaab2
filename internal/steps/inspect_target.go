package steps

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"keyturn/internal/okta"
	"keyturn/internal/rotation"
)

// InspectTarget is the function inspect-target (guide, step 1): it reads one
// target and changes nothing.
type InspectTarget struct {
	Okta *okta.Client
	// Defaults are the settings that the stack's policy is laid over, and Policy
	// is that; an input's policy is laid over both.
	Defaults rotation.Settings
	Policy   json.RawMessage
	Now      func() time.Time
}

// Run reads the target and its keys: two calls, one more where the active key
// is older than the target itself, which only a shared key can be, and one more
// where the new key is to be cloned from another target. It refuses what cannot
// be rotated: Target.Invalid, Target.Inactive, Target.NotSAML,
// Target.NoActiveKey, Target.NotShared, Policy.Invalid, Okta.NotFound.
func (s InspectTarget) Run(ctx context.Context, in rotation.InspectTargetInput) (rotation.InspectTargetOutput, error) {
	none := rotation.InspectTargetOutput{}
	if err := in.Target.Validate(); err != nil {
		return none, err
	}
	if in.CloneFrom != nil {
		if err := in.Target.ValidateSource("cloneFrom", *in.CloneFrom); err != nil {
			return none, err
		}
	}
	// A policy that cannot be used is refused before anything is asked of
	// Okta; the rules are applied further down, when the label is known.
	if _, err := s.policy(in.Policy, in.Target, ""); err != nil {
		return none, err
	}
	doc, err := s.Okta.Document(ctx, in.Target)
	if okta.IsNotFound(err) {
		return none, &rotation.Error{Name: "Okta.NotFound",
			Message: fmt.Sprintf("%s does not exist in the org %s: check target.id, and that the credential may see it", in.Target, s.Okta.OrgURL()), Err: err}
	}
	if err != nil {
		return none, err
	}
	target := rotation.Target{Kind: in.Target.Kind, ID: in.Target.ID, Label: doc.Label(), Name: doc.Name()}
	if saml, mode := doc.SignsSAML(); !saml {
		return none, rotation.Errorf("Target.NotSAML", "%s (%s) has no SAML signing key, its %s: only SAML 2.0 apps and SAML2 IdPs can be rotated", target, target.Label, mode)
	}
	if status := doc.Field("status"); status != "ACTIVE" {
		return none, rotation.Errorf("Target.Inactive", "%s (%s) has the status %s: activate it first; nobody signs in with it now", target, target.Label, status)
	}
	kid := doc.ActiveKid()
	if kid == "" {
		return none, rotation.Errorf("Target.NoActiveKey", "%s (%s) names no signing key (%s): open it in Okta's admin console and choose its certificate", target, target.Label, doc.KidPath())
	}
	policy, err := s.policy(in.Policy, target, kid)
	if err != nil {
		return none, err
	}
	listed, err := s.Okta.Keys(ctx, target)
	if err != nil {
		return none, err
	}
	active, unused, previous, err := s.sort(target, kid, listed)
	if err != nil {
		return none, err
	}
	shared, err := s.sharedWith(ctx, target, active, doc)
	if err != nil {
		return none, err
	}
	digest, err := doc.Digest()
	if err != nil {
		return none, err
	}
	now := s.Now().UTC().Truncate(time.Second)
	recent := remaining(active, now) > time.Duration(policy.RotateBeforeDays)*rotation.Day
	source, err := s.sourceKeys(ctx, target, active, in.CloneFrom)
	// What the target has by itself may be all that is needed: a clone from
	// before the source went away.
	if err != nil && (rotation.NameOf(err) != "Target.NotShared" || (!recent && len(unused) == 0)) {
		return none, err
	}
	return rotation.InspectTargetOutput{
		Target: target, Policy: policy, ActiveKey: active, UnusedKeys: unused, SharedWith: shared, Digest: digest, LastUpdated: doc.Field("lastUpdated"),
		CloneFrom: in.CloneFrom, SourceKeys: source,
		Recent:      recent,
		PreviousKey: previous,
		Asks:        policy.Asks(now, active.NotAfter),
		AnswerBy:    now.Add(time.Duration(policy.GiveUpDays) * rotation.Day),
	}, nil
}

// policy is what the stack's policy says of a target, and over it what the
// rotation's input names.
func (s InspectTarget) policy(input json.RawMessage, t rotation.Target, kid string) (rotation.Settings, error) {
	base, err := rotation.ResolvePolicy(s.Policy, s.Defaults, t, kid)
	if err != nil {
		return rotation.Settings{}, err
	}
	return rotation.ResolvePolicy(input, base, t, kid)
}

// sort tells the active key from those that could be switched to, the newest
// first, and from the one that was in use before. A key that came before the
// active one has been in use before, or was passed over: it is never switched
// to, but on the way back.
func (s InspectTarget) sort(t rotation.Target, kid string, listed []okta.JSONWebKey) (active rotation.Key, unused []rotation.Key, previous *rotation.Key, err error) {
	found := false
	others := []rotation.Key{}
	for _, k := range listed {
		key, _, err := keyOf(k)
		switch {
		case err != nil && k.Kid == kid:
			return active, nil, nil, &rotation.Error{Name: "Target.NoActiveKey",
				Message: fmt.Sprintf("the active key %s of %s (%s) cannot be read", kid, t, t.Label), Err: err}
		case err != nil:
			// A key that cannot be read is not ours.
		case k.Kid == kid:
			active, found = key, true
		default:
			others = append(others, key)
		}
	}
	if !found {
		return active, nil, nil, rotation.Errorf("Target.NoActiveKey", "the active key %s of %s (%s) is not in its key list: look at its certificates in Okta's admin console", kid, t, t.Label)
	}
	slices.SortStableFunc(others, newestFirst)
	for _, key := range others {
		switch {
		case key.Created.After(active.Created):
		case previous == nil, remaining(*previous, s.Now()) <= 0 && remaining(key, s.Now()) > 0:
			previous = &key
		}
	}
	return active, s.usable(others, active.Created), previous, nil
}

// usable keeps the keys that came after a time and are good for long enough, at
// most maxUnused of them.
func (s InspectTarget) usable(keys []rotation.Key, after time.Time) []rotation.Key {
	found := []rotation.Key{}
	for _, key := range keys {
		if key.Created.After(after) && remaining(key, s.Now()) > rotation.MinRemainingDays*rotation.Day && len(found) < maxUnused {
			found = append(found, key)
		}
	}
	return found
}

// sourceKeys are the keys of the source that came to it after the key that the
// target shares with it, the newest first; none without a source.
func (s InspectTarget) sourceKeys(ctx context.Context, t rotation.Target, active rotation.Key, source *rotation.Target) ([]rotation.Key, error) {
	none := []rotation.Key{}
	if source == nil {
		return none, nil
	}
	listed, err := s.Okta.Keys(ctx, *source)
	if okta.IsNotFound(err) {
		return none, &rotation.Error{Name: "Target.NotShared",
			Message: fmt.Sprintf("cloneFrom, the %s that %s (%s) is to take its key from, does not exist in the org %s: name another target that uses the key %s, or leave cloneFrom out for a key of its own",
				*source, t, t.Label, s.Okta.OrgURL(), active.Kid), Err: err}
	}
	if err != nil {
		return none, err
	}
	shared := slices.IndexFunc(listed, func(k okta.JSONWebKey) bool { return k.Kid == active.Kid })
	if shared < 0 {
		return none, rotation.Errorf("Target.NotShared", "%s (%s) uses the key %s, which cloneFrom, the %s, does not have: only targets that share a key get one certificate; name one that has this key, or leave cloneFrom out for a key of its own",
			t, t.Label, active.Kid, *source)
	}
	var keys []rotation.Key
	for _, k := range listed {
		if key, _, err := keyOf(k); err == nil {
			keys = append(keys, key)
		}
	}
	slices.SortStableFunc(keys, newestFirst)
	return s.usable(keys, listed[shared].Created), nil
}

func newestFirst(a, b rotation.Key) int { return b.Created.Compare(a.Created) }

// sharedWith finds the other targets with the same active key. Since May 2022
// every new app gets a key of its own; a key that is older than its target was
// the whole org's, or was cloned. Only then the question is asked, and where
// Okta does not say how old the target is (IdentityProvider.created may be null
// by the API spec).
func (s InspectTarget) sharedWith(ctx context.Context, t rotation.Target, active rotation.Key, doc okta.Document) ([]rotation.Target, error) {
	shared := []rotation.Target{}
	created, err := time.Parse(time.RFC3339, doc.Field("created"))
	if err == nil && !active.Created.Before(created.Add(-time.Minute)) {
		return shared, nil
	}
	all := s.Okta.AppsWithKid(ctx, active.Kid)
	if t.Kind == rotation.KindIDP {
		all = s.Okta.SAMLIdentityProviders(ctx)
	}
	var raw json.RawMessage
	for raw, err = range all {
		if err != nil {
			return nil, err
		}
		other := okta.Document{Kind: t.Kind, Raw: raw}
		if id := other.Field("id"); id != t.ID && other.ActiveKid() == active.Kid {
			shared = append(shared, rotation.Target{Kind: t.Kind, ID: id, Label: other.Label(), Name: other.Name()})
		}
		if len(shared) == maxShared {
			break
		}
	}
	return shared, nil
}

// What travels in the state is bounded: Step Functions passes at most 256 KiB,
// a key from before 2022 may be on a thousand apps, and keys cannot be deleted.
const (
	maxShared = 50
	maxUnused = 10
)
