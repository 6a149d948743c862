package task

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"mendel/internal/research"
)

// Caps on a recipe: agents read it, and every trial stores and copies it.
const (
	maxRecipeFile = 16 << 20
	maxRecipe     = 64 << 20
	maxEditable   = 1 << 20
)

// litter says whether a file or directory is left behind by tools and is nobody's content.
func litter(name string) bool {
	switch name {
	case "__pycache__", ".git", ".hg", ".svn", ".DS_Store", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".ipynb_checkpoints":
		return true
	}
	return strings.HasSuffix(name, ".pyc") || strings.HasSuffix(name, "~") ||
		strings.HasPrefix(name, ".#") || (strings.HasPrefix(name, ".") && strings.HasSuffix(name, ".swp"))
}

// uncounted says whether a path of the package cannot influence a run: site files, tests and the
// texts for people at the top of the package, and litter anywhere.
func uncounted(rel string) bool {
	top, _, nested := strings.Cut(rel, "/")
	if nested {
		return top == "tests"
	}
	return top == "tests" || rel == "site.yaml" || strings.HasSuffix(rel, ".site.yaml") ||
		rel == ".gitignore" || rel == ".gitattributes" ||
		strings.HasPrefix(rel, "README") || strings.HasPrefix(rel, "LICENSE") || strings.HasPrefix(rel, "CHANGELOG")
}

// A node is a file or link met while walking a package.
type node struct {
	rel  string // slash-separated
	path string
	mode fs.FileMode
	size int64
}

// walk lists everything below a directory that is not a directory, sorted by path, without litter.
func walk(dir string, skip func(rel string) bool) ([]node, error) {
	var nodes []node
	err := filepath.WalkDir(dir, func(p string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, p)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		if rel == "." {
			return nil
		}
		if litter(entry.Name()) || (skip != nil && skip(rel)) {
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if entry.IsDir() {
			return nil
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		nodes = append(nodes, node{rel, p, info.Mode(), info.Size()})
		return nil
	})
	slices.SortFunc(nodes, func(a, b node) int { return strings.Compare(a.rel, b.rel) })
	return nodes, err
}

// plainMode keeps of a file's mode only whether it can be executed.
func plainMode(m fs.FileMode) fs.FileMode {
	if m&0o111 != 0 {
		return 0o755
	}
	return 0o644
}

// readRecipe reads the regular files of a recipe, sorted by path.
func readRecipe(dir string) ([]File, Problems) {
	var problems Problems
	base := filepath.Base(dir)
	nodes, err := walk(dir, nil)
	if err != nil {
		return nil, Problems{{File: base, Message: err.Error()}}
	}
	var files []File
	var total int64
	for _, n := range nodes {
		name := path.Join(base, n.rel)
		switch {
		case !n.mode.IsRegular():
			problems = append(problems, notRegular(name, n.mode))
			continue
		case n.size > maxRecipeFile:
			problems = append(problems, Problem{File: name, Message: fmt.Sprintf("%d bytes are too many for a file of the recipe (at most %d)", n.size, maxRecipeFile),
				Hint: "put it under data: in task.yaml, visible to the phases that read it"})
			continue
		}
		if total += n.size; total > maxRecipe {
			return nil, append(problems, Problem{File: base, Message: fmt.Sprintf("the recipe is larger than %d bytes", maxRecipe),
				Hint: "put data under data: in task.yaml, and leave out what the phases do not need"})
		}
		data, err := os.ReadFile(n.path)
		if err != nil {
			problems = append(problems, Problem{File: name, Message: err.Error()})
			continue
		}
		files = append(files, File{n.rel, plainMode(n.mode), data})
	}
	return files, problems
}

func notRegular(name string, mode fs.FileMode) Problem {
	if mode&fs.ModeSymlink != 0 {
		return Problem{File: name, Message: "is a symbolic link", Hint: "copy what it points to, so that the package is complete by itself"}
	}
	return Problem{File: name, Message: "is neither a file nor a directory", Hint: "remove it"}
}

// PackageHash is the hash of everything in a task package that can influence a run: path, mode
// (executable or not) and content of every file, sorted by path. Left out are site files
// (site.yaml, *.site.yaml), tests/, README*, LICENSE*, CHANGELOG*, .gitignore and .gitattributes
// at the top of the package, and anywhere what tools leave behind (__pycache__, *.pyc, .git,
// caches, editors' backups).
func PackageHash(dir string) (research.Hash, error) { return hashTree(dir, uncounted) }

func hashTree(dir string, skip func(rel string) bool) (research.Hash, error) {
	nodes, err := walk(dir, skip)
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	for _, n := range nodes {
		content, err := hashFile(n.path)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(sum, "%d:%s %o %s\n", len(n.rel), n.rel, plainMode(n.mode), content)
	}
	return research.Hash(hex.EncodeToString(sum.Sum(nil))), nil
}

func hashFile(path string) (research.Hash, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return "", err
	}
	return research.Hash(hex.EncodeToString(sum.Sum(nil))), nil
}

func fileExists(dir, rel string) bool {
	info, err := os.Stat(filepath.Join(dir, filepath.FromSlash(rel)))
	return err == nil && info.Mode().IsRegular()
}
