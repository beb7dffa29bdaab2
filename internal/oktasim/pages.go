package oktasim

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
)

const (
	defaultPage = 20
	maxPage     = 200
)

// page answers a list: up to limit of the n items, from behind the cursor,
// without those that are nil. The next page is only to be had by the Link
// header; its cursor is opaque. Bounds and default are the API spec's
// (queryLimit: 1 to 200, 20 unless told).
func (o *Org) page(c *call, size, n int, item func(int) []byte) (*answer, error) {
	if text := c.query.Get("limit"); text != "" {
		limit, err := strconv.Atoi(text)
		// Stricter: the spec names a maximum and not what happens beyond it.
		if err != nil || limit < 1 || limit > maxPage {
			return nil, invalid("limit", fmt.Sprintf("limit: must be between 1 and %d", maxPage))
		}
		size = limit
	}
	start, number := 0, 1
	if cursor := c.query.Get("after"); cursor != "" {
		last, next, ok := itemOf(cursor)
		if !ok || last >= n {
			return nil, invalid("after", "Invalid cursor: "+cursor)
		}
		start, number = last+1, next
	}
	var list [][]byte
	last, more := -1, false
	for i := start; i < n; i++ {
		raw := item(i)
		if raw == nil {
			continue
		}
		if len(list) == size {
			more = true
			break
		}
		list, last = append(list, raw), i
	}
	reply := jsonAnswer(http.StatusOK, array(list))
	reply.header = http.Header{}
	reply.header.Add("Link", "<"+c.url(c.query)+`>; rel="self"`)
	if more {
		next := url.Values{}
		maps.Copy(next, c.query)
		next.Set("after", cursorOf(last, number+1))
		reply.header.Add("Link", "<"+c.url(next)+`>; rel="next"`)
	}
	return reply, nil
}

func (c *call) url(query url.Values) string {
	if len(query) == 0 {
		return c.base + c.path
	}
	return c.base + c.path + "?" + query.Encode()
}

// cursorOf makes the cursor for the page of that number, which begins behind
// item i. It is opaque on purpose: a client that builds one from an id or a
// number gets a 400.
func cursorOf(i, page int) string {
	return strconv.FormatUint((uint64(page)<<32|uint64(i)+1)*cursorFactor, 10)
}

// itemOf is the reverse of cursorOf.
func itemOf(cursor string) (i, page int, ok bool) {
	v, err := strconv.ParseUint(cursor, 10, 64)
	v *= cursorInverse
	i, page = int(v&0xFFFFFFFF)-1, int(v>>32)
	// Behind each page there is at least one item.
	return i, page, err == nil && i >= 0 && page >= 2 && page <= i+2
}

// cursorInverse * cursorFactor is 1 modulo 2^64.
const cursorFactor, cursorInverse uint64 = 0x9E3779B97F4A7C15, 0xF1DE83E19937733D

// pageOf is the number of the page of a list that the call asks for, from 1; 0
// where the call is for no list of pages.
func (c *call) pageOf() int {
	if c.route == nil || !slices.Contains(pagedOperations, c.route.operation) {
		return 0
	}
	if cursor := c.query.Get("after"); cursor != "" {
		_, page, _ := itemOf(cursor)
		return page
	}
	return 1
}

// pagedOperations are those that answer by page.
var pagedOperations = []string{"listApplications", "listIdentityProviders", "listIdentityProviderKeys"}
