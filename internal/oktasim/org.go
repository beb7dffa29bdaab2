// Package oktasim is a simulated Okta org: the part of Okta's management API
// that rotating SAML signing keys touches, held in memory, for tests, for the
// demo and for trying things by hand.
//
// It follows Okta's OpenAPI spec and guides, and where these leave something
// open it takes the stricter reading: what it accepted wrongly, an org of a
// customer would find out. Comments marked "stricter" say where. Okta's
// OAuth 2.0 sign-in is not simulated; calls carry an SSWS token.
package oktasim

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/big"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// The two kinds of targets.
const (
	KindApp = "app" // an outbound SAML app: Okta is the IdP
	KindIDP = "idp" // an inbound SAML IdP: Okta is the SP
)

// maxBody bounds request bodies. The largest that has a reason is an app with
// its profile, which Okta recommends to keep below 1 MB.
const maxBody = 2 << 20

// defaultMaxCalls bounds the record of calls, see Options.
const defaultMaxCalls = 20000

// Options configure an org. The zero value is usable.
type Options struct {
	// APIToken is what every API call must carry: "Authorization: SSWS {token}".
	// Empty: a random one, see Org.APIToken.
	APIToken string
	// Now is the org's clock: certificates, rate-limit windows, the Date
	// header. It must be safe for concurrent use. Nil: time.Now.
	Now func() time.Time
	// Limits are the rate limits; the zero value is a Workforce org's.
	Limits Limits
	// Window is how long they count; 0 for Okta's minute. Tests that run by the
	// wall clock have no minute.
	Window time.Duration
	// TokenShare is the part of each limit that the API token may use; 0 is the
	// whole of it. Okta gives a new token 0.5 ("Token and OAuth 2.0 app rate
	// limits", developer.okta.com/docs/reference/rl2-token-oauth).
	TokenShare float64
	// OnlyActiveApps takes the API spec of listApplications by its word:
	// includeNonDeleted "specifies whether to include non-active, but not
	// deleted apps", and its default is false. Orgs are said to list inactive
	// apps all the same, which is what happens otherwise; a client that names
	// the parameter gets them either way.
	OnlyActiveApps bool
	// BaseURL is the org's URL in links. Empty: taken from each request's Host.
	// See SetBaseURL.
	BaseURL string
	// MaxCalls bounds the record of calls; the oldest are dropped. 0: 20,000;
	// negative: none are kept. Counts counts all of them in any case.
	MaxCalls int
}

// Org is a simulated org. It is an http.Handler, safe for concurrent use: the
// API under /api/v1, controls under /_sim/, a console for people elsewhere.
//
// Methods that seed or inspect are not API calls: they are neither recorded
// nor counted, and they panic when they name a target that does not exist,
// because only a mistake in a test does that.
type Org struct {
	token   string
	now     func() time.Time // Options.Now and what Advance added
	ahead   atomic.Int64     // nanoseconds
	limits  Limits
	window  time.Duration
	share   float64
	active  bool // OnlyActiveApps
	baseURL string
	keep    int // calls
	console http.Handler
	records *recorder

	mu          sync.Mutex
	targets     map[string][]*target // by kind, in the order of the lists
	byID        map[string]*target   // key: kind + "/" + id
	trust       []*Key
	ids         int // ids given out
	privateKeys int // of orgKeys
	requests    int
	windows     map[string]*window
	others      map[string]int // by bucket: what OthersUse takes of each window
	calls       []Call
	counts      Counts
	faults      []*pendingFault
	release     chan struct{} // closed by ReleaseSlow
	// messages are the requests that wait for an IdP's response, and the
	// assertions that have been used, each with its end.
	messages map[string]time.Time
}

// target is an app or an IdP.
type target struct {
	kind, id string
	// doc is the document without its last member, _links: these are written
	// when it is served.
	doc  []byte
	keys []*Key
	csrs []*CSR
	// deleted targets keep their place in the lists, so that the cursors of
	// the others stay good, and are in none.
	deleted bool
	seen    facts

	previousKid    string // active before the last switch
	switches       []Switch
	lag            int // metadata reads that still serve previousKid
	drifts         []drift
	completeSignOn bool
}

type drift struct {
	path string
	raw  []byte
}

