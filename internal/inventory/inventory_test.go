package inventory_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"keyturn/internal/inventory"
)

func TestDaysLeftAreWholeDaysRoundedDown(t *testing.T) {
	now := time.Date(2026, 3, 1, 6, 0, 0, 0, time.UTC)
	for left, want := range map[time.Duration]int{
		0: 0, time.Second: 0, 24*time.Hour - time.Second: 0, 24 * time.Hour: 1, 36 * time.Hour: 1,
		-time.Second: -1, -24 * time.Hour: -1, -25 * time.Hour: -2,
	} {
		if got := inventory.DaysLeft(now.Add(left), now); got != want {
			t.Errorf("%v before the end there are %d days left, want %d", left, got, want)
		}
	}
}

func TestLinesAreReadAsTheyWereWritten(t *testing.T) {
	var file bytes.Buffer
	for _, text := range []string{"a", "line\nbreak", "<&>", strings.Repeat("x", 200_000)} {
		if err := inventory.WriteLine(&file, map[string]string{"text": text}); err != nil {
			t.Fatal(err)
		}
	}
	var read []int
	for line, err := range inventory.Lines[struct{ Text string }](&file) {
		if err != nil {
			t.Fatal(err)
		}
		read = append(read, len(line.Text))
	}
	if len(read) != 4 || read[1] != 10 || read[3] != 200_000 {
		t.Errorf("read lines of %v", read)
	}
}

func TestALineThatCannotBeReadEndsTheReading(t *testing.T) {
	broken := errors.New("the connection broke")
	for name, c := range map[string]struct {
		from io.Reader
		want string
	}{
		"no JSON":     {strings.NewReader("{}\n{\n{}\n"), "line 2"},
		"cut":         {io.MultiReader(strings.NewReader("{}\n{\"te"), iotest.ErrReader(broken)), ""},
		"a wrong one": {strings.NewReader("{}\n{\"text\": 1}\n"), "line 2"},
	} {
		t.Run(name, func(t *testing.T) {
			n := 0
			var last error
			for _, err := range inventory.Lines[struct{ Text string }](c.from) {
				n++
				last = err
			}
			if n != 2 || last == nil || !strings.Contains(last.Error(), c.want) {
				t.Errorf("%d values, then %v", n, last)
			}
		})
	}
}
