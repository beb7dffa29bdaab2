package workflow

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"keyturn/internal/approval"
	"keyturn/internal/playground"
)

// undecided checks that the rotation still waits for its first answer.
func (r *running) undecided() {
	r.t.Helper()
	if out := r.describe(); out.StopDate != nil {
		r.t.Errorf("the rotation has ended %s: %s%s", out.Status, aws.ToString(out.Output), aws.ToString(out.Cause))
	}
}

// visit sends any request to a link.
func (s *scene) visit(method, link, body string) (status int, header http.Header, text string) {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.ctx, method, link, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	response, err := s.p.Cloud.FunctionURLClient().Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return response.StatusCode, response.Header, string(content)
}

// form is the hidden field of the page behind a link.
func (s *scene) form(link string) string {
	s.t.Helper()
	_, _, text := s.visit(http.MethodGet, link, "")
	form := playground.Page{HTML: text}.Form()
	if form == "" {
		s.t.Fatalf("the page has no form: %s", text)
	}
	return form
}

// sealer opens and makes links as the stack does.
func sealer(ctx context.Context, t *testing.T) *approval.Sealer {
	t.Helper()
	out, err := secretsmanager.NewFromConfig(stack.Cloud.Config()).GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: aws.String("keyturn/link-key")})
	if err != nil {
		t.Fatal(err)
	}
	s, err := approval.NewSealer([]byte(*out.SecretString))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestOnlyTheFormOfThePageDecides(t *testing.T) {
	parallel(t)
	s := app(t)
	r := s.rotate(nil)
	link := r.link(playground.Approver)
	another := app(t)
	foreign := another.rotate(nil)
	foreignLink := foreign.link(playground.Approver)
	foreignForm := s.form(foreignLink)
	base, sealed, _ := strings.Cut(link, "/a/")

	claim, err := sealer(s.ctx, t).Open(sealed, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	claim.Expires = time.Now().Add(-time.Minute)
	expired, err := sealer(s.ctx, t).Seal(claim)
	if err != nil {
		t.Fatal(err)
	}
	foreignKey, err := approval.NewSealer([]byte(strings.Repeat("another key ", 4)))
	if err != nil {
		t.Fatal(err)
	}
	claim.Expires = time.Now().Add(time.Hour)
	forged, err := foreignKey.Seal(claim)
	if err != nil {
		t.Fatal(err)
	}
	middle := len(sealed) / 2
	flipped := "A"
	if sealed[middle] == 'A' {
		flipped = "B"
	}
	altered := sealed[:middle] + flipped + sealed[middle+1:]
	yes := func(form string) string {
		return url.Values{"form": {form}, "decision": {"confirm"}, "comment": {""}}.Encode()
	}

	for _, c := range []struct {
		name, method, link, body string
		status                   int
	}{
		{"a mail scanner opens it", http.MethodGet, link, "", 200},
		{"a chat's preview looks at it", http.MethodHead, link, "", 200},
		{"a GET with the form's fields", http.MethodGet, link + "?" + yes(s.form(link)), "", 200},
		{"a POST of nothing", http.MethodPost, link, "", 403},
		{"a POST without the form's token", http.MethodPost, link, "decision=confirm&comment=x", 403},
		{"a POST with a token that somebody made up", http.MethodPost, link, yes("AAAAAGWS0YAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"), 403},
		{"a POST with the token of another link's form", http.MethodPost, link, yes(foreignForm), 403},
		{"a POST with the fields in the address", http.MethodPost, link + "?" + yes(s.form(link)), "", 403},
		{"a rejection without a reason", http.MethodPost, link, url.Values{"form": {s.form(link)}, "decision": {"reject"}, "comment": {"  "}}.Encode(), 422},
		{"a decision that does not exist", http.MethodPost, link, url.Values{"form": {s.form(link)}, "decision": {"maybe"}}.Encode(), 422},
		{"an answer that is too long", http.MethodPost, link, yes(s.form(link)) + strings.Repeat("x", 20<<10), 413},
		{"PUT", http.MethodPut, link, yes(s.form(link)), 405},
		{"DELETE", http.MethodDelete, link, "", 405},
		{"an altered link", http.MethodGet, base + "/a/" + altered, "", 404},
		{"an altered link's POST", http.MethodPost, base + "/a/" + altered, yes(s.form(link)), 404},
		{"a link that a mail program broke", http.MethodGet, link[:len(link)-20], "", 404},
		{"a link with something at its end", http.MethodGet, link + "A", "", 404},
		{"garbage", http.MethodGet, base + "/a/garbage", "", 404},
		{"no link", http.MethodGet, base + "/a/", "", 404},
		{"another address", http.MethodGet, base + "/", "", 404},
		{"a link sealed with another key", http.MethodPost, base + "/a/" + forged, yes(s.form(link)), 404},
		{"an expired link", http.MethodGet, base + "/a/" + expired, "", 410},
		{"an expired link's POST", http.MethodPost, base + "/a/" + expired, yes(s.form(link)), 410},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, header, text := s.of(t).visit(c.method, c.link, c.body)
			if status != c.status {
				t.Errorf("the page answers %d, not %d: %s", status, c.status, text)
			}
			same(t, "Cache-Control", "no-store", header.Get("Cache-Control"))
			if strings.Contains(text, claim.TaskToken) {
				t.Error("the page shows the task token")
			}
			r.undecided()
			foreign.undecided()
		})
	}

	r.answer("confirm", "now for good")
	ended(t, "Completed", r.end())
	foreign.undecided()
	s.decide(foreignLink, "reject", "", "only this one")
	ended(t, "GaveUp", foreign.end())
}

