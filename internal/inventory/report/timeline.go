package report

import (
	"fmt"
	"math"
	"strconv"
	"time"

	g "maragu.dev/gomponents"
	h "maragu.dev/gomponents/html"

	"keyturn/internal/inventory"
)

// months is how far the timeline looks ahead, one bar for each.
const months = 24

// soon is what has fewer days left and is not due yet.
const soon = 90

// state is how near the end of a certificate is.
type state int

const (
	// stateAside is a target's whose certificate nobody waits for: it is
	// inactive, or the policy leaves it out.
	stateAside state = iota
	stateUnknown
	stateEnded
	stateDue
	stateSoon
	stateLater
)

func stateOf(e inventory.Entry) state {
	switch {
	case e.Action == inventory.ActionInactive || e.Action == inventory.ActionOff:
		return stateAside
	case e.NotAfter == nil || e.DaysLeft == nil:
		return stateUnknown
	case *e.DaysLeft < 0:
		return stateEnded
	case e.Due:
		return stateDue
	case *e.DaysLeft < soon:
		return stateSoon
	}
	return stateLater
}

// class is how its looks are called.
func (s state) class() string {
	switch s {
	case stateEnded:
		return "ended"
	case stateDue:
		return "due"
	case stateSoon:
		return "soon"
	case stateLater:
		return "later"
	}
	return ""
}

// shownStates are those that a bar is made of, from below.
var shownStates = []struct {
	state state
	name  string
}{
	{stateEnded, "has ended"},
	{stateDue, "due"},
	{stateSoon, "in less than 90 days"},
	{stateLater, "in 90 days or more"},
}

// timeline counts certificates by the month in which they end.
type timeline struct {
	start time.Time // the first day of the current month, UTC
	bars  [months + 2]bar
	// unknown are targets without a date, aside those that nobody waits for.
	unknown, aside int
}

// bar counts what ends in one month, by state; the first is what has ended, the
// last all that ends later.
type bar [stateLater + 1]int

func (b bar) all() int {
	n := 0
	for _, s := range shownStates {
		n += b[s.state]
	}
	return n
}

func newTimeline(now time.Time) *timeline {
	now = now.UTC()
	return &timeline{start: time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, time.UTC)}
}

func (t *timeline) add(e inventory.Entry) {
	state, i := stateOf(e), 0
	switch state {
	case stateAside:
		t.aside++
		return
	case stateUnknown:
		t.unknown++
		return
	case stateEnded:
	default:
		end := e.NotAfter.UTC()
		i = 1 + (end.Year()-t.start.Year())*12 + int(end.Month()) - int(t.start.Month())
		i = min(max(i, 1), months+1)
	}
	t.bars[i][state]++
}

// name is what a bar is of.
func (t *timeline) name(i int) string {
	switch i {
	case 0:
		return "ended"
	case months + 1:
		return "later"
	}
	return t.start.AddDate(0, i-1, 0).Format("Jan 2006")
}

// The picture's measures, in the units of its view box.
const (
	barWidth, barGap   = 30, 8
	plotTop, plotLeft  = 34, 8
	plotHeight, labels = 190, 62
	plotWidth          = (months + 2) * (barWidth + barGap)
	pictureWidth       = plotLeft*2 + plotWidth
	pictureHeight      = plotTop + plotHeight + labels
)

// height of n certificates where the highest bar has so many. A square root
// keeps one certificate visible beside hundreds; the numbers say how many. A bar
// that would be higher is cut.
func height(n, highest int) float64 {
	if n == 0 {
		return 0
	}
	return min(max(3, math.Sqrt(float64(n)/float64(highest))*plotHeight), plotHeight)
}

