package definition

import (
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"keyturn/internal/rotation"
)

const day = rotation.Day

// known are rotations of every sort, in which no call fails.
func known() map[string]scenario {
	p := plain()
	after := p.with(func(s *scenario) { s.Order = rotation.AfterSwitch })
	signIn := p.with(func(s *scenario) {
		s.ConfirmSignIn, s.SignIn = true, []reaction{{After: time.Hour, Does: confirms}}
	})
	rollBack := func(s *scenario) { s.Silence = rotation.RollBackOnSilence }
	silent := func(s *scenario) { s.Upload = nil }
	rejected := func(s *scenario) { s.Upload = []reaction{{After: time.Hour, Does: rejects}} }
	byHand := func(s *scenario) { s.Upload = []reaction{{After: time.Hour, Does: failsTask}} }
	noSignIn := func(s *scenario) { s.SignIn = nil }
	planned := p.with(func(s *scenario) { s.Upload = []reaction{{After: 2 * day, Does: plans, Plan: 9 * day}} })
	manual := p.with(func(s *scenario) {
		s.CA, s.Certificate = rotation.AuthorityManual, []reaction{{After: 4 * day, Does: handsIn}, {After: time.Hour, Does: handsIn}}
	})
	switched := p.with(func(s *scenario) { s.Switched, s.OldDays = true, 390 })
	clone := p.with(func(s *scenario) { s.Clone = true })
	return map[string]scenario{
		"before the switch":                 p,
		"before the switch, an IdP":         p.with(func(s *scenario) { s.Kind = rotation.KindIDP }),
		"before the switch, a reminder":     p.with(func(s *scenario) { s.Upload = []reaction{{After: 100 * day}, {After: time.Hour, Does: confirms}} }),
		"before the switch, silence":        p.with(silent),
		"before the switch, rejected":       p.with(rejected),
		"before the switch, failed by hand": p.with(byHand),
		"after the switch":                  after,
		"after the switch, silence":         after.with(silent),
		"after the switch, rejected":        after.with(rejected),
		"after the switch, failed by hand":  after.with(byHand),
		"sign-in works":                     signIn,
		"sign-in works, after the switch":   signIn.with(func(s *scenario) { s.Order = rotation.AfterSwitch }),
		"sign-in does not work":             signIn.with(func(s *scenario) { s.SignIn = []reaction{{After: time.Hour, Does: rejects}} }),
		"sign-in, silence":                  signIn.with(noSignIn),
		"sign-in, silence that rolls back":  signIn.with(noSignIn).with(rollBack),
		"sign-in, failed by hand":           signIn.with(func(s *scenario) { s.SignIn = []reaction{{After: time.Hour, Does: failsTask}} }),
		"a plan":                            planned,
		"a plan that nobody can call off":   planned.with(func(s *scenario) { s.Planned = []reaction{{After: time.Hour, Does: failsTask}} }),
		"a plan that is called off": planned.with(func(s *scenario) {
			s.Planned, s.Upload = []reaction{{After: 4 * day, Does: callsOff}}, append(s.Upload, reaction{After: time.Hour, Does: confirms})
		}),
		"a plan that is called off, and silence": planned.with(func(s *scenario) { s.Planned = []reaction{{After: 4 * day, Does: callsOff}} }),
		"AWS Private CA":                         p.with(func(s *scenario) { s.CA, s.NotYet = rotation.AuthorityACMPCA, 2 }),
		"AWS Private CA that never signs":        p.with(func(s *scenario) { s.CA, s.NotYet = rotation.AuthorityACMPCA, 100 }),
		"a person signs":                         manual,
		"a person signs, and then silence":       manual.with(silent),
		"a person signs at once":                 manual.with(func(s *scenario) { s.Certificate = s.Certificate[1:] }),
		"a person declines":                      manual.with(func(s *scenario) { s.Certificate = []reaction{{After: time.Hour, Does: rejects}} }),
		"nobody signs":                           manual.with(func(s *scenario) { s.Certificate = nil }),
		"signing is failed by hand":              manual.with(func(s *scenario) { s.Certificate = []reaction{{After: time.Hour, Does: failsTask}} }),
		"a CSR is left":                          p.with(func(s *scenario) { s.LeftCSR = true }),
		"a key of ours is left":                  p.with(func(s *scenario) { s.Unused = []bool{false, true} }),
		"a key of ours is left, after":           after.with(func(s *scenario) { s.Unused = []bool{true} }),
		"a key of somebody else is there":        p.with(func(s *scenario) { s.Unused = []bool{false} }),
		"switched before":                        switched,
		"switched before, no other key":          switched.with(func(s *scenario) { s.Previous, s.Order = false, rotation.AfterSwitch }),
		"switched before, after":                 switched.with(func(s *scenario) { s.Order = rotation.AfterSwitch }),
		"switched before, after, silence":        switched.with(func(s *scenario) { s.Order, s.Upload = rotation.AfterSwitch, nil }),
		"switched before, after, rejected":       switched.with(func(s *scenario) { s.Order = rotation.AfterSwitch }).with(rejected),
		"switched before, after, by hand":        switched.with(func(s *scenario) { s.Order = rotation.AfterSwitch }).with(byHand),
		"switched before, sign-in works":         switched.with(func(s *scenario) { s.ConfirmSignIn, s.SignIn = true, signIn.SignIn }),
		"switched before, sign-in, silence":      switched.with(func(s *scenario) { s.ConfirmSignIn = true }).with(rollBack),
		"switched before by somebody else":       p.with(func(s *scenario) { s.OldDays = 390 }),
		"cloned":                                 clone,
		"cloned after a wait":                    clone.with(func(s *scenario) { s.SourceAfter = 7 * time.Hour }),
		"cloned, and other keys are there":       clone.with(func(s *scenario) { s.SourceAfter, s.Unused = time.Hour, []bool{false} }),
		"no key to clone":                        clone.with(func(s *scenario) { s.SourceAfter = 100 * day }),
		"no key to clone among others":           clone.with(func(s *scenario) { s.SourceAfter, s.Unused = 100*day, []bool{false} }),
		"edited twice":                           p.with(func(s *scenario) { s.Edits = 2 }),
		"edited too often":                       p.with(func(s *scenario) { s.Edits = 9 }),
		"switched by somebody else meanwhile":    p.with(func(s *scenario) { s.OtherSwitch = 1 }),
		"switched by somebody else in the wait":  after.with(func(s *scenario) { s.OtherSwitch = inTheWait }),
		"switched by somebody, sign-in works":    signIn.with(func(s *scenario) { s.OtherSwitch = inTheWait }),
		"switched by somebody, sign-in, silence": signIn.with(func(s *scenario) { s.OtherSwitch, s.SignIn = inTheWait, nil }),
		"switched by somebody else afterwards":   after.with(rejected).with(func(s *scenario) { s.OtherSwitch = 2 }),
	}
}

