package workflow

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"
	kmstypes "github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/tidwall/gjson"

	"keyturn/internal/ca"
	"keyturn/internal/ca/cacert"
	"keyturn/internal/ca/kms"
	"keyturn/internal/localca"
	"keyturn/internal/oktasim"
	"keyturn/internal/playground"
	"keyturn/internal/rotation"
)

// The states in which a CA signs that takes its time, in place of SignCsr and
// Signed.
const (
	pathPending = `InspectTarget AnnounceStart AnyUnusedKeys GenerateCsr SignCsr Signed AwaitCertificate CollectCertificate PublishCsr UploadOrder
		RequestUpload Uploaded UpdateKeyCredential VerifyKey AnnounceSwitch Switched
		Report AnnounceEnd Outcome Completed`
	pathBrought = `InspectTarget AnnounceStart AnyUnusedKeys GenerateCsr SignCsr Signed RequestCertificate CollectCertificate PublishCsr UploadOrder
		RequestUpload Uploaded UpdateKeyCredential VerifyKey AnnounceSwitch Switched
		Report AnnounceEnd Outcome Completed`
)

// TestEveryCAThatAWSHasSigns has the same done by each: what differs is who
// issued the certificate, and the states.
func TestEveryCAThatAWSHasSigns(t *testing.T) {
	parallel(t)
	for _, c := range []struct {
		authority    rotation.CertificateAuthority
		issuer, path string
	}{
		{rotation.AuthorityLocal, "Example Demo CA Issuing", pathBeforeSwitch},
		{rotation.AuthorityKMS, "Example Demo CA in KMS", pathBeforeSwitch},
		{rotation.AuthorityACMPCA, "Example Demo Private CA", pathPending},
	} {
		for _, kind := range bothKinds {
			t.Run(fmt.Sprint(c.authority, " ", kind), func(t *testing.T) {
				t.Parallel()
				s := either(t, kind)
				r := s.rotate(policy{"certificateAuthority": c.authority})
				mail := r.request(playground.Approver)
				r.answer("confirm", "uploaded")
				report := r.end()
				ended(t, "Completed", report)
				states(t, c.path, report)
				if report.Transitions > mostTransitions {
					t.Errorf("the rotation took %d transitions, more than %d", report.Transitions, mostTransitions)
				}
				s.oneNewKey(report)
				s.switched(report.NewKid)
				s.signedByTheCA(report.NewKid, mail.Text)
				same(t, "the issuer", c.issuer, s.certificate(report.NewKid).Issuer.CommonName)
			})
		}
	}
}

// TestARuleChoosesTheCA has a stack whose own CA is local.
func TestARuleChoosesTheCA(t *testing.T) {
	parallel(t)
	s := app(t)
	r := s.rotate(policy{"rules": []policy{
		{"match": policy{"kind": "idp"}, "certificateAuthority": "acmpca"},
		{"match": policy{"label": s.target.Label[:12] + "*"}, "certificateAuthority": "kms"},
	}})
	r.answer("confirm", "")
	report := r.end()
	ended(t, "Completed", report)
	same(t, "the issuer", "Example Demo CA in KMS", s.certificate(report.NewKid).Issuer.CommonName)
}

func TestACAThatTheStackDoesNotHaveIsNamed(t *testing.T) {
	parallel(t)
	s := app(t)
	report := s.rotate(policy{"certificateAuthority": "stepca"}).end()
	ended(t, "Failed", report)
	failedWith(t, report.Error, "SignCsr", "CA.Misconfigured", "stepca", "StepCaUrl", "set the parameter, or have the policy name another CA")
	s.unchanged()
	s.noNewKey()
	same(t, "CSRs taken back", 1, len(report.Revoked))
}

