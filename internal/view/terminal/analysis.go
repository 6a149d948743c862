package terminal

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"mendel/internal/research"
	"mendel/internal/view/analysis"
)

// WriteAnalysis shows what one run shows.
func WriteAnalysis(w io.Writer, a analysis.Analysis, s Style) {
	fmt.Fprintf(w, "%s  %s\n", s.Strong(Printable(a.Task)), bestText(a, s))
	fmt.Fprintf(w, "  %d trials  %s\n", a.Trials, statusLine(a.Status, s))
	writeSteps(w, a, s)
	writeRoles(w, a, s)
	writeDiversity(w, a)
	writeForecasts(w, a)
	writeMargins(w, a)
	writePace(w, a)
	if n := len(a.Notes); n > 0 {
		fmt.Fprintf(w, "\nimported from %s; what was recovered, assumed or left out of its record\n", Printable(a.Imported))
		for _, note := range a.Notes {
			fmt.Fprintln(w, "  "+s.Faint(Printable(note.String())))
		}
	}
}

func bestText(a analysis.Analysis, s Style) string {
	if a.Best == nil {
		return "nothing has a score yet"
	}
	text := fmt.Sprintf("%s %s  at %s", a.Score.Metric, s.Strong(research.Quantity(a.Best.Score, a.Score.Unit)), a.Best.Trial)
	if a.Baseline != nil && a.Change != nil {
		text += fmt.Sprintf(", baseline %s (%+.2f %%)", research.Number(a.Baseline.Score), *a.Change*100)
	}
	return text + selfReported(a.Score)
}

func writeSteps(w io.Writer, a analysis.Analysis, s Style) {
	if a.Improvements == 0 {
		return
	}
	fmt.Fprintf(w, "\nimprovements: %d keeps, %d of the %d not built on the baseline on another role's keep\n", a.Improvements, a.CrossRole.N, a.CrossRole.Of)
	for _, step := range a.BestSoFar {
		if step.N == 0 { // the baseline
			continue
		}
		fmt.Fprintf(w, "  %s  %-9s %14s  %12s  %s\n", s.Strong(step.Trial), clip(step.Role, 9), research.Quantity(step.Score, a.Score.Unit),
			Signed(gainSign(a)*step.Gain, a.Score.Unit), clip(step.Hypothesis, max(s.Width-48, 24)))
	}
}

func gainSign(a analysis.Analysis) float64 {
	if a.Score.Direction == research.Maximize {
		return 1
	}
	return -1
}

func writeRoles(w io.Writer, a analysis.Analysis, s Style) {
	if len(a.Roles) == 0 {
		return
	}
	fmt.Fprintln(w, "\nroles: how their trials ended")
	for _, r := range a.Roles {
		var parts []string
		for _, status := range ordered(r.Status) {
			parts = append(parts, fmt.Sprintf("%s %.0f %%", s.Status(status, 0), r.Shares[status]*100))
		}
		fmt.Fprintf(w, "  %-9s %4d  gain %-12s %s\n", clip(r.Role, 9), r.Trials, research.Quantity(r.Gain, a.Score.Unit), strings.Join(parts, "  "))
	}
}

func writeDiversity(w io.Writer, a analysis.Analysis) {
	if a.Trials == 0 {
		return
	}
	fmt.Fprintf(w, "\nhypotheses: %.1f effective clusters (of %d), the largest %.1f %%, near-duplicates %.1f %%\n",
		a.EffectiveClusters, a.Clusters, a.LargestClusterShare*100, a.NearDuplicateShare*100)
}

func writeForecasts(w io.Writer, a analysis.Analysis) {
	f := a.Forecasts
	if f.N == 0 {
		return
	}
	fmt.Fprintf(w, "forecasts: %d valid trials, mean expected %s, measured %s (median %s); mean absolute error %s", f.N,
		Signed(*f.Expected, a.Score.Unit), Signed(*f.Measured, a.Score.Unit), Signed(*f.Median, a.Score.Unit), research.Quantity(*f.MAE, a.Score.Unit))
	if f.SignAgreement != nil {
		fmt.Fprintf(w, ", sign right %.0f %%", *f.SignAgreement*100)
	}
	if f.Correlation != nil {
		fmt.Fprintf(w, ", correlation %+.2f", *f.Correlation)
	}
	fmt.Fprintln(w)
}

func writeMargins(w io.Writer, a analysis.Analysis) {
	if len(a.Margins) == 0 {
		return
	}
	fmt.Fprintln(w, "\nmargins: how many trials held the bound, and the median slack in each quarter of the run")
	for _, m := range a.Margins {
		var quarters []string
		for _, q := range m.Quarters {
			quarters = append(quarters, Signed(q, m.Bound.Unit))
		}
		fmt.Fprintf(w, "  %-16s %3.0f %% of %d  %s\n", m.Bound.Name, m.Held*100, len(m.Points), strings.Join(quarters, "  "))
	}
}

func writePace(w io.Writer, a analysis.Analysis) {
	p := a.Pace
	if p.PerHour == nil && p.Tau == nil && a.Costs.USD == 0 {
		return
	}
	fmt.Fprintln(w)
	if p.PerHour != nil {
		fmt.Fprintf(w, "pace: %.2f trials an hour with %d agents", *p.PerHour, p.Agents)
		if p.Eta != nil {
			fmt.Fprintf(w, ", η %.2f", *p.Eta)
		}
		fmt.Fprintln(w)
	}
	if t := p.Tau; t != nil {
		queue := ""
		if t.Queue != nil {
			queue = fmt.Sprintf("queue %.1f s, ", *t.Queue)
		}
		fmt.Fprintf(w, "a trial takes %.1f s (n=%d): %schecks %.1f s, train %.1f s, evaluate %.1f s, the rest %.1f s\n",
			t.Total, t.N, queue, t.Checks, t.Train, t.Evaluate, t.Rest)
	}
	if c := a.Costs.PerImprovement; c != nil {
		fmt.Fprintf(w, "an improvement takes %.1f trials", c.Trials)
		if a.Costs.USD > 0 {
			fmt.Fprintf(w, ", $%.2f", c.USD)
		}
		if a.Costs.TrialSeconds > 0 {
			fmt.Fprintf(w, ", %.0f s of trials", c.TrialSeconds)
		}
		fmt.Fprintln(w)
	}
}

// ordered lists the statuses that occur: ours as tables show them, then an imported record's own.
func ordered(counts map[research.Status]int) []research.Status {
	var known, others []research.Status
	for _, status := range research.Statuses() {
		if counts[status] > 0 {
			known = append(known, status)
		}
	}
	for status := range counts {
		if !slices.Contains(research.Statuses(), status) {
			others = append(others, status)
		}
	}
	slices.Sort(others)
	return append(known, others...)
}
