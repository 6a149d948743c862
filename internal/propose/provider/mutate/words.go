package mutate

import (
	"fmt"
	"strings"

	"mendel/internal/research"
)

// hypothesis is one sentence that says what changes, on what evidence, and what is expected.
func (p plan) hypothesis(brief research.Brief) string {
	var b strings.Builder
	if p.base.ID != brief.Incumbent.ID {
		what := "trial"
		if p.base.Status.Stopped() {
			what = "near miss"
		}
		fmt.Fprintf(&b, "On %s %s, ", what, p.base.ID)
	}
	for i, m := range p.moves {
		if i > 0 {
			b.WriteString("; and ")
		}
		fmt.Fprintf(&b, "%s: %s", m.words(), p.why[i])
	}
	unit := brief.Task.Score.Unit
	signed := research.Quantity(p.expected, unit)
	if p.expected >= 0 {
		signed = "+" + signed
	}
	if p.measured {
		fmt.Fprintf(&b, "; from those measured effects the score should move by about %s.", signed)
	} else {
		fmt.Fprintf(&b, "; the forecast of %s is a small guess, not a measured effect.", signed)
	}
	text := b.String()
	return strings.ToUpper(text[:1]) + text[1:]
}

// words says a move: "raise batch_size from 64 to 96 (examples per step)".
func (m move) words() string {
	verb := "set"
	if a, ok := axisOf(m.knob, m.from); ok && !a.categorical() {
		if to, ok := a.parse(m.to); ok && to > a.x {
			verb = "raise"
		} else {
			verb = "lower"
		}
	}
	text := fmt.Sprintf("%s %s from %s to %s", verb, m.knob.Name, m.from, m.to)
	if about := strings.TrimRight(strings.TrimSpace(m.knob.About), "."); about != "" {
		text += " (" + about + ")"
	}
	return text
}
