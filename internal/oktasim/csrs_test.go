package oktasim

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestCSRIsARealPKCS10(t *testing.T) {
	for _, kind := range []string{KindApp, KindIDP} {
		t.Run(kind, func(t *testing.T) {
			f := newFixture(t)
			d := f.SeedDemo()
			id := map[string]string{KindApp: d.BeforeSwitchApp, KindIDP: d.IDP}[kind]
			csr, request := f.newCSR(kind, id)
			if err := request.CheckSignature(); err != nil {
				t.Error(err)
			}
			if got := request.Subject.String(); got != `CN=SP Issuer,OU=Dev,O=Example\, Inc.,L=San Francisco,ST=California,C=US` {
				t.Errorf("subject %s", got)
			}
			if len(request.DNSNames) != 1 || request.DNSNames[0] != "dev.example.com" {
				t.Errorf("names %q", request.DNSNames)
			}
			if key, ok := request.PublicKey.(*rsa.PublicKey); !ok || key.N.BitLen() != 2048 || request.SignatureAlgorithm != x509.SHA256WithRSA {
				t.Errorf("key %T, signature %s", request.PublicKey, request.SignatureAlgorithm)
			}
			path := "/api/v1/" + kind + "s/" + id + "/credentials/csrs"
			one := f.ok(200, "GET", path+"/"+csr, "")
			if one.string("kty") != "RSA" || one.string("created") != "2026-03-02T09:00:00.000Z" ||
				one.string("_links", "publish", "href") != "http://org.example.com"+path+"/"+csr+"/lifecycle/publish" {
				t.Errorf("csr %s", one.body)
			}
			if got := string(f.ok(200, "GET", path, "").body); got != "["+string(one.body)+"]" {
				t.Errorf("list %s", got)
			}
			if pending := f.PendingCSRs(kind, id); len(pending) != 1 || pending[0].ID != csr || !bytes.Equal(pending[0].DER, request.Raw) {
				t.Errorf("pending %+v", pending)
			}
			for _, k := range f.Keys(kind, id) {
				if k.Certificate.PublicKey.(*rsa.PublicKey).Equal(request.PublicKey) {
					t.Error("the key pair is listed before it is published")
				}
			}
			f.ok(204, "DELETE", path+"/"+csr, "")
			f.refused(404, "E0000007", "DELETE", path+"/"+csr, "")
			f.refused(404, "E0000007", "GET", path+"/"+csr, "")
			if got := string(f.ok(200, "GET", path, "").body); got != "[]" {
				t.Errorf("list %s", got)
			}
		})
	}
}

func TestCSRAsPKCS10(t *testing.T) {
	f := newFixture(t)
	id := f.AddApp(AppSpec{Label: "A"})
	r := f.ok(201, "POST", "/api/v1/apps/"+id+"/credentials/csrs", goodCSR, "Accept: application/pkcs10")
	if r.header.Get("Content-Type") != "application/pkcs10; filename=okta.p10" || r.header.Get("Content-Transfer-Encoding") != "base64" {
		t.Errorf("headers %v", r.header)
	}
	der, err := base64.StdEncoding.DecodeString(string(r.body))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := x509.ParseCertificateRequest(der); err != nil {
		t.Error(err)
	}
}

