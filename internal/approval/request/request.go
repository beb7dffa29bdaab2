// Package request asks the approvers, and those who have CSRs signed: by mail, in a chat, or on a topic.
package request

import (
	"context"
	"encoding/base64"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"keyturn/internal/approval"
	"keyturn/internal/notify"
	"keyturn/internal/rotation"
)

// Mailer mails one person.
type Mailer interface {
	Send(ctx context.Context, to string, m notify.Message) error
}

// Publisher tells a topic or a chat.
type Publisher interface {
	Send(ctx context.Context, m notify.Message) error
}

// Upload is the function request-upload (guide, step 7, and step 3 where a
// person has the CSR signed): it asks what a paused state waits for.
type Upload struct {
	// Mail is nil when no sender is configured, Chat when no webhook is.
	Mail Mailer
	Chat Publisher
	// Topic stands in for approvers who have neither.
	Topic Publisher
	// Events is told who was asked; nil for nobody.
	Events notify.Events
	// Sealer is read on first use.
	Sealer func(ctx context.Context) (*approval.Sealer, error)
	// BaseURL is where the page is, without the link.
	BaseURL string
	// OrgURL is the org's address, for the way to the admin console.
	OrgURL string
	Now    func() time.Time
	Log    *slog.Logger
}

// How a channel is called where addresses stand otherwise.
const (
	toChat  = "chat"
	toTopic = "sns"
)

// mailsAtOnce is how many mails are under way together. SES takes 14 in a
// second from most accounts (SES Developer Guide, "Sending quotas").
const mailsAtOnce = 4

// errand is one message to be sent. Its to is an address or a channel's name.
type errand struct {
	to   string
	send func(ctx context.Context) error
	err  error
}

// Run sends each approver a message with a link of their own, and the chat one
// whose page asks for a name; the topic gets it where there is neither. It
// fails when nobody could be told: a rotation never waits for a message that
// nobody got, but for a plan's time. It may be run twice: the messages of a second run have links to
// the token that it was given.
func (s Upload) Run(ctx context.Context, in rotation.RequestUploadInput) (rotation.RequestUploadOutput, error) {
	none := rotation.RequestUploadOutput{}
	der, csr, err := check(in)
	if err != nil {
		return none, err
	}
	sealer, err := s.Sealer(ctx)
	if err != nil {
		return none, err
	}
	now := s.Now()
	errands, err := s.errands(sealer, request{in: in, der: der, csr: csr, now: now, orgURL: s.OrgURL})
	if err != nil {
		return none, err
	}
	sendAll(ctx, errands)

	out := rotation.RequestUploadOutput{Sent: []string{}}
	var failures []error
	for _, e := range errands {
		if e.err == nil {
			out.Sent = append(out.Sent, e.to)
			continue
		}
		failures = append(failures, e.err)
		out.Unreachable = append(out.Unreachable, e.to)
	}
	// A plan stands whoever hears of it: its paused state must last until then,
	// so that the page can show it and take its call-off.
	if len(out.Sent) == 0 && in.Stage != rotation.StagePlanned {
		return none, nobodyTold(failures)
	}
	for _, err := range failures {
		s.Log.Warn("somebody could not be told", "target", in.Target.String(), "error", rotation.NameOf(err), "message", err.Error())
	}
	s.announce(ctx, in, out, now)
	return out, nil
}

// check gives the new certificate in DER or, in the stage certificate, the
// request that is to be signed; or it says what is missing.
func check(in rotation.RequestUploadInput) ([]byte, approval.SigningRequest, error) {
	none := approval.SigningRequest{}
	if err := in.Target.Validate(); err != nil {
		return nil, none, err
	}
	if in.TaskToken == "" {
		return nil, none, rotation.Errorf("Input.Invalid", "taskToken is empty: only a paused state of the rotation can ask the approvers")
	}
	switch in.Stage {
	case rotation.StageCertificate, rotation.StageUpload:
		if in.AnswerBy.IsZero() {
			return nil, none, rotation.Errorf("Input.Invalid", "answerBy is missing: the stage %s needs the time at which the rotation stops waiting", in.Stage)
		}
	case rotation.StagePlanned:
		if in.Decision == nil || in.Decision.SwitchAt == nil {
			return nil, none, rotation.Errorf("Input.Invalid", "decision.switchAt is missing: the stage %s needs the time of the switch", in.Stage)
		}
	case rotation.StageSignIn:
	default:
		return nil, none, rotation.Errorf("Input.Invalid", "stage is %q: use %q, %q, %q or %q", in.Stage, rotation.StageCertificate, rotation.StageUpload, rotation.StagePlanned, rotation.StageSignIn)
	}
	if in.Stage == rotation.StageCertificate {
		csr, err := approval.ReadCSR(in.CSR)
		return nil, csr, err
	}
	der, err := base64.StdEncoding.DecodeString(in.NewKey.Certificate)
	if err != nil || len(der) == 0 {
		return nil, none, rotation.Errorf("Input.Invalid", "newKey.certificate is not a certificate in base64")
	}
	return der, none, nil
}

