package page

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	stdhtml "html"
	"math/big"
	"mime"
	"mime/multipart"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/google/go-cmp/cmp"

	"keyturn/internal/approval"
	"keyturn/internal/ca"
	"keyturn/internal/rotation"
)

const (
	pki         = "pki@example.com"
	asksForSign = "Please have a certificate signed for Salesforce – EMEA"
	takes       = "Thank you, the certificate is right"
)

// lab is a company's CA and the key in Okta.
type lab struct {
	key, issuingKey, otherKey crypto.Signer
	csr                       []byte
	root, issuing, sub, other *x509.Certificate
}

var theLab = sync.OnceValue(func() *lab {
	l := &lab{key: rsaKey(), issuingKey: rsaKey(), otherKey: rsaKey()}
	rootKey := ecKey()
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	authority := func(name string, key, signer crypto.Signer, above *x509.Certificate, end time.Time) *x509.Certificate {
		template := &x509.Certificate{
			SerialNumber: big.NewInt(int64(len(name))), Subject: pkix.Name{CommonName: name, Organization: []string{"Example, Inc."}},
			NotBefore: at.AddDate(-1, 0, 0), NotAfter: end, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		}
		if above == nil {
			above = template
		}
		return made(template, above, key, signer)
	}
	l.root = authority("Example Root CA", rootKey, rootKey, nil, at.AddDate(20, 0, 0))
	l.issuing = authority("Example Issuing CA", l.issuingKey, rootKey, l.root, at.AddDate(10, 0, 0))
	l.sub = authority("Example Sub CA", l.otherKey, l.issuingKey, l.issuing, at.AddDate(5, 0, 0))
	l.other = authority("Somebody's CA", l.otherKey, l.otherKey, nil, at.AddDate(10, 0, 0))
	var err error
	if l.csr, err = x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: labSubject}, l.key); err != nil {
		panic(err)
	}
	return l
})

var labSubject = pkix.Name{CommonName: "Salesforce – EMEA SAML signing", Organization: []string{"Example, Inc."}}

func rsaKey() crypto.Signer {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
}

func ecKey() crypto.Signer {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return key
}

