package policy_test

import (
	"encoding/json"
	"testing"

	"keyturn/policy"
)

func TestTheSchedulesInputIsThePolicyAsAText(t *testing.T) {
	const raw = "{\n  \"$schema\": \"./policy.schema.json\",\n  \"mode\": \"notify\",\n  \"rules\": [{\"match\": {\"label\": \"R&D <\\\"1\\\"> – Zürich\"}, \"mode\": \"off\"}]\n}\n"
	snippet, err := policy.ScheduleInput([]byte(raw))
	if err != nil {
		t.Fatal(err)
	}
	var included struct{ Input string }
	if err := json.Unmarshal(snippet, &included); err != nil {
		t.Fatal(err)
	}
	if want := `{"policy":{"mode":"notify","rules":[{"match":{"label":"R&D <\"1\"> – Zürich"},"mode":"off"}]}}`; included.Input != want {
		t.Errorf("the input is\n%s, want\n%s", included.Input, want)
	}
	if _, err := policy.ScheduleInput([]byte(`{"mode": }`)); err == nil {
		t.Error("text that is no JSON was taken")
	}
}

func TestThePolicyThatIsDeployedIsJSON(t *testing.T) {
	if !json.Valid(policy.Deployed) {
		t.Errorf("policy.json is\n%s", policy.Deployed)
	}
}
