package steps_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"keyturn/internal/oktasim"
	"keyturn/internal/rotation"
	"keyturn/internal/steps"
)

// group is a lab whose target shares its key with another one, the source.
type group struct {
	*lab
	source rotation.Target
}

func newGroup(t *testing.T, kind rotation.Kind) group {
	t.Helper()
	l := newLab(t, kind)
	// The key is older than the target, as a shared one is.
	g := group{lab: l, source: l.target}
	g.target = g.add("Member", expiring())
	return g
}

func (g group) add(label string, key *oktasim.Key) rotation.Target {
	if g.source.Kind == rotation.KindIDP {
		return g.addIDP(oktasim.IDPSpec{Label: label, Created: day(-100), Key: key, Raw: strings.Replace(richIDP, `"name":"Partner \u00e9 \/ Zürich – 会社 <&>",`, "", 1)})
	}
	return g.addApp(oktasim.AppSpec{Label: label, Created: day(-100), Key: key, Raw: strings.Replace(richApp, `"label":"Zoll \u00e9t\u00e9 \/ Zürich – 会社 <&>",`, "", 1)})
}

func forBothGroups(t *testing.T, promise func(t *testing.T, g group)) {
	t.Helper()
	for _, kind := range kinds {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			promise(t, newGroup(t, kind))
		})
	}
}

// publishedAtSource has the source's rotation publish its key.
func (g group) publishedAtSource() rotation.Key {
	g.t.Helper()
	member := g.target
	g.target = g.source
	defer func() { g.target = member }()
	return g.published()
}

func (g group) clone(key rotation.Key) (rotation.CloneCertificateOutput, error) {
	return steps.CloneCertificate{Okta: g.okta}.Run(g.t.Context(), rotation.CloneCertificateInput{Target: g.target, Source: g.source, Key: key})
}

func (g group) inspectMember(from *rotation.Target) (rotation.InspectTargetOutput, error) {
	in := rotation.InspectTargetInput{Target: rotation.Target{Kind: g.target.Kind, ID: g.target.ID}, CloneFrom: from}
	return steps.InspectTarget{Okta: g.okta, Defaults: rotation.DefaultSettings([]string{"sso-team@example.com"}), Now: clock}.Run(g.t.Context(), in)
}

// wantCloned checks that the target has the shared key and one clone.
func (g group) wantCloned(key rotation.Key) {
	g.t.Helper()
	var kids []string
	for _, k := range g.keys() {
		kids = append(kids, k.Kid)
	}
	if want := []string{oldKid, key.Kid}; !slices.Equal(kids, want) {
		g.t.Errorf("the target's keys are %q, want %q", kids, want)
	}
}

func TestCloningGivesTheSameKeyWhichIsNotInUse(t *testing.T) {
	forBothGroups(t, func(t *testing.T, g group) {
		key := g.publishedAtSource()
		before := g.document()
		out, err := g.clone(key)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(key, out.Key); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
		wantCalls(t, g.org, g.operation("clone"))
		g.wantCloned(key)
		wantOnlyKid(t, before, g.document(), oldKid, oldKid)

		// Once more, as after a step that died behind its effect.
		g.org.ResetCalls()
		again, err := g.clone(key)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(out, again); diff != "" {
			t.Errorf("the second time (-want +got)\n%s", diff)
		}
		wantCalls(t, g.org, g.operation("clone"), g.operation("keys"))
		g.wantCloned(key)
	})
}

// Whether Okta dates a clone anew, nothing published says.
func TestACloneThatIsDatedAnewIsTheSameKey(t *testing.T) {
	forBothGroups(t, func(t *testing.T, g group) {
		key := g.publishedAtSource()
		stamp := key.Created.Format("2006-01-02T15:04:05.000Z")
		g.okta = g.rewriting("/clone", func(body string) string {
			return strings.ReplaceAll(body, stamp, now.Add(time.Minute).Format("2006-01-02T15:04:05.000Z"))
		})
		out, err := g.clone(key)
		if err != nil || out.Key.Kid != key.Kid || !out.Key.Created.Equal(now.Add(time.Minute)) {
			t.Errorf("%+v, %v", out.Key, err)
		}
	})
}