// errands makes the messages: mails first, then the channels. all is what they
// have in common.
func (s Upload) errands(sealer *approval.Sealer, all request) ([]*errand, error) {
	in := all.in
	if s.Mail != nil {
		all.asked = addressees(in)
	}
	message := func(reader string) (notify.Message, error) {
		link, err := sealer.Seal(approval.Claim{
			TaskToken: in.TaskToken,
			Stage:     in.Stage,
			Execution: in.ExecutionName(),
			Target:    in.Target,
			Approver:  reader,
			Expires:   in.Deadline(all.now),
		})
		if err != nil {
			return notify.Message{}, err
		}
		one := all
		one.reader, one.link = reader, strings.TrimRight(s.BaseURL, "/")+"/a/"+link
		return one.message(), nil
	}
	var errands []*errand
	for _, to := range all.asked {
		m, err := message(to)
		if err != nil {
			return nil, err
		}
		errands = append(errands, &errand{to: to, send: func(ctx context.Context) error { return s.Mail.Send(ctx, to, m) }})
	}
	channel := func(to string, p Publisher) error {
		m, err := message("")
		if err != nil {
			return err
		}
		errands = append(errands, &errand{to: to, send: func(ctx context.Context) error { return p.Send(ctx, m) }})
		return nil
	}
	switch {
	case s.Chat != nil:
		if err := channel(toChat, s.Chat); err != nil {
			return nil, err
		}
	case s.Mail == nil || len(in.Asked()) == 0:
		// An escalation alone does not tell those who are asked otherwise.
		if err := channel(toTopic, s.Topic); err != nil {
			return nil, err
		}
	}
	return errands, nil
}

// addressees are those who get a mail, each once.
func addressees(in rotation.RequestUploadInput) []string {
	all := in.Asked()
	if in.Escalate {
		all = slices.Concat(all, in.Policy.EscalateTo)
	}
	var once []string
	for _, address := range all {
		if !slices.ContainsFunc(once, func(other string) bool { return strings.EqualFold(other, address) }) {
			once = append(once, address)
		}
	}
	return once
}

// What one message may take, and what is left of the function's time for the
// rest when all have to be out: a function that is killed while one message
// hangs would send every other again.
const (
	errandTimeout = 20 * time.Second
	reserve       = 10 * time.Second
)

// sendAll runs the errands, a few at once, and notes how each of them ended.
func sendAll(ctx context.Context, errands []*errand) {
	if end, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, end.Add(-reserve))
		defer cancel()
	}
	var all sync.WaitGroup
	free := make(chan struct{}, mailsAtOnce)
	for _, e := range errands {
		free <- struct{}{}
		all.Go(func() {
			defer func() { <-free }()
			ctx, cancel := context.WithTimeout(ctx, errandTimeout)
			defer cancel()
			e.err = e.send(ctx)
		})
	}
	all.Wait()
}

// nobodyTold is one error for all: worth a retry if one of them is.
func nobodyTold(failures []error) error {
	name := "Notify.Refused"
	for _, err := range failures {
		if rotation.NameOf(err) == "Notify.Unavailable" {
			name = "Notify.Unavailable"
		}
	}
	return &rotation.Error{Name: name, Message: "nobody could be told", Err: errors.Join(failures...)}
}

// announce says in an event who was asked. An event that cannot be put does not
// fail the step: a retry would send every message again.
func (s Upload) announce(ctx context.Context, in rotation.RequestUploadInput, out rotation.RequestUploadOutput, now time.Time) {
	if s.Events == nil {
		return
	}
	err := notify.Announce(ctx, s.Events, notify.Requested{
		Stage: in.Stage, Target: in.Target, OldKid: in.OldKey.Kid, NewKid: in.NewKey.Kid,
		Round: in.Round, Escalated: in.Escalate, Sent: out.Sent, Unreachable: out.Unreachable,
		AnswerBy: in.Deadline(now), Decision: in.Decision, Execution: in.Execution,
	})
	if err != nil {
		s.Log.Error("the event could not be put", "target", in.Target.String(), "error", rotation.NameOf(err), "message", err.Error())
	}
}
