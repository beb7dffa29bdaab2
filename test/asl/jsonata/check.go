package jsonata

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/blues/jsonata-go/jparse"
)

// checking goes through an expression and collects what it takes from outside.
type checking struct{ free map[string]bool }

// scope are the names that are bound where a node stands.
type scope struct {
	parent *scope
	names  []string
}

func (s *scope) has(name string) bool {
	for ; s != nil; s = s.parent {
		if slices.Contains(s.names, name) {
			return true
		}
	}
	return false
}

func (c *checking) all(s *scope, nodes ...jparse.Node) error {
	for _, n := range nodes {
		if n == nil {
			continue
		}
		if err := c.check(n, s); err != nil {
			return err
		}
	}
	return nil
}

func (c *checking) check(node jparse.Node, s *scope) error {
	switch n := node.(type) {
	case *jparse.StringNode, *jparse.NumberNode, *jparse.BooleanNode, *jparse.NullNode,
		*jparse.WildcardNode, *jparse.DescendentNode:
		return nil
	case *jparse.NameNode:
		if !n.Escaped() && strings.ContainsAny(n.Value, "@#%") {
			return fmt.Errorf("%s: the operators @, # and %% are not supported here", n)
		}
		return nil
	case *jparse.VariableNode:
		if strings.ContainsAny(n.Name, "@#%") {
			return fmt.Errorf("%s: the operators @, # and %% are not supported here", n)
		}
		if n.Name == "$" {
			return errors.New("$$ is the input, which Step Functions does not give: use $states.input")
		}
		if n.Name != "" && !s.has(n.Name) && functions[n.Name] == nil {
			c.free[n.Name] = true
		}
		return nil
	case *jparse.PathNode:
		return c.all(s, n.Steps...)
	case *jparse.PredicateNode:
		return c.all(s, append([]jparse.Node{n.Expr}, n.Filters...)...)
	case *jparse.NegationNode:
		return c.check(n.RHS, s)
	case *jparse.RangeNode:
		return c.all(s, n.LHS, n.RHS)
	case *jparse.ArrayNode:
		return c.all(s, n.Items...)
	case *jparse.ObjectNode:
		return c.object(n, s)
	case *jparse.GroupNode:
		if err := c.check(n.Expr, s); err != nil {
			return err
		}
		return c.object(n.ObjectNode, s)
	case *jparse.BlockNode:
		return c.all(&scope{parent: s}, n.Exprs...)
	case *jparse.ConditionalNode:
		return c.all(s, n.If, n.Then, n.Else)
	case *jparse.AssignmentNode:
		if s == nil {
			return fmt.Errorf("$%s := stands outside a block", n.Name)
		}
		// First, so that a function can call itself.
		s.names = append(s.names, n.Name)
		return c.check(n.Value, s)
	case *jparse.SortNode:
		nodes := []jparse.Node{n.Expr}
		for _, term := range n.Terms {
			nodes = append(nodes, term.Expr)
		}
		return c.all(s, nodes...)
	case *jparse.LambdaNode:
		return c.check(n.Body, &scope{parent: s, names: slices.Clone(n.ParamNames)})
	case *jparse.FunctionCallNode:
		return c.call(n, s)
	case *jparse.FunctionApplicationNode:
		return c.all(s, n.LHS, n.RHS)
	case *jparse.BooleanOperatorNode:
		return c.all(s, n.LHS, n.RHS)
	case *jparse.NumericOperatorNode:
		return c.all(s, n.LHS, n.RHS)
	case *jparse.ComparisonOperatorNode:
		return c.all(s, n.LHS, n.RHS)
	case *jparse.StringConcatenationNode:
		return c.all(s, n.LHS, n.RHS)
	}
	return fmt.Errorf("%s (%T) is not supported here", node, node)
}

func (c *checking) object(n *jparse.ObjectNode, s *scope) error {
	for _, pair := range n.Pairs {
		if err := c.all(s, pair[0], pair[1]); err != nil {
			return err
		}
	}
	return nil
}

// call refuses a function that does not exist: variables never hold one.
func (c *checking) call(n *jparse.FunctionCallNode, s *scope) error {
	if v, ok := n.Func.(*jparse.VariableNode); ok && !s.has(v.Name) && functions[v.Name] == nil {
		return fmt.Errorf("there is no function $%s here", v.Name)
	}
	return c.all(s, append([]jparse.Node{n.Func}, n.Args...)...)
}
