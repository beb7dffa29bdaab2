package report

import (
	"bufio"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"io"
	"iter"
	"strconv"

	g "maragu.dev/gomponents"
	h "maragu.dev/gomponents/html"

	"keyturn/internal/inventory"
	"keyturn/internal/plaintext"
	"keyturn/internal/rotation"
)

var (
	//go:embed report.css
	css string
	//go:embed report.js
	script string
)

// policy allows the page's own style sheet and script by their hashes and
// nothing else: whatever text comes to the page, the browser runs and loads
// nothing of it.
var policy = "default-src 'none'; style-src '" + hash(css) + "'; script-src '" + hash(script) + "'; base-uri 'none'; form-action 'none'"

// hash is the hash source of an inline element with this text (CSP level 3,
// 2.3.1).
func hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

// Page writes the report: one page that loads nothing and reads without its
// script. The entries, the earliest expiry first, are gone through twice, and
// held one at a time.
func Page(w io.Writer, s inventory.Summary, entries func() iter.Seq2[inventory.Entry, error]) error {
	out := bufio.NewWriterSize(w, 64<<10)
	when := newTimeline(s.Run.StartedAt)
	for e, err := range entries() {
		if err != nil {
			return err
		}
		when.add(e)
	}
	v := view{Summary: s, timeline: when}
	if err := v.head().Render(out); err != nil {
		return err
	}
	// The long table is written row by row; what surrounds it is constant.
	_, _ = out.WriteString(tableStart)
	for e, err := range entries() {
		if err != nil {
			return err
		}
		if err := v.row(e).Render(out); err != nil {
			return err
		}
	}
	_, _ = out.WriteString(tableEnd)
	if err := v.foot().Render(out); err != nil {
		return err
	}
	_, _ = out.WriteString("</main></body></html>\n")
	return out.Flush()
}

// view is what the page shows.
type view struct {
	inventory.Summary
	timeline *timeline
}

func shown(s string) g.Node { return g.Text(plaintext.Line(s, 500)) }

// head is everything above the long table.
func (v view) head() g.Node {
	title := "SAML signing certificates"
	if v.Run.DryRun {
		title += ", dry run"
	}
	return g.Group{
		g.Raw("<!doctype html>\n<html lang=\"en\">"),
		h.Head(
			h.Meta(h.Charset("utf-8")),
			h.Meta(g.Attr("http-equiv", "Content-Security-Policy"), h.Content(policy)),
			h.Meta(h.Name("viewport"), h.Content("width=device-width, initial-scale=1")),
			h.Meta(h.Name("color-scheme"), h.Content("light dark")),
			h.Meta(h.Name("referrer"), h.Content("no-referrer")),
			h.TitleEl(g.Text(title+" – Keyturn")),
			h.StyleEl(g.Raw(css)),
			// Before the body: rows that it will not show are never laid out.
			h.Script(g.Raw(script)),
		),
		g.Raw("<body>"),
		h.A(h.Class("skip"), h.Href("#all"), g.Text("To the table of all targets")),
		h.Header(h.Div(h.Class("wrap"),
			h.P(h.Class("brand"), g.Text("Keyturn")),
			h.H1(g.Text(title)),
			h.P(h.Class("headline"), shown(firstUpper(headline(v.Summary))), g.Text(".")),
			h.P(h.Class("lead"), g.El("bdi", g.Text(digestHost(v.Org))), g.Text(" on "), moment(v.Run.StartedAt), g.Text(". Mode "), g.Text(modes[v.Mode]), g.Text(".")),
			g.Group(v.banners()),
			v.figures(),
		)),
		g.Raw("<main class=wrap>"),
		section("timeline", "When they end", v.timeline.render()),
		section("due", "What is due", v.due()),
		section("waiting", "What waits for whom", v.waiting()),
		section("failed", "What failed lately", v.failed()),
		g.Iff(len(v.Authorities) > 0, func() g.Node { return section("authorities", "Certificate authorities", v.authorities()) }),
		g.Iff(v.Run.ProblemCount > 0, func() g.Node { return section("problems", "Problems of this run", v.problems()) }),
		g.Raw("<section id=all aria-labelledby=all-h><h2 id=all-h>All targets</h2>"),
		v.controls(),
	}
}

