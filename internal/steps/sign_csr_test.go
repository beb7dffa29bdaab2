package steps_test

import (
	"context"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	"keyturn/internal/ca"
	"keyturn/internal/rotation"
	"keyturn/internal/steps"
)

func TestSigningGivesACertificateOfTheCAForTheCSR(t *testing.T) {
	forBothKinds(t, func(t *testing.T, l *lab) {
		csr := l.generate().CSR
		l.org.ResetCalls()
		out, err := signer().Run(t.Context(), rotation.SignCSRInput{Target: l.target, Policy: l.policy, CSR: &csr})
		if err != nil {
			t.Fatal(err)
		}
		cert := leaf(t, *out.Certificate)
		if issued, err := company().Issued(cert); !issued || err != nil {
			t.Errorf("the CA does not know it: %v", err)
		}
		if got, want := cert.Subject.String(), parse(t, csr.Request).Subject.String(); got != want {
			t.Errorf("subject %s, want %s", got, want)
		}
		if left := cert.NotAfter.Sub(now); left > 397*rotation.Day || left < 396*rotation.Day {
			t.Errorf("valid for %v, want the policy's 397 days", left)
		}
		want := rotation.Certificate{PEM: out.Certificate.PEM, Issuer: "CN=Example Issuing CA", Serial: cert.SerialNumber.Text(16), NotAfter: cert.NotAfter}
		if *out.Certificate != want {
			t.Errorf("certificate %+v, want %+v", *out.Certificate, want)
		}
		if out.Chain != string(company().Chain().PEM()) || out.OurKey != nil {
			t.Errorf("output %+v, want the CA's chain and no key", out)
		}
		wantCalls(t, l.org)
	})
}

func TestSigningRecognisesTheFirstKeyThatTheCAIssued(t *testing.T) {
	l := newLab(t, rotation.KindApp)
	foreign := rotation.Key{Kid: "foreign", Certificate: spare().X5C}
	broken := rotation.Key{Kid: "broken", Certificate: "!"}
	damaged := rotation.Key{Kid: "damaged", Certificate: "AAAA"}
	ours := l.published()
	older := ours
	older.Kid = "older"
	for what, c := range map[string]struct {
		keys []rotation.Key
		want string
	}{
		"ours alone":         {[]rotation.Key{ours}, ours.Kid},
		"ours after others":  {[]rotation.Key{foreign, broken, damaged, ours, older}, ours.Kid},
		"only others'":       {[]rotation.Key{foreign}, ""},
		"nothing to be read": {[]rotation.Key{broken, damaged}, ""},
	} {
		t.Run(what, func(t *testing.T) {
			out, err := signer().Run(t.Context(), rotation.SignCSRInput{Target: l.target, Policy: l.policy, UnusedKeys: c.keys})
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			if out.OurKey != nil {
				got = out.OurKey.Kid
			}
			if got != c.want || out.Certificate != nil || out.Chain == "" {
				t.Errorf("our key %q, want %q; certificate %v, chain %d bytes", got, c.want, out.Certificate, len(out.Chain))
			}
			// The state machine asks whether the field exists.
			if has := strings.Contains(asJSON(t, out), `"ourKey"`); has != (c.want != "") {
				t.Errorf("ourKey is in the output: %v", has)
			}
		})
	}
}

func TestSigningTellsWhetherTheCAIssuedTheActiveKey(t *testing.T) {
	l := newLab(t, rotation.KindApp)
	ours, foreign := l.published(), rotation.Key{Kid: "foreign", Certificate: spare().X5C}
	for _, c := range []struct {
		active rotation.Key
		unused []rotation.Key
		want   bool
	}{
		{ours, nil, true},
		{foreign, nil, false},
		{foreign, []rotation.Key{ours}, false},
	} {
		out, err := signer().Run(t.Context(), rotation.SignCSRInput{Target: l.target, Policy: l.policy, ActiveKey: &c.active, UnusedKeys: c.unused})
		if err != nil {
			t.Fatal(err)
		}
		if out.ActiveIsOurs != c.want || (out.OurKey != nil) != (len(c.unused) > 0) {
			t.Errorf("active %s, %d unused: ours %v, our key %v", c.active.Kid, len(c.unused), out.ActiveIsOurs, out.OurKey)
		}
	}
}

