package oktasim

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math/big"
	"math/rand/v2"
	"strings"
	"time"
)

// LargeSpec says what SeedLarge adds. Shares are from 0 to 1; a share of 0
// takes the default, a negative one is none.
type LargeSpec struct {
	Apps, IDPs int
	// SAMLShare is the part of the apps that are SAML_2_0; default 0.75.
	SAMLShare float64
	// SharedShare is the part of these whose key several have, in groups of 2
	// to 50; default 0.1.
	SharedShare float64
	// DueShare is the part of the keys whose certificate has ended in the last
	// 10 days, or ends within DueDays; default 0.02. The others end later, up
	// to ten years from now.
	DueShare float64
	DueDays  int // default: 45
	Seed     int64
}

// Large counts what SeedLarge made.
type Large struct {
	Apps, IDPs int // all of them
	// SAMLApps are SAML_2_0, SAMLIDPs are SAML2, inactive ones among them;
	// UnsupportedApps are SAML_1_1 and WS_FEDERATION.
	SAMLApps, SAMLIDPs, UnsupportedApps int
	// InactiveApps and InactiveIDPs are the inactive ones of SAMLApps and
	// SAMLIDPs.
	InactiveApps, InactiveIDPs int
	// AppKids, UnsupportedKids and IDPKids are the distinct active keys of
	// SAMLApps, UnsupportedApps and SAMLIDPs. SharedKids of AppKids are active
	// in SharedApps, which are two or more each.
	AppKids, UnsupportedKids, IDPKids int
	SharedKids, SharedApps            int
	// TrustKeys are the partners' certificates, some with several IdPs.
	TrustKeys int

	seeded time.Time
	// ends are the expiries of the active SAML_2_0 apps and SAML2 IdPs.
	ends []time.Time
}

// Due counts the active apps (SAML_2_0) and IdPs (SAML2) whose certificate ends
// within so many days of the seeding, or has ended.
func (l Large) Due(days int) int {
	n := 0
	for _, end := range l.ends {
		if !end.After(l.seeded.AddDate(0, 0, days)) {
			n++
		}
	}
	return n
}

// SeedLarge fills the org with many targets. The same seed, clock and earlier
// content give the same targets, ids, kids, labels and expiries in every
// process. The key pairs are the process's pool, see NewKey, and a certificate
// is signed when it is first asked for.
func (o *Org) SeedLarge(spec LargeSpec) Large {
	share := func(value, fallback float64) float64 {
		if value == 0 {
			return fallback
		}
		return max(value, 0)
	}
	s := &largeSeed{
		Org: o, now: o.now().UTC().Truncate(time.Second), dueShare: share(spec.DueShare, 0.02), dueDays: spec.DueDays,
		rand: rand.New(rand.NewPCG(uint64(spec.Seed), 0x4B65797475726E)),
	}
	if s.dueDays == 0 {
		s.dueDays = 45
	}
	s.made = Large{Apps: spec.Apps, IDPs: spec.IDPs, seeded: s.now}
	o.mu.Lock()
	defer o.mu.Unlock()
	s.apps(spec.Apps, share(spec.SAMLShare, 0.75), share(spec.SharedShare, 0.1))
	s.idps(spec.IDPs)
	return s.made
}

type largeSeed struct {
	*Org
	now      time.Time
	rand     *rand.Rand
	dueShare float64
	dueDays  int
	made     Large
	keys     int
}

// chance is true in that part of the cases.
func (s *largeSeed) chance(part float64) bool { return s.rand.Float64() < part }

// pick is one of the list.
func pick[T any](s *largeSeed, list []T) T { return list[s.rand.IntN(len(list))] }

// modes are the sign-on modes of n apps, in random order.
func (s *largeSeed) modes(n int, saml float64) []string {
	modes := make([]string, 0, n)
	add := func(mode string, count int) {
		for range min(count, n-len(modes)) {
			modes = append(modes, mode)
		}
	}
	add("SAML_2_0", int(float64(n)*saml+0.5))
	few := max(n/200, 1)
	add("SAML_1_1", few)
	add("WS_FEDERATION", few)
	others := n - len(modes)
	add("BOOKMARK", others/5)
	add("BROWSER_PLUGIN", others/6)
	add("SECURE_PASSWORD_STORE", others/10)
	add("AUTO_LOGIN", others/20)
	add("OPENID_CONNECT", n)
	s.rand.Shuffle(n, func(i, j int) { modes[i], modes[j] = modes[j], modes[i] })
	return modes
}

