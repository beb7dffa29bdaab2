// Package acmpca has AWS Private CA sign Okta's requests. It never waits: the
// first call asks for the certificate and returns its ARN as reference; a later
// call with the reference fetches it.
package acmpca

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/acmpca"
	"github.com/aws/aws-sdk-go-v2/service/acmpca/types"

	"keyturn/internal/ca"
)

const (
	day = 24 * time.Hour

	// skew is how far this clock and AWS's are taken to differ, with the time
	// that the call takes.
	skew = 5 * time.Minute

	// askAgain is when a certificate that was asked for should be there: AWS
	// takes a second or two.
	askAgain = 3 * time.Second
)

// Client is what is used of AWS Private CA.
type Client interface {
	IssueCertificate(context.Context, *acmpca.IssueCertificateInput, ...func(*acmpca.Options)) (*acmpca.IssueCertificateOutput, error)
	GetCertificate(context.Context, *acmpca.GetCertificateInput, ...func(*acmpca.Options)) (*acmpca.GetCertificateOutput, error)
	GetCertificateAuthorityCertificate(context.Context, *acmpca.GetCertificateAuthorityCertificateInput, ...func(*acmpca.Options)) (*acmpca.GetCertificateAuthorityCertificateOutput, error)
}

var _ Client = (*acmpca.Client)(nil)

// Config names the CA.
type Config struct {
	// ARN is arn:aws:acm-pca:REGION:ACCOUNT:certificate-authority/ID, in any
	// region and account.
	ARN string
	// TemplateARN is what certificates are made by: a template for end entities.
	// Empty: DefaultTemplate, in the partition of ARN.
	TemplateARN string
}

// Authority is a CA in AWS Private CA. It may be used concurrently.
type Authority struct {
	client    Client
	arn       string
	region    string
	template  template
	chain     ca.Chain
	algorithm types.SigningAlgorithm
}

var _ ca.Authority = (*Authority)(nil)

