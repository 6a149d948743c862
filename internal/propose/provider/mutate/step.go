package mutate

import (
	"fmt"
	"math"
	"slices"

	"mendel/internal/research"
)

// A step is one move that could be made, with how much it promises.
type step struct {
	move   move
	weight float64  // its chance to be drawn, in proportion to the others'
	why    string   // the evidence, as a clause
	gain   *float64 // what it should improve the score by, from measured effects; nil is unknown
}

// axes are the knobs that can be moved, in the order of the task.
func (p *episode) axes(values map[string]value) []axis {
	var list []axis
	for _, k := range p.knobs() {
		if v, ok := values[k.Name]; ok {
			if a, ok := axisOf(k, v.text()); ok {
				list = append(list, a)
			}
		}
	}
	return list
}

// stepTo is the step of a knob to a coordinate.
func (p *episode) stepTo(a axis, values map[string]value, x, weight float64, why string) step {
	return step{move: move{knob: a.knob, from: values[a.knob.Name].text(), to: a.write(x)}, weight: weight, why: why}
}

// steps lists the moves from a base that its knobs' history leaves sensible. Untried knobs come
// first; then what succeeded, less and less with each failure since.
func (p *episode) steps(base research.Trial, values map[string]value) []step {
	var list []step
	axes := p.axes(values)
	horizon := max(12, 4*len(axes)) // lessons older than this were learnt on another recipe
	for _, a := range axes {
		promise := p.promise(a.knob.Name)
		walk := p.walk
		if a.categorical() {
			walk = p.switches
		}
		moves := walk(a, values, horizon)
		moves = slices.DeleteFunc(moves, func(s step) bool {
			return p.spent[plan{base: base, moves: []move{s.move}}.key()]
		})
		best := 0.0
		for _, s := range moves {
			best = max(best, s.weight)
		}
		for _, s := range moves {
			// The better of two directions gets nearly all of the knob's weight.
			share := s.weight / best
			s.weight *= promise * share * share
			list = append(list, s)
		}
	}
	return list
}

// promise weighs a knob by its record.
func (p *episode) promise(knob string) float64 {
	lessons := p.memory.lessons[knob]
	if len(lessons) == 0 {
		if p.memory.blank {
			return 1
		}
		return 4
	}
	failures, won := 0, false
	for _, l := range lessons {
		if l.worked {
			won = true
			break
		}
		if l.judged {
			failures++
		}
	}
	weight := math.Pow(0.75, float64(failures))
	if won {
		weight *= 3
	}
	return max(weight, 0.05)
}

// A wall is a value that was worse, or did not run, and the lesson that says so.
type wall struct {
	x      float64
	lesson lesson
}

// walk gives the steps of a numeric knob: on in the direction that helped, then the untried
// side, then half-way towards a value that failed.
func (p *episode) walk(a axis, values map[string]value, horizon int) []step {
	lessons := p.memory.lessons[a.knob.Name]
	below, above := walls(a, lessons, horizon)
	if s, ok := p.vertex(a, values, below, above); ok {
		return []step{s}
	}
	var list []step
	for _, side := range []struct {
		sign float64
		wall *wall
	}{{-1, below}, {1, above}} {
		if side.wall != nil {
			if s, ok := p.halfWay(a, values, *side.wall); ok {
				list = append(list, s)
			}
			continue
		}
		size, weight, gain := a.step*(0.75+p.random.Float64()/2), 1.0, (*float64)(nil)
		why := p.unknown(lessons)
		if win, dx, ok := arrival(a, lessons); ok && dx*side.sign > 0 {
			size, weight = min(math.Abs(dx)*1.6, 6*a.step), 2
			why = fmt.Sprintf("trial %s moved it the same way, from %s to %s, and %s", win.trial, win.from, win.to, p.effect(win))
			if win.gain != nil {
				half := *win.gain / 2
				gain = &half
			}
		}
		if x, ok := a.settle(a.x + side.sign*size); ok {
			s := p.stepTo(a, values, x, weight, why)
			s.gain = gain
			list = append(list, s)
		}
	}
	return list
}

// walls finds the nearest bad value on each side of the present one. Besides what failed, that
// is what an improvement left behind.
func walls(a axis, lessons []lesson, horizon int) (below, above *wall) {
	for _, l := range lessons {
		bad := l.to
		if l.worked {
			bad = l.from
		}
		x, ok := a.parse(bad)
		if !ok || !l.judged || l.age > horizon || !l.alone || same(x, a.x) {
			continue
		}
		switch {
		case x < a.x && (below == nil || x > below.x):
			below = &wall{x, l}
		case x > a.x && (above == nil || x < above.x):
			above = &wall{x, l}
		}
	}
	return below, above
}

