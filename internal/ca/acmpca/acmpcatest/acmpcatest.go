// Package acmpcatest is AWS Private CA over HTTP, for tests: IssueCertificate,
// GetCertificate and GetCertificateAuthorityCertificate of CAs with real keys,
// called through the SDK's own client.
//
//	p := acmpcatest.New(t)
//	arn := p.AddCA(key, chain)
//	client := acmpca.NewFromConfig(p.Config())
//
// It takes its time as AWS does: the first GetCertificate says
// RequestInProgressException. It makes certificates by the template that is
// asked for (User Guide, "AWS Private CA template definitions"), gives the same
// certificate for the same token within five minutes, and refuses what AWS
// refuses, with the same codes. It is stricter in three things: a member of a
// request that it does not know is an error, so is API passthrough with a
// template that takes none (AWS ignores it), and a certificate must end before
// its CA, not with it.
package acmpcatest

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/acmpca/types"

	"keyturn/internal/ca"
)

const (
	// Region is where the CAs are.
	Region = "eu-west-1"
	// SessionToken is part of Config's credentials. The messages of injected
	// errors quote it, as those of AWS about a wrong signature do, so that a
	// test can see that nobody passes them on.
	SessionToken = "session-token-of-acmpcatest"
	// NoAnswer is for Fail: the connection is closed.
	NoAnswer = "no answer"

	accessKey = "AKIDACMPCATEST"
)

// Call is a request that the service was sent.
type Call struct {
	Operation string // such as "IssueCertificate"
	Body      string // JSON
}

// PCA is the service. It ends with its test.
type PCA struct {
	url string

	mu         sync.Mutex
	now        func() time.Time
	inProgress int
	answer     func(right ca.Certificate) ca.Certificate
	fail       string
	failure    string
	cas        map[string]*authority
	calls      []Call
}

type authority struct {
	key    crypto.Signer
	chain  ca.Chain
	status types.CertificateAuthorityStatus
	issued map[string]*issue // by ARN
	tokens map[string]*issue
}

type issue struct {
	arn  string
	at   time.Time
	cert *x509.Certificate
	// asked counts the calls of GetCertificate.
	asked int
	// failure is why there is no certificate.
	failure string
}

// New starts a service without CAs, whose clock is the machine's.
func New(t testing.TB) *PCA {
	t.Helper()
	p := &PCA{now: time.Now, inProgress: 1, cas: map[string]*authority{}}
	server := httptest.NewServer(p)
	t.Cleanup(server.Close)
	p.url = server.URL
	return p
}

// Config is for the SDK's client. Its calls are not retried, so that a test
// does not wait.
func (p *PCA) Config() aws.Config {
	return aws.Config{
		Region:       Region,
		BaseEndpoint: aws.String(p.url),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: accessKey, SecretAccessKey: "secret-of-acmpcatest", SessionToken: SessionToken, Source: "acmpcatest"}, nil
		}),
		Retryer: func() aws.Retryer { return aws.NopRetryer{} },
	}
}

// AddCA adds an active CA and returns its ARN. The chain begins with the CA's
// own certificate.
func (p *PCA) AddCA(key crypto.Signer, chain ca.Chain) (arn string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	arn = fmt.Sprintf("arn:aws:acm-pca:%s:123456789012:certificate-authority/%08x-0000-4000-8000-000000000000", Region, len(p.cas)+1)
	p.cas[arn] = &authority{
		key: key, chain: chain, status: types.CertificateAuthorityStatusActive,
		issued: map[string]*issue{}, tokens: map[string]*issue{},
	}
	return arn
}

// SetStatus sets a CA's state, such as DISABLED.
func (p *PCA) SetStatus(arn string, status types.CertificateAuthorityStatus) {
	p.set(func() { p.cas[arn].status = status })
}

// SetClock has the service's time be now's.
func (p *PCA) SetClock(now func() time.Time) { p.set(func() { p.now = now }) }

