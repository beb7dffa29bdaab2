package approval

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"time"

	"keyturn/internal/rotation"
	"keyturn/internal/secret"
)

// Links gives a function the sealer that makes links, from the link-key
// secret's value. It is read on first use.
func Links(value func(ctx context.Context, fresh bool) ([]byte, error)) func(ctx context.Context) (*Sealer, error) {
	return func(ctx context.Context) (*Sealer, error) {
		return secret.Parse(ctx, value, false, func(v []byte) (*Sealer, error) { return NewSealer(v) })
	}
}

// Keyring opens links for the page. After the link-key was replaced, links that
// are out go on working: their key is the secret's version AWSPREVIOUS, until
// it is replaced a second time.
//
// A link that is no link costs no call of AWS. One in the right form with a
// key that nobody knows may be of a key that is newer than the one read last:
// for it the secret is read again, but not within ten seconds of the last time.
type Keyring struct {
	// Current and Previous read the two versions of the secret; Previous fails
	// with Credential.Missing while there is only one.
	Current, Previous func(ctx context.Context, fresh bool) ([]byte, error)
	Now               func() time.Time

	mu     sync.Mutex
	sealer *Sealer
	values [][]byte
	// read is when the keys were read, tried when that was tried last, with err.
	read, tried time.Time
	err         error
}

const (
	// keyAge is how long the keys are used without being read again: so long a
	// link works that was withdrawn by replacing the secret twice.
	keyAge = 5 * time.Minute
	// readPause is the least time between two readings.
	readPause = 10 * time.Second
)

// Open gives a link's claim, and the sealer that opened it, for the form. Its
// errors are ErrDamaged and ErrExpired, as Sealer.Open has them, and those of
// reading the secret.
func (k *Keyring) Open(ctx context.Context, link string) (Claim, *Sealer, error) {
	sealed, err := sealedForm(link)
	if err != nil {
		return Claim{}, nil, err
	}
	sealer, err := k.sealerFor(ctx, sealed)
	if err != nil {
		return Claim{}, nil, err
	}
	claim, err := sealer.Open(link, k.Now())
	return claim, sealer, err
}

func (k *Keyring) sealerFor(ctx context.Context, sealed []byte) (*Sealer, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.Now()
	fresh := k.sealer != nil && now.Sub(k.read) < keyAge
	switch {
	case fresh && k.sealer.knows(sealed):
		// Forged or not: whoever knows the id of a key has seen a link.
		return k.sealer, nil
	case now.Sub(k.tried) >= readPause:
		k.tried = now
		k.err = k.refresh(ctx, now)
		fresh = fresh || k.err == nil
	}
	if !fresh {
		return nil, k.err
	}
	return k.sealer, nil
}

func (k *Keyring) refresh(ctx context.Context, now time.Time) error {
	current, err := k.Current(ctx, true)
	if err != nil {
		return err
	}
	values := [][]byte{current}
	previous, err := k.Previous(ctx, true)
	switch {
	case err == nil:
		values = append(values, previous)
	case rotation.NameOf(err) != "Credential.Missing":
		return err
	}
	if k.sealer != nil && equal(values, k.values) {
		k.read = now
		return nil
	}
	sealer, err := NewSealer(values[0], values[1:]...)
	if err != nil {
		return err
	}
	k.sealer, k.values, k.read = sealer, values, now
	return nil
}

func equal(a, b [][]byte) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !bytes.Equal(a[i], b[i]) {
			return false
		}
	}
	return true
}

// IsDeadLink tells whether an error of Open is about the link, not about AWS.
func IsDeadLink(err error) bool { return errors.Is(err, ErrDamaged) || errors.Is(err, ErrExpired) }