// TestAKeyOfAnyCAIsRecognised stops a rotation once its key is published, and
// has another one go on with it.
func TestAKeyOfAnyCAIsRecognised(t *testing.T) {
	parallel(t)
	for _, authority := range []rotation.CertificateAuthority{rotation.AuthorityKMS, rotation.AuthorityACMPCA} {
		t.Run(string(authority), func(t *testing.T) {
			t.Parallel()
			s := app(t)
			first := s.rotate(policy{"certificateAuthority": authority})
			first.request(playground.Approver)
			first.stop()
			kids := s.kids()
			second := s.rotate(policy{"certificateAuthority": authority})
			mail := second.request(playground.Approver)
			second.answer("confirm", "")
			report := second.end()
			ended(t, "Completed", report)
			same(t, "the target's keys", kids, s.kids())
			same(t, "the new key", kids[len(kids)-1], report.NewKid)
			s.signedByTheCA(report.NewKid, mail.Text)
		})
	}
}

// csrOf is the target's pending CSR, DER.
func (s *scene) csrOf() []byte {
	s.t.Helper()
	pending := s.p.Org.PendingCSRs(s.kind(), s.target.ID)
	if len(pending) != 1 {
		s.t.Fatalf("%d CSRs are pending", len(pending))
	}
	return pending[0].DER
}

// signed is what the security team makes of the pending CSR: PEM.
func (s *scene) signed(days int) []byte {
	s.t.Helper()
	certificate, err := stack.Company.Sign(s.ctx, s.csrOf(), s.target.Kind, days)
	if err != nil {
		s.t.Fatal(err)
	}
	return certificate
}

// byHand is a policy by which the team signs.
func byHand(more policy) policy {
	p := policy{"certificateAuthority": "manual", "signers": []string{playground.Signer}}
	maps.Copy(p, more)
	return p
}

func (s *scene) handIn(link string, certificate []byte, status int, words ...string) {
	s.t.Helper()
	page, err := s.p.HandIn(s.ctx, link, certificate, "", "ticket 17")
	if err != nil {
		s.t.Fatal(err)
	}
	if page.Status != status {
		s.t.Fatalf("the page answers %d, want %d: %s", page.Status, status, page.Text())
	}
	for _, w := range words {
		if !strings.Contains(page.Text(), w) {
			s.t.Errorf("the page does not say %q: %s", w, page.Text())
		}
	}
}

func TestAPersonBringsTheCertificate(t *testing.T) {
	parallel(t)
	for _, kind := range bothKinds {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			s := either(t, kind)
			r := s.rotate(byHand(nil))
			mail, link := r.nth(playground.Signer, 1)
			if len(mail.Attachments) != 2 || !bytes.Equal(mail.Attachments[1].Content, s.csrOf()) {
				t.Errorf("the mail brings %d files, and not the CSR in DER as the second", len(mail.Attachments))
			}
			same(t, "mails to the approver before there is a certificate", 0, len(r.sent(playground.Approver)))

			other := either(t, kind)
			otherRun := other.rotate(byHand(nil))
			otherRun.nth(playground.Signer, 1)
			s.handIn(link, other.signed(397), http.StatusUnprocessableEntity, "it is for another key")
			otherRun.stop()
			s.handIn(link, []byte("<!DOCTYPE html><title>Sign in</title>"), http.StatusUnprocessableEntity, "this cannot be read as a certificate")
			same(t, "keys while nothing right has come", s.keys, s.kids())

			right := s.signed(397)
			s.handIn(link, right, http.StatusOK, "the certificate is right")
			upload := r.request(playground.Approver)
			r.answer("confirm", "")
			report := r.end()
			ended(t, "Completed", report)
			states(t, pathBrought, report)
			if report.Transitions > mostTransitions {
				t.Errorf("the rotation took %d transitions, more than %d", report.Transitions, mostTransitions)
			}
			s.switched(report.NewKid)
			s.signedByTheCA(report.NewKid, upload.Text)
			equal(t, "the certificate in use", only(t, "the one that was brought", right), s.certificate(report.NewKid))
			if report.Signing == nil || report.Signing.By != playground.Signer || report.Signing.Comment != "ticket 17" || report.Signing.Certificate != "" {
				t.Errorf("the report says of the signing %+v", report.Signing)
			}
			if report.Decision == nil || report.Decision.By != playground.Approver {
				t.Errorf("the report says of the upload %+v", report.Decision)
			}
			page := s.page(link)
			if page.Status != http.StatusGone || !strings.Contains(page.Text(), "answered already") {
				t.Errorf("the signer's link says %d: %s", page.Status, page.Text())
			}
		})
	}
}

