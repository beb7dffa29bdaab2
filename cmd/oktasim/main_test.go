package main

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestOnlyLoopbackIsServed(t *testing.T) {
	for _, address := range []string{":0", "0.0.0.0:0", "[::]:0", "192.0.2.1:0", "example.com:0", "127.0.0.1", ""} {
		err := run(t.Context(), []string{"-listen", address}, "token", io.Discard)
		if err == nil || !strings.HasPrefix(err.Error(), "-listen ") {
			t.Errorf("-listen %q: %v", address, err)
		}
	}
	if err := run(t.Context(), []string{"127.0.0.1:0"}, "token", io.Discard); err == nil {
		t.Error("an argument without its flag is taken")
	}
}

func TestServesUntilInterrupted(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	r, w := io.Pipe()
	done := make(chan error, 1)
	go func() {
		done <- run(ctx, nil, "", w)
		_ = w.Close()
	}()
	lines := bufio.NewScanner(r)
	value := func(label string) string {
		t.Helper()
		if !lines.Scan() {
			t.Fatalf("no line %q: %v", label, lines.Err())
		}
		rest, ok := strings.CutPrefix(lines.Text(), label)
		if !ok {
			t.Fatalf("line %q, want %q", lines.Text(), label)
		}
		return strings.TrimSpace(rest)
	}
	url, token := value("Simulated Okta org:"), value("API token:")
	go func() { _, _ = io.Copy(io.Discard, r) }()

	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/api/v1/apps", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "SSWS "+token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil || resp.StatusCode != http.StatusOK || !strings.Contains(string(body), "Salesforce – EMEA") {
		t.Errorf("%s, %v", resp.Status, err)
	}
	http.DefaultClient.CloseIdleConnections()
	interrupt()
	if err := <-done; err != nil {
		t.Errorf("after the interrupt: %v", err)
	}
}

func TestAGivenTokenIsNotPrinted(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	var out strings.Builder
	if err := run(ctx, []string{"-empty", "-large", "200"}, "the-secret", &out); err != nil {
		t.Fatal(err)
	}
	if err := run(ctx, []string{"-large", "-1"}, "the-secret", &out); err == nil {
		t.Error("-large -1 is taken")
	}
	if strings.Contains(out.String(), "the-secret") {
		t.Error(out.String())
	}
}
