package scan

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"keyturn/internal/bucket"
	"keyturn/internal/inventory"
	"keyturn/internal/okta"
	"keyturn/internal/rotation"
)

// todoHead is the first line of todo.jsonl.
type todoHead struct {
	// Trust tells that a partner's certificate is new.
	Trust bool `json:"trust"`
	Kids  int  `json:"kids"`
	// Problems are those of the memory when it was read.
	Problems []inventory.Problem `json:"problems,omitempty"`
}

// unknown is a kid whose certificate is to be asked for.
type unknown struct {
	Kid string `json:"kid"`
	// Targets have the kid; one that is gone cannot tell, then another is
	// asked.
	Targets []rotation.Target `json:"targets"`
	// Again tells that it could not be told before.
	Again bool `json:"again,omitempty"`
}

const (
	// maxAsked bounds the targets that are asked for one kid.
	maxAsked = 3
	// retries is how many keys that could not be told before are asked for: a
	// run in which nothing is new takes two calls more than the lists.
	retries = 2
	// maxInARow is how many keys in a row may fail with an error that may pass:
	// then it is Okta that does not answer, and the rest is left for the next
	// run.
	maxInARow = 3
	// maxChunks is how many chunks of the memory are read before they are put
	// into one object.
	maxChunks = 20
)

// todo finds the kids that are in use and not known. It is written down once:
// the pages need not be read again by every call.
func (r *run) todo(ctx context.Context) (todoHead, error) {
	key := r.work + "todo.jsonl"
	if r.has("todo.jsonl") {
		var head todoHead
		object, err := r.Bucket.Get(ctx, key)
		if err != nil {
			return head, err
		}
		defer func() { _ = object.Body.Close() }()
		for head, err := range inventory.Lines[todoHead](object.Body) {
			return head, err
		}
		return head, unreadable(key)
	}
	m, err := r.readMemory(ctx)
	if err != nil {
		return todoHead{}, err
	}
	defer m.close()
	head := todoHead{Problems: m.damaged}
	fresh, err := newSpool(r.TempDir)
	if err != nil {
		return head, err
	}
	defer fresh.close()
	// Of the kids that are asked for, few have several targets or were asked
	// for before.
	asked := map[digest]struct{}{}
	more := map[digest][]rotation.Target{}
	var again []unknown
	for _, name := range []string{appsList.name, idpsList.name} {
		for _, page := range r.pages(name) {
			_, err := r.each(ctx, page, func(found row) error {
				for _, kid := range found.Trust {
					head.Trust = head.Trust || !m.has(trustPrefix+kid)
				}
				kid := digestOf(found.Kid)
				k, known := m.known[kid]
				if found.Kid == "" || known && !k.again {
					return nil
				}
				if _, is := asked[kid]; is {
					if len(more[kid]) < maxAsked-1 {
						more[kid] = append(more[kid], found.Target.Bare())
					}
					return nil
				}
				asked[kid] = struct{}{}
				u := unknown{Kid: found.Kid, Targets: []rotation.Target{found.Target.Bare()}, Again: known}
				if known {
					again = append(again, u)
					return nil
				}
				_, err := fresh.add(u)
				return err
			})
			if err != nil {
				return head, err
			}
		}
	}
	if err := longestFirst(m, again); err != nil {
		return head, err
	}
	head.Kids = len(asked)
	object, err := newSpool(r.TempDir)
	if err != nil {
		return head, err
	}
	defer object.close()
	write := func(u unknown) error {
		u.Targets = append(u.Targets, more[digestOf(u.Kid)]...)
		_, err := object.add(u)
		return err
	}
	if _, err := object.add(head); err != nil {
		return head, err
	}
	list, err := fresh.body()
	if err != nil {
		return head, err
	}
	for u, err := range inventory.Lines[unknown](list) {
		if err == nil {
			err = write(u)
		}
		if err != nil {
			return head, err
		}
	}
	for _, u := range again {
		if err := write(u); err != nil {
			return head, err
		}
	}
	body, err := object.body()
	if err != nil {
		return head, err
	}
	_, err = r.Bucket.Put(ctx, key, body, bucket.Options{ContentType: "application/jsonl"})
	return head, err
}

// longestFirst sorts kids that were asked for before: those that wait longest
// come first.
func longestFirst(m *memory, again []unknown) error {
	at := map[string]time.Time{}
	for _, u := range again {
		f, _, err := m.fact(u.Kid)
		if err != nil {
			return err
		}
		at[u.Kid] = f.AskedAt
	}
	slices.SortFunc(again, func(a, b unknown) int { return cmp.Or(at[a.Kid].Compare(at[b.Kid]), cmp.Compare(a.Kid, b.Kid)) })
	return nil
}