func made(template, above *x509.Certificate, key, signer crypto.Signer) *x509.Certificate {
	der, err := x509.CreateCertificate(rand.Reader, template, above, key.Public(), signer)
	if err != nil {
		panic(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return cert
}

// sign makes a certificate for the request that is as it has to be, but for the
// changes.
func (l *lab) sign(change ...func(*order)) *x509.Certificate {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	o := order{key: l.key, signer: l.issuingKey, above: l.issuing, Certificate: x509.Certificate{
		SerialNumber: big.NewInt(4711), Subject: labSubject, NotBefore: at.Add(-time.Hour), NotAfter: at.Add(365 * rotation.Day),
		KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true,
	}}
	for _, c := range change {
		c(&o)
	}
	return made(&o.Certificate, o.above, o.key, o.signer)
}

type order struct {
	x509.Certificate
	key, signer crypto.Signer
	above       *x509.Certificate
}

// bareKey is a private key as some tools write it, without BEGIN and END.
func (l *lab) bareKey() string {
	der, err := x509.MarshalPKCS8PrivateKey(l.otherKey)
	if err != nil {
		panic(err)
	}
	return base64.StdEncoding.EncodeToString(der)
}

func asPEM(certs ...*x509.Certificate) string { return string(ca.Chain(certs).PEM()) }

// toSign asks for a certificate.
func toSign(in *rotation.RequestUploadInput, c *approval.Claim) {
	l := theLab()
	in.Stage, c.Stage, c.Approver = rotation.StageCertificate, rotation.StageCertificate, pki
	in.Policy.Signers = []string{pki, "ca-team@example.com"}
	in.NewKey, in.CSR = rotation.Key{}, &rotation.CSR{ID: "h9zkutaSe7fZX0SwN1GqDApofgD1OW8g2B5l2azha50", Request: base64.StdEncoding.EncodeToString(l.csr)}
	in.Chain = asPEM(l.issuing, l.root)
}

// utf16le is text as PowerShell redirects it.
func utf16le(s string) []byte {
	out := []byte{0xff, 0xfe}
	for _, c := range []byte(s) {
		out = append(out, c, 0)
	}
	return out
}

// upload is a form as a browser sends it with a file input.
func (d *desk) upload(decision, pasted string, file []byte, fields map[string]string) answer {
	d.t.Helper()
	form := d.fill(decision, fields)
	body, kind := parts(d.t, form.Get("form"), decision, pasted, file, fields)
	return d.send(http.MethodPost, "/a/"+d.link, body, map[string]string{"Content-Type": kind})
}

// parts are in the order of the page's fields.
func parts(t *testing.T, token, decision, pasted string, file []byte, fields map[string]string) (body, kind string) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	field := func(name, value string) {
		if err := w.WriteField(name, value); err != nil {
			t.Fatal(err)
		}
	}
	field(fieldForm, token)
	for name, value := range fields {
		field(name, value)
	}
	field(fieldPasted, strings.ReplaceAll(pasted, "\n", "\r\n"))
	name := ""
	if file != nil {
		name = "certificate.cer"
	}
	part, err := w.CreateFormFile(fieldFile, name)
	if err == nil {
		_, err = part.Write(file)
	}
	if err != nil {
		t.Fatal(err)
	}
	field(fieldDecision, decision)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String(), w.FormDataContentType()
}

func TestACertificateThatIsRightIsHandedOn(t *testing.T) {
	l := theLab()
	leaf := l.sign()
	whole := asPEM(leaf, l.issuing, l.root)
	for title, c := range map[string]struct {
		pasted string
		file   []byte
	}{
		"pasted with its chain":            {pasted: whole},
		"pasted alone":                     {pasted: asPEM(leaf)},
		"pasted with text around it":       {pasted: "Here it is:\n\nsubject=CN = x\n" + whole + "\nRegards"},
		"pasted out of an indented text":   {pasted: "  " + strings.ReplaceAll(whole, "\n", "\n   ")},
		"pasted with what nobody sees":     {pasted: "\ufeff" + strings.ReplaceAll(whole, "\n", "\u200b\u00a0\n")},
		"a file":                           {file: []byte(whole)},
		"a file of Windows":                {file: []byte("\ufeff" + strings.ReplaceAll(whole, "\n", "\r\n"))},
		"a file in DER":                    {file: leaf.Raw},
		"the same as text and as file":     {pasted: whole, file: []byte(whole)},
		"the same as text and in DER":      {pasted: asPEM(leaf), file: leaf.Raw},
		"a file in UTF-16":                 {file: utf16le(whole)},
		"bare base64":                      {pasted: base64.StdEncoding.EncodeToString(leaf.Raw)},
		"in one line":                      {pasted: strings.ReplaceAll(whole, "\n", " ")},
		"the chain only in one of the two": {pasted: asPEM(leaf, l.issuing), file: leaf.Raw},
	} {
		t.Run(title, func(t *testing.T) {
			d := newDesk(t, toSign)
			a := d.upload("hand-in", c.pasted, c.file, map[string]string{"comment": "RITM0042"})
			d.want(a, http.StatusOK, takes, "Salesforce – EMEA", pki, "asked to upload it", rotation.Fingerprint(leaf.Raw), "Monday, 1 March 2027, 12:00 UTC")
			got := d.decision("success")
			chain, err := ca.ParseChain([]byte(got.Certificate))
			if err != nil || len(chain) < 2 || !chain[0].Equal(leaf) || !chain[1].Equal(l.issuing) {
				t.Errorf("the certificate is handed on as %q, %v", got.Certificate, err)
			}
			got.Certificate = ""
			if diff := cmp.Diff(rotation.Decision{Confirmed: true, By: pki, At: d.now, Comment: "RITM0042", Address: "192.0.2.7"}, got); diff != "" {
				t.Error(diff)
			}
			if strings.Contains(d.log.String(), "BEGIN") || strings.Contains(d.log.String(), "RITM") {
				t.Errorf("the log has what was brought: %s", d.log.String())
			}
		})
	}
}

func TestAfterTheSwitchTheCertificateIsSwitchedToAtOnce(t *testing.T) {
	d := newDesk(t, toSign, func(in *rotation.RequestUploadInput, _ *approval.Claim) {
		in.Policy.UploadOrder = rotation.AfterSwitch
	})
	if text := d.get().text(); strings.Contains(text, "Okta already uses") || strings.Contains(text, "goes back") {
		t.Errorf("before there is a certificate, the page speaks of the switch:\n%s", text)
	}
	d.want(d.upload("hand-in", asPEM(theLab().sign()), nil, nil), http.StatusOK, takes, "Okta then switches to it")
}

// wrongs are certificates that are not as they have to be, and what the page
// says about each.
func wrongs() map[string]struct {
	pasted string
	idp    bool
	says   []string
} {
	l := theLab()
	changed := func(change func(*order)) string { return asPEM(l.sign(change), l.issuing, l.root) }
	stranger := l.sign(func(o *order) { o.key = l.otherKey })
	return map[string]struct {
		pasted string
		idp    bool
		says   []string
	}{
		"for another key": {pasted: asPEM(stranger, l.issuing, l.root), says: []string{"for another key",
			"Found a public key with the SHA-256 " + rotation.Fingerprint(stranger.RawSubjectPublicKeyInfo), "Needed the request's public key", "the CA must not make a key of its own"}},
		"the CA's own":       {pasted: asPEM(l.issuing, l.root), says: []string{"a CA's own certificate", "Bring that one first"}},
		"in the wrong order": {pasted: asPEM(l.issuing, l.sign(), l.root), says: []string{"wrong order", "Put the certificate for the request first"}},
		"of a sub CA that nobody knows": {pasted: asPEM(l.sign(func(o *order) { o.above, o.signer = l.sub, l.otherKey })), says: []string{"signed by another CA",
			"Found CN=Example Sub CA"}},
		"a key in bare base64": {pasted: l.bareKey(), says: []string{"there is a private key in it"}},
		"another subject": {pasted: changed(func(o *order) { o.Subject.CommonName = "Salesforce" }), says: []string{"another subject than the request",
			"Found CN=Salesforce,O=Example\\, Inc.", "Needed CN=Salesforce – EMEA SAML signing,O=Example\\, Inc."}},
		"90 days": {pasted: changed(func(o *order) { o.NotAfter = o.NotBefore.Add(90*rotation.Day + time.Hour) }), says: []string{"valid for too short a time",
			"Found Saturday, 30 May 2026, 12:00 UTC", "more than 90 days", "for more than 90 and at most 397 days"}},
		"ten years": {pasted: changed(func(o *order) { o.NotAfter = o.NotBefore.AddDate(8, 0, 0) }), says: []string{"valid for too long",
			"Found Wednesday, 1 March 2034, 11:00 UTC", "Needed more than 90 and at most 397 days"}},
		"over": {pasted: changed(func(o *order) { o.NotBefore, o.NotAfter = o.NotBefore.AddDate(-1, 0, 0), o.NotBefore }), says: []string{"has expired",
			"Found Sunday, 1 March 2026, 11:00 UTC", "an older certificate"}},
		"of tomorrow": {pasted: changed(func(o *order) { o.NotBefore = o.NotBefore.Add(rotation.Day) }), says: []string{"not valid yet",
			"Found Monday, 2 March 2026, 11:00 UTC", "Bring it again when that time has come"}},
		"a CA": {pasted: changed(func(o *order) { o.IsCA, o.KeyUsage = true, o.KeyUsage|x509.KeyUsageCertSign }), says: []string{"made out to a CA",
			"Found CA:TRUE Needed CA:FALSE", "could issue certificates"}},
		"for encryption only": {pasted: changed(func(o *order) { o.KeyUsage = x509.KeyUsageKeyEncipherment }), says: []string{"key usage does not allow",
			"Found keyEncipherment Needed digitalSignature, and not keyCertSign"}},
		"for signatures only, of an IdP": {idp: true, pasted: changed(func(*order) {}), says: []string{"key usage does not allow",
			"Found digitalSignature Needed digitalSignature and keyEncipherment"}},
		"SHA-1": {pasted: changed(func(o *order) { o.SignatureAlgorithm = x509.SHA1WithRSA }), says: []string{"outdated algorithm",
			"Found SHA1-RSA Needed SHA-256 or better"}},
		"by another CA": {pasted: asPEM(l.sign(func(o *order) { o.above, o.signer = l.other, l.otherKey }), l.other), says: []string{"signed by another CA",
			"Found CN=Somebody's CA", "tell whoever runs Keyturn"}},
		"a web page":            {pasted: "<!doctype html><html><body>Your session has expired</body></html>", says: []string{"cannot be read as a certificate", "This is a web page, and not a certificate.", "Download the certificate from the CA's portal"}},
		"the request itself":    {pasted: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: l.csr})), says: []string{"cannot be read as a certificate", "This is a certificate request (CSR)"}},
		"PKCS#7":                {pasted: "-----BEGIN PKCS7-----\nMIIB\n-----END PKCS7-----\n", says: []string{"cannot be read as a certificate", "PKCS#7", "openssl pkcs7"}},
		"one that is cut off":   {pasted: asPEM(l.sign())[:600], says: []string{"cannot be read as a certificate", "is damaged or cut off", "Copy it once more"}},
		"one with a lost line":  {pasted: strings.Replace(asPEM(l.sign()), "\n", "\n@@@@\n", 3), says: []string{"cannot be read as a certificate"}},
		"nonsense that is long": {pasted: strings.Repeat("certificate ", 4000), says: []string{"cannot be read as a certificate"}},
		"a private key in it": {pasted: asPEM(l.sign()) + "-----BEGIN PRIVATE KEY-----\nc2VjcmV0IHdvcmRz\n-----END PRIVATE KEY-----\n", says: []string{"there is a private key in it",
			"has not kept it", "is in Okta and never leaves it"}},
	}
}

