// Command load puts the local stack under load: hundreds of rotations that wait
// for people at once, and the people's answers, many in a minute. It writes
// docs/load.md, and fails where an answer was not taken or a rotation did not
// complete.
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

func main() { os.Exit(status()) }

func status() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if err := command(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		return 1
	}
	return 0
}

// plan is how much load there is.
type plan struct {
	// waiting rotations are there at once, when approvals of them are given,
	// evenly, within a time; the others are given after it, unmeasured.
	waiting, approvals int
	within             time.Duration
	// underway is how many rotations at most are on their way to the approver
	// at the same time.
	underway int
}

func command(ctx context.Context, args []string, out, progress io.Writer) error {
	flags := flag.NewFlagSet("load", flag.ContinueOnError)
	flags.SetOutput(out)
	p := plan{}
	flags.IntVar(&p.waiting, "waiting", 500, "rotations that wait at once")
	flags.IntVar(&p.approvals, "approvals", 200, "how many of them are approved while that is measured")
	flags.DurationVar(&p.within, "within", time.Minute, "the time for these approvals")
	flags.IntVar(&p.underway, "underway", 24, "rotations that are on their way to the approver at the same time")
	path := flags.String("o", filepath.Join("docs", "load.md"), "the `file` to write, - for the standard output")
	note := flags.String("note", "", "a `sentence` about the circumstances, for the page")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if p.approvals > p.waiting || p.approvals < 1 || p.underway < 1 || p.within <= 0 {
		return fmt.Errorf("-waiting %d -approvals %d -within %s -underway %d: give positive numbers, and not more approvals than rotations", p.waiting, p.approvals, p.within, p.underway)
	}
	r, err := run(ctx, p, func(what string) { _, _ = fmt.Fprintln(progress, what) })
	if err != nil {
		return err
	}
	r.note = strings.TrimSpace(*note)
	var page bytes.Buffer
	r.document(&page)
	if *path == "-" {
		_, err = out.Write(page.Bytes())
	} else {
		err = os.WriteFile(*path, page.Bytes(), 0o644)
	}
	if err != nil {
		return err
	}
	if wrong := r.wrong(); len(wrong) > 0 {
		return fmt.Errorf("not everything went well:\n  %s", strings.Join(wrong, "\n  "))
	}
	return nil
}
