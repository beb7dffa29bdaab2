package page

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	g "maragu.dev/gomponents"
	h "maragu.dev/gomponents/html"

	"keyturn/internal/rotation"
)

// The asking page. Its reader looks after a CRM and not after a PKI: what is
// asked comes first, then what to do step by step, then the answers, each with
// what will happen.

// What fits into the form's text fields, in characters.
const (
	nameLength    = 100
	commentLength = 1000
)

func (a ask) render() g.Node {
	title := a.title()
	if a.Problem != "" || a.Refused != nil {
		title = "Not answered yet: " + title
	}
	return frame(title+" – Keyturn", a.OrgHost,
		h.Main(h.Class("wrap"),
			a.lead(),
			h.Div(h.Class("columns"),
				a.about(),
				h.Div(h.Class("steps-and-answer"),
					a.whatToDo(),
					a.theCertificate(),
					a.answer(),
				),
			),
		),
		g.Group{
			h.P(say("Keyturn changes the SAML signing certificates of {} before they expire. Opening this page decides nothing; only its buttons do.", shown(a.OrgHost))),
			g.If(a.Approver != "", h.P(say("The link was made for {}. Please do not pass it on: whoever opens it answers in your name.", shown(a.Approver)))),
		})
}

func (a ask) label() g.Node { return shown(a.In.Target.Label) }

// title is the heading as a text.
func (a ask) title() string {
	label := plain(a.In.Target.Label)
	switch {
	case a.toSign():
		return "Please have a certificate signed for " + label
	case a.In.Stage == rotation.StagePlanned:
		return "The switch for " + label + " is planned"
	case a.In.Stage == rotation.StageSignIn && a.idp():
		return "Does sign-in with " + label + " work?"
	case a.In.Stage == rotation.StageSignIn:
		return "Does sign-in to " + label + " work?"
	}
	return "New signing certificate for " + label
}

func (a ask) heading() g.Node {
	switch {
	case a.toSign():
		return say("Please have a certificate signed for {}", a.label())
	case a.In.Stage == rotation.StagePlanned:
		return say("The switch for {} is planned", a.label())
	case a.In.Stage == rotation.StageSignIn && a.idp():
		return say("Does sign-in with {} work?", a.label())
	case a.In.Stage == rotation.StageSignIn:
		return say("Does sign-in to {} work?", a.label())
	}
	return say("New signing certificate for {}", a.label())
}

// signIn is what people do there, in the middle of a sentence.
func (a ask) signIn() g.Node {
	if a.idp() {
		return say("sign-in to Okta with {}", a.label())
	}
	return say("sign-in to {} through Okta", a.label())
}

func (a ask) kind() string {
	if a.idp() {
		return "SAML identity provider"
	}
	return "SAML app"
}

// answerBy is when an answer is needed: before the switch, an answer after the
// old certificate's expiry comes too late.
func (a ask) answerBy() time.Time {
	by, old := a.In.Deadline(a.Since), a.In.OldKey.NotAfter
	if (a.toSign() || a.In.Stage == rotation.StageUpload && !a.afterSwitch()) && !a.expired() && old.Before(by) {
		return old
	}
	return by
}

// expired tells that the old certificate is no longer valid.
func (a ask) expired() bool { return a.Now.After(a.In.OldKey.NotAfter) }

