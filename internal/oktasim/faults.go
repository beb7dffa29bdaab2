package oktasim

import (
	"fmt"
	"net/http"
	"slices"
	"time"
)

// FaultKind names a way to fail.
type FaultKind string

// The ways to fail. "Effect" is what the call would have done.
const (
	FaultRateLimited    FaultKind = "rate-limited"    // no effect; 429 E0000047, Reset in ResetIn
	FaultConcurrency429 FaultKind = "concurrency-429" // no effect; 429 E0000047 with Limit 0 and Remaining 0
	FaultInternal       FaultKind = "internal"        // no effect; 500 E0000009
	FaultInternalAfter  FaultKind = "internal-after"  // effect; 500 E0000009
	FaultReadOnly       FaultKind = "read-only"       // no effect; 503 E0000010
	FaultUnauthorized   FaultKind = "unauthorized"    // no effect; 401 E0000011
	FaultForbidden      FaultKind = "forbidden"       // no effect; 403 E0000006
	FaultNotFound       FaultKind = "not-found"       // no effect; 404 E0000007
	FaultHTMLError      FaultKind = "html-error"      // no effect; 502 with a page of a proxy, and without the org's headers
	FaultCloseBefore    FaultKind = "close-before"    // no effect; the connection is closed
	FaultCloseAfter     FaultKind = "close-after"     // effect; the connection is closed without an answer
	FaultBrokenBody     FaultKind = "broken-body"     // effect; the usual status, the body cut off in its middle
	FaultSlowBody       FaultKind = "slow-body"       // effect; the body's end is held back, see ReleaseSlow
	FaultHugeBody       FaultKind = "huge-body"       // effect; the usual status, a body of 64 MiB
	FaultWithoutX5C     FaultKind = "without-x5c"     // effect; the keys of the answer have no x5c
	FaultBrokenX5C      FaultKind = "broken-x5c"      // effect; the keys' x5c is base64, but half a certificate
)

var faultKinds = []FaultKind{
	FaultRateLimited, FaultConcurrency429, FaultInternal, FaultInternalAfter, FaultReadOnly, FaultUnauthorized, FaultForbidden, FaultNotFound,
	FaultHTMLError, FaultCloseBefore, FaultCloseAfter, FaultBrokenBody, FaultSlowBody, FaultHugeBody,
	FaultWithoutX5C, FaultBrokenX5C,
}

// Fault makes API calls fail. Calls with a wrong token and calls beyond the
// rate limit do not count as matching.
//
// The faults that close the connection panic with http.ErrAbortHandler, which
// net/http expects; with an httptest.ResponseRecorder the test gets the panic.
//
// Go's HTTP client repeats a GET by itself when a kept-alive connection closes
// without an answer: one FaultCloseBefore of a GET may show as two calls, the
// second of which succeeds.
type Fault struct {
	Operation string        `json:"operation"` // operationId; "": any
	ID        string        `json:"id"`        // of the target; "": any
	Page      int           `json:"page"`      // of a list, from 1; 0: any, and calls that are for no list
	Nth       int           `json:"nth"`       // the first matching call that fails, counted from now; 0 means 1, the next
	Times     int           `json:"times"`     // how many fail in a row; 0 means 1, negative all from then on
	Kind      FaultKind     `json:"kind"`
	ResetIn   time.Duration `json:"resetIn"` // nanoseconds in JSON; for the two 429; 0 means a minute
}

type pendingFault struct {
	Fault
	seen int
}

// Fail adds a fault. Of several that match a call, the first one that was
// added hits; all of them count the call.
func (o *Org) Fail(f Fault) {
	if err := o.fail(f); err != nil {
		panic("oktasim: " + err.Error())
	}
}

func (o *Org) fail(f Fault) error {
	if !slices.Contains(faultKinds, f.Kind) {
		return fmt.Errorf("unknown fault kind %q; one of %q", f.Kind, faultKinds)
	}
	if f.Operation != "" && !slices.ContainsFunc(routes, func(r *route) bool { return r.operation == f.Operation }) {
		return fmt.Errorf("unknown operation %q; use the operationId of Okta's API spec", f.Operation)
	}
	if f.Nth < 1 {
		f.Nth = 1
	}
	if f.Times == 0 {
		f.Times = 1
	}
	if f.Page < 0 || f.Page > 0 && f.Operation != "" && !slices.Contains(pagedOperations, f.Operation) {
		return fmt.Errorf("page %d of %q: pages count from 1, and only %q have them", f.Page, f.Operation, pagedOperations)
	}
	if f.ResetIn <= 0 {
		f.ResetIn = windowLength
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.faults = append(o.faults, &pendingFault{Fault: f})
	return nil
}

// ClearFaults removes the faults that have not hit yet.
func (o *Org) ClearFaults() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.faults = nil
}

