package report

import (
	"fmt"
	"html/template"
	"math"

	"mendel/internal/research"
	"mendel/internal/view/analysis"
)

// curve draws every judged trial by its score, and the best score so far as a line. Scores far outside
// of what the search moved in are drawn hollow at the edge: one bad trial must not flatten the rest.
func curve(a analysis.Analysis, trials []research.Trial, noise *research.Noise) template.HTML {
	if len(a.BestSoFar) == 0 {
		return ""
	}
	const left, right, top, bottom = 78, 16, 14, 64
	p := &picture{width: 860, height: 360}
	y := scoreScale(a, trials)
	y.from, y.to = p.height-bottom, top
	x := scale{0, float64(max(lastID(trials), 1)), left + 8, p.width - right - 8}
	if floor, known := noise.Floor(); known && floor > 0 && a.Baseline != nil {
		p.noiseBand(y, a, floor, left, p.width-right)
	}
	p.axes(x, y, a.Score, left, p.width-right)
	used := map[research.Status]bool{}
	for _, t := range trials {
		score, ok := t.Score()
		if !ok || t.Status == "" {
			continue
		}
		used[t.Status] = true
		at, shown := y.inside(score)
		p.mark(x.at(float64(t.ID)), y.at(at), t.Status, !shown, trialTitle(t, a.Score))
	}
	p.steps(x, y, a.BestSoFar)
	p.legend(left, p.height-8, used)
	return p.svg(fmt.Sprintf("Score of each trial and the best so far: %s", a.Score.Metric))
}

// scoreScale spans the best, the baseline and what is worse than it by less than the search came
// forward.
func scoreScale(a analysis.Analysis, trials []research.Trial) scale {
	best := a.BestSoFar[len(a.BestSoFar)-1].Score
	start := a.BestSoFar[0].Score
	reach := math.Abs(best - start)
	if reach == 0 { // nothing was better: show what there was
		for _, t := range trials {
			if s, ok := t.Score(); ok && t.Status == research.StatusDiscard {
				reach = max(reach, math.Abs(s-start))
			}
		}
	}
	if reach == 0 {
		reach = max(math.Abs(start)*0.1, 1e-9)
	}
	sign := 1.0 // towards what is worse
	if a.Score.Direction == research.Maximize {
		sign = -1
	}
	worse := start
	for _, t := range trials { // as far down as there is anything within reach
		if s, ok := t.Score(); ok && sign*(s-start) < 0.9*reach {
			worse = start + sign*max(sign*(worse-start), sign*(s-start))
		}
	}
	if worse == best {
		worse = start + sign*reach
	}
	pad := math.Abs(worse-best) * 0.08
	low, high := min(worse, best)-pad, max(worse, best)+pad
	return scale{low: low, high: high}
}

func lastID(trials []research.Trial) research.TrialID {
	if len(trials) == 0 {
		return 0
	}
	return trials[len(trials)-1].ID
}

// noiseBand shades the scores that are no better than the baseline by more than chance.
func (p *picture) noiseBand(y scale, a analysis.Analysis, floor, x1, x2 float64) {
	edge := a.Baseline.Score - floor
	if a.Score.Direction == research.Maximize {
		edge = a.Baseline.Score + floor
	}
	from, _ := y.inside(a.Baseline.Score)
	to, _ := y.inside(edge)
	p.add(`<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s"><title>no better than the baseline by more than the noise floor</title></rect>`,
		x1, min(y.at(from), y.at(to)), x2-x1, math.Abs(y.at(from)-y.at(to)), shading)
	p.text(x2-4, max(y.at(from), y.at(to))-4, "end", `font-size="10" fill="#667788"`, "within noise of the baseline")
}

// axes draws both, with the score's unit and the better direction.
func (p *picture) axes(x, y scale, score research.ScoreRule, x1, x2 float64) {
	values, print := y.ticks(6)
	for _, v := range values {
		p.line(x1, y.at(v), x2, y.at(v), faint, 1)
		p.text(x1-6, y.at(v)+4, "end", "", print(v))
	}
	p.line(x1, y.from, x2, y.from, ink, 1)
	trials, printTrial := x.ticks(10)
	for _, v := range trials {
		if v == math.Trunc(v) {
			p.line(x.at(v), y.from, x.at(v), y.from+4, ink, 1)
			p.text(x.at(v), y.from+17, "middle", "", printTrial(v))
		}
	}
	p.text((x1+x2)/2, y.from+33, "middle", "", "trial")
	middle := (y.from + y.to) / 2
	p.text(16, middle, "middle", fmt.Sprintf(`transform="rotate(-90 16 %.1f)"`, middle), axisLabel(score))
}

// axisLabel is the score with its unit and its better direction.
func axisLabel(score research.ScoreRule) string {
	label := score.Metric
	if score.Unit != "" {
		label += ", " + score.Unit
	}
	if score.SelfReported {
		label += " (self-reported)"
	}
	if score.Direction == research.Maximize {
		return label + " · higher is better"
	}
	return label + " · lower is better"
}

// steps draws the best score so far; where it moved, the trial's id.
func (p *picture) steps(x, y scale, steps []analysis.Step) {
	path := ""
	below := 16.0 // on the side that the curve has not been to
	if len(steps) > 1 && steps[1].Score > steps[0].Score {
		below = -9
	}
	labelled := math.Inf(-1)
	for i, s := range steps {
		id, err := research.ParseTrialID(s.Trial)
		if err != nil {
			continue
		}
		px, py := x.at(float64(id)), y.at(s.Score)
		if i == 0 {
			path = fmt.Sprintf("M%.1f %.1f", px, py)
			continue
		}
		path += fmt.Sprintf("H%.1fV%.1f", px, py)
		if px-labelled > 26 {
			p.text(px, py+below, "middle", fmt.Sprintf(`font-size="10" fill="%s"`, blue), s.Trial)
			labelled = px
		}
	}
	p.add(`<path d="%sH%.1f" fill="none" stroke="%s" stroke-width="2"/>`, path, x.to, blue)
}

func trialTitle(t research.Trial, score research.ScoreRule) string {
	text := fmt.Sprintf("%s %s, %s", t.ID, t.Status, t.Proposal.Role)
	if v, ok := t.Score(); ok {
		text += ", " + research.Quantity(v, score.Unit)
	}
	return text + ": " + short(t.Proposal.Hypothesis, mostTitle)
}