// New makes an empty org.
func New(options Options) *Org {
	if options.APIToken == "" {
		options.APIToken = "00" + randomID(30)
	}
	if options.Now == nil {
		options.Now = time.Now
	}
	if options.MaxCalls == 0 {
		options.MaxCalls = defaultMaxCalls
	}
	if options.Window <= 0 {
		options.Window = windowLength
	}
	o := &Org{
		window: options.Window,
		token:  options.APIToken, limits: options.Limits, share: options.TokenShare, active: options.OnlyActiveApps, keep: options.MaxCalls,
		others: map[string]int{}, counts: newCounts(),
		baseURL: strings.TrimSuffix(options.BaseURL, "/"),
		targets: map[string][]*target{}, byID: map[string]*target{}, windows: map[string]*window{},
		release: make(chan struct{}), messages: map[string]time.Time{}, records: records(),
	}
	o.now = func() time.Time { return options.Now().Add(time.Duration(o.ahead.Load())) }
	o.console = newConsole(o)
	return o
}

// APIToken is the token that API calls must carry.
func (o *Org) APIToken() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.token
}

// Call is one API call as the org saw it. The Authorization header is never
// kept.
type Call struct {
	Time        time.Time `json:"time"`
	Operation   string    `json:"operation"` // operationId of Okta's API spec; "" for an unknown path or method
	Kind        string    `json:"kind"`      // KindApp, KindIDP or ""
	ID          string    `json:"id"`        // of the target, "" for lists
	Method      string    `json:"method"`
	Path        string    `json:"path"`   // with the query
	Status      int       `json:"status"` // 0: closed without an answer
	Fault       string    `json:"fault"`  // the FaultKind that hit this call, or ""
	Body        []byte    `json:"body"`   // of the request
	ContentType string    `json:"contentType"`
	UserAgent   string    `json:"userAgent"`
}

// Calls lists the API calls since the start or the last ResetCalls, oldest
// first.
func (o *Org) Calls() []Call {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.calls)
}

// Counts count the API calls since the start or the last ResetCalls. Unlike
// the record of calls they drop nothing.
type Counts struct {
	Total int `json:"total"`
	// Operations are by operationId; "" for an unknown path or method.
	Operations map[string]int `json:"operations"`
	// Statuses are by the answer's status; 0 for closed without an answer.
	Statuses map[int]int `json:"statuses"`
}

func newCounts() Counts { return Counts{Operations: map[string]int{}, Statuses: map[int]int{}} }

// RateLimited counts the answers 429.
func (c Counts) RateLimited() int { return c.Statuses[http.StatusTooManyRequests] }

// Counts says how many API calls there were.
func (o *Org) Counts() Counts {
	o.mu.Lock()
	defer o.mu.Unlock()
	return Counts{Total: o.counts.Total, Operations: maps.Clone(o.counts.Operations), Statuses: maps.Clone(o.counts.Statuses)}
}

// ResetCalls forgets the calls so far, and their counts.
func (o *Org) ResetCalls() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.calls, o.counts = nil, newCounts()
}

// Advance sets the org's clock forward.
func (o *Org) Advance(d time.Duration) {
	if d < 0 {
		panic(fmt.Sprintf("oktasim: advance by %s: the clock only goes forward", d))
	}
	o.ahead.Add(int64(d))
}

// call is one API call on its way through the handlers.
type call struct {
	now         time.Time
	base        string
	route       *route
	params      map[string]string
	path        string // escaped
	query       url.Values
	header      http.Header
	contentType string // without parameters
	accept      string // the media type to answer with
	body        []byte
}

func (c *call) param(name string) string { return c.params[name] }

// target is the app or IdP that the path names.
func (c *call) target(o *Org) (*target, error) {
	t := o.find(c.route.kind, c.param("id"))
	if t == nil {
		return nil, notFound(c.param("id"), resourceName(c.route.kind))
	}
	return t, nil
}

func resourceName(kind string) string {
	if kind == KindIDP {
		return "IdentityProvider"
	}
	return "AppInstance"
}

// answer is what goes back, before a fault mangles it.
type answer struct {
	status      int
	contentType string
	header      http.Header
	body        []byte
}

func jsonAnswer(status int, body []byte) *answer {
	return &answer{status: status, contentType: "application/json", body: body}
}

