package lambdastep_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambda/messages"

	"keyturn/internal/inventory"
	"keyturn/internal/lambdastep"
	"keyturn/internal/rotation"
)

// taking is a step that only takes its input.
func taking[In any](log io.Writer, got *any) lambda.Handler {
	return lambdastep.Handler("request-upload", log, func() (lambdastep.Step[In, any], error) {
		return func(_ context.Context, in In) (any, error) {
			*got = in
			return nil, nil
		}, nil
	})
}

// plainly is the input as encoding/json reads it, unknown fields and all.
func plainly[In any](payload []byte) (any, error) {
	var in In
	err := json.Unmarshal(payload, &in)
	return in, err
}

var asName = regexp.MustCompile(`[^\\]"\s*:`)

// Whatever a function is called with, be it by hand or by an event: it takes
// what the step takes, or answers Input.Invalid, and neither answer nor log
// repeats the task token.
func FuzzInput(f *testing.F) {
	for _, more := range []string{
		``, `, "chain": "PEM"`, `, "round": "x"`, `, "round": 1e400`, `, "answerBy": "yesterday"`, `, "answerBy": "` + taskToken + `"`, `, "answerBy": 7`, `, "escalate": null`, `, "policy": {"approvers": [7]}`,
		`, "decision": {"at": "` + taskToken + `"}`, `, "stage": {"` + strings.Repeat("x", 9000) + `": 1}`, `, "oldKey": [], "x": 1`, `, "target": {"kind": "idp"}`, `, "TASKTOKEN": "x"`, `}{`, `, "round": "` + taskToken + `"`,
	} {
		f.Add([]byte(payload(more)), byte(0))
	}
	for _, raw := range []string{
		`{"target": {"kind": "app", "id": "0oa1"}}`, `{"target": {"kind": "app", "id": "0oa1"}, "policy": {"mode": "off"}, "cloneFrom": {"kind": "app", "id": "0oa2"}}`, `{"target": "app"}`, `{"policy": 7}`, `null`, `[]`, `7`, `"x"`, ``, `{`,
		`{"targets": []}`, `{"` + strings.Repeat("x", 9000) + `": 1}`, `{"run": {"id": "x", "at": "2026-03-01T12:00:00Z"}, "request": {"dryRun": "yes"}}`, "{\"target\": {\"id\": \"\xff\"}}", `{"target": {"kind": "app", "id": "0oa1"}} x`, strings.Repeat("[", 20000),
		`{"fromKid": "a", "toKid": "b", "digest": 7}`, `{"csr": {"request": 7}}`, `{"describe": ["local", 7]}`, `{"target": {"kind": "app", "id": "0oa1", "label": "a\u2028b"}, "target": {"id": "0oa2"}}`,
	} {
		for which := range byte(5) {
			f.Add([]byte(raw), which)
		}
	}
	f.Fuzz(func(t *testing.T, payload []byte, which byte) {
		var log bytes.Buffer
		var got any
		var want any
		var wantErr error
		var h lambda.Handler
		switch which % 5 {
		case 0:
			h = taking[rotation.RequestUploadInput](&log, &got)
			want, wantErr = plainly[rotation.RequestUploadInput](payload)
		case 1:
			h = taking[rotation.InspectTargetInput](&log, &got) // also that of a request event
			want, wantErr = plainly[rotation.InspectTargetInput](payload)
		case 2:
			h = taking[rotation.UpdateKeyCredentialInput](&log, &got)
			want, wantErr = plainly[rotation.UpdateKeyCredentialInput](payload)
		case 3:
			h = taking[rotation.SignCSRInput](&log, &got)
			want, wantErr = plainly[rotation.SignCSRInput](payload)
		case 4:
			h = taking[inventory.ListAppsInput](&log, &got)
			want, wantErr = plainly[inventory.ListAppsInput](payload)
		}
		out, err := h.Invoke(t.Context(), payload)
		if err == nil {
			if wantErr != nil || !reflect.DeepEqual(got, want) || string(out) != "null" {
				t.Errorf("%q is taken for %+v, want %+v, %v", payload, got, want, wantErr)
			}
		} else {
			failure, ok := err.(messages.InvokeResponse_Error) //nolint:errorlint // as the runtime does
			if !ok || failure.Type != "Input.Invalid" || got != nil || out != nil {
				t.Errorf("%q: %v, and the step got %+v", payload, err, got)
			}
			if n := utf8.RuneCountInString(failure.Message); n > 6001 {
				t.Errorf("the message has %d characters", n)
			}
		}
		for line := range strings.Lines(log.String()) {
			if !json.Valid([]byte(line)) {
				t.Errorf("%q: the log has %q", payload, line)
			}
		}
		// A name that nobody knows is quoted: nobody puts the token there.
		at := bytes.Index(payload, []byte(taskToken[:40]))
		if at >= 0 && !asName.Match(payload[at:min(len(payload), at+2*len(taskToken))]) {
			for where, text := range map[string]string{"log": log.String(), "answer": errorText(err)} {
				if strings.Contains(text, taskToken[:40]) {
					t.Errorf("%q: the %s has the task token: %s", payload, where, text)
				}
			}
		}
	})
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestAnErrorWithoutEndIsCut(t *testing.T) {
	o := invoke(t, failsWith(rotation.Errorf("Okta.Invalid", "%s", strings.Repeat("é", 1<<20))), payload(""))
	if want := strings.Repeat("é", 6000) + "…"; o.failure.Message != want || o.failure.Type != "Okta.Invalid" {
		t.Errorf("%s with %d characters, want 6001", o.failure.Type, utf8.RuneCountInString(o.failure.Message))
	}
}
