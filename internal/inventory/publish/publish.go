// Package publish is the last step of discovery, the function
// report-inventory: it writes the inventory and its report, and tells the
// operators.
package publish

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"os"
	"slices"
	"time"

	"keyturn/internal/bucket"
	"keyturn/internal/inventory"
	"keyturn/internal/inventory/report"
	"keyturn/internal/notify"
	"keyturn/internal/rotation"
)

// Inventory is the function report-inventory.
type Inventory struct {
	Bucket bucket.Bucket
	// Mail sends the digest to the Operators; without SES nobody is mailed.
	Mail      notify.Mail
	Operators []string
	Events    notify.Events
	// Stack is the dimension of the metrics, which go to Metrics.
	Stack   string
	Metrics io.Writer
	Log     *slog.Logger
	Now     func() time.Time
	// TempDir is for files of some ten megabytes; empty for the system's.
	TempDir string
}

// Run writes what the steps before it found. Run again it writes the same
// again, but sends the digest once. It fails with Bucket.*, and with
// Inventory.Incomplete where a target that was listed would be missing.
func (p Inventory) Run(ctx context.Context, in inventory.ReportInventoryInput) (inventory.ReportInventoryOutput, error) {
	none := inventory.ReportInventoryOutput{}
	w := &writing{Inventory: p, keys: inventory.Keys{Run: in.Run.ID}}
	var listing inventory.Listing
	var starts inventory.Starts
	for key, v := range map[string]any{w.keys.Listing(): &listing, w.keys.Starts(): &starts} {
		raw, _, err := p.Bucket.Read(ctx, key)
		if err == nil {
			err = json.Unmarshal(raw, v)
		}
		if err != nil {
			return none, missing(key, err)
		}
	}
	listing.Run.FinishedAt = p.Now().UTC()
	listing.Run.DryRun = in.DryRun
	w.begin(listing, starts, in.Authorities)
	var err error
	if w.entries, err = inventory.TempFile(p.TempDir); err != nil {
		return none, err
	}
	defer func() { _ = w.entries.Close() }()
	file, err := inventory.TempFile(p.TempDir)
	if err != nil {
		return none, err
	}
	defer func() { _ = file.Close() }()
	if err := w.document(ctx, file, listing, starts); err != nil {
		return none, err
	}
	page, err := inventory.TempFile(p.TempDir)
	if err != nil {
		return none, err
	}
	defer func() { _ = page.Close() }()
	if err := report.Page(page, w.summary, w.all); err != nil {
		return none, err
	}
	out := w.output()
	out.Inventory, out.Report = inventory.LatestInventory, inventory.LatestReport
	if in.DryRun {
		out.Inventory, out.Report = inventory.DryRunInventory, inventory.DryRunReport
	}
	if out.Superseded, err = w.put(ctx, out.Inventory, file, "application/json"); err != nil {
		return none, err
	}
	if !out.Superseded {
		if out.Superseded, err = w.put(ctx, out.Report, page, "text/html; charset=utf-8"); err != nil {
			return none, err
		}
	}
	return out, w.tell(ctx, out)
}

func missing(key string, err error) error {
	if errors.Is(err, bucket.ErrNotFound) {
		return rotation.Errorf("Input.Invalid", "the bucket has no %s: this step comes after list-apps and start-rotations of the same run, and their objects are kept for 30 days", key)
	}
	if rotation.NameOf(err) != "" {
		return err
	}
	return rotation.Errorf("Bucket.Unavailable", "the object %s could not be read to its end", key)
}

// writing is one call of the function.
type writing struct {
	Inventory
	keys    inventory.Keys
	summary inventory.Summary
	// decided are the dues as start-rotations left them, running the rotations,
	// both by target.
	decided map[string]inventory.Entry
	running map[string]inventory.Running
	// entries has one a line.
	entries *os.File
}

func idOf(t rotation.Target) string { return string(t.Kind) + t.ID }