func TestCloningWhoseAnswerWasLostIsFoundInTheList(t *testing.T) {
	for _, fault := range []oktasim.FaultKind{oktasim.FaultCloseAfter, oktasim.FaultInternalAfter, oktasim.FaultBrokenBody} {
		t.Run(string(fault), func(t *testing.T) {
			forBothGroups(t, func(t *testing.T, g group) {
				key := g.publishedAtSource()
				g.fail("clone", fault)
				out, err := g.clone(key)
				if err != nil || out.Key.Kid != key.Kid {
					t.Errorf("%s, %v; want %s", out.Key.Kid, err, key.Kid)
				}
				wantCalls(t, g.org, g.operation("clone"), g.operation("keys"))
				g.wantCloned(key)
			})
		})
	}
}

func TestCloningThatHadNoEffectCanBeRunAgain(t *testing.T) {
	for fault, c := range map[oktasim.FaultKind]struct {
		name  string
		looks bool
	}{
		oktasim.FaultCloseBefore:  {"Okta.Unavailable", true},
		oktasim.FaultReadOnly:     {"Okta.Unavailable", true},
		oktasim.FaultHTMLError:    {"Okta.Unavailable", true},
		oktasim.FaultRateLimited:  {"Okta.RateLimited", false},
		oktasim.FaultForbidden:    {"Okta.Forbidden", false},
		oktasim.FaultUnauthorized: {"Okta.Unauthorized", false},
	} {
		t.Run(string(fault), func(t *testing.T) {
			forBothGroups(t, func(t *testing.T, g group) {
				key := g.publishedAtSource()
				g.fail("clone", fault)
				_, err := g.clone(key)
				wantName(t, err, c.name)
				want := []string{g.operation("clone")}
				if c.looks {
					want = append(want, g.operation("keys"))
				}
				wantCalls(t, g.org, want...)
				if n := len(g.keys()); n != 1 {
					t.Errorf("%d keys, want 1", n)
				}
				if _, err := g.clone(key); err != nil {
					t.Errorf("again: %v", err)
				}
				g.wantCloned(key)
			})
		})
	}
}

// The look fails like the call itself: the call's error is the one to show.
func TestCloningThatCannotBeLookedForIsTriedAgain(t *testing.T) {
	forBothGroups(t, func(t *testing.T, g group) {
		key := g.publishedAtSource()
		g.fail("clone", oktasim.FaultInternalAfter)
		g.fail("keys", oktasim.FaultRateLimited)
		_, err := g.clone(key)
		wantName(t, err, "Okta.Unavailable")
		if out, err := g.clone(key); err != nil || out.Key.Kid != key.Kid {
			t.Errorf("again: %s, %v", out.Key.Kid, err)
		}
		g.wantCloned(key)
	})
}

func TestCloningThatOktaRefusesIsShownWithOktasReason(t *testing.T) {
	forBothGroups(t, func(t *testing.T, g group) {
		key := g.publishedAtSource()
		g.org.Edit(g.kind(), g.target.ID, "status", `"INACTIVE"`)
		_, err := g.clone(key)
		if err == nil {
			t.Fatal("no error")
		}
		parameter := map[rotation.Kind]string{rotation.KindApp: "apps", rotation.KindIDP: "idps"}[g.target.Kind]
		want := "could not clone the key " + key.Kid + " of " + g.source.String() + " to " + g.target.String() + ": Api validation failed: cloneKey (The " +
			g.kind() + " " + g.target.ID + " is INACTIVE.) [POST /api/v1/" + parameter + "/" + g.source.ID + "/credentials/keys/" + key.Kid + "/clone, HTTP 400, E0000001, error id X]"
		wantName(t, err, "Okta.Invalid")
		if got := errorID.ReplaceAllString(err.Error(), "error id X"); got != want {
			t.Errorf("the error says\n\t%s\nwant\n\t%s", got, want)
		}
	})
}