// certificateEnd is when a key's certificate ends.
func (s *largeSeed) certificateEnd() time.Time {
	const second, day = int64(time.Second), int64(24 * time.Hour)
	from, to := int64(s.dueDays+1)*day, int64(s.now.AddDate(10, 0, -1).Sub(s.now))
	if s.chance(s.dueShare) {
		from, to = -10*day, int64(s.dueDays)*day
	}
	return s.now.Add(time.Duration((from + s.rand.Int64N(to-from)) / second * second))
}

// key is a key that ends then, of an org's age: Okta's own are good for ten
// years, a company's CA gives two or three.
func (s *largeSeed) key(kid string, end time.Time, commonName string) *Key {
	years := 10
	if n := 2 + s.rand.IntN(2); s.chance(0.15) && end.AddDate(-n, 0, 0).Before(s.now) {
		years = n
	}
	created := end.AddDate(-years, 0, 0)
	pair := s.keys % seedPoolSize
	s.keys++
	serial := new(big.Int).SetUint64(s.rand.Uint64()>>1 + 1)
	return &Key{Kid: kid, Created: created, make: func() *Key {
		return newKey(KeySpec{Created: created, NotAfter: end, NotBefore: created, CommonName: commonName, Kid: kid, Serial: serial}, seedKeys.get(pair))
	}}
}

