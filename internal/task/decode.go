package task

import (
	"encoding"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// A document is one YAML file, together with the place of everything in it.
type document struct {
	file     string
	source   []byte
	places   map[string]*token.Position // by path: "phases[1].run"
	empty    bool                       // nothing but comments
	problems Problems
}

// decode reads YAML into a struct whose json tags name the keys. It reports every unknown key,
// missing key and value of the wrong type, and decodes what is left.
func decode(file string, source []byte, into any) *document {
	d := &document{file: file, source: source, places: map[string]*token.Position{}}
	if len(source) > maxYAML {
		d.report(nil, "keep data and long texts in files of their own", "%d bytes are too many for a %s", len(source), file)
		return d
	}
	root := d.parse()
	if root == nil {
		return d
	}
	d.value(root, reflect.ValueOf(into).Elem(), "")
	return d
}

const maxYAML = 1 << 20 // bytes

// parse returns the body of the only YAML document. It is nil when there is none, or after a report.
func (d *document) parse() (body ast.Node) {
	defer func() {
		// The parser is not ours, and a file can hold anything.
		if r := recover(); r != nil {
			body = nil
			d.report(nil, "check the file for stray control characters", "cannot be read as YAML")
		}
	}()
	file, err := parser.ParseBytes(d.source, 0)
	if err != nil {
		var located yaml.Error
		if !errors.As(err, &located) {
			d.report(nil, "", "%v", err)
			return nil
		}
		d.report(position(located.GetToken()), syntaxHint(located.GetMessage()), "%s", located.GetMessage())
		return nil
	}
	bodies := make([]ast.Node, 0, 1)
	for _, doc := range file.Docs {
		if doc.Body != nil && doc.Body.Type() != ast.CommentType {
			bodies = append(bodies, doc.Body)
		}
	}
	switch len(bodies) {
	case 0:
		d.empty = true
	case 1:
		if _, null := bodies[0].(*ast.NullNode); !null {
			return bodies[0]
		}
		d.empty = true
	default:
		d.report(position(bodies[1].GetToken()), "remove the `---` and what follows it", "a second YAML document begins here")
	}
	return nil
}

func syntaxHint(message string) string {
	switch {
	case strings.Contains(message, "already defined"):
		return "keep one of the two"
	case strings.Contains(message, "found character '\t'"), strings.Contains(message, "tab"):
		return "indent with spaces"
	case strings.Contains(message, "could not find flow"), strings.Contains(message, "must be specified"):
		return "check that brackets and braces are closed, and put values that contain : # { } [ ] , in quotes"
	default:
		return "check the indentation, and put values that contain : # { } [ ] , in quotes"
	}
}

func position(t *token.Token) *token.Position {
	if t == nil {
		return nil
	}
	return t.Position
}

// report adds a problem at a place; nil means the file as a whole.
func (d *document) report(at *token.Position, hint, format string, args ...any) {
	d.problems = append(d.problems, d.problem(at, hint, fmt.Sprintf(format, args...)))
}

func (d *document) problem(at *token.Position, hint, message string) Problem {
	p := Problem{File: d.file, Message: message, Hint: hint}
	if at != nil {
		p.Line, p.Col = at.Line, at.Column
		p.Excerpt = excerpt(d.source, at.Line, at.Column)
	}
	return p
}

// place finds where a path stands; for one that is not in the file, where it would belong.
func (d *document) place(path string) *token.Position {
	for path != "" {
		if at, ok := d.places[path]; ok {
			return at
		}
		path = path[:max(0, strings.LastIndexAny(path, ".["))]
	}
	return nil
}

// has says whether the file itself says something at a path.
func (d *document) has(path string) bool { return d.places[path] != nil }

func (d *document) value(n ast.Node, v reflect.Value, path string) {
	if v.Kind() == reflect.Pointer {
		if _, null := n.(*ast.NullNode); null {
			return
		}
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
	}
	switch n.(type) {
	case *ast.AnchorNode, *ast.AliasNode, *ast.TagNode, *ast.MergeKeyNode:
		d.report(position(n.GetToken()), "write the value out", "anchors, aliases and tags are not read here")
		return
	case *ast.NullNode:
		if v.Kind() == reflect.Struct || v.Kind() == reflect.Slice || v.Kind() == reflect.Map {
			return
		}
	}
	if _, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok || isScalar(v.Kind()) {
		d.scalar(n, v, path)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.object(n, v, path)
	case reflect.Map:
		d.entries(n, v, path)
	case reflect.Slice:
		d.list(n, v, path)
	}
}

func isScalar(k reflect.Kind) bool {
	switch k {
	case reflect.String, reflect.Bool, reflect.Int, reflect.Float64:
		return true
	}
	return false
}

func mappingValues(n ast.Node) ([]*ast.MappingValueNode, bool) {
	switch n := n.(type) {
	case *ast.MappingNode:
		return n.Values, true
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}, true
	}
	return nil, false
}

