package browser_test

import (
	"bytes"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"image/color"
	"image/png"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"keyturn/test/browser"
)

var chromium browser.Browser

func TestMain(m *testing.M) {
	flag.Parse()
	// The tests mostly wait for the browser.
	if err := flag.Set("test.parallel", "4"); err != nil {
		panic(err)
	}
	code := m.Run()
	if err := chromium.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// strict is the policy of a page that runs no script but its own.
const strict = "default-src 'none'; style-src 'self'; script-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// form is a page that asks.
const form = `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Is it uploaded?</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="stylesheet" href="/style.css"></head>
<body><main><h1>Is it uploaded?</h1>
<p>The <b>new</b>
certificate.</p>
<p hidden>Behind a curtain</p><p class="faded">Without a color</p>
<details><summary>Cannot do this?</summary><p>Say why.</p></details>
<ul>
<li><a href="/certificate.pem">certificate.pem</a> for most</li>
<li><a href="/certificate.cer">The same in DER</a></li>
<li><a href="/metadata.xml">metadata.xml</a></li>
<li><a href="/shown.txt">shown.txt</a></li>
<li><a href="/nothing">nothing</a></li>
<li><a href="/thanks">thanks</a></li>
<li><a href="#foot">foot</a></li>
</ul>
<form method="post" action="/answer">
<input type="hidden" name="form" value="sealed">
<p><label for="name">Your name</label> <input id="name" name="name" required value="nobody"></p>
<p><label>Comment (not needed) <textarea name="comment" maxlength="20"></textarea></label></p>
<p><label for="date">Date</label> <input id="date" name="date" type="date"> <input aria-label="Time of day" name="time" type="time"></p>
<p><label>Time zone <select name="zone"><option value="UTC">Coordinated</option><option value="Europe/Berlin">Berlin</option></select></label></p>
<p><button name="decision" value="confirm">Uploaded &#8211; switch now</button>
<button name="decision" value="reject" formnovalidate>I cannot do this</button>
<button name="decision" value="off" disabled>Off</button>
<span class="under"><button name="decision" value="covered">Covered</button><i class="over">x</i></span></p>
</form><p id="foot">Foot</p></main></body></html>`

const style = `body{background:#fff;color:#111;font:16px sans-serif} .faded{opacity:0} .under{position:relative;display:inline-block}
.over{position:absolute;inset:0;background:#fff}
@media (prefers-color-scheme: dark){body{background:#111;color:#eee}a{color:#9cf}} @media print{button{display:none}}`

// page is a document around some content.
func page(body string) string {
	return `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>A page</title>` +
		`<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="stylesheet" href="/style.css"></head><body><main><h1>A page</h1>` +
		body + `</main></body></html>`
}

// answers are what the form has been sent as.
type answers chan *http.Request

// serve is a small web site.
func serve(t *testing.T) (string, answers) {
	t.Helper()
	got := make(answers, 10)
	mux := http.NewServeMux()
	html := func(path string, status int, headers map[string]string, body string) {
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			w.Header().Set("Content-Security-Policy", strict)
			w.Header().Set("Cache-Control", "no-store")
			w.Header().Set("Referrer-Policy", "no-referrer")
			for name, value := range headers {
				w.Header().Set(name, value)
			}
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
		})
	}
	file := func(path, kind, disposition string, content []byte) {
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind)
			if disposition != "" {
				w.Header().Set("Content-Disposition", disposition)
			}
			_, _ = w.Write(content)
		})
	}
	html("GET /{$}", 200, nil, form)
	html("GET /leaky", 200, map[string]string{"Referrer-Policy": "unsafe-url"}, form)
	html("GET /thanks", 200, nil, page("<p>Thank you.</p>"))
	html("GET /gone", http.StatusGone, nil, page("<p>This link is over.</p>"))
	html("GET /empty", http.StatusNoContent, nil, "")
	html("GET /inline", 200, nil, page(`<p onclick="x()">Inline</p><script>document.title = 'ran'</script>`))
	html("GET /throws", 200, nil, page(`<script src="/throws.js"></script>`))
	html("GET /broken", 200, nil, page(`<script src="/not-there.js"></script>`))
	html("GET /script", 200, nil, page(`<p>Without</p><script src="/script.js"></script>`))
	html("GET /upload", 200, nil, page(`<form method="post" action="/file" enctype="multipart/form-data"><label>Its file <input type="file" name="file"></label><label>Text <input name="text"></label><button>Send</button></form>`))
	html("GET /late", 200, nil, page(`<script src="/late.js"></script>`))
	html("GET /dialog", 200, map[string]string{"Content-Security-Policy": ""}, page(`<script>alert('boo')</script>`))
	html("GET /onward", 200, nil, page(`<p>Wait</p><meta http-equiv="refresh" content="0; url=/thanks">`))
	html("GET /pale", 200, map[string]string{"Content-Security-Policy": ""}, page(`<h4>Only a little odd</h4><p style="color:#ccc;background:#fff">Too pale</p><form><input name="q"></form>`))
	html("GET /far", 200, map[string]string{"Content-Security-Policy": ""}, page(`<p style="width:700px">Much too wide</p><img alt="" src="http://example.com/pixel.png">`))
	file("GET /style.css", "text/css", "", []byte(style))
	file("GET /throws.js", "text/javascript", "", []byte(`throw new Error('thrown on purpose')`))
	file("GET /script.js", "text/javascript", "", []byte(`document.querySelector('p').textContent = 'With ' + Intl.DateTimeFormat().resolvedOptions().timeZone; console.error('said', 7)`))
	file("GET /late.js", "text/javascript", "", []byte(`setTimeout(() => { document.querySelector('h1').textContent = 'Later' }, 300)`))
	file("GET /certificate.pem", "application/x-pem-file", `attachment; filename="certificate.pem"`, certificate)
	file("GET /certificate.cer", "application/pkix-cert", `attachment; filename="certificate.cer"`, []byte{0x30, 0x03, 0, 0xff, '\r', '\n'})
	file("GET /metadata.xml", "application/xml", `attachment; filename="metadata.xml"`, []byte("<EntityDescriptor/>\n"))
	file("GET /shown.txt", "text/plain", "", []byte("only shown"))
	mux.HandleFunc("GET /nothing", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("POST /answer", func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		got <- r
		if r.PostForm.Get("decision") == "reject" {
			w.WriteHeader(http.StatusUnprocessableEntity)
			_, _ = w.Write([]byte(page("<p>Say why.</p>")))
			return
		}
		http.Redirect(w, r, "/thanks", http.StatusSeeOther)
	})
	mux.HandleFunc("POST /file", func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseMultipartForm(1 << 20)
		got <- r
		http.Redirect(w, r, "/thanks", http.StatusSeeOther)
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL, got
}

