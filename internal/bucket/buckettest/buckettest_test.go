package buckettest_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"

	"keyturn/internal/bucket"
	"keyturn/internal/bucket/buckettest"
)

func code(err error) string {
	var e smithy.APIError
	if errors.As(err, &e) {
		return e.ErrorCode()
	}
	return ""
}

func TestRefusesWhatS3Refuses(t *testing.T) {
	s := buckettest.New(t)
	b := s.Bucket("b")
	put := func(change func(*s3.PutObjectInput)) error {
		in := &s3.PutObjectInput{Bucket: aws.String("b"), Key: aws.String("k"), Body: strings.NewReader("x")}
		change(in)
		_, err := b.S3.PutObject(t.Context(), in)
		return err
	}
	if err := put(func(*s3.PutObjectInput) {}); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*s3.PutObjectInput){
		"NoSuchBucket":       func(in *s3.PutObjectInput) { in.Bucket = aws.String("other") },
		"PreconditionFailed": func(in *s3.PutObjectInput) { in.IfMatch = aws.String(`"other"`) },
		"NotImplemented":     func(in *s3.PutObjectInput) { in.IfNoneMatch = aws.String(`"an ETag"`) },
		"NoSuchKey":          func(in *s3.PutObjectInput) { in.Key, in.IfMatch = aws.String("other"), aws.String("*") },
		"KeyTooLongError":    func(in *s3.PutObjectInput) { in.Key = aws.String(strings.Repeat("k", 1025)) },
		"MetadataTooLarge": func(in *s3.PutObjectInput) {
			in.Metadata = map[string]string{"a": strings.Repeat("v", 2048)}
		},
		"BadDigest": func(in *s3.PutObjectInput) { in.ContentMD5 = aws.String("AAAAAAAAAAAAAAAAAAAAAA==") },
	} {
		if got := code(put(change)); got != want {
			t.Errorf("got %q, want %s", got, want)
		}
	}
	answer, err := http.Get(s.URL + "/b/k")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusForbidden {
		t.Errorf("without a signature: %d", answer.StatusCode)
	}
}

func TestPagesAreAsLongAsAskedFor(t *testing.T) {
	s := buckettest.New(t)
	b := s.Bucket("b")
	for _, key := range []string{"a/1", "a/2", "a/3", "b/1"} {
		if _, err := b.Put(t.Context(), key, strings.NewReader("x"), bucket.Options{}); err != nil {
			t.Fatal(err)
		}
	}
	first, err := b.S3.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: &b.Name, Prefix: aws.String("a/"), MaxKeys: aws.Int32(2)})
	if err != nil || len(first.Contents) != 2 || !*first.IsTruncated || *first.KeyCount != 2 || *first.MaxKeys != 2 {
		t.Fatalf("got %+v, %v", first, err)
	}
	second, err := b.S3.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: &b.Name, Prefix: aws.String("a/"), MaxKeys: aws.Int32(2), ContinuationToken: first.NextContinuationToken})
	if err != nil || len(second.Contents) != 1 || *second.Contents[0].Key != "a/3" || *second.IsTruncated || second.NextContinuationToken != nil {
		t.Fatalf("got %+v, %v", second, err)
	}
	if _, err := b.S3.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: &b.Name, ContinuationToken: aws.String("made up!")}); code(err) != "InvalidArgument" {
		t.Errorf("a made-up token: %v", err)
	}
}

func TestServesWithoutATest(t *testing.T) {
	s := buckettest.Start()
	b := s.Bucket("b")
	s.Close()
	if _, err := b.List(t.Context(), ""); err == nil {
		t.Error("a closed server answers")
	}
}
