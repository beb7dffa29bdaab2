package oktasim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"
)

// Demo names the targets of SeedDemo by the part that they play.
type Demo struct {
	BeforeSwitchApp      string // custom app, "Salesforce – EMEA"
	AfterSwitchApp       string // custom app, "Payroll (Zürich)"
	RejectApp            string // catalog app with SCIM provisioning, "ServiceNow"
	RejectAfterSwitchApp string // custom app, "Expense Reports"
	IDP                  string // SAML2 IdP with much that a partial PUT loses, "Contractors – ADFS"

	LegacyAppA, LegacyAppB string // share one key, created years before them
	StrictCatalogApp       string // answers 500 to a PUT whose signOn lost fields
	HealthyApp             string // key good for years
	HealthyIDP             string // key good for years
	InactiveApp            string // inactive SAML app, key expires soon
	OIDCApp, SWAApp        string // no SAML: to be left alone
	SocialIDP              string // Google: to be left alone
}

// SeedDemo fills the org with what a company of some age has. The active
// certificates of the targets that are due expire in three to six weeks.
func (o *Org) SeedDemo() Demo {
	now := o.now().UTC().Truncate(time.Second)
	day := func(n int) time.Time { return now.AddDate(0, 0, n) }
	// A key that expires in n days, generated that many years before.
	expiring := func(n, years int) *Key {
		created := day(n).AddDate(-years, 0, 0)
		return NewKey(KeySpec{Created: created, NotAfter: day(n), CommonName: "example"})
	}
	// Until May 2022 all apps of an org signed with one certificate.
	shared := expiring(38, 10)

	var d Demo
	d.BeforeSwitchApp = o.AddApp(AppSpec{
		Label: "Salesforce – EMEA", Name: "example_salesforceemea_1", Created: now.AddDate(-2, 0, -40), Key: expiring(24, 2),
		Raw: compact(`{
			"accessibility":{"loginRedirectUrl":"https://emea.example.com/login?from=okta&x=<1>"},
			"visibility":{"autoLaunch":true,"hide":{"iOS":true}},
			"profile":{"owner":"crm@example.com","costCenter":12345678901234567890,"ratio":1.0,"scale":1e3},
			"settings":{
				"notes":{"admin":"Tier 1. Certificate owner: crm@example.com \/ ext. 4711","enduser":"Use your company account. Fran\u00e7ais: cr\u00e9ez un ticket."},
				"signOn":{"attributeStatements":[
					{"type":"EXPRESSION","name":"email","namespace":"urn:oasis:names:tc:SAML:2.0:attrname-format:basic","values":["user.email"]},
					{"type":"GROUP","name":"groups","namespace":"urn:oasis:names:tc:SAML:2.0:attrname-format:unspecified","filterType":"REGEX","filterValue":"crm-.*"}],
					"samlAssertionLifetimeSeconds":3600}},
			"vendorExtension":{"schema":"v2","thresholds":[0.10,1.00,2.50e2],"nested":{"enabled":true,"label":"R\u00e9gion \u2013 EMEA"}}}`),
	})
	d.AfterSwitchApp = o.AddApp(AppSpec{
		Label: "Payroll (Zürich)", Name: "example_payrollzrich_1", Created: now.AddDate(-3, 0, 0), Key: expiring(29, 3),
		Raw: compact(`{"label":"Payroll (Z\u00fcrich)","licensing":{"seatCount":250},
			"settings":{"implicitAssignment":false,"notes":{"admin":"Vendor switches by appointment only"},"app":{"tenant":"ch-01","apiVersion":2.0}}}`),
	})
	d.RejectApp = o.AddApp(AppSpec{
		Label: "ServiceNow", Name: "servicenow_ud", Created: now.AddDate(-2, -3, 0), Key: expiring(30, 2),
		Raw: compact(`{
			"features":["IMPORT_NEW_USERS","IMPORT_PROFILE_UPDATES","PUSH_NEW_USERS","PUSH_PROFILE_UPDATES","PUSH_USER_DEACTIVATION","GROUP_PUSH"],
			"credentials":{"userNameTemplate":{"template":"${source.email}","pushStatus":"PUSH"}},
			"settings":{
				"app":{"loginURL":"https://example.service-now.com/navpage.do","sloURL":null,"useScim":true,"scimBaseUrl":"https://example.service-now.com/api/scim"},
				"provisioning":{"mode":"SCIM","deprovision":"DEACTIVATE","syncPassword":false,"batchSize":1e2},
				"notes":{"admin":"Provisioned by SCIM"}}}`),
	})
	d.RejectAfterSwitchApp = o.AddApp(AppSpec{
		Label: "Expense Reports", Name: "example_expensereports_1", Created: now.AddDate(-2, 0, -9), Key: expiring(28, 2),
		Raw: compact(`{"settings":{"signOn":{"slo":{"enabled":true,"spIssuer":"https://expenses.example.com","logoutUrl":"https://expenses.example.com/slo"}}}}`),
	})
	d.LegacyAppA = o.AddApp(AppSpec{Label: "Wiki", Name: "confluence", Created: now.AddDate(-6, 0, 0), Key: shared})
	d.LegacyAppB = o.AddApp(AppSpec{Label: "Travel Booking", Name: "concur_travel_and_expense", Created: now.AddDate(-5, -2, 0), Key: shared})
	d.StrictCatalogApp = o.AddApp(AppSpec{
		Label: "Workday", Name: "workday", Created: now.AddDate(-2, -1, 0), Key: expiring(41, 2), CompleteSignOn: true,
		Raw: compact(`{"settings":{"app":{"siteURL":"https://impl.workday.example.com/example","reconcileUsers":true},
			"signOn":{"workdayTenant":"example_impl","mobileRedirect":{"enabled":true,"hosts":["m.example.com"]}}}}`),
	})
	d.HealthyApp = o.AddApp(AppSpec{Label: "Service Desk", Name: "example_servicedesk_1", Created: now.AddDate(-1, 0, 0), Key: expiring(2800, 10)})
	d.InactiveApp = o.AddApp(AppSpec{Label: "Old Intranet", Name: "example_oldintranet_1", Status: "INACTIVE", Created: now.AddDate(-4, 0, 0), Key: expiring(26, 4)})
	d.OIDCApp = o.AddApp(AppSpec{Label: "Analytics Portal", Name: "oidc_client", SignOnMode: "OPENID_CONNECT", Created: now.AddDate(-1, -6, 0)})
	d.SWAApp = o.AddApp(AppSpec{Label: "Parking", Name: "template_sps", SignOnMode: "SECURE_PASSWORD_STORE", Created: now.AddDate(-7, 0, 0),
		Raw: compact(`{"settings":{"app":{"url":"https://parking.example.com/login.html","usernameField":"#user","passwordField":"#pass"}}}`)})

	d.IDP = o.AddIDP(IDPSpec{
		Label: "Contractors – ADFS", Created: now.AddDate(-2, 0, -14), Key: expiring(22, 2),
		Raw: compact(`{
			"protocol":{
				"endpoints":{"slo":{"url":"https://adfs.partner.example.com/adfs/ls/","binding":"HTTP-POST"}},
				"relayState":{"format":"FROM_URL"},
				"settings":{"participateSlo":true,"sendApplicationContext":false}},
			"policy":{
				"provisioning":{"action":"AUTO","profileMaster":true,"groups":{"action":"SYNC","sourceAttributeName":"Groups","filter":["00gak46y5hydV6NdM0g4"]},
					"conditions":{"deprovisioned":{"action":"REACTIVATE"}}},
				"accountLink":{"filter":{"groups":{"include":["00gjg5lzfBpn62wuF0g3"]}}},
				"subject":{"filter":"(\\S+@partner\\.example\\.com)","matchType":"CUSTOM_ATTRIBUTE","matchAttribute":"employeeNumber"},
				"maxClockSkew":60000},
			"vendorExtension":{"amr":["mfa"],"weight":1.50}}`),
	})
	d.HealthyIDP = o.AddIDP(IDPSpec{Label: "Acquired Company", Created: now.AddDate(-1, 0, 0), Key: expiring(1500, 10)})
	d.SocialIDP = o.AddIDP(IDPSpec{Label: "Google", Type: "GOOGLE", Created: now.AddDate(-3, 0, 0),
		Raw: compact(`{"protocol":{"type":"OIDC","issuer":{"url":"https://accounts.google.com"}}}`)})
	return d
}

// compact takes the space out of the seeds above: Okta's answers have none.
// The values keep their bytes.
func compact(raw string) string {
	var b bytes.Buffer
	if err := json.Compact(&b, []byte(raw)); err != nil {
		panic(fmt.Sprintf("oktasim: seed: %v", err))
	}
	return b.String()
}
