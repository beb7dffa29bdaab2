package simulated

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"keyturn/internal/partner"
	"keyturn/internal/playground"
	"keyturn/internal/rotation"
)

// Partner is the other side of the target: a real SAML library, which holds two
// certificates. A user signs in after everything that may change whether that
// works.
type Partner struct {
	partner.Partner

	w  *World
	mu sync.Mutex
	// tried are the sign-ins so far, by what decides how they end: the target's
	// document, and how many certificates were uploaded.
	tried   map[string]error
	uploads int
	// lockedOut says after what a user could not sign in.
	lockedOut []string
}

func newPartner(w *World) *Partner {
	p := &Partner{w: w, tried: map[string]error{}}
	if w.Target.Kind == rotation.KindIDP {
		p.Partner = partner.ForIDP(w.Org, w.Target.ID, partner.Options{})
	} else {
		p.Partner = partner.ForApp(w.Org, w.Target.ID, partner.Options{})
	}
	return p
}

// upload gives the partner the certificate that came with a mail.
func (p *Partner) upload(ctx context.Context, certPEM []byte) {
	if err := p.Upload(certPEM); err != nil {
		panic(err) // a mail of ours brought it
	}
	p.mu.Lock()
	p.uploads++
	p.mu.Unlock()
	p.look(ctx, "upload")
}

// SignsIn has a user sign in, and tells why that did not work.
func (p *Partner) SignsIn(ctx context.Context) error {
	p.mu.Lock()
	state := fmt.Sprintf("%d %s", p.uploads, p.w.Document())
	err, known := p.tried[state]
	p.mu.Unlock()
	if known {
		return err
	}
	err = p.SignIn(ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tried[state] = err
	return err
}

func (p *Partner) look(ctx context.Context, after string) {
	if !p.w.Exists() {
		return
	}
	if err := p.SignsIn(ctx); err != nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.lockedOut = append(p.lockedOut, after+": "+err.Error())
	}
}

// LockedOut says after what users could not sign in, and why.
func (p *Partner) LockedOut() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string{}, p.lockedOut...)
}

// Person is an approver, who reads mails and answers their links.
type Person struct {
	World *World
	// Address is where the mails go; empty for those of everybody.
	Address string
	// Delay passes between a mail and its answer.
	Delay time.Duration
	// Answers gives the decision to a mail: "confirm", "reject", or "" for none.
	Answers func(m Mail) string
	// Pages are what the person has seen, by heading.
	pages []string
	mu    sync.Mutex
}

// patience is how often a person tries a page that fails.
const patience = 30

// Attend has the person read mails until ctx ends; done is closed then.
func (p *Person) Attend(ctx context.Context, mails <-chan Mail) (done <-chan struct{}) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		var all sync.WaitGroup
		defer all.Wait()
		for {
			select {
			case <-ctx.Done():
				return
			case m := <-mails:
				if p.Address == "" || m.To == p.Address {
					all.Go(func() { p.read(ctx, m) })
				}
			}
		}
	}()
	return ended
}

// read answers one message: the person does what the page asks for, and says
// so. A page that fails is tried again an hour later.
func (p *Person) read(ctx context.Context, m Mail) {
	link, err := playground.Link(m.Text)
	if err != nil {
		return // a mail that asks for nothing
	}
	if !pause(ctx, p.Delay) {
		return
	}
	decision := p.Answers(m)
	if decision == "" {
		return
	}
	visitor := playground.Visitor{Client: &http.Client{Transport: pageTransport{p.World}}}
	for range patience {
		shown, err := visitor.Open(ctx, link)
		if err == nil && shown.Status < http.StatusInternalServerError {
			if !strings.Contains(shown.HTML, `name="form"`) {
				p.saw(shown)
				return // nothing is asked any more
			}
			shown, err = p.do(ctx, visitor, link, shown, m, decision)
			if err == nil && shown.Status < http.StatusInternalServerError {
				p.saw(shown)
				return
			}
		}
		if !pause(ctx, time.Hour) {
			return
		}
	}
}

// do does what the page asks for, and sends its form: the person has the CSR
// signed, or uploads the certificate. Both are in the mail, or behind the link
// where there was none.
func (p *Person) do(ctx context.Context, v playground.Visitor, link string, shown playground.Page, m Mail, decision string) (playground.Page, error) {
	name := ""
	if strings.Contains(shown.HTML, `name="name"`) {
		name = "the SSO team" // the link names nobody
	}
	if decision != "confirm" {
		return v.Answer(ctx, link, decision, name, "simulated")
	}
	if strings.Contains(shown.HTML, `value="hand-in"`) {
		csr, page, err := p.file(ctx, v, link, m, "CERTIFICATE REQUEST", "request.csr")
		if csr == nil {
			return page, err
		}
		return v.HandIn(ctx, link, p.World.sign(ctx, csr), name, "simulated")
	}
	certificate, page, err := p.file(ctx, v, link, m, "CERTIFICATE", "certificate.pem")
	if certificate == nil {
		return page, err
	}
	p.World.Partner.upload(ctx, certificate)
	return v.Answer(ctx, link, decision, name, "simulated")
}

// file is a file of the mail, or behind the link; nil where the page does not
// give it.
func (p *Person) file(ctx context.Context, v playground.Visitor, link string, m Mail, block, download string) ([]byte, playground.Page, error) {
	for name, content := range m.Attached {
		if b, _ := pem.Decode(content); b != nil && b.Type == block && !strings.HasSuffix(name, "-chain.pem") {
			return content, playground.Page{}, nil
		}
	}
	page, err := v.Open(ctx, link+"/"+download)
	if err != nil || page.Status != http.StatusOK {
		return nil, page, err
	}
	return []byte(page.HTML), page, nil
}

func (p *Person) saw(page playground.Page) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pages = append(p.pages, page.Title())
}

// Pages are the headings of the pages that the person was shown at the end.
func (p *Person) Pages() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string{}, p.pages...)
}

// pause waits, if ctx does not end before.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// Mailbox is where the mails of all people arrive.
func (w *World) Mailbox() <-chan Mail { return w.cloud.heard }

// pageTransport is the way from a browser through the Function URL to the page.
type pageTransport struct{ w *World }

// RoundTrip calls the page's function as a Function URL does: an error of it is
// a 502.
func (t pageTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
	}
	in := events.LambdaFunctionURLRequest{RawPath: r.URL.EscapedPath(), RawQueryString: r.URL.RawQuery, Body: string(body), Headers: map[string]string{"host": r.URL.Host}}
	for name := range r.Header {
		in.Headers[strings.ToLower(name)] = r.Header.Get(name)
	}
	in.RequestContext.DomainName = r.URL.Host
	in.RequestContext.HTTP.Method, in.RequestContext.HTTP.SourceIP = r.Method, "198.51.100.7"
	payload, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	out, failure := t.w.invoke(r.Context(), pageState, pageFunction, payload)
	if failure != nil {
		return answer(r, http.StatusBadGateway, http.Header{}, "Internal Server Error"), nil //nolint:nilerr // a Function URL answers
	}
	var reply events.LambdaFunctionURLResponse
	if err := json.Unmarshal(out, &reply); err != nil {
		return nil, fmt.Errorf("simulated: the page's answer: %w", err)
	}
	h := http.Header{}
	for name, value := range reply.Headers {
		h.Set(name, value)
	}
	return answer(r, reply.StatusCode, h, reply.Body), nil
}
