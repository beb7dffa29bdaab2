package approval

import (
	"net/url"
	"strings"
	"time"

	"keyturn/internal/plaintext"
	"keyturn/internal/rotation"
)

// AdminURL is the target's page in the admin console, whose host has -admin in
// its first label. Behind a custom domain the console's host is not known; the
// simulated org has its console on the same host.
func AdminURL(orgURL string, t rotation.Target) string {
	scheme, host, found := strings.Cut(strings.TrimRight(orgURL, "/"), "://")
	if !found {
		return orgURL
	}
	if org, domain, _ := strings.Cut(host, "."); strings.HasPrefix(domain, "okta") || strings.HasPrefix(domain, "trexcloud") {
		host = org + "-admin." + domain
	}
	if t.Kind == rotation.KindIDP {
		return scheme + "://" + host + "/admin/access/identity-providers/edit/" + t.ID
	}
	name := t.Name
	if name == "" {
		name = "app"
	}
	return scheme + "://" + host + "/admin/app/" + url.PathEscape(name) + "/instance/" + t.ID + "/#tab-signon"
}

// FileName is what a certificate's file is called, without its ending: the
// label in letters that every file system takes, and the expiry, by which two
// certificates of one target can be told apart.
func FileName(t rotation.Target, notAfter time.Time) string {
	return labelFor(t) + "-okta-" + notAfter.UTC().Format("2006-01-02")
}

// labelFor is a target's name in files' names.
func labelFor(t rotation.Target) string {
	if name := plaintext.ASCII(t.Label, 40); name != "" {
		return name
	}
	return plaintext.ASCII(t.ID, 40)
}
