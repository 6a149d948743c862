package mutate

import (
	"fmt"
	"math"
	"slices"

	"mendel/internal/research"
)

// How often mutate does something other than the best-looking step from the incumbent.
const (
	repairChance     = 0.5  // work on a near miss, where there is one that is not worn out
	wearRepairs      = 5    // trials built on a near miss, or on its repairs, that wear it out
	elsewhereChance  = 0.1  // start from another trial of the leaderboard
	twoKnobsChance   = 0.15 // move two knobs at once
	jumpChance       = 0.4  // when saturated: leave the neighbourhood
	repairPastFactor = 1.25 // aim this far beyond the missing slack
)

// A plan is one proposal before it is made.
type plan struct {
	base     research.Trial
	moves    []move
	why      []string // evidence for each move, as a clause
	expected float64  // score minus the incumbent's, signed, in the score's unit
	measured bool     // expected rests on measured effects, not on a guess
}

// key tells plans apart within a session.
func (p plan) key() string {
	return baseKey(p.base.ID) + " " + note(p.moves)
}

func baseKey(id research.TrialID) string { return "on " + id.String() }

// chooseBase picks the trial to start from: the incumbent, a near miss to repair, or sometimes
// another good one.
func (p *episode) chooseBase() research.Trial {
	h := p.brief.History
	if h == nil {
		return p.brief.Incumbent
	}
	if p.random.Float64() < repairChance {
		for _, t := range h.NearMisses {
			if p.memory.worn(t) < wearRepairs && !p.spent[baseKey(t.ID)] {
				return t
			}
		}
	}
	if p.random.Float64() < elsewhereChance {
		if others := p.closeSeconds(); len(others) > 0 {
			return others[p.random.IntN(len(others))]
		}
	}
	return p.brief.Incumbent
}

// closeSeconds are the trials of the leaderboard that are nearly as good as the incumbent: an
// improvement of one of them may be the better recipe. From a far worse one it cannot be.
func (p *episode) closeSeconds() []research.Trial {
	const share = 0.05 // of all that the run has won so far
	h := p.brief.History
	best, ok := p.brief.Incumbent.Score()
	first, measured := h.Baseline.Score()
	if !ok || !measured {
		return nil
	}
	near := max(share*math.Abs(best-first), 2*p.guess())
	var others []research.Trial
	for _, t := range h.Leaderboard {
		if t.ID != p.brief.Incumbent.ID && math.Abs(p.ahead(t)) <= near && !p.spent[baseKey(t.ID)] {
			others = append(others, t)
		}
	}
	return others
}

// choose makes a plan on a base whose knobs have these values; ok is false when nothing is
// left to try there.
func (p *episode) choose(base research.Trial, values map[string]value) (plan, bool) {
	if base.Status.Stopped() {
		return p.repair(base, values)
	}
	steps := p.steps(base, values)
	saturated := p.brief.History != nil && p.brief.History.Saturated
	if saturated && p.random.Float64() < jumpChance || len(steps) == 0 {
		if far := p.jumps(base, values); len(far) > 0 {
			steps = far
		}
	}
	first, ok := p.draw(steps)
	if !ok {
		return plan{}, false
	}
	chosen := []step{first}
	rest := slices.DeleteFunc(slices.Clone(steps), func(s step) bool { return s.move.knob.Name == first.move.knob.Name })
	if !p.memory.blank && p.random.Float64() < twoKnobsChance {
		if second, ok := p.draw(rest); ok {
			chosen = append(chosen, second)
		}
	}
	return p.planOf(base, chosen), true
}

// planOf adds up what the steps are expected to do.
func (p *episode) planOf(base research.Trial, steps []step) plan {
	pl := plan{base: base, measured: true}
	gain := 0.0
	for _, s := range steps {
		pl.moves = append(pl.moves, s.move)
		pl.why = append(pl.why, s.why)
		if s.gain == nil {
			pl.measured = false
			gain += p.guess()
		} else {
			gain += *s.gain
		}
	}
	sign := 1.0
	if p.brief.Task.Score.Direction == research.Minimize {
		sign = -1
	}
	pl.expected = research.Significant(sign*gain+p.ahead(base), 3)
	return pl
}

// ahead is the base's score minus the incumbent's.
func (p *episode) ahead(base research.Trial) float64 {
	best, okBest := p.brief.Incumbent.Score()
	v, ok := base.Score()
	if !ok || !okBest {
		return 0
	}
	return v - best
}

// guess is the gain to expect of a step of which nothing is known: half of what one
// measurement varies by, or a thousandth of the score.
func (p *episode) guess() float64 {
	if h := p.brief.History; h != nil && h.Noise != nil && h.Noise.SD > 0 {
		return h.Noise.SD / 2
	}
	if v, ok := p.brief.Incumbent.Score(); ok && v != 0 {
		return math.Abs(v) / 1000
	}
	return 0.001
}

// draw picks one step with chances in proportion to their weights.
func (p *episode) draw(steps []step) (step, bool) {
	total := 0.0
	for _, s := range steps {
		total += s.weight
	}
	if total <= 0 {
		return step{}, false
	}
	at := p.random.Float64() * total
	for _, s := range steps {
		if at -= s.weight; at < 0 {
			return s, true
		}
	}
	return steps[len(steps)-1], true
}

