package steps_test

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"keyturn/internal/oktasim"
	"keyturn/internal/rotation"
)

// forward is the input of the switch, from the document as it is now.
func (l *lab) forward(to rotation.Key) rotation.UpdateKeyCredentialInput {
	return rotation.UpdateKeyCredentialInput{Target: l.target, FromKid: oldKid, ToKid: to.Kid, Digest: l.digest()}
}

// back is the input of the way back.
func (l *lab) back(from rotation.Key) rotation.UpdateKeyCredentialInput {
	return rotation.UpdateKeyCredentialInput{Target: l.target, FromKid: from.Kid, ToKid: oldKid, Digest: l.digest(), Back: true}
}

// who is the target as errors name it.
func (l *lab) who() string {
	return fmt.Sprintf("%s %q (%s)", l.target.Kind, l.target.ID, l.target.Label)
}

// innocent is a field that a careless PUT might change: where it is, its value
// and another one.
func (l *lab) innocent() (path, value, other string) {
	if l.target.Kind == rotation.KindIDP {
		return "policy.maxClockSkew", "60000", "120000"
	}
	return "settings.app.useScim", "true", "false"
}

func wantOutput(t *testing.T, got rotation.UpdateKeyCredentialOutput, err error, kid string, already bool) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	if want := (rotation.UpdateKeyCredentialOutput{ActiveKid: kid, Already: already}); got != want {
		t.Errorf("output %+v, want %+v", got, want)
	}
}

func TestSwitchSendsAnAppNothingButNameLabelSignOnModeAndKid(t *testing.T) {
	l := newLab(t, rotation.KindApp)
	before, key := l.document(), l.published()
	out, err := l.update(l.forward(key))
	wantOutput(t, out, err, key.Kid, false)
	want := `{"name":"example_customsaml_1","label":"Zoll \u00e9t\u00e9 \/ Zürich – 会社 <&>","signOnMode":"SAML_2_0","credentials":{"signing":{"kid":"` + key.Kid + `"}}}`
	if puts := l.puts(); len(puts) != 1 || puts[0] != want {
		t.Errorf("PUT bodies:\n%s\nwant one:\n%s", strings.Join(puts, "\n"), want)
	}
	wantOnlyKid(t, before, l.document(), oldKid, key.Kid)
}

func TestSwitchSendsAnIDPItsDocumentWithTheKidsBytesReplaced(t *testing.T) {
	l := newLab(t, rotation.KindIDP)
	before, key := l.document(), l.published()
	out, err := l.update(l.forward(key))
	wantOutput(t, out, err, key.Kid, false)
	if n := bytes.Count(before, []byte(oldKid)); n != 1 {
		t.Fatalf("the document names the old kid %d times, the test wants it once", n)
	}
	want := strings.Replace(string(before), oldKid, key.Kid, 1)
	if puts := l.puts(); len(puts) != 1 || puts[0] != want {
		t.Errorf("PUT bodies:\n%s\nwant one:\n%s", strings.Join(puts, "\n"), want)
	}
	wantOnlyKid(t, before, l.document(), oldKid, key.Kid)
}

func TestSwitchReadsUpdatesAndReadsAgain(t *testing.T) {
	forBothKinds(t, func(t *testing.T, l *lab) {
		if _, err := l.update(l.forward(l.published())); err != nil {
			t.Fatal(err)
		}
		wantCalls(t, l.org, l.operation("read"), l.operation("replace"), l.operation("read"))
	})
}

func TestSwitchThatWasMadeBeforeIsNotMadeAgain(t *testing.T) {
	forBothKinds(t, func(t *testing.T, l *lab) {
		in := l.forward(l.published())
		if _, err := l.update(in); err != nil {
			t.Fatal(err)
		}
		l.org.ResetCalls()
		out, err := l.update(in)
		wantOutput(t, out, err, in.ToKid, true)
		wantCalls(t, l.org, l.operation("read"))
	})
}

