package starting

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"keyturn/internal/bucket"
	"keyturn/internal/inventory"
	"keyturn/internal/rotation"
)

// Memory is the object that holds how rotations ended, one inventory.Ended a
// line, so that each execution is described once in its life. It is a cache:
// what is lost of it is learned again.
const Memory = "memory/rotations.jsonl"

// What is remembered: for a key that several targets share, an earlier one's
// rotation is looked for.
const (
	kept     = 90 * rotation.Day
	keptMost = 5000
)

// rewrites is how often the memory is written again after somebody else wrote
// it meanwhile.
const rewrites = 5

// memory is the object as it was read.
type memory struct {
	// ended are by execution.
	ended map[string]inventory.Ended
	etag  string
	// lines that could not be read.
	damaged int
	// unsure is not written.
	unsure []inventory.Ended
}

// all has what is not written as well, the latest first.
func (m *memory) all() []inventory.Ended {
	all := slices.AppendSeq(slices.Clone(m.unsure), maps.Values(m.ended))
	latestFirst(all)
	return all
}

// add takes rotations in, and forgets what is too old or too much.
func (m *memory) add(learned []inventory.Ended, at time.Time) {
	for _, e := range learned {
		if old, known := m.ended[e.Execution]; !known || e.EndedAt.After(old.EndedAt) {
			m.ended[e.Execution] = e
		}
	}
	maps.DeleteFunc(m.ended, func(_ string, e inventory.Ended) bool { return !e.EndedAt.After(at.Add(-kept)) })
	if len(m.ended) > keptMost {
		all := slices.Collect(maps.Values(m.ended))
		latestFirst(all)
		for _, e := range all[keptMost:] {
			delete(m.ended, e.Execution)
		}
	}
}

// remembered reads the memory.
func (r Rotations) remembered(ctx context.Context, at time.Time) (*memory, []inventory.Problem, error) {
	m := &memory{ended: map[string]inventory.Ended{}}
	raw, etag, err := r.Bucket.Read(ctx, Memory)
	if errors.Is(err, bucket.ErrNotFound) {
		return m, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	m.etag = etag
	for line := range bytes.Lines(raw) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 {
			continue
		}
		var e inventory.Ended
		// One that ends in the future would never be forgotten.
		if json.Unmarshal(line, &e) != nil || e.Execution == "" || e.Result == "" || e.EndedAt.IsZero() || e.EndedAt.After(at.Add(30*rotation.Day)) {
			m.damaged++
			continue
		}
		m.add([]inventory.Ended{e}, time.Time{})
	}
	if m.damaged == 0 {
		return m, nil, nil
	}
	return m, []inventory.Problem{{
		Name: "Memory.Damaged",
		Message: fmt.Sprintf("%d lines of %s in the bucket could not be read and were dropped; what Step Functions still knows is learned again",
			m.damaged, Memory),
	}}, nil
}

// remember takes in what was learned and writes the memory if that changes it.
// That it cannot be written is no reason to start nothing.
func (r Rotations) remember(ctx context.Context, m *memory, learned []inventory.Ended, at time.Time) *inventory.Problem {
	before, theirs := len(m.ended), m
	for range rewrites {
		theirs.add(learned, at)
		if theirs != m {
			m.add(slices.Collect(maps.Values(theirs.ended)), at)
		}
		if len(learned) == 0 && theirs.damaged == 0 && len(theirs.ended) == before {
			return nil
		}
		var raw bytes.Buffer
		lines := json.NewEncoder(&raw)
		all := slices.Collect(maps.Values(theirs.ended))
		latestFirst(all)
		for _, e := range all {
			if err := lines.Encode(e); err != nil {
				return &inventory.Problem{Name: "Keyturn.Bug", Message: "how a rotation ended could not be written as JSON"}
			}
		}
		_, err := r.Bucket.Put(ctx, Memory, bytes.NewReader(raw.Bytes()), bucket.Options{
			ContentType: "application/x-ndjson", IfMatch: theirs.etag, IfAbsent: theirs.etag == "",
		})
		if err == nil {
			return nil
		}
		if errors.Is(err, bucket.ErrConflict) {
			theirs, _, err = r.remembered(ctx, at)
		}
		if err != nil {
			p := problem(err, "how rotations ended could not be remembered, and is asked for again by the next run: %s", err)
			return &p
		}
		before = len(theirs.ended)
	}
	return &inventory.Problem{Name: "Bucket.Unavailable", Message: "how rotations ended could not be remembered, and is asked for again by the next run: others wrote " + Memory + " at the same time"}
}
