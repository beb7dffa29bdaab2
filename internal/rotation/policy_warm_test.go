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
	with := func() rotation.Settings {
		s := rotation.DefaultSettings([]string{"sso-team@example.com", "identity@example.com"})
		s.Profile = fullProfile()
		return s
	}
	base, want := with(), with()
	for _, policy := range []string{
		`{"approvers": ["crm@example.com"], "escalateTo": ["lead@example.com"]}`,
		`{"approvers": ["not an address"]}`,
		`{"certificateAuthority": "manual", "signers": ["pki@example.com"], "profile": {"keyUsage": ["keyAgreement"], "crlUrls": ["http://pki.example.com"], "extensions": [{"oid": "1.2.3", "value": "BQA="}]}}`,
		`{"profile": {"keyUsage": ["keyAgreement"], "extensions": [{"oid": "1.2.3"}]}}`,
		`{"rules": [{"match": {"kind": "app"}, "profile": {"keyUsage": ["keyAgreement"], "ocspUrls": ["http://ocsp.example.com"]}}]}`,
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
