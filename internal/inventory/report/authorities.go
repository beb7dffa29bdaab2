package report

import (
	"fmt"
	"time"

	g "maragu.dev/gomponents"
	h "maragu.dev/gomponents/html"

	"keyturn/internal/inventory"
	"keyturn/internal/plaintext"
	"keyturn/internal/rotation"
)

// outlook is what an end means for certificates that are issued today.
type outlook int

const (
	outlookUnknown outlook = iota
	// outlookWhole is where they are valid as long as the policy asks;
	// outlookCut where they end with the CA, before that.
	outlookWhole
	outlookCut
	// outlookNone is where the CA has so few days left that Okta takes no
	// certificate of it.
	outlookNone
	outlookEnded
)

// outlookOf is what it means that a certificate of a CA ends then.
func outlookOf(end, now time.Time, validityDays int) outlook {
	switch left := end.Sub(now); {
	case left < 0:
		return outlookEnded
	case left <= rotation.MinRemainingDays*rotation.Day:
		return outlookNone
	case left < time.Duration(validityDays)*rotation.Day:
		return outlookCut
	}
	return outlookWhole
}

// bad tells that the CA can issue nothing.
func (o outlook) bad() bool { return o == outlookNone || o == outlookEnded }

// class is how what is left looks.
func (o outlook) class() string {
	switch {
	case o.bad():
		return stateEnded.class()
	case o == outlookCut:
		return stateDue.class()
	}
	return ""
}

// standing is a CA, and how it stands when a run is reported.
type standing struct {
	inventory.CertificateAuthority
	outlook outlook
	// end is the certificate that ends first; nil where none is known.
	end *inventory.AuthorityCertificate
}

func standingsOf(s inventory.Summary) []standing {
	var list []standing
	for _, a := range s.Authorities {
		one := standing{CertificateAuthority: a, end: a.FirstEnd()}
		if one.end != nil {
			one.outlook = outlookOf(one.end.NotAfter, reportedAt(s), a.ValidityDays)
		}
		list = append(list, one)
	}
	return list
}

// reportedAt is the time that a run is looked at from.
func reportedAt(s inventory.Summary) time.Time {
	if s.Run.FinishedAt.IsZero() {
		return s.Run.StartedAt
	}
	return s.Run.FinishedAt
}

// name is how people call the CA, with its provider.
func (a standing) name() string {
	provider := plaintext.Line(string(a.Provider), maxLabel)
	if len(a.Certificates) == 0 {
		return provider
	}
	return plaintext.Line(commonName(a.Certificates[0].Subject), maxLabel) + " (" + provider + ")"
}

// attention says what is wrong with the CA; empty where nothing is. day writes
// a date.
func (a standing) attention(day func(time.Time) string) string {
	switch a.outlook {
	case outlookWhole:
		return ""
	case outlookUnknown:
		return "Nobody knows here when the CA " + a.name() + " ends, nor whether it can sign: see the problems of this run."
	}
	verb := "ends"
	if a.outlook == outlookEnded {
		verb = "ended"
	}
	text := fmt.Sprintf("The CA %s %s %s, on %s", a.name(), verb, away(a.end.DaysLeft), day(a.end.NotAfter))
	if a.end != &a.Certificates[0] {
		text += ", with " + plaintext.Line(commonName(a.end.Subject), maxLabel) + " above it"
	}
	switch a.outlook {
	case outlookEnded:
		return text + ". It can issue no certificate: renew it."
	case outlookNone:
		return text + fmt.Sprintf(". Okta takes no certificate with %d days or less, so it can issue none: renew it.", rotation.MinRemainingDays)
	}
	return text + fmt.Sprintf(". New certificates are cut to its end, short of the policy's %s: renew it.", count(a.ValidityDays, "day"))
}

// authoritiesEnd says for the headline that a CA can issue nothing more; empty
// where each can.
func authoritiesEnd(s inventory.Summary) string {
	var first *standing
	for _, a := range standingsOf(s) {
		if a.outlook.bad() && (first == nil || a.end.NotAfter.Before(first.end.NotAfter)) {
			first = &a
		}
	}
	which := "the CA "
	if len(s.Authorities) > 1 {
		which = "a CA "
	}
	switch {
	case first == nil:
		return ""
	case first.outlook == outlookEnded:
		return which + "has ended"
	}
	return which + "ends " + away(first.end.DaysLeft)
}

// authorityBanners say at the top of the page which CA needs somebody, the worst
// first.
func (v view) authorityBanners() []g.Node {
	var bad, rest []g.Node
	for _, a := range standingsOf(v.Summary) {
		banner := func(class, short string) g.Node {
			return h.P(h.Class(class), h.Strong(g.Text(short)), g.Text(" "), shown(a.attention(date)))
		}
		switch a.outlook {
		case outlookWhole:
		case outlookUnknown:
			rest = append(rest, banner("banner", "CA not described."))
		case outlookCut:
			rest = append(rest, banner("banner", "Short certificates."))
		default:
			bad = append(bad, banner("banner bad", "No new certificates."))
		}
	}
	return append(bad, rest...)
}

// authorities are all certificates of the CAs, the issuing one of each first.
func (v view) authorities() g.Node {
	var rows []row
	for _, a := range standingsOf(v.Summary) {
		provider := h.Code(shown(string(a.Provider)))
		if a.end == nil {
			why := ""
			if a.Problem != nil {
				why = a.Problem.Message
			}
			rows = append(rows, row{g.Group{g.Text("Not described"), h.Small(h.Class("bad"), shown(why))}, provider, g.Text("–"), g.Text("unknown"), g.Text("–"), g.Text("–")})
			continue
		}
		for i := range a.Certificates {
			c := &a.Certificates[i]
			means := "–"
			if c == a.end {
				means = a.means()
			}
			state := outlookOf(c.NotAfter, reportedAt(v.Summary), a.ValidityDays)
			rows = append(rows, row{shown(commonName(c.Subject)), provider, left(&c.DaysLeft, state.class()), day(&c.NotAfter), shown(commonName(c.Issuer)), g.Text(means)})
		}
	}
	return g.Group{
		h.P(h.Class("soft"), g.Text("They sign the new certificates, and no certificate outlives them.")),
		table("Certificates of the CAs, the issuing one first", []string{"Certificate", "CA", "Left", "Ends", "Issued by", "New certificates"}, rows),
	}
}

// means is what the first end means for new certificates.
func (a standing) means() string {
	switch {
	case a.outlook.bad():
		return "none can be issued"
	case a.outlook == outlookCut:
		return "end with it, short of " + count(a.ValidityDays, "day")
	case a.ValidityDays > 0:
		return "up to " + count(a.ValidityDays, "day")
	}
	return "–"
}
