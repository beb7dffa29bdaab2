// Command inspect-target reads one target, its keys and its policy (guide, step 1).
package main

import (
	"os"
	"strings"
	"time"

	"keyturn/internal/lambdastep"
	"keyturn/internal/rotation"
	"keyturn/internal/steps"
	"keyturn/internal/wiring"
)

func main() {
	lambdastep.Start("inspect-target", func() (lambdastep.Step[rotation.InspectTargetInput, rotation.InspectTargetOutput], error) {
		client, err := wiring.Okta()
		if err != nil {
			return nil, err
		}
		defaults := rotation.DefaultSettings(addresses(os.Getenv("APPROVERS")))
		if err := defaults.Validate("the stack parameter Approvers: defaults"); err != nil {
			return nil, err
		}
		return steps.InspectTarget{
			Okta:     client,
			Defaults: defaults,
			Now:      time.Now,
		}.Run, nil
	})
}

// addresses splits the stack parameter Approvers at its commas.
func addresses(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' })
}
