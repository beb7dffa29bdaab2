package steps_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"keyturn/internal/okta"
	"keyturn/internal/oktasim"
	"keyturn/internal/rotation"
	"keyturn/internal/steps"
)

// hearing gives a client of an org that answers by method and path, without a
// network in between; the rest is not found.
func hearing(t *testing.T, answers map[string][]byte) *okta.Client {
	t.Helper()
	credential, err := okta.ParseCredential("keyturn/okta", []byte(`{"apiToken":"`+token+`"}`))
	if err != nil {
		t.Fatal(err)
	}
	c, err := okta.New(okta.Config{
		OrgURL:      "https://example.okta.com",
		Credentials: func(context.Context, bool) (okta.Credential, error) { return credential, nil },
		HTTP:        &http.Client{Transport: answering(answers)},
		Now:         clock,
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

type answering map[string][]byte

func (a answering) RoundTrip(r *http.Request) (*http.Response, error) {
	status := http.StatusOK
	body, known := a[r.Method+" "+r.URL.Path]
	if !known {
		status, body = http.StatusNotFound, []byte(`{"errorCode":"E0000007","errorSummary":"Not found"}`)
	}
	return &http.Response{StatusCode: status, Status: http.StatusText(status), Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(body)), Request: r}, nil
}

func targetOf(idp bool) (t rotation.Target, path string) {
	if idp {
		return rotation.Target{Kind: rotation.KindIDP, ID: "0oa2"}, "/api/v1/idps/0oa2"
	}
	return rotation.Target{Kind: rotation.KindApp, ID: "0oa1"}, "/api/v1/apps/0oa1"
}

// wantNamedError is what every error must be: named, and without the token.
func wantNamedError(t *testing.T, err error) {
	t.Helper()
	if rotation.NameOf(err) == "" {
		t.Errorf("the error has no name: %v", err)
	}
	if strings.Contains(err.Error(), token) {
		t.Errorf("the error holds the token: %v", err)
	}
}

// entity is metadata as encoding/xml reads it into structs, which is another
// way than the step's.
type entity struct {
	XMLName xml.Name
	IDP     []role `xml:"urn:oasis:names:tc:SAML:2.0:metadata IDPSSODescriptor"`
	SP      []role `xml:"urn:oasis:names:tc:SAML:2.0:metadata SPSSODescriptor"`
}

type role struct {
	Keys []struct {
		Attr []xml.Attr `xml:",any,attr"`
		Info []struct {
			Data []struct {
				Certificates []string `xml:"http://www.w3.org/2000/09/xmldsig# X509Certificate"`
			} `xml:"http://www.w3.org/2000/09/xmldsig# X509Data"`
		} `xml:"http://www.w3.org/2000/09/xmldsig# KeyInfo"`
	} `xml:"urn:oasis:names:tc:SAML:2.0:metadata KeyDescriptor"`
}

// carries tells whether metadata has the certificate for signing in the right
// role, and no other one.
func carries(metadata []byte, idp bool, certificate string) bool {
	d := xml.NewDecoder(bytes.NewReader(metadata))
	signing := false
	// encoding/xml takes one element after the other for a document.
	for {
		var e entity
		err := d.Decode(&e)
		if errors.Is(err, io.EOF) {
			return signing
		}
		if err != nil {
			return false
		}
		if e.XMLName != (xml.Name{Space: "urn:oasis:names:tc:SAML:2.0:metadata", Local: "EntityDescriptor"}) {
			continue
		}
		roles := e.IDP
		if idp {
			roles = e.SP
		}
		for _, r := range roles {
			for _, k := range r.Keys {
				use := "signing" // and encryption, where none is named
				for _, a := range k.Attr {
					if a.Name == (xml.Name{Local: "use"}) {
						use = a.Value
					}
				}
				for _, i := range k.Info {
					for _, data := range i.Data {
						for _, c := range data.Certificates {
							if strings.TrimRight(strings.Join(strings.Fields(c), ""), "=") != strings.TrimRight(certificate, "=") {
								return false
							}
							signing = signing || use == "signing" || use == "signing and encryption"
						}
					}
				}
			}
		}
	}
}

func metadataSeeds(certificate string) []string {
	const md, ds = "urn:oasis:names:tc:SAML:2.0:metadata", "http://www.w3.org/2000/09/xmldsig#"
	key := func(attribute, text string) string {
		return `<md:KeyDescriptor` + attribute + `><ds:KeyInfo xmlns:ds="` + ds + `"><ds:X509Data><ds:X509Certificate>` + text + `</ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor>`
	}
	metadata := func(keys string) string {
		return `<md:EntityDescriptor xmlns:md="` + md + `" entityID="x"><md:IDPSSODescriptor>` + keys + `</md:IDPSSODescriptor><md:SPSSODescriptor>` + keys + `</md:SPSSODescriptor></md:EntityDescriptor>`
	}
	good := metadata(key(` use="signing"`, certificate))
	var laughs strings.Builder
	laughs.WriteString(`<!DOCTYPE lolz [<!ENTITY lol0 "lol">`)
	for i := range 10 {
		fmt.Fprintf(&laughs, `<!ENTITY lol%d "%s">`, i+1, strings.Repeat(fmt.Sprintf("&lol%d;", i), 10))
	}
	laughs.WriteString("]>")
	half := len(certificate) / 2
	return []string{
		good, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n" + good, metadata(key(` use="encryption"`, certificate)), metadata(key("", certificate)),
		metadata(key(` use="signing"`, certificate) + key(` use="encryption"`, certificate)), metadata(key(` use="signing"`, certificate) + key(` use="signing"`, "AAAA")),
		// Entities: declared, used, declared by others, in attributes, by a million.
		`<!DOCTYPE x [<!ENTITY c "` + certificate + `">]>` + metadata(key(` use="signing"`, "&c;")), laughs.String() + metadata(key(` use="signing"`, "&lol10;")),
		laughs.String() + good, `<!DOCTYPE x SYSTEM "file:///etc/passwd">` + good, `<!DOCTYPE x [<!ENTITY % p SYSTEM "https://elsewhere.example.com/x.dtd"> %p;]>` + good,
		`<!DOCTYPE x [<!ENTITY u "signing">]>` + metadata(key(` use="&u;"`, certificate)), `<!DOCTYPE x [<!ENTITY c "x"` + good,
		// Encodings.
		`<?xml version="1.0" encoding="ISO-8859-1"?>` + good, `<?xml version="1.0" encoding="UTF-16"?>` + good, "\xff\xfe<\x00a\x00/\x00>\x00", "\xef\xbb\xbf" + good, `<?xml version="1.1"?>` + good,
		// What stands where it should not.
		strings.ReplaceAll(good, "SSODescriptor", "Extensions"), metadata(key(` x:use="encryption" xmlns:x="urn:x" use="signing"`, certificate)), metadata(key(` use="encryption" use="signing"`, certificate)),
		strings.ReplaceAll(good, md, md+"x"), strings.ReplaceAll(good, ds, ds+"x"), metadata(key("", certificate[:half]+"<!-- x -->"+certificate[half:])),
		metadata(key("", certificate[:half]+"<x>AAAA</x>"+certificate[half:])), metadata(key("", "<![CDATA["+certificate+"]]>")), metadata(key("", strings.ReplaceAll(certificate, "M", "&#77;"))),
		metadata(`<md:Extensions>` + key("", certificate) + `</md:Extensions>`), metadata(key("", certificate) + `<ds:X509Certificate xmlns:ds="` + ds + `">AAAA</ds:X509Certificate>`),
		good + good, good + "<x>", good[:len(good)-5], `<md:EntitiesDescriptor xmlns:md="` + md + `">` + good + `</md:EntitiesDescriptor>`,
		// Without end.
		strings.Repeat("<a>", 20000), strings.Repeat("<a>", 101), `<a ` + strings.Repeat(`b="" `, 5000) + `/>`, `<a b="` + strings.Repeat("x", 100000) + `"/>`, strings.Repeat("<!-- -->", 5000),
		`<a xmlns:b="c">` + strings.Repeat(`<b:d xmlns:b="e">`, 90), "<html><body>Service Unavailable</body></html>", "",
	}
}

// A key is in use only where its certificate stands in a KeyDescriptor for
// signing of Okta's own role, and no other certificate does. Entities are never
// expanded, and no document takes more memory than a multiple of its size.
func FuzzMetadata(f *testing.F) {
	// What is in it does not matter here, and it is the same in every process.
	certificate := base64.StdEncoding.EncodeToString([]byte("a certificate"))
	for _, seed := range metadataSeeds(certificate) {
		f.Add([]byte(seed), false)
		f.Add([]byte(seed), true)
	}
	f.Fuzz(func(t *testing.T, metadata []byte, idp bool) {
		target, path := targetOf(idp)
		if idp {
			path += "/metadata.xml"
		} else {
			path += "/sso/saml/metadata"
		}
		client := hearing(t, map[string][]byte{"GET " + path: metadata})
		in := rotation.VerifyKeyInput{Target: target, Key: rotation.Key{Kid: oldKid, Certificate: certificate}, ActiveKid: oldKid}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := steps.VerifyKey{Okta: client}.Run(t.Context(), in)
		runtime.ReadMemStats(&after)
		if used, most := after.TotalAlloc-before.TotalAlloc, uint64(8<<20+300*len(metadata)); used > most {
			t.Errorf("%d bytes of metadata took %d bytes of memory", len(metadata), used)
		}
		right := carries(metadata, idp, certificate)
		switch {
		case err == nil && !right:
			t.Errorf("%q passes", metadata)
		case err != nil:
			wantNamedError(t, err)
			if name := rotation.NameOf(err); name != "Key.NotInUse" && name != "Okta.Unavailable" {
				t.Errorf("error is named %q: %v", name, err)
			}
			if right && rotation.NameOf(err) == "Key.NotInUse" {
				t.Errorf("%q does not pass: %v", metadata, err)
			}
		}
	})
}

// Whatever Okta lists: the active key is the document's, and the unused ones are
// those that a rotation may switch to.
func FuzzInspectTarget(f *testing.F) {
	org := oktasim.New(oktasim.Options{APIToken: token, Now: clock})
	document := org.Document("app", org.AddApp(oktasim.AppSpec{Label: "Customs", Created: day(-700), Key: expiring(), Raw: richApp}))
	list := func(keys ...map[string]any) []byte { return []byte(jsonOf(f, keys)) }
	listed := func(k *oktasim.Key, change ...func(map[string]any)) map[string]any {
		m := map[string]any{"kid": k.Kid, "created": k.Created, "expiresAt": k.NotAfter(), "x5c": []string{k.X5C}}
		for _, c := range change {
			c(m)
		}
		return m
	}
	set := func(name string, v any) func(map[string]any) { return func(m map[string]any) { m[name] = v } }
	many := slices.Repeat([]map[string]any{listed(spare())}, 12)
	for _, keys := range [][]byte{
		list(listed(expiring())), list(listed(expiring()), listed(spare())), list(listed(spare())), list(append(many, listed(expiring()))...),
		list(listed(expiring()), listed(spare(), set("created", "2001-01-01T00:00:00Z"))), list(listed(expiring()), listed(spare(), set("kid", oldKid))),
		list(listed(expiring(), set("x5c", nil))), list(listed(expiring()), listed(spare(), set("x5c", []string{"!", spare().X5C}))),
		list(listed(expiring()), listed(spare(), set("x5c", []string{base64.StdEncoding.EncodeToString([]byte("no certificate"))}))),
		[]byte(`[{"kid":1}]`), []byte(`[null]`), []byte(`null`), []byte(`{}`), []byte(`[{"created":"yesterday"}]`), nil,
	} {
		f.Add(document, keys)
	}
	for _, doc := range []string{
		`{}`, `{"signOnMode":"SAML_2_0","status":"ACTIVE"}`, `{"signOnMode":"SAML_2_0","status":"ACTIVE","credentials":{"signing":{"kid":17}}}`,
		`{"signOnMode":"SAML_2_0","status":"ACTIVE","label":"` + strings.Repeat("x", 500) + `","created":"2030-01-01T00:00:00.000Z","credentials":{"signing":{"kid":"` + oldKid + `"}}}`,
		`{"signOnMode":"SAML_1_1"}`, `{"signOnMode":{"x":1}}`, `[]`,
	} {
		f.Add([]byte(doc), list(listed(expiring()), listed(spare())))
	}
	f.Fuzz(func(t *testing.T, document, keys []byte) {
		target, path := targetOf(false)
		client := hearing(t, map[string][]byte{"GET " + path: document, "GET " + path + "/credentials/keys": keys, "GET /api/v1/apps": []byte("[]")})
		out, err := steps.InspectTarget{Okta: client, Defaults: rotation.DefaultSettings(nil), Now: clock}.Run(t.Context(), rotation.InspectTargetInput{Target: target})
		if err != nil {
			wantNamedError(t, err)
			return
		}
		var doc struct {
			Status      string
			SignOnMode  string
			Credentials struct{ Signing struct{ Kid any } }
		}
		if err := json.Unmarshal(document, &doc); err != nil {
			t.Fatalf("%q: %v", document, err)
		}
		if doc.Status != "ACTIVE" || doc.SignOnMode != "SAML_2_0" || fmt.Sprint(doc.Credentials.Signing.Kid) != out.ActiveKey.Kid || out.ActiveKey.Kid == "" {
			t.Errorf("%q: the active key is %q", document, out.ActiveKey.Kid)
		}
		wantCertificate(t, out.ActiveKey)
		if len(out.UnusedKeys) > 10 || len(out.Digest) != 64 || len(out.Asks) == 0 {
			t.Errorf("%d unused keys, digest %q, %d messages", len(out.UnusedKeys), out.Digest, len(out.Asks))
		}
		for i, k := range out.UnusedKeys {
			wantCertificate(t, k)
			if k.Kid == out.ActiveKey.Kid || !k.Created.After(out.ActiveKey.Created) || k.NotAfter.Sub(now) <= 90*24*time.Hour {
				t.Errorf("%q: %q, of %s to %s, could be switched to", keys, k.Kid, k.Created, k.NotAfter)
			}
			if i > 0 && k.Created.After(out.UnusedKeys[i-1].Created) {
				t.Errorf("%q: the newest is not the first", keys)
			}
		}
		if p := out.PreviousKey; p != nil && p.Created.After(out.ActiveKey.Created) {
			t.Errorf("%q: the way back leads to %q, of %s to %s", keys, p.Kid, p.Created, p.NotAfter)
		}
		if _, err := json.Marshal(out); err != nil {
			t.Errorf("%q, %q: the answer cannot be passed on: %v", document, keys, err)
		}
	})
}

// wantCertificate reads a key's certificate once more.
func wantCertificate(t *testing.T, k rotation.Key) *x509.Certificate {
	t.Helper()
	der, err := base64.StdEncoding.DecodeString(k.Certificate)
	if err != nil {
		t.Fatalf("key %q: %v", k.Kid, err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil || !cert.NotAfter.Equal(k.NotAfter) || !cert.NotBefore.Equal(k.NotBefore) {
		t.Fatalf("key %q: %v, from %s to %s", k.Kid, err, k.NotBefore, k.NotAfter)
	}
	return cert
}

func jsonOf(t testing.TB, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// A CSR that is pending is ours only if it asks for the policy's subject, and
// for no other name.
func FuzzPendingCSR(f *testing.F) {
	subject := rotation.Subject{CountryName: "US", OrganizationName: "Example, Inc.", CommonName: "Customs SAML signing"}
	request := func(change func(*x509.CertificateRequest)) []byte {
		template := &x509.CertificateRequest{Subject: pkix.Name{Country: []string{"US"}, Organization: []string{"Example, Inc."}, CommonName: "Customs SAML signing"}}
		if change != nil {
			change(template)
		}
		der, err := x509.CreateCertificateRequest(rand.Reader, template, spare().PrivateKey)
		if err != nil {
			f.Fatal(err)
		}
		return der
	}
	for _, der := range [][]byte{
		request(nil), request(func(r *x509.CertificateRequest) { r.DNSNames = []string{"example.com"} }), request(func(r *x509.CertificateRequest) { r.Subject.OrganizationalUnit = []string{"x"} }),
		request(func(r *x509.CertificateRequest) { r.Subject.Organization = []string{"Evil", "Example, Inc."} }), request(func(r *x509.CertificateRequest) { r.Subject.CommonName = "" }), nil, {0x30, 0x80},
	} {
		f.Add("csr1", "2026-03-01T12:00:00.000Z", der)
	}
	f.Add("", "never", request(nil))
	f.Fuzz(func(t *testing.T, id, created string, der []byte) {
		if !utf8.ValidString(id) {
			return
		}
		target, path := targetOf(false)
		pending := jsonOf(t, []map[string]any{{"id": id, "created": created, "csr": base64.StdEncoding.EncodeToString(der)}})
		client := hearing(t, map[string][]byte{"GET " + path + "/credentials/csrs": []byte(pending), "POST " + path + "/credentials/csrs": []byte(`{"id":"new","csr":"MIIB"}`)})
		policy := rotation.DefaultSettings(nil)
		policy.Subject = subject
		out, err := steps.GenerateCSR{Okta: client}.Run(t.Context(), rotation.GenerateCSRInput{Target: target, Policy: policy})
		if err != nil {
			wantNamedError(t, err)
			return
		}
		csr, parseErr := x509.ParseCertificateRequest(der)
		ours := parseErr == nil && csr.Subject.ToRDNSequence().String() != "" && len(csr.Subject.Names) == 3 &&
			slices.Equal(csr.Subject.Country, []string{subject.CountryName}) && slices.Equal(csr.Subject.Organization, []string{subject.OrganizationName}) && csr.Subject.CommonName == subject.CommonName &&
			len(csr.DNSNames)+len(csr.EmailAddresses)+len(csr.IPAddresses)+len(csr.URIs) == 0
		if out.Reused != ours {
			t.Errorf("%x, with the subject %v, counts as ours: %v", der, csr, out.Reused)
		}
		if out.Reused && (out.CSR.ID != id || out.CSR.Request != base64.StdEncoding.EncodeToString(der)) {
			t.Errorf("the CSR becomes %+v", out.CSR)
		}
	})
}

// fixed is a certificate that is the same in every process: those that look for
// inputs do not share their keys.
func fixed(f *testing.F, seed byte) *x509.Certificate {
	f.Helper()
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Customs"}, NotBefore: now, NotAfter: day(397)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		f.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		f.Fatal(err)
	}
	return cert
}

// A key that Okta makes of a certificate, or clones, is taken only if it is the
// one that was asked for.
func FuzzPublishedKey(f *testing.F) {
	ours, other := fixed(f, 1), fixed(f, 2)
	x5c, otherX5C := base64.StdEncoding.EncodeToString(ours.Raw), base64.StdEncoding.EncodeToString(other.Raw)
	good := jsonOf(f, map[string]any{"kid": "k1", "created": now, "expiresAt": ours.NotAfter, "x5c": []string{x5c}})
	for _, answer := range []string{
		good, strings.Replace(good, x5c, otherX5C, 1), strings.Replace(good, `"k1"`, `""`, 1), strings.Replace(good, x5c, x5c+"\n", 1),
		`{"kid":"k1"}`, `{"kid":"k1","x5c":["AAAA"]}`, `{"kid":"k1","x5c":[],"created":"x"}`, `{"KID":"k1","X5C":["` + x5c + `"]}`, `null`, `[]`, ``,
	} {
		f.Add([]byte(answer))
	}
	text := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ours.Raw}))
	f.Fuzz(func(t *testing.T, answer []byte) {
		target, path := targetOf(false)
		source := rotation.Target{Kind: rotation.KindApp, ID: "0oa9"}
		client := hearing(t, map[string][]byte{
			"POST " + path + "/credentials/csrs/csr1/lifecycle/publish": answer,
			"POST /api/v1/apps/0oa9/credentials/keys/k1/clone":          answer,
		})
		published, err := steps.PublishCSR{Okta: client}.Run(t.Context(), rotation.PublishCSRInput{Target: target, CSR: rotation.CSR{ID: "csr1"}, Certificate: rotation.Certificate{PEM: text}})
		if err != nil {
			wantNamedError(t, err)
		} else if cert := wantCertificate(t, published.Key); published.Key.Kid == "" || !bytes.Equal(cert.RawSubjectPublicKeyInfo, ours.RawSubjectPublicKeyInfo) {
			t.Errorf("%q is taken for the published key %q", answer, published.Key.Kid)
		}
		cloned, err := steps.CloneCertificate{Okta: client}.Run(t.Context(), rotation.CloneCertificateInput{Target: target, Source: source, Key: rotation.Key{Kid: "k1", Certificate: x5c}})
		if err != nil {
			wantNamedError(t, err)
		} else if cloned.Key.Kid != "k1" || cloned.Key.Certificate != x5c {
			t.Errorf("%q is taken for the cloned key, as %q", answer, cloned.Key.Kid)
		}
	})
}
