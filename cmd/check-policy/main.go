// Command check-policy checks a policy file as discovery will, and says what it
// means. It exits with 1 when the policy has problems, and with 2 when it could
// not look at it.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/tidwall/gjson"

	"keyturn/internal/rotation"
	"keyturn/policy"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, out, errs io.Writer) int {
	flags := flag.NewFlagSet("check-policy", flag.ContinueOnError)
	flags.SetOutput(errs)
	flags.Usage = func() {
		_, _ = fmt.Fprint(errs, "usage: check-policy [flags] [FILE]\n\nFILE is policy/policy.json if it is left out.\n\n")
		flags.PrintDefaults()
	}
	mode := flags.String("mode", string(rotation.ModeNotify), "the stack's parameter Mode, for a policy that names no `mode`: rotate, notify or off")
	approvers := flags.String("approvers", "", "the stack's parameter Approvers, for a policy that names no approvers: `addresses`, separated by commas")
	schedule := flags.String("schedule", "", "write what template.yaml includes in discovery's schedule to a `file`")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return 0
	} else if err != nil {
		return 2
	}
	fail := func(format string, args ...any) int {
		_, _ = fmt.Fprintf(errs, "check-policy: error: "+format+"\n", args...)
		return 2
	}
	file := "policy/policy.json"
	switch flags.NArg() {
	case 0:
	case 1:
		file = flags.Arg(0)
	default:
		return fail("%d files: give one, after the flags", flags.NArg())
	}
	base := rotation.DefaultSettings(strings.FieldsFunc(*approvers, func(r rune) bool { return r == ',' || r == ' ' }))
	base.Mode = rotation.Mode(*mode)
	if err := base.Validate("flags"); err != nil {
		return fail("%s", strings.Replace(err.Error(), "flags.", "-", 1))
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		return fail("could not read the policy: %v", err)
	}
	if problems := rotation.CheckPolicy(raw, base); len(problems) > 0 {
		for _, p := range problems {
			_, _ = fmt.Fprintf(errs, "%s:%d: %s\n", file, p.Line, strings.TrimPrefix(p.Message, "policy."))
		}
		return 1
	}
	checked, err := rotation.LoadPolicy(raw, base)
	if err != nil {
		return fail("%v", err)
	}
	summarize(out, file, raw, checked.Settings())
	if *schedule != "" {
		snippet, err := policy.ScheduleInput(raw)
		if err == nil {
			err = os.WriteFile(*schedule, snippet, 0o600)
		}
		if err != nil {
			return fail("the schedule's input: %v", err)
		}
	}
	return 0
}

// summarize says what a good policy says: its mode, and what it names outside
// its rules and in each of them.
func summarize(out io.Writer, file string, raw []byte, outside rotation.Settings) {
	policy := gjson.ParseBytes(raw)
	rules := policy.Get("rules").Array()
	count := fmt.Sprintf("%d rules", len(rules))
	if len(rules) == 1 {
		count = "1 rule"
	}
	_, _ = fmt.Fprintf(out, "%s: mode %s, %s\n", file, outside.Mode, count)
	for i, rule := range rules {
		_, _ = fmt.Fprintf(out, "  rules[%d] for %s: %s\n", i, fields(rule.Get("match"), ""), fields(rule, "as without a rule", "match"))
	}
	_, _ = fmt.Fprintf(out, "  without a rule: %s\n", fields(policy, "the defaults", "$schema", "rules"))
}

// fields are those of an object that are not left out, in the order of the
// file; none if there is none.
func fields(object gjson.Result, none string, leftOut ...string) string {
	var list []string
	object.ForEach(func(name, value gjson.Result) bool {
		if slices.Contains(leftOut, name.Str) {
			return true
		}
		var compact bytes.Buffer
		_ = json.Compact(&compact, []byte(value.Raw))
		list = append(list, name.Str+" "+compact.String())
		return true
	})
	if len(list) == 0 {
		return none
	}
	return strings.Join(list, ", ")
}