// jumps are moves to anywhere in a knob's range, for when the neighbourhood is exhausted.
func (p *episode) jumps(base research.Trial, values map[string]value) []step {
	var far []step
	for _, a := range p.axes(values) {
		var candidates []step
		const why = "steps near the present values have stopped helping, so this leaves their neighbourhood"
		if a.categorical() {
			for i := range a.choices() {
				if i != int(a.x) {
					candidates = append(candidates, p.stepTo(a, values, float64(i), 1, why))
				}
			}
		} else if width := a.max - a.min; !math.IsInf(width, 0) {
			if x, ok := a.settle(a.min + p.random.Float64()*width); ok {
				candidates = append(candidates, p.stepTo(a, values, x, 1, why))
			}
		}
		for _, s := range candidates {
			if !p.spent[plan{base: base, moves: []move{s.move}}.key()] {
				far = append(far, s)
			}
		}
	}
	return far
}

// repair moves a near miss back inside its bounds: by another knob that is known to move the
// missed margin the right way, or half-way back on the knob that led there.
func (p *episode) repair(base research.Trial, values map[string]value) (plan, bool) {
	var options []step
	for _, a := range p.axes(values) {
		for _, s := range []step{p.giveSlack(a, base, values), p.halfBack(a, base, values)} {
			if s.weight > 0 && !p.spent[plan{base: base, moves: []move{s.move}}.key()] {
				options = append(options, s)
			}
		}
	}
	s, ok := p.draw(options)
	if !ok {
		return plan{}, false
	}
	return p.planOf(base, []step{s}), true
}

// giveSlack is a step of a knob whose measured effect on the missed margin would close it.
func (p *episode) giveSlack(a axis, base research.Trial, values map[string]value) step {
	missed, ok := worstMargin(base)
	if !ok || a.categorical() {
		return step{}
	}
	slope, ok := p.slackSlope(a, missed.Bound.Name)
	if !ok || slope == 0 {
		return step{}
	}
	dx := -missed.Slack * repairPastFactor / slope
	if size := min(max(math.Abs(dx), a.step/4), 4*a.step); dx < 0 {
		dx = -size
	} else {
		dx = size
	}
	x, ok := a.settle(a.x + dx)
	if !ok {
		return step{}
	}
	weight := 1.5
	cost, known := p.memory.slope(a, func(l lesson) (float64, bool) {
		if l.gain == nil {
			return 0, false
		}
		return *l.gain, true
	})
	var gain *float64
	if known {
		predicted := cost * (x - a.x)
		gain = &predicted
		if lead := math.Abs(p.ahead(base)); predicted < -lead {
			weight = 0.2 // it would give back more than the near miss has won
		} else if predicted > -lead/2 {
			weight = 3
		}
	}
	s := p.stepTo(a, values, x, weight, fmt.Sprintf("by its earlier moves, a step of this size changes %s by about %s, and the near miss lacks %s",
		missed.Bound.Name, research.Quantity(math.Abs(slope*(x-a.x)), missed.Bound.Unit), research.Quantity(math.Abs(missed.Slack), missed.Bound.Unit)))
	s.gain = gain
	return s
}

// slackSlope is what one unit of a knob's coordinate did to a margin's slack.
func (p *episode) slackSlope(a axis, bound string) (float64, bool) {
	return p.memory.slope(a, func(l lesson) (float64, bool) {
		moved, known := l.slack[bound]
		return moved, known
	})
}

// halfBack goes half of the way back on a knob that the near miss itself moved. A quarter and
// three quarters are next, when half of it was tried.
func (p *episode) halfBack(a axis, base research.Trial, values map[string]value) step {
	missed, ok := worstMargin(base)
	if !ok || a.categorical() {
		return step{}
	}
	for _, l := range p.memory.lessons[a.knob.Name] {
		if l.trial != base.ID {
			continue
		}
		from, ok := a.parse(l.from)
		if gained, known := l.slack[missed.Bound.Name]; !ok || known && gained >= 0 {
			return step{} // it was not this move that used the room up
		}
		for _, share := range []float64{0.5, 0.75, 0.25} {
			x, ok := a.settle(a.x + share*(from-a.x))
			if !ok || same(x, from) || p.tried(a, x) {
				continue
			}
			if slope, known := p.slackSlope(a, missed.Bound.Name); known && slope*(x-a.x) <= 0 {
				return step{} // of several knobs that moved, it was another
			}
			s := p.stepTo(a, values, x, 2, fmt.Sprintf("trial %s went from %s to %s, which was better but missed a bound; going back part of the way should hold it and keep some of the gain",
				l.trial, l.from, l.to))
			back := -share * math.Abs(p.ahead(base))
			s.gain = &back
			return s
		}
	}
	return step{}
}

// tried says whether a move of this knob alone to x is known.
func (p *episode) tried(a axis, x float64) bool {
	return slices.ContainsFunc(p.memory.lessons[a.knob.Name], func(l lesson) bool {
		to, ok := a.parse(l.to)
		return ok && l.alone && same(to, x)
	})
}

func worstMargin(t research.Trial) (research.Margin, bool) {
	if t.Measurement == nil {
		return research.Margin{}, false
	}
	for _, m := range t.Measurement.Margins {
		if !m.Holds() {
			return m, true
		}
	}
	return research.Margin{}, false
}
