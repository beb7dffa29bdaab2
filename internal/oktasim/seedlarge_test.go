package oktasim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"testing"
	"time"
)

var nextPattern = regexp.MustCompile(`<http://org\.example\.com([^>]+)>; rel="next"`)

// nextLink is the path of the next page, "" for none.
func nextLink(r reply) string {
	for _, link := range r.header.Values("Link") {
		if m := nextPattern.FindStringSubmatch(link); m != nil {
			return m[1]
		}
	}
	return ""
}

// pages reads a list by its links, and gives its items.
func (f *fixture) pages(path string) (items [][]byte, pages int) {
	f.t.Helper()
	for path != "" {
		r := f.ok(200, "GET", path, "")
		items = append(items, elements(r.body)...)
		pages++
		path = nextLink(r)
	}
	return items, pages
}

func TestALargeOrgIsWhatItSays(t *testing.T) {
	f := newFixture(t)
	spec := LargeSpec{Apps: 2000, IDPs: 60, Seed: 7}
	made := f.SeedLarge(spec)
	apps, pages := f.pages("/api/v1/apps?limit=200")
	if len(apps) != 2000 || pages != 10 || made.Apps != 2000 || made.SAMLApps != 1500 || made.SharedApps != 150 || made.UnsupportedApps != 20 {
		t.Errorf("%d apps on %d pages: %+v", len(apps), pages, made)
	}
	type use struct {
		apps int
		mode string
	}
	kids, statuses, modes, size := map[string]use{}, map[string]int{}, map[string]int{}, 0
	var ends []time.Time
	for _, doc := range apps {
		if err := checkObject(doc); err != nil {
			t.Fatalf("%v: %s", err, doc)
		}
		size += len(doc)
		if len(doc) < 1500 || len(doc) > 7000 {
			t.Errorf("a document of %d bytes", len(doc))
		}
		id, mode, kid := lookupString(doc, "id"), lookupString(doc, "signOnMode"), lookupString(doc, "credentials", "signing", "kid")
		modes[mode]++
		if mode == "SAML_2_0" {
			statuses[lookupString(doc, "status")]++
		}
		x := f.find(KindApp, id)
		cached := x.seen
		x.seen = facts{}
		if fresh := x.facts(); !bytes.Equal(fresh.of, cached.of) || fresh.kid != kid || fresh.kid != cached.kid || fresh.mode != cached.mode ||
			fresh.status != cached.status || fresh.label != cached.label || fresh.name != cached.name {
			t.Fatalf("facts %+v, want %+v", cached, fresh)
		}
		if kid == "" {
			if len(x.keys) != 0 {
				t.Errorf("%s %s has keys", mode, id)
			}
			continue
		}
		kids[kid] = use{kids[kid].apps + 1, mode}
		key := x.key(kid).whole()
		if key.Kid != kid || key.Certificate.NotAfter.Before(f.clock.now().AddDate(0, 0, -10)) || key.Certificate.NotAfter.After(f.clock.now().AddDate(10, 0, 0)) ||
			key.Certificate.NotBefore.After(f.clock.now()) {
			t.Errorf("%s: %s until %s", id, key.Kid, key.Certificate.NotAfter)
		}
		if mode == "SAML_2_0" && lookupString(doc, "status") == "ACTIVE" {
			ends = append(ends, key.NotAfter())
		}
	}
	if average := size / len(apps); average < 3000 || average > 5000 {
		t.Errorf("documents of %d bytes on average", average)
	}
	for _, mode := range []string{"SAML_1_1", "WS_FEDERATION", "OPENID_CONNECT", "BROWSER_PLUGIN", "SECURE_PASSWORD_STORE", "AUTO_LOGIN", "BOOKMARK"} {
		if modes[mode] < 5 {
			t.Errorf("%d of %s", modes[mode], mode)
		}
	}
	if statuses["INACTIVE"] != made.InactiveApps || made.InactiveApps == 0 {
		t.Errorf("%d inactive, %d said", statuses["INACTIVE"], made.InactiveApps)
	}
	sharedKids, sharedApps, single, unsupported := 0, 0, 0, 0
	for kid, used := range kids {
		switch {
		case used.mode != "SAML_2_0":
			unsupported++
		case used.apps == 1:
			single++
		default:
			if used.apps > 50 {
				t.Errorf("%d apps share %s", used.apps, kid)
			}
			sharedKids++
			sharedApps += used.apps
			same, _ := f.pages("/api/v1/apps?limit=200&filter=" + url.QueryEscape(fmt.Sprintf(`credentials.signing.kid eq "%s"`, kid)))
			if len(same) != used.apps {
				t.Errorf("the filter finds %d of %d", len(same), used.apps)
			}
		}
	}
	if sharedKids != made.SharedKids || sharedApps != made.SharedApps || single+sharedKids != made.AppKids || unsupported != made.UnsupportedKids {
		t.Errorf("%d kids on %d apps, %d single, %d unsupported: %+v", sharedKids, sharedApps, single, unsupported, made)
	}

	idps, _ := f.pages("/api/v1/idps?limit=200&type=SAML2")
	trust, _ := f.pages("/api/v1/idps/credentials/keys?limit=200")
	if len(idps) != made.SAMLIDPs || len(trust) != made.TrustKeys || made.IDPKids != made.SAMLIDPs || made.TrustKeys >= made.SAMLIDPs {
		t.Errorf("%d IdPs, %d trusted: %+v", len(idps), len(trust), made)
	}
	for _, doc := range idps {
		if lookupString(doc, "status") == "ACTIVE" {
			ends = append(ends, f.find(KindIDP, lookupString(doc, "id")).keys[0].whole().NotAfter())
		}
	}
	for _, days := range []int{-1, 0, 45, 365} {
		want := 0
		for _, end := range ends {
			if !end.After(f.clock.now().AddDate(0, 0, days)) {
				want++
			}
		}
		if got := made.Due(days); got != want || got == 0 {
			t.Errorf("%d due within %d days, %d said", want, days, got)
		}
	}
	keys := f.ok(200, "GET", "/api/v1/apps/"+lookupString(apps[0], "id")+"/credentials/keys", "")
	if !json.Valid(keys.body) {
		t.Errorf("keys %s", keys.body)
	}

	// The same seed makes the same org, another one another.
	again := newFixture(t)
	if other := again.SeedLarge(spec); !slices.Equal(other.ends, made.ends) || other.AppKids != made.AppKids {
		t.Error("the same seed makes other certificates")
	}
	if other, _ := again.pages("/api/v1/apps?limit=200"); !slices.EqualFunc(apps, other, bytes.Equal) {
		t.Error("the same seed makes other apps")
	}
	if other, _ := again.pages("/api/v1/idps?limit=200&type=SAML2"); !slices.EqualFunc(idps, other, bytes.Equal) {
		t.Error("the same seed makes other IdPs")
	}
	spec.Seed++
	if other := newFixture(t).SeedLarge(spec); slices.Equal(other.ends, made.ends) {
		t.Error("another seed makes the same certificates")
	}
}