var certificate = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: bytes.Repeat([]byte{0, 1, 0xfe}, 300)})

func same[T comparable](t *testing.T, what string, want, got T) {
	t.Helper()
	if want != got {
		t.Errorf("%s is %v, not %v", what, got, want)
	}
}

// failing runs what must fail a test, and returns what it fails with.
func failing(t *testing.T, do func(testing.TB)) string {
	t.Helper()
	var got string
	stopped := errors.New("stopped")
	double := &double{TB: t, fatal: func(text string) { got = text; panic(stopped) }}
	func() {
		defer func() {
			if r := recover(); r != nil && r != any(stopped) {
				panic(r)
			}
		}()
		do(double)
	}()
	if got == "" {
		t.Error("nothing failed")
	}
	return got
}

type double struct {
	testing.TB
	fatal func(string)
}

func (d *double) Fatal(a ...any)                 { d.fatal(fmt.Sprint(a...)) }
func (d *double) Fatalf(format string, a ...any) { d.fatal(fmt.Sprintf(format, a...)) }

func holds(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%q is not in:\n%s", part, text)
		}
	}
}

func TestAPageIsReadAsItStands(t *testing.T) {
	t.Parallel()
	site, _ := serve(t)
	tab := chromium.Tab(t)
	tab.Open(site + "/")
	same(t, "title", "Is it uploaded?", tab.Title())
	same(t, "status", 200, tab.Status())
	same(t, "address", site+"/", tab.Address())
	same(t, "policy", strict, tab.Headers().Get("Content-Security-Policy"))
	holds(t, tab.Text(), "Is it uploaded?", "The new certificate.")
	if strings.Contains(tab.Text(), "curtain") {
		t.Error("what is hidden is in the text")
	}
	tab.Visible("The new certificate.")
	tab.Hidden("Behind a curtain")
	tab.Hidden("Without a color")
	tab.Hidden("Say why.")
	tab.Unfold("Cannot do this?")
	tab.Visible("Say why.")
	same(t, "link", site+"/certificate.pem", tab.Link("certificate.pem"))
	if errs := tab.ConsoleErrors(); len(errs) > 0 {
		t.Errorf("the console has %q", errs)
	}
}

