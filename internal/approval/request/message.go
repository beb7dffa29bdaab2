package request

import (
	"crypto/sha1" //nolint:gosec // G505: a fingerprint that partners show, not a signature
	"encoding/pem"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"keyturn/internal/approval"
	"keyturn/internal/notify"
	"keyturn/internal/plaintext"
	"keyturn/internal/rotation"
)

// How much of a text from outside a message shows, in characters.
const (
	mostLabel   = 100
	mostName    = 120
	mostIssuer  = 200
	mostComment = 600
	mostDemand  = 400
	mostCAs     = 5
	mostAsked   = 5 // addresses
)

// request is one message to one reader: what is asked, and of whom.
type request struct {
	in rotation.RequestUploadInput
	// der is the new certificate; in the stage certificate there is none yet,
	// but csr.
	der []byte
	csr approval.SigningRequest
	now time.Time
	// reader is the address that gets the message; empty for a channel.
	reader string
	// asked are all who get a mail.
	asked []string
	// link is the page's address.
	link   string
	orgURL string
}

// letter is what a message says, apart from how it looks.
type letter struct {
	subject string
	// kicker stands above the title and says what kind of message it is.
	kicker, title string
	// preview is what a list of mails shows beside the subject.
	preview string
	urgent  bool
	intro   []string
	// comment is what the person wrote of whom the first paragraph tells.
	comment string
	// due is the date that matters, and how it is called.
	dueName, due, dueIn string
	// silence says what happens without an answer.
	silence string
	steps   []step
	button  string
	// answer announces the link in plain text, caveat explains it elsewhere.
	answer, caveat string
	// about is what the facts are about.
	about  string
	facts  []fact
	footer []string
	papers []paper
	// attached says what the files are.
	attached string
}

// paper is what a message brings along: in plain text under a line that
// announces it, and as files.
type paper struct {
	announced, text string
	files           []notify.Attachment
}

// step is one thing to do, what it depends on, and what the result must be
// like.
type step struct {
	do      string
	cases   []choice
	demands []approval.Demand
}

type choice struct{ when, do string }

// fact is a name and its value. A code is set in letters of one width, its
// lines broken where lines says; a URL is a way to somewhere else.
type fact struct {
	name, value string
	lines       []string
	url         bool
}

func (r request) message() notify.Message {
	l := r.letter()
	m := notify.Message{Subject: l.subject, Text: l.text(r.link), HTML: l.html(r.link), Card: l.card(r.link)}
	for _, p := range l.papers {
		m.Attachments = append(m.Attachments, p.files...)
	}
	return m
}

// label is what the target is called.
func (r request) label() string {
	if label := plaintext.Line(r.in.Target.Label, mostLabel); label != "" {
		return label
	}
	return r.in.Target.ID
}

func (r request) idp() bool { return r.in.Target.Kind == rotation.KindIDP }

// what is the target with its kind: SAML app “Salesforce”.
func (r request) what() string {
	if r.idp() {
		return "SAML identity provider “" + r.label() + "”"
	}
	return "SAML app “" + r.label() + "”"
}

func (r request) partner() string {
	if r.idp() {
		return "the operator of the identity provider"
	}
	return "the app (the service provider)"
}

// signIn is the sign-in that the certificate is for.
func (r request) signIn() string {
	if r.idp() {
		return "sign-in through " + r.label()
	}
	return "sign-in to " + r.label()
}

// fails is what sign-in does while the partner has the wrong certificate. Not
// every identity provider checks Okta's signature.
func (r request) fails() string {
	if r.idp() {
		return "can fail"
	}
	return "fails"
}

func (r request) letter() letter {
	var l letter
	switch {
	case r.in.Stage == rotation.StageCertificate:
		l = r.certificate()
	case r.in.Stage == rotation.StagePlanned:
		l = r.planned()
	case r.in.Stage == rotation.StageSignIn:
		l = r.tryIt()
	case r.in.Policy.UploadOrder == rotation.AfterSwitch:
		l = r.uploadNow()
	default:
		l = r.upload()
	}
	if l.comment == "" && r.in.Decision != nil {
		l.comment = plaintext.Lines(r.in.Decision.Comment, mostComment)
	}
	if r.reader == "" {
		l.answer = "Answer here (the link shows a page, which asks for your name; it decides nothing by itself):"
		l.caveat = "The link shows a page, which asks for your name. It decides nothing by itself."
	} else {
		l.answer = "Answer here (this link is yours alone; it shows a page and decides nothing by itself):"
		l.caveat = "The link is yours alone: please do not forward it. It shows a page and decides nothing by itself."
	}
	l.preview = l.dueName + " " + l.due + ". " + l.silence
	l.footer = r.footer()
	if r.in.Stage == rotation.StageCertificate {
		l.about, l.facts = "The request", r.requestFacts()
		l.papers, l.attached = r.requestPapers()
		return l
	}
	l.about, l.facts = "The certificate", r.facts()
	l.papers, l.attached = r.certificatePapers()
	return l
}