func TestSwitchRefusesInputsThatNameNoSwitch(t *testing.T) {
	l := newLab(t, rotation.KindApp)
	good := rotation.UpdateKeyCredentialInput{Target: l.target, FromKid: "a", ToKid: "b", Digest: "d"}
	for what, c := range map[string]struct {
		spoil      func(*rotation.UpdateKeyCredentialInput)
		name, text string
	}{
		"no fromKid": {func(in *rotation.UpdateKeyCredentialInput) { in.FromKid = "" }, "Input.Invalid", `fromKid is "" and toKid is "b": both are needed, and they must differ`},
		"no toKid":   {func(in *rotation.UpdateKeyCredentialInput) { in.ToKid = "" }, "Input.Invalid", `fromKid is "a" and toKid is "": both are needed, and they must differ`},
		"the same":   {func(in *rotation.UpdateKeyCredentialInput) { in.ToKid = "a" }, "Input.Invalid", `fromKid is "a" and toKid is "a": both are needed, and they must differ`},
		"bad target": {func(in *rotation.UpdateKeyCredentialInput) { in.Target.ID = "../x" }, "Target.Invalid", `target.id is "../x": use the id of the app in Okta, such as 0oa1gjh63g214q0Hq0g4`},
	} {
		t.Run(what, func(t *testing.T) {
			in := good
			c.spoil(&in)
			_, err := l.update(in)
			wantError(t, err, c.name, c.text)
			wantCalls(t, l.org)
		})
	}
}

func TestTargetEditedSinceItsInspectionIsNotTouched(t *testing.T) {
	forBothKinds(t, func(t *testing.T, l *lab) {
		in := l.forward(l.published())
		path, _, other := l.innocent()
		l.org.Edit(l.kind(), l.target.ID, path, other)
		before := l.document()
		_, err := l.update(in)
		wantError(t, err, "Target.Edited", l.who()+" was edited since it was inspected: it has to be read again before the switch")
		if got := l.document(); !bytes.Equal(got, before) || len(l.puts()) != 0 {
			t.Errorf("the document became\n%s\nwant\n%s", got, before)
		}
	})
}

// due is the input of a switch that is due at the given time.
func (l *lab) due(to rotation.Key, at time.Time) rotation.UpdateKeyCredentialInput {
	in := l.forward(to)
	in.EnteredAt, in.LastUpdated = at, gjson.GetBytes(l.document(), "lastUpdated").String()
	return in
}

// Lambda may deliver the switch a second time when the rotation has gone back.
func TestSwitchThatComesAgainAfterTheWayBackIsNotMade(t *testing.T) {
	forBothKinds(t, func(t *testing.T, l *lab) {
		key := l.published()
		in := l.due(key, now.Add(-time.Minute))
		if _, err := l.update(in); err != nil {
			t.Fatal(err)
		}
		if _, err := l.update(l.back(key)); err != nil {
			t.Fatal(err)
		}
		l.org.ResetCalls()
		_, err := l.update(in)
		wantName(t, err, "Target.Edited")
		if got := l.activeKid(); got != oldKid || len(l.puts()) != 0 {
			t.Errorf("the active key is %s after %d updates, want the old one after none", got, len(l.puts()))
		}
		// Read again, the document is the one to switch from.
		out, err := l.update(l.due(key, now.Add(-time.Minute)))
		wantOutput(t, out, err, key.Kid, false)
	})
}

// Where publishing a key counts as an update of the target, it came before the
// switch was due.
func TestUpdateBeforeTheSwitchWasDueIsNoEdit(t *testing.T) {
	forBothKinds(t, func(t *testing.T, l *lab) {
		key := l.published()
		in := l.due(key, now.Add(time.Minute))
		path, value, _ := l.innocent()
		l.org.Edit(l.kind(), l.target.ID, path, value)
		if got := gjson.GetBytes(l.document(), "lastUpdated").String(); got == in.LastUpdated {
			t.Fatalf("lastUpdated is still %s", got)
		}
		out, err := l.update(in)
		wantOutput(t, out, err, key.Kid, false)
	})
}