func TestADeadLinkHasItsStatusAndNoErrors(t *testing.T) {
	t.Parallel()
	site, _ := serve(t)
	tab := chromium.Tab(t)
	tab.Open(site + "/gone")
	same(t, "status", http.StatusGone, tab.Status())
	tab.Visible("This link is over.")
	tab.Open(site + "/thanks")
	same(t, "status", http.StatusOK, tab.Status())
	if errs := tab.ConsoleErrors(); len(errs) > 0 {
		t.Errorf("the console has %q", errs)
	}
}

func TestAFormIsFilledInAndSent(t *testing.T) {
	t.Parallel()
	for name, options := range map[string][]browser.Option{"wide": nil, "narrow": {browser.Narrow}, "without scripts": {browser.NoScript, browser.Dark}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			site, got := serve(t)
			tab := chromium.Tab(t, options...)
			tab.Open(site + "/")
			tab.Fill("Your name", "Ops \"<team>\"")
			tab.Fill("comment", "one\ntwo")
			tab.Fill("Date", "2030-05-06")
			tab.Fill("Time of day", "07:08")
			tab.Choose("Time zone", "Berlin")
			same(t, "zone", "Europe/Berlin", tab.Value("zone"))
			tab.Press("Uploaded – switch now")
			same(t, "title", "A page", tab.Title())
			same(t, "status", 200, tab.Status())
			same(t, "address", site+"/thanks", tab.Address())
			tab.Visible("Thank you.")
			request := <-got
			same(t, "form", "comment=one%0D%0Atwo&date=2030-05-06&decision=confirm&form=sealed&name=Ops+%22%3Cteam%3E%22&time=07%3A08&zone=Europe%2FBerlin",
				request.PostForm.Encode())
			same(t, "Sec-Fetch-Site", "same-origin", request.Header.Get("Sec-Fetch-Site"))
			if len(got) > 0 {
				t.Error("the form was sent twice")
			}
		})
	}
}

func TestAFileIsSentAsItIs(t *testing.T) {
	t.Parallel()
	content := []byte{0x30, 0x82, 0, 0xff, '\r', '\n'}
	for name, options := range map[string][]browser.Option{"with scripts": nil, "without": {browser.NoScript}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			site, got := serve(t)
			tab := chromium.Tab(t, options...)
			tab.Open(site + "/upload")
			tab.Attach("Its file", "certificate.cer", content)
			tab.Press("Send")
			same(t, "address", site+"/thanks", tab.Address())
			file, header, err := (<-got).FormFile("file")
			if err != nil {
				t.Fatal(err)
			}
			sent, err := io.ReadAll(file)
			if err != nil || !bytes.Equal(sent, content) || header.Filename != "certificate.cer" {
				t.Errorf("the file came as %q, %q, %v", header.Filename, sent, err)
			}
		})
	}
	site, _ := serve(t)
	holds(t, failing(t, func(tb testing.TB) {
		tab := chromium.Tab(tb)
		tab.Open(site + "/upload")
		tab.Attach("Text", "certificate.cer", content)
	}), `field "Text" takes no file`)
}

func TestAnAnswerThatIsRefusedIsTheNextDocument(t *testing.T) {
	t.Parallel()
	site, got := serve(t)
	tab := chromium.Tab(t)
	tab.Open(site + "/")
	tab.Fill("Your name", "")
	holds(t, tab.Held("Uploaded – switch now"), `"name"`, "fill out this field")
	same(t, "forms sent", 0, len(got))
	tab.Press("I cannot do this")
	same(t, "status", http.StatusUnprocessableEntity, tab.Status())
	tab.Visible("Say why.")
	if errs := tab.ConsoleErrors(); len(errs) > 0 {
		t.Errorf("the console has %q", errs)
	}
}

