// Package events_test keeps the sample events true: each is what its function
// or state machine takes.
package events_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-lambda-go/events"

	"keyturn/internal/inventory"
	"keyturn/internal/rotation"
)

var inputs = map[string]func() any{
	"rotation":              func() any { return new(rotation.InspectTargetInput) },
	"inspect-target":        func() any { return new(rotation.InspectTargetInput) },
	"generate-csr":          func() any { return new(rotation.GenerateCSRInput) },
	"sign-csr":              func() any { return new(rotation.SignCSRInput) },
	"publish-csr":           func() any { return new(rotation.PublishCSRInput) },
	"clone-certificate":     func() any { return new(rotation.CloneCertificateInput) },
	"update-key-credential": func() any { return new(rotation.UpdateKeyCredentialInput) },
	"verify-key":            func() any { return new(rotation.VerifyKeyInput) },
	"revoke-csr":            func() any { return new(rotation.RevokeCSRInput) },
	"read-metadata":         func() any { return new(rotation.ReadMetadataInput) },
	"request-upload":        func() any { return new(rotation.RequestUploadInput) },
	"confirm-upload":        func() any { return new(events.LambdaFunctionURLRequest) },
	"discovery":             func() any { return new(inventory.Request) },
	"list-apps":             func() any { return new(inventory.ListAppsInput) },
	"report-inventory":      func() any { return new(inventory.ReportInventoryInput) },
	"discovery-requested": func() any {
		return &struct {
			Source     string             `json:"source"`
			DetailType string             `json:"detail-type"`
			Detail     *inventory.Request `json:"detail"`
		}{}
	},
	"start-rotations": func() any { return new(inventory.StartRotationsInput) },
	"rotation-requested": func() any {
		return &struct {
			Source     string                       `json:"source"`
			DetailType string                       `json:"detail-type"`
			Detail     *rotation.InspectTargetInput `json:"detail"`
		}{}
	},
}

func TestEachSampleIsWhatItsUserTakes(t *testing.T) {
	for name, input := range inputs {
		t.Run(name, func(t *testing.T) {
			sample, err := os.ReadFile(name + ".json")
			if err != nil {
				t.Fatal(err)
			}
			d := json.NewDecoder(bytes.NewReader(sample))
			in := input()
			if _, foreign := in.(*events.LambdaFunctionURLRequest); !foreign {
				d.DisallowUnknownFields()
			}
			if err := d.Decode(in); err != nil {
				t.Fatalf("%s.json: %v", name, err)
			}
			if start, ok := in.(*rotation.InspectTargetInput); ok {
				if err := start.Target.Validate(); err != nil {
					t.Error(err)
				}
				if _, err := rotation.ResolvePolicy(start.Policy, rotation.DefaultSettings(nil), start.Target, "kid"); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

func TestEveryFunctionAndStateMachineHasASample(t *testing.T) {
	var names []string
	for _, pattern := range []string{"../functions/*", "../statemachine/*.asl.json"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, found...)
	}
	if len(names) < 10 {
		t.Fatalf("found only %v", names)
	}
	for _, path := range names {
		name := strings.TrimSuffix(filepath.Base(path), ".asl.json")
		if inputs[name] == nil {
			t.Errorf("%s has no sample under events/", name)
		}
	}
}