const pemFile = "application/x-pem-file"

// certificatePapers are the new certificate, and the chain above it.
func (r request) certificatePapers() (papers []paper, attached string) {
	certificate := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: r.der}))
	papers = []paper{{
		announced: "The new certificate (save it, from BEGIN to END, as a file with the ending .pem or .crt):",
		text:      certificate,
		files:     []notify.Attachment{{Name: r.file() + ".pem", ContentType: pemFile, Content: []byte(certificate)}},
	}}
	attached = "Attached: " + r.file() + ".pem, the new certificate"
	if chain := certificatesOf(r.in.Chain); chain != "" {
		papers = append(papers, paper{
			announced: "The certificates of the CA above it, if the partner asks for them:",
			text:      chain,
			files:     []notify.Attachment{{Name: r.file() + "-chain.pem", ContentType: pemFile, Content: []byte(chain)}},
		})
		attached += ", and " + r.file() + "-chain.pem, the certificates of the CA above it, if the partner asks for them"
	}
	return papers, attached + "."
}

// requestPapers are the CSR in both of its forms. In DER it is called .p10 (RFC
// 5967): SES takes no .der.
func (r request) requestPapers() (papers []paper, attached string) {
	file := approval.RequestFileName(r.in.Target, r.csr)
	return []paper{{
		announced: "The request (save it, from BEGIN to END, as a file with the ending .csr):",
		text:      r.csr.PEM(),
		files: []notify.Attachment{
			{Name: file + ".csr", ContentType: pemFile, Content: []byte(r.csr.PEM())},
			{Name: file + ".p10", ContentType: "application/pkcs10", Content: r.csr.DER},
		},
	}}, "Attached: " + file + ".csr, the request as text (PEM), and " + file + ".p10, the same in binary form (DER)."
}

// certificatesOf keeps the certificates of a PEM text and nothing that stands
// between them.
func certificatesOf(chain string) string {
	var b strings.Builder
	for block, rest := pem.Decode([]byte(chain)); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			b.Write(pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: block.Bytes}))
		}
	}
	return b.String()
}

// why says why this reader gets the message.
func (r request) why() string {
	same := func(address string) bool { return strings.EqualFold(address, r.reader) }
	asked := r.reader == "" || slices.ContainsFunc(r.in.Asked(), same)
	switch {
	case r.in.Stage == rotation.StageCertificate && asked:
		return "You get this because you have the certificates for " + r.label() + " signed."
	case r.in.Stage == rotation.StageCertificate:
		return "You get this because those who have the certificates for " + r.label() + " signed have not answered, and you are named for that case."
	case asked:
		return "You get this because you look after " + r.label() + "."
	}
	return "You get this because those who look after " + r.label() + " have not answered, and you are named for that case."
}

// answerBy is when an answer is needed: one after the old certificate's expiry
// comes too late.
func (r request) answerBy() time.Time {
	if old := r.in.OldKey.NotAfter; old.Before(r.in.AnswerBy) && r.now.Before(old) {
		return old
	}
	return r.in.AnswerBy
}

// unanswered begins the messages after the first one.
const unanswered = "Nobody has answered yet. This message has a new link; earlier ones no longer work."