func TestTargetThatSomebodyElseSwitchedIsNotTouched(t *testing.T) {
	forBothKinds(t, func(t *testing.T, l *lab) {
		in := l.forward(l.published())
		l.org.AddKey(l.kind(), l.target.ID, spare())
		l.org.SetActiveKid(l.kind(), l.target.ID, spare().Kid)
		before := l.document()
		_, err := l.update(in)
		wantError(t, err, "Target.Changed", l.who()+" has the active key spareKid: it should be "+oldKid+", so somebody else changed it meanwhile; nothing was changed now")
		in.FromKid, in.ToKid, in.Back = in.ToKid, in.FromKid, true
		_, err = l.update(in)
		wantName(t, err, "Target.Changed")
		if got := l.document(); !bytes.Equal(got, before) || len(l.puts()) != 0 {
			t.Errorf("the document became\n%s\nwant\n%s", got, before)
		}
	})
}

func TestDocumentThatCannotBeSwitchedIsNotTouched(t *testing.T) {
	l := newLab(t, rotation.KindApp)
	key := l.published()
	l.okta = l.rewriting("/"+l.target.ID, func(body string) string { return strings.Replace(body, `"label":`, `"Label":`, 1) })
	_, err := l.update(rotation.UpdateKeyCredentialInput{Target: l.target, FromKid: oldKid, ToKid: key.Kid, Back: true})
	wantError(t, err, "Okta.Invalid", "the document of "+l.who()+" cannot be used for the switch: the document has no label, which the update needs")
	if n := len(l.puts()); n != 0 {
		t.Errorf("%d PUT calls, want none", n)
	}
}

func TestDriftIsShownAndThePreviousDocumentPutBack(t *testing.T) {
	forBothKinds(t, func(t *testing.T, l *lab) {
		before := l.document()
		in := l.forward(l.published())
		path, value, other := l.innocent()
		l.org.DriftOnPut(l.kind(), l.target.ID, path, other)
		_, err := l.update(in)
		wantError(t, err, "Target.Drifted", "the update of "+l.who()+" changed more than the key: "+path+": "+value+" → "+other+"; the document from before has been put back")
		wantOnlyKid(t, before, l.document(), oldKid, oldKid)
		wantCalls(t, l.org, l.operation("read"), l.operation("replace"), l.operation("read"), l.operation("replace"), l.operation("read"))
	})
}

func TestDateThatOktaKeepsBesideTheKidIsNoDrift(t *testing.T) {
	l := emptyLab(t)
	l.target = l.addApp(oktasim.AppSpec{Label: "Customs", Created: day(-700), Key: expiring(),
		Raw: `{"credentials":{"signing":{"lastRotated":"2025-01-01T00:00:00.000Z","nextRotation":"2027-01-01T00:00:00.000Z"}}}`})
	key := l.published()
	in := l.forward(key)
	out, err := l.update(in)
	wantOutput(t, out, err, key.Kid, false)
	if !bytes.Contains(l.document(), []byte(`"lastRotated":"2026-03-02`)) {
		t.Errorf("the org did not note the switch, so this test shows nothing:\n%s", l.document())
	}
	// As after a crash: the digest from before still fits.
	out, err = l.update(in)
	wantOutput(t, out, err, key.Kid, true)
}

func TestDriftNamesEveryDifferenceUpToTen(t *testing.T) {
	l := newLab(t, rotation.KindApp)
	in := l.forward(l.published())
	for i := range 12 {
		l.org.DriftOnPut("app", l.target.ID, fmt.Sprintf("vendorExtension.new%02d", i), strconv.Itoa(i))
	}
	_, err := l.update(in)
	wantName(t, err, "Target.Drifted")
	for _, want := range []string{"vendorExtension.new00: (absent) → 0, vendorExtension.new01: (absent) → 1, ", "vendorExtension.new09: (absent) → 9, and 2 more; the document"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q: %v", want, err)
		}
	}
}

