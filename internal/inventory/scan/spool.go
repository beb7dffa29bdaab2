package scan

import (
	"bufio"
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"os"
	"slices"

	"keyturn/internal/inventory"
)

// The memory of a function is bounded, an org is not: what is known of every
// target is in files, and in memory only a few bytes of each.

// spool keeps lines in a file.
type spool struct {
	file *os.File
	out  *bufio.Writer
	size int64
	line []byte // of the last read
}

// place is where a line stands. There is one for each target: it is small.
type place struct{ at, length uint32 }

func newSpool(dir string) (*spool, error) {
	file, err := inventory.TempFile(dir)
	if err != nil {
		return nil, err
	}
	return &spool{file: file, out: bufio.NewWriterSize(file, 32<<10)}, nil
}

func temporary(err error) error { return fmt.Errorf("temporary file: %w", err) }

func (s *spool) close() { _ = s.file.Close() }

// Write appends to the file.
func (s *spool) Write(p []byte) (int, error) {
	n, err := s.out.Write(p)
	s.size += int64(n)
	if err != nil {
		return n, temporary(err)
	}
	return n, nil
}

// add appends a value as a line.
func (s *spool) add(v any) (place, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return place{}, err
	}
	return s.addRaw(raw)
}

// addRaw appends a line.
func (s *spool) addRaw(line []byte) (place, error) {
	at := s.size
	if at+int64(len(line)) > math.MaxUint32 {
		return place{}, temporary(errors.New("it has more than 4 GB"))
	}
	if _, err := s.Write(line); err != nil {
		return place{}, err
	}
	_, err := s.Write([]byte{'\n'})
	return place{at: uint32(at), length: uint32(len(line))}, err //nolint:gosec // G115: neither is more than what was checked
}

// read reads a line.
func (s *spool) read(p place, v any) error {
	if err := s.out.Flush(); err != nil {
		return temporary(err)
	}
	s.line = slices.Grow(s.line[:0], int(p.length))[:p.length]
	if _, err := s.file.ReadAt(s.line, int64(p.at)); err != nil {
		return temporary(err)
	}
	return json.Unmarshal(s.line, v)
}

// body is the whole file.
func (s *spool) body() (io.ReadSeeker, error) {
	if err := s.out.Flush(); err != nil {
		return nil, temporary(err)
	}
	_, err := s.file.Seek(0, io.SeekStart)
	return s.file, err
}

// digest stands for a text that is too long to be held for every target.
// Half as many bits would do.
type digest [12]byte

func digestOf(text string) digest {
	sum := sha256.Sum256([]byte(text))
	return digest(sum[:12])
}

// sorted keeps entries in a file, and of each what it is sorted by.
type sorted struct {
	*spool
	order []ordered
}

type ordered struct {
	place
	notAfter int64 // epoch seconds; the largest where it is unknown
	id       digest
}

func (s *sorted) add(e inventory.Entry) error {
	o := ordered{notAfter: 1<<63 - 1, id: idOf(e.Target)}
	if e.NotAfter != nil {
		o.notAfter = e.NotAfter.Unix()
	}
	var err error
	if o.place, err = s.spool.add(e); err != nil {
		return err
	}
	s.order = append(s.order, o)
	return nil
}

// entries reads them back, the earliest expiry first. Those that end together
// are always in the same order.
func (s *sorted) entries() iter.Seq2[inventory.Entry, error] {
	slices.SortFunc(s.order, func(a, b ordered) int {
		return cmp.Or(cmp.Compare(a.notAfter, b.notAfter), slices.Compare(a.id[:], b.id[:]))
	})
	return func(yield func(inventory.Entry, error) bool) {
		for _, o := range s.order {
			var e inventory.Entry
			err := s.read(o.place, &e)
			if !yield(e, err) || err != nil {
				return
			}
		}
	}
}
