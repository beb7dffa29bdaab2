package jsonata_test

import (
	"encoding/json"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"keyturn/test/asl/jsonata"
)

// variables are those of the expressions below.
const variables = `{
	"none": null,
	"key": {"kid": "k1", "notAfter": null},
	"list": [{"kid": "k1", "days": 10}, {"kid": "k2", "days": 200}],
	"one": [{"kid": "k1"}],
	"empty": [],
	"asks": [{"until": 3600, "escalate": false}, {"until": 7200, "escalate": true}, {"until": 90000, "escalate": false}],
	"round": 1, "since": 3600, "flag": true, "text": "Ünïcode",
	"nested": {"a": [{"b": [1, 2]}, {"b": [3]}], "c": {"b": 4}}
}`

const nothing = "nothing"

func evaluate(t *testing.T, expression string) (any, bool, error) {
	t.Helper()
	x, err := jsonata.Compile(expression)
	if err != nil {
		t.Fatalf("%s: %v", expression, err)
	}
	var bound map[string]any
	if err := json.Unmarshal([]byte(variables), &bound); err != nil {
		t.Fatal(err)
	}
	return x.Eval(func(name string) (any, bool) { v, ok := bound[name]; return v, ok })
}

// What the language's documentation and its reference implementation say
// (docs.jsonata.org; jsonata-js 2.0.6).
func TestExpressionsMeanWhatTheLanguageSays(t *testing.T) {
	for expression, want := range map[string]string{
		// null is a value, and not the same as none.
		`$none = null`:             `true`,
		`$key.notAfter = null`:     `true`,
		`$key.missing = null`:      `false`,
		`$key.missing != null`:     `false`,
		`$exists($none)`:           `true`,
		`$exists($key.missing)`:    `false`,
		`$missing`:                 nothing,
		`$none ? 1 : 2`:            `2`,
		`{'a': null, 'b': $no}`:    `{"a": null}`,
		`[null, $no, [], [1]]`:     `[null, [], [1]]`,
		`null in [1, null]`:        `true`,
		`$type(null)`:              `"null"`,
		`$not(null)`:               `true`,
		`$not($no)`:                nothing,
		`$no and true`:             `false`,
		`$flag or $error('never')`: `true`,
		`$no < 1`:                  nothing,
		`$no + 1`:                  nothing,
		`'a' & $no & 1 & null`:     `"a1null"`,

		// Sequences: one is itself, none is nothing, arrays in paths are joined.
		`$list.kid`:             `["k1", "k2"]`,
		`$one.kid`:              `"k1"`,
		`$one[0]`:               `{"kid": "k1"}`,
		`$one.kid[]`:            `["k1"]`,
		`$empty`:                `[]`,
		`$empty.kid`:            nothing,
		`[$empty.kid]`:          `[]`,
		`[$one.kid]`:            `["k1"]`,
		`[$list, $one].kid`:     `["k1", "k2", "k1"]`,
		`$list[days > 100].kid`: `"k2"`,
		`$list[kid = 'k3']`:     nothing,
		`$list[-1].kid`:         `"k2"`,
		`$list[$round].kid`:     `"k2"`,
		`$list[[0, 1]].kid`:     `["k1", "k2"]`,
		`$nested.a.b`:           `[1, 2, 3]`,
		`$nested.a[0].b`:        `[1, 2]`,
		`$nested.a.b[0]`:        `[1, 3]`,
		`($nested.a.b)[0]`:      `1`,
		`$nested.*.b`:           `[1, 2, 3, 4]`,
		`$count($nested.**.b)`:  `4`,
		`$list.{'id': kid}`:     `[{"id": "k1"}, {"id": "k2"}]`,
		`$list.[kid]`:           `[["k1"], ["k2"]]`,
		`$list{kid: days}`:      `{"k1": 10, "k2": 200}`,
		`$list^(>days).kid`:     `["k2", "k1"]`,
		`$map($one, function($k) { {'id': $k.kid} })`:     `{"id": "k1"}`,
		`[$map($one, function($k) { {'id': $k.kid} })]`:   `[{"id": "k1"}]`,
		`$map($empty, function($k) { $k })`:               nothing,
		`$filter($list, function($k, $i) { $i = 1 }).kid`: `"k2"`,
		`$reduce([1..4], function($a, $b) { $a * $b })`:   `24`,

		// Numbers stay what they are in JSON.
		`$max([60, $asks[$round].until - $since])`:                                                   `3600`,
		`$floor(($toMillis('2026-03-01T12:00:01.999Z') - $toMillis('2026-03-01T12:00:00Z')) / 1000)`: `1`,
		`$count($asks[until - 3600 <= 3600])`:                                                        `2`,
		`7 / 2`:                                                                                      `3.5`,
		`-$round`:                                                                                    `-1`,
		`7 % 4`:                                                                                      `3`,
		`$string(3600.0)`:                                                                            `"3600"`,
		`$string(1/3)`:                                                                               `"0.333333333333333"`,
		`$min([])`:                                                                                   nothing,
		`$sum([])`:                                                                                   `0`,
		`$number('1.50')`:                                                                            `1.5`,

		// Objects and functions.
		`$merge([{'step': 'A', 'x': 1}, $key])`:                        `{"step": "A", "x": 1, "kid": "k1", "notAfter": null}`,
		`$merge([{'a': 1}, $no])`:                                      `{"a": 1}`,
		`$sift($key, function($v, $k) { $k = 'x' })`:                   nothing,
		`$sift($key, function($v, $k) { $k = 'kid' })`:                 `{"kid": "k1"}`,
		`$lookup($key, 'kid')`:                                         `"k1"`,
		`$lookup({'a': 'b'}, 'c')`:                                     nothing,
		`$keys($key)`:                                                  `["kid", "notAfter"]`,
		`$string({'a': [1, null, 'x<y']})`:                             `"{\"a\":[1,null,\"x<y\"]}"`,
		`$parse('{"a": [1, null]}').a`:                                 `[1, null]`,
		`($f := function($n) { $n < 1 ? 0 : $n + $f($n - 1) }; $f(4))`: `10`,
		`($x := 1; ($x := 2); $x)`:                                     `1`,
		`$text ~> $uppercase ~> $length`:                               `7`,
		`$substring($text, 0, 3)`:                                      `"Ünï"`,
		`$substring($text, -2)`:                                        `"de"`,
		`$substring($no, 0, 1)`:                                        nothing,
		`$contains('a{"b"}', '"b"')`:                                   `true`,
		`$key.kid in $list.kid`:                                        `true`,
		`$key = {'notAfter': null, 'kid': 'k1'}`:                       `true`,
		`'k1' in $one.kid`:                                             `true`,
		`$fromMillis(0)`:                                               `"1970-01-01T00:00:00.000Z"`,
		`$split('a, b', ', ')`:                                         `["a", "b"]`,
		`$join(['a', 'b'], '-')`:                                       `"a-b"`,
		`$append(1, [2])`:                                              `[1, 2]`,
		`$distinct([1, 1, 2])`:                                         `[1, 2]`,
	} {
		got, defined, err := evaluate(t, expression)
		switch {
		case err != nil:
			t.Errorf("%s: %v", expression, err)
		case want == nothing:
			if defined {
				t.Errorf("%s: got %v, want nothing", expression, got)
			}
		case !defined:
			t.Errorf("%s: got nothing, want %s", expression, want)
		default:
			var w any
			if err := json.Unmarshal([]byte(want), &w); err != nil {
				t.Fatalf("%s: %v", expression, err)
			}
			if diff := cmp.Diff(w, got); diff != "" {
				t.Errorf("%s (- want, + got):\n%s", expression, diff)
			}
		}
	}
}

