package scan

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/tidwall/gjson"

	"keyturn/internal/bucket"
	"keyturn/internal/inventory"
	"keyturn/internal/okta"
	"keyturn/internal/rotation"
)

// pageHead is the first line of a page's object.
type pageHead struct {
	// Next is the place of the next page, empty after the last.
	Next string `json:"next"`
	// Listed counts what Okta listed, Rows the lines below.
	Listed int `json:"listed"`
	Rows   int `json:"rows"`
	// Failed is why the list ends here although there may be more.
	Failed *inventory.Problem `json:"failed,omitempty"`
	// Problems are items that could not be read.
	Problems []inventory.Problem `json:"problems,omitempty"`
	Spent    spent               `json:"spent"`
}

// row is one target as it was listed; of the list "trust", a certificate.
type row struct {
	Target   rotation.Target `json:"target"`
	Status   string          `json:"status,omitempty"`
	Protocol string          `json:"protocol,omitempty"`
	Kid      string          `json:"kid,omitempty"`
	// Trust are the partner's certificates that an IdP trusts.
	Trust []string `json:"trust,omitempty"`
	Fact  *fact    `json:"fact,omitempty"`
}

// lists are what is read page by page.
type listOf struct {
	name   string
	kind   rotation.Kind
	bucket okta.Bucket
	read   func(*okta.Client, context.Context, string) (okta.Page, error)
	// row reads an item; nil for one that is not of interest.
	row func(*run, json.RawMessage) (*row, error)
}

var (
	appsList  = listOf{"apps", rotation.KindApp, okta.BucketApps, (*okta.Client).AppsPage, (*run).appRow}
	idpsList  = listOf{"idps", rotation.KindIDP, okta.BucketAPI, (*okta.Client).SAMLIdentityProvidersPage, (*run).idpRow}
	trustList = listOf{"trust", "", okta.BucketAPI, (*okta.Client).TrustKeysPage, (*run).trustRow}
)

// maxPages is more than any list has: beyond it, its pages link in a circle.
const maxPages = 10000

// pages are the objects of a list, in order.
func (r *run) pages(name string) []string {
	var found []string
	for _, key := range r.names {
		if strings.HasPrefix(key, r.work+name+"-") {
			found = append(found, key)
		}
	}
	return found
}

// list reads a list to its end, from where an earlier call stopped. A page that
// cannot be had, after all attempts, ends it with a problem.
func (r *run) list(ctx context.Context, l listOf) error {
	pages := r.pages(l.name)
	place := ""
	if len(pages) > 0 {
		head, err := r.head(ctx, pages[len(pages)-1])
		if err != nil {
			return err
		}
		r.remember(head.Spent)
		if head.Next == "" || head.Failed != nil {
			return nil
		}
		place = head.Next
	}
	for n := len(pages) + 1; ; n++ {
		page, err := ask(ctx, r, l.bucket, func(ctx context.Context) (okta.Page, error) { return l.read(r.Okta, ctx, place) })
		if err != nil && ends(err) {
			return err
		}
		if err != nil && passing(err) {
			if err := r.again(ctx, fmt.Sprintf("%s %d", l.name, n), err); err != nil {
				return err
			}
		}
		head := pageHead{Next: page.Next, Listed: len(page.Items)}
		if n >= maxPages || page.Next != "" && page.Next == place {
			err = okta.InACircle("list the " + l.name)
		}
		if err != nil {
			head.Next, head.Failed = "", problemOf(err, nil)
		}
		var rows bytes.Buffer
		for _, item := range page.Items {
			found, err := l.row(r, item)
			if err != nil {
				head.Problems = append(head.Problems, *problemOf(err, nil))
				continue
			}
			if found != nil {
				head.Rows++
				if err := inventory.WriteLine(&rows, found); err != nil {
					return err
				}
			}
		}
		head.Spent = r.used()
		var object bytes.Buffer
		if err := inventory.WriteLine(&object, head); err != nil {
			return err
		}
		object.Write(rows.Bytes())
		key := fmt.Sprintf("%s%s-%06d.jsonl", r.work, l.name, n)
		_, err = r.Bucket.Put(ctx, key, bytes.NewReader(object.Bytes()), bucket.Options{ContentType: "application/jsonl", IfAbsent: true})
		if errors.Is(err, bucket.ErrConflict) {
			return pause{until: r.Now(), reason: "another call for this run is at work"}
		}
		if err != nil {
			return err
		}
		r.names = append(r.names, key)
		if head.Next == "" {
			return nil
		}
		place = head.Next
	}
}

