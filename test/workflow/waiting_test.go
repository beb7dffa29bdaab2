package workflow

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/tidwall/gjson"

	"keyturn/internal/localaws"
	"keyturn/internal/oktasim"
	"keyturn/internal/playground"
	"keyturn/internal/rotation"
)

// sent are this rotation's mails to an address so far, the oldest first.
func (r *running) sent(to string) []localaws.Mail { return r.own(mails.all(), to) }

// own are those of the mails that are this rotation's.
func (r *running) own(all []localaws.Mail, to string) []localaws.Mail {
	var found []localaws.Mail
	for _, m := range all {
		if strings.Contains(m.Text, r.reference()) && slices.Equal(m.To, []string{to}) {
			found = append(found, m)
		}
	}
	return found
}

// nth waits for the mail number n to an address, from 1, and gives its link.
func (r *running) nth(to string, n int) (localaws.Mail, string) {
	r.t.Helper()
	var mail localaws.Mail
	r.until(fmt.Sprintf("mail %d to %s", n, to), func() bool {
		ended := r.describe().StopDate != nil
		all := r.sent(to)
		if ended && len(all) < n {
			// What it sent last may not have been heard of yet.
			box, err := r.p.Cloud.Mails(r.ctx)
			if err != nil {
				r.t.Fatal(err)
			}
			all = r.own(box, to)
		}
		if len(all) >= n {
			mail = all[n-1]
			return true
		}
		if ended {
			r.t.Fatalf("the rotation ended before mail %d to %s", n, to)
		}
		return false
	})
	link, err := playground.Link(mail.Text)
	if err != nil {
		r.t.Fatal(err)
	}
	return mail, link
}

// page opens a link.
func (s *scene) page(link string) playground.Page {
	s.t.Helper()
	page, err := s.p.Open(s.ctx, link)
	if err != nil {
		s.t.Fatal(err)
	}
	return page
}

// shows checks a page's status and title.
func (s *scene) shows(link string, status int, title string, texts ...string) {
	s.t.Helper()
	page := s.page(link)
	if page.Status != status || page.Title() != title {
		s.t.Errorf("the page is %d %q, want %d %q", page.Status, page.Title(), status, title)
	}
	for _, text := range texts {
		if !strings.Contains(page.HTML, text) {
			s.t.Errorf("the page does not say %q", text)
		}
	}
}

// plan answers a link with "switch at".
func (s *scene) plan(link string, at time.Time) {
	s.t.Helper()
	page, err := s.p.Post(s.ctx, link, url.Values{"form": {s.form(link)}, "decision": {"plan"}, "comment": {"after hours"},
		"date": {at.UTC().Format("2006-01-02")}, "time": {at.UTC().Format("15:04")}, "zone": {"UTC"}})
	if err != nil {
		s.t.Fatal(err)
	}
	if page.Status != http.StatusOK || page.Title() != "Thank you, the switch is planned" {
		s.t.Fatalf("the plan is not taken: %d %q", page.Status, page.Title())
	}
}

// entered waits until the rotation is in a state.
func (r *running) entered(state string) {
	r.t.Helper()
	if err := r.rotation.Until(r.ctx, state, nil); err != nil {
		r.t.Fatalf("%s: %v", state, err)
	}
}

func TestRemindersCarryANewLinkAndTheOldOneSaysSo(t *testing.T) {
	parallel(t)
	s := app(t)
	r := s.rotate(policy{"giveUpDays": 30, "reminderHours": 96})
	_, first := r.nth(playground.Approver, 1)
	reminder, second := r.nth(playground.Approver, 2)
	if !strings.HasPrefix(reminder.Subject, "Reminder: ") || first == second {
		t.Errorf("the reminder is %q, with the link of the first message: %v", reminder.Subject, first == second)
	}
	s.shows(first, http.StatusGone, "A newer link was sent")
	s.decide(second, "confirm", "", "at last")
	report := r.end()
	ended(t, "Completed", report)
	states(t, `InspectTarget AnnounceStart AnyUnusedKeys GenerateCsr SignCsr Signed PublishCsr UploadOrder RequestUpload NextMessage RequestUpload
		Uploaded UpdateKeyCredential VerifyKey AnnounceSwitch Switched Report AnnounceEnd Outcome Completed`, report)
	s.switched(report.NewKid)
	s.shows(first, http.StatusGone, "This request is answered already", playground.Approver)
	requested := s.requested(2)
	same(t, "rounds", []int64{0, 1}, []int64{gjson.GetBytes(requested[0].Detail, "round").Int(), gjson.GetBytes(requested[1].Detail, "round").Int()})
}

