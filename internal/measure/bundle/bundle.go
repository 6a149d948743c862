// Package bundle is the contract on disk between a supervisor, an executor and a runner: one
// directory per attempt, which says what to measure, who may, how far it is, and what came out.
//
//	spec.json       what to measure; written once
//	tree/           the frozen recipe
//	evaluator/      a copy of the task's evaluator
//	lease.json      the fencing token whose result counts
//	placement.json  cores and devices, written by the executor
//	runner.json     who measures: pid, start time, host
//	runner.lock     held by the live runner
//	progress.json   how far it is
//	logs/           what the processes printed
//	result.json     the end: complete as soon as it exists
//	work/           the runner's scratch
//
// The package moves files; it judges nothing. Start reading at [Create] and [Bundle.WriteResult].
package bundle

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"mendel/internal/research"
)

// A Bundle is one attempt's directory.
type Bundle struct{ Dir string }

// A File is one file of a tree, with its content.
type File struct {
	Path string // slash-separated, relative, clean
	Mode uint32 // 0o644 or 0o755
	Data []byte
}

// Tree is the directory of the frozen recipe.
func (b Bundle) Tree() string { return filepath.Join(b.Dir, "tree") }

// Evaluator is the directory of the evaluator's copy. It exists also for a task without one.
func (b Bundle) Evaluator() string { return filepath.Join(b.Dir, "evaluator") }

// Work is the runner's scratch directory, which it makes and removes.
func (b Bundle) Work() string { return filepath.Join(b.Dir, "work") }

// Logs is the directory of what the processes printed.
func (b Bundle) Logs() string { return filepath.Join(b.Dir, "logs") }

// RunnerLog is where an executor sends what the runner itself prints.
func (b Bundle) RunnerLog() string { return filepath.Join(b.Dir, "runner.log") }

// Create writes a bundle. It is built beside dir and renamed, so that a bundle that exists is
// complete; dir must not exist. evaluatorDir may be empty.
func Create(dir string, spec Spec, tree []File, evaluatorDir string) (Bundle, error) {
	fail := func(err error) (Bundle, error) { return Bundle{}, fmt.Errorf("create bundle %s: %w", dir, err) }
	if _, err := os.Lstat(dir); err == nil {
		return fail(fs.ErrExist)
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return fail(err)
	}
	building, err := os.MkdirTemp(filepath.Dir(dir), ".building-")
	if err != nil {
		return fail(err)
	}
	b := Bundle{building}
	spec.Version = Version
	if err := errors.Join(
		os.Chmod(building, 0o755),
		writeTree(b.Tree(), tree),
		copyEvaluator(b.Evaluator(), evaluatorDir),
		os.Mkdir(b.Logs(), 0o755),
		b.write(specFile, spec),
		b.write(leaseFile, lease{spec.Attempt.Token}),
	); err != nil {
		_ = os.RemoveAll(building)
		return fail(err)
	}
	if err := os.Rename(building, dir); err != nil {
		_ = os.RemoveAll(building)
		return fail(err)
	}
	return Bundle{dir}, nil
}

// Open finds a bundle that was created before. The error is fs.ErrNotExist when there is none.
func Open(dir string) (Bundle, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return Bundle{}, err
	}
	if _, err := os.Stat(filepath.Join(abs, specFile)); err != nil {
		return Bundle{}, fmt.Errorf("open bundle %s: %w", dir, err)
	}
	return Bundle{abs}, nil
}

// Remove deletes a bundle and all that is in it; one that is already gone is fine.
func Remove(dir string) error {
	err := os.RemoveAll(dir)
	if !errors.Is(err, fs.ErrPermission) {
		return err
	}
	// An artifact directory may have been left without its owner's write permission.
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			_ = os.Chmod(path, 0o700)
		}
		return nil
	})
	return os.RemoveAll(dir)
}

// Spec reads what to measure.
func (b Bundle) Spec() (Spec, error) {
	var s Spec
	if err := b.read(specFile, &s); err != nil {
		return Spec{}, err
	}
	if s.Version != Version {
		return Spec{}, research.Hinted(fmt.Errorf("bundle %s has layout version %d; this mendel knows %d", b.Dir, s.Version, Version),
			"run the supervisor and its runners with the same mendel binary")
	}
	return s, nil
}

// Placement reads where to run; the zero Placement when the executor wrote none.
func (b Bundle) Placement() (Placement, error) {
	var p Placement
	err := b.read(placementFile, &p)
	if errors.Is(err, fs.ErrNotExist) {
		return Placement{}, nil
	}
	return p, err
}

// WritePlacement says where to run.
func (b Bundle) WritePlacement(p Placement) error { return b.write(placementFile, p) }

// The file names of the layout.
const (
	specFile      = "spec.json"
	leaseFile     = "lease.json"
	placementFile = "placement.json"
	runnerFile    = "runner.json"
	progressFile  = "progress.json"
	resultFile    = "result.json"
)

func (b Bundle) read(name string, v any) error { return readJSON(filepath.Join(b.Dir, name), v) }

func readJSON(path string, v any) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// write replaces a file at once for readers, without waiting for the disk.
func (b Bundle) write(name string, v any) error { return b.replace(name, v, false) }

// replace writes beside the file and renames. With durable, the content and then the name are on
// the disk when it returns.
func (b Bundle) replace(name string, v any, durable bool) (err error) {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	f, err := os.CreateTemp(b.Dir, "."+name+"-")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	_, err = f.Write(append(data, '\n'))
	if err == nil && durable {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Chmod(0o644), f.Close()); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), filepath.Join(b.Dir, name)); err != nil || !durable {
		return err
	}
	return syncDir(b.Dir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
