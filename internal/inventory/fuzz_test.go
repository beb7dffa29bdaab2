package inventory_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"

	"keyturn/internal/bucket"
	"keyturn/internal/inventory"
	"keyturn/internal/rotation"
)

// serving is S3 with one object.
type serving struct {
	object []byte
	sum    string
}

func (s serving) Do(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"X-Amz-Meta-Sha256": {s.sum}, "Etag": {`"e"`}}, Body: io.NopCloser(bytes.NewReader(s.object)), ContentLength: int64(len(s.object))}, nil
}

// Whatever the bucket has for an inventory: its entries are what its JSON says,
// and it is damaged unless it is as it was written.
func FuzzInventory(f *testing.F) {
	for _, object := range []string{
		`{"version":1,"run":{"id":"x"},"targets":[{"target":{"kind":"app","id":"0oa1"},"kid":"a"},{"target":{"kind":"idp","id":"0oa2"},"daysLeft":-1}],"trust":[]}` + "\n", `{"targets":[]}`, `{}`, `[]`, `null`, `{"targets":null}`, `{"targets":[{}`, `{"targets":[7]}`,
		`{"targets":[{"kid":"a"}],"targets":[{"kid":"b"}]}`, `{"targets":[],"x":` + strings.Repeat("[", 10001), `{"targets":[{"daysLeft":` + strings.Repeat("1", 5000) + `}]}`, `{"targets":[{"notAfter":"` + strings.Repeat("x", 5000) + `"}]}`, `{"targets":[]}x`, `{"TARGETS":[{"kid":"a"}]}`, "\xef\xbb\xbf{}", ``,
	} {
		f.Add([]byte(object), true)
		f.Add([]byte(object), false)
	}
	f.Fuzz(func(t *testing.T, object []byte, asWritten bool) {
		sum := "0123"
		if asWritten {
			s := sha256.Sum256(object)
			sum = hex.EncodeToString(s[:])
		}
		b := bucket.New(aws.Config{Region: "eu-west-1", HTTPClient: serving{object, sum}, RetryMaxAttempts: 1,
			Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
				return aws.Credentials{AccessKeyID: "a", SecretAccessKey: "b"}, nil
			})}, "bucket")
		file, err := inventory.Open(t.Context(), b, "latest.json")
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		var entries []inventory.Entry
		for e, entryErr := range file.Entries() {
			if err != nil {
				t.Fatalf("%q: something comes after %v", object, err)
			}
			if err = entryErr; err == nil {
				entries = append(entries, e)
			}
		}
		if err != nil {
			if rotation.NameOf(err) != "Inventory.Damaged" || len(err.Error()) > 1000 {
				t.Errorf("%q: %.1000v", object, err)
			}
			return
		}
		if !asWritten {
			t.Errorf("%q counts as it was written", object)
		}
		if bytes.Count(bytes.ToLower(object), []byte(`argets"`)) > 1 || bytes.Contains(object, []byte(`\u`)) {
			return // one field after the other; encoding/json takes the last
		}
		var whole struct {
			Targets []inventory.Entry `json:"targets"`
		}
		// What follows the value belongs to the sum alone.
		if err := json.NewDecoder(bytes.NewReader(object)).Decode(&whole); err != nil || (len(whole.Targets)+len(entries) > 0 && bytes.Contains(object, []byte(`"targets"`)) && !reflect.DeepEqual(whole.Targets, entries)) {
			t.Errorf("%q: the entries are %+v, want %+v, %v", object, entries, whole.Targets, err)
		}
	})
}
