package page

import (
	"sync"
	"time"
)

// limiter bounds what one process does for somebody in a minute. An address
// that sends links that are none is slowed down; whoever has a link is not, so
// that a colleague behind the same address keeps nobody out. A link has a bound
// of its own. What all of them may ask of all processes, Lambda's reserved
// concurrency bounds.
type limiter struct {
	mu     sync.Mutex
	minute int64
	spent  map[string]int
}

const (
	// noLinksPerMinute is how many links that are none an address may try.
	noLinksPerMinute = 60
	// visitsPerMinute is how often a link may be used: its page, and its
	// downloads.
	visitsPerMinute = 120
	// metadataPerMinute is how often a link may have the metadata read in Okta.
	metadataPerMinute = 5
	// maxCounted bounds the memory. When it is reached all start anew.
	maxCounted = 10_000
)

// allow counts one more of what is named, and tells whether that is within the
// bound.
func (l *limiter) allow(name string, most int, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if minute := now.Unix() / 60; l.spent == nil || minute != l.minute || len(l.spent) >= maxCounted {
		l.minute, l.spent = minute, map[string]int{}
	}
	l.spent[name]++
	return l.spent[name] <= most
}