// ReleaseSlow lets the bodies go that FaultSlowBody holds back at this moment.
func (o *Org) ReleaseSlow() {
	o.mu.Lock()
	defer o.mu.Unlock()
	close(o.release)
	o.release = make(chan struct{})
}

// nextFault counts the call and returns the fault that hits it.
func (o *Org) nextFault(c *call) *pendingFault {
	var hit *pendingFault
	for _, f := range o.faults {
		if f.Operation != "" && (c.route == nil || c.route.operation != f.Operation) || f.ID != "" && f.ID != c.params["id"] ||
			f.Page > 0 && f.Page != c.pageOf() {
			continue
		}
		f.seen++
		if hit == nil && f.seen >= f.Nth {
			hit = f
		}
	}
	o.faults = slices.DeleteFunc(o.faults, func(f *pendingFault) bool { return f.Times > 0 && f.seen >= f.Nth+f.Times-1 })
	return hit
}

// before answers instead of the handler for faults without an effect.
func (f *pendingFault) before(o *Org, h http.Header, bucket string, now time.Time) (*answer, error) {
	switch f.Kind {
	case FaultRateLimited, FaultConcurrency429:
		o.setRateHeaders(h, bucket, now)
		h.Set("X-Rate-Limit-Remaining", "0")
		h.Set("X-Rate-Limit-Reset", epoch(now.Add(f.ResetIn)))
		if f.Kind == FaultConcurrency429 {
			h.Set("X-Rate-Limit-Limit", "0")
		}
		return nil, tooManyRequests()
	case FaultInternal:
		return nil, internalError()
	case FaultReadOnly:
		return nil, readOnlyMode()
	case FaultUnauthorized:
		return nil, unauthorized()
	case FaultForbidden:
		return nil, forbidden()
	case FaultNotFound:
		return nil, notFound(f.ID, "Resource")
	case FaultHTMLError:
		return &answer{status: http.StatusBadGateway, contentType: "text/html",
			body: []byte("<html><head><title>502 Bad Gateway</title></head><body><center><h1>502 Bad Gateway</h1></center></body></html>\n")}, nil
	}
	return nil, nil
}

// spoilX5C takes the certificates out of a key or a list of keys, or breaks
// them.
func spoilX5C(body []byte, kind FaultKind) []byte {
	spoil := func(key []byte) []byte {
		certificates := elements(lookup(key, "x5c"))
		if len(certificates) == 0 {
			return key
		}
		if kind == FaultWithoutX5C {
			return removeMember(key, "x5c")
		}
		text, _ := asString(certificates[0])
		return setMember(key, "x5c", array([][]byte{quote(text[:len(text)/8*4])})) // half of it, still base64
	}
	if isObject(body) {
		return spoil(body)
	}
	list := elements(body)
	for i, key := range list {
		list[i] = spoil(key)
	}
	return array(list)
}

// after spoils the answer of a call that had its effect; true when it has been
// written.
func (f *pendingFault) after(w http.ResponseWriter, req *http.Request, reply *answer, release <-chan struct{}) bool {
	status := reply.status
	if status == http.StatusNoContent {
		status = http.StatusOK // a 204 has no body to spoil
	}
	switch f.Kind {
	case FaultBrokenBody:
		w.WriteHeader(status)
		_, _ = w.Write(append(reply.body[:len(reply.body)/2:len(reply.body)/2], "\x00{"...))
		return true
	case FaultHugeBody:
		w.WriteHeader(status)
		chunk := make([]byte, 1<<20)
		for i := range chunk {
			chunk[i] = ' '
		}
		for range 64 {
			if _, err := w.Write(chunk); err != nil {
				return true
			}
		}
		_, _ = w.Write(reply.body)
		return true
	case FaultSlowBody:
		// Everything but the last byte, then spaces that a reader must keep
		// reading: a timeout between two reads alone never fires.
		w.WriteHeader(status)
		end := max(len(reply.body)-1, 0)
		_, _ = w.Write(reply.body[:end])
		flusher, _ := w.(http.Flusher)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			if flusher != nil {
				flusher.Flush()
			}
			select {
			case <-req.Context().Done():
				return true
			case <-release:
				_, _ = w.Write(reply.body[end:])
				return true
			case <-tick.C:
				if _, err := w.Write([]byte{' '}); err != nil {
					return true
				}
			}
		}
	}
	return false
}
