package main

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"

	"keyturn/internal/okta"
	"keyturn/internal/playground"
	"keyturn/internal/rotation"
)

// standing is how a target stands, as the org itself tells.
type standing struct {
	label, active string
	certificate   *x509.Certificate
	kids          map[string]*x509.Certificate
	pending       int
	document      okta.Document
}

// look asks the org's API, past everything that the rotation remembers.
func look(ctx context.Context, p *playground.Playground, t rotation.Target) (standing, error) {
	path := "/api/v1/apps/" + t.ID
	if t.Kind == rotation.KindIDP {
		path = "/api/v1/idps/" + t.ID
	}
	s := standing{kids: map[string]*x509.Certificate{}, document: okta.Document{Kind: t.Kind}}
	var raw json.RawMessage
	var keys []okta.JSONWebKey
	var pending []json.RawMessage
	for suffix, v := range map[string]any{"": &raw, "/credentials/keys": &keys, "/credentials/csrs": &pending} {
		if err := ask(ctx, p, path+suffix, v); err != nil {
			return s, err
		}
	}
	s.document.Raw = raw
	s.label, s.active, s.pending = s.document.Label(), s.document.ActiveKid(), len(pending)
	for _, k := range keys {
		der, err := base64.StdEncoding.DecodeString(k.X5C[0])
		if err != nil {
			return s, fmt.Errorf("key %s: %w", k.Kid, err)
		}
		if s.kids[k.Kid], err = x509.ParseCertificate(der); err != nil {
			return s, fmt.Errorf("key %s: %w", k.Kid, err)
		}
	}
	s.certificate = s.kids[s.active]
	if s.certificate == nil {
		return s, fmt.Errorf("%s: the active key %s is not in its list", t, s.active)
	}
	return s, nil
}

func ask(ctx context.Context, p *playground.Playground, path string, v any) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, p.OrgURL+path, nil)
	if err != nil {
		return fmt.Errorf("GET %s: %w", path, err)
	}
	r.Header.Set("Authorization", "SSWS "+p.Org.APIToken())
	r.Header.Set("Accept", "application/json")
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return fmt.Errorf("GET %s: %w", path, err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s", path, response.Status)
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return fmt.Errorf("GET %s: %w", path, err)
	}
	if err := json.Unmarshal(body, v); err != nil {
		return fmt.Errorf("GET %s: %w", path, err)
	}
	return nil
}

// judge lists what is not as the scenario promises.
func judge(p *playground.Playground, s scenario, before, after standing, report playground.Report, message string) []string {
	var wrong []string
	expect := func(ok bool, format string, args ...any) {
		if !ok {
			wrong = append(wrong, fmt.Sprintf(format, args...))
		}
	}
	expect(report.Result == s.result, "the result is %s, not %s", report.Result, s.result)
	expect(report.Decision != nil && report.Decision.By == playground.Approver && report.Decision.Comment == s.comment,
		"the report does not hold the approver's decision: %+v", report.Decision)
	var published []string
	for kid := range after.kids {
		if before.kids[kid] == nil {
			published = append(published, kid)
		}
	}
	expect(len(published) == 1 && published[0] == report.NewKid, "the org got the keys %v, the report says %s", published, report.NewKid)
	expect(after.pending == 0, "%d CSRs are left pending", after.pending)
	if s.switched {
		expect(after.active == report.NewKid, "the active key is %s, not the new one", after.active)
	} else {
		expect(after.active == before.active, "the active key is %s, not the old one", after.active)
		expect(report.LeftBehind != nil && report.LeftBehind.Kid == report.NewKid, "the report does not account for the key left behind")
	}
	if cert := after.kids[report.NewKid]; cert == nil {
		expect(false, "the new key %s is not in the org", report.NewKid)
	} else {
		expect(cert.NotAfter.Equal(report.NotAfter), "the report says that the certificate ends %s, the org %s", report.NotAfter, cert.NotAfter)
		err := verify(cert, message, p.CARoot, p.Company.Root)
		expect(err == nil, "the new certificate is not the one that was handed over, or not the company's: %v", err)
	}
	differences, err := okta.Differences(before.document, after.document)
	expect(err == nil && len(differences) == 0, "more than the key changed: %v %v", differences, err)
	return wrong
}

// verify checks that the certificate in use by the org is the one that the
// message carried, and that it leads over the message's chain to a root of the
// company's.
func verify(cert *x509.Certificate, message string, company ...*x509.Certificate) error {
	var carried []*x509.Certificate
	for block, rest := pem.Decode([]byte(message)); block != nil; block, rest = pem.Decode(rest) {
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return fmt.Errorf("a certificate in the message: %w", err)
		}
		carried = append(carried, c)
	}
	if len(carried) == 0 || !carried[0].Equal(cert) {
		return errors.New("the message does not carry it")
	}
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	for _, root := range company {
		roots.AddCert(root)
	}
	for _, c := range carried[1:] {
		between.AddCert(c)
	}
	_, err := cert.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	return err
}
