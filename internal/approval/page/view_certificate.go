package page

import (
	"strings"

	g "maragu.dev/gomponents"
	h "maragu.dev/gomponents/html"

	"keyturn/internal/approval"
	"keyturn/internal/rotation"
)

// The asking page of StageCertificate. Its reader runs a CA, or has a ticket for
// those who do: the request comes first, then what the certificate must be like,
// then the way to hand it in.

// leadToSign says what is asked, by when, and what is at stake.
func (a ask) leadToSign() g.Node {
	ends := say("If nobody answers by {}, Keyturn stops waiting: nothing changes, and the request stays pending in Okta.", when(a.In.AnswerBy))
	if a.expired() {
		return g.Group{
			h.Div(h.Class("notice warning"),
				h.P(strong("The certificate in use has expired.")),
				h.P(say("Wherever expiry is checked, {} fails until the new one is in use.", a.signIn())),
			),
			h.P(h.Class("lead"), say("Please have the company's CA sign the request below now, and hand in the certificate here.")),
			h.P(ends),
		}
	}
	return g.Group{
		h.P(h.Class("lead"), say("Please have the company's CA sign the request below, and hand in the certificate here by {}.", h.Strong(when(a.answerBy())))),
		h.P(say("It is checked at once, and you can try as often as you like. {}", ends)),
	}
}

// refused says on top of the page why a certificate was not taken.
func (a ask) refused() g.Node {
	r := a.Refused
	if r == nil {
		return nil
	}
	return h.Div(h.Class("notice problem refused"), h.Role("alert"), h.TabIndex("-1"), h.AutoFocus(),
		h.P(strong("The certificate was not taken: "+r.Title+".")),
		g.Iff(len(r.Facts) > 0, func() g.Node {
			return h.Dl(h.Class("facts"), g.Map(r.Facts, func(f fact) g.Node { return factRow(f.Name, breakable(f.Value)) }))
		}),
		g.Map(r.Text, func(text string) g.Node { return g.If(text != "", h.P(shown(text))) }),
		h.P(say("Nothing was decided. {}", h.A(h.Href("#answer"), g.Text("Hand in another certificate")))),
	)
}

// breakable is text of others whose lines may break behind its commas, and
// between the pairs of a fingerprint.
func breakable(text string) g.Node {
	var parts g.Group
	for _, word := range strings.SplitAfter(plain(text), " ") {
		at := ","
		if strings.Count(word, ":") > 3 {
			at = ":"
		}
		for i, part := range strings.SplitAfter(word, at) {
			if i > 0 {
				parts = append(parts, h.Wbr())
			}
			parts = append(parts, g.Text(part))
		}
	}
	return g.El("bdi", parts)
}

// howToSign is the list of what to do.
func (a ask) howToSign() g.Node {
	request, err := approval.ReadCSR(a.In.CSR)
	if err != nil {
		return h.P(h.Class("notice problem"), g.Text("The request cannot be shown here. Please use the one from your message, or tell whoever runs Keyturn at your company."))
	}
	return h.Section(h.Class("todo"), h.Aria("labelledby", "todo"),
		h.H2(h.ID("todo"), g.Text("What to do")),
		h.Ol(h.Class("steps"), h.Role("list"),
			step("Get the request",
				h.P(g.Text("It is a certificate signing request (CSR, PKCS#10). Save it, or copy it as text.")),
				h.Ul(h.Class("files"),
					a.file(fileCSR, "Request (.csr)", "A text file (PEM), for most CAs."),
					a.file(fileCSRDER, "Request (.p10)", "The same in binary form (DER). It may be renamed to .der.")),
				h.Details(h.ID("text"), g.Attr("open"),
					h.Summary(g.Text("The request as text, to copy and paste")),
					h.P(h.ID("pem"), g.Text("From its first to its last line (PEM):")),
					h.Pre(h.Class("text"), h.Data("copy", "pem"), g.Text(request.PEM()))),
				h.Dl(h.Class("prints"),
					printed("request-subject", "Subject", distinguished(request.Subject)),
					g.If(len(request.Names) > 0, printed("request-names", "Subject alternative names", shown(strings.Join(request.Names, ", ")))),
					printed("request-key", "Public key", g.Text(request.Key)),
					printed("request-sha256", "SHA-256 of the public key (SPKI)", h.Code(h.Class("hex"), h.Data("copy", "request-sha256"), hexPairs(request.KeySHA256))),
					printed("request-signature", "Signature algorithm of the request", g.Text(request.Signature)))),
			step("Have the CA sign it",
				h.P(say("The certificate must be like this:")),
				h.Dl(h.Class("facts demands"), g.Map(approval.Demands(a.In, request), func(d approval.Demand) g.Node {
					return h.Div(h.Dt(shown(d.Name)), h.Dd(breakable(d.Text)))
				})),
				a.authorities()),
			step("Hand the certificate in",
				h.P(say("{}: paste it there, or choose its file. The certificates of the CAs between it and the root belong behind it, if you have them.", h.A(h.Href("#answer"), g.Text("The form is at the end of this page")))))))
}

