package browser

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	_ "embed"

	cdpbrowser "github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// limit is how long a tab waits for anything: a page of a function that starts
// cold, on a machine that runs other tests too.
const limit = 30 * time.Second

// patience is how long words or a thing may take to appear on a page that has
// loaded. Without scripts, what is not there at once never is.
const patience = 3 * time.Second

//go:embed person.js
var person string

// Tab is a window with cookies, cache and downloads of its own. Its methods fail
// the test where a person would give up. It is for one goroutine.
type Tab struct {
	t     testing.TB
	ctx   context.Context
	files string
	seen  *seen
	look  look
	// loader and world are the document that person.js is in, and where.
	loader cdp.LoaderID
	world  runtime.ExecutionContextID
}

// Request is one that a tab has sent.
type Request struct {
	Method, URL string
	// Referrer is what the Referer header told; empty for nothing.
	Referrer string
}

type screen struct{ width, height int }

var (
	wide   = screen{1280, 900}
	narrow = screen{390, 844}
)

type look struct {
	screen   screen
	phone    bool
	dark     bool
	print    bool
	noScript bool
	timeZone string
}

// Option says how a tab differs from a wide, light one with scripts.
type Option func(*look)

// Narrow is a phone held upright, 390 pixels wide.
func Narrow(l *look) { l.screen, l.phone = narrow, true }

// Dark is a person who prefers dark colors.
func Dark(l *look) { l.dark = true }

// Print shows the page as it would be printed.
func Print(l *look) { l.print = true }

// NoScript runs no script of the page.
func NoScript(l *look) { l.noScript = true }

// TimeZone is where the person is, such as "Europe/Berlin".
func TimeZone(name string) Option { return func(l *look) { l.timeZone = name } }

// Tab opens a tab, which closes when the test ends.
func (b *Browser) Tab(t testing.TB, options ...Option) *Tab {
	t.Helper()
	if err := b.start(); err != nil {
		t.Fatal(err)
	}
	files, err := os.MkdirTemp(b.files, "downloads-")
	if err != nil {
		t.Fatal(err)
	}
	tab := &Tab{t: t, files: files, seen: newSeen(), look: look{screen: wide}}
	for _, o := range options {
		o(&tab.look)
	}
	ctx, closeTab := chromedp.NewContext(b.ctx, chromedp.WithNewBrowserContext(), chromedp.WithListener(tab.hear))
	tab.ctx = ctx
	b.watchers.add(tab)
	t.Cleanup(func() {
		closeTab()
		b.watchers.remove(tab)
	})
	// A tab lives as long as the context of its first run.
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("browser: a new tab: %v", err)
	}
	if err := tab.set(); err != nil {
		t.Fatalf("browser: a new tab: %v", err)
	}
	return tab
}

// Look gives the person another screen and other colors: those of the options,
// else a wide and light one. Scripts and time zone stay as they are.
func (tab *Tab) Look(options ...Option) {
	tab.t.Helper()
	next := look{screen: wide, noScript: tab.look.noScript, timeZone: tab.look.timeZone}
	for _, o := range options {
		o(&next)
	}
	tab.look = next
	err := tab.set()
	if err == nil {
		ctx, cancel := tab.within()
		defer cancel()
		_, err = tab.try(ctx, "across", strconv.Itoa(next.screen.width))
	}
	if err != nil {
		tab.fail("look in another way", err)
	}
}