func TestASignerDeclines(t *testing.T) {
	parallel(t)
	s := app(t)
	r := s.rotate(byHand(nil))
	_, link := r.nth(playground.Signer, 1)
	s.decide(link, "reject", "", "the CA is being renewed")
	report := r.end()
	ended(t, "GaveUp", report)
	states(t, `InspectTarget AnnounceStart AnyUnusedKeys GenerateCsr SignCsr Signed RequestCertificate NotSigned RevokeCsr Report AnnounceEnd Outcome GaveUp`, report)
	s.unchanged()
	s.noNewKey()
	same(t, "CSRs taken back", 1, len(report.Revoked))
	if report.Signing == nil || report.Signing.Confirmed || report.Signing.Comment != "the CA is being renewed" {
		t.Errorf("the report says of the signing %+v", report.Signing)
	}
}

// TestNobodySigns has the CSR outlive the rotation: the ticket may come back
// later, and the next rotation takes the certificate for the very same CSR.
func TestNobodySigns(t *testing.T) {
	parallel(t)
	s := app(t)
	r := s.rotate(byHand(policy{"giveUpDays": 2, "reminderHours": 24}))
	report := r.end()
	ended(t, "GaveUp", report)
	states(t, `InspectTarget AnnounceStart AnyUnusedKeys GenerateCsr SignCsr Signed RequestCertificate NextCertificateMessage RequestCertificate NextCertificateMessage NotSigned Report AnnounceEnd Outcome GaveUp`, report)
	same(t, "mails to the signer", 2, len(r.sent(playground.Signer)))
	failedWith(t, report.Error, "RequestCertificate", "States.Timeout")
	s.noNewKey()
	pending := s.p.Org.PendingCSRs(s.kind(), s.target.ID)
	if len(pending) != 1 || pending[0].ID != report.PendingCSR {
		t.Fatalf("%d CSRs are pending, and the report says %q", len(pending), report.PendingCSR)
	}
	late := s.signed(397)

	again := s.rotate(byHand(nil))
	_, link := again.nth(playground.Signer, 1)
	s.handIn(link, late, http.StatusOK, "the certificate is right")
	again.request(playground.Approver)
	again.answer("confirm", "")
	report = again.end()
	ended(t, "Completed", report)
	same(t, "CSRs that were generated", 1, s.times("generateCsrForApplication"))
	equal(t, "the certificate in use", only(t, "the one that was brought", late), s.certificate(report.NewKid))
}

// TestARefusedCertificateLeavesItsCSR has a CA that answers for another profile.
func TestARefusedCertificateLeavesItsCSR(t *testing.T) {
	parallel(t)
	s := app(t)
	// The local Private CA signs without it.
	wish := policy{"certificateAuthority": "acmpca", "profile": policy{"keyUsage": []string{"contentCommitment"}}}
	report := s.rotate(wish).end()
	ended(t, "Failed", report)
	states(t, `InspectTarget AnnounceStart AnyUnusedKeys GenerateCsr SignCsr Signed AwaitCertificate CollectCertificate NotSigned Report AnnounceEnd Outcome Failed`, report)
	failedWith(t, report.Error, "CollectCertificate", "Certificate.WrongProfile", "contentCommitment")
	s.noNewKey()
	same(t, "the pending CSR", s.p.Org.PendingCSRs(s.kind(), s.target.ID)[0].ID, report.PendingCSR)
	r := s.rotate(policy{"certificateAuthority": "kms", "profile": policy{"keyUsage": []string{"contentCommitment"}}})
	r.answer("confirm", "")
	report = r.end()
	ended(t, "Completed", report)
	same(t, "CSRs that were generated", 1, s.times("generateCsrForApplication"))
	same(t, "the key usage", x509.KeyUsageDigitalSignature|x509.KeyUsageContentCommitment, s.certificate(report.NewKid).KeyUsage)
}

