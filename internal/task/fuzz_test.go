package task

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// Whatever stands in task.yaml and knobs.yaml, Load answers with a task or with problems that
// name a place in the file.
func FuzzLoad(f *testing.F) {
	valid, err := example.ReadFile("example/task.yaml")
	if err != nil {
		f.Fatal(err)
	}
	knobs, err := example.ReadFile("example/knobs.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(valid, knobs)
	for _, text := range []string{"", "a", "- a", "{", "a: &a *a", "? [x]: y", "phases: [{run: [python3]}]", "name: |\n  x\nrecipe: {editable: [\"[\"]}", "<<: {a: b}", "\x00", "metrics: {1: {source: harness, measure: wall(}}", "data: {a: {path: ../..}}", "a: !!binary x", "--- %"} {
		f.Add([]byte(text), []byte(text))
		f.Add(append(append([]byte{}, valid...), text...), append(append([]byte{}, knobs...), text...))
	}
	dir := filepath.Join(f.TempDir(), "tide-forecast")
	if _, err := New(dir); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, yaml, knobs []byte) {
		for file, data := range map[string][]byte{"task.yaml": yaml, "knobs.yaml": knobs} {
			if err := os.WriteFile(filepath.Join(dir, file), data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := Load(dir)
		var problems Problems
		switch {
		case err == nil && len(got.Phases) == 0:
			t.Fatal("a task without phases")
		case err != nil && !errors.As(err, &problems):
			t.Fatalf("no problem of the package: %v", err)
		}
		for _, p := range problems {
			if p.Message == "" || p.File == "" || p.Line < 0 || (p.Line > 0) != (p.Col > 0) {
				t.Fatalf("a problem without a place: %+v", p)
			}
		}
	})
}
