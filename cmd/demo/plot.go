package main

import (
	"fmt"
	"html"
	"math"
	"strings"
	"time"
)

// The plot's measures, in pixels.
const (
	plotWidth  = 1000
	plotLeft   = 208 // of the time, behind the lanes' names
	plotRight  = 838 // the figures follow
	plotTop    = 76
	laneHeight = 56
	plotBottom = 40
)

// plotStyle follows the reader's colours. What fails is told by its height as
// well, for those who see no difference between red and green.
const plotStyle = `<style>
svg { --back: #ffffff; --text: #1f2328; --soft: #59636e; --line: #d1d9e0; --good: #1a7f37; --bad: #cf222e; --band: #cf222e1f; --mark: #0969da; }
@media (prefers-color-scheme: dark) {
svg { --back: #0d1117; --text: #f0f6fc; --soft: #9198a1; --line: #3d444d; --good: #3fb950; --bad: #ff7b72; --band: #f851492e; --mark: #79c0ff; }
}
rect.back { fill: var(--back); } rect.band { fill: var(--band); }
text { fill: var(--text); font: 13px system-ui, -apple-system, "Segoe UI", sans-serif; }
text.soft { fill: var(--soft); font-size: 12px; } text.title { font-weight: 600; font-size: 15px; }
text.name { font-weight: 600; } text.mark { fill: var(--mark); font-size: 11px; } text.bad { fill: var(--bad); font-weight: 600; }
.end { text-anchor: end; } .middle { text-anchor: middle; }
path.grid { stroke: var(--line); stroke-width: 1; } path.mark { stroke: var(--mark); stroke-width: 1.5; stroke-dasharray: 3 2; }
path.good { stroke: var(--good); stroke-width: 2; } path.bad { stroke: var(--bad); stroke-width: 2; }
</style>`

// draw makes an SVG of the lanes: each sign-in at the time of its end, the marks,
// and the phases in which sign-ins failed.
func draw(lanes []*lane) []byte {
	began, ended := lanes[0].line.Began, lanes[0].line.Ended
	for _, l := range lanes {
		if l.line.Began.Before(began) {
			began = l.line.Began
		}
		if l.line.Ended.After(ended) {
			ended = l.line.Ended
		}
	}
	whole := max(math.Ceil(ended.Sub(began).Seconds()), 1)
	x := func(t time.Time) float64 {
		return plotLeft + t.Sub(began).Seconds()/whole*(plotRight-plotLeft)
	}
	height := plotTop + len(lanes)*laneHeight + plotBottom
	var b strings.Builder
	write := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	write(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img" aria-labelledby="title summary">`, plotWidth, height, plotWidth, height)
	write(`<title id="title">Sign-ins while certificates change</title>`)
	write(`<desc id="summary">%s</desc>`, html.EscapeString(summary(lanes)))
	write("%s", plotStyle)
	write(`<rect class="back" width="%d" height="%d"/>`, plotWidth, height)
	write(`<text class="title" x="16" y="28">Sign-ins while certificates change, one every %d ms through each partner</text>`, every.Milliseconds())
	legend(write)

	bottom := plotTop + len(lanes)*laneHeight
	step := max(math.Ceil(whole/12), 1)
	for s := 0.0; s <= whole; s += step {
		at := plotLeft + s/whole*(plotRight-plotLeft)
		write(`<path class="grid" d="M%.1f %dV%d"/><text class="soft middle" x="%.1f" y="%d">%.0f s</text>`, at, plotTop, bottom, at, bottom+18, s)
	}
	write(`<text class="soft end" x="%d" y="%d">since discovery started</text>`, plotRight, bottom+34)
	for i, l := range lanes {
		l.draw(write, x, plotTop+i*laneHeight)
	}
	write(`</svg>`)
	return []byte(b.String())
}

func legend(write func(string, ...any)) {
	const y = 50
	write(`<path class="good" d="M18 %dv10M23 %dv10M28 %dv10"/><text class="soft" x="36" y="%d">a user got in</text>`, y-8, y-8, y-8, y+2)
	write(`<path class="bad" d="M128 %dv20M133 %dv20"/><text class="soft" x="142" y="%d">a user did not</text>`, y-13, y-13, y+2)
	write(`<path class="mark" d="M236 %dv20"/><text class="soft" x="244" y="%d">the partner gets the certificate (upload), Okta changes over (switch)</text>`, y-13, y+2)
}

// draw is one lane, whose upper edge is at y.
func (l *lane) draw(write func(string, ...any), x func(time.Time) float64, y int) {
	base := y + laneHeight - 10
	write(`<path class="grid" d="M16 %dH%d"/>`, y+laneHeight, plotWidth-16)
	write(`<text class="name" x="16" y="%d">%s</text><text class="soft" x="16" y="%d">%s, %s</text>`,
		y+24, html.EscapeString(l.label), y+42, l.order, html.EscapeString(l.partner))
	for _, phase := range l.line.FailedIn(l.marks...) {
		write(`<rect class="band" x="%.1f" y="%d" width="%.1f" height="%d"/>`, x(phase.From.At), y+20, x(phase.Until.At)-x(phase.From.At), laneHeight-21)
	}
	var good, bad strings.Builder
	for _, a := range l.line.Attempts {
		if a.Err == nil {
			fmt.Fprintf(&good, "M%.1f %dv-10", x(a.Ended), base)
		} else {
			fmt.Fprintf(&bad, "M%.1f %dv-20", x(a.Ended), base)
		}
	}
	write(`<path class="good" d="%s"/>`, good.String())
	if bad.Len() > 0 {
		write(`<path class="bad" d="%s"/>`, bad.String())
	}
	for i, m := range l.marks {
		// Two that are near each other point away from each other, and none points
		// into the figures.
		class, shift := "mark", 4.0
		if i == 0 || x(m.At) > plotRight-70 {
			class, shift = "mark end", -4
		}
		write(`<path class="mark" d="M%.1f %dV%d"/><text class="%s" x="%.1f" y="%d">%s</text>`, x(m.At), y+8, base, class, x(m.At)+shift, y+16, m.Name)
	}
	figures := "soft"
	if len(l.line.Failed()) > 0 {
		figures = "bad"
	}
	write(`<text class="%s" x="%d" y="%d">%d of %d failed</text><text class="soft" x="%d" y="%d">longest gap %s</text>`,
		figures, plotRight+14, y+24, len(l.line.Failed()), len(l.line.Attempts), plotRight+14, y+42, seconds(l.line.LongestGap()))
}

// summary is the plot for those who cannot see it.
func summary(lanes []*lane) string {
	var parts []string
	for _, l := range lanes {
		parts = append(parts, fmt.Sprintf("%s, %s, %s: %d of %d sign-ins failed, %s", l.label, l.order, l.partner, len(l.line.Failed()), len(l.line.Attempts), l.phases()))
	}
	return strings.Join(parts, "; ") + "."
}
