// Command list-apps lists the org's apps and IdPs and learns when their
// certificates end (guide, step 1).
package main

import (
	"time"

	"keyturn/internal/awsenv"
	"keyturn/internal/bucket"
	"keyturn/internal/inventory"
	"keyturn/internal/inventory/scan"
	"keyturn/internal/lambdastep"
	"keyturn/internal/wiring"
	"keyturn/policy"
)

func main() {
	lambdastep.Start("list-apps", func() (lambdastep.Step[inventory.ListAppsInput, inventory.ListAppsOutput], error) {
		client, err := wiring.Okta()
		if err != nil {
			return nil, err
		}
		defaults, err := wiring.Defaults()
		if err != nil {
			return nil, err
		}
		name, err := awsenv.Required("BUCKET")
		if err != nil {
			return nil, err
		}
		return scan.Apps{
			Okta:     client,
			Bucket:   bucket.New(awsenv.Config(), name),
			Defaults: defaults,
			Policy:   policy.Deployed,
			Now:      time.Now,
		}.Run, nil
	})
}
