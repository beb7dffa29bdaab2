// Command inspect-target reads one target, its keys and its policy (guide, step 1).
package main

import (
	"time"

	"keyturn/internal/lambdastep"
	"keyturn/internal/rotation"
	"keyturn/internal/steps"
	"keyturn/internal/wiring"
	"keyturn/policy"
)

func main() {
	lambdastep.Start("inspect-target", func() (lambdastep.Step[rotation.InspectTargetInput, rotation.InspectTargetOutput], error) {
		client, err := wiring.Okta()
		if err != nil {
			return nil, err
		}
		defaults, err := wiring.Defaults()
		if err != nil {
			return nil, err
		}
		return steps.InspectTarget{
			Okta:     client,
			Defaults: defaults,
			Policy:   policy.Deployed,
			Now:      time.Now,
		}.Run, nil
	})
}
