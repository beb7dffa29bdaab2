package workflow

import (
	"fmt"
	"slices"
	"testing"

	"keyturn/internal/oktasim"
	"keyturn/internal/rotation"
)

// These faults may pass by themselves. Those in the second group hit after the
// call had its effect: only its answer is lost.
var (
	beforeEffect = []oktasim.FaultKind{
		oktasim.FaultRateLimited, oktasim.FaultConcurrency429, oktasim.FaultInternal, oktasim.FaultReadOnly,
		oktasim.FaultHTMLError, oktasim.FaultCloseBefore,
	}
	afterEffect = []oktasim.FaultKind{oktasim.FaultInternalAfter, oktasim.FaultCloseAfter, oktasim.FaultBrokenBody}
)

// operations are those of a rotation, by the kind of its target. The document
// is read three times: at the inspection, and before and after the switch.
var operations = map[rotation.Kind]struct {
	document, keys, csrs, metadata string
	generate, publish, replace     string
	revoke                         string
}{
	rotation.KindApp: {"getApplication", "listApplicationKeys", "listCsrsForApplication", "previewSAMLmetadataForApplication",
		"generateCsrForApplication", "publishCsrFromApplication", "replaceApplication", "revokeCsrFromApplication"},
	rotation.KindIDP: {"getIdentityProvider", "listIdentityProviderSigningKeys", "listCsrsForIdentityProvider", "getIdentityProviderMetadata",
		"generateCsrForIdentityProvider", "publishCsrForIdentityProvider", "replaceIdentityProvider", "revokeCsrForIdentityProvider"},
}

// survives rotates a target whose calls fail as told, and checks that nothing
// was done twice.
func survives(t *testing.T, s *scene, with policy, faults ...oktasim.Fault) {
	t.Helper()
	for _, f := range faults {
		f.ID = s.target.ID
		s.p.Org.Fail(f)
	}
	r := s.rotate(with)
	r.answer("confirm", "")
	report := r.end()
	ended(t, "Completed", report)
	hit := 0
	for _, c := range s.asked() {
		if c.Fault != "" {
			hit++
		}
	}
	if hit < len(faults) {
		t.Errorf("only %d of %d faults hit: the test does not test what it says", hit, len(faults))
	}
	s.oneNewKey(report)
	s.switched(report.NewKid)
	s.inMetadata(report.NewKid)
	effects := map[string]int{}
	for _, c := range s.asked() {
		// Whether a call that failed had its effect only the fault tells.
		if (c.Status >= 200 && c.Status < 300 && c.Fault == "") || isAfter(c.Fault) {
			effects[c.Operation]++
		}
	}
	o := operations[s.target.Kind]
	for _, operation := range []string{o.generate, o.publish, o.replace} {
		if effects[operation] != 1 {
			t.Errorf("%s had its effect %d times, not once", operation, effects[operation])
		}
	}
}

func isAfter(fault string) bool {
	return slices.Contains(afterEffect, oktasim.FaultKind(fault))
}