func TestACertificateThatIsWrongIsExplainedAndTheLinkWorksOn(t *testing.T) {
	for title, c := range wrongs() {
		for _, way := range []string{"pasted", "file"} {
			t.Run(title+", "+way, func(t *testing.T) {
				change := []func(*rotation.RequestUploadInput, *approval.Claim){toSign}
				if c.idp {
					change = append(change, ofAnIDP)
				}
				d := newDesk(t, change...)
				pasted, file := c.pasted, []byte(nil)
				if way == "file" {
					pasted, file = "", []byte(c.pasted)
				}
				a := d.upload("hand-in", pasted, file, map[string]string{"comment": "RITM0042,\nsecond try"})
				d.want(a, http.StatusUnprocessableEntity, asksForSign, append(c.says, "The certificate was not taken: ", "Nothing was decided.")...)
				d.undecided()
				if !strings.Contains(a.body, "RITM0042,\nsecond try") {
					t.Error("the comment is lost")
				}
				secret := strings.Contains(title, "key in")
				if kept := strings.Contains(a.body, ">"+stdEscape(strings.TrimSpace(pasted))+"</textarea>"); pasted != "" && kept == secret {
					t.Errorf("the pasted text is shown again: %v, want %v", kept, !secret)
				}
				if strings.Contains(a.body, "c2VjcmV0") {
					t.Error("the page shows a private key")
				}
				for _, internal := range []string{"x509:", "asn1:", "pem:", "chain[", "goroutine", "%!", "certificate.public", "certificate.not", "certificate.key", "validityDays"} {
					if strings.Contains(a.text(), internal) {
						t.Errorf("the page says %q:\n%s", internal, a.text())
					}
				}
				if log := d.log.String(); !strings.Contains(log, "certificate refused") || strings.Contains(log, "BEGIN") || strings.Contains(log, "RITM") {
					t.Errorf("the log: %s", log)
				}
				right := theLab().sign(func(o *order) { o.KeyUsage |= x509.KeyUsageKeyEncipherment })
				d.want(d.upload("hand-in", asPEM(right), nil, nil), http.StatusOK, takes)
				if got := handedIn(d.decision("success")); got == nil || !got.Equal(right) {
					t.Error("another certificate was handed on")
				}
			})
		}
	}
}

func stdUnescape(s string) string { return stdhtml.UnescapeString(s) }

func stdEscape(s string) string {
	return strings.NewReplacer("<", "&lt;", ">", "&gt;", "&", "&amp;", "'", "&#39;").Replace(s)
}

// errCause is one that no page must show.
var errCause = errors.New("x509: a cause from within")

