package lineage

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"mendel/internal/research"
)

// A Blob is some content with its hash.
type Blob struct {
	Hash research.Hash
	Data []byte
}

// NewBlob names content by its hash. The data is not copied.
func NewBlob(data []byte) Blob { return Blob{Hash: hashOf(data), Data: data} }

func hashOf(data []byte) research.Hash {
	sum := sha256.Sum256(data)
	return research.Hash(hex.EncodeToString(sum[:]))
}

// A File is one regular file of a tree, with its content.
type File struct {
	Path string // slash-separated, relative, clean
	Mode uint32 // normalized to 0o644 or 0o755
	Data []byte
}

// NewTree freezes files: root is the manifest that names the tree, and blobs are all that must be
// stored with it, the manifest included. The order of the files does not matter.
func NewTree(files []File) (root Blob, blobs []Blob, err error) {
	manifest := make([]research.TreeFile, 0, len(files))
	for _, f := range files {
		b := NewBlob(f.Data)
		blobs = append(blobs, b)
		manifest = append(manifest, research.TreeFile{Path: f.Path, Mode: normalMode(f.Mode), Size: int64(len(f.Data)), Hash: b.Hash})
	}
	slices.SortFunc(manifest, func(a, b research.TreeFile) int { return cmp.Compare(a.Path, b.Path) })
	if err := checkManifest(manifest); err != nil {
		return Blob{}, nil, err
	}
	text, err := json.Marshal(manifest)
	if err != nil {
		return Blob{}, nil, err
	}
	root = NewBlob(text)
	return root, append(blobs, root), nil
}

func normalMode(mode uint32) uint32 {
	if mode&0o111 != 0 {
		return 0o755
	}
	return 0o644
}

// checkManifest holds a tree to the form that every user of one relies on: sorted, unique paths
// that stay inside the tree, no file that is also a directory.
func checkManifest(files []research.TreeFile) error {
	if len(files) == 0 {
		return errors.New("a tree has at least one file")
	}
	seen := make(map[string]bool, len(files))
	for i, f := range files {
		clean := f.Path != "" && f.Path != "." && path.Clean(f.Path) == f.Path && !path.IsAbs(f.Path) && f.Path != ".." &&
			!strings.HasPrefix(f.Path, "../") && !strings.ContainsRune(f.Path, 0)
		switch {
		case !clean:
			return fmt.Errorf("%q is not a clean relative path", f.Path)
		case i > 0 && files[i-1].Path >= f.Path:
			return fmt.Errorf("%q does not follow %q in order", f.Path, files[i-1].Path)
		case slices.ContainsFunc(strings.Split(f.Path, "/"), func(part string) bool { return strings.EqualFold(part, ".git") }):
			return fmt.Errorf("%q lies in a repository's own directory", f.Path)
		case f.Mode != normalMode(f.Mode):
			return fmt.Errorf("%q has mode %o", f.Path, f.Mode)
		}
		for dir := path.Dir(f.Path); dir != "."; dir = path.Dir(dir) {
			if seen[dir] {
				return fmt.Errorf("%q is a file and a directory", dir)
			}
		}
		seen[f.Path] = true
	}
	return nil
}

// parseManifest reads a manifest as NewTree wrote it.
func parseManifest(data []byte) ([]research.TreeFile, error) {
	var files []research.TreeFile
	if err := json.Unmarshal(data, &files); err != nil {
		return nil, fmt.Errorf("not a manifest of a tree: %w", err)
	}
	if err := checkManifest(files); err != nil {
		return nil, fmt.Errorf("not a manifest of a tree: %w", err)
	}
	return files, nil
}

// contents are the blobs that a fact names beside trees.
func contents(fact research.Fact) []research.Hash {
	var hashes []research.Hash
	switch f := fact.(type) {
	case research.SessionOpened:
		hashes = []research.Hash{f.Prompt}
	case research.SessionClosed:
		hashes = []research.Hash{f.Transcript}
	case research.Measured:
		hashes = logs(f.Measurement)
	case research.Recertified:
		if f.Measurement != nil {
			hashes = logs(*f.Measurement)
		}
	}
	return slices.DeleteFunc(hashes, func(h research.Hash) bool { return h == "" })
}

func logs(m research.Measurement) (hashes []research.Hash) {
	for _, phase := range m.Phases {
		hashes = append(hashes, phase.Log)
	}
	return hashes
}

// treeOf is the manifest that a fact names, or "".
func treeOf(fact research.Fact) research.Hash {
	switch f := fact.(type) {
	case research.Registered:
		return f.BaselineTree
	case research.Submitted:
		return f.Proposal.Tree
	}
	return ""
}