func TestSigningWantsEitherACSROrKeys(t *testing.T) {
	l := newLab(t, rotation.KindApp)
	both := rotation.SignCSRInput{Target: l.target, Policy: l.policy, CSR: &rotation.CSR{ID: "csr"}, UnusedKeys: []rotation.Key{{}}}
	neither := rotation.SignCSRInput{Target: l.target, Policy: l.policy}
	for _, in := range []rotation.SignCSRInput{both, neither} {
		_, err := signer().Run(t.Context(), in)
		wantError(t, err, "Input.Invalid", "give either csr, to have it signed, or unusedKeys and activeKey, to learn which of them the CA has issued, or describe")
	}
}

func TestSigningRefusesACSRThatIsNotBase64(t *testing.T) {
	l := newLab(t, rotation.KindApp)
	_, err := signer().Run(t.Context(), rotation.SignCSRInput{Target: l.target, Policy: l.policy, CSR: &rotation.CSR{ID: "csr1", Request: "!"}})
	wantError(t, err, "CSR.Invalid", "the CSR csr1 is not in base64: illegal base64 data at input byte 0")
}

// otherCA answers as it is told to and recognises what the company's CA issued.
type otherCA struct {
	ca.Authority
	sign func(context.Context, ca.Request) (ca.Certificate, error)
}

func (o otherCA) Sign(ctx context.Context, r ca.Request) (ca.Certificate, error) {
	return o.sign(ctx, r)
}

func TestSigningChecksWhatTheCAAnswers(t *testing.T) {
	l := newLab(t, rotation.KindApp)
	csr, other := l.generate().CSR, ""
	l.target.Label = "Another"
	other = l.generate().CSR.Request
	for what, c := range map[string]struct {
		sign func(context.Context, ca.Request) (ca.Certificate, error)
		name string
	}{
		"another CSR's certificate": {func(ctx context.Context, r ca.Request) (ca.Certificate, error) {
			der, err := base64.StdEncoding.DecodeString(other)
			if err != nil {
				return ca.Certificate{}, err
			}
			r.CSR = der
			return company().Sign(ctx, r)
		}, "Certificate.Mismatch"},
		"a certificate for 90 days": {func(ctx context.Context, r ca.Request) (ca.Certificate, error) {
			r.Now = r.Now.Add(-307 * rotation.Day)
			return company().Sign(ctx, r)
		}, "Certificate.TooShort"},
		"an error with a name": {func(context.Context, ca.Request) (ca.Certificate, error) {
			return ca.Certificate{}, &ca.Error{Name: "CA.Unavailable", Message: "it sleeps"}
		}, "CA.Unavailable"},
	} {
		t.Run(what, func(t *testing.T) {
			step := steps.SignCSR{Now: clock, CA: func(context.Context, rotation.CertificateAuthority) (ca.Authority, error) {
				return otherCA{Authority: company(), sign: c.sign}, nil
			}}
			out, err := step.Run(t.Context(), rotation.SignCSRInput{Target: l.target, Policy: l.policy, CSR: &csr})
			if err == nil {
				t.Fatalf("no error, output %+v", out)
			}
			wantName(t, err, c.name)
		})
	}
}

func TestSigningAnswersThatTheCACannotBeRead(t *testing.T) {
	l := newLab(t, rotation.KindApp)
	gone := errors.New("the secret is gone")
	step := steps.SignCSR{Now: clock, CA: func(context.Context, rotation.CertificateAuthority) (ca.Authority, error) { return nil, gone }}
	if _, err := step.Run(t.Context(), rotation.SignCSRInput{Target: l.target, CSR: &rotation.CSR{ID: "csr"}}); !errors.Is(err, gone) {
		t.Errorf("error %v, want %v", err, gone)
	}
}

// slowCA signs at the second call, which has to name its reference.
type slowCA struct {
	ca.Authority
	after time.Duration
	calls *int
}

