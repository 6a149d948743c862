// Package analysis sums up one run: how trials ended, who improved what, how different the
// proposals were, how well their forecasts held, and what it all took. docs/analysis.md gives
// every definition.
//
// It reads a lineage and computes; it draws nothing. Everything but [Of] is a pure function of
// trials, and costs a few passes over them. Only the comparison of hypotheses is quadratic, in trials that share words.
// Start reading at [Of].
package analysis

import (
	"cmp"
	"slices"
	"time"

	"mendel/internal/lineage"
	"mendel/internal/research"
)

// An Analysis is what one run shows. Its JSON is stable: fields are added, never renamed. Trials
// are named as people write them ("075"); shares are from 0 to 1; scores and deltas are in the
// score's unit. Unless a field says otherwise it leaves out the baseline and trials that are not judged.
type Analysis struct {
	Run   string             `json:"run"`
	Task  string             `json:"task"`
	Score research.ScoreRule `json:"score"`
	Keep  research.KeepRule  `json:"keep"`
	// Imported says where a run comes from that was not made here, and Notes what became of its records.
	Imported string                `json:"imported,omitempty"`
	Notes    []research.ImportNote `json:"import_notes,omitempty"`

	Trials   int                         `json:"trials"`
	Pending  int                         `json:"pending,omitempty"` // submitted, not judged
	Status   map[research.Status]int     `json:"status"`
	Shares   map[research.Status]float64 `json:"status_share"` // of the trials
	Baseline *Scored                     `json:"baseline,omitempty"`
	Best     *Scored                     `json:"best,omitempty"` // the baseline where nothing beat it
	// Change is (best - baseline) / |baseline|.
	Change *float64 `json:"change,omitempty"`

	Improvements int       `json:"improvements"` // keeps
	BestSoFar    []Step    `json:"best_so_far"`  // the baseline, then each keep; of an imported run those that beat all before
	Roles        []Role    `json:"roles"`        // most trials first
	CrossRole    CrossRole `json:"cross_role_keeps"`
	// MeanBest is the mean, over the trials in the order of their verdicts, of the best score
	// reached by then: the area under the best-so-far curve for each trial.
	MeanBest *float64 `json:"mean_best_so_far,omitempty"`

	Diversity
	Margins   []MarginSeries `json:"margins,omitempty"`
	Forecasts Forecasts      `json:"forecasts"`
	Pace      Pace           `json:"pace"`
	Costs     Costs          `json:"costs"`
}

// A Scored is a trial with its score.
type Scored struct {
	Trial string  `json:"trial"`
	Score float64 `json:"score"`
}

// A Step is one new best score.
type Step struct {
	Scored
	N          int       `json:"n"` // how many trials were judged by then; 0 for the baseline
	At         time.Time `json:"at,omitzero"`
	Role       string    `json:"role"`
	Parent     string    `json:"parent,omitempty"`
	Gain       float64   `json:"gain"` // over the one before, > 0 is better whatever the direction
	Hypothesis string    `json:"hypothesis"`
	Expected   *float64  `json:"expected_delta,omitempty"`
}

// A Role is the outcome profile of one role.
type Role struct {
	Role         string                      `json:"role"`
	Trials       int                         `json:"trials"`
	Status       map[research.Status]int     `json:"status"`
	Shares       map[research.Status]float64 `json:"status_share"` // of the role's trials
	Improvements int                         `json:"improvements"`
	Gain         float64                     `json:"gain"` // sum over its steps of the best-so-far curve
	Forecasts    Forecasts                   `json:"forecasts"`
}

// A CrossRole counts the keeps built on another role's keep, among those not built on the baseline.
type CrossRole struct {
	N  int `json:"n"`
	Of int `json:"of"`
}

// A record is what an analysis is computed from.
type record struct {
	reg    research.Registration
	trials []research.Trial // judged, in the order of their verdicts, the baseline left out
	byID   map[research.TrialID]research.Trial
	base   *research.Trial
	spend  research.Spend
}

// Of analyses a run, finished or not.
func Of(r *lineage.Reader) (Analysis, error) {
	var a Analysis
	err := r.Snapshot(func(r *lineage.Reader) error {
		rec, pending, err := read(r)
		if err != nil {
			return err
		}
		a = analyse(rec)
		a.Pending = pending
		return nil
	})
	return a, err
}

func read(r *lineage.Reader) (record, int, error) {
	rec := record{byID: map[research.TrialID]research.Trial{}}
	var err error
	if rec.reg, err = r.Registration(); err != nil {
		return rec, 0, err
	}
	if rec.spend, err = r.Spend(); err != nil {
		return rec, 0, err
	}
	pending := 0
	err = r.Each(func(t research.Trial) error {
		rec.byID[t.ID] = t
		switch {
		case t.ID == research.Baseline || t.Status == research.StatusBaseline && rec.base == nil:
			rec.base = &t
		case t.Status == "":
			pending++
		default:
			rec.trials = append(rec.trials, t)
		}
		return nil
	})
	slices.SortStableFunc(rec.trials, func(a, b research.Trial) int { return cmp.Or(a.EndedAt.Compare(b.EndedAt), cmp.Compare(a.ID, b.ID)) })
	return rec, pending, err
}