func (t *timeline) render() g.Node {
	// Most certificates of an org end later: their bar does not set the scale.
	highest, total := 1, 0
	for i, b := range t.bars {
		if i <= months {
			highest = max(highest, b.all())
		}
		total += b.all()
	}
	cut := t.bars[months+1].all() > highest
	var bars []g.Node
	for i, b := range t.bars {
		x := float64(plotLeft + i*(barWidth+barGap) + barGap/2)
		full, bottom := height(b.all(), highest), float64(plotTop+plotHeight)
		// What comes first is never too low to be seen, and the last state has
		// the rest.
		y := bottom
		last := stateAside
		for _, s := range shownStates {
			if b[s.state] > 0 {
				last = s.state
			}
		}
		for _, s := range shownStates {
			if b[s.state] == 0 {
				continue
			}
			part := max(3, full*float64(b[s.state])/float64(b.all()))
			if s.state == last {
				part = max(3, y-(bottom-full))
			}
			class := s.state.class()
			if i == months+1 {
				class += " tail"
			}
			y -= part
			bars = append(bars, rect(class, x, y, part))
		}
		if b.all() > 0 {
			bars = append(bars, text("n", x+barWidth/2, y-7, short4(b.all())))
		}
		at := t.start.AddDate(0, i-1, 0)
		switch i {
		case 0, months + 1:
			bars = append(bars, text("tick", x+barWidth/2, bottom+20, t.name(i)))
		default:
			bars = append(bars, text("tick", x+barWidth/2, bottom+20, at.Format("Jan")))
			if i == 1 || at.Month() == time.January {
				bars = append(bars, text("year", x+barWidth/2, bottom+42, at.Format("2006")))
			}
		}
	}
	var names []g.Node
	for _, s := range shownStates {
		names = append(names, th(s.name))
	}
	title := fmt.Sprintf("When certificates end: %s by month", count(total, "certificate"))
	return h.Figure(h.Class("timeline"),
		h.Div(h.Class("scroll"), g.Attr("tabindex", "0"), h.Role("region"), h.Aria("label", "Timeline"),
			h.SVG(g.Attr("viewBox", fmt.Sprintf("0 0 %d %d", pictureWidth, pictureHeight)), h.Role("img"), h.Aria("labelledby", "tl-title tl-desc"),
				g.El("title", h.ID("tl-title"), g.Text(title)),
				g.El("desc", h.ID("tl-desc"), g.Text(t.inWords())),
				hatch(),
				g.Group(bars),
				g.El("line", h.Class("axis"), g.Attr("x1", itoa(plotLeft)), g.Attr("x2", itoa(plotLeft+plotWidth)), g.Attr("y1", itoa(plotTop+plotHeight)), g.Attr("y2", itoa(plotTop+plotHeight))),
			)),
		h.FigCaption(
			g.Group(t.legend()),
			h.Span(h.Class("soft"), g.Text("Bars grow with the square root of the number above them."), g.If(cut, g.Text(" The last one is cut.")), g.Text(t.dateless())),
		),
		h.Details(h.Summary(g.Text("The same as a table")),
			h.Table(h.Class("narrow"), h.Caption(h.Class("hidden"), g.Text(title)),
				h.THead(h.Tr(th("Ends"), th("Certificates"), g.Group(names))),
				h.TBody(g.Group(t.rows())))),
	)
}

func (t *timeline) rows() []g.Node {
	var rows []g.Node
	for i, b := range t.bars {
		if b.all() == 0 {
			continue
		}
		cells := []g.Node{h.Th(g.Attr("scope", "row"), g.Text(t.name(i))), h.Td(g.Text(number(b.all())))}
		for _, s := range shownStates {
			cells = append(cells, h.Td(g.Text(number(b[s.state]))))
		}
		rows = append(rows, h.Tr(cells...))
	}
	return rows
}

// of counts a state over all months.
func (t *timeline) of(s state) int {
	n := 0
	for _, b := range t.bars {
		n += b[s]
	}
	return n
}

func (t *timeline) legend() []g.Node {
	var keys []g.Node
	for _, s := range shownStates {
		keys = append(keys, h.Span(h.Class("key key-"+s.state.class()), g.Text(s.name+" "), h.Strong(g.Text(number(t.of(s.state))))))
	}
	return keys
}

// dateless are those that have no place in the picture.
func (t *timeline) dateless() string {
	s := ""
	if t.unknown > 0 {
		s += " Not in it: " + count(t.unknown, "target") + " without a known date."
	}
	if t.aside > 0 {
		s += " Not in it: " + count(t.aside, "target") + " inactive or left out by the policy."
	}
	return s
}

// inWords is what the picture shows, for whom cannot see it.
func (t *timeline) inWords() string {
	next := 0
	for _, b := range t.bars[1:4] {
		next += b.all()
	}
	return fmt.Sprintf("%s have ended, %s end in this month and the two after it, %s of those to come are due by their policy, %s end later than in %d months.",
		number(t.bars[0].all()), number(next), number(t.of(stateDue)), number(t.bars[months+1].all()), months)
}

// short4 is a number that fits above a bar: 1,234 and then 12k.
func short4(n int) string {
	if n < 10_000 {
		return number(n)
	}
	return number(n/1000) + "k"
}

func rect(class string, x, y, height float64) g.Node {
	if height <= 0 {
		return nil
	}
	return g.El("rect", h.Class(class), g.Attr("x", unit(x)), g.Attr("y", unit(y)), g.Attr("width", itoa(barWidth)), g.Attr("height", unit(height)))
}

func text(class string, x, y float64, s string) g.Node {
	return g.El("text", h.Class(class), g.Attr("x", unit(x)), g.Attr("y", unit(y)), g.Text(s))
}

// hatch is over what is due, so that not only its colour tells.
func hatch() g.Node {
	return g.El("defs", g.El("pattern", h.ID("hatch"), g.Attr("width", "7"), g.Attr("height", "7"), g.Attr("patternUnits", "userSpaceOnUse"), g.Attr("patternTransform", "rotate(45)"),
		g.El("rect", h.Class("hatch-ground"), g.Attr("width", "7"), g.Attr("height", "7")),
		g.El("line", h.Class("hatch-line"), g.Attr("x1", "0"), g.Attr("x2", "0"), g.Attr("y1", "0"), g.Attr("y2", "7"))))
}

func unit(f float64) string { return fmt.Sprintf("%.1f", f) }
func itoa(n int) string     { return strconv.Itoa(n) }
