package live

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tidwall/gjson"
	"github.com/tidwall/sjson"

	"keyturn/internal/bucket"
	"keyturn/internal/bucket/buckettest"
	"keyturn/internal/inventory"
	"keyturn/internal/inventory/scan"
	"keyturn/internal/okta"
	"keyturn/internal/oktasim"
	"keyturn/internal/rotation"
	"keyturn/test/contract/oktaspec"
)

const token = "00-a-token-that-must-never-be-shown-0042"

// lab is a simulated org that plays the real one.
type lab struct {
	*oktasim.Org
	t    *testing.T
	demo oktasim.Demo
	// between stands between the program and the org; nil for nothing.
	between func(http.Handler) http.Handler
	slept   []time.Duration
	out     bytes.Buffer
	agree   func(string) bool
}

func newLab(t *testing.T, limits ...oktasim.Limits) *lab {
	t.Helper()
	options := oktasim.Options{APIToken: token, Limits: append(limits, oktasim.Limits{Apps: oktasim.Unlimited, App: oktasim.Unlimited, API: oktasim.Unlimited})[0]}
	l := &lab{t: t, Org: oktasim.New(options)}
	l.demo = l.SeedDemo()
	return l
}

func credential(t *testing.T) okta.Credential {
	t.Helper()
	c, err := okta.ParseCredential("test", fmt.Appendf(nil, `{"apiToken":%q}`, token))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// run is the whole program.
func (l *lab) run(ctx context.Context, rotate bool) error {
	l.t.Helper()
	var handler http.Handler = l.Org
	if l.between != nil {
		handler = l.between(handler)
	}
	server := httptest.NewServer(handler)
	defer server.Close()
	l.out.Reset()
	err := Run(ctx, Options{
		OrgURL: server.URL, Credential: credential(l.t), Rotate: rotate, Agree: l.agree, Out: &l.out,
		Sleep: func(_ context.Context, d time.Duration) error {
			l.slept = append(l.slept, d)
			l.Advance(d)
			return nil
		},
	})
	if strings.Contains(l.out.String(), token) || (err != nil && strings.Contains(err.Error(), token)) {
		l.t.Errorf("the token is shown: %v\n%s", err, l.out.String())
	}
	return err
}

// says wants a line in what was printed.
func (l *lab) says(line string) {
	l.t.Helper()
	if !strings.Contains(l.out.String(), line) {
		l.t.Errorf("it does not say %q:\n%s", line, l.out.String())
	}
}

func TestAnOrgLikeTheSimulatedOnePasses(t *testing.T) {
	l := newLab(t)
	if err := l.run(t.Context(), false); err != nil {
		t.Fatalf("%v\n%s", err, l.out.String())
	}
	l.says("✔ Nothing differs that Keyturn relies on.")
	l.says("Other types: 0\n")
	l.says("Not as Okta's spec says: 0\n")
	if n := l.Counts().Total; n > 31 {
		t.Errorf("%d calls, and the documentation says at most 31", n)
	}
	for _, c := range l.Calls() {
		if c.Method != http.MethodGet {
			t.Errorf("reading calls %s %s", c.Method, c.Path)
		}
	}
	// Nothing of the org is printed but names of members.
	for _, kind := range []string{oktasim.KindApp, oktasim.KindIDP} {
		for _, id := range l.Targets(kind) {
			d := l.Document(kind, id)
			for _, path := range []string{"id", "label", "name", "credentials.signing.kid", "protocol.credentials.signing.kid", "settings.signOn.audience"} {
				// bookmark and SWA names are Okta's own words.
				if v := gjson.GetBytes(d, path).String(); len(v) > 11 && strings.Contains(l.out.String(), v) {
					t.Errorf("%s of %s is printed: %s", path, id, v)
				}
			}
		}
	}
}

func TestAThrowAwayAppIsRotatedAndGone(t *testing.T) {
	l := newLab(t)
	state := func() map[string]string {
		all := map[string]string{}
		for _, kind := range []string{oktasim.KindApp, oktasim.KindIDP} {
			for _, id := range l.Targets(kind) {
				all[id] = fmt.Sprintf("%s %d %d", l.Document(kind, id), len(l.Keys(kind, id)), len(l.PendingCSRs(kind, id)))
			}
		}
		return all
	}
	l.SetBaseURL("https://example.okta.com")
	before := state()
	l.SetBaseURL("")
	if err := l.run(t.Context(), true); err != nil {
		t.Fatalf("%v\n%s", err, l.out.String())
	}
	for _, line := range []string{`made the app "Keyturn contract test 20`, "published a certificate", "switched to the new key", "switched back", "revoked a CSR", "is gone again"} {
		l.says(line)
	}
	l.SetBaseURL("https://example.okta.com")
	if diff := cmp.Diff(before, state()); diff != "" {
		t.Errorf("the org (-before +after)\n%s", diff)
	}
	operations := l.Counts().Operations
	for operation, times := range map[string]int{"createApplication": 1, "deactivateApplication": 1, "deleteApplication": 1, "publishCsrFromApplication": 1, "replaceApplication": 2, "revokeCsrFromApplication": 1} {
		if operations[operation] != times {
			t.Errorf("%s is called %d times, want %d", operation, operations[operation], times)
		}
	}
	if n := l.Counts().Total; n > 55 {
		t.Errorf("%d calls, and the documentation says at most 55", n)
	}
}

func TestWithoutAYesNothingIsCalled(t *testing.T) {
	l := newLab(t)
	asked := ""
	l.agree = func(question string) bool { asked = question; return false }
	if err := l.run(t.Context(), true); err == nil || errors.Is(err, ErrDiffers) {
		t.Errorf("%v", err)
	}
	if !strings.Contains(asked, "makes an app in http://127.0.0.1") || l.Counts().Total != 0 {
		t.Errorf("%d calls after the question %q", l.Counts().Total, asked)
	}
	if err := l.run(t.Context(), false); err != nil {
		t.Errorf("reading alone is asked about: %v", err)
	}
}

// changed changes the JSON bodies of the org's answers to an operation.
func changed(t *testing.T, operation string, change func(h http.Header, body []byte) []byte) func(http.Handler) http.Handler {
	spec, err := oktaspec.Load()
	if err != nil {
		t.Fatal(err)
	}
	return func(org http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			kept := httptest.NewRecorder()
			org.ServeHTTP(kept, r)
			body := kept.Body.Bytes()
			if o, ok := spec.Operation(r.Method, r.URL.RequestURI()); ok && (operation == "" || o.ID == operation) {
				body = change(kept.Header(), body)
			}
			kept.Header().Del("Content-Length")
			maps.Copy(w.Header(), kept.Header())
			w.WriteHeader(kept.Code)
			_, _ = w.Write(body)
		})
	}
}

