package workflow

import (
	"context"
	"encoding/json"
	"slices"
	"sync"
	"time"

	"keyturn/internal/localaws"
)

// recorder keeps what comes out of the stack, asking for all tests at once.
type recorder[T any] struct {
	stop func()

	mu   sync.Mutex
	seen []T
	err  error
}

// record asks again and again until stop; next adds to what was seen.
func record[T any](ctx context.Context, next func(ctx context.Context, seen []T) ([]T, error)) *recorder[T] {
	listening, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	r := &recorder[T]{stop: func() { cancel(); <-done }}
	go func() {
		defer close(done)
		var seen []T
		var err error
		for listening.Err() == nil && err == nil {
			seen, err = next(listening, seen)
			r.mu.Lock()
			r.seen, r.err = seen, err
			r.mu.Unlock()
		}
	}()
	return r
}

func (r *recorder[T]) all() []T {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.seen)
}

// failure is why nothing is recorded any more, nil while it is.
func (r *recorder[T]) failure() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

// topics are all that are or were listened to.
var topics struct {
	sync.Mutex
	all []*recorder[localaws.Notification]
}

// topic records what an SNS topic passes on from now on.
func topic(ctx context.Context, cloud *localaws.Cloud, arn string) (*recorder[localaws.Notification], error) {
	inbox, err := cloud.Subscribe(ctx, arn)
	if err != nil {
		return nil, err
	}
	heard := record(ctx, func(ctx context.Context, seen []localaws.Notification) ([]localaws.Notification, error) {
		more, err := inbox.Receive(ctx)
		return append(seen, more...), err
	})
	topics.Lock()
	defer topics.Unlock()
	topics.all = append(topics.all, heard)
	return heard, nil
}

// post records the mails.
func post(ctx context.Context, cloud *localaws.Cloud) *recorder[localaws.Mail] {
	return record(ctx, func(ctx context.Context, seen []localaws.Mail) ([]localaws.Mail, error) {
		select {
		case <-ctx.Done():
			return seen, nil
		case <-time.After(100 * time.Millisecond):
		}
		return cloud.Mails(ctx)
	})
}

// event is an EventBridge event as the topic passes it on.
type event struct {
	Source     string          `json:"source"`
	DetailType string          `json:"detail-type"`
	Time       time.Time       `json:"time"`
	Detail     json.RawMessage `json:"detail"`
}

// events are the first n lifecycle events about the target.
func (s *scene) events(n int) []event {
	s.t.Helper()
	var found []event
	s.until("lifecycle events", func() bool {
		found = nil
		for _, m := range lifecycle.all() {
			var e event
			var detail struct{ Target struct{ ID string } }
			if json.Unmarshal([]byte(m.Message), &e) == nil && json.Unmarshal(e.Detail, &detail) == nil && detail.Target.ID == s.target.ID {
				found = append(found, e)
			}
		}
		return len(found) >= n
	})
	return found
}