func TestCloningSaysWhichOfTheTwoIsGone(t *testing.T) {
	forBothGroups(t, func(t *testing.T, g group) {
		key := g.publishedAtSource()
		other := key
		other.Kid = "a-kid-of-nobody"
		nobody := rotation.Target{Kind: g.target.Kind, ID: "0oaNobody", Label: "Nobody"}
		for what, c := range map[string]struct {
			target, source rotation.Target
			key            rotation.Key
			says           string
		}{
			"the target": {nobody, g.source, key, "because of " + nobody.String() + ": it was deleted, or the credential may not see it any more: "},
			"the source": {g.target, nobody, key, "because of " + nobody.String() + ": it was deleted, or the credential may not see it any more; name another target that has the key: "},
			"the key":    {g.target, g.source, other, "because of " + g.source.String() + ": it does not have the key; name another target that has it: "},
		} {
			t.Run(what, func(t *testing.T) {
				_, err := steps.CloneCertificate{Okta: g.okta}.Run(t.Context(), rotation.CloneCertificateInput{Target: c.target, Source: c.source, Key: c.key})
				wantName(t, err, "Okta.NotFound")
				want := fmt.Sprintf("the key %s of %s cannot be cloned to %s (%s) %s", c.key.Kid, c.source, c.target, c.target.Label, c.says)
				if err == nil || !strings.HasPrefix(err.Error(), want) {
					t.Errorf("the error says\n\t%v\nwant\n\t%s…", err, want)
				}
			})
		}
		if n := len(g.keys()); n != 1 {
			t.Errorf("%d keys, want 1", n)
		}
	})
}

func TestCloneWithAnotherCertificateIsRefused(t *testing.T) {
	forBothGroups(t, func(t *testing.T, g group) {
		key := g.publishedAtSource()
		g.okta = g.rewriting("/clone", func(body string) string { return strings.ReplaceAll(body, key.Certificate, spare().X5C) })
		_, err := g.clone(key)
		wantError(t, err, "Certificate.Mismatch", "the key "+key.Kid+" of "+g.source.String()+" came to "+g.who()+" as the key "+key.Kid+
			": it must be the same kid and certificate; do not use it, and report this")
	})
}

func TestCloneWithAnotherKidIsRefused(t *testing.T) {
	forBothGroups(t, func(t *testing.T, g group) {
		key := g.publishedAtSource()
		g.okta = g.rewriting("/clone", func(body string) string { return strings.ReplaceAll(body, key.Kid, "anotherKid") })
		_, err := g.clone(key)
		wantError(t, err, "Certificate.Mismatch", "the key "+key.Kid+" of "+g.source.String()+" came to "+g.who()+" as the key anotherKid"+
			": it must be the same kid and certificate; do not use it, and report this")
	})
}

func TestCloningRefusesAnInputThatCannotBe(t *testing.T) {
	forBothGroups(t, func(t *testing.T, g group) {
		key := g.publishedAtSource()
		wrong := map[rotation.Kind]rotation.Kind{rotation.KindApp: rotation.KindIDP, rotation.KindIDP: rotation.KindApp}[g.target.Kind]
		for name, in := range map[string]rotation.CloneCertificateInput{
			"Target.Invalid: target.id is": {Target: rotation.Target{Kind: g.target.Kind}, Source: g.source, Key: key},
			"Target.Invalid: source.kind":  {Target: g.target, Source: rotation.Target{Kind: wrong, ID: g.source.ID}, Key: key},
			"Target.Invalid: source.id":    {Target: g.target, Source: rotation.Target{Kind: g.target.Kind, ID: "../x"}, Key: key},
			"Target.Invalid: source is":    {Target: g.target, Source: g.target, Key: key},
			"Input.Invalid: key has":       {Target: g.target, Source: g.source, Key: rotation.Key{Kid: "k"}},
		} {
			_, err := steps.CloneCertificate{Okta: g.okta}.Run(t.Context(), in)
			if got := rotation.NameOf(err) + ": " + fmt.Sprint(err); !strings.HasPrefix(got, name) {
				t.Errorf("%s, want %s…", got, name)
			}
		}
		wantCalls(t, g.org)
	})
}

// What inspect-target finds at the source.

