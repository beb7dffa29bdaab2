package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// percentile is the value that this part of all do not exceed (nearest rank).
func percentile(all []time.Duration, part float64) time.Duration {
	if len(all) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(all))
	rank := int(part*float64(len(sorted))+0.999999) - 1
	return sorted[min(max(rank, 0), len(sorted)-1)]
}

// document writes the page.
func (r results) document(to io.Writer) {
	say := func(format string, args ...any) { _, _ = fmt.Fprintf(to, format+"\n", args...) }
	say("# Load\n")
	say("Made by `make load` on %s, on %s. Do not edit: `make load` writes this page, and fails where an answer was not taken or a rotation did not complete.\n", r.at.UTC().Format("2006-01-02"), r.machine)
	if r.note != "" {
		say("%s\n", r.note)
	}
	say("The stack is the deployed one, on the [local AWS](architecture.md#local-aws): one Python process that plays all of AWS, with the simulated org beside it, without rate limits. %d rotations of as many apps are started, at most %d of them on their way to the approver at the same time. "+
		"When all wait, %d people open their link and confirm, one every %d ms, whether or not those before have been served; then the others do.\n",
		r.waiting, r.underway, r.approvals, (r.within / time.Duration(r.approvals)).Milliseconds())
	say("| | |")
	say("|---|---:|")
	say("| until all %d wait | %s |", r.waiting, r.arrived.Round(time.Second))
	say("| memory of the local AWS: before, and when all wait | %d MB, %d MB |", mega(r.before.ministack), mega(r.waited.ministack))
	say("| memory of the functions' processes when all wait | %d MB in %d |", mega(r.waited.functions), r.waited.processes)
	say("| requests to the page, and errors | %d, %d (%.1f %%) |", r.loaded.requests(), r.loaded.failed(), 100*float64(r.loaded.failed())/float64(max(r.loaded.requests(), 1)))
	say("| approvals that are in the report of their rotation | %d of %d |", r.honoured, r.approvals)
	say("| from the last answer to the end of the last rotation that was approved | %d ms |", r.settled.Milliseconds())
	say("| how all rotations ended | %s |\n", ends(r.ends))
	say("The page's latency, in ms:\n")
	say("| | n | p50 | p95 | p99 | max |")
	say("|---|---:|---:|---:|---:|---:|")
	row := func(what string, all []time.Duration) {
		cells := []string{what, strconv.Itoa(len(all))}
		for _, part := range []float64{0.5, 0.95, 0.99, 1} {
			cells = append(cells, strconv.FormatInt(percentile(all, part).Milliseconds(), 10))
		}
		say("| %s |", strings.Join(cells, " | "))
	}
	row("GET, nothing else going on", r.idle.opened)
	row("GET", r.loaded.opened)
	row("POST", r.loaded.answered)
	row("GET and POST, by REPORT lines", r.function)
	say("\n- **GET** and **POST** are what a person waits for, from the request to the last byte.")
	say("- **REPORT lines** are the local Lambda's own account of how long the function took. That holds the function's calls, which the same Python process answers (the execution's history for every request, the decision for a POST), and up to %d ms in which that process waits for a log line: of a GET all of them, because it logs nothing.", logWait.Milliseconds())
	if r.functionCPU > 0 {
		say("- The function's processes computed for %.1f ms a request. All the rest is the local AWS, which checks signatures and roles, reads histories and runs the state machines on the same cores. Processes are kept and used again, as Lambda does it.", float64(r.functionCPU.Microseconds())/1e3)
	}
	say("- What AWS would take, this does not say: there the services do not share two cores with the functions, and some requests wait for a cold start. What it does say is that no answer is lost and none fails while so many rotations wait, and that the %d executions that are reserved for the page (`PageConcurrency`), which the local Lambda enforces, are enough for this pace.", reserved)
}

const (
	// reserved is PageConcurrency's default.
	reserved = 5
	// logWait is how long MiniStack waits for what a function logs, where it logs
	// nothing (lambda_runtime.py, _drain_stderr_bounded).
	logWait = 50 * time.Millisecond
)

func mega(bytes int64) int64 { return bytes / 1e6 }

func ends(all map[string]int) string {
	var said []string
	for _, result := range slices.Sorted(maps.Keys(all)) {
		said = append(said, fmt.Sprintf("%d %s", all[result], result))
	}
	return strings.Join(said, ", ")
}
