// Package workflow tests rotations as a whole: the template as `sam deploy`
// takes it, the functions' binaries, the state machine, roles that are
// enforced, an approver who answers by the link; AWS is MiniStack, Okta is the
// simulated org. Every test has targets of its own, so that all of them share
// one stack and run at the same time.
package workflow

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"keyturn/internal/localaws"
	"keyturn/internal/oktasim"
	"keyturn/internal/playground"
	"keyturn/internal/rotation"
	"keyturn/test/browser"
)

// The stack's time. A retry's pause of minutes takes milliseconds, the day that
// a key of another target is waited for some seconds, and of the days that an
// approver has, one takes three seconds: a request that ends after oneDay is
// over at once. Pauses of unhurried or more, and the hours for the sign-in when
// they are unhurriedHours, are not over within any test, however busy the
// machine: a person in front of a browser then takes a minute and more.
const (
	waitScale     = 0.0002
	callbackScale = 3.0 / (24 * 60 * 60)
	oneDay        = 1

	unhurried      = 10*rotation.Day + time.Hour
	unhurriedHours = 71
	never          = 2 * limit
)

// atOnce is how many tests run at the same time. A rotation mostly waits: for
// processes to start, for answers, for its time to be over.
const atOnce = "8"

var (
	// stack is the playground that the tests share.
	stack *playground.Playground
	// lifecycle is all that the stack says on its topic.
	lifecycle *recorder[localaws.Notification]
	// mails are all that it sends.
	mails *recorder[localaws.Mail]
	// chromium is what people look at pages and mails with.
	chromium browser.Browser
)

func TestMain(m *testing.M) {
	flag.Parse()
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	if err := flag.Set("test.parallel", atOnce); err != nil {
		return 1, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	stack, err = playground.Start(ctx, playground.Options{
		Cloud: localaws.Options{
			WaitScale: waitScale, CallbackScale: callbackScale,
			CallbackTimes: []localaws.CallbackTime{
				{From: unhurriedHours * time.Hour, To: unhurriedHours * time.Hour, Lasts: never},
				{From: unhurried, To: 1000 * rotation.Day, Lasts: never},
			},
		},
		Org: oktasim.Options{Limits: oktasim.Limits{Apps: oktasim.Unlimited, App: oktasim.Unlimited, API: oktasim.Unlimited}},
	})
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, stack.Stop()) }()
	if err := overhear(ctx, stack.Cloud); err != nil {
		return 1, err
	}
	// Discovery asks for a kid once: what it learns here of the demo's targets, it
	// does not ask for while other tests count the calls for them.
	if d, err := stack.Discover(ctx, map[string]any{"dryRun": true}); err != nil || d.Status != types.ExecutionStatusSucceeded {
		return 1, fmt.Errorf("the first discovery ended %s: %s %w", d.Status, d.Cause, err)
	}
	if lifecycle, err = topic(ctx, stack.Cloud, stack.Outputs["NotificationTopicArn"]); err != nil {
		return 1, err
	}
	defer lifecycle.stop()
	mails = post(ctx, stack.Cloud)
	defer mails.stop()
	defer func() { err = errors.Join(err, chromium.Stop()) }()
	return m.Run(), nil
}

// others are the tests that are not over.
var others sync.WaitGroup

// parallel runs a test, not one of its subtests, together with the others.
func parallel(t *testing.T) {
	t.Helper()
	others.Add(1)
	t.Cleanup(others.Done)
	t.Parallel()
}