func TestDownloadsAreTheFilesThatTheBrowserSaves(t *testing.T) {
	t.Parallel()
	site, _ := serve(t)
	tab, other := chromium.Tab(t, browser.NoScript), chromium.Tab(t)
	tab.Open(site + "/")
	other.Open(site + "/")
	for _, want := range []struct {
		link, name string
		content    []byte
	}{
		{"certificate.pem", "certificate.pem", certificate},
		{"The same in DER", "certificate.cer", []byte{0x30, 0x03, 0, 0xff, '\r', '\n'}},
		{"metadata.xml", "metadata.xml", []byte("<EntityDescriptor/>\n")},
		{"certificate.pem", "certificate.pem", certificate},
	} {
		for _, tab := range []*browser.Tab{tab, other} {
			content, name := tab.Download(want.link)
			same(t, "name", want.name, name)
			if !bytes.Equal(content, want.content) {
				t.Errorf("%s has %d bytes that are not those served", name, len(content))
			}
		}
	}
	same(t, "title", "Is it uploaded?", tab.Title())
	tab.Follow("thanks")
	tab.Visible("Thank you.")
}

func TestAPageIsOpenWhenAllOfItHasCome(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{})
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(page(`<script>setTimeout(() => fetch('/go'), 200)</script><script defer src="/held.js"></script>`)))
	})
	mux.HandleFunc("GET /go", func(http.ResponseWriter, *http.Request) { close(asked) })
	mux.HandleFunc("GET /held.js", func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-asked:
		case <-r.Context().Done():
		}
		w.Header().Set("Content-Type", "text/javascript")
		_, _ = w.Write([]byte(`document.title = 'All of it'`))
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	tab := chromium.Tab(t)
	tab.Open(server.URL)
	same(t, "title", "All of it", tab.Title())
}

func TestATabGetsItsOwnDownload(t *testing.T) {
	t.Parallel()
	asked, release := make(chan struct{}), make(chan struct{})
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(page(`<a href="/slow">slow</a> <a href="/fast">fast</a>`)))
	})
	mux.HandleFunc("GET /{name}", func(w http.ResponseWriter, r *http.Request) {
		if r.PathValue("name") == "slow" {
			close(asked)
			select {
			case <-release:
			case <-r.Context().Done():
			}
		}
		w.Header().Set("Content-Disposition", `attachment; filename="`+r.PathValue("name")+`"`)
		_, _ = w.Write([]byte(r.PathValue("name")))
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	slow, fast := chromium.Tab(t), chromium.Tab(t)
	slow.Open(server.URL)
	fast.Open(server.URL)
	go func() {
		defer close(release)
		<-asked
		_, name := fast.Download("fast")
		same(t, "fast file", "fast", name)
	}()
	content, name := slow.Download("slow")
	same(t, "slow file", "slow", name)
	same(t, "slow content", "slow", string(content))
}

func TestTheConsoleTellsWhatIsWrong(t *testing.T) {
	t.Parallel()
	site, _ := serve(t)
	for path, want := range map[string][]string{
		"/inline": {"inline", "Content Security Policy"},
		"/throws": {"exception", "thrown on purpose"},
		"/broken": {"not-there.js", "404"},
		"/script": {"console: said 7"},
		"/dialog": {`dialog: alert("boo")`},
	} {
		t.Run(path[1:], func(t *testing.T) {
			t.Parallel()
			tab := chromium.Tab(t)
			tab.Open(site + path)
			same(t, "title", "A page", tab.Title())
			holds(t, strings.Join(tab.ConsoleErrors(), "\n"), want...)
		})
	}
}

func TestAxeFindsWhatIsSerious(t *testing.T) {
	t.Parallel()
	site, _ := serve(t)
	for name, options := range map[string][]browser.Option{"with scripts": nil, "without scripts": {browser.NoScript}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tab := chromium.Tab(t, options...)
			tab.Open(site + "/pale")
			found := tab.Axe()
			if len(found) != 2 {
				t.Errorf("%d violations, not 2", len(found))
			}
			holds(t, strings.Join(found, "\n"), "serious: ", "color-contrast", "Too pale", "critical: ", "(label)", `<input name="q">`)
			tab.Open(site + "/")
			if found := tab.Axe(); len(found) > 0 {
				t.Errorf("a good page has violations:\n%s", strings.Join(found, "\n"))
			}
			tab.Open(site + "/script")
			tab.Visible(map[bool]string{true: "Without", false: "With"}[len(options) > 0])
		})
	}
}

