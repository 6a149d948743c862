// Package environ resolves the allow-list of what a sandboxed process may see of the host: an
// interpreter with its standard library, the packages that a task lists, a few programs, the
// shared libraries that these need, and nothing else. Start reading at [Resolve].
//
// It prepares what package sandbox mounts; it starts no sandbox itself. It never offers /usr or
// another tree of the distribution whole, because copies of public data sets lie in them.
package environ

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"mendel/internal/measure/sandbox"
)

// A Request says what a task's processes need of the host.
type Request struct {
	Python   *Python  // nil: no interpreter
	Programs []string // names looked up in PATH, or absolute paths
	Site     Site
	// Remap maps a directory on the host to the guest path that takes its place where a package
	// is installed in editable form; otherwise the original would be imported.
	Remap map[string]string
}

// Python asks for an interpreter that can import the packages.
type Python struct {
	Packages []string
	Threads  int // for numeric libraries; 0 means 1
}

// Site is what differs from site to site.
type Site struct {
	Python  string // an interpreter, or a virtual environment, which is then visible whole
	Mounts  []sandbox.Mount
	Devices []string
	Env     map[string]string
}

// An Environment is a resolved Request. It is plain data and can be stored.
type Environment struct {
	Root     string          // becomes the guest's read-only /
	Mounts   []sandbox.Mount // beside it
	Fallback []string        // for [sandbox.Command.Fallback]
	Listed   []string        // for [sandbox.Command.Listed]
	Devices  []string
	Python   string   // guest path of the interpreter; empty when none was asked for
	Env      []string // NAME=value, sorted
	// Packages maps each listed package to its version, as far as it says one.
	Packages      map[string]string
	PythonVersion string
	Programs      []string // guest paths
	Digest        string   // over everything that the guest can see of it
}

// guestDirs are the mount points that every Root holds.
var guestDirs = []string{
	"recipe", "data", "out", "artifact", "cache", "evaluator", "result", "mendel", "tmp", "proc", "dev", "etc", "usr/bin", "usr/lib",
}

// Resolve works out the environment, or takes it from cacheDir when neither the request nor the
// files it was made from have changed.
func Resolve(ctx context.Context, r Request, cacheDir string) (*Environment, error) {
	cacheDir, err := filepath.Abs(cacheDir)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(cacheDir, 0o755); err != nil {
		return nil, fmt.Errorf("environment cache: %w", err)
	}
	index, err := r.indexFile(cacheDir)
	if err != nil {
		return nil, err
	}
	if e := load(index); e != nil {
		return e, nil
	}
	e, sources, err := r.build(ctx, cacheDir)
	if err != nil {
		return nil, err
	}
	if err := store(index, e, sources); err != nil {
		return nil, fmt.Errorf("environment cache: %w", err)
	}
	return e, nil
}

// build resolves without the cache. sources are the host files whose change makes it stale.
func (r *Request) build(ctx context.Context, cacheDir string) (e *Environment, sources []string, err error) {
	staging, err := os.MkdirTemp(cacheDir, "building-")
	if err != nil {
		return nil, nil, fmt.Errorf("environment cache: %w", err)
	}
	defer os.RemoveAll(staging)
	e = &Environment{Packages: map[string]string{}, Devices: slices.Clone(r.Site.Devices)}
	root := newRoot(staging)
	if err := root.skeleton(); err != nil {
		return nil, nil, fmt.Errorf("environment: %w", err)
	}
	if r.Python != nil {
		if err := r.addPython(ctx, e, root); err != nil {
			return nil, nil, err
		}
	}
	for _, name := range r.Programs {
		path, err := root.program(name)
		if err != nil {
			return nil, nil, err
		}
		e.Programs = append(e.Programs, path)
	}
	if err := root.addLibraries(ctx); err != nil {
		return nil, nil, fmt.Errorf("environment: shared libraries: %w", err)
	}
	for _, m := range r.Site.Mounts {
		if err := root.mountPoint(m); err != nil {
			return nil, nil, fmt.Errorf("environment: site mount %s: %w", m.Guest, err)
		}
		e.Mounts = append(e.Mounts, m)
	}
	e.Fallback, e.Listed = root.fallback(), root.listed
	e.Env = r.variables(e)
	e.Digest = root.digest(e)
	if err := root.settle(cacheDir, e); err != nil {
		return nil, nil, fmt.Errorf("environment cache: %w", err)
	}
	return e, root.sources, nil
}

// variables are the parts of a guest's environment that follow from what it can see. A caller
// adds its own after them.
func (r *Request) variables(e *Environment) []string {
	vars := map[string]string{"LANG": "C.UTF-8", "PATH": "/usr/bin:/bin"}
	if r.Python != nil {
		threads := strconv.Itoa(max(1, r.Python.Threads))
		for _, name := range []string{"OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"} {
			vars[name] = threads
		}
		vars["OMP_WAIT_POLICY"] = "passive"
		vars["PATH"] = filepath.Dir(e.Python) + ":/usr/bin:/bin"
	}
	for name, value := range r.Site.Env {
		vars[name] = value
	}
	var list []string
	for name, value := range vars {
		list = append(list, name+"="+value)
	}
	slices.Sort(list)
	return list
}

// Describe says in a few lines what the guest can see of the host.
func (e *Environment) Describe() string {
	var b strings.Builder
	if e.Python != "" {
		fmt.Fprintf(&b, "python %s at %s\n", e.PythonVersion, e.Python)
		for _, name := range sortedKeys(e.Packages) {
			fmt.Fprintf(&b, "package %s %s\n", name, e.Packages[name])
		}
	}
	if len(e.Programs) > 0 {
		fmt.Fprintf(&b, "programs %s\n", strings.Join(e.Programs, " "))
	}
	for _, d := range e.Devices {
		fmt.Fprintf(&b, "device %s\n", d)
	}
	fmt.Fprintf(&b, "digest %s\n", e.Digest)
	return b.String()
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// layout is the version of what the cache stores and of the directories that a Root holds.
const layout = 3

// indexFile names the cache entry of a request.
func (r *Request) indexFile(cacheDir string) (string, error) {
	b, err := json.Marshal(struct {
		Request
		Path   string
		Layout int // of what is stored; a new one leaves old entries alone
	}{*r, os.Getenv("PATH"), layout})
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(b)
	return filepath.Join(cacheDir, "env-"+hex.EncodeToString(sum[:8])+".json"), nil
}
