package rotation

import "strings"

// glob is a pattern in which * stands for any text and ? for one character;
// nothing else has a meaning, since labels do hold brackets and backslashes.
// Case makes no difference. A nil glob is a field that no one asked for.
type glob []rune

func newGlob(pattern string) glob {
	if pattern == "" {
		return nil
	}
	var g glob
	for _, r := range strings.ToLower(pattern) {
		if r != '*' || len(g) == 0 || g[len(g)-1] != '*' {
			g = append(g, r)
		}
	}
	return g
}

// folded is a text as matches takes it.
func folded(text string) []rune { return []rune(strings.ToLower(text)) }

// matches tells whether the whole text fits. It goes back to the last * only,
// which is enough: an earlier one could take no text that the last cannot.
func (g glob) matches(text []rune) bool {
	if g == nil {
		return true
	}
	at, star, resume := 0, -1, 0
	for i := 0; i < len(text); {
		switch {
		case at < len(g) && g[at] == '*':
			star, resume = at, i
			at++
		case at < len(g) && (g[at] == '?' || g[at] == text[i]):
			at++
			i++
		case star >= 0:
			resume++
			at, i = star+1, resume
		default:
			return false
		}
	}
	for at < len(g) && g[at] == '*' {
		at++
	}
	return at == len(g)
}

// anyRune stands for a character that no pattern names.
const anyRune rune = -1

// coverEffort bounds covers for patterns with very many stars.
const coverEffort = 1 << 20

// covers tells whether g matches every text that h matches. When that would
// take too long to find out, it says no.
//
// It follows h with the set of places in g that the text so far can have led
// to. What a wildcard of h stands for may be anything, so only the wildcards of
// g can take it, and one character that g does not name is enough to try.
func (g glob) covers(h glob) bool {
	if g == nil {
		return true
	}
	if h == nil {
		h = glob{'*'}
	}
	if !g.matches(h.shortest()) {
		return false // The usual case, found out fast.
	}
	effort := coverEffort
	type point struct {
		places string
		at     int
	}
	seen := map[point]bool{}
	var rest func(places []byte, at int) bool
	rest = func(places []byte, at int) bool {
		if at == len(h) {
			return places[len(g)] == 1
		}
		here := point{string(places), at}
		if seen[here] {
			return true
		}
		seen[here] = true
		if effort -= len(places); effort < 0 {
			return false
		}
		switch h[at] {
		case '*':
			// Nothing, one character, two, …, until one more changes nothing.
			for {
				if !rest(places, at+1) {
					return false
				}
				next := g.step(places, anyRune)
				if string(next) == string(places) {
					return true
				}
				if effort -= len(places); effort < 0 {
					return false
				}
				places = next
			}
		case '?':
			return rest(g.step(places, anyRune), at+1)
		default:
			return rest(g.step(places, h[at]), at+1)
		}
	}
	start := make([]byte, len(g)+1)
	start[0] = 1
	g.skipStars(start)
	return rest(start, 0)
}

// shortest is the shortest text that g matches.
func (g glob) shortest() []rune {
	text := make([]rune, 0, len(g))
	for _, r := range g {
		switch r {
		case '*':
		case '?':
			text = append(text, anyRune)
		default:
			text = append(text, r)
		}
	}
	return text
}

// step gives the places in g after one more character.
func (g glob) step(places []byte, r rune) []byte {
	next := make([]byte, len(places))
	for i, p := range g {
		switch {
		case places[i] == 0:
		case p == '*':
			next[i] = 1
		case p == '?' || p == r:
			next[i+1] = 1
		}
	}
	g.skipStars(next)
	return next
}

// skipStars adds the places behind a *, which may stand for nothing.
func (g glob) skipStars(places []byte) {
	for i, p := range g {
		if places[i] == 1 && p == '*' {
			places[i+1] = 1
		}
	}
}
