package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"flag"
	"fmt"
	"os"
	"time"

	"keyturn/internal/ca"
	"keyturn/internal/ca/local"
)

func (p program) show(ctx context.Context, flags *flag.FlagSet, args []string) error {
	secretName := flags.String("secret", "", "")
	parameter := flags.String("parameter", "", "")
	validity := flags.Int("validity-days", usualDays, "")
	if _, err := parse(flags, args, 1); err != nil {
		return err
	}
	sources := flags.NArg()
	for _, name := range []string{*secretName, *parameter} {
		if name != "" {
			sources++
		}
	}
	switch {
	case sources != 1:
		return misused("give one thing to show: a file, -secret or -parameter")
	case *validity <= minDays || *validity > 3650:
		return misused("-validity-days is %d: use more than %d, as the policy does, and at most 3650", *validity, minDays)
	}
	chain, err := p.load(ctx, *secretName, *parameter, flags.Arg(0))
	if err != nil {
		return err
	}
	p.printf("%s\n", name(chain[0]))
	p.describe(chain)
	problems := p.problems(chain)
	p.notes(append(prefixed("problem", problems), prefixed("warning", soon(chain, p.now(), *validity))...))
	if len(problems) > 0 {
		return errProblems
	}
	return nil
}

const minDays = int(ca.MinValidity / (24 * time.Hour))

// load reads a chain, and leaves a key that is with it where it is.
func (p program) load(ctx context.Context, secretName, parameter, file string) (ca.Chain, error) {
	if file != "" {
		content, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("%s cannot be read: %w", file, bare(err))
		}
		var chain ca.Chain
		if bytes.HasPrefix(bytes.TrimSpace(content), []byte("{")) {
			chain, err = secretChain(content)
		} else {
			chain, err = parseCertificates(content)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		return chain, nil
	}
	in, err := account(ctx)
	if err != nil {
		return nil, err
	}
	if parameter != "" {
		value, err := readParameter(ctx, in, parameter)
		if err != nil {
			return nil, err
		}
		chain, err := parseCertificates([]byte(value))
		if err != nil {
			return nil, fmt.Errorf("the parameter %s: %w", parameter, err)
		}
		return chain, nil
	}
	store, err := readSecret(ctx, in, secretName)
	switch {
	case err != nil:
		return nil, err
	case store.free():
		return nil, fmt.Errorf("the secret %s has no CA yet: make one with keyturn ca init", secretName)
	case store.waiting() != "":
		return nil, fmt.Errorf("the secret %s has a key, whose request waits for the root's answer: bring it with keyturn ca accept", secretName)
	}
	chain, err := secretChain(store.value)
	if err != nil {
		return nil, fmt.Errorf("the secret %s: %w", secretName, err)
	}
	return chain, nil
}

func secretChain(value []byte) (ca.Chain, error) {
	authority, err := local.New(value, rand.Reader)
	if err != nil {
		return nil, err
	}
	return authority.Chain(), nil
}

// problems are why nothing can be signed with this CA now.
func (p program) problems(chain ca.Chain) []string {
	var list []string
	if err := chain.CheckIssuer(chain[0].PublicKey); err != nil {
		list = append(list, err.Error())
	}
	for _, c := range chain {
		switch left := c.NotAfter.Sub(p.now()); {
		case p.now().Before(c.NotBefore), left < 0:
			list = append(list, fmt.Sprintf("%s: %s", name(c), p.left(c)))
		case left <= ca.MinValidity:
			list = append(list, fmt.Sprintf("%s ends in %s: Okta rejects certificates of 90 days or less, and none outlives its CA", name(c), days(left)))
		}
	}
	return list
}
