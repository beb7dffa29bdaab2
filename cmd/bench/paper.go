package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"keyturn/cmd/bench/played"
	"keyturn/internal/bucket"
	"keyturn/internal/inventory"
)

// paper is one call of report-inventory, measured.
type paper struct {
	what string
	apps int
	call
	// inventory and report are the sizes of what it wrote, in bytes.
	inventory, report int
}

// publish calls report-inventory after a run. Between the two stands
// start-rotations, which is not measured: in the mode notify it starts nothing,
// and what it leaves is written in its place.
func (w *world) publish(ctx context.Context, what string, begun inventory.Begun) (paper, error) {
	p := paper{what: what, apps: w.apps}
	keys := inventory.Keys{Run: begun.ID}
	starts := inventory.Starts{Dues: []inventory.Entry{}, Running: []inventory.Running{}, Ended: []inventory.Ended{}, Problems: []inventory.Problem{}}
	for due, err := range inventory.Lines[inventory.Due](bytes.NewReader(w.object(keys.Dues()))) {
		if err != nil {
			return p, fmt.Errorf("the dues: %w", err)
		}
		starts.Dues = append(starts.Dues, due.Entry)
	}
	raw, err := json.Marshal(starts)
	if err != nil {
		return p, err
	}
	if _, err := w.s3.Bucket(played.Bucket).Put(ctx, keys.Starts(), bytes.NewReader(raw), bucket.Options{}); err != nil {
		return p, err
	}
	var out inventory.ReportInventoryOutput
	if p.call, err = w.play(ctx, w.reporter, played.ReportPart, inventory.ReportInventoryInput{Run: begun}, &out); err != nil {
		return p, err
	}
	if want := w.targets(); out.Targets != want || !out.Complete {
		return p, fmt.Errorf("the report has %d targets of %d (complete: %v)", out.Targets, want, out.Complete)
	}
	p.inventory, p.report = len(w.object(out.Inventory)), len(w.object(out.Report))
	return p, nil
}
