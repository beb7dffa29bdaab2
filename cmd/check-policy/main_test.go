package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// check runs the command in a folder of its own, with the policy as
// policy/policy.json.
func check(t *testing.T, policy string, args ...string) (code int, out, errs string) {
	t.Helper()
	t.Chdir(t.TempDir())
	if err := os.Mkdir("policy", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join("policy", "policy.json"), []byte(policy), 0o644); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr strings.Builder
	code = run(args, &stdout, &stderr)
	return code, stdout.String(), stderr.String()
}

func want(t *testing.T, what, want, got string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got)\n%s", what, diff)
	}
}

func TestGoodPolicyIsSummarized(t *testing.T) {
	for _, c := range []struct{ name, policy, want string }{
		{"nothing of its own", `{"$schema": "./policy.schema.json", "rules": []}`, `policy/policy.json: mode notify, 0 rules
  without a rule: the defaults
`},
		{"one rule", `{"mode": "rotate", "rules": [{"match": {"kind": "idp"}}]}`, `policy/policy.json: mode rotate, 1 rule
  rules[0] for kind "idp": as without a rule
  without a rule: mode "rotate"
`},
		{"rules", `{
  "rules": [
    {"giveUpDays": 14, "match": {"kind": "app", "label": "Salesforce*"}, "approvers": ["crm@example.com",  "a@example.com"]},
    {"match": {"id": "0oa1"}, "mode": "off", "subject": { "localityName": "" }}
  ],
  "validityDays": 200
}`, `policy/policy.json: mode notify, 2 rules
  rules[0] for kind "app", label "Salesforce*": giveUpDays 14, approvers ["crm@example.com","a@example.com"]
  rules[1] for id "0oa1": mode "off", subject {"localityName":""}
  without a rule: validityDays 200
`},
		{"CAs", `{
  "certificateAuthority": "acmpca",
  "rules": [{"match": {"label": "* (bank)"}, "certificateAuthority": "manual", "signers": ["pki-desk@example.com"], "profile": {"keyUsage": ["keyAgreement"]}}]
}`, `policy/policy.json: mode notify, 1 rule
  rules[0] for label "* (bank)": certificateAuthority "manual", signers ["pki-desk@example.com"], profile {"keyUsage":["keyAgreement"]}
  without a rule: certificateAuthority "acmpca"
`},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, out, errs := check(t, c.policy)
			if code != 0 || errs != "" {
				t.Fatalf("exit %d: %s", code, errs)
			}
			want(t, "output", c.want, out)
		})
	}
}

func TestProblemsAreListedAsCompilersDo(t *testing.T) {
	for _, c := range []struct{ name, policy, want string }{
		{"several", "{\n\"mode\": \"always\",\n\"rules\": [\n{\"match\": {\"kind\": \"app\"}},\n{\"match\": {\"kind\": \"app\", \"label\": \"Wiki\"}}]}\n",
			`policy/policy.json:2: mode is "always": use rotate or notify or off
policy/policy.json:5: rules[1] (line 5) can never match, since rules[0] (line 4) takes all its targets before: move it before that one, or remove it
`},
		{"a profile", "{\n\"profile\": {\n\"keyUsage\": [\"keyCertSign\"],\n\"extensions\": [\n{\"oid\": \"2.5.29.31\",\n\"value\": \"MAA\"}]}}",
			`policy/policy.json:3: profile.keyUsage has "keyCertSign", which is for CAs: leave it out; digitalSignature and, for an IdP, keyEncipherment are always set
policy/policy.json:5: profile.extensions[0].oid is "2.5.29.31" (cRLDistributionPoints), which Keyturn makes by itself: use profile.crlUrls
policy/policy.json:6: profile.extensions[0].value is "MAA", which is not standard base64: give the extension's value, one DER value in standard base64
`},
		{"not JSON", "{\n\"mode\": \"off\",\n}", "policy/policy.json:3: policy is not JSON: invalid character '}' looking for beginning of object key string; remove the comma before it\n"},
		{"empty", "", "policy/policy.json:1: policy is empty: give one JSON object, such as {\"rules\": []}\n"},
		{"too large", "{\"subject\": {\"organizationName\": \"" + strings.Repeat("x", 61440) + "\"}}", "policy/policy.json:1: policy has 61475 bytes without its white space, more than 61440: use fewer rules, with patterns instead of one rule a target\n" +
			"policy/policy.json:1: subject.organizationName is \"" + strings.Repeat("x", 80) + "…\", with at least 61440 characters: use at most 64, the upper bound of RFC 5280\n"},
		{"text that AWS replaces", "{\n\"subject\": {\"organizationName\": \"<aws.scheduler.schedule-arn>\"}}",
			"policy/policy.json:2: subject.organizationName has the text \"<aws.scheduler.\", for which EventBridge Scheduler puts in something else: take it out\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, out, errs := check(t, c.policy)
			if code != 1 || out != "" {
				t.Errorf("exit %d, and %q", code, out)
			}
			want(t, "problems", c.want, errs)
		})
	}
}