func TestDriftHidesSecretsWhereverTheyAre(t *testing.T) {
	for what, c := range map[string]struct{ path, raw, says string }{
		"changed":                  {"settings.app.apiToken", `"other-t0p-s3cret"`, "settings.app.apiToken: (hidden) → (hidden)"},
		"added":                    {"settings.app.webhookSecret", `"wh-t0p-s3cret"`, "settings.app.webhookSecret: (absent) → (hidden)"},
		"within an object wiped":   {"vendorExtension", `null`, `"apiToken":"(hidden)"`},
		"within an object added":   {"settings.extra", `{"list":[{"name":"a","privateKey":"t0p-s3cret"}]}`, `settings.extra: (absent) → {"list":[{"name":"a","privateKey":"(hidden)"}]}`},
		"an object with such name": {"settings.secrets", `{"first":"t0p-s3cret"}`, "settings.secrets: (absent) → (hidden)"},
	} {
		t.Run(what, func(t *testing.T) {
			l := newLab(t, rotation.KindApp)
			l.org.Edit("app", l.target.ID, "vendorExtension.apiToken", `"hunter2"`)
			in := l.forward(l.published())
			l.org.DriftOnPut("app", l.target.ID, c.path, c.raw)
			_, err := l.update(in)
			wantName(t, err, "Target.Drifted")
			if !strings.Contains(err.Error(), c.says) {
				t.Errorf("the error does not say %q: %v", c.says, err)
			}
			for _, secret := range []string{"t0p-s3cret", "hunter2"} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("the error holds the secret %s: %v", secret, err)
				}
			}
		})
	}
}

// features are read-only in Okta: provisioning that a PUT has lost does not
// come back by another one.
func TestDriftThatOktaDoesNotTakeBackIsNamed(t *testing.T) {
	l := newLab(t, rotation.KindApp)
	before := l.document()
	in := l.forward(l.published())
	l.org.DriftOnPut("app", l.target.ID, "features", `["PUSH_NEW_USERS"]`)
	_, err := l.update(in)
	wantError(t, err, "Target.Drifted", "the update of "+l.who()+` changed more than the key: features[1]: "GROUP_PUSH" → (absent); `+
		`the old key is active again, but Okta did not take back features[1]: "GROUP_PUSH" → (absent): correct it in the admin console`)
	if got := l.activeKid(); got != oldKid {
		t.Errorf("the active key is %s, want the old one", got)
	}
	wantOnlyKid(t, bytes.Replace(before, []byte(`,"GROUP_PUSH"`), nil, 1), l.document(), oldKid, oldKid)
}

func TestWhereOktaRefusesThePreviousDocumentTheOldKidIsPutBack(t *testing.T) {
	forBothKinds(t, func(t *testing.T, l *lab) {
		in := l.forward(l.published())
		path, value, other := l.innocent()
		l.org.DriftOnPut(l.kind(), l.target.ID, path, other)
		l.org.Fail(oktasim.Fault{Operation: l.operation("replace"), Nth: 2, Kind: oktasim.FaultInternal})
		_, err := l.update(in)
		// For an IdP there is only the whole document: the second attempt
		// brings back everything.
		outcome := "the document from before has been put back"
		if l.target.Kind == rotation.KindApp {
			outcome = "the old key is active again, but Okta did not take back " + path + ": " + value + " → " + other + ": correct it in the admin console"
		}
		wantError(t, err, "Target.Drifted", "the update of "+l.who()+" changed more than the key: "+path+": "+value+" → "+other+"; "+outcome)
		if got := l.activeKid(); got != oldKid {
			t.Errorf("the active key is %s, want the old one", got)
		}
	})
}