func (r request) certificate() letter {
	by := r.answerBy()
	l := letter{
		kicker:  "Certificate to be signed",
		subject: "Have the certificate for " + r.label() + " signed by " + day(by),
		title:   "Have the new SAML certificate for " + r.label() + " signed",
		dueName: "Please bring it by", due: moment(by), dueIn: r.from(by),
		silence: "Without an answer nothing changes: Okta keeps the old certificate, and the request stays pending there. On " + day(r.in.AnswerBy) + " Keyturn stops waiting for it.",
		button:  "Bring the certificate",
		steps: []step{
			{do: "Get the request (CSR): the page behind the link has it as text and as a file."},
			{do: "Sign it with the company's CA, for " + approval.Validity(r.in.Policy) + ". The certificate must be like this:", demands: r.demands()},
			{
				do:    "Bring the certificate to the page: paste it, or choose its file (PEM or DER). It is checked at once. If something is wrong with it, the page says what, and you can bring another one.",
				cases: []choice{{"If it cannot be signed", "decline on the page and say why. The request is then withdrawn, and Okta keeps the old certificate."}},
			},
		},
	}
	if r.reader != "" {
		file := approval.RequestFileName(r.in.Target, r.csr)
		l.steps[0].do = "Get the request (CSR): it is attached as " + file + ".csr (PEM) and " + file + ".p10 (DER), and the page behind the link has it, too."
	}
	switch {
	case r.in.Escalate:
		l.kicker, l.urgent = "Nobody has answered", true
		l.subject = "Overdue: the certificate for " + r.label() + " is not signed, and the old one " + r.expires() + " " + day(r.in.OldKey.NotAfter)
		l.intro = []string{unanswered}
	case r.in.Round > 0:
		l.kicker = "Reminder"
		l.subject = "Reminder: have the certificate for " + r.label() + " signed by " + day(by)
		l.intro = []string{unanswered}
	}
	l.intro = append(l.intro, "The "+r.what()+" gets a new signing certificate from your company's CA. The one in use "+r.expires()+" on "+day(r.in.OldKey.NotAfter)+parens(r.from(r.in.OldKey.NotAfter))+"; from then on sign-in can fail.")
	return l
}

// demands are approval's, bounded: a policy's extensions can be long.
func (r request) demands() []approval.Demand {
	all := approval.Demands(r.in, r.csr)
	for i, d := range all {
		all[i] = approval.Demand{Name: plaintext.Line(d.Name, mostName), Text: plaintext.Line(d.Text, mostDemand)}
	}
	return all
}

func (r request) upload() letter {
	by := r.answerBy()
	l := letter{
		kicker:  "New SAML certificate",
		subject: "Upload the new SAML certificate for " + r.label() + " by " + day(by),
		title:   "Upload the new SAML certificate for " + r.label(),
		dueName: "Please answer by", due: moment(by), dueIn: r.from(by),
		silence: "Without an answer nothing changes: Okta keeps the old certificate.",
		button:  "Answer this request",
		steps: []step{
			r.getCertificate(),
			{do: "Give it to " + r.partner() + ".", cases: []choice{
				{"If the partner can hold two certificates", "add the new one and keep the old one. Nobody notices the change."},
				{"If it can hold only one", "replace the old one and confirm at once; " + r.signIn() + " " + r.fails() + " in between. Choose a quiet time, or plan the switch on the page and replace it at that time."},
			}},
			{do: "Confirm on the page. Okta switches to it right after you confirm, or at the time that you choose. If you cannot do this, say so there: nothing changes then."},
		},
	}
	if r.idp() {
		l.steps[1].cases = append(l.steps[1].cases, choice{"If it encrypts assertions", "it must encrypt to the new certificate from the very moment of the switch, as Okta decrypts them with the same key. Agree on a time with its operator, and plan the switch for it."})
	}
	d := r.in.Decision
	switch {
	case d != nil && d.CalledOff:
		l.kicker = "Plan called off"
		l.subject = "Called off: " + r.label() + " still needs its new SAML certificate by " + day(by)
		when := ""
		if d.SwitchAt != nil {
			when = " for " + moment(*d.SwitchAt)
		}
		l.intro = append(l.intro, r.person()+" called off the switch that was planned"+when+". Okta still uses the old certificate, and the request is open again.")
	case r.in.Escalate:
		l.kicker, l.urgent = "Nobody has answered", true
		l.subject = "Overdue: the SAML certificate for " + r.label() + " " + r.expires() + " " + day(r.in.OldKey.NotAfter)
		l.intro = append(l.intro, unanswered)
	case r.in.Round > 0:
		l.kicker = "Reminder"
		l.subject = "Reminder: upload the new SAML certificate for " + r.label() + " by " + day(by)
		l.intro = append(l.intro, unanswered)
	}
	l.intro = append(l.intro, "The "+r.what()+" gets a new signing certificate. The one in use "+r.expires()+" on "+day(r.in.OldKey.NotAfter)+parens(r.from(r.in.OldKey.NotAfter))+"; from then on sign-in can fail.")
	return l
}

