package wiring_test

import (
	"slices"
	"strings"
	"testing"

	"keyturn/internal/rotation"
	"keyturn/internal/wiring"
)

func TestTheStacksParametersAreTheDefaults(t *testing.T) {
	t.Setenv("APPROVERS", "sso-team@example.com, identity@example.com")
	t.Setenv("MODE", "rotate")
	t.Setenv("CERTIFICATE_AUTHORITY", "acmpca")
	s, err := wiring.Defaults()
	if err != nil || s.Mode != rotation.ModeRotate || s.CertificateAuthority != rotation.AuthorityACMPCA || !slices.Equal(s.Approvers, []string{"sso-team@example.com", "identity@example.com"}) {
		t.Errorf("got %+v, %v", s, err)
	}
	t.Setenv("MODE", "")
	t.Setenv("APPROVERS", "")
	t.Setenv("CERTIFICATE_AUTHORITY", "")
	if s, err := wiring.Defaults(); err != nil || s.Mode != rotation.ModeNotify || s.CertificateAuthority != rotation.AuthorityLocal || len(s.Approvers) != 0 {
		t.Errorf("without parameters the defaults are %+v, %v", s, err)
	}
}

func TestParametersThatCannotBeUsedAreNamed(t *testing.T) {
	for variable, c := range map[string]struct{ value, want string }{
		"APPROVERS": {"nobody", "nobody"}, "MODE": {"sometimes", "sometimes"},
		"CERTIFICATE_AUTHORITY": {"vault", `certificateAuthority is "vault": use local or kms or acmpca or stepca or manual`},
	} {
		t.Run(variable, func(t *testing.T) {
			t.Setenv("APPROVERS", "")
			t.Setenv("MODE", "")
			t.Setenv("CERTIFICATE_AUTHORITY", "")
			t.Setenv(variable, c.value)
			_, err := wiring.Defaults()
			if rotation.NameOf(err) != "Policy.Invalid" || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "stack's parameters") {
				t.Errorf("got %v", err)
			}
		})
	}
}
