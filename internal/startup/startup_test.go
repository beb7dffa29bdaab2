package startup

import (
	"strings"
	"testing"
	"time"
)

func TestAFunctionIsMeasuredAgainstTheEmptyOne(t *testing.T) {
	programs, err := Build(t.Context(), "../..", t.TempDir(), "read-metadata")
	if err != nil {
		t.Fatal(err)
	}
	least, err := programs.EmptySize()
	if err != nil {
		t.Fatal(err)
	}
	f, err := programs.Measure(t.Context(), "read-metadata", 2)
	if err != nil {
		t.Fatal(err)
	}
	if f.Size <= least || f.Start <= 0 || f.Empty <= 0 {
		t.Errorf("%+v, the empty function has %d bytes", f, least)
	}
	if _, err := programs.Measure(t.Context(), "none", 1); err == nil {
		t.Error("a function that is not there was measured")
	}
}

func TestBudgets(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct {
		f    Figures
		want []string
	}{
		{Figures{"verify-key", 9e6, 13 * ms, 10 * ms}, nil},
		{Figures{"verify-key", 9e6 + 1e5, 14 * ms, 10 * ms}, []string{"verify-key has 9.1 MB, more than 9", "verify-key starts in 1.40 times what an empty function takes, more than 1.3"}},
		{Figures{"list-apps", 13e6, 20 * ms, 10 * ms}, nil},
		{Figures{"report-inventory", 14e6, 21 * ms, 10 * ms}, []string{"report-inventory has 14.0 MB, more than 13", "report-inventory starts in 2.10 times what an empty function takes, more than 2.0"}},
	} {
		if got := strings.Join(c.f.Broken(), "\n"); got != strings.Join(c.want, "\n") {
			t.Errorf("%+v: %s", c.f, got)
		}
	}
}
