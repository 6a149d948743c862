package research

import (
	"math"
	"testing"
)

func TestNoiseOf(t *testing.T) {
	n := NoiseOf(Seeded, []float64{1, 2, 3, 4})
	if n.Mean != 2.5 || math.Abs(n.SD-1.2909944487) > 1e-9 { // sqrt(5/3), by hand
		t.Errorf("mean %v sd %v", n.Mean, n.SD)
	}
	if n := NoiseOf(Seeded, []float64{7}); n.SD != 0 || n.Mean != 7 {
		t.Errorf("one score: %+v", n)
	}
}

// The wanted values were worked out by hand from a printed table of Student's t.
func TestTheNoiseFloor(t *testing.T) {
	for name, test := range map[string]struct {
		noise *Noise
		want  float64
		known bool
	}{
		"of 2":           {&Noise{Kind: Timing, N: 2, SD: 1}, 8.929, true}, // 1.41421 · 6.3138
		"of 3":           {&Noise{Kind: Timing, N: 3, SD: 0.5}, 2.0648, true},
		"of 10":          {&Noise{Kind: Seeded, N: 10, SD: 2}, 5.1848, true},
		"of many":        {&Noise{Kind: Seeded, N: 1000, SD: 1}, 2.4003, true},
		"of equal":       {&Noise{Kind: Seeded, N: 5}, 0, true},
		"without noise":  {&Noise{Kind: None, N: 1}, 0, true},
		"of one":         {&Noise{Kind: Timing, N: 1}, 0, false},
		"not calibrated": {nil, 0, false},
	} {
		got, known := test.noise.Floor()
		if math.Abs(got-test.want) > 1e-3 || known != test.known {
			t.Errorf("%s: %v, known %v; want %v, %v", name, got, known, test.want, test.known)
		}
	}
}

func TestInsideNeedsAKnownFloor(t *testing.T) {
	n := &Noise{Kind: Timing, N: 3, SD: 0.5} // floor 2.0648
	for difference, want := range map[float64]bool{0: true, -2.06: true, 2.06: true, 2.07: false, -2.07: false} {
		if n.Inside(difference) != want {
			t.Errorf("%v inside: %v", difference, !want)
		}
	}
	for _, n := range []*Noise{nil, {Kind: Timing, N: 1}, {Kind: None, N: 3}} {
		if n.Inside(0) {
			t.Errorf("%+v: no noise is known, and a difference lies inside it", n)
		}
	}
}

func TestSEM(t *testing.T) {
	n := NoiseOf(Seeded, []float64{1, 2, 3, 4}) // sd sqrt(5/3)
	if got, want := n.SEM(), math.Sqrt(5.0/12); math.Abs(got-want) > 1e-12 {
		t.Errorf("%v, want %v", got, want)
	}
}

// Worked out by hand, as the sum of products of neighbours over the sum of squares about the mean.
func TestLag1(t *testing.T) {
	for name, test := range map[string]struct {
		scores []float64
		r      float64
		known  bool
	}{
		"rising":      {[]float64{1, 2, 3, 4, 5, 6}, 0.5, true}, // 8.75 / 17.5
		"alternating": {[]float64{1, -1, 1, -1, 1, -1}, -5.0 / 6, true},
		"too few":     {[]float64{1, 2, 3, 4, 5}, 0, false},
		"equal":       {[]float64{7, 7, 7, 7, 7, 7}, 0, false},
	} {
		got := Lag1(test.scores)
		if (got != nil) != test.known || got != nil && (math.Abs(got.R-test.r) > 1e-12 || math.Abs(got.Bound-0.8002) > 1e-4) {
			t.Errorf("%s: %+v, want %v", name, got, test.r)
		}
	}
}

func TestMedian(t *testing.T) {
	for _, x := range []struct {
		values []float64
		want   float64
	}{{[]float64{-789, -690}, -739.5}, {[]float64{1, 2, 9}, 2}, {[]float64{-789, -690, -448, -266}, -569}} {
		if got := Median(x.values); got != x.want {
			t.Errorf("median of %v is %v, want %v", x.values, got, x.want)
		}
	}
}
