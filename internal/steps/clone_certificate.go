package steps

import (
	"context"
	"fmt"
	"slices"

	"keyturn/internal/okta"
	"keyturn/internal/rotation"
)

// CloneCertificate is the function clone-certificate (guide, step 6).
type CloneCertificate struct {
	Okta *okta.Client
}

// Run gives the target the source's key under the same kid, and does not put it
// into use: one call. Where Okta refuses, or its answer is lost, the target's
// key list tells whether an earlier attempt, or this one, has cloned it: a
// second call, and a third that tells what is gone.
func (s CloneCertificate) Run(ctx context.Context, in rotation.CloneCertificateInput) (rotation.CloneCertificateOutput, error) {
	none := rotation.CloneCertificateOutput{}
	if err := in.Target.Validate(); err != nil {
		return none, err
	}
	if err := in.Target.ValidateSource("source", in.Source); err != nil {
		return none, err
	}
	if in.Key.Kid == "" || in.Key.Certificate == "" {
		return none, rotation.Errorf("Input.Invalid", "key has no kid or no certificate: give the key as %s has it", in.Source)
	}
	listed, err := s.Okta.CloneKey(ctx, in.Source, in.Key.Kid, in.Target)
	if err != nil {
		found, lookErr := s.look(ctx, in, err)
		if lookErr != nil {
			return none, lookErr
		}
		listed = found
	}
	key, _, err := keyOf(listed)
	if err != nil {
		return none, &rotation.Error{Name: "Okta.Unavailable", Message: "Okta's answer to the cloning", Err: err}
	}
	if key.Kid != in.Key.Kid || key.Certificate != in.Key.Certificate {
		return none, rotation.Errorf("Certificate.Mismatch", "the key %s of %s came to %s (%s) as the key %s: it must be the same kid and certificate; do not use it, and report this",
			in.Key.Kid, in.Source, in.Target, in.Target.Label, key.Kid)
	}
	return rotation.CloneCertificateOutput{Key: key}, nil
}

// look finds the key in the target's list after the cloning ended with an
// error, and gives that error, or a clearer one, where it is not there.
func (s CloneCertificate) look(ctx context.Context, in rotation.CloneCertificateInput, cloning error) (okta.JSONWebKey, error) {
	none := okta.JSONWebKey{}
	// A duplicate is 400 by the spec; without an answer nobody knows. All else
	// had no effect.
	if !okta.IsInvalid(cloning) && !okta.IsNotFound(cloning) && rotation.NameOf(cloning) != "Okta.Unavailable" {
		return none, cloning
	}
	keys, err := s.Okta.Keys(ctx, in.Target)
	if okta.IsNotFound(err) {
		return none, s.gone(in, in.Target, "it was deleted, or the credential may not see it any more", err)
	}
	has := func(k okta.JSONWebKey) bool { return k.Kid == in.Key.Kid }
	if i := slices.IndexFunc(keys, has); err == nil && i >= 0 {
		return keys[i], nil
	}
	if err != nil || !okta.IsNotFound(cloning) {
		return none, cloning
	}
	keys, err = s.Okta.Keys(ctx, in.Source)
	if okta.IsNotFound(err) {
		return none, s.gone(in, in.Source, "it was deleted, or the credential may not see it any more; name another target that has the key", err)
	}
	if err == nil && !slices.ContainsFunc(keys, has) {
		return none, s.gone(in, in.Source, "it does not have the key; name another target that has it", cloning)
	}
	return none, cloning
}

// gone names the one of the two that the key cannot be cloned from or to.
func (s CloneCertificate) gone(in rotation.CloneCertificateInput, which rotation.Target, why string, err error) error {
	return &rotation.Error{Name: "Okta.NotFound",
		Message: fmt.Sprintf("the key %s of %s cannot be cloned to %s (%s) because of %s: %s", in.Key.Kid, in.Source, in.Target, in.Target.Label, which, why), Err: err}
}
