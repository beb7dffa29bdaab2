package page

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"keyturn/internal/approval"
	"keyturn/internal/ca"
	"keyturn/internal/ca/manual"
	"keyturn/internal/rotation"
	"keyturn/internal/signing"
)

// The certificate that a person brings: how it comes in, how it is checked, and
// what is said where it is not what was asked for.

const (
	// maxUpload bounds the form of StageCertificate: a certificate with its
	// chain has some 8 KB as text, and may be pasted and chosen as a file.
	maxUpload = 64 << 10
	maxParts  = 20
)

// readParts reads a multipart form: its fields, and the file. What came before
// an error is given as well.
func readParts(r *http.Request) (fields url.Values, file []byte, err error) {
	fields = url.Values{}
	parts, err := r.MultipartReader()
	if err != nil {
		return fields, nil, err
	}
	for range maxParts {
		part, err := parts.NextPart()
		if errors.Is(err, io.EOF) && len(fields) > 0 {
			return fields, file, nil
		}
		if err != nil {
			return fields, file, err
		}
		content, err := io.ReadAll(part)
		if err != nil {
			return fields, file, err
		}
		if part.FormName() == fieldFile {
			file = content
		} else {
			fields.Add(part.FormName(), string(content))
		}
	}
	return fields, file, errors.New("too many parts")
}

// brought is what the person has brought, by one way or the other, or what is
// wrong with that.
func (a *ask) brought(file []byte) (answer []byte, problem string) {
	pasted := []byte(a.Pasted)
	if len(bytes.TrimSpace(file)) == 0 {
		file = nil
	}
	switch {
	case len(pasted) == 0 && file == nil:
		return nil, "Please paste the certificate, or choose its file."
	case file == nil:
		return pasted, ""
	case len(pasted) == 0:
		return file, ""
	}
	inText, errText := manual.Read(pasted)
	inFile, errFile := manual.Read(file)
	switch {
	case errText != nil || errFile != nil || !inText.Leaf.Equal(inFile.Leaf):
		return nil, "You pasted a text and chose a file, and they are not the same certificate. Please give only one of the two; a chain goes behind the certificate, in the same text or file."
	case len(inText.Chain) > len(inFile.Chain):
		return pasted, ""
	}
	return file, ""
}

// check is what stands between a person and the rotation: the same checks that
// the certificate has to pass before it is published. It gives the certificate
// with its chain, or says what is wrong.
func (a *ask) check(ctx context.Context, answer []byte) (string, error) {
	authority, err := manual.New([]byte(a.In.Chain))
	if err != nil {
		return "", err
	}
	if a.In.CSR == nil {
		return "", rotation.Errorf("CSR.Invalid", "there is no CSR: start the rotation again")
	}
	request, err := signing.Request(a.In.Target, a.In.Policy, *a.In.CSR, a.Now)
	if err != nil {
		return "", err
	}
	request.Answer = answer
	certificate, err := authority.Sign(ctx, request)
	if err != nil {
		return "", err
	}
	if err := ca.Check(certificate, request, authority); err != nil {
		return "", err
	}
	return string(certificate.PEM()), nil
}

// holdsKey tells that there is a private key in a text: it is never shown.
func holdsKey(text string) bool {
	_, err := manual.Read([]byte(text))
	return rotation.NameOf(err) == ca.NamePrivateKey
}

// refusal says why a certificate was not taken.
type refusal struct {
	// Title ends the sentence "The certificate was not taken: …".
	Title string
	// Facts are what was found, and what is needed.
	Facts []fact
	// Text says more, and what to do.
	Text []string
	// Ours tells that the person cannot mend it.
	Ours bool
}

// refuse puts an error of check into words for people. Of the error it shows
// what was found, and never the chain of causes.
func (a *ask) refuse(err error, answer []byte) *refusal {
	var e *ca.Error
	if !errors.As(err, &e) || isOurs(e) {
		return &refusal{Ours: true, Title: "it could not be checked", Text: []string{
			"This is not your certificate's fault, and you cannot mend it: Keyturn is not set up as it should be. Please tell whoever runs Keyturn at your company, and name the error: " + rotation.NameOf(err) + ".",
			"Your link stays valid: bring the certificate again when it has been mended.",
		}}
	}
	var leaf *x509.Certificate
	if c, err := manual.Read(answer); err == nil {
		leaf = c.Leaf
	}
	r := a.inWords(e, leaf)
	if leaf != nil {
		r.Facts = append(r.Facts,
			fact{"Its subject", leaf.Subject.String()},
			fact{"Its issuer", leaf.Issuer.String()},
			fact{"Its validity", "from " + date(leaf.NotBefore) + " to " + date(leaf.NotAfter)})
	}
	return &r
}