// requested are the first n events about requests to the approvers.
func (s *scene) requested(n int) []event {
	s.t.Helper()
	var found []event
	s.until("events about requests", func() bool {
		found = nil
		for _, e := range s.events(0) {
			if e.DetailType == "Keyturn Approval Requested" {
				found = append(found, e)
			}
		}
		return len(found) >= n
	})
	return found
}

func TestAfterTheLastReminderTheRotationGivesUp(t *testing.T) {
	parallel(t)
	s := app(t)
	r := s.rotate(policy{"giveUpDays": 3, "reminderHours": 24})
	report := r.end()
	ended(t, "GaveUp", report)
	s.unchanged()
	leftBehind(t, report)
	r.until("the last message", func() bool { return len(r.sent(playground.Approver)) >= 3 })
	all := r.sent(playground.Approver)
	same(t, "messages", 3, len(all))
	for _, m := range all {
		link, err := playground.Link(m.Text)
		if err != nil {
			t.Fatal(err)
		}
		s.shows(link, http.StatusGone, "The rotation has ended", "Nothing was changed")
	}
}

func TestAnEscalationAsksOthersAsWell(t *testing.T) {
	parallel(t)
	now := time.Now().UTC().Truncate(time.Second)
	created := now.AddDate(-2, 0, 0)
	// Eight days left: the escalation of seven days is a day away.
	s := app(t, oktasim.AppSpec{Label: label(t), Created: created, Key: oktasim.NewKey(oktasim.KeySpec{Created: created, NotAfter: now.AddDate(0, 0, 8).Add(time.Hour)})})
	r := s.rotate(policy{"giveUpDays": 20, "reminderHours": 24 * 20, "escalateTo": []string{"identity-lead@example.com"}, "confirmSignIn": true})
	mail, link := r.nth("identity-lead@example.com", 1)
	r.nth(playground.Approver, 2)
	if !strings.HasPrefix(mail.Subject, "Overdue: ") {
		t.Errorf("the escalation's subject is %q", mail.Subject)
	}
	s.decide(link, "confirm", "", "did it myself")
	// Who was asked late is asked about the sign-in as well.
	_, second := r.nth("identity-lead@example.com", 2)
	s.decide(second, "works", "", "")
	report := r.end()
	ended(t, "Completed", report)
	same(t, "who decided", "identity-lead@example.com", report.Decision.By)
	detail := s.requested(2)[1].Detail
	var told []string
	for _, address := range gjson.GetBytes(detail, "sent").Array() {
		told = append(told, address.String())
	}
	same(t, "who was told", []string{playground.Approver, "identity-lead@example.com"}, told)
	same(t, "escalated", true, gjson.GetBytes(detail, "escalated").Bool())
}

func TestAPlannedSwitchIsMadeAtItsTime(t *testing.T) {
	parallel(t)
	for _, kind := range bothKinds {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			s := either(t, kind)
			r := s.rotate(nil)
			at := time.Now().Add(24 * time.Hour).Truncate(time.Minute)
			s.plan(r.link(playground.Approver), at)
			if s.active() != s.oldKid {
				t.Error("the switch is made before its time")
			}
			report := r.end()
			ended(t, "Completed", report)
			states(t, `InspectTarget AnnounceStart AnyUnusedKeys GenerateCsr SignCsr Signed PublishCsr UploadOrder RequestUpload Uploaded AwaitSwitchTime
				UpdateKeyCredential VerifyKey AnnounceSwitch Switched Report AnnounceEnd Outcome Completed`, report)
			s.switched(report.NewKid)
			same(t, "the decision", &rotation.Decision{Confirmed: true, By: playground.Approver, Comment: "after hours", SwitchAt: &at},
				report.Decision, cmpopts.IgnoreFields(rotation.Decision{}, "At", "Address"), cmpopts.EquateApproxTime(0))
			if report.Transitions > mostTransitions {
				t.Errorf("%d transitions, more than %d", report.Transitions, mostTransitions)
			}
		})
	}
}

