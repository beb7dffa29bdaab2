package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"keyturn/internal/startup"
)

// results are all that was measured.
type results struct {
	at      time.Time
	command string
	// nothing is the memory of a process that does nothing.
	nothing   int64
	runs      []run
	papers    []paper
	starts    int
	emptySize int64
	functions []startup.Figures
	turns     []turn
}

// broken says which budgets are not kept. Small orgs say nothing about memory
// and few starts nothing about their time: all says whether these count.
func (r results) broken(all bool) []string {
	var broken []string
	for _, m := range r.runs {
		broken = append(broken, m.broken()...)
	}
	if all {
		broken = append(broken, unflat(r.runs, r.papers)...)
		for _, f := range r.functions {
			broken = append(broken, f.Broken()...)
		}
	}
	for _, t := range r.turns {
		broken = append(broken, t.broken()...)
	}
	return broken
}

// document writes the page.
func (r results) document(to io.Writer) error {
	var b bytes.Buffer
	say := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	say("# Benchmarks\n")
	say("Made by `%s` on %s, on %s. Do not edit: `make bench` writes this page, and fails where a budget is broken.\n", r.command, r.at.UTC().Format("2006-01-02"), machine())

	if len(r.runs) > 0 {
		r.discovery(say, &b)
	}
	if len(r.functions) > 0 {
		say("## Functions\n")
		t := table{head: []string{"function", "MB", "budget", "start ms", "× empty", "budget"}, left: 1}
		t.row("(empty)", fmt.Sprintf("%.1f", mega(r.emptySize)), "", fmt.Sprintf("%.1f", milliseconds(emptyStart(r.functions))), "1.00", "")
		for _, f := range r.functions {
			t.row(f.Name, fmt.Sprintf("%.1f", mega(f.Size)), fmt.Sprintf("%.0f", mega(f.MaxSize())),
				fmt.Sprintf("%.1f", milliseconds(f.Start)), fmt.Sprintf("%.2f", f.Ratio()), fmt.Sprintf("%.1f", f.MaxRatio()))
		}
		t.write(&b)
		say("\nStripped programs for %s. **Start** is from the start of the process to the first call of the Lambda runtime API, the median of %d starts. "+
			"**× empty** compares it with a function that does nothing, which is started in turn with it. What is over its budget is measured again with %d starts, and that counts.\n", runtime.GOARCH, r.starts, again*r.starts)
	}
	if len(r.turns) > 0 {
		say("## One rotation\n")
		t := table{head: []string{"target", "order", "Okta calls", "transitions", "function calls", "events", "mails", "cost $"}, left: 2}
		for _, m := range r.turns {
			t.row(string(m.kind), string(m.order), thousands(m.calls), thousands(m.transitions), thousands(m.lambdas), thousands(m.events), thousands(m.mails), fmt.Sprintf("%.5f", m.cost()))
		}
		t.write(&b)
		say("\nConfirmed at once by one approver, without retries, on a local AWS with the deployed stack. **Function calls** include the two of the page: opened, and answered. "+
			"Budgets: %d calls, %d after-switch, and %d transitions.\n", maxCalls, maxCalls+1, maxTransitions)
	}
	say("## Cost\n")
	say("List prices of us-east-1 as known on %s, without free tiers, and without what the stack costs by itself (secrets, storage, logs, traces):\n", priceDate)
	prices := table{head: []string{"", "$", "for", "source"}, left: 1, tail: 2}
	prices.row("state transitions, standard", "0.025", "1,000", "aws.amazon.com/step-functions/pricing")
	prices.row("function calls", "0.20", "1,000,000", "aws.amazon.com/lambda/pricing")
	prices.row("function time, arm64", "0.0000133334", "GB-second", "aws.amazon.com/lambda/pricing")
	prices.row("S3: PUT, LIST", "0.005", "1,000", "aws.amazon.com/s3/pricing")
	prices.row("S3: GET", "0.0004", "1,000", "aws.amazon.com/s3/pricing")
	prices.row("custom events", "1.00", "1,000,000", "aws.amazon.com/eventbridge/pricing")
	prices.row("mails", "0.10", "1,000", "aws.amazon.com/ses/pricing")
	prices.write(&b)
	say("\n```")
	say("rotation  = transitions × 0.000025 + function calls × (0.0000002 + %.0f s × %.2f GB × 0.0000133334) + events × 0.000001 + mails × 0.0001", perCall.Seconds(), rotationMemory)
	say("discovery = transitions × 0.000025 + (list-apps calls + %d) × 0.0000002 + function s × %.1f GB × 0.0000133334 + S3 writes × 0.000005 + S3 reads × 0.0000004", otherFunctions, discoveryMemory)
	say("```\n")
	say("A function of a rotation is taken to last %.0f s, which is a bound and was not measured. In a discovery the two functions behind list-apps count with their calls and transitions, and not with their time and requests.\n", perCall.Seconds())
	_, err := to.Write(append(bytes.TrimRight(b.Bytes(), "\n"), '\n'))
	return err
}

