package bucket_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"

	"keyturn/internal/bucket"
	"keyturn/internal/bucket/buckettest"
	"keyturn/internal/rotation"
)

const key = "runs/1/entries.jsonl"

func put(t *testing.T, b bucket.Bucket, key, content string, o bucket.Options) string {
	t.Helper()
	etag, err := b.Put(t.Context(), key, strings.NewReader(content), o)
	if err != nil {
		t.Fatalf("put %s: %v", key, err)
	}
	return etag
}

func TestRoundTrip(t *testing.T) {
	s := buckettest.New(t)
	b := s.Bucket("discovery")
	body := strings.NewReader("skipped, kept")
	if _, err := body.Seek(int64(len("skipped, ")), io.SeekStart); err != nil {
		t.Fatal(err)
	}
	etag, err := b.Put(t.Context(), key, body, bucket.Options{ContentType: "application/jsonl", Metadata: map[string]string{"Run-Id": "r1", "started": "2026-07-01T00:00:00Z"}})
	if err != nil || etag == "" {
		t.Fatalf("put: %q, %v", etag, err)
	}
	object, err := b.Get(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	defer object.Body.Close()
	content, err := io.ReadAll(object.Body)
	if err != nil || string(content) != "kept" {
		t.Errorf("got %q, %v: want what stood from the reader's place on", content, err)
	}
	if want := map[string]string{"run-id": "r1", "started": "2026-07-01T00:00:00Z"}; object.ETag != etag || !maps.Equal(object.Metadata, want) {
		t.Errorf("ETag %q, metadata %v; want %q, %v", object.ETag, object.Metadata, etag, want)
	}
	if content, again, err := b.Read(t.Context(), key); err != nil || string(content) != "kept" || again != etag {
		t.Errorf("read %q, %q, %v", content, again, err)
	}
	for range 2 { // the second time it is not there
		if err := b.Delete(t.Context(), key); err != nil {
			t.Errorf("delete: %v", err)
		}
	}
	if _, _, err := b.Read(t.Context(), key); !errors.Is(err, bucket.ErrNotFound) {
		t.Errorf("got %v, want ErrNotFound", err)
	}
}

func TestConditions(t *testing.T) {
	b := buckettest.New(t).Bucket("discovery")
	first := put(t, b, key, "1", bucket.Options{IfAbsent: true})
	second := put(t, b, key, "2", bucket.Options{IfMatch: first})
	for name, o := range map[string]bucket.Options{
		"there already": {IfAbsent: true}, "replaced": {IfMatch: first},
	} {
		if _, err := b.Put(t.Context(), key, strings.NewReader("3"), o); !errors.Is(err, bucket.ErrConflict) {
			t.Errorf("%s: got %v, want ErrConflict", name, err)
		}
	}
	if content, etag, err := b.Read(t.Context(), key); err != nil || string(content) != "2" || etag != second {
		t.Errorf("got %q, %q, %v: a conflict wrote", content, etag, err)
	}
	if _, err := b.Put(t.Context(), "gone", strings.NewReader("3"), bucket.Options{IfMatch: first}); !errors.Is(err, bucket.ErrConflict) {
		t.Errorf("IfMatch against nothing: got %v, want ErrConflict", err)
	}
	if _, _, err := b.Read(t.Context(), "gone"); !errors.Is(err, bucket.ErrNotFound) {
		t.Errorf("got %v, want ErrNotFound", err)
	}
}

// Ten add their line to one object, each only to what it read: all lines are
// there in the end.
func TestWritersRace(t *testing.T) {
	b := buckettest.New(t).Bucket("discovery")
	put(t, b, key, "", bucket.Options{IfAbsent: true})
	var writers sync.WaitGroup
	for i := range 10 {
		writers.Go(func() {
			for {
				content, etag, err := b.Read(t.Context(), key)
				if err != nil {
					t.Error(err)
					return
				}
				_, err = b.Put(t.Context(), key, bytes.NewReader(fmt.Appendf(content, "%d\n", i)), bucket.Options{IfMatch: etag})
				if errors.Is(err, bucket.ErrConflict) {
					continue
				}
				if err != nil {
					t.Error(err)
				}
				return
			}
		})
	}
	writers.Wait()
	content, _, err := b.Read(t.Context(), key)
	lines := strings.Fields(string(content))
	slices.Sort(lines)
	if err != nil || strings.Join(lines, "") != "0123456789" {
		t.Errorf("got %q, %v", content, err)
	}
}

func TestListGoesThroughAllPages(t *testing.T) {
	s := buckettest.New(t)
	b := s.Bucket("discovery")
	var want []string
	for i := range 2500 {
		want = append(want, fmt.Sprintf("runs/%05d/plan & more.json", i))
		put(t, b, want[i], "x", bucket.Options{})
	}
	put(t, b, "report/latest.html", "x", bucket.Options{})
	put(t, b, "runs0", "x", bucket.Options{})
	s.ResetRequests()
	got, err := b.List(t.Context(), "runs/")
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %d keys, %v; want %d", len(got), err, len(want))
	}
	if n := s.Requests()[buckettest.ListObjectsV2]; n != 3 {
		t.Errorf("%d requests, want 3", n)
	}
	if got, err := b.List(t.Context(), "none/"); err != nil || len(got) != 0 {
		t.Errorf("got %v, %v", got, err)
	}
	s.Fail(buckettest.Fault{Operation: buckettest.ListObjectsV2, Skip: 1, Times: -1, Status: 503, Code: "SlowDown"})
	if got, err := b.List(t.Context(), "runs/"); got != nil || rotation.NameOf(err) != "Bucket.Unavailable" {
		t.Errorf("got %d keys, %v: half a list is none", len(got), err)
	}
}