func (w *writing) begin(l inventory.Listing, s inventory.Starts, facts []rotation.AuthorityFacts) {
	authorities := []inventory.CertificateAuthority{}
	var unknown []inventory.Problem
	for _, f := range facts {
		a := authority(f, l.ValidityDays[f.Provider], l.Run.FinishedAt)
		authorities = append(authorities, a)
		if a.Problem != nil {
			unknown = append(unknown, *a.Problem)
		}
	}
	// First: the list is cut below.
	l.Run.ProblemCount += len(unknown)
	l.Run.Problems = append(unknown, l.Run.Problems...)
	for _, p := range s.Problems {
		l.Run.ProblemCount++
		l.Run.Problems = append(l.Run.Problems, p)
	}
	w.decided, w.running = map[string]inventory.Entry{}, map[string]inventory.Running{}
	for _, e := range s.Dues {
		w.decided[idOf(e.Target)] = e
		if e.Action == inventory.ActionFailed && e.Problem != nil {
			t := e.Target
			l.Run.ProblemCount++
			l.Run.Problems = append(l.Run.Problems, inventory.Problem{Name: e.Problem.Name, Message: e.Problem.Message, Target: &t})
		}
	}
	l.Run.Problems = first(l.Run.Problems, inventory.MaxProblems)
	for _, r := range s.Running {
		if _, known := w.running[idOf(r.Target)]; !known {
			w.running[idOf(r.Target)] = r
		}
	}
	failed := 0
	for _, e := range s.Ended {
		if e.Result != "Completed" {
			failed++
		}
	}
	groups := slices.Clone(first(l.SharedKeys, inventory.MaxSharedKeys))
	for i := range groups {
		groups[i].Targets = first(groups[i].Targets, inventory.MaxSharing)
	}
	w.summary = inventory.Summary{
		Org: l.Org, Run: l.Run, Mode: l.Mode, MaxRotations: l.MaxRotations, Actions: map[inventory.Action]int{},
		Due:     []inventory.Entry{},
		Running: first(s.Running, inventory.MaxRunning), RunningCount: len(s.Running),
		Ended: first(s.Ended, inventory.MaxEnded), FailedCount: failed,
		SharedKeys: groups, SharedKeyCount: len(l.SharedKeys), Trust: l.Trust,
		Authorities: authorities,
	}
}

// authority is a CA as the inventory has it.
func authority(f rotation.AuthorityFacts, validityDays int, now time.Time) inventory.CertificateAuthority {
	a := inventory.CertificateAuthority{Provider: f.Provider, ValidityDays: validityDays, Certificates: []inventory.AuthorityCertificate{}}
	problem := f.Problem
	if problem == "" && len(f.Certificates) == 0 {
		problem = "sign-csr named none of its certificates"
	}
	if problem != "" {
		a.Problem = &inventory.Problem{Name: "CA.NotDescribed",
			Message: fmt.Sprintf("the CA %s could not be described, and nobody knows here when it ends: %s", f.Provider, problem)}
		return a
	}
	for _, c := range f.Certificates {
		c.NotBefore, c.NotAfter = c.NotBefore.UTC(), c.NotAfter.UTC()
		a.Certificates = append(a.Certificates, inventory.AuthorityCertificate{AuthorityCertificate: c, DaysLeft: inventory.DaysLeft(c.NotAfter, now)})
	}
	return a
}

func first[T any](list []T, most int) []T {
	if len(list) > most {
		list = list[:most]
	}
	return append([]T{}, list...)
}

// document writes the inventory, format Format, a target a line, and sums it up.
func (w *writing) document(ctx context.Context, file io.Writer, l inventory.Listing, s inventory.Starts) error {
	object, err := w.Bucket.Get(ctx, w.keys.Entries())
	if err != nil {
		return missing(w.keys.Entries(), err)
	}
	defer func() { _ = object.Body.Close() }()
	head, err := json.Marshal(struct {
		Version      int                   `json:"version"`
		Org          string                `json:"org"`
		Run          inventory.Run         `json:"run"`
		Mode         rotation.Mode         `json:"mode"`
		MaxRotations int                   `json:"maxRotations"`
		Running      []inventory.Running   `json:"running"`
		Ended        []inventory.Ended     `json:"ended"`
		SharedKeys   []inventory.SharedKey `json:"sharedKeys"`
		Trust        []inventory.Trust     `json:"trust"`

		Authorities []inventory.CertificateAuthority `json:"certificateAuthorities"`
	}{inventory.Format, l.Org, w.summary.Run, l.Mode, l.MaxRotations, append([]inventory.Running{}, s.Running...), append([]inventory.Ended{}, s.Ended...), l.SharedKeys, l.Trust, w.summary.Authorities})
	if err != nil {
		return err
	}
	out := &sticky{to: file}
	out.write(bytes.TrimSuffix(head, []byte("}")))
	out.write([]byte(",\"targets\":["))
	count := 0
	for e, err := range inventory.Lines[inventory.Entry](object.Body) {
		if err != nil {
			return missing(w.keys.Entries(), err)
		}
		e = w.overlay(e)
		line, err := json.Marshal(e)
		if err != nil {
			return err
		}
		if count > 0 {
			out.write([]byte(","))
		}
		out.write([]byte("\n"))
		out.write(line)
		if _, err := w.entries.Write(append(line, '\n')); err != nil {
			return fmt.Errorf("temporary file: %w", err)
		}
		w.sum(e)
		count++
	}
	out.write([]byte("\n]}\n"))
	if out.err != nil {
		return fmt.Errorf("temporary file: %w", out.err)
	}
	if count != l.Run.Targets || len(w.decided) > 0 {
		return rotation.Errorf("Inventory.Incomplete", "%d targets were listed, %d would be reported, and %d of those that are due not: nothing was written", l.Run.Targets, count, len(w.decided))
	}
	return nil
}

type sticky struct {
	to  io.Writer
	err error
}

func (s *sticky) write(p []byte) {
	if s.err == nil {
		_, s.err = s.to.Write(p)
	}
}

