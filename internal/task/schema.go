package task

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"

	"github.com/google/jsonschema-go/jsonschema"

	"mendel/internal/research"
)

// Schema is the JSON Schema of task.yaml, for editors to complete and check it. It is generated
// from the types that the loader decodes into.
func Schema() ([]byte, error) {
	return schemaOf(reflect.TypeFor[taskFile](), "task.yaml of a Mendel task")
}

// KnobsSchema is the JSON Schema of the file that `knobs:` names.
func KnobsSchema() ([]byte, error) {
	return schemaOf(reflect.TypeFor[[]knobSection](), "knobs of a Mendel task")
}

// SiteSchema is the JSON Schema of a site file.
func SiteSchema() ([]byte, error) {
	return schemaOf(reflect.TypeFor[siteFile](), "site file of Mendel")
}

func schemaOf(t reflect.Type, title string) ([]byte, error) {
	scalars := map[reflect.Type]*jsonschema.Schema{
		reflect.TypeFor[text]():              {Types: []string{"string", "number", "boolean"}},
		reflect.TypeFor[research.Duration](): {Types: []string{"string", "number"}, Pattern: `^[0-9.]+(ns|us|µs|ms|s|m|h)?([0-9.]+(ns|us|µs|ms|s|m))*$`},
		reflect.TypeFor[research.Bytes]():    {Types: []string{"string", "integer"}, Pattern: `^[0-9._]+ *(B|KB|MB|GB|TB|KiB|MiB|GiB|TiB)?$`},
	}
	for set, members := range closedSets() {
		values := make([]any, 0, len(members)+1)
		for _, m := range members {
			values = append(values, m)
		}
		if set == reflect.TypeFor[exclusive]() {
			values = append(values, false) // YAML reads a bare false so
		}
		scalars[set] = &jsonschema.Schema{Enum: values}
	}
	s, err := jsonschema.ForType(t, &jsonschema.ForOptions{TypeSchemas: scalars})
	if err != nil {
		return nil, fmt.Errorf("generate schema: %w", err)
	}
	settle(s)
	s.Schema, s.Title = "https://json-schema.org/draft/2020-12/schema", title
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("generate schema: %w", err)
	}
	return append(text, '\n'), nil
}

// settle removes what Go's types allow but the loader does not want offered: null in place of a
// value that is better left out.
func settle(s *jsonschema.Schema) {
	if s == nil {
		return
	}
	if i := slices.Index(s.Types, "null"); i >= 0 {
		s.Types = slices.Delete(s.Types, i, i+1)
	}
	if len(s.Types) == 1 {
		s.Type, s.Types = s.Types[0], nil
	}
	settle(s.Items)
	settle(s.AdditionalProperties)
	for _, property := range s.Properties {
		settle(property)
	}
}