func TestInspectionShowsTheSourcesKeysThatCouldBeCloned(t *testing.T) {
	forBothGroups(t, func(t *testing.T, g group) {
		out, err := g.inspectMember(&g.source)
		if err != nil {
			t.Fatal(err)
		}
		if len(out.SourceKeys) != 0 || len(out.UnusedKeys) != 0 || out.CloneFrom == nil || out.CloneFrom.ID != g.source.ID {
			t.Errorf("source keys %s, unused keys %s, cloneFrom %+v; want none, none, and the source", asJSON(t, out.SourceKeys), asJSON(t, out.UnusedKeys), out.CloneFrom)
		}
		wantCalls(t, g.org, g.operation("read"), g.operation("keys"), g.operation("list"), g.operation("keys"))

		active := expiring().Created
		for _, k := range []oktasim.KeySpec{
			{Kid: "before", Created: active.Add(-time.Second), NotAfter: day(400)},
			{Kid: "after", Created: active.Add(time.Second), NotAfter: day(400)},
			{Kid: "90 days", Created: day(-2), NotAfter: day(90)},
		} {
			g.org.AddKey(g.kind(), g.source.ID, oktasim.NewKey(k))
		}
		key := g.publishedAtSource()
		if out, err = g.inspectMember(&g.source); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, k := range out.SourceKeys {
			got = append(got, k.Kid)
		}
		if want := []string{key.Kid, "after"}; !slices.Equal(got, want) {
			t.Errorf("source keys %q, want %q", got, want)
		}
		// The source may have switched meanwhile: its key is the same.
		g.org.SetActiveKid(g.kind(), g.source.ID, key.Kid)
		if out, err = g.inspectMember(&g.source); err != nil || len(out.SourceKeys) != 2 || out.SourceKeys[0].Kid != key.Kid {
			t.Errorf("after the source's switch: source keys %s, %v", asJSON(t, out.SourceKeys), err)
		}
		for i := range 12 {
			g.org.AddKey(g.kind(), g.source.ID, oktasim.NewKey(oktasim.KeySpec{Created: day(-20 + i), NotAfter: day(400)}))
		}
		if out, err = g.inspectMember(&g.source); err != nil || len(out.SourceKeys) != 10 {
			t.Errorf("%d source keys, %v; want 10", len(out.SourceKeys), err)
		}
	})
}

func TestInspectionRefusesASourceThatTheTargetSharesNothingWith(t *testing.T) {
	forBothGroups(t, func(t *testing.T, g group) {
		stranger := g.add("Stranger", spare())
		nobody := rotation.Target{Kind: g.target.Kind, ID: "0oaNobody"}
		wrong := map[rotation.Kind]rotation.Kind{rotation.KindApp: rotation.KindIDP, rotation.KindIDP: rotation.KindApp}[g.target.Kind]
		kind := string(g.target.Kind)
		for what, c := range map[string]struct {
			from       rotation.Target
			name, says string
		}{
			"another key": {stranger, "Target.NotShared", g.who() + " uses the key " + oldKid + ", which cloneFrom, the " + stranger.String() +
				", does not have: only targets that share a key get one certificate; name one that has this key, or leave cloneFrom out for a key of its own"},
			"nobody": {nobody, "Target.NotShared", "cloneFrom, the " + nobody.String() + " that " + g.who() + " is to take its key from, does not exist in the org " +
				g.server.URL + ": name another target that uses the key " + oldKid + ", or leave cloneFrom out for a key of its own: could not list the keys of " + nobody.String()},
			"itself": {rotation.Target{Kind: g.target.Kind, ID: g.target.ID}, "Target.Invalid", "cloneFrom is the target itself, " + g.target.String() + ": name the target that the key comes from"},
			"another kind": {rotation.Target{Kind: wrong, ID: g.source.ID}, "Target.Invalid", "cloneFrom.kind is \"" + string(wrong) + "\": use \"" + kind +
				"\", as for the target; a key can be cloned to a target of the same kind only"},
			"no id": {rotation.Target{Kind: g.target.Kind}, "Target.Invalid", "cloneFrom.id is \"\": use the id of the " + kind + " in Okta, such as 0oa1gjh63g214q0Hq0g4"},
		} {
			t.Run(what, func(t *testing.T) {
				_, err := g.inspectMember(&c.from)
				wantName(t, err, c.name)
				if err == nil || !strings.HasPrefix(err.Error(), c.says) {
					t.Errorf("the error says\n\t%v\nwant\n\t%s", err, c.says)
				}
			})
		}
	})
}