// resumedSilence is what silence means where an earlier rotation has switched.
const resumedSilence = "After that this request ends, and nothing changes: the new certificate stays in use."

func (r request) uploadNow() letter {
	by := r.in.AnswerBy
	sentence := strings.ToUpper(r.signIn()[:1]) + r.signIn()[1:] + " " + r.fails()
	l := letter{
		kicker: "Urgent", urgent: true,
		subject: "URGENT: " + r.signIn() + " " + r.fails() + " until it has its new SAML certificate (answer by " + day(by) + ")",
		title:   sentence + " until it has the new certificate",
		dueName: "Please answer at once, and at the latest by", due: moment(by), dueIn: r.from(by),
		silence: "After that Okta goes back to the old certificate by itself.",
		button:  "Answer this request",
		intro:   []string{"Okta ALREADY signs with the new certificate of the " + r.what() + ": until " + r.partner() + " has it, " + r.signIn() + " " + r.fails() + "."},
		steps: []step{
			r.getCertificate(),
			{do: "Give it to " + r.partner() + " now.", cases: []choice{
				{"If the partner can hold two certificates", "add the new one, and leave the old one until you have confirmed."},
				{"If it can hold only one", "replace the old one now."},
			}},
			{do: "Confirm on the page. If you cannot do this, say so there: Okta then goes back to the old certificate."},
		},
	}
	if r.in.Resumed {
		l.silence = resumedSilence
	}
	if r.idp() {
		l.steps[1].cases = append(l.steps[1].cases, choice{"If it encrypts assertions", "it must encrypt to the new certificate now, as Okta decrypts them with the new key already."})
	}
	if r.in.Round > 0 || r.in.Escalate {
		l.kicker = "Urgent: nobody has answered"
		l.intro = append([]string{unanswered}, l.intro...)
	}
	return l
}

func (r request) planned() letter {
	at := r.in.Deadline(r.now)
	l := letter{
		kicker:  "Switch planned",
		subject: "Planned: Okta switches the SAML certificate of " + r.label() + " on " + short(at),
		title:   "Okta switches " + r.label() + " on " + short(at),
		dueName: "Okta switches on", due: moment(at), dueIn: r.from(at),
		silence: "No answer is needed: the switch is then made as planned.",
		button:  "See the plan or call it off",
		intro:   []string{r.person() + " confirmed the upload for the " + r.what() + ", and planned the switch to the new certificate."},
		steps: []step{
			{do: "See that " + r.partner() + " is ready for it.", cases: []choice{
				{"If the partner holds both certificates", "nothing is left to do. Nobody notices the change."},
				{"If it can hold only one", "replace the old one at that time; " + r.signIn() + " " + r.fails() + " while it and Okta have different ones."},
			}},
			{do: "To stop it, call the plan off on the page before that time. Okta then keeps the old certificate, and the request for the upload is open again."},
		},
	}
	if r.idp() {
		l.steps[0].cases = append(l.steps[0].cases, choice{"If it encrypts assertions", "it must encrypt to the new certificate from the very moment of the switch, as Okta decrypts them with the same key."})
	}
	return l
}

func (r request) tryIt() letter {
	by := r.in.Deadline(r.now)
	sentence := "Does " + r.signIn() + " work?"
	l := letter{
		kicker:  "Switch made",
		subject: "Please try a " + r.signIn() + " by " + short(by) + " (its SAML certificate was switched)",
		title:   sentence,
		dueName: "Please answer by", due: moment(by), dueIn: r.from(by),
		silence: "If nobody answers by then, the new certificate stays.",
		button:  "Say whether sign-in works",
	}
	if r.in.Policy.SignInSilence == rotation.RollBackOnSilence {
		l.silence = "If nobody answers by then, Okta goes back to the old certificate."
	}
	made := "Okta has switched the " + r.what() + " to the new certificate."
	if d := r.in.Decision; d != nil && d.Confirmed {
		made += " " + r.person() + " had confirmed the upload."
	}
	l.intro = []string{made}
	try := "Open a private browser window and sign in to “" + r.label() + "” through Okta, as its users do."
	if r.idp() {
		try = "Open a private browser window and sign in to Okta through “" + r.label() + "”, as its users do."
	}
	l.steps = []step{
		{do: try},
		{do: "Say on the page whether it worked.", cases: []choice{
			{"If it works", "the rotation is complete. The old certificate can then be removed at the partner."},
			{"If it does not", "choose to roll back: Okta goes back to the old certificate at once. So leave the old one at the partner until you have answered; where it holds only one, put the old one back."},
		}},
	}
	return l
}

