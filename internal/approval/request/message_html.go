package request

import (
	"html"
	"strconv"
	"strings"

	g "maragu.dev/gomponents"
	h "maragu.dev/gomponents/html"
)

// The mail's look. Mail programs take tables and inline styles; the style sheet
// has only what can be missing: narrow screens and dark mode. Nothing is loaded
// from anywhere. Text goes through g.Text and g.Attr, which escape it; g.Raw
// has constants, and the link, escaped by hand.

const (
	sans = "font-family:-apple-system,'Segoe UI',Roboto,Arial,sans-serif;"
	mono = "font-family:Consolas,Menlo,Monaco,'Courier New',monospace;"

	mailStyle = `:root{color-scheme:light dark;supported-color-schemes:light dark}
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
`
	// Outlook on Windows sizes in points unless told otherwise.
	mailOutlook = `<!--[if mso]><noscript><xml><o:OfficeDocumentSettings><o:PixelsPerInch>96</o:PixelsPerInch></o:OfficeDocumentSettings></xml></noscript><![endif]-->`
	// It knows no max-width: a table of its own holds the card.
	openGhost  = `<!--[if mso]><table role="presentation" align="center" width="600" cellpadding="0" cellspacing="0" border="0"><tr><td><![endif]-->`
	closeGhost = `<!--[if mso]></td></tr></table><![endif]-->`

	calmColor, alarmColor = "#0a5c47", "#b3261e"
)

func (l letter) html(link string) string {
	tone, color := "calm", calmColor
	if l.urgent {
		tone, color = "alarm", alarmColor
	}
	var b strings.Builder
	// A strings.Builder never fails.
	_ = h.Doctype(h.HTML(
		h.Lang("en"), g.Attr("xmlns:v", "urn:schemas-microsoft-com:vml"), g.Attr("xmlns:o", "urn:schemas-microsoft-com:office:office"), nl,
		h.Head(
			h.Meta(h.Charset("utf-8")), nl,
			h.Meta(h.Name("viewport"), h.Content("width=device-width, initial-scale=1")), nl,
			h.Meta(h.Name("color-scheme"), h.Content("light dark")), nl,
			h.Meta(h.Name("supported-color-schemes"), h.Content("light dark")), nl,
			h.Meta(h.Name("format-detection"), h.Content("telephone=no, date=no, address=no, email=no, url=no")), nl,
			h.Meta(h.Name("x-apple-disable-message-reformatting")), nl,
			h.TitleEl(g.Text(l.subject)), nl,
			g.Raw(mailOutlook), nl,
			h.StyleEl(g.Raw(mailStyle)), nl,
		), nl,
		h.Body(
			h.Class("page"), h.Style("margin:0;padding:0;background-color:#eef1f5;"), nl,
			h.Div(h.Style("display:none;max-height:0;max-width:0;overflow:hidden;opacity:0;font-size:1px;line-height:1px;color:#eef1f5;mso-hide:all;"), g.Text(l.preview), nl, g.Raw(strings.Repeat("&#8199;&#847;", 40))), nl,
			table(g.Attr("bgcolor", "#eef1f5"), h.Class("page"), h.Style("background-color:#eef1f5;"),
				h.Tr(h.Td(h.Class("outer"), g.Attr("align", "center"), h.Style("padding:32px 12px;"), nl,
					g.Raw(openGhost), nl,
					table(h.Class("card"), g.Attr("bgcolor", "#ffffff"), h.Style("max-width:600px;margin:0 auto;background-color:#ffffff;border:1px solid #d8dee6;"),
						h.Tr(h.Td(h.Class("bar-"+tone), g.Attr("bgcolor", color), g.Attr("height", "4"), h.Style("height:4px;font-size:1px;line-height:4px;background-color:"+color+";"), g.Raw("&#160;"))), nl,
						l.head(tone, color),
						l.dueBox(tone, color),
						row("24px", l.htmlButton(link, tone, color)),
						row("12px", small(l.caveat)),
						row("32px", heading("What to do"), l.htmlSteps()),
						row("32px", heading("The certificate"), l.htmlFacts()),
						row("24px", small(l.attached())),
						h.Tr(h.Td(h.Class("pad"), h.Style("padding:28px 32px 28px;"),
							table(h.Tr(h.Td(h.Class("line"), h.Style("border-top:1px solid #d8dee6;padding-top:16px;"),
								g.Map(l.footer, small),
							))),
						)), nl,
					), nl,
					g.Raw(closeGhost), nl,
				)),
			), nl,
		), nl,
	)).Render(&b)
	return b.String()
}

