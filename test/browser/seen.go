package browser

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	cdpbrowser "github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
)

// seen is what a tab has told of itself. Events come from the browser's
// goroutine, questions from the test's.
type seen struct {
	mu sync.Mutex
	// news is closed, and replaced, whenever there is some.
	news chan struct{}

	// frame is the tab's main frame, shown the document in it, documents how
	// many there were. A document is known by its loader.
	frame     cdp.FrameID
	shown     cdp.LoaderID
	shownURL  string
	documents int
	// failed is why the document shown is the browser's own error page.
	failed string
	loaded map[cdp.LoaderID]bool
	// responses are the answers that documents came from.
	responses map[cdp.LoaderID]*network.Response
	// unloaded says why a document never came: it is a download, an empty
	// answer, or nothing answered.
	unloaded map[cdp.LoaderID]string
	// asked is the newest document that was asked for.
	asked cdp.LoaderID

	requests  []Request
	downloads []*download
	errors    []consoleError
}

// consoleError is an entry of the console, and where it came from.
type consoleError struct {
	text string
	// network tells that it is about an answer of url with an error's status.
	network bool
	url     string
}

type download struct {
	guid, url, name string
	state           cdpbrowser.DownloadProgressState
}

func newSeen() *seen {
	return &seen{
		news:      make(chan struct{}),
		loaded:    map[cdp.LoaderID]bool{},
		responses: map[cdp.LoaderID]*network.Response{},
		unloaded:  map[cdp.LoaderID]string{},
	}
}

// hear takes an event in.
func (s *seen) hear(event any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		s.requests = append(s.requests, Request{Method: e.Request.Method, URL: e.Request.URL, Referrer: header(e.Request.Headers).Get("Referer")})
		if s.document(e.Type, e.FrameID) {
			s.asked = e.LoaderID
		}
	case *network.EventResponseReceived:
		if s.document(e.Type, e.FrameID) {
			s.responses[e.LoaderID] = e.Response
		}
	case *network.EventLoadingFailed:
		// A document's request has its loader's name.
		if loader := cdp.LoaderID(e.RequestID); e.Type == network.ResourceTypeDocument && loader == s.asked {
			s.unloaded[loader] = e.ErrorText
		}
	case *page.EventFrameNavigated:
		if e.Frame.ParentID != "" {
			break
		}
		s.frame, s.shown, s.shownURL = e.Frame.ID, e.Frame.LoaderID, e.Frame.URL
		s.failed = e.Frame.UnreachableURL
		s.documents++
	case *page.EventNavigatedWithinDocument:
		if e.FrameID == s.frame {
			s.shownURL = e.URL
			s.documents++
		}
	case *page.EventLifecycleEvent:
		if e.Name == "load" {
			s.loaded[e.LoaderID] = true
		}
	case *cdpbrowser.EventDownloadWillBegin:
		if e.FrameID == s.frame {
			s.downloads = append(s.downloads, &download{guid: e.GUID, url: e.URL, name: e.SuggestedFilename, state: cdpbrowser.DownloadProgressStateInProgress})
		}
	case *cdpbrowser.EventDownloadProgress:
		for _, d := range s.downloads {
			if d.guid == e.GUID {
				d.state = e.State
			}
		}
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError {
			s.errors = append(s.errors, consoleError{
				text:    fmt.Sprintf("%s: %s%s", e.Entry.Source, e.Entry.Text, at(e.Entry.URL)),
				network: e.Entry.Source == log.EntrySourceNetwork,
				url:     e.Entry.URL,
			})
		}
	case *runtime.EventExceptionThrown:
		text := e.ExceptionDetails.Text
		if e.ExceptionDetails.Exception != nil {
			text += " " + e.ExceptionDetails.Exception.Description
		}
		s.errors = append(s.errors, consoleError{text: "exception: " + text + at(e.ExceptionDetails.URL)})
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeAssert {
			var words []string
			for _, a := range e.Args {
				words = append(words, strings.Trim(string(a.Value), `"`)+a.Description)
			}
			s.errors = append(s.errors, consoleError{text: "console: " + strings.Join(words, " ")})
		}
	case *page.EventJavascriptDialogOpening:
		s.errors = append(s.errors, consoleError{text: fmt.Sprintf("dialog: %s(%q)", e.Type, e.Message)})
	default:
		return
	}
	close(s.news)
	s.news = make(chan struct{})
}