func (r results) discovery(say func(string, ...any), b *bytes.Buffer) {
	say("## Discovery\n")
	t := table{head: []string{"apps", "IdPs", "run", "Okta calls", "floor", "over", "windows", "429", "simulated time", "CPU s", "peak MB"}, left: 0, names: []int{2}}
	for _, m := range r.runs {
		t.row(thousands(m.apps), thousands(m.idps), m.what, thousands(m.calls), thousands(m.floor), thousands(m.over()), thousands(m.waits), thousands(m.limited),
			span(m.took), fmt.Sprintf("%.1f", m.cpu.Seconds()), fmt.Sprintf("%.1f", mega(m.peak)))
	}
	t.write(b)
	say(`
The org is simulated: three quarters of the apps are SAML 2.0, a tenth of these on shared keys, and it keeps the documented rate limits of a Workforce org (apps 100, app 500, api 1,200 a minute), of which a scan takes half. All time is simulated: a request takes %d ms at Okta, %d ms at S3, and a wait what it is.

- **first run** knows nothing. **steady run** is the one on the next day, with nothing new. **naive scan** is what a script does: it asks every app and IdP for its keys, each time, in one process that holds everything in memory and sleeps at the limit.
- **Okta calls** are all requests, those for the partners' certificates included. **Floor** is the least: each page of the two lists, and in a first run each key that is in use, once. **Over** is the difference: at most %d in a steady run. No key is asked for twice.
- **Windows** are the waits for a new window of the rate limit; **429** the refusals, of which none is allowed.
- **CPU** is this machine's, of all calls of list-apps (each in a process of its own, without Lambda).
- **Peak MB** is the most memory that one of these processes had (VmHWM), on one processor: Lambda gives a function of 512 MB less; a process that does nothing has %.1f.
`, oktaLatency.Milliseconds(), s3Latency.Milliseconds(), maxOver, mega(r.nothing))
	say("%s\n", r.flatness())
	t = table{head: []string{"apps", "run", "list-apps calls", "function s", "transitions", "S3 writes", "S3 reads", "cost $"}, names: []int{1}}
	for _, m := range r.runs {
		if m.what == naiveRun {
			continue
		}
		writes, reads := m.requests()
		t.row(thousands(m.apps), m.what, thousands(m.invocations), fmt.Sprintf("%.1f", m.seconds()), thousands(m.transitions), thousands(writes), thousands(reads), fmt.Sprintf("%.4f", m.cost()))
	}
	t.write(b)
	say("\n**Function s** is the simulated time in which list-apps ran, and its CPU time. **S3 writes** are PUT and LIST, which cost the same.\n")
	t = table{head: []string{"apps", "report after the", "function s", "CPU s", "peak MB", "inventory MB", "report MB"}, names: []int{1}}
	for _, p := range r.papers {
		t.row(thousands(p.apps), p.what, fmt.Sprintf("%.1f", (p.lasted+p.cpu).Seconds()), fmt.Sprintf("%.1f", p.cpu.Seconds()), fmt.Sprintf("%.1f", mega(p.peak)),
			fmt.Sprintf("%.1f", mega(int64(p.inventory))), fmt.Sprintf("%.1f", mega(int64(p.report))))
	}
	t.write(b)
	say("\nOne call of report-inventory, without mail. **Inventory MB** and **report MB** are what it writes.\n")
}