// nl keeps the lines of the mail's source short.
var nl = g.Raw("\n")

func table(children ...g.Node) g.Node {
	return h.Table(append([]g.Node{h.Role("presentation"), h.Width("100%"), g.Attr("cellpadding", "0"), g.Attr("cellspacing", "0"), g.Attr("border", "0")}, children...)...)
}

// row is a row of the card, with space above it.
func row(above string, children ...g.Node) g.Node {
	return g.Group{h.Tr(h.Td(h.Class("pad"), h.Style("padding:"+above+" 32px 0;"), g.Group(children))), nl}
}

func body(s string) g.Node {
	return h.P(h.Class("text"), h.Style("margin:0 0 12px;"+sans+"font-size:16px;line-height:25px;color:#1c2733;word-break:break-word;"), g.Text(s))
}

func small(s string) g.Node {
	return g.Group{nl, h.P(h.Class("soft"), h.Style("margin:0 0 4px;"+sans+"font-size:13px;line-height:20px;color:#55616e;word-break:break-word;"), g.Text(s))}
}

func heading(s string) g.Node {
	return g.Group{h.H2(h.Class("text"), h.Style("margin:0 0 12px;"+sans+"font-size:17px;line-height:24px;font-weight:600;color:#1c2733;"), g.Text(s)), nl}
}

func (l letter) head(tone, color string) g.Node {
	nodes := []g.Node{
		h.P(h.Class(tone), h.Style("margin:0 0 8px;"+sans+"font-size:13px;line-height:18px;font-weight:600;color:"+color+";"), g.Text("Keyturn · "+l.kicker)), nl,
		h.H1(h.Class("text title"), h.Style("margin:0 0 16px;"+sans+"font-size:25px;line-height:33px;font-weight:600;color:#1c2733;word-break:break-word;"), g.Text(l.title)), nl,
	}
	for i, p := range l.intro {
		nodes = append(nodes, body(p), nl)
		if i > 0 || l.comment == "" {
			continue
		}
		quote := []g.Node{h.Class("box text"), g.Attr("bgcolor", "#f3f6fa"), h.Style("padding:12px 16px;background-color:#f3f6fa;border-left:3px solid #b9c4d1;" + sans + "font-size:15px;line-height:23px;color:#1c2733;word-break:break-word;")}
		for i, line := range strings.Split(l.comment, "\n") {
			if i > 0 {
				quote = append(quote, h.Br())
			}
			quote = append(quote, g.Text(line))
		}
		nodes = append(nodes, table(h.Style("margin:0 0 14px;"), h.Tr(h.Td(quote...))), nl)
	}
	return row("28px", nodes...)
}

// dueBox shows the date that matters.
func (l letter) dueBox(tone, color string) g.Node {
	return row("12px", table(h.Tr(h.Td(h.Class("box"), g.Attr("bgcolor", "#f3f6fa"), h.Style("padding:14px 18px;background-color:#f3f6fa;"),
		small(l.dueName),
		nl, h.P(h.Class(tone), h.Style("margin:0 0 4px;"+sans+"font-size:18px;line-height:26px;font-weight:600;color:"+color+";"),
			g.Text(l.due), h.Span(h.Class("soft"), h.Style("font-weight:400;font-size:15px;color:#55616e;"), g.Text(parens(l.dueIn)))),
		small(l.silence),
	))))
}

