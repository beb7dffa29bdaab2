package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// Names of files in the folder that -dir names.
const (
	keyFile     = "key.pem"     // the private key, as long as its request waits
	requestFile = "request.pem" // for the root to sign
	chainFile   = "chain.pem"   // the CA's certificates
	secretFile  = "secret.json" // key and certificates, as the stack's secret holds them
)

type file struct {
	name    string
	content []byte
	private bool
}

// writeNew writes files that are not there yet, all or none; undo removes them
// again. A folder that is missing is made, for its owner alone; one that others
// can look into gets nothing private.
func writeNew(dir string, files ...file) (undo func(), err error) {
	var made []string
	remove := func() {
		for _, path := range slices.Backward(made) {
			_ = os.Remove(path)
		}
	}
	defer func() {
		if err != nil {
			remove()
		}
	}()
	if err := os.Mkdir(dir, 0o700); err == nil {
		made = append(made, dir)
	} else if !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("the folder %s cannot be made: %w", dir, bare(err))
	}
	about, err := os.Stat(dir)
	if err != nil {
		return nil, fmt.Errorf("the folder %s cannot be used: %w", dir, bare(err))
	}
	for _, f := range files {
		path := filepath.Join(dir, f.name)
		mode := fs.FileMode(0o644)
		if f.private {
			mode = 0o600
			if about.Mode().Perm()&0o077 != 0 && runtime.GOOS != "windows" {
				return nil, fmt.Errorf("the folder %s is open to others (%s), and a private key is to go there: name one that does not exist yet, or close it (chmod 700 %s)",
					dir, about.Mode().Perm(), quoted(dir))
			}
		}
		out, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
		switch {
		case errors.Is(err, fs.ErrExist):
			return nil, fmt.Errorf("%s exists, and is left as it is: name another folder", path)
		case err != nil:
			return nil, fmt.Errorf("%s cannot be written: %w", path, bare(err))
		}
		made = append(made, path)
		_, err = out.Write(f.content)
		if err := errors.Join(err, out.Close()); err != nil {
			return nil, fmt.Errorf("%s cannot be written: %w", path, bare(err))
		}
	}
	return remove, nil
}

// bare is the cause without the path, which the message has.
func bare(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}

// quoted is an argument for a command that is printed for people to copy.
func quoted(arg string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:,=@+"
	if arg != "" && strings.Trim(arg, plain) == "" {
		return arg
	}
	return "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
}