func TestScreenAndColorsAreThePersons(t *testing.T) {
	t.Parallel()
	site, _ := serve(t)
	for name, c := range map[string]struct {
		options []browser.Option
		width   int
		corner  color.Gray
	}{
		"wide":        {nil, 1280, color.Gray{0xff}},
		"dark":        {[]browser.Option{browser.Dark}, 1280, color.Gray{0x11}},
		"narrow":      {[]browser.Option{browser.Narrow}, 780, color.Gray{0xff}},
		"dark narrow": {[]browser.Option{browser.Dark, browser.Narrow}, 780, color.Gray{0x11}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tab := chromium.Tab(t, c.options...)
			tab.Open(site + "/")
			path := tab.Screenshot("harness/" + strings.ReplaceAll(name, " ", "-"))
			holds(t, filepath.ToSlash(path), "/build/screenshots/harness/")
			width, corner := measured(t, path)
			same(t, "width in pixels", c.width, width)
			same(t, "color", c.corner, corner)
		})
	}
}

// measured is the width of a picture, and the color of its corner.
func measured(t *testing.T, path string) (width int, corner color.Gray) {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	picture, err := png.Decode(file)
	if err != nil {
		t.Fatal(err)
	}
	return picture.Bounds().Dx(), color.GrayModel.Convert(picture.At(1, 1)).(color.Gray)
}

func TestATabIsLookedAtInOtherWays(t *testing.T) {
	t.Parallel()
	site, _ := serve(t)
	tab := chromium.Tab(t, browser.TimeZone("Asia/Kolkata"))
	tab.Open(site + "/")
	tab.Fill("Your name", "somebody")
	light, dark := color.Gray{255}, color.Gray{0x11}
	for _, c := range []struct {
		options []browser.Option
		width   int
		corner  color.Gray
	}{
		{[]browser.Option{browser.Narrow, browser.Dark}, 780, dark},
		{[]browser.Option{browser.Dark}, 1280, dark},
		{[]browser.Option{browser.Narrow}, 780, light},
		{nil, 1280, light},
	} {
		tab.Look(c.options...)
		width, corner := measured(t, tab.Screenshot("harness/looks"))
		same(t, "width in pixels", c.width, width)
		same(t, "color", c.corner, corner)
	}
	same(t, "what was typed", "somebody", tab.Value("name"))
}

func TestAPageOnPaperHasNoButtons(t *testing.T) {
	t.Parallel()
	site, _ := serve(t)
	tab := chromium.Tab(t, browser.Print)
	tab.Open(site + "/")
	tab.Visible("Is it uploaded?")
	tab.Hidden("I cannot do this")
}

func TestWhatIsTooWideIsNamed(t *testing.T) {
	t.Parallel()
	site, _ := serve(t)
	tab := chromium.Tab(t, browser.Narrow)
	tab.Open(site + "/")
	if over := tab.Overflow(); len(over) > 0 {
		t.Errorf("a page that fits reaches too far: %q", over)
	}
	tab.Open(site + "/far")
	holds(t, strings.Join(tab.Overflow(), "\n"), "Much too wide", "of 390")
}

func TestScriptsRunOrDoNot(t *testing.T) {
	t.Parallel()
	site, _ := serve(t)
	with, without := chromium.Tab(t, browser.TimeZone("Asia/Tokyo")), chromium.Tab(t, browser.NoScript)
	with.Open(site + "/script")
	with.Visible("With Asia/Tokyo")
	without.Open(site + "/script")
	without.Visible("Without")
	with.Open(site + "/late")
	with.Visible("Later")
	with.Open(site + "/onward")
	with.Visible("Thank you.")
}