// htmlButton is a button in every mail program: Outlook on Windows gets a shape,
// as it pads no link.
func (l letter) htmlButton(link, tone, color string) g.Node {
	address, name := html.EscapeString(link), html.EscapeString(l.button)
	return g.Group{
		nl, g.Raw(`<!--[if mso]><v:roundrect xmlns:v="urn:schemas-microsoft-com:vml" xmlns:w="urn:schemas-microsoft-com:office:word" href="` + address + `" style="height:48px;v-text-anchor:middle;width:300px;" arcsize="13%" stroke="f" fillcolor="` + color + `"><w:anchorlock/><center style="color:#ffffff;font-family:Segoe UI,Arial,sans-serif;font-size:16px;font-weight:bold;">` + name + `</center></v:roundrect><![endif]-->`),
		nl, g.Raw(`<!--[if !mso]><!-->`), nl,
		h.Table(h.Class("button"), h.Role("presentation"), g.Attr("cellpadding", "0"), g.Attr("cellspacing", "0"), g.Attr("border", "0"),
			h.Tr(h.Td(h.Class("bar-"+tone), g.Attr("align", "center"), g.Attr("bgcolor", color), h.Style("border-radius:6px;background-color:"+color+";"),
				h.A(h.Href(link), h.Target("_blank"), h.Rel("noopener noreferrer"),
					h.Style("display:inline-block;padding:13px 28px;"+sans+"font-size:16px;line-height:22px;font-weight:600;color:#ffffff;text-decoration:none;border-radius:6px;mso-hide:all;"), g.Text(l.button)),
			))), nl,
		g.Raw(`<!--<![endif]-->`), nl,
	}
}

func (l letter) htmlSteps() g.Node {
	var rows []g.Node
	for i, s := range l.steps {
		cell := []g.Node{h.Style("padding:0 0 14px;"), h.Class("text"),
			nl, h.Div(h.Class("text"), h.Style(sans+"font-size:16px;line-height:24px;color:#1c2733;word-break:break-word;"), g.Text(s.do))}
		if len(s.cases) > 0 {
			var cases []g.Node
			for j, c := range s.cases {
				space := "10px 16px"
				if j > 0 {
					space = "0 16px 10px"
				}
				cases = append(cases, h.Tr(h.Td(h.Class("box text"), g.Attr("bgcolor", "#f3f6fa"), h.Style("padding:"+space+";background-color:#f3f6fa;"+sans+"font-size:15px;line-height:23px;color:#1c2733;word-break:break-word;"),
					h.B(g.Text(c.when+",")), g.Text(" "+c.do))), nl)
			}
			cell = append(cell, nl, table(append([]g.Node{h.Style("margin:10px 0 0;"), nl}, cases...)...))
		}
		rows = append(rows, h.Tr(
			h.Td(g.Attr("width", "38"), g.Attr("valign", "top"), h.Style("width:38px;padding:0 0 14px;"),
				h.Table(h.Role("presentation"), g.Attr("cellpadding", "0"), g.Attr("cellspacing", "0"), g.Attr("border", "0"),
					h.Tr(h.Td(h.Class("number"), g.Attr("align", "center"), g.Attr("width", "24"), g.Attr("height", "24"), g.Attr("bgcolor", "#e3e9f1"),
						h.Style("width:24px;height:24px;border-radius:12px;background-color:#e3e9f1;"+sans+"font-size:13px;line-height:24px;font-weight:600;color:#1c2733;"), g.Text(strconv.Itoa(i+1)))))),
			nl, h.Td(append([]g.Node{g.Attr("valign", "top")}, cell...)...),
		), nl)
	}
	return table(rows...)
}

func (l letter) htmlFacts() g.Node {
	var rows []g.Node
	for _, f := range l.facts {
		var value g.Node
		switch {
		case f.url:
			value = h.A(h.Class("calm"), h.Href(f.value), h.Target("_blank"), h.Rel("noopener noreferrer"), h.Style("color:"+calmColor+";"), g.Text("Open the page in Okta"))
		case len(f.lines) > 0:
			var code []g.Node
			for i, line := range f.lines {
				if i > 0 {
					code = append(code, h.Br())
				}
				code = append(code, g.Text(line))
			}
			value = h.Span(h.Class("text"), h.Style(mono+"font-size:12px;line-height:19px;color:#1c2733;"), g.Group(code))
		default:
			value = g.Text(f.value)
		}
		rows = append(rows, h.Tr(h.Td(h.Class("line text"), h.Style("padding:9px 0;border-top:1px solid #e4e9ef;"+sans+"font-size:15px;line-height:22px;color:#1c2733;word-break:break-word;"),
			h.Span(h.Class("soft"), h.Style("font-size:13px;line-height:19px;color:#55616e;"), g.Text(f.name)), h.Br(), value)), nl)
	}
	return table(rows...)
}

func (l letter) attached() string {
	s := "Attached: " + l.file + ".pem, the new certificate"
	if l.chain != "" {
		s += ", and " + l.file + "-chain.pem, the certificates of the CA above it, if the partner asks for them"
	}
	return s + "."
}
