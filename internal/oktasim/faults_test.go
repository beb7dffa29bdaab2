package oktasim

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestFaultsWithoutAnEffect(t *testing.T) {
	for _, c := range []struct {
		kind   FaultKind
		status int
		code   string
	}{
		{FaultRateLimited, 429, "E0000047"},
		{FaultConcurrency429, 429, "E0000047"},
		{FaultInternal, 500, "E0000009"},
		{FaultReadOnly, 503, "E0000010"},
		{FaultUnauthorized, 401, "E0000011"},
		{FaultForbidden, 403, "E0000006"},
	} {
		t.Run(string(c.kind), func(t *testing.T) {
			f := newFixture(t)
			id := f.AddApp(AppSpec{Label: "A"})
			f.Fail(Fault{Operation: "generateCsrForApplication", Kind: c.kind, ResetIn: 7 * time.Second})
			path := "/api/v1/apps/" + id + "/credentials/csrs"
			r := f.refused(c.status, c.code, "POST", path, goodCSR)
			if n := len(f.PendingCSRs(KindApp, id)); n != 0 {
				t.Errorf("%d pending CSRs", n)
			}
			limit, remaining, reset := r.header.Get("X-Rate-Limit-Limit"), r.header.Get("X-Rate-Limit-Remaining"), r.header.Get("X-Rate-Limit-Reset")
			switch want := strconv.FormatInt(f.clock.now().Unix()+7, 10); {
			case limit == "" || remaining == "" || reset == "":
				t.Errorf("headers %v", r.header)
			case c.kind == FaultRateLimited && (limit == "0" || remaining != "0" || reset != want):
				t.Errorf("limit %s, remaining %s, reset %s; want reset %s", limit, remaining, reset, want)
			case c.kind == FaultConcurrency429 && (limit != "0" || remaining != "0"):
				t.Errorf("limit %s, remaining %s", limit, remaining)
			}
			if call := f.Calls()[0]; call.Fault != string(c.kind) || call.Status != c.status {
				t.Errorf("call %+v", call)
			}
			f.ok(201, "POST", path, goodCSR) // once
		})
	}
	f := newFixture(t)
	f.Fail(Fault{Kind: FaultHTMLError})
	if r := f.ok(502, "GET", "/api/v1/apps", ""); r.header.Get("Content-Type") != "text/html" || !strings.HasPrefix(string(r.body), "<html>") {
		t.Errorf("%v %s", r.header, r.body)
	}
}

func TestFaultsHitTheCallsThatTheyName(t *testing.T) {
	f := newFixture(t)
	a, b := f.AddApp(AppSpec{Label: "A"}), f.AddApp(AppSpec{Label: "B"})
	f.Fail(Fault{Operation: "getApplication", ID: b, Nth: 2, Times: 2, Kind: FaultInternal})
	for i, c := range []struct {
		path   string
		status int
	}{
		{"/api/v1/apps/" + b, 200},
		{"/api/v1/apps/" + a, 200},
		{"/api/v1/apps", 200},
		{"/api/v1/apps/" + b, 500},
		{"/api/v1/apps/" + a, 200},
		{"/api/v1/apps/" + b, 500},
		{"/api/v1/apps/" + b, 200},
	} {
		if got := f.do("GET", c.path, ""); got.status != c.status {
			t.Errorf("call %d, %s: status %d, want %d", i+1, c.path, got.status, c.status)
		}
	}
	f.Fail(Fault{Kind: FaultInternal})
	f.Fail(Fault{Kind: FaultReadOnly, Nth: 2})
	f.ok(500, "GET", "/api/v1/nowhere", "")
	f.ok(503, "GET", "/api/v1/idps", "")
	f.ok(200, "GET", "/api/v1/idps", "")
	f.Fail(Fault{Kind: FaultInternal, Times: 100})
	f.ClearFaults()
	f.ok(200, "GET", "/api/v1/idps", "")
	for _, bad := range []Fault{{}, {Kind: "nothing"}, {Kind: FaultInternal, Operation: "getApp"}} {
		if try(func() { f.Fail(bad) }) == nil {
			t.Errorf("%+v: no panic", bad)
		}
	}
}