// SetInProgress has GetCertificate say n times that the request is in progress;
// once by default.
func (p *PCA) SetInProgress(n int) { p.set(func() { p.inProgress = n }) }

// SetAnswer has GetCertificate answer with what doctor makes of the right
// certificate and chain; nil ends it.
func (p *PCA) SetAnswer(doctor func(right ca.Certificate) ca.Certificate) {
	p.set(func() { p.answer = doctor })
}

// Fail has every call from now on end with an error of this code, such as
// ThrottlingException or AccessDeniedException; with "", no longer.
func (p *PCA) Fail(code string) { p.set(func() { p.fail = code }) }

// FailIssues has IssueCertificate take requests that then fail for this reason:
// GetCertificate says RequestFailedException. With "", no longer.
func (p *PCA) FailIssues(reason string) { p.set(func() { p.failure = reason }) }

func (p *PCA) set(do func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	do()
}

// Calls are all calls so far, those that failed too.
func (p *PCA) Calls() []Call {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.calls)
}

// Issued counts the certificates that a CA has issued.
func (p *PCA) Issued(arn string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.cas[arn].issued)
}

// refusal is an error of the service.
type refusal struct{ code, message string }

func (r *refusal) Error() string { return r.code + ": " + r.message }

func refuse(code, format string, args ...any) error {
	return &refusal{code, fmt.Sprintf(format, args...)}
}

// ServeHTTP speaks AWS JSON 1.1.
func (p *PCA) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	operation := strings.TrimPrefix(r.Header.Get("X-Amz-Target"), "ACMPrivateCA.")
	var body json.RawMessage
	err := json.NewDecoder(r.Body).Decode(&body)
	if err != nil {
		err = refuse("SerializationException", "the body is not JSON")
	}
	var answer any
	if err == nil {
		answer, err = p.respond(r, operation, body)
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	if refused, ok := err.(*refusal); ok { //nolint:errorlint // never wrapped
		if refused.code == NoAnswer {
			panic(http.ErrAbortHandler)
		}
		w.WriteHeader(status(refused.code))
		answer = map[string]string{"__type": refused.code, "message": refused.message}
	}
	_ = json.NewEncoder(w).Encode(answer)
}

func status(code string) int {
	switch code {
	case "InternalFailure", "InternalServerException":
		return http.StatusInternalServerError
	case "ServiceUnavailable":
		return http.StatusServiceUnavailable
	}
	return http.StatusBadRequest
}

func (p *PCA) respond(r *http.Request, operation string, body json.RawMessage) (any, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls = append(p.calls, Call{operation, string(body)})
	authorization := r.Header.Get("Authorization")
	switch {
	case p.fail != "":
		return nil, refuse(p.fail, "the canonical request was x-amz-security-token:%s", r.Header.Get("X-Amz-Security-Token"))
	case r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/x-amz-json-1.1":
		return nil, refuse("UnknownOperationException", "")
	case !strings.HasPrefix(authorization, "AWS4-HMAC-SHA256 Credential="+accessKey+"/") || !strings.Contains(authorization, "/"+Region+"/acm-pca/aws4_request"):
		return nil, refuse("MissingAuthenticationTokenException", "Missing Authentication Token")
	}
	switch operation {
	case "IssueCertificate":
		return p.issueCertificate(body)
	case "GetCertificate":
		return p.getCertificate(body)
	case "GetCertificateAuthorityCertificate":
		return p.getCACertificate(body)
	}
	return nil, refuse("UnknownOperationException", "")
}

func read(body json.RawMessage, to any) error {
	d := json.NewDecoder(strings.NewReader(string(body)))
	d.DisallowUnknownFields()
	if err := d.Decode(to); err != nil {
		return refuse("SerializationException", "%v", err)
	}
	return nil
}

