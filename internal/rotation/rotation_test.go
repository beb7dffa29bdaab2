package rotation_test

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"keyturn/internal/rotation"
)

func wantError(t *testing.T, err error, name, text string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want %s: %s", name, text)
	}
	if got := rotation.NameOf(err); got != name {
		t.Errorf("error is named %q, want %q", got, name)
	}
	if err.Error() != text {
		t.Errorf("the error says\n\t%s\nwant\n\t%s", err, text)
	}
}

func TestTargetIsAnAppOrAnIDPWithAnIdOfOkta(t *testing.T) {
	for _, target := range []rotation.Target{
		{Kind: "app", ID: "0oa1gjh63g214q0Hq0g4"},
		{Kind: "idp", ID: "0oa1gjh63g214q0Hq0g4", Label: "Partner"},
		{Kind: "app", ID: "a-b_C9"},
		{Kind: "app", ID: strings.Repeat("x", 64)},
	} {
		if err := target.Validate(); err != nil {
			t.Errorf("%+v: %v", target, err)
		}
	}
	const kinds = `: use "app" for an outbound SAML app or "idp" for an inbound SAML IdP`
	const ids = ` in Okta, such as 0oa1gjh63g214q0Hq0g4`
	for _, c := range []struct {
		target rotation.Target
		want   string
	}{
		{rotation.Target{}, `target.kind is ""` + kinds},
		{rotation.Target{ID: "0oa1"}, `target.kind is ""` + kinds},
		{rotation.Target{Kind: "apps", ID: "0oa1"}, `target.kind is "apps"` + kinds},
		{rotation.Target{Kind: "IDP", ID: "0oa1"}, `target.kind is "IDP"` + kinds},
		{rotation.Target{Kind: "app"}, `target.id is "": use the id of the app` + ids},
		{rotation.Target{Kind: "idp"}, `target.id is "": use the id of the idp` + ids},
		{rotation.Target{Kind: "app", ID: "0oa1 "}, `target.id is "0oa1 ": use the id of the app` + ids},
		{rotation.Target{Kind: "app", ID: "0oa1\n"}, `target.id is "0oa1\n": use the id of the app` + ids},
		{rotation.Target{Kind: "app", ID: "a/b"}, `target.id is "a/b": use the id of the app` + ids},
		{rotation.Target{Kind: "app", ID: ".."}, `target.id is "..": use the id of the app` + ids},
		{rotation.Target{Kind: "app", ID: "%2e"}, `target.id is "%2e": use the id of the app` + ids},
		{rotation.Target{Kind: "app", ID: "é"}, `target.id is "é": use the id of the app` + ids},
		{rotation.Target{Kind: "app", ID: strings.Repeat("x", 65)}, `target.id is "` + strings.Repeat("x", 65) + `": use the id of the app` + ids},
	} {
		wantError(t, c.target.Validate(), "Target.Invalid", c.want)
	}
}

func TestTargetIsNamedByKindAndId(t *testing.T) {
	if got := fmt.Sprint(rotation.Target{Kind: "app", ID: "0oa1", Label: "Salesforce"}); got != `app "0oa1"` {
		t.Errorf("got %s", got)
	}
}

