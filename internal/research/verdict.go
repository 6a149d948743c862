package research

import (
	"cmp"
	"fmt"
	"math"
)

// VerdictVersion names the arithmetic of [Judge] and [Pool]. It is registered with each run, so
// that an old run is rechecked by the rules that it was made under.
//
// 2 added the rule [Confirmed], and left everything under [Strict] as it was under 1.
const VerdictVersion = 2

// A Rule is a keep rule. Values are stored: add, never rename.
type Rule string

// The keep rules.
const (
	Strict     Rule = "strict"    // any improvement; gains are called unconfirmed
	Confirmed  Rule = "confirmed" // re-measured against the incumbent by a group-sequential design
	AsImported Rule = "imported"  // decided elsewhere, by whatever rule an imported run had
)

// A KeepRule is the registered way to decide.
type KeepRule struct {
	Rule Rule `json:"rule"`
	// Alpha is the risk that the whole run keeps anything which is no better, and Pairs how many pairs of
	// measurements one confirmation takes at most. Both are 0 under [Strict].
	Alpha float64 `json:"alpha,omitempty"`
	Pairs int     `json:"pairs,omitempty"`
}

// Complete fills in what was left out, and refuses a rule under which nothing could ever be kept.
func (k KeepRule) Complete() (KeepRule, error) {
	if k.Rule != Confirmed {
		return k, nil
	}
	k.Alpha, k.Pairs = cmp.Or(k.Alpha, ConfirmedAlpha), cmp.Or(k.Pairs, ConfirmedPairs)
	first := Confirmation{Alpha: AlphaOf(k.Alpha, 1, 0, false), Pairs: k.Pairs}
	switch {
	case !(k.Alpha > 0 && k.Alpha < 0.5):
		return k, Hinted(fmt.Errorf("alpha %v is not between 0 and 0.5", k.Alpha), fmt.Sprintf("%v is usual", ConfirmedAlpha))
	case k.Pairs < 2 || k.Pairs > 10_000:
		return k, Hinted(fmt.Errorf("%d pairs are not between 2 and 10000", k.Pairs), fmt.Sprintf("%d are usual", ConfirmedPairs))
	case first.Underpowered():
		return k, Hinted(fmt.Errorf("%d pairs are too few for an alpha of %v: even the first confirmation would miss a gain of two standard deviations more often than not", k.Pairs, k.Alpha),
			fmt.Sprintf("%d pairs are usual", ConfirmedPairs))
	}
	return k, nil
}

// A Verdict compares a measurement with the incumbent. It can be recomputed from the lineage.
type Verdict struct {
	Keep bool `json:"keep"`
	// Reason is one sentence for the next specialist.
	Reason     string   `json:"reason"`
	Rule       Rule     `json:"rule"`
	Against    TrialID  `json:"against"` // the incumbent at that time
	Reference  *float64 `json:"reference,omitempty"`
	Difference *float64 `json:"difference,omitempty"` // score minus the incumbent's, in the score's unit
	Noise      *float64 `json:"noise_sd,omitempty"`   // of one measurement, where it is known
	Samples    []string `json:"samples,omitempty"`    // trial/replicate of each measurement that it rests on
	// Confirmation is what measuring again showed, where the rule asked for it.
	Confirmation *Finding `json:"confirmation,omitempty"`
}

// Judgement is everything that a verdict rests on.
type Judgement struct {
	Rule      KeepRule
	Score     ScoreRule
	Trial     TrialID
	Candidate Measurement
	Incumbent TrialID
	Reference *float64 // the incumbent's score; nil only for the baseline
	// ReferenceN is how many measurements Reference is the mean of; needed under [Confirmed] alone.
	ReferenceN int
	Noise      *Noise
	NoiseKind  NoiseKind
	// Contest is the trial's confirmation; nil before it was begun. Offer is the one that could be begun
	// now; nil while another one is under way. Both are nil under [Strict].
	Contest *Contest
	Offer   *Confirmation
}

