package oktasim

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestIDPPutWithOneValueReplacedChangesOnlyThat(t *testing.T) {
	f := newFixture(t)
	id := f.SeedDemo().IDP
	kid := f.publishNew(KindIDP, id)
	before := f.Document(KindIDP, id)
	f.clock.advance(1e9)
	answer := f.ok(200, "PUT", "/api/v1/idps/"+id, string(setPath(before, quote(kid), "protocol", "credentials", "signing", "kid")))
	after := f.Document(KindIDP, id)
	if string(answer.body) != string(after) {
		t.Error("the PUT's answer is not the document")
	}
	if diff := cmp.Diff(without(before, "lastUpdated", "protocol.credentials.signing.kid"), without(after, "lastUpdated", "protocol.credentials.signing.kid")); diff != "" {
		t.Errorf("(-before +after):\n%s", diff)
	}
	if f.ActiveKid(KindIDP, id) != kid || string(lookup(after, "lastUpdated")) == string(lookup(before, "lastUpdated")) {
		t.Errorf("after %s", after)
	}
}

func TestIDPPutLosesWhatTheBodyOmits(t *testing.T) {
	f := newFixture(t)
	id := f.SeedDemo().IDP
	body := f.Document(KindIDP, id)
	body = removeMember(removeMember(body, "vendorExtension"), "issuerMode")
	body = setPath(body, removeMember(lookup(body, "protocol", "endpoints"), "slo"), "protocol", "endpoints")
	body = setPath(body, removeMember(lookup(body, "protocol", "credentials"), "signing"), "protocol", "credentials")
	body = setPath(body, removeMember(lookup(body, "policy", "subject"), "filter"), "policy", "subject")
	f.ok(200, "PUT", "/api/v1/idps/"+id, string(body))
	after := f.Document(KindIDP, id)
	for _, path := range []string{"vendorExtension", "issuerMode", "protocol.endpoints.slo", "protocol.credentials.signing", "policy.subject.filter"} {
		if lookup(after, strings.Split(path, ".")...) != nil {
			t.Errorf("%s survives a PUT that omits it", path)
		}
	}
	f.ok(204, "GET", "/api/v1/idps/"+id+"/credentials/keys/active", "")
	if got := f.ok(200, "GET", "/api/v1/idps/"+id+"/metadata.xml", ""); strings.Contains(string(got.body), "KeyDescriptor") {
		t.Error("metadata without an active key shows one")
	}
}

func TestIDPPutKeepsTheServersMembers(t *testing.T) {
	f := newFixture(t)
	id := f.AddIDP(IDPSpec{Label: "A"})
	before := f.Document(KindIDP, id)
	body := before
	for _, name := range []string{"id", "status", "created", "lastUpdated"} {
		body = setMember(body, name, []byte(`"other"`))
	}
	body = setMember(body, "_links", []byte(`{"self":"other"}`))
	f.ok(200, "PUT", "/api/v1/idps/"+id, string(body))
	if diff := cmp.Diff(without(before, "lastUpdated"), without(f.Document(KindIDP, id), "lastUpdated")); diff != "" {
		t.Errorf("(-before +after):\n%s", diff)
	}
	for _, name := range []string{"id", "status", "created", "lastUpdated", "_links"} {
		body = removeMember(body, name)
	}
	f.ok(200, "PUT", "/api/v1/idps/"+id, string(body))
	if after := f.Document(KindIDP, id); lookupString(after, "id") != id || lookupString(after, "status") != "ACTIVE" || lookup(after, "created") == nil || lookup(after, "_links", "metadata") == nil {
		t.Errorf("a body without the server's members loses them: %s", after)
	}
}

func TestPutIDPRefuses(t *testing.T) {
	f := newFixture(t)
	id, other := f.AddIDP(IDPSpec{Label: "A"}), f.AddIDP(IDPSpec{Label: "B"})
	good := f.Document(KindIDP, id)
	set := func(path, raw string) string { return string(setPath(good, []byte(raw), strings.Split(path, ".")...)) }
	for _, c := range []struct{ name, body string }{
		{"only the kid", `{"protocol":{"credentials":{"signing":{"kid":"` + f.ActiveKid(KindIDP, id) + `"}}}}`},
		{"no type", string(removeMember(good, "type"))},
		{"another type", set("type", `"OIDC"`)},
		{"no name", string(removeMember(good, "name"))},
		{"long name", set("name", `"`+strings.Repeat("ü", 101)+`"`)},
		{"name of another", set("name", `"B"`)},
		{"no protocol", string(removeMember(good, "protocol"))},
		{"no policy", string(removeMember(good, "policy"))},
		{"policy empty", set("policy", `{}`)},
		{"another protocol", set("protocol.type", `"OIDC"`)},
		{"no endpoints", set("protocol.endpoints", `{}`)},
		{"signed requests without a destination", set("protocol.endpoints.sso", `{"url":"https://idp.example.com","binding":"HTTP-POST"}`)},
		{"no trust", set("protocol.credentials", `{"signing":{"kid":"`+f.ActiveKid(KindIDP, id)+`"}}`)},
		{"trust kid unknown", set("protocol.credentials.trust.kid", `"none"`)},
		{"trust kid is a signing key", set("protocol.credentials.trust.kid", string(quote(f.ActiveKid(KindIDP, id))))},
		{"additional trust kid unknown", set("protocol.credentials.trust.additionalKids", `["none"]`)},
		{"kid unknown", set("protocol.credentials.signing.kid", `"none"`)},
		{"kid null", set("protocol.credentials.signing.kid", `null`)},
		{"kid of another IdP", set("protocol.credentials.signing.kid", string(quote(f.ActiveKid(KindIDP, other))))},
	} {
		f.refused(400, "E0000001", "PUT", "/api/v1/idps/"+id, c.body)
		if string(f.Document(KindIDP, id)) != string(good) {
			t.Fatalf("%s: the refused body had an effect", c.name)
		}
	}
	f.refused(404, "E0000007", "PUT", "/api/v1/idps/0oanone", string(good))
	f.ok(200, "PUT", "/api/v1/idps/"+id, string(good))
}

func TestListIDPs(t *testing.T) {
	f := newFixture(t)
	a, b := f.AddIDP(IDPSpec{Label: "Contractors"}), f.AddIDP(IDPSpec{Label: "Google", Type: "GOOGLE"})
	c := f.AddIDP(IDPSpec{Label: "Partners", Status: "INACTIVE"})
	for query, want := range map[string][]string{
		"":           {a, b, c},
		"type=SAML2": {a, c},
		"q=cont":     {a},
		"limit=1":    {a},
		"q=nobody":   {},
	} {
		got := []string{}
		for _, e := range elements(f.ok(200, "GET", "/api/v1/idps?"+query, "").body) {
			got = append(got, lookupString(e, "id"))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", query, diff)
		}
	}
	if got := f.ok(200, "GET", "/api/v1/idps?limit=1&type=SAML2", "").header.Values("Link"); len(got) != 2 || !strings.Contains(got[1], "type=SAML2") {
		t.Errorf("links %q; the next page must keep the type", got)
	}
	f.refused(400, "E0000001", "GET", "/api/v1/idps?type=SAML", "")
	f.refused(400, "E0000001", "GET", "/api/v1/idps?limit=201", "")
}