func set(path, raw string) func(http.Header, []byte) []byte {
	return func(_ http.Header, body []byte) []byte {
		body, err := sjson.SetRawBytes(body, path, []byte(raw))
		if err != nil {
			panic(err)
		}
		return body
	}
}

func drop(path string) func(http.Header, []byte) []byte {
	return func(_ http.Header, body []byte) []byte {
		body, err := sjson.DeleteBytes(body, path)
		if err != nil {
			panic(err)
		}
		return body
	}
}

func TestWhatDiffersIsNamed(t *testing.T) {
	for what, c := range map[string]struct {
		operation string
		change    func(http.Header, []byte) []byte
		matters   bool
		says      []string
	}{
		"a further member": {"getApplication", set("_links.uploadLogo", `{"href":"x"}`), false,
			[]string{"getApplication 200 /_links/uploadLogo/href [string]"}},
		"a member less that nobody reads": {"getApplication", drop("orn"), false, []string{"Only in the simulator", "getApplication 200 /orn [string]"}},
		"null for a text":                 {"getApplication", set("orn", "null"), false, []string{"getApplication 200 /orn: the org has [null], the simulator [string]"}},
		"null for what Keyturn reads": {"listApplications", set("4.label", "null"), true,
			[]string{"✘ listApplications /label: Keyturn reads [string date], the org has [null]"}},
		"a member less that Keyturn reads": {"listApplicationKeys", drop("0.expiresAt"), true,
			[]string{"✘ listApplicationKeys /expiresAt: Keyturn reads it, and 1 of 1 in one answer of the org lack it"}},
		"no key in one of many apps": {"listApplications", drop("2.credentials.signing"), true,
			[]string{"✘ listApplications /credentials/signing/kid: Keyturn reads it, and 1 of 11 in one answer of the org lack it"}},
		"another type": {"getIdentityProvider", set("policy.maxClockSkew", `"120000"`), true,
			[]string{"✘ getIdentityProvider 200 /policy/maxClockSkew: the org has [string], the simulator [integer]", "response of getIdentityProvider: type /policy/maxClockSkew"}},
		"no date": {"listCsrsForIdentityProvider", func(_ http.Header, _ []byte) []byte { return []byte(`[{"id":"x","created":"now","csr":"y"}]`) }, true,
			[]string{"✘ reading stopped", "format /*/created"}},
		"another error": {"getApplication", func(_ http.Header, body []byte) []byte {
			if !bytes.Contains(body, []byte("errorCode")) {
				return body
			}
			return []byte(`{"error":"not_found"}`)
		}, true, []string{"✘ an error /errorCode: Keyturn reads it"}},
		"no rate limits": {"listIdentityProviders", func(h http.Header, body []byte) []byte { h.Del("X-Rate-Limit-Reset"); return body }, true,
			[]string{"✘ listIdentityProviders 200: the org sends no X-Rate-Limit-Reset"}},
		"another media type": {"previewSAMLmetadataForApplication", func(h http.Header, body []byte) []byte {
			h.Set("Content-Type", "application/samlmetadata+xml")
			return body
		}, true, []string{"✘ previewSAMLmetadataForApplication 200: the org answers in application/samlmetadata+xml, the simulator in [text/xml]"}},
		"metadata without a certificate": {"previewSAMLmetadataForApplication", func(_ http.Header, body []byte) []byte {
			return bytes.ReplaceAll(body, []byte("X509Certificate"), []byte("X509SKI"))
		}, true, []string{"KeyDescriptor/KeyInfo/X509Data/X509Certificate: Keyturn reads it"}},
		"no JSON": {"listIdentityProviderKeys", func(_ http.Header, body []byte) []byte { return body[:len(body)/2] }, true,
			[]string{"✘ the answer to listIdentityProviderKeys is not what its Content-Type says"}},
		"a name that an org gave": {"getApplication", set("profile", `{"salaryBand":7}`), false, []string{"getApplication 404 /profile [object]"}},
	} {
		t.Run(what, func(t *testing.T) {
			l := newLab(t)
			l.between = changed(t, c.operation, c.change)
			err := l.run(t.Context(), false)
			if got := errors.Is(err, ErrDiffers); got != c.matters || (err != nil && !got) {
				t.Errorf("%v, want it to matter: %t\n%s", err, c.matters, l.out.String())
			}
			for _, line := range c.says {
				l.says(line)
			}
			if strings.Contains(l.out.String(), "salaryBand") {
				t.Errorf("the name of a member is printed that the org gave:\n%s", l.out.String())
			}
		})
	}
}

