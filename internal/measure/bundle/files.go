package bundle

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"mendel/internal/research"
)

func writeTree(dir string, files []File) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	for _, f := range files {
		if !filepath.IsLocal(f.Path) || filepath.ToSlash(filepath.Clean(f.Path)) != f.Path {
			return fmt.Errorf("tree: %q is not a clean relative path", f.Path)
		}
		path := filepath.Join(dir, filepath.FromSlash(f.Path))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		// Read-only: nothing writes to a frozen tree. Its bits for execution are the proposal's.
		if err := writeFile(path, f.Data, fs.FileMode(f.Mode)&^0o222); err != nil {
			return err
		}
	}
	return nil
}

// writeFile writes a new file with exactly this mode, whatever the umask.
func writeFile(path string, data []byte, mode fs.FileMode) error {
	if err := os.WriteFile(path, data, mode); err != nil {
		return err
	}
	return os.Chmod(path, mode)
}

// copyEvaluator copies what [HashDir] counts.
func copyEvaluator(to, from string) error {
	if err := os.Mkdir(to, 0o755); err != nil || from == "" {
		return err
	}
	return walk(from, func(rel string, info fs.FileInfo) error {
		if !info.Mode().IsRegular() {
			return fmt.Errorf("evaluator: %s is not a regular file", rel)
		}
		data, err := os.ReadFile(filepath.Join(from, rel))
		if err != nil {
			return err
		}
		path := filepath.Join(to, rel)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		return writeFile(path, data, plainMode(info.Mode())&^0o222)
	})
}

// HashTree is the hash of a frozen tree: of its manifest, the JSON of its files' paths, modes,
// sizes and hashes, in the order of the paths.
func HashTree(dir string) (research.Hash, error) {
	manifest := []research.TreeFile{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if !info.Mode().IsRegular() {
			return fmt.Errorf("tree: %s is not a regular file", rel)
		}
		hash, size, err := hashFile(path)
		if err != nil {
			return err
		}
		manifest = append(manifest, research.TreeFile{
			Path: filepath.ToSlash(rel), Mode: uint32(plainMode(info.Mode())), Size: size, Hash: hash,
		})
		return nil
	})
	if err != nil {
		return "", err
	}
	slices.SortFunc(manifest, func(a, b research.TreeFile) int { return strings.Compare(a.Path, b.Path) })
	data, err := json.Marshal(manifest)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(data)
	return research.Hash(hex.EncodeToString(sum[:])), nil
}

// HashDir is the hash of an evaluator's directory: of the path, mode (executable or not) and
// content of each file, in the order of the walk, without what tools leave behind.
func HashDir(dir string) (research.Hash, error) {
	sum := sha256.New()
	err := walk(dir, func(rel string, info fs.FileInfo) error {
		content, _, err := hashFile(filepath.Join(dir, rel))
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		fmt.Fprintf(sum, "%d:%s %o %s\n", len(rel), rel, plainMode(info.Mode()), content)
		return nil
	})
	if err != nil {
		return "", err
	}
	return research.Hash(hex.EncodeToString(sum.Sum(nil))), nil
}

// walk visits every file below dir in lexical order, without litter.
func walk(dir string, visit func(rel string, info fs.FileInfo) error) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if path != dir && litter(d.Name()) {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if d.IsDir() {
			return nil
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		return visit(rel, info)
	})
}

// litter is what interpreters, editors and version control leave in a directory. The loader of
// task packages leaves out the same, so that its hash of an evaluator and ours agree.
func litter(name string) bool {
	switch name {
	case "__pycache__", ".git", ".hg", ".svn", ".DS_Store", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".ipynb_checkpoints":
		return true
	}
	return strings.HasSuffix(name, ".pyc") || strings.HasSuffix(name, "~") ||
		strings.HasPrefix(name, ".#") || (strings.HasPrefix(name, ".") && strings.HasSuffix(name, ".swp"))
}

func plainMode(m fs.FileMode) fs.FileMode {
	if m&0o111 != 0 {
		return 0o755
	}
	return 0o644
}

func hashFile(path string) (hash research.Hash, size int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return "", 0, err
	}
	defer f.Close()
	sum := sha256.New()
	if size, err = io.Copy(sum, f); err != nil {
		return "", 0, err
	}
	return research.Hash(hex.EncodeToString(sum.Sum(nil))), size, nil
}
