package study

import (
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"

	"mendel/internal/research"
	"mendel/internal/view/analysis"
)

// A Run is what one run of a study came to.
type Run struct {
	Arm       string            `json:"arm"`
	Replicate int               `json:"replicate"`
	Dir       string            `json:"dir"`
	Analysis  analysis.Analysis `json:"analysis"`
	Final     *Final            `json:"final,omitempty"` // nil until it is measured
}

// A Final is what came of a run's best recipe when it was measured afresh, once all runs had ended. The
// score that made it the best is no evidence: it is the luckiest of many.
type Final struct {
	Score   float64 `json:"score"`              // the mean over the measurements
	NotHeld string  `json:"not_held,omitempty"` // why it is not valid; Score is then 0
	Dir     string  `json:"dir"`
}

// Name is how a run is called in its study.
func (r Run) Name() string { return fmt.Sprintf("%s-%d", r.Arm, r.Replicate) }

// FinalScore is the run's result. A recipe that does not hold leaves the run with its baseline, as one
// that found nothing.
func (r Run) FinalScore() (score float64, ok bool) {
	switch {
	case r.Final == nil:
		return 0, false
	case r.Final.NotHeld == "":
		return r.Final.Score, true
	case r.Analysis.Baseline == nil:
		return 0, false
	}
	return r.Analysis.Baseline.Score, true
}

// A Comparison is what a study found. Its JSON is stable: fields are added, never renamed. Scores are
// in the score's unit.
type Comparison struct {
	Name     string             `json:"name,omitempty"`
	Question string             `json:"question,omitempty"`
	Task     string             `json:"task"`
	Score    research.ScoreRule `json:"score"`
	Alpha    float64            `json:"alpha,omitempty"`
	Budget   string             `json:"budget,omitempty"`
	Arms     []ArmResult        `json:"arms"`
	Findings []Finding          `json:"findings"`
	Missing  int                `json:"missing"` // runs of the plan that have no final score yet
	Runs     []Run              `json:"runs"`
}

// An ArmResult sums up the runs of an arm. Everything but Final is described, not tested.
type ArmResult struct {
	Arm      string `json:"arm"`
	Runs     int    `json:"runs"`     // that have begun
	Ready    int    `json:"ready"`    // that have a final score
	NotHeld  int    `json:"not_held"` // whose best recipe was not valid when measured afresh
	Final    Range  `json:"final"`    // of the runs' re-measured best recipes
	InSearch Range  `json:"in_search_best"`
	// MeanBest is the mean best-so-far score of a run, over its trials.
	MeanBest      Range                       `json:"mean_best_so_far"`
	Trials        Range                       `json:"trials"`
	Improvements  Range                       `json:"improvements"`
	Shares        map[research.Status]float64 `json:"status_share"` // of all trials of the arm
	Clusters      Range                       `json:"effective_clusters"`
	LargestShare  Range                       `json:"largest_cluster_share"`
	NearDuplicate Range                       `json:"near_duplicate_share"`
	CrossRole     analysis.CrossRole          `json:"cross_role_keeps"`
	Measuring     Range                       `json:"trial_s"`
	USD           Range                       `json:"usd"`
}

// A Range is how a figure lies over the runs of an arm: zero values where there is none.
type Range struct {
	N    int     `json:"n"`
	Mean float64 `json:"mean"`
	SD   float64 `json:"sd"`
	Low  float64 `json:"least"`
	High float64 `json:"most"`
}

// A Verdict is what the data say of two arms. Values are stored: add, never rename.
type Verdict string

// The verdicts of a comparison of two arms.
const (
	Differ       Verdict = "differ"       // one is better, at the study's level
	NotTold      Verdict = "not_told"     // enough runs, but chance explains the difference
	Underpowered Verdict = "underpowered" // too few runs to conclude anything
)

// A Finding compares two arms by their final scores.
type Finding struct {
	A          string    `json:"a"`
	B          string    `json:"b"`
	Verdict    Verdict   `json:"verdict"`
	Difference *float64  `json:"difference,omitempty"` // mean of A minus mean of B
	Interval   *Interval `json:"interval,omitempty"`   // of the difference, at 1 - alpha, for this pair by itself
	P          *float64  `json:"p,omitempty"`
	Adjusted   *float64  `json:"adjusted_p,omitempty"` // for the number of pairs, by Holm's method
	Exact      bool      `json:"exact"`
	Sentence   string    `json:"sentence"`
}

