package task

import (
	"encoding/json"
	"flag"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/jsonschema-go/jsonschema"
)

var update = flag.Bool("update", false, "rewrite golden and generated files")

func golden(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		if err := writeFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("%s is not current; `make golden` renews it. It should be:\n%s", file, got)
	}
}

func TestSchemasAreCurrent(t *testing.T) {
	for file, generate := range map[string]func() ([]byte, error){
		"task.schema.json": Schema, "knobs.schema.json": KnobsSchema, "site.schema.json": SiteSchema,
	} {
		got, err := generate()
		if err != nil {
			t.Fatal(err)
		}
		golden(t, "../../docs/"+file, got)
	}
}

func TestSchemaJudgesAsTheLoaderDoes(t *testing.T) {
	text, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	var s jsonschema.Schema
	if err := json.Unmarshal(text, &s); err != nil {
		t.Fatal(err)
	}
	schema, err := s.Resolve(nil)
	if err != nil {
		t.Fatal(err)
	}
	valid := readText(t, "example/task.yaml")
	for _, c := range []struct {
		name, old, with string
		want            bool
	}{
		{"the example", "", "", true},
		{"unknown key", "\nseeds: 2", "\nsedes: 2", false},
		{"unknown key below", "grace: 500ms", "grase: 500ms", false},
		{"missing key", "\ntitle: Tide forecast", "", false},
		{"not in a set", "direction: minimize", "direction: down", false},
		{"not a list", "run: [python3, train.py]", "run: python3 train.py", false},
		{"bare number of seconds", "budget: 5s ", "budget: 5 ", true},
		{"no duration", "budget: 5s ", "budget: soon ", false},
		{"exclusive: false", "processes: 16}", "processes: 16, exclusive: false}", true},
		{"exclusive: host", "processes: 16}", "processes: 16, exclusive: host}", true},
	} {
		var value any
		if err := yaml.Unmarshal([]byte(strings.Replace(valid, c.old, c.with, 1)), &value); err != nil {
			t.Fatal(err)
		}
		// The validator wants the types of JSON.
		data, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(data, &value); err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(value); (err == nil) != c.want {
			t.Errorf("%s: valid: %v, want %v (%v)", c.name, err == nil, c.want, err)
		}
	}
}

func TestEveryKeyIsDescribed(t *testing.T) {
	reference := readText(t, "../../docs/task-format.md")
	var visit func(typ reflect.Type)
	visit = func(typ reflect.Type) {
		for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice || typ.Kind() == reflect.Map {
			typ = typ.Elem()
		}
		if typ.Kind() != reflect.Struct {
			return
		}
		for i := range typ.NumField() {
			f := typ.Field(i)
			name, _ := tagOf(f)
			if f.Tag.Get("jsonschema") == "" {
				t.Errorf("%s.%s has no description", typ.Name(), f.Name)
			}
			if !strings.Contains(reference, "`"+name+"`") {
				t.Errorf("docs/task-format.md does not mention %s of %s", name, typ.Name())
			}
			visit(f.Type)
		}
	}
	visit(reflect.TypeFor[taskFile]())
	visit(reflect.TypeFor[knobSection]())
	visit(reflect.TypeFor[siteFile]())
}
