// Package jsonata evaluates JSONata expressions as Step Functions does (version
// 2.0.6 of the language, with $parse). The parser is a library's; its evaluator
// is not used, because it takes null for undefined in places, and keeps the
// state of a call in variables that all goroutines share.
//
// What is not here is refused when an expression is compiled: regular
// expressions, transforms, partial application, types of parameters, and the
// functions that nothing here needs.
package jsonata

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"sort"
	"strings"

	"github.com/blues/jsonata-go/jparse"
)

// Values are those of encoding/json: nil for null, bool, float64, string,
// []any and map[string]any. They are shared and never changed. Inside this
// package there are three more.
type (
	nothing  struct{}
	sequence struct {
		items []any
		keep  bool // do not take a single item for itself
	}
	function struct {
		arity int
		call  func(args []any) (any, error)
	}
)

// undefined is no value at all, which is not null.
var undefined any = nothing{}

func isUndefined(v any) bool { _, is := v.(nothing); return is }

// Error is what an expression fails with; Code is JSONata's, such as T2001.
type Error struct{ Code, Message string }

func (e *Error) Error() string { return e.Code + ": " + e.Message }

func errorf(code, format string, args ...any) error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// Expr is a compiled expression. It may be used by several goroutines.
type Expr struct {
	text string
	node jparse.Node
	free []string
}

// Compile parses an expression and refuses what this package does not know.
func Compile(text string) (*Expr, error) {
	node, err := jparse.Parse(text)
	if err != nil {
		return nil, err
	}
	c := checking{free: map[string]bool{}}
	if err := c.check(node, nil); err != nil {
		return nil, err
	}
	return &Expr{text: text, node: node, free: slices.Sorted(maps.Keys(c.free))}, nil
}

// String is the expression's text.
func (e *Expr) String() string { return e.text }

// Free are the variables that the expression takes from outside, sorted,
// without the dollar sign.
func (e *Expr) Free() []string { return e.free }

// Eval evaluates the expression; variable gives the value of a variable, and
// whether there is one. defined is false where the result is no value.
func (e *Expr) Eval(variable func(name string) (any, bool)) (value any, defined bool, err error) {
	v, err := eval(e.node, undefined, &frame{outside: variable})
	if err != nil || isUndefined(v) {
		return nil, false, err
	}
	if _, is := v.(*function); is {
		return nil, false, errorf("T1006", "the result is a function")
	}
	return v, true, nil
}

// frame holds the variables of a block or function.
type frame struct {
	parent  *frame
	names   []string
	values  []any
	outside func(string) (any, bool)
}

func (f *frame) bind(name string, v any) {
	if i := slices.Index(f.names, name); i >= 0 {
		f.values[i] = v
		return
	}
	f.names, f.values = append(f.names, name), append(f.values, v)
}

func (f *frame) lookup(name string) any {
	for ; ; f = f.parent {
		if i := slices.Index(f.names, name); i >= 0 {
			return f.values[i]
		}
		if f.parent == nil {
			break
		}
	}
	if v, ok := f.outside(name); ok {
		return v
	}
	if fn, ok := functions[name]; ok {
		return fn
	}
	return undefined
}

func eval(node jparse.Node, input any, env *frame) (any, error) {
	v, err := evalRaw(node, input, env)
	if err != nil {
		return undefined, err
	}
	if s, ok := v.(*sequence); ok {
		return s.value(), nil
	}
	return v, nil
}

func (s *sequence) value() any {
	switch {
	case len(s.items) == 0:
		return undefined
	case len(s.items) == 1 && !s.keep:
		return s.items[0]
	}
	return s.items
}