func TestALinkIsAnsweredOnce(t *testing.T) {
	parallel(t)
	t.Run("the first answer counts", func(t *testing.T) {
		t.Parallel()
		s := app(t)
		r := s.rotate(nil)
		link := r.link(playground.Approver)
		form := s.form(link) // opened in two windows
		s.decide(link, "confirm", "", "first")
		for _, decision := range []string{"reject", "confirm"} {
			page, err := s.p.Post(s.ctx, link, url.Values{"form": {form}, "decision": {decision}, "comment": {"second"}})
			if err != nil {
				t.Fatal(err)
			}
			if page.Status != http.StatusConflict || page.Title() != "This request is answered already" {
				t.Errorf("a second answer (%s) gets %d %q", decision, page.Status, page.Title())
			}
		}
		report := r.end()
		ended(t, "Completed", report)
		same(t, "comment", "first", report.Decision.Comment)
	})
	t.Run("of two approvers each has a link, and the decision names who answered", func(t *testing.T) {
		t.Parallel()
		s := app(t)
		r := s.rotate(policy{"approvers": []string{"first@example.com", "second@example.com"}})
		first, second := r.link("first@example.com"), r.link("second@example.com")
		if first == second {
			t.Fatal("both approvers have the same link")
		}
		form := s.form(first)
		s.decide(second, "reject", "somebody else", "I was asked second")
		page, err := s.p.Post(s.ctx, first, url.Values{"form": {form}, "decision": {"confirm"}})
		if err != nil {
			t.Fatal(err)
		}
		same(t, "the page for the other one", http.StatusConflict, page.Status)
		if !strings.Contains(page.HTML, "second@example.com") {
			t.Error("the page does not say who was faster")
		}
		report := r.end()
		ended(t, "GaveUp", report)
		same(t, "who decided", "second@example.com", report.Decision.By)
		s.unchanged()
	})
	t.Run("a rotation that has ended takes no answer", func(t *testing.T) {
		t.Parallel()
		s := app(t)
		r := s.rotate(policy{"giveUpDays": oneDay})
		link := r.link(playground.Approver)
		ended(t, "GaveUp", r.end())
		page, err := s.p.Open(s.ctx, link)
		if err != nil {
			t.Fatal(err)
		}
		same(t, "the page", http.StatusGone, page.Status)
		same(t, "its title", "The rotation has ended", page.Title())
		s.unchanged()
	})
}

func TestTheMessageSaysWhatToDo(t *testing.T) {
	parallel(t)
	for _, kind := range bothKinds {
		for _, order := range []string{"before-switch", "after-switch"} {
			t.Run(string(kind)+" "+order, func(t *testing.T) {
				t.Parallel()
				s := either(t, kind)
				r := s.rotate(policy{"uploadOrder": order, "giveUpDays": 20})
				mail := r.request(playground.Approver)
				same(t, "sender", playground.Sender, mail.From)
				wants := []string{
					s.target.Label, s.target.ID, "Example Demo CA", "-----BEGIN CERTIFICATE-----",
					s.certificate(s.oldKid).NotAfter.UTC().Format("2 January 2006"),
					time.Now().AddDate(0, 0, 20).UTC().Format("2 January 2006"),
				}
				if order == "after-switch" {
					wants = append(wants, "ALREADY")
				} else {
					wants = append(wants, "right after you confirm")
				}
				if kind == "idp" {
					wants = append(wants, "decrypts")
				}
				for _, want := range wants {
					if !strings.Contains(mail.Text, want) {
						t.Errorf("the message does not say %q:\n%s", want, mail.Text)
					}
				}
				r.answer("confirm", "")
				ended(t, "Completed", r.end())
			})
		}
	}
}