// isOurs tells of errors that are not about what the person has brought.
func isOurs(e *ca.Error) bool {
	switch e.Name {
	case ca.NameCSRInvalid, ca.NameMisconfigured, ca.NameUnavailable:
		return true
	}
	for _, field := range []string{"validityDays", "profile", "configured["} {
		if strings.HasPrefix(e.Field, field) {
			return true
		}
	}
	return false
}

// itsOwn is said of the CA's certificate without the one that it made.
var itsOwn = refusal{Title: "it is a CA's own certificate", Text: []string{
	"The certificate that the CA made from the request on this page is missing. Bring that one first, and the CA's behind it.",
}}

// again is what most mistakes are mended by.
const again = "Have the request on this page signed again"

// inWords says what is wrong with the certificate, and what to do. leaf is the
// first certificate that was brought; nil where there is none to be read.
func (a *ask) inWords(e *ca.Error, leaf *x509.Certificate) refusal {
	request, _ := approval.ReadCSR(a.In.CSR)
	ofCA := strings.HasPrefix(e.Field, "chain")
	found := func(more ...fact) []fact {
		value := e.Value
		if at, err := time.Parse(time.RFC3339, value); err == nil {
			value = date(at)
		}
		if value == "" {
			return more
		}
		return append([]fact{{"Found", value}}, more...)
	}
	switch e.Name {
	case ca.NameMismatch:
		switch {
		case strings.HasSuffix(e.Field, "publicKey") && leaf != nil && leaf.IsCA:
			return itsOwn
		case strings.HasSuffix(e.Field, "publicKey"):
			r := refusal{Title: "it is for another key, and so not for this request", Text: []string{
				"Have the very request on this page signed, as it is: the CA must not make a key of its own. If you have several requests, look for the one whose public key has this SHA-256.",
			}}
			if leaf != nil {
				r.Facts = append(r.Facts, fact{"Found", "a public key with the SHA-256 " + rotation.Fingerprint(leaf.RawSubjectPublicKeyInfo)})
			}
			r.Facts = append(r.Facts, fact{"Needed", "the request's public key, with the SHA-256 " + request.KeySHA256})
			return r
		case strings.HasSuffix(e.Field, "subject"):
			return refusal{Title: "it has another subject than the request", Facts: found(fact{"Needed", request.Subject}), Text: []string{
				again + ", and see that the CA takes over the request's subject unchanged: every part of it, in the same order. Many CAs do so with another profile (template).",
			}}
		}
		return refusal{Title: "it does not say what the request says", Facts: found(), Text: []string{sentence(e.Message), again + ", and see that the CA takes over what the request says."}}
	case ca.NameTooShort:
		return refusal{Title: "it is valid for too short a time", Facts: found(fact{"Needed", "more than 90 days from now: Okta takes nothing less"}),
			Text: []string{again + ", for " + approval.Validity(a.In.Policy) + "."}}
	case ca.NameTooLong:
		if ofCA || (leaf != nil && leaf.NotAfter.Before(leaf.NotBefore.AddDate(0, 0, a.In.Policy.ValidityDays+1))) {
			return refusal{Title: "it is valid for longer than the CA itself", Facts: found(), Text: []string{
				"A certificate is worth nothing when its CA has ended. " + again + ", for less time but for more than 90 days; or with a CA whose certificate is valid for longer.",
			}}
		}
		return refusal{Title: "it is valid for too long", Facts: found(fact{"Needed", approval.Validity(a.In.Policy)}), Text: []string{again + ", for " + approval.Validity(a.In.Policy) + "."}}
	case ca.NameExpired:
		if ofCA {
			return refusal{Title: "a CA certificate in its chain has expired", Facts: found(), Text: []string{sentence(e.Message), "Have the CA sign with a certificate that is valid, or bring the renewed one."}}
		}
		return refusal{Title: "it has expired", Facts: found(), Text: []string{"This may be an older certificate: look for the one that was made from the request on this page. Otherwise have the request signed again, for " + approval.Validity(a.In.Policy) + "."}}
	case ca.NameNotYetValid:
		if ofCA {
			return refusal{Title: "a CA certificate in its chain is not valid yet", Facts: found(), Text: []string{sentence(e.Message), "Bring the certificate again when that time has come."}}
		}
		return refusal{Title: "it is not valid yet", Facts: found(fact{"Needed", "valid now"}), Text: []string{"Bring it again when that time has come, or have the request signed from now on. If it should be valid already, the CA's clock is wrong."}}
	case ca.NameIsCA:
		if e.Field == "certificate" || (leaf != nil && rotation.Fingerprint(leaf.RawSubjectPublicKeyInfo) != request.KeySHA256) {
			return itsOwn
		}
		return refusal{Title: "it is made out to a CA", Facts: found(fact{"Needed", "CA:FALSE"}), Text: []string{"With it, this key could issue certificates. " + again + ", with a profile (template) for end entities, such as servers or users."}}
	case ca.NameWrongUsage:
		return refusal{Title: "its key usage does not allow what Okta does with the key", Facts: found(fact{"Needed", usage(a.In)}), Text: []string{again + ", with a profile (template) that has this key usage. The usual ones for servers have it."}}
	case ca.NameWrongOrder:
		return refusal{Title: "the certificates are in the wrong order", Text: []string{"Put the certificate for the request first, then the one of the CA that signed it, then the one of the CA that signed that one."}}
	case ca.NameWeakSignature:
		return refusal{Title: "it is signed with an outdated algorithm", Facts: found(fact{"Needed", "SHA-256 or better, by RSA or ECDSA"}), Text: []string{again + ", with SHA-256 or better. If a CA certificate of the chain is signed so, sign with another CA."}}
	case ca.NameWeakKey:
		return refusal{Title: "the CA's own key is too weak", Facts: found(fact{"Needed", "RSA with 2048 bits, ECDSA on P-256, or more"}), Text: []string{again + ", by a CA with a stronger key."}}
	case ca.NameProfile:
		return refusal{Title: "it is not what your company's policy asks for", Facts: found(fact{"Concerns", strings.TrimPrefix(e.Field, "certificate.")}), Text: []string{
			sentence(e.Message), again + ", with what the list on this page asks for. If the CA cannot do that, tell whoever runs Keyturn at your company: the policy may have to change.",
		}}
	case ca.NameUnreadable:
		return refusal{Title: "this cannot be read as a certificate", Facts: found(), Text: []string{
			sentence(e.Message), sentence(e.Remedy),
		}}
	case ca.NamePrivateKey:
		return privateKey
	case ca.NameBadChain:
		return a.badChain(e, found)
	}
	return refusal{Title: "something about it is not right", Facts: found(), Text: []string{sentence(e.Message), sentence(e.Remedy)}}
}

