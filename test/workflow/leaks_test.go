package workflow

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"maps"
	"math/rand/v2"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// shortest is how much of a secret counts as it: so many characters of one of
// its forms, one after another.
const shortest = 16

// finder finds secrets in texts: whole or in part, as they are, in base64, in
// hex, and as JSON, HTML and URLs have them.
//
// Each form is cut into blocks of eight bytes. Wherever a text has 16
// characters of a form, it has one of these whole; what is found so is looked at
// to its left and right.
type finder struct {
	forms  []form
	blocks map[uint64][]spot
	// few tells of most texts that they have no block at a place.
	few []uint64
}

type form struct{ secret, kind, text string }

// spot is where in a form a block begins.
type spot struct{ form, at int }

const (
	blockSize = shortest / 2
	fewBits   = 1 << 24
)

// hash spreads a block over the bits of few.
func hash(block uint64) uint64 { return block * 0x9e3779b97f4a7c15 >> 40 }

// found is a part of a secret in a text.
type found struct {
	secret, kind string
	at, length   int
}

// newFinder looks for secrets, each by its name. Those that are shorter than 16
// characters it cannot tell from other words.
func newFinder(secrets map[string]string) *finder {
	f := &finder{blocks: map[uint64][]spot{}, few: make([]uint64, fewBits/64)}
	for name, secret := range secrets {
		if len(secret) < shortest {
			continue
		}
		for kind, text := range forms(secret) {
			f.forms = append(f.forms, form{name, kind, text})
			for at := 0; at+blockSize <= len(text); at += blockSize {
				block := pack(text[at : at+blockSize])
				f.blocks[block] = append(f.blocks[block], spot{len(f.forms) - 1, at})
				bit := hash(block)
				f.few[bit/64] |= 1 << (bit % 64)
			}
		}
	}
	return f
}

func pack(eight string) (block uint64) {
	for i := range blockSize {
		block = block<<8 | uint64(eight[i])
	}
	return block
}

// forms are a secret's, each once.
func forms(secret string) map[string]string {
	asJSON := func(text string) string {
		quoted, _ := json.Marshal(text)
		return string(quoted[1 : len(quoted)-1])
	}
	all := map[string]string{
		"plain":                  secret,
		"escaped for URLs":       url.QueryEscape(secret),
		"escaped for JSON":       asJSON(secret),
		"escaped for JSON twice": asJSON(asJSON(secret)),
		"escaped for HTML":       html.EscapeString(secret),
		"in hex":                 hex.EncodeToString([]byte(secret)),
		"in capital hex":         strings.ToUpper(hex.EncodeToString([]byte(secret))),
	}
	for name, encoding := range map[string]*base64.Encoding{"base64": base64.RawStdEncoding, "base64url": base64.RawURLEncoding} {
		for before := range 3 {
			// What it is after so many bytes of something else, without the
			// characters that hold bits of that or of what follows.
			text := encoding.EncodeToString(append(make([]byte, before), secret...))
			whole := (before + len(secret)) / 3 * 4
			all[fmt.Sprintf("%s after %d bytes", name, before)] = text[[]int{0, 2, 3}[before]:whole]
		}
	}
	seen := map[string]bool{}
	for _, kind := range slices.Backward(slices.Sorted(maps.Keys(all))) {
		if seen[all[kind]] {
			delete(all, kind)
			continue
		}
		seen[all[kind]] = true
	}
	return all
}

// in finds the secrets in a text, the longest part of each form.
func (f *finder) in(text string) []found {
	longest := map[int]found{}
	var block uint64
	for i := range len(text) {
		block = block<<8 | uint64(text[i])
		bit := hash(block)
		if f.few[bit/64]&(1<<(bit%64)) == 0 || i+1 < blockSize {
			continue
		}
		for _, s := range f.blocks[block] {
			this := f.around(text, i+1-blockSize, s)
			if this.length >= shortest && this.length > longest[s.form].length {
				longest[s.form] = this
			}
		}
	}
	var all []found
	for _, one := range longest {
		all = append(all, one)
	}
	return all
}

func (f *finder) around(text string, at int, s spot) found {
	whole := f.forms[s.form]
	left, right := 0, blockSize
	for at-left > 0 && s.at-left > 0 && text[at-left-1] == whole.text[s.at-left-1] {
		left++
	}
	for at+right < len(text) && s.at+right < len(whole.text) && text[at+right] == whole.text[s.at+right] {
		right++
	}
	return found{whole.secret, whole.kind, at - left, left + right}
}

