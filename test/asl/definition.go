// Package asl executes state machines in this process: the Amazon States
// Language (states-language.net/spec.html) with JSONata, as far as Keyturn's
// definitions use it, and as AWS Step Functions' Developer Guide describes it.
// Everything waits on package time's clock, so that in a bubble of
// testing/synctest days take no time.
package asl

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"keyturn/test/asl/jsonata"
)

// Machine is a state machine. It may be used by several goroutines.
type Machine struct {
	key     [32]byte // the same for the same definition
	start   string
	timeout int // seconds, 0 for none
	names   []string
	states  map[string]*state
}

// State kinds, as in Type.
const (
	kindTask    = "Task"
	kindChoice  = "Choice"
	kindWait    = "Wait"
	kindPass    = "Pass"
	kindSucceed = "Succeed"
	kindFail    = "Fail"
)

type state struct {
	name, kind string
	next       string // empty where the execution ends
	assign     map[string]template
	output     *template

	// Task
	resource  string
	service   string // such as lambda
	action    string // such as invoke.waitForTaskToken
	arguments template
	timeout   *template
	retry     []retrier
	catch     []catcher

	// Choice; next is the default.
	rules []rule

	// Wait
	seconds, timestamp *template

	// Fail
	failError, failCause *template
}

type retrier struct {
	errors      []string
	interval    float64 // seconds
	backoff     float64
	most        int
	longest     float64 // seconds, 0 for no bound
	randomDelay bool
}

type catcher struct {
	errors []string
	assign map[string]template
	output *template
	next   string
}

type rule struct {
	condition template
	assign    map[string]template
	output    *template
	next      string
}

// The definition's JSON, with every field that is known.
type (
	machineJSON struct {
		Comment        string
		QueryLanguage  string
		StartAt        string
		TimeoutSeconds int
		States         map[string]json.RawMessage
	}
	commonJSON struct {
		Type          string
		Comment       string
		QueryLanguage string
		Assign        map[string]json.RawMessage
		Output        json.RawMessage
		Next          string
		End           bool
	}
	taskJSON struct {
		commonJSON
		Resource       string
		Arguments      json.RawMessage
		TimeoutSeconds json.RawMessage
		Retry          []retryJSON
		Catch          []catchJSON
	}
	retryJSON struct {
		ErrorEquals     []string
		IntervalSeconds *int
		BackoffRate     *float64
		MaxAttempts     *int
		MaxDelaySeconds int
		JitterStrategy  string
	}
	catchJSON struct {
		Comment     string
		ErrorEquals []string
		Assign      map[string]json.RawMessage
		Output      json.RawMessage
		Next        string
	}
	choiceJSON struct {
		Type, Comment, QueryLanguage string
		Choices                      []ruleJSON
		Default                      string
		Assign                       map[string]json.RawMessage
		Output                       json.RawMessage
	}
	ruleJSON struct {
		Comment   string
		Condition json.RawMessage
		Assign    map[string]json.RawMessage
		Output    json.RawMessage
		Next      string
	}
	waitJSON struct {
		commonJSON
		Seconds, Timestamp json.RawMessage
	}
	passJSON    struct{ commonJSON }
	succeedJSON struct {
		Type, Comment, QueryLanguage string
		Output                       json.RawMessage
	}
	failJSON struct {
		Type, Comment, QueryLanguage string
		Error, Cause                 json.RawMessage
	}
)

var placeholder = regexp.MustCompile(`\$\{[A-Za-z0-9]+\}`)