func TestAFaultOfOktaThatPassesStopsNoRotation(t *testing.T) {
	parallel(t)
	for _, kind := range bothKinds {
		o := operations[kind]
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			// What changes something is tried by itself: every fault of every
			// call is a place where a careless retry would do it twice.
			for _, operation := range []string{o.generate, o.publish, o.replace} {
				for _, fault := range slices.Concat(beforeEffect, afterEffect) {
					t.Run(fmt.Sprint(operation, " ", fault), func(t *testing.T) {
						t.Parallel()
						survives(t, either(t, kind), nil, oktasim.Fault{Operation: operation, Kind: fault})
					})
				}
			}
			// Reading changes nothing, so everything that is read may fail in
			// one rotation. A step that fails reads the document again.
			for _, fault := range append(slices.Clone(beforeEffect), oktasim.FaultBrokenBody) {
				t.Run(fmt.Sprint("everything that is read ", fault), func(t *testing.T) {
					t.Parallel()
					faults := []oktasim.Fault{{Operation: o.document, Nth: 1}, {Operation: o.csrs}, {Operation: o.metadata}}
					atSwitch := 3
					// Go's client itself repeats a GET when a kept connection
					// closes: then there is no second read of the document.
					if fault != oktasim.FaultCloseBefore {
						faults = append(faults, oktasim.Fault{Operation: o.keys})
						atSwitch = 4
					}
					faults = append(faults, oktasim.Fault{Operation: o.document, Nth: atSwitch}, oktasim.Fault{Operation: o.document, Nth: atSwitch + 2})
					for i := range faults {
						faults[i].Kind = fault
					}
					survives(t, either(t, kind), nil, faults...)
				})
			}
			t.Run("everything that changes something loses its answer, in the guide's order", func(t *testing.T) {
				t.Parallel()
				survives(t, either(t, kind), policy{"uploadOrder": "after-switch"},
					oktasim.Fault{Operation: o.generate, Kind: oktasim.FaultCloseAfter},
					oktasim.Fault{Operation: o.publish, Kind: oktasim.FaultCloseAfter},
					oktasim.Fault{Operation: o.replace, Kind: oktasim.FaultCloseAfter})
			})
			t.Run("the rate limit lasts five minutes", func(t *testing.T) {
				t.Parallel()
				survives(t, either(t, kind), nil,
					oktasim.Fault{Operation: o.keys, Kind: oktasim.FaultRateLimited, Times: 5})
			})
		})
	}
}

