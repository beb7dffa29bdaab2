package jsonata

import (
	"bytes"
	"encoding/json"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// functions are the ones that every expression can call. A higher-order one
// passes them the arguments that they cannot do without.
var functions = map[string]*function{}

func init() {
	for name, b := range builtins {
		functions[name] = &function{arity: b.least, call: func(args []any) (any, error) {
			if len(args) < b.least || len(args) > b.most {
				return undefined, errorf("T0410", "$%s takes %d to %d arguments and got %d", name, b.least, b.most, len(args))
			}
			return b.call(args)
		}}
	}
}

// IsFunction tells whether a variable of this name would hide a function.
func IsFunction(name string) bool { return functions[name] != nil }

type builtin struct {
	least, most int
	call        func(args []any) (any, error)
}

var builtins = map[string]builtin{
	"string": {1, 2, func(a []any) (any, error) {
		if isUndefined(a[0]) {
			return undefined, nil
		}
		if len(a) == 2 && a[1] != false {
			return undefined, errorf("T0410", "$string does not make text to be read by people here")
		}
		return text(a[0])
	}},
	"length":          onText("length", func(s string) any { return float64(len([]rune(s))) }),
	"uppercase":       onText("uppercase", func(s string) any { return strings.ToUpper(s) }),
	"lowercase":       onText("lowercase", func(s string) any { return strings.ToLower(s) }),
	"trim":            onText("trim", func(s string) any { return strings.Join(strings.Fields(s), " ") }),
	"substring":       {2, 3, substring},
	"substringBefore": {2, 2, onTexts("substringBefore", func(s, at string) any { before, _, _ := strings.Cut(s, at); return before })},
	"substringAfter": {2, 2, onTexts("substringAfter", func(s, at string) any {
		if _, after, found := strings.Cut(s, at); found {
			return after
		}
		return s
	})},
	"contains": {2, 2, onTexts("contains", func(s, part string) any { return strings.Contains(s, part) })},
	"split":    {2, 2, onTexts("split", func(s, by string) any { return anys(strings.Split(s, by)) })},
	"join":     {1, 2, join},
	"number":   {1, 1, number},
	"abs":      onNumber("abs", math.Abs),
	"floor":    onNumber("floor", math.Floor),
	"ceil":     onNumber("ceil", math.Ceil),
	"sum":      onNumbers("sum", func(n []float64) any { return total(n) }),
	"max":      onNumbers("max", func(n []float64) any { return extreme(n, slices.Max[[]float64]) }),
	"min":      onNumbers("min", func(n []float64) any { return extreme(n, slices.Min[[]float64]) }),
	"average": onNumbers("average", func(n []float64) any {
		return extreme(n, func(n []float64) float64 { return total(n) / float64(len(n)) })
	}),
	"boolean": {1, 1, func(a []any) (any, error) {
		if isUndefined(a[0]) {
			return undefined, nil
		}
		return boolean(a[0]), nil
	}},
	"not": {1, 1, func(a []any) (any, error) {
		if isUndefined(a[0]) {
			return undefined, nil
		}
		return !boolean(a[0]), nil
	}},
	"exists": {1, 1, func(a []any) (any, error) { return !isUndefined(a[0]), nil }},
	"count":  {1, 1, func(a []any) (any, error) { return float64(len(arrayOf(a[0]))), nil }},
	"append": {2, 2, func(a []any) (any, error) {
		switch {
		case isUndefined(a[0]):
			return a[1], nil
		case isUndefined(a[1]):
			return a[0], nil
		}
		return slices.Concat(arrayOf(a[0]), arrayOf(a[1])), nil
	}},
	"reverse": {1, 1, func(a []any) (any, error) {
		if isUndefined(a[0]) {
			return undefined, nil
		}
		items := slices.Clone(arrayOf(a[0]))
		slices.Reverse(items)
		return items, nil
	}},
	"distinct": {1, 1, func(a []any) (any, error) {
		items, ok := a[0].([]any)
		if !ok || len(items) < 2 {
			return a[0], nil
		}
		all := &sequence{}
		for _, item := range items {
			if !slices.ContainsFunc(all.items, func(one any) bool { return equal(one, item) }) {
				all.items = append(all.items, item)
			}
		}
		return all, nil
	}},
	"map":        {2, 2, mapItems},
	"filter":     {2, 2, filterItems},
	"reduce":     {2, 3, reduce},
	"sift":       {2, 2, sift},
	"each":       {2, 2, each},
	"keys":       {1, 1, keys},
	"lookup":     {2, 2, lookupKey},
	"merge":      {1, 1, merge},
	"type":       {1, 1, func(a []any) (any, error) { return typeOf(a[0]), nil }},
	"error":      {0, 1, fail},
	"now":        {0, 0, func([]any) (any, error) { return stamp(time.Now()), nil }},
	"millis":     {0, 0, func([]any) (any, error) { return float64(time.Now().UnixMilli()), nil }},
	"toMillis":   {1, 1, toMillis},
	"fromMillis": {1, 1, fromMillis},
	"parse":      {1, 1, parse},
}

func show(v any) string {
	s, err := text(v)
	if err != nil {
		return "something that is no JSON"
	}
	if _, ok := v.(string); ok {
		return strconv.Quote(s)
	}
	return s
}

// text is what $string and & make of a value. Keys come in alphabetical order;
// JSONata keeps that of their making.
func text(v any) (string, error) {
	switch v := v.(type) {
	case nothing:
		return "undefined", nil
	case string:
		return v, nil
	case *function:
		return "", nil
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(rounded(v)); err != nil {
		return "", errorf("D1001", "no JSON can be made of it: %v", err)
	}
	return strings.TrimSuffix(b.String(), "\n"), nil
}

// rounded has numbers with 15 digits, as $string shows them, and no functions.
func rounded(v any) any {
	switch v := v.(type) {
	case float64:
		n, err := strconv.ParseFloat(strconv.FormatFloat(v, 'g', 15, 64), 64)
		if err != nil {
			return v
		}
		return n
	case *function:
		return ""
	case []any:
		all := make([]any, len(v))
		for i := range v {
			all[i] = rounded(v[i])
		}
		return all
	case map[string]any:
		all := make(map[string]any, len(v))
		for k := range v {
			all[k] = rounded(v[k])
		}
		return all
	}
	return v
}

func anys(s []string) []any {
	all := make([]any, len(s))
	for i := range s {
		all[i] = s[i]
	}
	return all
}

func wrong(name string, position int, v any) error {
	return errorf("T0410", "argument %d of $%s is %s, which it does not take", position, name, show(v))
}

func onText(name string, do func(string) any) builtin {
	return builtin{1, 1, func(a []any) (any, error) {
		switch s := a[0].(type) {
		case nothing:
			return undefined, nil
		case string:
			return do(s), nil
		}
		return undefined, wrong(name, 1, a[0])
	}}
}

func onTexts(name string, do func(s, second string) any) func([]any) (any, error) {
	return func(a []any) (any, error) {
		s, ok := a[0].(string)
		if !ok && !isUndefined(a[0]) {
			return undefined, wrong(name, 1, a[0])
		}
		second, okToo := a[1].(string)
		switch {
		case !okToo:
			return undefined, wrong(name, 2, a[1])
		case !ok:
			return undefined, nil
		}
		return do(s, second), nil
	}
}

func substring(a []any) (any, error) {
	s, ok := a[0].(string)
	if !ok && !isUndefined(a[0]) {
		return undefined, wrong("substring", 1, a[0])
	}
	n, okToo := a[1].(float64)
	switch {
	case !okToo:
		return undefined, wrong("substring", 2, a[1])
	case !ok:
		return undefined, nil
	}
	runes := []rune(s)
	start := int(n)
	if start < 0 {
		start = max(0, start+len(runes))
	}
	start = min(start, len(runes))
	end := len(runes)
	if len(a) == 3 && !isUndefined(a[2]) {
		length, ok := a[2].(float64)
		if !ok {
			return undefined, wrong("substring", 3, a[2])
		}
		end = min(end, start+max(0, int(length)))
	}
	return string(runes[start:end]), nil
}

func join(a []any) (any, error) {
	if isUndefined(a[0]) {
		return undefined, nil
	}
	separator := ""
	if len(a) == 2 && !isUndefined(a[1]) {
		s, ok := a[1].(string)
		if !ok {
			return undefined, wrong("join", 2, a[1])
		}
		separator = s
	}
	var parts []string
	for _, item := range arrayOf(a[0]) {
		s, ok := item.(string)
		if !ok {
			return undefined, wrong("join", 1, a[0])
		}
		parts = append(parts, s)
	}
	return strings.Join(parts, separator), nil
}

func number(a []any) (any, error) {
	switch v := a[0].(type) {
	case nothing, float64:
		return v, nil
	case bool:
		if v {
			return 1.0, nil
		}
		return 0.0, nil
	case string:
		if n, err := strconv.ParseFloat(v, 64); err == nil {
			return n, nil
		}
	}
	return undefined, errorf("D3030", "%s is no number", show(a[0]))
}

func onNumber(name string, do func(float64) float64) builtin {
	return builtin{1, 1, func(a []any) (any, error) {
		switch n := a[0].(type) {
		case nothing:
			return undefined, nil
		case float64:
			return do(n), nil
		}
		return undefined, wrong(name, 1, a[0])
	}}
}

func onNumbers(name string, do func([]float64) any) builtin {
	return builtin{1, 1, func(a []any) (any, error) {
		if isUndefined(a[0]) {
			return undefined, nil
		}
		var numbers []float64
		for _, item := range arrayOf(a[0]) {
			n, ok := item.(float64)
			if !ok {
				return undefined, errorf("T0412", "$%s got %s: it takes numbers only", name, show(item))
			}
			numbers = append(numbers, n)
		}
		return do(numbers), nil
	}}
}

func total(numbers []float64) float64 {
	sum := 0.0
	for _, n := range numbers {
		sum += n
	}
	return sum
}

func extreme(numbers []float64, of func([]float64) float64) any {
	if len(numbers) == 0 {
		return undefined
	}
	return of(numbers)
}

func functionOf(name string, v any) (*function, error) {
	fn, ok := v.(*function)
	if !ok {
		return nil, wrong(name, 2, v)
	}
	return fn, nil
}

// callback calls a function with as many arguments as it takes.
func callback(fn *function, args ...any) (any, error) {
	return fn.call(args[:max(1, min(fn.arity, len(args)))])
}

func mapItems(a []any) (any, error) {
	fn, err := functionOf("map", a[1])
	if err != nil || isUndefined(a[0]) {
		return undefined, err
	}
	items := arrayOf(a[0])
	all := &sequence{}
	for i, item := range items {
		v, err := callback(fn, item, float64(i), items)
		if err != nil {
			return undefined, err
		}
		if !isUndefined(v) {
			all.items = append(all.items, v)
		}
	}
	return all, nil
}

func filterItems(a []any) (any, error) {
	fn, err := functionOf("filter", a[1])
	if err != nil || isUndefined(a[0]) {
		return undefined, err
	}
	items := arrayOf(a[0])
	all := &sequence{}
	for i, item := range items {
		v, err := callback(fn, item, float64(i), items)
		if err != nil {
			return undefined, err
		}
		if boolean(v) {
			all.items = append(all.items, item)
		}
	}
	return all, nil
}

func reduce(a []any) (any, error) {
	fn, err := functionOf("reduce", a[1])
	if err != nil || isUndefined(a[0]) {
		return undefined, err
	}
	if fn.arity < 2 {
		return undefined, errorf("D3050", "the function of $reduce takes two arguments or more")
	}
	items := arrayOf(a[0])
	result, first := undefined, 0
	switch {
	case len(a) == 3 && !isUndefined(a[2]):
		result = a[2]
	case len(items) > 0:
		result, first = items[0], 1
	}
	for i := first; i < len(items); i++ {
		if result, err = callback(fn, result, items[i], float64(i), items); err != nil {
			return undefined, err
		}
	}
	return result, nil
}

func objectOf(name string, v any) (map[string]any, error) {
	object, ok := v.(map[string]any)
	if !ok && !isUndefined(v) {
		return nil, wrong(name, 1, v)
	}
	return object, nil
}

func sift(a []any) (any, error) {
	fn, err := functionOf("sift", a[1])
	if err != nil {
		return undefined, err
	}
	object, err := objectOf("sift", a[0])
	if err != nil {
		return undefined, err
	}
	kept := map[string]any{}
	for key, value := range object {
		v, err := callback(fn, value, key, object)
		if err != nil {
			return undefined, err
		}
		if boolean(v) {
			kept[key] = value
		}
	}
	if len(kept) == 0 {
		return undefined, nil
	}
	return kept, nil
}

func each(a []any) (any, error) {
	fn, err := functionOf("each", a[1])
	if err != nil {
		return undefined, err
	}
	object, err := objectOf("each", a[0])
	if err != nil {
		return undefined, err
	}
	all := &sequence{}
	for _, key := range sortedKeys(object) {
		v, err := callback(fn, object[key], key, object)
		if err != nil {
			return undefined, err
		}
		if !isUndefined(v) {
			all.items = append(all.items, v)
		}
	}
	return all, nil
}

func sortedKeys(object map[string]any) []string {
	all := make([]string, 0, len(object))
	for key := range object {
		all = append(all, key)
	}
	slices.Sort(all)
	return all
}

func keys(a []any) (any, error) {
	found := map[string]any{}
	for _, item := range arrayOf(a[0]) {
		if object, ok := item.(map[string]any); ok {
			for key := range object {
				found[key] = nil
			}
		}
	}
	return &sequence{items: anys(sortedKeys(found))}, nil
}

func lookupKey(a []any) (any, error) {
	key, ok := a[1].(string)
	if !ok {
		return undefined, wrong("lookup", 2, a[1])
	}
	return lookup(a[0], key), nil
}

func merge(a []any) (any, error) {
	if isUndefined(a[0]) {
		return undefined, nil
	}
	all := map[string]any{}
	for _, item := range arrayOf(a[0]) {
		object, ok := item.(map[string]any)
		if !ok {
			return undefined, errorf("T0412", "$merge got %s: it takes objects only", show(item))
		}
		maps.Copy(all, object)
	}
	return all, nil
}

func typeOf(v any) any {
	switch v.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case float64:
		return "number"
	case string:
		return "string"
	case []any:
		return "array"
	case map[string]any:
		return "object"
	case *function:
		return "function"
	}
	return undefined
}

func fail(a []any) (any, error) {
	message := "$error() function evaluated"
	if len(a) == 1 {
		s, ok := a[0].(string)
		if !ok {
			return undefined, wrong("error", 1, a[0])
		}
		message = s
	}
	return undefined, &Error{Code: "D3137", Message: message}
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

func toMillis(a []any) (any, error) {
	s, ok := a[0].(string)
	switch {
	case isUndefined(a[0]):
		return undefined, nil
	case !ok:
		return undefined, wrong("toMillis", 1, a[0])
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999Z0700", "2006-01-02T15:04:05.999999999", time.DateOnly, "2006"} {
		if t, err := time.Parse(layout, s); err == nil {
			return float64(t.UnixMilli()), nil
		}
	}
	return undefined, errorf("D3110", "%q is no time in ISO 8601", s)
}

func fromMillis(a []any) (any, error) {
	switch n := a[0].(type) {
	case nothing:
		return undefined, nil
	case float64:
		return stamp(time.UnixMilli(int64(n))), nil
	}
	return undefined, wrong("fromMillis", 1, a[0])
}

// parse is Step Functions' own: JSONata's $eval is not to be had there.
func parse(a []any) (any, error) {
	s, ok := a[0].(string)
	switch {
	case isUndefined(a[0]):
		return undefined, nil
	case !ok:
		return undefined, wrong("parse", 1, a[0])
	}
	var v any
	if err := json.Unmarshal([]byte(s), &v); err != nil {
		return undefined, errorf("D3120", "$parse got a text that is no JSON: %v", err)
	}
	return v, nil
}