// set makes the tab look as the options say.
func (tab *Tab) set() error {
	ctx, cancel := tab.within()
	defer cancel()
	yes := true
	own := chromedp.FromContext(tab.ctx)
	if _, err := chromedp.CallBrowser(ctx, cdpbrowser.SetDownloadBehavior, cdpbrowser.SetDownloadBehaviorParams{
		Behavior: cdpbrowser.SetDownloadBehaviorBehaviorAllowAndName, BrowserContextID: own.BrowserContextID,
		DownloadPath: tab.files, EventsEnabled: &yes,
	}); err != nil {
		return fmt.Errorf("downloads: %w", err)
	}
	viewport := []chromedp.EmulateViewportOption{}
	if tab.look.phone {
		viewport = append(viewport, chromedp.EmulateMobile, chromedp.EmulatePortrait, chromedp.EmulateScale(2))
	}
	if err := chromedp.Do(ctx, chromedp.EmulateViewport(int64(tab.look.screen.width), int64(tab.look.screen.height), viewport...)); err != nil {
		return fmt.Errorf("screen: %w", err)
	}
	media := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
		{Name: "prefers-color-scheme", Value: either(tab.look.dark, "dark", "light")},
		{Name: "prefers-reduced-motion", Value: "reduce"},
	}}
	if tab.look.print {
		media.Media = "print"
	}
	if _, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, media); err != nil {
		return fmt.Errorf("colors: %w", err)
	}
	if tab.look.timeZone != "" {
		if _, err := chromedp.Call(ctx, emulation.SetTimezoneOverride, emulation.SetTimezoneOverrideParams{TimezoneID: tab.look.timeZone}); err != nil {
			return fmt.Errorf("time zone %s: %w", tab.look.timeZone, err)
		}
	}
	if tab.look.noScript {
		if _, err := chromedp.Call(ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}); err != nil {
			return fmt.Errorf("scripts: %w", err)
		}
	}
	// The frame has the name of the tab until a document is in it.
	tab.seen.mu.Lock()
	defer tab.seen.mu.Unlock()
	if tab.seen.frame == "" {
		tab.seen.frame = cdp.FrameID(own.Target.TargetID)
	}
	return nil
}

func either(is bool, yes, no string) string {
	if is {
		return yes
	}
	return no
}

// hear hears the tab's events. A dialog would stop everything, so it is put away.
func (tab *Tab) hear(event any) {
	tab.seen.hear(event)
	if _, opens := event.(*page.EventJavascriptDialogOpening); opens {
		go func() {
			ctx, cancel := tab.within()
			defer cancel()
			// Where it fails the tab is closing, and the dialog with it.
			_, _ = chromedp.Call(ctx, page.HandleJavaScriptDialog, page.HandleJavaScriptDialogParams{Accept: false})
		}()
	}
}

// within bounds what a tab does.
func (tab *Tab) within() (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(tab.ctx, limit, fmt.Errorf("not within %s", limit))
}

// fail ends the test with what was to be done, and what the page showed.
func (tab *Tab) fail(what string, err error) {
	tab.t.Helper()
	tab.seen.mu.Lock()
	where := tab.seen.shownURL
	tab.seen.mu.Unlock()
	ctx, cancel := context.WithTimeout(tab.ctx, 2*time.Second)
	defer cancel()
	text, failure := ask[string](ctx, tab, `person.text()`)
	if failure != nil {
		text = failure.Error()
	}
	tab.t.Fatalf("%s: %v\n%s shows (status %d):\n%s", what, err, where, tab.status(), text)
}

// Open goes to a page, and waits until it has loaded, whatever its status.
func (tab *Tab) Open(address string) {
	tab.t.Helper()
	ctx, cancel := tab.within()
	defer cancel()
	since := tab.seen.now()
	answer, err := chromedp.Call(ctx, page.Navigate, page.NavigateParams{URL: address})
	if err == nil && answer.ErrorText != "" {
		err = errors.New(answer.ErrorText)
	}
	if err == nil {
		err = tab.seen.moved(ctx, since)
	}
	if err != nil {
		tab.fail("open "+address, err)
	}
}

// Show puts a document into the tab, as a mail program shows a message. It has
// no address.
func (tab *Tab) Show(html string) {
	tab.t.Helper()
	tab.Open("about:blank")
	ctx, cancel := tab.within()
	defer cancel()
	tab.seen.mu.Lock()
	frame := tab.seen.frame
	tab.seen.mu.Unlock()
	if _, err := chromedp.Call(ctx, page.SetDocumentContent, page.SetDocumentContentParams{FrameID: frame, HTML: html}); err != nil {
		tab.fail("show a document", err)
	}
}

// ask evaluates an expression in which person is person.js.
func ask[T any](ctx context.Context, tab *Tab, expression string) (T, error) {
	for {
		world, err := tab.enter(ctx)
		var answer T
		if err == nil {
			answer, err = chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise,
				func(p *runtime.EvaluateParams) { p.ContextID = world }))
		}
		// A page that goes on to the next by itself is asked there again.
		if err == nil || ctx.Err() != nil || tab.loader == tab.seen.loader() {
			return answer, err
		}
	}
}

