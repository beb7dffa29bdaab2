//go:build race

package faults

// Under the race detector, which makes them ten times slower, a sample of the
// cases runs; "make test" runs all of them without it.
const oneOf = 127