// lead says what is asked, by when, and what is at stake.
func (a ask) lead() g.Node {
	var text g.Group
	switch a.In.Stage {
	case rotation.StageCertificate:
		text = g.Group{a.leadToSign()}
	case rotation.StagePlanned:
		text = g.Group{
			h.P(h.Class("lead"), say("Okta switches to the new certificate by itself on {}.", h.Strong(when(a.answerBy())))),
			h.P(say("Until then nothing changes for anybody. If something has come up, call the plan off below.")),
		}
	case rotation.StageSignIn:
		text = g.Group{
			h.P(h.Class("lead"), say("Okta now uses the new certificate for {}. Please try a sign-in, then answer below by {}.", a.label(), h.Strong(when(a.answerBy())))),
			h.P(a.silence()),
		}
	default:
		if a.afterSwitch() {
			text = g.Group{
				h.Div(h.Class("notice warning"),
					h.P(strong("Okta already uses the new certificate.")),
					h.P(say("Until {} has it, {} fails.", a.holder(), a.signIn())),
				),
				h.P(h.Class("lead"), say("Please upload the certificate now, then answer below. If you cannot, say so below: Okta then goes back to the old certificate, and sign-in works as before.")),
				h.P(a.silence()),
			}
			break
		}
		text = g.Group{
			h.P(h.Class("lead"), say("Please give the new certificate to {}, then answer below by {}.", a.holder(), h.Strong(when(a.answerBy())))),
			h.P(say("Okta switches to it only after your answer. Until then nothing changes for anybody.")),
		}
		if a.expired() {
			text = g.Group{
				h.Div(h.Class("notice warning"),
					h.P(strong("The certificate in use has expired.")),
					h.P(say("Wherever expiry is checked, {} fails until Okta uses the new certificate.", a.signIn())),
				),
				h.P(h.Class("lead"), say("Please give the new certificate to {} now, then answer below.", a.holder())),
				h.P(say("Okta switches to it only after your answer. {}", a.silence())),
			}
		}
	}
	return h.Div(h.Class("intro"),
		h.P(h.Class("eyebrow"), g.Text(a.kind())),
		h.H1(a.heading()),
		g.If(a.Problem != "", h.P(h.Class("notice problem"), say("Your answer was not taken. {}", h.A(h.Href("#answer"), g.Text("See why, and answer again"))))),
		a.refused(),
		a.calledOff(),
		text,
		h.P(h.Class("jump"), h.A(h.Href("#answer"), g.Text(a.jump()))),
	)
}

func (a ask) jump() string {
	switch a.In.Stage {
	case rotation.StageCertificate:
		return "Signed already? Go to the form"
	case rotation.StagePlanned:
		return "Call the plan off"
	case rotation.StageSignIn:
		return "Tried it already? Go to the answer"
	}
	return "Done already? Go to the answer"
}

// holder is who must have the certificate.
func (a ask) holder() g.Node {
	if a.idp() {
		return say("the operator of {}", a.label())
	}
	return a.label()
}

// calledOff tells why the upload is asked for again.
func (a ask) calledOff() g.Node {
	d := a.In.Decision
	if a.In.Stage != rotation.StageUpload || d == nil || !d.CalledOff {
		return nil
	}
	return h.Div(h.Class("notice"),
		h.P(say("{} called the planned switch off on {}. That is why you are asked again.", shown(d.By), when(d.At))),
		remark(d.Comment),
	)
}

func remark(comment string) g.Node {
	if comment == "" {
		return nil
	}
	return h.BlockQuote(h.Class("remark"), shownLines(comment))
}

// silence says what no answer means.
func (a ask) silence() g.Node {
	switch {
	case a.In.Resumed && a.In.Stage != rotation.StagePlanned:
		return g.Text("If nobody answers by then, this request ends, and the new certificate stays in use.")
	case a.In.Stage == rotation.StageSignIn && a.In.Policy.SignInSilence == rotation.RollBackOnSilence:
		return g.Text("If nobody answers by then, Okta goes back to the old certificate.")
	case a.In.Stage == rotation.StageSignIn:
		return g.Text("If nobody answers by then, the new certificate stays.")
	case a.In.Stage == rotation.StagePlanned:
		return nil
	case a.afterSwitch():
		return say("If nobody answers, Okta goes back to the old certificate by itself on {}.", when(a.answerBy()))
	}
	return say("If nobody answers by {}, Keyturn stops waiting and nothing changes.", when(a.answerBy()))
}

