package ca

import (
	"strconv"
	"strings"
	"unicode"
)

// Names of errors, as a state machine sees them.
const (
	NameCSRInvalid    = "CSR.Invalid"               // the request cannot be signed as it is
	NameMismatch      = "Certificate.Mismatch"      // public key or subject is not the CSR's
	NameTooShort      = "Certificate.TooShort"      // 90 days or less
	NameTooLong       = "Certificate.TooLong"       // longer than the policy, or than the CA
	NameNotYetValid   = "Certificate.NotYetValid"   // it, or a CA above it, starts in the future
	NameExpired       = "Certificate.Expired"       // it, or a CA above it
	NameWrongUsage    = "Certificate.WrongUsage"    // key usage does not allow what Okta does with the key
	NameIsCA          = "Certificate.IsCA"          // could sign certificates itself
	NameWeakKey       = "Certificate.WeakKey"       // a CA's, below RSA with 2048 bits or P-256; for a weak CSR see NameCSRInvalid
	NameWeakSignature = "Certificate.WeakSignature" // less than SHA-256
	NameProfile       = "Certificate.WrongProfile"  // is not what the policy's profile asks for, or the profile asks for what cannot be
	NameBadChain      = "Certificate.BadChain"      // does not lead from the certificate to the CA
	NameWrongOrder    = "Certificate.WrongOrder"    // would, in another order
	NameUnreadable    = "Certificate.Unreadable"    // what a person has brought is no certificate, see internal/ca/manual
	NamePrivateKey    = "Certificate.PrivateKey"    // the same, and it holds a private key
	NameMisconfigured = "CA.Misconfigured"          // the CA's own key or certificates
	NameUnavailable   = "CA.Unavailable"            // may pass by itself
	NamePending       = "CA.Pending"                // see Pending
)

// Error is every error of this package and its providers, [*Pending] aside. Its
// text names the field, its value and the remedy; neither it nor what it wraps
// may hold a private key or any other content of a secret.
type Error struct {
	Name    string // one of the Name constants
	Field   string // what was looked at, such as "notAfter" or "chain[1]"
	Value   string // what was found there; empty where it is secret, or says nothing
	Message string // what is wrong with it
	Remedy  string // what to do about it
	Err     error  // the cause, if there is one; part of the text
}

// Error reads "field is value: message: cause; remedy".
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Field)
	if e.Value != "" {
		b.WriteString(" is " + printable(e.Value))
	}
	if e.Message != "" {
		b.WriteString(": " + e.Message)
	}
	if e.Err != nil {
		b.WriteString(": " + printable(e.Err.Error()))
	}
	if e.Remedy != "" {
		b.WriteString("; " + e.Remedy)
	}
	return b.String()
}

// ErrorName returns Name, for the boundary that reports it to the state machine.
func (e *Error) ErrorName() string { return e.Name }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// printable keeps what a CSR or a certificate says about itself, and what
// crypto/x509 quotes of it, from breaking log lines or filling them.
func printable(s string) string {
	const most = 300
	if r := []rune(s); len(r) > most {
		s = string(r[:most]) + "…"
	}
	if strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.Quote(s)
	}
	return s
}
