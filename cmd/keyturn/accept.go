package main

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"

	"keyturn/internal/ca"
	"keyturn/internal/ca/cacert"
	"keyturn/internal/ca/manual"
)

func (p program) accept(ctx context.Context, flags *flag.FlagSet, args []string) error {
	name := flags.String("provider", "", "")
	dir := flags.String("dir", "", "")
	secretName := flags.String("secret", "", "")
	parameter := flags.String("parameter", "", "")
	given, err := parse(flags, args, math.MaxInt)
	if err != nil {
		return err
	}
	if err := checkProvider(*name, given); err != nil {
		return err
	}
	switch {
	case *dir == "":
		return misused("-dir is missing: the folder that keyturn ca init -request has made")
	case flags.NArg() == 0:
		return misused("the root's answer is missing: name the file with it, and those with the certificates above it")
	}
	request, err := readRequest(filepath.Join(*dir, requestFile))
	if err != nil {
		return err
	}
	var certs []*x509.Certificate
	for _, file := range flags.Args() {
		more, err := readCertificates(file)
		if err != nil {
			return err
		}
		certs = append(certs, more...)
	}
	answer, err := cacert.Accept(certs, request, p.now())
	if err != nil {
		return err
	}
	m := made{chain: answer.Chain, dir: *dir, parameter: *parameter}
	if *secretName != "" || *parameter != "" {
		if m.account, err = account(ctx); err != nil {
			return err
		}
	}
	if *secretName != "" {
		if m.secret, err = readSecret(ctx, m.account, *secretName); err != nil {
			return err
		}
	}
	if *name == "local" {
		if m.keyPEM, m.keyFile, err = waitingKey(*dir, m.secret); err != nil {
			return err
		}
	}
	m.title = "The root's answer belongs to the request"
	m.notes = append(prefixed("mended", answer.Mended), prefixed("warning", answer.Warnings)...)
	return p.keep(ctx, m)
}

func prefixed(prefix string, list []string) []string {
	var lines []string
	for _, text := range list {
		lines = append(lines, prefix+": "+text)
	}
	return lines
}

func readRequest(path string) (*x509.CertificateRequest, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%s cannot be read: %w; name the folder that keyturn ca init -request has made", path, bare(err))
	}
	block, _ := pem.Decode(content)
	if block == nil || block.Type != "CERTIFICATE REQUEST" {
		return nil, fmt.Errorf("%s is not a request in PEM: name the folder that keyturn ca init -request has made", path)
	}
	request, err := x509.ParseCertificateRequest(block.Bytes)
	if err == nil {
		err = request.CheckSignature()
	}
	if err != nil {
		return nil, fmt.Errorf("%s is damaged: %w; make another request", path, err)
	}
	return request, nil
}

func readCertificates(path string) (ca.Chain, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%s cannot be read: %w", path, bare(err))
	}
	chain, err := parseCertificates(content)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return chain, nil
}

// parseCertificates reads them as CAs hand them out; see manual.Read, whose
// remedies are for a page.
func parseCertificates(content []byte) (ca.Chain, error) {
	read, err := manual.Read(content)
	var e *ca.Error
	switch {
	case errors.As(err, &e) && e.Name == ca.NamePrivateKey:
		return nil, errors.New("there is a private key in it, which is not asked for: name a file with certificates alone")
	case errors.As(err, &e):
		return nil, fmt.Errorf("%s: give certificates in PEM or DER; from a .p7b, openssl pkcs7 -print_certs makes PEM (-inform DER unless it is text)", e.Message)
	case err != nil:
		return nil, err
	}
	return append(ca.Chain{read.Leaf}, read.Chain...), nil
}

// waitingKey finds the key that init has made; file is where it was, if not in
// the secret.
func waitingKey(dir string, store *secret) (keyPEM []byte, file string, err error) {
	if store != nil {
		if waiting := store.waiting(); waiting != "" {
			return []byte(waiting), "", nil
		}
		if !store.free() {
			return nil, "", store.taken()
		}
	}
	file = filepath.Join(dir, keyFile)
	keyPEM, err = os.ReadFile(file)
	switch {
	case errors.Is(err, fs.ErrNotExist) && store == nil:
		return nil, "", fmt.Errorf("%s does not exist: name the secret where the key waits (-secret), or the provider whose key it is (-provider kms)", file)
	case errors.Is(err, fs.ErrNotExist):
		return nil, "", fmt.Errorf("the key is neither in the secret %s nor in %s: name the folder and the secret that keyturn ca init had", store.name, file)
	case err != nil:
		return nil, "", fmt.Errorf("%s cannot be read: %w", file, bare(err))
	}
	return keyPEM, file, nil
}