func TestAMailIsShownAsItIs(t *testing.T) {
	t.Parallel()
	tab := chromium.Tab(t, browser.NoScript)
	tab.Show(`<title>Mail</title><h1>Upload it</h1><img src="http://example.com/pixel.png" alt="">`)
	tab.Visible("Upload it")
	same(t, "title", "Mail", tab.Title())
	if !slices.Contains(tab.Requests(), browser.Request{Method: "GET", URL: "http://example.com/pixel.png"}) {
		t.Errorf("the remote image is not among %v", tab.Requests())
	}
}

func TestWhatTheReferrerTellsIsKnown(t *testing.T) {
	t.Parallel()
	site, _ := serve(t)
	tab := chromium.Tab(t)
	asked := func(path string) browser.Request {
		all := tab.Requests()
		for _, r := range slices.Backward(all) {
			if r.URL == site+path {
				return r
			}
		}
		t.Fatalf("%s was not asked for: %v", path, all)
		return browser.Request{}
	}
	tab.Open(site + "/")
	tab.Follow("thanks")
	same(t, "referrer", "", asked("/thanks").Referrer)
	tab.Open(site + "/leaky")
	tab.Follow("thanks")
	same(t, "referrer", site+"/leaky", asked("/thanks").Referrer)
	tab.Open(site + "/leaky")
	tab.Download("certificate.pem")
	same(t, "referrer", site+"/leaky", asked("/certificate.pem").Referrer)
}

func TestTabsShareNothing(t *testing.T) {
	t.Parallel()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "seen", Value: "1"})
		_, err := r.Cookie("seen")
		_, _ = fmt.Fprintf(w, "<title>seen: %t</title>", err == nil)
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	first, second := chromium.Tab(t), chromium.Tab(t)
	first.Open(server.URL)
	first.Open(server.URL)
	same(t, "title", "seen: true", first.Title())
	second.Open(server.URL)
	same(t, "title", "seen: false", second.Title())
}

func TestWhatCannotBeDoneSaysWhy(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		do   func(tab *browser.Tab)
		want []string
	}{
		"no such button":   {func(tab *browser.Tab) { tab.Press("Switch") }, []string{`no button goes by "Switch"; there are "Uploaded – switch now", "I cannot do this"`, "status 200", "The new certificate."}},
		"disabled button":  {func(tab *browser.Tab) { tab.Press("Off") }, []string{`"Off" is disabled`}},
		"covered button":   {func(tab *browser.Tab) { tab.Press("Covered") }, []string{`<i> "x" is at its place`}},
		"a form held back": {func(tab *browser.Tab) { tab.Fill("name", ""); tab.Press("Uploaded") }, []string{`field "name"`, "fill out"}},
		"not held back":    {func(tab *browser.Tab) { tab.Held("Uploaded") }, []string{"would send the form"}},
		"no such field":    {func(tab *browser.Tab) { tab.Fill("Reason", "x") }, []string{`no field goes by "Reason"`, `"Your name"`}},
		"value too long":   {func(tab *browser.Tab) { tab.Fill("Comment", strings.Repeat("x", 21)) }, []string{"it holds"}},
		"no date":          {func(tab *browser.Tab) { tab.Fill("Date", "tomorrow") }, []string{`it holds "", not "tomorrow"`}},
		"no such option":   {func(tab *browser.Tab) { tab.Choose("zone", "Paris") }, []string{`"Berlin"`}},
		"two links":        {func(tab *browser.Tab) { tab.Follow("t") }, []string{`links go by "t"`}},
		"no download":      {func(tab *browser.Tab) { tab.Download("shown.txt") }, []string{"it is no download", "/shown.txt"}},
		"no document":      {func(tab *browser.Tab) { tab.Follow("certificate.pem") }, []string{`it is a download, of "certificate.pem"`}},
		"hidden text":      {func(tab *browser.Tab) { tab.Visible("Behind a curtain") }, []string{"is not on the page"}},
		"visible text":     {func(tab *browser.Tab) { tab.Hidden("Foot") }, []string{`"Foot" is on the page`}},
		"nobody there":     {func(tab *browser.Tab) { tab.Open("http://127.0.0.1:1/") }, []string{"ERR_"}},
		"not this machine": {func(tab *browser.Tab) { tab.Open("https://example.com/") }, []string{"ERR_NAME_NOT_RESOLVED"}},
		"no answer":        {func(tab *browser.Tab) { tab.Follow("nothing") }, []string{"no document", "204"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			site, _ := serve(t)
			holds(t, failing(t, func(tb testing.TB) {
				tab := chromium.Tab(tb)
				tab.Open(site + "/")
				c.do(tab)
			}), c.want...)
		})
	}
}

