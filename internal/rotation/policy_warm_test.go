package rotation_test

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"keyturn/internal/rotation"
)

// A function's process serves many rotations with the same defaults.
func TestOnePolicyLeavesNoTraceInTheNext(t *testing.T) {
	target := rotation.Target{Kind: rotation.KindApp, ID: "0oa1", Label: "Wiki"}
	base := rotation.DefaultSettings([]string{"sso-team@example.com", "identity@example.com"})
	want := rotation.DefaultSettings([]string{"sso-team@example.com", "identity@example.com"})
	for _, policy := range []string{
		`{"approvers": ["crm@example.com"], "escalateTo": ["lead@example.com"]}`,
		`{"approvers": ["not an address"]}`,
		`{"rules": [{"match": {"kind": "app"}, "approvers": ["hr@example.com"]}]}`,
	} {
		// Refused or not, it must not reach the defaults.
		_, _ = rotation.ResolvePolicy(json.RawMessage(policy), base, target, "kid")
		got, err := rotation.ResolvePolicy(nil, base, target, "kid")
		if err != nil {
			t.Fatalf("after %s: %v", policy, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("after %s the defaults differ (-want +got):\n%s", policy, diff)
		}
	}
}
