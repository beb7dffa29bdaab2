package rotation

import (
	"errors"
	"fmt"
)

// Error is an error that the state machine can tell apart by its name, such as
// Target.Changed. Its text is for the person who has to act on it: it says
// what is wrong, names the value, and the remedy; it never holds a secret.
type Error struct {
	Name    string
	Message string
	// Err is the cause, if there is one; its text follows the message.
	Err error
}

// Errorf makes an error with a name for the state machine.
func Errorf(name, format string, args ...any) *Error {
	return &Error{Name: name, Message: fmt.Sprintf(format, args...)}
}

// Error says what happened, once.
func (e *Error) Error() string {
	if e.Err == nil {
		return e.Message
	}
	return e.Message + ": " + e.Err.Error()
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// ErrorName is the name that Retry and Catch in the state machine match.
func (e *Error) ErrorName() string { return e.Name }

// NameOf finds the name for the state machine in an error's chain, or "" when
// nobody gave it one.
func NameOf(err error) string {
	var named interface{ ErrorName() string }
	if errors.As(err, &named) {
		return named.ErrorName()
	}
	return ""
}
