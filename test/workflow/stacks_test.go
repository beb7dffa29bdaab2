package workflow

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"maps"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/google/go-cmp/cmp/cmpopts"

	"keyturn/internal/ca/local"
	"keyturn/internal/localaws"
	"keyturn/internal/playground"
	"keyturn/internal/rotation"
)

// another deploys a second stack into the shared AWS and org. Its secrets have
// no values yet.
func another(t *testing.T, name string, parameters map[string]string) *playground.Playground {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	all := map[string]string{"OktaOrgUrl": stack.OrgURL, "Architecture": map[string]string{"amd64": "x86_64"}[runtime.GOARCH]}
	if runtime.GOARCH == "arm64" {
		all["Architecture"] = "arm64"
	}
	maps.Copy(all, parameters)
	p := *stack
	var err error
	if p.Outputs, err = stack.Cloud.Deploy(ctx, localaws.DeployOptions{StackName: name, Parameters: all}); err != nil {
		t.Fatal(err)
	}
	deaf(ctx, t, name)
	return &p
}

// deaf has a stack start nothing by events: all stacks of an account answer the
// same requests, and this one would work on the other tests' targets. It has no
// credentials yet, so that what it started meanwhile has done nothing.
func deaf(ctx context.Context, t *testing.T, name string) {
	t.Helper()
	client := eventbridge.NewFromConfig(stack.Cloud.Config())
	rules, err := client.ListRules(ctx, &eventbridge.ListRulesInput{})
	if err != nil {
		t.Fatal(err)
	}
	quiet := 0
	for _, rule := range rules.Rules {
		if strings.HasPrefix(*rule.Name, name+"-") && strings.Contains(aws.ToString(rule.EventPattern), "Requested\"]") {
			quiet++
			if _, err := client.DisableRule(ctx, &eventbridge.DisableRuleInput{Name: rule.Name}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if quiet != 2 {
		var names []string
		for _, rule := range rules.Rules {
			names = append(names, *rule.Name+" "+aws.ToString(rule.EventPattern))
		}
		t.Fatalf("the stack %s has %d rules for requests, of %q", name, quiet, names)
	}
}

func tokenSecret(t *testing.T, token string) string {
	t.Helper()
	secret, err := json.Marshal(map[string]string{"apiToken": token})
	if err != nil {
		t.Fatal(err)
	}
	return string(secret)
}

// authority makes a CA.
func authority(t *testing.T) (secret string, root *x509.Certificate) {
	t.Helper()
	value, root, err := local.Generate("Example Second CA", time.Now(), 5, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return string(value), root
}

// on is an app as another stack sees it.
func (s *scene) on(p *playground.Playground) *scene {
	s.p = p
	return s
}

func TestAStackThatIsNotSetUpYetSaysWhatIsMissing(t *testing.T) {
	parallel(t)
	// SES has not verified this sender.
	p := another(t, "unset", map[string]string{"SenderAddress": "nobody@unverified.example.com", "Approvers": playground.Approver})
	secret := func(name, value string) {
		t.Helper()
		if err := p.PutSecret(t.Context(), "unset/"+name, value); err != nil {
			t.Fatal(err)
		}
	}
	fails := func(title string, check func(t *testing.T, s *scene, report playground.Report)) {
		t.Helper()
		t.Run(title, func(t *testing.T) {
			s := app(t).on(p)
			report := s.rotate(nil).end()
			ended(t, "Failed", report)
			s.unchanged()
			check(t, s, report)
		})
	}
	takenBack := func(t *testing.T, s *scene, report playground.Report) {
		t.Helper()
		states(t, `InspectTarget AnnounceStart AnyUnusedKeys GenerateCsr SignCsr NotSigned RevokeCsr Report AnnounceEnd Outcome Failed`, report)
		s.noNewKey()
		same(t, "CSRs that were generated", 1, s.times("generateCsrForApplication"))
		same(t, "CSRs that were taken back", 1, s.times("revokeCsrFromApplication"))
		same(t, "CSRs taken back by the report", 1, len(report.Revoked))
	}

	// The steps build on each other: one stack, its secrets filled in turn.
	fails("no Okta credential", func(t *testing.T, s *scene, report playground.Report) {
		states(t, pathRefused, report)
		failedWith(t, report.Error, "InspectTarget", "Credential.Missing", "unset/okta", "put-secret-value")
		same(t, "calls of Okta", 0, len(s.asked()))
	})
	secret("okta", `{"token": "00a-token-in-the-wrong-place"}`)
	fails("an Okta secret of another shape", func(t *testing.T, _ *scene, report playground.Report) {
		states(t, pathRefused, report)
		failedWith(t, report.Error, "InspectTarget", "Credential.Malformed", "unset/okta", `{"apiToken": "…"}`)
		if strings.Contains(report.Error.Message, "00a-token") {
			t.Errorf("the error quotes the secret: %s", report.Error.Message)
		}
	})
	secret("okta", tokenSecret(t, "00a-token-that-was-revoked"))
	fails("a token that Okta refuses", func(t *testing.T, _ *scene, report playground.Report) {
		states(t, pathRefused, report)
		failedWith(t, report.Error, "InspectTarget", "Okta.Unauthorized", "401", "put a valid API token into the Okta secret")
	})
	secret("okta", tokenSecret(t, stack.Org.APIToken()))
	fails("a new token works at once, and there is no CA", func(t *testing.T, s *scene, report playground.Report) {
		takenBack(t, s, report)
		failedWith(t, report.Error, "SignCsr", "Credential.Missing", "unset/ca", "put-secret-value")
	})
	secret("ca", `{"key": "-----BEGIN PRIVATE KEY-----\nZ2FyYmFnZQ==\n-----END PRIVATE KEY-----\n", "chain": "none"}`)
	fails("a CA secret that is garbage", func(t *testing.T, s *scene, report playground.Report) {
		takenBack(t, s, report)
		failedWith(t, report.Error, "SignCsr", "CA.Misconfigured")
		if strings.Contains(report.Error.Message, "Z2FyYmFnZQ") {
			t.Errorf("the error quotes the secret: %s", report.Error.Message)
		}
	})
	good, root := authority(t)
	p.CARoot = root
	secret("ca", good)
	fails("a mended CA works at once, and SES refuses the sender: the rotation does not wait", func(t *testing.T, s *scene, report playground.Report) {
		states(t, strings.Replace(pathGaveUp, "GaveUp", "Failed", 1), report)
		failedWith(t, report.Error, "RequestUpload", "Notify.Refused", "nobody could be told", playground.Approver, "nobody@unverified.example.com", "verified identity")
		s.oneNewKey(report)
		leftBehind(t, report)
	})
	t.Run("the same after the switch: the old key comes back", func(t *testing.T) {
		s := app(t).on(p)
		report := s.rotate(policy{"uploadOrder": "after-switch"}).end()
		ended(t, "RolledBack", report)
		states(t, pathRolledBack, report)
		failedWith(t, report.Error, "RequestUpload", "Notify.Refused")
		s.switched(s.oldKid)
	})
	t.Run("with a verified sender the next rotation completes", func(t *testing.T) {
		if err := p.Cloud.VerifySender(t.Context(), "unverified.example.com"); err != nil {
			t.Fatal(err)
		}
		s := app(t).on(p)
		r := s.rotate(nil)
		mail := r.request(playground.Approver)
		s.signedByTheCA(s.kids()[1], mail.Text)
		s.decide(localLink(t, mail.Text), "confirm", "", "")
		ended(t, "Completed", r.end())
	})
}

// localLink is the link of a message where this machine can open it: the
// stack has no public address of its own, so the link is the Function URL's.
func localLink(t *testing.T, message string) string {
	t.Helper()
	link, err := playground.Link(message)
	if err == nil && !strings.HasPrefix(link, "https://") {
		t.Fatalf("the link %s is not the Function URL's", link)
	}
	if err == nil {
		link, err = stack.Cloud.LocalFunctionURL(link)
	}
	if err != nil {
		t.Fatal(err)
	}
	return link
}

func TestAStackWithoutASenderAsksOnItsTopic(t *testing.T) {
	parallel(t)
	p := another(t, "topic", map[string]string{"Approvers": playground.Approver})
	secret, root := authority(t)
	p.CARoot = root
	for name, value := range map[string]string{"okta": tokenSecret(t, stack.Org.APIToken()), "ca": secret} {
		if err := p.PutSecret(t.Context(), "topic/"+name, value); err != nil {
			t.Fatal(err)
		}
	}
	heard, err := topic(t.Context(), p.Cloud, p.Outputs["NotificationTopicArn"])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(heard.stop)

	for _, kind := range bothKinds {
		t.Run(string(kind), func(t *testing.T) {
			s := either(t, kind).on(p)
			r := s.rotate(nil)
			var message localaws.Notification
			s.until("the request on the topic", func() bool {
				for _, m := range heard.all() {
					if strings.Contains(m.Subject, s.target.Label) {
						message = m
						return true
					}
				}
				return heard.failure() != nil || r.describe().StopDate != nil
			})
			s.signedByTheCA(s.kids()[1], message.Message)
			link := localLink(t, message.Message)

			shown, err := p.Open(s.ctx, link)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(shown.HTML, `name="name"`) {
				t.Errorf("the page does not ask for a name: %s", shown.HTML)
			}
			nameless, err := p.Answer(s.ctx, link, "confirm", "", "")
			if err != nil {
				t.Fatal(err)
			}
			if nameless.Status != http.StatusUnprocessableEntity || !strings.Contains(nameless.HTML, "give your name") {
				t.Errorf("an answer without a name: %d %s", nameless.Status, nameless.HTML)
			}
			s.decide(link, "confirm", "The person on call", "done")
			report := r.end()
			ended(t, "Completed", report)
			states(t, pathBeforeSwitch, report)
			s.switched(report.NewKid)
			same(t, "the decision", &rotation.Decision{Confirmed: true, By: "The person on call", Named: true, Comment: "done"}, report.Decision,
				cmpopts.IgnoreFields(rotation.Decision{}, "At", "Address"))
		})
	}
	for _, m := range mails.all() {
		if strings.Contains(m.Subject, t.Name()) {
			t.Errorf("a stack without a sender sent a mail: %s", m.Subject)
		}
	}
}