func (v view) banners() []g.Node {
	var all []g.Node
	if v.Run.DryRun {
		all = append(all, h.P(h.Class("banner"), h.Strong(g.Text("Dry run. ")), g.Text("It says what would happen. Nothing was started, and the inventory is that of the last real run.")))
	}
	if !v.Run.Complete {
		all = append(all, h.P(h.Class("banner bad"), h.Strong(g.Text("Not complete. ")), g.Text("A list of Okta's could not be read to its end. Targets of an earlier run stand in, marked as stale.")))
	}
	return append(all, v.authorityBanners()...)
}

// figures are the numbers that people look at first.
func (v view) figures() g.Node {
	figure := func(class, n, what, section string) g.Node {
		return h.Div(h.Class("figure "+class), h.Dd(g.Text(n)), h.Dt(h.A(h.Href("#"+section), g.Text(what))))
	}
	nearest, what, tone := "–", "days to the nearest expiry", ""
	if v.Nearest != nil && v.Nearest.DaysLeft != nil {
		n := *v.Nearest.DaysLeft
		nearest = number(n)
		if n < 0 {
			nearest, what = number(-n-1), "days since a certificate ended"
		}
		if n < 14 {
			tone = "bad"
		}
	}
	started := "rotations started"
	if v.Run.DryRun {
		started = "would be started"
	}
	failed := ""
	if v.FailedCount > 0 {
		failed = "bad"
	}
	return h.Dl(h.Class("figures"),
		figure(tone, nearest, what, "timeline"),
		figure("", number(v.DueCount), "due", "due"),
		figure("", number(v.Actions[inventory.ActionStart]), started, "due"),
		figure("", number(v.RunningCount), "running", "waiting"),
		figure(failed, number(v.FailedCount), "failed in 14 days", "failed"),
		figure("", number(v.Run.Targets), "targets", "all"),
	)
}

func section(id, title string, content ...g.Node) g.Node {
	return g.El("section", h.ID(id), h.Aria("labelledby", id+"-h"), h.H2(h.ID(id+"-h"), g.Text(title)), g.Group(content))
}

// foot is everything below the long table.
func (v view) foot() g.Node {
	return g.Group{
		g.Raw("</section>"),
		g.Iff(len(v.SharedKeys) > 0, func() g.Node { return section("shared", "Keys that several targets share", v.shared()) }),
		g.Iff(len(v.Trust) > 0, func() g.Node { return section("trust", "Certificates of the IdPs' partners", v.trust()) }),
		section("run", "This run", v.facts()),
	}
}

func (v view) facts() g.Node {
	fact := func(name, value string) g.Node { return h.Div(h.Dt(g.Text(name)), h.Dd(g.Text(value))) }
	r := v.Run
	return h.Dl(h.Class("facts"),
		fact("Name", plaintext.Line(r.ID, 100)),
		fact("Started", dateTime(r.StartedAt)),
		fact("Ended", dateTime(r.FinishedAt)),
		fact("Listed", fmt.Sprintf("%s and %s, of which %s sign SAML", count(r.Apps, "app"), count(r.IDPs, "IdP"), number(r.Targets))),
		fact("Calls to Okta", number(r.OktaCalls)),
		fact("Certificates learned", number(r.LearnedKids)),
		fact("Waits for the rate limit", number(r.Waits)),
		fact("Answers 429", number(r.RateLimited)),
		fact("At most, a run", count(v.MaxRotations, "rotation")),
	)
}

