package approval_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"testing"
	"time"

	"keyturn/internal/approval"
	"keyturn/internal/rotation"
)

// vault is the link-key secret with its versions, and counts who reads it.
type vault struct {
	current, previous []byte
	outage            error
	reads             int
	now               time.Time
}

func (v *vault) keyring() *approval.Keyring {
	return &approval.Keyring{
		Current: func(context.Context, bool) ([]byte, error) { v.reads++; return v.current, v.outage },
		Previous: func(context.Context, bool) ([]byte, error) {
			if v.previous == nil && v.outage == nil {
				return nil, rotation.Errorf("Credential.Missing", "one version only")
			}
			return v.previous, v.outage
		},
		Now: func() time.Time { return v.now },
	}
}

// replace gives the secret a new value, as put-secret-value does.
func (v *vault) replace(value []byte) { v.current, v.previous = value, v.current }

func key(letter string) []byte { return bytes.Repeat([]byte(letter), 64) }

func wantOpen(t *testing.T, k *approval.Keyring, link string) {
	t.Helper()
	claim, sealer, err := k.Open(t.Context(), link)
	if err != nil || claim.Approver != "crm@example.com" || sealer == nil {
		t.Errorf("the link is not opened: %+v, %v", claim, err)
	}
}

func wantDamaged(t *testing.T, k *approval.Keyring, link string) {
	t.Helper()
	if claim, _, err := k.Open(t.Context(), link); !errors.Is(err, approval.ErrDamaged) || claim != (approval.Claim{}) {
		t.Errorf("%.20s… is opened: %+v, %v; want ErrDamaged", link, claim, err)
	}
}

func TestLinksThatAreOutSurviveOneReplacementOfTheKey(t *testing.T) {
	v := &vault{current: key("a"), now: now}
	k := v.keyring()
	first := seal(t, newSealer(t, key("a")), salesforce())
	wantOpen(t, k, first)

	v.replace(key("b"))
	v.now = v.now.Add(2 * time.Minute)
	second := seal(t, newSealer(t, key("b")), salesforce())
	wantOpen(t, k, second) // at once, although the old key was read not long ago
	wantOpen(t, k, first)

	v.replace(key("c"))
	v.now = v.now.Add(6 * time.Minute)
	wantOpen(t, k, seal(t, newSealer(t, key("c")), salesforce()))
	wantOpen(t, k, second)
	wantDamaged(t, k, first)
}

func TestAFormThatWasShownSurvivesAReplacementOfTheKey(t *testing.T) {
	v := &vault{current: key("a"), now: now}
	k := v.keyring()
	link := seal(t, newSealer(t, key("a")), salesforce())
	_, sealer, err := k.Open(t.Context(), link)
	if err != nil {
		t.Fatal(err)
	}
	form := sealer.FormToken(link, "request", now)
	v.replace(key("b"))
	v.now = v.now.Add(6 * time.Minute)
	_, sealer, err = k.Open(t.Context(), link)
	if err != nil || !sealer.CheckForm(form, link, "request", v.now) {
		t.Errorf("the form is not taken any more: %v", err)
	}
}

func TestALinkThatIsNoneCostsNoCallOfAWS(t *testing.T) {
	v := &vault{current: key("a"), now: now}
	k := v.keyring()
	for _, link := range []string{"", "x", "favicon.ico", "wp-login.php", string(bytes.Repeat([]byte("A"), 10_000)), base64.RawURLEncoding.EncodeToString(make([]byte, 500))} {
		wantDamaged(t, k, link)
	}
	if v.reads != 0 {
		t.Errorf("the secret was read %d times", v.reads)
	}
}

func TestForgedLinksReadTheKeyEveryTenSecondsAtMost(t *testing.T) {
	v := &vault{current: key("a"), now: now}
	k := v.keyring()
	wantOpen(t, k, seal(t, newSealer(t, key("a")), salesforce()))
	forged := seal(t, newSealer(t, key("z")), salesforce())
	altered := []byte(seal(t, newSealer(t, key("a")), salesforce()))
	altered[len(altered)-2] ^= 1
	for range 100 {
		wantDamaged(t, k, forged)
		wantDamaged(t, k, string(altered))
	}
	if v.reads != 1 {
		t.Errorf("the secret was read %d times within ten seconds, want once", v.reads)
	}
	for pause := range 10 {
		v.now = now.Add(time.Duration(pause+1) * 11 * time.Second)
		for range 10 {
			wantDamaged(t, k, forged)
			wantDamaged(t, k, string(altered))
		}
	}
	if v.reads != 11 {
		t.Errorf("the secret was read %d times in two minutes, want 11", v.reads)
	}
}

func TestAKeyThatCannotBeReadAgainIsUsedForAWhile(t *testing.T) {
	v := &vault{current: key("a"), now: now}
	k := v.keyring()
	link := seal(t, newSealer(t, key("a")), func() approval.Claim { c := salesforce(); return c }())
	wantOpen(t, k, link)
	v.outage = rotation.Errorf("Secret.Unavailable", "no")
	v.now = now.Add(4 * time.Minute)
	wantOpen(t, k, link)
	v.now = now.Add(6 * time.Minute)
	if _, _, err := k.Open(t.Context(), link); rotation.NameOf(err) != "Secret.Unavailable" {
		t.Errorf("with a key that is too old: %v", err)
	}
	v.outage = nil
	v.now = now.Add(8 * time.Minute)
	wantOpen(t, k, link)
}