// every are errors of every class that retriers and catchers tell apart, and a
// call that does not return. Those with a state are told apart there only.
var every = []fault{
	{Name: "Okta.RateLimited"}, {Name: "Okta.Unavailable"}, {Name: "Okta.Unauthorized"}, {Name: "Lambda.Unknown", Plain: true}, {},
	{Name: "Key.NotInUse", State: "UpdateKeyCredential RestoreKeyCredential VerifyKey VerifyOldKey"},
	{Name: "Target.Edited", State: "UpdateKeyCredential"},
	{Name: "Target.Changed", State: "UpdateKeyCredential RestoreKeyCredential ReadActiveKey"},
	{Name: "Target.Drifted", State: "UpdateKeyCredential RestoreKeyCredential"},
	{Name: "Okta.NotFound", State: "RestoreKeyCredential VerifyOldKey ReadActiveKey"},
	{Name: "Certificate.Mismatch", State: "SignCsr CollectCertificate PublishCsr CloneCertificate"},
}

type named struct {
	name string
	scenario
}

// broken are a rotation's variants in which one of its tasks fails: for good,
// or once, after it has done its work.
func broken(name string, s scenario, state string) []named {
	var all []named
	for _, f := range every {
		if !strings.Contains(f.State, state) && f.State != "" {
			continue
		}
		f.State, f.Times = state, 1000
		all = append(all, named{fmt.Sprintf("%s: %s %q for good", name, state, f.Name), s.with(func(s *scenario) { s.Faults = []fault{f} })})
		if f.lost() {
			f.Times, f.Effect = 1, true
			all = append(all, named{fmt.Sprintf("%s: %s %q once, with effect", name, state, f.Name), s.with(func(s *scenario) { s.Faults = []fault{f} })})
		}
	}
	return all
}