func TestAFaultThatStaysEndsTheRotation(t *testing.T) {
	parallel(t)
	for _, kind := range bothKinds {
		o := operations[kind]
		t.Run("while nothing is published the CSR is taken back, "+string(kind), func(t *testing.T) {
			t.Parallel()
			s := either(t, kind)
			s.p.Org.Fail(oktasim.Fault{ID: s.target.ID, Operation: o.publish, Kind: oktasim.FaultReadOnly, Times: 100})
			report := s.rotate(nil).end()
			ended(t, "Failed", report)
			failedWith(t, report.Error, "PublishCsr", "Okta.Unavailable", "HTTP 503", "E0000010")
			s.unchanged()
			s.noNewKey()
			same(t, "CSRs taken back", 1, len(report.Revoked))
		})
		t.Run("a CSR whose id is not known is found and taken back, "+string(kind), func(t *testing.T) {
			t.Parallel()
			s := either(t, kind)
			// The CSR exists, and neither its id nor the list comes through
			// until the rotation has given up.
			s.p.Org.Fail(oktasim.Fault{ID: s.target.ID, Operation: o.generate, Kind: oktasim.FaultInternalAfter})
			s.p.Org.Fail(oktasim.Fault{ID: s.target.ID, Operation: o.csrs, Nth: 2, Times: 6, Kind: oktasim.FaultInternal})
			report := s.rotate(nil).end()
			ended(t, "Failed", report)
			failedWith(t, report.Error, "GenerateCsr", "Okta.Unavailable", "HTTP 500")
			s.unchanged()
			s.noNewKey()
			same(t, "CSRs that were generated", 1, len(report.Revoked))
		})
		t.Run("a publication whose every answer is lost is found by the next rotation, "+string(kind), func(t *testing.T) {
			t.Parallel()
			s := either(t, kind)
			s.p.Org.Fail(oktasim.Fault{ID: s.target.ID, Operation: o.publish, Kind: oktasim.FaultInternalAfter, Times: 100})
			report := s.rotate(nil).end()
			ended(t, "Failed", report)
			s.unchanged()
			published := s.kids()
			if len(published) != len(s.keys)+1 {
				t.Fatalf("the org has the keys %v", published)
			}
			same(t, "the report's new key", published[len(published)-1], report.NewKid)
			leftBehind(t, report)
			again := s.of(t)
			r := again.rotate(nil)
			r.answer("confirm", "")
			next := r.end()
			ended(t, "Completed", next)
			states(t, pathResumed, next)
			again.noNewKey()
			again.switched(published[len(published)-1])
		})
		t.Run("at the switch the old key stays, "+string(kind), func(t *testing.T) {
			t.Parallel()
			s := either(t, kind)
			s.p.Org.Fail(oktasim.Fault{ID: s.target.ID, Operation: o.replace, Kind: oktasim.FaultInternal, Times: 21})
			r := s.rotate(nil)
			r.answer("confirm", "")
			report := r.end()
			ended(t, "RolledBack", report)
			failedWith(t, report.Error, "UpdateKeyCredential", "Okta.Unavailable", "HTTP 500")
			s.unchanged()
			leftBehind(t, report)
		})
		t.Run("at the verification the old key comes back, "+string(kind), func(t *testing.T) {
			t.Parallel()
			s := either(t, kind)
			s.p.Org.Fail(oktasim.Fault{ID: s.target.ID, Operation: o.metadata, Kind: oktasim.FaultInternal, Times: 21})
			r := s.rotate(nil)
			r.answer("confirm", "")
			report := r.end()
			ended(t, "RolledBack", report)
			failedWith(t, report.Error, "VerifyKey", "Okta.Unavailable", "HTTP 500")
			s.switched(s.oldKid)
			s.inMetadata(s.oldKid)
			leftBehind(t, report)
		})
		t.Run("a way back that Okta refuses for hours is still gone, "+string(kind), func(t *testing.T) {
			t.Parallel()
			s := either(t, kind)
			s.p.Org.Fail(oktasim.Fault{ID: s.target.ID, Operation: o.replace, Nth: 2, Times: 15, Kind: oktasim.FaultReadOnly})
			s.p.Org.Fail(oktasim.Fault{ID: s.target.ID, Operation: o.replace, Nth: 17, Times: 10, Kind: oktasim.FaultForbidden})
			r := s.rotate(policy{"uploadOrder": "after-switch"})
			r.answer("reject", "not possible")
			report := r.end()
			ended(t, "RolledBack", report)
			s.switched(s.oldKid)
			s.inMetadata(s.oldKid)
		})
		t.Run("on the way back too: the report says both, and who must act, "+string(kind), func(t *testing.T) {
			t.Parallel()
			s := either(t, kind)
			s.p.Org.Fail(oktasim.Fault{ID: s.target.ID, Operation: o.metadata, Kind: oktasim.FaultInternal, Times: 21})
			s.p.Org.Fail(oktasim.Fault{ID: s.target.ID, Operation: o.replace, Nth: 2, Times: 100, Kind: oktasim.FaultReadOnly})
			r := s.rotate(nil)
			r.answer("confirm", "")
			report := r.end()
			ended(t, "Failed", report)
			failedWith(t, report.Error, "VerifyKey", "Okta.Unavailable")
			failedWith(t, report.Rollback, "RestoreKeyCredential", "Okta.Unavailable", "HTTP 503")
			s.switched(report.NewKid)
		})
	}
}

func TestMetadataThatLagsBehindIsReadAgain(t *testing.T) {
	parallel(t)
	t.Run("until it has the new certificate", func(t *testing.T) {
		t.Parallel()
		s := idp(t)
		s.p.Org.MetadataLag(s.kind(), s.target.ID, 3)
		r := s.rotate(nil)
		r.answer("confirm", "")
		report := r.end()
		ended(t, "Completed", report)
		states(t, pathBeforeSwitch, report)
		s.switched(report.NewKid)
	})
	t.Run("and if it never has, the old key comes back", func(t *testing.T) {
		t.Parallel()
		s := idp(t)
		s.p.Org.MetadataLag(s.kind(), s.target.ID, 5)
		r := s.rotate(nil)
		r.answer("confirm", "")
		report := r.end()
		ended(t, "RolledBack", report)
		failedWith(t, report.Error, "VerifyKey", "Key.NotInUse", report.NewKid)
		s.switched(s.oldKid)
		s.inMetadata(s.oldKid)
	})
}