func TestExecutionIsNamedForTargetKeyAndDay(t *testing.T) {
	app := rotation.Target{Kind: "app", ID: "0oa1gjh63g214q0Hq0g4"}
	for what, c := range map[string]struct {
		target rotation.Target
		kid    string
		now    time.Time
		want   string
	}{
		"an app":                {app, "akm5hvbbevE341ovl0h7", time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC), "app-0oa1gjh63g214q0Hq0g4-akm5hvbb-20260302"},
		"an IdP":                {rotation.Target{Kind: "idp", ID: "0oa2"}, "akm5hvbbevE341ovl0h7", time.Date(2026, 12, 31, 23, 59, 59, 0, time.UTC), "idp-0oa2-akm5hvbb-20261231"},
		"a short kid":           {app, "k1", time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC), "app-0oa1gjh63g214q0Hq0g4-k1-20260302"},
		"elsewhere, day before": {app, "k1", time.Date(2026, 3, 2, 1, 0, 0, 0, time.FixedZone("", 2*3600)), "app-0oa1gjh63g214q0Hq0g4-k1-20260301"},
		"elsewhere, day after":  {app, "k1", time.Date(2026, 3, 2, 23, 0, 0, 0, time.FixedZone("", -2*3600)), "app-0oa1gjh63g214q0Hq0g4-k1-20260303"},
		"the longest": {rotation.Target{Kind: "app", ID: strings.Repeat("x", 64)}, "akm5hvbbevE341ovl0h7", time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC),
			"app-" + strings.Repeat("x", 58) + "-akm5hvbb-20260302"},
	} {
		t.Run(what, func(t *testing.T) {
			if got := rotation.ExecutionName(c.target, c.kid, c.now); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

// Step Functions takes 1 to 80 characters, and of these the following are safe
// in every console and log.
var executionName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,80}$`)

func TestExecutionsOfAnyTargetOnDifferentDaysHaveDifferentNames(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		target := rotation.Target{Kind: rapid.SampledFrom([]rotation.Kind{"app", "idp"}).Draw(t, "kind"), ID: rapid.StringMatching(`[A-Za-z0-9_-]{1,64}`).Draw(t, "id")}
		kid := rapid.StringMatching(`[A-Za-z0-9_-]{1,43}`).Draw(t, "kid")
		day := time.Date(2026, 1, rapid.IntRange(1, 3000).Draw(t, "day"), rapid.IntRange(0, 23).Draw(t, "hour"), 0, 0, 0, time.UTC)
		name := rotation.ExecutionName(target, kid, day)
		if !executionName.MatchString(name) {
			t.Fatalf("name %q", name)
		}
		if next := rotation.ExecutionName(target, kid, day.AddDate(0, 0, 1)); next == name {
			t.Fatalf("the next day's name is %q again", next)
		}
		later := day.Truncate(24 * time.Hour).Add(24*time.Hour - time.Nanosecond)
		if same := rotation.ExecutionName(target, kid, later); same != name {
			t.Fatalf("on the same day %q and %q", name, same)
		}
	})
}

func TestFingerprintIsAsPartnersShowIt(t *testing.T) {
	// sha256sum of "abc" (FIPS 180-4, appendix B.1).
	const want = "BA:78:16:BF:8F:01:CF:EA:41:41:40:DE:5D:AE:22:23:B0:03:61:A3:96:17:7A:9C:B4:10:FF:61:F2:00:15:AD"
	if got := rotation.Fingerprint([]byte("abc")); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestErrorKeepsItsNameAndSaysItsCauseOnce(t *testing.T) {
	cause := errors.New("no answer")
	err := &rotation.Error{Name: "Okta.NotFound", Message: "it is not there", Err: cause}
	if err.Error() != "it is not there: no answer" || !errors.Is(err, cause) {
		t.Errorf("%v", err)
	}
	if plain := rotation.Errorf("Target.Changed", "%d of %q", 1, "x"); plain.Error() != `1 of "x"` || errors.Unwrap(plain) != nil {
		t.Errorf("%v", plain)
	}
	inner := rotation.Errorf("Inner.Name", "x")
	for _, c := range []struct {
		err  error
		want string
	}{
		{err, "Okta.NotFound"},
		{fmt.Errorf("step: %w", err), "Okta.NotFound"},
		{errors.Join(cause, err), "Okta.NotFound"},
		{&rotation.Error{Name: "Outer.Name", Err: inner}, "Outer.Name"},
		{cause, ""},
		{nil, ""},
	} {
		if got := rotation.NameOf(c.err); got != c.want {
			t.Errorf("%v is named %q, want %q", c.err, got, c.want)
		}
	}
}