func (d *document) object(n ast.Node, v reflect.Value, path string) {
	values, ok := mappingValues(n)
	if !ok {
		d.report(position(n.GetToken()), "write keys below it: "+strings.Join(keysOf(v.Type()), ", "), "%s wants keys and values, not %s", d.nameOf(path), describe(n))
		return
	}
	seen := map[string]bool{}
	for _, pair := range values {
		key, ok := d.key(pair)
		if !ok {
			continue
		}
		seen[key] = true
		field, ok := fieldOf(v.Type(), key)
		if !ok {
			d.report(position(pair.Key.GetToken()), unknownKeyHint(key, keysOf(v.Type())), "unknown key %q%s", key, d.inside(path))
			continue
		}
		d.child(pair, v.FieldByIndex(field.Index), join(path, key))
	}
	for _, field := range reflect.VisibleFields(v.Type()) {
		name, required := tagOf(field)
		if required && !seen[name] {
			at := d.place(path)
			if at == nil {
				at = position(firstToken(n))
			}
			p := d.problem(at, fmt.Sprintf("add `%s:` — %s", name, field.Tag.Get("jsonschema")), fmt.Sprintf("%q is missing%s", name, d.inside(path)))
			if path == "" {
				p.Excerpt = "" // the first line of the file explains nothing
			}
			d.problems = append(d.problems, p)
		}
	}
}

func (d *document) entries(n ast.Node, v reflect.Value, path string) {
	values, ok := mappingValues(n)
	if !ok {
		d.report(position(n.GetToken()), "write `name: …` lines below it", "%s wants names and values, not %s", d.nameOf(path), describe(n))
		return
	}
	v.Set(reflect.MakeMapWithSize(v.Type(), len(values)))
	for _, pair := range values {
		key, ok := d.key(pair)
		if !ok {
			continue
		}
		element := reflect.New(v.Type().Elem()).Elem()
		d.child(pair, element, join(path, key))
		v.SetMapIndex(reflect.ValueOf(key), element)
	}
}

func (d *document) key(pair *ast.MappingValueNode) (string, bool) {
	switch k := pair.Key.(type) {
	case *ast.StringNode:
		return k.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.NullNode:
		return k.GetToken().Value, true
	}
	d.report(position(pair.Key.GetToken()), "write a plain word before the colon", "this is not a key")
	return "", false
}

// child decodes the value of a pair and remembers where it stands: at the value when that is a
// scalar, otherwise at the key.
func (d *document) child(pair *ast.MappingValueNode, v reflect.Value, path string) {
	d.places[path] = position(pair.Key.GetToken())
	if pair.Value == nil {
		return
	}
	if _, ok := pair.Value.(ast.ScalarNode); ok {
		d.places[path] = position(pair.Value.GetToken())
	}
	d.value(pair.Value, v, path)
}

