// Command keyturn makes the CA that signs for Okta, where it is Keyturn's own
// (the providers local and kms), and shows its certificates. It exits with 1
// when something was refused or went wrong, and with 2 when it was called the
// wrong way.
package main

import (
	"context"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"

	"keyturn/internal/ca"
)

//go:embed help/keyturn.txt
var help string

//go:embed help/init.txt
var helpInit string

//go:embed help/accept.txt
var helpAccept string

//go:embed help/show.txt
var helpShow string

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := program{out: os.Stdout, errs: os.Stderr, now: time.Now}.run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}

type program struct {
	out, errs io.Writer
	now       func() time.Time
}

type command struct {
	help string
	do   func(context.Context, *flag.FlagSet, []string) error
}

func (p program) commands() map[string]command {
	return map[string]command{
		"ca init":   {helpInit, p.init},
		"ca accept": {helpAccept, p.accept},
		"ca show":   {helpShow, p.show},
	}
}

func (p program) run(ctx context.Context, args []string) int {
	name := strings.Join(args[:min(2, len(args))], " ")
	c, known := p.commands()[name]
	if !known {
		if len(args) > 0 && slices.Contains([]string{"help", "-h", "-help", "--help"}, args[len(args)-1]) {
			p.printf("%s", help)
			return 0
		}
		_, _ = fmt.Fprint(p.errs, help)
		return 2
	}
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	err := c.do(ctx, flags, args[2:])
	var called *usageError
	switch {
	case err == nil:
		return 0
	case errors.Is(err, flag.ErrHelp):
		p.printf("%s", c.help)
		return 0
	case errors.Is(err, errProblems):
		return 1
	case errors.As(err, &called):
		_, _ = fmt.Fprintf(p.errs, "keyturn %s: %v\nkeyturn %s -h says how it is called.\n", name, err, name)
		return 2
	}
	_, _ = fmt.Fprintf(p.errs, "keyturn %s: error: %v\n", name, err)
	return 1
}

func (p program) printf(format string, args ...any) { _, _ = fmt.Fprintf(p.out, format, args...) }

// errProblems says that show has told of problems already.
var errProblems = errors.New("the CA cannot be used")

// usageError is a call that says too little, too much or something wrong.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

func misused(format string, args ...any) error { return &usageError{fmt.Sprintf(format, args...)} }

// wrongFlag is an error about a value that a flag has brought.
func wrongFlag(err error) error {
	var e *ca.Error
	if errors.As(err, &e) {
		return misused("-%v", e)
	}
	return err
}

// parse reads flags, and returns those that were given. At most so many files
// stand after them.
func parse(flags *flag.FlagSet, args []string, files int) (given map[string]bool, err error) {
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return nil, err
	} else if err != nil {
		return nil, misused("%v", err)
	}
	for _, arg := range flags.Args() {
		if strings.HasPrefix(arg, "-") {
			return nil, misused("%s stands after %s: give the flags first", arg, flags.Arg(0))
		}
	}
	if flags.NArg() > files {
		return nil, misused("%q is too much", flags.Arg(files))
	}
	given = map[string]bool{}
	flags.Visit(func(f *flag.Flag) { given[f.Name] = true })
	return given, nil
}

// checkProvider refuses flags that are the other provider's.
func checkProvider(name string, given map[string]bool) error {
	others := map[string][]string{"local": {"kms-key", "parameter"}, "kms": {"key", "secret"}}
	foreign, known := others[name]
	switch {
	case name == "":
		return misused("-provider is missing: local for a key in Secrets Manager, kms for a key in AWS KMS")
	case !known:
		return misused("-provider is %q: use local or kms; the other providers have CAs of their own", name)
	}
	for _, flag := range foreign {
		if given[flag] {
			return misused("-%s is not for the provider %s: leave it out", flag, name)
		}
	}
	return nil
}
