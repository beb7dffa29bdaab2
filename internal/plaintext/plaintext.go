// Package plaintext makes text from outside safe to show: labels, comments,
// names, Okta's error texts. What it gives back shows as it reads: nothing in
// it is invisible, turns the direction of writing, or ends a line unasked. It
// knows no mark-up: HTML, headers and chats escape what they need.
package plaintext

import (
	"strings"
	"unicode"
)

// maxMarks is how many combining marks a character keeps. Scripts need up to
// four; a hundred of them paint over the lines above and below.
const maxMarks = 4

// Line makes one line of at most so many characters. White space and control
// characters become single spaces, those at both ends go. A text that is too
// long ends with an ellipsis.
func Line(s string, most int) string { return clean(s, most, false) }

// Lines is Line for several lines: line breaks of any kind become \n, more than
// one empty line becomes one.
func Lines(s string, most int) string { return clean(s, most, true) }

func clean(s string, most int, breaks bool) string {
	if most <= 0 {
		return ""
	}
	var kept []rune
	newlines, space, marks := 0, false, 0
	afterReturn := false
	for _, r := range s { // what is not UTF-8 comes as U+FFFD
		wasReturn := afterReturn
		afterReturn = r == '\r'
		switch {
		case breaks && isBreak(r):
			if r != '\n' || !wasReturn {
				newlines++
			}
			continue
		case unicode.IsSpace(r) || unicode.IsControl(r) || r == blankBraille:
			space = true
			continue
		case isInvisible(r):
			continue
		case !unicode.IsGraphic(r):
			r = unicode.ReplacementChar
		}
		if unicode.Is(unicode.M, r) {
			if marks++; marks > maxMarks {
				continue
			}
		} else {
			marks = 0
		}
		switch {
		case len(kept) == 0:
		case newlines > 1:
			kept = append(kept, '\n', '\n')
		case newlines == 1:
			kept = append(kept, '\n')
		case space:
			kept = append(kept, ' ')
		}
		newlines, space = 0, false
		if kept = append(kept, r); len(kept) > most {
			break
		}
	}
	if len(kept) > most {
		kept = append(kept[:most-1], '…')
		for i := len(kept) - 2; i >= 0 && (kept[i] == ' ' || kept[i] == '\n'); i-- {
			kept = append(kept[:i], '…')
		}
	}
	return string(kept)
}

// blankBraille is a sign that shows as a space and does not count as one.
const blankBraille = '\u2800'

func isBreak(r rune) bool {
	switch r {
	case '\n', '\r', '\v', '\f', '\u0085', '\u2028', '\u2029':
		return true
	}
	return false
}

// isInvisible tells of characters that leave no trace: the category Cf, with
// the bidirectional controls and marks, zero-width characters and tags, and the
// code points that Unicode calls default-ignorable, with the fillers and
// variation selectors.
func isInvisible(r rune) bool {
	return unicode.In(r, unicode.Cf, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}

// ASCII makes a name for a file or a header: letters and digits in small
// letters, a hyphen for everything between them, at most so many characters.
// It is empty where nothing is left.
func ASCII(s string, most int) string {
	var b strings.Builder
	hyphen := false
	for _, r := range s {
		switch {
		case r >= 'A' && r <= 'Z':
			r += 'a' - 'A'
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
		default:
			hyphen = true
			continue
		}
		if hyphen && b.Len() > 0 {
			if b.Len()+2 > most {
				break
			}
			b.WriteByte('-')
		}
		hyphen = false
		if b.Len()+1 > most {
			break
		}
		b.WriteRune(r)
	}
	return b.String()
}
