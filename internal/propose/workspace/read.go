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
	"unicode/utf8"

	"mendel/internal/research"
)

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
	// A program beside us may have put a link there between the look and the open.
	if now, err := w.root.Lstat(clean); err != nil || !os.SameFile(now, info) {
		return File{}, changing(clean)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	switch {
	case err != nil:
		return File{}, fmt.Errorf("read %s: %w", clean, err)
	case len(data) > maxFileBytes:
		return File{}, changing(clean)
	}
	return File{Path: clean, Mode: info.Mode().Perm(), Data: data}, nil
}

func changing(name string) error {
	return research.Misuse("Wait until whatever writes there has ended, and call again.", "%s changed while it was read", name)
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
