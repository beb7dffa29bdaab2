package starting

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"keyturn/internal/awsenv"
	"keyturn/internal/inventory"
	"keyturn/internal/rotation"
)

// The names of this function's errors about Step Functions.
const (
	unavailable = "StepFunctions.Unavailable"
	refused     = "StepFunctions.Refused"
)

// Codes of Step Functions' errors (Step Functions API reference, "Common
// errors" and the actions' own).
var (
	refusals = []string{
		"AccessDeniedException", "AccessDenied", "UnrecognizedClientException", "InvalidClientTokenId", "InvalidSignatureException",
		"IncompleteSignature", "MissingAuthenticationToken", "NotAuthorized", "OptInRequired", "InvalidArn",
		"StateMachineDoesNotExist", "StateMachineDeleting", "StateMachineTypeNotSupported",
		"KmsAccessDeniedException", "KmsInvalidStateException",
	}
	passing = []string{
		"ThrottlingException", "Throttling", "TooManyRequestsException", "RequestLimitExceeded", "KmsThrottlingException",
		"ServiceUnavailable", "ServiceUnavailableException", "InternalFailure", "InternalServerError", "InternalServerException",
		"RequestTimeout", "RequestTimeoutException", "RequestExpired", "ExpiredTokenException",
	}
)

// nameOf sorts an error of the SDK: unavailable where it may pass by itself,
// refused where all calls of the kind will fail until somebody mends it, and
// empty for one that concerns this very call.
func nameOf(err error) string {
	var coded smithy.APIError
	if !errors.As(err, &coded) {
		return unavailable
	}
	var response *smithyhttp.ResponseError
	switch {
	case slices.Contains(refusals, coded.ErrorCode()):
		return refused
	case slices.Contains(passing, coded.ErrorCode()), coded.ErrorFault() == smithy.FaultServer,
		errors.As(err, &response) && response.HTTPStatusCode() >= 500:
		return unavailable
	}
	return ""
}

// explain names an error of the SDK for the state machine. The SDK's text may
// quote the request; only the code is passed on.
func explain(err error, what string) error {
	code := awsenv.ErrorCode(err)
	if nameOf(err) == unavailable {
		return rotation.Errorf(unavailable, "Step Functions did not %s (%s)", what, code)
	}
	return rotation.Errorf(refused, "Step Functions refuses to %s (%s): check the role of the function start-rotations and its ROTATION_ARN", what, code)
}

// problem is for the report what an error is for the state machine.
func problem(err error, format string, args ...any) inventory.Problem {
	name := unavailable
	if err != nil {
		name = cmp.Or(rotation.NameOf(err), unavailable)
	}
	return inventory.Problem{Name: name, Message: fmt.Sprintf(format, args...)}
}

// text is an error's, which may be absent where time ran out.
func text(err error) string {
	if err == nil {
		return "there was no time left"
	}
	return err.Error()
}
