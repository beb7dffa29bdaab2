package scan

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"keyturn/internal/inventory"
	"keyturn/internal/oktasim"
	"keyturn/internal/rotation"
)

var fuzzNow = time.Date(2026, 3, 1, 6, 0, 0, 0, time.UTC)

// Whatever the bucket has for the memory: a line counts only with its sum, what
// counts can be read again, and everything else is reported.
func FuzzMemory(f *testing.F) {
	line := func(raw string) string {
		sum := sha256.Sum256([]byte(raw))
		return hex.EncodeToString(sum[:])[:32] + " " + raw + "\n"
	}
	good := line(`{"kid":"a","notBefore":"2025-01-01T00:00:00Z","notAfter":"2027-01-01T00:00:00Z","issuer":"CN=x","askedAt":"2026-01-01T00:00:00Z"}`)
	for _, object := range []string{
		good, good + good, strings.Replace(good, "2027", "2037", 1), good[:50], "\n\n" + good, strings.TrimSpace(good), line(`{"kid":7}`), line(`{"kid":"a","notAfter":"x"}`), line(`{"kid":"a","kid":"b"}`),
		line(`{"kid":"a","problem":{"name":"x"},"askedAt":"2026-01-01T00:00:00Z"}`) + line(`{"kid":"a","problem":{"name":"y"},"askedAt":"2026-02-01T00:00:00Z"}`) + good, line(`{"kid":"a","problem":7}`), line(`null`), line(`[]`), line(``),
		line(`{"kid":"a","passing":true,"problem":{"name":"x"},"askedAt":"2020-01-01T00:00:00Z"}`), line(`{"kid":"a","tried":[{"name":"x"}],"again":true}`), `{"run":"r","spent":{"calls":7}}` + "\n" + good, "\x00\xff", strings.Repeat("x", 70000) + "\n" + good,
		line(`{"KID":"a"}`), line(`{"kid":"a\ud800"}`), line("{\"kid\":\"a\xff\"}"),
	} {
		f.Add([]byte(object), false)
		f.Add([]byte(object), true)
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, object []byte, chunk bool) {
		facts, err := newSpool(dir)
		if err != nil {
			t.Fatal(err)
		}
		m := &memory{facts: facts, known: map[digest]known{}, since: fuzzNow}
		defer m.close()
		var head *chunkHead
		if chunk {
			head = &chunkHead{}
		}
		if err := m.read("memory/kids.jsonl", io.NopCloser(bytes.NewReader(object)), head); err != nil {
			t.Fatalf("%q: %v", object, err)
		}
		sums, broken := map[string]bool{}, 0
		for i, l := range bytes.Split(object, []byte("\n")) {
			l = bytes.TrimSpace(l)
			if len(l) == 0 || (i == 0 && chunk) {
				continue
			}
			sum, raw, _ := bytes.Cut(l, []byte(" "))
			want := sha256.Sum256(raw)
			var one fact
			if string(sum) == hex.EncodeToString(want[:])[:32] && json.Unmarshal(raw, &one) == nil {
				sums[one.Kid] = true
			} else {
				broken++
			}
		}
		if len(m.damaged) < broken || len(m.known) > len(sums) || (len(m.damaged) > 0 && !m.changed) {
			t.Errorf("%q: %d lines are damaged, want at least %d; %d kids are known, want %d at most", object, len(m.damaged), broken, len(m.known), len(sums))
		}
		for _, p := range m.damaged {
			if p.Name != "Memory.Damaged" || len(p.Message) > 300 {
				t.Errorf("the problem is %+v", p)
			}
		}
		count := 0
		for one, err := range m.all(nil) {
			if err != nil {
				t.Fatalf("%q: what was taken cannot be read again: %v", object, err)
			}
			count++
			if again, known, err := m.fact(one.Kid); err != nil || !known || again.Kid != one.Kid || !sums[one.Kid] {
				t.Errorf("%q: %q is known as %+v, %v", object, one.Kid, again, err)
			}
		}
		if count != len(m.known) {
			t.Errorf("%q: %d facts for %d kids", object, count, len(m.known))
		}
	})
}

// Whatever Okta lists: a target can exist and is of a kind that signs, what is
// said of it is short, and everything can be written down.
func FuzzListed(f *testing.F) {
	org := oktasim.New(oktasim.Options{APIToken: "x", Now: func() time.Time { return fuzzNow }})
	d := org.SeedDemo()
	key := oktasim.NewKey(oktasim.KeySpec{Kid: "k", Created: fuzzNow})
	trust, err := json.Marshal(map[string]any{"kid": "k", "x5c": []string{key.X5C}, "created": fuzzNow})
	if err != nil {
		f.Fatal(err)
	}
	for _, item := range []string{
		string(org.Document("app", d.BeforeSwitchApp)), string(org.Document("idp", d.IDP)), string(trust), `{"kid":"k","x5c":["!"]}`, `{"kid":"k","x5c":[]}`, `{"kid":""}`, `{"kid":7}`, `null`, `[]`, `7`, `"x"`,
		`{"id":"../x","signOnMode":"SAML_2_0","type":"SAML2","label":"` + strings.Repeat("é", 300) + `"}`, `{"id":"0oa1","signOnMode":"SAML_2_0","type":"SAML2","status":7,"credentials":{"signing":{"kid":{"a":1}}}}`,
		`{"id":"0oa1","type":"SAML2","protocol":{"credentials":{"trust":{"kid":"a","additionalKids":["b",7,null,{"x":1}]}}}}`, `{"id":"0oa1","type":"SAML2","protocol":{"credentials":{"trust":[{"kid":"a"}]}}}`, `{"id":"0oa1","signOnMode":["SAML_2_0"]}`,
	} {
		for which := range byte(3) {
			f.Add([]byte(item), which)
		}
	}
	lists := []listOf{appsList, idpsList, trustList}
	r := &run{Apps: Apps{Now: func() time.Time { return fuzzNow }}}
	f.Fuzz(func(t *testing.T, item []byte, which byte) {
		var raw json.RawMessage
		if json.Unmarshal(item, &raw) != nil {
			return // a page of it is none
		}
		l := lists[int(which)%len(lists)]
		found, err := l.row(r, raw)
		if err != nil {
			if rotation.NameOf(err) != "Okta.Invalid" || len(err.Error()) > 1500 {
				t.Errorf("%q: %v", item, err)
			}
			return
		}
		if found == nil {
			return
		}
		if found.Fact != nil {
			if (found.Fact.Problem == nil) == found.Fact.NotAfter.IsZero() || !strings.HasPrefix(found.Fact.Kid, trustPrefix) {
				t.Errorf("%q is taken for %+v", item, found.Fact)
			}
		} else {
			signs := []string{"SAML2"}
			if l.kind == rotation.KindApp {
				signs = []string{"SAML_2_0", "SAML_1_1", "WS_FEDERATION"}
			}
			if err := found.Target.Validate(); err != nil || found.Target.Kind != l.kind || !slices.Contains(signs, found.Protocol) {
				t.Errorf("%q is taken for %+v: %v", item, found, err)
			}
			for _, text := range []string{found.Target.Label, found.Target.Name, found.Status, found.Kid} {
				if len(text) > 300 {
					t.Errorf("a text of %d bytes", len(text))
				}
			}
		}
		var line bytes.Buffer
		if err := inventory.WriteLine(&line, found); err != nil || bytes.Count(line.Bytes(), []byte("\n")) != 1 {
			t.Errorf("%q is written as %q: %v", item, line.Bytes(), err)
		}
	})
}
