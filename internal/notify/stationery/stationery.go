// Package stationery is the look of Keyturn's mails: a card with a coloured edge.
// Mail programs take tables and inline styles; the style sheet has only what can
// be missing: narrow screens and dark mode. Nothing is loaded from anywhere.
// Text goes through g.Text and g.Attr, which escape it; g.Raw has constants, and
// the button's link and name, escaped by hand.
package stationery

import (
	"html"
	"strings"

	g "maragu.dev/gomponents"
	h "maragu.dev/gomponents/html"
)

// The fonts, as the beginning of a style.
const (
	Sans = "font-family:-apple-system,'Segoe UI',Roboto,Arial,sans-serif;"
	Mono = "font-family:Consolas,Menlo,Monaco,'Courier New',monospace;"
)

// The colours of the two tones.
const (
	CalmColor  = "#0a5c47"
	AlarmColor = "#b3261e"
)

const (
	style = `:root{color-scheme:light dark;supported-color-schemes:light dark}
body{margin:0;padding:0;-webkit-text-size-adjust:100%;-ms-text-size-adjust:100%}
table{border-collapse:collapse}
@media (max-width:620px){
.pad{padding-left:20px!important;padding-right:20px!important}
.outer{padding:0!important}
.title{font-size:22px!important;line-height:29px!important}
.button,.button a{display:block!important;width:auto!important}
.card{border-left:0!important;border-right:0!important}
}
@media (prefers-color-scheme:dark){
.page{background-color:#0f141a!important}
.card{background-color:#171e27!important;border-color:#2c3743!important}
.box{background-color:#1f2833!important}
.mark{background-color:#3a1f1f!important}
.line{border-color:#2c3743!important}
.text{color:#e6ebf1!important}
.soft{color:#a7b3c0!important}
.calm{color:#7fd4b7!important}
.alarm{color:#ff9d94!important}
.bar-calm{background-color:#0f7a5f!important}
.bar-alarm{background-color:#c9392e!important}
.number{background-color:#2c3743!important;color:#e6ebf1!important}
}
[data-ogsc] .text{color:#e6ebf1!important}
[data-ogsc] .soft{color:#a7b3c0!important}
[data-ogsc] .calm{color:#7fd4b7!important}
[data-ogsc] .alarm{color:#ff9d94!important}
[data-ogsb] .page{background-color:#0f141a!important}
[data-ogsb] .card{background-color:#171e27!important}
[data-ogsb] .box{background-color:#1f2833!important}
[data-ogsb] .mark{background-color:#3a1f1f!important}
`
	// Outlook on Windows sizes in points unless told otherwise.
	outlook = `<!--[if mso]><noscript><xml><o:OfficeDocumentSettings><o:PixelsPerInch>96</o:PixelsPerInch></o:OfficeDocumentSettings></xml></noscript><![endif]-->`
	// It knows no max-width: a table of its own holds the card.
	openGhost  = `<!--[if mso]><table role="presentation" align="center" width="600" cellpadding="0" cellspacing="0" border="0"><tr><td><![endif]-->`
	closeGhost = `<!--[if mso]></td></tr></table><![endif]-->`
)

// NL keeps the lines of a mail's source short.
var NL = g.Raw("\n")

// Tone is the class, and the colour, of what is in a mail's tone.
func Tone(alarm bool) (tone, color string) {
	if alarm {
		return "alarm", AlarmColor
	}
	return "calm", CalmColor
}

// Card is a mail.
type Card struct {
	Subject string
	// Preview is what a list of mails shows beside the subject.
	Preview string
	// Alarm tells that somebody has to act.
	Alarm bool
	// Rows are what is on the card, each made with Row.
	Rows []g.Node
	// Footer are lines of small print.
	Footer []string
}

