package awsenv

import (
	"context"
	"errors"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
)

// Transient reports whether the call that ended with an SDK's error may succeed
// later as it is: there was no answer, or the service throttled it or failed by
// itself.
func Transient(err error) bool {
	var coded interface{ ErrorCode() string }
	if !errors.As(err, &coded) {
		return true
	}
	if _, throttled := retry.DefaultThrottleErrorCodes[coded.ErrorCode()]; throttled {
		return true
	}
	var answered interface{ HTTPStatusCode() int }
	if !errors.As(err, &answered) {
		return false
	}
	status := answered.HTTPStatusCode()
	return status >= http.StatusInternalServerError || status == http.StatusTooManyRequests
}

// Ended is why a call was given up: context.Canceled, context.DeadlineExceeded,
// or nil where it was not. It may be wrapped where the SDK's error may not.
func Ended(err error) error {
	for _, cause := range []error{context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, cause) {
			return cause
		}
	}
	return nil
}
