package live

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"keyturn/internal/okta"
	"keyturn/internal/rotation"
)

// perKind is how many apps, and how many IdPs, are looked at.
const perKind = 3

// nobody is an id that no app has.
var nobody = rotation.Target{Kind: rotation.KindApp, ID: "0oaKeyturnContract000"}

// read makes the calls that change nothing: at most 31.
func (s *session) read(ctx context.Context) error {
	var apps, idps []okta.Document
	var err error
	if apps, err = s.firstPages(ctx, rotation.KindApp, s.client.AppsPage, okta.BucketApps); err != nil {
		return err
	}
	if idps, err = s.firstPages(ctx, rotation.KindIDP, s.client.SAMLIdentityProvidersPage, okta.BucketAPI); err != nil {
		return err
	}
	if _, err := ask(ctx, s, okta.BucketAPI, func() (okta.Page, error) { return s.client.TrustKeysPage(ctx, "") }); err != nil {
		return err
	}
	if len(apps) > 0 {
		kid := apps[0].ActiveKid()
		if _, err := ask(ctx, s, okta.BucketApps, func() (int, error) { return s.countWithKid(ctx, kid) }); err != nil {
			return err
		}
	}
	for _, listed := range append(apps, idps...) {
		if err := s.look(ctx, listed); err != nil {
			return err
		}
	}
	_, err = ask(ctx, s, okta.BucketApp, func() (okta.Document, error) { return s.client.Document(ctx, nobody) })
	if okta.IsNotFound(err) {
		return nil
	}
	if err == nil {
		return errors.New("an app that does not exist is answered with a document")
	}
	return err
}

// firstPages reads at most two pages and picks SAML targets that differ.
func (s *session) firstPages(ctx context.Context, kind rotation.Kind, read func(context.Context, string) (okta.Page, error), b okta.Bucket) ([]okta.Document, error) {
	var picked []okta.Document
	names := map[string]bool{}
	place := ""
	for range 2 {
		page, err := ask(ctx, s, b, func() (okta.Page, error) { return read(ctx, place) })
		if err != nil {
			return nil, err
		}
		for _, raw := range page.Items {
			d := okta.Document{Kind: kind, Raw: raw}
			saml, _ := d.SignsSAML()
			if saml && d.ActiveKid() != "" && len(picked) < perKind && (kind == rotation.KindIDP || !names[d.Name()]) {
				picked = append(picked, d)
				names[d.Name()] = true
			}
		}
		if place = page.Next; place == "" {
			break
		}
	}
	return picked, nil
}

func (s *session) countWithKid(ctx context.Context, kid string) (n int, err error) {
	for _, err := range s.client.AppsWithKid(ctx, kid) {
		if err != nil {
			return n, err
		}
		if n++; n == perKind {
			break // of a shared key: its apps may fill pages
		}
	}
	return n, nil
}

// look reads what Keyturn reads of one target.
func (s *session) look(ctx context.Context, listed okta.Document) error {
	t := rotation.Target{Kind: listed.Kind, ID: listed.Field("id")}
	document, below := okta.BucketApp, okta.BucketApps
	if t.Kind == rotation.KindIDP {
		document, below = okta.BucketAPI, okta.BucketAPI
	}
	if _, err := ask(ctx, s, document, func() (okta.Document, error) { return s.client.Document(ctx, t) }); err != nil {
		return err
	}
	keys, err := ask(ctx, s, below, func() ([]okta.JSONWebKey, error) { return s.client.Keys(ctx, t) })
	if err != nil {
		return err
	}
	active := false
	for _, k := range keys {
		if _, err := k.DER(); err != nil {
			return err
		}
		active = active || k.Kid == listed.ActiveKid()
	}
	if !active {
		return errors.New("the key list of a target lacks its active key")
	}
	if _, err := ask(ctx, s, below, func() ([]okta.SigningRequest, error) { return s.client.SigningRequests(ctx, t) }); err != nil {
		return err
	}
	_, err = ask(ctx, s, below, func() (json.RawMessage, error) { return s.client.Metadata(ctx, t, listed.ActiveKid()) })
	return err
}

// ask makes a call once its bucket has more than half of its limit left: the
// other half is the org's. A 429 is waited for twice.
func ask[T any](ctx context.Context, s *session, b okta.Bucket, call func() (T, error)) (T, error) {
	for tries := 0; ; tries++ {
		if w, known := s.client.Window(b); known && w.Remaining <= w.Limit/2 {
			if err := s.wait(ctx, time.Until(w.Reset), "the rate limit, half of which is left to others"); err != nil {
				return *new(T), err
			}
		}
		v, err := call()
		var refused *okta.Error
		if !errors.As(err, &refused) || refused.Name != "Okta.RateLimited" || tries == 2 {
			return v, err
		}
		after := 5 * time.Second // of a concurrency limit
		if !refused.Reset.IsZero() {
			after = time.Until(refused.Reset)
		}
		if err := s.wait(ctx, after, "the rate limit"); err != nil {
			return v, err
		}
	}
}

func (s *session) wait(ctx context.Context, d time.Duration, why string) error {
	d = min(max(d, time.Second), 2*time.Minute).Round(time.Second)
	_, _ = fmt.Fprintf(s.out, "  waits %s: %s\n", d, why)
	return s.sleep(ctx, d)
}
