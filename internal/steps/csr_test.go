package steps_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"keyturn/internal/oktasim"
	"keyturn/internal/rotation"
	"keyturn/internal/steps"
)

func parse(t *testing.T, request string) *x509.CertificateRequest {
	t.Helper()
	der, err := base64.StdEncoding.DecodeString(request)
	if err != nil {
		t.Fatal(err)
	}
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil {
		t.Fatal(err)
	}
	return csr
}

// ids are those of the CSRs that are pending, the oldest first.
func (l *lab) ids() []string {
	var ids []string
	for _, c := range l.pending() {
		ids = append(ids, c.ID)
	}
	return ids
}

// foreign has another tool generate a CSR, with a subject and names of its own.
func (l *lab) foreign(body string) {
	l.t.Helper()
	url := l.server.URL + "/api/v1/" + l.kind() + "s/" + l.target.ID + "/credentials/csrs"
	r, err := http.NewRequestWithContext(l.t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		l.t.Fatal(err)
	}
	r.Header.Set("Authorization", "SSWS "+token)
	r.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		l.t.Fatal(err)
	}
	if err := response.Body.Close(); err != nil || response.StatusCode != http.StatusCreated {
		l.t.Fatalf("%s, %v", response.Status, err)
	}
	l.org.ResetCalls()
}

func TestCSRIsGeneratedWithThePolicysSubject(t *testing.T) {
	forBothKinds(t, func(t *testing.T, l *lab) {
		l.policy.Subject = rotation.Subject{CountryName: "US", StateOrProvinceName: "California", LocalityName: "San José",
			OrganizationName: "Example, Inc.", OrganizationalUnitName: "{id}", CommonName: "{label} SAML"}
		out := l.generate()
		if out.Reused || out.CSR.ID == "" {
			t.Errorf("output %+v, want a new CSR", out)
		}
		s := parse(t, out.CSR.Request).Subject
		got := fmt.Sprint(s.Country, s.Province, s.Locality, s.Organization, s.OrganizationalUnit, []string{s.CommonName})
		want := fmt.Sprint([]string{"US"}, []string{"California"}, []string{"San José"}, []string{"Example, Inc."}, []string{l.target.ID}, []string{l.target.Label + " SAML"})
		if got != want {
			t.Errorf("subject %s, want %s", got, want)
		}
		wantCalls(t, l.org, l.operation("csrs"), l.operation("generate"))
		if again := l.generate(); !again.Reused {
			t.Error("the subject is not recognised as ours")
		}
	})
}

func TestPendingCSRThatIsOursIsUsedAgain(t *testing.T) {
	forBothKinds(t, func(t *testing.T, l *lab) {
		first := l.generate()
		l.org.ResetCalls()
		again := l.generate()
		if !again.Reused || again.CSR != first.CSR {
			t.Errorf("again: %+v, want the first, reused: %+v", again, first)
		}
		wantCalls(t, l.org, l.operation("csrs"))
	})
}

func TestOfSeveralPendingCSRsTheNewestIsUsed(t *testing.T) {
	forBothKinds(t, func(t *testing.T, l *lab) {
		subject := l.policy.Subject.For(l.target)
		var newest string
		for _, minute := range []time.Duration{1, 3, 2} {
			l.ahead.Store(int64(minute * time.Minute))
			csr, err := l.okta.GenerateCSR(t.Context(), l.target, subject)
			if err != nil {
				t.Fatal(err)
			}
			if minute == 3 {
				newest = csr.ID
			}
		}
		if out := l.generate(); !out.Reused || out.CSR.ID != newest {
			t.Errorf("output %+v, want the newest, %s", out, newest)
		}
	})
}

// foreignCSRs are requests that an administrator or another tool left, and
// that differ from ours in one thing each.
func foreignCSRs(l *lab) map[string]string {
	l.policy.Subject.OrganizationName = "Example"
	subject := l.policy.Subject.For(l.target)
	ours, name := asJSON(l.t, subject), asJSON(l.t, subject.CommonName)
	return map[string]string{
		"another common name": `{"subject":{"commonName":"sso.example.com","organizationName":"Example"}}`,
		"a further attribute": `{"subject":` + strings.TrimSuffix(ours, "}") + `,"localityName":"Other"}}`,
		"a DNS name":          `{"subject":` + ours + `,"subjectAltNames":{"dnsNames":["sso.example.com"]}}`,
		"a missing attribute": `{"subject":{"commonName":` + name + `}}`,
		"another attribute":   `{"subject":{"commonName":` + name + `,"organizationalUnitName":"Example"}}`,
		"another spelling":    `{"subject":{"commonName":` + name + `,"organizationName":"EXAMPLE"}}`,
	}
}

