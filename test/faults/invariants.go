// Package faults breaks rotations in every way that can be enumerated, and says
// what holds all the same. It runs on package simulated, in one process; a
// sample of it runs on the deployed stack in test/workflow.
package faults

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/google/go-cmp/cmp"
	"github.com/tidwall/sjson"

	"keyturn/internal/oktasim"
	"keyturn/internal/rotation"
	"keyturn/test/simulated"
)

// broken are the invariants that do not hold after a rotation has ended, each
// as a sentence.
//
// They are those of a rotation that nobody interferes with; what people do to
// the target meanwhile is for the caller to leave out.
func broken(w *simulated.World, order rotation.UploadOrder, r simulated.Report) (found []string) {
	active := w.Key(w.ActiveKid())
	if active == nil {
		return []string{fmt.Sprintf("the active kid %q is no key of the target", w.ActiveKid())}
	}
	found = append(found, keyBroken(w, active, r)...)
	found = append(found, endBroken(w, active, r)...)
	found = append(found, usersBroken(w, active, order, r)...)
	if diff := cmp.Diff(rest(w, w.Before), rest(w, w.Document())); diff != "" {
		found = append(found, "something else of the target changed: "+diff)
	}
	found = append(found, csrsBroken(w, r)...)
	found = append(found, untold(w, r)...)
	return append(found, leaks(w)...)
}

// keyBroken looks at the keys: the active one is the old or the new one, and
// its certificate verifies; there is at most one more than there was.
func keyBroken(w *simulated.World, active *oktasim.Key, r simulated.Report) (found []string) {
	switch {
	case active.Kid == w.OldKid:
	case active.Kid != r.NewKid && r.Status != aborted:
		found = append(found, fmt.Sprintf("the active kid is %s, neither the old one nor the report's new one, %q", active.Kid, r.NewKid))
	default:
		if err := w.Verifies(active); err != nil {
			found = append(found, fmt.Sprintf("the new key's certificate does not verify: %v", err))
		}
	}
	if more := len(w.Kids()) - len(r.Began.Kids); more > 1 {
		found = append(found, fmt.Sprintf("it published %d keys", more))
	}
	return found
}

// statuses are those of executions whose report says how the rotation ended.
var statuses = map[string]string{"Completed": succeeded, "GaveUp": succeeded, "RolledBack": failed, "Failed": failed}

// endBroken compares what the report says with what the org says.
func endBroken(w *simulated.World, active *oktasim.Key, r simulated.Report) (found []string) {
	is := func(what string, args ...any) { found = append(found, fmt.Sprintf(what, args...)) }
	if r.Status == aborted {
		return nil
	}
	if r.Status != statuses[r.Result] {
		is("it says %q, and its execution has %s", r.Result, r.Status)
	}
	switch {
	case r.Result == "Completed":
		if active.Kid != r.NewKid || active.Kid == w.OldKid {
			is("it says Completed, and %s is active, not the new key %s", active.Kid, r.NewKid)
		}
	case r.Rollback != nil && r.Rollback.Step == "RestoreKeyCredential":
		is("%s: %s", noWayBack, r.Rollback.Message)
		return found
	case active.Kid != w.OldKid:
		is("it says %s, and the old key is not active", r.Result)
	}
	if err := w.Partner.SignsIn(context.Background()); err != nil {
		is("it says %s, and users cannot sign in: %v", r.Result, err)
	}
	return found
}

// usersBroken looks at those who sign in. A partner that holds two certificates
// never locks them out in the order before-switch; in after-switch they wait for
// the upload, even where nobody is left who waits for it.
func usersBroken(w *simulated.World, active *oktasim.Key, order rotation.UploadOrder, r simulated.Report) (found []string) {
	if out := w.Partner.LockedOut()[r.Began.LockedOut:]; order == rotation.BeforeSwitch && len(out) > 0 {
		found = append(found, fmt.Sprintf("users of a partner with two certificates were locked out after %q", slices.Compact(out)))
	}
	if r.Status != aborted || order == rotation.AfterSwitch && !w.Partner.Has(active) {
		return found
	}
	if err := w.Partner.SignsIn(context.Background()); err != nil {
		found = append(found, fmt.Sprintf("it was stopped, and users cannot sign in: %v", err))
	}
	return found
}

// csrsBroken are the CSRs of ours that are left pending, but for one that the
// report keeps.
func csrsBroken(w *simulated.World, r simulated.Report) (found []string) {
	for _, csr := range w.PendingCSRs() {
		switch {
		case csr == r.PendingCSR, r.Status == aborted:
		case r.Rollback != nil && r.Rollback.Step == "RevokeCsr":
			found = append(found, notRevoked+": "+r.Rollback.Message)
		default:
			found = append(found, "the CSR "+csr+" is left pending, and the report does not say so")
		}
	}
	return found
}

// untold tells where nobody was told of the rotation's end by an event of its
// own that says how it ended. That an execution which fails raises an alarm
// besides does not count.
func untold(w *simulated.World, r simulated.Report) (found []string) {
	told := false
	for _, e := range w.Events() {
		var says struct{ Execution, Result string }
		if err := json.Unmarshal(e.Detail, &says); err != nil || says.Execution != r.Execution || !isEnd(e.Type) {
			continue
		}
		told = true
		if r.Status != aborted && (e.Type != ends[r.Result] || says.Result != r.Result) {
			found = append(found, fmt.Sprintf("it ended %s, and the event %s says %s", r.Result, e.Type, says.Result))
		}
	}
	if !told && r.Status != aborted {
		found = append(found, unannounced+r.Result)
	}
	return found
}

// ends are the events that a rotation ends with.
var ends = map[string]string{
	"Completed": "Keyturn Rotation Completed", "RolledBack": "Keyturn Rotation Rolled Back",
	"GaveUp": "Keyturn Rotation Gave Up", "Failed": "Keyturn Rotation Failed",
}

func isEnd(event string) bool { return slices.Contains(slices.Collect(maps.Values(ends)), event) }

// leaks are secrets in the logs, the events or the report.
func leaks(w *simulated.World) (found []string) {
	logs, events := w.Logs(), w.Events()
	for _, secret := range w.Secrets() {
		if strings.Contains(logs, secret) {
			found = append(found, "a secret is in the logs")
		}
		for _, e := range events {
			if bytes.Contains(e.Detail, []byte(secret)) {
				found = append(found, "a secret is in the event "+e.Type)
			}
		}
	}
	return found
}

// What a report says of itself, or does not, and an invariant does not excuse:
// only where a service cannot be reached for longer than a step is tried may it
// be.
const (
	noWayBack   = "the old key could not be brought back"
	notRevoked  = "the CSR could not be taken back"
	unannounced = "nobody was told that it "
)

const (
	succeeded = "SUCCEEDED"
	failed    = "FAILED"
	aborted   = "ABORTED"
)

// rest is a target's document without what a switch changes.
func rest(w *simulated.World, document []byte) any {
	for _, p := range simulated.Switched(w.Target.Kind) {
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