func (s slowCA) Sign(ctx context.Context, r ca.Request) (ca.Certificate, error) {
	*s.calls++
	switch {
	case r.Reference == "" || *s.calls < 3:
		return ca.Certificate{}, &ca.Pending{Reference: "arn:certificate", After: s.after}
	case r.Reference != "arn:certificate":
		return ca.Certificate{}, &ca.Error{Name: "CA.Misconfigured", Field: "reference", Value: r.Reference}
	}
	return s.Authority.Sign(ctx, r)
}

func TestACAThatTakesItsTimeIsAskedAgainByItsReference(t *testing.T) {
	l := newLab(t, rotation.KindApp)
	csr := l.generate().CSR
	for after, seconds := range map[time.Duration]int{0: 5, time.Second: 5, time.Minute: 60} {
		calls := 0
		step := steps.SignCSR{Now: clock, CA: func(context.Context, rotation.CertificateAuthority) (ca.Authority, error) {
			return slowCA{company(), after, &calls}, nil
		}}
		in := rotation.SignCSRInput{Target: l.target, Policy: l.policy, CSR: &csr}
		out, err := step.Run(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		want := rotation.PendingCertificate{Reference: "arn:certificate", AfterSeconds: seconds}
		if out.Pending == nil || *out.Pending != want || out.Certificate != nil {
			t.Fatalf("output %+v, want pending %+v", out, want)
		}
		// The state machine repeats the call after the error.
		in.Reference = out.Pending.Reference
		_, err = step.Run(t.Context(), in)
		wantName(t, err, "CA.Pending")
		out, err = step.Run(t.Context(), in)
		if err != nil || out.Certificate == nil || out.Pending != nil {
			t.Errorf("at last %+v, %v", out, err)
		}
	}
}

func TestCAsAreDescribedAndOneThatCannotBeReachedSaysWhy(t *testing.T) {
	l := newLab(t, rotation.KindApp)
	step := steps.SignCSR{Now: clock, CA: func(_ context.Context, name rotation.CertificateAuthority) (ca.Authority, error) {
		if name == rotation.AuthorityKMS {
			return nil, &ca.Error{Name: "CA.Misconfigured", Field: "key", Message: "it is disabled", Remedy: "enable it"}
		}
		return company(), nil
	}}
	out, err := step.Run(t.Context(), rotation.SignCSRInput{Describe: []rotation.CertificateAuthority{"kms", "local"}})
	if err != nil {
		t.Fatal(err)
	}
	if len(out.Authorities) != 2 || out.Authorities[0].Problem != "key: it is disabled; enable it" || len(out.Authorities[0].Certificates) != 0 {
		t.Fatalf("described as %+v", out.Authorities)
	}
	described := out.Authorities[1]
	chain := company().Chain()
	if described.Provider != "local" || described.Problem != "" || len(described.Certificates) != len(chain) {
		t.Fatalf("described as %+v", described)
	}
	for i, c := range described.Certificates {
		want := rotation.AuthorityCertificate{
			Subject: chain[i].Subject.String(), Issuer: chain[i].Issuer.String(), SHA256: rotation.Fingerprint(chain[i].Raw),
			NotBefore: chain[i].NotBefore, NotAfter: chain[i].NotAfter,
		}
		if c != want {
			t.Errorf("certificate %d is described as %+v, want %+v", i, c, want)
		}
	}
	_, err = step.Run(t.Context(), rotation.SignCSRInput{Target: l.target, CSR: &rotation.CSR{ID: "csr"}, Describe: []rotation.CertificateAuthority{"local"}})
	wantName(t, err, "Input.Invalid")
}

func TestThePolicysCASigns(t *testing.T) {
	l := newLab(t, rotation.KindApp)
	csr := l.generate().CSR
	var asked []rotation.CertificateAuthority
	step := steps.SignCSR{Now: clock, CA: func(_ context.Context, name rotation.CertificateAuthority) (ca.Authority, error) {
		asked = append(asked, name)
		return company(), nil
	}}
	l.policy.CertificateAuthority = rotation.AuthorityStepCA
	if _, err := step.Run(t.Context(), rotation.SignCSRInput{Target: l.target, Policy: l.policy, CSR: &csr}); err != nil {
		t.Fatal(err)
	}
	if len(asked) != 1 || asked[0] != rotation.AuthorityStepCA {
		t.Errorf("asked %q", asked)
	}
}