func analyse(rec record) Analysis {
	a := Analysis{
		Run: rec.reg.Run, Task: rec.reg.Task.Name, Score: rec.reg.Score, Keep: rec.reg.Keep,
		Trials: len(rec.trials), Diversity: diversityOf(rec.trials), Margins: marginsOf(rec), Forecasts: forecastsOf(rec.trials),
		Pace: paceOf(rec),
	}
	if origin := rec.reg.Imported; origin != nil {
		a.Imported, a.Notes = origin.From, origin.Notes
	}
	a.Status, a.Shares = statuses(rec.trials)
	a.Improvements = a.Status[research.StatusKeep]
	a.BestSoFar, a.MeanBest = bestSoFar(rec)
	if rec.base != nil {
		a.Baseline = scored(*rec.base)
	}
	if n := len(a.BestSoFar); n > 0 {
		best := a.BestSoFar[n-1].Scored
		a.Best = &best
	}
	if a.Baseline != nil && a.Best != nil && a.Baseline.Score != 0 { // a baseline that missed a gate has a score, and is no best
		change := (a.Best.Score - a.Baseline.Score) / max(a.Baseline.Score, -a.Baseline.Score)
		a.Change = &change
	}
	a.Roles = rolesOf(rec.trials, a.BestSoFar)
	a.CrossRole = crossRole(rec)
	a.Costs = costsOf(rec, a)
	return a
}

func statuses(trials []research.Trial) (map[research.Status]int, map[research.Status]float64) {
	counts, shares := map[research.Status]int{}, map[research.Status]float64{}
	for _, t := range trials {
		counts[t.Status]++
	}
	for status, n := range counts {
		shares[status] = float64(n) / float64(len(trials))
	}
	return counts, shares
}

func scored(t research.Trial) *Scored {
	if score, ok := t.Score(); ok {
		return &Scored{Trial: t.ID.String(), Score: score}
	}
	return nil
}

// bestSoFar follows the best score through baseline and keeps. Each keep of a run of ours took the
// incumbent's place, also where replicates moved a score since; in an imported run only what was better did.
func bestSoFar(rec record) ([]Step, *float64) {
	steps := []Step{}
	if rec.base != nil && rec.base.Status == research.StatusBaseline {
		if s := scored(*rec.base); s != nil {
			steps = append(steps, Step{Scored: *s, At: rec.base.EndedAt, Role: rec.base.Proposal.Role, Hypothesis: rec.base.Proposal.Hypothesis})
		}
	}
	var sum float64
	n := 0
	for i, t := range rec.trials {
		s := scored(t)
		takes := s != nil && t.Status == research.StatusKeep && (rec.reg.Imported == nil || len(steps) == 0 ||
			rec.reg.Score.Direction.Better(s.Score, steps[len(steps)-1].Score))
		if takes {
			step := Step{Scored: *s, N: i + 1, At: t.EndedAt, Role: t.Proposal.Role, Parent: t.Proposal.Parent.String(),
				Hypothesis: t.Proposal.Hypothesis, Expected: t.Proposal.Expected}
			if last := len(steps) - 1; last >= 0 {
				step.Gain = s.Score - steps[last].Score
				if rec.reg.Score.Direction == research.Minimize {
					step.Gain = -step.Gain
				}
			}
			steps = append(steps, step)
		}
		if len(steps) > 0 {
			sum, n = sum+steps[len(steps)-1].Score, n+1
		}
	}
	if n == 0 {
		return steps, nil
	}
	mean := sum / float64(n)
	return steps, &mean
}

func rolesOf(trials []research.Trial, steps []Step) []Role {
	byRole := map[string][]research.Trial{}
	for _, t := range trials {
		byRole[t.Proposal.Role] = append(byRole[t.Proposal.Role], t)
	}
	roles := make([]Role, 0, len(byRole))
	for name, own := range byRole {
		role := Role{Role: name, Trials: len(own), Forecasts: forecastsOf(own)}
		role.Status, role.Shares = statuses(own)
		role.Improvements = role.Status[research.StatusKeep]
		for _, s := range steps {
			if s.N > 0 && s.Role == name {
				role.Gain += s.Gain
			}
		}
		roles = append(roles, role)
	}
	slices.SortFunc(roles, func(a, b Role) int { return cmp.Or(cmp.Compare(b.Trials, a.Trials), cmp.Compare(a.Role, b.Role)) })
	return roles
}

func crossRole(rec record) CrossRole {
	var c CrossRole
	for _, t := range rec.trials {
		if t.Status != research.StatusKeep || t.Proposal.Parent == research.Baseline {
			continue
		}
		c.Of++
		if parent := rec.byID[t.Proposal.Parent]; parent.Status == research.StatusKeep && parent.Proposal.Role != t.Proposal.Role {
			c.N++
		}
	}
	return c
}
