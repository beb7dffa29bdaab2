// Package browser lets tests do with a page what a person does with it, in a
// headless Chromium: open, read, fill in, press, download. Things are named by
// the words on the page. What cannot be done fails the test, with what was there
// instead.
//
// The browser is the one that KEYTURN_BROWSER or tools/browser names. It reaches
// this machine's loopback interface and nothing else.
package browser

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	cdpbrowser "github.com/chromedp/cdproto/browser"
	"github.com/chromedp/chromedp"
)

// Browser is a Chromium that the tests of a package share. The zero value is
// ready, and starts with its first tab. Stop it.
type Browser struct {
	mu      sync.Mutex
	started bool
	err     error
	ctx     context.Context
	// end kills the browser, and waits until its processes and files are gone.
	end context.CancelFunc
	// files is what the browser writes besides its profile: a folder of
	// downloads for each tab, and what it would leave in the user's home.
	files    string
	watchers watchers
}

// flags are how the browser runs: headless, as root too, from an empty profile,
// and asking nobody for anything.
var flags = map[string]any{
	"headless": "new",
	// Containers let no process make namespaces, and have a small /dev/shm.
	"no-sandbox":            true,
	"disable-dev-shm-usage": true,
	"disable-gpu":           true,
	"disable-quic":          true,

	"no-first-run":                  true,
	"no-default-browser-check":      true,
	"disable-background-networking": true,
	"disable-breakpad":              true,
	"disable-component-update":      true,
	"disable-default-apps":          true,
	"disable-extensions":            true,
	"disable-sync":                  true,
	"metrics-recording-only":        true,
	"password-store":                "basic",
	"disable-features":              "Translate,MediaRouter,OptimizationHints",
	"no-proxy-server":               true,
	"host-resolver-rules":           "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost, EXCLUDE *.localhost",

	// Tabs that nobody looks at must not be slower, and look the same everywhere.
	"disable-background-timer-throttling":    true,
	"disable-backgrounding-occluded-windows": true,
	"disable-renderer-backgrounding":         true,
	"force-color-profile":                    "srgb",
	"hide-scrollbars":                        true,
	"lang":                                   "en-US",
}

// start starts the browser once.
func (b *Browser) start() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.started {
		b.started = true
		b.err = b.launch()
	}
	return b.err
}

func (b *Browser) launch() error {
	path, err := find()
	if err != nil {
		return err
	}
	if b.files, err = os.MkdirTemp("", "keyturn-browser-"); err != nil {
		return fmt.Errorf("browser: %w", err)
	}
	options := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(path),
		chromedp.WindowSize(wide.width, wide.height),
		chromedp.Env("HOME="+b.files, "XDG_CONFIG_HOME="+b.files, "XDG_CACHE_HOME="+b.files),
	}
	for name, value := range flags {
		options = append(options, chromedp.Flag(name, value))
	}
	var log bytes.Buffer
	options = append(options, chromedp.CombinedOutput(&log))
	allocator, endAllocator := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, endBrowser := chromedp.NewContext(allocator)
	b.ctx, b.end = ctx, sync.OnceFunc(func() { endBrowser(); endAllocator() })

	// The context of the first run is the browser's for its life, so that no
	// deadline can be on it.
	slow := time.AfterFunc(startLimit, b.end)
	err = chromedp.Do(ctx)
	if !slow.Stop() {
		err = fmt.Errorf("not ready within %s", startLimit)
	}
	if err == nil {
		err = chromedp.ListenBrowser(ctx, b.watchers.tell)
	}
	if err != nil {
		b.end()
		return fmt.Errorf("browser: %s: %w\n%s", path, err, bytes.TrimSpace(log.Bytes()))
	}
	return nil
}

// startLimit is for a machine that has much else to do; one second is usual.
const startLimit = time.Minute

// Stop ends the browser and removes all that it has written. It may be called
// where no tab was opened, and more than once.
func (b *Browser) Stop() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	var errs []error
	if b.end != nil {
		ctx, cancel := context.WithTimeout(b.ctx, 10*time.Second)
		defer cancel()
		// Close, so that it can end its processes in order; what stays is killed.
		if b.err == nil {
			if err := chromedp.Cancel(ctx); err != nil && !errors.Is(err, context.Canceled) {
				errs = append(errs, fmt.Errorf("browser: closing: %w", err))
			}
		}
		b.end()
		b.end = nil
	}
	if b.files != "" {
		errs = append(errs, os.RemoveAll(b.files))
		b.files = ""
	}
	b.started, b.err = true, errors.New("browser: stopped")
	return errors.Join(errs...)
}

// find returns the path of the browser.
func find() (string, error) {
	if path := os.Getenv("KEYTURN_BROWSER"); path != "" {
		return path, nil
	}
	root, err := projectRoot()
	if err != nil {
		return "", err
	}
	cmd := exec.Command(filepath.Join(root, "tools", "browser"))
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("browser: none to test with: %s (%w)", bytes.TrimSpace(said.Bytes()), err)
	}
	return strings.TrimSpace(string(out)), nil
}

// projectRoot is the folder of the root module, found upwards from the working
// directory.
func projectRoot() (string, error) {
	start, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && bytes.HasPrefix(mod, []byte("module keyturn\n")) {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("browser: %s is not inside the keyturn module", start)
		}
	}
}

// watchers are the tabs that hear of downloads, which are the browser's and not
// the tab's.
type watchers struct {
	mu   sync.Mutex
	tabs map[*Tab]bool
}

func (w *watchers) add(t *Tab) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.tabs == nil {
		w.tabs = map[*Tab]bool{}
	}
	w.tabs[t] = true
}

func (w *watchers) remove(t *Tab) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.tabs, t)
}

func (w *watchers) tell(event any) {
	switch event.(type) {
	case *cdpbrowser.EventDownloadWillBegin, *cdpbrowser.EventDownloadProgress:
	default:
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for t := range w.tabs {
		t.seen.hear(event)
	}
}
