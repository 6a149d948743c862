package research

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strconv"
)

// What a run under the rule [Confirmed] uses where nothing else was said.
const (
	ConfirmedAlpha    = 0.05
	ConfirmedPairs    = 24
	ConfirmedBaseline = 10 // measurements of the baseline: of fewer, the noise is hardly known
)

// A Confirmation measures a trial and the incumbent again, in pairs, because the measurement that made
// the trial look good is no evidence: it was chosen for being good. All of it is fixed before its first
// pair is measured. docs/keep-rules.md explains the design and cites its sources.
type Confirmation struct {
	Number    int     `json:"number"` // the how-manieth of the run, from 1
	Trial     TrialID `json:"trial"`
	Incumbent TrialID `json:"incumbent"`
	Alpha     float64 `json:"alpha"` // the risk of a false keep that is spent on it
	Pairs     int     `json:"pairs"` // at most
}

// Confirming begins a confirmation. One is under way at a time.
type Confirming struct{ Confirmation }

// Kind is [KindConfirming].
func (Confirming) Kind() FactKind { return KindConfirming }

// AlphaOf is what the n-th confirmation of a run may spend of the run's alpha, given what the one before
// it spent and whether it kept its trial: alpha/(n(n+1)), of which the sum over all n is alpha, and what
// was spent on a keep once more. So at most alpha is spent on trials that are no better, which is the
// online fallback procedure of Tian and Ramdas (2021).
func AlphaOf(alpha float64, n int, before float64, kept bool) float64 {
	level := alpha / float64(n) / float64(n+1)
	if kept {
		level += before
	}
	return level
}

// A Look is one point at which a confirmation may end, and what was found there.
type Look struct {
	Pairs int     `json:"pairs"`
	Level float64 `json:"level"` // of a one-sided t test
	Bound float64 `json:"bound"` // the t that it must exceed
	// T is the mean paired gain over its standard error; 0 until the look is reached.
	T float64 `json:"t,omitempty"`
}

// Looks are at an eighth, a quarter, half and all of the pairs. Each is a one-sided t test on the paired
// differences at a share of alpha that grows with its pairs: a spending function linear in information
// (Lan and DeMets 1983; Kim and DeMets 1987) of which each increment is used as a nominal level. The sum
// over looks is alpha, so that the risk is no larger, whatever the correlation between looks.
func (c Confirmation) Looks() []Look {
	var looks []Look
	before := 0
	for _, part := range []int{8, 4, 2, 1} {
		pairs := (c.Pairs + part - 1) / part
		if pairs < 2 || pairs == before {
			continue
		}
		level := significant(c.Alpha * float64(pairs-before) / float64(c.Pairs))
		looks = append(looks, Look{Pairs: pairs, Level: level, Bound: significant(studentBound(level, float64(pairs-1)))})
		before = pairs
	}
	return looks
}

// Underpowered says whether all the pairs could hardly show even a gain of two standard deviations of one
// measurement: the t to be expected of it does not reach the last bound, so that it is missed more often
// than not.
func (c Confirmation) Underpowered() bool {
	looks := c.Looks()
	if len(looks) == 0 {
		return true
	}
	// The difference of two measurements varies with √2 of one's standard deviation.
	return math.Sqrt2*math.Sqrt(float64(c.Pairs)) < looks[len(looks)-1].Bound
}

// Least is how few pairs would still not be underpowered; more than Pairs when even those are.
func (c Confirmation) Least() int {
	for n := 2; n <= c.Pairs; n++ {
		if fewer := (Confirmation{Alpha: c.Alpha, Pairs: n}); !fewer.Underpowered() {
			return n
		}
	}
	return c.Pairs + 1
}

// A Contest is a confirmation with what was measured so far, by pair.
type Contest struct {
	Confirmation
	Candidates, Incumbents []Measurement
	// Broken says why the next measurement cannot be had; "" while it can.
	Broken string
}

// A Finding is what a contest shows.
type Finding struct {
	Confirmation
	Looks []Look `json:"looks"` // those reached and those left
	// Measured pairs, and the mean difference over them: score minus the incumbent's, in the score's unit.
	Measured   int     `json:"measured"`
	Difference float64 `json:"difference"`
	// Low and High bound the true difference with the given confidence. They are both on the better side
	// of zero where the trial was kept, and only there.
	Low        float64 `json:"low"`
	High       float64 `json:"high"`
	Confidence float64 `json:"confidence"`
}

// An ending says what a contest has come to.
type ending int

const (
	undecided ending = iota
	won
	lost      // the pairs do not show a gain
	identical // the seed changes nothing: replicates of one draw are no evidence
)

