// Package startup measures what a function costs before it does anything: its
// size, and the time from the start of its process to the first call of the
// Lambda runtime API, each against an empty function in the same run. cmd/bench
// does that for all of them.
package startup
