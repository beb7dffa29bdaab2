//go:build audit

package audit

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"gopkg.in/yaml.v3"
)

// rotationRole is a role that only the stacks of template.yaml have.
const rotationRole = "RotationRole"

// unusedHere are the permissions that no call of the suite can need, and why.
var unusedHere = []Exception{
	{Role: "*", Action: "logs:*", Why: "Lambda and Step Functions write logs with the role themselves; no function calls CloudWatch Logs"},
	{Role: "*", Action: "xray:*", Why: "Lambda and Step Functions write traces with the role themselves"},
	{Role: "SignCsrRole", Action: "ec2:*", Why: "Lambda makes the network interfaces with the role itself"},
	{Role: "*", Action: "ses:SendRawEmail", Why: "SES may ask for it where a mail has attachments; MiniStack asks for SendEmail only"},
	{Role: "*", Action: "ses:SendEmail", Resource: "*:configuration-set/*", Why: "SES asks for the sender's default configuration set, if it has one; MiniStack asks for the identity only"},
	{Role: "ScheduleRole", Action: "sqs:SendMessage", Why: "EventBridge Scheduler leaves there what it could not deliver in an hour; MiniStack's delivers or forgets"},
}

// wideHere are the permissions whose resource is no single one, and why.
var wideHere = []Exception{
	{Role: "*", Action: "ses:Send*", Resource: "*:identity/*", Condition: "ses:FromAddress", Why: "the identity may be the address or a domain above it, and in the sandbox is the recipient's as well; the sender's address is the limit"},
	{Role: "*", Action: "ses:Send*", Resource: "*:configuration-set/*", Condition: "ses:FromAddress", Why: "the default one of an identity is the account's to name; the sender's address is the limit"},
	{Role: "*", Action: "states:GetExecutionHistory", Resource: "*:execution:*-rotation:*", Why: "the executions of one machine, whose names come later"},
	{Role: "*", Action: "states:DescribeExecution", Resource: "*:execution:*-rotation:*", Why: "the executions of one machine, whose names come later"},
	// The reference names no resources. AWS decides for the state machine that
	// the token belongs to: github.com/aws/aws-cdk/pull/8486, where it was tried.
	{Role: "ConfirmUploadRole", Action: "states:SendTask*", Resource: "*:stateMachine:*-rotation", Why: "AWS decides for the token's state machine, which the reference does not say"},
	{Role: "ListAppsRole", Action: "s3:*Object", Resource: "*/memory/new/*", Why: "one folder of the stack's bucket; an object for each answer of Okta"},
	{Role: "*", Action: "s3:*Object", Resource: "*/runs/*", Why: "one folder of the stack's bucket; a folder for each run"},
	{Role: "ReportInventoryRole", Action: "s3:*Object", Resource: "*/inventory/*", Why: "one folder of the stack's bucket"},
	{Role: "ReportInventoryRole", Action: "s3:*Object", Resource: "*/report/*", Why: "one folder of the stack's bucket"},
	{Role: "*", Action: "logs:*", Resource: "*:log-group:/aws/lambda/*", Why: "the streams of one log group, whose names come later"},
	{Role: "SignCsrRole", Action: "ec2:*NetworkInterface", Resource: "*", Why: "Lambda refuses a role that has it for fewer (Lambda developer guide, VPC)"},
	{Role: "SignCsrRole", Action: "ec2:*PrivateIpAddresses", Resource: "*", Why: "Lambda refuses a role that has it for fewer (Lambda developer guide, VPC)"},
}

func power(t *testing.T) *Power {
	t.Helper()
	records, err := Read[AWSRecord]("aws")
	if err != nil {
		t.Fatal(err)
	}
	p := NewPower(records, rotationRole)
	if len(p.Calls()) == 0 {
		t.Fatal("no stack of the template has called AWS")
	}
	return p
}

func report(t *testing.T, found []string) {
	t.Helper()
	slices.Sort(found)
	for _, f := range slices.Compact(found) {
		t.Error(f)
	}
}

// TestEveryCallIsAllowedByItsOwnRole compares each call of the suite with the
// policies of the stack that made it.
func TestEveryCallIsAllowedByItsOwnRole(t *testing.T) {
	p := power(t)
	report(t, p.Missing())
	t.Logf("%d different calls in the stacks %q", len(p.Calls()), p.Stacks)
}

// TestNothingIsAllowedThatNothingNeeds takes the union of the stacks: each of
// the CAs, the chat and the sender are configured in some of them.
func TestNothingIsAllowedThatNothingNeeds(t *testing.T) {
	p := power(t)
	report(t, p.Unused(unusedHere))
	t.Logf("%d permissions", len(p.Permissions()))
}

func TestNothingIsAllowedOnEverythingThatHasAnARN(t *testing.T) {
	report(t, power(t).Wide(reference(t), wideHere))
}

// reference is the Service Authorization Reference as cfn-lint, pinned in
// tools/requirements.txt, brings it along.
func reference(t *testing.T) Reference {
	t.Helper()
	found, err := filepath.Glob("../../.venv/lib/python3*/site-packages/cfnlint/data/AdditionalSpecs/Policies.json")
	if err != nil || len(found) != 1 {
		t.Fatalf("cfn-lint's copy of the reference: %q %v: run `make setup`", found, err)
	}
	text, err := os.ReadFile(found[0])
	if err != nil {
		t.Fatal(err)
	}
	var r Reference
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// TestEveryStatementOfTheTemplateWasDeployed has nothing overlooked because no
// stack of the suite has its condition.
func TestEveryStatementOfTheTemplateWasDeployed(t *testing.T) {
	deployed := map[[2]string]bool{}
	for permission := range power(t).Permissions() {
		deployed[[2]string{permission.Role, permission.Statement}] = true
	}
	text, err := os.ReadFile("../../template.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var template struct {
		Resources map[string]struct {
			Type       string `yaml:"Type"`
			Properties struct {
				Policies yaml.Node `yaml:"Policies"`
			} `yaml:"Properties"`
		} `yaml:"Resources"`
	}
	if err := yaml.Unmarshal(text, &template); err != nil {
		t.Fatal(err)
	}
	statements := 0
	for role, r := range template.Resources {
		if r.Type != "AWS::IAM::Role" {
			continue
		}
		var policies []struct {
			PolicyDocument struct {
				Statement []yaml.Node `yaml:"Statement"`
			} `yaml:"PolicyDocument"`
		}
		if err := r.Properties.Policies.Decode(&policies); err != nil {
			t.Fatalf("%s: %v", role, err)
		}
		for _, policy := range policies {
			for _, node := range policy.PolicyDocument.Statement {
				if node.Tag == "!If" {
					node = *node.Content[1]
				}
				var statement struct {
					Sid string `yaml:"Sid"`
				}
				if err := node.Decode(&statement); err != nil {
					t.Fatal(err)
				}
				statements++
				if statement.Sid == "" {
					t.Errorf("%s has a statement without Sid, which the audit tells them apart by", role)
				} else if !deployed[[2]string{role, statement.Sid}] {
					t.Errorf("no stack of the suite has the statement %s of %s: have a test deploy one", statement.Sid, role)
				}
			}
		}
	}
	if statements < 20 {
		t.Errorf("only %d statements were found", statements)
	}
}
