package inventory

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"iter"

	"keyturn/internal/bucket"
	"keyturn/internal/rotation"
)

// Metadata of the objects that people and programs read.
const (
	// MetaSHA256 is the body's SHA-256 (hex): a file that somebody edited is
	// told from one that Keyturn wrote.
	MetaSHA256 = "sha256"
	// MetaStarted is when the run that wrote it started (RFC 3339): of two runs
	// at once, the one that started later is kept.
	MetaStarted = "started"
)

// File is an inventory in the bucket, open for reading.
type File struct {
	key    string
	object *bucket.Object
	sum    hash.Hash
	body   io.Reader
	failed error
}

// Open opens latest.json. It fails with bucket.ErrNotFound where there is none.
func Open(ctx context.Context, b bucket.Bucket, key string) (*File, error) {
	object, err := b.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	f := &File{key: key, object: object, sum: sha256.New()}
	f.body = io.TeeReader(reading{f}, f.sum)
	return f, nil
}

// reading tells a connection that broke from JSON that is broken.
type reading struct{ f *File }

func (r reading) Read(p []byte) (int, error) {
	n, err := r.f.object.Body.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		r.f.failed = err
	}
	return n, err
}

// Close ends reading.
func (f *File) Close() { _ = f.object.Body.Close() }

// Entries reads the targets, one by one. It ends with Inventory.Damaged when
// the file is not as Keyturn wrote it: what came before is what could be read.
func (f *File) Entries() iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		stopped, err := f.entries(yield)
		switch {
		case stopped:
		case f.failed != nil:
			yield(Entry{}, rotation.Errorf("Bucket.Unavailable", "the object %s could not be read to its end", f.key))
		case err != nil:
			yield(Entry{}, f.damaged(err.Error()))
		case hex.EncodeToString(f.sum.Sum(nil)) != f.object.Metadata[MetaSHA256]:
			yield(Entry{}, f.damaged("it is JSON, but was changed"))
		}
	}
}

// damaged bounds what encoding/json quotes of the file.
func (f *File) damaged(how string) error {
	const most = 200
	if text := []rune(how); len(text) > most {
		how = string(text[:most]) + "…"
	}
	return rotation.Errorf("Inventory.Damaged", "%s is not as Keyturn wrote it (%s): it is written anew; the bucket keeps its older versions", f.key, how)
}

func (f *File) entries(yield func(Entry, error) bool) (stopped bool, err error) {
	d := json.NewDecoder(f.body)
	if err := expect(d, json.Delim('{')); err != nil {
		return false, err
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return false, err
		}
		if name != "targets" {
			var other json.RawMessage
			if err := d.Decode(&other); err != nil {
				return false, err
			}
			continue
		}
		if err := expect(d, json.Delim('[')); err != nil {
			return false, err
		}
		for d.More() {
			var e Entry
			if err := d.Decode(&e); err != nil {
				return false, err
			}
			if !yield(e, nil) {
				return true, nil
			}
		}
		if err := expect(d, json.Delim(']')); err != nil {
			return false, err
		}
	}
	if err := expect(d, json.Delim('}')); err != nil {
		return false, err
	}
	// What is left belongs to the sum: a line's end.
	_, err = io.Copy(io.Discard, f.body)
	return false, err
}

func expect(d *json.Decoder, want json.Delim) error {
	token, err := d.Token()
	if err == nil && token != want {
		err = fmt.Errorf("%v where %v should be", token, want)
	}
	return err
}
