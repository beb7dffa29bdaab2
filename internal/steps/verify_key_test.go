package steps_test

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"keyturn/internal/oktasim"
	"keyturn/internal/rotation"
	"keyturn/internal/steps"
)

func (l *lab) verify(key rotation.Key) (rotation.VerifyKeyOutput, error) {
	return steps.VerifyKey{Okta: l.okta}.Run(l.t.Context(), rotation.VerifyKeyInput{Target: l.target, Key: key, ActiveKid: key.Kid})
}

func fingerprint(t *testing.T, certificate string) string {
	t.Helper()
	der, err := base64.StdEncoding.DecodeString(certificate)
	if err != nil {
		t.Fatal(err)
	}
	return rotation.Fingerprint(der)
}

func TestVerificationFindsTheExpectedCertificateInTheMetadata(t *testing.T) {
	for _, kind := range kinds {
		t.Run(string(kind), func(t *testing.T) {
			l, key := switchedLab(t, kind)
			out, err := l.verify(key)
			if err != nil {
				t.Fatal(err)
			}
			if want := fingerprint(t, key.Certificate); out.SHA256 != want {
				t.Errorf("fingerprint %s, want %s", out.SHA256, want)
			}
			wantCalls(t, l.org, l.operation("metadata"))
		})
	}
}

func TestVerificationOfAnIDPBeforeTheSwitchFails(t *testing.T) {
	l := newLab(t, rotation.KindIDP)
	key := l.published()
	_, err := l.verify(key)
	wantError(t, err, "Key.NotInUse", "the SAML metadata of "+l.who()+" has the certificate "+fingerprint(t, expiring().X5C)+" for signing, not "+fingerprint(t, key.Certificate)+" of the key "+key.Kid)
}

func TestVerificationSucceedsWhenTheMetadataHasCaughtUp(t *testing.T) {
	l, key := switchedLab(t, rotation.KindIDP)
	l.org.MetadataLag("idp", l.target.ID, 2)
	for range 2 {
		_, err := l.verify(key)
		wantName(t, err, "Key.NotInUse")
	}
	if _, err := l.verify(key); err != nil {
		t.Error(err)
	}
}

func TestVerificationOfAnAppAsksForItsKey(t *testing.T) {
	l, key := switchedLab(t, rotation.KindApp)
	key.Certificate = expiring().X5C
	_, err := l.verify(key)
	wantName(t, err, "Key.NotInUse")
	key.Kid = "a-kid-of-nobody"
	_, err = l.verify(key)
	wantName(t, err, "Okta.NotFound")
}

// The same key decrypts: a partner that encrypts to another certificate locks
// its users out.
func TestVerificationOfAnIDPChecksTheCertificateForEncryptionToo(t *testing.T) {
	l, key := switchedLab(t, rotation.KindIDP)
	l.okta = l.rewriting("/metadata.xml", func(body string) string {
		at := strings.Index(body, `use="encryption"`)
		from := strings.Index(body[at:], "<ds:X509Certificate>") + at + len("<ds:X509Certificate>")
		to := strings.Index(body[from:], "<") + from
		return body[:from] + expiring().X5C + body[to:]
	})
	_, err := l.verify(key)
	wantError(t, err, "Key.NotInUse", "the SAML metadata of "+l.who()+" has the certificate "+fingerprint(t, expiring().X5C)+" for encryption, not "+fingerprint(t, key.Certificate)+" of the key "+key.Kid)
}

