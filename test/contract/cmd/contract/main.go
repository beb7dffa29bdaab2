// Command contract compares a real Okta org with the simulated one, with the
// user's own credential. See docs/okta-contract.md.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"keyturn/internal/okta"
	"keyturn/test/contract/live"
)

// tokenVariable holds the API token, or what Keyturn's secret holds.
const tokenVariable = "KEYTURN_OKTA_TOKEN"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Getenv(tokenVariable), os.Stdin, os.Stdout)
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
	case errors.Is(err, live.ErrDiffers):
		os.Exit(2)
	case err != nil:
		_, _ = fmt.Fprintf(os.Stderr, "contract: error: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, token string, in io.Reader, out io.Writer) error {
	flags := flag.NewFlagSet("contract", flag.ContinueOnError)
	flags.SetOutput(out)
	org := flags.String("org", "", "the org's `URL`, such as https://example.okta.com")
	file := flags.String("credential", "", "`file` with the API token, or with what Keyturn's secret holds; without it "+tokenVariable+" is read")
	rotate := flags.Bool("rotate-throw-away-app", false, "make an app, rotate its key, and delete it")
	yes := flags.Bool("yes", false, "do not ask before the app is made")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	credential, err := read(*file, token)
	if err != nil {
		return err
	}
	options := live.Options{OrgURL: *org, Credential: credential, Rotate: *rotate, Out: out}
	if !*yes {
		options.Agree = func(question string) bool {
			_, _ = io.WriteString(out, question)
			line, _ := bufio.NewReader(in).ReadString('\n')
			return strings.TrimSpace(line) == "yes"
		}
	}
	return live.Run(ctx, options)
}

// read takes the credential out of the file or the variable. A token alone is
// as good as the secret's JSON.
func read(file, token string) (okta.Credential, error) {
	name, value := tokenVariable, []byte(token)
	if file != "" {
		var err error
		if value, err = os.ReadFile(file); err != nil {
			return nil, fmt.Errorf("-credential: %w", err)
		}
		name = file
	}
	value = bytes.TrimSpace(value)
	if len(value) == 0 {
		return nil, fmt.Errorf("there is no credential in %s: put an API token into the variable %s, or into a file and name that with -credential", name, tokenVariable)
	}
	if value[0] != '{' {
		var err error
		if value, err = json.Marshal(map[string]string{"apiToken": string(value)}); err != nil {
			return nil, err
		}
	}
	return okta.ParseCredential(name, value)
}
