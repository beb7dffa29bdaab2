package played

import (
	"encoding/binary"
	"fmt"
	"os"
	"sync"
	"time"
)

// Clock is the simulated time. It is kept in a file, which a child inherits
// open: both sides see one time, and reading it costs no request.
type Clock struct {
	file *os.File
	mu   sync.Mutex
}

// NewClock starts a clock.
func NewClock(start time.Time) (*Clock, error) {
	file, err := os.CreateTemp("", "keyturn-clock-")
	if err != nil {
		return nil, fmt.Errorf("the clock: %w", err)
	}
	if err := os.Remove(file.Name()); err != nil {
		return nil, fmt.Errorf("the clock: %w", err)
	}
	c := &Clock{file: file}
	c.set(start)
	return c, nil
}

// Now is the simulated time. It panics where the file fails: nothing that is
// measured would mean anything.
func (c *Clock) Now() time.Time {
	var raw [8]byte
	if _, err := c.file.ReadAt(raw[:], 0); err != nil {
		panic(fmt.Sprintf("bench: the clock: %v", err))
	}
	return time.Unix(0, int64(binary.LittleEndian.Uint64(raw[:]))).UTC()
}

// File is what a child inherits.
func (c *Clock) File() *os.File { return c.file }

// Close ends the clock.
func (c *Clock) Close() { _ = c.file.Close() }

func (c *Clock) set(to time.Time) {
	var raw [8]byte
	binary.LittleEndian.PutUint64(raw[:], uint64(to.UnixNano()))
	if _, err := c.file.WriteAt(raw[:], 0); err != nil {
		panic(fmt.Sprintf("bench: the clock: %v", err))
	}
}

// Pass passes some time.
func (c *Clock) Pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.set(c.Now().Add(d))
}

// Until passes the time until then, if that is not over.
func (c *Clock) Until(then time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if then.After(c.Now()) {
		c.set(then)
	}
}
