package report

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	g "maragu.dev/gomponents"
	h "maragu.dev/gomponents/html"

	"keyturn/internal/inventory"
	"keyturn/internal/notify"
	"keyturn/internal/notify/stationery"
	"keyturn/internal/plaintext"
	"keyturn/internal/rotation"
)

// digestShown is how many of a list the digest shows; the report has all.
const digestShown = 20

// soonDays is when a nearest expiry is shown as an alarm.
const soonDays = 7

// digest is what the mail to the operators says, apart from how it looks.
type digest struct {
	subject, title, host string
	urgent               bool
	intro                []string
	// marks say what is wrong with the run as a whole.
	marks []string
	// nearest is the expiry that comes first, and whose it is.
	nearest, nearestIn, nearestOf string
	nearestSoon                   bool
	tiles                         []tile
	location                      string
	sections                      []digestSection
	facts                         []digestFact
	footer                        []string
}

// tile is a number that is seen at a glance.
type tile struct {
	number int
	name   string
	alarm  bool
}

// digestSection is a list of targets under a heading.
type digestSection struct {
	heading string
	// about explains the list; empty where the heading does.
	about string
	items []digestItem
	// total counts all, shown or not.
	total int
}

// digestItem is a target, or a problem of the run as a whole.
type digestItem struct {
	name, target string
	lines        []string
}

type digestFact struct{ name, value string }

// Digest is the mail to the operators after a run. The location is the
// report's address.
func Digest(s inventory.Summary, location string) notify.Message {
	d := digestOf(s, location)
	return notify.Message{Subject: d.subject, Text: d.text(), HTML: d.html()}
}

func digestOf(s inventory.Summary, location string) digest {
	line := headline(s)
	d := digest{
		subject: "Keyturn: " + line, title: firstUpper(line),
		host: digestHost(s.Org), location: location,
	}
	if s.Run.DryRun {
		d.subject = "Keyturn dry run: " + line
	}
	now := reportedAt(s)
	expired := digestExpired(s) > 0
	d.urgent = expired || s.Actions[inventory.ActionFailed] > 0 || s.FailedCount > 0 || !s.Run.Complete || authoritiesEnd(s) != ""
	d.intro = digestIntro(s, d.host)
	d.marks = digestMarks(s)
	if n := s.Nearest; n != nil && n.NotAfter != nil {
		d.nearest, d.nearestOf = digestDay(*n.NotAfter), digestLabelOf(n.Target)+digestParens(digestTarget(n.Target))
		if n.DaysLeft != nil {
			d.nearestIn, d.nearestSoon = away(*n.DaysLeft), *n.DaysLeft <= soonDays
		}
	}
	waits := waitingOf(s)
	started := tile{number: s.Actions[inventory.ActionStart], name: "started"}
	if s.Run.DryRun {
		started.name = "would start"
	}
	d.tiles = []tile{
		{number: s.DueCount, name: "due"},
		started,
		{number: len(waits), name: "waiting"},
		{number: s.FailedCount + s.Actions[inventory.ActionFailed], name: "failed", alarm: s.FailedCount+s.Actions[inventory.ActionFailed] > 0},
	}
	d.sections = digestSections(s, waits, now)
	d.facts = digestFacts(s)
	d.footer = []string{
		"You get this because you are an operator of Keyturn. It renews the SAML signing certificates of " + d.host + " before they expire.",
	}
	return d
}

