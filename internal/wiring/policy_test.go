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
	s, err := wiring.Defaults()
	if err != nil || s.Mode != rotation.ModeRotate || !slices.Equal(s.Approvers, []string{"sso-team@example.com", "identity@example.com"}) {
		t.Errorf("got %+v, %v", s, err)
	}
	t.Setenv("MODE", "")
	t.Setenv("APPROVERS", "")
	if s, err := wiring.Defaults(); err != nil || s.Mode != rotation.ModeNotify || len(s.Approvers) != 0 {
		t.Errorf("without parameters the defaults are %+v, %v", s, err)
	}
}

func TestParametersThatCannotBeUsedAreNamed(t *testing.T) {
	for variable, c := range map[string]struct{ value, want string }{
		"APPROVERS": {"nobody", "nobody"}, "MODE": {"sometimes", "sometimes"},
	} {
		t.Run(variable, func(t *testing.T) {
			t.Setenv("APPROVERS", "")
			t.Setenv("MODE", "")
			t.Setenv(variable, c.value)
			_, err := wiring.Defaults()
			if rotation.NameOf(err) != "Policy.Invalid" || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "stack's parameters") {
				t.Errorf("got %v", err)
			}
		})
	}
}