func TestEveryErrorOfTheCheckIsSaidInPlainWords(t *testing.T) {
	l := theLab()
	leaf := l.sign()
	for title, c := range map[string]struct {
		err    ca.Error
		answer string
		says   []string
	}{
		"a CA's own certificate":         {ca.Error{Name: ca.NameIsCA, Field: "certificate", Value: "CN=Example Issuing CA"}, asPEM(l.issuing), []string{"it is a CA's own certificate", "is missing"}},
		"another order":                  {ca.Error{Name: ca.NameWrongOrder, Field: "chain[1]", Value: "CN=x", Message: "out of order"}, asPEM(l.issuing, leaf), []string{"wrong order", "Put the certificate for the request first"}},
		"an issuer is missing":           {ca.Error{Name: ca.NameBadChain, Field: "chain", Value: "incomplete", Message: "the certificate of the CA CN=Example Sub CA, which signed CN=x, is missing", Remedy: "add it"}, asPEM(leaf), []string{"a CA certificate is missing behind it", "The certificate of the CA CN=Example Sub CA, which signed CN=x, is missing.", "behind yours"}},
		"no chain":                       {ca.Error{Name: ca.NameBadChain, Field: "chain", Value: "empty", Message: "partners cannot verify the certificate without its CA"}, asPEM(leaf), []string{"missing behind it", "Partners cannot verify"}},
		"another root":                   {ca.Error{Name: ca.NameBadChain, Field: "chain.root", Value: "CN=Somebody's CA", Message: "not a root of the configured CA"}, asPEM(leaf), []string{"ends at another root", "CN=Somebody's CA", "Leave that certificate out"}},
		"a name that the CA may not":     {ca.Error{Name: ca.NameBadChain, Field: "certificate.subjectAltName", Message: "the CA may not sign for it (nameConstraints)"}, asPEM(leaf), []string{"the CA may not sign for this name"}},
		"a chain that leads elsewhere":   {ca.Error{Name: ca.NameBadChain, Field: "chain[1]", Value: "CN=x", Message: "it did not sign what stands before it, CN=y"}, asPEM(leaf), []string{"do not lead to a CA that is accepted", "It did not sign what stands before it, CN=y."}},
		"a CA that ends first":           {ca.Error{Name: ca.NameTooLong, Field: "chain[0].notAfter", Value: "2026-06-29T12:00:00Z", Message: "the CA CN=x ends before the certificate"}, asPEM(leaf), []string{"longer than the CA itself", "Monday, 29 June 2026, 12:00 UTC"}},
		"a CA that ends first, as dates": {ca.Error{Name: ca.NameTooLong, Field: "certificate.notAfter", Value: "2027-03-01T12:00:00Z", Message: "after the end of its CA"}, asPEM(leaf), []string{"longer than the CA itself"}},
		"a CA that is over":              {ca.Error{Name: ca.NameExpired, Field: "chain[0].notAfter", Value: "2026-01-01T00:00:00Z", Message: "the CA CN=x is over"}, asPEM(leaf), []string{"a CA certificate in its chain has expired", "Thursday, 1 January 2026"}},
		"a CA that has not begun":        {ca.Error{Name: ca.NameNotYetValid, Field: "chain[0].notBefore", Value: "2027-01-01T00:00:00Z", Message: "the CA CN=x has not begun"}, asPEM(leaf), []string{"is not valid yet", "Friday, 1 January 2027"}},
		"a CA's weak key":                {ca.Error{Name: ca.NameWeakKey, Field: "chain[0].publicKey", Value: "RSA with 1024 bits"}, asPEM(leaf), []string{"the CA's own key is too weak", "RSA with 1024 bits"}},
		"no CRL":                         {ca.Error{Name: ca.NameProfile, Field: "certificate.crlDistributionPoints", Value: "missing", Message: "the policy's profile also asks for http://pki.example.com/x.crl"}, asPEM(leaf), []string{"not what your company's policy asks for", "Found missing Concerns crlDistributionPoints", "The policy's profile also asks for http://pki.example.com/x.crl."}},
		"another name":                   {ca.Error{Name: ca.NameMismatch, Field: "certificate.subjectAltName", Value: "a.example.com", Message: "the request says nothing of it"}, asPEM(leaf), []string{"does not say what the request says", "The request says nothing of it."}},
		"unreadable":                     {ca.Error{Name: ca.NameUnreadable, Field: "certificate", Value: "PKCS#7", Message: "a container of certificates", Remedy: "export the certificate alone"}, "x", []string{"cannot be read as a certificate", "Found PKCS#7", "A container of certificates.", "Export the certificate alone."}},
		"a private key":                  {ca.Error{Name: ca.NamePrivateKey, Field: "certificate", Value: "PKCS#12"}, "x", []string{"there is a private key in it"}},
		"what is not known here":         {ca.Error{Name: "Certificate.Odd", Field: "certificate.x", Value: "y", Message: "odd", Remedy: "make it even"}, "x", []string{"something about it is not right", "Found y", "Odd.", "Make it even."}},
	} {
		t.Run(title, func(t *testing.T) {
			a := signAsk(t)
			c.err.Err = errCause
			a.Refused = a.refuse(&c.err, []byte(c.answer))
			text := answer{body: html(t, a)}.text()
			for _, want := range append(c.says, "The certificate was not taken: ") {
				if !strings.Contains(text, want) {
					t.Errorf("the page does not say %q:\n%s", want, text)
				}
			}
			if strings.Contains(text, errCause.Error()) || a.Refused.Ours || strings.Contains(text, "..") {
				t.Errorf("the page shows a cause, calls it ours or stutters:\n%s", text)
			}
		})
	}
}

func TestBothWaysAtOnceHaveToAgree(t *testing.T) {
	l := theLab()
	one, two := l.sign(), l.sign(func(o *order) { o.SerialNumber = big.NewInt(4712) })
	for title, file := range map[string][]byte{
		"another certificate":  []byte(asPEM(two)),
		"another one, in DER":  two.Raw,
		"the CA's certificate": []byte(asPEM(l.issuing)),
		"no certificate":       []byte("%PDF-1.7"),
	} {
		t.Run(title, func(t *testing.T) {
			d := newDesk(t, toSign)
			d.want(d.upload("hand-in", asPEM(one), file, nil), http.StatusUnprocessableEntity, asksForSign, "they are not the same certificate", "Please give only one of the two", "Nothing was decided")
			d.undecided()
		})
	}
}