func (s *seen) document(kind network.ResourceType, frame cdp.FrameID) bool {
	return kind == network.ResourceTypeDocument && frame == s.frame
}

func at(where string) string {
	if where == "" {
		return ""
	}
	return " (" + where + ")"
}

// wait waits until so, which sees s locked, is true.
func (s *seen) wait(ctx context.Context, so func() bool) error {
	for {
		s.mu.Lock()
		ok, news := so(), s.news
		s.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-news:
		}
	}
}

// complete tells whether the document shown has come in whole.
func (s *seen) complete() bool {
	return s.loaded[s.shown] && (s.responses[s.shown] != nil || s.failed != "" || !strings.HasPrefix(s.shownURL, "http"))
}

// mark is a moment in a tab's life.
type mark struct {
	documents, downloads int
	asked                cdp.LoaderID
}

func (s *seen) now() mark {
	s.mu.Lock()
	defer s.mu.Unlock()
	return mark{documents: s.documents, downloads: len(s.downloads), asked: s.asked}
}

// moved waits for a document that came after the mark, or for what shows that
// none will come, which is an error.
func (s *seen) moved(ctx context.Context, since mark) error {
	var problem error
	err := s.wait(ctx, func() bool {
		if len(s.downloads) > since.downloads {
			problem = fmt.Errorf("it is a download, of %q", s.downloads[since.downloads].name)
			return true
		}
		if s.documents > since.documents {
			if s.failed != "" {
				problem = fmt.Errorf("the browser cannot open %s: %s", s.failed, s.unloaded[s.asked])
				return true
			}
			return s.complete()
		}
		if r := s.responses[s.asked]; s.asked != since.asked && r != nil && (r.Status == http.StatusNoContent || r.Status == http.StatusResetContent) {
			problem = fmt.Errorf("no document came: %s answered %d", r.URL, r.Status)
		}
		return problem != nil
	})
	if problem != nil {
		return problem
	}
	if err != nil {
		return fmt.Errorf("no document came: %w%s", err, s.unanswered(since))
	}
	return nil
}

// unanswered says what became of a document that was asked for.
func (s *seen) unanswered(since mark) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.asked == since.asked {
		return "; none was asked for"
	}
	if r := s.responses[s.asked]; r != nil {
		return fmt.Sprintf("; %s answered %d", r.URL, r.Status)
	}
	if why := s.unloaded[s.asked]; why != "" {
		return "; " + why
	}
	return "; what was asked has not answered"
}

// saved waits for the end of a download that began after the mark.
func (s *seen) saved(ctx context.Context, since mark) (download, error) {
	var got download
	err := s.wait(ctx, func() bool {
		if len(s.downloads) > since.downloads {
			got = *s.downloads[since.downloads]
			return got.state != cdpbrowser.DownloadProgressStateInProgress
		}
		return s.documents > since.documents && s.complete()
	})
	switch {
	case err != nil:
		return got, fmt.Errorf("no download came: %w%s", err, s.unanswered(since))
	case got.guid == "":
		s.mu.Lock()
		defer s.mu.Unlock()
		return got, fmt.Errorf("it is no download: the tab shows %s now", s.shownURL)
	case got.state != cdpbrowser.DownloadProgressStateCompleted:
		return got, fmt.Errorf("the download of %q was %s", got.name, got.state)
	}
	return got, nil
}

// consoleErrors are those that count: a document's own status is not an error
// on the page, nor is what becomes of the icon that browsers ask for unbidden.
func (s *seen) consoleErrors() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var texts []string
	for _, e := range s.errors {
		if e.network && s.isDocument(e.url) || isIcon(e.url) || strings.Contains(e.text, "/favicon.ico'") {
			continue
		}
		texts = append(texts, e.text)
	}
	return texts
}

func (s *seen) isDocument(where string) bool {
	for _, r := range s.responses {
		if r.URL == where {
			return true
		}
	}
	return false
}

func isIcon(where string) bool {
	u, err := url.Parse(where)
	return err == nil && u.Path == "/favicon.ico"
}

func (s *seen) loader() cdp.LoaderID {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.shown
}

func (s *seen) response() *network.Response {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.responses[s.shown]
}

func (s *seen) asks() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}