// overlay gives an entry as start-rotations left it, and the rotation that runs
// for it.
func (w *writing) overlay(e inventory.Entry) inventory.Entry {
	id := idOf(e.Target)
	if decided, due := w.decided[id]; due {
		delete(w.decided, id)
		e = decided
	}
	if running, ok := w.running[id]; ok {
		if e.Rotation == nil {
			e.Rotation = &running
		}
		if e.Action == inventory.ActionNone {
			e.Action, e.Reason = inventory.ActionRunning, "a rotation is running, though it is not due"
		}
	}
	return e
}

// sum counts an entry.
func (w *writing) sum(e inventory.Entry) {
	w.summary.Actions[e.Action]++
	if e.Due {
		w.summary.DueCount++
		if len(w.summary.Due) < inventory.MaxDue {
			w.summary.Due = append(w.summary.Due, e)
		}
	}
	out := e.Action == inventory.ActionOff || e.Action == inventory.ActionInactive || e.NotAfter == nil
	if !out && (w.summary.Nearest == nil || e.NotAfter.Before(*w.summary.Nearest.NotAfter)) {
		w.summary.Nearest = &e
	}
}

// all are the entries, in order.
func (w *writing) all() iter.Seq2[inventory.Entry, error] {
	if _, err := w.entries.Seek(0, io.SeekStart); err != nil {
		return func(yield func(inventory.Entry, error) bool) { yield(inventory.Entry{}, err) }
	}
	return inventory.Lines[inventory.Entry](w.entries)
}

func (w *writing) output() inventory.ReportInventoryOutput {
	s := w.summary
	out := inventory.ReportInventoryOutput{
		DryRun: s.Run.DryRun, Complete: s.Run.Complete, Targets: s.Run.Targets, Due: s.DueCount,
		Started: s.Actions[inventory.ActionStart], Running: s.RunningCount, Failed: s.Actions[inventory.ActionFailed],
		Problems: s.Run.ProblemCount, OktaCalls: s.Run.OktaCalls,
	}
	if s.Run.DryRun {
		out.Started = 0
	}
	if s.Nearest != nil {
		out.NearestExpiryDays = s.Nearest.DaysLeft
	}
	return out
}

// put writes an object that everybody reads, unless a run that started later
// has written it already.
func (w *writing) put(ctx context.Context, key string, file *os.File, contentType string) (superseded bool, err error) {
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return false, fmt.Errorf("temporary file: %w", err)
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, file); err != nil {
		return false, fmt.Errorf("temporary file: %w", err)
	}
	started := w.summary.Run.StartedAt
	options := bucket.Options{ContentType: contentType, Metadata: map[string]string{
		inventory.MetaSHA256: hex.EncodeToString(sum.Sum(nil)), inventory.MetaStarted: started.Format(time.RFC3339Nano),
	}}
	for range 5 {
		options.IfMatch, options.IfAbsent = "", false
		there, err := w.Bucket.Get(ctx, key)
		switch {
		case errors.Is(err, bucket.ErrNotFound):
			options.IfAbsent = true
		case err != nil:
			return false, err
		default:
			_ = there.Body.Close()
			if at, err := time.Parse(time.RFC3339Nano, there.Metadata[inventory.MetaStarted]); err == nil && at.After(started) {
				return true, nil
			}
			options.IfMatch = there.ETag
		}
		if _, err := file.Seek(0, io.SeekStart); err != nil {
			return false, fmt.Errorf("temporary file: %w", err)
		}
		_, err = w.Bucket.Put(ctx, key, file, options)
		if !errors.Is(err, bucket.ErrConflict) {
			return false, err
		}
	}
	return false, rotation.Errorf("Bucket.Unavailable", "the object %s was written by others again and again", key)
}

// tell sends the digest: metrics, event, and mail to the operators; once, but
// again where a call died in between. That somebody could not be told is no
// failure of the run; the log says it.
func (w *writing) tell(ctx context.Context, out inventory.ReportInventoryOutput) error {
	told := w.keys.Work() + "told.json"
	if _, _, err := w.Bucket.Read(ctx, told); !errors.Is(err, bucket.ErrNotFound) {
		return err
	}
	if err := report.Metrics(w.Metrics, w.summary, w.Stack, w.Now()); err != nil {
		return err
	}
	if err := notify.AnnounceDiscovery(ctx, w.Events, report.Detail(w.summary)); err != nil {
		w.Log.Error("the event was not sent", "error", rotation.NameOf(err), "message", err.Error())
	}
	if w.Mail.SES != nil && !w.summary.Run.DryRun {
		message := report.Digest(w.summary, report.ObjectURL(w.summary.Run.Execution, w.Bucket.Name, out.Report))
		for _, operator := range w.Operators {
			if err := w.Mail.Send(ctx, operator, message); err != nil {
				w.Log.Error("an operator was not told", "operator", operator, "error", rotation.NameOf(err), "message", err.Error())
			}
		}
	}
	_, err := w.Bucket.Put(ctx, told, bytes.NewReader([]byte("{}\n")), bucket.Options{ContentType: "application/json"})
	return err
}
