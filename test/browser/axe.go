package browser

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// axeFile is where `make setup` puts axe-core (tools/requirements-axe.txt).
const axeFile = ".venv/lib/python3*/site-packages/axe_playwright_python/axe.min.js"

var axeCore = sync.OnceValues(func() (string, error) {
	root, err := projectRoot()
	if err != nil {
		return "", err
	}
	paths, err := filepath.Glob(filepath.Join(root, axeFile))
	if err != nil {
		return "", err
	}
	if len(paths) == 0 {
		return "", fmt.Errorf("browser: axe-core is not there as %s: run make setup", axeFile)
	}
	script, err := os.ReadFile(paths[len(paths)-1])
	return string(script), err
})

// axeRun applies all rules that axe-core has switched on, and makes a text of each
// violation.
const axeRun = `axe.run(document, { resultTypes: ['violations'] }).then((r) => r.violations
	.filter((v) => v.impact === 'serious' || v.impact === 'critical')
	.map((v) => v.impact + ': ' + v.help + ' (' + v.id + ')' + v.nodes.map((n) =>
		'\n  ' + n.target.join(' ') + '\n    ' + n.html.slice(0, 200) + '\n    ' + n.failureSummary.replace(/\n/g, '\n    ')).join('')))`

// Axe has axe-core look at the page, and returns what it finds serious or
// critical: the rule, the element, what to do.
func (tab *Tab) Axe() []string {
	tab.t.Helper()
	ctx, cancel := tab.within()
	defer cancel()
	violations, err := tab.axe(ctx)
	if err != nil {
		tab.fail("axe-core", err)
	}
	return violations
}

func (tab *Tab) axe(ctx context.Context) (violations []string, err error) {
	script, err := axeCore()
	if err != nil {
		return nil, err
	}
	if tab.look.noScript {
		// axe-core is a script too. The page's own do not run later than they
		// would have.
		scripts := func(off bool) error {
			_, err := chromedp.Call(ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: off})
			return err
		}
		if err := scripts(false); err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, scripts(true)) }()
	}
	if _, err := ask[chromedp.Void](ctx, tab, script); err != nil {
		return nil, err
	}
	found, err := ask[[]string](ctx, tab, axeRun)
	if err != nil {
		return nil, err
	}
	for i := range found {
		found[i] = strings.TrimSpace(found[i])
	}
	return found, nil
}
