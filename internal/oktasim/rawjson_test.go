package oktasim

import (
	"encoding/json"
	"testing"
)

func TestRawEditsKeepEveryOtherByte(t *testing.T) {
	const doc = ` { "a" : 1.0 , "b":{"x":[1e3, {"y":"}\"\\"}],"z":12345678901234567890},"caf\u00e9":"\/" , "n":null } `
	for _, c := range []struct {
		name string
		got  []byte
		want string
	}{
		{"set in place", setMember([]byte(doc), "a", []byte(`2`)), ` { "a" : 2 , "b":{"x":[1e3, {"y":"}\"\\"}],"z":12345678901234567890},"caf\u00e9":"\/" , "n":null } `},
		{"set by an escaped name", setMember([]byte(doc), "café", []byte(`"x"`)), ` { "a" : 1.0 , "b":{"x":[1e3, {"y":"}\"\\"}],"z":12345678901234567890},"caf\u00e9":"x" , "n":null } `},
		{"append", setMember([]byte(`{"a":1}`), "b<", []byte(`[ ]`)), `{"a":1,"b\u003c":[ ]}`},
		{"append to nothing", setMember([]byte(`{ }`), "a", []byte(`1`)), `{ "a":1}`},
		{"set a path", setPath([]byte(doc), []byte(`0`), "b", "z"), ` { "a" : 1.0 , "b":{"x":[1e3, {"y":"}\"\\"}],"z":0},"caf\u00e9":"\/" , "n":null } `},
		{"create a path", setPath([]byte(`{"n":null}`), []byte(`0`), "n", "m", "o"), `{"n":{"m":{"o":0}}}`},
		{"remove the first", removeMember([]byte(`{"a":1, "b":2}`), "a"), `{"b":2}`},
		{"remove the last", removeMember([]byte(`{"a":1, "b":{"c":[]}}`), "b"), `{"a":1}`},
		{"remove the only one", removeMember([]byte(`{"a":"}"}`), "a"), `{}`},
		{"remove nothing", removeMember([]byte(`{"a":1}`), "b"), `{"a":1}`},
		{"merge", merge([]byte(`{"a":{"b":1.0,"c":[1]},"d":"\u00e9"}`), []byte(`{"a":{"c":{},"e":1e3},"f":"\/"}`)), `{"a":{"b":1.0,"c":{},"e":1e3},"d":"\u00e9","f":"\/"}`},
	} {
		if string(c.got) != c.want || !json.Valid(c.got) {
			t.Errorf("%s:\n got %s\nwant %s", c.name, c.got, c.want)
		}
	}
	if got := string(lookup([]byte(doc), "b", "x")); got != `[1e3, {"y":"}\"\\"}]` {
		t.Errorf("lookup b.x: %s", got)
	}
	if got := lookup([]byte(doc), "a", "b"); got != nil {
		t.Errorf("lookup below a number: %s", got)
	}
	if got := elements([]byte(`[ 1 ,[2,"]"], {} ]`)); len(got) != 3 || string(got[1]) != `[2,"]"]` {
		t.Errorf("elements: %q", got)
	}
}

// The scanner must agree with encoding/json on everything that is JSON.
func FuzzRawJSON(f *testing.F) {
	f.Add(`{"a":1,"b":{"c":[true,null,"\\\""]}}`, "a")
	f.Add(` {"":{}} `, "")
	f.Fuzz(func(t *testing.T, text, name string) {
		if checkObject([]byte(text)) != nil {
			return
		}
		var want map[string]json.RawMessage
		if err := json.Unmarshal([]byte(text), &want); err != nil {
			t.Fatalf("checkObject accepts %q: %v", text, err)
		}
		if got := members([]byte(text)); len(got) != len(want) {
			t.Fatalf("%d members of %q, want %d", len(got), text, len(want))
		}
		for n, raw := range want {
			if got := lookup([]byte(text), n); string(got) != string(raw) {
				t.Errorf("lookup %q in %q: %q, want %q", n, text, got, raw)
			}
		}
		set := setMember([]byte(text), name, []byte(`{"x":1}`))
		removed := removeMember(set, name)
		if !json.Valid(set) || !json.Valid(removed) {
			t.Errorf("set %q, removed %q", set, removed)
		}
	})
}
