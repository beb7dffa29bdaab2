package steps_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tidwall/gjson"

	"keyturn/internal/oktasim"
	"keyturn/internal/rotation"
	"keyturn/internal/steps"
)

func TestInspectionTellsWhatOktaHas(t *testing.T) {
	forBothKinds(t, func(t *testing.T, l *lab) {
		before := l.document()
		got, err := l.inspect(`{"validityDays":200,"rules":[{"match":{"id":"` + l.target.ID + `"},"giveUpDays":7}]}`)
		if err != nil {
			t.Fatal(err)
		}
		policy := rotation.DefaultSettings([]string{"sso-team@example.com"})
		policy.ValidityDays, policy.GiveUpDays = 200, 7
		want := rotation.InspectTargetOutput{
			Target: l.target,
			Policy: policy,
			ActiveKey: rotation.Key{
				Kid: oldKid, Created: day(-700), NotBefore: day(-700), NotAfter: day(30),
				Issuer: expiring().Certificate.Issuer.String(), Subject: expiring().Certificate.Subject.String(), Certificate: expiring().X5C,
			},
			UnusedKeys: []rotation.Key{},
			SourceKeys: []rotation.Key{},
			SharedWith: []rotation.Target{},
			Digest:     l.digest(), LastUpdated: gjson.GetBytes(before, "lastUpdated").String(),
			Asks:     []rotation.Ask{{Until: 3 * 86400}, {Until: 6 * 86400}, {Until: 7 * 86400}},
			AnswerBy: day(7),
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
		if got := l.document(); string(got) != string(before) {
			t.Error("the inspection changed the document")
		}
	})
}

func TestInspectionTakesTwoCalls(t *testing.T) {
	forBothKinds(t, func(t *testing.T, l *lab) {
		if _, err := l.inspect(""); err != nil {
			t.Fatal(err)
		}
		wantCalls(t, l.org, l.operation("read"), l.operation("keys"))
	})
}

// The state machine hands lists on as they are: null would not be one.
func TestInspectionWritesEmptyListsAsLists(t *testing.T) {
	l := newLab(t, rotation.KindApp)
	out, err := l.inspect(`{"approvers":null,"escalateTo":null,"signers":null,"profile":{"crlUrls":null,"extensions":null}}`)
	if err != nil {
		t.Fatal(err)
	}
	text := asJSON(t, out)
	for _, want := range []string{`"unusedKeys":[]`, `"cloneFrom":null`, `"sourceKeys":[]`, `"sharedWith":[]`, `"approvers":[]`, `"escalateTo":[]`, `"signers":[]`,
		`"profile":{"keyUsage":[],"extensions":[],"crlUrls":[],"ocspUrls":[],"caIssuersUrls":[]}`} {
		if !strings.Contains(text, want) {
			t.Errorf("the output has no %s: %s", want, text)
		}
	}
}

func TestInspectionDigestDependsOnEverythingButTheKidAndLastUpdated(t *testing.T) {
	forBothKinds(t, func(t *testing.T, l *lab) {
		digest := func() string {
			out, err := l.inspect("")
			if err != nil {
				t.Fatal(err)
			}
			return out.Digest
		}
		first := digest()
		l.ahead.Store(int64(time.Hour))
		l.org.AddKey(l.kind(), l.target.ID, spare())
		l.org.SetActiveKid(l.kind(), l.target.ID, spare().Kid)
		if digest() != first {
			t.Error("another kid and lastUpdated changed the digest")
		}
		path, _, other := l.innocent()
		l.org.Edit(l.kind(), l.target.ID, path, other)
		if digest() == first {
			t.Error("another " + path + " did not change the digest")
		}
	})
}

var errorID = regexp.MustCompile(`error id \w+`)

func TestInspectionRefusesWhatCannotBeRotated(t *testing.T) {
	l := emptyLab(t)
	demo := l.org.SeedDemo()
	lost := l.addApp(oktasim.AppSpec{Label: "Lost key", Key: expiring()})
	l.org.Edit("app", lost.ID, "credentials.signing.kid", `"a-kid-of-nobody"`)
	none := l.addApp(oktasim.AppSpec{Label: "No key", Key: expiring()})
	l.org.Edit("app", none.ID, "credentials.signing", `{}`)
	noneIDP := l.addIDP(oktasim.IDPSpec{Label: "No key here", Key: expiring()})
	l.org.Edit("idp", noneIDP.ID, "protocol.credentials.signing", `{}`)
	inactiveIDP := l.addIDP(oktasim.IDPSpec{Label: "Former partner", Status: "INACTIVE", Key: expiring()})
	old := l.addApp(oktasim.AppSpec{Label: "SAML 1.1", SignOnMode: "SAML_1_1", Key: expiring()})

	for what, c := range map[string]struct {
		kind     rotation.Kind
		id       string
		policy   string
		name     string
		text     string
		oktaSaid string // follows the text
		calls    int
	}{
		"no kind": {"", "0oa1", "", "Target.Invalid",
			`target.kind is "": use "app" for an outbound SAML app or "idp" for an inbound SAML IdP`, "", 0},
		"unknown kind": {"App", "0oa1", "", "Target.Invalid",
			`target.kind is "App": use "app" for an outbound SAML app or "idp" for an inbound SAML IdP`, "", 0},
		"no id": {"app", "", "", "Target.Invalid",
			`target.id is "": use the id of the app in Okta, such as 0oa1gjh63g214q0Hq0g4`, "", 0},
		"an id that is a path": {"idp", "../apps/0oa1", "", "Target.Invalid",
			`target.id is "../apps/0oa1": use the id of the idp in Okta, such as 0oa1gjh63g214q0Hq0g4`, "", 0},
		"an unknown field of the policy": {"app", demo.BeforeSwitchApp, `{"validityDay":100}`, "Policy.Invalid",
			`policy has the unknown field "validityDay": remove it, or correct its spelling; the fields are mode, rotateBeforeDays, validityDays, uploadOrder, confirmSignIn, signInHours, signInSilence, approvers, escalateTo, reminderHours, giveUpDays, sharedKey, maxRotations, quotaShare, subject, certificateAuthority, signers, profile and rules`, "", 0},
		"a CA that there is not": {"app", demo.BeforeSwitchApp, `{"certificateAuthority":"vault"}`, "Policy.Invalid",
			`policy.certificateAuthority is "vault": use local or kms or acmpca or stepca or manual`, "", 0},
		"an extension that is not the profile's": {"app", demo.BeforeSwitchApp, `{"profile":{"extensions":[{"oid":"2.5.29.31","value":"MAA="}]}}`, "Policy.Invalid",
			`policy.profile.extensions[0].oid is "2.5.29.31" (cRLDistributionPoints), which Keyturn makes by itself: use profile.crlUrls`, "", 0},
		"a validity that Okta refuses": {"app", demo.BeforeSwitchApp, `{"validityDays":90}`, "Policy.Invalid",
			`policy.validityDays is 90: use 91 to 3650; Okta refuses a certificate that is valid for 90 days or less`, "", 0},
		"an app that does not exist": {"app", "0oaNobodysApp", "", "Okta.NotFound",
			`app "0oaNobodysApp" does not exist in the org ` + l.server.URL + `: check target.id, and that the credential may see it: `,
			`could not read app "0oaNobodysApp": Not found: Resource not found: 0oaNobodysApp (AppInstance) [GET /api/v1/apps/0oaNobodysApp, HTTP 404, E0000007, error id X]`, 1},
		"an IdP asked for as an app": {"app", demo.IDP, "", "Okta.NotFound",
			`app "` + demo.IDP + `" does not exist in the org ` + l.server.URL + `: check target.id, and that the credential may see it: `,
			`could not read app "` + demo.IDP + `": Not found: Resource not found: ` + demo.IDP + ` (AppInstance) [GET /api/v1/apps/` + demo.IDP + `, HTTP 404, E0000007, error id X]`, 1},
		"an inactive app": {"app", demo.InactiveApp, "", "Target.Inactive",
			`app "` + demo.InactiveApp + `" (Old Intranet) has the status INACTIVE: activate it first; nobody signs in with it now`, "", 1},
		"an inactive IdP": {"idp", inactiveIDP.ID, "", "Target.Inactive",
			`idp "` + inactiveIDP.ID + `" (Former partner) has the status INACTIVE: activate it first; nobody signs in with it now`, "", 1},
		"an OIDC app": {"app", demo.OIDCApp, "", "Target.NotSAML",
			`app "` + demo.OIDCApp + `" (Analytics Portal) has no SAML signing key, its signOnMode is OPENID_CONNECT: only SAML 2.0 apps and SAML2 IdPs can be rotated`, "", 1},
		"an app that fills in passwords": {"app", demo.SWAApp, "", "Target.NotSAML",
			`app "` + demo.SWAApp + `" (Parking) has no SAML signing key, its signOnMode is SECURE_PASSWORD_STORE: only SAML 2.0 apps and SAML2 IdPs can be rotated`, "", 1},
		// Okta previews metadata of SAML 2.0 apps only, so that a switch of
		// this one could not be verified.
		"a SAML 1.1 app": {"app", old.ID, "", "Target.NotSAML",
			`app "` + old.ID + `" (SAML 1.1) has no SAML signing key, its signOnMode is SAML_1_1: only SAML 2.0 apps and SAML2 IdPs can be rotated`, "", 1},
		"a social IdP": {"idp", demo.SocialIDP, "", "Target.NotSAML",
			`idp "` + demo.SocialIDP + `" (Google) has no SAML signing key, its type is GOOGLE: only SAML 2.0 apps and SAML2 IdPs can be rotated`, "", 1},
		"an app without a key": {"app", none.ID, "", "Target.NoActiveKey",
			`app "` + none.ID + `" (No key) names no signing key (credentials.signing.kid): open it in Okta's admin console and choose its certificate`, "", 1},
		"an IdP without a key": {"idp", noneIDP.ID, "", "Target.NoActiveKey",
			`idp "` + noneIDP.ID + `" (No key here) names no signing key (protocol.credentials.signing.kid): open it in Okta's admin console and choose its certificate`, "", 1},
		"a key that is not listed": {"app", lost.ID, "", "Target.NoActiveKey",
			`the active key a-kid-of-nobody of app "` + lost.ID + `" (Lost key) is not in its key list: look at its certificates in Okta's admin console`, "", 2},
	} {
		t.Run(what, func(t *testing.T) {
			l.t = t
			l.target = rotation.Target{Kind: c.kind, ID: c.id}
			l.org.ResetCalls()
			_, err := l.inspect(c.policy)
			if err == nil {
				t.Fatal("no error")
			}
			wantName(t, err, c.name)
			if got := errorID.ReplaceAllString(err.Error(), "error id X"); got != c.text+c.oktaSaid {
				t.Errorf("the error says\n\t%s\nwant\n\t%s%s", got, c.text, c.oktaSaid)
			}
			if n := len(l.org.Calls()); n != c.calls {
				t.Errorf("%d calls of Okta, want %d", n, c.calls)
			}
		})
	}
}

func TestActiveKeyThatCannotBeReadIsNamed(t *testing.T) {
	forBothKinds(t, func(t *testing.T, l *lab) {
		for what, c := range map[string]struct{ from, to, says string }{
			"no certificate":     {`"x5c":["` + expiring().X5C + `"]`, `"x5c":[]`, "key " + oldKid + " has no certificate (x5c)"},
			"not base64":         {expiring().X5C, "!", "certificate of key " + oldKid + ": illegal base64 data at input byte 0"},
			"not a certificate":  {expiring().X5C, "AAAA", "certificate of key " + oldKid + ": x509: malformed certificate"},
			"another key's list": {oldKid, "another", ""},
		} {
			t.Run(what, func(t *testing.T) {
				l.t = t
				l.okta = l.rewriting("/credentials/keys", func(body string) string { return strings.ReplaceAll(body, c.from, c.to) })
				_, err := l.inspect("")
				if c.says == "" {
					wantError(t, err, "Target.NoActiveKey", "the active key "+oldKid+" of "+l.who()+" is not in its key list: look at its certificates in Okta's admin console")
					return
				}
				wantError(t, err, "Target.NoActiveKey", "the active key "+oldKid+" of "+l.who()+" cannot be read: "+c.says)
			})
		}
	})
}

func TestUnusedKeysCameAfterTheActiveOneAndAreGoodForMoreThan90Days(t *testing.T) {
	forBothKinds(t, func(t *testing.T, l *lab) {
		active := expiring().Created
		for _, k := range []oktasim.KeySpec{
			{Kid: "before", Created: active.Add(-time.Second), NotAfter: day(400)},
			{Kid: "with", Created: active, NotAfter: day(400)},
			{Kid: "after", Created: active.Add(time.Second), NotAfter: day(400)},
			{Kid: "newest", Created: day(-1), NotAfter: day(400)},
			{Kid: "90 days", Created: day(-2), NotAfter: day(90)},
			{Kid: "90 days and a second", Created: day(-3), NotAfter: day(90).Add(time.Second)},
			{Kid: "expired", Created: day(-4), NotAfter: day(-1)},
		} {
			l.org.AddKey(l.kind(), l.target.ID, oktasim.NewKey(k))
		}
		out, err := l.inspect("")
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, k := range out.UnusedKeys {
			got = append(got, k.Kid)
		}
		if want := []string{"newest", "90 days and a second", "after"}; !slices.Equal(got, want) {
			t.Errorf("unused keys %q, want %q", got, want)
		}
	})
}

func TestPreviousKeyIsTheNewestBeforeTheActiveOneAndRatherAValidOne(t *testing.T) {
	forBothKinds(t, func(t *testing.T, l *lab) {
		out, err := l.inspect("")
		if err != nil {
			t.Fatal(err)
		}
		if out.PreviousKey != nil || out.Recent {
			t.Errorf("a key with 30 days left and none before it: previous %v, recent %v", out.PreviousKey, out.Recent)
		}
		active := expiring().Created
		for _, one := range []struct {
			add  oktasim.KeySpec
			want string
		}{
			{oktasim.KeySpec{Kid: "expired long ago", Created: active.Add(-72 * time.Hour), NotAfter: day(-20)}, "expired long ago"},
			{oktasim.KeySpec{Kid: "expired", Created: active.Add(-time.Hour), NotAfter: day(-1)}, "expired"},
			{oktasim.KeySpec{Kid: "older", Created: active.Add(-48 * time.Hour), NotAfter: day(400)}, "older"},
			{oktasim.KeySpec{Kid: "before", Created: active.Add(-24 * time.Hour), NotAfter: day(1)}, "before"},
			{oktasim.KeySpec{Kid: "after", Created: active.Add(time.Second), NotAfter: day(400)}, "before"},
		} {
			l.org.AddKey(l.kind(), l.target.ID, oktasim.NewKey(one.add))
			if out, err = l.inspect(""); err != nil || out.PreviousKey == nil || out.PreviousKey.Kid != one.want {
				t.Errorf("with the key %q the previous one is %+v, %v; want %q", one.add.Kid, out.PreviousKey, err, one.want)
			}
		}
	})
}

func TestActiveKeyIsRecentWhenItIsNotDue(t *testing.T) {
	for policy, want := range map[string]bool{
		`{"rotateBeforeDays": 29}`: true,
		`{"rotateBeforeDays": 30}`: false,
		`{"rotateBeforeDays": 31}`: false,
	} {
		out, err := newLab(t, rotation.KindApp).inspect(policy)
		if err != nil {
			t.Fatal(err)
		}
		if out.Recent != want {
			t.Errorf("%s: 30 days left is recent: %v, want %v", policy, out.Recent, want)
		}
	}
}

func TestUnusedKeyThatCannotBeReadIsLeftOut(t *testing.T) {
	l := newLab(t, rotation.KindApp)
	l.org.AddKey("app", l.target.ID, spare())
	l.okta = l.rewriting("/credentials/keys", func(body string) string { return strings.ReplaceAll(body, spare().X5C, "AAAA") })
	out, err := l.inspect("")
	if err != nil || len(out.UnusedKeys) != 0 {
		t.Errorf("unused keys %s, %v; want none", asJSON(t, out.UnusedKeys), err)
	}
}

func TestKeyOlderThanItsTargetIsLookedForElsewhere(t *testing.T) {
	for _, kind := range kinds {
		t.Run(string(kind), func(t *testing.T) {
			l := emptyLab(t)
			add := func(label string, created time.Time, key *oktasim.Key) rotation.Target {
				if kind == rotation.KindIDP {
					return l.addIDP(oktasim.IDPSpec{Label: label, Created: created, Key: key})
				}
				return l.addApp(oktasim.AppSpec{Label: label, Created: created, Key: key})
			}
			l.target = add("First", day(-100), expiring())
			second, third := add("Second", day(-90), expiring()), add("Third", day(-80), expiring())
			add("Alone", day(-80), spare())

			out, err := l.inspect("")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]rotation.Target{second, third}, out.SharedWith); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			list := map[rotation.Kind]string{rotation.KindApp: "listApplications", rotation.KindIDP: "listIdentityProviders"}[kind]
			wantCalls(t, l.org, l.operation("read"), l.operation("keys"), list)
		})
	}
}

