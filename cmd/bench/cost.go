package main

import "time"

// AWS's list prices in us-east-1, in US dollars, without free tiers, as known
// on priceDate. Look at the pages named below before relying on them.
const (
	priceDate = "2026-11-25"

	// Standard workflows: aws.amazon.com/step-functions/pricing
	pricePerTransition = 0.025 / 1000
	// aws.amazon.com/lambda/pricing, arm64, the first tier
	pricePerInvocation = 0.20 / 1e6
	pricePerGBSecond   = 0.0000133334
	// aws.amazon.com/s3/pricing, S3 Standard. DELETE is free.
	pricePerWrite = 0.005 / 1000  // PUT, COPY, POST, LIST
	pricePerRead  = 0.0004 / 1000 // GET and all others
	// Custom events: aws.amazon.com/eventbridge/pricing
	pricePerEvent = 1.00 / 1e6
	// Mails: aws.amazon.com/ses/pricing
	pricePerMail = 0.10 / 1000
)

// What the template gives to the functions, in GB.
const (
	rotationMemory  = 0.25
	discoveryMemory = 0.5
	// perCall is what a function of a rotation is taken to last: several times
	// what it does, since it makes two or three calls to Okta. Lambda is a
	// hundredth of the cost.
	perCall = time.Second
)

// cost of one rotation.
func (t turn) cost() float64 {
	return float64(t.transitions)*pricePerTransition +
		float64(t.lambdas)*(pricePerInvocation+perCall.Seconds()*rotationMemory*pricePerGBSecond) +
		float64(t.events)*pricePerEvent + float64(t.mails)*pricePerMail
}

// seconds are what list-apps is billed: the simulated requests, and the time
// that this machine computed.
func (r run) seconds() float64 { return (r.lasted + r.cpu).Seconds() }

// otherFunctions follow list-apps in each run.
const otherFunctions = 3

// cost of one run of discovery. The functions behind list-apps count with their
// calls, and not with their time.
func (r run) cost() float64 {
	writes, reads := r.requests()
	return float64(r.transitions)*pricePerTransition +
		float64(r.invocations+otherFunctions)*pricePerInvocation + r.seconds()*discoveryMemory*pricePerGBSecond +
		float64(writes)*pricePerWrite + float64(reads)*pricePerRead
}