func TestDriftThatCannotBeUndoneSaysWhatToDoAtOnce(t *testing.T) {
	forBothKinds(t, func(t *testing.T, l *lab) {
		in := l.forward(l.published())
		path, value, other := l.innocent()
		l.org.DriftOnPut(l.kind(), l.target.ID, path, other)
		l.org.Fail(oktasim.Fault{Operation: l.operation("replace"), Nth: 2, Times: 9, Kind: oktasim.FaultReadOnly})
		_, err := l.update(in)
		wantName(t, err, "Target.Drifted")
		prefix := "the update of " + l.who() + " changed more than the key: " + path + ": " + value + " → " + other +
			"; the old key " + oldKid + " could NOT be put back (could not update " + l.target.String() + ": Service is in read only mode"
		if suffix := "): make it active in the admin console at once"; !strings.HasPrefix(err.Error(), prefix) || !strings.HasSuffix(err.Error(), suffix) {
			t.Errorf("the error says\n\t%v\nwant\n\t%s…%s", err, prefix, suffix)
		}
	})
}

func TestUndoThatOktaDoesNotShowSaysSo(t *testing.T) {
	forBothKinds(t, func(t *testing.T, l *lab) {
		in := l.forward(l.published())
		path, _, other := l.innocent()
		l.org.DriftOnPut(l.kind(), l.target.ID, path, other)
		l.org.Fail(oktasim.Fault{Operation: l.operation("read"), Nth: 3, Times: 9, Kind: oktasim.FaultReadOnly})
		_, err := l.update(in)
		wantName(t, err, "Target.Drifted")
		if want := "; Okta took the old key " + oldKid + " back, but did not show it (could not read " + l.target.String(); !strings.Contains(err.Error(), want) {
			t.Errorf("the error says\n\t%v\nwant in it\n\t%s", err, want)
		}
		if want := "): look at it in the admin console at once"; !strings.HasSuffix(err.Error(), want) {
			t.Errorf("the error says\n\t%v\nwant at its end\n\t%s", err, want)
		}
		l.org.ClearFaults()
		if got := l.activeKid(); got != oldKid {
			t.Errorf("the active key is %s, want the old one", got)
		}
	})
}

func TestUpdateThatOktaAcceptsAndIgnoresIsAnError(t *testing.T) {
	forBothKinds(t, func(t *testing.T, l *lab) {
		in := l.forward(l.published())
		path := "credentials.signing.kid"
		if l.target.Kind == rotation.KindIDP {
			path = "protocol." + path
		}
		l.org.DriftOnPut(l.kind(), l.target.ID, path, `"`+oldKid+`"`)
		_, err := l.update(in)
		at := gjson.GetBytes(l.document(), "lastUpdated").String()
		wantError(t, err, "Okta.Invalid", "Okta accepted the update of "+l.who()+", and says that it was updated at "+at+", but its active key is "+oldKid+" and not "+in.ToKid)
	})
}

// Okta may answer with what it had before the update: that passes.
func TestAnswerThatIsOlderThanTheUpdateIsAskedForAgain(t *testing.T) {
	for _, stale := range []int{3, 4} { // read, update, read, and read again
		forBothKinds(t, func(t *testing.T, l *lab) {
			key := l.published()
			in, before := l.due(key, now.Add(-time.Minute)), string(l.document())
			answers := 0
			l.okta = l.rewriting("/"+l.target.ID, func(body string) string {
				if answers++; answers <= stale {
					return before
				}
				return body
			})
			_, err := l.update(in)
			wantError(t, err, "Key.NotInUse", "Okta accepted the update of "+l.who()+", but its active key is "+oldKid+" and not "+key.Kid)
			out, err := l.update(in)
			wantOutput(t, out, err, key.Kid, stale == 3)
			wantOnlyKid(t, []byte(before), l.document(), oldKid, key.Kid)
		})
	}
}

// interruptedSwitch makes the switch and fails before the comparison.
func (l *lab) interruptedSwitch(in rotation.UpdateKeyCredentialInput) {
	l.t.Helper()
	l.org.Fail(oktasim.Fault{Operation: l.operation("read"), Nth: 2, Kind: oktasim.FaultCloseBefore})
	_, err := l.update(in)
	wantName(l.t, err, "Okta.Unavailable")
	if got := l.activeKid(); got != in.ToKid {
		l.t.Fatalf("the active key is %s, want %s before the interruption", got, in.ToKid)
	}
	l.org.ResetCalls()
}