func evalRaw(node jparse.Node, input any, env *frame) (any, error) {
	switch n := node.(type) {
	case *jparse.StringNode:
		return n.Value, nil
	case *jparse.NumberNode:
		return n.Value, nil
	case *jparse.BooleanNode:
		return n.Value, nil
	case *jparse.NullNode:
		return nil, nil
	case *jparse.VariableNode:
		if n.Name == "" {
			return input, nil
		}
		return env.lookup(n.Name), nil
	case *jparse.NameNode:
		return lookup(input, n.Value), nil
	case *jparse.PathNode:
		return evalPath(n, input, env)
	case *jparse.PredicateNode:
		v, err := eval(n.Expr, input, env)
		if err != nil {
			return undefined, err
		}
		return filter(v, n.Filters, env)
	case *jparse.NegationNode:
		return evalNegation(n, input, env)
	case *jparse.ArrayNode:
		return evalArray(n, input, env)
	case *jparse.ObjectNode:
		return evalObject(n, input, env)
	case *jparse.GroupNode:
		v, err := eval(n.Expr, input, env)
		if err != nil {
			return undefined, err
		}
		return evalObject(n.ObjectNode, v, env)
	case *jparse.BlockNode:
		return evalBlock(n, input, env)
	case *jparse.ConditionalNode:
		return evalConditional(n, input, env)
	case *jparse.AssignmentNode:
		v, err := eval(n.Value, input, env)
		if err == nil {
			env.bind(n.Name, v)
		}
		return v, err
	case *jparse.WildcardNode:
		return wildcard(input), nil
	case *jparse.DescendentNode:
		all := &sequence{}
		descend(all, input)
		return all, nil
	case *jparse.SortNode:
		return evalSort(n, input, env)
	case *jparse.LambdaNode:
		return lambda(n, input, env), nil
	case *jparse.FunctionCallNode:
		return evalCall(n, nil, input, env)
	case *jparse.FunctionApplicationNode:
		return evalApplication(n, input, env)
	case *jparse.BooleanOperatorNode:
		return evalBooleanOperator(n, input, env)
	case *jparse.NumericOperatorNode:
		return evalTwo(n.LHS, n.RHS, input, env, func(l, r any) (any, error) { return numeric(n.Type, l, r) })
	case *jparse.ComparisonOperatorNode:
		return evalTwo(n.LHS, n.RHS, input, env, func(l, r any) (any, error) { return compare(n.Type, l, r) })
	case *jparse.StringConcatenationNode:
		return evalTwo(n.LHS, n.RHS, input, env, concatenate)
	}
	return undefined, errorf("S0500", "%T is not implemented", node) // Compile has refused it
}

func evalTwo(lhs, rhs jparse.Node, input any, env *frame, do func(l, r any) (any, error)) (any, error) {
	l, err := eval(lhs, input, env)
	if err != nil {
		return undefined, err
	}
	r, err := eval(rhs, input, env)
	if err != nil {
		return undefined, err
	}
	return do(l, r)
}

// lookup finds a name in an object, or in each object of an array.
func lookup(v any, name string) any {
	switch v := v.(type) {
	case map[string]any:
		if found, ok := v[name]; ok {
			return found
		}
	case []any:
		all := &sequence{}
		for _, item := range v {
			found := lookup(item, name)
			if s, ok := found.(*sequence); ok {
				found = s.value()
			}
			all.add(found)
		}
		return all
	}
	return undefined
}

// add appends a value: an array's items one by one, undefined not at all.
func (s *sequence) add(v any) {
	switch v := v.(type) {
	case nothing:
	case []any:
		s.items = append(s.items, v...)
	default:
		s.items = append(s.items, v)
	}
}

func isArrayNode(n jparse.Node) bool { _, is := n.(*jparse.ArrayNode); return is }

func evalPath(n *jparse.PathNode, input any, env *frame) (any, error) {
	first := n.Steps[0]
	if p, ok := first.(*jparse.PredicateNode); ok {
		first = p.Expr
	}
	_, absolute := first.(*jparse.VariableNode)
	items, isArray := input.([]any)
	if !isArray || absolute {
		items = []any{input}
	}
	var result any
	for i, step := range n.Steps {
		var err error
		if i == 0 && isArrayNode(step) {
			result, err = eval(step, input, env)
		} else {
			result, err = evalStep(step, items, env, i == len(n.Steps)-1)
		}
		if err != nil {
			return undefined, err
		}
		switch r := result.(type) {
		case *sequence:
			items = r.items
		case []any:
			items = r
		}
		if len(items) == 0 {
			break
		}
	}
	if n.KeepArrays {
		if made, ok := result.([]any); ok && isArrayNode(n.Steps[len(n.Steps)-1]) {
			items = []any{made}
		}
		return &sequence{items: items, keep: true}, nil
	}
	return result, nil
}

// evalStep gives a sequence, or the plain array that the last step of a path
// has found alone.
func evalStep(step jparse.Node, items []any, env *frame, last bool) (any, error) {
	if s, ok := step.(*jparse.SortNode); ok {
		return evalSort(s, items, env)
	}
	var filters []jparse.Node
	if p, ok := step.(*jparse.PredicateNode); ok {
		step, filters = p.Expr, p.Filters
	}
	var results []any
	for _, item := range items {
		v, err := eval(step, item, env)
		if err != nil {
			return undefined, err
		}
		if len(filters) > 0 {
			v, err = filter(v, filters, env)
			if err != nil {
				return undefined, err
			}
		}
		if !isUndefined(v) {
			results = append(results, v)
		}
	}
	if last && len(results) == 1 {
		if array, ok := results[0].([]any); ok {
			return array, nil
		}
	}
	all := &sequence{}
	for _, r := range results {
		switch r := r.(type) {
		case *sequence:
			all.items = append(all.items, r.items...)
		case []any:
			if last && isArrayNode(step) {
				all.items = append(all.items, r)
			} else {
				all.items = append(all.items, r...)
			}
		default:
			all.items = append(all.items, r)
		}
	}
	return all, nil
}

