// Command keeprules measures what the keep rules promise: how often a run keeps a trial that is no better,
// and how often it keeps one that is. The evaluator is replaced by noise of a known kind; who decides is
// the code that decides in a run, research.Next and research.Judge.
//
// Start reading at [run.trial].
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"text/tabwriter"

	"mendel/internal/research"
)

func main() {
	o := options{}
	flag.IntVar(&o.runs, "runs", 1000, "simulated runs for each row")
	flag.IntVar(&o.trials, "trials", 100, "trials in a run")
	flag.IntVar(&o.baseline, "baseline", research.ConfirmedBaseline, "measurements of the baseline, from which the noise is known")
	flag.Float64Var(&o.keep.Alpha, "alpha", research.ConfirmedAlpha, "risk of a false keep in a whole run")
	flag.IntVar(&o.keep.Pairs, "pairs", research.ConfirmedPairs, "pairs of measurements that a confirmation takes at most")
	flag.Uint64Var(&o.seed, "seed", 1, "of the noise")
	flag.Parse()
	report(os.Stdout, o)
}

type options struct {
	runs, trials, baseline int
	keep                   research.KeepRule
	seed                   uint64
}

func report(w io.Writer, o options) {
	fmt.Fprintf(w, "%d runs of %d trials; alpha %g, at most %d pairs, %d measurements of the baseline; 95 %% Clopper–Pearson intervals\n\n",
		o.runs, o.trials, o.keep.Alpha, o.keep.Pairs, o.baseline)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "no trial is better\truns with a false keep\tinterval\tfalse keeps/run\tconfirmations/run\treplicates/run\t")
	for _, rule := range []research.Rule{research.Strict, research.Confirmed} {
		for _, noise := range noises {
			s := o.simulate(rule, noise, 0)
			low, high := clopperPearson(s.falseRuns, o.runs)
			fmt.Fprintf(t, "%s, %s noise\t%.1f %%\t%.1f to %.1f %%\t%.2f\t%.1f\t%.0f\t\n", rule, noise.name,
				percent(s.falseRuns, o.runs), 100*low, 100*high, mean(s.falseKeeps, o.runs), mean(s.confirmations, o.runs), mean(s.replicates, o.runs))
		}
	}
	t.Flush()
	fmt.Fprintln(w)
	fmt.Fprintln(t, "one trial is better by\tlooked better\tkept\tinterval\tkept, if it looked better\tpairs if it did\truns with a false keep\t")
	for _, effect := range []float64{1, 2, 3, 4} {
		s := o.simulate(research.Confirmed, noises[0], effect)
		low, high := clopperPearson(s.found, o.runs)
		fmt.Fprintf(t, "%g sd\t%.1f %%\t%.1f %%\t%.1f to %.1f %%\t%.1f %%\t%.1f\t%.1f %%\t\n", effect, percent(s.triggered, o.runs), percent(s.found, o.runs), 100*low, 100*high,
			percent(s.found, s.triggered), mean(s.pairs, s.triggered), percent(s.falseRuns, o.runs))
	}
	t.Flush()
}

func percent(n, of int) float64 { return 100 * mean(n, of) }

func mean(n, of int) float64 { return float64(n) / float64(max(of, 1)) }
