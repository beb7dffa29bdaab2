package request

import (
	"strconv"
	"strings"

	g "maragu.dev/gomponents"
	h "maragu.dev/gomponents/html"

	"keyturn/internal/notify/stationery"
)

func (l letter) html(link string) string {
	tone, color := stationery.Tone(l.urgent)
	return stationery.Card{
		Subject: l.subject, Preview: l.preview, Alarm: l.urgent, Footer: l.footer,
		Rows: []g.Node{
			l.head(),
			stationery.Row("12px", stationery.Box(l.dueName, l.due, parens(l.dueIn), l.silence, tone, color)),
			stationery.Row("24px", stationery.Button(link, l.button, l.urgent)),
			stationery.Row("12px", stationery.Small(l.caveat)),
			stationery.Row("32px", stationery.Heading("What to do", ""), l.htmlSteps()),
			stationery.Row("32px", stationery.Heading(l.about, ""), l.htmlFacts()),
			stationery.Row("24px", stationery.Small(l.attached)),
		},
	}.HTML()
}

func (l letter) head() g.Node {
	nodes := []g.Node{stationery.Kicker("Keyturn · "+l.kicker, l.urgent), stationery.Title(l.title)}
	for i, p := range l.intro {
		nodes = append(nodes, stationery.Body(p), stationery.NL)
		if i > 0 || l.comment == "" {
			continue
		}
		quote := []g.Node{h.Class("box text"), g.Attr("bgcolor", "#f3f6fa"), h.Style("padding:12px 16px;background-color:#f3f6fa;border-left:3px solid #b9c4d1;" + stationery.Sans + "font-size:15px;line-height:23px;color:#1c2733;word-break:break-word;")}
		for i, line := range strings.Split(l.comment, "\n") {
			if i > 0 {
				quote = append(quote, h.Br())
			}
			quote = append(quote, g.Text(line))
		}
		nodes = append(nodes, stationery.Table(h.Style("margin:0 0 14px;"), h.Tr(h.Td(quote...))), stationery.NL)
	}
	return stationery.Row("28px", nodes...)
}

func (l letter) htmlSteps() g.Node {
	var rows []g.Node
	for i, s := range l.steps {
		cell := []g.Node{h.Style("padding:0 0 14px;"), h.Class("text"),
			stationery.NL, h.Div(h.Class("text"), h.Style(stationery.Sans+"font-size:16px;line-height:24px;color:#1c2733;word-break:break-word;"), g.Text(s.do))}
		var cases []g.Node
		boxed := func(start, rest string) {
			space := "10px 16px"
			if len(cases) > 0 {
				space = "0 16px 10px"
			}
			cases = append(cases, h.Tr(h.Td(h.Class("box text"), g.Attr("bgcolor", "#f3f6fa"), h.Style("padding:"+space+";background-color:#f3f6fa;"+stationery.Sans+"font-size:15px;line-height:23px;color:#1c2733;word-break:break-word;"),
				h.B(g.Text(start)), g.Text(" "+rest))), stationery.NL)
		}
		for _, c := range s.cases {
			boxed(c.when+",", c.do)
		}
		for _, d := range s.demands {
			boxed(d.Name+":", d.Text)
		}
		if len(cases) > 0 {
			cell = append(cell, stationery.NL, stationery.Table(append([]g.Node{h.Style("margin:10px 0 0;"), stationery.NL}, cases...)...))
		}
		rows = append(rows, h.Tr(
			h.Td(g.Attr("width", "38"), g.Attr("valign", "top"), h.Style("width:38px;padding:0 0 14px;"),
				h.Table(h.Role("presentation"), g.Attr("cellpadding", "0"), g.Attr("cellspacing", "0"), g.Attr("border", "0"),
					h.Tr(h.Td(h.Class("number"), g.Attr("align", "center"), g.Attr("width", "24"), g.Attr("height", "24"), g.Attr("bgcolor", "#e3e9f1"),
						h.Style("width:24px;height:24px;border-radius:12px;background-color:#e3e9f1;"+stationery.Sans+"font-size:13px;line-height:24px;font-weight:600;color:#1c2733;"), g.Text(strconv.Itoa(i+1)))))),
			stationery.NL, h.Td(append([]g.Node{g.Attr("valign", "top")}, cell...)...),
		), stationery.NL)
	}
	return stationery.Table(rows...)
}

func (l letter) htmlFacts() g.Node {
	var rows []g.Node
	for _, f := range l.facts {
		var value g.Node
		switch {
		case f.url:
			value = h.A(h.Class("calm"), h.Href(f.value), h.Target("_blank"), h.Rel("noopener noreferrer"), h.Style("color:"+stationery.CalmColor+";"), g.Text("Open the page in Okta"))
		case len(f.lines) > 0:
			var code []g.Node
			for i, line := range f.lines {
				if i > 0 {
					code = append(code, h.Br())
				}
				code = append(code, g.Text(line))
			}
			value = h.Span(h.Class("text"), h.Style(stationery.Mono+"font-size:12px;line-height:19px;color:#1c2733;"), g.Group(code))
		default:
			value = g.Text(f.value)
		}
		rows = append(rows, stationery.Fact(f.name, value))
	}
	return stationery.Table(rows...)
}