var caARNs = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^arn:(aws[a-z-]*):acm-pca:([a-z0-9-]+):[0-9]{12}:certificate-authority/[A-Za-z0-9-]+$`)
})

// New reads the CA's certificate and the chain above it
// (acm-pca:GetCertificateAuthorityCertificate), and checks them. Dates are not
// looked at here but when a certificate is asked for.
//
// Errors are [*ca.Error]: CA.Misconfigured, or CA.Unavailable where AWS may
// answer later.
func New(ctx context.Context, client Client, c Config) (*Authority, error) {
	parts := caARNs().FindStringSubmatch(c.ARN)
	if parts == nil {
		return nil, &ca.Error{
			Name: ca.NameMisconfigured, Field: "certificateAuthorityArn", Value: c.ARN, Message: "not the ARN of a private CA",
			Remedy: "configure arn:aws:acm-pca:REGION:ACCOUNT:certificate-authority/ID",
		}
	}
	a := &Authority{client: client, arn: c.ARN, region: parts[2]}
	var err error
	if a.template, err = parseTemplate(c.TemplateARN, parts[1]); err != nil {
		return nil, err
	}
	out, err := client.GetCertificateAuthorityCertificate(ctx,
		&acmpca.GetCertificateAuthorityCertificateInput{CertificateAuthorityArn: aws.String(a.arn)}, a.inRegion)
	if err != nil {
		return nil, a.failure(getCACertificate, err)
	}
	a.chain, err = ca.ParseChain([]byte(aws.ToString(out.Certificate) + "\n" + aws.ToString(out.CertificateChain)))
	if err != nil {
		var cause *ca.Error
		if !errors.As(err, &cause) {
			return nil, err
		}
		named := *cause
		named.Name, named.Remedy = ca.NameMisconfigured, "look at what is installed as the certificate of "+a.arn
		return nil, &named
	}
	if a.algorithm, err = signingAlgorithm(a.chain[0]); err != nil {
		return nil, err
	}
	if err := a.chain.CheckIssuer(a.chain[0].PublicKey); err != nil {
		return nil, err
	}
	return a, nil
}

func (a *Authority) inRegion(o *acmpca.Options) { o.Region = a.region }

// signingAlgorithm is how AWS is told to sign: by the kind of the CA's key,
// which it must match, with the hash that [ca.Issue] would take.
func signingAlgorithm(issuer *x509.Certificate) (types.SigningAlgorithm, error) {
	switch key := issuer.PublicKey.(type) {
	case *rsa.PublicKey:
		return types.SigningAlgorithmSha256withrsa, nil
	case *ecdsa.PublicKey:
		switch key.Curve {
		case elliptic.P256():
			return types.SigningAlgorithmSha256withecdsa, nil
		case elliptic.P384():
			return types.SigningAlgorithmSha384withecdsa, nil
		}
	}
	return "", &ca.Error{
		Name: ca.NameMisconfigured, Field: "chain[0].publicKey", Value: issuer.PublicKeyAlgorithm.String(),
		Message: "no key whose signatures partners' software can be expected to verify",
		Remedy:  "configure a private CA with key algorithm RSA_2048, RSA_3072, RSA_4096, EC_prime256v1 or EC_secp384r1",
	}
}

// Sign asks AWS Private CA for the certificate, and returns [*ca.Pending] with
// the certificate's ARN; with that as r.Reference it fetches the certificate,
// or returns [*ca.Pending] again.
//
// The certificate says what the template says: subject and subjectAltName are
// the CSR's. Where the template leaves it open, keyUsage is digitalSignature,
// for an IdP also keyEncipherment, and what the profile adds. It starts an hour
// before it is issued, which is AWS's default, and ends r.ValidityDays after it
// is issued. Where the CA or one above it ends earlier, so does the certificate
// (AWS refuses one that outlives its CA), provided that more than 90 days
// remain; otherwise it is Certificate.TooShort.
//
// The same request within five minutes gets the same certificate (AWS's
// IdempotencyToken).
//
// A profile goes along as API passthrough. What the template does not let
// through is refused as Certificate.WrongProfile before AWS is asked; see
// [DefaultTemplate].
func (a *Authority) Sign(ctx context.Context, r ca.Request) (ca.Certificate, error) {
	if err := r.Validate(); err != nil {
		return ca.Certificate{}, err
	}
	if r.Reference != "" {
		return a.fetch(ctx, r.Reference)
	}
	in, err := a.request(r)
	if err != nil {
		return ca.Certificate{}, err
	}
	out, err := a.client.IssueCertificate(ctx, in, a.inRegion)
	if err != nil {
		return ca.Certificate{}, a.failure(issueCertificate, err)
	}
	arn := aws.ToString(out.CertificateArn)
	if err := a.checkReference(arn); err != nil {
		return ca.Certificate{}, err
	}
	return ca.Certificate{}, &ca.Pending{Reference: arn, After: askAgain}
}

func (a *Authority) request(r ca.Request) (*acmpca.IssueCertificateInput, error) {
	csr, err := ca.ParseCSR(r.CSR)
	if err != nil {
		return nil, err
	}
	// As ca.Issue does: it would look like another certificate of the CA.
	if bytes.Equal(csr.RawSubject, a.chain[0].RawSubject) {
		return nil, &ca.Error{
			Name: ca.NameCSRInvalid, Field: "csr.subject", Value: csr.Subject.String(),
			Message: "the CA itself has this name", Remedy: "give the target another name in the policy's subject",
		}
	}
	validity, err := a.validity(r.Now, r.ValidityDays)
	if err != nil {
		return nil, err
	}
	passthrough, err := a.template.passthrough(r)
	if err != nil {
		return nil, err
	}
	in := &acmpca.IssueCertificateInput{
		CertificateAuthorityArn: aws.String(a.arn),
		Csr:                     pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: r.CSR}),
		SigningAlgorithm:        a.algorithm,
		TemplateArn:             aws.String(a.template.arn),
		Validity:                validity,
		ApiPassthrough:          passthrough,
	}
	in.IdempotencyToken, err = token(in)
	return in, err
}

// validity is relative wherever it can be: it does not change from one attempt
// to the next, and with it the token. ValidityNotBefore is not used, for the
// same reason.
func (a *Authority) validity(now time.Time, days int) (*types.Validity, error) {
	end := a.chain[0].NotAfter
	for i, cert := range a.chain {
		if now.Before(cert.NotBefore) || now.After(cert.NotAfter) {
			return nil, &ca.Error{
				Name: ca.NameMisconfigured, Field: fmt.Sprintf("chain[%d]", i), Value: cert.Subject.String(),
				Message: fmt.Sprintf("valid from %s to %s, and it is %s", stamp(cert.NotBefore), stamp(cert.NotAfter), stamp(now)),
				Remedy:  "renew the CA's certificate, or configure another CA",
			}
		}
		if cert.NotAfter.Before(end) {
			end = cert.NotAfter
		}
	}
	if now.Add(skew).AddDate(0, 0, days).Before(end) {
		return &types.Validity{Type: types.ValidityPeriodTypeDays, Value: aws.Int64(int64(days))}, nil
	}
	// AWS says that the end "must not exceed" the CA's, not whether it may be
	// the same second.
	end = end.Add(-time.Second)
	if left := end.Sub(now); left <= ca.MinValidity {
		return nil, &ca.Error{
			Name: ca.NameTooShort, Field: "chain.notAfter", Value: stamp(end),
			Message: fmt.Sprintf("the CA ends in %.2f days; Okta rejects 90 days or less, and AWS a certificate that outlives its CA", left.Hours()/day.Hours()),
			Remedy:  "renew the CA's certificate, or configure another CA",
		}
	}
	return &types.Validity{Type: types.ValidityPeriodTypeAbsolute, Value: aws.Int64(end.Unix())}, nil
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// token is a digest of all that the request says, in the 36 characters that AWS
// takes.
func token(in *acmpca.IssueCertificateInput) (*string, error) {
	text, err := json.Marshal(in)
	if err != nil {
		return nil, &ca.Error{Name: ca.NameCSRInvalid, Field: "csr", Message: "cannot be sent", Err: err, Remedy: "revoke it in Okta and generate another one"}
	}
	sum := sha256.Sum256(text)
	return aws.String(hex.EncodeToString(sum[:18])), nil
}

var certificateIDs = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[0-9A-Za-z]{1,64}$`) })

