package starting

import (
	"context"
	"sync"
	"time"
)

// Step Functions gives an account few reads of single executions: a few hundred
// at once and some ten a second after that, which the approvers' page needs as
// well. So few are read at the same time, not for long, and not on where it
// does not answer.
const (
	readers     = 4
	readTime    = time.Minute
	readFailure = 5
)

// readEach calls read for 0 to n-1. It gives back how many were not read, and
// an error of one of them.
func readEach(ctx context.Context, n int, read func(ctx context.Context, i int) error) (unread int, why error) {
	ctx, cancel := context.WithTimeout(ctx, readTime)
	defer cancel()
	var (
		mu           sync.Mutex
		next, failed int
		all          sync.WaitGroup
	)
	// take gives the next one to read, after what came of the last.
	take := func(err error) (int, bool) {
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			failed, why = failed+1, err
		}
		if next == n || failed >= readFailure {
			return 0, false
		}
		next++
		return next - 1, true
	}
	for range min(readers, n) {
		all.Go(func() {
			for i, more := take(nil); more; {
				i, more = take(read(ctx, i))
			}
		})
	}
	all.Wait()
	return failed + n - next, why
}
