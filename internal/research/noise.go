package research

import (
	"math"
	"slices"
)

// Noise is what calibration established about the score of one measurement of the baseline.
type Noise struct {
	Kind   NoiseKind `json:"kind"`
	N      int       `json:"n"` // measurements that SD rests on
	Mean   float64   `json:"mean"`
	SD     float64   `json:"sd"`               // sample standard deviation; 0 when N < 2 or the task has no noise
	Scores []float64 `json:"scores,omitempty"` // of this run's measurements of the baseline, in their order
}

// A NoiseKind says where the spread of a score comes from. Values are stored.
type NoiseKind string

// The kinds of noise.
const (
	Seeded NoiseKind = "seeded" // a new seed gives another score
	Timing NoiseKind = "timing" // the clock does
	None   NoiseKind = "none"   // the tree determines the score
)

// NoiseOf summarizes repeated measurements of one tree.
func NoiseOf(kind NoiseKind, scores []float64) Noise {
	n := Noise{Kind: kind, N: len(scores), Scores: scores}
	for _, s := range scores {
		n.Mean += s / float64(len(scores))
	}
	if len(scores) < 2 {
		return n
	}
	var squares float64
	for _, s := range scores {
		// The conversion forbids a fused multiply-add, which would give other bits on other processors.
		squares += float64((s - n.Mean) * (s - n.Mean))
	}
	n.SD = math.Sqrt(squares / float64(len(scores)-1))
	return n
}

// Floor is the noise floor: the difference that chance alone puts between two measurements of one
// recipe. Measured again, an unchanged recipe looks better by more than this one time in twenty, and
// worse by more than this as often. It is not known before two measurements, except where there is no noise.
//
// Two measurements that each vary with a standard deviation σ differ with √2·σ. Of σ only the estimate
// from N measurements is known, hence Student's t instead of the normal distribution:
//
//	floor = √2 · t(0.95, N−1) · sd
//
// That is 4.13 sd of 3 measurements, 2.59 of 10 and 2.33 of very many. A difference beyond the floor is
// worth another look; evidence it is not, least of all the best of many trials.
func (n *Noise) Floor() (floor float64, known bool) { return n.FloorAgainst(1) }

// FloorAgainst is the noise floor of one measurement against the mean of several, which varies less:
// √(1+1/several) stands where Floor has √2.
func (n *Noise) FloorAgainst(several int) (floor float64, known bool) {
	switch {
	case n == nil:
		return 0, false
	case n.Kind == None:
		return 0, true
	case n.N < 2:
		return 0, false
	}
	return math.Sqrt(1+1/float64(max(several, 1))) * studentT95(n.N-1) * n.SD, true
}

// Inside says whether a difference is no more than chance alone would make. Without noise none is.
func (n *Noise) Inside(difference float64) bool {
	floor, _ := n.Floor()
	return floor > 0 && math.Abs(difference) <= floor
}

// SEM is the standard error of the mean of the measurements.
func (n *Noise) SEM() float64 {
	if n.N < 2 {
		return 0
	}
	return n.SD / math.Sqrt(float64(n.N))
}

// An Autocorrelation says how neighbours in a series resemble each other: R is near 0 when each value
// varies by itself, towards 1 when neighbours are alike because the machine drifts, below 0 when they
// alternate. Independent values stay within ±Bound nineteen times in twenty.
type Autocorrelation struct {
	R     float64 `json:"r"`
	Bound float64 `json:"bound"` // Bartlett's 1.96/√n
}

// Lag1 is the autocorrelation of values that were measured one after another; nil for equal ones, and for
// fewer than six, which could never pass the bound.
func Lag1(values []float64) *Autocorrelation {
	if len(values) < 6 || slices.Max(values) == slices.Min(values) {
		return nil
	}
	mean := NoiseOf(Timing, values).Mean
	var neighbours, squares float64
	for i, v := range values {
		squares += (v - mean) * (v - mean)
		if i > 0 {
			neighbours += (v - mean) * (values[i-1] - mean)
		}
	}
	return &Autocorrelation{R: neighbours / squares, Bound: 1.96 / math.Sqrt(float64(len(values)))}
}

// studentT95 is the 0.95 quantile of Student's t. A table gives the same bits on every processor. Beyond
// 30 degrees of freedom its last value is at most 3.2 % too wide.
func studentT95(freedom int) float64 {
	table := [...]float64{
		6.3138, 2.9200, 2.3534, 2.1318, 2.0150, 1.9432, 1.8946, 1.8595, 1.8331, 1.8125,
		1.7959, 1.7823, 1.7709, 1.7613, 1.7531, 1.7459, 1.7396, 1.7341, 1.7291, 1.7247,
		1.7207, 1.7171, 1.7139, 1.7109, 1.7081, 1.7056, 1.7033, 1.7011, 1.6991, 1.6973,
	}
	return table[min(freedom, len(table))-1]
}

// Median is the middle of values in any order, or the mean of the two in the middle. There must be one.
func Median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}