// checkReference keeps references that come back by way of the state machine to
// certificates of this CA.
func (a *Authority) checkReference(arn string) error {
	id, below := strings.CutPrefix(arn, a.arn+"/certificate/")
	if below && certificateIDs().MatchString(id) {
		return nil
	}
	return &ca.Error{
		Name: ca.NameMisconfigured, Field: "reference", Value: arn, Message: "not the ARN of a certificate of " + a.arn,
		Remedy: "start the rotation again: the CA was changed while it waited",
	}
}

func (a *Authority) fetch(ctx context.Context, arn string) (ca.Certificate, error) {
	if err := a.checkReference(arn); err != nil {
		return ca.Certificate{}, err
	}
	out, err := a.client.GetCertificate(ctx, &acmpca.GetCertificateInput{
		CertificateAuthorityArn: aws.String(a.arn), CertificateArn: aws.String(arn),
	}, a.inRegion)
	var wait *types.RequestInProgressException
	switch {
	case errors.As(err, &wait):
		return ca.Certificate{}, &ca.Pending{Reference: arn, After: askAgain}
	case err != nil:
		return ca.Certificate{}, a.failure(getCertificate, err)
	}
	return ca.ParseCertificate([]byte(aws.ToString(out.Certificate) + "\n" + aws.ToString(out.CertificateChain)))
}

// Issued reports whether this CA signed cert; see [ca.Chain.Issued].
func (a *Authority) Issued(cert *x509.Certificate) (bool, error) { return a.chain.Issued(cert) }

// Chain returns the CA's certificates: its own, and those up to the root.
func (a *Authority) Chain() ca.Chain { return slices.Clone(a.chain) }