// about holds the facts: what, who, why now.
func (a ask) about() g.Node {
	in := a.In
	rows := g.Group{
		factRow(map[bool]string{true: "Identity provider", false: "App"}[a.idp()],
			h.Strong(a.label()), h.Br(), h.Span(h.Class("soft"), g.Text("Okta's id: "), h.Code(shown(in.Target.ID)))),
		factRow("Who asks", say("Keyturn, for the Okta org {}", shown(a.OrgHost))),
		factRow("Why now", a.whyNow()),
	}
	if d := in.Decision; d != nil && in.Stage != rotation.StageUpload && !a.toSign() {
		name := "Uploaded"
		if in.Stage == rotation.StagePlanned {
			name = "Planned"
		}
		rows = append(rows, factRow(name, say("by {} on {}", shown(d.By), when(d.At)), remark(d.Comment)))
	}
	if !a.Since.IsZero() {
		to := say("to your team")
		if a.Approver != "" {
			to = say("to {}", shown(a.Approver))
		}
		reminder := ""
		if (in.Stage == rotation.StageUpload || a.toSign()) && in.Round > 0 {
			reminder = "; this is reminder " + strconv.Itoa(in.Round)
		}
		rows = append(rows, factRow("Sent", to, say(" on {}", when(a.Since)), g.Text(reminder)))
	}
	rows = append(rows, a.others()...)
	if strings.HasPrefix(a.AdminURL, "https://") || strings.HasPrefix(a.AdminURL, "http://") {
		rows = append(rows, factRow("In Okta", link(a.AdminURL, say("{} in the admin console", a.label())),
			h.Br(), h.Span(h.Class("soft"), g.Text("For Okta's administrators; you can answer without it."))))
	}
	return h.Section(h.Class("about"), h.Aria("labelledby", "about"),
		h.H2(h.ID("about"), g.Text("About this request")),
		h.Dl(h.Class("facts"), rows))
}

func (a ask) whyNow() g.Node {
	old := a.In.OldKey.NotAfter
	which := "The certificate in use"
	if a.switched() {
		which = "The old certificate"
	}
	if a.expired() {
		return say(which+" expired on {}, {}.", when(old), g.Text(span(a.Now, old)))
	}
	return say(which+" expires on {}, {}.", when(old), h.Strong(g.Text(span(a.Now, old))))
}

// others are the people and the targets that this concerns as well.
func (a ask) others() g.Group {
	asked := slices.Clone(a.In.Asked())
	if a.In.Escalate {
		asked = append(asked, a.In.Policy.EscalateTo...)
	}
	slices.Sort(asked)
	asked = slices.DeleteFunc(slices.Compact(asked), func(s string) bool { return strings.EqualFold(s, a.Approver) })
	var rows g.Group
	if len(asked) > 0 {
		name := "Also asked"
		if a.Approver == "" {
			name = "Asked by mail"
		}
		rows = append(rows, factRow(name, list(asked), h.Span(h.Class("soft"), g.Text("The first answer counts."))))
	}
	if a.toSign() {
		return rows // which targets get the certificate is nothing to the CA
	}
	if shared := a.In.SharedWith; len(shared) > 0 {
		labels := make([]string, 0, len(shared))
		for _, t := range shared {
			labels = append(labels, cmp.Or(t.Label, t.ID))
		}
		stay := "They stay as they are."
		if a.In.OneCertificate() {
			stay = "Those that are renewed together get this very certificate. Each has a request of its own and is switched by itself."
		}
		rows = append(rows, factRow("Same old key", list(labels), h.Span(h.Class("soft"), g.Text(stay))))
	} else if a.In.OneCertificate() {
		rows = append(rows, factRow("Same new key", g.Text("Others have this very certificate, too."), h.Br(),
			h.Span(h.Class("soft"), g.Text("Each has a request of its own and is switched by itself."))))
	}
	return rows
}

// mostListed keeps a long list from burying the page.
const mostListed = 12

func list(texts []string) g.Node {
	rest := len(texts) - mostListed
	if rest > 1 {
		texts = texts[:mostListed]
	}
	return h.Ul(h.Class("plain"),
		g.Map(texts, func(s string) g.Node { return h.Li(shown(s)) }),
		g.If(rest > 1, h.Li(g.Textf("and %d more", rest))))
}

// step is one of a numbered list.
func step(title string, children ...g.Node) g.Node {
	return h.Li(h.H3(g.Text(title)), g.Group(children))
}