func TestComparisonLostInACrashIsMadeUpForByTheDigest(t *testing.T) {
	forBothKinds(t, func(t *testing.T, l *lab) {
		before := l.document()
		in := l.forward(l.published())
		l.interruptedSwitch(in)
		out, err := l.update(in)
		wantOutput(t, out, err, in.ToKid, true)
		wantCalls(t, l.org, l.operation("read"))
		wantOnlyKid(t, before, l.document(), oldKid, in.ToKid)
	})
}

func TestDriftFoundOnlyAfterACrashBringsTheOldKidBack(t *testing.T) {
	forBothKinds(t, func(t *testing.T, l *lab) {
		in := l.forward(l.published())
		path, _, other := l.innocent()
		l.org.DriftOnPut(l.kind(), l.target.ID, path, other)
		l.interruptedSwitch(in)
		drifted := l.document()
		_, err := l.update(in)
		wantError(t, err, "Target.Drifted", l.who()+" is not as it was before the switch, and an interrupted attempt made the switch: the old key "+oldKid+" is active again; compare the rest in the admin console")
		wantOnlyKid(t, drifted, l.document(), in.ToKid, oldKid)
	})
}

func TestDriftFoundOnlyAfterACrashSaysWhenTheOldKidCannotBeBroughtBack(t *testing.T) {
	forBothKinds(t, func(t *testing.T, l *lab) {
		in := l.forward(l.published())
		path, _, other := l.innocent()
		l.org.DriftOnPut(l.kind(), l.target.ID, path, other)
		l.interruptedSwitch(in)
		l.fail("replace", oktasim.FaultForbidden)
		_, err := l.update(in)
		wantName(t, err, "Target.Drifted")
		prefix := l.who() + " is not as it was before the switch, and an interrupted attempt made the switch: the old key " + oldKid +
			" could NOT be put back, make it active in the admin console at once: could not update " + l.target.String() + ": You do not have permission to perform the requested action"
		if !strings.HasPrefix(err.Error(), prefix) {
			t.Errorf("the error says\n\t%v\nwant at its start\n\t%s", err, prefix)
		}
	})
}

// switchedLab is a target after its switch.
func switchedLab(t *testing.T, kind rotation.Kind) (*lab, rotation.Key) {
	t.Helper()
	l := newLab(t, kind)
	key := l.published()
	if _, err := l.update(l.forward(key)); err != nil {
		t.Fatal(err)
	}
	l.org.ResetCalls()
	return l, key
}

func TestWayBackBringsTheOldKidBack(t *testing.T) {
	for _, kind := range kinds {
		t.Run(string(kind), func(t *testing.T) {
			l, key := switchedLab(t, kind)
			before := l.document()
			out, err := l.update(l.back(key))
			wantOutput(t, out, err, oldKid, false)
			wantOnlyKid(t, before, l.document(), key.Kid, oldKid)
			l.org.ResetCalls()
			out, err = l.update(l.back(key))
			wantOutput(t, out, err, oldKid, true)
			wantCalls(t, l.org, l.operation("read"))
		})
	}
}

func TestWayBackKeepsWhatSomebodyEditedSince(t *testing.T) {
	for _, kind := range kinds {
		t.Run(string(kind), func(t *testing.T) {
			l, key := switchedLab(t, kind)
			in := l.back(key)
			path, _, other := l.innocent()
			l.org.Edit(l.kind(), l.target.ID, path, other)
			edited := l.document()
			out, err := l.update(in)
			wantOutput(t, out, err, oldKid, false)
			wantOnlyKid(t, edited, l.document(), key.Kid, oldKid)
			out, err = l.update(in)
			wantOutput(t, out, err, oldKid, true)
		})
	}
}