func digestIntro(s inventory.Summary, host string) []string {
	looked := fmt.Sprintf("Okta listed %s and %s for %s. %s in the inventory.",
		digestCount(s.Run.Apps, "app"), digestCount(s.Run.IDPs, "identity provider"), host, digestTargetsAre(s.Run.Targets))
	if s.Run.Targets == 0 && s.Run.Complete {
		looked = fmt.Sprintf("Okta listed %s and %s for %s, and none of them has a SAML signing key. If that is not what you expect, check which org and which permissions Keyturn has.",
			digestCount(s.Run.Apps, "app"), digestCount(s.Run.IDPs, "identity provider"), host)
	}
	intro := []string{looked}
	if s.Run.DryRun {
		intro = append(intro, "This was a dry run: it says what would be done, and started nothing.")
	}
	switch n := s.Actions[inventory.ActionNotify]; {
	case n > 0 && n == s.DueCount:
		intro = append(intro, digestIs(n)+" due; mode notify: nothing was started. A person has to rotate "+digestThem(n)+", or the mode has to become rotate.")
	case n > 0:
		intro = append(intro, digestIs(n)+" due in mode notify: nothing was started for "+digestThem(n)+". A person has to rotate "+digestThem(n)+", or the mode has to become rotate.")
	}
	switch n := s.Actions[inventory.ActionPostponed]; {
	case n == 1:
		intro = append(intro, fmt.Sprintf("1 is left to the next run: a run starts at most %s.", digestCount(s.MaxRotations, "rotation")))
	case n > 1:
		intro = append(intro, fmt.Sprintf("%d are left to the next run: a run starts at most %s.", n, digestCount(s.MaxRotations, "rotation")))
	}
	for _, a := range standingsOf(s) {
		if a.outlook == outlookCut {
			intro = append(intro, a.attention(digestDay))
		}
	}
	if s.Mode == rotation.ModeOff && s.Run.Targets > 0 {
		intro = append(intro, "The policy's mode is off: outside its rules nothing is ever due.")
	}
	return intro
}

func digestTargetsAre(n int) string {
	if n == 1 {
		return "1 target is"
	}
	return strconv.Itoa(n) + " targets are"
}

func digestThem(n int) string {
	if n == 1 {
		return "it"
	}
	return "them"
}

func digestMarks(s inventory.Summary) []string {
	var marks []string
	if !s.Run.Complete {
		marks = append(marks, "This run is incomplete: Okta's lists could not be read to their ends. What an earlier run saw stands in for the rest, marked as stale; targets that are new since then are missing.")
	}
	switch n := s.Actions[inventory.ActionUnknown]; {
	case n == 1:
		marks = append(marks, "The certificate of 1 target could not be read: nobody knows here when it expires.")
	case n > 1:
		marks = append(marks, fmt.Sprintf("The certificates of %d targets could not be read: nobody knows here when they expire.", n))
	}
	for _, a := range standingsOf(s) {
		if a.outlook != outlookWhole && a.outlook != outlookCut {
			marks = append(marks, a.attention(digestDay))
		}
	}
	return marks
}