// arrival is the improvement that gave the knob its present value, and the step that it made.
func arrival(a axis, lessons []lesson) (lesson, float64, bool) {
	for _, l := range lessons {
		from, okFrom := a.parse(l.from)
		to, okTo := a.parse(l.to)
		if l.worked && okFrom && okTo && same(to, a.x) {
			return l, to - from, true
		}
	}
	return lesson{}, 0, false
}

// halfWay is a step towards a bad value, half as far, unless that is hardly a step any more.
func (p *episode) halfWay(a axis, values map[string]value, w wall) (step, bool) {
	distance := math.Abs(w.x - a.x)
	x, ok := a.settle(a.x + (w.x-a.x)/2)
	if !ok || same(x, w.x) || distance < a.step/8 || (x-a.x)*(w.x-a.x) < 0 || math.Abs(x-a.x) >= distance {
		return step{}, false
	}
	weight := 0.3 + 0.4*min(distance/a.step, 1)
	why := fmt.Sprintf("trial %s %s at %s, so a value nearer to the present one is tried", w.lesson.trial, p.effect(w.lesson), w.lesson.to)
	if w.lesson.worked {
		weight *= 0.6
		why = fmt.Sprintf("trial %s came from %s and %s, and the best value may lie between", w.lesson.trial, w.lesson.from, p.effect(w.lesson))
	}
	return p.stepTo(a, values, x, weight, why), true
}

// vertex is the top of the parabola through the present value and the bad ones on both sides,
// where both were measured against it.
func (p *episode) vertex(a axis, values map[string]value, below, above *wall) (step, bool) {
	if below == nil || above == nil {
		return step{}, false
	}
	left, okLeft := below.gain(a)
	right, okRight := above.gain(a)
	if !okLeft || !okRight {
		return step{}, false
	}
	dl, dr := below.x-a.x, above.x-a.x
	curve := (left/dl - right/dr) / (dl - dr)
	tilt := left/dl - curve*dl
	if curve >= 0 {
		return step{}, false
	}
	top := -tilt / (2 * curve)
	x, ok := a.settle(a.x + top)
	if !ok || same(x, below.x) || same(x, above.x) || math.Abs(top) < min(-dl, dr)/20 || top < dl || top > dr {
		return step{}, false
	}
	gain := curve*(x-a.x)*(x-a.x) + tilt*(x-a.x)
	if gain <= 0 {
		return step{}, false
	}
	weight := 0.3
	if gain > p.guess() {
		weight = 1
	}
	s := p.stepTo(a, values, x, weight, fmt.Sprintf("a parabola through %s, %s and %s, from trials %s and %s, has its best near there",
		a.write(below.x), a.write(a.x), a.write(above.x), below.lesson.trial, above.lesson.trial))
	s.gain = &gain
	return s, true
}

// gain is how much better the wall's value was measured to be than the present one; it is
// known when the wall's trial went from one of the two to the other.
func (w wall) gain(a axis) (float64, bool) {
	l := w.lesson
	from, okFrom := a.parse(l.from)
	to, okTo := a.parse(l.to)
	switch {
	case l.gain == nil || !okFrom || !okTo:
		return 0, false
	case same(from, a.x) && same(to, w.x):
		return *l.gain, true
	case same(to, a.x) && same(from, w.x):
		return -*l.gain, true
	}
	return 0, false
}

// switches gives the other choices of a knob that did not fail lately.
func (p *episode) switches(a axis, values map[string]value, horizon int) []step {
	lessons := p.memory.lessons[a.knob.Name]
	var list []step
	for i, choice := range a.choices() {
		known := slices.ContainsFunc(lessons, func(l lesson) bool {
			return l.age <= horizon && l.alone && (l.to == choice && !l.worked || l.from == choice && l.worked)
		})
		if i != int(a.x) && !known {
			list = append(list, p.stepTo(a, values, float64(i), 1, p.unknown(lessons)))
		}
	}
	return list
}

// unknown says that nothing speaks for or against a direction.
func (p *episode) unknown(lessons []lesson) string {
	switch {
	case p.memory.blank:
		return "nothing is known here of earlier trials, so this asks what it does"
	case len(lessons) == 0:
		return "no trial on record here has moved it, so this asks what it does"
	default:
		return "this direction is not known from the present value"
	}
}

// effect says what a trial did.
func (p *episode) effect(l lesson) string {
	unit := p.brief.Task.Score.Unit
	switch {
	case l.gain != nil && l.worked:
		return "improved the score by " + research.Quantity(math.Abs(research.Significant(*l.gain, 3)), unit)
	case l.worked:
		return "was kept"
	case l.status == research.StatusDiscard && l.gain != nil:
		return "was worse by " + research.Quantity(math.Abs(research.Significant(*l.gain, 3)), unit)
	case l.status == research.StatusDiscard:
		return "was not better"
	default:
		return "ended as " + string(l.status)
	}
}
