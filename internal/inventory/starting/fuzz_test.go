package starting

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"keyturn/internal/bucket"
	"keyturn/internal/inventory"
	"keyturn/internal/rotation"
)

var fuzzNow = time.Date(2026, 3, 1, 6, 0, 0, 0, time.UTC)

// Whatever an execution has ended with: its result is told, its target can
// exist, and every text is short, without a word as long as a task token.
func FuzzReport(f *testing.F) {
	token := strings.Repeat("q0Zx+8/Wd7LkT3vB", 40)
	for _, text := range []string{
		`{"result":"Completed","target":{"kind":"app","id":"0oa1gjh63g214q0Hq0g4","label":"Salesforce"},"oldKid":"a","newKid":"b","decision":{"by":"crm@example.com","at":"2026-03-01T05:00:00Z","comment":"done"}}`,
		`{"result":"RolledBack","error":{"name":"Okta.Unavailable","message":"` + token + `"},"rollbackError":{"name":"x","message":"y"},"signIn":{"confirmed":false,"by":"` + strings.Repeat("x ", 2000) + `"}}`,
		`{"result":"` + token + `","oldKid":"` + token + `","target":{"kind":"app","id":"../x"}}`, `{"result":7}`, `{"result":""}`, `null`, `[]`, ``, `{`, token, `{"target":{"kind":"idp","id":"0oa2"}}`, "\xff\xfe", `{"result":"Failed","target":{"kind":"app","id":"0oa1"}}`,
	} {
		for status := range byte(4) {
			f.Add(status, "app-0oa1gjh63g214q0Hq0g4-SIMcCQNY-20260301", `{"target":{"kind":"app","id":"0oa1"}}`, text)
			f.Add(status, "by-hand", text, text)
		}
	}
	statuses := []types.ExecutionStatus{types.ExecutionStatusSucceeded, types.ExecutionStatusFailed, types.ExecutionStatusAborted, types.ExecutionStatusTimedOut}
	f.Fuzz(func(t *testing.T, status byte, name, input, said string) {
		out := &sfn.DescribeExecutionOutput{Status: statuses[int(status)%len(statuses)], ExecutionArn: aws.String("arn:" + name), Name: aws.String(name), Input: aws.String(input), StopDate: aws.Time(fuzzNow)}
		if out.Status == types.ExecutionStatusSucceeded {
			out.Output = aws.String(said)
		} else {
			out.Cause, out.Error = aws.String(said), aws.String(said)
		}
		e := report(out)
		if e.Result == "" || !e.EndedAt.Equal(fuzzNow) {
			t.Errorf("%q of %q has ended as %+v", said, name, e)
		}
		if e.Target.Kind != "" && e.Target.Validate() != nil {
			t.Errorf("%q, %q, %q: the target is %+v", name, input, said, e.Target)
		}
		for _, text := range []string{e.Result, e.OldKid, e.NewKid, e.Error, e.Message, e.By, e.Comment, e.Target.Label, e.Target.Name} {
			if n := utf8.RuneCountInString(text); n > 700 || !utf8.ValidString(text) {
				t.Errorf("a text of %d characters: %.100q", n, text)
			}
			for _, word := range strings.FieldsFunc(text, func(r rune) bool {
				return !strings.ContainsRune("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=", r)
			}) {
				if len(word) > 100 {
					t.Errorf("a word of %d characters: %.100q", len(word), word)
				}
			}
		}
		if _, err := json.Marshal(e); err != nil {
			t.Error(err)
		}
	})
}

