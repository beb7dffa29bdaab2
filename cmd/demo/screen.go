package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// screen writes to a terminal, in colour only where there is one.
type screen struct {
	out    io.Writer
	colour bool
}

func newScreen(out *os.File) *screen {
	info, err := out.Stat()
	terminal := err == nil && info.Mode()&os.ModeCharDevice != 0
	return &screen{out: out, colour: terminal && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"}
}

func (s *screen) paint(code, text string) string {
	if !s.colour {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// write ignores errors: a closed terminal must not stop the clearing up.
func (s *screen) write(format string, args ...any) { _, _ = fmt.Fprintf(s.out, format, args...) }

func (s *screen) heading(text string) { s.write("\n%s\n", s.paint("1", text)) }

func (s *screen) step(what, text string) { s.write("  %-9s %s\n", what, text) }

func (s *screen) state(name string, after time.Duration) {
	s.write("  %s %-22s %s\n", s.paint("36", "▸"), name, s.paint("2", fmt.Sprintf("%5.2f s", after.Seconds())))
}

func (s *screen) found(label, kind string, days int, what string) {
	s.write("  %s %-22s %s %4d days  %s\n", s.paint("36", "▸"), label, s.paint("2", kind), days, what)
}

func (s *screen) person(does, what string) {
	s.write("  %s %-8s %s\n", s.paint("33", "☺"), does, what)
}

func (s *screen) good(text string) { s.write("\n%s\n", s.paint("32", "✔ "+text)) }

func (s *screen) bad(text string) { s.write("%s\n", s.paint("31", "✘ "+text)) }

func (s *screen) table(rows []row) {
	s.write("\n")
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	line := func(cells ...string) { _, _ = fmt.Fprintln(w, strings.Join(cells, "\t")) }
	line("TARGET", "KIND", "ORDER", "CA", "RESULT", "OLD KID", "NEW KID", "ACTIVE", "ACTIVE CERTIFICATE'S ISSUER", "EXPIRES", "OKTA CALLS", "TRANSITIONS", "SECONDS")
	for _, r := range rows {
		active := "old"
		if r.active == r.newKid {
			active = "new"
		}
		mark := "✔ "
		if len(r.wrong) > 0 {
			mark = "✘ "
		}
		line(mark+r.label, r.kind, string(r.order), string(r.authority), r.result, short(r.oldKid), short(r.newKid), active, r.issuer, r.expires.Format("2006-01-02"),
			strconv.Itoa(r.calls), strconv.Itoa(r.transitions), fmt.Sprintf("%.1f", r.seconds))
	}
	_ = w.Flush()
	s.write("%s", b.String())
}

// signIns is the table of what users noticed.
func (s *screen) signIns(lanes [][]*lane) {
	s.write("\nSign-ins through the partners, one every %d ms, from before discovery until the rotation's end\n\n", every.Milliseconds())
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	line := func(cells ...string) { _, _ = fmt.Fprintln(w, strings.Join(cells, "\t")) }
	line("TARGET", "KIND", "ORDER", "PARTNER", "SIGN-INS", "FAILED", "LONGEST GAP", "FAILED BETWEEN")
	for _, l := range slices.Concat(lanes...) {
		mark := "✔ "
		if len(l.wrong()) > 0 {
			mark = "✘ "
		}
		line(mark+l.label, string(l.kind), string(l.order), l.partner, strconv.Itoa(len(l.line.Attempts)), strconv.Itoa(len(l.line.Failed())),
			seconds(l.line.LongestGap()), l.phases())
	}
	_ = w.Flush()
	s.write("%s", b.String())
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }

func short(kid string) string {
	if len(kid) > 8 {
		return kid[:8]
	}
	return kid
}
