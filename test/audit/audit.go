// Package audit looks back at a whole run of the tests: what was asked of Okta
// and of AWS in all of it, held against Okta's spec, against the policies in the
// template and against the rights that the documentation names.
//
// The tests write what they saw into the directory $KEYTURN_RECORDS. The audit's
// own tests have the build tag audit, because they have something to look at
// only after the others: "make test" runs them last.
package audit

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// ErrNoRecords is what Read gives where no test has written anything.
var ErrNoRecords = errors.New("no records: run \"make test\", which sets KEYTURN_RECORDS and runs the tests that write them")

// Read reads the records of one kind, "okta" or "aws": every line of every file
// {kind}-*.jsonl in the directory $KEYTURN_RECORDS.
func Read[T any](kind string) ([]T, error) {
	files, err := filepath.Glob(filepath.Join(os.Getenv("KEYTURN_RECORDS"), kind+"-*.jsonl"))
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, ErrNoRecords
	}
	var all []T
	for _, path := range files {
		more, err := read[T](path)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", filepath.Base(path), err)
		}
		all = append(all, more...)
	}
	return all, nil
}

func read[T any](path string) (all []T, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var one T
		if err := json.Unmarshal(lines.Bytes(), &one); err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, lines.Err()
}