// learn asks for the certificates of the kids that are not known: one request
// for each, once in its life. What it learns is kept before the next request.
func (r *run) learn(ctx context.Context, todo todoHead) error {
	if todo.Kids == 0 {
		return nil
	}
	m, err := r.readMemory(ctx)
	if err != nil {
		return err
	}
	defer m.close()
	if len(m.merged) > maxChunks {
		if err := r.keep(ctx, m, nil); err != nil {
			return err
		}
	}
	// The list is read at once: its body would not stay open through all the
	// requests.
	list, err := r.copyOf(ctx, r.work+"todo.jsonl")
	if err != nil {
		return err
	}
	defer list.close()
	lines, err := list.body()
	if err != nil {
		return err
	}
	var learned []fact
	left := retries
	for u, err := range inventory.Lines[unknown](lines) {
		if err != nil {
			return unreadable(r.work + "todo.jsonl")
		}
		if u.Kid == "" { // the head
			continue
		}
		if m.has(u.Kid) && !u.Again {
			continue
		}
		f, known, err := m.fact(u.Kid)
		if err != nil {
			return err
		}
		if known && !f.AskedAt.Before(r.in.Run.At) {
			if f.Problem != nil {
				left--
			}
			continue
		}
		if u.Again && left <= 0 {
			return nil
		}
		f, err = r.tell(ctx, u)
		if err != nil {
			return err
		}
		switch {
		case f.Passing:
			r.trouble.Keys++
			if r.trouble.Keys >= maxInARow {
				return r.putJSON(ctx, r.work+"trouble.json", r.trouble)
			}
		case u.Again && f.Problem != nil:
			left--
		default:
			r.trouble.Keys = 0
			r.spent.Learned++
		}
		learned = append(learned, f)
		if err := r.writeChunk(ctx, learned); err != nil {
			return err
		}
		if len(learned) == chunkSize {
			learned, r.chunk = nil, r.chunk+1
		}
	}
	return nil
}

// copyOf reads an object into a file.
func (r *run) copyOf(ctx context.Context, key string) (*spool, error) {
	object, err := r.Bucket.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	defer func() { _ = object.Body.Close() }()
	file, err := newSpool(r.TempDir)
	if err != nil {
		return nil, err
	}
	if _, err := io.Copy(file, object.Body); err != nil {
		file.close()
		return nil, unreadable(key)
	}
	return file, nil
}

// chunkSize bounds a chunk: it is written anew with every answer.
const chunkSize = 50

func (r *run) writeChunk(ctx context.Context, facts []fact) error {
	var object bytes.Buffer
	if err := inventory.WriteLine(&object, chunkHead{Run: r.in.Run.ID, Spent: r.used()}); err != nil {
		return err
	}
	for _, f := range facts {
		if err := writeFact(&object, f); err != nil {
			return err
		}
	}
	key := fmt.Sprintf("%s%s-%s-%03d.jsonl", newMemory, r.in.Run.ID, r.id, r.chunk)
	_, err := r.Bucket.Put(ctx, key, bytes.NewReader(object.Bytes()), bucket.Options{ContentType: "text/plain"})
	return err
}

// tell asks a target for its keys, and the next one where it cannot tell.
func (r *run) tell(ctx context.Context, u unknown) (fact, error) {
	var tried []inventory.Problem
	for _, t := range u.Targets {
		b := okta.BucketAPI
		if t.Kind == rotation.KindApp {
			b = okta.BucketApps
		}
		keys, err := ask(ctx, r, b, func(ctx context.Context) ([]okta.JSONWebKey, error) { return r.Okta.Keys(ctx, t) })
		if err != nil && ends(err) {
			return fact{}, err
		}
		if err != nil && passing(err) {
			if err := r.again(ctx, "key "+u.Kid, err); err != nil {
				return fact{}, err
			}
			f := fact{Kid: u.Kid, AskedAt: r.Now().UTC(), Problem: problemOf(err, nil), Passing: true, Tried: tried}
			return f, nil
		}
		if err == nil {
			if i := slices.IndexFunc(keys, func(k okta.JSONWebKey) bool { return k.Kid == u.Kid }); i >= 0 {
				f := factOf(keys[i], r.Now())
				f.Tried = tried
				return f, nil
			}
			err = rotation.Errorf("Target.NoActiveKey", "the active key %s is not in the list of keys: look at the certificates in Okta's admin console", u.Kid)
		}
		tried = append(tried, *problemOf(err, &t))
	}
	last := tried[len(tried)-1]
	last.Target = nil
	return fact{Kid: u.Kid, AskedAt: r.Now().UTC(), Problem: &last, Again: true, Tried: tried}, nil
}