// Parse reads a definition after the substitution of its ${Name} placeholders.
// It refuses everything that it does not know: types of states, fields,
// JSONPath, functions of JSONata, names of states that do not exist.
func Parse(definition []byte, substitutions map[string]string) (*Machine, error) {
	var missing []string
	text := placeholder.ReplaceAllFunc(definition, func(p []byte) []byte {
		value, ok := substitutions[string(p[2:len(p)-1])]
		if !ok {
			missing = append(missing, string(p))
		}
		return []byte(value)
	})
	if len(missing) > 0 {
		slices.Sort(missing)
		return nil, fmt.Errorf("nothing was given for %s", strings.Join(slices.Compact(missing), ", "))
	}
	var d machineJSON
	if err := strict(text, &d); err != nil {
		return nil, err
	}
	if d.QueryLanguage != "JSONata" {
		return nil, fmt.Errorf("field QueryLanguage is %q: only JSONata is known", d.QueryLanguage)
	}
	m := &Machine{key: sha256.Sum256(text), start: d.StartAt, timeout: d.TimeoutSeconds,
		names: slices.Sorted(maps.Keys(d.States)), states: map[string]*state{}}
	for _, name := range m.names {
		s, err := parseState(d.States[name])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		s.name = name
		m.states[name] = s
	}
	return m, m.validate()
}

// validate looks for names of states that do not exist, and states that cannot
// be reached.
func (m *Machine) validate() error {
	reached := map[string]bool{}
	todo := []string{m.start}
	for len(todo) > 0 {
		name := todo[0]
		todo = todo[1:]
		if reached[name] {
			continue
		}
		s, ok := m.states[name]
		if !ok {
			return fmt.Errorf("there is no state %q", name)
		}
		reached[name] = true
		todo = append(todo, s.successors()...)
	}
	for _, name := range m.names {
		if !reached[name] {
			return fmt.Errorf("%s: nothing leads to this state", name)
		}
	}
	return nil
}

func (s *state) successors() []string {
	var all []string
	if s.next != "" {
		all = append(all, s.next)
	}
	for _, r := range s.rules {
		all = append(all, r.next)
	}
	for _, c := range s.catch {
		all = append(all, c.next)
	}
	return all
}

// strict decodes JSON and refuses unknown fields, and what follows the value.
func strict(text []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if d.More() {
		return errors.New("something follows the JSON value")
	}
	return nil
}

func parseState(text []byte) (*state, error) {
	var kind struct{ Type, QueryLanguage string }
	if err := json.Unmarshal(text, &kind); err != nil {
		return nil, err
	}
	if kind.QueryLanguage != "" && kind.QueryLanguage != "JSONata" {
		return nil, fmt.Errorf("field QueryLanguage is %q: only JSONata is known", kind.QueryLanguage)
	}
	parse, ok := map[string]func([]byte) (*state, error){
		kindTask: parseTask, kindChoice: parseChoice, kindWait: parseWait,
		kindPass: parsePass, kindSucceed: parseSucceed, kindFail: parseFail,
	}[kind.Type]
	if !ok {
		return nil, fmt.Errorf("type %q is not known", kind.Type)
	}
	s, err := parse(text)
	if err != nil {
		return nil, err
	}
	s.kind = kind.Type
	return s, nil
}

// common takes over what most states have.
func (c commonJSON) state() (*state, error) {
	if (c.Next == "") != c.End {
		return nil, errors.New("a state has either Next or End")
	}
	s := &state{next: c.Next}
	return s, s.results(c.Assign, c.Output)
}

func (s *state) results(assign map[string]json.RawMessage, output json.RawMessage) (err error) {
	s.assign, s.output, err = parseResults(assign, output)
	return err
}

func parseResults(assign map[string]json.RawMessage, output json.RawMessage) (map[string]template, *template, error) {
	var all map[string]template
	if assign != nil {
		all = map[string]template{}
	}
	for name, value := range assign {
		if name == "states" || jsonata.IsFunction(name) || !variableName.MatchString(name) {
			return nil, nil, fmt.Errorf("field Assign: %q cannot be the name of a variable", name)
		}
		t, err := parseTemplate("Assign/"+name, value)
		if err != nil {
			return nil, nil, err
		}
		all[name] = t
	}
	out, err := parseOptional("Output", output)
	return all, out, err
}