func filter(v any, filters []jparse.Node, env *frame) (any, error) {
	for _, f := range filters {
		items := arrayOf(v)
		if number, ok := f.(*jparse.NumberNode); ok {
			v = at(items, number.Value)
			continue
		}
		kept := &sequence{}
		for i, item := range items {
			res, err := eval(f, item, env)
			if err != nil {
				return undefined, err
			}
			if picks(res, i, len(items)) {
				kept.items = append(kept.items, item)
			}
		}
		v = kept
	}
	return v, nil
}

func arrayOf(v any) []any {
	switch v := v.(type) {
	case nothing:
		return nil
	case []any:
		return v
	case *sequence:
		return v.items
	}
	return []any{v}
}

func at(items []any, index float64) any {
	i := int(math.Floor(index))
	if i < 0 {
		i += len(items)
	}
	if i < 0 || i >= len(items) {
		return &sequence{}
	}
	if array, ok := items[i].([]any); ok {
		return array
	}
	return &sequence{items: []any{items[i]}}
}

// picks tells whether a filter's result is for the item at the index: a number
// or numbers are indexes, anything else is taken for true or false.
func picks(res any, index, count int) bool {
	numbers := []any{res}
	if array, ok := res.([]any); ok {
		numbers = array
	}
	for _, n := range numbers {
		if _, ok := n.(float64); !ok {
			return boolean(res)
		}
	}
	return slices.ContainsFunc(numbers, func(n any) bool {
		i := int(math.Floor(n.(float64)))
		return i == index || i < 0 && i+count == index
	})
}

func evalNegation(n *jparse.NegationNode, input any, env *frame) (any, error) {
	v, err := eval(n.RHS, input, env)
	if err != nil || isUndefined(v) {
		return undefined, err
	}
	number, ok := v.(float64)
	if !ok {
		return undefined, errorf("D1002", "cannot negate %s", show(v))
	}
	return -number, nil
}

func evalArray(n *jparse.ArrayNode, input any, env *frame) (any, error) {
	result := make([]any, 0, len(n.Items))
	for _, item := range n.Items {
		if r, ok := item.(*jparse.RangeNode); ok {
			numbers, err := evalTwo(r.LHS, r.RHS, input, env, numberRange)
			if err != nil {
				return undefined, err
			}
			result = append(result, arrayOf(numbers)...)
			continue
		}
		v, err := eval(item, input, env)
		if err != nil {
			return undefined, err
		}
		if array, ok := v.([]any); ok && !isArrayNode(item) {
			result = append(result, array...)
		} else if !isUndefined(v) {
			result = append(result, v)
		}
	}
	return result, nil
}

func evalObject(n *jparse.ObjectNode, input any, env *frame) (any, error) {
	type group struct {
		pair int
		data any
	}
	items := arrayOf(input)
	if len(items) == 0 {
		items = []any{undefined}
	}
	groups := make(map[string]group, len(n.Pairs))
	for _, item := range items {
		for i, pair := range n.Pairs {
			k, err := eval(pair[0], item, env)
			if err != nil {
				return undefined, err
			}
			if isUndefined(k) {
				continue
			}
			key, ok := k.(string)
			if !ok {
				return undefined, errorf("T1003", "the key of an object is %s, which is no text", show(k))
			}
			g, again := groups[key]
			switch {
			case !again:
				groups[key] = group{i, item}
			case g.pair != i:
				return undefined, errorf("D1009", "two expressions give the key %q", key)
			default:
				groups[key] = group{i, slices.Concat(arrayOf(g.data), arrayOf(item))}
			}
		}
	}
	result := make(map[string]any, len(groups))
	for key, g := range groups {
		v, err := eval(n.Pairs[g.pair][1], g.data, env)
		if err != nil {
			return undefined, err
		}
		if !isUndefined(v) {
			result[key] = v
		}
	}
	return result, nil
}

func evalBlock(n *jparse.BlockNode, input any, env *frame) (v any, err error) {
	inner := &frame{parent: env}
	v = undefined
	for _, e := range n.Exprs {
		if v, err = eval(e, input, inner); err != nil {
			return undefined, err
		}
	}
	return v, nil
}

