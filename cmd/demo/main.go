// Command demo finds the certificates that are due and rotates five signing
// keys, on this machine: a local AWS, a simulated Okta org, the real functions,
// template and state machines. All the while users sign in through the targets'
// partners. It exits with 0 only if the org is afterwards as it should be, and
// if sign-ins failed where they must and nowhere else. With -plot it draws them.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"keyturn/internal/inventory"
	"keyturn/internal/localaws"
	"keyturn/internal/oktasim"
	"keyturn/internal/partner"
	"keyturn/internal/playground"
	"keyturn/internal/rotation"
)

// limit bounds the whole demo, set-up included.
const limit = 5 * time.Minute

func main() {
	plot := flag.String("plot", "", "draw the sign-ins into this `file`, an SVG")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "demo: %q: it takes no arguments but its flags\n", flag.Args())
		os.Exit(2)
	}
	os.Exit(status(*plot))
}

// status is the exit status: 130 when interrupted, as shells have it.
func status(plot string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	bounded, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err := run(bounded, plot)
	switch {
	case ctx.Err() != nil:
		fmt.Fprintln(os.Stderr, "demo: interrupted; everything has been stopped")
		return 130
	case err != nil:
		fmt.Fprintln(os.Stderr, "demo:", err)
		return 1
	}
	return 0
}

func run(ctx context.Context, plot string) (err error) {
	screen := newScreen(os.Stdout)
	started := time.Now()
	screen.heading("Keyturn rotates five SAML signing keys, on this machine")
	keys := make(chan struct{})
	go func() { oktasim.PrepareKeys(5); close(keys) }() // so that the org does not keep users waiting for them
	p, err := playground.Start(ctx, playground.Options{
		// A demo is no customer: it may call as fast as it likes.
		Org:      oktasim.Options{Limits: oktasim.Limits{Apps: oktasim.Unlimited, App: oktasim.Unlimited, API: oktasim.Unlimited}},
		Progress: func(what string) { screen.step("starting", what) },
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Stop()) }()
	screen.step("ready", fmt.Sprintf("after %.1f s; the org's console is at %s/", time.Since(started).Seconds(), p.OrgURL))

	began := time.Now()
	all := scenarios(p)
	before := make([]standing, len(all))
	for i, s := range all {
		if before[i], err = look(ctx, p, s.target); err != nil {
			return fmt.Errorf("%s: %w", s.title, err)
		}
	}
	<-keys
	lanes := watch(ctx, p, all, before)
	found, err := discover(ctx, p, screen, all)
	if err != nil {
		return err
	}
	var rows []row
	for i, s := range all {
		screen.heading(fmt.Sprintf("%d  %s", i+1, s.title))
		started := found[s.target.ID].Rotation
		if started == nil {
			return fmt.Errorf("%s: discovery started no rotation", s.title)
		}
		r, err := play(ctx, p, screen, s, before[i], *started, lanes[i])
		if err != nil {
			return fmt.Errorf("%s: %w", s.title, err)
		}
		rows = append(rows, r)
	}
	screen.table(rows)
	screen.signIns(lanes)
	if plot != "" {
		if err := os.WriteFile(plot, draw(slices.Concat(lanes...)), 0o644); err != nil {
			return fmt.Errorf("the plot: %w", err)
		}
	}
	wrong := 0
	for _, r := range rows {
		for _, w := range r.wrong {
			wrong++
			screen.bad(fmt.Sprintf("%s: %s", r.label, w))
		}
	}
	if wrong > 0 {
		return fmt.Errorf("%d things are not as expected", wrong)
	}
	screen.good(fmt.Sprintf("All %d are as expected, by what the org and the partners say. %.1f s for the rotations, %.1f s in all.", len(rows), time.Since(began).Seconds(), time.Since(started).Seconds()))
	return nil
}

// scenario is one rotation, and what is to come of it.
type scenario struct {
	title  string
	target rotation.Target
	order  rotation.UploadOrder
	// authority signs the certificate.
	authority rotation.CertificateAuthority
	// decision is the approver's: confirm or reject, with the comment.
	decision, comment string
	result            string
	// switched tells whether the new key is to be in use at the end.
	switched bool
	// partners are those that users sign in through all the while.
	partners []side
}

func scenarios(p *playground.Playground) []scenario {
	app := func(id string) rotation.Target { return rotation.Target{Kind: rotation.KindApp, ID: id} }
	return []scenario{
		{"An app; the partner gets the certificate first", app(p.Targets.BeforeSwitchApp), rotation.BeforeSwitch, rotation.AuthorityLocal,
			"confirm", "uploaded beside the old one", "Completed", true,
			[]side{{"two certificates", partner.Options{Capacity: 2}, ""}, {"one certificate", partner.Options{Capacity: 1}, "upload → switch"}}},
		{"An inbound IdP; the partner gets the certificate first", rotation.Target{Kind: rotation.KindIDP, ID: p.Targets.IDP}, rotation.BeforeSwitch, rotation.AuthorityACMPCA,
			"confirm", "imported at the partner", "Completed", true,
			[]side{{"two certificates", partner.Options{Capacity: 2}, ""}, {"two, encrypts", partner.Options{Capacity: 2, Encrypts: true}, "upload → switch"}}},
		{"An app in the guide's order: Okta switches first", app(p.Targets.AfterSwitchApp), rotation.AfterSwitch, rotation.AuthorityKMS,
			"confirm", "replaced at the vendor", "Completed", true,
			[]side{{"one certificate", partner.Options{Capacity: 1}, "switch → upload"}}},
		{"An app whose certificate a person has signed, and whose approver cannot do it: nothing changes", app(p.Targets.RejectApp), rotation.BeforeSwitch, rotation.AuthorityManual,
			"reject", "our contract freezes changes until January", "GaveUp", false,
			[]side{{"one certificate", partner.Options{Capacity: 1}, ""}}},
		{"An app whose approver cannot do it after the switch: the old key comes back", app(p.Targets.RejectAfterSwitchApp), rotation.AfterSwitch, rotation.AuthorityLocal,
			"reject", "the vendor's form refuses the certificate", "RolledBack", false,
			[]side{{"two certificates", partner.Options{Capacity: 2}, "switch → switch back"}}},
	}
}

