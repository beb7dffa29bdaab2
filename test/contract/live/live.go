// Package live compares a real Okta org with the simulated one: the same calls
// to both, and what the answers look like, never what they say. It reads, and
// rotates an app of its own where it is told to.
package live

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"keyturn/internal/okta"
	"keyturn/internal/oktasim"
	"keyturn/test/contract/oktaspec"
)

// Options say which org, and what is done there.
type Options struct {
	// OrgURL is the org's address, as Keyturn takes it.
	OrgURL     string
	Credential okta.Credential
	// Rotate makes a throw-away app, rotates its key and deletes it.
	Rotate bool
	// Agree is asked before the app is made; nil is a yes.
	Agree func(question string) bool
	// Out gets what a person reads. Nothing of it is a value of the org's, but
	// for the id and the label of the throw-away app.
	Out io.Writer
	// Sleep waits; nil for real time.
	Sleep func(context.Context, time.Duration) error
}

// ErrDiffers is what Run gives where the org differs in what matters.
var ErrDiffers = errors.New("the org differs in what Keyturn relies on")

// session is one org with the client that Keyturn has, and what it saw.
type session struct {
	name       string
	client     *okta.Client
	tape       *tape
	base       string
	credential okta.Credential
	out        io.Writer
	sleep      func(context.Context, time.Duration) error
}

// Run compares. It answers ErrDiffers where something differs that matters,
// another error where it could not compare.
func Run(ctx context.Context, o Options) error {
	spec, err := oktaspec.Load()
	if err != nil {
		return err
	}
	if o.Sleep == nil {
		o.Sleep = sleep
	}
	org, err := newSession("the org", o.OrgURL, o.Credential, http.DefaultTransport, o)
	if err != nil {
		return err
	}
	say := func(format string, args ...any) { _, _ = fmt.Fprintf(o.Out, format+"\n", args...) }
	if o.Rotate && o.Agree != nil && !o.Agree(question(org.base)) {
		return errors.New("not agreed to: nothing was called")
	}
	say("Compares %s with the simulated org.", org.base)

	sim, err := simulated(o)
	if err != nil {
		return err
	}
	r := &report{spec: spec, say: say}
	if err := sim.read(ctx); err != nil {
		return fmt.Errorf("the simulated org: %w", err)
	}
	if err := org.read(ctx); err != nil {
		r.matters("reading stopped: %v", err)
	}
	if o.Rotate {
		if err := sim.rotate(ctx, say, true); err != nil {
			return fmt.Errorf("the simulated org: %w", err)
		}
		if err := org.rotate(ctx, say, false); err != nil {
			r.matters("the rotation of the throw-away app: %v", err)
		}
	}
	r.compare(org.tape.seen(), sim.tape.seen())
	return r.print(org.client.Calls() + int64(org.tape.own))
}

func newSession(name, url string, credential okta.Credential, transport http.RoundTripper, o Options) (*session, error) {
	s := &session{name: name, credential: credential, tape: &tape{next: transport}, out: o.Out, sleep: o.Sleep}
	client, err := okta.New(okta.Config{
		OrgURL: url, Version: "contract", HTTP: &http.Client{Transport: s.tape, Timeout: 30 * time.Second},
		Credentials: func(context.Context, bool) (okta.Credential, error) { return credential, nil },
	})
	if err != nil {
		return nil, err
	}
	s.client, s.base = client, client.OrgURL()
	return s, nil
}

// simulated is a session with a simulated org that has a bit of everything.
func simulated(o Options) (*session, error) {
	org := oktasim.New(oktasim.Options{Limits: oktasim.Limits{Apps: oktasim.Unlimited, App: oktasim.Unlimited, API: oktasim.Unlimited}})
	org.SeedDemo()
	org.SeedLarge(oktasim.LargeSpec{Apps: 40, IDPs: 10, SharedShare: -1})
	credential, err := okta.ParseCredential("the simulated org's", fmt.Appendf(nil, `{"apiToken":%q}`, org.APIToken()))
	if err != nil {
		return nil, err
	}
	quiet := o
	quiet.Out = io.Discard
	return newSession("the simulated org", "http://127.0.0.1", credential, handlerTransport{org}, quiet)
}

// handlerTransport calls a handler without a network.
type handlerTransport struct{ http.Handler }

func (h handlerTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body == nil {
		r = r.Clone(r.Context())
		r.Body = http.NoBody // as a server has it
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	answer := w.Result()
	answer.Request = r
	return answer, nil
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// clean makes a text from outside safe to print on one line.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7F {
			return ' '
		}
		return r
	}, s)
}
