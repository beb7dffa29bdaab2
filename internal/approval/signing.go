package approval

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"

	"keyturn/internal/rotation"
)

// SigningRequest is a CSR as people meet it: in a message, and on the page.
type SigningRequest struct {
	// DER is the PKCS#10 request.
	DER []byte
	// Subject is the distinguished name (RFC 4514).
	Subject string
	// Names are the subject alternative names, such as example.com.
	Names []string
	// Key is the public key in words, such as "RSA, 2048 bits".
	Key string
	// KeySHA256 is the SHA-256 of the public key (the SubjectPublicKeyInfo in
	// DER), hex pairs with colons. The certificate's public key has the same.
	KeySHA256 string
	// Signature is the algorithm by which the request proves that somebody has
	// the key, such as SHA256-RSA.
	Signature string
}

// ReadCSR reads what is to be signed. It fails with Input.Invalid where there is
// no CSR, or none that can be read.
func ReadCSR(csr *rotation.CSR) (SigningRequest, error) {
	if csr == nil || csr.Request == "" {
		return SigningRequest{}, rotation.Errorf("Input.Invalid", "csr.request is missing: the stage %s needs the request that is to be signed", rotation.StageCertificate)
	}
	der, err := base64.StdEncoding.DecodeString(csr.Request)
	if err != nil {
		return SigningRequest{}, rotation.Errorf("Input.Invalid", "csr.request is not in base64: pass on what Okta answered, DER in base64")
	}
	parsed, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return SigningRequest{}, rotation.Errorf("Input.Invalid", "csr.request is no PKCS#10 request: pass on what Okta answered, DER in base64")
	}
	r := SigningRequest{
		DER: der, Subject: parsed.Subject.String(), Key: KeyText(parsed.PublicKey, parsed.PublicKeyAlgorithm),
		KeySHA256: rotation.Fingerprint(parsed.RawSubjectPublicKeyInfo), Signature: parsed.SignatureAlgorithm.String(),
		Names: slices.Concat(parsed.DNSNames, parsed.EmailAddresses),
	}
	for _, ip := range parsed.IPAddresses {
		r.Names = append(r.Names, ip.String())
	}
	for _, uri := range parsed.URIs {
		r.Names = append(r.Names, uri.String())
	}
	return r, nil
}

// KeyText is a public key in words: its algorithm and its size.
func KeyText(key any, algorithm x509.PublicKeyAlgorithm) string {
	switch k := key.(type) {
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA, %d bits", k.N.BitLen())
	case *ecdsa.PublicKey:
		return "ECDSA, " + k.Curve.Params().Name
	}
	return algorithm.String()
}

// PEM is the request as most CAs take it.
func (r SigningRequest) PEM() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: r.DER}))
}

// RequestFileName is what a request's file is called, without its ending: the
// label, and the beginning of the public key's SHA-256, by which two requests of
// one target can be told apart.
func RequestFileName(t rotation.Target, r SigningRequest) string {
	return labelFor(t) + "-okta-request-" + strings.ToLower(strings.ReplaceAll(r.KeySHA256[:11], ":", ""))
}

// Demand is one thing that a certificate has to be, or to have.
type Demand struct{ Name, Text string }

// Demands are what the certificate for a request has to be like, in the words of
// those who run a CA.
func Demands(in rotation.RequestUploadInput, r SigningRequest) []Demand {
	usage := []string{"digitalSignature"}
	if in.Target.Kind == rotation.KindIDP {
		usage = append(usage, "keyEncipherment")
	}
	for _, name := range in.Policy.Profile.KeyUsage {
		if !slices.Contains(usage, name) {
			usage = append(usage, name)
		}
	}
	all := []Demand{
		{"Public key", "the request's own (" + r.Key + "); the CA must not make a new one"},
		{"Subject", "the request's, unchanged: " + r.Subject},
	}
	if len(r.Names) > 0 {
		all = append(all, Demand{"Subject alternative names", "the request's: " + strings.Join(r.Names, ", ")})
	}
	all = append(all,
		Demand{"Validity", Validity(in.Policy)},
		Demand{"Key usage", inWords(usage) + ", and not keyCertSign"},
		Demand{"Basic constraints", "no CA (CA:FALSE)"},
		Demand{"Signature", "SHA-256 or better, by RSA or ECDSA"},
	)
	for _, urls := range []struct {
		name string
		list []string
	}{
		{"CRL distribution points", in.Policy.Profile.CRLURLs},
		{"OCSP responders", in.Policy.Profile.OCSPURLs},
		{"CA issuers (authority information access)", in.Policy.Profile.CAIssuersURLs},
	} {
		if len(urls.list) > 0 {
			all = append(all, Demand{urls.name, strings.Join(urls.list, ", ")})
		}
	}
	for _, e := range in.Policy.Profile.Extensions {
		critical := "not critical"
		if e.Critical {
			critical = "critical"
		}
		all = append(all, Demand{"Extension " + e.OID, critical + ", with the value " + e.Value + " (DER in base64)"})
	}
	return all
}

// Validity says for how long the CA has to sign.
func Validity(policy rotation.Settings) string {
	return fmt.Sprintf("more than %d and at most %d days", rotation.MinRemainingDays, policy.ValidityDays)
}

func inWords(names []string) string {
	if len(names) == 1 {
		return names[0]
	}
	return strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1]
}

// Certificates reads those of a PEM text, and passes over whatever else is in it.
func Certificates(chain string) []*x509.Certificate {
	var all []*x509.Certificate
	for block, rest := pem.Decode([]byte(chain)); block != nil; block, rest = pem.Decode(rest) {
		if cert, err := x509.ParseCertificate(block.Bytes); err == nil && block.Type == "CERTIFICATE" {
			all = append(all, cert)
		}
	}
	return all
}
