package plaintext_test

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"keyturn/internal/plaintext"
)

func TestALineShowsAsItReads(t *testing.T) {
	for in, want := range map[string]string{
		"":                                       "",
		"Salesforce EMEA":                        "Salesforce EMEA",
		"  Žluťák\t&\u00a0 Söhne \n":             "Žluťák & Söhne",
		"A\r\nBcc: all@example.com\u0085\x00":    "A Bcc: all@example.com",
		"gpj.\u202Egp\u202C\u2066x\u2069":        "gpj.gpx",
		"a\u200e\u200f\u061cb":                   "ab",
		"pay\u200bpal\u200c\u200d\u2060\ufeff":   "paypal",
		"x\U000E0041\U000E007Fy\U000E0100\ufe0f": "xy",
		"a\u2028b\u2029c":                        "a b c",
		"a\u3164\u115f\u034fb":                   "ab",
		"a\u2800b":                               "a b",
		"\xff\xfea":                              "\ufffd\ufffda",
		"\ue000\uffff":                           "\ufffd\ufffd",
		"\x1b[31mred\x7f":                        "[31mred",
		"e" + strings.Repeat("\u0301", 50):       "e" + strings.Repeat("\u0301", 4),
		"\u202e\u200b":                           "",
		"日本語 עברית":                              "日本語 עברית",
	} {
		if got := plaintext.Line(in, 100); got != want {
			t.Errorf("%q becomes %q, want %q", in, got, want)
		}
	}
}

func TestLinesKeepTheirBreaks(t *testing.T) {
	for in, want := range map[string]string{
		"one\ntwo":                   "one\ntwo",
		"one\r\ntwo\rthree\u2028 x":  "one\ntwo\nthree\nx",
		"\n\n one \t \n\n\n\n two\n": "one\n\ntwo",
		"a\r\n\r\nb":                 "a\n\nb",
		"a\u200b\nb\x00c":            "a\nb c",
	} {
		if got := plaintext.Lines(in, 100); got != want {
			t.Errorf("%q becomes %q, want %q", in, got, want)
		}
	}
}

func TestWhatIsTooLongEndsWithAnEllipsis(t *testing.T) {
	for most, want := range map[int]string{-1: "", 0: "", 1: "…", 3: "ab…", 4: "ab…", 5: "ab c…", 6: "ab cde"} {
		if got := plaintext.Line("ab cde", most); got != want {
			t.Errorf("cut to %d: %q, want %q", most, got, want)
		}
	}
	if got := plaintext.Lines("ab\n\ncde", 5); got != "ab…" {
		t.Errorf("got %q", got)
	}
}

func TestAFilesNameIsASCII(t *testing.T) {
	for in, want := range map[string]string{
		"Salesforce EMEA":       "salesforce",
		"../../etc/passwd\x00":  "etc-passwd",
		"a\r\nX: \"b\"; c=d":    "a-x-b-c-d",
		"日本語":                   "",
		"--A--":                 "a",
		"abcdefghij klmno":      "abcdefghij",
		"abcdefghijklmnopqrstu": "abcdefghijk",
	} {
		if got := plaintext.ASCII(in, 11); got != want {
			t.Errorf("%q becomes %q, want %q", in, got, want)
		}
	}
}

func FuzzText(f *testing.F) {
	f.Add("Sales\u202eforce\r\nBcc: x", 20)
	f.Add("\xff\x00\u2028\U000E0041e\u0301\u0301\u0301\u0301\u0301\u0301", 3)
	f.Add("a \n \n b", 2)
	f.Fuzz(func(t *testing.T, s string, most int) {
		line, lines, name := plaintext.Line(s, most), plaintext.Lines(s, most), plaintext.ASCII(s, most)
		for _, got := range []string{line, lines} {
			if !utf8.ValidString(got) || utf8.RuneCountInString(got) > max(most, 0) || strings.TrimSpace(got) != got {
				t.Fatalf("%q, cut to %d: %q", s, most, got)
			}
			for _, r := range got {
				if r == '\n' {
					continue
				}
				if !unicode.IsGraphic(r) || unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Co, unicode.Cs) || unicode.IsSpace(r) && r != ' ' {
					t.Fatalf("%q shows %U: %q", s, r, got)
				}
			}
		}
		if strings.ContainsAny(line, "\n") || strings.Contains(line, "  ") || strings.Contains(lines, "\n\n\n") || strings.Contains(lines, " \n") {
			t.Fatalf("%q: %q, %q", s, line, lines)
		}
		if again := plaintext.Line(line, most); again != line {
			t.Fatalf("%q becomes %q, and that %q", s, line, again)
		}
		if again := plaintext.Lines(lines, most); again != lines {
			t.Fatalf("%q becomes %q, and that %q", s, lines, again)
		}
		if len(name) > max(most, 0) || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" || strings.Trim(name, "-") != name {
			t.Fatalf("%q makes the name %q", s, name)
		}
	})
}