// overHTTP gives a client that opens a connection for each call: the transport
// would repeat a GET on a connection that it had used before.
func (f *fixture) overHTTP() (call func(ctx context.Context, method, path, body string) (*http.Response, error)) {
	server := httptest.NewServer(f)
	f.t.Cleanup(server.Close)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	return func(ctx context.Context, method, path, body string) (*http.Response, error) {
		req, err := http.NewRequestWithContext(ctx, method, server.URL+path, strings.NewReader(body))
		if err != nil {
			return nil, err
		}
		req.Header.Set("Authorization", "SSWS "+testToken)
		req.Header.Set("Content-Type", "application/json")
		return client.Do(req)
	}
}

func TestFaultsThatCloseTheConnection(t *testing.T) {
	for kind, effect := range map[FaultKind]int{FaultCloseBefore: 0, FaultCloseAfter: 1} {
		f := newFixture(t)
		call := f.overHTTP()
		id := f.AddApp(AppSpec{Label: "A"})
		f.Fail(Fault{Kind: kind})
		resp, err := call(t.Context(), "POST", "/api/v1/apps/"+id+"/credentials/csrs", goodCSR)
		if err == nil {
			_ = resp.Body.Close()
			t.Errorf("%s: answered %s", kind, resp.Status)
		}
		if n := len(f.PendingCSRs(KindApp, id)); n != effect {
			t.Errorf("%s: %d pending CSRs, want %d", kind, n, effect)
		}
		if c := f.Calls()[0]; c.Status != 0 || c.Fault != string(kind) {
			t.Errorf("%s: call %+v", kind, c)
		}
	}
}

func TestFaultsWithAnEffectSpoilTheAnswer(t *testing.T) {
	f := newFixture(t)
	call := f.overHTTP()
	id := f.AddApp(AppSpec{Label: "A"})
	path := "/api/v1/apps/" + id + "/credentials/csrs"
	pending := func() int { return len(f.PendingCSRs(KindApp, id)) }

	f.Fail(Fault{Kind: FaultInternalAfter})
	if r := f.refused(500, "E0000009", "POST", path, goodCSR); pending() != 1 {
		t.Errorf("internal-after: %d pending, %s", pending(), r.body)
	}

	f.Fail(Fault{Kind: FaultBrokenBody})
	resp, err := call(t.Context(), "POST", path, goodCSR)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil || resp.StatusCode != http.StatusCreated || json.Valid(body) || pending() != 2 {
		t.Errorf("broken body: %v, %s, %d pending, %q", err, resp.Status, pending(), body)
	}

	f.Fail(Fault{Kind: FaultHugeBody})
	resp, err = call(t.Context(), "POST", path, goodCSR)
	if err != nil {
		t.Fatal(err)
	}
	n, err := io.Copy(io.Discard, io.LimitReader(resp.Body, 32<<20))
	_ = resp.Body.Close()
	if err != nil || n != 32<<20 || resp.StatusCode != http.StatusCreated || pending() != 3 {
		t.Errorf("huge body: %v, %s, %d bytes, %d pending", err, resp.Status, n, pending())
	}
}

func TestASlowBodyEndsWithTheClientOrWhenReleased(t *testing.T) {
	f := newFixture(t)
	call := f.overHTTP()
	id := f.AddApp(AppSpec{Label: "A"})

	f.Fail(Fault{Kind: FaultSlowBody, Times: 2})
	ctx, cancel := context.WithCancel(t.Context())
	resp, err := call(ctx, "GET", "/api/v1/apps/"+id, "")
	if err != nil {
		t.Fatal(err)
	}
	// The start arrives, then spaces that never end.
	doc := f.Document(KindApp, id)
	head := make([]byte, len(doc)+2)
	if _, err := io.ReadFull(resp.Body, head); err != nil || !bytes.HasSuffix(head, []byte("   ")) {
		t.Errorf("%v: %q", err, head)
	}
	cancel()
	if _, err := io.ReadAll(resp.Body); !errors.Is(err, context.Canceled) {
		t.Errorf("after giving up: %v", err)
	}
	_ = resp.Body.Close()

	resp, err = call(t.Context(), "GET", "/api/v1/apps/"+id, "")
	if err != nil {
		t.Fatal(err)
	}
	f.ReleaseSlow()
	body, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil || !json.Valid(body) {
		t.Errorf("released: %v: %q", err, body)
	}
}
