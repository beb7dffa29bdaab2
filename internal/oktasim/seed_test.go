package oktasim

import (
	"reflect"
	"testing"
	"time"
)

func TestDemoIsAnOrgOfSomeAge(t *testing.T) {
	f := newFixture(t)
	d := f.SeedDemo()
	ids := map[string]bool{}
	for field, value := range reflect.ValueOf(d).Fields() {
		if id := value.String(); id == "" || ids[id] {
			t.Errorf("%s: id %q is empty or used twice", field.Name, id)
		} else {
			ids[id] = true
		}
	}
	if n := len(f.Targets(KindApp)) + len(f.Targets(KindIDP)); n != len(ids) {
		t.Errorf("%d targets, %d in Demo", n, len(ids))
	}
	due := [][2]string{
		{KindApp, d.BeforeSwitchApp}, {KindApp, d.AfterSwitchApp}, {KindApp, d.RejectApp}, {KindApp, d.RejectAfterSwitchApp},
		{KindApp, d.LegacyAppA}, {KindApp, d.LegacyAppB}, {KindApp, d.StrictCatalogApp}, {KindApp, d.InactiveApp}, {KindIDP, d.IDP},
	}
	for _, target := range due {
		keys := f.Keys(target[0], target[1])
		left := keys[0].NotAfter().Sub(f.clock.now())
		if len(keys) != 1 || keys[0].Kid != f.ActiveKid(target[0], target[1]) || left < 21*24*time.Hour || left > 42*24*time.Hour {
			t.Errorf("%s %s: %d keys, %s left; want one, active, with three to six weeks", target[0], target[1], len(keys), left)
		}
	}
	for _, target := range [][2]string{{KindApp, d.HealthyApp}, {KindIDP, d.HealthyIDP}} {
		if left := f.Keys(target[0], target[1])[0].NotAfter().Sub(f.clock.now()); left < 2*365*24*time.Hour {
			t.Errorf("%s %s: %s left", target[0], target[1], left)
		}
	}
	shared := f.Keys(KindApp, d.LegacyAppA)[0]
	if shared.Kid != f.ActiveKid(KindApp, d.LegacyAppB) {
		t.Error("the legacy apps do not share a kid")
	}
	created, err := time.Parse(time.RFC3339, lookupString(f.Document(KindApp, d.LegacyAppA), "created"))
	if err != nil || created.Sub(shared.Created) < 2*365*24*time.Hour || shared.Created.After(time.Date(2022, 5, 1, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("shared key of %s, app of %s (%v)", shared.Created, created, err)
	}
	for _, id := range []string{d.OIDCApp, d.SWAApp} {
		if len(f.Keys(KindApp, id)) != 0 || f.ActiveKid(KindApp, id) != "" {
			t.Errorf("app %s has keys", id)
		}
	}
	if again := New(Options{Now: f.clock.now}).SeedDemo(); again != d {
		t.Error("ids differ from run to run")
	}
}
