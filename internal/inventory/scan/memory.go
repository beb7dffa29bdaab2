package scan

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"time"

	"github.com/tidwall/gjson"

	"keyturn/internal/bucket"
	"keyturn/internal/inventory"
	"keyturn/internal/okta"
	"keyturn/internal/rotation"
)

// fact is what is known of a kid.
type fact struct {
	Kid       string    `json:"kid"`
	NotBefore time.Time `json:"notBefore,omitzero"`
	NotAfter  time.Time `json:"notAfter,omitzero"`
	Issuer    string    `json:"issuer,omitempty"`
	Subject   string    `json:"subject,omitempty"`
	AskedAt   time.Time `json:"askedAt"`
	// Problem is why the certificate is not known.
	Problem *inventory.Problem `json:"problem,omitempty"`
	// Again tells that the problem may be mended: a run asks for two of these,
	// and for more when one was.
	Again bool `json:"again,omitempty"`
	// Passing tells that the problem may go by itself: it is not remembered.
	Passing bool `json:"passing,omitempty"`
	// Tried are targets that could not tell, though they were listed with this
	// kid.
	Tried []inventory.Problem `json:"tried,omitempty"`
}

// trustPrefix tells the partners' kids from Okta's own.
const trustPrefix = "trust/"

const (
	memoryKey = "memory/kids.jsonl"
	newMemory = "memory/new/"
)

// factOf is what a key's certificate says. One that cannot be read stays so: a
// kid's certificate never changes.
func factOf(k okta.JSONWebKey, now time.Time) fact {
	f := fact{Kid: k.Kid, AskedAt: now.UTC()}
	der, err := k.DER()
	var cert *x509.Certificate
	if err == nil {
		cert, err = x509.ParseCertificate(der)
	}
	if err != nil {
		f.Problem = &inventory.Problem{Name: "Certificate.Broken",
			Message: fmt.Sprintf("the certificate of the key %s cannot be read: look at it in Okta's admin console, and make a new one there", clip(k.Kid))}
		return f
	}
	f.NotBefore, f.NotAfter = cert.NotBefore.UTC(), cert.NotAfter.UTC()
	f.Issuer, f.Subject = clip(cert.Issuer.String()), clip(cert.Subject.String())
	return f
}

// memory is every certificate that is known. The facts are in a file.
type memory struct {
	facts *spool
	known map[digest]known
	// since is when the run started: what failed for the moment before it, in a
	// run that was stopped, is asked for again.
	since time.Time
	// etag is that of memoryKey as it was read, empty where there is none.
	etag string
	// merged are the objects of newMemory that were read; changed tells that
	// memoryKey is not what the facts are.
	merged  []string
	changed bool
	// spent are those of this run's chunks.
	spent []spent
	// damaged are lines that somebody changed: they are forgotten, and their
	// keys asked for again.
	damaged []inventory.Problem
}

// known is what is held of a fact.
type known struct {
	place
	// problem and again are the fact's, tried tells that it has some.
	problem, again, tried bool
}

func (m *memory) close() { m.facts.close() }

// has tells whether a kid is known.
func (m *memory) has(kid string) bool {
	_, known := m.known[digestOf(kid)]
	return known
}

// fact is what is known of a kid.
func (m *memory) fact(kid string) (f fact, ok bool, err error) {
	k, ok := m.known[digestOf(kid)]
	if !ok {
		return fact{}, false, nil
	}
	err = m.facts.read(k.place, &f)
	return f, err == nil, err
}

// all are the facts that which picks, as they were learned; nil picks all.
func (m *memory) all(which func(known) bool) iter.Seq2[fact, error] {
	return func(yield func(fact, error) bool) {
		var places []place
		for _, k := range m.known {
			if which == nil || which(k) {
				places = append(places, k.place)
			}
		}
		slices.SortFunc(places, func(a, b place) int { return cmp.Compare(a.at, b.at) })
		for _, p := range places {
			var f fact
			err := m.facts.read(p, &f)
			if !yield(f, err) || err != nil {
				return
			}
		}
	}
}

// A line of the memory begins with half of the SHA-256 of the rest: a date that
// is wrong would be believed for good.
const sumLength = 32

func writeFact(w io.Writer, f fact) error {
	raw, err := json.Marshal(f)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%s %s\n", sumOf(raw), raw)
	return err
}

func sumOf(raw []byte) string {
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:])[:sumLength]
}

// factIn is the JSON of a line, if the line is as it was written: by this
// version, too.
func factIn(line []byte) (raw []byte, ok bool) {
	sum, raw, found := bytes.Cut(bytes.TrimSpace(line), []byte(" "))
	var f fact
	return raw, found && string(sum) == sumOf(raw) && json.Unmarshal(raw, &f) == nil && f.Kid == gjson.GetBytes(raw, "kid").String()
}

// readMemory reads what is known, what other runs have learned meanwhile
// included.
func (r *run) readMemory(ctx context.Context) (*memory, error) {
	facts, err := newSpool(r.TempDir)
	if err != nil {
		return nil, err
	}
	m := &memory{facts: facts, known: map[digest]known{}, since: r.in.Run.At}
	if err := r.fill(ctx, m); err != nil {
		m.close()
		return nil, err
	}
	return m, nil
}