func (a ask) whatToDo() g.Node {
	var steps g.Group
	switch a.In.Stage {
	case rotation.StageCertificate:
		return a.howToSign()
	case rotation.StagePlanned:
		return a.untilThen()
	case rotation.StageSignIn:
		steps = a.trySteps()
	default:
		_, readable := read(a.In.NewKey)
		steps = g.Group{
			step("Get the new certificate",
				h.P(g.Text("Save it from here. Most admin consoles take the first one.")),
				a.downloads(),
				g.If(readable, h.P(say("Is there a field to paste text into? {}", h.A(h.Href("#text"), g.Text("Copy the certificate as text")))))),
			a.openStep(),
			a.putStep(),
			step("Compare the fingerprint",
				h.P(say("Most consoles show a fingerprint (or thumbprint) of what was uploaded. It must be one of these two, digit by digit; colons and small letters make no difference.")),
				a.fingerprints(),
				h.P(say("Is none shown? Then compare the expiry date: the new certificate expires on {}. If something differs, stop and answer {}.", when(a.In.NewKey.NotAfter), quoted(a.rejectText())))),
			step("Come back and answer",
				h.P(say("{}: Okta waits for it.", h.A(h.Href("#answer"), g.Text("Your answer is at the end of this page"))))),
		}
		if a.afterSwitch() {
			steps[len(steps)-1] = step("Try a sign-in, then answer",
				h.P(say("{}. It also stops the reminders.", h.A(h.Href("#answer"), g.Text("Your answer is at the end of this page")))))
		}
	}
	return h.Section(h.Class("todo"), h.Aria("labelledby", "todo"),
		h.H2(h.ID("todo"), g.Text("What to do")),
		h.Ol(h.Class("steps"), h.Role("list"), steps))
}

// openStep leads to the settings; the names are those that common products use.
func (a ask) openStep() g.Node {
	if a.idp() {
		return step("Open the identity provider's settings for Okta",
			h.P(say("Sign in to the admin console of {} as an administrator, or ask its operator to. Look for Okta among the {}, {} or {}.",
				a.label(), quoted("Service providers"), quoted("Relying parties"), quoted("SAML applications"))),
			h.P(say("The field is usually called {}, {} or {}; for encryption, {}.",
				quoted("Service provider certificate"), quoted("Signature verification certificate"), quoted("X.509 certificate"), quoted("Encryption certificate"))))
	}
	return step("Open the app's sign-in settings",
		h.P(say("Sign in to the admin console of {} as an administrator (in the app itself, not in Okta). Look for {}, {} or {}, often under {}.",
			a.label(), quoted("Single sign-on"), quoted("SAML"), quoted("Identity provider"), quoted("Security"))),
		h.P(say("The field is usually called {}, {} or {}.",
			quoted("Identity provider certificate"), quoted("X.509 certificate"), quoted("Signing certificate"))))
}

func (a ask) putStep() g.Node {
	two, one := g.Text("Add the new one and keep the old one. Nobody notices the change. Remove the old one some days after the switch."),
		say("Replace it, and come back at once to answer {}: sign-in fails in between, usually for a minute or two. Choose a quiet hour.", quoted(a.confirmText()))
	if a.afterSwitch() {
		two = g.Text("Add the new one and keep the old one for now: should Okta have to go back, sign-in works at once.")
		one = g.Text("Replace it and save. Sign-in works again from then on.")
	}
	return step("Put the new certificate in",
		h.Div(h.Class("cases"),
			h.Div(h.H4(g.Text("It can hold two certificates")),
				h.P(h.Class("soft"), g.Text("There is a way to add a further one.")),
				h.P(two)),
			h.Div(h.H4(g.Text("It can hold only one")),
				h.P(h.Class("soft"), g.Text("The new one takes the old one's place.")),
				h.P(one)),
		),
		g.Iff(a.idp(), a.encryption))
}

// encryption is what an IdP's operator must know besides.
func (a ask) encryption() g.Node {
	if a.switched() {
		return h.Div(h.Class("notice"), h.P(say("{} Okta signs its requests with this key and decrypts assertions with it. If the partner encrypts assertions, it must encrypt with the new certificate now.", strong("Encrypted assertions?"))))
	}
	return h.Div(h.Class("notice"), h.P(say("{} Okta signs its requests with this key and decrypts assertions with it. If the partner encrypts assertions, it must use the new certificate for that from the moment of the switch: not before, and not after. Agree on that moment with the operator, and plan the switch for it below.", strong("Encrypted assertions?"))))
}