func TestPendingCSROfSomebodyElseIsLeftAlone(t *testing.T) {
	forBothKinds(t, func(t *testing.T, l *lab) {
		for _, body := range foreignCSRs(l) {
			l.foreign(body)
		}
		others := l.ids()
		out := l.generate()
		if out.Reused || slices.Contains(others, out.CSR.ID) {
			t.Errorf("output %+v, want a new CSR", out)
		}
		revoked, err := steps.RevokeCSR{Okta: l.okta}.Run(t.Context(), rotation.RevokeCSRInput{Target: l.target, Policy: l.policy})
		if err != nil || !slices.Equal(revoked.Revoked, []string{out.CSR.ID}) {
			t.Errorf("revoked %q, %v; want ours only, %s", revoked.Revoked, err, out.CSR.ID)
		}
		if got := l.ids(); !slices.Equal(got, others) {
			t.Errorf("pending %q, want the others' %q", got, others)
		}
	})
}

func TestPendingCSRThatCannotBeReadIsLeftAlone(t *testing.T) {
	for what, request := range map[string]string{"not base64": "!", "not a request": "AAAA"} {
		t.Run(what, func(t *testing.T) {
			l := newLab(t, rotation.KindApp)
			ours := l.generate().CSR
			l.okta = l.rewriting("/credentials/csrs", func(body string) string {
				if !strings.HasPrefix(body, "[") {
					return body
				}
				return strings.ReplaceAll(body, ours.Request, request)
			})
			if out := l.generate(); out.Reused {
				t.Errorf("output %+v, want a new CSR", out)
			}
		})
	}
}