func TestACertificateHasToBeBrought(t *testing.T) {
	d := newDesk(t, toSign)
	for _, file := range [][]byte{nil, {}, []byte(" \r\n\t")} {
		d.want(d.upload("hand-in", " \n \u200b", file, nil), http.StatusUnprocessableEntity, asksForSign, "paste the certificate, or choose its file", "Nothing was decided")
	}
	d.undecided()
}

func TestWhatIsTooLargeIsNotTakenAndTheRestIsKept(t *testing.T) {
	d := newDesk(t, toSign)
	a := d.upload("hand-in", "-----BEGIN pasted", bytes.Repeat([]byte("x"), 70<<10), map[string]string{"comment": "RITM0042"})
	d.want(a, http.StatusRequestEntityTooLarge, asksForSign, "too large: 64 KB can be taken", "Nothing was decided")
	for _, kept := range []string{"RITM0042", "-----BEGIN pasted"} {
		if !strings.Contains(a.body, kept) {
			t.Errorf("the page has lost %q", kept)
		}
	}
	a = d.upload("hand-in", strings.Repeat("x", 70<<10), nil, map[string]string{"comment": "RITM0042"})
	d.want(a, http.StatusRequestEntityTooLarge, asksForSign, "too large")
	if !strings.Contains(a.body, "RITM0042") || len(a.body) > 60<<10 {
		t.Errorf("the page has lost the comment, or shows what was too large: %d bytes", len(a.body))
	}
	// A file that is large and fits is read to its end.
	d.want(d.upload("hand-in", "", bytes.Repeat([]byte("x"), 60<<10), nil), http.StatusUnprocessableEntity, asksForSign, "cannot be read as a certificate")
	d.undecided()
	d.want(d.upload("hand-in", asPEM(theLab().sign()), nil, nil), http.StatusOK, takes)
}

func TestAFormThatCannotBeReadDecidesNothing(t *testing.T) {
	d := newDesk(t, toSign)
	token := d.fill("hand-in", nil).Get("form")
	good, kind := parts(t, token, "hand-in", asPEM(theLab().sign()), nil, nil)
	for title, c := range map[string]struct {
		body, kind string
		status     int
	}{
		"nothing":          {"", kind, http.StatusBadRequest},
		"cut off":          {good[:len(good)-60], kind, http.StatusBadRequest},
		"no boundary":      {good, "multipart/form-data", http.StatusBadRequest},
		"another boundary": {good, "multipart/form-data; boundary=x", http.StatusBadRequest},
		"many parts":       {strings.Repeat("--x\r\nContent-Disposition: form-data; name=\"form\"\r\n\r\n\r\n", 30) + "--x--\r\n", "multipart/form-data; boundary=x", http.StatusBadRequest},
	} {
		t.Run(title, func(t *testing.T) {
			d.t = t
			d.want(d.send(http.MethodPost, "/a/"+d.link, c.body, map[string]string{"Content-Type": c.kind}), c.status, asksForSign, "could not be read", "Nothing was decided")
		})
	}
	d.t = t
	d.want(d.send(http.MethodPost, "/a/"+d.link, "decision=hand-in", nil), http.StatusUnsupportedMediaType, "This answer did not come from our page")
	body, kind := parts(t, "", "hand-in", asPEM(theLab().sign()), nil, map[string]string{"comment": "typed"})
	d.want(d.send(http.MethodPost, "/a/"+d.link, body, map[string]string{"Content-Type": kind}), http.StatusForbidden, asksForSign, "did not come from it", "typed")
	d.want(d.send(http.MethodPost, "/a/"+d.link, good, map[string]string{"Content-Type": kind, "Sec-Fetch-Site": "cross-site"}), http.StatusForbidden, "This answer did not come from our page")
	d.undecided()
}

func TestWhatIsNotThePersonsFaultIsSaidSo(t *testing.T) {
	for title, c := range map[string]struct {
		change func(*rotation.RequestUploadInput, *approval.Claim)
		name   string
	}{
		"no CA is known":           {func(in *rotation.RequestUploadInput, _ *approval.Claim) { in.Chain = "" }, "CA.Misconfigured"},
		"the CA's are unreadable":  {func(in *rotation.RequestUploadInput, _ *approval.Claim) { in.Chain = "-----BEGIN CERTIFICATE-----" }, "CA.Misconfigured"},
		"no request":               {func(in *rotation.RequestUploadInput, _ *approval.Claim) { in.CSR = nil }, "CSR.Invalid"},
		"a request that is none":   {func(in *rotation.RequestUploadInput, _ *approval.Claim) { in.CSR.Request = "TUlJ" }, "CSR.Invalid"},
		"a profile that is none":   {func(in *rotation.RequestUploadInput, _ *approval.Claim) { in.Policy.Profile.KeyUsage = []string{"x"} }, "Policy.Invalid"},
		"a validity that is none":  {func(in *rotation.RequestUploadInput, _ *approval.Claim) { in.Policy.ValidityDays = 90 }, "Certificate.TooShort"},
		"a validity without bound": {func(in *rotation.RequestUploadInput, _ *approval.Claim) { in.Policy.ValidityDays = 1 << 30 }, "Certificate.TooLong"},
	} {
		t.Run(title, func(t *testing.T) {
			d := newDesk(t, toSign, c.change)
			a := d.upload("hand-in", asPEM(theLab().sign()), nil, map[string]string{"comment": "RITM0042"})
			d.want(a, http.StatusServiceUnavailable, asksForSign, "not your certificate's fault", "tell whoever runs Keyturn", c.name, "Nothing was decided", "RITM0042")
			d.undecided()
			if log := d.log.String(); !strings.Contains(log, `"certificate not checked"`) || !strings.Contains(log, c.name) {
				t.Errorf("the log: %s", log)
			}
		})
	}
}