func TestErrorsAreNamed(t *testing.T) {
	acts := map[string]func(context.Context, bucket.Bucket) error{
		buckettest.GetObject: func(ctx context.Context, b bucket.Bucket) error { _, _, err := b.Read(ctx, key); return err },
		buckettest.PutObject: func(ctx context.Context, b bucket.Bucket) error {
			_, err := b.Put(ctx, key, strings.NewReader("x"), bucket.Options{})
			return err
		},
		buckettest.ListObjectsV2: func(ctx context.Context, b bucket.Bucket) error { _, err := b.List(ctx, "runs/"); return err },
		buckettest.DeleteObject:  func(ctx context.Context, b bucket.Bucket) error { return b.Delete(ctx, key) },
	}
	for _, c := range []struct {
		status int
		code   string
		want   string
		says   string
	}{
		{503, "SlowDown", "Bucket.Unavailable", "SlowDown"},
		{503, "ServiceUnavailable", "Bucket.Unavailable", "ServiceUnavailable"},
		{500, "InternalError", "Bucket.Unavailable", "InternalError"},
		{400, "RequestTimeout", "Bucket.Unavailable", "RequestTimeout"},
		{400, "ThrottlingException", "Bucket.Unavailable", "ThrottlingException"},
		{0, "", "Bucket.Unavailable", "no answer"},
		{403, "AccessDenied", "Bucket.Refused", "role"},
		{404, "NoSuchBucket", "Bucket.Refused", "does not exist"},
		{400, "KMS.DisabledException", "Bucket.Refused", "KMS key is enabled"},
		{301, "PermanentRedirect", "Bucket.Refused", "PermanentRedirect"},
	} {
		for operation, act := range acts {
			t.Run(fmt.Sprintf("%s %d %s", operation, c.status, c.code), func(t *testing.T) {
				s := buckettest.New(t)
				b := s.Bucket("discovery")
				put(t, b, key, "x", bucket.Options{})
				s.Fail(buckettest.Fault{Operation: operation, Times: -1, Status: c.status, Code: c.code})
				err := act(t.Context(), b)
				if rotation.NameOf(err) != c.want || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), "discovery") {
					t.Fatalf("got %v (%s), want %s", err, rotation.NameOf(err), c.want)
				}
				for _, quoted := range []string{"http", "request failed", "Request", "4442587FB7D0A2F9"} {
					if strings.Contains(strings.ReplaceAll(err.Error(), c.code, ""), quoted) {
						t.Errorf("%q quotes %q", err, quoted)
					}
				}
			})
		}
	}
}

func TestABucketThatIsNotThereIsNotAnObjectThatIsNotThere(t *testing.T) {
	s := buckettest.New(t)
	b := bucket.New(s.Config(), "gone")
	if _, _, err := b.Read(t.Context(), key); rotation.NameOf(err) != "Bucket.Refused" || errors.Is(err, bucket.ErrNotFound) {
		t.Errorf("read: %v", err)
	}
	if _, err := b.Put(t.Context(), key, strings.NewReader("x"), bucket.Options{IfMatch: `"1"`}); rotation.NameOf(err) != "Bucket.Refused" {
		t.Errorf("put: %v", err)
	}
}