// The clone that a target has already is all that a rotation of it needs.
func TestInspectionNeedsNoSourceForWhatTheTargetHas(t *testing.T) {
	forBothGroups(t, func(t *testing.T, g group) {
		key := g.publishedAtSource()
		if _, err := g.clone(key); err != nil {
			t.Fatal(err)
		}
		gone := rotation.Target{Kind: g.target.Kind, ID: "0oaDeleted"}
		out, err := g.inspectMember(&gone)
		if err != nil || len(out.UnusedKeys) != 1 || out.UnusedKeys[0].Kid != key.Kid || out.SourceKeys == nil {
			t.Errorf("unused keys %s, %v; want the clone", asJSON(t, out.UnusedKeys), err)
		}
		g.org.SetActiveKid(g.kind(), g.target.ID, key.Kid)
		if out, err = g.inspectMember(&gone); err != nil || !out.Recent {
			t.Errorf("recent %v, %v; want the clone in use", out.Recent, err)
		}
		// What may pass by itself is not passed over.
		g.org.Fail(oktasim.Fault{Operation: g.operation("keys"), ID: g.source.ID, Kind: oktasim.FaultReadOnly})
		_, err = g.inspectMember(&g.source)
		wantName(t, err, "Okta.Unavailable")
	})
}

func (g group) newRun() *run {
	r := newRun(g.okta, g.target)
	r.source = &g.source
	return r
}

func TestClonedRotationChangesTheKeyAndNothingElse(t *testing.T) {
	forBothGroups(t, func(t *testing.T, g group) {
		key := g.publishedAtSource()
		source := g.org.Document(g.kind(), g.source.ID)
		before := g.document()
		r := g.newRun()
		if err := r.through(t.Context()); err != nil {
			t.Fatal(err)
		}
		g.wantRotated(before)
		if r.newKey.Kid != key.Kid {
			t.Errorf("switched to %s, want the source's %s", r.newKey.Kid, key.Kid)
		}
		wantCalls(t, g.org,
			g.operation("read"), g.operation("keys"), g.operation("list"), g.operation("keys"),
			g.operation("clone"),
			g.operation("read"), g.operation("replace"), g.operation("read"),
			g.operation("metadata"))
		if n := len(g.org.Calls()); n > callsOfARotation {
			t.Errorf("%d calls, more than %d", n, callsOfARotation)
		}
		if got := g.org.Document(g.kind(), g.source.ID); string(got) != string(source) {
			t.Errorf("the source's document is\n%s\nwant\n%s", got, source)
		}
	})
}

func TestClonedRotationThatDiesAtAnyCallIsFinishedByAnotherRotation(t *testing.T) {
	for _, kind := range kinds {
		for _, i := range interruptions {
			t.Run(fmt.Sprintf("%s/%s", kind, i.kind), func(t *testing.T) {
				t.Parallel()
				for n := 1; n <= callsOfARotation; n++ {
					g := newGroup(t, kind)
					g.publishedAtSource()
					before := g.document()
					first := g.newRun()
					first.okta = g.interrupted(n, i.kind)
					err := first.through(t.Context())
					// Whether a clone came to be is looked at in the same step.
					if cloning := g.org.Calls()[n-1].Operation == g.operation("clone"); !cloning || err != nil {
						wantNamed(t, err, g.lab, n, i.kind, i.name)
					}
					g.org.ClearFaults()
					if err := g.newRun().through(t.Context()); err != nil {
						t.Fatalf("call %d: the next rotation: %v", n, err)
					}
					g.wantRotated(before)
				}
			})
		}
	}
}

func TestTwoClonedRotationsOfOneTargetMakeOneSwitch(t *testing.T) {
	for _, kind := range kinds {
		for _, order := range interleavings(3) {
			t.Run(fmt.Sprintf("%s/%s", kind, order), func(t *testing.T) {
				t.Parallel()
				g := newGroup(t, kind)
				g.publishedAtSource()
				before := g.document()
				a, b := g.newRun(), g.newRun()
				if who, err := merge(t.Context(), order, a, b); err != nil {
					t.Fatalf("%c: %v", who, err)
				}
				g.wantRotated(before)
				if n := g.succeeded("replace"); n != 1 {
					t.Errorf("%d switches, want 1", n)
				}
			})
		}
	}
}