func TestARequestIsDeclinedWithAReason(t *testing.T) {
	d := newDesk(t, toSign)
	d.want(d.upload("reject", "", nil, nil), http.StatusUnprocessableEntity, asksForSign, "say why")
	d.undecided()
	a := d.upload("reject", "not a certificate", nil, map[string]string{"comment": "not our CA's business"})
	d.want(a, http.StatusOK, "Noted: the request is withdrawn", "Okta keeps the old certificate", pki)
	if diff := cmp.Diff(rotation.Decision{By: pki, At: d.now, Comment: "not our CA's business", Address: "192.0.2.7"}, d.decision("failure Approval.Rejected")); diff != "" {
		t.Error(diff)
	}
	d.service.End("GaveUp", `{"result":"GaveUp"}`)
	d.want(d.get(), http.StatusGone, "This request is answered already", "declined", pki, "Nothing was changed")
}

func TestOnlyACertificateOrARefusalAnswersARequestForOne(t *testing.T) {
	d := newDesk(t, toSign)
	for _, decision := range []string{"", "confirm", "plan", "works", "call-off", "HAND-IN"} {
		d.want(d.upload(decision, asPEM(theLab().sign()), nil, nil), http.StatusUnprocessableEntity, asksForSign, "choose one of the answers")
	}
	d.undecided()
	// And no certificate comes by an upload's confirmation.
	d = newDesk(t)
	d.want(d.decide("hand-in", map[string]string{"certificate": "x"}), http.StatusUnprocessableEntity, asksForUpload, "choose one of the answers")
	d.want(d.decide("confirm", map[string]string{"certificate": asPEM(theLab().sign())}), http.StatusOK, "Thank you, Okta switches now")
	if got := d.decision("success"); got.Certificate != "" {
		t.Errorf("%+v", got)
	}
}

func TestAChannelsLinkAsksWhoHandsTheCertificateIn(t *testing.T) {
	d := newDesk(t, toSign, channel)
	pasted := asPEM(theLab().sign())
	a := d.upload("hand-in", pasted, nil, nil)
	d.want(a, http.StatusUnprocessableEntity, asksForSign, "give your name")
	if !strings.Contains(a.body, strings.TrimSpace(pasted)) {
		t.Error("the pasted certificate is lost")
	}
	d.want(d.upload("hand-in", pasted, nil, map[string]string{"name": "the PKI team"}), http.StatusOK, takes, "the PKI team (the name given on the page)")
	if got := d.decision("success"); got.By != "the PKI team" || !got.Named {
		t.Errorf("%+v", got)
	}
}

func TestTheFirstCertificateCountsAndTheNextOneIsToldSo(t *testing.T) {
	d := newDesk(t, toSign)
	second := d.claim
	second.Approver = "ca-team@example.com"
	link := d.seal(second)
	l := theLab()
	good := asPEM(l.sign())
	late, kind := parts(t, d.sealer.FormToken(link, d.in.TaskToken, d.now), "hand-in", good, nil, nil)
	d.want(d.upload("hand-in", good, nil, nil), http.StatusOK, takes)
	answered := func(a answer, status int, texts ...string) {
		t.Helper()
		d.want(a, status, "This request is answered already", append(texts, "Salesforce")...)
	}
	post := func() answer {
		return d.send(http.MethodPost, "/a/"+link, late, map[string]string{"Content-Type": kind})
	}
	answered(post(), http.StatusConflict, pki, "certificate handed in", "carrying the answer out")
	answered(d.get(), http.StatusGone, pki, "certificate handed in")
	d.service.Step("SignCsr", `{"ExecutedVersion":"$LATEST","Payload":{"certificate":{"pem":"x"}}}`)
	answered(d.get(), http.StatusGone, pki, "certificate handed in")

	// Then the upload is asked for: another request, of others.
	upload := d.in
	upload.TaskToken, upload.Stage, upload.CSR, upload.NewKey = otherToken, rotation.StageUpload, nil, rotation.Key{Kid: "new-kid", NotAfter: d.now.Add(365 * rotation.Day), Certificate: testKey(t, "new", "", "", time.Time{}).Certificate}
	d.service.Ask(upload)
	answered(d.get(), http.StatusGone, "The certificate was handed in", "are asked for the next step")
	answered(post(), http.StatusConflict, "The certificate was handed in")
	d.service.TimeOut()
	d.service.Choose("NextMessage")
	old := approval.Claim{TaskToken: otherToken, Stage: rotation.StageUpload, Execution: d.claim.Execution, Target: d.in.Target, Approver: crm, Expires: d.claim.Expires}
	if a := d.send(http.MethodGet, "/a/"+d.seal(old), "", nil); a.title() != "Keyturn is at work" || strings.Contains(a.text(), pki) {
		t.Errorf("the upload's link is told of an answer that it did not get: %q %s", a.title(), a.text())
	}
	upload.TaskToken = otherToken[:len(otherToken)-8] + "AAAAAAA="
	d.service.Ask(upload)
	if a := d.send(http.MethodGet, "/a/"+d.seal(old), "", nil); a.title() != "A newer link was sent" || strings.Contains(a.text(), pki) {
		t.Errorf("the upload's old link: %q %s", a.title(), a.text())
	}

	// A plan is the business of those who upload.
	at := d.now.Add(6 * rotation.Day)
	plan := rotation.Decision{Confirmed: true, By: crm, At: d.now, SwitchAt: &at}
	if err := d.page.Decider.Decide(t.Context(), upload.TaskToken, plan); err != nil {
		t.Fatal(err)
	}
	waits := upload
	waits.TaskToken, waits.Stage, waits.Decision = taskToken[:len(taskToken)-8]+"AAAAAAA=", rotation.StagePlanned, &plan
	d.service.Ask(waits)
	answered(d.get(), http.StatusGone, "are asked for the next step")
	if strings.Contains(d.get().text(), crm) {
		t.Error("the signers are told of the uploaders' answer as if it were theirs")
	}
	if a := d.send(http.MethodGet, "/a/"+d.seal(old), "", nil); a.status != http.StatusOK || !strings.Contains(a.text(), "call the plan off") {
		t.Errorf("the plan cannot be called off any more: %d %s", a.status, a.text())
	}
	d.service.End("Completed", `{"result":"Completed"}`)
	answered(d.get(), http.StatusGone, "Okta uses the new certificate.")
	if n := len(d.service.Answers()); n != 2 {
		t.Errorf("%d answers were taken, want the certificate and the plan", n)
	}
}

