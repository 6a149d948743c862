package replay

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"

	"mendel/internal/propose/workspace"
)

// write makes a directory hold exactly the files of a tree; what is the same already is not
// touched.
func write(dir string, tree workspace.Tree) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("open workspace: %w", err)
	}
	if err := errors.Join(removeOthers(root, tree), writeFiles(root, tree), root.Close()); err != nil {
		return fmt.Errorf("write workspace: %w", err)
	}
	return nil
}

// removeOthers comes first, so that a directory can take the place of a file.
func removeOthers(root *os.Root, tree workspace.Tree) error {
	wanted := make(map[string]bool, len(tree))
	for _, f := range tree {
		wanted[f.Path] = true
	}
	return fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || wanted[name] {
			return err
		}
		return root.Remove(name)
	})
}

func writeFiles(root *os.Root, tree workspace.Tree) error {
	for _, f := range tree {
		if same(root, f) {
			continue
		}
		if err := root.MkdirAll(path.Dir(f.Path), 0o755); err != nil {
			return err
		}
		// A file is written anew, so that its mode is the tree's; a directory that is in its way
		// has been emptied.
		if err := root.RemoveAll(f.Path); err != nil {
			return err
		}
		if err := root.WriteFile(f.Path, f.Data, f.Mode.Perm()); err != nil {
			return err
		}
	}
	return nil
}

func same(root *os.Root, f workspace.File) bool {
	info, err := root.Stat(f.Path)
	if err != nil || info.Mode() != f.Mode.Perm() {
		return false
	}
	data, err := root.ReadFile(f.Path)
	return err == nil && bytes.Equal(data, f.Data)
}
