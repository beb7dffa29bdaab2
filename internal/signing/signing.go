// Package signing says to a CA what a rotation wants: it makes the request of
// internal/ca from target, policy and CSR. The step that has the CSR signed
// uses it, and the page that takes a certificate from a person, so that both
// check by the same request.
package signing

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"strconv"
	"strings"
	"time"

	"keyturn/internal/ca"
	"keyturn/internal/rotation"
)

// usages are the names of RFC 5280, section 4.2.1.3, that a policy may add.
var usages = map[string]x509.KeyUsage{
	"contentCommitment": x509.KeyUsageContentCommitment,
	"keyEncipherment":   x509.KeyUsageKeyEncipherment,
	"dataEncipherment":  x509.KeyUsageDataEncipherment,
	"keyAgreement":      x509.KeyUsageKeyAgreement,
}

// Request is what the CA is asked for. It fails with CSR.Invalid where the CSR
// is not base64, and with Policy.Invalid where the profile is none.
func Request(t rotation.Target, policy rotation.Settings, csr rotation.CSR, now time.Time) (ca.Request, error) {
	der, err := base64.StdEncoding.DecodeString(csr.Request)
	if err != nil {
		return ca.Request{}, &rotation.Error{Name: "CSR.Invalid", Message: "the CSR " + csr.ID + " is not in base64", Err: err}
	}
	profile, err := profileOf(policy.Profile)
	if err != nil {
		return ca.Request{}, err
	}
	return ca.Request{CSR: der, Kind: string(t.Kind), ValidityDays: policy.ValidityDays, Now: now, Profile: profile}, nil
}

func profileOf(p rotation.Profile) (ca.Profile, error) {
	out := ca.Profile{CRLs: p.CRLURLs, OCSP: p.OCSPURLs, CAIssuers: p.CAIssuersURLs}
	for _, name := range p.KeyUsage {
		usage, known := usages[name]
		if !known {
			return out, rotation.Errorf("Policy.Invalid", "policy.profile.keyUsage has %q: use contentCommitment, keyEncipherment, dataEncipherment or keyAgreement", name)
		}
		out.KeyUsage |= usage
	}
	for i, e := range p.Extensions {
		id, ok := oid(e.OID)
		value, err := base64.StdEncoding.DecodeString(e.Value)
		if !ok || err != nil {
			return out, rotation.Errorf("Policy.Invalid", "policy.profile.extensions[%d] is no extension: give oid in dotted decimals, such as 2.5.29.32, and value as DER in base64", i)
		}
		out.Extensions = append(out.Extensions, pkix.Extension{Id: id, Critical: e.Critical, Value: value})
	}
	return out, nil
}

func oid(text string) (asn1.ObjectIdentifier, bool) {
	var id asn1.ObjectIdentifier
	for part := range strings.SplitSeq(text, ".") {
		n, err := strconv.ParseUint(part, 10, 31)
		if err != nil {
			return nil, false
		}
		id = append(id, int(n))
	}
	return id, len(id) >= 2
}