func TestCSRRefuses(t *testing.T) {
	f := newFixture(t)
	d := f.SeedDemo()
	path := "/api/v1/apps/" + d.BeforeSwitchApp + "/credentials/csrs"
	for _, c := range []struct{ name, code, body string }{
		{"no subject", "E0000001", `{}`},
		{"subject null", "E0000001", `{"subject":null}`},
		{"empty subject", "E0000001", `{"subject":{}}`},
		{"subject not an object", "E0000003", `{"subject":"CN=x"}`},
		{"unknown attribute", "E0000003", `{"subject":{"commonName":"x","keySize":4096}}`},
		{"country in full", "E0000001", `{"subject":{"commonName":"x","countryName":"United States"}}`},
		{"country in lower case", "E0000001", `{"subject":{"commonName":"x","countryName":"us"}}`},
		{"common name of 65", "E0000001", `{"subject":{"commonName":"` + strings.Repeat("ü", 65) + `"}}`},
		{"organization of 65", "E0000001", `{"subject":{"commonName":"x","organizationName":"` + strings.Repeat("x", 65) + `"}}`},
		{"organizational unit of 65", "E0000001", `{"subject":{"commonName":"x","organizationalUnitName":"` + strings.Repeat("x", 65) + `"}}`},
		{"locality of 129", "E0000001", `{"subject":{"commonName":"x","localityName":"` + strings.Repeat("x", 129) + `"}}`},
		{"state of 129", "E0000001", `{"subject":{"commonName":"x","stateOrProvinceName":"` + strings.Repeat("x", 129) + `"}}`},
		{"space around", "E0000001", `{"subject":{"commonName":" x"}}`},
		{"tab", "E0000001", `{"subject":{"commonName":"a\tb"}}`},
		{"null character", "E0000001", `{"subject":{"commonName":"x","localityName":"a\u0000b"}}`},
		{"control character beyond ASCII", "E0000001", `{"subject":{"commonName":"x","organizationName":"a\u0085b"}}`},
		{"line break", "E0000001", `{"subject":{"commonName":"a\nb"}}`},
		{"DNS name with a space", "E0000001", `{"subject":{"commonName":"x"},"subjectAltNames":{"dnsNames":["a b"]}}`},
		{"DNS name not ASCII", "E0000001", `{"subject":{"commonName":"x"},"subjectAltNames":{"dnsNames":["zürich.example.com"]}}`},
		{"DNS name empty", "E0000001", `{"subject":{"commonName":"x"},"subjectAltNames":{"dnsNames":[""]}}`},
	} {
		f.refused(400, c.code, "POST", path, c.body)
		if n := len(f.PendingCSRs(KindApp, d.BeforeSwitchApp)); n != 0 {
			t.Errorf("%s: %d pending CSRs", c.name, n)
		}
	}
	f.refused(400, "E0000021", "POST", path, goodCSR, "Content-Type: application/x-www-form-urlencoded")
	f.refused(400, "E0000018", "POST", path, goodCSR, "Accept: application/x-pem-file")
	f.refused(404, "E0000007", "POST", "/api/v1/apps/0oanone/credentials/csrs", goodCSR)
	for _, path := range []string{"apps/" + d.OIDCApp, "apps/" + d.SWAApp, "idps/" + d.SocialIDP} {
		f.refused(400, "E0000001", "POST", "/api/v1/"+path+"/credentials/csrs", goodCSR)
		f.refused(400, "E0000001", "GET", "/api/v1/"+path+"/credentials/csrs", "")
	}
	f.ok(201, "POST", path, `{"subject":{"commonName":"`+strings.Repeat("ü", 64)+`","organizationName":"`+strings.Repeat("o", 64)+`","organizationalUnitName":"`+strings.Repeat("u", 64)+
		`","localityName":"`+strings.Repeat("l", 128)+`","stateOrProvinceName":"`+strings.Repeat("s", 128)+`"}}`)
	f.ok(201, "POST", "/api/v1/apps/"+d.InactiveApp+"/credentials/csrs", goodCSR)
}

func TestPublishTakesEveryDocumentedForm(t *testing.T) {
	f := newFixture(t)
	d := f.SeedDemo()
	for _, c := range []struct {
		name, contentType, encoding string
		body                        func(der []byte) string
	}{
		{"PEM", "application/x-pem-file", "", pemOf},
		{"PEM with space around", "application/x-pem-file", "", func(der []byte) string { return "\n" + pemOf(der) + "\n\n" }},
		{"DER", "application/pkix-cert", "", func(der []byte) string { return string(der) }},
		{"DER, binary", "application/pkix-cert", "binary", func(der []byte) string { return string(der) }},
		{"DER in base64", "application/pkix-cert", "base64", base64.StdEncoding.EncodeToString},
		{"CER", "application/x-x509-ca-cert", "", func(der []byte) string { return string(der) }},
		{"CER in base64", "application/x-x509-ca-cert; charset=utf-8", "Base64", base64.StdEncoding.EncodeToString},
	} {
		for kind, id := range map[string]string{KindApp: d.BeforeSwitchApp, KindIDP: d.IDP} {
			t.Run(c.name+" "+kind, func(t *testing.T) {
				f := &fixture{f.Org, t, f.clock}
				active, keys := f.ActiveKid(kind, id), len(f.Keys(kind, id))
				csr, request := f.newCSR(kind, id)
				notAfter := f.clock.now().AddDate(0, 0, 397)
				der := newCA().sign(t, request.PublicKey, f.clock.now(), notAfter)
				path := "/api/v1/" + kind + "s/" + id + "/credentials"
				headers := []string{"Content-Type: " + c.contentType}
				if c.encoding != "" {
					headers = append(headers, "Content-Transfer-Encoding: "+c.encoding)
				}
				r := f.ok(201, "POST", path+"/csrs/"+csr+"/lifecycle/publish", c.body(der), headers...)
				kid := r.string("kid")
				if kid == "" || kid == csr {
					t.Errorf("kid %q, CSR %q", kid, csr)
				}
				if x5c := elements(lookup(r.body, "x5c")); len(x5c) != 1 || string(x5c[0]) != `"`+base64.StdEncoding.EncodeToString(der)+`"` {
					t.Errorf("x5c %s", lookup(r.body, "x5c"))
				}
				n, _ := base64.RawURLEncoding.DecodeString(r.string("n"))
				if !bytes.Equal(n, request.PublicKey.(*rsa.PublicKey).N.Bytes()) {
					t.Error("n is not the CSR's modulus")
				}
				if r.string("e") != "AQAB" || r.string("kty") != "RSA" || r.string("use") != "sig" || r.string("x5t#S256") == "" ||
					r.string("created") != stamp(f.clock.now()) || r.string("expiresAt") != stamp(notAfter) {
					t.Errorf("key %s", r.body)
				}
				if f.ActiveKid(kind, id) != active || len(f.Keys(kind, id)) != keys+1 {
					t.Error("publishing must add a key and not put it into use")
				}
				if got := f.ok(200, "GET", path+"/keys/"+kid, ""); string(got.body) != string(r.body) {
					t.Errorf("the key reads %s", got.body)
				}
				f.refused(404, "E0000007", "GET", path+"/csrs/"+csr, "")
				f.refused(404, "E0000007", "POST", path+"/csrs/"+csr+"/lifecycle/publish", c.body(der), headers...)
			})
		}
	}
}

