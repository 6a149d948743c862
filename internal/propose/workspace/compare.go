package workspace

import (
	"bytes"
	"fmt"
	"path"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/aymanbagabas/go-udiff"

	"mendel/internal/research"
)

// Diff is the unified diff from one tree to another, in the order of the paths.
func Diff(from, to Tree) string {
	var b strings.Builder
	for _, c := range Changes(from, to) {
		switch {
		case !isText(c.Before.Data) || !isText(c.After.Data):
			fmt.Fprintf(&b, "Binary file %s: %d -> %d bytes\n", c.Path, len(c.Before.Data), len(c.After.Data))
		case !bytes.Equal(c.Before.Data, c.After.Data) || c.Kind != Edited:
			oldName, newName := "a/"+c.Path, "b/"+c.Path
			if c.Kind == Added {
				oldName = "/dev/null"
			}
			if c.Kind == Removed {
				newName = "/dev/null"
			}
			b.WriteString(udiff.Unified(oldName, newName, string(c.Before.Data), string(c.After.Data)))
		default:
			fmt.Fprintf(&b, "Mode of %s: %o -> %o\n", c.Path, c.Before.Mode.Perm(), c.After.Mode.Perm())
		}
	}
	return b.String()
}

// A ChangeKind says what happened to a file.
type ChangeKind string

// The kinds of change.
const (
	Added   ChangeKind = "added"
	Removed ChangeKind = "removed"
	Edited  ChangeKind = "edited"
)

// A Change is one file that differs between two trees.
type Change struct {
	Path          string
	Kind          ChangeKind
	Before, After File
}

// Changes compares two trees, in the order of their paths.
func Changes(from, to Tree) []Change {
	from, to = from.sorted(), to.sorted()
	var changes []Change
	for len(from) > 0 || len(to) > 0 {
		switch {
		case len(to) == 0 || len(from) > 0 && from[0].Path < to[0].Path:
			changes = append(changes, Change{Path: from[0].Path, Kind: Removed, Before: from[0]})
			from = from[1:]
		case len(from) == 0 || to[0].Path < from[0].Path:
			changes = append(changes, Change{Path: to[0].Path, Kind: Added, After: to[0]})
			to = to[1:]
		default:
			if !bytes.Equal(from[0].Data, to[0].Data) || plainMode(from[0].Mode) != plainMode(to[0].Mode) {
				changes = append(changes, Change{Path: to[0].Path, Kind: Edited, Before: from[0], After: to[0]})
			}
			from, to = from[1:], to[1:]
		}
	}
	return changes
}

func isText(data []byte) bool { return utf8.Valid(data) && bytes.IndexByte(data, 0) < 0 }

// A Hit is one line that a search found.
type Hit struct {
	Path string
	Line int
	Text string
}

// Search finds the lines that match a regular expression in the files of the recipe (as
// [Workspace.Snapshot] takes it) whose path or base name matches glob ("" is all), at most limit
// of them. It says how many there are in all.
func (w *Workspace) Search(pattern, glob string, mayAdd func(path string) bool, limit int) (hits []Hit, total int, err error) {
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil, 0, research.Misuse(`Patterns are in RE2 syntax; write \( for a bracket itself.`, "%q is not a regular expression: %v", pattern, err)
	}
	if _, err := path.Match(glob, ""); err != nil {
		return nil, 0, research.Misuse("Write a pattern such as *.py.", "%q is not a file pattern", glob)
	}
	tree, err := w.Snapshot(mayAdd)
	if err != nil {
		return nil, 0, err
	}
	for _, f := range tree {
		whole, _ := path.Match(glob, f.Path)
		base, _ := path.Match(glob, path.Base(f.Path))
		if glob != "" && !whole && !base || !isText(f.Data) {
			continue
		}
		for i, line := range strings.Split(strings.TrimSuffix(string(f.Data), "\n"), "\n") {
			if !re.MatchString(line) {
				continue
			}
			if total++; len(hits) < limit {
				hits = append(hits, Hit{Path: f.Path, Line: i + 1, Text: line})
			}
		}
	}
	return hits, total, nil
}