func TestTheAppGoesWhateverFails(t *testing.T) {
	failing := func(operation string, kind oktasim.FaultKind, times int) func(*lab) context.Context {
		return func(l *lab) context.Context {
			l.Fail(oktasim.Fault{Operation: operation, Kind: kind, Times: times})
			return l.t.Context()
		}
	}
	for what, c := range map[string]struct {
		arrange func(*lab) context.Context
		failed  bool
	}{
		"no CSR":                      {failing("generateCsrForApplication", oktasim.FaultForbidden, 1), true},
		"no publication":              {failing("publishCsrFromApplication", oktasim.FaultInternal, -1), true},
		"no switch":                   {failing("replaceApplication", oktasim.FaultInternal, -1), true},
		"the creation's answer lost":  {failing("createApplication", oktasim.FaultCloseAfter, 1), true},
		"the creation broken":         {failing("createApplication", oktasim.FaultInternalAfter, 1), true},
		"not made at all":             {failing("createApplication", oktasim.FaultForbidden, 1), true},
		"removed at the second try":   {failing("deactivateApplication", oktasim.FaultInternal, 1), false},
		"removed but not told so":     {failing("deleteApplication", oktasim.FaultInternalAfter, 1), false},
		"the limit used up by others": {failing("createApplication", oktasim.FaultRateLimited, 1), false},
		"the limit in the middle":     {failing("publishCsrFromApplication", oktasim.FaultRateLimited, 1), false},
		"interrupted": {func(l *lab) context.Context {
			ctx, interrupt := context.WithCancel(l.t.Context())
			l.between = func(org http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if strings.HasSuffix(r.URL.Path, "/publish") {
						interrupt()
					}
					org.ServeHTTP(w, r)
				})
			}
			return ctx
		}, true},
	} {
		t.Run(what, func(t *testing.T) {
			l := newLab(t)
			there := len(l.Targets(oktasim.KindApp))
			ctx := c.arrange(l)
			if err := l.run(ctx, true); errors.Is(err, ErrDiffers) != c.failed || (err != nil) != c.failed {
				t.Errorf("%v\n%s", err, l.out.String())
			}
			if left := l.Targets(oktasim.KindApp); len(left) != there {
				t.Errorf("%d apps are left, there were %d\n%s", len(left), there, l.out.String())
			}
			l.says("is gone again")
		})
	}
}