func evalConditional(n *jparse.ConditionalNode, input any, env *frame) (any, error) {
	v, err := eval(n.If, input, env)
	switch {
	case err != nil:
		return undefined, err
	case boolean(v):
		return eval(n.Then, input, env)
	case n.Else != nil:
		return eval(n.Else, input, env)
	}
	return undefined, nil
}

func wildcard(v any) any {
	all := &sequence{}
	switch v := v.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			all.addFlat(v[key])
		}
	case []any:
		for _, item := range v {
			all.addFlat(item)
		}
	}
	return all
}

func (s *sequence) addFlat(v any) {
	if array, ok := v.([]any); ok {
		for _, item := range array {
			s.addFlat(item)
		}
		return
	}
	s.items = append(s.items, v)
}

func descend(all *sequence, v any) {
	switch v := v.(type) {
	case nothing:
	case []any:
		for _, item := range v {
			descend(all, item)
		}
	case map[string]any:
		all.items = append(all.items, v)
		for _, key := range slices.Sorted(maps.Keys(v)) {
			descend(all, v[key])
		}
	default:
		all.items = append(all.items, v)
	}
}

func evalSort(n *jparse.SortNode, input any, env *frame) (any, error) {
	v, err := eval(n.Expr, input, env)
	if err != nil || isUndefined(v) {
		return undefined, err
	}
	items := slices.Clone(arrayOf(v))
	var failed error
	sort.SliceStable(items, func(i, j int) bool {
		for _, term := range n.Terms {
			before, err := sorted(term, items[i], items[j], env)
			if err != nil {
				failed = err
				return false
			}
			if before != 0 {
				return before < 0
			}
		}
		return false
	})
	if failed != nil {
		return undefined, failed
	}
	return &sequence{items: items}, nil
}

// sorted compares two items by one term; what has no value comes last.
func sorted(term jparse.SortTerm, a, b any, env *frame) (int, error) {
	x, err := eval(term.Expr, a, env)
	if err != nil {
		return 0, err
	}
	y, err := eval(term.Expr, b, env)
	if err != nil {
		return 0, err
	}
	switch {
	case isUndefined(x) && isUndefined(y):
		return 0, nil
	case isUndefined(x):
		return 1, nil
	case isUndefined(y):
		return -1, nil
	}
	less, err := compare(jparse.ComparisonLess, x, y)
	if err != nil {
		return 0, err
	}
	order := 1
	switch {
	case equal(x, y):
		return 0, nil
	case less == true:
		order = -1
	}
	if term.Dir == jparse.SortDescending {
		order = -order
	}
	return order, nil
}

func lambda(n *jparse.LambdaNode, input any, env *frame) *function {
	return &function{arity: len(n.ParamNames), call: func(args []any) (any, error) {
		inner := &frame{parent: env}
		for i, name := range n.ParamNames {
			arg := undefined
			if i < len(args) {
				arg = args[i]
			}
			inner.bind(name, arg)
		}
		return eval(n.Body, input, inner)
	}}
}

func evalCall(n *jparse.FunctionCallNode, first []any, input any, env *frame) (any, error) {
	f, err := eval(n.Func, input, env)
	if err != nil {
		return undefined, err
	}
	fn, ok := f.(*function)
	if !ok {
		return undefined, errorf("T1006", "%s is not a function", n.Func)
	}
	args := slices.Clone(first)
	for _, a := range n.Args {
		v, err := eval(a, input, env)
		if err != nil {
			return undefined, err
		}
		args = append(args, v)
	}
	return fn.call(args)
}

func evalApplication(n *jparse.FunctionApplicationNode, input any, env *frame) (any, error) {
	l, err := eval(n.LHS, input, env)
	if err != nil {
		return undefined, err
	}
	if call, ok := n.RHS.(*jparse.FunctionCallNode); ok {
		return evalCall(call, []any{l}, input, env)
	}
	r, err := eval(n.RHS, input, env)
	if err != nil {
		return undefined, err
	}
	fn, ok := r.(*function)
	if !ok {
		return undefined, errorf("T2006", "the right side of ~> is not a function")
	}
	inner, ok := l.(*function)
	if !ok {
		return fn.call([]any{l})
	}
	return &function{arity: inner.arity, call: func(args []any) (any, error) {
		v, err := inner.call(args)
		if err != nil {
			return undefined, err
		}
		return fn.call([]any{v})
	}}, nil
}