// HTML is the mail's source.
func (c Card) HTML() string {
	tone, color := Tone(c.Alarm)
	var b strings.Builder
	// A strings.Builder never fails.
	_ = h.Doctype(h.HTML(
		h.Lang("en"), g.Attr("xmlns:v", "urn:schemas-microsoft-com:vml"), g.Attr("xmlns:o", "urn:schemas-microsoft-com:office:office"), NL,
		h.Head(
			h.Meta(h.Charset("utf-8")), NL,
			h.Meta(h.Name("viewport"), h.Content("width=device-width, initial-scale=1")), NL,
			h.Meta(h.Name("color-scheme"), h.Content("light dark")), NL,
			h.Meta(h.Name("supported-color-schemes"), h.Content("light dark")), NL,
			h.Meta(h.Name("format-detection"), h.Content("telephone=no, date=no, address=no, email=no, url=no")), NL,
			h.Meta(h.Name("x-apple-disable-message-reformatting")), NL,
			h.TitleEl(g.Text(c.Subject)), NL,
			g.Raw(outlook), NL,
			h.StyleEl(g.Raw(style)), NL,
		), NL,
		h.Body(
			h.Class("page"), h.Style("margin:0;padding:0;background-color:#eef1f5;"), NL,
			h.Div(h.Style("display:none;max-height:0;max-width:0;overflow:hidden;opacity:0;font-size:1px;line-height:1px;color:#eef1f5;mso-hide:all;"), g.Text(c.Preview), NL, g.Raw(strings.Repeat("&#8199;&#847;", 40))), NL,
			Table(g.Attr("bgcolor", "#eef1f5"), h.Class("page"), h.Style("background-color:#eef1f5;"),
				h.Tr(h.Td(h.Class("outer"), g.Attr("align", "center"), h.Style("padding:32px 12px;"), NL,
					g.Raw(openGhost), NL,
					Table(h.Class("card"), g.Attr("bgcolor", "#ffffff"), h.Style("max-width:600px;margin:0 auto;background-color:#ffffff;border:1px solid #d8dee6;"),
						h.Tr(h.Td(h.Class("bar-"+tone), g.Attr("bgcolor", color), g.Attr("height", "4"), h.Style("height:4px;font-size:1px;line-height:4px;background-color:"+color+";"), g.Raw("&#160;"))), NL,
						g.Group(c.Rows),
						h.Tr(h.Td(h.Class("pad"), h.Style("padding:28px 32px 28px;"),
							Table(h.Tr(h.Td(h.Class("line"), h.Style("border-top:1px solid #d8dee6;padding-top:16px;"),
								g.Map(c.Footer, Small),
							))),
						)), NL,
					), NL,
					g.Raw(closeGhost), NL,
				)),
			), NL,
		), NL,
	)).Render(&b)
	return b.String()
}

// Table is one that only lays out.
func Table(children ...g.Node) g.Node {
	return h.Table(append([]g.Node{h.Role("presentation"), h.Width("100%"), g.Attr("cellpadding", "0"), g.Attr("cellspacing", "0"), g.Attr("border", "0")}, children...)...)
}

// Row is a row of the card, with space above it.
func Row(above string, children ...g.Node) g.Node {
	return g.Group{h.Tr(h.Td(h.Class("pad"), h.Style("padding:"+above+" 32px 0;"), g.Group(children))), NL}
}

// Kicker is the line above a mail's title.
func Kicker(s string, alarm bool) g.Node {
	tone, color := Tone(alarm)
	return g.Group{h.P(h.Class(tone), h.Style("margin:0 0 8px;"+Sans+"font-size:13px;line-height:18px;font-weight:600;color:"+color+";word-break:break-word;"), g.Text(s)), NL}
}

// Title is a mail's heading.
func Title(s string) g.Node {
	return g.Group{h.H1(h.Class("text title"), h.Style("margin:0 0 16px;"+Sans+"font-size:25px;line-height:33px;font-weight:600;color:#1c2733;word-break:break-word;"), g.Text(s)), NL}
}

