package audit

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

// records are lines as the local AWS writes them.
func records(t *testing.T, lines string) []AWSRecord {
	t.Helper()
	var all []AWSRecord
	for line := range strings.Lines(strings.TrimSpace(lines)) {
		var one AWSRecord
		if err := json.Unmarshal([]byte(line), &one); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		all = append(all, one)
	}
	return all
}

// asked is a stack with two roles, which need all that they have.
const asked = `
{"cloud": "1", "stack": "a", "role": "PageRole", "policies": [{"Statement": [{"Sid": "Read", "Effect": "Allow", "Action": "s3:GetObject", "Resource": ["arn:aws:s3:::b/x", "arn:aws:s3:::b/runs/*"]}, {"Sid": "Tell", "Effect": "Allow", "Action": ["events:PutEvents"], "Resource": "arn:aws:events:us-east-1:0:event-bus/default", "Condition": {"StringEquals": {"events:source": ["keyturn"]}}}]}]}
{"cloud": "1", "stack": "a", "role": "RuleRole", "policies": [{"Statement": {"Effect": "Allow", "Action": "states:StartExecution", "Resource": "arn:aws:states:us-east-1:0:stateMachine:m"}}]}
{"cloud": "1", "stack": "a", "role": "PageRole", "by": "Page", "action": "s3:GetObject", "resource": "arn:aws:s3:::b/x", "allowed": true, "context": {}}
{"cloud": "1", "stack": "a", "role": "PageRole", "by": "Page", "action": "s3:GetObject", "resource": "arn:aws:s3:::b/runs/1/entries.jsonl", "allowed": true, "context": {}}
{"cloud": "1", "stack": "a", "role": "PageRole", "by": "Page", "action": "events:PutEvents", "resource": "arn:aws:events:us-east-1:0:event-bus/default", "allowed": true, "context": {"Events:Source": "keyturn"}}
{"cloud": "1", "stack": "a", "role": "RuleRole", "by": "Rule", "action": "states:StartExecution", "resource": "arn:aws:states:us-east-1:0:stateMachine:m", "allowed": true, "context": {}}
{"cloud": "1", "stack": "other", "role": "AskRole", "policies": [{"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}]}
{"cloud": "1", "stack": "other", "role": "AskRole", "by": "Ask", "action": "s3:GetObject", "resource": "arn:aws:s3:::b/x", "allowed": false, "context": {}}
`

// known is a reference that knows what is asked.
var known = func() Reference {
	var r Reference
	if err := json.Unmarshal([]byte(`{
		"s3": {"Actions": {"GetObject": {"Resources": ["object"]}}, "Resources": {"Object": {"ARNFormats": ["arn:${Partition}:s3:::.*"]}}},
		"events": {"Actions": {"PutEvents": {"Resources": ["event-bus"]}}, "Resources": {"event-bus": {"ARNFormats": ["arn:${Partition}:events:${Region}:${Account}:event-bus/.*"]}}},
		"states": {"Actions": {"StartExecution": {"Resources": ["m"]}, "SendTaskSuccess": {}}, "Resources": {"m": {"ARNFormats": ["arn:${Partition}:states:${Region}:${Account}:stateMachine:.*"]}}},
		"xray": {"Actions": {"PutTraceSegments": {}}}
	}`), &r); err != nil {
		panic(err)
	}
	return r
}()

var folder = []Exception{{Role: "PageRole", Action: "s3:*", Resource: "*/runs/*", Why: "a folder"}}