func (r *run) fill(ctx context.Context, m *memory) error {
	object, err := r.Bucket.Get(ctx, memoryKey)
	switch {
	case errors.Is(err, bucket.ErrNotFound):
	case err != nil:
		return err
	default:
		m.etag = object.ETag
		if err := m.read(memoryKey, object.Body, nil); err != nil {
			return err
		}
	}
	chunks, err := r.Bucket.List(ctx, newMemory)
	if err != nil {
		return err
	}
	for _, key := range chunks {
		object, err := r.Bucket.Get(ctx, key)
		if errors.Is(err, bucket.ErrNotFound) {
			continue // another run took it over
		}
		if err != nil {
			return err
		}
		var head chunkHead
		if err := m.read(key, object.Body, &head); err != nil {
			return err
		}
		if head.Run == r.in.Run.ID {
			m.spent = append(m.spent, head.Spent)
			r.remember(head.Spent)
		}
		m.merged, m.changed = append(m.merged, key), true
	}
	return nil
}

// read takes the facts of one object; a chunk has a head before them.
func (m *memory) read(key string, body io.ReadCloser, head *chunkHead) error {
	defer func() { _ = body.Close() }()
	in := bufio.NewReaderSize(body, 64<<10)
	for n := 1; ; n++ {
		line, err := in.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			start := bytes.Clone(line)
			line, err = in.ReadBytes('\n')
			line = append(start, line...)
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return unreadable(key)
		}
		if len(bytes.TrimSpace(line)) > 0 {
			if n == 1 && head != nil {
				_ = json.Unmarshal(line, head) // counts only
			} else if raw, ok := factIn(line); ok {
				if err := m.take(raw); err != nil {
					return err
				}
			} else {
				m.changed = true
				m.damaged = append(m.damaged, inventory.Problem{Name: "Memory.Damaged",
					Message: fmt.Sprintf("line %d of %s is not as Keyturn wrote it: its key is asked for again, and the object written anew", n, key)})
			}
		}
		if err != nil {
			return nil
		}
	}
}

// take is learn for a fact's JSON. Most facts have nothing that is looked at
// before the fact is: they are not decoded for that.
func (m *memory) take(raw []byte) error {
	seen := gjson.GetManyBytes(raw, "kid", "problem", "again", "tried")
	kid := digestOf(seen[0].String())
	if seen[1].Exists() || seen[2].Exists() || seen[3].Exists() || m.known[kid].problem {
		var f fact
		if err := json.Unmarshal(raw, &f); err != nil {
			return err
		}
		return m.learn(f)
	}
	if _, ok := m.known[kid]; ok {
		return nil
	}
	at, err := m.facts.addRaw(raw)
	if err != nil {
		return err
	}
	m.known[kid] = known{place: at}
	return nil
}

// learn takes a fact, unless a better one is known.
func (m *memory) learn(f fact) error {
	if f.Passing && f.AskedAt.Before(m.since) {
		m.changed = true
		return nil
	}
	kid := digestOf(f.Kid)
	k, ok := m.known[kid]
	if ok && !k.problem {
		return nil
	}
	if ok && f.Problem != nil {
		var older fact
		if err := m.facts.read(k.place, &older); err != nil || !f.AskedAt.After(older.AskedAt) {
			return err
		}
	}
	at, err := m.facts.add(f)
	if err != nil {
		return err
	}
	m.known[kid] = known{place: at, problem: f.Problem != nil, again: f.Again, tried: len(f.Tried) > 0}
	return nil
}

// keep writes the memory. Where another run wrote it meanwhile, both are
// merged. At the end of a run, what failed for the moment is left out, and kids
// that inUse knows nothing of are forgotten; not those that another run has
// learned since this one began.
func (r *run) keep(ctx context.Context, m *memory, inUse func(kid string) bool) error {
	for range maxAttempts {
		etag, written, err := r.write(ctx, m, inUse)
		if errors.Is(err, bucket.ErrConflict) {
			if err := r.renew(ctx, m); err != nil {
				return err
			}
			continue
		}
		if err != nil || !written {
			return err
		}
		// A chunk that another run still writes comes back with its next answer.
		for _, key := range m.merged {
			if err := r.Bucket.Delete(ctx, key); err != nil {
				return err
			}
		}
		m.etag, m.merged, m.changed = etag, nil, false
		return nil
	}
	return rotation.Errorf("Bucket.Unavailable", "the object %s was written by others again and again", memoryKey)
}

// write writes memoryKey, if it is to be changed.
func (r *run) write(ctx context.Context, m *memory, inUse func(kid string) bool) (etag string, written bool, err error) {
	object, err := newSpool(r.TempDir)
	if err != nil {
		return "", false, err
	}
	defer object.close()
	changed := m.changed
	for f, err := range m.all(nil) {
		if err != nil {
			return "", false, err
		}
		if inUse != nil {
			if f.Passing || !inUse(f.Kid) && f.AskedAt.Before(r.in.Run.At) {
				changed = true
				continue
			}
			f.Tried = nil
		}
		if err := writeFact(object, f); err != nil {
			return "", false, err
		}
	}
	if !changed {
		return "", false, nil
	}
	body, err := object.body()
	if err != nil {
		return "", false, err
	}
	etag, err = r.Bucket.Put(ctx, memoryKey, body, bucket.Options{ContentType: "text/plain", IfMatch: m.etag, IfAbsent: m.etag == ""})
	return etag, true, err
}

// renew reads the memory again and adds what m knows.
func (r *run) renew(ctx context.Context, m *memory) error {
	newer, err := r.readMemory(ctx)
	if err != nil {
		return err
	}
	for f, err := range m.all(nil) {
		if err == nil {
			err = newer.learn(f)
		}
		if err != nil {
			newer.close()
			return err
		}
	}
	newer.changed, newer.damaged = true, m.damaged
	newer.merged = append(newer.merged, m.merged...)
	m.close()
	*m = *newer
	return nil
}

// chunkHead is the first line of a chunk: one call's part of newMemory.
type chunkHead struct {
	Run   string `json:"run"`
	Spent spent  `json:"spent"`
}
