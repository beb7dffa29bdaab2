package workflow

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"gopkg.in/yaml.v3"
)

// plain is a template's node as maps, lists and texts; {"!GetAtt": "X.Arn"}
// for an intrinsic function in its short form.
func plain(t *testing.T, n *yaml.Node) any {
	t.Helper()
	var v any
	switch n.Kind {
	case yaml.DocumentNode:
		return plain(t, n.Content[0])
	case yaml.MappingNode:
		m := map[string]any{}
		for i := 0; i < len(n.Content); i += 2 {
			m[n.Content[i].Value] = plain(t, n.Content[i+1])
		}
		v = m
	case yaml.SequenceNode:
		list := []any{}
		for _, item := range n.Content {
			list = append(list, plain(t, item))
		}
		v = list
	default:
		v = n.Value
	}
	if tag := n.ShortTag(); strings.HasPrefix(tag, "!") && !strings.HasPrefix(tag, "!!") {
		return map[string]any{tag: v}
	}
	return v
}

// resources are the template's, by logical name.
func resources(t *testing.T) map[string]map[string]any {
	t.Helper()
	text, err := os.ReadFile("../../template.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var root yaml.Node
	if err := yaml.Unmarshal(text, &root); err != nil {
		t.Fatal(err)
	}
	template, _ := plain(t, &root).(map[string]any)
	all, _ := template["Resources"].(map[string]any)
	if len(all) == 0 {
		t.Fatal("the template has no resources")
	}
	found := map[string]map[string]any{}
	for name, r := range all {
		found[name], _ = r.(map[string]any)
	}
	return found
}

func at(v any, path ...string) any {
	for _, name := range path {
		m, _ := v.(map[string]any)
		v = m[name]
	}
	return v
}

// list is a value that may stand alone or in a list.
func list(v any) []any {
	if l, ok := v.([]any); ok {
		return l
	}
	if v == nil {
		return nil
	}
	return []any{v}
}

func text(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	j, _ := json.Marshal(v)
	return string(j)
}

// withoutResource are the actions that IAM knows no resources for (Service
// Authorization Reference: X-Ray; CloudWatch Logs' log delivery), or that Lambda
// asks for on all of them (Lambda developer guide, "Giving Lambda functions
// access to resources in an Amazon VPC").
var withoutResource = []string{
	"xray:PutTraceSegments", "xray:PutTelemetryRecords", "xray:GetSamplingRules", "xray:GetSamplingTargets",
	"logs:CreateLogDelivery", "logs:GetLogDelivery", "logs:UpdateLogDelivery", "logs:DeleteLogDelivery", "logs:ListLogDeliveries",
	"logs:PutResourcePolicy", "logs:DescribeResourcePolicies", "logs:DescribeLogGroups",
	"ec2:CreateNetworkInterface", "ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets", "ec2:DeleteNetworkInterface",
	"ec2:AssignPrivateIpAddresses", "ec2:UnassignPrivateIpAddresses",
}

func TestEveryFunctionHasARoleOfItsOwnThatNamesWhatItMayDo(t *testing.T) {
	t.Parallel()
	all := resources(t)
	owner := map[string]string{}
	for name, r := range all {
		if r["Type"] != "AWS::Serverless::Function" && r["Type"] != "AWS::Serverless::StateMachine" {
			continue
		}
		if at(r, "Properties", "Policies") != nil {
			t.Errorf("%s has policies besides its role", name)
		}
		role, _, _ := strings.Cut(text(at(r, "Properties", "Role", "!GetAtt")), ".")
		if all[role] == nil || all[role]["Type"] != "AWS::IAM::Role" {
			t.Errorf("%s has no role of the template: SAM makes one with more rights", name)
			continue
		}
		if other := owner[role]; other != "" {
			t.Errorf("%s and %s share %s", name, other, role)
		}
		owner[role] = name
	}
	for name, r := range all {
		// What EventBridge Scheduler starts, it starts with a role of the template's.
		if role, _, _ := strings.Cut(text(at(r, "Properties", "Target", "RoleArn", "!GetAtt")), "."); role != "" {
			owner[role] = name
		}
	}
	if len(owner) < 10 {
		t.Errorf("only %d functions and state machines were found", len(owner))
	}
	for name, r := range all {
		if r["Type"] != "AWS::IAM::Role" {
			continue
		}
		if owner[name] == "" {
			t.Errorf("nothing uses %s", name)
		}
		if at(r, "Properties", "ManagedPolicyArns") != nil {
			t.Errorf("%s has managed policies, which name no resources", name)
		}
		for _, p := range list(at(r, "Properties", "Policies")) {
			for _, statement := range list(at(p, "PolicyDocument", "Statement")) {
				if parts := list(at(statement, "!If")); len(parts) == 3 {
					statement = parts[1]
				}
				where := fmt.Sprintf("%s, statement %s", name, text(at(statement, "Sid")))
				same(t, where+": effect", "Allow", text(at(statement, "Effect")))
				if at(statement, "NotAction") != nil || at(statement, "NotResource") != nil {
					t.Errorf("%s says what is not allowed, and allows the rest", where)
				}
				actions, targets := list(at(statement, "Action")), list(at(statement, "Resource"))
				if len(actions) == 0 || len(targets) == 0 {
					t.Errorf("%s names no action or no resource", where)
				}
				if limit := text(at(statement, "Condition", "StringEquals", "ses:FromAddress")); text(at(statement, "Action")) == `["ses:SendEmail","ses:SendRawEmail"]` && limit == `{"!Ref":"SenderAddress"}` {
					continue // see the comment in the template
				}
				executions := func(a any) bool {
					return text(a) == "states:GetExecutionHistory" || text(a) == "states:DescribeExecution"
				}
				if r := text(at(statement, "Resource", "!Sub")); strings.HasSuffix(r, ":execution:${AWS::StackName}-rotation:*") && !slices.ContainsFunc(actions, func(a any) bool { return !executions(a) }) {
					continue // the executions of one machine
				}
				everything := slices.ContainsFunc(targets, func(r any) bool {
					// Objects below a folder of the stack's own bucket.
					path, own := strings.CutPrefix(text(at(r, "!Sub")), "${InventoryBucket.Arn}/")
					folder, below := strings.CutSuffix(path, "/*")
					if own && below && folder != "" && !strings.Contains(folder, "*") {
						return false
					}
					return strings.Contains(text(r), "*")
				})
				for _, action := range actions {
					if strings.Contains(text(action), "*") {
						t.Errorf("%s allows %s", where, action)
					}
					if everything && !slices.Contains(withoutResource, text(action)) {
						t.Errorf("%s allows %s on %v", where, action, targets)
					}
				}
			}
		}
	}
}

// TestARoleMayDoNothingElse asks IAM what the deployed roles may do. That the
// roles are enough, every other test shows: they are enforced. Mail, and what
// sign-csr asks of KMS and Private CA for a signature, are left out: MiniStack's
// simulation does not know the conditions on them.
func TestARoleMayDoNothingElse(t *testing.T) {
	parallel(t)
	s := (&scene{t: t, p: stack}).bounded()
	arn := func(id string) string {
		out, err := secretsmanager.NewFromConfig(stack.Cloud.Config()).DescribeSecret(s.ctx, &secretsmanager.DescribeSecretInput{SecretId: aws.String("keyturn/" + id)})
		if err != nil {
			t.Fatal(err)
		}
		return *out.ARN
	}
	const account = "us-east-1:000000000000:"
	machine := stack.Outputs["RotationStateMachineArn"]
	execution := strings.Replace(machine, ":stateMachine:", ":execution:", 1) + ":x"
	inBucket := "arn:aws:s3:::" + stack.Outputs["InventoryBucket"]
	probes := map[string]probe{
		"read okta":          {"secretsmanager:GetSecretValue", arn("okta")},
		"read ca":            {"secretsmanager:GetSecretValue", arn("ca")},
		"read link-key":      {"secretsmanager:GetSecretValue", arn("link-key")},
		"read the kms key":   {"kms:GetPublicKey", stack.Company.Parameters["KmsCaKeyArn"]},
		"decrypt with kms":   {"kms:Decrypt", stack.Company.Parameters["KmsCaKeyArn"]},
		"sign with another":  {"kms:Sign", "arn:aws:kms:" + account + "key/another"},
		"read the kms chain": {"ssm:GetParameter", "arn:aws:ssm:" + account + "parameter" + stack.Company.Parameters["KmsCaChain"]},
		"read manual chain":  {"ssm:GetParameter", "arn:aws:ssm:" + account + "parameter" + stack.Company.Parameters["ManualCaChain"]},
		"read parameters":    {"ssm:GetParameter", "arn:aws:ssm:" + account + "parameter/keyturn/another"},
		"change kms chain":   {"ssm:PutParameter", "arn:aws:ssm:" + account + "parameter" + stack.Company.Parameters["KmsCaChain"]},
		"collect from pca":   {"acm-pca:GetCertificate", stack.Company.Parameters["AcmPcaArn"]},
		"read the pca":       {"acm-pca:GetCertificateAuthorityCertificate", stack.Company.Parameters["AcmPcaArn"]},
		"collect elsewhere":  {"acm-pca:GetCertificate", "arn:aws:acm-pca:" + account + "certificate-authority/another"},
		"revoke at the pca":  {"acm-pca:RevokeCertificate", stack.Company.Parameters["AcmPcaArn"]},
		"change okta":        {"secretsmanager:PutSecretValue", arn("okta")},
		"change ca":          {"secretsmanager:PutSecretValue", arn("ca")},
		"change link-key":    {"secretsmanager:PutSecretValue", arn("link-key")},
		"publish":            {"sns:Publish", stack.Outputs["NotificationTopicArn"]},
		"see who subscribes": {"sns:GetTopicAttributes", stack.Outputs["NotificationTopicArn"]},
		"publish elsewhere":  {"sns:Publish", "arn:aws:sns:" + account + "payroll"},
		"confirm":            {"states:SendTaskSuccess", machine},
		"reject":             {"states:SendTaskFailure", machine},
		"confirm others":     {"states:SendTaskSuccess", "arn:aws:states:" + account + "stateMachine:payroll"},
		"start":              {"states:StartExecution", machine},
		"stop":               {"states:StopExecution", execution},
		"read histories":     {"states:GetExecutionHistory", execution},
		"read executions":    {"states:DescribeExecution", execution},
		"list executions":    {"states:ListExecutions", machine},
		"start a discovery":  {"states:StartExecution", stack.Outputs["DiscoveryStateMachineArn"]},
		"call a step":        {"lambda:InvokeFunction", "arn:aws:lambda:" + account + "function:keyturn-sign-csr"},
		"read metadata":      {"lambda:InvokeFunction", "arn:aws:lambda:" + account + "function:keyturn-read-metadata"},
		"call the page":      {"lambda:InvokeFunction", "arn:aws:lambda:" + account + "function:keyturn-confirm-upload"},
		"change a function":  {"lambda:UpdateFunctionCode", "arn:aws:lambda:" + account + "function:keyturn-sign-csr"},
		"send events":        {"events:PutEvents", "arn:aws:events:" + account + "event-bus/default"},
		"read logs":          {"logs:FilterLogEvents", "arn:aws:logs:" + account + "log-group:/aws/lambda/keyturn-sign-csr:*"},
		"pass a role":        {"iam:PassRole", "arn:aws:iam::000000000000:role/admin"},
		"take a role":        {"sts:AssumeRole", "arn:aws:iam::000000000000:role/admin"},
		"read buckets":       {"s3:GetObject", "arn:aws:s3:::anything/x"},
		"list the bucket":    {"s3:ListBucket", inBucket},
		"read a run":         {"s3:GetObject", inBucket + "/runs/1/entries.jsonl"},
		"write a run":        {"s3:PutObject", inBucket + "/runs/1/entries.jsonl"},
		"read kids":          {"s3:GetObject", inBucket + "/memory/kids.jsonl"},
		"write kids":         {"s3:PutObject", inBucket + "/memory/kids.jsonl"},
		"read new kids":      {"s3:GetObject", inBucket + "/memory/new/1.jsonl"},
		"write new kids":     {"s3:PutObject", inBucket + "/memory/new/1.jsonl"},
		"delete new kids":    {"s3:DeleteObject", inBucket + "/memory/new/1.jsonl"},
		"delete kids":        {"s3:DeleteObject", inBucket + "/memory/kids.jsonl"},
		"read rotations":     {"s3:GetObject", inBucket + "/memory/rotations.jsonl"},
		"write rotations":    {"s3:PutObject", inBucket + "/memory/rotations.jsonl"},
		"read inventory":     {"s3:GetObject", inBucket + "/inventory/latest.json"},
		"write inventory":    {"s3:PutObject", inBucket + "/inventory/latest.json"},
		"delete inventory":   {"s3:DeleteObject", inBucket + "/inventory/latest.json"},
		"read report":        {"s3:GetObject", inBucket + "/report/latest.html"},
		"write report":       {"s3:PutObject", inBucket + "/report/latest.html"},
	}
	okta := []string{"read okta"}
	for function, allowed := range map[string][]string{
		"inspect-target":        okta,
		"generate-csr":          okta,
		"sign-csr":              {"collect from pca", "read ca", "read manual chain", "read the kms chain", "read the kms key", "read the pca"},
		"publish-csr":           okta,
		"clone-certificate":     okta,
		"update-key-credential": okta,
		"verify-key":            okta,
		"revoke-csr":            okta,
		"request-upload":        {"publish", "read link-key", "see who subscribes"},
		"read-metadata":         okta,
		"list-apps": {"delete new kids", "list the bucket", "read a run", "read inventory", "read kids", "read new kids", "read okta",
			"write a run", "write kids", "write new kids"},
		"start-rotations": {"list executions", "list the bucket", "read a run", "read executions", "read histories", "read rotations", "start",
			"write a run", "write rotations"},
		"report-inventory": {"list the bucket", "read a run", "read inventory", "read report", "write a run", "write inventory", "write report"},
		"confirm-upload":   {"confirm", "read histories", "read link-key", "read metadata", "reject"},
	} {
		t.Run(function, func(t *testing.T) {
			f, err := lambda.NewFromConfig(stack.Cloud.Config()).GetFunctionConfiguration(s.ctx, &lambda.GetFunctionConfigurationInput{FunctionName: aws.String("keyturn-" + function)})
			if err != nil {
				t.Fatal(err)
			}
			may := mayDo(s, aws.ToString(f.Role), probes)
			same(t, "what the role may do", allowed, may)
		})
	}
}

// probe is something that a role may or may not do.
type probe struct{ action, resource string }

// mayDo asks IAM which of the probes a role may do; their names, sorted.
func mayDo(s *scene, role string, probes map[string]probe) []string {
	s.t.Helper()
	var may []string
	for name, p := range probes {
		out, err := iam.NewFromConfig(s.p.Cloud.Config()).SimulatePrincipalPolicy(s.ctx, &iam.SimulatePrincipalPolicyInput{
			PolicySourceArn: aws.String(role), ActionNames: []string{p.action}, ResourceArns: []string{p.resource},
		})
		if err != nil {
			s.t.Fatal(err)
		}
		for _, r := range out.EvaluationResults {
			if r.EvalDecision == types.PolicyEvaluationDecisionTypeAllowed {
				may = append(may, name)
			}
		}
	}
	slices.Sort(may)
	return may
}

// TestSignCsrMayUseNoCAThatIsNotConfigured has stacks with one CA each.
func TestSignCsrMayUseNoCAThatIsNotConfigured(t *testing.T) {
	parallel(t)
	const account = "us-east-1:000000000000:"
	all := stack.Company.Parameters
	for name, c := range map[string]struct {
		parameters map[string]string
		may        []string
	}{
		"onlylocal":  {nil, []string{"read ca"}},
		"onlykms":    {map[string]string{"CertificateAuthority": "kms", "KmsCaKeyArn": all["KmsCaKeyArn"], "KmsCaChain": all["KmsCaChain"]}, []string{"kms chain", "kms key"}},
		"onlymanual": {map[string]string{"CertificateAuthority": "manual", "ManualCaChain": all["ManualCaChain"]}, []string{"manual chain"}},
		"localtoo":   {map[string]string{"CertificateAuthority": "acmpca", "AcmPcaArn": all["AcmPcaArn"], "LocalCaInRules": "true"}, []string{"pca", "read ca"}},
	} {
		t.Run(name, func(t *testing.T) {
			p := another(t, name, c.parameters)
			s := (&scene{t: t, p: p}).bounded()
			secret, err := secretsmanager.NewFromConfig(p.Cloud.Config()).DescribeSecret(s.ctx, &secretsmanager.DescribeSecretInput{SecretId: aws.String(name + "/ca")})
			if err != nil {
				t.Fatal(err)
			}
			f, err := lambda.NewFromConfig(p.Cloud.Config()).GetFunctionConfiguration(s.ctx, &lambda.GetFunctionConfigurationInput{FunctionName: aws.String(name + "-sign-csr")})
			if err != nil {
				t.Fatal(err)
			}
			same(t, "what the role may do", c.may, mayDo(s, aws.ToString(f.Role), map[string]probe{
				"read ca":      {"secretsmanager:GetSecretValue", *secret.ARN},
				"kms key":      {"kms:GetPublicKey", all["KmsCaKeyArn"]},
				"kms chain":    {"ssm:GetParameter", "arn:aws:ssm:" + account + "parameter" + all["KmsCaChain"]},
				"manual chain": {"ssm:GetParameter", "arn:aws:ssm:" + account + "parameter" + all["ManualCaChain"]},
				"pca":          {"acm-pca:GetCertificate", all["AcmPcaArn"]},
			}))
		})
	}
}