// enter is the world of person.js in the document shown, where the page's own
// scripts can neither see nor change it.
func (tab *Tab) enter(ctx context.Context) (runtime.ExecutionContextID, error) {
	loader := tab.seen.loader()
	if tab.world != 0 && tab.loader == loader {
		return tab.world, nil
	}
	tab.world, tab.loader = 0, loader
	tab.seen.mu.Lock()
	frame := tab.seen.frame
	tab.seen.mu.Unlock()
	world, err := chromedp.Call(ctx, page.CreateIsolatedWorld, page.CreateIsolatedWorldParams{FrameID: frame, WorldName: "keyturn-tests"})
	if err != nil {
		return 0, fmt.Errorf("looking at the page: %w", err)
	}
	if _, err := chromedp.Run(ctx, chromedp.Evaluate[chromedp.Void]("globalThis.person = "+person, func(p *runtime.EvaluateParams) { p.ContextID = world.ExecutionContextID })); err != nil {
		return 0, fmt.Errorf("looking at the page: %w", err)
	}
	tab.world = world.ExecutionContextID
	return tab.world, nil
}

// found is what person.js answers.
type found struct {
	Problem string
	// Held tells that the browser itself refuses to send the form.
	Held  bool
	Typed bool
	X, Y  float64
	Value string
}

// try asks person.js to do something until it can be done, or patience is over.
func (tab *Tab) try(ctx context.Context, function string, arguments ...string) (found, error) {
	quoted := make([]string, len(arguments))
	for i, a := range arguments {
		q, err := json.Marshal(a)
		if err != nil {
			return found{}, err
		}
		quoted[i] = string(q)
	}
	expression := "person." + function + "(" + strings.Join(quoted, ", ") + ")"
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	patient, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		got, err := ask[found](ctx, tab, expression)
		if err != nil || got.Problem == "" {
			return got, err
		}
		if got.Held {
			return got, errors.New(got.Problem)
		}
		select {
		case <-patient.Done():
			return got, errors.New(got.Problem)
		case <-ticker.C:
		}
	}
}

// Title is the document's title.
func (tab *Tab) Title() string {
	tab.t.Helper()
	return read[string](tab, "title", `person.title()`)
}

// Text is what stands on the page, as copying all of it gives it. What is hidden
// is not in it.
func (tab *Tab) Text() string {
	tab.t.Helper()
	return read[string](tab, "text", `person.text()`)
}

func read[T any](tab *Tab, what, expression string) T {
	tab.t.Helper()
	ctx, cancel := tab.within()
	defer cancel()
	got, err := ask[T](ctx, tab, expression)
	if err != nil {
		tab.fail(what, err)
	}
	return got
}

// Visible waits until the words can be seen on the page, which may break their
// line and mark some of them.
func (tab *Tab) Visible(words string) {
	tab.t.Helper()
	ctx, cancel := tab.within()
	defer cancel()
	if _, err := tab.try(ctx, "visible", words); err != nil {
		tab.fail("see", err)
	}
}

// Hidden checks that the words cannot be seen on the page.
func (tab *Tab) Hidden(words string) {
	tab.t.Helper()
	ctx, cancel := tab.within()
	defer cancel()
	if _, err := tab.try(ctx, "hidden", words); err != nil {
		tab.fail("see", err)
	}
}

// Fill types a value into a field, over what is in it. The field goes by its
// label, or by its name in the form. Dates are 2006-01-02, times 15:04.
func (tab *Tab) Fill(field, value string) {
	tab.t.Helper()
	ctx, cancel := tab.within()
	defer cancel()
	what := fmt.Sprintf("fill %q in", field)
	got, err := tab.try(ctx, "take", field, value)
	if err == nil && !got.Typed {
		if value == "" {
			err = chromedp.Do(ctx, chromedp.KeyEvent("\b"))
		} else {
			_, err = chromedp.Call(ctx, input.InsertText, input.InsertTextParams{Text: value})
		}
	}
	if err != nil {
		tab.fail(what, err)
	}
	if holds := tab.Value(field); holds != value {
		tab.fail(what, fmt.Errorf("it holds %q, not %q", holds, value))
	}
}