// printed is a row of the list beneath the request.
func printed(id, name string, value g.Node) g.Node {
	return h.Div(h.Dt(h.ID(id), g.Text(name)), h.Dd(value))
}

// authorities are the CA certificates that are accepted.
func (a ask) authorities() g.Node {
	certs := approval.Certificates(a.In.Chain)
	if len(certs) == 0 {
		return nil
	}
	rows := make(g.Group, 0, len(certs))
	for _, cert := range certs {
		rows = append(rows, h.Tr(
			h.Th(h.Scope("row"), distinguished(cert.Subject.String())),
			h.Td(h.Data("column", "SHA-256"), h.Code(h.Class("hex"), hexPairs(rotation.Fingerprint(cert.Raw)))),
			h.Td(h.Data("column", "Expires"), when(cert.NotAfter))))
	}
	return g.Group{
		h.P(say("It has to be signed by one of these CAs:")),
		h.Table(h.Class("authorities"),
			h.Caption(h.Class("hidden"), g.Text("CA certificates that are accepted")),
			h.THead(h.Tr(h.Th(h.Scope("col"), g.Text("CA")), h.Th(h.Scope("col"), g.Text("SHA-256 fingerprint")), h.Th(h.Scope("col"), g.Text("Expires")))),
			h.TBody(rows)),
	}
}

// handIn are the choices of the form.
func (a ask) handIn() g.Node {
	keeps := say("The request is withdrawn in Okta, and Okta keeps the old certificate. Whoever runs Keyturn at your company gets your reason, to find another way.")
	if !a.expired() {
		keeps = say("The request is withdrawn in Okta, and Okta keeps the certificate in use, which expires on {}. Whoever runs Keyturn at your company gets your reason, to find another way until then.", when(a.In.OldKey.NotAfter))
	}
	pasted := a.Pasted
	if holdsKey(pasted) {
		pasted = ""
	}
	return g.Group{
		choice("for", decideHandIn, "Check and hand in", "The CA has signed it",
			h.P(say("Keyturn checks the certificate. If something is wrong with it, this page says what, and nothing is decided. If it is right, Okta gets it, and those who look after {} are asked for the next step.", a.label())),
			g.Group{
				h.Div(h.Class("field"),
					h.Label(h.For("certificate"), g.Text("The certificate as text")),
					h.P(h.Class("hint"), h.ID("certificate-hint"), g.Text("From -----BEGIN CERTIFICATE----- to -----END CERTIFICATE-----. The CAs’ certificates go behind it.")),
					h.Textarea(h.ID("certificate"), h.Name(fieldPasted), h.Class("pem"), h.Rows("8"), g.Attr("spellcheck", "false"), h.AutoComplete("off"), g.Attr("autocapitalize", "off"), g.Attr("autocorrect", "off"), h.Aria("describedby", "certificate-hint"), g.Text(leadingBreak(pasted)))),
				h.Div(h.Class("field"),
					h.Label(h.For("file"), g.Text("Or its file")),
					h.P(h.Class("hint"), h.ID("file-hint"), g.Text("PEM or DER: .pem, .crt, .cer or .der, at most 60 KB.")),
					h.Input(h.Type("file"), h.ID("file"), h.Name(fieldFile), h.Accept(".pem,.crt,.cer,.der"), h.Aria("describedby", "file-hint"))),
			}),
		choice("against", decideReject, "Decline", "It cannot be signed", h.P(keeps), nil),
	}
}
