package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"keyturn/internal/oktasim"
	"keyturn/internal/playground"
	"keyturn/internal/rotation"
)

// turn is one rotation, measured.
type turn struct {
	kind  rotation.Kind
	order rotation.UploadOrder
	// calls are to Okta. lambdas are calls of functions, those of the page
	// among them; events and mails are what was sent.
	calls, transitions     int
	lambdas, events, mails int
}

// The budgets of a rotation. One call more is for the order after-switch, which
// looks at the active key once more when the upload is confirmed.
const (
	maxCalls       = 9
	maxTransitions = 20
)

func (t turn) maxCalls() int {
	if t.order == rotation.AfterSwitch {
		return maxCalls + 1
	}
	return maxCalls
}

func (t turn) broken() []string {
	var broken []string
	if t.calls > t.maxCalls() {
		broken = append(broken, fmt.Sprintf("rotation of an %s, %s: %d calls to Okta, more than %d", t.kind, t.order, t.calls, t.maxCalls()))
	}
	if t.transitions > maxTransitions {
		broken = append(broken, fmt.Sprintf("rotation of an %s, %s: %d state transitions, more than %d", t.kind, t.order, t.transitions, maxTransitions))
	}
	return broken
}

// page calls of one answer: the page is opened, and its form sent.
const pageCalls = 2

// turns are rotations of an app and an IdP in both orders, on a local AWS with
// the deployed stack, each confirmed by the page behind the link.
func turns(ctx context.Context, root string, progress func(string)) (measured []turn, err error) {
	resources, err := tasks(filepath.Join(root, "statemachine", "rotation.asl.json"))
	if err != nil {
		return nil, err
	}
	progress("rotations on a local AWS")
	p, err := playground.Start(ctx, playground.Options{
		Org: oktasim.Options{Limits: oktasim.Limits{Apps: oktasim.Unlimited, App: oktasim.Unlimited, API: oktasim.Unlimited}},
	})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.Stop()) }()
	// Its key is due and came with it: of one that is not, the CA is asked
	// whether it issued it, and one that is older may be shared.
	created := time.Now().AddDate(-2, 0, 0)
	second := p.Org.AddIDP(oktasim.IDPSpec{Label: "Subsidiary", Created: created,
		Key: oktasim.NewKey(oktasim.KeySpec{Created: created, NotAfter: time.Now().AddDate(0, 0, 30)})})
	for _, t := range []struct {
		kind  rotation.Kind
		id    string
		order rotation.UploadOrder
	}{
		{rotation.KindApp, p.Targets.BeforeSwitchApp, rotation.BeforeSwitch},
		{rotation.KindApp, p.Targets.AfterSwitchApp, rotation.AfterSwitch},
		{rotation.KindIDP, p.Targets.IDP, rotation.BeforeSwitch},
		{rotation.KindIDP, second, rotation.AfterSwitch},
	} {
		m, err := rotate(ctx, p, rotation.Target{Kind: t.kind, ID: t.id}, t.order, resources)
		if err != nil {
			return nil, fmt.Errorf("rotation of an %s, %s: %w", t.kind, t.order, err)
		}
		progress(fmt.Sprintf("  %s, %s: %d calls, %d transitions", t.kind, t.order, m.calls, m.transitions))
		measured = append(measured, m)
	}
	return measured, nil
}

func rotate(ctx context.Context, p *playground.Playground, target rotation.Target, order rotation.UploadOrder, resources map[string]string) (turn, error) {
	t := turn{kind: target.Kind, order: order, lambdas: pageCalls}
	var document struct{ Label, Name string }
	if err := json.Unmarshal(p.Org.Document(string(target.Kind), target.ID), &document); err != nil {
		return t, err
	}
	label := document.Label
	if target.Kind == rotation.KindIDP {
		label = document.Name
	}
	p.Org.ResetCalls()
	started := time.Now()
	r, err := p.Rotate(ctx, "", target, map[string]any{"uploadOrder": order})
	if err != nil {
		return t, err
	}
	if err := r.Until(ctx, "RequestUpload", nil); err != nil {
		return t, err
	}
	mail, err := p.Mail(ctx, playground.Approver, label, started)
	if err != nil {
		return t, err
	}
	link, err := playground.Link(mail.Text)
	if err != nil {
		return t, err
	}
	if _, err := p.Answer(ctx, link, "confirm", "", ""); err != nil {
		return t, err
	}
	report, err := r.End(ctx, nil)
	if err != nil {
		return t, err
	}
	if report.Result != "Completed" {
		return t, fmt.Errorf("it ended as %s: %+v", report.Result, report.Error)
	}
	t.calls, t.transitions = p.OktaCalls(target.ID, started), report.Transitions
	for _, state := range report.States {
		switch resource := resources[state]; {
		case strings.Contains(resource, ":lambda:"):
			t.lambdas++
		case strings.Contains(resource, ":events:"):
			t.events++
		}
	}
	mails, err := p.Cloud.Mails(ctx)
	if err != nil {
		return t, err
	}
	for _, m := range mails {
		if m.At.After(started) {
			t.mails += len(m.To)
		}
	}
	return t, nil
}

// tasks are the resources that a definition's states call, by state.
func tasks(path string) (map[string]string, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var definition struct {
		States map[string]struct{ Resource string }
	}
	if err := json.Unmarshal(raw, &definition); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	resources := map[string]string{}
	for name, state := range definition.States {
		resources[name] = state.Resource
	}
	return resources, nil
}
