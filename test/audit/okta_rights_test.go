//go:build audit

package audit

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gopkg.in/yaml.v3"
)

const (
	root = "../.."
	page = root + "/docs/okta-contract.md"
)

// right is a line of the documentation's table of what is called.
type right struct {
	Operation, Call, Scope, Permission string
	Functions                          []string
}

// documented reads the table below a heading of docs/okta-contract.md: the
// columns are Operation, Call, Scope, Permission, Functions, When.
func documented(t *testing.T, heading string) map[string]right {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(text), "\n## "+heading+"\n")
	if !found {
		t.Fatalf("%s has no section %q", page, heading)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	rights := map[string]right{}
	for line := range strings.Lines(section) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		for i, c := range cells {
			cells[i] = strings.ReplaceAll(strings.TrimSpace(c), "`", "")
		}
		if !strings.HasPrefix(line, "| `") || len(cells) != 6 {
			continue
		}
		if _, twice := rights[cells[0]]; twice {
			t.Errorf("%s is in the table twice", cells[0])
		}
		rights[cells[0]] = right{cells[0], cells[1], cells[2], cells[3], strings.Split(cells[4], ", ")}
	}
	if len(rights) == 0 {
		t.Fatalf("no table of rights below %q", heading)
	}
	return rights
}

// used are the operations that a client called in all tests, and what Okta's
// spec says that they need.
func used(t *testing.T, who string) map[string]right {
	t.Helper()
	spec, all := exchanges(t)
	rights := map[string]right{}
	for _, e := range all {
		if client(e) != who || e.Operation == "" {
			continue
		}
		r := right{Operation: e.Operation, Scope: "–", Permission: "–"}
		if o, ok := spec.Operation(e.Method, e.Path); ok {
			r.Call = o.Method + " " + o.Path
			r.Scope = strings.Join(o.Scopes, ", ")
			r.Permission = permissionFor(o.Scopes)
			for p := range strings.SplitSeq(r.Permission, ", ") {
				if !slices.Contains(spec.Permissions, p) {
					t.Errorf("%s: Okta's spec has no permission %q", o.ID, p)
				}
			}
		}
		rights[e.Operation] = r
	}
	return rights
}

// permissionFor names the permission of a custom admin role for the scopes of
// OAuth 2.0 (developer.okta.com/docs/concepts/role-assignment).
func permissionFor(scopes []string) string {
	var all []string
	for _, s := range scopes {
		all = append(all, strings.Replace(s, "okta.idps.", "okta.identityProviders.", 1))
	}
	return strings.Join(all, ", ")
}

func TestTheRightsThatAreDocumentedAreThoseThatAreUsed(t *testing.T) {
	for heading, who := range map[string]string{"What Keyturn calls": "keyturn", "What the throw-away app needs": "keyturn-contract"} {
		t.Run(heading, func(t *testing.T) {
			want, got := documented(t, heading), used(t, who)
			for _, operation := range slices.Sorted(maps.Keys(want)) {
				if _, is := got[operation]; !is {
					t.Errorf("%s is documented and never called", operation)
				}
			}
			for _, operation := range slices.Sorted(maps.Keys(got)) {
				w, is := want[operation]
				if !is {
					t.Errorf("%s is called and not documented: %+v", operation, got[operation])
					continue
				}
				g := got[operation]
				g.Functions = w.Functions
				if g.Call == "" { // the spec has no such operation
					g.Call = w.Call
				}
				if diff := cmp.Diff(g, w); diff != "" {
					t.Errorf("%s (-by Okta's spec +documented)\n%s", operation, diff)
				}
			}
		})
	}
}

// TestEveryFunctionWithTheCredentialIsInTheTable compares the table's functions
// with those that the template gives Okta's secret.
func TestEveryFunctionWithTheCredentialIsInTheTable(t *testing.T) {
	var template struct {
		Resources map[string]struct {
			Type       string
			Properties struct {
				CodeUri     string
				Environment struct{ Variables map[string]yaml.Node }
			}
		}
	}
	text, err := os.ReadFile(filepath.Join(root, "template.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, &template); err != nil {
		t.Fatal(err)
	}
	with := map[string]bool{}
	for _, r := range template.Resources {
		if _, secret := r.Properties.Environment.Variables["OKTA_SECRET_ARN"]; secret && r.Type == "AWS::Serverless::Function" {
			with[filepath.Base(r.Properties.CodeUri)] = true
		}
	}
	named := map[string]bool{}
	for _, r := range documented(t, "What Keyturn calls") {
		for _, f := range r.Functions {
			named[f] = true
		}
	}
	if diff := cmp.Diff(with, named); diff != "" || len(with) == 0 {
		t.Errorf("(-functions with the credential +functions in the table)\n%s", diff)
	}
}

// TestThePermissionsNamedElsewhereAreThoseOfTheTable looks at the README's
// instructions and at the error that a missing permission makes: what they ask
// for must be enough, and no more.
func TestThePermissionsNamedElsewhereAreThoseOfTheTable(t *testing.T) {
	needed := map[string]bool{}
	for _, r := range documented(t, "What Keyturn calls") {
		if r.Permission != "–" {
			needed[r.Permission] = true
		}
	}
	// To manage is to read as well.
	for p := range needed {
		if needed[strings.Replace(p, ".read", ".manage", 1)] && strings.HasSuffix(p, ".read") {
			delete(needed, p)
		}
	}
	permission := regexp.MustCompile(`okta\.[a-zA-Z.]+\.(read|manage)\b`)
	for _, name := range []string{"README.md", "internal/okta/errors.go"} {
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		named := map[string]bool{}
		for _, p := range permission.FindAllString(string(text), -1) {
			named[p] = true
		}
		if diff := cmp.Diff(needed, named); diff != "" {
			t.Errorf("%s (-needed +named)\n%s", name, diff)
		}
	}
	t.Log(fmt.Sprint(slices.Sorted(maps.Keys(needed))))
}
