package workflow

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"

	"keyturn/internal/oktasim"
	"keyturn/internal/playground"
	"keyturn/internal/rotation"
)

// The states of a rotation that ends at its first step.
const pathRefused = `InspectTarget Report AnnounceEnd Outcome Failed`

func TestWhatCannotBeRotatedIsRefusedAtOnce(t *testing.T) {
	parallel(t)
	demo := stack.Targets
	appTarget := func(id string) rotation.Target { return rotation.Target{Kind: rotation.KindApp, ID: id} }
	for _, c := range []struct {
		name   string
		target rotation.Target
		policy policy
		error  string
		texts  []string
	}{
		{"an app that does not exist", appTarget("0oaDoesNotExist"), nil, "Okta.NotFound", []string{"0oaDoesNotExist", stack.OrgURL, "check target.id"}},
		{"an inactive app", appTarget(demo.InactiveApp), nil, "Target.Inactive", []string{"Old Intranet", "INACTIVE", "activate it"}},
		{"an OIDC app", appTarget(demo.OIDCApp), nil, "Target.NotSAML", []string{"Analytics Portal", "OPENID_CONNECT"}},
		{"an app with passwords", appTarget(demo.SWAApp), nil, "Target.NotSAML", []string{"Parking", "SECURE_PASSWORD_STORE"}},
		{"a social IdP", rotation.Target{Kind: rotation.KindIDP, ID: demo.SocialIDP}, nil, "Target.NotSAML", []string{"Google", "GOOGLE"}},
		{"an app's id as an IdP's", rotation.Target{Kind: rotation.KindIDP, ID: demo.RejectAfterSwitchApp}, nil, "Okta.NotFound", []string{demo.RejectAfterSwitchApp}},
		{"another kind of target", rotation.Target{Kind: "group", ID: "00g1"}, nil, "Target.Invalid", []string{`target.kind is "group"`, `"app"`, `"idp"`}},
		{"no id", appTarget(""), nil, "Target.Invalid", []string{`target.id is ""`}},
		{"an id that leads elsewhere in the API", appTarget("../users/00u1"), nil, "Target.Invalid", []string{`target.id is "../users/00u1"`}},
		{"an unknown field in the policy", appTarget(demo.RejectAfterSwitchApp), policy{"validityDay": 397}, "Policy.Invalid", []string{`"validityDay"`, "validityDays"}},
		{"90 days of validity", appTarget(demo.RejectAfterSwitchApp), policy{"validityDays": 90}, "Policy.Invalid", []string{"policy.validityDays is 90", "91", "90 days or less"}},
		{"an order that does not exist", appTarget(demo.RejectAfterSwitchApp), policy{"uploadOrder": "whenever"}, "Policy.Invalid", []string{`policy.uploadOrder is "whenever"`, "before-switch", "after-switch"}},
		{"an approver without an address", appTarget(demo.RejectAfterSwitchApp), policy{"approvers": []string{"the SSO team"}}, "Policy.Invalid", []string{`"the SSO team"`, "sso-team@example.com"}},
		{"a mistake in a rule that does not match", appTarget(demo.RejectAfterSwitchApp), policy{"rules": []policy{{"match": policy{"kind": "idp"}, "giveUpDays": 0}}}, "Policy.Invalid", []string{"policy.rules[0].giveUpDays is 0"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := &scene{t: t, ctx: t.Context(), p: stack, target: c.target, calls: len(stack.Org.Calls())}
			r := s.bounded().rotate(c.policy)
			report := r.end()
			ended(t, "Failed", report)
			states(t, pathRefused, report)
			failedWith(t, report.Error, "InspectTarget", c.error, c.texts...)
			same(t, "the report's target", c.target, report.Target)
			for _, call := range s.asked() {
				if call.Method != http.MethodGet {
					t.Errorf("something was asked of Okta that changes it: %s %s", call.Method, call.Path)
				}
			}
			out := r.describe()
			same(t, "the execution's error", "Failed", aws.ToString(out.Error))
			if facts := decoded(t, aws.ToString(out.Cause)); facts["result"] != "Failed" {
				t.Errorf("the execution's cause is not the report: %v", facts)
			}
		})
	}
}

