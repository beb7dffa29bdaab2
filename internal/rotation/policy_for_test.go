package rotation_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"keyturn/internal/rotation"
)

func parse(t testing.TB, raw string) *rotation.Policy {
	t.Helper()
	policy, err := rotation.ParsePolicy(json.RawMessage(raw), defaults())
	if err != nil {
		t.Fatalf("%s: %v", raw, err)
	}
	return policy
}

func TestPolicyTellsWhichRuleMatched(t *testing.T) {
	policy := parse(t, `{"mode":"rotate","rules":[
		{"match":{"kid":"old"},"giveUpDays":1},
		{"match":{"label":"sales*"},"giveUpDays":2},
		{"match":{"kind":"app"}},
		{"match":{"kind":"app","id":"0oa1"},"giveUpDays":3}]}`)
	for _, c := range []struct {
		target   rotation.Target
		kid      string
		rule     int
		giveUpBy int
	}{
		{app, "kid", 1, 2},
		{app, "old", 0, 1},
		{idp, "old", 0, 1},
		{idp, "kid", -1, 30},
		{idp, "", -1, 30},
		{rotation.Target{Kind: rotation.KindApp, ID: "0oa1", Label: "Wiki"}, "kid", 2, 30},
	} {
		s, rule := policy.For(c.target, c.kid)
		if rule != c.rule || s.GiveUpDays != c.giveUpBy || s.Mode != "rotate" {
			t.Errorf("%s with kid %q: rule %d, giveUpDays %d, mode %s; want %d, %d, rotate", c.target, c.kid, rule, s.GiveUpDays, s.Mode, c.rule, c.giveUpBy)
		}
	}
	want := defaults()
	want.Mode = "rotate"
	if diff := cmp.Diff(want, policy.Settings()); diff != "" {
		t.Errorf("outside the rules (-want +got)\n%s", diff)
	}
}

func TestSettingsOfOneTargetAreNotThoseOfAnother(t *testing.T) {
	base := defaults()
	base.Signers, base.Profile = []string{"pki@example.com"}, fullProfile()
	policy, err := rotation.ParsePolicy(json.RawMessage(`{"escalateTo":["a@example.com"],"rules":[
		{"match":{"kind":"idp"},"mode":"off"},
		{"match":{"label":"Sales*"},"approvers":["b@example.com"],"escalateTo":null,"profile":{"keyUsage":["keyAgreement"],"extensions":[{"oid":"1.2.3","value":"BQA="}]}}]}`), base)
	if err != nil {
		t.Fatal(err)
	}
	first := func(s rotation.Settings, list func(rotation.Settings) []string) {
		if l := list(s); len(l) > 0 {
			l[0] = "changed@example.com"
		}
	}
	lists := []func(rotation.Settings) []string{
		func(s rotation.Settings) []string { return s.Approvers },
		func(s rotation.Settings) []string { return s.EscalateTo },
		func(s rotation.Settings) []string { return s.Signers },
		func(s rotation.Settings) []string { return s.Profile.KeyUsage },
		func(s rotation.Settings) []string { return s.Profile.CRLURLs },
		func(s rotation.Settings) []string { return s.Profile.OCSPURLs },
		func(s rotation.Settings) []string { return s.Profile.CAIssuersURLs },
	}
	wiki := rotation.Target{Kind: rotation.KindApp, ID: "0oa3", Label: "Wiki"}
	of := func(target rotation.Target) rotation.Settings { s, _ := policy.For(target, ""); return s }
	before := []rotation.Settings{of(app), of(idp), of(wiki), policy.Settings()}
	for _, list := range lists {
		for _, s := range []rotation.Settings{of(app), of(idp), of(wiki), policy.Settings()} {
			first(s, list)
			_ = append(list(s), "more@example.com")
			s.Profile.Extensions[0].OID = "changed"
			_ = append(s.Profile.Extensions, rotation.Extension{OID: "more"})
		}
		first(base, list)
	}
	base.Profile.Extensions[0].OID = "changed"
	if diff := cmp.Diff(before, []rotation.Settings{of(app), of(idp), of(wiki), policy.Settings()}); diff != "" {
		t.Errorf("after others were changed (-want +got)\n%s", diff)
	}
	if s := of(app); s.EscalateTo == nil {
		t.Error("a list that is given as null is not an empty one")
	}
}

func TestPolicyIsReadByManyAtOnce(t *testing.T) {
	policy := parse(t, `{"rules":[{"match":{"label":"Sales*"},"approvers":["b@example.com"]}]}`)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 100 {
				if s, rule := policy.For(app, "kid"); rule != 0 || s.Approvers[0] != "b@example.com" {
					t.Errorf("rule %d, approvers %q", rule, s.Approvers)
				}
			}
		})
	}
	all.Wait()
}

func TestPolicyReadOnceSaysWhatIsResolvedForEachTarget(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		raw, err := json.Marshal(ruleLike().Draw(t, "policy"))
		if err != nil {
			t.Fatal(err)
		}
		target := rotation.Target{Kind: rotation.KindApp, ID: "0oa1", Label: rapid.SampledFrom([]string{"A", "ab", "b", "c"}).Draw(t, "target")}
		policy, err := rotation.ParsePolicy(raw, defaults())
		want, wantErr := rotation.ResolvePolicy(raw, defaults(), target, "kid")
		if (err != nil) != (wantErr != nil) {
			t.Fatalf("%s: %v, for the target %v", raw, err, wantErr)
		}
		if err != nil {
			return
		}
		got, _ := policy.For(target, "kid")
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("%s (-resolved +read once)\n%s", raw, diff)
		}
	})
}

func BenchmarkPolicyFor20000Targets(b *testing.B) {
	rules := make([]string, 50)
	for i := range rules {
		rules[i] = fmt.Sprintf(`{"match":{"kind":"app","label":"Team %d *"},"giveUpDays":%d},`, i, i%30+1)
	}
	policy := parse(b, `{"rules":[`+strings.Join(rules, "")+`{"match":{"kind":"idp"}}]}`)
	targets := make([]rotation.Target, 20000)
	for i := range targets {
		targets[i] = rotation.Target{Kind: rotation.KindApp, ID: "0oa1", Label: fmt.Sprintf("Team %d app", i), Name: "salesforce"}
	}
	for b.Loop() {
		for _, target := range targets {
			policy.For(target, "kid")
		}
	}
}