func TestTheSDKTriesAgain(t *testing.T) {
	s := buckettest.New(t)
	b := s.Bucket("discovery")
	s.Fail(buckettest.Fault{Operation: buckettest.PutObject, Times: 2, Status: 500, Code: "InternalError"})
	put(t, b, key, "x", bucket.Options{})
	s.Fail(buckettest.Fault{Operation: buckettest.PutObject, Times: 2, Status: 503, Code: "SlowDown"})
	put(t, b, "new", "whole body again", bucket.Options{IfAbsent: true})
	if got := s.Content("discovery", "new"); string(got) != "whole body again" {
		t.Errorf("got %q", got)
	}
	if n := s.Requests()[buckettest.PutObject]; n != 6 {
		t.Errorf("%d requests, want 6", n)
	}
}

// The answer to a conditional write is lost. Sent again it would find its own
// object and say that somebody else had written it.
func TestALostAnswerIsNoConflict(t *testing.T) {
	s := buckettest.New(t)
	b := s.Bucket("discovery")
	for name, status := range map[string]int{"closed": 0, "500": 500} {
		s.Fail(buckettest.Fault{Operation: buckettest.PutObject, Status: status, Code: "InternalError", After: true})
		_, err := b.Put(t.Context(), name, strings.NewReader("mine"), bucket.Options{IfAbsent: true})
		if rotation.NameOf(err) != "Bucket.Unavailable" {
			t.Errorf("%s: got %v, want Bucket.Unavailable", name, err)
		}
		if got := s.Content("discovery", name); string(got) != "mine" {
			t.Errorf("%s: holds %q", name, got)
		}
	}
}

func TestConflictingWritesAtOnce(t *testing.T) {
	s := buckettest.New(t)
	b := s.Bucket("discovery")
	s.Fail(buckettest.Fault{Operation: buckettest.PutObject, Status: http.StatusConflict, Code: "ConditionalRequestConflict"})
	if _, err := b.Put(t.Context(), key, strings.NewReader("x"), bucket.Options{IfAbsent: true}); !errors.Is(err, bucket.ErrConflict) {
		t.Errorf("got %v, want ErrConflict", err)
	}
	// Somebody writes between this one's read and its write.
	etag := put(t, b, key, "1", bucket.Options{})
	other := s.Bucket("discovery")
	s.Fail(buckettest.Fault{Operation: buckettest.PutObject, Do: func() { put(t, other, key, "theirs", bucket.Options{}) }})
	if _, err := b.Put(t.Context(), key, strings.NewReader("mine"), bucket.Options{IfMatch: etag}); !errors.Is(err, bucket.ErrConflict) {
		t.Errorf("got %v, want ErrConflict", err)
	}
	if got := s.Content("discovery", key); string(got) != "theirs" {
		t.Errorf("holds %q", got)
	}
}

func TestACutAnswerIsUnavailable(t *testing.T) {
	s := buckettest.New(t)
	b := s.Bucket("discovery")
	put(t, b, key, strings.Repeat("x", 100_000), bucket.Options{})
	s.Fail(buckettest.Fault{Operation: buckettest.GetObject, Cut: 50_000, Times: -1})
	if content, _, err := b.Read(t.Context(), key); content != nil || rotation.NameOf(err) != "Bucket.Unavailable" {
		t.Errorf("got %d bytes, %v", len(content), err)
	}
	object, err := b.Get(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	defer object.Body.Close()
	if n, err := io.Copy(io.Discard, object.Body); n > 50_000 || rotation.NameOf(err) != "Bucket.Unavailable" {
		t.Errorf("streamed %d bytes, %v", n, err)
	}
	s.Heal()
	s.Fail(buckettest.Fault{Operation: buckettest.ListObjectsV2, Cut: 200, Times: -1})
	if keys, err := b.List(t.Context(), ""); keys != nil || rotation.NameOf(err) != "Bucket.Unavailable" {
		t.Errorf("listed %v, %v", keys, err)
	}
}

func TestACanceledRequestIsUnavailable(t *testing.T) {
	s := buckettest.New(t)
	b := s.Bucket("discovery")
	ctx, cancel := context.WithCancel(t.Context())
	given := make(chan struct{})
	s.Fail(buckettest.Fault{Do: func() {
		cancel()
		<-given // an answer could come before the client notices
	}})
	defer close(given)
	if _, _, err := b.Read(ctx, key); rotation.NameOf(err) != "Bucket.Unavailable" || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestAddressedByHostUnlessThereIsAnEndpoint(t *testing.T) {
	if o := bucket.New(aws.Config{Region: "eu-west-1"}, "b").S3.Options(); o.UsePathStyle {
		t.Error("AWS is addressed by path")
	}
	if o := bucket.New(aws.Config{BaseEndpoint: aws.String("http://127.0.0.1:1")}, "b").S3.Options(); !o.UsePathStyle {
		t.Error("a local endpoint is not addressed by path")
	}
}
