package inventory_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"keyturn/internal/bucket"
	"keyturn/internal/bucket/buckettest"
	"keyturn/internal/inventory"
	"keyturn/internal/rotation"
)

func TestDaysLeftAreWholeDaysRoundedDown(t *testing.T) {
	now := time.Date(2026, 3, 1, 6, 0, 0, 0, time.UTC)
	for left, want := range map[time.Duration]int{
		0: 0, time.Second: 0, 24*time.Hour - time.Second: 0, 24 * time.Hour: 1, 36 * time.Hour: 1,
		-time.Second: -1, -24 * time.Hour: -1, -25 * time.Hour: -2,
	} {
		if got := inventory.DaysLeft(now.Add(left), now); got != want {
			t.Errorf("%v before the end there are %d days left, want %d", left, got, want)
		}
	}
}

func TestLinesAreReadAsTheyWereWritten(t *testing.T) {
	var file bytes.Buffer
	for _, text := range []string{"a", "line\nbreak", "<&>", strings.Repeat("x", 200_000)} {
		if err := inventory.WriteLine(&file, map[string]string{"text": text}); err != nil {
			t.Fatal(err)
		}
	}
	var read []int
	for line, err := range inventory.Lines[struct{ Text string }](&file) {
		if err != nil {
			t.Fatal(err)
		}
		read = append(read, len(line.Text))
	}
	if len(read) != 4 || read[1] != 10 || read[3] != 200_000 {
		t.Errorf("read lines of %v", read)
	}
}

func TestALineThatCannotBeReadEndsTheReading(t *testing.T) {
	broken := errors.New("the connection broke")
	for name, c := range map[string]struct {
		from io.Reader
		want string
	}{
		"no JSON":     {strings.NewReader("{}\n{\n{}\n"), "line 2"},
		"cut":         {io.MultiReader(strings.NewReader("{}\n{\"te"), iotest.ErrReader(broken)), ""},
		"a wrong one": {strings.NewReader("{}\n{\"text\": 1}\n"), "line 2"},
	} {
		t.Run(name, func(t *testing.T) {
			n := 0
			var last error
			for _, err := range inventory.Lines[struct{ Text string }](c.from) {
				n++
				last = err
			}
			if n != 2 || last == nil || !strings.Contains(last.Error(), c.want) {
				t.Errorf("%d values, then %v", n, last)
			}
		})
	}
}

const (
	// olderInventory was written before inventories had CAs, newerInventory after
	// something was added that nobody knows here.
	olderInventory = `{"version":1,"org":"https://example.okta.com","run":{"id":"1"},"mode":"notify","maxRotations":25,"running":[],"ended":[],"sharedKeys":[],"trust":[],"targets":[
{"target":{"kind":"app","id":"0oa1"},"status":"ACTIVE","protocol":"SAML_2_0","kid":"k1","sharing":1,"rule":-1,"mode":"notify","rotateBeforeDays":45,"sharedKey":"own","approvers":[],"due":false,"action":"none"}
]}
`
	newerInventory = `{"version":1,"org":"https://example.okta.com","run":{"id":"1"},"mode":"notify","maxRotations":25,"running":[],"ended":[],"sharedKeys":[],"trust":[],"certificateAuthorities":[{"provider":"local","certificates":[],"problem":{"name":"CA.NotDescribed","message":"no"}}],"new":{"targets":[1]},"targets":[
{"target":{"kind":"app","id":"0oa1"},"status":"ACTIVE","protocol":"SAML_2_0","kid":"k1","sharing":1,"rule":-1,"mode":"notify","rotateBeforeDays":45,"sharedKey":"own","approvers":[],"due":false,"action":"none"}
]}
`
)

func TestInventoriesOfOtherVersionsAreRead(t *testing.T) {
	for name, file := range map[string]string{"older": olderInventory, "newer": newerInventory} {
		t.Run(name, func(t *testing.T) {
			b := buckettest.New(t).Bucket("inventory")
			if _, err := b.Put(t.Context(), inventory.LatestInventory, strings.NewReader(file),
				bucket.Options{Metadata: map[string]string{inventory.MetaSHA256: fmt.Sprintf("%x", sha256.Sum256([]byte(file)))}}); err != nil {
				t.Fatal(err)
			}
			f, err := inventory.Open(t.Context(), b, inventory.LatestInventory)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			var ids []string
			for e, err := range f.Entries() {
				if err != nil {
					t.Fatal(err)
				}
				ids = append(ids, e.Target.ID)
			}
			if len(ids) != 1 || ids[0] != "0oa1" {
				t.Errorf("the targets are %q", ids)
			}
		})
	}
}

func TestACAEndsWithTheFirstOfItsCertificates(t *testing.T) {
	now := time.Date(2026, 3, 1, 6, 0, 0, 0, time.UTC)
	for want, days := range map[int][]int{0: {5}, 1: {9, 3, 4}, 2: {9, 4, 3, 3}, -1: {}} {
		a := inventory.CertificateAuthority{}
		for _, d := range days {
			a.Certificates = append(a.Certificates, inventory.AuthorityCertificate{AuthorityCertificate: rotation.AuthorityCertificate{NotAfter: now.AddDate(0, 0, d)}})
		}
		end := a.FirstEnd()
		if (want < 0) != (end == nil) || (want >= 0 && end != &a.Certificates[want]) {
			t.Errorf("of %v it is %+v", days, end)
		}
	}
}