// Body is a paragraph.
func Body(s string) g.Node {
	return h.P(h.Class("text"), h.Style("margin:0 0 12px;"+Sans+"font-size:16px;line-height:25px;color:#1c2733;word-break:break-word;"), g.Text(s))
}

// Small is a line of small print.
func Small(s string) g.Node {
	return g.Group{NL, h.P(h.Class("soft"), h.Style("margin:0 0 4px;"+Sans+"font-size:13px;line-height:20px;color:#55616e;word-break:break-word;"), g.Text(s))}
}

// Heading heads a part; what is behind it, if anything, is lighter.
func Heading(s, behind string) g.Node {
	return g.Group{h.H2(h.Class("text"), h.Style("margin:0 0 12px;"+Sans+"font-size:17px;line-height:24px;font-weight:600;color:#1c2733;"), g.Text(s),
		g.Iff(behind != "", func() g.Node {
			return h.Span(h.Class("soft"), h.Style("font-weight:400;color:#55616e;"), g.Text(behind))
		})), NL}
}

// Box is a row's content on a ground of its own: what is looked for first, with
// a name above and a remark below it.
func Box(name, value, behind, remark string, tone, color string) g.Node {
	return Table(h.Tr(h.Td(h.Class("box"), g.Attr("bgcolor", "#f3f6fa"), h.Style("padding:14px 18px;background-color:#f3f6fa;"),
		Small(name),
		NL, h.P(h.Class(tone), h.Style("margin:0 0 4px;"+Sans+"font-size:18px;line-height:26px;font-weight:600;color:"+color+";"),
			g.Text(value), h.Span(h.Class("soft"), h.Style("font-weight:400;font-size:15px;color:#55616e;"), g.Text(behind))),
		Small(remark),
	)))
}

// Button is a button in every mail program: Outlook on Windows gets a shape, as
// it pads no link.
func Button(link, name string, alarm bool) g.Node {
	tone, color := Tone(alarm)
	return g.Group{
		NL, g.Raw(`<!--[if mso]><v:roundrect xmlns:v="urn:schemas-microsoft-com:vml" xmlns:w="urn:schemas-microsoft-com:office:word" href="` + html.EscapeString(link) + `" style="height:48px;v-text-anchor:middle;width:300px;" arcsize="13%" stroke="f" fillcolor="` + color + `"><w:anchorlock/><center style="color:#ffffff;font-family:Segoe UI,Arial,sans-serif;font-size:16px;font-weight:bold;">` + html.EscapeString(name) + `</center></v:roundrect><![endif]-->`),
		NL, g.Raw(`<!--[if !mso]><!-->`), NL,
		h.Table(h.Class("button"), h.Role("presentation"), g.Attr("cellpadding", "0"), g.Attr("cellspacing", "0"), g.Attr("border", "0"),
			h.Tr(h.Td(h.Class("bar-"+tone), g.Attr("align", "center"), g.Attr("bgcolor", color), h.Style("border-radius:6px;background-color:"+color+";"),
				h.A(h.Href(link), h.Target("_blank"), h.Rel("noopener noreferrer"),
					h.Style("display:inline-block;padding:13px 28px;"+Sans+"font-size:16px;line-height:22px;font-weight:600;color:#ffffff;text-decoration:none;border-radius:6px;mso-hide:all;"), g.Text(name)),
			))), NL,
		g.Raw(`<!--<![endif]-->`), NL,
	}
}

// Fact is a row of a table of facts.
func Fact(name string, value g.Node) g.Node {
	return g.Group{h.Tr(h.Td(h.Class("line text"), h.Style("padding:9px 0;border-top:1px solid #e4e9ef;"+Sans+"font-size:15px;line-height:22px;color:#1c2733;word-break:break-word;"),
		h.Span(h.Class("soft"), h.Style("font-size:13px;line-height:19px;color:#55616e;"), g.Text(name)), h.Br(), value)), NL}
}