func TestWayBackThatDriftsKeepsTheOldKid(t *testing.T) {
	for _, kind := range kinds {
		t.Run(string(kind), func(t *testing.T) {
			l, key := switchedLab(t, kind)
			path, value, other := l.innocent()
			l.org.DriftOnPut(l.kind(), l.target.ID, path, other)
			_, err := l.update(l.back(key))
			wantError(t, err, "Target.Drifted", "the update of "+l.who()+" changed more than the key: "+path+": "+value+" → "+other+"; the old key is active; correct the rest in Okta's admin console")
			if got := l.activeKid(); got != oldKid {
				t.Errorf("the active key is %s, want the old one", got)
			}
			if n := len(l.puts()); n != 1 {
				t.Errorf("%d PUT calls, want 1: the way back is never undone", n)
			}
		})
	}
}

func TestWayBackThatDiesAtAnyCallIsFinishedByRunningItAgain(t *testing.T) {
	for _, kind := range kinds {
		for _, i := range essential {
			for n := 1; n <= 3; n++ {
				t.Run(fmt.Sprintf("%s/%s/call %d", kind, i.kind, n), func(t *testing.T) {
					t.Parallel()
					l, key := switchedLab(t, kind)
					before, in := l.document(), l.back(key)
					working := l.okta
					l.okta = l.interrupted(n, i.kind)
					_, err := l.update(in)
					wantNamed(t, err, l, n, i.kind, i.name)
					l.okta = working
					l.org.ClearFaults()
					out, err := l.update(in)
					if err != nil || out.ActiveKid != oldKid {
						t.Fatalf("again: active %q, %v", out.ActiveKid, err)
					}
					wantOnlyKid(t, before, l.document(), key.Kid, oldKid)
				})
			}
		}
	}
}

func TestWayBackOfASwitchThatNeverHappenedDoesNothing(t *testing.T) {
	forBothKinds(t, func(t *testing.T, l *lab) {
		key := l.published()
		out, err := l.update(l.back(key))
		wantOutput(t, out, err, oldKid, true)
		wantCalls(t, l.org, l.operation("read"))
	})
}

// Okta accepted the switch and has not shown it yet: what it shows on the way
// back may be as old.
func TestWayBackThatInsistsUpdatesWhereTheOldKidShows(t *testing.T) {
	forBothKinds(t, func(t *testing.T, l *lab) {
		before := l.document()
		in := l.back(l.published())
		in.Insist = true
		out, err := l.update(in)
		wantOutput(t, out, err, oldKid, false)
		if got := l.document(); len(l.puts()) != 1 || gjson.GetBytes(got, "label").String() != gjson.GetBytes(before, "label").String() || l.activeKid() != oldKid {
			t.Errorf("after %d updates the document is\n%s\nand was\n%s", len(l.puts()), got, before)
		}
	})
}

// The demo's org has what a company of some age has, down to a catalogue app
// that answers 500 to a body whose signOn lost fields.
func TestEveryTargetOfTheDemoOrgIsSwitchedByteForByte(t *testing.T) {
	l := emptyLab(t)
	d := l.org.SeedDemo()
	targets := []rotation.Target{l.named(rotation.KindIDP, d.IDP), l.named(rotation.KindIDP, d.HealthyIDP)}
	for _, id := range []string{d.BeforeSwitchApp, d.AfterSwitchApp, d.RejectApp, d.RejectAfterSwitchApp, d.LegacyAppA, d.LegacyAppB, d.StrictCatalogApp, d.HealthyApp} {
		targets = append(targets, l.named(rotation.KindApp, id))
	}
	for _, target := range targets {
		l.target = target
		before, from := l.document(), l.activeKid()
		key := l.published()
		in := l.forward(key)
		in.FromKid = from
		out, err := l.update(in)
		wantOutput(t, out, err, key.Kid, false)
		wantOnlyKid(t, before, l.document(), from, key.Kid)
	}
}