// weigh looks at the pairs measured so far. From the second look on, a trial that is not ahead by a
// standard error is given up; that can only lower the risk of a false keep.
func (c Contest) weigh(direction Direction, kind NoiseKind) (*Finding, ending) {
	gains := gainsOf(direction, c.Candidates, c.Incumbents)
	f := &Finding{Confirmation: c.Confirmation, Looks: c.Looks(), Measured: len(gains)}
	end := undecided
	for i := range f.Looks {
		look, last := &f.Looks[i], i == len(f.Looks)-1
		if look.Pairs > len(gains) || end != undecided {
			break
		}
		s := pairedOf(gains[:look.Pairs])
		if s.sd == 0 || kind == Seeded && allEqual(c.Candidates[:look.Pairs]) {
			f.Difference = significant(s.mean)
			if direction == Minimize {
				f.Difference = -f.Difference
			}
			if i > 0 || last { // a few coarse scores may be equal by chance
				end = identical
			}
			continue
		}
		look.T = significant(s.mean / s.error())
		f.interval(s, *look, direction)
		switch {
		case look.T > look.Bound:
			end = won
		case last, i > 0 && look.T < 1:
			end = lost
		}
	}
	return f, end
}

// allEqual says whether every score is the first one, to the last bit.
func allEqual(ms []Measurement) bool {
	return !slices.ContainsFunc(ms, func(m Measurement) bool { return *m.Score != *ms[0].Score })
}

// interval sets the repeated confidence interval that belongs to a look.
func (f *Finding) interval(s paired, look Look, direction Direction) {
	half := look.Bound * s.error()
	low, high := s.mean-half, s.mean+half
	f.Difference = significant(s.mean)
	if direction == Minimize {
		low, high, f.Difference = -high, -low, -f.Difference
	}
	f.Low, f.High, f.Confidence = significant(low), significant(high), significant(1-2*look.Level)
}

// paired summarizes paired differences.
type paired struct {
	n        int
	mean, sd float64
}

func pairedOf(differences []float64) paired {
	noise := NoiseOf("", differences)
	return paired{n: noise.N, mean: noise.Mean, sd: noise.SD}
}

// error is the standard error of the mean.
func (p paired) error() float64 { return p.sd / math.Sqrt(float64(p.n)) }

// significant rounds to nine digits, so that processors whose logarithms differ in the last bit agree.
func significant(v float64) float64 {
	r, err := strconv.ParseFloat(strconv.FormatFloat(v, 'g', 9, 64), 64)
	if err != nil {
		return v // not finite
	}
	return r
}

// SeedsFor draws the n seeds of a measurement from the run's seed: fresh for each trial and repetition,
// and the same again when an attempt is repeated.
func SeedsFor(run int64, trial TrialID, repetition, n int) []int64 {
	seeds := make([]int64, max(n, 1))
	for i := range seeds {
		sum := sha256.Sum256(fmt.Appendf(nil, "seed/%d/%d/%d/%d", run, trial, repetition, i))
		seeds[i] = int64(binary.LittleEndian.Uint32(sum[:4]) >> 1)
	}
	return seeds
}

// Both halves of a pair get the same seeds, so that what a seed does to any recipe cancels. Which half
// goes first is a coin that the seed tosses: under the hypothesis of no gain each difference is then as
// likely to be positive as negative, however the machine drifts.

// PairOf gives the pair, from 1, that a replicate of a confirmation belongs to, and whether it is the
// half that measures the incumbent in the trial's stead.
func PairOf(run int64, trial TrialID, replicate int) (pair int, ofIncumbent bool) {
	pair = (replicate + 1) / 2
	first := replicate%2 == 1
	incumbentFirst := SeedsFor(run, trial, pair, 1)[0]&1 == 1
	return pair, first == incumbentFirst
}

// Repool joins the replicates of one tree like [Pool], but judges gates and limits on the pooled values:
// a gate on a value that varies is missed by some replicate of nearly every recipe.
func Repool(ms []Measurement) Measurement {
	if len(ms) == 0 {
		return Measurement{}
	}
	for _, m := range ms {
		if !m.whole(len(ms[0].Margins)) {
			return m
		}
	}
	pooled := ms[0]
	if len(ms) > 1 {
		pooled = pool(ms)
	}
	pooled.Outcome, pooled.Reason = Valid, ""
	for _, gates := range []bool{false, true} { // limits go before gates, as in one measurement
		for _, m := range pooled.Margins {
			if m.Bound.Gate == gates && !m.Holds() && pooled.Outcome == Valid {
				pooled.Outcome = m.Bound.Outcome
				pooled.Reason = fmt.Sprintf("%s %s on average over %d measurements: %s beyond what is allowed",
					m.Bound.Name, Quantity(m.Value, m.Bound.Unit), len(ms), Quantity(-m.Slack, m.Bound.Unit))
			}
		}
	}
	return pooled
}

// whole says whether a measurement has all that can be pooled, be it inside its bounds or not.
func (m Measurement) whole(margins int) bool {
	for _, margin := range m.Margins {
		if margin.AtLeast {
			return false
		}
	}
	switch m.Outcome {
	case Crash, PreflightCrash, Aborted:
		return false
	}
	return m.Score != nil && len(m.Margins) == margins
}
