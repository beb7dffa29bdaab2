package playground

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"html"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"keyturn/internal/localaws"
)

// Approver answers links the way a person does: reads the message, opens the
// link, reads the page, sends the form.

var (
	linkPattern  = regexp.MustCompile(`(?m)^https?://\S+/a/[A-Za-z0-9_-]+$`)
	titlePattern = regexp.MustCompile(`(?s)<h1[^>]*>(.*?)</h1>`)
	tagPattern   = regexp.MustCompile(`<[^>]*>`)
	fieldPattern = regexp.MustCompile(`<input[^>]*\bname="form"[^>]*\bvalue="([^"]*)"`)
)

// Mail waits for the next mail to an address whose subject names the label;
// those before the given time do not count.
func (p *Playground) Mail(ctx context.Context, to, label string, after time.Time) (localaws.Mail, error) {
	var found localaws.Mail
	err := every(ctx, poll, func() (bool, error) {
		mails, err := p.Cloud.Mails(ctx)
		if err != nil {
			return false, err
		}
		for _, m := range mails {
			if m.At.After(after) && strings.Contains(m.Subject, label) && strings.Join(m.To, ",") == to {
				found = m
				return true, nil
			}
		}
		return false, nil
	})
	if err != nil {
		return found, fmt.Errorf("playground: no mail to %s about %s: %w", to, label, err)
	}
	return found, nil
}

// Link finds the approver's link in a message.
func Link(message string) (string, error) {
	link := linkPattern.FindString(message)
	if link == "" {
		return "", errors.New("playground: the message has no link")
	}
	return link, nil
}

// Certificate finds the new certificate in a message, in PEM: the first one, which
// those of the CA follow.
func Certificate(message string) ([]byte, error) {
	for block, rest := pem.Decode([]byte(message)); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			return pem.EncodeToMemory(block), nil
		}
	}
	return nil, errors.New("playground: the message has no certificate")
}

// Page is an answer of the page behind a link.
type Page struct {
	Status int
	Header http.Header
	HTML   string
}

// Title is the page's heading.
func (p Page) Title() string {
	m := titlePattern.FindStringSubmatch(p.HTML)
	if m == nil {
		return ""
	}
	return html.UnescapeString(strings.TrimSpace(tagPattern.ReplaceAllString(m[1], "")))
}

// Text is what the page says, from its heading on.
func (p Page) Text() string {
	_, body, _ := strings.Cut(p.HTML, "<h1")
	body, _, _ = strings.Cut("<h1"+body, "<script")
	return html.UnescapeString(strings.Join(strings.Fields(tagPattern.ReplaceAllString(body, " ")), " "))
}

// Form is the token of the form that the page shows, which goes with an answer;
// empty where it shows none.
func (p Page) Form() string {
	m := fieldPattern.FindStringSubmatch(p.HTML)
	if m == nil {
		return ""
	}
	return html.UnescapeString(m[1])
}

// Visitor opens pages behind links and sends their forms.
type Visitor struct {
	// Client is what the pages are reached with.
	Client *http.Client
}

// Open gets the page behind a link; it decides nothing.
func (v Visitor) Open(ctx context.Context, link string) (Page, error) {
	return v.page(ctx, http.MethodGet, link, nil)
}

// Post sends fields to a link as they are.
func (v Visitor) Post(ctx context.Context, link string, fields url.Values) (Page, error) {
	return v.page(ctx, http.MethodPost, link, fields)
}

// Answer opens the link, and sends the form that the page shows with the
// decision "confirm" or "reject". The name is needed where the link names
// nobody.
func (v Visitor) Answer(ctx context.Context, link, decision, name, comment string) (Page, error) {
	return v.answer(ctx, link, url.Values{"decision": {decision}, "name": {name}, "comment": {comment}}, nil)
}

// HandIn opens the link to a request for a certificate, and sends the form that
// the page shows with the certificate as a file, in whatever form it is.
func (v Visitor) HandIn(ctx context.Context, link string, certificate []byte, name, comment string) (Page, error) {
	return v.answer(ctx, link, url.Values{"decision": {"hand-in"}, "name": {name}, "comment": {comment}}, certificate)
}

// answer sends the form as a browser does: as the form itself says.
func (v Visitor) answer(ctx context.Context, link string, fields url.Values, file []byte) (Page, error) {
	shown, err := v.Open(ctx, link)
	if err != nil {
		return shown, err
	}
	token := shown.Form()
	if token == "" {
		return shown, fmt.Errorf("playground: the page (status %d) has no form: %s", shown.Status, shown.Text())
	}
	fields.Set("form", token)
	if !strings.Contains(shown.HTML, `enctype="multipart/form-data"`) {
		return v.Post(ctx, link, fields)
	}
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	for name := range fields {
		err = errors.Join(err, form.WriteField(name, fields.Get(name)))
	}
	part, failed := form.CreateFormFile("file", "certificate.pem")
	if failed == nil {
		_, failed = part.Write(file)
	}
	if err = errors.Join(err, failed, form.Close()); err != nil {
		return Page{}, fmt.Errorf("playground: form: %w", err)
	}
	return v.send(ctx, http.MethodPost, link, form.FormDataContentType(), &body)
}

func (v Visitor) page(ctx context.Context, method, link string, fields url.Values) (Page, error) {
	return v.send(ctx, method, link, "application/x-www-form-urlencoded", strings.NewReader(fields.Encode()))
}

func (v Visitor) send(ctx context.Context, method, link, contentType string, sent io.Reader) (Page, error) {
	r, err := http.NewRequestWithContext(ctx, method, link, sent)
	if err != nil {
		return Page{}, fmt.Errorf("playground: link: %w", err)
	}
	if method == http.MethodPost {
		r.Header.Set("Content-Type", contentType)
	}
	response, err := v.Client.Do(r)
	if err != nil {
		return Page{}, fmt.Errorf("playground: link: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return Page{}, fmt.Errorf("playground: link: %w", err)
	}
	return Page{Status: response.StatusCode, Header: response.Header, HTML: string(body)}, nil
}
