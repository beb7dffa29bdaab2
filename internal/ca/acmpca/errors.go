package acmpca

import (
	"errors"
	"fmt"

	"keyturn/internal/awsenv"
	"keyturn/internal/ca"
)

// The calls, as IAM names them.
const (
	issueCertificate = "acm-pca:IssueCertificate"
	getCertificate   = "acm-pca:GetCertificate"
	getCACertificate = "acm-pca:GetCertificateAuthorityCertificate"
)

// failure names an error of AWS Private CA. The service's message is passed on
// where it is about the request, which holds nothing secret; that of other
// errors may quote how the request was signed, and only the code is told.
func (a *Authority) failure(action string, err error) *ca.Error {
	code := awsenv.ErrorCode(err)
	named := func(name, remedy string) *ca.Error {
		return &ca.Error{
			Name: name, Field: "certificateAuthority", Value: a.arn,
			Message: fmt.Sprintf("%s ended with %s", action, code), Remedy: remedy,
		}
	}
	refused := func(name, remedy string) *ca.Error {
		text := code
		var detailed interface{ ErrorMessage() string }
		if errors.As(err, &detailed) && detailed.ErrorMessage() != "" {
			text += ": " + detailed.ErrorMessage()
		}
		return &ca.Error{
			Name: name, Field: "the answer of " + action, Value: text,
			Message: "for " + a.arn, Remedy: remedy,
		}
	}
	switch code {
	case "AccessDeniedException":
		remedy := fmt.Sprintf("allow %s on this CA to whoever calls", action)
		if action == issueCertificate {
			remedy += ", with the template " + a.template.arn
		}
		return named(ca.NameMisconfigured, remedy+"; where the CA is shared from another account, in its resource share too")
	case "ResourceNotFoundException", "InvalidArnException":
		return named(ca.NameMisconfigured, "configure the ARN of a private CA that exists, in this account or shared with it")
	case "InvalidStateException":
		return refused(ca.NameMisconfigured, "make the CA ACTIVE: install its certificate, enable it, restore it, or renew it where it has expired")
	case "LimitExceededException":
		return refused(ca.NameMisconfigured, "have the quota of this CA raised (Service Quotas, AWS Private CA), or configure another CA")
	case "MalformedCSRException":
		return refused(ca.NameCSRInvalid, "revoke the request in Okta and generate another one")
	case "InvalidArgsException", "ValidationException":
		return refused(ca.NameMisconfigured,
			"change what the message names: the policy's validityDays or profile, the template, or the CA; one in mode SHORT_LIVED_CERTIFICATE signs for 7 days at most and will not do")
	case "RequestFailedException":
		return refused(ca.NameMisconfigured, "look at the CA's events in CloudTrail; five minutes later a new rotation asks for a new certificate")
	}
	if awsenv.Transient(err) || code == "ConcurrentModificationException" || code == "RequestInProgressException" {
		e := named(ca.NameUnavailable, "try again; if it stays, see AWS Health for Private CA in the CA's region")
		e.Err = awsenv.Ended(err)
		return e
	}
	return named(ca.NameMisconfigured, "check credentials and CA by the common errors of the AWS Private CA API Reference")
}
