package mutate

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"mendel/internal/research"
)

// An axis is a knob with the value that it has now, as a coordinate x in which steps add:
// the value itself, or its logarithm on a logarithmic scale. A choice has its index.
type axis struct {
	knob     research.Knob
	x        float64
	min, max float64 // in x; infinite where the knob has no such bound
	step     float64 // the first step to try, in x
}

// axisOf places a knob whose value is written as text; ok is false when the text is no such
// value.
func axisOf(k research.Knob, text string) (axis, bool) {
	a := axis{knob: k, min: math.Inf(-1), max: math.Inf(1), step: 1}
	x, ok := a.parse(text)
	if !ok {
		return a, false
	}
	a.x = x
	if a.categorical() {
		return a, true
	}
	if k.Min != nil {
		a.min = a.coordinate(*k.Min)
	}
	if k.Max != nil {
		a.max = a.coordinate(*k.Max)
	}
	width := a.max - a.min
	switch {
	case a.logarithmic() && k.Step > 1:
		a.step = math.Log(k.Step)
	case a.logarithmic():
		a.step = math.Log(1.5)
	case k.Step > 0:
		a.step = k.Step
	case !math.IsInf(width, 0):
		a.step = width / 8
	case x != 0:
		a.step = math.Abs(x) / 4
	}
	if !math.IsInf(width, 0) {
		a.step = min(a.step, width/2)
	}
	return a, a.step > 0
}

func (a axis) categorical() bool {
	return a.knob.Type == research.ChoiceKnob || a.knob.Type == research.BoolKnob
}

func (a axis) logarithmic() bool { return a.knob.Scale == "log" }

func (a axis) choices() []string {
	if a.knob.Type == research.BoolKnob {
		return []string{"False", "True"}
	}
	return a.knob.Choices
}

// coordinate is where a number lies. What has no logarithm lies at the very left.
func (a axis) coordinate(v float64) float64 {
	if a.logarithmic() {
		return math.Log(v)
	}
	return v
}

// parse reads a value as the recipe writes it.
func (a axis) parse(text string) (float64, bool) {
	if a.categorical() {
		i := slices.Index(a.choices(), text)
		return float64(i), i >= 0
	}
	v, err := strconv.ParseFloat(strings.ReplaceAll(text, "_", ""), 64)
	if err != nil || v-v != 0 || a.knob.Type == research.IntKnob && v != math.Trunc(v) {
		return 0, false
	}
	x := a.coordinate(v)
	return x, x-x == 0
}

// write gives the text of the value nearest to x inside the knob's range.
func (a axis) write(x float64) string {
	if a.categorical() {
		return a.choices()[int(x)]
	}
	v := min(max(x, a.min), a.max)
	if a.logarithmic() {
		v = math.Exp(v)
	}
	if a.knob.Type == research.IntKnob {
		return strconv.FormatFloat(math.Round(v), 'f', 0, 64)
	}
	return floatText(v)
}

// floatText writes three significant digits as a Python float.
func floatText(v float64) string {
	rounded, err := strconv.ParseFloat(strconv.FormatFloat(v, 'g', 3, 64), 64)
	if err != nil {
		rounded = v
	}
	text := strconv.FormatFloat(rounded, 'g', -1, 64)
	if !strings.ContainsAny(text, ".e") {
		text += ".0"
	}
	return text
}

// settle is the coordinate that x gets when it is written, and whether that is another value
// inside the range than the present one.
func (a axis) settle(x float64) (float64, bool) {
	if x = min(max(x, a.min), a.max); same(x, a.x) {
		return a.x, false
	}
	at, ok := a.parse(a.write(x))
	if a.knob.Type == research.IntKnob && ok && same(at, a.x) {
		// A step below one is a step of one.
		v, _ := strconv.ParseFloat(a.write(a.x), 64)
		if x > a.x {
			v++
		} else {
			v--
		}
		at = a.coordinate(v)
		ok = at-at == 0 && at >= a.min-tiny && at <= a.max+tiny
	}
	return at, ok && !same(at, a.x)
}

const tiny = 1e-9

func same(a, b float64) bool { return math.Abs(a-b) <= tiny*(1+math.Abs(a)) }