func TestSharesCanBeNone(t *testing.T) {
	for _, spec := range []LargeSpec{
		{Apps: 1}, {Apps: 3, SAMLShare: 1, SharedShare: 1}, {IDPs: 2}, {},
		{Apps: 100, SAMLShare: 1, SharedShare: 1}, {Apps: 100, SAMLShare: -1}, {Apps: 100, SharedShare: -1, DueShare: -1},
	} {
		f := newFixture(t)
		made := f.SeedLarge(spec)
		if len(f.Targets(KindApp)) != spec.Apps || len(f.Targets(KindIDP)) != spec.IDPs {
			t.Errorf("%+v: %+v", spec, made)
		}
		switch {
		case spec.SharedShare == 1 && (made.SharedApps != spec.Apps || made.AppKids != made.SharedKids):
			t.Errorf("all shared: %+v", made)
		case spec.SAMLShare < 0 && (made.SAMLApps != 0 || made.AppKids != 0):
			t.Errorf("no SAML: %+v", made)
		case spec.SharedShare < 0 && (made.SharedKids != 0 || made.AppKids != made.SAMLApps || made.Due(45) != 0):
			t.Errorf("nothing shared or due: %+v", made)
		}
	}
}

func BenchmarkSeedLarge(b *testing.B) {
	for b.Loop() {
		New(Options{}).SeedLarge(LargeSpec{Apps: 20000, IDPs: 200})
	}
}

func BenchmarkLargeFilter(b *testing.B) {
	o := New(Options{})
	o.SeedLarge(LargeSpec{Apps: 20000})
	kid := o.targets[KindApp][0].activeKid()
	c := &call{query: url.Values{"filter": {`credentials.signing.kid eq "` + kid + `"`}}, base: "https://org.example.com", path: "/api/v1/apps"}
	for b.Loop() {
		if _, err := o.listApps(c); err != nil {
			b.Fatal(err)
		}
	}
}
