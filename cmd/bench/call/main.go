// Command call makes one call of list-apps, or of the naive scan that it is
// compared with. The benchmark starts it.
package main

import (
	"context"

	"keyturn/cmd/bench/played"
)

func main() {
	played.Main(map[string]played.Part{
		played.Nothing:      func(context.Context, played.Surroundings, []byte) (any, error) { return nil, nil },
		played.ListAppsPart: played.ListApps,
		played.NaivePart:    played.Naive,
	}, nil)
}