// Judge decides keep or discard. It is pure: the same judgement gives the same verdict.
func Judge(j Judgement) Verdict {
	v := Verdict{Rule: j.Rule.Rule, Against: j.Incumbent, Samples: []string{fmt.Sprintf("%s/0", j.Trial)}}
	if j.Noise != nil && j.Noise.N >= 2 {
		v.Noise = ptr(j.Noise.SD)
	}
	if j.Contest != nil {
		return j.contested(v)
	}
	m := j.Candidate
	if j.Trial == Baseline {
		v.Reason = "the recipe as the run found it"
		if m.Outcome != Valid {
			v.Reason = "the baseline is not valid: " + m.Reason
		}
		return v
	}
	if j.Reference != nil {
		v.Reference = ptr(*j.Reference)
	}
	if m.Score != nil && j.Reference != nil {
		v.Difference = ptr(*m.Score - *j.Reference)
	}
	switch {
	case m.Outcome == Aborted:
		v.Reason = "the harness failed, which says nothing about the idea: " + m.Reason
	case m.Outcome != Valid:
		v.Reason = stoppedReason(j, v)
	case m.Score == nil || j.Reference == nil:
		v.Reason = "no score to compare"
	case j.Score.Direction.Better(*m.Score, *j.Reference):
		v.Keep = !j.confirms()
		v.Reason = fmt.Sprintf("%s better than %s (%s → %s)%s", Quantity(math.Abs(*v.Difference), j.Score.Unit), j.Incumbent,
			Number(*j.Reference), Number(*m.Score), inNoise(v)) + j.unconfirmed()
	case *v.Difference == 0:
		v.Reason = fmt.Sprintf("exactly as good as %s (%s)", j.Incumbent, Number(*m.Score))
	default:
		v.Reason = fmt.Sprintf("%s worse than %s (%s → %s)%s", Quantity(math.Abs(*v.Difference), j.Score.Unit), j.Incumbent,
			Number(*j.Reference), Number(*m.Score), inNoise(v))
	}
	return v
}

func stoppedReason(j Judgement, v Verdict) string {
	m := j.Candidate
	reason := m.Reason
	if reason == "" {
		reason = string(m.Outcome)
	}
	if v.Difference != nil && j.Score.Direction.Better(*m.Score, *j.Reference) {
		reason += fmt.Sprintf("; its score %s beats %s by %s", Number(*m.Score), j.Incumbent,
			Quantity(math.Abs(*v.Difference), j.Score.Unit))
	}
	return reason
}

// inNoise puts a difference in proportion to the noise of one measurement.
func inNoise(v Verdict) string {
	if v.Noise == nil || *v.Noise == 0 || v.Difference == nil {
		return ""
	}
	return fmt.Sprintf(", %.1f sd of one measurement", math.Abs(*v.Difference) / *v.Noise)
}

// Pool joins the replicates of one tree into one measurement: metrics and score are means over
// replicates, margins are recomputed from the pooled metrics, and the first replicate that is
// not valid decides the outcome. It returns the zero Measurement for no replicates.
func Pool(ms []Measurement) Measurement {
	if len(ms) == 0 {
		return Measurement{}
	}
	if len(ms) == 1 {
		return ms[0]
	}
	for _, m := range ms {
		if m.Outcome != Valid {
			return m
		}
	}
	return pool(ms)
}

// pool takes the means over measurements that all have the same metrics and margins.
func pool(ms []Measurement) Measurement {
	pooled := ms[0]
	pooled.Replicates = len(ms)
	pooled.Metrics = make(map[string]MetricValue, len(ms[0].Metrics))
	for name, first := range ms[0].Metrics {
		sum := 0.0
		for _, m := range ms {
			sum += m.Metrics[name].Value
		}
		first.Value, first.Seeds = sum/float64(len(ms)), nil
		pooled.Metrics[name] = first
	}
	var total float64
	scored := true
	for _, m := range ms {
		if m.Score == nil {
			scored = false
			break
		}
		total += *m.Score
	}
	pooled.Score = nil
	if scored {
		pooled.Score = ptr(total / float64(len(ms)))
	}
	pooled.Margins = make([]Margin, len(ms[0].Margins))
	for i := range pooled.Margins {
		value := 0.0
		for _, m := range ms {
			value += m.Margins[i].Value / float64(len(ms))
		}
		pooled.Margins[i] = MarginOf(ms[0].Margins[i].Bound, value)
	}
	return pooled
}

func ptr[T any](v T) *T { return &v }