func (r request) getCertificate() step {
	if r.reader == "" {
		return step{do: "Get the new certificate: the page behind the link has it in several formats. Compare its fingerprint with the one below."}
	}
	return step{do: "Get the new certificate: it is attached as " + r.file() + ".pem, and the page behind the link has it in other formats. Compare its fingerprint with the one below."}
}

// person is who made the decision that led here.
func (r request) person() string {
	if r.in.Decision != nil {
		if by := plaintext.Line(r.in.Decision.By, mostName); by != "" {
			return by
		}
	}
	return "An approver"
}

// kind is what the target's label is the value of.
func (r request) kind() string {
	if r.idp() {
		return "Identity provider"
	}
	return "App"
}

// requestFacts are what a CSR is known by, and who may sign it.
func (r request) requestFacts() []fact {
	facts := []fact{
		{name: r.kind(), value: r.label() + " (" + r.in.Target.ID + ")"},
		{name: "Old certificate " + r.expires(), value: moment(r.in.OldKey.NotAfter)},
		{name: "Subject", value: plaintext.Line(r.csr.Subject, mostIssuer)},
		{name: "Public key", value: r.csr.Key},
		code("SHA-256 of the public key", r.csr.KeySHA256),
		{name: "To be signed by", value: r.authorities()},
		{name: "In Okta's admin console", value: approval.AdminURL(r.orgURL, r.in.Target), url: true},
	}
	return append(slices.DeleteFunc(facts, func(f fact) bool { return f.value == "" }), r.alsoAsked()...)
}

// authorities are the CA's certificates that the new one may come from.
func (r request) authorities() string {
	var names []string
	for _, cert := range approval.Certificates(r.in.Chain) {
		names = append(names, plaintext.Line(cert.Subject.String(), mostIssuer))
	}
	if more := len(names) - mostCAs; more > 0 {
		names = append(names[:mostCAs], strconv.Itoa(more)+" more")
	}
	return strings.Join(names, "; or ")
}

func (r request) facts() []fact {
	sum := sha1.Sum(r.der) //nolint:gosec // G401: a fingerprint that partners show, not a signature
	facts := []fact{
		{name: r.kind(), value: r.label() + " (" + r.in.Target.ID + ")"},
		{name: "Old certificate " + r.expires(), value: moment(r.in.OldKey.NotAfter)},
		{name: "New certificate expires", value: moment(r.in.NewKey.NotAfter)},
		{name: "Issued by", value: plaintext.Line(r.in.NewKey.Issuer, mostIssuer)},
		code("SHA-256 fingerprint", rotation.Fingerprint(r.der)),
		code("SHA-1 fingerprint", strings.ReplaceAll(fmt.Sprintf("% X", sum[:]), " ", ":")),
		{name: "In Okta's admin console", value: approval.AdminURL(r.orgURL, r.in.Target), url: true},
	}
	if r.in.OneCertificate() {
		others := "other apps"
		if r.idp() {
			others = "other identity providers"
		}
		facts = append(facts, fact{name: "Shared", value: others + " that are renewed together with this one get this very certificate; each has a request of its own and is switched by itself"})
	}
	return append(slices.DeleteFunc(facts, func(f fact) bool { return f.value == "" }), r.alsoAsked()...)
}

func (r request) alsoAsked() []fact {
	var others []string
	for _, address := range r.asked {
		if !strings.EqualFold(address, r.reader) {
			others = append(others, plaintext.Line(address, mostName))
		}
	}
	if more := len(others) - mostAsked; more > 0 {
		others = append(others[:mostAsked], strconv.Itoa(more)+" more")
	}
	if len(others) == 0 {
		return nil
	}
	return []fact{{name: "Also asked", value: strings.Join(others, ", ")}}
}

// code breaks a fingerprint into lines of at most 16 bytes that a narrow screen
// can show, all of the same length.
func code(name, value string) fact {
	f := fact{name: name, value: value}
	pairs := strings.Split(value, ":")
	rows := (len(pairs) + 15) / 16
	size := (len(pairs) + rows - 1) / rows
	for part := range slices.Chunk(pairs, size) {
		f.lines = append(f.lines, strings.Join(part, ":"))
	}
	return f
}