func digestSections(s inventory.Summary, waits []inventory.Running, now time.Time) []digestSection {
	var failed, started, rest []digestItem
	byHand := 0
	refused := map[string]bool{} // shown with what could not be started
	for _, e := range s.Due {
		item := digestItem{name: digestLabelOf(e.Target), target: digestTarget(e.Target), lines: []string{firstUpper(digestExpiry(e))}}
		switch e.Action {
		case inventory.ActionFailed:
			if e.Problem != nil {
				item.lines = append(item.lines, digestError(e.Problem.Name, e.Problem.Message))
				refused[e.Target.ID+" "+e.Problem.Name] = true
			}
			failed = append(failed, item)
		case inventory.ActionStart:
			if asked := digestAddresses(e.Approvers); asked != "" {
				item.lines = append(item.lines, "Approvers: "+asked)
			}
			started = append(started, item)
		case inventory.ActionRunning: // among those that wait, or on its way
		default:
			if e.Action == inventory.ActionUnsupported {
				byHand++
			}
			if reason := plaintext.Line(e.Reason, digestMessage); reason != "" {
				item.lines = append(item.lines, firstUpper(reason))
			}
			if asked := digestAddresses(e.Approvers); asked != "" && e.Action == inventory.ActionNotify {
				item.lines = append(item.lines, "Approvers: "+asked)
			}
			rest = append(rest, item)
		}
	}
	var waiting, ended, problems []digestItem
	for _, r := range waits {
		waiting = append(waiting, digestItem{name: digestLabelOf(r.Target), target: digestTarget(r.Target), lines: digestWaits(r, now)})
	}
	for _, e := range failedOf(s) {
		item := digestItem{name: digestLabelOf(e.Target), target: digestTarget(e.Target), lines: []string{firstUpper(resultWords(e.Result)) + ", " + digestMoment(e.EndedAt)}}
		switch by := plaintext.Line(e.By, digestAddress); {
		case rejected(e) && by != "":
			item.lines = append(item.lines, "Rejected by "+by)
		case by != "":
			item.lines = append(item.lines, "Answered by "+by)
		}
		if why := digestError(e.Error, e.Message); why != "" {
			item.lines = append(item.lines, why)
		}
		if comment := plaintext.Line(e.Comment, digestMessage); comment != "" {
			item.lines = append(item.lines, "“"+comment+"”")
		}
		ended = append(ended, item)
	}
	others := s.Run.ProblemCount
	for _, p := range s.Run.Problems {
		item := digestItem{name: "The run as a whole", lines: []string{digestError(p.Name, p.Message)}}
		if p.Target != nil {
			if refused[p.Target.ID+" "+p.Name] {
				others--
				continue
			}
			item.name, item.target = digestLabelOf(*p.Target), digestTarget(*p.Target)
		}
		problems = append(problems, item)
	}
	left := max(s.Actions[inventory.ActionPostponed]+s.Actions[inventory.ActionPaused]+s.Actions[inventory.ActionNotify]+byHand, len(rest))
	startedNow := "Started by this run"
	if s.Run.DryRun {
		startedNow = "A run would start"
	}
	list := []digestSection{
		{heading: "Could not be started", items: failed, total: max(s.Actions[inventory.ActionFailed], len(failed)), about: "The next run tries again."},
		{heading: "Ended without success in the last 14 days", items: ended, total: max(s.FailedCount, len(ended))},
		{heading: "Waiting", items: waiting, total: len(waiting), about: "The oldest rotation is first."},
		{heading: "Due, and not started", items: rest, total: left},
		{heading: startedNow, items: started, total: max(s.Actions[inventory.ActionStart], len(started))},
		{heading: "Problems", items: problems, total: max(others, len(problems)), about: "They kept something from being looked at. None of them stopped the run."},
	}
	var shown []digestSection
	for _, section := range list {
		if len(section.items) > 0 {
			section.items = firstOf(section.items, digestShown)
			shown = append(shown, section)
		}
	}
	return shown
}

func firstUpper(s string) string {
	if s != "" && s[0] >= 'a' && s[0] <= 'z' {
		return strings.ToUpper(s[:1]) + s[1:]
	}
	return s
}

func digestFacts(s inventory.Summary) []digestFact {
	facts := []digestFact{
		{"Run", plaintext.Line(s.Run.ID, digestLabel)},
		{"Org", plaintext.Line(s.Org, digestLabel)},
		{"Mode", plaintext.Line(string(s.Mode), digestName)},
	}
	if !s.Run.FinishedAt.IsZero() {
		facts = append(facts, digestFact{"Finished", digestMoment(s.Run.FinishedAt)})
	}
	okta := digestCount(s.Run.OktaCalls, "request")
	if s.Run.RateLimited > 0 {
		okta += ", " + strconv.Itoa(s.Run.RateLimited) + " of them rate-limited"
	}
	if s.Run.Waits > 0 {
		okta += ", " + digestCount(s.Run.Waits, "pause") + " for the rate limit"
	}
	facts = append(facts, digestFact{"To Okta", okta})
	running := strconv.Itoa(s.RunningCount)
	if more := s.RunningCount - len(s.Running); more > 0 {
		running += ", of which the " + strconv.Itoa(len(s.Running)) + " oldest were looked at for what they wait for"
	}
	facts = append(facts, digestFact{"Rotations that have not ended", running})
	if n := s.Actions[inventory.ActionUnsupported]; n > 0 {
		facts = append(facts, digestFact{"To be rotated by hand", digestCount(n, "target") + " with SAML 1.1 or WS-Federation"})
	}
	for _, a := range standingsOf(s) {
		end := "nobody knows here when it ends"
		if a.end != nil {
			end = digestEnd(a.end.NotAfter, a.end.DaysLeft)
		}
		facts = append(facts, digestFact{"Certificate authority", a.name() + ": " + end})
	}
	var known []digestFact
	for _, f := range facts {
		if f.value != "" {
			known = append(known, f)
		}
	}
	return known
}

