package report

import (
	"fmt"
	"html/template"
	"io"
	"math"
	"slices"

	"mendel/internal/research"
	"mendel/internal/view/analysis"
	"mendel/internal/view/study"
)

// A Study is everything that the report of a study says.
type Study struct {
	Title, Question, Task, Budget string
	Findings, Caveats             []string
	Finals, Curves                template.HTML
	Table                         [][]string
	Runs                          []StudyRun
	Method                        []Row
	Program                       string
}

// A StudyRun is one run of a study on one line.
type StudyRun struct{ Name, Trials, Improvements, Best, Final string }

// OfStudy gathers the report of a study.
func OfStudy(c study.Comparison, program string) Study {
	s := Study{
		Title: c.Name, Question: c.Question, Task: c.Task, Budget: c.Budget, Table: c.Table(), Program: program,
		Finals: finals(c), Curves: curves(c), Method: method(c),
	}
	for _, f := range c.Findings {
		s.Findings = append(s.Findings, f.Sentence)
	}
	if c.Missing > 0 {
		s.Caveats = append(s.Caveats, fmt.Sprintf("%d of the planned runs have no final score yet.", c.Missing))
	}
	if c.Score.SelfReported {
		s.Caveats = append(s.Caveats, "The score is self-reported: the recipe printed it.")
	}
	for _, r := range c.Runs {
		s.Runs = append(s.Runs, studyRun(r, c.Score))
	}
	return s
}

// HTML writes the report as one page.
func (s Study) HTML(w io.Writer) error { return page(w, "study.html", s) }

// Markdown writes the report as text.
func (s Study) Markdown(w io.Writer) error { return markdown(w, "study.md", s) }

func studyRun(r study.Run, score research.ScoreRule) StudyRun {
	row := StudyRun{
		Name: r.Name(), Trials: research.Number(float64(r.Analysis.Trials)), Improvements: research.Number(float64(r.Analysis.Improvements)),
		Best: "–", Final: "–",
	}
	if b := r.Analysis.Best; b != nil {
		row.Best = fmt.Sprintf("%s at %s", research.Quantity(b.Score, score.Unit), b.Trial)
	}
	if v, ok := r.FinalScore(); ok {
		row.Final = research.Quantity(research.Significant(v, 6), score.Unit)
	}
	if r.Final != nil && r.Final.NotHeld != "" {
		row.Final += ", the baseline's: " + r.Final.NotHeld
	}
	return row
}

func method(c study.Comparison) []Row {
	return []Row{
		{"Unit", "A run is one observation. Its final score is the mean of fresh measurements of its best recipe, made after all runs had ended; the score that made it the best is not used."},
		{"Test", "Permutation test of the difference of means, two-sided, over all ways to deal the runs to the two arms."},
		{"Interval", fmt.Sprintf("The shifts that this test does not reject, at %s %%, for each pair by itself.", research.Number(100*(1-c.Alpha)))},
		{"Several pairs", fmt.Sprintf("Holm's method holds the chance of any false finding below %s.", research.Number(c.Alpha))},
		{"Underpowered", fmt.Sprintf("With fewer than %d runs in an arm nothing is concluded.", study.EnoughReplicates)},
	}
}