func (p *PCA) find(arn string) (*authority, error) {
	if !strings.HasPrefix(arn, "arn:aws:acm-pca:") || !strings.Contains(arn, ":certificate-authority/") {
		return nil, refuse("InvalidArnException", "%s is not a valid ARN", arn)
	}
	found, ok := p.cas[arn]
	if !ok {
		return nil, refuse("ResourceNotFoundException", "Could not find Certificate Authority %s", arn)
	}
	return found, nil
}

func (p *PCA) getCACertificate(body json.RawMessage) (any, error) {
	var in struct{ CertificateAuthorityArn string }
	if err := read(body, &in); err != nil {
		return nil, err
	}
	a, err := p.find(in.CertificateAuthorityArn)
	if err != nil {
		return nil, err
	}
	if a.status == types.CertificateAuthorityStatusCreating || a.status == types.CertificateAuthorityStatusPendingCertificate {
		return nil, refuse("InvalidStateException", "The certificate authority is in the %s state and has no certificate", a.status)
	}
	return pemAnswer(ca.Certificate{Leaf: a.chain[0], Chain: a.chain[1:]}), nil
}

func pemAnswer(c ca.Certificate) map[string]string {
	answer := map[string]string{"Certificate": strings.TrimSpace(string(c.LeafPEM()))}
	if len(c.Chain) > 0 {
		answer["CertificateChain"] = strings.TrimSpace(string(c.Chain.PEM()))
	}
	return answer
}

func (p *PCA) getCertificate(body json.RawMessage) (any, error) {
	var in struct{ CertificateAuthorityArn, CertificateArn string }
	if err := read(body, &in); err != nil {
		return nil, err
	}
	a, err := p.find(in.CertificateAuthorityArn)
	if err != nil {
		return nil, err
	}
	found, ok := a.issued[in.CertificateArn]
	if !ok {
		return nil, refuse("ResourceNotFoundException", "Could not find Certificate %s", in.CertificateArn)
	}
	found.asked++
	switch {
	case found.asked <= p.inProgress:
		return nil, refuse("RequestInProgressException", "The request is still in progress")
	case found.failure != "":
		return nil, refuse("RequestFailedException", "%s", found.failure)
	}
	right := ca.Certificate{Leaf: found.cert, Chain: slices.Clone(a.chain)}
	if p.answer != nil {
		return pemAnswer(p.answer(right)), nil
	}
	return pemAnswer(right), nil
}

func (p *PCA) issueCertificate(body json.RawMessage) (any, error) {
	var in issueRequest
	if err := read(body, &in); err != nil {
		return nil, err
	}
	if err := in.validate(); err != nil {
		return nil, err
	}
	a, err := p.find(in.CertificateAuthorityArn)
	if err != nil {
		return nil, err
	}
	if a.status != types.CertificateAuthorityStatusActive {
		return nil, refuse("InvalidStateException", "The certificate authority %s is not in a valid state for issuing certificates, it is %s", in.CertificateAuthorityArn, a.status)
	}
	now := p.now()
	if token := in.IdempotencyToken; token != nil {
		if earlier, ok := a.tokens[*token]; ok && now.Sub(earlier.at) < 5*time.Minute {
			return map[string]string{"CertificateArn": earlier.arn}, nil
		}
	}
	template, err := in.certificate(a, now)
	if err != nil {
		return nil, err
	}
	csr, err := in.csr()
	if err != nil {
		return nil, err
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.chain[0], csr.PublicKey, a.key)
	if err != nil {
		return nil, refuse("InvalidArgsException", "%v", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, refuse("InvalidArgsException", "%v", err)
	}
	i := &issue{
		arn: fmt.Sprintf("%s/certificate/%032x", in.CertificateAuthorityArn, cert.SerialNumber),
		at:  now, cert: cert, failure: p.failure,
	}
	a.issued[i.arn] = i
	if in.IdempotencyToken != nil {
		a.tokens[*in.IdempotencyToken] = i
	}
	return map[string]string{"CertificateArn": i.arn}, nil
}
