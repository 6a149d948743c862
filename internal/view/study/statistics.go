package study

import (
	"math"
	"math/rand/v2"
	"slices"
)

// mostExact is up to how many ways of dealing the values to the two sides are all looked at. 10
// against 10 are 184,756.
const mostExact = 200_000

// drawn is how many ways are drawn where there are more.
const drawn = 100_000

// permutationP is the two-sided p of the difference of means between two sets of values under
// Fisher's permutation test: the share of all ways to deal the values to the two sides in which the means
// differ by at least as much as observed. It assumes nothing of how the values are distributed, only
// that under the null hypothesis it does not matter which side a value came from.
//
// With more than mostExact ways, it is the share among random ones with the observed one counted in
// (Phipson and Smyth 2010, "Permutation p-values should never be zero"), and exact is false.
func permutationP(a, b []float64, random *rand.Rand) (p float64, exact bool) {
	values := slices.Concat(a, b)
	var total float64
	for _, v := range values {
		total += v
	}
	n, m := float64(len(a)), float64(len(b))
	differ := func(sumA float64) float64 { return math.Abs(sumA/n - (total-sumA)/m) }
	var observed float64
	for _, v := range a {
		observed += v
	}
	// Sums of the same values in another order differ in the last bits: in those of the values, which can
	// be far larger than the difference of the means.
	largest := max(slices.Max(values), -slices.Min(values))
	least := differ(observed) - 1e-12*largest
	if ways := choose(len(values), len(a)); ways <= mostExact {
		extreme := 0
		deal(values, len(a), func(sumA float64) {
			if differ(sumA) >= least {
				extreme++
			}
		})
		return float64(extreme) / ways, true
	}
	extreme := 1
	for range drawn {
		random.Shuffle(len(values), func(i, j int) { values[i], values[j] = values[j], values[i] })
		var sum float64
		for _, v := range values[:len(a)] {
			sum += v
		}
		if differ(sum) >= least {
			extreme++
		}
	}
	return float64(extreme) / (drawn + 1), false
}

// deal calls f with the sum of every choice of k values.
func deal(values []float64, k int, f func(sum float64)) {
	var pick func(from, left int, sum float64)
	pick = func(from, left int, sum float64) {
		if left == 0 {
			f(sum)
			return
		}
		for i := from; i <= len(values)-left; i++ {
			pick(i+1, left-1, sum+values[i])
		}
	}
	pick(0, k, 0)
}

// choose is the binomial coefficient.
func choose(n, k int) float64 {
	ways := 1.0
	for i := range k {
		ways = ways * float64(n-i) / float64(i+1)
	}
	return math.Round(ways)
}

// smallestP is the smallest two-sided p that permutationP can give for so many values.
func smallestP(n, m int) float64 {
	ways := choose(n+m, n)
	if n == m {
		return 2 / ways // the mirror image is as extreme
	}
	return 1 / ways
}

// An Interval is a range of values in the score's unit.
type Interval struct {
	Low  float64 `json:"low"`
	High float64 `json:"high"`
}

// shiftInterval is the range of shifts d for which the test does not reject, at the level alpha, that
// the values of a are those of b moved by d: the confidence interval that belongs to permutationP.
// It is unbounded where so few values can reject nothing.
func shiftInterval(a, b []float64, alpha float64, random func() *rand.Rand) Interval {
	if smallestP(len(a), len(b)) > alpha {
		return Interval{math.Inf(-1), math.Inf(1)}
	}
	center := mean(a) - mean(b)
	rejected := func(d float64) bool {
		moved := make([]float64, len(a))
		for i, v := range a {
			moved[i] = v - d
		}
		p, _ := permutationP(moved, b, random())
		return p <= alpha
	}
	edge := func(sign float64) float64 {
		inside, outside := 0.0, spread(a, b)
		if outside == 0 {
			return center // all values of a side are the same: nothing is uncertain
		}
		for !rejected(center + sign*outside) {
			inside, outside = outside, 2*outside
		}
		for range 30 {
			middle := (inside + outside) / 2
			if rejected(center + sign*middle) {
				outside = middle
			} else {
				inside = middle
			}
		}
		return center + sign*outside
	}
	return Interval{edge(-1), edge(1)}
}

// holm adjusts p-values for how many there are (Holm 1979): each may then be compared with the level
// that is meant for all of them together.
func holm(ps []float64) []float64 {
	order := make([]int, len(ps))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int {
		switch {
		case ps[i] < ps[j]:
			return -1
		case ps[i] > ps[j]:
			return 1
		}
		return i - j
	})
	adjusted := make([]float64, len(ps))
	var highest float64
	for rank, i := range order {
		highest = max(highest, math.Min(1, ps[i]*float64(len(ps)-rank)))
		adjusted[i] = highest
	}
	return adjusted
}

func mean(values []float64) float64 {
	var sum float64
	for _, v := range values {
		sum += v / float64(len(values))
	}
	return sum
}

// spread is the larger of the two ranges of values.
func spread(a, b []float64) float64 {
	return max(slices.Max(a)-slices.Min(a), slices.Max(b)-slices.Min(b))
}