var variableName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]{0,79}$`)

func parseTask(text []byte) (*state, error) {
	var t taskJSON
	if err := strict(text, &t); err != nil {
		return nil, err
	}
	s, err := t.state()
	if err != nil {
		return nil, err
	}
	s.resource = t.Resource
	integration := strings.Split(t.Resource, ":::")
	if len(integration) != 2 || !strings.HasSuffix(integration[0], ":states") {
		return nil, fmt.Errorf("field Resource: %q is no integration of Step Functions", t.Resource)
	}
	var ok bool
	if s.service, s.action, ok = strings.Cut(integration[1], ":"); !ok {
		return nil, fmt.Errorf("field Resource: %q names no action", t.Resource)
	}
	if t.Arguments == nil {
		t.Arguments = json.RawMessage(`{}`)
	}
	if s.arguments, err = parseTemplate("Arguments", t.Arguments); err != nil {
		return nil, err
	}
	if s.timeout, err = parseOptional("TimeoutSeconds", t.TimeoutSeconds); err != nil {
		return nil, err
	}
	for i, r := range t.Retry {
		one, err := r.retrier()
		if err == nil {
			err = checkErrors(r.ErrorEquals, i == len(t.Retry)-1)
		}
		if err != nil {
			return nil, fmt.Errorf("field Retry[%d]: %w", i, err)
		}
		s.retry = append(s.retry, one)
	}
	for i, c := range t.Catch {
		one := catcher{errors: c.ErrorEquals, next: c.Next}
		err := checkErrors(c.ErrorEquals, i == len(t.Catch)-1)
		if err == nil {
			one.assign, one.output, err = parseResults(c.Assign, c.Output)
		}
		if err != nil {
			return nil, fmt.Errorf("field Catch[%d]: %w", i, err)
		}
		s.catch = append(s.catch, one)
	}
	return s, nil
}

func (r retryJSON) retrier() (retrier, error) {
	one := retrier{errors: r.ErrorEquals, interval: 1, backoff: 2, most: 3,
		longest: float64(r.MaxDelaySeconds), randomDelay: r.JitterStrategy == "FULL"}
	if r.IntervalSeconds != nil {
		one.interval = float64(*r.IntervalSeconds)
	}
	if r.BackoffRate != nil {
		one.backoff = *r.BackoffRate
	}
	if r.MaxAttempts != nil {
		one.most = *r.MaxAttempts
	}
	switch {
	case one.interval < 1 || one.backoff < 1 || one.most < 0 || one.longest < 0:
		return one, errors.New("wrong bounds: IntervalSeconds and BackoffRate are at least 1, MaxAttempts and MaxDelaySeconds not negative")
	case one.longest != 0 && one.longest <= one.interval:
		return one, errors.New("field MaxDelaySeconds: it must be greater than IntervalSeconds")
	case r.JitterStrategy != "" && r.JitterStrategy != "FULL" && r.JitterStrategy != "NONE":
		return one, fmt.Errorf("field JitterStrategy is %q: use FULL or NONE", r.JitterStrategy)
	}
	return one, nil
}

// reserved are the names of errors that begin with "States.".
var reserved = []string{"States.ALL", "States.DataLimitExceeded", "States.HeartbeatTimeout", "States.Http.Socket",
	"States.NoChoiceMatched", "States.Permissions", "States.QueryEvaluationError", "States.Runtime",
	"States.TaskFailed", "States.Timeout"}

func checkErrors(names []string, last bool) error {
	if len(names) == 0 {
		return errors.New("field ErrorEquals is empty")
	}
	for _, name := range names {
		if strings.HasPrefix(name, "States.") && !slices.Contains(reserved, name) {
			return fmt.Errorf("field ErrorEquals has %q, which is no error of Step Functions", name)
		}
		if name == "States.ALL" && (len(names) > 1 || !last) {
			return errors.New("field ErrorEquals: States.ALL stands alone, and last")
		}
	}
	return nil
}

func parseChoice(text []byte) (*state, error) {
	var c choiceJSON
	if err := strict(text, &c); err != nil {
		return nil, err
	}
	if len(c.Choices) == 0 {
		return nil, errors.New("field Choices is empty")
	}
	s := &state{next: c.Default}
	if err := s.results(c.Assign, c.Output); err != nil {
		return nil, err
	}
	for i, r := range c.Choices {
		one := rule{next: r.Next}
		var err error
		if one.condition, err = parseTemplate(fmt.Sprintf("Choices[%d]/Condition", i), r.Condition); err != nil {
			return nil, err
		}
		if one.assign, one.output, err = parseResults(r.Assign, r.Output); err != nil {
			return nil, fmt.Errorf("field Choices[%d]: %w", i, err)
		}
		s.rules = append(s.rules, one)
	}
	return s, nil
}

func parseWait(text []byte) (*state, error) {
	var w waitJSON
	if err := strict(text, &w); err != nil {
		return nil, err
	}
	s, err := w.state()
	if err != nil {
		return nil, err
	}
	if (w.Seconds == nil) == (w.Timestamp == nil) {
		return nil, errors.New("a Wait state has either Seconds or Timestamp")
	}
	if s.seconds, err = parseOptional("Seconds", w.Seconds); err != nil {
		return nil, err
	}
	s.timestamp, err = parseOptional("Timestamp", w.Timestamp)
	return s, err
}

func parsePass(text []byte) (*state, error) {
	var p passJSON
	if err := strict(text, &p); err != nil {
		return nil, err
	}
	return p.state()
}

func parseSucceed(text []byte) (*state, error) {
	var e succeedJSON
	if err := strict(text, &e); err != nil {
		return nil, err
	}
	s := &state{}
	return s, s.results(nil, e.Output)
}

func parseFail(text []byte) (*state, error) {
	var f failJSON
	err := strict(text, &f)
	if err != nil {
		return nil, err
	}
	s := &state{}
	if s.failError, err = parseOptional("Error", f.Error); err != nil {
		return nil, err
	}
	s.failCause, err = parseOptional("Cause", f.Cause)
	return s, err
}

// template is a JSON value with expressions in it: text of the form {% … %}.
type template struct {
	field string
	// One of these; with none of them it is the constant.
	expression *jsonata.Expr
	items      []template
	members    map[string]template
	constant   any
}

func parseOptional(field string, text json.RawMessage) (*template, error) {
	if text == nil {
		return nil, nil //nolint:nilnil // an absent field is no error
	}
	t, err := parseTemplate(field, text)
	return &t, err
}

func parseTemplate(field string, text json.RawMessage) (template, error) {
	if text == nil {
		return template{}, fmt.Errorf("%s is missing", field)
	}
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		return template{}, fmt.Errorf("%s: %w", field, err)
	}
	return newTemplate(field, v)
}

func newTemplate(field string, v any) (t template, err error) {
	t.field = field
	switch v := v.(type) {
	case string:
		inner, opens := strings.CutPrefix(v, "{%")
		inner, closes := strings.CutSuffix(inner, "%}")
		if opens != closes {
			return t, fmt.Errorf("%s: %q begins or ends as an expression only", field, v)
		}
		if !opens {
			t.constant = v
			return t, nil
		}
		if t.expression, err = jsonata.Compile(strings.TrimSpace(inner)); err != nil {
			return t, fmt.Errorf("%s: %q: %w", field, v, err)
		}
	case []any:
		t.items = make([]template, len(v))
		for i := range v {
			if t.items[i], err = newTemplate(fmt.Sprintf("%s[%d]", field, i), v[i]); err != nil {
				return t, err
			}
		}
	case map[string]any:
		t.members = make(map[string]template, len(v))
		for name := range v {
			if strings.HasSuffix(name, ".$") {
				return t, fmt.Errorf("%s: %q is JSONPath, only JSONata is known", field, name)
			}
			if t.members[name], err = newTemplate(field+"/"+name, v[name]); err != nil {
				return t, err
			}
		}
	default:
		t.constant = v
	}
	return t, nil
}
