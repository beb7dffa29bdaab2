// Command report makes one call of report-inventory. The benchmark starts it.
package main

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"

	"github.com/aws/aws-sdk-go-v2/service/eventbridge"

	"keyturn/cmd/bench/played"
	"keyturn/internal/inventory"
	"keyturn/internal/inventory/publish"
)

func main() {
	played.Main(map[string]played.Part{played.ReportPart: report}, nil)
}

// report is the function as functions/report-inventory wires it, without a
// sender.
func report(ctx context.Context, s played.Surroundings, input []byte) (any, error) {
	var in inventory.ReportInventoryInput
	if err := json.Unmarshal(input, &in); err != nil {
		return nil, err
	}
	return publish.Inventory{Bucket: s.Bucket, Events: taken{}, Stack: "keyturn", Metrics: io.Discard, Log: slog.New(slog.DiscardHandler), Now: s.Clock.Now}.Run(ctx, in)
}

// taken is an EventBridge that takes everything.
type taken struct{}

func (taken) PutEvents(context.Context, *eventbridge.PutEventsInput, ...func(*eventbridge.Options)) (*eventbridge.PutEventsOutput, error) {
	return &eventbridge.PutEventsOutput{}, nil
}