func TestPolicyIsLaidOverTheParametersOfTheStack(t *testing.T) {
	code, out, errs := check(t, `{}`, "-mode", "off", "-approvers", "a@example.com, b@example.com")
	if code != 0 || errs != "" {
		t.Fatalf("exit %d: %s", code, errs)
	}
	want(t, "output", "policy/policy.json: mode off, 0 rules\n  without a rule: the defaults\n", out)
}

func TestWhiteSpaceDoesNotCount(t *testing.T) {
	if code, _, errs := check(t, "{"+strings.Repeat(" ", 100_000)+"}"); code != 0 {
		t.Errorf("exit %d: %s", code, errs)
	}
}

func TestAnotherFileIsChecked(t *testing.T) {
	other := filepath.Join(t.TempDir(), "other.json")
	if err := os.WriteFile(other, []byte(`{"mode": 1}`), 0o644); err != nil {
		t.Fatal(err)
	}
	code, out, errs := check(t, `{}`, other)
	if code != 1 || out != "" {
		t.Errorf("exit %d, and %q", code, out)
	}
	want(t, "problems", other+":1: mode is a JSON number: give a string\n", errs)
}

func TestWhatCannotBeCheckedIsNoProblemOfThePolicy(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"missing.json"}, "check-policy: error: could not read the policy: open missing.json: no such file or directory\n"},
		{[]string{"policy"}, "check-policy: error: could not read the policy: read policy: is a directory\n"},
		{[]string{"a.json", "b.json"}, "check-policy: error: 2 files: give one, after the flags\n"},
		{[]string{"-mode", "always"}, "check-policy: error: -mode is \"always\": use rotate or notify or off\n"},
		{[]string{"-approvers", "sso-team"}, "check-policy: error: -approvers has \"sso-team\", which is not a mail address: use one such as sso-team@example.com\n"},
	} {
		code, out, errs := check(t, `{}`, c.args...)
		if code != 2 || out != "" {
			t.Errorf("%q: exit %d, and %q", c.args, code, out)
		}
		want(t, strings.Join(c.args, " "), c.want, errs)
	}
	if code, _, errs := check(t, `{}`, "-modus", "off"); code != 2 || !strings.HasPrefix(errs, "flag provided but not defined: -modus\nusage: check-policy") {
		t.Errorf("unknown flag: exit %d: %s", code, errs)
	}
	if code, _, errs := check(t, `{}`, "-h"); code != 0 || !strings.HasPrefix(errs, "usage: check-policy [flags] [FILE]") {
		t.Errorf("-h: exit %d: %s", code, errs)
	}
}

func TestTheSchedulesInputIsWrittenForAGoodPolicyOnly(t *testing.T) {
	file := filepath.Join(t.TempDir(), "schedule.json")
	if code, _, errs := check(t, `{"mode": "sometimes"}`, "-schedule", file); code != 1 || errs == "" {
		t.Errorf("exit %d: %s", code, errs)
	}
	if _, err := os.Stat(file); !os.IsNotExist(err) {
		t.Errorf("a policy with problems left a file: %v", err)
	}
	if code, _, errs := check(t, `{"$schema": "x", "mode": "rotate"}`, "-schedule", file); code != 0 {
		t.Errorf("exit %d: %s", code, errs)
	}
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want(t, "the file", `{"Input":"{\"policy\":{\"mode\":\"rotate\"}}"}`+"\n", string(content))
}
