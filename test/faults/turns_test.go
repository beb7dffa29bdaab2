package faults

import (
	"slices"
	"testing"
	"time"

	"keyturn/internal/rotation"
	"keyturn/test/simulated"
)

// turn is what happens to a rotation besides, as people have it who use all of
// Keyturn; it has calls that no other rotation makes.
type turn string

const (
	edited    turn = "edited before the switch"
	cloned    turn = "cloned"
	awaited   turn = "cloned when the key is there"
	imported  turn = "with metadata"
	asked     turn = "sign-in works"
	complains turn = "sign-in fails"
	silent    turn = "nobody says whether sign-in works"
	plans     turn = "planned"
	callsOff  turn = "planned and called off"
)

// course is how a rotation goes that takes a turn.
type course struct {
	policy map[string]any
	// answer is what the person decides, where it is not the scenario's.
	answer string
	// result is how it ends, where it does not end by its answer.
	result string
	// shared gives the key to another target too.
	shared bool
	// begins is what is done before the rotation begins.
	begins func(g *stage, policy map[string]any)
	// calls are some that it must make, by state and function.
	calls []simulated.Call
}

var turns = map[turn]course{
	edited: {
		begins: func(g *stage, _ map[string]any) {
			g.AtState("UpdateKeyCredential", func() {
				g.edit("label", "name", `"Renamed meanwhile"`)
				g.Before = g.Document()
			})
		},
		calls: []simulated.Call{{State: "ReadAgain", Function: "inspect-target"}},
	},
	cloned: {
		policy: map[string]any{"sharedKey": "clone"}, shared: true,
		begins: func(g *stage, policy map[string]any) {
			g.Publish(g.t, policy)
			time.Sleep(2 * time.Hour)
		},
		calls: []simulated.Call{{State: "CloneCertificate", Function: "clone-certificate"}},
	},
	awaited: {
		policy: map[string]any{"sharedKey": "clone"}, shared: true,
		begins: func(g *stage, policy map[string]any) {
			time.AfterFunc(30*time.Second, func() { g.Publish(g.t, policy) })
		},
		calls: []simulated.Call{{State: "InspectAgain", Function: "inspect-target"}, {State: "CloneCertificate", Function: "clone-certificate"}},
	},
	imported: {
		calls: []simulated.Call{{State: "page", Function: "read-metadata"}},
	},
	asked: {
		policy: map[string]any{"confirmSignIn": true},
		calls:  []simulated.Call{{State: "ConfirmSignIn", Function: "request-upload"}},
	},
	complains: {
		policy: map[string]any{"confirmSignIn": true}, answer: simulated.RollBack, result: "RolledBack",
		calls: []simulated.Call{{State: "ConfirmSignIn", Function: "request-upload"}, {State: "RestoreKeyCredential", Function: "update-key-credential"}},
	},
	silent: {
		policy: map[string]any{"confirmSignIn": true, "signInSilence": rotation.RollBackOnSilence}, answer: simulated.Leave, result: "RolledBack",
		calls: []simulated.Call{{State: "ConfirmSignIn", Function: "request-upload"}, {State: "RestoreKeyCredential", Function: "update-key-credential"}},
	},
	plans: {
		answer: simulated.Plan,
		calls:  []simulated.Call{{State: "AwaitSwitchTime", Function: "request-upload"}},
	},
	callsOff: {
		answer: simulated.CallOff,
		calls:  []simulated.Call{{State: "AwaitSwitchTime", Function: "request-upload"}},
	},
}

// turned are the scenarios in which something happens besides.
func turned() (all []scenario) {
	add := func(t turn, order rotation.UploadOrder, answer string, of ...rotation.Kind) {
		for _, kind := range of {
			all = append(all, scenario{kind: kind, order: order, answer: answer, ca: rotation.AuthorityLocal, turn: t})
		}
	}
	before, after := rotation.BeforeSwitch, rotation.AfterSwitch
	add(edited, before, simulated.Confirm, kinds...)
	add(edited, after, simulated.Reject, kinds...)
	add(cloned, before, simulated.Confirm, kinds...)
	add(cloned, after, simulated.Reject, kinds...)
	add(awaited, before, simulated.Confirm, kinds...)
	add(imported, before, simulated.Confirm, rotation.KindApp) // of an IdP there is none yet
	add(imported, after, simulated.Confirm, kinds...)
	add(asked, before, simulated.Confirm, kinds...)
	add(asked, after, simulated.Confirm, rotation.KindApp)
	add(complains, before, simulated.Confirm, kinds...)
	add(silent, before, simulated.Confirm, rotation.KindApp)
	add(plans, before, simulated.Confirm, kinds...)
	add(callsOff, before, simulated.Confirm, rotation.KindApp)
	return all
}

// must are calls that the scenario must make, or it does not show what it is
// there for.
func (s scenario) must() []simulated.Call {
	return append(slices.Clone(turns[s.turn].calls), map[rotation.CertificateAuthority][]simulated.Call{
		rotation.AuthorityKMS:    {{State: "SignCsr", Function: "sign-csr", Service: "kms"}},
		rotation.AuthorityACMPCA: {{State: "CollectCertificate", Function: "sign-csr", Service: "acm-pca"}},
		rotation.AuthorityStepCA: {{State: "SignCsr", Function: "sign-csr", Service: "stepca"}},
		rotation.AuthorityManual: {{State: "RequestCertificate", Function: "request-upload"}},
	}[s.ca]...)
}

// makes has the scenario make its calls.
func (s scenario) makes(t *testing.T, calls []simulated.Call) {
	t.Helper()
	for _, must := range s.must() {
		if !slices.ContainsFunc(calls, func(c simulated.Call) bool {
			return c.State == must.State && c.Function == must.Function && (must.Service == "" || c.Service == must.Service)
		}) {
			t.Errorf("it did not make the call %s/%s", must.State, must.Function)
		}
	}
}