func TestMistakesInAnExpressionAreErrors(t *testing.T) {
	for expression, code := range map[string]string{
		`$text + 1`:                      "T2001",
		`1 - $none`:                      "T2002",
		`$none < 1`:                      "T2010",
		`$text > 1`:                      "T2009",
		`$merge([$key, 1])`:              "T0412",
		`$max(['a'])`:                    "T0412",
		`$toMillis('yesterday')`:         "D3110",
		`$parse('{')`:                    "D3120",
		`$error('stop')`:                 "D3137",
		`{$none: 1}`:                     "T1003",
		`{'a': 1, 'a': 2}`:               "D1009",
		`$round / 0`:                     "D1001",
		`$substring($key, 0)`:            "T0410",
		`$number('much')`:                "D3030",
		`-$text`:                         "D1002",
		`function($x) { $x }`:            "T1006",
		`($f := 1; $f())`:                "T1006",
		`[1..1.5]`:                       "T2004",
		`$count()`:                       "T0410",
		`$text ~> $round`:                "T2006",
		`$lookup($key, 1)`:               "T0410",
		`$reduce([1], function($a) {1})`: "D3050",
	} {
		_, _, err := evaluate(t, expression)
		var failed *jsonata.Error
		if !asError(err, &failed) || failed.Code != code {
			t.Errorf("%s: got %v, want %s", expression, err, code)
		}
	}
}

func asError(err error, into **jsonata.Error) bool {
	e, ok := err.(*jsonata.Error) //nolint:errorlint // Eval gives it as it is
	*into = e
	return ok
}

func TestWhatIsNotKnownIsRefusedBeforeItIsEvaluated(t *testing.T) {
	for expression, want := range map[string]string{
		`$eval('1')`:            "no function $eval",
		`$kye.kid & $strin(1)`:  "no function $strin",
		`$list[kid = /k/]`:      "not supported",
		`$list ~> |$|{'a': 1}|`: "not supported",
		`$substring(?, 1)`:      "not supported",
		`function($x)<n:n>{$x}`: "not supported",
		`$$.target`:             "$states.input",
		`$list@$k.kid`:          "not supported",
		`$list.kid#$i`:          "not supported",
		`$x := 1`:               "outside a block",
		`(1`:                    "",
	} {
		if _, err := jsonata.Compile(expression); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", expression, err, want)
		}
	}
}

func TestTheVariablesFromOutsideAreKnown(t *testing.T) {
	x, err := jsonata.Compile(`($a := $b; $f := function($c) { $c & $a & $d.e[$g > 1] & $count($h) }; $f($states.input))`)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"b", "d", "g", "h", "states"}, x.Free()); diff != "" {
		t.Error(diff)
	}
}

// The race detector looks on.
func TestOneExpressionServesManyGoroutines(t *testing.T) {
	x, err := jsonata.Compile(`($f := function($n) { $n * $round }; $merge([{'n': $map([1..3], $f)}, {'s': $substring($text, 0, 1) & $string($round)}]))`)
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for n := range 20 {
		all.Go(func() {
			got, _, err := x.Eval(func(name string) (any, bool) {
				v, ok := map[string]any{"round": float64(n), "text": "abc"}[name]
				return v, ok
			})
			want := map[string]any{"n": []any{float64(n), float64(2 * n), float64(3 * n)}, "s": "a" + jsonNumber(n)}
			if diff := cmp.Diff(want, got); err != nil || diff != "" {
				t.Errorf("%v %s", err, diff)
			}
		})
	}
	all.Wait()
}

func jsonNumber(n int) string {
	text, _ := json.Marshal(n)
	return string(text)
}