func (r *run) head(ctx context.Context, key string) (pageHead, error) {
	var head pageHead
	object, err := r.Bucket.Get(ctx, key)
	if err != nil {
		return head, err
	}
	defer func() { _ = object.Body.Close() }()
	line, err := bufio.NewReader(object.Body).ReadBytes('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return head, unreadable(key)
	}
	return head, json.Unmarshal(line, &head)
}

// each reads a page's object: its head, and its rows one by one.
func (r *run) each(ctx context.Context, key string, take func(row) error) (pageHead, error) {
	var head pageHead
	object, err := r.Bucket.Get(ctx, key)
	if err != nil {
		return head, err
	}
	defer func() { _ = object.Body.Close() }()
	first, rows := true, 0
	for line, err := range inventory.Lines[json.RawMessage](object.Body) {
		if err != nil {
			return head, unreadable(key)
		}
		if first {
			if err := json.Unmarshal(line, &head); err != nil {
				return head, unreadable(key)
			}
			first = false
			continue
		}
		var found row
		if err := json.Unmarshal(line, &found); err != nil {
			return head, unreadable(key)
		}
		rows++
		if err := take(found); err != nil {
			return head, err
		}
	}
	if rows != head.Rows {
		return head, unreadable(key)
	}
	return head, nil
}

func unreadable(key string) error {
	return rotation.Errorf("Bucket.Unavailable", "the object %s could not be read to its end", key)
}

// signers are the apps' sign-on modes that sign with an X.509 key. Tokens of
// WS-Federation are SAML 1.1 assertions.
var signers = []string{"SAML_2_0", "SAML_1_1", "WS_FEDERATION"}

func (r *run) appRow(item json.RawMessage) (*row, error) {
	doc := okta.Document{Kind: rotation.KindApp, Raw: item}
	if mode := doc.Field("signOnMode"); slices.Contains(signers, mode) {
		return rowOf(doc, mode)
	}
	return nil, nil
}

func (r *run) idpRow(item json.RawMessage) (*row, error) {
	doc := okta.Document{Kind: rotation.KindIDP, Raw: item}
	protocol := doc.Field("type")
	if protocol != "SAML2" {
		return nil, nil
	}
	found, err := rowOf(doc, protocol)
	if err != nil {
		return nil, err
	}
	trust := gjson.GetBytes(item, "protocol.credentials.trust")
	for _, kid := range append([]gjson.Result{trust.Get("kid")}, trust.Get("additionalKids").Array()...) {
		if kid.String() != "" {
			found.Trust = append(found.Trust, kid.String())
		}
	}
	return found, nil
}

func rowOf(doc okta.Document, protocol string) (*row, error) {
	t := rotation.Target{Kind: doc.Kind, ID: doc.Field("id"), Label: clip(doc.Label()), Name: clip(doc.Name())}
	if err := t.Validate(); err != nil {
		return nil, rotation.Errorf("Okta.Invalid", "the list has the %s %q with the id %q, which is none: it cannot be looked at", t.Kind, t.Label, clip(t.ID))
	}
	return &row{Target: t, Status: clip(doc.Field("status")), Protocol: protocol, Kid: clip(doc.ActiveKid())}, nil
}

func (r *run) trustRow(item json.RawMessage) (*row, error) {
	var key okta.JSONWebKey
	if err := json.Unmarshal(item, &key); err != nil || key.Kid == "" {
		return nil, rotation.Errorf("Okta.Invalid", "the trust keystore has a key that cannot be read")
	}
	found := factOf(key, r.Now())
	found.Kid = trustPrefix + key.Kid
	return &row{Fact: &found}, nil
}

// clip bounds what comes from outside: labels have at most 100 characters, by
// Okta's documents, and kids and names less.
func clip(s string) string {
	if len(s) <= 300 {
		return s
	}
	return strings.ToValidUTF8(s[:300], "")
}