// untilThen is the planned stage's checklist.
func (a ask) untilThen() g.Node {
	return h.Section(h.Class("todo"), h.Aria("labelledby", "todo"),
		h.H2(h.ID("todo"), g.Text("Until then")),
		h.Ul(h.Class("checks"),
			h.Li(say("Leave both certificates at {}: the old one is in use until the switch, the new one from then on.", a.label())),
			h.Li(say("If it holds only one certificate, put the new one in at the time of the switch: sign-in fails while the two differ.")),
			g.If(a.idp(), h.Li(say("If the partner encrypts assertions, it must encrypt with the new certificate from the moment of the switch: Okta decrypts with the same key."))),
			g.If(a.In.Policy.ConfirmSignIn, h.Li(say("After the switch you get a message that asks whether sign-in works."))),
			g.If(!a.In.Policy.ConfirmSignIn, h.Li(say("Please try a sign-in after the switch."))),
			h.Li(say("Should the switch fail, the old certificate stays or comes back.")),
		))
}

func (a ask) trySteps() g.Group {
	open := step("Open a private window",
		h.P(say("In your browser's menu: {} or {}. Where you are signed in already, nothing would be tried.", quoted("New private window"), quoted("New incognito window"))))
	fails := g.Group{
		h.P(say("It fails if the partner does not have the new certificate: the message often speaks of a signature or of a certificate. Compare what the partner holds with the new certificate below; if you can mend it at once, mend it and try again.")),
		g.Iff(a.idp(), a.encryption),
		h.P(say("If not, answer {}.", quoted("Roll back"))),
	}
	if a.idp() {
		return g.Group{
			open,
			step("Sign in to Okta",
				h.P(say("Go to {} and sign in with an account that comes from {}.", h.Strong(shown(a.OrgHost)), a.label()))),
			step("Did it work?",
				h.P(say("If you are in, answer {}.", quoted("Sign-in works"))),
				fails),
		}
	}
	return g.Group{
		open,
		step("Sign in",
			h.P(say("Go to {}, sign in to Okta and open {} there. If people also start at the app's own sign-in page, try that too.", h.Strong(shown(a.OrgHost)), a.label()))),
		step("Did it work?",
			h.P(say("If you are in, answer {}.", quoted("Sign-in works"))),
			fails),
	}
}

func (a ask) downloads() g.Node {
	return h.Ul(h.Class("files"),
		a.file(filePEM, "Certificate (.pem)", "A text file, for most consoles. It may be renamed to .crt."),
		a.file(fileDER, "Certificate (.cer)", "The same in binary form (DER), for Windows and AD FS."),
		g.If(a.In.Chain != "", a.file(fileChain, "Chain (.pem)", "The CA's certificates above it, if the console asks for them.")),
		g.If(a.hasMetadata(), a.file(fileMetadata, "SAML metadata (.xml)", "With the new certificate alone: importing it usually replaces the old one.")),
	)
}

// file is one download.
func (a ask) file(file, name, text string) g.Node {
	return h.Li(h.A(h.Href(a.Files+file), h.Rel("noreferrer"), h.Class("file"),
		h.Span(h.Class("name"), g.Text(name)), h.Span(h.Class("soft"), g.Text(text))))
}

func (a ask) fingerprints() g.Node {
	c, ok := read(a.In.NewKey)
	if !ok {
		return unreadable()
	}
	row := func(id, name, value, class string) g.Node {
		return h.Div(h.Dt(h.ID(id), g.Text(name)), h.Dd(h.Code(h.Class(class), h.Data("copy", id), hexPairs(value))))
	}
	return h.Dl(h.Class("prints"),
		row("sha256", "SHA-256", c.sha256, "hex"),
		row("sha1", "SHA-1", c.sha1, "hex short"))
}

func unreadable() g.Node {
	return h.P(h.Class("notice problem"), g.Text("The certificate cannot be shown here. Please use the one from your message."))
}

