// Package played is a function of Keyturn in a process of its own: one call, with
// nothing in memory before, as after a cold start. It reads the function's input
// and writes its output, and says how much memory it took. The benchmark starts
// it; it is a program apart from it, so that its memory is the function's.
package played

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"keyturn/internal/awsenv"
	"keyturn/internal/bucket"
	"keyturn/internal/inventory"
	"keyturn/internal/inventory/scan"
	"keyturn/internal/okta"
	"keyturn/internal/rotation"
)

// Part is what a process does with the function's input.
type Part func(ctx context.Context, s Surroundings, input []byte) (any, error)

// The parts that the benchmark asks for.
const (
	Nothing      = "nothing"
	ListAppsPart = "list-apps"
	NaivePart    = "naive"
	ReportPart   = "report-inventory"
)

// Bucket is the bucket's name.
const Bucket = "inventory"

// Token is the API token of the simulated org.
const Token = "00benchBenchBenchBenchBenchBenchBenchBench"

// Surroundings are what a function gets from its environment.
type Surroundings struct {
	Okta   *okta.Client
	Bucket bucket.Bucket
	Clock  *Clock
}

// Said is what a process writes.
type Said struct {
	Output json.RawMessage `json:"output"`
	Error  string          `json:"error,omitempty"`
	// Peak is the most memory that the process had, in bytes.
	Peak int64 `json:"peak"`
}

// Main plays the part that the first argument names. The clock is the file that
// the process inherited. transport, if it is not nil, stands between the
// function and Okta.
func Main(parts map[string]Part, transport http.RoundTripper) {
	if err := play(parts, transport, os.Args[1:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func play(parts map[string]Part, transport http.RoundTripper, args []string, in io.Reader, out io.Writer) error {
	if len(args) != 1 || parts[args[0]] == nil {
		return fmt.Errorf("no part is called %q", args)
	}
	input, err := io.ReadAll(in)
	if err != nil {
		return err
	}
	s := Surroundings{Clock: &Clock{file: os.NewFile(3, "clock")}, Bucket: bucket.New(awsenv.Config(), Bucket)}
	if s.Okta, err = newOkta(os.Getenv("OKTA_ORG_URL"), s.Clock.Now, transport); err != nil {
		return err
	}
	var said Said
	result, err := parts[args[0]](context.Background(), s, input)
	if err != nil {
		said.Error = fmt.Sprintf("%s: %v", rotation.NameOf(err), err)
	}
	if said.Output, err = json.Marshal(result); err != nil {
		return err
	}
	if said.Peak, err = peak(); err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(said)
}

func newOkta(url string, now func() time.Time, transport http.RoundTripper) (*okta.Client, error) {
	credential, err := okta.ParseCredential("keyturn/okta", fmt.Appendf(nil, `{"apiToken":%q}`, Token))
	if err != nil {
		return nil, err
	}
	return okta.New(okta.Config{OrgURL: url, Now: now, HTTP: &http.Client{Transport: transport, Timeout: 10 * time.Second},
		Credentials: func(context.Context, bool) (okta.Credential, error) { return credential, nil }})
}

// peak is the most memory that this process has had in use. The kernel counts
// it from exec on (VmHWM); what wait4 tells of a child, ru_maxrss, begins with
// the pages of the parent, because Go starts children in its own memory.
func peak() (int64, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, fmt.Errorf("peak memory: %w", err)
	}
	for line := range strings.Lines(string(status)) {
		if text, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kilobytes, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(text), "kB")), 10, 64)
			return kilobytes << 10, err
		}
	}
	return 0, errors.New("peak memory: /proc/self/status has no VmHWM")
}

// ListApps is the function as functions/list-apps wires it.
func ListApps(ctx context.Context, s Surroundings, input []byte) (any, error) {
	var in inventory.ListAppsInput
	if err := json.Unmarshal(input, &in); err != nil {
		return nil, err
	}
	return scan.Apps{Okta: s.Okta, Bucket: s.Bucket, Defaults: defaults(), Now: s.Clock.Now}.Run(ctx, in)
}

func defaults() rotation.Settings { return rotation.DefaultSettings([]string{"sso-team@example.com"}) }

// NaiveOutput is what the naive scan says of itself.
type NaiveOutput struct {
	Waits int `json:"waits"`
	Keys  int `json:"keys"`
}

// Naive is the scan that a script would do: it lists everything, then asks
// every app and IdP for its keys, holds all of it in memory, and sleeps where
// its share of the rate limit is used up.
func Naive(ctx context.Context, s Surroundings, _ []byte) (any, error) {
	var out NaiveOutput
	share := defaults().QuotaShare
	quota := func(b okta.Bucket) {
		if w, known := s.Okta.Window(b); known && w.Limit-w.Remaining >= int(share*float64(w.Limit)) {
			out.Waits++
			s.Clock.Until(w.Reset)
		}
	}
	var documents []okta.Document
	for _, l := range []struct {
		kind   rotation.Kind
		bucket okta.Bucket
		read   func(context.Context, string) (okta.Page, error)
	}{
		{rotation.KindApp, okta.BucketApps, s.Okta.AppsPage},
		{rotation.KindIDP, okta.BucketAPI, s.Okta.SAMLIdentityProvidersPage},
	} {
		for place := ""; ; {
			quota(l.bucket)
			got, err := l.read(ctx, place)
			if err != nil {
				return out, err
			}
			for _, raw := range got.Items {
				documents = append(documents, okta.Document{Kind: l.kind, Raw: raw})
			}
			if place = got.Next; place == "" {
				break
			}
		}
	}
	keys := map[string][]okta.JSONWebKey{}
	for _, d := range documents {
		b := okta.BucketAPI
		if d.Kind == rotation.KindApp {
			if !slices.Contains([]string{"SAML_2_0", "SAML_1_1", "WS_FEDERATION"}, d.Field("signOnMode")) {
				continue
			}
			b = okta.BucketApps
		}
		quota(b)
		id := d.Field("id")
		got, err := s.Okta.Keys(ctx, rotation.Target{Kind: d.Kind, ID: id})
		if err != nil {
			return out, err
		}
		keys[string(d.Kind)+id] = got
	}
	out.Keys = len(keys)
	return out, nil
}
