// Package policy is the policy that is deployed: policy.json, which
// policy.schema.json describes and example.json shows in full.
package policy

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"

	"github.com/tidwall/sjson"
)

// Deployed is policy.json as it was when the functions were built.
//
//go:embed policy.json
var Deployed []byte

// ScheduleInput is what the template includes in the schedule of discovery: its
// property Input, {"policy": …} as a text. A stack parameter would take no more
// than 4,096 characters.
func ScheduleInput(policy []byte) ([]byte, error) {
	// $schema is for editors.
	var compact bytes.Buffer
	plain, err := sjson.DeleteBytes(policy, "$schema")
	if err == nil {
		err = json.Compact(&compact, plain)
	}
	if err != nil {
		return nil, fmt.Errorf("the policy is not JSON: %w", err)
	}
	var input bytes.Buffer
	e := json.NewEncoder(&input)
	e.SetEscapeHTML(false)
	if err := e.Encode(map[string]string{"Input": `{"policy":` + compact.String() + "}"}); err != nil {
		return nil, fmt.Errorf("the schedule's input: %w", err)
	}
	return input.Bytes(), nil
}
