package study

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"mendel/internal/research"
)

// Table sets the arms side by side: a header with their names, then a row for each figure. Rows that
// say nothing of any arm are left out.
func (c Comparison) Table() [][]string {
	header := []string{""}
	for _, a := range c.Arms {
		header = append(header, a.Arm)
	}
	rows := [][]string{header}
	add := func(name string, cell func(ArmResult) string) {
		row := []string{name}
		for _, a := range c.Arms {
			row = append(row, cell(a))
		}
		if slices.ContainsFunc(row[1:], func(cell string) bool { return cell != "" && cell != "0" && cell != "0 %" }) {
			rows = append(rows, row)
		}
	}
	unit := ""
	if c.Score.Unit != "" {
		unit = ", " + c.Score.Unit
	}
	add("runs with a final score", func(a ArmResult) string {
		if a.Ready == 0 {
			return ""
		}
		return fmt.Sprintf("%d of %d", a.Ready, a.Runs)
	})
	add("best recipe did not hold", func(a ArmResult) string { return research.Number(float64(a.NotHeld)) })
	add("final, re-measured"+unit, func(a ArmResult) string { return a.Final.text(research.Number) })
	add("  least to most", func(a ArmResult) string { return a.Final.ends(research.Number) })
	add("best while searching"+unit, func(a ArmResult) string { return a.InSearch.text(research.Number) })
	add("mean best-so-far"+unit, func(a ArmResult) string { return a.MeanBest.text(research.Number) })
	add("trials", func(a ArmResult) string { return a.Trials.text(tenths) })
	add("improvements", func(a ArmResult) string { return a.Improvements.text(tenths) })
	add("keeps on another role's keep", func(a ArmResult) string {
		if a.CrossRole.Of == 0 {
			return ""
		}
		return fmt.Sprintf("%d of %d", a.CrossRole.N, a.CrossRole.Of)
	})
	for _, status := range c.capped() {
		add(string(status), func(a ArmResult) string { return percent(a.Shares[status]) })
	}
	add("effective clusters", func(a ArmResult) string { return a.Clusters.text(tenths) })
	add("largest cluster", func(a ArmResult) string { return a.LargestShare.text(percent) })
	add("near-duplicates", func(a ArmResult) string { return a.NearDuplicate.text(percent) })
	add("measuring a run", func(a ArmResult) string { return a.Measuring.text(duration) })
	add("dollars a run", func(a ArmResult) string { return a.USD.text(hundredths) })
	return rows
}

// capped are the statuses, other than keep and discard, that any arm has trials of.
func (c Comparison) capped() (list []research.Status) {
	for _, a := range c.Arms {
		for status := range a.Shares {
			if status != research.StatusKeep && status != research.StatusDiscard && !slices.Contains(list, status) {
				list = append(list, status)
			}
		}
	}
	slices.Sort(list)
	return list
}

// text is the mean of a figure and how it varies between runs.
func (r Range) text(print func(float64) string) string {
	switch {
	case r.N == 0:
		return ""
	case r.N == 1 || r.SD == 0:
		return print(r.Mean)
	}
	return print(r.Mean) + " ± " + print(r.SD)
}

func (r Range) ends(print func(float64) string) string {
	if r.N < 2 {
		return ""
	}
	return print(r.Low) + " to " + print(r.High)
}

func duration(seconds float64) string {
	return research.Seconds(seconds).Std().Round(time.Second).String()
}

func percent(v float64) string    { return trimmed("%.1f", 100*v) + " %" }
func tenths(v float64) string     { return trimmed("%.1f", v) }
func hundredths(v float64) string { return trimmed("%.2f", v) }

func trimmed(format string, v float64) string {
	text := fmt.Sprintf(format, v)
	return strings.TrimSuffix(strings.TrimRight(text, "0"), ".")
}
