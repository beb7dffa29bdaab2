package approval_test

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"keyturn/internal/approval"
	"keyturn/internal/rotation"
)

var (
	now     = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	linkKey = bytes.Repeat([]byte("k"), 64)
)

// taskToken looks like one of Step Functions'.
var taskToken = "AQCEAAAAKgAAAAMAAAAAAAAAAe1" + strings.Repeat("q0Zx+8/Wd7LkT3vB", 40) + "=="

func newSealer(t testing.TB, secret []byte) *approval.Sealer {
	t.Helper()
	s, err := approval.NewSealer(secret)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func seal(t testing.TB, s *approval.Sealer, c approval.Claim) string {
	t.Helper()
	link, err := s.Seal(c)
	if err != nil {
		t.Fatal(err)
	}
	return link
}

func salesforce() approval.Claim {
	return approval.Claim{
		TaskToken: taskToken,
		Stage:     rotation.StageUpload,
		Execution: "app-0oa1gjh63g214q0Hq0g4-SIMcCQNY-20260301",
		Target:    rotation.Target{Kind: rotation.KindApp, ID: "0oa1gjh63g214q0Hq0g4", Label: "Salesforce"},
		Approver:  "crm@example.com",
		Expires:   now.Add(rotation.Day),
	}
}

func TestALinkGivesBackWhatWasSealed(t *testing.T) {
	s := newSealer(t, linkKey)
	rapid.Check(t, func(t *rapid.T) {
		text := func(name string) string { return rapid.String().Draw(t, name) }
		c := approval.Claim{
			TaskToken: rapid.OneOf(rapid.String(), rapid.Map(rapid.SliceOf(rapid.Byte()), base64.StdEncoding.EncodeToString)).Draw(t, "token"),
			Stage:     rapid.SampledFrom([]rotation.Stage{rotation.StageUpload, rotation.StagePlanned, rotation.StageSignIn}).Draw(t, "stage"),
			Execution: text("execution"),
			Target: rotation.Target{
				Kind: rapid.SampledFrom([]rotation.Kind{rotation.KindApp, rotation.KindIDP}).Draw(t, "kind"),
				ID:   text("id"), Label: rapid.StringN(0, 40, -1).Draw(t, "label"),
			},
			Approver: text("approver"),
			Expires:  time.Unix(rapid.Int64Range(0, 1<<36).Draw(t, "seconds"), 0).UTC(),
		}
		link, err := s.Seal(c)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Trim(link, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			t.Fatalf("%q needs escaping in a URL's path", link)
		}
		got, err := s.Open(link, c.Expires.Add(-1))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c, got); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestALongLabelIsShortenedInTheLink(t *testing.T) {
	s := newSealer(t, linkKey)
	c := salesforce()
	c.Target.Label = strings.Repeat("ü", 100)
	got, err := s.Open(seal(t, s, c), now)
	if want := strings.Repeat("ü", 39) + "…"; err != nil || got.Target.Label != want {
		t.Errorf("%q, %v; want %q", got.Target.Label, err, want)
	}
}

// Step Functions' task tokens have some 700 characters of base64 now, and may
// have 2,048 (Step Functions API, SendTaskSuccess).
func TestALinkIsShortEnoughForMailProgramsAndChats(t *testing.T) {
	s := newSealer(t, linkKey)
	c := salesforce()
	c.Target.Label, c.Approver = strings.Repeat("標", 100), strings.Repeat("a", 52)+"@example.com"
	c.Execution = strings.Repeat("e", 80)
	const base = "https://abcdefghijklmnopqrstuvwxyz234567.lambda-url.ap-southeast-1.on.aws/a/"
	for _, size := range []int{1024, 2048} {
		raw := make([]byte, size/4*3)
		rand.Read(raw)
		c.TaskToken = base64.StdEncoding.EncodeToString(raw)
		link := seal(t, s, c)
		if got, err := s.Open(link, now); err != nil || got.TaskToken != c.TaskToken {
			t.Errorf("a token of %d characters does not come back: %v", size, err)
		}
		if whole := len(base + link); size == 1024 && whole >= 2000 {
			t.Errorf("with a token of %d characters the link has %d", size, whole)
		}
	}
}

func TestALinkHidesItsClaim(t *testing.T) {
	s := newSealer(t, linkKey)
	c := salesforce()
	link := seal(t, s, c)
	raw, err := base64.RawURLEncoding.DecodeString(link)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{c.TaskToken, c.TaskToken[:12], c.Approver, "Salesforce"} {
		coded := base64.RawURLEncoding.EncodeToString([]byte(secret))
		if strings.Contains(link, secret) || bytes.Contains(raw, []byte(secret)) || strings.Contains(link, coded[:len(coded)-2]) {
			t.Errorf("the link shows %q", secret)
		}
	}
	if link == seal(t, s, c) {
		t.Error("two links for one claim are the same: the nonce was used twice")
	}
}

func TestALinkWithAnyBitFlippedIsDamaged(t *testing.T) {
	s := newSealer(t, linkKey)
	raw, err := base64.RawURLEncoding.DecodeString(seal(t, s, salesforce()))
	if err != nil {
		t.Fatal(err)
	}
	for bit := range len(raw) * 8 {
		altered := bytes.Clone(raw)
		altered[bit/8] ^= 1 << (bit % 8)
		damaged(t, s, base64.RawURLEncoding.EncodeToString(altered))
	}
}

func TestALinkWithAnyCharacterChangedIsDamaged(t *testing.T) {
	s := newSealer(t, linkKey)
	link := seal(t, s, salesforce())
	for i := range link {
		for bit := range 7 {
			altered := []byte(link)
			altered[i] ^= 1 << bit
			damaged(t, s, string(altered))
		}
	}
}

func TestALinkCutAnywhereIsDamaged(t *testing.T) {
	s := newSealer(t, linkKey)
	link := seal(t, s, salesforce())
	for i := range link {
		damaged(t, s, link[:i])
		if i > 0 {
			damaged(t, s, link[i:])
		}
	}
}

func TestNoiseIsNoLink(t *testing.T) {
	s := newSealer(t, linkKey)
	rapid.Check(t, func(t *rapid.T) {
		noise := rapid.OneOf(rapid.String(), rapid.StringMatching(`AQ?[A-Za-z0-9_-]{0,400}`)).Draw(t, "noise")
		if c, err := s.Open(noise, now); !errors.Is(err, approval.ErrDamaged) || c != (approval.Claim{}) {
			t.Fatalf("got %+v, %v; want ErrDamaged", c, err)
		}
	})
	link := seal(t, s, salesforce())
	for title, other := range map[string]string{
		"something behind it": link + "AAAA",
		"a slash behind it":   link + "/",
		"padding":             link + "=",
		"twice":               link + link,
		"another alphabet":    strings.NewReplacer("-", "+", "_", "/").Replace(link) + "+",
	} {
		t.Run(title, func(t *testing.T) { damaged(t, s, other) })
	}
}

func TestALinkOfAnotherKeyIsDamaged(t *testing.T) {
	other := bytes.Clone(linkKey)
	other[len(other)-1]++
	damaged(t, newSealer(t, other), seal(t, newSealer(t, linkKey), salesforce()))
}

func TestALinkOfAnotherVersionIsDamaged(t *testing.T) {
	s := newSealer(t, linkKey)
	if c, err := s.Open(sealedAs(t, 2, linkKey), now); err != nil || c.Approver != "crm@example.com" {
		t.Fatalf("version 2, sealed by the test: %+v, %v", c, err)
	}
	for _, version := range []byte{0, 1, 3, 255} {
		damaged(t, s, sealedAs(t, version, linkKey))
	}
}

// sealedAs seals as a release with another version might, whose links are
// authentic.
func sealedAs(t *testing.T, version byte, secret []byte) string {
	t.Helper()
	derive := func(purpose string, size int) []byte {
		key, err := hkdf.Key(sha256.New, secret, nil, purpose, size)
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	block, err := aes.NewCipher(derive("keyturn link v2", 32))
	if err != nil {
		t.Fatal(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	claim := fmt.Sprintf(`{"s":"upload","e":"e","k":"app","i":"0oa1","a":"crm@example.com","x":%d}`, now.Add(rotation.Day).Unix())
	plain := append(binary.AppendUvarint(nil, uint64(len(claim))), claim...)
	plain = append(plain, 0, 't')
	sealed := append([]byte{version}, derive("keyturn link id v2", 4)...)
	sealed = append(sealed, make([]byte, aead.NonceSize())...)
	return base64.RawURLEncoding.EncodeToString(aead.Seal(sealed, sealed[5:], plain, sealed[:5]))
}

func TestALinkWorksUntilItsExpiry(t *testing.T) {
	s := newSealer(t, linkKey)
	c := salesforce()
	link := seal(t, s, c)
	if _, err := s.Open(link, c.Expires.Add(-time.Nanosecond)); err != nil {
		t.Errorf("a moment before its expiry: %v", err)
	}
	for _, late := range []time.Duration{0, time.Nanosecond, 400 * rotation.Day} {
		got, err := s.Open(link, c.Expires.Add(late))
		if !errors.Is(err, approval.ErrExpired) {
			t.Errorf("%v after its expiry the error is %v, want ErrExpired", late, err)
		}
		// The page names what has expired.
		if diff := cmp.Diff(c, got); diff != "" {
			t.Errorf("an expired link's claim: %s", diff)
		}
	}
}

func TestALinkKeyThatIsTooShortIsRefused(t *testing.T) {
	for _, n := range []int{0, 1, 31} {
		secret := bytes.Repeat([]byte("s"), n)
		_, err := approval.NewSealer(secret)
		if rotation.NameOf(err) != "Credential.Malformed" {
			t.Errorf("%d characters: %v, want Credential.Malformed", n, err)
		} else if n > 8 && strings.Contains(err.Error(), string(secret)) {
			t.Errorf("the error %q shows the key", err)
		}
	}
	newSealer(t, make([]byte, 32))
}

func TestAFormTokenIsForOneLinkAndTwelveHours(t *testing.T) {
	s := newSealer(t, linkKey)
	link, other := seal(t, s, salesforce()), seal(t, s, salesforce())
	shown := now
	token := s.FormToken(link, "request", shown)
	for title, test := range map[string]struct {
		token, link string
		at          time.Time
		want        bool
	}{
		"at once":                           {token, link, shown, true},
		"a second before twelve hours":      {token, link, shown.Add(12*time.Hour - time.Second), true},
		"after twelve hours":                {token, link, shown.Add(12 * time.Hour), false},
		"after a year":                      {token, link, shown.AddDate(1, 0, 0), false},
		"another process's clock is behind": {token, link, shown.Add(-30 * time.Second), true},
		"from the future":                   {token, link, shown.Add(-2 * time.Minute), false},
		"for another link":                  {token, other, shown, false},
		"for no link":                       {token, "", shown, false},
		"none":                              {"", link, shown, false},
		"cut":                               {token[:len(token)-4], link, shown, false},
		"longer":                            {token + "AAAA", link, shown, false},
		"not base64":                        {"!" + token[1:], link, shown, false},
		"the link itself":                   {link, link, shown, false},
		"of another link key":               {newSealer(t, bytes.Repeat([]byte("o"), 64)).FormToken(link, "request", shown), link, shown, false},
		"before 1970":                       {s.FormToken(link, "request", time.Unix(-1, 0)), link, shown, false},
	} {
		t.Run(title, func(t *testing.T) {
			if got := s.CheckForm(test.token, test.link, "request", test.at); got != test.want {
				t.Errorf("the form is taken: %v, want %v", got, test.want)
			}
		})
	}
	if s.CheckForm(token, link, "another request", shown) || s.CheckForm(token, link, "", shown) {
		t.Error("the form is taken for another request")
	}
	for i := range token {
		for bit := range 7 {
			altered := []byte(token)
			altered[i] ^= 1 << bit
			if s.CheckForm(string(altered), link, "request", shown) {
				t.Errorf("taken with bit %d of character %d flipped", bit, i)
			}
		}
	}
}

func TestLinksTakesALinkKeyThatWasReplaced(t *testing.T) {
	value, readErr := linkKey, error(nil)
	links := approval.Links(func(context.Context, bool) ([]byte, error) { return value, readErr })
	open := func() *approval.Sealer {
		t.Helper()
		s, err := links(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	link := seal(t, open(), salesforce())
	if _, err := open().Open(link, now); err != nil {
		t.Errorf("with the same key: %v", err)
	}
	value = bytes.Repeat([]byte("n"), 64)
	damaged(t, open(), link)

	value = []byte("short")
	if _, err := links(t.Context()); rotation.NameOf(err) != "Credential.Malformed" {
		t.Errorf("a short key: %v, want Credential.Malformed", err)
	}
	readErr = rotation.Errorf("Secret.Denied", "no")
	if _, err := links(t.Context()); rotation.NameOf(err) != "Secret.Denied" {
		t.Errorf("a key that cannot be read: %v, want Secret.Denied", err)
	}
}

func damaged(t testing.TB, s *approval.Sealer, link string) {
	t.Helper()
	c, err := s.Open(link, now)
	if !errors.Is(err, approval.ErrDamaged) {
		t.Errorf("%q is opened with the error %v, want ErrDamaged", link, err)
	}
	if c != (approval.Claim{}) {
		t.Errorf("a damaged link gives a claim for %s", c.Target)
	}
}

func FuzzOpen(f *testing.F) {
	s := newSealer(f, linkKey)
	link := seal(f, s, salesforce())
	f.Add(link[1:])
	f.Add(link[:len(link)-1])
	f.Add(link + link)
	f.Add(link[:40])
	f.Add("AgAAAA")
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := s.Open(text, now)
		if err == nil {
			t.Fatalf("%q is opened as %+v", text, c)
		}
		if s.CheckForm(text, link, "request", now) {
			t.Fatalf("%q is taken for a form's token", text)
		}
	})
}