// flatness says how the peak grows from the smallest org to the largest.
func (r results) flatness() string {
	var said []string
	for _, what := range []string{firstRun, steadyRun, naiveRun} {
		if small, large := edges(r.runs, what); small.peak > 0 && large.apps > small.apps {
			said = append(said, fmt.Sprintf("%s %.2f", what, float64(large.peak)/float64(small.peak)))
		}
	}
	if len(said) == 0 {
		return ""
	}
	for _, what := range []string{firstRun, steadyRun} {
		if small, large := edges(r.papers, what); small.peak > 0 && large.apps > small.apps {
			said = append(said, fmt.Sprintf("report-inventory after the %s %.2f", what, float64(large.peak)/float64(small.peak)))
		}
	}
	return fmt.Sprintf("Peak memory of the largest org against that of the smallest: %s. At most %.2f is allowed, the naive scan aside.", strings.Join(said, ", "), flat)
}

// machine describes what it was measured on.
func machine() string {
	model := "unknown processor"
	if info, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(info)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				model = strings.TrimSpace(value)
				break
			}
		}
	}
	return fmt.Sprintf("%d cores of a machine with %s (%s/%s) and %s", runtime.NumCPU(), model, runtime.GOOS, runtime.GOARCH, runtime.Version())
}

func emptyStart(functions []startup.Figures) time.Duration {
	var sum time.Duration
	for _, f := range functions {
		sum += f.Empty
	}
	return sum / time.Duration(len(functions))
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1e3 }

func thousands(n int) string {
	text := strconv.Itoa(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// span is a time in the largest units that matter.
func span(d time.Duration) string {
	switch d = d.Round(time.Second); {
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min %02d s", int(d.Minutes()), int(d.Seconds())%60)
	}
	return fmt.Sprintf("%d h %02d min", int(d.Hours()), int(d.Minutes())%60)
}

// table is a Markdown table whose numbers are aligned, in the text too.
type table struct {
	head []string
	// left is how many columns from the left, and tail from the right, hold
	// words; names are others that do.
	left, tail int
	names      []int
	rows       [][]string
}

func (t *table) row(cells ...string) { t.rows = append(t.rows, cells) }

func (t *table) words(column int) bool {
	return column < t.left || column >= len(t.head)-t.tail || slices.Contains(t.names, column)
}

func (t *table) write(to io.Writer) {
	width := make([]int, len(t.head))
	for _, row := range append([][]string{t.head}, t.rows...) {
		for i, cell := range row {
			width[i] = max(width[i], utf8.RuneCountInString(cell))
		}
	}
	line := func(cells []string) {
		for i, cell := range cells {
			pad := strings.Repeat(" ", width[i]-utf8.RuneCountInString(cell))
			if t.words(i) {
				cell += pad
			} else {
				cell = pad + cell
			}
			_, _ = fmt.Fprint(to, "| ", cell, " ")
		}
		_, _ = fmt.Fprintln(to, "|")
	}
	line(t.head)
	for i := range t.head {
		rule := strings.Repeat("-", width[i]+1)
		if t.words(i) {
			_, _ = fmt.Fprint(to, "|", rule, "-")
		} else {
			_, _ = fmt.Fprint(to, "|", rule, ":")
		}
	}
	_, _ = fmt.Fprintln(to, "|")
	for _, row := range t.rows {
		line(row)
	}
}
