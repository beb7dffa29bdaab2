package wiring

import (
	"os"
	"strings"

	"keyturn/internal/rotation"
)

// Defaults are the settings that every policy is laid over: the built-in ones,
// with the stack's parameters Approvers, Mode and CertificateAuthority. They fail
// with Policy.Invalid.
func Defaults() (rotation.Settings, error) {
	s := rotation.DefaultSettings(Addresses("APPROVERS"))
	if mode := os.Getenv("MODE"); mode != "" {
		s.Mode = rotation.Mode(mode)
	}
	if authority := os.Getenv("CERTIFICATE_AUTHORITY"); authority != "" {
		s.CertificateAuthority = rotation.CertificateAuthority(authority)
	}
	return s, s.Validate("the stack's parameters: defaults")
}

// Addresses are those in a variable that holds the value of a stack parameter,
// with commas or spaces between them.
func Addresses(variable string) []string {
	return strings.FieldsFunc(os.Getenv(variable), func(r rune) bool { return r == ',' || r == ' ' })
}
