package main

import (
	"math"
	"math/rand/v2"

	"mendel/internal/research"
)

// A noise makes the deviations of successive measurements, all with standard deviation 1.
type noise struct {
	name string
	new  func(*rand.Rand) func() float64
}

var noises = []noise{
	{"normal", func(r *rand.Rand) func() float64 { return r.NormFloat64 }},
	{"heavy-tailed (t, 3 degrees)", func(r *rand.Rand) func() float64 {
		return func() float64 {
			squares := 0.0
			for range 3 {
				x := r.NormFloat64()
				squares += x * x
			}
			return r.NormFloat64() / math.Sqrt(squares/3) / math.Sqrt(3) // the variance of t is 3
		}
	}},
	{"drifting (AR(1), 0.9)", func(r *rand.Rand) func() float64 {
		const stays = 0.9
		at := r.NormFloat64()
		return func() float64 {
			at = stays*at + math.Sqrt(1-stays*stays)*r.NormFloat64()
			return at
		}
	}},
}

// Sums over simulated runs.
type sums struct {
	falseRuns, falseKeeps     int
	confirmations, replicates int
	triggered, found, pairs   int // of the one trial that is better
}

// A run is one simulated search. Less is better; the baseline's true score is 0.
type run struct {
	id      int64
	keep    research.KeepRule
	measure func() float64
	noise   research.Noise

	incumbent research.TrialID
	truth     float64 // the incumbent's true score
	reference float64 // and its estimate
	n         int     // of that many measurements
	last      research.Confirmation
	kept      bool // by the last confirmation
	sums      sums
}

// simulate makes runs in which no trial is better, or the one in the middle by effect.
func (o options) simulate(rule research.Rule, n noise, effect float64) (total sums) {
	for i := range o.runs {
		keep := research.KeepRule{Rule: rule}
		if rule == research.Confirmed {
			keep = research.KeepRule{Rule: rule, Alpha: o.keep.Alpha, Pairs: o.keep.Pairs}
		}
		r := run{id: int64(i), keep: keep, measure: n.new(rand.New(rand.NewPCG(o.seed, uint64(i))))}
		scores := make([]float64, o.baseline)
		for k := range scores {
			scores[k] = r.measure()
		}
		r.noise = research.NoiseOf(research.Timing, scores)
		r.reference, r.n = r.noise.Mean, r.noise.N
		for id := research.TrialID(1); int(id) <= o.trials; id++ {
			gain := 0.0
			if int(id) == (o.trials+1)/2 {
				gain = effect
			}
			r.trial(id, gain)
		}
		total.add(r.sums)
	}
	return total
}

func (s *sums) add(r sums) {
	s.falseRuns += min(r.falseKeeps, 1)
	s.falseKeeps += r.falseKeeps
	s.confirmations += r.confirmations
	s.replicates += r.replicates
	s.triggered += r.triggered
	s.found += r.found
	s.pairs += r.pairs
}

// trial proposes a recipe that is truly better than the incumbent by gain, and has it judged.
func (r *run) trial(id research.TrialID, gain float64) {
	measured := func(truth float64) research.Measurement {
		score := truth + r.measure()
		return research.Measurement{Outcome: research.Valid, Score: &score}
	}
	offer := research.Confirmation{Number: r.last.Number + 1, Trial: id, Incumbent: r.incumbent, Pairs: r.keep.Pairs}
	offer.Alpha = research.AlphaOf(r.keep.Alpha, offer.Number, r.last.Alpha, r.kept)
	reference := r.reference
	j := research.Judgement{
		Rule: r.keep, Score: research.ScoreRule{Direction: research.Minimize}, Trial: id, Candidate: measured(r.truth - gain),
		Incumbent: r.incumbent, Reference: &reference, ReferenceN: r.n, Noise: &r.noise, NoiseKind: research.Timing, Offer: &offer,
	}
	for replicate := 1; ; {
		switch research.Next(j) {
		case research.ToConfirm:
			j.Contest = &research.Contest{Confirmation: offer}
			r.sums.confirmations++
		case research.ToMeasure:
			if _, ofIncumbent := research.PairOf(r.id, id, replicate); ofIncumbent {
				j.Contest.Incumbents = append(j.Contest.Incumbents, measured(r.truth))
			} else {
				j.Contest.Candidates = append(j.Contest.Candidates, measured(r.truth-gain))
			}
			replicate++
			r.sums.replicates++
		default:
			r.judged(j, research.Judge(j), gain)
			return
		}
	}
}

func (r *run) judged(j research.Judgement, v research.Verdict, gain float64) {
	if j.Contest != nil {
		r.last, r.kept = j.Contest.Confirmation, v.Keep
	}
	if gain > 0 && j.Contest != nil {
		r.sums.triggered++
		r.sums.pairs += len(j.Contest.Candidates)
	}
	if !v.Keep {
		return
	}
	estimate := j.Candidate
	r.n = 1
	if j.Contest != nil {
		estimate, r.n = research.Repool(j.Contest.Candidates), len(j.Contest.Candidates)
	}
	r.incumbent, r.truth, r.reference = j.Trial, r.truth-gain, *estimate.Score
	if gain > 0 {
		r.sums.found++
	} else {
		r.sums.falseKeeps++
	}
}

// clopperPearson is the exact 95 % interval of a share, by bisection of the binomial distribution.
func clopperPearson(k, n int) (low, high float64) {
	solve := func(atLeast int, want float64) float64 { // the p at which k or more of n have the probability want
		low, high := 0.0, 1.0
		for range 60 {
			p := (low + high) / 2
			if atLeastOf(atLeast, n, p) < want {
				low = p
			} else {
				high = p
			}
		}
		return (low + high) / 2
	}
	low, high = 0, 1
	if k > 0 {
		low = solve(k, 0.025)
	}
	if k < n {
		high = solve(k+1, 0.975)
	}
	return low, high
}

// atLeastOf is the probability of k or more successes in n.
func atLeastOf(k, n int, p float64) float64 {
	logChoose := func(i int) float64 {
		a, _ := math.Lgamma(float64(n + 1))
		b, _ := math.Lgamma(float64(i + 1))
		c, _ := math.Lgamma(float64(n - i + 1))
		return a - b - c
	}
	sum := 0.0
	for i := k; i <= n; i++ {
		sum += math.Exp(logChoose(i) + float64(i)*math.Log(p) + float64(n-i)*math.Log1p(-p))
	}
	return sum
}
