package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"mendel/internal/lineage"
	"mendel/internal/research"
	"mendel/internal/view/analysis"
	"mendel/internal/view/study"
	"mendel/internal/view/terminal"
)

func compareCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "compare RUN RUN…",
		Short: "Set runs of one score side by side; `mendel study` says what a difference supports",
		Args:  between(2, 12, "two to twelve runs"),
		RunE: func(_ *cobra.Command, args []string) error {
			c, err := compareRuns(args)
			if err != nil {
				return err
			}
			if asJSON {
				return writeJSON(c)
			}
			terminal.WriteSideBySide(os.Stdout, c, terminal.StyleFor(os.Stdout))
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func compareRuns(dirs []string) (study.Comparison, error) {
	var runs []study.Run
	names := map[string]bool{}
	for _, dir := range dirs {
		a, err := analysisOf(dir)
		if err != nil {
			return study.Comparison{}, err
		}
		if first := append(runs, study.Run{Analysis: a})[0].Analysis; a.Score != first.Score {
			return study.Comparison{}, research.Hinted(fmt.Errorf("%s has the score %s (%s), and %s has %s (%s)", dirs[0],
				first.Score.Metric, first.Score.Direction, dir, a.Score.Metric, a.Score.Direction), "compare runs of one task")
		}
		name := filepath.Base(filepath.Clean(dir))
		if names[name] {
			name = filepath.Clean(dir)
		}
		names[name] = true
		runs = append(runs, study.Run{Arm: name, Replicate: 1, Dir: dir, Analysis: a})
	}
	return study.SideBySide(runs[0].Analysis.Task, runs[0].Analysis.Score, runs), nil
}

func analysisOf(dir string) (analysis.Analysis, error) {
	r, err := lineage.OpenReader(dir)
	if err != nil {
		return analysis.Analysis{}, err
	}
	defer r.Close()
	return analysis.Of(r)
}
