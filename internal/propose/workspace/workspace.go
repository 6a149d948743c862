// Package workspace keeps one specialist's private copy of a recipe: read, edit, search,
// compare, start again from another trial's tree, and freeze what is there.
//
// A path from outside cannot leave the directory, whatever it says and whatever links lie in
// it. The package knows nothing of roles: who may edit what is the caller's question.
// Start reading at [New], then [Workspace.Edit] and [Workspace.Snapshot].
package workspace

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"
)

// What a tree may hold. A recipe is code; more than this is data in the wrong place.
const (
	maxFiles     = 5_000
	maxFileBytes = 8 << 20
	maxTreeBytes = 64 << 20
)

// A File is one regular file of a tree.
type File struct {
	Path string // slash-separated, relative, clean
	Mode fs.FileMode
	Data []byte
}

// A Tree is a set of files, in the order of their paths.
type Tree []File

// Get finds a file by its path.
func (t Tree) Get(name string) (File, bool) {
	for _, f := range t {
		if f.Path == name {
			return f, true
		}
	}
	return File{}, false
}

func (t Tree) sorted() Tree {
	byPath := func(a, b File) int { return strings.Compare(a.Path, b.Path) }
	if slices.IsSortedFunc(t, byPath) {
		return t
	}
	return slices.SortedFunc(slices.Values(t), byPath)
}

// A Workspace is a directory that holds a copy of a tree. Its methods may be called from
// several goroutines.
type Workspace struct {
	dir  string
	root *os.Root

	mu   sync.RWMutex
	base Tree // what it was last made of
}

// New makes dir, which must be empty or absent, into a copy of tree.
func New(dir string, tree Tree) (*Workspace, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make workspace: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("make workspace: %w", err)
	}
	if len(entries) > 0 {
		return nil, fmt.Errorf("make workspace: %s is not empty", dir)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("make workspace: %w", err)
	}
	w := &Workspace{dir: dir, root: root}
	if err := w.fill(tree); err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return w, nil
}

// Dir is where the files lie on this machine.
func (w *Workspace) Dir() string { return w.dir }

// Close lets go of the directory and leaves its files.
func (w *Workspace) Close() error { return w.root.Close() }

// Base is the tree that the workspace was last made of.
func (w *Workspace) Base() Tree {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return w.base
}

// Reset drops every edit and makes the workspace a copy of tree.
func (w *Workspace) Reset(tree Tree) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		entries, err := readDir(w.root, ".", 1000)
		if err != nil {
			return fmt.Errorf("reset workspace: %w", err)
		}
		if len(entries) == 0 {
			break
		}
		for _, entry := range entries {
			name := entry.Name()
			if err := w.root.RemoveAll(name); err != nil {
				if err = errors.Join(unlock(w.root, name), w.root.RemoveAll(name)); err != nil {
					return fmt.Errorf("reset workspace: %w", err)
				}
			}
		}
	}
	return w.fill(tree)
}

// Rebase says that the workspace now descends from tree, without touching a file: what it
// holds was submitted as that.
func (w *Workspace) Rebase(tree Tree) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.base = tree
}

func (w *Workspace) fill(tree Tree) error {
	for _, f := range tree {
		if _, err := Clean(f.Path); err != nil {
			return fmt.Errorf("fill workspace: %w", err)
		}
		if dir := path.Dir(f.Path); dir != "." {
			if err := w.root.MkdirAll(dir, 0o755); err != nil {
				return fmt.Errorf("fill workspace: %w", err)
			}
		}
		if err := w.write(f); err != nil {
			return fmt.Errorf("fill workspace: %w", err)
		}
	}
	w.base = tree.sorted()
	return nil
}

// write replaces a file in one step, so that a reader beside us (a check, a shell) never sees
// half of it.
func (w *Workspace) write(f File) error {
	// Whoever works in the directory could put a pipe under a name that it can guess, and opening
	// that would wait for ever: the name is random, and must be new.
	temporary := path.Join(path.Dir(f.Path), ".mendel-"+rand.Text())
	file, err := w.root.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL|syscall.O_NONBLOCK, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(f.Data)
	if err = errors.Join(err, file.Chmod(plainMode(f.Mode)), file.Close()); err == nil {
		err = w.root.Rename(temporary, f.Path)
	}
	if err != nil {
		_ = w.root.Remove(temporary)
	}
	return err
}

// Remove deletes a workspace's directory, also where what worked in it left directories that may
// not be written, as caches of packages are.
func Remove(dir string) error {
	if err := os.RemoveAll(dir); err == nil {
		return nil
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	err = errors.Join(unlock(root, "."), root.Close())
	return errors.Join(os.RemoveAll(dir), err)
}

// unlock makes a directory and all below it writable. It follows no link.
func unlock(root *os.Root, dir string) error {
	if err := root.Chmod(dir, 0o700); err != nil {
		return err
	}
	entries, err := readDir(root, dir, -1)
	for _, entry := range entries {
		if entry.IsDir() {
			err = errors.Join(err, unlock(root, path.Join(dir, entry.Name())))
		}
	}
	return err
}

// plainMode reduces a mode to what trees store: readable, or readable and executable.
func plainMode(mode fs.FileMode) fs.FileMode {
	if mode&0o100 != 0 {
		return 0o755
	}
	return 0o644
}
