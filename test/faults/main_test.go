package faults

import (
	"os"
	"runtime/debug"
	"testing"
)

// TestMain has the collector run seldom: a case leaves much behind, and what
// lives is little.
func TestMain(m *testing.M) {
	debug.SetGCPercent(800)
	os.Exit(m.Run())
}
