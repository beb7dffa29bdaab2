package workflow

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"keyturn/internal/playground"
)

// given are the statements, by their Sid, that a role of a stack was deployed
// with; the role by its logical id.
func (s *scene) given(stackName, role string) []string {
	s.t.Helper()
	found, err := cloudformation.NewFromConfig(s.p.Cloud.Config()).DescribeStackResource(s.ctx, &cloudformation.DescribeStackResourceInput{
		StackName: &stackName, LogicalResourceId: &role})
	if err != nil {
		s.t.Fatal(err)
	}
	client := iam.NewFromConfig(s.p.Cloud.Config())
	name := found.StackResourceDetail.PhysicalResourceId
	policies, err := client.ListRolePolicies(s.ctx, &iam.ListRolePoliciesInput{RoleName: name})
	if err != nil {
		s.t.Fatal(err)
	}
	var sids []string
	for _, policy := range policies.PolicyNames {
		out, err := client.GetRolePolicy(s.ctx, &iam.GetRolePolicyInput{RoleName: name, PolicyName: &policy})
		if err != nil {
			s.t.Fatal(err)
		}
		text, err := url.QueryUnescape(aws.ToString(out.PolicyDocument))
		if err != nil {
			s.t.Fatal(err)
		}
		var document struct{ Statement []struct{ Sid string } }
		if err := json.Unmarshal([]byte(text), &document); err != nil {
			s.t.Fatal(err)
		}
		for _, statement := range document.Statement {
			sids = append(sids, statement.Sid)
		}
	}
	slices.Sort(sids)
	return sids
}

// insider is a stack with a chat, with a sender of its own and no operators, and
// with sign-csr inside a VPC: what the shared one is not. Two tests look at it.
var insider struct {
	sync.Mutex
	*playground.Playground
	chat *chat
}

// inside deploys the insider once.
func inside(t *testing.T) (*playground.Playground, *chat) {
	t.Helper()
	insider.Lock()
	defer insider.Unlock()
	if insider.Playground != nil {
		return insider.Playground, insider.chat
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	const sender = "inside@example.org"
	if err := stack.Cloud.VerifySender(ctx, sender); err != nil {
		t.Fatal(err)
	}
	insider.chat = openChat()
	webhook, err := secretsmanager.NewFromConfig(stack.Cloud.Config()).CreateSecret(ctx, &secretsmanager.CreateSecretInput{
		Name: aws.String("inside/webhook"), SecretString: aws.String(insider.chat.URL + "/services/T111/B111/inside" + rand.Text())})
	if err != nil {
		t.Fatal(err)
	}
	p := another(t, "inside", map[string]string{
		"SenderAddress": sender, "Approvers": playground.Approver, "ChatWebhookSecretArn": *webhook.ARN,
		"SignCsrSubnetIds": "subnet-1,subnet-2", "SignCsrSecurityGroupIds": "sg-1",
	})
	ca, root := authority(t)
	p.CARoot = root
	for name, value := range map[string]string{"okta": tokenSecret(t, stack.Org.APIToken()), "ca": ca} {
		if err := p.PutSecret(ctx, "inside/"+name, value); err != nil {
			t.Fatal(err)
		}
	}
	insider.Playground = p
	return p, insider.chat
}

// TestWhatIsNotConfiguredIsNotAllowed compares two stacks; for the CAs
// TestSignCsrMayUseNoCAThatIsNotConfigured does.
func TestWhatIsNotConfiguredIsNotAllowed(t *testing.T) {
	parallel(t)
	in, _ := inside(t)
	for name, c := range map[string]struct {
		p     *playground.Playground
		roles map[string]string
	}{
		"keyturn": {stack, map[string]string{
			"RequestUploadRole":   "Log Mail Publish ReadTheLinkKey TellWhoWasAsked Trace",
			"ReportInventoryRole": "Log Mail SeeWhatIsThere TellWhatWasFound Trace WriteInventoryAndReport",
			"SignCsrRole": "HaveThePrivateCaIssue Log ReadTheChainOfTheKmsCa ReadTheChainOfTheManualCa ReadTheLocalCa " +
				"ReadThePublicHalfOfTheKmsKey ReadWhatThePrivateCaIssued SignWithTheKmsKey Trace",
		}},
		"inside": {in, map[string]string{
			"RequestUploadRole":   "Log Mail ReadTheLinkKey ReadTheWebhook TellWhoWasAsked Trace",
			"ReportInventoryRole": "Log SeeWhatIsThere TellWhatWasFound Trace WriteInventoryAndReport",
			"SignCsrRole":         "JoinTheVpc Log ReadTheLocalCa Trace",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s := (&scene{t: t, p: c.p}).bounded()
			for role, want := range c.roles {
				same(t, "the statements of "+role, strings.Fields(want), s.given(name, role))
			}
		})
	}
}

// TestAnObjectThatIsNotThereIsASecret is what the roles' right to list the
// bucket is for: launch.py has the local S3 ask for it as AWS does.
func TestAnObjectThatIsNotThereIsASecret(t *testing.T) {
	parallel(t)
	s := (&scene{t: t, p: stack}).bounded()
	client, user, bucket := iam.NewFromConfig(stack.Cloud.Config()), aws.String("reader"), stack.Outputs["InventoryBucket"]
	if _, err := client.CreateUser(s.ctx, &iam.CreateUserInput{UserName: user}); err != nil {
		t.Fatal(err)
	}
	key, err := client.CreateAccessKey(s.ctx, &iam.CreateAccessKeyInput{UserName: user})
	if err != nil {
		t.Fatal(err)
	}
	config := stack.Cloud.Config()
	config.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: *key.AccessKey.AccessKeyId, SecretAccessKey: *key.AccessKey.SecretAccessKey}, nil
	})
	objects := s3.NewFromConfig(config, func(o *s3.Options) { o.UsePathStyle = true })
	const absent = "nobody/wrote/this"
	status := func(err error) int {
		if answered := (*awshttp.ResponseError)(nil); errors.As(err, &answered) {
			return answered.HTTPStatusCode()
		}
		t.Fatalf("S3 gave no answer: %v", err)
		return 0
	}
	for _, c := range []struct {
		policy      string
		read, write int
	}{
		{`{"Action": "s3:PutObject", "Resource": "arn:aws:s3:::%/*"}`, http.StatusForbidden, http.StatusForbidden},
		{`{"Action": ["s3:GetObject", "s3:PutObject"], "Resource": "arn:aws:s3:::%/*"}`, http.StatusForbidden, http.StatusNotFound},
		{`{"Action": "s3:*", "Resource": ["arn:aws:s3:::%", "arn:aws:s3:::%/*"]}`, http.StatusNotFound, http.StatusNotFound},
	} {
		statement := strings.ReplaceAll(strings.Replace(c.policy, "{", `{"Effect": "Allow", `, 1), "%", bucket)
		if _, err := client.PutUserPolicy(s.ctx, &iam.PutUserPolicyInput{UserName: user, PolicyName: aws.String("may"),
			PolicyDocument: aws.String(`{"Version": "2012-10-17", "Statement": [` + statement + `]}`)}); err != nil {
			t.Fatal(err)
		}
		_, err := objects.GetObject(s.ctx, &s3.GetObjectInput{Bucket: &bucket, Key: aws.String(absent)})
		same(t, "reading with "+statement, c.read, status(err))
		_, err = objects.PutObject(s.ctx, &s3.PutObjectInput{Bucket: &bucket, Key: aws.String(absent), Body: strings.NewReader("x"), IfMatch: aws.String(`"x"`)})
		same(t, "writing over it with "+statement, c.write, status(err))
	}
}