// theCertificate holds the details, and in the later stages the files too.
func (a ask) theCertificate() g.Node {
	c, ok := read(a.In.NewKey)
	if !ok {
		return nil
	}
	oldName := "In use now"
	if a.switched() {
		oldName = "The old one"
	}
	old, oldOK := read(a.In.OldKey)
	row := func(name string, fresh, previous g.Node) g.Node {
		return h.Tr(h.Th(h.Scope("row"), g.Text(name)),
			h.Td(h.Data("column", "The new one"), fresh), h.Td(h.Data("column", oldName), previous))
	}
	short := a.In.Stage == rotation.StageUpload
	return h.Section(h.Class("certificate"), h.Aria("labelledby", "certificate"),
		h.H2(h.ID("certificate"), g.Text("The new certificate")),
		g.Iff(!short, func() g.Node { return g.Group{a.downloads(), a.fingerprints()} }),
		h.Table(
			h.Caption(h.Class("hidden"), g.Text("The new certificate beside the old one")),
			h.THead(h.Tr(h.Td(), h.Th(h.Scope("col"), g.Text("The new one")), h.Th(h.Scope("col"), g.Text(oldName)))),
			h.TBody(
				row("Expires", when(a.In.NewKey.NotAfter), when(a.In.OldKey.NotAfter)),
				row("Subject", distinguished(a.In.NewKey.Subject), distinguished(a.In.OldKey.Subject)),
				row("Issuer", distinguished(a.In.NewKey.Issuer), distinguished(a.In.OldKey.Issuer)),
				g.If(c.serial != "", row("Serial number", h.Code(h.Class("hex"), hexPairs(c.serial)), h.Code(h.Class("hex"), hexPairs(cmp.Or(old.serial, "–"))))),
			)),
		h.Details(h.ID("text"),
			h.Summary(g.Text("The new certificate as text, to copy and paste")),
			h.P(h.ID("pem"), g.Text("With its first and last line, as most fields want it (PEM):")),
			h.Pre(h.Class("text"), h.Data("copy", "pem"), g.Text(c.pem)),
			h.P(h.ID("base64"), h.Class("screen"), g.Text("Without them, in one line, for fields that want base64 only:")),
			h.Pre(h.Class("text screen"), h.Data("copy", "base64"), g.Text(c.base64)),
		),
		g.Iff(oldOK, func() g.Node {
			summary, why := "The old certificate as text, in case you cannot finish", "A partner that holds only one certificate needs the old one again if the new one is there and Okta does not switch:"
			if a.switched() {
				summary, why = "The old certificate as text, in case Okta goes back", "A partner that holds only one certificate needs the old one again when Okta goes back:"
			}
			return h.Details(h.Class("screen"),
				h.Summary(g.Text(summary)),
				h.P(h.ID("old-pem"), g.Text(why)),
				h.Pre(h.Class("text"), h.Data("copy", "old-pem"), g.Text(old.pem)))
		}),
	)
}

// distinguished shows a distinguished name (RFC 4514), whose lines break behind
// its commas first.
func distinguished(name string) g.Node {
	var parts g.Group
	for i, part := range strings.SplitAfter(plain(cmp.Or(name, "–")), ",") {
		if i > 0 {
			parts = append(parts, h.Wbr())
		}
		parts = append(parts, g.Text(part))
	}
	return g.El("bdi", parts)
}