func TestWhatIsLeftIsNamed(t *testing.T) {
	for _, operation := range []string{"deactivateApplication", "deleteApplication"} {
		l := newLab(t)
		l.Fail(oktasim.Fault{Operation: operation, Kind: oktasim.FaultForbidden, Times: -1})
		if err := l.run(t.Context(), true); !errors.Is(err, ErrDiffers) {
			t.Errorf("%s: %v", operation, err)
		}
		apps := l.Targets(oktasim.KindApp)
		left := apps[len(apps)-1]
		l.says(fmt.Sprintf(`✘ The app "%s" (%s) may be left in the org. Remove it in the admin console`, gjson.GetBytes(l.Document(oktasim.KindApp, left), "label"), left))
	}
}

func TestHalfOfTheOrgsLimitIsLeftToOthers(t *testing.T) {
	l := newLab(t, oktasim.IntegratorFree())
	l.SeedLarge(oktasim.LargeSpec{Apps: 250, IDPs: 10})
	if err := l.run(t.Context(), true); err != nil {
		t.Fatalf("%v\n%s", err, l.out.String())
	}
	if n := l.Counts().RateLimited(); n > 0 || len(l.slept) == 0 {
		t.Errorf("%d calls were refused, %d waits", n, len(l.slept))
	}
	l.says("waits ")
}

