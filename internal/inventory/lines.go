package inventory

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
)

// TempFile opens a file for what is too large for memory, in dir or, where that
// is empty, in the system's place for such files. It is gone with the process,
// however that ends.
func TempFile(dir string) (*os.File, error) {
	file, err := os.CreateTemp(dir, "keyturn-")
	if err == nil {
		err = os.Remove(file.Name())
	}
	if err != nil {
		return nil, fmt.Errorf("temporary file: %w", err)
	}
	return file, nil
}

// Lines reads values that stand in JSON, one a line. It ends with the first
// error.
func Lines[T any](r io.Reader) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		in := bufio.NewReaderSize(r, 64<<10)
		for n := 1; ; n++ {
			line, err := in.ReadBytes('\n')
			if len(line) > 1 {
				var v T
				if err := json.Unmarshal(line, &v); err != nil {
					yield(v, fmt.Errorf("line %d: %w", n, err))
					return
				}
				if !yield(v, nil) {
					return
				}
			}
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				var none T
				yield(none, err)
				return
			}
		}
	}
}

// WriteLine writes one value for Lines to read.
func WriteLine(w io.Writer, v any) error {
	line, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = w.Write(append(line, '\n'))
	return err
}