// looks is how a secret looks, whoever's it is.
type looks struct {
	// hints are in every text that has one: most texts have none, and reading
	// all of them by pattern would take minutes.
	hints   []string
	pattern *regexp.Regexp
	// counts tells a hit from an accident; nil where there is none.
	counts func(text string, at int) bool
}

func (l looks) in(text string) (all [][]int) {
	if !slices.ContainsFunc(l.hints, func(hint string) bool { return strings.Contains(text, hint) }) {
		return nil
	}
	for _, at := range l.pattern.FindAllStringIndex(text, -1) {
		if l.counts == nil || l.counts(text, at[0]) {
			all = append(all, at)
		}
	}
	return all
}

// isPath tells a path from three characters in the middle of base64: it begins a
// word, or a host is before it.
func isPath(text string, at int) bool {
	before := text[max(0, at-120):at]
	if before == "" || !strings.ContainsAny(before[len(before)-1:], "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/") {
		return true
	}
	return strings.Contains(before[strings.LastIndexAny(before, " \n\"'<>()=,;\\")+1:], "://")
}

var lookalikes = map[string]looks{
	"a private key":           {[]string{"PRIVATE KEY"}, regexp.MustCompile(`-----BEGIN [A-Z ]*PRIVATE KEY`), nil},
	"an Authorization header": {[]string{"SSWS ", "Bearer ", "DPoP "}, regexp.MustCompile(`\b(?:SSWS|Bearer|DPoP) [A-Za-z0-9_.~+/-]{16,}`), nil},
	"a signed token":          {[]string{".eyJ"}, regexp.MustCompile(`\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}`), nil},
	"a link":                  {[]string{"/a/"}, regexp.MustCompile(`/a/[A-Za-z0-9_-]{60,}`), isPath},
	"AWS credentials":         {[]string{"ASIA", "AKIA"}, regexp.MustCompile(`\b(?:ASIA|AKIA)[A-Z0-9]{16}\b`), nil},
}

func TestAPathIsToldFromBase64(t *testing.T) {
	sealed := strings.Repeat("Ahzrrt6YH5xMZMaS", 6)
	for text, want := range map[string]bool{
		"https://approve.example.com/a/" + sealed: true, `{"rawPath":"/a/` + sealed + `"}`: true, "/a/" + sealed: true,
		`{\"link\":\"https://a.b.on.aws/a/` + sealed:    true,
		"MIIDhjCC4WCxz1/Ny9fR9fwjp9L0+EsmD/a/" + sealed: false, `"x5c":["MIIC+GcMpY/8fwcIMk6jK/a/` + sealed: false,
	} {
		if got := len(lookalikes["a link"].in(text)) > 0; got != want {
			t.Errorf("%.60q: %v", text, got)
		}
	}
}

func TestTheScanFindsASecretInAnyForm(t *testing.T) {
	const secret = `00Ab"c&d/e+f<g>h – 8sD1kQpZ7vXw2LmN5tRy9uJo`
	around := func(text string) string { return "{\"level\":\"INFO\",\"msg\":\"" + text + "\"}" }
	f := newFinder(map[string]string{"the token": secret, "another": strings.Repeat("another ", 8)})
	for kind, text := range forms(secret) {
		for _, part := range []string{text, text[:shortest], text[len(text)-shortest:], text[3 : 3+shortest]} {
			if got := f.in(around(part)); !slices.ContainsFunc(got, func(g found) bool { return g.secret == "the token" && g.length >= shortest }) {
				t.Errorf("%s is not found as %q: %+v", kind, part, got)
			}
		}
		if got := f.in(around(text[5 : 5+shortest-2])); slices.ContainsFunc(got, func(g found) bool { return g.length >= shortest }) {
			t.Errorf("%s: what is too short is found: %+v", kind, got)
		}
	}
	for before := range 7 {
		for name, encoding := range map[string]*base64.Encoding{"base64": base64.StdEncoding, "base64url": base64.URLEncoding} {
			text := around(encoding.EncodeToString([]byte(strings.Repeat("x", before) + secret + "yz")))
			if got := f.in(text); len(got) == 0 {
				t.Errorf("%s after %d bytes is not found in %s", name, before, text)
			}
		}
	}
	random := make([]byte, 1<<20)
	for i := range random {
		random[i] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[rand.N(64)]
	}
	if got := f.in(string(random)); len(got) > 0 {
		t.Errorf("found in random text: %+v", got)
	}
}