// ServeHTTP answers API calls, the controls and the console.
func (o *Org) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	path := req.URL.EscapedPath()
	if path != "/api" && !strings.HasPrefix(path, "/api/") {
		o.console.ServeHTTP(w, req)
		return
	}
	now := o.now()
	body, bodyErr := io.ReadAll(http.MaxBytesReader(w, req.Body, maxBody))
	found, params, known := findRoute(req.Method, path)
	c := &call{
		now: now, route: found, params: params, path: path,
		query: req.URL.Query(), header: req.Header, body: body,
	}
	h := w.Header()
	// The Date header is the org's clock, not the machine's: clients compute
	// Reset - Date.
	h.Set("Date", now.UTC().Format(http.TimeFormat))

	reply, fault, release := o.answerCall(h, c, req, bodyErr, known)
	if reply == nil {
		o.records.note(c, req, nil, nil, fault)
		panic(http.ErrAbortHandler) // net/http closes the connection and logs nothing
	}
	maps.Copy(h, reply.header)
	if reply.contentType != "" {
		h.Set("Content-Type", reply.contentType)
	}
	o.records.note(c, req, reply, h, fault)
	if fault != nil && fault.after(w, req, reply, release) {
		return
	}
	if len(reply.body) > 0 {
		h.Set("Content-Length", strconv.Itoa(len(reply.body)))
	}
	w.WriteHeader(reply.status)
	_, _ = w.Write(reply.body) // a client that went away needs no answer
}

// answerCall does everything that needs the lock. A nil answer means that the
// connection is to be closed.
func (o *Org) answerCall(h http.Header, c *call, req *http.Request, bodyErr error, known bool) (reply *answer, fault *pendingFault, release <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.requests++
	h.Set("X-Okta-Request-Id", "req"+opaque("request", o.requests, 20))
	c.base = o.baseOf(req)
	seen := o.record(c, req)
	defer func() { o.count(seen) }()
	bucket := bucketOf(c.path)

	var err error
	switch {
	case !o.authorized(req):
		err = unauthorized()
	case !o.take(bucket, c.now):
		err = tooManyRequests()
	default:
		if fault = o.nextFault(c); fault != nil {
			seen.Fault = string(fault.Kind)
			reply, err = fault.before(o, h, bucket, c.now)
		}
		if reply == nil && err == nil && (fault == nil || fault.Kind != FaultCloseBefore) {
			reply, err = o.dispatch(c, bodyErr, known)
		}
	}
	switch {
	case fault != nil && fault.Kind == FaultHTMLError:
		h.Del("X-Okta-Request-Id") // a proxy's answer has none of Okta's headers
	case h.Get("X-Rate-Limit-Limit") == "":
		o.setRateHeaders(h, bucket, c.now)
	}
	if fault != nil {
		switch fault.Kind {
		case FaultCloseBefore, FaultCloseAfter:
			return nil, fault, nil
		case FaultInternalAfter:
			err = internalError()
		case FaultWithoutX5C, FaultBrokenX5C:
			if err == nil {
				reply.body = spoilX5C(reply.body, fault.Kind)
			}
		}
	}
	if err != nil {
		reply = o.errorAnswer(err)
	}
	seen.Status = reply.status
	return reply, fault, o.release
}

func (o *Org) count(seen *Call) {
	o.counts.Total++
	o.counts.Operations[seen.Operation]++
	o.counts.Statuses[seen.Status]++
}

// record adds the call to the list; the pointer is good while o.mu is held.
func (o *Org) record(c *call, req *http.Request) *Call {
	if o.keep > 0 && len(o.calls) >= o.keep {
		o.calls = slices.Delete(o.calls, 0, max(o.keep/10, 1))
	}
	seen := Call{
		Time: c.now, Method: req.Method, Path: req.URL.RequestURI(), Body: c.body,
		ContentType: req.Header.Get("Content-Type"), UserAgent: req.Header.Get("User-Agent"),
	}
	if c.route != nil {
		seen.Operation, seen.Kind, seen.ID = c.route.operation, c.route.kind, c.params["id"]
	}
	if o.keep < 0 {
		return &seen
	}
	o.calls = append(o.calls, seen)
	return &o.calls[len(o.calls)-1]
}

func (o *Org) authorized(req *http.Request) bool {
	token, ok := strings.CutPrefix(req.Header.Get("Authorization"), "SSWS ")
	return ok && subtle.ConstantTimeCompare([]byte(token), []byte(o.token)) == 1
}