// more says how many of a list are not shown; empty for none.
func (s digestSection) more() string {
	if n := s.total - len(s.items); n > 0 {
		return "and " + strconv.Itoa(n) + " more in the report"
	}
	return ""
}

// isLink tells that the location is one that a mail can link to.
func (d digest) isLink() bool { return strings.HasPrefix(d.location, "https://") }

// text is the whole mail in plain text. The link stands alone on its line.
func (d digest) text() string {
	var b strings.Builder
	paragraph := func(lines ...string) {
		for _, line := range lines {
			b.WriteString(line + "\n")
		}
		b.WriteString("\n")
	}
	paragraph(d.title)
	for _, m := range d.marks {
		paragraph("! " + m)
	}
	for _, p := range d.intro {
		paragraph(p)
	}
	if d.nearest != "" {
		paragraph("Nearest expiry: "+d.nearest+digestParens(d.nearestIn), "  "+d.nearestOf)
	}
	if d.location != "" {
		paragraph("The report (sign in to the AWS account first):", d.location)
	}
	for _, s := range d.sections {
		paragraph(fmt.Sprintf("%s (%d)", s.heading, s.total))
		if s.about != "" {
			paragraph(s.about)
		}
		for _, item := range s.items {
			b.WriteString("- " + item.name + digestParens(item.target) + "\n")
			for _, line := range item.lines {
				b.WriteString("  " + line + "\n")
			}
		}
		if more := s.more(); more != "" {
			b.WriteString("  " + more + "\n")
		}
		b.WriteString("\n")
	}
	width := 0
	for _, f := range d.facts {
		width = max(width, len(f.name))
	}
	for _, f := range d.facts {
		fmt.Fprintf(&b, "%-*s %s\n", width+1, f.name+":", f.value)
	}
	b.WriteString("\n-- \n" + strings.Join(d.footer, "\n") + "\n")
	return b.String()
}

func (d digest) html() string {
	rows := []g.Node{d.htmlHead(), d.htmlTiles()}
	if d.nearest != "" {
		tone, color := "text", "#1c2733"
		if d.nearestSoon {
			tone, color = stationery.Tone(true)
		}
		rows = append(rows, stationery.Row("8px", stationery.Box("Nearest expiry", d.nearest, digestParens(d.nearestIn), d.nearestOf, tone, color)))
	}
	if d.isLink() {
		rows = append(rows, stationery.Row("24px", stationery.Button(d.location, "Open the report", d.urgent)), stationery.Row("12px", stationery.Small("It is in the S3 console: sign in to the AWS account first.")))
	}
	for _, s := range d.sections {
		rows = append(rows, s.html())
	}
	rows = append(rows, stationery.Row("32px", stationery.Heading("This run", ""), d.htmlFacts()))
	return stationery.Card{Subject: d.subject, Preview: d.preview(), Alarm: d.urgent, Rows: rows, Footer: d.footer}.HTML()
}

// preview is what a list of mails shows beside the subject.
func (d digest) preview() string {
	var counts []string
	for _, t := range d.tiles {
		counts = append(counts, strconv.Itoa(t.number)+" "+t.name)
	}
	s := strings.Join(counts, ", ") + "."
	if d.nearest != "" {
		s += " Nearest expiry " + d.nearest + ": " + d.nearestOf + "."
	}
	return s
}