// A name of an execution tells a target only if it is the very name that the
// target's rotation has.
func FuzzExecutionName(f *testing.F) {
	for _, name := range []string{
		"app-0oa1gjh63g214q0Hq0g4-SIMcCQNY-20260301", "idp-0oa1gjh63g214q0Hq0g4---------20260301", "app-0oa1gjh63g214q0Hq0g4-SIMcCQNY-20260231", "app-0oa1gjh63g214q0Hq0g-4SIMcCQNY-20260301", "by-hand", "",
		"group-0oa1gjh63g214q0Hq0g4-SIMcCQNY-20260301", "app-0oa1-SIM-20260301", "app-" + strings.Repeat("x", 64) + "-SIMcCQNY-20260301", "app-0oa1gjh63g214q0Hq0g4-SIMcCQN\xff-20260301",
	} {
		f.Add(name, "0oa1gjh63g214q0Hq0g4")
		f.Add(name, strings.Repeat("x", 64))
		f.Add(name, "0oa1")
	}
	f.Fuzz(func(t *testing.T, name, id string) {
		date := func() time.Time {
			at, err := time.Parse("20060102", name[len(name)-8:])
			if err != nil {
				t.Fatalf("%q has no date", name)
			}
			return at
		}
		if found, kid := named(name); found.Kind != "" {
			if found.Validate() != nil || rotation.ExecutionName(found, kid, date()) != name || kidIn(name, found) != kid {
				t.Errorf("%q tells %s with the kid %q; by its target %q", name, found, kid, kidIn(name, found))
			}
		}
		target := rotation.Target{Kind: rotation.KindApp, ID: id}
		if target.Validate() != nil {
			return
		}
		if kid := kidIn(name, target); kid != "" && rotation.ExecutionName(target, kid, date()) != name {
			t.Errorf("%q tells the kid %q of %s", name, kid, target)
		}
		own := rotation.ExecutionName(target, "SIMcCQNYabc", fuzzNow)
		if got := kidIn(own, target); got != "SIMcCQNY" {
			t.Errorf("%q tells the kid %q", own, got)
		}
	})
}

// held is a bucket with one object.
type held struct {
	Bucket

	object []byte
}

func (h held) Read(context.Context, string) ([]byte, string, error) { return h.object, "etag", nil }

func (h held) Get(context.Context, string) (*bucket.Object, error) {
	return &bucket.Object{Body: io.NopCloser(bytes.NewReader(h.object))}, nil
}

// Whatever the bucket has for the memory of rotations, for a plan, or for what
// is due: it is read, or reported as damaged.
func FuzzObjects(f *testing.F) {
	for _, object := range []string{
		`{"execution":"arn:x","target":{"kind":"app","id":"0oa1"},"result":"Completed","endedAt":"2026-02-01T00:00:00Z"}` + "\n", `{"execution":"arn:x","result":"Completed","endedAt":"2036-02-01T00:00:00Z"}`, `{"execution":"","result":"x","endedAt":"2026-02-01T00:00:00Z"}`,
		`{"execution":"arn:x","result":"Completed","endedAt":"2026-02-01T00:00:00Z"}` + "\n{\n" + `{"execution":"arn:x","result":"Failed","endedAt":"2026-02-02T00:00:00Z"}`, "\xff\n\n", ``, `null`, `[]`, `{"dues":[],"starts":[{"due":0,"name":"x"}]}`, `{"dues":[{"kid":"a"}],"starts":[{"due":0,"name":"x"}]}`,
		`{"dues":[{"kid":"a"}],"starts":[{"due":-1,"name":"x"}]}`, `{"dues":[{"kid":"a"}],"starts":[{"due":9223372036854775807,"name":"x"}]}`, `{"maxRotations":1}`, `{"maxRotations":"x"}`, `{"target":{"kind":"app","id":"0oa1"},"settings":{"mode":"rotate"}}` + "\n" + `{"kid":7}`,
	} {
		f.Add([]byte(object))
	}
	f.Fuzz(func(t *testing.T, object []byte) {
		r := Rotations{Bucket: held{object: object}}
		m, problems, err := r.remembered(t.Context(), fuzzNow)
		if err != nil || (m.damaged > 0) != (len(problems) == 1) {
			t.Fatalf("%q: %v, %d damaged lines, problems %v", object, err, m.damaged, problems)
		}
		for name, e := range m.ended {
			if name == "" || e.Execution != name || e.Result == "" || e.EndedAt.IsZero() || e.EndedAt.After(fuzzNow.AddDate(0, 0, 30)) {
				t.Errorf("%q: %q is remembered as %+v", object, name, e)
			}
		}
		if p, err := r.planned(t.Context(), "plan.json"); err != nil {
			wantDamaged(t, object, err)
		} else {
			for _, s := range p.Starts {
				if s.Name == "" || s.Due < 0 || s.Due >= len(p.Dues) {
					t.Errorf("%q: a start of %+v", object, s)
				}
			}
		}
		if _, _, err := r.dues(t.Context(), inventory.Keys{Run: "run"}); err != nil {
			wantDamaged(t, object, err)
		}
	})
}

func wantDamaged(t *testing.T, object []byte, err error) {
	t.Helper()
	if rotation.NameOf(err) != "Inventory.Damaged" || len(err.Error()) > 300 {
		t.Errorf("%q: %v", object, err)
	}
}