func TestNothingStaysOfABrowser(t *testing.T) {
	folder := t.TempDir()
	t.Setenv("TMPDIR", folder)
	site, _ := serve(t)
	var own browser.Browser
	t.Run("its tabs", func(t *testing.T) {
		tab := own.Tab(t)
		tab.Open(site + "/")
		tab.Download("certificate.pem")
		if n := len(processes(t, folder)); n < 2 {
			t.Errorf("%d processes of the browser found", n)
		}
	})
	for range 2 {
		if err := own.Stop(); err != nil {
			t.Error(err)
		}
	}
	left, err := os.ReadDir(folder)
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
	if of := processes(t, folder); len(of) > 0 {
		t.Errorf("still running: %q", of)
	}
	holds(t, failing(t, func(tb testing.TB) { own.Tab(tb) }), "stopped")
}

// processes are those with a folder in their command line.
func processes(t *testing.T, folder string) []string {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil || len(files) == 0 {
		t.Fatalf("no processes: %v", err)
	}
	var found []string
	for _, file := range files {
		line, err := os.ReadFile(file)
		if err == nil && bytes.Contains(line, []byte(folder)) {
			found = append(found, strings.ReplaceAll(string(line), "\x00", " "))
		}
	}
	return found
}

func TestWithoutABrowserTheTestFails(t *testing.T) {
	t.Setenv("KEYTURN_BROWSER", filepath.Join(t.TempDir(), "chromium"))
	var none browser.Browser
	for range 2 {
		holds(t, failing(t, func(tb testing.TB) { none.Tab(tb) }), "chromium: no such file")
	}
	if err := none.Stop(); err != nil {
		t.Error(err)
	}

	// tools/browser finds nothing where PATH has no more than it needs itself.
	tools := t.TempDir()
	for _, name := range []string{"env", "bash", "id", "timeout"} {
		path, err := exec.LookPath(name)
		if err == nil {
			err = os.Symlink(path, filepath.Join(tools, name))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("KEYTURN_BROWSER", "")
	t.Setenv("PATH", tools)
	var absent browser.Browser
	holds(t, failing(t, func(tb testing.TB) { absent.Tab(tb) }), "no browser here", "KEYTURN_BROWSER")
	if err := absent.Stop(); err != nil {
		t.Error(err)
	}
}

func TestALinkWithinThePageIsFollowed(t *testing.T) {
	t.Parallel()
	site, _ := serve(t)
	tab := chromium.Tab(t)
	tab.Open(site + "/")
	tab.Follow("foot")
	same(t, "address", site+"/#foot", tab.Address())
}

func TestTheKeyboardMovesTheFocusAndSends(t *testing.T) {
	t.Parallel()
	site, got := serve(t)
	tab := chromium.Tab(t)
	tab.Open(site + "/")
	same(t, "focus at first", "", tab.Focus())
	tab.Key(browser.KeyTab)
	same(t, "first in the order", "fold Cannot do this?", tab.Focus())
	tab.Fill("Your name", "somebody")
	same(t, "the field that was filled in", "field Your name", tab.Focus())
	tab.Key(browser.KeyTab)
	same(t, "the next one", "field Comment (not needed)", tab.Focus())
	tab.Key(browser.KeyEnter)
	same(t, "a line break", "\n", tab.Value("comment"))
	for i := 0; tab.Focus() != "button Uploaded – switch now"; i++ {
		if i > 20 {
			t.Fatalf("the button is not reached; the focus is on %q", tab.Focus())
		}
		tab.Key(browser.KeyTab)
	}
	tab.Enter()
	answer := <-got
	same(t, "decision", "confirm", answer.PostForm.Get("decision"))
	same(t, "name", "somebody", answer.PostForm.Get("name"))
}
