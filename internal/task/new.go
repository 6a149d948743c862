package task

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"mendel/internal/research"
)

// example is a task that runs: a small one in plain Python, with a comment at every key.
//
//go:embed example
var example embed.FS

const exampleName = "tide-forecast"

// Created says what a scaffold wrote.
type Created struct {
	Dir   string
	Site  string   // site file beside it, or ""
	Notes []string // what the user has to know or to do, each a sentence or two
}

// New writes a small complete task into the new directory dir, which gives it its name.
func New(dir string) (Created, error) {
	name, err := nameFrom(dir)
	if err != nil {
		return Created{}, err
	}
	err = create(dir, func(draft string) error {
		return fs.WalkDir(example, "example", func(p string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			data, err := example.ReadFile(p)
			if err != nil {
				return err
			}
			rel := strings.TrimPrefix(p, "example/")
			if rel == fileName || rel == "README.md" {
				data = []byte(strings.ReplaceAll(string(data), exampleName, name))
			}
			return writeFile(filepath.Join(draft, filepath.FromSlash(rel)), data, 0o644)
		})
	})
	if err != nil {
		return Created{}, err
	}
	return Created{Dir: dir, Notes: []string{
		"It runs as it is: plain Python, no packages, under a second a trial.",
		"To make it your own, read task.yaml from top to bottom: every key has a comment.",
	}}, nil
}

// nameFrom is the task's name that a directory's name gives.
func nameFrom(dir string) (string, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("name the task: %w", err)
	}
	name := filepath.Base(abs)
	if !taskName.MatchString(name) || len(name) > 64 {
		return "", research.Hinted(fmt.Errorf("%q is not a task's name", name), "write lower-case letters and digits joined by dashes, such as "+suggestName(name))
	}
	return name, nil
}

// create fills a draft beside dir and renames it, so that dir is there complete or not at all.
func create(dir string, fill func(draft string) error) (err error) {
	dir = filepath.Clean(dir)
	switch entries, err := os.ReadDir(dir); {
	case err == nil && len(entries) > 0:
		return research.Hinted(fmt.Errorf("%s: there is already something in it", dir), "choose another name, or remove it first")
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("create task: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return fmt.Errorf("create task: %w", err)
	}
	draft, err := os.MkdirTemp(filepath.Dir(dir), "."+filepath.Base(dir)+"-*")
	if err != nil {
		return fmt.Errorf("create task: %w", err)
	}
	defer func() {
		if err != nil {
			os.RemoveAll(draft)
		}
	}()
	if err := fill(draft); err != nil {
		return fmt.Errorf("create task: %w", err)
	}
	if err := os.Chmod(draft, 0o755); err != nil {
		return fmt.Errorf("create task: %w", err)
	}
	if _, err := Load(draft); err != nil {
		return fmt.Errorf("create task: what was written is not valid yet:\n%w", err)
	}
	if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("create task: %w", err)
	}
	if err := os.Rename(draft, dir); err != nil {
		return fmt.Errorf("create task: %w", err)
	}
	return nil
}

func writeFile(path string, data []byte, mode fs.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, data, mode)
}