// Compare finds what a study's runs show.
func Compare(s *Study, score research.ScoreRule, runs []Run) Comparison {
	c := Comparison{
		Name: s.Name, Question: s.Question, Task: filepath.Base(s.Task), Score: score, Alpha: float64(s.Alpha), Budget: s.Budget.String(),
		Runs: runs, Missing: len(s.Arms) * s.Replicates,
	}
	for _, arm := range s.Arms {
		result := armResult(arm.Name, runs)
		c.Missing -= result.Ready
		c.Arms = append(c.Arms, result)
	}
	c.Findings = findings(s, score, runs)
	return c
}

// SideBySide sets single runs beside each other, each as an arm of its own. One run of each says nothing
// of arms, so nothing is found.
func SideBySide(task string, score research.ScoreRule, runs []Run) Comparison {
	c := Comparison{Task: task, Score: score, Runs: runs}
	for _, r := range runs {
		c.Arms = append(c.Arms, armResult(r.Arm, runs))
	}
	return c
}

func armResult(arm string, runs []Run) ArmResult {
	own := slices.DeleteFunc(slices.Clone(runs), func(r Run) bool { return r.Arm != arm })
	over := func(f func(Run) (float64, bool)) Range { return rangeOver(own, f) }
	always := func(f func(analysis.Analysis) float64) Range {
		return over(func(r Run) (float64, bool) { return f(r.Analysis), true })
	}
	result := ArmResult{
		Arm: arm, Runs: len(own), Final: over(Run.FinalScore),
		InSearch: over(func(r Run) (float64, bool) {
			if r.Analysis.Best == nil {
				return 0, false
			}
			return r.Analysis.Best.Score, true
		}),
		MeanBest: over(func(r Run) (float64, bool) {
			if r.Analysis.MeanBest == nil {
				return 0, false
			}
			return *r.Analysis.MeanBest, true
		}),
		Trials:        always(func(a analysis.Analysis) float64 { return float64(a.Trials) }),
		Improvements:  always(func(a analysis.Analysis) float64 { return float64(a.Improvements) }),
		Clusters:      always(func(a analysis.Analysis) float64 { return a.EffectiveClusters }),
		LargestShare:  always(func(a analysis.Analysis) float64 { return a.LargestClusterShare }),
		NearDuplicate: always(func(a analysis.Analysis) float64 { return a.NearDuplicateShare }),
		Measuring:     always(func(a analysis.Analysis) float64 { return a.Costs.TrialSeconds }),
		USD:           always(func(a analysis.Analysis) float64 { return a.Costs.USD }),
		Shares:        map[research.Status]float64{},
	}
	result.Ready = result.Final.N
	trials := 0
	for _, r := range own {
		if r.Final != nil && r.Final.NotHeld != "" {
			result.NotHeld++
		}
		trials += r.Analysis.Trials
		result.CrossRole.N += r.Analysis.CrossRole.N
		result.CrossRole.Of += r.Analysis.CrossRole.Of
		for status, n := range r.Analysis.Status {
			result.Shares[status] += float64(n)
		}
	}
	for status := range result.Shares {
		result.Shares[status] /= float64(trials)
	}
	return result
}

func rangeOver(runs []Run, f func(Run) (float64, bool)) Range {
	var values []float64
	for _, r := range runs {
		if v, ok := f(r); ok {
			values = append(values, v)
		}
	}
	if len(values) == 0 {
		return Range{}
	}
	noise := research.NoiseOf(research.Seeded, values)
	return Range{N: noise.N, Mean: noise.Mean, SD: noise.SD, Low: slices.Min(values), High: slices.Max(values)}
}

