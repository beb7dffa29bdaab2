package main

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"flag"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"

	"keyturn/internal/ca/cacert"
	"keyturn/internal/ca/kms"
)

// wish is what init is asked for.
type wish struct {
	provider  string
	plan      cacert.Plan
	years     int
	request   bool
	keyType   string
	kmsKey    string
	dir       string
	secret    string
	parameter string
}

func readInit(flags *flag.FlagSet, args []string) (wish, error) {
	var w wish
	flags.StringVar(&w.provider, "provider", "", "")
	flags.StringVar(&w.plan.CommonName, "name", "", "")
	flags.StringVar(&w.plan.Organization, "organization", "", "")
	flags.StringVar(&w.plan.Country, "country", "", "")
	permitDNS := flags.String("permit-dns", "", "")
	flags.IntVar(&w.years, "years", 10, "")
	flags.BoolVar(&w.request, "request", false, "")
	flags.StringVar(&w.keyType, "key", "rsa-3072", "")
	flags.StringVar(&w.kmsKey, "kms-key", "", "")
	flags.StringVar(&w.dir, "dir", "", "")
	flags.StringVar(&w.secret, "secret", "", "")
	flags.StringVar(&w.parameter, "parameter", "", "")
	given, err := parse(flags, args, 0)
	if err != nil {
		return w, err
	}
	if err := checkProvider(w.provider, given); err != nil {
		return w, err
	}
	w.plan.PermitDNS = strings.FieldsFunc(*permitDNS, func(r rune) bool { return r == ',' || r == ' ' })
	if err := w.plan.Check(); err != nil {
		return w, wrongFlag(err)
	}
	isKMS := w.provider == "kms"
	switch {
	case isKMS && w.kmsKey == "":
		return w, misused("-kms-key is missing: give the ARN of an asymmetric KMS key for signing")
	case !slices.Contains(cacert.KeyTypes, w.keyType):
		return w, misused("-key is %q: use %s", w.keyType, strings.Join(cacert.KeyTypes, ", "))
	case w.request && given["years"]:
		return w, misused("-years does not go with -request: the root decides how long the CA lives")
	case w.years < 1 || w.years > cacert.MaxYears:
		return w, misused("-years is %d: use 1 to %d", w.years, cacert.MaxYears)
	case w.request && given["parameter"]:
		return w, misused("-parameter does not go with -request: give it to keyturn ca accept, which has something to put there")
	case w.request && w.dir == "":
		return w, misused("-dir is missing: the request is written there")
	case isKMS && w.dir == "" && w.parameter == "":
		return w, misused("-parameter or -dir is missing: where to put the certificate")
	case !isKMS && w.dir == "" && w.secret == "":
		return w, misused("-secret or -dir is missing: where to put the key and its certificate")
	}
	return w, nil
}

func (p program) init(ctx context.Context, flags *flag.FlagSet, args []string) error {
	w, err := readInit(flags, args)
	if err != nil {
		return err
	}
	var in aws.Config
	if w.provider == "kms" || w.secret != "" {
		if in, err = account(ctx); err != nil {
			return err
		}
	}
	var store *secret
	if w.secret != "" {
		if store, err = readSecret(ctx, in, w.secret); err != nil {
			return err
		}
		if !store.free() {
			return store.taken()
		}
	}
	var signer crypto.Signer
	var keyPEM []byte
	if w.provider == "kms" {
		signer, err = kms.NewSigner(ctx, awskms.NewFromConfig(in), w.kmsKey)
	} else {
		signer, keyPEM, err = newKey(w.keyType)
	}
	if err != nil {
		return err
	}
	if w.request {
		return p.ask(ctx, w, signer, keyPEM, store)
	}
	chain, err := cacert.SelfSign(signer, w.plan, w.years, p.now(), rand.Reader)
	if err != nil {
		return err
	}
	return p.keep(ctx, made{
		title: "Made a CA that is signed by itself", chain: chain, keyPEM: keyPEM,
		dir: w.dir, secret: store, account: in, parameter: w.parameter,
	})
}

func newKey(keyType string) (crypto.Signer, []byte, error) {
	key, err := cacert.NewKey(keyType)
	if err != nil {
		return nil, nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, fmt.Errorf("the key cannot be written: %w", err)
	}
	return key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// ask makes the request for the root. Until the answer comes, a key that is not
// in KMS waits where it will stay: in the secret if one is named, which keeps it
// from any disk; otherwise in a file of its own.
func (p program) ask(ctx context.Context, w wish, signer crypto.Signer, keyPEM []byte, store *secret) error {
	der, err := cacert.Request(signer, w.plan, rand.Reader)
	if err != nil {
		return err
	}
	files := []file{{name: requestFile, content: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})}}
	if keyPEM != nil && store == nil {
		files = append(files, file{name: keyFile, content: keyPEM, private: true})
	}
	undo, err := writeNew(w.dir, files...)
	if err != nil {
		return err
	}
	if store != nil {
		value, err := json.Marshal(map[string]string{"key": string(keyPEM)})
		if err == nil {
			err = store.put(ctx, value)
		}
		if err != nil {
			undo()
			return err
		}
	}
	request, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return fmt.Errorf("the request cannot be read: %w", err)
	}
	p.printf("Made a request for the company's root: %s\n", w.plan.CommonName)
	p.describeRequest(request)

	path := func(name string) string { return filepath.Join(w.dir, name) }
	accept := "keyturn ca accept -provider " + w.provider + " -dir " + quoted(w.dir)
	p.printf("\nWritten:\n")
	p.row(path(requestFile), "the request, which is public")
	switch {
	case store != nil:
		p.row(store.arn, "the private key")
		accept += " -secret " + quoted(store.name)
	case keyPEM != nil:
		p.row(path(keyFile), "the private key: whoever has it can sign as this CA")
	default:
		accept += " -parameter " + usualParameter
	}
	p.next(
		step{text: "Have the root sign " + path(requestFile) + " as a subordinate CA's, with what the request asks for:\n" +
			"basicConstraints CA:TRUE and pathlen:0, keyUsage keyCertSign and cRLSign, nameConstraints."},
		step{"Bring the answer, and the certificates above it:", accept + " ANSWER.pem"},
	)
	return nil
}
