package task

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mendel/internal/research"
)

func TestSiteProblemsAreExplained(t *testing.T) {
	for text, want := range map[string]string{
		"pyhton: /usr":                                  `did you mean "python"?`,
		"python: venv":                                  `python: "venv" is a relative path`,
		"python: /no/such/python":                       "/no/such/python is not there: no such file or directory",
		"mounts: [{host: /usr, guest: usr}]":            `"usr" is a relative path`,
		"mounts: [{host: /usr, guest: /evaluator/x}]":   "belongs to the runner",
		"mounts: [{guest: /x}]":                         `"host" is missing in mounts[0]`,
		"devices: [/dev/no-such-device*]":               "names no device",
		"devices: [/etc/*]":                             "names no device",
		"data: {train: data}":                           `"data" is a relative path`,
		"env: {MENDEL_SEED: 1}":                         "set by the runner",
		"editable_installs: [{path: /x, recipe: ../y}]": "leads out of the recipe",
	} {
		file := filepath.Join(t.TempDir(), "site.yaml")
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := LoadSite(file)
		var problems Problems
		if !errors.As(err, &problems) || len(problems) != 1 || !strings.Contains(err.Error(), want) || problems[0].Line != 1 {
			t.Errorf("%s: got\n%v\nwant %q on line 1", text, err, want)
		}
	}
}

func TestSiteIsFoundInOrder(t *testing.T) {
	dir := t.TempDir()
	taskDir := filepath.Join(dir, "tasks", "golf")
	config := filepath.Join(dir, "config")
	t.Setenv("XDG_CONFIG_HOME", config)
	find := func(flag, want string) {
		t.Helper()
		if got, err := FindSite(taskDir, flag); err != nil || got != want {
			t.Errorf("found %q, %v, want %q", got, err, want)
		}
	}
	find("", "")
	files := []string{filepath.Join(config, "mendel", "site.yaml"), filepath.Join(dir, "tasks", "golf.site.yaml"), filepath.Join(dir, "named.yaml")}
	for i, file := range files {
		if err := writeFile(file, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if i < 2 {
			find("", file)
		}
	}
	find(files[2], files[2])
	if _, err := FindSite(taskDir, filepath.Join(dir, "none.yaml")); research.Hint(err) == "" {
		t.Errorf("a site file that was named and is missing: %v", err)
	}
}

func TestSiteProvidesDataThatATaskDoesNotContain(t *testing.T) {
	dir := exampleTask(t)
	edit(t, dir, "task.yaml", "train: {path: data/train, ", "train: {")
	edit(t, dir, "task.yaml", "certify: {path: data/certify, ", "certify: {")
	got, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := got.DataAt(nil); err == nil || !strings.Contains(research.Hint(err), "data: {train:") {
		t.Errorf("no data for train: %v (hint %q)", err, research.Hint(err))
	}
	elsewhere := t.TempDir()
	data, err := got.DataAt(&Site{Data: map[string]string{"train": elsewhere}})
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range data {
		if d.Name == "train" && d.Path != elsewhere {
			t.Errorf("train is at %q, want %q", d.Path, elsewhere)
		}
	}
}