// TestARealStepCASigns has a stack of its own, whose CA is a step-ca.
func TestARealStepCASigns(t *testing.T) {
	parallel(t)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	binary, err := localca.Build(ctx, "../..")
	if err != nil {
		t.Fatal(err)
	}
	step, err := localca.Start(ctx, binary, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(step.Stop)
	password, err := json.Marshal(map[string]string{"password": step.Password})
	if err != nil {
		t.Fatal(err)
	}
	secret, err := secretsmanager.NewFromConfig(stack.Cloud.Config()).CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: aws.String("stepped/provisioner"), SecretString: aws.String(string(password))})
	if err != nil {
		t.Fatal(err)
	}
	p := another(t, "stepped", map[string]string{
		"CertificateAuthority": "stepca", "StepCaUrl": step.URL, "StepCaFingerprint": step.Fingerprint,
		"StepCaProvisioner": step.Provisioner, "StepCaSecretArn": *secret.ARN,
		"SenderAddress": playground.Sender, "Approvers": playground.Approver,
	})
	if err := p.PutSecret(ctx, "stepped/okta", tokenSecret(t, stack.Org.APIToken())); err != nil {
		t.Fatal(err)
	}
	for _, kind := range bothKinds {
		t.Run(string(kind), func(t *testing.T) {
			s := either(t, kind).on(p)
			r := s.rotate(nil)
			mail := r.request(playground.Approver)
			s.decide(localLink(t, mail.Text), "confirm", "", "")
			report := r.end()
			ended(t, "Completed", report)
			states(t, pathBeforeSwitch, report)
			s.switched(report.NewKid)
		})
	}
	t.Run("it is gone", func(t *testing.T) {
		step.Stop()
		s := app(t).on(p)
		report := s.rotate(nil).end()
		ended(t, "Failed", report)
		failedWith(t, report.Error, "SignCsr", "CA.Unavailable", step.URL)
		s.unchanged()
		same(t, "CSRs taken back", 1, len(report.Revoked))
	})
}

func TestBrowserASignerTriesUntilTheCertificateIsRight(t *testing.T) {
	parallel(t)
	s := app(t, oktasim.AppSpec{Label: "Ticket Portal – Zürich"})
	r := s.rotate(byHand(nil))
	mail, _ := r.nth(playground.Signer, 1)
	inbox := visit(t)
	link := inbox.read(mail, "mail-certificate", "Bring the certificate", allSides)

	v := visit(t)
	v.Open(link)
	v.inspect("certificate", allSides)
	file, name := v.Download("Request (.csr)")
	block, _ := pem.Decode(file)
	if block == nil || !bytes.Equal(block.Bytes, s.csrOf()) || !strings.HasSuffix(name, ".csr") {
		t.Errorf("%s is not the CSR: %q", name, file)
	}
	file, name = v.Download("Request (.p10)")
	if !bytes.Equal(file, s.csrOf()) {
		t.Errorf("%s is not the CSR", name)
	}

	short := s.signed(91)
	v.Fill("The certificate as text", "-----BEGIN PKCS7-----\nMAsGCSqGSIb3DQEHAqAA\n-----END PKCS7-----\n")
	v.Fill("Comment or reason", "first try")
	v.Press("Check and hand in")
	v.Visible("The certificate was not taken: this cannot be read as a certificate.")
	v.Visible("openssl pkcs7 -print_certs")
	same(t, "the status", http.StatusUnprocessableEntity, v.Status())
	same(t, "the comment", "first try", v.Value("Comment or reason"))
	v.inspect("certificate-refused", allSides)
	v.Fill("The certificate as text", "")
	v.Attach("Or its file", "short.cer", only(t, "the short one", short).Raw)
	v.Fill("Comment or reason", "ticket 17")
	v.Press("Check and hand in")
	v.see(http.StatusOK, "Thank you, the certificate is right", s.target.Label, playground.Signer)
	v.inspect("thanks-certificate", bothSides)
	r.request(playground.Approver)
	r.answer("confirm", "")
	report := r.end()
	ended(t, "Completed", report)
	s.switched(report.NewKid)
}