func TestAPlanIsShownByEveryLinkAndCanBeCalledOff(t *testing.T) {
	parallel(t)
	s := app(t)
	r := s.rotate(policy{"approvers": []string{"first@example.com", "second@example.com"}})
	_, link := r.nth("first@example.com", 1)
	_, other := r.nth("second@example.com", 1)
	at := time.Now().AddDate(0, 0, 20).Truncate(time.Minute)
	s.plan(link, at)
	planned, fresh := r.nth("second@example.com", 2)
	if !strings.HasPrefix(planned.Subject, "Planned: ") {
		t.Errorf("the message about the plan is %q", planned.Subject)
	}
	when := at.UTC().Format("Monday, 2 January 2006, 15:04 UTC")
	for _, l := range []string{link, other, fresh} {
		page := s.page(l)
		if page.Status != http.StatusOK || !strings.Contains(page.HTML, when) || !strings.Contains(page.HTML, `value="call-off"`) {
			t.Errorf("the page does not show the plan: %d %q", page.Status, page.Title())
		}
	}
	if s.active() != s.oldKid {
		t.Error("the switch is made before its time")
	}
	s.decide(link, "call-off", "", "wrong week")
	again, next := r.nth("first@example.com", 3)
	if !strings.HasPrefix(again.Subject, "Called off: ") || !strings.Contains(again.Text, "wrong week") {
		t.Errorf("the message after that is %q", again.Subject)
	}
	s.shows(other, http.StatusGone, "A newer link was sent", "called off")
	s.decide(next, "confirm", "", "now")
	report := r.end()
	ended(t, "Completed", report)
	states(t, `InspectTarget AnnounceStart AnyUnusedKeys GenerateCsr SignCsr Signed PublishCsr UploadOrder RequestUpload Uploaded AwaitSwitchTime
		RequestUpload Uploaded UpdateKeyCredential VerifyKey AnnounceSwitch Switched Report AnnounceEnd Outcome Completed`, report)
	same(t, "comment", "now", report.Decision.Comment)
	if report.CalledOff == nil || report.CalledOff.By != "first@example.com" || report.CalledOff.Comment != "wrong week" {
		t.Errorf("the report says of the plan %+v", report.CalledOff)
	}
	s.switched(report.NewKid)
}

func TestSignInIsConfirmedRolledBackOrLeftToThePolicy(t *testing.T) {
	parallel(t)
	const (
		before = `InspectTarget AnnounceStart AnyUnusedKeys GenerateCsr SignCsr Signed PublishCsr UploadOrder
			RequestUpload Uploaded UpdateKeyCredential VerifyKey AnnounceSwitch Switched ConfirmSignIn `
		after = `InspectTarget AnnounceStart AnyUnusedKeys GenerateCsr SignCsr Signed PublishCsr UploadOrder
			UpdateKeyCredential VerifyKey AnnounceSwitch Switched RequestUpload Uploaded ConfirmSignIn `
		completes = `ReadActiveKey Report AnnounceEnd Outcome Completed`
		goesBack  = `RestoreKeyCredential VerifyOldKey Report AnnounceEnd Outcome RolledBack`
	)
	for _, c := range []struct {
		name, order, answer, silence, result, path string
	}{
		{"it works", "before-switch", "works", "keep", "Completed", before + completes},
		{"it works, in the guide's order", "after-switch", "works", "keep", "Completed", after + completes},
		{"it does not", "before-switch", "roll-back", "keep", "RolledBack", before + goesBack},
		{"it does not, in the guide's order", "after-switch", "roll-back", "keep", "RolledBack", after + goesBack},
		{"nobody says", "before-switch", "", "keep", "Completed", before + "SignInSilence " + completes},
		{"nobody says, and the policy is careful", "before-switch", "", "roll-back", "RolledBack", before + "SignInSilence " + goesBack},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := app(t)
			asks := policy{"uploadOrder": c.order, "confirmSignIn": true, "signInSilence": c.silence, "giveUpDays": 30}
			if c.answer == "" {
				asks["signInHours"] = 24
			}
			r := s.rotate(asks)
			_, link := r.nth(playground.Approver, 1)
			s.decide(link, "confirm", "", "uploaded")
			if c.answer != "" {
				mail, second := r.nth(playground.Approver, 2)
				if !strings.HasPrefix(mail.Subject, "Please try a sign-in") {
					t.Errorf("the second message is %q", mail.Subject)
				}
				s.shows(link, http.StatusGone, "This request is answered already", "asks whether sign-in works")
				s.decide(second, c.answer, "", "tried it")
			}
			report := r.end()
			ended(t, c.result, report)
			states(t, c.path, report)
			if c.result == "Completed" {
				s.switched(report.NewKid)
				s.inMetadata(report.NewKid)
			} else {
				s.switched(s.oldKid)
				s.inMetadata(s.oldKid)
				leftBehind(t, report)
			}
			same(t, "the upload's decision", "uploaded", report.Decision.Comment)
			switch {
			case c.answer == "" && report.SignIn != nil:
				t.Errorf("nobody answered, and the report says %+v", report.SignIn)
			case c.answer != "" && (report.SignIn == nil || report.SignIn.Confirmed != (c.answer == "works") || report.SignIn.Comment != "tried it"):
				t.Errorf("the report says of the sign-in %+v", report.SignIn)
			}
			if c.answer == "" {
				failedWith(t, report.Error, "ConfirmSignIn", "States.Timeout")
			} else if report.Error != nil {
				t.Errorf("the report has the error %+v", report.Error)
			}
			if report.Transitions > mostTransitions+3 {
				t.Errorf("%d transitions", report.Transitions)
			}
		})
	}
}