// Okta's API has no field for these names; a request that has them came another
// way.
func TestPendingCSRWithFurtherNamesIsLeftAlone(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	l := newLab(t, rotation.KindApp)
	subject := l.policy.Subject.For(l.target)
	ours := l.generate().CSR
	for what, c := range map[string]struct {
		change func(*x509.CertificateRequest)
		reused bool
	}{
		"none":             {func(*x509.CertificateRequest) {}, true},
		"a serial number":  {func(r *x509.CertificateRequest) { r.Subject.SerialNumber = "7" }, false},
		"a second name":    {func(r *x509.CertificateRequest) { r.Subject.Organization = []string{"", ""} }, false},
		"a mail address":   {func(r *x509.CertificateRequest) { r.EmailAddresses = []string{"sso-team@example.com"} }, false},
		"an IP address":    {func(r *x509.CertificateRequest) { r.IPAddresses = []net.IP{{192, 0, 2, 1}} }, false},
		"an address (URI)": {func(r *x509.CertificateRequest) { r.URIs = []*url.URL{{Scheme: "https", Host: "example.com"}} }, false},
	} {
		t.Run(what, func(t *testing.T) {
			l.t = t
			template := &x509.CertificateRequest{Subject: pkix.Name{CommonName: subject.CommonName}}
			c.change(template)
			der, err := x509.CreateCertificateRequest(rand.Reader, template, key)
			if err != nil {
				t.Fatal(err)
			}
			l.okta = l.rewriting("/credentials/csrs", func(body string) string {
				return strings.ReplaceAll(body, ours.Request, base64.StdEncoding.EncodeToString(der))
			})
			out := l.generate()
			if out.Reused != c.reused {
				t.Errorf("used again: %v, want %v", out.Reused, c.reused)
			}
			if !out.Reused {
				if _, err := l.revoke(&out.CSR); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func TestNewLabelNeedsANewCSR(t *testing.T) {
	forBothKinds(t, func(t *testing.T, l *lab) {
		before := l.generate().CSR
		l.target.Label = "Renamed"
		out := l.generate()
		if out.Reused {
			t.Error("the CSR with the label from before is used again")
		}
		if got := parse(t, out.CSR.Request).Subject.CommonName; got != "Renamed SAML signing" {
			t.Errorf("common name %q", got)
		}
		if got := l.ids(); !slices.Equal(got, []string{before.ID, out.CSR.ID}) {
			t.Errorf("pending %q, want the old one, left alone, and the new one", got)
		}
	})
}

func TestLongLabelIsShortenedToWhatACertificateTakes(t *testing.T) {
	for what, label := range map[string]string{
		"ASCII":                     strings.Repeat("Salesforce ", 9),
		"not ASCII":                 strings.Repeat("会社", 40),
		"a space where it is cut":   strings.Repeat("a", 51) + " " + strings.Repeat("b", 50),
		"spaces around it":          "  Customs  ",
		"exactly as long as can be": strings.Repeat("x", 64-len(" SAML signing")),
	} {
		t.Run(what, func(t *testing.T) {
			l := newLab(t, rotation.KindApp)
			l.target.Label = label
			out := l.generate()
			name := parse(t, out.CSR.Request).Subject.CommonName
			if n := utf8.RuneCountInString(name); n > 64 || !strings.HasSuffix(name, " SAML signing") || name != strings.TrimSpace(name) {
				t.Errorf("common name %q of %d characters", name, n)
			}
			if again := l.generate(); !again.Reused {
				t.Error("the shortened subject is not recognised as ours")
			}
		})
	}
}

func TestShortenedTextsOfEveryFieldAreRecognisedAsOurs(t *testing.T) {
	forBothKinds(t, func(t *testing.T, l *lab) {
		l.target.Label = strings.Repeat("Zürich ", 40)
		l.policy.Subject = rotation.Subject{CountryName: "CH", StateOrProvinceName: "{label}", LocalityName: "{id} {label}",
			OrganizationName: "{label}, Inc.", OrganizationalUnitName: "{label}/{label}", CommonName: "{label}"}
		out := l.generate()
		s := parse(t, out.CSR.Request).Subject
		for field, c := range map[string]struct {
			text string
			most int
		}{
			"ST": {s.Province[0], 128}, "L": {s.Locality[0], 128}, "O": {s.Organization[0], 64}, "OU": {s.OrganizationalUnit[0], 64}, "CN": {s.CommonName, 64},
		} {
			if n := utf8.RuneCountInString(c.text); n > c.most || n < c.most-7 {
				t.Errorf("%s has %d characters, want up to %d: %q", field, n, c.most, c.text)
			}
		}
		if again := l.generate(); !again.Reused || again.CSR != out.CSR {
			t.Errorf("again: %+v, want the first, reused", again)
		}
	})
}

func TestSubjectThatX509DoesNotTakeIsRefusedBeforeAnyCall(t *testing.T) {
	for what, c := range map[string]struct {
		kind    rotation.Kind
		subject rotation.Subject
		label   string
		want    string // after policy.subject., %s is the target
	}{
		"no app name": {rotation.KindIDP, rotation.Subject{CommonName: "{name}"}, "Partner",
			`commonName is "{name}", which is empty for %s (Partner), since an IdP has no app name: use {label} or {id}, or another text in a rule for IdPs`},
		"nothing left of the label": {rotation.KindApp, rotation.Subject{CommonName: "x", OrganizationalUnitName: "{label}"}, " ",
			`organizationalUnitName is "{label}", which is empty for %s: use {id}, or another text in a rule for it`},
		"a tab in the label": {rotation.KindApp, rotation.Subject{CommonName: "{label}"}, "a\tb",
			`commonName is "{label}", which has the control character U+0009 for %s: take it out of the label in Okta, or use {id}`},
		"no room": {rotation.KindApp, rotation.Subject{CommonName: strings.Repeat("x", 50) + "{id}"}, "Wiki",
			`commonName is "` + strings.Repeat("x", 50) + `{id}", which has 70 characters for %s (Wiki), and X.509 takes 64 (RFC 5280, appendix A.1): use a shorter text, or {label}, which is shortened`},
	} {
		t.Run(what, func(t *testing.T) {
			l := newLab(t, c.kind)
			l.target.Label, l.policy.Subject = c.label, c.subject
			_, err := steps.GenerateCSR{Okta: l.okta}.Run(t.Context(), rotation.GenerateCSRInput{Target: l.target, Policy: l.policy})
			wantError(t, err, "Policy.Invalid", "policy.subject."+fmt.Sprintf(c.want, l.target))
			wantCalls(t, l.org)
		})
	}
}

func TestSubjectThatOktaRefusesIsShownWithOktasReason(t *testing.T) {
	l := newLab(t, rotation.KindApp)
	l.policy.Subject.CountryName = "us"
	_, err := steps.GenerateCSR{Okta: l.okta}.Run(t.Context(), rotation.GenerateCSRInput{Target: l.target, Policy: l.policy})
	if err == nil {
		t.Fatal("no error")
	}
	want := `could not generate a CSR for ` + l.target.String() + `: Api validation failed: csr (subject.countryName: The field must be a country code of two letters) [POST /api/v1/apps/` +
		l.target.ID + `/credentials/csrs, HTTP 400, E0000001, error id X]`
	if got := errorID.ReplaceAllString(err.Error(), "error id X"); got != want {
		t.Errorf("the error says\n\t%s\nwant\n\t%s", got, want)
	}
	wantName(t, err, "Okta.Invalid")
}

func TestEveryStepRefusesATargetThatCannotExist(t *testing.T) {
	l := emptyLab(t)
	bad := rotation.Target{Kind: rotation.KindApp, ID: "0oa1/../0oa2"}
	const text = `target.id is "0oa1/../0oa2": use the id of the app in Okta, such as 0oa1gjh63g214q0Hq0g4`
	for name, run := range map[string]func() error{
		"generate-csr": func() error {
			_, err := steps.GenerateCSR{Okta: l.okta}.Run(t.Context(), rotation.GenerateCSRInput{Target: bad, Policy: l.policy})
			return err
		},
		"sign-csr": func() error {
			_, err := signer().Run(t.Context(), rotation.SignCSRInput{Target: bad, Policy: l.policy})
			return err
		},
		"publish-csr": func() error {
			_, err := steps.PublishCSR{Okta: l.okta}.Run(t.Context(), rotation.PublishCSRInput{Target: bad})
			return err
		},
		"revoke-csr": func() error {
			_, err := steps.RevokeCSR{Okta: l.okta}.Run(t.Context(), rotation.RevokeCSRInput{Target: bad, Policy: l.policy})
			return err
		},
		"verify-key": func() error {
			_, err := steps.VerifyKey{Okta: l.okta}.Run(t.Context(), rotation.VerifyKeyInput{Target: bad})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) { wantError(t, run(), "Target.Invalid", text) })
	}
	wantCalls(t, l.org)
}

func (l *lab) revoke(csr *rotation.CSR) (rotation.RevokeCSROutput, error) {
	return steps.RevokeCSR{Okta: l.okta}.Run(l.t.Context(), rotation.RevokeCSRInput{Target: l.target, Policy: l.policy, CSR: csr})
}

func TestRevokingTakesBackTheCSRThatIsNamed(t *testing.T) {
	forBothKinds(t, func(t *testing.T, l *lab) {
		csr := l.generate().CSR
		l.foreign(`{"subject":{"commonName":"sso.example.com"}}`)
		out, err := l.revoke(&csr)
		if err != nil || !slices.Equal(out.Revoked, []string{csr.ID}) {
			t.Errorf("revoked %q, %v; want %s", out.Revoked, err, csr.ID)
		}
		if n := len(l.pending()); n != 1 {
			t.Errorf("%d CSRs pending, want the other tool's", n)
		}
		wantCalls(t, l.org, l.operation("revoke"))
	})
}

func TestRevokingACSRThatIsGoneIsDone(t *testing.T) {
	forBothKinds(t, func(t *testing.T, l *lab) {
		out, err := l.revoke(&rotation.CSR{ID: "long-gone"})
		if err != nil {
			t.Fatal(err)
		}
		if got := asJSON(t, out); got != `{"revoked":[]}` {
			t.Errorf("output %s, want an empty list", got)
		}
	})
}

func TestRevokingACSRThatWasPublishedNamesItsKey(t *testing.T) {
	forBothKinds(t, func(t *testing.T, l *lab) {
		csr := l.generate().CSR
		key := l.publish(csr, l.sign(csr))
		out, err := l.revoke(&csr)
		if err != nil || len(out.Revoked) != 0 || out.Published == nil || out.Published.Kid != key.Kid {
			t.Errorf("output %+v, %v; want the key %s", out, err, key.Kid)
		}
	})
}

func TestRevokingWithoutACSRTakesBackAllOfOurs(t *testing.T) {
	forBothKinds(t, func(t *testing.T, l *lab) {
		subject := l.policy.Subject.For(l.target)
		for range 3 {
			if _, err := l.okta.GenerateCSR(t.Context(), l.target, subject); err != nil {
				t.Fatal(err)
			}
		}
		out, err := l.revoke(nil)
		if err != nil || len(out.Revoked) != 3 || len(l.pending()) != 0 {
			t.Errorf("revoked %q, %v; %d pending, want none", out.Revoked, err, len(l.pending()))
		}
	})
}

func TestRevokingThatDiesAtAnyCallIsFinishedByRunningItAgain(t *testing.T) {
	for _, kind := range kinds {
		for _, i := range essential {
			for n := 1; n <= 2; n++ {
				t.Run(fmt.Sprintf("%s/%s/call %d", kind, i.kind, n), func(t *testing.T) {
					t.Parallel()
					l := newLab(t, kind)
					l.generate()
					l.org.ResetCalls()
					working := l.okta
					l.okta = l.interrupted(n, i.kind)
					_, err := l.revoke(nil)
					// The answer to a revocation has no content to wait for.
					if err != nil || n == 1 || i.kind != oktasim.FaultBrokenBody {
						wantNamed(t, err, l, n, i.kind, i.name)
					}
					l.okta = working
					l.org.ClearFaults()
					if _, err := l.revoke(nil); err != nil {
						t.Fatalf("again: %v", err)
					}
					if n := len(l.pending()); n != 0 {
						t.Errorf("%d CSRs pending, want none", n)
					}
				})
			}
		}
	}
}