// TestDiscoveryKnowsWhenTheCAsEnd has a policy that can lead to several, one of
// which the stack does not have.
func TestDiscoveryKnowsWhenTheCAsEnd(t *testing.T) {
	parallel(t)
	s := (&scene{t: t, p: stack}).bounded()
	var file []byte
	// Dry runs share one object, which the run keeps that began last.
	s.until("an inventory of a run of its own", func() bool {
		d := s.discover(policy{"policy": policy{"mode": "off", "rules": []policy{
			{"match": policy{"label": "Nothing like this *"}, "certificateAuthority": "kms"},
			{"match": policy{"label": "Nor this *"}, "certificateAuthority": "acmpca"},
			{"match": policy{"label": "Nor that *"}, "certificateAuthority": "stepca"},
			{"match": policy{"label": "Nor those *"}, "certificateAuthority": "manual"},
		}}, "dryRun": true})
		var err error
		if file, err = s.p.Object(s.ctx, d.Inventory); err != nil {
			t.Fatal(err)
		}
		return gjson.GetBytes(file, "run.execution").String() == d.ARN
	})
	var found struct {
		CertificateAuthorities []struct {
			Provider     string
			Certificates []struct {
				Subject  string
				DaysLeft int
			}
			Problem *struct{ Name, Message string }
		}
	}
	if err := json.Unmarshal(file, &found); err != nil {
		t.Fatal(err)
	}
	var said []string
	for _, authority := range found.CertificateAuthorities {
		words := []string{authority.Provider}
		for _, c := range authority.Certificates {
			words = append(words, fmt.Sprintf("%s %t", c.Subject, c.DaysLeft > 365*4))
		}
		if authority.Problem != nil {
			words = append(words, authority.Problem.Name)
		}
		said = append(said, strings.Join(words, " "))
	}
	same(t, "the CAs", []string{
		"local CN=Example Demo CA Issuing true CN=Example Demo CA Root true",
		"kms CN=Example Demo CA in KMS true CN=Example Demo Root true",
		"acmpca CN=Example Demo Private CA true CN=Example Demo Root true",
		"stepca CA.NotDescribed",
		"manual CN=Example Demo Security Team CA true CN=Example Demo Root true",
	}, said)
}

// TestEveryKindOfKMSKeySigns has a CA of its own for each, in the local KMS.
func TestEveryKindOfKMSKeySigns(t *testing.T) {
	parallel(t)
	client := awskms.NewFromConfig(stack.Cloud.Config())
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "Wiki SAML signing"}}, key)
	if err != nil {
		t.Fatal(err)
	}
	for spec, algorithm := range map[kmstypes.KeySpec]x509.SignatureAlgorithm{
		kmstypes.KeySpecRsa2048: x509.SHA256WithRSA, kmstypes.KeySpecRsa3072: x509.SHA256WithRSA, kmstypes.KeySpecRsa4096: x509.SHA256WithRSA,
		kmstypes.KeySpecEccNistP256: x509.ECDSAWithSHA256, kmstypes.KeySpecEccNistP384: x509.ECDSAWithSHA384,
	} {
		t.Run(string(spec), func(t *testing.T) {
			made, err := client.CreateKey(t.Context(), &awskms.CreateKeyInput{KeySpec: spec, KeyUsage: kmstypes.KeyUsageTypeSignVerify})
			if err != nil {
				t.Fatal(err)
			}
			signer, err := kms.NewSigner(t.Context(), client, *made.KeyMetadata.Arn)
			if err != nil {
				t.Fatal(err)
			}
			chain, err := cacert.SelfSign(signer, cacert.Plan{CommonName: "Example CA"}, 10, time.Now(), rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			authority, err := kms.New(t.Context(), client, *made.KeyMetadata.Arn, chain.PEM(), rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			for _, kind := range bothKinds {
				r := ca.Request{CSR: csr, Kind: string(kind), ValidityDays: 397, Now: time.Now()}
				signed, err := authority.Sign(t.Context(), r)
				if err == nil {
					err = ca.Check(signed, r, authority)
				}
				if err != nil {
					t.Fatalf("%s: %v", kind, err)
				}
				same(t, "the signature", algorithm, signed.Leaf.SignatureAlgorithm)
			}
		})
	}
}
