package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"keyturn/internal/inventory"
	"keyturn/internal/playground"
)

// reportFile is where the demo leaves discovery's report.
const reportFile = "build/demo-report.html"

// discover looks for what is due, as the schedule does every day. Its policy
// rotates the scenarios' targets and reports the rest. The entries are by the
// targets' ids.
func discover(ctx context.Context, p *playground.Playground, screen *screen, all []scenario) (map[string]inventory.Entry, error) {
	screen.heading("Discovery: which certificates are due?")
	var rules []any
	for _, s := range all {
		rules = append(rules, map[string]any{"match": map[string]any{"kind": s.target.Kind, "id": s.target.ID}, "mode": "rotate", "uploadOrder": s.order, "certificateAuthority": s.authority})
	}
	d, err := p.Discover(ctx, map[string]any{"policy": map[string]any{"mode": "notify", "signers": []string{playground.Signer}, "rules": rules}})
	if err != nil {
		return nil, err
	}
	if d.Status != types.ExecutionStatusSucceeded {
		return nil, fmt.Errorf("discovery ended %s: %s %s", d.Status, d.Error, d.Cause)
	}
	file, err := p.Object(ctx, d.Inventory)
	if err != nil {
		return nil, err
	}
	var found struct{ Targets []inventory.Entry }
	if err := json.NewDecoder(bytes.NewReader(file)).Decode(&found); err != nil {
		return nil, fmt.Errorf("%s: %w", d.Inventory, err)
	}
	byID := map[string]inventory.Entry{}
	for _, e := range found.Targets {
		byID[e.Target.ID] = e
		if e.DaysLeft != nil {
			screen.found(e.Target.Label, string(e.Target.Kind), *e.DaysLeft, strings.TrimSpace(string(e.Action)+"  "+e.Reason))
		}
	}
	report, err := p.Object(ctx, d.Report)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(reportFile), 0o750); err != nil {
		return nil, err
	}
	if err := os.WriteFile(reportFile, report, 0o600); err != nil {
		return nil, err
	}
	screen.step("found", fmt.Sprintf("%d targets, %d due, %d rotations started; %d calls to Okta, %d state transitions", d.Targets, d.Due, d.Started, d.OktaCalls, d.Transitions))
	screen.step("report", reportFile+", to be opened with a browser")
	return byID, nil
}