// IdentityProvider.created is nullable in Okta's API spec.
func TestAKeyIsLookedForElsewhereWhereTheAgeOfItsTargetIsNotKnown(t *testing.T) {
	l := emptyLab(t)
	l.target = l.addIDP(oktasim.IDPSpec{Label: "First", Created: day(-100), Key: expiring()})
	second := l.addIDP(oktasim.IDPSpec{Label: "Second", Created: day(-90), Key: expiring()})
	l.org.Edit("idp", l.target.ID, "created", "null")
	out, err := l.inspect("")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]rotation.Target{second}, out.SharedWith); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// Okta stamps the app and its key one after the other.
func TestKeyMadeTogetherWithItsTargetIsNotLookedForElsewhere(t *testing.T) {
	l := emptyLab(t)
	for _, seconds := range []int{-59, 0, 1} {
		l.target = l.addApp(oktasim.AppSpec{Label: "New", Created: expiring().Created.Add(-time.Duration(seconds) * time.Second), Key: expiring()})
		l.org.ResetCalls()
		if _, err := l.inspect(""); err != nil {
			t.Fatal(err)
		}
		wantCalls(t, l.org, "getApplication", "listApplicationKeys")
	}
}

func TestKeyOfAWholeOrgIsListedForFiftyTargetsOnly(t *testing.T) {
	l := emptyLab(t)
	for i := range 60 {
		l.target = l.addApp(oktasim.AppSpec{Label: fmt.Sprintf("App %d", i), Created: day(-100), Key: expiring()})
	}
	out, err := l.inspect("")
	if err != nil {
		t.Fatal(err)
	}
	if n := len(out.SharedWith); n != 50 {
		t.Errorf("shared with %d targets, want 50", n)
	}
}

