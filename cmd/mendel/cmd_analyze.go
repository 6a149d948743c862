package main

import (
	"os"

	"github.com/spf13/cobra"

	"mendel/internal/view/analysis"
	"mendel/internal/view/terminal"
)

func analyzeCommand() *cobra.Command {
	var state string
	var asJSON bool
	c := &cobra.Command{
		Use:   "analyze [DIR]",
		Short: "What a run shows: outcomes by role, improvements, diversity, forecasts, pace, costs",
		Long: `Sums up a run, finished or not: the best score so far; how trials ended, over all and by role; who
improved what, and on whose work; margins over time; how different the hypotheses were; how well
their forecasts held; pace, and where a trial's time went; and what an improvement cost.
docs/analysis.md defines every number.`,
		Args: between(0, 1, "at most one directory or run file"),
		RunE: func(_ *cobra.Command, args []string) error {
			_, r, err := openRun(append(args, state)...)
			if err != nil {
				return err
			}
			defer r.Close()
			a, err := analysis.Of(r)
			if err != nil {
				return err
			}
			if asJSON {
				return writeJSON(a)
			}
			terminal.WriteAnalysis(os.Stdout, a, terminal.StyleFor(os.Stdout))
			return nil
		},
	}
	stateFlag(c, &state)
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}
