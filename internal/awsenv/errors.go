package awsenv

import "errors"

// ErrorCode is the service's code of an SDK's error, such as
// ThrottlingException, or that there was no answer. The error's own text may
// quote the request, and secrets with it: pass on this instead.
func ErrorCode(err error) string {
	var coded interface{ ErrorCode() string }
	if errors.As(err, &coded) {
		return coded.ErrorCode()
	}
	return "no answer"
}