// lost tells that such a fault may mean that the answer of a call was lost.
func (f fault) lost() bool {
	return f.Name == "" || f.Name == "Okta.Unavailable" || strings.HasPrefix(f.Name, "Lambda.")
}

// tasks are the states of an outcome's calls, each once.
func (o *outcome) tasks() []string {
	var all []string
	for _, a := range o.acts {
		if !slices.Contains(all, a.state) {
			all = append(all, a.state)
		}
	}
	return all
}

// before says by which way an outcome came to a state, and under which policy:
// what fails there fails alike in all rotations of which it says the same.
func (o *outcome) before(state string) string {
	var way []string
	for _, v := range o.visits {
		way = append(way, v.state, v.failed)
		if v.state == state {
			break
		}
	}
	return fmt.Sprint(o.s.settings(), way)
}

// verify executes a scenario and holds the outcome against the model.
func (l *lab) verify(t *testing.T, s scenario) (*outcome, error) {
	t.Helper()
	o := s.run(t, l.rotation, l.coverage, l.samples)
	if wrong := o.check(l.rotationDrawn); len(wrong) > 0 {
		return o, fmt.Errorf("%s\n  %s\n%s", s, strings.Join(wrong, "\n  "), o)
	}
	return o, nil
}

// one fault at a time, everywhere.
func (l *lab) everyFault(t *testing.T) {
	var cases []named
	all, been := known(), map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		o, err := l.verify(t, all[name])
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, state := range o.tasks() {
			if key := o.before(state); !been[key] {
				been[key] = true
				cases = append(cases, broken(name, all[name], state)...)
			}
		}
	}
	t.Logf("%d rotations, and %d in which a task fails", len(all), len(cases))
	inShards(t, len(cases), func(t *testing.T, i int) {
		if _, err := l.verify(t, cases[i].scenario); err != nil {
			t.Errorf("%s: %v", cases[i].name, err)
		}
	})
}

// inShards does something many times, on all processors.
func inShards(t *testing.T, count int, do func(t *testing.T, i int)) {
	shards := runtime.GOMAXPROCS(0)
	for shard := range shards {
		t.Run(fmt.Sprintf("shard %d", shard), func(t *testing.T) {
			t.Parallel()
			for i := shard; i < count; i += shards {
				do(t, i)
			}
		})
	}
}

// errorNames are those of the functions and of Lambda.
var errorNames = []string{
	"Okta.RateLimited", "Okta.Unavailable", "Okta.Unauthorized", "Okta.Forbidden", "Okta.NotFound", "Okta.Invalid",
	"Target.Invalid", "Target.Inactive", "Target.NotSAML", "Target.NoActiveKey", "Target.NotShared", "Target.Edited", "Target.Changed", "Target.Drifted",
	"Policy.Invalid", "Input.Invalid", "Config.Invalid", "Secret.Unavailable", "Secret.Denied", "Credential.Missing",
	"CSR.Gone", "CSR.Invalid", "CA.Unavailable", "CA.Refused", "CA.Pending", "CA.Misconfigured",
	"Certificate.Mismatch", "Certificate.TooShort", "Certificate.WeakKey", "Key.NotInUse", "Notify.Unavailable", "Notify.Refused", "Keyturn.Bug",
	"Lambda.ServiceException", "Lambda.TooManyRequestsException", "Lambda.Unknown", "Sandbox.Timedout", "Runtime.ExitError", "States.TaskFailed",
}

