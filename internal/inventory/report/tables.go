package report

import (
	"fmt"
	"net/url"
	"strings"
	"time"

	g "maragu.dev/gomponents"
	h "maragu.dev/gomponents/html"

	"keyturn/internal/approval"
	"keyturn/internal/inventory"
	"keyturn/internal/plaintext"
	"keyturn/internal/rotation"
)

func th(s string) g.Node { return h.Th(g.Attr("scope", "col"), g.Text(s)) }

// row is a table's row, its first cell what it is about.
type row []g.Node

// table is a table that scrolls by itself where it is too wide. On a narrow
// screen each row is a card, whose cells carry their columns' names.
func table(caption string, columns []string, rows []row) g.Node {
	return h.Div(h.Class("scroll"), g.Attr("tabindex", "0"), h.Role("region"), h.Aria("label", caption),
		h.Table(h.Class("cards"), h.Caption(h.Class("hidden"), g.Text(caption)), h.THead(h.Tr(g.Map(columns, th))), h.TBody(g.Map(rows, func(r row) g.Node {
			cells := []g.Node{h.Th(g.Attr("scope", "row"), r[0])}
			for i, cell := range r[1:] {
				cells = append(cells, h.Td(h.Data("column", columns[i+1]), h.Div(cell)))
			}
			return h.Tr(cells...)
		}))))
}

func moment(t time.Time) g.Node {
	return g.El("time", g.Attr("datetime", t.UTC().Format(time.RFC3339)), g.Text(dateTime(t)))
}

func day(t *time.Time) g.Node {
	if t == nil {
		return g.Text("unknown")
	}
	return g.El("time", g.Attr("datetime", t.UTC().Format(time.RFC3339)), g.Text(date(*t)))
}

// aside is what a cell says in small letters below its value; nothing for "".
func aside(text string) g.Node { return g.If(text != "", h.Small(shown(text))) }

func none(text string) g.Node { return h.P(h.Class("none"), g.Text(text)) }

// target is a target's label, which leads to it in Okta's admin console.
func (v view) target(t rotation.Target) g.Node {
	return h.A(h.Href(approval.AdminURL(v.Org, t)), g.Text(name(t)))
}

// execution leads to an execution in the console of Step Functions.
func execution(arn, text string) g.Node {
	parts := strings.Split(arn, ":")
	if len(parts) < 8 {
		return g.Text(text)
	}
	return h.A(h.Href(console(arn)+"/states/home?region="+url.QueryEscape(parts[3])+"#/v2/executions/details/"+url.PathEscape(arn)), g.Text(text))
}

// console is the address of the AWS console for the partition of an ARN.
func console(arn string) string {
	switch strings.SplitN(arn+"::", ":", 3)[1] {
	case "aws-us-gov":
		return "https://console.amazonaws-us-gov.com"
	case "aws-cn":
		return "https://console.amazonaws.cn"
	}
	return "https://console.aws.amazon.com"
}

// ObjectURL is an object's page in the S3 console, for the partition and region
// of the execution that wrote it.
func ObjectURL(execution, bucket, key string) string {
	region := ""
	if parts := strings.Split(execution, ":"); len(parts) > 3 {
		region = url.QueryEscape(parts[3])
	}
	return console(execution) + "/s3/object/" + bucket + "?region=" + region + "&prefix=" + key
}

func people(list []string) g.Node {
	if len(list) == 0 {
		return g.Text("–")
	}
	var shown []string
	for _, p := range list {
		shown = append(shown, plaintext.Line(p, 100))
	}
	return g.Text(strings.Join(shown, ", "))
}

func more(shown, all int, what string) g.Node {
	if all <= shown {
		return nil
	}
	return h.P(h.Class("soft"), g.Text(fmt.Sprintf("And %s more%s.", number(all-shown), what)))
}

func (v view) due() g.Node {
	if v.DueCount == 0 {
		return none("Nothing: no active target's certificate ends within its rotateBeforeDays.")
	}
	var rows []row
	for _, e := range v.Due {
		rows = append(rows, row{v.target(e.Target),
			g.Text(kindWord(e.Target.Kind)),
			left(e.DaysLeft, stateOf(e).class()),
			day(e.NotAfter),
			g.Group{v.action(e), aside(e.Reason),
				g.Iff(e.Problem != nil, func() g.Node { return h.Small(h.Class("bad"), shown(e.Problem.Message)) })},
			g.Text(rule(e)),
			people(e.Approvers)})
	}
	return g.Group{table("What is due, the earliest expiry first", []string{"Target", "Kind", "Left", "Ends", "Action", "Rule", "Approvers"}, rows),
		more(len(v.Due), v.DueCount, " in the table of all targets")}
}

// left says how many days are left.
func left(n *int, class string) g.Node {
	if n == nil {
		return g.Text("–")
	}
	return h.Span(h.Class("left "+class), g.Text(days(*n)))
}

// rule is the policy's that matched.
func rule(e inventory.Entry) string {
	if e.Rule < 0 {
		return "–"
	}
	return fmt.Sprintf("rules[%d]", e.Rule)
}

func (v view) action(e inventory.Entry) g.Node {
	word := actionWord(e.Action, v.Run.DryRun)
	if e.Rotation != nil {
		return execution(e.Rotation.Execution, word)
	}
	return g.Text(word)
}

