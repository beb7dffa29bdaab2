// Command twice is list-apps with a defect: it asks for everything twice. The
// benchmark has to find that.
package main

import (
	"net/http"

	"keyturn/cmd/bench/played"
)

type twice struct{}

func (twice) RoundTrip(r *http.Request) (*http.Response, error) {
	first, err := http.DefaultTransport.RoundTrip(r.Clone(r.Context()))
	if err != nil {
		return nil, err
	}
	_ = first.Body.Close()
	return http.DefaultTransport.RoundTrip(r)
}

func main() {
	played.Main(map[string]played.Part{played.ListAppsPart: played.ListApps}, twice{})
}