func TestALimitThatOthersUseUpIsWaitedFor(t *testing.T) {
	l := newLab(t)
	l.Fail(oktasim.Fault{Operation: "listApplicationKeys", Kind: oktasim.FaultRateLimited, Times: 2, ResetIn: 20 * time.Second})
	l.Fail(oktasim.Fault{Operation: "listIdentityProviders", Kind: oktasim.FaultConcurrency429})
	if err := l.run(t.Context(), false); err != nil {
		t.Fatalf("%v\n%s", err, l.out.String())
	}
	l.says("1 × listIdentityProviders 429")
	l = newLab(t)
	l.Fail(oktasim.Fault{Operation: "listApplicationKeys", Kind: oktasim.FaultRateLimited, Times: 9})
	if err := l.run(t.Context(), false); !errors.Is(err, ErrDiffers) {
		t.Errorf("%v", err)
	}
	l.says("✘ reading stopped: could not list the keys")
}

func TestAnEmptyOrgPasses(t *testing.T) {
	l := newLab(t)
	for _, kind := range []string{oktasim.KindApp, oktasim.KindIDP} {
		for _, id := range l.Targets(kind) {
			l.Delete(kind, id)
		}
	}
	if err := l.run(t.Context(), true); err != nil {
		t.Fatalf("%v\n%s", err, l.out.String())
	}
}

// TestEveryMemberThatIsReadIsInTheSpec spoils each of them in an answer: the
// spec must notice.
func TestEveryMemberThatIsReadIsInTheSpec(t *testing.T) {
	sim, err := simulated(Options{Sleep: sleep})
	if err != nil {
		t.Fatal(err)
	}
	if err := sim.read(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := sim.rotate(t.Context(), nil, true); err != nil {
		t.Fatal(err)
	}
	spec, err := oktaspec.Load()
	if err != nil {
		t.Fatal(err)
	}
	r := &report{spec: spec}
	tried := 0
	for _, e := range sim.tape.seen() {
		operation := r.operation(e)
		wanted := Reads[operation]
		if e.Status >= 400 {
			wanted = Reads["error"]
		}
		for _, m := range wanted {
			path := strings.ReplaceAll(strings.TrimPrefix(m.Path, "/"), "/", ".")
			if strings.HasPrefix(string(e.Response.Body), "[") {
				path = "0." + path
			}
			path = strings.ReplaceAll(path, "*", "0")
			if m.Types[0] == "element" || !gjson.GetBytes(e.Response.Body, path).Exists() {
				continue
			}
			spoilt := e
			spoilt.Operation = operation
			spoilt.Response.Body = set(path, `7`)(nil, slices.Clone(e.Response.Body))
			if !slices.ContainsFunc(spec.Check(spoilt, oktaspec.Response), func(d oktaspec.Deviation) bool {
				return strings.HasSuffix(d.Place, m.Path) || d.Kind == "discriminator" && m.Path == "/signOnMode"
			}) {
				t.Errorf("%s: Okta's spec does not know %s", operation, m.Path)
			}
			tried++
		}
	}
	if tried < 50 {
		t.Errorf("%d members were tried", tried)
	}
}

// onlyRead leaves of the org's answers what Keyturn is said to read, so that
// whatever works with such an org reads nothing else.
func onlyRead(t *testing.T) func(http.Handler) http.Handler {
	spec, err := oktaspec.Load()
	if err != nil {
		t.Fatal(err)
	}
	return func(org http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			kept := httptest.NewRecorder()
			org.ServeHTTP(kept, r)
			body := kept.Body.Bytes()
			if o, ok := spec.Operation(r.Method, r.URL.RequestURI()); ok && kept.Header().Get("Content-Type") == "application/json" {
				members := Reads[o.ID]
				if kept.Code >= 400 {
					members = Reads["error"]
				}
				if o.ID == "createApplication" {
					members = appMembers
				}
				body = reduced(body, members)
			}
			for name := range kept.Header() {
				if slices.Contains(mustHave, name) || name == "Link" || name == "Content-Type" {
					w.Header()[name] = kept.Header()[name]
				}
			}
			w.WriteHeader(kept.Code)
			_, _ = w.Write(body)
		})
	}
}

