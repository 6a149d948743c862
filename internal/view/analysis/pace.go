package analysis

import (
	"time"
)

// Pace says how fast a run went. Its times are those of the trials' verdicts.
type Pace struct {
	Agents int       `json:"agents"` // N
	First  time.Time `json:"first,omitzero"`
	Last   time.Time `json:"last,omitzero"`
	// PerHour is trials over the hours from the first to the last verdict, as the paper counts.
	PerHour *float64 `json:"trials_per_hour,omitempty"`
	Tau     *Tau     `json:"tau,omitempty"`
	// Eta is the parallel efficiency T(N) / (N T(1)), where T(1) is 1/tau: what one agent would
	// manage that did nothing but wait for its trials.
	Eta *float64 `json:"eta,omitempty"`
}

// Tau is the mean wall-clock time of a trial, submission to verdict, and where it went, in seconds.
type Tau struct {
	N     int     `json:"n"`
	Total float64 `json:"total_s"`
	// Queue is from submission to the first attempt; nil where the record does not tell it from Rest.
	Queue    *float64 `json:"queue_s,omitempty"`
	Checks   float64  `json:"checks_s"` // phases other than training and evaluation
	Train    float64  `json:"train_s"`
	Evaluate float64  `json:"evaluate_s"`
	// Rest is starting, collecting, logging and judging, lost attempts and replicates.
	Rest float64 `json:"rest_s"`
}

// Costs are what a run took, and what each improvement took; nil where there was none.
type Costs struct {
	TrialSeconds float64 `json:"trial_s"`
	USD          float64 `json:"usd"`
	Tokens       int64   `json:"tokens"`
	// Unpriced is how many model calls have an unknown price, so that USD is too low.
	Unpriced       int             `json:"unpriced,omitempty"`
	PerImprovement *PerImprovement `json:"per_improvement,omitempty"`
}

// PerImprovement are costs over the number of keeps.
type PerImprovement struct {
	Trials       float64 `json:"trials"`
	TrialSeconds float64 `json:"trial_s"`
	USD          float64 `json:"usd"`
	Tokens       float64 `json:"tokens"`
}

func paceOf(rec record) Pace {
	p := Pace{Agents: len(rec.reg.Agents)}
	for _, t := range rec.trials {
		if t.EndedAt.IsZero() {
			continue
		}
		if p.First.IsZero() {
			p.First = t.EndedAt
		}
		p.Last = t.EndedAt
	}
	if hours := p.Last.Sub(p.First).Hours(); hours > 0 {
		perHour := float64(len(rec.trials)) / hours
		p.PerHour = &perHour
	}
	if p.Tau = tauOf(rec); p.Tau != nil && p.PerHour != nil && p.Agents > 0 {
		eta := *p.PerHour * p.Tau.Total / 3600 / float64(p.Agents)
		p.Eta = &eta
	}
	return p
}

// tauOf averages over the trials that were measured.
func tauOf(rec record) *Tau {
	if rec.reg.Imported != nil {
		return importedTau(rec)
	}
	var sum Tau
	var queue float64
	for _, t := range rec.trials {
		if t.Measurement == nil || t.StartedAt.IsZero() || t.EndedAt.IsZero() {
			continue
		}
		sum.N++
		total, waited := t.EndedAt.Sub(t.SubmittedAt).Seconds(), t.StartedAt.Sub(t.SubmittedAt).Seconds()
		sum.Total, queue = sum.Total+total, queue+waited
		rest := total - waited
		for _, phase := range t.Measurement.Phases {
			wall := float64(phase.Wall)
			switch rest -= wall; phase.Phase {
			case "train":
				sum.Train += wall
			case "evaluate":
				sum.Evaluate += wall
			default:
				sum.Checks += wall
			}
		}
		sum.Rest += max(0, rest)
	}
	if sum.N == 0 {
		return nil
	}
	n := float64(sum.N)
	queue /= n
	return &Tau{N: sum.N, Total: sum.Total / n, Queue: &queue, Checks: sum.Checks / n, Train: sum.Train / n, Evaluate: sum.Evaluate / n, Rest: sum.Rest / n}
}

// importedTau averages over the trials whose record tells training and evaluation from the whole.
// Where training is the score, its seconds are those of one seed.
func importedTau(rec record) *Tau {
	var t Tau
	for _, trial := range rec.trials {
		m := trial.Measurement
		train, trained := m.Metrics["train_s"]
		evaluate, evaluated := m.Metrics["eval_s"]
		rest := float64(m.Wall) - train.Value - evaluate.Value
		if !trained || !evaluated || rest < 0 || rec.reg.Score.Metric == "train_s" {
			continue
		}
		t.N++
		t.Total, t.Train, t.Evaluate, t.Rest = t.Total+float64(m.Wall), t.Train+train.Value, t.Evaluate+evaluate.Value, t.Rest+rest
	}
	if t.N == 0 {
		return nil
	}
	n := float64(t.N)
	t.Total, t.Train, t.Evaluate, t.Rest = t.Total/n, t.Train/n, t.Evaluate/n, t.Rest/n
	return &t
}

func costsOf(rec record, a Analysis) Costs {
	c := Costs{TrialSeconds: float64(rec.spend.TrialWall), USD: rec.spend.Charge.USD, Tokens: rec.spend.Charge.Tokens, Unpriced: rec.spend.Unpriced}
	if n := float64(a.Improvements); n > 0 {
		c.PerImprovement = &PerImprovement{Trials: float64(a.Trials) / n, TrialSeconds: c.TrialSeconds / n, USD: c.USD / n, Tokens: float64(c.Tokens) / n}
	}
	return c
}