func TestACertificateWhoseAcknowledgementWasLostIsTakenAsWhatItWas(t *testing.T) {
	d := newDesk(t, toSign)
	d.page.Decider = losing{d.page.Decider}
	d.want(d.upload("hand-in", asPEM(theLab().sign()), nil, nil), http.StatusOK, takes)
	if n := len(d.service.Answers()); n != 1 {
		t.Errorf("%d answers were taken", n)
	}
	// Another certificate is another answer, whoever gave it.
	l := theLab()
	d = newDesk(t, toSign, channel)
	first := rotation.Decision{Confirmed: true, By: "PKI", Named: true, At: d.now, Address: "192.0.2.7", Certificate: asPEM(l.sign(), l.issuing, l.root)}
	form := d.fill("hand-in", nil).Get("form")
	if err := d.page.Decider.Decide(t.Context(), taskToken, first); err != nil {
		t.Fatal(err)
	}
	d.page.Rotations = stale{d.page.Rotations, d.in}
	other := l.sign(func(o *order) { o.SerialNumber = big.NewInt(4713) })
	body, kind := parts(t, form, "hand-in", asPEM(other, l.issuing, l.root), nil, map[string]string{"name": "PKI"})
	d.want(d.send(http.MethodPost, "/a/"+d.link, body, map[string]string{"Content-Type": kind}), http.StatusConflict, "This request is answered already", "PKI")
}

func TestAReminderReplacesTheLink(t *testing.T) {
	d := newDesk(t, toSign)
	in := d.in
	in.TaskToken, in.Round = otherToken, 1
	d.service.TimeOut()
	d.service.Choose("NextMessage")
	d.service.Ask(in)
	d.want(d.get(), http.StatusGone, "A newer link was sent")
	body, kind := parts(t, d.sealer.FormToken(d.link, d.in.TaskToken, d.now), "hand-in", asPEM(theLab().sign()), nil, nil)
	d.want(d.send(http.MethodPost, "/a/"+d.link, body, map[string]string{"Content-Type": kind}), http.StatusConflict, "A newer link was sent")
	d.undecided()
	claim := d.claim
	claim.TaskToken = otherToken
	d.link = d.seal(claim)
	d.want(d.get(), http.StatusOK, asksForSign, "this is reminder 1")
	d.now = claim.Expires
	d.want(d.get(), http.StatusGone, "This link has expired")
}

func TestTheDownloadsOfARequestAreTheRequest(t *testing.T) {
	l := theLab()
	d := newDesk(t, toSign)
	csr, err := x509.ParseCertificateRequest(l.csr)
	if err != nil {
		t.Fatal(err)
	}
	name := "salesforce-emea-okta-request-" + strings.ToLower(strings.ReplaceAll(rotation.Fingerprint(csr.RawSubjectPublicKeyInfo)[:11], ":", ""))
	text := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: l.csr}))
	for file, want := range map[string]struct{ name, kind, content string }{
		"request.csr": {name + ".csr", "application/x-pem-file", text},
		"request.p10": {name + ".p10", "application/pkcs10", string(l.csr)},
	} {
		a := d.send(http.MethodGet, "/a/"+d.link+"/"+file, "", nil)
		disposition, parameters, err := mime.ParseMediaType(a.header.Get("Content-Disposition"))
		if err != nil || a.status != http.StatusOK || disposition != "attachment" || parameters["filename"] != want.name || a.header.Get("Content-Type") != want.kind || a.body != want.content {
			t.Errorf("%s: %d %v %q", file, a.status, a.header, a.body)
		}
		if !strings.Contains(d.get().body, d.link+"/"+file) {
			t.Errorf("the page does not offer %s", file)
		}
	}
	if !strings.Contains(stdUnescape(d.get().body), text) {
		t.Error("the request is not on the page as text")
	}
	for _, file := range []string{"certificate.pem", "certificate.cer", "chain.pem", "metadata.xml"} {
		d.want(d.send(http.MethodGet, "/a/"+d.link+"/"+file, "", nil), http.StatusNotFound, "There is no such download")
	}
	if d.metadata.calls != 0 {
		t.Error("Okta was asked for metadata")
	}
	d.undecided()
	d = newDesk(t, toSign, func(in *rotation.RequestUploadInput, _ *approval.Claim) { in.CSR.Request = "TUlJ" })
	d.want(d.send(http.MethodGet, "/a/"+d.link+"/request.csr", "", nil), http.StatusServiceUnavailable, "Please try again in a few minutes")
	d.want(d.get(), http.StatusOK, asksForSign, "cannot be shown here")
	// A certificate has no request behind it.
	d = newDesk(t)
	d.want(d.send(http.MethodGet, "/a/"+d.link+"/request.csr", "", nil), http.StatusNotFound, "There is no such download")
}

