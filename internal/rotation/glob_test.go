package rotation

import (
	"path"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// Few characters, so that patterns and texts do meet.
func drawPattern(t *rapid.T, name string) string {
	return rapid.StringOfN(rapid.SampledFrom([]rune("aab*?É")), 1, 7, -1).Draw(t, name)
}

// textFor gives a text that the pattern matches.
func textFor(t *rapid.T, pattern string) string {
	letters := rapid.SampledFrom([]rune("abAé[/x"))
	var text strings.Builder
	for _, r := range pattern {
		switch r {
		case '*':
			text.WriteString(rapid.StringOfN(letters, 0, 5, -1).Draw(t, "for *"))
		case '?':
			text.WriteString(rapid.StringOfN(letters, 1, 1, -1).Draw(t, "for ?"))
		default:
			text.WriteRune(r)
		}
	}
	return text.String()
}

func TestGlobMatchesWhatItsWildcardsStandFor(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pattern := drawPattern(t, "pattern")
		if text := textFor(t, pattern); !newGlob(pattern).matches(folded(text)) {
			t.Fatalf("%q does not match %q", pattern, text)
		}
	})
}

func TestGlobMatchesAsThatOfPathDoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pattern := drawPattern(t, "pattern")
		text := rapid.StringOfN(rapid.SampledFrom([]rune("abAé")), 0, 7, -1).Draw(t, "text")
		want, err := path.Match(strings.ToLower(pattern), strings.ToLower(text))
		if err != nil {
			t.Fatal(err)
		}
		if got := newGlob(pattern).matches(folded(text)); got != want {
			t.Fatalf("%q matches %q: %v, want %v", pattern, text, got, want)
		}
	})
}

func TestGlobCoversTheUsualCases(t *testing.T) {
	for _, c := range []struct {
		wide, narrow string
		want         bool
	}{
		{"*", "*", true},
		{"*", "", true},
		{"", "*", true},
		{"", "Salesforce", true},
		{"**", "", true},
		{"?*", "", false},
		{"Salesforce", "", false},
		{"*", "Salesforce*", true},
		{"Sales*", "Salesforce*", true},
		{"sales*", "SALESFORCE EMEA", true},
		{"Salesforce*", "Sales*", false},
		{"Salesforce*", "Salesforce", true},
		{"*EMEA*", "Salesforce EMEA [test]", true},
		{"*EMEA*", "*EMEA", true},
		{"*EMEA", "*EMEA*", false},
		{"*a*", "*a*b*a*", true},
		{"*a*b*a*", "*a*", false},
		{"*?", "?*", true},
		{"?*", "*?", true},
		{"?*", "*a", true},
		{"*?*?*", "??", true},
		{"??", "???", false},
		{"?", "a", true},
		{"a", "?", false},
		{"a?c", "a*c", false},
		{"a*", "*a", false},
		{"*a", "a*", false},
		{"a*b", "a*b*", false},
		{"ab*", "a*b", false},
		{"a*c", "a?c", true},
		{"[a-c]*", "b", false},
		{"É*", "ébène", true},
	} {
		if got := newGlob(c.wide).covers(newGlob(c.narrow)); got != c.want {
			t.Errorf("%q covers %q: %v, want %v", c.wide, c.narrow, got, c.want)
		}
	}
}

// The promise that matters: no rule is called superfluous that is not.
func TestCoveringGlobMatchesAllThatTheOtherMatches(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		wide, narrow := drawPattern(t, "wide"), drawPattern(t, "narrow")
		if rapid.Bool().Draw(t, "related") {
			narrow = textFor(t, wide) + rapid.SampledFrom([]string{"", "*", "?"}).Draw(t, "end")
		}
		if !newGlob(wide).covers(newGlob(narrow)) {
			return
		}
		for range 20 {
			if text := textFor(t, narrow); !newGlob(wide).matches(folded(text)) {
				t.Fatalf("%q does not match %q, which %q matches", wide, text, narrow)
			}
		}
	})
}

// x is in no pattern: enough of it for each * tells the two apart.
func TestGlobThatDoesNotCoverMissesAText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		wide, narrow := drawPattern(t, "wide"), drawPattern(t, "narrow")
		if newGlob(wide).covers(newGlob(narrow)) {
			return
		}
		texts := []string{""}
		for _, r := range string(newGlob(narrow)) {
			var longer []string
			for _, text := range texts {
				switch r {
				case '*':
					for n := range len(wide) + 1 {
						longer = append(longer, text+strings.Repeat("x", n))
					}
				case '?':
					longer = append(longer, text+"x")
				default:
					longer = append(longer, text+string(r))
				}
			}
			texts = longer
		}
		for _, text := range texts {
			if !newGlob(wide).matches(folded(text)) {
				return
			}
		}
		t.Fatalf("%q matches all of %q and is said not to cover it", wide, narrow)
	})
}

func TestGlobsThatWouldTakeTooLongAreNotCovered(t *testing.T) {
	wide := newGlob(strings.Repeat("*a?", 2000))
	narrow := newGlob(strings.Repeat("*?a", 2000) + "b")
	if wide.covers(narrow) {
		t.Error("the longer pattern is covered")
	}
}

func drawMatch(t *rapid.T, name string) match {
	optional := func(field string, values ...string) string {
		return rapid.SampledFrom(append(values, "", "")).Draw(t, name+"."+field)
	}
	m := match{kind: Kind(optional("kind", "app", "idp")), id: optional("id", "1", "2"), kid: optional("kid", "k", "l"), label: optional("label", "*", "a", "a*", "?"), app: optional("name", "*", "b", "?*")}
	return m.compiled()
}

func TestCoveringMatchFitsEveryTargetOfTheOther(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		wide, narrow := drawMatch(t, "wide"), drawMatch(t, "narrow")
		covered := map[Kind]bool{}
		for _, kind := range []Kind{KindApp, KindIDP} {
			covered[kind] = wide.covers(narrow, kind)
		}
		for _, kind := range []Kind{KindApp, KindIDP} {
			appNames := []string{"b", "bb", "x"}
			if kind == KindIDP {
				appNames = []string{""}
			}
			fits := false
			for _, id := range []string{"1", "2", "3"} {
				for _, kid := range []string{"k", "l", "m"} {
					for _, label := range []string{"", "a", "ab", "x"} {
						for _, name := range appNames {
							target := Target{Kind: kind, ID: id, Label: label, Name: name}
							if !narrow.fits(target, folded(label), folded(name), kid) {
								continue
							}
							fits = true
							if covered[kind] && !wide.fits(target, folded(label), folded(name), kid) {
								t.Fatalf("%+v is said to cover %+v, but not %+v with kid %q", wide, narrow, target, kid)
							}
						}
					}
				}
			}
			if narrow.possible(kind) != fits {
				t.Fatalf("%+v is possible for kind %s: %v, but fits some: %v", narrow, kind, !fits, fits)
			}
		}
	})
}

func FuzzGlobCovers(f *testing.F) {
	f.Add("Sales*", "Salesforce*", "Salesforce EMEA")
	f.Add("*a?*", "*?a*b", "xab")
	f.Fuzz(func(t *testing.T, wide, narrow, text string) {
		w, n := newGlob(wide), newGlob(narrow)
		if w.covers(n) && n.matches(folded(text)) && !w.matches(folded(text)) {
			t.Errorf("%q is said to cover %q and does not match %q", wide, narrow, text)
		}
	})
}