func TestPublishRefuses(t *testing.T) {
	f := newFixture(t)
	id := f.AddApp(AppSpec{Label: "A"})
	csr, request := f.newCSR(KindApp, id)
	_, otherRequest := f.newCSR(KindApp, id)
	now, ca := f.clock.now(), newCA()
	sign := func(from, to time.Time, change ...func(*x509.Certificate)) []byte {
		return ca.sign(t, request.PublicKey, from, to, change...)
	}
	const pemType, derType = "application/x-pem-file", "application/pkix-cert"
	year := now.AddDate(1, 0, 0)
	good := sign(now, year)
	day := 24 * time.Hour
	path := "/api/v1/apps/" + id + "/credentials/csrs/" + csr + "/lifecycle/publish"
	for _, c := range []struct{ name, code, contentType, encoding, body string }{
		{"no Content-Type", "E0000021", "", "", pemOf(good)},
		{"JSON", "E0000021", "application/json", "", `{}`},
		{"text", "E0000021", "text/plain", "", pemOf(good)},
		{"empty", "E0000001", pemType, "", ""},
		{"PEM type, DER body", "E0000001", pemType, "", string(good)},
		{"DER type, PEM body", "E0000001", derType, "", pemOf(good)},
		{"base64 without saying so", "E0000001", derType, "", base64.StdEncoding.EncodeToString(good)},
		{"base64url", "E0000001", derType, "base64", base64.RawURLEncoding.EncodeToString(good)},
		{"binary called base64", "E0000001", derType, "base64", string(good)},
		{"PEM called base64", "E0000001", pemType, "base64", pemOf(good)},
		{"unknown encoding", "E0000001", derType, "gzip", string(good)},
		{"two certificates", "E0000001", pemType, "", pemOf(good) + pemOf(ca.cert.Raw)},
		{"the CA's certificate first", "E0000001", pemType, "", pemOf(ca.cert.Raw) + pemOf(good)},
		{"text before the certificate", "E0000001", pemType, "", "subject=x\n" + pemOf(good)},
		{"a CSR instead", "E0000001", pemType, "", strings.ReplaceAll(pemOf(request.Raw), "CERTIFICATE", "CERTIFICATE REQUEST")},
		{"DER with a tail", "E0000001", derType, "", string(good) + "x"},
		{"another CSR's key", "E0000001", pemType, "", pemOf(ca.sign(t, otherRequest.PublicKey, now, year))},
		{"no RSA key", "E0000001", pemType, "", pemOf(ca.sign(t, ca.key.Public(), now, year))},
		{"expired", "E0000001", pemType, "", pemOf(sign(now.AddDate(-1, 0, 0), now))},
		{"90 days to the second", "E0000001", pemType, "", pemOf(sign(now, now.Add(90*day)))},
		{"90 days left of a year", "E0000001", pemType, "", pemOf(sign(now.AddDate(0, -9, 0), now.Add(90*day)))},
		{"short and not begun", "E0000001", pemType, "", pemOf(sign(now.Add(2*time.Minute), now.Add(90*day+time.Minute)))},
		{"not valid yet", "E0000001", pemType, "", pemOf(sign(now.Add(time.Hour), year))},
		{"a CA's certificate", "E0000001", pemType, "", pemOf(sign(now, year, func(c *x509.Certificate) { c.IsCA = true }))},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := &fixture{f.Org, t, f.clock}
			headers := []string{"Content-Type: " + c.contentType}
			if c.encoding != "" {
				headers = append(headers, "Content-Transfer-Encoding: "+c.encoding)
			}
			r := f.refused(400, c.code, "POST", path, c.body, headers...)
			if causes := lookup(r.body, "errorCauses"); c.code == "E0000001" && string(causes) == "[]" {
				t.Error("no cause")
			}
			if len(f.Keys(KindApp, id)) != 1 || len(f.PendingCSRs(KindApp, id)) != 2 {
				t.Error("the refused certificate had an effect")
			}
		})
	}
	f.ok(201, "POST", path, pemOf(sign(now, now.Add(90*day+time.Second))), "Content-Type: "+pemType)
}

func TestPublishChecksTheTarget(t *testing.T) {
	f := newFixture(t)
	a, b := f.AddApp(AppSpec{Label: "A"}), f.AddApp(AppSpec{Label: "B"})
	csr, request := f.newCSR(KindApp, a)
	der := newCA().sign(t, request.PublicKey, f.clock.now(), f.clock.now().AddDate(1, 0, 0))
	f.refused(404, "E0000007", "POST", fmt.Sprintf("/api/v1/apps/%s/credentials/csrs/%s/lifecycle/publish", b, csr), pemOf(der), "Content-Type: application/x-pem-file")
}