func TestAnInputThatIsNoneIsRefusedWithTheRightOne(t *testing.T) {
	parallel(t)
	for _, input := range []string{
		`{}`,
		`{"target": null}`,
		`{"target": "0oa1gjh63g214q0Hq0g4"}`,
		`{"target": {"kind": "app", "id": 17}}`,
		`{"target": {"kind": "app", "id": "0oa1gjh63g214q0Hq0g4"}, "polcy": {}}`,
		`{"app": "0oa1gjh63g214q0Hq0g4"}`,
		`[]`,
		`"rotate everything"`,
	} {
		t.Run(input, func(t *testing.T) {
			t.Parallel()
			s := (&scene{t: t, ctx: t.Context(), p: stack}).bounded()
			rotation, err := stack.RotateInput(s.ctx, "", input)
			if err != nil {
				t.Fatal(err)
			}
			r := &running{scene: s, rotation: rotation}
			s.until("the rotation's end", func() bool { return r.describe().StopDate != nil })
			out := r.describe()
			same(t, "the execution's error", "Failed", aws.ToString(out.Error))
			var facts struct {
				Result string
				Error  *playground.Problem
			}
			if err := json.Unmarshal([]byte(aws.ToString(out.Cause)), &facts); err != nil {
				t.Fatalf("the execution's cause is no report: %s", aws.ToString(out.Cause))
			}
			same(t, "result", "Failed", facts.Result)
			if facts.Error == nil || (facts.Error.Name != "Input.Invalid" && facts.Error.Name != "Target.Invalid") || facts.Error.Step != "InspectTarget" {
				t.Errorf("the error is %+v, which does not blame the input", facts.Error)
			}
		})
	}
}

func TestOktaRefusesTheCredential(t *testing.T) {
	parallel(t)
	for _, c := range []struct {
		fault oktasim.FaultKind
		error string
		texts []string
	}{
		{oktasim.FaultUnauthorized, "Okta.Unauthorized", []string{"HTTP 401", "E0000011", "put a valid API token into the Okta secret"}},
		{oktasim.FaultForbidden, "Okta.Forbidden", []string{"HTTP 403", "E0000006", "okta.apps.manage"}},
	} {
		t.Run(fmt.Sprint(c.fault, " from the first call on"), func(t *testing.T) {
			t.Parallel()
			s := app(t)
			s.p.Org.Fail(oktasim.Fault{ID: s.target.ID, Kind: c.fault, Times: 100})
			report := s.rotate(nil).end()
			ended(t, "Failed", report)
			states(t, pathRefused, report)
			failedWith(t, report.Error, "InspectTarget", c.error, c.texts...)
			s.unchanged()
			s.noNewKey()
			if n := len(s.asked()); n != 1 {
				t.Errorf("what a person must mend was tried %d times", n)
			}
		})
		t.Run(fmt.Sprint(c.fault, " at the publication: the CSR is taken back"), func(t *testing.T) {
			t.Parallel()
			s := app(t)
			s.p.Org.Fail(oktasim.Fault{ID: s.target.ID, Operation: "publishCsrFromApplication", Kind: c.fault})
			report := s.rotate(nil).end()
			ended(t, "Failed", report)
			states(t, `InspectTarget AnnounceStart AnyUnusedKeys GenerateCsr SignCsr Signed PublishCsr RevokeCsr Report AnnounceEnd Outcome Failed`, report)
			failedWith(t, report.Error, "PublishCsr", c.error, c.texts...)
			s.unchanged()
			s.noNewKey()
			same(t, "CSRs taken back", 1, len(report.Revoked))
		})
		t.Run(fmt.Sprint(c.fault, " at the switch: the old key stays"), func(t *testing.T) {
			t.Parallel()
			s := app(t)
			s.p.Org.Fail(oktasim.Fault{ID: s.target.ID, Operation: "replaceApplication", Kind: c.fault})
			r := s.rotate(nil)
			r.answer("confirm", "")
			report := r.end()
			ended(t, "RolledBack", report)
			failedWith(t, report.Error, "UpdateKeyCredential", c.error, c.texts...)
			s.unchanged()
			s.oneNewKey(report)
			leftBehind(t, report)
		})
	}
}