// reduced keeps the members of an object, or of the objects of a list.
func reduced(body []byte, members []Member) []byte {
	one := func(object gjson.Result) []byte {
		kept := []byte("{}")
		for _, m := range members {
			path := strings.ReplaceAll(strings.TrimSuffix(strings.TrimPrefix(m.Path, "/"), "/*"), "/", ".")
			if v := object.Get(path); v.Exists() {
				kept = set(path, v.Raw)(nil, kept)
			}
		}
		return kept
	}
	all := gjson.ParseBytes(body)
	if !all.IsArray() {
		return one(all)
	}
	items := []json.RawMessage{}
	for _, item := range all.Array() {
		items = append(items, one(item))
	}
	out, err := json.Marshal(items)
	if err != nil {
		panic(err)
	}
	return out
}

func TestARotationReadsNothingElse(t *testing.T) {
	l := newLab(t)
	l.between = onlyRead(t)
	err := l.run(t.Context(), true)
	if err != nil && !errors.Is(err, ErrDiffers) {
		t.Fatal(err)
	}
	for _, line := range []string{"switched back to the old key", "revoked a CSR"} {
		l.says(line)
	}
	if strings.Contains(l.out.String(), "reading stopped") || strings.Contains(l.out.String(), "Keyturn reads") {
		t.Error(l.out.String())
	}
}

func TestDiscoveryReadsNothingElse(t *testing.T) {
	l := newLab(t)
	l.SeedLarge(oktasim.LargeSpec{Apps: 120, IDPs: 15})
	at := time.Now().UTC().Truncate(time.Second)
	discovered := func(between func(http.Handler) http.Handler) map[string]string {
		server := httptest.NewServer(between(l.Org))
		defer server.Close()
		client, err := okta.New(okta.Config{OrgURL: server.URL, Credentials: func(context.Context, bool) (okta.Credential, error) { return credential(t), nil }})
		if err != nil {
			t.Fatal(err)
		}
		objects := buckettest.New(t).Bucket("inventory")
		run := inventory.ListAppsInput{Run: inventory.Begun{ID: "run", At: at}, Request: inventory.Request{Policy: json.RawMessage(`{}`)}}
		apps := scan.Apps{Okta: client, Bucket: objects, Defaults: rotation.DefaultSettings([]string{"sso-team@example.com"}), Now: func() time.Time { return at }, TempDir: t.TempDir()}
		if out, err := apps.Run(t.Context(), run); err != nil || !out.Done {
			t.Fatalf("%+v, %v", out, err)
		}
		keys := inventory.Keys{Run: "run"}
		return map[string]string{"entries": read(t, objects, keys.Entries()), "dues": read(t, objects, keys.Dues())}
	}
	whole := discovered(func(h http.Handler) http.Handler { return h })
	if n := strings.Count(whole["entries"], "\n"); n < 80 {
		t.Fatalf("%d entries", n)
	}
	if diff := cmp.Diff(whole, discovered(onlyRead(t))); diff != "" {
		t.Errorf("(-of whole answers +of what is said to be read)\n%s", diff)
	}
}

func read(t *testing.T, objects bucket.Bucket, key string) string {
	t.Helper()
	text, _, err := objects.Read(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// The tape is used by several calls at once where a client does so.
func TestTheTapeTakesCallsAtOnce(t *testing.T) {
	l := newLab(t)
	tape := &tape{next: handlerTransport{l.Org}}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://127.0.0.1/api/v1/apps", nil)
			if err != nil {
				t.Error(err)
				return
			}
			r.Header.Set("Authorization", "SSWS "+token)
			answer, err := tape.RoundTrip(r)
			if err != nil {
				t.Error(err)
				return
			}
			_ = answer.Body.Close()
		})
	}
	all.Wait()
	if len(tape.seen()) != 8 {
		t.Errorf("%d calls on the tape", len(tape.seen()))
	}
	if text := fmt.Sprint(tape.seen()); strings.Contains(text, token) {
		t.Error("the token is on the tape")
	}
}
