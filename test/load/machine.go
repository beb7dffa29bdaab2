package main

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// machine is what it was measured on.
type machine struct {
	processor string
	memory    int64  // bytes
	load      string // the averages of 1, 5 and 15 minutes at the start
}

func thisMachine() machine {
	m := machine{processor: "an unknown processor", load: "unknown"}
	if info, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		m.processor = cmp.Or(value(info, "model name"), m.processor)
	}
	if info, err := os.ReadFile("/proc/meminfo"); err == nil {
		kilobytes, _ := strconv.ParseInt(strings.TrimSuffix(value(info, "MemTotal"), " kB"), 10, 64)
		m.memory = kilobytes << 10
	}
	if load, err := os.ReadFile("/proc/loadavg"); err == nil {
		m.load = strings.Join(strings.Fields(string(load))[:3], ", ")
	}
	return m
}

func (m machine) String() string {
	return fmt.Sprintf("%d cores of a machine with %s and %.0f GB (%s/%s), with %s; load averages at the start: %s",
		runtime.NumCPU(), m.processor, float64(m.memory)/1e9, runtime.GOOS, runtime.GOARCH, runtime.Version(), m.load)
}

// value finds "name : value" among lines.
func value(lines []byte, name string) string {
	for line := range bytes.Lines(lines) {
		if before, after, ok := bytes.Cut(line, []byte(":")); ok && string(bytes.TrimSpace(before)) == name {
			return string(bytes.TrimSpace(after))
		}
	}
	return ""
}

// census is what the processes that this one has started take: the local AWS,
// and the functions. Where there is no /proc it is empty.
type census struct {
	// ministack and functions are resident memory in bytes; processes is how
	// many functions' processes there are.
	ministack, functions int64
	processes            int
	// cpu is what the processes of a function that run have computed, by the
	// function's name without the stack's.
	cpu map[string]time.Duration
}

// ticksPerSecond is Linux's USER_HZ, in which /proc counts.
const ticksPerSecond = 100

func count() census {
	c := census{cpu: map[string]time.Duration{}}
	type process struct {
		parent     int
		cpu        time.Duration
		resident   int64
		executable string
		function   string
	}
	all := map[int]process{}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		stat, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		// After the name in brackets, which may hold anything: state, parent, ...
		// proc_pid_stat(5): field 4 is the parent, 14 and 15 the times, 24 the pages.
		_, rest, _ := bytes.Cut(stat, []byte(") "))
		fields := strings.Fields(string(rest))
		if len(fields) < 22 {
			continue
		}
		number := func(field int) int64 { n, _ := strconv.ParseInt(fields[field-3], 10, 64); return n }
		dir := filepath.Dir(path)
		id, _ := strconv.Atoi(filepath.Base(dir))
		p := process{parent: int(number(4)), cpu: time.Duration(number(14)+number(15)) * time.Second / ticksPerSecond, resident: number(24) * int64(os.Getpagesize())}
		p.executable, _ = os.Readlink(filepath.Join(dir, "exe"))
		if environment, err := os.ReadFile(filepath.Join(dir, "environ")); err == nil {
			for variable := range bytes.SplitSeq(environment, []byte{0}) {
				if name, ok := bytes.CutPrefix(variable, []byte("AWS_LAMBDA_FUNCTION_NAME=keyturn-")); ok {
					p.function = string(name)
				}
			}
		}
		all[id] = p
	}
	ours := func(id int) bool {
		var seen []int
		for id > 1 && !slices.Contains(seen, id) {
			if seen = append(seen, id); id == os.Getpid() {
				return true
			}
			id = all[id].parent
		}
		return false
	}
	for id, p := range all {
		switch {
		case id == os.Getpid() || !ours(id):
		case p.function != "":
			c.functions += p.resident
			c.processes++
			c.cpu[p.function] += p.cpu
		default:
			c.ministack += p.resident
		}
	}
	return c
}
