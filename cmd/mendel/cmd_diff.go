package main

import (
	"fmt"
	"os"
	"sort"
	"strings"

	"github.com/aymanbagabas/go-udiff"
	"github.com/spf13/cobra"

	"mendel/internal/lineage"
	"mendel/internal/research"
	"mendel/internal/view/terminal"
)

func diffCommand() *cobra.Command {
	var state string
	c := &cobra.Command{
		Use:   "diff A [B]",
		Short: "What trial A changed against its parent, or what B has that A has not",
		Args:  between(1, 2, "one or two trial ids"),
		RunE: func(_ *cobra.Command, args []string) error {
			_, r, err := openRun(state)
			if err != nil {
				return err
			}
			defer r.Close()
			a, err := trialOf(r, args[0])
			if err != nil {
				return err
			}
			var from, to research.Trial
			if len(args) == 2 {
				if to, err = trialOf(r, args[1]); err != nil {
					return err
				}
				from = a
			} else {
				if from, err = r.Trial(a.Proposal.Parent); err != nil {
					return err
				}
				to = a
			}
			text, err := diffTrees(r, from, to)
			if err != nil {
				return err
			}
			if text == "" {
				fmt.Fprintf(os.Stderr, "mendel: %s and %s have the same files\n", from.ID, to.ID)
				return nil
			}
			fmt.Print(coloured(text, terminal.StyleFor(os.Stdout)))
			return nil
		},
	}
	stateFlag(c, &state)
	return c
}

func diffTrees(r *lineage.Reader, from, to research.Trial) (string, error) {
	before, err := filesOf(r, from)
	if err != nil {
		return "", err
	}
	after, err := filesOf(r, to)
	if err != nil {
		return "", err
	}
	paths := make(map[string]bool)
	for p := range before {
		paths[p] = true
	}
	for p := range after {
		paths[p] = true
	}
	sorted := make([]string, 0, len(paths))
	for p := range paths {
		sorted = append(sorted, p)
	}
	sort.Strings(sorted)
	var b strings.Builder
	for _, p := range sorted {
		b.WriteString(udiff.Unified(from.ID.String()+"/"+p, to.ID.String()+"/"+p, before[p], after[p]))
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

func coloured(diff string, s terminal.Style) string {
	if !s.Colour {
		return diff
	}
	lines := strings.SplitAfter(diff, "\n")
	for i, line := range lines {
		body := strings.TrimSuffix(line, "\n")
		switch {
		case strings.HasPrefix(line, "+++"), strings.HasPrefix(line, "---"):
			lines[i] = s.Strong(body) + "\n"
		case strings.HasPrefix(line, "+"):
			lines[i] = s.Good(body) + "\n"
		case strings.HasPrefix(line, "-"):
			lines[i] = s.Bad(body) + "\n"
		}
	}
	return strings.Join(lines, "")
}
