//go:build !race

package faults

const oneOf = 1