// scenarios makes up rotations.
func scenarios(states []string) *rapid.Generator[scenario] {
	within := func(t *rapid.T, most time.Duration, name string) time.Duration {
		return rapid.SampledFrom([]time.Duration{time.Second, time.Minute, time.Hour, day, 10 * day, 40 * day}).Draw(t, name+" unit") *
			time.Duration(rapid.IntRange(0, 9).Draw(t, name)) % most
	}
	reactions := func(t *rapid.T, name string, does ...string) []reaction {
		return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) reaction {
			return reaction{After: within(t, 60*day, "after"), Does: rapid.SampledFrom(does).Draw(t, "does"), Plan: within(t, 60*day, "plan")}
		}), 0, 4).Draw(t, name)
	}
	faults := rapid.Custom(func(t *rapid.T) fault {
		f := fault{State: rapid.SampledFrom(states).Draw(t, "state"), First: rapid.IntRange(0, 3).Draw(t, "first"),
			Times: rapid.SampledFrom([]int{1, 2, 3, 7, 1000}).Draw(t, "times")}
		if rapid.IntRange(0, 9).Draw(t, "hangs") > 0 {
			f.Name = rapid.SampledFrom(errorNames).Draw(t, "name")
		}
		f.Plain = strings.HasPrefix(f.Name, "Lambda.") && rapid.Bool().Draw(t, "plain")
		f.Effect = f.lost() && rapid.Bool().Draw(t, "effect")
		return f
	})
	return rapid.Custom(func(t *rapid.T) scenario {
		s := scenario{
			Kind:          rapid.SampledFrom([]rotation.Kind{rotation.KindApp, rotation.KindIDP}).Draw(t, "kind"),
			Order:         rapid.SampledFrom([]rotation.UploadOrder{rotation.BeforeSwitch, rotation.AfterSwitch}).Draw(t, "order"),
			ConfirmSignIn: rapid.Bool().Draw(t, "confirmSignIn"),
			Silence:       rapid.SampledFrom([]rotation.SignInSilence{rotation.KeepOnSilence, rotation.RollBackOnSilence}).Draw(t, "silence"),
			CA: rapid.SampledFrom([]rotation.CertificateAuthority{rotation.AuthorityLocal, rotation.AuthorityACMPCA,
				rotation.AuthorityManual}).Draw(t, "authority"),
			ReminderHours: rapid.IntRange(6, 200).Draw(t, "reminderHours"),
			GiveUpDays:    rapid.IntRange(1, 40).Draw(t, "giveUpDays"),
			SignInHours:   rapid.IntRange(1, 72).Draw(t, "signInHours"),
			Switched:      rapid.IntRange(0, 4).Draw(t, "switched") == 0,
			Previous:      rapid.IntRange(0, 4).Draw(t, "previous") > 0,
			LeftCSR:       rapid.Bool().Draw(t, "csr"),
			Clone:         rapid.IntRange(0, 3).Draw(t, "clone") == 0,
			SourceAfter:   within(t, 3*day, "source"),
			NotYet:        rapid.SampledFrom([]int{0, 0, 1, 5, 30}).Draw(t, "notYet"),
			Unused:        rapid.SliceOfN(rapid.Bool(), 0, 2).Draw(t, "unused"),
			Certificate:   reactions(t, "certificate", handsIn, handsIn, rejects, failsTask),
			Upload:        reactions(t, "upload", confirms, confirms, plans, plans, rejects, failsTask),
			Planned:       reactions(t, "planned", callsOff, callsOff, failsTask),
			SignIn:        reactions(t, "signIn", confirms, confirms, rejects, failsTask),
			Faults:        rapid.SliceOfN(faults, 0, 4).Draw(t, "faults"),
			Edits:         rapid.SampledFrom([]int{0, 0, 0, 1, 4, 5}).Draw(t, "edits"),
			OtherSwitch:   rapid.SampledFrom([]int{0, 0, 0, 0, 1, 2, inTheWait}).Draw(t, "other"),
			Seed:          rapid.Uint64().Draw(t, "seed"),
		}
		s.OldDays = rapid.IntRange(1, 60).Draw(t, "oldDays")
		if s.Switched {
			s.OldDays += 60
		}
		return s
	})
}

// any rotation, with any faults.
func (l *lab) atRandom(t *testing.T) {
	all := scenarios(l.tasks())
	rapid.Check(t, func(rt *rapid.T) {
		if _, err := l.verify(t, all.Draw(rt, "scenario")); err != nil {
			rt.Fatal(err)
		}
	})
}

// tasks are the states of the rotation in which a task is called.
func (l *lab) tasks() []string {
	o := []string{}
	for _, s := range l.rotation.States() {
		if s.Type == "Task" {
			o = append(o, s.Name)
		}
	}
	return o
}
