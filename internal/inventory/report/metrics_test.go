package report_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"keyturn/internal/inventory"
	"keyturn/internal/inventory/report"
)

func TestTheMetricsAreOneLine(t *testing.T) {
	var b bytes.Buffer
	if err := report.Metrics(&b, troubledRun(), "keyturn-prod", digestNow); err != nil {
		t.Fatal(err)
	}
	const want = `{"_aws":{"Timestamp":1772344920000,"CloudWatchMetrics":[{"Namespace":"Keyturn","Dimensions":[["Stack"]],"Metrics":[` +
		`{"Name":"NearestExpiryDays","Unit":"Count"},{"Name":"CertificateAuthorityExpiryDays","Unit":"Count"},{"Name":"CertificateAuthorityProblems","Unit":"Count"},{"Name":"Due","Unit":"Count"},{"Name":"Waiting","Unit":"Count"},{"Name":"Started","Unit":"Count"},` +
		`{"Name":"FailedToStart","Unit":"Count"},{"Name":"FailedLately","Unit":"Count"},{"Name":"OktaCalls","Unit":"Count"},{"Name":"RateLimited","Unit":"Count"},` +
		`{"Name":"Problems","Unit":"Count"},{"Name":"Incomplete","Unit":"Count"}]}]},"Stack":"keyturn-prod",` +
		`"NearestExpiryDays":-2,"CertificateAuthorityExpiryDays":60,"CertificateAuthorityProblems":1,"Due":29,"Waiting":1,"Started":25,"FailedToStart":1,"FailedLately":2,"OktaCalls":830,"RateLimited":3,"Problems":3,"Incomplete":1}` + "\n"
	if b.String() != want {
		t.Errorf("got\n%s, want\n%s", b.String(), want)
	}
}

// The rules are those of the CloudWatch User Guide, "Embedded metric format
// specification".
func TestTheMetricsFollowTheSpecification(t *testing.T) {
	unknown := summaryOf()
	unknown.Nearest = nil
	for name, s := range map[string]inventory.Summary{"usual": usualRun(), "trouble": troubledRun(), "no expiry known": unknown, "nothing at all": {}} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			if err := report.Metrics(&b, s, `stack "1"`, digestNow); err != nil {
				t.Fatal(err)
			}
			line, ends := strings.CutSuffix(b.String(), "\n")
			if !ends || strings.Contains(line, "\n") || len(line) > 1<<20 {
				t.Fatalf("it is no line: %q", b.String())
			}
			var root map[string]any
			var meta struct {
				AWS struct {
					Timestamp         int64
					CloudWatchMetrics []struct {
						Namespace  string
						Dimensions [][]string
						Metrics    []struct{ Name, Unit string }
					}
				} `json:"_aws"`
			}
			if err := errors.Join(json.Unmarshal([]byte(line), &root), json.Unmarshal([]byte(line), &meta)); err != nil {
				t.Fatal(err)
			}
			if meta.AWS.Timestamp != digestNow.UnixMilli() || len(meta.AWS.CloudWatchMetrics) != 1 {
				t.Fatalf("the metadata is %+v", meta.AWS)
			}
			directive := meta.AWS.CloudWatchMetrics[0]
			if directive.Namespace != "Keyturn" || len(directive.Dimensions) != 1 || !slices.Equal(directive.Dimensions[0], []string{"Stack"}) || len(directive.Metrics) > 100 {
				t.Errorf("the directive is %+v", directive)
			}
			if root["Stack"] != `stack "1"` {
				t.Errorf("the dimension is %v", root["Stack"])
			}
			names := map[string]bool{}
			for _, m := range directive.Metrics {
				if _, number := root[m.Name].(float64); !number || names[m.Name] || m.Unit != "Count" {
					t.Errorf("%s, %s: %v", m.Name, m.Unit, root[m.Name])
				}
				names[m.Name] = true
			}
			if names["CertificateAuthorityExpiryDays"] != (len(s.Authorities) > 0) {
				t.Errorf("of %d CAs it says %v", len(s.Authorities), root["CertificateAuthorityExpiryDays"])
			}
			if names["NearestExpiryDays"] != (s.Nearest != nil) || len(root) != len(names)+2 {
				t.Errorf("there are %v", root)
			}
		})
	}
}

func TestADryRunHasNoMetrics(t *testing.T) {
	s := usualRun()
	s.Run.DryRun = true
	var b bytes.Buffer
	if err := report.Metrics(&b, s, "keyturn", digestNow); err != nil || b.Len() != 0 {
		t.Errorf("%v, %q", err, b.String())
	}
}

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

func TestMetricsThatCannotBeWrittenAreAnError(t *testing.T) {
	if err := report.Metrics(brokenPipe{}, usualRun(), "keyturn", digestNow); err == nil {
		t.Error("no error")
	}
}

// metricOf is a metric's value; -1000 where it is not there.
func metricOf(t *testing.T, line []byte, name string) int {
	t.Helper()
	var values map[string]any
	if err := json.Unmarshal(line, &values); err != nil {
		t.Fatal(err)
	}
	value, is := values[name].(float64)
	if !is {
		return -1000
	}
	return int(value)
}
