package workspace

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"

	"mendel/internal/research"
)

// How much a walk looks at. What else lies beside a recipe (an environment, a cache) may be far
// larger than a recipe.
const (
	maxEntries   = 200_000
	maxPathBytes = 1024
)

// Snapshot freezes the recipe as it is in the workspace: the files of the base and those that
// mayAdd allows, in order. Everything else is left out unread, whatever it is; so are Python's
// caches and our own unfinished writes.
func (w *Workspace) Snapshot(mayAdd func(path string) bool) (Tree, error) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	names, err := w.recipe(mayAdd)
	if err != nil {
		return nil, err
	}
	tree := make(Tree, 0, len(names))
	total := 0
	for _, name := range names {
		f, err := w.read(name)
		if err != nil {
			return nil, err
		}
		if f.Path != name {
			return nil, research.Misuse("Rename it.", "the file name %q begins or ends with a space", name)
		}
		if total += len(f.Data); total > maxTreeBytes {
			return nil, research.Misuse("Remove what does not belong to the recipe.", "the recipe has more than %d bytes", maxTreeBytes)
		}
		f.Mode = plainMode(f.Mode)
		tree = append(tree, f)
	}
	return tree, nil
}

// recipe lists what a snapshot takes.
func (w *Workspace) recipe(mayAdd func(path string) bool) ([]string, error) {
	// With the directories of the base, so that a link in place of one is not overlooked.
	base := map[string]bool{}
	for _, f := range w.base {
		for name := f.Path; name != "."; name = path.Dir(name) {
			base[name] = true
		}
	}
	all, err := w.names()
	if err != nil {
		return nil, err
	}
	names := slices.DeleteFunc(all, func(name string) bool { return !base[name] && !mayAdd(name) })
	if len(names) > maxFiles {
		return nil, research.Misuse("Remove what does not belong to the recipe.", "the recipe has %d files, more than %d", len(names), maxFiles)
	}
	return names, nil
}

// names lists everything but directories, in order.
func (w *Workspace) names() ([]string, error) {
	var names []string
	seen := 0
	var walk func(dir string) error
	walk = func(dir string) error {
		entries, err := readDir(w.root, dir, maxEntries+1-seen)
		switch {
		case errors.Is(err, fs.ErrNotExist) && dir != ".":
			return nil // somebody removes it at this moment
		case errors.Is(err, fs.ErrPermission):
			return research.Misuse("Make it readable, or remove it.", "the directory %s cannot be read", dir)
		case err != nil:
			return fmt.Errorf("read workspace: %w", err)
		}
		if seen += len(entries); seen > maxEntries {
			return research.Misuse("Remove what does not belong to the recipe.", "the workspace holds more than %d files", maxEntries)
		}
		for _, d := range entries {
			name := path.Join(dir, d.Name())
			switch {
			case strings.HasPrefix(d.Name(), ".mendel-"):
			case !d.IsDir():
				names = append(names, name)
			case d.Name() == "__pycache__" || d.Name() == ".git":
			case len(name) > maxPathBytes:
				return research.Misuse("Remove it.", "the directory %s… has a path of %d bytes, more than %d", name[:100], len(name), maxPathBytes)
			default:
				if err := walk(name); err != nil {
					return err
				}
			}
		}
		return nil
	}
	if err := walk("."); err != nil {
		return nil, err
	}
	slices.Sort(names)
	return names, nil
}

// readDir reads at most so many entries of a directory, all of them when most is not positive.
func readDir(root *os.Root, name string, most int) ([]fs.DirEntry, error) {
	// A pipe that was put in the place of the directory must not hold us up.
	dir, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	if info, err := dir.Stat(); err != nil || !info.IsDir() {
		return nil, errors.Join(err, fs.ErrNotExist)
	}
	entries, err := dir.ReadDir(most)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return entries, err
}

// List returns the paths of all files, in order, with their sizes in bytes.
func (w *Workspace) List() ([]Entry, error) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	names, err := w.names()
	if err != nil {
		return nil, err
	}
	entries := make([]Entry, 0, len(names))
	for _, name := range names {
		info, err := w.root.Lstat(name)
		switch {
		case errors.Is(err, fs.ErrNotExist): // gone since
		case err != nil:
			return nil, fmt.Errorf("list %s: %w", name, err)
		default:
			entries = append(entries, Entry{Path: name, Size: info.Size()})
		}
	}
	return entries, nil
}

// An Entry is one file of a listing.
type Entry struct {
	Path string
	Size int64
}