// row is a line of the table at the end.
type row struct {
	label, kind            string
	order                  rotation.UploadOrder
	authority              rotation.CertificateAuthority
	result                 string
	oldKid, newKid, active string
	issuer                 string
	expires                time.Time
	calls, transitions     int
	seconds                float64
	// wrong is what is not as expected.
	wrong []string
}

// haveSigned is what a team does with a request for a certificate: it reads the
// mail, signs the request that is attached, and brings the certificate. The
// rotation goes on while the page still answers: done is called right before.
func haveSigned(ctx context.Context, p *playground.Playground, screen *screen, s scenario, label string, since time.Time, done func()) error {
	mail, err := p.Mail(ctx, playground.Signer, label, since)
	if err != nil {
		return err
	}
	screen.person("reads", fmt.Sprintf("%q, sent to %s", mail.Subject, mail.To[0]))
	i := slices.IndexFunc(mail.Attachments, func(a localaws.Attachment) bool { return strings.HasSuffix(a.Name, ".p10") })
	if i < 0 {
		return errors.New("the mail brings no request")
	}
	signed, err := p.Company.Sign(ctx, mail.Attachments[i].Content, s.target.Kind, 397)
	if err != nil {
		return err
	}
	screen.person("signs", mail.Attachments[i].Name)
	link, err := playground.Link(mail.Text)
	if err != nil {
		return err
	}
	done()
	taken, err := p.HandIn(ctx, link, signed, "", "ticket PKI-1024")
	if err != nil {
		return err
	}
	screen.person("brings", fmt.Sprintf("the certificate: %q (%d)", taken.Title(), taken.Status))
	if taken.Status != http.StatusOK {
		return fmt.Errorf("the page did not take the certificate: %q (%d)", taken.Title(), taken.Status)
	}
	return nil
}

// play follows one rotation, answers its link as a person does, and then asks
// the org how it is.
func play(ctx context.Context, p *playground.Playground, screen *screen, s scenario, before standing, running inventory.Running, lanes []*lane) (row, error) {
	r := p.Attach(running.Execution)
	started := running.StartedAt
	clock := stopwatch{started: started}
	follow := func(st playground.State) { screen.state(st.Name, clock.at(st.At)) }
	// The people's turns, and the others', are no time of this one's.
	goesOn := func() { clock.goesOn(time.Now()) }
	if s.authority == rotation.AuthorityManual {
		if err := r.Until(ctx, "RequestCertificate", follow); err != nil {
			return row{}, err
		}
		if err := haveSigned(ctx, p, screen, s, before.label, started, goesOn); err != nil {
			return row{}, err
		}
	}
	if err := r.Until(ctx, "RequestUpload", follow); err != nil {
		return row{}, err
	}
	mail, err := p.Mail(ctx, playground.Approver, before.label, started)
	if err != nil {
		return row{}, err
	}
	screen.person("reads", fmt.Sprintf("%q, sent to %s", mail.Subject, mail.To[0]))
	link, err := playground.Link(mail.Text)
	if err != nil {
		return row{}, err
	}
	shown, err := p.Open(ctx, link)
	if err != nil {
		return row{}, err
	}
	screen.person("opens", fmt.Sprintf("the link: %q (%d)", shown.Title(), shown.Status))
	if err := oneMore(ctx, lanes); err != nil {
		return row{}, err
	}
	if s.decision == "confirm" {
		if err := upload(ctx, mail.Text, lanes); err != nil {
			return row{}, err
		}
		screen.person("uploads", "the certificate at the partner")
	}
	goesOn()
	answered, err := p.Answer(ctx, link, s.decision, "", s.comment)
	if err != nil {
		return row{}, err
	}
	screen.person("answers", fmt.Sprintf("%s, %q: %q (%d)", s.decision, s.comment, answered.Title(), answered.Status))
	if answered.Status != http.StatusOK {
		return row{}, fmt.Errorf("the page took no answer: %q (%d)", answered.Title(), answered.Status)
	}
	report, err := r.End(ctx, follow)
	if err != nil {
		return row{}, err
	}
	calls := p.OktaCalls(s.target.ID, started)
	after, err := look(ctx, p, s.target)
	if err != nil {
		return row{}, err
	}
	wrong := judge(p, s, before, after, report, mail.Text)
	if err := oneMore(ctx, lanes); err != nil {
		return row{}, err
	}
	for _, l := range lanes {
		l.end(p)
		wrong = append(wrong, l.wrong()...)
	}
	return row{
		label: before.label, kind: string(s.target.Kind), order: s.order, authority: s.authority, result: report.Result,
		oldKid: before.active, newKid: report.NewKid, active: after.active,
		issuer: after.certificate.Issuer.CommonName, expires: after.certificate.NotAfter,
		calls: calls, transitions: report.Transitions, seconds: clock.shown.Seconds(),
		wrong: wrong,
	}, nil
}
