package page

import (
	"crypto/sha1" //nolint:gosec // a fingerprint that partners' consoles show
	"crypto/sha256"
	"crypto/x509"
	_ "embed"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"strings"
	"time"

	g "maragu.dev/gomponents"
	h "maragu.dev/gomponents/html"

	"keyturn/internal/plaintext"
	"keyturn/internal/rotation"
)

// How every page looks: the frame, the parts that pages share, and notes. What
// the asking page says is in view_ask.go.

var (
	//go:embed page.css
	css string
	//go:embed page.js
	script string
)

// contentSecurityPolicy allows the embedded style sheet and script by their
// hashes, the form to the page's own origin, and nothing else: whatever text
// comes to the page, the browser runs and loads nothing of it.
var contentSecurityPolicy = "default-src 'none'; style-src '" + cspHash(css) + "'; script-src '" + cspHash(script) +
	"'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

// cspHash is the hash source of an inline element with this text (CSP level 3,
// 2.3.1).
func cspHash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

// frame is what every page has around its main part.
func frame(title, orgHost string, main, foot g.Node) g.Node {
	return h.Doctype(h.HTML(h.Lang("en"),
		h.Head(
			h.Meta(h.Charset("utf-8")),
			h.Meta(h.Name("viewport"), h.Content("width=device-width, initial-scale=1")),
			h.Meta(h.Name("color-scheme"), h.Content("light dark")),
			h.Meta(h.Name("referrer"), h.Content("no-referrer")),
			h.Meta(h.Name("robots"), h.Content("noindex, nofollow")),
			h.TitleEl(g.Text(title)),
			h.StyleEl(g.Raw(css)),
		),
		h.Body(
			h.Header(h.Class("bar"), h.Div(h.Class("wrap"),
				h.P(h.Class("brand"), mark(), g.Text("Keyturn")),
				g.If(orgHost != "", h.P(h.Class("org"), g.Text("for the Okta org "), h.Strong(shown(orgHost)))),
			)),
			main,
			g.Iff(foot != nil, func() g.Node { return h.Footer(h.Class("foot"), h.Div(h.Class("wrap"), foot)) }),
			h.Script(g.Raw(script)),
		),
	))
}

func (n note) render() g.Node {
	main := h.Main(h.Class("wrap note "+n.Tone.class()),
		n.Tone.sign(),
		h.H1(shown(n.Title)),
		g.Map(n.Text, func(text string) g.Node { return h.P(shown(text)) }),
		g.Iff(len(n.Facts) > 0, func() g.Node {
			return h.Dl(h.Class("facts"), g.Map(n.Facts, func(f fact) g.Node {
				return factRow(f.Name, shown(f.Value))
			}))
		}),
		g.If(n.Tone != toneProblem, h.P(h.Class("closing"), g.Text("You can close this page."))),
	)
	return frame(plain(n.Title)+" – Keyturn", "", main, nil)
}

func (t tone) class() string {
	switch t {
	case toneDone, toneOver, toneProblem:
		return string(t)
	}
	return string(toneOver)
}

// sign is the note's picture; its title says the same.
func (t tone) sign() g.Node {
	path := "M12 10.5v6M12 7.2v.1" // i
	switch t {
	case toneDone:
		path = "M7.5 12.4l3.1 3.1 6-6.6" // a tick
	case toneProblem:
		path = "M12 7v6M12 16.7v.1" // !
	}
	return h.SVG(h.Class("sign"), g.Attr("viewBox", "0 0 24 24"), h.Aria("hidden", "true"),
		g.El("circle", g.Attr("cx", "12"), g.Attr("cy", "12"), g.Attr("r", "11")),
		g.El("path", g.Attr("d", path)))
}

// mark is the product's: a key in a ring.
func mark() g.Node {
	return h.SVG(h.Class("mark"), g.Attr("viewBox", "0 0 24 24"), h.Aria("hidden", "true"),
		g.El("path", g.Attr("d", "M20.5 12a8.5 8.5 0 1 1-3.1-6.6")),
		g.El("path", g.Attr("d", "M17.6 1.8v3.8h-3.8")),
		g.El("circle", g.Attr("cx", "12"), g.Attr("cy", "10.4"), g.Attr("r", "1.9")),
		g.El("path", g.Attr("d", "M12 12.3v4.2")))
}

