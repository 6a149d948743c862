package main

import (
	"os"

	"github.com/spf13/cobra"

	"mendel/internal/lineage"
	"mendel/internal/research"
	"mendel/internal/view/terminal"
)

func treeCommand() *cobra.Command {
	var state string
	var keeps bool
	c := &cobra.Command{
		Use:   "tree",
		Short: "Who descends from whom, * on the way to the incumbent, and by how much near misses missed",
		Args:  exactly(0, "no arguments"),
		RunE: func(*cobra.Command, []string) error {
			_, r, err := openRun(state)
			if err != nil {
				return err
			}
			defer r.Close()
			reg, err := r.Registration()
			if err != nil {
				return err
			}
			trials, err := allTrials(r)
			if err != nil {
				return err
			}
			path, err := pathToIncumbent(r)
			if err != nil {
				return err
			}
			if keeps {
				kept := trials[:0]
				for _, t := range trials {
					if t.Status.Ranks() || path[t.ID] {
						kept = append(kept, t)
					}
				}
				trials = kept
			}
			terminal.WriteTree(os.Stdout, trials, path, reg.Score, terminal.StyleFor(os.Stdout))
			return nil
		},
	}
	stateFlag(c, &state)
	c.Flags().BoolVar(&keeps, "keeps", false, "only kept trials")
	return c
}

// allTrials reads a whole run, in the order of ids, a page at a time.
func allTrials(r *lineage.Reader) ([]research.Trial, error) {
	var all []research.Trial
	for after := research.TrialID(-1); ; {
		page, err := r.Trials(lineage.Filter{After: &after, Limit: 500})
		if err != nil || len(page) == 0 {
			return all, err
		}
		all = append(all, page...)
		after = page[len(page)-1].ID
	}
}

func pathToIncumbent(r *lineage.Reader) (map[research.TrialID]bool, error) {
	path := make(map[research.TrialID]bool)
	incumbent, ok, err := r.Incumbent()
	if err != nil || !ok {
		return path, err
	}
	for id := incumbent.ID; ; {
		path[id] = true
		if id == research.Baseline {
			return path, nil
		}
		t, err := r.Trial(id)
		if err != nil {
			return nil, err
		}
		id = t.Proposal.Parent
	}
}