// The long table. Its rows have no closing tags of cells and rows, which HTML
// does not need: 15,000 rows are some megabytes as it is.
const (
	tableStart = `<div class="scroll" tabindex="0" role="region" aria-label="All targets"><table id="targets"><caption class="hidden">All targets, the earliest expiry first</caption><thead><tr>` +
		`<th scope="col">Target<th scope="col">Kind<th scope="col">Days left<th scope="col">Ends<th scope="col">Action<th scope="col">Rule<th scope="col">Key<th scope="col">Issuer</tr></thead><tbody>`
	tableEnd = "\n</tbody></table></div>"
)

func (v view) row(e inventory.Entry) g.Node {
	left, ends := g.Text("–"), g.Text("unknown")
	if e.DaysLeft != nil && e.NotAfter != nil {
		left, ends = g.Text(strconv.Itoa(*e.DaysLeft)), g.Text(date(*e.NotAfter))
	}
	note := ""
	switch {
	case e.Problem != nil:
		note = e.Problem.Name
	case e.Stale:
		note = "stale"
	}
	key := short(e.Kid)
	if e.Sharing > 1 {
		key += fmt.Sprintf(" ×%d", e.Sharing)
	}
	state := ""
	switch stateOf(e) {
	case stateEnded:
		state = " class=ended"
	case stateDue:
		state = " class=due"
	}
	return g.Group{
		g.Raw("\n<tr" + state + "><th scope=row>"), v.target(e.Target),
		g.Raw("<td>"), g.Text(kindWord(e.Target.Kind)),
		g.Raw("<td>"), left,
		g.Raw("<td>"), ends,
		g.Raw("<td>"), g.Text(actionWord(e.Action, v.Run.DryRun)), g.If(note != "", h.Small(shown(note))),
		g.Raw("<td>"), g.Text(rule(e)),
		g.Raw("<td>"), shown(key),
		g.Raw("<td>"), g.Text(plaintext.Line(commonName(e.Issuer), 60)),
	}
}

func short(kid string) string {
	if len(kid) > 8 {
		return kid[:8]
	}
	return kid
}

// controls sort nothing and find nothing without the script, which shows them.
func (v view) controls() g.Node {
	option := func(value, text string) g.Node { return h.Option(h.Value(value), g.Text(text)) }
	words := []g.Node{option("", "every action")}
	for _, a := range []inventory.Action{
		inventory.ActionStart, inventory.ActionRunning, inventory.ActionPostponed, inventory.ActionPaused, inventory.ActionNotify, inventory.ActionFailed,
		inventory.ActionUnknown, inventory.ActionUnsupported, inventory.ActionInactive, inventory.ActionOff, inventory.ActionNone,
	} {
		if v.Actions[a] > 0 {
			word := actionWord(a, v.Run.DryRun)
			words = append(words, option(word, fmt.Sprintf("%s (%s)", word, number(v.Actions[a]))))
		}
	}
	return h.Form(h.ID("controls"), g.Attr("hidden"), h.Role("search"), h.Aria("label", "Filter the table"),
		h.Label(h.Span(g.Text("Find")), h.Input(h.ID("find"), h.Type("search"), g.Attr("autocomplete", "off"), h.Placeholder("label, key, issuer"))),
		h.Label(h.Span(g.Text("Kind")), h.Select(h.ID("kind"), option("", "apps and IdPs"), option(kindWord(rotation.KindApp), "apps"), option(kindWord(rotation.KindIDP), "IdPs"))),
		h.Label(h.Span(g.Text("Action")), h.Select(h.ID("action"), g.Group(words))),
		// Where the screen is narrow, the table has no head to sort it by.
		h.Label(h.Class("sorting"), h.Span(g.Text("Sort by")), h.Select(h.ID("order"), option("2", "days left"), option("0", "target"), option("4", "action"), option("5", "rule"), option("6", "key"), option("7", "issuer"))),
		h.P(h.ID("found"), h.Role("status"), g.Text(count(v.Run.Targets, "target"))),
	)
}
