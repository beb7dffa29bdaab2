package oktasim

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// ActiveKid is the kid that the target signs with, "" for none.
func (o *Org) ActiveKid(kind, id string) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.mustFind(kind, id).activeKid()
}

// SetAPIToken replaces the token that API calls must carry, as when an admin
// revokes the old one, or it expires.
func (o *Org) SetAPIToken(token string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.token = token
}

// SetBaseURL sets the org's URL in links, for when it is only known after New,
// as with httptest.NewServer.
func (o *Org) SetBaseURL(url string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.baseURL = strings.TrimSuffix(url, "/")
}

// Document is the target's raw JSON exactly as GET serves it. Where the org
// has no base URL of its own, its links are under https://example.okta.com.
func (o *Org) Document(kind, id string) []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.mustFind(kind, id).serve(o.base())
}

// Keys lists the target's keys, oldest first, active or not.
func (o *Org) Keys(kind, id string) []Key {
	o.mu.Lock()
	defer o.mu.Unlock()
	var list []Key
	for _, k := range o.mustFind(kind, id).keys {
		list = append(list, *k.whole())
	}
	return list
}

// PendingCSRs lists the target's CSRs that are neither published nor revoked.
func (o *Org) PendingCSRs(kind, id string) []CSR {
	o.mu.Lock()
	defer o.mu.Unlock()
	var list []CSR
	for _, c := range o.mustFind(kind, id).csrs {
		list = append(list, *c)
	}
	return list
}

// Targets lists the ids of all apps or all IdPs in the order of the lists.
func (o *Org) Targets(kind string) []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	var ids []string
	for _, t := range o.targets[kind] {
		if !t.deleted {
			ids = append(ids, t.id)
		}
	}
	return ids
}

// Delete removes the target as an admin in Okta's console would, deactivating
// it first: a list may name it on one page and its keys be gone by then.
func (o *Org) Delete(kind, id string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	t := o.mustFind(kind, id)
	t.deleted = true
	delete(o.byID, kind+"/"+id)
}

// AddKey gives the target a further key that is not active.
func (o *Org) AddKey(kind, id string, key *Key) {
	o.mu.Lock()
	defer o.mu.Unlock()
	t := o.mustFind(kind, id)
	t.keys = append(t.keys, key)
}

// SetActiveKid switches the target as an admin in Okta's console would. The
// kid must be one of the target's keys.
func (o *Org) SetActiveKid(kind, id, kid string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	t := o.mustFind(kind, id)
	if t.key(kid) == nil {
		panic(fmt.Sprintf("oktasim: %s %s has no key %q", kind, id, kid))
	}
	old := t.activeKid()
	t.doc = setPath(t.doc, quote(kid), t.kidPath()...)
	t.doc = setMember(t.doc, "lastUpdated", quote(stamp(o.now())))
	t.switched(old, o.now())
}

// Switch is a change of a target's active key.
type Switch struct {
	At  time.Time // by the org's clock, when it had its effect
	Kid string    // of the key that is active from then on
}

// Switches lists how the target's active key has changed, whoever changed it.
func (o *Org) Switches(kind, id string) []Switch {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.mustFind(kind, id).switches)
}

// Metadata is the target's SAML metadata with its active key, as an
// administrator downloads it for the partner.
func (o *Org) Metadata(kind, id string) []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	t := o.mustFind(kind, id)
	k := t.key(t.activeKid())
	if kind == KindIDP {
		return []byte(idpDescriptor(t, k, o.base()))
	}
	return []byte(appDescriptor(t, k, o.base()))
}

// TrustKey is the key by which the org knows the partner of an IdP, with the
// private key that only the partner has outside of a simulation.
func (o *Org) TrustKey(idpID string) Key {
	o.mu.Lock()
	defer o.mu.Unlock()
	trusted := o.trustOf(o.mustFind(KindIDP, idpID))
	if len(trusted) == 0 {
		panic(fmt.Sprintf("oktasim: idp %s has no trust key", idpID))
	}
	return *trusted[len(trusted)-1]
}

// Edit changes one field of the target's document behind the client's back, as
// an admin or another tool would: the value at the sjson path becomes rawJSON,
// verbatim. lastUpdated changes too.
func (o *Org) Edit(kind, id, path, rawJSON string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	t := o.mustFind(kind, id)
	if err := t.edit(path, []byte(rawJSON), o.now()); err != nil {
		panic(fmt.Sprintf("oktasim: edit %s %s: %v", kind, id, err))
	}
	t.doc = setMember(t.doc, "lastUpdated", quote(stamp(o.now())))
}

// DriftOnPut makes the org change one more field when the next PUT of this
// target succeeds, as PUT of apps did to provisioning settings before release
// 2022.09.3. The PUT's answer does not show it; reading again does. Each call
// adds a drift; all of them happen at the next PUT, once.
func (o *Org) DriftOnPut(kind, id, path, rawJSON string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	t := o.mustFind(kind, id)
	probe := &target{kind: kind, id: id, doc: t.doc}
	if err := probe.edit(path, []byte(rawJSON), o.now()); err != nil {
		panic(fmt.Sprintf("oktasim: drift of %s %s: %v", kind, id, err))
	}
	t.drifts = append(t.drifts, drift{path, []byte(rawJSON)})
}

// MetadataLag makes the next reads of the target's SAML metadata serve the
// certificate that was active before the last switch. Reads that name a kid
// are not affected and do not count.
func (o *Org) MetadataLag(kind, id string, reads int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.mustFind(kind, id).lag = reads
}

// drift applies what DriftOnPut asked for.
func (t *target) drift(now time.Time) {
	for _, d := range t.drifts {
		_ = t.edit(d.path, d.raw, now) // DriftOnPut tried it; the document may have lost the place since
	}
	t.drifts = nil
}