// appKid is a kid as newKid makes it, but of the seed.
func (s *largeSeed) appKid() string {
	var b [32]byte
	for i := 0; i < len(b); i += 8 {
		binary.LittleEndian.PutUint64(b[i:], s.rand.Uint64())
	}
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// activeKey is a key that an app signs with.
type activeKey struct {
	key *Key
	end time.Time
}

func (s *largeSeed) newActive() activeKey {
	end := s.certificateEnd()
	return activeKey{s.key(s.appKid(), end, "example"), end}
}

// shared hands keys of groups to so many of the n SAML apps; the others have
// none yet.
func (s *largeSeed) shared(n, among int) []activeKey {
	keys := make([]activeKey, n)
	places := s.rand.Perm(n)[:among]
	for len(places) > 1 {
		// Most groups are small, a few are what is left of the time when the
		// whole org had one certificate.
		part := s.rand.Float64()
		size := min(2+int(49*part*part*part), len(places))
		if left := len(places) - size; left == 1 { // nobody shares alone
			if size > 2 {
				size--
			} else {
				size++
			}
		}
		k := s.newActive()
		for _, place := range places[:size] {
			keys[place] = k
		}
		s.made.SharedKids++
		s.made.SharedApps += size
		places = places[size:]
	}
	return keys
}

var (
	largeVendors = []string{
		"Salesforce", "Workday", "ServiceNow", "Zendesk", "Box", "Confluence", "Jira", "Slack", "Tableau", "Concur", "Coupa", "DocuSign",
		"NetSuite", "Greenhouse", "Lever", "Snowflake", "Datadog", "PagerDuty", "Miro", "Figma", "Zürich Payroll", "Gestión de Viajes", "経費精算", "Expense \"2\" & Co <EU>",
	}
	largeRegions = []string{"EMEA", "Americas", "APAC", "Sandbox", "UAT", "Production", "R&D", "Legal", "Finance", "Contractors"}
	largeClaims  = []string{"email", "firstName", "lastName", "login", "department", "costCenter", "manager", "employeeNumber", "title", "division", "city", "country", "locale", "timezone"}
)

func (s *largeSeed) apps(n int, samlShare, sharedShare float64) {
	modes := s.modes(n, samlShare)
	for _, mode := range modes {
		if mode == "SAML_2_0" {
			s.made.SAMLApps++
		}
	}
	shared := s.shared(s.made.SAMLApps, int(float64(s.made.SAMLApps)*sharedShare+0.5))
	s.made.AppKids = s.made.SharedKids
	saml := 0
	for i, mode := range modes {
		var active activeKey
		switch mode {
		case "SAML_2_0":
			if active = shared[saml]; active.key == nil {
				active = s.newActive()
				s.made.AppKids++
			}
			saml++
		case "SAML_1_1", "WS_FEDERATION":
			active = s.newActive()
			s.made.UnsupportedApps++
			s.made.UnsupportedKids++
		}
		s.app(i, mode, active)
	}
}

func (s *largeSeed) app(i int, mode string, active activeKey) {
	vendor := pick(s, largeVendors)
	spec := AppSpec{
		ID: s.newID("0oa"), SignOnMode: mode, Status: "ACTIVE",
		Label: fmt.Sprintf("%s – %s %d", vendor, pick(s, largeRegions), i+1),
		Name:  fmt.Sprintf("example_customsaml_%d", i+1),
	}
	if s.chance(0.5) { // of Okta's catalog
		spec.Name = fmt.Sprintf("catalog_app_%d", s.rand.IntN(400))
	}
	if name := templateNames[mode]; name != "" {
		spec.Name = name
	}
	if s.chance(0.03) {
		spec.Status = "INACTIVE"
	}
	spec.Created = s.now.Add(-time.Duration(1 + s.rand.Int64N(int64(9*365*24*time.Hour))))
	t := &target{kind: KindApp, id: spec.ID}
	if active.key != nil {
		if spec.Created.Before(active.key.Created) && s.chance(0.9) {
			spec.Created = active.key.Created // the key came with the app
		}
		t.keys = append(t.keys, active.key)
		if s.chance(0.05) { // rotated before
			t.keys = append([]*Key{s.key(s.appKid(), spec.Created.AddDate(2, 0, 0), "example")}, t.keys...)
		}
		if mode == "SAML_2_0" {
			if spec.Status == "ACTIVE" {
				s.made.ends = append(s.made.ends, active.end)
			} else {
				s.made.InactiveApps++
			}
		}
	}
	doc := appDocument(&spec)
	// The places that appDocument leaves empty; the texts need no escaping.
	fill := func(empty, with string) { doc = bytes.Replace(doc, []byte(empty), []byte(with), 1) }
	var claims []string
	for range 4 + s.rand.IntN(12) {
		claim := pick(s, largeClaims)
		claims = append(claims, `{"type":"EXPRESSION","name":"http://schemas.example.com/ws/2005/05/identity/claims/`+claim+
			`","namespace":"urn:oasis:names:tc:SAML:2.0:attrname-format:basic","values":["user.`+claim+`"]}`)
	}
	statements := "[" + strings.Join(claims, ",") + "]"
	fill(`"attributeStatements":[]`, `"attributeStatements":`+statements)
	fill(`"settings":{"app":{}`, fmt.Sprintf(`"settings":{"app":{"siteURL":"https://tenant-%d.example.com/","tenant":"t%06d","apiVersion":2.0}`, i, i))
	fill(`"notes":{"admin":null,"enduser":null}`, fmt.Sprintf(`"notes":{"admin":"Owner: team-%d@example.com. %s","enduser":null}`,
		s.rand.IntN(500), strings.Repeat("Certificate is uploaded by the vendor, open a ticket there. ", s.rand.IntN(12))))
	fill(`"features":[]`, pick(s, []string{`"features":[]`, `"features":["IMPORT_NEW_USERS","PUSH_NEW_USERS","PUSH_USER_DEACTIVATION","GROUP_PUSH"]`}))
	if active.key != nil {
		fill(`"signing":{}`, `"signing":{"kid":"`+active.key.Kid+`"}`)
	}
	t.doc = doc
	t.seen = facts{of: doc, status: spec.Status, name: spec.Name, label: spec.Label, mode: mode}
	if active.key != nil {
		t.seen.kid = active.key.Kid
	}
	s.targets[KindApp] = append(s.targets[KindApp], t)
	s.byID[KindApp+"/"+t.id] = t
}

func (s *largeSeed) idps(n int) {
	var trust *Key
	for i := range n {
		spec := IDPSpec{
			Label: fmt.Sprintf("%s – %s %d", pick(s, []string{"Partner ADFS", "Subsidiary", "Contractors", "Entra ID", "Ping", "Käufer AG"}), pick(s, largeRegions), i+1),
			Type:  "SAML2", Status: "ACTIVE",
		}
		if s.chance(0.15) {
			spec.Type = pick(s, []string{"OIDC", "GOOGLE", "MICROSOFT", "X509"})
		}
		if s.chance(0.03) {
			spec.Status = "INACTIVE"
		}
		spec.Created = s.now.Add(-time.Duration(1 + s.rand.Int64N(int64(9*365*24*time.Hour))))
		if spec.Type == "SAML2" {
			end := s.certificateEnd()
			spec.Key = s.key(s.newKid(KindIDP), end, "example")
			if spec.Created.Before(spec.Key.Created) {
				spec.Created = spec.Key.Created
			}
			if trust == nil || s.chance(0.9) {
				trust = s.key(s.newID("kid"), s.certificateEnd(), "idp.example.com")
				s.made.TrustKeys++
			}
			s.made.SAMLIDPs++
			s.made.IDPKids++
			if spec.Status == "ACTIVE" {
				s.made.ends = append(s.made.ends, end)
			} else {
				s.made.InactiveIDPs++
			}
		}
		s.addIDP(spec, trust, s.now)
	}
}
