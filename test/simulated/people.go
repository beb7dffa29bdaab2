package simulated

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"keyturn/internal/playground"
)

// Person is an approver, who reads mails and answers their links.
type Person struct {
	World *World
	// Address is where the mails go; empty for those of everybody.
	Address string
	// Delay passes between a mail and its answer.
	Delay time.Duration
	// Answers gives the decision to a mail: one of those below, or "" for none.
	Answers func(m Mail) string
	// Imports has the person import Okta's metadata at the partner: after the
	// switch instead of the certificate, and before it besides.
	Imports bool
	// Pages are what the person has seen, by heading.
	pages []string
	// refused are files from the page that the partner did not take.
	refused []error
	mu      sync.Mutex
}

// What a person decides. All but Reject do what is asked for.
const (
	Confirm  = "confirm"   // uploaded; sign-in works
	Reject   = "reject"    // it cannot be done
	Plan     = "plan"      // uploaded; Okta is to switch in some hours
	CallOff  = "call-off"  // as Plan, which is then called off, and confirmed when asked again
	RollBack = "roll-back" // uploaded; sign-in does not work
	Leave    = "leave"     // uploaded; what comes then is not answered
)

// planned is what a person plans ahead.
const planned = 5 * time.Hour

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
			if shown.Form() == "" {
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
	asks := func(answer string) bool { return strings.Contains(shown.HTML, `value="`+answer+`"`) }
	switch {
	case asks("call-off"):
		if decision != CallOff {
			return shown, nil // the plan stands
		}
		return v.Answer(ctx, link, "call-off", name, "simulated")
	case asks("works"):
		switch decision {
		case Leave:
			return shown, nil
		case RollBack:
			return v.Answer(ctx, link, "roll-back", name, "simulated")
		}
		return v.Answer(ctx, link, "works", name, "simulated")
	case decision == Reject:
		return v.Answer(ctx, link, "reject", name, "simulated")
	case asks("hand-in"):
		csr, page, err := p.file(ctx, v, link, m, "CERTIFICATE REQUEST", "request.csr")
		if csr == nil {
			return page, err
		}
		return v.HandIn(ctx, link, p.World.sign(ctx, csr), name, "simulated")
	}
	if page, err := p.upload(ctx, v, link, m, asks("plan")); err != nil || page.Status != http.StatusOK {
		return page, err
	}
	if decision == Plan || decision == CallOff && !strings.Contains(shown.HTML, "called the planned switch off") {
		at := time.Now().UTC().Add(planned)
		return v.Post(ctx, link, url.Values{
			"form": {shown.Form()}, "decision": {"plan"}, "name": {name}, "comment": {"simulated"},
			"date": {at.Format(time.DateOnly)}, "time": {at.Format("15:04")}, "zone": {"UTC"},
		})
	}
	return v.Answer(ctx, link, "confirm", name, "simulated")
}

// upload gives the partner what Okta is to use, or uses already. The page is
// one that failed, if any did.
func (p *Person) upload(ctx context.Context, v playground.Visitor, link string, m Mail, before bool) (playground.Page, error) {
	if p.Imports {
		page, err := v.Open(ctx, link+"/metadata.xml")
		if err != nil || page.Status != http.StatusOK {
			return page, err
		}
		if before {
			_, err = certificatesIn([]byte(page.HTML))
		} else {
			err = p.World.Partner.imports(ctx, []byte(page.HTML))
		}
		if err != nil {
			p.refuse(err)
		}
		if err != nil || !before {
			return page, err
		}
	}
	certificate, page, err := p.file(ctx, v, link, m, "CERTIFICATE", "certificate.pem")
	if certificate != nil {
		p.World.Partner.upload(ctx, certificate)
		page.Status = http.StatusOK
	}
	return page, err
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

// refuse notes what the partner does not take: it is tried again later, as a
// page that fails.
func (p *Person) refuse(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refused = append(p.refused, err)
}

// Refused is why the partner did not take what the page gave.
func (p *Person) Refused() []error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]error{}, p.refused...)
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
