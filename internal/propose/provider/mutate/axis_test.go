package mutate

import (
	"testing"

	"mendel/internal/research"
)

func TestSettle(t *testing.T) {
	whole := research.Knob{Type: research.IntKnob, Min: number(2), Max: number(8)}
	wholeLog := research.Knob{Type: research.IntKnob, Min: number(2), Max: number(64), Scale: "log", Step: 1.1}
	real := research.Knob{Type: research.FloatKnob, Min: number(0), Max: number(1), Step: 0.1}
	logged := research.Knob{Type: research.FloatKnob, Min: number(1e-5), Max: number(1), Scale: "log", Step: 2}
	cases := []struct {
		name  string
		knob  research.Knob
		now   string
		steps float64 // how far to go, in first steps
		want  string  // "" when there is no such value
	}{
		{"a whole step", whole, "4", 1, "5"},
		{"less than one is one", whole, "4", 0.1, "5"},
		{"less than one is one, downwards", whole, "4", -0.1, "3"},
		{"up from the upper end", whole, "8", 1, ""},
		{"up to the upper end", whole, "7", 5, "8"},
		{"down from the lower end", whole, "2", -1, ""},
		{"small on a logarithmic scale", wholeLog, "4", 1, "5"},
		{"at its end", wholeLog, "64", 1, ""},
		{"a float keeps its point", real, "0.9", 1, "1.0"},
		{"a float at its end", real, "1.0", 1, ""},
		{"a float from outside comes inside", real, "1.5", 1, "1.0"},
		{"three digits", logged, "3e-4", 1, "0.0006"},
		{"underscores", research.Knob{Type: research.IntKnob, Step: 500}, "1_000", 1, "1500"},
	}
	for _, c := range cases {
		a, ok := axisOf(c.knob, c.now)
		if !ok {
			t.Errorf("%s: %q does not parse", c.name, c.now)
			continue
		}
		got := ""
		if x, ok := a.settle(a.x + c.steps*a.step); ok {
			got = a.write(x)
		}
		if got != c.want {
			t.Errorf("%s: from %s it goes to %q, want %q", c.name, c.now, got, c.want)
		}
	}
	for _, text := range []string{"", "x", "1.5", "nan", "inf", "2,"} {
		if _, ok := axisOf(whole, text); ok {
			t.Errorf("%q is taken for a whole number", text)
		}
	}
	if _, ok := axisOf(logged, "0"); ok {
		t.Error("0 is taken for a value on a logarithmic scale")
	}
}
