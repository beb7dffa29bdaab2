package main

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"keyturn/internal/partner"
)

// sample is a lane with a sign-in every 50 ms: an o for one that works, an x for
// one that fails, a letter more for what happens then, just after it: u for the
// upload, s for the switch, b for the switch back.
func sample(fails, text string) *lane {
	l := &lane{label: "Salesforce <EMEA>", kind: "app", order: "before-switch", partner: "two certificates", fails: fails}
	at := time.Unix(0, 0)
	l.line.Began = at
	for _, c := range text {
		switch c {
		case 'o', 'x':
			a := partner.Attempt{Began: at.Add(40 * time.Millisecond), Ended: at.Add(43 * time.Millisecond)}
			if c == 'x' {
				a.Err = errors.New("Could not verify certificate")
			}
			l.line.Attempts = append(l.line.Attempts, a)
			at = at.Add(every)
		default:
			l.marks = append(l.marks, partner.Mark{At: at, Name: map[rune]string{'u': "upload", 's': "switch", 'b': "switch back"}[c]})
		}
	}
	l.line.Ended = at
	return l
}

func TestTheDemoFailsWhereSignInsFailAndMustNot(t *testing.T) {
	for _, c := range []struct {
		name, fails, text string
		wrong             string // part of what is told, "" where all is well
	}{
		{"two certificates", "", "oooouoooosooo", ""},
		{"two certificates, one failure", "", "oooouoxoosooo", `failed in "upload → switch", and were to fail in ""; the first: Could not verify certificate`},
		{"two certificates, a failure after the switch", "", "oooouoooosoxo", `failed in "switch → end"`},
		{"two certificates, a failure before all of it", "", "oxoouoooosooo", `failed in "start → upload"`},
		{"one certificate", "upload → switch", "oooouxxxxsooo", ""},
		{"one certificate, and nobody noticed", "upload → switch", "oooouoooosooo", `failed in "", and were to fail in "upload → switch"`},
		{"one certificate, and it fails on", "upload → switch", "oooouxxxxsxxo", `failed in "upload → switch, switch → end"`},
		{"after-switch", "switch → upload", "oooosxxxxuooo", ""},
		{"the way back", "switch → switch back", "oooosxxxxbooo", ""},
		{"nobody looked at what counts", "", "oooousooo", "nobody signed in through the partner with two certificates between upload and switch"},
		{"nothing happens", "", "ooooo", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := strings.Join(sample(c.fails, c.text).wrong(), "\n")
			if c.wrong == "" && got != "" || !strings.Contains(got, c.wrong) {
				t.Errorf("wrong is %q; want %q", got, c.wrong)
			}
		})
	}
}

func TestTheTableSaysWhenSignInsFailed(t *testing.T) {
	var out strings.Builder
	s := &screen{out: &out}
	s.signIns([][]*lane{{sample("", "oouooooso"), sample("", "oouxxooso")}, {sample("upload → switch", "oouxxxxso")}})
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	for i, want := range [][]string{
		{"✔ Salesforce", "two certificates", " 7 ", " 0 ", "–"},
		{"✘ Salesforce", " 7 ", " 2 ", "upload → switch, 0.20 s"},
		{"✔ Salesforce", " 7 ", " 4 ", "0.25 s", "upload → switch, 0.20 s"},
	} {
		for _, text := range want {
			if line := lines[len(lines)-3+i]; !strings.Contains(line, text) {
				t.Errorf("no %q in %q", text, line)
			}
		}
	}
}

func TestThePlotHasEverySignIn(t *testing.T) {
	lanes := []*lane{sample("", "oouoooosoo"), sample("", "oouxxxxsoo"), sample("", "oooo")}
	text := string(draw(lanes))
	names := 0
	strokes := map[string]int{}
	for d := xml.NewDecoder(strings.NewReader(text)); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("the plot is no XML: %v", err)
		}
		switch token := token.(type) {
		case xml.CharData:
			if string(token) == "Salesforce <EMEA>" {
				names++
			}
		case xml.StartElement:
			attributes := map[string]string{}
			for _, a := range token.Attr {
				attributes[a.Name.Local] = a.Value
			}
			strokes[attributes["class"]] += strings.Count(attributes["d"], "M")
		}
	}
	if names != len(lanes) {
		t.Errorf("%d lanes have their name, not %d", names, len(lanes))
	}
	// The legend has three, two and one besides.
	for class, want := range map[string]int{"good": 3 + 8 + 4 + 4, "bad": 2 + 4, "mark": 1 + 4} {
		if strokes[class] != want {
			t.Errorf("%d strokes of %q, not %d", strokes[class], class, want)
		}
	}
	if !strings.Contains(text, "4 of 8 sign-ins failed, upload → switch, 0.20 s") {
		t.Error("the plot has no summary in words")
	}
}