func (d digest) htmlHead() g.Node {
	nodes := []g.Node{stationery.Kicker("Keyturn · Discovery in "+d.host, d.urgent), stationery.Title(d.title)}
	for _, m := range d.marks {
		nodes = append(nodes, stationery.Table(h.Style("margin:0 0 14px;"), h.Tr(h.Td(h.Class("mark text"), g.Attr("bgcolor", "#fdeeec"),
			h.Style("padding:12px 16px;background-color:#fdeeec;border-left:3px solid "+stationery.AlarmColor+";"+stationery.Sans+"font-size:15px;line-height:23px;color:#1c2733;word-break:break-word;"), g.Text(m)))), stationery.NL)
	}
	for _, p := range d.intro {
		nodes = append(nodes, stationery.Body(p), stationery.NL)
	}
	return stationery.Row("28px", nodes...)
}

// htmlTiles shows the counts in one row.
func (d digest) htmlTiles() g.Node {
	var cells []g.Node
	for _, t := range d.tiles {
		class, color := "text", "#1c2733"
		if t.alarm {
			class, color = "alarm", stationery.AlarmColor
		}
		cells = append(cells, h.Td(h.Class("box"), g.Attr("align", "center"), h.Width("25%"), g.Attr("bgcolor", "#f3f6fa"), h.Style("width:25%;padding:12px 4px;background-color:#f3f6fa;"),
			h.Div(h.Class(class), h.Style(stationery.Sans+"font-size:24px;line-height:30px;font-weight:600;color:"+color+";"), g.Text(strconv.Itoa(t.number))),
			stationery.NL, h.Div(h.Class("soft"), h.Style(stationery.Sans+"font-size:13px;line-height:18px;color:#55616e;"), g.Text(t.name))), stationery.NL)
	}
	return stationery.Row("8px", stationery.Table(h.Tr(cells...)))
}

// html is the list. Its table is a list to a screen reader.
func (s digestSection) html() g.Node {
	var rows []g.Node
	item := func(children ...g.Node) {
		rows = append(rows, h.Tr(h.Role("listitem"), h.Td(append([]g.Node{h.Role("presentation"), h.Class("line text"),
			h.Style("padding:9px 0;border-top:1px solid #e4e9ef;" + stationery.Sans + "font-size:15px;line-height:22px;color:#1c2733;word-break:break-word;")}, children...)...)), stationery.NL)
	}
	for _, i := range s.items {
		nodes := []g.Node{h.B(g.Text(i.name))}
		if i.target != "" {
			nodes = append(nodes, g.Text(" "), h.Span(h.Class("soft"), h.Style("font-size:13px;color:#55616e;"), g.Text(i.target)))
		}
		for _, line := range i.lines {
			nodes = append(nodes, h.Br(), stationery.NL, g.Text(line))
		}
		item(nodes...)
	}
	if more := s.more(); more != "" {
		item(h.Span(h.Class("soft"), h.Style("color:#55616e;"), g.Text(more)))
	}
	total := ""
	if s.total > 0 {
		total = " (" + strconv.Itoa(s.total) + ")"
	}
	nodes := []g.Node{stationery.Heading(s.heading, total)}
	if s.about != "" {
		nodes = append(nodes, stationery.Small(s.about), stationery.NL)
	}
	return stationery.Row("32px", append(nodes,
		stationery.Table(h.Style("margin:4px 0 0;"), h.TBody(append([]g.Node{h.Role("list"), stationery.NL}, rows...)...)))...)
}

func (d digest) htmlFacts() g.Node {
	facts := d.facts
	if d.location != "" && !d.isLink() {
		facts = append(facts, digestFact{"Report", plaintext.Line(d.location, digestMessage)})
	}
	var rows []g.Node
	for _, f := range facts {
		rows = append(rows, stationery.Fact(f.name, g.Text(f.value)))
	}
	return stationery.Table(rows...)
}