func (o *Org) dispatch(c *call, bodyErr error, known bool) (*answer, error) {
	var tooLarge *http.MaxBytesError
	switch {
	case c.route == nil && known:
		return nil, methodNotAllowed()
	case c.route == nil:
		return nil, notFound(c.path, "Path")
	case errors.As(bodyErr, &tooLarge):
		return nil, malformed("The request body is too large.")
	case bodyErr != nil:
		return nil, malformed("The request body could not be read.")
	}
	if c.accept = negotiate(c.header.Values("Accept"), c.route.accepts); c.accept == "" {
		return nil, badAccept()
	}
	c.contentType, _, _ = mime.ParseMediaType(c.header.Get("Content-Type"))
	if c.route.body {
		if c.contentType != "application/json" {
			return nil, badContentType()
		}
		if err := checkObject(c.body); err != nil {
			return nil, malformed(err.Error())
		}
	}
	return c.route.handle(o, c)
}

func (o *Org) errorAnswer(err error) *answer {
	var f *failure
	if !errors.As(err, &f) {
		f = internalError()
	}
	return jsonAnswer(f.status, f.body("oae"+opaque("error", o.requests, 22)))
}

func (o *Org) baseOf(req *http.Request) string {
	if o.baseURL != "" {
		return o.baseURL
	}
	scheme := "http"
	if req.TLS != nil {
		scheme = "https"
	}
	return scheme + "://" + req.Host
}

// opaque makes an id that looks random and is the same in every run: n
// characters for the i-th thing of a sort.
func opaque(sort string, i, n int) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %d", sort, i))
	text := new(big.Int).SetBytes(sum[:]).Text(62)
	return text[:n]
}

func (o *Org) newID(prefix string) string {
	o.ids++
	return prefix + opaque(prefix, o.ids, 20-len(prefix))
}

// newKid makes an id for a key of an app (43 characters) or of an IdP (20), as
// in the API spec's examples. It has nothing to do with the CSR's id.
func (o *Org) newKid(kind string) string {
	if kind == KindIDP {
		return o.newID("akm")
	}
	return randomID(32)
}

func (o *Org) find(kind, id string) *target { return o.byID[kind+"/"+id] }

func (o *Org) mustFind(kind, id string) *target {
	t := o.find(kind, id)
	if t == nil {
		panic(fmt.Sprintf("oktasim: no %s %q in this org", kind, id))
	}
	return t
}

func (t *target) key(kid string) *Key {
	for _, k := range t.keys {
		if k.Kid == kid {
			return k
		}
	}
	return nil
}

func (t *target) kidPath() []string {
	if t.kind == KindIDP {
		return []string{"protocol", "credentials", "signing", "kid"}
	}
	return []string{"credentials", "signing", "kid"}
}

func (t *target) activeKid() string { return t.facts().kid }

// facts are what lists and filters look at. They are read from the document
// once for each of its versions: an org of 20,000 apps is listed often.
type facts struct {
	of                             []byte // the document that they were read from
	status, name, label, mode, kid string
}

func (t *target) facts() *facts {
	// Every edit makes a new slice, and this one is kept: the same address is
	// the same text.
	if len(t.doc) != len(t.seen.of) || &t.doc[0] != &t.seen.of[0] {
		mode := "signOnMode"
		if t.kind == KindIDP {
			mode = "type"
		}
		t.seen = facts{
			t.doc, lookupString(t.doc, "status"), lookupString(t.doc, "name"), lookupString(t.doc, "label"),
			lookupString(t.doc, mode), lookupString(t.doc, t.kidPath()...),
		}
	}
	return &t.seen
}

// isSAML tells whether the target signs with an X.509 key of its own.
func (t *target) isSAML() bool {
	if t.kind == KindIDP {
		return t.facts().mode == "SAML2"
	}
	// The API spec says that these support key rotation, and OPENID_CONNECT;
	// an OIDC app has no X.509 key to certify, so it is left out.
	return slices.Contains([]string{"SAML_2_0", "SAML_1_1", "WS_FEDERATION"}, t.facts().mode)
}

func (t *target) needSAML() error {
	if t.isSAML() {
		return nil
	}
	return invalid("signOnMode", "The operation is not supported by this "+t.kind+": it does not use SAML.")
}

// switched notes that the active kid changed from old, just now.
func (t *target) switched(old string, now time.Time) {
	if old != t.activeKid() {
		t.previousKid = old
		t.switches = append(t.switches, Switch{At: now, Kid: t.activeKid()})
	}
}

// getTarget: getApplication, getIdentityProvider.
func (o *Org) getTarget(c *call) (*answer, error) {
	t, err := c.target(o)
	if err != nil {
		return nil, err
	}
	return jsonAnswer(http.StatusOK, t.serve(c.base)), nil
}
