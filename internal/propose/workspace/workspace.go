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
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"
	"unicode/utf8"

	"mendel/internal/research"
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
	dir, err := w.root.Open(".")
	if err != nil {
		return fmt.Errorf("reset workspace: %w", err)
	}
	names, err := dir.Readdirnames(-1)
	if err = errors.Join(err, dir.Close()); err != nil {
		return fmt.Errorf("reset workspace: %w", err)
	}
	for _, name := range names {
		if err := w.root.RemoveAll(name); err != nil {
			if err = errors.Join(unlock(w.root, name), w.root.RemoveAll(name)); err != nil {
				return fmt.Errorf("reset workspace: %w", err)
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
	entries, err := fs.ReadDir(root.FS(), dir)
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

// Clean turns a path as a specialist writes it (train.py, ./train.py, /recipe/train.py) into
// the form that trees use. A path that leaves the workspace is a [research.MisuseError].
func Clean(name string) (string, error) {
	const mend = "Paths are relative to the workspace, such as train.py; list_files shows them."
	clean := strings.TrimPrefix(strings.TrimSpace(name), "/recipe/")
	switch {
	case clean == "":
		return "", research.Misuse(mend, "the path is empty")
	case strings.HasPrefix(clean, "/"):
		return "", research.Misuse(mend, "%q is an absolute path, outside the workspace", name)
	case strings.ContainsAny(clean, "\\\x00"):
		return "", research.Misuse(mend, "%q holds a character that no path here has", name)
	}
	// Dots are resolved only where nothing climbs: "a/../b" could mean two things beside a link.
	if slices.Contains(strings.Split(clean, "/"), "..") {
		return "", research.Misuse(mend, "%q climbs with .., which could leave the workspace", name)
	}
	clean = path.Clean(clean)
	if clean == "." || !fs.ValidPath(clean) {
		return "", research.Misuse(mend, "%q names no file", name)
	}
	return clean, nil
}

// Read returns a whole text file.
func (w *Workspace) Read(name string) (string, error) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	f, err := w.read(name)
	if err != nil {
		return "", err
	}
	if !utf8.Valid(f.Data) || strings.IndexByte(string(f.Data), 0) >= 0 {
		return "", research.Misuse("Only text can be read.", "%s is not a text file (%d bytes)", f.Path, len(f.Data))
	}
	return string(f.Data), nil
}

func (w *Workspace) read(name string) (File, error) {
	clean, err := Clean(name)
	if err != nil {
		return File{}, err
	}
	if err := w.refuseLinks(clean); err != nil {
		return File{}, err
	}
	// Without O_NONBLOCK, opening a named pipe would wait for ever.
	f, err := w.root.OpenFile(clean, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return File{}, research.Misuse("list_files shows what there is.", "there is no file %s in the workspace", clean)
	} else if err != nil {
		return File{}, research.Misuse("list_files shows what there is.", "%s cannot be read here", clean)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return File{}, fmt.Errorf("read %s: %w", clean, err)
	}
	switch {
	case info.IsDir():
		return File{}, research.Misuse("list_files shows what is in it.", "%s is a directory", clean)
	case !info.Mode().IsRegular():
		return File{}, research.Misuse("A recipe consists of regular files.", "%s is not a regular file", clean)
	case info.Size() > maxFileBytes:
		return File{}, research.Misuse("A recipe consists of code.", "%s has %d bytes, more than the %d that a file may have", clean, info.Size(), maxFileBytes)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFileBytes))
	if err != nil {
		return File{}, fmt.Errorf("read %s: %w", clean, err)
	}
	return File{Path: clean, Mode: info.Mode().Perm(), Data: data}, nil
}

// refuseLinks finds a symbolic link anywhere on a path. The root would refuse one that leaves
// it; one that stays inside would still make two names for a file, and so an edit under the
// wrong name.
func (w *Workspace) refuseLinks(clean string) error {
	for i := 0; i <= len(clean); i++ {
		if i < len(clean) && clean[i] != '/' {
			continue
		}
		// What cannot be looked at is left to the open that follows: it says it better.
		if info, err := w.root.Lstat(clean[:i]); err == nil && info.Mode()&fs.ModeSymlink != 0 {
			return research.Misuse("Use the file's own path.", "%s is a symbolic link, which a recipe cannot hold", clean[:i])
		}
	}
	return nil
}

// Snapshot freezes what is in the workspace: its regular files, in order. Python's caches and
// our own unfinished writes are left out.
func (w *Workspace) Snapshot() (Tree, error) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	names, err := w.names()
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
		if total += len(f.Data); total > maxTreeBytes {
			return nil, research.Misuse("Remove what does not belong to the recipe.", "the workspace holds more than %d bytes", maxTreeBytes)
		}
		f.Mode = plainMode(f.Mode)
		tree = append(tree, f)
	}
	return tree, nil
}

func (w *Workspace) names() ([]string, error) {
	var names []string
	err := fs.WalkDir(w.root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "__pycache__" || d.Name() == ".git"):
			return fs.SkipDir
		case d.IsDir():
			return nil
		case strings.HasPrefix(d.Name(), ".mendel-"):
			return nil
		case len(names) == maxFiles:
			return research.Misuse("Remove what does not belong to the recipe.", "the workspace holds more than %d files", maxFiles)
		}
		names = append(names, name)
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	return names, nil
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
		if err != nil {
			return nil, fmt.Errorf("list %s: %w", name, err)
		}
		entries = append(entries, Entry{Path: name, Size: info.Size()})
	}
	return entries, nil
}

// An Entry is one file of a listing.
type Entry struct {
	Path string
	Size int64
}