// privateKey is said without showing anything of what was brought.
var privateKey = refusal{Title: "there is a private key in it", Text: []string{
	"A private key must not leave where it belongs. Keyturn has not kept it; but if it is in use anywhere, have it replaced. The key for this request is in Okta and never leaves it.",
	"Bring the certificate alone, from -----BEGIN CERTIFICATE----- to -----END CERTIFICATE-----.",
}}

func (a *ask) badChain(e *ca.Error, found func(...fact) []fact) refusal {
	switch {
	case e.Field == "certificate.issuer":
		return refusal{Title: "it was signed by another CA", Facts: found(fact{"Needed", "one of the CAs on this page"}), Text: []string{
			"Have the request signed by one of the CAs that this page lists. If the company's CA is a new one, tell whoever runs Keyturn at your company: its certificate has to be made known to Keyturn first.",
		}}
	case e.Value == "incomplete" || e.Value == "empty":
		return refusal{Title: "a CA certificate is missing behind it", Text: []string{
			sentence(e.Message), "Paste that certificate behind yours, or choose a file that has both: yours first, then that of the CA that signed it, and so on up to the root, which may be left out.",
		}}
	case e.Field == "chain.root":
		return refusal{Title: "its chain ends at another root", Facts: found(), Text: []string{sentence(e.Message), "Leave that certificate out. If the company's CA really is below it, tell whoever runs Keyturn at your company."}}
	case e.Field == "certificate.subjectAltName":
		return refusal{Title: "the CA may not sign for this name", Facts: found(), Text: []string{sentence(e.Message), "Have the request signed by a CA that may."}}
	}
	return refusal{Title: "the CA certificates behind it do not lead to a CA that is accepted", Facts: found(), Text: []string{
		sentence(e.Message), "Bring the certificate with the certificates of the CA that signed it, each followed by the one that signed it, and nothing else.",
	}}
}

// usage is the key usage that is asked for.
func usage(in rotation.RequestUploadInput) string {
	request, _ := approval.ReadCSR(in.CSR)
	for _, d := range approval.Demands(in, request) {
		if d.Name == "Key usage" {
			return d.Text
		}
	}
	return ""
}

// sentence makes one of an error's words.
func sentence(s string) string {
	if s == "" {
		return ""
	}
	first, size := utf8.DecodeRuneInString(s)
	s = strings.ToUpper(string(first)) + s[size:]
	if !strings.HasSuffix(s, ".") {
		s += "."
	}
	return s
}

// handedIn is the certificate of a decision.
func handedIn(d rotation.Decision) *x509.Certificate {
	block, _ := pem.Decode([]byte(d.Certificate))
	if block == nil {
		return nil
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil
	}
	return cert
}
