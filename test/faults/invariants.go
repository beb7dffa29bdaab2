// Package faults breaks rotations in every way that can be enumerated, and says
// what holds all the same. It runs on package simulated, in one process; a
// sample of it runs on the deployed stack in test/workflow.
package faults

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/google/go-cmp/cmp"
	"github.com/tidwall/sjson"

	"keyturn/internal/rotation"
	"keyturn/test/simulated"
)

// broken are the invariants that do not hold after a rotation has ended, each
// as a sentence.
//
// They are those of a rotation that nobody interferes with; what people do to
// the target meanwhile is for the caller to leave out.
func broken(w *simulated.World, r simulated.Report) []string {
	var found []string
	is := func(what string, args ...any) { found = append(found, fmt.Sprintf(what, args...)) }

	// The active kid is the old or the new one, and its certificate verifies.
	active := w.Key(w.ActiveKid())
	switch {
	case active == nil:
		is("the active kid %q is no key of the target", w.ActiveKid())
		return found
	case active.Kid == w.OldKid:
	case active.Kid != r.NewKid && r.Status != aborted:
		is("the active kid is %s, neither the old one nor the report's new one, %q", active.Kid, r.NewKid)
	default:
		if err := w.Verifies(active); err != nil {
			is("the new key's certificate does not verify: %v", err)
		}
	}

	// What the report says is what the org says.
	switch {
	case r.Status == aborted:
	case r.Result == "Completed":
		if active.Kid != r.NewKid || active.Kid == w.OldKid {
			is("it says Completed, and %s is active, not the new key %s", active.Kid, r.NewKid)
		}
		if err := w.Partner.SignsIn(context.Background()); err != nil {
			is("it says Completed, and users cannot sign in: %v", err)
		}
	case r.Rollback != nil && r.Rollback.Step == "RestoreKeyCredential":
		is("%s: %s", noWayBack, r.Rollback.Message)
	case slices.Contains([]string{"RolledBack", "GaveUp", "Failed"}, r.Result):
		if active.Kid != w.OldKid {
			is("it says %s, and the old key is not active", r.Result)
		}
		if err := w.Partner.SignsIn(context.Background()); err != nil {
			is("it says %s, and users cannot sign in: %v", r.Result, err)
		}
	default:
		is("it says %q", r.Result)
	}

	// Nothing else of the target changed.
	if diff := cmp.Diff(rest(w, w.Before), rest(w, w.Document())); diff != "" {
		is("something else of the target changed: %s", diff)
	}

	// No CSR of ours is left pending, but for one that the report keeps.
	for _, csr := range w.PendingCSRs() {
		switch {
		case csr == r.PendingCSR, r.Status == aborted:
		case r.Rollback != nil && r.Rollback.Step == "RevokeCsr":
			is("%s: %s", notRevoked, r.Rollback.Message)
		default:
			is("the CSR %s is left pending, and the report does not say so", csr)
		}
	}

	// Somebody was told: the stack's topic by the event, or its operators by the
	// alarm on executions that fail.
	told := r.Status != succeeded
	for _, e := range w.Events() {
		told = told || slices.Contains(ends, e.Type)
	}
	if !told {
		is("nobody was told that it %s", r.Result)
	}

	// Nothing secret is in the logs, the events or the report.
	for _, secret := range w.Secrets() {
		if strings.Contains(w.Logs(), secret) {
			is("a secret is in the logs")
		}
		for _, e := range w.Events() {
			if bytes.Contains(e.Detail, []byte(secret)) {
				is("a secret is in the event %s", e.Type)
			}
		}
	}
	return found
}

// ends are the events that a rotation ends with.
var ends = []string{"Keyturn Rotation Completed", "Keyturn Rotation Rolled Back", "Keyturn Rotation Gave Up", "Keyturn Rotation Failed"}

// What a report says of itself, and an invariant does not excuse: only where
// Okta cannot be reached for longer than a step is tried may it be.
const (
	noWayBack  = "the old key could not be brought back"
	notRevoked = "the CSR could not be taken back"
)

const (
	succeeded = "SUCCEEDED"
	aborted   = "ABORTED"
)

// rest is a target's document without what a switch changes.
func rest(w *simulated.World, document []byte) any {
	path := "credentials.signing"
	if w.Target.Kind == rotation.KindIDP {
		path = "protocol.credentials.signing"
	}
	for _, p := range []string{path, "lastUpdated"} {
		var err error
		if document, err = sjson.DeleteBytes(document, p); err != nil {
			panic(err)
		}
	}
	d := json.NewDecoder(bytes.NewReader(document))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		panic(err)
	}
	return v
}
