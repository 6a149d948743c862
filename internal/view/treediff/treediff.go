// Package treediff shows what one trial's files have that another's have not.
package treediff

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/aymanbagabas/go-udiff"

	"mendel/internal/lineage"
	"mendel/internal/research"
)

// Between is the unified diff between the trees of two trials, file by file; "" where they are the same.
func Between(r *lineage.Reader, from, to research.Trial) (string, error) {
	before, err := filesOf(r, from)
	if err != nil {
		return "", err
	}
	after, err := filesOf(r, to)
	if err != nil {
		return "", err
	}
	all := maps.Clone(before)
	maps.Copy(all, after)
	var b strings.Builder
	for _, path := range slices.Sorted(maps.Keys(all)) {
		b.WriteString(udiff.Unified(from.ID.String()+"/"+path, to.ID.String()+"/"+path, before[path], after[path]))
	}
	return b.String(), nil
}

func filesOf(r *lineage.Reader, t research.Trial) (map[string]string, error) {
	if t.Proposal.Tree == "" {
		return nil, research.Hinted(fmt.Errorf("trial %s was imported: its record has no files to compare", t.ID), fmt.Sprintf("`mendel show %s` has its hypothesis", t.ID))
	}
	tree, err := r.Tree(t.Proposal.Tree)
	if err != nil {
		return nil, fmt.Errorf("tree of %s: %w", t.ID, err)
	}
	files := make(map[string]string, len(tree))
	for _, f := range tree {
		files[f.Path] = string(f.Data)
	}
	return files, nil
}