func TestPolicyOfOneInspectionDoesNotReachTheNext(t *testing.T) {
	l := newLab(t, rotation.KindApp)
	defaults := rotation.DefaultSettings([]string{"sso-team@example.com", "second@example.com"})
	step := steps.InspectTarget{Okta: l.okta, Defaults: defaults, Now: clock}
	if _, err := step.Run(t.Context(), rotation.InspectTargetInput{Target: l.target, Policy: []byte(`{"approvers":["crm@example.com"],"escalateTo":["boss@example.com"],
		"certificateAuthority":"manual","signers":["pki@example.com"],"profile":{"keyUsage":["keyAgreement"],"extensions":[{"oid":"1.2.3","value":"BQA="}],"crlUrls":["http://pki.example.com/ca.crl"]}}`)}); err != nil {
		t.Fatal(err)
	}
	out, err := step.Run(t.Context(), rotation.InspectTargetInput{Target: l.target})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(rotation.DefaultSettings([]string{"sso-team@example.com", "second@example.com"}), out.Policy); diff != "" {
		t.Errorf("the second policy (-want +got)\n%s", diff)
	}
}

// What discovery found for a target is the whole policy, not what the deployed
// one says besides.
func TestProfileOfTheInputReplacesThatOfTheStacksPolicy(t *testing.T) {
	l := newLab(t, rotation.KindApp)
	step := steps.InspectTarget{Okta: l.okta, Defaults: rotation.DefaultSettings([]string{"sso-team@example.com"}), Now: clock,
		Policy: json.RawMessage(`{"certificateAuthority":"manual","signers":["pki@example.com"],"profile":{"keyUsage":["keyAgreement"],"extensions":[{"oid":"1.2.3","value":"BQA="}],"crlUrls":["http://a.example.com"],"ocspUrls":["http://b.example.com"],"caIssuersUrls":["http://c.example.com"]}}`)}
	want := rotation.DefaultSettings([]string{"sso-team@example.com"})
	out, err := step.Run(t.Context(), rotation.InspectTargetInput{Target: l.target, Policy: json.RawMessage(asJSON(t, want))})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, out.Policy); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestTheStacksPolicyIsWhatAnInputIsLaidOver(t *testing.T) {
	l := emptyLab(t)
	id := l.addApp(oktasim.AppSpec{Label: "Salesforce – EMEA", Created: day(-700), Key: expiring()}).ID
	step := steps.InspectTarget{Okta: l.okta, Defaults: rotation.DefaultSettings([]string{"sso-team@example.com"}), Now: clock,
		Policy: json.RawMessage(`{"validityDays": 200, "rules": [{"match": {"label": "Salesforce*"}, "approvers": ["crm@example.com"], "reminderHours": 24}]}`)}
	for input, want := range map[string]rotation.Settings{
		``:                      {ValidityDays: 200, ReminderHours: 24, Approvers: []string{"crm@example.com"}},
		`{"reminderHours": 12}`: {ValidityDays: 200, ReminderHours: 12, Approvers: []string{"crm@example.com"}},
		`{"rules": [{"match": {"kind": "app"}, "approvers": ["other@example.com"]}]}`: {ValidityDays: 200, ReminderHours: 24, Approvers: []string{"other@example.com"}},
	} {
		out, err := step.Run(t.Context(), rotation.InspectTargetInput{Target: rotation.Target{Kind: rotation.KindApp, ID: id}, Policy: json.RawMessage(input)})
		if err != nil {
			t.Fatal(err)
		}
		if p := out.Policy; p.ValidityDays != want.ValidityDays || p.ReminderHours != want.ReminderHours || !slices.Equal(p.Approvers, want.Approvers) {
			t.Errorf("with the input %q the policy is %+v", input, p)
		}
	}
	step.Policy = json.RawMessage(`{"validityDays": 30}`)
	if _, err := step.Run(t.Context(), rotation.InspectTargetInput{Target: rotation.Target{Kind: rotation.KindApp, ID: id}}); rotation.NameOf(err) != "Policy.Invalid" {
		t.Errorf("a stack's policy that cannot be used: %v", err)
	}
}
