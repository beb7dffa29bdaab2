package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"keyturn/internal/inventory"
)

// Where the metrics are in CloudWatch. The template's alarm names both.
const (
	metricNamespace = "Keyturn"
	metricDimension = "Stack"
)

// metric is one metric's definition in the embedded metric format.
type metric struct {
	Name string `json:"Name"`
	Unit string `json:"Unit"`

	value int
}

type metricDirective struct {
	Namespace  string     `json:"Namespace"`
	Dimensions [][]string `json:"Dimensions"`
	Metrics    []metric   `json:"Metrics"`
}

// Metrics writes what is counted of a run as one line in CloudWatch's embedded
// metric format (CloudWatch User Guide, "Embedded metric format
// specification"): Lambda's log makes metrics of it, with the stack's name as
// their dimension. The order of keys never changes. A dry run has none, without a
// known certificate there is no NearestExpiryDays, and without one of a CA no
// CertificateAuthorityExpiryDays.
func Metrics(w io.Writer, s inventory.Summary, stack string, now time.Time) error {
	if s.Run.DryRun {
		return nil
	}
	incomplete := 0
	if !s.Run.Complete {
		incomplete = 1
	}
	var metrics []metric
	count := func(name string, value int) {
		metrics = append(metrics, metric{Name: name, Unit: "Count", value: value})
	}
	if s.Nearest != nil && s.Nearest.DaysLeft != nil {
		count("NearestExpiryDays", *s.Nearest.DaysLeft)
	}
	unknown := 0
	var first *inventory.AuthorityCertificate
	for _, a := range s.Authorities {
		if a.Problem != nil {
			unknown++
		}
		if end := a.FirstEnd(); end != nil && (first == nil || end.NotAfter.Before(first.NotAfter)) {
			first = end
		}
	}
	if first != nil {
		count("CertificateAuthorityExpiryDays", first.DaysLeft)
	}
	count("CertificateAuthorityProblems", unknown)
	count("Due", s.DueCount)
	count("Waiting", len(waitingOf(s)))
	count("Started", startedCount(s))
	count("FailedToStart", s.Actions[inventory.ActionFailed])
	count("FailedLately", s.FailedCount)
	count("OktaCalls", s.Run.OktaCalls)
	count("RateLimited", s.Run.RateLimited)
	count("Problems", s.Run.ProblemCount)
	count("Incomplete", incomplete)

	var line bytes.Buffer
	head, err := json.Marshal(struct {
		Timestamp         int64             `json:"Timestamp"`
		CloudWatchMetrics []metricDirective `json:"CloudWatchMetrics"`
	}{now.UnixMilli(), []metricDirective{{Namespace: metricNamespace, Dimensions: [][]string{{metricDimension}}, Metrics: metrics}}})
	if err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	name, err := json.Marshal(stack)
	if err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	fmt.Fprintf(&line, `{"_aws":%s,%q:%s`, head, metricDimension, name)
	for _, m := range metrics {
		fmt.Fprintf(&line, ",%q:%d", m.Name, m.value)
	}
	line.WriteString("}\n")
	if _, err := w.Write(line.Bytes()); err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	return nil
}