func TestWhatIsBroughtIsTextAndNeverHTML(t *testing.T) {
	const hostile = "</textarea><script>alert(1)</script>\"'><img src=x onerror=alert(2)>\u202egnp.exe\u0000\x1b[31m"
	l := theLab()
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: hostile[:60], Organization: []string{"<img src=x onerror=alert(3)>\u202e"}}, DNSNames: []string{"<script>alert(4)</script>"}}, l.key)
	if err != nil {
		t.Fatal(err)
	}
	evil := func(in *rotation.RequestUploadInput, c *approval.Claim) {
		toSign(in, c)
		c.Approver, c.Target.Label, in.Target.Label = "", hostile, hostile
		in.CSR.Request = base64.StdEncoding.EncodeToString(csr)
		in.Policy.Signers = []string{hostile}
		in.Policy.Profile = rotation.Profile{CRLURLs: []string{hostile}, OCSPURLs: []string{"javascript:alert(5)"}}
		root := made(&x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "<script>alert(6)</script>\u202e"}, NotAfter: d20(), IsCA: true, BasicConstraintsValid: true}, &x509.Certificate{Subject: pkix.Name{CommonName: "<script>alert(6)</script>\u202e"}}, l.otherKey, l.otherKey)
		in.Chain = hostile + "\n" + asPEM(root)
	}
	d := newDesk(t, evil)
	forged := l.sign(func(o *order) {
		o.Subject = pkix.Name{CommonName: "<script>alert(7)</script>", Organization: []string{"\u202e<img src=x>"}}
	})
	fields := map[string]string{"name": hostile, "comment": hostile}
	answers := []answer{
		d.get(),
		d.upload("hand-in", hostile, nil, fields),
		d.upload("hand-in", hostile+"\n"+asPEM(forged), []byte(hostile), fields),
		d.upload("hand-in", "", []byte(hostile+"\n"+asPEM(forged)), fields),
		d.upload("", hostile, nil, fields),
		d.upload("reject", hostile, nil, fields),
		d.get(),
	}
	e := newDesk(t, toSign)
	answers = append(answers, e.upload("hand-in", hostile+"\n"+asPEM(forged, l.issuing), nil, fields))
	for i, a := range answers {
		if strings.Contains(a.body, "<script>alert") || strings.Contains(a.body, "<img") || strings.Contains(a.body, `"'>`) || strings.Contains(a.body, `href="javascript`) {
			t.Errorf("page %d: it became HTML", i)
		}
		if strings.Count(a.body, "</textarea>") != strings.Count(a.body, "<textarea") {
			t.Errorf("page %d: a text area was closed by what is in it", i)
		}
		if strings.ContainsAny(a.body, "\u202e\u0000\x1b") {
			t.Errorf("page %d has control characters", i)
		}
	}
	if !strings.Contains(answers[0].text(), "alert(3)") || !strings.Contains(answers[7].text(), "alert(7)") {
		t.Error("the hostile texts are not on the pages at all, so this shows nothing")
	}
}

func d20() time.Time { return time.Date(2046, 3, 1, 12, 0, 0, 0, time.UTC) }

func TestThePageListsWhoElseIsAsked(t *testing.T) {
	d := newDesk(t, toSign)
	text := d.get().text()
	if !strings.Contains(text, "Also asked ca-team@example.com") || strings.Contains(text, crm) {
		t.Errorf("the signers are asked, and nobody else:\n%s", text)
	}
	d = newDesk(t, toSign, func(in *rotation.RequestUploadInput, _ *approval.Claim) { in.Policy.Signers = nil })
	if text := d.get().text(); !strings.Contains(text, crm) {
		t.Errorf("the approvers stand in for signers:\n%s", text)
	}
}

func TestTheFormComesThroughLambda(t *testing.T) {
	d := newDesk(t, toSign)
	leaf := theLab().sign()
	body, kind := parts(t, d.fill("hand-in", nil).Get("form"), "hand-in", "", leaf.Raw, nil)
	in := events.LambdaFunctionURLRequest{
		RawPath: "/a/" + d.link, Body: base64.StdEncoding.EncodeToString([]byte(body)), IsBase64Encoded: true,
		Headers: map[string]string{"content-type": kind, "sec-fetch-site": "same-origin"},
	}
	in.RequestContext.HTTP.Method, in.RequestContext.HTTP.SourceIP = http.MethodPost, "192.0.2.7"
	out, err := FunctionURL(d.page)(t.Context(), in)
	if err != nil || out.StatusCode != http.StatusOK {
		t.Fatalf("%d %v: %s", out.StatusCode, err, answer{body: out.Body}.text())
	}
	if got := handedIn(d.decision("success")); got == nil || !slices.Equal(got.Raw, leaf.Raw) {
		t.Error("the certificate did not come through as it was")
	}
}

func FuzzWhatIsBrought(f *testing.F) {
	l := theLab()
	f.Add(asPEM(l.sign(), l.issuing), []byte(nil))
	f.Add("-----BEGIN CERTIFICATE-----", l.sign().Raw)
	f.Add("", l.csr)
	f.Add("<html>", []byte("\xff\xfe-\x00-\x00"))
	f.Fuzz(func(t *testing.T, pasted string, file []byte) {
		d := newDesk(t, toSign)
		a := d.upload("hand-in", pasted, file, nil)
		switch a.status {
		case http.StatusOK:
			if got := handedIn(d.decision("success")); got == nil {
				t.Error("nothing was handed on")
			}
		case http.StatusUnprocessableEntity, http.StatusRequestEntityTooLarge:
			d.undecided()
		default:
			t.Errorf("status %d", a.status)
		}
	})
}