// Value is what a field holds.
func (tab *Tab) Value(field string) string {
	tab.t.Helper()
	ctx, cancel := tab.within()
	defer cancel()
	got, err := tab.try(ctx, "value", field)
	if err != nil {
		tab.fail(fmt.Sprintf("read field %q", field), err)
	}
	return got.Value
}

// Choose takes an option of a list, by its text or its value.
func (tab *Tab) Choose(field, option string) {
	tab.t.Helper()
	ctx, cancel := tab.within()
	defer cancel()
	if _, err := tab.try(ctx, "choose", field, option); err != nil {
		tab.fail(fmt.Sprintf("choose %q in %q", option, field), err)
	}
}

// Attach chooses a file of this name and content in a field for files, which
// goes by its label, or by its name in the form.
func (tab *Tab) Attach(field, name string, content []byte) {
	tab.t.Helper()
	ctx, cancel := tab.within()
	defer cancel()
	if _, err := tab.try(ctx, "attach", field, name, base64.StdEncoding.EncodeToString(content)); err != nil {
		tab.fail(fmt.Sprintf("choose the file %q in %q", name, field), err)
	}
}

// Press clicks on a button that sends a form, and waits until the next document
// has loaded.
func (tab *Tab) Press(button string) {
	tab.t.Helper()
	tab.move("button", button)
}

// Click clicks on a button that leads nowhere: the page's own script acts.
func (tab *Tab) Click(button string) {
	tab.t.Helper()
	ctx, cancel := tab.within()
	defer cancel()
	if err := tab.click(ctx, "button", button); err != nil {
		tab.fail(fmt.Sprintf("click on button %q", button), err)
	}
}

// Follow clicks on a link, and waits until the next document has loaded.
func (tab *Tab) Follow(link string) {
	tab.t.Helper()
	tab.move("link", link)
}

func (tab *Tab) move(kind, name string) {
	tab.t.Helper()
	ctx, cancel := tab.within()
	defer cancel()
	since := tab.seen.now()
	err := tab.click(ctx, kind, name)
	if err == nil {
		err = tab.seen.moved(ctx, since)
	}
	if err != nil {
		tab.fail(fmt.Sprintf("click on %s %q", kind, name), err)
	}
}

// Held presses a button that the browser itself lets send nothing, as a field
// that is required is empty, and returns what it tells the person.
func (tab *Tab) Held(button string) string {
	tab.t.Helper()
	ctx, cancel := tab.within()
	defer cancel()
	got, err := tab.try(ctx, "point", "button", button)
	if !got.Held {
		tab.fail(fmt.Sprintf("press %q in vain", button), errors.Join(errors.New("the browser would send the form"), err))
	}
	return got.Problem
}

// Unfold clicks on the line above something that is folded away, or folds it
// away again.
func (tab *Tab) Unfold(summary string) {
	tab.t.Helper()
	ctx, cancel := tab.within()
	defer cancel()
	if err := tab.click(ctx, "summary", summary); err != nil {
		tab.fail(fmt.Sprintf("unfold %q", summary), err)
	}
}

// click clicks with the mouse where the thing is on the screen.
func (tab *Tab) click(ctx context.Context, kind, name string) error {
	spot, err := tab.try(ctx, "point", kind, name)
	if err != nil {
		return err
	}
	return chromedp.Do(ctx, chromedp.MouseClickXY(spot.X, spot.Y))
}

// The keys that Key knows.
const (
	KeyTab   = kb.Tab
	KeyEnter = kb.Enter
)

// Key presses a key, and waits for nothing.
func (tab *Tab) Key(key string) {
	tab.t.Helper()
	ctx, cancel := tab.within()
	defer cancel()
	if err := chromedp.Do(ctx, chromedp.KeyEvent(key)); err != nil {
		tab.fail(fmt.Sprintf("press key %q", key), err)
	}
}

// Enter presses the Enter key, and waits until the next document has loaded.
func (tab *Tab) Enter() {
	tab.t.Helper()
	ctx, cancel := tab.within()
	defer cancel()
	since := tab.seen.now()
	err := chromedp.Do(ctx, chromedp.KeyEvent(kb.Enter))
	if err == nil {
		err = tab.seen.moved(ctx, since)
	}
	if err != nil {
		tab.fail("press Enter", err)
	}
}

// Focus is what has the keyboard's focus: its kind and the name it goes by, such
// as "button Send"; empty for nothing.
func (tab *Tab) Focus() string {
	tab.t.Helper()
	return read[string](tab, "focus", `person.focus()`)
}