// findings compares each arm with each other one.
func findings(s *Study, score research.ScoreRule, runs []Run) []Finding {
	finals := map[string][]float64{}
	for _, r := range runs {
		if v, ok := r.FinalScore(); ok {
			finals[r.Arm] = append(finals[r.Arm], v)
		}
	}
	var list []Finding
	var tested []int
	var ps []float64
	for i, a := range s.Arms {
		for _, b := range s.Arms[i+1:] {
			f := Finding{A: a.Name, B: b.Name}
			if f.measure(finals[a.Name], finals[b.Name], float64(s.Alpha)) {
				tested, ps = append(tested, len(list)), append(ps, *f.P)
			}
			list = append(list, f)
		}
	}
	for i, adjusted := range holm(ps) {
		list[tested[i]].Adjusted = &adjusted
	}
	for i := range list {
		list[i].conclude(score, len(finals[list[i].A]), len(finals[list[i].B]), s, len(ps))
	}
	return list
}

// measure fills in the figures, and says whether there are any.
func (f *Finding) measure(a, b []float64, alpha float64) bool {
	if len(a) == 0 || len(b) == 0 {
		return false
	}
	// Drawn ways come from a fixed seed: a report that is made again says the same.
	random := func() *rand.Rand { return rand.New(rand.NewPCG(1, 1)) }
	difference := mean(a) - mean(b)
	p, exact := permutationP(a, b, random())
	f.Difference, f.P, f.Exact = &difference, &p, exact
	if in := shiftInterval(a, b, alpha, random); !math.IsInf(in.Low, 0) {
		f.Interval = &in
	}
	return true
}

// conclude draws the conclusion that the data support, and no other.
func (f *Finding) conclude(score research.ScoreRule, n, m int, s *Study, tests int) {
	alpha := float64(s.Alpha)
	switch {
	case f.P == nil:
		f.Verdict = Underpowered
		f.Sentence = fmt.Sprintf("%s against %s: nothing to compare yet; no run of one of them has a final score.", f.A, f.B)
		return
	case n < EnoughReplicates || m < EnoughReplicates || smallestP(n, m)*float64(tests) > alpha:
		f.Verdict = Underpowered
		f.Sentence = fmt.Sprintf("%s against %s: underpowered. %d and %d runs cannot carry a conclusion (%d of each arm can); the means differ by %s.",
			f.A, f.B, n, m, EnoughReplicates, research.Quantity(math.Abs(*f.Difference), score.Unit))
		return
	}
	better, worse := f.A, f.B
	if score.Direction.Better(0, *f.Difference) {
		better, worse = f.B, f.A
	}
	figures := fmt.Sprintf("by %s on average (%s; permutation test%s, p = %s%s)",
		research.Quantity(math.Abs(*f.Difference), score.Unit), f.intervalText(score, alpha), f.exactText(), pText(*f.Adjusted), adjustedText(tests))
	if *f.Adjusted <= alpha {
		f.Verdict = Differ
		f.Sentence = fmt.Sprintf("%s found better recipes than %s, %s. The data support this.", better, worse, figures)
		return
	}
	f.Verdict = NotTold
	f.Sentence = fmt.Sprintf("The data do not tell %s from %s: %s was better %s, and chance alone does as much.", f.A, f.B, better, figures)
}

func (f *Finding) intervalText(score research.ScoreRule, alpha float64) string {
	if f.Interval == nil {
		return "no interval from so few runs"
	}
	low, high := f.Interval.Low, f.Interval.High
	if *f.Difference < 0 { // the sentence tells of a gain
		low, high = -high, -low
	}
	return fmt.Sprintf("%.3g %% interval %s to %s", 100*(1-alpha), research.Number(low), research.Quantity(high, score.Unit))
}

func (f *Finding) exactText() string {
	if f.Exact {
		return ", exact"
	}
	return ""
}

func adjustedText(tests int) string {
	if tests < 2 {
		return ""
	}
	return fmt.Sprintf(", adjusted for %d comparisons", tests)
}

func pText(p float64) string {
	if p < 0.001 {
		return fmt.Sprintf("%.1g", p)
	}
	return fmt.Sprintf("%.3f", p)
}

// String is the budget as people write it.
func (b Budget) String() string {
	var parts []string
	if b.Trials > 0 {
		parts = append(parts, fmt.Sprintf("%d trials", b.Trials))
	}
	if b.Hours > 0 {
		parts = append(parts, research.Number(b.Hours)+" h")
	}
	return strings.Join(parts, ", ")
}