func evalBooleanOperator(n *jparse.BooleanOperatorNode, input any, env *frame) (any, error) {
	l, err := eval(n.LHS, input, env)
	if err != nil {
		return undefined, err
	}
	if boolean(l) == (n.Type == jparse.BooleanOr) {
		return boolean(l), nil
	}
	r, err := eval(n.RHS, input, env)
	return boolean(r), err
}

func numeric(op jparse.NumericOperator, l, r any) (any, error) {
	x, xok := l.(float64)
	y, yok := r.(float64)
	switch {
	case !xok && !isUndefined(l):
		return undefined, errorf("T2001", "the left side of %s is %s, which is no number", op, show(l))
	case !yok && !isUndefined(r):
		return undefined, errorf("T2002", "the right side of %s is %s, which is no number", op, show(r))
	case !xok || !yok:
		return undefined, nil
	}
	var result float64
	switch op {
	case jparse.NumericAdd:
		result = x + y
	case jparse.NumericSubtract:
		result = x - y
	case jparse.NumericMultiply:
		result = x * y
	case jparse.NumericDivide:
		result = x / y
	case jparse.NumericModulo:
		result = math.Mod(x, y)
	}
	if math.IsInf(result, 0) || math.IsNaN(result) {
		return undefined, errorf("D1001", "%s %s %s is out of range", show(l), op, show(r))
	}
	return result, nil
}

func numberRange(l, r any) (any, error) {
	x, xok := l.(float64)
	y, yok := r.(float64)
	switch {
	case !isUndefined(l) && (!xok || x != math.Trunc(x)):
		return undefined, errorf("T2003", "the left side of .. is %s, which is no integer", show(l))
	case !isUndefined(r) && (!yok || y != math.Trunc(y)):
		return undefined, errorf("T2004", "the right side of .. is %s, which is no integer", show(r))
	case !xok || !yok:
		return undefined, nil
	case y-x >= 1e7:
		return undefined, errorf("D2014", "a range of %s items is too long", show(y-x+1))
	}
	all := &sequence{}
	for ; x <= y; x++ {
		all.items = append(all.items, x)
	}
	return all, nil
}

func compare(op jparse.ComparisonOperator, l, r any) (any, error) {
	switch op {
	case jparse.ComparisonEqual:
		return !isUndefined(l) && !isUndefined(r) && equal(l, r), nil
	case jparse.ComparisonNotEqual:
		return !isUndefined(l) && !isUndefined(r) && !equal(l, r), nil
	case jparse.ComparisonIn:
		return !isUndefined(l) && !isUndefined(r) &&
			slices.ContainsFunc(arrayOf(r), func(item any) bool { return equal(item, l) }), nil
	}
	for _, v := range []any{l, r} {
		switch v.(type) {
		case nothing, float64, string:
		default:
			return undefined, errorf("T2010", "%s has %s beside it, which is neither number nor text", op, show(v))
		}
	}
	if isUndefined(l) || isUndefined(r) {
		return undefined, nil
	}
	var order int
	switch l := l.(type) {
	case float64:
		r, ok := r.(float64)
		if !ok {
			return undefined, errorf("T2009", "%s stands between a number and a text", op)
		}
		order = int(math.Copysign(1, l-r))
		if l == r {
			order = 0
		}
	case string:
		r, ok := r.(string)
		if !ok {
			return undefined, errorf("T2009", "%s stands between a text and a number", op)
		}
		order = strings.Compare(l, r)
	}
	switch op {
	case jparse.ComparisonLess:
		return order < 0, nil
	case jparse.ComparisonLessEqual:
		return order <= 0, nil
	case jparse.ComparisonGreater:
		return order > 0, nil
	}
	return order >= 0, nil
}

func equal(a, b any) bool {
	switch a := a.(type) {
	case []any:
		b, ok := b.([]any)
		return ok && slices.EqualFunc(a, b, equal)
	case map[string]any:
		b, ok := b.(map[string]any)
		return ok && maps.EqualFunc(a, b, equal)
	case *function:
		f, ok := b.(*function)
		return ok && a == f
	}
	switch b.(type) {
	case []any, map[string]any:
		return false
	}
	return a == b
}

func concatenate(l, r any) (any, error) {
	var b strings.Builder
	for _, v := range []any{l, r} {
		if isUndefined(v) {
			continue
		}
		s, err := text(v)
		if err != nil {
			return undefined, err
		}
		b.WriteString(s)
	}
	return b.String(), nil
}

// boolean is how JSONata takes a value for true or false.
func boolean(v any) bool {
	switch v := v.(type) {
	case bool:
		return v
	case string:
		return v != ""
	case float64:
		return v != 0
	case map[string]any:
		return len(v) > 0
	case []any:
		return slices.ContainsFunc(v, boolean)
	}
	return false
}
