package tool

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/google/jsonschema-go/jsonschema"

	"mendel/internal/research"
)

// define makes a tool of a function with typed arguments. The fields of Args are strings,
// integers, numbers and booleans; those tagged omitempty are optional.
func define[Args any](name, about string, do func(ctx context.Context, k Kit, args Args) (Answer, error)) Tool {
	return Tool{
		Definition: Definition{Name: name, Description: strings.TrimSpace(about), Schema: schemaOf[Args]()},
		call: func(ctx context.Context, k Kit, raw json.RawMessage) (Answer, error) {
			var args Args
			if err := decode(name, raw, &args); err != nil {
				return Answer{}, err
			}
			return do(ctx, k, args)
		},
	}
}

// schemaOf derives the schema from the argument type. The types are ours and fixed, so a
// failure is a mistake in this package, found by the first test.
func schemaOf[Args any]() json.RawMessage {
	schema, err := jsonschema.For[Args](nil)
	if err != nil {
		panic(fmt.Sprintf("arguments %T have no schema: %v", *new(Args), err))
	}
	data, err := json.Marshal(schema)
	if err != nil {
		panic(fmt.Sprintf("schema of %T: %v", *new(Args), err))
	}
	return data
}

// An argument is one field of an arguments type.
type argument struct {
	name     string
	optional bool
	index    int
}

func argumentsOf(t reflect.Type) []argument {
	list := make([]argument, 0, t.NumField())
	for i := range t.NumField() {
		name, options, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		list = append(list, argument{name: name, optional: options == "omitempty", index: i})
	}
	return list
}

// decode reads a call's arguments. It forgives what is harmless (7 for "007", "3" for 3, null
// for nothing) and answers the rest with what the tool takes.
func decode(tool string, raw json.RawMessage, into any) error {
	target := reflect.ValueOf(into).Elem()
	list := argumentsOf(target.Type())
	given := map[string]json.RawMessage{}
	if text := bytes.TrimSpace(raw); len(text) > 0 && !bytes.Equal(text, []byte("null")) {
		if err := json.Unmarshal(text, &given); err != nil {
			return research.Misuse(usage(tool, list), "the arguments of %s are not a JSON object", tool)
		}
	}
	for _, a := range list {
		value, ok := given[a.name]
		delete(given, a.name)
		if !ok || bytes.Equal(value, []byte("null")) {
			if !a.optional {
				return research.Misuse(usage(tool, list), "%s needs %s", tool, a.name)
			}
			continue
		}
		if err := set(target.Field(a.index), value); err != nil {
			return research.Misuse("", "%s: %s must be %s, not %s", tool, a.name, err, excerpt(value))
		}
	}
	if len(given) > 0 {
		name := slices.Min(slices.Collect(maps.Keys(given)))
		mend := usage(tool, list)
		if near := nearest(name, list); near != "" {
			mend = fmt.Sprintf("Did you mean %s? %s", near, mend)
		}
		return research.Misuse(mend, "%s has no argument %s", tool, excerpt([]byte(name)))
	}
	return nil
}

// set assigns a JSON value. Its error is the kind of value that was wanted.
func set(field reflect.Value, value json.RawMessage) error {
	text := string(value)
	quoted := json.Unmarshal(value, &text) == nil
	switch field.Kind() {
	case reflect.String:
		if !quoted && strings.ContainsAny(text[:1], "[{") {
			return fmt.Errorf("a string")
		}
		field.SetString(text)
	case reflect.Int:
		n, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
		if err != nil || n != float64(int(n)) {
			return fmt.Errorf("a whole number")
		}
		field.SetInt(int64(n))
	case reflect.Float64:
		n, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
		if err != nil || n-n != 0 { // not a number, or infinite
			return fmt.Errorf("a number")
		}
		field.SetFloat(n)
	case reflect.Bool:
		yes, err := strconv.ParseBool(strings.TrimSpace(text))
		if err != nil {
			return fmt.Errorf("true or false")
		}
		field.SetBool(yes)
	default:
		return fmt.Errorf("of another type (%s)", field.Kind())
	}
	return nil
}

func usage(tool string, list []argument) string {
	var names []string
	for _, a := range list {
		if a.optional {
			names = append(names, a.name+" (optional)")
		} else {
			names = append(names, a.name)
		}
	}
	if len(names) == 0 {
		return fmt.Sprintf("%s takes no arguments.", tool)
	}
	return fmt.Sprintf("%s takes %s.", tool, strings.Join(names, ", "))
}

// nearest guesses which argument a wrong name meant.
func nearest(name string, list []argument) string {
	name = strings.ToLower(name)
	for _, a := range list {
		if strings.Contains(a.name, name) || strings.Contains(name, a.name) || len(name) > 2 && strings.HasPrefix(a.name, name[:3]) {
			return a.name
		}
	}
	return ""
}

func excerpt(value []byte) string {
	const most = 60
	text := strings.ToValidUTF8(string(value), "?")
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}

// trialID reads a trial id as people and models write it.
func trialID(text string) (research.TrialID, error) {
	id, err := research.ParseTrialID(strings.TrimSpace(text))
	if err != nil {
		return 0, research.Misuse("", "%s", err)
	}
	return id, nil
}

// optionalTrialID is nil for an empty text.
func optionalTrialID(text string) (*research.TrialID, error) {
	if strings.TrimSpace(text) == "" {
		return nil, nil
	}
	id, err := trialID(text)
	return &id, err
}
