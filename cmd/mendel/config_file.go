package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"mendel/internal/research"
)

// readSettings reads a run's configuration file.
func readSettings(file string) (runSettings, error) {
	if file == "" {
		return runSettings{}, nil
	}
	source, err := os.ReadFile(file)
	if err != nil {
		return runSettings{}, research.Hinted(fmt.Errorf("read the run's configuration: %w", err), "correct --config, or leave it out")
	}
	return parseSettings(file, source)
}

func parseSettings(file string, source []byte) (s runSettings, err error) {
	r := settingsReader{file: file}
	root, err := r.parse(source)
	if err != nil || root == nil {
		return s, err
	}
	fields := choiceFields(r, &s.choice)
	fields["roles"] = func(pair *ast.MappingValueNode) error { return r.roles(pair, &s.roles) }
	fields["prices"] = field(r, &s.prices)
	fields["session"] = r.group(map[string]reading{
		"turns": field(r, &s.turns), "calls": field(r, &s.calls), "submits": field(r, &s.submits),
		"minutes": field(r, &s.minutes), "usd": field(r, &s.sessionUSD), "tokens": field(r, &s.sessionTokens),
	})
	fields["budgets"] = r.group(map[string]reading{
		"trials": field(r, &s.trials), "hours": field(r, &s.hours), "no_improvement": field(r, &s.noImprovement),
		"usd": field(r, &s.usd), "tokens": field(r, &s.tokens),
	})
	return s, r.mapping(root, r.at(root.GetToken()), fields)
}

// A settingsReader turns YAML into settings that know where they stand.
type settingsReader struct{ file string }

// A reading takes in the value of one key.
type reading func(*ast.MappingValueNode) error

func (r settingsReader) at(t *token.Token) place {
	if t == nil || t.Position == nil {
		return place{file: r.file, line: 1, col: 1}
	}
	return place{file: r.file, line: t.Position.Line, col: t.Position.Column}
}

// parse gives the body of the file's only document; nil when there is nothing in it.
func (r settingsReader) parse(source []byte) (body ast.Node, err error) {
	defer func() {
		// The parser is not ours, and a file can hold anything.
		if recover() != nil {
			body, err = nil, r.at(nil).fault("check the file for stray control characters", "this cannot be read as YAML")
		}
	}()
	file, err := parser.ParseBytes(source, 0)
	if err != nil {
		var located yaml.Error
		if errors.As(err, &located) {
			return nil, r.at(located.GetToken()).fault("check the indentation, and put values that contain : # { } [ ] , in quotes", "%s", located.GetMessage())
		}
		return nil, r.at(nil).fault("", "%v", err)
	}
	for _, doc := range file.Docs {
		switch {
		case doc.Body == nil || doc.Body.Type() == ast.CommentType || doc.Body.Type() == ast.NullType:
		case body != nil:
			return nil, r.at(doc.Body.GetToken()).fault("remove the `---` and what follows it", "a second YAML document begins here")
		default:
			body = doc.Body
		}
	}
	return body, nil
}

func pairsOf(n ast.Node) ([]*ast.MappingValueNode, bool) {
	switch n := n.(type) {
	case *ast.MappingNode:
		return n.Values, true
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}, true
	}
	return nil, false
}

func (r settingsReader) mapping(n ast.Node, at place, fields map[string]reading) error {
	known := strings.Join(slices.Sorted(maps.Keys(fields)), ", ")
	pairs, ok := pairsOf(n)
	if !ok {
		return at.fault("known keys here: "+known, "keys and values are wanted here")
	}
	for _, pair := range pairs {
		name := pair.Key.GetToken()
		read, ok := fields[name.Value]
		if !ok {
			return r.at(name).fault("known keys here: "+known, "unknown key %q", name.Value)
		}
		if err := read(pair); err != nil {
			return err
		}
	}
	return nil
}

func (r settingsReader) group(fields map[string]reading) reading {
	return func(pair *ast.MappingValueNode) error {
		return r.mapping(pair.Value, r.at(pair.Key.GetToken()), fields)
	}
}

func choiceFields(r settingsReader, c *choice) map[string]reading {
	return map[string]reading{
		"proposer": field(r, &c.proposer),
		"base_url": field(r, &c.options.baseURL), "key_env": field(r, &c.options.keyEnv),
		"temperature": field(r, &c.options.temperature), "thinking": field(r, &c.options.thinking),
		"max_output": field(r, &c.options.maxOutput), "web_search": field(r, &c.options.webSearch),
		"pass_env": list(r, &c.passes.env), "hosts": list(r, &c.passes.hosts),
	}
}

// roles reads choices by role: `arch: mutate`, or `arch: {proposer: …, temperature: 1}`.
func (r settingsReader) roles(pair *ast.MappingValueNode, into *[]roleChoice) error {
	pairs, ok := pairsOf(pair.Value)
	if !ok {
		return r.at(pair.Key.GetToken()).fault("write `ROLE: PROPOSER` lines below it", "roles and their proposers are wanted here")
	}
	for _, pair := range pairs {
		name := pair.Key.GetToken()
		role := roleChoice{name: setting[string]{name.Value, r.at(name)}}
		read := field(r, &role.proposer)
		if _, several := pairsOf(pair.Value); several {
			read = r.group(choiceFields(r, &role.choice))
		}
		if err := read(pair); err != nil {
			return err
		}
		*into = append(*into, role)
	}
	return nil
}

// field reads a single value.
func field[T string | int | int64 | float64 | bool](r settingsReader, into *setting[T]) reading {
	return func(pair *ast.MappingValueNode) error {
		name := pair.Key.GetToken().Value
		into.at = r.at(pair.Value.GetToken())
		switch pair.Value.(type) {
		case *ast.StringNode, *ast.LiteralNode, *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
			// The decoder would cut a fraction off.
			whole := pair.Value.Type() != ast.FloatType || wanted(into.value) != wholeNumber
			if whole && yaml.NodeToValue(pair.Value, &into.value) == nil {
				return nil
			}
		default:
			into.at = r.at(pair.Key.GetToken())
		}
		return into.at.fault("", "%s wants %s", name, wanted(into.value))
	}
}

// list reads a list of texts.
func list(r settingsReader, into *setting[[]string]) reading {
	return func(pair *ast.MappingValueNode) error {
		into.at = r.at(pair.Key.GetToken())
		name := pair.Key.GetToken().Value
		items, ok := pair.Value.(*ast.SequenceNode)
		if !ok {
			return into.at.fault(name+": [ONE, ANOTHER]", "%s wants a list", name)
		}
		for _, item := range items.Values {
			text, ok := item.(*ast.StringNode)
			if !ok {
				return into.at.fault("", "%s wants a list of names", name)
			}
			into.value = append(into.value, text.Value)
		}
		return nil
	}
}

const wholeNumber = "a whole number"

func wanted(v any) string {
	switch v.(type) {
	case bool:
		return "true or false"
	case int, int64:
		return wholeNumber
	case float64:
		return "a number"
	default:
		return "one line of text"
	}
}
