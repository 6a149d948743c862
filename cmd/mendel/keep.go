package main

import (
	"cmp"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"mendel/internal/research"
)

// keepFlags say when a trial replaces the incumbent.
type keepFlags struct {
	name  string
	alpha float64
	pairs int
}

func (f *keepFlags) bind(c *cobra.Command) {
	flags := c.Flags()
	flags.StringVar(&f.name, "keep", "", "strict or confirmed (default: what the task says; docs/keep-rules.md)")
	flags.Float64Var(&f.alpha, "alpha", 0, "--keep confirmed: risk that the run keeps anything which is no better (default: 0.05)")
	flags.IntVar(&f.pairs, "pairs", 0, "--keep confirmed: pairs of measurements that one confirmation takes at most (default: 24)")
}

// rule is the task's keep rule, or the one that was typed, with the measurements of the baseline that it
// needs.
func (f keepFlags) rule(t *taskPackage) (research.KeepRule, int, error) {
	keep, replicates := t.Keep, t.Baseline.Replicates
	switch rule := research.Rule(f.name); rule {
	case "", keep.Rule:
	case research.Strict:
		keep = research.KeepRule{Rule: rule}
	case research.Confirmed:
		keep = research.KeepRule{Rule: rule}
		if t.NoiseKind != research.None {
			replicates = max(replicates, research.ConfirmedBaseline)
		}
	default:
		return keep, 0, research.Hinted(usageError{fmt.Errorf("--keep %s", f.name)}, "want strict or confirmed")
	}
	if (f.alpha != 0 || f.pairs != 0) && keep.Rule != research.Confirmed {
		return keep, 0, research.Hinted(usageError{errors.New("--alpha and --pairs are for confirmations")}, "add --keep confirmed")
	}
	keep.Alpha, keep.Pairs = cmp.Or(f.alpha, keep.Alpha), cmp.Or(f.pairs, keep.Pairs)
	keep, err := keep.Complete()
	if err != nil {
		return keep, 0, research.Hinted(usageError{err}, research.Hint(err))
	}
	return keep, replicates, nil
}
