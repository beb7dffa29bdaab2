package steps

import (
	"context"
	"fmt"
	"strings"

	"keyturn/internal/okta"
	"keyturn/internal/rotation"
)

// UpdateKeyCredential is the function update-key-credential (guide, step 5):
// the switch, and the way back.
type UpdateKeyCredential struct {
	Okta *okta.Client
}

// Run makes ToKid the active key: it reads the target, updates it, and reads
// it again, three calls.
//
// A forward switch starts only from the very document that inspect-target
// read (Digest): if somebody edited it meanwhile, it answers Target.Edited,
// and the state machine reads it again. The same goes for a document that has
// been updated since, and is as it was: a call that Lambda delivers a second
// time, after the way back, finds it so. So the digest is always that of the
// document right before the update, and a crash between the update and the
// comparison does not lose the comparison: the next attempt finds ToKid active
// and compares with the digest.
//
// It answers Target.Changed when another key than FromKid is active, and
// Target.Drifted when the update changed more than the key; the old document
// has been put back then as far as Okta takes it, and the text shows the
// difference.
func (s UpdateKeyCredential) Run(ctx context.Context, in rotation.UpdateKeyCredentialInput) (rotation.UpdateKeyCredentialOutput, error) {
	none := rotation.UpdateKeyCredentialOutput{}
	if err := in.Target.Validate(); err != nil {
		return none, err
	}
	if in.FromKid == "" || in.ToKid == "" || in.FromKid == in.ToKid {
		return none, rotation.Errorf("Input.Invalid", "fromKid is %q and toKid is %q: both are needed, and they must differ", in.FromKid, in.ToKid)
	}
	before, err := s.Okta.Document(ctx, in.Target)
	if err != nil {
		return none, err
	}
	digest, err := before.Digest()
	if err != nil {
		return none, err
	}
	switch before.ActiveKid() {
	case in.FromKid:
	case in.ToKid:
		switch {
		case in.Back && in.Insist:
			// What shows may be older than the switch.
		case in.Back, digest == in.Digest:
			// On the way back it matters alone that the old key is active: the
			// document may have been edited since the switch.
			return rotation.UpdateKeyCredentialOutput{ActiveKid: in.ToKid, Already: true}, nil
		default:
			return none, s.putKidBack(ctx, in, before)
		}
	default:
		return none, rotation.Errorf("Target.Changed", "%s (%s) has the active key %s: it should be %s, so somebody else changed it meanwhile; nothing was changed now", in.Target, in.Target.Label, before.ActiveKid(), in.FromKid)
	}
	if !in.Back && (digest != in.Digest || in.UpdatedSince(before.Field("lastUpdated"))) {
		return none, rotation.Errorf("Target.Edited", "%s (%s) was edited since it was inspected: it has to be read again before the switch", in.Target, in.Target.Label)
	}
	body, err := before.SwitchBody(in.ToKid)
	if err != nil {
		return none, &rotation.Error{Name: "Okta.Invalid", Message: fmt.Sprintf("the document of %s (%s) cannot be used for the switch", in.Target, in.Target.Label), Err: err}
	}
	if err := s.Okta.Replace(ctx, in.Target, body); err != nil {
		return none, err
	}
	after, err := s.Okta.Document(ctx, in.Target)
	if err != nil {
		return none, err
	}
	if kid := after.ActiveKid(); kid != in.ToKid {
		if at := after.Field("lastUpdated"); !in.Back && at != before.Field("lastUpdated") {
			return none, rotation.Errorf("Okta.Invalid", "Okta accepted the update of %s (%s), and says that it was updated at %s, but its active key is %s and not %s", in.Target, in.Target.Label, at, kid, in.ToKid)
		}
		// The answer may be older than the update.
		return none, rotation.Errorf("Key.NotInUse", "Okta accepted the update of %s (%s), but its active key is %s and not %s", in.Target, in.Target.Label, kid, in.ToKid)
	}
	differences, err := okta.Differences(before, after)
	if err != nil {
		return none, err
	}
	if len(differences) > 0 {
		return none, s.putBack(ctx, in, before, differences)
	}
	return rotation.UpdateKeyCredentialOutput{ActiveKid: in.ToKid}, nil
}

// putBack undoes an update that changed more than the key: the old document as
// it was, and should Okta not take that (it answers 500 for some catalogue
// apps with a whole body, okta-sdk-golang #222), at least the old key.
func (s UpdateKeyCredential) putBack(ctx context.Context, in rotation.UpdateKeyCredentialInput, before okta.Document, differences []okta.Difference) error {
	drift := "the update of %s (%s) changed more than the key: %s; %s"
	report := func(outcome string) error {
		return rotation.Errorf("Target.Drifted", drift, in.Target, in.Target.Label, list(differences), outcome)
	}
	if in.Back {
		// The old key stays active: undoing the way back would lock users out.
		return report("the old key is active; correct the rest in Okta's admin console")
	}
	kidOnly, err := before.SwitchBody(in.FromKid)
	if err != nil {
		return report(notPutBack(in, err))
	}
	accepted := false
	for _, body := range [][]byte{before.Raw, kidOnly} {
		if err = s.Okta.Replace(ctx, in.Target, body); err != nil {
			continue
		}
		accepted = true
		var now okta.Document
		if now, err = s.Okta.Document(ctx, in.Target); err != nil {
			continue
		}
		if kid := now.ActiveKid(); kid != in.FromKid {
			err = fmt.Errorf("its active key is %s", kid)
			continue
		}
		rest, err := okta.Differences(before, now)
		switch {
		case err != nil:
			return report(fmt.Sprintf("the old key is active again, but the rest cannot be compared (%v): look at it in the admin console", err))
		case len(rest) > 0:
			return report("the old key is active again, but Okta did not take back " + list(rest) + ": correct it in the admin console")
		}
		return report("the document from before has been put back")
	}
	if accepted {
		return report(fmt.Sprintf("Okta took the old key %s back, but did not show it (%v): look at it in the admin console at once", in.FromKid, err))
	}
	return report(notPutBack(in, err))
}

func notPutBack(in rotation.UpdateKeyCredentialInput, err error) string {
	return fmt.Sprintf("the old key %s could NOT be put back (%v): make it active in the admin console at once", in.FromKid, err)
}

// putKidBack handles the crash between update and comparison where the
// comparison then fails: the document from before is gone, only its digest is
// left, so no more than the key can be put back.
func (s UpdateKeyCredential) putKidBack(ctx context.Context, in rotation.UpdateKeyCredentialInput, now okta.Document) error {
	const what = "%s (%s) is not as it was before the switch, and an interrupted attempt made the switch: "
	body, err := now.SwitchBody(in.FromKid)
	if err == nil {
		err = s.Okta.Replace(ctx, in.Target, body)
	}
	if err != nil {
		return &rotation.Error{Name: "Target.Drifted", Message: fmt.Sprintf(what+"the old key %s could NOT be put back, make it active in the admin console at once", in.Target, in.Target.Label, in.FromKid), Err: err}
	}
	return rotation.Errorf("Target.Drifted", what+"the old key %s is active again; compare the rest in the admin console", in.Target, in.Target.Label, in.FromKid)
}

// list shows the first differences and counts the others.
func list(differences []okta.Difference) string {
	const most = 10
	var texts []string
	for i, d := range differences {
		if i == most {
			texts = append(texts, fmt.Sprintf("and %d more", len(differences)-most))
			break
		}
		texts = append(texts, d.String())
	}
	return strings.Join(texts, ", ")
}
