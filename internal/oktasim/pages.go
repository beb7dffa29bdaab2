package oktasim

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strconv"
)

const (
	defaultPage = 20
	maxPage     = 200
)

// page answers a list: up to limit of the n items, from behind the cursor,
// without those that are nil. The next page is only to be had by the Link
// header; its cursor is opaque.
func (o *Org) page(c *call, size, n int, item func(int) []byte) (*answer, error) {
	if text := c.query.Get("limit"); text != "" {
		limit, err := strconv.Atoi(text)
		// Stricter: the spec names a maximum and not what happens beyond it.
		if err != nil || limit < 1 || limit > maxPage {
			return nil, invalid("limit", fmt.Sprintf("limit: must be between 1 and %d", maxPage))
		}
		size = limit
	}
	start := 0
	if cursor := c.query.Get("after"); cursor != "" {
		last, ok := itemOf(cursor, n)
		if !ok {
			return nil, invalid("after", "Invalid cursor: "+cursor)
		}
		start = last + 1
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
		next.Set("after", cursorOf(last))
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

// cursorOf makes the cursor for what comes behind item i. It is opaque on
// purpose: a client that builds one from an id or a number gets a 400.
func cursorOf(i int) string { return strconv.FormatUint((uint64(i)+1)*cursorFactor, 10) }

// itemOf is the reverse of cursorOf among n items.
func itemOf(cursor string, n int) (int, bool) {
	v, err := strconv.ParseUint(cursor, 10, 64)
	v *= cursorInverse
	return int(v - 1), err == nil && v >= 1 && v <= uint64(n)
}

// cursorInverse * cursorFactor is 1 modulo 2^64.
const cursorFactor, cursorInverse uint64 = 0x9E3779B97F4A7C15, 0xF1DE83E19937733D
