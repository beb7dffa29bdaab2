package inventory

import (
	"encoding/json"
	"time"

	"keyturn/internal/rotation"
)

// Request is the input of discovery.
type Request struct {
	// Policy is the policy to go by; absent for the one the stack was deployed
	// with.
	Policy json.RawMessage `json:"policy,omitempty"`
	// DryRun says what would be done and does nothing.
	DryRun bool `json:"dryRun,omitempty"`
}

// Begun names a run of discovery. Every step gets it.
type Begun struct {
	// ID is the execution's name, Execution its ARN, At when it started.
	ID        string    `json:"id"`
	Execution string    `json:"execution"`
	At        time.Time `json:"at"`
}

// ListAppsInput is the input of list-apps (guide, step 1). The place that an
// earlier call has come to is in the bucket; only how often it was called is
// in the state.
type ListAppsInput struct {
	Run     Begun   `json:"run"`
	Request Request `json:"request"`
	// Pass counts the calls for this run from 0.
	Pass int `json:"pass"`
}

// Usage says what people give, for an error about what they gave.
func (*ListAppsInput) Usage() string {
	return `the input of discovery is {"policy": {…}, "dryRun": true}, both of which may be left out`
}

// ListAppsOutput says whether the lists are complete and all certificates
// known. If not, the state machine waits until ResumeAt and calls again.
type ListAppsOutput struct {
	Done     bool       `json:"done"`
	ResumeAt *time.Time `json:"resumeAt,omitempty"`
	// Reason says why it is waited.
	Reason string `json:"reason,omitempty"`
	// DryRun is the request's.
	DryRun bool `json:"dryRun"`
	// Authorities are the CAs that the policy can lead to, each once: those
	// that sign-csr is asked to describe.
	Authorities []rotation.CertificateAuthority `json:"authorities"`
}

// StartRotationsInput is the input of start-rotations.
type StartRotationsInput struct {
	Run    Begun `json:"run"`
	DryRun bool  `json:"dryRun"`
}

// StartRotationsOutput counts what was done; the whole is in Keys.Starts.
type StartRotationsOutput struct {
	Due     int `json:"due"`
	Started int `json:"started"`
	Failed  int `json:"failed"`
	Running int `json:"running"`
}

// Starts is what start-rotations leaves for the report, at Keys.Starts.
type Starts struct {
	// Dues are all that are due, the earliest expiry first, each with its
	// final action, reason, rotation and problem.
	Dues []Entry `json:"dues"`
	// Running are all rotations that have not ended, those of this run
	// included, the oldest first.
	Running []Running `json:"running"`
	// Ended are those of the last 14 days, the latest first.
	Ended []Ended `json:"ended"`
	// Problems are those of Step Functions, such as an execution that could
	// not be read.
	Problems []Problem `json:"problems"`
}

// ReportInventoryInput is the input of report-inventory.
type ReportInventoryInput struct {
	Run    Begun `json:"run"`
	DryRun bool  `json:"dryRun"`
	// Authorities are what sign-csr said of the CAs, or that it could not.
	Authorities []rotation.AuthorityFacts `json:"authorities,omitempty"`
}

// ReportInventoryOutput is the output of discovery.
type ReportInventoryOutput struct {
	DryRun    bool `json:"dryRun"`
	Complete  bool `json:"complete"`
	Targets   int  `json:"targets"`
	Due       int  `json:"due"`
	Started   int  `json:"started"`
	Running   int  `json:"running"`
	Failed    int  `json:"failed"`
	Problems  int  `json:"problems"`
	OktaCalls int  `json:"oktaCalls"`
	// NearestExpiryDays are those of the certificate that ends first.
	NearestExpiryDays *int `json:"nearestExpiryDays,omitempty"`
	// Inventory and Report are the objects' keys in the bucket.
	Inventory string `json:"inventory"`
	Report    string `json:"report"`
	// Superseded tells that a run that started later had written them already:
	// this run's are not kept.
	Superseded bool `json:"superseded,omitempty"`
}

// Listing is what list-apps leaves beside the entries, at Keys.Listing.
type Listing struct {
	Org string `json:"org"`
	// Run has everything but FinishedAt.
	Run          Run           `json:"run"`
	Mode         rotation.Mode `json:"mode"`
	MaxRotations int           `json:"maxRotations"`
	// SharedKeys are all groups of two and more, with all their targets.
	SharedKeys []SharedKey `json:"sharedKeys"`
	Trust      []Trust     `json:"trust"`
	// ValidityDays are CertificateAuthority's.
	ValidityDays map[rotation.CertificateAuthority]int `json:"validityDays,omitempty"`
}

// Keys are the objects that the steps of one run pass on in the bucket.
type Keys struct{ Run string }

// Entries holds one Entry a line, all targets, the earliest expiry first.
// Those that are due have the action that list-apps can tell, start or notify.
func (k Keys) Entries() string { return k.Work() + "entries.jsonl" }

// Dues holds one Due a line, the earliest expiry first.
func (k Keys) Dues() string { return k.Work() + "dues.jsonl" }

// Listing holds the Listing.
func (k Keys) Listing() string { return k.Work() + "listing.json" }

// Plan holds what start-rotations decided before it started anything.
func (k Keys) Plan() string { return k.Work() + "plan.json" }

// Starts holds the Starts.
func (k Keys) Starts() string { return k.Work() + "starts.json" }

// Work is the prefix of the objects of the run.
func (k Keys) Work() string { return "runs/" + k.Run + "/" }

// What people and other programs read.
const (
	LatestInventory = "inventory/latest.json"
	LatestReport    = "report/latest.html"
	DryRunInventory = "inventory/dry-run.json"
	DryRunReport    = "report/dry-run.html"
)