func (r request) footer() []string {
	lines := []string{r.why(), "Keyturn sent it. It renews the SAML signing certificates of " + hostOf(r.orgURL) + " before they expire."}
	if r.in.Execution != "" {
		lines = append(lines, "Reference: "+plaintext.Line(r.in.ExecutionName(), mostLabel))
	}
	return lines
}

func hostOf(orgURL string) string {
	if u, err := url.Parse(orgURL); err == nil && u.Host != "" {
		return plaintext.Line(u.Host, mostLabel)
	}
	return "your Okta org"
}

// file is the certificate's file name without its ending.
func (r request) file() string { return approval.FileName(r.in.Target, r.in.NewKey.NotAfter) }

func (r request) expires() string {
	if r.in.OldKey.NotAfter.After(r.now) {
		return "expires"
	}
	return "expired"
}

// from says how far away a time is, or nothing where it has passed.
func (r request) from(t time.Time) string {
	switch left := t.Sub(r.now); {
	case left >= 2*rotation.Day:
		return fmt.Sprintf("in %d days", int(left/rotation.Day))
	case left >= 2*time.Hour:
		return fmt.Sprintf("in %d hours", int(left/time.Hour))
	case left > 0:
		return "in less than two hours"
	}
	return ""
}

func parens(s string) string {
	if s == "" {
		return ""
	}
	return " (" + s + ")"
}

func day(t time.Time) string    { return t.UTC().Format("2 January 2006") }
func short(t time.Time) string  { return t.UTC().Format("2 January 2006, 15:04 UTC") }
func moment(t time.Time) string { return t.UTC().Format("Monday, 2 January 2006, 15:04 UTC") }

// text is the whole message in plain text. The link stands alone on its line.
func (l letter) text(link string) string {
	var b strings.Builder
	paragraph := func(lines ...string) {
		for _, line := range lines {
			b.WriteString(line + "\n")
		}
		b.WriteString("\n")
	}
	paragraph(l.title)
	for i, p := range l.intro {
		paragraph(p)
		if i == 0 && l.comment != "" {
			paragraph("> " + strings.ReplaceAll(l.comment, "\n", "\n> "))
		}
	}
	paragraph(l.dueName+" "+l.due+parens(l.dueIn)+".", l.silence)
	for i, s := range l.steps {
		lines := []string{strconv.Itoa(i+1) + ". " + s.do}
		for _, c := range s.cases {
			lines = append(lines, "   - "+c.when+", "+c.do)
		}
		for _, d := range s.demands {
			lines = append(lines, "   - "+d.Name+": "+d.Text)
		}
		paragraph(lines...)
	}
	paragraph(l.answer, link)
	width := 0
	for _, f := range l.facts {
		width = max(width, len(f.name))
	}
	for _, f := range l.facts {
		fmt.Fprintf(&b, "%-*s %s\n", width+1, f.name+":", f.value)
	}
	for _, p := range l.papers {
		b.WriteString("\n" + p.announced + "\n" + p.text)
	}
	b.WriteString("\n-- \n" + strings.Join(l.footer, "\n") + "\n")
	return b.String()
}

// card is the message for a chat, which has no attachments.
func (l letter) card(link string) notify.Card {
	c := notify.Card{Title: l.title, Button: notify.Link{Text: l.button, URL: link}, Note: l.caveat + " " + strings.Join(l.footer, " ")}
	intro := l.intro
	if l.comment != "" {
		intro = slices.Insert(slices.Clone(intro), 1, "“"+l.comment+"”")
	}
	c.Sections = []notify.Section{{Text: strings.Join(intro, "\n\n")}, {Text: l.dueName + " " + l.due + parens(l.dueIn) + ".\n" + l.silence}}
	var steps []string
	for i, s := range l.steps {
		lines := []string{strconv.Itoa(i+1) + ". " + s.do}
		for _, choice := range s.cases {
			lines = append(lines, "    • "+choice.when+", "+choice.do)
		}
		for _, d := range s.demands {
			lines = append(lines, "    • "+d.Name+": "+d.Text)
		}
		steps = append(steps, strings.Join(lines, "\n"))
	}
	c.Sections = append(c.Sections, notify.Section{Heading: "What to do", Text: strings.Join(steps, "\n")})
	for _, f := range l.facts {
		if f.url {
			c.Facts = append(c.Facts, notify.Fact{Name: f.name, Value: "Open the page in Okta", URL: f.value})
			continue
		}
		c.Facts = append(c.Facts, notify.Fact{Name: f.name, Value: f.value})
	}
	return c
}