func TestVerificationReadsEveryFormOfMetadata(t *testing.T) {
	l, key := switchedLab(t, rotation.KindIDP)
	descriptor := func(attribute, certificate string) string {
		return fmt.Sprintf(`<KeyDescriptor%s><k:KeyInfo xmlns:k="http://www.w3.org/2000/09/xmldsig#"><k:X509Data><k:X509Certificate>%s</k:X509Certificate></k:X509Data></k:KeyInfo></KeyDescriptor>`, attribute, certificate)
	}
	signature := strings.ReplaceAll(descriptor("", spare().X5C), "KeyDescriptor", "Signature")
	metadata := func(inner string) string {
		return `<EntityDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata"><SPSSODescriptor>` + inner + `</SPSSODescriptor></EntityDescriptor>`
	}
	what := "the SAML metadata of " + l.who()
	for name, c := range map[string]struct{ body, error, text string }{
		"other prefixes, no use":             {metadata(descriptor("", key.Certificate)), "", ""},
		"white space in the certificate":     {metadata(descriptor(` use="signing"`, "\n\t"+key.Certificate[:70]+" \r\n "+key.Certificate[70:]+"\n")), "", ""},
		"a certificate of the signature":     {metadata(signature + descriptor("", key.Certificate) + signature), "", ""},
		"a certificate of the signature, no": {metadata(signature), "Key.NotInUse", what + " has no certificate for signing"},
		"another certificate without a use":  {metadata(descriptor("", spare().X5C)), "Key.NotInUse", what + " has the certificate " + fingerprint(t, spare().X5C) + " for signing and encryption, not " + fingerprint(t, key.Certificate) + " of the key " + key.Kid},
		"one right and one wrong":            {metadata(descriptor("", key.Certificate) + descriptor(` use="signing"`, spare().X5C)), "Key.NotInUse", what + " has the certificate " + fingerprint(t, spare().X5C) + " for signing, not " + fingerprint(t, key.Certificate) + " of the key " + key.Kid},
		"for encryption alone":               {metadata(descriptor(` use="encryption"`, key.Certificate)), "Key.NotInUse", what + " has no certificate for signing"},
		"for another role":                   {strings.ReplaceAll(metadata(descriptor("", key.Certificate)), "SPSSO", "IDPSSO"), "Key.NotInUse", what + " has no certificate for signing"},
		"outside of a role":                  {strings.ReplaceAll(metadata(descriptor("", key.Certificate)), "SPSSODescriptor", "Extensions"), "Key.NotInUse", what + " has no certificate for signing"},
		"an entity":                          {`<!DOCTYPE x [<!ENTITY c "` + key.Certificate + `">]>` + metadata(descriptor("", "&c;")), "Okta.Unavailable", what + " cannot be read: XML syntax error on line 1: invalid character entity &c;"},
		"no end to its depth":                {strings.Repeat("<a>", 101), "Okta.Unavailable", what + " cannot be read: its elements are more than 100 deep"},
		"no end":                             {strings.Repeat(" ", 1<<20+1), "Okta.Unavailable", what + " cannot be read: it has 1048577 bytes, more than 1048576"},
		"no certificate":                     {metadata(""), "Key.NotInUse", what + " has no certificate for signing"},
		"another namespace":                  {strings.ReplaceAll(metadata(descriptor("", key.Certificate)), "SAML:2.0:metadata", "SAML:2.0:other"), "Key.NotInUse", what + " has no certificate for signing"},
		"not base64":                         {metadata(descriptor("", "!")), "Okta.Unavailable", what + " cannot be read: X509Certificate: illegal base64 data at input byte 0"},
		"cut off":                            {metadata(descriptor("", key.Certificate))[:150], "Okta.Unavailable", what + " cannot be read: XML syntax error on line 1: unexpected EOF"},
		"a page of a proxy":                  {"<html><br></html>", "Okta.Unavailable", what + " cannot be read: XML syntax error on line 1: element <br> closed by </html>"},
	} {
		t.Run(name, func(t *testing.T) {
			l.t = t
			l.okta = l.rewriting("/metadata.xml", func(string) string { return c.body })
			out, err := l.verify(key)
			if c.error != "" {
				wantError(t, err, c.error, c.text)
			} else if err != nil || out.SHA256 == "" {
				t.Errorf("output %+v, %v", out, err)
			}
		})
	}
}

func TestVerificationWantsACertificateToLookFor(t *testing.T) {
	l := newLab(t, rotation.KindApp)
	for _, certificate := range []string{"", "!"} {
		_, err := l.verify(rotation.Key{Kid: oldKid, Certificate: certificate})
		wantError(t, err, "Input.Invalid", "key.certificate is not a certificate in base64")
	}
	wantCalls(t, l.org)
}

func TestVerificationThatDiesCanBeRepeated(t *testing.T) {
	for _, kind := range kinds {
		l, key := switchedLab(t, kind)
		for _, i := range interruptions {
			if i.kind == oktasim.FaultSlowBody {
				continue // the whole rotation is tried with it
			}
			l.fail("metadata", i.kind)
			_, err := l.verify(key)
			wantName(t, err, i.name)
			if _, err := l.verify(key); err != nil {
				t.Errorf("%s: again: %v", i.kind, err)
			}
		}
	}
}

// An app's metadata is a preview: it shows any key that it is asked for.
func TestVerificationRefusesAKeyThatIsNotTheActiveOne(t *testing.T) {
	for _, kind := range kinds {
		t.Run(string(kind), func(t *testing.T) {
			l, key := switchedLab(t, kind)
			_, err := steps.VerifyKey{Okta: l.okta}.Run(t.Context(), rotation.VerifyKeyInput{Target: l.target, Key: key, ActiveKid: "another-kid"})
			wantError(t, err, "Key.NotInUse", "the active key of "+l.who()+` is "another-kid", not `+key.Kid)
		})
	}
}

// At the end of a wait that began after the switch nothing is known of the
// active key.
func TestVerificationWithoutAnActiveKidReadsTheTarget(t *testing.T) {
	for _, kind := range kinds {
		t.Run(string(kind), func(t *testing.T) {
			l, key := switchedLab(t, kind)
			look := func() (rotation.VerifyKeyOutput, error) {
				return steps.VerifyKey{Okta: l.okta}.Run(t.Context(), rotation.VerifyKeyInput{Target: l.target, Key: key})
			}
			out, err := look()
			if err != nil || out.SHA256 != fingerprint(t, key.Certificate) {
				t.Errorf("output %+v, %v", out, err)
			}
			wantCalls(t, l.org, l.operation("read"))
			l.org.SetActiveKid(l.kind(), l.target.ID, oldKid)
			_, err = look()
			wantError(t, err, "Target.Changed", l.who()+" has the active key "+oldKid+": it should be "+key.Kid+", so somebody else changed it while the rotation waited; nothing was changed now: see with the partner which certificate it has, and make that key active")
		})
	}
}