// answer is the form.
func (a ask) answer() g.Node {
	return h.Section(h.Class("answer"), h.ID("answer"), h.Aria("labelledby", "answer-title"),
		h.H2(h.ID("answer-title"), g.Text(map[bool]string{true: "Change the plan", false: "Your answer"}[a.In.Stage == rotation.StagePlanned])),
		h.Form(h.Method("post"), h.Action(a.Action), g.If(a.toSign(), h.EncType("multipart/form-data")),
			h.Input(h.Type("hidden"), h.Name(fieldForm), h.Value(a.Form)),
			// Enter in a field presses a form's first button: let that be one
			// that decides nothing. A disabled one would not do: for Enter in a
			// date, a time or a list Chromium takes the next.
			h.Button(h.Type("submit"), h.Name(fieldDecision), h.Value(""), h.FormNoValidate(), h.Class("hidden"), h.TabIndex("-1"), h.Aria("hidden", "true"), g.Text("Nothing")),
			g.If(a.Problem != "", h.P(h.Class("notice problem"), h.Role("alert"), h.TabIndex("-1"), h.AutoFocus(), shown(a.Problem))),
			g.Iff(a.Refused != nil, func() g.Node {
				return h.P(h.Class("notice problem"), say("The last certificate was not taken: {}. It is explained at the top of this page.", g.Text(a.Refused.Title)))
			}),
			a.who(),
			h.Div(h.Class("field"),
				h.Label(h.For("comment"), g.Text(a.commentLabel())),
				h.P(h.Class("hint"), h.ID("comment-hint"), g.Text(a.commentHint())),
				h.Textarea(h.ID("comment"), h.Name(fieldComment), h.Rows("3"), h.MaxLength(strconv.Itoa(commentLength)), h.Aria("describedby", "comment-hint"), g.Text(leadingBreak(plainLines(a.Comment)))),
			),
			h.Div(h.Class("choices"), a.choices()),
			h.P(h.Class("soft"), g.Text("Your answer is recorded with your name, the time, your comment and the network address it came from.")),
		))
}

// leadingBreak keeps a text's first line break: a parser drops the one behind
// <textarea>.
func leadingBreak(s string) string {
	if strings.HasPrefix(s, "\n") {
		return "\n" + s
	}
	return s
}

func (a ask) who() g.Node {
	if a.Approver != "" {
		return h.P(say("You answer as {}.", h.Strong(shown(a.Approver))))
	}
	return h.Div(h.Class("field"),
		h.Label(h.For("name"), g.Text("Your name")),
		h.P(h.Class("hint"), h.ID("name-hint"), g.Text("The answer is recorded with it.")),
		h.Input(h.Type("text"), h.ID("name"), h.Name(fieldName), h.AutoComplete("name"), h.Required(), h.MaxLength(strconv.Itoa(nameLength)), h.Aria("describedby", "name-hint"), h.Value(plain(a.Name))))
}

func (a ask) commentLabel() string {
	if a.In.Stage == rotation.StagePlanned {
		return "Comment"
	}
	return "Comment or reason"
}

func (a ask) commentHint() string {
	switch a.In.Stage {
	case rotation.StageCertificate:
		return "Needed if you decline: why? Otherwise as you like, such as a ticket's number."
	case rotation.StagePlanned:
		return "You need not give one. The others who were asked see it."
	case rotation.StageSignIn:
		return "Needed to roll back: what did you see? Otherwise as you like."
	}
	return "Needed if you cannot do this: why not? Otherwise as you like."
}

func (a ask) confirmText() string {
	if a.afterSwitch() {
		return "Uploaded"
	}
	return "Uploaded – switch now"
}

func (a ask) rejectText() string {
	if a.afterSwitch() {
		return "I cannot do this – go back to the old certificate"
	}
	return "I cannot do this"
}

// choice is a decision: what it is, what happens then, its fields, its button.
func choice(class, decision, button, title string, then, fields g.Node) g.Node {
	return h.FieldSet(h.Class("choice "+class),
		h.Legend(g.Text(title)),
		h.Div(h.Class("then"), then),
		fields,
		h.Button(h.Type("submit"), h.Name(fieldDecision), h.Value(decision), g.Text(button)))
}