func (v view) waiting() g.Node {
	if v.RunningCount == 0 {
		return none("No rotation is running.")
	}
	var rows []row
	for _, r := range v.Running {
		since := r.StartedAt
		if r.Since != nil {
			since = *r.Since
		}
		answer := g.Text("–")
		if by := r.AnswerBy; by != nil {
			answer = g.Group{moment(*by), aside(away(inventory.DaysLeft(*by, v.Run.StartedAt)))}
		}
		rows = append(rows, row{v.target(r.Target),
			execution(r.Execution, stageWord(r.Stage)),
			g.Group{moment(since), aside(lasted(v.Run.StartedAt.Sub(since)))},
			people(r.Asked),
			answer})
	}
	return g.Group{table("Rotations that are running, the oldest first", []string{"Target", "Waits for", "Since", "Asked", "Answer by"}, rows),
		more(len(v.Running), v.RunningCount, "")}
}

// maxCompleted is how many of those that went well are shown.
const maxCompleted = 10

func (v view) failed() g.Node {
	var rows []row
	var good []g.Node
	for _, e := range v.Ended {
		if e.Result == "Completed" {
			if len(good) < maxCompleted {
				good = append(good, h.Li(v.target(e.Target), g.Text(", "), moment(e.EndedAt)))
			}
			continue
		}
		why := strings.Trim(e.Error+": "+e.Message, ": ")
		if rejected(e) {
			why = "rejected"
		}
		if why == "" {
			why = "–"
		}
		said := "–"
		if e.By != "" {
			said = e.By
			if e.Comment != "" {
				said += ": “" + e.Comment + "”"
			}
		}
		rows = append(rows, row{v.target(e.Target), execution(e.Execution, resultWord(e.Result)), moment(e.EndedAt), shown(why), g.El("bdi", shown(said))})
	}
	lately := none("No rotation ended without success in the last 14 days.")
	if len(rows) > 0 {
		lately = table("Rotations of the last 14 days that ended without success, the latest first", []string{"Target", "Result", "Ended", "Why", "Who said what"}, rows)
	}
	return g.Group{lately, more(len(rows), v.FailedCount, ""),
		g.Iff(len(good) > 0, func() g.Node {
			return g.Group{h.H3(g.Text("Completed lately")), h.Ul(h.Class("plain"), g.Group(good))}
		})}
}

func (v view) problems() g.Node {
	var items []g.Node
	for _, p := range v.Run.Problems {
		items = append(items, h.Li(h.Strong(shown(p.Name)), g.Text(" "),
			g.Iff(p.Target != nil, func() g.Node { return g.Group{v.target(*p.Target), g.Text(": ")} }), shown(p.Message)))
	}
	return g.Group{h.Ul(g.Group(items)), more(len(v.Run.Problems), v.Run.ProblemCount, "; the inventory has them with their targets")}
}

// maxMembers is how many targets of a group are shown.
const maxMembers = 10

func (v view) shared() g.Node {
	var rows []row
	for _, k := range v.SharedKeys {
		var names []g.Node
		for i, t := range k.Targets {
			if i == maxMembers {
				break
			}
			if i > 0 {
				names = append(names, g.Text(", "))
			}
			names = append(names, v.target(t))
		}
		if k.Count > maxMembers {
			names = append(names, g.Text(fmt.Sprintf(" and %s more", number(k.Count-maxMembers))))
		}
		rows = append(rows, row{h.Code(shown(short(k.Kid))), g.Text(kindWord(k.Kind)), g.Text(number(k.Count)), day(k.NotAfter), g.Group(names)})
	}
	return g.Group{table("Keys that several targets share, the largest group first", []string{"Key", "Kind", "Targets", "Ends", "Which"}, rows),
		more(len(v.SharedKeys), v.SharedKeyCount, "")}
}

func (v view) trust() g.Node {
	var rows []row
	for _, t := range v.Trust {
		var users []g.Node
		for i, u := range t.UsedBy {
			if i > 0 {
				users = append(users, g.Text(", "))
			}
			users = append(users, v.target(u))
		}
		subject := h.Code(shown(short(t.Kid)))
		if t.Subject != "" {
			subject = shown(commonName(t.Subject))
		}
		class := ""
		if t.DaysLeft != nil && *t.DaysLeft < 0 {
			class = stateEnded.class()
		}
		ends := left(t.DaysLeft, class)
		if t.DaysLeft == nil && t.Problem != nil {
			ends = shown(t.Problem.Message)
		}
		rows = append(rows, row{subject, ends, day(t.NotAfter), g.Group(users)})
	}
	return g.Group{
		h.P(h.Class("soft"), g.Text("Okta verifies the partners' assertions with them. They are the partners' to renew.")),
		table("Certificates of the IdPs' partners, the earliest expiry first", []string{"Subject", "Left", "Ends", "IdPs"}, rows),
	}
}

// commonName is the CN of a distinguished name (RFC 2253), or all of it.
func commonName(dn string) string {
	rest := dn
	for rest != "" {
		var part strings.Builder
		escaped := false
		end := strings.IndexFunc(rest, func(r rune) bool {
			switch {
			case escaped:
				escaped = false
			case r == '\\':
				escaped = true
				return false
			case r == ',' || r == '+':
				return true
			}
			part.WriteRune(r)
			return false
		})
		if cn, found := strings.CutPrefix(strings.TrimSpace(part.String()), "CN="); found && cn != "" {
			return cn
		}
		if end < 0 {
			break
		}
		rest = rest[end+1:]
	}
	return dn
}
