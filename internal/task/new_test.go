package task

import (
	"path/filepath"
	"testing"
)

func TestNewTaskLoadsWithoutAnyProblem(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "my-first-task")
	if _, err := New(dir); err != nil {
		t.Fatal(err)
	}
	got, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got.Name != "my-first-task" || len(got.Warnings) != 0 {
		t.Errorf("name %q, warnings %v", got.Name, got.Warnings)
	}
}