// choices come with what happens after the click, the hoped-for first.
func (a ask) choices() g.Node {
	back := say("Within a minute Okta uses the old certificate again. If you took it out at the partner, put it back there. Whoever runs Keyturn at your company gets your reason.")
	switch {
	case a.toSign():
		return a.handIn()
	case a.In.Stage == rotation.StagePlanned:
		return choice("against", decideCallOff, "Call the plan off", "Something has come up",
			h.P(say("Okta does not switch then, and keeps the certificate in use. You and the others get a new message that asks for the upload again; there you can name another time.")), nil)
	case a.In.Stage == rotation.StageSignIn:
		return g.Group{
			choice("for", decideWorks, "Sign-in works", "I could sign in",
				h.P(say("The new certificate stays, and the rotation is complete. The old certificate may be removed at the partner.")), nil),
			choice("against", decideRollBack, "Roll back", "I could not sign in",
				h.P(back), nil),
		}
	case a.afterSwitch():
		return g.Group{
			choice("for", decideConfirm, a.confirmText(), "The new certificate is uploaded",
				h.P(say("The new certificate stays. "), a.afterwards("now")), nil),
			choice("against", decideReject, a.rejectText(), "It cannot be uploaded",
				h.P(back), nil),
		}
	}
	return g.Group{
		choice("for", decideConfirm, a.confirmText(), "It is uploaded, and Okta may switch now",
			h.P(say("Within a minute Okta uses the new certificate for {}, and Keyturn checks that it does. ", a.label()), a.afterwards("then"), g.Text(" Should the switch fail, the old certificate stays or comes back.")), nil),
		g.Iff(!a.PlanFrom.IsZero() && !a.PlanUntil.IsZero(), a.plan),
		choice("against", decideReject, a.rejectText(), "It cannot be uploaded",
			h.P(a.nothingChanges()), nil),
	}
}

func (a ask) nothingChanges() g.Node {
	if a.expired() {
		return say("Nothing changes in Okta: it keeps the old certificate. If the new one has taken its place at the partner, put the old one back there: until then nobody can sign in. Whoever runs Keyturn at your company gets your reason, to find another way.")
	}
	return say("Nothing changes in Okta: it keeps the certificate in use, which expires on {}. If the new one has taken its place at the partner, put the old one back there: until then nobody can sign in. Whoever runs Keyturn at your company gets your reason, to find another way until then.", when(a.In.OldKey.NotAfter))
}

// afterwards is what the approver hears or does next.
func (a ask) afterwards(at string) g.Node {
	if a.In.Policy.ConfirmSignIn {
		return say("You then get a message that asks whether sign-in works.")
	}
	return say("Please try a sign-in " + at + ".")
}

// plan is the choice of another time. The browser's bounds are a day wider: in
// which zone the date counts is known only when the form is sent.
func (a ask) plan() g.Node {
	chosen := cmp.Or(a.Zone, zones[0])
	offered := zones
	if !slices.Contains(zones, chosen) {
		offered = append([]string{chosen}, zones...)
	}
	bound := func(t time.Time, by time.Duration) string { return t.UTC().Add(by).Format(time.DateOnly) }
	return choice("later", decidePlan, "Uploaded – switch at this time", "It is uploaded, and Okta should switch later",
		g.Group{
			h.P(say("Okta switches by itself at the time that you choose. Until then the plan can be called off on this page.")),
			h.P(say("Choose this if the partner holds both certificates, or gets the new one at that very time.")),
		},
		g.Group{
			h.Div(h.Class("moment"),
				h.Div(h.Class("field"), h.Label(h.For("date"), g.Text("Date")),
					h.Input(h.Type("date"), h.ID("date"), h.Name(fieldDate), h.Min(bound(a.PlanFrom, -rotation.Day)), h.Max(bound(a.PlanUntil, rotation.Day)), h.Aria("describedby", "bounds"), h.Value(plain(a.Date)))),
				h.Div(h.Class("field"), h.Label(h.For("time"), g.Text("Time")),
					h.Input(h.Type("time"), h.ID("time"), h.Name(fieldClock), h.Aria("describedby", "bounds"), h.Value(plain(a.Clock)))),
				h.Div(h.Class("field"), h.Label(h.For("zone"), g.Text("Time zone")),
					h.Select(h.ID("zone"), h.Name(fieldZone), g.If(a.Zone == "", h.Data("guess", "")),
						g.Map(offered, func(zone string) g.Node {
							return h.Option(h.Value(plain(zone)), g.If(zone == chosen, h.Selected()), g.Text(strings.ReplaceAll(plain(zone), "_", " ")))
						}))),
			),
			h.P(h.Class("hint"), h.ID("bounds"), say("Any time from {} to {}.", when(a.PlanFrom), when(a.PlanUntil))),
		})
}
