package main

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"keyturn/internal/ca"
	"keyturn/internal/ca/cacert"
	"keyturn/internal/rotation"
)

// step is something for a person to do, with the command for it if there is one.
type step struct{ text, command string }

func (p program) next(steps ...step) {
	p.printf("\nNext:\n")
	for i, s := range steps {
		p.printf("  %d. %s\n", i+1, strings.ReplaceAll(s.text, "\n", "\n     "))
		if s.command != "" {
			p.printf("       %s\n", s.command)
		}
	}
}

// row is a place and what is there.
func (p program) row(place, what string) { p.printf("  %s\n      %s\n", place, what) }

func (p program) fact(name, value string) { p.printf("  %-12s  %s\n", name, value) }

func (p program) notes(notes []string) {
	if len(notes) > 0 {
		p.printf("\n%s\n", strings.Join(notes, "\n"))
	}
}

// name is what people call the holder of a certificate.
func name(c *x509.Certificate) string {
	if c.Subject.CommonName != "" {
		return c.Subject.CommonName
	}
	return c.Subject.String()
}

// describe shows all that one needs to tell these certificates from others.
func (p program) describe(chain ca.Chain) {
	for i, c := range chain {
		selfIssued := bytes.Equal(c.RawIssuer, c.RawSubject)
		title := "CA above it"
		switch {
		case i == 0:
			title = "Issuing CA"
		case selfIssued:
			title = "Root"
		}
		p.printf("\n%s\n", title)
		p.fact("subject", c.Subject.String())
		if selfIssued {
			p.fact("issuer", "itself")
		} else {
			p.fact("issuer", c.Issuer.String())
		}
		p.fact("valid", fmt.Sprintf("%s to %s (%s)", minute(c.NotBefore), minute(c.NotAfter), p.left(c)))
		p.fact("key", ca.KeyText(c.PublicKey))
		p.fact("signature", c.SignatureAlgorithm.String())
		p.fact("path length", pathLength(c))
		p.fact("names", namesText(c))
		p.fact("serial", colons(c.SerialNumber.Bytes()))
		sum := sha256.Sum256(c.Raw)
		p.fact("SHA-256", colons(sum[:]))
	}
}

func (p program) describeRequest(r *x509.CertificateRequest) {
	p.printf("\n")
	p.fact("subject", r.Subject.String())
	p.fact("key", ca.KeyText(r.PublicKey))
	sum := sha256.Sum256(r.RawSubjectPublicKeyInfo)
	p.fact("key SHA-256", colons(sum[:]))
}

func minute(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }

func colons(b []byte) string {
	return strings.ToUpper(strings.ReplaceAll(fmt.Sprintf("% x", b), " ", ":"))
}

func (p program) left(c *x509.Certificate) string {
	switch now := p.now(); {
	case now.Before(c.NotBefore):
		return "not valid yet"
	case now.After(c.NotAfter):
		return fmt.Sprintf("expired %s ago", days(now.Sub(c.NotAfter)))
	default:
		return days(c.NotAfter.Sub(now)) + " left"
	}
}

// days are whole ones.
func days(d time.Duration) string {
	if n := int(d.Hours() / 24); n != 1 {
		return fmt.Sprintf("%d days", n)
	}
	return "1 day"
}

func pathLength(c *x509.Certificate) string {
	switch {
	case !c.BasicConstraintsValid || !c.IsCA:
		return "not a CA"
	case c.MaxPathLen < 0:
		return "no limit"
	case c.MaxPathLen == 0:
		return "0 (no CA below it)"
	}
	return strconv.Itoa(c.MaxPathLen)
}

// namesText says which names a certificate below may have. A kind of names that
// is limited to those that nobody has is none.
func namesText(c *x509.Certificate) string {
	list := func(kind string, permitted, excluded []string) string {
		switch {
		case slices.Contains(excluded, "") || slices.Equal(permitted, []string{cacert.NoHost}):
			return kind + " none"
		case len(permitted)+len(excluded) == 0:
			return kind + " any"
		}
		text := kind + " any"
		if len(permitted) > 0 {
			text = kind + " " + strings.Join(permitted, " ")
		}
		if len(excluded) > 0 {
			text += " but not " + strings.Join(excluded, " ")
		}
		return text
	}
	ips := func(nets []*net.IPNet) (list []string) {
		all := 0
		for _, n := range nets {
			list = append(list, n.String())
			if ones, _ := n.Mask.Size(); ones == 0 {
				all++
			}
		}
		if all == 2 { // IPv4 and IPv6
			return []string{""}
		}
		return list
	}
	text := strings.Join([]string{
		list("DNS", c.PermittedDNSDomains, c.ExcludedDNSDomains),
		list("IP", ips(c.PermittedIPRanges), ips(c.ExcludedIPRanges)),
		list("mail", c.PermittedEmailAddresses, c.ExcludedEmailAddresses),
		list("URI", c.PermittedURIDomains, c.ExcludedURIDomains),
	}, ", ")
	switch {
	case text == "DNS any, IP any, mail any, URI any":
		return "any (no name constraints)"
	case !c.PermittedDNSDomainsCritical:
		return text + " (not critical)"
	}
	return text
}

// usualDays is the policy's validityDays where it says nothing else.
var usualDays = rotation.DefaultSettings(nil).ValidityDays

// soon tells that certificates of so many days would outlive the CA; see ca.Issue.
func soon(chain ca.Chain, now time.Time, validity int) []string {
	first := slices.MinFunc(chain, func(a, b *x509.Certificate) int { return a.NotAfter.Compare(b.NotAfter) })
	if left := first.NotAfter.Sub(now); left > ca.MinValidity && now.AddDate(0, 0, validity).After(first.NotAfter) {
		return []string{fmt.Sprintf("%s ends on %s: what it signs today ends then as well, before the policy's %d days are over, and in its last 90 days it signs nothing",
			name(first), minute(first.NotAfter), validity)}
	}
	return nil
}