// Link is the address that a link leads to.
func (tab *Tab) Link(link string) string {
	tab.t.Helper()
	ctx, cancel := tab.within()
	defer cancel()
	got, err := tab.try(ctx, "href", link)
	if err != nil {
		tab.fail(fmt.Sprintf("address of link %q", link), err)
	}
	return got.Value
}

// Download clicks on a link, and returns the file that the browser saves, and
// the name that it gives it. It fails where the browser shows the file instead.
func (tab *Tab) Download(link string) (content []byte, filename string) {
	tab.t.Helper()
	ctx, cancel := tab.within()
	defer cancel()
	since := tab.seen.now()
	err := tab.click(ctx, "link", link)
	var file download
	if err == nil {
		file, err = tab.seen.saved(ctx, since)
	}
	if err == nil {
		content, err = os.ReadFile(filepath.Join(tab.files, file.guid))
	}
	if err != nil {
		tab.fail(fmt.Sprintf("download %q", link), err)
	}
	return content, file.name
}

// Status is that of the answer that the document shown came with; 0 where it
// came with none.
func (tab *Tab) Status() int { return tab.status() }

func (tab *Tab) status() int {
	if r := tab.seen.response(); r != nil {
		return int(r.Status)
	}
	return 0
}

// Headers are those of the answer that the document shown came with.
func (tab *Tab) Headers() http.Header {
	if r := tab.seen.response(); r != nil {
		return header(r.Headers)
	}
	return http.Header{}
}

// header makes headers of the protocol's, which has the values of one name in
// lines.
func header(of network.Headers) http.Header {
	h := http.Header{}
	for name, value := range of {
		for line := range strings.SplitSeq(fmt.Sprint(value), "\n") {
			h.Add(name, line)
		}
	}
	return h
}

// Address is that of the document shown.
func (tab *Tab) Address() string {
	tab.seen.mu.Lock()
	defer tab.seen.mu.Unlock()
	return tab.seen.shownURL
}

// Requests are all that the tab has sent, also those that found nobody.
func (tab *Tab) Requests() []Request {
	tab.t.Helper()
	tab.Title() // by its answer, all that came before has been heard
	return tab.seen.asks()
}

// ConsoleErrors are all that the tab's pages have been blamed for in the
// browser's console: what their content security policy forbids, exceptions,
// what did not load, dialogs. An icon that is not there does not count, nor does
// the status of a document itself.
func (tab *Tab) ConsoleErrors() []string {
	tab.t.Helper()
	tab.Title() // by its answer, all that came before has been heard
	return tab.seen.consoleErrors()
}

// Overflow names what reaches beyond the right edge of the screen.
func (tab *Tab) Overflow() []string {
	tab.t.Helper()
	return read[[]string](tab, "overflow", `person.overflow()`)
}

// Screenshot saves the whole page, not only what fits the screen, as
// build/screenshots/{name}.png below the project's root, and returns the path.
func (tab *Tab) Screenshot(name string) string {
	tab.t.Helper()
	ctx, cancel := tab.within()
	defer cancel()
	path, err := tab.photograph(ctx, name)
	if err != nil {
		tab.fail("screenshot "+name, err)
	}
	return path
}

func (tab *Tab) photograph(ctx context.Context, name string) (string, error) {
	root, err := projectRoot()
	if err != nil {
		return "", err
	}
	size, err := chromedp.Call(ctx, page.GetLayoutMetrics, cdp.Empty{})
	if err != nil {
		return "", err
	}
	yes := true
	picture, err := chromedp.Call(ctx, page.CaptureScreenshot, page.CaptureScreenshotParams{
		Format: page.CaptureScreenshotFormatPng, CaptureBeyondViewport: &yes,
		Clip: &page.Viewport{
			Width:  max(size.CSSContentSize.Width, float64(size.CSSLayoutViewport.ClientWidth)),
			Height: max(size.CSSContentSize.Height, float64(size.CSSLayoutViewport.ClientHeight)),
			Scale:  1,
		},
	})
	if err != nil {
		return "", err
	}
	path := filepath.Join(root, "build", "screenshots", name+".png")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", err
	}
	return path, os.WriteFile(path, picture.Data, 0o644)
}