func TestTheAuditFindsWhatIsWrongAboutRoles(t *testing.T) {
	for name, c := range map[string]struct {
		old, now             string // what of asked is another
		unusedHere, wideHere []Exception
		missing              string
		unused               string
		wide                 string
	}{
		"nothing": {},
		"a call that was refused": {
			old: `"events:PutEvents", "resource": "arn:aws:events:us-east-1:0:event-bus/default", "allowed": true`,
			now: `"events:PutEvents", "resource": "arn:aws:events:us-east-1:0:event-bus/default", "allowed": false`, missing: "was refused",
		},
		"a call on another resource": {old: `"resource": "arn:aws:s3:::b/x"`, now: `"resource": "arn:aws:s3:::b/y"`, missing: "PageRole (Page, stack a): s3:GetObject on arn:aws:s3:::b/y", unused: "nothing needed s3:GetObject on arn:aws:s3:::b/x"},
		"another call":               {old: `"action": "states:StartExecution"`, now: `"action": "states:StopExecution"`, missing: "states:StopExecution", unused: "RuleRole, statement 1 of policy 1: nothing needed states:StartExecution"},
		"a condition that does not hold": {
			old: `{"Events:Source": "keyturn"}`, now: `{"Events:Source": "payroll"}`, missing: "allowed by no statement", unused: "events:PutEvents",
		},
		"a condition about which the call says nothing": {old: `{"Events:Source": "keyturn"}`, now: `{}`, missing: "allowed by no statement", unused: "events:PutEvents"},
		"a condition of another sort":                   {old: "StringEquals", now: "StringLike", missing: "which the audit cannot decide"},
		"a statement that denies":                       {old: `"Sid": "Read", "Effect": "Allow"`, now: `"Sid": "Read", "Effect": "Deny"`, missing: "Read has Deny"},
		"a statement that allows the rest":              {old: `"Resource": ["arn:aws:s3:::b/x"`, now: `"NotResource": "x", "Resource": ["arn:aws:s3:::b/x"`, missing: `NotResource ["x"]`},
		"a managed policy":                              {old: `"role": "RuleRole", "policies"`, now: `"role": "RuleRole", "managed": ["arn:aws:iam::aws:policy/Admin"], "policies"`, missing: "policy/Admin"},
		"a permission that nothing needs":               {old: `"Action": ["events:PutEvents"]`, now: `"Action": ["events:PutEvents", "xray:PutTraceSegments"]`, unused: "PageRole, Tell: nothing needed xray:PutTraceSegments", wide: "so that it allows nothing"},
		"a permission that is given twice":              {old: `["arn:aws:s3:::b/x"`, now: `["arn:aws:s3:::b/x", "arn:aws:s3:::b/x"`, unused: "one of which is needless"},
		"a resource that could be named":                {old: `"Resource": "arn:aws:states:us-east-1:0:stateMachine:m"`, now: `"Resource": "*"`, wide: "states:StartExecution on *: the action has resources"},
		"a pattern":                                     {old: `"Resource": "arn:aws:states:us-east-1:0:stateMachine:m"`, now: `"Resource": "arn:aws:states:us-east-1:0:stateMachine:*"`, wide: "the resource is a pattern"},
		"all actions":                                   {old: `"Action": "states:StartExecution"`, now: `"Action": "states:*"`, missing: "statement 1 of policy 1 allows states:*: name the actions", unused: "states:*", wide: "AWS has no such action"},
		"a resource of another kind": {
			old: `"Resource": "arn:aws:states:us-east-1:0:stateMachine:m"`, now: `"Resource": "arn:aws:s3:::b"`,
			missing: "states:StartExecution", unused: "states:StartExecution", wide: "the action has no resources of this kind",
		},
		"an exception for what is used":     {unusedHere: []Exception{{Role: "*", Action: "events:*", Why: "none"}}, unused: "is used, and an exception says why it is not: none"},
		"an exception for what is not here": {unusedHere: []Exception{{Role: "*", Action: "sns:*"}}, wideHere: []Exception{{Role: "*", Action: "sns:*"}}, unused: "covers nothing", wide: "covers nothing"},
		"an exception for another statement": {
			wideHere: []Exception{{Role: "PageRole", Action: "s3:*", Resource: "*/runs/*", Condition: "s3:x"}}, wide: "covers nothing",
		},
	} {
		t.Run(name, func(t *testing.T) {
			if !strings.Contains(asked, c.old) {
				t.Fatalf("there is no %s", c.old)
			}
			p := NewPower(records(t, strings.Replace(asked, c.old, c.now, 1)), "RuleRole")
			for what, found := range map[string][2]any{
				"missing": {p.Missing(), c.missing},
				"unused":  {p.Unused(c.unusedHere), c.unused},
				"wide":    {p.Wide(known, append(c.wideHere, folder...)), c.wide},
			} {
				list, want := found[0].([]string), found[1].(string)
				if want == "" && len(list) > 0 || want != "" && !slices.ContainsFunc(list, func(f string) bool { return strings.Contains(f, want) }) {
					t.Errorf("%s is %q, want %q", what, list, want)
				}
			}
		})
	}
}

// TestAPermissionIsOneInAllStacks has a second stack, in which another part of
// it is used.
func TestAPermissionIsOneInAllStacks(t *testing.T) {
	half := strings.ReplaceAll(asked, `"resource": "arn:aws:s3:::b/x", "allowed": true`, `"resource": "arn:aws:s3:::b/runs/2/x", "allowed": true`)
	if found := NewPower(records(t, half), "RuleRole").Unused(nil); len(found) != 1 {
		t.Fatalf("unused is %q", found)
	}
	second := strings.ReplaceAll(strings.ReplaceAll(asked, `"cloud": "1", "stack": "a"`, `"cloud": "2", "stack": "z"`), "s3:::b/", "s3:::another/")
	p := NewPower(records(t, half+strings.TrimSpace(second)), "RuleRole")
	if found := p.Unused(nil); len(found) > 0 {
		t.Errorf("unused is %q", found)
	}
	if !slices.Equal(p.Stacks, []string{"a", "z"}) {
		t.Errorf("the stacks are %q", p.Stacks)
	}
	// What one stack may do is no reason that another may.
	elsewhere := strings.Replace(half, `"resource": "arn:aws:s3:::b/runs/1/entries.jsonl"`, `"resource": "arn:aws:s3:::another/x"`, 1)
	if found := NewPower(records(t, elsewhere+strings.TrimSpace(second)), "RuleRole").Missing(); len(found) != 1 {
		t.Errorf("missing is %q", found)
	}
}