func (d *document) list(n ast.Node, v reflect.Value, path string) {
	sequence, ok := n.(*ast.SequenceNode)
	if !ok {
		hint := "write a list: [" + n.GetToken().Value + "]"
		if words := strings.Fields(n.GetToken().Value); len(words) > 1 {
			hint = "write a list: [" + strings.Join(words, ", ") + "]"
		}
		if _, isMapping := mappingValues(n); isMapping {
			hint = "begin each item with `- `"
		}
		d.report(position(n.GetToken()), hint, "%s wants a list, not %s", d.nameOf(path), describe(n))
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(sequence.Values), len(sequence.Values)))
	for i, item := range sequence.Values {
		at := fmt.Sprintf("%s[%d]", path, i)
		d.places[at] = position(firstToken(item))
		d.value(item, v.Index(i), at)
	}
}

// firstToken is where a node begins: at its first key when it is a mapping.
func firstToken(n ast.Node) *token.Token {
	if values, ok := mappingValues(n); ok && len(values) > 0 {
		return values[0].Key.GetToken()
	}
	return n.GetToken()
}

func (d *document) scalar(n ast.Node, v reflect.Value, path string) {
	text, ok := scalarText(n)
	if !ok {
		d.report(position(firstToken(n)), "", "%s wants one value, not %s", d.nameOf(path), describe(n))
		return
	}
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		if err := u.UnmarshalText([]byte(text)); err != nil {
			d.report(position(n.GetToken()), "", "%s: %v", d.nameOf(path), err)
		}
		return
	}
	if set, ok := closedSets()[v.Type()]; ok {
		if !slices.Contains(set, text) {
			d.report(position(n.GetToken()), didYouMean(text, set), "%s: %q is not one of %s", d.nameOf(path), text, strings.Join(set, ", "))
			return
		}
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		b, isBool := n.(*ast.BoolNode)
		if !isBool {
			d.report(position(n.GetToken()), "write true or false", "%s wants true or false, not %q", d.nameOf(path), text)
			return
		}
		v.SetBool(b.Value)
	case reflect.Int:
		i, err := strconv.ParseInt(strings.ReplaceAll(text, "_", ""), 10, 32)
		if err != nil {
			d.report(position(n.GetToken()), "write it in digits, without a unit", "%s wants a whole number, not %q", d.nameOf(path), text)
			return
		}
		v.SetInt(i)
	case reflect.Float64:
		f, err := strconv.ParseFloat(strings.ReplaceAll(text, "_", ""), 64)
		if err != nil || math.IsInf(f, 0) || math.IsNaN(f) {
			d.report(position(n.GetToken()), "write it in digits, without a unit", "%s wants a number, not %q", d.nameOf(path), text)
			return
		}
		v.SetFloat(f)
	}
}

// scalarText is the text of a scalar as the file has it: `1e-3` stays `1e-3`.
func scalarText(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value, true
	}
	return "", false
}

func describe(n ast.Node) string {
	switch n := n.(type) {
	case *ast.SequenceNode:
		return "a list"
	case *ast.MappingNode, *ast.MappingValueNode:
		return "keys and values"
	case *ast.NullNode:
		return "nothing"
	default:
		return strconv.Quote(shorten(n.GetToken().Value, 40))
	}
}

func shorten(s string, most int) string {
	if runes := []rune(s); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return s
}

func (d *document) nameOf(path string) string {
	if path == "" {
		return d.file
	}
	return path
}

func (d *document) inside(path string) string {
	if path == "" {
		return ""
	}
	return " in " + path
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func unknownKeyHint(key string, known []string) string {
	if hint := didYouMean(key, known); hint != "" {
		return hint
	}
	return "known keys here: " + strings.Join(known, ", ")
}

func didYouMean(word string, known []string) string {
	if near := nearest(word, known); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return ""
}

// tagOf is the key of a struct's field, and whether every file must have it.
func tagOf(f reflect.StructField) (name string, required bool) {
	name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
	return name, name != "" && options != "omitempty"
}

func fieldOf(t reflect.Type, key string) (reflect.StructField, bool) {
	for _, f := range reflect.VisibleFields(t) {
		if name, _ := tagOf(f); name == key && name != "" {
			return f, true
		}
	}
	return reflect.StructField{}, false
}

func keysOf(t reflect.Type) []string {
	var keys []string
	for _, f := range reflect.VisibleFields(t) {
		if name, _ := tagOf(f); name != "" {
			keys = append(keys, name)
		}
	}
	return keys
}