// finals draws each run's final score, an arm a line.
func finals(c study.Comparison) template.HTML {
	var all []float64
	for _, r := range c.Runs {
		if v, ok := r.FinalScore(); ok {
			all = append(all, v)
		}
	}
	if len(all) == 0 {
		return ""
	}
	const left, rowHeight, top = 150.0, 34.0, 10.0
	p := &picture{width: 860, height: top + rowHeight*float64(len(c.Arms)) + 50}
	pad := (slices.Max(all) - slices.Min(all)) * 0.06
	if pad == 0 {
		pad = max(math.Abs(all[0])*0.01, 1e-9)
	}
	x := scale{slices.Min(all) - pad, slices.Max(all) + pad, left, p.width - 20}
	bottom := top + rowHeight*float64(len(c.Arms))
	values, print := x.ticks(6)
	for _, v := range values {
		p.line(x.at(v), top, x.at(v), bottom, faint, 1)
		p.text(x.at(v), bottom+16, "middle", "", print(v))
	}
	p.text((x.from+x.to)/2, bottom+34, "middle", "", axisLabel(c.Score))
	for i, arm := range c.Arms {
		y := top + rowHeight*(float64(i)+0.5)
		p.text(left-10, y+4, "end", "", arm.Arm)
		for _, r := range c.Runs {
			if v, ok := r.FinalScore(); ok && r.Arm == arm.Arm {
				p.add(`<circle cx="%.1f" cy="%.1f" r="4.5" fill="%s" fill-opacity="0.55" stroke="%s"><title>%s: %s</title></circle>`,
					x.at(v), y, armColour(i), armColour(i), r.Name(), research.Quantity(v, c.Score.Unit))
			}
		}
		if arm.Final.N > 0 {
			p.line(x.at(arm.Final.Mean), y-12, x.at(arm.Final.Mean), y+12, ink, 2.5)
		}
	}
	return p.svg("Final scores of the runs, by arm")
}

// curves draws the best score so far of each run over its trials, and the mean of each arm.
func curves(c study.Comparison) template.HTML {
	const left, top, bottom = 78.0, 14.0, 62.0
	last, low, high := 0, math.Inf(1), math.Inf(-1)
	for _, r := range c.Runs {
		last = max(last, r.Analysis.Trials)
		for _, s := range r.Analysis.BestSoFar {
			low, high = min(low, s.Score), max(high, s.Score)
		}
	}
	if last == 0 || low >= high {
		return ""
	}
	p := &picture{width: 860, height: 330}
	pad := (high - low) * 0.05
	x := scale{0, float64(last), left, p.width - 20}
	y := scale{low - pad, high + pad, p.height - bottom, top}
	p.axes(x, y, c.Score, left, p.width-20)
	legend := left
	for i, arm := range c.Arms {
		var sums []float64
		n := 0
		for _, r := range c.Runs {
			if values := bestByTrial(r.Analysis, last); r.Arm == arm.Arm && values != nil {
				p.path(x, y, values, armColour(i), 0.9, 0.45)
				sums = addTo(sums, values)
				n++
			}
		}
		for t := range sums {
			sums[t] /= float64(n)
		}
		p.path(x, y, sums, armColour(i), 2.6, 1)
		p.line(legend, p.height-12, legend+18, p.height-12, armColour(i), 2.6)
		p.text(legend+24, p.height-8, "start", "", arm.Arm)
		legend += 44 + 7*float64(len(arm.Arm))
	}
	return p.svg("Best score so far of each run")
}

// bestByTrial is the best score after 0, 1, … last trials; nil for a run without a valid baseline.
func bestByTrial(a analysis.Analysis, last int) []float64 {
	if len(a.BestSoFar) == 0 || a.BestSoFar[0].N > 0 {
		return nil
	}
	values := make([]float64, last+1)
	next := 0
	for n := range values {
		for next+1 < len(a.BestSoFar) && a.BestSoFar[next+1].N <= n {
			next++
		}
		values[n] = a.BestSoFar[next].Score
	}
	return values
}

func addTo(sums, values []float64) []float64 {
	if sums == nil {
		return slices.Clone(values)
	}
	for i, v := range values {
		sums[i] += v
	}
	return sums
}

func (p *picture) path(x, y scale, values []float64, colour string, width, opacity float64) {
	path := ""
	for n, v := range values {
		if n == 0 {
			path = fmt.Sprintf("M%.1f %.1f", x.at(0), y.at(v))
			continue
		}
		path += fmt.Sprintf("H%.1fV%.1f", x.at(float64(n)), y.at(v))
	}
	if path != "" {
		p.add(`<path d="%s" fill="none" stroke="%s" stroke-width="%g" stroke-opacity="%g"/>`, path, colour, width, opacity)
	}
}

// armColours are of Okabe and Ito; with more arms they come again.
func armColour(i int) string {
	return []string{blue, red, "#009E73", "#CC79A7", orange, "#56B4E9"}[i%6]
}