// shown is how all text that others wrote comes to the page: labels, names,
// addresses. It is isolated, so that its direction of writing does not reach
// beyond it.
func shown(s string) g.Node { return g.El("bdi", g.Text(plain(s))) }

// shownLines is shown for what may have several lines: comments.
func shownLines(s string) g.Node { return g.El("bdi", g.Text(plainLines(s))) }

// longest bounds such text; comments have at most 1,000 characters.
const longest = 2000

// plain is such text where no element can stand: in the window's title, and in
// the fields of the form.
func plain(s string) string { return plaintext.Line(s, longest) }

// plainLines is plain for several lines.
func plainLines(s string) string { return plaintext.Lines(s, longest) }

// say is a sentence in which {} stand for nodes.
func say(sentence string, nodes ...g.Node) g.Node {
	var parts g.Group
	for _, node := range nodes {
		before, after, _ := strings.Cut(sentence, "{}")
		parts = append(parts, g.Text(before), node)
		sentence = after
	}
	return append(parts, g.Text(sentence))
}

// quoted is something that reads so on a screen: a button, a menu, a field.
func quoted(s string) g.Node { return h.Span(h.Class("ui"), g.Text(s)) }

func strong(s string) g.Node { return h.Strong(g.Text(s)) }

// when is a time as people read it; the script adds the reader's own.
func when(t time.Time) g.Node {
	return h.Time(h.DateTime(t.UTC().Format(time.RFC3339)), g.Text(t.UTC().Format("Monday, 2 January 2006, 15:04 UTC")))
}

// span is how long it is from now until then, in words.
func span(now, then time.Time) string {
	d := then.Sub(now)
	if d < 0 {
		if -d < 2*rotation.Day {
			return count(int(-d/time.Hour), "hour") + " ago"
		}
		return count(int(-d/rotation.Day), "day") + " ago"
	}
	if d < 2*rotation.Day {
		return "in " + count(int(d/time.Hour), "hour")
	}
	return "in " + count(int(d/rotation.Day), "day")
}

func count(n int, unit string) string {
	switch n {
	case 0:
		return "less than one " + unit
	case 1:
		return "1 " + unit
	}
	return fmt.Sprintf("%d %ss", n, unit)
}

func factRow(name string, value ...g.Node) g.Node {
	return h.Div(h.Dt(g.Text(name)), h.Dd(value...))
}

// link leads away from the page, without telling from where.
func link(address string, children ...g.Node) g.Node {
	return h.A(h.Href(address), h.Rel("noreferrer noopener"), g.Group(children))
}

// certificate is a key's certificate, made ready to be shown.
type certificate struct {
	sha256, sha1, serial string
	base64, pem          string
}

// read gives false where the text is not a certificate's.
func read(key rotation.Key) (certificate, bool) {
	der, err := base64.StdEncoding.DecodeString(key.Certificate)
	if err != nil || len(der) == 0 {
		return certificate{}, false
	}
	c := certificate{
		sha256: rotation.Fingerprint(der),
		sha1:   pairs(sha1Of(der)),
		base64: base64.StdEncoding.EncodeToString(der),
		pem:    string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
	}
	if parsed, err := x509.ParseCertificate(der); err == nil && parsed.SerialNumber != nil {
		c.serial = pairs(parsed.SerialNumber.Bytes())
	}
	return c, true
}

// sha1Of is what many consoles show as "thumbprint"; nothing relies on it here.
func sha1Of(der []byte) []byte {
	sum := sha1.Sum(der) //nolint:gosec // see the import
	return sum[:]
}

func pairs(b []byte) string { return strings.ReplaceAll(fmt.Sprintf("% X", b), " ", ":") }

// hexPairs shows pairs with colons; a line may break behind a colon only.
func hexPairs(s string) g.Node {
	var parts g.Group
	for i, pair := range strings.SplitAfter(s, ":") {
		if i > 0 {
			parts = append(parts, h.Wbr())
		}
		parts = append(parts, g.Text(pair))
	}
	return parts
}
